"""CloudWatch Logs Insights, as far as AWS documents what the dashboard's query needs of it.

Neither ministack nor a clock. What is not known here is refused, not ignored, and so is what AWS
does not document: how a JSON boolean or null is shown, how events without a value are sorted.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_RESULTS: Final = 10_000
MOST_FIELDS: Final = 200
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+)
    | (?P<text>'[^'\\]*'|"[^"\\]*")
    | (?P<name>@?[A-Za-z_][\w.]*)
    | (?P<mark>[<>]=?|[-+*/(),|]))""",
    re.VERBOSE | re.ASCII,
)
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_ARITHMETIC: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Value: TypeAlias = str | float | datetime | None


class RefusedError(Exception):
    """The query is malformed, or has what is not known here."""


@dataclass(frozen=True, slots=True)
class Event:
    """A log event.

    Attributes:
        timestamp_ms: Milliseconds since the epoch.
        message: One line.
        pointer: Tells it from others.
    """

    timestamp_ms: int
    message: str
    pointer: str


Row: TypeAlias = dict[str, str]


def run(query: str, events: Iterable[Event], *, now_seconds: int) -> list[Row]:
    """Run a query over log events.

    Args:
        query: Commands of the language, without ``SOURCE``, which only a dashboard has.
        events: All that the query's time range holds.
        now_seconds: When the query was started, in epoch seconds.

    Returns:
        The fields that each event has, and its pointer.

    Raises:
        RefusedError: The query is malformed, or has what is not known here.
    """
    return _Query(query, now_seconds).results(events)


