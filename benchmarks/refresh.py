"""A refresh: its calls, its processor time and its time, against a floor and a rotation function.

The floor makes the same calls and the same request, written out, and checks nothing. The rotation
function is the standard one of four steps, written from its documented contract. Each runs in a
process of its own under the client that AWS uses, and they take turns.
"""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.accounts import DEALER, DUE, MACHINE, Grant, account_name, utc_now
from benchmarks.function import MeasuredFunction, Usage
from benchmarks.report import Bound, Coefficient, Findings, Table, ratio, spread
from benchmarks.servers import Servers
from token_refresher.aws.secret_store import _WRITES_PER_SECOND

FLOOR: Final = "benchmarks.floors.refresh.lambda_handler"
ROTATION: Final = "benchmarks.floors.rotation.lambda_handler"
# What the floors write are no version ids of the program's, so each has accounts of its own.
PREFIX: Final = "oauth"
FLOOR_PREFIX: Final = "floor"
ROTATION_PREFIX: Final = "rotation"
STEPS: Final = ("createSecret", "setSecret", "testSecret", "finishSecret")
# As many as are refreshed at once, and then some; more would take longer, since writes are paced.
DUE_AT_ONCE: Final = 32
ROUNDS: Final = 7
WARMING_UP: Final = 16
ROTATIONS: Final = 4
LATE_ROUNDS: Final = 3
AWS_SECONDS: Final = 0.02
TOKEN_SECONDS: Final = 0.2

NOTE: Final = f"""\
{DUE_AT_ONCE} accounts are due at once; an idle sweep of the same accounts is subtracted. CPU is
that of the function's own process, and of a whole processor; Secrets Manager and the token
endpoint are stubs over TLS. The floor keeps to the same {_WRITES_PER_SECOND} writes a second, since
a processor that idles between calls is slower at each; how much, the last column tells: the ratio
to the floor in full flight. A refresh token's request has a connection of its own, also in the
floor; another of its floors sends it by a connection that is open. Medians of {ROUNDS} interleaved
rounds, with the middle half."""
CONNECTION_NOTE: Final = f"""\
What it costs that a refresh token's request has a connection of its own, opened before the lease:
the floor with and without it. Medians of {ROUNDS} interleaved rounds, with the middle half."""
ROTATION_NOTE: Final = f"""\
The same against the standard rotation function: four invocations, a client in each, one secret.
Time is what Lambda would bill on a whole processor, with Secrets Manager at 20 ms a call and the
token endpoint at 200 ms; of {DUE_AT_ONCE} that are due at once, each has its share. An account that
an event names is described instead of listed, and has the invocation for itself. Medians of
{ROUNDS} interleaved rounds ({LATE_ROUNDS} for the time), with the middle half."""


