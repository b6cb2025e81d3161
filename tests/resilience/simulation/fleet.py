"""A fleet of accounts, swept by the real program tick after tick, and what its consumers met.

Ticks at which nothing can be due are passed over, and accounts of which nothing can be due
are left out of a listing. Both are decided by `wakes_at`, which asks the program's own
`decide` at each moment at which its response can turn; a test compares with a run that
passes nothing over.
"""

from __future__ import annotations

import heapq
import json
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec

from tests.resilience.simulation.endpoint import (
    Client,
    Failure,
    Firewall,
    Outage,
    SimulatedTokenEndpoint,
)
from tests.resilience.simulation.load import Load
from tests.resilience.simulation.secrets_manager import (
    DAY_SECONDS,
    LONGEST_LAG_SECONDS,
    MOST_VERSIONS_A_DAY,
    PAGE,
    Pair,
    SimulatedSecretStore,
)
from tests.resilience.simulation.timelines import START, Timelines, moment, seconds_of
from tests.resilience.simulation.workers import WorkerThreads, watched
from token_refresher.errors import FailureClass
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent, lease_id
from token_refresher.model import (
    NO_TOKEN_DIGEST,
    PublishedToken,
    TokenVersion,
    account_from_metadata,
    digest12,
)
from token_refresher.parsing import parse_credentials
from token_refresher.policy import (
    TICK_SLACK,
    Reason,
    decide,
    due_time,
    minimum_interval,
    next_attempt,
)
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE
from token_refresher.records import FAILURE_TAG, FailureRecord
from token_refresher.refresh import Refresher
from token_refresher.settings import Settings
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from token_refresher.model import Account
    from token_refresher.sweep import Report

TICK: Final = timedelta(minutes=5)
INVOCATION: Final = timedelta(seconds=240)
# AWS's caches keep a secret for five minutes, unless told otherwise.
CACHE: Final = timedelta(seconds=300)
REFRESH_BEFORE: Final = Settings().refresh_before

SEED: Final = 20260101
TOKEN_ENDPOINT: Final = "https://auth.example.com/token"
NEVER: Final = float("inf")
# A lease and a journal, one version in ten minutes; ticks may come a little early.
WITH_REFRESH_TOKENS: Final = timedelta(minutes=20) - TICK_SLACK
EPOCH_SECONDS: Final = START.timestamp()
# The longest wait by any pace, and what `Retry-After` may add.
LONGEST_HOLD: Final = timedelta(hours=7)


class Grant(Enum):
    """How the accounts of a fleet get their tokens.

    The second figure is a refresh's seconds of the processor at 512 MB: docs/deployment.md. The
    third is when a token is due at the earliest, by the pace of versions; the last, within how
    many minutes and a tick of an outage's end an account has a token.
    """

    MACHINE = ("client_credentials", 0.028, timedelta(0), 10)
    DEALER = ("password", 0.040, WITH_REFRESH_TOKENS, 10)
    CONSENT = ("refresh_token", 0.040, WITH_REFRESH_TOKENS, 15)

    def __init__(
        self, grant_type: str, refresh_seconds: float, earliest: timedelta, recovery: int
    ) -> None:
        self.grant_type = grant_type
        self.refresh_seconds = refresh_seconds
        self.earliest = earliest
        self.recovery = timedelta(minutes=recovery)


