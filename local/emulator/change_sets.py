"""Change sets, as CloudFormation makes them: a resource whose condition is false is not there.

ministack compares two templates without their conditions. So a parameter that turns a condition
would change nothing, and a change set would list what is not made.
"""

# ruff: noqa: SLF001

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ministack.services.cloudformation import changesets as ministack

if TYPE_CHECKING:
    from collections.abc import Callable

_ministack_resolves: Callable[..., dict[str, Any]] = ministack._resolve_props_for_diff


def install() -> None:
    """Let change sets see conditions."""
    ministack._resolve_props_for_diff = _resolved


def _resolved(
    template: dict[str, Any], parameters: dict[str, Any], *rest: object
) -> dict[str, Any]:
    """Return what is compared: each resource that these parameters ask for, its values resolved."""
    resolved = _ministack_resolves(template, parameters, *rest)
    if not resolved:
        return resolved
    conditions = ministack._evaluate_conditions(template, parameters)
    resources = resolved["Resources"].items()
    return {
        "Resources": {name: each for name, each in resources if _is_asked_for(each, conditions)}
    }


def _is_asked_for(resource: dict[str, Any], conditions: dict[str, bool]) -> bool:
    return "Condition" not in resource or conditions[resource["Condition"]]
