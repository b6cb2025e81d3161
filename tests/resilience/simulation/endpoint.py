"""A token endpoint on virtual time: outages, refresh tokens that rotate or end, passwords."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, NoReturn

from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    TokenEndpointError,
    TokenRequestError,
)
from token_refresher.oauth.token_response import TokenResponse, read_token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.resilience.simulation.load import Load
    from tests.resilience.simulation.timelines import Timelines
    from token_refresher.oauth import client_authentication as oauth

HANDSHAKE_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 0.2
# The program gives a whole request ten seconds.
SILENCE_SECONDS: Final = 10.0
SLOW_SECONDS: Final = 9.0
REFUSAL_SECONDS: Final = 0.02

PAGE: Final = b"<!doctype html><title>made up</title>"


class Failure(Enum):
    """How an endpoint fails: in words, and by which status and body, if it answers at all."""

    REFUSED = ("connections are refused", 0, b"")
    SILENT = ("no response comes", 0, b"")
    UNAVAILABLE = ("503", 503, b"")
    TOO_MANY_REQUESTS = ("429", 429, b"")
    BAD_GATEWAY = ("502", 502, b"")
    RESET = ("connections are reset", 0, b"")
    CERTIFICATE = ("certificate refused", 0, b"")
    NOT_FOUND = ("404", 404, PAGE)
    NOT_FOUND_JSON = ("404 with JSON", 404, b'{"message": "made up"}')
    SLOW_ERROR = ("500 after 9 s", 500, b"")
    PAGE = ("a page", 403, PAGE)

    def __init__(self, words: str, status: int, body: bytes) -> None:
        self.words = words
        self.status = status
        self.body = body


# No byte of a request leaves.
UNREACHED: Final = frozenset({Failure.REFUSED, Failure.CERTIFICATE})


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which every request fails.

    Attributes:
        begins_at: Seconds since the start.
        length: From the first failing second to the first good one.
        failure: How.
    """

    begins_at: float
    length: timedelta
    failure: Failure

    @property
    def ends_at(self) -> float:
        """Seconds since the start."""
        return self.begins_at + self.length.total_seconds()


@dataclass(frozen=True, slots=True)
class Firewall:
    """A page instead of answers, for whoever asks too often.

    Attributes:
        requests: More than so many within ``window`` are too many.
        window: Of time.
        block: How long nothing is answered then.
    """

    requests: int
    window: timedelta
    block: timedelta


@dataclass(slots=True)
class Client:
    """What the server knows of an account.

    Attributes:
        refresh_token: The one that is good now; empty where there is none.
        grant_ends_at: When it ends, whatever is done; None where it rotates instead.
        password: The one that is good now.
        failure: What this account alone meets, always; None where it is served.
    """

    refresh_token: str = ""
    grant_ends_at: float | None = None
    password: str = ""
    failure: Failure | None = None


