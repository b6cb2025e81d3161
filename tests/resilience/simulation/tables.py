"""The results as tables, and whether what is promised was kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.secrets_manager import MOST_VERSIONS_A_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.resilience.simulation.fleet import Cost, Fleet, Record
    from tests.resilience.simulation.people import Story
    from tests.resilience.simulation.scenarios import Scenario
    from tests.resilience.simulation.stories import Lasting, Neighbourhood, Week

QUOTA_PER_SECOND: Final = 50
# So many are served by one sweep, whatever has come due.
SERVED_AT_ONCE: Final = 1_000
YEAR_SECONDS: Final = 365 * 86_400
UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))

OUTAGE_COLUMNS: Final = (
    "accounts",
    "tokens live",
    "outage",
    "times",
    "bound",
    "within",
    "dead seconds",
    "accounts hit",
    "the worst",
    "a year with one",
    "recovered in",
    "requests after it: in 1 s",
    "in 5 min",
)
LOAD_COLUMNS: Final = (
    "accounts",
    "tokens live",
    "grant",
    "simulated",
    "tokens published",
    "token requests",
    "AWS reads",
    "AWS writes",
    f"writes in 1 s, of {QUOTA_PER_SECOND}",
    f"versions in a day, of {MOST_VERSIONS_A_DAY}",
    "longest sweep",
    "available",
)
WEEK_COLUMNS: Final = (
    "tokens live",
    "grant",
    "five outages a day",
    "tokens published",
    "seconds without a token that lives",
    "the worst",
    "dead seconds in a cache",
    f"versions in a day, of {MOST_VERSIONS_A_DAY}",
    "kept",
)
LASTING_COLUMNS: Final = (
    "grant",
    "tokens live",
    "every request",
    *(f"for {length}" for length in ("5 min", "30 min", "2 h", "12 h", "2 d")),
    "promised",
    f"versions in a day, of {MOST_VERSIONS_A_DAY}",
    "kept",
)
NEIGHBOUR_COLUMNS: Final = (
    "beside the healthy",
    "healthy",
    "workers",
    "dead seconds",
    "replaced after it was due, at most",
    "alone",
    "longest sweep",
    f"versions in a day, of {MOST_VERSIONS_A_DAY}",
    "kept",
)
STORY_COLUMNS: Final = (
    "mishap",
    "tokens live",
    "reported",
    "fixed after its report",
    "dead seconds of one account",
    "the worst",
    "well again after",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What outages of one length cost the fleets of one scenario.

    Attributes:
        scenario: Whose.
        length: Of the outages; zero for the time before the first.
        costs: Of each.
    """

    scenario: Scenario
    length: timedelta
    costs: tuple[Cost, ...]

    @property
    def fleet(self) -> Fleet:
        """One of the fleets; they are alike but for their outages."""
        return self.scenario.fleets[0]

    @property
    def is_within_bound(self) -> bool:
        """Whether nothing may be lost."""
        return not self.length or self.length < self.fleet.bound

    @property
    def dead_seconds(self) -> float:
        """Of all accounts and outages together."""
        return sum(cost.lost_seconds for cost in self.costs)

    @property
    def dead_seconds_each(self) -> float:
        """The mean of an account, for one outage."""
        return self.dead_seconds / self.fleet.accounts / len(self.costs)

    @property
    def breaks_the_bound(self) -> bool:
        """Whether something was lost that must not be, or a small fleet recovered too late."""
        is_late = self.fleet.accounts <= SERVED_AT_ONCE and any(cost.late for cost in self.costs)
        return is_late or (self.is_within_bound and self.dead_seconds > 0)


def rows_of(scenario: Scenario, records: Sequence[Record]) -> list[Row]:
    """Put together what outages of the same length cost."""
    by_length: dict[timedelta, list[Cost]] = {}
    for cost in (cost for record in records for cost in record.costs):
        length = cost.outage.length if cost.outage is not None else timedelta(0)
        by_length.setdefault(length, []).append(cost)
    return [Row(scenario, length, tuple(costs)) for length, costs in sorted(by_length.items())]


def outage_table(rows: Sequence[Row]) -> list[str]:
    """Word what outages cost."""
    return [*header(OUTAGE_COLUMNS), *(line(*_outage(row)) for row in rows if row.length)]


def _outage(row: Row) -> list[str]:
    recovered = [cost.recovered_seconds for cost in row.costs]
    return [
        label(row.scenario),
        duration(row.fleet.lifetime),
        duration(row.length),
        number(len(row.costs)),
        duration(row.fleet.bound),
        "yes" if row.is_within_bound else "no",
        number(row.dead_seconds),
        number(sum(len(cost.dead_seconds) for cost in row.costs)),
        span(max(max(cost.dead_seconds.values(), default=0) for cost in row.costs)),
        share(1 - row.dead_seconds_each / YEAR_SECONDS),
        "not yet" if None in recovered else span(max(each or 0 for each in recovered)),
        number(max(cost.requests_in_a_second for cost in row.costs)),
        number(max(cost.requests_in_a_tick for cost in row.costs)),
    ]


def load_table(results: Sequence[tuple[Scenario, Sequence[Record]]]) -> list[str]:
    """Word what a fleet asks of Secrets Manager and of the endpoint."""
    return [*header(LOAD_COLUMNS), *(line(*_load(*result)) for result in results)]


