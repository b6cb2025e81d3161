"""What credentials must not say: each refusal, by its field, and what is just allowed beside it.

docs/security.md has a row for each, with what it would let somebody do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

from token_refresher.credentials import Credentials, require_same_place
from token_refresher.errors import CredentialsError
from token_refresher.oauth.providers import ProviderParameter, names, provider
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

PEM: Final = "-----BEGIN CERTIFICATE-----\ninvented\n-----END CERTIFICATE-----\n"
ACCOUNT: Final = {
    "grant_type": "client_credentials",
    "token_endpoint": "https://login.example.com/token",
    "client_id": "invented-id",
    "client_secret": "invented-secret",
}
# Without a client, which authenticates by none.
LOGIN: Final = {
    "token_endpoint": "https://login.example.com/token",
    "grant_parameters": {"user": "invented-user"},
}
REFRESH_ONLY: Final = {
    **ACCOUNT,
    "grant_type": "refresh_token",
    "refresh_token": "invented-token",
}


def parse(base: Mapping[str, Any] = ACCOUNT, **fields: Any) -> Credentials:  # noqa: ANN401
    given = {name: value for name, value in {**base, **fields}.items() if value is not None}
    return parse_credentials(json.dumps(given))


def refusal(base: Mapping[str, Any] = ACCOUNT, **fields: Any) -> str:  # noqa: ANN401
    with pytest.raises(CredentialsError) as error:
        parse(base, **fields)
    assert error.value.code == "invalid_credentials"
    assert "invented" not in str(error.value)
    return str(error.value)


# Headers.


@pytest.mark.parametrize("spelling", [str.lower, str.title, str.upper])
@pytest.mark.parametrize(
    "name",
    [
        *("content-length", "content-type", "content-encoding", "transfer-encoding", "te"),
        *("trailer", "expect", "range", "accept-encoding", "connection", "keep-alive", "upgrade"),
        *("proxy-authorization", "proxy-connection", "proxy-anything"),
    ],
)
def test_no_header_frames_a_request(name: str, spelling: Any) -> None:  # noqa: ANN401
    said = refusal(request_headers={"X-Given": "a", spelling(name): "5"})
    assert f"`request_headers` must not hold `{name}`" in said


@pytest.mark.parametrize("name", ["Host", "Forwarded", "Via", "Cookie", "User-Agent"])
def test_no_header_says_where_a_request_goes_or_for_whom(name: str) -> None:
    assert f"must not hold `{name.lower()}`" in refusal(request_headers={name: "login.example.org"})


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_no_header_stands_for_a_client_that_authenticates(name: str, method: str) -> None:
    said = refusal(token_endpoint_auth_method=method, request_headers={name: "Token x"})
    assert "must not hold `authorization`" in said
    assert parse(LOGIN, request_headers={name: "Token x"}).client.request_headers


@pytest.mark.parametrize(
    "name", ["", " X", "X ", "X:", "X\r\nHost", "X\x00", "X(", "\u212aey", "X\u00e9", "X\n"]
)
def test_a_header_has_a_name_of_rfc_9110(name: str) -> None:
    assert "`request_headers` has a name that no header may have" in refusal(
        request_headers={name: "a"}
    )


# Blanks at the ends are refused before, with all others.
UNSENDABLE: Final = (
    *("a\r\nHost: b", "a\nb", "a\r b", "a\r\n Content-Length: 5", "a\x00b", "a\x7fb", "a\tb"),
    *("a\u00e9b", "a\u010ab", "a\u2028b", "\u212a"),
)


@pytest.mark.parametrize("value", UNSENDABLE)
def test_a_header_is_one_line_of_printable_ascii(value: str) -> None:
    assert "`request_headers.X-Given` must be printable ASCII" in refusal(
        request_headers={"X-Given": value}
    )


@pytest.mark.parametrize("value", UNSENDABLE)
@pytest.mark.parametrize("field", ["assertion", "refresh_token"])
def test_what_a_header_is_filled_with_is_printable_ascii_too(field: str, value: str) -> None:
    given: dict[str, Any] = {field: value, "request_headers": {"X-Given": f"by {{{field}}}"}}
    assert f"`{field}` must be printable ASCII" in refusal(**given)
    given["request_headers"] = {}
    parse(LOGIN, **given, grant_parameters={"given": f"{{{field}}}"})


def test_headers_are_few_and_short_and_differ_by_more_than_case() -> None:
    few = {f"X-{number}": "a" * 4096 for number in range(16)}
    assert len(parse(request_headers=few).client.request_headers) == 16
    assert "more than 16" in refusal(request_headers={**few, "X-16": "a"})
    assert "at most 4 KiB" in refusal(request_headers={"X-Given": "a" * 4097})
    assert "differ by case alone" in refusal(request_headers={"X-Given": "a", "x-given": "a"})


# Templates.


@pytest.mark.parametrize("where", ["grant_parameters", "request_headers"])
@pytest.mark.parametrize("field", ["assertion", "refresh_token"])
def test_a_variable_stands_for_a_field_that_is_given(field: str, where: str) -> None:
    given: dict[str, Any] = {where: {"given": f"by {{{field}}}"}}
    assert f"`{field}` is missing" in refusal(**given)
    given[field] = "invented-value"
    parse(**given)


@pytest.mark.parametrize("field", ["assertion", "refresh_token"])
def test_a_field_that_stands_nowhere_is_refused(field: str) -> None:
    given: dict[str, Any] = {field: "invented-value"}
    assert f"`{field}` is used by its grant_type" in refusal(**given)


@pytest.mark.parametrize(
    "text", ["{client_secret}", "{password}", "{0.__class__}", "{assertion.x}", "{{}}", "{", "}"]
)
def test_what_is_no_variable_is_sent_as_it_stands(text: str) -> None:
    account = parse(LOGIN, grant_parameters={"given": text}, request_headers={"X-Given": text})
    assert account.grant.parameters == {"given": text}
    assert account.client.request_headers == {"X-Given": text}


# Certificates.


def test_authorities_of_ones_own_are_not_for_a_provider() -> None:
    assert parse(ca_certificates=PEM).client.ca_certificates == PEM
    said = refusal(token_endpoint=None, provider="otomoto.pl", ca_certificates=PEM)
    assert "`ca_certificates` need `token_endpoint`" in said


def test_authorities_are_certificates_and_nothing_else() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\ninvented\n-----END RSA PRIVATE KEY-----\n"
    assert "must not hold a private key" in refusal(ca_certificates=PEM + key)
    assert "must be certificates in PEM" in refusal(ca_certificates="invented")


# A journal's refresh token.


def show(before: Credentials, now: Credentials) -> None:
    """Send what came with some credentials by others."""
    require_same_place(now, host=before.client.host, place=before.place, trust=before.trust)


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param({"ca_certificates": PEM}, id="under other authorities"),
        pytest.param({"request_headers": {"X-Given": "{refresh_token}"}}, id="in a header"),
        pytest.param({"dialect": {"refresh_token": "renewal"}}, id="by another path"),
        pytest.param({"token_endpoint": "https://login.example.org/token"}, id="to another host"),
        pytest.param({"token_endpoint": "https://login.example.com:8443/token"}, id="to a port"),
    ],
)
def test_a_journaled_refresh_token_is_shown_to_nobody_else(moved: dict[str, Any]) -> None:
    plain, other = parse(REFRESH_ONLY), parse(REFRESH_ONLY, **moved)
    for before, now in ((plain, other), (other, plain)):
        with pytest.raises(CredentialsError, match="the refresh token came ") as refused:
            show(before, now)
        assert refused.value.code == "another_host"
        assert "invented" not in str(refused.value)
    show(other, other)
    # Whatever is moved, the grant is the same: the journal would be found.
    assert plain.grant_digest == other.grant_digest


@pytest.mark.parametrize(
    "corrected",
    [
        {"token_endpoint": "https://login.example.com/oauth/token/"},
        {"scope": "read"},
        {"request_headers": {"X-Given": "a"}},
        {"dialect": {"access_token": "token"}},
        {"publish": {"fields": ["instance_url"]}},
    ],
)
def test_what_is_corrected_beside_it_keeps_a_journaled_refresh_token(
    corrected: dict[str, Any],
) -> None:
    show(parse(REFRESH_ONLY), parse(REFRESH_ONLY, **corrected))


# Paths.


@pytest.mark.parametrize("path", ["session.renewal", "session", "session.renewal.value"])
def test_nothing_is_published_from_where_the_refresh_token_is(path: str) -> None:
    renewal = {"refresh_token": "session.renewal"}
    for publish in ({"fields": [path]}, {"as": f"{{access_token}} {{response.{path}}}"}):
        assert "where the refresh token is" in refusal(dialect=renewal, publish=publish)
    assert "must not be where the refresh token is" in refusal(dialect={**renewal, "scope": path})


@pytest.mark.parametrize("field", ["access_token", "scope"])
def test_an_account_cannot_rename_where_its_providers_refresh_token_is(field: str) -> None:
    given: dict[str, Any] = {"token_endpoint": None, "provider": "otomoto.pl"}
    given |= {"grant_type": "partner"}
    given |= {"partner_code": "invented-code", "partner_secret": "invented-partner"}
    dialect = {"refresh_token": "elsewhere", field: "refresh_token"}
    assert f"`dialect.{field}` must not be where" in refusal(**given, dialect=dialect)


# Addresses.

ESCAPES: Final = (
    *("", ".", "..", "evil.example/", "x@evil.example", "evil.example#", "evil.example?", "a:8443"),
    *("-a", "a-", "a..b", ".a", "a.", "A", "a b", "a\nb", "a%2e", "\uff41", "\u212a", "a\\b"),
    *("a" * 64, "{domain}"),
)
GIVEN: Final = {"label": "acme", "labels": "acme.my", "segment": "Acme~1", "host": "acme.example"}


@pytest.mark.parametrize("value", ESCAPES)
@pytest.mark.parametrize("kind", ["label", "labels"])
def test_a_parameter_of_a_providers_address_stays_inside_of_its_place(
    kind: Literal["label", "labels"], value: str
) -> None:
    parameter = ProviderParameter(about="", example="", kind=kind)
    assert parameter.accepts(GIVEN[kind])
    assert not parameter.accepts(value)


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", "\uff41"])
def test_a_segment_stays_inside_of_a_path(value: str) -> None:
    parameter = ProviderParameter(about="", example="", kind="segment")
    assert parameter.accepts(GIVEN["segment"])
    assert not parameter.accepts(value)


@pytest.mark.parametrize(
    "value",
    [
        "acme",
        "127.0.0.1",
        "127.0.0.0x1",
        "10.1",
        "acme.example/",
        "x@acme.example",
        "Acme.example",
        "acme.example.",
    ],
)
def test_a_host_is_a_name_and_no_address(value: str) -> None:
    parameter = ProviderParameter(about="", example="", kind="host")
    assert parameter.accepts(GIVEN["host"])
    assert not parameter.accepts(value)


def test_a_parameter_with_documented_values_has_one_of_them() -> None:
    parameter = ProviderParameter(about="", example="eu", values=("eu", "us"))
    assert parameter.accepts("eu")
    assert not parameter.accepts("eu.evil.example")


@pytest.mark.parametrize("name", names())
def test_a_provider_allows_its_hosts_unasked_only_where_two_fixed_labels_end_them(
    name: str,
) -> None:
    """Whatever is chosen, the host is inside of a domain that the entry itself names."""
    entry = provider(name)
    for grant in entry.grant_types.values():
        host = (grant.token_endpoint or entry.token_endpoint).split("/")[2]
        for each, parameter in entry.parameters.items():
            if parameter.kind is not None:
                host = host.replace(f"{{{each}}}", "\0")
        ends_fixed = host.rpartition("\0")[2].split(":")[0].count(".") >= 2
        assert not entry.is_fixed or "\0" not in host or ends_fixed
    assert not any("{" in host for host in entry.fixed_hosts)


# Parameters.


@pytest.mark.parametrize("field", ["extra_parameters", "grant_parameters"])
@pytest.mark.parametrize(
    "name",
    ["client_id", "client_secret", "client_assertion", "client_assertion_type", "grant_type"],
)
def test_no_parameter_says_what_has_a_field_of_its_own(field: str, name: str) -> None:
    assert f"`{field}` must not hold `{name}`" in refusal(**{field: {name: "invented-value"}})


@pytest.mark.parametrize(
    ("base", "name"), [(ACCOUNT, "refresh_token"), (LOGIN, "grant_type"), (LOGIN, "refresh_token")]
)
def test_no_extra_parameter_is_sent_as_a_grant(base: dict[str, Any], name: str) -> None:
    assert f"must not hold `{name}`" in refusal(base, extra_parameters={name: "invented-value"})


@pytest.mark.parametrize("value", [{"a": 1}, [1], [["a"]], [{"a": "b"}]])
def test_only_json_holds_what_no_form_can(value: object) -> None:
    assert "must be text, a number, true or false" in refusal(grant_parameters={"given": value})
    parse(grant_parameters={"given": value}, dialect={"request_format": "json"})
