"""Text and tables in terminals of any width: no word is broken, and nothing is lost."""

from __future__ import annotations

import io
import re
import shlex
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from token_refresher_cli import screen
from token_refresher_cli.layout import NOTHING, Table, folded, told

if TYPE_CHECKING:
    import pytest

HEADINGS = ("account", "state", "error", "next attempt")
words = st.text("klmnopq0123456789-_./", min_size=1, max_size=30)
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join)
cells = sentences | st.just("-")
rows = st.lists(st.tuples(words, cells, cells, cells), max_size=8)


def table(*given: tuple[str, ...], prose: tuple[str, ...] = ()) -> Table:
    made = Table(HEADINGS, frozenset(prose))
    for row in given:
        made.add_row(*row)
    return made


def shown(made: Table, width: int | None) -> list[str]:
    return [line.plain for block in made.blocks(width) for line in block]


@given(rows, st.integers(1, 120), st.sampled_from([(), ("error",), ("state", "error")]))
def test_a_table_breaks_no_word_loses_none_and_is_no_wider_than_the_terminal(
    given: list[tuple[str, ...]], width: int, prose: tuple[str, ...]
) -> None:
    header, *blocks = table(*given, prose=prose).blocks(width)
    for row, block in zip(given, blocks, strict=True):
        # What stands beneath a row is told with its heading, and `;` between two.
        printed = [word for line in block for word in line.plain.split()]
        bare = {word.removesuffix(";") for word in printed} | set(printed)
        assert {word for cell in row if cell not in NOTHING for word in cell.split()} <= bare
    for line in (line.plain for block in (header, *blocks) for line in block):
        assert len(line) <= width or len(line.split()) == 1


@given(rows)
def test_a_pipe_has_one_line_for_each_row_and_all_columns(given: list[tuple[str, ...]]) -> None:
    lines = shown(table(*given), None)
    assert len(lines) == 1 + len(given)
    printed = [line.split() for line in lines[1:]]
    assert printed == [" ".join(row).split() for row in given]


def test_what_has_no_room_in_the_line_is_told_beneath_it_with_its_heading() -> None:
    given = [
        ("dealer-17", "fresh", "-", "in 10 h 30 min"),
        ("dealer-18", "action required", "invalid_grant, 9 times", "in 14 min"),
    ]
    assert shown(table(*given), 50) == [
        "account    state            next attempt",
        "dealer-17  fresh            in 10 h 30 min",
        "dealer-18  action required  in 14 min",
        "  error invalid_grant, 9 times",
    ]


def test_a_name_that_is_far_longer_than_the_others_stands_alone_and_whole() -> None:
    long = "eu/partners/" + "x" * 60
    given = [("dealer-17", "fresh", "-", "-"), (long, "fresh", "-", "in 2 h")]
    assert shown(table(*given), 50) == [
        "account    state  error  next attempt",
        "dealer-17  fresh  -      -",
        long,
        "           fresh  -      in 2 h",
    ]


def test_sentences_are_broken_in_their_own_column_where_that_takes_no_more_lines() -> None:
    given = [("dealer-17", "failed", "the server has no such page", "in 2 h")]
    assert shown(table(*given, prose=("error",)), 54) == [
        "account    state   error                  next attempt",
        "dealer-17  failed  the server has no      in 2 h",
        "                   such page",
    ]


def test_a_word_that_is_longer_than_its_column_goes_beneath_its_row_alone() -> None:
    secret = "oauth/credentials/" + "x" * 40
    given = [("dealer-17", "ok", f"{secret} has a value", "-"), ("dealer-18", "ok", "none", "now")]
    assert shown(table(*given, prose=("error",)), 60) == [
        "account    state  error                         next attempt",
        "dealer-17  ok                                   -",
        "  error",
        f"  {secret}",
        "  has a value",
        "dealer-18  ok     none                          now",
    ]


@given(sentences, st.integers(1, 60))
def test_text_is_broken_between_words_alone(text: str, width: int) -> None:
    lines = folded(text, width)
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= width or " " not in line for line in lines)


def test_a_number_stays_with_its_unit() -> None:
    assert folded("the next attempt is in 5 h 52 min", 30) == [
        "the next attempt is in 5 h",
        "52 min",
    ]


def test_a_command_that_does_not_fit_its_sentence_s_line_has_its_own() -> None:
    assert told("dealer-18 is refused: token-refresher correct dealer-18", 40) == [
        "dealer-18 is refused:",
        "token-refresher correct dealer-18",
    ]
    assert told("see: token-refresher status", 40) == ["see: token-refresher status"]


def test_a_deployment_that_does_not_fit_is_broken_before_its_variables() -> None:
    assert told(
        "deploy it: make deploy AWS_REGION=eu-west-1 STACK=token-refresher "
        'PARAMETERS="Architecture=arm64 AllowedTokenHosts=a.example,b.example"',
        70,
    ) == [
        "deploy it:",
        "make deploy AWS_REGION=eu-west-1 STACK=token-refresher \\",
        '   PARAMETERS="Architecture=arm64 AllowedTokenHosts=a.example,b.example"',
    ]


class _Terminal(io.StringIO):
    """A terminal that keeps what is written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    @override
    def isatty(self) -> bool:
        return True

    @override
    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_nothing_comes_between_a_sentence_and_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    screen.note("dealer-18 is refused: token-refresher correct dealer-18")
    [written] = [each for each in terminal.writes if each]
    assert written == "dealer-18 is refused:\ntoken-refresher correct dealer-18\n"


def test_a_sentence_that_begins_with_make_is_no_command() -> None:
    assert told("w10: make its KMS key, and register it: token-refresher key create w10", 50) == [
        "w10: make its KMS key, and register it:",
        "token-refresher key create w10",
    ]


@given(st.lists(words, min_size=1, max_size=5), st.integers(1, 120))
def test_a_command_that_is_longer_than_the_terminal_is_broken_as_a_shell_takes_it(
    values: list[str], width: int
) -> None:
    options = [word for value in values for word in ("--stack", value)]
    command = shlex.join(["token-refresher", "correct", "dealer-18", *options])
    lines = told(f"the password is refused: {command}", width)
    printed = "\n".join(lines)
    pasted = printed[printed.index("token-refresher") :]
    # A shell drops a backslash at the end of a line, and the line's end.
    assert shlex.split(pasted.replace("\\\n", "")) == shlex.split(command)
    first, *others = pasted.splitlines()
    assert all(line.startswith("   --") for line in others)
    for line in (first, *others):
        assert len(line) <= width or len(re.findall(" --[a-z]|^token", line)) == 1
