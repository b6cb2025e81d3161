"""Every alarm goes off when it should and only then, and is of a metric that is really emitted."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.emulator.alarms import ALARM, INSUFFICIENT_DATA, OK, next_state, windows
from tests.deployment.alarm_stories import (
    ALARMS,
    CONDITIONS,
    SCHEDULES,
    SILENT,
    WRONG,
    Run,
    alarms,
    dimensions_of,
    happen,
    leaves,
    without_warm_up,
)
from tools import templates
from tools.templates import MONITORING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def run(_built: str) -> Run:
    return happen()


# The copy


def parsed(template: str, directory: Path) -> dict[tuple[str, ...], Any]:
    path = directory / "monitoring.yaml"
    path.write_text(template)
    return dict(leaves(templates.load(path)))


def test_the_copy_without_warm_up_differs_in_nothing_else(tmp_path: Path) -> None:
    original = dict(leaves(templates.load(MONITORING)))
    copy = parsed(without_warm_up(MONITORING.read_text()), tmp_path)
    assert copy.items() <= original.items()
    missing = original.keys() - copy.keys()
    assert {(path[1], path[3]) for path in missing} == {("NoSweepCompleted", "WarmUpConfiguration")}


def test_a_period_is_a_tick_of_the_schedule_that_is_deployed() -> None:
    periods = {name: alarm["Period"] for name, alarm in ALARMS.items()}
    assert periods.pop("EventsFailed") == 3 * 15 * 60
    assert set(periods.values()) == {15 * 60}


# Going off


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_rings_when_what_it_is_for_has_happened(run: Run, alarm: str) -> None:
    expected = {name for name, condition in CONDITIONS.items() if alarm in condition.alarms}
    assert expected, "nothing drives the deployed program into what this alarm is for"
    assert {name for name, each in run.stories.items() if alarm in each.went_off} == expected


@pytest.mark.parametrize("alarm", ALARMS)
def test_its_subscriber_is_told_and_told_when_it_is_over(run: Run, alarm: str) -> None:
    for name, each in run.stories.items():
        if alarm in CONDITIONS[name].alarms:
            assert each.history[alarm][-2:] == [ALARM, OK], name
            assert each.told[alarm][-2:] == [ALARM, OK], name


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_happened_rings_these_alarms_and_no_other(run: Run, condition: str) -> None:
    assert run.stories[condition].went_off == CONDITIONS[condition].alarms


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_is_silent_otherwise(run: Run, alarm: str) -> None:
    silent = {name for name, each in CONDITIONS.items() if alarm not in each.alarms}
    assert silent >= set(SILENT)
    for name in silent:
        story = run.stories[name]
        assert set(story.history[alarm]) <= {OK, INSUFFICIENT_DATA}, name
        assert ALARM not in story.told[alarm], name


@pytest.mark.parametrize("condition", SILENT)
def test_nobody_is_called_for_nothing(run: Run, condition: str) -> None:
    told = run.stories[condition].told.values()
    assert not any(ALARM in states for states in told)


def test_a_fresh_stack_waits_for_its_first_sweep(run: Run) -> None:
    seen = run.stories["fresh"].seen
    assert seen["sweeps before"] is None
    assert seen["before any sweep"]["NoSweepCompleted"] == INSUFFICIENT_DATA
    assert run.stories["fresh"].history["NoSweepCompleted"][-1] == OK


def test_without_its_warm_up_a_fresh_stack_would_ring(run: Run) -> None:
    assert run.stories["not-warmed-up"].went_off == {"NoSweepCompleted"}


def test_the_quiet_stack_has_what_nobody_is_called_for(run: Run) -> None:
    summary = run.stories["quiet"].seen["summary"]
    assert summary["accounts_managed"] == summary["outcomes"]["fresh"] == 3
    assert summary["accounts_awaiting_credentials"] == summary["tokens_orphaned"] == 1


def test_what_is_borne_once_did_happen(run: Run) -> None:
    worst = run.stories["missed-once"].seen
    assert worst["FunctionNearsItsTimeout"] > float(ALARMS["FunctionNearsItsTimeout"]["Threshold"])
    counts = [worst[alarm] for alarm in worst if alarm != "FunctionNearsItsTimeout"]
    assert counts == [1, 1, 1, 1]


# Metrics

RATES: Final = [
    "Count",
    *(
        f"{size}{unit}"
        for size in ("", "Kilo", "Mega", "Giga", "Tera")
        for unit in ("bits", "bytes")
    ),
]
# As CloudWatch's MetricDatum spells them.
UNITS: Final = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "None"),
    *(rate.capitalize() for rate in RATES),
    *(f"{rate.capitalize()}/Second" for rate in RATES),
}
YEAR_2100_MILLISECONDS: Final = 4_102_444_800_000


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: object, *, longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest


def faults(document: dict[str, Any]) -> Iterator[str]:
    """Tell what the specification of the embedded metric format does not allow in a document."""
    metadata = document["_aws"]
    timestamp = metadata.get("Timestamp")
    if type(timestamp) is not int or not 0 < timestamp < YEAR_2100_MILLISECONDS:
        yield "Timestamp is no milliseconds"
    directives = metadata.get("CloudWatchMetrics")
    if not isinstance(directives, list) or not directives:
        yield "CloudWatchMetrics is no list"
        return
    for directive in directives:
        if not is_text(directive.get("Namespace"), longest=255):
            yield "Namespace is no name"
        yield from faults_of_dimensions(document, directive.get("Dimensions"))
        yield from faults_of_metrics(document, directive.get("Metrics"))


def faults_of_dimensions(document: dict[str, Any], sets: Any) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(sets, list) or not sets or not all(isinstance(each, list) for each in sets):
        yield "Dimensions is no list of lists"
        return
    for names in sets:
        if len(names) > 30:
            yield "more than 30 dimensions"
        for name in names:
            if not is_text(name, longest=250):
                yield "a dimension has no name"
            elif not is_text(document.get(name), longest=1024):
                yield f"dimension {name} is no text"


def faults_of_metrics(document: dict[str, Any], metrics: Any) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(metrics, list) or not 1 <= len(metrics) <= 100:
        yield "not 1 to 100 metrics"
        return
    for metric in metrics:
        name = metric.get("Name")
        if not is_text(name, longest=255):
            yield "a metric has no name"
            continue
        if metric.get("Unit", "None") not in UNITS:
            yield f"metric {name} has no unit of CloudWatch's"
        if metric.get("StorageResolution", 60) not in (1, 60):
            yield f"metric {name} is stored with no resolution of CloudWatch's"
        value = document.get(name)
        values = value if isinstance(value, list) else [value]
        if not 1 <= len(values) <= 100 or not all(map(is_number, values)):
            yield f"metric {name} has no values"


def refuse(constant: str) -> float:
    raise ValueError(constant)


def embedded(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines of a log that are meant to hold metrics."""
    for line in lines:
        if '"_aws"' in line:
            yield json.loads(line, parse_constant=refuse)


