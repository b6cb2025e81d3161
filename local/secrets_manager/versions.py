"""What AWS documents of versions and staging labels, as rules of one secret.

No clock, no network, no names: a secret here is its versions, when each was made, and where its
stages are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from local.secrets_manager.refusals import (
    already_exists,
    not_found,
    over_the_limit,
    wrong_parameter,
    wrong_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Value = TypeVar("Value")

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MOST_STAGES_OF_ONE_SECRET = 20

DAY_SECONDS = 86_400
# "Secrets Manager removes deprecated versions when there are more than 100", but none that is
# younger than a day.
MOST_VERSIONS_KEPT = 100
# Nobody documents at how many of those it refuses another. At the pace that is documented, one in
# ten minutes, a day has 144; up to six have a stage and may be older: AWSCURRENT, AWSPREVIOUS,
# AWSPENDING, and three of programs. A lower figure would refuse what AWS allows.
MOST_VERSIONS = 150


@dataclass(slots=True)
class Versions(Generic[Value]):
    """The versions of one secret. Each rule changes them or raises, never both.

    Attributes:
        versions: The value by version id. A version stays when its last stage has left it; None
            is one that a rotation made, which waits for its value.
        stages: The version id that each stage is on.
        made_at: Epoch seconds, by version id; one that is not here is as old as can be.
    """

    versions: dict[str, Value | None] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    made_at: dict[str, float] = field(default_factory=dict, kw_only=True)

    def put(
        self, version_id: str, value: Value, stages: Iterable[str], *, now: float = 0
    ) -> list[str]:
        """Store a value under an id that the caller chose, and return the stages that moved.

        A version is immutable. The same value under a used id changes nothing, not even stages,
        so a retried call is harmless; another value is refused. That is what lets one writer of
        many win. The first value of a secret becomes current whatever stages are asked for.

        Args:
            version_id: The caller's.
            value: What it is to hold.
            stages: What it is to be found by.
            now: Epoch seconds. A scene that is laid out has its versions from long ago.

        Raises:
            RefusalError: The id holds another value, or there would be too many stages or
                versions.
        """
        existing = self.versions.get(version_id)
        if existing is not None:
            if existing == value:
                return []
            raise already_exists(f"Version {version_id} with another value")
        wanted = list(dict.fromkeys(stages))
        if CURRENT not in self.stages and CURRENT not in wanted:
            wanted.append(CURRENT)
        if len(self.stages) + len(wanted) > MOST_STAGES_OF_ONE_SECRET:
            self._refuse_too_many_stages(wanted)
        if len(self.versions) >= MOST_VERSIONS_KEPT and version_id not in self.versions:
            self._make_room(now)
        self.versions[version_id] = value
        self.made_at[version_id] = now
        for stage in wanted:
            self.attach(stage, version_id)
        return wanted

    def move(self, stage: str, *, to: str | None, away_from: str | None) -> list[str]:
        """Move or remove one stage, and return the stages that moved.

        This is the API's only compare-and-swap: a stage leaves a version only if the caller names
        that version, so a caller that acts on stale knowledge is refused.

        Raises:
            RefusalError: A version is missing, the stage is not where the caller believes it is,
                or ``AWSCURRENT`` would be on no version.
        """
        if to is None and away_from is None:
            raise wrong_parameter("MoveToVersionId or RemoveFromVersionId is required.")
        for version_id in (to, away_from):
            if version_id is not None and version_id not in self.versions:
                raise not_found(f"Version {version_id}")
        holder = self.stages.get(stage)
        if away_from is not None and holder != away_from:
            raise wrong_parameter(f"RemoveFromVersionId: {stage} is not on version {away_from}.")
        if to is None:
            if stage == CURRENT:
                raise wrong_parameter(f"{CURRENT} can be moved to another version, not removed.")
            del self.stages[stage]
            return []
        if holder not in (None, to, away_from):
            raise wrong_parameter(f"RemoveFromVersionId must name version {holder}, with {stage}.")
        self._refuse_too_many_stages([stage])
        self.attach(stage, to)
        return [stage]

    def attach(self, stage: str, version_id: str) -> None:
        """Put a stage on one version and take it from any other.

        The version that ``AWSCURRENT`` leaves becomes ``AWSPREVIOUS``.
        """
        holder = self.stages.get(stage)
        if stage == CURRENT and holder not in (None, version_id):
            self.stages[PREVIOUS] = holder
        self.stages[stage] = version_id

    def staged(self) -> dict[str, list[str]]:
        """Return the versions that have stages: what listings and descriptions show."""
        staged: dict[str, list[str]] = {}
        for stage, version_id in self.stages.items():
            staged.setdefault(version_id, []).append(stage)
        return staged

    def find(self, version_id: str | None, stage: str | None) -> tuple[str, Value]:
        """Return one version's id and value: by id, by stage, or by both if they agree.

        Raises:
            RefusalError: There is none, it waits for its value, or the two disagree.
        """
        found = self.stages.get(stage or CURRENT) if version_id is None else version_id
        value = None if found is None else self.versions.get(found)
        if found is None or value is None:
            raise not_found(f"A version with stage {stage or CURRENT} or the id asked for")
        if stage is not None and self.stages.get(stage) != found:
            raise wrong_state("VersionStage and VersionId name different versions.")
        return found, value

    def _make_room(self, now: float) -> None:
        """Forget the oldest versions above the hundredth, but none with a stage or of this day.

        A person cannot remove a version: what was written too fast goes by getting old alone.
        """
        staged = set(self.stages.values())
        old = [
            version_id
            for version_id in self.versions
            if version_id not in staged and self.made_at.get(version_id, 0) <= now - DAY_SECONDS
        ]
        if len(self.versions) - len(old) >= MOST_VERSIONS:
            raise over_the_limit(
                f"A secret has at most {MOST_VERSIONS} versions with a stage, or of one day."
            )
        old.sort(key=lambda version_id: self.made_at.get(version_id, 0))
        for version_id in old[: len(self.versions) + 1 - MOST_VERSIONS_KEPT]:
            del self.versions[version_id]
            self.made_at.pop(version_id, None)

    def _refuse_too_many_stages(self, more: Iterable[str]) -> None:
        """Refuse the twenty-first stage. The limit counts all versions of a secret together."""
        more = [stage for stage in more if stage not in self.stages]
        if len(self.stages) + len(more) > MOST_STAGES_OF_ONE_SECRET:
            raise over_the_limit(
                f"A secret has at most {MOST_STAGES_OF_ONE_SECRET} staging labels."
            )
