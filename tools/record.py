"""A picture of the demo's output, for those who read before they run: ``make record``.

It runs the demo, and draws what that prints as a terminal. What differs from run to run is left
out: the metrics, which hold latencies, and the seconds that the demo took. So the picture changes
only when the demo does.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tools import demo

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "demo.svg"
COLUMNS: Final = 100

# Colours, but no progress bar; lines as long as they are.
TERMINAL: Final = {
    "TERM": "xterm-256color",
    "TTY_COMPATIBLE": "1",
    "TTY_INTERACTIVE": "0",
    "COLUMNS": "200",
}
_CURSOR: Final = re.compile(r"\x1b\[\?25[hl]")
_SECONDS: Final = re.compile(r", \d+ s\)$")
_HAPPENING: Final = re.compile(r"\d\d:\d\d  ")
_PROMISE: Final = re.compile(r"held|BROKEN")

# As rich draws it, but for fonts from elsewhere: a picture asks no other host for anything.
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
    font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    """Run the demo, draw what it printed, and return what it returned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE, help="where the picture goes")
    output: Path = parser.parse_args().output
    os.environ.update(TERMINAL)
    printed = io.StringIO()
    with redirect_stdout(printed):
        status = demo.main()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(picture(printed.getvalue()))
    sys.stdout.write(f"Drawn: {output}\n")
    return status


def picture(printed: str) -> str:
    """Draw what a terminal was sent."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    for line in _shown(printed):
        console.print(_hanging(line))
    return console.export_svg(
        title="make demo", theme=MONOKAI, code_format=FORMAT, unique_id="demo"
    )


def _shown(printed: str) -> Iterator[Text]:
    """Leave out what differs from run to run."""
    is_of_metrics = False
    for raw in _CURSOR.sub("", printed).strip().splitlines():
        line = Text.from_ansi(_SECONDS.sub(")", raw))
        if line.plain == "Metrics":
            is_of_metrics = True
        elif _PROMISE.match(line.plain):
            is_of_metrics = False
        if not is_of_metrics:
            yield line


def _hanging(line: Text) -> Text | Table:
    """Let what does not fit continue beneath its own beginning, not beneath the time of day."""
    happening = _HAPPENING.match(line.plain)
    if happening is None:
        return line
    moment, what = line.divide([happening.end()])
    grid = Table.grid()
    grid.add_row(moment, what)
    return grid


if __name__ == "__main__":
    sys.exit(main())
