"""Masks what a person may look at, so that no secret is on a screen. Pure.

What is not known to be harmless is masked: by its value, in whatever encoding it comes back; by
the name that it stands under; and by its looks, where it is long and no words. What cannot be
masked for certain is masked whole.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import sys
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MASKED: Final = "****"

# A secret is looked for by all of its parts of this length: servers repeat the beginning of one,
# or its end. A part of letters alone may be a word of the language.
_PART: Final = 8
# A shorter one is looked for as a word of its own: as a part it would be found everywhere.
_SHORTEST_WITHIN: Final = 4
# A whole one is looked for in pieces, too, where it is no shorter than that.
_SHORTEST_SPELLED: Final = 6
# How often what comes back is decoded, one encoding within the other; and how much in all.
_DEEPEST: Final = 3
_MOST_DECODED: Final = 4_000_000
_DEEPEST_JSON: Final = 20
# What is longer is no text for people, and would be looked through for minutes.
LONGEST: Final = 16_384
# Of one encoding that is laid over itself, which costs little to look through.
_MOST_ROUNDS: Final = 10

# A field of such a name holds a secret, however it looks.
_OF_SECRETS: Final = (
    "pw|secret|pass|token|key|assert|credential|authori[sz]|sig|jwt|cookie|session|otp|nonce"
)
# But for what is only about one.
_ABOUT_ONE: Final = r"(expiresin|expiresat|expiry|lifetime|type|method|scheme|endpoint|issuedat)$"
# What these hold is long and looks like nothing, and is what a provider's support asks for.
_IDENTIFIERS: Final = frozenset(
    {"clientid", "correlationid", "errorcodes", "requestid", "scope", "timestamp", "traceid"}
)
_VALUES: Final = frozenset({"val", "value", "values"})
_WORD: Final = r"[^\s\"'<>(){}\[\],;&=]+"
_SHORTEST_OPAQUE: Final = 10
_LONGEST_NUMBER: Final = 14
_TIME: Final = r"\d{4}-\d\d-\d\d([T_ ]?\d\d:?\d\d(:?\d\d)?([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?"
# Letters of a word, also of one that programs write: InvalidClientException, AADSTS7000215.
_LETTERS: Final = range(2, 21)
_MOST_CAPITALS: Final = 15
_LONGEST_CODE: Final = 8
_NO_VOWELS: Final = r"[b-df-hj-np-tv-xz]{6}"
# In a text: the end of a name, and what begins that which stands for it. Bounded: a page is long.
_NAMED: Final = (
    rf"(?i)((?:{_OF_SECRETS})\w{{0,60}})(\\*[\"']?\s*(?:=>|[=:])\s*)"
    r"(?:(\\*[\"'])|(?=[^\s\"'<>&,;]))"
)
_BARE: Final = r"[^\s\"'<>&,;]+"


class Mask:
    """Masks one account's secrets, and all that looks like one.

    Args:
        secrets: All that are known by their value.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {lowered(visible(each)) for each in secrets} - {""}
        known |= {each.strip() for each in known} - {""}
        self._within = sorted(
            (each for each in known if len(each) >= _SHORTEST_WITHIN), key=len, reverse=True
        )
        self._words = {each for each in known if len(each) < _SHORTEST_WITHIN}
        # Of one with blanks a part may be left on the other side of each: nothing is shown then.
        self._parts = {
            part: has_blanks
            for each in self._within
            for has_blanks in [any(map(str.isspace, each))]
            for start in range(len(each) - _PART + 1)
            if not (part := each[start : start + _PART]).isalpha()
        }

        self._spelled = {
            part
            for each in self._within
            for part in _parts_of(_spelled(each))
            if not part.isalpha()
        }
        # One of letters alone has no such part; the whole of it is no word of the language.
        wholes = map(_spelled, self._within)
        self._spelled_out = {each for each in wholes if len(each) >= _SHORTEST_SPELLED}

    def text(self, text: str, *, may_look_opaque: bool = False) -> str:
        """Mask a text that may be words.

        Args:
            text: As it came.
            may_look_opaque: Whether what looks like nothing is harmless here.
        """
        text = visible(text)
        # First, while it is in one piece.
        for start, end in reversed(_words_around(text, sorted(self._found(lowered(text))))):
            text = text[:start] + MASKED + text[end:]
        if self._is_told_otherwise(text):
            return MASKED
        for start, end in reversed([*_named(text)]):
            text = text[:start] + MASKED + text[end:]
        if may_look_opaque:
            return text
        return re.sub(_WORD, lambda word: MASKED if _is_opaque(word[0]) else word[0], text)

    def path(self, path: str) -> str:
        """Mask the parts of a URL's path."""
        masked = "/".join(map(self.text, path.split("/")))
        return masked if self.text(path, may_look_opaque=True) == visible(path) else f"/{MASKED}"

    def name(self, name: str) -> str:
        """Mask a field's name, where it is none."""
        return self.text(name) if re.fullmatch(r"[\w.:@$-]{1,60}", name) else MASKED

    def value(self, name: str, value: object, *, depth: int = 0, is_secret: bool = False) -> object:
        """Mask a value of JSON, under the name that it stands under.

        Args:
            name: The nearest one.
            value: Parsed.
            depth: How deep it stands.
            is_secret: Whether it stands under a name that tells a secret.
        """
        if depth > _DEEPEST_JSON or (isinstance(value, str) and len(value) > LONGEST):
            return MASKED
        if isinstance(value, dict):
            masked: dict[str, object] = {}
            # {"name": "token", "value": …}
            is_pair = any(isinstance(each, str) and tells_secret(each) for each in value.values())
            for key, each in value.items():
                is_value = is_pair and plain_name(key) in _VALUES
                is_told = is_secret or is_value or tells_secret(key)
                within = self.value(key, each, depth=depth + 1, is_secret=is_told)
                shown = self.name(key)
                # Two that are masked are two all the same.
                masked[shown if shown not in masked else f"{shown} {len(masked)}"] = within
            return masked
        if isinstance(value, list):
            return [self.value(name, each, depth=depth + 1, is_secret=is_secret) for each in value]
        if value is None or isinstance(value, bool):
            return value
        if is_secret and not is_about_one(name):
            return MASKED
        is_identifier = plain_name(name) in _IDENTIFIERS
        written = value if isinstance(value, str) else str(value)
        shown = self.text(written, may_look_opaque=is_identifier)
        return value if shown == written and not isinstance(value, str) else shown

    def is_in_pieces(self, pieces: Iterable[str]) -> bool:
        """Whether texts tell a secret together of which each tells too little to be masked.

        Args:
            pieces: As they would be shown, one after another.
        """
        text = "\n".join(pieces)
        forms = {text, re.sub(r"<[^<>]*>", "", text), *_from_codes(text)}
        spelled = {*map(_spelled, forms)}
        if any(each in form for each in self._spelled_out for form in spelled):
            return True
        return any(self._spelled & _parts_of(form) for form in spelled)

    def _found(self, text: str, *, least: int = 0) -> Iterator[tuple[int, int]]:
        """Tell where secrets of a least length are, or parts of one, in a text in small letters."""
        for secret in self._within:
            start = text.find(secret) if len(secret) >= least else -1
            while start >= 0:
                yield start, start + len(secret)
                start = text.find(secret, start + 1)
        for secret in () if least else self._words:
            for found in re.finditer(rf"(?<!\w){re.escape(secret)}(?!\w)", text):
                yield found.span()
        for start in range(len(text) - _PART + 1 if self._parts else 0):
            has_blanks = self._parts.get(text[start : start + _PART])
            if has_blanks is not None:
                yield (0, len(text)) if has_blanks else (start, start + _PART)

    def _is_told_otherwise(self, text: str) -> bool:
        """Whether a text tells a secret by another encoding, or cannot be looked through."""
        seen, forms, left = {text}, [text], _MOST_DECODED
        if any(self._found(_joined(lowered(text)), least=_PART)):
            return True
        for _ in range(_DEEPEST):
            found = []
            for form in forms:
                for decoded in _decoded(form):
                    if decoded in seen:
                        continue
                    seen.add(decoded)
                    found.append(decoded)
                    left -= len(decoded)
                    told = lowered(visible(decoded))
                    joined = _joined(told)
                    if left < 0 or any(self._found(told)) or any(self._found(joined, least=_PART)):
                        return True
            forms = found
        return False


