"""Clients, refresh-token families and tokens: who may have what, and what became of it.

Nothing of HTTP here. One lock guards everything, because a server's threads and a test's look at
the same tokens.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749.errors import InvalidGrantError, UnsupportedGrantTypeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from joserfc.jwk import ECKey, RSAKey

    from local.authorization_server.dialects import Dialect

AUTH_METHODS = ("client_secret_basic", "client_secret_post")
BY_ASSERTION = ("client_secret_jwt", "private_key_jwt")
TOKEN_LENGTH = 40
ACCESS_TOKEN_MARK = "facade"  # noqa: S105
REFRESH_TOKEN_MARK = "c0ffee"  # noqa: S105


class RefreshMode(Enum):
    """What becomes of a refresh token that is redeemed."""

    ROTATES = "a new one is issued, the old one is spent"
    KEEPS = "it stays, and the response does not name it"
    OMITS_AND_DELETES = "it is deleted, and the response has no other"
    REFUSES = "unsupported_grant_type"


@dataclass(eq=False)
class Client:
    """A registered client. Its fields may be changed while the server runs.

    The methods are those that Authlib asks of a client.
    """

    client_id: str
    secret: str = field(repr=False)
    dialect: Dialect
    grants: frozenset[str]
    auth_methods: frozenset[str]
    users: dict[str, str] = field(repr=False)
    partners: dict[str, str] = field(repr=False)
    scope: str | None
    access_token_lifetime: timedelta
    refresh_token_lifetime: timedelta | None
    refresh_tokens_for: frozenset[str]
    refresh_mode: RefreshMode
    one_live_token: bool
    # What its access tokens end with, and what else is in each response that brings one.
    token_ending: str
    response_fields: dict[str, object] = field(repr=False)
    # With what its assertions are verified, if not with its secret; and for whom they must be, if
    # not for the token endpoint.
    public_keys: tuple[RSAKey | ECKey, ...] = ()
    audience: str | None = None

    def get_client_id(self) -> str:
        """Return the identifier; Authlib's name for it."""
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope to grant: what is asked for, else the client's own."""
        return scope or self.scope or ""

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether a secret is this client's."""
        return secrets.compare_digest(client_secret.encode(), self.secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell whether the client may authenticate this way."""
        return endpoint == "token" and method in self.auth_methods

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the client may use a grant."""
        return grant_type in self.grants


@dataclass(eq=False, slots=True)
class Family:
    """All tokens that descend from one grant."""

    client: Client
    user: str
    scope: str
    revoked: bool = False


@dataclass(eq=False, slots=True)
class RefreshToken:
    """A refresh token, and whether it can still be redeemed.

    The methods are those that Authlib asks of a token.
    """

    value: str = field(repr=False)
    family: Family
    expires_at: datetime | None
    spent: bool = False
    deleted: bool = False

    def check_client(self, client: object) -> bool:
        """Tell whether it was issued to this client."""
        return self.family.client is client

    def get_scope(self) -> str:
        """Return the scope of the grant it descends from."""
        return self.family.scope


@dataclass(eq=False, slots=True)
class AccessToken:
    """An access token, and whether a resource still accepts it."""

    value: str = field(repr=False)
    family: Family
    expires_at: datetime
    revoked: bool = False


class Ledger:
    """Everything the server knows, behind one lock."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.lock = threading.RLock()
        self.clients: dict[str, Client] = {}
        self.redeemed: Counter[str] = Counter()
        self.families_revoked = 0
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._live: dict[tuple[str, str], list[AccessToken]] = {}

    def issue_initial_refresh_token(self, client: Client, user: str) -> str:
        """Issue a refresh token as an authorization outside this server would have done."""
        with self.lock:
            return self._new_refresh_token(Family(client, user, client.scope or ""))

    def grant(self, client: Client, grant_type: str, user: str, scope: str) -> dict[str, Any]:
        """Start a family with the first tokens of a grant, and return the response's fields."""
        with self.lock:
            family = Family(client, user, scope)
            answer = self._access_answer(family)
            if grant_type in client.refresh_tokens_for:
                answer["refresh_token"] = self._new_refresh_token(family)
            return answer

    def redeemable(self, value: str) -> RefreshToken:
        """Return a live refresh token.

        A spent one that comes back may have been stolen. A server that detects this revokes the
        whole family, for it cannot tell the thief from the owner.

        Raises:
            InvalidGrantError: It is unknown, spent, deleted, revoked or expired.
            UnsupportedGrantTypeError: The client's server does not refresh at all.
        """
        with self.lock:
            token = self._refresh_tokens.get(value)
            if token is None:
                raise InvalidGrantError(description="Invalid refresh token")
            if token.family.client.refresh_mode is RefreshMode.REFUSES:
                raise UnsupportedGrantTypeError("refresh_token")
            if token.spent:
                self._revoke(token.family)
            expired = token.expires_at is not None and token.expires_at <= self._clock()
            if token.spent or token.deleted or token.family.revoked or expired:
                raise InvalidGrantError(description="Invalid refresh token")
            return token

    def redeem(self, token: RefreshToken) -> dict[str, Any]:
        """Exchange a live refresh token as the client's mode says."""
        with self.lock:
            self.redeemed[token.value] += 1
            client = token.family.client
            answer = self._access_answer(token.family)
            if client.refresh_mode is RefreshMode.ROTATES:
                token.spent = True
                answer["refresh_token"] = self._new_refresh_token(token.family)
            elif client.refresh_mode is RefreshMode.OMITS_AND_DELETES:
                token.deleted = True
            return answer

    def accepted(self, value: str) -> tuple[bool, Family | None]:
        """Tell whether an access token is live, and of which grant it is if that is known."""
        with self.lock:
            token = self._access_tokens.get(value)
            if token is None:
                return False, None
            dead = token.revoked or token.family.revoked or token.expires_at <= self._clock()
            return not dead, token.family

    def revoke_access_token(self, value: str) -> None:
        """Kill one access token before its time."""
        with self.lock:
            self._access_tokens[value].revoked = True

    def _access_answer(self, family: Family) -> dict[str, Any]:
        client = family.client
        value = _new_value(ACCESS_TOKEN_MARK) + client.token_ending
        token = AccessToken(value, family, self._clock() + client.access_token_lifetime)
        self._access_tokens[value] = token
        live = self._live.setdefault((client.client_id, family.user), [])
        if client.one_live_token:
            for older in live:
                older.revoked = True
            live.clear()
        live.append(token)
        answer: dict[str, Any] = {
            **client.response_fields,
            "access_token": value,
            "token_type": client.dialect.token_type,
        }
        lifetime = int(client.access_token_lifetime.total_seconds())
        answer["expires_in"] = str(lifetime) if client.dialect.expires_in_is_text else lifetime
        if family.scope:
            answer["scope"] = family.scope
        return answer

    def _new_refresh_token(self, family: Family) -> str:
        lifetime = family.client.refresh_token_lifetime
        expires_at = None if lifetime is None else self._clock() + lifetime
        token = RefreshToken(_new_value(REFRESH_TOKEN_MARK), family, expires_at)
        self._refresh_tokens[token.value] = token
        return token.value

    def _revoke(self, family: Family) -> None:
        if not family.revoked:
            family.revoked = True
            self.families_revoked += 1


def _new_value(mark: str) -> str:
    """Return 40 hex characters that nobody takes for a real token."""
    return mark + secrets.token_hex(TOKEN_LENGTH)[: TOKEN_LENGTH - len(mark)]
