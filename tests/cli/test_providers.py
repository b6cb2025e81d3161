"""What is told of the providers: where nothing but the command is, and in any width."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from tests.cli.terminal import Shell, shell_variables
from token_refresher.oauth.providers import names, provider
from token_refresher.parsing import parse_credentials
from token_refresher_cli.app import app
from token_refresher_cli.catalogue import Grant, all_listed, listed

COLUMNS = 80


@pytest.fixture
def shell() -> Shell:
    """A shell in which nothing leads to AWS."""
    return Shell(shell_variables())


def says(*arguments: str) -> str:
    """What a command prints into a pipe."""
    result = CliRunner().invoke(app, ["providers", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def words(text: str) -> set[str]:
    """All words of a text, without the signs that stand around them."""
    return {word.strip("(),.;:") for word in text.replace("`", "").split()}


def test_the_list_names_every_provider_and_its_grants(shell: Shell) -> None:
    done = shell.run("providers")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert (done.returncode, done.stderr) == (0, "")
    for name in names():
        assert provider(name).title in rows[name]
        assert ", ".join(provider(name).grant_types) in rows[name]


def test_no_word_of_the_list_is_broken_in_eighty_columns(shell: Shell) -> None:
    with shell.open("providers", columns=COLUMNS) as terminal:
        assert terminal.finish() == 0
    assert max(map(len, terminal.plain.splitlines())) <= COLUMNS
    assert words(terminal.plain) == words(says())


@pytest.mark.parametrize("name", ["okta", "snowflake", "tableau", "walmart"])
def test_no_word_of_an_explanation_is_broken_in_eighty_columns(shell: Shell, name: str) -> None:
    with shell.open("providers", name, columns=COLUMNS) as terminal:
        assert terminal.finish() == 0
    assert words(terminal.plain) == words(says(name))


def test_an_explanation_says_what_lives_too_short_and_what_to_set() -> None:
    told = says("snowflake")
    assert "10 min       no: must live 25 min" in told
    assert "OAUTH_ACCESS_TOKEN_VALIDITY = 3600" in told
    assert provider("snowflake").documentation[0] in told.splitlines()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "netsuite",
            "or its own is taken by `key import`: token-refresher key create NAME --alg PS256",
        ),
        ("netsuite", "The account's own KMS key signs, by PS256, for https://1234567-sb1.suite"),
        ("netsuite", "/services/rest/auth/oauth2/v1/token, with scope. The provider is given"),
        ("salesforce", "signs, by RS256, for https://login.salesforce.com, with sub."),
        ("github-app", "signs, by RS256. The provider is given"),
        ("google-workload-identity", "is sent; no key is needed."),
    ],
)
def test_an_explanation_says_what_is_signed_and_how_its_key_is_made(name: str, told: str) -> None:
    assert told in says(name)


def test_an_unknown_provider_is_a_usage_problem_with_the_nearest_name(shell: Shell) -> None:
    done = shell.run("providers", "salesfroce")
    assert done.returncode == 2
    assert "did you mean salesforce" in re.sub(r"[\s│]+", " ", done.stderr)


def test_programs_get_every_entry_and_credentials_for_each_grant() -> None:
    told = json.loads(says("--json"))["providers"]
    assert [each["name"] for each in told] == sorted(names())
    [xero] = json.loads(says("xero", "--json"))["providers"]
    assert xero["entry"]["token_endpoint"] == "https://identity.xero.com/connect/token"
    assert xero["grants"][0] == {
        "grant_type": "client_credentials",
        "address": "https://identity.xero.com/connect/token",
        "authentication": "client_secret_basic",
        "lives_too_short": False,
        "signs": None,
        "credentials": {
            "provider": "xero",
            "grant_type": "client_credentials",
            "client_id": "...",
            "client_secret": "...",
            "scope": "accounting.transactions",
        },
    }


def test_every_example_validates_as_credentials_of_its_grant() -> None:
    for one in all_listed():
        assert [grant.name for grant in one.grants] == list(one.entry.grant_types), one.name
        for grant in one.grants:
            credentials = parse_credentials(json.dumps(grant.example))
            named = (credentials.provider, credentials.grant_name or "login")
            assert named == (one.name, grant.name)


@pytest.mark.parametrize(
    ("minutes", "uses_refresh_tokens", "told"),
    [
        pytest.param(None, False, "not known", id="a lifetime that nobody tells is not judged"),
        pytest.param(14, False, "no: must live 15 min", id="a sweep must fit after ten minutes"),
        pytest.param(15, False, "yes, if not cached", id="fifteen minutes are enough"),
        pytest.param(20, False, "yes", id="five more are for what consumers keep"),
        pytest.param(24, True, "no: must live 25 min", id="a refresh token writes two versions"),
        pytest.param(25, True, "yes, if not cached", id="twenty-five are enough with one"),
        pytest.param(30, True, "yes", id="and thirty with a cache"),
    ],
)
def test_what_can_be_kept_alive(
    minutes: int | None, told: str, *, uses_refresh_tokens: bool
) -> None:
    lifetime = None if minutes is None else timedelta(minutes=minutes)
    grant = Grant("password", {}, "", "none", lifetime, uses_refresh_tokens)
    assert grant.kept_alive == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("xero", "rotates, 30 min of grace", id="rotation with its grace"),
        pytest.param("zoho", "keeps", id="one that stays"),
        pytest.param("apollo", "not said", id="what no page says"),
        pytest.param("paypal", "none", id="a provider without any"),
        pytest.param("facebook", "none: an access token renews itself", id="a token that renews"),
    ],
)
def test_what_becomes_of_a_refresh_token(name: str, told: str) -> None:
    assert listed(name).refresh_tokens == told
