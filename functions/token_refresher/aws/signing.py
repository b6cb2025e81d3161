"""Signatures by AWS KMS, and identity tokens of AWS STS. It knows no OAuth.

A key follows from the name of who signs, and from nothing that anybody writes: else whoever may
write one account's credentials could sign as another. Read where an account signs.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.aws.secret_store import told_by
from token_refresher.errors import CredentialsError, SigningError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Before a lease and a request, whose time it must not take. A connection that is not there in a
# second will not come.
_CONNECT_SECONDS: Final = 1
_READ_SECONDS: Final = 2
_ATTEMPTS: Final = 2

# By the names of RFC 7518 section 3.1.
ALGORITHMS: Final = {
    "ES256": "ECDSA_SHA_256",
    "PS256": "RSASSA_PSS_SHA_256",
    "RS256": "RSASSA_PKCS1_V1_5_SHA_256",
}
# Each of the two halves of a signature on P-256 (RFC 7518 section 3.4).
_HALF: Final = 32
# As short as what it proves needs; the template allows no longer one.
_TOKEN_SECONDS: Final = 300
# Who runs for whom, in a token whose subject is the function's role for all.
ACCOUNT_TAG: Final = "account"

# What STS issues may be put into a header, which a line break would end (RFC 7515 section 3.1).
_JWT: Final = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}"

_LONGEST_ALIAS: Final = 256
_ALIAS: Final = r"alias/(?!aws/)[A-Za-z0-9/_-]+"
# What shared registrations are kept under.
_RESERVED: Final = "clients"

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})
# A session that is about to end has a successor in a moment.
_PASSING: Final = frozenset(
    {
        *("DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException"),
        "SessionDurationEscalationException",
    }
)
_MISSING: Final = "signing_key_missing"
_DISABLED: Final = "signing_key_disabled"
_WRONG: Final = "signing_key_wrong"
_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "NotFoundException": (_MISSING, "is not there, or is an alias without a key"),
    "DisabledException": (_DISABLED, "is disabled"),
    "KMSInvalidStateException": (_DISABLED, "waits for its material, or is to be deleted"),
    "InvalidKeyUsageException": (_WRONG, "does not sign by this `assertion.alg`"),
    "UnsupportedOperationException": (_WRONG, "does not sign"),
    "ValidationException": (_WRONG, "does not sign by this `assertion.alg`"),
}


def alias_of(prefix: str, account: str) -> str:
    """Tell the alias of the only key that an account signs with.

    Args:
        prefix: Of the secrets, without a slash at its end.
        account: Its name.

    Raises:
        CredentialsError: No alias can hold it. Nothing is put in the place of a character, for
            two accounts must never have one key.
    """
    alias = f"alias/{prefix}/{account}"
    is_reserved = account.split("/", maxsplit=1)[0] == _RESERVED
    if is_reserved or len(alias) > _LONGEST_ALIAS or not re.fullmatch(_ALIAS, alias, re.ASCII):
        raise CredentialsError(
            "an account that signs has a name, and a SecretPrefix, of the characters A-Z a-z 0-9 "
            "/ _ - alone, 250 in all, which does not begin with `clients/` or `aws/`: such is the "
            "alias of its KMS key",
            code="unsignable_name",
        )
    return alias


class Signer:
    """Signs by the keys of accounts, or has STS say who runs here.

    Args:
        prefix: Of the secrets, and so of the keys' aliases.
        connections: How many calls are made at once.
        user_agent: Names the program in the audit log.
    """

    def __init__(self, *, prefix: str, connections: int, user_agent: str) -> None:
        self._prefix = prefix
        self._config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=connections,
            user_agent=user_agent,
        )
        # boto3's session makes one client at a time, and sixteen workers need the same one.
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        """Sign with an account's key: one call.

        Args:
            key: The account's name.
            alg: ``RS256``, ``PS256`` or ``ES256``.
            message: What is signed; KMS sees its SHA-256 alone.

        Returns:
            The signature as RFC 7518 section 3 has it.

        Raises:
            CredentialsError: No key can have the account's name.
            SigningError: KMS did not sign.
        """
        alias, algorithm = alias_of(self._prefix, key), ALGORITHMS[alg]
        with _errors("Sign", lambda error: not_signed(error, alias)):
            answer = self._client("kms").sign(
                KeyId=alias,
                Message=hashlib.sha256(message).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=algorithm,
            )
            signature: bytes = answer["Signature"]
            if not signature:
                raise ValueError
            return _halves_of(signature) if alg == "ES256" else signature

    def identity_token(self, key: str, *, audience: str, alg: str) -> str:
        """Have STS say who runs here, and for which account: one call.

        Args:
            key: The account's name, which becomes the token's tag ``account``.
            audience: Whom it is for.
            alg: ``RS256`` or ``ES384``.

        Raises:
            SigningError: STS did not say so.
        """
        with _errors("GetWebIdentityToken", not_issued):
            answer = self._client("sts").get_web_identity_token(
                Audience=[audience],
                SigningAlgorithm=alg,
                DurationSeconds=_TOKEN_SECONDS,
                Tags=[{"Key": ACCOUNT_TAG, "Value": key}],
            )
            token: str = answer["WebIdentityToken"]
            if re.fullmatch(_JWT, token) is None:
                raise ValueError
            return token

    def _client(self, service: str) -> Any:  # noqa: ANN401 - no stubs here
        make: Any = boto3.client
        with self._lock:
            if service not in self._clients:
                self._clients[service] = make(service, config=self._config)
            return self._clients[service]


@contextmanager
def _errors(
    operation: str, told: Callable[[ClientError | BotoCoreError], SigningError]
) -> Iterator[None]:
    """Turn botocore's errors into ours, and whatever a response leads to that is none of AWS's."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise told(error) from None
    except Exception:  # noqa: BLE001 - botocore reads what a proxy or a gateway says as if AWS did
        raise unreadable(operation) from None


