"""Starts the emulator: ``python -m local.emulator``, configured by ministack's own variables.

It ends when its standard input is closed. The process that started it holds the other end of that
pipe, so however that process dies, neither the emulator nor its functions outlive it, and the
directory that ``REMOVED_AT_THE_END`` names is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from ministack.app import main

from local.emulator import (
    change_sets,
    dispatch,
    federation,
    functions,
    identity_tokens,
    kms,
    logs,
    monitoring,
    policies,
    storage,
)


def end_with_the_starter() -> None:
    """Wait for the end of standard input, then end at once, and the functions with it."""
    while sys.stdin.buffer.read(4096):
        pass
    if directory := os.environ.get("REMOVED_AT_THE_END"):
        shutil.rmtree(directory, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    change_sets.install()
    dispatch.install()
    policies.install()
    federation.install()
    functions.install()
    identity_tokens.install()
    kms.install()
    logs.install()
    monitoring.install()
    storage.install()
    main()