class _Found:
    """An event, with the fields that are discovered in it when one is first asked for."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self._discovered: dict[str, object] | None = None

    def value(self, name: str) -> Value:
        if name == "@timestamp":
            return _EPOCH + timedelta(milliseconds=self.event.timestamp_ms)
        if name == "@message":
            return self.event.message
        if name.startswith("@"):
            raise RefusedError(f"The field {name} is not known here.")
        if self._discovered is None:
            self._discovered = _discovered(self.event.message)
        if name not in self._discovered:
            return None
        value = self._discovered[name]
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return value
        raise RefusedError(f"AWS does not document what {json.dumps(value)} of {name} becomes.")


def _discovered(message: str) -> dict[str, object]:
    """Discover the fields of the first JSON object in a message, nested ones by their path."""
    begin = message.find("{")
    try:
        document, _ = json.JSONDecoder().raw_decode(message[begin:]) if begin >= 0 else ({}, 0)
    except ValueError:
        return {}
    found = dict(_flattened(document))
    if len(found) > MOST_FIELDS:
        raise RefusedError("AWS does not document which fields of so many it discovers.")
    return found


def _flattened(node: object, *path: str) -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        items: Iterable[tuple[object, object]] = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    else:
        yield ".".join(path), node
        return
    for key, value in items:
        yield from _flattened(value, *path, str(key))


class _Query:
    """Commands, parsed as they are run."""

    def __init__(self, text: str, now_seconds: int) -> None:
        self._tokens = list(_tokens(text))
        self._now_seconds = now_seconds
        self._found: list[_Found] = []
        self._shown = ["@timestamp", "@message"]
        self._is_sorted = False

    def results(self, events: Iterable[Event]) -> list[Row]:
        self._found = [_Found(event) for event in events]
        commands = {
            "fields": self._fields,
            "filter": self._filter,
            "sort": self._sort,
            "dedup": self._dedup,
            "limit": self._limit,
        }
        done: list[str] = []
        while True:
            name = self._take("name")
            if name not in commands:
                raise RefusedError(f"The command {name} is not known here.")
            if "limit" in done or ("dedup" in done and name != "limit"):
                raise RefusedError("Only limit may come after dedup, and here nothing after limit.")
            if name in done and name != "filter":
                raise RefusedError(f"More than one {name} is not known here.")
            commands[name]()
            done.append(name)
            if not self._tokens:
                break
            self._expect("|")
        if "limit" not in done:
            del self._found[MOST_RESULTS:]
        return [self._row(each) for each in self._found]

    def _row(self, found: _Found) -> Row:
        values = {name: found.value(name) for name in self._shown}
        row = {name: _shown(value) for name, value in values.items() if value is not None}
        return {**row, "@ptr": found.event.pointer}

    # Commands

    def _fields(self) -> None:
        self._shown = [self._take("name")]
        while self._next_is(","):
            self._expect(",")
            self._shown.append(self._take("name"))

    def _filter(self) -> None:
        left = self._expression()
        if self._next_is("like"):
            self._expect("like")
            text = self._take("text")[1:-1]
            self._found = [each for each in self._found if text in _text(left(each))]
            return
        mark = self._take("mark")
        if mark not in _COMPARISONS:
            raise RefusedError(f"A filter by {mark} is not known here.")
        holds, right = _COMPARISONS[mark], self._expression()
        self._found = [
            each for each in self._found if holds(_number(left(each)), _number(right(each)))
        ]

    def _sort(self) -> None:
        name, order = self._take("name"), self._take("name")
        if name != "@timestamp" or order not in {"asc", "desc"}:
            raise RefusedError(f"To sort by {name} {order} is not known here.")
        self._sort_by_time(newest_first=order == "desc")

    def _sort_by_time(self, *, newest_first: bool) -> None:
        self._found.sort(key=lambda each: each.event.timestamp_ms, reverse=newest_first)
        self._is_sorted = True

    def _dedup(self) -> None:
        if not self._is_sorted:
            self._sort_by_time(newest_first=True)
        name, seen, kept = self._take("name"), set(), []
        for each in self._found:
            value = each.value(name)
            # Events without a value are no duplicates of each other.
            if value is None or value not in seen:
                kept.append(each)
            seen.add(value)
        self._found = kept

    def _limit(self) -> None:
        most = int(self._take("number"))
        if not 1 <= most <= MOST_RESULTS:
            raise RefusedError(f"A limit is 1 to {MOST_RESULTS}.")
        del self._found[most:]

    # Expressions

    def _expression(self) -> Callable[[_Found], Value]:
        return self._chain("+-", lambda: self._chain("*/", self._operand))

    def _chain(
        self, marks: str, part: Callable[[], Callable[[_Found], Value]]
    ) -> Callable[[_Found], Value]:
        value = part()
        while self._tokens and self._tokens[0][1] in marks:
            mark = self._take("mark")
            value = _calculated(_ARITHMETIC[mark], value, part())
        return value

    def _operand(self) -> Callable[[_Found], Value]:
        if self._next_is("("):
            self._expect("(")
            inner = self._expression()
            self._expect(")")
            return inner
        if self._tokens and self._tokens[0][0] == "number":
            number = int(self._take("number"))
            return lambda _: number
        name = self._take("name")
        if not self._next_is("("):
            return lambda each: each.value(name)
        self._expect("(")
        if name == "now":
            self._expect(")")
            return lambda _: self._now_seconds
        if name == "toMillis":
            time = self._expression()
            self._expect(")")
            return lambda each: _milliseconds(time(each))
        raise RefusedError(f"The function {name} is not known here.")

    # Tokens

    def _next_is(self, text: str) -> bool:
        return bool(self._tokens) and self._tokens[0][1] == text

    def _take(self, kind: str) -> str:
        if not self._tokens or self._tokens[0][0] != kind:
            found = self._tokens[0][1] if self._tokens else "its end"
            raise RefusedError(f"A {kind} is missing before {found}.")
        return self._tokens.pop(0)[1]

    def _expect(self, text: str) -> None:
        if not self._next_is(text):
            found = self._tokens[0][1] if self._tokens else "its end"
            raise RefusedError(f"{text} is missing before {found}.")
        del self._tokens[0]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or token.lastgroup is None:
            raise RefusedError(f"Not known here: {text[position:]}")
        yield token.lastgroup, token[token.lastgroup]
        position = token.end()


def _calculated(
    calculate: Callable[[float, float], float],
    left: Callable[[_Found], Value],
    right: Callable[[_Found], Value],
) -> Callable[[_Found], Value]:
    return lambda each: calculate(_number(left(each)), _number(right(each)))


def _number(value: Value) -> float:
    if isinstance(value, int | float):
        return value
    raise RefusedError("Only numbers are compared and calculated with here.")


def _milliseconds(value: Value) -> int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(milliseconds=1)
    raise RefusedError("toMillis takes a timestamp.")


def _text(value: Value) -> str:
    """Return a text to be searched; what an event does not have matches nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise RefusedError("Only texts are searched here.")


def _shown(value: Value) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    return str(value)
