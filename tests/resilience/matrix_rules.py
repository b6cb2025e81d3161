"""What must hold after any fault, and how a case is played and judged.

The bounds are those of the design, said once more here: a bound that the program relaxes must
not relax by itself what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from tests.resilience.matrix import Fault
from tests.unit.fakes import HOUR, MINUTE, REFRESH_BEFORE, TICK, UNTIL_DUE, RefreshMode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tests.resilience.matrix import Flow, Point, Scene, Strike

DAY: Final = timedelta(days=1)

# How long an account is left alone after its first failure, by class; each further
# failure in a row doubles it, up to the longest.
FIRST_WAIT: Final = {
    "transient": 5 * MINUTE,
    "action required": 15 * MINUTE,
    "invalid response": 30 * MINUTE,
}
LONGEST_WAIT: Final = {
    "transient": 30 * MINUTE,
    "action required": 6 * HOUR,
    "invalid response": 6 * HOUR,
}
# A refresh-only account's refresh token that may have been redeemed is sent once more, this
# long after its claim.
RESEND_AFTER: Final = 15 * MINUTE
# Three versions of a token secret are never closer than this, and a day has no more of either
# secret than the budget: Secrets Manager keeps about 100 and all of the last day.
MINIMUM_INTERVAL: Final = 60 * MINUTE
MINIMUM_INTERVAL_WITHOUT_REFRESH_TOKENS: Final = 30 * MINUTE
VERSIONS_A_DAY: Final = 96
# Where the loss is unavoidable: how often a refresh token may be sent, and requests be made, a day.
MOST_SENT: Final = 2
MOST_REQUESTS: Final = 2
# Every tick at first; later no wait is shorter than half an hour.
WATCHED: Final = (
    *(TICK * number for number in range(1, 37)),
    *(30 * MINUTE * number for number in range(7, 49)),
)
# For the stages on which a sweep costs more: around the resend, and then seldom.
WATCHED_COARSELY: Final = tuple(MINUTE * number for number in (5, 10, 15, 20, 60, 360, 1440))


class Invariant(Enum):
    """What is promised. Its name is what the report counts by."""

    I1 = "a published token that lives stays published and accepted"
    I2 = "once the fault is gone, a new token comes within the bound"
    I3 = "no refresh token is redeemed twice, no family revoked, no only grant lost"
    I4 = "the versions stay within the budget, and the minimum interval holds"
    I5 = "no secret is where it does not belong"
    I6 = "where the loss is unavoidable: reported, no loop, healed by a new seed"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, and the way to it."""

    invariant: Invariant
    flow: str
    strikes: str
    detail: str

    def __str__(self) -> str:
        """Name all that is needed to see it again."""
        return f"{self.invariant.name} [{self.flow}] [{self.strikes}]: {self.detail}"


