"""The token endpoint's client, against real servers over TLS, well-behaved and not."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import ssl
import threading
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

import pytest

from local.authorization_server import Endpoint, LosesTheAnswer, firewall_page
from local.authorization_server.failures import Answers
from tests.unit.connect_proxy import ConnectProxy, refuses
from tests.unit.raw_tls_server import (
    GIVE_UP_SECONDS,
    Conversation,
    RawRequest,
    RawTlsServer,
    Script,
    answer,
    answers,
    answers_and_closes,
    answers_and_resets,
    drips,
    leaves_after,
    never_shakes_hands,
    resets_the_handshake,
    stops_after,
)
from token_refresher.oauth.client_authentication import Client, Grant, host_of, refresh_grant
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError, TokenEndpointError
from token_refresher.oauth.transport import LONGEST_BODY, REQUEST_SECONDS, TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
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


@dataclass(frozen=True, slots=True)
class Hosts:
    """Allows some hosts, and some of them by ``*`` alone."""

    named: Collection[str]
    by_star: Collection[str] = ()

    def require(self, client: Client) -> None:
        for url in (client.token_endpoint, client.verify_url or client.token_endpoint):
            if host_of(url) not in {*self.named, *self.by_star}:
                raise TokenEndpointError("not allowed", code="host_not_allowed", sent=False)

    def must_be_global(self, host: str) -> bool:
        return host in self.by_star


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
        by_star: tuple[str, ...] = (),
        monotonic: Callable[[], float] = standing_still,
        context: ssl.SSLContext | None = None,
        proxy: ConnectProxy | str | None = None,
    ) -> TokenEndpoint:
        """Make a client that may reach the given servers."""
        endpoint = TokenEndpoint(
            hosts=Hosts([*(server.host for server in servers), *allowed], by_star),
            ssl_context=context or self._authority.client_context(),
            clock=self._clock.now,
            monotonic=monotonic,
            connections=4,
            proxy=proxy.url if isinstance(proxy, ConnectProxy) else proxy,
        )
        self._stack.callback(endpoint.drop_connections)
        return endpoint


@pytest.fixture
def wire(authority: Authority, clock: DrivenClock) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(authority, clock, stack)


def client_of(server: RawTlsServer, **fields: Any) -> Client:  # noqa: ANN401
    return Client(**{"token_endpoint": server.url, **CLIENT, **fields})


def at(url: str, **fields: Any) -> Client:  # noqa: ANN401
    return Client(**{"token_endpoint": url, **CLIENT, **fields})


def basic(request: RawRequest) -> bytes:
    """What stands behind ``Basic``, decoded once."""
    scheme, _, encoded = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True)


def send(endpoint: TokenEndpoint, client: Client, grant: Grant) -> TokenResponse:
    """Make a request on the way that its grant takes."""
    if grant.refresh_token is None:
        return endpoint.request(client, grant)
    with endpoint.connect(client) as connection:
        return connection.request(grant, before_sending=lambda: None)


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


class TestWhatIsSent:
    """What `token_request` makes arrives as it was made; see its own tests for the rest."""

    @pytest.fixture
    def server(self, wire: Wire) -> RawTlsServer:
        return wire.serve(answers(SUCCESS))

    @either_way
    def test_a_form_goes_by_post(self, server: RawTlsServer, wire: Wire, grant: Grant) -> None:
        send(wire.connect(server), client_of(server), grant)
        (request,) = server.requests
        assert request.fields == grant.parameters
        assert basic(request) == b"123:02468abcdef"
        assert (request.method, request.target) == ("POST", "/oauth/token")
        assert request.headers == {
            "Host": server.host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": request.headers["Authorization"],
            "Content-Length": str(len(request.body)),
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "invented/1",
        }

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    @either_way
    def test_json_goes_by_any_method(
        self,
        server: RawTlsServer,
        wire: Wire,
        method: Any,
        grant: Grant,  # noqa: ANN401
    ) -> None:
        dialect = Dialect(request_method=method, request_format="json")
        send(wire.connect(server), client_of(server, dialect=dialect), grant)
        (request,) = server.requests
        assert (request.method, request.headers["Content-Type"]) == (method, "application/json")
        assert json.loads(request.body) == grant.parameters

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @either_way
    def test_a_query_goes_without_a_body(
        self,
        server: RawTlsServer,
        wire: Wire,
        method: Any,
        grant: Grant,  # noqa: ANN401
    ) -> None:
        dialect = Dialect(request_method=method, request_format="query")
        client = client_of(server, dialect=dialect, token_endpoint=f"{server.url}?tenant=a%2Fb")
        send(wire.connect(server), client, grant)
        (request,) = server.requests
        assert request.target == f"/oauth/token?tenant=a%2Fb&{urlencode(grant.parameters)}"
        assert (request.method, request.body) == (method, b"")

    def test_a_refresh_token_goes_to_the_refresh_endpoint(
        self, server: RawTlsServer, wire: Wire
    ) -> None:
        client = client_of(server, refresh_endpoint=f"https://{server.host}/refresh")
        endpoint = wire.connect(server)
        for grant in (OWN, REFRESH):
            send(endpoint, client, grant)
        assert [request.target for request in server.requests] == ["/oauth/token", "/refresh"]

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"X-A": "b\r\nX-Injected: 1"}, id="a header cannot add another"),
            pytest.param({"X-A\r\nX-Injected": "1"}, id="nor can its name"),
        ],
    )
    @either_way
    def test_a_line_break_sends_nothing(
        self, server: RawTlsServer, wire: Wire, headers: dict[str, str], grant: Grant
    ) -> None:
        error = failure_of(wire.connect(server), client_of(server, request_headers=headers), grant)
        assert not error.sent
        assert server.requests == []


class TestWhereItIsSent:
    @either_way
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, wire: Wire, status: int, grant: Grant) -> None:
        elsewhere = wire.serve(answers(SUCCESS))
        redirect = answer(b"", status=f"{status} Moved", headers=(f"Location: {elsewhere.url}",))
        server = wire.serve(answers(redirect))
        endpoint = wire.connect(server, elsewhere)
        with pytest.raises(TokenEndpointError) as refusal:
            ask(endpoint, server, grant)
        assert (refusal.value.code, refusal.value.status) == ("redirect", status)
        assert (server.connections, elsewhere.connections) == (1, 0)

    def test_a_verify_request_does_not_follow_a_redirect(self, wire: Wire) -> None:
        elsewhere = wire.serve(answers(SUCCESS))
        redirect = answer(b"", status="302 Found", headers=(f"Location: {elsewhere.url}",))
        server = wire.serve(answers(redirect))
        client = client_of(server, verify_url=server.url)
        assert wire.connect(server, elsewhere).verify(client, TOKEN) is None
        assert elsewhere.connections == 0

    @either_way
    def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
        self, wire: Wire, authority: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS), context=authority.server_context("www.autovit.ro"))
        with pytest.raises(TokenEndpointError) as refusal:
            ask(wire.connect(server), server, grant)
        assert (refusal.value.code, refusal.value.sent) == ("certificate_refused", False)
        assert server.requests == []
        # A refused certificate is no lost connection: nothing is tried again.
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("field", "allowed"),
        [
            pytest.param("token_endpoint", (), id="nothing is allowed"),
            pytest.param("token_endpoint", ("localhost",), id="a host means its https port"),
            pytest.param("token_endpoint", ("localhost:1",), id="another port is another place"),
            pytest.param(
                "verify_url", ("{host}",), id="the verify request goes nowhere else either"
            ),
        ],
    )
    @either_way
    def test_a_host_that_is_not_allowed_gets_no_connection(
        self, wire: Wire, field: str, allowed: tuple[str, ...], grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))
        client = client_of(server, verify_url="https://elsewhere.example/me")
        endpoint = wire.connect(allowed=tuple(text.format(host=server.host) for text in allowed))
        with pytest.raises(TokenEndpointError, match=f"host of {field} .* ALLOWED_TOKEN_HOSTS") as (
            refusal
        ):
            send(endpoint, client, grant)
        assert (refusal.value.code, refusal.value.sent) == ("host_not_allowed", False)
        assert "example" not in str(refusal.value)
        assert "localhost" not in str(refusal.value)
        assert server.connections == 0

    def test_a_token_is_not_verified_at_a_host_that_is_not_allowed(self, wire: Wire) -> None:
        """A journaled response is verified without any token request before it."""
        server, elsewhere = wire.serve(answers(SUCCESS)), wire.serve(answers(SUCCESS))
        client = client_of(server, verify_url=elsewhere.url)
        with pytest.raises(TokenEndpointError) as refusal:
            wire.connect(server).verify(client, TOKEN)
        assert refusal.value.code == "host_not_allowed"
        assert elsewhere.connections == 0

    @pytest.mark.parametrize(
        ("url", "allowed"),
        [
            pytest.param("https://a.example/token", "a.example", id="the host alone"),
            pytest.param("https://a.example:443/token", "a.example", id="https's own port named"),
            pytest.param("https://a.example:8443/token", "a.example:8443", id="host and port"),
            pytest.param("https://A.Example/token", "a.example", id="in any case"),
        ],
    )
    def test_an_allowed_host_is_admitted(self, wire: Wire, url: str, allowed: str) -> None:
        wire.connect(allowed=(allowed,)).admit(
            ClientCredentials(token_endpoint=url, verify_url=url, **CLIENT).client
        )

    @pytest.mark.parametrize(
        "url",
        [
            "https://a.example@b.example/",
            "https://b.example\\@a.example/",
            "https://b.example[a.example]/",
            "https://a.example.b.example/",
            "https://a.example./",
            "https://b.example/?a.example",
            "https://b.example#a.example",
        ],
    )
    def test_no_way_to_write_a_host_leads_past_the_setting(self, wire: Wire, url: str) -> None:
        text = json.dumps({"token_endpoint": url, **OWN, **CLIENT})
        with pytest.raises((CredentialsError, TokenEndpointError)):
            wire.connect(allowed=("a.example",)).admit(parse_credentials(text).client)

    def test_proxies_of_the_environment_are_ignored(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy, server = wire.serve(answers(SUCCESS)), wire.serve(answers(SUCCESS))
        for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://{proxy.host}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        ask(wire.connect(server), server)
        assert (server.connections, proxy.connections) == (1, 0)


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
            go_on.wait(REQUEST_SECONDS)
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
        assert arrived.wait(REQUEST_SECONDS)
        time.now = REQUEST_SECONDS - 1
        endpoint.request(client_of(quick), OWN)
        time.now = REQUEST_SECONDS + 1
        go_on.set()
        asking.join()
        # The response was waited for before the limit, and is read whole after it, or not at all.
        assert set(codes) <= {"timeout"}
        assert len(quick.requests) == 1


class TestWhatIsRead:
    def test_an_answer_is_read(self, wire: Wire) -> None:
        server = wire.serve(answers(SUCCESS))
        response = ask(wire.connect(server), server)
        assert response.access_token == TOKEN
        assert response.expires_in == timedelta(hours=12)

    @pytest.mark.parametrize(
        "response",
        [
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
                % (len(ISSUED), ISSUED),
                id="in chunks",
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + ISSUED,
                id="to the end of the connection",
            ),
            pytest.param(
                b"HTTP/1.1 100 Continue\r\n\r\n" + SUCCESS, id="after an interim response"
            ),
        ],
    )
    @either_way
    def test_every_framing_is_understood(self, wire: Wire, response: bytes, grant: Grant) -> None:
        server = wire.serve(answers_and_closes(response))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize(
        ("length", "is_read"),
        [
            pytest.param(LONGEST_BODY, True, id="a body of 32 KiB is read"),
            pytest.param(LONGEST_BODY + 1, False, id="one more byte is too much"),
        ],
    )
    @either_way
    def test_the_longest_body(
        self, wire: Wire, length: int, grant: Grant, *, is_read: bool
    ) -> None:
        padding = "a" * (length - len(ISSUED) - len(', "a": ""'))
        body = ISSUED[:-1] + f', "a": "{padding}"}}'.encode()
        assert len(body) == length
        server = wire.serve(answers(answer(body)))
        endpoint = wire.connect(server)
        if is_read:
            assert ask(endpoint, server, grant).access_token == TOKEN
        else:
            assert unavailable(endpoint, client_of(server), grant).code == "firewall"

    @either_way
    def test_a_page_that_calls_itself_one_is_a_page(self, wire: Wire, grant: Grant) -> None:
        page = answer(b"blocked", status="403 No", content_type="text/html; charset=utf-8")
        server = wire.serve(answers(page))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert (error.is_page, error.status) == (True, 403)

    @either_way
    def test_headers_without_end_are_not_read_to_it(self, wire: Wire, grant: Grant) -> None:
        """An HTTP library would keep megabytes of them."""
        server = wire.serve(drips(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60_000 + b"\r\n"))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert error.code == "connection_lost"

    @either_way
    def test_an_interim_response_is_not_taken_for_the_final_one(
        self, wire: Wire, grant: Grant
    ) -> None:
        server = wire.serve(answers(b"HTTP/1.1 102 Processing\r\n\r\n" + SUCCESS))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert error.code == "connection_lost"

    def test_retry_after_is_handed_on(self, wire: Wire, clock: DrivenClock) -> None:
        moment = clock.now() + timedelta(minutes=7)
        date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
        server = wire.serve(
            answers(
                answer(b"", status="429 Slow", headers=("Retry-After: 90",)),
                answer(b"", status="503 Later", headers=(f"Retry-After: {date}",)),
            )
        )
        endpoint = wire.connect(server)
        waits = [unavailable(endpoint, client_of(server)).retry_after for _ in range(2)]
        assert waits == [timedelta(seconds=90), timedelta(minutes=7)]

    def test_a_retry_after_of_nonsense_costs_no_answer(self, wire: Wire) -> None:
        """By then the refresh token is spent: its successor must reach the journal."""
        nonsense = "Retry-After: Tue, 24 Nov 2026 01:00:00 +99999999999999999999"
        server = wire.serve(answers(answer(ISSUED, headers=(nonsense,))))
        assert ask(wire.connect(server), server, REFRESH).access_token == TOKEN


class TestLostConnections:
    """What is repeated, what is not, and what is said of it."""

    HALF = answer(ISSUED[:20], length=len(ISSUED))

    @pytest.mark.parametrize(
        "lost",
        [
            pytest.param(answers_and_closes(b""), id="closed without a response"),
            pytest.param(answers_and_resets(b""), id="reset without a response"),
            pytest.param(answers_and_closes(HALF), id="closed within a body of known length"),
            pytest.param(answers_and_resets(HALF), id="reset within a body"),
            pytest.param(
                answers_and_closes(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + ISSUED[:20]
                ),
                id="closed within a chunk",
            ),
            pytest.param(answers_and_closes(b"HTTP/1.1 2"), id="closed within the status line"),
            pytest.param(answers_and_closes(b"\x00\x01\x02\r\n\r\n"), id="answered with no HTTP"),
        ],
    )
    def test_a_primary_grant_is_repeated_once_and_a_refresh_token_never(
        self, wire: Wire, lost: Script
    ) -> None:
        fixed = wire.serve(lost, answers(SUCCESS))
        response = ask(wire.connect(fixed), fixed)
        assert response.access_token == TOKEN
        assert len(fixed.requests) == 2

        broken = wire.serve(lost)
        error = unavailable(wire.connect(broken), client_of(broken))
        assert (error.code, error.sent, error.is_response_lost) == ("connection_lost", True, True)
        assert len(broken.requests) == 2

        spent = wire.serve(lost, answers(SUCCESS))
        error = unavailable(wire.connect(spent), client_of(spent), REFRESH)
        assert (error.code, error.sent) == ("connection_lost", True)
        assert error.is_response_lost
        assert [request.fields for request in spent.requests] == [REFRESH.parameters]

    def test_a_refresh_token_is_sent_again_where_nothing_had_left(self, wire: Wire) -> None:
        server = wire.serve(resets_the_handshake, answers(SUCCESS))
        assert ask(wire.connect(server), server, REFRESH).access_token == TOKEN
        assert (server.connections, len(server.requests)) == (2, 1)

    def test_a_refresh_token_that_left_at_the_second_try_is_not_sent_a_third_time(
        self, wire: Wire
    ) -> None:
        server = wire.serve(resets_the_handshake, answers_and_closes(b""), answers(SUCCESS))
        error = unavailable(wire.connect(server), client_of(server), REFRESH)
        assert (error.code, error.sent) == ("connection_lost", True)
        assert (server.connections, len(server.requests)) == (2, 1)

    @either_way
    def test_a_reset_within_the_handshake_is_no_connection(self, wire: Wire, grant: Grant) -> None:
        server = wire.serve(resets_the_handshake)
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert (error.code, error.sent) == ("no_connection", False)
        assert not error.is_response_lost
        assert server.connections == 2

    def test_a_server_without_tls_is_no_connection(self, wire: Wire) -> None:
        listener = socket.create_server(("127.0.0.1", 0))

        def speak_plainly() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.recv(65536)

        speaking = threading.Thread(target=speak_plainly)
        speaking.start()
        with listener:
            host = f"localhost:{listener.getsockname()[1]}"
            client = at(f"https://{host}/")
            error = unavailable(wire.connect(allowed=(host,)), client)
            speaking.join()
        assert (error.code, error.sent) == ("no_connection", False)

    def test_a_refused_connection_is_no_connection(self, wire: Wire) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host = f"localhost:{closed.getsockname()[1]}"
        client = at(f"https://{host}/")
        error = unavailable(wire.connect(allowed=(host,)), client, REFRESH)
        assert (error.code, error.sent) == ("no_connection", False)
        assert error.is_lost_connection

    @pytest.mark.parametrize(
        "host",
        [
            pytest.param("nowhere.example", id="a name that nobody knows"),
            pytest.param("a" * 64 + ".example", id="a name that cannot be one"),
        ],
    )
    def test_a_name_that_does_not_resolve_is_no_connection(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        asked: list[object] = []

        def resolve(name: str, *_: object) -> list[object]:
            asked.append(name)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        client = at(f"https://{host}/")
        error = unavailable(wire.connect(allowed=(host,)), client, REFRESH)
        assert (error.code, error.sent) == ("no_connection", False)
        assert len(asked) in {0, 2}

    def test_a_request_whose_repeat_found_nobody_was_sent_all_the_same(self, wire: Wire) -> None:
        server = wire.serve(answers_and_closes(b""), resets_the_handshake)
        error = unavailable(wire.connect(server), client_of(server))
        assert error.sent
        assert len(server.requests) == 1

    def test_an_answer_that_says_later_is_not_asked_again(self, wire: Wire) -> None:
        server = wire.serve(answers(answer(b"", status="503 Later")))
        error = unavailable(wire.connect(server), client_of(server))
        assert error.code == "status_503"
        assert len(server.requests) == 1

    def test_an_answer_lost_after_rotation_leaves_the_refresh_token_spent_once(
        self, authorization_server: AuthorizationServer, wire: Wire
    ) -> None:
        authorization_server.register_client(
            "c", secret="s", users={"u": "p"}, refresh_tokens_for=["password"]
        )
        seed = authorization_server.issue_initial_refresh_token("c", user="u")
        authorization_server.fail(LosesTheAnswer())
        client = RefreshTokenCredentials(
            token_endpoint=authorization_server.token_endpoint,
            client_id="c",
            client_secret="s",
            refresh_token=seed,
        )
        grant = {"grant_type": "refresh_token", "refresh_token": seed}
        error = unavailable(wire.connect(allowed=(authorization_server.host,)), client, grant)
        assert error.code == "connection_lost"
        assert authorization_server.refresh_tokens_sent[seed] == 1
        assert authorization_server.families_revoked == 0


class TestConnect:
    """A connection that is opened before what must be done before a request."""

    def test_what_is_done_before_sending_is_done_after_the_handshake_and_before_any_byte(
        self, wire: Wire
    ) -> None:
        server, seen = wire.serve(answers(SUCCESS)), []
        with wire.connect(server).connect(client_of(server)) as connection:
            assert (server.connections, server.requests) == (1, [])
            connection.request(
                REFRESH, before_sending=lambda: seen.append((server.connections, *server.requests))
            )
        assert seen == [(1,)]
        assert [request.fields for request in server.requests] == [REFRESH.parameters]

    def test_what_raises_before_sending_keeps_the_request_from_leaving(self, wire: Wire) -> None:
        gone = threading.Event()

        def listen(conversation: Conversation) -> None:
            conversation.read_request()
            gone.set()

        def too_old() -> None:
            raise KeyError("the lease")

        server = wire.serve(listen)
        with (
            pytest.raises(KeyError, match="the lease"),
            wire.connect(server).connect(client_of(server)) as connection,
        ):
            connection.request(REFRESH, before_sending=too_old)
        assert gone.wait(GIVE_UP_SECONDS)
        assert server.requests == []

    @pytest.mark.parametrize("fails", [True, False], ids=["when it fails", "when it is used"])
    def test_the_connection_is_closed_at_the_end(self, wire: Wire, *, fails: bool) -> None:
        gone = threading.Event()

        def listen(conversation: Conversation) -> None:
            conversation.wait_until_the_client_leaves()
            gone.set()

        server = wire.serve(listen)
        with suppress(KeyError), wire.connect(server).connect(client_of(server)):
            if fails:
                raise KeyError
        assert gone.wait(GIVE_UP_SECONDS)

    @pytest.mark.parametrize(
        ("meanwhile", "is_tls"),
        [
            pytest.param(b"", True, id="closed by the server"),
            pytest.param(SUCCESS.replace(TOKEN.encode(), b"smuggled"), True, id="with bytes on it"),
            pytest.param(b"no TLS", False, id="broken"),
        ],
    )
    def test_a_connection_that_is_of_no_use_any_more_is_opened_again(
        self, wire: Wire, meanwhile: bytes, *, is_tls: bool
    ) -> None:
        left, seen = threading.Event(), []
        server = wire.serve(leaves_after(meanwhile, left, is_tls=is_tls), answers(SUCCESS))
        with wire.connect(server).connect(client_of(server)) as connection:
            assert left.wait(GIVE_UP_SECONDS)
            response = connection.request(
                REFRESH, before_sending=lambda: seen.append((server.connections, *server.requests))
            )
        assert response.access_token == TOKEN
        assert seen == [(2,)]
        assert (server.connections, len(server.requests)) == (2, 1)

    def test_a_connection_that_cannot_be_opened_again_has_sent_nothing(self, wire: Wire) -> None:
        left, seen = threading.Event(), []
        server = wire.serve(leaves_after(b"", left), resets_the_handshake)
        with wire.connect(server).connect(client_of(server)) as connection:
            assert left.wait(GIVE_UP_SECONDS)
            with pytest.raises(EndpointUnavailableError) as failure:
                connection.request(REFRESH, before_sending=lambda: seen.append(1))
        assert (failure.value.code, failure.value.sent) == ("no_connection", False)
        assert (seen, server.requests) == ([], [])

    def test_the_tickets_of_tls_are_no_reason_to_open_it_again(self, wire: Wire) -> None:
        secured = threading.Event()

        def answer_late(conversation: Conversation) -> None:
            conversation.send(b"")
            secured.set()
            answers(SUCCESS)(conversation)

        server = wire.serve(answer_late)
        with wire.connect(server).connect(client_of(server)) as connection:
            assert secured.wait(GIVE_UP_SECONDS)
            connection.request(REFRESH, before_sending=lambda: None)
        assert server.connections == 1

    def test_the_limit_of_a_request_begins_when_it_is_made(self, wire: Wire) -> None:
        """Between the two a lease is written, in as long as that takes."""
        time, server = Settable(), wire.serve(answers(SUCCESS))
        endpoint = wire.connect(server, monotonic=time)
        with endpoint.connect(client_of(server)) as connection:
            time.now += 2 * REQUEST_SECONDS
            response = connection.request(REFRESH, before_sending=lambda: None)
        assert response.access_token == TOKEN
        assert server.connections == 1

    def test_each_way_in_has_a_connection_of_its_own(self, wire: Wire) -> None:
        server = wire.serve(answers(SUCCESS))
        endpoint = wire.connect(server)
        for grant in (OWN, REFRESH, REFRESH, OWN):
            ask(endpoint, server, grant)
        assert server.connections == 3

    @pytest.mark.parametrize(
        ("version", "code", "is_sent"),
        [
            pytest.param(ssl.TLSVersion.TLSv1_2, "no_connection", False, id="before a byte left"),
            pytest.param(ssl.TLSVersion.TLSv1_3, "connection_lost", True, id="after the first"),
        ],
    )
    def test_a_client_certificate_that_is_refused_counts_as_sent_where_tls_tells_it_late(
        self,
        wire: Wire,
        authority: Authority,
        version: ssl.TLSVersion,
        code: str,
        *,
        is_sent: bool,
    ) -> None:
        context = authority.server_context()
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(authority.certificate_file)
        context.verify_mode = ssl.CERT_REQUIRED
        server = wire.serve(answers(SUCCESS), context=context)
        error = unavailable(wire.connect(server), client_of(server), REFRESH)
        assert (error.code, error.sent) == (code, is_sent)
        assert server.requests == []


class TestConnections:
    def test_the_accounts_of_a_sweep_share_a_connection(self, wire: Wire) -> None:
        server = wire.serve(
            answers(SUCCESS, answer(b'{"error": "invalid_grant"}', status="400 Bad"))
        )
        endpoint = wire.connect(server)
        ask(endpoint, server)
        for _ in range(2):
            with pytest.raises(OAuthError, match="invalid_grant"):
                endpoint.request(client_of(server, client_id="456"), OWN)
        assert (server.connections, len(server.requests)) == (1, 3)

    def test_a_new_sweep_begins_with_new_connections(self, wire: Wire) -> None:
        server = wire.serve(answers(SUCCESS))
        endpoint = wire.connect(server)
        ask(endpoint, server)
        endpoint.drop_connections()
        ask(endpoint, server)
        assert (server.connections, len(server.requests)) == (2, 2)

    def test_a_connection_is_not_used_again_after_a_body_that_was_cut(self, wire: Wire) -> None:
        """What was left unread would be taken for the next account's response."""
        server = wire.serve(answers(answer(b" " * LONGEST_BODY * 4), SUCCESS))
        endpoint = wire.connect(server)
        unavailable(endpoint, client_of(server))
        unavailable(endpoint, client_of(server))
        assert server.connections == 2

    def test_a_second_answer_on_the_wire_is_not_the_next_accounts(self, wire: Wire) -> None:
        smuggled = answer(ISSUED.replace(TOKEN.encode(), b"smuggled"))
        server = wire.serve(answers(SUCCESS + smuggled, SUCCESS))
        endpoint = wire.connect(server)
        tokens = [ask(endpoint, server).access_token for _ in range(2)]
        assert "smuggled" not in tokens