def visible(text: str) -> str:
    """Leave out what no screen shows, or obeys: controls, marks of direction, halves."""
    shown = (
        each if each.isprintable() or each == "\n" else " " if each.isspace() else ""
        for each in text
    )
    return "".join(shown)


def lowered(text: str) -> str:
    """Write in small letters, each in its place."""
    return "".join(small if len(small := each.lower()) == 1 else each for each in text)


def plain_name(name: str) -> str:
    """Write a field's name as all spellings of it are read."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def tells_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    is_one = re.search(f"{_OF_SECRETS}|pin$", plain_name(name)) is not None
    return is_one and not is_about_one(name)


def is_about_one(name: str) -> bool:
    """Whether a field of this name says something of a secret, and not the secret."""
    return re.search(_ABOUT_ONE, plain_name(name)) is not None


def named_in(text: str) -> Iterator[str]:
    """Tell what stands in a text for a name that tells a secret, such as in JSON that was cut."""
    for start, end in _named(text):
        yield text[start:end]
        yield _unescaped(text[start:end])
        # The other one has no backslash left, which a secret may have.
        with suppress(ValueError):
            yield str(json.loads(f'"{text[start:end]}"'))


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Tell where it stands; a colon without quotes may be a sentence's, before a word."""
    at = 0
    while (found := re.compile(_NAMED).search(text, at)) is not None:
        name, between, quote = found.groups()
        start = found.end()
        end = _end_of_quoted(text, start, quote) if quote else _end_of_bare(text, start)
        is_prose = not quote and between.strip() == ":" and text[start:end].isalpha()
        at = max(end, start + 1)
        if not (is_about_one(name) or is_prose):
            yield start, end


