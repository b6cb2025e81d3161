"""What is known of a deployment beforehand, and what is told while it is at work."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.stub import Stubber
from typing_extensions import override

from token_refresher.aws.signing import alias_of
from token_refresher.errors import CredentialsError, SettingsError
from token_refresher.settings import settings_from_environment
from tools import templates
from tools.deploying import parameters
from tools.deploying.change_sets import Change, ChangeSet, read_change_set, table
from tools.deploying.following import Progress, follow
from tools.deploying.place import DeployError, Place
from tools.deploying.stacks import Stack, check_status
from tools.deploying.variables import TAKES, check_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACE: Final = Place(boto3.Session(region_name="eu-west-1"), "123456789012", "somebody")
PATH: Final = "a path such as oauth or team/oauth, without a part named credentials or tokens"
STACK_ID: Final = "arn:aws:cloudformation:eu-west-1:123456789012:stack/s/1"


def in_force(given: Mapping[str, str]) -> dict[str, str]:
    return parameters.in_force(templates.FUNCTION, given, {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ScheduelMinutes", "ScheduleMinutes"),
        ("schedule_minutes", "ScheduleMinutes"),
        ("secretprefix", "SecretPrefix"),
        ("Trigger", "Triggers"),
        ("VpcSubnetId", "VpcSubnetIds"),
        ("AlarmMail", "AlarmEmail"),
    ],
)
def test_a_misspelt_parameter_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    with pytest.raises(DeployError) as refused:
        parameters.read_parameters(["ScheduleMinutes=5", f"{name}=1"])
    assert str(refused.value) == (
        f"No template has the parameter {name}. Did you mean {meant}? "
        "docs/reference.md and docs/deployment.md list them."
    )


def test_a_name_that_is_a_part_of_others_is_refused_with_each_of_them() -> None:
    with pytest.raises(DeployError, match="Did you mean ") as refused:
        parameters.read_parameters(["KmsKeyIdd=1"])
    assert "CredentialsKmsKeyArn" in str(refused.value)
    assert "TokenSecretKmsKeyArn" in str(refused.value)


def test_all_that_is_wrong_with_parameters_is_told_at_once() -> None:
    given = ["AllowedTokenHost=a.example", "Trigger=true", "Signing=yes", "AccountName=a", "b.com"]
    with pytest.raises(DeployError) as refused:
        parameters.read_parameters([*given, "AlarmEmail=a b"])
    assert str(refused.value) == (
        "A parameter is Name=value, and b.com has no value: a blank ends a parameter. "
        "No template has the parameter AllowedTokenHost. Did you mean AllowedTokenHosts? "
        "No template has the parameter Trigger. Did you mean Triggers? "
        "Signing=yes cannot be: it takes true or false. "
        "AccountName is not for PARAMETERS: STACK and ACCOUNT say it. "
        "AlarmEmail may hold neither blanks nor quotes, here or in SAM. "
        "docs/reference.md and docs/deployment.md list them."
    )


def test_values_are_refused_all_at_once_too() -> None:
    with pytest.raises(DeployError) as refused:
        parameters.check_values({"Signing": "yes", "Tracing": "true", "MaxWorkers": "65"})
    assert str(refused.value) == (
        "Signing=yes cannot be: it takes true or false. MaxWorkers=65 cannot be: it takes 1 to 64."
    )


@pytest.mark.parametrize(
    ("target", "typed", "told"),
    [
        ("deploy", "PARAMETER", "Did you mean PARAMETERS?"),
        ("deploy", "DRYRUN", "Did you mean DRY_RUN?"),
        ("account", "dry_run", "Did you mean DRY_RUN?"),
        ("account", "ACOUNT", "Did you mean ACCOUNT?"),
        ("deploy", "schedule_minutes", 'Did you mean PARAMETERS="ScheduleMinutes=..."?'),
        ("deploy", "ACCOUNT", "It takes STACK, "),
        ("undeploy", "ACCOUNT", "It takes STACK, DRY_RUN, YES."),
        ("undeploy", "ScheduleMinutes", "It takes STACK, DRY_RUN, YES."),
    ],
)
def test_a_variable_of_make_that_its_target_does_not_take_is_refused_with_the_nearest(
    target: str, typed: str, told: str
) -> None:
    with pytest.raises(DeployError) as refused:
        check_variables(target, ["STACK", typed])
    assert f"make {target} takes no {typed}. {told}" in str(refused.value)


@pytest.mark.parametrize("target", TAKES)
def test_a_variable_that_a_target_takes_and_one_of_aws_may_be_typed(target: str) -> None:
    check_variables(target, [*TAKES[target], "AWS_REGION", "AWS_PROFILE", "PYTHON"])


@pytest.mark.parametrize("name", ["Qqqqqq", "AccountNam"])
def test_where_no_name_is_near_the_list_alone_is_named(name: str) -> None:
    with pytest.raises(DeployError, match=f"parameter {name}. docs/reference.md and"):
        parameters.read_parameters([f"{name}=1"])


@pytest.mark.parametrize(
    ("given", "lacking"), [("Triggers", "Triggers has no value"), ("=true", "=true has no name")]
)
def test_what_is_no_parameter_is_refused_with_what_it_lacks(given: str, lacking: str) -> None:
    with pytest.raises(DeployError) as refused:
        parameters.read_parameters([given])
    assert (
        str(refused.value) == f"A parameter is Name=value, and {lacking}: a blank ends a parameter."
    )


def test_of_an_architecture_that_is_given_twice_it_is_said_where_the_other_may_stand() -> None:
    """Make adds it to what a person gives."""
    with pytest.raises(DeployError, match=r"or what ARCHITECTURE says where that is set\."):
        parameters.read_parameters(["Architecture=", "Architecture=arm64"])


def test_what_another_stack_takes_is_not_passed_over_in_silence() -> None:
    ours = (templates.FUNCTION, templates.MONITORING)
    with pytest.raises(DeployError, match=r"^CreateSecret would be passed over here: .* account"):
        parameters.check_taken({"CreateSecret": "false"}, ours)
    with pytest.raises(DeployError, match=r"^MaxWorkers would be .* make deploy"):
        parameters.check_taken({"MaxWorkers": "8"}, (templates.ACCOUNT,))
    shared = {"Architecture": "arm64", "ResourceTags": "team=payments", "SecretPrefix": "oauth"}
    parameters.check_taken(shared, ours)
    parameters.check_taken(shared, (templates.ACCOUNT,))


def test_the_lists_that_are_named_hold_every_parameter() -> None:
    listed = "".join(
        (templates.ROOT / "docs" / name).read_text("utf-8")
        for name in ("reference.md", "deployment.md")
    )
    assert [each for each in sorted(parameters.known()) if f"| `{each}` |" not in listed] == []


def test_the_parameters_of_every_template_are_known_and_nothing_else() -> None:
    names = {name for path in templates.DEPLOYED for name in templates.load(path)["Parameters"]}
    assert parameters.known() == names


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ScheduleMinutes=2", "it takes 1 or 5 or 10 or 15"),
        ("Triggers=True", "it takes true or false"),
        ("RefreshBeforeSeconds=60", "it takes 1800 to 604800"),
        ("RefreshBeforeSeconds=2h", "it takes 1800 to 604800"),
        ("RefreshBeforeSeconds=05400", "it takes 1800 to 604800"),
        ("MaxWorkers=+4", "it takes 1 to 64"),
        ("MaxWorkers=65", "it takes 1 to 64"),
        ("SecretPrefix=oauth/", f"it takes {PATH}"),
        ("AlarmEmail=ops", "it takes one address, or nothing"),
        ("CreateSecret=no", "it takes true or false"),
    ],
)
def test_a_value_that_a_template_refuses_is_refused_with_what_it_takes(
    given: str, told: str
) -> None:
    with pytest.raises(DeployError) as refused:
        parameters.check_values(parameters.read_parameters([given]))
    assert str(refused.value) == f"{given} cannot be: {told}."


def test_a_number_of_any_length_is_refused_as_any_other() -> None:
    takes = parameters.definitions(templates.FUNCTION)["MaxWorkers"]
    assert parameters.refusal("1" * 5000, takes) == "it takes 1 to 64"


def test_a_long_value_is_refused_in_a_short_line() -> None:
    with pytest.raises(DeployError) as refused:
        parameters.check_values({"AdditionalCaCertificates": "M" * 3001})
    assert str(refused.value) == (
        "AdditionalCaCertificates=MMMMMMMMMMMMMMMMMMMM... (3,001 characters) cannot be: "
        "it has 3001 characters, and may have 3000."
    )


def test_every_default_is_taken() -> None:
    for template in templates.DEPLOYED:
        for name, each in parameters.definitions(template).items():
            if "Default" in each:
                assert parameters.refusal(str(each["Default"]), each) is None, name


def test_every_parameter_says_in_words_what_it_takes() -> None:
    """What CloudFormation would show besides is a regular expression."""
    for template in templates.DEPLOYED:
        for name, each in parameters.definitions(template).items():
            if each["Type"] == "Number":
                assert "AllowedValues" in each or {"MinValue", "MaxValue"} <= each.keys(), name
            elif "AllowedPattern" in each:
                assert each["ConstraintDescription"], name


@pytest.mark.parametrize("prefix", ["team.a/oauth", "a+b", "a=b", "a@b", "aws/oauth"])
def test_a_prefix_that_no_key_can_be_named_after_is_refused_where_accounts_sign(
    prefix: str,
) -> None:
    with pytest.raises(CredentialsError):
        alias_of(prefix, "dealer-17")
    with pytest.raises(DeployError, match=f"^With Signing=true, SecretPrefix={re.escape(prefix)}"):
        parameters.check_together(in_force({"Signing": "true", "SecretPrefix": prefix}))
    parameters.check_together(in_force({"Signing": "false", "SecretPrefix": prefix}))


@pytest.mark.parametrize("prefix", ["oauth", "team/oauth_2", "Team-A/oauth", "awsome/oauth"])
def test_a_prefix_that_keys_can_be_named_after_is_taken(prefix: str) -> None:
    assert alias_of(prefix, "dealer-17") == f"alias/{prefix}/dealer-17"
    parameters.check_together(in_force({"Signing": "true", "SecretPrefix": prefix}))


@pytest.mark.parametrize("tags", ["team=a,team=b", "Cost Center=1,x=2,cost center=1"])
def test_two_tags_of_one_key_are_refused_as_the_function_would_refuse_to_start(tags: str) -> None:
    with pytest.raises(SettingsError):
        settings_from_environment({"RESOURCE_TAGS": tags})
    with pytest.raises(DeployError, match="ResourceTags may name each key once"):
        parameters.check_together(in_force({"ResourceTags": tags}))
    parameters.check_together(in_force({"ResourceTags": "team=a,owner=team,cost center=1"}))


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        ("ROLLBACK_COMPLETE", "Delete it first: make undeploy"),
        ("CREATE_FAILED", "Delete it first: make undeploy"),
        ("DELETE_FAILED", "Delete it first: make undeploy"),
        (
            "UPDATE_ROLLBACK_FAILED",
            "aws cloudformation continue-update-rollback --stack-name s --region eu-west-1",
        ),
        ("UPDATE_IN_PROGRESS", "Deploy again when that is over"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Deploy again when that is over"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_told_with_the_way_out(status: str, way_out: str) -> None:
    with pytest.raises(DeployError, match=way_out) as refused:
        check_status(Stack("s", status), PLACE, delete="make undeploy")
    assert f"({status})" in str(refused.value)


@pytest.mark.parametrize(
    "status",
    [None, "REVIEW_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"],
)
def test_a_stack_that_can_be_deployed_to_is_taken(status: str | None) -> None:
    check_status(Stack("s", status), PLACE, delete="make undeploy")


class Session(boto3.Session):
    """A session whose only client answers what a script says, if botocore's models know it."""

    def __init__(self, operation: str, *answers: dict[str, Any]) -> None:
        super().__init__("invented", "invented", region_name="eu-west-1")
        make: Any = super().client
        self._client = make("cloudformation")
        stubber = Stubber(self._client)
        for each in answers:
            stubber.add_response(operation, each)
        stubber.activate()

    @override
    def client(self, *_: Any, **__: Any) -> Any:
        return self._client


