"""What a sweep did, or would do, with each account. Pure.

A sweep in this process tells it by a `Report`, one of the deployed function by its summary.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher import policy
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from token_refresher.sweep import Report

# Outcomes that leave nothing to be looked at.
_GOOD: Final = frozenset({Outcome.PUBLISHED, Outcome.SUPERSEDED, Outcome.UNCHANGED})
# For both words of an account that the function's answer does not tell of.
NOT_TOLD: Final = "not told"


@dataclass(frozen=True, slots=True)
class Row:
    """One account in a sweep.

    Attributes:
        account: Its name.
        outcome: The program's word for what was done.
        reason: The policy's word for why.
        expires_at: The published token's.
        error: A failure's code: of this sweep, or the one on record.
        failure_class: What kind it is.
        detail: A sentence about the failure.
        retry_at: When the next attempt is made, where this one came to nothing or was not due.
        cautions: What else should be known.
    """

    account: str
    outcome: str
    reason: str
    expires_at: datetime | None = None
    error: str | None = None
    failure_class: str | None = None
    detail: str | None = None
    retry_at: datetime | None = None
    cautions: tuple[str, ...] = ()

    @property
    def went_well(self) -> bool:
        """Whether nobody has to look at it: its token is new, or lives and is its server's last."""
        is_fresh = self.outcome == Outcome.NOT_DUE and self.reason == Reason.FRESH
        return is_fresh or (self.outcome in _GOOD and not self.has_failed)

    @property
    def has_failed(self) -> bool:
        """Whether this very sweep failed: only then a sentence says how; the rest is on record."""
        return bool(self.error and self.detail) and self.outcome != Outcome.NOT_ATTEMPTED

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such account; one that may not be described may well be there."""
        return self.reason == Reason.NO_SUCH_ACCOUNT and not self.has_failed


def rows_of_report(report: Report, *, refresh_before: timedelta) -> list[Row]:
    """Tell of every account; the fresh ones, which have no result, come last."""
    # Powertools stands behind it: only where there is something to tell.
    from token_refresher.reporting import describe  # noqa: PLC0415

    told = [msgspec.convert(describe(result, report), Row) for result in report.results]
    seen = {row.account for row in told}
    fresh = [
        Row(
            one.name,
            Outcome.NOT_DUE,
            Reason.FRESH,
            expires_at=one.live_until,
            retry_at=policy.due_time(one, refresh_before=refresh_before),
        )
        for one in report.accounts
        if one.name not in seen
    ]
    return told + fresh


def rows_of_summary(summary: Mapping[str, Any], names: Collection[str]) -> list[Row]:
    """Tell of the accounts that the deployed function was asked for.

    Args:
        summary: What it answered; accounts that are simply fresh are only counted in it.
        names: Those it was asked for.
    """
    told = [msgspec.convert(one, Row) for one in summary.get("accounts", ())]
    seen = {row.account for row in told}
    rest = [name for name in names if name not in seen]
    if summary.get("outcomes", {}).get("fresh") == len(rest):
        return told + [Row(name, Outcome.NOT_DUE, Reason.FRESH) for name in rest]
    return told + [Row(name, NOT_TOLD, NOT_TOLD) for name in rest]


def intention(row: Row) -> str:
    """Say what the next sweep would do with an account."""
    if row.outcome != Outcome.WOULD_REFRESH:
        return "reports it" if row.has_failed else "leaves it alone"
    if row.reason == Reason.UNPUBLISHED_RESPONSE:
        return "publishes the response it has"
    return "requests a token"


def next_due(fresh: Iterable[Row]) -> tuple[str, datetime] | None:
    """Name the fresh account that comes due first, and when; None where none is fresh."""
    times = [(row.retry_at, row.account) for row in fresh if row.retry_at is not None]
    if not times:
        return None
    due_at, name = min(times)
    return name, due_at
