"""The capacity model: what a fleet asks for, and what ends it first; every coefficient is measured.

Pure arithmetic on the figures of `docs/performance.md`. Prices are those of docs/deployment.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.report import Table
from benchmarks.secrets_manager import QUOTA
from token_refresher.aws.secret_store import _WRITES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOURS_A_MONTH: Final = 730
PAGE: Final = 100
# As the waiting is measured: no more than an assumption about AWS.
PAGE_SECONDS: Final = 0.05
REFRESH_SECONDS: Final = 0.28
WORKERS: Final = 16
# Of 1,769 MB a whole processor.
MEMORY_MB: Final = 512
SHARE: Final = MEMORY_MB / 1769
# Refreshes are begun until fifty of the invocation's 240 seconds are left.
BEGIN_WITHIN_SECONDS: Final = 190
REFRESH_BEFORE_HOURS: Final = 1.5
SECRETS_OF_A_REGION: Final = 500_000

FLEETS: Final = (100, 1_000, 10_000, 100_000)
LIFETIMES: Final = (1.0, 12.0, 24.0)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Accounts, and how they are kept fresh.

    Attributes:
        known: The measured coefficients, by name.
        accounts: How many.
        hours: The lifetime of their tokens.
        minutes: The schedule.
        by_refresh_token: Six calls and three writes, instead of four and one.
    """

    known: Mapping[str, float]
    accounts: int
    hours: float = 12
    minutes: int = 5
    by_refresh_token: bool = True

    @property
    def _of_a_refresh(self) -> str:
        return " of a refresh by refresh token" if self.by_refresh_token else " of a refresh"

    @property
    def writes(self) -> int:
        """Writes of a refresh that count against the Region's quota."""
        return 3 if self.by_refresh_token else 1

    @property
    def pages(self) -> int:
        """Of each path."""
        return math.ceil(self.accounts / PAGE)

    @property
    def sweeps(self) -> float:
        """A month."""
        return HOURS_A_MONTH * 60 / self.minutes

    @property
    def due_after_hours(self) -> float:
        """When a token is replaced: 90 minutes before its end, but not before half its life."""
        return max(self.hours - REFRESH_BEFORE_HOURS, self.hours / 2)

    @property
    def refreshes(self) -> float:
        """A month."""
        return self.accounts * HOURS_A_MONTH / self.due_after_hours

    @property
    def calls(self) -> float:
        """To Secrets Manager, a month."""
        return (
            2 * self.sweeps * self.pages + self.known["calls" + self._of_a_refresh] * self.refreshes
        )

    @property
    def mean_writes(self) -> float:
        """Writes a second that count against the quota."""
        return self.writes * self.accounts / (self.due_after_hours * 3600)

    @property
    def idle_seconds(self) -> float:
        """How long a sweep takes at most with nothing due: waiting, and work after it."""
        cpu_ms = self.known["CPU of a sweep"] + self.accounts * self.known["CPU of an idle account"]
        return self.pages * PAGE_SECONDS + cpu_ms / 1e3 / SHARE

    @property
    def sweep_seconds(self) -> float:
        """How long a sweep takes at most, with the refreshes that come due in its period."""
        due = self.refreshes / self.sweeps
        waiting = max(
            math.ceil(due / WORKERS) * REFRESH_SECONDS, due * self.writes / _WRITES_PER_SECOND
        )
        work = due * self.known["CPU" + self._of_a_refresh] / 1e3 / SHARE
        return self.idle_seconds + waiting + work

    @property
    def call_dollars(self) -> float:
        """A month."""
        return 0.05 / 10_000 * self.calls

    @property
    def signature_dollars(self) -> tuple[float, float]:
        """A month, where all accounts sign: with keys of RSA_2048, and with others."""
        return 0.03 / 10_000 * self.refreshes, 0.15 / 10_000 * self.refreshes

    @property
    def function_dollars(self) -> float:
        """A month, the schedule's included."""
        seconds = MEMORY_MB / 1024 * self.sweep_seconds * 0.0000133334
        return self.sweeps * (seconds + 0.20 / 1e6 + 1.00 / 1e6)

    @property
    def memory_mb(self) -> float:
        """What a sweep holds at most."""
        thousands = self.accounts / 1_000
        return self.known["memory of a sweep"] + thousands * self.known["memory of 1,000 accounts"]

    @property
    def refreshes_a_second(self) -> float:
        """At most: by the Region's quota, or by the processor's share where that is less."""
        by_processor = SHARE * 1e3 / self.known["CPU" + self._of_a_refresh]
        return min(_WRITES_PER_SECOND / self.writes, by_processor)

    @property
    def served_in_time(self) -> float:
        """How many that come due at one moment are refreshed before they expire."""
        ticks = math.floor(min(REFRESH_BEFORE_HOURS, self.hours / 2) * 60 / self.minutes)
        seconds = max(BEGIN_WITHIN_SECONDS - self.idle_seconds, 0)
        return ticks * seconds * self.refreshes_a_second


