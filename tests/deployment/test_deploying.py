"""Where `make deploy` and `make undeploy` go, and what they refuse before the build."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from local.embedded_cloud import ROOT
from local.stack import MAKE_WITHIN_SECONDS, Stack
from tests.signatures import SignatureRecorder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.conftest import Deployed


def make(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one of the project's commands in an operator's shell."""
    return subprocess.run(  # noqa: S603
        ["make", *arguments],  # noqa: S607
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKE_WITHIN_SECONDS,
    )


def stacks(deployed: Deployed, region: str) -> set[str]:
    client: Any = deployed.aws.cloud.client("cloudformation", region=region)
    return {each["StackName"] for each in client.describe_stacks()["Stacks"]}


@pytest.fixture
def elsewhere(deployed: Deployed, tmp_path: Path) -> dict[str, str]:
    """A shell that names a Region by AWS_REGION alone; all else names others."""
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-east-1\n")
    return {
        **deployed.stack.environment(),
        "AWS_CONFIG_FILE": str(config),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-central-1",
        # Keys belong to a Region.
        "PARAMETERS": Stack(deployed.aws, {"ScheduleMinutes": "15"}).settings()["PARAMETERS"],
    }


def test_deploy_and_undeploy_sign_every_request_for_aws_region_alone(
    deployed: Deployed, elsewhere: dict[str, str]
) -> None:
    before = stacks(deployed, "eu-west-1")
    assert deployed.stack.name in before
    for command, stay in (("deploy-stacks", True), ("undeploy", False)):
        with SignatureRecorder(deployed.aws.cloud.endpoint_url) as recorder:
            done = make(command, environment={**elsewhere, "AWS_ENDPOINT_URL": recorder.url})
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(recorder.regions()) == {"eu-central-1"}
        assert (deployed.stack.name in stacks(deployed, "eu-central-1")) == stay
        first, *_ = done.stdout.splitlines()
        assert first.startswith("AWS account 000000000000, Region eu-central-1, as arn:")
    assert stacks(deployed, "eu-west-1") == before
