"""Connections to a token endpoint, over TLS and by a proxy: how long they last, and to whom."""

from __future__ import annotations

import itertools
import re
import socket
import ssl
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from local.authority import Authority
from tests.unit.connect_proxy import ConnectProxy, connects, hangs, refuses, says
from tests.unit.connect_proxy import drips as proxy_drips
from tests.unit.loopback import GIVE_UP_SECONDS, nobody_listens
from tests.unit.raw_tls_server import (
    Conversation,
    RawTlsServer,
    Script,
    answer,
    answers,
    answers_and_closes,
    drips,
    leaves_after,
    never_shakes_hands,
    refuses_the_handshake,
    stops_after,
)
from tests.unit.wire import (
    ISSUED,
    MARK,
    OWN,
    REFRESH,
    SUCCESS,
    TOKEN,
    Settable,
    Ticking,
    Wire,
    ask,
    at,
    basic,
    client_of,
    either_way,
    failure_of,
    greets_with,
    nearly_over,
    send,
    unavailable,
    up_after,
)
from token_refresher.oauth.certificates import public_authorities
from token_refresher.oauth.errors import EndpointUnavailableError, TokenEndpointError
from token_refresher.oauth.exchange import REQUEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.unit.connect_proxy import Act
    from token_refresher.oauth.client_authentication import Client, Grant


def tells_the_client(seen: list[str]) -> Script:
    """Answer all requests, and take note of whose certificate was shown; "" for none."""

    def play(conversation: Conversation) -> None:
        if conversation.read_request():
            seen.append(conversation.client_name())
            conversation.send(SUCCESS)
            answers(SUCCESS)(conversation)

    return play


def pairs(seen: list[tuple[str, str]]) -> Script:
    """Answer all requests, and take note of whose certificate each came by, and of which client."""

    def play(conversation: Conversation) -> None:
        while conversation.read_request():
            asked = basic(conversation.request).partition(b":")[0].decode()
            seen.append((conversation.client_name(), asked))
            conversation.send(SUCCESS)

    return play


