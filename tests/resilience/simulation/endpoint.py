"""A token endpoint on virtual time: outages, refresh tokens that rotate or end, passwords."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from token_refresher.oauth.errors import EndpointUnavailableError, TokenRequestError
from token_refresher.oauth.token_response import TokenResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.resilience.simulation.load import Load
    from tests.resilience.simulation.timelines import Timelines
    from token_refresher.oauth import client_authentication as oauth

ANSWER_SECONDS: Final = 0.2
# The program gives a whole request ten seconds.
SILENCE_SECONDS: Final = 10.0
REFUSAL_SECONDS: Final = 0.02


class Failure(Enum):
    """How an endpoint fails."""

    REFUSED = "connections are refused"
    SILENT = "no answer comes"
    UNAVAILABLE = "503"
    TOO_MANY_REQUESTS = "429"


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
    """

    refresh_token: str = ""
    grant_ends_at: float | None = None
    password: str = ""


@dataclass(slots=True)
class SimulatedTokenEndpoint:
    """One host, which all accounts of a fleet ask.

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
        """Admit every host: there is but one."""

    def verify(self, client: oauth.Client, access_token: str) -> bool | None:
        """No credentials here have a ``verify_url``."""
        raise NotImplementedError

    def request(self, sender: oauth.Client, grant: Mapping[str, str]) -> TokenResponse:
        """Answer a token request, or fail as the outage of this second does."""
        self.time.wait_for_processor()
        self.load.request(self.time.now)
        outage = self._outage()
        if outage is not None:
            self._fail(outage.failure)
        self.time.wait(ANSWER_SECONDS)
        self._pass_firewall()
        client = self.clients[sender.client_id]
        if grant["grant_type"] == "refresh_token":
            return self._redeem(client, grant["refresh_token"])
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
        return TokenResponse(
            access_token="made-up-access-token",
            token_type="Bearer",
            expires_in=self.lifetime,
            scope=None,
            refresh_token=refresh_token,
            refresh_token_expires_in=refresh_token_expires_in,
        )

    def _new_refresh_token(self) -> str:
        self._issued += 1
        return f"made-up-refresh-token-{self._issued}"

    def _outage(self) -> Outage | None:
        number = bisect_right(self.outages, self.time.now, key=lambda outage: outage.begins_at)
        outage = self.outages[number - 1] if number else None
        return outage if outage is not None and self.time.now < outage.ends_at else None

    def _fail(self, failure: Failure) -> None:
        if failure is Failure.REFUSED:
            self.time.wait(REFUSAL_SECONDS)
            raise EndpointUnavailableError("refused", code="no_connection", sent=False)
        if failure is Failure.SILENT:
            self.time.wait(SILENCE_SECONDS)
            raise EndpointUnavailableError("silence", code="timeout")
        self.time.wait(ANSWER_SECONDS)
        is_429 = failure is Failure.TOO_MANY_REQUESTS
        raise EndpointUnavailableError(
            failure.value, code=f"status_{failure.value}", processed=False, stops_host=is_429
        )

    def _pass_firewall(self) -> None:
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
            raise EndpointUnavailableError(
                "a page", code="firewall", processed=False, stops_host=True
            )
