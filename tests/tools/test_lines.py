"""What `make lines` counts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tools import lines, templates

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ELEVEN_LINES_OF_CODE = '''#!/usr/bin/env python3
"""A module's docstring,

of several lines.
"""

import os  # a comment beside code

# A comment alone.
TEXT = """
A text that is assigned is code,
its lines too.
"""


class Thing:
    "A class's docstring."

    def name(
        self,
    ) -> str:
        """A function's."""
        # A comment within.
        return f"{os.name}"

    async def nothing(self) -> None:
        """A docstring alone is no code."""
'''


def test_blank_lines_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "thing.py"
    path.write_text(ELEVEN_LINES_OF_CODE)
    assert lines.lines_of_code(path) == 11


def test_a_package_is_found_wherever_it_lies_and_each_folder_in_it_has_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "functions/token_refresher/handler.py": 5,
        "functions/token_refresher/oauth/transport.py": 7,
        "functions/token_refresher_cli/app.py": 11,
        "cli/token_refresher_cli/app.py": 13,
        "tests/unit/test_handler.py": 1000,
        "ignored/huge.py": 17,
    }
    for name, count in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("pass\n" * count)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # noqa: S607
    lines.main(tmp_path)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["folder", "files", "lines"],
        ["cli/token_refresher_cli", "1", "13"],
        ["functions/token_refresher", "1", "5"],
        ["functions/token_refresher/oauth", "1", "7"],
        ["functions/token_refresher_cli", "1", "11"],
        ["tests", "1", "1,000"],
        ["production", "4", "36"],
        ["all", "5", "1,036"],
    ]


def test_make_lines_counts_this_project() -> None:
    printed = templates.run("make", "lines").stdout.splitlines()
    rows = {name: int(count.replace(",", "")) for name, _, count in map(str.split, printed[1:])}
    assert rows["functions/token_refresher"] > 1000
    assert rows["production"] < rows["all"]
