"""Secrets Manager in memory as the benchmarks need it: quick, counted, and strict on demand.

The rules are those of `local.secrets_manager`. Here a page of a listing is put together from parts
that are kept written, so that what is measured is the function. It signs as well, as KMS would, by
one signature for all.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from typing_extensions import override

from local.secrets_manager.memory import Secret, SecretsManager, entry
from local.secrets_manager.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OK: Final = 200
BAD_REQUEST: Final = 400
# What AWS's documentation allows a Region in a second.
QUOTA: Final = 50
VERSIONS: Final = frozenset({"PutSecretValue", "UpdateSecretVersionStage"})
TAGGING: Final = frozenset({"TagResource", "UntagResource"})
# What the function gives the secrets that it creates; a listing repeats it.
DESCRIPTION: Final = "Access token kept fresh by Token Refresher; read AWSCURRENT"
# Of the length that a key of RSA_2048 gives.
SIGNED: Final = json.dumps(
    {
        "KeyId": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000",
        "Signature": base64.b64encode(bytes(256)).decode(),
        "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
    }
).encode()


class Write(NamedTuple):
    """A write that was accepted, in the order of acceptance."""

    at: float
    secret_id: str
    stages: tuple[str, ...]


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
            RefusalError: There are none.
        """
        now = self._monotonic()
        while self._accepted and self._accepted[0] <= now - 1:
            self._accepted.popleft()
        if len(self._accepted) >= self._per_second:
            raise RefusalError("ThrottlingException", "Rate exceeded.")
        self._accepted.append(now)


class Region(SecretsManager):
    """The secrets of one Region, and what was asked of them.

    Args:
        monotonic: Gives seconds.

    Attributes:
        calls: By operation, those that were refused included.
        refused: By code.
        writes: Those that were accepted.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic)
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.writes: list[Write] = []
        self._monotonic = monotonic
        self._names: list[str] = []
        self._written: dict[str, bytes] = {}
        self._quotas: dict[str, Quota] = {}

    def enforce(self, per_second: int = QUOTA) -> None:
        """Throttle from now on; ``TagResource`` and ``UntagResource`` have a quota of their own."""
        versions, tagging = (Quota(per_second, self._monotonic) for _ in range(2))
        self._quotas = dict.fromkeys(VERSIONS, versions) | dict.fromkeys(TAGGING, tagging)

    def forget(self) -> None:
        """Count from here."""
        self.calls.clear()
        self.refused.clear()
        self.writes.clear()

    def add(self, secrets: Mapping[str, Secret]) -> None:
        """Put secrets there, as if they always had been."""
        self.secrets |= secrets
        self._names = sorted(self.secrets)

    def answer_request(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Answer one call, as the JSON protocol does: status and content."""
        if operation == "Sign":
            self.calls[operation] += 1
            return OK, SIGNED
        asked: dict[str, Any] = json.loads(body)
        if operation == "ListSecrets":
            self.calls[operation] += 1
            return OK, self._page(asked)
        try:
            return OK, json.dumps(self.answer(operation, asked)).encode()
        except RefusalError as refusal:
            told = {"__type": refusal.code, "message": refusal.message}
            return BAD_REQUEST, json.dumps(told).encode()

    @override
    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.calls[operation] += 1
        if operation == "ListSecrets":
            page: dict[str, Any] = json.loads(self._page(asked))
            return page
        try:
            if operation in self._quotas:
                self._quotas[operation].take()
            answer = super().answer(operation, asked)
        except RefusalError as refusal:
            self.refused[refusal.code] += 1
            raise
        secret_id = asked["SecretId"]
        if operation in VERSIONS:
            stages = tuple(asked.get("VersionStages") or (asked["VersionStage"],))
            self.writes.append(Write(self._monotonic(), secret_id, stages))
        if operation in VERSIONS | TAGGING:
            self._written.pop(secret_id, None)
        # The standard rotation function asks whether its secret is rotated at all.
        return answer | {"RotationEnabled": True} if operation == "DescribeSecret" else answer

    def _page(self, asked: Mapping[str, Any]) -> bytes:
        """Put a page together from what is written already; its token is the last name of it."""
        (filtered,) = asked["Filters"]
        (prefix,) = filtered["Values"]
        start = bisect_right(self._names, asked.get("NextToken", prefix))
        # No name has a character as late as this one.
        end = bisect_right(self._names, prefix + "\x7f")
        names = self._names[start : min(end, start + asked["MaxResults"])]
        entries = b",".join(map(self._entry, names))
        is_last = start + len(names) >= end
        token = b"" if is_last else b',"NextToken":' + json.dumps(names[-1]).encode()
        return b'{"SecretList":[' + entries + b"]" + token + b"}"

    def _entry(self, name: str) -> bytes:
        """Write what a listing tells of a secret, unless it is written already."""
        if name not in self._written:
            told = entry(name, self.secrets[name], versions_as="SecretVersionsToStages")
            self._written[name] = json.dumps(told).encode()
        return self._written[name]
