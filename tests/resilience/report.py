"""Plays the whole matrix, prints what came of it, and puts that into docs/resilience.md.

The tests play the same cases.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.resilience.interleavings import report as interleavings
from tests.resilience.matrix import FLOWS, Fault, Point
from tests.resilience.matrix_cases import (
    DAYS,
    DEATHS,
    ON_THE_WIRE,
    deaths_at,
    play_days,
    play_flow,
    play_strikes,
    strikes_over_http,
)
from tests.resilience.matrix_memory import MemoryScene
from tests.resilience.matrix_processes import Processes, ProcessScene
from tests.resilience.matrix_rules import Invariant
from tests.resilience.matrix_wire import WireScene, wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.resilience.matrix_cases import Played
    from tests.resilience.matrix_rules import Case

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "resilience.md"
BEGIN: Final = "<!-- What follows is written by `make resilience`. -->"
END: Final = "<!-- Written by `make resilience` up to here. -->"
WIDTH: Final = 44
SHOWN: Final = 50


@dataclass
class Totals:
    """What is summed up over all parts, and what was said of it."""

    cases: int = 0
    broken: Counter[Invariant] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    missed: int = 0
    given_up: int = 0
    unavoidable: list[Case] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def say(self, line: str = "") -> None:
        """Print a line at once: some parts take a minute."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self.said.append(line)

    def take(self, played: Played) -> None:
        """Add a flow."""
        self.cases += played.cases
        self.broken.update(violation.invariant for violation in played.violations)
        self.violations += map(str, played.violations)
        self.missed += len(played.missed)
        self.given_up += played.given_up
        self.unavoidable += played.unavoidable


def main() -> int:
    """Play everything; 1 where a promise was broken."""
    totals = Totals()
    _part(
        "Doubles: every fault at every call, once and lasting; then at the calls it leads to",
        (play_flow(flow, MemoryScene) for flow in FLOWS),
        totals,
    )
    _part(
        "Doubles: every fault of a write or a token request, for a day",
        (play_days(flow, MemoryScene) for flow in FLOWS if flow.name in DAYS),
        totals,
    )
    _over_http(totals)
    _unavoidable(totals)
    _interleavings(totals)
    totals.say()
    for invariant in Invariant:
        totals.say(f"{invariant.name}  {invariant.value:<72} {totals.broken[invariant]:>5} broken")
    totals.say()
    for violation in totals.violations[:SHOWN]:
        totals.say(violation)
    if totals.missed:
        totals.say(f"{totals.missed} faults struck nothing")
    totals.say(f"{totals.cases} cases, {len(totals.violations)} violations")
    _write(totals.said)
    return 1 if totals.violations or totals.missed else 0


def _write(said: list[str]) -> None:
    """Put the report into the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    report = "\n".join(said).strip("\n")
    text = f"{before}{BEGIN}\n\n```text\n{report}\n```\n\n{END}{rest.partition(END)[2]}"
    DOCUMENT.write_text(text, encoding="utf-8")


def _over_http(totals: Totals) -> None:
    passed: set[Point] = set()
    with wire() as running:
        _part(
            "HTTP: the real handler, boto3 and urllib3; each call struck where it first occurs",
            (
                play_strikes(flow, partial(WireScene, running), strikes_over_http, passed=passed)
                for flow in ON_THE_WIRE
            ),
            totals,
        )
        processes = Processes(running)
        make_scene = partial(ProcessScene, running, processes)
        _part(
            "Processes: SIGKILL on both sides of every call, then another process",
            (play_strikes(flow, make_scene, deaths_at, passed=set()) for flow in DEATHS),
            totals,
        )
        processes.end()


def _part(title: str, played: Iterable[Played] | Iterator[Played], totals: Totals) -> None:
    names = " ".join(f"{invariant.name:>3}" for invariant in Invariant)
    totals.say(f"\n{title}\n{'flow':<{WIDTH}} calls  more cases  {names}")
    for each in played:
        totals.take(each)
        broken = Counter(violation.invariant for violation in each.violations)
        counts = " ".join(f"{broken[invariant]:>3}" for invariant in Invariant)
        numbers = f"{len(each.points):>5} {len(each.further):>5} {each.cases:>5}"
        totals.say(f"{each.flow.name:<{WIDTH}} {numbers}  {counts}")


def _interleavings(totals: Totals) -> None:
    """Let runs overlap, at random."""
    played = interleavings.play_many(0, interleavings.PLAYS)
    tables = (played.lines(), interleavings.grace_lines(), interleavings.version_lines())
    totals.say(
        "\nRuns that overlap, stand still, read stale and die: the protocol of refresh tokens"
    )
    for lines in tables:
        for line in lines:
            totals.say(line)
        totals.say()
    totals.cases += played.plays
    for kind, seeds in played.seeds.items():
        totals.violations += [f"interleavings, seed {seed}: {kind.value}" for seed in seeds]


def _unavoidable(totals: Totals) -> None:
    """Say what happens where the loss is unavoidable."""
    totals.say("\nThese losses are unavoidable: a refresh-only account whose server rotates")
    on_the_wire = [
        case
        for case in totals.unavoidable
        if any(strike.point.call == "request" and strike.fault.is_after for strike in case.strikes)
        and not any(strike.fault is Fault.KILLED_AFTER for strike in case.strikes)
    ]
    before_the_store = [case for case in totals.unavoidable if case not in on_the_wire]
    for name, cases in (
        ("the response lost on the wire", on_the_wire),
        ("the run ended before the store accepted it", before_the_store),
    ):
        late = max((case.reported_after for case in cases if case.reported_after), default="never")
        sent = max((case.sent for case in cases), default=0)
        requests = max((case.requests for case in cases), default=0)
        totals.say(
            f"{name:<{WIDTH}} {len(cases):>4} cases: reported after {late} at most; sent {sent} "
            f"times at most, {requests} of them in the day after; a new seed healed all"
        )
    totals.say(f"{'its two tries used up by a fault of a day':<{WIDTH}} {totals.given_up:>4} cases")
