"""Exit codes, which scripts and monitoring rest on."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

# As a shell tells that a command was ended by Ctrl-C.
INTERRUPTED: Final = 130


class ExitCode(IntEnum):
    """What a command's end says. Public: documented, and tested."""

    WELL = 0
    ACTION_REQUIRED = 1  # also: it failed, or was refused
    USAGE = 2  # Typer's own
    NOTHING_DONE = 3  # AWS, a setting or what was asked for stood in the way; or there is nothing
