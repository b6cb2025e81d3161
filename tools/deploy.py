"""Deploys and deletes stacks, and says first where: ``make deploy``, ``account``, ``undeploy``.

SAM takes no notice of ``AWS_REGION``, which the other AWS tools obey, so it is told the Region.
What would fail only after the build, or leave half a stack behind, is refused before it. What
changes is told before it does.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from tools import templates
from tools.deploying import parameters as known
from tools.deploying.change_sets import read_change_set, table
from tools.deploying.following import Progress, follow, last_event
from tools.deploying.names import account_stack, check_name
from tools.deploying.place import (
    NO_ANSWER,
    DeployError,
    Place,
    find_place,
    is_denied,
    is_local,
    told_by,
    unanswered,
)
from tools.deploying.preflight import check, check_account, deletion
from tools.deploying.stacks import EMPTY, Stack, check_status, find_stack, ours
from tools.deploying.variables import check_stack, check_variables
from tools.output import COLUMNS, outlast_the_reader, pasteable, refuse, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.deploying.change_sets import ChangeSet
    from tools.deploying.preflight import Pair

# What `sam deploy --guided` was answered is for `sam` alone.
SETTINGS: Final = "samconfig.yaml"
# Outputs that tell nothing here: the alarms are deployed next.
NOT_TOLD: Final = frozenset({"DeployAlarms"})
# As a shell tells that a command was ended by Ctrl-C.
INTERRUPTED: Final = 130
# SAM takes no value for an empty one, and would leave what was given earlier in place.
EMPTY_VALUE: Final = '""'
# What SAM's names of change sets begin with.
SAMS: Final = "samcli-deploy"
CHANGE_SET: Final = re.compile(r"arn:\S+:changeSet/\S+")
DONE: Final = frozenset({"CREATE_COMPLETE", "DELETE_COMPLETE", "UPDATE_COMPLETE"})
FUNCTION_AND_ALARMS: Final = (templates.FUNCTION, templates.MONITORING)
LEFT_ALONE: Final = (
    "every secret, the accounts' stacks, and the bucket of aws-sam-cli-managed-default"
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a person wants it.

    Attributes:
        dry_run: What would change is told, and nothing is changed.
        yes: Nobody is asked.
    """

    dry_run: bool = False
    yes: bool = False

    def agrees(self, question: str) -> bool:
        """Ask, where there is a terminal; scripts have none, and go on."""
        if self.yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        try:
            return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
        except (EOFError, KeyboardInterrupt):
            print()
            return False


def sam(place: Place, *arguments: str) -> str:
    """Run SAM, in the Region that was named, and return what it says.

    That is hundreds of lines, wider than a terminal, so they are shown where it fails alone.

    Raises:
        DeployError: It failed; all that it said is shown.
    """
    command = [str(Path(sys.executable).with_name("sam")), *arguments]
    command += ["--region", place.region, "--config-file", SETTINGS]
    done = subprocess.run(  # noqa: S603
        command,
        cwd=templates.ROOT,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stdout, flush=True)
        raise DeployError(f"sam {arguments[0]} failed, and has said why above.")
    return done.stdout


def plan(place: Place, stack: Stack, given: Mapping[str, str], *options: str) -> ChangeSet | None:
    """Let CloudFormation say what a deployment would change; None where it is nothing.

    SAM uploads the artifact for it, once for all functions.
    """
    overrides = [f"{name}={value or EMPTY_VALUE}" for name, value in given.items()]
    said = sam(
        place,
        *("deploy", "--stack-name", stack.name, "--no-progressbar", "--no-execute-changeset"),
        *options,
        *("--parameter-overrides", *overrides),
    )
    if "No changes to deploy" in said:
        discard(place, stack)
        return None
    return read_change_set(place, CHANGE_SET.findall(said)[-1])


