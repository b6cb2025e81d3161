"""What is said of a request that got no response: why, and nothing of what was in it."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import traceback
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias
from urllib.parse import quote

import pytest

from tests.unit.loopback import GIVE_UP_SECONDS
from tests.unit.raw_tls_server import (
    Conversation,
    RawTlsServer,
    Script,
    answer,
    answers,
    answers_and_closes,
    drips,
    leaves_within_the_handshake,
    refuses_the_handshake,
    refuses_the_handshake_and_leaves,
    resets_the_handshake,
)
from tests.unit.wire import (
    MARK,
    REFRESH,
    SUCCESS,
    TOKEN,
    Ticking,
    Wire,
    ask,
    client_of,
    either_way,
    failure_of,
    greets_with,
    nearly_over,
    send,
    standing_still,
    unavailable,
    up_after,
)
from token_refresher.oauth.client_authentication import Client, Grant, refresh_grant
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError, TokenEndpointError
from token_refresher.oauth.exchange import REQUEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.authority import Authority
    from token_refresher.oauth.transport import TokenEndpoint

Format: TypeAlias = Literal["form", "json", "query"]


class TestRefusedByTls:
    """What a handshake ends with, in words; both ways in, with and without a proxy."""

    @pytest.fixture(params=[False, True], ids=["directly", "through a proxy"])
    def reach(
        self, wire: Wire, request: pytest.FixtureRequest
    ) -> Callable[[RawTlsServer], TokenEndpoint]:
        def endpoint(server: RawTlsServer) -> TokenEndpoint:
            return wire.connect(server, proxy=wire.proxy(server) if request.param else None)

        return endpoint

    @staticmethod
    def mutual(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = authority.server_context(clients=ssl.CERT_REQUIRED)
        context.minimum_version = context.maximum_version = version
        return context

    @either_way
    def test_before_tls_1_3_nothing_has_left(
        self,
        wire: Wire,
        authority: Authority,
        reach: Callable[[RawTlsServer], TokenEndpoint],
        grant: Grant,
    ) -> None:
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_2)
        server = wire.serve(refuses_the_handshake(), context=context)
        error = failure_of(reach(server), client_of(server), grant)
        assert isinstance(error, TokenEndpointError)
        assert (error.code, error.sent) == ("client_certificate_required", False)
        assert "mutual TLS" in str(error)
        assert server.connections == 1

    @either_way
    def test_what_tls_1_3_tells_late_counts_as_sent(
        self,
        wire: Wire,
        authority: Authority,
        reach: Callable[[RawTlsServer], TokenEndpoint],
        grant: Grant,
    ) -> None:
        context, leaves = self.mutual(authority, ssl.TLSVersion.TLSv1_3), threading.Event()
        server = wire.serve(
            refuses_the_handshake(when=lambda: leaves.wait(GIVE_UP_SECONDS)), context=context
        )
        with pytest.raises(TokenEndpointError) as failure:
            send(reach(server), client_of(server), grant, before_sending=leaves.set)
        assert (failure.value.code, failure.value.sent) == ("client_certificate_required", True)
        assert server.connections == 1

    def test_what_tls_1_3_tells_in_time_keeps_a_refresh_token_from_leaving(
        self, wire: Wire, authority: Authority
    ) -> None:
        """It tells after the handshake, while the lease is taken; a proxy may pass it on later."""
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_3)
        server = wire.serve(refuses_the_handshake_and_leaves, context=context)
        with wire.connect(server).connect(client_of(server)) as connection:
            assert server.closed.wait(GIVE_UP_SECONDS)
            with pytest.raises(TokenEndpointError) as failure:
                connection.request(REFRESH, before_sending=lambda: pytest.fail("it would leave"))
        assert (failure.value.code, failure.value.sent) == ("client_certificate_required", False)
        assert server.connections == 1

    @either_way
    def test_a_server_that_leaves_once_it_has_asked_for_a_certificate_wants_one(
        self,
        wire: Wire,
        authority: Authority,
        reach: Callable[[RawTlsServer], TokenEndpoint],
        grant: Grant,
    ) -> None:
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_2)
        server = wire.serve(leaves_within_the_handshake, context=context)
        error = failure_of(reach(server), client_of(server), grant)
        assert (error.code, error.sent) == ("client_certificate_required", False)

    @either_way
    def test_a_server_that_asked_for_a_certificate_and_then_hangs_is_no_connection(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        """Many ask for one and do without."""
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_2)

        def hang(conversation: Conversation) -> None:
            conversation.greet()
            conversation.wait_without_handshake()

        server = wire.serve(hang, context=context)
        endpoint = wire.connect(server, monotonic=nearly_over(left=0.05))
        assert failure_of(endpoint, client_of(server), grant).code == "no_connection"

    @either_way
    def test_a_server_that_does_without_a_certificate_is_answered(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_2)
        context.verify_mode = ssl.CERT_OPTIONAL
        server = wire.serve(answers(SUCCESS), context=context)
        assert send(wire.connect(server), client_of(server), grant).access_token == TOKEN

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @either_way
    def test_one_that_leaves_later_is_a_lost_connection_and_what_it_asked_for_is_told(
        self, wire: Wire, authority: Authority, version: ssl.TLSVersion, grant: Grant
    ) -> None:
        context = self.mutual(authority, version)
        context.verify_mode = ssl.CERT_OPTIONAL
        server = wire.serve(answers_and_closes(b""), context=context)
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert (error.code, error.sent) == ("connection_lost", True)
        assert str(error).endswith("it had asked for a client certificate (mutual TLS)")

    @pytest.mark.parametrize("readings", range(1, 8))
    def test_what_one_host_asked_for_is_not_told_of_another(
        self, wire: Wire, authority: Authority, readings: int
    ) -> None:
        """Whose connection is used again, so that nobody asks; whenever time is up."""
        context = self.mutual(authority, ssl.TLSVersion.TLSv1_3)
        context.verify_mode = ssl.CERT_OPTIONAL
        asking = wire.serve(answers(SUCCESS), context=context)
        other = wire.serve(answers(SUCCESS, b"no HTTP\r\n\r\n"), answers_and_closes(b""))
        times: list[Callable[[], float]] = [standing_still]

        def monotonic() -> float:
            return times[0]()

        endpoint = wire.connect(asking, other, monotonic=monotonic)
        for server in (other, asking):
            ask(endpoint, server)
        times[0] = up_after(readings)
        error = unavailable(endpoint, client_of(other))
        assert "certificate" not in str(error)

    @pytest.mark.parametrize(
        "code",
        [
            pytest.param(42, id="bad_certificate"),
            pytest.param(43, id="unsupported_certificate"),
            pytest.param(46, id="certificate_unknown"),
            pytest.param(48, id="unknown_ca"),
            pytest.param(116, id="certificate_required"),
        ],
    )
    def test_whatever_alert_a_server_has_for_it(
        self, wire: Wire, reach: Callable[[RawTlsServer], TokenEndpoint], code: int
    ) -> None:
        server = wire.serve(greets_with(b"\x15\x03\x03\x00\x02\x02" + bytes([code])))
        assert failure_of(reach(server), client_of(server)).code == "client_certificate_required"

    @pytest.mark.parametrize(
        "greeting",
        [
            pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="by its alert"),
            pytest.param(
                b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + bytes(32) + b"\x00\x00\x2f\x00",
                id="by what it offers",
            ),
        ],
    )
    @either_way
    def test_a_server_of_old_tls_is_said_to_be_old(
        self,
        wire: Wire,
        reach: Callable[[RawTlsServer], TokenEndpoint],
        greeting: bytes,
        grant: Grant,
    ) -> None:
        server = wire.serve(greets_with(greeting))
        error = failure_of(reach(server), client_of(server), grant)
        assert isinstance(error, TokenEndpointError)
        assert (error.code, error.sent) == ("tls_too_old", False)
        assert "TLS 1.2 or later" in str(error)
        assert server.connections == 1

    def test_a_real_server_of_old_tls_is_said_to_be_old(
        self, wire: Wire, authority: Authority
    ) -> None:
        context = authority.server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.deprecated_call():
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.deprecated_call():
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        server = wire.serve(answers(SUCCESS), context=context)
        assert failure_of(wire.connect(server), client_of(server)).code == "tls_too_old"

    @either_way
    def test_a_handshake_that_is_refused_for_anything_else_is_no_connection(
        self, wire: Wire, reach: Callable[[RawTlsServer], TokenEndpoint], grant: Grant
    ) -> None:
        """The alert is that of mutual TLS before 1.3; but nobody has asked for a certificate."""
        server = wire.serve(greets_with(b"\x15\x03\x03\x00\x02\x02\x28"))
        error = unavailable(reach(server), client_of(server), grant)
        assert (error.code, error.sent) == ("no_connection", False)


class TestNoErrorTellsWhatWasInIt:
    """Every kind of failure, with a mark in all that is secret, addressed or answered."""

    PAGE = f"<html>{MARK}</html>".encode()
    WORDS = json.dumps({"error": MARK, "error_description": MARK}).encode()
    GRANTS: ClassVar = [
        pytest.param(Grant({"grant_type": "password", "password": MARK}), id="pooled"),
        pytest.param(refresh_grant(MARK), id="opened for it"),
    ]

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(resets_the_handshake, id="no connection"),
            pytest.param(answers_and_closes(b""), id="lost without a response"),
            pytest.param(answers_and_closes(answer(PAGE, length=999)), id="lost within a body"),
            pytest.param(answers_and_closes(MARK.encode() + b"\r\n\r\n"), id="no HTTP"),
            pytest.param(answers(answer(PAGE, status=f"403 {MARK}")), id="a firewall's page"),
            pytest.param(answers(answer(PAGE, status=f"404 {MARK}")), id="a wrong address"),
            pytest.param(answers(answer(PAGE, status=f"500 {MARK}")), id="an outage"),
            pytest.param(
                answers(answer(PAGE, status="301 Moved", headers=(f"Location: /{MARK}",))),
                id="a redirect",
            ),
            pytest.param(answers(answer(WORDS, status="400 Bad")), id="an error response"),
            pytest.param(
                answers(answer(WORDS)), id="an error response that calls itself a success"
            ),
            pytest.param(answers(answer(f'"{MARK}"'.encode())), id="no object"),
            pytest.param(drips(b"HTTP/1.1 200 OK\r\nX: ", MARK.encode()), id="a drip"),
        ],
    )
    @pytest.mark.parametrize(
        ("method", "request_format"),
        [
            ("client_secret_basic", "form"),
            ("client_secret_post", "form"),
            ("client_secret_post", "json"),
            ("client_secret_post", "query"),
        ],
    )
    @pytest.mark.parametrize("grant", GRANTS)
    def test_whatever_the_server_does(
        self,
        wire: Wire,
        script: Script,
        method: str,
        request_format: Format,
        grant: Grant,
    ) -> None:
        server = wire.serve(script)
        client = self.marked(server, method, Dialect(request_format=request_format))
        endpoint = wire.connect(server, monotonic=Ticking(REQUEST_SECONDS / 1000))
        with pytest.raises(OAuthError) as failure:
            send(endpoint, client, grant)
        self.assert_silent(failure.value, server)

    @pytest.mark.parametrize("grant", GRANTS)
    def test_a_refused_certificate(self, wire: Wire, authority: Authority, grant: Grant) -> None:
        context = authority.server_context(f"{MARK}.example")
        server = wire.serve(answers(SUCCESS), context=context)
        with pytest.raises(TokenEndpointError) as failure:
            send(wire.connect(server), self.marked(server), grant)
        self.assert_silent(failure.value, server)

    @pytest.mark.parametrize("grant", GRANTS)
    def test_a_host_that_is_not_allowed(self, wire: Wire, grant: Grant) -> None:
        server = wire.serve(answers(SUCCESS))
        with pytest.raises(TokenEndpointError) as failure:
            send(wire.connect(), self.marked(server), grant)
        assert MARK not in repr(failure.value)

    @pytest.mark.parametrize("grant", GRANTS)
    def test_a_name_that_does_not_resolve(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))

        def resolve(name: str, *_: object) -> list[object]:
            raise socket.gaierror(socket.EAI_NONAME, f"{MARK} {name}")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(EndpointUnavailableError) as failure:
            send(wire.connect(server), self.marked(server), grant)
        self.assert_silent(failure.value, server)

    @staticmethod
    def marked(
        server: RawTlsServer, method: str = "client_secret_basic", dialect: Dialect = RFC_6749
    ) -> Client:
        return client_of(
            server,
            token_endpoint=f"{server.url}/{MARK}?key={MARK}",
            client_id=MARK,
            client_secret=MARK,
            user_agent=MARK,
            extra_parameters={"audience": MARK},
            request_headers={"X-Key": MARK},
            auth_method=method,
            dialect=dialect,
        )

    @staticmethod
    def assert_silent(error: OAuthError, server: RawTlsServer) -> None:
        """Nothing in the error, as any logger would print it, tells what was in it."""
        assert error.__cause__ is None
        assert error.__context__ is None or error.__suppress_context__
        printed = [str(error), repr(error), repr(error.args), repr(vars(error))]
        shown = traceback.TracebackException.from_exception(error)
        printed += [line for line in shown.format_exception_only() if line]
        encoded = base64.b64encode(f"{MARK}:{MARK}".encode()).decode()
        for text in printed:
            for secret in (MARK, quote(MARK), encoded, server.host, str(server.port), "https:"):
                assert secret not in text
        assert MARK not in "".join(shown.format(chain=True)).replace(f'"{MARK}"', "")
