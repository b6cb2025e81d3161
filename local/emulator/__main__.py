"""Starts the emulator, by ministack's own variables: ``python -m local.emulator SOCKET``.

It ends when its standard input is closed. The process that started it holds the other end of that
pipe, so however that process dies, neither the emulator nor its functions outlive it, and the
directory that ``REMOVED_AT_THE_END`` names is gone.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading

from ministack import app

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


def listen_on(bound: str) -> None:
    """Have the server listen on a socket that whoever started it has bound."""
    # ministack binds one itself, and there is no other way to hand it one.
    config = app._HypercornConfig
    hypercorn_creates = config._create_sockets
    config._create_sockets = lambda self, _: hypercorn_creates(self, [f"fd://{bound}"])


if __name__ == "__main__":
    # ministack reads the other arguments, of which there are none.
    listen_on(sys.argv.pop())
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
    app.main()
