"""Sends requests for tokens, for a look at one and for its end, over https and nowhere else.

It does not decide what is sent, or when, or which hosts may be asked.
"""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
import urllib3

from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.errors import EndpointUnavailableError, TokenEndpointError
from token_refresher.oauth.exchange import (
    REQUEST_SECONDS,
    exchange,
    refusal_of_tls,
    told_without_the_wire,
)
from token_refresher.oauth.http_response import ENCODING, read, token_response_of
from token_refresher.oauth.sockets import Pool, TimeLimitedConnection, Trust, prepared
from token_refresher.oauth.token_request import (
    TokenRequest,
    revocation_request,
    token_request,
    verify_request,
)
from token_refresher.oauth.token_response import is_unsupported_token_type

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from urllib3.util import Url

    from token_refresher.oauth.allowed_hosts import AllowedHosts
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.http_response import Response
    from token_refresher.oauth.signatures import Signer
    from token_refresher.oauth.token_response import TokenResponse

# Accounts with authorities of their own seldom have as many different ones.
_CONTEXTS: Final = 32
_AS_ALL: Final = Trust(None, None, None)


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
        self._ssl_context = prepared(authorities())
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
        self._pool.pool_classes_by_scheme = {"https": Pool}

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
        trust = Trust(client.ca_certificates, client.certificate, client.private_key)
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
        exchange.begin(
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
        self._begin(url, min(REQUEST_SECONDS, client.timeout_seconds), client)
        with told_without_the_wire():
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
            if error.code == "timeout" or exchange.is_over:
                raise
            # An assertion that may have arrived would be refused as a replay.
            sender = self._with_assertion(client)
            response = self.exchange(token_request(sender, grant), sender)
        return token_response_of(response, sender, self._clock())

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
            token_response_of(response, client, self._clock())
        return False

    def exchange(self, request: TokenRequest, client: Client) -> Response:
        """Send one request and read its response, neither of which is judged here.

        Raises:
            OAuthError: The endpoint was not reached.
        """
        # A connection that is used again has asked whom it was opened for, and not this thread.
        exchange.wants_certificate = False
        with told_without_the_wire():
            # A context of its own is a pool of its own: accounts share the connections of those
            # alone who believe the same authorities.
            pool = self._pool.connection_from_url(
                request.url, pool_kwargs={"ssl_context": self._context(client)}
            )
            return read(
                pool.urlopen(
                    request.method,
                    urllib3.util.parse_url(request.url).request_uri,
                    body=request.body,
                    headers={**request.headers, **ENCODING},
                    retries=False,
                    # HTTP libraries send credentials again to wherever they are redirected.
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=exchange.remaining(),
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

    def connection(self) -> TimeLimitedConnection:
        """Make a connection, not yet opened."""
        return TimeLimitedConnection(
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
            if exchange.is_over:
                raise
            self._open()

    def _open(self) -> None:
        self.close()
        with told_without_the_wire():
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
            refusal = refusal_of_tls(self._connection.ended_by)
            if refusal is not None:
                raise refusal
            self.open()
        if self._is_assertion_old():
            self.sign()
            # The signer's time is not the endpoint's.
            self._begin(url, self._client.timeout_seconds, self._client)
        request = token_request(self._sender, grant)
        before_sending()
        with told_without_the_wire():
            # A server may respond before it has read all, and close.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(
                    request.method,
                    urllib3.util.parse_url(request.url).request_uri,
                    body=request.body,
                    headers={**request.headers, **ENCODING},
                    preload_content=False,
                    decode_content=False,
                )
            response = read(self._connection.getresponse())
        return token_response_of(response, self._sender, self._clock())

    def _is_assertion_old(self) -> bool:
        if not self._client.signs:
            return False
        from token_refresher.oauth.signatures import is_old  # noqa: PLC0415 - few accounts need it

        return is_old(self._client, made_at=self._signed_at, now=self._clock())
