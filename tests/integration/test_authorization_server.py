"""The authorization server answers, differs and fails as real ones do, and tells what it saw."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import pytest
import urllib3

from local.authorization_server import (
    AuthorizationServer,
    LosesTheAnswer,
    RefreshMode,
    WaitsFor,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.authority import Authority
    from local.clock import DrivenClock

SECRET = "a secret: 100% +é"
PASSWORD = {"grant_type": "password", "username": "dealer@example.com", "password": "pw"}
PARTNER = {"grant_type": "partner", "partner_code": "code", "partner_secret": "ps"}
TIMEOUT_SECONDS = 60.0  # only a defect takes as long


class Caller:
    """A client of the server, which reuses its connections."""

    def __init__(self, server: AuthorizationServer, authority: Authority) -> None:
        self.server = server
        self.pool = urllib3.PoolManager(
            ssl_context=authority.client_context(), retries=False, timeout=TIMEOUT_SECONDS
        )

    def post(
        self, fields: Mapping[str, str], headers: Mapping[str, str]
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


class TestClientAuthentication:
    def test_basic_that_was_not_encoded_is_another_secret(self, caller: Caller) -> None:
        pair = base64.b64encode(f"demo:{SECRET}".encode()).decode()
        answer = caller.post(PASSWORD, {"Authorization": f"Basic {pair}"})
        assert error_of(answer) == (401, "invalid_client")
        # Whoever mistypes a secret must not be led to look for another method.
        assert "its secret is wrong" in answer.json()["error_description"]

    def test_both_at_once_are_refused(self, caller: Caller) -> None:
        answer = caller.request({**PASSWORD, "client_id": "demo", "client_secret": SECRET})
        assert error_of(answer) == (400, "invalid_request")

    def test_a_client_that_takes_only_the_body_refuses_basic(
        self, server: AuthorizationServer, caller: Caller
    ) -> None:
        server.client("demo").auth_methods = frozenset({"client_secret_post"})
        assert error_of(caller.request(PASSWORD)) == (401, "invalid_client")


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
    def test_a_token_is_accepted_until_the_second_it_expires(
        self, caller: Caller, clock: DrivenClock
    ) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        clock.advance(timedelta(hours=12) - timedelta(seconds=1))
        assert caller.read(access_token).status == 200
        clock.advance(timedelta(seconds=1))
        assert caller.read(access_token).status == 401

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


class TestFailures:
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

    def test_tokens_survive_an_outage(self, server: AuthorizationServer, caller: Caller) -> None:
        access_token = caller.token(PASSWORD)["access_token"]
        with server.outage():
            pass
        caller.pool.clear()
        assert caller.read(access_token).status == 200


class TestWhatItSaw:
    def test_no_secret_shows_in_a_repr(self, server: AuthorizationServer, caller: Caller) -> None:
        granted = caller.token(PASSWORD)
        caller.refresh(granted["refresh_token"])
        shown = repr((server.requests, server.client("demo")))
        for mark in (SECRET, "pw", basic("demo", SECRET), granted["refresh_token"]):
            assert repr(mark)[1:-1] not in shown
