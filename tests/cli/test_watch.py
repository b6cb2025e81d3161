"""What ``status --watch`` shows: the time, the place, what to do, and what fits the screen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.cli.relay import Instead
from token_refresher.policy import Reason
from token_refresher_cli.accounts import AccountStatus, State
from token_refresher_cli.target import Target
from token_refresher_cli.watch import Look, picture
from tools.templates import ROOT
from tools.terminal import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.relay import Relay
    from tests.cli.terminal import Shell
    from tools.terminal import Terminal

NOW = datetime(2026, 11, 24, 13, 40, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = "Looked in: AWS account 123456789012, region eu-west-1, prefix oauth, stack token-refresher"
TARGET = Target(stack="token-refresher")
EXPIRED = Instead(400, b'{"__type": "ExpiredTokenException"}')


def fresh(number: int) -> AccountStatus:
    return AccountStatus(
        account=f"dealer-{number:04}",
        state=State.FRESH,
        reason=Reason.FRESH,
        expires_at=NOW + 12 * HOUR,
        refresh_token_expires_at=None,
        error=None,
        failure_class=None,
        failures=0,
        failing_since=None,
        next_attempt_at=NOW + 10.5 * HOUR,
    )


def refused(number: int) -> AccountStatus:
    return AccountStatus(
        account=f"refused-{number}",
        state=State.ACTION_REQUIRED,
        reason=Reason.BACKING_OFF,
        expires_at=NOW - HOUR,
        refresh_token_expires_at=None,
        error="invalid_grant",
        failure_class=None,
        failures=12,
        failing_since=NOW - 74 * HOUR,
        next_attempt_at=NOW + 5 * HOUR,
    )


def drawn(
    *statuses: AccountStatus,
    columns: int = 80,
    lines: int = 24,
    left: float = 7,
    seconds_ago: float = 3,
    trouble: str = "",
) -> list[str]:
    look = Look(statuses, NOW - timedelta(seconds=seconds_ago), trouble)
    picked = picture(
        look,
        TARGET,
        now=NOW,
        left=timedelta(seconds=left),
        place=PLACE,
        width=columns,
        height=lines,
    )
    return [line.plain for line in picked]


def rows(shown: Sequence[str], columns: int) -> int:
    return sum(max(1, -(-len(line) // columns)) for line in shown)


def test_it_tells_the_time_the_next_look_how_to_end_it_the_place_and_what_to_do() -> None:
    assert drawn(refused(1), fresh(1)) == [
        "13:40:05 UTC; looked 3 s ago; next look in 7 s; Ctrl-C ends it",
        "Looked in: AWS account 123456789012, region eu-west-1, prefix oauth, stack",
        "token-refresher",
        "",
        "account      state            reason       expires in       next attempt",
        "refused-1    action required  backing off  expired 1 h ago  in 5 h",
        "  error invalid_grant, 12 times; since 3 d 2 h ago",
        "dealer-0001  fresh            -            12 h             in 10 h 30 min",
        "",
        "refused-1: the server refused the password, code, assertion or refresh token:",
        "token-refresher correct refused-1 --stack token-refresher",
        "2 accounts, 1 needs action",
    ]


def test_a_look_that_has_failed_is_told_with_the_time_of_the_last_good_one() -> None:
    shown = drawn(fresh(1), seconds_ago=125, trouble="AWS did not answer.", columns=120)
    assert shown[0] == "13:40:05 UTC; next look in 7 s; Ctrl-C ends it"
    assert shown[2] == "AWS did not answer. The last good look was at 13:38:00 UTC, 2 min ago."


def test_while_it_looks_it_says_so() -> None:
    assert drawn(fresh(1), left=0)[0] == "13:40:05 UTC; looked 3 s ago; looking; Ctrl-C ends it"


def test_of_a_large_fleet_what_matters_first_is_shown_and_the_rest_is_counted() -> None:
    shown = drawn(refused(1), *map(fresh, range(500)))
    assert rows(shown, 80) == 24
    assert "… and 488 more, all fresh" in shown
    assert "refused-1: the server refused the password, code, assertion or refresh token:" in shown
    assert shown[-1] == "501 accounts, 1 needs action"


def test_where_many_need_action_half_the_room_says_what_to_do() -> None:
    shown = drawn(*map(refused, range(300)), *map(fresh, range(200)))
    assert rows(shown, 80) <= 24
    assert "… and 497 more: 297 action required, 200 fresh" in shown
    assert "… and 296 more to fix: token-refresher status --stack token-refresher" in shown
    assert shown[-1] == "500 accounts, 300 need action"


@pytest.mark.parametrize("lines", range(1, 40))
@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_it_is_never_taller_than_the_terminal(columns: int, lines: int) -> None:
    awkward = [refused(1), refused(2), *map(fresh, range(30))]
    for statuses in ([fresh(1)], awkward, awkward[:5]):
        shown = drawn(*statuses, columns=columns, lines=lines, trouble="AWS did not answer.")
        assert rows(shown, columns) <= lines
        too_wide = [line for line in shown if len(line) > columns and " " in line]
        assert [line for line in too_wide if not re.match("token-refresher |   --", line)] == []


def frame(terminal: Terminal) -> str:
    """Take what was written over the whole screen last."""
    return terminal.transcript.rsplit("\x1b[H", maxsplit=1)[1]


def test_a_window_that_is_made_smaller_is_filled_again_and_the_last_look_stays_behind(
    shell: Shell, cloud: EmbeddedCloud
) -> None:
    for number in range(30):
        cloud.client().create_secret(Name=f"oauth/credentials/dealer-{number:02}")
    with shell.open("status", "--watch", "--every", "1", columns=120) as terminal:
        terminal.expect("Ctrl-C ends it")
        assert "more, all awaiting credentials" not in terminal.plain
        terminal.resize(columns=60, lines=12)
        terminal.expect("more, all awaiting credentials")
        terminal.expect("Ctrl-C ends it")
        terminal.interrupt()
        assert terminal.finish() == 130
    last, behind = frame(terminal).split("\x1b[?1049l")
    screen = Screen(last, 60, 12)
    assert screen.overlong == []
    assert len(screen.text.splitlines()) <= 12
    assert len(re.findall("^dealer-", behind, re.MULTILINE)) == 30
    assert "30 accounts, none need action" in behind


def test_an_expired_session_ends_it_and_says_how_to_sign_in(
    shell: Shell, cloud: EmbeddedCloud, relay: Relay
) -> None:
    cloud.client().create_secret(Name="oauth/credentials/dealer-17")
    shell.environment = {**shell.environment, "AWS_ENDPOINT_URL": relay.url}
    with shell.open("status", "--watch", "--every", "1", columns=80) as terminal:
        terminal.expect("awaiting credentials")
        relay.illness = lambda _: EXPIRED
        terminal.expect("Your AWS session has expired.")
        assert terminal.finish() == 3


def test_the_document_shows_what_is_shown() -> None:
    document = (ROOT / "docs" / "command-line.md").read_text()
    shown = "\n".join(drawn(refused(1), *map(fresh, range(412)), lines=17))
    assert f"```text\n{shown}\n```" in document
