"""What the templates say, held to the program and to what was promised."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import typer

from token_refresher import announcing, handler, records, reporting
from token_refresher.aws import secret_store, signing
from token_refresher.changes import Kind
from token_refresher.errors import SettingsError
from token_refresher.refresh import TIME_TO_BEGIN
from token_refresher.settings import Settings, settings_from_environment
from token_refresher_cli.app import app
from tools import templates
from tools.deploying.names import account_stack, check_name
from tools.deploying.place import DeployError
from tools.templates import ACCOUNT, ALL, FUNCTION, MONITORING, ROOT, resolved, statements

if TYPE_CHECKING:
    from local.authority import Authority

KEY: Final = "arn:aws:kms:eu-west-1:123456789012:key/"
EVERYTHING: Final = {
    "CredentialsKmsKeyArn": f"{KEY}credentials",
    "TokenSecretKmsKeyArn": f"{KEY}tokens",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "ResourceTags": "team=payments,cost-center=42",
    "ReplicaRegions": "eu-central-1,us-east-1",
    "Events": "true",
    "Signing": "true",
    "Tracing": "true",
    "WebIdentityAudiences": "api://AzureADTokenExchange,//iam.example.com/pools/1",
    "VpcSubnetIds": "subnet-1,subnet-2",
    "VpcSecurityGroupIds": "sg-1",
}
SECRETS: Final = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:oauth"
SCHEDULES: Final = ("1", "5", "10", "15")
COMMANDS: Final[dict[str, Any]] = vars(typer.main.get_command(app))["commands"]
ROLES: Final = ("FunctionRole", "TriggerRole", "RotationRole")


def function(**parameters: str) -> dict[str, Any]:
    """The sweeping function's properties."""
    return templates.function(parameters)


def alarms() -> dict[str, dict[str, Any]]:
    """The properties of each alarm."""
    resources = resolved(MONITORING)["Resources"]
    return {
        name: each["Properties"]
        for name, each in resources.items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


# Parameters


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_parameter_has_a_sentence_bounds_and_a_default_that_deploys(path: Path) -> None:
    for name, each in templates.load(path)["Parameters"].items():
        assert each["Description"].endswith("."), name
        assert "Default" in each or name == "AccountName"
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & each.keys(), name
        if "AllowedPattern" in each and "Default" in each:
            is_list = each["Type"] == "CommaDelimitedList"
            for value in each["Default"].split(",") if is_list else [each["Default"]]:
                assert re.fullmatch(each["AllowedPattern"], value), name
            assert each["ConstraintDescription"], name


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_parameter_is_in_a_group_and_no_other(path: Path) -> None:
    template = templates.load(path)
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    named = [name for group in groups for name in group["Parameters"]]
    assert sorted(named) == sorted(template["Parameters"])


def test_the_defaults_are_the_programs_own() -> None:
    environment = {name: str(each) for name, each in variables().items()}
    assert settings_from_environment(environment) == Settings()


def test_every_setting_can_be_set_by_a_parameter_and_by_nothing_else() -> None:
    source = (ROOT / "functions/token_refresher/settings.py").read_text()
    read = set(re.findall(r'"([A-Z][A-Z_]+[A-Z])"', source))
    # The Region is the runtime's to tell.
    assert set(variables()) == read - {"AWS_REGION"}


def variables(**parameters: str) -> dict[str, Any]:
    found: dict[str, Any] = function(**parameters)["Environment"]["Variables"]
    return found


@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
@pytest.mark.parametrize("parameter", ["RefreshBeforeSeconds", "MaxWorkers"])
def test_what_a_parameter_takes_the_program_takes(parameter: str, bound: str) -> None:
    value = str(templates.load(FUNCTION)["Parameters"][parameter][bound])
    environment = {name: str(each) for name, each in variables(**{parameter: value}).items()}
    settings_from_environment(environment)


@pytest.mark.parametrize(
    "hosts",
    [
        *("", "login.example.com", "Login.example.com:8443 , b.example,c.example", "10.0.0.5"),
        *("*", "*.example.com", "a.example,*.example.com, *"),
    ],
)
def test_the_hosts_that_the_program_takes_a_parameter_takes(hosts: str) -> None:
    pattern = templates.load(FUNCTION)["Parameters"]["AllowedTokenHosts"]["AllowedPattern"]
    assert re.fullmatch(pattern, hosts)
    settings_from_environment({"ALLOWED_TOKEN_HOSTS": hosts})


@pytest.mark.parametrize("hosts", ["https://a.example", "a.example,", "a*.example", "**", "a b"])
def test_hosts_that_the_program_refuses_fail_the_deployment_already(hosts: str) -> None:
    pattern = templates.load(FUNCTION)["Parameters"]["AllowedTokenHosts"]["AllowedPattern"]
    assert not re.fullmatch(pattern, hosts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TokenEndpointProxy", ""),
        ("TokenEndpointProxy", "http://proxy.example.com:3128"),
        ("TokenEndpointProxy", "http://10.0.0.5:8080"),
        ("AdditionalCaCertificates", ""),
    ],
)
def test_a_network_that_the_program_takes_a_parameter_takes(name: str, value: str) -> None:
    environment = {key: str(each) for key, each in variables(**{name: value}).items()}
    settings_from_environment(environment)
    assert re.fullmatch(templates.load(FUNCTION)["Parameters"][name]["AllowedPattern"], value)


