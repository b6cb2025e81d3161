"""A threaded HTTPS server that can refuse, reset and cut connections, and come back.

One thread a connection, HTTP/1.1 with keep-alive. The port is kept while connections are refused,
so that nobody else gets it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import override

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from email.message import Message

LOOPBACK = "127.0.0.1"
BACKLOG = 256
HANDSHAKE_SECONDS = 60
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, read to its end.

    Attributes:
        certificate: The client's in DER, where it has shown one.
    """

    method: str
    path: str
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)
    certificate: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. ``Content-Length`` is added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


class NoReplyError(Exception):
    """The request gets no response: its connection is closed, or reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Door(Enum):
    """What a new connection meets."""

    OPEN = "it is served"
    REFUSING = "nothing listens"
    CLOSED = "the port is given back"


Application: TypeAlias = "Callable[[Request], Reply]"


class HttpsServer:
    """Listens on a loopback port of its own choice."""

    def __init__(self, application: Application, context: ssl.SSLContext) -> None:
        self.application = application
        self._context = context
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._door = Door.OPEN
        self._generation = 0
        # Holds the port while nothing listens: it is never anybody's who asks for a free one.
        self._holder = _bound_socket(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener = self._listen()

    def set_door(self, door: Door) -> None:
        """Change what new connections meet; whatever it is, those that are open are cut.

        A pool of kept-alive connections would hide an outage otherwise.
        """
        with self._lock:
            if self._door is Door.CLOSED:
                return
            before, self._door = self._door, door
            self._generation += 1
            if before is Door.OPEN and door is not Door.OPEN:
                _stop_listening(self._listener)
            if before is Door.REFUSING and door is Door.OPEN:
                self._listener = self._listen()
            if door is Door.CLOSED:
                self._holder.close()
            for connection in self._connections:
                _cut(connection)

    def _listen(self) -> socket.socket:
        listener = _bound_socket(self.port)
        listener.listen(BACKLOG)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # The listener was stopped: this is how its thread ends.
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Serve one connection to its end.

        The handshake belongs here, not to the thread that accepts: a client that is slow, or that
        does not trust this server, keeps nobody else waiting.
        """
        generation = self._generation
        connection.settimeout(HANDSHAKE_SECONDS)
        try:
            secured = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()  # No handshake: the client refused the certificate or went away.
            return
        secured.settimeout(None)
        with self._lock:
            if generation == self._generation:
                self._connections.add(secured)
        try:
            if secured in self._connections:
                _Conversation(secured, (LOOPBACK, self.port), self)  # type: ignore[arg-type]
        except OSError:
            pass  # The connection was cut, by the client or by a failure that a test switched on.
        finally:
            with self._lock:
                self._connections.discard(secured)
            secured.close()


class _Conversation(BaseHTTPRequestHandler):
    """All requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: HttpsServer  # type: ignore[assignment]
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        self._converse()

    def do_POST(self) -> None:
        self._converse()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: requests carry secrets."""

    def _converse(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        certificate = self.connection.getpeercert(binary_form=True)
        request = Request(self.command, self.path, self.headers, body, certificate)
        try:
            reply = self.server.application(request)
        except NoReplyError as end:
            self.close_connection = True
            if end.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "darwin":
        # A BSD has no second socket at a port by the other option, not even if one only holds it.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((LOOPBACK, port))
    return bound


def _stop_listening(listener: socket.socket) -> None:
    """Close a listener and wake the thread that waits on it, which closing alone does not do."""
    _cut(listener)
    listener.close()


def _cut(connection: socket.socket) -> None:
    """End a connection under the thread that reads from it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
