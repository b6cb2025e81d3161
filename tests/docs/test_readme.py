"""The README fits a reader, and the examples of the reference are what is taken and given."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from token_refresher import errors
from token_refresher.model import PublishedToken, TokenVersion
from token_refresher.parsing import parse_credentials

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE: Final = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
CREDENTIALS, TOKEN = re.findall(r"```json\n(.*?)```", REFERENCE, re.DOTALL)
MOST_COMMANDS: Final = 8


def test_the_credentials_shown_validate() -> None:
    assert parse_credentials(CREDENTIALS).client.host == "www.autovit.ro"


def test_the_published_token_is_as_shown() -> None:
    token = msgspec.json.decode(TOKEN, type=PublishedToken)
    assert list(json.loads(token.to_json()).items()) == list(json.loads(TOKEN).items())


def test_the_version_id_shown_is_one_of_ours() -> None:
    shown = re.findall(r"`(\d{8}T\d{6}Z-[^`]+)`", REFERENCE)[0]
    assert str(TokenVersion.parse(shown, now=datetime(2026, 11, 25, tzinfo=UTC))) == shown


def test_every_error_is_in_the_tree_of_the_errors_module() -> None:
    tree = errors.__doc__ or ""
    named = {name for name, value in vars(errors).items() if isinstance(value, type)}
    ours = {name for name in named if name.endswith("Error")}
    assert {name for name in ours if name not in tree} == set()


def test_the_readme_fits_a_reader() -> None:
    assert len(README.splitlines()) < 200


def test_from_the_clone_to_a_token_that_is_used_it_takes_few_commands() -> None:
    """What they come to is a test of the deployment, which runs them."""
    [quick_start] = re.findall(r"```sh\n(git clone .*?)```", README, re.DOTALL)
    commands = re.split(r"\n|&&", quick_start.replace("\\\n", "").strip())
    assert "token-refresher token" in commands[-2]
    assert "$API" in commands[-1]
    assert ";" not in quick_start
    assert len(commands) <= MOST_COMMANDS


def test_every_document_is_in_the_index_and_has_a_reader() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\((\w[\w-]*\.md)", index))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
