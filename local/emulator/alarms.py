"""How CloudWatch decides the state of a metric alarm, as a function of its datapoints.

Neither ministack nor a clock. AWS slides the windows of an alarm in steps of a minute; here they
end at this moment, so that a test need not wait for the minute to be over.

Metric math, anomaly detection, percentiles and units are not known here: no alarm has them.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALARM = "ALARM"
INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
OK = "OK"

# AWS looks further back than it evaluates, so that one late datapoint decides nothing.
PERIODS_BEYOND = 2
BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}


class WarmUp(TypedDict):
    """How long a new alarm may lack data without going off."""

    WarmUpPeriodDurationInMinutes: int


class Alarm(TypedDict):
    """The part of ministack's record of an alarm that is used here."""

    AlarmName: str
    Namespace: str
    MetricName: str
    Dimensions: list[dict[str, str]]
    Statistic: str
    Period: int
    EvaluationPeriods: int
    DatapointsToAlarm: NotRequired[int]
    Threshold: float
    ComparisonOperator: str
    TreatMissingData: str
    WarmUpConfiguration: NotRequired[WarmUp]
    AlarmConfigurationUpdatedTimestamp: int
    StateValue: str
    StateReason: str
    StateUpdatedTimestamp: int


def windows(alarm: Alarm, *, now: float) -> list[tuple[float, float]]:
    """Return the periods that an evaluation looks at, the newest first: after, and until."""
    period = alarm["Period"]
    periods = alarm["EvaluationPeriods"] + PERIODS_BEYOND
    return [(now - period * (age + 1), now - period * age) for age in range(periods)]


def next_state(alarm: Alarm, values: Sequence[float | None], *, now: float) -> str:
    """Decide an alarm's state.

    Datapoints that exist decide as far as they reach. Only where fewer exist than are evaluated,
    the missing ones are filled in as the alarm says, and no more of them than needed.

    Args:
        alarm: Its settings and its present state.
        values: One statistic for each of the ``windows``, None where there is no data.
        now: Epoch seconds.
    """
    evaluated = alarm["EvaluationPeriods"]
    to_alarm = alarm.get("DatapointsToAlarm") or evaluated
    breaches = BREACHES[alarm["ComparisonOperator"]]
    ages = [age for age, value in enumerate(values, start=1) if value is not None]
    existing = [breaches(value, alarm["Threshold"]) for value in values if value is not None]
    if _warms_up(alarm, filled=len(existing) >= evaluated, now=now):
        return INSUFFICIENT_DATA
    if len(existing) >= evaluated:
        return ALARM if sum(existing[:evaluated]) >= to_alarm else OK
    missing = alarm["TreatMissingData"]
    filled_in = evaluated - len(existing) if missing == "breaching" else 0
    if sum(existing) + filled_in >= to_alarm:
        return ALARM
    if missing in ("breaching", "notBreaching") or not all(existing):
        return OK
    if missing == "ignore":
        return alarm["StateValue"]
    # All that exists breaches, and it is too little. It goes off if it began long enough ago.
    return ALARM if existing and ages[-1] >= to_alarm else INSUFFICIENT_DATA


def _warms_up(alarm: Alarm, *, filled: bool, now: float) -> bool:
    """Tell whether an alarm still waits for its first data.

    It waits no longer than its configuration says, and only until data fills its periods. An alarm
    that has left ``INSUFFICIENT_DATA`` has stopped waiting.
    """
    warm_up = alarm.get("WarmUpConfiguration")
    if filled or warm_up is None or alarm["StateValue"] != INSUFFICIENT_DATA:
        return False
    seconds = 60 * warm_up["WarmUpPeriodDurationInMinutes"]
    return now < alarm["AlarmConfigurationUpdatedTimestamp"] + seconds
