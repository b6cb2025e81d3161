"""Sends a token request (RFC 6749) and a verify request, over https and nowhere else.

The only module that uses urllib3. It does not decide what is sent, or when.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import urllib3
from urllib3.connection import HTTPException, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.errors import EndpointUnavailableError, TokenEndpointError
from token_refresher.oauth.token_request import TokenRequest, token_request, verify_request
from token_refresher.oauth.token_response import read_token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from urllib3 import BaseHTTPResponse

    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse

# Tokens are a few kilobytes at most; what is longer is a page, or an attack.
LONGEST_BODY: Final = 32 * 1024
# With its headers, interim responses and framing. An HTTP library keeps up to 6.5 MB of headers
# and takes 45 MB to parse them: sixteen such responses at once would end the whole function.
LONGEST_RESPONSE: Final = 4 * LONGEST_BODY
CONNECT_SECONDS: Final = 3.0
# For one token request in all: connecting, sending, waiting, reading, one repeat. Where a
# connection is opened before, for what else must be done first, that has as much for itself.
REQUEST_SECONDS: Final = 10.0

# It warns of headers that it cannot read, and quotes them and what follows: a token, once.
urllib3.connection.log.disabled = True
urllib3.connectionpool.log.disabled = True

# An encoded body could be a bomb; nothing here is large enough to gain by one.
_ENCODING: Final = {"Accept-Encoding": "identity"}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

# Status, headers, body.
_Response: TypeAlias = "tuple[int, Mapping[str, str], bytes]"


class _Exchange(threading.local):
    """What the current thread's request may still take, and whether it has left.

    A socket's own timeout starts again with every byte, so a slow drip would
    never end. Each read and write asks here how much of the whole is left.
    """

    ends_at = math.inf
    sent = False
    received = 0
    monotonic: Callable[[], float]

    def begin(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.ends_at = monotonic() + REQUEST_SECONDS
        self.sent = False
        self.received = 0

    def remaining(self) -> float:
        """Seconds left of the request's limit.

        Raises:
            TimeoutError: None are.
        """
        left = self.ends_at - self.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


_exchange: Final = _Exchange()


class _TimeLimitedSocket(ssl.SSLSocket):
    """A TLS socket that knows the end of the whole exchange, not of one read."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(_exchange.remaining())
        if _exchange.received > LONGEST_RESPONSE:
            raise ConnectionAbortedError
        received = super().recv_into(*args, **kwargs)
        _exchange.received += received
        return received

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(_exchange.remaining())
        _exchange.sent = True
        return super().send(*args, **kwargs)


