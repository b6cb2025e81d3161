"""What a person was told of each kind of failure, as it was recorded on the local cloud."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.docs.blocks import Table, code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORD: Final = Path(__file__).resolve().parents[2] / "tests/deployment/failures.json"


def failures() -> Table:
    """Each kind of failure, with what the alarm and all that it leads to say of it."""
    rows = [
        (what, *(column(told) for column in _COLUMNS.values()))
        for what, told in json.loads(RECORD.read_bytes()).items()
    ]
    return Table(("what happened", *_COLUMNS), rows)


def _alarm(told: dict[str, Any]) -> str:
    return code(told["alarm"])


def _status(told: dict[str, Any]) -> str:
    answer = told["answer"]
    return f"{answer['state']}, {code(answer['error'].strip('-'))}".strip(", ") if answer else ""


def _row(told: dict[str, Any]) -> str:
    row = told["row"]
    return f"{code(row['error'])}, {row['failure_class']}: {_fix(row['fix'])}" if row else ""


def _event(told: dict[str, Any]) -> str:
    event = told["event"]
    return f"*{event['kind']}*" if event else ""


def _doctor(told: dict[str, Any]) -> str:
    found = told["doctor"]
    return f"{found['step']}: {found['found']}" if found else ""


def _fix(said: str) -> str:
    """Write a sentence, and the command at its end without the options that lead to the place."""
    sentence, colon, command = said.rpartition(": token-refresher ")
    if not colon:
        return said
    command = re.sub(r" --(?:region|stack) \S+", "", command)
    return f"{sentence}: {code(f'token-refresher {command}')}"


_COLUMNS: Final[Mapping[str, Callable[[dict[str, Any]], str]]] = {
    "alarm": _alarm,
    "`status`": _status,
    "dashboard": _row,
    "event": _event,
    "`doctor`": _doctor,
}
