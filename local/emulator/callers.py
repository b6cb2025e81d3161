"""Who makes the call that is being answered, and what IAM lets them do: the only module that asks.

ministack asks once for each call, before the service sees it. That is too little where a call needs
several permissions, or where only what is stored tells which resource it is about.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ministack import app
from ministack.core.iam_actions import identity_denial_message
from ministack.core.iam_evaluator import AuthError, enforce
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id

from local.secrets_manager.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

_access_key_id: ContextVar[str] = ContextVar("_access_key_id", default="")


def remember(headers: dict[str, str], query_params: dict[str, list[str]]) -> None:
    """Note who makes the call that is being answered."""
    _access_key_id.set(extract_access_key_id(headers, query_params) or "")


def require(
    action: str,
    *,
    on: str,
    context: Mapping[str, Any],
    has_policy: bool = True,
    code: str = "AccessDeniedException",
) -> None:
    """Refuse a caller whom policies do not let do something; without enforcement anybody may.

    Args:
        action: Such as ``kms:Sign``.
        on: The ARN of the resource, or ``*`` where the action has none.
        context: The values of the condition keys that the request has.
        has_policy: Whether the resource's own policy counts, if it has one.
        code: What the service calls a denial.

    Raises:
        RefusalError: Not this caller.
    """
    if not app.AUTH:
        return
    denied = enforce(
        _access_key_id.get(),
        action,
        # The service tells ministack where to look for a resource's policy; IAM's have none.
        action.partition(":")[0] if has_policy else "iam",
        get_region(),
        resource_arn=on,
        service_context=dict(context),
    )
    if isinstance(denied, AuthError):
        raise RefusalError(denied.code, denied.message)
    if denied:
        is_explicit = denied.decision == "Deny"
        message = identity_denial_message(action, denied.principal_arn, on, is_explicit)
        raise RefusalError(code, message)