class TestVerify:
    @pytest.mark.parametrize(
        ("response", "verdict"),
        [
            pytest.param(answer(b"[]"), True, id="200 accepts it"),
            pytest.param(answer(b"", status="204 Nothing"), True, id="204 accepts it"),
            pytest.param(
                answer(b"", status="401 No", content_type="text/html"), False, id="401 refuses it"
            ),
            pytest.param(answer(b"{}", status="403 No"), False, id="403 with JSON refuses it"),
            pytest.param(
                answer(b"{}", status="403 No", content_type="Application/Problem+JSON"),
                False,
                id="403 with JSON of any kind refuses it",
            ),
            pytest.param(
                answer(b"<html>", status="403 No", content_type="text/html"),
                None,
                id="403 with a page is a firewall",
            ),
            pytest.param(
                b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                None,
                id="403 of no type says nothing",
            ),
            pytest.param(answer(b"{}", status="404 No"), None, id="404 is a wrong verify_url"),
            pytest.param(answer(b"{}", status="429 Slow"), None, id="429 says nothing"),
            pytest.param(answer(b"{}", status="500 Oops"), None, id="500 says nothing"),
            pytest.param(answer(b"{}", status="503 Later"), None, id="503 says nothing"),
            pytest.param(b"", None, id="a lost connection says nothing"),
        ],
    )
    def test_only_a_refusal_of_the_token_refuses_it(
        self, wire: Wire, response: bytes, verdict: object
    ) -> None:
        server = wire.serve(answers_and_closes(response))
        client = client_of(server, verify_url=server.url)
        assert wire.connect(server).verify(client, TOKEN) is verdict
        assert len(server.requests) == 1

    def test_without_a_verify_url_nobody_is_asked(self, wire: Wire) -> None:
        server = wire.serve(answers(answer(b"[]")))
        client = client_of(server)
        assert wire.connect(server).verify(client, TOKEN) is None
        assert server.connections == 0

    def test_the_token_goes_in_its_header_and_the_client_stays_out(self, wire: Wire) -> None:
        server = wire.serve(answers(answer(b"[]")))
        client = client_of(server, verify_url=server.url + "?limit=1&page=1", user_agent="own/1")
        wire.connect(server).verify(client, TOKEN)
        (request,) = server.requests
        assert (request.method, request.target) == ("GET", "/oauth/token?limit=1&page=1")
        assert request.body == b""
        assert request.headers == {
            "Host": server.host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {TOKEN}",
            "User-Agent": "own/1",
        }

    @pytest.mark.parametrize("script", [resets_the_handshake, never_shakes_hands])
    def test_no_connection_says_nothing_of_the_token(self, wire: Wire, script: Script) -> None:
        server = wire.serve(script)
        endpoint = wire.connect(server, monotonic=nearly_over(left=0.05))
        client = client_of(server, verify_url=server.url)
        assert endpoint.verify(client, TOKEN) is None

    def test_a_certificate_for_another_name_gets_no_token(
        self, wire: Wire, authority: Authority
    ) -> None:
        server = wire.serve(
            answers(answer(b"[]")), context=authority.server_context("www.autovit.ro")
        )
        client = client_of(server, verify_url=server.url)
        assert wire.connect(server).verify(client, TOKEN) is None
        assert server.requests == []

    def test_a_verification_that_drips_ends_at_the_limit(self, wire: Wire) -> None:
        server = wire.serve(drips(b"HTTP/1.1 200 OK\r\nX: ", b"a"))
        endpoint = wire.connect(server, monotonic=Ticking(REQUEST_SECONDS / 50))
        client = client_of(server, verify_url=server.url)
        assert endpoint.verify(client, TOKEN) is None

    def test_a_real_resource_server_tells_a_live_token_from_a_dead_one(
        self, authorization_server: AuthorizationServer, wire: Wire
    ) -> None:
        authorization_server.register_client("c", secret="s")
        client = ClientCredentials(
            token_endpoint=authorization_server.token_endpoint,
            verify_url=authorization_server.resource_url,
            client_id="c",
            client_secret="s",
        )
        endpoint = wire.connect(allowed=(authorization_server.host,))
        token = endpoint.request(client, OWN).access_token
        assert token is not None
        assert endpoint.verify(client, token) is True
        authorization_server.revoke_access_token(token)
        assert endpoint.verify(client, token) is False
        authorization_server.fail(firewall_page(), at=Endpoint.RESOURCE)
        assert endpoint.verify(client, token) is None
        authorization_server.fail(Answers(502), at=Endpoint.RESOURCE)
        assert endpoint.verify(client, token) is None


