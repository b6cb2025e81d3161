"""Plays at random, and prints what came of it; or one play, call by call."""

from __future__ import annotations

import argparse
import sys

import tests.conftest  # noqa: F401 - names a Region, without which no client can be made
from tests.resilience.interleavings.plays import Play
from tests.resilience.interleavings.report import PLAYS, grace_lines, play_many, version_lines
from tests.resilience.interleavings.settings import drawn


def main() -> int:
    """Play; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.interleavings")
    parser.add_argument("--plays", type=int, default=PLAYS, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--seed", type=int, help="show the sequence of this one")
    asked = parser.parse_args()
    if asked.seed is not None:
        judgement = Play(drawn(asked.seed), logs=True).play()
        print("\n".join(judgement.log or []))
        return 1 if judgement.broken else 0
    total = play_many(asked.first, asked.first + asked.plays)
    for lines in (total.lines(), grace_lines(), version_lines()):
        print(*lines, "", sep="\n")
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
