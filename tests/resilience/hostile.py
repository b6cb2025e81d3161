"""What a hostile token endpoint may do, each with the failure that the account must be told of.

A corpus: one row for each thing that somebody could do on purpose, or break by accident. Rows that
wait do not sleep: the time that the program is told passes whenever it looks.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.unit.raw_tls_server import (
    answer,
    answers_and_closes,
    answers_and_resets,
    drips,
    never_shakes_hands,
    resets_the_handshake,
    stops_after,
)
from token_refresher.errors import FailureClass
from token_refresher.oauth.exchange import LONGEST_BODY, REQUEST_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from tests.unit.raw_tls_server import Conversation, Script

# In everything that a hostile server says, and in everything that is secret.
MARK: Final = "canary"
TOKEN: Final = f"made-up-{MARK}-token"
CLIENT_ID: Final = "123"
SECRET: Final = f"made-up-{MARK}-secret"
ENCODED: Final = "".join(f"%{ord(each):02x}" for each in SECRET)
BASIC: Final = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode().rstrip("=")
ELSEWHERE: Final = "elsewhere.example"

# Of time: a thousand looks at it are one request's limit.
STEP: Final = REQUEST_SECONDS / 1000
# What is left to wait for in earnest, where a server stays silent.
A_MOMENT: Final = 0.05


class Time:
    """Seconds that pass by being looked at, and when a script says so.

    Args:
        jump: Passes once, after the first look: all that was left of the first request's limit.
    """

    def __init__(self, *, jump: float = 0.0) -> None:
        self._now = 0.0
        self._jump = jump

    def __call__(self) -> float:
        now = self._now
        self._now += STEP + self._jump
        self._jump = 0.0
        return now

    def nearly_run_out(self) -> None:
        """Leave a moment of the limit of a request that has just been sent."""
        self._now += REQUEST_SECONDS - 20 * STEP - A_MOMENT


class Certificate(Enum):
    """Whose certificate a server shows."""

    TRUSTED = "its own, of a trusted authority"
    OF_ANOTHER_NAME = "another host's"
    EXPIRED = "its own, which has expired"
    OF_AN_UNKNOWN_AUTHORITY = "its own, of an authority that nobody knows"
    SELF_SIGNED = "its own, which it has signed itself"


Play: TypeAlias = "Script | Callable[[Time], Script]"


@dataclass(frozen=True, slots=True)
class Attack:
    """One thing that a server does.

    Attributes:
        what: In words.
        code: What the account must be told.
        script: What each connection meets.
        uses_time: The script is made for the test's time.
        certificate: What it shows.
        hangs_in_the_handshake: So nothing but the limit ends it.
    """

    what: str
    code: str
    script: Script | None = None
    uses_time: Callable[[Time], Script] | None = None
    certificate: Certificate = Certificate.TRUSTED
    hangs_in_the_handshake: bool = False

    @property
    def time(self) -> Time:
        """A time for one sweep, in which this attack comes first."""
        is_short = self.hangs_in_the_handshake
        return Time(jump=REQUEST_SECONDS - A_MOMENT - STEP if is_short else 0.0)

    @property
    def takes_time(self) -> bool:
        """Whether only the limit ends it."""
        return self.uses_time is not None or self.hangs_in_the_handshake

    def played(self, time: Time) -> Script:
        """What each connection meets, at the test's time."""
        if self.uses_time is not None:
            return self.uses_time(time)
        assert self.script is not None
        return self.script


def says(response: bytes) -> Script:
    """Answer each connection's request, and close."""
    return answers_and_closes(response)


def body(**fields: object) -> bytes:
    """A token response that is good but for these fields; None leaves one out."""
    good: dict[str, object] = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 43200}
    return json.dumps({k: v for k, v in (good | fields).items() if v is not None}).encode()


def raw(fields: str) -> Script:
    """Answer 200 with a token and these fields, as they stand."""
    return says(answer(f'{{"access_token": "{TOKEN}", "token_type": "bearer", {fields}}}'.encode()))


def status(line: str, content: bytes = b"", *headers: str) -> Script:
    """Answer with a status line, and what belongs to a whole response."""
    return says(answer(content, status=line, headers=headers))


def error(value: object, line: str = "400 Bad Request") -> Script:
    """Answer an error response."""
    return status(line, json.dumps({"error": value, "error_description": MARK}).encode())


