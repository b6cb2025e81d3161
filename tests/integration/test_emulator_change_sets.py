"""Change sets of the embedded cloud list what CloudFormation would change, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import WaiterError

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud

AT_ONCE: Final = {"Delay": 0, "MaxAttempts": 200}
TEMPLATE: Final = json.dumps(
    {
        "Parameters": {"Triggers": {"Type": "String", "Default": "false"}},
        "Conditions": {"HasTriggers": {"Fn::Equals": [{"Ref": "Triggers"}, "true"]}},
        "Resources": {
            "Always": {"Type": "AWS::SNS::Topic"},
            "WithTriggers": {"Type": "AWS::SNS::Topic", "Condition": "HasTriggers"},
        },
    }
)


def change(cloud: EmbeddedCloud, kind: str, triggers: str) -> list[tuple[str, str]]:
    """Make a change set, execute it, and return what it listed."""
    client: Any = cloud.client("cloudformation")
    names = {"StackName": "s", "ChangeSetName": "c"}
    given = [{"ParameterKey": "Triggers", "ParameterValue": triggers}]
    client.create_change_set(**names, ChangeSetType=kind, TemplateBody=TEMPLATE, Parameters=given)
    client.get_waiter("change_set_create_complete").wait(**names, WaiterConfig=AT_ONCE)
    listed = client.describe_change_set(**names)["Changes"]
    client.execute_change_set(**names)
    done = client.get_waiter(f"stack_{kind.lower()}_complete")
    done.wait(StackName="s", WaiterConfig=AT_ONCE)
    client.delete_change_set(**names)
    changes = [each["ResourceChange"] for each in listed]
    return [(each["Action"], each["LogicalResourceId"]) for each in changes]


def resources(cloud: EmbeddedCloud) -> set[str]:
    client: Any = cloud.client("cloudformation")
    found = client.describe_stack_resources(StackName="s")["StackResources"]
    return {each["LogicalResourceId"] for each in found if "DELETE" not in each["ResourceStatus"]}


def test_a_parameter_that_turns_a_condition_makes_and_removes_what_depends_on_it(
    cloud: EmbeddedCloud,
) -> None:
    assert change(cloud, "CREATE", "false") == [("Add", "Always")]
    assert resources(cloud) == {"Always"}
    assert change(cloud, "UPDATE", "true") == [("Add", "WithTriggers")]
    assert resources(cloud) == {"Always", "WithTriggers"}
    assert change(cloud, "UPDATE", "false") == [("Remove", "WithTriggers")]
    assert resources(cloud) == {"Always"}


def test_the_same_parameters_change_nothing(cloud: EmbeddedCloud) -> None:
    change(cloud, "CREATE", "true")
    with pytest.raises(WaiterError, match="FAILED"):
        change(cloud, "UPDATE", "true")
