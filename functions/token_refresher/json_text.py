"""Says why a text is no JSON object, and where: by kinds of mistake, never by what is written.

Read where something failed: most starts never need it.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

import msgspec

from token_refresher.refusals import plain

# By what stands where JSON ends, in this order.
_KINDS: Final = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"[\u2018-\u201f\u00ab\u00bb\u2039\u203a\u2032\u2033\u300c-\u300f\uff02]",
         "a typographic quote: JSON takes straight ones"),
        (r"'", "a single quote: JSON takes double ones"),
        (r"//|/\*|#|--|;", "a comment: JSON has none"),
        (r"[-+]?(NaN|nan|Infinity|inf)", "NaN or Infinity: JSON has no such number"),
        (r"True|False|None", "a word of Python: JSON has true, false and null"),
        (r"\x00|\ufffd", "a character of another encoding: save the text as UTF-8"),
        (r"\ufeff", "a byte-order mark that is not at the beginning: remove it"),
        (r"[\u00a0\u2000-\u200b\u2028\u2029\u202f\u3000]",
         "a blank that is none of JSON's: retype it"),
        (r"[-+.]|0[0-9]|[0-9]+\.(?![0-9])", "a number that is none of JSON's: write 0.5, 5 or -5"),
        (r"[^\W\d]", "a word without quotes"),
    )
)  # fmt: skip


class Trouble(NamedTuple):
    """Why a text is no JSON object.

    Attributes:
        place: Such as ``line 2, column 5``; empty where it is the text as a whole.
        kind: What is there.
    """

    place: str
    kind: str

    def __str__(self) -> str:
        """Both in one."""
        return f"{self.place}: {self.kind}" if self.place else self.kind


def trouble_with(text: str) -> Trouble:
    """Find out why a text is no JSON object; its byte-order mark is dropped."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return Trouble("", "it is empty")
    try:
        content = msgspec.json.decode(text)
    except RecursionError:
        return Trouble("", "it is nested too deeply")
    except msgspec.ValidationError:
        return Trouble("", "it holds a number that is too large")
    except (ValueError, msgspec.DecodeError) as error:
        said = str(error)
    else:
        if isinstance(content, str):
            return Trouble("", "it is a text and no object: was it written as JSON twice?")
        kind = "a list" if isinstance(content, list) else "a single value"
        return Trouble("", f"it is {kind} and no object")
    found = re.search(r"\(byte ([0-9]+)\)\Z", said)
    if found is None:
        # It ends too early, or holds half a character.
        half = re.search(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]", text)
        if half is None:
            return Trouble("", "it ends too early: a quote, a bracket or a brace is missing")
        return Trouble(_place(text, half.start()), "half a character: write it whole")
    # It has read the first of the characters that are too many.
    byte = int(found[1]) - ("trailing characters" in said)
    at = len(text.encode()[:byte].decode(errors="ignore"))
    return _told(text, at, said)


def _told(text: str, at: int, said: str) -> Trouble:
    # A word is read to its first wrong letter, or as far as a right one would go; a number to its
    # first wrong digit.
    begun = re.search(r'(?<!["\w.+-])[\w.+-]+[^"\w]{0,3}\Z', text[:at])
    begins = at if begun is None or begun[0][-1:].isspace() else begun.start()
    character = text[at : at + 1]
    if "trailing comma" in said:
        return Trouble(_place(text, at), "the comma before it is one too many")
    if "escape" in said:
        return Trouble(_place(text, at), "a single backslash: write it twice")
    if character in ("\n", "\r", "\t"):
        return Trouble(
            _place(text, at),
            r"a line break or a tab within a text: write \n or \t, or close the quote before it",
        )
    for place in dict.fromkeys((at, begins)):
        for pattern, kind in _KINDS:
            if pattern.match(text, place):
                return Trouble(_place(text, place), kind)
    if "trailing characters" in said:
        return Trouble(_place(text, at), "something behind the end: store one object alone")
    if character in (",", ":"):
        return Trouble(_place(text, at), "a comma or a colon too many")
    if "expected" in said:
        return Trouble(_place(text, at), "a comma, a colon or a closing brace is missing before it")
    return Trouble(_place(text, at), "what no JSON has there")


def _place(text: str, at: int) -> str:
    before = text[:at]
    return f"line {before.count(chr(10)) + 1}, column {at - before.rfind(chr(10))}"


def given_twice(text: str) -> list[str]:
    """Name what a JSON text gives twice in one object: the first is passed over in silence.

    Returns:
        Each with its lines where these are certain; what is no plain name is not shown.
    """
    twice: dict[str, None] = {}

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                twice[name] = None
            seen.add(name)
        return dict(pairs)

    json.loads(text.removeprefix("\ufeff"), object_pairs_hook=collect)
    return [f"`{plain(name)}`{_lines_of(text, name)}" for name in twice]


def _lines_of(text: str, name: str) -> str:
    found = [
        text.count("\n", 0, each.start()) + 1
        for each in re.finditer(rf'"{re.escape(name)}"[ \t\r\n]*:', text)
    ]
    return f" (lines {found[0]} and {found[1]})" if len({*found}) == len(found) == 2 else ""  # noqa: PLR2004
