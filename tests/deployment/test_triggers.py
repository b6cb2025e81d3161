"""The two functions beside the schedule, which never ticks here: within rights, after deaths."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import zipfile
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from local.authorization_server import RefreshMode
from local.stack import Stack
from tests.integration.test_embedded_cloud import within
from token_refresher.events import Step
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.embedded_cloud import Credentials
    from tests.deployment.conftest import Deployed

PREFIX: Final = "beside"
SECONDS: Final = 120.0  # which nothing takes; only a bound
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}
# The program's own entry point, but for a death the first time that a step is asked for.
DIES: Final = """
import os, signal
from token_refresher.handler import on_rotation
def handler(event, context):
    step, when = os.environ["DIES"].split(":")
    if event["Step"] == step and not os.path.exists(os.environ["DIED"]):
        if when == "after":
            on_rotation(event, context)
        open(os.environ["DIED"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return on_rotation(event, context)
"""


class Beside:
    """A stack with all its functions, and accounts that no schedule serves."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.aws = stack.aws
        self.lambdas = self.aws.cloud.client("lambda")

    def onboard(self, name: str, **credentials: str) -> None:
        how: dict[str, Any] = {"users": {"u@example.com": "right"}}
        self.aws.server.register_client(
            name, secret=f"secret-of-{name}", refresh_mode=RefreshMode.ROTATES, **how
        )
        self.aws.secrets.create_secret(
            Name=f"{PREFIX}/credentials/{name}", SecretString=self.credentials(name, **credentials)
        )

    def correct(self, name: str, **credentials: str) -> None:
        self.aws.secrets.put_secret_value(
            SecretId=f"{PREFIX}/credentials/{name}",
            SecretString=self.credentials(name, **credentials),
        )

    def credentials(self, name: str, **credentials: str) -> str:
        client = {"client_id": name, "client_secret": f"secret-of-{name}"}
        return json.dumps(
            {"token_endpoint": self.aws.server.token_endpoint, **client, **USER, **credentials}
        )

    def described(self, name: str) -> Mapping[str, Any]:
        try:
            return self.aws.secrets.describe_secret(SecretId=f"{PREFIX}/tokens/{name}")
        except self.aws.secrets.exceptions.ResourceNotFoundException:
            return {}

    def stages(self, name: str) -> dict[str, str]:
        versions: Mapping[str, list[str]] = self.described(name).get("VersionIdsToStages", {})
        return {stage: version for version, on_it in versions.items() for stage in on_it}

    def error(self, name: str) -> str:
        tags = {tag["Key"]: tag["Value"] for tag in self.described(name).get("Tags", [])}
        found: str = tags.get("token-refresher:failure", "")
        return found.partition("/")[0]

    def is_accepted(self, name: str) -> bool:
        """Whether the resource endpoint takes the published token."""
        return self.aws.consumer(prefix=PREFIX).call(name)

    def hand_in(self, name: str, *, whose: Credentials) -> dict[str, Any]:
        """What a consumer does whose token was refused."""
        rejected = {"account": name, "version_id": self.stages(name)["AWSCURRENT"]}
        answer = self.aws.cloud.client("lambda", credentials=whose).invoke(
            FunctionName=f"{self.stack.name}-triggers", Payload=json.dumps({"rejected": rejected})
        )
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        return told

    def rotate(self, name: str, function: str) -> None:
        self.aws.secrets.rotate_secret(
            SecretId=f"{PREFIX}/tokens/{name}",
            RotationLambdaARN=function,
            RotationRules={"AutomaticallyAfterDays": 30},
        )

    def function_that_dies(self, at: str, died: Path) -> str:
        """Deploy the artifact with a rotation's role and one death, and return its ARN."""
        archive = io.BytesIO()
        built = ROOT / ".aws-sam" / "build" / "RotationFunction"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(built.rglob("*")):
                if path.is_file():
                    file.write(path, path.relative_to(built))
            file.writestr("dies.py", DIES)
        deployed = self.lambdas.get_function_configuration(
            FunctionName=f"{self.stack.name}-rotation"
        )
        variables = {**deployed["Environment"]["Variables"], "DIES": at, "DIED": str(died)}
        name = "dies-" + at.replace(":", "-")
        self.lambdas.create_function(
            FunctionName=name,
            Runtime=deployed["Runtime"],
            Role=deployed["Role"],
            Handler="dies.handler",
            Timeout=deployed["Timeout"],
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": variables},
        )
        self.lambdas.add_permission(
            FunctionName=name,
            StatementId="rotation",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
        )
        arn: str = self.lambdas.get_function_configuration(FunctionName=name)["FunctionArn"]
        return arn


@pytest.fixture(scope="module")
def beside(deployed: Deployed) -> Beside:
    parameters = {"SecretPrefix": PREFIX, "Triggers": "true", "Rotation": "true"}
    stack = Stack(deployed.aws, {"ScheduleMinutes": "15", **parameters}, name="beside")
    stack.make("deploy-stacks")
    found = Beside(stack)
    # The first invocation of a function starts it, here as on AWS.
    found.onboard("first")
    assert within(SECONDS, lambda: "AWSCURRENT" in found.stages("first"))
    return found


def test_new_and_corrected_credentials_are_served_without_any_tick(beside: Beside) -> None:
    beside.onboard("corrected", password="wrong")
    assert within(SECONDS, lambda: beside.error("corrected") != "")
    assert beside.error("corrected") == "action required: invalid_grant"
    beside.correct("corrected")

    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages("corrected"))
    assert beside.is_accepted("corrected")


def test_a_consumer_may_hand_in_a_refused_token_and_force_nobody(beside: Beside) -> None:
    beside.onboard("refused")
    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages("refused"))
    before = beside.stages("refused")["AWSCURRENT"]
    granted = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": beside.stack.output("TriggerFunctionArn"),
    }
    consumer = beside.aws.assumable_role("hands-in", invoke=[granted])
    first = beside.hand_in("refused", whose=consumer)
    second = beside.hand_in("refused", whose=consumer)

    assert (first["outcome"], first["reason"]) == ("published", "rejected")
    assert first["version_id"] == beside.stages("refused")["AWSCURRENT"] != before
    assert (second["outcome"], second["reason"]) == ("not due", "rate limited")
    issued_at = datetime.strptime(before.partition("-")[0], "%Y%m%dT%H%M%S%z")
    assert datetime.fromisoformat(second["retry_at"]) == issued_at + timedelta(minutes=40)
    with pytest.raises(ClientError, match="AccessDenied"):
        beside.aws.cloud.client("lambda", credentials=consumer).invoke(
            FunctionName=beside.stack.name, Payload=b"{}"
        )


