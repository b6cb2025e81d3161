"""The deployed function: the settings it runs with, and a sweep that it makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

from token_refresher_cli.problems import ProblemError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher_cli.target import Target

# Its own time limit is 240 seconds; an invocation must not be made twice.
_LONGEST_INVOCATION_SECONDS: Final = 270


class DeployedFunction:
    """The function of a stack, which has the stack's name.

    Args:
        target: It names the stack.

    Attributes:
        architecture: Its processor; empty before its `variables` are read.
    """

    def __init__(self, target: Target) -> None:
        self.architecture = ""
        self._stack = target.stack or ""
        self._target = target
        # Its stubs are no dependency of this project.
        make: Any = boto3.client
        self._client = make(
            "lambda",
            config=Config(
                connect_timeout=5,
                read_timeout=_LONGEST_INVOCATION_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 1},
            ),
        )

    def variables(self) -> Mapping[str, str]:
        """Read the environment that the function runs with; there is no secret in it.

        Raises:
            RefusedError: Lambda refused.
            ProblemError: Lambda could not decrypt it: without it the settings are not known.
        """
        try:
            answer = self._client.get_function_configuration(FunctionName=self._stack)
        except (ClientError, BotoCoreError) as error:
            raise RefusedError.of(error, "GetFunctionConfiguration", self._stack) from None
        self.architecture = next(iter(answer.get("Architectures", ())), "")
        environment: dict[str, Any] = answer.get("Environment", {})
        if "Error" in environment:
            code = environment["Error"].get("ErrorCode", "an error")
            raise ProblemError(
                f"Lambda does not tell the settings of {self._stack}: {code}.",
                "Where a KMS key of your own encrypts its environment, allow its use.",
            )
        variables: dict[str, str] = environment.get("Variables", {})
        return variables

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Let the function work through an event, and wait for its summary.

        Raises:
            RefusedError: Lambda refused.
            ProblemError: The function failed, of which only the kind of its error is repeated;
                or it was asked, and did not answer.
        """
        try:
            answer = self._client.invoke(
                FunctionName=self._stack, Payload=json.dumps(event).encode()
            )
            content: dict[str, Any] = json.loads(answer["Payload"].read())
        except (ConnectionClosedError, ReadTimeoutError):
            raise ProblemError(
                f"The function {self._stack} did not answer; it may have done it all the same.",
                f"What came of it: {self._target.command('status')}\n{self._log()}",
                is_under_way=True,
            ) from None
        except (ClientError, BotoCoreError) as error:
            raise RefusedError.of(error, "Invoke", self._stack) from None
        if "FunctionError" in answer:
            kind = str(content.get("errorType", "")) or "an error"
            raise ProblemError(
                f"The function {self._stack} failed with {kind}.",
                self._log(),
                # It may have failed, or been cut off, after some accounts were done.
                is_under_way=True,
            )
        return content

    def _log(self) -> str:
        command = self._target.aws("logs", "tail", f"/aws/lambda/{self._stack}")
        return f"Its log, by AWS CLI 2: {command}"
