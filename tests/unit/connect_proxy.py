"""A loopback proxy that is asked by CONNECT (RFC 9110 section 9.3.6), and leads to one address.

Whatever host a client names, it is connected to the same server on loopback: so a client reaches
it under any host's real name, with no resolver and no code of the client's patched. It can refuse,
drip and hang as well. Nothing here sleeps.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, TypeAlias

from tests.unit.loopback import GIVE_UP_SECONDS, LOOPBACK, LoopbackServer, be_heard_on_close

if TYPE_CHECKING:
    from collections.abc import Callable


class ConnectProxy(LoopbackServer):
    """Listens as long as the ``with`` block.

    Attributes:
        target: The loopback port that every host is taken for.
        act: What is done once a client has asked; one for each connection, the last one again for
            all further ones.
        heads: All that was asked, with the headers.
    """

    def __init__(self, target: int, act: tuple[Act, ...] = ()) -> None:
        super().__init__()
        self.target, self.act = target, act or (connects,)
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def asked(self) -> list[str]:
        """The first line of every request, such as ``CONNECT login.example:443 HTTP/1.1``."""
        return [head.partition("\r\n")[0] for head in self.heads]

    @property
    def hosts(self) -> list[str]:
        """What clients asked to be connected to."""
        return [line.split(" ")[1] for line in self.asked]

    def serve(self, connection: socket.socket, number: int) -> None:
        if self._read_head(connection):
            self.act[min(number, len(self.act) - 1)](self, connection)

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
        """Connect to the target, and pass on what each says until the target has ended."""
        server = socket.create_connection((LOOPBACK, self.target))
        with self.held(server):
            there = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            there.start()
            _pass_on(server, client)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)
            there.join(GIVE_UP_SECONDS)
            be_heard_on_close(client)


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


def drips(head: bytes, drop: bytes, then: Callable[[], None] = lambda: None) -> Act:
    """Send a part of an answer, then a drop at a time, without end; do something after each."""

    def act(_: ConnectProxy, client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(drop)
            then()

    return act


def hangs(_: ConnectProxy, client: socket.socket) -> None:
    """Answer nothing until the client leaves."""
    while client.recv(65536):
        pass
