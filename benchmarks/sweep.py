"""A sweep with nothing due, of ever more accounts: calls, processor time, waiting, memory.

The floor lists the same pages with boto3, both paths at once, and makes nothing of them. Functions
and floors take turns, each in a process of its own under the client that AWS uses, so that what
else the machine does meets them all.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.accounts import FRESH, MACHINE, utc_now
from benchmarks.function import PROGRAM, MeasuredFunction, Usage
from benchmarks.report import Bound, Coefficient, Findings, Table, ratio, spread
from benchmarks.servers import Servers

FLOOR: Final = "benchmarks.floors.listing.lambda_handler"
# How many accounts, and how many sweeps of them make a round: short ones are too short to compare.
SWEEPS: Final = {100: 10, 1_000: 4, 10_000: 1}
ROUNDS: Final = 7
LATE_ROUNDS: Final = 3
LATE_SECONDS: Final = 0.05
# For the largest fleet, whose thousand pages would be waited for too long.
LESS_LATE_SECONDS: Final = 0.02
PAGE: Final = 100
FLEET: Final = 100_000
APART: Final = timedelta(seconds=0.1)
# Each expires that much before the other, and the last of them all is fresh as well.
EXPIRING: Final = FRESH + APART * FLEET

NOTE: Final = """\
Nothing is due. CPU is that of the function's own process, and of a whole processor; the floor
lists the same pages with boto3 and makes nothing of them. Secrets Manager is a stub over TLS that
answers from memory, with {stub:.2f} ms of its own processor time for a call. Medians of {rounds}
interleaved rounds, with the middle half."""
LATE_NOTE: Final = """\
The same, where every call to Secrets Manager takes 50 ms. The ideal is the pages of one path, one
after another, and nothing else. Medians of {rounds} interleaved rounds, with the middle half."""
FLEET_NOTE: Final = """\
A sweep of 100,000 accounts, nothing due, measured once, beside that of 10,000."""


@dataclass(slots=True)
class Contender:
    """The program, or its floor, and what it used for a sweep of so many accounts.

    Attributes:
        function: Its process.
        cpu: Milliseconds a sweep, round by round.
        wall: Likewise.
        late: Milliseconds a sweep where calls are late, round by round.
        calls: A sweep.
        reads: Of them, of secrets.
        log_bytes: A sweep.
    """

    function: MeasuredFunction
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    calls: float = 0
    reads: float = 0
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """A number of accounts, swept by the program and listed by the floor."""

    accounts: int
    mine: Contender
    floor: Contender

    @property
    def contenders(self) -> tuple[Contender, Contender]:
        """Both."""
        return self.mine, self.floor


def sweep(function: MeasuredFunction, accounts: int) -> Usage:
    """Sweep, or list.

    Raises:
        RuntimeError: What it found is not what is there.
    """
    used = function.use({})
    found = used.answer if isinstance(used.answer, list) else [used.answer["outcomes"]["fresh"]]
    if set(found) != {accounts}:
        raise RuntimeError(f"The sweep was to find {accounts} fresh accounts: {used.answer}")
    return used


def ideal_ms(accounts: int, late_seconds: float = LATE_SECONDS) -> float:
    """Tell how long the pages of one path take, where calls are late."""
    return math.ceil(accounts / PAGE) * late_seconds * 1e3


def measure() -> Findings:
    """Measure sweeps of all sizes."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(Servers(directory))
        sizes = [_started(stack, servers, accounts) for accounts in SWEEPS]
        stub_ms = _measure_work(servers, sizes)
        servers.delay(aws=LATE_SECONDS, token_endpoint=0)
        for _ in range(LATE_ROUNDS):
            for size in sizes:
                for each in size.contenders:
                    each.late.append(sweep(each.function, size.accounts).wall_ms)
        peaks = [[each.function.peak_mb() for each in size.contenders] for size in sizes]
    findings = Findings("sweep")
    findings.tables = [_work_table(sizes, peaks, stub_ms), _waiting_table(sizes)]
    _, thousand, most = sizes
    each_account = [[cpu / size.accounts for cpu in size.mine.cpu] for size in (most, thousand)]
    findings.bounds = [
        Bound("secret reads of an idle sweep", max(size.mine.reads for size in sizes), 0, digits=0),
        Bound("AWS calls for 10,000 accounts: two for a hundred", most.mine.calls, 200, digits=0),
        Bound("megabytes at 10,000 accounts", peaks[-1][0], 128, digits=0),
        Bound("an account's CPU at 10,000 to that at 1,000", ratio(*each_account).median, 1.2),
    ]
    fleet_mb = _measure_fleet(findings, spread(most.mine.cpu).median / most.accounts)
    findings.coefficients = _coefficients(sizes[0], most, peaks[0][0], fleet_mb)
    return findings


def _started(stack: ExitStack, servers: Servers, accounts: int) -> Size:
    """Start the function and the floor for a number of accounts, under a prefix of its own."""
    prefix = f"of-{accounts}"
    servers.seed(prefix, range(accounts), MACHINE, expires_at=utc_now() + EXPIRING, apart=APART)
    environment = {**servers.environment(), "SECRET_PREFIX": prefix}
    mine, floor = (
        Contender(stack.enter_context(MeasuredFunction(environment, handler=handler)))
        for handler in (PROGRAM, FLOOR)
    )
    for each in (mine, floor):
        sweep(each.function, accounts)
    return Size(accounts, mine, floor)


