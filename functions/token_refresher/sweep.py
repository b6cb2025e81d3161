"""All accounts: list, decide, refresh the due ones, collect what came of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from token_refresher.errors import OutOfTimeError, SecretStoreError
from token_refresher.health import action_required, needs_action
from token_refresher.hosts import HostGate, block
from token_refresher.model import (
    account_from_metadata,
    accounts_from_listing,
    with_unrecorded,
    without_refresh_tokens,
)
from token_refresher.outcomes import Asked, Outcome, Result
from token_refresher.policy import Reason
from token_refresher.refresh import TIME_TO_BEGIN, Refresher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from token_refresher.model import Account, Unwritten
    from token_refresher.records import Unrecorded

# Two or three sweeps are left.
_ABOUT_TO_END: Final = timedelta(minutes=15)

# Where more are missed, the alarm on it has gone off.
_MISSED_SWEEPS: Final = 3

_Kept = TypeVar("_Kept")

# Left over for the summary and the metrics, after the last refresh has ended.
_CLOSING_TIME: Final = timedelta(seconds=5)


class Report(msgspec.Struct, frozen=True):
    """What a sweep saw and did.

    Attributes:
        now: The time that it decided by.
        accounts: All of them, as they are known now.
        results: Of the accounts that were not simply fresh, or need action.
        request_seconds: How long each token request took.
        schedule: The time until the next sweep.
        last_at: Aware; what began by the mere passage of time is news if it began after this.
        all_results: Of every account, whether or not there is anything to be told of it.
    """

    now: datetime
    accounts: tuple[Account, ...]
    results: tuple[Result, ...]
    request_seconds: tuple[float, ...]
    schedule: timedelta
    last_at: datetime
    all_results: tuple[Result, ...]

    @property
    def managed(self) -> list[Account]:
        """The accounts that have credentials."""
        return [account for account in self.accounts if account.is_managed]

    def needs_action(self, account: Account) -> bool:
        """Whether a person must act for an account."""
        return self.action_required(account) is not None

    def action_required(self, account: Account) -> str | None:
        """Name what a person must act on for an account."""
        return action_required(account, now=self.now, schedule=self.schedule)

    @property
    def published(self) -> int:
        """How many tokens were published."""
        return sum(result.outcome is Outcome.PUBLISHED for result in self.results)

    def count(self, reason: Reason) -> int:
        """How many results have a reason."""
        return sum(result.reason is reason for result in self.results)


class Sweeper(msgspec.Struct):
    """Keeps all accounts fresh, sweep after sweep.

    Attributes:
        refresher: Refreshes one account.
        monotonic: Gives seconds, for the latency of requests.
        max_workers: How many accounts are refreshed at once.
    """

    refresher: Refresher
    monotonic: Callable[[], float]
    max_workers: int
    # What could not be written; it lives as long as the environment.
    _unrecorded: dict[str, Unrecorded] = msgspec.field(default_factory=dict)
    _unwritten: dict[str, Unwritten] = msgspec.field(default_factory=dict)
    # When all accounts were last swept; likewise.
    _last_at: datetime | None = None

    def sweep(
        self,
        *,
        time_left: Callable[[], timedelta],
        accounts: Collection[str] = (),
        force: bool = False,
        rejected_version: str = "",
        stage_as: str = "",
        dry_run: bool = False,
    ) -> Report:
        """Refresh every account that is due.

        Args:
            time_left: What is left of the invocation.
            accounts: Only these, described afresh instead of listed.
            force: A person asked; needs ``accounts``.
            rejected_version: As for `Asked`; needs one account.
            stage_as: Likewise.
            dry_run: Decide and explain; change nothing.

        Raises:
            SecretStoreError: The accounts could not be listed.
        """
        now = self.refresher.clock()
        asked = Asked(
            now=now,
            time_left=time_left,
            force=force,
            rejected_version=rejected_version,
            stage_as=stage_as,
            dry_run=dry_run,
        )
        refused: list[Result] = []
        seen = self._described(accounts, asked, refused) if accounts else self._listed(now)
        found = {account.name: self._completed(account) for account in seen}
        decisions = {name: self.refresher.decide(each, asked) for name, each in found.items()}
        gate = HostGate(self.refresher.endpoint, self.monotonic)

        def refresh_one(account: Account) -> Result:
            if time_left() < TIME_TO_BEGIN + _CLOSING_TIME:
                reason = decisions[account.name].reason
                msg = "left for the next sweep"
                return Result(account, reason, Outcome.NOT_ATTEMPTED, OutOfTimeError(msg))
            refresher = msgspec.structs.replace(self.refresher, endpoint=gate.of(account.name))
            return refresher.refresh(account, asked)

        due = _in_order(
            [
                found[name]
                for name, decision in decisions.items()
                if decision.due or _is_to_be_read(found[name])
            ],
            now=now,
        )
        # One at a time needs no thread: most sweeps have one or none.
        workers = min(self.max_workers, len(due))
        with ThreadPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
            refreshed = list(pool.map(refresh_one, due) if pool else map(refresh_one, due))
        results = {result.account.name: result for result in refreshed}
        for name in gate.blocked_accounts:
            # The first that met what has turned out to be a block have recorded a refusal, unless
            # their primary grant has brought a token all the same.
            result = results[name]
            if result.outcome is Outcome.FAILED:
                results[name] = self.refresher.record_block(found[name], result, asked, block())
        for name, result in results.items():
            found[name] = result.account
            self._remember(result.account)
        for name, decision in decisions.items():
            results.setdefault(name, Result(found[name], decision.reason, Outcome.NOT_DUE))
        told = [each for each in results.values() if self._is_told(each, now)]
        return Report(
            now=now,
            accounts=tuple(found.values()),
            results=(*refused, *told),
            request_seconds=tuple(gate.request_seconds),
            schedule=self.refresher.schedule,
            last_at=now if accounts or dry_run else self._swept_before(now),
            all_results=tuple(results.values()),
        )

    def _swept_before(self, now: datetime) -> datetime:
        """Tell when all accounts were swept before, and remember that they are now.

        A new environment takes it from the schedule: rather is something told twice, by the same
        key, than not at all.
        """
        last_at, self._last_at = self._last_at, now
        return last_at or now - _MISSED_SWEEPS * self.refresher.schedule

    def _is_told(self, result: Result, now: datetime) -> bool:
        """Whether it is anything but fresh, or failed or needs action whether or not it is."""
        schedule = self.refresher.schedule
        is_fresh = result.reason is Reason.FRESH and result.error is None
        return not is_fresh or needs_action(result.account, now=now, schedule=schedule)

    def _listed(self, now: datetime) -> Iterable[Account]:
        return accounts_from_listing(*self.refresher.store.list_secrets(), now=now)

    def _described(
        self, names: Collection[str], asked: Asked, refused: list[Result]
    ) -> Iterable[Account]:
        """Describe named accounts; where one is refused, the others are served all the same.

        Raises:
            SecretStoreError: None of them could be described.
        """
        for name in names:
            try:
                credentials = self.refresher.store.describe_credentials(name)
                token = self.refresher.store.describe_token(name)
            except SecretStoreError as error:
                unknown = account_from_metadata(name, credentials=None, token=None, now=asked.now)
                refused.append(Result(unknown, Reason.NO_SUCH_ACCOUNT, Outcome.FAILED, error))
                if len(refused) == len(names):
                    raise
            else:
                yield account_from_metadata(
                    name, credentials=credentials, token=token, now=asked.now
                )

    def _completed(self, account: Account) -> Account:
        """Add what this environment remembers of an account."""
        kept, unwritten = self._unrecorded.get(account.name), self._unwritten.get(account.name)
        if kept is not None or unwritten is not None:
            # For the few alone: to replace a thousand accounts costs as much as to decide on them.
            account = replace(with_unrecorded(account, kept), unwritten=unwritten)
        return account if self.refresher.uses_refresh_tokens else without_refresh_tokens(account)

    def _remember(self, account: Account) -> None:
        _keep(self._unrecorded, account.name, account.unrecorded)
        _keep(self._unwritten, account.name, account.unwritten)


def _keep(memory: dict[str, _Kept], name: str, value: _Kept | None) -> None:
    if value is None:
        memory.pop(name, None)
    else:
        memory[name] = value


def _is_to_be_read(account: Account) -> bool:
    """Whether only its text tells when the published token expires; a worker reads it."""
    published = account.published
    return account.is_managed and published is not None and not published.is_ours


def _in_order(accounts: Iterable[Account], *, now: datetime) -> list[Account]:
    """Order by failures in a row, fewest first: healthy accounts never wait behind hung ones.

    But those whose token is about to end come before all others: after an outage that all have
    met, the few that were tried in it must not wait behind a backlog that lives longer. Among
    equals the living come before the dead, and then what expires first.
    """

    def urgency(account: Account) -> tuple[bool, int, bool, datetime]:
        failure, live_until = account.counting_failure, account.live_until
        left = live_until - now if live_until is not None else timedelta(0)
        return (
            not timedelta(0) < left <= _ABOUT_TO_END,
            failure.failures if failure is not None else 0,
            left <= timedelta(0),
            live_until or now,
        )

    return sorted(accounts, key=urgency)
