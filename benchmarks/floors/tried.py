"""What was tried to make faster, and as it was before: the event says which, and how often."""

from __future__ import annotations

import json
import os
from dataclasses import make_dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from token_refresher.aws import secret_store
from token_refresher.records import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = [(name, str) for name in ("one", "two", "three", "four")]
MOMENT = "20261124T010000Z"
# As many as Powertools puts into one line.
VALUES = 100
prefix = os.environ["SECRET_PREFIX"]
described = f"{prefix}/tokens/dealer-000000"

metrics = Metrics(namespace="TokenRefresher", service="token-refresher")
client = secret_store.create_client(max_workers=16, user_agent="token-refresher/test")
plain = boto3.client("secretsmanager")
# botocore names the file of certificates to each new connection, and OpenSSL reads it again into
# the one context that all of them share. This one reads it once.
remembering: Any = boto3.client("secretsmanager")
context = remembering._endpoint.http_session._manager.connection_pool_kw["ssl_context"]  # noqa: SLF001 - no other way
context.load_verify_locations = cache(context.load_verify_locations)
unchecked = boto3.client("secretsmanager", config=Config(parameter_validation=False))


def list_page(of: Any) -> None:  # noqa: ANN401 - a client
    """List a hundred secrets."""
    of.list_secrets(Filters=[{"Key": "name", "Values": [f"{prefix}/tokens/"]}], MaxResults=100)


def describe(of: Any) -> None:  # noqa: ANN401 - a client
    """Describe a secret."""
    of.describe_secret(SecretId=described)


def connect(of: Any) -> None:  # noqa: ANN401 - a client
    """Describe a secret over a new connection."""
    of._endpoint.http_session.close()  # noqa: SLF001 - no other way to make it forget
    describe(of)


def strptime() -> None:
    """Read a moment as the standard library does."""
    datetime.strptime(MOMENT, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def add_values() -> None:
    """Emit a metric's values as the program does."""
    for value in range(VALUES):
        metrics.add_metric("SecondsUntilExpiry", MetricUnit.Seconds, value)


def print_values() -> None:
    """Print as many in a line."""
    print(json.dumps({"SecondsUntilExpiry": [float(value) for value in range(VALUES)]}))


def define_dataclass() -> None:
    """Define plain data as the program does."""
    make_dataclass("Plain", FIELDS, frozen=True, slots=True)


def define_struct() -> None:
    """Define the same with msgspec."""
    msgspec.defstruct("Plain", FIELDS, frozen=True)


ACTS: dict[str, Callable[[], object]] = {
    "page": partial(list_page, client),
    "page before": partial(list_page, plain),
    "call": partial(describe, client),
    "call before": partial(describe, plain),
    "call unchecked": partial(describe, unchecked),
    "connection": partial(connect, remembering),
    "connection before": partial(connect, plain),
    "moment": partial(parse_timestamp, MOMENT),
    "moment before": strptime,
    "values": print_values,
    "values before": add_values,
    "struct": define_struct,
    "dataclass": define_dataclass,
}


def lambda_handler(event: dict[str, Any], _context: object) -> None:
    """Do one of them, so many times."""
    act = ACTS[event["act"]]
    for _ in range(event["times"]):
        act()
