"""What the scenarios tell of another specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tools.docs.blocks import Table

SDK_REFRESH: Final = Path(__file__).resolve().parents[2] / "tests/scenarios/sdk-refresh.json"


def sdk_refresh() -> Table:
    """Each scenario of the AWS SDKs' specification, with the one here that retells it."""
    rows = []
    for story in json.loads(SDK_REFRESH.read_bytes()):
        told = story["specification"]
        rows.append(
            (str(told["number"]), told["asks"], told["verdict"], told["ours"], story["scenario"])
        )
    return Table(("", "the specification asks", "here", "in our terms", "our scenario"), rows)
