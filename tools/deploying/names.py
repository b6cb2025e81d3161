"""The names of stacks, which functions, alarms and other stacks are named after."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from tools.deploying.place import DeployError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_FUNCTION_NAME: Final = 64
_LONGEST_STACK_NAME: Final = 128
# The functions beside the sweeping one, by the parameter that asks for them.
_ENDINGS: Final = {"Triggers": "-triggers", "Rotation": "-rotation"}
# As the template has it.
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*")


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
    asked_for = [end for name, end in _ENDINGS.items() if parameters.get(name) == "true"]
    for ending in ("", *asked_for):
        room = _LONGEST_FUNCTION_NAME - len(ending)
        if len(stack) > room:
            raise DeployError(
                f"STACK={stack} has {len(stack)} characters, and its function {stack}{ending} "
                f"may have {_LONGEST_FUNCTION_NAME}. Choose a name of at most {room}."
            )


def account_stack(stack: str, account: str) -> str:
    """Name the stack of an account, so that no two accounts share one.

    CloudFormation takes letters, digits and hyphens. Where that changes or shortens an account's
    name, a digest of the whole name tells it from its neighbours.

    Raises:
        DeployError: No account can have this name.
    """
    if not _ACCOUNT.fullmatch(account):
        raise DeployError(
            "Name the account, by letters, digits and /_+=.@- alone: make account ACCOUNT=dealer-17"
        )
    plain = re.sub(r"[^A-Za-z0-9-]", "-", account)
    name = f"{stack}-account-{plain}"
    looks_digested = re.search(r"-[0-9a-f]{8}$", plain)
    if plain == account and len(name) <= _LONGEST_STACK_NAME and not looks_digested:
        return name
    digest = "-" + hashlib.sha256(account.encode()).hexdigest()[:8]
    return name[: _LONGEST_STACK_NAME - len(digest)] + digest
