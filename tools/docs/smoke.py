"""What a second AWS does otherwise than AWS documents, as the tests found it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tools.docs.blocks import Table, code

TESTS: Final = Path(__file__).resolve().parents[2] / "tests"
RECORD: Final = TESTS / "tools/smoke_moto.json"
DIFFERENCES: Final = TESTS / "moto/differences.json"


def moto() -> Table:
    """Each question that moto answers otherwise, with what came."""
    found: dict[str, str] = json.loads(RECORD.read_bytes())
    facts = [(code(question), measured) for question, measured in found.items()]
    return Table(("question", "moto", "reason"), facts)


def moto_differences() -> Table:
    """Each thing that moto does otherwise in the tests, and how many of them say so."""
    differences = json.loads(DIFFERENCES.read_bytes())["differences"]
    facts = [
        (one["what"], one["instead"], one["so"], str(len(one["tests"]))) for one in differences
    ]
    return Table(("moto", "AWS, as documented", "so", "tests"), facts)
