"""The deployed stack: what operators change, and what becomes of a failure."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from local.authorization_server import WaitsFor
from local.embedded_cloud import RUNTIME
from local.stack import Stack, StackError
from tests.integration.test_embedded_cloud import within
from tools import templates

if TYPE_CHECKING:
    from tests.deployment.conftest import Deployed

WITHIN_SECONDS: Final = 120
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}


def failed_event(deployed: Deployed) -> dict[str, Any]:
    """Wait for a message in the queue of failed events."""
    sqs = deployed.aws.cloud.client("sqs")
    url = deployed.stack.resources()["FailedEvents"]
    for _ in range(WITHIN_SECONDS):
        found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", [])
        if found:
            told: dict[str, Any] = json.loads(found[0]["Body"])
            return told
    raise AssertionError("no event reached the queue")


def test_an_event_that_failed_is_kept_with_its_error(deployed: Deployed) -> None:
    deployed.aws.cloud.client("lambda").invoke(
        FunctionName=deployed.stack.name, InvocationType="Event", Payload='{"acounts": []}'
    )
    kept = failed_event(deployed)
    assert kept["requestPayload"] == {"acounts": []}
    assert "accepted are {} for a sweep" in kept["responsePayload"]["errorMessage"]


def test_what_is_deployed_is_what_the_template_says(deployed: Deployed) -> None:
    client = deployed.aws.cloud.client("lambda")
    function = client.get_function_configuration(FunctionName=deployed.stack.name)
    properties = templates.function()
    assert function["Runtime"] == RUNTIME
    assert function["Timeout"] == properties["Timeout"]
    assert function["LoggingConfig"]["LogGroup"] == "/aws/lambda/token-refresher"
    assert (
        client.get_function_concurrency(FunctionName=deployed.stack.name)[
            "ReservedConcurrentExecutions"
        ]
        == properties["ReservedConcurrentExecutions"]
    )
    invoked = client.get_function_event_invoke_config(
        FunctionName=deployed.stack.name, Qualifier="$LATEST"
    )
    assert (invoked["MaximumRetryAttempts"], invoked["MaximumEventAgeInSeconds"]) == (0, 60)
    groups = deployed.aws.cloud.client("logs").describe_log_groups()["logGroups"]
    assert [each["retentionInDays"] for each in groups if "token-refresher" in each["arn"]] == [30]


def test_each_stack_has_the_tags_and_keeps_them_where_they_are_not_named_again(
    deployed: Deployed,
) -> None:
    stack, wanted = deployed.stack, {"team": "payments", "cost-center": "42"}
    said = stack.make("account", "ACCOUNT=tagged")
    assert said.endswith(
        f"    token-refresher add tagged --stack {stack.name} --region eu-west-1\n"
    )
    client = deployed.aws.cloud.client("cloudformation")
    for ending in ("", "-monitoring", "-account-tagged"):
        [told] = client.describe_stacks(StackName=stack.name + ending)["Stacks"]
        assert {each["Key"]: each["Value"] for each in told["Tags"]} == wanted, ending
    secret = deployed.aws.secrets.describe_secret(SecretId="oauth/credentials/tagged")
    assert wanted.items() <= {each["Key"]: each["Value"] for each in secret["Tags"]}.items()
    function = deployed.aws.cloud.client("lambda").get_function(FunctionName=stack.name)
    assert wanted.items() <= function["Tags"].items()


def test_two_stacks_side_by_side_touch_no_account_of_each_other(deployed: Deployed) -> None:
    aws = deployed.aws
    other = Stack(aws, {"ScheduleMinutes": "15", "SecretPrefix": "cell/oauth"}, name="cell-2")
    other.make("deploy-stacks")
    deployed.stack.register("mine", users={"u@example.com": "right"})
    deployed.stack.put_credentials("mine", **USER)
    mine = aws.secrets.get_secret_value(SecretId="oauth/credentials/mine")["SecretString"]
    aws.secrets.create_secret(Name="cell/oauth/credentials/theirs", SecretString=mine)

    assert [each["account"] for each in other.invoke()["accounts"]] == ["theirs"]
    assert "theirs" not in str(deployed.stack.invoke())
    pages = aws.secrets.get_paginator("list_secrets").paginate()
    names = {each["Name"] for page in pages for each in page["SecretList"]}
    assert {"cell/oauth/tokens/theirs", "oauth/tokens/mine"} <= names
    assert not {"oauth/tokens/theirs", "cell/oauth/tokens/mine"} & names
    other.make("undeploy")
    assert deployed.stack.invoke()["accounts_managed"] >= 1


def test_without_refresh_tokens_the_credentials_path_is_never_written(deployed: Deployed) -> None:
    stack, secrets = deployed.stack, deployed.aws.secrets
    other = Stack(deployed.aws, {"SecretPrefix": "ignore", "RefreshTokens": "ignore"}, "ignore")
    other.make("deploy-stacks")
    stack.register("password-grant", users={"u@example.com": "right"})
    stack.put_credentials("password-grant", **USER)
    own = json.loads(
        secrets.get_secret_value(SecretId="oauth/credentials/password-grant")["SecretString"]
    )
    refresh_only = {**own, "grant_type": "refresh_token", "refresh_token": "made-up"}
    for key in ("username", "password"):
        del refresh_only[key]
    for name, credentials in (("password-grant", own), ("refresh-only", refresh_only)):
        text = json.dumps(credentials)
        secrets.create_secret(Name=f"ignore/credentials/{name}", SecretString=text)
    told = {each["account"]: each for each in other.invoke()["accounts"]}

    assert (told["password-grant"]["outcome"], told["password-grant"].get("error")) == (
        "published",
        None,
    )
    assert told["refresh-only"]["error"] == "refresh_tokens_ignored"
    for name in told:
        secret = secrets.describe_secret(SecretId=f"ignore/credentials/{name}")
        assert list(secret["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_a_parameter_that_the_template_refuses_is_told_by_the_command(deployed: Deployed) -> None:
    wrong = Stack(deployed.aws, {"SecretPrefix": "oauth/"}, name="wrong")
    with pytest.raises(StackError, match="SecretPrefix"):
        wrong.make("deploy-stacks")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("ScheduleMinutes", "2"),
        ("RefreshBeforeSeconds", "60"),
        ("RefreshTokens", "maybe"),
        ("VpcSubnetIds", "subnet-0a1b2c3d"),
    ],
)
def test_a_parameter_that_is_out_of_bounds_is_refused_before_anything_is_made(
    deployed: Deployed, parameter: str, value: str
) -> None:
    cloudformation = deployed.aws.cloud.client("cloudformation")
    packaged = cloudformation.get_template(StackName=deployed.stack.name, TemplateStage="Original")
    with pytest.raises(ClientError, match=parameter):
        cloudformation.create_stack(
            StackName="wrong",
            TemplateBody=packaged["TemplateBody"],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": parameter, "ParameterValue": value}],
        )
    names = {each["FunctionName"] for each in functions(deployed)}
    assert "wrong" not in names


def functions(deployed: Deployed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployed.aws.cloud.client("lambda").list_functions()["Functions"]
    return found


def test_a_secret_is_in_no_log_line_and_no_message_of_the_stack(deployed: Deployed) -> None:
    stack = deployed.stack
    stack.register("quiet", users={"u@example.com": "MARK-right"})
    stack.put_credentials("quiet", **{**USER, "password": "MARK-right"})
    stack.register("loud", users={"u@example.com": "MARK-right"})
    stack.put_credentials("loud", **{**USER, "password": "MARK-wrong"})
    stack.invoke()
    token = deployed.aws.consumer().token("quiet")
    assert token is not None
    logs = deployed.aws.cloud.client("logs").get_paginator("filter_log_events")
    pages = logs.paginate(logGroupName="/aws/lambda/token-refresher")
    lines = "\n".join(each["message"] for page in pages for each in page["events"])
    assert '"loud"' in lines
    for secret in ("MARK", "secret-of-", token["access_token"]):
        assert secret not in lines


def test_a_tick_that_finds_a_sweep_at_work_is_throttled_and_costs_nothing(
    deployed: Deployed,
) -> None:
    stack, server = deployed.stack, deployed.aws.server
    stack.register("slow", users={"u@example.com": "right"})
    stack.put_credentials("slow", **USER)
    may_answer = threading.Event()
    server.fail(WaitsFor(may_answer), client_id="slow")
    requests = len(server.requests)
    with ThreadPoolExecutor() as pool:
        try:
            sweep = pool.submit(stack.invoke)
            assert within(WITHIN_SECONDS, lambda: len(server.requests) > requests)
            client = deployed.aws.cloud.client("lambda")
            with pytest.raises(client.exceptions.TooManyRequestsException):
                client.invoke(FunctionName=stack.name)
        finally:
            may_answer.set()
        told = {each["account"]: each["outcome"] for each in sweep.result()["accounts"]}
    server.recover(client_id="slow")
    assert told["slow"] == "published"
