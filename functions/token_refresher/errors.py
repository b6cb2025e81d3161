"""Every error of this package; what can go wrong with a token endpoint is in `oauth.errors`.

TokenRefresherError
├── SettingsError               an environment variable; the function does not start
├── EventError                  an event that is not ours; nothing was done
├── RotationError               a step of a rotation; nothing was published
├── NotAttemptedError           a refresh that was put off; nothing is recorded
│   ├── HostStoppedError        its host failed others in this sweep
│   └── OutOfTimeError          it could not have finished
└── RefreshError                one account's refresh failed
    ├── CredentialsError        the credentials do not validate
    ├── RefreshTokenLostError   a redeemed token's response never came
    ├── SecretStoreError        Secrets Manager refused
    └── UnexpectedError         a defect of this program

`policy.failure_class_of` says of what kind an error is, and there alone.

An error says what to look at, never what was in it: no value of a secret, no
text of the token endpoint and no address of a request is in any message.
"""

from __future__ import annotations

import traceback
from enum import StrEnum


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
    """The host was not asked, because it failed other accounts in this sweep."""


class OutOfTimeError(NotAttemptedError):
    """The refresh could not have finished before the function's time limit."""


class RefreshError(TokenRefresherError):
    """One account's refresh failed.

    Attributes:
        code: One word for tags, metrics and log fields.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class CredentialsError(RefreshError):
    """The credentials secret does not validate; the message names the field."""

    def __init__(self, message: str, *, code: str = "invalid_credentials") -> None:
        super().__init__(message, code=code)


class RefreshTokenLostError(RefreshError):
    """The only refresh token was sent twice and no response arrived."""

    def __init__(self) -> None:
        super().__init__(
            "the refresh token was sent and its response was lost, twice: "
            "put a new refresh_token into the credentials",
            code="refresh_token_lost",
        )


class SecretStoreError(RefreshError):
    """Secrets Manager refused a call.

    Attributes:
        operation: The API operation, such as ``PutSecretValue``.
        code: The API's error code, or our own word for a state that forbids the act.
        transient: Whether the same call may succeed without anybody's help.
    """

    def __init__(self, operation: str, code: str, *, transient: bool) -> None:
        super().__init__(f"{operation} failed: {code}", code=code)
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
