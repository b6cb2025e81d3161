"""`make smoke-aws STACK=name`: what a deployed stack shows, well and ill."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.deployed import template
from tests.tools import smoke_account
from tools.smoke import deployed
from tools.smoke.findings import Verdict
from tools.templates import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.embedded_cloud import Credentials, EmbeddedCloud
    from tools.smoke.findings import Finding

pytestmark = pytest.mark.slow

STACK: Final = "smoke-me"
NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
AT_ONCE: Final = {"Delay": 0.1, "MaxAttempts": 100}


def deploy(cloud: EmbeddedCloud, name: str, text: str, **parameters: str) -> None:
    formation = cloud.client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateBody=text,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    waiter: Any = formation.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig=AT_ONCE)


@pytest.fixture(scope="module")
def stacks(enforcing_cloud: EmbeddedCloud) -> Iterator[EmbeddedCloud]:
    """A stack and its monitoring, in which one sweep was completed."""
    cloud = enforcing_cloud
    deploy(cloud, STACK, template(), SecretPrefix="smoke-me/oauth")
    deploy(cloud, f"{STACK}-monitoring", MONITORING.read_text("utf-8"), FunctionStackName=STACK)
    cloud.client("lambda").invoke(FunctionName=STACK, Payload=b"{}")
    cloud.client("cloudwatch").put_metric_data(
        Namespace="TokenRefresher",
        MetricData=[
            {
                "MetricName": "SweepsCompleted",
                "Dimensions": [{"Name": "service", "Value": STACK}],
                "Value": 1,
            }
        ],
    )
    yield cloud
    formation = cloud.client("cloudformation")
    for name in (f"{STACK}-monitoring", STACK):
        formation.delete_stack(StackName=name)
        formation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=AT_ONCE)


@pytest.fixture(scope="module")
def reader(stacks: EmbeddedCloud) -> Credentials:
    """Whoever may do what the document's policy grants."""
    return smoke_account.credentials_with(stacks, smoke_account.policy(), name="smoke-reader")


def findings(cloud: EmbeddedCloud, credentials: Credentials, stack: str = STACK) -> list[Finding]:
    box = smoke_account.sandbox(cloud, credentials=credentials)
    return smoke_account.asked(box, deployed.questions(stack))


def set_alarms(cloud: EmbeddedCloud, state: str) -> None:
    """Put every alarm into a state, and away from metrics that would evaluate it to another."""
    cloudwatch: Any = cloud.client("cloudwatch")
    kept = ("AlarmName", "Statistic", "Period", "EvaluationPeriods", "Threshold")
    for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=f"{STACK} ")["MetricAlarms"]:
        cloudwatch.put_metric_alarm(
            **{each: alarm[each] for each in kept},
            ComparisonOperator=alarm["ComparisonOperator"],
            Namespace="made-up",
            MetricName="NeverStored",
            TreatMissingData="ignore",
        )
        cloudwatch.set_alarm_state(
            AlarmName=alarm["AlarmName"], StateValue=state, StateReason="invented"
        )


def test_a_stack_that_sweeps_is_as_documented(stacks: EmbeddedCloud, reader: Credentials) -> None:
    set_alarms(stacks, "OK")
    found = findings(stacks, reader)
    assert {each.question: each.verdict for each in found} == dict.fromkeys(
        (each.name for each in deployed.questions(STACK)), Verdict.AS_DOCUMENTED
    ), found
    concurrency, schedule, sweeps, alarms, starts = (each.measured for each in found)
    assert concurrency == "1 reserved"
    assert schedule == "rate(5 minutes) ENABLED"
    assert re.match(r"1, the last one (1 minute|\d+ minutes) ago", sweeps)
    assert re.fullmatch(r"none is without data: \d+ OK", alarms)
    assert starts.startswith("1 in a day, ")


def test_alarms_that_are_too_young_for_data_are_unknown_and_a_schedule_that_is_off_differs(
    stacks: EmbeddedCloud, reader: Credentials
) -> None:
    set_alarms(stacks, "INSUFFICIENT_DATA")
    scheduler: Any = stacks.client("scheduler")
    (told,) = scheduler.list_schedules(NamePrefix=STACK)["Schedules"]
    schedule = scheduler.get_schedule(Name=told["Name"])
    kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target", "Name")
    scheduler.update_schedule(State="DISABLED", **{each: schedule[each] for each in kept})
    named = {each.question.partition(": ")[2]: each for each in findings(stacks, reader)}
    assert named["its schedule"].verdict is Verdict.DIFFERS
    assert named["its schedule"].measured.startswith("rate(5 minutes) DISABLED; documented")
    # Of a stack that was deployed just now.
    assert named["its alarms"].verdict is Verdict.UNKNOWN
    assert re.fullmatch(r"\d+ INSUFFICIENT_DATA, too young for data", named["its alarms"].measured)
    assert re.search(r"again in (49|50) min$", named["its alarms"].remedy)


def without_data(*, periods: int, minutes_ago: int) -> dict[str, Any]:
    return {
        "StateValue": "INSUFFICIENT_DATA",
        "Period": 300,
        "EvaluationPeriods": periods,
        "AlarmConfigurationUpdatedTimestamp": NOW - timedelta(minutes=minutes_ago),
    }


@pytest.mark.parametrize(
    ("minutes_ago", "is_documented"), [(5, None), (19, None), (20, False), (600, False)]
)
def test_an_alarm_without_data_differs_once_all_its_periods_are_over(
    minutes_ago: int, *, is_documented: bool | None
) -> None:
    young = without_data(periods=3, minutes_ago=minutes_ago)
    answer = deployed.judged([young, {"StateValue": "ALARM"}], NOW)
    assert answer.is_documented is is_documented
    assert answer.measured.startswith("1 INSUFFICIENT_DATA, 1 ALARM")
    assert (f"again in {20 - minutes_ago} min" in answer.remedy) is (is_documented is None)


def test_an_alarm_that_is_old_enough_for_data_differs_whatever_the_others_are() -> None:
    both = [without_data(periods=each, minutes_ago=25) for each in (3, 9)]
    assert deployed.judged(both, NOW).is_documented is False


def test_a_stack_that_is_not_there_differs_from_what_is_said(
    stacks: EmbeddedCloud, reader: Credentials
) -> None:
    found = findings(stacks, reader, "no-such-stack")
    assert Verdict.AS_DOCUMENTED not in {each.verdict for each in found}
    assert found[0].measured.startswith("DescribeStacks: ValidationError")
