"""A Lambda function that reads the token from the AWS Parameters and Secrets Lambda Extension."""

import json
import os
from typing import Any
from urllib.parse import urlencode

import boto3
import urllib3

SECRET = os.environ["TOKEN_SECRET"]
API_URL = os.environ["API_URL"]
PORT = os.environ.get("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "2773")
UNAUTHORIZED = 401

http = urllib3.PoolManager()
newest: dict[str, Any] = {}


def from_extension() -> str:
    answer = http.request(
        "GET",
        f"http://localhost:{PORT}/secretsmanager/get?{urlencode({'secretId': SECRET})}",
        headers={"X-Aws-Parameters-Secrets-Token": os.environ["AWS_SESSION_TOKEN"]},
    )
    secret: str = json.loads(answer.data)["SecretString"]
    return secret


def from_secrets_manager() -> str:
    # The extension has no way past its cache.
    return boto3.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]


def remember(secret: str) -> None:
    # Having read past the cache, this environment knows a newer token than the extension does.
    token = json.loads(secret)
    if token["issued_at"] >= newest.get("issued_at", 0):
        newest.update(token)


def send() -> tuple[int, bytes]:
    authorization = f"{newest['token_type']} {newest['access_token']}"
    answer = http.request("GET", API_URL, headers={"Authorization": authorization}, timeout=10)
    return answer.status, answer.data


def call_api() -> str:
    remember(from_extension())
    status, body = send()
    if status == UNAUTHORIZED:
        print("the token was refused; reading it again")
        refused = newest["access_token"]
        remember(from_secrets_manager())
        if newest["access_token"] == refused:
            raise RuntimeError("it was refused, and there is no newer one")
        status, body = send()
    return f"{status}, {len(body)} bytes"


def handler(_event: object, _context: object) -> None:
    for number in (1, 2):
        print(f"call {number}: {call_api()}")
