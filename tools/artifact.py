"""Builds what is deployed: the program and its pinned dependencies, and nothing else.

``sam build`` runs it by way of ``functions/Makefile``. It needs neither Docker nor an
interpreter of the target's version; with one it ships bytecode, which more than halves a
cold start. The same sources and pins give the same bytes, wherever they are built.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PROGRAM: Final = ROOT / "functions" / "token_refresher"
PINS: Final = ROOT / "requirements" / "runtime.txt"

# Amazon Linux 2023 has glibc 2.34, so wheels for 2.28 run there.
PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}

# What runs. Data counts only where something reads it; a new file stays out until it is named.
# The rest of a library's code stays, since what it imports is its own affair.
RUNS: Final = (
    "*.py",
    "*.so",
    "oauth/providers.json",
    "botocore/cacert.pem",
    "botocore/data/*.json",  # Regions, partitions, retries and defaults of every client.
    "botocore/data/events/*/endpoint-rule-set-1.json.gz",
    "botocore/data/events/*/service-2.*",
    "botocore/data/kms/*/endpoint-rule-set-1.json.gz",
    "botocore/data/kms/*/service-2.*",
    "botocore/data/secretsmanager/*/endpoint-rule-set-1.json.gz",
    "botocore/data/secretsmanager/*/paginators-1.json",
    "botocore/data/secretsmanager/*/service-2.*",
    "botocore/data/sts/*/endpoint-rule-set-1.json.gz",
    "botocore/data/sts/*/service-2.*",
    "aws_xray_sdk/core/sampling/local/*.json",
    "aws_xray_sdk/ext/resources/*.json",
    # The licences ask to travel with the code, and vulnerability scanners read names and versions.
    "*.dist-info/LICENSE*",
    "*.dist-info/NOTICE*",
    "*.dist-info/licenses/*",
    "*.dist-info/METADATA",
)
COMMANDS: Final = "bin"  # Scripts for a shell.

# 1980-01-02: no zip holds a time before 1980, and most tools put the local one into it.
EARLIEST_IN_A_ZIP: Final = 315619200
UNIX: Final = 3  # as the system that a zip was made on: its entries have permissions
WHERE_LAMBDA_PUTS_IT: Final = "/var/task"


class BuildError(Exception):
    """The artifact cannot be built; the message says the fix."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the artifact is to run on.

    Args:
        architecture: In the template's words: ``arm64`` or ``x86_64``.
        python: The minor version, such as ``3.13``.
    """

    architecture: str
    python: str


def planned_by_sam(artifacts: Path) -> Target | None:
    """Read from SAM's own plan what the template says, its parameters applied.

    SAM hands a makefile nothing but a directory, and the makefile must not guess: an artifact
    for the other architecture deploys well, and then fails to start. The plan lies beside the
    directory of all builds, which holds no template yet. Otherwise SAM builds a single
    function by its name, and the plan is that of an earlier build.
    """
    plan = artifacts.parent.with_name("build.toml")
    if not plan.exists() or artifacts.parent.joinpath("template.yaml").exists():
        return None
    definitions: dict[str, dict[str, Any]]
    definitions = tomllib.loads(plan.read_text("utf-8")).get("function_build_definitions", {})
    for definition in definitions.values():
        if artifacts.name in definition.get("functions", ()):
            python = definition["runtime"].removeprefix("python")
            return Target(architecture=definition["architecture"], python=python)
    return None


def built_before(artifacts: Path) -> Path | None:
    """Find the same artifact, built a moment ago for another function of the template.

    All functions run the same program; SAM asks for each one's artifact all the same. It uploads
    what has the same contents once.
    """
    plan = planned_by_sam(artifacts)
    if plan is None:
        return None
    for other in artifacts.parent.iterdir():
        # Their plans are compared, not what was asked for besides: that is the same for all.
        if other != artifacts and planned_by_sam(other) == plan and any(other.iterdir()):
            return other
    return None


def choose_target(artifacts: Path, *, architecture: str | None, python: str | None) -> Target:
    """Reconcile what SAM plans with what was asked for.

    Raises:
        BuildError: They name different architectures, or neither names one.
    """
    plan = planned_by_sam(artifacts)
    if plan is None:
        if architecture is None:
            raise BuildError(
                "SAM does not tell the architecture of a function that is built by its name. "
                "Run `sam build` without a name, or set ARCHITECTURE to arm64 or x86_64."
            )
        return Target(architecture, python or "3.13")
    if architecture not in {None, plan.architecture}:
        raise BuildError(
            f"ARCHITECTURE is {architecture}, but the template says {plan.architecture}. "
            f"Run: make build ARCHITECTURE={architecture}, or where SAM is run by itself: "
            f"sam build --parameter-overrides Architecture={architecture}, or unset ARCHITECTURE."
        )
    return Target(plan.architecture, python or plan.python)


def uv(*arguments: str) -> str:
    """Run uv, and return what it prints."""
    command = [sys.executable, "-m", "uv", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise BuildError(done.stderr.strip())
    return done.stdout.strip()


def install(directory: Path, target: Target) -> None:
    """Install the pinned dependencies as they are, for the target and without running them."""
    uv(
        *("pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        *("--python-version", target.python, "--python-platform", PLATFORMS[target.architecture]),
        # Copies: the artifact's times and permissions must not be set in uv's cache.
        *("--link-mode", "copy", "--target", str(directory), "--requirement", str(PINS)),
    )


def runs(path: PurePath) -> bool:
    """Tell whether a file is needed at run time."""
    return path.parts[0] != COMMANDS and any(map(path.match, RUNS))


def copy_what_runs(source: Path, destination: Path) -> None:
    """Copy the files that are needed at run time."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and runs(relative):
            copy = destination / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def compile_bytecode(directory: Path, target: Target) -> bool:
    """Compile with an interpreter of the target's minor version, if this machine has one.

    No other version's bytecode would ever be read. It is believed unchecked, since
    checking by time would need the times to survive the packaging.
    """
    try:
        python = uv("python", "find", "--no-project", "--system", f"cpython@{target.python}")
    except BuildError:
        return False
    # In one process: what is shared between modules shows in the bytes, so order counts.
    command = [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    places = ["-s", str(directory), "-p", WHERE_LAMBDA_PUTS_IT, str(directory)]
    done = subprocess.run([*command, *places], check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise BuildError(f"{python} cannot compile the artifact:\n{done.stdout}{done.stderr}")
    return True


def normalise(directory: Path) -> None:
    """Make times and permissions the same wherever this is built, and readable for Lambda."""
    for path in (*directory.rglob("*"), directory):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EARLIEST_IN_A_ZIP, EARLIEST_IN_A_ZIP))


