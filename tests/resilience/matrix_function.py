"""The function as it is deployed, but for its clock: each event brings the moment along."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from token_refresher.handler import wired
from token_refresher.settings import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.handler import LambdaContext

_moments: list[datetime] = []
_handler = wired(settings_from_environment(), clock=lambda: _moments[-1])


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle ``event["event"]`` at the moment ``event["now"]``."""
    _moments.append(datetime.fromisoformat(event["now"]))
    return _handler(event["event"], context)
