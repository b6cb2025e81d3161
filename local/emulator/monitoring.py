"""ministack's CloudWatch: the only module that reaches into it.

Alarms are evaluated on a timer alone, as on AWS, where an alarm also goes off because nothing came;
where time is driven, whenever some has passed.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch as ministack
from ministack.services.cloudformation import provisioners

from local.emulator import clock
from local.emulator.alarms import BREACHES, Alarm, WarmUp, next_state, windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator.embedded_metrics import Datum

EVALUATED_EVERY_SECONDS = 0.5
TOLD_EVERY_SECONDS = 0.02

logger = logging.getLogger(__name__)

_ministack_reads_the_template: Callable[..., Any] = provisioners._cw_metric_alarm_record
_ministack_puts: Callable[..., object] = ministack._put_metric_alarm


def install() -> None:
    """Evaluate alarms as AWS documents it, by the emulator's clock, and keep their warm-up."""
    ministack.time = SimpleNamespace(time=clock.moment)
    ministack._evaluate_alarm = lambda _: None
    # AWS keeps metrics for 15 months. Two weeks are less than a test's clock may be behind.
    ministack._evict_old_metrics = lambda: None
    provisioners._cw_metric_alarm_record = _alarm_of_a_template
    ministack._put_metric_alarm = _put_metric_alarm
    evaluate = _evaluate_when_time_passes if clock.is_driven() else _evaluate_again_and_again
    threading.Thread(target=evaluate, daemon=True).start()


def count(name: str, function_name: str, value: float = 1, unit: str = "Count") -> None:
    """Store one value of a metric that Lambda itself keeps of a function."""
    ministack.record_metric("AWS/Lambda", name, value, unit, {"FunctionName": function_name})


def store(datum: Datum) -> None:
    """Store the values of a metric."""
    ministack._store_datum(
        datum.namespace,
        datum.name,
        datum.dimensions,
        clock.moment() if clock.is_driven() else datum.at_seconds,
        datum.unit,
        value=None,
        values=datum.values,
        counts=None,
        stat_values=None,
    )


def _put_metric_alarm(
    params: dict[str, Any], request: dict[str, Any], *how: bool, **named: bool
) -> object:
    """Put an alarm that is not a template's, and keep its warm-up."""
    answer = _ministack_puts(params, request, *how, **named)
    if written := request.get("WarmUpConfiguration"):
        alarm = ministack._alarms[request["AlarmName"]]
        minutes = int(written["WarmUpPeriodDurationInMinutes"])
        alarm["WarmUpConfiguration"] = WarmUp(WarmUpPeriodDurationInMinutes=minutes)
    return answer


def _alarm_of_a_template(name: str, properties: dict[str, Any]) -> object:
    """Read an alarm with its warm-up, which ministack drops; a template may write it as text."""
    alarm = _ministack_reads_the_template(name, properties)
    if written := properties.get("WarmUpConfiguration"):
        minutes = int(written["WarmUpPeriodDurationInMinutes"])
        alarm["WarmUpConfiguration"] = WarmUp(WarmUpPeriodDurationInMinutes=minutes)
    return alarm


def _evaluate_again_and_again() -> None:
    while True:
        time.sleep(EVALUATED_EVERY_SECONDS)
        _evaluate_all()


def _evaluate_when_time_passes() -> None:
    """Let as much time pass as a file says; it is gone when every alarm is as it has to be."""
    told = Path(os.environ["STATE_DIR"], "seconds-to-pass")
    while True:
        time.sleep(TOLD_EVERY_SECONDS)
        if told.exists():
            _make_older(by=clock.pass_by(int(told.read_text())))
            _evaluate_all()
            told.unlink()


def _make_older(*, by: int) -> None:
    for points in list(ministack._metrics._data.values()):
        for point in points:
            point["Timestamp"] -= by
    for alarm in list(ministack._alarms._data.values()):
        for name in ("AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp"):
            alarm[name] -= by


def _evaluate_all() -> None:
    for (account, region, _), alarm in list(ministack._alarms._data.items()):
        with request_scope(account, region):
            try:
                _evaluate(alarm)
            except Exception:
                # One alarm that cannot be evaluated must not silence the others.
                logger.exception("Not evaluated: %s", alarm["AlarmName"])


def _evaluate(alarm: Alarm) -> None:
    """Bring an alarm up to date, and tell its topics; a topic may start a function that calls."""
    if alarm["ComparisonOperator"] not in BREACHES:
        return
    now = clock.moment()
    statistic = alarm["Statistic"]
    values = [_statistic(alarm, statistic, *window) for window in windows(alarm, now=now)]
    old, new = alarm["StateValue"], next_state(alarm, values, now=now)
    if new == old:
        return
    reason = (
        f"{statistic} {alarm['ComparisonOperator']} {alarm['Threshold']}, "
        f"of periods from the newest: {values}"
    )
    alarm["StateValue"], alarm["StateReason"] = new, reason
    alarm["StateUpdatedTimestamp"] = int(now)
    ministack._record_history(alarm["AlarmName"], old, new, reason)
    ministack._dispatch_alarm_actions(alarm, old, new, reason)


def _statistic(alarm: Alarm, statistic: str, after: float, until: float) -> float | None:
    """Return an alarm's statistic of one period, None if nothing was stored in it."""
    dimensions = ministack._dims_from_list(alarm["Dimensions"])
    key = (alarm["Namespace"], alarm["MetricName"], ministack._dims_key(dimensions))
    points = [
        point
        for point in list(ministack._metrics.get(key, []))
        if after < point["Timestamp"] <= until
    ]
    if not points:
        return None
    value: float | None = ministack._stat_value(ministack._calc_stats(points), statistic, points)
    return value
