"""The PyPI package Authlib as an authorization server for clients that sign, but for its clock.

It runs as a script, and each request brings the time along. Its arguments are a lifetime in
seconds, the clients as JSON, and a directory. What Authlib leaves to whoever uses it is written
here as its documentation shows it: who is a client, with which key, and which assertions were seen.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from joserfc.jwk import KeySet, OctKey

from local.authorization_server.grants import FormRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

LIFETIME, CLIENTS = int(sys.argv[1]), json.loads(sys.argv[2])
AUDIENCE = "https://issuer.example"

moments = [time.time()]
time.time = lambda: moments[-1]
# Until when each token lives, and which assertions have come.
issued: dict[str, float] = {}
seen: set[tuple[str, str]] = set()
lock = threading.Lock()


class Client(ClientMixin):
    """A client, by its registration (RFC 7591)."""

    def __init__(self, registration: dict[str, Any]) -> None:
        self.registration = registration

    @property
    def keys(self) -> OctKey | KeySet:
        """What its assertions are verified with."""
        if self.registration["token_endpoint_auth_method"] == "client_secret_jwt":
            return OctKey.import_key(self.registration["client_secret"])
        return KeySet.import_key_set(self.registration["jwks"])

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002
        """By an assertion and no otherwise."""
        return method == JWTBearerClientAssertion.CLIENT_AUTH_METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        """As registered."""
        return grant_type in self.registration["grant_types"]

    def get_allowed_scope(self, scope: Any) -> str:  # noqa: ANN401 - None for none
        """Whatever is asked for."""
        return scope or ""


clients = {each["client_id"]: Client(each) for each in CLIENTS}


class Assertion(JWTBearerClientAssertion):
    """RFC 7523 section 2.2."""

    def get_audiences(self) -> list[str]:
        """Its issuer alone."""
        return [AUDIENCE]

    def resolve_client_public_key(self, client: Client) -> OctKey | KeySet:
        """As registered."""
        return client.keys

    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        """Once."""
        with lock:
            is_new = (claims["sub"], jti) not in seen
            seen.add((claims["sub"], jti))
        return is_new


class ClientCredentials(grants.ClientCredentialsGrant):
    """RFC 6749 section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS: Collection[str] = (Assertion.CLIENT_AUTH_METHOD,)


class JwtBearer(JWTBearerGrant):
    """RFC 7523 section 2.1."""

    def get_audiences(self) -> list[str]:
        """Its issuer alone."""
        return [AUDIENCE]

    def resolve_issuer_client(self, issuer: str) -> Client | None:
        """By its id."""
        return clients.get(issuer)

    def resolve_client_public_key(self, client: Client) -> OctKey | KeySet:
        """As registered."""
        return client.keys

    def authenticate_user(self, subject: str) -> str:
        """Anybody."""
        return subject

    def has_granted_permission(self, client: Client, user: str) -> bool:  # noqa: ARG002
        """For the one who did."""
        return user == "dealer"


class Server(AuthorizationServer):
    """Authlib's, without a framework."""

    def query_client(self, client_id: str) -> Any:  # noqa: ANN401 - None for none
        """By its id."""
        return clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: object) -> None:  # noqa: ARG002
        """Until it expires."""
        issued[token["access_token"]] = time.time() + token["expires_in"]

    def send_signal(self, *_: object, **__: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """As it was made."""
        return request

    def handle_response(self, status: int, body: object, headers: object) -> object:
        """As it is."""
        return status, body, headers


# Whose types have it that giving nothing is deprecated.
make_assertion: Callable[[], Assertion] = Assertion
server = Server()
server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, make_assertion())
server.register_token_generator(
    "default",
    BearerTokenGenerator(lambda **_: secrets.token_hex(20), expires_generator=lambda *_: LIFETIME),
)
server.register_grant(ClientCredentials)
server.register_grant(JwtBearer)


class Handler(BaseHTTPRequestHandler):
    """Brings requests to it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing: requests carry secrets."""

    def do_POST(self) -> None:
        """Issue a token, or tell whether one lives (RFC 7662)."""
        moments.append(float(self.headers["X-Now"]))
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(parse_qsl(body))
        answer: Any
        if self.path == "/introspect":
            answer = 200, {"active": issued.get(fields["token"], 0) > time.time()}, []
        else:
            answer = server.create_token_response(FormRequest(AUDIENCE, self.headers, fields))
        status, content, headers = answer
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    print(listening.server_port, flush=True)
    # Whoever started it is gone: so is this.
    sys.stdin.read()
