"""What `tools/coverage.py` counts, on tables of invented providers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from token_refresher.oauth.errors import OAuthError
from tools import coverage

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://signin.invented.example/token"
CODE = {"grant_type": "authorization_code"}
REFRESH = {"grant_type": "refresh_token"}
CLIENT_CREDENTIALS = {"grant_type": "client_credentials"}
PROOF = {
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "${credentials.assertion}",
}
JWT_BEARER = {
    "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "assertion": "${token}",
}
STEPS = [{"token_url": URL, "token_params": {"of": "${step1.token}"}}]
THUMBPRINT = "${credentials.certificateThumbprint}"
TOKEN = {"token": "access_token"}
LOGIN = {"auth_mode": "TWO_STEP", "token_url": URL, "token_response": TOKEN}
EXPIRES_IN = {"token_expiration": "expires_in", "token_expiration_strategy": "expireIn"}


def consent(**fields: object) -> dict[str, Any]:
    return {
        "auth_mode": "OAUTH2",
        "token_url": URL,
        "token_params": CODE,
        "refresh_params": REFRESH,
        **fields,
    }


def machine(**fields: object) -> dict[str, Any]:
    return {
        "auth_mode": "OAUTH2_CC",
        "token_url": URL,
        "token_params": CLIENT_CREDENTIALS,
        **fields,
    }


def login(**fields: object) -> dict[str, Any]:
    return LOGIN | fields


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(consent(), "oauth", id="a person's consent that is renewed is OAuth"),
        pytest.param(
            {"auth_mode": "OAUTH2", "token_url": URL, "token_params": CODE},
            None,
            id="a code that is exchanged for a token without a renewal is not counted",
        ),
        pytest.param(
            {"auth_mode": "OAUTH2", "token_url": URL},
            "oauth",
            id="an entry that says nothing is RFC 6749, which renews",
        ),
        pytest.param(
            {"auth_mode": "OAUTH2_CC"}, None, id="a name of OAuth without an endpoint is a key"
        ),
        pytest.param(
            {"auth_mode": "MCP_OAUTH2_GENERIC"}, "oauth", id="an endpoint may be found by discovery"
        ),
        pytest.param(
            login(token_params={"grant_type": "password"}),
            "oauth",
            id="a spelt out request with a grant_type is OAuth",
        ),
        pytest.param(
            login(token_url=f"{URL}?grant_type=client_credentials"),
            "oauth",
            id="a grant_type may stand in the address",
        ),
        pytest.param(login(token_params={"user": "x"}), "login", id="any other is a login"),
        pytest.param({"auth_mode": "BILL", "token_url": URL}, "login", id="BILL is a login"),
        pytest.param({"auth_mode": "API_KEY"}, None, id="a key is not counted"),
        pytest.param({"auth_mode": "OAUTH1", "token_url": URL}, None, id="nor is OAuth 1"),
    ],
)
def test_who_counts(entry: dict[str, Any], expected: str | None) -> None:
    assert coverage.kind_of(entry) == expected


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(consent(), id="RFC 6749"),
        pytest.param(
            consent(authorization_method="header", body_format="json"), id="Basic beside JSON"
        ),
        pytest.param(consent(token_request_auth_method="basic"), id="Basic by its other name"),
        pytest.param(
            {
                "auth_mode": "OAUTH2",
                "token_url": "https://${connectionConfig.shop}.invented.example/token",
                "token_params": {"expiring": 1},
            },
            id="a host for each customer and a number, renewed as it was exchanged",
        ),
        pytest.param(
            consent(
                refresh_url="https://${connectionConfig.host}/renew?of=${connectionConfig.of} || x",
                refresh_params={"type": "refresh"},
                alternate_access_token_response_path="of_user",
                token_response_metadata=["instance_url", "team.id"],
            ),
            id="another address for renewals, a nested response, and what consumers need of it",
        ),
        pytest.param(
            {"auth_mode": "MCP_OAUTH2", "token_url": URL, "client_registration": "dynamic"},
            id="a client that registers itself has no secret",
        ),
        pytest.param({"auth_mode": "MCP_OAUTH2_GENERIC"}, id="an endpoint that is found"),
        pytest.param(
            machine(
                scope_separator=",",
                connection_config={"oauth_scopes": {}},
                expires_in_unit="milliseconds",
                token_headers={"content-type": "application/x-www-form-urlencoded"},
            ),
            id="milliseconds, and scopes with commas between them",
        ),
        pytest.param(machine(body_format="query"), id="parameters in the query"),
        pytest.param(
            machine(token_params={}, token_request_auth_method="custom", body_format="json"),
            id="client credentials by the name of a user",
        ),
        pytest.param(
            machine(token_url=f"{URL}?grant_type=invented", token_request_auth_method="basic"),
            id="a query in the address beside a body",
        ),
        pytest.param(machine(token_params={"grant_type": "of_its_own"}), id="another grant"),
        pytest.param(machine(token_expires_in_ms=0), id="a lifetime that nobody tells"),
        pytest.param(
            login(
                body_format="form",
                token_params={
                    "grant_type": "password",
                    "username": "${credentials.user}",
                    "password": "${credentials.password}",
                    "new_token": True,
                    "scope": "all",
                },
                token_headers={"authorization": "Basic ${base64(${credentials.id}:${secret})}"},
                token_response=TOKEN | EXPIRES_IN | {"refresh_token": "refresh_token"},
            ),
            id="a password, with a client",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=CLIENT_CREDENTIALS,
                token_headers={"authorization": "ID ${base64(${credentials.id}:${secret})}"},
            ),
            id="client credentials under another scheme",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=CLIENT_CREDENTIALS,
                token_headers={"authorization": "Bearer ${credentials.key}"},
            ),
            id="client credentials under a key",
        ),
        pytest.param(
            login(token_url=f"{URL}?grant_type=client_credentials&response_type=token"),
            id="a request that is all in the address",
        ),
        pytest.param(
            login(token_request_method="GET", token_url=f"{URL}?secret=${{credentials.secret}}"),
            id="a login by GET",
        ),
        pytest.param(
            login(
                token_params={"user": {"name": "${credentials.user}", "site": ""}, "old": False},
                token_headers={"accept": "application/json", "x-key": "${credentials.key}"},
                token_response={
                    "token": "data.token",
                    "token_expiration": "data.until",
                    "token_expiration_strategy": "expireAt",
                },
            ),
            id="a login with nested JSON, a header, and the time when it ends",
        ),
        pytest.param(
            login(
                token_headers={"authorization": "Basic ${base64(${key}:${user}:${password})}"},
                token_expires_in_ms=900_000,
            ),
            id="three things under Basic, and a lifetime that is only documented",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params={
                    "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                    "assertion": "${credentials.assertion}",
                },
                assertion={"lifetimeInSeconds": "315360000"},
            ),
            id="an assertion that is signed once for ten years",
        ),
        pytest.param(
            login(
                token_request_method="GET",
                additional_steps=[
                    {"token_url": "${step1.api}/token", "token_params": {"user": "${user}"}}
                ],
                token_response_metadata=["api"],
            ),
            id="an address that its owner finds out once",
        ),
        pytest.param(
            login(
                token_headers={"authorization": "Bearer ${credentials.key}"},
                refresh_token_headers={
                    "authorization": "Bearer ${refresh_token}",
                    "accept": "application/vnd.invented+json",
                },
                token_response=TOKEN | {"refresh_token": "access_token"},
            ),
            id="a token that is renewed by itself, in a header",
        ),
        pytest.param({"auth_mode": "BILL", "token_url": URL}, id="BILL"),
        pytest.param(
            machine(token_request_auth_method="private_key_jwt"), id="a client that signs"
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=CLIENT_CREDENTIALS | PROOF | {"client_id": "${credentials.clientId}"},
            ),
            id="a client that signs what RFC 7523 says",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=CLIENT_CREDENTIALS | PROOF,
                assertion={
                    "lifetimeInSeconds": 3600,
                    "header": {"alg": "PS256", "kid": "${credentials.keyId}"},
                    "payload": {"iss": "${credentials.id}", "scope": ["all"], "jti": "${random}"},
                },
            ),
            id="a client that signs what its provider says, and is named by it alone",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=CLIENT_CREDENTIALS | PROOF | {"client_id": "${credentials.clientId}"},
                assertion={"lifetimeInSeconds": "315360000"},
            ),
            id="a client whose proof is signed once for ten years",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=JWT_BEARER,
                signature={"protocol": "RSA"},
                token={
                    "header": {"alg": "RS256", "typ": "JWT", "x5t#S256": THUMBPRINT},
                    "payload": {"iss": "${credentials.email}", "aud": URL, "scope": "${scopes}"},
                },
            ),
            id="a grant that is signed each time",
        ),
        pytest.param(
            login(
                body_format="form",
                token_params=JWT_BEARER
                | {"client_id": "${credentials.id}", "client_secret": "${credentials.secret}"},
                token={"payload": {"iss": "${credentials.id}", "aud": "${credentials.id}"}},
            ),
            id="a grant that is signed each time, beside a client's secret",
        ),
        pytest.param({"auth_mode": "APP", "token_url": URL}, id="an app that signs"),
        pytest.param(
            {"auth_mode": "CUSTOM", "token_url": {"OAUTH2": f"{URL}/user", "APP": URL}},
            id="an app that signs, or asks a person",
        ),
        pytest.param(machine(require_client_certificate=True), id="mutual TLS"),
    ],
)
def test_what_can_be_expressed(entry: dict[str, Any]) -> None:
    assert coverage.kind_of(entry) is not None
    assert coverage.reason_against(entry) is None


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param(
            login(token_params=JWT_BEARER, token={"header": {"alg": "RS512"}}),
            "the credentials do not validate: `assertion.alg` must be RS256, PS256 or ES256; of "
            "the signer sts RS256 or ES384",
            id="an algorithm that the program does not sign by",
        ),
        pytest.param(
            login(additional_steps=STEPS),
            coverage.STEPS,
            id="two requests",
        ),
        pytest.param(
            login(token_headers={"sign": "${sha256Hex(${base64(${now}${secret})})}"}),
            coverage.COMPUTED,
            id="a hash",
        ),
        pytest.param(
            login(token_params={"until": "${now+7:days:YYYY-MM-DD}"}),
            coverage.NEW_EACH_TIME,
            id="a date",
        ),
        pytest.param(login(body_format="xml"), coverage.XML, id="XML"),
        pytest.param(login(token_response={"token": ""}), coverage.NO_JSON, id="a mere token"),
        pytest.param(login(token_response={"token": None}), coverage.NO_TOKEN, id="no token"),
        pytest.param(
            login(token_response_headers=["set-cookie"]),
            coverage.RESPONSE_HEADER,
            id="a header that consumers need",
        ),
        pytest.param(
            login(token_headers={"cookie": "session=1"}),
            "the credentials do not validate: `request_headers` must not hold `cookie`: the "
            "program sees to that itself",
            id="what the program refuses, in its own words",
        ),
    ],
)
def test_what_cannot_be_expressed_has_its_reason(entry: dict[str, Any], reason: str) -> None:
    assert coverage.reason_against(entry) == reason


RENEWAL = coverage.demand_of(consent())
RS256 = {"alg": "RS256"}
CLAIMS = {"iss": coverage.CLIENT, "sub": coverage.CLIENT, "aud": URL}
SIGNED = coverage.demand_of(machine(token_request_auth_method="private_key_jwt"))


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        (replace(RENEWAL, method="PUT"), "another method than the program sends"),
        (replace(RENEWAL, url=URL + "/2"), "another address than the program sends"),
        (replace(RENEWAL, form="json"), "another format than the program sends"),
        (
            replace(RENEWAL, parameters={**RENEWAL.parameters, "audience": "invented"}),
            "another set of parameters than the program sends",
        ),
        (
            replace(RENEWAL, headers={"x-key": "invented"}),
            "another set of headers than the program sends",
        ),
        (replace(RENEWAL, token="token"), "the token response has no access_token"),
        (replace(RENEWAL, expires_in="lifetime"), "the token response has no believable"),
        (
            replace(RENEWAL, expires_in=None, expires_at="until"),
            "the token response has no believable",
        ),
        (replace(RENEWAL, expires_in_unit="milliseconds"), "a lifetime where the program does not"),
        (replace(RENEWAL, refresh_token="next"), "a refresh token where the program does not"),
    ],
)
def test_what_the_program_makes_otherwise_is_found(demand: coverage.Demand, reason: str) -> None:
    """Credentials that would do for another provider do not for this one."""
    with pytest.raises((coverage.InexpressibleError, OAuthError), match=f"^{reason}"):
        coverage.judge(demand, coverage.credentials_of(RENEWAL))
    coverage.judge(demand, coverage.credentials_of(demand))


@pytest.mark.parametrize(
    ("demand", "reason"),
    [
        (replace(SIGNED, signed=coverage.Signed({"alg": "ES256"}, CLAIMS)), "another header"),
        (replace(SIGNED, signed=coverage.Signed(RS256, {"iss": "other"})), "another set of claims"),
        (replace(SIGNED, signed=None), "another header"),
        (replace(SIGNED, has_certificate=True), "another certificate"),
    ],
)
def test_what_the_program_signs_or_shows_otherwise_is_found(
    demand: coverage.Demand, reason: str
) -> None:
    with pytest.raises(coverage.InexpressibleError, match=f"^{reason}"):
        coverage.judge(demand, coverage.credentials_of(SIGNED))


def test_what_is_left_to_code_is_told_in_the_words_of_the_table() -> None:
    left = coverage.left_to_code()
    against = {name: coverage.reason_against(consent(**entry)) for name, entry in left.items()}
    assert {name: reason for name, reason in against.items() if reason is not None} == {
        "absorb-lms": coverage.NEW_EACH_TIME,
        "bullhorn": coverage.STEPS,
        "coros": coverage.NO_TOKEN,
        "coros-sandbox": coverage.NO_TOKEN,
        "shopline-oauth": coverage.COMPUTED,
    }


def test_a_table_is_counted_totals_first_then_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [f"invented-provider-with-a-long-name-{number}" for number in range(3)]
    table = {
        "invented-mail": consent(),
        "invented-calendar": {"alias": "invented-mail", "display_name": "Invented Calendar"},
        "invented-login": login(token_params={"user": "${credentials.user}"}),
        "invented-ledger": login(body_format="xml"),
        "invented-key": {"auth_mode": "API_KEY"},
        **{name: machine(token_response=TOKEN, additional_steps=STEPS) for name in steps},
    }
    path = tmp_path / "providers.yaml"
    path.write_text(json.dumps(table))
    assert coverage.main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "8 providers, 7 of them with tokens that a machine renews",
        "",
        "                            counted  expressible    share   not",
        "OAuth, tokens that end            5            2   40.0 %     3",
        "logins of their own               2            1   50.0 %     1",
        "both                              7            3   42.9 %     4",
        "",
        "In August 2026 the table had 981 providers, 476 of OAuth and 40 logins: those of",
        "OAuth whose tokens never end had been left out, which the table does not tell.",
        "Even if all that are not expressible were among these 516, 99.2 % of these would",
        "be.",
        "",
        "  3  another request, with what the first one's response holds",
        "     invented-provider-with-a-long-name-0, invented-provider-with-a-long-name-1,",
        "     invented-provider-with-a-long-name-2",
        "",
        "  1  a request in XML",
        "     invented-ledger",
    ]


def test_a_table_without_any_of_a_kind_has_no_share_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text("{invented-key: {auth_mode: API_KEY}}")
    assert coverage.main([str(path)]) == 0
    assert "OAuth, tokens that end            0            0              0" in (
        capsys.readouterr().out.splitlines()
    )


def test_without_a_path_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main([]) == 2
    assert capsys.readouterr().err == "usage: python -m tools.coverage PATH\n"
