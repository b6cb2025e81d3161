"""Deploys and deletes stacks, and says first where: ``make deploy``, ``account``, ``undeploy``.

SAM takes no notice of ``AWS_REGION``, which the other AWS tools obey, so it is told the Region.
What would fail only after the build, or leave half a stack behind, is refused before it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from tools.output import pasteable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
TEMPLATES: Final = ("template.yaml", "infra/account.yaml", "infra/monitoring.yaml")
# What `sam deploy --guided` was answered is for `sam` alone.
SETTINGS: Final = "samconfig.yaml"
# Outputs that tell nothing here: the alarms are deployed next.
NOT_TOLD: Final = frozenset({"DeployAlarms"})

LONGEST_FUNCTION_NAME: Final = 64
LONGEST_STACK_NAME: Final = 128
# The functions beside the sweeping one, by the parameter that asks for them.
NAME_ENDINGS: Final = {"Triggers": "-triggers", "Rotation": "-rotation"}
# What the template reserves; without a parameter of its own, the sweeping function.
RESERVED: Final = {"": 1, "Triggers": 1}
# Lambda refuses a reservation that leaves less than this to the account's other functions.
LEFT_TO_OTHERS: Final = 100
# Nothing was deployed yet: a change set alone, or what a first deployment left when it failed.
EMPTY: Final = "REVIEW_IN_PROGRESS"
FAILED: Final = "ROLLBACK_COMPLETE"
# Nothing came back from the address that the error names.
NO_ANSWER: Final = (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
# Of AWS_ENDPOINT_URL, where the local AWS stands in the place of AWS.
LOCAL: Final = re.compile(r"\w+://(([\w.-]+\.)?localhost|127(\.\d+){3}|\[::1\])(:\d+)?/*")
# As a shell tells that a command was ended by Ctrl-C.
INTERRUPTED: Final = 130


# What follows from STACK and ACCOUNT.
SET_HERE: Final = frozenset({"AccountName", "FunctionStackName"})
# As the template has it.
ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*")
# As an alias of KMS has it.
SIGNABLE_PREFIX: Final = re.compile(r"(?!aws/)[A-Za-z0-9_/-]+")


class DeployError(Exception):
    """It cannot be done; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Place:
    """An AWS account and a Region of it, as the environment names them."""

    session: boto3.Session
    account: str
    caller: str

    @property
    def region(self) -> str:
        """The Region of every call, SAM's included."""
        return self.session.region_name

    def client(self, service: str) -> Any:  # noqa: ANN401 - no stubs of these are installed
        """Return a client of a service there."""
        make: Any = self.session.client
        return make(service)


def find_place() -> Place:
    """Ask AWS whose credentials these are, in the Region that is meant.

    Raises:
        DeployError: There is no Region, or there are no credentials that AWS takes.
    """
    try:
        # Without AWS_REGION, boto3 reads AWS_DEFAULT_REGION, then the profile.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        if not session.region_name:
            raise DeployError("No Region is set. Name one: export AWS_REGION=eu-west-1")
        make: Any = session.client
        caller = make("sts").get_caller_identity()
    except NO_ANSWER as error:
        raise DeployError(unanswered(error)) from error
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"AWS does not say whose credentials these are: {said_of(error)}. "
            "Sign in again, or name a profile: export AWS_PROFILE=..."
        ) from error
    return Place(session, caller["Account"], caller["Arn"])


def is_local() -> bool:
    """Whether the local AWS stands in the place of AWS."""
    return LOCAL.fullmatch(os.environ.get("AWS_ENDPOINT_URL", "")) is not None


def unanswered(error: BotoCoreError) -> str:
    """Say that nothing came back, from where, and what to look at."""
    if is_local():
        return (
            f"The local AWS at {os.environ['AWS_ENDPOINT_URL']} did not answer. Is `make cloud` "
            "still running? When it has ended, a new terminal speaks to AWS itself."
        )
    return (
        f"AWS did not answer: {error}. "
        "Check the Region, AWS_ENDPOINT_URL, the network and its proxy."
    )


