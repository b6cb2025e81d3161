"""Secrets Manager as runs that overlap meet it: writes are atomic, and any read may be stale.

The rules are those of the local Secrets Manager, and the program's own store stands before it;
what is added is time, lag and failures on both sides of an effect.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from typing_extensions import override

from local.secrets_manager.client import MemoryClient
from local.secrets_manager.memory import Secret, SecretsManager
from local.secrets_manager.refusals import RefusalError
from local.secrets_manager.versions import CURRENT
from tests.resilience.interleavings.judgement import Broken
from tests.resilience.interleavings.server import LONGEST_LAG
from tests.unit.fakes import metadata_of
from token_refresher.aws.secret_store import Pace, SecretsManagerStore

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from tests.resilience.interleavings.plays import Environment, Play
    from token_refresher.ports import SecretMetadata

PREFIX: Final = "oauth"
# 144 writes, one in ten minutes, span ten minutes less than a day. Of a longer window the edge
# could cut between the two writes of a refresh, and count one more at the same pace.
DAY: Final = 85_800.0
MOST_VERSIONS: Final = 144
READS: Final = frozenset({"DescribeSecret", "GetSecretValue"})
# Every secret of a play holds it.
MARK: Final = "made-up"
REFUSALS: Final = ("ThrottlingException", "InternalServiceError", "AccessDeniedException")


class Region:
    """The secrets of a play, and what they were in the last five minutes."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._now = SecretsManager(lambda: play.time.now)
        self._past = SecretsManager(lambda: play.time.now)
        self._history: dict[str, list[tuple[float, Secret]]] = defaultdict(list)
        self._written: dict[str, deque[float]] = defaultdict(deque)
        self._refused_until = 0.0

    def answer(self, env: Environment, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a call of the program."""
        call, begun_at = _call(operation, asked), self._play.time.now
        if call.startswith("PutSecretValue credentials ['TOKENREQUEST']"):
            env.run.leased_at = begun_at
        env.give_way(call)
        fault = self._fault(env, call)
        env.run.is_hindered |= bool(fault)
        if fault == "before":
            raise self._refusal(env, call)
        if operation in READS:
            answer = self._read(operation, asked)
            if call.startswith("DescribeSecret tokens"):
                env.run.described_at = self._play.time.now
        elif fault == "late":
            # The client has given up when it has its effect.
            self._play.time.at(
                self._play.time.now + self._play.random.uniform(1, 30),
                lambda: self._late(env, operation, asked, begun_at),
            )
            env.wait(self._play.random.uniform(3, 15))
            raise self._refusal(env, call)
        else:
            if fault == "slow":
                env.wait(self._play.random.uniform(1, 15))
            answer = self._write(env, operation, asked, begun_at)
        env.give_way(f"after {call}")
        if fault == "after":
            raise self._refusal(env, call)
        if isinstance(answer, RefusalError):
            env.tell(f"{call}: {answer.code}")
            raise answer
        return answer

    def _fault(self, env: Environment, call: str) -> str:
        random, setting, now = self._play.random, self._play.setting, self._play.time.now
        if setting.no_journal is not None and call.startswith("PutSecretValue credentials"):
            begins, length = setting.no_journal
            if not self._refused_until and now >= begins and "TOKENRESPONSE" in call:
                self._refused_until = now + length
                self._play.react()
            if now < self._refused_until:
                return "before"
        if not env.is_disturbed or random.random() >= setting.store_faults:
            return ""
        return random.choice(("before", "after", "late", "slow"))

    def _refusal(self, env: Environment, call: str) -> RefusalError:
        code = self._play.random.choice(REFUSALS)
        env.tell(f"{call} fails: {code}")
        return RefusalError(code, "as drawn")

    def _read(self, operation: str, asked: dict[str, Any]) -> dict[str, Any] | RefusalError:
        name = asked["SecretId"]
        seen = self._seen(name)
        self._past.secrets = {} if seen is None else {name: seen}
        try:
            return self._past.answer(operation, asked)
        except RefusalError as refusal:
            return refusal

    def _seen(self, name: str) -> Secret | None:
        """What a read sees: what is so, or what was at most five minutes ago."""
        secret, random, now = self._now.secrets.get(name), self._play.random, self._play.time.now
        calm_from, stale = self._play.setting.calm_from, self._play.setting.stale
        is_calm = 0 < calm_from <= now
        if not stale or is_calm or secret is None or random.random() >= stale:
            return secret
        history = self._history[name]
        while len(history) > 1 and history[1][0] <= now - LONGEST_LAG:
            del history[0]
        since, seen = random.choice(history)
        if since == history[0][0] and since > now - LONGEST_LAG and random.random() < 1 / 2:
            return None
        if seen.stages != secret.stages or seen.tags != secret.tags:
            self._play.tell(f"  stale: {name} as of {since:.0f}")
        return seen

    def _late(
        self, env: Environment, operation: str, asked: dict[str, Any], begun_at: float
    ) -> None:
        self._play.tell("  a write that was given up has its effect")
        self._write(env, operation, asked, begun_at)

    def _write(
        self, env: Environment, operation: str, asked: dict[str, Any], begun_at: float
    ) -> dict[str, Any] | RefusalError:
        name = asked.get("SecretId") or asked["Name"]
        before = self._now.secrets.get(name, Secret())
        version_id = asked.get("ClientRequestToken", "")
        is_new = operation == "PutSecretValue" and version_id not in before.versions
        current = before.stages.get(CURRENT, "")
        old = current, str(before.versions.get(current, ""))
        try:
            answer = self._now.answer(operation, asked)
        except RefusalError as refusal:
            return refusal
        self._play.tell(f"{_call(operation, asked)} takes effect", env.run)
        self._remember(name)
        if is_new:
            self._count(name)
            content = asked["SecretString"]
            if version_id.startswith("request-"):
                self._play.leased(env.run)
            if "/credentials/" in name:
                self._play.server.kept(json.loads(content).get("refresh_token"))
            else:
                self._play.server.published(env.run, (version_id, content), old, begun_at)
        if operation == "TagResource" and MARK in json.dumps(asked["Tags"]):
            self._play.broken(Broken.SECRET_TOLD, name)
        return answer

    def _remember(self, name: str) -> None:
        secret, history = self._now.secrets[name], self._history[name]
        now = self._play.time.now
        while len(history) > 1 and history[1][0] <= now - LONGEST_LAG:
            del history[0]
        history.append((now, Secret(dict(secret.versions), dict(secret.stages), dict(secret.tags))))

    def _count(self, name: str) -> None:
        now, written = self._play.time.now, self._written[name]
        written.append(now)
        while written[0] <= now - DAY:
            written.popleft()
        path = name.split("/")[1]
        most = self._play.judgement.most_versions
        most[path] = max(most[path], len(written))
        if len(written) == MOST_VERSIONS + 1:
            self._play.broken(Broken.VERSIONS, path)

    # What people do.

    def put(self, name: str, text: str, version_id: str) -> None:
        """Write a secret's current value; a person who is refused has changed nothing."""
        secret = self._now.secrets.setdefault(name, Secret())
        with suppress(RefusalError):
            secret.put(version_id, text, [CURRENT], now=self._play.time.now)
            # It takes none of the room by which the program's pace is judged. A play begins at 0,
            # of which its first day is less than a day ago.
            secret.made_at[version_id] = -math.inf
        self._remember(name)

    def secret(self, name: str) -> Secret | None:
        """What is so."""
        return self._now.secrets.get(name)

    def tag(self, name: str, tags: dict[str, str]) -> None:
        """Replace a secret's tags."""
        if (secret := self.secret(name)) is not None:
            secret.tags = dict(tags)
            self._remember(name)

    def move_current(self, name: str, *, to: str) -> None:
        """Let another version be the current one."""
        secret = self.secret(name)
        if secret is not None and to in secret.stages:
            with suppress(RefusalError):
                at = secret.stages[CURRENT]
                secret.move(CURRENT, to=secret.stages[to], away_from=at)
            self._remember(name)

    def seen_by_list(self) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        """What one listing tells of both paths."""
        found: dict[str, dict[str, SecretMetadata]] = {"credentials": {}, "tokens": {}}
        for name in self._now.secrets:
            seen = self._seen(name)
            if seen is not None:
                _, path, account = name.split("/")
                found[path][account] = metadata_of(seen)
        return found["credentials"], found["tokens"]


class Store(SecretsManagerStore):
    """The program's own store, in one environment."""

    def __init__(self, env: Environment, region: Region) -> None:
        self._env, self._region = env, region
        client = MemoryClient(lambda operation, asked: region.answer(env, operation, asked))
        super().__init__(
            cast("SecretsManagerClient", client),
            prefix=PREFIX,
            kms_key_id="",
            pace=Pace(monotonic=lambda: 0.0, sleep=lambda _: None, per_second=math.inf),
        )

    @override
    def list_secrets(
        self, *, with_deleted: bool = False
    ) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        """List without pages and threads."""
        self._env.give_way("list")
        listed = self._region.seen_by_list()
        self._env.give_way("after list")
        return listed


def _call(operation: str, asked: dict[str, Any]) -> str:
    """Name a call as a person reads it in a sequence."""
    path = (asked.get("SecretId") or asked["Name"]).split("/")[1]
    which = asked.get("VersionStages") or asked.get("VersionStage") or asked.get("VersionId", "")
    more = asked.get("ClientRequestToken", "")
    tags = {tag["Key"].split(":")[-1]: tag["Value"] for tag in asked.get("Tags", [])}
    return f"{operation} {path} {which} {more} {tags or asked.get('TagKeys', '')}".strip(" ")