@pytest.mark.parametrize("between", ["\n", "\r\n", " ", "\\n", ""], ids=repr)
def test_a_certificate_of_any_form_is_one_parameter_and_one_setting(
    authority: Authority, between: str
) -> None:
    pem = authority.certificate_file.read_text().replace("\n", between)
    parameter = templates.load(FUNCTION)["Parameters"]["AdditionalCaCertificates"]
    assert re.fullmatch(parameter["AllowedPattern"], pem)
    settings_from_environment({"ADDITIONAL_CA_CERTIFICATES": pem})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TokenEndpointProxy", "http://user:word@proxy.example.com:3128"),
        ("TokenEndpointProxy", "https://proxy.example.com:3128"),
        ("TokenEndpointProxy", "http://proxy.example.com"),
        ("AdditionalCaCertificates", "file://corporate-ca.pem"),
    ],
)
def test_a_network_that_the_program_refuses_fails_the_deployment_already(
    name: str, value: str
) -> None:
    pattern = templates.load(FUNCTION)["Parameters"][name]["AllowedPattern"]
    assert not re.fullmatch(pattern, value)


def test_a_token_is_due_at_least_half_an_hour_before_its_expiry() -> None:
    assert templates.load(FUNCTION)["Parameters"]["RefreshBeforeSeconds"]["MinValue"] == 1800


def test_the_keys_and_the_prefix_of_an_account_are_those_of_the_function() -> None:
    one, other = (templates.load(path)["Parameters"] for path in (FUNCTION, ACCOUNT))
    for name in ("SecretPrefix", "TokenSecretKmsKeyArn", "CredentialsKmsKeyArn"):
        assert {**one[name], "Description": ""} == {**other[name], "Description": ""}


def test_monitoring_takes_the_functions_schedules() -> None:
    one, other = (templates.load(path)["Parameters"] for path in (FUNCTION, MONITORING))
    assert {**one["ScheduleMinutes"], "Description": ""} == {
        **other["ScheduleMinutes"],
        "Description": "",
    }


# The function


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_an_invocation_ends_before_the_next_and_has_time_to_refresh(minutes: str) -> None:
    timeout = timedelta(seconds=function(ScheduleMinutes=minutes)["Timeout"])
    assert TIME_TO_BEGIN + timedelta(seconds=5) < timeout < timedelta(minutes=int(minutes))


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_the_schedule_is_the_one_that_was_asked_for(minutes: str) -> None:
    tick = function(ScheduleMinutes=minutes)["Events"]["EveryTick"]["Properties"]
    unit = "minute" if minutes == "1" else "minutes"
    assert tick["ScheduleExpression"] == f"rate({minutes} {unit})"


def test_every_tick_is_a_sweep_of_all_accounts() -> None:
    tick = function()["Events"]["EveryTick"]["Properties"]
    assert json.loads(tick["Input"]) == json.loads((ROOT / "events/scheduled.json").read_text())


def test_two_stacks_can_stand_side_by_side() -> None:
    # A name that CloudFormation does not make itself must differ between stacks.
    assert function()["Events"]["EveryTick"]["Properties"]["OmitName"] is True
    for path in (FUNCTION, MONITORING):
        resources = templates.load(path)["Resources"]
        for name, each in resources.items():
            for key in ("FunctionName", "LogGroupName", "QueueName", "TopicName", "RoleName"):
                named = str(each["Properties"].get(key, "AWS::StackName"))
                of_the_stack = ("AWS::StackName", "FunctionStackName", *resources)
                assert any(word in named for word in of_the_stack), name


def test_the_next_tick_is_the_retry() -> None:
    config = function()["EventInvokeConfig"]
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 60)
    assert config["DestinationConfig"]["OnFailure"]["Type"] == "SQS"
    tick = function()["Events"]["EveryTick"]["Properties"]["RetryPolicy"]
    assert tick == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_rejections_of_one_token_are_served_one_after_the_other_and_none_is_dropped() -> None:
    """Each sees what came of the one before: a server may keep one live token for a client."""
    triggers = templates.function({"Triggers": "true"}, name="TriggerFunction")
    assert triggers["ReservedConcurrentExecutions"] == 1
    assert triggers["EventInvokeConfig"]["MaximumEventAgeInSeconds"] == 360
    [rule] = triggers["Events"].values()
    assert rule["Properties"]["RetryPolicy"]["MaximumEventAgeInSeconds"] == 360


def test_reserved_concurrency_can_be_switched_off() -> None:
    assert function()["ReservedConcurrentExecutions"] == 1
    assert "ReservedConcurrentExecutions" not in function(ReserveConcurrency="false")


def test_it_is_deployed_for_arm_and_a_supported_python_by_default() -> None:
    properties = function()
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])


