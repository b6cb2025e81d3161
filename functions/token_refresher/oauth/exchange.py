"""How far the current thread's request has come, and what is said where it came no further.

No text of the wire is in what is said, nor an address.
"""

from __future__ import annotations

import math
import re
import ssl
import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import urllib3
from urllib3.connection import HTTPException
from urllib3.exceptions import HTTPError

from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError, TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Of a response as it is read, and again once decoded. A secret holds tokens of 64 KiB in all; what
# is twice as long is a page, or an attack.
LONGEST_BODY: Final = 128 * 1024
# With its headers, interim responses and framing; and all that a proxy says. An HTTP library keeps
# up to 6.5 MB of headers and takes 45 MB to parse them: sixteen such responses at once would end
# the whole function.
LONGEST_RESPONSE: Final = 2 * LONGEST_BODY
# For a verification in all, and for opening a connection ahead of what else must be done before a
# request. A token request has its client's own time: connecting, sending, waiting, reading, one
# repeat.
REQUEST_SECONDS: Final = 10.0

# Texts, since a healthy run compiles none of them.
# OpenSSL's words for a server that speaks no TLS which is still believed: its version by the alert
# that it sends or by what it offers, a key of a length or a renegotiation of before 2010.
_OLD_TLS: Final = (
    r"\w*(PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|UNSUPPORTED_SSL_VERSION|WRONG_SSL_VERSION"
    r"|VERSION_TOO_LOW|DH_KEY_TOO_SMALL|LEGACY_RENEGOTIATION_DISABLED)"
)
# Alerts (RFC 8446 section 6.2) that speak of the certificate of whom they are sent to, who has
# none, or another one.
_WANTS_CERTIFICATE: Final = (
    r"\w+ALERT_(NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_UNKNOWN"
    r"|CERTIFICATE_REQUIRED|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|UNKNOWN_CA|ACCESS_DENIED)"
)
# Of what is no TLS at all, such as HTTP alone.
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
# OpenSSL's numbers for why a certificate is not believed.
_UNKNOWN_AUTHORITY: Final = (18, 19, 20, 21)
_NOT_BELIEVED: Final = {
    9: "certificate is not valid yet",
    10: "certificate has expired",
    62: "certificate is for another name",
    64: "certificate is for another address",
}

BY_PROXY: Final = "the proxy that TOKEN_ENDPOINT_PROXY names"
_PROXY_STATUS: Final = r"Tunnel connection failed: ([0-9]{3})\b"
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class _Exchange(threading.local):
    """What the current thread's request may still take, and whether it has left.

    A socket's own timeout starts again with every byte, so a slow drip would
    never end. Each read and write asks here how much of the whole is left.
    """

    ends_at = math.inf
    sent = False
    received = 0
    must_be_global = False
    wants_certificate = False
    has_certificate = False
    monotonic: Callable[[], float]

    def begin(
        self,
        seconds: float,
        monotonic: Callable[[], float],
        *,
        must_be_global: bool,
        has_certificate: bool,
    ) -> None:
        """Begin another; whether a server asks for a certificate is told by its handshake.

        Args:
            seconds: The limit of all of it.
            monotonic: Gives seconds.
            must_be_global: Whether only addresses of the Internet may be connected to.
            has_certificate: Whether one is shown to a server that asks.
        """
        self.monotonic = monotonic
        self.ends_at = monotonic() + seconds
        self.sent = False
        self.received = 0
        self.must_be_global = must_be_global
        self.has_certificate = has_certificate

    def remaining(self) -> float:
        """Seconds left of the request's limit.

        Raises:
            TimeoutError: None are.
        """
        left = self.ends_at - self.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def is_over(self) -> bool:
        """Whether trying again could only tell less than is known."""
        return self.monotonic() >= self.ends_at


exchange: Final = _Exchange()


class KnownFailureError(OSError):
    """A failure that is understood where it happens, on its way through an HTTP library."""

    def __init__(self, error: OAuthError) -> None:
        super().__init__()
        self.error = error


