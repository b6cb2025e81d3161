"""The secrets of one Region in memory, and the operations of Secrets Manager that programs use.

It goes by the clock of whoever drives it, for the age of versions alone, since nobody here looks
at the dates that it gives; and knows secrets by their names alone. Keys and rotations are the
emulator's. It keeps to the same rules, and answers in microseconds.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.secrets_manager.limits import check_name, check_value, check_version_id, checked_tags
from local.secrets_manager.listing import check_filters, cut_page, passes
from local.secrets_manager.refusals import (
    already_exists,
    malformed,
    not_found,
    wrong_parameter,
    wrong_state,
)
from local.secrets_manager.versions import CURRENT, Versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json: TypeAlias = dict[str, Any]

REGION: Final = "eu-west-1"
ARN: Final = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:"
# What tells a description from an entry of a listing, which tells less.
DESCRIBED: Final = "VersionIdsToStages"
IN_SYNC: Final = "InSync"
DATE: Final = 1795528800
RECOVERY_DAYS: Final = range(7, 31)


@dataclass(slots=True)
class Secret(Versions[str | bytes]):
    """One secret; its name is its key.

    Attributes:
        tags: By key.
        description: In words.
        is_deleted: Marked for deletion.
        replicas: The state of its copy in each other Region, which is at once as it shall be.
    """

    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    is_deleted: bool = False
    replicas: dict[str, str] = field(default_factory=dict)


@cache
def arn(name: str) -> str:
    """Return a secret's ARN."""
    return f"{ARN}{name}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


