"""The stack of ``template.yaml``, deployed to the embedded cloud without the program in it.

What stands around the function is real: schedule, queue, role, concurrency, settings. Its sweeps
are `Schedule`'s, by a test's clock; so what CloudWatch is told of them is told here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from local.embedded_cloud import ROOT
from token_refresher_cli.deployment_steps import ALARM_NAMES

if TYPE_CHECKING:
    from datetime import datetime

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.schedule import Schedule

STACK: Final = "token-refresher"
_HANDLER: Final = re.compile(r"^      Handler: token_refresher\.handler\.\w+$", re.MULTILINE)
_NOTHING: Final = (
    "      Handler: index.handler\n      InlineCode: 'def handler(event, context): pass'"
)


def template() -> str:
    """The template, with functions that do nothing in the place of the program."""
    text = (ROOT / "template.yaml").read_text().replace("    CodeUri: functions/\n", "")
    return _HANDLER.sub(_NOTHING, text)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack named ``token-refresher``."""

    cloud: EmbeddedCloud
    schedule: Schedule

    @classmethod
    def with_parameters(cls, cloud: EmbeddedCloud, schedule: Schedule, **given: str) -> Deployed:
        """Deploy it; nothing has swept yet."""
        parameters = {"AllowedTokenHosts": schedule.server.host, **given}
        formation = cloud.client("cloudformation")
        formation.create_stack(
            StackName=STACK,
            TemplateBody=template(),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
        )
        formation.get_waiter("stack_create_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
        )
        return cls(cloud, schedule)

    def sweep(self) -> None:
        """Sweep as the schedule does, and tell CloudWatch."""
        self.schedule.sweep()
        self.tell_of_a_sweep()

    def tell_of_a_sweep(self) -> None:
        """Tell CloudWatch of one that was completed now."""
        self.cloud.client("cloudwatch").put_metric_data(
            Namespace="TokenRefresher",
            MetricData=[
                {
                    "MetricName": "SweepsCompleted",
                    "Dimensions": [{"Name": "service", "Value": STACK}],
                    "Timestamp": self.schedule.clock(),
                    "Value": 1,
                    "Unit": "Count",
                }
            ],
        )

    def name_of(self, resource: str) -> str:
        """Name a resource as AWS does."""
        told = self.cloud.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=resource
        )
        name: str = told["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def disable_schedule(self) -> None:
        """Do what a person does who wants silence for an hour, and forgets it."""
        scheduler = self.cloud.client("scheduler")
        name = self.name_of("TokenRefresherFunctionEveryTick")
        told: dict[str, Any] = scheduler.get_schedule(Name=name)
        kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target")
        scheduler.update_schedule(
            Name=name, State="DISABLED", **{each: told[each] for each in kept}
        )

    def scheduled_since(self) -> datetime:
        """When the schedule was last changed, by the real clock."""
        name = self.name_of("TokenRefresherFunctionEveryTick")
        told = self.cloud.client("scheduler").get_schedule(Name=name)
        since: datetime = told["LastModificationDate"]
        return since

    def set_alarm(self, name: str, metric: str, *, namespace: str = "AWS/Lambda") -> None:
        """Have all alarms, of which one is on; nothing evaluates them again within their period."""
        cloudwatch = self.cloud.client("cloudwatch")
        for each in {*ALARM_NAMES, name}:
            cloudwatch.put_metric_alarm(
                AlarmName=f"{STACK} {each}",
                Namespace=namespace,
                MetricName=metric,
                Statistic="Maximum",
                Period=int(timedelta(days=1).total_seconds()),
                EvaluationPeriods=1,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                Threshold=1,
                TreatMissingData="ignore",
            )
        cloudwatch.set_alarm_state(
            AlarmName=f"{STACK} {name}", StateValue="ALARM", StateReason="invented"
        )
