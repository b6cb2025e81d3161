"""What a measurement comes to: tables, bounds that it is held to, and coefficients.

Each table has a name. In `docs/performance.md` it stands between two comments of that name, and
every run puts it there again: no figure is copied by hand.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "performance.md"
BLOCK: Final = re.compile(
    r"<!-- (?P<name>[a-z-]+) -->\n(?P<text>.*?)<!-- /(?P=name) -->\n", re.DOTALL
)
COEFFICIENTS: Final = "coefficients"


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the middle half of the values."""

    median: float
    low: float
    high: float

    def told(self, unit: str = "", digits: int = 0) -> str:
        """Word it, such as ``12.3 ms (11.9 to 13.0)``."""
        middle, low, high = (f"{each:,.{digits}f}" for each in (self.median, self.low, self.high))
        return f"{middle}{unit and ' '}{unit} ({low} to {high})"


def spread(values: Iterable[float]) -> Spread:
    """Summarise some values."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return Spread(ordered[0], ordered[0], ordered[0])
    low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(subject: Sequence[float], floor: Sequence[float]) -> Spread:
    """Compare round by round: what disturbs a round disturbs both."""
    return spread(mine / least for mine, least in zip(subject, floor, strict=True))


def row(*cells: str) -> str:
    """Write a table's row."""
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of results.

    Attributes:
        name: Of its block.
        note: What its figures are, in sentences.
        columns: Its header.
        rows: Each as long as the header.
    """

    name: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def __str__(self) -> str:
        """Write it as Markdown."""
        head = [row(*self.columns), "|" + "---|" * len(self.columns)]
        return "\n".join([self.note, "", *head, *(row(*each) for each in self.rows)]) + "\n"


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that a figure is held to.

    Attributes:
        promise: What is promised.
        measured: What came out.
        limit: The bound.
        is_floor: Whether the figure must be at least that, instead of at most.
        digits: After the point.
    """

    promise: str
    measured: float
    limit: float
    is_floor: bool = False
    digits: int = 2

    @property
    def holds(self) -> bool:
        """Whether it is kept, as precisely as it is written."""
        measured = round(self.measured, self.digits)
        return measured >= self.limit if self.is_floor else measured <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Write it as a table's row."""
        return (
            self.promise,
            f"{'at least' if self.is_floor else 'at most'} {self.limit:,.{self.digits}f}",
            f"{self.measured:,.{self.digits}f}",
            "yes" if self.holds else "**no**",
        )


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A figure that the capacity model rests on."""

    name: str
    value: float
    unit: str


@dataclass(slots=True)
class Findings:
    """What one benchmark found.

    Attributes:
        name: The benchmark's.
        tables: In the order of reading.
        bounds: In the order of reading.
        coefficients: For the capacity model.
    """

    name: str
    tables: list[Table] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    coefficients: list[Coefficient] = field(default_factory=list)

    def blocks(self) -> dict[str, str]:
        """Write all tables by their name; the bounds are one."""
        columns = ("promise", "bound", "measured", "kept")
        cells = [bound.cells() for bound in self.bounds]
        note = f"What `{self.name}` is held to:"
        goals = Table(f"{self.name}-bounds", note, columns, cells)
        tables = [*([goals] if cells else []), *self.tables]
        return {table.name: str(table) for table in tables}


def blocks(text: str) -> dict[str, str]:
    """Read the blocks of a document."""
    return {block["name"]: block["text"] for block in BLOCK.finditer(text)}


def coefficients_of(results: str) -> dict[str, float]:
    """Read the coefficients of earlier runs and of this one."""
    table = blocks(results).get(COEFFICIENTS, "")
    rows = re.findall(r"^\| ([^|]+?) \| ([0-9.,e+-]+) \|", table, re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def coefficients_table(known: dict[str, str], new: Iterable[Coefficient]) -> Table:
    """Write the coefficients: those that were measured now, and the others as they were."""
    told = known | {each.name: row(each.name, f"{each.value:,.4g}", each.unit) for each in new}
    cells = [tuple(line.strip("| ").split(" | ")) for line in told.values()]
    note = "What this model, and the log in the costs of deployment, rest on:"
    return Table(COEFFICIENTS, note, ("coefficient", "value", "unit"), cells)


def coefficient_rows(results: str) -> dict[str, str]:
    """Read the coefficients' rows by name."""
    lines = blocks(results).get(COEFFICIENTS, "").splitlines()
    return {line.strip("| ").split(" | ")[0]: line for line in lines[4:]}


def replaced(text: str, new: dict[str, str]) -> str:
    """Put new tables into a document's blocks; a block that is not there stays out."""

    def put(block: re.Match[str]) -> str:
        name = block["name"]
        return f"<!-- {name} -->\n{new.get(name, block['text'])}<!-- /{name} -->\n"

    return BLOCK.sub(put, text)
