"""When an assertion is made on the way to a token endpoint: over real TLS, by real keys."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.unit.raw_tls_server import (
    RawTlsServer,
    answer,
    answers,
    answers_and_resets,
    leaves_after,
    resets_the_handshake,
)
from tests.unit.signer import KeyRing
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.client_authentication import Client, Grant, refresh_grant
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError
from token_refresher.oauth.transport import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.authority import Authority
    from local.clock import DrivenClock
    from tests.unit.raw_tls_server import RawRequest, Script
    from token_refresher.oauth.token_response import TokenResponse

NAME: Final = "dealer-17"
SUCCESS: Final = answer(
    json.dumps({"access_token": "4df2" * 10, "token_type": "bearer", "expires_in": 43200}).encode()
)
REFRESH: Final = refresh_grant("c0ffee" * 6)
OWN: Final = Grant({"grant_type": "client_credentials"})
BEARER: Final = Grant(
    {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "{assertion}"}
)
TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class SignerError(Exception):
    """A signer's own error, whatever it is."""


class SlowRing(KeyRing):
    """Takes half a minute for its first signature, after it has read what it signs."""

    def __init__(self, clock: DrivenClock) -> None:
        super().__init__()
        self._clock = clock

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        if self.asked == []:
            self._clock.advance(timedelta(seconds=31))
        return super().sign(key, alg=alg, message=message)


class Scene:
    """Servers over TLS, a client of theirs, and a signer, until the test ends."""

    def __init__(self, authority: Authority, clock: DrivenClock, stack: ExitStack) -> None:
        self.authority, self.clock, self.ring = authority, clock, KeyRing()
        self.made = 0
        self._stack = stack
        self.endpoint = TokenEndpoint(
            hosts=AllowedHosts(["*.example"]),
            authorities=authority.client_context,
            clock=clock.now,
            monotonic=lambda: 0.0,
            connections=4,
            signer=self._signer,
        )

    def _signer(self) -> KeyRing:
        self.made += 1
        return self.ring

    def serve(self, *scripts: Script) -> RawTlsServer:
        server = self._stack.enter_context(RawTlsServer(self.authority.server_context(), scripts))
        self.endpoint._hosts = AllowedHosts([server.host])  # noqa: SLF001 - known only now
        return server

    def redeem(
        self,
        server: RawTlsServer,
        before_sending: Callable[[], None] = lambda: None,
        *,
        leasing: Callable[[], object] = lambda: None,
        **fields: Any,  # noqa: ANN401
    ) -> TokenResponse:
        with self.endpoint.connect(client_of(server, **fields)) as connection:
            leasing()
            return connection.request(REFRESH, before_sending=before_sending)

    def claims(self, request: RawRequest, field: str = "client_assertion") -> dict[str, Any]:
        """Read a request's assertion as a server that knows the account's public key."""
        public = self.ring.key(NAME).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        token = jwt.decode(request.fields[field], RSAKey.import_key(pem), algorithms=["RS256"])
        return token.claims


def client_of(server: RawTlsServer, **fields: Any) -> Client:  # noqa: ANN401
    usual: dict[str, Any] = {
        "token_endpoint": server.url,
        "client_id": "invented-client",
        "client_secret": None,
        "auth_method": "private_key_jwt",
        "user_agent": "invented/1",
        "assertion": Assertion(),
        "key": NAME,
    }
    return Client(**{**usual, **fields})


@pytest.fixture
def scene(authority: Authority, clock: DrivenClock) -> Iterator[Scene]:
    with ExitStack() as stack:
        scene = Scene(authority, clock, stack)
        stack.callback(scene.endpoint.drop_connections)
        yield scene


def passes(scene: Scene, seconds: float) -> Callable[[], object]:
    return lambda: scene.clock.advance(timedelta(seconds=seconds))


# What is sent.