class TestNoErrorTellsWhatWasInIt:
    """Every kind of failure, with a mark in all that is secret, addressed or answered."""

    PAGE = f"<html>{MARK}</html>".encode()
    WORDS = json.dumps({"error": MARK, "error_description": MARK}).encode()
    GRANTS: ClassVar = [
        pytest.param({"grant_type": "password", "password": MARK}, id="pooled"),
        pytest.param({"grant_type": "refresh_token", "refresh_token": MARK}, id="opened for it"),
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
            pytest.param(answers(answer(f'["{MARK}"]'.encode())), id="no object"),
            pytest.param(drips(b"HTTP/1.1 200 OK\r\nX: ", MARK.encode()), id="a drip"),
        ],
    )
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    @pytest.mark.parametrize("grant", GRANTS)
    def test_whatever_the_server_does(
        self, wire: Wire, script: Script, method: str, grant: Grant
    ) -> None:
        server = wire.serve(script)
        client = self.marked(server, method)
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
        self.assert_silent(failure.value, server)

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
    def marked(server: RawTlsServer, method: Any = None) -> ClientCredentials:  # noqa: ANN401
        return client_of(
            server,
            token_endpoint=f"{server.url}/{MARK}?key={MARK}",
            client_id=MARK,
            client_secret=MARK,
            user_agent=MARK,
            extra_parameters={"audience": MARK},
            token_endpoint_auth_method=method,
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


@pytest.fixture
def trusted_by_file(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's certificate, where SSL_CERT_FILE names it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    return authority.certificate_file


def test_an_authority_of_ones_own_is_trusted_by_its_file(wire: Wire, trusted_by_file: Path) -> None:
    assert trusted_by_file.exists()
    server = wire.serve(answers(SUCCESS))
    endpoint = wire.connect(server, context=ssl.create_default_context())
    assert ask(endpoint, server).access_token == TOKEN
