"""Mishaps that only a person can fix: when they are reported, and what waiting costs.

These fleets are small, and nothing is passed over: every sweep's report is looked at, as
the alarm on `AccountsNeedingAction` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.fleet import TICK, Fleet, Grant, Simulation
from tests.resilience.simulation.timelines import seconds_of
from token_refresher.health import needs_action

if TYPE_CHECKING:
    from token_refresher.sweep import Report

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

ACCOUNTS: Final = 20
CHANGED_AT: Final = 2 * DAY
REFRESH_TOKENS_LIVE: Final = 14 * DAY


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that befalls every account of a fleet.

    Attributes:
        name: What the table calls it.
        fleet: Whose.
        befalls_at: When, counted from the start.
        fixed_after: How long somebody needs, once it is reported.
    """

    name: str
    fleet: Fleet
    befalls_at: timedelta
    fixed_after: timedelta


@dataclass(slots=True)
class Story:
    """What became of a mishap.

    Attributes:
        mishap: It.
        reported: When each account was first among those needing action: seconds after the
            mishap, or before it where negative.
        fresh_again: Seconds from each account's fixing to a sweep that finds all well.
        dead_seconds: Of each account, none left out.
    """

    mishap: Mishap
    reported: dict[str, float] = field(default_factory=dict)
    fresh_again: dict[str, float] = field(default_factory=dict)
    dead_seconds: list[float] = field(default_factory=list)


def mishaps() -> list[Mishap]:
    """The passwords change, or the refresh tokens end."""
    dealers = Fleet(
        accounts=ACCOUNTS, lifetime=12 * HOUR, grant=Grant.DEALER, duration=CHANGED_AT + 4 * DAY
    )
    consents = Fleet(
        accounts=ACCOUNTS,
        lifetime=HOUR,
        grant=Grant.CONSENT,
        duration=REFRESH_TOKENS_LIVE + 3 * DAY,
        refresh_tokens_live=REFRESH_TOKENS_LIVE,
    )
    changed, ends = "the passwords are changed", "the only refresh tokens end"
    return [
        *(Mishap(changed, dealers, CHANGED_AT, wait) for wait in (HOUR, 6 * HOUR, 2 * DAY)),
        *(Mishap(ends, consents, REFRESH_TOKENS_LIVE, wait) for wait in (3 * DAY, 8 * DAY)),
    ]


def tell(mishap: Mishap) -> Story:
    """Simulate a mishap."""
    story, simulation = Story(mishap), Simulation(mishap.fleet, passes_over=False)
    befalls_at = mishap.befalls_at.total_seconds()
    clients = simulation.endpoint.clients
    fixed_at: dict[str, float] = {}

    def befall() -> None:
        for client in clients.values():
            client.password, client.refresh_token = "made-up-new-password", ""

    def fix(name: str, at: float) -> None:
        client = clients[name]
        if mishap.fleet.grant is Grant.DEALER:
            simulation.put_credentials(
                name, at=at, username="dealer@example.com", password=client.password
            )
        else:
            client.refresh_token = f"made-up-next-seed-{name}"
            client.grant_ends_at = at + REFRESH_TOKENS_LIVE.total_seconds()
            simulation.put_credentials(name, at=at, refresh_token=client.refresh_token)
        fixed_at[name] = at

    def observe(report: Report) -> None:
        now = seconds_of(report.now)
        for account in report.managed:
            name, is_needing = account.name, needs_action(account, now=report.now, schedule=TICK)
            if is_needing and name not in story.reported:
                story.reported[name] = now - befalls_at
                at = now + mishap.fixed_after.total_seconds()
                simulation.at(at, partial(fix, name, at))
            if name in fixed_at and name not in story.fresh_again and not is_needing:
                story.fresh_again[name] = now - fixed_at[name]

    if mishap.fleet.grant is Grant.DEALER:
        simulation.at(befalls_at, befall)
    record = simulation.run(observe=observe)
    dead = record.costs[-1].dead_seconds
    story.dead_seconds = [dead.get(name, 0) for name in clients]
    return story
