"""What went wrong, and what to do about it, in a sentence each.

AWS's own messages are dropped, as everywhere in the program: they may repeat what was sent.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import walk_tb
from typing import TYPE_CHECKING, Final, Self

from botocore import exceptions

from token_refresher import fixes
from token_refresher.aws.secret_store import told_by
from token_refresher.errors import (
    SecretStoreError,
    SigningError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.oauth.errors import OAuthError
from token_refresher_cli.config_file import ConfigFileError
from token_refresher_cli.discovery import DiscoveryError
from token_refresher_cli.fields import FormError
from token_refresher_cli.layout import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import BotoCoreError, ClientError

    from token_refresher_cli.target import Target


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence for what went wrong, and one for what to do; the latter may be empty."""

    what: str
    fix: str


class ProblemError(Exception):
    """A command cannot go on.

    Args:
        what: What went wrong.
        fix: What to do about it; a command stands at its end, to be pasted.
        is_under_way: Whether something was done already, or may have been.
    """

    def __init__(self, what: str, fix: str = "", *, is_under_way: bool = False) -> None:
        super().__init__(what)
        self.problem = Problem(what, fix)
        self.is_under_way = is_under_way


class RefusedError(Exception):
    """AWS refused a call, or could not be asked.

    Args:
        operation: The API operation, such as ``PutSecretValue``.
        code: The API's error code, or the name of botocore's exception.
        resource: What it was about.
        transient: Whether the same call may succeed a little later, by itself.
    """

    def __init__(
        self, operation: str, code: str, resource: str, *, transient: bool = False
    ) -> None:
        super().__init__(f"{operation} failed: {code}")
        self.operation, self.code, self.resource = operation, code, resource
        self.transient = transient

    @classmethod
    def of(cls, error: ClientError | BotoCoreError, operation: str, resource: str) -> Self:
        """Take the code of what botocore has raised, and nothing of its text."""
        code, transient = told_by(error)
        return cls(operation, code, resource, transient=transient)


@contextmanager
def about(resource: str) -> Iterator[None]:
    """Remember what a call was about, for the permission that it may lack.

    Raises:
        RefusedError: In the place of a `SecretStoreError`.
    """
    try:
        yield
    except SecretStoreError as error:
        transient = error.transient
        raise RefusedError(error.operation, error.code, resource, transient=transient) from None


_SESSION_EXPIRED: Final = Problem(
    "Your AWS session has expired.",
    "Sign in again; temporary credentials must be new ones. Such as with: {login}",
)
_NO_IDENTITY: Final = Problem(
    "There are no AWS credentials.", "Choose a --profile, or set AWS_PROFILE, or sign in."
)
_UNKNOWN_IDENTITY: Final = Problem(
    "AWS does not know these credentials, or this machine's clock is wrong by minutes, or the "
    "Region is none that this AWS account has enabled.",
    "See which ones are used: {identity}",
)
# STS and KMS say this of a clock, other services of a session.
_TOO_LATE: Final = Problem(
    "Your AWS session has expired, or this machine's clock is wrong by minutes.",
    "Correct the clock, or sign in again. See which credentials are used: {identity}",
)
_NOT_FETCHED: Final = Problem(
    "Your AWS credentials could not be fetched.",
    "What fetches them has failed: a role, a credential_process, an instance's profile. "
    "See it fail: {identity}",
)
_NO_CONFIGURATION: Final = Problem(
    "Your AWS configuration cannot be used: {code}.",
    "Correct the variables that begin with AWS_, or the files that `aws configure` writes. "
    "See it fail: {identity}",
)
_NO_ANSWER: Final = Problem(
    "AWS did not answer{at}.", "Check the Region, AWS_ENDPOINT_URL, the network and its proxy."
)
_NO_LOCAL_ANSWER: Final = Problem(
    _NO_ANSWER.what,
    "Is the local cloud still running? It ends with its `make cloud`, and a new terminal speaks to "
    "AWS itself. If it runs, check AWS_ENDPOINT_URL, the network and its proxy.",
)
_NO_PROXY: Final = Problem(
    "The proxy on the way to AWS did not answer.",
    "Correct HTTPS_PROXY and HTTP_PROXY, or name in NO_PROXY what is reached without.",
)
_NOT_BELIEVED: Final = Problem(
    "This machine does not believe the certificate of AWS.",
    "AWS_CA_BUNDLE names the authorities to believe, or REQUESTS_CA_BUNDLE: where it is set, the "
    "file must be there; where a proxy stands between, it must have the proxy's authority.",
)
_NOT_AWS: Final = Problem(
    "What answered is not AWS.",
    "A proxy or a network's sign-in page may stand between: check them, and AWS_ENDPOINT_URL.",
)
_CHANGED_ON_ITS_WAY: Final = Problem(
    "The call came to AWS without its whole signature.",
    "A proxy may change or drop headers: check it, and AWS_ENDPOINT_URL. See which credentials "
    "are used: {identity}",
)
_NOT_SIGNED_UP: Final = Problem(
    "This AWS account is not signed up for the service, or not for the Region.",
    "Have its owner complete the sign-up or enable the Region in the AWS account's settings. "
    "See which AWS account it is: {identity}",
)
_NO_KEY: Final = Problem(
    "The KMS key of a secret cannot be used: it is disabled or to be deleted, or not yours to use.",
    "See which key it is, and its state: {key}",
)
_NO_PROFILE: Final = Problem(
    "There is no such profile in your AWS configuration.",
    "Those that there are: aws configure list-profiles",
)
_NO_REGION: Final = Problem("No AWS Region is named.", "Give --region, or set AWS_REGION.")
_BAD_REGION: Final = Problem(
    "That is no name of an AWS Region.", "Correct --region, AWS_REGION or AWS_DEFAULT_REGION."
)
_THROTTLED: Final = Problem("AWS is throttling this account's calls.", "Try again in a minute.")

