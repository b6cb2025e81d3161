"""A fleet that is due at once, in virtual time: tick by tick, under the Region's quotas.

The program's own sweep, refresh, policy, pacing and secret store run; the client beneath them, the
token endpoint and the clock are made here. What a sweep does not finish, the next must continue:
the soonest expiry first, nothing lost, nothing refreshed twice, and no host in another's way.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from benchmarks.accounts import DEALER, DUE, MACHINE, Grant, fleet, token_response
from benchmarks.mass_expiry import places_late
from benchmarks.report import Bound, Findings, Table
from benchmarks.secrets_manager import QUOTA, Region
from benchmarks.virtual_time import VirtualTime
from local.secrets_manager.client import MemoryClient
from local.secrets_manager.refusals import RefusalError
from token_refresher.aws.secret_store import Pace, SecretsManagerStore
from token_refresher.errors import HostStoppedError, OutOfTimeError
from token_refresher.oauth.errors import EndpointUnavailableError
from token_refresher.oauth.exchange import REQUEST_SECONDS
from token_refresher.oauth.token_response import read_token_response
from token_refresher.refresh import Refresher
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.client_authentication import Grant as TokenGrant
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.sweep import Report

FLEET: Final = 12_000
# Of each host that does not serve: so many accounts on top.
FAILING: Final = 120
TICK_SECONDS: Final = 300
INVOCATION_SECONDS: Final = 240
MOST_TICKS: Final = 10
APART: Final = timedelta(seconds=0.2)

HEALTHY: Final = "healthy.example"
HUNG: Final = "hung.example"
LIMITED: Final = "limited.example"

# As botocore's standard mode: three attempts, and a wait between them that doubles.
ATTEMPTS: Final = 3
BACK_OFF_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """What comes due, and how slow everything is.

    Attributes:
        name: What the table calls it.
        fleet: How many accounts of a healthy host are due.
        grant: How the accounts get their tokens.
        aws_seconds: How long every call to Secrets Manager takes.
        token_seconds: How long the token endpoint takes.
        workers: The setting MAX_WORKERS.
        has_failing_hosts: Whether 120 accounts of a host that hangs and 120 of one that answers
            429 are due besides, spread among the others.
    """

    name: str
    fleet: int = FLEET
    grant: Grant = MACHINE
    aws_seconds: float = 0.02
    token_seconds: float = 0.2
    workers: int = 16
    has_failing_hosts: bool = False

    def host(self, account: int) -> str:
        """Tell an account's host: the failing ones are spread evenly."""
        apart = self.fleet // FAILING + 2
        if not self.has_failing_hosts or account % apart not in {0, apart // 2}:
            return HEALTHY
        return LIMITED if account % apart else HUNG

    @property
    def accounts(self) -> int:
        """How many there are."""
        return self.fleet + (2 * FAILING if self.has_failing_hosts else 0)


SCENARIOS: Final = (
    Scenario("AWS 20 ms, endpoint 200 ms"),
    Scenario("with a host that hangs, and one that answers 429", has_failing_hosts=True),
    Scenario("by refresh token: three writes each", fleet=6_000, grant=DEALER),
    Scenario("three times slower", fleet=6_000, aws_seconds=0.06, token_seconds=0.6),
    Scenario(
        "three times slower, 64 workers",
        fleet=6_000,
        aws_seconds=0.06,
        token_seconds=0.6,
        workers=64,
    ),
)


def in_virtual_time(
    manager: Region, time: VirtualTime, seconds: float
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Let every call take so long, and be tried again as botocore does."""

    def answer(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        attempt = 1
        while True:
            time.sleep(seconds)
            try:
                return manager.answer(operation, asked)
            except RefusalError as refusal:
                if refusal.code != "ThrottlingException" or attempt == ATTEMPTS:
                    raise
            time.sleep(BACK_OFF_SECONDS * 2**attempt)
            attempt += 1

    return answer


class VirtualEndpoint:
    """Three hosts: one serves, one never answers, one has had enough."""

    def __init__(self, time: VirtualTime, seconds: float) -> None:
        self._time = time
        self._seconds = seconds
        self.requests: Counter[str] = Counter()

    def admit(self, client: Client) -> None:
        """Admit every host."""

    @contextmanager
    def connect(self, client: Client) -> Iterator[VirtualConnection]:
        """Connect to every host, at once."""
        yield VirtualConnection(self, client)

    def request(self, client: Client, grant: TokenGrant) -> TokenResponse:
        """Answer as the host does."""
        self.requests[client.host] += 1
        if client.host == HUNG:
            self._time.sleep(REQUEST_SECONDS)
            raise EndpointUnavailableError("no answer in time", code="timeout")
        self._time.sleep(self._seconds)
        status = 429 if client.host == LIMITED else 200
        answer = token_response(
            with_refresh_token=grant.parameters["grant_type"] != "client_credentials"
        )
        return read_token_response(
            status,
            json.dumps(answer).encode(),
            client=client,
            retry_after=None,
            now=self._time.now(),
        )

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Verify nothing: no account here asks for it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class VirtualConnection:
    """A connection to one of them."""

    endpoint: VirtualEndpoint
    client: Client

    def request(self, grant: TokenGrant, *, before_sending: Callable[[], None]) -> TokenResponse:
        """Answer as the host does."""
        before_sending()
        return self.endpoint.request(self.client, grant)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one sweep did.

    Attributes:
        publishes: Moments and accounts, in order.
        writes: Moments of all writes that count against the quota.
        throttled: How many calls were.
        outcomes: How many accounts were published, left over, put off and failed.
        lasted: Seconds.
    """

    publishes: list[tuple[float, str]]
    writes: list[float]
    throttled: int
    outcomes: Counter[str]
    lasted: float


@dataclass(slots=True)
class Run:
    """A scenario, played until every healthy account is served."""

    scenario: Scenario
    ticks: list[Tick] = field(default_factory=list)

    @property
    def published(self) -> list[str]:
        """The accounts, in the order of their publishing."""
        return [account for tick in self.ticks for _, account in tick.publishes]

    @property
    def twice(self) -> int:
        """How many were refreshed more than once."""
        return len(self.published) - len(set(self.published))

    @property
    def lost(self) -> int:
        """How many that a healthy host serves have no new token."""
        return self.scenario.fleet - len(set(self.published))

    @property
    def rejected(self) -> int:
        """How many refreshes failed although their host serves."""
        failed = sum(tick.outcomes["failed"] for tick in self.ticks)
        return failed - sum(tick.outcomes["host"] for tick in self.ticks)

    @property
    def seconds(self) -> float:
        """How long it took to serve the last of them."""
        return max(moment for tick in self.ticks for moment, _ in tick.publishes)

    @property
    def places(self) -> int:
        """By how many places an account was published later than its expiry would have it.

        Sixteen that are refreshed at once may overtake each other.
        """
        return places_late(self.published)

    @property
    def use_of_quota(self) -> float:
        """What part of the quota the sweeps used while they wrote, the last one left out."""
        full = self.ticks[:-1] or self.ticks
        written = sum(len(tick.writes) for tick in full)
        return written / sum(tick.writes[-1] - tick.writes[0] for tick in full) / QUOTA

    @property
    def most_in_a_second(self) -> int:
        """The most writes in any second."""
        moments = sorted(moment for tick in self.ticks for moment in tick.writes)
        first = most = 0
        for last, moment in enumerate(moments):
            while moments[first] <= moment - 1:
                first += 1
            most = max(most, last - first + 1)
        return most


def play(scenario: Scenario) -> Run:
    """Sweep until every healthy account is served."""
    run = Run(scenario)
    with VirtualTime(scenario.workers) as time:
        manager, endpoint = _region(scenario, time), VirtualEndpoint(time, scenario.token_seconds)
        client = MemoryClient(in_virtual_time(manager, time, scenario.aws_seconds))
        sweeper = Sweeper(
            Refresher(
                store=SecretsManagerStore(
                    cast("SecretsManagerClient", client),
                    prefix="oauth",
                    kms_key_id="",
                    pace=Pace(monotonic=time.monotonic, sleep=time.sleep),
                ),
                endpoint=endpoint,
                clock=time.now,
                pause=lambda duration: time.sleep(duration.total_seconds()),
                refresh_before=timedelta(seconds=5400),
                schedule=timedelta(seconds=TICK_SECONDS),
                uses_refresh_tokens=True,
            ),
            monotonic=time.monotonic,
            max_workers=scenario.workers,
        )
        while run.lost and len(run.ticks) < MOST_TICKS:
            run.ticks.append(_sweep(sweeper, manager, time, len(run.ticks) * TICK_SECONDS))
    return run


def _region(scenario: Scenario, time: VirtualTime) -> Region:
    """Make the secrets, all of them due, and enforce the quota."""
    manager = Region(time.monotonic)
    manager.enforce()
    for host in (HEALTHY, HUNG, LIMITED):
        numbers = [each for each in range(scenario.accounts) if scenario.host(each) == host]
        manager.add(
            fleet(
                "oauth",
                numbers,
                scenario.grant,
                token_endpoint=f"https://{host}/oauth/token",
                expires_at=time.now() + DUE,
                apart=APART,
            )
        )
    return manager


def _sweep(sweeper: Sweeper, manager: Region, time: VirtualTime, begins_at: float) -> Tick:
    """Wait for the tick, and sweep."""
    time.sleep(begins_at - time.monotonic())
    ends_at = begins_at + INVOCATION_SECONDS
    report = sweeper.sweep(
        time_left=lambda: timedelta(seconds=ends_at - time.monotonic()),
    )
    writes = [write for write in manager.writes if write.at >= begins_at]
    tick = Tick(
        publishes=[
            (write.at, write.secret_id.rpartition("/")[2])
            for write in writes
            if write.stages == ("AWSCURRENT",)
        ],
        writes=[write.at for write in writes],
        throttled=manager.refused["ThrottlingException"],
        outcomes=_outcomes(report),
        lasted=time.monotonic() - begins_at,
    )
    manager.refused.clear()
    return tick


def _outcomes(report: Report) -> Counter[str]:
    """Count what came of the accounts that were due."""
    told: Counter[str] = Counter()
    for result in report.results:
        error = result.error
        told[result.outcome] += 1
        told["left over"] += isinstance(error, OutOfTimeError)
        told["put off"] += isinstance(error, HostStoppedError)
        told["host"] += isinstance(error, EndpointUnavailableError)
    return told


NOTE: Final = f"""\
{FLEET:,} accounts (6,000 in the slower runs) are due at once, under the quotas of a Region, in
virtual time: nobody waits, and the machine is not in the figures. A tick comes every
{TICK_SECONDS} s, and an invocation ends after {INVOCATION_SECONDS}. Left over are those for which
a sweep had no time, put off those whose host failed others; nothing is recorded for either."""
RUNS_NOTE: Final = """\
The same runs as a whole; served are the accounts whose host serves. The floor is what the Region's
quota of writes alone would take, without a pause between two ticks."""


def _rows(run: Run) -> list[tuple[str, ...]]:
    """Tell a run tick by tick."""
    return [
        (
            run.scenario.name if number == 1 else "",
            f"{number}",
            f"{tick.outcomes['published']:,}",
            f"{tick.outcomes['left over']:,}",
            f"{tick.outcomes['put off']:,}",
            f"{tick.outcomes['failed']:,}",
            f"{tick.lasted:.0f} s",
            f"{(len(tick.writes) - 1) / (tick.writes[-1] - tick.writes[0]):.1f}",
            f"{tick.throttled}",
        )
        for number, tick in enumerate(run.ticks, 1)
    ]


def measure() -> Findings:
    """Play all scenarios."""
    runs = [play(scenario) for scenario in SCENARIOS]
    findings = Findings("fleet")
    findings.tables = [
        Table(
            "fleet",
            NOTE,
            (
                "what is due",
                "tick",
                "published",
                "left over",
                "put off",
                "failed",
                "sweep",
                "writes a second",
                "throttled",
            ),
            [row for run in runs for row in _rows(run)],
        ),
        Table(
            "fleet-runs",
            RUNS_NOTE,
            (
                "what is due",
                "ticks",
                "all served after",
                "by the quota alone",
                "lost",
                "refreshed twice",
                "refused for good",
                "places late",
                "most writes in a second",
            ),
            [
                (
                    run.scenario.name,
                    f"{len(run.ticks)}",
                    f"{run.seconds:.0f} s",
                    f"{run.scenario.fleet * run.scenario.grant.writes / QUOTA:.0f} s",
                    f"{run.lost}",
                    f"{run.twice}",
                    f"{run.rejected}",
                    f"{run.places}",
                    f"{run.most_in_a_second}",
                )
                for run in runs
            ],
        ),
    ]
    plain, disturbed, *_ = runs
    findings.bounds = [
        Bound("accounts lost", max(run.lost for run in runs), 0, digits=0),
        Bound("accounts refreshed twice", max(run.twice for run in runs), 0, digits=0),
        Bound("refreshes refused for good", max(run.rejected for run in runs), 0, digits=0),
        Bound("writes in any second", max(run.most_in_a_second for run in runs), QUOTA, digits=0),
        Bound(
            "use of the quota, where 16 workers reach it", plain.use_of_quota, 0.9, is_floor=True
        ),
        Bound("places late, of 16 at once", max(run.places for run in runs[:3]), 16, digits=0),
        # One timeout of a sweep in which all workers meet the hung host at once, in each tick.
        Bound(
            "seconds that hosts which fail cost the others, a tick",
            (disturbed.seconds - plain.seconds) / len(disturbed.ticks),
            REQUEST_SECONDS,
            digits=1,
        ),
    ]
    return findings