class SecretsManager:
    """Answers the calls of one Region, one at a time.

    Args:
        clock: Gives epoch seconds.

    Attributes:
        secrets: By name.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.secrets: dict[str, Secret] = {}
        self._seconds = clock
        self._lock = threading.RLock()
        self._operations: Mapping[str, Callable[[Json], Json]] = {
            "CreateSecret": self._create,
            "DeleteSecret": self._delete,
            "DescribeSecret": self._describe,
            "GetSecretValue": self._get,
            "ListSecrets": self._list,
            "PutSecretValue": self._put,
            "ReplicateSecretToRegions": self._replicate,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateSecretVersionStage": self._move,
        }

    def answer(self, operation: str, asked: Json) -> Json:
        """Answer one call.

        Raises:
            RefusalError: Secrets Manager refuses it.
        """
        with self._lock:
            return self._operations[operation](asked)

    def _find(self, asked: Json) -> Secret:
        """Return the secret that a call names."""
        secret = self.secrets.get(asked["SecretId"])
        if secret is None:
            raise not_found("The secret")
        return secret

    def _open(self, asked: Json) -> tuple[str, Secret]:
        """Return the secret that a call names, unless it is marked for deletion."""
        secret = self._find(asked)
        if secret.is_deleted:
            raise wrong_state("The secret is marked for deletion.")
        return asked["SecretId"], secret

    def _create(self, asked: Json) -> Json:
        name, value, tags = asked["Name"], _value(asked), checked_tags(asked.get("Tags", []))
        check_name(name)
        secret = self.secrets.get(name)
        if secret is not None:
            return _created_before(name, secret, asked, value)
        secret = self.secrets[name] = Secret(
            tags={tag["Key"]: tag["Value"] for tag in tags},
            description=asked.get("Description", ""),
        )
        if value is None:
            return _identity(name)
        return {**_identity(name), "VersionId": self._store(secret, asked, value)}

    def _describe(self, asked: Json) -> Json:
        return entry(asked["SecretId"], self._find(asked), versions_as=DESCRIBED)

    def _get(self, asked: Json) -> Json:
        name, secret = self._open(asked)
        version_id, value = secret.find(asked.get("VersionId"), asked.get("VersionStage"))
        return {
            **_identity(name),
            "VersionId": version_id,
            "VersionStages": _stages(secret, version_id),
            "CreatedDate": DATE,
            "SecretString" if isinstance(value, str) else "SecretBinary": value,
        }

    def _put(self, asked: Json) -> Json:
        name, secret = self._open(asked)
        value = _value(asked)
        if value is None:
            raise wrong_state("SecretString or SecretBinary is required.")
        version_id = self._store(secret, asked, value)
        stages = _stages(secret, version_id)
        return {**_identity(name), "VersionId": version_id, "VersionStages": stages}

    def _store(self, secret: Secret, asked: Json, value: str | bytes) -> str:
        version_id: str = asked.get("ClientRequestToken") or str(uuid.uuid4())
        check_version_id(version_id)
        stages = asked.get("VersionStages") or [CURRENT]
        secret.put(version_id, value, stages, now=self._seconds())
        return version_id

    def _move(self, asked: Json) -> Json:
        name, secret = self._open(asked)
        secret.move(
            asked["VersionStage"],
            to=asked.get("MoveToVersionId"),
            away_from=asked.get("RemoveFromVersionId"),
        )
        return _identity(name)

    def _tag(self, asked: Json) -> Json:
        _, secret = self._open(asked)
        tags = secret.tags | {tag["Key"]: tag["Value"] for tag in asked["Tags"]}
        checked_tags(_tags(tags))
        secret.tags = tags
        return {}

    def _untag(self, asked: Json) -> Json:
        _, secret = self._open(asked)
        for key in asked["TagKeys"]:
            secret.tags.pop(key, None)
        return {}

    def _replicate(self, asked: Json) -> Json:
        name, secret = self._open(asked)
        regions = [each["Region"] for each in asked["AddReplicaRegions"]]
        if REGION in regions:
            raise wrong_parameter("A secret is no replica of itself.")
        secret.replicas |= dict.fromkeys(regions, IN_SYNC)
        return {"ARN": arn(name), "ReplicationStatus": _replication(secret)}

    def _delete(self, asked: Json) -> Json:
        name, secret = self._open(asked)
        if secret.replicas:
            raise wrong_parameter("A secret with replicas cannot be deleted.")
        if asked.get("RecoveryWindowInDays", max(RECOVERY_DAYS)) not in RECOVERY_DAYS:
            raise wrong_parameter("RecoveryWindowInDays is between 7 and 30.")
        secret.is_deleted = True
        return {**_identity(name), "DeletionDate": DATE}

    def _list(self, asked: Json) -> Json:
        """List in the order of creation, as AWS does."""
        filters = asked.get("Filters", [])
        check_filters(filters)
        found = [
            name
            for name, secret in self.secrets.items()
            if (not secret.is_deleted or asked.get("IncludePlannedDeletion"))
            and passes(name, filters)
        ]
        page, following = cut_page(found, asked)
        entries = [
            entry(name, self.secrets[name], versions_as="SecretVersionsToStages") for name in page
        ]
        return {"SecretList": entries, **following}


def _created_before(name: str, secret: Secret, asked: Json, value: str | bytes | None) -> Json:
    """Answer a creation that happened already, or refuse another one of the same name."""
    if secret.is_deleted:
        raise wrong_state("A secret of this name is marked for deletion.")
    version_id = asked.get("ClientRequestToken", "")
    if value is None or secret.versions.get(version_id) != value:
        raise already_exists(f"A secret named {name}")
    return {**_identity(name), "VersionId": version_id}


def _value(asked: Json) -> str | bytes | None:
    """Return the value that a call carries, or None; refuse one that is too long."""
    text: str | None = asked.get("SecretString")
    binary: bytes | None = asked.get("SecretBinary")
    if text is not None and binary is not None:
        raise malformed("SecretString and SecretBinary exclude each other.")
    if text is not None:
        check_value(text.encode())
    elif binary is not None:
        check_value(binary)
    return binary if text is None else text


def entry(name: str, secret: Secret, *, versions_as: str) -> Json:
    """Describe a secret; one without stages shows no versions."""
    entry: Json = {
        **_identity(name),
        "Description": secret.description,
        "CreatedDate": DATE,
        "LastChangedDate": DATE,
        "LastAccessedDate": DATE,
        "Tags": _tags(secret.tags),
    }
    if secret.stages:
        entry[versions_as] = secret.staged()
    if secret.is_deleted:
        entry["DeletedDate"] = DATE
    if secret.replicas and versions_as == DESCRIBED:
        entry["ReplicationStatus"] = _replication(secret)
    return entry


def _replication(secret: Secret) -> list[dict[str, str]]:
    return [{"Region": region, "Status": status} for region, status in secret.replicas.items()]


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _stages(secret: Secret, version_id: str) -> list[str]:
    return [stage for stage, at in secret.stages.items() if at == version_id]


def _identity(name: str) -> Json:
    return {"ARN": arn(name), "Name": name}
