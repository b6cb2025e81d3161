"""What longer outages cost, as a picture: SVG, without a library, readable by day and night.

It is drawn from the table in ``docs/simulation.md``, so that it can be drawn again without
simulating again: ``python -m tests.resilience.simulation.chart``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.resilience.simulation.tables import length_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

ROOT: Final = Path(__file__).parents[3]
DOCUMENT: Final = ROOT / "docs" / "simulation.md"
PICTURE: Final = ROOT / "docs" / "images" / "simulation.svg"
ACCOUNTS: Final = "1,000"

WIDTH: Final = 760
HEIGHT: Final = 460
LEFT: Final = 78
RIGHT: Final = 146
TOP: Final = 90
BOTTOM: Final = 62
# The axis begins a little before five minutes, and ends a little after a day.
SHORTEST_SECONDS: Final = 240
LONGEST_SECONDS: Final = 100_000
# Between two lines of the grid.
STEP: Final = 0.2
MARK: Final = 4.5
ACROSS: Final = "length of the outage (each doubling is as wide)"
DOWN: Final = "dead-token time, in percent of the outage"
TITLE: Final = "Dead-token time by the length of an outage, the mean of 1,000 accounts"


@dataclass(frozen=True, slots=True)
class Style:
    """How a curve is told from the others: by colour, by dashes, and by marks.

    The colours are those of Okabe and Ito, which people tell apart whose eyes confuse red and
    green; without colours the dashes and the marks remain.

    Attributes:
        light: Its colour on white.
        dark: Its colour on black.
        dashes: Of its line.
        mark: A path around its points, in halves of a mark's width.
    """

    light: str
    dark: str
    dashes: str
    mark: tuple[tuple[float, float], ...]


STYLES: Final = (
    Style("#d55e00", "#ff8a3d", "none", ((-1, -1), (1, -1), (1, 1), (-1, 1))),
    Style("#0072b2", "#56b4e9", "9 4", ((0, -1.3), (1.3, 1), (-1.3, 1))),
    Style("#009e73", "#2fd0a2", "2 4", ((0, -1.5), (1.5, 0), (0, 1.5), (-1.5, 0))),
    Style("#a8478a", "#e39ac6", "12 4 2 4", ((0, 1.3), (1.3, -1), (-1.3, -1))),
    Style("#24292f", "#f0e442", "5 3", ((-1.5, -0.5), (1.5, -0.5), (1.5, 0.5), (-1.5, 0.5))),
)
INK: Final = "#24292f"
# Colours are attributes, which every program that draws SVG knows; a dark page overrides them.
AT_NIGHT: Final = "\n".join(
    [
        "@media (prefers-color-scheme: dark) {",
        "  svg { color: #e6edf3; } .paper { fill: #0d1117; } .grid { stroke: #3d444d; }",
        *(f"  .curve-{index} {{ color: {each.dark}; }}" for index, each in enumerate(STYLES)),
        "}",
    ]
)


@dataclass(frozen=True, slots=True)
class Point:
    """What outages of one length cost.

    Attributes:
        lifetime: The tokens', as the table words it.
        bound: How long an outage costs them nothing, likewise.
        outage: How long it lasts, likewise.
        share: The mean dead time of an account, as a share of the outage.
    """

    lifetime: str
    bound: str
    outage: str
    share: float

    @property
    def length(self) -> timedelta:
        """How long the outage lasts."""
        return length_of(self.outage)


def points_of(document: str) -> list[Point]:
    """Read the table's rows of fleets of 1,000 accounts, in its order."""
    table = document.partition("\n### Outages\n")[2].partition("\n### ")[0]
    points = []
    for row in re.findall(rf"^\| {ACCOUNTS} \|(.+)\|$", table, re.MULTILINE):
        lifetime, outage, times, bound, _, dead, *_ = (cell.strip() for cell in row.split("|"))
        each = int(dead.replace(",", "")) / int(times) / int(ACCOUNTS.replace(",", ""))
        points.append(Point(lifetime, bound, outage, each / length_of(outage).total_seconds()))
    return points


