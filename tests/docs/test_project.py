"""The project's own files agree with each other, and name no machine they were written on."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml

import token_refresher
from tools.templates import FUNCTION, load

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / "requirements").glob("*.txt"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; [^#]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
ORIGIN = re.compile(
    r"    # +(?:via)? *(?:-c requirements/)?[\w.-]*(?: \(pyproject\.toml(?::\w+)?\))?"
)

A_PLACE_ON_A_MACHINE = re.compile(r"/(?:home|root|Users)/\w")
A_REGISTRY = re.compile(r"https?://\S+/simple\b|^\s*--(?:extra-)?index-url\b", re.MULTILINE)


def files() -> Iterator[Path]:
    """Find every file of the project, and nothing that tools or people have left beside them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # What was removed, but not yet by git, is not there.
    return (path for name in listed.split("\0") if (path := ROOT / name).is_file())


def texts(*, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Read those of the project's files that are text, each with its path."""
    for path in files():
        if path.name.endswith(suffix):
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def pins(path: Path) -> dict[str, str]:
    """Read the version of each package that a file pins."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {pin["name"]: pin["version"] for line in lines if (pin := PIN.fullmatch(line))}


def make_targets() -> set[str]:
    """Read the targets that ``make`` lists."""
    return set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, flags=re.MULTILINE))


def test_every_make_command_in_the_documents_exists() -> None:
    documents = chain(texts(suffix=".md"), texts(suffix=".yaml"), texts(suffix="run"))
    command = re.compile(r"(?:`|^ *|run: )make ([a-z0-9-]+)", flags=re.MULTILINE)
    named = {(path, target) for path, text in documents for target in command.findall(text)}

    assert named, "no document says how to run anything"
    assert {(path, target) for path, target in named if target not in make_targets()} == set()


def test_every_suite_is_run_and_explained() -> None:
    suites = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    run = re.findall(r"tests/(\w+)", "\n".join(re.findall(r"(?m)^(?:ALONE|FAST|ALL) .*", MAKEFILE)))
    readme = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([\w./]+)\)", readme)

    assert sorted(run) == sorted(suites)
    assert set(re.findall(r"^\| \[`(\w+)/`\]", readme, flags=re.MULTILINE)) == suites
    assert [link for link in links if not (ROOT / "tests" / link).exists()] == []


def test_no_file_names_a_registry_or_a_place_on_a_machine() -> None:
    naming = [
        path
        for path, text in texts()
        if A_REGISTRY.search(text) or A_PLACE_ON_A_MACHINE.search(text)
    ]

    assert naming == []


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_pins_hold_versions_hashes_and_their_origin_alone(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    strange = [
        line for line in lines if not any(form.fullmatch(line) for form in (PIN, HASH, ORIGIN))
    ]

    assert strange == []


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    unhashed = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if PIN.fullmatch(line) and not HASH.fullmatch(following)
    ]

    assert pins(path)
    assert unhashed == []


@pytest.mark.parametrize("other", ["bootstrap.txt", "runtime.txt"])
def test_what_is_deployed_is_what_is_tested(other: str) -> None:
    tested = pins(ROOT / "requirements" / "dev.txt")
    deployed = pins(ROOT / "requirements" / other)

    assert {name: tested.get(name) for name in deployed} == deployed


def test_every_package_of_the_wheel_tells_type_checkers_that_it_is_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    names = {Path(package).name for package in packages}

    assert names == {"token_refresher", "token_refresher_cli"}
    assert {path.parent.name for path in ROOT.glob("*/*/py.typed")} == names


def test_the_version_is_told_once_for_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    released = re.findall(
        r"(?m)^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    )

    assert (
        project["version"]
        == token_refresher.__version__
        == load(FUNCTION)["Metadata"]["AWS::ServerlessRepo::Application"]["SemanticVersion"]
        == released[0]
    )


def test_the_application_repository_takes_what_the_template_says_of_its_author() -> None:
    application = load(FUNCTION)["Metadata"]["AWS::ServerlessRepo::Application"]

    assert re.fullmatch(r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", application["Author"])
    assert all((ROOT / application[name]).is_file() for name in ("LicenseUrl", "ReadmeUrl"))
    assert len(application["Labels"]) <= 10
    assert all(re.fullmatch(r"[A-Za-z0-9+\-_:/@]{1,127}", label) for label in application["Labels"])


def test_what_pre_commit_runs_is_what_make_runs_with_the_tools_of_this_project() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tools = [found[1] for hook in hooks if (found := re.search(r"\.venv/bin/(\S+)", hook["entry"]))]

    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert tools == ["ruff", "ruff", "mypy", "lint-imports"]
    assert all(re.search(rf"(?:-m |\.venv/bin/){tool}\b", makefile) for tool in tools)
