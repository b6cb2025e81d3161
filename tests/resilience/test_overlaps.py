"""Real processes that sweep the same accounts at once, as without reserved concurrency."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
from typing_extensions import override

from tests.resilience.matrix import CLIENT_CREDENTIALS, PASSWORD, Boundary, Fault
from tests.resilience.matrix_processes import MortalRuntime
from tests.resilience.matrix_rules import VERSIONS_A_DAY
from tests.resilience.matrix_wire import Wire, WireScene
from tests.unit.fakes import UNTIL_DUE, RefreshMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.embedded_cloud import EmbeddedCloud

ROUNDS: Final = 4
MEETING_SECONDS: Final = 30
NUMBERS: Final = pytest.mark.parametrize("number", [2, 4])


class Crossing(Boundary):
    """A boundary where as many processes as there are can be made to meet at a call."""

    def __init__(self) -> None:
        super().__init__()
        self._call, self._number = "", 0
        self._here: set[str] = set()
        self._arrival = threading.Condition()

    def meet(self, call: str, number: int) -> None:
        """Hold this call, whoever makes it, until so many have arrived; no call for none."""
        self._call, self._number = call, number
        self._here.clear()

    @override
    def arrive(self, call: str, *, attempt_of: str = "") -> Fault | None:
        if call == self._call:
            with self._arrival:
                # Whoever is held for seconds calls once more, and is no other by that.
                self._here.add(attempt_of)
                self._arrival.notify_all()
                met = self._arrival.wait_for(self._are_all_here, MEETING_SECONDS)
            assert met, f"{len(self._here)} of {self._number} came to {call}"
        return super().arrive(call, attempt_of=attempt_of)

    def _are_all_here(self) -> bool:
        return len(self._here) >= self._number


@pytest.fixture(scope="module")
def crossing() -> Crossing:
    return Crossing()


@pytest.fixture(scope="module")
def crossed(
    embedded_cloud: EmbeddedCloud, authority: Authority, crossing: Crossing
) -> Iterator[Wire]:
    with Wire(embedded_cloud, authority, boundary=crossing).running() as wire:
        yield wire


class Fleet:
    """Functions that are invoked at the same moment."""

    def __init__(self, wire: Wire, runtimes: list[MortalRuntime]) -> None:
        self._wire = wire
        self._runtimes = runtimes

    def sweep(self, *scenes: WireScene, number: int | None = None) -> list[Counter[str]]:
        """Let so many of them sweep at once; by default all."""
        now = self._wire.clock.now()
        event = {"now": now.isoformat(), "event": {}}
        runtimes = self._runtimes[:number]
        with ThreadPoolExecutor(len(runtimes)) as pool:
            answers = list(pool.map(lambda each: each.invoke(event), runtimes))
        for scene in scenes:
            scene.look_again(now)
        assert {answer.kind for answer in answers} == {"response"}
        return [Counter(answer.content["outcomes"]) for answer in answers]


@pytest.fixture(scope="module")
def fleets(crossed: Wire) -> Iterator[dict[int, Fleet]]:
    """Two of them, and four; each is started once."""
    with ExitStack() as stack:
        runtimes = [stack.enter_context(MortalRuntime(crossed.environment())) for _ in range(4)]
        # Each has started before any is held until another comes.
        crossed.cloud.reset()
        for runtime in runtimes:
            runtime.invoke({"now": crossed.clock.now().isoformat(), "event": {}})
        yield {number: Fleet(crossed, runtimes[:number]) for number in (2, 4)}


def versions(scene: WireScene) -> Counter[str]:
    return Counter(each.path for each in scene.versions)


def times_sent(scene: WireScene) -> Counter[str]:
    return Counter(each.refresh_token for each in scene.sendings())


def accepted(scene: WireScene) -> bool:
    published = scene.published()
    return published is not None and scene.accepts(published[1]["access_token"])


@NUMBERS
@pytest.mark.parametrize("is_refresh_only", [False, True], ids=["password", "refresh-only"])
def test_of_runs_that_lease_at_the_same_moment_exactly_one_redeems(
    crossed: Wire,
    crossing: Crossing,
    fleets: dict[int, Fleet],
    number: int,
    *,
    is_refresh_only: bool,
) -> None:
    scene, fleet = WireScene(crossed), fleets[number]
    if is_refresh_only:
        scene.onboard_refresh_only()
    else:
        scene.onboard(PASSWORD)
    fleet.sweep(scene, number=1)
    for _ in range(ROUNDS):
        scene.pass_time(UNTIL_DUE)
        before = versions(scene)
        crossing.meet("lease", number)
        outcomes = fleet.sweep(scene)
        crossing.meet("", 1)

        total: Counter[str] = sum(outcomes, Counter())
        assert +total == Counter({"published": 1, "leased by another run": number - 1})
        assert versions(scene) - before == Counter({"credentials": 2, "tokens": 1})
        assert accepted(scene)
    assert set(times_sent(scene).values()) == {1}
    assert scene.families_revoked() == 0


@NUMBERS
def test_runs_that_publish_at_the_same_moment_leave_an_accepted_token(
    crossed: Wire, crossing: Crossing, fleets: dict[int, Fleet], number: int
) -> None:
    scene, fleet = WireScene(crossed), fleets[number]
    scene.onboard(CLIENT_CREDENTIALS)
    fleet.sweep(scene, number=1)
    for _ in range(ROUNDS):
        scene.pass_time(UNTIL_DUE)
        before = versions(scene)
        crossing.meet("publish", number)
        fleet.sweep(scene)
        crossing.meet("", 1)

        # A run may cost a request and a version; in a day of two refreshes that is nothing.
        assert (versions(scene) - before)["tokens"] == number
        assert accepted(scene)
        assert fleet.sweep(scene) == [Counter({"fresh": 1})] * number


def onboarded(wire: Wire) -> list[WireScene]:
    """Accounts of every kind, in one cloud."""
    # Making a scene empties the cloud, so all of them are made first.
    scenes = [WireScene(wire) for _ in range(8)]
    modes = (RefreshMode.ROTATES, *RefreshMode)
    for scene, mode in zip(scenes, modes, strict=False):
        scene.set_mode(mode)
        scene.onboard(PASSWORD)
    for scene in scenes[5:7]:
        scene.onboard_refresh_only()
    scenes[7].onboard(CLIENT_CREDENTIALS)
    return scenes


@NUMBERS
def test_runs_that_overlap_freely_spend_nothing_twice_and_keep_every_token_fresh(
    crossed: Wire, fleets: dict[int, Fleet], number: int
) -> None:
    scenes = onboarded(crossed)
    for _ in range(ROUNDS):
        told: list[Any] = fleets[number].sweep(*scenes)
        assert len(told) == number
        assert [accepted(scene) for scene in scenes] == [True] * len(scenes)
        crossed.clock.advance(UNTIL_DUE)

    # What a day and a half of the worst overlap has written is far from a day's budget.
    assert max(max(versions(scene).values()) for scene in scenes) <= ROUNDS * number
    assert ROUNDS * number < VERSIONS_A_DAY
    assert scenes[0].families_revoked() == 0
    rotating = [scene for scene in scenes if scene.mode is RefreshMode.ROTATES]
    for scene in rotating:
        assert set(times_sent(scene).values()) <= {1}
        assert set(scene.refresh_tokens_redeemed().values()) <= {1}
