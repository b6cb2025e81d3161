"""What moto does otherwise than AWS documents, or cannot do at all: `differences.json`.

Each has the tests that say so: they fail against moto, and one that does not fail any more is an
error. The table in docs/resilience.md is made from the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that moto does otherwise.

    Attributes:
        what: moto does.
        instead: What AWS documents; empty where it is no matter of AWS's.
        so: What it means for the program, or for its tests.
        tests: Those that fail, by name; with parameters where not all of them do.
    """

    what: str
    instead: str
    so: str
    tests: tuple[str, ...]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is otherwise, and what is not tried.

    Attributes:
        differences: In the order of the table.
        left_out: Tests that are not run against moto, with the reason; not for what it does.
    """

    differences: tuple[Difference, ...]
    left_out: dict[str, str]


RECORD: Final = msgspec.json.decode(
    Path(__file__).with_name("differences.json").read_bytes(), type=Record
)
