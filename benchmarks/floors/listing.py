"""The least that a sweep could be: both paths listed at once with boto3, and nothing made of it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

prefix = os.environ.get("SECRET_PREFIX", "oauth")
client = boto3.client("secretsmanager", config=Config(max_pool_connections=18))


def list_path(path: str) -> int:
    """Count the secrets under a path."""
    found, token = 0, ""
    while True:
        more: dict[str, Any] = {"NextToken": token} if token else {}
        page = client.list_secrets(
            Filters=[{"Key": "name", "Values": [path]}], MaxResults=100, **more
        )
        found += len(page["SecretList"])
        token = page.get("NextToken", "")
        if not token:
            return found


def lambda_handler(_event: object, _context: object) -> list[int]:
    """Sweep."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(list_path, [f"{prefix}/credentials/", f"{prefix}/tokens/"]))
