"""Every response of a token endpoint means one thing, and none of its text gets out."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import bearer_token, lifetime, read_token_response

if TYPE_CHECKING:
    from token_refresher.oauth.token_response import TokenResponse

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
HTML: Final = b"<html>blocked</html>"
JSON: Final = b'{"code":1234,"message":"client disabled"}'
TEXT: Final = b"Bad credentials"
HOUR: Final = timedelta(hours=1)


def client(**changed: object) -> Client:
    fields: dict[str, Any] = {
        "token_endpoint": "https://id.example/token",
        "client_id": "invented-id",
        "client_secret": "invented-secret",
        "auth_method": "client_secret_basic",
        "user_agent": "invented/1",
    }
    return Client(**(fields | changed))


def speaking(**dialect: object) -> Client:
    return client(dialect=msgspec.convert(dialect, Dialect))


CLIENT: Final = client()


def read(
    status: int,
    body: bytes,
    retry_after: str | None = None,
    content_type: str | None = None,
    of: Client = CLIENT,
) -> TokenResponse:
    return read_token_response(
        status, body, client=of, retry_after=retry_after, content_type=content_type, now=NOW
    )


def refused(
    status: int, body: bytes, content_type: str | None = None, of: Client = CLIENT
) -> OAuthError:
    with pytest.raises(OAuthError) as refusal:
        read(status, body, content_type=content_type, of=of)
    return refusal.value


def read_json(content: object, of: Client = CLIENT) -> TokenResponse:
    return read(200, json.dumps(content).encode(), of=of)


def response(**changed: object) -> TokenResponse:
    fields = {"access_token": "t", "token_type": "bearer", "expires_in": 43200}
    return read_json(fields | changed)


def facts(error: OAuthError) -> set[str]:
    every = {"is_lost_connection", "is_response_lost", "is_page", "is_refusal"}
    return {fact for fact in every if getattr(error, fact)}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        pytest.param(401, JSON, "status_401", id="JSON that is no OAuth error"),
        pytest.param(401, TEXT, "status_401", id="401 with a text"),
        pytest.param(401, b"", "status_401", id="401 with nothing"),
        pytest.param(401, HTML, "status_401", id="401 with a page"),
        pytest.param(403, JSON, "status_403", id="403 with JSON"),
        pytest.param(403, TEXT, "status_403", id="403 with a text"),
        pytest.param(403, b"", "status_403", id="403 with nothing"),
        pytest.param(403, b" \r\n", "status_403", id="403 with blanks"),
        pytest.param(400, b"[]", "status_400", id="a list"),
        pytest.param(400, b'{"error":{"type":"x"}}', "status_400", id="an error that is no text"),
        pytest.param(400, b'{"error":""}', "status_400", id="an error that is empty"),
        pytest.param(410, TEXT, "status_410", id="410 with a text"),
        pytest.param(415, JSON, "status_415", id="415 with JSON"),
        pytest.param(415, HTML, "status_415", id="415 with a page"),
        pytest.param(422, JSON, "status_422", id="422 with JSON"),
        pytest.param(401, b'{"error":"server_error","error_description":"access_denied"}',
                     "status_401", id="401 in words that say later"),
        pytest.param(400, b'{"error":"made_up"}', "unrecognised", id="a code of its own"),
        pytest.param(401, b'{"error":"token_expired"}', "unrecognised", id="likewise with 401"),
        pytest.param(400, b'{"error":"invalid_grant","error_human_title":"warto\xc5\x9b\xc4\x87"}',
                     "invalid_grant", id="a wrong password"),
        pytest.param(401, b'{"error":"invalid_client"}', "invalid_client", id="a wrong client"),
        pytest.param(200, b'{"error":"bad_verification_code"}', "unrecognised",
                     id="an error that calls itself a success"),
        pytest.param(200, b'{"error":{"type":"x"},"access_token":"t"}', "unrecognised",
                     id="an error that is an object, with a token beside it"),
        pytest.param(200, b'{"error":"invalid_grant"}', "invalid_grant",
                     id="a known error that calls itself a success"),
    ],
)  # fmt: skip
def test_what_the_endpoint_itself_refuses_is_a_refusal_in_whatever_form(
    status: int, body: bytes, code: str
) -> None:
    error = refused(status, body)
    assert type(error) is TokenRequestError
    assert (error.code, error.status) == (code, status)
    assert facts(error) == {"is_refusal"}
    assert str(status) in str(error)
    assert "warto" not in str(error)
    assert "made_up" not in str(error)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 406, 409, 410, 411, 415, 418, 422, 451])
def test_every_4xx_that_is_not_excepted_is_a_refusal(status: int) -> None:
    assert all(refused(status, body).is_refusal for body in (JSON, TEXT, b""))


@pytest.mark.parametrize(
    ("status", "body", "code", "kind"),
    [
        pytest.param(308, b"{}", "redirect", TokenEndpointError, id="a redirect, permanent or not"),
        pytest.param(404, JSON, "status_404", TokenEndpointError, id="404 with JSON"),
        pytest.param(404, b'{"error":"Not Found"}', "status_404", TokenEndpointError,
                     id="404 with a framework's error"),
        pytest.param(404, HTML, "status_404", TokenEndpointError, id="404 with a page"),
        pytest.param(405, b"", "status_405", TokenEndpointError, id="405 with nothing"),
        pytest.param(405, JSON, "status_405", TokenEndpointError, id="405 with JSON"),
        pytest.param(404, b'{"error":"invalid_client"}', "invalid_client", TokenRequestError,
                     id="404 with an error of RFC 6749"),
        pytest.param(408, b"", "status_408", EndpointUnavailableError, id="a request timeout"),
        pytest.param(425, TEXT, "status_425", EndpointUnavailableError, id="too early"),
        pytest.param(429, b'{"error":"slow_down"}', "status_429", EndpointUnavailableError,
                     id="too many requests"),
        pytest.param(400, b'{"error":"slow_down"}', "slow_down", TokenRequestError,
                     id="a code that says later"),
        pytest.param(400, b'{"error":"temporarily_unavailable"}', "temporarily_unavailable",
                     TokenRequestError, id="another one"),
        pytest.param(200, b'{"error":"server_error"}', "server_error", TokenRequestError,
                     id="a third, as a success"),
        pytest.param(400, HTML, "page_400", EndpointUnavailableError, id="a page with 400"),
        pytest.param(410, HTML, "status_410", TokenEndpointError, id="a page with 410"),
        pytest.param(501, b"", "status_501", EndpointUnavailableError, id="an odd server error"),
        pytest.param(503, b'{"error":"temporarily_unavailable"}', "status_503",
                     EndpointUnavailableError, id="503 in the words of RFC 6749"),
        pytest.param(503, b'{"error":"invalid_grant"}', "status_503",
                     EndpointUnavailableError, id="503 in words that mean no outage"),
    ],
)  # fmt: skip
def test_what_is_no_refusal_and_no_lost_response_is_neither(
    status: int, body: bytes, code: str, kind: type[OAuthError]
) -> None:
    error = refused(status, body)
    assert (type(error), error.code, error.status) == (kind, code, status)
    assert facts(error) == set()
    assert str(status) in str(error)


def test_a_text_that_calls_itself_html_is_a_refusal_but_for_a_blocks() -> None:
    text = b"Oauth error invalid_request: MARK"
    assert facts(refused(400, text, "text/html; charset=utf-8")) == {"is_refusal"}
    assert facts(refused(410, text, "text/html")) == {"is_refusal"}
    assert refused(403, text, "text/html").is_page


def test_a_refusal_says_what_to_do_whatever_its_word_is() -> None:
    assert str(refused(400, b'{"error":"inactive_user"}')).endswith(": check the credentials")
    assert "dialect.request_format" in str(refused(415, HTML, "text/html"))


@pytest.mark.parametrize(
    "body",
    [b"", HTML, TEXT, JSON, b'{"error":"Service Unavailable"}', b'{"error":503}'],
    ids=["nothing", "page", "text", "JSON", "a gateway's error", "a number"],
)
def test_a_gateways_error_may_hide_a_token_that_was_issued(body: bytes) -> None:
    for status in (500, 502, 503, 504):
        error = refused(status, body)
        assert (error.code, error.status) == (f"status_{status}", status)
        assert facts(error) == {"is_response_lost"}


@pytest.mark.parametrize(
    ("status", "body", "content_type", "is_page"),
    [
        pytest.param(403, HTML, None, True, id="403 that begins with a tag"),
        pytest.param(403, b"\xef\xbb\xbf \n\t<!doctype html>", None, True, id="after blanks"),
        pytest.param(403, b"blocked", "Text/HTML; charset=utf-8", True, id="that calls itself one"),
        pytest.param(403, b"", "text/html", False, id="but nothing is no page"),
        pytest.param(403, JSON, "text/html", False, id="nor is JSON under a wrong name"),
        pytest.param(403, TEXT, "text/plain", False, id="nor a text"),
        pytest.param(401, HTML, "text/html", False, id="nor a page that refuses with 401"),
        pytest.param(400, HTML, "text/html", False, id="nor an error page with 400"),
        pytest.param(503, HTML, "text/html", False, id="nor that of an outage"),
        pytest.param(200, HTML, "text/html", True, id="a page instead of a response"),
        pytest.param(200, TEXT, "text/plain", True, id="a text instead of a response"),
        pytest.param(204, b"", None, True, id="nothing instead of a response"),
        pytest.param(200, b"[" * 30000, None, True, id="nesting without end"),
    ],
)
def test_a_page_is_told_from_a_refusal(
    status: int, body: bytes, content_type: str | None, *, is_page: bool
) -> None:
    error = refused(status, body, content_type)
    assert error.is_page is is_page
    assert (error.code == "firewall") is is_page
    assert error.status == status
    assert not is_page or facts(error) == {"is_page"}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("a b", "a b"), (["a", "b"], "a b"), ([], None), (None, None), (5, None)],
)
def test_scope_is_one_string(scope: object, expected: str | None) -> None:
    assert response(scope=scope).scope == expected


@pytest.mark.parametrize("field", ["refresh_token_expires_in", "refresh_expires_in"])
def test_the_refresh_tokens_own_life_is_read(field: str) -> None:
    assert response(**{field: "60"}).refresh_token_expires_in == timedelta(minutes=1)


@pytest.mark.parametrize("value", [None, "", 5, "\ud800"])
def test_a_refresh_token_that_cannot_be_written_down_is_none(value: object) -> None:
    assert response(refresh_token=value).refresh_token is None


@given(status=st.integers(200, 599), body=st.binary(max_size=64) | st.text().map(str.encode))
def test_no_answer_raises_anything_but_our_errors(status: int, body: bytes) -> None:
    with contextlib.suppress(OAuthError):
        read(status, body)


@given(st.dictionaries(st.text(max_size=20), st.text() | st.integers() | st.none() | st.floats()))
def test_no_object_raises_anything_but_our_errors(fields: dict[str, object]) -> None:
    with contextlib.suppress(OAuthError):
        response(**fields)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(302, b'{"error":"invalid_grant"}', TokenEndpointError,
                     id="a redirect precedes whatever came with it"),
        pytest.param(429, HTML, EndpointUnavailableError, id="a status that says later precedes"
                     " a page"),
        pytest.param(599, b'{"access_token":"t"}', EndpointUnavailableError,
                     id="a server's error precedes a token"),
        pytest.param(404, b'{"error":"invalid_client"}', TokenRequestError,
                     id="an error code precedes a status that names no endpoint"),
        pytest.param(403, b'{"error":"invalid_client"}', TokenRequestError,
                     id="JSON with 403 is no firewall"),
        pytest.param(200, b'{"error":{"type":"x"},"access_token":"t"}', TokenRequestError,
                     id="an error precedes a token beside it"),
        pytest.param(204, b"", EndpointUnavailableError, id="a success without a body is a page"),
        pytest.param(200, b"null", TokenResponseError, id="null is no response"),
        pytest.param(200, b'"t"', TokenResponseError, id="a bare token is no response"),
    ],
)  # fmt: skip
def test_the_classes_have_an_order(status: int, body: bytes, expected: type[OAuthError]) -> None:
    with pytest.raises(expected) as refusal:
        read(status, body)
    assert type(refusal.value) is expected


@pytest.mark.parametrize("error", [None, "", False, {}])
def test_an_error_that_says_nothing_does_not_spoil_a_token(error: object) -> None:
    assert response(error=error).access_token == "t"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, b'{"error":"slow_down"}', id="an error response"),
        pytest.param(429, b"", id="too many requests"),
        pytest.param(503, HTML, id="an outage"),
        pytest.param(403, HTML, id="a firewall's page"),
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("120", id="seconds"),
        pytest.param("Tue, 24 Nov 2026 01:02:00 GMT", id="a date"),
    ],
)
def test_whatever_fails_says_how_long_to_wait(status: int, body: bytes, header: str) -> None:
    with pytest.raises(OAuthError) as refusal:
        read(status, body, header)
    assert refusal.value.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_an_answer_is_read_in_any_encoding_of_json(encoding: str) -> None:
    assert read(200, '{"access_token":"t"}'.encode(encoding)).access_token == "t"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"access_token":"\xed\xa0\x80"}', id="as bytes"),
        pytest.param(b'{"access_token":"\\ud800"}', id="escaped"),
    ],
)
def test_half_a_character_is_no_token(body: bytes) -> None:
    assert read(200, body).access_token is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 32_000, id="opened only"),
        pytest.param(b"[" * 16_000 + b"]" * 16_000, id="lists in lists"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"x", id="objects in objects"),
    ],
)
def test_no_depth_breaks_the_reading(body: bytes) -> None:
    with pytest.raises(OAuthError):
        read(200, body)


def test_a_number_without_end_is_not_believed_and_spoils_nothing_else() -> None:
    body = b'{"access_token":"t","token_type":"bearer","expires_in":' + b"9" * 5000 + b"}"
    response = read(200, body)
    assert (response.access_token, response.expires_in) == ("t", None)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        pytest.param(b"NaN", None, id="NaN"),
        pytest.param(b"Infinity", None, id="infinity"),
        pytest.param(b"1e999", None, id="a power without end"),
        pytest.param(b"0.9", 0, id="less than a second has expired"),
        pytest.param(b"-0.5", 0, id="a negative fraction has expired"),
        pytest.param(b'""', None, id="an empty string"),
        pytest.param(b'"12 h"', None, id="a unit"),
        pytest.param(b"false", None, id="false"),
        pytest.param(b"{}", None, id="an object"),
        pytest.param(b"43200000", None, id="milliseconds"),
    ],
)
def test_a_lifetime_on_the_wire_is_believed_or_absent(written: bytes, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert read(200, b'{"expires_in":' + written + b"}").expires_in == expected


def jwt(payload: object) -> str:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return f"e30.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.c2lnbmVk"


def at(left: timedelta) -> float:
    return (NOW + left).timestamp()


@pytest.mark.parametrize(
    ("expires_in", "assumed", "access_token", "expected"),
    [
        pytest.param(3600, None, "t", HOUR, id="what the response says"),
        pytest.param(None, 1800, "t", HOUR / 2, id="what is assumed, where it says nothing"),
        pytest.param(1800000, 1800, "t", HOUR / 2, id="milliseconds against what is assumed"),
        pytest.param(600, 1800, "t", HOUR / 6, id="a response that says less than is assumed"),
        pytest.param(10**12, 60, "t", HOUR / 60, id="a number that is not believed"),
        pytest.param(0, 1800, "t", HOUR / 2, id="zero, where a life is assumed"),
        pytest.param(-5, 1800, "t", HOUR / 2, id="less than zero likewise"),
        pytest.param(0, None, "t", 0 * HOUR, id="zero, where nobody knows better"),
        pytest.param(43200, None, jwt({"exp": at(HOUR)}), HOUR, id="a JWT that ends before"),
        pytest.param(1800, None, jwt({"exp": at(HOUR)}), HOUR / 2, id="a JWT that ends after"),
        pytest.param(0, 1800, jwt({"exp": at(HOUR / 3)}), HOUR / 3, id="a JWT beside a zero"),
        pytest.param(None, None, jwt({"exp": at(HOUR)}), HOUR, id="a JWT that alone says so"),
        pytest.param(43200, 3600, jwt({"exp": at(-HOUR)}), 0 * HOUR, id="a JWT that has ended"),
        pytest.param(3600, None, jwt({"exp": at(HOUR / 2) + 0.9}), HOUR / 2, id="a fraction"),
        pytest.param(3600, None, jwt(b'{"exp":1e999}'), HOUR, id="a JWT without end"),
        pytest.param(3600, None, jwt(b'{"exp":-1e999}'), HOUR, id="before all time"),
        pytest.param(3600, None, jwt(b'{"exp":NaN}'), HOUR, id="not a number"),
        pytest.param(3600, None, jwt(b'{"exp":' + b"9" * 5000 + b"}"), HOUR, id="any digits"),
        pytest.param(3600, None, jwt({"exp": at(HOUR / 2) * 1000}), HOUR, id="in milliseconds"),
        pytest.param(3600, None, jwt({"exp": "1"}), HOUR, id="a text"),
        pytest.param(3600, None, jwt({"exp": True}), HOUR, id="true"),
        pytest.param(3600, None, jwt({"exp": None}), HOUR, id="null"),
        pytest.param(3600, None, jwt({}), HOUR, id="no exp"),
        pytest.param(3600, None, jwt([1]), HOUR, id="a list"),
        pytest.param(3600, None, jwt(b"\xff\xfe"), HOUR, id="no text"),
        pytest.param(3600, None, jwt(b"[" * 9000), HOUR, id="nesting without end"),
        pytest.param(3600, None, "a.b.c", HOUR, id="no base64"),
        pytest.param(3600, None, "a.\u0142\u0142\u0142\u0142.c", HOUR, id="not even ASCII"),
        pytest.param(3600, None, "ya29.a0.b.c.d", HOUR, id="five parts"),
        pytest.param(3600, None, f"x{jwt({'exp': 1})}.d", HOUR, id="a JWT with a part too many"),
        pytest.param(3600, None, None, HOUR, id="no token at all"),
    ],
)
def test_a_token_lives_as_long_as_whoever_says_the_least(
    expires_in: int | None, assumed: int | None, access_token: str | None, expected: timedelta
) -> None:
    told = response(expires_in=expires_in, access_token=access_token)
    assert lifetime(told, issued_at=NOW, client=client(assumed_expires_in=assumed)) == expected


@pytest.mark.parametrize("access_token", ["t", jwt({"sub": "x"}), jwt({"exp": 1e15})])
def test_where_nobody_says_how_long_a_token_lives_that_is_an_error(access_token: str) -> None:
    told = response(expires_in=None, access_token=access_token)
    with pytest.raises(MissingExpiryError):
        lifetime(told, issued_at=NOW, client=CLIENT)


@given(st.text(max_size=40) | st.binary(max_size=60).map(jwt))
def test_no_token_breaks_the_reading_of_its_life(access_token: str) -> None:
    told = response(access_token=access_token)
    life = lifetime(told, issued_at=NOW, client=CLIENT)
    assert timedelta(0) <= life <= timedelta(hours=12)


def test_a_refresh_tokens_life_is_found_beside_a_null() -> None:
    told = response(refresh_token_expires_in=None, refresh_expires_in=60)
    assert told.refresh_token_expires_in == timedelta(minutes=1)


def test_a_refresh_tokens_life_of_zero_means_that_it_does_not_expire() -> None:
    # Keycloak answers so for offline tokens.
    assert response(refresh_expires_in=0).refresh_token_expires_in is None


# Whatever the reading looks at by name.
NAMES: Final = st.sampled_from(
    [
        "access_token", "token_type", "expires_in", "refresh_token", "scope", "error", "errors",
        "Error_Code", "errcode", "fault", "code", "status", "statusCode", "message", "detail",
        "type", "name", "reason", "ok", "success", "data", "refresh_expires_in",
        "error_description",
    ]
)  # fmt: skip
JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
CLIENTS: Final = st.sampled_from(
    [
        CLIENT,
        client(client_secret="invented:secret", assumed_expires_in=60),
        client(auth_method="none", client_id=None, client_secret=None),
        speaking(
            access_token="data.access_token", refresh_token="0.code", expires_in="message",
            expires_at="expires_in", error="errors.code", scope="data", authorization_scheme="ID",
            refresh_token_expires_in="status", expires_in_unit="milliseconds",
        ),
    ]
)  # fmt: skip


@given(status=st.integers(200, 599), content=JSON_VALUES, of=CLIENTS)
def test_no_json_raises_anything_but_our_errors(status: int, content: object, of: Client) -> None:
    with contextlib.suppress(OAuthError):
        told = read(status, json.dumps(content).encode(), of=of)
        assert lifetime(told, issued_at=NOW, client=of) >= timedelta(0)
        assert bearer_token(told.access_token, told.token_type, dialect=of.dialect).isascii()


@given(
    status=st.integers(200, 599),
    mark=st.text(max_size=8).map(lambda text: f"MARK-{text}"),
    names=st.lists(NAMES, min_size=1, max_size=4),
    of=CLIENTS,
)
def test_no_text_of_the_wire_is_in_an_error(
    status: int, mark: str, names: list[str], of: Client
) -> None:
    content: object = mark
    for name in names:
        content = {name: content, "access_token": mark, "token_type": mark}
    texts = [json.dumps(content), json.dumps([content]), json.dumps(mark), mark]
    texts.append(urlencode(dict.fromkeys(names, mark)))
    for text in texts:
        shown = ""
        try:
            told = read(status, text.encode(), of=of)
            bearer_token(told.access_token, told.token_type, dialect=of.dialect)
            lifetime(told, issued_at=NOW, client=of)
        except OAuthError as refusal:
            shown = f"{refusal} {refusal!r} {refusal.code} {vars(refusal)}"
        assert "MARK-" not in shown


@pytest.mark.parametrize(
    ("access_token", "is_one"),
    [
        pytest.param("00Dx0000000!AQEAQ.invented", True, id="Salesforce's"),
        pytest.param("Atza|IQEBinvented", True, id="Amazon's"),
        pytest.param("v^1.1#i^1#r^0#p^3#I^3#f^0#t^invented==", True, id="eBay's"),
        pytest.param("!#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~", True, id="every kind of character"),
        pytest.param("t" * 100_000, True, id="of any length"),
        pytest.param("a b", False, id="a blank"),
        pytest.param("a\n", False, id="a line feed at its end"),
        pytest.param("a\r\nb: c", False, id="another header"),
        pytest.param("a\tb", False, id="a tabulator"),
        pytest.param("a\x00", False, id="NUL"),
        pytest.param("a\x7f", False, id="DEL"),
        pytest.param('a"b', False, id="a quotation mark"),
        pytest.param("a\\b", False, id="a backslash"),
        pytest.param("ż", False, id="a letter outside ASCII"),
        pytest.param("", False, id="nothing"),
        pytest.param(None, False, id="none"),
    ],
)
def test_an_access_token_is_what_a_header_can_hold(
    access_token: str | None, *, is_one: bool
) -> None:
    if is_one:
        assert bearer_token(access_token, "Bearer", dialect=RFC_6749) == access_token
    else:
        with pytest.raises(TokenResponseError, match="access_token") as refusal:
            bearer_token(access_token, "Bearer", dialect=RFC_6749)
        assert refusal.value.code == "invalid_response"


def test_a_token_in_another_place_is_found_by_the_field_that_the_error_names() -> None:
    told = read_json({"token": "t"})
    with pytest.raises(TokenResponseError, match=r"set dialect\.access_token"):
        bearer_token(told.access_token, told.token_type, dialect=RFC_6749)
    assert read_json({"token": "t"}, speaking(access_token="token")).access_token == "t"


@pytest.mark.parametrize("token_type", [None, "", " ", "bearer", "Bearer", "BEARER", " bearer "])
@pytest.mark.parametrize("scheme", [None, "ID"])
def test_a_token_is_a_bearer_token_unless_it_says_otherwise(
    token_type: str | None, scheme: str | None
) -> None:
    dialect = Dialect(authorization_scheme=scheme)
    assert bearer_token("t", token_type, dialect=dialect) == "t"


@pytest.mark.parametrize(
    "token_type",
    [
        pytest.param("Application Access Token", id="eBay's"),
        pytest.param("User Access Token", id="eBay's other"),
        pytest.param("BearerToken", id="Apigee's"),
        pytest.param("bot", id="Slack's"),
        pytest.param("N_A", id="RFC 8693's"),
    ],
)
def test_another_type_is_taken_where_the_dialect_names_the_scheme(token_type: str) -> None:
    with pytest.raises(TokenResponseError, match=r"set dialect\.authorization_scheme"):
        bearer_token("t", token_type, dialect=RFC_6749)
    dialect = Dialect(authorization_scheme="Bearer")
    assert bearer_token("t", token_type, dialect=dialect) == "t"


@pytest.mark.parametrize("token_type", ["dpop", "DPoP", "mac", "MAC", "pop", "PoP", " dpop\n"])
def test_a_token_that_is_bound_to_a_key_is_refused_whatever_the_dialect_says(
    token_type: str,
) -> None:
    for scheme in (None, "Bearer", "ID"):
        with pytest.raises(TokenResponseError, match="bound to a key"):
            bearer_token("t", token_type, dialect=Dialect(authorization_scheme=scheme))


@pytest.mark.parametrize(
    ("value", "is_absent"),
    [(None, True), ("", True), (False, True), (5, False), ({"type": "dpop"}, False),
     ("\ud800", False)],
)  # fmt: skip
def test_a_type_that_is_no_text_is_not_taken_for_bearer(value: object, *, is_absent: bool) -> None:
    token_type = response(token_type=value).token_type
    assert (token_type is None) is is_absent
    if not is_absent:
        with pytest.raises(TokenResponseError, match="token_type"):
            bearer_token("t", token_type, dialect=RFC_6749)


@pytest.mark.parametrize(
    ("dialect", "content"),
    [
        pytest.param({"access_token": "data.access_token"},
                     {"data": {"access_token": "t", "token_type": "bot"}}, id="in an object"),
        pytest.param({"access_token": "0.token"}, [{"token": "t", "token_type": "bot"}],
                     id="in a list at the top"),
        pytest.param({"access_token": "data.items.1.token.value"},
                     {"data": {"items": [{}, {"token": {"value": "t"}}]}, "token_type": "bot"},
                     id="deep, with its type at the top"),
        pytest.param({"access_token": "authed_user.access_token"},
                     {"ok": True, "access_token": "b", "token_type": "mac",
                      "authed_user": {"access_token": "t", "token_type": "bot"}},
                     id="beside another token"),
    ],
)  # fmt: skip
def test_a_path_leads_into_the_response_and_its_type_stands_beside_it(
    dialect: dict[str, str], content: object
) -> None:
    told = read_json(content, speaking(**dialect))
    assert (told.access_token, told.token_type) == ("t", "bot")
    assert told.content == content


def test_every_path_of_a_dialect_is_followed() -> None:
    of = speaking(
        access_token="data.token", refresh_token="data.renew", expires_in="data.lives",
        expires_in_unit="milliseconds", expires_at="data.until", scope="data.rights",
        refresh_token_expires_in="data.renew_lives",
    )  # fmt: skip
    told = read_json(
        {
            "access_token": "not this", "refresh_token": "not this", "expires_in": 1, "scope": "no",
            "refresh_token_expires_in": 1,
            "data": {
                "token": "t", "renew": "r", "lives": 1_800_000, "until": "2026-11-24T02:00:00Z",
                "rights": ["a", "b"], "renew_lives": "3600000",
            },
        },
        of,
    )  # fmt: skip
    assert (told.access_token, told.refresh_token, told.scope) == ("t", "r", "a b")
    assert (told.expires_in, told.expires_at) == (HOUR / 2, NOW + HOUR)
    assert told.refresh_token_expires_in == HOUR


@pytest.mark.parametrize("path", ["data.access_token", "0.access_token", "data.0", "data.1.a"])
def test_a_path_that_leads_nowhere_finds_no_token(path: str) -> None:
    contents: tuple[object, ...] = ([], {}, {"data": []}, {"data": "t"}, [1], {"data": None})
    for content in contents:
        assert read_json(content, speaking(access_token=path)).access_token is None, content


def test_what_a_renewal_by_the_token_itself_sends_next_is_the_access_token() -> None:
    told = read_json({"access_token": "t"}, speaking(refresh_token="access_token"))
    assert (told.access_token, told.refresh_token) == ("t", "t")


@pytest.mark.parametrize(
    ("content", "known", "expected"),
    [
        pytest.param({"until": at(HOUR)}, {}, HOUR, id="an expiry alone"),
        pytest.param({"until": at(HOUR) + 0.9}, {}, HOUR, id="rounded to the safe side"),
        pytest.param({"until": at(HOUR), "expires_in": 1800}, {}, HOUR / 2,
                     id="a lifetime that is less"),
        pytest.param({"until": at(HOUR), "expires_in": 7200}, {}, HOUR,
                     id="a lifetime that is more"),
        pytest.param({"until": at(-HOUR), "expires_in": 7200}, {}, 0 * HOUR, id="it has passed"),
        pytest.param({"until": at(-HOUR)}, {"assumed_expires_in": 1800}, HOUR / 2,
                     id="it has passed, where a life is assumed"),
        pytest.param({"until": 0, "expires_in": 7200}, {"assumed_expires_in": 10800}, 2 * HOUR,
                     id="zero beside a lifetime, where a life is assumed"),
        pytest.param({"until": at(2 * HOUR)}, {"assumed_expires_in": 3600}, HOUR,
                     id="it is later than what is assumed"),
        pytest.param({"until": "9999-12-31T23:59:59Z"}, {"documented_expires_in": 3600}, HOUR,
                     id="never, which is not believed"),
        pytest.param({}, {"documented_expires_in": 3600}, HOUR, id="what is documented"),
        pytest.param({"expires_in": 7200}, {"documented_expires_in": 3600}, 2 * HOUR,
                     id="what is documented yields to the response"),
        pytest.param({"expires_in": 0}, {"documented_expires_in": 3600}, 0 * HOUR,
                     id="also to a zero"),
        pytest.param({}, {"documented_expires_in": 3600, "assumed_expires_in": 7200}, 2 * HOUR,
                     id="and to what is assumed"),
        pytest.param({"access_token": jwt({"exp": at(2 * HOUR)})}, {"documented_expires_in": 3600},
                     2 * HOUR, id="and to the token itself"),
    ],
)  # fmt: skip
def test_whoever_says_something_is_asked_before_what_is_documented(
    content: dict[str, object], known: dict[str, int], expected: timedelta
) -> None:
    of = client(dialect=Dialect(expires_at="until"), **known)
    told = read_json({"access_token": "t"} | content, of)
    assert lifetime(told, issued_at=NOW, client=of) == expected


def test_a_missing_lifetime_names_the_fields_that_would_tell_it() -> None:
    with pytest.raises(MissingExpiryError, match=r"assumed_expires_in .* dialect\.expires_in"):
        lifetime(response(expires_in=None), issued_at=NOW, client=CLIENT)


@pytest.mark.parametrize(
    ("content", "of", "expected"),
    [
        pytest.param({"x_refresh_token_expires_in": 3600}, CLIENT, HOUR, id="Intuit's"),
        pytest.param({"refresh_token_expires_in": 547 * 86400}, CLIENT, timedelta(547),
                     id="eBay's 18 months"),
        pytest.param({"refresh_token_expires_in": 0, "refresh_expires_in": 3600}, CLIENT, HOUR,
                     id="one beside a zero"),
        pytest.param({"refresh_token_expires_in": 86400 * 60 * 1000}, CLIENT, None,
                     id="milliseconds, which nobody said"),
        pytest.param({"refresh_expires_in": 3_600_000}, speaking(expires_in_unit="milliseconds"),
                     HOUR, id="milliseconds by the dialect"),
        pytest.param({"renew": {"lives": 60}, "refresh_expires_in": 3600},
                     speaking(refresh_token_expires_in="renew.lives"), HOUR / 60,
                     id="a path goes before names"),
        pytest.param({"refresh_expires_in": 3600}, speaking(refresh_token_expires_in="renew.lives"),
                     None, id="and instead of them"),
        pytest.param({"data": {"refresh_token": "r", "refresh_expires_in": 3600}},
                     speaking(refresh_token="data.refresh_token"), HOUR, id="beside its token"),
        pytest.param({"data": {"refresh_token": "r"}, "refresh_expires_in": 3600},
                     speaking(refresh_token="data.refresh_token"), HOUR, id="at the top"),
        pytest.param({}, CLIENT, None, id="none"),
    ],
)  # fmt: skip
def test_a_refresh_tokens_life_is_found_under_its_names(
    content: dict[str, object], of: Client, expected: timedelta | None
) -> None:
    told = read_json({"access_token": "t", "refresh_token": "r"} | content, of)
    assert told.refresh_token_expires_in == expected


FORM: Final = b"access_token=t%2B1%3D&expires_in=3600&scope=a+b&token_type=bearer&refresh_token=r"


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "text/html", "application/json", "application/x-www-form-urlencoded"],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["no end", "LF", "CRLF"])
def test_a_form_is_read_as_json_would_be(content_type: str | None, end: bytes) -> None:
    told = read(200, FORM + end, content_type=content_type)
    assert (told.access_token, told.token_type, told.refresh_token) == ("t+1=", "bearer", "r")
    assert (told.scope, told.expires_in) == ("a b", HOUR)


def test_a_form_is_read_by_the_dialects_names() -> None:
    of = speaking(access_token="oauth_token", expires_in="expires")
    told = read(200, b"oauth_token=t&expires=3600", of=of)
    assert (told.access_token, told.expires_in) == ("t", HOUR)


def test_an_error_in_a_form_is_an_error_response() -> None:
    error = refused(200, b"error=invalid_grant&error_description=MARK")
    assert (type(error), error.code) == (TokenRequestError, "invalid_grant")
    error = refused(200, b"error=bad_verification_code&error_description=MARK")
    assert (type(error), error.code) == (TokenRequestError, "unrecognised")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"<a href=x?access_token=t&error=1>", None, id="a page"),
        pytest.param(b"please sign in: error=1&access_token=t", None, id="a sentence"),
        pytest.param(b'{"a":"b=c&error=1"', None, id="JSON that was cut off"),
        pytest.param(b"a=b&c=d", None, id="a form without anything that is known"),
        pytest.param(b"access_token=%ff", None, id="no text"),
        pytest.param(b"access_token", "application/x-www-form-urlencoded", id="no value"),
        pytest.param(b"access_token=", "application/x-www-form-urlencoded", id="an empty value"),
        pytest.param(b"", "application/x-www-form-urlencoded", id="nothing"),
        pytest.param("access_token=ż".encode(), None, id="letters outside ASCII"),
    ],
)
def test_what_only_looks_like_a_form_is_a_page(body: bytes, content_type: str | None) -> None:
    assert refused(200, body, content_type).is_page


def test_what_calls_itself_a_form_is_one_whatever_is_in_it() -> None:
    told = read(200, b"a=b&c=d", content_type="Application/X-WWW-Form-URLencoded;charset=utf-8")
    assert told.access_token is None


@pytest.mark.parametrize("content_type", [None, "text/html", "text/plain", "nonsense"])
def test_json_is_json_whatever_it_is_called(content_type: str | None) -> None:
    assert read(200, b' \n{"access_token":"t"}', content_type=content_type).access_token == "t"


def test_a_description_in_another_encoding_hides_no_error() -> None:
    body = '{"error":"invalid_grant","error_description":"Ungültig"}'.encode("latin-1")
    assert refused(400, body).code == "invalid_grant"


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert read(200, b'{"access_token":"a","access_token":"b"}').access_token == "b"
    assert read(200, b"access_token=a&access_token=b").access_token == "b"


def test_numbers_are_kept_as_they_are_where_json_and_a_secret_can_hold_them() -> None:
    body = (
        b'{"id":1234567890123456789,"most":18446744073709551615,"more":1' + b"0" * 30 +
        b',"half":0.5,"endless":1' + b"0" * 400 + b',"power":1e999,"nan":NaN,"inf":-Infinity}'
    )  # fmt: skip
    content = read(200, body).content
    assert content == {
        "id": 1234567890123456789, "most": 2.0**64, "more": 1e30, "half": 0.5, "endless": None,
        "power": None, "nan": None, "inf": None,
    }  # fmt: skip
    assert isinstance(content, dict)
    assert isinstance(content["id"], int)
    assert msgspec.json.encode(content)


KNOWN: Final = "invalid_client"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"error": KNOWN}, id="RFC 6749"),
        pytest.param({"error": "INVALID_CLIENT"}, id="in capitals"),
        pytest.param({"error": {"code": KNOWN, "message": "MARK"}}, id="an error with a code"),
        pytest.param({"error": {"type": KNOWN}}, id="an error with a type"),
        pytest.param({"error": {"status": KNOWN, "code": 401}}, id="an error with a status"),
        pytest.param({"error": {"code": 401, "message": KNOWN}}, id="an error with a message"),
        pytest.param({"error": {"errors": [{"reason": KNOWN}]}}, id="errors in an error"),
        pytest.param({"errors": [{"code": KNOWN, "detail": "MARK"}]}, id="a list of errors"),
        pytest.param({"errors": [{"code": "MARK"}, {"errorCode": KNOWN}]}, id="the second of them"),
        pytest.param({"errors": [KNOWN]}, id="a list of texts"),
        pytest.param([{"errorCode": KNOWN}], id="a list at the top"),
        pytest.param({"errorCode": KNOWN, "errorSummary": "MARK"}, id="Okta's"),
        pytest.param({"ErrorCode": KNOWN, "Error": "MARK"}, id="Apigee's"),
        pytest.param({"error_code": KNOWN}, id="with an underscore"),
        pytest.param({"code": KNOWN}, id="a code"),
        pytest.param({"code": 40105, "error": KNOWN}, id="a number, and the word beside it"),
        pytest.param({"fault": {"faultstring": "MARK", "detail": {"errorcode": KNOWN}}},
                     id="a fault"),
        pytest.param({"type": "MARK", "name": KNOWN}, id="a name"),
    ],
)  # fmt: skip
def test_a_code_of_the_standard_is_known_wherever_servers_put_it(content: object) -> None:
    for status in (400, 401, 403, 404):
        error = refused(status, json.dumps(content).encode())
        assert (type(error), error.code, error.status) == (TokenRequestError, KNOWN, status)
        assert "MARK" not in str(error)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param({"error": KNOWN}, KNOWN, id="a known error"),
        pytest.param({"error": "MARK"}, "unrecognised", id="an unknown one"),
        pytest.param({"ok": False, "error": "invalid_auth"}, "unrecognised", id="Slack's"),
        pytest.param({"ok": False}, "unrecognised", id="not ok"),
        pytest.param({"success": "False", "message": "MARK"}, "unrecognised", id="no success"),
        pytest.param({"error": True}, "unrecognised", id="true"),
        pytest.param({"error": -118, "error_name": "MARK"}, "unrecognised", id="a number"),
        pytest.param({"error": {"code": 190, "type": "MARK"}}, "unrecognised", id="Facebook's"),
        pytest.param({"error": {"message": "MARK"}}, "unrecognised", id="an error without a code"),
        pytest.param({"error": {"code": None, "message": "MARK"}}, "unrecognised",
                     id="an error with a null for its code"),
        pytest.param({"error": [{"a": {"b": {"c": {"d": {"e": 1}}}}}]}, "unrecognised",
                     id="an error as deep as nobody looks"),
        pytest.param({"errors": [{"code": KNOWN}]}, KNOWN, id="a list of errors"),
        pytest.param({"errorCode": "E0000011"}, "unrecognised", id="Okta's"),
        pytest.param({"errcode": 40029, "errmsg": "MARK"}, "unrecognised", id="WeChat's"),
        pytest.param({"fault": {"faultstring": "MARK"}}, "unrecognised", id="a fault"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [{}, {"access_token": "t"}], ids=["alone", "beside a token"])
def test_an_error_that_calls_itself_a_success_is_a_refusal(
    content: dict[str, object], code: str, beside: dict[str, str]
) -> None:
    error = refused(200, json.dumps(content | beside).encode())
    assert (type(error), error.code, error.status) == (TokenRequestError, code, 200)
    assert facts(error) == {"is_refusal"}
    assert "MARK" not in str(error)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"code": 40105, "message": "MARK", "data": {}}, id="TikTok's"),
        pytest.param({"code": "InvalidCode", "type": "ISV"}, id="Lazada's"),
        pytest.param({"status": 401, "message": "MARK"}, id="a status"),
        pytest.param({"statusCode": "403"}, id="a status as a text"),
        pytest.param({"status": "Error", "message": "MARK"}, id="a status that is a word"),
        pytest.param([{"code": "MARK"}], id="in a list"),
    ],
)
def test_where_no_token_is_a_code_says_that_there_is_an_error(content: object) -> None:
    error = refused(200, json.dumps(content).encode())
    assert (type(error), error.code) == (TokenRequestError, "unrecognised")
    assert "dialect.access_token" in str(error)
    assert "MARK" not in str(error)


@pytest.mark.parametrize(
    "content",
    [
        {"error": ""}, {"error": None}, {"error": False}, {"error": 0}, {"error": "0"},
        {"error": {}}, {"error": []}, {"error": {"code": 0, "message": "MARK"}},
        {"error": {"code": "ok", "message": "", "log_id": "MARK"}}, {"error": "none"},
        {"error": {"message": ""}}, {"errors": []}, {"errors": {}}, {"errors": [{}]},
        {"errorCode": 0}, {"error_code": "0"}, {"errcode": 0, "errmsg": "ok"}, {"fault": None},
        {"ok": True}, {"success": True}, {"success": "true"}, {"success": 1},
        {"code": 0}, {"code": 200}, {"code": "0"}, {"code": "SUCCESS"}, {"status": 200},
        {"status": "approved"}, {"message": "OK"}, {"statusCode": 200}, {"status": True},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_no_error_is_found_where_there_is_none(content: dict[str, object]) -> None:
    assert read_json(content).access_token is None
    assert read_json(content | {"access_token": "t"}).access_token == "t"


@pytest.mark.parametrize(
    "content",
    [{"code": 40105}, {"code": "A00000"}, {"status": "error"}, {"status": 500}, {"name": KNOWN},
     {"message": "invalid_grant"}, {"type": "invalid_request"}, {"reason": "access_denied"}],
    ids=json.dumps,
)  # fmt: skip
def test_beside_a_token_no_code_makes_an_error(content: dict[str, object]) -> None:
    for token in ("access_token", "refresh_token"):
        assert getattr(read_json(content | {token: "t"}), token) == "t"


@pytest.mark.parametrize("value", [True, 1, -1, "MARK", ["MARK"], {"code": "MARK"}, {"a": "MARK"}])
@pytest.mark.parametrize("token", [{}, {"access_token": "t"}], ids=["alone", "beside a token"])
def test_what_is_where_the_dialect_has_its_error_is_one(
    value: object, token: dict[str, str]
) -> None:
    body = json.dumps({"result": {"problem": value}} | token).encode()
    error = refused(200, body, of=speaking(error="result.problem"))
    assert (type(error), error.code) == (TokenRequestError, "unrecognised")
    assert facts(error) == {"is_refusal"}
    assert "MARK" not in str(error)


def test_a_code_of_the_standard_is_known_where_the_dialect_has_its_error() -> None:
    of = speaking(error="result.problem")
    body = b'{"result":{"problem":{"code":"invalid_grant"}},"error":"access_denied"}'
    assert refused(200, body, of=of).code == "invalid_grant"
    assert refused(400, body, of=of).code == "invalid_grant"


@pytest.mark.parametrize("value", [None, False, 0, "", "0", [], {}, {"code": 0}], ids=repr)
def test_the_dialects_error_may_be_all_that_makes_one_beside_a_token(value: object) -> None:
    of = speaking(error="result.problem")
    content = {"result": {"problem": value}, "error": "deprecated"}
    assert read_json(content | {"access_token": "t"}, of).access_token == "t"
    assert refused(200, json.dumps(content).encode(), of=of).code == "unrecognised"


def test_an_error_in_a_place_of_its_own_is_met_with_the_field_that_says_where() -> None:
    body = b'{"err": {"why": "MARK"}}'
    access_token = read(200, body).access_token
    with pytest.raises(TokenResponseError, match=r"or dialect\.error if an error is there") as met:
        bearer_token(access_token, None, dialect=RFC_6749)
    assert "MARK" not in str(met.value)
    assert refused(200, body, of=speaking(error="err.why")).code == "unrecognised"


def test_a_gateway_does_not_speak_for_the_endpoint_in_words_that_only_resemble_the_standard() -> (
    None
):
    body = b'{"error":{"code":"temporarily_unavailable"}}'
    assert facts(refused(503, body)) == {"is_response_lost"}


NAMES_POST: Final = "client_secret_post"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, b'{"error":"invalid_client"}', id="invalid_client"),
        pytest.param(401, b'{"error":"invalid_client"}', id="invalid_client with 401"),
        pytest.param(200, b'{"error":"invalid_client"}', id="as a success"),
        pytest.param(401, b'{"error":"unauthorized"}', id="a word of its own with 401"),
        pytest.param(401, b'{"message":"no"}', id="401 without a word"),
        pytest.param(401, b"", id="401 with nothing"),
    ],
)
def test_a_refused_client_whose_encoding_differs_is_told_of_the_other_way(
    status: int, body: bytes
) -> None:
    secrets = [{"client_secret": f"invented{each}secret"} for each in ':%+&="/\\ ż|!{@']
    for changed in (*secrets, {"client_id": "sb-invented!b1|y!b2"}):
        said = str(refused(status, body, of=client(**changed)))
        assert NAMES_POST in said, changed
        assert "token_endpoint_auth_method" in said
        assert f"status {status}" in said
        assert not any(value in said for value in changed.values())


@pytest.mark.parametrize(
    ("status", "body", "changed"),
    [
        pytest.param(401, b'{"error":"invalid_client"}', {"client_secret": "A-z0._~"},
                     id="nothing was changed by the encoding"),
        pytest.param(401, b'{"error":"invalid_client"}',
                     {"client_secret": "a:b", "auth_method": NAMES_POST}, id="it is sent so"),
        pytest.param(401, b'{"error":"invalid_client"}', {"client_secret": "", "client_id": None},
                     id="there is neither"),
        pytest.param(401, b'{"error":"invalid_grant"}', {"client_secret": "a:b"},
                     id="it is the password that is wrong"),
        pytest.param(400, b'{"error":"made_up"}', {"client_secret": "a:b"},
                     id="400 with a word of its own"),
        pytest.param(401, b'{"error":"invalid_client"}', {"auth_method": "none"},
                     id="a public client"),
    ],
)  # fmt: skip
def test_no_other_way_is_told_where_it_would_not_help(
    status: int, body: bytes, changed: dict[str, object]
) -> None:
    assert NAMES_POST not in str(refused(status, body, of=client(**changed)))


def test_a_public_client_that_is_refused_may_need_a_secret() -> None:
    public = client(auth_method="none", client_secret=None)
    assert "client_secret" in str(refused(401, b'{"error":"invalid_client"}', of=public))
    assert "client_secret" not in str(refused(401, b'{"error":"invalid_grant"}', of=public))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(404, JSON, {"token_endpoint", "provider_parameters"}, id="404"),
        pytest.param(405, JSON,
                     {"token_endpoint", "provider_parameters", "dialect.request_method"}, id="405"),
        pytest.param(410, HTML, {"token_endpoint", "provider_parameters"}, id="a page with 410"),
        pytest.param(415, JSON, {"dialect.request_format"}, id="415"),
        pytest.param(415, b'{"error":"invalid_request"}', {"dialect.request_format"},
                     id="415 with a known error"),
        pytest.param(308, b"", {"token_endpoint"}, id="a redirect"),
        pytest.param(403, JSON, {"check the credentials"}, id="403"),
        pytest.param(503, JSON, set[str](), id="an outage, where nothing is to be done"),
    ],
)  # fmt: skip
def test_an_error_says_the_status_and_what_to_correct(
    status: int, body: bytes, words: set[str]
) -> None:
    told = str(refused(status, body))
    assert f"status {status}" in told
    assert all(word in told for word in words)
    assert "site" not in told


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"ok":' + b"[" * 900 + b"]" * 900 + b"}", id="lists"),
        pytest.param(b'{"error":' + b'{"error":' * 900 + b"1" + b"}" * 901, id="errors"),
        pytest.param(b'{"access_token":"t","expires_in":' + b"[" * 900 + b"]" * 900 + b"}",
                     id="beside a token"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 400])
def test_no_depth_that_can_be_parsed_breaks_the_judgement(status: int, body: bytes) -> None:
    of = speaking(error="ok", expires_at="expires_in")
    with contextlib.suppress(OAuthError):
        read(status, body, of=of)


def test_a_response_shows_nothing_of_itself() -> None:
    assert "invented" not in repr(response(access_token="invented", refresh_token="invented"))
