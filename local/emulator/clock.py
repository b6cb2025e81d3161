"""Secrets Manager's clock: the machine's, and as much ahead as whoever started the emulator says.

A version must be a day old before it goes; a test does not wait for that.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def now() -> int:
    """Return epoch seconds."""
    ahead = Path(os.environ["STATE_DIR"], "seconds-ahead")
    return int(time.time()) + (int(ahead.read_text()) if ahead.exists() else 0)
