"""How text and tables fit a terminal of any width. Pure.

A word is never broken. One that is longer than the terminal, such as an account's name of 200
characters, has a line of its own and is left to the terminal, whose own breaks are not copied with
it.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations, zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What a cell holds that says nothing.
NOTHING: Final = frozenset({"", "-"})

_GAP: Final = 2
_INDENT: Final = "  "
# A column of sentences may become this narrow before it goes beneath the row.
_NARROWEST: Final = 16
# Of the terminal's width, at most; a name that is longer has a line of its own.
_SHARES_OF_NAMES: Final = (0.4, 0.3, 0.2)
# What rows look like is learnt from the most frequent kinds; a fleet may have 10,000.
_MOST_KINDS: Final = 200
# Before an option, or a variable that make takes.
_OPTION: Final = re.compile(r" (?=--[a-z]|[A-Z_]+=)")
_GOES_ON: Final = " \\"
_NO_BREAK: Final = "\u00a0"
# A number and its unit are one word.
_QUANTITY: Final = re.compile(r"([0-9]) (d|h|min|s)\b")
# A command that ends a sentence, to be pasted. "make" may begin a sentence as well.
COMMAND: Final = re.compile(
    r"(?<=:) (?=(?:token-refresher|aws|chmod|rm) |make [a-z-]+(?: [A-Z_]+=|$))", re.MULTILINE
)


def folded(text: str, width: int, *, indent: str = "") -> list[str]:
    """Break text between words, so that each line fits or is one word."""
    return [
        line.replace(_NO_BREAK, " ")
        for paragraph in _QUANTITY.sub(rf"\1{_NO_BREAK}\2", text).split("\n")
        for line in textwrap.wrap(
            paragraph,
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [""]
    ]


def told(text: str, width: int | None) -> list[str]:
    """Break sentences likewise, and a command at the end of one so that it can still be pasted."""
    lines = []
    for paragraph in text.split("\n"):
        if width is None or len(paragraph) <= width:
            lines.append(paragraph)
        else:
            said, *command = COMMAND.split(paragraph, maxsplit=1)
            lines += folded(said, width)
            lines += [line for each in command for line in _continued(each, width)]
    return lines


def _continued(command: str, width: int) -> list[str]:
    """Break a command that does not fit before its options, as a shell takes it."""
    lines = [""]
    for part in _OPTION.split(command):
        if lines[-1] and len(f"{lines[-1]} {part}{_GOES_ON}") > width:
            lines[-1] += _GOES_ON
            lines.append(f"   {part}")
        else:
            lines[-1] = f"{lines[-1]} {part}" if lines[-1] else part
    return lines


@dataclass(slots=True)
class Table:
    """Rows, each on one line where the terminal is wide enough.

    Where it is not, the columns that leave the fewest lines stay in the line, and what else is
    said of a row stands beneath it. A first cell that is far longer than others has its own line.

    Attributes:
        headings: Of the columns, the first of which names the row.
        prose: The columns, by their headings, whose cells may be broken between words.
        has_header: Whether the headings stand above their columns.
    """

    headings: tuple[str, ...]
    prose: frozenset[str] = frozenset()
    has_header: bool = True
    _rows: list[tuple[Text, ...]] = field(default_factory=list)

    def add_row(self, *cells: str | Text) -> None:
        """Add a row, with a cell for each heading."""
        self._rows.append(tuple(Text(cell) if isinstance(cell, str) else cell for cell in cells))

    def blocks(self, width: int | None) -> list[list[Text]]:
        """Lay it out: the lines of the header, if there is one, and then those of each row.

        Args:
            width: The terminal's; None is as wide as it takes.
        """
        widths = self._widths(width)
        blocks = [list(self._lines(row, widths, width)) for row in self._rows]
        if not self.has_header:
            return blocks
        header = tuple(Text(heading, style="bold") for heading in self.headings)
        return [list(_side_by_side(header, widths)), *blocks]

    def _lines(
        self, row: tuple[Text, ...], widths: dict[int, int], width: int | None
    ) -> Iterator[Text]:
        """Lay one row out."""
        beneath = [
            index
            for index, cell in enumerate(row)
            if index and cell.plain not in NOTHING and not self._has_room(index, cell, widths)
        ]
        if len(row[0]) > widths[0]:
            yield row[0]
            row = (Text(), *row[1:])
        beside = tuple(Text() if index in beneath else cell for index, cell in enumerate(row))
        yield from _side_by_side(beside, widths)
        if beneath and width is not None:
            said = "; ".join(self._with_heading(index, row[index].plain) for index in beneath)
            yield from map(Text, folded(said, width, indent=_INDENT))

    def _has_room(self, index: int, cell: Text, widths: dict[int, int]) -> bool:
        if index not in widths:
            return False
        is_short = len(cell) <= widths[index]
        return is_short or max(map(len, cell.plain.split())) <= widths[index]

    def _with_heading(self, index: int, cell: str) -> str:
        heading = self.headings[index]
        # A cell that begins as its heading does (expires, expired) speaks for itself.
        is_clear = not self.has_header or cell.startswith(heading[:6])
        return cell if is_clear else f"{heading} {cell}"

    def _widths(self, width: int | None) -> dict[int, int]:
        """Choose the columns that stand in the line, and how wide each is."""
        headings = [len(heading) * self.has_header for heading in self.headings]
        whole = [max([least, *map(len, cells)]) for least, cells in self._columns(headings)]
        if width is None or sum(whole) + _GAP * (len(whole) - 1) <= width:
            return dict(enumerate(whole))
        kinds = Counter(
            tuple(len(cell) * (cell.plain not in NOTHING) for cell in row) for row in self._rows
        ).most_common(_MOST_KINDS)
        # A few names that are far longer than the rest must not push everything out of the line.
        names = {
            max([headings[0], *(kind[0] for kind, _ in kinds if kind[0] <= width * share)])
            for share in _SHARES_OF_NAMES
        }
        bounds = {
            index: (self._least(index, most, width), most) for index, most in enumerate(whole)
        }
        columns = range(1, len(whole))
        found = [
            ((self._cost(kinds, widths, width), -len(widths), tuple(widths)), widths)
            for count in range(len(whole))
            for rest in combinations(columns, count)
            for name in (whole[0], *sorted(names))
            for order in (1, -1)
            if (
                widths := _shared(
                    {0: (name, name)} | {index: bounds[index] for index in rest}, width, order
                )
            )
        ]
        _, best = min(found, key=itemgetter(0), default=(None, {0: min(names)}))
        return best

    def _columns(self, headings: Sequence[int]) -> Iterator[tuple[int, list[Text]]]:
        for index, least in enumerate(headings):
            yield least, [row[index] for row in self._rows]

    def _least(self, index: int, whole: int, width: int) -> int:
        """Tell how narrow a column may become; a cell with a longer word has no room in it."""
        if self.headings[index] not in self.prose:
            return whole
        cells = [self.headings[index] * self.has_header, *(row[index].plain for row in self._rows)]
        words = {len(word) for cell in cells for word in cell.split()}
        longest = max((word for word in words if word <= width * _SHARES_OF_NAMES[0]), default=0)
        return max(longest, min(whole, _NARROWEST))

    def _cost(
        self, kinds: Sequence[tuple[tuple[int, ...], int]], widths: dict[int, int], width: int
    ) -> tuple[int, int]:
        """Estimate how many lines the rows would take, and how many cells are beneath."""
        all_lines, cells = 0, 0
        for kind, times in kinds:
            lines = max([1, *(math.ceil(kind[each] / widths[each]) for each in widths if each)])
            beneath = [
                len(self.headings[index]) + cell + 3
                for index, cell in enumerate(kind)
                if index not in widths and cell
            ]
            lines += (kind[0] > widths[0]) + math.ceil(sum(beneath) / width)
            all_lines += times * lines
            cells += times * len(beneath)
        return all_lines, cells


def _shared(bounds: dict[int, tuple[int, int]], width: int, order: int) -> dict[int, int]:
    """Share a line among columns, the first or the last served first; none if it is too short.

    Args:
        bounds: How wide each column is, at least and at most.
        width: Of the line.
        order: 1 or -1.
    """
    widths = {index: least for index, (least, _) in bounds.items()}
    spare = width - sum(widths.values()) - _GAP * (len(bounds) - 1)
    if spare < 0:
        return {}
    for index in list(bounds)[::order]:
        more = max(0, min(spare, bounds[index][1] - widths[index]))
        widths[index] += more
        spare -= more
    return widths


def _side_by_side(cells: Sequence[Text], widths: dict[int, int]) -> Iterator[Text]:
    """Put the cells of a row beside each other, each broken to its width."""
    columns = [
        [cells[index]]
        if len(cells[index]) <= width
        else [Text(line, style=cells[index].style) for line in folded(cells[index].plain, width)]
        for index, width in widths.items()
    ]
    for parts in zip_longest(*columns, fillvalue=Text()):
        line = Text()
        for part, width in zip(parts, widths.values(), strict=True):
            line.append_text(part)
            line.append(" " * (width - len(part) + _GAP))
        line.rstrip()
        if line:
            yield line
