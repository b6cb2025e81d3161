"""Hosts and addresses that fail: left alone for the rest of a sweep, so that nobody waits for them.

So are KMS and STS, for the accounts that they sign for. It takes three accounts, since one
account's trouble is its own: a wrong address, a wrong client.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import HostStoppedError, SigningError
from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.redeem import Connection, TokenEndpoint

# So many different accounts in a row, and what they met is not one account's own.
_ACCOUNTS: Final = 3
# What takes so long to say nothing is as bad as a lost connection.
_SLOW_SECONDS: Final = 3.0

# What accounts may have in common: of a host, of a URL, of a URL, of a verify_url's host.
_SILENT, _BUSY, _BLOCKED, _VAIN = "silent", "busy", "blocked", "vain"
# What accounts that sign have in common: their signer.
_UNSIGNED = "unsigned"


def block(retry_after: timedelta | None = None) -> EndpointUnavailableError:
    """What a 403 is that several accounts meet alike."""
    return EndpointUnavailableError(
        f"the token endpoint answered {_ACCOUNTS} accounts in a row with status 403: "
        "have the function's address allowed; no credentials are at fault",
        code=_BLOCKED,
        status=HTTPStatus.FORBIDDEN,
        retry_after=retry_after,
    )


class HostGate(msgspec.Struct, frozen=True):
    """A token endpoint that a sweep leaves alone once it has failed everybody.

    A row is made of accounts that met the same, by completion, with no other response in between;
    one account counts once. A row of three stops a *host* for lost connections and slow server
    errors, and a *URL* for pages, 429 and 403. Quick server errors make nobody wait. Likewise a
    signer, for the accounts that it signs for: after three for which it did not, and said that
    this passes.

    Attributes:
        endpoint: What is asked as long as nothing is stopped.
        monotonic: Gives seconds.
        account: Whose requests these are.
        request_seconds: How long each request took, answered or not.
        blocked_accounts: Who met a 403 that seemed their own, before it was known for a block.
    """

    endpoint: TokenEndpoint
    monotonic: Callable[[], float]
    account: str = ""
    request_seconds: list[float] = msgspec.field(default_factory=list)
    blocked_accounts: set[str] = msgspec.field(default_factory=set)
    _rows: dict[tuple[str, str], dict[str, None]] = msgspec.field(default_factory=dict)
    _stopped: set[tuple[str, str]] = msgspec.field(default_factory=set)
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    def of(self, account: str) -> HostGate:
        """Give an account its endpoint, which shares what all of them have learned."""
        return msgspec.structs.replace(self, account=account)

    def admit(self, client: Client) -> None:
        """Check that the endpoint may be asked, by the settings and in this sweep.

        Raises:
            OAuthError: Not by the settings.
            HostStoppedError: Not in this sweep.
        """
        self.endpoint.admit(client)
        host, url = client.host, client.token_endpoint
        for place, stops in (
            ("host", (_SILENT, host)),
            ("address", (_BUSY, url)),
            ("address", (_BLOCKED, url)),
        ):
            if stops in self._stopped:
                raise HostStoppedError(
                    f"the token endpoint's {place} failed {_ACCOUNTS} accounts in a row: "
                    "the next sweep asks it again"
                )
        signer = _signer_of(client)
        if (_UNSIGNED, signer) in self._stopped:
            raise HostStoppedError(
                f"{signer} signed for none of {_ACCOUNTS} accounts in a row: "
                "the next sweep asks it again"
            )

    @contextmanager
    def connect(self, client: Client) -> Iterator[Connection]:
        """Open a connection; one that is open is no response yet.

        Raises:
            OAuthError: As the endpoint does.
            HostStoppedError: Not in this sweep.
        """
        self.admit(client)
        with ExitStack() as stack:
            with self.learning(client, opens=True):
                connection = stack.enter_context(self.endpoint.connect(client))
            yield _Connection(self, client, connection)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        """Send a token request.

        Raises:
            OAuthError: As the endpoint does.
        """
        with self.learning(client):
            return self.endpoint.request(client, grant)

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Pass a verification on, unless its host has let three accounts wait in vain.

        It tells nothing of the token endpoint. A quick response that says nothing, such as 404,
        is one account's wrong ``verify_url`` and not the host's.
        """
        host = host_of(client.verify_url or "")
        if (_VAIN, host) in self._stopped:
            return None
        started = self.monotonic()
        verdict = self.endpoint.verify(client, access_token)
        is_vain = verdict is None and self.monotonic() - started >= _SLOW_SECONDS
        with self._lock:
            self._count(_VAIN, host, is_met=is_vain)
        return verdict

    @contextmanager
    def learning(self, client: Client, *, opens: bool = False) -> Iterator[None]:
        """Learn from what becomes of a request, or of what only ``opens`` a connection for it.

        Raises:
            OAuthError: As was raised; where it turns out to be a block, that instead of a refusal.
            SigningError: As was raised; it tells nothing of the endpoint.
        """
        started = self.monotonic()
        try:
            yield
        except SigningError as error:
            with self._lock:
                # One that will not sign for this account has responded.
                self._count(_UNSIGNED, _signer_of(client), is_met=error.transient)
            raise
        except OAuthError as error:
            if not self._learn(client, error, self.monotonic() - started):
                raise
            raise block(error.retry_after) from None
        if not opens:
            self._learn(client, None, self.monotonic() - started)

    def _learn(self, client: Client, error: OAuthError | None, seconds: float) -> bool:
        """Count what became of a request; tell whether it met a block."""
        url = client.token_endpoint
        is_lost, is_page = (error.is_lost_connection, error.is_page) if error else (False, False)
        # 0: no response, and yet no lost connection, such as a refused certificate.
        status = (error.status or 0) if error else HTTPStatus.OK
        is_slow = status >= HTTPStatus.INTERNAL_SERVER_ERROR and seconds >= _SLOW_SECONDS
        with self._lock:
            self.request_seconds.append(seconds)
            if client.signs and (error is None or error.sent):
                self._count(_UNSIGNED, _signer_of(client), is_met=False)
            if is_lost or status:
                self._count(_SILENT, client.host, is_met=is_lost or is_slow)
            if not status:
                return False
            is_busy = is_page or status == HTTPStatus.TOO_MANY_REQUESTS
            self._count(_BUSY, url, is_met=is_busy)
            return self._count(_BLOCKED, url, is_met=status == HTTPStatus.FORBIDDEN)

    def _count(self, what: str, where: str, *, is_met: bool) -> bool:
        """Lengthen a row, or end it; tell whether it was met where it stops everybody."""
        key, row = (what, where), self._rows.setdefault((what, where), {})
        if not is_met:
            row.clear()
            return False
        row[self.account] = None
        if len(row) == _ACCOUNTS and key not in self._stopped:
            self._stopped.add(key)
            if what == _BLOCKED:
                self.blocked_accounts.update(list(row)[:-1])
        return key in self._stopped


def _signer_of(client: Client) -> str:
    """Name what signs for a client; empty where nothing is asked for it."""
    if not client.signs or client.auth_method == "client_secret_jwt":
        return ""
    return "STS" if client.is_assertion_issued else "KMS"


class _Connection(msgspec.Struct, frozen=True):
    """A connection whose request is learned from."""

    gate: HostGate
    client: Client
    connection: Connection

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        with self.gate.learning(self.client):
            return self.connection.request(grant, before_sending=before_sending)
