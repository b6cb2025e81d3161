"""Calls an API with the published token, which Powertools for AWS Lambda keeps for five minutes."""

import os
from typing import Any

import urllib3
from aws_lambda_powertools.utilities import parameters

SECRET = os.environ["TOKEN_SECRET"]
API_URL = os.environ["API_URL"]
CACHE_SECONDS = 300
UNAUTHORIZED = 401

http = urllib3.PoolManager()


def read_token(*, past_the_cache: bool = False) -> dict[str, Any]:
    token: dict[str, Any] = parameters.get_secret(
        SECRET, transform="json", max_age=CACHE_SECONDS, force_fetch=past_the_cache
    )
    return token


def send(token: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    authorization = f"{token['token_type']} {token['access_token']}"
    return http.request("GET", API_URL, headers={"Authorization": authorization}, timeout=10)


def call_api() -> str:
    token = read_token()
    answer = send(token)
    if answer.status == UNAUTHORIZED:
        print("the token was refused; reading it again")
        newer = read_token(past_the_cache=True)
        if newer["access_token"] == token["access_token"]:
            raise SystemExit("it was refused, and there is no newer one")
        answer = send(newer)
    return f"{answer.status}, {len(answer.data)} bytes"


for number in (1, 2):
    print(f"call {number}: {call_api()}")
