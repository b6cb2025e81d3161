"""What must hold after any fault, and how a case is played and judged.

The bounds are those of the design, said once more here: a bound that the program relaxes must
not relax by itself what is tested.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tests.resilience.matrix import Fault
from tests.unit.fakes import HOUR, MINUTE, TICK, RefreshMode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tests.resilience.matrix import Flow, Point, Scene, Sending, Strike

DAY: Final = timedelta(days=1)
SLACK: Final = timedelta(seconds=30)

# How long an account is left alone after a failure: the first transient one, any of them while
# no token lives, and a refusal, which each further one doubles up to the longest.
TRANSIENT: Final = 5 * MINUTE
TRANSIENT_AGAIN: Final = 10 * MINUTE
LONGEST_TRANSIENT: Final = 30 * MINUTE
REFUSED: Final = 15 * MINUTE
LONGEST_REFUSED: Final = 6 * HOUR
REFUSALS: Final = ("invalid_client", "invalid_grant")
# A lease is over when its end is on record, or when it is so old; two of them are never closer
# than the interval, or where the refresh token ends before that, the short one.
ABANDONED_AFTER: Final = 20 * MINUTE
LEASE_INTERVAL: Final = 15 * MINUTE
SHORT_LEASE_INTERVAL: Final = 5 * MINUTE
# Where the last response must not be published, each lease writes two versions.
LEASE_INTERVAL_AFTER_REFUSED_RESPONSE: Final = 20 * MINUTE
# A refresh token that brought no token is sent again in the last half hour of the token.
LAST_SENDINGS: Final = 30 * MINUTE
# Three versions of a token secret are never closer than this, and a day has no more of either
# secret than AWS's documented rate allows.
MINIMUM_INTERVAL: Final = 40 * MINUTE
MINIMUM_INTERVAL_WITHOUT_REFRESH_TOKENS: Final = 20 * MINUTE
VERSIONS_A_DAY: Final = 144
# Where the loss is unavoidable: how many requests are made in the day after it.
MOST_REQUESTS: Final = 12
# What may be found after a new token: a later response, credentials that were put once more,
# what another run has recorded since.
FOLLOWS: Final = frozenset({"unpublished response", "credentials changed", "retry", "backing off"})
# Every tick at first; later no wait is shorter than half an hour.
WATCHED: Final = (
    *(TICK * number for number in range(1, 37)),
    *(30 * MINUTE * number for number in range(7, 49)),
)
# For the stages on which a sweep costs more: around what is promised, and then seldom.
WATCHED_COARSELY: Final = tuple(MINUTE * number for number in (5, 20, 25, 60, 65, 360, 1440))


class Invariant(Enum):
    """What is promised. Its name is what the report counts by."""

    I1 = "a published token that lives stays published and accepted"
    I2 = "once the fault is gone, a new token comes within the bound"
    I3 = "no refresh token is sent by two at once, nor again while it can cost more than it brings"
    I4 = "the versions stay within the budget, and between two leases lie 15 minutes"
    I5 = "no secret is where it does not belong"
    I6 = "where the loss is unavoidable: reported, no loop, healed by a new initial refresh token"


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
        ahead: How far the program's clock is ahead of the server's in the struck sweep.
        points: The calls of the struck sweep.
        violations: Empty is good.
        is_unavoidable: The only refresh token's response was lost, where that is unavoidable.
        requests: How many token requests the day after it saw then.
        reported_after: How long it took then until somebody was called.
    """

    flow: Flow
    scene: Scene
    strikes: tuple[Strike, ...]
    ahead: timedelta = timedelta(0)
    points: list[Point] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    is_unavoidable: bool = False
    requests: int = 0
    reported_after: timedelta | None = None
    _seen: tuple[str, dict[str, Any]] | None = None
    _mishaps: int = 0
    _is_forced: bool = False

    def broken(self, invariant: Invariant, detail: str) -> None:
        """Note a broken promise."""
        strikes = " + ".join(map(str, self.strikes)) or "no fault"
        if self.ahead:
            strikes += f", its clock {self.ahead / MINUTE:+.0f} minutes"
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
        before, number = self._version(), len(scene.versions)
        scene.ahead = self.ahead
        # What is due stays so where the clock is behind.
        scene.pass_time(abs(self.ahead))
        told = scene.sweep(*self.strikes, force=flow.is_forced)
        scene.ahead = timedelta(0)
        self.points = list(scene.boundary.points)
        flow.end(scene)
        is_lost = self._has_lost_its_only_grant()
        is_spoiled = (is_lost or scene.families_revoked()) and self._may_have_lost_it()
        if is_spoiled or self._is_held_beyond_its_end():
            self.is_unavoidable = True
            self._watch_unavoidable(watched)
            return self
        self._look("the struck sweep")
        if is_lost:
            self.broken(Invariant.I3, "the only refresh token was lost")
        if self._recovers(None if flow.is_unwritten else before, self._back_by(told, number)):
            self._refreshes_again()
        self._look_back()
        return self

    def play_day(self, *, put_every: timedelta = timedelta(0), force: bool = False) -> Case:
        """Let the fault last a day, at every sweep, and then be gone.

        Args:
            put_every: How often somebody puts the same credentials again; 0 is never.
            force: Whether every sweep is forced.
        """
        scene, self._is_forced = self.scene, force
        self.flow.begin(scene)
        self._seen = scene.published()
        for number in range(DAY // TICK):
            if put_every and number * TICK % put_every == timedelta(0):
                scene.edit()
            scene.sweep(*self.strikes, force=force)
            self.points += scene.boundary.points
            if self._has_lost_its_only_grant() and self._may_have_lost_it():
                self.is_unavoidable = True
            if self.is_unavoidable:
                self._look_for_secrets("a sweep of the day")
            else:
                self._look("a sweep of the day")
            scene.pass_time(TICK)
        if self.is_unavoidable:
            self._heals_by_another()
        else:
            is_refused = scene.failure().endswith(REFUSALS)
            wait = LONGEST_REFUSED if is_refused else max(LEASE_INTERVAL, self._until_last())
            if self._recovers(None, scene.now + wait + TICK):
                self._refreshes_again()
        self._look_back()
        return self

    def _until_last(self) -> timedelta:
        """How long it takes until a refresh token may be sent that brought no token."""
        published = self.scene.published()
        if published is None:
            return timedelta(0)
        live_until = datetime.fromtimestamp(published[1]["expires_at"], UTC)
        return live_until - LAST_SENDINGS - self.scene.now

    def _back_by(self, told: dict[str, Any] | None, number: int) -> datetime:
        """Tell by when the design promises a new token.

        Args:
            told: What the struck sweep returned.
            number: How many versions there were before it.
        """
        scene = self.scene
        error = _error_of(told) or scene.failure()
        waits = [timedelta(0)]
        if error.endswith(REFUSALS):
            waits.append(REFUSED)
        elif error and self.flow.verification_refuses and self._stood_still():
            waits.append(LONGEST_TRANSIENT)
        elif error:
            waits.append(TRANSIENT_AGAIN if self.flow.failed_before else TRANSIENT)
        if lease := self._open_lease():
            is_new = lease in {each.version_id for each in scene.versions[number:]}
            if self.flow.is_refresh_only:
                waits.append(LEASE_INTERVAL if self._is_ended(lease) else ABANDONED_AFTER)
                waits.append(self._until_last())
            elif is_new and not self._is_ended(lease):
                waits.append(ABANDONED_AFTER)
        is_refused = self.flow.verification_refuses or error.endswith("token_refused")
        if is_refused or "refused-response" in scene.tags():
            waits.append(LEASE_INTERVAL_AFTER_REFUSED_RESPONSE)
        return scene.now + max(waits) + TICK + abs(self.ahead)

    def _recovers(self, before: str | None, back_by: datetime) -> bool:
        """Sweep until there is another token than before, and once more; False if not in time.

        A failure that a fault kept from being recorded may be met, and recorded, once more; the
        bound then counts from there.
        """
        scene = self.scene
        may_extend = not scene.failure() or len(self.strikes) > 1
        told: dict[str, Any] | None = None
        while not self._is_fresh(before):
            if scene.now >= back_by:
                error = scene.failure() or "none"
                self.broken(Invariant.I2, f"no new token by {back_by}; its error is {error!r}")
                return False
            scene.pass_time(TICK)
            number = len(scene.versions)
            told = scene.sweep(force=self.flow.is_forced)
            self._look(f"the sweep at {scene.now}")
            if may_extend and _error_of(told):
                may_extend = False
                back_by = max(back_by, self._back_by(told, number))
        scene.pass_time(TICK)
        told = scene.sweep()
        self._look("the sweep after the new token")
        is_fresh = told is not None and told["outcomes"] == {"fresh": 1}
        # And what is short ends soon.
        may_follow = _reason_of(told) in FOLLOWS
        if not (is_fresh or may_follow or scene.until_due < HOUR):
            self.broken(Invariant.I2, f"the sweep after the new token found work: {told}")
        return True

    def _refreshes_again(self) -> None:
        """Let the new token grow due: what the fault left behind must not spoil its successor."""
        before = self._version()
        if self.scene.until_due >= HOUR:
            self.scene.pass_time(self.scene.until_due - TICK)
        for _ in range(1 + max(0, (HOUR - self.scene.until_due) // TICK)):
            self.scene.pass_time(TICK)
            self.scene.sweep()
        self._look("the refresh after it")
        if not self._is_fresh(before):
            error = self.scene.failure() or "none"
            self.broken(Invariant.I2, f"the refresh after it failed; its error is {error!r}")

    def _watch_unavoidable(self, watched: Iterable[timedelta]) -> None:
        """Hold what can still be promised where the only refresh token's response was lost."""
        scene, began = self.scene, self.scene.now
        sent = len(scene.sendings())
        # Each fault may cost the record of one attempt.
        late = max(ABANDONED_AFTER, self._until_last()) + 2 * TICK * len(self.strikes) + TICK
        if self._stood_still():
            # What it publishes late may be revoked, and is not asked for before it is due.
            late = max(late, DAY / 2)
        for after in (timedelta(0), *watched):
            told = None
            if began + after > scene.now:
                scene.pass_time(began + after - scene.now)
                told = scene.sweep()
            is_told = told is not None and bool(told["accounts_needing_action"])
            is_reported = is_told or scene.failure().startswith("action required")
            if is_reported and self.reported_after is None:
                self.reported_after = scene.now - began
            self._look_for_secrets(f"the sweep {after} later")
        self.requests = len(scene.sendings()) - sent
        if self.reported_after is None or self.reported_after > late:
            self.broken(Invariant.I6, f"reported after {self.reported_after}, not {late}")
        if self.requests > MOST_REQUESTS:
            self.broken(Invariant.I6, f"{self.requests} requests in a day")
        self._heals_by_another()
        self._look_back()

    def _heals_by_another(self) -> None:
        before = self._version()
        self.scene.onboard_refresh_only()
        self.scene.pass_time(TICK)
        self.scene.sweep()
        if not self._is_fresh(before) or self.scene.failure():
            self.broken(Invariant.I6, "a new initial refresh token did not heal it at once")
        self._look_for_secrets("the sweep with a new initial refresh token")

    # What is seen.

    def _version(self) -> str | None:
        published = self.scene.published()
        return published[0] if published else None

    def _is_fresh(self, before: str | None) -> bool:
        """Whether another token than before is published, accepted, and not due for long."""
        published = self.scene.published()
        if published is None or published[0] == before:
            return False
        token = published[1]
        return self.scene.lives_for(timedelta(seconds=token["expires_at"] - token["issued_at"]) / 2)

    def _may_have_lost_it(self) -> bool:
        strikes = self.strikes
        is_in_memory = self.flow.is_unwritten or any(
            strike.point.call == "journal" and strike.is_lasting for strike in strikes
        )
        if is_in_memory and any(strike.fault.kills for strike in strikes):
            return True
        return any(strike.may_lose_a_response for strike in strikes)

    def _stood_still(self) -> bool:
        return any(strike.fault.freezes for strike in self.strikes)

    def _is_held_beyond_its_end(self) -> bool:
        """Whether a refresh token of half an hour ends before it may be sent again."""
        lease, is_refused = self._open_lease(), self.scene.failure().endswith(REFUSALS)
        is_open = bool(lease) and not self._is_ended(lease)
        return self.scene.until_due < HOUR and (is_open or is_refused)

    def _open_lease(self) -> str:
        """The last lease, if nothing was journaled after it."""
        written = [each.version_id for each in self.scene.versions if each.path == "credentials"]
        return written[-1] if written and written[-1].startswith("request-") else ""

    def _is_ended(self, lease: str) -> bool:
        return self.scene.tags().get("lease", "").startswith(lease)

    def _has_lost_its_only_grant(self) -> bool:
        scene = self.scene
        if not self.flow.is_refresh_only or scene.mode is not RefreshMode.ROTATES:
            return False
        return scene.stored_refresh_token() != scene.latest_refresh_token()

    def _look(self, when: str) -> None:
        """Check, after a sweep, what must hold at any time."""
        scene = self.scene
        published = scene.published()
        if published is None:
            if self._seen is not None:
                self.broken(Invariant.I1, f"nothing is published after {when}")
        else:
            _, token = published
            lives = token["expires_at"] > (scene.now + abs(self.ahead)).timestamp()
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
            for detail in self._needless_sendings():
                self.broken(Invariant.I3, detail)
        # A primary grant's request costs nothing but itself, so nobody looks how old it is.
        is_late = self._stood_still() and not self.flow.is_refresh_only
        if (refused := scene.assertions_refused()) and not is_late:
            self.broken(Invariant.I3, f"{refused} assertions came twice, or after their end")
        uses_refresh_tokens = any(each.path == "credentials" for each in scene.versions)
        for detail in over_budget(scene, uses_refresh_tokens=uses_refresh_tokens, ahead=self.ahead):
            self.broken(Invariant.I4, detail)

    def _needless_sendings(self) -> Iterator[str]:
        """Name every refresh token that was sent again, and should not have been."""
        flow = self.flow
        sent: defaultdict[str, list[Sending]] = defaultdict(list)
        for each in self.scene.sendings():
            sent[each.refresh_token].append(each)
        for sendings in sent.values():
            for before, again in pairwise(sendings):
                if not flow.is_refresh_only:
                    yield "a refresh token was sent again, beside a primary grant"
                elif before.run is again.run:
                    if before.run is not sendings[0].run or again is not sendings[1]:
                        yield "a refresh token was sent twice in a lease that was not the first"
                elif again.is_needless and not (flow.is_forced or self._is_forced):
                    yield "a refresh token was sent again while a published token lived"
        if not self.scene.has_grace and not self.is_unavoidable:
            twice = [each for each in self.scene.refresh_tokens_redeemed().values() if each > 1]
            if twice:
                yield f"a refresh token was redeemed {twice[0]} times"


def _error_of(told: dict[str, Any] | None) -> str:
    """Tell the code of the failure that a summary tells of; empty without one."""
    accounts = told["accounts"] if told is not None else []
    return next((each["error"] for each in accounts if "error" in each), "")


def _reason_of(told: dict[str, Any] | None) -> str:
    accounts = told["accounts"] if told is not None else []
    return next((each["reason"] for each in accounts), "")


def _issued_at(version_id: str) -> datetime:
    return datetime.strptime(version_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def over_budget(
    scene: Scene, *, uses_refresh_tokens: bool, ahead: timedelta = timedelta(0)
) -> Collection[str]:
    """Name every way in which the versions that were written exceed what may be written."""
    found = []
    tolerance = SLACK + abs(ahead)
    floor = MINIMUM_INTERVAL if uses_refresh_tokens else MINIMUM_INTERVAL_WITHOUT_REFRESH_TOKENS
    # By when they were issued: who stands still publishes late.
    tokens = [_issued_at(each.version_id) for each in scene.versions if each.path == "tokens"]
    for first, third in zip(tokens, tokens[2:], strict=False):
        is_put = any(first <= at <= third for at in scene.puts)
        if third - first < floor - tolerance and not is_put:
            found.append(f"three versions of the token secret within {third - first}")
    leases = [each.at for each in scene.versions if each.version_id.startswith("request-")]
    interval = SHORT_LEASE_INTERVAL if scene.until_due < HOUR else LEASE_INTERVAL
    for first, second in pairwise(leases):
        is_put = any(first <= at <= second for at in scene.puts)
        if second - first < interval - tolerance and not is_put:
            found.append(f"two leases within {second - first}")
    for first, third in zip(leases, leases[2:], strict=False):
        if third - first < interval - tolerance:
            found.append(f"three leases within {third - first}")
    for path in ("tokens", "credentials"):
        moments = [each.at for each in scene.versions if each.path == path]
        for number, moment in enumerate(moments):
            a_day = sum(moment <= other < moment + DAY for other in moments[number:])
            # Of posts there is one more than of intervals.
            if a_day > VERSIONS_A_DAY + 1:
                found.append(f"{a_day} versions of the {path} secret in a day")
                break
    return found
