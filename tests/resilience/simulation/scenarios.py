"""What is simulated: which fleets, which outages, and which mishaps only a person can fix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.endpoint import Failure, Firewall, Outage
from tests.resilience.simulation.fleet import TICK, Fleet, Grant

if TYPE_CHECKING:
    from collections.abc import Iterable

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

# 14 minutes are just within the bound of one-hour tokens, 74 just within the longest bound.
LENGTHS: Final = (
    5 * MINUTE,
    14 * MINUTE,
    30 * MINUTE,
    74 * MINUTE,
    2 * HOUR,
    6 * HOUR,
)
# By lifetime: the grant, and the time from one outage's end to the next in a fleet of 1,000.
LIVES: Final = {
    HOUR / 2: (Grant.MACHINE, 2 * HOUR),
    HOUR: (Grant.MACHINE, 3 * HOUR),
    12 * HOUR: (Grant.DEALER, 3 * DAY),
    DAY: (Grant.DEALER, 3 * DAY),
    30 * DAY: (Grant.DEALER, 45.5 * DAY),
}
FAILURES: Final = (
    Failure.REFUSED,
    Failure.SILENT,
    Failure.UNAVAILABLE,
    Failure.TOO_MANY_REQUESTS,
)

# A sister of the OLX motors API is said to do so.
FIREWALL: Final = Firewall(requests=4_500, window=5 * MINUTE, block=30 * MINUTE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Fleets that are one in the tables.

    Attributes:
        fleets: Simulated one by one, each with other outages.
        note: What is particular about it.
    """

    fleets: tuple[Fleet, ...]
    note: str = ""


def with_outages(
    fleet: Fleet, outages: Iterable[tuple[timedelta, Failure]], *, apart: timedelta
) -> Fleet:
    """Let outages come one after the other, each a second before a tick: the worst moment."""
    planned: list[Outage] = []
    at = timedelta(0)
    for length, failure in outages:
        begins_at = -(-(at + apart) // TICK) * TICK - timedelta(seconds=1)
        planned.append(Outage(begins_at.total_seconds(), length, failure))
        at = begins_at + length
    return replace(fleet, outages=tuple(planned), duration=-(-(at + apart) // TICK) * TICK)


def season(accounts: int, lifetime: timedelta) -> Scenario:
    """Every length of outage, in every way to fail where it comes four times.

    A day's outage comes once. It, and one of six hours, answers 503: with that each account
    backs off by itself, so that recovering takes longest.
    """
    (grant, apart), times = LIVES[lifetime], 1
    if accounts == 1:
        # As long as a year, or it takes a long time to meet the one account.
        apart, times = 12.5 * DAY, 4
    fleet = Fleet(accounts=accounts, lifetime=lifetime, grant=grant, duration=timedelta(0))
    fleets = []
    for part in range(times):
        outages = [
            (length, FAILURES[(number + part) % 4] if length < 6 * HOUR else Failure.UNAVAILABLE)
            for number, length in enumerate(LENGTHS)
        ]
        if part == times - 1:
            outages.append((DAY, Failure.UNAVAILABLE))
        fleets.append(with_outages(replace(fleet, part=part), outages, apart=apart))
    return Scenario(tuple(fleets))


def sampled(fleet: Fleet, length: timedelta, failure: Failure, note: str) -> Scenario:
    """One outage an hour after the beginning."""
    outage = Outage(HOUR.total_seconds() - 1, length, failure)
    return Scenario((replace(fleet, outages=(outage,)),), note)


def small() -> list[Scenario]:
    """Fleets of one and of 1,000."""
    dealers = Fleet(accounts=1_000, lifetime=12 * HOUR, grant=Grant.DEALER, duration=13 * HOUR)
    in_step = replace(dealers, is_in_step=True, duration=DAY)
    # Due an hour and a half before the end of twelve hours, less what had passed before.
    due_at = (12 * HOUR - in_step.margin).total_seconds()
    at_once = Outage(due_at - 1, 74 * MINUTE, Failure.UNAVAILABLE)
    late = replace(dealers, late=timedelta(seconds=30))
    return [
        *(season(1, lifetime) for lifetime in LIVES),
        *(season(1_000, lifetime) for lifetime in LIVES),
        Scenario((replace(in_step, outages=(at_once,)),), "all due at once"),
        sampled(late, 73 * MINUTE, Failure.UNAVAILABLE, "ticks up to 30 s late"),
    ]


def large() -> list[Scenario]:
    """Fleets of 100,000, as far as one stack carries them; only hours of each."""
    fleet = Fleet(accounts=100_000, lifetime=12 * HOUR, grant=Grant.DEALER, duration=13 * HOUR)
    quarter = replace(
        fleet, accounts=25_000, cells=4, lifetime=HOUR, grant=Grant.MACHINE, duration=3 * HOUR
    )
    eighth = replace(quarter, accounts=12_500, cells=8, lifetime=HOUR / 2, duration=2 * HOUR)
    walled = replace(fleet, accounts=20_000, grant=Grant.MACHINE, firewall=FIREWALL)
    refused = Failure.REFUSED
    return [
        sampled(fleet, HOUR, refused, ""),
        sampled(quarter, 14 * MINUTE, refused, "in 4 Regions"),
        sampled(eighth, 5 * MINUTE, refused, "in 8 Regions"),
        sampled(walled, 3 * HOUR, refused, "4,500 requests in 5 min close a firewall"),
        sampled(replace(walled, max_workers=4), 3 * HOUR, refused, "the same, with MAX_WORKERS=4"),
    ]
