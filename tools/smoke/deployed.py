"""What a stack that is deployed shows of itself; nothing of it is changed."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from tools.smoke.questions import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.smoke.sandbox import Sandbox

NAMESPACE: Final = "TokenRefresher"
# As long as an alarm of the longest schedule looks back.
LOOKS_BACK: Final = timedelta(hours=3)
MINUTE: Final = 60
_STARTS: Final = re.compile(r"Init Duration: ([0-9.]+) ms")
_MOST_PAGES: Final = 3
_WITHOUT_DATA: Final = "INSUFFICIENT_DATA"


def concurrency(stack: str, sandbox: Sandbox) -> Answer:
    """See that two sweeps cannot overlap, unless the stack was deployed without."""
    described = sandbox.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    given = {
        each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", ())
    }
    answer = sandbox.client("lambda").get_function_concurrency(FunctionName=stack)
    reserved = answer.get("ReservedConcurrentExecutions")
    wanted = 1 if given.get("ReserveConcurrency", "true") == "true" else None
    return Answer(reserved == wanted, f"{reserved} reserved" if reserved else "none is reserved")


def schedule(stack: str, sandbox: Sandbox) -> Answer:
    """See that the schedule is on."""
    resources = sandbox.client("cloudformation").describe_stack_resources(StackName=stack)
    names = [
        each["PhysicalResourceId"].rpartition("|")[2]
        for each in resources["StackResources"]
        if each["ResourceType"] == "AWS::Scheduler::Schedule"
    ]
    found = [sandbox.client("scheduler").get_schedule(Name=name) for name in names]
    told = ", ".join(f"{each['ScheduleExpression']} {each['State']}" for each in found)
    is_on = bool(found) and all(each["State"] == "ENABLED" for each in found)
    return Answer(is_on, told or "there is none")


def last_sweep(stack: str, sandbox: Sandbox) -> Answer:
    """Ask for the metric that each complete sweep puts, minute by minute."""
    now = datetime.now(UTC)
    points: list[dict[str, Any]] = sandbox.client("cloudwatch").get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName="SweepsCompleted",
        Dimensions=[{"Name": "service", "Value": stack}],
        StartTime=now - LOOKS_BACK,
        EndTime=now + timedelta(minutes=1),
        Period=MINUTE,
        Statistics=["Sum"],
    )["Datapoints"]
    if not points:
        hours = LOOKS_BACK // timedelta(hours=1)
        return Answer(is_documented=False, measured=f"no sweep completed in {hours} hours")
    age = now - max(each["Timestamp"] for each in points)
    sweeps = sum(each["Sum"] for each in points)
    # A point has the time at which its minute began.
    minutes = round(age.total_seconds() / MINUTE)
    ago = "1 minute" if minutes == 1 else f"{minutes} minutes"
    told = f"{sweeps:.0f}, the last one {ago} ago"
    return Answer(is_documented=True, measured=told)


def alarms(stack: str, sandbox: Sandbox) -> Answer:
    """See that every alarm has data to go by."""
    found = sandbox.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{stack} ")
    return judged(found["MetricAlarms"], datetime.now(UTC))


def judged(found: Sequence[Mapping[str, Any]], now: datetime) -> Answer:
    """Judge alarms by their states; one without data is not judged before it can have them."""
    states = Counter(each["StateValue"] for each in found)
    told = ", ".join(f"{number} {state}" for state, number in states.most_common())
    if not states:
        return Answer(is_documented=False, measured="there is none: see make deploy")
    # One that has gone off has data as well, so the figures alone would read like contentment.
    if _WITHOUT_DATA not in states:
        return Answer(is_documented=True, measured=f"none is without data: {told}")
    left = [_too_young(each, now) for each in found if each["StateValue"] == _WITHOUT_DATA]
    if min(left) <= timedelta(0):
        return Answer(is_documented=False, measured=told)
    minutes = ceil(max(left) / timedelta(minutes=1))
    return Answer(
        None,
        f"{told}, too young for data",
        f"an alarm has data once all the periods that it looks at are over: again in {minutes} min",
    )


def _too_young(alarm: Mapping[str, Any], now: datetime) -> timedelta:
    """Tell for how long an alarm may still lack data: its periods, and the one that it began in."""
    looks_at = timedelta(seconds=alarm["Period"] * (alarm["EvaluationPeriods"] + 1))
    began: datetime = alarm["AlarmConfigurationUpdatedTimestamp"]
    return began + looks_at - now


def starts(stack: str, sandbox: Sandbox) -> Answer:
    """Read from the log how long cold starts took."""
    logs = sandbox.client("logs")
    asked: dict[str, Any] = {
        "logGroupName": f"/aws/lambda/{stack}",
        "filterPattern": '"Init Duration"',
        "startTime": int((datetime.now(UTC) - timedelta(days=1)).timestamp() * 1000),
    }
    found: list[float] = []
    # A page may be empty, and be followed by one that is not.
    for _ in range(_MOST_PAGES):
        page = logs.filter_log_events(**asked)
        lines = "\n".join(each["message"] for each in page["events"])
        found += [float(each) for each in _STARTS.findall(lines)]
        if "nextToken" not in page:
            break
        asked["nextToken"] = page["nextToken"]
    if not found:
        return Answer(None, "no cold start in a day's log", "its log has no cold start yet")
    return Answer(
        is_documented=True,
        measured=f"{len(found)} in a day, {median(found):.0f} ms, {max(found):.0f} ms at most",
    )


def questions(stack: str) -> list[Question]:
    """Make the questions about a stack."""
    return [
        Question(name, documented, partial(ask, stack))
        for name, documented, ask in (
            (
                f"{stack}: its concurrency",
                "one at a time, unless ReserveConcurrency=false",
                concurrency,
            ),
            (f"{stack}: its schedule", "it is on", schedule),
            (
                f"{stack}: sweeps of {LOOKS_BACK // timedelta(hours=1)} hours",
                "one at least",
                last_sweep,
            ),
            (f"{stack}: its alarms", "each leaves INSUFFICIENT_DATA", alarms),
            (f"{stack}: its cold starts", "REPORT lines tell them", starts),
        )
    ]
