"""Reads what a token endpoint answered, and says once what each response means.

Pure: bytes in, a `TokenResponse` or an error out. What servers really answer is
wider than RFC 6749: numbers as strings, objects as errors, pages of a firewall.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)

# Beyond a year it is not a lifetime but a mistake, such as milliseconds or a timestamp.
_LONGEST_LIFETIME: Final = timedelta(days=365)

# As JSON. Four of them, some carried over from earlier responses, must fit into one secret: a
# journal that Secrets Manager does not take loses a refresh token.
_LONGEST_TEXT: Final = 12 * 1024

_TRANSIENT: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
# These prove that the request was turned away before anything was redeemed; a
# 500, 502 or 504 may come after the refresh token was spent.
_TURNED_AWAY: Final = frozenset(
    {HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
)
_WRONG_ADDRESS: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE}
)


# RFC 6750 section 2.1: b64token. A newline above all must never be published.
_B64TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


@dataclass(frozen=True, slots=True, repr=False)
class TokenResponse:
    """A token response: its fields, parsed but not yet judged.

    Attributes:
        access_token: None where it is absent or no string.
        token_type: As in the response.
        expires_in: None where it is absent or not to be believed.
        scope: One space-delimited string; None where it is absent.
        refresh_token: None where it is absent, empty or no text.
        refresh_token_expires_in: None where it is absent or not to be believed.
    """

    access_token: str | None
    token_type: str | None
    expires_in: timedelta | None
    scope: str | None
    refresh_token: str | None
    refresh_token_expires_in: timedelta | None


def bearer_token(access_token: str | None, token_type: str | None) -> str:
    """Judge a token response by RFC 6749 section 5.1, but for its lifetime.

    Raises:
        TokenResponseError: No token, not bearer, or characters that RFC 6750 forbids.
    """
    if not access_token:
        raise TokenResponseError("the token response has no access_token")
    if token_type is None or token_type.lower() != "bearer":
        raise TokenResponseError("the token response's token_type is not bearer")
    if _B64TOKEN.fullmatch(access_token) is None:
        raise TokenResponseError("the access_token has characters outside RFC 6750 section 2.1")
    return access_token


def read_token_response(
    status: int, body: bytes, *, retry_after: str | None, now: datetime
) -> TokenResponse:
    """Read a response of the token endpoint.

    Args:
        status: The HTTP status.
        body: Not decoded; a truncated one is no JSON and is classified by its status.
        retry_after: The ``Retry-After`` header (RFC 9110 section 10.2.3).
        now: Aware; what a date in ``Retry-After`` is counted from.

    Raises:
        TokenEndpointError: A redirect, or a page where a token endpoint should be.
        EndpointUnavailableError: Nobody can be served now.
        TokenRequestError: An error response.
        TokenResponseError: A success without an object.
    """
    wait = parse_retry_after(retry_after, now=now)
    content = _parse_json(body)
    failure = _failure(status, content, wait)
    if failure is not None:
        raise failure
    if not isinstance(content, dict):
        raise TokenResponseError("the token response is not a JSON object")
    return TokenResponse(
        access_token=_text(content.get("access_token")),
        token_type=_text(content.get("token_type")),
        expires_in=parse_expires_in(content.get("expires_in")),
        scope=_scope(content.get("scope")),
        refresh_token=_text(content.get("refresh_token")),
        # Zero means that it does not expire, as Keycloak's offline tokens.
        refresh_token_expires_in=parse_expires_in(
            content.get("refresh_token_expires_in") or content.get("refresh_expires_in")
        )
        or None,
    )


def _failure(status: int, content: object, wait: timedelta | None) -> OAuthError | None:
    """Classify a response, in the order that is documented; None is a success."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return TokenEndpointError(
            "the token endpoint redirects: set token_endpoint to its final address "
            "(often only a trailing slash differs)",
            code="redirect",
        )
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return EndpointUnavailableError(
            f"the token endpoint answered with status {status}",
            code=f"status_{status}",
            processed=status not in _TURNED_AWAY,
            stops_host=status == HTTPStatus.TOO_MANY_REQUESTS,
            retry_after=wait,
        )
    is_success = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if content is _NO_JSON:
        return _page(status, wait, is_success=is_success)
    error = content.get("error") if isinstance(content, dict) else None
    if error or not is_success:
        # Resource servers answer an object here; its words are no error codes.
        return TokenRequestError(error if isinstance(error, str) else None, retry_after=wait)
    return None


def _page(status: int, wait: timedelta | None, *, is_success: bool) -> OAuthError:
    """Classify a body that is not JSON."""
    if status in _WRONG_ADDRESS:
        return TokenEndpointError(
            f"no token endpoint is at this address (status {status}, no JSON): "
            "correct site or token_endpoint",
            code=f"status_{status}",
        )
    is_firewall = is_success or status == HTTPStatus.FORBIDDEN
    return EndpointUnavailableError(
        f"a page instead of JSON came with status {status}: a firewall or an error page",
        code="firewall" if is_firewall else f"page_{status}",
        # A 2xx page may stand in for a response that was processed.
        processed=is_success,
        stops_host=is_firewall,
        retry_after=wait,
    )


_NO_JSON: Final = object()


def _parse_json(body: bytes) -> object:
    """Parse bytes, so that a byte-order mark is understood."""
    try:
        # As float, an integer may have any number of digits; none here needs to be exact.
        return json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        return _NO_JSON


def parse_expires_in(value: object) -> timedelta | None:
    """Read a lifetime in seconds, however it is written; None where it is not to be believed.

    Zero and negative numbers are believed: such a token has expired.
    """
    # True is an int, and it is not one second.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    if math.isnan(seconds) or seconds > _LONGEST_LIFETIME.total_seconds():
        return None
    return timedelta(seconds=math.floor(max(seconds, 0)))


def required_lifetime(response: TokenResponse, assumed_expires_in: int | None) -> timedelta:
    """Tell how long the token lives.

    Raises:
        MissingExpiryError: Neither the response nor the credentials say so.
    """
    if response.expires_in is not None:
        return response.expires_in
    if assumed_expires_in is not None:
        return timedelta(seconds=assumed_expires_in)
    raise MissingExpiryError


def parse_retry_after(header: str | None, *, now: datetime) -> timedelta | None:
    """Read ``Retry-After``: seconds or a date (RFC 9110 section 10.2.3)."""
    if header is None:
        return None
    if re.fullmatch(r"[ \t]*[0-9]{1,9}[ \t]*", header):
        return timedelta(seconds=int(header))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(aware - now, timedelta(0))


def _text(value: object) -> str | None:
    """A string that can be written down; a lone surrogate cannot, nor what no secret holds."""
    if not isinstance(value, str) or not value:
        return None
    try:
        written = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None
    return value if len(written) <= _LONGEST_TEXT else None


def _scope(value: object) -> str | None:
    """One space-delimited string; some servers answer a list."""
    if isinstance(value, list):
        value = " ".join(word for word in map(_text, value) if word)
    return _text(value)
