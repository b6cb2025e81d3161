"""Reads a file of many accounts, JSON lines or CSV, into the fields of each. Pure.

It judges the form of the file alone; what the fields must be, the program's own parser says. A
problem names line and account, never a value.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher.events import AccountName
from token_refresher.json_text import given_twice, trouble_with
from token_refresher.refusals import plain
from token_refresher_cli.fields import FormError, read_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ACCOUNT: Final = "account"
_BYTE_ORDER_MARKS_OF_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
# What spreadsheets put between cells, by their country.
_DELIMITERS: Final = ",;\t"
# Excel's line before the header, which says what stands between cells.
_SEPARATOR: Final = "sep="
# PowerShell's line before the header.
_TYPE: Final = "#TYPE "
# What a spreadsheet shows instead of what was entered: a formula's error, a long number cut short.
_SPOILT: Final = re.compile(
    r"#(NAME\?|REF!|VALUE!|DIV/0!|NULL!|NUM!|N/A)|[0-9]([.,][0-9]+)?E\+[0-9]+"
)
# Objects that hold others; the names in all others may have dots of their own.
_NESTED: Final = frozenset({"grant_parameters", "publish"})
_LISTS: Final = frozenset({"publish.fields"})


@dataclass(frozen=True, slots=True)
class Line:
    """One account in the file.

    Attributes:
        number: That of the line that it begins on.
        account: Its name.
        fields: Of its credentials, the secret ones too.
    """

    number: int
    account: str
    fields: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one line.

    Attributes:
        number: The line's.
        account: Its name; empty where it is none that could be shown.
        problem: What is wrong, without a full stop.
        column: Such as ``column 5``; empty where it is the line as a whole.
    """

    number: int
    account: str
    problem: str
    column: str = ""


def text_of(content: bytes) -> str:
    """Decode a file.

    Raises:
        FormError: It is not UTF-8; it says what to save it as.
    """
    if content.startswith(_BYTE_ORDER_MARKS_OF_UTF_16) or b"\x00" in content[:4]:
        raise FormError("it is UTF-16: save it as UTF-8, in Excel as CSV UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise FormError(
            f"line {number} is not UTF-8: save it as UTF-8, in Excel as CSV UTF-8"
        ) from None


def read_accounts(text: str) -> tuple[list[Line], list[Wrong]]:
    """Read all accounts, in the order of the file.

    Returns:
        Those that could be read, and what is wrong with the others.

    Raises:
        FormError: The file as a whole is none of accounts.
    """
    wrong: list[Wrong] = []
    lines: list[Line] = []
    first_on: dict[str, int] = {}
    begins = text.lstrip()[:1]
    if not begins:
        raise FormError("it is empty")
    if begins == "[":
        raise FormError("it is a JSON list: write each account on a line of its own (jq -c '.[]')")
    for each in _from_json(text) if begins == "{" else _from_csv(text):
        if isinstance(each, Wrong):
            wrong.append(each)
        elif each.account in first_on:
            problem = f"line {first_on[each.account]} has the same account"
            wrong.append(Wrong(each.number, each.account, problem))
        else:
            first_on[each.account] = each.number
            lines.append(each)
    if not lines and not wrong:
        raise FormError("there is no account in it")
    return lines, wrong


def holds_many(content: bytes) -> bool:
    """Whether what is no single JSON object is a file of accounts, as it is or nearly."""
    try:
        lines, _ = read_accounts(text_of(content))
    except FormError:
        return False
    return bool(lines)


