"""The authorization server answers, differs and fails as real ones do, and tells what it saw."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import pytest
import urllib3

from local.authorization_server import (
    OLX_MOTORS,
    OLX_PARTNERS,
    RFC_6749,
    AuthorizationServer,
    Dialect,
    Endpoint,
    Failure,
    LosesTheAnswer,
    RefreshMode,
    WaitsFor,
    firewall_page,
    too_many_requests,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.authority import Authority
    from local.clock import DrivenClock

SECRET = "a secret: 100% +é"
PASSWORD = {"grant_type": "password", "username": "dealer@example.com", "password": "pw"}
PARTNER = {"grant_type": "partner", "partner_code": "code", "partner_secret": "ps"}
FORTY_HEX = re.compile(r"[0-9a-f]{40}")
TIMEOUT_SECONDS = 10.0


class Caller:
    """A client of the server, which reuses its connections."""

    def __init__(self, server: AuthorizationServer, authority: Authority) -> None:
        self.server = server
        self.pool = urllib3.PoolManager(
            ssl_context=authority.client_context(), retries=False, timeout=TIMEOUT_SECONDS
        )

    def post(
        self, fields: Mapping[str, str] | list[tuple[str, str]], headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self.pool.request(
            "POST",
            self.server.token_endpoint,
            body=urlencode(fields),
            headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
            redirect=False,
        )

    def request(
        self, fields: Mapping[str, str], *, client_id: str = "demo", secret: str = SECRET
    ) -> urllib3.BaseHTTPResponse:
        """Request a token with Basic client authentication."""
        return self.post(fields, {"Authorization": basic(client_id, secret)})

    def token(self, fields: Mapping[str, str], **client: str) -> dict[str, Any]:
        """Request a token that must be granted."""
        answer = self.request(fields, **client)
        assert answer.status == 200, answer.data
        granted: dict[str, Any] = answer.json()
        return granted

    def refresh(self, refresh_token: str, **client: str) -> urllib3.BaseHTTPResponse:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.request(fields, **client)

    def read(self, access_token: str) -> urllib3.BaseHTTPResponse:
        """Call the resource."""
        return self.pool.request(
            "GET",
            f"{self.server.resource_url}?limit=1&page=1",
            headers={"Authorization": f"Bearer {access_token}"},
        )


def basic(client_id: str, secret: str) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def within(seconds: float, fact: Callable[[], bool]) -> bool:
    """Look again and again until something is so, for a bounded time."""
    pause = threading.Event()
    return any(fact() or pause.wait(0.001) for _ in range(int(seconds / 0.001)))


def error_of(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    return answer.status, answer.json()["error"]


@pytest.fixture
def server(authorization_server: AuthorizationServer) -> AuthorizationServer:
    """A server that knows one client of the motors API."""
    authorization_server.register_client(
        "demo", secret=SECRET, users={"dealer@example.com": "pw"}, partners={"code": "ps"}
    )
    return authorization_server


@pytest.fixture
def caller(server: AuthorizationServer, authority: Authority) -> Iterator[Caller]:
    caller = Caller(server, authority)
    with caller.pool:
        yield caller


class TestGrants:
    @pytest.mark.parametrize(
        "fields",
        [pytest.param(PASSWORD, id="password"), pytest.param(PARTNER, id="partner")],
    )
    def test_right_credentials_are_granted_a_token(
        self, caller: Caller, fields: dict[str, str]
    ) -> None:
        assert FORTY_HEX.fullmatch(caller.token(fields)["access_token"])

    def test_a_client_without_users_has_a_token_of_its_own(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.register_client("machine", secret="s", dialect=RFC_6749)
        granted = caller.token(
            {"grant_type": "client_credentials"}, client_id="machine", secret="s"
        )
        assert "refresh_token" not in granted

    def test_client_credentials_may_come_with_a_refresh_token(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.register_client("machine", secret="s", refresh_tokens_for=["client_credentials"])
        granted = caller.token(
            {"grant_type": "client_credentials"}, client_id="machine", secret="s"
        )
        assert FORTY_HEX.fullmatch(granted["refresh_token"])

    def test_a_seed_is_a_first_refresh_token(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        assert caller.refresh(server.issue_seed("demo")).status == 200

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            pytest.param({**PASSWORD, "password": "no"}, "invalid_grant", id="a wrong password"),
            pytest.param({**PASSWORD, "username": "no"}, "invalid_grant", id="an unknown user"),
            pytest.param(
                {**PARTNER, "partner_secret": "no"}, "invalid_grant", id="a wrong partner secret"
            ),
            pytest.param(
                {"grant_type": "refresh_token", "refresh_token": "0" * 40},
                "invalid_grant",
                id="an unknown refresh token",
            ),
            pytest.param(
                {"grant_type": "client_credentials"},
                "unauthorized_client",
                id="a grant that this client may not use",
            ),
            pytest.param(
                {"grant_type": "barter"}, "unsupported_grant_type", id="a grant that nobody knows"
            ),
        ],
    )
    def test_is_refused(self, caller: Caller, fields: dict[str, str], error: str) -> None:
        assert error_of(caller.request(fields)) == (400, error)

    def test_a_changed_password_is_asked_for(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.set_password("demo", "dealer@example.com", "new")
        assert error_of(caller.request(PASSWORD)) == (400, "invalid_grant")
        caller.token({**PASSWORD, "password": "new"})


class TestClientAuthentication:
    def test_basic_is_decoded_as_a_form(self, caller: Caller) -> None:
        caller.token(PASSWORD, secret=SECRET)

    def test_basic_that_was_not_encoded_is_another_secret(self, caller: Caller) -> None:
        pair = base64.b64encode(f"demo:{SECRET}".encode()).decode()
        answer = caller.post(PASSWORD, {"Authorization": f"Basic {pair}"})
        assert error_of(answer) == (401, "invalid_client")

    def test_the_body_may_carry_id_and_secret(self, caller: Caller) -> None:
        fields = {**PASSWORD, "client_id": "demo", "client_secret": SECRET}
        assert caller.post(fields, {}).status == 200

    def test_both_at_once_are_refused(self, caller: Caller) -> None:
        answer = caller.request({**PASSWORD, "client_id": "demo", "client_secret": SECRET})
        assert error_of(answer) == (400, "invalid_request")

    def test_a_client_that_takes_only_the_body_refuses_basic(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").auth_methods = frozenset({"client_secret_post"})
        assert error_of(caller.request(PASSWORD)) == (401, "invalid_client")

    def test_a_client_that_takes_only_basic_refuses_the_body(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").auth_methods = frozenset({"client_secret_basic"})
        answer = caller.post({**PASSWORD, "client_id": "demo", "client_secret": SECRET}, {})
        assert error_of(answer)[1] == "invalid_client"

    def test_a_repeated_parameter_is_refused(self, caller: Caller) -> None:
        fields = [*PASSWORD.items(), ("username", "other")]
        answer = caller.post(fields, {"Authorization": basic("demo", SECRET)})
        assert error_of(answer) == (400, "invalid_request")


class TestDialects:
    @pytest.mark.parametrize(
        ("dialect", "expected"),
        [
            pytest.param(
                OLX_MOTORS,
                {"token_type": "bearer", "expires_in": 43_200, "scope": "adverts-write read"},
                id="the motors API",
            ),
            pytest.param(
                OLX_PARTNERS,
                {"token_type": "bearer", "expires_in": "86400", "scope": "v2 read write"},
                id="the partner API, which sends digits as text",
            ),
            pytest.param(
                RFC_6749, {"token_type": "Bearer", "expires_in": 3_600}, id="the plain RFC"
            ),
        ],
    )
    def test_words_its_answer(
        self,
        server: AuthorizationServer,
        caller: Caller,
        dialect: Dialect,
        expected: dict[str, object],
    ) -> None:
        server.register_client("other", secret="s", partners={"code": "ps"}, dialect=dialect)
        granted = caller.token(PARTNER, client_id="other", secret="s")
        assert FORTY_HEX.fullmatch(granted.pop("access_token"))
        assert FORTY_HEX.fullmatch(granted.pop("refresh_token"))
        assert granted == expected

    def test_a_requested_scope_is_granted(self, caller: Caller) -> None:
        assert caller.token({**PASSWORD, "scope": "read"})["scope"] == "read"

    def test_the_motors_api_adds_texts_in_another_language(self, caller: Caller) -> None:
        answer = caller.request({**PARTNER, "partner_secret": "no"})
        assert answer.json() == {
            "error": "invalid_grant",
            "error_description": "Invalid partner credentials parameter",
            "error_human_title": "Niepoprawna wartość",
            "error_human_message": "",
        }
        assert "wartość".encode() in answer.data


class TestRefreshing:
    def test_a_rotated_refresh_token_is_spent(self, caller: Caller) -> None:
        first = caller.token(PASSWORD)["refresh_token"]
        second = caller.refresh(first).json()["refresh_token"]
        assert second != first
        assert caller.refresh(second).status == 200
        assert error_of(caller.refresh(first)) == (400, "invalid_grant")

    def test_a_kept_refresh_token_is_not_repeated_and_stays_good(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").refresh_mode = RefreshMode.KEEPS
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        for _ in range(2):
            assert "refresh_token" not in caller.refresh(refresh_token).json()

    def test_a_deleted_refresh_token_fails_the_second_time(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").refresh_mode = RefreshMode.OMITS_AND_DELETES
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        assert "refresh_token" not in caller.refresh(refresh_token).json()
        assert error_of(caller.refresh(refresh_token)) == (400, "invalid_grant")
        assert server.families_revoked == 0

    def test_refreshing_can_be_refused(self, server: AuthorizationServer, caller: Caller) -> None:
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        server.client("demo").refresh_mode = RefreshMode.REFUSES
        assert error_of(caller.refresh(refresh_token)) == (400, "unsupported_grant_type")
        assert server.refresh_tokens_redeemed.total() == 0

    def test_a_spent_refresh_token_that_comes_back_costs_the_family(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        first = caller.token(PASSWORD)
        second = caller.refresh(first["refresh_token"]).json()
        caller.refresh(first["refresh_token"])
        assert server.families_revoked == 1
        assert error_of(caller.refresh(second["refresh_token"])) == (400, "invalid_grant")
        assert caller.read(first["access_token"]).status == 401
        assert caller.read(second["access_token"]).status == 401

    def test_a_revoked_family_leaves_others_alone(self, caller: Caller) -> None:
        other = caller.token(PASSWORD)
        first = caller.token(PASSWORD)
        caller.refresh(first["refresh_token"])
        caller.refresh(first["refresh_token"])
        assert caller.read(other["access_token"]).status == 200
        assert caller.refresh(other["refresh_token"]).status == 200

    def test_reuse_can_go_unpunished(self, server: AuthorizationServer, caller: Caller) -> None:
        server.client("demo").revoke_family_on_reuse = False
        first = caller.token(PASSWORD)["refresh_token"]
        second = caller.refresh(first).json()["refresh_token"]
        assert error_of(caller.refresh(first)) == (400, "invalid_grant")
        assert caller.refresh(second).status == 200
        assert server.families_revoked == 0

    def test_a_refresh_token_expires_by_the_clock(
        self, server: AuthorizationServer, caller: Caller, clock: DrivenClock
    ) -> None:
        server.client("demo").refresh_token_lifetime = timedelta(days=30)
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        clock.advance(timedelta(days=30))
        assert error_of(caller.refresh(refresh_token)) == (400, "invalid_grant")

    def test_a_refresh_token_belongs_to_one_client(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.register_client("other", secret="s", users={"u": "p"})
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        answer = caller.refresh(refresh_token, client_id="other", secret="s")
        assert error_of(answer) == (400, "invalid_grant")

    def test_of_simultaneous_redemptions_exactly_one_succeeds(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: caller.refresh(refresh_token).status, range(8)))
        assert sorted(statuses) == [200, *[400] * 7]
        assert server.refresh_tokens_redeemed[refresh_token] == 1
        assert server.refresh_tokens_sent[refresh_token] == 8


class TestResource:
    def test_a_live_token_is_accepted(self, server: AuthorizationServer, caller: Caller) -> None:
        answer = caller.read(caller.token(PASSWORD)["access_token"])
        assert (answer.status, answer.json()) == (200, [])
        assert server.calls_accepted == {"demo": 1}

    def test_a_token_is_accepted_until_the_second_it_expires(
        self, caller: Caller, clock: DrivenClock
    ) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        clock.advance(timedelta(hours=12) - timedelta(seconds=1))
        assert caller.read(access_token).status == 200
        clock.advance(timedelta(seconds=1))
        assert caller.read(access_token).status == 401

    def test_an_error_is_an_object_here(self, server: AuthorizationServer, caller: Caller) -> None:
        answer = caller.read("0" * 40)
        assert answer.status == 401
        assert answer.json()["error"].keys() == {"type", "message"}
        assert server.calls_rejected == {None: 1}

    def test_a_revoked_token_is_rejected(self, server: AuthorizationServer, caller: Caller) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        server.revoke_access_token(access_token)
        assert caller.read(access_token).status == 401
        assert server.calls_rejected == {"demo": 1}

    def test_a_server_with_one_live_token_kills_the_older_at_once(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").one_live_token = True
        older, newer = (caller.token(PASSWORD)["access_token"] for _ in range(2))
        assert caller.read(older).status == 401
        assert caller.read(newer).status == 200

    def test_its_failures_are_its_own(self, server: AuthorizationServer, caller: Caller) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        with server.failing(unavailable(), at=Endpoint.RESOURCE):
            assert caller.read(access_token).status == 503
            caller.token(PASSWORD)
        assert caller.read(access_token).status == 200


class TestFailures:
    @pytest.mark.parametrize(
        ("failure", "status", "header"),
        [
            pytest.param(too_many_requests(), 429, None, id="429 without a time"),
            pytest.param(too_many_requests(timedelta(minutes=2)), 429, "120", id="429 in seconds"),
            pytest.param(
                too_many_requests(datetime(2026, 11, 24, 1, 2, tzinfo=UTC)),
                429,
                "Tue, 24 Nov 2026 01:02:00 GMT",
                id="429 with a date",
            ),
            pytest.param(unavailable(), 503, None, id="503"),
            pytest.param(firewall_page(), 403, None, id="a firewall's 403"),
        ],
    )
    def test_is_answered_instead(
        self,
        server: AuthorizationServer,
        caller: Caller,
        failure: Failure,
        status: int,
        header: str | None,
    ) -> None:
        server.fail(failure)
        answer = caller.request(PASSWORD)
        assert (answer.status, answer.headers.get("Retry-After")) == (status, header)
        server.recover()
        caller.token(PASSWORD)

    def test_a_failure_may_concern_one_client(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.register_client("other", secret="s", partners={"code": "ps"})
        server.fail(unavailable(), client_id="other")
        assert caller.request(PARTNER, client_id="other", secret="s").status == 503
        caller.token(PARTNER)

    def test_a_failure_may_concern_so_many_requests(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.fail(unavailable(), times=2)
        assert [caller.request(PASSWORD).status for _ in range(3)] == [503, 503, 200]

    def test_an_answer_can_be_given_to_the_byte(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        body = b"\xef\xbb\xbf" + json.dumps({"error": "invalid_grant"}).encode()
        server.answer_with(302, {"Location": "https://elsewhere.example/"}, body)
        answer = caller.request(PASSWORD)
        assert (answer.status, answer.data) == (302, body)
        assert answer.headers["Location"] == "https://elsewhere.example/"
        caller.token(PASSWORD)

    def test_a_refused_request_is_not_processed(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        with server.failing(unavailable()):
            assert caller.refresh(refresh_token).status == 503
        assert server.refresh_tokens_sent[refresh_token] == 1
        assert server.refresh_tokens_redeemed[refresh_token] == 0
        assert caller.refresh(refresh_token).status == 200

    def test_a_lost_answer_has_spent_the_refresh_token(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        refresh_token = caller.token(PASSWORD)["refresh_token"]
        with server.failing(LosesTheAnswer()), pytest.raises(urllib3.exceptions.HTTPError):
            caller.refresh(refresh_token)
        assert server.refresh_tokens_redeemed[refresh_token] == 1
        assert error_of(caller.refresh(refresh_token)) == (400, "invalid_grant")

    def test_a_slow_server_answers_when_the_test_says_so(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        answered = threading.Event()
        server.fail(WaitsFor(answered))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(caller.request, PASSWORD)
            with pytest.raises(TimeoutError):
                answer.result(timeout=0.1)
            answered.set()
            assert answer.result(timeout=TIMEOUT_SECONDS).status == 200

    def test_a_slow_server_lets_go_when_it_closes(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.fail(WaitsFor(threading.Event()))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(caller.request, PASSWORD)
            with pytest.raises(TimeoutError):
                answer.result(timeout=0.1)
            server.close()
            assert isinstance(
                answer.exception(timeout=TIMEOUT_SECONDS), urllib3.exceptions.HTTPError
            )


class TestOutages:
    def test_connections_are_refused_and_kept_ones_cut(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        caller.token(PASSWORD)
        with server.outage():
            with pytest.raises(urllib3.exceptions.HTTPError):
                caller.request(PASSWORD)
            with pytest.raises(urllib3.exceptions.NewConnectionError):
                caller.request(PASSWORD)

    def test_it_comes_back_on_the_same_port(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        before = server.url
        for _ in range(3):
            with server.outage():
                pass
            caller.pool.clear()
            caller.token(PASSWORD)
        assert server.url == before

    def test_tokens_survive_an_outage(self, server: AuthorizationServer, caller: Caller) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        with server.outage():
            pass
        caller.pool.clear()
        assert caller.read(access_token).status == 200

    @pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
    def test_an_outage_in_full_traffic_breaks_nothing(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        # The warning is the client's: Python leaks a socket that is cut just before a handshake.
        enough = threading.Event()

        def call_until_enough() -> None:
            while not enough.is_set():
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    caller.request(PASSWORD)

        def served_again() -> bool:
            before = len(server.requests)
            return within(TIMEOUT_SECONDS, lambda: len(server.requests) > before)

        with ThreadPoolExecutor(8) as pool, contextlib.ExitStack() as ending:
            ending.callback(enough.set)
            calling = [pool.submit(call_until_enough) for _ in range(8)]
            for _ in range(10):
                with server.outage():
                    pass
                assert served_again()
        assert [call.exception() for call in calling] == [None] * 8
        gc.collect()

    def test_an_authority_that_is_not_trusted_gets_no_request(
        self, server: AuthorizationServer
    ) -> None:
        with (
            urllib3.PoolManager(retries=False) as stranger,
            pytest.raises(urllib3.exceptions.SSLError),
        ):
            stranger.request("POST", server.token_endpoint)
        assert server.requests == []


class TestWhatItSaw:
    def test_a_request_is_recorded_as_it_arrived(
        self, server: AuthorizationServer, caller: Caller, clock: DrivenClock
    ) -> None:
        caller.post(PASSWORD, {"Authorization": basic("demo", SECRET)})
        [request] = server.requests
        assert request.moment == clock.now()
        assert (request.grant_type, request.client_id) == ("password", "demo")
        assert request.auth_method == "client_secret_basic"
        assert request.fields == PASSWORD
        assert request.headers["Authorization"] == basic("demo", SECRET)

    @pytest.mark.parametrize(
        ("fields", "headers", "method"),
        [
            pytest.param(
                {}, {"Authorization": basic("demo", "s")}, "client_secret_basic", id="Basic"
            ),
            pytest.param({"client_secret": "s"}, {}, "client_secret_post", id="in the body"),
            pytest.param(
                {"client_secret": "s"}, {"Authorization": basic("demo", "s")}, "both", id="both"
            ),
            pytest.param({}, {}, "none", id="not at all"),
        ],
    )
    def test_client_authentication_is_recorded(
        self,
        server: AuthorizationServer,
        caller: Caller,
        fields: dict[str, str],
        headers: dict[str, str],
        method: str,
    ) -> None:
        caller.post(fields, headers)
        assert [request.auth_method for request in server.requests] == [method]

    def test_a_request_that_got_no_answer_is_recorded(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        with server.failing(unavailable()):
            caller.request(PASSWORD)
        assert len(server.requests) == 1

    def test_no_secret_shows_in_a_repr(self, server: AuthorizationServer, caller: Caller) -> None:
        granted = caller.token(PASSWORD)
        caller.refresh(granted["refresh_token"])
        shown = repr((server.requests, server.client("demo")))
        for mark in (SECRET, "pw", basic("demo", SECRET), granted["refresh_token"]):
            assert repr(mark)[1:-1] not in shown


class TestAddresses:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            pytest.param("POST", "/api/open/oauth/token/", 301, id="a trailing slash redirects"),
            pytest.param("GET", "/api/open/oauth/token", 405, id="a token is posted for"),
            pytest.param("POST", "/api/open/nothing", 404, id="elsewhere is nothing"),
        ],
    )
    def test_only_the_exact_address_answers(
        self, server: AuthorizationServer, caller: Caller, method: str, path: str, status: int
    ) -> None:
        answer = caller.pool.request(method, server.url + path, redirect=False)
        assert answer.status == status

    def test_its_host_is_what_an_allow_list_names(self, server: AuthorizationServer) -> None:
        assert server.url == f"https://{server.host}"
        assert re.fullmatch(r"localhost:\d+", server.host)
