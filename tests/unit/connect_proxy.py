"""A loopback proxy that is asked by CONNECT (RFC 9110 section 9.3.6), and leads to one address.

Whatever host a client names, it is connected to the same server on loopback: so a client reaches
it under any host's real name, with no resolver and no code of the client's patched. It can refuse,
drip and hang as well. Nothing here sleeps.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"
# Only a defect in a test makes anybody wait as long as this.
GIVE_UP_SECONDS = 20


@dataclass(slots=True)
class ConnectProxy:
    """Listens as long as the ``with`` block.

    Attributes:
        target: The loopback port that every host is taken for.
        act: What is done once a client has asked; one for each connection, the last one again for
            all further ones.
        asked: The first line of every request, such as ``CONNECT login.example:443 HTTP/1.1``.
        heads: All of it, with the headers.
    """

    target: int
    act: tuple[Act, ...] = ()
    heads: list[str] = field(default_factory=list)
    _listener: socket.socket = field(init=False)
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"

    @property
    def asked(self) -> list[str]:
        return [head.partition("\r\n")[0] for head in self.heads]

    @property
    def hosts(self) -> list[str]:
        """What clients asked to be connected to."""
        return [line.split(" ")[1] for line in self.asked]

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
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            acts = self.act or (connects,)
            act = acts[min(number, len(acts) - 1)]
            number += 1
            self._keep(client)

            def serve(client: socket.socket = client, act: Act = act) -> None:
                with client, contextlib.suppress(OSError):
                    if self._read_head(client):
                        act(self, client)
                self._forget(client)

            self._start(serve)

    def _keep(self, connection: socket.socket) -> None:
        connection.settimeout(GIVE_UP_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _read_head(self, client: socket.socket) -> bool:
        """Read what is asked, and no byte of what follows; False where the client has gone."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return False
            head += byte
        self.heads.append(head.decode("latin-1"))
        return True

    def relay(self, client: socket.socket) -> None:
        """Connect to the target, and pass on what each says until both have ended."""
        with socket.create_connection((LOOPBACK, self.target)) as server:
            self._keep(server)
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join(GIVE_UP_SECONDS)
            self._forget(server)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


Act: TypeAlias = "Callable[[ConnectProxy, socket.socket], None]"


def connects(proxy: ConnectProxy, client: socket.socket) -> None:
    """Do what is asked."""
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    proxy.relay(client)


def says(answer: bytes) -> Act:
    """Send something else, and close."""

    def act(_: ConnectProxy, client: socket.socket) -> None:
        client.sendall(answer)

    return act


def refuses(status: str) -> Act:
    """Refuse with a status and its reason, such as ``403 Forbidden``."""
    return says(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


def drips(head: bytes, drop: bytes) -> Act:
    """Send a part of an answer, then a drop at a time, each at once and without end."""

    def act(_: ConnectProxy, client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(drop)

    return act


def hangs(_: ConnectProxy, client: socket.socket) -> None:
    """Answer nothing until the client leaves."""
    while client.recv(65536):
        pass
