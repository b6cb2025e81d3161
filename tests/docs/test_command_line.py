"""What docs/command-line.md says: every command runs, and prints what is shown."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.conftest import cloud, operator
from tests.cli.deployed import Deployed
from tests.cli.key_files import service_account
from tests.cli.operator import EMAIL, PASSWORD, SECRET
from token_refresher_cli.accounts import State
from token_refresher_cli.exit_codes import ExitCode
from tools.docs.command_line import COMMANDS

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docs" / "command-line.md").read_text()
ALSO_OF_TYPER: Final = {"--help", "--install-completion", "--show-completion", "--version"}

# As AWS's documents write one.
KEY_ID: Final = "1234abcd-12ab-34cd-56ef-1234567890ab"

# A block of commands and what they print; or a sweep of the function, or how much time passes, or
# that there is a stack with its alarms.
STEPS: Final = re.compile(
    r"<!-- (?:later: (?P<later>.*?)|(?P<sweep>sweep)|(?P<deployed>deployed)) -->"
    r"|```console\n(?P<block>.*?)```",
    re.DOTALL,
)

__all__ = ["cloud", "operator"]


def table(text: str, heading: str) -> list[str]:
    """What stands in backquotes in the first cells of the table with a heading."""
    rows = text.split(f"| {heading} |")[1].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_command_has_a_section_and_no_other() -> None:
    described = re.findall(r"^### ([a-z ]+)$", TEXT, re.MULTILINE)
    assert sorted(described) == sorted(COMMANDS)


def test_every_option_that_is_named_anywhere_exists() -> None:
    named = {name for command in COMMANDS.values() for one in command.params for name in one.opts}
    known = named | ALSO_OF_TYPER
    ours = re.sub(r": aws .*", "", TEXT)
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", ours)) <= known


def test_every_command_that_is_typed_anywhere_exists() -> None:
    typed = re.findall(r"token-refresher (?:--[a-z-]+|((?:key )?[a-z]+))", TEXT)
    assert set(typed) - {""} <= set(COMMANDS)


def test_every_state_is_explained_and_no_other() -> None:
    assert table(TEXT, "state") == [state.value for state in State]


def test_the_exit_codes_are_all_explained() -> None:
    rows = TEXT.split("## Exit codes")[1].split("\n## ")[0]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)}
    assert codes == {*map(int, ExitCode), 130}


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
    (tmp_path / "reports.json").write_text(service_account())
    accounts = tmp_path / "accounts.csv"
    accounts.write_text(re.findall(r"```csv\n(.*?)```", TEXT, re.DOTALL)[0])
    accounts.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return operator


def as_typed(line: str, written: Operator) -> str:
    """Take a command's words, with the server on this machine in the place of the world's."""
    line = line.removeprefix("$ token-refresher ")
    return line.replace("https://api.example.com", written.server.url)


def as_documented(printed: str, written: Operator) -> str:
    """Put AWS and a server of the world in the place of those on this machine."""
    printed = printed.replace(written.server.host, "api.example.com")
    printed = printed.replace("localhost", "api.example.com")
    printed = printed.replace("000000000000", "123456789012")
    printed = without_numbers(printed)
    printed = re.sub(r'"endpoint": "http://[^"]*"', '"endpoint": null', printed)
    return re.sub(r", endpoint http://\S*", "", printed)


def without_numbers(printed: str) -> str:
    """Take out what differs with each key: its id, its numbers and digests, its days."""
    printed = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", KEY_ID, printed)
    printed = re.sub(r"-----\n(?:[A-Za-z0-9+/=]+\n)+", "-----\n…\n", printed)
    printed = re.sub(r'("(?:n|kid)": ")[\w-]+', r"\1…", printed)
    printed = re.sub(r"(kid[ =])[\w-]{43}", r"\1…", printed)
    printed = re.sub(r"(x5t(?:#S256)?) \S+", r"\1 …", printed)
    printed = re.sub(r"(_2048 of) [0-9-]{10}", r"\1 2026-11-24", printed)
    printed = re.sub(r"(be deleted on) [0-9-]{10}", r"\1 2026-12-24", printed)
    return re.sub(r"(valid until) [0-9-]{10}", r"\1 2028-11-23", printed)


def test_every_command_that_is_shown_prints_what_is_shown(
    written: Operator, cloud: EmbeddedCloud
) -> None:
    shown, printed = [], []
    for step in STEPS.finditer(TEXT):
        if later := step["later"]:
            for number, unit in re.findall(r"(\d+) (h|min)", later):
                hours = int(number) / (1 if unit == "h" else 60)
                written.clock.advance(timedelta(hours=hours))
            continue
        if step["sweep"]:
            written.schedule.sweep()
            continue
        if step["deployed"]:
            deployed = Deployed.with_parameters(cloud, written.schedule)
            deployed.sweep()
            deployed.set_alarm("action required", "AccountsNeedingAction")
            continue
        lines = [line for line in step["block"].splitlines() if line.startswith("$ ")]
        said = [f"{line}\n{written.run(as_typed(line, written)).output}" for line in lines]
        shown.append(step["block"])
        printed.append(as_documented("".join(said), written))
    assert printed == shown


def test_the_fields_of_each_json_are_named(written: Operator) -> None:
    text = TEXT.split("\n## JSON\n")[1].split("\n## ")[0]
    written.says("add dealer-17 --from-file dealer-17.json")
    refreshed, planned = written.tells("refresh dealer-17"), written.tells("plan")
    told = {*refreshed, *planned, *planned["next_due"], *refreshed["accounts"][0]}
    told |= {*planned["looked_in"]}
    [provider] = written.tells("providers xero")["providers"]
    told |= {"providers", *provider, *provider["grants"][0]}
    written.says("key create dealer-17")
    [key] = written.tells("key jwks dealer-17 --format certificate")["keys"]
    # The digests have names that are told in their own section.
    told |= {"keys", *(name for name in key if name.replace("_", "").isalpha())}
    assert set(re.findall(r"`([a-z_]+)`", text)) == told | {
        "status",
        "history",
        "plan",
        "refresh",
        "null",
    }