def scripted(operation: str, *answers: dict[str, Any]) -> Place:
    return Place(Session(operation, *answers), "123456789012", "somebody")


def change(action: str, kind: str, name: str, **more: object) -> dict[str, Any]:
    return {
        "Type": "Resource",
        "ResourceChange": {
            "Action": action,
            "ResourceType": f"AWS::{kind}",
            "LogicalResourceId": name,
            **more,
        },
    }


def change_set(*pages: list[dict[str, Any]]) -> ChangeSet:
    answers = [
        {"StackId": STACK_ID, "Changes": page, "NextToken": str(number)}
        for number, page in enumerate(pages)
    ]
    del answers[-1]["NextToken"]
    return read_change_set(scripted("describe_change_set", *answers), "arn:of-it")


def of_a_property(name: str) -> dict[str, Any]:
    return {"Target": {"Attribute": "Properties", "Name": name}}


def test_a_change_set_is_told_by_what_becomes_of_each_kind_of_resource() -> None:
    planned = change_set(
        [
            change("Add", "CloudWatch::Alarm", f"AlarmNumber{number}ThatHasALongName")
            for number in range(3)
        ],
        [
            change(
                "Modify",
                "Lambda::Function",
                "TriggerFunction",
                Replacement="False",
                Details=[of_a_property("MemorySize"), {"Target": {"Attribute": "Tags"}}],
            ),
            change(
                "Modify",
                "Lambda::Function",
                "TokenRefresherFunction",
                Replacement="False",
                Details=[{"Target": {"Attribute": "Tags"}}, of_a_property("MemorySize")],
            ),
            change(
                "Modify",
                "Logs::LogGroup",
                "FunctionLog",
                Replacement="Conditional",
                Details=[of_a_property("LogGroupName")],
            ),
            change("Modify", "SQS::Queue", "FailedEvents", Replacement="True"),
            change("Remove", "Events::Rule", "TriggerFunctionCredentialsChanged"),
        ],
    )
    assert planned.stack_id == STACK_ID
    assert planned.loses
    assert table(planned.changes).splitlines() == [
        "   add      CloudWatch Alarm: AlarmNumber0ThatHasALongName,",
        "            AlarmNumber1ThatHasALongName, AlarmNumber2ThatHasALongName",
        "   modify   Lambda Function: TokenRefresherFunction, TriggerFunction",
        "            (MemorySize, Tags)",
        "   remove   Events Rule: TriggerFunctionCredentialsChanged",
        "   replace  SQS Queue: FailedEvents; the failed events in it are lost",
        "   replace? Logs LogGroup: FunctionLog (LogGroupName); then its lines are lost",
    ]


