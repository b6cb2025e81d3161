"""The parameters of the templates: what is given, what holds, and what a template refuses.

CloudFormation refuses the same, but after the build. And SAM passes over a name that it does not
know: the stack would keep its old value, and nobody be told.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tools import templates
from tools.deploying.place import DeployError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What follows from STACK and ACCOUNT.
SET_HERE: Final = frozenset({"AccountName", "FunctionStackName"})
# An account's stack has the tags that its function's has, and nothing of it is built.
_OF_ALL: Final = frozenset({"Architecture", "ResourceTags"})
_LISTS: Final = "docs/reference.md and docs/deployment.md list them."
_MOST_SHOWN: Final = 40
# As an alias of KMS has it.
_SIGNABLE_PREFIX: Final = re.compile(r"(?!aws/)[A-Za-z0-9_/-]+")


@cache
def definitions(template: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters of a template by their names, as it defines them."""
    found: dict[str, dict[str, Any]] = templates.load(template)["Parameters"]
    return found


def known() -> set[str]:
    """Name the parameters of all templates."""
    return {name for template in templates.DEPLOYED for name in definitions(template)}


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Read ``Name=value`` pairs.

    Raises:
        DeployError: No template has such a parameter, or SAM would take a value for another one.
    """
    pairs: dict[str, str] = {}
    for name, equals, value in (each.partition("=") for each in given):
        if not (name and equals):
            lacking = f"{name} has no value" if name else f"={value} has no name"
            raise DeployError(f"A parameter is Name=value, and {lacking}.")
        if pairs.setdefault(name, value) != value:
            raise DeployError(f"{name} is given twice, and not the same; {_once(name)}.")
    for name in pairs:
        if name not in known():
            raise DeployError(f"No template has the parameter {name}.{_nearest(name)} {_LISTS}")
    for name in pairs.keys() & SET_HERE:
        raise DeployError(f"{name} is not for PARAMETERS: STACK and ACCOUNT say it.")
    for name, value in pairs.items():
        # SAM would cut it there, and read the rest as parameters of its own.
        if re.search(r"[\s\"'\\]", value):
            raise DeployError(f"{name} may hold neither blanks nor quotes, here or in SAM.")
    return pairs


def _once(name: str) -> str:
    """Say how to give a parameter once; make itself hands over what is built for."""
    if name == "Architecture":
        return "it is arm64, x86_64, or what ARCHITECTURE says where that is set"
    return "without quotes, and once"


def _nearest(name: str) -> str:
    """Ask whether the name that is most like it was meant, whatever its case."""
    meant = {each.lower(): each for each in known() - SET_HERE}
    found = difflib.get_close_matches(name.lower(), meant, n=1)
    return f" Did you mean {meant[found[0]]}?" if found else ""


def check_taken(given: Mapping[str, str], templates_deployed: Sequence[Path]) -> None:
    """See that what is given is of the stacks that are deployed: SAM would pass over it.

    Args:
        given: Of any template.
        templates_deployed: Those of these stacks.

    Raises:
        DeployError: Another stack takes it.
    """
    taken = {name for each in templates_deployed for name in definitions(each)} | _OF_ALL
    for name in given:
        if name not in taken:
            other = "account" if name in definitions(templates.ACCOUNT) else "deploy"
            raise DeployError(f"{name} would be passed over here: it is for make {other}.")


def check_values(parameters: Mapping[str, str]) -> None:
    """See that every template takes these values, where it has such a parameter.

    Raises:
        DeployError: One does not; it says what it takes.
    """
    for template in templates.DEPLOYED:
        for name in parameters.keys() & definitions(template).keys():
            if takes := refusal(parameters[name], definitions(template)[name]):
                raise DeployError(f"{name}={shortened(parameters[name])} cannot be: {takes}.")


def refusal(value: str, definition: Mapping[str, Any]) -> str | None:
    """Tell what a parameter takes, where it does not take a value; None where it does."""
    if allowed := [str(each) for each in definition.get("AllowedValues", ())]:
        return None if value in allowed else f"it takes {' or '.join(allowed)}"
    if definition["Type"] == "Number":
        least, most = definition["MinValue"], definition["MaxValue"]
        # As CloudFormation shows it again: a zero before it would be a change.
        is_number = re.fullmatch(r"0|[1-9][0-9]{0,8}", value)
        return None if is_number and least <= int(value) <= most else f"it takes {least} to {most}"
    longest = definition.get("MaxLength", len(value))
    if len(value) > longest:
        return f"it has {len(value)} characters, and may have {longest}"
    if re.fullmatch(definition.get("AllowedPattern", ".*"), value):
        return None
    return f"it takes {definition['ConstraintDescription']}"


def check_together(parameters: Mapping[str, str]) -> None:
    """See that the function's template takes these values beside each other.

    Args:
        parameters: All that will hold.

    Raises:
        DeployError: A rule of the template is broken, or accounts could not sign.
    """
    for rule in templates.resolved(templates.FUNCTION, parameters)["Rules"].values():
        for each in rule["Assertions"] if rule["RuleCondition"] else ():
            if not each["Assert"]:
                raise DeployError(each["AssertDescription"])
    # No rule of CloudFormation can: it compares whole values, and a pattern knows one parameter.
    prefix = parameters["SecretPrefix"]
    if parameters["Signing"] == "true" and not _SIGNABLE_PREFIX.fullmatch(prefix):
        raise DeployError(
            f"With Signing=true, SecretPrefix={prefix} cannot be: keys are named after it, by "
            "letters, digits, _, - and / alone, and not under aws/."
        )
    # Such a function would not even start.
    keys = re.findall(r"([^,=]+)=", parameters["ResourceTags"].lower())
    if len(set(keys)) < len(keys):
        raise DeployError("ResourceTags may name each key once, whatever its case.")


def in_force(template: Path, given: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each parameter of a template after a deployment.

    Args:
        template: Which has a default for each, or is given a value.
        given: What is named now.
        kept: What the stack has; empty where there is none.
    """
    return {
        name: given.get(name, kept.get(name, str(each.get("Default", ""))))
        for name, each in definitions(template).items()
    }


def changes(template: Path, given: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    """Tell what a deployment changes of a stack's parameters, one in a line.

    Args:
        template: The stack's.
        given: What is named now.
        kept: What the stack has; empty where there is none, and then the defaults count.
    """
    before = in_force(template, {}, kept)
    after = in_force(template, given, kept)
    return [
        f"{name}: {f'{shortened(before[name])} -> ' if kept else ''}{shortened(after[name])}"
        for name in after
        if before[name] != after[name] and name not in SET_HERE
    ]


def shortened(value: str) -> str:
    """Show a value in a line: certificates would fill a screen. None of them is a secret."""
    if len(value) <= _MOST_SHOWN:
        return value or "(empty)"
    return f"{value[: _MOST_SHOWN // 2]}... ({len(value):,} characters)"