def test_a_client_proves_itself_by_an_assertion_and_no_secret(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    scene.endpoint.request(client_of(server), OWN)
    [request] = server.requests

    assertion = request.fields["client_assertion"]
    assert request.fields == {
        **OWN.parameters,
        "client_id": "invented-client",
        "client_assertion": assertion,
        "client_assertion_type": TYPE,
    }
    assert "Authorization" not in request.headers
    assert scene.claims(request)["aud"] == server.url
    assert scene.claims(request)["iss"] == "invented-client"


def test_an_assertion_is_a_grant_and_stands_where_its_name_does(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    headers = {"X-Invented": "Bearer {assertion}"}
    scene.endpoint.request(client_of(server, auth_method="none", request_headers=headers), BEARER)
    [request] = server.requests

    assert scene.claims(request, "assertion")["sub"] == "invented-client"
    assert "client_assertion" not in request.fields
    assert request.headers["X-Invented"] == f"Bearer {request.fields['assertion']}"
    assert scene.ring.asked == [(NAME, "RS256")]


@pytest.mark.parametrize("grant", [OWN, REFRESH], ids=["primary", "refresh token"])
def test_what_was_signed_is_told_with_the_response_so_that_nobody_publishes_it(
    scene: Scene, grant: Grant
) -> None:
    server = scene.serve(answers(SUCCESS))
    if grant is OWN:
        response = scene.endpoint.request(client_of(server), grant)
    else:
        response = scene.redeem(server)

    assert response.assertion == server.requests[0].fields["client_assertion"]
    assert response.assertion not in repr(response)


# When it is made.


def test_nothing_is_signed_for_a_host_that_is_not_allowed(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    stranger = client_of(server, token_endpoint="https://stranger.invalid/token")
    with pytest.raises(OAuthError) as refusal:
        scene.endpoint.request(stranger, OWN)
    assert refusal.value.code == "host_not_allowed"
    with pytest.raises(OAuthError), scene.endpoint.connect(stranger):
        pass
    assert scene.ring.asked == []


def test_nothing_is_signed_for_a_refresh_token_whose_host_is_not_reached(scene: Scene) -> None:
    server = scene.serve(resets_the_handshake)
    with pytest.raises(EndpointUnavailableError) as failure:
        scene.redeem(server)
    assert failure.value.code == "no_connection"
    assert scene.ring.asked == []


def test_it_is_made_before_the_block_is_entered_in_which_a_lease_is_taken(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    asked: list[int] = []
    scene.redeem(server, leasing=lambda: asked.append(len(scene.ring.asked)))
    assert asked == [1]
    assert len(scene.ring.asked) == 1


def test_without_a_signature_the_block_is_not_entered_and_nothing_is_sent(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    scene.ring.error = SignerError()
    entered: list[int] = []
    with pytest.raises(SignerError):
        scene.redeem(server, leasing=lambda: entered.append(1))
    with pytest.raises(SignerError):
        scene.endpoint.request(client_of(server), OWN)
    assert entered == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("expires_in", "taken", "signatures"),
    [
        pytest.param(None, 30, 1, id="half of the usual minute is young enough"),
        pytest.param(None, 31, 2, id="more is not"),
        pytest.param(None, 3600, 2, id="however long it took"),
        pytest.param(10, 5, 1, id="ten seconds: half of them"),
        pytest.param(10, 6, 2, id="ten seconds: more"),
        pytest.param(300, 150, 1, id="five minutes: half of them"),
        pytest.param(300, 151, 2, id="five minutes: more"),
        pytest.param(None, -240, 1, id="a clock that was put back"),
    ],
)
def test_it_is_made_again_where_more_than_half_its_life_is_over_when_it_is_sent(
    scene: Scene, expires_in: int | None, taken: int, signatures: int
) -> None:
    server = scene.serve(answers(SUCCESS))
    assertion = Assertion(expires_in=expires_in)
    scene.redeem(server, leasing=passes(scene, taken), assertion=assertion)
    [request] = server.requests

    assert len(scene.ring.asked) == signatures
    left = scene.claims(request)["exp"] - scene.clock.now().timestamp()
    assert left >= (expires_in or 60) / 2


def test_its_age_counts_from_before_it_was_signed(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    scene.ring = SlowRing(scene.clock)
    scene.redeem(server)
    [request] = server.requests

    assert len(scene.ring.asked) == 2
    assert scene.claims(request)["exp"] - scene.clock.now().timestamp() == 60


def test_one_that_the_platform_issues_is_asked_for_again_likewise(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    said = Assertion(audience="api://invented")
    scene.redeem(server, leasing=passes(scene, 31), assertion=said, is_assertion_issued=True)
    assert len(scene.ring.asked) == 2


def test_a_ready_made_one_and_a_client_without_any_are_never_made(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    for fields in ({"assertion": "invented.ready.made"}, {"assertion": None}):
        scene.redeem(
            server,
            leasing=passes(scene, 3600),
            auth_method="none",
            **fields,
        )
    assert scene.made == 0
    assert len(server.requests) == 2


def test_where_it_cannot_be_made_again_nothing_is_sent_and_nobody_is_asked(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))

    def lease() -> None:
        scene.clock.advance(timedelta(seconds=31))
        scene.ring.error = SignerError()

    asked: list[int] = []
    with pytest.raises(SignerError):
        scene.redeem(server, lambda: asked.append(1), leasing=lease)
    assert asked == []
    assert server.requests == []


def test_it_is_asked_after_that_whether_it_may_still_be_sent(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    asked: list[int] = []
    scene.redeem(
        server,
        lambda: asked.append(len(scene.ring.asked)),
        leasing=passes(scene, 31),
    )
    assert asked == [2]


def test_a_connection_that_was_closed_meanwhile_is_opened_again_with_the_same_assertion(
    scene: Scene,
) -> None:
    server = scene.serve(leaves_after(b"\n"), answers(SUCCESS))
    scene.redeem(server, leasing=lambda: server.closed.wait(20))
    assert server.connections == 2
    assert len(scene.ring.asked) == 1


def test_each_is_sent_once_where_a_connection_is_lost(scene: Scene) -> None:
    """A server that had the first would refuse it as a replay (RFC 7523 section 3)."""
    server = scene.serve(answers_and_resets(b""), answers(SUCCESS))
    scene.endpoint.request(client_of(server), OWN)

    first, second = (scene.claims(each)["jti"] for each in server.requests)
    assert first != second
    assert len(scene.ring.asked) == 2


def test_a_refresh_tokens_request_is_not_repeated_by_itself(scene: Scene) -> None:
    server = scene.serve(answers_and_resets(b""), answers(SUCCESS))
    with pytest.raises(EndpointUnavailableError):
        scene.redeem(server)
    assert len(server.requests) == len(scene.ring.asked) == 1


def test_threads_that_sign_at_once_sign_each_for_itself(scene: Scene) -> None:
    server = scene.serve(answers(SUCCESS))
    scene.ring.key(NAME)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        with suppress(OAuthError):
            scene.endpoint.request(client_of(server), OWN)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({scene.claims(each)["jti"] for each in server.requests}) == 8


# Revocation.


def test_a_revocation_proves_who_asks_by_an_assertion_of_its_own(scene: Scene) -> None:
    server = scene.serve(answers(answer(b"")))
    for _ in range(2):
        assert scene.endpoint.revoke(client_of(server), "c0ffee", hint="refresh_token")
    first, second = (scene.claims(each) for each in server.requests)
    assert first["aud"] == server.url
    assert first["jti"] != second["jti"]
