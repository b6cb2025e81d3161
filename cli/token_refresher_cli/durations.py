"""Times and durations, as people say them. Pure."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

_UNITS: Final = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("min", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
)


def say_duration(duration: timedelta) -> str:
    """Say the two largest units, rounded down: ``10 h 25 min``; a token never lives longer."""
    left = max(duration, timedelta(0))
    for (name, unit), (next_name, next_unit) in pairwise(_UNITS):
        if left >= unit:
            rest = left % unit // next_unit
            # With a minute or more to go, seconds are noise.
            is_worth_saying = rest and next_name != "s"
            return f"{left // unit} {name}" + (f" {rest} {next_name}" if is_worth_saying else "")
    return f"{left // timedelta(seconds=1)} s"


def say_when(at: datetime, *, now: datetime) -> str:
    """Say when something is, as seen from now: ``in 10 h 25 min`` or ``5 min ago``."""
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    if at < now:
        return f"{say_duration(now - at)} ago"
    return f"in {say_duration(at - now)}"
