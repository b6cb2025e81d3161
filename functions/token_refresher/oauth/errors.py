"""What can go wrong with a token endpoint: facts, as its response or its silence tells them.

OAuthError
├── TokenEndpointError          host, proxy, certificate, redirect, no token endpoint there
├── TokenRequestError           an error response, RFC 6749 section 5.2, or a refusal without
├── TokenResponseError          a success response that is not section 5.1
├── MissingExpiryError          a success response without a lifetime
└── EndpointUnavailableError    no connection, timeout, 429, 5xx, a firewall

What an error means for the next attempt, and for whom, is decided by who uses it. Its message
says what to look at, never what was in it: no value of a request and no text of a response.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta


class OAuthError(Exception):
    """A token could not be had.

    Attributes:
        code: One word for records, metrics and log fields. Never text from the wire.
        status: The HTTP status; None where no whole response came, or none was needed.
        sent: Whether a byte of the request left. Where none did, nothing can have been redeemed.
        retry_after: How long the server asked to be left alone, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        sent: bool = True,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.sent = sent
        self.retry_after = retry_after

    @property
    def is_refusal(self) -> bool:
        """Whether the endpoint itself said no, and will say it again until somebody acts."""
        return False

    @property
    def is_response_lost(self) -> bool:
        """Whether a token may have been issued, and its response have been lost on the way.

        The connection ended after sending, or a gateway answered in the endpoint's place: no
        status proves that nothing was redeemed. A server with a grace answers again.
        """
        return False

    @property
    def is_lost_connection(self) -> bool:
        """Whether no response came at all, as opposed to one that says "later"."""
        return self.code in _CONNECTION_LOST

    @property
    def is_page(self) -> bool:
        """Whether a page stood where a token response or a refusal should: a firewall's, a login's.

        It speaks for the address that was asked, and for no account.
        """
        return self.code == PAGE


class TokenEndpointError(OAuthError):
    """The endpoint is not one that a client may be sent to, or not a token endpoint."""


PAGE: Final = "firewall"
_CONNECTION_LOST: Final = frozenset({"connection_lost", "no_connection", "timeout"})
_RESPONSE_LOST: Final = frozenset(
    {"connection_lost", "timeout", "status_500", "status_502", "status_503", "status_504"}
)

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
KNOWN_CODES: Final = _REQUEST_REFUSED | _GRANT_TYPE_REFUSED | _PERSON_NEEDED | TEMPORARY_CODES
# What answers with these is most often no token endpoint, whatever stands in the body.
WRONG_ADDRESS: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


class TokenRequestError(OAuthError):
    """The endpoint sent an error response (RFC 6749 section 5.2), or refused in its own words.

    Args:
        code: The response's ``error``, or None where it has none that is a string.
        status: Of the response.
        retry_after: From the ``Retry-After`` header.
        advice: What to correct, where that is known.
    """

    def __init__(
        self,
        code: str | None,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        retry_after: timedelta | None = None,
        advice: str | None = None,
    ) -> None:
        if code:
            known = code if code in KNOWN_CODES else "unrecognised"
            advice = advice or ("check the credentials" if known != code else None)
            message = f"the token endpoint answered with the error {known} (status {status:d})"
        else:
            known, advice = f"status_{status:d}", advice or "check the credentials"
            message = (
                f"the token endpoint refused the request with status {status:d}, and did not say "
                "why in the words of RFC 6749"
            )
        message += f": {advice}" if advice else ""
        super().__init__(message, code=known, status=status, retry_after=retry_after)

    @property
    def is_refusal(self) -> bool:
        """True, but for codes that say later, and for a status that means a wrong address."""
        return self.code not in TEMPORARY_CODES and self.status not in WRONG_ADDRESS

    @property
    def refuses_grant_type(self) -> bool:
        """Whether the grant type itself was refused, whatever the refresh token."""
        return self.code in _GRANT_TYPE_REFUSED


class TokenResponseError(OAuthError):
    """A success response that is not what RFC 6749 section 5.1 asks for."""

    def __init__(
        self, message: str, *, code: str = "invalid_response", status: int | None = None
    ) -> None:
        super().__init__(message, code=code, status=status)


class MissingExpiryError(OAuthError):
    """The response does not say how long the token lives, and nobody else does."""

    def __init__(self) -> None:
        super().__init__(
            "the token response has no believable expires_in: set assumed_expires_in (seconds) in "
            "the credentials, or dialect.expires_in to where it is",
            code="missing_expires_in",
        )


class EndpointUnavailableError(OAuthError):
    """The endpoint cannot serve anybody now.

    Args:
        message: What happened.
        code: ``no_connection``, ``timeout``, ``connection_lost``, ``status_…``, ``page_…``,
            ``firewall``, ``blocked``.
        status: The HTTP status, if a response came.
        sent: Whether a byte of the request left.
        is_own_word: Whether the endpoint itself said so, in the words of RFC 6749, and no gateway
            in its place.
        retry_after: From the ``Retry-After`` header.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        sent: bool = True,
        is_own_word: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, sent=sent, retry_after=retry_after)
        self.is_own_word = is_own_word

    @property
    def is_response_lost(self) -> bool:
        """True where the connection ended after sending, or a gateway answered instead."""
        return self.code in _RESPONSE_LOST and not self.is_own_word
