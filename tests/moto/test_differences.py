"""The list of what moto does otherwise names tests that there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.moto import (
    test_commands,
    test_deaths,
    test_handler,
    test_overlaps,
    test_secrets_manager_conformance,
)
from tests.moto.differences import RECORD

if TYPE_CHECKING:
    from types import ModuleType

SUITES = (
    *(test_commands, test_deaths, test_handler, test_overlaps, test_secrets_manager_conformance),
)


def names(suite: ModuleType | type) -> set[str]:
    inside = [each for name, each in vars(suite).items() if name.startswith("Test")]
    return set(vars(suite)).union(*map(names, inside))


def test_every_test_that_is_named_is_there() -> None:
    known = set().union(*map(names, SUITES))
    listed = {name for difference in RECORD.differences for name in difference.tests}
    assert {name.partition("[")[0] for name in listed | RECORD.left_out.keys()} <= known


def test_every_suite_of_another_folder_is_tried() -> None:
    here = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert here - {Path(__file__).stem} == {suite.__name__.rpartition(".")[2] for suite in SUITES}
