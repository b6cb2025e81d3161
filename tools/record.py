"""A picture of the demo's output, for those who read before they run: ``make record``.

It runs the demo in a terminal, and draws what stands there at its end. What differs from run to run
is left out: the metrics, which hold latencies, and the seconds that the demo took. So the picture
changes only when the demo does.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tools.output import COLUMNS
from tools.terminal import Screen, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyte.screens import Char

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "demo.svg"
DEMO: Final = (sys.executable, "-m", "tools.demo")
TALL: Final = 200  # lines, so that none leaves the screen

_SECONDS: Final = re.compile(r", in \d+ s$")

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
    with Terminal(DEMO, os.environ, columns=COLUMNS) as terminal:
        status = terminal.finish()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(picture(terminal.transcript))
    sys.stdout.write(f"Drawn: {output}\n")
    return status


def picture(transcript: str) -> str:
    """Draw what a terminal was sent."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    for line in _steady(transcript):
        console.print(line)
    return console.export_svg(
        title="make demo", theme=MONOKAI, code_format=FORMAT, unique_id="demo"
    )


def _steady(transcript: str) -> Iterator[Text]:
    """Leave out what differs from run to run."""
    screen = Screen(transcript, COLUMNS, TALL)
    is_of_metrics, before = False, ""
    for number, shown in enumerate(screen.text.splitlines()):
        is_of_metrics = shown.startswith("Metrics") or (is_of_metrics and before != "")
        before = shown
        if is_of_metrics:
            continue
        line = Text()
        for column in range(len(_SECONDS.sub("", shown))):
            cell = screen.buffer[number][column]
            line.append(cell.data, _style(cell))
        yield line


def _style(cell: Char) -> Style:
    colour = {"brown": "yellow"}.get(cell.fg, cell.fg)  # as old terminals drew it
    return Style(color=colour, bold=cell.bold, italic=cell.italics)


if __name__ == "__main__":
    sys.exit(main())
