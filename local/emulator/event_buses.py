"""What policies know of the events that a call puts: the only module that reaches in there.

AWS lets a policy look at an event's source and its detail-type; ministack tells its own nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions as ministack

if TYPE_CHECKING:
    from collections.abc import Callable

_ministack_tells: Callable[..., dict[str, Any]] = ministack.request_tag_context


def install() -> None:
    """Tell policies the sources and the detail-types of the events that a call puts."""
    ministack.request_tag_context = _told


def _told(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
    context = _ministack_tells(service, iam_action, body, params)
    if iam_action != "events:PutEvents":
        return context
    entries = json.loads(body)["Entries"]
    return {
        **context,
        "events:source": [each.get("Source", "") for each in entries],
        "events:detail-type": [each.get("DetailType", "") for each in entries],
    }
