"""Copies of tokens in other Regions, as people see them and get rid of them."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.deployed import STACK, Deployed
from tests.cli.operator import pasted

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator

TOKEN: Final = "oauth/tokens/dealer-17"


@pytest.fixture(autouse=True)
def _deployed(cloud: EmbeddedCloud, operator: Operator) -> None:
    """A stack with ReplicaRegions, its own among them, and a token that is not copied yet."""
    deployed = Deployed.with_parameters(
        cloud, operator.schedule, ReplicaRegions="eu-central-1,eu-west-1,us-east-1"
    )
    operator.add("dealer-17")
    deployed.sweep()


def replicas_step(operator: Operator) -> Any:  # noqa: ANN401
    [*_, step] = operator.tells(f"doctor dealer-17 --stack {STACK}")["steps"]
    assert step["step"] == "replicas"
    return step


def replicate(operator: Operator, *regions: str) -> None:
    """Have the token copied, as the function does."""
    added: Any = [{"Region": region} for region in regions]
    operator.secrets.replicate_secret_to_regions(SecretId=TOKEN, AddReplicaRegions=added)


def test_a_doctor_says_which_region_lacks_the_token_and_why(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    cloud.client(region="us-east-1").create_secret(Name=TOKEN, SecretString="theirs")
    replicate(operator, "eu-central-1")
    step = replicas_step(operator)
    assert step["verdict"] == "not known"
    assert step["found"].startswith("the newest token is not in us-east-1 (missing)")

    replicate(operator, "us-east-1")
    step = replicas_step(operator)
    assert step["verdict"] == "wrong"
    assert step["found"] == "the newest token is not in us-east-1 (Failed)"
    [look] = pasted(step["fix"])
    assert look[:3] == ["aws", "secretsmanager", "describe-secret"]

    cloud.client(region="us-east-1").delete_secret(SecretId=TOKEN, ForceDeleteWithoutRecovery=True)
    replicate(operator, "us-east-1")
    step = replicas_step(operator)
    assert step["verdict"] == "ok"
    assert step["found"] == "the newest token is in eu-central-1, us-east-1"


def test_a_doctor_says_that_the_function_may_not_copy(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    """A Region that it may not add would be awaited for ever."""
    iam: Any = cloud.client("iam")
    stacks: Any = cloud.client("cloudformation")
    role = stacks.describe_stack_resource(StackName=STACK, LogicalResourceId="FunctionRole")[
        "StackResourceDetail"
    ]["PhysicalResourceId"]
    action = "secretsmanager:ReplicateSecretToRegions"
    policy = {"Effect": "Deny", "Action": action, "Resource": "*"}
    iam.put_role_policy(
        RoleName=role,
        PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
    )
    step = replicas_step(operator)
    assert step["verdict"] == "wrong"
    assert step["found"].endswith(f": the function's role may not {action} on {TOKEN}")


def test_an_account_with_copies_is_removed_once_they_are_gone(operator: Operator) -> None:
    replicate(operator, "eu-central-1", "us-east-1")
    refused = operator.run(f"remove dealer-17 --yes --stack {STACK}")
    assert refused.exit_code == 3
    [remove_regions] = [words for words in pasted(refused.stderr) if words[0] == "aws"]
    told = shlex.join(remove_regions)
    assert f"--secret-id {TOKEN} --remove-replica-regions eu-central-1 us-east-1" in told
    operator.secrets.remove_regions_from_replication(
        SecretId=TOKEN, RemoveReplicaRegions=["eu-central-1", "us-east-1"]
    )
    operator.says(f"remove dealer-17 --yes --stack {STACK}")


def test_a_copy_is_told_as_one_where_somebody_would_remove_it(operator: Operator) -> None:
    replicate(operator, "us-east-1")
    refused = operator.run("remove dealer-17 --yes --region us-east-1")
    assert refused.exit_code == 3
    assert "or is a replica itself" in refused.stderr
