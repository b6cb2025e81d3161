"""A way to the embedded cloud on which AWS can be ill."""

from __future__ import annotations

import re
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection  # noqa: TID251 - to the embedded cloud alone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Instead:
    """What is answered in the cloud's place; status 0 closes the connection without a response."""

    status: int
    body: bytes = b""


THROTTLED = Instead(400, b'{"__type": "ThrottlingException"}')
LOST = Instead(0)
# Told the operation, or the path where there is none; None passes the call on.
Illness: TypeAlias = "Callable[[str], Instead | None]"


class Relay:
    """Listens as long as the ``with`` block.

    Attributes:
        illness: What becomes of the calls from now on.
        calls: All that were made, by operation; by method and path where they have no name.
    """

    def __init__(self, cloud_url: str) -> None:
        self.illness: Illness = lambda _: None
        self.calls: list[str] = []
        relay, cloud = self, urlsplit(cloud_url)

        class Handler(BaseHTTPRequestHandler):
            timeout = 60  # type: ignore[mutable-override] # of which typeshed makes an instance's

            def _pass_on(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    # Whoever called was killed meanwhile, and the cloud would wait for the rest.
                    return
                target = self.headers.get("X-Amz-Target", self.path)
                named = re.search(rb"(?:^|&)Action=(\w+)", body)
                unnamed = f"{self.command} {self.path}" if target == self.path else target
                relay.calls.append(named[1].decode() if named else unnamed.rpartition(".")[2])
                instead = relay.illness(target.rpartition(".")[2])
                if instead is None:
                    # Also where the cloud has not answered in time: what is left open would be
                    # found long after, in the middle of another test.
                    with closing(
                        HTTPConnection(cloud.hostname or "", cloud.port, timeout=60)
                    ) as connection:
                        connection.request(self.command, self.path, body, dict(self.headers))
                        answer = connection.getresponse()
                        instead = Instead(answer.status, answer.read())
                    headers = {"Content-Type": answer.headers["Content-Type"]}
                    error = answer.headers.get("X-Amz-Function-Error")
                    if error:
                        headers["X-Amz-Function-Error"] = error
                else:
                    headers = {"Content-Type": "application/x-amz-json-1.1"}
                if not instead.status:
                    return
                self.send_response(instead.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(instead.body)))
                # Whoever called may have been killed meanwhile.
                with suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(instead.body)

            do_GET = do_POST = _pass_on  # noqa: N815 - as the library calls them

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            # Of callers at the same moment; one beyond that would try again after a second.
            request_queue_size = 64
            # So that no call arrives after the block, when the secrets are looked at.
            daemon_threads = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Where AWS seems to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more, and wait for the calls that are under way."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
