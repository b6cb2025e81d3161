"""Calls an API through Authlib, which takes the published token as it is and minds its expiry."""

import os

from authlib.integrations.base_client import InvalidTokenError
from authlib.integrations.requests_client import OAuth2Session
from aws_lambda_powertools.utilities import parameters
from requests import Response

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
        answer: Response = session.get(API_URL, timeout=10)
    except InvalidTokenError:
        # A minute before `expires_at` Authlib sends a token no more.
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