def test_it_runs_in_a_network_of_the_customers_where_there_is_one() -> None:
    assert function(**EVERYTHING)["VpcConfig"] == {
        "SubnetIds": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert "VpcConfig" not in function()


def test_it_is_traced_only_on_demand() -> None:
    assert (function()["Tracing"], function(**EVERYTHING)["Tracing"]) == ("PassThrough", "Active")


def test_the_entry_point_exists() -> None:
    module, _, name = function()["Handler"].rpartition(".")
    assert module == handler.__name__
    assert callable(getattr(handler, name))


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = templates.load(FUNCTION)["Metadata"]["AWS::ServerlessRepo::Application"]
    assert (told["SemanticVersion"], told["Name"]) == (project["version"], project["name"])
    assert told["Description"] == project["description"]
    assert (ROOT / told["LicenseUrl"]).exists()
    assert (ROOT / told["ReadmeUrl"]).exists()


# Permissions


def test_the_function_may_do_this_and_nothing_else() -> None:
    assert {sid: _actions(each) for sid, each in statements().items()} == {
        "SeeWhenEveryTokenExpires": {"secretsmanager:ListSecrets"},
        "ReadCredentials": {"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"},
        "LeaseAndJournalRefreshTokens": {"secretsmanager:PutSecretValue"},
        "CreateTokenSecrets": {"secretsmanager:CreateSecret"},
        "PublishTokens": {"secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"},
        "ReadWhenTokensOfOthersExpire": {"secretsmanager:GetSecretValue"},
        "RecordFailuresAsTags": {"secretsmanager:TagResource", "secretsmanager:UntagResource"},
        "WriteItsOwnLog": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "KeepFailedEvents": {"sqs:SendMessage"},
    }


@pytest.mark.parametrize("role", ROLES)
def test_events_are_put_on_the_default_bus_in_the_program_s_name_and_only_where_wanted(
    role: str,
) -> None:
    [added] = statements({"Events": "true"}, role=role).keys() - statements(role=role).keys()
    assert statements({"Events": "true"}, role=role)[added] == {
        "Sid": "TellWhatHasChanged",
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": "arn:aws:events:eu-west-1:123456789012:event-bus/default",
        "Condition": {
            "ForAllValues:StringEquals": {"events:source": announcing.SOURCE},
            "Null": {"events:source": "false"},
        },
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_digest_is_signed_by_a_key_that_is_named_after_an_account_and_only_where_wanted(
    role: str,
) -> None:
    wanted = {"Signing": "true", "SecretPrefix": "team/oauth"}
    [added] = statements(wanted, role=role).keys() - statements(role=role).keys()
    assert statements(wanted, role=role)[added] == {
        "Sid": "SignWithKeysOfAccounts",
        "Effect": "Allow",
        "Action": "kms:Sign",
        "Resource": "arn:aws:kms:eu-west-1:123456789012:key/*",
        "Condition": {
            "StringLike": {"kms:RequestAlias": "alias/team/oauth/*"},
            "StringEquals": {"kms:MessageType": "DIGEST"},
        },
    }
    # To IAM as well, a star is any text, with its slashes.
    assert fnmatchcase(signing.alias_of("team/oauth", "a/b"), "alias/team/oauth/*")


@pytest.mark.parametrize("role", ROLES)
def test_identity_tokens_are_for_the_audiences_alone_and_always_name_their_account(
    role: str,
) -> None:
    audiences = ["api://AzureADTokenExchange", "//iam.example.com/pools/1"]
    wanted = {"WebIdentityAudiences": ",".join(audiences)}
    added = statements(wanted, role=role).keys() - statements(role=role).keys()
    tag = signing.ACCOUNT_TAG
    assert {sid: statements(wanted, role=role)[sid] for sid in added} == {
        "TellWhoRunsHere": {
            "Sid": "TellWhoRunsHere",
            "Effect": "Allow",
            "Action": "sts:GetWebIdentityToken",
            "Resource": "*",
            "Condition": {
                "ForAllValues:StringEquals": {
                    "sts:IdentityTokenAudience": audiences,
                    "aws:TagKeys": tag,
                },
                "Null": {"sts:IdentityTokenAudience": "false", f"aws:RequestTag/{tag}": "false"},
                "NumericLessThanEquals": {"sts:DurationSeconds": 300},
            },
        },
        "NameTheAccount": {
            "Sid": "NameTheAccount",
            "Effect": "Allow",
            "Action": "sts:TagGetWebIdentityToken",
            "Resource": "*",
            "Condition": {
                "ForAllValues:StringEquals": {"aws:TagKeys": tag},
                "Null": {f"aws:RequestTag/{tag}": "false"},
            },
        },
    }


@pytest.mark.parametrize(
    ("audiences", "is_taken"),
    [
        ("", True),
        ("api://AzureADTokenExchange", True),
        ("https://a.example/x?y=1#z,//iam.googleapis.com/projects/1/providers/p", True),
        ("a,", False),
        ("a, b", False),
        # To IAM a variable, and to nobody else.
        ("${aws:PrincipalArn}", False),
        ("https://*.example.com", False),
    ],
)
def test_audiences_are_taken_that_mean_themselves(audiences: str, *, is_taken: bool) -> None:
    pattern = templates.load(FUNCTION)["Parameters"]["WebIdentityAudiences"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, audiences)) is is_taken


def test_all_that_the_functions_may_do_is_no_longer_than_iam_takes() -> None:
    longest = {
        **EVERYTHING,
        "AWS::Region": "ap-southeast-1",
        "AWS::StackName": "s" * 55,
        "CredentialsKmsKeyArn": f"{KEY}mrk-{'c' * 32}",
        "TokenSecretKmsKeyArn": f"{KEY}mrk-{'t' * 32}",
        "SecretPrefix": "p" * 100,
        "WebIdentityAudiences": ",".join(["a" * 39] * 10),
        "ResourceTags": ",".join(f"{number}{'k' * 58}=v" for number in range(8)),
        "ReplicaRegions": ",".join(["ap-southeast-1"] * 6),
    }
    parameters = templates.load(FUNCTION)["Parameters"]
    for name, room in (("WebIdentityAudiences", 1), ("ResourceTags", 5), ("ReplicaRegions", 11)):
        assert len(longest[name]) == parameters[name]["MaxLength"] - room
    resources = resolved(FUNCTION, longest)["Resources"]
    for policy in (resources[each]["Properties"] for each in ("RefreshPolicy", "RunPolicy")):
        # IAM does not count blanks.
        assert len("".join(json.dumps(policy["PolicyDocument"]).split())) <= 6144


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("number", [1, 2, 8])
def test_what_is_created_is_tagged_with_these_keys_and_no_other(role: str, number: int) -> None:
    keys = [f"key-{each}" for each in range(number)]
    wanted = {"ResourceTags": ",".join(f"{key}=a value:1" for key in keys)}
    [added] = statements(wanted, role=role).keys() - statements(role=role).keys()
    assert statements(wanted, role=role)[added] == {
        "Sid": "TagWhatIsCreated",
        "Effect": "Allow",
        "Action": "secretsmanager:TagResource",
        "Resource": f"{SECRETS}/tokens/*",
        "Condition": {
            # No tag has an empty key.
            "ForAllValues:StringEquals": {"aws:TagKeys": [*keys, *[""] * (8 - number)]},
            "Null": {"aws:TagKeys": "false"},
        },
    }


@pytest.mark.parametrize(
    ("tags", "is_taken"),
    [
        ("", True),
        ("team=payments", True),
        ("team=payments,cost-center=42,Cost Center=a/b:c@d.e+f_g", True),
        (",".join(f"k{number}=v" for number in range(8)), True),
        (",".join(f"k{number}=v" for number in range(9)), False),
        (f"{'k' * 128}=v", True),
        (f"{'k' * 129}=v", False),
        (f"k={'v' * 256}", True),
        (f"k={'v' * 257}", False),
        ("team", False),
        ("team=", False),
        ("=payments", False),
        ("team=a=b", False),
        ("team=a,", False),
        ("team=a, owner=b", False),
        ("team =a", False),
        ("team= a", False),
        ("team=a ", False),
        ("aws:team=a", False),
        ("AWS:team=a", False),
        ("team=aws:a", False),
        ("token-refresher:failure=a", False),
        ("team=a;b", False),
        ("${aws:PrincipalArn}=a", False),
        ("team*=a", False),
    ],
)
def test_the_program_takes_the_tags_that_the_template_takes(tags: str, *, is_taken: bool) -> None:
    parameter = templates.load(FUNCTION)["Parameters"]["ResourceTags"]
    assert bool(re.fullmatch(parameter["AllowedPattern"], tags)) is is_taken
    if is_taken:
        given = settings_from_environment({"RESOURCE_TAGS": tags}).resource_tags
        assert ",".join(f"{key}={value}" for key, value in given) == tags
    else:
        with pytest.raises(SettingsError, match=r"^RESOURCE_TAGS takes up to eight tags"):
            settings_from_environment({"RESOURCE_TAGS": tags})


@pytest.mark.parametrize("role", ROLES)
def test_tokens_are_copied_to_these_regions_alone_and_credentials_to_none(role: str) -> None:
    wanted = {"ReplicaRegions": "eu-central-1,us-east-1"}
    [added] = statements(wanted, role=role).keys() - statements(role=role).keys()
    assert statements(wanted, role=role)[added] == {
        "Sid": "ReplicateTokens",
        "Effect": "Allow",
        "Action": "secretsmanager:ReplicateSecretToRegions",
        "Resource": f"{SECRETS}/tokens/*",
        "Condition": {
            "ForAllValues:StringEquals": {
                "secretsmanager:AddReplicaRegions": ["eu-central-1", "us-east-1"]
            },
            "Null": {"secretsmanager:AddReplicaRegions": "false"},
        },
    }


@pytest.mark.parametrize(
    ("regions", "is_taken"),
    [
        ("", True),
        ("eu-central-1", True),
        ("us-gov-west-1,cn-northwest-1,ap-southeast-5,eusc-de-east-1", True),
        ("eu-central-1,", False),
        ("eu-central-1, us-east-1", False),
        ("Frankfurt", False),
        ("eu-central", False),
        ("*", False),
    ],
)
def test_the_program_takes_the_regions_that_the_template_takes(
    regions: str, *, is_taken: bool
) -> None:
    parameter = templates.load(FUNCTION)["Parameters"]["ReplicaRegions"]
    assert bool(re.fullmatch(parameter["AllowedPattern"], regions)) is is_taken
    if is_taken:
        given = settings_from_environment({"REPLICA_REGIONS": regions}).replica_regions
        assert ",".join(given) == regions
    else:
        with pytest.raises(SettingsError, match=r"^REPLICA_REGIONS takes Regions"):
            settings_from_environment({"REPLICA_REGIONS": regions})


def test_people_are_told_by_the_rule_alone_of_every_kind_but_new_tokens() -> None:
    resources = resolved(ROOT / "infra/recipes/tell-people.yaml")["Resources"]
    [statement] = resources["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert list(statement["Condition"]["ArnEquals"]) == ["aws:SourceArn"]
    kinds = resources["Rule"]["Properties"]["EventPattern"]["detail-type"].split(",")
    assert set(kinds) == {*Kind} - {Kind.PUBLISHED}
    allowed = templates.load(ROOT / "infra/recipes/tell-people.yaml")["Parameters"]["Kinds"]
    assert set(allowed["AllowedPattern"].split("|")) == {*Kind}


def test_the_others_may_refresh_an_account_and_never_list_them() -> None:
    swept = set(statements())
    assert set(statements(role="TriggerRole")) == swept - {"SeeWhenEveryTokenExpires"}
    rotating = statements(role="RotationRole")
    assert set(rotating) == swept - {"SeeWhenEveryTokenExpires"} | {"PublishWhatIsStaged"}
    assert _actions(rotating["PublishWhatIsStaged"]) == {"secretsmanager:UpdateSecretVersionStage"}
    assert rotating["PublishWhatIsStaged"]["Resource"] == f"{SECRETS}/tokens/*"


def test_only_credentials_that_people_wrote_trigger_a_refresh() -> None:
    properties = templates.function({"SecretPrefix": "team/oauth"}, name="TriggerFunction")
    assert properties["Events"]["CredentialsChanged"]["Properties"]["Pattern"] == {
        "source": ["aws.secretsmanager"],
        "detail-type": ["Secret Label Updated"],
        "detail": {
            "name": [{"prefix": "team/oauth/credentials/"}],
            "labelUpdated": ["AWSCURRENT"],
        },
    }


def test_a_rotation_comes_by_the_calendar_which_no_publish_puts_off() -> None:
    """Days are counted from the last version, and a sweep publishes every few hours."""
    words = shlex.split(resolved(FUNCTION)["Outputs"]["RotateToken"]["Value"])
    rules = json.loads(words[words.index("--rotation-rules") + 1])
    assert re.fullmatch(r"cron\(0 \d+ 1 \* \? \*\)", rules.pop("ScheduleExpression"))
    assert rules == {}


def test_only_secrets_manager_of_this_aws_account_may_rotate() -> None:
    permission = resolved(FUNCTION)["Resources"]["SecretsManagerMayRotate"]["Properties"]
    assert permission["Principal"] == "secretsmanager.amazonaws.com"
    assert permission["SourceAccount"] == "123456789012"


@pytest.mark.parametrize("name", ["TriggerFunction", "RotationFunction"])
def test_a_refresh_can_be_begun_and_finished_in_the_time_of(name: str) -> None:
    seconds = templates.function(name=name)["Timeout"]
    assert seconds > TIME_TO_BEGIN.total_seconds() + 20


def _actions(statement: dict[str, Any]) -> set[str]:
    action = statement["Action"]
    return {action} if isinstance(action, str) else set(action)


def test_the_program_calls_what_it_may_call() -> None:
    source = (ROOT / secret_store.__file__).read_text()
    called = {f"secretsmanager:{name}" for name in re.findall(r'_errors\("(\w+)"\)', source)}
    allowed = {
        action
        for role in ROLES
        for each in statements({"ReplicaRegions": "us-east-1"}, role=role).values()
        for action in _actions(each)
    }
    assert called == {action for action in allowed if action.startswith("secretsmanager:")}


def test_of_kms_and_sts_the_program_calls_what_it_may_call() -> None:
    source = Path(signing.__file__).read_text()
    called = {
        f"{service}:{method.title().replace('_', '')}"
        for service, method in re.findall(r'_client\("(\w+)"\)\.(\w+)\(', source)
    }
    wanted = statements({"Signing": "true", "WebIdentityAudiences": "a"})
    added = wanted.keys() - statements().keys()
    allowed = {action for sid in added for action in _actions(wanted[sid])}
    # No call of its own: it is asked for with tags.
    assert called == allowed - {"sts:TagGetWebIdentityToken"}


@pytest.mark.parametrize("parameters", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_only_what_has_no_name_beforehand_is_allowed_for_every_resource(
    parameters: dict[str, str],
) -> None:
    everywhere = {
        sid
        for sid, each in statements(parameters).items()
        if each["Resource"] == "*" and each["Effect"] == "Allow"
    }
    assert everywhere <= {
        *("SeeWhenEveryTokenExpires", "SendTraces", "JoinTheVpc"),
        *("TellWhoRunsHere", "NameTheAccount"),
    }
    # Each star is explained where it stands.
    lines = FUNCTION.read_text().splitlines()
    stars = [number for number, line in enumerate(lines) if line.strip() == 'Resource: "*"']
    assert len(stars) == 6
    assert all(lines[number - 1].strip().startswith("#") for number in stars)


def test_secrets_are_reached_under_the_two_paths_alone() -> None:
    for sid, each in statements({"SecretPrefix": "team/oauth"}).items():
        if sid != "SeeWhenEveryTokenExpires" and "secretsmanager:" in str(each["Action"]):
            path = SECRETS.replace(":oauth", ":team/oauth")
            assert each["Resource"] in {f"{path}/credentials/*", f"{path}/tokens/*"}


def test_the_credentials_path_is_written_only_where_refresh_tokens_are_used() -> None:
    def writes(**parameters: str) -> list[str]:
        return [
            sid
            for sid, each in statements(parameters).items()
            if "secretsmanager:PutSecretValue" in _actions(each)
            and "/credentials/" in each["Resource"]
        ]

    assert writes(RefreshTokens="use") == ["LeaseAndJournalRefreshTokens"]
    assert writes(RefreshTokens="ignore") == []


def test_only_tags_of_our_own_are_written_and_none_is_no_way_around_it() -> None:
    condition = statements()["RecordFailuresAsTags"]["Condition"]
    assert condition == {
        "ForAllValues:StringLike": {"aws:TagKeys": "token-refresher:*"},
        "Null": {"aws:TagKeys": "false"},
    }
    tags = [value for name, value in vars(records).items() if name.endswith("_TAG")]
    assert tags
    assert all(tag.startswith("token-refresher:") for tag in tags)


def test_keys_are_used_through_secrets_manager_for_secrets_of_the_path() -> None:
    found = statements(EVERYTHING)
    for sid, key, path in (
        ("DecryptCredentials", "credentials", f"{SECRETS}/credentials/*"),
        ("EncryptJournals", "credentials", f"{SECRETS}/credentials/*"),
        ("EncryptTokens", "tokens", f"{SECRETS}/tokens/*"),
    ):
        statement = found[sid]
        assert statement["Resource"] == KEY + key
        condition = statement["Condition"]
        assert set(condition["StringEquals"]["kms:ViaService"]) == {
            "secretsmanager.eu-west-1.amazonaws.com"
        }
        assert condition["StringLike"]["kms:EncryptionContext:SecretARN"][0] == path
    ignoring = statements({**EVERYTHING, "RefreshTokens": "ignore"})
    assert "EncryptJournals" not in ignoring
    assert "DecryptCredentials" in ignoring


PARTITIONS: Final = {
    "aws": ("eu-west-1", "amazonaws.com", "eu-west-1.console.aws.amazon.com"),
    "aws-cn": ("cn-north-1", "amazonaws.com.cn", "console.amazonaws.cn"),
    "aws-us-gov": ("us-gov-west-1", "amazonaws.com", "console.amazonaws-us-gov.com"),
}


@cache
def of_partition(path: Path, partition: str) -> dict[str, Any]:
    """A template as it is deployed in a partition, with everything that can be on."""
    region, suffix, _ = PARTITIONS[partition]
    place = {"AWS::Partition": partition, "AWS::Region": region, "AWS::URLSuffix": suffix}
    here = {
        name: value.replace("arn:aws:", f"arn:{partition}:").replace("eu-west-1", region)
        for name, value in EVERYTHING.items()
    }
    return resolved(path, {**here, **place})


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_arn_and_region_is_that_of_where_it_is_deployed(path: Path, partition: str) -> None:
    text = json.dumps({**of_partition(path, partition), "Parameters": {}})
    region, *_ = PARTITIONS[partition]
    assert set(re.findall(r"\barn:([a-z-]+):", text)) <= {partition}
    if partition != "aws":
        assert "eu-west-1" not in text
    assert set(re.findall(r"--region ([\w-]+)", text)) <= {region}


@pytest.mark.parametrize("partition", PARTITIONS)
def test_keys_are_used_through_secrets_manager_by_its_name_there(partition: str) -> None:
    region, suffix, _ = PARTITIONS[partition]
    resources = {
        **of_partition(FUNCTION, partition)["Resources"],
        **of_partition(ACCOUNT, partition)["Resources"],
    }
    found = [
        each["Condition"]["StringEquals"]["kms:ViaService"]
        for policy in ("RefreshPolicy", "ReadToken")
        for each in resources[policy]["Properties"]["PolicyDocument"]["Statement"]
        if "kms:ViaService" in str(each)
    ]
    assert len(found) == 4
    for names in found:
        # AWS has not said which of the two it is in China, so both are taken.
        assert f"secretsmanager.{region}.{suffix}" in names
        assert set(names) <= {
            f"secretsmanager.{region}.{each}" for each in (suffix, "amazonaws.com")
        }


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_services_are_trusted_by_names_that_they_have_everywhere(
    path: Path, partition: str
) -> None:
    """Of these services no name ends in .cn, not even in China."""
    text = json.dumps(of_partition(path, partition))
    principals = re.findall(r'"(?:Service|Principal)": "(\w+)\.([\w.]+)"', text)
    assert {suffix for _, suffix in principals} <= {"amazonaws.com"}
    known = {"cloudwatch", "events", "lambda", "scheduler", "secretsmanager", "sns"}
    assert {service for service, _ in principals} <= known


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_dashboard_is_where_the_console_is(partition: str) -> None:
    region, _, console = PARTITIONS[partition]
    output = of_partition(MONITORING, partition)["Outputs"]["DashboardUrl"]["Value"]
    path = f"cloudwatch/home?region={region}#dashboards/dashboard/token-refresher"
    assert output == f"https://{console}/{path}"


def test_the_log_and_the_queue_are_the_stacks_own() -> None:
    found = statements()
    assert found["WriteItsOwnLog"]["Resource"].endswith(":log-group:FunctionLog:*")
    assert found["KeepFailedEvents"]["Resource"].endswith(":FailedEvents")


def test_all_roles_keep_to_the_boundary_where_there_is_one() -> None:
    for parameters, expected in ((EVERYTHING, EVERYTHING["PermissionsBoundaryArn"]), ({}, None)):
        resources = resolved(FUNCTION, parameters)["Resources"]
        for role in (*ROLES, "ScheduleRole"):
            assert resources[role]["Properties"].get("PermissionsBoundary") == expected


def test_the_schedule_may_invoke_the_function_and_is_nobody_elses_tool() -> None:
    resources = resolved(FUNCTION)["Resources"]
    tick = resources["TokenRefresherFunction"]["Properties"]["Events"]["EveryTick"]["Properties"]
    assert tick["RoleArn"].endswith(":role/ScheduleRole")
    role = resources["ScheduleRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    ((statement,),) = [each["PolicyDocument"]["Statement"] for each in role["Policies"]]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"].endswith(":function:TokenRefresherFunction")


def test_in_a_vpc_its_own_code_may_do_nothing_of_what_lambda_does_there() -> None:
    found = statements(EVERYTHING)
    deny = found["LeaveTheVpcToLambda"]
    assert (deny["Effect"], deny["Action"]) == ("Deny", found["JoinTheVpc"]["Action"])
    denied = deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]
    assert [arn.partition(":function:")[2] for arn in denied] == [
        "token-refresher",
        "token-refresher-triggers",
        "token-refresher-rotation",
    ]


@pytest.mark.parametrize("path", [FUNCTION, ACCOUNT], ids=lambda path: path.name)
@pytest.mark.parametrize("prefix", ["tokens", "oauth/tokens", "credentials/x", "a/credentials/b"])
def test_a_prefix_that_the_program_refuses_is_refused_by_the_template(
    path: Path, prefix: str
) -> None:
    pattern = templates.load(path)["Parameters"]["SecretPrefix"]["AllowedPattern"]
    assert re.fullmatch(pattern, prefix) is None
    assert re.fullmatch(pattern, "team/oauth-tokens")
    with pytest.raises(SettingsError):
        settings_from_environment({"SECRET_PREFIX": prefix})


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(list(statements(EVERYTHING).values()), id="the function's"),
        pytest.param(list(statements(role="RotationRole").values()), id="the rotation's"),
        pytest.param(
            resolved(ACCOUNT, EVERYTHING)["Resources"]["ReadToken"]["Properties"]["PolicyDocument"][
                "Statement"
            ],
            id="a consumer's",
        ),
    ],
)
def test_iam_knows_every_action_and_condition(document: list[dict[str, Any]]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": document})
    found = templates.run(".venv-deploy/bin/parliament", "--string", policy)
    # Lambda's network interfaces have no name beforehand, and Lambda adds the ARN of the
    # function whose code calls to every call; identity tokens are younger than the tool: none
    # of this is in its data.
    known = ("'ec2:", "lambda:SourceFunctionArn for action ec2:", "GetWebIdentityToken")
    lines = [line for line in found.stdout.splitlines() if not any(each in line for each in known)]
    assert lines == []
    misspelt = templates.run(
        ".venv-deploy/bin/parliament", "--string", policy.replace("GetSecretV", "ReadSecretV")
    )
    assert "Unknown action" in misspelt.stdout


def test_a_consumer_reads_one_token_and_nothing_else() -> None:
    policy = resolved(ACCOUNT)["Resources"]["ReadToken"]["Properties"]["PolicyDocument"]
    (statement,) = policy["Statement"]
    assert statement["Resource"] == f"{SECRETS}/tokens/dealer-17-??????"
    assert set(statement["Action"]) == {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
    }


def test_an_accounts_credentials_outlive_its_stack() -> None:
    credentials = resolved(ACCOUNT)["Resources"]["Credentials"]
    assert credentials["DeletionPolicy"] == "RetainExceptOnCreate"
    assert credentials["UpdateReplacePolicy"] == "Retain"
    assert not {"SecretString", "GenerateSecretString"} & credentials["Properties"].keys()


@pytest.mark.parametrize("path", [FUNCTION, ACCOUNT, MONITORING], ids=lambda path: path.name)
def test_what_no_tag_of_a_stack_reaches_is_told(path: Path) -> None:
    told = (ROOT / "docs/deployment.md").read_text()
    [sentence] = re.findall(r"None get what it can tag with nothing: .*?\.", told)
    words = {
        "IAM::ManagedPolicy": "managed policies",
        "Lambda::Permission": "permission",
        "SNS::Subscription": "subscription",
        # Of the function's events, as SAM makes it of them.
        "Scheduler::Schedule": "schedule",
    }
    assert all(word in sentence for word in words.values())
    kinds = {each["Type"].removeprefix("AWS::") for each in resolved(path)["Resources"].values()}
    asked = (
        "import json, sys\n"
        "from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as schemas\n"
        "for kind in sys.argv[1:]:\n"
        "    schema = schemas.get_resource_schema('eu-west-1', f'AWS::{kind}').schema\n"
        "    if not schema.get('tagging', {}).get('taggable', 'Tags' in schema['properties']):\n"
        "        print(kind)\n"
    )
    found = templates.run(".venv-deploy/bin/python", "-c", asked, *kinds - {"Serverless::Function"})
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) <= words.keys()


