"""The ways in which a token endpoint fails after it has read a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import threading
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Answers:
    """These bytes are sent, and the request is not processed."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class LosesTheAnswer:
    """The request **is** processed, and the connection closed without a response.

    A rotating refresh token is spent by then, and its successor is lost.
    """


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """The request is processed once the event is set: slowness that a test decides about."""

    event: threading.Event


Failure: TypeAlias = Answers | LosesTheAnswer | WaitsFor


def too_many_requests(retry_after: timedelta) -> Answers:
    """Answer 429, with ``Retry-After`` in seconds."""
    seconds = str(int(retry_after.total_seconds()))
    headers = (("Content-Type", "application/json"), ("Retry-After", seconds))
    return Answers(429, headers, b'{"error":"slow_down"}')


def unavailable() -> Answers:
    """Answer 503 with a page of HTML, as a load balancer does."""
    page = b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
    return Answers(503, (("Content-Type", "text/html"),), page)


def firewall_page() -> Answers:
    """Answer 403 with a page of HTML: a firewall, or an address that is blocked for a while."""
    page = "<html><body><h1>Request blocked</h1><p>Żądanie zablokowane</p></body></html>"
    return Answers(403, (("Content-Type", "text/html; charset=utf-8"),), page.encode())
