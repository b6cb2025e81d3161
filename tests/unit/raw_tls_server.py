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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl

from tests.unit.loopback import LoopbackServer, be_heard_on_close

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


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
    """One connection, as a script sees it. The handshake is made when it is first needed.

    Attributes:
        request: The last one that was read.
    """

    request: RawRequest

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
        self.request = RawRequest(method, target, headers, body)
        self._server.requests.append(self.request)
        return True

    def client_name(self) -> str:
        """Whose certificate the client has shown; empty for none."""
        shown: Any = self._tls().getpeercert()
        names = [value for names in (shown or {}).get("subject", ()) for _, value in names]
        return names[-1] if names else ""

    def ask_for_a_certificate(self) -> None:
        """Ask after the handshake (RFC 8446 section 4.6.2), for a context that does so."""
        self._tls().verify_client_post_handshake()

    def _tls(self) -> ssl.SSLSocket:
        secured = self._secured()
        assert isinstance(secured, ssl.SSLSocket)
        return secured

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
            # One that has left would be heard for ever.
            heard = self._connection.recv(65536)
            incoming.write(heard) if heard else incoming.write_eof()
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
        """Say no more; `LoopbackServer.closed` is set once the client has all that was said."""
        be_heard_on_close(self._connection)

    def close(self) -> None:
        self._connection.close()


Script: TypeAlias = "Callable[[Conversation], None]"


class RawTlsServer(LoopbackServer):
    """Listens as long as the ``with`` block.

    Attributes:
        context: Its certificate.
        scripts: What each connection meets.
        requests: All that were read to their end.
    """

    def __init__(self, context: ssl.SSLContext, scripts: tuple[Script, ...]) -> None:
        super().__init__()
        self.context, self.scripts = context, scripts
        self.requests: list[RawRequest] = []

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}/oauth/token"

    def serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.closing(Conversation(self, connection)) as conversation:
            self.scripts[min(number, len(self.scripts) - 1)](conversation)


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


def refuses_the_handshake(when: Callable[[], object] = lambda: None) -> Script:
    """Greet, and refuse what the client says then; for a context that asks for a certificate."""

    def play(conversation: Conversation) -> None:
        refuse = conversation.greet()
        when()
        refuse()
        conversation.wait_without_handshake()

    return play


def refuses_the_handshake_and_leaves(conversation: Conversation) -> None:
    """Refuse likewise, and close."""
    conversation.greet()()
    conversation.leave()


def leaves_after(unasked: bytes, *, is_tls: bool = True) -> Script:
    """Shake hands, send what nobody has asked for, and close."""

    def play(conversation: Conversation) -> None:
        (conversation.send if is_tls else conversation.send_in_the_clear)(unasked)
        conversation.leave()

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
