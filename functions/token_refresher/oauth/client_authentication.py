"""A client at a token endpoint, and how it authenticates (RFC 6749 section 2.3)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import quote_plus, urlsplit

import msgspec

from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.hidden import Hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.oauth.assertions import Assertion

# RFC 7591 section 2, RFC 8705 section 2.1.1.
AuthMethod = Literal[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "none",
]
# Those whose proof is a signed assertion (RFC 7521 section 4.2), and those that send no secret.
BY_ASSERTION: Final = frozenset({"client_secret_jwt", "private_key_jwt"})
WITHOUT_SECRET: Final = frozenset({"none", "private_key_jwt", "tls_client_auth"})

# What a JSON value may be where a form can hold it, too; a list stands for a repeated parameter.
Parameter: TypeAlias = str | int | float | bool | list[str]

_HTTPS_PORT: Final = 443
# RFC 7523 section 2.2.
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# One label of a host's name (RFC 1123 section 2.1), in lower case.
LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def host_of(url: str) -> str:
    """Tell ``host``, or ``host:port`` where the port is not https's own."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    return host if port == _HTTPS_PORT else f"{host}:{port}"


class Client(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    """A client's registration, and what all of its requests have in common.

    Attributes:
        token_endpoint: An https URL (RFC 6749 section 3.2).
        client_id: As registered; None where the server knows none.
        client_secret: Likewise. It may be empty (section 2.3.1).
        auth_method: RFC 7591's name for how the client authenticates; never found out by trial.
        user_agent: What is sent as ``User-Agent``.
        refresh_endpoint: Where refresh tokens go, if not to ``token_endpoint``; on its host.
        scope: One space-delimited string (RFC 6749 section 3.3).
        extra_parameters: Sent with every token request, such as ``audience`` or ``resource``.
        request_headers: Likewise; may hold ``{assertion}`` and ``{refresh_token}``.
        assertion: What ``{assertion}`` stands for: a text, or what is signed for each request.
        sends_client_id: False where an assertion names the client, and nothing else does.
        is_assertion_issued: Whether the platform says by itself who runs here, instead of signing.
        key: By what name a signer knows whose key signs.
        dialect: How its server departs from RFC 6749.
        is_fixed: Whether the address follows from a provider's entry, which leaves nobody a choice
            of another's host: such a host needs no permission.
        verify_url: An https URL that accepts or refuses an access token.
        ca_certificates: PEM; whom to believe instead of the public authorities.
        certificate: PEM; the client's own for mutual TLS (RFC 8705), with those that lead to its
            authority behind it.
        private_key: PEM; the certificate's.
        timeout_seconds: How long a token request may take in all.
        assumed_expires_in: Seconds; an upper bound of the lifetime, and the lifetime where the
            response has none.
        documented_expires_in: Seconds; the lifetime where nobody else tells one.
        assumed_refresh_token_expires_in: Seconds; the refresh token's, likewise.
    """

    token_endpoint: str
    client_id: str | None
    client_secret: str | None
    auth_method: AuthMethod
    user_agent: str
    refresh_endpoint: str | None = None
    scope: str | None = None
    extra_parameters: dict[str, Parameter] = {}
    request_headers: dict[str, str] = {}
    assertion: str | Assertion | None = None
    sends_client_id: bool = True
    is_assertion_issued: bool = False
    key: str = ""
    dialect: Dialect = RFC_6749
    is_fixed: bool = False
    verify_url: str | None = None
    ca_certificates: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    timeout_seconds: int = 10
    assumed_expires_in: int | None = None
    documented_expires_in: int | None = None
    assumed_refresh_token_expires_in: int | None = None

    @property
    def host(self) -> str:
        """The token endpoint's host, as an allow list names it."""
        return host_of(self.token_endpoint)

    @property
    def signs(self) -> bool:
        """Whether a fresh assertion is made for each request."""
        return self.assertion is not None and not isinstance(self.assertion, str)


class Grant(Hidden, msgspec.Struct, frozen=True):
    """What a token is asked for with.

    Attributes:
        parameters: Of the request's body (RFC 6749 sections 4.3.2, 4.4.2, 4.5, 6); JSON, and text
            where the request is no JSON. May hold ``{assertion}`` and ``{refresh_token}``.
        refresh_token: What ``{refresh_token}`` stands for; None for a primary grant.
    """

    parameters: dict[str, object]
    refresh_token: str | None = None


def refresh_grant(refresh_token: str) -> Grant:
    """Ask with a refresh token (RFC 6749 section 6)."""
    return Grant({"grant_type": "refresh_token", "refresh_token": refresh_token}, refresh_token)


def instead_of(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Put headers in the place of those of the same name, in any case (RFC 9110 section 5.1)."""
    given = {name.lower() for name in others}
    kept = {name: value for name, value in headers.items() if name.lower() not in given}
    return {**kept, **others}


def authentication(client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Authenticate a token request (RFC 6749 section 2.3.1, RFC 7521 section 4.2).

    Args:
        client: With its assertion made, where it proves itself by one.

    Returns:
        Form fields and headers; what proves who it is, is in exactly one of them.
    """
    if header := basic_authorization(client):
        return {}, header
    is_named = client.client_id is not None and client.sends_client_id
    fields = {"client_id": client.client_id or ""} if is_named else {}
    if client.auth_method == "client_secret_post":
        fields["client_secret"] = client.client_secret or ""
    if client.auth_method in BY_ASSERTION:
        if not isinstance(client.assertion, str):
            raise TypeError
        fields["client_assertion_type"] = _ASSERTION_TYPE
        fields["client_assertion"] = client.assertion
    return fields, {}


def basic_authorization(client: Client) -> dict[str, str]:
    """Make the header of RFC 6749 section 2.3.1; none for a client that authenticates otherwise."""
    if client.auth_method != "client_secret_basic":
        return {}
    # Form-encoded first: a secret may hold a colon, or characters outside ASCII.
    pair = f"{quote_plus(client.client_id or '')}:{quote_plus(client.client_secret or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
