"""The least that a refresh could be: the same calls and one request, written out, nothing checked.

It knows which accounts are due, and how each gets its token; the program must find out.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3
import urllib3
from botocore.config import Config

client = boto3.client("secretsmanager", config=Config(max_pool_connections=18))
context = ssl.create_default_context()
pool = urllib3.PoolManager(ssl_context=context, maxsize=16)
endpoint = os.environ["TOKEN_ENDPOINT"]
tokens = os.environ["SECRET_PREFIX"] + "/tokens/"
credentials_path = os.environ["SECRET_PREFIX"] + "/credentials/"


turns = threading.Lock()
pace = {"per_second": 0.0, "next": 0.0}


def wait_for_turn() -> None:
    """Keep to the rate that the event asks for, if it asks for one."""
    if not pace["per_second"]:
        return
    with turns:
        now = time.monotonic()
        turn = max(pace["next"], now)
        pace["next"] = turn + 1 / pace["per_second"]
    time.sleep(max(turn - now, 0))


def request(
    credentials: dict[str, Any], fields: dict[str, str], connections: urllib3.PoolManager
) -> dict[str, Any]:
    """Ask for a token."""
    pair = f"{credentials['client_id']}:{credentials['client_secret']}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    answer = connections.request_encode_body(
        "POST", endpoint, fields=fields, headers=headers, encode_multipart=False
    )
    told: dict[str, Any] = json.loads(answer.data)
    return told


def put(secret_id: str, version_id: str, content: object, stage: str) -> None:
    """Write a version."""
    wait_for_turn()
    client.put_secret_value(
        SecretId=secret_id,
        ClientRequestToken=version_id,
        SecretString=json.dumps(content),
        VersionStages=[stage],
    )


def read(secret_id: str, stage: str) -> dict[str, Any]:
    """Read a version."""
    answer = client.get_secret_value(SecretId=secret_id, VersionStage=stage)
    told: dict[str, Any] = json.loads(answer["SecretString"])
    return told


def refresh_without_refresh_token(name: str) -> None:
    """Describe, read, request, describe, publish."""
    client.describe_secret(SecretId=tokens + name)
    credentials = read(credentials_path + name, "AWSCURRENT")
    answer = request(credentials, {"grant_type": "client_credentials"}, pool)
    client.describe_secret(SecretId=tokens + name)
    put(tokens + name, secrets.token_hex(20), answer, "AWSCURRENT")


def refresh_by_refresh_token(name: str, *, connects: bool) -> None:
    """Describe, read both, lease, request, journal, publish.

    Args:
        name: The account's.
        connects: Whether a connection is opened for the request, as the program does.
    """
    client.describe_secret(SecretId=tokens + name)
    credentials = read(credentials_path + name, "AWSCURRENT")
    journal = read(credentials_path + name, "TOKENRESPONSE")
    put(credentials_path + name, secrets.token_hex(20), {"run": "made-up"}, "TOKENREQUEST")
    fields = {"grant_type": "refresh_token", "refresh_token": journal["refresh_token"]}
    connections = urllib3.PoolManager(ssl_context=context) if connects else pool
    answer = request(credentials, fields, connections)
    if connects:
        connections.clear()
    version_id = secrets.token_hex(20)
    put(credentials_path + name, version_id, answer, "TOKENRESPONSE")
    answer.pop("refresh_token", None)
    put(tokens + name, version_id, answer, "AWSCURRENT")


def lambda_handler(event: dict[str, Any], _context: object) -> int:
    """Refresh the accounts that the event names, as many at once as the program does."""
    pace["per_second"] = event["writes_per_second"]
    each = (
        partial(refresh_by_refresh_token, connects=event["connects"])
        if event["by_refresh_token"]
        else refresh_without_refresh_token
    )
    with ThreadPoolExecutor(16) as workers:
        return len(list(workers.map(each, event["accounts"])))