def test_the_document_shows_what_is_told() -> None:
    document = (templates.ROOT / "docs" / "deployment.md").read_text("utf-8")
    changes = [
        Change("add", "IAM Role", "TriggerRole"),
        Change("add", "Lambda Function", "TriggerFunction"),
        Change("add", "Events Rule", "TriggerFunctionCredentialsChanged"),
        Change("modify", "Lambda Function", "TokenRefresherFunction", ("MemorySize",)),
    ]
    assert f"```text\n{table(changes)}\n```" in document
    given = {"Triggers": "true", "MemoryMegabytes": "1024"}
    told = [f"   {each}" for each in parameters.changes(templates.FUNCTION, given, in_force({}))]
    assert "\n".join(["```text", "token-refresher", *sorted(told)]) in document


@pytest.mark.parametrize(
    ("planned", "loses"),
    [
        (change("Add", "SQS::Queue", "FailedEvents"), False),
        (change("Modify", "SQS::Queue", "FailedEvents", Replacement="False"), False),
        (change("Modify", "SQS::Queue", "FailedEvents", Replacement="Conditional"), True),
        (change("Remove", "Logs::LogGroup", "FunctionLog", PolicyAction="Delete"), True),
        (change("Remove", "Logs::LogGroup", "FunctionLog", PolicyAction="Retain"), False),
        (
            change(
                *("Modify", "SNS::Topic", "AlarmTopic"),
                Replacement="True",
                PolicyAction="ReplaceAndRetain",
            ),
            False,
        ),
        (change("Remove", "SNS::Topic", "AlarmTopic"), True),
        (change("Remove", "Lambda::Function", "TriggerFunction"), False),
        # Whose template keeps it.
        (change("Remove", "SecretsManager::Secret", "Credentials", PolicyAction="Retain"), False),
    ],
)
def test_a_person_is_asked_only_where_something_is_lost_that_is_nowhere_else(
    planned: dict[str, Any], *, loses: bool
) -> None:
    assert change_set([planned]).loses is loses


