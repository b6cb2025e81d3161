"""Signatures: what an account that signs pays for each, and that the others pay nothing.

The program is built as it is shipped, beside that of the commit before accounts could sign. Both
take turns, each in a process of its own under the client that AWS uses.
"""

from __future__ import annotations

import io
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.accounts import FRESH, MACHINE, SIGNER, account_name, utc_now
from benchmarks.cold_start import ARCHITECTURES, MEASURED_PYTHON, Variant, cold_start
from benchmarks.function import MeasuredFunction
from benchmarks.refresh import AWS_SECONDS, DUE_AT_ONCE, TOKEN_SECONDS, WARMING_UP, seed
from benchmarks.report import Bound, Coefficient, Findings, Table, ratio, spread
from benchmarks.servers import Servers
from local.embedded_cloud import ROOT
from local.runtime_api import link_runtime_client
from tools import artifact

if TYPE_CHECKING:
    from benchmarks.accounts import Grant

# The last commit at which no account could sign.
BEFORE: Final = "c34f5ede83"
STARTS: Final = 15
ROUNDS: Final = 7
FURTHER: Final = 5
LATE_ROUNDS: Final = 3
DUE: Final = 320

UNUSED_NOTE: Final = f"""\
Accounts that do not sign: the program beside that of commit {BEFORE}, the last before any could.
Both are as shipped, for Python {{python}} and {{architecture}}; {STARTS} interleaved starts,
{ROUNDS} rounds of {DUE_AT_ONCE} refreshes without refresh token, medians with the middle half."""
SIGNATURE_NOTE: Final = f"""\
A refresh of one account that an event names, without refresh token, in an environment that has
refreshed before. The first signature makes the client of KMS; the others are means of {FURTHER}.
Medians of {ROUNDS} environments, with the middle half."""
SWEEP_NOTE: Final = f"""\
{DUE} accounts are due at once; every call to Secrets Manager and to KMS takes 20 ms, the token
endpoint 200 ms. CPU is a refresh's, an idle sweep subtracted. Medians of {LATE_ROUNDS} interleaved
rounds, with the middle half."""


@dataclass(slots=True)
class Contender:
    """A function, and the accounts of one grant that it refreshes.

    Attributes:
        cpu: Milliseconds a refresh, round by round.
        wall: Milliseconds of a sweep, round by round.
        calls: A refresh.
        signatures: Of them, by KMS.
    """

    servers: Servers
    function: MeasuredFunction
    prefix: str
    grant: Grant
    known: int = 0
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    calls: float = 0
    signatures: float = 0

    def play(self, due: int) -> None:
        """Refresh so many accounts that are due, and look at them again."""
        self.come_due(due)
        (cpu, wall, calls), signatures = self.use({}, due)
        (idle, _, idle_calls), _ = self.use({}, 0)
        self.cpu.append((cpu - idle) / due)
        self.wall.append(wall)
        self.calls, self.signatures = (calls - idle_calls) / due, signatures / due

    def play_alone(self) -> None:
        """Refresh one account that the event names."""
        (cpu, wall, self.calls), self.signatures = self.use({"accounts": self.come_due(1)}, 1)
        self.cpu.append(cpu)
        self.wall.append(wall)

    def come_due(self, due: int) -> list[str]:
        """Let so many accounts come due, and name them."""
        numbers = range(self.known, self.known + due)
        seed(self.servers, self.prefix, numbers, self.grant)
        self.known += due
        return [account_name(number) for number in numbers]

    def use(self, event: object, due: int) -> tuple[tuple[float, float, int], int]:
        """Invoke it; tell the CPU, the time, the calls and, of these, the signatures.

        Raises:
            RuntimeError: It did not publish as many tokens as are due.
        """
        self.servers.seen()
        used = self.function.use(event)
        if used.answer["outcomes"].get("published", 0) != due:
            raise RuntimeError(f"{due} accounts were to be published: {used.answer}")
        calls = self.servers.seen().calls
        return (used.cpu_ms, used.wall_ms, calls.total()), calls["Sign"]


