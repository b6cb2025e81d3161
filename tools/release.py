"""Makes what a release holds, in `dist/token-refresher-VERSION/`: `make release` runs it.

The same commit gives the same bytes, wherever and whenever it is made: whatever the clock, the
machine and its user would leave in a file follows from the commit instead. What remains is the
software that makes it: zlib, and the Python whose bytecode is released.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools import artifact, bill_of_materials, modules
from tools.packaged import artifact_name, packaged_template
from tools.templates import ACCOUNT, MONITORING, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME: Final = "3.13"
CHECKSUMS: Final = "SHA256SUMS"
NOTES: Final = "NOTES.md"
# Ways to deploy the packaged template that are used from an archive.
WAYS: Final = {"terraform": modules.terraform_files, "cdk": modules.construct_files}

_SECTION: Final = r"(?ms)^## \[{version}\] - (?P<day>\d{{4}}-\d\d-\d\d)\n(?P<text>.*?)(?=^## |\Z)"
# A release's page is not beside the documents that the changelog links to.
_LINK_INTO_THE_CLONE: Final = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)]+)\)")


class ReleaseError(Exception):
    """No release can be made; the message says the fix."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a release is made from.

    Attributes:
        sha: Of the commit.
        made_at: Seconds since the epoch; the time of everything in the release that has one.
        is_dirty: Whether files differ from the commit.
        tags: Those of releases that name it.
        tagged: The commit that the tag of this release names; empty where there is none.
    """

    sha: str
    made_at: int
    is_dirty: bool
    tags: tuple[str, ...]
    tagged: str


def run(*command: str, **environment: str) -> str:
    """Run a command in the clone, and return what it prints.

    Raises:
        ReleaseError: It failed; with what it said.
    """
    done = subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def version_of_the_project() -> str:
    """Read the version of what is released."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return str(project["project"]["version"])


def read_commit(version: str) -> Commit:
    """Ask git what the release is made from.

    Raises:
        ReleaseError: This is no clone, or git is not there.
    """
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise ReleaseError("A release is made from a commit: clone the project with git.")
    return Commit(
        sha=run("git", "rev-parse", "HEAD"),
        made_at=int(run("git", "log", "-1", "--format=%ct")),
        # Whatever a person's git is told to pass over.
        is_dirty=run("git", "status", "--porcelain", "--untracked-files=normal") != "",
        tags=tuple(run("git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*").split()),
        tagged=run(
            "git", "for-each-ref", "--format=%(objectname)%(*objectname)", f"refs/tags/v{version}"
        ),
    )


def require_releasable(version: str, commit: Commit, *, allows_dirty: bool) -> None:
    """Refuse to release what nobody could make again, or under another version's name.

    Raises:
        ReleaseError: With the fix.
    """
    tag = f"v{version}"
    if commit.is_dirty and not allows_dirty:
        raise ReleaseError(
            "Files differ from the commit, so nobody could make this release again. "
            "Commit or stash them (git status), or try it by: make release ALLOW_DIRTY=1"
        )
    if commit.tags and tag not in commit.tags:
        raise ReleaseError(
            f"The commit has the tag {', '.join(commit.tags)}, but this is version {version}. "
            f"Set the version everywhere, or take the tag away: git tag --delete {commit.tags[0]}"
        )
    if commit.tagged and commit.sha not in commit.tagged and not allows_dirty:
        raise ReleaseError(
            f"{tag} is another commit: {version} is released already. Raise the version, "
            f"or make that release again: git switch --detach {tag}"
        )


def notes(changelog: str, version: str, *, commit: str, contents: dict[str, str]) -> str:
    """Write what is told of a release: its section of the changelog, and where it comes from.

    Args:
        changelog: The text of `CHANGELOG.md`.
        version: Of the release.
        commit: That it was made from.
        contents: By the name of each artifact what its files come to, however they are packed.

    Raises:
        ReleaseError: The changelog has no such section.
    """
    found = re.search(_SECTION.format(version=re.escape(version)), changelog)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section of {version}: ## [{version}] - 2026-11-30")
    told = _LINK_INTO_THE_CLONE.sub(_as_text, found["text"]).strip()
    made = "".join(
        f"- `{name}` holds files of sha256 `{each}`.\n" for name, each in contents.items()
    )
    return (
        f"# Token Refresher {version}\n\nOf {found['day']}; made from the commit `{commit}` by "
        f"`make release`, which gives the same bytes again.\n\n{made}\n{told}\n"
    )