def draw(points: Sequence[Point]) -> str:
    """Draw the mean dead time of an account, as a share of the outage, by its length.

    Args:
        points: A curve for each lifetime, in their order.
    """
    curves = [list(each) for _, each in groupby(points, key=lambda point: point.lifetime)]
    # Back-off outlasts an outage, so that more than all of it may be lost.
    top = math.ceil(max(1.0, *(point.share for point in points)) / STEP) * STEP
    bounds: dict[str, list[str]] = {}
    for curve in curves:
        bounds.setdefault(curve[0].bound, []).append(curve[0].lifetime)
    bounds.pop("0", None)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f'  color="{INK}" fill="currentColor" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{TITLE}</title>",
        f"<style>\n{AT_NIGHT}\n</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600">{TITLE}</text>',
        *_axes({point.length: point.outage for point in points}, top),
        *(
            line
            for index, (bound, names) in enumerate(bounds.items())
            for line in _bound(bound, names, "start" if index else "end")
        ),
        *(line for index, curve in enumerate(curves) for line in _curve(index, curve, top)),
        *_legend([curve[0].lifetime for curve in curves]),
    ]
    return "\n".join([*parts, "</svg>", ""])


def x(length: timedelta) -> float:
    """Place a length; each doubling is as wide."""
    passed = math.log(length.total_seconds() / SHORTEST_SECONDS)
    return LEFT + (WIDTH - LEFT - RIGHT) * passed / math.log(LONGEST_SECONDS / SHORTEST_SECONDS)


def y(share: float, top: float) -> float:
    """Place a share, none at the bottom and ``top`` at the top."""
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share / top


def _axes(lengths: dict[timedelta, str], top: float) -> list[str]:
    parts = []
    for step in range(round(top / STEP) + 1):
        at, kind = y(step * STEP, top), 'class="grid" stroke="#d0d7de"'
        if not step:
            kind = 'stroke="currentColor"'
        parts += [
            f'<line {kind} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>',
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{step * STEP:.0%}</text>',
        ]
    for length, words in lengths.items():
        parts.append(
            f'<text x="{x(length):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
            f"{words}</text>"
        )
    across, down = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    return [
        *parts,
        f'<text x="{across}" y="{HEIGHT - 16}" text-anchor="middle">{ACROSS}</text>',
        f'<text transform="translate(22 {down}) rotate(-90)" text-anchor="middle">{DOWN}</text>',
    ]


def _bound(bound: str, lifetimes: Sequence[str], anchor: str) -> list[str]:
    at = f"{x(length_of(bound)):.1f}"
    place = f'x1="{at}" x2="{at}" y1="{TOP - 44}" y2="{HEIGHT - BOTTOM}"'
    # Beside the line, on the side where no other label is.
    label = f'<text x="{at}" dx="{-6 if anchor == "end" else 6}" text-anchor="{anchor}"'
    names = lifetimes[0] if len(lifetimes) == 1 else f"{lifetimes[0]} and more"
    return [
        f'<line stroke="currentColor" stroke-dasharray="2 3" {place}/>',
        f'{label} y="{TOP - 32}">shorter than {bound}:</text>',
        f'{label} y="{TOP - 16}">no loss for tokens of {names}</text>',
    ]


def _curve(index: int, curve: Sequence[Point], top: float) -> list[str]:
    places = [(x(point.length), y(point.share, top)) for point in curve]
    return [*_begin(index), _line(index, places), *(_mark(index, *each) for each in places), "</g>"]


def _legend(lifetimes: Sequence[str]) -> list[str]:
    left, first = WIDTH - RIGHT + 22, TOP + 14
    parts = [f'<text x="{left}" y="{first}" font-weight="600">tokens live</text>']
    for index, lifetime in enumerate(lifetimes):
        at = first + 24 * (index + 1)
        sample = [(left, at - 4.5), (left + 44, at - 4.5)]
        parts += [
            *(*_begin(index), _line(index, sample), _mark(index, left + 22, at - 4.5), "</g>"),
            f'<text x="{left + 54}" y="{at}">{lifetime}</text>',
        ]
    return parts


def _begin(index: int) -> list[str]:
    return [f'<g class="curve-{index}" color="{STYLES[index].light}">']


def _line(index: int, places: Sequence[tuple[float, float]]) -> str:
    return (
        f'<path d="{_path(places)}" fill="none" stroke="currentColor" stroke-width="2.4" '
        f'stroke-dasharray="{STYLES[index].dashes}"/>'
    )


def _mark(index: int, across: float, down: float) -> str:
    corners = [(across + MARK * right, down + MARK * low) for right, low in STYLES[index].mark]
    return f'<path d="{_path(corners)} Z" fill="currentColor"/>'


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{across:.1f} {down:.1f}" for across, down in places)


def main() -> None:
    """Draw what the document says."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(points_of(DOCUMENT.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