def build(directory: Path, target: Target) -> bool:
    """Build the artifact, and tell whether bytecode is in it.

    Args:
        directory: Empty, or made here.
        target: What the artifact is to run on.

    Raises:
        BuildError: With the fix.
    """
    if directory.exists() and any(directory.iterdir()):
        raise BuildError(f"{directory} is not empty.")
    with tempfile.TemporaryDirectory() as installed:
        install(Path(installed), target)
        copy_what_runs(Path(installed), directory)
    copy_what_runs(PROGRAM, directory / PROGRAM.name)
    has_bytecode = compile_bytecode(directory, target)
    normalise(directory)
    return has_bytecode


def files(directory: Path) -> list[Path]:
    """List the files, in an order that depends on their names alone."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def digest(directory: Path) -> str:
    """Name the contents: the same for the same files, wherever they are."""
    sha256 = hashlib.sha256()
    for path in files(directory):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        sha256.update(f"{content}  {path.relative_to(directory).as_posix()}\n".encode())
    return sha256.hexdigest()


def zipped(directory: Path) -> bytes:
    """Zip the files as they are uploaded: the same files always give the same bytes.

    Lambda's user must be able to read them, whoever unpacks the archive.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for path in files(directory):
            # Of 1980, by default.
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
            entry.create_system, entry.external_attr = UNIX, 0o100644 << 16
            written.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def size(directory: Path) -> str:
    """Tell the size, as people compare it."""
    unzipped = sum(path.stat().st_size for path in files(directory))
    zipped_bytes = len(zipped(directory))
    count = len(files(directory))
    return f"{zipped_bytes / 1e6:.1f} MB zipped, {unzipped / 1e6:.1f} MB unzipped, {count} files"


def main() -> None:
    """Build, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--architecture", choices=sorted(PLATFORMS))
    parser.add_argument("--python", metavar="3.13")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    try:
        target = choose_target(
            directory, architecture=arguments.architecture, python=arguments.python
        )
        if same := built_before(directory):
            # Links, since nothing changes it any more: three functions take no more disk than one.
            shutil.copytree(same, directory, dirs_exist_ok=True, copy_function=os.link)
            return
        has_bytecode = build(directory, target)
    except BuildError as error:
        sys.exit(f"The artifact was not built. {error}")
    told = [f"== Built for {target.architecture} and Python {target.python}: {size(directory)}"]
    if has_bytecode:
        told.append("== With bytecode")
    else:
        told.append(
            f"== Without bytecode, as this machine has no Python {target.python}: "
            "a cold start takes more than twice as long"
        )
    sys.stdout.write("\n".join([*told, f"== sha256 {digest(directory)}\n"]))


if __name__ == "__main__":
    main()
