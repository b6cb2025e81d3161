"""What `make release` makes: the same bytes anywhere, and what a stranger can check and install."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import token_refresher
from local.stack import Stack
from tools import artifact, modules, templates
from tools.packaged import artifact_name, packaged_template
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.embedded_cloud import EmbeddedCloud

VERSION: Final = token_refresher.__version__
WHEEL: Final = f"token_refresher-{VERSION}-py3-none-any.whl"
ARTIFACTS: Final = [artifact_name(VERSION, each) for each in artifact.PLATFORMS]
RELEASING: Final = ROOT / ".venv-release" / "bin" / "python"
DEBIAN: Final = ROOT / ".debian" / "root"
# What tools leave behind, and environments.
LEFT_BEHIND: Final = shutil.ignore_patterns(
    *(".venv*", ".node*", ".debian", ".aws-sam", ".*_cache", ".hypothesis", "__pycache__", "dist")
)
# Both make environments and fetch packages, when they are run for the first time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def make(*arguments: str, **environment: str) -> str:
    """Run a target of the project, and return what it said."""
    done = subprocess.run(  # noqa: S603
        ["make", *arguments],  # noqa: S607
        cwd=ROOT,
        env={**Stack.clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the project as it lies here."""
    dist = tmp_path_factory.mktemp("dist")
    make(".node-infra/.ready")
    if not modules.NODE_MODULES.is_dir():
        pytest.skip("a release holds what npm's packages compile, and this machine has no npm")
    make("release", f"DIST={dist}", "ALLOW_DIRTY=1")
    [directory] = dist.iterdir()
    return directory


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project somewhere else, with its history."""
    copy = tmp_path_factory.mktemp("somewhere else") / "a clone"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    # The compiler of the construct.
    copy.joinpath(".node-infra").symlink_to(modules.NODE_MODULES.parent)
    return copy


def bill(released: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        released.joinpath(f"token-refresher-{VERSION}.cdx.json").read_text("utf-8")
    )
    return document


# What it holds


def test_a_release_holds_what_the_documents_say(released: Path) -> None:
    text = (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert {name.replace("VERSION", VERSION) for name in told} == set(files(released))


def test_the_checksums_are_those_that_sha256sum_takes(released: Path) -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],  # noqa: S607
        cwd=released,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count(": OK") == len(files(released)) - 1


def test_the_templates_are_the_packaged_one_and_those_of_the_clone(released: Path) -> None:
    held = files(released)
    assert held["template.yaml"].decode() == packaged_template(VERSION)
    for path in (templates.MONITORING, templates.ACCOUNT):
        assert held[path.name] == path.read_bytes()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_is_readable_for_lambda_in_an_order_and_at_a_time_of_no_machine(
    released: Path, name: str
) -> None:
    with zipfile.ZipFile(released / name) as archive:
        entries = archive.infolist()
    paths = [Path(each.filename) for each in entries]
    assert paths == sorted(paths)
    assert {each.external_attr >> 16 for each in entries} == {0o100644}
    assert {each.date_time for each in entries} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("name", ARTIFACTS)
def test_the_notes_tell_what_the_files_of_an_artifact_come_to_with_their_bytecode(
    released: Path, tmp_path: Path, name: str
) -> None:
    with zipfile.ZipFile(released / name) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - made a moment ago
    notes = released.joinpath("NOTES.md").read_text("utf-8")
    assert f"`{name}` holds files of sha256 `{artifact.digest(tmp_path)}`" in notes
    module = tmp_path / "token_refresher" / "__pycache__" / "handler.cpython-313.pyc"
    assert module.is_file()


def test_the_notes_are_the_changelog_of_the_version_and_name_the_commit(released: Path) -> None:
    notes = released.joinpath("NOTES.md").read_text("utf-8")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert commit in notes
    assert "### Compatibility" in notes
    assert "Unreleased" not in notes
    # On a release's page no link leads into the clone.
    assert re.findall(r"\]\((?!https:)", notes) == []
    assert "what is proven where (`docs/proof.md`)" in notes
    assert re.findall(r"(docs/\S+) \(`\1", notes) == []


def test_the_wheel_holds_the_program_the_command_line_their_data_and_the_licence(
    released: Path,
) -> None:
    with zipfile.ZipFile(released / WHEEL) as wheel:
        names = set(wheel.namelist())
        told = email.message_from_bytes(wheel.read(f"token_refresher-{VERSION}.dist-info/METADATA"))
    sources = {
        path.relative_to(folder).as_posix()
        for folder in (ROOT / "functions", ROOT / "cli")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.name != "Makefile"
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert f"token_refresher-{VERSION}.dist-info/licenses/LICENSE" in names
    assert (told["Version"], told["License-Expression"]) == (VERSION, "MIT")
    assert told.get_all("Provides-Extra") == ["cli"]


@pytest.mark.parametrize(
    ("way", "held"),
    [
        ("terraform", {"LICENSE", "main.tf", "template.yaml", "monitoring/monitoring.yaml"}),
        ("cdk", {"LICENSE", "package.json", "lib/index.js", "lib/index.d.ts", "template.yaml"}),
    ],
)
def test_the_modules_of_other_tools_hold_what_they_deploy_and_are_of_nobody_s_machine(
    released: Path, way: str, held: set[str]
) -> None:
    name = f"token-refresher-{way}-{VERSION}.tar.gz"
    with tarfile.open(released / name) as archive:
        entries = archive.getmembers()
        [template] = [each for each in entries if each.name.endswith("/template.yaml")]
        text = archive.extractfile(template)
        assert text is not None
        assert text.read().decode() == packaged_template(VERSION)
    assert held <= {each.name.partition("/")[2] for each in entries}
    assert {(each.uid, each.gid, each.uname, each.gname) for each in entries} == {(0, 0, "", "")}
    assert {each.mode for each in entries} == {0o644}


# What is in it


def test_the_bill_of_materials_has_each_pin_with_its_licence_and_every_file_it_may_come_from(
    released: Path,
) -> None:
    components = {each["name"]: each for each in bill(released)["components"]}
    pins = artifact.PINS.read_text("utf-8")
    assert {name: each["version"] for name, each in components.items()} == dict(
        re.findall(r"^([a-z0-9-]+)==([^ ]+)", pins, re.MULTILINE)
    )
    for name, each in components.items():
        assert each["purl"] == f"pkg:pypi/{name}@{each['version']}"
        [licence] = each["licenses"]
        assert licence["license"].get("id") or licence["license"]["name"]
    digests = [
        reference["hashes"][0]["content"]
        for each in components.values()
        for reference in each["externalReferences"]
    ]
    assert sorted(digests) == sorted(re.findall(r"sha256:([0-9a-f]{64})", pins))


def test_the_bill_of_materials_says_what_is_released_and_what_it_needs(released: Path) -> None:
    document = bill(released)
    program = document["metadata"]["component"]
    archives = {each["url"]: each["hashes"][0]["content"] for each in program["externalReferences"]}
    sums = released.joinpath("SHA256SUMS").read_text("utf-8")
    assert set(archives) == set(ARTIFACTS)
    assert all(f"{digest}  {name}\n" in sums for name, digest in archives.items())
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked_for = {re.split(r"[\[>]", each)[0] for each in project["dependencies"]}
    direct = {re.split("[/@]", each)[1] for each in needs[program["bom-ref"]]}
    assert direct == asked_for
    assert set(needs) == {program["bom-ref"], *(each["bom-ref"] for each in document["components"])}


def test_the_bill_of_materials_is_cyclonedx_by_its_own_schema(released: Path) -> None:
    validate = (
        "import json, sys\n"
        "from cyclonedx.schema import SchemaVersion\n"
        "from cyclonedx.validation.json import JsonStrictValidator\n"
        "validator = JsonStrictValidator(SchemaVersion.V1_6)\n"
        "for each in json.load(sys.stdin):\n"
        "    print(str(validator.validate_str(json.dumps(each))).splitlines()[0])\n"
    )
    document = bill(released)
    wrong = {**document, "components": [{"name": "of no kind"}]}
    done = subprocess.run(  # noqa: S603
        [RELEASING, "-c", validate],
        input=json.dumps([document, wrong]),
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert said[0] == "None"
    assert "is a required property" in said[1]


# Again, and elsewhere


def test_two_builds_of_a_release_are_byte_identical(
    released: Path, copied: Path, tmp_path: Path
) -> None:
    elsewhere, home = tmp_path / "elsewhere.mk", tmp_path / "home"
    home.mkdir()
    elsewhere.write_text(
        "elsewhere:\n"
        '\t@umask 077; $(FIND_PYTHONS) cd "$$COPY"; export $(WITH_UV); '
        'export UV_CACHE_DIR="$$("$$RELEASING" -m uv cache dir)"; '
        'HOME="$$ELSEWHERE" TZ=Asia/Kolkata LC_ALL=C LANG=C PYTHONHASHSEED=7 '
        '"$$RELEASING" -m tools.release "$$ELSEWHERE/out" --allow-dirty\n'
    )
    make(
        *("-f", "Makefile", "-f", str(elsewhere), "elsewhere"),
        COPY=str(copied),
        ELSEWHERE=str(home),
        RELEASING=str(RELEASING),
    )
    [other] = (home / "out").iterdir()
    first, second = files(released), files(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


# What is refused


@pytest.fixture
def committed(copied: Path) -> Iterator[Callable[..., str]]:
    """Git in a copy in which nothing differs from the commit; its tags are taken back."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=invented", "-c", "user.email=invented@example.com")
        return subprocess.run(  # noqa: S603
            ["git", *identity, *arguments],  # noqa: S607
            cwd=copied,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    for tag in git("tag", "--list", "v*").split():
        git("tag", "--delete", tag)
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "invented")
    yield git
    git("reset", "--quiet", "--hard")
    for tag in git("tag", "--list", "v*").split():
        git("tag", "--delete", tag)