def deploy(
    place: Place, stack: Stack, given: Mapping[str, str], manner: Manner, *options: str
) -> None:
    """Deploy one stack, and tell its outputs; its template takes those parameters that it has.

    Raises:
        DeployError: CloudFormation could not, or a person did not want what would be lost.
    """
    does = "Planning" if manner.dry_run else "Deploying"
    said = f"== {does} {stack.name}: asking CloudFormation what changes"
    print(wrapped(said, indent="   "), flush=True)
    try:
        planned = plan(place, stack, given, *options)
    except (DeployError, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            print(f"\n{stack.name} was not changed.", flush=True)
        discard(place, stack)
        raise
    if planned is None:
        print("No changes.")
        return
    print(table(planned.changes), flush=True)
    if manner.dry_run:
        discard(place, stack, planned.arn)
        return
    if planned.loses and not manner.agrees("What is lost is nowhere else. Deploy?"):
        discard(place, stack, planned.arn)
        raise DeployError(f"{stack.name} was not changed.")
    client = place.client("cloudformation")
    since = last_event(place, planned.stack_id)
    client.execute_change_set(ChangeSetName=planned.arn)
    await_end(place, Progress(planned.stack_id, len(planned.changes)), since)
    (found,) = client.describe_stacks(StackName=stack.name)["Stacks"]
    for each in found.get("Outputs", ()):
        # The local AWS has no console.
        not_told = NOT_TOLD | {"DashboardUrl"} if is_local() else NOT_TOLD
        if each["OutputKey"] not in not_told:
            tell(each.get("Description", each["OutputKey"]), each["OutputValue"])


def tagging(parameters: Mapping[str, str]) -> list[str]:
    """Return SAM's options that give a stack, and so what is in it, the function's ResourceTags.

    Args:
        parameters: Of the function, all that will hold: SAM takes away what is not given again.
    """
    tags = parameters["ResourceTags"]
    # A blank would end a tag that has no quotes.
    words = ["=".join(f'"{part}"' for part in each.split("=")) for each in tags.split(",")]
    return ["--tags", *words] if tags else []


def discard(place: Place, stack: Stack, change_set: str = "") -> None:
    """Leave nothing of a plan behind, not even the empty stack that it needs where none was."""
    client = place.client("cloudformation")
    if change_set:
        client.delete_change_set(ChangeSetName=change_set)
    else:
        discard_failed(place, stack.name)
    if stack.status is None and find_stack(place, stack.name).status == EMPTY:
        client.delete_stack(StackName=stack.name)


def discard_failed(place: Place, stack: str) -> None:
    """Delete SAM's change sets that came to nothing, such as for want of a change: they stay."""
    client = place.client("cloudformation")
    # Who may not, or has no such stack, has nothing else to put right here.
    with suppress(ClientError):
        for page in client.get_paginator("list_change_sets").paginate(StackName=stack):
            for each in page["Summaries"]:
                if each["Status"] == "FAILED" and each["ChangeSetName"].startswith(SAMS):
                    client.delete_change_set(ChangeSetName=each["ChangeSetId"])


def await_end(place: Place, progress: Progress, since: str) -> None:
    """Wait until CloudFormation is done.

    Raises:
        DeployError: It failed; what failed first is shown.
    """
    try:
        follow(place, progress, since)
    except KeyboardInterrupt:
        print("\nCloudFormation goes on by itself with this stack, and no other is begun.")
        raise
    if progress.outcome in DONE:
        return
    for each in progress.failures:
        print(textwrap.indent(textwrap.fill(each, COLUMNS - 4), "   "), flush=True)
    raise DeployError(
        f"CloudFormation ended with {progress.outcome}, since what is above failed. Put that right "
        "and do it again: if a stack must be deleted first, the command for it is shown then."
    )


def tell(heading: str, value: str) -> None:
    """Print what to do, and beneath it the command or the name to be pasted."""
    print(f"{heading.removesuffix('.')}:\n{pasteable(value)}")


def tell_parameters(stack: Stack, template: Path, given: Mapping[str, str]) -> None:
    """Say which parameters a deployment changes, and from what."""
    kept = {} if stack.is_new else stack.parameters
    changes = known.changes(template, given, kept)
    unchanged = " has the default of each parameter" if stack.is_new else ": no parameter changes"
    said = f"{'New: ' if stack.is_new else ''}{stack.name}{'' if changes else unchanged}"
    for each in (said, *(f"   {change}" for change in changes)):
        print(wrapped(each, indent="      "))
    sys.stdout.flush()


def tell_left(place: Place, pair: Pair) -> None:
    """Say what a deployment means for accounts that it refreshes no more."""
    name = pair.function.name
    if pair.left_prefix:
        print(
            wrapped(
                f"The accounts under {pair.left_prefix}/ stay where they are, and {name} "
                "refreshes none of them any more."
            )
        )
    if hosts := pair.left_hosts:
        tell(
            wrapped(
                f"What is given for AllowedTokenHosts replaces the whole list. Accounts at "
                f"{' and '.join(hosts)} are refreshed no more, unless another host of the list "
                "stands for it, and their tokens expire. Once it is deployed, this tells of an "
                "account whether it is one of them"
            ),
            f"token-refresher check NAME --stack {name} --region {place.region}",
        )


def deploy_account(place: Place, told: argparse.Namespace, given: Mapping[str, str]) -> None:
    """Deploy the stack of one account."""
    stack = find_stack(place, account_stack(told.stack, told.account))
    check_status(stack, place, delete=deletion(place, stack.name))
    function = find_stack(place, told.stack)
    if function.is_new:
        lacking = (
            f"There is no stack {told.stack}: until there is one, nothing refreshes the account."
        )
        print(wrapped(lacking))
    kept = function.parameters
    # A new one begins with what refreshes it: nobody looks for it under another prefix.
    shared = known.definitions(templates.ACCOUNT).keys() & kept.keys() if stack.is_new else ()
    mine = {**{name: kept[name] for name in sorted(shared)}, **given, "AccountName": told.account}
    if stack.is_new:
        check_account(place, told.account, known.in_force(templates.ACCOUNT, mine, {}))
    tell_parameters(stack, templates.ACCOUNT, mine)
    tags = tagging(known.in_force(templates.FUNCTION, given, kept))
    deploy(place, stack, mine, told.manner, "--config-env", "account", *tags)
    if stack.is_new and not told.manner.dry_run:
        where = f"--stack {told.stack} --region {place.region}"
        tell("Or be asked for the credentials", f"token-refresher add {told.account} {where}")


def undeploy(place: Place, stacks: Sequence[str], manner: Manner) -> None:
    """Delete stacks, those that are there, in this order.

    Raises:
        DeployError: CloudFormation could not, or a person did not want it.
    """
    client = place.client("cloudformation")
    found = {name: find_stack(place, name) for name in stacks}
    there = [name for name, each in found.items() if each.status is not None]
    if not there:
        print(nothing_to_delete(place, stacks[-1]))
        return
    if protected := [name for name in there if found[name].is_protected]:
        # Not after the alarms were deleted, and what they watch was not.
        raise DeployError(
            f"{' and '.join(protected)} may not be deleted, and so nothing was: termination "
            "protection is on. Take it off first: aws cloudformation "
            "update-termination-protection --no-enable-termination-protection "
            f"--stack-name {protected[0]} --region {place.region}"
        )
    question = (
        wrapped(f"This deletes {' and '.join(there)}, with the log and the failed events."),
        wrapped(f"It leaves alone {LEFT_ALONE}."),
        f"Delete in account {place.account}, Region {place.region}?",
    )
    if not manner.dry_run and not manner.agrees("\n".join(question)):
        raise DeployError("Nothing was deleted.")
    for name, each in found.items():
        if each.status is None:
            print(f"== There is no stack {name}", flush=True)
            continue
        resources = client.describe_stack_resources(StackName=each.id)["StackResources"]
        does = "Would delete" if manner.dry_run else "Deleting"
        print(f"== {does} {name}, {len(resources)} resources", flush=True)
        if manner.dry_run:
            continue
        since = last_event(place, each.id)
        client.delete_stack(StackName=name)
        await_end(place, Progress(each.id, len(resources)), since)
    if manner.dry_run:
        print("== Nothing was deleted")
        return
    print(
        wrapped(
            f"== Left alone: {LEFT_ALONE}. Nothing refreshes these accounts any more: each token "
            "stays in its secret, and expires. Another deployment goes on with them.",
            indent="   ",
        )
    )


def nothing_to_delete(place: Place, stack: str) -> str:
    """Say that there is no such stack, and which there are: its name or the Region may be wrong.

    That is no failure: a script may run once more what it has done.
    """
    said = (
        f"== There is no stack {stack} in account {place.account}, Region {place.region}: "
        "nothing was deleted."
    )
    try:
        names = sorted(each.name for each in ours(place))
    except ClientError as error:
        if not is_denied(error):
            raise
        return wrapped(said, indent="   ")
    which = (
        f"Those that refresh accounts here: {', '.join(names)}."
        if names
        else ("None here refreshes accounts. If it should, check the Region and the account.")
    )
    return wrapped(f"{said} {which}", indent="   ")


def read(told: argparse.Namespace) -> dict[str, str]:
    """Read what was given, and what holds in this place wherever that does not name it.

    Raises:
        DeployError: It cannot be what was meant.
    """
    try:
        words = [word for each in told.parameters for word in shlex.split(each)]
        defaults = shlex.split(told.defaults)
    except ValueError:
        raise DeployError("PARAMETERS has a quote without its other half.") from None
    given = known.read_parameters(words)
    of_account = told.command == "account"
    known.check_taken(given, (templates.ACCOUNT,) if of_account else FUNCTION_AND_ALARMS)
    given = {**known.read_parameters(defaults), **given}
    known.check_values(given)
    return given


def act(told: argparse.Namespace) -> None:
    """Do what was asked for.

    Raises:
        DeployError: It cannot be done.
    """
    target = "deploy" if told.command == "check" else told.command
    check_variables(target, told.typed.split())
    check_stack(target, told.stack, told.typed.split(), os.environ)
    given = read(told)
    check_name(told.stack, given)
    if told.command == "account":
        account_stack(told.stack, told.account)
    place = find_place()
    # A deployment was checked first, and told it then.
    if told.command != "deploy":
        where = f"AWS account {place.account}, Region {place.region}, as {place.caller}"
        print(where if len(where) <= COLUMNS else wrapped(where, indent="   "), flush=True)
    if told.command == "account":
        deploy_account(place, told, given)
        return
    if told.command == "undeploy":
        undeploy(place, (f"{told.stack}-monitoring", told.stack), told.manner)
        return
    pair = check(place, told.stack, given)
    if told.command == "check":
        tell_parameters(pair.function, templates.FUNCTION, given)
        tell_parameters(pair.monitoring, templates.MONITORING, pair.for_monitoring)
        tell_left(place, pair)
        return
    tags = tagging(pair.in_force)
    deploy(place, pair.function, given, told.manner, *tags)
    monitoring = ("--config-env", "monitoring", *tags)
    deploy(place, pair.monitoring, pair.for_monitoring, told.manner, *monitoring)
    if told.manner.dry_run:
        print("== Nothing was changed; the artifact is in the bucket of SAM")
        return
    where = f"--stack {told.stack} --region {place.region}"
    tell("Next, for each account", f"token-refresher add NAME {where}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for, and return 1 where it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True, help="the function's stack")
    parser.add_argument("--account", default="", help="the account whose stack is meant")
    parser.add_argument("--defaults", default="", help="parameters that hold unless they are given")
    parser.add_argument("--typed", default="", help="the variables that make was given, by name")
    parser.add_argument("--dry-run", action="store_true", help="tell what would change, alone")
    parser.add_argument("--yes", action="store_true", help="ask nobody")
    parser.add_argument("command", choices=("check", "deploy", "account", "undeploy"))
    parser.add_argument("parameters", nargs="*", help="of the templates, as Name=value")
    told = parser.parse_args(arguments)
    told.manner = Manner(dry_run=told.dry_run, yes=told.yes)
    try:
        act(told)
    except KeyboardInterrupt:
        return INTERRUPTED
    except DeployError as error:
        refuse(str(error))
    except NO_ANSWER as error:
        refuse(unanswered(error))
    except (BotoCoreError, ClientError) as error:
        refuse(f"AWS refused: {told_by(error)}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    outlast_the_reader()
    sys.exit(main())
