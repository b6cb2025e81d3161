"""Starts moto's server: ``python -m local.moto_server SOCKET``, in moto's own environment.

It ends when its standard input is closed, whose other end the process that started it holds.

Calls are answered one at a time. moto looks whether a version id is taken, and then writes, with
nothing between the two that keeps another thread out; of several writers under one id, several
would win now and then, where on AWS one does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def one_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """Let an application answer a call only when the one before has been answered."""
    lock = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with lock:
            return app(environ, start_response)

    return answer


def end_with_the_starter() -> None:
    """Wait for the end of standard input, then end at once."""
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    # As whoever started it has bound it.
    bound = socket.socket(fileno=int(sys.argv[1]))
    bound.listen()
    host, port = bound.getsockname()
    # Where moto finds itself, when one of its services asks another.
    os.environ["MOTO_PORT"] = str(port)
    make_server(
        host,
        port,
        one_at_a_time(DomainDispatcherApplication(create_backend_app)),
        threaded=True,
        request_handler=MotoRequestHandler,
        fd=bound.fileno(),
    ).serve_forever()
