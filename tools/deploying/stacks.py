"""The stacks that are there, and what each of them leaves to another one: a prefix, a quota."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tools.deploying.place import DeployError, is_denied, said_of
from tools.output import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.deploying.place import Place

# A change set alone: nothing was deployed yet.
EMPTY: Final = "REVIEW_IN_PROGRESS"
# What cannot be changed any more, but only deleted.
_DEAD: Final = frozenset({"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"})
_STUCK: Final = "UPDATE_ROLLBACK_FAILED"
# No resource is left of these.
_GONE: Final = frozenset({"DELETE_COMPLETE", "ROLLBACK_COMPLETE"})
# A stack that has both is one of ours, whichever version made it, and by whichever way.
_OURS: Final = frozenset({"SecretPrefix", "RefreshBeforeSeconds"})
# What the template reserves; without a parameter of its own, the sweeping function.
_RESERVED: Final = {"": 1, "Triggers": 1}
# Lambda refuses a reservation that leaves less than this to the account's other functions.
_LEFT_TO_OTHERS: Final = 100


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack, as CloudFormation describes it.

    Attributes:
        name: Its name, also where there is none.
        status: None where there is no such stack.
        parameters: What it was deployed with; empty where there is none.
        id: Its ARN, by which it is known when it is deleted too; empty where there is none.
        is_protected: Whether it has termination protection.
    """

    name: str
    status: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    is_protected: bool = False

    @property
    def is_new(self) -> bool:
        """Whether nothing was deployed under this name."""
        return self.status in {None, EMPTY}


def find_stack(place: Place, name: str) -> Stack:
    """Ask for a stack that may not be there; its name was checked."""
    try:
        (found,) = place.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # Of a name that was checked, this says that it does not exist.
        if said_of(error) == "ValidationError":
            return Stack(name)
        raise
    return _described(found)


def _described(stack: Mapping[str, Any]) -> Stack:
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
    }
    return Stack(
        stack["StackName"],
        stack["StackStatus"],
        parameters,
        stack["StackId"],
        is_protected=bool(stack.get("EnableTerminationProtection")),
    )


def check_status(stack: Stack, place: Place, *, delete: str) -> None:
    """See that a stack can be deployed to.

    Args:
        stack: Or none of its name.
        place: Where it is.
        delete: The command that deletes it.

    Raises:
        DeployError: It cannot; the message says the way out.
    """
    status = stack.status or ""
    if status in _DEAD:
        raise DeployError(
            f"The stack {stack.name} is what a deployment or a deletion left when it failed "
            f"({status}), and cannot be deployed to. Delete it first: {delete}"
        )
    if status == _STUCK:
        raise DeployError(
            f"The stack {stack.name} could not go back to what it was ({status}). Remove what "
            "its events name as the reason, then: aws cloudformation continue-update-rollback "
            f"--stack-name {stack.name} --region {place.region}"
        )
    if status.endswith("_IN_PROGRESS") and status != EMPTY:
        raise DeployError(
            f"The stack {stack.name} is being changed ({status}). Deploy again when that is over."
        )


def check_prefix(place: Place, stack: str, parameters: Mapping[str, str]) -> None:
    """See that no other stack here has the same accounts, or keys that could be mistaken.

    Args:
        place: The AWS account and Region; other Regions have secrets of their own.
        stack: The one that is deployed, which is no neighbour of itself.
        parameters: All that will hold.

    Raises:
        DeployError: One has.
    """
    prefix = parameters["SecretPrefix"]
    try:
        neighbours = [each for each in ours(place) if each.name != stack]
    except ClientError as error:
        if not is_denied(error):
            raise
        print(
            wrapped(
                "You may not list the stacks of this account (cloudformation:DescribeStacks on "
                f"*), so see for yourself that no other has SecretPrefix={prefix}."
            )
        )
        return
    for other in neighbours:
        theirs = other.parameters["SecretPrefix"]
        if theirs == prefix:
            raise DeployError(
                f"The stack {other.name} has SecretPrefix={prefix} already, and both would refresh "
                "the same accounts. Name another SecretPrefix, or another STACK."
            )
        outer, inner = sorted((prefix, theirs), key=len)
        signs = "true" in {parameters["Signing"], other.parameters.get("Signing")}
        if signs and inner.startswith(f"{outer}/"):
            raise DeployError(
                f"The stack {other.name} has SecretPrefix={theirs}, and this one {prefix}. Where "
                f"accounts sign, neither may begin with the other: alias/{inner}/a would be the "
                "key of two accounts, one of each stack."
            )


def ours(place: Place) -> Iterator[Stack]:
    """List the stacks here that refresh accounts."""
    pages = place.client("cloudformation").get_paginator("describe_stacks").paginate()
    for page in pages:
        for each in map(_described, page["Stacks"]):
            if each.parameters.keys() >= _OURS and not each.is_new and each.status not in _GONE:
                yield each


def check_quota(place: Place, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """See that a stack can reserve what concurrency it does not have already.

    Args:
        place: Where.
        before: Its parameters as they are; none where nothing is deployed.
        after: Its parameters after the deployment.

    Raises:
        DeployError: It cannot: a new stack would end in ``ROLLBACK_COMPLETE``, another one go
            back to what it was, minutes later.
    """
    wanted = reserved(after) - reserved(before)
    if wanted <= 0:
        return
    try:
        limits = place.client("lambda").get_account_settings()["AccountLimit"]
    except ClientError as error:
        if not is_denied(error):
            raise
        print(
            wrapped(
                "You may not ask for this account's concurrency (lambda:GetAccountSettings). If "
                f"it has {_LEFT_TO_OTHERS} or less, deploy with ReserveConcurrency=false."
            )
        )
        return
    unreserved = limits["UnreservedConcurrentExecutions"]
    if unreserved < _LEFT_TO_OTHERS + wanted:
        raise DeployError(
            f"This account has {unreserved} unreserved concurrent executions in {place.region}; "
            f"to reserve {wanted}{' more' if before else ''}, Lambda asks for "
            f"{_LEFT_TO_OTHERS + wanted}. "
            'Ask AWS for more, or deploy without: make deploy PARAMETERS="ReserveConcurrency=false"'
        )


def reserved(parameters: Mapping[str, str]) -> int:
    """Tell how much concurrency a stack reserves, by its parameters."""
    if parameters.get("ReserveConcurrency") != "true":
        return 0
    return sum(
        each for name, each in _RESERVED.items() if not name or parameters.get(name) == "true"
    )