@dataclass(slots=True)
class SimulatedTokenEndpoint:
    """The hosts that the accounts of a fleet ask; an outage is that of all of them.

    Attributes:
        time: The virtual time.
        load: Counts the requests.
        lifetime: Of access tokens.
        outages: In the order of time; none overlaps another.
        firewall: None where there is no such limit.
        clients: By client id.
        blocks: How often the firewall has closed.
    """

    time: Timelines
    load: Load
    lifetime: timedelta
    outages: Sequence[Outage]
    firewall: Firewall | None = None
    clients: dict[str, Client] = field(default_factory=dict)
    blocks: int = 0
    _issued: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _blocked_until: float = 0

    def admit(self, client: oauth.Client) -> None:
        """Admit every host."""

    def verify(self, client: oauth.Client, access_token: str) -> bool | None:
        """No credentials here have a ``verify_url``."""
        raise NotImplementedError

    @contextmanager
    def connect(self, client: oauth.Client) -> Iterator[SimulatedConnection]:
        """Open a connection, or fail as this second's outage does."""
        self.time.wait_for_processor()
        failure = self._failure(client)
        if failure in UNREACHED:
            self._fail(failure, client)
        self.time.wait(HANDSHAKE_SECONDS)
        yield SimulatedConnection(self, client)

    def request(self, client: oauth.Client, grant: oauth.Grant) -> TokenResponse:
        """Answer a token request by a primary grant."""
        self.time.wait_for_processor()
        return self.answer(client, grant.parameters)

    def answer(self, sender: oauth.Client, grant: Mapping[str, object]) -> TokenResponse:
        """Answer a token request, or fail as the outage of this second does."""
        self.load.request(self.time.now)
        failure = self._failure(sender)
        if failure is not None:
            self._fail(failure, sender)
        self.time.wait(ANSWER_SECONDS)
        self._pass_firewall(sender)
        client = self.clients[sender.client_id or ""]
        if grant["grant_type"] == "refresh_token":
            return self._redeem(client, str(grant["refresh_token"]))
        if grant["grant_type"] == "password":
            if grant["password"] != client.password:
                raise TokenRequestError("invalid_grant")
            client.refresh_token = self._new_refresh_token()
        return self._answer(client.refresh_token or None)

    def _redeem(self, client: Client, refresh_token: str) -> TokenResponse:
        ends_at = client.grant_ends_at
        if refresh_token != client.refresh_token or (ends_at or self.time.now) < self.time.now:
            raise TokenRequestError("invalid_grant")
        if ends_at is not None:
            return self._answer(None, timedelta(seconds=int(ends_at - self.time.now)))
        client.refresh_token = self._new_refresh_token()
        return self._answer(client.refresh_token)

    def _answer(
        self, refresh_token: str | None, refresh_token_expires_in: timedelta | None = None
    ) -> TokenResponse:
        self._issued += 1
        return TokenResponse(
            access_token=f"made-up-access-token-{self._issued}",
            token_type="Bearer",
            expires_in=self.lifetime,
            scope=None,
            refresh_token=refresh_token,
            refresh_token_expires_in=refresh_token_expires_in,
        )

    def _new_refresh_token(self) -> str:
        self._issued += 1
        return f"made-up-refresh-token-{self._issued}"

    def _failure(self, sender: oauth.Client) -> Failure | None:
        """Tell how a request of this second fails; None where it does not."""
        own = self.clients[sender.client_id or ""].failure
        if own is not None:
            return own
        number = bisect_right(self.outages, self.time.now, key=lambda outage: outage.begins_at)
        outage = self.outages[number - 1] if number else None
        is_over = outage is None or self.time.now >= outage.ends_at
        return None if outage is None or is_over else outage.failure

    def _fail(self, failure: Failure, sender: oauth.Client) -> NoReturn:
        """Raise what `transport` would raise."""
        seconds = {
            Failure.REFUSED: REFUSAL_SECONDS,
            Failure.CERTIFICATE: HANDSHAKE_SECONDS,
            Failure.SILENT: SILENCE_SECONDS,
            Failure.SLOW_ERROR: SLOW_SECONDS,
        }
        self.time.wait(seconds.get(failure, ANSWER_SECONDS))
        if failure.status:
            read_token_response(
                failure.status,
                failure.body,
                client=sender,
                retry_after=None,
                now=self.time.clock(),
            )
        if failure is Failure.CERTIFICATE:
            raise TokenEndpointError("a certificate", code="certificate_refused", sent=False)
        if failure is Failure.REFUSED:
            raise EndpointUnavailableError("refused", code="no_connection", sent=False)
        code = "timeout" if failure is Failure.SILENT else "connection_lost"
        raise EndpointUnavailableError("no response", code=code)

    def _pass_firewall(self, sender: oauth.Client) -> None:
        """Count the request, and turn it away where there were too many."""
        if self.firewall is None:
            return
        now = self.time.now
        self._recent.append(now)
        while self._recent[0] <= now - self.firewall.window.total_seconds():
            self._recent.popleft()
        if now >= self._blocked_until and len(self._recent) > self.firewall.requests:
            self.blocks += 1
            self._blocked_until = now + self.firewall.block.total_seconds()
        if now < self._blocked_until:
            self._fail(Failure.PAGE, sender)


@dataclass(frozen=True, slots=True)
class SimulatedConnection:
    """A connection that is open, for one refresh token."""

    endpoint: SimulatedTokenEndpoint
    client: oauth.Client

    def request(self, grant: oauth.Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        """Answer a token request, once nothing forbids it."""
        before_sending()
        return self.endpoint.answer(self.client, grant.parameters)
