"""What is put on the event bus: one event for each change of an account's state.

It comes last in a sweep, in what is left of its time, and nothing depends on it. What could not
be put stays in the warm environment, and is put first by the next sweep. docs/events.md says what
an event holds; its schema in ``events/changes/`` is a promise.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher.changes import Kind, changes_of
from token_refresher.fixes import PROGRAM, say
from token_refresher.outcomes import Outcome
from token_refresher.ports import Announcement
from token_refresher.reporting import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from token_refresher.changes import Change
    from token_refresher.settings import Settings
    from token_refresher.sweep import Report

    class Bus(Protocol):
        """Where events are put; a shape, which a start need not make."""

        def put(self, batch: Sequence[Announcement]) -> list[str]:
            """Put up to ten; tell of each why it was not put, or nothing."""


SOURCE: Final = "token-refresher"
SCHEMA_VERSION: Final = "1"
OUT_OF_TIME: Final = "out_of_time"
# So many batches at once: 500 of them, of 5,000 accounts, within the time that is left for them.
CONNECTIONS: Final = 8

_BATCH: Final = 10
# About a kilobyte each: all accounts of a large stack.
_MOST_KEPT: Final = 5_000
# One call ends within three seconds.
_TIME_TO_PUT: Final = timedelta(seconds=4)


class NotPut(msgspec.Struct, frozen=True):
    """What could not be put.

    Attributes:
        count: How many events.
        code: Why most of them were not.
        lost: How many of them are not even kept for the next sweep.
    """

    count: int
    code: str
    lost: int = 0


class Announcer:
    """Puts events, and keeps those that it could not put.

    Args:
        settings: The place that events name.
        connect: Makes the event bus, once there is something to be put: most starts have nothing.
    """

    def __init__(self, settings: Settings, connect: Callable[[], Bus]) -> None:
        self._settings = settings
        self._connect = connect
        self._bus: Bus | None = None
        self._kept: list[Announcement] = []

    def announce(self, report: Report, *, time_left: Callable[[], timedelta]) -> NotPut | None:
        """Put an event for each change, after those that were kept.

        Args:
            report: What a sweep saw and did.
            time_left: What is left of the invocation.

        Returns:
            What could not be put; None where nothing was left.
        """
        changes = changes_of(report)
        waiting = [*self._kept, *(self._event(each, report) for each in changes)]
        # Whatever happens now, they are put some time.
        self._kept = waiting[-_MOST_KEPT:]
        if not waiting:
            return None
        if self._bus is None:
            self._bus = self._connect()
        codes = _put_all(waiting, self._bus, time_left)
        left = [each for each, code in zip(waiting, codes, strict=True) if code]
        self._kept = left[-_MOST_KEPT:]
        if not left:
            return None
        [(code, _)] = Counter(filter(None, codes)).most_common(1)
        return NotPut(len(left), code, len(left) - len(self._kept))

    def _event(self, change: Change, report: Report) -> Announcement:
        detail = msgspec.json.encode(_detail(change, report, self._settings)).decode()
        return Announcement(change.kind, detail, _time(change, report))


def _time(change: Change, report: Report) -> datetime:
    """When it happened: a sweep lasts for minutes, and another run may tell of the account, too.

    What a new token has changed was so once that token was issued, and not before.
    """
    result, published = change.result, change.result.account.published
    is_new = result.outcome is Outcome.PUBLISHED
    issued_at = published.issued_at if is_new and published is not None else None
    return max(report.now, issued_at or report.now)


def _put_all(
    waiting: Sequence[Announcement], bus: Bus, time_left: Callable[[], timedelta]
) -> list[str]:
    """Put them in batches; where not one event of the first is taken, the others can wait."""

    def put(batch: Sequence[Announcement]) -> list[str]:
        if time_left() < _TIME_TO_PUT:
            return [OUT_OF_TIME] * len(batch)
        return bus.put(batch)

    first, *others = [waiting[begin : begin + _BATCH] for begin in range(0, len(waiting), _BATCH)]
    codes = put(first)
    if all(codes):
        return codes + [codes[0]] * (len(waiting) - len(first))
    if others:
        with ThreadPoolExecutor(min(CONNECTIONS, len(others))) as pool:
            for more in pool.map(put, others):
                codes += more
    return codes


def _detail(change: Change, report: Report, settings: Settings) -> dict[str, Any]:
    """Serialise a change: every field is always there, null where there is nothing to tell."""
    account = change.result.account
    told = describe(change.result, report)
    published = account.published
    is_over = change.kind in {Kind.PUBLISHED, Kind.RECOVERED}
    fix = "" if is_over else say(change.code or "", account.name, settings.where)
    grant, retry_at = account.grant, told.get("retry_at")
    detail = {
        "schema_version": SCHEMA_VERSION,
        "change_id": _change_id(change, settings),
        "stack": settings.service,
        "prefix": settings.secret_prefix,
        "account": account.name,
        "credentials_secret": f"{settings.secret_prefix}/credentials/{account.name}",
        "token_secret": f"{settings.secret_prefix}/tokens/{account.name}"
        if account.token
        else None,
        "reason": told["reason"],
        "outcome": told["outcome"],
        "version_id": published.version_id if published is not None else None,
        "issued_at": _iso(published.issued_at if published is not None else None),
        "expires_at": _iso(account.live_until),
        "code": change.code,
        "failure_class": change.failure_class,
        "failing_since": _iso(change.since),
        "next_attempt": _iso(None if is_over or not retry_at else datetime.fromisoformat(retry_at)),
        "consent_ends_at": _iso(grant.expires_at if grant is not None else None),
        "fix": fix or None,
    }
    return detail | {"message": _message(change, detail, now=report.now)}


def _change_id(change: Change, settings: Settings) -> str:
    """Name a change: the same for everybody who tells of it, and however often it is told."""
    parts = (
        settings.secret_prefix,
        change.result.account.name,
        change.kind,
        change.code,
        change.cause,
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _message(change: Change, detail: dict[str, Any], *, now: datetime) -> str:
    """Say it to a person, in one line; the command that helps stands at its end, to be pasted."""
    name, since, ends_at = detail["account"], detail["failing_since"], detail["consent_ends_at"]
    code = f"{change.code}, since {_readable(since)}" if since else change.code
    token = _token(change.result.account.live_until, now=now)
    what = {
        Kind.PUBLISHED: f"{name} has a new token",
        Kind.RECOVERED: f"{name} is well again, after {code}",
        Kind.CONSENT_ENDING: f"The consent of {name} ends at {_readable(ends_at or '')}",
        Kind.FAILED: f"{name} cannot be refreshed: {code}",
        Kind.ACTION_REQUIRED: f"{name} needs action: {code}",
    }[change.kind]
    what = f"{what}; {token}."
    next_attempt, fix = detail["next_attempt"], detail["fix"] or ""
    if next_attempt is not None:
        what += f" The next attempt is at {_readable(next_attempt)}."
    if not fix:
        return what
    end = "" if f": {PROGRAM} " in fix else "."
    return f"{what} {fix[0].upper()}{fix[1:]}{end}"


def _token(live_until: datetime | None, *, now: datetime) -> str:
    if live_until is None:
        return "it has no token"
    at = _readable(_iso(live_until) or "")
    return f"its token lives until {at}" if now < live_until else f"its token ended at {at}"


def _iso(time: datetime | None) -> str | None:
    # Of whole seconds, as people read them.
    return time.replace(microsecond=0).isoformat() if time is not None else None


def _readable(time: str) -> str:
    return time.replace("T", " ").replace("+00:00", " UTC")
