"""All accounts: list, decide, refresh the due ones, collect what came of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import OutOfTimeError, SecretStoreError
from token_refresher.hosts import HostGate
from token_refresher.model import (
    account_from_metadata,
    accounts_from_listing,
    with_unrecorded,
    without_refresh_tokens,
)
from token_refresher.policy import Reason
from token_refresher.refresh import TIME_TO_BEGIN, Asked, Outcome, Refresher, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from token_refresher.model import Account
    from token_refresher.records import Unrecorded

# Left over for the summary and the metrics, after the last refresh has ended.
_CLOSING_TIME: Final = timedelta(seconds=5)


class Report(msgspec.Struct, frozen=True):
    """What a sweep saw and did.

    Attributes:
        now: The time that it decided by.
        accounts: All of them, as they are known now.
        results: Of the accounts that were not simply fresh.
        request_seconds: How long each token request took.
    """

    now: datetime
    accounts: tuple[Account, ...]
    results: tuple[Result, ...]
    request_seconds: tuple[float, ...]

    @property
    def managed(self) -> list[Account]:
        """The accounts that have credentials."""
        return [account for account in self.accounts if account.is_managed]

    def count(self, reason: Reason) -> int:
        """How many results have a reason."""
        return sum(result.reason is reason for result in self.results)


@dataclass(slots=True)
class Sweeper:
    """Keeps all accounts fresh, sweep after sweep.

    Attributes:
        refresher: Refreshes one account.
        monotonic: Gives seconds, for the latency of requests.
        max_workers: How many accounts are refreshed at once.
    """

    refresher: Refresher
    monotonic: Callable[[], float]
    max_workers: int
    # Tags that could not be written; they live as long as the environment.
    _unrecorded: dict[str, Unrecorded] = field(default_factory=dict)

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
        seen = self._described(accounts, now) if accounts else self._listed(now)
        found = {account.name: self._completed(account) for account in seen}
        decisions = {name: self.refresher.decide(each, asked) for name, each in found.items()}
        gate = HostGate(self.refresher.endpoint, self.monotonic)
        refresher = replace(self.refresher, endpoint=gate)

        def refresh_one(account: Account) -> Result:
            if time_left() < TIME_TO_BEGIN + _CLOSING_TIME:
                reason = decisions[account.name].reason
                msg = "left for the next sweep"
                return Result(account, reason, Outcome.NOT_ATTEMPTED, OutOfTimeError(msg))
            return refresher.refresh(account, asked)

        due = _soonest_first(found[name] for name, decision in decisions.items() if decision.due)
        results = [
            Result(found[name], decision.reason, Outcome.NOT_DUE)
            for name, decision in decisions.items()
            if not decision.due and decision.reason is not Reason.FRESH
        ]
        # One at a time needs no thread: most sweeps have one or none.
        workers = min(self.max_workers, len(due))
        with ThreadPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
            results.extend(pool.map(refresh_one, due) if pool else map(refresh_one, due))
        for result in results:
            found[result.account.name] = result.account
            self._remember(result.account)
        return Report(now, tuple(found.values()), tuple(results), tuple(gate.request_seconds))

    def _listed(self, now: datetime) -> Iterable[Account]:
        return accounts_from_listing(*self.refresher.store.list_secrets(), now=now)

    def _described(self, names: Collection[str], now: datetime) -> Iterable[Account]:
        for name in names:
            credentials = self.refresher.store.describe_credentials(name)
            token = self.refresher.store.describe_token(name)
            yield account_from_metadata(name, credentials=credentials, token=token, now=now)

    def _completed(self, account: Account) -> Account:
        """Add what metadata does not tell of an account."""
        account = with_unrecorded(account, self._unrecorded.get(account.name))
        if not self.refresher.uses_refresh_tokens:
            account = without_refresh_tokens(account)
        published = account.published
        if published is None or published.is_ours or not account.is_managed:
            return account
        try:
            value = self.refresher.store.read_published(account.name)
        except SecretStoreError:
            # Due, as its expiry is not known; its own refresh will read it again and tell.
            return account
        return replace(account, published=published.with_times_of(value.text if value else None))

    def _remember(self, account: Account) -> None:
        if account.unrecorded:
            self._unrecorded[account.name] = account.unrecorded
        else:
            self._unrecorded.pop(account.name, None)


def _soonest_first(accounts: Iterable[Account]) -> list[Account]:
    """Order by expiry: what nobody can use already comes first."""
    dead = datetime.min.replace(tzinfo=UTC)
    return sorted(accounts, key=lambda account: account.live_until or dead)
