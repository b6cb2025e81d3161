"""Simulates fleets over a year, prints what their consumers met, and draws it.

Run by ``make simulate``. The tables are put into ``docs/simulation.md``, between its
markers, and the picture beside it. The same program gives the same tables.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation import chart, scenarios
from tests.resilience.simulation.chart import DOCUMENT
from tests.resilience.simulation.fleet import Simulation
from tests.resilience.simulation.people import mishaps, tell
from tests.resilience.simulation.stories import lasting, live, neighbourhoods, weeks
from tests.resilience.simulation.tables import (
    label,
    lasting_table,
    load_table,
    neighbour_table,
    outage_table,
    rows_of,
    story_table,
    week_table,
)

if TYPE_CHECKING:
    from tests.resilience.simulation.fleet import Fleet, Record
    from tests.resilience.simulation.scenarios import Scenario

BEGIN: Final = "<!-- What follows is written by `make simulate`. -->"
END: Final = "<!-- Written by `make simulate` up to here. -->"


def simulate(fleet: Fleet) -> Record:
    """Simulate one fleet; a process of its own does."""
    return Simulation(fleet).run()


def main() -> int:
    """Simulate everything; tell whether every outage within its bound cost nothing."""
    started = time.monotonic()
    results: list[tuple[Scenario, list[Record]]] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # All are begun before any is waited for, so that no processor is idle.
        mishaps_told = pool.map(tell, mishaps())
        beside = [(each, pool.submit(live, each)) for each in neighbourhoods()]
        week = [(each, pool.submit(simulate, each.fleet)) for each in weeks()]
        long = [(each, pool.map(simulate, each.fleets)) for each in lasting()]
        planned = [*scenarios.small(), *scenarios.large()]
        begun = [[pool.submit(simulate, one) for one in each.fleets] for each in planned]
        told = list(mishaps_told)
        neighbours = [(each, future.result()) for each, future in beside]
        _progress(started, "neighbours")
        lived = [(each, future.result()) for each, future in week]
        _progress(started, "weeks of short tokens")
        lasted = [(each, list(records)) for each, records in long]
        _progress(started, "outages that last")
        for scenario, futures in zip(planned, begun, strict=True):
            results.append((scenario, [future.result() for future in futures]))
            _progress(started, label(scenario))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"processors' time: {used.ru_utime + used.ru_stime:.0f} s", file=sys.stderr)
    rows = [row for scenario, records in results for row in rows_of(scenario, records)]
    text = "\n".join(
        [
            *("### Outages", "", *outage_table(rows), ""),
            *("### Outages that last", "", *lasting_table(lasted), ""),
            *("### A week of short tokens", "", *week_table(lived), ""),
            *("### Neighbours", "", *neighbour_table(neighbours), ""),
            *("### Load", "", *load_table(results), ""),
            *("### What only a person can fix", "", *story_table(told)),
        ]
    )
    print(text)
    _write(text)
    broken = [
        *(outage_table([row])[-1] for row in rows if row.breaks_the_bound),
        *(load_table([each])[-1] for each in results if any(r.writes_too_much for r in each[1])),
        *(lasting_table([each])[-1] for each in lasted if each[0].is_broken_by(each[1])),
        *(week_table([each])[-1] for each in lived if each[0].is_broken_by(each[1])),
        *(neighbour_table([each])[-1] for each in neighbours if each[0].is_broken_by(each[1])),
    ]
    for line in broken:
        print(f"Promised, and not kept: {line}", file=sys.stderr)
    return 1 if broken else 0


def _progress(started: float, what: str) -> None:
    print(f"{time.monotonic() - started:4.0f} s: {what}", file=sys.stderr, flush=True)


def _write(text: str) -> None:
    """Put the tables into the document, and the picture beside it."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    chart.main()


if __name__ == "__main__":
    sys.exit(main())
