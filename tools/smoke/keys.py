"""Signatures by a KMS key, and secrets under one.

A key costs something, and takes a week to go: it is asked for by itself.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from token_refresher.aws.signing import ALGORITHMS, alias_of
from tools.smoke.questions import Answer, Question, refusal_of, refused
from tools.smoke.sandbox import SHORTEST_WINDOW_DAYS

if TYPE_CHECKING:
    from tools.smoke.sandbox import Sandbox

ACCOUNT: Final = "dealer-17"
ENCRYPTED: Final = "encrypted"
_DIGEST: Final = hashlib.sha256(b"invented").digest()


@cache
def _key(sandbox: Sandbox) -> str:
    """Make the key that signs, once, and return its id."""
    alias = alias_of(sandbox.name, ACCOUNT)
    return sandbox.key(alias, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


@cache
def _secret_under_a_disabled_key(sandbox: Sandbox) -> str:
    """Make a secret under a key of its own, disable the key, and return the secret's name."""
    key = sandbox.key()
    path = sandbox.secret(
        ENCRYPTED, KmsKeyId=key, SecretString="invented", ClientRequestToken="e" * 32
    )
    sandbox.client("kms").disable_key(KeyId=key)
    return path


def _sign(sandbox: Sandbox, alg: str, account: str = ACCOUNT) -> bytes:
    signed: dict[str, Any] = sandbox.client("kms").sign(
        KeyId=alias_of(sandbox.name, account),
        Message=_DIGEST,
        MessageType="DIGEST",
        SigningAlgorithm=ALGORITHMS[alg],
    )
    signature: bytes = signed["Signature"]
    return signature


def signature(sandbox: Sandbox) -> Answer:
    """Sign a digest by the alias that was just made, and have it verified by the key."""
    key = _key(sandbox)
    seen = sandbox.eventually(lambda: _sign(sandbox, "ES256"))
    is_valid = sandbox.client("kms").verify(
        KeyId=key,
        Message=_DIGEST,
        MessageType="DIGEST",
        Signature=seen.value,
        SigningAlgorithm=ALGORITHMS["ES256"],
    )["SignatureValid"]
    when = "at once" if seen.looks == 1 else f"after {seen.seconds:.1f} s"
    return Answer(is_valid, f"valid, {when} after the alias was made, {len(seen.value)} bytes")


def no_alias(sandbox: Sandbox) -> Answer:
    """Sign by an alias that is not there."""
    return refused(refusal_of(lambda: _sign(sandbox, "ES256", "none")), "NotFoundException")


def wrong_algorithm(sandbox: Sandbox) -> Answer:
    """Sign by an algorithm of another kind of key."""
    _key(sandbox)
    sandbox.eventually(lambda: _sign(sandbox, "ES256"))
    return refused(refusal_of(lambda: _sign(sandbox, "RS256")), "InvalidKeyUsageException")


def to_be_deleted(sandbox: Sandbox) -> Answer:
    """Sign by a key that is to be deleted; the last question, since nothing brings it back."""
    key = _key(sandbox)
    sandbox.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=SHORTEST_WINDOW_DAYS)
    seen = sandbox.eventually(lambda: refusal_of(lambda: _sign(sandbox, "ES256")), bool)
    return refused(seen.value, "KMSInvalidStateException")


def disabled(sandbox: Sandbox) -> Answer:
    """Sign by a key that is disabled for a moment."""
    key, kms = _key(sandbox), sandbox.client("kms")
    kms.disable_key(KeyId=key)
    seen = sandbox.eventually(lambda: refusal_of(lambda: _sign(sandbox, "ES256")), bool)
    kms.enable_key(KeyId=key)
    return refused(seen.value, "DisabledException")


def no_decryption(sandbox: Sandbox) -> Answer:
    """Read a value under a key that is disabled."""
    path = _secret_under_a_disabled_key(sandbox)
    read = partial(sandbox.secrets.get_secret_value, SecretId=path)
    seen = sandbox.eventually(partial(refusal_of, read), bool)
    return refused(seen.value, "DecryptionFailure")


def no_encryption(sandbox: Sandbox) -> Answer:
    """Put a value under a key that is disabled."""
    path = _secret_under_a_disabled_key(sandbox)
    put = partial(
        sandbox.secrets.put_secret_value,
        SecretId=path,
        ClientRequestToken="f" * 32,
        SecretString="invented",
    )
    seen = sandbox.eventually(partial(refusal_of, put), bool)
    return refused(seen.value, "EncryptionFailure")


QUESTIONS: Final = (
    Question(
        "a digest is signed by an alias",
        "an alias may stand for its key; the signature is the key's",
        signature,
    ),
    Question("a signature by an alias that is not there", "NotFoundException", no_alias),
    Question(
        "a signature by an algorithm of another key", "InvalidKeyUsageException", wrong_algorithm
    ),
    Question("a signature by a key that is disabled", "DisabledException", disabled),
    Question(
        "a signature by a key that is to be deleted", "KMSInvalidStateException", to_be_deleted
    ),
    Question(
        "a secret whose KMS key is disabled is read",
        "the key must be enabled: DecryptionFailure",
        no_decryption,
    ),
    Question(
        "a value is put under a KMS key that is disabled",
        "the key must be enabled: EncryptionFailure",
        no_encryption,
    ),
)