def not_signed(error: ClientError | BotoCoreError, alias: str) -> SigningError:
    """Say why KMS did not sign (its API reference, Sign)."""
    code, is_transient = told_by(error)
    if code in _DENIED:
        what = (
            f"the function may not sign with {alias}: deploy with Signing=true, and see the key's "
            "policy"
        )
        return SigningError(what, operation="Sign", code="signing_denied", transient=False)
    if code in _REFUSALS:
        code, why = _REFUSALS[code]
        what = f"the KMS key {alias} {why}"
        return SigningError(what, operation="Sign", code=code, transient=False)
    return _failed("Sign", code, transient=is_transient)


def not_issued(error: ClientError | BotoCoreError) -> SigningError:
    """Say why STS issued no token (its API reference, GetWebIdentityToken)."""
    operation = "GetWebIdentityToken"
    code, is_transient = told_by(error)
    if code in _DENIED:
        what = "the function may ask for no identity token of this `assertion.audience`: deploy "
        what += "with it among WebIdentityAudiences"
        code = "identity_token_denied"
        return SigningError(what, operation=operation, code=code, transient=False)
    if code.startswith("OutboundWebIdentityFederationDisabled"):
        what = "the AWS account hands out no identity tokens: enable outbound web identity "
        what += "federation in its IAM settings"
        code = "identity_federation_disabled"
        return SigningError(what, operation=operation, code=code, transient=False)
    return _failed(operation, code, transient=is_transient)


def unreadable(operation: str) -> SigningError:
    """Say in botocore's word that what came was no response of AWS."""
    return _failed(operation, "ResponseParserError", transient=True)


def _failed(operation: str, code: str, *, transient: bool) -> SigningError:
    is_passing = transient or code in _PASSING
    message = f"{operation} failed: {code}"
    return SigningError(message, operation=operation, code=code, transient=is_passing)


def _halves_of(signature: bytes) -> bytes:
    """Write an ECDSA signature as JWS has it (RFC 7518 section 3.4), and KMS does not.

    KMS has an ASN.1 SEQUENCE of two INTEGERs in DER (ANSI X9.62): each with its length in one
    byte, without leading zeros, but for one where its first bit is set.

    Raises:
        IndexError, ValueError: It is none of P-256.
    """
    halves, rest = [], signature[2:]
    for _ in range(2):
        length = rest[1]
        halves.append(rest[2 : 2 + length].lstrip(b"\0").rjust(_HALF, b"\0"))
        rest = rest[2 + length :]
    made = b"".join(halves)
    if rest or len(made) != 2 * _HALF:
        raise ValueError
    return made
