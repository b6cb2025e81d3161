"""What is done to the program and to the servers, and what must come of it.

Expected is what docs/architecture.md promises. A token is due when half its two hours have passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.resilience.matrix import Point
from tests.servers.front import Network
from tests.servers.servers import SECRET
from tests.servers.stage import MINUTE, TICK, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from tests.servers.servers import Kind

REFRESHES: Final = 5
# Past the end of the token that was due: whoever is alive then has another one.
TO_THE_END: Final = 65 * MINUTE
UNTIL_CORRECTED: Final = 30 * MINUTE
KILLED_AFTER: Final = "killed after "
ALIVE: Final = "alive"
SENT_AGAIN: Final = "; sent again"
RECOVERED: Final = "action required, then alive"
DEAD: Final = f"action required{SENT_AGAIN}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial.

    Attributes:
        kind: At which server.
        account: Of which kind.
        trial: Its name.
        expected: What should have come of it.
        outcome: What came of it.
    """

    kind: Kind
    account: str
    trial: str
    expected: str
    outcome: str

    def __str__(self) -> str:
        """Say it as the table does."""
        if self.outcome == self.expected:
            return self.outcome
        return f"**{self.outcome}** (promised: {self.expected})"


@dataclass(frozen=True, slots=True)
class Trial:
    """Something that is done to an account that has its first token.

    Attributes:
        name: What the table calls it.
        act: Does it.
        needs_refresh_token: Whether it makes no sense without one.
    """

    name: str
    act: Callable[[Stage], None]
    needs_refresh_token: bool = False


def refreshes(stage: Stage) -> None:
    for _ in range(REFRESHES):
        stage.must_refresh()


def two_processes(stage: Stage) -> None:
    stage.sweep(runs=2)  # Both have started before there is anything to do.
    for _ in range(REFRESHES):
        stage.must_refresh(runs=2)
        assert Point("read credentials", 2) in stage.calls(), "the two were not at it at once"


def under(network: Network, *, duration: timedelta) -> Callable[[Stage], None]:
    """Let the network be as it says from the time when the token is due."""

    def act(stage: Stage) -> None:
        stage.until_due()
        stage.front.network = network
        stage.sweep()
        stage.pass_time(duration - TICK)
        stage.front.network = Network.FINE
        stage.pass_time(TO_THE_END - (duration - TICK))
        assert stage.front.struck, "nothing was in the way"

    return act


def secret_mistyped(stage: Stage) -> None:
    stage.put(client_secret="made-up-and-wrong")
    stage.pass_time(UNTIL_CORRECTED)
    stage.put(client_secret=SECRET)
    stage.must_refresh(after=TICK)


def refresh_token_revoked(stage: Stage) -> None:
    stage.until_due()
    stage.server.revoke(stage.front.latest)
    stage.sweep()
    stage.pass_time(TO_THE_END)


def killed(point: Point) -> Trial:
    """Make the trial that ends the process while it waits for the response of a call."""

    def act(stage: Stage) -> None:
        stage.until_due()
        stage.sweep(killed_after=point)
        stage.pass_time(TO_THE_END)

    return Trial(f"{KILLED_AFTER}`{point}`", act)


LOST: Final = Trial(
    "a response is lost on the wire", under(Network.LOSES_A_RESPONSE, duration=TICK)
)
DOWN: Final = Trial("502 for 20 minutes", under(Network.GATEWAY_IS_DOWN, duration=20 * MINUTE))
REFUSED: Final = Trial(
    "a certificate of an unknown authority for 20 minutes",
    under(Network.IS_NOT_TRUSTED, duration=20 * MINUTE),
)
MISTYPED: Final = Trial("client_secret mistyped, corrected after half an hour", secret_mistyped)
REVOKED: Final = Trial(
    "the refresh token is revoked", refresh_token_revoked, needs_refresh_token=True
)
TRIALS: Final = (
    Trial("first token", lambda _: None),
    Trial("five refreshes", refreshes),
    Trial("five refreshes, by two processes at once", two_processes),
    LOST,
    DOWN,
    REFUSED,
    MISTYPED,
    REVOKED,
)


def expected(trial: Trial, kind: Kind, *, is_refresh_only: bool) -> str:
    """Tell what must come of a trial."""
    if trial is REFUSED:
        return RECOVERED
    if is_refresh_only:
        if trial is LOST:
            return f"{ALIVE}{SENT_AGAIN}" if kind.grace else DEAD
        if trial is MISTYPED:
            return f"{RECOVERED}{SENT_AGAIN}"
        # Twenty minutes later no grace is left.
        if trial is REVOKED or trial.name == f"{KILLED_AFTER}`request`":
            return DEAD
    elif trial is MISTYPED:
        return RECOVERED
    # These servers have ended the published token with the refresh.
    elif kind.keeps_one_token and trial.name == f"{KILLED_AFTER}`request`":
        return f"{ALIVE} after 20 min"
    if kind.keeps_one_token and trial.name == f"{KILLED_AFTER}`journal`":
        return f"{ALIVE} after 5 min"
    return ALIVE


def play(kind: Kind, *, is_refresh_only: bool) -> Iterator[Result]:
    """Play all trials of an account at a server; those that kill strike each call of a refresh."""
    account = "refresh-only" if is_refresh_only else kind.primary_grant["grant_type"]
    has_refresh_token = is_refresh_only or kind.rotates_for_machines
    with Stage(kind, is_refresh_only=is_refresh_only) as stage:
        stage.begin()
        stage.until_due()
        stage.sweep()
        for trial in (*TRIALS, *map(killed, stage.calls())):
            if has_refresh_token or not trial.needs_refresh_token:
                stage.begin()
                trial.act(stage)
                promised = expected(trial, kind, is_refresh_only=is_refresh_only)
                yield Result(kind, account, trial.name, promised, stage.outcome())