# What Secrets Manager says of a KMS key.
OF_KEYS: Final = ("DecryptionFailure", "EncryptionFailure")
# Codes of the APIs, and names of botocore's exceptions, that say all by themselves.
_BY_CODE: Final = {
    code: problem
    for problem, *codes in (
        (_NO_ANSWER, "ConnectTimeoutError", "ConnectionClosedError", "EndpointConnectionError"),
        (_NO_ANSWER, "HTTPClientError", "ReadTimeoutError"),
        (_NO_PROXY, "ProxyConnectionError"),
        (_NOT_AWS, "ResponseParserError"),
        (_NOT_BELIEVED, "SSLError"),
        (_NO_KEY, *OF_KEYS),
        (_NO_IDENTITY, "NoCredentialsError", "PartialCredentialsError"),
        (_NOT_FETCHED, "CredentialRetrievalError", "MetadataRetrievalError"),
        (_NOT_FETCHED, "RefreshWithMFAUnsupportedError", "UnknownCredentialError"),
        (_NO_CONFIGURATION, "ConfigNotFound", "ConfigParseError", "InfiniteLoopConfigError"),
        (
            _NO_CONFIGURATION,
            "InvalidConfigError",
            "InvalidDefaultsMode",
            "InvalidIMDSEndpointError",
        ),
        (_NO_CONFIGURATION, "InvalidMaxRetryAttemptsError", "InvalidProxiesConfigError"),
        (_NO_CONFIGURATION, "InvalidRetryConfigurationError", "InvalidRetryModeError"),
        (_NO_CONFIGURATION, "InvalidSTSRegionalEndpointsConfigError", "MissingDependencyException"),
        (_NO_PROFILE, "ProfileNotFound"),
        (_NO_REGION, "NoRegionError"),
        (_BAD_REGION, "InvalidRegionError"),
        (_SESSION_EXPIRED, "ExpiredToken", "ExpiredTokenException", "LoginRefreshRequired"),
        (_SESSION_EXPIRED, "SSOTokenLoadError", "TokenRetrievalError"),
        (_SESSION_EXPIRED, "UnauthorizedSSOTokenError"),
        (_TOO_LATE, "RequestExpired"),
        (_THROTTLED, "RequestLimitExceeded", "Throttling", "ThrottlingException"),
        (_THROTTLED, "TooManyRequestsException"),
        (_CHANGED_ON_ITS_WAY, "IncompleteSignature", "IncompleteSignatureException"),
        (_CHANGED_ON_ITS_WAY, "MissingAuthenticationToken", "MissingAuthenticationTokenException"),
        (_NOT_SIGNED_UP, "OptInRequired", "SubscriptionRequiredException"),
        (_UNKNOWN_IDENTITY, "InvalidAccessKeyId", "InvalidClientTokenId"),
        (_UNKNOWN_IDENTITY, "InvalidSignatureException"),
        (_UNKNOWN_IDENTITY, "RequestTimeTooSkewed", "SignatureDoesNotMatch"),
        (_UNKNOWN_IDENTITY, "UnrecognizedClientException"),
    )
    for code in codes
}

