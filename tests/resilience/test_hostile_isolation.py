"""No account, host or tag reaches another account, holds it up, or uses up what all share."""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from local.secrets_manager.versions import MOST_VERSIONS
from tests.resilience.hostile import Time, body, says
from tests.resilience.hostile_stage import (
    OLD_TOKEN,
    PRIMARY_GRANT,
    REFRESH_ONLY,
    VICTIM,
    Stage,
    hostile_server,
)
from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    MINUTE,
    PASSWORD,
    UNTIL_DUE,
    World,
    response,
    unavailable,
)
from tests.unit.raw_tls_server import RawTlsServer, answer
from token_refresher.leases import lease_id
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.authority import Authority
    from tests.unit.raw_tls_server import Conversation
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse

ACCOUNTS: Final = ("first", "second", "third")


@pytest.fixture
def world() -> World:
    return World(max_workers=1)


# A response belongs to the account that asked.


def issued_to(name: str) -> bytes:
    return answer(body(access_token=f"made-up-token-of-{name}"))


def tokens_of_three_accounts(
    authority: Authority, play: Callable[[RawTlsServer, Conversation], None]
) -> dict[str, str]:
    """Sweep three accounts of one host, one after the other; tell which token each has then."""
    stage = Stage(authority, Time())
    by_body = {**PRIMARY_GRANT, "token_endpoint_auth_method": "client_secret_post"}
    context = authority.server_context()
    server = RawTlsServer(context, (lambda conversation: play(server, conversation),))
    with server:
        for minutes, name in enumerate(ACCOUNTS, 30):
            stage.add(name, server, {**by_body, "client_id": name}, left=minutes * MINUTE)
        stage.sweep()
    return {name: stage.published(name)["access_token"] for name in ACCOUNTS}


def assert_nobody_has_anothers(tokens: Mapping[str, str]) -> None:
    for name, token in tokens.items():
        assert token in {f"made-up-token-of-{name}", OLD_TOKEN}


def test_each_account_gets_the_answer_to_its_own_request(authority: Authority) -> None:
    """On one connection, which is what the tests below are about."""

    def play(server: RawTlsServer, conversation: Conversation) -> None:
        while conversation.read_request():
            conversation.send(issued_to(server.requests[-1].fields["client_id"]))

    tokens = tokens_of_three_accounts(authority, play)
    assert tokens == {name: f"made-up-token-of-{name}" for name in ACCOUNTS}


@pytest.mark.parametrize("code", [101, 102, 103])
def test_an_answer_after_an_interim_one_is_not_the_next_accounts(
    authority: Authority, code: int
) -> None:
    """Early hints, or a server that says that it is still at it, and answers in its time."""

    def play(server: RawTlsServer, conversation: Conversation) -> None:
        waiting = ""
        while conversation.read_request():
            interim = b"HTTP/1.1 %d Wait\r\n\r\n" % code
            conversation.send(issued_to(waiting) if waiting else interim)
            waiting = server.requests[-1].fields["client_id"]

    assert_nobody_has_anothers(tokens_of_three_accounts(authority, play))


def test_what_follows_an_answer_in_one_record_is_not_the_next_accounts(
    authority: Authority,
) -> None:
    """A second response that begins exactly where the HTTP library's buffer ends."""
    buffered = 8192
    own = body(access_token="made-up-token-of-first")
    whole = next(
        each for padding in range(buffered) if len(each := answer(own + b" " * padding)) == buffered
    )

    def play(server: RawTlsServer, conversation: Conversation) -> None:
        while conversation.read_request():
            if len(server.requests) == 1:
                conversation.send(whole + issued_to("somebody-else"))
            else:
                conversation.send(issued_to(server.requests[-1].fields["client_id"]))

    assert_nobody_has_anothers(tokens_of_three_accounts(authority, play))


def test_the_body_of_an_answer_that_has_none_is_not_the_next_accounts(
    authority: Authority,
) -> None:
    """A server that sends one all the same, as soon as something else is asked."""

    def play(server: RawTlsServer, conversation: Conversation) -> None:
        said = [b"HTTP/1.1 304 Same\r\n\r\n", issued_to("somebody-else")]
        while conversation.read_request():
            own = issued_to(server.requests[-1].fields["client_id"])
            conversation.send(said.pop(0) if said else own)

    assert_nobody_has_anothers(tokens_of_three_accounts(authority, play))


# Memory.

HEADERS: Final = b"".join(b"X-%d: " % number + b"a" * 65_000 + b"\r\n" for number in range(98))
ENDLESS: Final = b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 20_000_000
MEBIBYTE: Final = 1024 * 1024


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(ENDLESS, id="an endless body"),
        pytest.param(
            answer(gzip.compress(b" " * 100 * MEBIBYTE), headers=("Content-Encoding: gzip",)),
            id="a bomb",
        ),
        pytest.param(answer(b"[" + b"{}," * 43_000 + b"{}]"), id="objects without number"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + HEADERS + b"Content-Length: 2\r\n\r\n{}",
            id="headers of 6 MB",
        ),
        pytest.param(
            b"HTTP/1.1 100 Go on\r\n" + HEADERS + b"\r\n" + answer(b"{}"),
            id="interim headers of 6 MB",
        ),
    ],
)
def test_sixteen_workers_hold_no_more_than_four_mebibytes_each(
    authority: Authority, said: bytes
) -> None:
    """A function that runs out of memory serves nobody, and again at every tick."""
    together = threading.Barrier(16)

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        together.wait(10)
        for begin in range(0, len(said), MEBIBYTE):
            conversation.send(said[begin : begin + MEBIBYTE])

    stage = Stage(authority, lambda: 0.0, max_workers=16)
    with hostile_server(authority, play) as server:
        for number in range(16):
            stage.add(f"{VICTIM}-{number}", server)
        tracemalloc.start()
        try:
            stage.sweep()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(server.requests) >= 16
    # The server's own slices are of one mebibyte each, too.
    assert peak < 16 * 5 * MEBIBYTE + 4 * MEBIBYTE


