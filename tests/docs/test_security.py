"""What docs/security.md says, held to the tests, the templates and the settings that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import templates
from tests.fuzz.parsers import PARSERS
from token_refresher.oauth.transport import LONGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
SETTINGS = (ROOT / "functions" / "token_refresher" / "settings.py").read_text()
CODE = "\n".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))

TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT)))


def section(title: str) -> str:
    """The text under a heading of the second rank."""
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@cache
def names_of_tests(path: str) -> set[str]:
    """The names of a file's tests, whether or not they are in a class."""
    tree = ast.parse((ROOT / path).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def statements(value: Any) -> Iterator[str]:  # noqa: ANN401 - a template's
    """Every Sid, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("Sid"), str):
            yield value["Sid"]
        for each in value.values():
            yield from statements(each)
    elif isinstance(value, list):
        for each in value:
            yield from statements(each)


def names_of_the_templates() -> set[str]:
    """All logical ids and statements."""
    loaded = [templates.load(path) for path in templates.ALL]
    resources = {name for template in loaded for name in template["Resources"]}
    return resources | {sid for template in loaded for sid in statements(template)}


@pytest.mark.parametrize(("path", "name"), TESTS, ids=[name for _, name in TESTS])
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in names_of_tests(path)


def test_every_threat_is_answered_and_held_by_a_test() -> None:
    threats = rows("Threats")
    assert len(threats) > 20
    assert [row[0] for row in threats if len(row) != 3 or not all(row)] == []
    assert [row[0] for row in threats if "::test_" not in row[2]] == []


def test_every_statement_and_resource_that_is_named_exists() -> None:
    text = section("Threats") + section("Who can write what, and what that gives them")
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", text)) - {"ListSecrets"}
    assert "ClaimAndJournalRefreshTokens" in named
    assert named - names_of_the_templates() == set()


def test_every_statement_on_secrets_and_keys_is_in_the_table() -> None:
    """One that is added has to be thought about here."""
    text = section("Threats")
    about = ("secretsmanager:", "kms:")
    role = templates.load(templates.FUNCTION)["Resources"]
    missing = {
        sid
        for sid in statements(role)
        if any(action.startswith(about) for action in actions(role, sid)) and f"`{sid}`" not in text
    }
    assert missing == set()


def actions(value: Any, sid: str) -> list[str]:  # noqa: ANN401 - a template's
    """What a statement allows."""
    if isinstance(value, dict):
        if value.get("Sid") == sid:
            found = value["Action"]
            return [found] if isinstance(found, str) else list(found)
        return [action for each in value.values() for action in actions(each, sid)]
    if isinstance(value, list):
        return [action for each in value for action in actions(each, sid)]
    return []


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=(\w+))?`", DOCUMENT))
    assert "ALLOWED_TOKEN_HOSTS" in {name for name, _ in named}
    assert {name for name, _ in named if f'"{name}"' not in SETTINGS} == set()
    assert {value for _, value in named if value and f'"{value}"' not in SETTINGS} == set()


def test_every_function_and_stage_that_is_named_exists() -> None:
    assert "def write_protocol(" in CODE
    assert '"TOKENRESPONSE"' in CODE


def test_the_bounds_that_are_named_are_the_programs() -> None:
    row = next(row for row in rows("Threats") if "bombs" in row[0])
    assert f"{LONGEST_BODY // 1024} KiB of body" in row[1]
    assert "LONGEST_ANSWER: Final = 4 * LONGEST_BODY" in CODE
    assert f"{4 * LONGEST_BODY // 1024} KiB in all" in row[1]


def test_the_figures_are_of_every_parser_and_nothing_was_found() -> None:
    figures = rows("Fuzzing")
    assert [row[0] for row in figures] == [parser.name for parser in PARSERS]
    assert {(row[3], row[4]) for row in figures} == {("0", "0")}


def test_every_file_that_is_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)", DOCUMENT)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
