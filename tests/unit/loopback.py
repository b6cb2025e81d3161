"""What the scripted servers on loopback share: a thread for each connection, none left behind.

Nothing here sleeps. A test that must know that a client has been left waits for `closed`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
# Only a defect in a test makes anybody wait as long as this.
GIVE_UP_SECONDS = 60
_HEARD_ON_CLOSE = struct.pack("ii", 1, GIVE_UP_SECONDS)


def be_heard_on_close(connection: socket.socket) -> None:
    """Let closing a connection take until the client's side has all that was sent, and its end.

    Else a client may look at its connection before the end of it is there to be seen.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HEARD_ON_CLOSE)


@contextlib.contextmanager
def nobody_listens() -> Iterator[int]:
    """Hold a port at which connections are refused; one that was given back is anybody's."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield held.getsockname()[1]


class LoopbackServer:
    """Listens as long as the ``with`` block.

    Attributes:
        connections: How many were accepted.
        closed: Set when one of them has been closed.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.closed = threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def serve(self, connection: socket.socket, number: int) -> None:
        """Do what is done on a connection; where it raises OSError, the client has left."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        number: int = self._listener.getsockname()[1]
        return number

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, cut what is open, and wait for every thread."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(GIVE_UP_SECONDS)
        self._listener.close()

    def _start(self, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1

            def serve(connection: socket.socket = connection, number: int = number) -> None:
                with contextlib.suppress(OSError), self.held(connection):
                    self.serve(connection, number)
                self.closed.set()

            self._start(serve)

    @contextlib.contextmanager
    def held(self, connection: socket.socket) -> Iterator[None]:
        """Have a connection cut when the server ends, and closed when the block does.

        A second handle on it is kept: TLS takes over the first.
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(GIVE_UP_SECONDS)
        handle = connection.dup()
        with self._lock:
            self._open.add(handle)
        try:
            yield
        finally:
            connection.close()
            with self._lock:
                self._open.discard(handle)
            handle.close()