class Tokens(Enum):
    """What neighbours have at the start."""

    NONE = "none yet"
    ENDING = "ours, which end within a quarter of an hour; an attempt has failed"
    EXTERNAL = "external versions, which live for a year"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Accounts that are in others' way, if the program lets them.

    Attributes:
        accounts: How many.
        tokens: What they have at the start.
        failure: What their token endpoint does, always.
        token_endpoint: Theirs; an account's name may stand in it.
        is_edited: Their credentials are put before every tick.
    """

    accounts: int
    tokens: Tokens = Tokens.NONE
    failure: Failure | None = None
    token_endpoint: str = "https://auth.example.com/tokens"
    is_edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is simulated.

    Attributes:
        accounts: How many, in one stack.
        lifetime: Of their tokens.
        grant: Theirs.
        duration: How long they are looked at.
        outages: Of the one host that they ask, in the order of time.
        is_in_step: Whether all tokens were issued within a minute; else they are spread.
        late: Each tick comes up to so much later than its time.
        firewall: What the host does to those who ask too often.
        max_workers: The setting.
        cells: How many such stacks make the whole fleet, each in a Region or AWS account
            of its own; one is simulated.
        refresh_tokens_live: From the consent on, where they do not rotate.
        part: Fleets that are alike but for it draw other lots.
        neighbours: Other accounts of the same stack, whose tokens nobody counts.
        has_failed_once: All tokens are due at the start, and an attempt has failed.
    """

    accounts: int
    lifetime: timedelta
    grant: Grant
    duration: timedelta
    outages: tuple[Outage, ...] = ()
    is_in_step: bool = False
    late: timedelta = timedelta(0)
    firewall: Firewall | None = None
    max_workers: int = Settings().max_workers
    cells: int = 1
    refresh_tokens_live: timedelta | None = None
    part: int = 0
    neighbours: tuple[Neighbours, ...] = ()
    has_failed_once: bool = False

    @property
    def margin(self) -> timedelta:
        """How long before its expiry a token becomes due."""
        return min(REFRESH_BEFORE, self.lifetime / 2, self.lifetime - self.grant.earliest)

    @property
    def bound(self) -> timedelta:
        """Shorter outages must cost nothing; of refresh-only accounts it is not promised.

        A tick passes until a token that has become due is tried, and another until the
        endpoint that has come back is; and a consumer keeps the old token in its cache.
        """
        if self.grant is Grant.CONSENT:
            return timedelta(0)
        return max(self.margin - 2 * (TICK + self.late) - CACHE, timedelta(0))

    @property
    def recovery(self) -> timedelta:
        """How long after an outage a token may be dead, or have died, and not longer."""
        return self.grant.recovery + TICK + self.late


@dataclass(slots=True)
class Cost:
    """What followed one outage, until the next one.

    Attributes:
        outage: None for the time before the first.
        dead_seconds: By account: how long its slowest consumer held a dead token.
        expired_seconds: By account: how long a consumer found no token that lives, which looks
            at ``expires_at``.
        without_token_seconds: From the outage's end until the last account has a token of those
            that had none, or lost theirs.
        late: How many accounts had none for longer than is promised.
        recovered_seconds: From the outage's end until the last token that had become due
            was replaced; None where that did not come to pass.
        requests_in_a_second: The most, until then.
        requests_in_a_tick: Likewise.
        writes_in_a_second: Likewise.
    """

    outage: Outage | None
    dead_seconds: dict[str, float] = field(default_factory=dict)
    expired_seconds: dict[str, float] = field(default_factory=dict)
    without_token_seconds: float = 0
    late: int = 0
    recovered_seconds: float | None = None
    requests_in_a_second: int = 0
    requests_in_a_tick: int = 0
    writes_in_a_second: int = 0

    def lose(self, name: str, seconds: float) -> None:
        """Add to an account's dead seconds."""
        self.dead_seconds[name] = self.dead_seconds.get(name, 0) + seconds

    @property
    def lost_seconds(self) -> float:
        """Of all accounts together."""
        return sum(self.dead_seconds.values())


@dataclass(slots=True)
class Record:
    """What came of a fleet.

    Attributes:
        costs: Before the first outage, and after each.
        ticks: That passed.
        sweeps: That were not passed over.
        published: How many tokens.
        requests: How many token requests.
        reads: Of Secrets Manager, the listings of ticks that were passed over included.
        writes: Likewise.
        writes_in_a_second: The most.
        longest_sweep_seconds: From the invocation to the last refresh's end.
        latest_seconds: From a token's being due to the next one; the most.
        need_action: Refreshes that failed in a way for which action is required.
        most_versions: That the program wrote within a day: of one credentials secret, and of one
            token secret.
        blocks: How often the firewall has closed.
    """

    costs: list[Cost]
    ticks: int = 0
    sweeps: int = 0
    published: int = 0
    requests: int = 0
    reads: int = 0
    writes: int = 0
    writes_in_a_second: int = 0
    longest_sweep_seconds: float = 0
    latest_seconds: float = 0
    need_action: int = 0
    most_versions: dict[str, int] = field(default_factory=dict)
    blocks: int = 0

    @property
    def dead_seconds(self) -> float:
        """Of all accounts together."""
        return sum(cost.lost_seconds for cost in self.costs)

    @property
    def expired_seconds(self) -> float:
        """Of all accounts together."""
        return sum(sum(cost.expired_seconds.values()) for cost in self.costs)

    @property
    def writes_too_much(self) -> bool:
        """Whether a secret got more versions in a day than AWS asks for."""
        return max(self.most_versions.values()) > MOST_VERSIONS_A_DAY