def _load(scenario: Scenario, records: Sequence[Record]) -> list[str]:
    fleet = scenario.fleets[0]
    simulated = sum(each.duration.total_seconds() for each in scenario.fleets)
    dead = sum(record.dead_seconds for record in records)
    return [
        label(scenario),
        duration(fleet.lifetime),
        f"`{fleet.grant.grant_type}`",
        span(simulated),
        number(sum(record.published for record in records)),
        number(sum(record.requests for record in records)),
        number(sum(record.reads for record in records)),
        number(sum(record.writes for record in records)),
        number(max(record.writes_in_a_second for record in records)),
        versions(records),
        span(max(record.longest_sweep_seconds for record in records)),
        share(1 - dead / fleet.accounts / simulated),
    ]


def versions(records: Sequence[Record]) -> str:
    """Word the most versions of a token secret and of a credentials secret."""
    of = [
        max(record.most_versions[which] for record in records) for which in ("token", "credentials")
    ]
    return " and ".join(map(number, of))


def week_table(lived: Sequence[tuple[Week, Record]]) -> list[str]:
    """Word what became of short tokens in a week."""
    return [*header(WEEK_COLUMNS), *(line(*_week(*each)) for each in lived)]


def _week(week: Week, record: Record) -> list[str]:
    worst = max(max(cost.expired_seconds.values(), default=0) for cost in record.costs)
    return [
        duration(week.fleet.lifetime),
        f"`{week.fleet.grant.grant_type}`",
        week.failure.words if week.failure else "none",
        number(record.published),
        number(record.expired_seconds),
        span(worst),
        number(record.dead_seconds),
        versions([record]),
        kept(is_broken=week.is_broken_by(record)),
    ]


def lasting_table(lived: Sequence[tuple[Lasting, Sequence[Record]]]) -> list[str]:
    """Word after what time accounts had a token that an outage had left without one."""
    return [*header(LASTING_COLUMNS), *(line(*_lasting(*each)) for each in lived)]


def _lasting(lasting: Lasting, records: Sequence[Record]) -> list[str]:
    fleet = lasting.fleets[0]
    return [
        f"`{fleet.grant.grant_type}`",
        duration(fleet.lifetime),
        lasting.failure.words,
        *(_without_token(record.costs[-1]) for record in records),
        duration(fleet.recovery),
        versions(records),
        kept(is_broken=lasting.is_broken_by(records)),
    ]


def _without_token(cost: Cost) -> str:
    hit = len(cost.expired_seconds)
    return f"{span(cost.without_token_seconds)}, {hit}" if hit else "none"


def neighbour_table(lived: Sequence[tuple[Neighbourhood, tuple[Record, Record]]]) -> list[str]:
    """Word what healthy accounts lost to others."""
    return [*header(NEIGHBOUR_COLUMNS), *(line(*_neighbour(*each)) for each in lived)]


def _neighbour(neighbourhood: Neighbourhood, records: tuple[Record, Record]) -> list[str]:
    together, alone = records
    return [
        neighbourhood.name,
        number(neighbourhood.fleet.accounts),
        number(neighbourhood.fleet.max_workers),
        number(together.dead_seconds),
        span(together.latest_seconds),
        span(alone.latest_seconds),
        span(together.longest_sweep_seconds),
        versions([together]),
        kept(is_broken=neighbourhood.is_broken_by(records)),
    ]


def kept(*, is_broken: bool) -> str:
    """Word whether a promise was kept."""
    return "**no**" if is_broken else "yes"


def story_table(stories: Sequence[Story]) -> list[str]:
    """Word what mishaps cost that only a person can fix."""
    return [*header(STORY_COLUMNS), *(line(*_story(story)) for story in stories)]


def _story(story: Story) -> list[str]:
    mishap, reported = story.mishap, story.reported.values()
    if max(reported) < 0:
        told = f"{span(-max(reported))} before it"
    else:
        told = f"{span(min(reported))} to {span(max(reported))} after it"
    return [
        mishap.name,
        duration(mishap.fleet.lifetime),
        told,
        duration(mishap.fixed_after),
        number(sum(story.dead_seconds) / len(story.dead_seconds)),
        span(max(story.dead_seconds)),
        span(max(story.fresh_again.values())),
    ]


def label(scenario: Scenario) -> str:
    """Word whose accounts they are."""
    accounts = number(scenario.fleets[0].accounts * scenario.fleets[0].cells)
    return f"{accounts}, {scenario.note}" if scenario.note else accounts


def duration(length: timedelta) -> str:
    """Word a length in the largest unit that has no fraction."""
    seconds = length.total_seconds()
    for unit, size in UNITS:
        # A day's 24 hours are a day, a day and a half are 36 hours.
        if seconds >= size and not seconds % size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds else "0"


def length_of(words: str) -> timedelta:
    """Read a length that `duration` has worded."""
    count, _, unit = words.partition(" ")
    return timedelta(seconds=int(count) * dict(UNITS).get(unit, 1))


def span(seconds: float) -> str:
    """Word a length that was measured."""
    for unit, size in UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds else "0"


def number(value: float) -> str:
    """Word a count; a fraction of a second is not nothing."""
    return "< 1" if 0 < value < 1 else f"{value:,.0f}"


def share(value: float) -> str:
    """Word a share, so that 100 % is all of it."""
    return "100 %" if value == 1 else f"{min(value * 100, 99.9999):.4f} %"


def header(columns: Sequence[str]) -> list[str]:
    """Begin a table."""
    return [line(*columns), "|" + "---|" * len(columns)]


def line(*cells: str) -> str:
    """Write a table's line."""
    return f"| {' | '.join(cells)} |"