@dataclass(slots=True)
class Work:
    """What refreshes used, round by round: milliseconds each.

    Attributes:
        cpu: Processor time.
        wall: Time.
        calls: To Secrets Manager.
        log_bytes: What was logged.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    calls: float = 0
    log_bytes: float = 0


def seed(servers: Servers, prefix: str, numbers: range, grant: Grant) -> None:
    """Let accounts come due."""
    servers.seed(prefix, numbers, grant, expires_at=utc_now() + DUE, apart=timedelta(seconds=0.1))


class Measured:
    """The function and its floor for accounts of one grant, at work in turns.

    Attributes:
        mine: What the program used.
        alone: What it used for an account that its event named.
        floor: What the floor used, at the program's pace.
        flight: What it used without a pace.
        pooled: What it used at that pace, with connections that are open already.
    """

    def __init__(self, servers: Servers, grant: Grant) -> None:
        self._servers = servers
        self._grant = grant
        self._known = 0
        self._function = MeasuredFunction(servers.environment())
        environment = {**servers.environment(), "SECRET_PREFIX": FLOOR_PREFIX}
        self._floor = MeasuredFunction(environment, handler=FLOOR)
        self.forget()
        self.play(WARMING_UP)
        self.forget()

    def forget(self) -> None:
        """Begin to measure again."""
        self.mine, self.alone, self.floor, self.flight = Work(), Work(), Work(), Work()
        self.pooled = Work()

    def play(self, due: int = DUE_AT_ONCE) -> None:
        """Let both refresh as many accounts; those of the program are due, and found by it."""
        accounts = self._come_due(due)
        busy, calls = self._use({}, due)
        idle, idle_calls = self._use({}, 0)
        self.mine.cpu.append((busy.cpu_ms - idle.cpu_ms) / due)
        self.mine.wall.append(busy.wall_ms / due)
        self.mine.calls = (calls - idle_calls) / due
        self.mine.log_bytes = (busy.log_bytes - idle.log_bytes) / due

        event = {"accounts": accounts, "by_refresh_token": self._grant.is_journaled}
        floors = [(self.floor, _WRITES_PER_SECOND, True), (self.flight, 0, True)]
        if self._grant.is_journaled:
            floors.append((self.pooled, _WRITES_PER_SECOND, False))
        for work, pace, connects in floors:
            least = self._floor.use(event | {"writes_per_second": pace, "connects": connects})
            work.cpu.append(least.cpu_ms / due)
            work.calls = self._servers.seen().calls.total() / due

    def play_alone(self) -> None:
        """Let the program refresh an account that the event names."""
        used, calls = self._use({"accounts": self._come_due(1)}, 1)
        self.alone.cpu.append(used.cpu_ms)
        self.alone.wall.append(used.wall_ms)
        self.alone.calls = calls

    def _come_due(self, due: int) -> list[str]:
        """Let so many accounts come due, for the program and for its floor."""
        numbers = range(self._known, self._known + due)
        for prefix in (PREFIX, FLOOR_PREFIX):
            seed(self._servers, prefix, numbers, self._grant)
        self._known += due
        return [account_name(number) for number in numbers]

    def _use(self, event: object, due: int) -> tuple[Usage, int]:
        """Invoke the program; tell what it used, its calls included.

        Raises:
            RuntimeError: It did not publish as many tokens as are due.
        """
        self._servers.seen()
        used = self._function.use(event)
        if used.answer["outcomes"].get("published", 0) != due:
            raise RuntimeError(f"{due} accounts were to be published: {used.answer}")
        return used, self._servers.seen().calls.total()

    def stop(self) -> None:
        """End both."""
        self._function.stop()
        self._floor.stop()


class Rotation:
    """The standard function, at work on one secret after another.

    Attributes:
        work: What it used.
    """

    def __init__(self, servers: Servers) -> None:
        self.work = Work()
        self._servers = servers
        seed(servers, ROTATION_PREFIX, range(ROTATIONS), MACHINE)
        self._function = MeasuredFunction(servers.environment(), handler=ROTATION)
        self.play(1)
        self.work = Work()

    def play(self, secrets: int = ROTATIONS) -> None:
        """Rotate secrets, each by its four steps."""
        self._servers.seen()
        cpu = wall = 0.0
        for number in range(secrets):
            event: dict[str, Any] = {
                "SecretId": f"{ROTATION_PREFIX}/tokens/{account_name(number)}",
                "ClientRequestToken": str(uuid.uuid4()),
            }
            for step in STEPS:
                used = self._function.use(event | {"Step": step})
                cpu, wall = cpu + used.cpu_ms, wall + used.wall_ms
        self.work.cpu.append(cpu / secrets)
        self.work.wall.append(wall / secrets)
        self.work.calls = self._servers.seen().calls.total() / secrets

    def stop(self) -> None:
        """End it."""
        self._function.stop()


def measure() -> Findings:
    """Measure refreshes with and without refresh tokens."""
    with tempfile.TemporaryDirectory() as temporary, Servers(Path(temporary)) as servers:
        machine = Measured(servers, MACHINE)
        rotation = Rotation(servers)
        for _ in range(ROUNDS):
            machine.play()
            rotation.play()
            machine.play_alone()
        prompt = machine.mine, machine.alone, machine.floor, machine.flight, rotation.work
        machine.forget()
        rotation.work = Work()
        servers.delay(aws=AWS_SECONDS, token_endpoint=TOKEN_SECONDS)
        for _ in range(LATE_ROUNDS):
            machine.play()
            rotation.play()
            machine.play_alone()
        late = machine.mine, machine.alone, rotation.work
        machine.stop()
        rotation.stop()
        servers.clear()
        dealer = Measured(servers, DEALER)
        for _ in range(ROUNDS):
            dealer.play()
        dealer.stop()
    return _findings(prompt, late, (dealer.mine, dealer.floor, dealer.flight, dealer.pooled))


def _findings(
    machine: tuple[Work, Work, Work, Work, Work],
    late: tuple[Work, Work, Work],
    dealer: tuple[Work, Work, Work, Work],
) -> Findings:
    mine, alone, floor, flight, rotation = machine
    mine_late, alone_late, rotation_late = late
    by_token, connecting, hurrying, pooled = dealer
    findings = Findings("refresh")
    findings.tables = [
        Table(
            "refresh",
            NOTE,
            (
                "a refresh",
                "AWS calls",
                "floor",
                "CPU",
                "floor",
                "ratio",
                "log",
                "ratio in full flight",
            ),
            [
                (
                    grant.name,
                    f"{work.calls:.0f}",
                    f"{least.calls:.0f}",
                    spread(work.cpu).told("ms", 1),
                    spread(least.cpu).told("ms", 1),
                    ratio(work.cpu, least.cpu).told(digits=2),
                    f"{work.log_bytes:.0f} B",
                    ratio(work.cpu, hurried.cpu).told(digits=2),
                )
                for grant, work, least, hurried in (
                    (MACHINE, mine, floor, flight),
                    (DEALER, by_token, connecting, hurrying),
                )
            ],
        ),
        Table(
            "connection",
            CONNECTION_NOTE,
            ("the floor of a refresh by refresh token", "CPU", "ratio"),
            [
                (name, spread(work.cpu).told("ms", 1), ratio(work.cpu, pooled.cpu).told(digits=2))
                for name, work in (
                    ("with a connection of its own", connecting),
                    ("by a connection that is open", pooled),
                )
            ],
        ),
        Table(
            "rotation",
            ROTATION_NOTE,
            (
                "a refresh without refresh token",
                "AWS calls",
                "ratio",
                "CPU",
                "ratio",
                "time billed",
                "ratio",
            ),
            [
                (
                    name,
                    f"{work.calls:.0f}",
                    f"{work.calls / rotation.calls:.2f}",
                    spread(work.cpu).told("ms", 1),
                    ratio(work.cpu, rotation.cpu).told(digits=2),
                    spread(slow.wall).told("ms"),
                    ratio(slow.wall, rotation_late.wall).told(digits=2),
                )
                for name, work, slow in (
                    ("four steps", rotation, rotation_late),
                    (f"this program, one of {DUE_AT_ONCE}", mine, mine_late),
                    ("this program, one alone", alone, alone_late),
                )
            ],
        ),
    ]
    findings.bounds = [
        Bound("CPU of a refresh to its floor", ratio(mine.cpu, floor.cpu).median, 1.3),
        Bound(
            "CPU of one by refresh token to its floor",
            ratio(by_token.cpu, connecting.cpu).median,
            1.3,
        ),
        Bound("calls to those of the four steps", mine.calls / rotation.calls, 0.4),
        Bound("CPU to that of the four steps", ratio(mine.cpu, rotation.cpu).median, 0.33),
        Bound(
            "time to that of the four steps", ratio(mine_late.wall, rotation_late.wall).median, 0.33
        ),
    ]
    findings.coefficients = [
        Coefficient("CPU of a refresh", spread(mine.cpu).median, "ms"),
        Coefficient("CPU of a refresh by refresh token", spread(by_token.cpu).median, "ms"),
        Coefficient("calls of a refresh", mine.calls, "calls"),
        Coefficient("calls of a refresh by refresh token", by_token.calls, "calls"),
        Coefficient("log of a refresh", mine.log_bytes, "bytes"),
    ]
    return findings
