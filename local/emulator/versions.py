"""The rules of versions and stages, applied to ministack's record of a secret.

The rules are those of `local.secrets_manager`; ministack's dictionary is described here by its
type. Each function changes the secret or raises, never both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict

from local.secrets_manager.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterable

Content: TypeAlias = tuple[str | None, str | None]

_EMPTY: Content = (None, None)


class Value(TypedDict):
    """What one version holds: a string or base64 text, never both."""

    SecretString: str | None
    SecretBinary: str | None


class Version(Value):
    """A stored version. It stays when its last stage has left it, and so does its key."""

    CreatedDate: int
    Stages: list[str]
    KmsKeyId: NotRequired[str | None]


class Secret(TypedDict):
    """The part of ministack's record of a secret that is used here."""

    ARN: str
    Name: str
    Description: str
    KmsKeyId: NotRequired[str | None]
    Tags: list[dict[str, str]]
    CreatedDate: int
    Versions: dict[str, Version]
    LastChangedDate: int
    DeletedDate: int | None
    RotationLambdaARN: str | None
    RotationEnabled: NotRequired[bool]
    RotationRules: NotRequired[dict[str, object] | None]
    LastRotatedDate: NotRequired[int]
    LastAccessedDate: NotRequired[int | None]
    ReplicationStatus: NotRequired[list[dict[str, str]]]


def add_version(
    secret: Secret, version_id: str, value: Value, stages: Iterable[str], *, now: int
) -> list[str]:
    """Store a value under an id that the caller chose, and return the stages that moved.

    Raises:
        RefusalError: As `Versions.put`.
    """
    held = versions_of(secret)
    moved = held.put(version_id, _content(value), stages, now=now)
    if moved:
        for gone in secret["Versions"].keys() - held.versions.keys():
            del secret["Versions"][gone]
        added: Version = {
            "SecretString": value["SecretString"],
            "SecretBinary": value["SecretBinary"],
            "CreatedDate": now,
            "Stages": [],
            "KmsKeyId": secret.get("KmsKeyId"),
        }
        secret["Versions"][version_id] = added
        _keep_stages(secret, held, now=now)
    return moved


def add_empty_version(secret: Secret, version_id: str, stage: str, *, now: int) -> None:
    """Make a version without a value, and put a stage on it: how a rotation begins."""
    empty: Version = {"SecretString": None, "SecretBinary": None, "CreatedDate": now, "Stages": []}
    secret["Versions"].setdefault(version_id, empty)
    held = versions_of(secret)
    held.attach(stage, version_id)
    _keep_stages(secret, held, now=secret["LastChangedDate"])


def move_stage(
    secret: Secret, stage: str, *, to: str | None, away_from: str | None, now: int
) -> list[str]:
    """Move or remove one stage, and return the stages that moved.

    Raises:
        RefusalError: As `Versions.move`.
    """
    held = versions_of(secret)
    moved = held.move(stage, to=to, away_from=away_from)
    _keep_stages(secret, held, now=now)
    return moved


def versions_of(secret: Secret) -> Versions[Content]:
    """Return what the rules see of a secret: a copy."""
    held: Versions[Content] = Versions()
    for version_id, version in secret["Versions"].items():
        content = _content(version)
        held.versions[version_id] = None if content == _EMPTY else content
        held.stages |= dict.fromkeys(version["Stages"], version_id)
        held.made_at[version_id] = version["CreatedDate"]
    return held


def version_with(secret: Secret, stage: str) -> str | None:
    """Return the id of the version that has a stage, or None."""
    return versions_of(secret).stages.get(stage)


def holds(version: Version, value: Value) -> bool:
    """Tell whether a version holds exactly this value."""
    return _content(version) == _content(value)


def _content(value: Value) -> Content:
    return value["SecretString"], value["SecretBinary"]


def _keep_stages(secret: Secret, held: Versions[Content], *, now: int) -> None:
    """Write down where the stages are now."""
    staged = held.staged()
    for version_id, version in secret["Versions"].items():
        version["Stages"] = staged.get(version_id, [])
    secret["LastChangedDate"] = now
