"""All accounts: list, decide, refresh the due ones, collect what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from token_refresher import refresh
from token_refresher.credentials import host_of
from token_refresher.errors import (
    EndpointUnavailableError,
    HostStoppedError,
    OutOfTimeError,
    RefreshError,
    SecretStoreError,
)
from token_refresher.model import account_from_metadata, with_unrecorded
from token_refresher.policy import Reason, decide
from token_refresher.refresh import TIME_TO_BEGIN, Outcome, Refresher, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account, SecretMetadata, TokenResponse, Unrecorded

# So many lost connections in a row, and a host is left alone for this sweep.
_LOST_CONNECTIONS: Final = 3
# An inconclusive verification that took so long is as good as a lost connection.
_SLOW_SECONDS: Final = 3.0
# Left over for the summary and the metrics, after the last refresh has ended.
_CLOSING_TIME: Final = timedelta(seconds=5)


class SecretStore(refresh.SecretStore, Protocol):
    """What a sweep needs of Secrets Manager."""

    def list_secrets(
        self,
    ) -> tuple[Mapping[str, SecretMetadata], Mapping[str, SecretMetadata]]:
        """Tell credentials secrets and token secrets by account, as old as five minutes."""

    def describe_credentials(self, account: str) -> SecretMetadata | None:
        """Tell the credentials secret as it is now; None where there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a sweep saw and did.

    Attributes:
        now: The moment that it decided by.
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
        return [account for account in self.accounts if account.credentials_version is not None]

    def count(self, reason: Reason) -> int:
        """How many results have a reason."""
        return sum(result.reason is reason for result in self.results)


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Keeps all accounts fresh, sweep after sweep.

    Attributes:
        store: Secrets Manager.
        endpoint: The token endpoints.
        clock: Gives aware moments.
        monotonic: Gives seconds, for the latency of requests.
        pause: Waits.
        refresh_before: How long before its expiry a token is due.
        uses_refresh_tokens: The setting.
        max_workers: How many accounts are refreshed at once.
        records_failures: As for `Refresher`.
    """

    store: SecretStore
    endpoint: refresh.TokenEndpoint
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    pause: Callable[[timedelta], None]
    refresh_before: timedelta
    uses_refresh_tokens: bool
    max_workers: int
    records_failures: bool = True
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
            rejected_version: As for `Refresher.refresh`; needs one account.
            stage_as: Likewise.
            dry_run: Decide and explain; change nothing.

        Raises:
            SecretStoreError: The accounts could not be listed.
        """
        now = self.clock()
        found = {
            account.name: account
            for account in (self._described(accounts, now) if accounts else self._listed(now))
        }
        decisions = {
            name: decide(
                account,
                now=now,
                refresh_before=self.refresh_before,
                force=force,
                rejected_version=rejected_version,
            )
            for name, account in found.items()
        }
        gate = HostGate(self.endpoint, self.monotonic)
        refresher = Refresher(
            store=self.store,
            endpoint=gate,
            clock=self.clock,
            pause=self.pause,
            refresh_before=self.refresh_before,
            uses_refresh_tokens=self.uses_refresh_tokens,
            records_failures=self.records_failures,
        )

        def refresh_one(account: Account) -> Result:
            if time_left() < TIME_TO_BEGIN + _CLOSING_TIME:
                reason = decisions[account.name].reason
                msg = "left for the next sweep"
                return Result(account, reason, Outcome.NOT_ATTEMPTED, OutOfTimeError(msg))
            return refresher.refresh(
                account,
                now=now,
                time_left=time_left,
                force=force,
                rejected_version=rejected_version,
                stage_as=stage_as,
                dry_run=dry_run,
            )

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
        """Pair the secrets of both paths, and read what no version id tells."""
        credentials, tokens = self.store.list_secrets()
        for name in {**credentials, **tokens}:
            yield self._account(name, credentials.get(name), tokens.get(name), now)

    def _described(self, names: Collection[str], now: datetime) -> Iterable[Account]:
        for name in names:
            credentials = self.store.describe_credentials(name)
            if credentials is not None and credentials.is_deleted:
                credentials = None
            yield self._account(name, credentials, self.store.describe_token(name), now)

    def _account(
        self,
        name: str,
        credentials: SecretMetadata | None,
        token: SecretMetadata | None,
        now: datetime,
    ) -> Account:
        account = account_from_metadata(name, credentials=credentials, token=token, now=now)
        account = with_unrecorded(account, self._unrecorded.get(name))
        if not self.uses_refresh_tokens:
            # The journals that an earlier setting left behind are not looked at.
            account = replace(account, journal=None, uses_refresh_tokens=False)
        published = account.published
        if published is None or published.is_ours or account.credentials_version is None:
            return account
        try:
            value = self.store.read_published(name)
        except SecretStoreError:
            # Due, as its expiry is not known; its own refresh will read it again and tell.
            return account
        return replace(account, published=published.with_moments_of(value.text if value else None))

    def _remember(self, account: Account) -> None:
        if account.unrecorded:
            self._unrecorded[account.name] = account.unrecorded
        else:
            self._unrecorded.pop(account.name, None)


