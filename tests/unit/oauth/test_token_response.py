"""Every response of a token endpoint means one thing, and none of its text gets out."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import (
    lifetime,
    parse_expires_in,
    parse_retry_after,
    read_token_response,
)

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
        pytest.param(422, JSON, "status_422", id="422 with JSON"),
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
@pytest.mark.parametrize("body", [JSON, TEXT, b""], ids=["JSON", "text", "nothing"])
def test_every_4xx_that_is_not_excepted_is_a_refusal(status: int, body: bytes) -> None:
    assert refused(status, body).is_refusal


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


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "body",
    [b"", HTML, TEXT, JSON, b'{"error":"Service Unavailable"}', b'{"error":503}'],
    ids=["nothing", "page", "text", "JSON", "a gateway's error", "a number"],
)
def test_a_gateways_error_may_hide_a_token_that_was_issued(status: int, body: bytes) -> None:
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
    ("value", "seconds"),
    [
        pytest.param(43200, 43200, id="an integer"),
        pytest.param("86400", 86400, id="a string"),
        pytest.param(3599.7, 3599, id="a float, rounded to the safe side"),
        pytest.param("3600.0", 3600, id="a float as a string"),
        pytest.param(0, 0, id="zero has expired"),
        pytest.param(-5, 0, id="so has a negative number"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param("NaN", None, id="not a number, as a string"),
        pytest.param(float("inf"), None, id="infinite"),
        pytest.param(365 * 86400 + 1, None, id="more than a year is not believed"),
        pytest.param(10**400, None, id="absurdly large"),
        pytest.param([3600], None, id="a list"),
    ],
)
def test_expires_in_is_read_as_servers_write_it(value: object, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert parse_expires_in(value) == expected


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


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("soon", None, id="a word"),
        pytest.param("Tue, 24 Nov 2026 00:30:00 GMT", timedelta(0), id="a date that has passed"),
        pytest.param("Tue, 24 Nov 2026 01:30:00 -0000", timedelta(minutes=30), id="no zone"),
        pytest.param(" 120 ", timedelta(minutes=2), id="blanks around it"),
        pytest.param("-120", None, id="a negative number"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param("", None, id="nothing"),
        pytest.param("\u0661\u0662", None, id="other digits"),
        pytest.param("Tue, 24 Nov 2026 02:30:00 +0100", timedelta(minutes=30), id="another zone"),
        pytest.param("Tue Nov 24 01:30:00 2026", timedelta(minutes=30), id="asctime's form"),
        pytest.param("Mon, 1 Jan 99999999999999999999 00:00:00 GMT", None, id="a year without end"),
        pytest.param("Mon, 1 Jan 2027 00:00:00 +99999999999999999999", None, id="such a zone"),
    ],
)
def test_retry_after_is_read_in_any_form_or_not_at_all(
    header: str | None, wait: timedelta | None
) -> None:
    assert parse_retry_after(header, now=NOW) == wait


@given(st.text() | st.text("0123456789 ,:+-.JanFebMonGMTZ()", max_size=30))
@settings(deadline=None)
def test_no_retry_after_breaks_the_reading(header: str) -> None:
    wait = parse_retry_after(header, now=NOW)
    assert wait is None or wait >= timedelta(0)


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
@settings(deadline=None)
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


@given(
    status=st.integers(200, 599),
    error=st.text(max_size=8).map(lambda text: f"MARK-{text}"),
    key=st.sampled_from(["error", "error_description", "message"]),
)
@settings(deadline=None)
def test_no_text_of_the_wire_is_in_an_error(status: int, error: str, key: str) -> None:
    bodies = [json.dumps({key: error}).encode(), error.encode(), json.dumps(error).encode()]
    for body in bodies:
        shown = ""
        try:
            read(status, body)
        except OAuthError as refusal:
            shown = f"{refusal} {refusal!r} {refusal.code}"
        assert "MARK-" not in shown
