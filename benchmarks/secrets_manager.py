"""Secrets Manager as the benchmarks need it: quick, counted, late and strict on demand.

It keeps AWS's rules of versions and stages as far as the program uses them, and answers what
AWS answers; the tests of the program run against the embedded cloud instead, which knows all of
the rules, and takes 20 ms for a page of a listing. Here a page is put together from parts that
are kept written, so that what is measured is the function.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK: Final = 200
BAD_REQUEST: Final = 400
# What AWS's documentation allows a Region in a second.
QUOTA: Final = 50
WRITES: Final = frozenset({"PutSecretValue", "UpdateSecretVersionStage", "UpdateSecret"})
TAGGING: Final = frozenset({"TagResource", "UntagResource"})
CREATED: Final = 1795528800
# What the function gives the secrets that it creates; a listing repeats it.
DESCRIPTION: Final = "Access token kept fresh by Token Refresher; read AWSCURRENT"


class RefusedError(Exception):
    """An error that AWS answers with; its text is the code."""


class Write(NamedTuple):
    """A write that was accepted, in the order of acceptance."""

    moment: float
    secret_id: str
    version_id: str
    stages: tuple[str, ...]


@dataclass(slots=True)
class Secret:
    """One secret.

    Attributes:
        name: As in ``SecretId``.
        described: Its description in a listing.
        versions: Content by version id.
        stages: The version id that each stage sits on.
        tags: By key.
        written: Its entry in a listing, until something changes.
    """

    name: str
    described: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    written: bytes | None = None

    @property
    def arn(self) -> str:
        """Its full name."""
        return f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{self.name}-AbCdEf"

    def entry(self) -> bytes:
        """Write what a listing tells of it."""
        if self.written is None:
            self.written = json.dumps(
                {**self.told(), "SecretVersionsToStages": self.staged()}
            ).encode()
        return self.written

    def told(self) -> dict[str, Any]:
        """Tell what a listing and a description have in common."""
        return {
            "ARN": self.arn,
            "Name": self.name,
            "Description": self.described,
            "CreatedDate": CREATED,
            "LastChangedDate": CREATED + 0.5,
            "LastAccessedDate": CREATED,
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }

    def staged(self) -> dict[str, list[str]]:
        """Tell the versions that carry a stage, with their stages."""
        staged: dict[str, list[str]] = {}
        for stage, version_id in self.stages.items():
            staged.setdefault(version_id, []).append(stage)
        return staged

    def put(self, version_id: str, content: str, stages: tuple[str, ...]) -> None:
        """Add a version; ``AWSPREVIOUS`` follows ``AWSCURRENT``.

        Raises:
            RefusedError: The id has other content.
        """
        if self.versions.setdefault(version_id, content) != content:
            raise RefusedError("ResourceExistsException")
        current = self.stages.get("AWSCURRENT")
        for stage in stages:
            if stage == "AWSCURRENT" and current not in {None, version_id}:
                self.stages["AWSPREVIOUS"] = str(current)
            self.stages[stage] = version_id
        self.written = None


class Quota:
    """So many calls in any second, however that second is laid; what is more is throttled.

    Stricter than AWS, whose buckets let a burst pass.

    Args:
        per_second: How many.
        monotonic: Gives seconds.
    """

    def __init__(self, per_second: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._accepted: deque[float] = deque()

    def take(self) -> None:
        """Take one.

        Raises:
            RefusedError: There are none.
        """
        now = self._monotonic()
        while self._accepted and self._accepted[0] <= now - 1:
            self._accepted.popleft()
        if len(self._accepted) >= self._per_second:
            raise RefusedError("ThrottlingException")
        self._accepted.append(now)


@dataclass(slots=True)
class SecretsManager:
    """The secrets of one Region, and what was asked of them.

    Attributes:
        monotonic: Gives seconds.
        calls: By operation, those that were refused included.
        refused: By code.
        writes: Those that were accepted.
        secrets: By name.
    """

    monotonic: Callable[[], float]
    calls: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    writes: list[Write] = field(default_factory=list)
    secrets: dict[str, Secret] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _quotas: dict[str, Quota] = field(default_factory=dict)

    def enforce(self, per_second: int = QUOTA) -> None:
        """Throttle from now on; ``TagResource`` and ``UntagResource`` have a quota of their own."""
        writes, tagging = (Quota(per_second, self.monotonic) for _ in range(2))
        self._quotas = dict.fromkeys(WRITES, writes) | dict.fromkeys(TAGGING, tagging)

    def forget(self) -> None:
        """Count from here."""
        self.calls.clear()
        self.refused.clear()
        self.writes.clear()

    def add(self, secrets: list[Secret]) -> None:
        """Put secrets there, as if they always had been."""
        self.secrets |= {secret.name: secret for secret in secrets}
        self._names = sorted(self.secrets)

    def answer(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Answer one call, as the JSON protocol does: status and content."""
        self.calls[operation] += 1
        asked: dict[str, Any] = json.loads(body)
        try:
            if operation in self._quotas:
                self._quotas[operation].take()
            if operation == "ListSecrets":
                return OK, self._list(asked)
            return OK, json.dumps(self._operate(operation, asked)).encode()
        except RefusedError as error:
            self.refused[str(error)] += 1
            return BAD_REQUEST, json.dumps({"__type": str(error), "message": "Refused"}).encode()

    def _list(self, asked: Mapping[str, Any]) -> bytes:
        """Put a page together from what is written already; its token is the last name of it."""
        (filtered,) = asked["Filters"]
        (prefix,) = filtered["Values"]
        start = bisect_right(self._names, asked.get("NextToken", prefix))
        # No name has a character as late as this one.
        end = bisect_right(self._names, prefix + "\x7f")
        names = self._names[start : min(end, start + asked["MaxResults"])]
        entries = b",".join(self.secrets[name].entry() for name in names)
        is_last = start + len(names) >= end
        token = b"" if is_last else b',"NextToken":' + json.dumps(names[-1]).encode()
        return b'{"SecretList":[' + entries + b"]" + token + b"}"

    def _operate(self, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        secret = self.secrets.get(asked["SecretId"])
        if secret is None:
            raise RefusedError("ResourceNotFoundException")
        operate = {
            "DescribeSecret": self._describe,
            "GetSecretValue": self._get,
            "PutSecretValue": self._put,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "UpdateSecretVersionStage": self._move,
        }
        return operate[operation](secret, asked)

    def _describe(self, secret: Secret, _asked: Mapping[str, Any]) -> dict[str, Any]:
        return {**secret.told(), "RotationEnabled": True, "VersionIdsToStages": secret.staged()}

    def _tag(self, secret: Secret, asked: Mapping[str, Any]) -> dict[str, Any]:
        secret.tags |= {tag["Key"]: tag["Value"] for tag in asked["Tags"]}
        secret.written = None
        return {}

    def _untag(self, secret: Secret, asked: Mapping[str, Any]) -> dict[str, Any]:
        for key in asked["TagKeys"]:
            secret.tags.pop(key, None)
        secret.written = None
        return {}

    def _get(self, secret: Secret, asked: Mapping[str, Any]) -> dict[str, Any]:
        staged = secret.stages.get(asked.get("VersionStage", "AWSCURRENT"))
        version_id = asked.get("VersionId", staged)
        if version_id not in secret.versions or ("VersionStage" in asked and version_id != staged):
            raise RefusedError("ResourceNotFoundException")
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": version_id,
            "SecretString": secret.versions[version_id],
            "VersionStages": secret.staged().get(version_id, []),
            "CreatedDate": CREATED,
        }

    def _put(self, secret: Secret, asked: Mapping[str, Any]) -> dict[str, Any]:
        version_id, stages = asked["ClientRequestToken"], tuple(asked["VersionStages"])
        secret.put(version_id, asked["SecretString"], stages)
        self.writes.append(Write(self.monotonic(), secret.name, version_id, stages))
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": version_id,
            "VersionStages": list(stages),
        }

    def _move(self, secret: Secret, asked: Mapping[str, Any]) -> dict[str, Any]:
        stage, to = asked["VersionStage"], asked["MoveToVersionId"]
        if secret.stages.get(stage) != asked.get("RemoveFromVersionId"):
            raise RefusedError("InvalidParameterException")
        secret.put(to, secret.versions[to], (stage,))
        self.writes.append(Write(self.monotonic(), secret.name, to, (stage,)))
        return {"ARN": secret.arn, "Name": secret.name}
