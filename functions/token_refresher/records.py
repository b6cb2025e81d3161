"""What is remembered of an account between two sweeps: tags on its token secret, each with a name.

A person reads them in the console, and anybody who may tag can edit them: what does not read
as ours counts as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

import msgspec

from token_refresher.errors import FailureClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.ports import SecretMetadata

_TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"
# Python 3.14 alone takes 24 o'clock for the next midnight.
_TIMESTAMP_TEXT: Final = re.compile(r"[1-9][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z")

_TAG = "token-refresher:"
ERROR_TAG: Final[str] = _TAG + "error"
FAILURES_TAG: Final[str] = _TAG + "failures"
FAILED_AT_TAG: Final[str] = _TAG + "failed-at"
RETRY_AT_TAG: Final[str] = _TAG + "retry-at"
CREDENTIALS_TAG: Final[str] = _TAG + "credentials"
REFUSED_TAG: Final[str] = _TAG + "refused"
RELEASED_TAG: Final[str] = _TAG + "released"
DEAD_TAG: Final[str] = _TAG + "dead"
GRANT_EXPIRES_AT_TAG: Final[str] = _TAG + "grant-expires-at"

# What a success clears. The grant's expiry outlives it.
_FAILURE: Final = (ERROR_TAG, FAILURES_TAG, FAILED_AT_TAG, RETRY_AT_TAG, CREDENTIALS_TAG)
FAILURE_TAGS: Final = (*_FAILURE, REFUSED_TAG, RELEASED_TAG, DEAD_TAG)


def format_timestamp(time: datetime) -> str:
    """Write an aware time as ``20261124T010000Z``, which a version id and a tag may hold."""
    return time.astimezone(UTC).strftime(_TIMESTAMP)


def parse_timestamp(text: str) -> datetime | None:
    """Read what `format_timestamp` wrote; None for anything else."""
    # A listing tells thousands of them, so not by strptime, which takes ten times as long.
    if not _TIMESTAMP_TEXT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """What is remembered of a failure, as tags on the token secret.

    Attributes:
        failure_class: What kind it is.
        code: The error's code.
        failures: How often in a row, in this class.
        failed_at: Aware; a token that was issued later has ended it.
        retry_at: Aware; no attempt before.
        credentials_digest: The record counts only for these credentials, so that a
            correction is tried at once.
    """

    failure_class: FailureClass
    code: str
    failures: int
    failed_at: datetime
    retry_at: datetime
    credentials_digest: str

    def to_tags(self) -> dict[str, str]:
        """Write the record as a person reads it in the console."""
        return {
            ERROR_TAG: f"{self.failure_class}: {self.code}",
            FAILURES_TAG: str(self.failures),
            FAILED_AT_TAG: format_timestamp(self.failed_at),
            RETRY_AT_TAG: format_timestamp(self.retry_at),
            CREDENTIALS_TAG: self.credentials_digest,
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """Read the record; None where there is none, or somebody edited it."""
        if ERROR_TAG not in tags or CREDENTIALS_TAG not in tags:
            return None
        name, _, code = tags[ERROR_TAG].partition(": ")
        failures = tags.get(FAILURES_TAG, "")
        failed_at, retry_at = (
            parse_timestamp(tags.get(key, "")) for key in (FAILED_AT_TAG, RETRY_AT_TAG)
        )
        if name not in set(FailureClass) or not re.fullmatch(r"[0-9]{1,6}", failures):
            return None
        if failed_at is None or retry_at is None:
            return None
        digest = tags[CREDENTIALS_TAG]
        return cls(FailureClass(name), code, int(failures), failed_at, retry_at, digest)


class GrantLifetime(msgspec.Struct, frozen=True):
    """When a refresh-only account's refresh token itself expires.

    Attributes:
        expires_at: Aware.
        lifetime: From the first response that named this expiry: a refresh token that
            gets a new lifetime with every response keeps its expiry at a distance.
    """

    expires_at: datetime
    lifetime: timedelta

    def to_tag(self) -> str:
        """Write ``timestamp/seconds``."""
        return f"{format_timestamp(self.expires_at)}/{int(self.lifetime.total_seconds())}"

    @classmethod
    def from_tag(cls, text: str) -> Self | None:
        """Read the tag; None where it is absent or edited."""
        timestamp, _, seconds = text.partition("/")
        expires_at = parse_timestamp(timestamp)
        if expires_at is None or not re.fullmatch(r"[0-9]{1,12}", seconds):
            return None
        return cls(expires_at, timedelta(seconds=int(seconds)))


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Tags that a token secret could not be given.

    Attributes:
        tags: What should have been written.
        instead_of: Our tags that were there; other ones are another run's, and newer.
        since: Aware; a token that was issued later has made them void.
    """

    tags: Mapping[str, str]
    instead_of: Mapping[str, str]
    since: datetime


def our_tags(token: SecretMetadata | None) -> dict[str, str]:
    """Those of a token secret's tags that the program writes."""
    tags = token.tags if token else {}
    return {key: value for key, value in tags.items() if key.startswith(_TAG)}