# AWS says the latter of a secret with replicas, and of a replica.
_NOT_DELETED: Final = frozenset({"InvalidRequestException", "InvalidParameterException"})
# What a repetition of the command may end.
_AFTER: Final = {
    **dict.fromkeys(
        (
            *("DependencyTimeoutException", "InternalError", "InternalFailure"),
            *("InternalServerError", "InternalServiceError", "KMSInternalException"),
            *("KeyUnavailableException", "RequestTimeout", "ServiceException"),
            *("ServiceUnavailable", "ServiceUnavailableException"),
        ),
        "AWS itself has failed there: run the same command again in a minute; if it stays, see "
        "AWS's health.",
    ),
    # What KMS says of an alias or a key that was another one a call before.
    **dict.fromkeys(
        ("AlreadyExistsException", "KMSInvalidStateException"),
        "Another run may be at it: run the same command again, which sees what is left to do.",
    ),
    # Secrets Manager and KMS are eventually consistent.
    **dict.fromkeys(
        ("NotFoundException", "ResourceNotFoundException"),
        "What was made or restored a moment ago may not be found everywhere yet: run the same "
        "command again.",
    ),
}
# What a policy may demand tags of.
_CREATES: Final = frozenset({"CreateSecret", "kms:CreateKey"})
# The rest of an operation's name is its IAM action's.
_ACTIONS: Final = {
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "Invoke": "lambda:InvokeFunction",
}

# What this machine may be alone with: its settings, and its network.
_SETTINGS: Final = frozenset({"address_not_global", "host_not_allowed", "refresh_tokens_ignored"})
OF_CERTIFICATES: Final = frozenset({"certificate_refused", "unknown_authority"})
_NETWORK: Final = OF_CERTIFICATES | {"no_connection", "proxy_refused"}


# Who signs for a command is the person who gives it, and not the function: the action that the
# person lacks, and on what.
SIGNING: Final = {
    "signing_denied": ("kms:Sign", "alias/{prefix}/*"),
    "identity_token_denied": ("sts:GetWebIdentityToken", "its audience"),
}


def is_persons(code: str) -> bool:
    """Whether a failure that was met here is this machine's, or that of who is at it."""
    return code in SIGNING or says_all(code)


def explain_signing(code: str, operation: str, target: Target) -> Problem:
    """Say why AWS signed nothing for a person, which it may for the function.

    Args:
        code: Of a failure, for which `is_persons` holds.
        operation: The API's.
        target: Where.
    """
    if code not in SIGNING:
        return explain_call(operation, code, "", target)
    action, resource = SIGNING[code]
    where = resource.format(prefix=target.secret_prefix)
    return explain_call(action, "AccessDeniedException", where, target)


def fix_for(code: str, name: str, target: Target) -> str:
    """Say what a person does about a failure's code; empty where nobody knows."""
    return fixes.say(code, name, target.where)


def doubt(code: str, target: Target) -> str:
    """Say what a failure may tell of this machine instead of the account; empty if nothing."""
    if code == "journal_not_written":
        return (
            "allow writing under the credentials path; the response is lost with this command, "
            "so an account that has only a refresh token needs a new one"
        )
    if code in _SETTINGS and not target.stack:
        return (
            "so say the settings of this shell; with --stack those of the function count, and the "
            "command names the hosts that it allows already"
            if code == "host_not_allowed"
            else "so say the settings of this shell; with --stack those of the function count"
        )
    if code in _NETWORK:
        return (
            "this machine may be all that is wrong: its network, DNS, or the certificate "
            "authorities that SSL_CERT_FILE names; a proxy is used only where the setting "
            "TOKEN_ENDPOINT_PROXY names it"
        )
    return ""


