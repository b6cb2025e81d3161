"""The copy of the project that tests build and deploy from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clones import copy_project
from tools.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_a_copy_has_what_a_stranger_gets_and_nothing_that_tools_have_left(tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "copy")
    names = {path.name for path in copy.iterdir()}
    assert {"Makefile", "functions", "template.yaml", "tests"} <= names
    # Each is there, where tests run.
    left_behind = {path.name for path in ROOT.glob(".venv*")} | {".git", ".node", ".debian"}
    assert names & left_behind == set()
