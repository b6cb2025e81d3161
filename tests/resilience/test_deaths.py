"""Real processes that die: SIGKILL on either side of every call, and then another process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.resilience.matrix_cases import DEATHS, deaths_at, play_strikes
from tests.resilience.matrix_processes import Processes, ProcessScene
from tests.resilience.matrix_rules import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.resilience.matrix import Flow
    from tests.resilience.matrix_wire import Wire

# For each call two processes start, and die.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def processes(wire: Wire) -> Iterator[Processes]:
    processes = Processes(wire)
    yield processes
    processes.end()


@pytest.mark.parametrize("flow", DEATHS, ids=str)
def test_a_process_may_die_on_either_side_of_any_call(
    wire: Wire, processes: Processes, flow: Flow
) -> None:
    deaths_before = processes.deaths
    make_scene = partial(ProcessScene, wire, processes)
    played = play_strikes(flow, make_scene, deaths_at, passed=set())

    assert "\n".join(map(str, played.violations)) == ""
    assert processes.deaths - deaths_before == 2 * len(played.points) > 0
    # Between the response's end and the store's acknowledgement the loss is unavoidable.
    expected = {"request: killed right after", "journal: killed right before"}
    lost = {str(case.strikes[0]) for case in played.unavoidable}
    assert lost == (expected if flow.is_refresh_only else set())


def test_a_process_that_dies_over_a_signature_has_leased_and_sent_nothing(
    wire: Wire, processes: Processes
) -> None:
    [flow] = [each for each in DEATHS if each.name == "refresh-only: refresh"]
    deaths_before = processes.deaths
    make_scene = partial(ProcessScene, wire, processes, signs=True)
    undisturbed = Case(flow, make_scene(), ()).play()
    others = {point for point in undisturbed.points if point.call != "sign"}
    played = play_strikes(flow, make_scene, deaths_at, passed=others)

    assert "\n".join(map(str, played.violations)) == ""
    assert processes.deaths - deaths_before == 2
    assert played.unavoidable == []