def head(*lines: bytes) -> bytes:
    """A success with these header lines, and a good token for its body."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body()])


def chunks(framing: bytes) -> Script:
    """Answer in what calls itself chunks."""
    return says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing)


def encoded(name: str, content: bytes) -> Script:
    """Answer a compressed body that nobody asked for."""
    return status("200 OK", content, f"Content-Encoding: {name}")


def before_the_request(response: bytes) -> Script:
    """Answer as soon as the handshake is done, and listen only then."""

    def play(conversation: Conversation) -> None:
        conversation.send(response)
        conversation.read_request()

    return play


def after_the_first_bytes(conversation: Conversation) -> None:
    """Reset once the client has sent something: its headers, and not yet its body."""
    conversation.send(b"")
    plainly(conversation).recv(1)
    conversation.reset()


def instead_of_a_handshake(said: bytes) -> Script:
    """Answer the client's greeting with something else, and stay silent."""

    def play(conversation: Conversation) -> None:
        conversation.hear_the_greeting()
        plainly(conversation).sendall(said)
        conversation.wait_without_handshake()

    return play


def plainly(conversation: Conversation) -> socket.socket:
    """The connection, whatever is on it."""
    return conversation._connection  # noqa: SLF001 - a script has no other way below TLS


def drip(begin: bytes, drop: bytes) -> Callable[[Time], Script]:
    """Drip without end; each drop costs the client a look at the time."""
    return lambda _: drips(begin, drop)


def silence_after(begin: bytes) -> Callable[[Time], Script]:
    """Begin a response, and never end it."""
    return lambda time: stops_after(begin, time.nearly_run_out)


PAGE: Final = f"<html>{MARK}</html>".encode()
BOMB: Final = body(padding=" " * 20_000_000)
DEEP: Final = LONGEST_BODY // 2 - 1
OK: Final = b"HTTP/1.1 200 OK\r\n"


