"""What the README says, held to the code."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests import templates
from token_refresher import errors, handler
from token_refresher.credentials import BaseCredentials, parse_credentials
from token_refresher.errors import FailureClass
from token_refresher.events import parse_event
from token_refresher.model import PublishedToken, TokenVersion
from token_refresher.policy import Reason

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CODE = "\n".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))


def section(title: str) -> str:
    """The text under a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    """What stands in backquotes in the first cell of each row of a section's tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_every_reason_is_explained_and_no_other() -> None:
    named = first_column(section("When a token is refreshed"))
    assert sorted(named) == sorted(reason.value for reason in Reason)


def test_every_parameter_is_explained_with_its_default_and_its_variable() -> None:
    parameters = templates.load(templates.FUNCTION)["Parameters"]
    shared = templates.load(templates.FUNCTION)["Globals"]["Function"]
    variables = {
        value["Ref"]: name
        for name, value in shared["Environment"]["Variables"].items()
        if "Ref" in value and value["Ref"] in parameters
    }
    table = section("Parameters")
    assert sorted(first_column(table)) == sorted(parameters)
    for row in re.findall(r"^\| (`.*) \|$", table, re.MULTILINE):
        names, variable, default, _ = (cell.strip() for cell in f"| {row} |".split("|")[1:-1])
        for name in re.findall(r"`(\w+)`", names):
            expected = variables.get(name, "POWERTOOLS_TRACE_DISABLED" if name == "Tracing" else "")
            assert variable.strip("`") == expected, name
            shown = default.strip("`")
            assert shown in (str(parameters[name]["Default"]), "the three OLX hosts"), name


def test_every_variable_is_explained() -> None:
    read = re.findall(r'"([A-Z][A-Z_]+[A-Z])"', (ROOT / SETTINGS).read_text())
    assert {name for name in read if f"`{name}`" not in section("Parameters")} == set()


SETTINGS = "functions/token_refresher/settings.py"


def test_the_credentials_example_validates() -> None:
    example = re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0]
    assert parse_credentials(example).client.host == "www.autovit.ro"


def test_every_field_of_the_credentials_is_explained() -> None:
    text = section("What is stored")
    fields = {field.name for field in msgspec.structs.fields(BaseCredentials)}
    assert {name for name in fields if f"`{name}`" not in text} == set()


def test_the_published_token_is_as_shown() -> None:
    example = re.findall(r"```json\n(.*?)```", README, re.DOTALL)[1].strip()
    token = msgspec.json.decode(example, type=PublishedToken)
    assert json.loads(token.to_json()) == json.loads(example)
    assert list(json.loads(token.to_json())) == list(json.loads(example))


def test_the_version_id_shown_is_one_of_ours() -> None:
    shown = re.findall(r"`(\d{8}T\d{6}Z-[^`]+)`", README)[0]
    assert str(TokenVersion.parse(shown, now=datetime(2026, 11, 25, tzinfo=UTC))) == shown


@pytest.mark.parametrize("path", sorted((ROOT / "events").glob("*.json")), ids=lambda p: p.name)
def test_every_event_is_shown_as_its_file_has_it(path: Path) -> None:
    event = json.loads(path.read_text())
    parse_event(event)
    shown = re.findall(rf"\[`(.*?)`\]\(events/{path.name}\)", README)
    assert [json.loads(text) for text in shown] == [event]


def test_every_failure_class_is_explained() -> None:
    text = section("When something is wrong")
    assert {name.value for name in FailureClass if f"| {name} |" not in text} == set()


def test_every_code_of_a_failure_that_is_named_exists() -> None:
    table = section("When something is wrong").split("All metrics")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    codes = {code for row in rows[1:] for code in re.findall(r"`(\w+)`", row)}
    patterns = {"status_429", "status_5xx"}
    assert {code for code in codes - patterns if f'"{code}"' not in CODE} == set()
    assert "status_{status}" in CODE


def test_every_metric_is_explained_and_no_other() -> None:
    table = section("When something is wrong").split("All metrics")[1]
    source = Path(handler.__file__).read_text()
    emitted = set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', source)) - {"TokenRefresher"}
    assert set(first_column(table)) == emitted


def test_every_error_is_in_the_tree_of_the_errors_module() -> None:
    tree = errors.__doc__ or ""
    named = {name for name, value in vars(errors).items() if isinstance(value, type)}
    ours = {name for name in named if name.endswith("Error")}
    assert {name for name in ours if name not in tree} == set()


def test_the_readme_fits_a_reader() -> None:
    assert len(README.splitlines()) < 250
