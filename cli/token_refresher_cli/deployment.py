"""What stands around the deployed function, as AWS tells it: schedule, sweeps, alarms, queue, keys.

It reads, and judges nothing. Every method raises `RefusedError` where AWS refuses; the operation
in it is the IAM action that is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.records import FAILURE_TAG
from token_refresher_cli.problems import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

# As SAM and the template name them.
_SCHEDULE: Final = "TokenRefresherFunctionEveryTick"
_SCHEDULE_ROLE: Final = "ScheduleRole"
_FAILED_EVENTS: Final = "FailedEvents"
_NAMESPACE: Final = "TokenRefresher"
# One minute for the sweeps of the last hours; then it matters no more which minute it was.
_SWEEPS_OF: Final = (
    (timedelta(hours=3), timedelta(minutes=1)),
    (timedelta(days=15), timedelta(hours=1)),
)
_LIMITS: Final = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The function's, beside its settings.

    Attributes:
        trouble: Why it cannot run, in Lambda's word; None where it can.
        is_in_vpc: Whether it is in a network of the customer's, where names and ways may differ.
        role: The ARN of the role that it acts as.
        arn: Its own.
    """

    trouble: str | None
    is_in_vpc: bool
    role: str
    arn: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """What starts the sweeps.

    Attributes:
        name: Its physical name.
        is_enabled: Whether it does.
        since: Aware; when it was last changed. No sweep of it is older.
        expression: When it does, in EventBridge's words, such as ``rate(5 minutes)``.
        target: The ARN of what it starts.
        ends_at: Aware; when it does so no more. None for never.
    """

    name: str
    is_enabled: bool
    since: datetime
    expression: str
    target: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """One of the stack's.

    Attributes:
        name: Its name, less the stack's.
        metric: What it watches.
        since: Aware; since when it is in its state.
        is_on: Whether that is ALARM.
        is_silenced: Whether somebody has disabled its actions, so that it calls nobody.
    """

    name: str
    metric: str
    since: datetime
    is_on: bool
    is_silenced: bool


@dataclass(frozen=True, slots=True)
class FailedEvents:
    """The queue of events whose invocation failed."""

    url: str
    count: int


@dataclass(frozen=True, slots=True)
class Key:
    """A KMS key.

    Attributes:
        arn: Its own, whatever it was named by.
        state: In KMS's word, such as ``Enabled``.
        spec: Likewise, such as ``RSA_2048``.
        usage: Likewise, such as ``SIGN_VERIFY``.
        algorithms: By which it signs, in KMS's words; none for a key that does not.
    """

    arn: str
    state: str
    spec: str
    usage: str
    algorithms: tuple[str, ...]


