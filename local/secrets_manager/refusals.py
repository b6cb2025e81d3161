"""The refusals of Secrets Manager that its operations share.

An operation raises, and the response is made in one place. The wording is ours: AWS promises the
error codes, not the sentences.
"""

from __future__ import annotations


class RefusalError(Exception):
    """A call that a service refuses, with the error code a client sees."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def not_found(what: str) -> RefusalError:
    """Refuse what does not exist."""
    return RefusalError("ResourceNotFoundException", f"{what} does not exist.")


def already_exists(what: str) -> RefusalError:
    """Refuse to write what exists with other content."""
    return RefusalError("ResourceExistsException", f"{what} exists already.")


def wrong_parameter(message: str) -> RefusalError:
    """Refuse a parameter that does not fit the secret's state."""
    return RefusalError("InvalidParameterException", message)


def wrong_state(message: str) -> RefusalError:
    """Refuse an operation that the secret's state does not allow."""
    return RefusalError("InvalidRequestException", message)


def malformed(message: str) -> RefusalError:
    """Refuse a request that breaks the API's own constraints."""
    return RefusalError("ValidationException", message)


def over_the_limit(message: str) -> RefusalError:
    """Refuse what exceeds a quota of one secret."""
    return RefusalError("LimitExceededException", message)


def wrong_page(message: str) -> RefusalError:
    """Refuse a page token that this API did not give out."""
    return RefusalError("InvalidNextTokenException", message)


def key_unusable(*, writing: bool) -> RefusalError:
    """Refuse to use a KMS key that is missing or disabled."""
    code = "EncryptionFailure" if writing else "DecryptionFailure"
    return RefusalError(code, "The secret's KMS key cannot be used.")


def key_denied(operation: str) -> RefusalError:
    """Refuse a caller who lacks a permission on the secret's KMS key."""
    return RefusalError("AccessDeniedException", f"Access to KMS is not allowed: kms:{operation}.")
