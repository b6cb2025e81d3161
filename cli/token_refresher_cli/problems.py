"""What went wrong, and the mend, in a sentence each.

AWS's own messages are dropped, as everywhere in the program: they may repeat what was sent.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from token_refresher.errors import (
    SecretStoreError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.policy import failure_class_of
from token_refresher_cli.forms import FormError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from token_refresher.policy import Failure


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence for what went wrong, and one for the mend; the latter may be empty."""

    what: str
    mend: str


class ProblemError(Exception):
    """A command cannot go on.

    Args:
        what: What went wrong.
        mend: What to do about it.
        is_under_way: Whether something was done already, or may have been.
    """

    def __init__(self, what: str, mend: str = "", *, is_under_way: bool = False) -> None:
        super().__init__(what)
        self.problem = Problem(what, mend)
        self.is_under_way = is_under_way


class RefusedError(Exception):
    """AWS refused a call, or could not be asked.

    Args:
        operation: The API operation, such as ``PutSecretValue``.
        code: The API's error code, or the name of botocore's exception.
        resource: What it was about.
    """

    def __init__(self, operation: str, code: str, resource: str) -> None:
        super().__init__(f"{operation} failed: {code}")
        self.operation = operation
        self.code = code
        self.resource = resource


@contextmanager
def about(resource: str) -> Iterator[None]:
    """Remember what a call was about, for the permission that it may lack."""
    try:
        yield
    except SecretStoreError as error:
        operation = str(error).partition(" failed: ")[0]
        raise RefusedError(operation, error.code, resource) from None


_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedException"})

_SESSION_EXPIRED: Final = Problem(
    "Your AWS session has expired.",
    "Sign in again, such as with: aws sso login. Temporary credentials must be new ones.",
)
_NO_IDENTITY: Final = Problem(
    "There are no AWS credentials.", "Choose a --profile, or set AWS_PROFILE, or sign in."
)
_UNKNOWN_IDENTITY: Final = Problem(
    "AWS does not know these credentials.",
    "See which ones are used: aws sts get-caller-identity",
)
_NO_ANSWER: Final = Problem(
    "AWS did not answer.", "Check the Region, AWS_ENDPOINT_URL, the network and its proxy."
)
_THROTTLED: Final = Problem("AWS is throttling this account's calls.", "Try again in a minute.")

# Codes of the APIs, and names of botocore's exceptions, that say all by themselves.
_BY_CODE: Final = {
    "ConnectTimeoutError": _NO_ANSWER,
    "ConnectionClosedError": _NO_ANSWER,
    "CredentialRetrievalError": _NO_IDENTITY,
    "EndpointConnectionError": _NO_ANSWER,
    "ExpiredToken": _SESSION_EXPIRED,
    "ExpiredTokenException": _SESSION_EXPIRED,
    "InvalidClientTokenId": _UNKNOWN_IDENTITY,
    "InvalidSignatureException": _UNKNOWN_IDENTITY,
    "LoginRefreshRequired": _SESSION_EXPIRED,
    "NoCredentialsError": _NO_IDENTITY,
    "NoRegionError": Problem("No AWS Region is set.", "Give --region, or set AWS_REGION."),
    "PartialCredentialsError": _NO_IDENTITY,
    "ProfileNotFound": Problem(
        "There is no such profile in your AWS configuration.",
        "aws configure list-profiles shows those that there are.",
    ),
    "ProxyConnectionError": _NO_ANSWER,
    "ReadTimeoutError": _NO_ANSWER,
    "RequestExpired": _SESSION_EXPIRED,
    "SSLError": _NO_ANSWER,
    "SSOTokenLoadError": _SESSION_EXPIRED,
    "SignatureDoesNotMatch": _UNKNOWN_IDENTITY,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TokenRetrievalError": _SESSION_EXPIRED,
    "UnauthorizedSSOTokenError": _SESSION_EXPIRED,
    "UnrecognizedClientException": _UNKNOWN_IDENTITY,
}

# A server's error of AWS; it says nothing of the call.
_AWS_IS_ILL: Final = frozenset({"InternalFailure", "InternalServiceError", "ServiceUnavailable"})

# The rest of an operation's name is its IAM action's.
_ACTIONS: Final = {
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "Invoke": "lambda:InvokeFunction",
}

