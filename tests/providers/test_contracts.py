"""Every provider is asked as its documentation says, and an entry that is wrong is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.providers.contract import CONTRACTS, contracts_of
from tests.providers.stage import Stage
from token_refresher.credentials import JWT_BEARER
from token_refresher.oauth import providers
from token_refresher.oauth.providers import provider
from token_refresher_cli.catalogue import all_listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.providers.contract import Contract

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = ROOT / "functions" / "token_refresher"
FILE: Final = Path("oauth") / "providers.json"
LEAST: Final = 40
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server that stands for every provider."""
    with Stage() as stage:
        yield stage


@pytest.mark.parametrize("contract", contracts_of(), ids=str)
def test_a_token_is_had_and_refreshed_as_the_providers_page_shows(
    stage: Stage, contract: Contract
) -> None:
    assert stage.play(contract) == []


def test_every_grant_of_every_provider_has_a_contract() -> None:
    held = {(contract.provider, contract.grant) for contract in contracts_of()}
    named = {(name, grant) for name in providers.names() for grant in provider(name).grant_types}
    assert held == named
    assert {path.stem for path in CONTRACTS.glob("*.json")} == set(providers.names())
    assert len(providers.names()) >= LEAST


def test_what_an_entry_has_signed_or_shown_is_demanded_by_a_contract() -> None:
    contracts = contracts_of()
    signed = {
        (contract.provider, contract.grant)
        for contract in contracts
        if any(exchange.request.assertion for exchange in contract.exchanges)
    }
    named = {
        (name, grant)
        for name in providers.names()
        for grant, of in provider(name).grant_types.items()
        if of.assertion is not None
    }
    assert named <= signed
    shown = {contract.provider for contract in contracts if contract.demands_certificate}
    assert shown == {name for name in providers.names() if provider(name).needs_certificate}


def test_every_contract_asks_twice_and_says_what_is_published_each_time() -> None:
    for contract in contracts_of():
        assert len(contract.exchanges) == len(contract.published) == 2, contract
        first, second = (each["access_token"] for each in contract.published)
        assert first != second, contract


def paths_of(value: object, path: str = "") -> set[str]:
    """The paths of all that is no object."""
    if not isinstance(value, dict):
        return {path}
    return {each for name, inner in value.items() for each in paths_of(inner, f"{path}.{name}")}


def test_what_people_are_told_to_store_is_what_contracts_store() -> None:
    stored: dict[tuple[str, str], set[str]] = {}
    for contract in contracts_of():
        key = (contract.provider, contract.grant)
        stored[key] = stored.get(key, set()) | paths_of(contract.credentials)
    for one in all_listed():
        for grant in one.grants:
            # Of some providers the contract is a public client's, which has no secret.
            told = paths_of(grant.example) - {".client_secret"}
            assert told <= stored[one.name, grant.name], (one.name, grant.name)


def test_every_entry_names_a_page_of_its_documentation() -> None:
    for name in providers.names():
        pages = provider(name).documentation
        assert pages, name
        assert all(page.startswith("https://") for page in pages), name


# Entries with one wrong field


