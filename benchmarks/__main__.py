"""Measures, prints, and writes the tables of `docs/performance.md`.

``python -m benchmarks`` runs everything; with names, such as ``sweep``, these alone, and leaves the
other tables as they are.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from benchmarks import capacity, cold_start, fleet, mass_expiry, refresh, signing, sweep
from benchmarks.report import (
    COEFFICIENTS,
    DOCUMENT,
    blocks,
    coefficient_rows,
    coefficients_of,
    coefficients_table,
    replaced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Findings

BENCHMARKS: Final[dict[str, Callable[[], Findings]]] = {
    "cold_start": cold_start.measure,
    "sweep": sweep.measure,
    "refresh": refresh.measure,
    "signing": signing.measure,
    "mass_expiry": mass_expiry.measure,
    "fleet": fleet.measure,
}


def machine(began: float, load: float, *, in_parts: bool) -> str:
    """Tell where and when it was measured, how long that took, and what else was at work."""
    minutes = (time.monotonic() - began) / 60
    taken = "in parts, the last" if in_parts else f"in {minutes:.1f} minutes"
    return (
        f"Measured {taken} on {datetime.now(UTC):%d %B %Y}: Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} processors, which had {load:.1f} others' work to "
        "do when it began.\n"
    )


def record(found: Findings) -> None:
    """Write the tables of a benchmark where they belong."""
    results = DOCUMENT.read_text("utf-8")
    new = found.blocks()
    if found.coefficients:
        table = coefficients_table(coefficient_rows(results), found.coefficients)
        new[COEFFICIENTS] = str(table)
    write(new)


def write(new: dict[str, str]) -> None:
    """Put tables into the document.

    Raises:
        RuntimeError: It has no place for one.
    """
    text = DOCUMENT.read_text("utf-8")
    if missing := new.keys() - blocks(text).keys():
        raise RuntimeError(f"{DOCUMENT} has no block for: {', '.join(sorted(missing))}")
    DOCUMENT.write_text(replaced(text, new), "utf-8")


def main() -> None:
    """Run, print and write.

    It ends with a status of 1 where a bound is not kept.
    """
    began, load, broken = time.monotonic(), os.getloadavg()[0], list[str]()
    for name in sys.argv[1:] or BENCHMARKS:
        found = BENCHMARKS[name]()
        print("\n".join(found.blocks().values()), flush=True)
        record(found)
        broken += [bound.promise for bound in found.bounds if not bound.holds]
    known = coefficients_of(DOCUMENT.read_text("utf-8"))
    model = [
        capacity.load_table(known),
        capacity.signing_table(known),
        capacity.limits_table(known),
    ]
    print("\n".join(map(str, model)))
    told = machine(began, load, in_parts=bool(sys.argv[1:]))
    write({table.name: str(table) for table in model} | {"machine": told})
    if broken:
        sys.exit(f"Not kept: {'; '.join(broken)}")


if __name__ == "__main__":
    main()
