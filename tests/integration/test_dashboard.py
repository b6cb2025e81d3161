"""The dashboard's tables, of the lines that the program writes for one account or thousands."""

from __future__ import annotations

import json
import logging
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import pytest

from local.emulator import insights
from local.function import Context
from tests.unit.fakes import PASSWORD, World
from token_refresher.handler import Handler
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.settings import Settings
from tools.templates import MONITORING, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

MANY: Final = 5000
# What Lambda writes as one log event, in bytes.
LONGEST_LINE: Final = 256 * 1024
MINUTES: Final = ("1", "5", "10", "15")
# A sweep may need so long, and its lines as long to arrive.
LATE: Final = timedelta(minutes=1)


def tables(minutes: str = "5") -> list[str]:
    """The queries, without their source: what needs action, and what passes."""
    resources = resolved(MONITORING, {"ScheduleMinutes": minutes})["Resources"]
    body = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"])
    shown = [each["properties"]["query"] for each in body["widgets"] if each["type"] == "log"]
    return [query.partition(" | ")[2] for query in shown]


class Log:
    """A function over doubles, and what it logs, by the world's time.

    Args:
        world: With its accounts.
        printed: Takes what was printed since it was last asked.
    """

    def __init__(self, world: World, printed: Callable[[], str]) -> None:
        settings = Settings(max_workers=1)
        self._world, self._printed = world, printed
        self._handler = Handler(
            settings,
            store=world.store,
            endpoint=world.endpoint,
            clock=lambda: world.now,
            monotonic=world.seconds,
            pause=world.pause,
        )
        self.events: list[insights.Event] = []

    def tick(self, event: dict[str, Any] | None = None) -> None:
        for output in logging.getLogger("token-refresher").handlers:
            cast("logging.StreamHandler[TextIO]", output).stream = sys.stdout
        self._handler(event or {}, Context())
        at = int(self._world.now.timestamp() * 1000)
        self.events += [
            insights.Event(at, line, f"{at}/{number}")
            for number, line in enumerate(self._printed().splitlines())
        ]

    def rows(self, query: str, *, later: timedelta = timedelta(0)) -> list[insights.Row]:
        now = self._world.now + later
        return insights.run(query, self.events, now_seconds=int(now.timestamp()))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(world: World, capsys: pytest.CaptureFixture[str]) -> Log:
    return Log(world, lambda: capsys.readouterr().out)


def refuse(world: World) -> None:
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"), grant_type="password")


@pytest.mark.slow
def test_thousands_of_accounts_that_fail_are_each_in_the_table_once(world: World, log: Log) -> None:
    for number in range(MANY):
        world.add(PASSWORD, f"dealer-{number}")
    refuse(world)
    log.tick()
    world.now += timedelta(minutes=5)
    log.tick()
    needs_action, passes = tables()
    rows = log.rows(needs_action)
    assert {row["account"] for row in rows} == {f"dealer-{number}" for number in range(MANY)}
    assert len(rows) == MANY
    assert log.rows(passes) == []
    assert max(len(event.message.encode()) for event in log.events) < LONGEST_LINE
    # So they do not stand in one line.
    of_one_sweep = [each.message for each in log.events if '"account":' in each.message][:MANY]
    assert sum(len(line.encode()) for line in of_one_sweep) > LONGEST_LINE


@pytest.mark.parametrize("minutes", MINUTES)
def test_a_late_or_missing_tick_empties_no_table_and_two_do(
    world: World, log: Log, minutes: str
) -> None:
    world.add(PASSWORD, "mistyped")
    refuse(world)
    log.tick()
    tick, (needs_action, _) = timedelta(minutes=int(minutes)), tables(minutes)
    [row] = log.rows(needs_action, later=2 * tick + LATE)
    assert (row["account"], row["error"]) == ("mistyped", "invalid_grant")
    assert log.rows(needs_action, later=2 * tick + 3 * LATE) == []


def test_one_that_is_swept_alone_is_told_of_by_its_newest_line(world: World, log: Log) -> None:
    world.add(PASSWORD, "mistyped")
    refuse(world)
    log.tick()
    world.now += timedelta(minutes=1)
    log.tick({"accounts": ["mistyped"], "force": True})
    [row] = log.rows(tables()[0])
    assert row["@timestamp"] == f"{world.now:%Y-%m-%d %H:%M:%S}.000"


def test_what_passes_by_itself_is_in_the_other_table(world: World, log: Log) -> None:
    world.add(PASSWORD, "dealer-17")
    world.endpoint.fail(lambda: TokenRequestError("temporarily_unavailable"), grant_type="password")
    log.tick()
    needs_action, passes = tables()
    assert log.rows(needs_action) == []
    [row] = log.rows(passes)
    assert (row["account"], row["error"]) == ("dealer-17", "temporarily_unavailable")


def test_what_is_well_is_in_no_table(world: World, log: Log) -> None:
    world.add(PASSWORD, "dealer-17")
    world.store.put_credentials("awaiting", "")
    log.tick()
    log.tick()
    assert [log.rows(query) for query in tables()] == [[], []]