def emitted(lines: Iterable[str]) -> Iterator[tuple[str, str, frozenset[tuple[str, str]]]]:
    """Each metric of a log: its namespace, its name, its dimensions."""
    for document in embedded(lines):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, document[name]) for name in names)
                for metric in directive["Metrics"]:
                    yield directive["Namespace"], metric["Name"], dimensions


def test_every_line_with_metrics_is_valid(run: Run) -> None:
    documents = [each for story in run.stories.values() for each in embedded(story.lines)]
    assert Counter(fault for each in documents for fault in faults(each)) == {}
    assert len(documents) > len(CONDITIONS)


VALID: Final[dict[str, Any]] = {
    "_aws": {
        "Timestamp": 1_795_528_800_000,
        "CloudWatchMetrics": [
            {
                "Namespace": "TokenRefresher",
                "Dimensions": [["service"]],
                "Metrics": [{"Name": "MarginUsed", "Unit": "Percent"}],
            }
        ],
    },
    "service": "token-refresher",
    "MarginUsed": [0.0, 12.5],
}


def test_the_example_is_valid() -> None:
    assert list(faults(VALID)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("1795528800000", "1795528800.5", id="a moment with fractions"),
        pytest.param('[["service"]]', "[]", id="no set of dimensions"),
        pytest.param('[["service"]]', '["service"]', id="dimensions that are no set"),
        pytest.param('[["service"]]', '[["account"]]', id="a dimension that is not there"),
        pytest.param('"token-refresher"', "17", id="a dimension that is a number"),
        pytest.param('"Percent"', '"percent"', id="a unit that does not exist"),
        pytest.param("[0.0, 12.5]", "true", id="a value that is no number"),
        pytest.param("[0.0, 12.5]", f"{[0] * 101}", id="more than 100 values"),
        pytest.param('"Name": "MarginUsed"', '"Name": "Margin"', id="a value that is not there"),
    ],
)
def test_what_is_not_valid_is_noticed(right: str, wrong: str) -> None:
    text = json.dumps(VALID)
    assert text.count(right) == 1
    assert list(faults(json.loads(text.replace(right, wrong)))) != []


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_watches_a_metric_that_its_function_emits(run: Run, alarm: str) -> None:
    for name, condition in CONDITIONS.items():
        story = run.stories[name]
        deployed = story.alarms[alarm]
        watched = (deployed["Namespace"], deployed["MetricName"], dimensions_of(deployed))
        if alarm in condition.alarms:
            assert watched in story.stored, name
            if deployed["Namespace"] != "AWS/Lambda":
                assert watched in set(emitted(story.lines)), name


