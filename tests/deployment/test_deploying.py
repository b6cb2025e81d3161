"""Where `make deploy` and `make undeploy` go, and what they refuse before the build."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from local.embedded_cloud import ROOT, EmbeddedCloud
from local.stack import MAKE_WITHIN_SECONDS, LocalAws, Stack
from tests.cli.relay import Instead, Relay
from tests.signatures import SignatureRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As CloudFormation refuses, whose answers are XML.
DENIED = Instead(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")


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


@pytest.fixture
def aws() -> Iterator[LocalAws]:
    """One of its own: IAM knows no Region, and another stack's roles may have the same names."""
    with LocalAws() as local_aws:
        yield local_aws


def stacks(aws: LocalAws, region: str) -> dict[str, str]:
    """The id of each stack in a Region by its name."""
    client: Any = aws.cloud.client("cloudformation", region=region)
    return {each["StackName"]: each["StackId"] for each in client.describe_stacks()["Stacks"]}


def test_deploy_and_undeploy_go_to_aws_region_alone(aws: LocalAws, tmp_path: Path) -> None:
    stack = Stack(aws, {"ScheduleMinutes": "15"})
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-east-1\n")
    shell = {
        **stack.environment(),
        "AWS_CONFIG_FILE": str(config),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-central-1",
    }
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    aws.cloud.client("cloudformation").create_stack(StackName=stack.name, TemplateBody=template)
    before = stacks(aws, "eu-west-1")
    for command, expected in (
        ("deploy", {stack.name, f"{stack.name}-monitoring"}),
        ("undeploy", set()),
    ):
        with SignatureRecorder(aws.cloud.endpoint_url) as recorder:
            done = make(command, environment={**shell, "AWS_ENDPOINT_URL": recorder.url})
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(recorder.regions()) == {"eu-central-1"}
        assert stacks(aws, "eu-central-1").keys() - {"aws-sam-cli-managed-default"} == expected
        first, *_ = done.stdout.splitlines()
        assert first.startswith("AWS account 000000000000, Region eu-central-1, as arn:")
    assert before.keys() == {stack.name}
    assert stacks(aws, "eu-west-1") == before


def test_a_first_deploy_that_would_fail_half_way_builds_nothing() -> None:
    with EmbeddedCloud(account_concurrency=100) as small_account:
        environment = {**Stack.clean_environment(), **small_account.environment()}
        done = make("deploy", environment=environment)
    assert done.returncode != 0
    assert "ReserveConcurrency=false" in done.stderr
    # Each step of a build and of a deployment is announced so.
    assert "== " not in done.stdout


def named(cloud: EmbeddedCloud) -> set[str]:
    client: Any = cloud.client("cloudformation")
    return {each["StackName"] for each in client.describe_stacks()["Stacks"]}


def test_an_account_is_made_where_its_function_looks_for_it_and_a_dry_run_makes_none(
    cloud: EmbeddedCloud,
) -> None:
    given = {
        "SecretPrefix": "fr/oauth",
        "CredentialsKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/an-invented-one",
        "RefreshBeforeSeconds": "5400",
    }
    template = {
        "Parameters": {name: {"Type": "String", "Default": each} for name, each in given.items()},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
    client: Any = cloud.client("cloudformation")
    client.create_stack(StackName="token-refresher-fr", TemplateBody=json.dumps(template))
    done = make(
        *("account", "ACCOUNT=dealer-17", "DRY_RUN=1"),
        *("STACK=token-refresher-fr", "PARAMETERS=CredentialsKmsKeyArn="),
        environment={**Stack.clean_environment(), **cloud.environment()},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert told[1:3] == ["New: token-refresher-fr-account-dealer-17", "   SecretPrefix: fr/oauth"]
    assert "   add      SecretsManager Secret: Credentials" in told
    assert named(cloud) == {"token-refresher-fr"}


def test_a_plan_that_fails_leaves_no_empty_stack_behind(cloud: EmbeddedCloud) -> None:
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda _: DENIED if relay.calls[-1] == "DescribeChangeSet" else None
        environment = {**Stack.clean_environment(), **cloud.environment()}
        environment["AWS_ENDPOINT_URL"] = relay.url
        done = make("account", "ACCOUNT=dealer-17", environment=environment)
    assert "sam deploy failed, and has said why above.\n" in done.stderr
    assert "CreateChangeSet" in relay.calls
    assert named(cloud) == set()


def test_the_shell_runs_no_part_of_what_is_given(tmp_path: Path) -> None:
    environment = Stack.clean_environment()
    for word in (f"$(touch {tmp_path}/stack)", f"`touch {tmp_path}/stack`"):
        done = make("undeploy", f"STACK={word.replace('$', '$$')}", environment=environment)
        assert "is no name for a stack" in done.stderr
    given = f"PARAMETERS=Triggers=true;touch${{IFS}}{tmp_path}/parameters".replace("$", "$$")
    assert make("deploy-stacks", given, environment=environment).returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_the_stack_that_the_command_line_is_told_of_is_the_one_that_is_meant(
    cloud: EmbeddedCloud,
) -> None:
    shell = {**Stack.clean_environment(), **cloud.environment()}
    told = {**shell, "TOKEN_REFRESHER_STACK": "mine"}
    assert "There is no stack mine in account" in make("undeploy", environment=told).stdout
    for given in ("STACK=another",), ():
        done = make("undeploy", *given, environment={**told, "STACK": "another"})
        if given:
            assert "There is no stack another in account" in done.stdout
        else:
            assert "STACK=another, and TOKEN_REFRESHER_STACK=mine." in done.stderr
            assert done.returncode != 0
    for empty in ({}, {"TOKEN_REFRESHER_STACK": ""}):
        done = make("undeploy", environment={**shell, **empty})
        assert "There is no stack token-refresher in account" in done.stdout


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [
        (("undeploy", "YES=1", "ACCOUNT=dealer-17"), "make undeploy takes no ACCOUNT."),
        (("deploy", "PARAMETER=Signing=true"), "takes no PARAMETER. Did you mean PARAMETERS?"),
        (("account", "ACOUNT=a b; $$(c)"), "takes no ACOUNT. Did you mean ACCOUNT?"),
    ],
    ids=["of another target", "misspelt", "whatever it holds"],
)
def test_a_variable_that_a_target_does_not_take_is_refused_before_anything_is_done(
    typed: tuple[str, ...], refusal: str
) -> None:
    environment = {**Stack.clean_environment(), "ACCOUNT": "of the shell, and passed over"}
    done = make(*typed, environment=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert refusal in done.stderr