class _TimeLimitedConnection(HTTPSConnection):
    """A connection whose host's addresses share the time of one exchange.

    Else a hung host would take three seconds for each of its addresses.
    """

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
        except OSError:
            pass
        return False

    def _new_conn(self) -> socket.socket:
        failure: Exception | None = None
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure, found = error, []
        for family, kind, protocol, _, address in found:
            try:
                return _connected(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        raise NewConnectionError(self, "no address answers") from failure


def _connected(connection: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401
    try:
        connection.settimeout(min(CONNECT_SECONDS, _exchange.remaining()))
        connection.connect(address)
        # For the handshake, which comes next and keeps the timeout that it finds.
        connection.settimeout(min(CONNECT_SECONDS, _exchange.remaining()))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise
    return connection


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TimeLimitedConnection  # type: ignore[mutable-override] # as its own base does


class TokenEndpoint:
    """Token endpoints, and the connections to them.

    Args:
        allowed_hosts: ``host`` or ``host:port``, lower case; from ALLOWED_TOKEN_HOSTS.
        ssl_context: Verifies certificate and name. Its sockets are made time-limited.
        clock: Gives aware times, for a date in ``Retry-After``.
        monotonic: Gives seconds, for the time limit.
        connections: How many are kept for each host.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str],
        ssl_context: ssl.SSLContext,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        connections: int,
    ) -> None:
        self._allowed_hosts = frozenset(allowed_hosts)
        self._ssl_context = ssl_context
        self._clock = clock
        self._monotonic = monotonic
        ssl_context.sslsocket_class = _TimeLimitedSocket
        # A PoolManager reads no proxy variables, unlike most clients.
        self._pool = urllib3.PoolManager(ssl_context=ssl_context, maxsize=connections)
        self._pool.pool_classes_by_scheme = {"https": _Pool}

    def drop_connections(self) -> None:
        """Forget the connections of an earlier sweep: the servers have closed them by now."""
        self._pool.clear()

    def admit(self, client: Client) -> None:
        """Check that the client and its tokens may be sent where it says.

        Raises:
            TokenEndpointError: A host that ALLOWED_TOKEN_HOSTS does not name.
        """
        for field, url in (
            ("token_endpoint", client.token_endpoint),
            ("verify_url", client.verify_url),
        ):
            if url is not None and host_of(url) not in self._allowed_hosts:
                msg = (
                    f"the host of {field} is not allowed: add it to the setting "
                    "ALLOWED_TOKEN_HOSTS, or correct the credentials"
                )
                raise TokenEndpointError(msg, code="host_not_allowed", sent=False)

    @contextmanager
    def connect(self, client: Client) -> Iterator[Connection]:
        """Open a connection for a grant that cannot be sent twice, before anything is spent.

        Yields:
            A connection after its handshake; closed when the block ends.

        Raises:
            OAuthError: Not allowed, or not reached; nothing was sent.
        """
        self.admit(client)
        _exchange.begin(self._monotonic)
        with _told_without_the_wire():
            connection = Connection(client, self._ssl_context, self._clock, self._monotonic)
        with closing(connection):
            connection.open()
            yield connection

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        """Send one token request and read its response.

        It is repeated once, within the same time limit, where the connection was lost. So it is
        not for a refresh token, which may be spent by then: that takes `connect`.

        Args:
            client: Whose endpoint is asked.
            grant: With what.

        Raises:
            OAuthError: As `read_token_response` says, or the endpoint was not reached.
        """
        self.admit(client)
        request = token_request(client, grant)
        _exchange.begin(self._monotonic)
        try:
            response = self._send(request)
        except EndpointUnavailableError as error:
            if error.code == "timeout":
                raise
            response = self._send(request)
        return _token_response(response, client, self._clock())

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Ask ``verify_url`` whether it accepts a token.

        Returns:
            True where it does. False where it refuses the token: 401, or 403 with
            JSON. None where the response says nothing of the token, such as an
            outage or a firewall's page; or where there is no such URL.

        Raises:
            TokenEndpointError: A host that ALLOWED_TOKEN_HOSTS does not name.
        """
        if client.verify_url is None:
            return None
        self.admit(client)
        headers = verify_request(client, access_token)
        _exchange.begin(self._monotonic)
        try:
            status, response_headers, _ = self._send(
                TokenRequest("GET", client.verify_url, headers, None)
            )
        except (EndpointUnavailableError, TokenEndpointError):
            return None
        is_json = "json" in response_headers.get("Content-Type", "").lower()
        if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and is_json):
            return False
        return True if status < 300 else None  # noqa: PLR2004 - 2xx

    def _send(self, request: TokenRequest) -> _Response:
        with _told_without_the_wire():
            return _read(
                self._pool.urlopen(
                    request.method,
                    request.url,
                    body=request.body,
                    headers={**request.headers, **_ENCODING},
                    retries=False,
                    # HTTP libraries send credentials again to wherever they are redirected.
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=urllib3.Timeout(
                        connect=min(CONNECT_SECONDS, _exchange.remaining()), read=REQUEST_SECONDS
                    ),
                )
            )


class Connection:
    """A connection to one token endpoint, for a grant that is never repeated by itself.

    Args:
        client: Whose endpoint it leads to.
        ssl_context: As the endpoint's.
        clock: Likewise.
        monotonic: Likewise.
    """

    def __init__(
        self,
        client: Client,
        ssl_context: ssl.SSLContext,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._client, self._clock, self._monotonic = client, clock, monotonic
        self._url = urllib3.util.parse_url(client.token_endpoint)
        host = (self._url.host or "").strip("[]")
        self._connection = _TimeLimitedConnection(host, self._url.port, ssl_context=ssl_context)

    def open(self) -> None:
        """Connect and shake hands; a second time, within the same limit, where that failed.

        Raises:
            OAuthError: The endpoint was not reached, or its certificate refused.
        """
        try:
            self._open()
        except EndpointUnavailableError:
            self._open()

    def _open(self) -> None:
        self.close()
        with _told_without_the_wire():
            self._connection.connect()

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._connection.close()

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        """Send one token request, once, and read its response.

        A connection that the server has closed meanwhile is opened again.

        Args:
            grant: With what.
            before_sending: Called when all is ready, right before the first byte leaves; where it
                raises, none does.

        Raises:
            OAuthError: As `read_token_response` says, or the endpoint was not reached.
        """
        request = token_request(self._client, grant)
        _exchange.begin(self._monotonic)
        if not self._connection.is_connected:
            self.open()
        before_sending()
        with _told_without_the_wire():
            # A server may respond before it has read all, and close.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(
                    request.method,
                    urllib3.util.parse_url(request.url).request_uri,
                    body=request.body,
                    headers={**request.headers, **_ENCODING},
                    preload_content=False,
                    decode_content=False,
                )
            response = _read(self._connection.getresponse())
        return _token_response(response, self._client, self._clock())


def _token_response(response: _Response, client: Client, now: datetime) -> TokenResponse:
    status, headers, content = response
    return read_token_response(
        status,
        content,
        retry_after=headers.get("Retry-After"),
        content_type=headers.get("Content-Type"),
        client=client,
        now=now,
    )


def _read(response: BaseHTTPResponse) -> _Response:
    """Read status, headers and at most `LONGEST_BODY` of a response's body."""
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
    # Cut off, a body is no JSON any more.
    return response.status, response.headers, content[:LONGEST_BODY]


def _require_final(status: int) -> None:
    """Refuse an interim response (RFC 9110 section 15.2), which urllib3 takes for the final one.

    The final one is still to come, and would be read as the next request's: its connection is
    given up. What became of the request nobody knows.

    Raises:
        ProtocolError: A status below 200 that is not 100, which is passed over.
    """
    if status < HTTPStatus.OK:
        raise ProtocolError


@contextmanager
def _told_without_the_wire() -> Iterator[None]:
    """Let what an HTTP library raises become an error of ours."""
    try:
        yield
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        # ValueError: a chunk of negative length, which http.client does not foresee.
        # From None: the cause's text may hold addresses and what was on the wire.
        raise _unreached(error) from None


def _unreached(error: Exception) -> EndpointUnavailableError | TokenEndpointError:
    """Say why there was no response, and whether anything had left."""
    causes = {type(cause) for cause in _chain(error)}
    if any(issubclass(cause, ssl.SSLCertVerificationError) for cause in causes):
        return TokenEndpointError(
            "the token endpoint's certificate or name was refused: "
            "check token_endpoint, and the server's certificate",
            code="certificate_refused",
            sent=_exchange.sent,
        )
    if not _exchange.sent:
        return EndpointUnavailableError(
            "no connection to the token endpoint", code="no_connection", sent=False
        )
    if any(issubclass(cause, TimeoutError | urllib3.exceptions.TimeoutError) for cause in causes):
        return EndpointUnavailableError("the token endpoint did not answer in time", code="timeout")
    return EndpointUnavailableError(
        "the token endpoint closed the connection before its response was whole",
        code="connection_lost",
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, and what it wraps in its arguments."""
    wrapped = [argument for argument in error.args if isinstance(argument, BaseException)]
    return [error, *(cause for inner in wrapped for cause in _chain(inner))]
