"""Where the command begins, also as ``python -m token_refresher_cli``."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

from token_refresher import __version__
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode

_FULL: Final = "The disk is full: not all could be written that was to be told."
# By no package's name alone: whoever has that name at a public registry is a stranger.
LACKS_ITS_EXTRA: Final = f"""\
The command line is an extra, and was not installed. Install it from a release:
    pipx install --force "./token_refresher-{__version__}-py3-none-any.whl[cli]"
or in a clone:
    pipx install --force ".[cli]"\
"""


def main() -> None:
    """Run the command, or say what it lacks: the package may be there without its extra."""
    _open_what_is_closed()
    try:
        _run()
    except KeyboardInterrupt:
        # Before a command has begun, which says it itself: what it needs takes a while to import.
        sys.stderr.write("\nInterrupted: nothing was done.\n")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # What is left would be tried again at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"{_FULL}\n")
        sys.exit(ExitCode.NOTHING_DONE)


def _run() -> None:
    try:
        from token_refresher_cli.app import app  # noqa: PLC0415 - what it needs may be missing
    except ModuleNotFoundError as error:
        if error.name not in {"rich", "typer"}:
            raise
        sys.exit(LACKS_ITS_EXTRA)
    try:
        app(prog_name="token-refresher")
    finally:
        # Else Python does, and says in words of its own where it cannot.
        sys.stdout.flush()


def _open_what_is_closed() -> None:
    """Put nothing in the place of a stream that whoever called has closed: Python has none then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            file = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, file)


if __name__ == "__main__":
    main()
