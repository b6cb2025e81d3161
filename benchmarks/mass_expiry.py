"""Mass expiry, a thousand accounts due at once: the calls, and how much of the Region's quota.

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

DUE_AT_ONCE: Final = 1_000
WORKERS: Final = 16
ROUNDS: Final = 3
AWS_SECONDS: Final = 0.02
TOKEN_SECONDS: Final = 0.2
PAGE: Final = 100
# Those of the refreshes, and a page of each path for a hundred accounts.
DESIGNED_CALLS: Final = DUE_AT_ONCE * MACHINE.calls + 2 * DUE_AT_ONCE // PAGE

NOTE: Final = f"""\
{DUE_AT_ONCE:,} accounts without refresh tokens are due at once; the token endpoint takes 200 ms,
every call to Secrets Manager 20 ms. The calls are {MACHINE.calls} a refresh and two for a hundred
accounts listed. The stub throttles whatever exceeds {QUOTA} writes in any second. The order is
that of expiry but for so many places. Medians of {ROUNDS} rounds, with the middle half."""


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one mass expiry.

    Attributes:
        seconds: How long the sweep took.
        calls: Of Secrets Manager.
        writes_per_second: From the first to the last.
        throttled: How many calls were.
        published: How many accounts.
        places: By how many one was published later than its expiry would have it.
    """

    seconds: float
    calls: int
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
    """Let all come due to a function that has just swept."""
    with tempfile.TemporaryDirectory() as directory, Servers(Path(directory)) as servers:
        servers.enforce(QUOTA)
        servers.delay(aws=AWS_SECONDS, token_endpoint=TOKEN_SECONDS)
        with MeasuredFunction(servers.environment()) as function:
            function.use({})
            servers.seed(
                "oauth",
                range(DUE_AT_ONCE),
                MACHINE,
                expires_at=utc_now() + DUE,
                apart=timedelta(seconds=1),
            )
            servers.seen()
            used = function.use({})
        seen = servers.seen()
    moments = [write.at for write in seen.writes]
    return Round(
        seconds=used.wall_ms / 1e3,
        calls=seen.calls.total(),
        writes_per_second=(len(moments) - 1) / (moments[-1] - moments[0]),
        throttled=seen.refused["ThrottlingException"],
        published=used.answer["outcomes"].get("published", 0),
        places=places_late([write.secret_id for write in seen.writes]),
    )


def measure() -> Findings:
    """Measure mass expiries."""
    rounds = [play() for _ in range(ROUNDS)]
    seconds = spread(each.seconds for each in rounds)
    rates = spread(each.writes_per_second for each in rounds)
    lost = DUE_AT_ONCE - min(each.published for each in rounds)
    calls = max(each.calls for each in rounds)
    findings = Findings("mass-expiry")
    findings.tables = [
        Table(
            "mass-expiry",
            NOTE,
            (
                "due",
                "time",
                "AWS calls",
                "writes a second",
                "of the quota",
                "throttled",
                "failed",
                "places late",
            ),
            [
                (
                    f"{DUE_AT_ONCE:,}",
                    seconds.told("s", 1),
                    f"{calls:,}",
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
        Bound("AWS calls of 1,000 refreshes in a sweep", calls, DESIGNED_CALLS, digits=0),
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
