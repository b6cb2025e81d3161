"""The virtual time of a sweep: sixteen workers on one thread, each with a time line of its own.

The sweep runs with one worker, so that nothing depends on the machine, and takes the
accounts in its own order, soonest expiry first. Each account is put on the time line that
is free first, as a pool of workers would. What all workers share, the pace of writes and
the processor, is booked in slots.
"""

from __future__ import annotations

import heapq
import inspect
import math
from datetime import UTC, datetime, timedelta
from typing import Final

from token_refresher.aws.secret_store import Pace

# The first second of every simulation; a tick falls on it.
START: Final = datetime(2026, 1, 1, tzinfo=UTC)

# What the program itself sets as its pace; a Region allows 50.
WRITES_PER_SECOND: Final[float] = inspect.signature(Pace).parameters["per_second"].default


def moment(seconds: float) -> datetime:
    """Tell the moment that lies so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def seconds_of(at: datetime) -> float:
    """Tell how many seconds after the start a moment lies."""
    return (at - START).total_seconds()


class Slots:
    """Something that is used by one worker at a time, each time for as long.

    Args:
        seconds: How long a use takes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._following: dict[int, int] = {}

    def clear(self) -> None:
        """Forget what is booked: a sweep has ended before the next begins."""
        self._following.clear()

    def book(self, seconds: float) -> float:
        """Book the first use that is free at this second or later, and tell when it begins."""
        # Less than a nanosecond late is on time: a slot's own second must lead back to it.
        slot = math.ceil(seconds / self._seconds - 1e-9)
        passed = []
        while slot in self._following:
            passed.append(slot)
            slot = self._following[slot]
        # Whoever comes here again goes straight to what is free now.
        for each in (*passed, slot):
            self._following[each] = slot + 1
        return max(seconds, slot * self._seconds)


class Timelines:
    """The clock of everything that is simulated.

    Args:
        workers: How many accounts are refreshed at once.
        refresh_seconds: What one refresh takes of the processor, which the workers share.

    Attributes:
        now: Seconds since the start, on the time line of whoever is at work.
    """

    def __init__(self, *, workers: int, refresh_seconds: float) -> None:
        self.now = 0.0
        self._workers = workers
        self._writes = Slots(1 / WRITES_PER_SECOND)
        self._processor = Slots(refresh_seconds)
        self._refresh_seconds = refresh_seconds
        self._free: list[float] = []
        self._ends_at = 0.0
        self._latest = 0.0

    def clock(self) -> datetime:
        """Tell the time, as the program asks for it."""
        return moment(self.now)

    def monotonic(self) -> float:
        """Tell seconds, as the program asks for them."""
        return self.now

    def pause(self, duration: timedelta) -> None:
        """Let the worker wait."""
        self.wait(duration.total_seconds())

    def wait(self, seconds: float) -> None:
        """Let time pass for the worker that is at work."""
        self.now += seconds
        self._latest = max(self._latest, self.now)

    def begin_sweep(self, at: float, *, invocation: timedelta) -> None:
        """Invoke the function; until it has listed the accounts, nothing runs beside it."""
        self.now = self._latest = at
        self._ends_at = at + invocation.total_seconds()
        self._free.clear()
        self._writes.clear()
        self._processor.clear()

    def start_workers(self) -> None:
        """End the listing: from here on each worker has a time line of its own."""
        self._free = [self.now] * (self._workers - 1)

    def begin_account(self) -> None:
        """Let the worker that is free first take the account that the sweep has come to."""
        self.now = heapq.heappushpop(self._free, self.now)

    def wait_for_write(self) -> None:
        """Wait for a write's turn, as `Pace` gives them."""
        self.wait(self._writes.book(self.now) - self.now)

    def wait_for_processor(self) -> None:
        """Wait for a refresh's share of the processor, and use it."""
        begins = self._processor.book(self.now)
        self.wait(begins + self._refresh_seconds - self.now)

    def time_left(self) -> timedelta:
        """Tell what is left of the invocation."""
        return timedelta(seconds=self._ends_at - self.now)

    @property
    def swept_until(self) -> float:
        """When the last worker was done."""
        return self._latest
