"""Measures a cold start: of the artifact, of each step of its build, and of its libraries alone.

A start is the time from a new process to the runtime client's first request for an event, so it
includes the interpreter; an invocation follows, of a sweep with nothing due. The client is the one
that AWS uses, under ``python -S``, with nothing on the path but the client and the artifact. The
variants take turns, so that what else the machine does meets them all. Files come from the page
cache: on Lambda a cold start also loads them, so size costs more there than it does here.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.accounts import FRESH, MACHINE, utc_now
from benchmarks.function import peak_mb
from benchmarks.report import Bound, Findings, Spread, Table, ratio, spread
from benchmarks.servers import Servers
from local.runtime_api import link_runtime_client
from tools import artifact

ROUNDS: Final = 15
TIMED_IMPORTS: Final = 5
START_WITHIN_SECONDS: Final = 60
HANDLER: Final = "token_refresher.handler.lambda_handler"
MEASURED_PYTHON: Final = (3, 13)
ARCHITECTURES: Final = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
FLOORS: Final = Path(__file__).with_name("floors")
SHIPPED: Final = "pruned, with bytecode (shipped)"
LIBRARIES: Final = "floor: its libraries, constructed, no program"
WITHOUT_BOTO3: Final = (
    ("import boto3\n", "import botocore.session\n"),
    ("boto3.client(", "botocore.session.get_session().create_client("),
)

# Beside those of the servers.
ENVIRONMENT: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "token-refresher",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    # As on Lambda, where the artifact is read-only.
    "PYTHONDONTWRITEBYTECODE": "1",
}

EMPTY_HANDLER: Final = "def lambda_handler(event, context): ...\n"
BARE_CLIENT: Final = f"import boto3\nboto3.client('secretsmanager')\n{EMPTY_HANDLER}"

EVENT: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 00000000-0000-4000-8000-000000000000\r\n"
    b"Lambda-Runtime-Deadline-Ms: %d\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:0:f\r\n\r\n{}"
)
INVOCATION_SECONDS: Final = 240
IMPORT_LINE: Final = r"import time: +(\d+) \| +\d+ \| +(\S+)"
# What weighs less is told together.
LIGHT_BYTES: Final = 50_000
LIGHT: Final = "others, licences and metadata"

NOTE: Final = """\
Python {python}, {architecture}, {rounds} interleaved rounds, medians with the middle half. A start
is from a new process to the first request for an event; the first invocation is a sweep of one
account with nothing due, and comes on top. Secrets Manager is a stub over TLS, and the certificates
that are trusted are as many as botocore ships. The first ratio is that of the starts to the
libraries' alone, the second that of start and first invocation together."""
IMPORTS_NOTE: Final = """\
Where the time of `import token_refresher.handler` goes, by `python -X importtime`, which makes it
longer; each library without those that it imports. The floor imports and makes the same, without
the program. Medians of {rounds} interleaved rounds, with the middle half."""
WEIGHTS_NOTE: Final = """\
What is in the artifact, with bytecode."""

# The own time of the handler's module: it makes what lives as long as the environment.
CONSTRUCTING: Final = "making what the handler holds"