def test_secrets_manager_rotates_a_token(beside: Beside) -> None:
    beside.onboard("rotated")
    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages("rotated"))
    before = beside.stages("rotated")["AWSCURRENT"]
    beside.rotate("rotated", beside.stack.output("RotateToken").split()[6])
    assert within(SECONDS, lambda: "LastRotatedDate" in beside.described("rotated"))

    stages = beside.stages("rotated")
    assert stages["AWSPREVIOUS"] == before
    assert "AWSPENDING" not in stages
    assert beside.is_accepted("rotated")


def test_rotation_is_set_for_every_token_by_the_commands_that_are_shown(beside: Beside) -> None:
    document = (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    [commands] = [each for each in blocks if "rotate-secret" in each]
    commands = commands.replace("token-refresher-rotation", f"{beside.stack.name}-rotation")
    name = "rotated-by-the-calendar"
    beside.onboard(name)
    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages(name))
    before = beside.stages(name)
    environment = beside.stack.environment()
    done = subprocess.run(  # noqa: S603 - the document's own
        ["bash", "-euo", "pipefail", "-c", commands.replace("oauth/tokens/", f"{PREFIX}/tokens/")],  # noqa: S607
        env={**environment, "PATH": f"{ROOT}/.venv-deploy/bin:{environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert within(SECONDS, lambda: "AWSPENDING" not in beside.stages(name))

    described = beside.described(name)
    assert described["RotationEnabled"] is True
    assert described["RotationRules"] == {"ScheduleExpression": "cron(0 4 1 * ? *)"}
    assert beside.stages(name) == before
    logs = beside.aws.cloud.client("logs")
    group = f"/aws/lambda/{beside.stack.name}"
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    told = [each["message"] for page in pages for each in page["events"]]
    assert told
    assert not [line for line in told if "createSecret comes first" in line]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", list(Step))
def test_a_rotation_that_died_in_a_step_ends_well_when_it_is_tried_again(
    beside: Beside, tmp_path: Path, step: Step, when: str
) -> None:
    name, died = f"{step}-{when}".lower(), tmp_path / "died"
    beside.onboard(name)
    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages(name))
    function = beside.function_that_dies(f"{step}:{when}", died)
    beside.rotate(name, function)
    assert within(SECONDS, died.exists)
    redeemed = len(beside.aws.server.requests)
    before = beside.stages(name)
    if "AWSPENDING" in before:
        # It is tried again, and the caller is told of the one before.
        with pytest.raises(ClientError, match="InvalidRequestException"):
            beside.rotate(name, function)
    assert within(SECONDS, lambda: "AWSPENDING" not in beside.stages(name))

    assert ("AWSPENDING" in before) is (f"{step}:{when}" != "finishSecret:after")
    assert beside.stages(name)["AWSCURRENT"] == before.get("AWSPENDING", before["AWSCURRENT"])
    assert beside.is_accepted(name)
    assert len(beside.aws.server.requests) - redeemed <= 1
    shutil.rmtree(tmp_path)


def test_two_stacks_side_by_side_leave_each_other_s_accounts_alone(
    beside: Beside, deployed: Deployed
) -> None:
    deployed.stack.register("cell", users={"u@example.com": "right"})
    deployed.stack.put_credentials("cell", **USER)
    beside.onboard("cell")
    assert within(SECONDS, lambda: "AWSCURRENT" in beside.stages("cell"))
    before = beside.stages("cell")
    told = deployed.stack.invoke({"accounts": ["cell"], "force": True})
    own = deployed.aws.secrets.describe_secret(SecretId="oauth/tokens/cell")["VersionIdsToStages"]
    told_beside = beside.stack.invoke()

    assert [each["outcome"] for each in told["accounts"]] == ["published"]
    assert beside.stages("cell") == before
    assert told_beside["outcomes"] == {"fresh": told_beside["accounts_managed"]}
    assert (
        deployed.aws.secrets.describe_secret(SecretId="oauth/tokens/cell")["VersionIdsToStages"]
        == own
    )


def test_deleting_the_stack_leaves_the_tokens(beside: Beside) -> None:
    beside.stack.make("undeploy")

    assert beside.is_accepted("first")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        beside.lambdas.get_function(FunctionName="beside-triggers")
