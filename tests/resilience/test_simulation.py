"""The simulation counts honestly: what it passes over changes nothing, its model is the program's.

`make simulate` takes minutes; these checks take seconds, on fleets of a few accounts.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resilience.simulation import scenarios
from tests.resilience.simulation.__main__ import BEGIN, END
from tests.resilience.simulation.chart import DOCUMENT, PICTURE, STYLES, draw, points_of
from tests.resilience.simulation.endpoint import Failure, Firewall, Outage
from tests.resilience.simulation.fleet import (
    CACHE,
    REFRESH_BEFORE,
    TICK,
    TOKEN_ENDPOINT,
    Cost,
    Fleet,
    Grant,
    Neighbours,
    Record,
    Simulation,
    Tokens,
    wakes_at,
)
from tests.resilience.simulation.people import mishaps, tell
from tests.resilience.simulation.scenarios import DAY, HOUR, MINUTE, Scenario
from tests.resilience.simulation.secrets_manager import MOST_VERSIONS_A_DAY, SimulatedSecret
from tests.resilience.simulation.stories import (
    FAILURES,
    Neighbourhood,
    lasting,
    live,
    neighbourhoods,
    weeks,
    wrong_path,
)
from tests.resilience.simulation.tables import (
    LASTING_COLUMNS,
    LOAD_COLUMNS,
    NEIGHBOUR_COLUMNS,
    OUTAGE_COLUMNS,
    STORY_COLUMNS,
    WEEK_COLUMNS,
    duration,
    label,
    line,
    outage_table,
    rows_of,
)
from tests.resilience.simulation.timelines import WRITES_PER_SECOND, Slots, Timelines
from token_refresher.aws.secret_store import Pace
from token_refresher.errors import FailureClass
from token_refresher.model import TokenVersion, account_from_metadata, digest12
from token_refresher.policy import decide
from token_refresher.ports import CURRENT, JOURNAL_STAGE, PREVIOUS, SecretMetadata
from token_refresher.records import (
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    REFUSALS_TAG,
    FailureRecord,
    GrantLifetime,
    Refusals,
)

if TYPE_CHECKING:
    from token_refresher.model import Account

DEALERS = Fleet(accounts=12, lifetime=12 * HOUR, grant=Grant.DEALER, duration=2 * DAY)
MACHINES = replace(DEALERS, lifetime=HOUR, grant=Grant.MACHINE, duration=12 * HOUR)
SHORT = replace(MACHINES, lifetime=HOUR / 2)
CONSENTS = replace(MACHINES, grant=Grant.CONSENT, refresh_tokens_live=DAY, duration=12 * HOUR)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECONDS = st.integers(-3 * 86_400, 3 * 86_400)


def outage(begins: timedelta, length: timedelta, failure: Failure = Failure.REFUSED) -> Outage:
    return Outage(begins.total_seconds() - 1, length, failure)


# What is passed over.


@pytest.mark.parametrize(
    "fleet",
    [
        pytest.param(
            replace(DEALERS, outages=(outage(12 * HOUR, 3 * HOUR, Failure.SILENT),)),
            id="refresh tokens and silence",
        ),
        pytest.param(
            replace(DEALERS, outages=(outage(12 * HOUR, 14 * HOUR, Failure.UNAVAILABLE),)),
            id="a long outage with 503",
        ),
        pytest.param(
            replace(MACHINES, outages=(outage(2 * HOUR, HOUR, Failure.TOO_MANY_REQUESTS),)),
            id="one hour and 429",
        ),
        pytest.param(replace(SHORT, late=timedelta(seconds=30)), id="half an hour, late ticks"),
        pytest.param(CONSENTS, id="refresh tokens that end"),
    ],
)
def test_what_is_passed_over_changes_nothing(fleet: Fleet) -> None:
    everything = asdict(Simulation(fleet, passes_over=False).run())
    shortened = asdict(Simulation(fleet).run())

    assert shortened.pop("sweeps") < everything.pop("sweeps") == everything["ticks"] - 1
    assert shortened == everything


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """Draw an account in any state that its two secrets can be in."""

    def version() -> str:
        issued_at = NOW + timedelta(seconds=draw(st.integers(-3 * 86_400, 0)))
        lives = timedelta(seconds=draw(st.integers(-60, 3 * 86_400)))
        digest = draw(st.sampled_from([digest12("v1"), digest12("v0")]))
        return str(TokenVersion(issued_at, issued_at + lives, digest, "0" * 12))

    stages = {stage: version() for stage in draw(st.sets(st.sampled_from([CURRENT, PREVIOUS])))}
    credentials = {CURRENT: "v1"}
    if draw(st.booleans()):
        credentials[JOURNAL_STAGE] = version()
    tags = {}
    if draw(st.booleans()):
        since, next_attempt, brought_forward_at, grant_ends_at = (
            NOW + timedelta(seconds=draw(SECONDS)) for _ in range(4)
        )
        digest = draw(st.sampled_from([digest12("v1"), digest12("v0")]))
        count = draw(st.integers(0, 3))
        failure = FailureRecord(
            FailureClass.TRANSIENT, "timeout", count, since, next_attempt, digest
        )
        tags = {
            FAILURE_TAG: failure.to_tag(),
            REFUSALS_TAG: Refusals(count, brought_forward_at, digest).to_tag(),
            GRANT_EXPIRES_AT_TAG: GrantLifetime(grant_ends_at, DAY).to_tag(),
        }
    return account_from_metadata(
        "dealer-17",
        credentials=SecretMetadata(credentials),
        token=SecretMetadata(stages, tags),
        now=NOW,
    )


@given(accounts(), st.integers(0, 6 * 86_400))
def test_no_account_is_due_before_it_is_looked_at(account: Account, seconds: int) -> None:
    wake, later = wakes_at(account, now=NOW), NOW + timedelta(seconds=seconds)

    if decide(account, now=later, refresh_before=REFRESH_BEFORE).due:
        assert wake is not None
        assert wake <= later


def test_the_same_fleet_gives_the_same_figures() -> None:
    fleet = replace(MACHINES, outages=(outage(2 * HOUR, HOUR),))

    assert asdict(Simulation(fleet).run()) == asdict(Simulation(fleet).run())


# The model of time.


@given(st.lists(st.floats(0, 2), min_size=1, max_size=100))
def test_writes_wait_for_their_turn_as_the_program_lets_them_wait(moments: list[float]) -> None:
    time = Timelines(workers=1, refresh_seconds=1)
    pace = Pace(monotonic=time.monotonic, sleep=time.wait)
    slots = Slots(1 / WRITES_PER_SECOND)
    for moment in sorted(moments):
        time.now = moment
        pace.wait()
        # Slots begin at fixed moments, the program's turns with the write that comes first.
        assert slots.book(moment) == pytest.approx(time.now, abs=1 / WRITES_PER_SECOND + 1e-6)


def test_a_slot_that_is_free_earlier_is_not_passed_by() -> None:
    slots = Slots(1)

    assert [slots.book(second) for second in (5, 5, 2, 5, 2.5)] == [5, 6, 2, 7, 3]


def test_an_account_is_taken_by_the_worker_that_is_free_first() -> None:
    time = Timelines(workers=2, refresh_seconds=1)
    time.begin_sweep(0, invocation=timedelta(seconds=60))
    time.start_workers()
    began = []
    for seconds in (10, 1, 1, 1):
        time.begin_account()
        began.append(time.now)
        time.wait(seconds)

    assert began == [0, 0, 1, 2]
    assert time.swept_until == 10


def test_more_workers_finish_sooner_until_writes_are_what_they_wait_for() -> None:
    fleet = replace(DEALERS, accounts=200, is_in_step=True, duration=11 * HOUR)
    took = [
        Simulation(replace(fleet, max_workers=workers)).run().longest_sweep_seconds
        for workers in (1, 4, 16)
    ]

    assert took[0] > 3 * took[1] > 3 * took[2]
    # Three writes each.
    assert took[2] > 200 * 3 / WRITES_PER_SECOND


# Secrets Manager and the endpoint.


def test_versions_of_a_day_are_counted_in_what_as_many_at_their_pace_span() -> None:
    secret = SimulatedSecret()

    assert [secret.count_version(at=second) for second in (0, 1, 600, 85_799)] == [1, 2, 3, 4]
    assert secret.count_version(at=85_800) == 4


def test_a_listing_tells_what_was_so_some_minutes_ago() -> None:
    secret = SimulatedSecret()
    for number, at in ((1, 100), (2, 200)):
        secret.put(f"version-{number}", "", [CURRENT])
        secret.changed(at=at)

    assert [secret.metadata_at(at).stages.get(CURRENT) for at in (99, 199, 200)] == [
        None,
        "version-1",
        "version-2",
    ]


def test_a_firewall_that_closes_is_noticed_and_waited_for() -> None:
    wall = Firewall(requests=100, window=5 * MINUTE, block=30 * MINUTE)
    fleet = replace(MACHINES, accounts=150, is_in_step=True, firewall=wall, duration=2 * HOUR)
    record = Simulation(fleet).run()

    assert record.blocks > 0
    assert record.dead_seconds > 0


# What consumers meet.


def test_dead_seconds_are_those_between_expiry_and_the_last_caches_end() -> None:
    one = replace(DEALERS, accounts=1, is_in_step=True, duration=DAY)
    long = outage(one.lifetime - one.margin, 3 * HOUR)
    simulation = Simulation(replace(one, outages=(long,)))
    expires_at = next(iter(simulation._expires_at.values()))  # noqa: SLF001 - drawn by lot
    cost = simulation.run().costs[1]
    assert cost.recovered_seconds is not None
    published_at = long.ends_at + cost.recovered_seconds

    assert cost.lost_seconds == pytest.approx(published_at + CACHE.total_seconds() - expires_at)
    assert timedelta(seconds=cost.lost_seconds) > 3 * HOUR - one.margin


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("fleet", [DEALERS, MACHINES], ids=["dealers", "machines"])
def test_an_outage_within_the_bound_costs_nothing(fleet: Fleet, failure: Failure) -> None:
    in_step = replace(fleet, accounts=50, is_in_step=True, duration=14 * HOUR)
    length = fleet.bound - timedelta(seconds=1)
    hit = outage(fleet.lifetime - fleet.margin, length, failure)
    record = Simulation(replace(in_step, outages=(hit,))).run()

    assert record.published > 0
    assert record.dead_seconds == 0


def test_five_short_outages_in_a_day_do_not_cost_a_refresh_only_account_its_grant() -> None:
    one = replace(MACHINES, accounts=1, grant=Grant.CONSENT, is_in_step=True, duration=2 * DAY)
    # Each meets one refresh, and delays those after it by a tick.
    short = tuple(
        outage(DAY + number * (2 * HOUR + TICK), 4 * MINUTE, Failure.UNAVAILABLE)
        for number in range(5)
    )
    record = Simulation(replace(one, outages=short)).run()

    assert record.need_action == 0
    assert record.dead_seconds == 0


# Stories.


@pytest.mark.parametrize("grant", [Grant.CONSENT, Grant.DEALER])
def test_thirty_minute_tokens_with_refresh_tokens_never_die_undisturbed(grant: Grant) -> None:
    record = Simulation(replace(SHORT, grant=grant, duration=DAY + HOUR)).run()

    assert record.published > 12 * 24 * 2
    assert record.dead_seconds == record.expired_seconds == 0
    assert record.most_versions == {"credentials": MOST_VERSIONS_A_DAY, "token": 72}


def test_twenty_minute_tokens_without_refresh_tokens_never_die_undisturbed() -> None:
    record = Simulation(replace(SHORT, lifetime=20 * MINUTE, duration=DAY + HOUR)).run()

    assert record.published > 12 * 24 * 3
    assert record.dead_seconds == record.expired_seconds == 0
    assert record.most_versions == {"credentials": 0, "token": MOST_VERSIONS_A_DAY}


def test_a_week_that_loses_a_second_undisturbed_breaks_its_promise() -> None:
    undisturbed, *disturbed = weeks(accounts=1, duration=DAY)[:3]
    record = Simulation(undisturbed.fleet).run()
    assert not undisturbed.is_broken_by(record)

    record.costs[0].lose("dealer-17", 1)

    assert undisturbed.is_broken_by(record)
    assert not any(each.is_broken_by(record) for each in disturbed)


@pytest.mark.parametrize("failure", [each for each in Failure if each is not Failure.PAGE])
def test_a_refresh_only_account_lives_through_what_ends_twenty_minutes_before_its_token(
    failure: Failure,
) -> None:
    # The token is due after half its life, an hour, and a minute at most has passed by then.
    life, begins_at = 2 * HOUR, 55 * MINUTE
    one = Fleet(accounts=3, lifetime=life, grant=Grant.CONSENT, duration=4 * HOUR, is_in_step=True)
    ends_at = life - TICK - (15 * MINUTE + TICK)
    hit = outage(begins_at, ends_at - begins_at, failure)
    record = Simulation(replace(one, outages=(hit,))).run()

    assert record.expired_seconds == 0
    assert record.published >= 3 * 2


@pytest.mark.parametrize("grant", [Grant.CONSENT, Grant.DEALER], ids=["refresh-only", "dealer"])
@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_longer_outage_there_is_a_token_in_time(grant: Grant, failure: Failure) -> None:
    fleet = Fleet(accounts=6, lifetime=HOUR, grant=grant, duration=8 * HOUR)
    hit = outage(2 * HOUR, 5 * HOUR, failure)
    record = Simulation(replace(fleet, outages=(hit,))).run()
    cost = record.costs[1]

    assert len(cost.expired_seconds) == 6
    assert cost.late == 0
    assert 0 < cost.without_token_seconds <= fleet.recovery.total_seconds() + MINUTE.total_seconds()
    assert not record.writes_too_much


def test_an_outage_that_is_recovered_from_too_late_breaks_the_promise() -> None:
    lasted = lasting(accounts=2)[0]
    records = [Simulation(fleet).run() for fleet in lasted.fleets[:2]]
    short = replace(lasted, fleets=lasted.fleets[:2])
    assert not short.is_broken_by(records)

    records[1].costs[1].late = 1

    assert short.is_broken_by(records)


@pytest.mark.parametrize("workers", [1, 16])
@pytest.mark.parametrize(
    ("accounts", "neighbours"),
    [
        pytest.param(30, wrong_path(Failure.NOT_FOUND), id="a page at a wrong path"),
        pytest.param(30, wrong_path(Failure.NOT_FOUND_JSON), id="JSON at a wrong path"),
        pytest.param(
            8,
            Neighbours(
                accounts=1, failure=Failure.PAGE, token_endpoint=TOKEN_ENDPOINT, is_edited=True
            ),
            id="edited",
        ),
        pytest.param(
            10, Neighbours(accounts=60, tokens=Tokens.ENDING, failure=Failure.SILENT), id="hung"
        ),
        pytest.param(
            10, Neighbours(accounts=60, tokens=Tokens.ENDING, failure=Failure.SLOW_ERROR), id="slow"
        ),
        pytest.param(10, Neighbours(accounts=200, tokens=Tokens.EXTERNAL), id="external versions"),
    ],
)
def test_no_healthy_account_loses_a_second_to_its_neighbours(
    accounts: int, neighbours: Neighbours, workers: int
) -> None:
    elsewhere = neighbours.failure in {Failure.SILENT, Failure.SLOW_ERROR}
    if elsewhere:
        neighbours = replace(neighbours, token_endpoint="https://other.example.com/token")
    fleet = replace(
        MACHINES,
        accounts=accounts,
        duration=100 * MINUTE,
        max_workers=workers,
        neighbours=(neighbours,),
        has_failed_once=elsewhere,
    )
    records = live(Neighbourhood("", fleet))

    assert records[0].published >= accounts
    assert not Neighbourhood.is_broken_by(records)


def test_a_healthy_account_that_is_two_sweeps_late_breaks_the_promise() -> None:
    def record(latest: timedelta) -> Record:
        versions = {"credentials": 0, "token": 2}
        latest_seconds = latest.total_seconds()
        return Record([Cost(None)], latest_seconds=latest_seconds, most_versions=versions)

    alone = record(TICK)

    assert not Neighbourhood.is_broken_by((record(2 * TICK), alone))
    assert Neighbourhood.is_broken_by((record(2 * TICK + MINUTE), alone))


def test_workers_that_are_threads_do_what_time_lines_do_and_are_alike() -> None:
    fleet = replace(DEALERS, is_in_step=True, duration=14 * HOUR)
    one_by_one = Simulation(fleet, passes_over=False).run()
    threads, again = (
        Simulation(fleet, passes_over=False, has_threads=True).run() for _ in range(2)
    )

    assert asdict(threads) == asdict(again)
    assert threads.published == one_by_one.published
    assert threads.longest_sweep_seconds == pytest.approx(one_by_one.longest_sweep_seconds, abs=1)


def test_a_token_that_nobody_replaces_is_dead_until_the_end() -> None:
    forever = replace(MACHINES, accounts=1, outages=(outage(MINUTE, 2 * DAY),))
    record = Simulation(forever).run()

    assert record.published == 0
    assert timedelta(seconds=record.dead_seconds) > forever.duration - forever.lifetime


def test_what_only_a_person_can_fix_is_reported_and_fixed() -> None:
    story = tell(mishaps()[0])

    assert len(story.reported) == len(story.fresh_again) == mishaps()[0].fleet.accounts
    assert max(story.dead_seconds) == 0


def test_only_a_loss_within_the_bound_breaks_it() -> None:
    scenario = Scenario((DEALERS,))
    before, within, beyond = (
        Cost(None),
        Cost(outage(HOUR, DEALERS.bound - MINUTE)),
        Cost(outage(DAY, DEALERS.bound)),
    )

    def broken(*hit: Cost) -> list[bool]:
        for cost in (before, within, beyond):
            cost.dead_seconds.clear()
        for cost in hit:
            cost.lose("dealer-17", 0.5)
        rows = rows_of(scenario, [Record([before, within, beyond])])
        return [row.breaks_the_bound for row in rows]

    assert broken(beyond) == [False, False, False]
    assert broken(within) == [False, True, False]
    assert broken(before) == [True, False, False]


# The document.


def table(columns: tuple[str, ...]) -> list[list[str]]:
    """Read the cells of the document's table that has these columns."""
    lines = DOCUMENT.read_text(encoding="utf-8").split("\n")
    begins = lines.index(line(*columns))
    ends = lines.index("", begins)
    rows = [each.strip("| ").split(" | ") for each in lines[begins + 2 : ends]]
    assert {len(row) for row in rows} == {len(columns)}
    return rows