@dataclass(slots=True)
class Case:
    """One flow under certain faults, and what came of it.

    Attributes:
        points: The calls of the struck sweep.
        violations: Empty is good.
        needed_a_person: A fault that lasted a day has used up the only refresh token's two tries.
        is_unavoidable: The only refresh token's answer was lost, where the loss is unavoidable.
        sent: How often one refresh token was sent then, at most.
        requests: How many token requests the day after it saw then.
        reported_after: How long it took then until somebody was called, from when it was due.
    """

    flow: Flow
    scene: Scene
    strikes: tuple[Strike, ...]
    points: list[Point] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    needed_a_person: bool = False
    is_unavoidable: bool = False
    sent: int = 0
    requests: int = 0
    reported_after: timedelta | None = None
    _seen: tuple[str, dict[str, Any]] | None = None
    _mishaps: int = 0

    def broken(self, invariant: Invariant, detail: str) -> None:
        """Note a broken promise."""
        strikes = " + ".join(map(str, self.strikes)) or "no fault"
        self.violations.append(Violation(invariant, self.flow.name, strikes, detail))

    def was_struck_by(self, strike: Strike) -> bool:
        """Whether a fault met its call; a connection that is refused is seen by nobody."""
        return strike.point in self.points or strike.fault is Fault.REFUSED

    # How it is played.

    def play(self, *, watched: Iterable[timedelta] = WATCHED) -> Case:
        """Strike one sweep, let the fault be gone, and watch what becomes of the account.

        Args:
            watched: When it is swept where the loss is unavoidable.
        """
        scene, flow = self.scene, self.flow
        flow.begin(scene)
        self._seen = scene.published()
        before, began, claim = self._version(), scene.now, scene.open_claim()
        told = scene.sweep(*self.strikes, force=flow.is_forced)
        self.points = list(scene.boundary.points)
        flow.end(scene)
        self._look("the struck sweep")
        if self._has_lost_its_only_grant():
            if any(strike.may_lose_an_answer for strike in self.strikes):
                self.is_unavoidable = True
                self._watch_unavoidable(began, watched)
                return self
            self.broken(Invariant.I3, "the only refresh token was lost")
        if self._recovers(before, began, self._bound(told, claim)):
            self._refreshes_again()
        self._look_back()
        return self

    def play_day(self) -> Case:
        """Let the fault last a day, at every sweep, and then be gone."""
        scene = self.scene
        self.flow.begin(scene)
        self._seen = scene.published()
        may_need_a_person = self.flow.is_refresh_only and any(
            strike.may_lose_an_answer or strike.may_hide_that_nothing_was_redeemed
            for strike in self.strikes
        )
        for _ in range(DAY // TICK):
            scene.sweep(*self.strikes)
            self.points += scene.boundary.points
            if may_need_a_person:
                self._look_for_secrets("a sweep of the day")
            else:
                self._look("a sweep of the day")
            scene.pass_time(TICK)
        if may_need_a_person and self._has_lost_its_only_grant():
            self.needed_a_person = True
            self._heals_by_a_new_seed()
        else:
            self._is_well_again(may_need_a_person=may_need_a_person)
        self._look_back()
        return self

    def _is_well_again(self, *, may_need_a_person: bool) -> None:
        """Sweep until nothing is left to do, and refresh once more."""
        scene = self.scene
        failure_class = scene.error_tag().partition(":")[0]
        bound = LONGEST_WAIT.get(failure_class, max(LONGEST_WAIT.values()))
        for _ in range(bound // TICK + 1):
            told = scene.sweep()
            self._look("a sweep after the day")
            if told is not None and told["outcomes"] == {"fresh": 1}:
                self._refreshes_again()
                return
            scene.pass_time(TICK)
        error = scene.error_tag() or "none"
        if may_need_a_person and error.startswith("action required"):
            self.needed_a_person = True
            self._heals_by_a_new_seed()
        else:
            self.broken(Invariant.I2, f"not well {bound} after the day; its error is {error!r}")

    def _recovers(self, before: str | None, began: datetime, bound: timedelta) -> bool:
        """Sweep until there is a new token, and once more; False where none came in time.

        A failure that a fault kept from being recorded may be met, and recorded, once more; the
        bound then counts from there.
        """
        scene = self.scene
        ticks = 0
        may_extend = not scene.error_tag() or len(self.strikes) > 1
        while not self._is_fresh(before):
            if ticks * TICK >= bound:
                error = scene.error_tag() or "none"
                self.broken(Invariant.I2, f"no new token after {bound}; its error is {error!r}")
                return False
            ticks += 1
            self._wait_until(began + ticks * TICK)
            told = scene.sweep(force=self.flow.is_forced)
            self._look(f"the sweep {ticks * TICK} later")
            failure_class = _failure_class(told)
            if failure_class and may_extend:
                may_extend = False
                bound = ticks * TICK + longest_wait(failure_class, failures=3)
        self._wait_until(began + (ticks + 1) * TICK)
        told = scene.sweep()
        self._look("the sweep after the new token")
        if told is None or told["outcomes"] != {"fresh": 1}:
            self.broken(Invariant.I2, f"the sweep after the new token found work: {told}")
        return True

    def _refreshes_again(self) -> None:
        """Let the new token grow due: what the fault left behind must not spoil its successor."""
        before = self._version()
        self.scene.pass_time(UNTIL_DUE)
        self.scene.sweep()
        self._look("the refresh after it")
        if not self._is_fresh(before):
            error = self.scene.error_tag() or "none"
            self.broken(Invariant.I2, f"the refresh after it failed; its error is {error!r}")

    def _watch_unavoidable(self, began: datetime, watched: Iterable[timedelta]) -> None:
        """Hold what can still be promised where the only refresh token's answer was lost."""
        scene = self.scene
        requests = scene.refresh_tokens_sent().total()
        # What was forced was not due, and nobody looks at it before it is.
        due = self._seen[1]["expires_at"] - REFRESH_BEFORE.total_seconds() if self._seen else 0
        due_after = timedelta(seconds=max(0, due - began.timestamp()))
        for after in watched:
            if scene.error_tag().startswith("action required") and self.reported_after is None:
                self.reported_after = max(timedelta(0), scene.now - began - due_after)
            self._wait_until(began + after)
            scene.sweep()
            self._look_for_secrets(f"the sweep {after} later")
        sent = scene.refresh_tokens_sent()
        self.sent = max(sent.values(), default=0)
        self.requests = sent.total() - requests
        # Each fault may cost the record of one attempt.
        if self.reported_after is None or self.reported_after > HOUR * len(self.strikes):
            self.broken(Invariant.I6, f"reported after {self.reported_after}")
        if self.sent > MOST_SENT:
            self.broken(Invariant.I6, f"a refresh token was sent {self.sent} times")
        if self.requests > MOST_REQUESTS:
            self.broken(Invariant.I6, f"{self.requests} requests in a day")
        self._heals_by_a_new_seed()
        self._look_back()

    def _heals_by_a_new_seed(self) -> None:
        before = self._version()
        self.scene.onboard_refresh_only()
        self.scene.pass_time(TICK)
        self.scene.sweep()
        if not self._is_fresh(before) or self.scene.error_tag():
            self.broken(Invariant.I6, "a new seed did not heal it at once")
        self._look_for_secrets("the sweep with a new seed")

    # What is seen.

    def _version(self) -> str | None:
        published = self.scene.published()
        return published[0] if published else None

    def _is_fresh(self, before: str | None) -> bool:
        """Whether another token than before is published, accepted, and not due for long."""
        published = self.scene.published()
        if published is None or published[0] == before:
            return False
        left = published[1]["expires_at"] - self.scene.now.timestamp()
        return left > 10 * HOUR.total_seconds() and self.scene.accepts(published[1]["access_token"])

    def _wait_until(self, moment: datetime) -> None:
        if moment > self.scene.now:
            self.scene.pass_time(moment - self.scene.now)

    def _has_lost_its_only_grant(self) -> bool:
        scene = self.scene
        if not self.flow.is_refresh_only or scene.mode is not RefreshMode.ROTATES:
            return False
        return scene.stored_refresh_token() != scene.latest_refresh_token()

    def _bound(self, told: dict[str, Any] | None, claim: str) -> timedelta:
        """Tell within what time the design promises a new token.

        Args:
            told: What the struck sweep answered.
            claim: The open claim before it.
        """
        failure_class = _failure_class(told) or self.scene.error_tag().partition(":")[0]
        again = 2 if failure_class == self.flow.failed_before else 1
        bound = longest_wait(failure_class, failures=again) if failure_class else TICK
        open_claim = self.scene.open_claim()
        is_known_unspent = [each.proves_that_nothing_was_redeemed for each in self.strikes] == [
            True
        ]
        if self.flow.is_refresh_only and open_claim not in {"", claim} and not is_known_unspent:
            bound = max(bound, RESEND_AFTER)
        return bound

    def _look(self, when: str) -> None:
        """Check, after a sweep, what must hold at any time."""
        scene = self.scene
        published = scene.published()
        if published is None:
            if self._seen is not None:
                self.broken(Invariant.I1, f"nothing is published after {when}")
        else:
            _, token = published
            lives = token["expires_at"] > scene.now.timestamp()
            if lives and not scene.accepts(token["access_token"]):
                self.broken(Invariant.I1, f"what is published is not accepted after {when}")
            if self._seen is not None and token["issued_at"] < self._seen[1]["issued_at"]:
                self.broken(Invariant.I1, f"an older token was published by {when}")
            self._seen = published
        mishaps = scene.families_revoked()
        if mishaps > self._mishaps:
            self._mishaps = mishaps
            self.broken(Invariant.I3, f"a family was revoked by {when}")
        self._look_for_secrets(when)

    def _look_for_secrets(self, when: str) -> None:
        """Search what left the program, and what anybody can see of the secrets."""
        scene = self.scene
        for place, text in (("said", "\n".join(scene.said)), ("metadata", scene.outside())):
            if mark := scene.marks.search(text):
                around = text[max(0, mark.start() - 60) : mark.end()]
                self.broken(Invariant.I5, f"{place} after {when}: …{around}")
        if mark := scene.hidden_marks.search(scene.token_texts()):
            self.broken(Invariant.I5, f"{mark[0]} in the token secret after {when}")
        scene.said.clear()

    def _look_back(self) -> None:
        """Check, at the end, what can be counted."""
        scene = self.scene
        if scene.mode is RefreshMode.ROTATES:
            twice = [number for number in scene.refresh_tokens_redeemed().values() if number > 1]
            if twice:
                self.broken(Invariant.I3, f"a refresh token was redeemed {twice[0]} times")
        uses_refresh_tokens = any(each.path == "credentials" for each in scene.versions)
        for detail in over_budget(scene, uses_refresh_tokens=uses_refresh_tokens):
            self.broken(Invariant.I4, detail)


def longest_wait(failure_class: str, *, failures: int) -> timedelta:
    """Tell how long an account may be left alone after so many failures of a class in a row."""
    doubled: timedelta = FIRST_WAIT[failure_class] * 2 ** (failures - 1)
    return min(doubled, LONGEST_WAIT[failure_class])


def _failure_class(told: dict[str, Any] | None) -> str:
    """Tell the class of the failure that a summary tells of; empty without one."""
    accounts = told["accounts"] if told is not None else []
    return next((each["failure_class"] for each in accounts if "failure_class" in each), "")


def over_budget(scene: Scene, *, uses_refresh_tokens: bool) -> Collection[str]:
    """Name every way in which the versions that were written exceed what may be written."""
    found = []
    floor = MINIMUM_INTERVAL if uses_refresh_tokens else MINIMUM_INTERVAL_WITHOUT_REFRESH_TOKENS
    tokens = [each.at for each in scene.versions if each.path == "tokens"]
    for first, third in zip(tokens, tokens[2:], strict=False):
        if third - first < floor:
            found.append(f"three versions of the token secret within {third - first}")
    for path in ("tokens", "credentials"):
        moments = [each.at for each in scene.versions if each.path == path]
        for number, moment in enumerate(moments):
            a_day = sum(moment <= other < moment + DAY for other in moments[number:])
            if a_day > VERSIONS_A_DAY:
                found.append(f"{a_day} versions of the {path} secret in a day")
                break
    return found
