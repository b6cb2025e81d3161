"""What is read of a response, by real servers over TLS that send whatever they like."""

from __future__ import annotations

import tracemalloc
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.raw_tls_server import answer, answers, answers_and_closes, drips
from tests.unit.wire import (
    ISSUED,
    REFRESH,
    SUCCESS,
    TOKEN,
    Wire,
    ask,
    client_of,
    either_way,
    failure_of,
    unavailable,
)
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.exchange import LONGEST_BODY

if TYPE_CHECKING:
    from local.clock import DrivenClock
    from token_refresher.oauth.client_authentication import Grant


def gzipped(body: bytes, window: int = 31) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, window)
    return encoder.compress(body) + encoder.flush()


class TestWhatIsRead:
    def test_an_answer_is_read(self, wire: Wire) -> None:
        server = wire.serve(answers(SUCCESS))
        response = ask(wire.connect(server), server)
        assert response.access_token == TOKEN
        assert response.expires_in == timedelta(hours=12)

    @pytest.mark.parametrize(
        "response",
        [
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
                % (len(ISSUED), ISSUED),
                id="in chunks",
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + ISSUED,
                id="to the end of the connection",
            ),
            pytest.param(
                b"HTTP/1.1 100 Continue\r\n\r\n" + SUCCESS, id="after an interim response"
            ),
        ],
    )
    @either_way
    def test_every_framing_is_understood(self, wire: Wire, response: bytes, grant: Grant) -> None:
        server = wire.serve(answers_and_closes(response))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize(
        ("length", "is_read"),
        [
            pytest.param(LONGEST_BODY, True, id="a body of 128 KiB is read"),
            pytest.param(LONGEST_BODY + 1, False, id="one more byte is too much"),
        ],
    )
    @either_way
    def test_the_longest_body(
        self, wire: Wire, length: int, grant: Grant, *, is_read: bool
    ) -> None:
        padding = "a" * (length - len(ISSUED) - len(', "a": ""'))
        body = ISSUED[:-1] + f', "a": "{padding}"}}'.encode()
        assert len(body) == length
        server = wire.serve(answers(answer(body)))
        endpoint = wire.connect(server)
        if is_read:
            assert ask(endpoint, server, grant).access_token == TOKEN
        else:
            assert unavailable(endpoint, client_of(server), grant).code == "firewall"

    @either_way
    def test_a_page_that_calls_itself_one_is_a_page(self, wire: Wire, grant: Grant) -> None:
        page = answer(b"blocked", status="403 No", content_type="text/html; charset=utf-8")
        server = wire.serve(answers(page))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert (error.is_page, error.status) == (True, 403)

    @either_way
    def test_headers_without_end_are_not_read_to_it(self, wire: Wire, grant: Grant) -> None:
        """An HTTP library would keep megabytes of them."""
        server = wire.serve(drips(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60_000 + b"\r\n"))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert error.code == "connection_lost"

    @either_way
    def test_an_interim_response_is_not_taken_for_the_final_one(
        self, wire: Wire, grant: Grant
    ) -> None:
        server = wire.serve(answers(b"HTTP/1.1 102 Processing\r\n\r\n" + SUCCESS))
        error = unavailable(wire.connect(server), client_of(server), grant)
        assert error.code == "connection_lost"

    def test_retry_after_is_handed_on(self, wire: Wire, clock: DrivenClock) -> None:
        moment = clock.now() + timedelta(minutes=7)
        date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
        server = wire.serve(
            answers(
                answer(b"", status="429 Slow", headers=("Retry-After: 90",)),
                answer(b"", status="503 Later", headers=(f"Retry-After: {date}",)),
            )
        )
        endpoint = wire.connect(server)
        waits = [unavailable(endpoint, client_of(server)).retry_after for _ in range(2)]
        assert waits == [timedelta(seconds=90), timedelta(minutes=7)]

    def test_a_retry_after_of_nonsense_costs_no_answer(self, wire: Wire) -> None:
        """By then the refresh token is spent: its successor must reach the journal."""
        nonsense = "Retry-After: Tue, 24 Nov 2026 01:00:00 +99999999999999999999"
        server = wire.serve(answers(answer(ISSUED, headers=(nonsense,))))
        assert ask(wire.connect(server), server, REFRESH).access_token == TOKEN


