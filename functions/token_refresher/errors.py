"""Every error this package raises, and what each one means for the next attempt.

TokenRefresherError
├── SettingsError                   an environment variable; the function does not start
├── EventError                      an event that is not ours; nothing was done
├── RotationError                   a step of a rotation; nothing was published
├── NotAttemptedError               a refresh that was put off; nothing is recorded
│   ├── HostStoppedError            its host failed others in this sweep
│   └── OutOfTimeError              it could not have finished
└── RefreshError                    one account's refresh failed            its class
    ├── CredentialsError            the credentials do not validate         someone must act
    ├── TokenEndpointError          host, redirect, certificate, no JSON    someone must act
    ├── TokenRequestError           an error response, RFC 6749 5.2         by its code
    ├── TokenResponseError          a success that is not RFC 6749 5.1      unusable answer
    ├── MissingExpiryError          no lifetime in the answer               someone must act
    ├── EndpointUnavailableError    no connection, timeout, 429, 5xx, …     try later
    ├── RefreshTokenLostError       a redeemed token's answer never came    someone must act
    ├── SecretStoreError            Secrets Manager refused                 by its code
    └── UnexpectedError             a defect of this program                someone must act

An error says what to look at, never what was in it: no value of a secret, no
text of the token endpoint and no address of a request is in any message.
"""

from __future__ import annotations

import traceback
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta


class FailureClass(StrEnum):
    """Who must do something before the next attempt can succeed."""

    SOMEONE_MUST_ACT = "someone must act"
    TRY_LATER = "try later"
    UNUSABLE_ANSWER = "unusable answer"


class TokenRefresherError(Exception):
    """What every error of this package is."""


class SettingsError(TokenRefresherError):
    """An environment variable is missing or out of bounds; its name is in the message."""


class EventError(TokenRefresherError):
    """The function was invoked with an event it does not accept."""


class RotationError(TokenRefresherError):
    """A step of Secrets Manager's rotation cannot be taken; the message says what to do."""


class NotAttemptedError(TokenRefresherError):
    """A refresh was put off before anything was asked or written.

    It is no failure of the account, so nothing is recorded and nothing is held back.
    """


class HostStoppedError(NotAttemptedError):
    """The host was not asked, because it failed other accounts in this sweep."""


class OutOfTimeError(NotAttemptedError):
    """The refresh could not have finished before the function's time limit."""


class RefreshError(TokenRefresherError):
    """One account's refresh failed.

    Attributes:
        code: One word for tags, metrics and log fields. Never text from the wire.
        failure_class: Who must do something about it.
        retry_after: How long the server asked to be left alone, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        failure_class: FailureClass = FailureClass.SOMEONE_MUST_ACT,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.failure_class = failure_class
        self.retry_after = retry_after

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """Whether a refresh token sent in this request was surely not redeemed."""
        return False

    @property
    def allows_own_grant(self) -> bool:
        """Whether the account's own grant may be tried in the same run."""
        return True


class CredentialsError(RefreshError):
    """The credentials secret does not validate; the message names the field."""

    def __init__(self, message: str, *, code: str = "invalid_credentials") -> None:
        super().__init__(message, code=code)


