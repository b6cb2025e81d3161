"""Who may send a refresh token: exactly one run at a time, and not too soon after the last.

A lease is a version of the credentials secret under the stage ``TOKENREQUEST``. Its version
id follows from what the refresh token hangs on and from a number, and Secrets Manager refuses
other content under an id that is used (`PutSecretValue`, ``ClientRequestToken``): so one run
wins, and no other store has to say which. This module does not decide whether a refresh token
that was sent before is sent again; it asks.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from token_refresher import ports
from token_refresher.errors import HeldError, LeasedError, LeaseTooOldError, SecretStoreError
from token_refresher.failures import Sending, lease_interval
from token_refresher.model import StoredJson
from token_refresher.oauth.hidden import Hidden
from token_refresher.policy import TICK_SLACK
from token_refresher.records import LeaseEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.journal import Journal
    from token_refresher.model import Account
    from token_refresher.ports import SecretStore

# A run that has said nothing for so long is not at it any more. No slack: an early tick must
# not take over from a run that only waits.
ABANDONED_AFTER: Final = timedelta(minutes=20)
# What a run takes at the most from its lease to its journal, unless it is stopped.
AT_WORK: Final = timedelta(minutes=2)
# A run that was stopped for longer between its lease and its request sends nothing.
LONGEST_AGE: Final = timedelta(seconds=60)

# No time of ours is later, and sums with such times overflow.
_YEAR_3000: Final = 32_503_680_000
_NUMBERED: Final = re.compile(r"(.{40,})-([1-9][0-9]{0,8})")


def lease_id(basis: str, number: int) -> str:
    """The version id of a lease.

    Args:
        basis: The version id of the journal that holds the refresh token; for an initial
            refresh token the grant's digest.
        number: 1 for the first lease. The same basis and number always give the same id.
    """
    digest = hashlib.sha256(basis.encode()).hexdigest()[:40]
    return f"{ports.LEASE_PREFIX}{digest}-{number}"


def number_of(version_id: str | None, basis: str) -> int | None:
    """Tell the number of a lease; None where it is of another refresh token."""
    match = _NUMBERED.fullmatch(version_id or "")
    is_theirs = match is not None and version_id == lease_id(basis, int(match[2]))
    return int(match[2]) if match is not None and is_theirs else None


class LeaseContent(StoredJson, frozen=True, kw_only=True):
    """What a lease says of itself: when, whose.

    Attributes:
        leased_at: Epoch seconds.
        run: Random, so that two runs never write the same content.
        credentials: The digest of the credentials' version that it was taken with.
        is_early: It did not wait for the interval, since credentials had just been put.
    """

    leased_at: Annotated[int, msgspec.Meta(ge=0, lt=_YEAR_3000)]
    run: str
    credentials: str
    is_early: bool = False

    @property
    def time(self) -> datetime:
        """When it was taken, aware."""
        return datetime.fromtimestamp(self.leased_at, UTC)


class Lease(msgspec.Struct, frozen=True):
    """A lease that this run has won.

    Attributes:
        version_id: Its own.
        number: 1 where the refresh token was never sent before.
        taken_at: Aware; from before it was written.
    """

    version_id: str
    number: int
    taken_at: datetime

    def is_old(self, now: datetime) -> bool:
        """Whether another run may have looked at what this one is about to change."""
        return now - self.taken_at > LONGEST_AGE

    def require_young(self, now: datetime) -> None:
        """Refuse to act on an old lease; asked right before the first byte of a request.

        Raises:
            LeaseTooOldError: This run was stopped meanwhile; it has sent nothing.
        """
        if self.is_old(now):
            raise LeaseTooOldError


class Leases(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    """The leases of one account's refresh token.

    Attributes:
        store: Secrets Manager.
        account: As known; its stage proposes a number, and no more.
        basis: As for `lease_id`.
        journal: As read in this run.
        began_at: Aware; when this run began, before it read the journal. A lost lease is aged
            from here: from any later time, a run that was stopped would find leases over that
            were taken after what it has read.
        clock: Gives aware times.
    """

    store: SecretStore
    account: Account
    basis: str
    journal: Journal
    began_at: datetime
    clock: Callable[[], datetime]

    def take(self, may_send: Callable[[str, Sending], None]) -> Lease:
        """Win the right to send the refresh token once.

        The number that the stage has is put first, even though it is taken: only a put tells
        the truth at once, and a stage may be read that is minutes old.

        Args:
            may_send: Told a lost lease's id and what became of it; raises where the refresh
                token is not to be sent again now.

        Raises:
            LeasedError: Another run may be at it.
            HeldError: The last lease is too young.
            SecretStoreError: The lease could not be written, or read.
        """
        standing = number_of(self.account.lease, self.basis)
        is_early = standing is None and self._is_early_after_another()
        number = standing or 1
        while (lease := self._put(number, is_early=is_early)) is None:
            lost = lease_id(self.basis, number)
            held = self._read(lost)
            end = self.account.lease_end if self.account.lease == lost else None
            # Not to be read yet: it was written a moment ago.
            if held is None or (end is None and self.began_at - held.time < ABANDONED_AFTER):
                raise LeasedError
            is_early = self._is_early(held, end)
            may_send(lost, Sending(end or LeaseEnd.UNANSWERED, held.time))
            number += 1
        return lease

    def _put(self, number: int, *, is_early: bool) -> Lease | None:
        """Write a lease; None where its id is another run's."""
        lease = Lease(lease_id(self.basis, number), number, taken_at=self.clock())
        content = LeaseContent(
            leased_at=int(lease.taken_at.timestamp()),
            run=secrets.token_hex(16),
            credentials=self.account.credentials_digest,
            is_early=is_early,
        )
        try:
            is_won = self.store.write_protocol(
                self.account.name, lease.version_id, content.to_json()
            )
        except SecretStoreError:
            # Nobody else can have written the same.
            if self._read(lease.version_id) != content:
                raise
            is_won = True
        return lease if is_won else None

    def _read(self, version_id: str) -> LeaseContent | None:
        value = self.store.read_version(self.account.name, version_id)
        return LeaseContent.from_json(value.text) if value else None

    def _is_early_after_another(self) -> bool:
        """As `_is_early`, where the last lease was of another refresh token.

        If the journal was obtained under the last lease, its time is that of the journal; else
        the lease is read. Where the journal names another one, either may be the later.
        """
        known = {self.account.lease, self.journal.entry.lease if self.journal.entry else None}
        # All are asked, since each may refuse.
        found = [self._is_early_after(each) for each in sorted(filter(None, known))]
        return any(found)

    def _is_early_after(self, lease_id: str) -> bool:
        ended_at = self.journal.came_by(lease_id, now=self.began_at)
        if ended_at is not None:
            until = ended_at + self._interval(ended_at, is_ended=True)
            if self.began_at >= until - TICK_SLACK:
                return False
        value = self.store.read_version(self.account.name, lease_id)
        is_standing = lease_id == self.account.lease
        if value is None and is_standing:
            # Not to be read yet: it was written a moment ago.
            raise LeasedError
        held = LeaseContent.from_json(value.text) if value is not None else None
        is_open = is_standing and self.account.lease_end is None and ended_at is None
        if held is not None and is_open and self.began_at - held.time < AT_WORK:
            # Of an earlier consent, whose response would be journaled over this one's.
            raise LeasedError
        return held is not None and self._is_early(
            held, self.account.lease_end if is_standing else None
        )

    def _is_early(self, last: LeaseContent, end: LeaseEnd | None) -> bool:
        """Whether a lease now is too soon after the last one, and allowed all the same.

        Credentials that were put since are tried at once; once, for the next ones wait.

        Raises:
            HeldError: It is not allowed.
        """
        interval = self._interval(last.time, is_ended=end is not None)
        if self.began_at >= last.time + interval - TICK_SLACK:
            return False
        if last.is_early or last.credentials == self.account.credentials_digest:
            raise HeldError(last.time, last.time + interval)
        return True

    def _interval(self, last_at: datetime, *, is_ended: bool) -> timedelta:
        return lease_interval(self.account, last_at, is_ended=is_ended, now=self.began_at)