def most(
    known: Mapping[str, float], fits: Callable[[Fleet], bool], *, by_refresh_token: bool
) -> int:
    """Find the largest fleet that fits, to two digits."""
    low, high = 1, 10_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if fits(Fleet(known, middle, by_refresh_token=by_refresh_token)):
            low = middle
        else:
            high = middle
    digits = int(10 ** max(len(str(low)) - 2, 0))
    return low // digits * digits


def load_table(known: Mapping[str, float]) -> Table:
    """Tell what fleets ask for."""
    fleets = [
        *(Fleet(known, accounts) for accounts in FLEETS),
        *(Fleet(known, 10_000, hours=hours) for hours in LIFETIMES if hours != 12),  # noqa: PLR2004
        Fleet(known, 10_000, minutes=1),
        Fleet(known, 10_000, minutes=15),
        Fleet(known, 10_000, by_refresh_token=False),
    ]
    return Table(
        "load",
        "By the formulas of `docs/performance.md`, with the coefficients of the last run:",
        (
            "accounts",
            "lifetime",
            "schedule",
            "writes of a refresh",
            "AWS calls a month",
            "writes a second",
            "of the quota",
            "Lambda ms a sweep",
            "memory",
            "calls, USD a month",
            "function, USD a month",
        ),
        [
            (
                f"{fleet.accounts:,}",
                f"{fleet.hours:g} h",
                f"{fleet.minutes} min",
                f"{fleet.writes}",
                f"{fleet.calls:,.0f}",
                f"{fleet.mean_writes:.3f}",
                f"{fleet.mean_writes / QUOTA:.1%}",
                f"{fleet.sweep_seconds * 1e3:,.0f}",
                f"{fleet.memory_mb:.0f} MB",
                f"{fleet.call_dollars:,.2f}",
                f"{fleet.function_dollars:,.2f}",
            )
            for fleet in fleets
        ],
    )


def signing_table(known: Mapping[str, float]) -> Table:
    """Tell what is paid besides where every account signs with a key of its own."""
    fleets = [
        *(Fleet(known, accounts, by_refresh_token=False) for accounts in FLEETS),
        *(Fleet(known, 10_000, hours=hours, by_refresh_token=False) for hours in (1.0, 24.0)),
    ]
    work = known["CPU of a signature"]
    return Table(
        "signing-load",
        "What is paid besides where every account signs, by the same formulas:",
        (
            "accounts",
            "lifetime",
            "signatures a month",
            "a second",
            "CPU a month",
            "keys, USD a month",
            "signatures by RSA_2048, USD a month",
            "by others",
        ),
        [
            (
                f"{fleet.accounts:,}",
                f"{fleet.hours:g} h",
                f"{fleet.refreshes:,.0f}",
                f"{fleet.refreshes / HOURS_A_MONTH / 3600:.3f}",
                f"{fleet.refreshes * work / 1e3:,.0f} s",
                f"{fleet.accounts:,.2f}",
                *(f"{dollars:,.2f}" for dollars in fleet.signature_dollars),
            )
            for fleet in fleets
        ],
    )


def limits_table(known: Mapping[str, float]) -> Table:
    """Tell what ends a stack of the defaults, the first end first."""
    limits: tuple[tuple[str, Callable[[Fleet], bool], str], ...] = (
        (
            "all tokens come due at once, and each must be replaced within its last 90 minutes",
            lambda fleet: fleet.accounts <= fleet.served_in_time,
            "cells in several Regions or AWS accounts, whose write quotas add up",
        ),
        (
            "a sweep's listing leaves no time to begin a refresh",
            lambda fleet: fleet.idle_seconds <= BEGIN_WITHIN_SECONDS,
            "several stacks, each with its prefix; more `MemoryMegabytes` first",
        ),
        (
            "the memory of `MemoryMegabytes=512`",
            lambda fleet: fleet.memory_mb <= MEMORY_MB,
            "more `MemoryMegabytes`",
        ),
        (
            "500,000 secrets of a Region, two for each account",
            lambda fleet: 2 * fleet.accounts <= SECRETS_OF_A_REGION,
            "a quota that AWS raises; or another Region",
        ),
        (
            "as many come due in each period as one sweep refreshes at most",
            lambda fleet: (
                fleet.refreshes / fleet.sweeps <= BEGIN_WITHIN_SECONDS * fleet.refreshes_a_second
            ),
            "cells in several Regions or AWS accounts",
        ),
    )
    rows = sorted(
        (
            most(known, fits, by_refresh_token=True),
            most(known, fits, by_refresh_token=False),
            what,
            then,
        )
        for what, fits, then in limits
    )
    return Table(
        "limits",
        "The largest fleet of 12-hour tokens on a schedule of 5 minutes, by what ends it:",
        ("what ends it", "accounts with refresh tokens", "without", "what to do"),
        [(what, f"{with_them:,}", f"{without:,}", then) for with_them, without, what, then in rows],
    )
