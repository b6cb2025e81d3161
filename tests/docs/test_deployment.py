"""What docs/deployment.md says, held to the templates."""

from __future__ import annotations

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
    assert sorted(named) == sorted(templates.statements(everything))


def test_every_alarm_is_explained_and_no_other() -> None:
    resources = templates.resolved(templates.MONITORING)["Resources"].values()
    names = [
        each["Properties"]["AlarmName"].removeprefix("token-refresher ")
        for each in resources
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert first_column(section("When an alarm rings")) == names
