"""What docs/deployment.md says that things cost, held to the model that its tables are made of."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tools.docs import costs
from tools.templates import ROOT

DOCUMENT: Final = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
SECTION: Final = re.split(r"\n## ", DOCUMENT.split("\n## What it costs\n")[1])[0].replace(
    "\N{MULTIPLICATION SIGN}", "*"
)
READS_A_MONTH: Final = costs.HOURS_A_MONTH * 60 / 5


@pytest.mark.parametrize(
    "said",
    [
        f"{costs.SECRET:.2f} * 2 `n`",
        f"{costs.CALL * 10_000:.2f} / 10,000 * (2 `s` * pages + {costs.CALLS_OF_A_REFRESH} `r`)",
        f"{costs.METRIC:.2f} for each of [these metrics]",
        f"alarms: {costs.ALARM:.2f} each",
        f"at {costs.GIGABYTE_SECOND:.10f}, and {costs.INVOCATION * 1e6:.2f} for a million",
        f"the schedule {costs.TICK * 1e6:.2f} for a million",
        f"log: {costs.LOG_GIGABYTE:.2f} for a GB",
        f"{costs.SIGNING_KEY:.2f} for each key, and {costs.SIGNATURE_BY_RSA_2048 * 10_000:.2f}",
        f"keys of your own: {costs.KEY:.2f} for each key",
        f"{costs.KEY_CALL * 10_000:.2f} / 10,000 * {costs.KEY_CALLS_OF_A_REFRESH} `r`",
        f"{READS_A_MONTH * costs.CALL:.2f} a month for a workload that reads every five minutes",
        f"management events: {costs.TRAIL_EVENT * 100_000:.2f} / 100,000",
        f"{costs.NAT_GATEWAY_HOUR} an hour and 0.048 a GB for each NAT gateway",
        f"{costs.ENDPOINT_HOUR} an hour",
        f"{costs.CONFIGURATION_ITEM} for each configuration item",
    ],
)
def test_a_formula_has_the_price_that_its_table_is_made_of(said: str) -> None:
    assert said in SECTION