def asks_late(seen: list[str]) -> Script:
    """Ask for a certificate once a request has come; what is read next brings it."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        seen.append(conversation.client_name())
        conversation.ask_for_a_certificate()
        conversation.send(SUCCESS)
        conversation.read_request()
        seen.append(conversation.client_name())
        conversation.send(SUCCESS)

    return play


@pytest.fixture
def trusted_by_file(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's certificate, where SSL_CERT_FILE names it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    return authority.certificate_file


class TestTimeLimit:
    @pytest.mark.parametrize(
        ("head", "drop"),
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nX-Endless: ", b"a", id="of a header"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n", b" ", id="of a body"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1\r\n \r\n",
                id="of chunks",
            ),
            pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="of interim responses"),
        ],
    )
    @either_way
    def test_a_slow_drip_ends_at_the_limit(
        self, wire: Wire, head: bytes, drop: bytes, grant: Grant
    ) -> None:
        server = wire.serve(drips(head, drop))
        endpoint = wire.connect(server, monotonic=Ticking(REQUEST_SECONDS / 50))
        error = unavailable(endpoint, client_of(server), grant)
        assert (error.code, error.sent) == ("timeout", True)
        # It had all the time there is: a repeat would take as much again.
        assert server.connections == 1

    @either_way
    def test_nothing_is_read_past_the_limit(self, wire: Wire, grant: Grant) -> None:
        time = Settable()

        def let_time_pass() -> None:
            time.now = REQUEST_SECONDS + 1

        server = wire.serve(stops_after(b"H", let_time_pass))
        endpoint = wire.connect(server, monotonic=time)
        assert unavailable(endpoint, client_of(server), grant).code == "timeout"

    @pytest.mark.parametrize(
        ("grant", "expected"),
        [
            pytest.param(OWN, ["no_connection", "timeout", "answered"], id="pooled"),
            # The limit begins again with the request, so what was late before it is not.
            pytest.param(
                REFRESH,
                ["no_connection", "answered", "no_connection", "timeout", "answered"],
                id="opened for it",
            ),
        ],
    )
    def test_whenever_time_is_up_it_is_known_whether_anything_had_left(
        self, wire: Wire, grant: Grant, expected: list[str]
    ) -> None:
        """Connecting, sending the headers, sending the body, waiting, reading."""
        readings = Ticking(step=0)
        server = wire.serve(answers(SUCCESS))
        ask(wire.connect(server, monotonic=readings), server, grant)
        outcomes: list[str] = []
        for number in range(1, readings.asked + 1):
            server = wire.serve(answers(SUCCESS))
            endpoint = wire.connect(server, monotonic=up_after(readings=number))
            failure: EndpointUnavailableError | None = None
            try:
                ask(endpoint, server, grant)
            except EndpointUnavailableError as error:
                failure = error
            outcomes.append(failure.code if failure else "answered")
            if failure is not None:
                assert failure.sent == (failure.code == "timeout")
                assert failure.sent or not server.requests
        assert [code for code, _ in itertools.groupby(outcomes)] == expected

    def test_a_handshake_that_never_ends_is_no_connection(self, wire: Wire) -> None:
        server = wire.serve(never_shakes_hands)
        endpoint = wire.connect(server, monotonic=nearly_over(left=0.05))
        error = unavailable(endpoint, client_of(server), REFRESH)
        assert (error.code, error.sent) == ("no_connection", False)

    def test_a_host_with_many_addresses_has_no_more_time_than_another(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hung host must cost its sweep ten seconds, not three for each of its addresses."""
        time = Settable()
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address] * 12)

        def hang(connection: socket.socket, _: object) -> None:
            time.now += connection.gettimeout() or 0
            raise TimeoutError

        monkeypatch.setattr(socket.socket, "connect", hang)
        client = at("https://many.example/")
        error = unavailable(wire.connect(allowed=("many.example",), monotonic=time), client)
        assert error.code == "no_connection"
        assert time.now <= REQUEST_SECONDS

    @either_way
    def test_a_host_that_hangs_has_no_more_time_than_its_account_gives_it(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, grant: Grant
    ) -> None:
        time = Settable()
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address])

        def hang(connection: socket.socket, _: object) -> None:
            time.now += connection.gettimeout() or 0
            raise TimeoutError

        monkeypatch.setattr(socket.socket, "connect", hang)
        client = at("https://slow.example/", timeout_seconds=2)
        endpoint = wire.connect(allowed=("slow.example",), monotonic=time)
        assert unavailable(endpoint, client, grant).code == "no_connection"
        assert 0 < time.now <= 2

    def test_an_address_of_a_family_that_is_not_here_is_passed_over(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the kernel has no IPv6, its addresses are still in the name service."""
        server = wire.serve(answers(SUCCESS))
        absent = (2**15, socket.SOCK_STREAM, 6, "", ("::1", server.port))
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [absent, here])
        response = ask(wire.connect(server), server)
        assert response.access_token == TOKEN

    def test_each_request_has_a_limit_of_its_own(self, wire: Wire) -> None:
        time = Settable()
        server = wire.serve(answers(SUCCESS))
        endpoint = wire.connect(server, monotonic=time)
        for _ in range(3):
            ask(endpoint, server)
            time.now += REQUEST_SECONDS
        assert len(server.requests) == 3

    def test_threads_do_not_share_a_limit(self, wire: Wire) -> None:
        """One account's request begins when another's is nearly over."""
        time, arrived, go_on = Settable(), threading.Event(), threading.Event()

        def slow(conversation: Any) -> None:  # noqa: ANN401
            conversation.read_request()
            arrived.set()
            go_on.wait(GIVE_UP_SECONDS)
            conversation.send(SUCCESS)

        hung, quick = wire.serve(slow), wire.serve(answers(SUCCESS))
        endpoint = wire.connect(hung, quick, monotonic=time)
        codes: list[str] = []

        def ask() -> None:
            try:
                endpoint.request(client_of(hung), OWN)
            except EndpointUnavailableError as error:
                codes.append(error.code)

        asking = threading.Thread(target=ask)
        asking.start()
        assert arrived.wait(GIVE_UP_SECONDS)
        time.now = REQUEST_SECONDS - 1
        endpoint.request(client_of(quick), OWN)
        time.now = REQUEST_SECONDS + 1
        go_on.set()
        asking.join()
        # The response was waited for before the limit, and is read whole after it, or not at all.
        assert set(codes) <= {"timeout"}
        assert len(quick.requests) == 1


class TestProxy:
    """Whatever goes to a token endpoint goes by CONNECT, where a proxy is set."""

    HOST = "login.example.com"

    @pytest.fixture
    def server(self, wire: Wire, authority: Authority) -> RawTlsServer:
        """A server under a name that no resolver knows: only a proxy leads to it."""
        return wire.serve(answers(SUCCESS), context=authority.server_context(self.HOST))

    @pytest.fixture
    def client(self) -> Client:
        return at(f"https://{self.HOST}/oauth/token")

    @either_way
    def test_it_connects_to_the_host_and_sees_nothing_else(
        self, wire: Wire, server: RawTlsServer, client: Client, grant: Grant
    ) -> None:
        proxy = wire.proxy(server)
        response = send(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
        assert response.access_token == TOKEN
        assert proxy.hosts == [f"{self.HOST}:443"]
        (request,) = server.requests
        assert (request.target, request.headers["Host"]) == ("/oauth/token", self.HOST)
        assert "proxy" not in str(request.headers).lower()
        assert "Authorization" not in proxy.heads[0]

    @either_way
    def test_a_port_of_its_own_is_asked_for(
        self, wire: Wire, server: RawTlsServer, grant: Grant
    ) -> None:
        proxy, host = wire.proxy(server), f"{self.HOST}:8443"
        send(wire.connect(allowed=(host,), proxy=proxy), at(f"https://{host}/token"), grant)
        assert proxy.hosts == [host]

    def test_a_token_is_verified_through_it(
        self, wire: Wire, server: RawTlsServer, client: Client
    ) -> None:
        proxy = wire.proxy(server)
        endpoint = wire.connect(allowed=(self.HOST,), proxy=proxy)
        verified = at(client.token_endpoint, verify_url=f"https://{self.HOST}/me")
        assert endpoint.verify(verified, TOKEN) is True
        assert proxy.hosts == [f"{self.HOST}:443"]

    def test_the_accounts_of_a_sweep_share_its_connections(
        self, wire: Wire, server: RawTlsServer, client: Client
    ) -> None:
        proxy = wire.proxy(server)
        endpoint = wire.connect(allowed=(self.HOST,), proxy=proxy)
        for _ in range(3):
            send(endpoint, client, OWN)
        assert (len(proxy.asked), len(server.requests)) == (1, 3)

    @either_way
    def test_the_name_on_the_certificate_is_the_hosts(
        self, wire: Wire, authority: Authority, client: Client, grant: Grant
    ) -> None:
        """A proxy that answers in the host's place gets nothing."""
        server = wire.serve(answers(SUCCESS), context=authority.server_context("127.0.0.1"))
        endpoint = wire.connect(allowed=(self.HOST,), proxy=wire.proxy(server))
        error = failure_of(endpoint, client, grant)
        assert (error.code, error.sent) == ("certificate_refused", False)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            pytest.param("403 Forbidden", "status 403: have .* host allowed", id="a host"),
            pytest.param("407 Who Are You", "status 407: it asks for a password", id="a user"),
            pytest.param("405 Not Here", "status 405", id="no proxy"),
        ],
    )
    @either_way
    def test_a_refusal_is_told_with_its_status_and_the_setting(
        self,
        wire: Wire,
        server: RawTlsServer,
        client: Client,
        status: str,
        words: str,
        grant: Grant,
    ) -> None:
        proxy = wire.proxy(server, refuses(status))
        error = failure_of(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
        assert isinstance(error, TokenEndpointError)
        assert (error.code, error.sent, error.status) == ("proxy_refused", False, None)
        assert re.search(f"TOKEN_ENDPOINT_PROXY.*{words}", str(error))
        assert (len(proxy.asked), server.connections) == (1, 0)

    @pytest.mark.parametrize("status", ["408 Late", "429 Slow", "502 Bad", "503 No", "504 Late"])
    @either_way
    def test_what_it_does_not_reach_is_no_connection(
        self, wire: Wire, server: RawTlsServer, client: Client, status: str, grant: Grant
    ) -> None:
        proxy = wire.proxy(server, refuses(status))
        error = unavailable(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
        assert (error.code, error.sent, error.status) == ("no_connection", False, None)
        assert "TOKEN_ENDPOINT_PROXY names did not reach" in str(error)
        assert f"(status {status[:3]})" in str(error)

    @either_way
    def test_it_is_asked_again_where_it_did_not_reach_the_host(
        self, wire: Wire, server: RawTlsServer, client: Client, grant: Grant
    ) -> None:
        proxy = wire.proxy(server, refuses("503 No"), connects)
        send(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
        assert (len(proxy.asked), len(server.requests)) == (2, 1)

    @either_way
    def test_one_that_is_not_there_is_named(self, wire: Wire, client: Client, grant: Grant) -> None:
        with nobody_listens() as port:
            gone = f"http://127.0.0.1:{port}"
            error = unavailable(wire.connect(allowed=(self.HOST,), proxy=gone), client, grant)
        assert (error.code, error.sent) == ("no_connection", False)
        assert str(error) == "no connection to the proxy that TOKEN_ENDPOINT_PROXY names"

    @either_way
    def test_one_whose_name_is_not_found_is_told_so(
        self, wire: Wire, client: Client, grant: Grant
    ) -> None:
        # No name has a part as long as this, so that no server of names is asked.
        gone = f"http://{'a' * 64}.example:3128"
        error = unavailable(wire.connect(allowed=(self.HOST,), proxy=gone), client, grant)
        assert (error.code, error.sent) == ("no_connection", False)
        assert "TOKEN_ENDPOINT_PROXY names, whose name was not found" in str(error)

    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(says(b""), id="nothing"),
            pytest.param(says(b"SSH-2.0-invented\r\n\r\n"), id="no HTTP"),
            pytest.param(says(b"HTTP/1.1 2xx Fine\r\n\r\n"), id="no status"),
            pytest.param(proxy_drips(b"", b"a" * 8192), id="a first line without end"),
            pytest.param(
                proxy_drips(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60_000 + b"\r\n"),
                id="headers without end",
            ),
        ],
    )
    @either_way
    def test_one_that_says_something_else_is_no_connection(
        self, wire: Wire, server: RawTlsServer, client: Client, act: Act, grant: Grant
    ) -> None:
        proxy = wire.proxy(server, act)
        error = unavailable(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
        assert (error.code, error.sent) == ("no_connection", False)
        assert "TOKEN_ENDPOINT_PROXY names did not say" in str(error)

    @pytest.mark.parametrize(
        ("head", "drop"),
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"a", id="of a header"),
            pytest.param(b"HTTP/1.1 200 ", b"a", id="of its first line"),
        ],
    )
    @either_way
    def test_a_slow_drip_ends_at_the_limit(
        self,
        wire: Wire,
        server: RawTlsServer,
        client: Client,
        head: bytes,
        drop: bytes,
        grant: Grant,
    ) -> None:
        time = Settable()

        def let_time_pass() -> None:
            # Not with each look at it: what drips while nobody looks would come in one piece.
            time.now += REQUEST_SECONDS / 50

        proxy = wire.proxy(server, proxy_drips(head, drop, let_time_pass))
        endpoint = wire.connect(allowed=(self.HOST,), proxy=proxy, monotonic=time)
        error = unavailable(endpoint, client, grant)
        assert (error.code, error.sent) == ("no_connection", False)
        assert "TOKEN_ENDPOINT_PROXY names did not say" in str(error)
        assert len(proxy.asked) == 1

    @either_way
    def test_one_that_hangs_ends_at_the_limit(
        self, wire: Wire, server: RawTlsServer, client: Client, grant: Grant
    ) -> None:
        proxy = wire.proxy(server, hangs)
        time = nearly_over(left=0.05)
        endpoint = wire.connect(allowed=(self.HOST,), proxy=proxy, monotonic=time)
        assert unavailable(endpoint, client, grant).code == "no_connection"
        assert server.connections == 0

    def test_the_handshake_has_what_connecting_has_left_of_the_limit(
        self, wire: Wire, client: Client
    ) -> None:
        """The timeout of the last look at the proxy would let it take all of that again."""
        time = Settable()

        def connect_late(proxy: ConnectProxy, connection: socket.socket) -> None:
            time.now = REQUEST_SECONDS - 0.05
            connects(proxy, connection)

        proxy = wire.proxy(wire.serve(never_shakes_hands), connect_late)
        endpoint = wire.connect(allowed=(self.HOST,), proxy=proxy, monotonic=time)
        assert unavailable(endpoint, client, OWN).code == "no_connection"

    def test_a_connection_is_open_to_the_host_before_anything_is_leased(
        self, wire: Wire, server: RawTlsServer, client: Client
    ) -> None:
        proxy = wire.proxy(server)
        with wire.connect(allowed=(self.HOST,), proxy=proxy).connect(client) as connection:
            assert (len(proxy.asked), server.connections, server.requests) == (1, 1, [])
            connection.request(REFRESH, before_sending=lambda: None)
        assert (len(proxy.asked), len(server.requests)) == (1, 1)

    def test_a_connection_that_broke_is_opened_again_through_it(
        self, wire: Wire, authority: Authority, client: Client
    ) -> None:
        context = authority.server_context(self.HOST)
        server = wire.serve(leaves_after(b""), answers(SUCCESS), context=context)
        proxy = wire.proxy(server)
        with wire.connect(allowed=(self.HOST,), proxy=proxy).connect(client) as connection:
            assert proxy.closed.wait(GIVE_UP_SECONDS)
            connection.request(REFRESH, before_sending=lambda: None)
        assert proxy.hosts == [f"{self.HOST}:443"] * 2

    def test_its_own_address_may_be_a_private_one(
        self, wire: Wire, server: RawTlsServer, client: Client
    ) -> None:
        """Where a host leads to is not ours to see, and ``*`` stands for nothing."""
        fixed = at(client.token_endpoint, is_fixed=True)
        endpoint = wire.connect(allowed=("*",), proxy=wire.proxy(server))
        assert send(endpoint, fixed, OWN).access_token == TOKEN
        assert failure_of(endpoint, client).code == "host_not_allowed"

    @either_way
    def test_no_error_tells_what_was_in_it(
        self, wire: Wire, server: RawTlsServer, grant: Grant
    ) -> None:
        client = at(f"https://{self.HOST}/{MARK}?key={MARK}", client_secret=MARK)
        for act in (refuses(f"403 {MARK}"), refuses(f"502 {MARK}"), says(MARK.encode())):
            proxy = wire.proxy(server, act)
            error = failure_of(wire.connect(allowed=(self.HOST,), proxy=proxy), client, grant)
            told = "".join(traceback.format_exception(error))
            for secret in (MARK, self.HOST, proxy.url):
                assert secret not in told


