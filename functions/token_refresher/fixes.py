"""What a person does about each code: a sentence, and the command that does it. Pure.

The log, the summary, events and the command line say the same. A module of its own, read where
something failed: most sweeps never need it.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from token_refresher.oauth.errors import WRONG_ADDRESS
from token_refresher.oauth.token_response import TRANSIENT_STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What `Target` and the deployed function call the command line.
PROGRAM: Final = "token-refresher"
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedException"})


class Fix(NamedTuple):
    """What a person does.

    Attributes:
        sentence: In a few words, without a full stop.
        command: A command of the command line for the account, its own options behind it; empty
            where none helps.
    """

    sentence: str
    command: str = ""


_ALLOW_IT: Final = Fix("the function's role lacks a permission; doctor says which", "doctor")
_CERTIFICATE: Final = "correct --certificate FILE --private-key FILE"
_KEY: Final = Fix("the function cannot use the secret's KMS key: see its state, and its policy")
_PASSES: Final = Fix("it is tried again by itself; if it stays, ask the server's operator")
_AWS_PASSES: Final = Fix("it is tried again by itself; if it stays, see AWS's health and quotas")
_REFUSED: Final = Fix("the server refused, in no words of OAuth: check the credentials", "correct")
_REPORT: Final = Fix("report it as a defect, with the log line of the sweep")
_SIGN_IN: Final = Fix("have the owner sign in again, and store the new refresh token", "correct")
_WRONG_ADDRESS: Final = Fix("no token endpoint is there; correct the address", "correct")

FIXES: Final[Mapping[str, Fix]] = {
    "access_denied": Fix("the server denies access; ask the account's owner or its operator"),
    "address_not_global": Fix(
        "it is in a private network: name it in AllowedTokenHosts and deploy, or correct it",
        "correct",
    ),
    "another_host": Fix(
        "put the address back, or give a new refresh token from the new host", "correct"
    ),
    "blocked": Fix("the server blocks several accounts alike; have the function's address allowed"),
    "certificate_ending": Fix(
        "have a new client certificate issued, and store it with its key", _CERTIFICATE
    ),
    "certificate_refused": Fix(
        "renew the server's certificate, or correct token_endpoint", "correct"
    ),
    "client_certificate_refused": Fix(
        "renew the client certificate, or have the server's operator know it", _CERTIFICATE
    ),
    "client_certificate_required": Fix(
        "the server asks for a client certificate (mutual TLS): give certificate and private_key",
        _CERTIFICATE,
    ),
    "connection_lost": _PASSES,
    "consent_required": _SIGN_IN,
    "external_secret": Fix(
        "the token secret holds what others wrote, and stays as it is; to replace it",
        "refresh --force",
    ),
    "firewall": Fix("a page came in the endpoint's place; have the function's address allowed"),
    "host_not_allowed": Fix(
        "add the host to AllowedTokenHosts and deploy, or correct the address", "correct"
    ),
    "identity_federation_disabled": Fix(
        "enable outbound web identity federation in the AWS account's IAM settings"
    ),
    "identity_token_denied": Fix(
        "add the audience to WebIdentityAudiences and deploy, or correct assertion.audience",
        "correct",
    ),
    "interaction_required": _SIGN_IN,
    "invalid_ca_certificates": Fix("give certificates in PEM as ca_certificates", "correct"),
    "invalid_certificate": Fix(
        "give certificate and private_key in PEM, which belong together", _CERTIFICATE
    ),
    "invalid_client": Fix(
        "the server does not know the client_id, its client_secret or key", "correct"
    ),
    "invalid_credentials": Fix("a field does not validate, and check names it", "correct"),
    "invalid_grant": Fix(
        "the server refused the password, code, assertion or refresh token", "correct"
    ),
    "invalid_request": Fix(
        "a parameter is missing or wrong: extra_parameters, token_endpoint_auth_method", "correct"
    ),
    "invalid_response": Fix(
        "the response is no token response; see dialect.access_token and dialect.error, or ask its "
        "operator"
    ),
    "invalid_scope": Fix("the client may not ask for this scope; give another --scope", "correct"),
    "invalid_target": Fix("the resource or audience is unknown; see extra_parameters", "correct"),
    "journal_not_written": Fix(
        "allow writing under the credentials path, or stop what gives the secret too many "
        "versions; what the function remembers, it writes first"
    ),
    "login_required": _SIGN_IN,
    "missing_expires_in": Fix(
        "say how long its tokens live, in seconds", "correct --assumed-expires-in 3600"
    ),
    "no_connection": Fix(
        "the host was not reached; if none is, it is the function's own network; doctor says "
        "whether its name is known",
        "doctor",
    ),
    "proxy_refused": Fix(
        "have the proxy allow the token endpoint's host, or deploy with another TokenEndpointProxy"
    ),
    "redirect": Fix("give its final address as --token-endpoint", "correct"),
    "refresh_token_ending": Fix("obtain a new refresh token, and store it", "correct"),
    "refresh_token_spent": Fix(
        "it was answered, and the response could not be kept: store a new refresh token", "correct"
    ),
    "refresh_token_unanswered": Fix(
        "it is sent again by itself; a new refresh token is tried by the next sweep", "correct"
    ),
    "refresh_tokens_ignored": Fix("deploy with RefreshTokens=use, or use another grant"),
    "rejected_again": Fix(
        "the server hands out the refused token again; ask its operator to end that token"
    ),
    "scheduled_for_deletion": Fix(
        "restore the token secret, or remove the credentials, too", "restore"
    ),
    "secret_in_response": Fix(
        "what would be published holds a secret; correct publish or dialect", "correct"
    ),
    "server_error": _PASSES,
    "signing_denied": Fix(
        "deploy with Signing=true; else the key's own policy does not let the function sign"
    ),
    "signing_key_disabled": Fix(
        "enable its KMS key, or cancel the key's deletion; doctor names it", "doctor"
    ),
    "signing_key_missing": Fix("make its KMS key, and register the public one", "key create"),
    "signing_key_wrong": Fix(
        "the KMS key does not sign by assertion.alg: RSA does by RS256 and PS256, P-256 by ES256; "
        "doctor says what it is",
        "doctor",
    ),
    "slow_down": _PASSES,
    "temporarily_unavailable": _PASSES,
    "timeout": _PASSES,
    "tls_too_old": Fix("the server's operator must offer TLS 1.2 or later"),
    "token_lives_too_short": Fix(
        "no sweep is in time for it or its refresh token; ask its server for longer ones"
    ),
    "token_refused": Fix("verify_url refused the new token; see whether it is the right one"),
    "token_too_long": Fix(
        "the token does not fit into a secret; publish fewer fields, or ask for a shorter one"
    ),
    "unknown_authority": Fix(
        "have the server send its whole chain, or give the private authority that vouches for it",
        "correct --ca-certificates FILE",
    ),
    "unsignable_name": Fix(
        "no KMS alias can hold the account's name: remove it, and add it under another", "remove"
    ),
    "unauthorized_client": Fix("ask the server's owner to allow the client this grant"),
    "unrecognised": Fix(
        "the server says no in a word of its own; check the credentials, or ask its operator",
        "correct",
    ),
    "unsendable_header": Fix("what stands in a header cannot; put a new one", "correct"),
    "unsupported_grant_type": Fix(
        "the server has no such grant; give another --grant-type", "correct"
    ),
    # AWS's own.
    "JWTPayloadSizeExceededException": Fix(
        "the account's name is too long for STS: remove it, and add it under a shorter one",
        "remove",
    ),
    "DecryptionFailure": _KEY,
    "EncryptionFailure": _KEY,
    "InvalidRequestException": Fix("a secret of the account is to be deleted", "restore"),
    "LimitExceededException": Fix(
        "a secret of the account was given too many versions in a day, or has twenty stages: stop "
        "what else writes it; there is room again as they get a day old"
    ),
    "ResourceNotFoundException": Fix("a secret was made, or deleted, a moment ago"),
    **dict.fromkeys(
        (
            *("InvalidNextTokenException", "InvalidParameterException"),
            *("MalformedPolicyDocumentException", "PreconditionNotMetException"),
            *("ResourceExistsException", "SessionDurationEscalationException"),
            "ValidationException",
        ),
        _REPORT,
    ),
    **dict.fromkeys(
        (
            *("ConnectTimeoutError", "ConnectionClosedError", "EndpointConnectionError"),
            *("DependencyTimeoutException", "InternalFailure", "InternalServiceError"),
            *("KMSInternalException", "KeyUnavailableException", "ReadTimeoutError"),
            *(
                "RequestLimitExceeded",
                "RequestTimeout",
                "ResponseParserError",
                "ServiceUnavailable",
            ),
            *("ServiceUnavailableException", "Throttling", "ThrottlingException"),
            "TooManyRequestsException",
        ),
        _AWS_PASSES,
    ),
}


def fix_of(code: str) -> Fix | None:
    """Find what a person does about a code; None for one that nobody has foreseen."""
    if code in DENIED:
        return _ALLOW_IT
    if code.startswith("unexpected_"):
        return _REPORT
    return FIXES.get(code) or _of_status(code)


def _of_status(code: str) -> Fix | None:
    """Find it for a status that came without a word of OAuth's, or with a page."""
    if not (found := re.fullmatch(r"(status|page)_([45][0-9]{2})", code)):
        return None
    status = int(found[2])
    if found[1] == "page" or status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004
        return _PASSES
    return _WRONG_ADDRESS if status in WRONG_ADDRESS else _REFUSED