def _measure_work(servers: Servers, sizes: list[Size]) -> float:
    """Let all take turns; return what the stub used for a call, in milliseconds."""
    before, calls = servers.seen().cpu_seconds, 0
    for _ in range(ROUNDS):
        for size in sizes:
            for each in size.contenders:
                used = [sweep(each.function, size.accounts) for _ in range(SWEEPS[size.accounts])]
                seen = servers.seen()
                calls += seen.calls.total()
                each.cpu.append(statistics.fmean(usage.cpu_ms for usage in used))
                each.wall.append(statistics.fmean(usage.wall_ms for usage in used))
                each.calls = seen.calls.total() / len(used)
                each.reads = seen.calls["GetSecretValue"] / len(used)
                each.log_bytes = used[-1].log_bytes
    return (servers.seen().cpu_seconds - before) * 1e3 / calls


def _work_table(sizes: list[Size], peaks: list[list[float]], stub_ms: float) -> Table:
    return Table(
        "idle-sweep",
        NOTE.format(stub=stub_ms, rounds=ROUNDS),
        (
            "accounts",
            "AWS calls",
            "floor",
            "secret reads",
            "CPU",
            "floor",
            "ratio",
            "CPU an account",
            "peak memory",
            "floor",
            "log",
        ),
        [
            (
                f"{size.accounts:,}",
                f"{size.mine.calls:.0f}",
                f"{size.floor.calls:.0f}",
                f"{size.mine.reads:.0f}",
                spread(size.mine.cpu).told("ms", 1),
                spread(size.floor.cpu).told("ms", 1),
                ratio(size.mine.cpu, size.floor.cpu).told(digits=2),
                f"{spread(size.mine.cpu).median / size.accounts:.3f} ms",
                f"{peak:.0f} MB",
                f"{least:.0f} MB",
                f"{size.mine.log_bytes:,} B",
            )
            for size, (peak, least) in zip(sizes, peaks, strict=True)
        ],
    )


def _waiting_table(sizes: list[Size]) -> Table:
    return Table(
        "idle-sweep-waiting",
        LATE_NOTE.format(rounds=LATE_ROUNDS),
        (
            "accounts",
            "time at 0 ms",
            "floor",
            "at 50 ms",
            "floor",
            "ratio",
            "ideal",
            "ratio",
        ),
        [
            (
                f"{size.accounts:,}",
                spread(size.mine.wall).told("ms"),
                spread(size.floor.wall).told("ms"),
                spread(size.mine.late).told("ms"),
                spread(size.floor.late).told("ms"),
                ratio(size.mine.late, size.floor.late).told(digits=2),
                f"{ideal_ms(size.accounts):,.0f} ms",
                f"{spread(size.mine.late).median / ideal_ms(size.accounts):.2f}",
            )
            for size in sizes
        ],
    )


def _coefficients(least: Size, most: Size, least_mb: float, fleet_mb: float) -> list[Coefficient]:
    """Lay a line through the smallest and the largest sweep; for memory that of 100,000."""

    def line(low: float, high: float, accounts: int = most.accounts) -> tuple[float, float]:
        slope = (high - low) / (accounts - least.accounts)
        return max(low - slope * least.accounts, 0.0), slope

    cpu, account_cpu = line(spread(least.mine.cpu).median, spread(most.mine.cpu).median)
    log, account_log = line(least.mine.log_bytes, most.mine.log_bytes)
    memory, account_memory = line(least_mb, fleet_mb, FLEET)
    return [
        Coefficient("CPU of a sweep", cpu, "ms"),
        Coefficient("CPU of an idle account", account_cpu, "ms a sweep"),
        Coefficient("log of a sweep", log, "bytes"),
        Coefficient("log of an account", account_log, "bytes a sweep"),
        Coefficient("memory of a sweep", memory, "MB"),
        Coefficient("memory of 1,000 accounts", account_memory * 1_000, "MB"),
    ]


def _measure_fleet(findings: Findings, account_ms: float) -> float:
    """Sweep 100,000 accounts once, late and not; return the megabytes that this took.

    Args:
        findings: Where its table belongs.
        account_ms: An account's share of a sweep of 10,000.
    """
    with tempfile.TemporaryDirectory() as directory, Servers(Path(directory)) as servers:
        servers.seed("oauth", range(FLEET), MACHINE, expires_at=utc_now() + EXPIRING, apart=APART)
        with MeasuredFunction(servers.environment()) as function:
            servers.delay(aws=LESS_LATE_SECONDS, token_endpoint=0)
            late = sweep(function, FLEET)
            servers.delay(aws=0, token_endpoint=0)
            prompt = sweep(function, FLEET)
            peak = function.peak_mb()
    ideal = ideal_ms(FLEET, LESS_LATE_SECONDS)
    findings.tables.append(
        Table(
            "listing",
            FLEET_NOTE,
            (
                "accounts",
                "CPU",
                "an account",
                "to 10,000",
                "at 20 ms a call",
                "ideal",
                "ratio",
                "peak memory",
            ),
            [
                (
                    f"{FLEET:,}",
                    f"{prompt.cpu_ms / 1e3:.1f} s",
                    f"{prompt.cpu_ms / FLEET:.3f} ms",
                    f"{prompt.cpu_ms / FLEET / account_ms:.2f}",
                    f"{late.wall_ms / 1e3:.1f} s",
                    f"{ideal / 1e3:.1f} s",
                    f"{late.wall_ms / ideal:.2f}",
                    f"{peak:.0f} MB",
                )
            ],
        )
    )
    return peak
