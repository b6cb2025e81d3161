"""What docs/deployment.md says, held to the templates."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests import templates
from tests.docs.test_readme import first_column

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "deployment.md").read_text()


def section(title: str) -> str:
    """The text under a heading of the second rank."""
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def defaults(table: str) -> dict[str, str]:
    """The second column of a table by the first."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


@pytest.mark.parametrize(
    ("title", "path"), [("Deploy", templates.MONITORING), ("Accounts", templates.ACCOUNT)]
)
def test_every_parameter_is_explained_with_its_default(title: str, path: Path) -> None:
    parameters: dict[str, Any] = templates.load(path)["Parameters"]
    expected = {name: str(each.get("Default", "")) for name, each in parameters.items()}
    assert defaults(section(title)) == expected


def test_every_permission_has_its_reason_and_no_other_has_one() -> None:
    everything = {
        "CredentialsKmsKeyArn": "x",
        "TokenSecretKmsKeyArn": "x",
        "Tracing": "true",
        "VpcSubnetIds": "x",
        "VpcSecurityGroupIds": "x",
    }
    named = first_column(section("Permissions"))
    roles = ("FunctionRole", "TriggerRole", "RotationRole")
    allowed = {sid for role in roles for sid in templates.statements(everything, role=role)}
    assert sorted(named) == sorted(allowed)


def test_every_alarm_is_explained_and_no_other() -> None:
    assert first_column(section("When an alarm rings")) == alarms()


def dollars_a_month(accounts: int, *, hours: float = 12, minutes: int = 5) -> list[float]:
    """What the document's formula says, row by row."""
    sweeps = 730 * 60 / minutes
    refreshes = accounts * 730 / (hours - 1.5)
    calls = 2 * sweeps * math.ceil(accounts / 100) + 6 * refreshes
    seconds = max(0.12, 0.0004 * accounts + 0.04 * refreshes / sweeps)
    bytes_logged = sweeps * (1100 + 22 * accounts) + 400 * refreshes
    return [
        0.40 * 2 * accounts,
        0.05 / 10_000 * calls,
        0.30 * len(metrics()) + 0.10 * len(alarms()),
        sweeps * (0.5 * seconds * 0.0000133334 + 0.20 / 1e6 + 1.00 / 1e6),
        0.57 * bytes_logged / 1e9,
    ]


def metrics() -> set[str]:
    """The metrics of every sweep; failures are billed only in months in which there are any."""
    source = (ROOT / "functions/token_refresher/handler.py").read_text()
    emitted = set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', source))
    return emitted - {"TokenRefresher", "RefreshFailures"}


def alarms() -> list[str]:
    resources = templates.resolved(templates.MONITORING)["Resources"].values()
    return [
        each["Properties"]["AlarmName"].removeprefix("token-refresher ")
        for each in resources
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]


@pytest.mark.parametrize(("column", "accounts"), [(0, 1), (1, 100), (2, 10_000)])
def test_the_costs_are_those_of_the_formula(column: int, accounts: int) -> None:
    rows = re.findall(r"^\| (?:\*\*)?[a-z].*\|$", section("What it costs"), re.MULTILINE)
    shown = [row.strip("|").split("|")[column + 1].strip(" *").replace(",", "") for row in rows]
    costs = dollars_a_month(accounts)
    rounded = [round(cost, 2) for cost in costs]
    assert [float(cost) for cost in shown] == pytest.approx([*rounded, sum(rounded)])


def test_the_function_has_the_memory_that_the_costs_are_of() -> None:
    assert templates.load(templates.FUNCTION)["Parameters"]["MemoryMegabytes"]["Default"] == 512