def build_before(directory: Path, target: artifact.Target) -> None:
    """Build what was shipped before accounts could sign, as it was built then.

    Raises:
        RuntimeError: The commit is not here.
    """
    parts = ("functions", "requirements", "tools")
    command = ["git", "archive", BEFORE, *parts]
    packed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)  # noqa: S603
    if packed.returncode:
        raise RuntimeError(f"Commit {BEFORE} is not here: git fetch --unshallow")
    with tempfile.TemporaryDirectory() as source:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(source, filter="data")
        build = [sys.executable, "tools/artifact.py", str(directory)]
        options = ("--architecture", target.architecture, "--python", target.python)
        subprocess.run([*build, *options], cwd=source, check=True, capture_output=True)  # noqa: S603


def measure() -> Findings:
    """Measure what others pay, and what one signature costs."""
    if sys.version_info[:2] != MEASURED_PYTHON:
        sys.exit(
            "This is measured on Python 3.13, which is not here. Lambda runs the function with it."
        )
    target = artifact.Target(ARCHITECTURES[platform.machine()], "3.13")
    findings = Findings("signing")
    with tempfile.TemporaryDirectory() as temporary, Servers(Path(temporary)) as servers:
        before, now = (Path(temporary) / name for name in ("before", "now"))
        build_before(before, target)
        artifact.build(now, target)
        _measure_others(findings, servers, before, now)
        servers.clear()
        _measure_one(findings, servers, now)
        servers.clear()
        servers.delay(aws=AWS_SECONDS, token_endpoint=TOKEN_SECONDS)
        _measure_sweep(findings, servers, now)
    return findings


def _measure_others(findings: Findings, servers: Servers, before: Path, now: Path) -> None:
    """Compare starts, refreshes and sizes of the two programs."""
    variants = [Variant("before", before), Variant("now", now)]
    servers.seed(
        "oauth", range(1), MACHINE, expires_at=utc_now() + FRESH, apart=timedelta(seconds=1)
    )
    with tempfile.TemporaryDirectory() as client:
        link_runtime_client(Path(client))
        for _ in range(STARTS):
            for variant in variants:
                variant.starts.append(cold_start(variant, Path(client), servers.environment()))
    contenders = [
        Contender(
            servers,
            MeasuredFunction(
                {**servers.environment(), "SECRET_PREFIX": each.name}, program=each.directory
            ),
            each.name,
            MACHINE,
        )
        for each in variants
    ]
    for count in (WARMING_UP, *[DUE_AT_ONCE] * ROUNDS):
        for contender in contenders:
            contender.play(count)
    for contender in contenders:
        contender.function.stop()
        del contender.cpu[0]
    measured = {
        "start": [[start.wall_ms for start in each.starts] for each in variants],
        "start and first invocation": [
            [start.wall_ms + start.first_ms for start in each.starts] for each in variants
        ],
        "CPU of these": [[start.cpu_ms for start in each.starts] for each in variants],
        "CPU of a refresh": [each.cpu for each in contenders],
    }
    sizes = [len(artifact.zipped(each.directory)) for each in variants]
    calls = [each.calls for each in contenders]
    rows = [
        (
            what,
            *(spread(each).told("ms", 1) for each in pair),
            ratio(*reversed(pair)).told(digits=3),
        )
        for what, pair in measured.items()
    ]
    rows += [
        (
            "AWS calls of a refresh",
            *(f"{each:.0f}" for each in calls),
            f"{calls[1] / calls[0]:.3f}",
        ),
        ("zip", *(f"{each / 1e6:.2f} MB" for each in sizes), f"{sizes[1] / sizes[0]:.2f}"),
    ]
    note = UNUSED_NOTE.format(
        python=platform.python_version(), architecture=ARCHITECTURES[platform.machine()]
    )
    findings.tables.append(Table("signing-unused", note, ("", "before", "now", "ratio"), rows))
    findings.bounds += [
        Bound(f"{what}, to that before accounts could sign", ratio(pair[1], pair[0]).median, 1.05)
        for what, pair in measured.items()
        if what in {"start", "CPU of a refresh"}
    ]
    findings.bounds.append(
        Bound("the zip, to that before accounts could sign", sizes[1] / sizes[0], 1.05)
    )


