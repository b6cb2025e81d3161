"""The libraries of the program, imported and constructed as it constructs them, and no program.

An invocation lists both paths and emits the metrics, as an idle sweep does at least.
"""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import msgspec
import urllib3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

GAUGES = ("SweepsCompleted", "AccountsManaged", "AccountsNeedingAction", "AccountsRetrying")
MORE_GAUGES = ("AccountsLeftOver", "AccountsAwaitingCredentials", "TokensOrphaned", "MarginUsed")


class Event(msgspec.Struct, frozen=True):
    """An event that has no fields."""


client = boto3.client(
    "secretsmanager",
    config=Config(
        connect_timeout=2,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=18,
    ),
)
pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(), maxsize=16)
logger = Logger(service="token-refresher", utc=True)
metrics = Metrics(namespace="TokenRefresher", service="token-refresher")


def list_path(path: str) -> int:
    """Count the secrets of one page."""
    page = client.list_secrets(Filters=[{"Key": "name", "Values": [path]}], MaxResults=100)
    return len(page["SecretList"])


def lambda_handler(event: dict[str, Any], _context: object) -> list[int]:
    """Sweep."""
    msgspec.convert(event, Event)
    with ThreadPoolExecutor(2) as workers:
        found = list(workers.map(list_path, ["oauth/credentials/", "oauth/tokens/"]))
    for name in (*GAUGES, *MORE_GAUGES):
        metrics.add_metric(name, MetricUnit.Count, 1)
    metrics.flush_metrics()
    return found
