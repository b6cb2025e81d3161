"""A clock that moves when it is told to."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


class DrivenClock:
    """The time of a test or a demo: it stands still between two calls of ``advance``.

    Safe to share between threads: a server asks for the time while a test moves it.
    """

    def __init__(self, start: datetime = START) -> None:
        self._moment = _in_utc(start)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the moment, aware and in UTC."""
        with self._lock:
            return self._moment

    def advance(self, by: timedelta) -> datetime:
        """Move the clock, and return the new moment."""
        with self._lock:
            self._moment += by
            return self._moment

    def set(self, moment: datetime) -> None:
        """Put the clock to a moment, also an earlier one."""
        with self._lock:
            self._moment = _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("A moment must be aware.")
    return moment.astimezone(UTC)
