"""Reads an HTTP response within its bounds, and hands on what it holds to be understood."""

from __future__ import annotations

import re
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from urllib3.exceptions import ProtocolError

from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.exchange import LONGEST_BODY, client_certificate_trouble
from token_refresher.oauth.token_response import read_token_response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from urllib3 import BaseHTTPResponse

    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse

# Nothing here is large enough to gain by an encoding. Servers encode all the same, by one of these
# (RFC 9110 section 8.4.1); for the second some leave out the frame that it should have.
ENCODING: Final = {"Accept-Encoding": "identity"}
_WINDOWS: Final = {
    "gzip": (16 + zlib.MAX_WBITS,),
    "x-gzip": (16 + zlib.MAX_WBITS,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

# Status, headers, body; None where it is in an encoding that nobody asked for.
Response: TypeAlias = "tuple[int, Mapping[str, str], bytes | None]"

# nginx has a page for it, once the handshake is over.
_NGINX_WANTS_CERTIFICATE: Final = rb"No required SSL certificate was sent|The SSL certificate error"


def read(response: BaseHTTPResponse) -> Response:
    """Read status, headers and at most `LONGEST_BODY` of a response's body, and of its content.

    Raises:
        HTTPError: It is not whole, or an interim one.
        OSError: The time is up, the connection lost, or more than `LONGEST_RESPONSE` came.
    """
    content = b""
    if response.status in _WITHOUT_BODY:
        # What follows is nobody's; the next request must not find it on the wire.
        response.close()
    try:
        _require_final(response.status)
        # To its end: only there does urllib3 miss what was announced and never came.
        while chunk := response.read(LONGEST_BODY + 1 - len(content)):
            content += chunk
    finally:
        if not response.closed:
            # Not read to its end: the connection cannot be used again.
            response.close()
    decoded = _decoded(content, response.headers.get("Content-Encoding", ""))
    # Cut off, a body is no JSON any more, unless only blanks were.
    return response.status, response.headers, decoded and decoded[:LONGEST_BODY]


def _decoded(body: bytes, encoding: str) -> bytes | None:
    """Undo a content encoding (RFC 9110 section 8.4), as far as `LONGEST_BODY` and one byte.

    What begins as JSON is none: proxies decode and keep the header, servers name a charset in it.

    Returns:
        None where it is another one, or more than one, or not what it says.
    """
    named = (coding.strip().lower() for coding in encoding.split(","))
    codings = [coding for coding in named if coding not in {"", "identity"}]
    if not (codings and body):
        return body
    for window in _WINDOWS.get(" ".join(codings), ()):
        decoder = zlib.decompressobj(window)
        try:
            # It stops there, so that a few bytes never become many.
            decoded = decoder.decompress(body, LONGEST_BODY + 1)
        except zlib.error:
            continue
        if decoder.eof or len(decoded) > LONGEST_BODY:
            return decoded
    return body if body.lstrip()[:1] in {b"{", b"["} else None


def _require_final(status: int) -> None:
    """Refuse an interim response (RFC 9110 section 15.2), which urllib3 takes for the final one.

    The final one is still to come, and would be read as the next request's: its connection is
    given up. What became of the request nobody knows.

    Raises:
        ProtocolError: A status below 200 that is not 100, which is passed over.
    """
    if status < HTTPStatus.OK:
        raise ProtocolError


def token_response_of(response: Response, client: Client, now: datetime) -> TokenResponse:
    """Say what a response of the token endpoint means.

    Args:
        response: As `read`.
        client: Who asked.
        now: Aware; what a date in ``Retry-After`` is counted from.

    Raises:
        OAuthError: As `read_token_response` says; in an encoding that nobody reads, or a page that
            asks for a client certificate.
    """
    status, headers, content = response
    if content is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise TokenResponseError(
            "the token response is in a content encoding that was not asked for, and is neither "
            "gzip nor deflate: ask its operator",
            status=status,
        )
    if status == HTTPStatus.BAD_REQUEST and re.search(_NGINX_WANTS_CERTIFICATE, content or b""):
        raise client_certificate_trouble()
    return read_token_response(
        status,
        content or b"",
        retry_after=headers.get("Retry-After"),
        content_type=headers.get("Content-Type"),
        client=client,
        now=now,
    )
