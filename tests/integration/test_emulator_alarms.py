"""Alarms of the embedded cloud go off when AWS's would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.emulator.alarms import ALARM, INSUFFICIENT_DATA, OK, Alarm, next_state, windows
from tests.integration.test_embedded_cloud import within

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud

SECONDS = 60.0  # only a defect takes as long
NOW = 1_795_528_800
SERVICE = [{"Name": "service", "Value": "token-refresher"}]
BREACHING, WITHIN = 9.0, 0.0


def alarm(**changes: Any) -> Alarm:  # noqa: ANN401
    """Describe an alarm above 5, as ministack records it."""
    record: Any = {
        "AlarmName": "a",
        "Namespace": "TokenRefresher",
        "MetricName": "MarginUsed",
        "Dimensions": SERVICE,
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "missing",
        "AlarmConfigurationUpdatedTimestamp": NOW,
        "StateValue": INSUFFICIENT_DATA,
        "StateReason": "",
        "StateUpdatedTimestamp": NOW,
        **changes,
    }
    return record  # type: ignore[no-any-return]


def datapoints(drawn: str) -> list[float | None]:
    """Read datapoints as AWS draws them, the oldest first: 0, X, and - where one is missing."""
    return [{"0": WITHIN, "X": BREACHING, "-": None}[mark] for mark in reversed(drawn.split())]


KEPT = "the state it was in"


# The tables of AWS's guide to alarms and missing data, row by row.
@pytest.mark.parametrize(
    ("to_alarm", "drawn", "missing", "ignore", "breaching", "not_breaching"),
    [
        (3, "0 - X - X", OK, OK, OK, OK),
        (3, "0 - - - -", OK, OK, OK, OK),
        (3, "- - - - -", INSUFFICIENT_DATA, KEPT, ALARM, OK),
        (3, "0 X X - X", ALARM, ALARM, ALARM, ALARM),
        (3, "- - - - X", INSUFFICIENT_DATA, KEPT, ALARM, OK),
        (3, "X - - - -", ALARM, KEPT, ALARM, OK),
        (2, "0 - X - X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", OK, OK, ALARM, OK),
        (2, "- - - - 0", OK, OK, ALARM, OK),
        (2, "- - - - X", INSUFFICIENT_DATA, KEPT, ALARM, OK),
    ],
)
def test_missing_data_is_treated_as_aws_documents_it(
    to_alarm: int, drawn: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    def state(treated_as: str) -> str:
        settings = {"DatapointsToAlarm": to_alarm, "TreatMissingData": treated_as}
        record = alarm(**settings, StateValue=KEPT)
        return next_state(record, datapoints(drawn), now=NOW)

    assert [state("missing"), state("ignore"), state("breaching"), state("notBreaching")] == [
        missing,
        ignore,
        breaching,
        not_breaching,
    ]


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        ("GreaterThanThreshold", 5.0, OK),
        ("GreaterThanThreshold", 5.1, ALARM),
        ("GreaterThanOrEqualToThreshold", 5.0, ALARM),
        ("LessThanThreshold", 5.0, OK),
        ("LessThanThreshold", 4.9, ALARM),
        ("LessThanOrEqualToThreshold", 5.0, ALARM),
    ],
)
def test_the_threshold_itself_breaches_only_or_equal_to_it(
    comparison: str, value: float, expected: str
) -> None:
    record = alarm(EvaluationPeriods=1, ComparisonOperator=comparison)
    assert next_state(record, [value, None, None], now=NOW) == expected


def test_the_newest_datapoints_decide_when_there_are_enough() -> None:
    record = alarm(EvaluationPeriods=1)
    assert next_state(record, datapoints("X X 0"), now=NOW) == OK


def test_the_windows_end_now_and_reach_two_periods_beyond() -> None:
    periods = windows(alarm(EvaluationPeriods=1), now=NOW)
    assert periods == [(NOW - 60, NOW), (NOW - 120, NOW - 60), (NOW - 180, NOW - 120)]


FIVE_MINUTES = {"WarmUpPeriodDurationInMinutes": 5}


@pytest.mark.parametrize(
    ("changes", "drawn", "minutes", "expected"),
    [
        pytest.param(
            {"WarmUpConfiguration": FIVE_MINUTES},
            "- - - - -",
            4,
            INSUFFICIENT_DATA,
            id="nothing came yet",
        ),
        pytest.param(
            {"WarmUpConfiguration": FIVE_MINUTES}, "- - - - -", 5, ALARM, id="nothing came in time"
        ),
        pytest.param(
            {"WarmUpConfiguration": FIVE_MINUTES},
            "- - - X X",
            4,
            INSUFFICIENT_DATA,
            id="too little came yet",
        ),
        pytest.param(
            {"WarmUpConfiguration": FIVE_MINUTES}, "- - X X X", 3, ALARM, id="enough came early"
        ),
        pytest.param(
            {"WarmUpConfiguration": FIVE_MINUTES, "StateValue": OK},
            "- - - - -",
            4,
            ALARM,
            id="it had ended before",
        ),
    ],
)
def test_an_alarm_that_warms_up_waits_for_data(
    changes: dict[str, Any], drawn: str, minutes: int, expected: str
) -> None:
    record = alarm(TreatMissingData="breaching", **changes)
    assert next_state(record, datapoints(drawn), now=NOW + 60 * minutes) == expected


def states(cloud: EmbeddedCloud) -> dict[str, str]:
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}


def become(cloud: EmbeddedCloud, expected: dict[str, str]) -> bool:
    return within(SECONDS, lambda: states(cloud) == expected)


OF_SILENCE: Any = {
    "AlarmName": "sweeps are missing",
    "Namespace": "TokenRefresher",
    "MetricName": "SweepsCompleted",
    "Dimensions": SERVICE,
    "Statistic": "Sum",
    "Period": 300,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 1,
    "ComparisonOperator": "LessThanThreshold",
    "TreatMissingData": "breaching",
    "WarmUpConfiguration": FIVE_MINUTES,
}
WITHOUT_WARM_UP: Any = {**OF_SILENCE, "AlarmName": "without warm-up"}
del WITHOUT_WARM_UP["WarmUpConfiguration"]


def test_an_alarm_of_a_template_keeps_all_its_settings(cloud: EmbeddedCloud) -> None:
    resources = {
        name: {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}
        for name, properties in (("Warm", OF_SILENCE), ("Cold", WITHOUT_WARM_UP))
    }
    cloud.client("cloudformation").create_stack(
        StackName="s", TemplateBody=json.dumps({"Resources": resources})
    )
    assert become(cloud, {"sweeps are missing": INSUFFICIENT_DATA, "without warm-up": ALARM})
    (described,) = cloud.client("cloudwatch").describe_alarms(AlarmNames=["sweeps are missing"])[
        "MetricAlarms"
    ]
    assert {name: described[name] for name in OF_SILENCE} == OF_SILENCE


def test_an_alarm_that_is_put_keeps_its_warm_up(cloud: EmbeddedCloud) -> None:
    for each in (OF_SILENCE, WITHOUT_WARM_UP):
        cloud.client("cloudwatch").put_metric_alarm(**each)
    assert become(cloud, {"sweeps are missing": INSUFFICIENT_DATA, "without warm-up": ALARM})