def _as_text(link: re.Match[str]) -> str:
    words, path = link.groups()
    return f"`{path}`" if path.startswith(words) else f"{words} (`{path}`)"


def tar_gz(files: Mapping[str, str], *, within: str, made_at: int) -> bytes:
    """Pack files into an archive that neither clock nor machine has a part in.

    Args:
        files: The text of each by its path.
        within: The directory that the archive unpacks to.
        made_at: The time of each file, in seconds since the epoch.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(f"{within}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), made_at, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def make_artifacts(directory: Path, version: str, scratch: Path) -> dict[str, str]:
    """Build and zip what is deployed, for both architectures; tell what each one's files come to.

    Raises:
        ReleaseError: This machine lacks the Python of the runtime, whose bytecode is released.
    """
    contents = {}
    for architecture in artifact.PLATFORMS:
        built = scratch / architecture
        if not artifact.build(built, artifact.Target(architecture, RUNTIME)):
            raise ReleaseError(
                f"A release holds the bytecode of Python {RUNTIME}, without which each cold start "
                f"takes twice as long, and this machine has none. Install Python {RUNTIME}."
            )
        name = artifact_name(version, architecture)
        directory.joinpath(name).write_bytes(artifact.zipped(built))
        contents[name] = artifact.digest(built)
    return contents


def sha256(path: Path) -> str:
    """Tell a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(directory: Path, version: str, commit: Commit) -> None:
    """Write everything that a release holds.

    Args:
        directory: Made here; one that is there is replaced.
        version: Of the release.
        commit: That it is made from.

    Raises:
        BillError: No bill of materials can be written.
        BuildError: An artifact cannot be built.
        CompilerError: The construct cannot be compiled.
        ReleaseError: Anything else is wrong; each with the fix.
    """
    # Beside its place, so that a release is there whole or not at all.
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        # First, since npm's packages are what a machine lacks most often.
        for way, files in WAYS.items():
            within = f"token-refresher-{way}-{version}"
            packed = tar_gz(files(version), within=within, made_at=commit.made_at)
            made.joinpath(f"{within}.tar.gz").write_bytes(packed)
        contents = make_artifacts(made, version, Path(scratch))
        archives = {name: sha256(made / name) for name in contents}
        pins = bill_of_materials.read_pins(artifact.PINS.read_text("utf-8"))
        bill = bill_of_materials.bill_of_materials(
            version, artifact=Path(scratch) / "arm64", pins=pins, archives=archives
        )
        changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
        texts = {
            "template.yaml": packaged_template(version),
            MONITORING.name: MONITORING.read_text("utf-8"),
            ACCOUNT.name: ACCOUNT.read_text("utf-8"),
            f"token-refresher-{version}.cdx.json": bill,
            NOTES: notes(changelog, version, commit=commit.sha, contents=contents),
        }
        for name, text in texts.items():
            made.joinpath(name).write_text(text, "utf-8", newline="\n")
        run(
            *(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)),
            SOURCE_DATE_EPOCH=str(commit.made_at),
        )
        sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(made.iterdir())]
        made.joinpath(CHECKSUMS).write_text("".join(sums), "utf-8")
        shutil.rmtree(directory, ignore_errors=True)
        made.rename(directory)


def main() -> None:
    """Make a release, and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="that the release's own directory is made in")
    parser.add_argument("--allow-dirty", action="store_true")
    arguments = parser.parse_args()
    version = version_of_the_project()
    directory = arguments.directory.resolve() / f"token-refresher-{version}"
    try:
        commit = read_commit(version)
        require_releasable(version, commit, allows_dirty=arguments.allow_dirty)
        print(
            f"== Making {version}: what Terraform and the CDK take, the artifacts, the wheel",
            flush=True,
        )
        make(directory, version, commit)
    except (
        ReleaseError,
        artifact.BuildError,
        bill_of_materials.BillError,
        modules.CompilerError,
    ) as error:
        sys.exit(f"Nothing was released. {error}")
    told = [f"== {version}, made from {commit.sha}{' and what differs' * commit.is_dirty}"]
    told += [f"{path.stat().st_size:>9,}  {path.name}" for path in sorted(directory.iterdir())]
    sys.stdout.write("\n".join([*told, f"== {directory}\n"]))


if __name__ == "__main__":
    main()
