"""The token endpoint's client, against real servers over TLS, well-behaved and not."""

from __future__ import annotations

import base64
import itertools
import json
import re
import socket
import ssl
import threading
import traceback
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias
from urllib.parse import quote, urlencode

import pytest

from local.authority import Authority
from local.authorization_server import Endpoint, LosesTheAnswer, firewall_page
from local.authorization_server.failures import Answers
from tests.unit.connect_proxy import ConnectProxy, connects, hangs, refuses, says
from tests.unit.connect_proxy import drips as proxy_drips
from tests.unit.loopback import GIVE_UP_SECONDS
from tests.unit.raw_tls_server import (
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
    leaves_within_the_handshake,
    never_shakes_hands,
    refuses_the_handshake,
    refuses_the_handshake_and_leaves,
    resets_the_handshake,
    stops_after,
)
from tests.unit.signer import no_signer
from token_refresher.errors import CredentialsError
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.certificates import public_authorities
from token_refresher.oauth.client_authentication import Client, Grant, refresh_grant
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenEndpointError,
    TokenResponseError,
)
from token_refresher.oauth.exchange import LONGEST_BODY, REQUEST_SECONDS
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

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
ACCOUNT = {"grant_type": "client_credentials", "client_id": "123", "client_secret": "0246"}
REFRESH = refresh_grant("c0ffee" * 6)
OWN = Grant({"grant_type": "client_credentials"})
Method: TypeAlias = Literal["GET", "POST", "PUT"]
Format: TypeAlias = Literal["form", "json", "query"]
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


@pytest.fixture
def wire(authority: Authority, clock: DrivenClock) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(authority, clock, stack)


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
        method: Method,
        grant: Grant,
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
        method: Method,
        grant: Grant,
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
        assert str(refusal.value).startswith("the token endpoint's certificate is for another name")
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
        wire.connect(allowed=(allowed,)).admit(at(url, verify_url=url))

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
        text = json.dumps({"token_endpoint": url, **ACCOUNT})
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
            pytest.param(LONGEST_BODY, True, id="a body of 128 KiB is read"),
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
        initial = authorization_server.issue_initial_refresh_token("c", user="u")
        authorization_server.fail(LosesTheAnswer())
        client = at(authorization_server.token_endpoint, client_id="c", client_secret="s")
        endpoint = wire.connect(allowed=(authorization_server.host,))
        error = unavailable(endpoint, client, refresh_grant(initial))
        assert error.code == "connection_lost"
        assert authorization_server.refresh_tokens_sent[initial] == 1
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
        def too_old() -> None:
            raise KeyError("the lease")

        def listen(conversation: Conversation) -> None:
            # A client that leaves unread what the server has said resets, and ends it here.
            conversation.read_request()

        server = wire.serve(listen)
        with (
            pytest.raises(KeyError, match="the lease"),
            wire.connect(server).connect(client_of(server)) as connection,
        ):
            connection.request(REFRESH, before_sending=too_old)
        assert server.closed.wait(GIVE_UP_SECONDS)
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
        seen: list[object] = []
        server = wire.serve(leaves_after(meanwhile, is_tls=is_tls), answers(SUCCESS))
        with wire.connect(server).connect(client_of(server)) as connection:
            assert server.closed.wait(GIVE_UP_SECONDS)
            response = connection.request(
                REFRESH, before_sending=lambda: seen.append((server.connections, *server.requests))
            )
        assert response.access_token == TOKEN
        assert seen == [(2,)]
        assert (server.connections, len(server.requests)) == (2, 1)

    def test_a_connection_that_cannot_be_opened_again_has_sent_nothing(self, wire: Wire) -> None:
        seen: list[object] = []
        server = wire.serve(leaves_after(b""), resets_the_handshake)
        with wire.connect(server).connect(client_of(server)) as connection:
            assert server.closed.wait(GIVE_UP_SECONDS)
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
        with socket.create_server(("127.0.0.1", 0)) as closed:
            gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
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
        time = Ticking(REQUEST_SECONDS / 50)
        proxy = wire.proxy(server, proxy_drips(head, drop))
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
        assert failure_of(endpoint, client_of(server), grant).code == "certificate_refused"
        client = client_of(server, ca_certificates=other.certificate_file.read_text())
        assert send(endpoint, client, grant).access_token == TOKEN

    @either_way
    def test_it_stands_instead_of_all_others(
        self, wire: Wire, other: Authority, grant: Grant
    ) -> None:
        server = wire.serve(answers(SUCCESS))
        client = client_of(server, ca_certificates=other.certificate_file.read_text())
        error = failure_of(wire.connect(server), client, grant)
        assert (error.code, error.sent) == ("certificate_refused", False)
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
        assert failure_of(endpoint, elsewhere).code == "certificate_refused"

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