class TestWhoIsBelieved:
    """The public authorities and additional ones; or an account's own instead."""

    @pytest.fixture
    def other(self) -> Iterator[Authority]:
        with Authority() as other:
            yield other

    @either_way
    def test_an_accounts_own_authority_is_believed(
        self, wire: Wire, other: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS), context=other.server_context())
        endpoint = wire.connect(server)
        assert failure_of(endpoint, client_of(server), grant).code == "unknown_authority"
        client = client_of(server, ca_certificates=other.certificate_file.read_text())
        assert send(endpoint, client, grant).access_token == TOKEN

    @either_way
    def test_it_stands_instead_of_all_others(
        self, wire: Wire, other: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))
        client = client_of(server, ca_certificates=other.certificate_file.read_text())
        error = failure_of(wire.connect(server), client, grant)
        assert (error.code, error.sent) == ("unknown_authority", False)
        assert "certificate is of an unknown authority" in str(error)
        assert server.requests == []

    def test_a_token_is_verified_under_it(self, wire: Wire, other: Authority) -> None:
        server = wire.serve(answers(SUCCESS), context=other.server_context())
        own = other.certificate_file.read_text()
        endpoint = wire.connect(server)
        assert endpoint.verify(client_of(server, verify_url=server.url), TOKEN) is None
        client = client_of(server, verify_url=server.url, ca_certificates=own)
        assert endpoint.verify(client, TOKEN) is True

    def test_no_connection_is_shared_with_whoever_believes_somebody_else(
        self, wire: Wire, authority: Authority, other: Authority
    ) -> None:
        """Else one account's authority would vouch for the server that another's secret goes to."""
        server = wire.serve(answers(SUCCESS))
        pem = authority.certificate_file.read_text()
        both = pem + other.certificate_file.read_text()
        endpoint = wire.connect(server)
        for own in (None, pem, both, None, pem, both):
            send(endpoint, client_of(server, ca_certificates=own), OWN)
        assert (server.connections, len(server.requests)) == (3, 6)
        elsewhere = client_of(server, ca_certificates=other.certificate_file.read_text())
        assert failure_of(endpoint, elsewhere).code == "unknown_authority"

    @either_way
    def test_the_name_is_verified_all_the_same(
        self, wire: Wire, other: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS), context=other.server_context("login.example.com"))
        client = client_of(server, ca_certificates=other.certificate_file.read_text())
        assert failure_of(wire.connect(server), client, grant).code == "certificate_refused"

    @either_way
    def test_what_cannot_be_loaded_is_told_by_its_field_and_gets_no_connection(
        self, wire: Wire, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))
        client = client_of(server, ca_certificates=f"-----BEGIN {MARK}-----", verify_url=server.url)
        endpoint = wire.connect(server)
        with pytest.raises(TokenEndpointError) as verification:
            endpoint.verify(client, TOKEN)
        for error in (failure_of(endpoint, client, grant), verification.value):
            assert (error.code, error.sent) == ("invalid_ca_certificates", False)
            assert str(error) == "`ca_certificates` takes certificates in PEM, and no key"
        assert server.connections == 0

    @either_way
    def test_additional_authorities_stand_beside_the_public_ones(
        self, wire: Wire, other: Authority, trusted_by_file: Path, grant: Grant
    ) -> None:
        """A file stands for the public ones here, where it is named to OpenSSL."""
        assert trusted_by_file.exists()
        public, private = (
            wire.serve(answers(SUCCESS)),
            wire.serve(answers(SUCCESS), context=other.server_context()),
        )
        context = public_authorities(other.certificate_file.read_text())
        endpoint = wire.connect(public, private, context=context)
        for server in (public, private):
            assert ask(endpoint, server, grant).access_token == TOKEN


