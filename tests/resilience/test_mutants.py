"""``make mutants`` takes minutes; what it shows in the end is looked at without them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.resilience.mutants import MUTANTS, Mutant
from tools.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

SHOW = """
from tests.resilience.mutants import MUTANTS, show
test = "tests/scenarios/test_deaths.py::test_whatever_happens[the id of a case] " * 2
show({mutant.safeguard: test for mutant in MUTANTS} | {"another": None})
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_of_all_safeguards_is_no_wider_than_the_terminal(columns: int) -> None:
    environment = {"PATH": os.defpath, "PYTHONPATH": "functions:."}
    command = (sys.executable, "-c", SHOW)
    with Terminal(command, environment, columns=columns, lines=200) as terminal:
        assert terminal.finish() == 0, terminal.plain
    screen = terminal.screen
    assert screen.overlong == []
    assert f"{len(MUTANTS) + 1} safeguards taken out, 1 times no test noticed" in screen.text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safeguard)
def test_a_safeguard_stands_where_it_is_taken_out(mutant: Mutant, tmp_path: Path) -> None:
    mutant.write(tmp_path)
