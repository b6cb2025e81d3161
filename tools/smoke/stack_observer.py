"""What is seen of a stack that was deployed: its alarms, accounts, log, and what is left of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tools.deploying.place import said_of
from tools.smoke.findings import compared, took

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.smoke.findings import Finding
    from tools.smoke.stack_site import Site

_HOUR: Final = timedelta(hours=1)
# What the name of an alarm's copy ends with that watches no stack that there is.
WITHOUT_DATA: Final = ", without data"
# What makes an alarm the same alarm; without its actions, so that a copy calls nobody.
_KEPT: Final = (
    *("Namespace", "MetricName", "Dimensions", "Statistic", "EvaluationPeriods"),
    *("DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData"),
    *("WarmUpConfiguration", "Period"),
)


class Observer:
    """Looks at a deployed stack, and has a hand only in what is to be seen sooner.

    That is copies of alarms with shorter periods, and where the schedule is not waited for, sweeps.

    Args:
        site: Where it is.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names = site.names

    def reserved(self, ending: str) -> int | None:
        """Tell what a function reserves, by the ending of its name; None where it does not."""
        told = self._site.client("lambda").get_function_concurrency(
            FunctionName=self._names.stack + ending
        )
        reserved: int | None = told.get("ReservedConcurrentExecutions")
        return reserved

    # Alarms

    def alarm(self, name: str) -> str:
        """Name the alarm that is looked at for a deployed one."""
        if not self._site.waits.sweeps_by_hand:
            return f"{self._names.stack} {name}"
        return self.copy(name)

    def copy(self, name: str, **changed: object) -> str:
        """Copy a deployed alarm, with a shorter period."""
        cloudwatch = self._site.client("cloudwatch")
        (deployed,) = cloudwatch.describe_alarms(AlarmNames=[f"{self._names.stack} {name}"])[
            "MetricAlarms"
        ]
        kept = {field: deployed[field] for field in _KEPT if deployed.get(field) is not None}
        copy = {**kept, "Period": self._site.waits.alarm_period, **changed}
        named = self._names.copies + name + (WITHOUT_DATA if changed else "")
        cloudwatch.put_metric_alarm(AlarmName=named, ActionsEnabled=False, **copy)
        return named

    def state(self, alarm: str) -> str:
        """Tell an alarm's state."""
        found = self._site.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        return str(found[0]["StateValue"]) if found else "not there"

    def changes(self, alarm: str, state: str, question: str, *, since: str) -> Finding:
        """Wait until an alarm is in a state."""
        found, seconds = self._site.wait(
            f"the alarm to be {state}",
            lambda: self.state(alarm) == state or self.sweep_by_hand(),
            seconds=self._site.waits.alarm,
        )
        return compared(question, held=bool(found), measured=f"{took(seconds)} after {since}")

    def sweep_by_hand(self) -> bool:
        """Sweep, where the schedule is not waited for; it is counted as the schedule's are."""
        if self._site.waits.sweeps_by_hand:
            self._site.client("lambda").invoke(
                FunctionName=self._names.stack, InvocationType="Event", Payload=b"{}"
            )
        return False

    def has_swept(self) -> bool:
        """Tell whether CloudWatch has counted a sweep."""
        now = datetime.now(UTC)
        # A listing of metrics may lag by a quarter of an hour.
        found = self._site.client("cloudwatch").get_metric_statistics(
            Namespace="TokenRefresher",
            MetricName="SweepsCompleted",
            Dimensions=[{"Name": "service", "Value": self._names.stack}],
            StartTime=now - _HOUR,
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return bool(found["Datapoints"])

    # Accounts

    def failure(self, account: str) -> str:
        """Return what is recorded of an account's failure; empty where nothing is."""
        tags = self._site.described(self._names.token(account)).get("Tags", ())
        found = {each["Key"]: each["Value"] for each in tags}.get("token-refresher:failure", "")
        return str(found).partition("/")[0]

    def published(self, account: str, question: str) -> Finding:
        """Wait until an account has a token; where it gets none, tell what is recorded."""
        secret_id = self._names.token(account)
        version, seconds = self._site.wait(
            "the token",
            lambda: self._site.stages(secret_id).get("AWSCURRENT"),
            seconds=self._site.waits.trigger,
        )
        why = "" if version else f"; {self.failure(account) or 'no failure is recorded'}"
        return compared(question, held=bool(version), measured=took(seconds) + why)

    def keys_of_current(self, secret_id: str) -> list[str]:
        """Name the keys that the current version is encrypted with."""
        listed = self._site.secrets.list_secret_version_ids(SecretId=secret_id)["Versions"]
        return [
            key
            for each in listed
            if "AWSCURRENT" in each.get("VersionStages", ())
            for key in each.get("KmsKeyIds", ())
        ]

    # Functions

    def rotation_function(self) -> str:
        """Name the function that rotates, as Secrets Manager takes it: by its ARN."""
        found: str = self._site.client("lambda").get_function_configuration(
            FunctionName=f"{self._names.stack}-rotation"
        )["FunctionArn"]
        return found

    def asked_of_rotation(self, account: str) -> list[str]:
        """Tell the steps that were taken of an account's rotations."""
        return [
            each["step"] for each in self.log() if each.get("account") == account if "step" in each
        ]

    def _lines(self) -> Iterator[str]:
        pages = self._site.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=f"/aws/lambda/{self._names.stack}"):
            for event in page["events"]:
                yield event["message"]

    def log(self) -> list[dict[str, Any]]:
        """Return what the functions have logged; other lines are Lambda's own."""
        lines = (line.strip() for message in self._lines() for line in message.splitlines())
        return [json.loads(line) for line in lines if line.startswith("{")]

    def left_of(self, queue: str) -> list[str]:
        """Name what is still there of what was deployed."""
        site, names = self._site, self._names
        stacks = (names.stack, names.monitoring)
        groups = site.client("logs").describe_log_groups(
            logGroupNamePrefix=f"/aws/lambda/{names.stack}"
        )["logGroups"]
        queues = site.client("sqs").list_queues(QueueNamePrefix=queue.rpartition("/")[2])
        return [
            *(stack for stack in stacks if site.status(stack) is not None),
            *(each["logGroupName"] for each in groups),
            *queues.get("QueueUrls", ()),
        ]


def refusal_to_read(secrets: Any, secret_id: str) -> str | None:  # noqa: ANN401
    """Tell why a secret cannot be read; None where it can."""
    try:
        secrets.get_secret_value(SecretId=secret_id)
    except ClientError as error:
        return said_of(error)
    return None


def is_key(key: str, arn: str) -> bool:
    """Tell whether a key is that one, by its id or its ARN."""
    return key == arn or key == arn.rpartition("/")[2]