def without_account(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the fields of a file with one account, which may name it as a file of many does.

    Raises:
        FormError: It names another one.
    """
    if fields.get(_ACCOUNT, name) != name:
        raise FormError("the file has an `account` of another name")
    return {key: value for key, value in fields.items() if key != _ACCOUNT}


def _from_json(text: str) -> Iterator[Line | Wrong]:
    # Not by `splitlines`: a text in JSON may hold what Unicode calls a line's end.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            content = read_object(line)
        except FormError:
            if number == _first_line(text) and not _is_one_object(line) and _is_one_object(text):
                raise FormError(
                    "it is one JSON object over several lines: write each account on a line of "
                    "its own (jq -c .), or give the NAME of this one"
                ) from None
            yield _trouble(number, line)
        else:
            yield _line(number, content)


def _trouble(number: int, line: str) -> Wrong:
    """Say what is wrong with a line that is no object."""
    if twice := given_twice(line) if _is_one_object(line) else []:
        return Wrong(number, "", f"it gives {' and '.join(twice)} twice")
    place, kind = trouble_with(line)
    return Wrong(number, "", kind, place.removeprefix("line 1, "))


def _first_line(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n") + 1


def _is_one_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _line(number: int, content: dict[str, Any]) -> Line | Wrong:
    """Take the account's name from its fields."""
    name = content.get(_ACCOUNT)
    if name is None:
        return Wrong(number, "", f"`{_ACCOUNT}` is missing")
    try:
        # A name of digits alone is often stored as a number.
        account = msgspec.convert(str(name) if type(name) is int else name, AccountName)
    except msgspec.ValidationError:
        problem = f"`{_ACCOUNT}` must be a name of letters, digits and /_+=.@- alone"
        return Wrong(number, "", problem)
    return Line(number, account, {key: each for key, each in content.items() if key != _ACCOUNT})


def _from_csv(text: str) -> Iterator[Line | Wrong]:
    """Read RFC 4180, with whatever delimiter its header has."""
    head = text.split("\n", 1)[0].strip()
    skipped = 0
    if head.lower().startswith(_SEPARATOR) and len(head) == len(_SEPARATOR) + 1:
        skipped, delimiter, text = 1, head[-1], text.split("\n", 1)[-1]
    else:
        if head.startswith(_TYPE):
            skipped, text = 1, text.split("\n", 1)[-1]
            head = text.split("\n", 1)[0].strip()
        delimiter = max(_DELIMITERS, key=head.count)
    rows = _rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    _, header = next(rows, (1, []))
    columns = _columns(header or [])
    between = "a tab" if delimiter == "\t" else delimiter
    for number, cells in rows:
        number += skipped  # noqa: PLW2901 - a line of the file
        while cells and len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if cells is None:
            yield Wrong(
                number,
                "",
                "a quote is not closed, or not doubled within quotes, or a cell is longer than a "
                "secret holds",
            )
        elif any(cells) and len(cells) != len(columns):
            problem = f"it has {len(cells)} cells, and the header {len(columns)}: a value with "
            yield Wrong(number, "", f"{problem}{between} in it stands in quotes")
        elif any(cells):
            yield _row(number, columns, cells)


def _rows(reader: Any) -> Iterator[tuple[int, list[str] | None]]:  # noqa: ANN401 - csv has no name
    """Number each row by the line that it begins on; None is one that no reader understands."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # What follows cannot be told apart from what is quoted.
            yield number, None
            return
        if cells:
            yield number, cells


def _columns(header: Sequence[str]) -> list[str]:
    columns = [name.strip() for name in header]
    while columns and not columns[-1]:
        # Beside a table there are empty columns, which a spreadsheet writes as well.
        columns.pop()
    if _ACCOUNT not in columns:
        raise FormError(f"it is neither JSON lines nor CSV with a column `{_ACCOUNT}`")
    if any(not part for name in columns for part in name.split(".")):
        raise FormError("a column, or a part of its name, has no name")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        # Whatever is there has been taken for a name; it may be a value.
        raise FormError(f"two columns are called `{plain(twice[0])}`")
    return columns


def _row(number: int, columns: Sequence[str], cells: Sequence[str]) -> Line | Wrong:
    """Put cells together; an empty one is a field that the account does not have."""
    content: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        if _SPOILT.fullmatch(cell):
            problem = f"`{plain(name)}` is what a spreadsheet shows instead of what was entered: "
            return Wrong(number, "", f"{problem}make its column a text, and enter it again")
        first = name.split(".", 1)[0]
        *path, last = name.split(".", -1 if first in _NESTED else 1)
        if path == ["assertion"] and last.startswith("claims."):
            path, last = ["assertion", "claims"], last.removeprefix("claims.")
        place: Any = content
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            return Wrong(number, "", f"`{plain(first)}` is given both as a whole and in parts")
        place[last] = _list(cell) if name in _LISTS else cell
    return _line(number, content)


def _list(cell: str) -> object:
    """Read a cell that holds several words: with blanks between them, or as JSON."""
    if cell.lstrip().startswith("["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell.split()