# Alarms


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_says_what_to_do_and_tells_when_it_is_over(name: str) -> None:
    alarm = alarms()[name]
    assert len(alarm["AlarmDescription"].split()) > 25
    assert alarm["AlarmActions"] == alarm["OKActions"] == ["AlarmTopic"]
    assert alarm["AlarmName"].startswith("token-refresher ")


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_ends_with_a_command_of_the_command_line_that_tells_more(name: str) -> None:
    description = alarms()[name]["AlarmDescription"]
    program, *words = shlex.split(description.rpartition(": ")[2])
    assert program == "token-refresher"
    verb, *options = words
    assert verb in {"status", "doctor"}
    given = COMMANDS[verb].make_context(verb, options).params
    assert (given["stack"], given["region"]) == ("token-refresher", "eu-west-1")


@pytest.mark.parametrize("name", alarms())
def test_a_description_is_no_longer_than_cloudwatch_takes(name: str) -> None:
    stack = {"FunctionStackName": "s" * 64}
    alarm = resolved(MONITORING, stack)["Resources"][name]["Properties"]
    assert len(alarm["AlarmDescription"].replace("eu-west-1", "ap-southeast-1")) <= 1024


# In characters, by CloudFormation's property; what has no name here is given one that fits.
LONGEST: Final = {
    ("AWS::Serverless::Function", "FunctionName"): 64,
    ("AWS::Serverless::Function", "Description"): 256,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::IAM::Role", "Description"): 1000,
    ("AWS::IAM::ManagedPolicy", "Description"): 1000,
    ("AWS::SNS::Topic", "DisplayName"): 100,
    ("AWS::CloudWatch::Alarm", "AlarmName"): 255,
    ("AWS::CloudWatch::Alarm", "AlarmDescription"): 1024,
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::SecretsManager::Secret", "Name"): 512,
    ("AWS::SecretsManager::Secret", "Description"): 2048,
}


