"""When a token is due, and what holds it; of what kind a failure is; when it is tried again.

Pure: the same inputs decide the same. No jitter, no clock, no input or output.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from token_refresher.errors import FailureClass, RefreshError, SecretStoreError
from token_refresher.oauth.errors import (
    TEMPORARY_CODES,
    EndpointUnavailableError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.records import FailureRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.model import Account

# One account's refresh failed: here, or at its token endpoint.
Failure = RefreshError | OAuthError
FAILURES: Final = (RefreshError, OAuthError)

# Secrets Manager keeps about 100 versions and all of the last 24 hours. Never a
# third publish within this keeps a day below 96: two each half hour, or
# one each half hour where a refresh writes a claim and a journal as well.
MINIMUM_INTERVAL: Final = timedelta(minutes=30)
MINIMUM_INTERVAL_WITH_REFRESH_TOKENS: Final = timedelta(minutes=60)

# A tick may come a little earlier than a full period after the last one; what
# is due on that tick must not wait for the next.
_TICK_SLACK: Final = timedelta(seconds=30)

_TRANSIENT_FIRST: Final = timedelta(minutes=5)
_TRANSIENT_MOST: Final = timedelta(minutes=30)
_INVALID_RESPONSE_FIRST: Final = timedelta(minutes=30)
# Passwords that are hammered every five minutes lock accounts.
_ACTION_REQUIRED_FIRST: Final = timedelta(minutes=15)
_LONGEST_WAIT: Final = timedelta(hours=6)
_LAST_CHANCE: Final = timedelta(minutes=10)
_LONGEST_RETRY_AFTER: Final = timedelta(hours=1)

# No record of ours holds longer; one that does was edited, and must not hold for ever.
_LONGEST_HOLD: Final = _LONGEST_WAIT + _LONGEST_RETRY_AFTER

_GRANT_WARNING: Final = timedelta(days=7)


class Reason(StrEnum):
    """Why an account is due, or is not. Public: log field, summary, README."""

    NO_TOKEN = "no token yet"  # noqa: S105 - a reason
    UNPUBLISHED_RESPONSE = "unpublished response"
    CREDENTIALS_CHANGED = "credentials changed"
    EXPIRY_UNKNOWN = "expiry unknown"
    EXPIRED = "expired"
    NEARING_EXPIRY = "nearing expiry"
    REJECTED = "rejected"
    FORCED = "forced"
    FRESH = "fresh"
    AWAITING_CREDENTIALS = "awaiting credentials"
    ORPHANED = "orphaned"
    NO_SUCH_ACCOUNT = "no such account"
    BACKING_OFF = "backing off"
    RATE_LIMITED = "rate limited"


class Decision(msgspec.Struct, frozen=True):
    """Whether a token must be refreshed now, and the reason."""

    due: bool
    reason: Reason


class Situation(NamedTuple):
    """What a decision is made from.

    Attributes:
        account: What metadata tells of it; no secret value is needed.
        now: Aware.
        refresh_before: How long before its expiry a token is due.
        force: A person asked.
        rejected_version: A version id whose token a consumer saw refused.
        has_response: As `has_unpublished_response` says.
    """

    account: Account
    now: datetime
    refresh_before: timedelta
    force: bool
    rejected_version: str
    has_response: bool


class Check(NamedTuple):
    """One reason, and when it applies; the check's docstring is what documents say of it."""

    reason: Reason
    applies: Callable[[Situation], bool]


def _has_no_token(of: Situation) -> bool:
    """Nothing was ever published, or the token secret is scheduled for deletion."""
    token = of.account.token
    return of.account.published is None or (token is not None and token.is_deleted)


def _has_response(of: Situation) -> bool:
    """A response was journaled and not published; it is published without a request."""
    return of.has_response


def _has_other_credentials(of: Situation) -> bool:
    """The token was obtained with other credentials."""
    published = of.account.published
    if published is None or not published.is_ours:
        return False
    return published.credentials_digest != of.account.credentials_digest


def _expiry_is_unknown(of: Situation) -> bool:
    """The published token is an external version, and its JSON has no `expires_at`."""
    return of.account.live_until is None


