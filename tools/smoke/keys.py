"""Signatures by a KMS key. It costs something, and takes a week to go: asked for by itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from token_refresher.aws.signing import ALGORITHMS, alias_of
from tools.smoke.questions import Answer, Question, refusal_of, refused
from tools.smoke.sandbox import SHORTEST_WINDOW_DAYS

if TYPE_CHECKING:
    from tools.smoke.sandbox import Sandbox

ACCOUNT: Final = "dealer-17"
_DIGEST: Final = hashlib.sha256(b"invented").digest()


def _key(sandbox: Sandbox) -> str:
    """Return the one key's id; it is made when it is first asked for."""
    if not sandbox.keys:
        sandbox.key(
            alias_of(sandbox.name, ACCOUNT), KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY"
        )
    return sandbox.keys[0]


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
)
