"""What a play is made of: given in a setting, or drawn by its number."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from tests.resilience.interleavings.server import LOSSES, REFUSALS, Fault, Outage

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
# Clocks of two environments differ by twice as much at most.
MOST_SKEW: Final = 140.0
# The longest wait of a failure is six hours, and another may have just begun.
CALM: Final = 7.5 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a play is made of; shares are of what they disturb.

    Attributes:
        seed: Of all that is drawn.
        ends: When, in seconds.
        calm_from: From then on nothing disturbs.
        refresh_only: Whether the account has nothing but its refresh token.
        lifetime: Of access tokens.
        refresh_lifetime: Of refresh tokens.
        grace: For so long a spent refresh token may come back.
        same_successor: What the response is then.
        ends_living: Whether redeeming a refresh token ends the living access token.
        outages: Of the server.
        stale: The share of reads that may be.
        store_faults: The share of calls that fail, or are slow.
        no_journal: From when on the next journal, and all writes for as long, are refused.
        freezes: The share of calls at which a run stands still.
        sleeps: Whether a run that stands still believes that no time has passed.
        deaths: The share of calls at which an environment ends.
        cold: The share of runs that begin in a new environment.
        skew: How far a clock may be off.
        duplicates: The share of ticks with a second run.
        reopened: The share of connections that the server had closed.
        deeds: What people do, and when.
    """

    seed: int
    ends: float
    calm_from: float = 0.0
    refresh_only: bool = True
    lifetime: float = HOUR
    refresh_lifetime: float | None = None
    grace: float = 0.0
    same_successor: bool = True
    ends_living: bool = False
    outages: tuple[Outage, ...] = ()
    stale: float = 0.0
    store_faults: float = 0.0
    no_journal: tuple[float, float] | None = None
    freezes: float = 0.0
    sleeps: bool = False
    deaths: float = 0.0
    cold: float = 0.3
    skew: float = 0.0
    duplicates: float = 0.0
    reopened: float = 0.0
    deeds: tuple[tuple[float, str], ...] = ()


DEEDS: Final = (
    "put a new consent",
    "put a new consent while a request is on its way",
    "put the same credentials",
    "put corrected credentials",
    "wipe tags",
    "move AWSCURRENT back",
    "force",
    "reject",
)


def drawn(seed: int) -> Setting:
    """Draw a setting: of outages alone, of journals that cannot be written, or of everything."""
    lots = random.Random(f"setting {seed}")  # noqa: S311 - the same each time
    lifetime = lots.choice((1200.0, 1800.0, HOUR, HOUR, 12 * HOUR))
    setting = Setting(
        seed=seed,
        ends=0,
        refresh_only=lots.random() < 3 / 4,
        lifetime=lifetime,
        refresh_lifetime=1800.0 if lots.random() < 1 / 10 else None,
        grace=lots.choice((0, 0, 3, 10, 30, 60, 300)),
        same_successor=lots.random() < 1 / 2,
        ends_living=lots.random() < 1 / 3,
        stale=lots.choice((0, 0.3, 1)),
        duplicates=lots.choice((0, 0.5)),
        cold=lots.choice((0.1, 0.5, 1)),
        reopened=lots.choice((0, 0.2)),
    )
    if seed % 6 == 1:
        return _not_kept(setting, lots)
    return _with_outages(setting, lots) if seed % 3 == 0 else _disturbed(setting, lots)


def _with_outages(setting: Setting, lots: random.Random) -> Setting:
    begins = lots.uniform(HOUR, HOUR + min(setting.lifetime, 11 * HOUR))
    # From five minutes to two days, as many short as long ones.
    ends = begins + 5 * MINUTE * 10 ** lots.uniform(0, 2.76)
    fault = lots.choice([fault for fault in Fault if fault not in REFUSALS])
    after = lots.choice((0, 0, 0, 0.2)) if fault in LOSSES else 0
    outage = Outage(begins, ends, fault, after)
    return replace(setting, outages=(outage,), ends=ends + setting.lifetime + HOUR)


def _no_journal(lots: random.Random, calm_from: float) -> tuple[float, float]:
    return lots.uniform(0, calm_from / 2), lots.choice((60, 90, 150, 200, 600, HOUR))


def _not_kept(setting: Setting, lots: random.Random) -> Setting:
    """Let a second run have a response within a long grace while the first cannot keep its own."""
    calm_from = lots.uniform(3, 8) * HOUR
    return replace(
        setting,
        refresh_only=True,
        lifetime=lots.choice((1200.0, 1800.0, HOUR)),
        refresh_lifetime=None,
        ends=calm_from + CALM,
        calm_from=calm_from,
        grace=300,
        same_successor=True,
        cold=0.5,
        # Over before a person reacts, and as early as others still refresh for hours.
        no_journal=(lots.uniform(0, calm_from / 2), lots.uniform(50, 150)),
    )


def _disturbed(setting: Setting, lots: random.Random) -> Setting:
    calm_from = lots.uniform(3, 12) * HOUR + min(setting.lifetime, 11 * HOUR)
    single = [
        Outage(lots.uniform(0, calm_from), calm_from, lots.choice(list(Fault)), after, strikes)
        for after, strikes in ((0.5, 1), (0.5, 2), (0.5, 3))[: lots.randrange(4)]
    ]
    outages = tuple(
        replace(each, after=each.after if each.fault in LOSSES else 0) for each in single
    )
    deeds = [(lots.uniform(0, calm_from), lots.choice(DEEDS)) for _ in range(lots.randrange(4))]
    for deed, every in (("force", MINUTE), ("put the same credentials", 10 * MINUTE)):
        if lots.random() < 1 / 8:
            begins = lots.uniform(0, calm_from)
            deeds += [
                (begins + every * n, deed) for n in range(60) if begins + every * n < calm_from
            ]
    if lots.random() < 1 / 8:
        deeds += [(lots.uniform(0, calm_from), "add 50 tags"), (calm_from, "remove the 50 tags")]
    return replace(
        setting,
        ends=calm_from + CALM,
        calm_from=calm_from,
        outages=outages,
        store_faults=lots.choice((0, 0, 0.02, 0.2)),
        no_journal=_no_journal(lots, calm_from) if lots.random() < 1 / 8 else None,
        freezes=lots.choice((0, 0.01, 0.03, 0.1)),
        sleeps=lots.random() < 2 / 3,
        deaths=lots.choice((0, 0, 0.02)),
        skew=lots.choice((0, 0, MOST_SKEW)),
        deeds=tuple(sorted(deeds)),
    )
