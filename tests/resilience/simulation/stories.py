"""Weeks of short tokens, outages of all kinds that last, and neighbours in each other's way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.endpoint import Failure, Outage
from tests.resilience.simulation.fleet import (
    TICK,
    TOKEN_ENDPOINT,
    Fleet,
    Grant,
    Neighbours,
    Simulation,
    Tokens,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.resilience.simulation.fleet import Record

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)

# Five times a day, each time at another time of the day.
OUTAGES_APART: Final = DAY / 5 - TICK
SHORT_OUTAGE: Final = 3 * MINUTE
# By lifetime and grant: the shortest that the pace of versions allows, with an hour to compare.
SHORT_LIVES: Final = (
    (30 * MINUTE, Grant.CONSENT),
    (30 * MINUTE, Grant.DEALER),
    (20 * MINUTE, Grant.MACHINE),
    (HOUR, Grant.CONSENT),
)

LENGTHS: Final = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 12 * HOUR, 2 * DAY)
FAILURES: Final = (
    Failure.BAD_GATEWAY,
    Failure.UNAVAILABLE,
    Failure.RESET,
    Failure.CERTIFICATE,
    Failure.NOT_FOUND,
    Failure.TOO_MANY_REQUESTS,
)
LASTING_LIVES: Final = (
    (HOUR, Grant.CONSENT),
    (12 * HOUR, Grant.CONSENT),
    (HOUR, Grant.DEALER),
    (12 * HOUR, Grant.DEALER),
)


@dataclass(frozen=True, slots=True)
class Week:
    """A week of a few accounts with short tokens.

    Attributes:
        fleet: With its outages.
        failure: What the outages are; None where there are none.
    """

    fleet: Fleet
    failure: Failure | None

    def is_broken_by(self, record: Record) -> bool:
        """Whether something was lost, or written, that must not be."""
        is_late = any(cost.late for cost in record.costs)
        is_lost = self.failure is None and record.dead_seconds > 0
        return is_late or is_lost or record.writes_too_much


def weeks(accounts: int = 20, duration: timedelta = WEEK) -> list[Week]:
    """Undisturbed, and with five outages of three minutes a day, each a second before a tick."""
    begins = range(1, int(duration / OUTAGES_APART))
    told = []
    for lifetime, grant in SHORT_LIVES:
        fleet = Fleet(accounts=accounts, lifetime=lifetime, grant=grant, duration=duration)
        told.append(Week(fleet, None))
        for failure in (Failure.REFUSED, Failure.BAD_GATEWAY):
            outages = tuple(
                Outage(number * OUTAGES_APART.total_seconds() - 1, SHORT_OUTAGE, failure)
                for number in begins
            )
            told.append(Week(replace(fleet, outages=outages), failure))
    return told


@dataclass(frozen=True, slots=True)
class Lasting:
    """Outages of one kind, by their length.

    Attributes:
        failure: The kind.
        fleets: Each has one outage.
    """

    failure: Failure
    fleets: tuple[Fleet, ...]

    def is_broken_by(self, records: Sequence[Record]) -> bool:
        """Whether a token was lost that should have lived, or came too late."""
        for fleet, record in zip(self.fleets, records, strict=True):
            is_late = any(cost.late for cost in record.costs)
            is_within_bound = fleet.outages[0].length < fleet.bound
            is_lost = is_within_bound and record.dead_seconds > 0
            if is_late or is_lost or record.writes_too_much:
                return True
        return False


def lasting(accounts: int = 20) -> list[Lasting]:
    """Every kind of outage in every length, for short tokens and long ones.

    All tokens are spread, so that one or the other is due at any moment of an outage.
    """
    told = []
    for lifetime, grant in LASTING_LIVES:
        fleet = Fleet(accounts=accounts, lifetime=lifetime, grant=grant, duration=timedelta(0))
        for failure in FAILURES:
            begins_at = 2 * HOUR - timedelta(seconds=1)
            fleets = [
                replace(
                    fleet,
                    outages=(Outage(begins_at.total_seconds(), length, failure),),
                    # A token that has survived the outage must also be seen to be replaced.
                    duration=2 * HOUR + length + lifetime + HOUR,
                )
                for length in LENGTHS
            ]
            told.append(Lasting(failure, tuple(fleets)))
    return told


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Healthy accounts, and what is beside them.

    Attributes:
        name: What the table calls it.
        fleet: The healthy ones, with their neighbours.
    """

    name: str
    fleet: Fleet

    @staticmethod
    def is_broken_by(records: tuple[Record, Record]) -> bool:
        """Whether a healthy account lost a second, or more than one sweep."""
        together, alone = records
        is_slow = together.latest_seconds > alone.latest_seconds + TICK.total_seconds()
        return together.dead_seconds > 0 or is_slow or together.writes_too_much


def neighbourhoods() -> list[Neighbourhood]:
    """Each with one worker, and with sixteen."""
    healthy = Fleet(
        accounts=200,
        lifetime=HOUR,
        grant=Grant.MACHINE,
        duration=3 * HOUR,
    )
    few, fewer = replace(healthy, accounts=40, has_failed_once=True), replace(healthy, accounts=8)
    hung = Neighbours(
        accounts=300,
        tokens=Tokens.ENDING,
        failure=Failure.SILENT,
        token_endpoint="https://hung.example.com/token",
    )
    slow = replace(hung, accounts=800, failure=Failure.SLOW_ERROR)
    edited = Neighbours(
        accounts=1, failure=Failure.PAGE, token_endpoint=TOKEN_ENDPOINT, is_edited=True
    )
    external = Neighbours(accounts=5_000, tokens=Tokens.EXTERNAL)
    beside = (
        ("40 with a wrong path, a page with 404", healthy, wrong_path(Failure.NOT_FOUND)),
        ("40 with a wrong path, JSON with 404", healthy, wrong_path(Failure.NOT_FOUND_JSON)),
        ("1 that is edited at every tick, and gets a page", fewer, edited),
        ("300 of a host that hangs; all had failed once", few, hung),
        ("800 of a host that answers 500 after 9 s", replace(healthy, accounts=100), slow),
        ("5,000 external versions", replace(healthy, duration=HOUR), external),
    )
    return [
        Neighbourhood(name, replace(fleet, neighbours=(neighbours,), max_workers=workers))
        for name, fleet, neighbours in beside
        for workers in (1, 16)
    ]


def wrong_path(failure: Failure) -> Neighbours:
    """New accounts on the host of the healthy ones, at an address where nothing is."""
    return Neighbours(accounts=40, failure=failure)


def live(neighbourhood: Neighbourhood) -> tuple[Record, Record]:
    """Simulate a neighbourhood, and the healthy accounts alone; the workers are threads."""
    together, alone = (
        Simulation(
            replace(neighbourhood.fleet, neighbours=each), passes_over=False, has_threads=True
        )
        for each in (neighbourhood.fleet.neighbours, ())
    )
    return together.run(), alone.run()
