"""An authorization server that rotates refresh tokens, with reuse detection and a grace.

It remembers who sent what, and judges it: its requests are the one thing that the protocol is for.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from tests.resilience.interleavings.judgement import Apart, Broken
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError, TokenEndpointError
from token_refresher.oauth.token_response import read_token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.resilience.interleavings.plays import Environment, Play, Run
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse

# A request of ours takes no longer, answered or not.
TIMEOUT_SECONDS: Final = 10.0
# A server closes a connection on which nothing came for so long.
IDLE_SECONDS: Final = 60.0
# Leases are abandoned after 20 minutes, and clocks differ by up to 5.
SURELY_AT_IT: Final = 900.0
# The program may publish without looking while its lease is younger than 60 s.
MAY_PUBLISH_UNSEEN: Final = 75.0
LONGEST_LAG: Final = 300.0
HALF_AN_HOUR: Final = 1800.0
PAGE: Final = b"<html>"


class Fault(Enum):
    """How a request fails."""

    NO_CONNECTION = "no connection"
    CERTIFICATE = "certificate refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    BROKEN = "500"
    BAD_GATEWAY = "502"
    UNAVAILABLE = "503"
    NOT_FOUND = "404"
    TOO_MANY = "429"
    REFUSED = "400"
    FORBIDDEN = "403"


AT_CONNECT: Final = frozenset({Fault.NO_CONNECTION, Fault.CERTIFICATE})
REFUSALS: Final = frozenset({Fault.REFUSED, Fault.FORBIDDEN})
# After these the refresh token may have been redeemed.
LOSSES: Final = (Fault.RESET, Fault.TIMEOUT, Fault.BROKEN, Fault.BAD_GATEWAY, Fault.UNAVAILABLE)


@dataclass(slots=True)
class Outage:
    """A time in which requests fail.

    Attributes:
        begins: Seconds since the start.
        ends: Likewise.
        fault: How they fail.
        after: The share that fails after the refresh token was redeemed.
        strikes: How many requests fail at most.
    """

    begins: float
    ends: float
    fault: Fault
    after: float = 0.0
    strikes: float = float("inf")


@dataclass(slots=True, eq=False)
class Request:
    """One sending of a refresh token."""

    run: Run
    sent_at: float
    is_at_server: bool = True
    is_returned: bool = False
    is_lost: bool = False
    is_unanswered: bool = False


@dataclass(slots=True)
class Family:
    """All refresh tokens that follow from one consent."""

    is_revoked: bool = False
    accepted_from: int = 0


@dataclass(slots=True)
class RefreshToken:
    """A refresh token, as the server and the judge remember it."""

    family: Family
    ends_at: float
    spent_at: float | None = None
    successor: str = ""
    redeemed: list[Request] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    kept_at: float | None = None


@dataclass(slots=True, frozen=True)
class AccessToken:
    """An access token; the number tells which of two is the older."""

    family: Family
    number: int
    expires_at: float


class Server:
    """The token endpoint of one play."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._published_at: dict[str, float] = {}

    def consent(self) -> str:
        """Issue an initial refresh token."""
        return self._new_refresh_token(Family())

    # What the judge asks.

    def kept(self, refresh_token: str | None) -> None:
        """Note that the store has a refresh token."""
        token = self._refresh_tokens.get(refresh_token or "")
        if token is not None and token.kept_at is None:
            token.kept_at = self._play.time.now

    def published(
        self, run: Run, new: tuple[str, str], old: tuple[str, str], begun_at: float
    ) -> None:
        """Judge a publish, by the token that it replaces; each is a version's id and text."""
        play, since = self._play, self._published_at.get(old[1], 0.0)
        self._published_at[new[1]] = play.time.now
        number, replaced = (self._access_token(text) for _, text in (new, old))
        if number is None or replaced is None or number.number >= replaced.number:
            return
        if new[0][:16] >= old[0][:16]:
            # By their ids, which tell the time by the clocks of two environments, it is not older.
            is_known = False
        elif run.described_at >= run.answered_at:
            # What was published after it looked it could not know.
            is_known = since < run.described_at - (LONGEST_LAG if play.setting.stale else 0.0)
        else:
            is_known = begun_at - (run.leased_at or run.answered_at) > MAY_PUBLISH_UNSEEN
        if is_known:
            play.broken(Broken.OLDER, f"{run.name}, {new[0]} over {old[0]}")
        else:
            play.judgement.apart[Apart.RACE] += 1

    def expiry(self, text: str | None) -> float:
        """When a published token ends; 0 where there is none, or its family was revoked."""
        token = self._access_token(text)
        return 0.0 if token is None or token.family.is_revoked else token.expires_at

    def accepts(self, text: str | None) -> bool:
        """Whether a resource takes a published token now."""
        token = self._access_token(text)
        return self._play.time.now < self.expiry(text) and (
            token is not None and token.number >= token.family.accepted_from
        )

    def _access_token(self, text: str | None) -> AccessToken | None:
        return self._access_tokens.get(json.loads(text or "{}").get("access_token"))

    def follows(self, refresh_token: str, initial: str) -> bool:
        """Whether a refresh token is of the family of an initial one."""
        token = self._refresh_tokens.get(refresh_token)
        return token is not None and token.family is self._refresh_tokens[initial].family

    def is_of_use(self, refresh_token: str) -> bool:
        """Whether a request with this refresh token would be answered now.

        What could have been avoided counts as if it would: then it is a promise that was broken.
        """
        token, now, grace = (
            self._refresh_tokens[refresh_token],
            self._play.time.now,
            self._play.setting.grace,
        )
        if now >= token.ends_at:
            return False
        is_spent = token.spent_at is not None and now - token.spent_at > grace
        if not is_spent and not token.family.is_revoked:
            return True
        cause = self._cause(token) if token.redeemed else None
        return cause is None and not token.family.is_revoked

    def _cause(self, token: RefreshToken) -> Apart | None:
        """Tell what no protocol could have avoided of a spent token; None where it could."""
        first, now = token.redeemed[0], self._play.time.now
        if any(request.is_lost for request in token.redeemed):
            return Apart.LOST
        kept_at = self._refresh_tokens[token.successor].kept_at
        if kept_at is None and first.run.is_dead:
            return Apart.ENDED
        is_slow = (now if kept_at is None else kept_at) - first.sent_at >= SURELY_AT_IT
        return Apart.STOOD_STILL if is_slow and first.run.is_hindered else None

    # What the server does.

    def arrive(self, run: Run, grant: Mapping[str, Any]) -> Request:
        """Judge a request that arrives, by those that carried the same refresh token."""
        play, request = self._play, Request(run, self._play.time.now)
        play.tell(f"request {grant.get('refresh_token', grant['grant_type'])}", run)
        token = self._refresh_tokens.get(grant.get("refresh_token", ""))
        if token is None:
            return request
        play.sent()
        others = [other for other in token.requests if other.run is not run]
        token.requests.append(request)
        if any(other.is_at_server for other in others):
            play.broken(Broken.OVERLAP, run.name)
        elif any(
            not other.is_returned and request.sent_at - other.sent_at < SURELY_AT_IT
            for other in others
        ):
            play.broken(Broken.TOO_SOON, run.name)
        if others and not play.setting.refresh_only:
            play.broken(Broken.SENT_TWICE, run.name)
        elif others and others[-1].is_unanswered and not run.may_risk_the_token:
            left = min(self.expiry(play.published_text()), token.ends_at) - request.sent_at
            if left > HALF_AN_HOUR + play.setting.skew * 2 + LONGEST_LAG:
                play.broken(Broken.RISKED, f"{run.name}, {left:.0f} s left")
        return request

    def answer(self, grant: Mapping[str, Any], request: Request) -> tuple[int, bytes]:
        """Answer a token request."""
        if grant["grant_type"] != "refresh_token":
            family = Family()
            return self._issue(family, self._new_refresh_token(family))
        play, setting = self._play, self._play.setting
        token = self._refresh_tokens.get(grant["refresh_token"])
        if token is None or token.family.is_revoked or play.time.now >= token.ends_at:
            return _error("invalid_grant")
        if token.spent_at is not None and play.time.now - token.spent_at > setting.grace:
            self._revoke(token, grant["refresh_token"], request)
            return _error("invalid_grant")
        if token.spent_at is None:
            token.spent_at = play.time.now
        token.redeemed.append(request)
        following = self._refresh_tokens.get(token.successor)
        if following is None or following.spent_at is not None or not setting.same_successor:
            token.successor = self._new_refresh_token(token.family)
        if setting.ends_living:
            token.family.accepted_from = len(self._access_tokens)
        return self._issue(token.family, token.successor)

    def _is_not_kept(self, token: RefreshToken) -> bool:
        """Whether the store has refused what came of a refresh token."""
        is_kept = self._refresh_tokens[token.successor].kept_at is not None
        return not is_kept and token.redeemed[0].run.is_hindered

    def _revoke(self, token: RefreshToken, value: str, request: Request) -> None:
        # One that nobody waits for any more, and that comes late, is a lost response as well.
        cause = Apart.LOST if request.is_lost else self._cause(token)
        if cause is None and self._is_not_kept(token):
            left = self.expiry(self._play.published_text()) - self._play.time.now
            if request.run.may_risk_the_token or left < HALF_AN_HOUR:
                cause = Apart.NOT_KEPT
        if cause is None and not self.follows(value, self._play.initial):
            cause = Apart.REPLACED
        token.family.is_revoked = True
        self._play.tell(f"family revoked: {cause and cause.value}", request.run)
        if cause is not None:
            self._play.judgement.apart[cause] += 1
            return
        is_renewed = value == self._play.initial and self._play.consents > 1
        kind = Broken.CONSENT_LOST if is_renewed else Broken.REVOKED
        self._play.broken(kind, f"{request.run.name} sent {value}")

    def _issue(self, family: Family, refresh_token: str) -> tuple[int, bytes]:
        number, setting = len(self._access_tokens), self._play.setting
        value = f"made-up-access-token-{number}"
        expires_at = self._play.time.now + setting.lifetime
        self._access_tokens[value] = AccessToken(family, number, expires_at)
        content = {
            "access_token": value,
            "token_type": "Bearer",
            "expires_in": int(setting.lifetime),
            "refresh_token": refresh_token,
        }
        if setting.refresh_lifetime is not None:
            content["refresh_token_expires_in"] = int(setting.refresh_lifetime)
        return 200, json.dumps(content).encode()

    def _new_refresh_token(self, family: Family) -> str:
        value = f"made-up-refresh-token-{len(self._refresh_tokens)}"
        lives = self._play.setting.refresh_lifetime or float("inf")
        self._refresh_tokens[value] = RefreshToken(family, self._play.time.now + lives)
        return value

    def fault(self, *, at_connect: bool) -> tuple[Fault | None, bool]:
        """Tell how a request fails now, if it does, and whether after its effect."""
        for outage in self._play.outages:
            if outage.begins <= self._play.time.now < outage.ends and outage.strikes:
                if (outage.fault in AT_CONNECT) is not at_connect:
                    continue
                outage.strikes -= 1
                return outage.fault, self._play.random.random() < outage.after
        return None, False


