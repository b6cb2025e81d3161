"""Sends requests for tokens, for a look at one and for its end, over https and nowhere else.

The only module that uses urllib3. It does not decide what is sent, or when, or which hosts may be
asked.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import zlib
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import urllib3
from urllib3.connection import HTTPException, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError

from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenEndpointError,
    TokenResponseError,
)
from token_refresher.oauth.hidden import Hidden
from token_refresher.oauth.token_request import (
    TokenRequest,
    revocation_request,
    token_request,
    verify_request,
)
from token_refresher.oauth.token_response import is_unsupported_token_type, read_token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from urllib3 import BaseHTTPResponse
    from urllib3.util import Url

    from token_refresher.oauth.allowed_hosts import AllowedHosts
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.signatures import Signer
    from token_refresher.oauth.token_response import TokenResponse

# Of a response as it is read, and again once decoded. A secret holds tokens of 64 KiB in all; what
# is twice as long is a page, or an attack.
LONGEST_BODY: Final = 128 * 1024
# With its headers, interim responses and framing; and all that a proxy says. An HTTP library keeps
# up to 6.5 MB of headers and takes 45 MB to parse them: sixteen such responses at once would end
# the whole function.
LONGEST_RESPONSE: Final = 2 * LONGEST_BODY
CONNECT_SECONDS: Final = 3.0
# For a verification in all, and for opening a connection ahead of what else must be done before a
# request. A token request has its client's own time: connecting, sending, waiting, reading, one
# repeat.
REQUEST_SECONDS: Final = 10.0
# Accounts with authorities of their own seldom have as many different ones.
_CONTEXTS: Final = 32

# It warns of headers that it cannot read, and quotes them and what follows: a token, once.
urllib3.connection.log.disabled = True
urllib3.connectionpool.log.disabled = True

# Nothing here is large enough to gain by an encoding. Servers encode all the same, by one of these
# (RFC 9110 section 8.4.1); for the second some leave out the frame that it should have.
_ENCODING: Final = {"Accept-Encoding": "identity"}
_WINDOWS: Final = {
    "gzip": (16 + zlib.MAX_WBITS,),
    "x-gzip": (16 + zlib.MAX_WBITS,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

# Status, headers, body; None where it is in an encoding that nobody asked for.
Response: TypeAlias = "tuple[int, Mapping[str, str], bytes | None]"

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
# OpenSSL's numbers for why a certificate is not believed.
_NOT_BELIEVED: Final = {
    9: "certificate is not valid yet",
    10: "certificate has expired",
    **dict.fromkeys((18, 19, 20, 21), "certificate is of an unknown authority"),
    62: "certificate is for another name",
    64: "certificate is for another address",
}
# RFC 8446 appendix B.3.
_HANDSHAKE, _CERTIFICATE_REQUEST = 22, 13

_BY_PROXY: Final = "the proxy that TOKEN_ENDPOINT_PROXY names"
# nginx has a page for it, once the handshake is over.
_NGINX_WANTS_CERTIFICATE: Final = rb"No required SSL certificate was sent|The SSL certificate error"
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


_exchange: Final = _Exchange()


class _KnownFailureError(OSError):
    """A failure that is understood where it happens, on its way through an HTTP library."""

    def __init__(self, error: OAuthError) -> None:
        super().__init__()
        self.error = error


class _TimeLimitedSocket(socket.socket):
    """A socket that knows the end of the whole exchange, not of one read."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(_exchange.remaining())
        if _exchange.received > LONGEST_RESPONSE:
            raise ConnectionAbortedError
        received = super().recv_into(*args, **kwargs)
        _exchange.received += received
        return received


class _TimeLimitedTlsSocket(_TimeLimitedSocket, ssl.SSLSocket):
    """One after a TLS handshake: what is sent on it is the request."""

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
        self.settimeout(_exchange.remaining())
        _exchange.sent = True
        try:
            return super().send(*args, **kwargs)
        except ssl.SSLEOFError:
            # The server has left. What it said before, such as why, is still to be read.
            raise BrokenPipeError from None


