"""What many plays come to, in lines for a person and for docs/resilience.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.resilience.interleavings.judgement import Apart, Broken
from tests.resilience.interleavings.plays import Play
from tests.resilience.interleavings.server import LOSSES, Fault, Outage
from tests.resilience.interleavings.settings import DAY, HOUR, MINUTE, Setting, drawn

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYS: Final = 3000
GRACES: Final = (0, 3, 10, 30, 60, 300)
TRIALS: Final = 24
LIFETIMES: Final = {"20 min": 20 * MINUTE, "30 min": 30 * MINUTE, "60 min": HOUR, "12 h": 12 * HOUR}
# As a person disturbs a day: what is done, and how often.
LOOPS: Final = {
    "force, every minute": ("force", MINUTE),
    "credentials put every ten minutes": ("put the same credentials", 10 * MINUTE),
}
FAULTS: Final = {
    "502": Fault.BAD_GATEWAY,
    "resets": Fault.RESET,
    "refusals": Fault.REFUSED,
    "no connection": Fault.NO_CONNECTION,
}
WIDTH: Final = 62


@dataclass
class Total:
    """What plays that were drawn came to.

    Attributes:
        plays: How many.
        broken: In how many of them a promise was.
        apart: How often each loss occurred.
        shortest: The violating seed whose sequence is the shortest, by promise.
    """

    plays: int = 0
    broken: Counter[Broken] = field(default_factory=Counter)
    apart: Counter[Apart] = field(default_factory=Counter)
    seeds: dict[Broken, list[int]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Tell it."""
        yield f"{self.plays} plays: a promise was broken, in so many"
        for kind in Broken:
            seeds = ", ".join(map(str, self.seeds.get(kind, [])[:6]))
            yield f"{kind.value:<{WIDTH + 14}} {self.broken[kind]:>5}  {seeds}".rstrip()
        yield "counted apart, how often: no protocol avoids it"
        for cause in Apart:
            yield f"{cause.value:<{WIDTH + 14}} {self.apart[cause]:>5}"


def play_many(first: int, last: int) -> Total:
    """Play what is drawn from these seeds."""
    total = Total()
    for seed in range(first, last):
        judgement = Play(drawn(seed)).play()
        total.plays += 1
        total.apart += judgement.apart
        for kind in judgement.kinds:
            total.broken[kind] += 1
            total.seeds.setdefault(kind, []).append(seed)
    return total


def survivors(grace: float, fault: Fault) -> int:
    """How many refresh-only accounts live on after one response was lost at a random time."""
    alive = 0
    for trial in range(TRIALS):
        begins = HOUR + trial * 5 * HOUR / TRIALS
        setting = Setting(
            seed=trial,
            ends=begins + 6 * HOUR,
            lifetime=HOUR,
            grace=grace,
            same_successor=trial % 2 == 0,
            ends_living=trial % 4 > 1,
            outages=(Outage(begins, begins + 2 * HOUR, fault, after=1, strikes=1),),
        )
        alive += Play(setting).play().is_alive
    return alive


def most_versions(lifetime: float, disturbance: str, *, refresh_only: bool) -> Counter[str]:
    """Tell how many versions a disturbed day adds at most, to each of the two secrets."""
    begins, ends = HOUR, 2 * DAY
    deed, every = LOOPS.get(disturbance, ("", DAY))
    fault = FAULTS.get(disturbance)
    setting = Setting(
        seed=1,
        ends=ends,
        refresh_only=refresh_only,
        lifetime=lifetime,
        duplicates=0.5,
        outages=(Outage(begins, ends, fault),) if fault else (),
        deeds=tuple((begins + n * every, deed) for n in range(int(DAY / every))) if deed else (),
    )
    return Play(setting).play().most_versions


def grace_lines() -> Iterator[str]:
    """The table of graces."""
    yield f"One response lost after redeeming: of {TRIALS} refresh-only accounts so many live on"
    yield f"{'grace, in seconds':<{WIDTH - 20}}" + "".join(f"{grace:>6}" for grace in GRACES)
    for fault in LOSSES:
        cells = "".join(f"{survivors(grace, fault):>6}" for grace in GRACES)
        yield f"{fault.value:<{WIDTH - 20}}{cells}"


def version_lines() -> Iterator[str]:
    """The table of versions a day."""
    yield "Most versions within a day: credentials secret, token secret"
    yield f"{'tokens of':<{WIDTH - 10}}" + "".join(f"{name:>10}" for name in LIFETIMES)
    for refresh_only, kind in ((True, "refresh-only"), (False, "password")):
        for disturbance in ("undisturbed", *FAULTS, *LOOPS):
            row = f"{kind}: {disturbance}"
            cells = ""
            for lifetime in LIFETIMES.values():
                most = most_versions(lifetime, disturbance, refresh_only=refresh_only)
                cells += f"{most['credentials']:>6}{most['tokens']:>4}"
            yield f"{row:<{WIDTH - 10}}{cells}"