def test_the_documents_rows_are_the_scenarios_with_the_bounds_of_the_policy() -> None:
    expected = []
    for scenario in (*scenarios.small(), *scenarios.large()):
        fleet = scenario.fleets[0]
        bound = min(REFRESH_BEFORE, fleet.lifetime / 2) - 2 * (TICK + fleet.late) - CACHE
        lengths = [each.length for one in scenario.fleets for each in one.outages]
        expected += [
            [
                label(scenario),
                duration(fleet.lifetime),
                duration(length),
                str(lengths.count(length)),
                duration(max(bound, timedelta(0))),
                "yes" if length < bound else "no",
            ]
            for length in sorted(set(lengths))
        ]

    assert [row[:6] for row in table(OUTAGE_COLUMNS)] == expected


def test_the_document_shows_no_loss_within_a_bound() -> None:
    within = [row for row in table(OUTAGE_COLUMNS) if row[5] == "yes"]

    assert within
    assert {tuple(row[6:10]) for row in within} == {("0", "0", "0", "100 %")}


def test_the_document_shows_no_promise_that_was_not_kept() -> None:
    kept = [
        row[-1] for of in (LASTING_COLUMNS, WEEK_COLUMNS, NEIGHBOUR_COLUMNS) for row in table(of)
    ]

    assert set(kept) == {"yes"}


