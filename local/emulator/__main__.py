"""Starts the emulator: ``python -m local.emulator``, configured by ministack's own variables.

It ends when its standard input is closed. The process that started it holds the other end of that
pipe, so however that process dies, the emulator does not outlive it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from ministack.app import main

from local.emulator.dispatch import install


def end_with_the_starter() -> None:
    """Wait for the end of standard input, then ask this process to stop as a signal would."""
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    install()
    main()
