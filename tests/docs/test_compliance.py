"""What docs/compliance.md says of the templates, judged as the rules that it names judge them.

A rule is told here as AWS documents it; no service of AWS is asked.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from tests.docs.test_printed_commands import require_aws
from tools import templates
from tools.templates import ACCOUNT, FUNCTION, MONITORING, ROOT, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DOCUMENT: Final = (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8")
PASSES: Final = {"passes", "does not apply"}
DAYS_OF_A_YEAR: Final = 365
FUNCTIONS: Final = ("TokenRefresherFunction", "TriggerFunction", "RotationFunction")
ALL_FUNCTIONS: Final = {"Triggers": "true", "Rotation": "true"}
EVERYTHING: Final = {
    **ALL_FUNCTIONS,
    "CredentialsKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/credentials",
    "TokenSecretKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/tokens",
    "Events": "true",
    "ReplicaRegions": "eu-central-1",
    "Signing": "true",
    "Tracing": "true",
    "WebIdentityAudiences": "api://AzureADTokenExchange",
    "VpcSubnetIds": "subnet-1,subnet-2",
    "VpcSecurityGroupIds": "sg-1",
}


def section(title: str) -> str:
    """The text under a heading, of whatever rank."""
    return re.split(r"\n#{2,3} ", DOCUMENT.split(f"# {title}\n", 1)[1])[0]


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section, each as its rows without the head."""
    found = re.findall(r"(?:^\|.*\n)+", section(title), re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r" ?\|(?= |$)", line.strip("|"))] for line in rows]
        for rows in (table.splitlines()[2:] for table in found)
    ]


def named(cell: str) -> list[str]:
    """What a cell has in code."""
    return re.findall("`([^`]+)`", cell)


def rows() -> Iterator[tuple[str, str, str]]:
    """Each control or rule of the stack, its verdict and its answer."""
    for row in tables("The stack")[0]:
        yield named(row[0])[0], row[3], row[4]
    for row in tables("AWS Config")[0]:
        yield from ((name, row[1], row[2]) for name in named(row[0]))


