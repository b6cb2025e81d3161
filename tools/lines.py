"""Counts lines of code by folder: ``make lines``.

A line counts where a token of code begins or goes on; blank lines, comments and docstrings do
not. A package, and each folder inside one, has a row of its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path, PurePath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PRODUCTION: Final = ("token_refresher", "token_refresher_cli")
NO_CODE: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
        tokenize.INDENT,
        tokenize.NEWLINE,
        tokenize.NL,
    }
)
DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of_code(path: Path) -> int:
    """Count the lines of a Python file that hold code."""
    with path.open("rb") as file:
        lines = {
            line
            for token in tokenize.tokenize(file.readline)
            if token.type not in NO_CODE
            for line in range(token.start[0], token.end[0] + 1)
        }
    return len(lines - lines_of_docstrings(ast.parse(path.read_bytes())))


def lines_of_docstrings(tree: ast.Module) -> set[int]:
    """Find the lines of the docstrings of a module and of all that it defines."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }


def folder_of(path: PurePath) -> str:
    """Name the row of a file: its own folder inside a package, else the folder at the top."""
    return str(path.parent) if is_production(path) else path.parts[0]


def is_production(path: PurePath) -> bool:
    """Tell whether a file is part of what is deployed or of the command line."""
    return any(part in PRODUCTION for part in path.parts)


def main(root: Path) -> None:
    """Print the table of a checkout, what git ignores left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    paths = [PurePath(name) for name in set(listed.stdout.split("\0")) if name]
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in paths:
        if (root / path).exists():
            counted = lines_of_code(root / path)
            rows = [folder_of(path), "all", *(["production"] if is_production(path) else [])]
            lines.update(dict.fromkeys(rows, counted))
            files.update(rows)
    totals = ["production", "all"]
    print(f"{'folder':<36}{'files':>6}{'lines':>9}")
    for row in [*sorted(lines.keys() - set(totals)), *totals]:
        print(f"{row:<36}{files[row]:>6}{lines[row]:>9,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