class _TimeLimitedConnection(HTTPSConnection):
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
            raise _KnownFailureError(_proxy_failure(str(error))) from None
        self.sock.settimeout(min(CONNECT_SECONDS, _exchange.remaining()))

    def _new_conn(self) -> socket.socket:
        _exchange.wants_certificate = False
        failure: Exception | None = None
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            message = "the name of the token endpoint's host was not found"
            if self.proxy is not None:
                message = f"no connection to {_BY_PROXY}, whose name was not found"
            raise _KnownFailureError(_no_connection(message)) from None
        for family, kind, protocol, _, address in found:
            if _exchange.must_be_global and self.proxy is None:
                _require_global(str(address[0]))
            try:
                return _connected(_TimeLimitedSocket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        if self.proxy is not None:
            raise _KnownFailureError(_no_connection(f"no connection to {_BY_PROXY}"))
        raise NewConnectionError(self, "no address answers") from failure


def _require_global(address: str) -> None:
    """Refuse an address that is none of the Internet's, right before it is connected to.

    A name may lead elsewhere than a moment ago, so only what is connected to can be judged.

    Raises:
        _KnownFailureError: It is not global.
    """
    from token_refresher.oauth.addresses import is_global  # noqa: PLC0415 - few stacks need it

    if not is_global(address):
        raise _KnownFailureError(
            TokenEndpointError(
                "the token endpoint's host has an address that is not global, and ALLOWED_TOKEN_"
                "HOSTS allows it by * alone: name the host there, or correct the credentials",
                code="address_not_global",
                sent=False,
            )
        )


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


def _note_certificate_request(
    _: object, direction: str, __: object, content: int, message: int, ___: bytes
) -> None:
    """Take note that a server asks who we are: no error says so if it then only leaves."""
    if direction == "read" and content == _HANDSHAKE and message == _CERTIFICATE_REQUEST:
        _exchange.wants_certificate = True


def _prepared(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context make time-limited sockets, and tell of certificates that are asked for."""
    context.sslsocket_class = _TimeLimitedTlsSocket
    # For debugging, says Python. Where it goes, mutual TLS of before 1.3 is told as no connection.
    context._msg_callback = _note_certificate_request  # type: ignore[attr-defined] # noqa: SLF001
    return context


class _Trust(Hidden, msgspec.Struct, frozen=True):
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
        return _prepared(context)


_AS_ALL: Final = _Trust(None, None, None)


class TokenEndpoint:
    """Token endpoints, and the connections to them.

    Args:
        hosts: Which may be asked; from ALLOWED_TOKEN_HOSTS.
        authorities: Makes a context that verifies certificate and name, for all accounts but
            those with ``ca_certificates`` of their own. Its sockets are made time-limited.
        clock: Gives aware times, for a date in ``Retry-After``.
        monotonic: Gives seconds, for the time limit.
        connections: How many are kept for each host.
        proxy: ``http://host:port``, which all requests go through; None for none. It sees the
            hosts' names, and nothing of what is sent.
        signer: Makes who has the keys of clients that sign, once one does.
    """

    def __init__(
        self,
        *,
        hosts: AllowedHosts,
        authorities: Callable[[], ssl.SSLContext],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        connections: int,
        signer: Callable[[], Signer],
        proxy: str | None = None,
    ) -> None:
        self._hosts = hosts
        self._ssl_context = _prepared(authorities())
        self._context_of = lru_cache(maxsize=_CONTEXTS)(lambda trust: trust.context(authorities))
        self._signer, self._signing = signer, threading.Lock()
        self._clock = clock
        self._monotonic = monotonic
        self._proxy = urllib3.util.parse_url(proxy) if proxy else None
        # Neither reads proxy variables, unlike most clients.
        self._pool = (
            urllib3.ProxyManager(proxy, maxsize=connections)
            if proxy
            else urllib3.PoolManager(maxsize=connections)
        )
        self._pool.pool_classes_by_scheme = {"https": _Pool}

    def drop_connections(self) -> None:
        """Forget the connections of an earlier sweep: the servers have closed them by now."""
        self._pool.clear()

    def admit(self, client: Client) -> None:
        """Check that the client and its tokens may be sent where it says, as it says.

        Raises:
            TokenEndpointError: A host that is not allowed, or certificates that are none.
        """
        self._hosts.require(client)
        self._context(client)

    def _context(self, client: Client) -> ssl.SSLContext:
        """Whom a client believes, and says it is; part of a pooled connection's key."""
        trust = _Trust(client.ca_certificates, client.certificate, client.private_key)
        if trust == _AS_ALL:
            return self._ssl_context
        context: ssl.SSLContext = self._context_of(trust)
        return context

    def _with_assertion(self, client: Client) -> Client:
        """Make a fresh assertion where the client signs: each is good for one request."""
        if not client.signs:
            return client
        from token_refresher.oauth.signatures import made  # noqa: PLC0415 - few accounts need it

        with self._signing:
            # One for all workers.
            signer = self._signer()
        assertion = made(client, signer, now=self._clock())
        return msgspec.structs.replace(client, assertion=assertion)

    def _begin(self, url: str, seconds: float, client: Client) -> None:
        _exchange.begin(
            seconds,
            self._monotonic,
            must_be_global=self._hosts.must_be_global(host_of(url)),
            has_certificate=client.certificate is not None,
        )

    @contextmanager
    def connect(self, client: Client) -> Iterator[Connection]:
        """Open a connection for a grant that cannot be sent twice, before anything is spent.

        Yields:
            A connection after its handshake, and an assertion made where the client signs: after
            it, so that the assertion is young when it is sent, and none is made for a host that
            is not reached. Closed when the block ends.

        Raises:
            OAuthError: Not allowed, or not reached; nothing was sent. The signer's own errors
                likewise.
        """
        self.admit(client)
        url = client.refresh_endpoint or client.token_endpoint
        self._begin(url, REQUEST_SECONDS, client)
        with _told_without_the_wire():
            way = _Way(urllib3.util.parse_url(url), self._context(client), self._proxy)
        connection = Connection(client, way, self._clock, self._begin, self._with_assertion)
        with closing(connection):
            connection.open()
            connection.sign()
            yield connection

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        """Send one token request and read its response.

        It is repeated once, within the same time limit, where the connection was lost. So it is
        not for a refresh token, which may be spent by then: that takes `connect`.

        Args:
            client: Whose endpoint is asked.
            grant: With what.

        Raises:
            OAuthError: As `read_token_response` says, or the endpoint was not reached. The signer's
                own errors: nothing was sent.
        """
        self.admit(client)
        sender = self._with_assertion(client)
        request = token_request(sender, grant)
        self._begin(request.url, client.timeout_seconds, client)
        try:
            response = self.exchange(request, sender)
        except EndpointUnavailableError as error:
            if error.code == "timeout" or _exchange.is_over:
                raise
            # An assertion that may have arrived would be refused as a replay.
            sender = self._with_assertion(client)
            response = self.exchange(token_request(sender, grant), sender)
        return _token_response(response, sender, self._clock())

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Ask ``verify_url`` whether it accepts a token.

        Returns:
            True where it does. False where it refuses the token: 401, or 403 with
            JSON. None where the response says nothing of the token, such as an
            outage or a firewall's page; or where there is no such URL.

        Raises:
            TokenEndpointError: As `admit` says.
        """
        if client.verify_url is None:
            return None
        self.admit(client)
        request = TokenRequest("GET", client.verify_url, verify_request(client, access_token), None)
        self._begin(request.url, REQUEST_SECONDS, client)
        try:
            status, response_headers, _ = self.exchange(request, client)
        except (EndpointUnavailableError, TokenEndpointError):
            return None
        is_json = "json" in response_headers.get("Content-Type", "").lower()
        if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and is_json):
            return False
        return True if status < 300 else None  # noqa: PLR2004 - 2xx

    def revoke(self, client: Client, token: str, *, hint: str) -> bool:
        """Ask a server to end a token (RFC 7009); one that it does not know has ended.

        Args:
            client: Whose token it is, at the server's revocation endpoint.
            token: Access or refresh token.
            hint: Which of the two.

        Returns:
            False where the server does not revoke tokens of this type.

        Raises:
            OAuthError: As `read_token_response` says, or the endpoint was not reached.
        """
        self.admit(client)
        client = self._with_assertion(client)
        request = revocation_request(client, token, hint=hint)
        self._begin(request.url, client.timeout_seconds, client)
        response = self.exchange(request, client)
        status, _, content = response
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return True
        if not is_unsupported_token_type(content or b""):
            # Without a success it raises.
            _token_response(response, client, self._clock())
        return False

    def exchange(self, request: TokenRequest, client: Client) -> Response:
        """Send one request and read its response, neither of which is judged here.

        Raises:
            OAuthError: The endpoint was not reached.
        """
        # A connection that is used again has asked whom it was opened for, and not this thread.
        _exchange.wants_certificate = False
        with _told_without_the_wire():
            # A context of its own is a pool of its own: accounts share the connections of those
            # alone who believe the same authorities.
            pool = self._pool.connection_from_url(
                request.url, pool_kwargs={"ssl_context": self._context(client)}
            )
            return _read(
                pool.urlopen(
                    request.method,
                    urllib3.util.parse_url(request.url).request_uri,
                    body=request.body,
                    headers={**request.headers, **_ENCODING},
                    retries=False,
                    # HTTP libraries send credentials again to wherever they are redirected.
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=_exchange.remaining(),
                )
            )


class _Way(msgspec.Struct, frozen=True):
    """How a host is reached.

    Attributes:
        url: On the host.
        ssl_context: Whom to believe.
        proxy: What is asked to connect, if not we ourselves.
    """

    url: Url
    ssl_context: ssl.SSLContext
    proxy: Url | None

    def connection(self) -> _TimeLimitedConnection:
        """Make a connection, not yet opened."""
        return _TimeLimitedConnection(
            ((self.proxy or self.url).host or "").strip("[]"),
            (self.proxy or self.url).port,
            ssl_context=self.ssl_context,
            proxy=self.proxy,
        )


class Connection:
    """A connection to one token endpoint, for a grant that is never repeated by itself.

    Args:
        client: Whose endpoint it leads to.
        way: How it is reached.
        clock: As the endpoint's.
        begin: Begins an exchange: with which address, within how many seconds, and whose.
        with_assertion: Makes a fresh assertion where a client signs.
    """

    def __init__(
        self,
        client: Client,
        way: _Way,
        clock: Callable[[], datetime],
        begin: Callable[[str, float, Client], None],
        with_assertion: Callable[[Client], Client],
    ) -> None:
        self._client, self._way, self._clock, self._begin = client, way, clock, begin
        self._with_assertion = with_assertion
        self._sender, self._signed_at = client, clock()
        self._connection = way.connection()

    def open(self) -> None:
        """Connect and shake hands; a second time, within the same limit, where that failed.

        Raises:
            OAuthError: The endpoint was not reached, or its certificate refused.
        """
        try:
            self._open()
        except EndpointUnavailableError:
            if _exchange.is_over:
                raise
            self._open()

    def _open(self) -> None:
        self.close()
        with _told_without_the_wire():
            if self._way.proxy is not None:
                # Closing forgets it.
                self._connection.set_tunnel(self._way.url.host or "", self._way.url.port)
            self._connection.connect()

    def sign(self) -> None:
        """Make the assertion that is sent, where the client signs.

        Raises:
            Exception: The signer's own.
        """
        self._signed_at = self._clock()
        self._sender = self._with_assertion(self._client)

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._connection.close()

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        """Send one token request, once, and read its response.

        A connection that the server has closed meanwhile is opened again, and an assertion that
        has become old is made again: it must not end on its way.

        Args:
            grant: With what.
            before_sending: Called when all is ready, right before the first byte leaves; where it
                raises, none does.

        Raises:
            OAuthError: As `read_token_response` says, or the endpoint was not reached. The signer's
                own errors: nothing was sent.
        """
        url = self._client.refresh_endpoint or self._client.token_endpoint
        self._begin(url, self._client.timeout_seconds, self._client)
        if not self._connection.is_connected:
            # TLS 1.3 tells only after the handshake that it wanted a certificate of ours.
            refusal = _refusal_of_tls(self._connection.ended_by)
            if refusal is not None:
                raise refusal
            self.open()
        if self._is_assertion_old():
            self.sign()
            # The signer's time is not the endpoint's.
            self._begin(url, self._client.timeout_seconds, self._client)
        request = token_request(self._sender, grant)
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
        return _token_response(response, self._sender, self._clock())

    def _is_assertion_old(self) -> bool:
        if not self._client.signs:
            return False
        from token_refresher.oauth.signatures import is_old  # noqa: PLC0415 - few accounts need it

        return is_old(self._client, made_at=self._signed_at, now=self._clock())


def _token_response(response: Response, client: Client, now: datetime) -> TokenResponse:
    status, headers, content = response
    if content is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise TokenResponseError(
            "the token response is in a content encoding that was not asked for, and is neither "
            "gzip nor deflate: ask its operator",
            status=status,
        )
    if status == HTTPStatus.BAD_REQUEST and re.search(_NGINX_WANTS_CERTIFICATE, content or b""):
        raise _client_certificate_trouble()
    return read_token_response(
        status,
        content or b"",
        retry_after=headers.get("Retry-After"),
        content_type=headers.get("Content-Type"),
        client=client,
        now=now,
    )


def _read(response: BaseHTTPResponse) -> Response:
    """Read status, headers and at most `LONGEST_BODY` of a response's body, and of its content."""
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


@contextmanager
def _told_without_the_wire() -> Iterator[None]:
    """Let what an HTTP library raises become an error of ours."""
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
        if isinstance(cause, _KnownFailureError):
            return cause.error
        refusal = _refusal_of_tls(cause)
        if refusal is not None:
            return refusal
    is_late = any(
        isinstance(each, TimeoutError | urllib3.exceptions.TimeoutError) for each in causes
    )
    if not _exchange.sent:
        if _exchange.wants_certificate and not is_late:
            return _client_certificate_trouble()
        return _no_connection("no connection to the token endpoint")
    if is_late:
        return EndpointUnavailableError("the token endpoint did not answer in time", code="timeout")
    hint = ""
    if _exchange.wants_certificate:
        # Most servers that ask do without, or take the one that they get; some only leave.
        hint = "; it had asked for a client certificate (mutual TLS)"
        if _exchange.has_certificate:
            hint += ", and may have refused the one that it got"
    return EndpointUnavailableError(
        f"the token endpoint closed the connection before its response was whole{hint}",
        code="connection_lost",
    )


def _refusal_of_tls(error: BaseException | None) -> TokenEndpointError | None:
    """Say what TLS refused, on either side; None where it was not TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _NOT_BELIEVED.get(error.verify_code, "certificate or name was refused")
        return TokenEndpointError(
            f"the token endpoint's {why}: "
            "check token_endpoint, ca_certificates and the server's certificate",
            code="certificate_refused",
            sent=_exchange.sent,
        )
    # Python has none for an error that it does not know.
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if re.fullmatch(_WANTS_CERTIFICATE, reason):
        return _client_certificate_trouble()
    if re.fullmatch(_OLD_TLS, reason):
        return TokenEndpointError(
            "the token endpoint speaks only TLS that is too old to be safe: "
            "its operator must offer TLS 1.2 or later",
            code="tls_too_old",
            sent=_exchange.sent,
        )
    return None


def _client_certificate_trouble() -> TokenEndpointError:
    """Say that a server wants a certificate, or another one."""
    if _exchange.has_certificate:
        return TokenEndpointError(
            "the token endpoint refused the client certificate: see whether it has expired, and "
            "whether the server knows it or its authority",
            code="client_certificate_refused",
            sent=_exchange.sent,
        )
    return TokenEndpointError(
        "the token endpoint asks for a client certificate (mutual TLS), and closes the connection "
        "without one: give `certificate` and `private_key`",
        code="client_certificate_required",
        sent=_exchange.sent,
    )


def _no_connection(message: str) -> EndpointUnavailableError:
    return EndpointUnavailableError(message, code="no_connection", sent=False)


def _proxy_failure(text: str) -> OAuthError:
    """Say why a proxy did not connect, by what an HTTP library says of it."""
    found = re.match(_PROXY_STATUS, text)
    if found is None:
        return _no_connection(f"{_BY_PROXY} did not say whether it connects")
    status = int(found[1])
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _no_connection(f"{_BY_PROXY} did not reach the token endpoint (status {status})")
    way_out = "have the token endpoint's host allowed there, or correct the setting"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        way_out = "it asks for a password, which the setting cannot hold: have the function allowed"
    return TokenEndpointError(
        f"{_BY_PROXY} refused to connect with status {status}: {way_out}",
        code="proxy_refused",
        sent=False,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, and what it wraps in its arguments."""
    wrapped = [argument for argument in error.args if isinstance(argument, BaseException)]
    return [error, *(cause for inner in wrapped for cause in _chain(inner))]
