"""The steps of `doctor` that look at what is deployed, each a reading and its judgement."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from token_refresher.fixes import DENIED
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.findings import Finding, Step, Verdict, unknown, well, wrong
from token_refresher_cli.problems import RefusedError, explain, may_pass, says_all

if TYPE_CHECKING:
    from datetime import datetime

    from token_refresher_cli.patient import Patient

# Its alarm waits as long; what is told of a sweep arrives a minute or two after it.
_TICKS_MISSED: Final = 3
_SLACK: Final = timedelta(minutes=10)
# The one in which the next sweep sees it, and the one after, when CloudWatch has its metrics.
_TICKS_UNTIL_OVER: Final = 2
# What accounts themselves set off; they are looked at on their own.
_OF_ACCOUNTS: Final = frozenset({"AccountsNeedingAction", "AccountsRetrying", "MarginUsed"})

# All that infra/monitoring.yaml has.
ALARM_NAMES: Final = (
    *("no sweep completed", "function fails", "function is throttled", "events failed"),
    *("function nears its timeout", "accounts are left over", "margin half used"),
    *("action required", "refreshes keep failing"),
)
# As template.yaml has them.
_QUEUE: Final = {"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600"}
# Through the protocol that SQS had first, and through its second.
_NO_QUEUE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})

# Of a schedule, what is kept when it is put again.
_DEFINITION: Final = (
    "{Name: Name, Description: Description, ScheduleExpression: ScheduleExpression, "
    "FlexibleTimeWindow: FlexibleTimeWindow, Target: Target}"
)


def _identity(patient: Patient) -> Finding:
    try:
        account, arn = patient.aws.identity()
    except RefusedError as error:
        if may_pass(error) or not says_all(error.code):
            raise
        problem = explain(error, patient.target)
        return wrong(problem.what.removesuffix("."), problem.fix, is_nowhere=True)
    who = arn.rpartition(":")[2]
    return well(f"{who} of AWS account {account}, Region {patient.target.aws_region}")


def _function(patient: Patient) -> Finding:
    stack = patient.stack.stack
    trouble = patient.configuration.trouble
    if trouble is not None:
        look = patient.target.aws("lambda", "get-function", "--function-name", stack)
        return wrong(f"it cannot run: {trouble}", f"Deploy it again, and see: {look}")
    prefix = patient.target.secret_prefix
    if not patient.connection.is_remote_possible:
        return wrong(
            f"it looks after accounts of another prefix than {prefix}",
            "Leave --prefix and TOKEN_REFRESHER_PREFIX out, or name the stack of that prefix.",
        )
    return well(f"it can run, its settings are valid, and it looks after {prefix}/")


def _schedule(patient: Patient) -> Finding:
    try:
        schedule = patient.schedule
    except RefusedError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return wrong(
            "the schedule is gone: no sweep begins, and no token is refreshed",
            f"CloudFormation does not see it; make it again, by its name: {_making(patient)}",
        )
    if not schedule.is_enabled:
        return wrong(
            "the schedule is disabled: no sweep begins, and no token is refreshed",
            f"Enable it: {_enabling(patient)}",
        )
    if changed := _changed(patient):
        return wrong(
            f"somebody has changed the schedule: {changed}",
            f"Put it back: {_enabling(patient, *_as_deployed(patient))}",
        )
    return well(f"a sweep begins every {say_duration(patient.connection.settings.schedule)}")


def _changed(patient: Patient) -> str:
    """Say in what a schedule is not as it was deployed, so that tokens may die; empty for nothing.

    More often than it was hurts nobody.
    """
    schedule, every = patient.schedule, patient.connection.settings.schedule
    if not schedule.target.startswith(patient.configuration.arn):
        return "it starts something else than the function"
    if schedule.ends_at is not None and schedule.ends_at <= patient.now:
        return f"it has ended {say_when(schedule.ends_at, now=patient.now)}"
    rate = re.fullmatch(r"rate\(([0-9]+) (minute|hour|day)s?\)", schedule.expression)
    is_slower = rate is not None and int(rate[1]) * timedelta(**{f"{rate[2]}s": 1}) > every
    if is_slower or schedule.expression.startswith("at("):
        return f"it says {schedule.expression}, and the function counts on {_rate(every)}"
    return ""


def _rate(every: timedelta) -> str:
    minutes = int(every.total_seconds()) // 60
    return f"rate({minutes} minute{'s' if minutes > 1 else ''})"


def _as_deployed(patient: Patient) -> tuple[str, ...]:
    """Write the options by which a schedule is as template.yaml has it."""
    role = f"{patient.configuration.role.rpartition('/')[0]}/{patient.stack.schedule_role()}"
    target = {
        "Arn": patient.configuration.arn,
        "RoleArn": role,
        "Input": "{}",
        "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
    }
    rate = _rate(patient.connection.settings.schedule)
    return ("--schedule-expression", rate, "--target", json.dumps(target))


def _enabling(patient: Patient, *changes: str) -> str:
    """Write the command that enables a schedule, which is put as a whole or not at all."""
    target = patient.target
    words = ("--name", patient.schedule.name, "--query", _DEFINITION, "--output", "json")
    definition = target.aws("scheduler", "get-schedule", *words)
    enable = target.aws("scheduler", "update-schedule", "--state", "ENABLED", *changes)
    return f'{enable} --cli-input-json "$({definition})"'


def _making(patient: Patient) -> str:
    """Write the command that makes a schedule that was deleted."""
    return patient.target.aws(
        *("scheduler", "create-schedule", "--name", patient.stack.schedule_name()),
        *("--flexible-time-window", "Mode=OFF", *_as_deployed(patient)),
    )


def _throttling(patient: Patient) -> Finding:
    reserved = patient.stack.reserved_concurrency()
    if reserved == 0:
        stack = patient.stack.stack
        words = ("--function-name", stack, "--reserved-concurrent-executions", "1")
        return wrong(
            "the function has a reserved concurrency of 0: it is never started",
            f"Let it run: {patient.target.aws('lambda', 'put-function-concurrency', *words)}",
        )
    return well("no concurrency is reserved" if reserved is None else f"{reserved} at a time")


def _last_sweep(patient: Patient) -> Finding:
    last, now = patient.last_sweep, patient.now
    if last is not None and not is_late(patient, last):
        return well(f"completed {say_when(last, now=now)}")
    since = patient.scheduled_since
    if since is None and last is None:
        return unknown("none in 15 days, and since when there is a schedule may not be seen")
    if since is not None and not is_late(patient, since):
        within = say_duration(patient.connection.settings.schedule)
        said = f"no sweep has run yet: the schedule is new, and begins within {within}"
        return unknown(said, is_new=True)
    told = "none in 15 days" if last is None else say_when(last, now=now)
    return wrong(
        f"the last one was completed: {told}", f"See why in its log, by AWS CLI 2: {patient.log()}"
    )


def is_late(patient: Patient, last: datetime) -> bool:
    """Whether a sweep that was completed then should have been followed by others."""
    return patient.now - last > _TICKS_MISSED * patient.connection.settings.schedule + _SLACK


def _failed_events(patient: Patient) -> Finding:
    try:
        queue = patient.stack.failed_events()
    except RefusedError as error:
        if error.code not in _NO_QUEUE:
            raise
        name = error.resource.rpartition("/")[2]
        words = ("--queue-name", name, "--attributes", json.dumps(_QUEUE))
        make = patient.target.aws("sqs", "create-queue", *words)
        return wrong(
            "the queue of events that failed is gone: what fails from now on is lost",
            f"CloudFormation does not see it; make it again, by its name: {make}",
        )
    if not queue.count:
        return well("none")
    count = "1 event" if queue.count == 1 else f"{queue.count} events"
    look = patient.target.aws("sqs", "receive-message", "--queue-url", queue.url)
    return wrong(
        f"{count} failed, or waited in vain",
        f"The log says why; purge the queue when it is known. See them: {look}",
    )


def _alarms(patient: Patient) -> Finding:
    alarms = patient.stack.alarms()
    if alarms is None:
        said = "the stack has none: `make deploy` makes them, as does the command in its output"
        return Finding(Verdict.SKIPPED, f"{said} DeployAlarms")
    there = {alarm.name for alarm in alarms}
    missing = [name for name in ALARM_NAMES if name not in there]
    silenced = [alarm for alarm in alarms if alarm.is_silenced]
    alarms = [alarm for alarm in alarms if alarm.is_on]
    of_function = [alarm for alarm in alarms if alarm.metric not in _OF_ACCOUNTS]
    if of_function:
        first = min(of_function, key=lambda alarm: alarm.since)
        return wrong(
            f"“{first.name}” went off {say_when(first.since, now=patient.now)}",
            f"docs/runbook.md, Alarms, says what it means; the log, by AWS CLI 2: {patient.log()}",
        )
    if silenced:
        whole = [f"{patient.stack.stack} {alarm.name}" for alarm in silenced]
        enable = patient.target.aws("cloudwatch", "enable-alarm-actions", "--alarm-names", *whole)
        return wrong(
            f"somebody has disabled what alarms do, so that they call nobody: {len(silenced)}",
            f"Enable it: {enable}",
        )
    if missing:
        gone = ", ".join(f"“{name}”" for name in missing)
        stack = f"{patient.stack.stack}-monitoring"
        delete = patient.target.aws("cloudformation", "delete-stack", "--stack-name", stack)
        return wrong(
            f"alarms are gone, so that nobody is called: {gone}",
            "CloudFormation does not see it; delete their stack, and make it again with the same "
            f"AlarmEmail, by `make deploy` or the command in the output DeployAlarms: {delete}",
        )
    if not alarms:
        return well("none is on")
    count = "1 is on" if len(alarms) == 1 else f"{len(alarms)} are on"
    names = ", ".join(f"“{alarm.name}”" for alarm in alarms)
    within = say_duration(_TICKS_UNTIL_OVER * patient.connection.settings.schedule)
    return well(
        f"{count}: {names}; about accounts alone, and over by itself within {within} of their "
        "recovery"
    )


def _permissions(patient: Patient) -> Finding:
    denied = [one for one in patient.statuses if one.error in DENIED]
    if not denied:
        return well("no account has a denied call on record")
    names = ", ".join(one.account for one in denied[:3]) + (", …" if len(denied) > 3 else "")  # noqa: PLR2004
    log = (
        f", and its log names the call, by AWS CLI 2: {patient.log()}" if patient.deployment else ""
    )
    return wrong(
        f"a call was denied for {len(denied)} of {len(patient.statuses)} accounts: {names}",
        f"The function's role lacks a permission{log}",
    )


IDENTITY: Final = Step("AWS identity", _identity)
# Whether any sweep will come, and serve the account.
SERVING: Final = (
    Step("function", _function, needs_stack=True),
    Step("schedule", _schedule, needs_stack=True),
    Step("throttling", _throttling, needs_stack=True),
    Step("last sweep", _last_sweep, needs_stack=True),
)
ALARMS: Final = Step("alarms", _alarms, needs_stack=True)
DEPLOYMENT: Final = (
    IDENTITY,
    *SERVING,
    Step("failed events", _failed_events, needs_stack=True),
    ALARMS,
    Step("permissions", _permissions),
)
