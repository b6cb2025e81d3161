"""Measures what each step of the build does to a cold start, its memory and its size.

A start is the time from a new process to the runtime client's first request for an event, so
it includes the interpreter. The client is the one that AWS uses, under ``python -S``, with
nothing on the path but the client and the artifact. The variants take turns, so that what
else the machine does meets them all. Files come from the page cache: on Lambda a cold start
also loads them, so size costs more there than it does here.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final

import artifact

ROUNDS: Final = 21
START_WITHIN_SECONDS: Final = 60
HANDLER: Final = "token_refresher.handler.lambda_handler"
MEASURED_PYTHON: Final = (3, 13)
ARCHITECTURES: Final = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

# Never used, since nothing is called; without them boto3 would look for some on the network.
ENVIRONMENT: Final = {
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_LAMBDA_FUNCTION_NAME": "token-refresher",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    # As on Lambda, where the artifact is read-only.
    "PYTHONDONTWRITEBYTECODE": "1",
}

EMPTY_HANDLER: Final = "def lambda_handler(event, context): ...\n"
BARE_CLIENT: Final = f"import boto3\nboto3.client('secretsmanager')\n{EMPTY_HANDLER}"


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start: until the function is ready for its first event."""

    wall_ms: float
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


def link_runtime_client(directory: Path) -> None:
    """Give the runtime client a directory of its own, without its neighbours."""
    for name in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        for file in metadata.files(name) or ():
            top = file.parts[0]
            link = directory / top
            if top != ".." and not top.endswith(".dist-info") and not link.exists():
                link.symlink_to(Path(str(metadata.distribution(name).locate_file(top))))


def peak_mb(pid: int) -> float:
    """Tell the most memory that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6


def cold_start(variant: Variant, client: Path) -> Start:
    """Start a function, and end it as soon as it asks for an event.

    Raises:
        RuntimeError: The function did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(START_WITHIN_SECONDS)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-S", "-m", "awslambdaric", variant.handler]
        before = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            command,
            env={
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
            request = connection.recv(65536)
            after = time.perf_counter()
            peak = peak_mb(process.pid)
            process.kill()
            _, process.returncode, used = os.wait4(process.pid, 0)
    if b"/invocation/next " not in request:
        raise RuntimeError(f"{variant.name} did not start: {request!r}")
    return Start(
        wall_ms=(after - before) * 1e3,
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
        Variant("pruned, with bytecode (shipped)", directory / "shipped"),
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
    return [
        *variants,
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


def row(variant: Variant, shipped_ms: float) -> str:
    """Tell the medians; the spread is that of the middle half."""
    wall = [start.wall_ms for start in variant.starts]
    low, middle, high = statistics.quantiles(wall, n=4)
    cpu = statistics.median(start.cpu_ms for start in variant.starts)
    peak = statistics.median(start.peak_mb for start in variant.starts)
    return (
        f"| {variant.name} | {middle:.0f} ms | {low:.0f} to {high:.0f} | "
        f"{middle / shipped_ms:.2f} | {cpu:.0f} ms | {peak:.0f} MB | {variant.size} |"
    )


def main() -> None:
    """Build the variants, let them take turns, and print a table."""
    if sys.version_info[:2] != MEASURED_PYTHON:
        sys.exit(
            "This is measured on Python 3.13, which is not here. Lambda runs the function with it."
        )
    target = artifact.Target(ARCHITECTURES[platform.machine()], "3.13")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        client = directory / "client"
        client.mkdir()
        link_runtime_client(client)
        variants = build_variants(directory, target)
        for _ in range(ROUNDS):
            for variant in variants:
                variant.starts.append(cold_start(variant, client))
        shipped = variants[3]
        without_boto3 = size_without_boto3(shipped.directory, directory / "without-boto3")
    shipped_ms = statistics.median(start.wall_ms for start in shipped.starts)
    print(f"Python {platform.python_version()}, {target.architecture}, {ROUNDS} interleaved rounds")
    print()
    print("| artifact | start | middle half | ratio | CPU | peak memory | size |")
    print("|---|---|---|---|---|---|---|")
    for variant in variants:
        print(row(variant, shipped_ms))
    print(f"| shipped, less boto3 | | | | | | {without_boto3} |")


if __name__ == "__main__":
    main()