def test_the_namespaces_are_the_programs_and_lambdas() -> None:
    assert {each["Namespace"] for each in ALARMS.values()} == {"TokenRefresher", "AWS/Lambda"}


def test_no_line_of_a_log_holds_a_secret(run: Run) -> None:
    kinds = ("secret-of-", "password-of-", "old-token-of-", WRONG)
    assert all(any(secret.startswith(kind) for secret in run.secrets) for kind in kinds)
    log = "\n".join(line for story in run.stories.values() for line in story.lines)
    assert log.count('"account"') > 3
    assert [secret for secret in run.secrets if secret in log] == []


# The template's own numbers, by the same rules


def goes_off_after(
    alarm: dict[str, Any], ticks: dict[int, float], *, within: timedelta
) -> int | None:
    """Tell in which second an alarm, looked at each minute, goes off; None if it does not.

    Args:
        alarm: Its properties.
        ticks: One value each, by the second it comes in.
        within: For how long it is looked at. It was silent before.
    """
    statistic: Callable[[list[float]], float] = sum if alarm["Statistic"] == "Sum" else max
    state: Any = {
        "Threshold": 0,
        **alarm,
        "StateValue": OK,
        "AlarmConfigurationUpdatedTimestamp": 0,
    }
    for now in range(0, int(within.total_seconds()) + 1, 60):
        values = [
            statistic(found) if found else None
            for after, until in windows(state, now=now)
            for found in [[value for at, value in ticks.items() if after < at <= until]]
        ]
        if next_state(state, values, now=now) == ALARM:
            return now
    return None


# A token is due so long before its expiry.
REFRESH_BEFORE: Final = timedelta(minutes=90)
# Of presence; the other one is of absence.
OF_VALUES: Final = sorted(ALARMS.keys() - {"NoSweepCompleted"})


def ticks_of(minutes: str, *, first: int, last: int) -> list[int]:
    """The seconds in which some ticks end, each a little late or early."""
    return [number * 60 * int(minutes) + number * 17 % 40 - 20 for number in range(first, last + 1)]


@pytest.mark.parametrize("minutes", SCHEDULES)
@pytest.mark.parametrize("alarm", OF_VALUES)
def test_an_alarm_rings_within_the_margin_when_tick_after_tick_breaches(
    alarm: str, minutes: str
) -> None:
    watched = alarms(ScheduleMinutes=minutes)[alarm]
    # Each tick fails, is dropped, is throttled or has an account at most once.
    value = float(watched["Threshold"]) if watched["Statistic"] == "Maximum" else 1.0
    ticks = dict.fromkeys(ticks_of(minutes, first=0, last=90), value)
    assert goes_off_after(watched, ticks, within=REFRESH_BEFORE) is not None


@pytest.mark.parametrize("minutes", SCHEDULES)
@pytest.mark.parametrize("alarm", sorted({*OF_VALUES} - {"ActionRequired"}))
def test_an_alarm_bears_one_tick_that_breaches(alarm: str, minutes: str) -> None:
    watched = alarms(ScheduleMinutes=minutes)[alarm]
    value = float(watched["Threshold"]) if watched["Statistic"] == "Maximum" else 1.0
    alone = {0: value}
    among_good_ones = {**dict.fromkeys(ticks_of(minutes, first=-90, last=90), 0.0), **alone}
    for ticks in (alone, among_good_ones):
        assert goes_off_after(watched, ticks, within=REFRESH_BEFORE) is None


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_the_end_of_all_sweeps_is_told_before_a_token_that_was_due_expires(minutes: str) -> None:
    watched = alarms(ScheduleMinutes=minutes)["NoSweepCompleted"]
    ticks = dict.fromkeys(ticks_of(minutes, first=-90, last=0), 1.0)
    seconds = goes_off_after(watched, ticks, within=2 * REFRESH_BEFORE)
    assert seconds is not None
    assert timedelta(seconds=seconds) < REFRESH_BEFORE


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_one_sweep_that_is_missing_wakes_nobody_up(minutes: str) -> None:
    watched = alarms(ScheduleMinutes=minutes)["NoSweepCompleted"]
    ticks = dict.fromkeys(ticks_of(minutes, first=-90, last=90), 1.0)
    del ticks[ticks_of(minutes, first=2, last=2)[0]]
    assert goes_off_after(watched, ticks, within=REFRESH_BEFORE) is None
