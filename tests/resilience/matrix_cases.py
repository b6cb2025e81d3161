"""Which cases there are: every fault at every call that a flow is seen to make."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Final

from tests.resilience.matrix import FLOWS, TOKEN_CALLS, WRITES, Fault, Flow, Point, Strike
from tests.resilience.matrix_rules import WATCHED_COARSELY, Case
from tests.unit.fakes import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.resilience.matrix import Scene
    from tests.resilience.matrix_rules import Violation

# Played for a whole day under each fault of a write or a token request.
DAYS: Final = frozenset(
    {"refresh: server rotates", "refresh without a refresh token", "refresh-only: refresh"}
)
# Over HTTP a call is struck in the first flow that makes it: first where there is most to lose.
ON_THE_WIRE: Final = sorted(FLOWS, key=lambda flow: not flow.is_refresh_only)
# With processes that are killed.
DEATHS: Final = tuple(
    flow
    for flow in FLOWS
    if flow.name
    in {
        "first token, its secret is created",
        "refresh: server rotates",
        "unpublished response",
        "refresh-only: refresh",
    }
)
_OUTAGE: Final = Strike(Point("request"), Fault.SERVER_ERROR, is_lasting=True)
# How far clocks differ, where a run is also lost on either side of a call.
_AHEAD: Final = (-4 * MINUTE, 4 * MINUTE)
_AT_ODDS: Final = (Fault.LOST, Fault.FROZEN_21M, Fault.KILLED_BEFORE, Fault.KILLED_AFTER)


@dataclass(slots=True)
class Played:
    """A flow under all of its faults, as far as the report and the tests need it.

    Attributes:
        points: The calls that it makes undisturbed.
        further: The calls that it makes only because of a fault.
        cases: How many were played.
        unavoidable: Those in which the only refresh token's response was lost.
        missed: Faults that struck nothing, so that nothing was tried.
    """

    flow: Flow
    points: list[Point] = field(default_factory=list)
    further: set[Point] = field(default_factory=set)
    cases: int = 0
    violations: list[Violation] = field(default_factory=list)
    unavoidable: list[Case] = field(default_factory=list)
    missed: list[Strike] = field(default_factory=list)

    def take(self, case: Case) -> None:
        """Count a case."""
        self.cases += 1
        self.missed += [strike for strike in case.strikes if not case.was_struck_by(strike)]
        self.violations += case.violations
        if case.is_unavoidable:
            self.unavoidable.append(case)


def strikes_at(point: Point) -> Iterator[Strike]:
    """Every fault at one call: once, and for the rest of the sweep where the run goes on."""
    for fault in Fault:
        if fault.applies_to(point.call):
            yield Strike(point, fault)
            if not (fault.kills or fault.freezes):
                yield Strike(point, fault, is_lasting=True)


def strikes_over_http(point: Point) -> Iterator[Strike]:
    """What can be done to a call from outside of the process, without killing it.

    A token request that times out for real takes ten seconds: that is left to the doubles.
    """
    for fault in Fault:
        is_slow = point.call in TOKEN_CALLS and fault in {Fault.TIMEOUT, Fault.TIMEOUT_AFTER}
        is_inside = fault.kills or fault.passes or fault is Fault.DEFECT
        if fault.applies_to(point.call) and not is_slow and not is_inside:
            yield Strike(point, fault)


def deaths_at(point: Point) -> Iterator[Strike]:
    """The two sides of a call on which a process can die."""
    yield Strike(point, Fault.KILLED_BEFORE)
    yield Strike(point, Fault.KILLED_AFTER)


def play_flow(flow: Flow, make_scene: Callable[[], Scene]) -> Played:
    """Play a flow undisturbed to find its calls, then with every fault at each of them.

    A fault leads to calls of its own: a failure is recorded, a lease is read. There the faults
    take turns, so that each call meets each of them after one first fault or another. With a
    clock that differs, a few of the faults strike again.
    """
    undisturbed = Case(flow, make_scene(), ()).play()
    played = Played(flow, undisturbed.points)
    played.take(undisturbed)
    turns = cycle(Fault)
    # Where minutes count, one fault is enough, and a clock must be right.
    has_time = undisturbed.scene.until_due >= HOUR
    for point in played.points:
        for strike in strikes_at(point):
            case = Case(flow, make_scene(), (strike,)).play()
            played.take(case)
            for further in _first_of_each(case.points if has_time else (), beyond=played.points):
                played.further.add(further)
                # Who stands still twice stands still for longer; of many old reads in one sweep
                # the interleavings tell.
                fault = next(
                    fault
                    for fault in turns
                    if fault.applies_to(further.call)
                    and not (fault.freezes and strike.fault.freezes)
                    and not fault is strike.fault is Fault.STALE
                )
                strikes = (strike, Strike(further, fault))
                played.take(Case(flow, make_scene(), strikes).play())
        for ahead in _AHEAD if has_time else ():
            for fault in _AT_ODDS:
                if fault.applies_to(point.call):
                    strike = Strike(point, fault)
                    played.take(Case(flow, make_scene(), (strike,), ahead).play())
    return played


def play_strikes(
    flow: Flow,
    make_scene: Callable[[], Scene],
    strikes_at: Callable[[Point], Iterable[Strike]],
    *,
    passed: set[Point],
) -> Played:
    """Play a flow undisturbed, then with some faults at each call that no other flow has met.

    Args:
        flow: What is played.
        make_scene: Sets the stage again.
        strikes_at: Which faults.
        passed: The calls of the flows before; this one's are added.
    """
    played = _undisturbed(flow, make_scene)
    for point in sorted(set(played.points) - passed):
        passed.add(point)
        for strike in strikes_at(point):
            case = Case(flow, make_scene(), (strike,))
            played.take(case.play(watched=WATCHED_COARSELY))
    return played


def play_days(flow: Flow, make_scene: Callable[[], Scene]) -> Played:
    """Play a flow with each fault for a whole day: what is written then must have an end, too."""
    played = _undisturbed(flow, make_scene)
    calls = {point.call for point in played.points} & (WRITES | {"request"})
    for call in sorted(calls | {"tag"}):
        # Only what fails is recorded.
        first = (_OUTAGE,) if call == "tag" else ()
        for fault in Fault:
            if fault.applies_to(call) and not (fault.kills or fault.freezes):
                strikes = (*first, Strike(Point(call), fault, is_lasting=True))
                played.take(Case(flow, make_scene(), strikes).play_day())
    return played


def play_busy_days(flow: Flow, make_scene: Callable[[], Scene]) -> Played:
    """Play days in which people do not let go: with a fault, and without."""
    played = _undisturbed(flow, make_scene)
    for fault in (None, Fault.SERVER_ERROR, Fault.LOST, Fault.DENIED, Fault.UNUSABLE):
        strikes = (Strike(Point("request"), fault, is_lasting=True),) if fault else ()
        for every in (5 * MINUTE, 10 * MINUTE):
            played.take(Case(flow, make_scene(), strikes).play_day(put_every=every))
        played.take(Case(flow, make_scene(), strikes).play_day(force=True))
    return played


def _undisturbed(flow: Flow, make_scene: Callable[[], Scene]) -> Played:
    case = Case(flow, make_scene(), ()).play()
    played = Played(flow, case.points)
    played.take(case)
    return played


def _first_of_each(points: Iterable[Point], *, beyond: list[Point]) -> Iterator[Point]:
    """The calls that are not among others; of one that is repeated and repeated, the first."""
    seen = set()
    for point in points:
        if point not in beyond and point.call not in seen:
            seen.add(point.call)
            yield point