def say(code: str, account: str, where: Mapping[str, str | None]) -> str:
    """Say what a person does about a code; empty where nobody knows.

    Args:
        code: A failure's, or the reason for which action is required.
        account: The one that failed.
        where: Options that lead the command to the right place, such as ``--stack``.

    Returns:
        A sentence; the command stands at its end, behind a colon, to be pasted.
    """
    if (fix := fix_of(code)) is None:
        return ""
    if not fix.command:
        return fix.sentence
    verb, _, flags = fix.command.partition(" --")
    given = f"--{flags}".split() if flags else []
    return f"{fix.sentence}: {command(verb, account, flags=given, where=where)}"


def say_of_all(code: str, where: Mapping[str, str | None]) -> str:
    """Say what a person does where no account is to blame.

    Args:
        code: Why an invocation failed as a whole.
        where: As for `say`.
    """
    fix = fix_of(code)
    sentence = fix.sentence if fix is not None else "nothing was swept; this says why"
    return f"{sentence}: {command('doctor', where=where)}"


def command(
    verb: str, *names: str, flags: Sequence[str] = (), where: Mapping[str, str | None]
) -> str:
    """Write a command of the command line, to be pasted into a shell.

    Args:
        verb: The command; one of a group's has two words.
        names: Accounts.
        flags: Its own options.
        where: Options by name; those that are None are left out.
    """
    options = [*flags, *words(where)]
    if any(name.startswith("-") for name in names):
        return shlex.join([PROGRAM, *verb.split(), *options, "--", *names])
    return shlex.join([PROGRAM, *verb.split(), *names, *options])


def words(where: Mapping[str, str | None]) -> list[str]:
    """Write options as words of a command."""
    return [word for name, value in where.items() if value is not None for word in (name, value)]