# Time.


def test_a_verify_url_that_hangs_delays_three_accounts_and_no_more(world: World) -> None:
    """Ten seconds each: a hundred accounts would hold every worker for a minute in every sweep."""
    for number in range(20):
        world.add(
            CLIENT_CREDENTIALS, f"a{number:02}", verify_url="https://www.autovit.ro/api/open/me"
        )
    started = world.now

    def hang(client: Client, access_token: str) -> None:
        del client, access_token
        world.now += timedelta(seconds=10)

    world.endpoint.verify = hang  # type: ignore[method-assign] # a double that takes time
    report = world.sweep()
    assert {result.outcome for result in report.results} == {Outcome.PUBLISHED}
    assert world.now - started <= timedelta(seconds=30)


# Tags: anybody who may tag a token secret can write ours.


@pytest.mark.parametrize("failure_class", ["action required", "transient", "invalid response"])
def test_an_edited_tag_holds_an_account_back_for_hours_and_not_for_ever(
    world: World, failure_class: str
) -> None:
    world.add(PASSWORD, use_refresh_token=False)
    world.refresh()
    world.store.tokens[ACCOUNT].tags.update(
        {
            "token-refresher:failure": f"{failure_class}: made up/1/99991231T235959Z/"
            f"99991231T235959Z/{world.credentials_digest()}",
            "token-refresher:refusals": f"999999/99991231T235959Z/{world.credentials_digest()}",
        }
    )
    before = world.access_token()
    world.sweep_for(timedelta(days=1))
    assert world.access_token() != before


def test_an_edited_tag_does_not_keep_a_failure_from_being_recorded(world: World) -> None:
    world.add_refresh_only()
    world.refresh()
    basis, number = world.journal_id(), 10**199
    world.store.tokens[ACCOUNT].tags["token-refresher:lease"] = f"{lease_id(basis, number)}/spent"
    for _ in range(3):
        world.endpoint.answer(unavailable(), unavailable())
        world.refresh(after=UNTIL_DUE)
    assert max(map(len, world.tags().values())) < 100


# Writes: Secrets Manager keeps about 100 versions, and all of a day.


@pytest.mark.parametrize(
    ("hostile", "most"),
    [
        pytest.param("503 400", 16, id="failures of changing classes fit into a day's versions"),
        pytest.param(
            *("503 short none", MOST_VERSIONS),
            id="tokens of a second besides meet Secrets Manager's own limit",
        ),
    ],
)
def test_no_server_makes_an_account_write_without_end(
    world: World, hostile: str, most: int
) -> None:
    """In the worst orders of up to five answers; the token secret is protected by its floor.

    The credentials secret has none, since an attempt that publishes nothing does not count there.
    It is the hostile server's own account, which it could refuse as well; Secrets Manager ends it.
    """
    kinds = hostile.split()
    asked = 0

    def answered(host: str, grant: Mapping[str, str]) -> TokenResponse:
        nonlocal asked
        del host, grant
        kind = kinds[asked % len(kinds)]
        asked += 1
        if kind == "503":
            raise unavailable()
        if kind == "400":
            raise TokenRequestError("invalid_request")
        return response(
            access_token=None if kind == "none" else f"made-up-token-{asked}",
            expires_in=timedelta(seconds=1),
            refresh_token=f"made-up-refresh-token-{asked}",
        )

    world.endpoint._answered = answered  # type: ignore[method-assign] # noqa: SLF001 - hostile
    world.add_refresh_only()
    world.sweep_for(timedelta(days=1))
    tokens = world.store.tokens[ACCOUNT].versions
    assert len(tokens) <= 96
    assert len(world.store.credentials[ACCOUNT].versions) == most


def test_no_server_makes_a_journal_that_secrets_manager_would_not_take(
    authority: Authority,
) -> None:
    """A long refresh token first, a long access token after it."""
    limit = 65_536
    refresh_token = "\u4e00" * 15_000
    first = json.dumps(
        {"access_token": "made-up", "token_type": "bearer", "expires_in": 60,
         "refresh_token": refresh_token}, ensure_ascii=False,
    ).encode("utf-16")  # fmt: skip
    second = body(expires_in=60)
    third = body(access_token="a" * 32_000, expires_in=60)
    stage = Stage(authority, Time())
    scripts = (says(answer(first)), says(answer(second)), says(answer(third)))
    with RawTlsServer(authority.server_context(), scripts) as server:
        stage.add(VICTIM, server, REFRESH_ONLY)
        for _ in scripts:
            stage.sweep()
            stage.now += timedelta(hours=2)
    assert len(server.requests) == len(scripts)
    written = stage.store.credentials[VICTIM].versions.values()
    assert max(len(str(text).encode()) for text in written) <= limit


def test_a_strange_retry_after_costs_no_refresh_token(authority: Authority) -> None:
    """By then it is spent: a response that cannot be read loses its successor."""
    said = answer(body(refresh_token="made-up-successor"), headers=("Retry-After: \x1f11",))
    stage = Stage(authority, Time())
    with hostile_server(authority, says(said)) as server:
        stage.add(VICTIM, server, REFRESH_ONLY)
        stage.sweep()
    written = stage.store.credentials[VICTIM].versions.values()
    assert any("made-up-successor" in str(text) for text in written)
