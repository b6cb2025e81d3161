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
_LEAST_SHARED: Final = 5
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
        DeployError: No template has such a parameter or takes such a value, or SAM would take it
            for another one. It tells all of them.
    """
    pairs: dict[str, str] = {}
    wrong: list[str] = []
    for name, equals, value in (each.partition("=") for each in given):
        if not (name and equals):
            lacking = f"{name} has no value" if name else f"={value} has no name"
            wrong.append(f"A parameter is Name=value, and {lacking}: a blank ends a parameter.")
        elif pairs.setdefault(name, value) != value:
            wrong.append(f"{name} is given twice, and not the same; {_once(name)}.")
    wrong += [told for name, value in pairs.items() if (told := _wrong_with(name, value))]
    if wrong:
        raise DeployError(" ".join([*wrong, *([_LISTS] if pairs.keys() - known() else ())]))
    return pairs


def _once(name: str) -> str:
    """Say how to give a parameter once; make itself hands over what is built for."""
    if name == "Architecture":
        return "it is arm64, x86_64, or what ARCHITECTURE says where that is set"
    return "without quotes, and once"


def _wrong_with(name: str, value: str) -> str:
    """Tell what is wrong with a parameter that was given; empty where nothing is."""
    if name not in known():
        found = nearest(name)
        return f"No template has the parameter {name}." + (
            f" Did you mean {' or '.join(found)}?" if found else ""
        )
    if name in SET_HERE:
        return f"{name} is not for PARAMETERS: STACK and ACCOUNT say it."
    # SAM would cut it there, and read the rest as parameters of its own.
    if re.search(r"[\s\"'\\]", value):
        return f"{name} may hold neither blanks nor quotes, here or in SAM."
    return _refused(name, value)


def nearest(name: str) -> list[str]:
    """Return the parameters whose names are most like this one, whatever its case."""
    meant = {each.lower(): each for each in known()}
    found = difflib.get_close_matches(name.lower(), meant, n=1)
    if not found:
        # As KmsKeyId, of which the names of both keys have but a part.
        shared = {each: _shared(name.lower(), each) for each in meant}
        longest = max(_LEAST_SHARED, *shared.values())
        found = [each for each, length in shared.items() if length == longest]
    return [] if SET_HERE & {meant[each] for each in found} else [meant[each] for each in found]


def _shared(one: str, other: str) -> int:
    """Tell how many letters in a row two names have in common."""
    return difflib.SequenceMatcher(None, one, other).find_longest_match().size


def check_taken(given: Mapping[str, str], templates_deployed: Sequence[Path]) -> None:
    """See that what is given is of the stacks that are deployed: SAM would pass over it.

    Args:
        given: Of any template.
        templates_deployed: Those of these stacks.

    Raises:
        DeployError: Another stack takes it; all that are so are told.
    """
    taken = {name for each in templates_deployed for name in definitions(each)} | _OF_ALL
    wrong = [
        f"{name} would be passed over here: it is for make "
        f"{'account' if name in definitions(templates.ACCOUNT) else 'deploy'}."
        for name in given
        if name not in taken
    ]
    if wrong:
        raise DeployError(" ".join(wrong))


def check_values(parameters: Mapping[str, str]) -> None:
    """See that every template takes these values, where it has such a parameter.

    Raises:
        DeployError: One does not; it says what each takes.
    """
    if wrong := [told for name, value in parameters.items() if (told := _refused(name, value))]:
        raise DeployError(" ".join(wrong))


def _refused(name: str, value: str) -> str:
    """Tell that a template does not take a value, and what it takes; empty where all take it."""
    for template in templates.DEPLOYED:
        if name in definitions(template) and (takes := refusal(value, definitions(template)[name])):
            return f"{name}={shortened(value)} cannot be: {takes}."
    return ""


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
