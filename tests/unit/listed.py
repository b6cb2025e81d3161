"""An account as a listing tells of it: version ids, stages, tags; all of it around one time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from token_refresher.errors import FailureClass
from token_refresher.model import Account, Published, TokenVersion, account_from_metadata, digest12
from token_refresher.ports import SecretMetadata
from token_refresher.records import (
    CERTIFICATE_EXPIRES_AT_TAG,
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    REFUSALS_TAG,
    CertificateLifetime,
    FailureRecord,
    GrantLifetime,
    Refusals,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
NO_TIME: Final = timedelta(0)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
BEFORE: Final = 90 * MINUTE
SCHEDULE: Final = 5 * MINUTE
SLACK: Final = timedelta(seconds=30)
CREDENTIALS: Final = "credentials-version-1"
A_PERSONS_ID: Final = "a-person-s-version-id-0123456789abcdef"
TOKEN: Final = "0123456789ab"
LEASE: Final = f"request-{'0' * 40}-1"


def issued(
    ago: timedelta,
    *,
    life: timedelta = 12 * HOUR,
    credentials: str = CREDENTIALS,
    token: str = TOKEN,
) -> str:
    issued_at = NOW - ago
    return str(TokenVersion(issued_at, issued_at + life, digest12(credentials), token))


def account(
    current: str | None = None,
    *,
    previous: str | None = None,
    journal: str | None = None,
    lease: str | None = None,
    tags: dict[str, str] | None = None,
    credentials: str | None = CREDENTIALS,
) -> Account:
    token = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
    stages = {"AWSCURRENT": credentials, "TOKENRESPONSE": journal, "TOKENREQUEST": lease}
    return account_from_metadata(
        "dealer-17",
        credentials=SecretMetadata({stage: id_ for stage, id_ in stages.items() if id_}),
        token=SecretMetadata({stage: id_ for stage, id_ in token.items() if id_}, tags or {}),
        now=NOW,
    )


def failed(
    retry_in: timedelta,
    *,
    failures: int = 1,
    failure_class: FailureClass = FailureClass.TRANSIENT,
    credentials: str = CREDENTIALS,
    since: timedelta = NO_TIME,
    code: str = "timeout",
) -> dict[str, str]:
    code = code if failures else "unchanged"
    record = FailureRecord(
        failure_class,
        code,
        failures,
        NOW + min(retry_in, since),
        NOW + retry_in,
        digest12(credentials),
    )
    return {FAILURE_TAG: record.to_tag()}


def refused(
    count: int, *, forward: timedelta | None = None, credentials: str = CREDENTIALS
) -> dict[str, str]:
    at = None if forward is None else NOW + forward
    return {REFUSALS_TAG: Refusals(count, at, digest12(credentials)).to_tag()}


def grant(left: timedelta, lifetime: timedelta = 30 * DAY) -> dict[str, str]:
    return {GRANT_EXPIRES_AT_TAG: GrantLifetime(NOW + left, lifetime).to_tag()}


def certificate(left: timedelta, lifetime: timedelta = 365 * DAY) -> dict[str, str]:
    return {CERTIFICATE_EXPIRES_AT_TAG: CertificateLifetime(NOW + left, lifetime).to_tag()}


def external(*, issued_at: datetime | None, expires_at: datetime | None) -> Account:
    """An account whose token somebody else published, with the times of its JSON."""
    return replace(account(A_PERSONS_ID), published=Published(A_PERSONS_ID, issued_at, expires_at))


LATER: Final = issued(MINUTE)
OLD: Final = issued(11 * HOUR)
EXPIRED: Final = issued(13 * HOUR)
OTHERS: Final[dict[str, Any]] = {"credentials": "other"}

# What is read of a person's token: until the year 3000.
TIMES_OF_ANYBODY: Final = st.integers(1, 32_503_679_999).map(
    lambda count: datetime.fromtimestamp(count, UTC)
)
