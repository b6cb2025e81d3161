"""Customer KMS keys, which Secrets Manager uses as its caller.

Whoever reads or writes a secret under a key of its own needs permissions on that key too. They
count where IAM is enforced.
"""

# ruff: noqa: SLF001

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ministack import app
from ministack.core.responses import get_region
from ministack.services import kms as ministack

from local.emulator import callers
from local.secrets_manager.refusals import RefusalError, key_denied, key_unusable

if TYPE_CHECKING:
    from local.emulator.versions import Secret, Version

MANAGED_BY_AWS = (None, "", "alias/aws/secretsmanager")
TO_READ = ("Decrypt",)
TO_WRITE = ("GenerateDataKey", "Decrypt")
VALIDATION = "RequestToValidateKeyAccess"
# Which versions follow a secret to another key; those of other stages stay under the old one.
FOLLOWING = frozenset({"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"})


def authorise(
    key_id: str | None, operations: tuple[str, ...], *, secret_arn: str, version_id: str
) -> None:
    """Refuse a caller who may not use a secret's key through Secrets Manager.

    Args:
        key_id: As the secret has it: an ARN, an id, an alias, or nothing for AWS's own key.
        operations: ``TO_READ`` or ``TO_WRITE``.
        secret_arn: Part of the encryption context, as is the version's id.
        version_id: The version that is read or written.

    Raises:
        RefusalError: The key cannot be used, or not by this caller.
    """
    if not app.AUTH or key_id in MANAGED_BY_AWS:
        return
    key = ministack._resolve_key(key_id)
    if key is None or key["KeyState"] != "Enabled":
        raise key_unusable(writing=operations == TO_WRITE)
    context = {
        "kms:ViaService": f"secretsmanager.{get_region()}.amazonaws.com",
        "kms:EncryptionContext:SecretARN": secret_arn,
        "kms:EncryptionContext:SecretVersionId": version_id,
    }
    for operation in operations:
        try:
            callers.require(f"kms:{operation}", on=key["Arn"], context=context)
        except RefusalError:
            raise key_denied(operation) from None


def validate(key_id: str | None) -> None:
    """Refuse to put a secret under a key that its writer could not use.

    Secrets Manager tries the key before there is a version, and says so in the context.
    """
    authorise(key_id, TO_WRITE, secret_arn=VALIDATION, version_id=VALIDATION)


def of_version(secret: Secret, version: Version) -> str | None:
    """Tell the key that a version is under, which may be an earlier one of its secret."""
    return version.get("KmsKeyId", secret.get("KmsKeyId"))


def change(secret: Secret, key_id: str | None) -> None:
    """Let a secret have another key, and its versions, as far as the caller may re-encrypt them.

    Without ``Encrypt`` on the new key, or ``Decrypt`` on the old one, they stay under the old one,
    and nobody is told.
    """
    for version_id, version in secret["Versions"].items():
        version["KmsKeyId"] = before = of_version(secret, version)
        if FOLLOWING.isdisjoint(version["Stages"]):
            continue
        which = {"secret_arn": secret["ARN"], "version_id": version_id}
        with suppress(RefusalError):
            authorise(before, TO_READ, **which)
            authorise(key_id, ("Encrypt",), **which)
            version["KmsKeyId"] = key_id
    secret["KmsKeyId"] = key_id