def _is_expired(of: Situation) -> bool:
    """Its life is over."""
    expires_at = of.account.live_until
    return expires_at is not None and of.now >= expires_at


def _is_nearing_expiry(of: Situation) -> bool:
    """`REFRESH_BEFORE_SECONDS` are left, and half its life has passed."""
    due_at = due_time(of.account, refresh_before=of.refresh_before)
    return due_at is not None and of.now >= due_at


def _is_rejected(of: Situation) -> bool:
    """A consumer saw the published token refused."""
    published = of.account.published
    return published is not None and published.version_id == of.rejected_version


def _is_forced(of: Situation) -> bool:
    """An event asked for it."""
    return of.force


def _awaits_credentials(of: Situation) -> bool:
    """The credentials secret has no value yet."""
    return not of.account.is_managed and of.account.has_credentials_secret


def _is_orphaned(of: Situation) -> bool:
    """The credentials secret is gone; the token secret is left alone."""
    return not of.account.is_managed and of.account.token is not None


def _does_not_exist(of: Situation) -> bool:
    """An event named an account that has neither secret."""
    return not of.account.is_managed


# An unpublished response is held by neither of these two: it costs no request and no third
# version, and the server may have ended the published token already.


def _is_backing_off(of: Situation) -> bool:
    """The last attempt failed; the next is due at `token-refresher:retry-at`."""
    failure = of.account.counting_failure
    if failure is None or of.force or of.has_response:
        return False
    return of.now < failure.retry_at <= of.now + _LONGEST_HOLD


def _is_rate_limited(of: Situation) -> bool:
    """It would be the third version in 30 minutes (60 with refresh tokens)."""
    return not of.has_response and is_rate_limited(of.account, now=of.now)


# Why a token is due: the first that applies.
NEEDS: Final = (
    Check(Reason.NO_TOKEN, _has_no_token),
    Check(Reason.UNPUBLISHED_RESPONSE, _has_response),
    Check(Reason.CREDENTIALS_CHANGED, _has_other_credentials),
    Check(Reason.EXPIRY_UNKNOWN, _expiry_is_unknown),
    Check(Reason.EXPIRED, _is_expired),
    Check(Reason.NEARING_EXPIRY, _is_nearing_expiry),
    Check(Reason.REJECTED, _is_rejected),
    Check(Reason.FORCED, _is_forced),
)

# What holds a token that is due, or leaves nothing to refresh: the first that applies.
HOLDS: Final = (
    Check(Reason.AWAITING_CREDENTIALS, _awaits_credentials),
    Check(Reason.ORPHANED, _is_orphaned),
    Check(Reason.NO_SUCH_ACCOUNT, _does_not_exist),
    Check(Reason.BACKING_OFF, _is_backing_off),
    Check(Reason.RATE_LIMITED, _is_rate_limited),
)


def decide(
    account: Account,
    *,
    now: datetime,
    refresh_before: timedelta,
    force: bool = False,
    rejected_version: str = "",
) -> Decision:
    """Decide whether an account's token must be refreshed now.

    The first check of a chain that applies wins, so the reason names what has to be fixed.

    Args:
        account: What metadata tells of it; no secret value is needed.
        now: Aware. Passed in, never read here.
        refresh_before: How long before its expiry a token is due. Must exceed the
            schedule's interval.
        force: A person asked. Overrides back-off, and nothing else that holds.
        rejected_version: A version id whose token a consumer saw refused. It counts only
            while it is the published one, and overrides nothing.
    """
    has_response = has_unpublished_response(account, now=now)
    situation = Situation(account, now, refresh_before, force, rejected_version, has_response)
    need = _first(NEEDS, situation) or Reason.FRESH
    if need is Reason.FRESH and account.is_managed:
        return Decision(due=False, reason=need)
    hold = _first(HOLDS, situation)
    return Decision(due=hold is None, reason=hold or need)


def _first(chain: tuple[Check, ...], situation: Situation) -> Reason | None:
    # It runs for each account of every sweep: a loop, since a generator costs more.
    for reason, applies in chain:
        if applies(situation):
            return reason
    return None


