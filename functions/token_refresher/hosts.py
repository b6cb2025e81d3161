"""Hosts that fail: left alone for the rest of a sweep, so that no other host waits for them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from token_refresher.errors import HostStoppedError
from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.refresh import TokenEndpoint

# So many lost connections in a row, and a host is left alone for this sweep.
_LOST_CONNECTIONS: Final = 3
# An inconclusive verification that took so long is as good as a lost connection.
_SLOW_SECONDS: Final = 3.0


class HostGate:
    """A token endpoint that leaves a failing host alone.

    After three lost connections in a row, or one response that speaks for the whole
    host (429, a firewall's page), its accounts are not attempted in this sweep;
    nothing is recorded for them.

    Attributes:
        request_seconds: How long each request took, answered or not.
    """

    def __init__(self, endpoint: TokenEndpoint, monotonic: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lost: Counter[str] = Counter()
        self._vain: Counter[str] = Counter()
        self._stopped: set[str] = set()
        self.request_seconds: list[float] = []

    def admit(self, client: Client) -> None:
        """Check that the host may be asked, by the settings and in this sweep.

        Raises:
            OAuthError: Not by the settings.
            HostStoppedError: Not in this sweep.
        """
        self._endpoint.admit(client)
        if client.host in self._stopped:
            raise HostStoppedError("the host failed other accounts in this sweep")

    def request(self, client: Client, grant: Mapping[str, str]) -> TokenResponse:
        """Send a token request, and learn from what becomes of it.

        Raises:
            OAuthError: As the endpoint does.
        """
        started = self._monotonic()
        try:
            response = self._endpoint.request(client, grant)
        except OAuthError as error:
            self._learn(client.host, error, self._monotonic() - started)
            raise
        self._learn(client.host, None, self._monotonic() - started)
        return response

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Pass a verification on, unless its host has let three in a row wait in vain.

        It tells nothing of the token endpoint. A quick response that says nothing, such as 404,
        is one account's wrong ``verify_url`` and not the host's.
        """
        host = host_of(client.verify_url or "")
        if self._vain[host] >= _LOST_CONNECTIONS:
            return None
        started = self._monotonic()
        verdict = self._endpoint.verify(client, access_token)
        is_vain = verdict is None and self._monotonic() - started >= _SLOW_SECONDS
        with self._lock:
            self._vain[host] = self._vain[host] + 1 if is_vain else 0
        return verdict

    def _learn(self, host: str, error: OAuthError | None, seconds: float) -> None:
        with self._lock:
            self.request_seconds.append(seconds)
            if not isinstance(error, EndpointUnavailableError):
                self._lost[host] = 0
                return
            self._lost[host] = self._lost[host] + 1 if error.is_lost_connection else 0
            if error.stops_host or self._lost[host] >= _LOST_CONNECTIONS:
                self._stopped.add(host)
