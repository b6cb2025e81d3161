"""What AWS documents of versions and staging labels, as functions of one secret.

No clock, no network and nothing of ministack: a secret is ministack's own dictionary, described
here by its type. Each function changes the secret or raises, never both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from local.emulator.refusals import already_exists, not_found, over_the_limit, wrong_parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MOST_STAGES_OF_ONE_SECRET = 20


class Value(TypedDict):
    """What one version holds: a string or base64 text, never both."""

    SecretString: str | None
    SecretBinary: str | None


class Version(Value):
    """A stored version. It stays when its last stage has left it."""

    CreatedDate: int
    Stages: list[str]


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
    ReplicationStatus: list[dict[str, str]]
    LastAccessedDate: NotRequired[int | None]


def add_version(
    secret: Secret, version_id: str, value: Value, stages: Iterable[str], *, now: int
) -> list[str]:
    """Store a value under an id that the caller chose, and return the stages that moved.

    A version is immutable. The same value under a used id changes nothing, not even stages, so a
    retried call is harmless; another value is refused. That is what lets one writer of many win.

    The first value of a secret becomes current whatever stages are asked for. A version that a
    rotation made is empty, and waits for its value.

    Raises:
        RefusalError: The id holds another value, or there would be too many stages.
    """
    versions = secret["Versions"]
    existing = versions.get(version_id)
    if existing is not None and not is_empty(existing):
        if holds(existing, value):
            return []
        raise already_exists(f"Version {version_id} with another value")
    wanted = list(dict.fromkeys(stages))
    if all(map(is_empty, versions.values())) and CURRENT not in wanted:
        wanted.append(CURRENT)
    _refuse_too_many_stages(secret, wanted)
    before = existing["Stages"] if existing is not None else []
    versions[version_id] = {**value, "CreatedDate": now, "Stages": before}
    for stage in wanted:
        attach(secret, stage, version_id)
    secret["LastChangedDate"] = now
    return wanted


def add_empty_version(secret: Secret, version_id: str, stage: str, *, now: int) -> None:
    """Make a version without a value, and put a stage on it: how a rotation begins."""
    empty: Version = {"SecretString": None, "SecretBinary": None, "CreatedDate": now, "Stages": []}
    secret["Versions"].setdefault(version_id, empty)
    attach(secret, stage, version_id)


def move_stage(
    secret: Secret, stage: str, *, to: str | None, away_from: str | None, now: int
) -> list[str]:
    """Move or remove one stage, and return the stages that moved.

    This is the API's only compare-and-swap: a stage leaves a version only if the caller names
    that version, so a caller that acts on stale knowledge is refused.

    Raises:
        RefusalError: A version is missing, the stage is not where the caller believes it is,
            or ``AWSCURRENT`` would be on no version.
    """
    versions = secret["Versions"]
    if to is None and away_from is None:
        raise wrong_parameter("MoveToVersionId or RemoveFromVersionId is required.")
    for version_id in (to, away_from):
        if version_id is not None and version_id not in versions:
            raise not_found(f"Version {version_id}")
    holder = version_with(secret, stage)
    if away_from is not None and holder != away_from:
        raise wrong_parameter(f"RemoveFromVersionId: {stage} is not on version {away_from}.")
    if to is None:
        if stage == CURRENT:
            raise wrong_parameter(f"{CURRENT} can be moved to another version, not removed.")
        versions[str(away_from)]["Stages"].remove(stage)
    else:
        if holder not in (None, to, away_from):
            raise wrong_parameter(
                f"RemoveFromVersionId must name version {holder}, which has {stage}."
            )
        _refuse_too_many_stages(secret, [stage])
        attach(secret, stage, to)
    secret["LastChangedDate"] = now
    return [] if to is None else [stage]


def attach(secret: Secret, stage: str, version_id: str) -> None:
    """Put a stage on one version and take it from any other.

    The version that ``AWSCURRENT`` leaves becomes ``AWSPREVIOUS``.
    """
    holder = version_with(secret, stage)
    if holder == version_id:
        return
    versions = secret["Versions"]
    if holder is not None:
        versions[holder]["Stages"].remove(stage)
        if stage == CURRENT:
            attach(secret, PREVIOUS, holder)
    versions[version_id]["Stages"].append(stage)


def version_with(secret: Secret, stage: str) -> str | None:
    """Return the id of the version that has a stage, or None."""
    for version_id, version in secret["Versions"].items():
        if stage in version["Stages"]:
            return version_id
    return None


def staged(secret: Secret) -> dict[str, list[str]]:
    """Return the versions that have stages: what listings and descriptions show."""
    return {
        version_id: list(version["Stages"])
        for version_id, version in secret["Versions"].items()
        if version["Stages"]
    }


def is_empty(version: Version) -> bool:
    """Tell whether a version still waits for its value."""
    return version["SecretString"] is None and version["SecretBinary"] is None


def holds(version: Version, value: Value) -> bool:
    """Tell whether a version holds exactly this value."""
    return (
        version["SecretString"] == value["SecretString"]
        and version["SecretBinary"] == value["SecretBinary"]
    )


def _refuse_too_many_stages(secret: Secret, more: Iterable[str]) -> None:
    """Refuse the twenty-first stage. The limit counts all versions of a secret together."""
    stages = {stage for version in secret["Versions"].values() for stage in version["Stages"]}
    if len(stages.union(more)) > MOST_STAGES_OF_ONE_SECRET:
        raise over_the_limit(f"A secret has at most {MOST_STAGES_OF_ONE_SECRET} staging labels.")
