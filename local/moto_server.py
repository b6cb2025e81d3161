"""Starts moto's server: ``python -m local.moto_server HOST PORT``, in moto's own environment.

It ends when its standard input is closed, whose other end the process that started it holds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from moto.server import main


def end_with_the_starter() -> None:
    """Wait for the end of standard input, then end at once."""
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    host, port = sys.argv[1:]
    main(["--host", host, "--port", port])