def event(number: int, name: str, status: str, reason: str = "") -> dict[str, Any]:
    physical = STACK_ID if name == "s" else name
    return {
        "EventId": str(number),
        "StackId": STACK_ID,
        "StackName": "s",
        "LogicalResourceId": name,
        "PhysicalResourceId": physical,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
        "Timestamp": datetime(2026, 11, 30, tzinfo=UTC),
    }


BEFORE: Final = event(0, "s", "REVIEW_IN_PROGRESS")


def followed(
    *looks: list[dict[str, Any]], seconds_between: float = 5.0
) -> tuple[Progress, list[float]]:
    """Follow a stack whose newest events are these at each look."""
    place = scripted("describe_stack_events", *({"StackEvents": each} for each in looks))
    progress, waited = Progress(STACK_ID, 3), list[float]()
    follow(
        place,
        progress,
        "0",
        monotonic=lambda: len(waited) * seconds_between,
        sleep=waited.append,
    )
    return progress, waited


def test_a_stack_is_followed_to_its_end_and_told_of_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = event(1, "s", "CREATE_IN_PROGRESS")
    log = event(2, "FunctionLog", "CREATE_COMPLETE")
    role = event(3, "FunctionRole", "CREATE_IN_PROGRESS")
    ended = event(4, "s", "CREATE_COMPLETE")
    progress, waited = followed(
        [BEFORE],
        [began, BEFORE],
        [role, log, began, BEFORE],
        [role, log, began, BEFORE],
        [role, log, began, BEFORE],
        [ended, role, log, began, BEFORE],
    )
    assert (progress.outcome, progress.failures, len(waited)) == ("CREATE_COMPLETE", [], 5)
    # Once: nothing had changed since.
    assert capsys.readouterr().out == "   1 of 3 done, waiting for FunctionRole\n"


def test_an_update_that_still_cleans_up_is_not_over() -> None:
    cleaning = event(1, "s", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    progress, waited = followed([cleaning], [event(2, "s", "UPDATE_COMPLETE"), cleaning])
    assert (progress.outcome, len(waited)) == ("UPDATE_COMPLETE", 1)


def test_of_many_that_are_waited_for_a_few_are_named() -> None:
    progress = Progress(STACK_ID, 9)
    for number in range(5):
        progress.note(event(number, f"Role{number}", "CREATE_IN_PROGRESS"))
    assert progress.line == "   0 of 9 done, waiting for Role0, Role1, Role2 and 2 more"


def test_what_failed_by_itself_is_told_and_not_what_was_stopped_for_it() -> None:
    progress, _ = followed(
        [
            event(4, "s", "ROLLBACK_COMPLETE"),
            event(3, "FunctionLog", "CREATE_FAILED", "Resource creation cancelled"),
            event(2, "FunctionRole", "CREATE_FAILED", "It has no permission."),
            event(1, "s", "CREATE_IN_PROGRESS"),
            BEFORE,
        ]
    )
    assert progress.outcome == "ROLLBACK_COMPLETE"
    assert progress.failures == ["FunctionRole: It has no permission."]
