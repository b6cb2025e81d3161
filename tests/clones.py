"""Copies of the project as a stranger gets it: what git has, or would have with the next commit.

What tools leave behind is no part of it: an environment takes long to copy, and a Debian has
devices that are read for ever.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from tools.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GIT: Final = shutil.which("git") or "git"


def copy_project(directory: Path) -> Path:
    """Copy it into a directory, which is made, without its history."""
    listed = subprocess.run(  # noqa: S603
        [GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        # What was removed, but not yet by git, is not there.
        if (ROOT / name).is_file():
            directory.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
    return directory
