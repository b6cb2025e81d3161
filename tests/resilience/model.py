"""What the model test holds the program to: its contract in numbers, and servers that remember.

Nothing here is computed by the program: a token is read from its version id and its JSON, and
the servers themselves judge whether a refresh token might have been sent.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tests.unit.fakes import (
    HOUR,
    MINUTE,
    TWELVE_HOURS,
    FakeTokenEndpoint,
    RefreshMode,
    broken,
    firewall,
    no_connection,
    timed_out,
    too_many_requests,
    unavailable,
)
from token_refresher.failures import FAILURES
from token_refresher.oauth.errors import TokenRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.secrets_manager.memory import Secret
    from tests.unit.fakes import Faults
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse

MARGIN: Final = 90 * MINUTE
SLACK: Final = timedelta(seconds=30)
# Three versions of a token secret are never closer than this.
FLOOR: Final = 20 * MINUTE
FLOOR_WITH_REFRESH_TOKENS: Final = 40 * MINUTE
VERSIONS_A_DAY: Final = 144
# As many as one in ten minutes span ten minutes less than a day, and ticks are a little early.
DAY: Final = timedelta(days=1) - 10 * MINUTE
LEASE_INTERVAL: Final = 15 * MINUTE
# A refresh token that brought no token is sent again in the last half hour of the token.
LAST_SENDINGS: Final = 30 * MINUTE
LAST_CHANCE: Final = 10 * MINUTE
FIRST_TRANSIENT: Final = 5 * MINUTE
FIRST_REFUSED: Final = 15 * MINUTE
LONGEST_WAIT: Final = 6 * HOUR

HOSTS: Final = {
    "autovit.ro": "www.autovit.ro",
    "otomoto.pl": "www.otomoto.pl",
    "standvirtual.com": "www.standvirtual.com",
}
# Each account's name is its client_id too, so that the servers know who asks.
ACCOUNTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "password": {"provider": "autovit.ro", "grant_type": "password", "username": "a@example.com"},
    "partner": {"provider": "otomoto.pl", "grant_type": "partner", "partner_code": "partner-name"},
    "client": {"provider": "otomoto.pl", "grant_type": "client_credentials"},
    "only": {"provider": "standvirtual.com", "grant_type": "refresh_token"},
    "other-only": {"provider": "autovit.ro", "grant_type": "refresh_token"},
    "verified": {
        "provider": "autovit.ro",
        "grant_type": "password",
        "username": "b@example.com",
        "verify_url": "https://www.autovit.ro/api/open/account/adverts",
    },
}
ONLY_REFRESH_TOKENS: Final = frozenset({"only", "other-only"})
SECRET_FIELD: Final = {"password": "password", "partner": "partner_secret"}
# What a secret, a token or a refresh token of these tests has in it, and nothing else has.
MARKS: Final = ("made-up-", "access-token-", "refresh-token-")

OUTAGES: Final[Mapping[str, Callable[[], Exception]]] = {
    "500": broken,
    "503": unavailable,
    "429": too_many_requests,
    "firewall": firewall,
    "no connection": no_connection,
    "silence": timed_out,
    "invalid_client": lambda: TokenRequestError("invalid_client"),
    "invalid_scope": lambda: TokenRequestError("invalid_scope"),
    "server_error": lambda: TokenRequestError("server_error"),
}
# The server has done what it was asked for, and does not say so.
TOO_LATE: Final[Mapping[str, Callable[[], Exception]]] = {
    "500 too late": broken,
    "silence too late": timed_out,
}
GARBAGE: Final[Mapping[str, Mapping[str, Any]]] = {
    "no token": {"access_token": None},
    "newline": {"access_token": "access-token-\nline"},
    "mac": {"token_type": "mac"},
    "no lifetime": {"expires_in": None},
    "expired": {"expires_in": timedelta(0)},
}
REFUSED: Final = frozenset(
    {"invalid_client", "invalid_grant", "invalid_scope", "unsupported_grant_type"}
)
# After these the primary grant is not asked: it would fail alike.
NOT_FOLLOWED: Final = frozenset(
    {"answer", "no_connection", "invalid_client", "status_429", "firewall"}
)


def digest(text: str) -> str:
    """As a version id holds it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def moment(text: str) -> datetime:
    """As a version id holds it."""
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Token:
    """A published token."""

    version_id: str
    access_token: str
    issued_at: datetime
    expires_at: datetime

    @property
    def due_at(self) -> datetime:
        """When it should be replaced."""
        life = self.expires_at - self.issued_at
        return max(self.expires_at - MARGIN, self.issued_at + life / 2)

    def is_fresh(self, credentials: Secret, now: datetime) -> bool:
        """Whether nobody needs another one."""
        current = digest(credentials.stages["AWSCURRENT"])
        return self.version_id.split("-")[2] == current and now < self.due_at


def read_token(secret: Secret | None) -> Token | None:
    """Read what is published, and hold that its JSON and its version id tell the same."""
    if secret is None or "AWSCURRENT" not in secret.stages:
        return None
    version_id = secret.stages["AWSCURRENT"]
    content = json.loads(secret.versions[version_id] or "")
    assert set(content) <= {"access_token", "token_type", "scope", "issued_at", "expires_at"}
    assert content["token_type"] == "Bearer"
    issued_at, expires_at = map(moment, version_id.split("-")[:2])
    assert (content["issued_at"], content["expires_at"]) == (
        issued_at.timestamp(),
        expires_at.timestamp(),
    )
    return Token(version_id, content["access_token"], issued_at, expires_at)


