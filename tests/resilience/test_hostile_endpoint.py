"""Whatever a token endpoint does, it harms its own account alone, and learns and tells nothing."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.resilience.hostile import (
    MARK,
    ODD_BUT_GOOD,
    TOKEN,
    Attack,
    Time,
    body,
    corpus,
    says,
    status,
)
from tests.resilience.hostile_stage import (
    INITIAL_REFRESH_TOKEN,
    NEIGHBOUR,
    NEIGHBOURS_TOKEN,
    OLD_TOKEN,
    PRIMARY_GRANT,
    REFRESH_ONLY,
    VICTIM,
    Stage,
    good_server,
    hostile_server,
    result_of,
)
from tests.unit.fakes import HOUR, MINUTE
from tests.unit.raw_tls_server import answers_and_resets
from token_refresher.errors import FailureClass
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.outcomes import Outcome
from token_refresher.records import FAILURE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.authority import Authority
    from tests.unit.raw_tls_server import Conversation, Script

ATTACKS = [
    pytest.param(
        failure_class,
        attack,
        id=attack.what,
    )
    for failure_class, attack in corpus()
]
ANY_ATTACK = [pytest.param(attack, id=attack.what) for _, attack in corpus()]
GRANTS = [
    pytest.param(PRIMARY_GRANT, id="primary grant"),
    pytest.param(REFRESH_ONLY, id="refresh token"),
]


@pytest.mark.parametrize(("failure_class", "attack"), ATTACKS)
@pytest.mark.parametrize("credentials", GRANTS)
def test_a_hostile_answer_harms_its_own_account_alone(
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    failure_class: FailureClass,
    attack: Attack,
    credentials: Mapping[str, Any],
) -> None:
    """The right class, the old token, the neighbours' tokens, and not a word of what was said."""
    caplog.set_level(logging.DEBUG)
    time = attack.time
    stage = Stage(authority, time)
    script = attack.played(time)
    with (
        hostile_server(authority, script, attack.certificate) as hostile,
        good_server(authority) as good,
    ):
        stage.add(VICTIM, hostile, credentials, left=30 * MINUTE)
        stage.add(NEIGHBOUR, good)
        report = stage.sweep()

    result = result_of(VICTIM, report)
    assert isinstance(result.error, FAILURES)
    assert (failure_class_of(result.error), result.error.code) == (failure_class, attack.code)
    recorded = stage.store.tokens[VICTIM].tags[FAILURE_TAG]
    assert recorded.startswith(f"{failure_class}: {attack.code}/")
    assert stage.published(VICTIM)["access_token"] == OLD_TOKEN
    assert result_of(NEIGHBOUR, report).outcome is Outcome.PUBLISHED
    assert stage.published(NEIGHBOUR)["access_token"] == NEIGHBOURS_TOKEN
    assert MARK not in stage.told(report)
    assert MARK not in caplog.text


@pytest.mark.parametrize("attack", [pytest.param(each, id=each.what) for each in ODD_BUT_GOOD])
def test_an_odd_answer_is_an_answer(authority: Authority, attack: Attack) -> None:
    stage = Stage(authority, attack.time)
    with hostile_server(authority, attack.played(attack.time)) as hostile:
        stage.add(VICTIM, hostile)
        assert result_of(VICTIM, stage.sweep()).outcome is Outcome.PUBLISHED
    assert stage.published(VICTIM)["access_token"] == TOKEN


# A server with a grace takes it again for some seconds, exactly for this.
LOST: Final = {"connection_lost", "timeout", *(f"status_{code}" for code in (500, 502, 503, 504))}


@pytest.mark.parametrize("attack", ANY_ATTACK)
def test_only_a_lost_response_makes_a_refresh_token_leave_twice_in_a_sweep(
    authority: Authority, attack: Attack
) -> None:
    time = attack.time
    stage = Stage(authority, time)
    with hostile_server(authority, attack.played(time), attack.certificate) as hostile:
        stage.add(VICTIM, hostile, REFRESH_ONLY)
        stage.sweep()
    sent = [request.fields.get("refresh_token") for request in hostile.requests]
    assert sent.count(INITIAL_REFRESH_TOKEN) <= (2 if attack.code in LOST else 1)


@pytest.mark.parametrize("credentials", GRANTS)
def test_a_name_that_does_not_resolve_harms_its_own_account_alone(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, credentials: Mapping[str, Any]
) -> None:
    found = socket.getaddrinfo
    stage = Stage(authority, Time())
    with (
        hostile_server(authority, status("200 OK", body())) as gone,
        good_server(authority) as good,
    ):

        def resolve(host: str, port: int, *more: Any) -> Any:  # noqa: ANN401
            if port == gone.port:
                raise socket.gaierror(socket.EAI_AGAIN, f"{MARK} {host}")
            return found(host, port, *more)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        stage.add(VICTIM, gone, credentials, left=30 * MINUTE)
        stage.add(NEIGHBOUR, good)
        report = stage.sweep()
    error = result_of(VICTIM, report).error
    assert isinstance(error, FAILURES)
    assert (failure_class_of(error), error.code) == (FailureClass.TRANSIENT, "no_connection")
    assert result_of(NEIGHBOUR, report).outcome is Outcome.PUBLISHED
    assert MARK not in stage.told(report)


