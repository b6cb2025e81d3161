"""Where the walk through a stack takes place: names, calls, commands and waits."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.exceptions import ClientError

from tools.deploying.place import said_of
from tools.smoke.findings import BudgetError
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.deploying.place import Place
    from tools.smoke.findings import Budget

    Fact = TypeVar("Fact")

# Random, so that it is nobody else's; and told by its looks, so that nothing else is deleted.
BEGINNING: Final = "token-refresher-smoke-stack-"
NAME: Final = re.compile(rf"{BEGINNING}[0-9a-f]{{8}}")
# A command that was interrupted has this long to end its own commands.
ENDS_WITHIN_SECONDS: Final = 10
TOLD_AFTER_SECONDS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.2


class CommandError(Exception):
    """One of the project's commands failed; what it printed is the message."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all that is made; they follow from one, so a process that died is cleaned up.

    Attributes:
        stack: The function's stack, its function, and the prefix of its secrets.
    """

    stack: str

    @classmethod
    def invented(cls) -> Names:
        """Invent names that nobody has."""
        return cls(f"{BEGINNING}{secrets.token_hex(4)}")

    @property
    def surroundings(self) -> str:
        """The stack of `infra/smoke/surroundings.yaml`."""
        return f"{self.stack}-surroundings"

    @property
    def monitoring(self) -> str:
        """The stack of the alarms."""
        return f"{self.stack}-monitoring"

    @property
    def copies(self) -> str:
        """What the names of alarms begin with that are copies."""
        # Not as the deployed ones begin, which are looked at by that.
        return f"copy of {self.stack} "

    def credentials(self, account: str) -> str:
        """The credentials secret of an account."""
        return f"{self.stack}/credentials/{account}"

    def token(self, account: str) -> str:
        """The token secret of an account."""
        return f"{self.stack}/tokens/{account}"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long something is waited for at most, in seconds.

    Attributes:
        stack: Until a stack is there, or gone.
        trigger: Until a change of credentials is served, and for other events.
        sweep: Until the schedule's first sweep is counted.
        alarm: Until an alarm has gone off, or is over.
        permission: Until IAM knows of one.
        poll: Between two looks.
        alarm_period: Of the copy of the alarm *no sweep completed*. The deployed one has periods
            of five minutes, so it takes 25.
        sweeps_by_hand: Sweep by hand, once the schedule's first sweep was seen, and look at a copy
            of the alarm *action required* too. For tests: it takes less than its ten minutes.
    """

    stack: float = 300
    trigger: float = 180
    sweep: float = 300
    alarm: float = 900
    permission: float = 90
    poll: float = 5
    alarm_period: int = 60
    sweeps_by_hand: bool = False


class Site:
    """A place in AWS, and what the walk does there.

    Args:
        place: The account and the Region.
        names: Of what is made.
        budget: What each call is counted in; None where what was made is deleted at any cost.
        waits: How long is waited.
        monotonic: Gives seconds.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        place: Place,
        names: Names,
        *,
        budget: Budget | None = None,
        waits: Waits = Waits(),
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.place = place
        self.names = names
        self.budget = budget
        self.waits = waits
        self.monotonic = monotonic
        self.pause = pause
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:  # noqa: ANN401 - no stubs of these are installed
        """Return the client of a service, whose calls the budget counts."""
        if service not in self._clients:
            client = self.place.client(service)
            if self.budget is not None:
                client.meta.events.register("before-call", self._spend)
            self._clients[service] = client
        return self._clients[service]

    @cached_property
    def secrets(self) -> Any:  # noqa: ANN401
        """Secrets Manager."""
        return self.client("secretsmanager")

    def wait(
        self, what: str, fact: Callable[[], Fact | None], *, seconds: float
    ) -> tuple[Fact | None, float]:
        """Look until something is so.

        Args:
            what: What is waited for, for a person.
            fact: Looks; nothing true where it is not so yet.
            seconds: How long at most.

        Returns:
            What was found, None if it never was; and how many seconds that took.
        """
        began, is_told = self.monotonic(), False
        while not (found := fact()):
            taken = self.monotonic() - began
            if taken >= seconds:
                return None, taken
            if not is_told and taken > TOLD_AFTER_SECONDS:
                print(f"{'':15}waiting for {what}, {seconds:.0f} s at most", flush=True)
                is_told = True
            # What is measured is right to a tenth.
            self.pause(min(self.waits.poll, FIRST_PAUSE_SECONDS + taken / 10))
        return found, self.monotonic() - began

    def as_role(self, role: str) -> boto3.Session:
        """Act as a role; a new one may not be known at once."""
        given = self.patiently(
            lambda: self.client("sts").assume_role(RoleArn=role, RoleSessionName="smoke")
        )["Credentials"]
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=self.place.region,
        )

    def patiently(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Do something as soon as IAM allows it.

        Raises:
            ClientError: It never did.
        """
        refusals: list[ClientError] = []

        def done() -> Any:  # noqa: ANN401
            try:
                return act()
            except ClientError as error:
                if not said_of(error).startswith("AccessDenied"):
                    raise
                refusals.append(error)
                return None

        found, _ = self.wait("IAM", done, seconds=self.waits.permission)
        if found is None:
            raise refusals[-1]
        return found

    def status(self, stack: str) -> str | None:
        """Tell a stack's status, None where there is none."""
        try:
            (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if said_of(error) == "ValidationError":
                return None
            raise
        status: str = found["StackStatus"]
        return status

    def resource(self, stack: str, logical_id: str) -> str:
        """Return the name of a stack's resource."""
        found = self.client("cloudformation").describe_stack_resource(
            StackName=stack, LogicalResourceId=logical_id
        )
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs."""
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}

    def described(self, secret_id: str) -> dict[str, Any]:
        """Describe a secret; nothing where there is none."""
        try:
            found: dict[str, Any] = self.secrets.describe_secret(SecretId=secret_id)
        except self.secrets.exceptions.ResourceNotFoundException:
            return {}
        return found

    def stages(self, secret_id: str) -> dict[str, str]:
        """Return a secret's stages, with the version of each."""
        versions = self.described(secret_id).get("VersionIdsToStages", {})
        return {stage: version for version, on_it in versions.items() for stage in on_it}

    def make(self, *arguments: str) -> str:
        """Run one of the project's commands, and return what it printed.

        It has a process group of its own, so that none of its commands outlives an interruption.

        Raises:
            CommandError: It failed.
            BudgetError: It took longer than what was left.
        """
        # What tells one make of another stays out.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS"))
        }
        with subprocess.Popen(  # noqa: S603
            ["make", *arguments, "YES=1"],  # noqa: S607
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said = self._said(process, arguments[0])
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            raise CommandError(f"make {arguments[0]} failed:\n{said.strip()}")
        return said

    def _said(self, process: subprocess.Popen[str], target: str) -> str:
        """Wait for the end of a command as long as the budget, and return what it printed."""
        while self.budget is None or self.budget.left_seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=self.waits.poll)[0]
        raise BudgetError(f"the time was over during make {target}")

    def _spend(self, **_: object) -> None:
        if self.budget is not None:
            self.budget.spend()


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and all that it has started, as Ctrl-C does, or else by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=ENDS_WITHIN_SECONDS)
            return
