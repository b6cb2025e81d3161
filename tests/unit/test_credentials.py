"""What credentials make of their fields: a client, its grants, and what they rest on."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from tests.unit.pasted import (
    ANY,
    CLIENT,
    EXCHANGE,
    JWT_BEARER,
    LOGIN,
    MACHINE,
    PARTNER,
    PASSWORD,
    PEM,
    REFRESH,
    parse,
)
from token_refresher import PRODUCT_USER_AGENT
from token_refresher.credentials import texts_in
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.dialect import RFC_6749
from token_refresher.oauth.token_request import token_request

OLX: Final = {**CLIENT, "provider": "autovit.ro"}
SALESFORCE: Final = {
    **CLIENT,
    "provider": "salesforce",
    "provider_parameters": {"domain": "acme.my"},
}
ZOOM: Final = {"grant_type": "account_credentials", "grant_parameters": {"account_id": "a"}}
# A login that renews what it has by a header.
BY_HEADER: Final = {
    "grant_parameters": {"action": "renew"},
    "request_headers": {"Authorization": "Session {refresh_token}"},
    "refresh_token": "invented-token",
}
# The client.


def test_a_client_is_what_its_credentials_say() -> None:
    fields = {
        "scope": "read write",
        "token_endpoint_auth_method": "client_secret_post",
        "user_agent": "made-up/1",
        "extra_parameters": {"audience": "x"},
        "request_headers": {"X-Tenant": "t"},
        "verify_url": "https://api.example.com/me",
        "ca_certificates": PEM,
        "timeout_seconds": 25,
        "assumed_expires_in": 60,
        "assumed_refresh_token_expires_in": 3600,
        "dialect": {"request_format": "json"},
    }
    client = parse(ANY, CLIENT, MACHINE, fields).client
    told = {field: getattr(client, field) for field in client.__struct_fields__}
    assert told == {
        **CLIENT,
        **ANY,
        **{name: value for name, value in fields.items() if not name.startswith("token_endp")},
        "auth_method": "client_secret_post",
        "refresh_endpoint": None,
        "assertion": None,
        "sends_client_id": True,
        "is_assertion_issued": False,
        "key": "",
        "certificate": None,
        "private_key": None,
        "dialect": msgspec.structs.replace(RFC_6749, request_format="json"),
        "is_fixed": False,
        "documented_expires_in": None,
    }


def test_a_client_of_a_provider_is_what_its_entry_says() -> None:
    client = parse(SALESFORCE, MACHINE).client
    assert client.token_endpoint == "https://acme.my.salesforce.com/services/oauth2/token"
    assert (client.host, client.is_fixed) == ("acme.my.salesforce.com", True)
    assert client.documented_expires_in is not None
    # Made once: what is read of it is asked for many times.
    credentials = parse(SALESFORCE, MACHINE)
    assert credentials.client is credentials.client


@pytest.mark.parametrize(
    ("parts", "method"),
    [
        pytest.param((ANY, CLIENT, PASSWORD), "client_secret_basic", id="a secret"),
        pytest.param((ANY, CLIENT, PARTNER), "client_secret_basic", id="a partner elsewhere"),
        pytest.param((OLX, PARTNER), "client_secret_post", id="a partner by the OLX entries"),
        pytest.param((OLX, PASSWORD), "client_secret_basic", id="a password by the OLX entries"),
        pytest.param((OLX, PARTNER, {"token_endpoint_auth_method": "client_secret_basic"}),
                     "client_secret_basic", id="what the account says"),
        pytest.param((ANY, {"client_id": "c"}, REFRESH), "none", id="a public client"),
        pytest.param((ANY, LOGIN), "none", id="no client"),
    ],
)  # fmt: skip
def test_the_authentication_follows_from_the_account_the_entry_or_the_secret(
    parts: tuple[dict[str, Any], ...], method: str
) -> None:
    assert parse(*parts).client.auth_method == method


@pytest.mark.parametrize(
    ("parts", "header"),
    [
        pytest.param((OLX, PASSWORD, {"user_agent": "x"}), "a@b.example", id="the e-mail"),
        pytest.param((OLX, PARTNER, {"user_agent": "x"}), "x", id="the configured text"),
        pytest.param((OLX, PARTNER), PRODUCT_USER_AGENT, id="the product"),
        pytest.param((OLX, PASSWORD, {"username": "ż", "user_agent": "x"}), "x", id="no header"),
        pytest.param((OLX, PASSWORD, {"username": "ż"}), PRODUCT_USER_AGENT,
                     id="no header, no text"),
        pytest.param((OLX, PASSWORD, {"username": "a\r\nX: 1"}), PRODUCT_USER_AGENT,
                     id="two headers"),
        pytest.param((ANY, CLIENT, PASSWORD), PRODUCT_USER_AGENT,
                     id="another server is not sent the e-mail"),
        pytest.param((ANY, CLIENT, PASSWORD, {"user_agent": "x"}), "x",
                     id="but the configured text"),
    ],
)  # fmt: skip
def test_the_user_agent_follows_the_providers_rule(
    parts: tuple[dict[str, Any], ...], header: str
) -> None:
    assert parse(*parts).client.user_agent == header


@pytest.mark.parametrize(
    ("url", "host"),
    [
        pytest.param("https://login.example.com/token", "login.example.com", id="a host"),
        pytest.param("https://Login.Example.COM/", "login.example.com", id="in any case"),
        pytest.param("https://login.example.com:443/", "login.example.com", id="https's own port"),
        pytest.param("https://localhost:8443/token", "localhost:8443", id="another port"),
        pytest.param("https://a.example./", "a.example.", id="another name is another"),
    ],
)
def test_a_host_is_named_as_the_setting_names_it(url: str, host: str) -> None:
    assert parse(ANY, CLIENT, MACHINE, token_endpoint=url).client.host == host


# The dialect.


@pytest.mark.parametrize("where", [ANY, {"provider": "tiktok-business"}], ids=["any", "entry"])
def test_a_dialect_is_the_accounts_field_by_field_and_else_the_entrys(
    where: dict[str, Any],
) -> None:
    before = parse(where, CLIENT, REFRESH).client.dialect
    said = {"expires_in": "lives", "request_method": "PUT"}
    dialect = parse(where, CLIENT, REFRESH, dialect=said).client.dialect
    assert dialect == msgspec.structs.replace(before, expires_in="lives", request_method="PUT")
    assert (before == RFC_6749) == (where is ANY)


def test_without_a_dialect_it_is_rfc_6749s() -> None:
    assert parse(ANY, CLIENT, MACHINE).client.dialect == RFC_6749


# Grants.


@pytest.mark.parametrize(
    ("parts", "sent"),
    [
        (PASSWORD, PASSWORD),
        (PARTNER, PARTNER),
        (MACHINE, MACHINE),
        (JWT_BEARER, {**JWT_BEARER, "assertion": "{assertion}"}),
        (ZOOM, {"grant_type": "account_credentials", "account_id": "a"}),
        (LOGIN, LOGIN["grant_parameters"]),
        ({**MACHINE, "grant_parameters": {"resource": ["a", "b"], "n": 1}},
         {**MACHINE, "resource": ["a", "b"], "n": 1}),
    ],
    ids=["password", "partner", "client_credentials", "jwt-bearer", "extension", "login", "more"],
)  # fmt: skip
def test_a_primary_grant_sends_its_own_fields_and_the_accounts(
    parts: dict[str, Any], sent: dict[str, Any]
) -> None:
    credentials = parse(ANY, CLIENT, parts)
    assert credentials.grant.parameters == sent
    assert credentials.grant.refresh_token is None


@pytest.mark.parametrize(
    ("parts", "sent"),
    [
        pytest.param(PASSWORD, {"grant_type": "refresh_token", "refresh_token": "r"},
                     id="a password's"),
        pytest.param({**PASSWORD, "grant_parameters": {"realm": "x"}},
                     {"grant_type": "refresh_token", "refresh_token": "r"},
                     id="without what its grant sends"),
        pytest.param({**REFRESH, "grant_parameters": {"realm": "x"}},
                     {"grant_type": "refresh_token", "refresh_token": "r", "realm": "x"},
                     id="with what a refresh-only grant sends"),
        pytest.param(EXCHANGE, {"grant_type": "fb_exchange_token",
                                "fb_exchange_token": "{refresh_token}"},
                     id="a server's own, which holds it"),
        pytest.param(BY_HEADER, {"action": "renew"}, id="a login's, whose header holds it"),
    ],
)  # fmt: skip
def test_a_refresh_token_is_sent_by_the_grant_that_holds_it(
    parts: dict[str, Any], sent: dict[str, Any]
) -> None:
    client = {} if parts is BY_HEADER else CLIENT
    grant = parse(ANY, client, parts).grant_by("r")
    assert (grant.parameters, grant.refresh_token) == (sent, "r")


def test_a_login_that_renews_by_a_header_sends_nothing_else() -> None:
    credentials = parse(ANY, BY_HEADER)
    request = token_request(credentials.client, credentials.grant_by("r"))
    assert request.body == b"action=renew"
    assert request.headers["Authorization"] == "Session r"


# Refresh tokens.


@pytest.mark.parametrize(
    ("parts", "uses", "is_only"),
    [
        pytest.param(PASSWORD, True, False, id="password"),
        pytest.param(PARTNER, True, False, id="partner"),
        pytest.param(MACHINE, False, False, id="client_credentials"),
        pytest.param(JWT_BEARER, False, False, id="jwt-bearer"),
        pytest.param(ZOOM, False, False, id="an extension grant"),
        pytest.param(LOGIN, False, False, id="a login"),
        pytest.param(REFRESH, True, True, id="refresh_token"),
        pytest.param(EXCHANGE, True, True, id="a template that holds one"),
        pytest.param({**PASSWORD, "use_refresh_token": False}, False, False, id="not if told so"),
        pytest.param({**MACHINE, "use_refresh_token": True}, True, False, id="and if told so"),
    ],
)
def test_refresh_tokens_are_used_where_there_are_some_by_the_rfc(
    parts: dict[str, Any], *, uses: bool, is_only: bool
) -> None:
    credentials = parse(ANY, CLIENT, parts)
    assert (credentials.uses_refresh_tokens, credentials.is_refresh_only) == (uses, is_only)


# What a grant rests on.


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        pytest.param(REFRESH, {"token_endpoint": "https://other.example/"}, id="an address"),
        pytest.param(REFRESH, {"scope": "read", "user_agent": "x"}, id="a scope, a User-Agent"),
        pytest.param(REFRESH, {"client_secret": "other"}, id="a secret"),
        pytest.param(REFRESH, {"dialect": {"access_token": "a"}}, id="a dialect"),
        pytest.param(REFRESH, {"publish": {"fields": ["a"]}}, id="what is published"),
        pytest.param(EXCHANGE, {"scope": "read"}, id="a template's scope"),
        pytest.param(MACHINE, {"client_id": "invented-id"}, id="nothing"),
        pytest.param(PASSWORD, {"extra_parameters": {}}, id="a default, written out"),
        pytest.param(PASSWORD, {"timeout_seconds": 10}, id="another default, written out"),
        pytest.param(PASSWORD, {"verify_url": None}, id="a null"),
    ],
)
def test_an_edit_beside_the_grant_keeps_its_refresh_token(
    parts: dict[str, Any], changed: dict[str, Any]
) -> None:
    before = parse(ANY, CLIENT, parts).grant_digest
    assert parse(ANY, CLIENT, parts, changed).grant_digest == before


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        pytest.param(REFRESH, {"client_id": "other"}, id="another client"),
        pytest.param(REFRESH, {"refresh_token": "other"}, id="another consent"),
        pytest.param(EXCHANGE, {"refresh_token": "other"}, id="another token in a template"),
        pytest.param(PASSWORD, {"user_agent": "x"}, id="anything of a primary grant"),
        pytest.param(PASSWORD, {"password": "other"}, id="its password"),
        pytest.param(PASSWORD, {"dialect": {"access_token": "a"}}, id="its dialect"),
        pytest.param(PASSWORD, {"ca_certificates": PEM}, id="its authorities"),
        pytest.param(LOGIN, {"grant_parameters": {"user": "v"}}, id="a login's parameters"),
        pytest.param(ZOOM, {"grant_type": "other"}, id="a grant's name"),
    ],
)
def test_a_grant_that_is_another_uses_no_refresh_token_of_the_one_before(
    parts: dict[str, Any], changed: dict[str, Any]
) -> None:
    before = parse(ANY, CLIENT, parts).grant_digest
    assert parse(ANY, CLIENT, parts, changed).grant_digest != before


def test_the_order_of_the_fields_is_no_edit() -> None:
    fields = {**ANY, **CLIENT, **PASSWORD, "extra_parameters": {"a": "1", "b": "2"}}
    turned = {name: fields[name] for name in reversed(fields)}
    turned["extra_parameters"] = {"b": "2", "a": "1"}
    assert parse(turned).grant_digest == parse(fields).grant_digest


def test_a_number_and_its_text_are_the_same_client() -> None:
    assert parse(ANY, CLIENT, REFRESH, client_id=7).grant_digest == (
        parse(ANY, CLIENT, REFRESH, client_id="7").grant_digest
    )


# Where it leads.


def test_a_written_address_has_no_place_and_nobody_is_trusted_besides() -> None:
    credentials = parse(ANY, CLIENT, REFRESH)
    assert (credentials.place, credentials.trust) == ("", "")


def test_a_place_is_a_provider_and_its_parameters() -> None:
    place = parse(SALESFORCE, REFRESH).place
    assert place == parse(SALESFORCE, REFRESH, scope="other").place != ""
    assert place != parse(SALESFORCE, REFRESH, provider_parameters={"domain": "b.my"}).place
    assert place != parse(OLX, REFRESH).place


# What is never published.


@pytest.mark.parametrize(
    ("parts", "held"),
    [
        pytest.param({}, set(), id="the client's"),
        pytest.param(PASSWORD, {"invented-password"}, id="a password"),
        pytest.param(PARTNER, {"invented-partner-secret"}, id="a partner's"),
        pytest.param(JWT_BEARER, {"invented-assertion"}, id="an assertion"),
        pytest.param({"extra_parameters": {"api_key": "k", "audience": "a"}}, {"k"}, id="a key"),
        pytest.param({"grant_parameters": {"tokens": ["a", "b"], "n": 1}}, {"a", "b"},
                     id="a list of tokens"),
        pytest.param({"request_headers": {"X-Api-Key": "k", "X-Tenant": "t"}}, {"k"},
                     id="a header"),
        pytest.param({"grant_parameters": {"login": {"user": "u", "pwd": "p", "Passcode": "q"}},
                      "dialect": {"request_format": "json"}}, {"p", "q"}, id="deep in an object"),
        pytest.param({"token_endpoint": "https://a.example/t?tenant=t&api_key=a%20k"}, {"a k"},
                     id="in the address"),
        pytest.param({"token_endpoint": "https://a.example/t?code=c&sig=s&encoding=e"}, {"c", "s"},
                     id="an address that is its own key"),
    ],
)  # fmt: skip
def test_what_must_not_be_published_is_known_by_its_field_or_its_name(
    parts: dict[str, Any], held: set[str]
) -> None:
    in_body = {"token_endpoint_auth_method": "client_secret_post"}
    assert parse(ANY, CLIENT, in_body, MACHINE, parts).secrets == {"invented-secret"} | held


def test_where_the_secret_is_empty_the_id_is_one() -> None:
    credentials = parse(ANY, CLIENT, MACHINE, client_secret="")
    assert "invented-id" in credentials.secrets
    assert "" not in credentials.secrets


def test_the_pair_that_basic_sends_is_never_published() -> None:
    credentials = parse(ANY, CLIENT, MACHINE)
    header = token_request(credentials.client, credentials.grant).headers["Authorization"]
    assert credentials.secrets == {"invented-secret", header.removeprefix("Basic ")}


def test_what_a_template_stands_for_is_no_secret_of_its_own() -> None:
    assert parse(ANY, EXCHANGE, CLIENT).secrets.isdisjoint({"{refresh_token}", "{assertion}"})


def test_who_has_no_secret_holds_none() -> None:
    assert parse(ANY, {"client_id": "c"}, REFRESH).secrets == frozenset()


def test_texts_are_found_however_deep_and_names_are_none() -> None:
    assert texts_in({"a": ["b", {"c": "d"}], "e": 1, "f": None}) == ["b", "d"]


# Headers.


def test_an_accounts_header_stands_instead_of_the_programs_in_any_case() -> None:
    credentials = parse(ANY, CLIENT, MACHINE, request_headers={"accept": "text/x"})
    headers = token_request(credentials.client, credentials.grant).headers
    assert {name: value for name, value in headers.items() if name.lower() == "accept"} == {
        "accept": "text/x"
    }


def test_an_accounts_header_stands_instead_of_the_entrys_in_any_case() -> None:
    walmart = {**CLIENT, "provider": "walmart", "request_headers": {"wm_svc.name": "Mine"}}
    headers = parse(walmart, MACHINE).client.request_headers
    assert headers["wm_svc.name"] == "Mine"
    assert "WM_SVC.NAME" not in headers
    assert headers["WM_QOS.CORRELATION_ID"]


# The end of their tokens.


def test_a_client_revokes_at_the_address_of_its_provider() -> None:
    of = parse(SALESFORCE, MACHINE, {"dialect": {"request_format": "json"}})
    at = of.revoking_client
    assert at is not None
    assert at.token_endpoint == "https://acme.my.salesforce.com/services/oauth2/revoke"
    assert (at.client_id, at.auth_method) == (of.client_id, of.client.auth_method)
    assert (at.dialect, at.is_fixed) == (RFC_6749, True)


@pytest.mark.parametrize(
    ("said", "audience"),
    [({}, "https://identity.xero.com/connect/token"), ({"audience": "urn:xero"}, "urn:xero")],
)
def test_who_signs_names_a_server_that_revokes_by_its_token_endpoint(
    said: dict[str, str], audience: str
) -> None:
    signing = {"token_endpoint_auth_method": "private_key_jwt", "client_id": "1"}
    of = parse(signing, provider="xero", grant_type="client_credentials", assertion=said or None)
    at = of.revoking_client
    assert at is not None
    assert isinstance(at.assertion, Assertion)
    assert (at.assertion.audience, at.host) == (audience, "identity.xero.com")


def test_nothing_is_revoked_where_no_address_for_it_is_known() -> None:
    assert parse(OLX, PASSWORD).revoking_client is None
    assert parse(ANY, CLIENT, MACHINE).revoking_client is None


@pytest.mark.parametrize(
    ("parts", "is_sent"),
    [
        pytest.param({**JWT_BEARER, "assertion": {}}, False, id="its own assertion names it"),
        pytest.param({**JWT_BEARER, "assertion": {"claims": {"iss": "i"}}}, True,
                     id="that names somebody else"),
        pytest.param({**JWT_BEARER, "assertion": {"signer": "sts", "audience": "a"}}, True,
                     id="AWS names the function"),
        pytest.param(JWT_BEARER, True, id="nobody knows whom a ready-made one names"),
        pytest.param({**JWT_BEARER, "assertion": {}, "client_secret": "s",
                      "token_endpoint_auth_method": "client_secret_post"}, True,
                     id="it authenticates besides"),
        pytest.param({**MACHINE, "token_endpoint_auth_method": "private_key_jwt"}, True,
                     id="the method sends it"),
        pytest.param({"grant_parameters": {}, "assertion": {},
                      "request_headers": {"Authorization": "Bearer {assertion}"}}, False,
                     id="a login whose header names it"),
    ],
)  # fmt: skip
def test_a_client_that_its_assertion_names_is_not_named_twice(
    parts: dict[str, Any],
    is_sent: bool,  # noqa: FBT001 - a row
) -> None:
    assert parse(ANY, {"client_id": "c"}, parts).client.sends_client_id is is_sent


# What is signed.

MICROSOFT: Final = {
    **MACHINE,
    "client_id": "c",
    "provider": "microsoft",
    "provider_parameters": {"tenant": "acme.example"},
}
BY_KEY: Final = {"token_endpoint_auth_method": "private_key_jwt"}
DOCUSIGN: Final = {
    **JWT_BEARER,
    "client_id": "c",
    "provider": "docusign",
    "provider_parameters": {"host": "account-d.docusign.com"},
}
SERVICENOW: Final = {
    **JWT_BEARER,
    **CLIENT,
    "provider": "servicenow",
    "provider_parameters": {"instance": "acme"},
}
GITHUB: Final = {
    "client_id": "c",
    "provider": "github-app",
    "provider_parameters": {"installation_id": "1"},
    "grant_parameters": {},
}


def signed(*parts: dict[str, Any], **fields: object) -> dict[str, Any]:
    """What is signed, whoever says it; nothing where nothing is."""
    client = parse(*parts, fields).client
    return msgspec.to_builtins(client.assertion) if client.signs else {}


def without_ready_made(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "assertion"}


def test_an_entry_says_what_is_signed_where_a_request_has_a_place_for_it() -> None:
    """Else a client with a secret would need a key as soon as others of its provider have one."""
    assert signed(MICROSOFT, client_secret="s") == {}
    assert signed(MICROSOFT, BY_KEY) == {"alg": "PS256"}
    assert signed(MICROSOFT, BY_KEY, assertion={"alg": "RS256"}) == {"alg": "RS256"}
    assert signed(GITHUB) == {"claims": {"aud": None, "sub": None}}


def test_a_ready_made_assertion_is_not_signed_again() -> None:
    assert signed(DOCUSIGN) == {}
    assert parse(DOCUSIGN).client.assertion == JWT_BEARER["assertion"]


def test_an_audience_follows_from_parameters_and_client() -> None:
    docusign, servicenow = without_ready_made(DOCUSIGN), without_ready_made(SERVICENOW)
    assert signed(docusign)["audience"] == "account-d.docusign.com"
    assert signed(servicenow)["audience"] == CLIENT["client_id"]
    assert signed(docusign, assertion={"audience": "own"})["audience"] == "own"
    own = signed(docusign, assertion={"claims": {"aud": ["own"]}})
    assert (own.get("audience"), own["claims"]["aud"]) == (None, ["own"])


def test_what_aws_says_of_the_function_is_not_said_by_an_entry() -> None:
    issued = {"signer": "sts", "audience": "api://AzureADTokenExchange"}
    assert signed(MICROSOFT, BY_KEY, assertion=issued) == issued


def test_claims_are_merged_one_by_one() -> None:
    said = signed(without_ready_made(DOCUSIGN), assertion={"claims": {"sub": "user"}})
    assert said["claims"] == {"scope": "signature impersonation", "sub": "user"}