@dataclass(frozen=True, slots=True)
class Wrong:
    """A field of an entry, another value, and what must be told of it.

    Attributes:
        provider: Whose entry.
        field: Its path; what is not there yet is added.
        value: None takes the field out.
        told: A part of what is said.
    """

    provider: str
    field: str
    value: object
    told: str

    @property
    def name(self) -> str:
        """What the wrong entry is called."""
        field = re.sub(r"[\W_]", "-", self.field).lower()
        return f"{self.provider}-{field}"

    def spoil(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Make the wrong entry of a right one."""
        *parents, last = self.field.split("/")
        place = entry
        for parent in parents:
            place = place.setdefault(parent, {})
        if self.value is None:
            del place[last]
        else:
            place[last] = self.value
        return entry


WRONG: Final = (
    Wrong(
        "salesforce",
        "token_endpoint",
        "https://{domain}.salesforce.com/oauth2/token",
        "path is /oauth2/token and not /services/oauth2/token",
    ),
    Wrong(
        "google",
        "token_endpoint",
        "https://oauth.googleapis.com/token",
        "header Host is another: oauth.googleapis.com and not oauth2.googleapis.com",
    ),
    Wrong(
        "trustpilot",
        "grant_types/refresh_token",
        {},
        "path is /v1/oauth/oauth-business-users-for-applications/accesstoken and not",
    ),
    Wrong("marketo", "dialect/request_method", "POST", "method is POST and not GET"),
    Wrong("marketo", "dialect/request_format", "form", "query: client_id is missing"),
    Wrong(
        "notion",
        "dialect/request_format",
        "form",
        "format is application/x-www-form-urlencoded and not application/json",
    ),
    Wrong(
        "xero",
        "token_endpoint_auth_method",
        "client_secret_post",
        "header Authorization is missing",
    ),
    Wrong(
        "zoho",
        "token_endpoint_auth_method",
        "client_secret_basic",
        "header Authorization is not in the contract",
    ),
    Wrong("walmart", "request_headers/WM_SVC.NAME", None, "header WM_SVC.NAME is missing"),
    Wrong("otomoto.pl", "user_agent", None, "header User-Agent is another"),
    Wrong("docuware", "extra_parameters/scope", "platform", "form: scope is another"),
    Wrong(
        "facebook",
        "grant_types/fb_exchange_token/grant_parameters",
        {"token": "{refresh_token}"},
        "query: token is not in the contract",
    ),
    Wrong("directus", "dialect/access_token", "data.token", "token 1: none was published"),
    Wrong(
        "tiktok-business",
        "dialect/refresh_token",
        "data.renewal_token",
        "request 2: JSON: refresh_token is another",
    ),
    Wrong(
        "directus",
        "dialect/expires_in_unit",
        "seconds",
        "token 1: it lives 900000 seconds and not 900",
    ),
    Wrong("stripe-apps", "expires_in", 1800, "token 1: it lives 1800 seconds and not 3600"),
    Wrong("slack", "dialect/authorization_scheme", None, "token 1: none was published"),
    Wrong(
        "google-service-account",
        f"grant_types/{JWT_BEARER}/assertion",
        {},
        "request 1: the assertion has claims.sub, which is not in the contract",
    ),
    Wrong(
        "docusign",
        f"grant_types/{JWT_BEARER}/assertion/audience",
        "https://{host}",
        "request 1: the assertion's claims.aud is another",
    ),
    Wrong(
        "servicenow",
        f"grant_types/{JWT_BEARER}/assertion/audience",
        None,
        "request 1: the assertion's claims.aud is another",
    ),
    Wrong(
        "box",
        f"grant_types/{JWT_BEARER}/assertion/expires_in",
        300,
        "request 1: the assertion is valid for too long",
    ),
    Wrong(
        "salesforce",
        f"grant_types/{JWT_BEARER}/token_endpoint_auth_method",
        "private_key_jwt",
        "request 1: form: client_assertion is not in the contract",
    ),
    Wrong(
        "microsoft",
        "grant_types/client_credentials/assertion/alg",
        "RS256",
        "request 1: the assertion is not signed as registered",
    ),
    Wrong(
        "apple-ads",
        "grant_types/client_credentials/grant_parameters",
        {"client_assertion": "{assertion}"},
        "request 1: form: client_secret is missing",
    ),
    Wrong(
        "github-app",
        "request_headers/Authorization",
        "token {assertion}",
        "request 1: header Authorization is another",
    ),
    Wrong(
        "google-workload-identity",
        f"grant_types/{TOKEN_EXCHANGE}/grant_parameters/subject_token_type",
        "urn:ietf:params:oauth:token-type:saml2",
        "request 1: form: subject_token_type is another",
    ),
)
ALREADY_RIGHT: Final = "a-copy-of-xero"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What ``make providers`` says of each wrong entry.

    It runs by itself, on the program with another file of providers: the program reads the one
    that lies beside it, and has no other way to be told of any.
    """
    directory = tmp_path_factory.mktemp("wrong")
    program = directory / PROGRAM.name
    shutil.copytree(PROGRAM, program, copy_function=os.symlink)
    right: dict[str, dict[str, Any]] = json.loads((PROGRAM / FILE).read_text("utf-8"))
    entries = {
        each.name: each.spoil(json.loads(json.dumps(right[each.provider]))) for each in WRONG
    }
    entries[ALREADY_RIGHT] = right["xero"]
    (program / FILE).unlink()
    (program / FILE).write_text(json.dumps(entries))
    (directory / "contracts").mkdir()
    for name, of in [(ALREADY_RIGHT, "xero"), *((each.name, each.provider) for each in WRONG)]:
        contract = json.loads((CONTRACTS / f"{of}.json").read_text("utf-8"))
        for each in contract["contracts"]:
            each["credentials"]["provider"] = name
        (directory / "contracts" / f"{name}.json").write_text(json.dumps(contract))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "tests.providers", "--contracts", str(directory / "contracts")],
        cwd=ROOT,
        env={
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT / "cli"), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    names = {*entries}
    lines = [line.partition(": ") for line in done.stdout.splitlines() if ": " in line]
    said = dict.fromkeys(names, "")
    for name, _, rest in lines:
        if name in names:
            said[name] += f"{rest}\n"
    return said


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_an_entry_with_one_wrong_field_breaks_its_contract(
    told: Mapping[str, str], wrong: Wrong
) -> None:
    assert wrong.told in told[wrong.name]


def test_an_entry_without_a_wrong_field_keeps_its_contract_there(told: Mapping[str, str]) -> None:
    assert told[ALREADY_RIGHT] == ""


def test_what_is_told_of_a_wrong_entry_holds_no_secret(told: Mapping[str, str]) -> None:
    secrets = {
        value
        for contract in contracts_of()
        for name, value in contract.credentials.items()
        if name in {"client_secret", "password", "partner_secret", "refresh_token"} and value
    }
    assert not [secret for secret in secrets if secret in "".join(told.values())]