def _measure_one(findings: Findings, servers: Servers, now: Path) -> None:
    """Tell what the first signature of an environment costs, and what each further one does."""
    played = [_play_environment(servers, now, number) for number in range(ROUNDS)]
    plain, signer = played[-1]
    secret = [statistics.fmean(each.cpu[1:]) for each, _ in played]
    first = [each.cpu[0] for _, each in played]
    further = [statistics.fmean(each.cpu[1:]) for _, each in played]
    rows = [
        (
            name,
            f"{each.calls:.0f}",
            f"{each.signatures:.0f}",
            spread(cpu).told("ms", 1),
            ratio(cpu, secret).told(digits=2),
        )
        for name, each, cpu in (
            ("by a secret", plain, secret),
            ("signed, the first of an environment", signer, first),
            ("signed, each further one", signer, further),
        )
    ]
    columns = ("a refresh", "AWS calls", "of them to KMS", "CPU", "ratio")
    findings.tables.append(Table("signature", SIGNATURE_NOTE, columns, rows))
    findings.bounds.append(
        Bound("calls more, where a refresh is signed", signer.calls - plain.calls, 1, digits=0)
    )
    more = [mine - least for mine, least in zip(first, secret, strict=True)]
    findings.coefficients.append(
        Coefficient("CPU of the first signature of an environment", statistics.median(more), "ms")
    )


def _play_environment(servers: Servers, now: Path, number: int) -> tuple[Contender, Contender]:
    """Refresh accounts in a new environment, one by one: first those with secrets."""
    with MeasuredFunction(servers.environment(), program=now) as function:
        plain, signer = (
            Contender(servers, function, "oauth", grant, known=100 * number + offset)
            for grant, offset in ((MACHINE, 0), (SIGNER, 50))
        )
        # The first of these pays for what any first refresh does, and is not counted.
        for each in (plain, signer):
            for _ in range(1 + FURTHER):
                each.play_alone()
    return plain, signer


def _measure_sweep(findings: Findings, servers: Servers, now: Path) -> None:
    """Let as many accounts come due that sign as others that do not."""
    contenders = [
        Contender(
            servers,
            MeasuredFunction({**servers.environment(), "SECRET_PREFIX": prefix}, program=now),
            prefix,
            grant,
        )
        for prefix, grant in (("secrets", MACHINE), ("signed", SIGNER))
    ]
    for count in (WARMING_UP, *[DUE] * LATE_ROUNDS):
        for contender in contenders:
            contender.play(count)
    for contender in contenders:
        contender.function.stop()
        del contender.cpu[0], contender.wall[0]
    secret, signed = contenders
    rows = [
        (
            each.grant.name,
            f"{DUE:,}",
            f"{each.calls * DUE:,.0f}",
            f"{each.signatures * DUE:,.0f}",
            spread(wall / 1e3 for wall in each.wall).told("s", 1),
            ratio(each.wall, secret.wall).told(digits=2),
            spread(each.cpu).told("ms", 1),
            ratio(each.cpu, secret.cpu).told(digits=2),
        )
        for each in contenders
    ]
    columns = ("what is due", "due", "AWS calls", "signatures", "time", "ratio", "CPU", "ratio")
    findings.tables.append(Table("signing-sweep", SWEEP_NOTE, columns, rows))
    findings.bounds.append(
        Bound(
            f"time of {DUE} refreshes that are signed, to that of others",
            ratio(signed.wall, secret.wall).median,
            1.15,
        )
    )
    more = [mine - least for mine, least in zip(signed.cpu, secret.cpu, strict=True)]
    findings.coefficients.append(Coefficient("CPU of a signature", statistics.median(more), "ms"))
