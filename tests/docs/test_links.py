"""What a document names is there (files, headings, tests, permissions); its tables are whole."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
WITH_DOCUMENTS: Final = (".github", "benchmarks", "docs", "tests")
DOCUMENTS: Final = sorted(
    {*ROOT.glob("*.md"), *(path for name in WITH_DOCUMENTS for path in (ROOT / name).rglob("*.md"))}
)
# What `make release` and builds leave is no part of the project.
MADE: Final = frozenset({"build", "dist"})
FOLDERS: Final = "|".join(
    re.escape(path.name)
    for path in ROOT.iterdir()
    if path.is_dir()
    and path.name not in MADE
    and (not path.name.startswith(".") or path.name in {".ci", ".github"})
)
# Within backquotes: a path from the root, and perhaps a test in it.
PATH: Final = re.compile(rf"`((?:{FOLDERS})/[\w./*-]*)(?:::(\w+))?`")
LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)")

FENCED: Final = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
TABLE: Final = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
# Within backquotes, too, a line between cells is one, but with a backslash before it.
CELL: Final = re.compile(r"(?<!\\)\|")

pytestmark = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


@cache
def headings(document: Path) -> set[str]:
    """The headings of a document, as links name them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@cache
def functions_of(path: Path) -> set[str]:
    """The functions of a file, whether or not they are in a class."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def leads_nowhere(document: Path, path: str, heading: str) -> bool:
    target = document.parent / path if path else document
    return not target.exists() or (bool(heading) and heading not in headings(target))


def test_every_link_leads_to_a_file_and_a_heading_of_it(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if leads_nowhere(document, *link)] == []


def test_every_path_that_is_named_exists_and_every_test_in_it(document: Path) -> None:
    named = PATH.findall(document.read_text(encoding="utf-8"))
    missing = [path for path, _ in named if not [*ROOT.glob(path)]]
    tests = [(ROOT / path, name) for path, name in named if name and path not in missing]
    assert missing + [name for path, name in tests if name not in functions_of(path)] == []


def test_every_permission_that_is_named_exists(document: Path) -> None:
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    named = re.findall(r"permissions? `(\w+)`", document.read_text(encoding="utf-8"))
    assert [name for name in named if f"Sid: {name}\n" not in template] == []


def test_every_row_of_a_table_has_a_cell_for_each_column(document: Path) -> None:
    tables = TABLE.findall(FENCED.sub("", document.read_text(encoding="utf-8") + "\n"))
    rows = [(table.partition("\n")[0], row) for table in tables for row in table.splitlines()]
    assert [row for head, row in rows if len(CELL.findall(row)) != len(CELL.findall(head))] == []
