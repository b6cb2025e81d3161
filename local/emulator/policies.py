"""What policies know of a call, where ministack tells them less than AWS: it is set right here."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions as ministack
from ministack.core import iam_evaluator
from ministack.services import iam
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Callable

_ministack_tells: Callable[..., dict[str, Any]] = ministack.request_tag_context
_ministack_names: Callable[..., str] = ministack.extract_resource_arn
_ministack_asks: Callable[..., str | None] = ministack.extract_iam_action
_ministack_simulates: Callable[..., Any] = iam._simulate_principal_policy  # noqa: SLF001
_ministack_evaluates: Callable[..., Any] = iam_evaluator.evaluate

# What a simulation says of the call, by the condition keys' names in small letters.
_simulated: ContextVar[dict[str, Any]] = ContextVar("simulated", default={})  # noqa: B039

# What is authorised where it is answered: one call needs several permissions, or its resource
# follows from what is stored.
AUTHORISED_THERE = ("kms:", "sts:GetWebIdentityToken")


def install() -> None:
    """Tell policies what is put, replicated and simulated, and which ECS service is updated."""
    ministack.request_tag_context = _told
    ministack.extract_resource_arn = _named
    ministack.extract_iam_action = _asked_here
    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = _simulate  # noqa: SLF001
    iam_evaluator.evaluate = _evaluate
    _honour_boundaries()


def _told(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
    """Tell the condition keys of a call; ministack has none for events and replicas."""
    context = _ministack_tells(service, iam_action, body, params)
    if iam_action == "secretsmanager:ReplicateSecretToRegions":
        regions = [each["Region"] for each in json.loads(body)["AddReplicaRegions"]]
        return {**context, "secretsmanager:AddReplicaRegions": regions}
    if iam_action != "events:PutEvents":
        return context
    entries = json.loads(body)["Entries"]
    return {
        **context,
        "events:source": [each.get("Source", "") for each in entries],
        "events:detail-type": [each.get("DetailType", "") for each in entries],
    }


def _named(service: str, method: str, path: str, headers: dict[str, str], *rest: Any) -> str:  # noqa: ANN401
    """Name the resource of a call; ministack takes a service's cluster for it."""
    if service == "ecs" and headers.get("x-amz-target", "").endswith(".UpdateService"):
        body, _, region, account = rest
        asked = json.loads(body)
        name = f"{asked.get('cluster', 'default')}/{asked['service']}"
        return f"arn:aws:ecs:{region}:{account}:service/{name}"
    return _ministack_names(service, method, path, headers, *rest)


def _asked_here(*call: Any) -> str | None:  # noqa: ANN401
    """Name the permission that is asked for before a call is answered, None if there is none."""
    action = _ministack_asks(*call)
    return None if action and action.startswith(AUTHORISED_THERE) else action


def _simulate(params: dict[str, Any]) -> Any:  # noqa: ANN401
    """Simulate with the context that the request brings; ministack passes over it."""
    told: dict[str, Any] = {}
    while name := _given(params, f"ContextEntries.member.{len(told) + 1}.ContextKeyName"):
        entry = f"ContextEntries.member.{len(told) + 1}"
        values: list[str] = []
        while value := _given(params, f"{entry}.ContextKeyValues.member.{len(values) + 1}"):
            values.append(value)
        is_list = _given(params, f"{entry}.ContextKeyType").endswith("List")
        told[name.lower()] = values if is_list else values[0]
    before = _simulated.set(told)
    try:
        return _ministack_simulates(params)
    finally:
        _simulated.reset(before)


def _given(params: dict[str, Any], name: str) -> str:
    """Read a parameter of a query, which comes as a list of one."""
    [value] = params.get(name, [""])
    return str(value)


def _evaluate(context: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
    context.service_context.update(_simulated.get())
    return _ministack_evaluates(context, *rest, **more)


def _honour_boundaries() -> None:
    """Keep the permissions boundary of a role in a template, which ministack drops."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]  # noqa: SLF001
    ministack_creates, ministack_updates = handlers["create"], handlers["update"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:  # noqa: ANN401
        created = ministack_creates(logical_id, properties, stack_name)
        _bound(created[0], properties)
        return created

    def update(name: str, old: dict[str, Any], new: dict[str, Any], *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        updated = ministack_updates(name, old, new, *rest, **more)
        _bound(updated[0] if isinstance(updated, tuple) else name, new)
        return updated

    handlers.update(create=create, update=update)


def _bound(role: str, properties: dict[str, Any]) -> None:
    iam._roles[role]["PermissionsBoundary"] = properties.get("PermissionsBoundary")  # noqa: SLF001