def said_of(error: BotoCoreError | ClientError) -> str:
    """Tell an error in one line; the code alone, where AWS refused."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else str(error)


def known_parameters() -> set[str]:
    """Name the parameters of all templates."""
    found: set[str] = set()
    for path in TEMPLATES:
        section = (ROOT / path).read_text("utf-8").split("\nParameters:\n")[1]
        (section, *_) = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)
        found.update(re.findall(r"^  (\w+):$", section, flags=re.MULTILINE))
    return found


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Read ``Name=value`` pairs.

    Raises:
        DeployError: No template has such a parameter: SAM would pass over it, and keep the old
            value. Or SAM would take a value for another one.
    """
    pairs: dict[str, str] = {}
    for name, equals, value in (each.partition("=") for each in given):
        if not equals:
            raise DeployError(f"A parameter is Name=value, and {name} has no value.")
        if pairs.setdefault(name, value) != value:
            raise DeployError(f"{name} is given twice, and not the same; without quotes, and once.")
    for name in pairs.keys() - known_parameters():
        raise DeployError(f"No template has the parameter {name}.")
    for name in pairs.keys() & SET_HERE:
        raise DeployError(f"{name} is not for PARAMETERS: STACK and ACCOUNT say it.")
    for name, value in pairs.items():
        # SAM would cut it there, and read the rest as parameters of its own.
        if re.search(r"[\s\"'\\]", value):
            raise DeployError(f"{name} may hold neither blanks nor quotes, here or in SAM.")
    return pairs


def check_name(stack: str, parameters: Mapping[str, str]) -> None:
    """See that the stack, and each function that is named after it, can have its name.

    Raises:
        DeployError: One of them cannot.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", stack):
        raise DeployError(
            f"STACK={stack} is no name for a stack: a letter, then letters, digits and hyphens."
        )
    if re.search(r"-account(-|$)|-monitoring$", stack):
        raise DeployError(
            f"STACK={stack} could be the name of another stack's account or monitoring: "
            "choose one without -account and -monitoring."
        )
    asked_for = [end for name, end in NAME_ENDINGS.items() if parameters.get(name) == "true"]
    for ending in ("", *asked_for):
        room = LONGEST_FUNCTION_NAME - len(ending)
        if len(stack) > room:
            raise DeployError(
                f"STACK={stack} has {len(stack)} characters, and its function {stack}{ending} "
                f"may have {LONGEST_FUNCTION_NAME}. Choose a name of at most {room}."
            )


def check_prefix(parameters: Mapping[str, str]) -> None:
    """See that keys can be named after the accounts, where these sign.

    CloudFormation cannot: its rules compare whole values, and a pattern knows one parameter alone.

    Raises:
        DeployError: No alias of a key can begin with the prefix.
    """
    prefix = parameters.get("SecretPrefix", "")
    if parameters.get("Signing") != "true" or not prefix:
        return
    if not SIGNABLE_PREFIX.fullmatch(prefix):
        raise DeployError(
            f"With Signing=true, SecretPrefix={prefix} cannot be: keys are named after it, by "
            "letters, digits, _, - and / alone, and not under aws/."
        )


def account_stack(stack: str, account: str) -> str:
    """Name the stack of an account, so that no two accounts share one.

    CloudFormation takes letters, digits and hyphens. Where that changes or shortens an account's
    name, a digest of the whole name tells it from its neighbours.
    """
    plain = re.sub(r"[^A-Za-z0-9-]", "-", account)
    name = f"{stack}-account-{plain}"
    looks_digested = re.search(r"-[0-9a-f]{8}$", plain)
    if plain == account and len(name) <= LONGEST_STACK_NAME and not looks_digested:
        return name
    digest = "-" + hashlib.sha256(account.encode()).hexdigest()[:8]
    return name[: LONGEST_STACK_NAME - len(digest)] + digest


def check_first_deploy(place: Place, stack: str, parameters: Mapping[str, str]) -> None:
    """See that a stack which is not there yet can reserve its concurrency.

    An existing stack has it already, or goes back to what it was.

    Raises:
        DeployError: It cannot, and would end in ``ROLLBACK_COMPLETE``; or it is there already.
    """
    status = check_leftover(place, stack, f"make undeploy STACK={stack}")
    if status not in {None, EMPTY} or parameters.get("ReserveConcurrency", "true") != "true":
        return
    try:
        limits = place.client("lambda").get_account_settings()["AccountLimit"]
    except ClientError as error:
        if said_of(error) != "AccessDeniedException":
            raise
        print(
            "You may not ask for this account's concurrency (lambda:GetAccountSettings). If it has "
            f"{LEFT_TO_OTHERS} or less, deploy with ReserveConcurrency=false."
        )
        return
    unreserved, wanted = limits["UnreservedConcurrentExecutions"], reserved(parameters)
    if unreserved < LEFT_TO_OTHERS + wanted:
        raise DeployError(
            f"This account has {unreserved} unreserved concurrent executions in {place.region}; "
            f"to reserve {wanted}, Lambda asks for {LEFT_TO_OTHERS + wanted}. "
            'Ask AWS for more, or deploy without: make deploy PARAMETERS="ReserveConcurrency=false"'
        )


def check_leftover(place: Place, stack: str, way_out: str) -> str | None:
    """See that a stack is not what a first deployment left when it failed.

    Returns:
        Its status; None if there is no such stack.

    Raises:
        DeployError: It is.
    """
    status = status_of(place, stack)
    if status == FAILED:
        raise DeployError(
            f"The stack {stack} is what a first deployment left when it failed ({status}), "
            f"and cannot be deployed to. Delete it first: {way_out}"
        )
    return status


def reserved(parameters: Mapping[str, str]) -> int:
    """Tell how much concurrency the stack reserves."""
    return sum(
        each for name, each in RESERVED.items() if not name or parameters.get(name) == "true"
    )


def status_of(place: Place, stack: str) -> str | None:
    """Tell a stack's status; None if there is no such stack."""
    try:
        (found,) = place.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        # The name was checked, so this says that it does not exist.
        if said_of(error) == "ValidationError":
            return None
        raise
    status: str = found["StackStatus"]
    return status


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
        cwd=ROOT,
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


