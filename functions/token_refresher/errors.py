"""Every error of this package; what can go wrong with a token endpoint is in `oauth.errors`.

TokenRefresherError
├── SettingsError               an environment variable; the function does not start
├── EventError                  an event that is not ours; nothing was done
├── RotationError               a step of a rotation; nothing was published
├── NotAttemptedError           a refresh that was put off; nothing is recorded
│   ├── HostStoppedError        its host failed others in this sweep
│   ├── OutOfTimeError          it could not have finished
│   ├── LeasedError             another run may be sending its refresh token
│   ├── LeaseTooOldError        this run was stopped between its lease and its request
│   └── HeldError               its refresh token was sent a moment ago
└── RefreshError                one account's refresh failed
    ├── CredentialsError        the credentials do not validate
    ├── ExternalSecretError     the token secret holds something that is not ours to replace
    ├── RefreshTokenHeldError   a refresh token that was sent and brought no token
    ├── RejectedAgainError      the endpoint hands out the token that a consumer saw refused
    ├── SecretStoreError        Secrets Manager refused
    ├── SigningError            KMS or STS made no assertion; nothing was sent
    └── UnexpectedError         a defect of this program

`failures.failure_class_of` says of what kind an error is, and there alone.

An error says what to look at, never what was in it: no value of a secret, no
text of the token endpoint and no address of a request is in any message.
"""

from __future__ import annotations

import traceback
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class FailureClass(StrEnum):
    """What kind of failure it is: it passes by itself, or a person must act first."""

    ACTION_REQUIRED = "action required"
    TRANSIENT = "transient"
    INVALID_RESPONSE = "invalid response"


class TokenRefresherError(Exception):
    """What every error of this package is, but those of a token endpoint."""


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
    """The host, or the signer, was not asked: it failed other accounts in this sweep."""


class OutOfTimeError(NotAttemptedError):
    """The refresh could not have finished before the function's time limit."""


class LeasedError(NotAttemptedError):
    """Another run may be sending the refresh token at this moment."""

    def __init__(self) -> None:
        super().__init__("another run has leased the refresh token")


class LeaseTooOldError(NotAttemptedError):
    """This run was stopped for longer than its lease may be old, and has sent nothing."""

    def __init__(self) -> None:
        super().__init__("this run was stopped between its lease and its request: nothing was sent")


class HeldError(NotAttemptedError):
    """The refresh token was sent a moment ago, whoever asked.

    Args:
        last_at: Aware; when it was leased.
        until: Aware; when it may be leased again. Also an attribute.
    """

    def __init__(self, last_at: datetime, until: datetime) -> None:
        super().__init__(
            f"the refresh token was leased at {last_at.isoformat()}; "
            f"it can be leased again from {until.isoformat()} on"
        )
        self.until = until


class RefreshError(TokenRefresherError):
    """One account's refresh failed.

    Attributes:
        code: One word for tags, metrics and log fields.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class CredentialsError(RefreshError):
    """The credentials secret does not validate; the message names the field.

    Attributes:
        problems: All that is wrong, where the message tells several things; each once.
    """

    def __init__(
        self, message: str, *, code: str = "invalid_credentials", problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, code=code)
        self.problems = problems


class ExternalSecretError(RefreshError):
    """The token secret holds something else, and nobody has asked to replace it."""

    def __init__(self) -> None:
        super().__init__(
            "the token secret holds something that is no token of this program: to let it be "
            "replaced, run `token-refresher refresh NAME --force`; else give the account another "
            "name",
            code="external_secret",
        )


class RefreshTokenHeldError(RefreshError):
    """The only refresh token was sent, brought no token, and is not to be sent again yet.

    Attributes:
        is_spent: It was answered, and the response could not be kept.
        until: Aware; when it is sent again. By force it may be sent again from ``by_force`` on.
    """

    def __init__(self, *, is_spent: bool, until: datetime, by_force: datetime) -> None:
        what = (
            "the response to the refresh token could not be kept: put a new refresh_token into "
            "the credentials, or let it be"
            if is_spent
            else "the refresh token was sent and no response arrived: it is"
        )
        sooner = f", or by force from {by_force.isoformat()} on" if by_force < until else ""
        super().__init__(
            f"{what} sent again from {until.isoformat()} on{sooner}",
            code="refresh_token_spent" if is_spent else "refresh_token_unanswered",
        )
        self.is_spent = is_spent
        self.until = until


class RejectedAgainError(RefreshError):
    """The endpoint handed out the very token that a consumer saw refused."""

    def __init__(self) -> None:
        super().__init__(
            "the token endpoint handed out the rejected access_token once more",
            code="rejected_again",
        )


class SecretStoreError(RefreshError):
    """Secrets Manager refused a call.

    Attributes:
        operation: The API operation, such as ``PutSecretValue``.
        code: The API's error code, or our own word for a state that forbids the act.
        transient: Whether the same call may succeed without anybody's help.
        detail: What else is known, in our own words; empty where the code says it all.
    """

    def __init__(self, operation: str, code: str, *, transient: bool, detail: str = "") -> None:
        super().__init__(": ".join(filter(None, (f"{operation} failed", code, detail))), code=code)
        self.operation = operation
        self.transient = transient
        self.detail = detail


class SigningError(RefreshError):
    """No assertion was made, and so nothing was sent.

    Attributes:
        operation: The API operation, such as ``Sign``.
        code: One word of ours for what a person must do, else the API's error code.
        transient: Whether the same call may succeed without anybody's help.
    """

    def __init__(self, message: str, *, operation: str, code: str, transient: bool) -> None:
        super().__init__(message, code=code)
        self.operation = operation
        self.transient = transient


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
