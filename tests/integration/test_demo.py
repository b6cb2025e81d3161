"""The demo is part of what is promised: it runs, holds its promises, and leaves nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(temporary_files: Path) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", "functions")
        environment.setenv("TMPDIR", str(temporary_files))
        return subprocess.run(
            [sys.executable, "-m", "tools.demo"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def test_every_promise_of_the_day_is_held(demo: subprocess.CompletedProcess[str]) -> None:
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "BROKEN" not in demo.stdout
    assert re.search(r"^\d{4} consumer calls, 0 rejected", demo.stdout, re.MULTILINE)


def test_the_readme_shows_what_the_demo_prints(demo: subprocess.CompletedProcess[str]) -> None:
    readme = (ROOT / "README.md").read_text()
    (shown,) = re.findall(
        r"!\[.*?(\d+ consumer calls, \d+ rejected)\.\]\(docs/images/demo\.svg\)", readme
    )
    assert shown in demo.stdout


@pytest.mark.usefixtures("demo")
def test_it_leaves_no_file_behind(temporary_files: Path) -> None:
    assert list(temporary_files.iterdir()) == []