def test_whatever_is_named_after_a_stack_a_prefix_and_an_account_is_short_enough() -> None:
    stack, prefix, account = "s" * 64, "p" * 100, "a" * 399
    shorter, functions = "s" * 55, {"Triggers": "true", "Rotation": "true"}
    for longest, parameters in ((stack, {}), (shorter, functions)):
        check_name(longest, parameters)
        with pytest.raises(DeployError, match=f"at most {len(longest)}"):
            check_name(f"{longest}s", parameters)
    named = {"SecretPrefix": prefix, "AccountName": account}
    seen = set()
    for path, given in (
        (FUNCTION, {"AWS::StackName": shorter, "SecretPrefix": prefix}),
        (MONITORING, {"FunctionStackName": stack}),
        (ACCOUNT, named),
    ):
        for resource in resolved(path, given)["Resources"].values():
            for name, value in resource.get("Properties", {}).items():
                most = LONGEST.get((resource["Type"], name))
                is_named = isinstance(value, str) and re.search("s{40}|p{100}|a{399}", value)
                assert not is_named or most or name == "DashboardBody", (resource["Type"], name)
                if most:
                    seen.add((resource["Type"], name))
                    assert len(value) <= most, (resource["Type"], name)
    assert seen == LONGEST.keys()
    assert len(account_stack(stack, account)) == 128
    for pattern in (templates.load(path)["Parameters"] for path in (FUNCTION, ACCOUNT)):
        assert pattern["SecretPrefix"]["MaxLength"] == len(prefix)
    assert templates.load(ACCOUNT)["Parameters"]["AccountName"]["MaxLength"] == len(account)


