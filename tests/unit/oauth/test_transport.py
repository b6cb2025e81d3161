"""The token endpoint's client, against real servers over TLS, well-behaved and not."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlencode

import pytest

from local.authorization_server import Endpoint, LosesTheAnswer, firewall_page
from local.authorization_server.failures import Answers
from tests.unit.loopback import GIVE_UP_SECONDS, nobody_listens
from tests.unit.raw_tls_server import (
    Conversation,
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
from tests.unit.wire import (
    ISSUED,
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
    nearly_over,
    send,
    unavailable,
)
from token_refresher.errors import CredentialsError
from token_refresher.oauth.client_authentication import Grant, refresh_grant
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError, TokenEndpointError
from token_refresher.oauth.exchange import LONGEST_BODY, REQUEST_SECONDS
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from local.authority import Authority
    from local.authorization_server import AuthorizationServer

ACCOUNT = {"grant_type": "client_credentials", "client_id": "123", "client_secret": "0246"}
Method: TypeAlias = Literal["GET", "POST", "PUT"]


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
        assert str(error).endswith("what answers at its port speaks no TLS")

    def test_a_refused_connection_is_no_connection(self, wire: Wire) -> None:
        with nobody_listens() as port:
            host = f"localhost:{port}"
            error = unavailable(wire.connect(allowed=(host,)), at(f"https://{host}/"), REFRESH)
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