def functions(given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The properties of each function that is deployed."""
    asked_for = [None, "Triggers", "Rotation"]
    return [
        templates.function(given, name=name)
        for name, parameter in zip(FUNCTIONS, asked_for, strict=True)
        if parameter is None or given.get(parameter) == "true"
    ]


@cache
def deployed(given: tuple[tuple[str, str], ...]) -> list[tuple[str, dict[str, Any]]]:
    """Type and properties of each resource that all templates make with these parameters."""
    found = []
    for path in (FUNCTION, MONITORING, ACCOUNT):
        known = templates.load(path)["Parameters"]
        template = resolved(path, {name: value for name, value in given if name in known})
        for each in template["Resources"].values():
            condition = each.get("Condition")
            if condition is None or template["Conditions"][condition]:
                found.append((each["Type"], each.get("Properties", {})))
    return found


def of_type(kind: str, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The properties of each resource of a type."""
    resources = deployed(tuple(sorted(given.items())))
    return [properties for each, properties in resources if each == kind]


def allowed(given: Mapping[str, str]) -> list[tuple[list[str], Any]]:
    """Actions and resource of each statement that allows, of all policies and roles."""
    documents = [
        each["PolicyDocument"]
        for holder in (
            *of_type("AWS::IAM::ManagedPolicy", given),
            *of_type("AWS::IAM::Role", given),
        )
        for each in (holder, *holder.get("Policies", ()))
        if "PolicyDocument" in each
    ]
    return [
        ([each["Action"]] if isinstance(each["Action"], str) else each["Action"], each["Resource"])
        for document in documents
        for each in document["Statement"]
        if each["Effect"] == "Allow"
    ]


def decrypts_with_any_key(given: Mapping[str, str]) -> bool:
    return any(
        {"kms:*", "kms:Decrypt", "kms:ReEncryptFrom"} & set(actions)
        and ("*" in str(resource) or "key/*" in str(resource))
        for actions, resource in allowed(given)
    )


def invokers_are_confined(given: Mapping[str, str]) -> bool:
    permissions = of_type("AWS::Lambda::Permission", given)
    return all(
        each["Principal"].endswith(".amazonaws.com")
        and {"SourceAccount", "SourceArn"} & each.keys()
        for each in permissions
    )


def every(kind: str, fact: Callable[[dict[str, Any]], object]) -> Callable[..., bool]:
    return lambda given: all(fact(each) for each in of_type(kind, given))


def every_function(fact: Callable[[dict[str, Any]], object]) -> Callable[..., bool]:
    return lambda given: all(fact(each) for each in functions(given))


NO_POLICY_OF_AWS: Final = every(
    "AWS::IAM::Role",
    lambda each: (
        not any(
            str(arn).startswith("arn:aws:iam::aws:") for arn in each.get("ManagedPolicyArns", ())
        )
    ),
)
RULES: Final[dict[str, Callable[[Mapping[str, str]], bool]]] = {
    "Lambda.1": invokers_are_confined,
    "Lambda.2": every_function(lambda each: each["Runtime"] == "python3.13"),
    "Lambda.3": every_function(lambda each: "VpcConfig" in each),
    "Lambda.5": every_function(
        lambda each: "VpcConfig" not in each or len(each["VpcConfig"]["SubnetIds"]) > 1
    ),
    "Lambda.7": every_function(lambda each: each["Tracing"] == "Active"),
    "SQS.1": every("AWS::SQS::Queue", lambda each: each.get("SqsManagedSseEnabled") is True),
    "SQS.3": lambda given: not of_type("AWS::SQS::QueuePolicy", given),
    "SNS.1": every("AWS::SNS::Topic", lambda each: "KmsMasterKeyId" in each),
    "SNS.4": lambda given: not of_type("AWS::SNS::TopicPolicy", given),
    "CloudWatch.15": every("AWS::CloudWatch::Alarm", lambda each: each.get("AlarmActions")),
    "CloudWatch.16": every(
        "AWS::Logs::LogGroup", lambda each: int(each["RetentionInDays"]) >= DAYS_OF_A_YEAR
    ),
    "CloudWatch.17": every("AWS::CloudWatch::Alarm", lambda each: each.get("ActionsEnabled", True)),
    "IAM.1": lambda given: all("*" not in actions for actions, _ in allowed(given)),
    "IAM.21": lambda given: (
        not any(action.endswith(":*") for actions, _ in allowed(given) for action in actions)
    ),
    "IAM.27": NO_POLICY_OF_AWS,
    "KMS.1": lambda given: not decrypts_with_any_key(given),
    "KMS.2": lambda given: not decrypts_with_any_key(given),
    "EventBridge.3": lambda given: not of_type("AWS::Events::EventBus", given),
    "lambda-concurrency-check": every_function(lambda each: "ReservedConcurrentExecutions" in each),
    "lambda-dlq-check": every_function(lambda each: "DeadLetterQueue" in each),
    "sqs-queue-dlq-check": every("AWS::SQS::Queue", lambda each: "RedrivePolicy" in each),
    "lambda-function-log-format-json": every_function(
        lambda each: each["LoggingConfig"].get("LogFormat") == "JSON"
    ),
    "lambda-function-description": every_function(lambda each: each.get("Description")),
    "cloudwatch-alarm-description": every(
        "AWS::CloudWatch::Alarm", lambda each: each.get("AlarmDescription")
    ),
    "iam-policy-description": every(
        "AWS::IAM::ManagedPolicy", lambda each: each.get("Description")
    ),
    "sqs-queue-policy-full-access-check": lambda given: not of_type("AWS::SQS::QueuePolicy", given),
    "cloudwatch-log-group-encrypted": every("AWS::Logs::LogGroup", lambda each: "KmsKeyId" in each),
    "iam-no-inline-policy-check": every("AWS::IAM::Role", lambda each: "Policies" not in each),
    "iam-policy-blacklisted-check": NO_POLICY_OF_AWS,
    "sns-topic-message-delivery-notification-enabled": every(
        "AWS::SNS::Topic", lambda each: "DeliveryStatusLogging" in each
    ),
}
# What is no property of a template: stacks, and tags, which stacks give to what they make.
ELSEWHERE: Final = re.compile(
    r"CloudFormation\.\d|cloudformation-.*|lambda-function-settings-check"
    r"|required-tags|lambda-function-tagged|kms-key-tagged|(Lambda\.6|SQS\.2|SNS\.3|IAM\.24)"
)


def test_every_control_that_a_template_decides_is_judged_here_and_no_other() -> None:
    told = [control for control, _, _ in rows()]
    assert len(told) > 25
    assert len(told) == len(set(told))
    assert {each for each in told if not ELSEWHERE.fullmatch(each)} == RULES.keys()


@pytest.mark.parametrize("control", RULES)
def test_a_verdict_is_what_the_rule_says_of_the_templates_with_default_parameters(
    control: str,
) -> None:
    [(verdict, answer)] = [(said, answer) for name, said, answer in rows() if name == control]
    assert verdict in PASSES | {"finding"}
    assert RULES[control]({}) is (verdict in PASSES)
    assert verdict in PASSES or answer, "a finding needs an answer"


@pytest.mark.parametrize(
    "control", [name for name, verdict, _ in rows() if name in RULES and verdict in PASSES]
)
def test_what_passes_passes_with_every_parameter(control: str) -> None:
    # The rotation function is said to be the exception.
    given = {**EVERYTHING, "Rotation": "false"} if "concurrency" in control else EVERYTHING
    assert RULES[control](given)


@pytest.mark.parametrize(
    ("control", "given"),
    [
        pytest.param(control, given, id=control)
        for control, verdict, answer in rows()
        if verdict == "finding" and control in RULES
        if (given := dict(re.findall(r"`([A-Z]\w+)=([^`]+)`", answer)))
    ],
)
def test_a_finding_ends_with_the_parameter_that_is_its_answer(
    control: str, given: dict[str, str]
) -> None:
    assert RULES[control](given)
    assert RULES[control]({**given, **ALL_FUNCTIONS})


def test_every_parameter_that_is_named_is_one() -> None:
    texts = "\n".join(path.read_text(encoding="utf-8") for path in templates.DEPLOYED)
    known = set(re.findall(r"^  ([A-Z]\w+):$", texts, re.MULTILINE))
    told = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][A-Za-z]+)+)(?:=[^`]*)?`", DOCUMENT))
    statements = set(re.findall(r"Sid: (\w+)", texts))
    of_aws = {"AdministratorAccess", "CreateSecret", "ListSecrets", "PutSecretValue"}
    assert "VpcSubnetIds" in told
    assert told - known - statements - of_aws == set()


def test_each_rule_of_checkov_that_is_left_out_has_its_reason_here() -> None:
    skipped = yaml.safe_load((ROOT / "infra" / "checkov.yaml").read_text())["skip-check"]
    # Customers' keys for secrets have a row, which names their parameters.
    assert set(skipped) - set(re.findall(r"CKV_AWS_\d+", DOCUMENT)) == {"CKV_AWS_149"}
    assert set(re.findall(r"CKV_AWS_\d+", DOCUMENT)) <= set(skipped)


def test_every_statement_without_a_resource_has_its_reason_and_no_other() -> None:
    *_, table = tables("IAM Access Analyzer")
    told = [name for row in table for name in named(row[0])]
    found: set[str] = set()
    for role in ("FunctionRole", "TriggerRole", "RotationRole"):
        for sid, each in templates.statements(EVERYTHING, role=role).items():
            resource = str(each["Resource"])
            if resource == "*" or resource.endswith(":key/*"):
                found.add(sid)
    assert sorted(told) == sorted(found)


def test_an_unused_permission_is_taken_away_by_the_parameter_that_is_named() -> None:
    unused, _ = tables("IAM Access Analyzer")
    everything = {action for action, _ in permissions(EVERYTHING)}
    for what, _, answer in unused:
        actions = {each for each in named(what) if ":" in each}
        assert actions <= everything
        for name, value in re.findall(r"`([A-Z]\w+)=([^`]*)`", answer):
            without = {**EVERYTHING, name: value}
            gone = {action for action, _ in permissions(EVERYTHING) - permissions(without)}
            roles = [len(of_type("AWS::IAM::Role", given)) for given in (EVERYTHING, without)]
            assert actions <= gone
            assert actions or roles[0] == roles[1] + 1, f"{name}={value} takes no role away"


def permissions(given: Mapping[str, str]) -> set[tuple[str, str]]:
    """Each action with what it is allowed on."""
    return {(action, str(on)) for actions, on in allowed(given) for action in actions}


def test_no_role_and_no_function_lets_another_aws_account_in() -> None:
    for role in of_type("AWS::IAM::Role", EVERYTHING):
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            [(kind, who)] = statement["Principal"].items()
            assert (kind, who.endswith(".amazonaws.com")) == ("Service", True)
    assert invokers_are_confined(EVERYTHING)


def commands() -> list[str]:
    """Every command of AWS's on the page, in a block or in a cell."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\naws ")]
    whole = [f"aws {line.removeprefix('aws ')}" for line in lines if "for secret" not in line]
    return [*whole, *(each for each in named(DOCUMENT) if each.startswith("aws "))]


@pytest.mark.parametrize("command", commands(), ids=lambda text: " ".join(text.split()[1:3]))
def test_a_command_is_one_of_aws_s_and_its_json_is_of_the_api_s_form(command: str) -> None:
    if command.startswith("aws lambda get-function-configuration"):
        return
    require_aws(" ".join(command.split()))
    words = shlex.split(command)
    model = botocore.session.get_session().get_service_model(words[1])
    operation = {botocore.xform_name(each, "-"): each for each in model.operation_names}[words[2]]
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    options = {f"--{botocore.xform_name(name, '-')}": name for name in shape.members}
    given: dict[str, object] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in options:
            kind = shape.members[options[word]].type_name
            text = "true" if kind == "boolean" else following
            given[options[word]] = text if kind == "string" else json.loads(text)
    report = ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
