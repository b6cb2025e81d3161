"""What `make deploy`, `make account` and `make undeploy` refuse before anything is built."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.exceptions import WaiterError
from typing_extensions import override

from local.embedded_cloud import EmbeddedCloud
from local.stack import Stack
from tests.cli.relay import Instead, Relay
from tests.signatures import SignatureRecorder
from tests.unit.loopback import nobody_listens
from tools import deploy, templates
from tools.deploying.names import account_stack, check_name
from tools.deploying.place import DeployError, Place
from tools.deploying.stacks import reserved
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACK = "token-refresher"
AT_ONCE = {"Delay": 0, "MaxAttempts": 200}
# As CloudFormation refuses, whose answers are XML.
DENIED = Instead(
    403,
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>",
)
LONG = {"": "s" * 65, "Triggers": "s" * 56, "Rotation": "s" * 56}


@pytest.fixture(scope="module")
def small_account() -> Iterator[EmbeddedCloud]:
    """An AWS account whose concurrency cannot be reserved."""
    with EmbeddedCloud(account_concurrency=100) as cloud:
        yield cloud


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """A shell that knows no AWS account."""
    return {
        **Stack.clean_environment(),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(
    environment: dict[str, str], *arguments: str, stack: str = STACK
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.deploy", f"--stack={stack}", *arguments]
    return subprocess.run(  # noqa: S603
        command, cwd=templates.ROOT, env=environment, capture_output=True, text=True, check=False
    )


def deployed(cloud: EmbeddedCloud, stack: str, **parameters: str) -> None:
    """A stack that was deployed with these parameters, whatever else is in it."""
    create(cloud, stack, {"Type": "AWS::SNS::Topic"}, parameters)


def roll_back(cloud: EmbeddedCloud, stack: str, **parameters: str) -> None:
    """A stack that could not be created."""
    url = {"TargetFunctionArn": "no-such-function", "AuthType": "AWS_IAM"}
    with pytest.raises(WaiterError):
        create(cloud, stack, {"Type": "AWS::Lambda::Url", "Properties": url}, parameters)


def create(
    cloud: EmbeddedCloud, stack: str, resource: dict[str, Any], parameters: dict[str, str]
) -> None:
    template = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {"Only": resource},
    }
    given = [{"ParameterKey": name, "ParameterValue": each} for name, each in parameters.items()]
    client: Any = cloud.client("cloudformation")
    client.create_stack(StackName=stack, TemplateBody=json.dumps(template), Parameters=given)
    client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=AT_ONCE)


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def here(
    cloud: EmbeddedCloud,
    shell: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Said]:
    """The command in this process, which takes a tenth of the time of another one."""
    monkeypatch.delenv("TOKEN_REFRESHER_STACK", raising=False)
    for name, value in {**shell, **cloud.environment()}.items():
        monkeypatch.setenv(name, value)

    def run_here(*arguments: str, stack: str = STACK) -> Said:
        status = deploy.main([f"--stack={stack}", *arguments])
        return Said(status, *capsys.readouterr())

    return run_here


def refused(said: Said) -> str:
    """What was said on the way out, in one line."""
    assert said.status == 1, said
    (line,) = said.stderr.splitlines()
    return line


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What was said on the way out, in one line."""
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("named", "region"),
    [
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({}, "us-east-1"),
    ],
    ids=["AWS_REGION first", "then AWS_DEFAULT_REGION", "then the profile"],
)
def test_account_and_region_are_told_and_every_request_is_signed_for_that_region(
    embedded_cloud: EmbeddedCloud, shell: dict[str, str], named: dict[str, str], region: str
) -> None:
    with open(shell["AWS_CONFIG_FILE"], "w") as config:  # noqa: PTH123
        config.write("[default]\nregion = us-east-1\n")
    with SignatureRecorder(embedded_cloud.endpoint_url) as recorder:
        cloud = {**embedded_cloud.environment(), "AWS_ENDPOINT_URL": recorder.url}
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            del cloud[name]
        done = run({**shell, **cloud, **named}, "check")
    told = f"AWS account 000000000000, Region {region}, as arn:aws:iam::000000000000:root"
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, told, "")
    # Who, whether there are stacks, this one's or with its prefix, and how much may be reserved.
    assert recorder.regions() == [region] * 5


