"""A token endpoint's client, and servers over TLS that play scripts for it."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.connect_proxy import ConnectProxy
from tests.unit.raw_tls_server import Conversation, RawRequest, RawTlsServer, Script, answer
from tests.unit.signer import no_signer
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.client_authentication import Client, Grant, refresh_grant
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError
from token_refresher.oauth.exchange import REQUEST_SECONDS
from token_refresher.oauth.transport import TokenEndpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from local.authority import Authority
    from local.clock import DrivenClock
    from tests.unit.connect_proxy import Act
    from token_refresher.oauth.token_response import TokenResponse

TOKEN = "4df2" * 10
ISSUED = json.dumps({"access_token": TOKEN, "token_type": "bearer", "expires_in": 43200}).encode()
SUCCESS = answer(ISSUED)
CLIENT: Mapping[str, Any] = {
    "client_id": "123",
    "client_secret": "02468abcdef",
    "auth_method": "client_secret_basic",
    "user_agent": "invented/1",
}
REFRESH = refresh_grant("c0ffee" * 6)
OWN = Grant({"grant_type": "client_credentials"})
either_way = pytest.mark.parametrize("grant", [OWN, REFRESH], ids=["pooled", "opened for it"])

# What the canary tests look for: each is in a request, an address or a response.
MARK = "canary"


def standing_still() -> float:
    return 0.0


class Ticking:
    """A time that passes by being asked for."""

    def __init__(self, step: float) -> None:
        self.asked, self._step = 0, step

    def __call__(self) -> float:
        self.asked += 1
        return (self.asked - 1) * self._step


@dataclass
class Settable:
    """A time that a server's script moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def up_after(readings: int) -> Callable[[], float]:
    """The time is up after so many looks at it."""
    times = itertools.chain(itertools.repeat(0.0, readings), itertools.repeat(REQUEST_SECONDS + 1))
    return lambda: next(times)


def nearly_over(left: float) -> Callable[[], float]:
    """All but a moment has passed by the time that the connection is made."""
    readings = itertools.chain([0.0], itertools.repeat(REQUEST_SECONDS - left))
    return lambda: next(readings)


class Wire:
    """Servers over TLS, and clients that trust their authority, until the test ends."""

    def __init__(self, authority: Authority, clock: DrivenClock, stack: ExitStack) -> None:
        self._authority, self._clock, self._stack = authority, clock, stack

    def serve(self, *scripts: Script, context: ssl.SSLContext | None = None) -> RawTlsServer:
        """Start a server; each connection plays the next script."""
        server = RawTlsServer(context or self._authority.server_context(), scripts)
        return self._stack.enter_context(server)

    def proxy(self, server: RawTlsServer, *act: Act) -> ConnectProxy:
        """Start a proxy that leads to a server, whatever host it is asked for."""
        return self._stack.enter_context(ConnectProxy(server.port, act))

    def connect(
        self,
        *servers: RawTlsServer,
        allowed: tuple[str, ...] = (),
        monotonic: Callable[[], float] = standing_still,
        context: ssl.SSLContext | None = None,
        proxy: ConnectProxy | str | None = None,
    ) -> TokenEndpoint:
        """Make a client that may reach the given servers."""
        endpoint = TokenEndpoint(
            hosts=AllowedHosts(
                [*(server.host for server in servers), *allowed], is_proxied=proxy is not None
            ),
            authorities=lambda: context or self._authority.client_context(),
            clock=self._clock.now,
            monotonic=monotonic,
            connections=4,
            signer=no_signer,
            proxy=proxy.url if isinstance(proxy, ConnectProxy) else proxy,
        )
        self._stack.callback(endpoint.drop_connections)
        return endpoint


def client_of(server: RawTlsServer, **fields: Any) -> Client:  # noqa: ANN401
    return Client(**{"token_endpoint": server.url, **CLIENT, **fields})


def at(url: str, **fields: Any) -> Client:  # noqa: ANN401
    return Client(**{"token_endpoint": url, **CLIENT, **fields})


def greets_with(data: bytes) -> Script:
    """Hear the client's greeting, say this, and hear the rest."""

    def play(conversation: Conversation) -> None:
        conversation.hear_the_greeting()
        conversation.send_without_handshake(data)
        conversation.wait_without_handshake()

    return play


def basic(request: RawRequest) -> bytes:
    """What stands behind ``Basic``, decoded once."""
    scheme, _, encoded = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True)


def send(
    endpoint: TokenEndpoint,
    client: Client,
    grant: Grant,
    before_sending: Callable[[], None] = lambda: None,
) -> TokenResponse:
    """Make a request on the way that its grant takes."""
    if grant.refresh_token is None:
        before_sending()
        return endpoint.request(client, grant)
    with endpoint.connect(client) as connection:
        return connection.request(grant, before_sending=before_sending)


def ask(endpoint: TokenEndpoint, server: RawTlsServer, grant: Grant = OWN) -> TokenResponse:
    return send(endpoint, client_of(server), grant)


def failure_of(endpoint: TokenEndpoint, client: Client, grant: Grant = OWN) -> OAuthError:
    """Make a request that fails, and return why."""
    with pytest.raises(OAuthError) as failure:
        send(endpoint, client, grant)
    return failure.value


def unavailable(
    endpoint: TokenEndpoint, client: Client, grant: Grant = OWN
) -> EndpointUnavailableError:
    """Make a request that fails and may not the next time, and return why."""
    error = failure_of(endpoint, client, grant)
    assert isinstance(error, EndpointUnavailableError)
    return error
