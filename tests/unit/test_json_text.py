"""Why a text is no JSON object, told by kinds of mistake and by nothing of what is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher.json_text import given_twice, trouble_with

QUOTE = "a typographic quote: JSON takes straight ones"
NUMBER = "a number that is none of JSON's: write 0.5, 5 or -5"
MISSING = "a comma, a colon or a closing brace is missing before it"
MARK = "a byte-order mark that is not at the beginning: remove it"
BLANK = "a blank that is none of JSON's: retype it"
BREAK = r"a line break or a tab within a text: write \n or \t, or close the quote before it"
WORD = "a word without quotes"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty"),
        ("\ufeff \n", "it is empty"),
        ("[1]", "it is a list and no object"),
        ("null", "it is a single value and no object"),
        ('"{\\"a\\": 1}"', "it is a text and no object: was it written as JSON twice?"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": 1e999}', "it holds a number that is too large"),
        ('{"a": "b"', "it ends too early: a quote, a bracket or a brace is missing"),
        ('{"a": "b', "it ends too early: a quote, a bracket or a brace is missing"),
        ('{"a": "\\ud800"}', "line 1, column 8: half a character: write it whole"),
        ('{"a": "\ud800"}', "line 1, column 8: half a character: write it whole"),
        ('{"a": 1,}', "line 1, column 9: the comma before it is one too many"),
        ('{"a": [1,\n ]}', "line 2, column 2: the comma before it is one too many"),
        ('{"a": 1,,"b": 2}', "line 1, column 9: a comma or a colon too many"),
        ('{"a":: 2}', "line 1, column 6: a comma or a colon too many"),
        ("{'a': 1}", "line 1, column 2: a single quote: JSON takes double ones"),
        ('{"a": \'x\'}', "line 1, column 7: a single quote: JSON takes double ones"),
        ("{\u201ca\u201d: 1}", f"line 1, column 2: {QUOTE}"),
        ('{"\u00e9": \u2018x\u2019}', f"line 1, column 7: {QUOTE}"),
        ('{"a": 1 // why\n}', "line 1, column 9: a comment: JSON has none"),
        ("# why\n{}", "line 1, column 1: a comment: JSON has none"),
        ('{"a": NaN}', "line 1, column 7: NaN or Infinity: JSON has no such number"),
        ('{"a": -Infinity}', "line 1, column 8: NaN or Infinity: JSON has no such number"),
        ('{"a": True}', "line 1, column 7: a word of Python: JSON has true, false and null"),
        ("\x00{\x00", "line 1, column 1: a character of another encoding: save the text as UTF-8"),
        ('{"a": 1}\ufeff', f"line 1, column 9: {MARK}"),
        ('{\n"a": 1,\n\u00a0"b": 2}', f"line 3, column 1: {BLANK}"),
        ('{"a": 01}', f"line 1, column 7: {NUMBER}"),
        ('{"a": .5}', f"line 1, column 7: {NUMBER}"),
        ('{"a": 1.}', f"line 1, column 7: {NUMBER}"),
        ('{"a": tru}', f"line 1, column 7: {WORD}"),
        ('{"a": treu, "b": 1}', f"line 1, column 7: {WORD}"),
        ("{a: 1}", f"line 1, column 2: {WORD}"),
        ("invented-secret", f"line 1, column 1: {WORD}"),
        ('{"a": "x\ny"}', f"line 1, column 9: {BREAK}"),
        ('{"a": "\\q"}', "line 1, column 10: a single backslash: write it twice"),
        ('{"a" 1}', f"line 1, column 6: {MISSING}"),
        ('{"a": 1 "b": 2}', f"line 1, column 9: {MISSING}"),
        ('{"a": "b"\n"c": 1}', f"line 2, column 1: {MISSING}"),
        ('{"a": 1}{"a": 2}', "line 1, column 9: something behind the end: store one object alone"),
        ('{"a": (1)}', "line 1, column 7: what no JSON has there"),
    ],
    ids=lambda of: repr(of[:24]),
)  # fmt: skip
def test_what_is_no_object_is_told_by_its_place_and_its_kind(text: str, told: str) -> None:
    assert str(trouble_with(text)) == told


@given(st.text(alphabet="{}[]\"':,/#\\ \n\x00aNT01.-\u201c\ud800\u00e9", max_size=40))
def test_whatever_it_is_there_is_a_word_for_it_and_none_of_its_own(text: str) -> None:
    told = trouble_with('{"a": "invented" ' + text)
    assert told.kind
    assert "invented" not in str(told)


def test_what_is_given_twice_is_named_with_its_lines_where_they_are_certain() -> None:
    text = '{"a": 1,\n"b": {"c": 1, "c": 2},\n"a": 2, "d": [{"e": 1}, {"e": 2}]}'
    assert given_twice(text) == ["`c`", "`a` (lines 1 and 3)"]
    assert given_twice(json.dumps({"a": {"a": 1}})) == []
    assert given_twice('\ufeff{"invented secret": 1, "invented secret": 2}') == ["`\u2026`"]