def failed_once(pair: Pair) -> dict[str, str]:
    """Write the record of one failure, five minutes before the start."""
    failure = FailureRecord(
        FailureClass.TRANSIENT,
        "timeout",
        failures=1,
        since=START - TICK,
        next_attempt=START - TICK_SLACK,
        credentials_digest=digest12(pair.credentials.stages[CURRENT]),
    )
    return {FAILURE_TAG: failure.to_tag()}


def wakes_at(account: Account, *, now: datetime) -> datetime | None:
    """Tell the first moment from now on at which an account is due, if nothing is written.

    Between two of these moments nothing that `decide` compares ``now`` with lies, so its
    answer at one of them holds until the next.
    """
    published, previous, grant = account.published, account.previous, account.grant
    failure, forgetful = account.failure, replace(account, token=None)
    turns = [now, grant.expires_at if grant else None]
    # When the token is, and when its refresh token is; whichever comes first is `due_time`.
    turns += [due_time(each, refresh_before=REFRESH_BEFORE) for each in (account, forgetful)]
    turns.append(published.expires_at if published else None)
    turns.append(previous.issued_at + minimum_interval(account) - TICK_SLACK if previous else None)
    # Credentials that are put may bring an attempt forward once in a while.
    turns.append(next_attempt(account, Reason.BACKING_OFF))
    if failure is not None:
        # One that lies too far ahead was edited, and holds when it has come nearer.
        turns += [failure.next_attempt, failure.next_attempt - LONGEST_HOLD]
    turns.append(account.journal.expires_at if account.journal else None)
    for turn in sorted(turn for turn in turns if turn is not None and turn >= now):
        if decide(account, now=turn, refresh_before=REFRESH_BEFORE).due:
            return turn
    return None


