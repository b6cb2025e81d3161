"""What docs/resilience.md says, held to the matrix that it reports of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.resilience.matrix import FLOWS, Fault
from tests.resilience.matrix_cases import DEATHS
from tests.resilience.matrix_rules import Invariant
from tests.resilience.report import BEGIN, END

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = (ROOT / "docs" / "resilience.md").read_text(encoding="utf-8")
REPORT: Final = DOCUMENT.partition(BEGIN)[2].partition(END)[0]


def test_every_fault_is_explained_and_no_other() -> None:
    table = DOCUMENT.split("\n## What is struck\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE)
    assert rows[1:] == [fault.value for fault in Fault]


def test_the_report_is_of_every_flow_and_every_promise_and_breaks_none() -> None:
    lines = REPORT.splitlines()
    for flow in FLOWS:
        # Among doubles, and over HTTP.
        assert sum(line.startswith(f"{flow.name}  ") for line in lines) >= 2, flow.name
    for flow in DEATHS:
        assert sum(line.startswith(f"{flow.name}  ") for line in lines) >= 3, flow.name
    for invariant in Invariant:
        assert re.search(
            rf"^{invariant.name}  {re.escape(invariant.value)} +0 broken$", REPORT, re.MULTILINE
        )
    assert re.search(r"^[1-9]\d{3,} cases, 0 violations$", REPORT, re.MULTILINE)