@pytest.mark.parametrize("name", alarms())
def test_only_the_absence_of_sweeps_is_alarming(name: str) -> None:
    alarm, is_absence = alarms()[name], name == "NoSweepCompleted"
    # Every sweep emits each gauge: where none is, nothing is known to be over.
    of_the_program = "ignore" if alarm["Namespace"] == "TokenRefresher" else "notBreaching"
    assert alarm["TreatMissingData"] == ("breaching" if is_absence else of_the_program)
    assert ("WarmUpConfiguration" in alarm) is is_absence


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_no_alarm_rings_because_one_sweep_missed(minutes: str) -> None:
    resources = resolved(MONITORING, {"ScheduleMinutes": minutes})["Resources"]
    absence = resources["NoSweepCompleted"]["Properties"]
    assert absence["Period"] >= int(minutes) * 60
    # CloudWatch looks back two periods further, and any value there keeps it silent.
    seconds = absence["Period"] * (absence["EvaluationPeriods"] + 2)
    assert 2 * int(minutes) * 60 < seconds <= 3600
    for name in ("FunctionFails", "FunctionIsThrottled", "FunctionNearsItsTimeout"):
        assert resources[name]["Properties"]["DatapointsToAlarm"] >= 2


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_three_ticks_that_fail_ring_and_two_do_not(minutes: str) -> None:
    alarm = resolved(MONITORING, {"ScheduleMinutes": minutes})["Resources"]["EventsFailed"]
    properties = alarm["Properties"]
    assert properties["Threshold"] == 3
    assert properties["Period"] == max(900, 3 * 60 * int(minutes))


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_an_invocation_that_nears_its_timeout_is_told_from_one_that_does_not(minutes: str) -> None:
    alarm = resolved(MONITORING, {"ScheduleMinutes": minutes})["Resources"][
        "FunctionNearsItsTimeout"
    ]
    threshold = alarm["Properties"]["Threshold"] / 1000
    timeout = function(ScheduleMinutes=minutes)["Timeout"]
    assert 0.8 * timeout < threshold < timeout


