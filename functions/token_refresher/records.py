"""What is remembered of an account between two sweeps: six tags on its token secret.

Each is written whole, and a person can read it in the console. Anybody who may tag can edit
them, so what does not read as ours counts as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

import msgspec

from token_refresher.errors import FailureClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.ports import SecretMetadata

_TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"
# Python 3.14 alone takes 24 o'clock for the next midnight.
_TIMESTAMP_TEXT: Final = re.compile(r"[1-9][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z")
_COUNT: Final = re.compile(r"[0-9]{1,6}")

_TAG = "token-refresher:"
FAILURE_TAG: Final[str] = _TAG + "failure"
REFUSALS_TAG: Final[str] = _TAG + "refusals"
LEASE_TAG: Final[str] = _TAG + "lease"
REFUSED_RESPONSE_TAG: Final[str] = _TAG + "refused-response"
GRANT_EXPIRES_AT_TAG: Final[str] = _TAG + "grant-expires-at"
CERTIFICATE_EXPIRES_AT_TAG: Final[str] = _TAG + "certificate-expires-at"

# A response that was published, and could not be kept.
JOURNAL_NOT_WRITTEN: Final = "journal_not_written"
# What is on record although nothing has failed: the published token was handed out once more; an
# external version was replaced sooner than another version may be.
UNCHANGED: Final = "unchanged"
REPLACED: Final = "external_version_replaced"

# What a success clears. The expiry of the grant and of the client certificate outlive it.
CLEARED_BY_SUCCESS: Final = (FAILURE_TAG, REFUSALS_TAG, LEASE_TAG, REFUSED_RESPONSE_TAG)


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
    """What is remembered of the failures since the last success.

    Attributes:
        failure_class: What kind the last one is.
        code: The last error's code.
        failures: How often in a row; 0 where it is no failure, but an access token that was
            handed out once more.
        since: Aware; the first of them. A token that was issued later has ended them.
        next_attempt: Aware; no attempt before.
        credentials_digest: Of the last attempt: what is put later is tried at once.
    """

    failure_class: FailureClass
    code: str
    failures: int
    since: datetime
    next_attempt: datetime
    credentials_digest: str

    def to_tag(self) -> str:
        """Write ``class: code/failures/since/next attempt/credentials``."""
        times = map(format_timestamp, (self.since, self.next_attempt))
        return "/".join(
            (
                f"{self.failure_class}: {self.code}",
                str(self.failures),
                *times,
                self.credentials_digest,
            )
        )

    @classmethod
    def from_tag(cls, text: str | None) -> Self | None:
        """Read the tag; None where there is none, or somebody edited it."""
        if text is None:
            return None
        error, *rest = text.split("/")
        name, _, code = error.partition(": ")
        if len(rest) != 4 or name not in set(FailureClass) or not _COUNT.fullmatch(rest[0]):  # noqa: PLR2004
            return None
        since, next_attempt = map(parse_timestamp, rest[1:3])
        if since is None or next_attempt is None:
            return None
        return cls(FailureClass(name), code, int(rest[0]), since, next_attempt, rest[3])


class Refusals(msgspec.Struct, frozen=True):
    """How often the endpoint refused the credentials; it outlives failures of another pace.

    Attributes:
        count: In a row, with these credentials.
        brought_forward_at: Aware; when credentials that were put last brought an attempt
            forward. None where they never did.
        credentials_digest: The credentials that were refused.
    """

    count: int
    brought_forward_at: datetime | None
    credentials_digest: str

    def to_tag(self) -> str:
        """Write ``count/brought forward at/credentials``; ``-`` stands for never."""
        at = self.brought_forward_at
        return f"{self.count}/{format_timestamp(at) if at else '-'}/{self.credentials_digest}"

    @classmethod
    def from_tag(cls, text: str | None) -> Self | None:
        """Read the tag; None where there is none, or somebody edited it."""
        parts = (text or "").split("/")
        if len(parts) != 3 or not _COUNT.fullmatch(parts[0]):  # noqa: PLR2004 - as written
            return None
        return cls(int(parts[0]), parse_timestamp(parts[1]), parts[2])


class LeaseEnd(StrEnum):
    """What became of the refresh token that was sent under a lease, where no token came."""

    UNANSWERED = "unanswered"
    SPENT = "spent"
    REFUSED = "refused"


def ended_lease(lease_id: str, end: LeaseEnd) -> str:
    """Write the tag of a lease's end: ``lease id/end``."""
    return f"{lease_id}/{end}"


def lease_end(text: str | None, lease_id: str | None) -> LeaseEnd | None:
    """Read the tag; None where it is not of this lease, or says nothing that is ours."""
    ended, _, end = (text or "").rpartition("/")
    return LeaseEnd(end) if ended and ended == lease_id and end in set(LeaseEnd) else None


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


class CertificateLifetime(GrantLifetime, frozen=True):
    """When a client certificate expires, or one that leads to its authority does.

    Attributes:
        expires_at: Aware.
        lifetime: As it was issued.
    """


class Unrecorded(msgspec.Struct, frozen=True):
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
