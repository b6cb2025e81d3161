"""The calls to KMS that people make for an account's signing keys; it knows no format of a key.

An account signs with the key of one alias, which follows from its name. While a key is replaced
there are two more: the next one, and the previous one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.aws.signing import alias_of
from token_refresher.records import format_timestamp, parse_timestamp
from token_refresher_cli.problems import ProblemError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_TAG: Final = "token-refresher:"
ALG_TAG: Final = f"{_TAG}alg"
SINCE_TAG: Final = f"{_TAG}signs-since"
EC: Final = "ECC_NIST_P256"
_USAGE: Final = "SIGN_VERIFY"
# The kinds of keys that sign here, and what certificates are signed by.
_ALGORITHMS: Final = {
    EC: "ECDSA_SHA_256",
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), "RSASSA_PKCS1_V1_5_SHA_256"),
}
# As long as AWS lets one be.
RECOVERY_DAYS: Final = 30
_MISTAKE_DAYS: Final = 7
_CONNECT_SECONDS, _READ_SECONDS = 2, 10
# A second one would make a second key.
_ATTEMPTS: Final = {"CreateKey": 1}
# KMS is eventually consistent: what was just made may not be found for some seconds.
_LOOKS: Final = 6
_BETWEEN_LOOKS: Final = timedelta(seconds=2)
_WRAPPING: Final = "RSA_AES_KEY_WRAP_SHA_256"


class Role(StrEnum):
    """What a key is to its account."""

    CURRENT = "current"
    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class KmsKey:
    """What KMS tells of a key.

    Attributes:
        arn: Its ARN.
        spec: Its kind, such as ``RSA_2048``.
        usage: What it is for, such as ``SIGN_VERIFY``.
        state: Such as ``Enabled``, ``PendingImport`` or ``PendingDeletion``.
        created_at: Aware.
    """

    arn: str
    spec: str
    usage: str
    state: str
    created_at: datetime

    @property
    def key_id(self) -> str:
        """Its id, which is enough in its Region."""
        return self.arn.rpartition("/")[2]

    @property
    def is_for_signing(self) -> bool:
        """Whether it is of a kind that an account could sign with."""
        return self.spec in _ALGORITHMS and self.usage == _USAGE

    @property
    def is_enabled(self) -> bool:
        """Whether it signs, and tells its public half."""
        return self.state == "Enabled"


def aliases_of(prefix: str, account: str) -> dict[Role, str]:
    """Tell the aliases of an account's keys.

    But for the current one they have no slash behind ``alias/``, as an account's alias has under
    any prefix: so nobody signs with them, and no policy for the aliases of a prefix holds them. An
    alias cannot have a mark of its own kind (no ``:``), and so the account is in them by digest.

    Raises:
        CredentialsError: No alias can hold its name.
    """
    current = alias_of(prefix, account)
    digest = hashlib.sha256(current.removeprefix("alias/").encode()).hexdigest()[:40]
    others = (Role.NEXT, Role.PREVIOUS)
    return {
        Role.CURRENT: current,
        **{each: f"alias/token-refresher-{each}-{digest}" for each in others},
    }


class Keys:
    """The keys of one account.

    Args:
        prefix: Of the secrets.
        account: Its name.
        pause: Waits.
        tags: Of keys that are made, besides those by which they are found.

    Every method raises `RefusedError` where AWS refuses; the operation in it is the IAM action.

    Raises:
        CredentialsError: No alias can hold the account's name.
    """

    def __init__(
        self,
        prefix: str,
        account: str,
        *,
        pause: Callable[[timedelta], None],
        tags: Mapping[str, str],
    ) -> None:
        self.account = account
        self.aliases = aliases_of(prefix, account)
        self._tags = {f"{_TAG}account": account, f"{_TAG}prefix": prefix}
        self._pause = pause
        self._made_with = tags
        self._clients: dict[tuple[str, int], Any] = {}

    def find(self, role: Role) -> KmsKey | None:
        """Find a key by its alias; None where there is none.

        Raises:
            ProblemError: It is none that an account could sign with.
        """
        try:
            key = self._described(self.aliases[role])
        except RefusedError as error:
            if error.code == "NotFoundException":
                return None
            raise
        if not key.is_for_signing:
            alias, region = self.aliases[role], key.arn.split(":")[3]
            raise ProblemError(
                f"{alias} is a key of the kind {key.spec} for {key.usage}, which signs no "
                "assertion.",
                "Free its name, and run this again: "
                f"aws kms delete-alias --alias-name {alias} --region {region}",
            )
        return key

    def make(self, spec: str, alg: str, *, is_imported: bool = False) -> KmsKey:
        """Make a key that has no alias yet.

        It is asked for once: where the answer is lost there may be a key all the same, which
        `left_behind` finds.
        """
        tags = {**self._made_with, **self._tags, ALG_TAG: alg}
        made = self._ask(
            "CreateKey",
            "*",
            Description=f"Signs for the Token Refresher's account {self.account}",
            KeySpec=spec,
            KeyUsage=_USAGE,
            Origin="EXTERNAL" if is_imported else "AWS_KMS",
            Tags=_listed(tags),
        )
        return _told(made)

    def bring_in(self, key: KmsKey, wrap: Callable[[bytes], bytes]) -> None:
        """Import the material of a key that waits for it.

        Args:
            key: Made for it.
            wrap: Encrypts the material, given the public key that KMS has for this import.
        """
        parameters = self._once_found(
            "GetParametersForImport",
            key.arn,
            KeyId=key.arn,
            WrappingAlgorithm=_WRAPPING,
            WrappingKeySpec="RSA_4096",
        )
        self._ask(
            "ImportKeyMaterial",
            key.arn,
            KeyId=key.arn,
            ImportToken=parameters["ImportToken"],
            EncryptedKeyMaterial=wrap(parameters["PublicKey"]),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )

    def public(self, key: KmsKey) -> bytes:
        """Read a key's public half, in DER."""
        der: bytes = self._once_found("GetPublicKey", key.arn, KeyId=key.arn)["PublicKey"]
        return der

    def alg(self, key: KmsKey) -> str:
        """Tell what a key was made to sign by; ``RS256`` for an RSA key that nobody made so."""
        if key.spec == EC:
            return "ES256"
        return self._tags_of(key).get(ALG_TAG, "RS256")

    def signs_since(self, key: KmsKey) -> datetime | None:
        """Tell when an account was switched to a key; None where it never was."""
        return parse_timestamp(self._tags_of(key).get(SINCE_TAG, ""))

    def note_switch(self, key: KmsKey, at: datetime) -> None:
        """Remember on a key when an account is switched to it."""
        tags = _listed({SINCE_TAG: format_timestamp(at)})
        self._ask("TagResource", key.arn, KeyId=key.arn, Tags=tags)

    def _tags_of(self, key: KmsKey) -> dict[str, str]:
        tags = self._once_found("ListResourceTags", key.arn, KeyId=key.arn)["Tags"]
        return {each["TagKey"]: each["TagValue"] for each in tags}

    def sign(self, role: Role, key: KmsKey, message: bytes) -> bytes:
        """Sign by PKCS #1 v1.5 or ECDSA, for a certificate."""
        answer = self._ask(
            "Sign",
            self.aliases[role],
            KeyId=self.aliases[role],
            Message=hashlib.sha256(message).digest(),
            MessageType="DIGEST",
            SigningAlgorithm=_ALGORITHMS[key.spec],
        )
        signature: bytes = answer["Signature"]
        return signature

    def point(self, role: Role, key: KmsKey) -> None:
        """Give a key an alias that is not there yet."""
        alias = self.aliases[role]
        self._once_found("CreateAlias", alias, AliasName=alias, TargetKeyId=key.key_id)

    def move(self, role: Role, key: KmsKey) -> None:
        """Have an alias mean another key, in one step."""
        alias = self.aliases[role]
        self._ask("UpdateAlias", alias, AliasName=alias, TargetKeyId=key.key_id)

    def forget(self, role: Role) -> None:
        """Delete an alias, and no key."""
        alias = self.aliases[role]
        self._ask("DeleteAlias", alias, AliasName=alias)

    def schedule_deletion(self, key: KmsKey, *, days: int = _MISTAKE_DAYS) -> datetime:
        """Have a key deleted after some days, in which it costs nothing and can be kept.

        Returns:
            When; aware.
        """
        answer = self._ask("ScheduleKeyDeletion", key.arn, KeyId=key.arn, PendingWindowInDays=days)
        at: datetime = answer["DeletionDate"]
        return at.astimezone(UTC)

    def left_behind(self) -> list[KmsKey]:
        """Find the keys that were made for the account and have no alias.

        A run was cut short, or somebody has deleted the alias.

        Which keys have which tags is told with a delay.
        """
        filters = [{"Key": name, "Values": [value]} for name, value in self._tags.items()]
        found = self._ask(
            "GetResources", "*", service="tag", TagFilters=filters, ResourceTypeFilters=["kms:key"]
        )
        known = {key.arn for role in Role if (key := self.find(role))}
        arns = [each["ResourceARN"] for each in found["ResourceTagMappingList"]]
        keys = [self._described(arn) for arn in arns if arn not in known]
        return [key for key in keys if key.state != "PendingDeletion"]

    def _described(self, key_id: str) -> KmsKey:
        return _told(self._ask("DescribeKey", key_id, KeyId=key_id))

    def _once_found(self, operation: str, resource: str, **arguments: str) -> dict[str, Any]:
        """Ask about a key that may have been made just now."""
        for _ in range(_LOOKS - 1):
            try:
                return self._ask(operation, resource, **arguments)
            except RefusedError as error:
                if error.code != "NotFoundException":
                    raise
            self._pause(_BETWEEN_LOOKS)
        return self._ask(operation, resource, **arguments)

    def _ask(
        self,
        operation: str,
        resource: str,
        *,
        service: str = "kms",
        **arguments: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        try:
            client = self._client(service, _ATTEMPTS.get(operation, 3))
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise RefusedError.of(error, f"{service}:{operation}", resource) from None
        return answer

    def _client(self, service: str, attempts: int) -> Any:  # noqa: ANN401 - no stubs here
        make: Any = boto3.client
        if (service, attempts) not in self._clients:
            self._clients[service, attempts] = make(
                {"tag": "resourcegroupstaggingapi"}.get(service, service),
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                ),
            )
        return self._clients[service, attempts]


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]


def _told(answer: Mapping[str, Any]) -> KmsKey:
    of = answer["KeyMetadata"]
    # botocore tells all times in this machine's zone.
    created_at = of["CreationDate"].astimezone(UTC)
    return KmsKey(of["Arn"], of["KeySpec"], of["KeyUsage"], of["KeyState"], created_at)
