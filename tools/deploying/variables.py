"""The variables that `make` was given: each must be one that its target takes.

`make` takes any, so one that is misspelt, or of another target, would be passed over without a
word: the whole stack would be deleted, and not what was named.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from tools.deploying import parameters
from tools.deploying.place import DeployError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_EVERY: Final = ("STACK", "DRY_RUN", "YES")
_DEPLOYS: Final = (*_EVERY, "PARAMETERS", "DEFAULT_PARAMETERS", "ARCHITECTURE", "TARGET_PYTHON")
TAKES: Final = {
    "deploy": _DEPLOYS,
    "account": ("ACCOUNT", *_DEPLOYS),
    "undeploy": _EVERY,
}
# Which Python makes the environments.
_OF_MAKE: Final = "PYTHON"
# The commands that are printed name the Region so.
_OF_AWS: Final = "AWS_"


def check_variables(target: str, typed: Collection[str]) -> None:
    """See that a target takes each variable that was typed after it.

    Raises:
        DeployError: It does not; the nearest that it takes is named.
    """
    takes = TAKES[target]
    strangers = [
        each
        for each in sorted(typed)
        if each not in (*takes, _OF_MAKE) and not each.startswith(_OF_AWS)
    ]
    if strangers:
        told = " ".join(
            f"make {target} takes no {each}.{_meant(each, takes)}" for each in strangers
        )
        raise DeployError(
            f"{told} It takes {', '.join(takes)}. What other tools read is set before the word "
            "make."
        )


def _meant(name: str, takes: Collection[str]) -> str:
    """Ask for the nearest variable; a parameter of the templates is written within one."""
    if near := difflib.get_close_matches(name.upper(), takes, n=1):
        return f" Did you mean {near[0]}?"
    found = parameters.nearest(name)
    if found and "PARAMETERS" in takes:
        return f' Did you mean PARAMETERS="{found[0]}=..."?'
    return ""


def check_stack(target: str, stack: str, typed: Collection[str], shell: Mapping[str, str]) -> None:
    """See that the shell names one stack, where none was typed.

    Args:
        target: Of make.
        stack: What is meant, if it is one.
        typed: The variables that make was given.
        shell: The variables that the shell has exported.

    Raises:
        DeployError: The command line, which reads a variable of its own, would go on with another.
    """
    other = shell.get("TOKEN_REFRESHER_STACK") or stack
    if other != stack and "STACK" not in typed:
        raise DeployError(
            f"The shell has STACK={stack}, and TOKEN_REFRESHER_STACK={other}. "
            f"Say which is meant: make {target} STACK={other}"
        )
