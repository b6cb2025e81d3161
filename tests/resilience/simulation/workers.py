"""Workers that are threads, as the program's own are, in virtual time.

`Timelines` lets one thread play sixteen workers, each account after the other. That is quick, but
what a sweep learns of a host it learns too early. Here the sweep's own pool of threads runs: all
wait but one, and the next is whoever waits for the earliest time, so that two runs are alike.
"""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tests.resilience.simulation.timelines import Timelines
from token_refresher.refresh import TIME_TO_BEGIN, Refresher
from token_refresher.sweep import _CLOSING_TIME, _is_to_be_read

if TYPE_CHECKING:
    from datetime import timedelta

    from token_refresher.model import Account
    from token_refresher.outcomes import Asked, Result
    from token_refresher.policy import Decision

# Of real time. Nobody works for so long; one that comes never has been miscounted.
PATIENCE_SECONDS: Final = 60


class WorkerThreads(Timelines):
    """The clock of everything that is simulated, and whose turn it is.

    Args:
        workers: How many accounts are refreshed at once.
        refresh_seconds: What one refresh takes of the processor, which the workers share.
    """

    def __init__(self, *, workers: int, refresh_seconds: float) -> None:
        super().__init__(workers=workers, refresh_seconds=refresh_seconds)
        self._threads = workers
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, str, threading.Event]] = []
        self._to_begin = 0
        self._at_work = 0
        self._own = threading.local()

    @property
    def _account(self) -> str:
        """The account that this thread is at; empty outside of a refresh."""
        account: str = getattr(self._own, "account", "")
        return account

    @override
    def start_workers(self) -> None:
        """The program's sweep does."""

    @override
    def begin_account(self) -> None:
        """The program's pool gives it to a thread."""

    def decided(self, *, is_to_begin: bool) -> None:
        """Expect a refresh, which the sweep has just decided on."""
        if not self._account:
            self._to_begin += is_to_begin

    def begin(self, account: str) -> None:
        """Begin a refresh, when it is this thread's turn."""
        self._own.account = account
        with self._lock:
            self._to_begin -= 1
            self._at_work += 1
            turn = self._queue(0)
        self._wait_for(turn)

    def end(self) -> None:
        """End a refresh."""
        self._own.account = ""
        with self._lock:
            self._at_work -= 1
            self._give_turn()

    @override
    def wait(self, seconds: float) -> None:
        if not self._account:
            super().wait(seconds)
            return
        with self._lock:
            turn = self._queue(seconds)
        self._wait_for(turn)

    def _queue(self, seconds: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._waiting, (self.now + seconds, self._account, turn))
        self._give_turn()
        return turn

    def _give_turn(self) -> None:
        """Let time pass until somebody's wait ends, unless a thread is on its way."""
        is_full = self._at_work == self._threads or not self._to_begin
        if is_full and self._waiting and len(self._waiting) == self._at_work:
            self.now, _, turn = heapq.heappop(self._waiting)
            self._latest = max(self._latest, self.now)
            turn.set()

    def _wait_for(self, turn: threading.Event) -> None:
        if not turn.wait(PATIENCE_SECONDS):
            raise RuntimeError("the workers wait for one that does not come")

    @override
    def time_left(self) -> timedelta:
        left = super().time_left()
        if not self._account and left < TIME_TO_BEGIN + _CLOSING_TIME:
            # The sweep leaves this account for the next one.
            with self._lock:
                self._to_begin -= 1
                self._give_turn()
        return left


class WatchedRefresher(Refresher, frozen=True, kw_only=True):
    """The program's, which tells the time what each thread is at.

    Attributes:
        time: The workers'.
    """

    time: WorkerThreads

    @override
    def decide(
        self, account: Account, asked: Asked, *, has_primary_grant: bool = False
    ) -> Decision:
        decision = Refresher.decide(self, account, asked, has_primary_grant=has_primary_grant)
        self.time.decided(is_to_begin=decision.due or _is_to_be_read(account))
        return decision

    @override
    def refresh(self, account: Account, asked: Asked) -> Result:
        self.time.begin(account.name)
        try:
            return Refresher.refresh(self, account, asked)
        finally:
            self.time.end()


def watched(refresher: Refresher, time: Timelines) -> Refresher:
    """Let the time know what a refresher's threads are at, where it wants to."""
    if not isinstance(time, WorkerThreads):
        return refresher
    fields = {each: getattr(refresher, each) for each in Refresher.__struct_fields__}
    return WatchedRefresher(**fields, time=time)
