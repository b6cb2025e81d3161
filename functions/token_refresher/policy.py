"""When a token is due, and why; when to try again; who needs somebody.

Pure: the same inputs decide the same. No jitter, no clock, no input or output.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from token_refresher.errors import FailureClass
from token_refresher.model import FailureRecord

if TYPE_CHECKING:
    from token_refresher.errors import RefreshError
    from token_refresher.model import Account

# Secrets Manager keeps about 100 versions and all of the last 24 hours. Never a
# third publish within the floor keeps a day below 96: two each half hour, or
# one each half hour where a refresh writes a claim and a journal as well.
WRITE_FLOOR: Final = timedelta(minutes=30)
WRITE_FLOOR_WITH_REFRESH_TOKENS: Final = timedelta(minutes=60)

# A tick may come a little earlier than a full period after the last one; what
# is due on that tick must not wait for the next.
_TICK_SLACK: Final = timedelta(seconds=30)

_TRY_LATER_FIRST: Final = timedelta(minutes=5)
_TRY_LATER_MOST: Final = timedelta(minutes=30)
_UNUSABLE_FIRST: Final = timedelta(minutes=30)
# Passwords that are hammered every five minutes lock accounts.
_MUST_ACT_FIRST: Final = timedelta(minutes=15)
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
    FORCED = "forced"
    REJECTED = "rejected"
    FRESH = "fresh"
    BACKING_OFF = "backing off"
    WRITE_FLOOR = "write floor"
    AWAITING_CREDENTIALS = "awaiting credentials"
    ORPHANED = "orphaned"
    NO_SUCH_ACCOUNT = "no such account"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a token must be refreshed now, and the reason."""

    due: bool
    reason: Reason


def decide(
    account: Account,
    *,
    now: datetime,
    refresh_before: timedelta,
    force: bool = False,
    rejected_version: str = "",
) -> Decision:
    """Decide whether an account's token must be refreshed now.

    The first check that applies wins, so the reason names what has to be fixed.

    Args:
        account: What metadata tells of it; no secret value is needed.
        now: Aware. Passed in, never read here.
        refresh_before: How long before its expiry a token is due. Must exceed the
            schedule's interval.
        force: A person asked. Overrides everything but the write floor.
        rejected_version: A version id whose token a consumer saw refused. It counts only
            while it is the published one, and overrides nothing.
    """
    if account.credentials_version is None:
        return Decision(due=False, reason=_absence(account))
    has_response = has_unpublished_response(account, now=now)
    reason = _need(account, now=now, refresh_before=refresh_before, has_response=has_response)
    if has_response:
        # It costs no request and no third write, and the server may have killed
        # the published token already: neither back-off nor floor holds it.
        return Decision(due=True, reason=reason)
    if reason is Reason.FRESH and _is_rejected(account, rejected_version):
        reason = Reason.REJECTED
    if reason is Reason.FRESH and force:
        reason = Reason.FORCED
    if reason is Reason.FRESH:
        return Decision(due=False, reason=reason)
    failure = account.counting_failure
    if failure is not None and now < failure.retry_at <= now + _LONGEST_HOLD and not force:
        return Decision(due=False, reason=Reason.BACKING_OFF)
    if is_held_by_write_floor(account, now=now):
        return Decision(due=False, reason=Reason.WRITE_FLOOR)
    return Decision(due=True, reason=reason)


def _is_rejected(account: Account, version_id: str) -> bool:
    return account.published is not None and account.published.version_id == version_id


def _absence(account: Account) -> Reason:
    """Name what is missing of an account without a credentials version."""
    if account.has_credentials_secret:
        return Reason.AWAITING_CREDENTIALS
    return Reason.ORPHANED if account.token is not None else Reason.NO_SUCH_ACCOUNT


def _need(
    account: Account, *, now: datetime, refresh_before: timedelta, has_response: bool
) -> Reason:
    """Name what is wrong with the published token, or that nothing is."""
    published = account.published
    if published is None or (account.token is not None and account.token.is_deleted):
        # A secret that is scheduled for deletion is read by nobody; the refresh says so.
        return Reason.NO_TOKEN
    if has_response:
        return Reason.UNPUBLISHED_RESPONSE
    if published.is_ours and published.credentials_digest != account.credentials_digest:
        return Reason.CREDENTIALS_CHANGED
    due_at = due_moment(account, refresh_before=refresh_before)
    if due_at is None or published.expires_at is None:
        return Reason.EXPIRY_UNKNOWN
    if now >= published.expires_at:
        return Reason.EXPIRED
    if now >= due_at:
        return Reason.NEARING_EXPIRY
    return Reason.FRESH


