"""How a run is told to a person: on the stream that was there first, in at most 80 columns."""

from __future__ import annotations

import io
import os
import re
import sys
import textwrap
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

COLUMNS: Final = 80
# So that a table of times stands where the eye looks for it.
_LONGEST_PHASE: Final = 51
_TIME: Final = 8
_INDENT: Final = "    "
_OPTION: Final = re.compile(r" (?=--[a-z])")
_GOES_ON: Final = " \\"
# As a refusal ends where it says what to do.
_COMMAND: Final = re.compile(r": ((?:aws|export|make) .+)$")


class _Outlasting(io.FileIO):
    """Standard output that is standard error, once nobody reads it any more."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(sys.stderr.fileno(), self.fileno())
        try:
            return super().write(data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        return super().write(data)


def outlast_the_reader() -> None:
    """Let this process outlast whoever reads its output (``| head``): it goes on at standard error.

    What changes AWS must not end half way for a line that nobody reads.
    """
    raw = _Outlasting(sys.stdout.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=sys.stdout.encoding, line_buffering=sys.stdout.isatty()
    )


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


def pasteable(command: str) -> str:
    """Indent a command; one that does not fit goes on before its options, as a shell takes it."""
    lines = [""]
    for part in _OPTION.split(command):
        if lines[-1] and len(f"{_INDENT}{lines[-1]} {part}{_GOES_ON}") > COLUMNS:
            lines[-1] += _GOES_ON
            lines.append(f"  {part}")
        else:
            lines[-1] = f"{lines[-1]} {part}" if lines[-1] else part
    return "\n".join(f"{_INDENT}{line}" for line in lines)


def wrapped(text: str, *, indent: str = "") -> str:
    """Break prose to the width of a terminal.

    Args:
        text: Its own line ends are kept.
        indent: Of what continues a line.
    """
    return "\n".join(
        textwrap.fill(
            line,
            COLUMNS - 1,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def refuse(text: str) -> None:
    """Print why something is not done; at a terminal, a command that ends it can be pasted."""
    if sys.stderr.isatty() and len(text) >= COLUMNS:
        prose, *command = _COMMAND.split(text)
        text = wrapped(prose)
        if command:
            text += f":\n{pasteable(command[0])}"
    print(text, file=sys.stderr)


@contextmanager
def phase(console: Console, name: str) -> Iterator[None]:
    """Tell how long a part of the run took."""
    started = time.monotonic()
    with console.status(name):
        yield
    console.print(timed(name, started, console))


def timed(name: str, started: float, console: Console) -> Table:
    """A part's name, and at the end of its line how long it took since a time of `monotonic`."""
    line = Table.grid()
    line.add_column(width=min(_LONGEST_PHASE, console.width - _TIME))
    line.add_column(width=_TIME, justify="right", vertical="bottom")
    line.add_row(f"[bold]{name}[/]", f"{time.monotonic() - started:.1f} s")
    return line


def promise(text: str, *, held: bool) -> Table:
    """Tell whether a promise was kept."""
    return hanging("[green]kept[/]   " if held else "[bold red]BROKEN[/] ", text)
