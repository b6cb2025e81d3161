"""Brings the generated tables of README.md and docs/ up to date; ``--check`` only tells.

Run by ``make docs``. It changes nothing outside of the blocks, but for the files of `infra/` that
say they are generated.
"""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

from tools.docs.blocks import DocumentError
from tools.docs.documents import ROOT, changes, text_of

if TYPE_CHECKING:
    from pathlib import Path


def main(arguments: list[str]) -> int:
    """Write the documents, or show what would change.

    Returns:
        1 where something must be done: by a person, or, with ``--check``, by ``make docs``.
    """
    try:
        changed = changes()
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if "--check" in arguments:
        sys.stdout.writelines(line for path, text in changed.items() for line in diff(path, text))
        return 1 if changed else 0
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


def diff(path: Path, text: str) -> list[str]:
    """Show what ``make docs`` would change in a document."""
    name, before = str(path.relative_to(ROOT)), text_of(path)
    return list(
        difflib.unified_diff(
            before.splitlines(keepends=True), text.splitlines(keepends=True), name, name
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
