"""The real stack on a local AWS that enforces IAM, and a real schedule: ``make deploy-local``.

It builds, deploys, onboards accounts as an operator would, waits for two ticks, looks at what
came of them as a consumer, deploys again, and deletes. It exits with 1 if a promise broke.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from botocore.exceptions import ClientError
from rich.padding import Padding

from local.stack import LocalAws, Stack, StackError
from tools import output

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from rich.console import Console

POLL_SECONDS: Final = 0.5
TICK_WITHIN_SECONDS: Final = 300

DEALER: Final = "dealer-17"
CLOSING: Final = "nearly-over"
MISTYPED: Final = "mistyped"
USER: Final = "dealer@example.com"


class Journey:
    """The journey, and what was promised on the way.

    Args:
        stack: Not deployed yet.
        console: Where it is told.
    """

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._operator = stack.aws.consumer()
        self.is_broken = False

    def _phase(self, name: str) -> AbstractContextManager[None]:
        """Tell how long a part of the journey took."""
        return output.phase(self._console, name)

    def _promise(self, promise: str, *, held: bool) -> None:
        """Tell whether a promise was kept."""
        self.is_broken |= not held
        self._console.print(Padding(output.promise(promise, held=held), (0, 0, 0, 2)))

    def go(self) -> None:
        """Go all the way."""
        stack = self._stack
        with self._phase("Build"):
            stack.make("build")
        with self._phase("Deploy the function, its alarms and its dashboard"):
            stack.make("deploy-stacks")
        with self._phase("Onboard three accounts"):
            self._onboard()
        with self._phase("Wait for the schedule's first tick"):
            self._wait(lambda: all(map(self._operator.token, (DEALER, CLOSING))))
            self._wait(lambda: self._operator.call(CLOSING) and self._error(MISTYPED) != "")
        self._look()
        with self._phase("Correct the password, wait for the next tick"):
            self._put_password(MISTYPED, "right")
            self._wait(lambda: self._operator.call(MISTYPED))
            self._wait(lambda: self._error(MISTYPED) == "")
        self._promise(
            "the corrected password was served by the next tick, its record cleared",
            held=self._operator.call(MISTYPED) and self._error(MISTYPED) == "",
        )
        with self._phase("Deploy again"):
            said = stack.make("deploy-stacks")
        self._promise(
            "a second deploy changes nothing", held=said.count("No changes") == said.count("== ")
        )
        with self._phase("Delete"):
            stack.make("undeploy")
        self._promise(
            "what was deployed is gone; the secrets stay, and the token is accepted",
            held=not self.left_over() and self._operator.call(DEALER),
        )

    def _onboard(self) -> None:
        """Onboard one account by the template, the others by one command each."""
        stack = self._stack
        for name in (DEALER, CLOSING, MISTYPED):
            stack.register(name, users={USER: "right"})
        stack.make("account", f"ACCOUNT={DEALER}")
        self._put_password(DEALER, "right")
        version = str(uuid4())
        stack.issued_long_ago(CLOSING, left=timedelta(minutes=30), credentials_version=version)
        self._put_password(CLOSING, "right", version_id=version)
        self._put_password(MISTYPED, "wrong")

    def _put_password(self, account: str, password: str, *, version_id: str | None = None) -> None:
        self._stack.put_credentials(
            account,
            version_id=version_id,
            grant_type="password",
            username=USER,
            password=password,
        )

    def _look(self) -> None:
        """Look at what the tick did."""
        aws = self._stack.aws
        policy = self._stack.output("ReadTokenPolicyArn", stack=f"-account-{DEALER}")
        consumer = aws.consumer(aws.assumable_role("consumer", policy))
        self._promise(
            f"the consumer's role reads {DEALER}'s token; the endpoint accepts it",
            held=consumer.call(DEALER),
        )
        self._promise(
            "a token issued 11 h 30 min ago was refreshed by the tick",
            held=self._operator.call(CLOSING),
        )
        self._promise(
            "a wrong password is reported: action required",
            held=self._error(MISTYPED) == "action required: invalid_grant",
        )
        self._promise(
            "the consumer's role is denied credentials, journal and another's token",
            held=is_denied(consumer.secrets, f"oauth/credentials/{DEALER}", "AWSCURRENT")
            and is_denied(consumer.secrets, f"oauth/credentials/{DEALER}", "TOKENRESPONSE")
            and is_denied(consumer.secrets, f"oauth/tokens/{CLOSING}", "AWSCURRENT"),
        )

    def _error(self, account: str) -> str:
        """Return what is recorded of an account's failure; empty if nothing is."""
        secrets = self._stack.aws.secrets
        try:
            tags = secrets.describe_secret(SecretId=f"oauth/tokens/{account}").get("Tags", [])
        except secrets.exceptions.ResourceNotFoundException:
            return ""
        found = {tag["Key"]: tag["Value"] for tag in tags}.get("token-refresher:failure", "")
        return found.partition("/")[0]

    def left_over(self) -> list[str]:
        """Return what is still there of what was deployed."""
        client, name = self._stack.aws.cloud.client, self._stack.name
        return [
            *(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
            *(each["Name"] for each in client("scheduler").list_schedules()["Schedules"]),
            *(each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]),
            *(each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]),
            *client("sqs").list_queues().get("QueueUrls", []),
            *(
                each["RoleName"]
                for each in client("iam").list_roles()["Roles"]
                if each["RoleName"].startswith(name)
            ),
        ]

    def _wait(self, fact: Callable[[], bool]) -> None:
        """Wait until something is so; what never is shows in the promises."""
        give_up = time.monotonic() + TICK_WITHIN_SECONDS
        while not fact() and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)


def is_denied(secrets: SecretsManagerClient, secret_id: str, stage: str) -> bool:
    """Tell whether IAM, and nothing else, refuses to read a secret."""
    try:
        secrets.get_secret_value(SecretId=secret_id, VersionStage=stage)
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDeniedException"
    return False


def main() -> int:
    """Go on the journey, and return 1 if a promise broke."""
    console = output.console()
    started = time.monotonic()
    with LocalAws() as aws:
        console.print(output.timed("Start a local AWS that enforces IAM", started, console))
        journey = Journey(Stack(aws, {"ScheduleMinutes": "1"}), console)
        try:
            journey.go()
        except StackError as error:
            console.print(str(error), style="bold red", markup=False, soft_wrap=True)
            return 1
    console.print(output.timed("In all", started, console))
    return 1 if journey.is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
