"""The ways to deploy without `make`: SAM alone, and a release's template without SAM."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.embedded_cloud import ROOT
from local.stack import Stack
from tests.clones import GIT, copy_project
from tools import artifact, packaged, templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.stack import LocalAws
    from tests.deployment.conftest import Deployed

AWS: Final = ROOT / ".venv-deploy" / "bin" / "aws"
SAM: Final = ROOT / ".venv-deploy" / "bin" / "sam"
BUILT: Final = ROOT / ".aws-sam" / "build" / "TokenRefresherFunction"
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}


def run(
    *command: str | Path,
    within: Path,
    environment: Mapping[str, str] | None = None,
    typed: Sequence[str] = (),
) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=within,
        env=environment,
        input="".join(f"{line}\n" for line in typed),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a stranger gets who clones this tree, once it is committed."""
    clone = copy_project(tmp_path / "clone")
    run(GIT, "init", "--quiet", within=clone)
    run(GIT, "add", "--all", within=clone)
    person = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    run(GIT, *person, "commit", "--quiet", "--message=all", within=clone)
    return clone


def test_sam_alone_deploys_a_fresh_clone_changes_no_file_of_it_and_says_how_to_deploy_the_alarms(
    aws: LocalAws, clone: Path
) -> None:
    stack = Stack(aws, {}, name="guided")
    settings = {**stack.environment(), "SAM_CLI_TELEMETRY": "0"}
    del settings["ARCHITECTURE"], settings["STACK"]
    place = {**aws.parameters(), "SecretPrefix": "guided/oauth", "ScheduleMinutes": "15"}
    run(
        *(SAM, "build", "--parameter-overrides", f"Architecture={place['Architecture']}"),
        within=clone,
        environment=settings,
    )
    # The stack's name, the Region, each parameter, and whatever SAM asks for besides.
    names = templates.load(clone / "template.yaml")["Parameters"]
    answers = [stack.name, "", *(place.get(name, "") for name in names), *[""] * 20]
    said = run(SAM, "deploy", "--guided", within=clone, environment=settings, typed=answers)
    assert "Saved arguments to config file" in said
    # It runs, and has no account.
    assert stack.invoke({"dry_run": True})["accounts"] == []

    alarms = shlex.split(stack.output("DeployAlarms"))
    assert alarms.pop(0) == "sam"
    run(SAM, *alarms, within=clone, environment=settings)
    assert "ActionRequired" in stack.resources(stack="-monitoring")
    assert run(GIT, "status", "--porcelain", within=clone) == ""


def test_a_release_deployed_without_this_repository_is_granted_the_same_and_publishes_tokens(
    deployed: Deployed, tmp_path: Path
) -> None:
    aws = deployed.aws
    stack = Stack(
        aws, {**deployed.stack.parameters, "SecretPrefix": "released"}, name="of-a-release"
    )
    parameters = {**aws.parameters(), **stack.parameters}
    name = packaged.artifact_name("1.2.3", parameters["Architecture"])
    s3 = aws.cloud.client("s3")
    s3.create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    s3.put_object(Bucket="artifacts", Key=f"releases/{name}", Body=artifact.zipped(BUILT))
    (tmp_path / "template.yaml").write_text(packaged.packaged_template("1.2.3"))
    where = {"ArtifactBucket": "artifacts", "ArtifactPrefix": "releases/"}
    overrides = [f"{key}={value}" for key, value in {**where, **parameters}.items()]
    run(
        *(AWS, "cloudformation", "deploy", "--template-file", "template.yaml"),
        *("--stack-name", stack.name, "--capabilities", "CAPABILITY_IAM"),
        *("--parameter-overrides", *overrides),
        within=tmp_path,
        environment={**Stack.clean_environment(), **aws.cloud.environment()},
    )
    assert granted(stack, "released") == granted(deployed.stack, "oauth")

    stack.register("dealer-17", users={"u@example.com": "right"})
    credentials = {
        "token_endpoint": aws.server.token_endpoint,
        "client_id": "dealer-17",
        "client_secret": "secret-of-dealer-17",
        **USER,
    }
    aws.secrets.create_secret(
        Name="released/credentials/dealer-17",
        KmsKeyId=deployed.credentials_key,
        SecretString=json.dumps(credentials),
    )
    stack.invoke()
    assert aws.consumer(prefix="released").call("dealer-17")


def granted(stack: Stack, prefix: str) -> dict[str, str]:
    """Every policy of a stack by its name in the template, as in a stack of the usual names."""
    iam = stack.aws.cloud.client("iam")
    client = stack.aws.cloud.client("cloudformation")
    resources = client.describe_stack_resources(StackName=stack.name)["StackResources"]
    found: dict[str, Any] = {}
    for each in resources:
        name, physical = each["LogicalResourceId"], each["PhysicalResourceId"]
        if each["ResourceType"] == "AWS::IAM::Role":
            inline = iam.list_role_policies(RoleName=physical)["PolicyNames"]
            found[name] = [
                iam.get_role(RoleName=physical)["Role"]["AssumeRolePolicyDocument"],
                iam.list_attached_role_policies(RoleName=physical)["AttachedPolicies"],
                *(
                    iam.get_role_policy(RoleName=physical, PolicyName=policy)["PolicyDocument"]
                    for policy in inline
                ),
            ]
        elif each["ResourceType"] == "AWS::IAM::ManagedPolicy":
            version = iam.get_policy(PolicyArn=physical)["Policy"]["DefaultVersionId"]
            found[name] = iam.get_policy_version(PolicyArn=physical, VersionId=version)[
                "PolicyVersion"
            ]["Document"]
    texts = {name: json.dumps(each, sort_keys=True) for name, each in found.items()}
    own = {each["PhysicalResourceId"].rpartition("/")[2]: each for each in resources}
    # What is named after the stack has its name for its own, and others begin with it.
    names = [(name, own[name]["LogicalResourceId"]) for name in sorted(own.keys() - {stack.name})]
    for old, new in ((f":{prefix}/", ":oauth/"), *names, (stack.name, "token-refresher")):
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    return texts