def _end_of_bare(text: str, start: int) -> int:
    found = re.compile(_BARE).match(text, start)
    return found.end() if found is not None else start


def _end_of_quoted(text: str, start: int, quote: str) -> int:
    """Find the quote that ends what such a one began: one that is escaped as it was."""
    for found in re.compile(rf"(\\*){re.escape(quote[-1])}").finditer(text, start):
        if len(found[1]) == len(quote) - 1:
            return found.start()
    return len(text)


def _is_opaque(word: str) -> bool:
    """Whether a word is long, and no words: a token, a key, a hash."""
    if len(word) < _SHORTEST_OPAQUE or re.fullmatch(_TIME, word.rstrip(".")):
        return False
    return not all(map(_is_plain, re.split(r"[\W_]+", word)))


def _is_plain(piece: str) -> bool:
    """Whether it is a word, some words without blanks, a number, or a word and a number."""
    if not piece.isascii():
        return piece.isalpha() and len(piece) in _LETTERS
    if piece.isdigit() or not piece:
        return len(piece) <= _LONGEST_NUMBER
    letters = piece.rstrip("0123456789")
    if len(piece) - len(letters) > _LONGEST_CODE or not letters.isalpha():
        return False
    runs = re.findall("[a-z]+", letters)
    is_short = all(len(each) in _LETTERS for each in runs) and not re.search(_NO_VOWELS, letters)
    return is_short and all(len(each) <= _MOST_CAPITALS for each in re.findall("[A-Z]+", letters))


