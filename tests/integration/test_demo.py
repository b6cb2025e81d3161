"""The demo is part of what is promised: it runs in any terminal, and holds its promises.

It runs twice, at two widths, and everything here looks at what these terminals were sent.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from tools.record import DEMO, PICTURE, TALL, picture
from tools.terminal import ROOT, Screen, Terminal

if TYPE_CHECKING:
    from pathlib import Path

TIME_OF_DAY: Final = re.compile(r"(\d\d:\d\d)  \D")
PROMISE: Final = re.compile(r"^(kept|BROKEN) ", re.MULTILINE)
CHARACTER_WIDTH: Final = 12.2  # of what rich draws
TRANSCRIPT: Final = """\
\x1b[1mA day\x1b[0m: 7 accounts\r
\x1b[?25l00:00 ━━━━\r\x1b[2K00:00  \x1b[32mpublished\x1b[0m: dealer-17\r
00:05 ━━━━\r\x1b[2K\x1b[?25h\r
\x1b[3mMetrics of the day\x1b[0m\r
TokenRequestLatency   82   1  {seconds}2 ms\r
\r
\x1b[32mkept\x1b[0m   every account ends the day with a valid token\r
2223 consumer calls, 0 rejected\r
968 calls to Secrets Manager, in {seconds} s\r
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the demo came to, and what it left in the directory for temporary files."""

    status: int
    transcript: str
    screen: Screen
    left: list[Path]

    @property
    def whole(self) -> Screen:
        """All that it showed, in a terminal of the same width from which no line scrolls away."""
        return Screen(self.transcript, self.screen.columns, TALL)


@pytest.fixture(
    scope="session",
    params=[80, pytest.param(120, marks=pytest.mark.slow)],
    ids="{} columns".format,
)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    files = tmp_path_factory.mktemp("demo")
    environment = {"PATH": os.defpath, "PYTHONPATH": "functions", "TMPDIR": str(files)}
    with Terminal(DEMO, environment, columns=request.param) as terminal:
        status = terminal.finish()
    return Run(status, terminal.transcript, terminal.screen, list(files.iterdir()))


def test_every_promise_of_the_day_is_kept(demo: Run) -> None:
    assert demo.status == 0, demo.whole.text
    assert PROMISE.findall(demo.screen.text) == ["kept"] * 5
    assert re.search(r"^\d{4} consumer calls, 0 rejected", demo.screen.text, re.MULTILINE)


def test_the_table_of_all_accounts_stands_on_the_last_screen(demo: Run) -> None:
    table = demo.screen.text.split("Accounts (")[1].split("\n\n")[0].splitlines()[3:]
    first_tokens = re.findall(r"first token published: (.+?)\n\d\d:", demo.whole.text, re.DOTALL)
    onboarded = re.split(r",\s+", ", ".join(first_tokens))
    assert len(onboarded) == 8
    assert sorted(line.split()[0] for line in table) == sorted(onboarded)


def test_the_metrics_of_every_run_but_the_killed_one_are_counted(demo: Run) -> None:
    assert re.search(r"^SweepsCompleted +287 +287$", demo.whole.text, re.MULTILINE)
    assert re.search(r"^TokensRefreshed +287 ", demo.whole.text, re.MULTILINE)


def test_the_progress_is_drawn_and_gone_in_the_end(demo: Run) -> None:
    assert "━" in demo.transcript
    assert "━" not in demo.whole.text


def test_no_line_is_ever_wider_than_the_terminal_nor_than_80_columns(demo: Run) -> None:
    assert demo.whole.overlong == []
    assert max(map(len, demo.whole.text.splitlines())) <= 80


def test_each_line_of_the_day_tells_one_time_and_they_are_in_order(demo: Run) -> None:
    happenings = demo.whole.text.split("\n\n")[1].splitlines()
    lines = [line for line in happenings if not line.startswith(" ")]
    told = [match[1] for match in map(TIME_OF_DAY.match, lines) if match]
    assert len(told) == len(lines) > 10
    assert told == sorted(told)
    assert [line for line in lines if len(re.findall(r"\d\d:\d\d", line)) > 1] == []


def test_it_leaves_no_file_behind(demo: Run) -> None:
    assert demo.left == []


def test_the_readme_shows_what_the_demo_prints(demo: Run) -> None:
    readme = (ROOT / "README.md").read_text()
    (shown,) = re.findall(
        r"!\[.*?(\d+ consumer calls, \d+ rejected)\.\]\(docs/images/demo\.svg\)", readme
    )
    assert shown in demo.screen.text
    (block,) = re.findall(r"```text\n(.*?)```", readme, re.DOTALL)
    assert len(block.splitlines()) == 6
    assert set(block.splitlines()) <= set(demo.whole.text.splitlines())


def test_the_picture_is_what_a_run_of_the_demo_draws_now_in_any_terminal(demo: Run) -> None:
    assert picture(demo.transcript) == PICTURE.read_text(), "the demo has changed: run make record"


def lines(svg: str) -> list[str]:
    """The text of each line that a picture shows, as far from the left as it is drawn."""
    found: dict[str, str] = {}
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314 - ours
        column = round(float(text.get("x", "0")) / CHARACTER_WIDTH)
        height = text.get("y", "")
        line = found.get(height, "").ljust(column)
        found[height] = line + (text.text or "").replace("\xa0", " ")
    return [line.rstrip() for line in found.values()]


def test_what_differs_from_run_to_run_is_left_out_of_the_picture() -> None:
    one, other = (picture(TRANSCRIPT.format(seconds=seconds)) for seconds in (9, 11))
    assert one == other
    title, *shown = filter(None, lines(one))
    assert title.strip() == "make demo"
    assert shown == [
        "A day: 7 accounts",
        "00:00  published: dealer-17",
        "kept   every account ends the day with a valid token",
        "2223 consumer calls, 0 rejected",
        "968 calls to Secrets Manager",
    ]


@pytest.mark.parametrize("word", ["url(http", "@font-face", "@import", "href"])
def test_the_picture_asks_no_other_host_for_anything(word: str) -> None:
    assert word not in PICTURE.read_text()
