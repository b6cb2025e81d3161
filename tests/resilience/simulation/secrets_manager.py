"""Secrets Manager as a fleet meets it: the rules of versions and stages, on virtual time.

It is what the program's `SecretStore` protocol asks for, with lag of listings, limits and latency.
A write has its effect when its response arrives, and every read but a listing sees it from then on.
No client stands between, since a year has millions of calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from local.secrets_manager.memory import Secret
from local.secrets_manager.refusals import RefusalError
from token_refresher.ports import (
    CURRENT,
    JOURNAL_STAGE,
    LEASE_STAGE,
    SecretMetadata,
    SecretValue,
    is_lease_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.resilience.simulation.load import Load
    from tests.resilience.simulation.timelines import Timelines

# What a call takes from Lambda in the same Region.
CALL_SECONDS: Final = 0.02
# The processor's time for each account that is listed, at 512 MB: docs/deployment.md.
LISTED_SECONDS: Final = 0.0004
PAGE: Final = 100
LONGEST_LAG_SECONDS: Final = 300
# One in ten minutes, which is what AWS asks for.
MOST_VERSIONS_A_DAY: Final = 144
DAY_SECONDS: Final = 86_400
# 144 writes, one in ten minutes, span ten minutes less than a day. Of a longer window the edge
# could cut between the two writes of a refresh, and count one more at the same pace.
SLACK_SECONDS: Final = 600
# Memory is what a large fleet is short of. Those with a stage are remembered, and the latest
# others: a lease is read by its id, and put again by a listing that is out of date.
MOST_REMEMBERED: Final = 10
LATEST_REMEMBERED: Final = 4


@dataclass(slots=True)
class SimulatedSecret(Secret):
    """One secret, and what listings that lag may still tell of it.

    Attributes:
        metadata: What a description tells now.
        history: What it told before, each until the second that is named, oldest first.
        written: When each version of the last day was written.
    """

    metadata: SecretMetadata = field(default_factory=SecretMetadata)
    history: list[tuple[float, SecretMetadata]] = field(default_factory=list)
    written: list[float] = field(default_factory=list)

    def count_version(self, *, at: float) -> int:
        """Count a version that the program wrote; tell how many it has written within a day."""
        while self.written and self.written[0] <= at - DAY_SECONDS + SLACK_SECONDS:
            del self.written[0]
        self.written.append(at)
        return len(self.written)

    def changed(self, *, at: float) -> None:
        """Let descriptions tell what is so now, and listings when they catch up.

        Older versions without a stage are not asked for again.
        """
        while self.history and self.history[0][0] <= at - LONGEST_LAG_SECONDS:
            del self.history[0]
        self.history.append((at, self.metadata))
        self.metadata = SecretMetadata(dict(self.stages), dict(self.tags))
        if len(self.versions) > MOST_REMEMBERED:
            kept = {*self.stages.values(), *list(self.versions)[-LATEST_REMEMBERED:]}
            self.versions = {each: text for each, text in self.versions.items() if each in kept}
            self.made_at = {each: at for each, at in self.made_at.items() if each in kept}

    def metadata_at(self, seconds: float) -> SecretMetadata:
        """Tell what a description told then, at most five minutes ago."""
        for until, metadata in self.history:
            if seconds < until:
                return metadata
        return self.metadata


@dataclass(slots=True)
class Pair:
    """The two secrets of an account."""

    credentials: SimulatedSecret = field(default_factory=SimulatedSecret)
    token: SimulatedSecret = field(default_factory=SimulatedSecret)


class SimulatedSecretStore:
    """The secrets of a fleet.

    Args:
        time: The virtual time.
        load: Counts the calls.
        published: Is told of every publish: the account, the token and when it is readable.

    Attributes:
        pairs: By account.
        listed: The accounts that the next listing names. Those left out must be fresh, or
            held back, by all that a listing may tell of them: the caller answers for that.
        as_of: The second that the next listing tells of.
        touched: The accounts that were written to since the listing.
        most_versions: Of one credentials secret, and of one token secret, that the program wrote
            within a day.
    """

    def __init__(
        self, time: Timelines, load: Load, published: Callable[[str, str, float], None]
    ) -> None:
        self.pairs: dict[str, Pair] = {}
        self.listed: Iterable[str] = ()
        self.as_of = 0.0
        self.touched: set[str] = set()
        self.most_versions = {"credentials": 0, "token": 0}
        self._time = time
        self._load = load
        self._published = published
        self._at_work: set[str] = set()

    def list_secrets(self) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        """List both paths at once, page after page; every account takes its time."""
        pages = -(-len(self.pairs) // PAGE)
        self._load.reads += 2 * pages
        self._time.wait(max(pages * CALL_SECONDS, len(self.pairs) * LISTED_SECONDS))
        self._time.start_workers()
        self._at_work.clear()
        self.touched.clear()
        pairs = [(name, self.pairs[name]) for name in self.listed]
        return (
            {name: pair.credentials.metadata_at(self.as_of) for name, pair in pairs},
            {name: pair.token.metadata_at(self.as_of) for name, pair in pairs},
        )

    def describe_credentials(self, account: str) -> SecretMetadata:
        """Tell the credentials secret; no sweep of all accounts asks for it."""
        return self._read(self.pairs[account].credentials).metadata

    def describe_token(self, account: str) -> SecretMetadata:
        """Tell the token secret; the first thing that a worker does for an account."""
        if account not in self._at_work:
            self._at_work.add(account)
            self._time.begin_account()
        return self._read(self.pairs[account].token).metadata

    def read_credentials(self, account: str) -> SecretValue | None:
        """Read what is current."""
        return self._value(self.pairs[account].credentials, stage=CURRENT)

    def read_journal(self, account: str) -> SecretValue | None:
        """Read the journaled response."""
        return self._value(self.pairs[account].credentials, stage=JOURNAL_STAGE)

    def read_version(self, account: str, lease_id: str) -> SecretValue | None:
        """Read a lease by its id."""
        return self._value(self.pairs[account].credentials, version_id=lease_id)

    def read_published(self, account: str) -> SecretValue | None:
        """Read what consumers read."""
        return self._value(self.pairs[account].token, stage=CURRENT)

    def _value(
        self, secret: SimulatedSecret, *, stage: str = "", version_id: str = ""
    ) -> SecretValue | None:
        found = version_id or secret.stages.get(stage, "")
        text = self._read(secret).versions.get(found)
        return None if text is None else SecretValue(found, str(text))

    def _read(self, secret: SimulatedSecret) -> SimulatedSecret:
        self._load.reads += 1
        self._time.wait(CALL_SECONDS)
        return secret

    def create_token_secret(self, account: str) -> None:
        """Every account here has had a token before."""
        raise NotImplementedError(account)

    def write_protocol(self, account: str, version_id: str, content: str) -> bool:
        """Write a lease or a journal."""
        at = self._write(account)
        stage = LEASE_STAGE if is_lease_id(version_id) else JOURNAL_STAGE
        return self._put(account, "credentials", version_id, content, stage, at=at)

    def publish(self, account: str, version_id: str, content: str) -> bool:
        """Make a token the one that consumers read."""
        at = self._write(account)
        is_written = self._put(account, "token", version_id, content, CURRENT, at=at)
        if is_written:
            self._published(account, content, at)
        return is_written

    def stage(self, account: str, version_id: str, content: str) -> bool:
        """No rotation of Secrets Manager's own runs here."""
        raise NotImplementedError(account, version_id, content)

    def _put(
        self, account: str, which: str, version_id: str, text: str, stage: str, *, at: float
    ) -> bool:
        secret: SimulatedSecret = getattr(self.pairs[account], which)
        try:
            is_written = bool(secret.put(version_id, text, [stage], now=at))
        except RefusalError:
            return False
        if is_written:
            most = max(self.most_versions[which], secret.count_version(at=at))
            self.most_versions[which] = most
            secret.changed(at=at)
        return True

    def tag(self, account: str, tags: Mapping[str, str]) -> None:
        """Record something on the token secret."""
        secret, at = self.pairs[account].token, self._write(account)
        secret.tags.update(tags)
        secret.changed(at=at)

    def untag(self, account: str, keys: list[str]) -> None:
        """Clear records on the token secret."""
        secret, at = self.pairs[account].token, self._write(account)
        for key in keys:
            secret.tags.pop(key, None)
        secret.changed(at=at)

    def _write(self, account: str) -> float:
        """Wait for a write's turn and its response; tell when that is."""
        self._time.wait_for_write()
        self._load.write(self._time.now)
        self._time.wait(CALL_SECONDS)
        self.touched.add(account)
        return self._time.now