def deploy(place: Place, stack: str, parameters: Sequence[str], *options: str) -> None:
    """Deploy one stack, and tell its outputs; its template takes those parameters that it has."""
    print(f"== Deploying {stack}", flush=True)
    # SAM takes no value for an empty one, and would leave what was given earlier in place.
    given = [f'{each}""' if each.endswith("=") else each for each in parameters]
    overrides = ("--parameter-overrides", *given)
    said = sam(place, "deploy", "--stack-name", stack, "--no-progressbar", *options, *overrides)
    if "No changes to deploy" in said:
        print("No changes.")
        return
    (found,) = place.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    for each in found.get("Outputs", ()):
        # The local AWS has no console.
        not_told = NOT_TOLD | {"DashboardUrl"} if is_local() else NOT_TOLD
        if each["OutputKey"] not in not_told:
            tell(each.get("Description", each["OutputKey"]), each["OutputValue"])


def tell(heading: str, value: str) -> None:
    """Print what to do, and beneath it the command or the name to be pasted."""
    print(f"{heading.removesuffix('.')}:\n{pasteable(value)}")


def undeploy(place: Place, stack: str) -> None:
    """Delete one stack, if there is one."""
    if status_of(place, stack) is None:
        print(f"== There is no stack {stack}", flush=True)
        return
    print(f"== Deleting {stack}", flush=True)
    sam(place, "delete", "--no-prompts", "--stack-name", stack)


def act(told: argparse.Namespace) -> None:
    """Do what was asked for.

    Raises:
        DeployError: It cannot be done.
    """
    stack: str = told.stack
    try:
        words = [word for each in told.parameters for word in shlex.split(each)]
        defaults = shlex.split(told.defaults)
    except ValueError:
        raise DeployError("PARAMETERS has a quote without its other half.") from None
    named = {word.partition("=")[0] for word in words}
    words += [each for each in defaults if each.partition("=")[0] not in named]
    parameters = read_parameters(words)
    check_name(stack, parameters)
    check_prefix(parameters)
    if told.command == "account" and not ACCOUNT_NAME.fullmatch(told.account or ""):
        raise DeployError(
            "Name the account, by letters, digits and /_+=.@- alone: make account ACCOUNT=dealer-17"
        )
    place = find_place()
    # A deployment was checked first, and told it then.
    if told.command != "deploy":
        print(f"AWS account {place.account}, Region {place.region}, as {place.caller}", flush=True)
    given = (f"FunctionStackName={stack}", *words)
    if told.command in {"check", "deploy"}:
        check_first_deploy(place, stack, parameters)
    if told.command == "deploy":
        deploy(place, stack, given)
        deploy(place, f"{stack}-monitoring", given, "--config-env", "monitoring")
        where = f"--stack {stack} --region {place.region}"
        tell("Next, for each account", f"token-refresher add NAME {where}")
    elif told.command == "account":
        name = account_stack(stack, told.account)
        check_leftover(place, name, f"aws cloudformation delete-stack --stack-name {name}")
        deploy(place, name, (*given, f"AccountName={told.account}"), "--config-env", "account")
    elif told.command == "undeploy":
        for each in (f"{stack}-monitoring", stack):
            undeploy(place, each)
        print(
            "== Left alone: every secret, the accounts' stacks, and the bucket of\n"
            "   aws-sam-cli-managed-default. Nothing refreshes these accounts any more: each\n"
            "   token stays in its secret, and expires. Another deployment goes on with them."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for, and return 1 where it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True, help="the function's stack")
    parser.add_argument("--account", help="the account whose stack is meant")
    parser.add_argument("--defaults", default="", help="parameters that hold unless they are given")
    parser.add_argument("command", choices=("check", "deploy", "account", "undeploy"))
    parser.add_argument("parameters", nargs="*", help="of the templates, as Name=value")
    try:
        act(parser.parse_args(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except DeployError as error:
        print(error, file=sys.stderr)
    except NO_ANSWER as error:
        print(unanswered(error), file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"AWS refused: {said_of(error)}.", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
