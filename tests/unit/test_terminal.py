"""The screen by which what is drawn in terminals is judged."""

from __future__ import annotations

import pytest

from tools.terminal import Screen


@pytest.mark.parametrize(
    ("transcript", "overlong"),
    [
        pytest.param("x" * 80 + "\r\n", [], id="a line that fills the terminal is not too wide"),
        pytest.param("x" * 81, ["x" * 81], id="a line of one more is"),
        pytest.param("x" * 81 + "\x1b[1A\x1b[J", ["x" * 81], id="so it is if it was erased"),
        pytest.param("x" * 79 + "\x1b[1myy", ["yy"], id="so it is if colours change within it"),
        pytest.param("x" * 80 + "\r\x1b[2K" + "x" * 80, [], id="what is drawn over it is not"),
    ],
)
def test_a_line_is_too_wide_where_a_terminal_would_break_it(
    transcript: str, overlong: list[str]
) -> None:
    assert Screen(transcript, 80, 24).overlong == overlong


def test_the_last_screen_holds_no_line_that_has_scrolled_away() -> None:
    transcript = "".join(f"line {number}\r\n" for number in range(30))
    lines = Screen(transcript, 80, 24).text.splitlines()
    assert (lines[0], lines[-1]) == ("line 7", "line 29")