def test_a_reset_within_the_headers_is_tried_later(authority: Authority) -> None:
    """What had arrived before it may be lost or not, so the HTTP library sees one or the other."""
    stage = Stage(authority, Time())
    script = answers_and_resets(b"HTTP/1.1 200 OK\r\nContent-Ty")
    with hostile_server(authority, script) as hostile:
        stage.add(VICTIM, hostile)
        error = result_of(VICTIM, stage.sweep()).error
    assert isinstance(error, FAILURES)
    assert failure_class_of(error) is FailureClass.TRANSIENT
    assert error.code in {"connection_lost", "firewall"}


def test_each_attack_ends_within_one_requests_time(authority: Authority) -> None:
    """Of those that only the limit ends; a repeat after it would take as long again."""
    for _, attack in corpus():
        if not attack.takes_time:
            continue
        time = attack.time
        stage = Stage(authority, time)
        with hostile_server(authority, attack.played(time)) as hostile:
            stage.add(VICTIM, hostile)
            stage.sweep()
        assert len(hostile.requests) <= 1, attack.what


def test_sixteen_hostile_hosts_at_once_keep_nobody_from_a_token(authority: Authority) -> None:
    """As many as there are workers, each wrong in another way; the neighbours are due later."""
    quick = [attack for _, attack in corpus() if not attack.takes_time][::10]
    assert len(quick) >= 16
    stage = Stage(authority, lambda: 0.0, max_workers=16)
    with ExitStack() as stack:
        good = stack.enter_context(good_server(authority))
        for number, attack in enumerate(quick):
            script = attack.played(Time())
            server = hostile_server(authority, script, attack.certificate)
            hostile = stack.enter_context(server)
            stage.add(f"{VICTIM}-{number}", hostile, left=30 * MINUTE)
        for number in range(4):
            stage.add(f"{NEIGHBOUR}-{number}", good, left=HOUR)
        report = stage.sweep()
    outcomes = {result.account.name: result.outcome for result in report.results}
    assert {outcomes[f"{NEIGHBOUR}-{number}"] for number in range(4)} == {Outcome.PUBLISHED}
    assert {outcomes[f"{VICTIM}-{number}"] for number in range(len(quick))} == {Outcome.FAILED}


# Answers that nobody thought of: bytes that are nearly HTTP, around bodies that are nearly JSON.

WORDS = st.sampled_from(
    [MARK, TOKEN, "", "0", "-1", "43200", "chunked", "gzip", "identity", "close", "keep-alive",
     "99999999999999999999", "application/json", "\u00ff", "\x00", "a" * 300]
)  # fmt: skip
NAMES = st.sampled_from(
    ["Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type", "Retry-After",
     "Connection", "Location", "Set-Cookie", "X", "", " ", "X:", "Trailer", "Upgrade"]
)  # fmt: skip
LINES = st.one_of(
    st.builds(lambda name, value: f"{name}: {value}".encode("latin-1"), NAMES, WORDS),
    st.binary(max_size=40),
)
STATUS_LINES = st.one_of(
    st.builds(lambda code: b"HTTP/1.1 %d Made up" % code, st.integers(200, 999)),
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1", b""]),
    st.binary(max_size=20),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.sampled_from([TOKEN, "bearer", "Bearer", 43200, "43200", "invalid_grant", f"{TOKEN}\n"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(
        ["access_token", "token_type", "expires_in", "scope", "error", "refresh_token"]
    ),
    VALUES,
)
BODIES = st.one_of(
    FIELDS.map(lambda fields: body(**fields)),
    st.binary(max_size=200),
    st.builds(lambda fields, cut: body(**fields)[:cut], FIELDS, st.integers(0, 120)),
)
ANSWERS = st.builds(
    lambda first, lines, content: b"\r\n".join([first, *lines, b"", content]),
    STATUS_LINES,
    st.lists(LINES, max_size=5),
    BODIES,
)


def test_no_bytes_at_all_harm_anybody_else(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[bytes] = [b""]

    def play(conversation: Conversation) -> None:
        says(said[0])(conversation)

    # Each example has a sweep of its own: time that an earlier one used up is not its.
    with hostile_server(authority, play) as hostile, good_server(authority) as good:

        @settings(max_examples=100)
        @given(ANSWERS)
        def holds(response: bytes) -> None:
            said[0] = response
            caplog.clear()
            stage = Stage(authority, Time())
            stage.add(VICTIM, hostile, left=30 * MINUTE)
            stage.add(NEIGHBOUR, good)
            report = stage.sweep()
            result = result_of(VICTIM, report)
            if result.outcome is Outcome.PUBLISHED:
                assert stage.published(VICTIM)["token_type"] == "Bearer"
                assert stage.published(VICTIM)["access_token"].isascii()
            else:
                assert isinstance(result.error, FAILURES)
                assert not result.error.code.startswith("unexpected")
                assert stage.published(VICTIM)["access_token"] == OLD_TOKEN
            assert result_of(NEIGHBOUR, report).outcome is Outcome.PUBLISHED
            assert MARK not in stage.told(report)
            assert MARK not in caplog.text

        holds()


def test_the_corpus_names_each_attack_once_and_every_class() -> None:
    attacks = list(corpus())
    assert len({attack.what for _, attack in attacks}) == len(attacks)
    assert {failure_class for failure_class, _ in attacks} == set(FailureClass)


def test_a_script_of_the_corpus_serves_an_answer(authority: Authority) -> None:
    """Else every row would pass by failing to connect."""
    script: Script = status("200 OK", body())
    stage = Stage(authority, Time())
    with hostile_server(authority, script) as server:
        stage.add(VICTIM, server)
        assert result_of(VICTIM, stage.sweep()).outcome is Outcome.PUBLISHED
    assert len(server.requests) == 1
