"""How an account fares: what action it requires, whether it is retrying, what its token has left.

Told by metadata alone, of every account in every sweep. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from token_refresher.errors import FailureClass
from token_refresher.policy import PACE_OF_VERSIONS, due_time

if TYPE_CHECKING:
    from token_refresher.model import Account

_GRANT_WARNING: Final = timedelta(days=7)
# An authority takes its time.
_CERTIFICATE_WARNING: Final = timedelta(days=14)
# What a person must act on though nothing has failed.
LIVES_TOO_SHORT: Final = "token_lives_too_short"
GRANT_ENDING: Final = "refresh_token_ending"
CERTIFICATE_ENDING: Final = "certificate_ending"
WITHOUT_FAILURE: Final = (LIVES_TOO_SHORT, GRANT_ENDING, CERTIFICATE_ENDING)


def action_required(account: Account, *, now: datetime, schedule: timedelta) -> str | None:
    """Name what action is required for this account, by metadata alone; None for none.

    Its last failure's code; or its tokens cannot be kept alive; or a refresh-only account's
    refresh token ends within a week, or a client certificate within two (or half its life, where
    that is less).
    """
    if account.credentials_version is None:
        return None
    if account.token is not None and account.token.is_deleted:
        return "scheduled_for_deletion"
    failure = account.counting_failure
    if failure is not None and failure.failure_class is FailureClass.ACTION_REQUIRED:
        return failure.code
    if lives_too_short(account, schedule=schedule):
        return LIVES_TOO_SHORT
    if is_grant_ending(account, now=now):
        return GRANT_ENDING
    return CERTIFICATE_ENDING if is_certificate_ending(account, now=now) else None


def needs_action(account: Account, *, now: datetime, schedule: timedelta) -> bool:
    """Whether action is required for this account, as `action_required` says."""
    return action_required(account, now=now, schedule=schedule) is not None


def is_grant_ending(account: Account, *, now: datetime) -> bool:
    """Whether a refresh-only account's refresh token ends within a week, or half its life."""
    grant = account.grant
    return grant is not None and grant.expires_at - now < min(_GRANT_WARNING, grant.lifetime / 2)


def is_certificate_ending(account: Account, *, now: datetime) -> bool:
    """Whether an account's client certificate expires within two weeks, or half its life."""
    of = account.certificate
    return of is not None and of.expires_at - now < min(_CERTIFICATE_WARNING, of.lifetime / 2)


def lives_too_short(account: Account, *, schedule: timedelta) -> bool:
    """Whether the published token, or its refresh token, ends before the next can be had.

    Args:
        account: With its tokens.
        schedule: The time between two sweeps.
    """
    least = shortest_lifetime(uses_refresh_tokens=account.uses_refresh_tokens, schedule=schedule)
    lifetime, grant = _published_lifetime(account), account.grant
    if grant is not None and grant.lifetime < least:
        return True
    return lifetime is not None and lifetime < least


def _published_lifetime(account: Account) -> timedelta | None:
    """Tell how long the published token lives in all; None where its version id does not tell."""
    published = account.published
    if published is None or published.issued_at is None or published.expires_at is None:
        return None
    return published.expires_at - published.issued_at if published.is_ours else None


def shortest_lifetime(*, uses_refresh_tokens: bool, schedule: timedelta) -> timedelta:
    """Tell how long a token must live for the next to be had before it ends.

    Args:
        uses_refresh_tokens: Whether a refresh writes the credentials secret, too.
        schedule: The time between two sweeps.
    """
    return (2 if uses_refresh_tokens else 1) * PACE_OF_VERSIONS + schedule


def is_retrying(account: Account) -> bool:
    """Whether an account's last attempt failed in a way that may heal by itself.

    Of the record, not of this sweep: back-off makes attempts rare, and an alarm must
    hold for as long as the failing does.
    """
    failure = account.counting_failure
    if failure is None or failure.failures == 0:
        return False
    return failure.failure_class is not FailureClass.ACTION_REQUIRED


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
