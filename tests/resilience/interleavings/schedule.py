"""Virtual time, and threads that hand it to each other: one runs, all others stand still.

Whoever waits lets the earliest of what is due go on, be it another thread or an event. So the
same random numbers give the same interleaving on every machine, and nothing ever sleeps.
"""

from __future__ import annotations

import heapq
import threading
from itertools import count
from typing import TYPE_CHECKING, Final

from tests.unit.fakes import RunKilledError

if TYPE_CHECKING:
    from collections.abc import Callable

    Body = Callable[[], None]


class _Worker:
    """A thread that runs one body after the other, each when its turn comes."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.schedule: Schedule
        self.body: Body
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self.turn.acquire()
            schedule = self.schedule
            schedule.take(self)
            try:
                self.body()
            except RunKilledError:
                pass
            except BaseException as defect:  # noqa: BLE001 - raised where the play was begun
                schedule.defect = defect
            _IDLE.append(self)
            schedule.hand_over(None)


# A thread costs more to make than most runs take.
_IDLE: Final[list[_Worker]] = []


class Schedule:
    """What happens when.

    Attributes:
        now: Seconds since the start.
        defect: What no body may raise.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.defect: BaseException | None = None
        self._until = 0.0
        self._is_over = False
        self._events: list[tuple[float, int, Callable[[], _Worker | None]]] = []
        self._number = count()
        self._current: _Worker | None = None
        self._standing: set[_Worker] = set()
        self._played = threading.Lock()
        self._played.acquire()

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen then; it must not wait."""
        self._push(seconds, act)

    def start(self, body: Body, *, at: float) -> None:
        """Let a thread begin then."""

        def begin() -> _Worker:
            worker = _IDLE.pop() if _IDLE else _Worker()
            worker.schedule, worker.body = self, body
            return worker

        self._push(at, begin)

    def _push(self, seconds: float, act: Callable[[], _Worker | None]) -> None:
        heapq.heappush(self._events, (max(seconds, self.now), next(self._number), act))

    def wait(self, seconds: float) -> None:
        """Let time pass for this thread, and whatever happens meanwhile happen.

        Raises:
            RunKilledError: The play is over.
        """
        if self._is_over:
            raise RunKilledError
        at = self.now + seconds
        if at <= self._until and (not self._events or at < self._events[0][0]):
            self.now = at
            return
        me = self._current
        assert me is not None
        self._standing.add(me)
        self._push(at, lambda: me)
        self.hand_over(me)
        self._standing.discard(me)
        self._current = me
        if self._is_over:
            raise RunKilledError

    def take(self, worker: _Worker) -> None:
        """Know which thread runs."""
        self._current = worker

    def hand_over(self, me: _Worker | None) -> None:
        """Let things happen until it is somebody's turn; return when it is this thread's."""
        while not self._is_over and self._events and self._events[0][0] <= self._until:
            self.now, _, act = heapq.heappop(self._events)
            worker = act()
            if worker is None:
                continue
            if worker is not me:
                worker.turn.release()
                if me is not None:
                    me.turn.acquire()
            return
        self._played.release()
        if me is not None:
            me.turn.acquire()

    def play(self, until: float) -> None:
        """Let everything happen that is due until then; who stands still then is killed."""
        self._until = until
        self.hand_over(None)
        self._played.acquire()
        self.now = until
        self._is_over = True
        while self._standing:
            self._standing.pop().turn.release()
            self._played.acquire()
        if self.defect is not None:
            raise self.defect
