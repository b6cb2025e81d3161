"""What a second AWS answers otherwise than AWS documents, as the tests found it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tools.docs.blocks import Table, code

RECORD: Final = Path(__file__).resolve().parents[2] / "tests/tools/smoke_moto.json"


def moto() -> Table:
    """Each question that moto answers otherwise, with what came."""
    found: dict[str, str] = json.loads(RECORD.read_bytes())
    facts = [(code(question), measured) for question, measured in found.items()]
    return Table(("question", "moto", "reason"), facts)
