"""A client at a token endpoint, and how it authenticates (RFC 6749 section 2.3)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

AuthMethod = Literal["client_secret_basic", "client_secret_post"]

_HTTPS_PORT: Final = 443


def host_of(url: str) -> str:
    """Tell ``host``, or ``host:port`` where the port is not https's own."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    return host if port == _HTTPS_PORT else f"{host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Client:
    """A client's registration, and what all of its requests have in common.

    Attributes:
        token_endpoint: An https URL (RFC 6749 section 3.2).
        client_id: As registered.
        client_secret: Likewise.
        auth_method: RFC 7591's name for how the client authenticates; never found out by trial.
        user_agent: What is sent as ``User-Agent``.
        scope: One space-delimited string (RFC 6749 section 3.3).
        extra_parameters: Sent with every token request, such as ``audience`` or ``resource``.
        verify_url: An https URL that accepts or refuses an access token.
    """

    token_endpoint: str
    client_id: str
    client_secret: str
    auth_method: AuthMethod
    user_agent: str
    scope: str | None = None
    extra_parameters: Mapping[str, str] = field(default_factory=dict)
    verify_url: str | None = None

    @property
    def host(self) -> str:
        """The token endpoint's host, as an allow list names it."""
        return host_of(self.token_endpoint)


def authentication(client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Authenticate a token request (RFC 6749 section 2.3.1).

    Returns:
        Form fields and headers; the secret is in exactly one of them.
    """
    if client.auth_method == "client_secret_post":
        return {"client_id": client.client_id, "client_secret": client.client_secret}, {}
    # Form-encoded first: a secret may hold a colon, or characters outside ASCII.
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