def due_moment(account: Account, *, refresh_before: timedelta) -> datetime | None:
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
    """Whether a live answer was journaled and never became the published token.

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


def is_held_by_write_floor(account: Account, *, now: datetime) -> bool:
    """Whether another version now would be the third within the floor."""
    previous = account.previous
    return previous is not None and now < previous.issued_at + write_floor(account)


def next_attempt(account: Account, reason: Reason) -> datetime | None:
    """Tell when an account that is held back is tried again; None where nothing holds it.

    Args:
        account: As it is known now, after this sweep's attempt if there was one.
        reason: Why it was due, or was not.
    """
    failure, previous = account.counting_failure, account.previous
    if reason is Reason.WRITE_FLOOR and previous is not None:
        return previous.issued_at + write_floor(account)
    return failure.retry_at if failure is not None else None


def write_floor(account: Account) -> timedelta:
    """How much time must pass between a publish and the next but one."""
    return WRITE_FLOOR_WITH_REFRESH_TOKENS if account.uses_refresh_tokens else WRITE_FLOOR


def failure_record(account: Account, error: RefreshError, *, now: datetime) -> FailureRecord:
    """Tell what to remember of a failure: how often, and when to try again.

    Args:
        account: With the record of the failures before, if any.
        error: Its class and ``Retry-After`` decide.
        now: Aware; the sweep's.
    """
    before = account.counting_failure
    continues = before is not None and before.failure_class is error.failure_class
    failures = before.failures + 1 if before is not None and continues else 1
    live_until = account.live_until
    left = live_until - now if live_until is not None else timedelta(0)
    wait = max(_wait(error.failure_class, failures, left), _least_wait(account, before, left))
    retry_at = now + wait - _TICK_SLACK
    if error.retry_after is not None:
        retry_at = max(retry_at, now + min(error.retry_after, wait + _LONGEST_RETRY_AFTER))
    return FailureRecord(
        failure_class=error.failure_class,
        code=error.code,
        failures=failures,
        failed_at=now,
        retry_at=retry_at,
        credentials_digest=account.credentials_digest,
    )


def _wait(failure_class: FailureClass, failures: int, left: timedelta) -> timedelta:
    """Tell how long to leave an account alone.

    Args:
        failure_class: Who must do something.
        failures: How often in a row.
        left: What is left of the published token's life.
    """
    if failure_class is FailureClass.TRY_LATER:
        wait = _doubled(_TRY_LATER_FIRST, failures, most=_TRY_LATER_MOST)
        # The less time is left, the oftener it is tried.
        return min(wait, max(_TRY_LATER_FIRST, left / 8)) if left > timedelta(0) else wait
    if failure_class is FailureClass.UNUSABLE_ANSWER:
        return _doubled(_UNUSABLE_FIRST, failures, most=_LONGEST_WAIT)
    wait = _doubled(_MUST_ACT_FIRST, failures, most=_LONGEST_WAIT)
    # However long the wait has become, one attempt precedes the expiry.
    return min(wait, left - _LAST_CHANCE) if left - _LAST_CHANCE > 2 * _TICK_SLACK else wait


def _least_wait(account: Account, before: FailureRecord | None, left: timedelta) -> timedelta:
    """Tell the pace that the versions of a credentials secret allow.

    A refresh writes a claim and a journal, so at most one of either in a quarter of an hour is
    what the floor leaves to tokens that live an hour. A failed attempt has written its claim.
    Tokens that live twice as long as the floor leave room for every attempt while they live.

    Args:
        account: Whether it uses refresh tokens, and how long its tokens live.
        before: The failure before, of whatever class: where classes alternate, each begins anew.
        left: What is left of the published token's life.
    """
    lifetime, floor = published_lifetime(account), WRITE_FLOOR_WITH_REFRESH_TOKENS
    is_short = lifetime is not None and lifetime < 2 * floor
    is_again = before is not None and left <= timedelta(0)
    return floor / 4 if account.uses_refresh_tokens and (is_short or is_again) else timedelta(0)


def _doubled(first: timedelta, failures: int, *, most: timedelta) -> timedelta:
    # Past ten doublings every wait is at its longest; larger powers would overflow.
    return min(first * (1 << min(failures - 1, 10)), most)


def needs_action(account: Account, *, now: datetime) -> bool:
    """Whether somebody must do something for this account, by metadata alone.

    Its last failure says so; or its tokens live shorter than the write floor, so
    that no schedule can keep one alive; or a refresh-only account's refresh token
    ends within a week (or half its life, where that is less).
    """
    if account.credentials_version is None:
        return False
    failure = account.counting_failure
    if failure is not None and failure.failure_class is FailureClass.SOMEONE_MUST_ACT:
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
    return failure is not None and failure.failure_class is not FailureClass.SOMEONE_MUST_ACT


def lives_too_short(account: Account) -> bool:
    """Whether the published token's life is shorter than the write floor."""
    lifetime = published_lifetime(account)
    return lifetime is not None and lifetime < write_floor(account)


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
    due_at, expires_at = due_moment(account, refresh_before=refresh_before), account.live_until
    if due_at is None or expires_at is None or now >= expires_at:
        return 100.0
    return max(0.0, 100 * ((now - due_at) / (expires_at - due_at)))
