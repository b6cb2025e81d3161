"""What stands before a server: TLS, and what networks do to requests and responses."""

from __future__ import annotations

import base64
import json
import ssl
from collections import Counter
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from local.authorization_server.https import Door, HttpsServer, NoReplyError, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from local.authority import Authority
    from tests.resilience.matrix import Boundary
    from tests.servers.servers import Server

_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
# What each hop says for itself.
_OF_A_HOP: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)


class Network(Enum):
    """What becomes of requests on their way."""

    FINE = "they arrive, and so do the responses"
    LOSES_A_RESPONSE = "one is processed, and its response lost; then all is fine"
    GATEWAY_IS_DOWN = "502, and nothing reaches the server"
    IS_NOT_TRUSTED = "the certificate is another authority's"


class Front:
    """Passes requests on to a server, or does not.

    Args:
        server: What it stands before.
        authority: Vouches for it.
        stranger: An authority that nobody trusts.
        boundary: What every token request crosses; what strikes there kills.
        kill: Ends the program's process.
        clients: Whether they are asked for a certificate of the authority's.

    Attributes:
        network: What becomes of requests now.
        struck: How often that was anything but fine.
        sent: How often each refresh token reached the server.
        latest: The refresh token that was issued last.
        seen: The request that came last, whatever became of it.
    """

    def __init__(
        self,
        server: Server,
        *,
        authority: Authority,
        stranger: Authority,
        boundary: Boundary,
        kill: Callable[[], None],
        clients: ssl.VerifyMode = ssl.CERT_NONE,
    ) -> None:
        self._server, self._boundary, self._kill = server, boundary, kill
        self._stranger = stranger.server_context()
        context = authority.server_context(clients=clients)
        context.sni_callback = self._choose_certificate
        self._https = HttpsServer(self._respond, context)
        self.host = f"localhost:{self._https.port}"
        self.token_endpoint = f"https://{self.host}{server.kind.token}"
        self.latest = ""
        self.seen: Request | None = None
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self.network, self.struck = Network.FINE, 0
        self.sent: Counter[str] = Counter()

    def close(self) -> None:
        """Give the port back."""
        self._https.set_door(Door.CLOSED)

    def _choose_certificate(self, connection: ssl.SSLObject, *_: object) -> None:
        if self.network is Network.IS_NOT_TRUSTED:
            self.struck += 1
            connection.context = self._stranger

    def _respond(self, request: Request) -> Reply:
        self.seen = request
        fault = self._boundary.arrive("request")
        if self.network is Network.GATEWAY_IS_DOWN:
            self.struck += 1
            return Reply(502, (("Content-Type", "text/html"),), _PAGE)
        for token in parse_qs(request.body.decode()).get("refresh_token", ()):
            self.sent[token] += 1
        response = self.forward(request)
        if response.status == HTTPStatus.OK:
            self.latest = json.loads(response.data).get("refresh_token", self.latest)
        if fault is not None:
            self._kill()
            raise NoReplyError(reset=False)
        if self.network is Network.LOSES_A_RESPONSE:
            self.network = Network.FINE
            self.struck += 1
            raise NoReplyError(reset=False)
        kept = [each for each in response.headers.items() if each[0].lower() not in _OF_A_HOP]
        return Reply(response.status, tuple(kept), response.data)

    def forward(
        self, request: Request, *, with_certificate: bool = True
    ) -> urllib3.BaseHTTPResponse:
        """Pass a request on as it is, and the certificate that its client has shown."""
        headers = {name: text for name, text in request.headers.items() if name != "Host"}
        if request.certificate is not None and with_certificate:
            headers["X-Client-Certificate"] = base64.b64encode(request.certificate).decode()
        return self._server.forward(request.method, request.path, headers, request.body)
