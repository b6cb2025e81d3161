"""Time that passes only while every thread sleeps.

Hours of waiting take no longer than the work between the waits, and what the machine can do is not
in the figures. Threads are woken one at a time, in the order of their moments, so runs are alike:
only on a machine that keeps a thread waiting for milliseconds does time go on without it.
"""

from __future__ import annotations

import heapq
import threading
from datetime import UTC, datetime, timedelta
from typing import Final, Self

START: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
# Real seconds without a new sleeper, after which threads that were not seen yet will not come.
SETTLED_SECONDS: Final = 0.005
# And after which the one that was woken last has found nothing more to do.
IDLE_SECONDS: Final = 0.1


class VirtualTime:
    """A clock, and the sleep that moves it, as long as the ``with`` block.

    Args:
        workers: As soon as so many sleep, nobody else can be at work, and time goes on at once.
            With fewer it goes on when nothing has happened for a while.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._sleepers: list[tuple[float, int, threading.Event]] = []
        self._slept = 0
        self._is_one_at_work = False
        self._now = 0.0
        self._ended = False
        self._mover = threading.Thread(target=self._move_when_settled, daemon=True)

    def monotonic(self) -> float:
        """Tell the seconds since the start."""
        return self._now

    def now(self) -> datetime:
        """Tell the moment, aware."""
        return START + timedelta(seconds=self._now)

    def sleep(self, seconds: float) -> None:
        """Wait, as this time goes."""
        woken = threading.Event()
        with self._changed:
            self._slept += 1
            self._is_one_at_work = False
            heapq.heappush(self._sleepers, (self._now + seconds, self._slept, woken))
            if len(self._sleepers) >= self._workers:
                self._wake_next()
            else:
                self._changed.notify()
        woken.wait()

    def _wake_next(self) -> None:
        self._now, _, woken = heapq.heappop(self._sleepers)
        self._is_one_at_work = True
        woken.set()

    def _move_when_settled(self) -> None:
        with self._changed:
            while not self._ended:
                before = self._slept
                self._changed.wait(IDLE_SECONDS if self._is_one_at_work else SETTLED_SECONDS)
                if self._slept == before and self._sleepers:
                    self._wake_next()

    def __enter__(self) -> Self:
        """Let time pass."""
        self._mover.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._mover.join()
