"""The blocks of a document: facts from the code, and what people wrote beside them.

A block stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Most are tables, whose
first columns are facts. The last ones may be words, such as what to do about an error: they are
written in the document itself, and found again by the first cell of their row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(?P<end><!-- end -->\n)",
    re.DOTALL,
)
_NAMES: Final = re.compile(r"`[^`]+`(?:, `[^`]+`)*")


class DocumentError(Exception):
    """A document needs a person: words that nobody has written, or that belong to nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of facts, with room for words.

    Attributes:
        head: The columns' names, those of words included.
        facts: The first cells of each row. The first one names the row.
    """

    head: tuple[str, ...]
    facts: Sequence[tuple[str, ...]]

    def render(self, before: str) -> str:
        """Write the table, and take the words from what stood there before.

        Rows with equal words and facts become one, under all their names.

        Raises:
            DocumentError: Words are missing, or would be lost.
        """
        rows = [(names(row[0]), row[1:]) for row in self.facts]
        if len(self.head) > len(self.facts[0]):
            rows = merged(self._with_words(rows, before))
        lines = [(", ".join(found), *cells) for found, cells in rows]
        ruler = "---|" * len(self.head)
        return "\n".join([_line(self.head), f"|{ruler}", *map(_line, lines), ""])

    def _with_words(self, rows: Sequence[Row], before: str) -> list[Row]:
        width = len(self.head) - 1 - len(rows[0][1])
        words = {name: cells[-width:] for found, cells in read(before) for name in found}
        known = [name for found, _ in rows for name in found]
        missing = [name for name in known if not any(words.get(name, ()))]
        if missing or words.keys() - set(known):
            wanted = ", ".join(self.head[-width:])
            msg = f"nobody wrote ({wanted}) for: {missing}"
            if lost := sorted(words.keys() - set(known)):
                msg += f"; there is no longer: {lost}"
            raise DocumentError(msg)
        return [(found, (*cells, *words[found[0]])) for found, cells in rows]


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is all from the code, with no room for words.

    Attributes:
        text: Markdown, with its last line's end.
    """

    text: str

    def render(self, _: str) -> str:
        """Write the text, whatever stood there before."""
        return self.text


Block: TypeAlias = Table | Text
Row: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


def merged(rows: Sequence[Row]) -> list[Row]:
    """Make one row of those that differ by their name alone."""
    by_cells: dict[tuple[str, ...], tuple[str, ...]] = {}
    for found, cells in rows:
        by_cells[cells] = (*by_cells.get(cells, ()), *found)
    return [(found, cells) for cells, found in by_cells.items()]


def names(cell: str) -> tuple[str, ...]:
    """Tell what a row is about: all that its first cell names, or the cell as it is."""
    return tuple(cell.split(", ")) if _NAMES.fullmatch(cell) else (cell,)


def read(text: str) -> list[Row]:
    """Read the rows of a table, without its head."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r" \|(?= )", line)] for line in lines[1:]]
    return [(names(row[0]), tuple(row[1:])) for row in cells]


def code(text: str) -> str:
    """Write a name or a value; nothing where it is empty."""
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Write a docstring's words on one line of Markdown."""
    return " ".join(text.split()).replace("``", "`").rstrip(".")


def block_names(text: str) -> list[str]:
    """Name the blocks of a document."""
    return [block["name"] for block in _BLOCK.finditer(text)]


def rewritten(text: str, tables: Mapping[str, Callable[[], Block]]) -> str:
    """Write every block of a document again.

    Raises:
        DocumentError: A block is of no table, or needs a person.
    """

    def write(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in tables:
            msg = f"nothing generates the block {name}"
            raise DocumentError(msg)
        try:
            table = tables[name]().render(block["text"])
        except DocumentError as error:
            msg = f"{name}: {error}"
            raise DocumentError(msg) from error
        return block["begin"] + table + block["end"]

    return _BLOCK.sub(write, text)


def _line(cells: Sequence[str]) -> str:
    return re.sub(r" +", " ", f"| {' | '.join(cells)} |")