class TokenEndpointError(RefreshError):
    """The endpoint is not one that credentials may be sent to, or not a token endpoint."""

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True for a certificate: it is refused before the first byte of a request leaves."""
        return self.code == "certificate_refused"


# RFC 6749 section 5.2 and its registered extensions. Any other code is shown as
# "unrecognised": an error code is text from the wire.
_KNOWN_CODES: Final = frozenset(
    {
        "access_denied",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "server_error",
        "slow_down",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
_TRANSIENT_CODES: Final = frozenset({"server_error", "slow_down", "temporarily_unavailable"})
_GRANT_TYPE_REFUSED: Final = frozenset({"unauthorized_client", "unsupported_grant_type"})


class TokenRequestError(RefreshError):
    """The endpoint answered with an error response (RFC 6749 section 5.2).

    Args:
        code: The response's ``error``, or None where it is not a string.
        retry_after: From the ``Retry-After`` header.
    """

    def __init__(self, code: str | None, *, retry_after: timedelta | None = None) -> None:
        known = code if code in _KNOWN_CODES else "unrecognised"
        super().__init__(
            f"the token endpoint answered with the error {known}",
            code=known,
            failure_class=FailureClass.TRY_LATER
            if known in _TRANSIENT_CODES
            else FailureClass.SOMEONE_MUST_ACT,
            retry_after=retry_after,
        )

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True but for ``invalid_grant`` (it is dead) and ``server_error`` (who knows)."""
        return self.code not in {"invalid_grant", "server_error"}

    @property
    def allows_own_grant(self) -> bool:
        """False for ``invalid_client``: the own grant would fail on the same secret."""
        return self.code != "invalid_client"

    @property
    def refuses_grant_type(self) -> bool:
        """Whether the grant type itself was refused, whatever the refresh token."""
        return self.code in _GRANT_TYPE_REFUSED


class TokenResponseError(RefreshError):
    """A success response that is not what RFC 6749 section 5.1 asks for."""

    def __init__(self, message: str, *, code: str = "unusable_answer") -> None:
        super().__init__(message, code=code, failure_class=FailureClass.UNUSABLE_ANSWER)


class MissingExpiryError(RefreshError):
    """The answer does not say how long the token lives, and nobody else does."""

    def __init__(self) -> None:
        super().__init__(
            "the token response has no believable expires_in: "
            "set assumed_expires_in (seconds) in the credentials",
            code="missing_expires_in",
        )


class EndpointUnavailableError(RefreshError):
    """The endpoint cannot serve anybody now.

    Args:
        message: What happened.
        code: ``no_connection``, ``timeout``, ``connection_lost``, ``status_…``, ``firewall``.
        sent: Whether a byte of the request left.
        processed: Whether the endpoint may have acted on what it received.
        stops_host: Whether the host should be left alone for the rest of the sweep.
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
        super().__init__(
            message, code=code, failure_class=FailureClass.TRY_LATER, retry_after=retry_after
        )
        self.sent = sent
        self.processed = processed
        self.stops_host = stops_host

    @property
    def is_lost_connection(self) -> bool:
        """Whether no answer came at all, as opposed to one that says "later"."""
        return self.code in {"connection_lost", "no_connection", "timeout"}

    @property
    def leaves_refresh_token_unspent(self) -> bool:
        """True where nothing left, or the answer proves that nothing was redeemed."""
        return not (self.sent and self.processed)

    @property
    def allows_own_grant(self) -> bool:
        """False where the host is not to be asked again now."""
        return self.sent and not self.stops_host


class RefreshTokenLostError(RefreshError):
    """The only refresh token was sent twice and no answer arrived."""

    def __init__(self) -> None:
        super().__init__(
            "the refresh token was sent and its answer was lost, twice: "
            "put a new refresh_token into the credentials",
            code="refresh_token_lost",
        )


class SecretStoreError(RefreshError):
    """Secrets Manager refused a call.

    Args:
        operation: The API operation, such as ``PutSecretValue``.
        code: The API's error code, or our own word for a state that forbids the act.
        transient: Whether the same call may succeed without anybody's help.
    """

    def __init__(self, operation: str, code: str, *, transient: bool) -> None:
        super().__init__(
            f"{operation} failed: {code}",
            code=code,
            failure_class=FailureClass.TRY_LATER if transient else FailureClass.SOMEONE_MUST_ACT,
        )


class UnexpectedError(RefreshError):
    """An exception that nobody foresaw; one account's must not stop the others.

    Only its type and place are kept: its text may hold anything.
    """

    def __init__(self, exception: Exception) -> None:
        place = traceback.extract_tb(exception.__traceback__)[-1]
        name = type(exception).__name__
        super().__init__(
            f"{name} in {place.name}, line {place.lineno}: a defect of Token Refresher, "
            "please report it",
            code=f"unexpected_{name}",
        )