def test_alarms_go_to_a_topic_of_ones_own_where_there_is_one() -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:mine"
    resources = resolved(MONITORING, {"AlarmTopicArn": topic})["Resources"]
    for each in resources.values():
        if each["Type"] == "AWS::CloudWatch::Alarm":
            assert each["Properties"]["AlarmActions"] == [topic]


def test_the_dashboard_shows_every_alarm() -> None:
    body = json.loads(resolved(MONITORING)["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
    (shown,) = [each for each in body["widgets"] if each["type"] == "alarm"]
    assert {arn.rpartition(":")[2] for arn in shown["properties"]["alarms"]} == set(alarms())


def test_the_dashboards_figures_are_ones_that_exist() -> None:
    body = json.loads(resolved(MONITORING)["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
    shown = [
        metric
        for widget in body["widgets"]
        if widget["type"] == "metric"
        for metric in widget["properties"]["metrics"]
    ]
    names = {each[1] for each in shown if each[0] in {"TokenRefresher", "."}}
    assert names - {"Duration", "Invocations"} <= reporting.METRICS.keys()
    assert {"SecondsUntilExpiry", "TokensRefreshed", "RefreshFailures"} <= names


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_an_outage_of_half_an_hour_wakes_nobody_up_and_one_of_an_hour_does(minutes: str) -> None:
    alarm = resolved(MONITORING, {"ScheduleMinutes": minutes})["Resources"]["RefreshesKeepFailing"]
    period, needed = alarm["Properties"]["Period"], alarm["Properties"]["DatapointsToAlarm"]
    assert 40 * 60 <= period * needed <= 45 * 60
    assert needed < alarm["Properties"]["EvaluationPeriods"] <= 3600 / period
