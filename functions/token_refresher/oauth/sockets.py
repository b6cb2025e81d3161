"""Connections that keep to the limits of their exchange, and lead only to whom an account believes.

Which hosts may be asked is not decided here; where a name leads is looked at.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec
import urllib3
from urllib3.connection import HTTPException, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from token_refresher.oauth.errors import TokenEndpointError
from token_refresher.oauth.exchange import (
    BY_PROXY,
    LONGEST_RESPONSE,
    KnownFailureError,
    exchange,
    no_connection,
    proxy_failure,
)
from token_refresher.oauth.hidden import Hidden

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_SECONDS: Final = 3.0
# RFC 8446 appendix B.3.
_HANDSHAKE, _CERTIFICATE_REQUEST = 22, 13

# It warns of headers that it cannot read, and quotes them and what follows: a token, once.
urllib3.connection.log.disabled = True
urllib3.connectionpool.log.disabled = True


class _TimeLimitedSocket(socket.socket):
    """A socket that knows the end of the whole exchange, not of one read."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(exchange.remaining())
        if exchange.received > LONGEST_RESPONSE:
            raise ConnectionAbortedError
        received = super().recv_into(*args, **kwargs)
        exchange.received += received
        return received


class _TimeLimitedTlsSocket(_TimeLimitedSocket, ssl.SSLSocket):
    """One after a TLS handshake: what is sent on it is the request."""

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(exchange.remaining())
        exchange.sent = True
        try:
            return super().send(*args, **kwargs)
        except ssl.SSLEOFError:
            # The server has left. What it said before, such as why, is still to be read.
            raise BrokenPipeError from None


class TimeLimitedConnection(HTTPSConnection):
    """A connection whose host's addresses share the time of one exchange.

    Else a hung host would take three seconds for each of its addresses.
    """

    # What it was last found unusable for.
    ended_by: OSError | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it can be used: open, and nothing on it that no request has asked for.

        Looking at the socket would not tell. What TLS has decrypted already is not in it, and
        would be taken for the next request's response; and TLS's own tickets are in it.
        """
        if self.sock is None:
            return False
        self.sock.settimeout(0)
        try:
            self.sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError as error:
            self.ended_by = error
        return False

    def _tunnel(self) -> None:
        """Have the proxy connect, and leave no more time to the handshake than it has."""
        try:
            super()._tunnel()
        except (OSError, HTTPException) as error:
            raise KnownFailureError(proxy_failure(str(error))) from None
        self.sock.settimeout(min(_CONNECT_SECONDS, exchange.remaining()))

    def _new_conn(self) -> socket.socket:
        exchange.wants_certificate = False
        failure: Exception | None = None
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            message = "the name of the token endpoint's host was not found"
            if self.proxy is not None:
                message = f"no connection to {BY_PROXY}, whose name was not found"
            raise KnownFailureError(no_connection(message)) from None
        for family, kind, protocol, _, address in found:
            if exchange.must_be_global and self.proxy is None:
                _require_global(str(address[0]))
            try:
                return _connected(_TimeLimitedSocket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        if self.proxy is not None:
            raise KnownFailureError(no_connection(f"no connection to {BY_PROXY}"))
        raise NewConnectionError(self, "no address answers") from failure


def _require_global(address: str) -> None:
    """Refuse an address that is none of the Internet's, right before it is connected to.

    A name may lead elsewhere than a moment ago, so only what is connected to can be judged.

    Raises:
        KnownFailureError: It is not global.
    """
    from token_refresher.oauth.addresses import is_global  # noqa: PLC0415 - few stacks need it

    if not is_global(address):
        raise KnownFailureError(
            TokenEndpointError(
                "the token endpoint's host has an address that is not global, and ALLOWED_TOKEN_"
                "HOSTS allows it by * alone: name the host there, or correct the credentials",
                code="address_not_global",
                sent=False,
            )
        )


def _connected(connection: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401
    try:
        connection.settimeout(min(_CONNECT_SECONDS, exchange.remaining()))
        connection.connect(address)
        # For the handshake, which comes next and keeps the timeout that it finds.
        connection.settimeout(min(_CONNECT_SECONDS, exchange.remaining()))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise
    return connection


class Pool(urllib3.HTTPSConnectionPool):
    """Connections to one host that are used again, each bound by whoever's exchange uses it."""

    ConnectionCls = TimeLimitedConnection  # type: ignore[mutable-override] # as its own base does


def _note_certificate_request(
    _: object, direction: str, __: object, content: int, message: int, ___: bytes
) -> None:
    """Take note that a server asks who we are: no error says so if it then only leaves."""
    if direction == "read" and content == _HANDSHAKE and message == _CERTIFICATE_REQUEST:
        exchange.wants_certificate = True


def prepared(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context make time-limited sockets, and tell of certificates that are asked for."""
    context.sslsocket_class = _TimeLimitedTlsSocket
    # For debugging, says Python. Where it goes, mutual TLS of before 1.3 is told as no connection.
    context._msg_callback = _note_certificate_request  # type: ignore[attr-defined] # noqa: SLF001
    return context


class Trust(Hidden, msgspec.Struct, frozen=True):
    """Whom accounts believe, and whom they say they are; no other accounts use its connections.

    Attributes:
        ca_certificates: None for those that the endpoint believes.
        certificate: None where they say nothing.
        private_key: Likewise.
    """

    ca_certificates: str | None
    certificate: str | None
    private_key: str | None

    def context(self, believed: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """Make the context.

        Args:
            believed: Makes one that believes as the endpoint does.

        Raises:
            TokenEndpointError: It names the field.
        """
        from token_refresher.oauth.certificates import (  # noqa: PLC0415 - few accounts need it
            CertificatesError,
            ClientCertificateError,
            authorities_of,
            identify,
        )

        try:
            own = self.ca_certificates
            context = believed() if own is None else authorities_of(own)
            if self.certificate is not None and self.private_key is not None:
                identify(context, self.certificate, self.private_key)
        except CertificatesError as error:
            what = f"`ca_certificates` takes {error}"
            raise TokenEndpointError(what, code="invalid_ca_certificates", sent=False) from None
        except ClientCertificateError as error:
            what = str(error)
            raise TokenEndpointError(what, code="invalid_certificate", sent=False) from None
        return prepared(context)