def _restoring(secret_id: str, target: Target) -> str:
    name = secret_id.removeprefix(target.credentials_id("")).removeprefix(target.token_id(""))
    return target.command("restore", name)


def explain(error: Exception, target: Target) -> Problem:
    """Say what went wrong, and what to do; no value of a secret is in either."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, RefusedError):
        return explain_call(error.operation, error.code, error.resource, target)
    if isinstance(error, SecretStoreError):
        resource = "*" if error.operation == "ListSecrets" else ""
        return explain_call(error.operation, error.code, resource, target)
    if isinstance(error, SigningError) and is_persons(error.code):
        return explain_signing(error.code, error.operation, target)
    if isinstance(error, DiscoveryError):
        return Problem(sentence(str(error)), sentence(_instead(error, target)))
    if isinstance(error, ConfigFileError | FormError | TokenRefresherError | OAuthError):
        return Problem(sentence(str(error)), "")
    if type(error).__module__.startswith("botocore."):
        return explain_call("AWS", type(error).__name__, "", target)
    if isinstance(error, OSError | ValueError) and _is_botocores(error):
        return _told(_NO_CONFIGURATION, type(error).__name__, "", target)
    return Problem(sentence(str(UnexpectedError(error))), "")


def _instead(error: DiscoveryError, target: Target) -> str:
    """Say what helps where a server's metadata was not found."""
    instead = "give the server's token_endpoint instead"
    hint = error.fix or doubt(error.code, target)
    if error.code == "unknown_authority":
        return f"{hint}. Of a private authority, give --ca-certificates"
    return hint or instead


def _is_botocores(error: Exception) -> bool:
    """Whether botocore has raised it, at a file or an address that its configuration names."""
    frames = [*walk_tb(error.__traceback__)]
    module = frames[-1][0].f_globals["__name__"] if frames else ""
    return module.startswith("botocore.")


def may_pass(error: RefusedError | SecretStoreError) -> bool:
    """Whether the same call may succeed a little later, by itself."""
    # Not what botocore finds on this machine, such as a session that it cannot renew.
    is_aws = error.transient and not hasattr(exceptions, error.code)
    return is_aws or _BY_CODE.get(error.code) in {_NO_ANSWER, _THROTTLED}


def says_all(code: str) -> bool:
    """Whether AWS's code alone tells what is wrong with this machine's identity or its way."""
    return code in fixes.DENIED or code in _BY_CODE


def explain_call(operation: str, code: str, resource: str, target: Target) -> Problem:
    """Say why AWS did not do what it was called for.

    Args:
        operation: The API's.
        code: The API's error code, or the name of botocore's exception.
        resource: What it was about; empty where nobody knows.
        target: Where.
    """
    if code in fixes.DENIED:
        return _denied(operation, resource)
    if code == "TooManyRequestsException" and operation == "Invoke":
        return Problem(
            "The function is busy: a sweep is running, and it runs once at a time.",
            "Try again in a minute, or without --remote.",
        )
    if code == "ResourceNotFoundException" and operation in _ACTIONS:
        return Problem(
            f"There is no function {resource} {_in_region(target)}.{_by(target)}",
            f"{target.stack_from or '--stack'} names the stack: check first the name, the Region "
            f"and the AWS account ({target.aws('sts', 'get-caller-identity')}). If it "
            "was deleted by hand, which CloudFormation does not see, begin with `make undeploy`. "
            f"If it is not deployed yet, in a clone of this project: {target.deploy()}",
        )
    if operation == "CreateSecret" and code in OF_KEYS and resource:
        look = target.aws("kms", "describe-key", "--key-id", resource)
        return Problem(_NO_KEY.what, f"See the key's state, and then its policy: {look}")
    if operation == "DeleteSecret" and code in _NOT_DELETED:
        look = target.aws("secretsmanager", "describe-secret", "--secret-id", resource)
        return Problem(
            f"{resource} cannot be deleted: it is marked already, or has replicas, or is a "
            "replica itself, or another service of AWS manages it.",
            f"See which: {look}",
        )
    if code == "ValidationError" and operation.startswith("cloudformation:"):
        where = _in_region(target)
        return Problem(f"There is no stack {resource} of template.yaml {where}.", "")
    if code == "LimitExceededException" and operation == "PutSecretValue" and resource:
        return Problem(
            f"{resource} was given too many versions in a day, or has twenty stages.",
            "Stop what else writes it, and run the same command again when they are a day old.",
        )
    if code == "InvalidRequestException" and resource and operation not in _ACTIONS:
        fix = f"Restore it: {_restoring(resource, target)}"
        return Problem(f"{resource} is scheduled for deletion.", fix)
    where = f" on {resource}" if resource else ""
    # botocore's words for an error in which it finds none of AWS.
    is_not_aws = re.fullmatch(r"[34][0-9]{2}|Unknown", code) is not None
    told = _NOT_AWS if is_not_aws else _BY_CODE.get(code)
    if told is None:
        return Problem(f"{operation} failed{where}: {code}.", _AFTER.get(code, ""))
    return _told(told, code, resource, target)