@contextmanager
def told_without_the_wire() -> Iterator[None]:
    """Let what an HTTP library raises become an error of ours.

    Raises:
        OAuthError: Why there was no response, and whether anything had left.
    """
    try:
        yield
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        # ValueError: a chunk of negative length, which http.client does not foresee.
        # From None: the cause's text may hold addresses and what was on the wire.
        raise _unreached(error) from None


def _unreached(error: Exception) -> OAuthError:
    """Say why there was no response, and whether anything had left."""
    causes = _chain(error)
    for cause in causes:
        if isinstance(cause, KnownFailureError):
            return cause.error
        refusal = refusal_of_tls(cause)
        if refusal is not None:
            return refusal
    is_late = any(
        isinstance(each, TimeoutError | urllib3.exceptions.TimeoutError) for each in causes
    )
    if not exchange.sent:
        if exchange.wants_certificate and not is_late:
            return client_certificate_trouble()
        is_no_tls = any(getattr(each, "reason", "") == _NO_TLS for each in causes)
        hint = ": what answers at its port speaks no TLS" if is_no_tls else ""
        return no_connection(f"no connection to the token endpoint{hint}")
    if is_late:
        return EndpointUnavailableError("the token endpoint did not answer in time", code="timeout")
    hint = ""
    if exchange.wants_certificate:
        # Most servers that ask do without, or take the one that they get; some only leave.
        hint = "; it had asked for a client certificate (mutual TLS)"
        if exchange.has_certificate:
            hint += ", and may have refused the one that it got"
    return EndpointUnavailableError(
        f"the token endpoint closed the connection before its response was whole{hint}",
        code="connection_lost",
    )


def refusal_of_tls(error: BaseException | None) -> TokenEndpointError | None:
    """Say what TLS refused, on either side; None where it was not TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return TokenEndpointError(
                "the token endpoint's certificate is of an unknown authority: "
                "check ca_certificates, token_endpoint and the server's certificate",
                code="unknown_authority",
                sent=exchange.sent,
            )
        why = _NOT_BELIEVED.get(error.verify_code, "certificate or name was refused")
        return TokenEndpointError(
            f"the token endpoint's {why}: check token_endpoint and the server's certificate",
            code="certificate_refused",
            sent=exchange.sent,
        )
    # Python has none for an error that it does not know.
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if re.fullmatch(_WANTS_CERTIFICATE, reason):
        return client_certificate_trouble()
    if re.fullmatch(_OLD_TLS, reason):
        return TokenEndpointError(
            "the token endpoint speaks only TLS that is too old to be safe: "
            "its operator must offer TLS 1.2 or later",
            code="tls_too_old",
            sent=exchange.sent,
        )
    return None


def client_certificate_trouble() -> TokenEndpointError:
    """Say that a server wants a certificate, or another one."""
    if exchange.has_certificate:
        return TokenEndpointError(
            "the token endpoint refused the client certificate: see whether it has expired, and "
            "whether the server knows it or its authority",
            code="client_certificate_refused",
            sent=exchange.sent,
        )
    return TokenEndpointError(
        "the token endpoint asks for a client certificate (mutual TLS), and closes the connection "
        "without one: give `certificate` and `private_key`",
        code="client_certificate_required",
        sent=exchange.sent,
    )


def no_connection(message: str) -> EndpointUnavailableError:
    """Say that nothing was sent, since nobody was reached."""
    return EndpointUnavailableError(message, code="no_connection", sent=False)


def proxy_failure(text: str) -> OAuthError:
    """Say why a proxy did not connect, by what an HTTP library says of it."""
    found = re.match(_PROXY_STATUS, text)
    if found is None:
        return no_connection(f"{BY_PROXY} did not say whether it connects")
    status = int(found[1])
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return no_connection(f"{BY_PROXY} did not reach the token endpoint (status {status})")
    way_out = "have the token endpoint's host allowed there, or correct the setting"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        way_out = "it asks for a password, which the setting cannot hold: have the function allowed"
    return TokenEndpointError(
        f"{BY_PROXY} refused to connect with status {status}: {way_out}",
        code="proxy_refused",
        sent=False,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, and what it wraps in its arguments."""
    wrapped = [argument for argument in error.args if isinstance(argument, BaseException)]
    return [error, *(cause for inner in wrapped for cause in _chain(inner))]