@pytest.mark.parametrize("command", ["check", "deploy", "undeploy"])
def test_without_a_region_one_line_says_how_to_name_one(
    shell: dict[str, str], command: str
) -> None:
    assert "export AWS_REGION=" in refusal(run(shell, command))


@pytest.mark.parametrize("command", ["check", "deploy", "undeploy"])
@pytest.mark.parametrize("profile", [{}, {"AWS_PROFILE": "no-such-profile"}])
def test_without_credentials_one_line_says_how_to_get_some(
    shell: dict[str, str], command: str, profile: dict[str, str]
) -> None:
    done = run({**shell, "AWS_REGION": "eu-west-1", **profile}, command)
    assert re.search(r"Sign in again, or name a profile: export AWS_PROFILE=", refusal(done))
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "The local AWS at http://127.0.0.1:{port} did not answer. Is `make"),
        # Loopback as well, and no name of it: it asks no resolver, as a host of AWS would.
        ("0.0.0.0", "AWS did not answer: Could not connect to the endpoint URL: "),  # noqa: S104
    ],
    ids=["a local AWS that has ended", "any other"],
)
def test_an_address_that_does_not_answer_is_named_and_nobody_is_told_to_sign_in(
    shell: dict[str, str], host: str, told: str
) -> None:
    with nobody_listens() as port:
        address = f"http://{host}:{port}"
        aws = {
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "invented",
            "AWS_SECRET_ACCESS_KEY": "invented",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL": address,
            "NO_PROXY": "*",
        }
        line = refusal(run({**shell, **aws}, "check"))
    assert line.startswith(told.format(port=port))
    assert address in line
    assert "Sign in" not in line


@pytest.mark.parametrize(
    ("parameters", "reserved"),
    [((), 1), (("Triggers=true",), 2), (("Triggers=true", "ReserveConcurrency=true"), 2)],
)
def test_a_first_deploy_that_could_not_reserve_its_concurrency_is_refused_with_the_way_out(
    small_account: EmbeddedCloud, shell: dict[str, str], parameters: tuple[str], reserved: int
) -> None:
    line = refusal(run({**shell, **small_account.environment()}, "check", *parameters))
    assert "has 100 unreserved concurrent executions in eu-west-1" in line
    assert f"to reserve {reserved}, Lambda asks for {100 + reserved}." in line
    assert 'make deploy PARAMETERS="ReserveConcurrency=false"' in line


def test_with_the_way_out_that_deploy_is_not_refused(
    small_account: EmbeddedCloud, shell: dict[str, str]
) -> None:
    done = run({**shell, **small_account.environment()}, "check", "ReserveConcurrency=false")
    assert done.returncode == 0, done.stderr


def test_a_stack_that_exists_is_not_asked_for_what_it_has_already(
    small_account: EmbeddedCloud, shell: dict[str, str]
) -> None:
    deployed(small_account, "existing")
    done = run({**shell, **small_account.environment()}, "check", stack="existing")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("had", "given"),
    [({"ReserveConcurrency": "false"}, "ReserveConcurrency=true"), ({}, "Triggers=true")],
    ids=["the first", "one more"],
)
def test_a_stack_that_could_not_reserve_one_more_is_refused_before_the_build(
    small_account: EmbeddedCloud, shell: dict[str, str], had: dict[str, str], given: str
) -> None:
    name = f"growing-{len(had)}"
    deployed(small_account, name, **had)
    line = refusal(run({**shell, **small_account.environment()}, "check", given, stack=name))
    assert "to reserve 1 more, Lambda asks for 101." in line


def test_what_a_failed_first_deploy_left_must_be_deleted_first(
    cloud: EmbeddedCloud, shell: dict[str, str]
) -> None:
    roll_back(cloud, "broken")
    line = refusal(run({**shell, **cloud.environment()}, "check", stack="broken"))
    assert "ROLLBACK_COMPLETE" in line
    assert "make undeploy STACK=broken" in line


def test_who_may_not_ask_for_the_quota_is_told_and_may_deploy(
    small_account: EmbeddedCloud, shell: dict[str, str]
) -> None:
    denied = Instead(403, b'{"__type": "AccessDeniedException"}')
    with Relay(small_account.endpoint_url) as relay:
        relay.illness = lambda path: denied if path.endswith("/account-settings") else None
        aws = {**small_account.environment(), "AWS_ENDPOINT_URL": relay.url}
        done = run({**shell, **aws}, "check")
    assert done.returncode == 0, done.stderr
    assert "lambda:GetAccountSettings" in done.stdout
    assert "deploy with ReserveConcurrency=false" in done.stdout


