"""The generated tables are what the code says now, and nobody's words are lost for that."""

from __future__ import annotations

import pytest

from tools.docs.__main__ import diff
from tools.docs.blocks import DocumentError, Table, rewritten
from tools.docs.documents import changes

DOCUMENT = """\
<!-- generated: colours -->
| colour | wave | what for |
|---|---|---|
| `red`, `blue` | 1 | a door |
<!-- end -->
"""


def colours(*facts: tuple[str, str], document: str = DOCUMENT) -> str:
    """Write the document where these are the colours."""
    return rewritten(document, {"colours": lambda: Table(("colour", "wave", "what for"), facts)})


def test_make_docs_would_change_nothing() -> None:
    found = "".join(line for path, text in changes().items() for line in diff(path, text))
    assert found == "", "run make docs"


def test_facts_are_replaced_and_the_words_beside_them_stay() -> None:
    text = colours(("`red`", "700"), ("`blue`", "450"))
    assert "| `red` | 700 | a door |\n| `blue` | 450 | a door |\n<!-- end -->" in text


def test_what_differs_by_its_name_alone_has_one_row() -> None:
    assert "| `blue`, `red` | 2 | a door |\n<!-- end -->" in colours(
        ("`blue`", "2"), ("`red`", "2")
    )


@pytest.mark.parametrize(
    ("known", "named"),
    [
        pytest.param(("red", "blue", "green"), "`green`", id="a new name wants words"),
        pytest.param(("red",), "`blue`", id="words whose name is gone are not dropped"),
    ],
)
def test_what_needs_a_person_is_refused(known: tuple[str, ...], named: str) -> None:
    with pytest.raises(DocumentError, match=named):
        colours(*((f"`{name}`", "1") for name in known))


def test_a_block_that_nothing_generates_is_refused() -> None:
    with pytest.raises(DocumentError, match="shapes"):
        colours(document="<!-- generated: shapes -->\n<!-- end -->\n")