class TestEncodings:
    """Identity is asked for; some servers encode all the same."""

    @pytest.mark.parametrize(
        ("coding", "window"),
        [
            ("gzip", 31),
            ("GZip", 31),
            ("x-gzip", 31),
            ("identity, gzip", 31),
            pytest.param("deflate", 15, id="deflate"),
            pytest.param("deflate", -15, id="deflate without its frame"),
        ],
    )
    @either_way
    def test_what_is_usual_is_decoded(
        self, wire: Wire, coding: str, window: int, grant: Grant
    ) -> None:
        encoded = answer(gzipped(ISSUED, window), headers=(f"Content-Encoding: {coding}",))
        server = wire.serve(answers(encoded))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize("coding", ["identity", "", "IDENTITY", "gzip", "br", "UTF-8", "none"])
    @either_way
    def test_json_is_none_whatever_it_is_called(
        self, wire: Wire, coding: str, grant: Grant
    ) -> None:
        server = wire.serve(answers(answer(ISSUED, headers=(f"Content-Encoding: {coding}",))))
        assert ask(wire.connect(server), server, grant).access_token == TOKEN

    @pytest.mark.parametrize(
        ("coding", "body"),
        [
            pytest.param("br", b"\x0b\x02\x80{}\x03", id="another"),
            pytest.param("gzip, deflate", gzipped(gzipped(ISSUED), 15), id="more than one"),
            pytest.param("gzip, gzip", gzipped(gzipped(ISSUED)), id="one twice"),
            pytest.param("gzip", gzipped(ISSUED)[:-9], id="cut short"),
            pytest.param("deflate", b"\xff" * 20, id="broken"),
        ],
    )
    @either_way
    def test_what_cannot_be_decoded_is_no_token_response(
        self, wire: Wire, coding: str, body: bytes, grant: Grant
    ) -> None:
        server = wire.serve(answers(answer(body, headers=(f"Content-Encoding: {coding}",))))
        error = failure_of(wire.connect(server), client_of(server), grant)
        assert isinstance(error, TokenResponseError)
        assert (error.code, error.status, error.sent) == ("invalid_response", 200, True)
        assert "content encoding" in str(error)

    def test_a_refusal_that_cannot_be_decoded_is_told_by_its_status(self, wire: Wire) -> None:
        server = wire.serve(
            answers(answer(b"\x0b", status="503 Later", headers=("Content-Encoding: br",)))
        )
        assert unavailable(wire.connect(server), client_of(server)).code == "status_503"

    @pytest.mark.parametrize("window", [31, -15])
    @either_way
    def test_a_bomb_is_decoded_as_far_as_a_body_may_go(
        self, wire: Wire, window: int, grant: Grant
    ) -> None:
        bomb = gzipped(b" " * 128 * LONGEST_BODY, window)
        assert len(bomb) < LONGEST_BODY
        coding = "gzip" if window > 0 else "deflate"
        server = wire.serve(answers(answer(bomb, headers=(f"Content-Encoding: {coding}",))))
        endpoint = wire.connect(server)
        tracemalloc.start()
        try:
            failure_of(endpoint, client_of(server), grant)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * LONGEST_BODY

    @either_way
    def test_a_token_of_what_a_secret_holds_gets_through(self, wire: Wire, grant: Grant) -> None:
        token = "4df2" * (65_536 // 4)
        body = ISSUED.replace(TOKEN.encode(), token.encode())
        plain, encoded = answer(body), answer(gzipped(body), headers=("Content-Encoding: gzip",))
        server = wire.serve(answers(plain), answers(encoded))
        endpoint = wire.connect(server)
        for _ in range(2):
            assert ask(endpoint, server, grant).access_token == token
            endpoint.drop_connections()