@pytest.mark.parametrize("parameter", LONG)
def test_a_name_that_is_too_long_for_a_function_is_refused_with_what_fits(
    shell: dict[str, str], parameter: str
) -> None:
    name = LONG[parameter]
    given = (f"{parameter}=true",) if parameter else ()
    line = refusal(run(shell, "check", *given, stack=name))
    assert f"has {len(name)} characters" in line
    assert line.endswith(f"Choose a name of at most {len(name) - 1}.")


@pytest.mark.parametrize("parameter", LONG)
def test_the_longest_name_that_is_taken_fits_all_that_is_named_after_it(parameter: str) -> None:
    name = LONG[parameter][1:]
    asked_for = {parameter: "true"} if parameter else {}
    check_name(name, asked_for)
    assert max(map(len, function_names(name, asked_for))) == 64
    monitoring = templates.resolved(templates.MONITORING, {"FunctionStackName": name})
    properties = [each["Properties"] for each in monitoring["Resources"].values()]
    assert all(len(each.get("AlarmName", "")) <= 255 for each in properties)
    assert all(len(each.get("DashboardName", "")) <= 255 for each in properties)
    assert all(len(each.get("DisplayName", "")) <= 100 for each in properties)
    assert len(name + "-monitoring") <= 128


def function_names(stack: str, parameters: dict[str, str]) -> list[str]:
    """The names of the functions that a stack makes."""
    template = templates.resolved(templates.FUNCTION, {**parameters, "AWS::StackName": stack})
    return [
        each["Properties"]["FunctionName"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Serverless::Function"
        and template["Conditions"].get(each.get("Condition"), True)
    ]


@pytest.mark.parametrize("stack", ["", "7up", "token_refresher", "-x", "a b"])
def test_a_name_that_no_stack_can_have_is_refused(stack: str) -> None:
    with pytest.raises(DeployError, match="is no name for a stack"):
        check_name(stack, {})


@pytest.mark.parametrize("stack", ["x-account", "x-account-a", "x-monitoring"])
def test_a_name_that_could_be_of_another_stacks_account_or_monitoring_is_refused(
    stack: str,
) -> None:
    with pytest.raises(DeployError, match="another stack's account or monitoring"):
        check_name(stack, {})


@pytest.mark.parametrize(
    "more",
    [{}, {"Triggers": "true"}, {"Rotation": "true"}, {"ReserveConcurrency": "false"}],
    ids=str,
)
def test_the_quota_is_asked_for_what_the_template_reserves(more: dict[str, str]) -> None:
    parameters = {"ReserveConcurrency": "true", **more}
    template = templates.resolved(templates.FUNCTION, parameters)
    functions = [
        each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::Serverless::Function"
        and template["Conditions"].get(each.get("Condition"), True)
    ]
    wanted = sum(each.get("ReservedConcurrentExecutions", 0) for each in functions)
    assert reserved(parameters) == wanted


def test_accounts_whose_names_differ_have_stacks_whose_names_differ() -> None:
    accounts = ["dealer-17", "dealer_17", "dealer.17", "dealer/17", "Dealer-17"]
    # As the second one's stack ends.
    accounts.append(account_stack(STACK, "dealer_17").partition("-account-")[2])
    # These differ only where a stack's name has no room left.
    accounts += [f"{'d' * 399}{end}" for end in ("1", "2")]
    names = {account_stack(STACK, account) for account in accounts}
    assert len(names) == len(accounts)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", name) for name in names)


def test_a_plain_name_of_an_account_is_that_of_its_stack() -> None:
    assert account_stack(STACK, "dealer-17") == "token-refresher-account-dealer-17"


@pytest.mark.parametrize("account", ["", "dealer 17", 'dealer"17', "dealer-17 CreateSecret=false"])
def test_an_account_must_have_the_name_that_it_is_given(
    shell: dict[str, str], account: str
) -> None:
    """SAM would cut it at the blank: the stack would be of another account."""
    line = refusal(run(shell, f"--account={account}", "account"))
    assert line.startswith("Name the account, by letters, digits and")


@pytest.mark.parametrize(
    "given", ["AllowedTokenHosts='a.example , b.example'", "'AlarmEmail=a\"b'", "AlarmEmail='"]
)
def test_a_value_that_sam_would_cut_is_refused(shell: dict[str, str], given: str) -> None:
    assert "quote" in refusal(run(shell, "check", given))


def test_a_places_parameters_hold_only_where_none_of_the_name_is_given(
    cloud: EmbeddedCloud, shell: dict[str, str]
) -> None:
    """The local AWS has its own, beneath those of the commands that documents show."""
    environment = {**shell, **cloud.environment()}
    defaults = "--defaults=ScheduleMinutes=1 Triggers=true"
    given = ("ScheduleMinutes=5", "AllowedTokenHosts=localhost:8443")
    assert run(environment, defaults, "check", *given).returncode == 0
    # As long as a name with triggers may not be.
    line = refusal(run(environment, defaults, "check", stack="s" * 56))
    assert line.endswith("Choose a name of at most 55.")
    assert run(environment, defaults, "check", "Triggers=false", stack="s" * 56).returncode == 0


def test_to_undeploy_what_is_not_there_deletes_nothing_and_says_nothing_else(
    here: Callable[..., Said],
) -> None:
    done = here("undeploy")
    assert (done.status, done.stderr) == (0, "")
    assert " ".join(done.stdout.splitlines()[1:]) == (
        "== There is no stack token-refresher in account 000000000000, Region eu-west-1:    "
        "nothing was deleted. None here refreshes accounts. If it should, check the    "
        "Region and the account."
    )


OURS = {"RefreshBeforeSeconds": "5400", "Signing": "false"}


def test_to_undeploy_under_a_misspelt_name_tells_those_that_there_are(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    deployed(cloud, "token-refresher", SecretPrefix="oauth", **OURS)
    done = here("undeploy", stack="token-refreshr")
    assert done.status == 0
    assert "those that refresh accounts here: token-refresher." in (
        " ".join(done.stdout.split()).lower()
    )
    assert "Left alone" not in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:])) < 80
    assert stacks(cloud) == ["token-refresher"]