class TestWhoIsShown:
    """Mutual TLS (RFC 8705 section 2.1): an account's certificate, on its own connections alone."""

    VERSIONS: ClassVar = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

    @pytest.fixture
    def stranger(self) -> Iterator[Authority]:
        with Authority() as stranger:
            yield stranger

    @staticmethod
    def shown(certificate: tuple[str, str], **fields: Any) -> Mapping[str, Any]:  # noqa: ANN401
        return {"certificate": certificate[0], "private_key": certificate[1], **fields}

    @staticmethod
    def demanding(
        authority: Authority,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        clients: ssl.VerifyMode = ssl.CERT_REQUIRED,
    ) -> ssl.SSLContext:
        context = authority.server_context(clients=clients)
        context.minimum_version = context.maximum_version = version
        return context

    @pytest.mark.parametrize("is_proxied", [False, True])
    @pytest.mark.parametrize("clients", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
    @pytest.mark.parametrize("version", VERSIONS)
    @either_way
    def test_a_server_that_asks_is_shown_the_accounts_certificate(
        self,
        wire: Wire,
        authority: Authority,
        version: ssl.TLSVersion,
        clients: ssl.VerifyMode,
        grant: Grant,
        *,
        is_proxied: bool,
    ) -> None:
        seen: list[str] = []
        server = wire.serve(
            tells_the_client(seen), context=self.demanding(authority, version, clients)
        )
        client = client_of(server, **self.shown(authority.client_certificate("dealer-17")))
        proxy = wire.proxy(server) if is_proxied else None
        assert send(wire.connect(server, proxy=proxy), client, grant).access_token == TOKEN
        assert seen == ["dealer-17"]

    def test_a_server_that_asks_late_is_shown_it_too(
        self, wire: Wire, authority: Authority
    ) -> None:
        """Once it has read for what (RFC 8446 section 4.6.2): some paths need one, others not."""
        context, seen = self.demanding(authority), list[str]()
        context.post_handshake_auth = True
        server = wire.serve(asks_late(seen), context=context)
        client = client_of(server, **self.shown(authority.client_certificate("dealer-17")))
        endpoint = wire.connect(server)
        for _ in range(2):
            assert send(endpoint, client, OWN).access_token == TOKEN
        assert seen == ["", "dealer-17"]

    def test_a_token_is_verified_and_revoked_with_it(
        self, wire: Wire, authority: Authority
    ) -> None:
        seen: list[str] = []
        server = wire.serve(tells_the_client(seen), context=self.demanding(authority))
        shown = self.shown(authority.client_certificate("dealer-17"), verify_url=server.url)
        endpoint, client = wire.connect(server), client_of(server, **shown)
        assert endpoint.verify(client, TOKEN) is True
        endpoint.drop_connections()
        assert endpoint.revoke(client, TOKEN, hint="access_token") is True
        assert seen == ["dealer-17", "dealer-17"]

    def test_no_two_accounts_share_a_connection_whose_certificates_differ(
        self, wire: Wire, authority: Authority
    ) -> None:
        """Else one would be taken for the other; also where they believe the same authorities."""
        seen: list[str] = []
        context = self.demanding(authority, clients=ssl.CERT_OPTIONAL)
        server = wire.serve(tells_the_client(seen), context=context)
        own = authority.certificate_file.read_text()
        certificates = [authority.client_certificate(name) for name in ("a", "b")]
        clients = [
            client_of(server, ca_certificates=believed, **shown)
            for believed in (None, own)
            for shown in ({}, *map(self.shown, certificates))
        ]
        endpoint = wire.connect(server)
        for client in clients * 2:
            send(endpoint, client, OWN)
        assert seen == ["", "a", "b"] * 2
        assert (server.connections, len(server.requests)) == (6, 12)

    def test_nor_in_many_threads_at_once(self, wire: Wire, authority: Authority) -> None:
        """Each request names its account in the body, and its certificate in the handshake."""
        mixed: list[tuple[str, str]] = []
        server = wire.serve(pairs(mixed), context=self.demanding(authority))
        clients = [
            client_of(server, client_id=name, **self.shown(authority.client_certificate(name)))
            for name in ("a", "b", "c", "d")
        ]
        endpoint = wire.connect(server)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda client: send(endpoint, client, OWN), clients * 16))
        assert len(mixed) == 64
        assert all(shown == asked for shown, asked in mixed)

    def test_a_corrected_certificate_takes_a_new_connection(
        self, wire: Wire, authority: Authority
    ) -> None:
        seen: list[str] = []
        server = wire.serve(tells_the_client(seen), context=self.demanding(authority))
        endpoint = wire.connect(server)
        for _ in range(2):
            certificate = authority.client_certificate("dealer-17")
            for _ in range(2):
                send(endpoint, client_of(server, **self.shown(certificate)), OWN)
        assert (seen, server.connections) == (["dealer-17"] * 2, 2)

    def test_more_accounts_than_are_remembered_have_their_own_all_the_same(
        self, wire: Wire, authority: Authority
    ) -> None:
        seen: list[str] = []
        server = wire.serve(tells_the_client(seen), context=self.demanding(authority))
        endpoint = wire.connect(server)
        names = [f"dealer-{number}" for number in range(40)]
        for name in names:
            certificate = authority.client_certificate(name)
            send(endpoint, client_of(server, **self.shown(certificate)), OWN)
        assert seen == names

    @pytest.mark.parametrize("status", [301, 307])
    @either_way
    def test_nobody_else_is_shown_it(
        self, wire: Wire, authority: Authority, status: int, grant: Grant
    ) -> None:
        seen: list[str] = []
        elsewhere = wire.serve(tells_the_client(seen), context=self.demanding(authority))
        redirect = answer(b"", status=f"{status} Moved", headers=(f"Location: {elsewhere.url}",))
        server = wire.serve(answers(redirect), context=self.demanding(authority))
        client = client_of(server, **self.shown(authority.client_certificate("dealer-17")))
        assert failure_of(wire.connect(server, elsewhere), client, grant).code == "redirect"
        assert (elsewhere.connections, seen) == (0, [])

    @pytest.mark.parametrize("is_proxied", [False, True])
    @either_way
    def test_before_tls_1_3_a_refusal_comes_before_anything_has_left(
        self,
        wire: Wire,
        authority: Authority,
        stranger: Authority,
        grant: Grant,
        *,
        is_proxied: bool,
    ) -> None:
        context = self.demanding(authority, ssl.TLSVersion.TLSv1_2)
        server = wire.serve(refuses_the_handshake(), context=context)
        client = client_of(server, **self.shown(stranger.client_certificate("dealer-17")))
        proxy = wire.proxy(server) if is_proxied else None
        error = failure_of(wire.connect(server, proxy=proxy), client, grant)
        assert isinstance(error, TokenEndpointError)
        assert (error.code, error.sent) == ("client_certificate_refused", False)
        assert "see whether it has expired" in str(error)
        assert server.connections == 1

    @either_way
    def test_one_that_has_expired_is_refused_by_the_server(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        context = self.demanding(authority, ssl.TLSVersion.TLSv1_2)
        server = wire.serve(refuses_the_handshake(), context=context)
        ended = datetime(2020, 1, 1, tzinfo=UTC)
        certificate = authority.client_certificate("dealer-17", not_after=ended)
        error = failure_of(
            wire.connect(server), client_of(server, **self.shown(certificate)), grant
        )
        assert (error.code, error.sent) == ("client_certificate_refused", False)

    @either_way
    def test_what_tls_1_3_refuses_late_counts_as_sent(
        self, wire: Wire, authority: Authority, stranger: Authority, grant: Grant
    ) -> None:
        leaves = threading.Event()
        server = wire.serve(
            refuses_the_handshake(when=lambda: leaves.wait(GIVE_UP_SECONDS)),
            context=self.demanding(authority),
        )
        client = client_of(server, **self.shown(stranger.client_certificate("dealer-17")))
        with pytest.raises(TokenEndpointError) as failure:
            send(wire.connect(server), client, grant, before_sending=leaves.set)
        assert (failure.value.code, failure.value.sent) == ("client_certificate_refused", True)
        assert server.connections == 1

    def test_a_server_that_has_left_is_heard_though_no_more_can_be_sent(
        self, wire: Wire, authority: Authority, stranger: Authority
    ) -> None:
        """Of headers and body the first meets a closed connection, and the second cannot leave."""
        is_sending = threading.Event()

        def play(conversation: Conversation) -> None:
            refuse = conversation.greet()
            is_sending.wait(GIVE_UP_SECONDS)
            refuse()
            conversation.leave()

        def before_sending() -> None:
            is_sending.set()
            assert server.closed.wait(GIVE_UP_SECONDS)

        server = wire.serve(play, context=self.demanding(authority))
        client = client_of(server, **self.shown(stranger.client_certificate("dealer-17")))
        with pytest.raises(TokenEndpointError) as failure:
            send(wire.connect(server), client, REFRESH, before_sending)
        assert (failure.value.code, failure.value.sent) == ("client_certificate_refused", True)

    @pytest.mark.parametrize(
        "code",
        [
            pytest.param(42, id="bad_certificate"),
            pytest.param(43, id="unsupported_certificate"),
            pytest.param(44, id="certificate_revoked"),
            pytest.param(45, id="certificate_expired"),
            pytest.param(46, id="certificate_unknown"),
            pytest.param(48, id="unknown_ca"),
            pytest.param(49, id="access_denied"),
        ],
    )
    def test_whatever_alert_a_server_has_for_it(
        self, wire: Wire, authority: Authority, code: int
    ) -> None:
        server = wire.serve(greets_with(b"\x15\x03\x03\x00\x02\x02" + bytes([code])))
        client = client_of(server, **self.shown(authority.client_certificate("dealer-17")))
        assert failure_of(wire.connect(server), client).code == "client_certificate_refused"

    @pytest.mark.parametrize(
        ("has_one", "says", "code"),
        [
            (False, "No required SSL certificate was sent", "client_certificate_required"),
            (True, "The SSL certificate error", "client_certificate_refused"),
        ],
    )
    @either_way
    def test_a_page_of_nginx_for_it_is_known(
        self, wire: Wire, authority: Authority, says: str, code: str, grant: Grant, *, has_one: bool
    ) -> None:
        """It ends the handshake well, and then refuses with a page that looks like a firewall's."""
        page = f"<html><head><title>400 {says}</title></head></html>".encode()
        refusal = answer(page, status="400 Bad Request", content_type="text/html")
        server = wire.serve(
            answers(refusal), context=self.demanding(authority, clients=ssl.CERT_OPTIONAL)
        )
        shown = self.shown(authority.client_certificate("dealer-17")) if has_one else {}
        error = failure_of(wire.connect(server), client_of(server, **shown), grant)
        assert (error.code, error.sent) == (code, True)

    @either_way
    def test_another_page_stays_a_page(self, wire: Wire, grant: Grant) -> None:
        page = answer(b"<html>400", status="400 Bad Request", content_type="text/html")
        server = wire.serve(answers(page))
        assert failure_of(wire.connect(server), client_of(server), grant).code == "page_400"

    @either_way
    def test_one_that_leaves_without_a_word_may_have_refused_it(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers_and_closes(b""), context=self.demanding(authority))
        client = client_of(server, **self.shown(authority.client_certificate("dealer-17")))
        error = unavailable(wire.connect(server), client, grant)
        assert error.code == "connection_lost"
        assert str(error).endswith("(mutual TLS), and may have refused the one that it got")

    @either_way
    def test_what_cannot_be_shown_gets_no_connection(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))
        certificate, _ = authority.client_certificate("dealer-17")
        _, key = authority.client_certificate("dealer-18")
        client = client_of(server, certificate=certificate, private_key=key, verify_url=server.url)
        endpoint = wire.connect(server)
        with pytest.raises(TokenEndpointError) as verification:
            endpoint.verify(client, TOKEN)
        with pytest.raises(TokenEndpointError) as revocation:
            endpoint.revoke(client, TOKEN, hint="access_token")
        for error in (failure_of(endpoint, client, grant), verification.value, revocation.value):
            assert (error.code, error.sent) == ("invalid_certificate", False)
            assert str(error).startswith("`private_key` does not belong to `certificate`")
            told = "".join(traceback.format_exception(error)) + repr(client)
            assert not any(
                line in told for line in (certificate + key).splitlines() if len(line) > 40
            )
        assert server.connections == 0


