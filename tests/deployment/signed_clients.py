"""A token endpoint whose clients prove themselves by signatures, which a JOSE library verifies.

It stands for several providers at once: each client has an address of its own, and brings its
assertion as its provider's documentation has it. An assertion is taken once.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from local.authorization_server.https import Door, HttpsServer, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from joserfc.jwk import KeySet

    from local.authorization_server.https import Request

JSON: Final = (("Content-Type", "application/json"),)
# RFC 7523 section 2.
BY_JWT: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
# Under which claim AWS says more of whom a token is about.
OF_AWS: Final = "https://sts.amazonaws.com/"
LONGEST_SECONDS: Final = 300
LIFETIME: Final = timedelta(hours=1)


def public_key(der: bytes) -> RSAKey:
    """Read a public key as KMS tells it: a SubjectPublicKeyInfo in DER (RFC 5280)."""
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"
    return RSAKey.import_key(pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedClient:
    """A client, and what its server demands of a request.

    Attributes:
        key: Its public key, or the issuer's whom the server trusts.
        alg: The one algorithm that is taken.
        header: What the assertion's header must say besides.
        claims: What it must say, and its values.
        account: Whom a token of AWS's must name in its tag ``account``.
        form: The other parameters of the request, all of them.
        content: The request's JSON instead.
        at: Where the assertion is: a parameter, or ``Authorization``.
        response: What it gets, but for the token and its end, which is an hour ahead.
        tells_end: Whether the end is told as ``expires_at`` (RFC 3339), as ``expires_in``, or not.
        token: Under which name.
        status: Of that response.
    """

    key: RSAKey | KeySet
    claims: Mapping[str, object]
    account: str | None = None
    alg: str = "RS256"
    header: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    content: Mapping[str, object] | None = None
    at: str = "client_assertion"
    response: Mapping[str, object] = field(default_factory=dict)
    tells_end: str = "expires_in"
    token: str = "access_token"
    status: int = 200

    def differences(self, request: Request) -> list[str]:
        """Tell what is otherwise than demanded, but for the assertion."""
        if self.content is not None:
            return [] if json.loads(request.body) == self.content else ["another content"]
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        form.pop(self.at, None)
        return [] if form == self.form else [f"the form has {sorted(form)}"]

    def assertion_in(self, request: Request) -> str:
        """Take out the assertion; empty where there is none."""
        if self.at == "Authorization":
            return str(request.headers.get(self.at, "")).removeprefix("Bearer ")
        return parse_qs(request.body.decode()).get(self.at, [""])[0]


class SigningServer:
    """Serves as long as the ``with`` block.

    Args:
        context: Makes it trusted; and makes it ask for certificates, where its clients have any.
        clock: Aware.

    Attributes:
        clients: By the path of their address.
        assertions: Every one that arrived, taken or not.
        tokens: Every one that was given, by path.
        refused: Why, one for each request that was refused.
    """

    def __init__(self, context: ssl.SSLContext, clock: Callable[[], datetime]) -> None:
        self.clients: dict[str, SignedClient] = {}
        self.assertions: list[str] = []
        self.tokens: dict[str, str] = {}
        self.refused: list[str] = []
        self._clock = clock
        self._seen: set[str] = set()
        self._https = HttpsServer(self._respond, context)

    @property
    def host(self) -> str:
        """As an allow-list names it."""
        return f"localhost:{self._https.port}"

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"https://{self.host}{path}"

    def close(self) -> None:
        """Stop."""
        self._https.set_door(Door.CLOSED)

    def _respond(self, request: Request) -> Reply:
        client = self.clients[request.path]
        assertion = client.assertion_in(request)
        self.assertions.append(assertion)
        wrong = client.differences(request) + self._judged(assertion, client)
        if wrong:
            self.refused += wrong
            return _reply(401, {"error": "invalid_client"})
        token = f"token-of-{secrets.token_hex(8)}"
        self.tokens[request.path] = token
        expires_at = (self._clock() + LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
        ends = {"expires_in": int(LIFETIME.total_seconds()), "expires_at": expires_at}
        told = {name: end for name, end in ends.items() if name == client.tells_end}
        return _reply(client.status, {**client.response, **told, client.token: token})

    def _judged(self, assertion: str, client: SignedClient) -> list[str]:
        """Verify an assertion (RFC 7523 section 3)."""
        try:
            token = jwt.decode(assertion, client.key, algorithms=[client.alg])
            self._times().validate(token.claims)
        except (JoseError, ValueError) as error:
            return [type(error).__name__]
        said: dict[str, Any] = {**token.header, **token.claims}
        demanded = {**client.header, **client.claims}
        wrong = [name for name, value in demanded.items() if said.get(name) != value]
        if client.account is not None:
            tags = said[OF_AWS]["request_tags"]
            wrong += [] if tags == {"account": client.account} else ["tags"]
        if token.claims["exp"] - self._clock().timestamp() > LONGEST_SECONDS:
            wrong.append("exp")
        if token.claims["jti"] in self._seen:
            wrong.append("jti")
        self._seen.add(token.claims["jti"])
        return wrong

    def _times(self) -> jwt.JWTClaimsRegistry:
        now = int(self._clock().timestamp())
        return jwt.JWTClaimsRegistry(
            now, exp={"essential": True}, iat={"essential": True}, jti={"essential": True}
        )


class CertifiedServer:
    """A token endpoint that speaks to nobody without a certificate of an authority of its own.

    Args:
        context: Makes it trusted, and demands a certificate.

    Attributes:
        clients: The id and secret of each, by the path of its address.
        tokens: Every one that was given, by path.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.clients: dict[str, tuple[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self._https = HttpsServer(self._respond, context)

    @property
    def host(self) -> str:
        """As an allow-list names it."""
        return f"localhost:{self._https.port}"

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"https://{self.host}{path}"

    def close(self) -> None:
        """Stop."""
        self._https.set_door(Door.CLOSED)

    def _respond(self, request: Request) -> Reply:
        pair = base64.b64encode(":".join(self.clients[request.path]).encode()).decode()
        if request.headers["Authorization"] != f"Basic {pair}":
            return _reply(401, {"error": "invalid_client"})
        token = f"token-of-{secrets.token_hex(8)}"
        self.tokens[request.path] = token
        return _reply(200, {"access_token": token, "expires_in": 3600})


def _reply(status: int, content: Mapping[str, object]) -> Reply:
    return Reply(status, JSON, json.dumps(content).encode())
