"""A thousand accounts due at once: how near to the ideal, and how much of the Region's quota.

The whole function runs, by the real clock, under the client that AWS uses. The stub enforces the
quota in every second, however that second is laid, which is stricter than AWS.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.accounts import DUE, MACHINE, utc_now
from benchmarks.function import MeasuredFunction
from benchmarks.report import Bound, Findings, Table, spread
from benchmarks.secrets_manager import QUOTA
from benchmarks.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Sequence

HERD: Final = 1_000
WORKERS: Final = 16
ROUNDS: Final = 3
AWS_SECONDS: Final = 0.02
TOKEN_SECONDS: Final = 0.2
# Of one refresh after another on sixteen workers, each of four calls and one request.
IDEAL_SECONDS: Final = HERD / WORKERS * (MACHINE.calls * AWS_SECONDS + TOKEN_SECONDS)

NOTE: Final = f"""\
{HERD:,} accounts without refresh tokens are due at once; the token endpoint takes 200 ms, every
call to Secrets Manager 20 ms. The ideal is sixteen refreshes at a time and nothing else,
{IDEAL_SECONDS:.1f} s. The stub throttles whatever exceeds {QUOTA} writes in any second. The order
is that of expiry but for so many places. Medians of {ROUNDS} rounds, with the middle half."""


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one herd.

    Attributes:
        seconds: How long the sweep took.
        writes_per_second: From the first to the last.
        throttled: How many calls were.
        published: How many accounts.
        places: By how many one was published later than its expiry would have it.
    """

    seconds: float
    writes_per_second: float
    throttled: int
    published: int
    places: int


def places_late(order: Sequence[str]) -> int:
    """Tell by how many places an account was later than its expiry would have it.

    The later its name, the sooner an account expires.
    """
    place = {name: number for number, name in enumerate(order)}
    soonest = sorted(order, reverse=True)
    return max(place[name] - number for number, name in enumerate(soonest))


def play() -> Round:
    """Let a herd come due to a function that has just swept."""
    with tempfile.TemporaryDirectory() as directory, Servers(Path(directory)) as servers:
        servers.enforce(QUOTA)
        servers.delay(aws=AWS_SECONDS, token_endpoint=TOKEN_SECONDS)
        with MeasuredFunction(servers.environment()) as function:
            function.use({})
            servers.seed(
                "oauth",
                range(HERD),
                MACHINE,
                expires_at=utc_now() + DUE,
                apart=timedelta(seconds=1),
            )
            servers.seen()
            used = function.use({})
        seen = servers.seen()
    moments = [write.moment for write in seen.writes]
    return Round(
        seconds=used.wall_ms / 1e3,
        writes_per_second=(len(moments) - 1) / (moments[-1] - moments[0]),
        throttled=seen.refused["ThrottlingException"],
        published=used.answer["outcomes"].get("published", 0),
        places=places_late([write.secret_id for write in seen.writes]),
    )


def measure() -> Findings:
    """Measure herds."""
    rounds = [play() for _ in range(ROUNDS)]
    seconds = spread(each.seconds for each in rounds)
    rates = spread(each.writes_per_second for each in rounds)
    lost = HERD - min(each.published for each in rounds)
    findings = Findings("herd")
    findings.tables = [
        Table(
            "herd",
            NOTE,
            (
                "due",
                "time",
                "to the ideal",
                "writes a second",
                "of the quota",
                "throttled",
                "failed",
                "places late",
            ),
            [
                (
                    f"{HERD:,}",
                    seconds.told("s", 1),
                    spread(each.seconds / IDEAL_SECONDS for each in rounds).told(digits=2),
                    rates.told(digits=1),
                    f"{rates.median / QUOTA:.0%}",
                    f"{max(each.throttled for each in rounds)}",
                    f"{lost}",
                    f"{max(each.places for each in rounds)}",
                )
            ],
        )
    ]
    findings.bounds = [
        Bound("time to the ideal of 16 at once", seconds.median / IDEAL_SECONDS, 1.25),
        Bound("use of the Region's write quota", rates.median / QUOTA, 0.9, is_floor=True),
        Bound("refreshes that failed for good", lost, 0, digits=0),
        Bound(
            "places that one is late, of 16 at once",
            max(each.places for each in rounds),
            16,
            digits=0,
        ),
    ]
    return findings
