"""The picture of the demo is of the demo as it is now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tools.record import PICTURE, picture

ROOT: Final = Path(__file__).resolve().parents[2]
PRINTED: Final = """\
\x1b[1mA day\x1b[0m: 7 accounts
\x1b[?25l00:00  \x1b[32mpublished\x1b[0m (no token yet): {names}
\x1b[?25h
\x1b[3mMetrics\x1b[0m
 TokenRequestLatency   82   1  42 ms
\x1b[32mheld  \x1b[0m every account ends the day with a live token

\x1b[1m2223 consumer calls, 0 rejected\x1b[0m (968 calls to Secrets Manager, {seconds} s)
"""
CHARACTER_WIDTH: Final = 12.2  # of what rich draws
NAMES: Final = ", ".join(f"a-long-name-of-a-dealer-{number}" for number in range(5))


def lines(svg: str) -> list[str]:
    """The text of each line that a picture shows, as far from the left as it is drawn."""
    found: dict[str, str] = {}
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314 - ours
        column = round(float(text.get("x", "0")) / CHARACTER_WIDTH)
        height = text.get("y", "")
        line = found.get(height, "").ljust(column)
        found[height] = line + (text.text or "").replace("\xa0", " ")
    return [line.rstrip() for line in found.values()]


def test_the_picture_is_what_a_run_of_the_demo_draws_now(tmp_path: Path) -> None:
    drawn = tmp_path / "images" / "demo.svg"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "tools.record", "--output", drawn],
        cwd=ROOT,
        env={"PYTHONPATH": "functions", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert drawn.read_text() == PICTURE.read_text(), "the demo has changed: run make record"


def test_what_differs_from_run_to_run_is_left_out() -> None:
    one, other = (picture(PRINTED.format(names=NAMES, seconds=seconds)) for seconds in (9, 11))
    assert one == other
    assert not [line for line in lines(one) if "Metrics" in line or "Latency" in line]
    assert lines(one)[-1] == "2223 consumer calls, 0 rejected (968 calls to Secrets Manager)"


def test_a_line_that_does_not_fit_continues_beneath_its_own_beginning() -> None:
    shown = lines(picture(PRINTED.format(names=NAMES, seconds=9)))
    first = next(number for number, line in enumerate(shown) if line.startswith("00:00  published"))
    assert shown[first + 1].startswith(" " * 7 + "a-long-name")
    assert NAMES in f"{shown[first]} {shown[first + 1].strip()}"


@pytest.mark.parametrize("word", ["url(http", "@font-face", "@import", "href"])
def test_it_asks_no_other_host_for_anything(word: str) -> None:
    assert word not in PICTURE.read_text()
