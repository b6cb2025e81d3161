"""How a run is told to a person: on the stream that was there first, in at most 80 columns."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.table import Table

COLUMNS: Final = 80


def console() -> Console:
    """The standard output as it is now: whoever replaces it later captures nothing of this."""
    console = Console(file=sys.stdout, highlight=False)
    console.width = min(console.width, COLUMNS)
    return console


def hanging(beginning: str, text: str) -> Table:
    """A line that continues beneath its own text, not beneath what it begins with."""
    line = Table.grid()
    line.add_column(no_wrap=True)
    line.add_row(beginning, text)
    return line


def promise(text: str, *, held: bool) -> Table:
    """Tell whether a promise was kept."""
    return hanging("[green]kept[/]   " if held else "[bold red]BROKEN[/] ", text)