def _soonest_first(accounts: Iterable[Account]) -> list[Account]:
    """Order by expiry: what nobody can use already comes first."""
    dead = datetime.min.replace(tzinfo=UTC)
    return sorted(accounts, key=lambda account: account.live_until or dead)


class HostGate:
    """A token endpoint that leaves a failing host alone, so that no other host waits for it.

    After three lost connections in a row, or one answer that speaks for the whole
    host (429, a firewall's page), its accounts are not attempted in this sweep;
    nothing is recorded for them.

    Attributes:
        request_seconds: How long each request took, answered or not.
    """

    def __init__(self, endpoint: refresh.TokenEndpoint, monotonic: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lost: Counter[str] = Counter()
        self._vain: Counter[str] = Counter()
        self._stopped: set[str] = set()
        self.request_seconds: list[float] = []

    def admit(self, credentials: Credentials) -> None:
        """Check that the host may be asked, by the settings and in this sweep."""
        self._endpoint.admit(credentials)
        if credentials.host in self._stopped:
            msg = "the host failed other accounts in this sweep"
            raise HostStoppedError(msg)

    def request(self, credentials: Credentials, grant: Mapping[str, str]) -> TokenResponse:
        """Send a token request, and learn from what becomes of it."""
        started = self._monotonic()
        try:
            response = self._endpoint.request(credentials, grant)
        except RefreshError as error:
            self._learn(credentials.host, error, self._monotonic() - started)
            raise
        self._learn(credentials.host, None, self._monotonic() - started)
        return response

    def verify(self, credentials: Credentials, url: str, access_token: str) -> bool | None:
        """Pass a verification on, unless its host has let three in a row wait in vain.

        It tells nothing of the token endpoint. A quick answer that says nothing, such as 404,
        is one account's wrong ``verify_url`` and not the host's.
        """
        host = host_of(url)
        if self._vain[host] >= _LOST_CONNECTIONS:
            return None
        started = self._monotonic()
        verdict = self._endpoint.verify(credentials, url, access_token)
        is_vain = verdict is None and self._monotonic() - started >= _SLOW_SECONDS
        with self._lock:
            self._vain[host] = self._vain[host] + 1 if is_vain else 0
        return verdict

    def _learn(self, host: str, error: RefreshError | None, seconds: float) -> None:
        with self._lock:
            self.request_seconds.append(seconds)
            if not isinstance(error, EndpointUnavailableError):
                self._lost[host] = 0
                return
            self._lost[host] = self._lost[host] + 1 if error.is_lost_connection else 0
            if error.stops_host or self._lost[host] >= _LOST_CONNECTIONS:
                self._stopped.add(host)
