"""Every response of a token endpoint means one thing, and none of its text gets out."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.errors import FailureClass
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import (
    parse_expires_in,
    parse_retry_after,
    read_token_response,
    required_lifetime,
)
from token_refresher.policy import failure_class_of
from token_refresher.refresh import allows_primary_grant

if TYPE_CHECKING:
    from token_refresher.oauth.token_response import TokenResponse

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
HTML: Final = b"<html>blocked</html>"
ACT: Final = FailureClass.ACTION_REQUIRED
LATER: Final = FailureClass.TRANSIENT
INVALID: Final = FailureClass.INVALID_RESPONSE


def read(status: int, body: bytes, retry_after: str | None = None) -> TokenResponse:
    return read_token_response(status, body, retry_after=retry_after, now=NOW)


def answer(**changed: object) -> TokenResponse:
    fields: dict[str, Any] = {"access_token": "t", "token_type": "bearer", "expires_in": 43200}
    return read(200, json.dumps(fields | changed).encode())


@pytest.mark.parametrize(
    ("status", "body", "failure_class", "code"),
    [
        pytest.param(308, b"{}", ACT, "redirect", id="a redirect, permanent or not"),
        pytest.param(429, b'{"error":"slow_down"}', LATER, "status_429", id="too many requests"),
        pytest.param(503, HTML, LATER, "status_503", id="a page of a load balancer"),
        pytest.param(405, b"", ACT, "status_405", id="a method that is not allowed"),
        pytest.param(410, HTML, ACT, "status_410", id="an endpoint that is gone"),
        pytest.param(200, HTML, LATER, "firewall", id="a page instead of a response"),
        pytest.param(400, b'{"error":"invalid_grant","error_human_title":"warto\xc5\x9b\xc4\x87"}',
                     ACT, "invalid_grant", id="a wrong password"),
        pytest.param(400, b'{"error":"made_up"}', ACT, "unrecognised",
                     id="an unknown code is not repeated"),
        pytest.param(200, b"[" * 30000, LATER, "firewall", id="nesting without end"),
    ],
)  # fmt: skip
def test_every_failure_is_classified(
    status: int, body: bytes, failure_class: FailureClass, code: str
) -> None:
    with pytest.raises(OAuthError) as refusal:
        read(status, body)
    assert (failure_class_of(refusal.value), refusal.value.code) == (failure_class, code)
    assert "warto" not in str(refusal.value)
    assert "made_up" not in str(refusal.value)


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
    assert answer(scope=scope).scope == expected


@pytest.mark.parametrize("field", ["refresh_token_expires_in", "refresh_expires_in"])
def test_the_refresh_tokens_own_life_is_read(field: str) -> None:
    assert answer(**{field: "60"}).refresh_token_expires_in == timedelta(minutes=1)


@pytest.mark.parametrize("value", [None, "", 5, "\ud800"])
def test_a_refresh_token_that_cannot_be_written_down_is_none(value: object) -> None:
    assert answer(refresh_token=value).refresh_token is None


@pytest.mark.parametrize(
    ("status", "body", "unspent", "primary_grant", "stops"),
    [
        pytest.param(429, b"", True, False, True, id="429 speaks for the host"),
        pytest.param(503, b"", True, True, False, id="503 turned it away"),
        pytest.param(502, b"", False, True, False, id="502 may have redeemed it"),
        pytest.param(403, HTML, True, False, True, id="a firewall speaks for the host"),
        pytest.param(200, HTML, False, False, True, id="a page with 200 may hide a response"),
    ],
)
def test_what_an_unavailable_endpoint_means_for_a_refresh_token(
    *, status: int, body: bytes, unspent: bool, primary_grant: bool, stops: bool
) -> None:
    with pytest.raises(EndpointUnavailableError) as refusal:
        read(status, body)
    error = refusal.value
    told = (error.leaves_refresh_token_unspent, allows_primary_grant(error), error.stops_host)
    assert told == (unspent, primary_grant, stops)


@given(status=st.integers(200, 599), body=st.binary(max_size=64) | st.text().map(str.encode))
def test_no_answer_raises_anything_but_our_errors(status: int, body: bytes) -> None:
    with contextlib.suppress(OAuthError):
        read(status, body)


@given(st.dictionaries(st.text(max_size=20), st.text() | st.integers() | st.none() | st.floats()))
def test_no_object_raises_anything_but_our_errors(fields: dict[str, object]) -> None:
    with contextlib.suppress(OAuthError):
        answer(**fields)


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
        pytest.param(404, b'{"message":"Not Found"}', TokenRequestError,
                     id="JSON without a code waits for somebody"),
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
    assert answer(error=error).access_token == "t"


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


def test_a_lifetime_that_is_not_believed_is_the_assumed_one() -> None:
    assert required_lifetime(answer(expires_in=10**12), 60) == timedelta(minutes=1)


def test_a_lifetime_of_zero_is_believed_before_the_assumed_one() -> None:
    assert required_lifetime(answer(expires_in=0), 60) == timedelta(0)


def test_a_refresh_tokens_life_is_found_beside_a_null() -> None:
    response = answer(refresh_token_expires_in=None, refresh_expires_in=60)
    assert response.refresh_token_expires_in == timedelta(minutes=1)


def test_a_refresh_tokens_life_of_zero_means_that_it_does_not_expire() -> None:
    # Keycloak answers so for offline tokens.
    assert answer(refresh_expires_in=0).refresh_token_expires_in is None


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
