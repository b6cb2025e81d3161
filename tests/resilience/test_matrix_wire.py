"""Every fault at every call that the real client makes, over HTTP."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.resilience.matrix import FLOWS, Flow, Point
from tests.resilience.matrix_cases import ON_THE_WIRE, play_strikes, strikes_over_http
from tests.resilience.matrix_memory import MemoryScene
from tests.resilience.matrix_rules import Case
from tests.resilience.matrix_wire import Wire, WireScene

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first flow is struck at every call that the others make as well.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def passed() -> set[Point]:
    """The calls that were struck already, in another flow."""
    return set()


def calls(points: Iterable[Point]) -> list[str]:
    """The calls in their order; the listing's two are one for the doubles.

    That a connection is opened is seen by nobody who is called.
    """
    named = ("list" if "list" in str(each) else str(each) for each in points)
    return list(dict.fromkeys(each for each in named if "connect" not in each))


@pytest.mark.parametrize("flow", ON_THE_WIRE, ids=str)
def test_every_fault_at_every_real_call_leaves_all_promises_kept(
    wire: Wire, passed: set[Point], flow: Flow
) -> None:
    played = play_strikes(flow, partial(WireScene, wire), strikes_over_http, passed=passed)

    assert "\n".join(map(str, played.violations)) == ""
    assert played.missed == []
    assert flow.is_refresh_only or played.unavoidable == []


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_the_doubles_are_called_as_the_real_ones_are(wire: Wire, flow: Flow) -> None:
    real = Case(flow, WireScene(wire), ()).play()
    doubles = Case(flow, MemoryScene(), ()).play()

    assert real.violations == []
    assert calls(real.points) == calls(doubles.points)


@pytest.mark.parametrize("name", ["refresh: server rotates", "refresh-only: refresh"])
def test_every_fault_at_kms_leaves_all_promises_kept(wire: Wire, name: str) -> None:
    [flow] = [each for each in FLOWS if each.name == name]
    undisturbed = Case(flow, WireScene(wire, signs=True), ()).play()
    assert undisturbed.violations == []
    called = calls(undisturbed.points)
    assert called[called.index("sign") :][:3] == ["sign", "lease", "request"]
    others = {point for point in undisturbed.points if point.call != "sign"}
    make_scene = partial(WireScene, wire, signs=True)
    played = play_strikes(flow, make_scene, strikes_over_http, passed=others)

    assert "\n".join(map(str, played.violations)) == ""
    assert played.missed == []
    assert played.unavoidable == []
    assert played.cases > 5