def _words_around(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Widen what was found, in its order, up to the next blanks, and join what overlaps.

    What stands close to a part of a secret may be another part of it, in another encoding.
    """
    words = [word.span() for word in re.finditer(r"\S+", text)] if spans else []
    widened: list[tuple[int, int]] = []
    at = 0
    for start, end in spans:
        while words[at][1] <= start:
            at += 1
        last = at
        while last + 1 < len(words) and words[last + 1][0] < end:
            last += 1
        first = min(start, words[at][0])
        if widened and first <= widened[-1][1]:
            widened[-1] = (widened[-1][0], max(end, words[last][1]))
        else:
            widened.append((first, max(end, words[last][1])))
    return widened


def _spelled(text: str) -> str:
    """Leave letters and digits alone, whatever stands between them."""
    return re.sub(r"[\W_]+", "", lowered(text))


def _parts_of(text: str) -> set[str]:
    """Tell all parts of a text that are as long as what is looked for."""
    return {text[start : start + _PART] for start in range(len(text) - _PART + 1)}


def _from_codes(text: str) -> Iterator[str]:
    """Read numbers as the characters that they stand for: decimal, octal, hexadecimal."""
    codes = re.findall(r"[0-9a-f]+", re.sub(r"0x|u\+|[\\%]", " ", text.lower()))
    for base in (8, 10, 16):
        digits = "0123456789abcdef"[:base]
        numbers = [
            int(each, base) for each in codes if len(each) < _PART and not each.strip(digits)
        ]
        yield "".join(chr(each) for each in numbers if each <= sys.maxunicode)


def _joined(text: str) -> str:
    """Leave out what breaks a line, or a long word."""
    return re.sub(r"\s+", "", text)


def _decoded(text: str) -> Iterator[str]:
    """Decode a text by each of the encodings that texts come back in."""
    decoders: tuple[Callable[[str], str], ...] = (
        _again(unquote),
        _again(unquote_plus),
        lambda each: unquote(each, "latin-1"),
        _again(html.unescape),
        _again(_unescaped),
        lambda each: unicodedata.normalize("NFKC", each),
        _from_quoted_printable,
        _from_base64,
        _from_hex,
    )
    for decode in decoders:
        decoded = decode(text)
        if decoded and decoded != text:
            yield decoded


def _again(decode: Callable[[str], str]) -> Callable[[str], str]:
    """Decode what an encoding was laid over several times."""

    def decode_all(text: str) -> str:
        for _ in range(_MOST_ROUNDS):
            before, text = text, decode(text)
            if text == before:
                break
        return text

    return decode_all


def _unescaped(text: str) -> str:
    """Undo what JSON and programming languages write for a character."""
    escaped = re.sub(
        r"(?<!\\)\\+(?:u([0-9a-fA-F]{4})|u\{0{0,2}([0-9a-fA-F]{1,5})\}|x([0-9a-fA-F]{2}))",
        lambda code: chr(int(code[1] or code[2] or code[3], 16)),
        text,
    )
    return re.sub(r"\\+([^\w\s])", r"\1", escaped)


def _from_base64(text: str) -> str:
    """Decode all that may be Base64, from each place where a group may begin."""
    found = []
    for run in re.findall(r"[A-Za-z0-9+/_-]{4,}", _joined(text)) + re.findall(
        r"[A-Za-z0-9+/_-]{4,}", text
    ):
        standard = run.translate(str.maketrans("-_", "+/"))
        for offset in range(min(4, len(standard) - 3)):
            whole = standard[offset:]
            whole = whole[: len(whole) - (len(whole) % 4 == 1)]
            try:
                decoded = base64.b64decode(whole + "=" * (-len(whole) % 4))
            except binascii.Error:
                continue
            found.append(decoded)
    return "\n".join(_texts_of(found))


def _texts_of(decoded: Iterable[bytes]) -> dict[str, None]:
    """Read bytes by the two encodings that texts are sent in, each text once."""
    encodings = ("utf-8", "latin-1")
    return dict.fromkeys(each.decode(name, "ignore") for each in decoded for name in encodings)


def _from_quoted_printable(text: str) -> str:
    """Undo what e-mail writes for a byte (RFC 2045 section 6.7)."""

    def read(codes: re.Match[str]) -> str:
        written = bytes.fromhex(codes[0].replace("=", ""))
        try:
            return written.decode()
        except UnicodeDecodeError:
            return written.decode("latin-1")

    return re.sub(r"(?:=[0-9A-Fa-f]{2})+", read, text)


def _from_hex(text: str) -> str:
    """Decode all that may be hexadecimal."""
    runs = re.findall(r"(?:[0-9a-fA-F]{2}[:\s]?){4,}", text)
    return "\n".join(_texts_of(bytes.fromhex(re.sub(r"[:\s]", "", run)) for run in runs))
