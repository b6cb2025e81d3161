"""What docs/security.md says, held to the templates, the settings and the parsers it is about.

That the tests that it names exist is held for all documents, in test_links.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.docs.test_links import PATH, functions_of
from tests.fuzz.parsers import PARSERS
from token_refresher import settings
from token_refresher.credentials import Credentials, SignedAssertion
from token_refresher.oauth.allowed_hosts import AllowedHosts, host_patterns
from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.errors import TokenEndpointError
from token_refresher.oauth.exchange import LONGEST_BODY, LONGEST_RESPONSE
from token_refresher.publishing import Publish
from token_refresher.refusals import REFUSED_HEADERS
from tools import templates
from tools.docs import infrastructure

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = (ROOT / "docs" / "security.md").read_text()
FIELDS: Final = "What a field of the credentials would let somebody do"


def section(title: str) -> str:
    """The text under a heading of the second rank."""
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_threat_has_a_measure_and_a_test_that_holds_it() -> None:
    threats = rows("Threats")
    assert len(threats) > 20
    assert [row[0] for row in threats if len(row) != 3 or not all(row)] == []
    assert [row[0] for row in threats if "::test_" not in row[2]] == []


def test_the_patterns_of_hosts_stand_for_what_is_said_of_them() -> None:
    exact, wildcard, anything = rows("Which hosts may be asked")
    named = [re.findall("`([^`]+)`", cell) for cell in (exact[0], *wildcard[:2], anything[1])]
    hosts = AllowedHosts(host_patterns(",".join([*named[0], *named[1]])))
    admitted, *refused = named[2]
    for host in [*named[0], admitted]:
        hosts.require(client_of(host))
    for host in refused:
        with pytest.raises(TokenEndpointError):
            hosts.require(client_of(host))
    private = [name for name in named[3] if name.isalpha() and name.islower()]
    assert len(private) == 12
    AllowedHosts(["*"]).require(client_of("a.example"))
    for name in private:
        with pytest.raises(TokenEndpointError):
            AllowedHosts(["*"]).require(client_of(f"a.{name}"))


def client_of(host: str) -> Client:
    return Client(
        token_endpoint=f"https://{host}/token",
        client_id="invented-id",
        client_secret=None,
        auth_method="none",
        user_agent="tests",
    )


def test_every_refusal_says_what_would_be_without_it_and_names_tests_that_are_there() -> None:
    refusals = rows(FIELDS)
    assert len(refusals) >= 18
    for field, writer, server, refused, held_by in refusals:
        assert field
        assert refused
        assert writer or server
        tests = PATH.findall(held_by)
        assert tests, field
        assert [test for path, test in tests if test not in functions_of(ROOT / path)] == []


def test_every_field_that_is_refused_something_is_one_of_the_credentials() -> None:
    structs: dict[str, type[msgspec.Struct]] = {
        "": Credentials,
        "assertion.": SignedAssertion,
        "dialect.": Dialect,
        "publish.": Publish,
    }
    known = {
        prefix + each.encode_name
        for prefix, struct in structs.items()
        for each in msgspec.structs.fields(struct)
    }
    named = {name for row in rows(FIELDS) for name in re.findall(r"`([a-z_.]{2,})`", row[0])}
    assert named - known == set()
    assert {"ca_certificates", "dialect.access_token", "publish.as", "request_headers"} <= named


def test_every_header_that_is_refused_is_told() -> None:
    told = {name.lower() for row in rows(FIELDS) for name in re.findall(r"`([A-Za-z-]+)`", row[3])}
    assert {*REFUSED_HEADERS, "authorization"} - told == set()


def test_every_statement_and_resource_that_is_named_exists() -> None:
    text = section("Threats") + section("Who can write what, and what that gives them")
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", text)) - {"ListSecrets"}
    texts = "\n".join(path.read_text() for path in templates.ALL)
    known = re.findall(r"^  (\w+):$|Sid: (\w+)$", texts, re.MULTILINE)
    assert named - {name for pair in known for name in pair} == set()


def test_every_statement_on_secrets_and_keys_is_in_the_table_of_threats() -> None:
    """One that is added has to be thought about here."""
    found = infrastructure.permissions().facts
    about = {name for name, allowed, _ in found if re.search("`(secretsmanager|kms):", allowed)}
    assert "`ReadCredentials`" in about
    assert {name for name in about if name not in section("Threats")} == set()


def test_every_setting_that_is_named_exists() -> None:
    source = Path(settings.__file__).read_text()
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=(\w+))?`", DOCUMENT))
    words = {word for pair in named for word in pair if word}
    assert "ALLOWED_TOKEN_HOSTS" in words
    assert {word for word in words if f'"{word}"' not in source} == set()


def test_the_bounds_that_are_named_are_the_programs() -> None:
    row = next(row for row in rows("Threats") if "bombs" in row[0])
    body, answer = LONGEST_BODY, LONGEST_RESPONSE
    assert f"{body // 1024} KiB of body, {answer // 1024} KiB in all" in row[1]


def test_the_figures_are_of_every_parser_and_nothing_was_found() -> None:
    figures = rows("Fuzzing")
    assert [row[0] for row in figures] == [parser.name for parser in PARSERS]
    assert {(row[3], row[4]) for row in figures} == {("0", "0")}
