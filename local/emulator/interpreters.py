"""What a function runs with: the Python of its runtime, and no package but its own.

ministack runs functions with its own interpreter. A dependency missing from an artifact would be
found in ministack's site-packages, and nobody would learn of it before the first deployment.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

OF_THE_EMULATOR = (
    "AUTH",
    "BIND_HOST",
    "DRIVES_TIME",
    "FUNCTION_PYTHON",
    "FUNCTION_RUNTIME",
    "GATEWAY_PORT",
    "IOT_MTLS_ENABLED",
    "LOG_LEVEL",
    "MINISTACK_HOST",
    "MINISTACK_REGION",
    "REMOVED_AT_THE_END",
    "SFTP_ENABLED",
    "STATE_DIR",
)


class Launchers:
    """A command for each runtime, which takes a script to run.

    The interpreter reads no site-packages (``-S``), and neither the script's directory nor any
    ``PYTHON*`` variable counts (``-I``). What configures the emulator is taken from the
    environment; all else in it reaches the functions.
    """

    def __init__(self) -> None:
        """Write the commands.

        All at once, and before there is any function: a file that is being written while another
        thread forks cannot be executed.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="launchers-"))
        self._own = self._written("own", sys.executable)
        self._others: dict[str, str] = {}
        if runtime := os.environ.get("FUNCTION_RUNTIME"):
            self._others[runtime] = self._written(runtime, os.environ["FUNCTION_PYTHON"])

    def of(self, runtime: str) -> str:
        """Return the command for a runtime such as ``python3.13``.

        Where this machine lacks that Python, it is the emulator's own.
        """
        return self._others.get(runtime, self._own)

    def _written(self, name: str, python: str) -> str:
        path = self._directory / name
        path.write_text(
            f'#!/bin/sh\nunset {" ".join(OF_THE_EMULATOR)}\nexec {shlex.quote(python)} -I -S "$@"\n'
        )
        path.chmod(0o700)
        return str(path)