def refused(copied: Path, out: Path) -> str:
    """What was said instead of a release; None was made."""
    done = subprocess.run(  # noqa: S603
        [RELEASING, "-m", "tools.release", out],
        cwd=copied,
        env={**Stack.clean_environment(), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert not out.exists() or list(out.iterdir()) == []
    return done.stderr


def test_what_differs_from_the_commit_is_not_released(
    copied: Path, committed: Callable[..., str], tmp_path: Path
) -> None:
    assert committed("status", "--porcelain") == ""
    copied.joinpath("LICENSE").write_text("another\n")
    said = refused(copied, tmp_path / "out")
    assert "Files differ from the commit" in said
    assert "make release ALLOW_DIRTY=1" in said


def test_a_tag_that_is_no_versions_is_no_other_version(
    copied: Path, committed: Callable[..., str]
) -> None:
    for tag in ("vendor-import", "v0.9.0"):
        committed("tag", tag)
    script = "from tools import release; print(release.read_commit('1.0.0').tags)"
    done = subprocess.run(  # noqa: S603
        [RELEASING, "-c", script], cwd=copied, capture_output=True, text=True, check=True
    )
    assert done.stdout == "('v0.9.0',)\n"


def test_nor_is_what_git_was_told_to_pass_over(
    copied: Path, committed: Callable[..., str], tmp_path: Path
) -> None:
    added = copied / "infra" / "terraform" / "added.tf"
    added.touch()
    committed("config", "status.showUntrackedFiles", "no")
    try:
        assert committed("status", "--porcelain") == ""
        assert "Files differ from the commit" in refused(copied, tmp_path / "out")
    finally:
        committed("config", "--unset", "status.showUntrackedFiles")
        added.unlink()


def test_a_tag_of_another_version_is_refused(
    copied: Path, committed: Callable[..., str], tmp_path: Path
) -> None:
    committed("tag", "v9.9.9")
    said = refused(copied, tmp_path / "out")
    assert f"has the tag v9.9.9, but this is version {VERSION}" in said
    assert "git tag --delete v9.9.9" in said


def test_a_version_that_is_released_already_is_refused_for_another_commit(
    copied: Path, committed: Callable[..., str], tmp_path: Path
) -> None:
    committed("tag", "--annotate", f"v{VERSION}", "--message", "invented")
    committed("commit", "--quiet", "--allow-empty", "--message", "invented")
    said = refused(copied, tmp_path / "out")
    assert f"v{VERSION} is another commit" in said
    assert f"git switch --detach v{VERSION}" in said


def test_sources_without_a_history_are_refused(copied: Path, tmp_path: Path) -> None:
    history, away = copied / ".git", tmp_path / "history"
    history.rename(away)
    try:
        assert "clone the project with git" in refused(copied, tmp_path / "out")
    finally:
        away.rename(history)


# The command line, installed from it


def told_to_pip(setting: str) -> str:
    """Read what the pip of this machine was told, by a variable or a file; empty for nothing."""
    variable = f"PIP_{setting.replace('-', '_').upper()}"
    if found := Stack.clean_environment().get(variable):
        return found
    return subprocess.run(  # noqa: S603
        ["python3", "-m", "pip", "config", "get", f"global.{setting}"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


@dataclass(frozen=True, slots=True)
class Debian:
    """A Debian as it comes, in which an ordinary user runs commands, with a home of their own."""

    home: Path
    environment: dict[str, str]

    def __call__(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            ["/usr/sbin/chroot", "--userspec=1000:1000", DEBIAN, *command],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def said(self, *command: str, **more: str) -> str:
        """Run a command that succeeds."""
        done = self(*command, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Debian]:
    make(".debian/.ready")
    if not (DEBIAN.parent / ".ready").exists():
        pytest.skip("this machine cannot make a Debian: `make .debian/.ready` says why")
    place = DEBIAN / "srv" / tmp_path.name
    home = place / "home"
    home.mkdir(parents=True)
    within = "/" / home.relative_to(DEBIAN)
    environment = {
        "HOME": str(within),
        "PATH": f"{within}/.local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        # Of what is never run here; it takes as long as all the rest.
        "PIP_NO_COMPILE": "1",
    }
    # Whence packages come, and who vouches for it, is this machine's affair.
    if index := told_to_pip("index-url"):
        environment["PIP_INDEX_URL"] = index
    authorities = told_to_pip("cert") or ssl.get_default_verify_paths().cafile
    if authorities:
        shutil.copyfile(authorities, home / "authorities.pem")
        environment["PIP_CERT"] = f"{within}/authorities.pem"
    for path in (place, home, *home.iterdir()):
        os.chown(path, 1000, 1000)

    try:
        yield Debian(home, environment)
    finally:
        shutil.rmtree(place)


def older_wheel(directory: Path) -> Path:
    """Build the wheel of an earlier version."""
    sources = directory / "earlier"
    for folder in ("functions", "cli"):
        shutil.copytree(ROOT / folder, sources / folder, ignore=LEFT_BEHIND)
    for name in ("README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, sources / name)
    for name in ("pyproject.toml", "functions/token_refresher/__init__.py"):
        text = (ROOT / name).read_text("utf-8").replace(f'"{VERSION}"', '"0.9.0"')
        (sources / name).write_text(text, "utf-8")
    subprocess.run(  # noqa: S603
        [RELEASING, "-m", "hatchling", "build", "-t", "wheel", "-d", directory],
        cwd=sources,
        capture_output=True,
        check=True,
    )
    return directory / WHEEL.replace(VERSION, "0.9.0")


@pytest.mark.timeout(1800)  # the Debian is made, once
def test_in_a_stock_debian_pipx_installs_upgrades_and_removes_a_command_line_that_works(
    released: Path, cloud: EmbeddedCloud, debian: Debian, tmp_path: Path
) -> None:
    within = debian.environment["HOME"]
    for wheel in (older_wheel(tmp_path), released / WHEEL):
        shutil.copyfile(wheel, debian.home / wheel.name)
    debian.said("pipx", "install", f"{within}/{WHEEL.replace(VERSION, '0.9.0')}[cli]")
    assert debian.said("token-refresher", "--version") == "0.9.0\n"
    debian.said("pipx", "install", "--force", f"{within}/{WHEEL}[cli]")
    assert debian.said("token-refresher", "--version") == f"{VERSION}\n"
    assert "Look after the accounts" in debian.said("token-refresher", "--help")
    assert "autovit.ro" in debian.said("token-refresher", "providers")

    # And it serves: what it writes is in Secrets Manager, and it tells what is there.
    aws = cloud.environment() | {
        "TOKEN_REFRESHER_PREFIX": "oauth",
        "ALLOWED_TOKEN_HOSTS": "login.example.com",
    }
    fields = {
        "grant_type": "client_credentials",
        "token_endpoint": "https://login.example.com/token",
        "client_id": "invented-client",
        "client_secret": "invented-secret",
    }
    debian.home.joinpath("billing.json").write_text(json.dumps(fields))
    at = f"{within}/billing.json"
    debian.said("token-refresher", "add", "billing", "--from-file", at, **aws)
    kept = cloud.client().get_secret_value(SecretId="oauth/credentials/billing")
    assert json.loads(kept["SecretString"]) == fields
    [account] = json.loads(debian.said("token-refresher", "status", "--json", **aws))["accounts"]
    assert (account["account"], account["reason"]) == ("billing", "no token yet")

    debian.said("pipx", "uninstall", "token-refresher")
    assert debian("pipx", "list").stdout.count("token-refresher") == 0
    assert list(debian.home.joinpath(".local", "bin").iterdir()) == []
