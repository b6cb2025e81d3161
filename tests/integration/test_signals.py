"""A test can press Ctrl-C on what it starts, in whatever way the tests were started."""

from __future__ import annotations

import signal
import subprocess
import sys

INTERRUPTS_ITSELF = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def test_what_a_test_starts_can_be_interrupted() -> None:
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", INTERRUPTS_ITSELF], stderr=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == -signal.SIGINT


def test_also_where_a_shell_has_started_the_tests_in_the_background() -> None:
    test = f"{__file__}::{test_what_a_test_starts_can_be_interrupted.__name__}"
    command = f"trap '' INT QUIT; exec {sys.executable} -m pytest -p no:cacheprovider {test}"
    tests = subprocess.run(  # noqa: S603
        ["sh", "-c", command],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout
