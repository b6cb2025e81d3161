"""The authorization server as tests and the demo use it: endpoints, clients, failures."""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qsl, urlsplit

from local.authorization_server.assertions import Assertions
from local.authorization_server.dialects import OLX_MOTORS, Dialect
from local.authorization_server.failures import (
    Answers,
    Failure,
    LosesTheAnswer,
    WaitsFor,
)
from local.authorization_server.grants import FormRequest, TokenEndpoint, presented
from local.authorization_server.https import Door, HttpsServer, NoReplyError, Reply, Request
from local.authorization_server.ledger import AUTH_METHODS, Client, Ledger, RefreshMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from joserfc.jwk import ECKey, RSAKey

    from local.authority import Authority

TOKEN_PATH = "/oauth/token"  # noqa: S105
RESOURCE_PATH = "/api/me"
METADATA_PATH = "/.well-known/openid-configuration"
JSON: Final = (("Content-Type", "application/json"),)
WAIT_SLICE_SECONDS = 0.02


class Endpoint(Enum):
    """The two things a client can ask."""

    TOKEN = TOKEN_PATH
    RESOURCE = RESOURCE_PATH


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request as it arrived, whatever became of it.

    Args:
        auth_method: ``client_secret_basic``, ``client_secret_post``, ``client_secret_jwt``,
            ``private_key_jwt``, ``both`` or ``none``.
    """

    at: datetime
    grant_type: str | None
    client_id: str | None
    auth_method: str
    headers: Mapping[str, str] = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class _SwitchedOn:
    """A failure, and for how many more requests."""

    failure: Failure
    times: int | None


class AuthorizationServer:
    """An authorization server that listens as long as the ``with`` block.

    Everything may be called from any thread while requests are served.

    Args:
        authority: Vouches for the server's certificate.
        clock: Returns the moment, aware. Tokens live and die by it alone.
        clients: Whether clients are asked for a certificate of the authority (RFC 8705), or must
            have one.
    """

    def __init__(
        self,
        authority: Authority,
        clock: Callable[[], datetime],
        *,
        clients: ssl.VerifyMode = ssl.CERT_NONE,
    ) -> None:
        self._clock = clock
        self._ledger = Ledger(clock)
        self._endpoint = TokenEndpoint(self._ledger, Assertions(clock))
        self._failures: dict[tuple[Endpoint, str | None], _SwitchedOn] = {}
        self._requests: list[TokenRequest] = []
        self._sent: Counter[str] = Counter()
        self._calls: dict[bool, Counter[str | None]] = {True: Counter(), False: Counter()}
        self._closing = threading.Event()
        self._https = HttpsServer(self._reply, authority.server_context(clients=clients))

    # Where it is

    @property
    def host(self) -> str:
        """Host and port, as in an allow-list."""
        return f"localhost:{self._https.port}"

    @property
    def url(self) -> str:
        """The server's origin."""
        return f"https://{self.host}"

    @property
    def token_endpoint(self) -> str:
        """Where tokens are requested."""
        return self.url + TOKEN_PATH

    @property
    def resource_url(self) -> str:
        """Where access tokens are accepted or rejected."""
        return self.url + RESOURCE_PATH

    # Who is known to it

    def register_client(  # noqa: PLR0913
        self,
        client_id: str,
        *,
        secret: str,
        users: Mapping[str, str] | None = None,
        partners: Mapping[str, str] | None = None,
        dialect: Dialect = OLX_MOTORS,
        grants: Iterable[str] | None = None,
        auth_methods: Iterable[str] = AUTH_METHODS,
        access_token_lifetime: timedelta | None = None,
        refresh_tokens_for: Iterable[str] = ("password", "partner"),
        refresh_mode: RefreshMode = RefreshMode.ROTATES,
        one_live_token: bool = False,
        token_ending: str = "",
        response_fields: Mapping[str, object] | None = None,
        public_keys: Iterable[RSAKey | ECKey] = (),
        audience: str | None = None,
    ) -> Client:
        """Register a client, and return it: its fields may be changed at any time.

        Args:
            client_id: As the client sends it.
            secret: Any text.
            users: Passwords by username.
            partners: Partner secrets by partner code.
            dialect: How answers are worded, and how long tokens live unless said otherwise.
            grants: What the client may use. By default what it has credentials for: ``password``
                with users, ``partner`` with partners, ``client_credentials`` with neither; and
                ``refresh_token``.
            auth_methods: How it may authenticate.
            access_token_lifetime: The dialect's by default.
            refresh_tokens_for: The grants whose response has a refresh token.
            refresh_mode: What becomes of a refresh token that is redeemed.
            one_live_token: Whether a new access token kills the older one at once.
            token_ending: What its access tokens end with, such as characters of some provider.
            response_fields: What else is in each response that brings an access token.
            public_keys: What verifies its assertions, where its secret does not.
            audience: Whom its assertions must be for, if not for the token endpoint.
        """
        if grants is None:
            own = {"password"} if users else set()
            own |= {"partner"} if partners else set()
            grants = {"refresh_token"} | (own or {"client_credentials"})
        client = Client(
            client_id=client_id,
            secret=secret,
            dialect=dialect,
            grants=frozenset(grants),
            auth_methods=frozenset(auth_methods),
            users=dict(users or {}),
            partners=dict(partners or {}),
            scope=dialect.scope,
            access_token_lifetime=access_token_lifetime or dialect.access_token_lifetime,
            refresh_token_lifetime=dialect.refresh_token_lifetime,
            refresh_tokens_for=frozenset(refresh_tokens_for),
            refresh_mode=refresh_mode,
            one_live_token=one_live_token,
            token_ending=token_ending,
            response_fields=dict(response_fields or {}),
            public_keys=tuple(public_keys),
            audience=audience,
        )
        with self._ledger.lock:
            self._ledger.clients[client_id] = client
        return client

    def client(self, client_id: str) -> Client:
        """Return a registered client."""
        return self._ledger.clients[client_id]

    def issue_initial_refresh_token(self, client_id: str, *, user: str | None = None) -> str:
        """Return a first refresh token, as a consent screen would have led to."""
        return self._ledger.issue_initial_refresh_token(self.client(client_id), user or client_id)

    def set_password(self, client_id: str, username: str, password: str) -> None:
        """Change a user's password behind the program's back."""
        self.client(client_id).users[username] = password

    def revoke_access_token(self, access_token: str) -> None:
        """Kill an access token before its time."""
        self._ledger.revoke_access_token(access_token)

    # How it fails

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse connections, and cut those that are open, for as long as the block runs."""
        self._https.set_door(Door.REFUSING)
        try:
            yield
        finally:
            self._https.set_door(Door.OPEN)

    def fail(
        self,
        failure: Failure,
        *,
        client_id: str | None = None,
        at: Endpoint = Endpoint.TOKEN,
        times: int | None = None,
    ) -> None:
        """Switch a failure on, in place of an earlier one.

        Args:
            failure: What happens to requests from now on.
            client_id: Whose requests; everybody's if None. A client's own failure comes first.
            at: Which endpoint.
            times: For how many requests; None means until ``recover``.
        """
        with self._ledger.lock:
            self._failures[at, client_id] = _SwitchedOn(failure, times)

    def recover(self, *, client_id: str | None = None, at: Endpoint = Endpoint.TOKEN) -> None:
        """Switch a failure off; nothing happens if there is none."""
        with self._ledger.lock:
            self._failures.pop((at, client_id), None)

    @contextmanager
    def failing(
        self, failure: Failure, *, client_id: str | None = None, at: Endpoint = Endpoint.TOKEN
    ) -> Iterator[None]:
        """Fail for as long as the block runs."""
        self.fail(failure, client_id=client_id, at=at)
        try:
            yield
        finally:
            self.recover(client_id=client_id, at=at)

    def answer_with(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        client_id: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Send exactly this to the next token request, or until ``recover`` if times is None."""
        answer = Answers(status, tuple(headers.items()), body)
        self.fail(answer, client_id=client_id, times=times)

    # What it has seen

    @property
    def requests(self) -> list[TokenRequest]:
        """All token requests that were read to their end, oldest first."""
        with self._ledger.lock:
            return list(self._requests)

    @property
    def refresh_tokens_sent(self) -> Counter[str]:
        """How often each refresh token arrived, whatever became of it."""
        with self._ledger.lock:
            return Counter(self._sent)

    @property
    def refresh_tokens_redeemed(self) -> Counter[str]:
        """How often each refresh token was exchanged, also where the response was lost."""
        with self._ledger.lock:
            return Counter(self._ledger.redeemed)

    @property
    def families_revoked(self) -> int:
        """How many families were revoked because a spent refresh token came back."""
        return self._ledger.families_revoked

    @property
    def calls_accepted(self) -> Counter[str | None]:
        """How many resource calls were accepted, by client."""
        with self._ledger.lock:
            return Counter(self._calls[True])

    @property
    def calls_rejected(self) -> Counter[str | None]:
        """How many resource calls were rejected, by client; under None those of unknown tokens."""
        with self._ledger.lock:
            return Counter(self._calls[False])

    def close(self) -> None:
        """Stop listening, cut all connections and release the requests that hang."""
        self._closing.set()
        self._https.set_door(Door.CLOSED)

    def __enter__(self) -> Self:
        """Return the server, which has listened since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, whatever happened."""
        self.close()

    # How it answers

    def _reply(self, request: Request) -> Reply:
        path = urlsplit(request.path).path
        if path == TOKEN_PATH and request.method == "POST":
            return self._reply_with_token(request)
        if path == RESOURCE_PATH and request.method == "GET":
            return self._reply_with_resource(request)
        if path == METADATA_PATH and request.method == "GET":
            return self._reply_with_metadata()
        return Reply(HTTPStatus.NOT_FOUND, (), b"")

    def _reply_with_metadata(self) -> Reply:
        metadata = {
            "issuer": self.url,
            "token_endpoint": self.token_endpoint,
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
        }
        return Reply(HTTPStatus.OK, JSON, json.dumps(metadata).encode())

    def _reply_with_token(self, request: Request) -> Reply:
        fields = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        form = FormRequest(self.token_endpoint, request.headers, fields)
        seen = self._record(form)
        failure = self._failure(Endpoint.TOKEN, seen.client_id)
        if (canned := self._fail_before_processing(failure)) is not None:
            return canned
        status, body, headers = self._endpoint.respond(form)
        if isinstance(failure, LosesTheAnswer):
            raise NoReplyError(reset=False)
        return Reply(status, tuple(headers), json.dumps(body, ensure_ascii=False).encode())

    def _reply_with_resource(self, request: Request) -> Reply:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        live, family = self._ledger.accepted(token)
        client_id = None if family is None else family.client.client_id
        failure = self._failure(Endpoint.RESOURCE, client_id)
        if (canned := self._fail_before_processing(failure)) is not None:
            return canned
        accepted = live and scheme.lower() == "bearer"
        with self._ledger.lock:
            self._calls[accepted][client_id] += 1
        if isinstance(failure, LosesTheAnswer):
            raise NoReplyError(reset=False)
        if accepted and family is not None:
            told = {"client": client_id, "scope": family.scope}
            return Reply(HTTPStatus.OK, JSON, f"{json.dumps(told)}\n".encode())
        challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
        return Reply(HTTPStatus.UNAUTHORIZED, (*JSON, challenge), b'{"error": "invalid_token"}\n')

    def _record(self, form: FormRequest) -> TokenRequest:
        client = presented(form)
        seen = TokenRequest(
            at=self._clock(),
            grant_type=form.form.get("grant_type"),
            client_id=client.client_id,
            auth_method=client.auth_method,
            headers=dict(form.header_fields.items()),
            fields=dict(form.form),
        )
        with self._ledger.lock:
            self._requests.append(seen)
            if (refresh_token := seen.fields.get("refresh_token")) is not None:
                self._sent[refresh_token] += 1
        return seen

    def _failure(self, at: Endpoint, client_id: str | None) -> Failure | None:
        """Return the failure that is on for a request, and count it down."""
        with self._ledger.lock:
            for key in ((at, client_id), (at, None)):
                switched_on = self._failures.get(key)
                if switched_on is None:
                    continue
                if switched_on.times is not None:
                    switched_on.times -= 1
                    if switched_on.times <= 0:
                        del self._failures[key]
                return switched_on.failure
        return None

    def _fail_before_processing(self, failure: Failure | None) -> Reply | None:
        """Do what a failure says; return None if the request is to be processed."""
        if isinstance(failure, Answers):
            return Reply(failure.status, failure.headers, failure.body)
        if isinstance(failure, WaitsFor):
            while not failure.event.wait(WAIT_SLICE_SECONDS):
                if self._closing.is_set():
                    raise NoReplyError(reset=False)
        return None