@dataclass
class Asked:
    """A token request: whose, by which grant, and what came of it."""

    account: str
    grant_type: str
    host: str
    at: datetime
    run: object = None
    came: str = "nothing"


class Servers(FakeTokenEndpoint):
    """Token endpoints that know passwords, each host with its own ways.

    Attributes:
        secrets: What each account of a repeatable grant must present.
        modes: By host.
        lifetimes: By host.
        troubles: What is wrong with the next answers of a host, in turn.
        asked: The requests since the last sweep began.
        run: The sweep that is at it.
        is_insisted_on: Whether it is forced, or a token was handed in.
        put_at: When each account's credentials were put.
        needless: Tells whether an account's published token lives for long.
        sent: Each time that a refresh token was sent, and might have been redeemed.
        at_risk: Accounts that lost a response, so that nobody can know what is still good.
        broken_promises: What must never happen, and did.
    """

    def __init__(self, clock: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(clock, faults)
        self.now = clock
        self.secrets: dict[str, str] = {}
        self.modes = dict.fromkeys(HOSTS.values(), RefreshMode.ROTATES)
        self.lifetimes = dict.fromkeys(HOSTS.values(), TWELVE_HOURS)
        self.troubles: dict[str, Iterator[str]] = {}
        self.asked: list[Asked] = []
        self.run: object = None
        self.is_insisted_on = False
        self.put_at: dict[str, datetime] = {}
        self.needless: Callable[[str], bool] = lambda _: False
        self.sent: dict[str, list[Asked]] = defaultdict(list)
        self.at_risk: set[str] = set()
        self.broken_promises: list[str] = []

    def trouble(self, host: str, *kinds: str) -> None:
        """Let a host answer so, in turn; ``fine`` is what it does otherwise."""
        self.troubles[host] = cycle(kinds)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        account, host = client.client_id or "", client.host
        asked = Asked(account, str(grant.parameters["grant_type"]), host, self.now(), self.run)
        self.asked.append(asked)
        value = grant.refresh_token
        if value is None:
            return self._requested(asked, client, grant)
        self._judge(asked, value)
        self.sent[value].append(asked)
        try:
            response = self._requested(asked, client, grant)
        finally:
            if asked.came not in {"answer", "invalid_grant"}:
                self.at_risk.add(account)
        if self.modes[host] is RefreshMode.OMITS_AND_DELETES:
            self.at_risk.add(account)
        if self.modes[host] is not RefreshMode.ROTATES:
            # A response that names no other says that it lives on (RFC 6749 section 6).
            self.sent[value].clear()
        return response

    def _requested(self, asked: Asked, client: Client, grant: Grant) -> TokenResponse:
        try:
            response = super().request(client, grant)
        except FAILURES as error:
            asked.came = error.code
            raise
        asked.came = "answer"
        return response

    def _judge(self, asked: Asked, value: str) -> None:
        """Hold that a refresh token is sent again only by who has nothing else, and not for long.

        Never by two runs at once, twice in one run only by the first that sends it, and while
        the published token lives only where the last answer was a no, or somebody insists.
        """
        before, name = self.sent[value], asked.account
        if not before:
            return
        last, is_put = before[-1], self.put_at[name] >= before[-1].at
        if name not in ONLY_REFRESH_TOKENS:
            wrong = "again, beside a primary grant"
        elif last.run is asked.run:
            wrong = "a third time in one run" if len(before) > 1 else ""
        elif asked.at - last.at < LEASE_INTERVAL - 2 * SLACK and not is_put:
            wrong = "again too soon"
        else:
            may_be_sent = self.is_insisted_on or is_put or last.came in REFUSED
            wrong = "" if may_be_sent or not self.needless(name) else "again while its token lived"
        if wrong:
            self.broken_promises.append(f"{name} sent a refresh token {wrong}: {before}")

    def forget_what_was_sent_by(self, account: str) -> None:
        """The records of an account are gone: somebody deleted its token secret."""
        self.at_risk.add(account)
        for sent in self.sent.values():
            if any(each.account == account for each in sent):
                sent.clear()

    def is_good(self, value: str) -> bool:
        """Whether a refresh token would be redeemed."""
        token = self._refresh_tokens.get(value)
        return token is not None and not token.is_spent and token.family not in self.revoked

    def knows(self, access_token: str) -> bool:
        """Whether an access token was issued here, and its family has not been revoked."""
        family, _ = self._access_tokens.get(access_token, (None, None))
        return family is not None and family not in self.revoked

    def _answered(self, host: str, grant: Mapping[str, str]) -> TokenResponse:
        self.mode, self.lifetime = self.modes[host], self.lifetimes[host]
        trouble = next(self.troubles[host]) if host in self.troubles else "fine"
        if trouble in OUTAGES:
            outage = OUTAGES[trouble]()
            raise outage
        name = grant.get("username") or grant.get("partner_code")
        presented = grant.get("password") or grant.get("partner_secret")
        if name is not None and presented != self.secrets[name]:
            raise TokenRequestError("invalid_grant")
        response = super()._answered(host, grant)
        if trouble in TOO_LATE:
            outage = TOO_LATE[trouble]()
            raise outage
        return msgspec.structs.replace(response, **GARBAGE.get(trouble, {}))
