"""Feeds every parser of the program spoiled inputs for a given time; prints what became of them.

Each number begins another sequence of inputs; without one the day's is taken, so that every day
tries something else and a finding can be tried again.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from itertools import islice

from tests.fuzz.parsers import PARSERS, Parser, Tally, feed, inputs

# Between two looks at the time.
BATCH = 200


def run(parser: Parser, *, seconds: float, seed: int) -> tuple[Tally, float]:
    """Feed one parser for so many seconds; return the longest that one batch took, too."""
    tally, longest = Tally(), 0.0
    stream = inputs(parser, seed=seed)
    ends_at = time.monotonic() + seconds
    while (began := time.monotonic()) < ends_at:
        for data in islice(stream, BATCH):
            feed(parser, data, tally)
        longest = max(longest, time.monotonic() - began)
    return tally, longest


def main() -> int:
    """Print a row for each parser; 1 where anything was found."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seconds", type=float, default=60, help="in all")
    options.add_argument("--seed", type=int, default=int(f"{datetime.now(UTC):%Y%m%d}"))
    asked = options.parse_args()
    print(f"Seed {asked.seed}, {asked.seconds:g} s, Python {sys.version.split()[0]}")
    print()
    print("| parser | inputs | outcomes | crashes | secrets told | ms an input, worst batch |")
    print("|---|---|---|---|---|---|")
    found: list[tuple[str, bytes]] = []
    total = 0
    for parser in PARSERS:
        tally, longest = run(parser, seconds=asked.seconds / len(PARSERS), seed=asked.seed)
        total += tally.inputs
        found += [(parser.name, data) for data in (*tally.crashes, *tally.leaks)]
        cells = (
            parser.name, f"{tally.inputs:,}", len(tally.outcomes), len(tally.crashes),
            len(tally.leaks), f"{1000 * longest / BATCH:.2f}",
        )  # fmt: skip
        print("|", " | ".join(map(str, cells)), "|")
    print()
    print(f"{total:,} inputs, {len(found)} findings")
    for name, data in found[:20]:
        print(f"{name}: {data!r}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
