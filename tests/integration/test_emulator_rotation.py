"""RotateSecret of the embedded cloud asks a function for four steps, as AWS documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from tests.integration.test_embedded_cloud import within
from tests.integration.test_emulator_functions import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.embedded_cloud import EmbeddedCloud

SECONDS: Final = 60.0  # only a defect takes as long
RULES: Final[Any] = {"AutomaticallyAfterDays": 30}
STEPS: Final = ["createSecret", "setSecret", "testSecret", "finishSecret"]
# Writes down what it is asked, and fails where the file beside says so.
WRITE_DOWN: Final = """
import json, os
def handler(event, context):
    with open(os.environ["ASKED"], "a") as file:
        file.write(json.dumps(event) + chr(10))
    if os.path.exists(os.environ["ASKED"] + "-" + event["Step"]):
        raise ValueError(event["Step"])
"""


def deploy_rotation_function(cloud: EmbeddedCloud, source: str, **variables: str) -> str:
    """Create a function that Secrets Manager may invoke, and return its ARN."""
    deploy(cloud, source, Environment={"Variables": variables})
    client = cloud.client("lambda")
    client.add_permission(
        FunctionName="f",
        StatementId="rotation",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    arn: str = client.get_function_configuration(FunctionName="f")["FunctionArn"]
    return arn


@pytest.fixture
def secrets(cloud: EmbeddedCloud) -> SecretsManagerClient:
    client = cloud.client()
    client.create_secret(Name="s", SecretString="before")
    return client


def asked(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_version_is_made_empty_and_four_steps_are_asked_for(
    cloud: EmbeddedCloud, secrets: SecretsManagerClient, tmp_path: Path
) -> None:
    function = deploy_rotation_function(cloud, WRITE_DOWN, ASKED=str(tmp_path / "asked"))
    answer = secrets.rotate_secret(SecretId="s", RotationLambdaARN=function, RotationRules=RULES)
    within(SECONDS, lambda: len(asked(tmp_path / "asked")) == len(STEPS))

    assert asked(tmp_path / "asked") == [
        {"Step": step, "SecretId": answer["ARN"], "ClientRequestToken": answer["VersionId"]}
        for step in STEPS
    ]
    described = secrets.describe_secret(SecretId="s")
    assert described["RotationEnabled"]
    assert described["VersionIdsToStages"][answer["VersionId"]] == ["AWSPENDING"]
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "before"
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId="s", VersionStage="AWSPENDING")


def test_the_empty_version_takes_one_value_and_no_other(
    cloud: EmbeddedCloud, secrets: SecretsManagerClient
) -> None:
    function = deploy_rotation_function(cloud, "def handler(event, context): raise ValueError")
    version = secrets.rotate_secret(SecretId="s", RotationLambdaARN=function)["VersionId"]
    put: Any = {"SecretId": "s", "ClientRequestToken": version, "VersionStages": ["AWSPENDING"]}
    secrets.put_secret_value(SecretString="after", **put)
    secrets.put_secret_value(SecretString="after", **put)
    with pytest.raises(secrets.exceptions.ResourceExistsException):
        secrets.put_secret_value(SecretString="other", **put)

    read = secrets.get_secret_value(SecretId="s", VersionStage="AWSPENDING")
    assert (read["SecretString"], read["VersionId"]) == ("after", version)
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "before"


def test_a_rotation_that_failed_is_tried_again_with_the_same_version(
    cloud: EmbeddedCloud, secrets: SecretsManagerClient, tmp_path: Path
) -> None:
    file, failing = tmp_path / "asked", tmp_path / "asked-setSecret"
    failing.touch()
    function = deploy_rotation_function(cloud, WRITE_DOWN, ASKED=str(file))
    first = secrets.rotate_secret(SecretId="s", RotationLambdaARN=function, RotationRules=RULES)
    within(SECONDS, lambda: len(asked(file)) == 2)
    failing.unlink()
    with pytest.raises(ClientError, match="previous rotation"):
        secrets.rotate_secret(SecretId="s")
    within(SECONDS, lambda: len(asked(file)) == 2 + len(STEPS))

    assert [each["Step"] for each in asked(file)] == [*STEPS[:2], *STEPS]
    assert {each["ClientRequestToken"] for each in asked(file)} == {first["VersionId"]}


def test_a_function_that_does_not_let_secrets_manager_in_is_refused(
    cloud: EmbeddedCloud, secrets: SecretsManagerClient
) -> None:
    deploy(cloud, WRITE_DOWN)
    arn = cloud.client("lambda").get_function_configuration(FunctionName="f")["FunctionArn"]
    with pytest.raises(ClientError, match="AccessDenied"):
        secrets.rotate_secret(SecretId="s", RotationLambdaARN=arn)


def test_a_rotation_that_is_set_up_for_later_is_tested_on_a_version_that_goes_away_again(
    cloud: EmbeddedCloud, secrets: SecretsManagerClient, tmp_path: Path
) -> None:
    function = deploy_rotation_function(cloud, WRITE_DOWN, ASKED=str(tmp_path / "asked"))
    secrets.rotate_secret(
        SecretId="s", RotationLambdaARN=function, RotationRules=RULES, RotateImmediately=False
    )
    within(SECONDS, lambda: len(asked(tmp_path / "asked")) == 1)
    within(SECONDS, lambda: len(secrets.describe_secret(SecretId="s")["VersionIdsToStages"]) == 1)

    assert [each["Step"] for each in asked(tmp_path / "asked")] == ["testSecret"]
    described = secrets.describe_secret(SecretId="s")
    assert list(described["VersionIdsToStages"].values()) == [["AWSCURRENT"]]
    assert described["RotationRules"] == RULES
    assert "LastRotatedDate" not in set(described)