# What a refresh fails with, and what a person does about it. `{name}` is the account's.
_CORRECT: Final = "token-refresher correct {name}"
MENDS: Final = {
    "certificate_refused": f"correct token_endpoint ({_CORRECT}), or mend the server's certificate",
    "host_not_allowed": f"add the host to ALLOWED_TOKEN_HOSTS, or correct the site: {_CORRECT}",
    "invalid_client": f"the server does not know the client_id or its client_secret: {_CORRECT}",
    "invalid_credentials": f"token-refresher check {{name}} names the field; then {_CORRECT}",
    "invalid_grant": f"the server refused the password, code or refresh token: {_CORRECT}",
    "invalid_scope": f"the client may not ask for this scope: {_CORRECT} --scope ...",
    "journal_not_written": "let the function write under the credentials path, or see its log",
    "missing_expires_in": f"say how long its tokens live: {_CORRECT} --assumed-expires-in 3600",
    "no attempt on record": "see whether the schedule is on, and whether its host fails others",
    "redirect": f"set token_endpoint to its final address: {_CORRECT} --token-endpoint ...",
    "refresh_token_lost": f"obtain a new refresh token, and store it: {_CORRECT}",
    "refresh_tokens_ignored": "deploy with RefreshTokens=use, or use another grant",
    "scheduled_for_deletion": "restore the token secret: aws secretsmanager restore-secret",
    "token_lives_too_short": "no schedule can keep such tokens alive; ask for longer-lived ones",
    "unauthorized_client": "ask the server's owner to allow the client this grant",
    "unsupported_grant_type": f"the server has no such grant: {_CORRECT} --grant-type ...",
}


def mend_for(code: str, name: str) -> str:
    """Say what a person does about a failure's code; empty where the code says all."""
    if code.startswith("the refresh token ends"):
        return f"obtain a new refresh token, and store it: {_CORRECT}".format(name=name)
    if code in _DENIED:
        return "the function's role lacks a permission; its log names the call"
    return MENDS.get(code, "").format(name=name)


def explain(error: Exception) -> Problem:
    """Say what went wrong, and the mend; no value of a secret is in either."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, RefusedError):
        return _refused(error.operation, error.code, error.resource)
    if isinstance(error, SecretStoreError):
        operation = str(error).partition(" failed: ")[0]
        return _refused(operation, error.code, "*" if operation == "ListSecrets" else "")
    if isinstance(error, FormError | TokenRefresherError):
        return Problem(_sentence(str(error)), "")
    if type(error).__module__.startswith("botocore."):
        return _refused("AWS", type(error).__name__, "")
    return Problem(_sentence(str(UnexpectedError(error))), "")


def may_pass(error: RefusedError | SecretStoreError) -> bool:
    """Whether the same call may succeed a moment later, without anybody's help."""
    return error.code in _AWS_IS_ILL or _BY_CODE.get(error.code) in {_NO_ANSWER, _THROTTLED}


def is_denied(code: str) -> bool:
    """Whether a code says that a permission is lacking."""
    return code in _DENIED


def explain_refusal(detail: str, code: str, resource: str) -> Problem:
    """Say what a call was refused for, that a refresh in this process has made.

    Args:
        detail: The error's text, which names the operation first.
        code: The error's code.
        resource: What it was about.
    """
    return _refused(detail.partition(" failed: ")[0], code, resource)


def _refused(operation: str, code: str, resource: str) -> Problem:
    if code in _DENIED:
        action = _ACTIONS.get(operation, f"secretsmanager:{operation}")
        where = f" on {resource}" if resource else ""
        return Problem(
            f"Your AWS identity may not {action}{where}.",
            "Allow it; docs/command-line.md has the whole policy. "
            "Where a KMS key of your own encrypts the secret, allow its use as well.",
        )
    if code == "TooManyRequestsException" and operation == "Invoke":
        return Problem(
            "The function is busy: a sweep is running, and it runs once at a time.",
            "Try again in a minute, or without --remote.",
        )
    if code == "ResourceNotFoundException" and operation in _ACTIONS:
        return Problem(
            f"There is no function {resource} here.",
            "--stack takes the stack's name; check the account and the Region.",
        )
    if code == "InvalidRequestException" and resource and operation not in _ACTIONS:
        return Problem(
            f"{resource} is scheduled for deletion.",
            f"Restore it: aws secretsmanager restore-secret --secret-id {resource}",
        )
    where = f" on {resource}" if resource else ""
    return _BY_CODE.get(code) or Problem(f"{operation} failed{where}: {code}.", "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def failure_text(error: Failure) -> str:
    """Say a failure as ``invalid_grant (action required)``."""
    return f"{error.code} ({failure_class_of(error)})"
