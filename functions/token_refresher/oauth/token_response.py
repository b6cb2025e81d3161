"""Reads what a token endpoint answered, and says once what each response means.

Pure: bytes in, a `TokenResponse` or an error out. What servers really answer is
wider than RFC 6749: numbers as strings, objects as errors, pages of a firewall.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from token_refresher.oauth.errors import (
    KNOWN_CODES,
    PAGE,
    WRONG_ADDRESS,
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

TRANSIENT_STATUSES: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
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
    status: int,
    body: bytes,
    *,
    retry_after: str | None,
    now: datetime,
    content_type: str | None = None,
) -> TokenResponse:
    """Read a response of the token endpoint.

    Args:
        status: The HTTP status.
        body: Not decoded; a truncated one is no JSON and is classified by its status.
        retry_after: The ``Retry-After`` header (RFC 9110 section 10.2.3).
        now: Aware; what a date in ``Retry-After`` is counted from.
        content_type: The ``Content-Type`` header; what is JSON is read as that all the same.

    Raises:
        TokenEndpointError: A redirect, or no token endpoint is there.
        EndpointUnavailableError: Nobody can be served now, or a page came.
        TokenRequestError: An error response, or a refusal in any other form.
        TokenResponseError: A success without an object.
    """
    wait = parse_retry_after(retry_after, now=now)
    content = _parse_json(body)
    is_page = content is _NO_JSON and _is_html(body, content_type)
    failure = _failure(status, content, wait, is_page=is_page)
    if failure is not None:
        raise failure
    if not isinstance(content, dict):
        raise TokenResponseError("the token response is not a JSON object", status=status)
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


def _failure(
    status: int, content: object, wait: timedelta | None, *, is_page: bool
) -> OAuthError | None:
    """Classify a response, in the order that is documented; None is a success."""
    error = content.get("error") if isinstance(content, dict) else None
    known = error if isinstance(error, str) and error in KNOWN_CODES else None
    is_success = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return TokenEndpointError(
            f"the token endpoint redirects (status {status}): set token_endpoint to its final "
            "address (often only a trailing slash differs)",
            code="redirect",
            status=status,
            retry_after=wait,
        )
    if status in TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return EndpointUnavailableError(
            f"the token endpoint answered with status {status}",
            code=f"status_{status}",
            status=status,
            # Gateways answer 503 too, after the endpoint may have acted; none speaks OAuth.
            is_own_word=known is not None and status == HTTPStatus.SERVICE_UNAVAILABLE,
            retry_after=wait,
        )
    # A page says of 410 what it says of 404; anything else is the endpoint's own word.
    is_gone = is_page and status == HTTPStatus.GONE
    if is_gone or (known is None and status in WRONG_ADDRESS):
        return TokenEndpointError(
            f"no token endpoint is at this address (status {status}): "
            "correct site or token_endpoint",
            code=f"status_{status}",
            status=status,
            retry_after=wait,
        )
    if is_success and content is not _NO_JSON:
        if not error:
            return None
        word = error if isinstance(error, str) else "unrecognised"
        return TokenRequestError(word, status=status, retry_after=wait)
    if is_success or (is_page and status != HTTPStatus.UNAUTHORIZED):
        is_firewall = is_success or status == HTTPStatus.FORBIDDEN
        return EndpointUnavailableError(
            f"a page instead of JSON came with status {status}: a firewall or an error page",
            code=PAGE if is_firewall else f"page_{status}",
            status=status,
            retry_after=wait,
        )
    return TokenRequestError(
        error if isinstance(error, str) else None, status=status, retry_after=wait
    )


def _is_html(body: bytes, content_type: str | None) -> bool:
    """Tell a page from a text; nothing at all is no page, whatever it calls itself."""
    begin = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return begin == b"<" or (begin != b"" and "html" in (content_type or "").lower())


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


def lifetime(
    response: TokenResponse, *, issued_at: datetime, assumed_expires_in: int | None
) -> timedelta:
    """Tell how long the token lives: the least of what its server, its owner and itself say.

    Milliseconds for seconds, or a cached token with a full ``expires_in``, would be published as
    living long after the token has ended; whoever says less is right, or safe.

    Args:
        response: A lifetime of 0 in it gives way to the assumed one.
        issued_at: Aware; what the token's own expiry is counted from.
        assumed_expires_in: Seconds, from the credentials.

    Returns:
        0 where the token had expired when it was issued.

    Raises:
        MissingExpiryError: Nobody says.
    """
    said = response.expires_in
    assumed = None if assumed_expires_in is None else timedelta(seconds=assumed_expires_in)
    if assumed is not None and not said:
        said = None
    own = _left_by_itself(response.access_token or "", issued_at)
    known = [each for each in (said, assumed, own) if each is not None]
    if not known:
        raise MissingExpiryError
    return min(known)


def _left_by_itself(access_token: str, issued_at: datetime) -> timedelta | None:
    """Read a JWT's ``exp`` (RFC 7519 section 4.1.4); None for any other token.

    It is not verified: who could forge it, could forge all of the response.
    """
    header_payload_signature = access_token.split(".", 3)
    if len(header_payload_signature) != 3:  # noqa: PLR2004 - RFC 7515 section 3.1
        return None
    payload = header_payload_signature[1]
    try:
        decoded = base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True)
    except ValueError:
        return None
    content = _parse_json(decoded)
    exp = content.get("exp") if isinstance(content, dict) else None
    return parse_expires_in(exp - issued_at.timestamp()) if isinstance(exp, float) else None


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
