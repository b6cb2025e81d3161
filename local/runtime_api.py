"""A Lambda Runtime API on loopback: it drives the real Lambda runtime client.

``awslambdaric`` is what AWS runs a Python function with. Here it runs as a process of its own,
against a server that hands it events and takes its responses.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
ANSWER_WITHIN_SECONDS = 60
INVOCATION_SECONDS = 240
TRACE_ID = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the function answered.

    Args:
        kind: ``response``, or ``error`` for an exception of the handler or of its start.
        content: The JSON.
    """

    kind: str
    content: Any


class LambdaRuntime:
    """A function under the real runtime client, as long as the ``with`` block.

    Args:
        handler: As in a template: ``module.function``.
        environment: The whole environment of the function.
    """

    def __init__(self, handler: str, environment: Mapping[str, str]) -> None:
        events: queue.Queue[bytes] = queue.Queue()
        self._events = events
        self._answers: queue.Queue[Answer] = queue.Queue()
        answers = self._answers

        class Api(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # With it, each response would wait 40 ms for an acknowledgement.
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                """Say nothing: the test asks for what it wants to know."""

            def do_GET(self) -> None:
                body = events.get()
                deadline = int((time.time() + INVOCATION_SECONDS) * 1000)
                self.send_response(200)
                for name, value in (
                    ("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4())),
                    ("Lambda-Runtime-Deadline-Ms", str(deadline)),
                    ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:0:f"),
                    ("Lambda-Runtime-Trace-Id", TRACE_ID),
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                kind = "error" if self.path.endswith("error") else "response"
                answers.put(Answer(kind, json.loads(body)))

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Api)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        # A pipe that nobody reads would stop a function that prints much.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the function ends
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "awslambdaric", handler],
            env={
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"{LOOPBACK}:{self._server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": "token-refresher",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "_HANDLER": handler,
            },
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def invoke(self, event: object) -> Answer:
        """Invoke the function, and return what it answered."""
        self._events.put(json.dumps(event).encode())
        return self.answer()

    def answer(self) -> Answer:
        """Wait for a response: of an invocation, or the error of a start that failed."""
        return self._answers.get(timeout=ANSWER_WITHIN_SECONDS)

    def stop(self) -> str:
        """End the function, and return all that it printed."""
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._output.seek(0)
        printed = self._output.read().decode()
        self._output.close()
        return printed

    def __enter__(self) -> Self:
        """Return the runtime, whose function starts at once."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever happened."""
        if not self._output.closed:
            self.stop()


def link_runtime_client(directory: Path) -> None:
    """Give the runtime client a directory of its own, without its neighbours."""
    for name in ("awslambdaric", "simplejson", "snapshot-restore-py"):
        for file in metadata.files(name) or ():
            top = file.parts[0]
            link = directory / top
            if top != ".." and not top.endswith(".dist-info") and not link.exists():
                link.symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