class TestGlobalAddresses:
    """Where a host is allowed by ``*`` alone, it must not lead into a network of ours."""

    HOST = "login.example.com"

    @pytest.fixture
    def dialled(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """What is connected to; nobody is there."""
        dialled: list[object] = []

        def connect(_: socket.socket, address: object) -> None:
            dialled.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket.socket, "connect", connect)
        return dialled

    @staticmethod
    def lead(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        """Have the name lead to each of these, one at a time, again and again."""
        turns = itertools.cycle(addresses)

        def resolve(_: str, port: int, *__: object) -> list[object]:
            address = next(turns)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    @pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "::1", "::ffff:10.0.0.1"])
    @either_way
    def test_another_address_is_refused_before_it_is_connected_to(
        self,
        wire: Wire,
        monkeypatch: pytest.MonkeyPatch,
        dialled: list[object],
        address: str,
        grant: Grant,
    ) -> None:
        self.lead(monkeypatch, address)
        error = failure_of(wire.connect(allowed=("*",)), at(f"https://{self.HOST}/"), grant)
        assert isinstance(error, TokenEndpointError)
        assert (error.code, error.sent, dialled) == ("address_not_global", False, [])
        assert address not in str(error)

    @either_way
    def test_a_global_address_is_connected_to(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, dialled: list[object], grant: Grant
    ) -> None:
        self.lead(monkeypatch, "8.8.8.8")
        error = failure_of(wire.connect(allowed=("*",)), at(f"https://{self.HOST}/"), grant)
        assert error.code == "no_connection"
        assert dialled == [("8.8.8.8", 443)] * 2

    @either_way
    def test_a_name_that_leads_elsewhere_a_moment_later_gains_nothing(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, dialled: list[object], grant: Grant
    ) -> None:
        self.lead(monkeypatch, "8.8.8.8", "169.254.169.254")
        error = failure_of(wire.connect(allowed=("*",)), at(f"https://{self.HOST}/"), grant)
        assert error.code == "address_not_global"
        assert dialled == [("8.8.8.8", 443)]

    @either_way
    def test_a_host_that_is_allowed_by_name_may_be_ones_own(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, dialled: list[object], grant: Grant
    ) -> None:
        self.lead(monkeypatch, "10.0.0.1")
        endpoint = wire.connect(allowed=("*", self.HOST))
        assert failure_of(endpoint, at(f"https://{self.HOST}/"), grant).code == "no_connection"
        assert dialled == [("10.0.0.1", 443)] * 2


@pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param(b" folded " + TOKEN.encode(), id="a line that continues nothing"),
        pytest.param(b"X: y\r\n{\r\n" + ISSUED, id="a body that no empty line precedes"),
    ],
)
@either_way
def test_an_unreadable_header_writes_no_token_to_the_log(
    wire: Wire, caplog: pytest.LogCaptureFixture, unreadable: bytes, grant: Grant
) -> None:
    """An HTTP library that warns of bad headers quotes them, and what follows them."""
    server = wire.serve(answers_and_closes(b"HTTP/1.1 200 OK\r\n" + unreadable + b"\r\n\r\n"))
    unavailable(wire.connect(server), client_of(server), grant)
    assert TOKEN not in caplog.text
    assert server.url not in caplog.text


def test_an_authority_of_ones_own_is_trusted_by_its_file(wire: Wire, trusted_by_file: Path) -> None:
    assert trusted_by_file.exists()
    server = wire.serve(answers(SUCCESS))
    endpoint = wire.connect(server, context=ssl.create_default_context())
    assert ask(endpoint, server).access_token == TOKEN
