"""What state each account is in, told from metadata alone. Pure.

The words are for people; what they rest on is `token_refresher.policy`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from token_refresher import health, policy
from token_refresher.policy import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from token_refresher.errors import FailureClass
    from token_refresher.model import Account
    from token_refresher.records import FailureRecord

# The longest schedule is 15 minutes, and a listing may be five minutes old. What has been due for
# longer without a failure on record was not attempted: no sweep runs, or its host is left alone.
OVERDUE_AFTER: Final = timedelta(minutes=20)
NO_ATTEMPT: Final = "no attempt on record"


class State(StrEnum):
    """What a person wants to know first. Public: table, JSON, documentation."""

    ACTION_REQUIRED = "action required"
    OVERDUE = "overdue"
    RETRYING = "retrying"
    DUE = "due"
    RATE_LIMITED = "rate limited"
    UNCHANGED = "unchanged"
    FRESH = "fresh"
    EXTERNAL_VERSION = "external version"
    AWAITING_CREDENTIALS = "awaiting credentials"
    ORPHANED = "orphaned"


_ALARMING: Final = frozenset({State.ACTION_REQUIRED, State.OVERDUE})
# What holds an account until a time that is known.
_HELD: Final = {
    Reason.BACKING_OFF: State.RETRYING,
    Reason.RATE_LIMITED: State.RATE_LIMITED,
    Reason.UNCHANGED: State.UNCHANGED,
}


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One line of ``status``.

    Attributes:
        account: Its name.
        state: What a person wants to know first.
        reason: The policy's word for it.
        expires_at: The published token's; None where there is none, or nobody can tell.
        refresh_token_expires_at: A refresh-only account's, where its server says so.
        error: What is wrong: a failure's code, or the reason for which action is required.
        failure_class: What kind it is; None where it is no failure of these credentials.
        failures: How often in a row the last attempts failed.
        failing_since: When the first of them did.
        next_attempt_at: When the function tries next; the past means "the next sweep". None
            where it never will, or metadata does not tell.
    """

    account: str
    state: State
    reason: Reason
    expires_at: datetime | None
    refresh_token_expires_at: datetime | None
    error: str | None
    failure_class: FailureClass | None
    failures: int
    failing_since: datetime | None
    next_attempt_at: datetime | None

    @property
    def needs_action(self) -> bool:
        """Whether a person must do something."""
        return self.state in _ALARMING

    @property
    def waits_its_turn(self) -> bool:
        """Whether credentials that were put again wait; what is wrong was so of those before."""
        return self.state is State.RETRYING and self.failure_class is None

    def is_pressing(self, *, now: datetime) -> bool:
        """Whether a person wants to know what to do: it needs action, or fails with no live token.

        A mistyped host, too, may be an outage that passes; but nobody is served meanwhile.
        """
        is_dead = self.expires_at is None or self.expires_at <= now
        return self.needs_action or (self.state is State.RETRYING and is_dead)

    def to_json(self, *, now: datetime) -> dict[str, Any]:
        """Serialise it, for a program."""
        left = None if self.expires_at is None else int((self.expires_at - now).total_seconds())
        computed = {"needs_action": self.needs_action, "seconds_until_expiry": left}
        return asdict(self) | computed


def status_of(
    account: Account, *, now: datetime, refresh_before: timedelta, schedule: timedelta
) -> AccountStatus:
    """Tell an account's state.

    Args:
        account: As listed; nothing of it was read.
        now: Aware.
        refresh_before: The setting.
        schedule: The time between two sweeps.
    """
    decision = policy.decide(account, now=now, refresh_before=refresh_before)
    due_at = policy.due_time(account, refresh_before=refresh_before)
    required = health.action_required(account, now=now, schedule=schedule)
    state = _state(account, decision, due_at, now, needs_action=required is not None)
    next_attempt_at = now if decision.due else due_at
    if state in {State.AWAITING_CREDENTIALS, State.ORPHANED, State.EXTERNAL_VERSION}:
        next_attempt_at = None
    elif decision.reason in _HELD:
        next_attempt_at = policy.next_attempt(account, decision.reason)
    failure = _failure(account, decision)
    error = _error(state, required, failure)
    counting = account.counting_failure
    return AccountStatus(
        account=account.name,
        state=state,
        reason=decision.reason,
        expires_at=account.live_until,
        refresh_token_expires_at=account.grant.expires_at if account.grant else None,
        error=error,
        failure_class=counting.failure_class if counting and counting.code == error else None,
        failures=failure.failures if failure else 0,
        failing_since=failure.since if failure else None,
        next_attempt_at=next_attempt_at,
    )


def _failure(account: Account, decision: policy.Decision) -> FailureRecord | None:
    """Tell what is on record of failures, also of earlier credentials where that still holds."""
    is_held = decision.reason is Reason.BACKING_OFF
    failure = account.failure if is_held else account.counting_failure
    return failure if failure is not None and failure.failures else None


def _state(
    account: Account,
    decision: policy.Decision,
    due_at: datetime | None,
    now: datetime,
    *,
    needs_action: bool,
) -> State:
    if decision.reason is Reason.AWAITING_CREDENTIALS:
        return State.AWAITING_CREDENTIALS
    if decision.reason is Reason.ORPHANED:
        return State.ORPHANED
    if needs_action:
        return State.ACTION_REQUIRED
    if health.is_retrying(account):
        return State.RETRYING
    if decision.reason is Reason.EXPIRY_UNKNOWN:
        # Only its JSON tells when it expires, and that is a value.
        return State.EXTERNAL_VERSION
    if decision.due:
        # Nobody can tell since when there is no token, or since when there are new credentials.
        is_by_time = decision.reason in {Reason.EXPIRED, Reason.NEARING_EXPIRY}
        is_overdue = is_by_time and due_at is not None and now - due_at > OVERDUE_AFTER
        return State.OVERDUE if is_overdue else State.DUE
    return _HELD.get(decision.reason, State.FRESH)


def _error(state: State, required: str | None, failure: FailureRecord | None) -> str | None:
    """Name what is wrong, by a failure's code where there is one."""
    if state is State.ACTION_REQUIRED:
        return required
    if state is State.OVERDUE:
        return NO_ATTEMPT
    return failure.code if failure is not None and state is State.RETRYING else None


def in_order(statuses: Iterable[AccountStatus]) -> list[AccountStatus]:
    """Put first what needs action, then what expires soonest."""
    order = list(State)
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(
        statuses, key=lambda one: (order.index(one.state), one.expires_at or never, one.account)
    )
