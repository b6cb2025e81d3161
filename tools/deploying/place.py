"""The AWS account and the Region that the environment names, and what is said where none is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

# Nothing came back from the address that the error names.
NO_ANSWER: Final = (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
# Of AWS_ENDPOINT_URL, where the local AWS stands in the place of AWS.
_LOCAL: Final = re.compile(r"\w+://(([\w.-]+\.)?localhost|127(\.\d+){3}|\[::1\])(:\d+)?/*")
# CloudFormation and IAM have one word for it, the other services another.
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})


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
    return _LOCAL.fullmatch(os.environ.get("AWS_ENDPOINT_URL", "")) is not None


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


def told_by(error: BotoCoreError | ClientError) -> str:
    """Tell an error in full: AWS's own words name the permission, or the state of a stack."""
    told = error.response["Error"].get("Message", "") if isinstance(error, ClientError) else ""
    return f"{said_of(error)}: {told}" if told else f"{said_of(error)}."


def is_denied(error: ClientError) -> bool:
    """Tell whether a permission is missing."""
    return said_of(error) in _DENIED