def due_time(account: Account, *, refresh_before: timedelta) -> datetime | None:
    """Tell when the published token becomes due; None where its expiry is not known.

    ``refresh_before`` ahead of its expiry, but never before half its life has
    passed. Without that a server that issues five-minute tokens, under a longer
    margin, would be asked on every run.
    """
    published = account.published
    if published is None or published.expires_at is None:
        return None
    due_at = published.expires_at - refresh_before
    if published.issued_at is None or published.issued_at >= published.expires_at:
        # Nobody knows the life of a token that was issued after its expiry.
        return due_at
    return max(due_at, published.issued_at + (published.expires_at - published.issued_at) / 2)


def has_unpublished_response(account: Account, *, now: datetime) -> bool:
    """Whether a live response was journaled and never became the published token.

    The journal has the version id that the published version will have: it is
    unpublished where it is later than ``AWSCURRENT`` and no version of the token secret.
    """
    journal = account.journal
    if journal is None or now >= journal.expires_at or journal.random == account.refused_random:
        return False
    published = account.published
    if published is None:
        return True
    if account.token is not None and str(journal) in account.token.stages.values():
        return False
    return published.issued_at is not None and journal.issued_at > published.issued_at


def is_rate_limited(account: Account, *, now: datetime) -> bool:
    """Whether another version now would be the third within the minimum interval."""
    previous = account.previous
    return previous is not None and now < previous.issued_at + minimum_interval(account)


def next_attempt(account: Account, reason: Reason) -> datetime | None:
    """Tell when an account that is held back is tried again; None where nothing holds it.

    Args:
        account: As it is known now, after this sweep's attempt if there was one.
        reason: Why it was due, or was not.
    """
    failure, previous = account.counting_failure, account.previous
    if reason is Reason.RATE_LIMITED and previous is not None:
        return previous.issued_at + minimum_interval(account)
    return failure.retry_at if failure is not None else None


def minimum_interval(account: Account) -> timedelta:
    """How much time must pass between a publish and the next but one."""
    return MINIMUM_INTERVAL_WITH_REFRESH_TOKENS if account.uses_refresh_tokens else MINIMUM_INTERVAL


def failure_class_of(error: Failure) -> FailureClass:
    """Tell of what kind a failure is; decided here, and nowhere else."""
    match error:
        case SecretStoreError():
            is_transient = error.transient
        case TokenRequestError():
            is_transient = error.code in TEMPORARY_CODES
        case TokenResponseError():
            return FailureClass.INVALID_RESPONSE
        case _:
            is_transient = isinstance(error, EndpointUnavailableError)
    return FailureClass.TRANSIENT if is_transient else FailureClass.ACTION_REQUIRED


def failure_record(account: Account, error: Failure, *, now: datetime) -> FailureRecord:
    """Tell what to remember of a failure: how often, and when to try again.

    Args:
        account: With the record of the failures before, if any.
        error: Its class and ``Retry-After`` decide.
        now: Aware; the sweep's.
    """
    before = account.counting_failure
    continues = before is not None and before.failure_class is failure_class_of(error)
    failures = before.failures + 1 if before is not None and continues else 1
    live_until = account.live_until
    left = live_until - now if live_until is not None else timedelta(0)
    wait = max(_wait(failure_class_of(error), failures, left), _least_wait(account, before, left))
    retry_at = now + wait - _TICK_SLACK
    asked = error.retry_after if isinstance(error, OAuthError) else None
    if asked is not None:
        retry_at = max(retry_at, now + min(asked, wait + _LONGEST_RETRY_AFTER))
    return FailureRecord(
        failure_class=failure_class_of(error),
        code=error.code,
        failures=failures,
        failed_at=now,
        retry_at=retry_at,
        credentials_digest=account.credentials_digest,
    )


