"""The clocks of the emulator: Secrets Manager's, and those of CloudWatch, Lambda and schedules.

Secrets Manager's is the machine's, and as much ahead as whoever started the emulator says: a
version must be a day old before it goes, and a test does not wait for that. The others' is the
machine's too, unless it is driven: then time passes by `pass_by` alone, however slow the machine.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


class _Driven:
    """Stands where the machine's clock stood when time last passed."""

    def __init__(self) -> None:
        self.at = int(time.time())
        self.passed = 0


_driven = _Driven() if os.environ.get("DRIVES_TIME") == "true" else None


def now() -> int:
    """Return epoch seconds of Secrets Manager."""
    ahead = Path(os.environ["STATE_DIR"], "seconds-ahead")
    return int(time.time()) + (int(ahead.read_text()) if ahead.exists() else 0)


def is_driven() -> bool:
    """Whether time passes by `pass_by` alone."""
    return _driven is not None


def moment() -> float:
    """Return epoch seconds of CloudWatch."""
    return _driven.at if _driven else time.time()


def elapsed() -> float:
    """Return seconds whose differences are how long something took."""
    return _driven.passed if _driven else time.monotonic()


def pass_by(seconds: int) -> int:
    """Let driven time pass.

    Its clock never runs ahead of the machine's, by which programs ask for what has just been. What
    is recorded gets older instead.

    Returns:
        By how many seconds.
    """
    assert _driven is not None, "the time is the machine's"  # noqa: S101
    before, _driven.at = _driven.at, int(time.time())
    _driven.passed += seconds
    return seconds - (_driven.at - before)
