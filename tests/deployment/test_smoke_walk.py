"""`make smoke-aws-stack` against the local AWS: all of it, as far as a local one can play it."""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.stack import LocalAws, Stack
from tests.deployment.function_urls import function_urls
from tests.integration.test_embedded_cloud import within
from tools.deploying.place import find_place
from tools.smoke.stack import walk
from tools.smoke.stack_site import Names, Waits
from tools.smoke.stack_walk import STEPS
from tools.templates import ROOT
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

# CloudWatch's minutes are not for a test: the alarms are copies with short periods, and but for
# the schedule's first sweep it sweeps by hand.
WAITS: Final = Waits(sweep=600, alarm=300, poll=0.3, alarm_period=5, sweeps_by_hand=True)
CLIENT_SECRET: Final = "invented-for-the-token-endpoint-alone"
SECONDS: Final = 600.0
FINDING: Final = re.compile(r"^(as documented|differs|unknown) +(.+?)(?:: |\n|$)", re.MULTILINE)

PART: Final = (ROOT / "docs/smoke.md").read_text().partition("## A stack, for 45 minutes")[2]
# What a walk that ends well does not need: its stacks delete keys and logs.
NOT_NEEDED: Final = {"kms:ScheduleKeyDeletion", "logs:DeleteLogGroup"}

# What a local AWS cannot play, and why.
NOT_HERE: Final = {
    "a version that is put counts as a rotation": "unknown",  # it keeps no next rotation
    "its alarms": "unknown",  # of five minutes; the walk is not as long
}


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of a walk.

    Attributes:
        status: Its exit code.
        printed: All that a person has read.
        names: Of what it made.
        called: The actions that its own calls need, without those of the project's commands.
    """

    status: int
    printed: str
    names: Names
    called: set[str]

    @property
    def verdicts(self) -> dict[str, str]:
        """Each question, without the name of the stack, and its verdict."""
        found = FINDING.findall(self.printed.replace(f"{self.names.stack}: ", ""))
        return {question: verdict for verdict, question in found}


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """One whose schedule and alarms are those of the real time."""
    with LocalAws() as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def walked(aws: LocalAws) -> Walked:
    names, printed = Names.invented(), io.StringIO()
    with function_urls(aws) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in Stack(aws, {"TokenEndpointProxy": proxy.url}).settings().items():
            patch.setenv(name, value)
        place, called = find_place(), set[str]()
        events: Any = place.session.events
        events.register("before-call", lambda model, **_: called.add(action(model)))
        with redirect_stdout(printed):
            status = walk(place, names, CLIENT_SECRET, waits=WAITS)
    return Walked(status, printed.getvalue(), names, called)


def action(operation: Any) -> str:  # noqa: ANN401
    """Name the action of a call as policies do."""
    service, name = operation.service_model.signing_name, operation.name
    if (service, name) == ("lambda", "Invoke"):
        return "lambda:InvokeFunction"
    return f"{'cloudwatch' if service == 'monitoring' else service}:{name}"


def test_every_step_is_as_documented_but_for_what_a_local_aws_cannot_play(walked: Walked) -> None:
    others = {name: each for name, each in walked.verdicts.items() if each != "as documented"}
    assert others == NOT_HERE, walked.printed
    assert len(walked.verdicts) == 34


def test_every_step_is_taken(walked: Walked) -> None:
    assert re.findall(r"^== (.+)$", walked.printed, re.MULTILINE) == [
        *(step.title for step in STEPS),
        "Deleting what was made",
    ]


def test_the_document_has_every_step_and_what_cannot_be_played() -> None:
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PART.splitlines() if "| " in line]
    titles = [step.title for step in STEPS]
    assert [row for row in rows if row in titles] == titles
    not_played = PART.partition("### What the local cloud cannot play")[2]
    assert not_played.count("\n- ") == len(NOT_HERE)


def test_the_document_names_every_action_that_the_walk_needs(walked: Walked) -> None:
    needs = PART.partition("### What it needs")[2].partition("### ")[0]
    documented = {
        f"{service}:{name}"
        for service, names in re.findall(r"^- `([a-z]+)`: (.+)$", needs, re.MULTILINE)
        for name in re.findall(r"`([A-Za-z]+)`", names)
    }
    assert sorted(documented - walked.called) == sorted(NOT_NEEDED)
    assert sorted(walked.called - documented) == []


def left_in(aws: LocalAws) -> list[str]:
    """Name all that is there, whatever it is called, but for SAM's bucket and deleted keys."""
    client: Any = aws.cloud.client
    keys = [
        client("kms").describe_key(KeyId=each["KeyId"])["KeyMetadata"]
        for each in client("kms").list_keys()["Keys"]
    ]
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    secrets = aws.secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    found = [
        *(each["StackName"] for each in stacks),
        *(each["Name"] for each in secrets),
        *(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
        *(each["Name"] for each in client("scheduler").list_schedules()["Schedules"]),
        *(each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]),
        *(each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]),
        *(each["RoleName"] for each in client("iam").list_roles()["Roles"]),
        *(each["KeyId"] for each in keys if each["KeyState"] != "PendingDeletion"),
    ]
    return [each for each in found if each != "aws-sam-cli-managed-default"]


def test_nothing_that_it_made_is_left(walked: Walked, aws: LocalAws) -> None:
    assert left_in(aws) == []
    assert len(aws.cloud.client("kms").list_keys()["Keys"]) == 3
    assert "Nothing is left" in walked.printed


def test_ctrl_c_in_the_middle_of_a_deployment_leaves_nothing(aws: LocalAws, walked: Walked) -> None:
    command = (sys.executable, "-m", "tools.smoke.stack", "--yes")
    environment = {**Stack(aws, {}).environment(), "PYTHONPATH": f"functions:{ROOT}"}
    with Terminal(command, environment, columns=80, lines=60) as terminal:
        terminal.expect("CLEAN=")
        terminal.expect("== make deploy")
        name = re.findall(r"CLEAN=(\S+)", terminal.plain)[0]
        assert name != walked.names.stack
        assert within(SECONDS, lambda: f"/aws/lambda/{name}" in left_in(aws))
        terminal.interrupt()
        status = terminal.finish()
    assert status == 130
    assert "Interrupted." in terminal.plain
    assert left_in(aws) == []


def test_it_prints_no_secret(walked: Walked) -> None:
    assert CLIENT_SECRET not in walked.printed


def test_it_fits_a_terminal_and_tells_how_it_counted(walked: Walked) -> None:
    assert max(map(len, walked.printed.splitlines())) <= 79
    assert re.search(r"32 as documented, 0 differs, 2 unknown; \d+ calls", walked.printed)
    assert walked.status == 2