def _wait(failure_class: FailureClass, failures: int, left: timedelta) -> timedelta:
    """Tell how long to leave an account alone.

    Args:
        failure_class: What kind it is.
        failures: How often in a row.
        left: What is left of the published token's life.
    """
    if failure_class is FailureClass.TRANSIENT:
        wait = _doubled(_TRANSIENT_FIRST, failures, most=_TRANSIENT_MOST)
        # The less time is left, the more often it is tried.
        return min(wait, max(_TRANSIENT_FIRST, left / 8)) if left > timedelta(0) else wait
    if failure_class is FailureClass.INVALID_RESPONSE:
        return _doubled(_INVALID_RESPONSE_FIRST, failures, most=_LONGEST_WAIT)
    wait = _doubled(_ACTION_REQUIRED_FIRST, failures, most=_LONGEST_WAIT)
    # However long the wait has become, one attempt precedes the expiry.
    return min(wait, left - _LAST_CHANCE) if left - _LAST_CHANCE > 2 * _TICK_SLACK else wait


def _least_wait(account: Account, before: FailureRecord | None, left: timedelta) -> timedelta:
    """Tell the pace that the versions of a credentials secret allow.

    A refresh writes a claim and a journal, so at most one of either in a quarter of an hour is
    what the minimum interval leaves to tokens that live an hour. A failed attempt has written
    its claim. Tokens that live twice as long leave room for every attempt while they live.

    Args:
        account: Whether it uses refresh tokens, and how long its tokens live.
        before: The failure before, of whatever class: alternating classes each begin from one.
        left: What is left of the published token's life.
    """
    lifetime, interval = published_lifetime(account), MINIMUM_INTERVAL_WITH_REFRESH_TOKENS
    is_short = lifetime is not None and lifetime < 2 * interval
    is_again = before is not None and left <= timedelta(0)
    return interval / 4 if account.uses_refresh_tokens and (is_short or is_again) else timedelta(0)


def _doubled(first: timedelta, failures: int, *, most: timedelta) -> timedelta:
    # Past ten doublings every wait is at its longest; larger powers would overflow.
    return min(first * (1 << min(failures - 1, 10)), most)


def needs_action(account: Account, *, now: datetime) -> bool:
    """Whether action is required for this account, by metadata alone.

    Its last failure says so; or its tokens live shorter than the minimum interval of versions, so
    that no schedule can keep one alive; or a refresh-only account's refresh token
    ends within a week (or half its life, where that is less).
    """
    if account.credentials_version is None:
        return False
    failure = account.counting_failure
    if failure is not None and failure.failure_class is FailureClass.ACTION_REQUIRED:
        return True
    if account.token is not None and account.token.is_deleted:
        return True
    if lives_too_short(account):
        return True
    grant = account.grant
    return grant is not None and grant.expires_at - now < min(_GRANT_WARNING, grant.lifetime / 2)


def is_retrying(account: Account) -> bool:
    """Whether an account's last attempt failed in a way that may heal by itself.

    Of the record, not of this sweep: back-off makes attempts rare, and an alarm must
    hold for as long as the failing does.
    """
    failure = account.counting_failure
    return failure is not None and failure.failure_class is not FailureClass.ACTION_REQUIRED


def lives_too_short(account: Account) -> bool:
    """Whether the published token's life is shorter than the minimum interval of versions."""
    lifetime = published_lifetime(account)
    return lifetime is not None and lifetime < minimum_interval(account)


def published_lifetime(account: Account) -> timedelta | None:
    """Tell how long the published token lives in all; None where its version id does not tell."""
    published = account.published
    if published is None or published.issued_at is None or published.expires_at is None:
        return None
    return published.expires_at - published.issued_at if published.is_ours else None


def seconds_until_expiry(account: Account, *, now: datetime) -> float:
    """Tell how long the published token still lives; 0 when expired or absent."""
    live_until = account.live_until
    return max(0.0, (live_until - now).total_seconds()) if live_until else 0.0


def margin_used(account: Account, *, now: datetime, refresh_before: timedelta) -> float:
    """Tell how far a token is from being due (0) to its expiry (100), in percent.

    The one to alarm on, whatever the lifetimes: a healthy account never gets far.
    """
    due_at, expires_at = due_time(account, refresh_before=refresh_before), account.live_until
    if due_at is None or expires_at is None or now >= expires_at:
        return 100.0
    return max(0.0, 100 * ((now - due_at) / (expires_at - due_at)))
