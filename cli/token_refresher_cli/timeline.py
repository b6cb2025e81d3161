"""The tokens of an account on a time line, told from version ids. Pure.

A version id tells when its token was issued and when it expires, so the history of an account
costs one listing of versions, and no value is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from token_refresher.model import TokenVersion
from token_refresher.ports import CURRENT, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterable

LIVING: Final = "━"
DEAD: Final = " "
NOW: Final = "│"


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """What Secrets Manager lists of a version.

    Attributes:
        version_id: Ours, or anybody's.
        stages: None for one that is deprecated.
        created_at: Aware; when it was written.
    """

    version_id: str
    stages: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Life:
    """One token, from its issue to its expiry.

    Attributes:
        issued_at: Aware.
        expires_at: Aware.
        stage: ``AWSCURRENT``, ``AWSPREVIOUS``, or empty.
        after: How it follows the one before: positive is an overlap in which both lived,
            negative a gap in which none did; None for the first.
        is_with_other_credentials: Whether the credentials changed since the one before.
    """

    issued_at: datetime
    expires_at: datetime
    stage: str
    after: timedelta | None
    is_with_other_credentials: bool

    @property
    def lifetime(self) -> timedelta:
        """From its issue to its expiry."""
        return self.expires_at - self.issued_at

    def to_json(self) -> dict[str, Any]:
        """Tell it to a program."""
        after = None if self.after is None else int(self.after.total_seconds())
        return {
            "issued_at": self.issued_at,
            "expires_at": self.expires_at,
            "lifetime_seconds": int(self.lifetime.total_seconds()),
            "stage": self.stage or None,
            "overlap_seconds": None if after is None else max(after, 0),
            "gap_seconds": None if after is None else max(-after, 0),
            "with_other_credentials": self.is_with_other_credentials,
        }


@dataclass(frozen=True, slots=True)
class History:
    """The tokens of an account, oldest first.

    Attributes:
        lives: Those whose version ids are ours.
        external: How many versions the program did not write; nothing is known of their lives.
        since: How far it looks back; a gap before that does not count.
        begins_at: Where the time line begins.
        ends_at: Where it ends.
        dead_for: For how long none has lived since then, up to now; zero while one lives.
    """

    lives: tuple[Life, ...]
    external: int
    since: datetime
    begins_at: datetime
    ends_at: datetime
    dead_for: timedelta

    @property
    def begins_late(self) -> bool:
        """Whether nothing is known of a token that lived when the time looked at began."""
        return any(life.after is None and life.issued_at > self.since for life in self.lives)

    @property
    def gap(self) -> timedelta:
        """For how long in all no token lived, from ``since`` up to now."""
        gaps = [
            min(-life.after, life.issued_at - self.since)
            for life in self.lives
            if life.after is not None
        ]
        return sum((gap for gap in gaps if gap > timedelta(0)), self.dead_for)


def history_of(versions: Iterable[ListedVersion], *, now: datetime, since: datetime) -> History:
    """Put an account's versions in order.

    Args:
        versions: As listed, in any order.
        now: Aware; a version id from the future is not believed.
        since: Aware; tokens that had expired by then are left out.
    """
    ours: list[tuple[TokenVersion, tuple[str, ...]]] = []
    external = 0
    for version in versions:
        token = TokenVersion.parse(version.version_id, now=now)
        if token is not None:
            ours.append((token, version.stages))
        elif version.created_at >= since or version.stages:
            external += 1
    ours.sort(key=lambda pair: pair[0].issued_at)
    lives: list[Life] = []
    # The longest-lived so far: a token may expire before one that was issued earlier.
    covered_until: datetime | None = None
    credentials = ""
    for token, stages in ours:
        lives.append(
            Life(
                issued_at=token.issued_at,
                expires_at=token.expires_at,
                stage=next((stage for stage in (CURRENT, PREVIOUS) if stage in stages), ""),
                after=covered_until - token.issued_at if covered_until else None,
                is_with_other_credentials=credentials not in {"", token.credentials_digest},
            )
        )
        covered_until = max(covered_until or token.expires_at, token.expires_at)
        credentials = token.credentials_digest
    shown = tuple(life for life in lives if life.expires_at >= since)
    return History(
        lives=shown,
        external=external,
        since=since,
        begins_at=min((life.issued_at for life in shown), default=since),
        ends_at=max([now, *(life.expires_at for life in shown)]),
        dead_for=max(now - max(covered_until, since), timedelta(0))
        if covered_until
        else timedelta(0),
    )


def draw(life: Life, history: History, *, now: datetime, width: int) -> str:
    """Draw a token's life as a bar on the history's time line, with a mark at now."""
    scale = (history.ends_at - history.begins_at) / width or timedelta(seconds=1)

    def column(at: datetime) -> int:
        return min(width - 1, (at - history.begins_at) // scale)

    first, last = column(life.issued_at), column(life.expires_at)
    bar = [LIVING if first <= index <= last else DEAD for index in range(width)]
    bar[column(now)] = NOW
    return "".join(bar)