class Aws:
    """Calls to several services, with the options of the command."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}

    def ask(
        self, service: str, operation: str, resource: str = "", **arguments: object
    ) -> dict[str, Any]:
        """Make a call that reads.

        Args:
            service: As IAM and boto3 name it.
            operation: As the API names it.
            resource: What it is about.
            arguments: The call's.

        Raises:
            RefusedError: AWS refused, or did not answer.
        """
        try:
            client = self._clients.get(service)
            if client is None:
                # Its stubs are no dependency of this project.
                make: Any = boto3.client
                client = self._clients[service] = make(service, config=_LIMITS)
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise RefusedError.of(error, f"{service}:{operation}", resource) from None
        return answer

    def identity(self) -> tuple[str, str]:
        """Tell whose calls these are: the AWS account, and the ARN."""
        answer = self.ask("sts", "GetCallerIdentity")
        return answer["Account"], answer["Arn"]

    def key(self, key_id: str) -> Key:
        """Describe a KMS key, named in any way that KMS takes."""
        told = self.ask("kms", "DescribeKey", key_id, KeyId=key_id)["KeyMetadata"]
        algorithms = tuple(told.get("SigningAlgorithms", ()))
        spec, usage = told.get("KeySpec", ""), told.get("KeyUsage", "")
        return Key(told["Arn"], told["KeyState"], spec, usage, algorithms)

    def public_key(self, key_id: str) -> bytes:
        """Read the public half of a KMS key that signs, in DER."""
        der: bytes = self.ask("kms", "GetPublicKey", key_id, KeyId=key_id)["PublicKey"]
        return der


class Deployment:
    """What a stack has deployed.

    Args:
        stack: Its name; its function, log and metrics have the same.
        aws: The calls.
    """

    def __init__(self, stack: str, aws: Aws) -> None:
        self.stack = stack
        self._aws = aws

    def configuration(self) -> Configuration:
        """Tell how the function stands."""
        told = self._aws.ask(
            "lambda", "GetFunctionConfiguration", self.stack, FunctionName=self.stack
        )
        troubles = (
            told.get("StateReasonCode") if told.get("State") in {"Failed", "Inactive"} else None,
            told.get("LastUpdateStatusReasonCode")
            if told.get("LastUpdateStatus") == "Failed"
            else None,
        )
        return Configuration(
            trouble=next(filter(None, troubles), None),
            is_in_vpc=bool(told.get("VpcConfig", {}).get("SubnetIds")),
            role=told["Role"],
            arn=told["FunctionArn"],
        )

    def reserved_concurrency(self) -> int | None:
        """Tell how many invocations may run at once; None where nothing is reserved."""
        told = self._aws.ask(
            "lambda", "GetFunctionConcurrency", self.stack, FunctionName=self.stack
        )
        reserved: int | None = told.get("ReservedConcurrentExecutions")
        return reserved

    def schedule(self) -> Schedule:
        """Tell what starts the sweeps."""
        name = self.schedule_name()
        told = self._aws.ask("scheduler", "GetSchedule", name, Name=name)
        since = max(told["CreationDate"], told["LastModificationDate"])
        return Schedule(
            name,
            is_enabled=told["State"] == "ENABLED",
            since=since,
            expression=told["ScheduleExpression"],
            target=told["Target"]["Arn"],
            ends_at=told.get("EndDate"),
        )

    def schedule_name(self) -> str:
        """Tell its physical name, whether or not it is there."""
        return self._physical_name(_SCHEDULE)

    def schedule_role(self) -> str:
        """Tell the name of the role by which it starts the function."""
        return self._physical_name(_SCHEDULE_ROLE)

    def parameters(self) -> Mapping[str, str]:
        """Tell what the stack was deployed with."""
        told = self._aws.ask("cloudformation", "DescribeStacks", self.stack, StackName=self.stack)
        [stack] = told["Stacks"]
        return {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", ())}

    def last_sweep(self, *, now: datetime) -> datetime | None:
        """Tell the minute in which a sweep was last completed; None in none of 15 days."""
        for window, period in _SWEEPS_OF:
            told = self._aws.ask(
                "cloudwatch",
                "GetMetricStatistics",
                Namespace=_NAMESPACE,
                MetricName="SweepsCompleted",
                Dimensions=[{"Name": "service", "Value": self.stack}],
                StartTime=now - window,
                EndTime=now + timedelta(minutes=1),
                Period=int(period.total_seconds()),
                Statistics=["Sum"],
            )
            times: list[datetime] = [one["Timestamp"] for one in told["Datapoints"] if one["Sum"]]
            if times:
                return max(times).astimezone(UTC)
        return None

    def alarms(self) -> list[Alarm] | None:
        """Tell which of the stack's alarms are on; None where it has no alarm."""
        told = self._aws.ask(
            "cloudwatch", "DescribeAlarms", AlarmNamePrefix=f"{self.stack} ", MaxRecords=100
        )["MetricAlarms"]
        if not told:
            return None
        return [
            Alarm(
                one["AlarmName"].removeprefix(f"{self.stack} "),
                one.get("MetricName", ""),
                one["StateUpdatedTimestamp"],
                is_on=one["StateValue"] == "ALARM",
                is_silenced=not one.get("ActionsEnabled", True),
            )
            for one in told
        ]

    def failed_events(self) -> FailedEvents:
        """Count the events whose invocation failed, or was never made."""
        url = self._physical_name(_FAILED_EVENTS)
        counted = "ApproximateNumberOfMessages"
        told = self._aws.ask(
            "sqs", "GetQueueAttributes", url, QueueUrl=url, AttributeNames=[counted]
        )
        return FailedEvents(url, int(told["Attributes"][counted]))

    def denied(
        self,
        role: str,
        actions: Sequence[str],
        resource: str,
        context: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """Tell which actions the policies of a role do not allow; it tries none.

        A policy of the resource, of a key or of the organisation is not looked at.

        Args:
            role: Its ARN.
            actions: As IAM names them.
            resource: An ARN.
            context: What the call would say, by the names of condition keys.
        """
        told_of = [
            {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for name, value in context.items()
        ]
        told = self._aws.ask(
            "iam",
            "SimulatePrincipalPolicy",
            role,
            PolicySourceArn=role,
            ActionNames=actions,
            ResourceArns=[resource],
            ContextEntries=[
                {
                    "ContextKeyName": "aws:TagKeys",
                    "ContextKeyValues": [FAILURE_TAG],
                    "ContextKeyType": "stringList",
                },
                *told_of,
            ],
        )
        return [
            one["EvalActionName"]
            for one in told["EvaluationResults"]
            if one["EvalDecision"] != "allowed"
        ]

    def hands_out_identity_tokens(self) -> bool:
        """Tell whether the AWS account says in tokens who runs in it."""
        try:
            self._aws.ask("iam", "GetOutboundWebIdentityFederationInfo")
        except RefusedError as error:
            if error.code.startswith("FeatureDisabled"):
                return False
            raise
        return True

    def _physical_name(self, resource: str) -> str:
        told = self._aws.ask(
            "cloudformation",
            "DescribeStackResource",
            self.stack,
            StackName=self.stack,
            LogicalResourceId=resource,
        )
        name: str = told["StackResourceDetail"]["PhysicalResourceId"]
        return name
