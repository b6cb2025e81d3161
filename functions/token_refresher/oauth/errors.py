"""What can go wrong with a token endpoint: facts, as its response or its silence tells them.

OAuthError
├── TokenEndpointError          host, redirect, certificate, no token endpoint there
├── TokenRequestError           an error response, RFC 6749 section 5.2
├── TokenResponseError          a success response that is not section 5.1
├── MissingExpiryError          a success response without a lifetime
└── EndpointUnavailableError    no connection, timeout, 429, 5xx, a firewall

What an error means for the next attempt, and for whom, is decided by who uses it. Its message
says what to look at, never what was in it: no value of a request and no text of a response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta


class OAuthError(Exception):
    """A token could not be had.

    Attributes:
        code: One word for records, metrics and log fields. Never text from the wire.
        retry_after: How long the server asked to be left alone, if it did.
    """

    def __init__(self, message: str, *, code: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """Whether a refresh token sent in this request was surely not redeemed."""
        return False


class TokenEndpointError(OAuthError):
    """The endpoint is not one that a client may be sent to, or not a token endpoint."""

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True for a certificate: it is refused before the first byte of a request leaves."""
        return self.code == "certificate_refused"


# RFC 6749 section 5.2 and its registered extensions. Any other code is shown as
# "unrecognised": an error code is text from the wire.
_REQUEST_REFUSED: Final = frozenset(
    {"invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "invalid_target"}
)
_GRANT_TYPE_REFUSED: Final = frozenset({"unauthorized_client", "unsupported_grant_type"})
_PERSON_NEEDED: Final = frozenset(
    {"access_denied", "consent_required", "interaction_required", "login_required"}
)
TEMPORARY_CODES: Final = frozenset({"server_error", "slow_down", "temporarily_unavailable"})
_KNOWN_CODES: Final = _REQUEST_REFUSED | _GRANT_TYPE_REFUSED | _PERSON_NEEDED | TEMPORARY_CODES


class TokenRequestError(OAuthError):
    """The endpoint sent an error response (RFC 6749 section 5.2).

    Args:
        code: The response's ``error``, or None where it is not a string.
        retry_after: From the ``Retry-After`` header.
    """

    def __init__(self, code: str | None, *, retry_after: timedelta | None = None) -> None:
        known = code if code in _KNOWN_CODES else "unrecognised"
        super().__init__(
            f"the token endpoint answered with the error {known}",
            code=known,
            retry_after=retry_after,
        )

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True but for ``invalid_grant`` (it is dead) and ``server_error`` (who knows)."""
        return self.code not in {"invalid_grant", "server_error"}

    @property
    def refuses_grant_type(self) -> bool:
        """Whether the grant type itself was refused, whatever the refresh token."""
        return self.code in _GRANT_TYPE_REFUSED


class TokenResponseError(OAuthError):
    """A success response that is not what RFC 6749 section 5.1 asks for."""

    def __init__(self, message: str, *, code: str = "invalid_response") -> None:
        super().__init__(message, code=code)


class MissingExpiryError(OAuthError):
    """The response does not say how long the token lives, and nobody else does."""

    def __init__(self) -> None:
        super().__init__(
            "the token response has no believable expires_in: "
            "set assumed_expires_in (seconds) in the credentials",
            code="missing_expires_in",
        )


class EndpointUnavailableError(OAuthError):
    """The endpoint cannot serve anybody now.

    Args:
        message: What happened.
        code: ``no_connection``, ``timeout``, ``connection_lost``, ``status_…``, ``firewall``.
        sent: Whether a byte of the request left.
        processed: Whether the endpoint may have acted on what it received.
        stops_host: Whether the response speaks for the whole host.
        retry_after: From the ``Retry-After`` header.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        sent: bool = True,
        processed: bool = True,
        stops_host: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.sent = sent
        self.processed = processed
        self.stops_host = stops_host

    @property
    def is_lost_connection(self) -> bool:
        """Whether no response came at all, as opposed to one that says "later"."""
        return self.code in {"connection_lost", "no_connection", "timeout"}

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True where nothing left, or the response proves that nothing was redeemed."""
        return not (self.sent and self.processed)
