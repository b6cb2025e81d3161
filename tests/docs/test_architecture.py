"""What docs/architecture.md says, held to the tree, the import contracts and a refresh."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from tests.docs.test_readme import first_column
from tests.unit.fakes import PARTNER, UNTIL_DUE, World
from token_refresher.ports import CLAIM_STAGE, CURRENT, JOURNAL_STAGE, PENDING, PREVIOUS

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS: Final[list[dict[str, Any]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())[
    "tool"
]["importlinter"]["contracts"]
# By the names that people know them by.
KNOWN_AS: Final = {"aws_lambda_powertools": "Powertools"}


def section(title: str) -> str:
    """The text under a heading of the second rank."""
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_layers_are_those_that_the_linter_enforces() -> None:
    (layers,) = (
        each["layers"]
        for each in CONTRACTS
        if each["type"] == "layers" and each["containers"] == ["token_refresher"]
    )
    (shown,) = re.findall(r"```text\n(.*?)```", section("Modules"), re.DOTALL)
    assert shown.splitlines() == layers


def test_every_module_is_explained_and_no_other() -> None:
    package = ROOT / "functions" / "token_refresher"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert sorted(first_column(section("Modules"))) == sorted(modules)


def test_what_a_module_alone_may_use_is_what_the_linter_allows_it() -> None:
    allowed: dict[str, set[str]] = {}
    for contract in CONTRACTS:
        for line in contract.get("ignore_imports", []):
            module, _, library = line.partition(" -> ")
            # The first library of a contract is the one that it is named for.
            if library in (contract["forbidden_modules"][0], "urllib3"):
                name = KNOWN_AS.get(library, library)
                allowed.setdefault(module.removeprefix("token_refresher."), set()).add(name)
    rows = [line.strip("|").split("|") for line in section("Modules").splitlines() if "`" in line]
    shown = {
        row[0].strip(" `"): set(re.findall(r"\w+", row[2]))
        for row in rows
        if len(row) == 3 and row[2].strip()
    }
    assert shown == allowed


def test_the_stages_are_those_of_the_program() -> None:
    stages = re.findall(r"\| `([A-Z]+)` \|", section("The two secrets of an account"))
    assert stages == [CURRENT, CLAIM_STAGE, JOURNAL_STAGE, CURRENT, PREVIOUS, PENDING]
    diagram = DOCUMENT.split("```mermaid")[1].split("```")[0]
    # A rotation is not in the picture: few will ever ask for one.
    assert {stage for stage in stages if stage not in diagram} == {PENDING}


def test_a_refresh_by_refresh_token_makes_these_calls_in_this_order() -> None:
    world = World()
    world.add(PARTNER, verify_url="https://www.autovit.ro/api/open/account")
    world.sweep()
    world.faults.reset()
    world.sweep(after=UNTIL_DUE)
    passed = [point.removeprefix("before ") for point in world.faults.points if "before" in point]
    assert passed == ["list", *first_column(section("A refresh, in the order of its calls"))]
    assert world.grants == ["refresh_token"]


def test_a_sweep_in_which_nothing_is_due_is_the_listing_alone() -> None:
    world = World()
    world.add(PARTNER)
    world.sweep()
    world.sweep(after=UNTIL_DUE / 2)
    assert world.store.calls == ["list"]
    assert world.grants == []


def test_every_folder_and_page_that_is_named_exists() -> None:
    named = re.findall(r"\]\(([\w./]+)\)", DOCUMENT)
    assert {path for path in named if not (ROOT / "docs" / path).exists()} == set()
    folders = [name for name in first_column(section("Beside the program")) if name.endswith("/")]
    assert {name for name in folders if not (ROOT / name).is_dir()} == set()
    in_tests = re.findall(r"`(\w+)/`", section("Beside the program").split("`tests/` |")[1])
    assert {name for name in in_tests[:4] if not (ROOT / "tests" / name).is_dir()} == set()
