"""Copies of token secrets in other Regions: added where they lack, looked at after each token.

Secrets Manager copies by itself. A sweep comes here last, so nothing here delays a token, and what
fails here is no failure of a refresh. All of it is told by descriptions: no value is read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import SecretStoreError
from token_refresher.ports import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from token_refresher.model import Account
    from token_refresher.ports import ReplicatingStore

# In Secrets Manager's words, but for the last.
IN_SYNC: Final = "InSync"
FAILED: Final = "Failed"
MISSING: Final = "missing"

# So many sweeps look at a new token; later nothing is asked, until there is another.
_LOOKS: Final = 3
# A copy that was begun in this very sweep is no news.
_USUAL_LAG: Final = timedelta(minutes=1)
# A call may hang for three attempts; an invocation that ends in it would be a failed one.
_CLOSING_TIME: Final = timedelta(seconds=20)
# A person who asks meanwhile, and the next tick, do not wait for longer.
_MOST_TIME: Final = timedelta(minutes=1)


class Replication(msgspec.Struct, frozen=True):
    """How far the copies of an account's token are.

    Attributes:
        account: Its name.
        lag: How old the newest token is that some Region lacks; none where all have it, or
            nothing is known.
        behind: The word for each Region that lacks it.
        error: Why a Region was not added, or nothing is known.
    """

    account: str
    lag: timedelta = timedelta(0)
    behind: Mapping[str, str] = {}
    error: SecretStoreError | None = None

    @property
    def is_known(self) -> bool:
        """Whether its copies were looked at."""
        return bool(self.behind) or self.error is None

    @property
    def is_told(self) -> bool:
        """Whether a person would want to know."""
        has_failed = FAILED in self.behind.values() or self.error is not None
        return has_failed or self.lag >= _USUAL_LAG


class Replicator(msgspec.Struct, frozen=True, kw_only=True):
    """Has the token secrets copied to other Regions.

    Attributes:
        store: Secrets Manager.
        regions: Where to.
        schedule: The time between two sweeps.
        clock: Gives aware times.
        max_workers: How many accounts are looked at, at once.
    """

    store: ReplicatingStore
    regions: tuple[str, ...]
    schedule: timedelta
    clock: Callable[[], datetime]
    max_workers: int

    def follow(
        self, accounts: Iterable[Account], *, time_left: Callable[[], timedelta]
    ) -> list[Replication]:
        """Look at the copies of new tokens, and add what lacks.

        Args:
            accounts: As a sweep leaves them.
            time_left: What is left of the invocation; where it is short, the next sweep looks.

        Returns:
            One for each account with a new token.
        """
        now = self.clock()
        since = now - _LOOKS * self.schedule
        until = max(_CLOSING_TIME, time_left() - _MOST_TIME)

        def has_time() -> bool:
            return time_left() > until

        new = [
            (account.name, account.published.version_id, now - account.published.issued_at)
            for account in accounts
            # What is orphaned is left alone: whoever removes it has taken its copies away.
            if account.is_managed
            and account.published is not None
            and account.published.issued_at is not None
            and account.published.issued_at > since
        ]
        if not new:
            return []
        with ThreadPoolExecutor(min(self.max_workers, len(new))) as pool:
            looked = pool.map(lambda one: self._look(has_time, *one), new)
            return [each for each in looked if each is not None]

    def _look(
        self, has_time: Callable[[], bool], account: str, version_id: str, age: timedelta
    ) -> Replication | None:
        """Look at one account's copies; None where there is no time, or nothing is to be seen."""
        if not has_time():
            return None
        try:
            metadata = self.store.describe_token(account)
        except SecretStoreError as error:
            return Replication(account, error=error)
        if metadata is None or metadata.is_deleted or metadata.stages.get(CURRENT) != version_id:
            # A description of before the token tells of the copies of another one.
            return None
        behind = behind_of(metadata.replicas, self.regions)
        lacking = [region for region, word in behind.items() if word == MISSING]
        refused = self._add(account, lacking, has_time) if lacking else None
        return Replication(account, age if behind else timedelta(0), behind, refused)

    def _add(
        self, account: str, regions: Sequence[str], has_time: Callable[[], bool]
    ) -> SecretStoreError | None:
        """Add Regions: one by one where one of them may be all that is wrong.

        Returns:
            Why one was refused.
        """
        if not has_time():
            return None
        try:
            self.store.replicate(account, regions)
        except SecretStoreError as error:
            if error.transient or len(regions) == 1:
                return error
        else:
            return None
        refused = [self._add(account, [region], has_time) for region in regions]
        return next(filter(None, refused), None)


def behind_of(replicas: Mapping[str, str], regions: Collection[str]) -> dict[str, str]:
    """Tell which Regions lack the newest token, and Secrets Manager's word for each."""
    words = {region: replicas.get(region, MISSING) for region in regions}
    return {region: word for region, word in words.items() if word != IN_SYNC}
