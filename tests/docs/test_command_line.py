"""What docs/command-line.md says: every command runs, and prints what is shown."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer.main

from tests.cli.conftest import operator
from tests.cli.operator import EMAIL, PASSWORD, SECRET
from token_refresher_cli.accounts import State
from token_refresher_cli.app import app
from token_refresher_cli.outcomes import Exits

if TYPE_CHECKING:
    from tests.cli.operator import Operator

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docs" / "command-line.md").read_text()
COMMANDS: Final[dict[str, Any]] = vars(typer.main.get_command(app))["commands"]
# Every command takes these; they are documented once.
COMMON: Final = {"--profile", "--region", "--prefix", "--stack"}
ALSO_OF_TYPER: Final = {"--help", "--install-completion", "--show-completion", "--version"}

# A block of commands and what they print, or how much time passes before the next one.
STEPS: Final = re.compile(
    r"<!-- later: (?P<later>.*?) -->|```console\n(?P<block>.*?)```", re.DOTALL
)

__all__ = ["operator"]


def section(command: str) -> str:
    """The text under a command's heading."""
    return re.split(r"\n##+ ", TEXT.split(f"\n### {command}\n")[1])[0]


def table(text: str, heading: str) -> list[str]:
    """What stands in backquotes in the first cells of the table with a heading."""
    rows = text.split(f"| {heading} |")[1].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def options(command: str) -> set[str]:
    """The options that a command has, but for those that every command takes."""
    named = {name for one in COMMANDS[command].params for name in one.opts if name[:2] == "--"}
    return named - COMMON - {"--help"}


def test_every_command_has_a_section_and_no_other() -> None:
    described = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    assert sorted(described) == sorted(COMMANDS)


def test_what_every_command_takes_is_explained_once() -> None:
    assert set(table(TEXT, "option")) == COMMON
    for command in COMMANDS.values():
        assert {name for one in command.params for name in one.opts} >= COMMON


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_explained_with_its_command_and_no_other(command: str) -> None:
    explained = set(table(section(command), "option"))
    if command == "correct":
        explained |= options("add") - {"--kms-key-id"}
    assert explained == options(command)


def test_every_option_that_is_named_anywhere_exists() -> None:
    known = set().union(*map(options, COMMANDS)) | COMMON | ALSO_OF_TYPER
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", TEXT)) <= known


def test_every_command_that_is_typed_anywhere_exists() -> None:
    typed = re.findall(r"token-refresher (?:--[a-z-]+|([a-z]+))", TEXT)
    assert set(typed) - {""} <= set(COMMANDS)


def test_every_state_is_explained_and_no_other() -> None:
    assert table(TEXT, "state") == [state.value for state in State]


def test_the_exit_codes_are_all_explained() -> None:
    rows = TEXT.split("## Exit codes")[1].split("\n## ")[0]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)}
    assert codes == {*map(int, Exits), 130}


@pytest.fixture
def written(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """The documented accounts' files, in the directory that the commands are run in."""
    for name, lifetime in (("dealer-17", 12), ("dealer-18", 12), ("erp-api", 24)):
        operator.server.register_client(
            name,
            secret=SECRET,
            users={EMAIL: PASSWORD} if name.startswith("dealer") else None,
            access_token_lifetime=timedelta(hours=lifetime),
            refresh_tokens_for=(),
        )
        fields = {
            "token_endpoint": operator.server.token_endpoint,
            "client_id": name,
            "client_secret": SECRET,
            "grant_type": "client_credentials",
        }
        if name.startswith("dealer"):
            password = PASSWORD if name == "dealer-17" else "made-up-wrong"
            fields |= {"grant_type": "password", "username": EMAIL, "password": password}
        (tmp_path / f"{name}.json").write_text(json.dumps(fields))
    (tmp_path / "password.json").write_text(json.dumps({"password": PASSWORD}))
    monkeypatch.chdir(tmp_path)
    return operator


def test_every_command_that_is_shown_prints_what_is_shown(written: Operator) -> None:
    shown, printed = [], []
    for step in STEPS.finditer(TEXT):
        if later := step["later"]:
            for number, unit in re.findall(r"(\d+) (h|min)", later):
                hours = int(number) / (1 if unit == "h" else 60)
                written.clock.advance(timedelta(hours=hours))
            continue
        lines = [line for line in step["block"].splitlines() if line.startswith("$ ")]
        said = [
            f"{line}\n{written.run(line.removeprefix('$ token-refresher ')).output}"
            for line in lines
        ]
        shown.append(step["block"])
        printed.append("".join(said).replace(written.server.host, "api.example.com"))
    assert printed == shown


def test_the_fields_of_each_json_are_named(written: Operator) -> None:
    text = TEXT.split("\n## JSON\n")[1].split("\n## ")[0]
    written.says("add dealer-17 --from-file dealer-17.json")
    refreshed, planned = written.tells("refresh dealer-17"), written.tells("plan")
    told = {*refreshed, *planned, *planned["next_due"], *refreshed["accounts"][0]}
    assert set(re.findall(r"`([a-z_]+)`", text)) == told | {
        "status",
        "history",
        "plan",
        "refresh",
        "null",
    }