class Simulation:
    """A fleet's secrets, its token endpoint and its sweeper.

    Args:
        fleet: What is simulated.
        passes_over: False to make every sweep and list every account, which takes long.
        has_threads: Whether the workers are threads, as the program's own are.
    """

    def __init__(
        self, fleet: Fleet, *, passes_over: bool = True, has_threads: bool = False
    ) -> None:
        self.fleet = fleet
        self.time = (WorkerThreads if has_threads else Timelines)(
            workers=fleet.max_workers, refresh_seconds=fleet.grant.refresh_seconds
        )
        self.load = Load()
        self.store = SimulatedSecretStore(self.time, self.load, self._published)
        self.endpoint = SimulatedTokenEndpoint(
            self.time, self.load, fleet.lifetime, fleet.outages, fleet.firewall
        )
        refresher = Refresher(
            store=self.store,
            endpoint=self.endpoint,
            clock=self.time.clock,
            pause=self.time.pause,
            refresh_before=REFRESH_BEFORE,
            schedule=TICK,
            uses_refresh_tokens=True,
        )
        self.sweeper = Sweeper(
            watched(refresher, self.time),
            monotonic=self.time.monotonic,
            max_workers=fleet.max_workers if has_threads else 1,
        )
        self.record = Record([Cost(None)])
        self._passes_over = passes_over
        # S311: the draws are of a simulation, and must be the same every time.
        self._draws = random.Random(SEED + fleet.part)  # noqa: S311
        self._lags = [self._draws.random() for _ in range(997)]
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._wakes: list[tuple[float, str]] = []
        self._wake: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._expires_at: dict[str, float] = {}
        self._overdue: set[str] = set()
        self._outlasted: set[str] = set()
        self._begun_at = 0.0
        self._is_recovering = False
        self._recovered_at = 0.0
        for number in range(fleet.accounts):
            self._onboard(f"dealer-{number:06}")
        for neighbours in fleet.neighbours:
            for number in range(neighbours.accounts):
                self._settle(f"neighbour-{number:06}", neighbours)
        for outage in fleet.outages:
            self.at(outage.begins_at, partial(self._begin, outage))
            self.at(outage.ends_at, self._end)

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen, before the first tick from then on."""
        heapq.heappush(self._events, (seconds, next(self._numbers), act))

    def run(self, *, observe: Callable[[Report], None] | None = None) -> Record:
        """Let the time pass.

        Args:
            observe: Is shown what each sweep came to.
        """
        duration, tick = self.fleet.duration.total_seconds(), 0
        record = self.record
        while (begins_at := self._begins_at(tick := self._following(tick))) < duration:
            while self._events and self._events[0][0] <= begins_at:
                heapq.heappop(self._events)[2]()
            report = self._sweep(tick, begins_at)
            if observe is not None:
                observe(report)
        for name, expires_at in self._expires_at.items():
            if expires_at < duration:
                record.costs[-1].lose(name, duration - expires_at)
                self._expire(name, duration, swept_at=duration)
        record.ticks = int(duration / TICK.total_seconds())
        record.reads += (record.ticks - record.sweeps) * 2 * -(-self.fleet.accounts // PAGE)
        record.most_versions = dict(self.store.most_versions)
        record.blocks = self.endpoint.blocks
        return record

    def put_credentials(self, name: str, *, at: float, **fields: str) -> str:
        """Write an account's credentials, as a person does, and return their text."""
        client = {"token_endpoint": TOKEN_ENDPOINT, "client_id": name, "client_secret": "made-up"}
        text = json.dumps({**client, "grant_type": self.fleet.grant.grant_type, **fields})
        version_id = f"made-by-hand-{next(self._numbers):020}"
        secret = self.store.pairs[name].credentials
        secret.put(version_id, text, [CURRENT])
        secret.changed(at=at)
        self._has_changed(name, at)
        return text

    def _onboard(self, name: str) -> None:
        """Make an account as the program left it, somewhere between two refreshes."""
        fleet = self.fleet
        client = self.endpoint.clients[name] = Client()
        fields: dict[str, str] = {}
        if fleet.grant is not Grant.MACHINE:
            client.refresh_token = f"made-up-seed-{name}"
        if fleet.grant is Grant.DEALER:
            client.password = "made-up-password"
            fields = {"username": "dealer@example.com", "password": client.password}
        if fleet.grant is Grant.CONSENT:
            fields = {"refresh_token": client.refresh_token}
        if fleet.refresh_tokens_live is not None:
            client.grant_ends_at = fleet.refresh_tokens_live.total_seconds()
        pair = self.store.pairs[name] = Pair()
        text = self.put_credentials(name, at=-DAY_SECONDS, **fields)
        cycle = fleet.lifetime - fleet.margin
        passed = self._draws.random() * cycle
        if fleet.has_failed_once:
            passed = cycle + self._draws.random() * TICK
            pair.token.tags = failed_once(pair)
        if fleet.is_in_step:
            # Due right after a tick, so that almost another passes until it is noticed.
            passed = TICK - self._draws.random() * timedelta(minutes=1)
        issued_at = moment(-int(passed.total_seconds()))
        expires_at = issued_at + fleet.lifetime
        digest = digest12(pair.credentials.stages[CURRENT])
        version = str(TokenVersion(issued_at, expires_at, digest, NO_TOKEN_DIGEST))
        before = str(TokenVersion(issued_at - cycle, expires_at - cycle, digest, NO_TOKEN_DIGEST))
        for each in (before, version):
            pair.token.put(each, "of before", [CURRENT])
        if client.refresh_token:
            credentials, lease = parse_credentials(text), lease_id(before, 1)
            leased = LeaseContent(
                leased_at=int(issued_at.timestamp()), run="of before", credentials=digest
            )
            pair.credentials.put(lease, leased.to_json(), [LEASE_STAGE])
            journal = JournalEntry(
                grant=credentials.grant_digest,
                host=credentials.client.host,
                lease=lease,
                refresh_token=client.refresh_token,
            )
            pair.credentials.put(version, journal.to_json(), [JOURNAL_STAGE])
        for secret in (pair.credentials, pair.token):
            secret.changed(at=-DAY_SECONDS)
        self._expires_at[name] = seconds_of(expires_at)
        self._has_changed(name, -LONGEST_LAG_SECONDS)

    def _settle(self, name: str, neighbours: Neighbours) -> None:
        """Make an account that nobody looks at."""
        self.endpoint.clients[name] = Client(failure=neighbours.failure)
        pair = self.store.pairs[name] = Pair()
        endpoint = neighbours.token_endpoint.format(name=name)
        machine = {"token_endpoint": endpoint, "grant_type": Grant.MACHINE.grant_type}
        self.put_credentials(name, at=-DAY_SECONDS, **machine)
        if neighbours.tokens is Tokens.EXTERNAL:
            expires_at = int(EPOCH_SECONDS) + 365 * DAY_SECONDS
            pair.token.put(
                f"made-by-hand-{name}", json.dumps({"expires_at": expires_at}), [CURRENT]
            )
        if neighbours.tokens is Tokens.ENDING:
            ends_at = moment(self._draws.randrange(60, 900))
            digest = digest12(pair.credentials.stages[CURRENT])
            version = TokenVersion(ends_at - self.fleet.lifetime, ends_at, digest, NO_TOKEN_DIGEST)
            pair.token.put(str(version), "of before", [CURRENT])
            pair.token.tags = failed_once(pair)
        pair.token.changed(at=-DAY_SECONDS)
        self._has_changed(name, -LONGEST_LAG_SECONDS)
        if neighbours.is_edited:
            for tick in range(int(self.fleet.duration / TICK)):
                at = tick * TICK.total_seconds()
                self.at(at, partial(self.put_credentials, name, at=at, **machine))

    def _has_changed(self, name: str, at: float) -> None:
        """Note that a listing may lag behind, and look when the account is due next."""
        self._changed[name] = at
        self._look(name, at)

    def _look(self, name: str, at: float) -> None:
        """Work out when the account is due next."""
        pair, now = self.store.pairs[name], moment(at)
        account = account_from_metadata(
            name, credentials=pair.credentials.metadata, token=pair.token.metadata, now=now
        )
        wake = wakes_at(account, now=now)
        self._wake[name] = seconds_of(wake) if wake else NEVER
        heapq.heappush(self._wakes, (self._wake[name], name))

    def _begins_at(self, tick: int) -> float:
        late = self.fleet.late.total_seconds()
        return tick * TICK.total_seconds() + late * self._lags[tick * 7 % 997]

    def _following(self, tick: int) -> int:
        """Tell the next tick at which anything may be due, or may have happened."""
        if not self._passes_over:
            return tick + 1
        while self._wakes and self._wakes[0][0] != self._wake[self._wakes[0][1]]:
            heapq.heappop(self._wakes)
        after = self._begins_at(tick + 1)
        earliest = min(
            self._wakes[0][0] if self._wakes else NEVER,
            self._events[0][0] if self._events else NEVER,
            # A listing may still tell of what was before.
            after if self._can_lag(after) else NEVER,
            self.fleet.duration.total_seconds(),
        )
        following = max(tick + 1, int(earliest / TICK.total_seconds()))
        while self._begins_at(following) < earliest:
            following += 1
        return following

    def _can_lag(self, at: float) -> bool:
        """Whether anything was written within the longest lag; older changes are forgotten."""
        oldest = at - LONGEST_LAG_SECONDS
        self._changed = {name: then for name, then in self._changed.items() if then > oldest}
        return bool(self._changed)

    def _sweep(self, tick: int, begins_at: float) -> Report:
        """Invoke the program once, and account for what it did."""
        names = self._listed(tick, begins_at)
        self._begun_at = begins_at
        self.load.clear()
        self.time.begin_sweep(begins_at, invocation=INVOCATION)
        report = self.sweeper.sweep(time_left=self.time.time_left)
        ended_at = self.time.swept_until
        if ended_at > begins_at + INVOCATION.total_seconds():
            raise RuntimeError("the invocation was cut off")
        for result in report.results:
            if isinstance(result.error, FAILURES):
                if result.error.code.startswith("unexpected"):
                    raise result.error
                need_action = failure_class_of(result.error) is FailureClass.ACTION_REQUIRED
                self.record.need_action += need_action
        for name in names:
            if name in self.store.touched:
                self._has_changed(name, ended_at)
            elif self._wake[name] <= begins_at:
                self._look(name, ended_at)
        self._count(ended_at - begins_at)
        return report

    def _listed(self, tick: int, begins_at: float) -> list[str]:
        """Choose whom the listing names, and how old it is."""
        lag = LONGEST_LAG_SECONDS * self._lags[tick % 997]
        self.store.as_of = begins_at - lag
        names = {name for name, then in self._changed.items() if self.store.as_of < then}
        while self._wakes and self._wakes[0][0] <= begins_at:
            wake, name = heapq.heappop(self._wakes)
            if wake == self._wake[name]:
                names.add(name)
        listed = sorted(names) if self._passes_over else list(self.store.pairs)
        self.store.listed = listed
        return listed

    def _count(self, seconds: float) -> None:
        """Add a sweep's load to the record, and to the outage that it recovers from."""
        record, load, cost = self.record, self.load, self.record.costs[-1]
        requests, writes = load.requests.total(), max(load.writes.values(), default=0)
        record.sweeps += 1
        record.requests += requests
        record.reads += load.reads
        record.writes += load.writes.total()
        record.writes_in_a_second = max(record.writes_in_a_second, writes)
        record.longest_sweep_seconds = max(record.longest_sweep_seconds, seconds)
        if self._is_recovering:
            busiest = max(load.requests.values(), default=0)
            cost.requests_in_a_second = max(cost.requests_in_a_second, busiest)
            cost.requests_in_a_tick = max(cost.requests_in_a_tick, requests)
            cost.writes_in_a_second = max(cost.writes_in_a_second, writes)
            self._is_recovering = bool(self._overdue)

    def _published(self, name: str, content: str, at: float) -> None:
        """Account for a token that consumers can read from now on."""
        if name not in self._expires_at:
            # A neighbour's.
            return
        token = msgspec.json.decode(content, type=PublishedToken)
        cost = self.record.costs[-1]
        # The slowest consumer fetched the old token just before.
        dead = at + CACHE.total_seconds() - self._expires_at[name]
        if dead > 0:
            cost.lose(name, dead)
        self._expire(name, at, swept_at=self._begun_at)
        due_at = max(self._expires_at[name] - self.fleet.margin.total_seconds(), 0)
        self.record.latest_seconds = max(self.record.latest_seconds, at - due_at)
        self._expires_at[name] = token.expires_at - EPOCH_SECONDS
        self.record.published += 1
        if name in self._overdue:
            self._overdue.discard(name)
            self._recover(at)

    def _expire(self, name: str, until: float, *, swept_at: float) -> None:
        """Account for a token that had expired before the next one came, if it had."""
        cost, expires_at = self.record.costs[-1], self._expires_at[name]
        is_first = name in self._outlasted
        self._outlasted.discard(name)
        if expires_at >= until:
            return
        expired = cost.expired_seconds
        expired[name] = expired.get(name, 0) + until - expires_at
        if cost.outage is None or not is_first:
            cost.late += 1
            return
        passed = until - cost.outage.ends_at
        cost.without_token_seconds = max(cost.without_token_seconds, passed)
        # A primary grant may be asked at any time, and waits for the token's own end.
        is_patient = self.fleet.grant is not Grant.CONSENT
        begins_at = max(cost.outage.ends_at, expires_at if is_patient else 0)
        cost.late += swept_at - begins_at > self.fleet.recovery.total_seconds()

    def _begin(self, outage: Outage) -> None:
        if self._overdue:
            raise RuntimeError("an outage began before the one before it was over")
        self.record.costs.append(Cost(outage))

    def _end(self) -> None:
        """Note whose token has become due, and could not be replaced."""
        outage = self.record.costs[-1].outage
        assert outage is not None
        latest = outage.ends_at + self.fleet.margin.total_seconds()
        self._overdue = {name for name, at in self._expires_at.items() if at <= latest}
        self._outlasted = set(self._expires_at)
        self._is_recovering = True
        self._recovered_at = outage.ends_at
        self._recover(outage.ends_at)

    def _recover(self, at: float) -> None:
        """Note how long it took until no token that had become due is left."""
        cost, self._recovered_at = self.record.costs[-1], max(self._recovered_at, at)
        if not self._overdue and cost.outage is not None:
            cost.recovered_seconds = self._recovered_at - cost.outage.ends_at
