"""Calls an API through requests-oauthlib, which takes the published token as it is."""

import os

from aws_lambda_powertools.utilities import parameters
from oauthlib.oauth2 import TokenExpiredError
from requests import Response
from requests_oauthlib import OAuth2Session

SECRET = os.environ["TOKEN_SECRET"]
API_URL = os.environ["API_URL"]
CACHE_SECONDS = 300
UNAUTHORIZED = 401

session = OAuth2Session()


def read_token(*, past_the_cache: bool = False) -> None:
    session.token = parameters.get_secret(
        SECRET, transform="json", max_age=CACHE_SECONDS, force_fetch=past_the_cache
    )


def send() -> Response | None:
    try:
        answer = session.get(API_URL, timeout=10)
    except TokenExpiredError:
        # It does not send a token past its `expires_at`.
        return None
    return None if answer.status_code == UNAUTHORIZED else answer


def call_api() -> str:
    read_token()
    answer = send()
    if answer is None:
        print("the token was refused; reading it again")
        refused = session.token["access_token"]
        read_token(past_the_cache=True)
        if session.token["access_token"] != refused:
            answer = send()
    if answer is None:
        raise SystemExit("it was refused, and there is no newer one")
    return f"{answer.status_code}, {len(answer.content)} bytes"


for number in (1, 2):
    print(f"call {number}: {call_api()}")
