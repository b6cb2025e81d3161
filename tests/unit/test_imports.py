"""Who may import whom, between the folders; the linter's contracts hold it within the packages."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "functions": {"benchmarks", "local", "tests", "tools"},
    "cli": {"benchmarks", "local", "tests", "tools"},
    "local": {"benchmarks", "tests", "tools"},
    "tools": {"benchmarks", "tests"},
    "benchmarks": {"tests"},
    "tests": {"benchmarks"},
}
FOLDERS = [folder for folder in FORBIDDEN if (ROOT / folder).is_dir()]


@cache
def imported_by(folder: str) -> dict[str, set[str]]:
    """What the modules of a folder import, by its top level, and which do."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_imports_what_stands_above_it(folder: str) -> None:
    found = imported_by(folder)

    assert {name: found[name] for name in FORBIDDEN[folder] & found.keys()} == {}


@pytest.mark.parametrize("room", ["oauth", "aws"])
def test_a_room_of_the_package_does_not_import_the_package_itself(room: str) -> None:
    """Not even its version: the linter's contracts cannot say so."""
    for path in (ROOT / "functions" / "token_refresher" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module, node.level) != ("token_refresher", 0), path
                assert node.level == 0, path
            if isinstance(node, ast.Import):
                assert not {each.name for each in node.names} & {"token_refresher"}, path


def test_imports_are_seen_wherever_they_stand() -> None:
    assert "tests/conftest.py" in imported_by("tests")["local"]
    assert "tests/unit/fakes.py" in imported_by("tests")["token_refresher"]
