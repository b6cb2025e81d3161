"""A token request as it is sent: RFC 6749's form, a dialect's, and a client that proves itself."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.client_authentication import (
    Client,
    Grant,
    authentication,
    host_of,
    instead_of,
    refresh_grant,
)
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.errors import TokenEndpointError
from token_refresher.oauth.token_request import (
    TokenRequest,
    revocation_request,
    token_request,
    verify_request,
)

if TYPE_CHECKING:
    from token_refresher.oauth.client_authentication import AuthMethod

MACHINE: Final = Grant({"grant_type": "client_credentials"})


def client(**fields: Any) -> Client:  # noqa: ANN401
    values = {
        "token_endpoint": "https://login.example.com/token",
        "client_id": "id",
        "client_secret": "secret",
        "auth_method": "client_secret_post",
        "user_agent": "made-up/1",
    }
    return Client(**values | fields)


def body(request: TokenRequest) -> str:
    assert request.body is not None
    return request.body.decode("ascii")


# The form of RFC 6749.


def test_a_request_is_a_form_that_is_posted() -> None:
    request = token_request(client(scope="read write"), MACHINE)
    assert (request.method, request.url) == ("POST", "https://login.example.com/token")
    assert request.headers == {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "made-up/1",
    }
    assert body(request) == (
        "grant_type=client_credentials&client_id=id&client_secret=secret&scope=read+write"
    )


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param("a b&c=d", "a+b%26c%3Dd", id="what a form would take apart"),
        pytest.param("\u017c", "%C5%BC", id="UTF-8"),
        pytest.param("", "", id="nothing"),
        pytest.param("true", "true", id="a text"),
        pytest.param(True, "true", id="true, in JSON's word"),
        pytest.param(False, "false", id="false, likewise"),
        pytest.param(5, "5", id="a number"),
        pytest.param(0.5, "0.5", id="a fraction"),
    ],
)
def test_a_parameter_is_written_as_a_form_has_it(value: object, sent: str) -> None:
    for of, grant in (
        (client(extra_parameters={"p": value}), MACHINE),
        (client(), Grant({"p": value})),
    ):
        assert f"p={sent}" in body(token_request(of, grant)).split("&")


def test_a_list_is_a_parameter_that_is_repeated() -> None:
    request = token_request(client(extra_parameters={"resource": ["a b", "c"]}), MACHINE)
    assert body(request).startswith("resource=a+b&resource=c&")


def test_a_grants_parameter_goes_before_one_that_is_sent_with_every_request() -> None:
    request = token_request(client(extra_parameters={"audience": "a"}), Grant({"audience": "b"}))
    assert body(request).startswith("audience=b&")


# Dialects.


def test_in_json_a_parameter_stays_what_it_is() -> None:
    grant = Grant(
        {"n": 1, "yes": True, "none": None, "list": ["a", {"b": 0.5}], "\u017c": "\u017c"}
    )
    request = token_request(client(dialect=Dialect(request_format="json")), grant)
    assert json.loads(body(request)) == {
        **grant.parameters,
        "client_id": "id",
        "client_secret": "secret",
    }
    assert request.headers["Content-Type"] == "application/json"
    assert request.method == "POST"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://a.example/t", "https://a.example/t?x=y+z&client_id=id&client_secret=secret"),
        ("https://a.example/?v", "https://a.example/?v&x=y+z&client_id=id&client_secret=secret"),
    ],
    ids=["without a query", "behind a query"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_in_the_query_everything_stands_in_the_address(
    endpoint: str, url: str, method: str
) -> None:
    dialect = Dialect(request_method=method, request_format="query")  # type: ignore[arg-type]
    request = token_request(client(token_endpoint=endpoint, dialect=dialect), Grant({"x": "y z"}))
    assert (request.method, request.url, request.body) == (method, url, None)
    assert "Content-Type" not in request.headers


def test_a_form_may_be_put() -> None:
    request = token_request(client(dialect=Dialect(request_method="PUT")), MACHINE)
    assert request.method == "PUT"
    assert body(request).startswith("grant_type=")


def test_a_refresh_token_goes_to_its_own_address_where_there_is_one() -> None:
    of = client(refresh_endpoint="https://login.example.com/refresh")
    assert token_request(of, refresh_grant("r")).url == "https://login.example.com/refresh"
    assert token_request(of, MACHINE).url == of.token_endpoint
    assert token_request(client(), refresh_grant("r")).url == of.token_endpoint
    assert body(token_request(of, refresh_grant("r"))).startswith(
        "grant_type=refresh_token&refresh_token=r&"
    )


# Templates.


def test_a_template_is_filled_wherever_it_stands() -> None:
    grant = Grant(
        {"a": "{assertion}", "b": {"c": ["x{refresh_token}y", 1]}, "{assertion}": None}, "r"
    )
    of = client(
        assertion="s",
        dialect=Dialect(request_format="json"),
        request_headers={"Authorization": "Bearer {assertion}", "X-Key": "{refresh_token}"},
    )
    request = token_request(of, grant)
    told = json.loads(body(request))
    assert (told["a"], told["b"], told["{assertion}"]) == ("s", {"c": ["xry", 1]}, None)
    assert request.headers["Authorization"] == "Bearer s"
    assert request.headers["X-Key"] == "r"


def test_a_template_is_filled_once() -> None:
    grant = Grant({"a": "{assertion}{refresh_token}"}, "{assertion}")
    request = token_request(client(assertion="{refresh_token}"), grant)
    assert body(request).startswith("a=%7Brefresh_token%7D%7Bassertion%7D&")


@pytest.mark.parametrize(
    "text",
    ["{client_secret}", "{}", "{0}", "{assertion.x}", "{assertion!r}", "{{x}}", "{ assertion}"],
)
def test_nothing_else_in_braces_is_a_variable(text: str) -> None:
    of = client(assertion="s", request_headers={"X-Key": text})
    assert token_request(of, MACHINE).headers["X-Key"] == text


def test_a_variable_without_a_value_stays() -> None:
    request = token_request(client(request_headers={"X-Key": "{refresh_token}"}), MACHINE)
    assert request.headers["X-Key"] == "{refresh_token}"


def test_no_parameter_that_is_sent_with_every_request_is_a_template() -> None:
    of = client(extra_parameters={"a": "{refresh_token}"})
    assert body(token_request(of, refresh_grant("r"))).startswith("a=%7Brefresh_token%7D&")


@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a\r\n Content-Length: 5", "a\nb", "\u0105", "\x00"]
)
def test_what_a_header_cannot_hold_is_not_sent(value: str) -> None:
    of = client(request_headers={"X-Key": "{refresh_token}"})
    with pytest.raises(TokenEndpointError, match="is not printable ASCII") as caught:
        token_request(of, refresh_grant(value))
    assert (caught.value.code, caught.value.sent) == ("unsendable_header", False)
    assert value not in f"{caught.value} {caught.value!r}"


# Headers.


@pytest.mark.parametrize("name", ["Accept", "accept", "ACCEPT"])
def test_a_given_header_stands_instead_of_the_programs_own(name: str) -> None:
    request = token_request(client(request_headers={name: "text/x", "X-Tenant": "t"}), MACHINE)
    told = {key: value for key, value in request.headers.items() if key.lower() == "accept"}
    assert told == {name: "text/x"}
    assert request.headers["X-Tenant"] == "t"


def test_headers_are_the_same_in_any_case() -> None:
    assert instead_of({"A": "1", "b": "2"}, {"a": "3", "C": "4"}) == {"b": "2", "a": "3", "C": "4"}
    assert instead_of({"A": "1"}, {}) == {"A": "1"}


# The client.


@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        pytest.param("id", "secret", "id:secret", id="plain"),
        pytest.param("a:b", "c d+e%f", "a%3Ab:c+d%2Be%25f", id="what the pair would take apart"),
        pytest.param("\u017c", "\u017c", "%C5%BC:%C5%BC", id="beyond ASCII"),
        pytest.param("id", "", "id:", id="an empty secret"),
        pytest.param(None, "secret", ":secret", id="a server that knows no id"),
    ],
)
def test_basic_sends_the_pair_form_encoded(client_id: str | None, secret: str, pair: str) -> None:
    of = client(client_id=client_id, client_secret=secret, auth_method="client_secret_basic")
    request = token_request(of, MACHINE)
    encoded = base64.b64encode(pair.encode()).decode()
    assert request.headers["Authorization"] == f"Basic {encoded}"
    assert body(request) == "grant_type=client_credentials"


@pytest.mark.parametrize(
    ("method", "client_id", "secret", "fields"),
    [
        pytest.param("client_secret_post", "id", "s", {"client_id": "id", "client_secret": "s"},
                     id="in the body"),
        pytest.param("client_secret_post", "id", "", {"client_id": "id", "client_secret": ""},
                     id="an empty secret in the body"),
        pytest.param("client_secret_post", None, "s", {"client_secret": "s"},
                     id="without an id"),
        pytest.param("none", "id", None, {"client_id": "id"}, id="a public client"),
        pytest.param("none", None, None, {}, id="no client"),
    ],
)  # fmt: skip
def test_a_client_is_named_in_the_body_or_nowhere(
    method: AuthMethod, client_id: str | None, secret: str | None, fields: dict[str, str]
) -> None:
    of = client(client_id=client_id, client_secret=secret, auth_method=method)
    assert authentication(of) == (fields, {})


def test_no_parameter_takes_the_place_of_the_client() -> None:
    grant = Grant({"client_secret": "other", "scope": "all"})
    assert body(token_request(client(scope="read"), grant)) == (
        "client_secret=secret&scope=read&client_id=id"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example/t", "a.example"),
        ("https://A.Example:443/t", "a.example"),
        ("https://a.example:8443/t", "a.example:8443"),
        ("x:", ""),
    ],
)
def test_a_host_has_its_port_where_that_is_another(url: str, host: str) -> None:
    assert host_of(url) == client(token_endpoint=url).host == host


def test_a_request_and_a_client_show_nothing_of_what_they_hold() -> None:
    of = client(client_id="invented", client_secret="invented", assertion="invented")
    grant = refresh_grant("invented")
    request = token_request(of, grant)
    assert "invented" not in f"{of!r} {grant!r} {request!r} {request}"


# The request to `verify_url`.


@pytest.mark.parametrize(
    ("dialect", "authorization"),
    [(Dialect(), "Bearer t"), (Dialect(authorization_scheme="Zoho"), "Zoho t")],
    ids=["a bearer token", "a scheme of the server's"],
)
def test_a_token_is_tried_as_consumers_would_use_it(dialect: Dialect, authorization: str) -> None:
    assert verify_request(client(dialect=dialect), "t") == {
        "Accept": "application/json",
        "Authorization": authorization,
        "User-Agent": "made-up/1",
    }


# The end of a token.


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
def test_a_token_is_revoked_by_a_form_that_authenticates_as_a_token_request_does(hint: str) -> None:
    of = client(scope="read", extra_parameters={"audience": "a"}, request_headers={"X-App": "b"})
    request = revocation_request(of, "made-up/token", hint=hint)
    assert (request.method, request.url) == ("POST", "https://login.example.com/token")
    assert body(request) == (
        f"token=made-up%2Ftoken&token_type_hint={hint}&client_id=id&client_secret=secret"
    )
    assert request.headers == {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "made-up/1",
        "X-App": "b",
    }


def test_an_access_token_is_not_put_where_a_refresh_token_is_meant() -> None:
    of = client(request_headers={"X-Key": "{refresh_token}"})
    headers = {
        hint: revocation_request(of, "made-up", hint=hint).headers["X-Key"]
        for hint in ("access_token", "refresh_token")
    }
    assert headers == {"access_token": "{refresh_token}", "refresh_token": "made-up"}


def test_an_assertion_that_was_not_made_yet_is_nothing_that_can_be_sent() -> None:
    unsigned = Client(
        token_endpoint="https://id.example/token",
        client_id="invented-client",
        client_secret=None,
        auth_method="private_key_jwt",
        user_agent="invented/1",
        assertion=Assertion(),
    )
    with pytest.raises(TypeError):
        token_request(unsigned, Grant({"grant_type": "client_credentials"}))
