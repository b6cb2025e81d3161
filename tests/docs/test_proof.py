"""What docs/proof.md lists, held to where the promises stand, and to what would be asked of AWS.

That the tests that it names exist is held for all documents, in test_links.py.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.docs.test_links import PATH
from tools.smoke import __main__ as smoke
from tools.smoke import keys
from tools.templates import ROOT

DOCS: Final = ROOT / "docs"
DOCUMENT: Final = (DOCS / "proof.md").read_text(encoding="utf-8")
# What is said where nothing stands behind a promise, or the row above says it.
NOTHING: Final = re.compile(
    r"—|moto (has|enforces) no \w+( here)?|nothing of it is (AWS's|open)|as above"
)


def rows(title: str, *, text: str = DOCUMENT) -> list[list[str]]:
    """The rows of the tables of a section, without their heads."""
    section = text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def survived() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return [row[0] for row in rows("What it survives", text=readme)]


def kept() -> list[str]:
    """What the resilience report is of: its six promises, and those of the plays at random."""
    report = (DOCS / "resilience.md").read_text(encoding="utf-8")
    promises = re.findall(r"^I\d  (.+?) +\d+ broken$", report, re.MULTILINE)
    plays = report.split("a promise was broken, in so many\n")[1].split("counted apart")[0]
    return [*promises, *(re.sub(r" +\d+$", "", line) for line in plays.splitlines())]


def of_promises() -> list[list[str]]:
    titles = ("What it survives", "The promises of the resilience report", "Besides")
    return [row for title in titles for row in rows(title)]


def test_everything_that_the_readme_says_to_survive_has_its_row_and_nothing_else() -> None:
    assert [row[0] for row in rows("What it survives")] == survived()


def test_every_promise_of_the_resilience_report_has_its_row_and_nothing_else() -> None:
    assert len(kept()) > 20
    assert [row[0] for row in rows("The promises of the resilience report")] == kept()


def test_every_promise_has_tests_of_the_program_alone_and_says_what_stands_behind_it() -> None:
    above: list[str] = []
    for row in of_promises():
        assert all(row), row[0]
        cells = [
            cell.replace("the same", before) if above else cell
            for cell, before in zip(row, above if len(above) == len(row) else row, strict=True)
        ]
        assert PATH.search(cells[1]), row[0]
        for cell in cells[2:5]:
            assert PATH.search(cell) or NOTHING.fullmatch(cell), (row[0], cell)
        above = cells


def test_every_file_of_tests_that_is_named_has_tests() -> None:
    for path, name in PATH.findall(DOCUMENT):
        if path.endswith(".py") and not name:
            # Of its own, or those of another suite, for another cloud.
            text = (ROOT / path).read_text("utf-8")
            assert re.search(r"\bdef test_|^from tests\.", text, re.MULTILINE), path


@pytest.mark.parametrize("question", sorted(set(re.findall(r'"([^"]+)"', DOCUMENT))))
def test_a_question_that_would_settle_it_is_one_that_is_asked(question: str) -> None:
    asked = (*smoke.FIRST, *smoke.LAST, *keys.QUESTIONS)
    assert question in {each.name for each in asked}


def test_what_aws_must_be_like_has_a_reason_a_document_and_a_question() -> None:
    needs = rows("What AWS must be like")
    assert len(needs) > 10
    for need in needs:
        assert len(need) == 4
        assert all(need), need
        assert '"' in need[3] or "the walk" in need[3], need[0]
