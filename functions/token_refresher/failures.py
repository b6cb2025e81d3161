"""What a failure becomes: who is called is its class, when it is tried again its pace.

Where a refresh token was sent and brought no token, the table of sendings and the time between
leases go before any pace. Pure. What is recorded here holds an account back in `policy`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    RefreshError,
    RefreshTokenHeldError,
    RejectedAgainError,
    SecretStoreError,
    SigningError,
)
from token_refresher.oauth.errors import (
    TEMPORARY_CODES,
    EndpointUnavailableError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import (
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    PACE_OF_VERSIONS,
    REFRESH_TOKEN_MARGIN,
    REFUSED_FIRST,
    TICK_SLACK,
    due_time,
    minimum_interval,
    version_pace,
)
from token_refresher.records import REPLACED, UNCHANGED, FailureRecord, LeaseEnd, Refusals

if TYPE_CHECKING:
    from token_refresher.model import Account

# One account's refresh failed: here, or at its token endpoint.
Failure = RefreshError | OAuthError
FAILURES: Final = (RefreshError, OAuthError)

_NO_TIME: Final = timedelta(0)
_TRANSIENT_WAITS: Final = tuple(timedelta(minutes=each) for each in (5, 10, 20, 30))
_MOST_WITHOUT_TOKEN: Final = timedelta(minutes=10)
_FIRST_TOKEN_HASTE: Final = timedelta(hours=1)
_LAST_CHANCE: Final = timedelta(minutes=10)

# The last lease may still be at work, and a server without grace may end a living token with
# each sending.
_LEASE_INTERVAL: Final = timedelta(minutes=15)
_LEASE_INTERVAL_BEFORE_ITS_END: Final = timedelta(minutes=5)
# A refresh token that was sent in vain is sent again in the last half hour of the token.
_LAST_SENDINGS: Final = timedelta(minutes=30)

_AT_ONCE_CODES: Final = frozenset(
    {
        "external_secret",
        "host_not_allowed",
        "invalid_ca_certificates",
        "invalid_certificate",
        "scheduled_for_deletion",
    }
)


class Pace(StrEnum):
    """When a failure is tried again; who is called is its class."""

    AT_ONCE = "at once"
    REFUSED = "refused credentials"
    TRANSIENT = "transient"


def failure_class_of(error: Failure) -> FailureClass:
    """Tell of what kind a failure is; decided here, and nowhere else."""
    match error:
        case SecretStoreError() | SigningError():
            is_transient = error.transient
        case TokenRequestError():
            is_transient = error.code in TEMPORARY_CODES
        case TokenResponseError():
            return FailureClass.INVALID_RESPONSE
        case RefreshTokenHeldError():
            is_transient = not error.is_spent
        case _:
            is_transient = isinstance(error, EndpointUnavailableError | RejectedAgainError)
    return FailureClass.TRANSIENT if is_transient else FailureClass.ACTION_REQUIRED


def pace_of(error: Failure) -> Pace:
    """Tell by which pace a failure is tried again; decided here, and nowhere else."""
    if isinstance(error, CredentialsError) or error.code in _AT_ONCE_CODES:
        return Pace.AT_ONCE
    if isinstance(error, OAuthError) and error.is_refusal:
        return Pace.REFUSED
    return Pace.TRANSIENT


def refusals_record(account: Account, error: Failure, *, now: datetime) -> Refusals | None:
    """Tell how often the credentials were refused by now; None where this was no refusal.

    Args:
        account: With what was recorded before.
        error: Its pace decides.
        now: Aware; the sweep's.
    """
    if pace_of(error) is not Pace.REFUSED:
        return None
    before, failure, digest = account.refusals, account.failure, account.credentials_digest
    is_again = before is not None and before.credentials_digest == digest
    count = before.count + 1 if before is not None and is_again else 1
    brought_forward_at = before.brought_forward_at if before is not None else None
    if failure is not None and failure.credentials_digest != digest and now < failure.next_attempt:
        brought_forward_at = now
    return Refusals(count, brought_forward_at, digest)


def failure_record(
    account: Account,
    error: Failure,
    *,
    now: datetime,
    refusals: Refusals | None = None,
    last_sending: Sending | None = None,
) -> FailureRecord:
    """Tell what to remember of a failure: how often, and when to try again.

    Args:
        account: With the record of the failures before, if any.
        error: Its class, its pace and ``Retry-After`` decide.
        now: Aware; the sweep's.
        refusals: As `refusals_record` says.
        last_sending: Where the account has nothing but a refresh token, and has sent it: that
            goes before any pace.
    """
    before = account.counting_failure
    is_again = before is not None and before.failures > 0
    failures, since = (before.failures + 1, before.since) if before and is_again else (1, now)
    pace = pace_of(error)
    wait = _wait(account, pace, failures, refusals.count if refusals else 0, since, now)
    at = now + wait
    if last_sending is not None:
        leased_at = last_sending.leased_at
        earliest = leased_at + lease_interval(account, leased_at, is_ended=True, now=now)
        sending_at = max(earliest, next_sending(account, last_sending, now=now))
        at = max(at, sending_at) if pace is Pace.REFUSED else sending_at
    at = max(at - TICK_SLACK, now)
    asked = error.retry_after if isinstance(error, OAuthError) else None
    if asked is not None:
        at = max(at, now + min(asked, wait + LONGEST_RETRY_AFTER))
    return FailureRecord(
        failure_class=failure_class_of(error),
        code=error.code,
        failures=failures,
        since=since,
        next_attempt=at,
        credentials_digest=account.credentials_digest,
    )


def _wait(
    account: Account, pace: Pace, failures: int, refusals: int, since: datetime, now: datetime
) -> timedelta:
    """Tell how long to leave an account alone, by the table of paces."""
    left = account.live_until - now if account.live_until is not None else _NO_TIME
    if pace is Pace.AT_ONCE:
        return _NO_TIME
    if pace is Pace.REFUSED:
        # Past ten doublings every wait is at its longest; larger powers would overflow.
        wait = min(REFUSED_FIRST * (1 << min(refusals - 1, 10)), LONGEST_WAIT)
    elif account.published is None and now - since < _FIRST_TOKEN_HASTE:
        return _NO_TIME
    else:
        wait = _TRANSIENT_WAITS[min(failures, len(_TRANSIENT_WAITS)) - 1]
        # While a token lives no wait passes its end, but for the shortest.
        wait = min(wait, max(left, _TRANSIENT_WAITS[0]) if left > _NO_TIME else _MOST_WITHOUT_TOKEN)
    # However long the wait has become, one attempt precedes the expiry.
    return min(wait, left - _LAST_CHANCE) if left - _LAST_CHANCE > 2 * TICK_SLACK else wait


class Sending(NamedTuple):
    """What became of a refresh-only account's refresh token when it was last sent.

    Attributes:
        end: In which way no token came of it.
        leased_at: Aware; when its lease was taken.
    """

    end: LeaseEnd
    leased_at: datetime


def next_sending(
    account: Account, last: Sending, *, now: datetime, insists: bool = False
) -> datetime:
    """Tell when a refresh token that brought no token is sent again, where there is nothing else.

    Each sending of a refresh token that may be spent can end the published token early, at a
    server without grace. So it waits while that token lives, and never longer. That an interval
    lies between two leases as well is `lease_interval`'s.

    Args:
        account: With its published token.
        last: What became of it.
        now: Aware.
        insists: A person asked, or a consumer saw the published token refused.

    Returns:
        ``now`` where nothing but that interval has to be waited for.
    """
    live_until, grant = account.live_until, account.grant
    if insists or live_until is None or now >= live_until or last.end is LeaseEnd.REFUSED:
        return now
    if last.end is LeaseEnd.SPENT:
        return live_until
    ends_at = min(live_until, grant.expires_at) if grant is not None else live_until
    return max(now, ends_at - _LAST_SENDINGS)


def lease_interval(
    account: Account, last_at: datetime, *, is_ended: bool, now: datetime
) -> timedelta:
    """How much time must pass between two leases of one secret.

    Args:
        account: When its refresh token ends, and whether its last response was journaled and
            could not be published, so that each lease writes two versions.
        last_at: Aware; when the last lease was taken.
        is_ended: Whether what became of it is on record.
        now: Aware.
    """
    if account.journal is not None and str(account.journal) == account.refused_response:
        return 2 * PACE_OF_VERSIONS
    grant = account.grant
    ends_first = grant is not None and now < grant.expires_at < last_at + _LEASE_INTERVAL
    return _LEASE_INTERVAL_BEFORE_ITS_END if is_ended and ends_first else _LEASE_INTERVAL


def unchanged_record(account: Account, *, now: datetime) -> FailureRecord:
    """Tell when to ask again after the published token was handed out once more.

    Half of what is left must pass, at least what a version takes, and never more than all; nor may
    the refresh token end meanwhile.
    """
    live_until, earliest = account.live_until or now, now + version_pace(account)
    at = min(max(now + (live_until - now) / 2, earliest), live_until)
    if account.grant is not None:
        at = min(at, max(account.grant.expires_at - REFRESH_TOKEN_MARGIN, earliest))
    return FailureRecord(
        failure_class=FailureClass.TRANSIENT,
        code=UNCHANGED,
        failures=0,
        since=now,
        next_attempt=at - TICK_SLACK,
        credentials_digest=account.credentials_digest,
    )


def replaced_record(
    account: Account, *, issued_at: datetime, now: datetime
) -> FailureRecord | None:
    """Tell that an external version is replaced although it is too soon for another version.

    Args:
        account: With what is replaced.
        issued_at: Aware; of the token that replaces it.
        now: Aware; the sweep's.

    Returns:
        Until when no other one is replaced; None where this was no exemption.
    """
    published, previous, interval = account.published, account.previous, minimum_interval(account)
    if published is None or published.is_ours:
        return None
    if previous is not None and now >= previous.issued_at + interval - TICK_SLACK:
        return None
    return FailureRecord(
        failure_class=FailureClass.TRANSIENT,
        code=REPLACED,
        failures=0,
        since=issued_at + timedelta(seconds=1),
        next_attempt=now + interval - TICK_SLACK,
        credentials_digest=account.credentials_digest,
    )


def renewal_time(account: Account, *, now: datetime, refresh_before: timedelta) -> datetime:
    """Tell when to try once more to keep what a primary grant brings, where that failed twice.

    Each trial asks for a token that is not needed yet, and publishes it: so it waits for the next
    one that is, but not for longer than any failure does.
    """
    due_at = due_time(account, refresh_before=refresh_before)
    return min(due_at or now, now + LONGEST_WAIT)
