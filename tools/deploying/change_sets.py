"""What a deployment would change, as CloudFormation says it beforehand."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tools.output import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tools.deploying.place import Place

# As what is known when it comes to it has it.
_UNSURE: Final = "replace?"
_REPLACED: Final = {"True": "replace", "Conditional": _UNSURE}
# What is in it is nowhere else.
_LOST: Final = {
    "AWS::Logs::LogGroup": "its lines are lost",
    "AWS::SNS::Topic": "its subscriptions end",
    "AWS::SQS::Queue": "the failed events in it are lost",
}
_KEPT: Final = frozenset({"Retain", "ReplaceAndRetain"})
_ACTION_COLUMNS: Final = 12


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one resource.

    Attributes:
        action: ``add``, ``modify``, ``replace``, ``replace?`` where that depends, or ``remove``.
        kind: Its type, such as ``SQS Queue``.
        name: In the template.
        properties: What of it is modified.
        loss: What is lost by it; empty if nothing is.
    """

    action: str
    kind: str
    name: str
    properties: tuple[str, ...] = ()
    loss: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that CloudFormation has made, and that was not executed.

    Attributes:
        arn: Its ARN.
        stack_id: That of its stack, which is there, be it an empty one.
        changes: What it would do.
    """

    arn: str
    stack_id: str
    changes: tuple[Change, ...]

    @property
    def loses(self) -> bool:
        """Whether something is lost that is nowhere else."""
        return any(each.loss for each in self.changes)


def read_change_set(place: Place, arn: str) -> ChangeSet:
    """Ask CloudFormation what a change set would do."""
    paginator = place.client("cloudformation").get_paginator("describe_change_set")
    pages = list(paginator.paginate(ChangeSetName=arn))
    changes = [_change(each["ResourceChange"]) for page in pages for each in page["Changes"]]
    return ChangeSet(arn, pages[0]["StackId"], tuple(changes))


def _change(resource: Mapping[str, Any]) -> Change:
    action = resource["Action"].lower()
    if action == "modify":
        action = _REPLACED.get(resource.get("Replacement", ""), action)
    ends = action not in {"add", "modify"} and resource.get("PolicyAction") not in _KEPT
    targets = [each["Target"] for each in resource.get("Details", ())]
    return Change(
        action,
        " ".join(resource["ResourceType"].split("::")[1:]),
        resource["LogicalResourceId"],
        tuple(sorted({each.get("Name") or each["Attribute"] for each in targets})),
        _LOST.get(resource["ResourceType"], "") if ends else "",
    )


def table(changes: Iterable[Change]) -> str:
    """Tell changes in lines of a terminal's width; what becomes the same of a kind, together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for each in changes:
        properties = f" ({', '.join(each.properties)})" if each.properties else ""
        loss = f"; {'then ' if each.action == _UNSURE else ''}{each.loss}" if each.loss else ""
        key = (each.action, each.kind, properties + loss)
        groups.setdefault(key, []).append(each.name)
    return "\n".join(
        textwrap.fill(
            f"{kind}: {', '.join(sorted(names))}{more}",
            width=COLUMNS - 1,
            initial_indent=f"   {action:<{_ACTION_COLUMNS - 3}}",
            subsequent_indent=" " * _ACTION_COLUMNS,
            break_on_hyphens=False,
        )
        for (action, kind, more), names in sorted(groups.items())
    )