class Endpoint:
    """The program's way to the server, in one environment."""

    def __init__(self, env: Environment, server: Server) -> None:
        self._env = env
        self._server = server

    def admit(self, client: Client) -> None:
        """Admit the one host that there is."""

    def verify(self, client: Client, access_token: str) -> bool | None:
        """No credentials here have a ``verify_url``."""
        raise NotImplementedError

    @contextmanager
    def connect(self, client: Client) -> Iterator[Connection]:
        """Open a connection of its own."""
        self.handshake()
        yield Connection(self, self._env, client)

    def handshake(self, *, is_again: bool = False) -> None:
        """Open a connection, or fail as all do now."""
        env = self._env
        env.give_way("connect")
        fault, _ = self._server.fault(at_connect=True)
        env.wait(env.draw(0.02, 0.3))
        if fault is not None and env.run.leased_at and not env.run.has_sent and not is_again:
            env.play.broken(Broken.LEASE_WASTED, env.run.name)
        if fault is Fault.NO_CONNECTION:
            raise EndpointUnavailableError("refused", code="no_connection", sent=False)
        if fault is Fault.CERTIFICATE:
            raise certificate_refused()

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        """Send a primary grant."""
        self.handshake(is_again=True)
        return Connection(self, self._env, client).request(grant, before_sending=lambda: None)

    def exchange(self, client: Client, grant: Mapping[str, Any]) -> TokenResponse:
        """Let a request travel, be worked on, and its response come back."""
        env, server = self._env, self._server
        env.wait(env.draw(0.01, 0.1))
        fault, is_after = server.fault(at_connect=False)
        request = server.arrive(env.run, grant)
        env.run.has_sent = True
        try:
            status, body = self._work(grant, request, fault, is_after=is_after)
            # Whatever becomes of this run, the server is done with it.
            env.give_way("response", of=request)
            env.run.answered_at = env.play.time.now
            return read_token_response(
                status, body, client=client, retry_after=None, now=datetime.fromtimestamp(0, UTC)
            )
        finally:
            request.is_returned = not env.run.is_dead

    def _work(
        self, grant: Mapping[str, Any], request: Request, fault: Fault | None, *, is_after: bool
    ) -> tuple[int, bytes]:
        env, server = self._env, self._server

        def act() -> tuple[int, bytes]:
            request.is_lost = fault is not None
            return server.answer(grant, request)

        request.is_unanswered = fault in LOSSES
        if fault is Fault.TIMEOUT:
            # It may be at it long after we have given up.
            works = env.draw(0, 25) if env.draw(0, 1) < 1 / 2 else env.draw(0, 1)
            env.at_server(works, act if is_after else None, request)
            env.wait(TIMEOUT_SECONDS)
            raise EndpointUnavailableError("silence", code="timeout")
        # Most are quick, some take nearly as long as a client waits.
        env.wait(env.draw(0.05, 2.0) if env.draw(0, 1) < 9 / 10 else env.draw(2.0, 9.5))
        response = act() if fault is None or is_after else None
        request.is_at_server = False
        env.tell(
            f"  {fault.value if fault else response[0] if response else ''}{' after' * is_after}"
        )
        if fault is None:
            assert response is not None
            return response
        if fault is Fault.RESET:
            raise EndpointUnavailableError("reset", code="connection_lost")
        return _failed(fault)


@dataclass(slots=True)
class Connection:
    """A connection on which one refresh token is sent."""

    endpoint: Endpoint
    env: Environment
    client: Client

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        """Send one request; a connection that the server has closed is opened again, once."""
        if self.env.draw(0, 1) < self.env.play.setting.reopened:
            self.endpoint.handshake(is_again=True)
        for _ in range(2):
            before_sending()
            checked_at = self.env.play.time.now
            self.env.give_way("first byte")
            if self.env.play.time.now - checked_at < IDLE_SECONDS:
                return self.endpoint.exchange(self.client, grant.parameters)
            self.endpoint.handshake(is_again=True)
        raise EndpointUnavailableError("closed, twice", code="no_connection", sent=False)


def certificate_refused() -> OAuthError:
    """No byte left."""
    return TokenEndpointError("the certificate is refused", code="certificate_refused")


def _error(code: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": code}).encode()


def _failed(fault: Fault) -> tuple[int, bytes]:
    if fault in REFUSALS:
        return int(fault.value), _error("invalid_grant")[1]
    return int(fault.value), PAGE