def test_the_document_shows_the_load_of_every_scenario_and_every_mishap() -> None:
    planned = (*scenarios.small(), *scenarios.large())

    assert [row[0] for row in table(LOAD_COLUMNS)] == [label(scenario) for scenario in planned]
    assert [row[0] for row in table(STORY_COLUMNS)] == [mishap.name for mishap in mishaps()]
    assert [row[2] for row in table(LASTING_COLUMNS)] == [each.failure.words for each in lasting()]
    assert [row[0] for row in table(NEIGHBOUR_COLUMNS)] == [each.name for each in neighbourhoods()]
    assert len(table(WEEK_COLUMNS)) == len(weeks())
    assert DOCUMENT.read_text(encoding="utf-8").count(BEGIN) == 1
    assert DOCUMENT.read_text(encoding="utf-8").count(END) == 1


def test_the_picture_is_well_formed_and_shown() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    names = re.findall(r"!\[.+\]\((.+)\)", DOCUMENT.read_text(encoding="utf-8"))

    # S314: it is our own file.
    assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314
    assert [DOCUMENT.parent / name for name in names] == [PICTURE]


def test_the_picture_is_what_the_table_says() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw(points_of(DOCUMENT.read_text("utf-8")))


def test_the_picture_has_a_curve_and_a_line_of_the_legend_for_each_lifetime() -> None:
    records = [Record([Cost(None), Cost(outage(HOUR, length))]) for length in (HOUR, DAY)]
    scenarios = (Scenario((replace(fleet, accounts=1000),) * 2) for fleet in (DEALERS, MACHINES))
    rows = [row for scenario in scenarios for row in rows_of(scenario, records)]
    points = points_of("\n".join(["", "### Outages", "", *outage_table(rows)]))

    assert [(point.lifetime, point.outage) for point in points] == [
        ("12 h", "1 h"),
        ("12 h", "1 d"),
        ("1 h", "1 h"),
        ("1 h", "1 d"),
    ]
    picture = ET.fromstring(draw(points))  # noqa: S314
    groups = [each.get("class") for each in picture.iter("{http://www.w3.org/2000/svg}g")]
    assert groups == ["curve-0", "curve-1", "curve-0", "curve-1"]


def test_the_curves_differ_in_colour_by_day_and_night_in_dashes_and_in_marks() -> None:
    for of in ("light", "dark", "dashes", "mark"):
        assert len({getattr(style, of) for style in STYLES}) == len(STYLES)


def test_the_picture_has_colours_where_stylesheets_and_variables_are_not_known() -> None:
    picture = ET.fromstring(PICTURE.read_text(encoding="utf-8"))  # noqa: S314
    for each in picture.iter("{http://www.w3.org/2000/svg}path"):
        assert "currentColor" in {each.get("stroke"), each.get("fill")}
    assert "var(" not in PICTURE.read_text(encoding="utf-8")