def _denied(operation: str, resource: str) -> Problem:
    """Say what an identity may not do, and what may be in its way besides."""
    # One of another service is named by its action.
    plain = operation if ":" in operation else f"secretsmanager:{operation}"
    action = _ACTIONS.get(operation, plain)
    where = f" on {resource}" if resource else ""
    also = ""
    if any(action == each for each, _ in SIGNING.values()):
        also = " The function has a permission of its own."
    elif action.startswith("secretsmanager:"):
        also = " Where a KMS key of your own encrypts the secret, allow its use as well."
    if operation in _CREATES:
        # Its refusal is that of the call which brings the tags, so this is not told apart.
        also += (
            f" What is created with tags needs {action.partition(':')[0]}:TagResource as well."
            " Where your organisation demands tags on what is created, give them with --tag "
            "KEY=VALUE, or as the stack's ResourceTags."
        )
    return Problem(
        f"Your AWS identity may not {action}{where}.",
        f"Allow it; docs/command-line.md has the whole policy.{also}",
    )


def _told(told: Problem, code: str, resource: str, target: Target) -> Problem:
    commands = {
        "identity": target.aws("sts", "get-caller-identity"),
        "key": target.aws("secretsmanager", "describe-secret", "--secret-id", resource),
        "login": target.aws("sso", "login"),
    }
    is_of_place = told in {_NO_ANSWER, _NO_PROFILE, _NO_REGION, _BAD_REGION}
    by = _by(target) if is_of_place else ""
    at = f" at {target.endpoint}" if target.endpoint else ""
    if told is _NO_ANSWER and target.is_endpoint_local:
        told = _NO_LOCAL_ANSWER
    return Problem(told.what.format(code=code, at=at) + by, told.fix.format(**commands))


def _in_region(target: Target) -> str:
    region = target.aws_region or target.region
    return f"in {region}" if region else "here"


def _by(target: Target) -> str:
    """Name the file that says where a command works, where that may be what is wrong."""
    return f" See {target.config_file}, too." if target.config_file else ""


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop, where no command or mark ends it.

    What begins with a name, of a file or an account or a field, begins as that is written.
    """
    begins = re.match(r"[a-z]+(?=[ ,']|$)", text)
    return f"{text[:1].upper()}{text[1:]}{ending(text)}" if begins else f"{text}{ending(text)}"


def ending(text: str) -> str:
    """The full stop that a sentence lacks; none where it ends with a mark, or with a command."""
    return "" if COMMAND.search(text) or text.endswith((".", "?", '"')) else "."


def failure_text(code: str, failure_class: str | None, *, is_here: bool) -> str:
    """Say a failure as ``invalid_grant (action required)``.

    Args:
        code: The failure's.
        failure_class: Its class.
        is_here: Whether this machine has met it: what may be its network's or its AWS identity's
            alone calls nobody.
    """
    is_doubted = is_here and (code in _NETWORK or is_persons(code))
    return f"{code} ({'on this machine' if is_doubted else failure_class})"