# Why a library is there although it takes 30 ms or more, or what else is worth a word.
REASONS: Final = {
    "botocore": "signs, sends, retries and parses every call; the only client that AWS keeps",
    "boto3": "the client's session",
    "s3transfer": "imported by boto3, and not used; it brings multiprocessing",
    "urllib3": "token requests; botocore needs it as well",
    "aws_lambda_powertools": "log lines and metrics",
    "msgspec": "credentials and events by type",
    "dateutil": "imported by botocore, which reads moments with it",
    "jmespath": "imported by botocore, for its waiters and pages",
    "typing_extensions": "imported by msgspec and Powertools",
    "standard library": "ssl, http, email, json, logging, multiprocessing and others",
    "token_refresher": "the program's other modules",
    CONSTRUCTING: "the client with its service model, TLS contexts; the floor makes them, too",
}


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start, and the invocation that follows."""

    wall_ms: float
    first_ms: float
    cpu_ms: float
    peak_mb: float


@dataclass(slots=True)
class Variant:
    """Something that is started again and again.

    Args:
        name: What the table calls it.
        directory: The artifact.
        handler: What is started in it.
        size: What there is to say of the artifact.
    """

    name: str
    directory: Path
    handler: str = HANDLER
    size: str = ""
    starts: list[Start] = field(default_factory=list)


def cold_start(variant: Variant, client: Path, environment: dict[str, str]) -> Start:
    """Start a function, invoke it once, and end it.

    Raises:
        RuntimeError: The function did not start, or failed.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(START_WITHIN_SECONDS)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-S", "-m", "awslambdaric", variant.handler]
        before = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            command,
            env={
                **environment,
                **ENVIRONMENT,
                "PYTHONPATH": str(client),
                "AWS_LAMBDA_RUNTIME_API": address,
                "_HANDLER": variant.handler,
            },
            cwd=variant.directory,
            stdout=subprocess.DEVNULL,
        )
        connection, _ = server.accept()
        with connection:
            connection.settimeout(START_WITHIN_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = connection.recv(65536)
            ready = time.perf_counter()
            connection.sendall(EVENT % int((time.time() + INVOCATION_SECONDS) * 1e3))
            answer = connection.recv(65536)
            after = time.perf_counter()
            peak = peak_mb(process.pid)
            process.kill()
            _, process.returncode, used = os.wait4(process.pid, 0)
    if b"/invocation/next " not in request or b"/response " not in answer:
        raise RuntimeError(f"{variant.name} did not start: {request!r} {answer!r}")
    return Start(
        wall_ms=(ready - before) * 1e3,
        first_ms=(after - ready) * 1e3,
        cpu_ms=(used.ru_utime + used.ru_stime) * 1e3,
        peak_mb=peak,
    )


def build_variants(directory: Path, target: artifact.Target) -> list[Variant]:
    """Build the steps from what an installer leaves to what is shipped, and two floors."""
    installed, pruned = directory / "installed", directory / "pruned"
    artifact.install(installed, target)
    shutil.rmtree(installed / artifact.COMMANDS)
    artifact.copy_what_runs(artifact.PROGRAM, installed / artifact.PROGRAM.name)
    artifact.copy_what_runs(installed, pruned)
    variants = [
        Variant("as installed", installed),
        Variant("as installed, with bytecode", directory / "installed-bytecode"),
        Variant("pruned", pruned),
        Variant(SHIPPED, directory / "shipped"),
    ]
    for source, compiled in ((variants[0], variants[1]), (variants[2], variants[3])):
        shutil.copytree(source.directory, compiled.directory)
        if not artifact.compile_bytecode(compiled.directory, target):
            raise RuntimeError("The interpreter that runs this must be found by uv, too.")
    for variant in variants:
        variant.size = artifact.size(variant.directory)

    floors = directory / "floors"
    shutil.copytree(variants[-1].directory, floors)
    for name, code in (("bare", BARE_CLIENT), ("empty", EMPTY_HANDLER)):
        (floors / f"{name}.py").write_text(code, "utf-8")
    libraries = (FLOORS / "libraries.py").read_text("utf-8")
    (floors / "libraries.py").write_text(libraries, "utf-8")
    for old, new in WITHOUT_BOTO3:
        libraries = libraries.replace(old, new)
    (floors / "lighter.py").write_text(libraries, "utf-8")
    artifact.compile_bytecode(floors, target)
    return [
        *variants,
        Variant(LIBRARIES, floors, "libraries.lambda_handler"),
        Variant("floor: the same, botocore without boto3", floors, "lighter.lambda_handler"),
        Variant("floor: a bare boto3 client", floors, "bare.lambda_handler"),
        Variant("floor: an empty handler", floors, "empty.lambda_handler"),
    ]


def size_without_boto3(shipped: Path, directory: Path) -> str:
    """Tell the size if the runtime's own boto3 were used.

    Its speed is not measured: that copy's version, data and bytecode are AWS's choice.
    """
    theirs = ("boto3*", "botocore*", "s3transfer*")
    shutil.copytree(shipped, directory, ignore=shutil.ignore_patterns(*theirs))
    return artifact.size(directory)


def weights(shipped: Path) -> list[tuple[str, ...]]:
    """Tell what each top-level directory of the artifact weighs, the heaviest first."""
    parts: dict[str, list[Path]] = {}
    for top in sorted(shipped.iterdir()):
        found = artifact.files(top) if top.is_dir() else [top]
        name = f"`{top.name}`" if zipped_bytes(found) >= LIGHT_BYTES else LIGHT
        parts.setdefault(name, []).extend(found)
    return [
        (
            name,
            f"{zipped_bytes(found) / 1e6:.2f} MB",
            f"{sum(path.stat().st_size for path in found) / 1e6:.2f} MB",
            f"{len(found):,}",
        )
        for name, found in sorted(parts.items(), key=lambda part: -zipped_bytes(part[1]))
    ]


def zipped_bytes(found: list[Path]) -> int:
    """Tell what files take in the zip, each for itself."""
    return sum(len(zlib.compress(path.read_bytes(), wbits=-15)) for path in found)


def timed_import(directory: Path, module: str, environment: dict[str, str]) -> dict[str, float]:
    """Time every library's own part of an import, in milliseconds."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-S", "-X", "importtime", "-c", f"import {module}"],
        env={**environment, **ENVIRONMENT},
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    )
    own: Counter[str] = Counter()
    for microseconds, name in re.findall(IMPORT_LINE, done.stderr):
        library = name.partition(".")[0]
        is_there = (directory / library).is_dir() or (directory / f"{library}.py").is_file()
        known = library if is_there else "standard library"
        own[CONSTRUCTING if name == module else known] += int(microseconds)
    return {library: microseconds / 1e3 for library, microseconds in own.items()}


def compared(variant: Variant, floor: Variant) -> tuple[Spread, Spread]:
    """Compare the starts of both, and start and first invocation together."""
    return (
        ratio(*([start.wall_ms for start in of.starts] for of in (variant, floor))),
        ratio(
            *([start.wall_ms + start.first_ms for start in of.starts] for of in (variant, floor))
        ),
    )


def starts_table(variants: list[Variant], note: str, without_boto3: str) -> Table:
    """Tell the medians and the ratios to the libraries alone."""
    floor = next(each for each in variants if each.name == LIBRARIES)
    rows: list[tuple[str, ...]] = []
    for each in variants:
        start, whole = compared(each, floor)
        rows.append(
            (
                each.name,
                spread(times.wall_ms for times in each.starts).told("ms"),
                start.told(digits=2),
                spread(times.first_ms for times in each.starts).told("ms"),
                whole.told(digits=2),
                f"{spread(times.cpu_ms for times in each.starts).median:.0f} ms",
                f"{spread(times.peak_mb for times in each.starts).median:.0f} MB",
                each.size,
            )
        )
    rows.append(("shipped, less boto3", *[""] * 6, without_boto3))
    columns = (
        "artifact",
        "start",
        "ratio",
        "first invocation",
        "ratio",
        "CPU",
        "peak memory",
        "size",
    )
    return Table("cold-start", note, columns, rows)


def measure() -> Findings:
    """Build the variants and let them take turns."""
    if sys.version_info[:2] != MEASURED_PYTHON:
        sys.exit(
            "This is measured on Python 3.13, which is not here. Lambda runs the function with it."
        )
    target = artifact.Target(ARCHITECTURES[platform.machine()], "3.13")
    with tempfile.TemporaryDirectory() as temporary, Servers(Path(temporary)) as servers:
        directory = Path(temporary)
        client = directory / "client"
        client.mkdir()
        link_runtime_client(client)
        environment = servers.environment()
        servers.seed(
            "oauth", range(1), MACHINE, expires_at=utc_now() + FRESH, apart=timedelta(seconds=1)
        )
        variants = build_variants(directory, target)
        shipped = next(each for each in variants if each.name == SHIPPED)
        for _ in range(ROUNDS):
            for variant in variants:
                variant.starts.append(cold_start(variant, client, environment))
        without_boto3 = size_without_boto3(shipped.directory, directory / "without-boto3")
        floor = next(each for each in variants if each.name == LIBRARIES)
        imports: tuple[list[dict[str, float]], ...] = ([], [])
        for _ in range(TIMED_IMPORTS):
            for runs, variant in zip(imports, (shipped, floor), strict=True):
                module = variant.handler.rpartition(".")[0]
                runs.append(timed_import(variant.directory, module, environment))
        weighed = weights(shipped.directory)
        zipped = len(artifact.zipped(shipped.directory)) / 1e6
    note = NOTE.format(
        python=platform.python_version(), architecture=target.architecture, rounds=ROUNDS
    )
    findings = Findings("cold-start")
    findings.tables = [
        starts_table(variants, note, without_boto3),
        imports_table(*imports),
        Table("artifact", WEIGHTS_NOTE, ("part", "zipped", "unzipped", "files"), weighed),
    ]
    starts, whole = compared(shipped, floor)
    findings.bounds = [
        Bound("a start to its libraries' alone", starts.median, 1.15),
        Bound("start and first invocation to the libraries'", whole.median, 1.15),
        Bound("megabytes of the zip", zipped, 6, digits=1),
    ]
    return findings


def imports_table(mine: list[dict[str, float]], floor: list[dict[str, float]]) -> Table:
    """Tell every library that takes a millisecond, the longest first."""
    own, least = (
        {library: spread(run.get(library, 0) for run in runs) for library in runs[0]}
        for runs in (mine, floor)
    )
    rows = [
        (
            library if " " in library else f"`{library}`",
            times.told("ms", 1),
            least[library].told("ms", 1) if library in least else "",
            REASONS.get(library, ""),
        )
        for library, times in sorted(own.items(), key=lambda each: -each[1].median)
        if times.median >= 1
    ]
    note = IMPORTS_NOTE.format(rounds=TIMED_IMPORTS)
    return Table("imports", note, ("library", "its own time", "floor", "why it is there"), rows)