def gzipped(body: bytes, window: int = 31) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, window)
    return encoder.compress(body) + encoder.flush()


class TestEncodings:
    """Identity is asked for; some servers encode all the same."""

    @pytest.mark.parametrize(
        ("coding", "window"),
        [
            ("gzip", 31),
            ("GZip", 31),
            ("x-gzip", 31),
            ("identity, gzip", 31),
            pytest.param("deflate", 15, id="deflate"),
            pytest.param("deflate", -15, id="deflate without its frame"),
        ],
    )
    @either_way
    def test_what_is_usual_is_decoded(
        self, wire: Wire, coding: str, window: int, grant: Grant
    ) -> None:
        encoded = answer(gzipped(ISSUED, window), headers=(f"Content-Encoding: {coding}",))
        server = wire.serve(answers(encoded))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize("coding", ["identity", "", "IDENTITY", "gzip", "br", "UTF-8", "none"])
    @either_way
    def test_json_is_none_whatever_it_is_called(
        self, wire: Wire, coding: str, grant: Grant
    ) -> None:
        server = wire.serve(answers(answer(ISSUED, headers=(f"Content-Encoding: {coding}",))))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            pytest.param("br", b"\x0b\x02\x80{}\x03", id="another"),
            pytest.param("gzip, deflate", gzipped(gzipped(ISSUED), 15), id="more than one"),
            pytest.param("gzip, gzip", gzipped(gzipped(ISSUED)), id="one twice"),
            pytest.param("gzip", gzipped(ISSUED)[:-9], id="cut short"),
            pytest.param("deflate", b"\xff" * 20, id="broken"),
        ],
    )
    @either_way
    def test_what_cannot_be_decoded_is_no_token_response(
        self, wire: Wire, coding: str, body: bytes, grant: Grant
    ) -> None:
        server = wire.serve(answers(answer(body, headers=(f"Content-Encoding: {coding}",))))
        error = failure_of(wire.connect(server), client_of(server), grant)
        assert isinstance(error, TokenResponseError)
        assert (error.code, error.status, error.sent) == ("invalid_response", 200, True)
        assert "content encoding" in str(error)

    def test_a_refusal_that_cannot_be_decoded_is_told_by_its_status(self, wire: Wire) -> None:
        server = wire.serve(
            answers(answer(b"\x0b", status="503 Later", headers=("Content-Encoding: br",)))
        )
        assert unavailable(wire.connect(server), client_of(server)).code == "status_503"

    @pytest.mark.parametrize("window", [31, -15])
    @either_way
    def test_a_bomb_is_decoded_as_far_as_a_body_may_go(
        self, wire: Wire, window: int, grant: Grant
    ) -> None:
        bomb = gzipped(b" " * 128 * LONGEST_BODY, window)
        assert len(bomb) < LONGEST_BODY
        coding = "gzip" if window > 0 else "deflate"
        server = wire.serve(answers(answer(bomb, headers=(f"Content-Encoding: {coding}",))))
        endpoint = wire.connect(server)
        tracemalloc.start()
        try:
            failure_of(endpoint, client_of(server), grant)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * LONGEST_BODY

    @either_way
    def test_a_token_of_what_a_secret_holds_gets_through(self, wire: Wire, grant: Grant) -> None:
        token = "4df2" * (65_536 // 4)
        body = ISSUED.replace(TOKEN.encode(), token.encode())
        plain, encoded = answer(body), answer(gzipped(body), headers=("Content-Encoding: gzip",))
        server = wire.serve(answers(plain), answers(encoded))
        endpoint = wire.connect(server)
        for _ in range(2):
            assert ask(endpoint, server, grant).access_token == token
            endpoint.drop_connections()


class TestOwnTime:
    """``timeout_seconds`` bounds a token request; whatever else is done has its own."""

    @pytest.mark.parametrize("seconds", [6, 30])
    @either_way
    def test_a_request_ends_at_its_clients_limit(
        self, wire: Wire, seconds: int, grant: Grant
    ) -> None:
        time = Settable()

        def late(by: float) -> Script:
            def move() -> None:
                time.now += by

            return stops_after(b"H", move)

        server = wire.serve(late(seconds + 0.5))
        client = client_of(server, timeout_seconds=seconds)
        assert unavailable(wire.connect(server, monotonic=time), client, grant).code == "timeout"

        def in_time(conversation: Conversation) -> None:
            conversation.read_request()
            time.now += seconds / 2
            conversation.send(SUCCESS)

        server = wire.serve(in_time)
        client = client_of(server, timeout_seconds=seconds)
        response = send(wire.connect(server, monotonic=time), client, grant)
        assert response.access_token == TOKEN

    def test_connecting_and_verifying_have_ten_seconds_whatever_the_client_has(
        self, wire: Wire
    ) -> None:
        server = wire.serve(never_shakes_hands)
        client = client_of(server, timeout_seconds=30, verify_url=server.url)
        endpoint = wire.connect(server, monotonic=nearly_over(left=0.05))
        assert unavailable(endpoint, client, REFRESH).code == "no_connection"
        endpoint = wire.connect(server, monotonic=nearly_over(left=0.05))
        assert endpoint.verify(client, TOKEN) is None


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
        client = at(
            authorization_server.token_endpoint,
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


class TestRevoke:
    @pytest.mark.parametrize(
        ("response", "is_revoked"),
        [
            pytest.param(answer(b"", status="200 OK"), True, id="200 revokes it"),
            pytest.param(answer(b"", status="204 Nothing"), True, id="so does 204"),
            pytest.param(
                answer(b'{"error": "unsupported_token_type"}', status="400 No"),
                False,
                id="tokens of this type are not revoked here",
            ),
        ],
    )
    def test_a_server_revokes_a_token_or_says_that_it_does_not_revoke_such(
        self, wire: Wire, response: bytes, *, is_revoked: bool
    ) -> None:
        server = wire.serve(answers(response))
        endpoint, client = wire.connect(server), client_of(server)
        assert endpoint.revoke(client, TOKEN, hint="access_token") is is_revoked
        (request,) = server.requests
        assert (request.method, request.target) == ("POST", "/oauth/token")
        assert request.body == f"token={TOKEN}&token_type_hint=access_token".encode()

    @pytest.mark.parametrize(
        ("response", "code"),
        [
            (answer(b'{"error": "invalid_client"}', status="401 No"), "invalid_client"),
            (answer(b"", status="400 No"), "status_400"),
            (answer(b"", status="404 No"), "status_404"),
            (answer(b"", status="503 Later"), "status_503"),
            (answer(b"", status="302 Elsewhere"), "redirect"),
            (b"", "connection_lost"),
        ],
    )
    def test_a_token_that_was_not_revoked_is_told_and_asked_for_once(
        self, wire: Wire, response: bytes, code: str
    ) -> None:
        server = wire.serve(answers_and_closes(response))
        with pytest.raises(OAuthError) as failure:
            wire.connect(server).revoke(client_of(server), TOKEN, hint="refresh_token")
        assert failure.value.code == code
        assert TOKEN not in str(failure.value)
        assert len(server.requests) == 1

    def test_a_token_is_not_shown_to_a_host_that_is_not_allowed(self, wire: Wire) -> None:
        server = wire.serve(answers(SUCCESS))
        with pytest.raises(TokenEndpointError) as refusal:
            wire.connect().revoke(client_of(server), TOKEN, hint="access_token")
        assert refusal.value.code == "host_not_allowed"
        assert server.connections == 0


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
