"""Tells which Region each request to the embedded cloud was signed for."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Final, Self
from urllib.parse import urlsplit

# In a header, or in the query of a URL that was signed beforehand.
SCOPE: Final = re.compile(rb"Credential=[^/%\s]+(?:/|%2F)\d{8}(?:/|%2F)([a-z0-9-]+)")
CHUNK: Final = 65536


class SignatureRecorder:
    """Passes bytes on to the cloud and back, as long as the ``with`` block, and keeps the former.

    Attributes:
        url: Where AWS seems to be.
    """

    def __init__(self, cloud_url: str) -> None:
        cloud = urlsplit(cloud_url)
        self._sent: list[bytearray] = []
        sent = self._sent

        class Connection(BaseRequestHandler):
            def handle(self) -> None:
                record = bytearray()
                sent.append(record)
                with socket.create_connection((cloud.hostname, cloud.port)) as upstream:
                    back = threading.Thread(target=pass_on, args=(upstream, self.request))
                    back.start()
                    pass_on(self.request, upstream, record)
                    back.join()

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def regions(self) -> list[str]:
        """Return the Region of each signature that was sent."""
        return [found.decode() for record in self._sent for found in SCOPE.findall(record)]

    def paths(self, method: str) -> list[str]:
        """Return the path of each request that was made by a method, such as ``PUT``."""
        line = re.compile(rb"(?m)^%s (/\S*) HTTP/1\.1\r$" % method.encode())
        return [found.decode() for record in self._sent for found in line.findall(record)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def pass_on(source: socket.socket, sink: socket.socket, record: bytearray | None = None) -> None:
    """Pass bytes on until one side ends, which is the other's end too."""
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            if record is not None:
                record += chunk
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