def _deflated(window_bits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    return packer.compress(BOMB) + packer.flush()


ACTION_REQUIRED: Final = (
    # Redirects: wherever they lead, credentials do not follow.
    *(
        Attack(f"redirects with {code} to another host", "redirect",
               status(f"{code} Moved", PAGE, f"Location: https://{ELSEWHERE}/{MARK}"))
        for code in (301, 302, 303, 307, 308)
    ),
    Attack("redirects to plain http", "redirect",
           status("307 Moved", b"", f"Location: http://{ELSEWHERE}/")),
    Attack("redirects to a file", "redirect", status("302 Moved", b"", "Location: file:///etc/x")),
    Attack("redirects nowhere", "redirect", status("302 Moved")),
    Attack("redirects with a good token", "redirect", status("300 Choose", body())),
    Attack("says that nothing was modified", "redirect", says(b"HTTP/1.1 304 Same\r\n\r\n")),
    # No token endpoint.
    *(
        Attack(f"answers {code} with a page", f"status_{code}", status(f"{code} No", PAGE))
        for code in (404, 405, 410)
    ),
    Attack("answers 401 with a page", "status_401", status("401 No", PAGE)),
    # Errors, in every form that `error` takes.
    Attack("refuses the grant", "invalid_grant", error("invalid_grant")),
    Attack("refuses the client with 401", "invalid_client", error("invalid_client", "401 No")),
    Attack("calls an error a success", "invalid_grant", error("invalid_grant", "200 OK")),
    Attack("sends a token beside an error", "invalid_scope",
           status("200 OK", body(error="invalid_scope"))),
    Attack("answers an error as an object", "status_400", error({"type": MARK, "message": MARK})),
    Attack("answers an error as a list", "status_400", error([MARK, ["made-up"]])),
    Attack("hides an error in lists", "invalid_grant", error([MARK, ["invalid_grant"]])),
    Attack("answers an error as a number", "status_400", error(1)),
    Attack("answers an error as true", "status_400", error(value=True)),
    Attack("answers an error of its own", "unrecognised", error(MARK)),
    Attack("answers an error with a line break", "unrecognised", error(f"invalid_grant\r\n{MARK}")),
    Attack("answers an error in look-alike letters", "unrecognised", error("invalid_gr\u0430nt")),
    Attack("answers an error of 30 kB", "unrecognised", error(MARK * 5000)),
    Attack("answers 403 with JSON", "status_403", status("403 No", b"{}")),
    Attack("answers 404 with JSON", "status_404", error({"message": MARK}, "404 No")),
    Attack("answers an error twice, and means the second", "invalid_grant",
           status("400 Bad", b'{"error": "server_error", "error": "invalid_grant"}')),
    # A lifetime that nobody can believe, beside a good token.
    *(
        Attack(f"gives a token a life of {life[:20]}", "missing_expires_in",
               raw(f'"expires_in": {life}'))
        for life in (
            "NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1e300", "31536001", "true",
            "null", "{}", '["43200"]', '"tomorrow"', '""', '"0x10"', '"1e999"',
        )
    ),
    Attack("gives a token no life", "missing_expires_in",
           status("200 OK", body(expires_in=None, expires=43200))),
    Attack("answers a form without a life", "missing_expires_in",
           status("200 OK", f"access_token={TOKEN}".encode())),
    Attack("says the life twice, and means the second", "missing_expires_in",
           raw('"expires_in": 43200, "expires_in": "never"')),
    # Certificates.
    *(
        Attack(f"shows a certificate: {certificate.value}", code,
               status("200 OK", body()), certificate=certificate)
        for certificate, code in {
            Certificate.OF_ANOTHER_NAME: "certificate_refused",
            Certificate.EXPIRED: "certificate_refused",
            Certificate.OF_AN_UNKNOWN_AUTHORITY: "unknown_authority",
            Certificate.SELF_SIGNED: "unknown_authority",
        }.items()
    ),
)  # fmt: skip

INVALID_RESPONSE: Final = (
    # Encodings that are none, or more than one.
    Attack("sends a gzip bomb in a gzip bomb", "invalid_response",
           encoded("gzip, gzip", gzip.compress(gzip.compress(BOMB)))),
    Attack("lies about its encoding", "invalid_response", encoded("br", gzip.compress(body()))),
    Attack("calls gzip what is none", "invalid_response", encoded("gzip", b"\x1f" + body())),
    Attack("cuts gzip short", "invalid_response", encoded("gzip", gzip.compress(body())[:-9])),
    *(
        Attack(f"answers {what} for a token", "invalid_response",
               status("200 OK", body(access_token=token)))
        for what, token in (
            ("nothing", None), ("null in a list", [None]), ("an empty text", ""),
            ("a list", [TOKEN]), ("an object", {"value": TOKEN}), ("a number", 4), ("true", True),
            ("a line break", f"{TOKEN}\r\nX-Injected: {MARK}"),
            ("a final line break", f"{TOKEN}\n"),
            ("a null character", f"{TOKEN}\x00"), ("an escape character", f"\x1b[2J{TOKEN}"),
            ("a space", f"{TOKEN} {TOKEN}"), ("a backslash", f"{TOKEN}\\{TOKEN}"),
            ("a quotation mark", f'{TOKEN}"'), ("a right-to-left mark", f"\u202e{TOKEN}"),
            ("look-alike letters", f"\u0430{TOKEN}"), ("half a character", f"\ud83d{TOKEN}"),
        )
    ),
    *(
        Attack(f"calls a token {kind!r}", "invalid_response",
               status("200 OK", body(token_type=kind)))
        for kind in ("mac", "DPoP", "pop\n", "be\u0430rer", ["bearer"], 1)
    ),
    *(
        Attack(f"answers {text} where an object should be", "invalid_response",
               status("200 OK", text.encode()))
        for text in ("null", "[]", "0", "NaN", f'"{MARK}"', f'["{MARK}"]', "{}")
    ),
    *(
        Attack(f"gives a token a life of {life}", "invalid_response",
               raw(f'"expires_in": {life}'))
        for life in ("0", "-1", "-1e300", '"0"', "0.999")
    ),
    Attack("takes the token back in the same answer", "invalid_response",
           raw('"expires_in": 60, "access_token": null')),
    # What the account itself has sent, sent back for a token.
    *(
        Attack(f"answers {what} for a token", "secret_in_response",
               status("200 OK", body(access_token=token)))
        for what, token in (
            ("the client secret", SECRET), ("the client secret, percent-encoded", ENCODED),
            ("the client secret among other things", f"{TOKEN}.{SECRET}.{TOKEN}"),
            ("what the client authenticated with", BASIC),
        )
    ),
)  # fmt: skip

TRANSIENT: Final = (
    # Nobody can be served.
    *(
        Attack(f"answers {code}", f"status_{code}",
               status(f"{code} Later", PAGE, "Retry-After: 99999999999999999999"))
        for code in (408, 425, 429, 500, 502, 503, 504, 599, 600, 999)
    ),
    Attack("answers 500 with a good token", "status_500", status("500 Oops", body())),
    Attack("hides an error behind 503", "status_503", error("invalid_client", "503 Later")),
    *(
        Attack(f"answers {code}", code, error(code))
        for code in ("server_error", "slow_down", "temporarily_unavailable")
    ),
    *(
        Attack(f"answers {code} with a page", f"page_{code}", status(f"{code} No", PAGE))
        for code in (400, 402, 418, 499)
    ),
    # Bodies that are no JSON.
    Attack("answers 403 with a page", "firewall", status("403 No", PAGE)),
    Attack("answers nothing", "firewall", status("200 OK")),
    # An HTTP library takes the end of a connection for the end of the headers.
    Attack("closes within the headers", "firewall", says(OK + f"X: {MARK}".encode())),
    Attack("answers 204", "firewall", says(b"HTTP/1.1 204 Nothing\r\n\r\n")),
    Attack("answers a page", "firewall", status("200 OK", PAGE)),
    Attack("answers a form that says nothing", "firewall",
           status("200 OK", f"token={TOKEN}".encode())),
    Attack("answers two documents", "firewall", status("200 OK", body() + body())),
    Attack("answers bytes that are no text", "firewall", status("200 OK", b"\xff\xfe\xfd" * 999)),
    Attack("answers a page in Latin-1", "firewall", status("200 OK", "ż".encode("iso8859_2"))),
    Attack("answers in EBCDIC", "firewall", status("200 OK", body().decode().encode("cp500"))),
    Attack("answers lists in lists", "firewall", status("200 OK", b"[" * DEEP + b"]" * DEEP)),
    Attack("answers objects in objects", "firewall", status("200 OK", b'{"a":' * 6000 + b"1")),
    Attack("buries a response too deep", "firewall",
           status("200 OK", b'{"a":' + b"[" * 15000 + b"]" * 15000 + b"," + body()[1:])),
    # Bodies without end, and bombs.
    Attack("answers one byte more than is read", "firewall",
           status("200 OK", body(padding=" " * (LONGEST_BODY + 1 - len(body(padding="")))))),
    Attack("answers without end", "firewall", drips(OK + b"\r\n", b"[" * 16384)),
    Attack("announces an exabyte and keeps on", "firewall",
           drips(OK + b"Content-Length: 1000000000000000000\r\n\r\n", b"[" * 16384)),
    Attack("answers in chunks without end", "firewall",
           drips(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n")),
    Attack("sends a gzip bomb", "firewall", encoded("gzip", gzip.compress(BOMB))),
    Attack("sends a zlib bomb", "firewall", encoded("deflate", _deflated(15))),
    Attack("sends a raw deflate bomb", "firewall", encoded("deflate", _deflated(-15))),
    # Half answers, and what is no HTTP.
    *(
        Attack(what, "connection_lost", says(response))
        for what, response in (
            ("closes without a word", b""),
            ("closes within the status line", b"HTTP/1.1 2"),
            ("closes within the body", answer(body()[:40], length=999)),
            ("announces an exabyte and closes", answer(body(), length=10**18)),
            ("speaks another protocol", f"SSH-2.0-{MARK}\r\n\r\n".encode()),
            ("speaks HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + body()),
            ("speaks an HTTP of the future", b"HTTP/9.9 200 OK\r\n\r\n" + body()),
            ("answers with a status of 0", b"HTTP/1.1 000 No\r\n\r\n" + body()),
            ("answers with a status of 1000", b"HTTP/1.1 1000 No\r\n\r\n" + body()),
            ("answers with a status in words", b"HTTP/1.1 fine OK\r\n\r\n" + body()),
            ("answers with a status of other digits", b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n" + body()),
            ("answers with a status line of 100 kB",
             b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n"),
            ("sends a header of 100 kB", head(b"X: " + b"a" * 100_000)),
            ("sends a thousand headers", head(*(b"X-%d: a" % number for number in range(1000)))),
            ("sends 6 MB of headers",
             head(*(b"X-%d: " % number + b"a" * 65_000 for number in range(98)))),
            ("announces two lengths", head(b"Content-Length: 9", b"Content-Length: 10")),
        )
    ),
    # Interim answers that call themselves final: what they announce would be the next account's.
    *(
        Attack(f"answers {code} and no more", "connection_lost", status(f"{code} Go on", body()))
        for code in (101, 102, 103, 199)
    ),
    # Chunks that are none.
    *(
        Attack(what, "connection_lost", chunks(framing))
        for what, framing in (
            ("sends chunks without a length", b"canary\r\n" + body() + b"\r\n0\r\n\r\n"),
            ("sends a chunk of negative length", b"-5\r\n" + body() + b"\r\n0\r\n\r\n"),
            ("sends a chunk of every length", b"F" * 16 + b"\r\n" + body()),
            ("sends a chunk that never comes", b"ff\r\n"),
            ("describes a chunk for 100 kB", b"1;" + b"a" * 100_000 + b"\r\n"),
            ("sends no last chunk", b"%x\r\n%s\r\n" % (len(body()), body())),
        )
    ),
    # Resets, at each stage.
    Attack("resets within the handshake", "no_connection", resets_the_handshake),
    Attack("speaks plainly to a greeting", "no_connection",
           instead_of_a_handshake(b"HTTP/1.1 400 Bad Request\r\n\r\n" + PAGE)),
    Attack("answers a greeting with a fatal alert", "no_connection",
           instead_of_a_handshake(b"\x15\x03\x03\x00\x02\x02\x28")),
    Attack("resets after the first bytes of the request", "connection_lost", after_the_first_bytes),
    *(
        Attack(what, "connection_lost", answers_and_resets(response))
        for what, response in (
            ("resets before it answers", b""),
            ("resets within the status line", b"HTTP/1.1 20"),
            ("resets within the body", answer(body()[:40], length=999)),
            ("resets within a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + body()),
        )
    ),
    # Time.
    Attack("never shakes hands", "no_connection", never_shakes_hands, hangs_in_the_handshake=True),
    Attack("shakes hands by halves", "no_connection",
           instead_of_a_handshake(b"\x16\x03\x03\x40\x00\x02\x00"), hangs_in_the_handshake=True),
    Attack("stops within the status line", "timeout", uses_time=silence_after(b"HTTP/1.1 20")),
    Attack("stops within the headers", "timeout", uses_time=silence_after(OK + b"X: a")),
    Attack("stops within the body", "timeout",
           uses_time=silence_after(answer(body()[:40], length=999))),
    Attack("drips a status line", "timeout", uses_time=drip(b"HTTP/1.1 200 ", b"a")),
    Attack("drips a header", "timeout", uses_time=drip(OK + b"X: ", b"a")),
    Attack("drips a body", "timeout",
           uses_time=drip(OK + b"Content-Length: 30000\r\n\r\n", b" ")),
    Attack("drips the length of a chunk", "timeout",
           uses_time=drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0")),
    Attack("drips trailers", "timeout",
           uses_time=drip(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n")),
    Attack("continues without end", "timeout", uses_time=drip(b"", b"HTTP/1.1 100 Go on\r\n\r\n")),
)  # fmt: skip

CORPUS: Final = {
    FailureClass.ACTION_REQUIRED: ACTION_REQUIRED,
    FailureClass.INVALID_RESPONSE: INVALID_RESPONSE,
    FailureClass.TRANSIENT: TRANSIENT,
}

# Strange, and yet whole: an account is served all the same.
ODD_BUT_GOOD: Final = (
    Attack("begins with a byte-order mark", "", status("200 OK", b"\xef\xbb\xbf" + body())),
    Attack("writes UTF-16", "", status("200 OK", body().decode().encode("utf-16"))),
    Attack("names a charset that it does not use", "",
           says(answer(body(), content_type="application/json; charset=utf-7"))),
    Attack("calls JSON a page", "", says(answer(body(), content_type="text/html"))),
    Attack("pads a response beyond what is read", "",
           status("200 OK", body() + b" " * LONGEST_BODY)),
    Attack("compresses it", "", encoded("gzip", gzip.compress(body()))),
    Attack("compresses blanks beyond what is read", "",
           encoded("deflate", zlib.compress(body() + b" " * 20_000_000))),
    Attack("says the token twice, and means the second", "",
           status("200 OK", b'{"access_token": "first", ' + body()[1:])),
    Attack("takes an error back", "",
           status("200 OK", b'{"error": "invalid_grant", "error": null, ' + body()[1:])),
    Attack("answers 201", "", status("201 Created", body())),
    Attack("sends a Location beside a token", "",
           status("200 OK", body(), f"Location: https://{ELSEWHERE}/", "Set-Cookie: a=b",
                  f"Refresh: 0; url=https://{ELSEWHERE}/")),
    Attack("announces a length of 5,000 digits", "", says(head(b"Content-Length: " + b"9" * 5000))),
    Attack("announces a negative length", "", says(head(b"Content-Length: -1"))),
    Attack("answers before it has read", "", before_the_request(answer(body()))),
    Attack("sends a hundred fields that nobody asked for", "",
           status("200 OK", body(**{f"field-{number}": MARK for number in range(100)}))),
)  # fmt: skip


def corpus() -> Iterator[tuple[FailureClass, Attack]]:
    """Every attack with the class of failure that its account must be told of."""
    for failure_class, attacks in CORPUS.items():
        for attack in attacks:
            yield failure_class, attack