def test_who_may_not_list_stacks_is_told_all_the_same_that_nothing_was_deleted(
    cloud: EmbeddedCloud, here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(cloud.endpoint_url) as relay:
        # After its own two.
        relay.illness = lambda _: DENIED if relay.calls.count("DescribeStacks") == 3 else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.url)
        done = here("undeploy")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.endswith("nothing was deleted.\n")


@pytest.mark.slow
def test_a_refusal_is_no_wider_than_the_terminal_and_its_command_can_be_pasted(
    cloud: EmbeddedCloud, shell: dict[str, str]
) -> None:
    roll_back(cloud, STACK)
    environment = {**shell, **cloud.environment()}
    with Terminal((*UNDEPLOY, "check"), environment, columns=80) as terminal:
        assert terminal.finish() == 1
    assert terminal.screen.overlong == []
    assert "Delete it first:\n    make undeploy" in terminal.plain.replace("\r", "")


def test_a_prefix_that_another_stack_has_is_refused_by_the_other_ones_name(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    deployed(cloud, "first", SecretPrefix="team/oauth", **OURS)
    # The stack of an account has the prefix of the stack that refreshes it.
    deployed(cloud, "first-account-dealer-17", SecretPrefix="oauth", AccountName="dealer-17")
    line = refused(here("check", "SecretPrefix=team/oauth"))
    assert line.startswith("The stack first has SecretPrefix=team/oauth already")
    assert here("check").status == 0
    assert here("check", "SecretPrefix=team/oauth", stack="first").status == 0


@pytest.mark.parametrize(
    ("theirs", "ours", "they_sign", "we_sign", "is_refused"),
    [
        ("oauth", "oauth/team", "true", "false", True),
        ("oauth", "oauth/team", "false", "true", True),
        ("oauth/team", "oauth", "false", "true", True),
        ("oauth", "oauth/team", "false", "false", False),
        ("oauth", "oauth2", "true", "true", False),
    ],
    ids=["within one that signs", "within one", "around one", "none signs", "beside one"],
)
def test_a_prefix_within_another_ones_is_refused_where_accounts_sign(
    cloud: EmbeddedCloud,
    here: Callable[..., Said],
    theirs: str,
    ours: str,
    they_sign: str,
    we_sign: str,
    *,
    is_refused: bool,
) -> None:
    deployed(cloud, "first", SecretPrefix=theirs, **{**OURS, "Signing": they_sign})
    given = (f"SecretPrefix={ours}", f"Signing={we_sign}")
    done = here("check", *given)
    assert (done.status == 1) is is_refused, done.stderr
    if is_refused:
        assert "alias/oauth/team/a would be the key of two accounts" in refused(done)


def test_what_is_left_of_a_stack_that_was_rolled_back_has_no_prefix(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    roll_back(cloud, "broken", SecretPrefix="oauth", **OURS)
    assert here("check").status == 0


def test_a_stack_that_leaves_its_accounts_for_another_prefix_is_told_of_them(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    deployed(cloud, STACK, SecretPrefix="oauth", **OURS)
    done = here("check", "SecretPrefix=team/oauth")
    assert "SecretPrefix: oauth -> team/oauth\n" in done.stdout
    assert " ".join(done.stdout.split()).endswith(
        "The accounts under oauth/ stay where they are, and token-refresher refreshes none of "
        "them any more."
    )
    assert "stay where they are" not in here("check", "SecretPrefix=oauth").stdout


def test_a_host_that_leaves_the_list_is_told_with_what_tells_the_accounts_that_it_concerns(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    had = "Login.example.com, mtls.example.com:443,kept.example.com"
    deployed(cloud, STACK, AllowedTokenHosts=had, **OURS)
    said = here("check", "AllowedTokenHosts=kept.example.com").stdout
    assert "Accounts at login.example.com and mtls.example.com are refreshed no more" in (
        " ".join(said.split())
    )
    assert said.endswith(
        "\n    token-refresher check NAME --stack token-refresher --region eu-west-1\n"
    )
    for given in ("login.example.com,mtls.example.com,kept.example.com,new.example.com", had[:17]):
        told = here("check", f"AllowedTokenHosts={given}").stdout
        assert ("Accounts at" in told) is (given == had[:17])
    assert "Accounts at" not in here("check").stdout


@pytest.mark.slow
def test_the_other_stack_is_found_among_more_than_a_page_of_them(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    for number in range(100):
        deployed(cloud, f"other-{number}")
    deployed(cloud, "last", SecretPrefix="oauth", **OURS)
    assert "The stack last has" in refused(here("check"))


def test_who_may_not_list_the_stacks_is_told_and_may_deploy(
    cloud: EmbeddedCloud, here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(cloud, "first", SecretPrefix="oauth", **OURS)
    with Relay(cloud.endpoint_url) as relay:
        # After its own two.
        relay.illness = lambda _: DENIED if relay.calls.count("DescribeStacks") == 3 else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.url)
        done = here("check", "ReserveConcurrency=false")
    assert done.status == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "cloudformation:DescribeStacks on *" in said
    assert "see for yourself that no other has SecretPrefix=oauth" in said


def test_what_a_stack_has_counts_where_it_is_not_named(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    network = {"VpcSecurityGroupIds": "sg-0a1b2c3d", "VpcSubnetIds": "subnet-4e5f6a7b"}
    deployed(cloud, STACK, SecretPrefix="a.b", **network, **OURS)
    line = refused(here("check", "Signing=true"))
    assert line.startswith("With Signing=true, SecretPrefix=a.b cannot be")
    assert here("check", "VpcSubnetIds=subnet-0a1b2c3d").status == 0
    line = refused(here("check", "VpcSubnetIds=subnet-0a1b2c3d", stack="new"))
    assert line == "With VpcSubnetIds, VpcSecurityGroupIds must be set as well."


def test_security_groups_without_subnets_are_not_passed_over(here: Callable[..., Said]) -> None:
    line = refused(here("check", "VpcSecurityGroupIds=sg-0a1b2c3d"))
    assert line == "With VpcSecurityGroupIds, VpcSubnetIds must be set as well."


def test_a_region_of_another_partition_is_refused_and_an_unknown_one_told(
    here: Callable[..., Said],
) -> None:
    line = refused(here("check", "ReplicaRegions=eu-central-1,us-gov-west-1"))
    assert line.startswith("ReplicaRegions names us-gov-west-1, which is of another partition")
    for misspelt in ("eu-centarl-1", "eu-central-11"):
        done = here("check", f"ReplicaRegions=eu-west-1,{misspelt}")
        assert done.status == 0, done.stderr
        said = " ".join(done.stdout.split())
        assert f"No Region {misspelt} is known here" in said
        assert "Did you mean eu-central-1?" in said
    assert "is known here" not in here("check", "ReplicaRegions=eu-central-1").stdout


@pytest.mark.parametrize(
    ("given", "command"),
    [("CreateSecret=false", "check"), ("MaxWorkers=8", "account")],
    ids=["an account's, for the function", "the function's, for an account"],
)
def test_a_parameter_of_the_other_stack_is_refused(
    here: Callable[..., Said], given: str, command: str
) -> None:
    name = given.partition("=")[0]
    line = refused(here("--account=dealer-17", command, given))
    assert line.startswith(f"{name} would be passed over here")
    # What holds in a place is of all stacks.
    assert here(f"--defaults={given}", "check").status == 0


def test_an_account_whose_secret_is_there_is_refused_with_the_way_to_its_policy(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    secrets = cloud.client()
    secrets.create_secret(Name="oauth/credentials/dealer-17", SecretString="{}")
    line = refused(here("--account=dealer-17", "account"))
    assert line == (
        "The secret oauth/credentials/dealer-17 is there already. For the policy of its consumers "
        'alone: make account ACCOUNT=dealer-17 PARAMETERS="CreateSecret=false"'
    )
    secrets.delete_secret(SecretId="oauth/credentials/dealer-17")
    line = refused(here("--account=dealer-17", "account"))
    assert "aws secretsmanager restore-secret --secret-id oauth/credentials/dealer-17" in line
    assert stacks(cloud) == []


def test_an_account_of_a_stack_that_is_not_there_is_told_that_nothing_refreshes_it(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    cloud.client().create_secret(Name="oauth/credentials/dealer-17")
    said = here("--account=dealer-17", "account", stack="misspelt").stdout
    assert "There is no stack misspelt: until there is one, nothing refreshes the account." in said


def test_nothing_is_deleted_where_one_stack_is_protected(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    """Or else the alarms would be gone, and the function go on without them."""
    for name in (STACK, f"{STACK}-monitoring"):
        deployed(cloud, name)
    client: Any = cloud.client("cloudformation")
    client.update_termination_protection(StackName=STACK, EnableTerminationProtection=True)
    line = refused(here("undeploy"))
    assert line.startswith("token-refresher may not be deleted, and so nothing was")
    assert line.endswith(f"--stack-name {STACK} --region eu-west-1")
    assert sorted(stacks(cloud)) == [STACK, f"{STACK}-monitoring"]


def place(cloud: EmbeddedCloud) -> Place:
    """Of the cloud."""
    session: Any = SimpleNamespace(client=cloud.client, region_name="eu-west-1")
    return Place(session, account="000000000000", caller="arn:aws:iam::000000000000:root")


def test_of_a_plan_without_changes_no_change_set_is_left(cloud: EmbeddedCloud) -> None:
    deployed(cloud, STACK)
    client: Any = cloud.client("cloudformation")
    template = json.dumps({"Resources": {"Only": {"Type": "AWS::SNS::Topic"}}})
    for name in ("samcli-deploy1", "of-a-person"):
        client.create_change_set(StackName=STACK, ChangeSetName=name, TemplateBody=template)
    before = client.list_change_sets(StackName=STACK)["Summaries"]
    assert {each["Status"] for each in before} == {"FAILED"}
    deploy.discard_failed(place(cloud), STACK)
    left = client.list_change_sets(StackName=STACK)["Summaries"]
    assert [each["ChangeSetName"] for each in left] == ["of-a-person"]


def test_where_no_change_set_can_be_listed_nothing_else_fails(cloud: EmbeddedCloud) -> None:
    deploy.discard_failed(place(cloud), "not-there")


def test_no_line_is_wider_than_a_terminal(
    cloud: EmbeddedCloud, here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "arn:aws:kms:eu-west-1:000000000000:key/0a1b2c3d-0000-0000-0000-{:012}"
    deployed(cloud, STACK, SecretPrefix="oauth", CredentialsKmsKeyArn=key.format(1), **OURS)
    given = (f"CredentialsKmsKeyArn={key.format(2)}", "SecretPrefix=team/oauth", "Triggers=true")
    with Relay(cloud.endpoint_url) as relay:
        # The third lists those of others.
        relay.illness = lambda _: (
            DENIED if relay.calls[-1] == "DescribeStacks" and len(relay.calls) > 3 else None
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.url)
        done = here("check", *given)
    assert done.status == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout


def test_the_parameters_that_change_are_told_with_what_they_were(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    deployed(cloud, STACK, SecretPrefix="team/oauth", ScheduleMinutes="10", **OURS)
    given = ("ScheduleMinutes=15", "AllowedTokenHosts=login.example.com")
    done = here("check", *given)
    assert done.stdout.splitlines()[1:] == [
        "token-refresher",
        "   AllowedTokenHosts: (empty) -> login.example.com",
        "   ScheduleMinutes: 10 -> 15",
        "New: token-refresher-monitoring",
        "   ScheduleMinutes: 15",
    ]
    # Monitoring looks as often as the function sweeps.
    done = here("check")
    assert done.stdout.splitlines()[1:] == [
        "token-refresher: no parameter changes",
        "New: token-refresher-monitoring",
        "   ScheduleMinutes: 10",
    ]


def stacks(cloud: EmbeddedCloud) -> list[str]:
    client: Any = cloud.client("cloudformation")
    return [each["StackName"] for each in client.describe_stacks()["Stacks"]]


UNDEPLOY = (sys.executable, "-m", "tools.deploy", f"--stack={STACK}")


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["n", "", "yess"])
def test_at_a_terminal_nothing_is_deleted_unless_a_person_says_yes(
    cloud: EmbeddedCloud, shell: dict[str, str], typed: str
) -> None:
    deployed(cloud, STACK)
    environment = {**shell, **cloud.environment()}
    with Terminal((*UNDEPLOY, "undeploy"), environment, columns=80) as terminal:
        terminal.expect("Delete in account 000000000000, Region eu-west-1? [y/N] ")
        terminal.enter(typed)
        assert terminal.finish() == 1
    assert "This deletes token-refresher, with the log" in terminal.plain
    assert "It leaves alone every secret, the accounts' stacks, and the bucket" in terminal.plain
    assert terminal.plain.endswith("Nothing was deleted.\n")
    assert terminal.screen.overlong == []
    assert stacks(cloud) == [STACK]


@pytest.mark.slow
def test_at_a_terminal_what_a_person_agrees_to_is_deleted(
    cloud: EmbeddedCloud, shell: dict[str, str]
) -> None:
    deployed(cloud, STACK)
    deployed(cloud, f"{STACK}-monitoring")
    deployed(cloud, f"{STACK}-account-dealer-17")
    with Terminal(
        (*UNDEPLOY, "undeploy"), {**shell, **cloud.environment()}, columns=80
    ) as terminal:
        terminal.expect("This deletes token-refresher-monitoring and token-refresher")
        terminal.expect("[y/N] ")
        terminal.enter("y")
        assert terminal.finish() == 0, terminal.plain
    assert terminal.screen.overlong == []
    assert stacks(cloud) == [f"{STACK}-account-dealer-17"]


@pytest.mark.slow
def test_who_says_so_beforehand_is_not_asked(cloud: EmbeddedCloud, shell: dict[str, str]) -> None:
    deployed(cloud, STACK)
    environment = {**shell, **cloud.environment()}
    with Terminal((*UNDEPLOY, "--yes", "undeploy"), environment, columns=80) as terminal:
        assert terminal.finish() == 0, terminal.plain
    assert "[y/N]" not in terminal.plain
    assert stacks(cloud) == []


class OfATerminal(io.StringIO):
    """A stream that a person is at the other end of."""

    @override
    def isatty(self) -> bool:
        return True


def test_who_ends_the_question_has_said_no(
    cloud: EmbeddedCloud, here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at a real terminal: readline loses a Ctrl-C that comes with its prompt."""

    def ended(_: str) -> str:
        raise KeyboardInterrupt

    deployed(cloud, STACK)
    monkeypatch.setattr("builtins.input", ended)
    monkeypatch.setattr(sys, "stdin", OfATerminal())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert refused(here("undeploy")) == "Nothing was deleted."
    assert stacks(cloud) == [STACK]


def test_a_refusal_of_aws_is_told_in_its_own_words(
    cloud: EmbeddedCloud, here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(cloud, STACK)
    protected = Instead(
        400,
        b"<ErrorResponse><Error><Code>ValidationError</Code><Message>TerminationProtection is "
        b"enabled</Message></Error></ErrorResponse>",
    )
    with Relay(cloud.endpoint_url) as relay:
        relay.illness = lambda _: protected if relay.calls[-1] == "DeleteStack" else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.url)
        said = refused(here("undeploy"))
    assert said == "AWS refused: ValidationError: TerminationProtection is enabled"


def test_a_dry_run_deletes_nothing_and_tells_what_it_would(
    cloud: EmbeddedCloud, here: Callable[..., Said]
) -> None:
    deployed(cloud, STACK)
    done = here("--dry-run", "undeploy")
    assert "== Would delete token-refresher, 1 resources\n" in done.stdout
    assert done.stdout.endswith("== Nothing was deleted\n")
    assert stacks(cloud) == [STACK]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("", []),
        ("team=payments,cost-center=42", ["--tags", '"team"="payments"', '"cost-center"="42"']),
        # Of a stack that was deployed otherwise.
        ("Cost Center=4 2", ["--tags", '"Cost Center"="4 2"']),
    ],
)
def test_a_stack_is_given_the_tags_of_its_function(tags: str, words: list[str]) -> None:
    assert deploy.tagging({"ResourceTags": tags}) == words


def test_whoever_stops_reading_ends_no_deletion(
    cloud: EmbeddedCloud, shell: dict[str, str]
) -> None:
    deployed(cloud, STACK)
    deployed(cloud, f"{STACK}-monitoring")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(  # noqa: S603
        [*UNDEPLOY, "undeploy"],
        cwd=templates.ROOT,
        env={**shell, **cloud.environment()},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # Where a person sees it all the same.
    assert "== Deleting token-refresher, 1 resources\n== Left alone: every secret" in done.stderr
    assert stacks(cloud) == []


def test_who_ends_it_before_anything_has_changed_is_told_so(
    here: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # Where SAM is run.
    monkeypatch.setattr(subprocess, "run", interrupted)
    done = here("--account=dealer-17", "account")
    assert done.status == deploy.INTERRUPTED
    assert done.stdout.endswith("\ntoken-refresher-account-dealer-17 was not changed.\n")
    assert max(len(each) for each in done.stdout.splitlines()[1:]) < 80


@pytest.mark.parametrize(
    ("shells", "typed", "is_refused"),
    [
        ({}, "", False),
        ({"TOKEN_REFRESHER_STACK": ""}, "", False),
        ({"TOKEN_REFRESHER_STACK": STACK}, "", False),
        ({"TOKEN_REFRESHER_STACK": "mine"}, "STACK", False),
        ({"TOKEN_REFRESHER_STACK": "mine"}, "", True),
    ],
    ids=["one is named", "the other is empty", "both are one", "one was typed", "two are named"],
)
def test_a_shell_that_names_two_stacks_is_asked_which_it_means(
    here: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    shells: dict[str, str],
    typed: str,
    *,
    is_refused: bool,
) -> None:
    for name, value in shells.items():
        monkeypatch.setenv(name, value)
    done = here(f"--typed={typed}", "undeploy")
    assert done.status == is_refused
    if is_refused:
        assert refused(done) == (
            "The shell has STACK=token-refresher, and TOKEN_REFRESHER_STACK=mine. "
            "Say which is meant: make undeploy STACK=mine"
        )


def test_a_variable_that_a_target_does_not_take_is_refused_before_aws_is_asked(
    shell: dict[str, str],
) -> None:
    line = refusal(run(shell, "--typed=YES ACCOUNT", "--yes", "undeploy"))
    assert line.startswith("make undeploy takes no ACCOUNT. It takes STACK, DRY_RUN, YES.")
    line = refusal(run(shell, "--typed=PARAMETER", "check"))
    assert line.startswith("make deploy takes no PARAMETER. Did you mean PARAMETERS?")


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ((), set()),
        (("YES=1",), {"--yes"}),
        # Whoever writes this does not mean yes.
        (("YES=0",), set()),
        (("DRY_RUN=1",), {"--dry-run"}),
        # In doubt nothing is changed.
        (("DRY_RUN=yes", "YES=1"), {"--dry-run", "--yes"}),
    ],
    ids=["neither", "yes", "no", "a dry run", "both"],
)
def test_the_makefile_hands_on_what_a_person_wants(
    shell: dict[str, str], variables: tuple[str, ...], options: set[str]
) -> None:
    command = ["make", "--dry-run", "undeploy", *variables]
    done = subprocess.run(  # noqa: S603
        command, cwd=templates.ROOT, env=shell, capture_output=True, text=True, check=True
    )
    assert {each for each in done.stdout.split() if each in {"--yes", "--dry-run"}} == options
