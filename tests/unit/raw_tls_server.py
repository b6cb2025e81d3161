"""A loopback TLS server that does what a script says, byte for byte.

It goes wrong in the ways that a well-behaved server cannot: it answers by halves, drips, resets,
never answers. One script is played for each connection; the last one for all further ones. Nothing
here sleeps: a script that waits, waits for its client.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOPBACK = "127.0.0.1"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# Only a defect in a test makes anybody wait as long as this.
GIVE_UP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The form fields; a repeated one would show as a missing one."""
        pairs = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)


class Conversation:
    """One connection, as a script sees it. The handshake is made when it is first needed."""

    def __init__(self, server: RawTlsServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._is_secured = False
        self._buffer = b""

    def _secured(self) -> socket.socket:
        if not self._is_secured:
            self._connection = self._server.context.wrap_socket(self._connection, server_side=True)
            self._is_secured = True
        return self._connection

    def read_request(self) -> bool:
        """Read one request to its end; False where the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._read_more():
                return False
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.title(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), "a header is repeated"
        length = int(headers.get("Content-Length", "0"))
        while len(self._buffer) < length:
            if not self._read_more():
                return False
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        method, target, _ = first.split(" ")
        self._server.requests.append(RawRequest(method, target, headers, body))
        return True

    def _read_more(self) -> bool:
        data = self._secured().recv(65536)
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        """Send bytes: one TLS record, for anything small."""
        self._secured().sendall(data)

    def send_in_the_clear(self, data: bytes) -> None:
        """Send bytes that are no TLS, after a handshake."""
        socket.socket.sendall(self._secured(), data)

    def wait_until_the_client_leaves(self) -> None:
        """Read, and answer nothing; a client that leaves unread bytes behind resets."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self._secured().recv(65536):
                pass

    def wait_without_handshake(self) -> None:
        """Read what the client says to greet, and never greet back."""
        while self._connection.recv(65536):
            pass

    def hear_the_greeting(self) -> None:
        """Wait for the client's first byte, and answer nothing."""
        self._connection.recv(1)

    def send_without_handshake(self, data: bytes) -> None:
        """Send bytes instead of a handshake."""
        self._connection.sendall(data)

    def greet(self) -> Callable[[], None]:
        """Say all that a server says before a client's last words of a handshake.

        Returns:
            What hears those, and sends the alert that they deserve.
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._server.context.wrap_bio(incoming, outgoing, server_side=True)

        def hear() -> None:
            incoming.write(self._connection.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()

        def refuse() -> None:
            with contextlib.suppress(ssl.SSLError):
                while True:
                    hear()
            self._connection.sendall(outgoing.read())

        while not outgoing.pending:
            hear()
        self._connection.sendall(outgoing.read())
        return refuse

    def reset(self) -> None:
        """Reset the connection, with or without a handshake before."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._connection.close()

    def leave(self) -> None:
        """Close the connection now, and not when the server has forgotten it."""
        self._secured().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()


Script: TypeAlias = "Callable[[Conversation], None]"


@dataclass(slots=True)
class RawTlsServer:
    """Listens as long as the ``with`` block.

    Attributes:
        context: Its certificate.
        scripts: What each connection meets.
        requests: All that were read to their end.
        connections: How many were accepted.
    """

    context: ssl.SSLContext
    scripts: tuple[Script, ...]
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    _listener: socket.socket = field(init=False)
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))

    @property
    def port(self) -> int:
        number: int = self._listener.getsockname()[1]
        return number

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}/oauth/token"

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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(GIVE_UP_SECONDS)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            # A second handle on the same connection: closing the server shuts it down.
            handle = connection.dup()
            with self._lock:
                self._open.add(handle)
            conversation = Conversation(self, connection)

            def play(
                conversation: Conversation = conversation,
                script: Script = script,
                handle: socket.socket = handle,
            ) -> None:
                try:
                    script(conversation)
                except OSError:
                    pass  # The client left, or refused the certificate.
                finally:
                    with self._lock:
                        self._open.discard(handle)
                        handle.close()
                    conversation.close()

            self._start(play)


# Scripts


def answer(
    body: bytes,
    *,
    status: str = "200 OK",
    content_type: str = "application/json",
    headers: tuple[str, ...] = (),
    length: int | None = None,
) -> bytes:
    """Write a response; another ``length`` than the body's makes it one that ends too early."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(*responses: bytes) -> Script:
    """Answer one request after the other on one connection; the last response is repeated."""

    def play(conversation: Conversation) -> None:
        number = 0
        while conversation.read_request():
            conversation.send(responses[min(number, len(responses) - 1)])
            number += 1

    return play


def answers_and_closes(response: bytes) -> Script:
    """Answer one request and close the connection, whether or not the response was whole."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(response)

    return play


def answers_and_resets(response: bytes) -> Script:
    """Answer one request and reset the connection."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        if response:
            conversation.send(response)
        conversation.reset()

    return play


def resets_the_handshake(conversation: Conversation) -> None:
    """Reset the connection at the client's first word.

    Not before it: Python's ssl leaves a socket open that was reset before it is wrapped.
    """
    conversation.hear_the_greeting()
    conversation.reset()


def never_shakes_hands(conversation: Conversation) -> None:
    conversation.wait_without_handshake()


def leaves_within_the_handshake(conversation: Conversation) -> None:
    """Greet, hear that the client goes on, and close without a word."""
    conversation.greet()
    conversation.hear_the_greeting()


def refuses_the_handshake(
    when: Callable[[], object] = lambda: None, then: Callable[[], object] = lambda: None
) -> Script:
    """Greet, and refuse what the client says then; for a context that asks for a certificate."""

    def play(conversation: Conversation) -> None:
        refuse = conversation.greet()
        when()
        refuse()
        then()
        conversation.wait_without_handshake()

    return play


def leaves_after(unasked: bytes, left: threading.Event, *, is_tls: bool = True) -> Script:
    """Shake hands, send what nobody has asked for, close, and say so."""

    def play(conversation: Conversation) -> None:
        (conversation.send if is_tls else conversation.send_in_the_clear)(unasked)
        conversation.leave()
        left.set()

    return play


def drips(head: bytes, drop: bytes) -> Script:
    """Send a part of a response, then a drop at a time, each at once and without end."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(head)
        while True:
            conversation.send(drop)

    return play


def stops_after(begin: bytes, act: Callable[[], None]) -> Script:
    """Read a request, do something, send the beginning of a response, and nothing more."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        act()
        conversation.send(begin)
        conversation.wait_until_the_client_leaves()

    return play
