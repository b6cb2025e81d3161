"""`make smoke-aws-stack`: asking, its bounds, and that it deletes what it made whatever happens."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from local.stack import Stack
from tests.integration.test_embedded_cloud import within
from tools import templates
from tools.deploying.place import find_place
from tools.smoke.findings import Budget, BudgetError, Finding, Verdict
from tools.smoke.stack import main, walk
from tools.smoke.stack_site import CommandError, Names, Site, Waits
from tools.smoke.stack_walk import STEPS, SURROUNDINGS, Step, Walk
from tools.templates import ROOT
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tools.deploying.place import Place

# Each deploys something to a local AWS, and waits until that is gone.
pytestmark = pytest.mark.slow

NAMES: Final = Names("token-refresher-smoke-stack-0a1b2c3d")
WAITS: Final = Waits(stack=60, poll=0.05)
CLIENT_SECRET: Final = "invented-for-the-token-endpoint-alone"
# Of what a deployment makes; what it consists of matters to no clean-up.
TOPIC: Final = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
POLICY: Final = """
Resources:
  ReadToken:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - { Effect: Allow, Action: "secretsmanager:GetSecretValue", Resource: "*" }
Outputs:
  ReadTokenPolicyArn: { Value: !Ref ReadToken }
"""


@pytest.fixture(autouse=True)
def place(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    return find_place()


# What the steps make, without building or deploying anything.


def make_stack(cloud: EmbeddedCloud, name: str, template: str = TOPIC) -> None:
    cloud.client("cloudformation").create_stack(
        StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"]
    )


def make_secrets(cloud: EmbeddedCloud) -> None:
    for name in (NAMES.credentials("created"), NAMES.token("created"), NAMES.token("unforeseen")):
        cloud.client().create_secret(Name=name, SecretString="{}")


def make_account(cloud: EmbeddedCloud) -> None:
    stack = f"{NAMES.stack}-account-created"
    make_stack(cloud, stack, POLICY)
    client = cloud.client("cloudformation")
    (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    around = client.describe_stack_resource(
        StackName=NAMES.surroundings, LogicalResourceId="Consumer"
    )
    cloud.client("iam").attach_role_policy(
        RoleName=around["StackResourceDetail"]["PhysicalResourceId"],
        PolicyArn=found["Outputs"][0]["OutputValue"],
    )


def make_copies(cloud: EmbeddedCloud) -> None:
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{NAMES.copies}no sweep completed",
        Namespace="TokenRefresher",
        MetricName="SweepsCompleted",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=3,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )


def make_a_log(cloud: EmbeddedCloud) -> None:
    cloud.client("logs").create_log_group(logGroupName=f"/aws/lambda/{NAMES.stack}-triggers")


def steps(cloud: EmbeddedCloud) -> tuple[Step, ...]:
    """The first step of the walk, and what the others leave behind."""
    first, *_ = STEPS

    def step(act: Callable[[], None]) -> Step:
        def take(_: Walk) -> Iterator[Finding]:
            act()
            yield Finding("it is made", Verdict.AS_DOCUMENTED)

        return Step("something is made", take)

    return (
        first,
        step(partial(make_stack, cloud, NAMES.stack)),
        step(partial(make_stack, cloud, NAMES.monitoring)),
        step(partial(make_secrets, cloud)),
        step(partial(make_account, cloud)),
        step(partial(make_copies, cloud)),
        step(partial(make_a_log, cloud)),
    )


def failing(error: BaseException) -> Step:
    def take(_: Walk) -> Iterator[Finding]:
        raise error

    return Step("this fails", take)


def left_in(cloud: EmbeddedCloud) -> list[str]:
    """Name all that is there and costs something, whatever it is called."""
    client: Any = cloud.client
    keys = [each["KeyId"] for each in client("kms").list_keys()["Keys"]]
    described = [client("kms").describe_key(KeyId=key)["KeyMetadata"] for key in keys]
    return [
        *(each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]),
        *(
            each["Name"]
            for each in client("secretsmanager").list_secrets(IncludePlannedDeletion=True)[
                "SecretList"
            ]
        ),
        *(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
        *(each["RoleName"] for each in client("iam").list_roles()["Roles"]),
        *(each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]),
        *(each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]),
        *(each["KeyId"] for each in described if each["KeyState"] != "PendingDeletion"),
    ]


NUMBER_OF_STEPS: Final = 7
REFUSED: Final = ClientError({"Error": {"Code": "AccessDeniedException"}}, "CreateStack")


# Deleting


@pytest.mark.parametrize("made", range(NUMBER_OF_STEPS + 1))
def test_what_was_made_until_a_defect_is_deleted(
    cloud: EmbeddedCloud, place: Place, made: int
) -> None:
    so_far = (*steps(cloud)[:made], failing(RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=so_far)
    assert left_in(cloud) == []


def test_the_steps_of_these_tests_do_make_something(cloud: EmbeddedCloud, place: Place) -> None:
    seen: list[list[str]] = []

    def look(_: Walk) -> Iterator[Finding]:
        seen.append(left_in(cloud))
        yield from ()

    assert len(steps(cloud)) == NUMBER_OF_STEPS
    looking = (*steps(cloud), Step("look", look))
    assert walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=looking) == 0
    # Four stacks, three secrets, a function, its role and two more, an alarm, logs, keys.
    assert len(seen[0]) == 4 + 3 + 1 + 3 + 1 + 2 + 3
    assert left_in(cloud) == []


def test_ctrl_c_deletes_it_too(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = (*steps(cloud), failing(KeyboardInterrupt()))
    assert walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=interrupted) == 130
    assert left_in(cloud) == []
    assert "Interrupted." in capsys.readouterr().out


def test_when_its_time_is_over_the_rest_is_unknown_and_all_is_deleted(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    over = failing(BudgetError("2100 seconds are over"))
    status = walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=(*steps(cloud), over, STEPS[-1]))
    printed = capsys.readouterr().out
    assert status == 2
    assert printed.count("the budget: 2100 seconds are over") == 2
    assert "== make undeploy" not in printed
    assert left_in(cloud) == []


def test_no_call_is_made_when_no_time_is_left_but_those_that_delete(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=STEPS, seconds=0)
    assert f"0 as documented, 0 differs, {len(STEPS)} unknown; 0 calls" in capsys.readouterr().out
    assert left_in(cloud) == []


def test_what_is_refused_is_unknown_and_the_walk_goes_on(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = (failing(REFUSED), *steps(cloud))
    assert walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=refused) == 2
    printed = capsys.readouterr().out
    assert "unknown        this fails: CreateStack: AccessDeniedException" in printed
    assert f"{NUMBER_OF_STEPS} as documented, 0 differs, 1 unknown" in printed


def test_nothing_is_asked_of_a_stack_that_could_not_be_made(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = STEPS
    make_stack(cloud, NAMES.surroundings)
    assert walk(place, NAMES, CLIENT_SECRET, waits=WAITS) == 2
    printed = capsys.readouterr().out
    assert "CreateStack: AlreadyExistsException" in printed
    assert printed.count(f"not asked, without: {first.title}") == len(STEPS) - 1
    assert left_in(cloud) == []


def test_what_a_killed_process_left_is_deleted_by_its_name(
    cloud: EmbeddedCloud, place: Place
) -> None:
    make_stack(cloud, "token-refresher")
    of_the_killed = Walk(Site(place, NAMES, waits=WAITS), CLIENT_SECRET)
    findings = list(of_the_killed.go(steps(cloud)))
    assert len(findings) == NUMBER_OF_STEPS
    assert main(["--clean", NAMES.stack, "--yes"], waits=WAITS) == 0
    assert left_in(cloud) == ["token-refresher"]


def test_what_cannot_be_deleted_is_named_with_its_command(
    cloud: EmbeddedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    make_stack(cloud, NAMES.stack)
    cloud.client("cloudformation").update_termination_protection(
        EnableTerminationProtection=True, StackName=NAMES.stack
    )
    make_secrets(cloud)
    soon = Waits(stack=0.2, poll=0.05)
    assert main(["--clean", NAMES.stack, "--yes"], waits=soon) == 2
    assert left_in(cloud) == [NAMES.stack]
    printed = capsys.readouterr().out
    assert f"Left: the stack {NAMES.stack} (ValidationError)" in printed
    assert f"aws cloudformation delete-stack --stack-name {NAMES.stack} --region" in printed


def test_ctrl_c_while_it_deletes_says_how_to_go_on(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    pressed: list[object] = []

    def press(**call: object) -> None:
        pressed.append(call)
        if len(pressed) == 1:
            raise KeyboardInterrupt

    place.session.events.register("before-call.cloudformation.DeleteStack", press)
    with pytest.raises(KeyboardInterrupt):
        walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=steps(cloud))
    assert f"Go on: make smoke-aws-stack CLEAN={NAMES.stack}" in capsys.readouterr().out
    assert left_in(cloud) != []
    assert main(["--clean", NAMES.stack, "--yes"], waits=WAITS) == 0
    assert left_in(cloud) == []


def test_it_prints_no_secret(
    cloud: EmbeddedCloud, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    walk(place, NAMES, CLIENT_SECRET, waits=WAITS, steps=(*steps(cloud), failing(REFUSED)))
    assert CLIENT_SECRET not in "".join(capsys.readouterr())


# Asking


def terminal(cloud: EmbeddedCloud, *arguments: str) -> Terminal:
    environment = {
        **Stack.clean_environment(),
        **cloud.environment(),
        "PYTHONPATH": os.pathsep.join(("functions", str(ROOT))),
    }
    command = (sys.executable, "-m", "tools.smoke.stack", *arguments)
    return Terminal(command, environment, columns=80, lines=40)


@pytest.mark.parametrize("answer", ["n", "", "yess"])
def test_without_a_yes_nothing_is_made(cloud: EmbeddedCloud, answer: str) -> None:
    with terminal(cloud) as run:
        run.expect("Begin? [y/N] ")
        run.enter(answer)
        assert run.finish() == 2
    assert "Nothing was made." in run.plain
    assert left_in(cloud) == []


def test_it_says_where_what_how_long_how_dear_and_how_to_clean_up(cloud: EmbeddedCloud) -> None:
    with terminal(cloud) as run:
        run.expect("Begin? [y/N] ")
        run.interrupt()
        assert run.finish() == 130
    plain = " ".join(run.plain.split())
    for said in (
        *("AWS account 000000000000, Region eu-west-1", "arn:aws:iam::000000000000:root"),
        *("4 stacks", "3 KMS keys", "6 secrets", "at most 45 minutes", "at most 1 USD"),
        *("make smoke-aws-stack CLEAN=token-refresher-smoke-stack-", "has ever run on AWS"),
    ):
        assert said in plain
    assert run.screen.overlong == []
    assert left_in(cloud) == []


def test_cleaning_asks_too(cloud: EmbeddedCloud) -> None:
    make_stack(cloud, NAMES.stack)
    with terminal(cloud, "--clean", NAMES.stack) as run:
        run.expect("Begin? [y/N] ")
        run.enter("n")
        assert run.finish() == 2
    assert left_in(cloud) == [NAMES.stack]


def test_without_a_terminal_it_refuses(
    cloud: EmbeddedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    assert "YES=1" in capsys.readouterr().err
    assert left_in(cloud) == []


@pytest.mark.parametrize("name", ["oauth", "token-refresher", "token-refresher-smoke-stack-", ""])
def test_it_cleans_up_after_walks_alone(
    cloud: EmbeddedCloud, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make_stack(cloud, "token-refresher")
    assert main([f"--clean={name}", "--yes"]) == 2
    assert "CLEAN names a walk" in capsys.readouterr().err
    assert left_in(cloud) == ["token-refresher"]


# Commands

HANGS: Final = """\
hang:
\t@echo $$$$ > {pid}; exec tail -f /dev/null
fail:
\t@echo "it says why"; exit 3
"""


@pytest.fixture
def makefile(tmp_path: Path) -> str:
    path = tmp_path / "Makefile"
    path.write_text(HANGS.format(pid=tmp_path / "pid"))
    return str(path)


def hangs(pid: Path) -> bool:
    """Whether the command has told who it is, to the end."""
    return pid.exists() and pid.read_text().endswith("\n")


def test_a_command_ends_with_the_budget_and_leaves_no_process(
    place: Place, makefile: str, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    # The time is over once the command hangs.
    budget = Budget(calls=1, seconds=1, monotonic=lambda: float(hangs(pid)))
    with pytest.raises(BudgetError, match="the time was over"):
        Site(place, NAMES, budget=budget, waits=WAITS).make("-f", makefile, "hang")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_ctrl_c_ends_a_command_and_all_that_it_has_started(
    place: Place, makefile: str, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"

    def press() -> None:
        assert within(60, lambda: hangs(pid))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        Site(place, NAMES).make("-f", makefile, "hang")
    pressing.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_command_that_fails_is_told_with_what_it_said(place: Place, makefile: str) -> None:
    with pytest.raises(CommandError, match="it says why"):
        Site(place, NAMES).make("-f", makefile, "fail")


def test_names_are_invented_as_they_can_be_cleaned_up() -> None:
    first, second = Names.invented(), Names.invented()
    assert first != second
    # With the longest ending that a function has.
    assert len(f"{first.stack}-rotation") <= 64


# The token endpoint

BASIC: Final = base64.b64encode(f"any:{CLIENT_SECRET}".encode()).decode()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Its code as the template has it, asked as a function URL asks it."""
    monkeypatch.setenv("CLIENT_SECRET", CLIENT_SECRET)
    resources = templates.load(SURROUNDINGS)["Resources"]
    code: dict[str, Any] = {}
    exec(resources["TokenEndpoint"]["Properties"]["Code"]["ZipFile"], code)  # noqa: S102

    def ask(body: str, basic: str = BASIC) -> tuple[int, dict[str, Any]]:
        encoded = base64.b64encode(body.encode()).decode()
        headers = {"authorization": f"Basic {basic}"}
        event = {"headers": headers, "body": encoded, "isBase64Encoded": True}
        plain = {"headers": headers, "body": body}
        answers = [code["handler"](each, None) for each in (event, plain)]
        told = [(each["statusCode"], json.loads(each["body"])) for each in answers]
        assert [status for status, _ in told] == [told[0][0]] * 2
        return told[0]

    return ask


@pytest.mark.parametrize(
    ("body", "basic", "expected"),
    [
        ("grant_type=client_credentials", "YW55Om90aGVy", (401, {"error": "invalid_client"})),
        ("grant_type=password&password=wrong", BASIC, (400, {"error": "invalid_grant"})),
        ("grant_type=refresh_token", BASIC, (400, {"error": "unsupported_grant_type"})),
    ],
)
def test_the_token_endpoint_refuses_as_rfc_6749_says(
    endpoint: Callable[..., Any], body: str, basic: str, expected: tuple[int, dict[str, str]]
) -> None:
    assert endpoint(body, basic) == expected


@pytest.mark.parametrize(
    "body", ["grant_type=client_credentials", f"grant_type=password&password={CLIENT_SECRET}"]
)
def test_the_token_endpoint_gives_another_token_each_time(
    endpoint: Callable[..., Any], body: str
) -> None:
    (first_status, first), (second_status, second) = endpoint(body), endpoint(body)
    assert (first_status, second_status) == (200, 200)
    assert first["access_token"] != second["access_token"]
    assert {**first, "access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 43200,
    }
