"""What longer outages cost, as a picture: SVG, without a library, readable by day and night."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.tables import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from tests.resilience.simulation.tables import Row

WIDTH: Final = 760
HEIGHT: Final = 430
LEFT: Final = 64
RIGHT: Final = 130
TOP: Final = 54
BOTTOM: Final = 58
# The axis begins a little before five minutes, and ends a little after a day.
SHORTEST_SECONDS: Final = 240
LONGEST_SECONDS: Final = 100_000
# Between two lines of the grid.
STEP: Final = 0.2
# Told apart without green and red; dashes tell them apart without colours.
STROKES: Final = (
    ("a", ""),
    ("b", "7 4"),
    ("c", "2 3"),
    ("d", "9 3 2 3"),
    ("e", "14 4"),
)
TITLE: Final = "Dead-token time as a share of the outage, the mean of 1,000 accounts"
STYLE: Final = """\
  svg { --ink: #24292f; }
  .a { --ink: #b35900; } .b { --ink: #0969da; } .c { --ink: #8250df; }
  .d { --ink: #1b7c83; } .e { --ink: #bf3989; }
  .paper { fill: #ffffff; }
  .axis { stroke: #8c959f; } .grid { stroke: #d8dee4; }
  .bound { stroke: #57606a; stroke-dasharray: 3 3; }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  path { fill: none; stroke: var(--ink); stroke-width: 2.2; }
  circle { fill: var(--ink); }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; }
    .a { --ink: #f0883e; } .b { --ink: #58a6ff; } .c { --ink: #bc8cff; }
    .d { --ink: #39c5cf; } .e { --ink: #f778ba; }
    .paper { fill: #0d1117; }
    .axis { stroke: #8b949e; } .grid { stroke: #30363d; } .bound { stroke: #9da7b3; }
  }"""


def draw(rows: Iterable[Row]) -> str:
    """Draw the mean dead time of an account, as a share of the outage, by its length.

    Args:
        rows: Of fleets of one size; a curve for each lifetime.
    """
    curves: dict[timedelta, list[Row]] = defaultdict(list)
    for row in rows:
        if row.length:
            curves[row.fleet.lifetime].append(row)
    lengths = sorted({row.length for curve in curves.values() for row in curve})
    # Back-off outlasts an outage, so that more than all of it may be lost.
    top = max(1.0, *(_share(row) for curve in curves.values() for row in curve))
    top = math.ceil(top / STEP) * STEP
    bounds: dict[timedelta, list[str]] = defaultdict(list)
    for lifetime, curve in sorted(curves.items()):
        if curve[0].fleet.bound:
            bounds[curve[0].fleet.bound].append(duration(lifetime))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="16" y="24">{TITLE}</text>',
        *_axes(lengths, top),
        *(line for bound in sorted(bounds) for line in _bound(bound, bounds[bound])),
    ]
    beside, ends = WIDTH - RIGHT + 10, list[float]()
    for (name, dashes), (lifetime, curve) in zip(STROKES, sorted(curves.items()), strict=False):
        parts += _curve(name, dashes, curve, top)
        # Labels keep a line's distance from each other; the curves come from above.
        label_at = max([y(_share(curve[-1]), top) + 4, *(end + 16 for end in ends)])
        ends.append(label_at)
        lives = duration(lifetime)
        parts.append(f'<text class="{name}" x="{beside}" y="{label_at:.1f}">{lives}</text>')
    parts.append(f'<text x="{beside}" y="{TOP - 8}">tokens live</text>')
    return "\n".join([*parts, "</svg>", ""])


def x(length: timedelta) -> float:
    """Place a length; each doubling is as wide."""
    passed = math.log(length.total_seconds() / SHORTEST_SECONDS)
    return LEFT + (WIDTH - LEFT - RIGHT) * passed / math.log(LONGEST_SECONDS / SHORTEST_SECONDS)


def y(share: float, top: float) -> float:
    """Place a share, none at the bottom and ``top`` at the top."""
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / top


def _share(row: Row) -> float:
    return row.dead_seconds_each / row.length.total_seconds()


def _axes(lengths: Sequence[timedelta], top: float) -> list[str]:
    parts = []
    for step in range(round(top / STEP) + 1):
        at, kind = y(step * STEP, top), "grid" if step else "axis"
        parts += [
            f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>',
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{step * STEP:.0%}</text>',
        ]
    for length in lengths:
        parts.append(
            f'<text x="{x(length):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
            f"{duration(length)}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">length of the outage</text>'
    )
    return parts


def _bound(bound: timedelta, lifetimes: Sequence[str]) -> list[str]:
    at = f"{x(bound):.1f}"
    names = lifetimes[0] if len(lifetimes) == 1 else f"{lifetimes[0]} and more"
    return [
        f'<line class="bound" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text x="{at}" y="{TOP - 8}" text-anchor="middle">bound: {names}</text>',
    ]


def _curve(name: str, dashes: str, rows: Sequence[Row], top: float) -> list[str]:
    points = [(x(row.length), y(_share(row), top)) for row in rows]
    path = "M" + " L".join(f"{across:.1f} {down:.1f}" for across, down in points)
    stroke = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [
        f'<path class="{name}" d="{path}"{stroke}/>',
        *(
            f'<circle class="{name}" cx="{across:.1f}" cy="{down:.1f}" r="3.2"/>'
            for across, down in points
        ),
    ]
