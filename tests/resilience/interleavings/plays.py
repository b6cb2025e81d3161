"""One play: the real Sweeper and Refresher in environments that overlap, disturbed at random.

A play follows from its setting, seed and all.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.resilience.interleavings.judgement import Broken, Judgement
from tests.resilience.interleavings.schedule import Schedule
from tests.resilience.interleavings.secrets_manager import MARK, PREFIX, Region, Store
from tests.resilience.interleavings.server import (
    LONGEST_LAG,
    REFUSALS,
    Endpoint,
    Outage,
    Request,
    Server,
)
from tests.resilience.interleavings.settings import CALM, HOUR, MINUTE
from tests.resilience.simulation.timelines import moment
from tests.unit.fakes import RunKilledError
from token_refresher.errors import SecretStoreError, UnexpectedError
from token_refresher.ports import CURRENT, JOURNAL_STAGE, PREVIOUS
from token_refresher.refresh import Refresher
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.resilience.interleavings.settings import Setting

ACCOUNT: Final = "dealer-17"
CREDENTIALS: Final = f"{PREFIX}/credentials/{ACCOUNT}"
TOKEN: Final = f"{PREFIX}/tokens/{ACCOUNT}"
TICK: Final = 5 * MINUTE
INVOCATION: Final = 240.0
# What a promise of 15 minutes and a tick has for late ticks and slow calls.
SERVED_WITHIN: Final = 15 * MINUTE + TICK + 90


@dataclass(eq=False, slots=True)
class Run:
    """One invocation, and what it has come to.

    Attributes:
        name: As a sequence shows it.
        may_risk_the_token: It was forced, or a consumer rejected the published token.
        is_dead: Its environment has ended.
        is_hindered: It stood still, or a write failed.
        has_sent: Whether a token request of it has left.
        described_at: When it last read what is published.
        leased_at: When it began to put its lease.
        answered_at: When it had a response.
    """

    name: str
    may_risk_the_token: bool
    is_dead: bool = False
    is_hindered: bool = False
    has_sent: bool = False
    described_at: float = 0.0
    leased_at: float = 0.0
    answered_at: float = 0.0


class Environment:
    """An environment of the function: one run at a time, and what it remembers between them."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.run = Run("nobody", may_risk_the_token=False)
        self.is_busy = False
        self._skew = play.random.uniform(-play.setting.skew, play.setting.skew)
        self._stood_still = 0.0
        endpoint = Endpoint(self, play.server)
        self.sweeper = Sweeper(
            Refresher(
                store=Store(self, play.region),
                endpoint=endpoint,
                clock=self.clock,
                pause=lambda duration: self.wait(duration.total_seconds()),
                refresh_before=timedelta(minutes=90),
                schedule=timedelta(seconds=TICK),
                uses_refresh_tokens=True,
            ),
            monotonic=self._monotonic,
            max_workers=1,
        )

    @property
    def is_disturbed(self) -> bool:
        """Whether anything may go wrong now."""
        return self.play.time.now < self.play.setting.calm_from

    def clock(self) -> datetime:
        """Tell the time, as this environment believes."""
        return moment(self.play.time.now + self._skew)

    def _monotonic(self) -> float:
        # A machine that sleeps counts only while it is awake; it tells the time all the same.
        return self.play.time.now - self._stood_still * self.play.setting.sleeps

    def draw(self, least: float, most: float) -> float:
        """Draw a number."""
        return self.play.random.uniform(least, most)

    def tell(self, line: str) -> None:
        """Log what happened in this run."""
        self.play.tell(line, self.run)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.play.time.wait(seconds)

    def give_way(self, call: str, *, of: Request | None = None) -> None:
        """Let others go on at a call; perhaps stand still there, or end."""
        setting, chance = self.play.setting, self.play.random.random
        self.wait(self.draw(0.005, 0.05))
        # Most runs do nothing but list, and there it harms least.
        if not self.is_disturbed or ("list" in call and chance() < 9 / 10):
            return
        if chance() < setting.freezes:
            # From a second to six hours, as many short as long ones.
            seconds = 6 * HOUR / 10 ** self.draw(0, 4.3)
            self.tell(f"  stands still for {seconds:.0f} s at {call}")
            self._stood_still += seconds
            self.run.is_hindered = True
            self.wait(seconds)
            self.tell("  goes on")
        if chance() < setting.deaths:
            self.tell(f"  dies at {call}")
            self.run.is_dead = True
            if of is not None:
                of.is_at_server = False
            raise RunKilledError

    def at_server(self, seconds: float, act: Callable[[], object] | None, request: Request) -> None:
        """Let the server be done with a request then, whether or not anybody waits for it."""

        def done() -> None:
            if act is not None:
                act()
            request.is_at_server = False

        self.play.time.at(self.play.time.now + seconds, done)

    def sweep(self, run: Run, names: tuple[str, ...], *, forced: bool, rejected: str) -> None:
        """Run once, as a thread of its own."""
        self.run = run
        ends_at = self._monotonic() + INVOCATION
        try:
            report = self.sweeper.sweep(
                time_left=lambda: timedelta(seconds=ends_at - self._monotonic()),
                accounts=names,
                force=forced,
                rejected_version=rejected,
            )
        except SecretStoreError:
            return
        except RunKilledError:
            run.is_dead = True
            raise
        finally:
            self.is_busy = False
            if run.is_dead:
                self.play.environments.discard(self)
        for result in report.results:
            if self.play.judgement.log is not None:
                self.tell(f"= {result.outcome} ({result.reason}) {result.error or ''}")
            if isinstance(result.error, UnexpectedError):
                self.play.broken(Broken.DEFECT, str(result.error))


class Play:
    """Plays a setting."""

    def __init__(
        self, setting: Setting, *, logs: bool = False, environment: type[Environment] = Environment
    ) -> None:
        self.setting = setting
        self._environment = environment
        self.random = random.Random(setting.seed)  # noqa: S311 - the same each time
        self.time = Schedule()
        self.judgement = Judgement(log=[] if logs else None)
        self.outages = [replace(outage) for outage in setting.outages]
        self.server = Server(self)
        self.region = Region(self)
        self.environments: set[Environment] = set()
        self._ordered: list[Environment] = []
        self._runs = 0
        self._puts = 0
        self._put_at = 0.0
        self._awaits_request = False
        self._leased_at = 0.0
        self.initial = self.server.consent()
        self.consents = 1

    def tell(self, line: str, run: Run | None = None) -> None:
        """Log what happened, if that is wanted."""
        if self.judgement.log is not None:
            name = run.name if run else ""
            self.judgement.log.append(f"{self.time.now:>9.1f} {name:<12} {line}")

    def broken(self, kind: Broken, detail: str) -> None:
        """Note that a promise was broken."""
        self.tell(f"VIOLATION {kind.value}: {detail}")
        self.judgement.broken.append((kind, f"at {self.time.now:.0f} s: {detail}"))

    def leased(self, run: Run) -> None:
        """Judge the time between two leases."""
        now, setting = self.time.now, self.setting
        since, self._leased_at = self._leased_at, now
        # Ticks may be half a minute early, and clocks differ.
        least = 15 * MINUTE - 31 - 2 * setting.skew
        # A run that knows what was so minutes ago may refresh what was just refreshed.
        is_excused = setting.stale or setting.freezes or self._put_at > since - LONGEST_LAG
        # Where the refresh token ends soon there are five minutes between them.
        is_excused = is_excused or setting.refresh_lifetime is not None
        if since and now - since < least and not is_excused:
            self.broken(Broken.LEASES_TOO_CLOSE, f"{run.name}, after {now - since:.0f} s")

    def published_text(self) -> str | None:
        """What consumers read."""
        secret = self.region.secret(TOKEN)
        current = secret.stages.get(CURRENT) if secret else None
        text = secret.versions[current] if secret and current else None
        return None if text is None else str(text)

    def play(self) -> Judgement:
        """Let it happen, and judge it."""
        self._put_credentials()
        self.time.at(0, self._tick)
        for at, deed in self.setting.deeds:
            self.time.at(at, partial(self._do, deed))
        for outage in self.outages:
            self._watch(outage)
        self.time.play(self.setting.ends)
        self._judge_end()
        return self.judgement

    def _tick(self) -> None:
        self._invoke("sweep")
        if not self.server.accepts(self.published_text()):
            self.time.at(self.time.now + self.random.uniform(0, TICK), self._reject)
        if self.random.random() < self.setting.duplicates:
            self._invoke("duplicate", after=self.random.choice((0.0, 0.1, 2.0, 60.0)))
        self.time.at(self.time.now + TICK, self._tick)

    def _invoke(
        self,
        purpose: str,
        *,
        after: float = 0.0,
        forced: bool = False,
        rejected: str = "",
        names_account: bool = False,
    ) -> None:
        idle = [env for env in self._ordered if not env.is_busy and env in self.environments]
        if idle and self.random.random() >= self.setting.cold:
            env = self.random.choice(idle)
        else:
            env = self._environment(self)
            self.environments.add(env)
            self._ordered = [*idle[-6:], *(e for e in self._ordered if e.is_busy), env]
        env.is_busy = True
        self._runs += 1
        run = Run(f"{purpose} {self._runs}", may_risk_the_token=forced or bool(rejected))
        late = after + self.random.uniform(0, 3) * (purpose != "trigger")
        names = (ACCOUNT,) if forced or rejected or names_account else ()
        self.time.start(
            partial(env.sweep, run, names, forced=forced, rejected=rejected),
            at=self.time.now + late,
        )

    # What people do.

    def _put_credentials(self, **more: str) -> None:
        grant = (
            {"grant_type": "refresh_token", "refresh_token": self.initial}
            if self.setting.refresh_only
            else {"grant_type": "password", "username": "dealer", "password": f"{MARK}-password"}
        )
        content = {
            "token_endpoint": "https://www.autovit.ro/token",
            "client_id": "123",
            "client_secret": f"{MARK}-client-secret",
            **grant,
            **more,
        }
        self._puts += 1
        self._put_at = self.time.now
        self.region.put(CREDENTIALS, json.dumps(content), f"terraform-{self._puts:022}")

    def react(self) -> None:
        """Let a person see that something is wrong, put the credentials again, and force."""
        at = self.time.now + self.random.uniform(60, 290)
        self.time.at(at, partial(self._do, "put the same credentials"))
        self.time.at(at + 1, partial(self._do, "force"))

    def sent(self) -> None:
        """Let a person act just when a refresh token is on its way, if one is to."""
        if self._awaits_request:
            self._awaits_request = False
            at = self.time.now + self.random.uniform(0, 9)
            self.time.at(at, partial(self._do, "put a new consent"))

    def _do(self, deed: str) -> None:
        self.tell(deed, Run("a person", may_risk_the_token=False))
        secret = self.region.secret(TOKEN)
        if deed == "put the same credentials":
            self._put_credentials()
        elif deed == "put corrected credentials":
            self._put_credentials(user_agent=f"corrected {self._puts}")
        elif deed == "put a new consent":
            self.initial = self.server.consent()
            self.consents += 1
            self._put_credentials()
            self._invoke("trigger", names_account=True)
        elif deed == "put a new consent while a request is on its way":
            self._awaits_request = True
        elif deed == "wipe tags":
            self.region.tag(TOKEN, {})
        elif deed == "add 50 tags":
            self.region.tag(TOKEN, {f"cost-center-{n}": "1" for n in range(50)})
        elif deed == "remove the 50 tags":
            tags = secret.tags if secret else {}
            self.region.tag(TOKEN, {k: v for k, v in tags.items() if "cost" not in k})
        elif deed == "move AWSCURRENT back":
            self.region.move_current(TOKEN, to=PREVIOUS)
        elif deed == "force":
            self._invoke("force", forced=True)
        else:
            self._reject()

    def _reject(self) -> None:
        """Hand in the published token, as one that a resource has refused."""
        secret = self.region.secret(TOKEN)
        if secret is not None and CURRENT in secret.stages:
            self._invoke("rejection", rejected=secret.stages[CURRENT])

    # The judge.

    def _watch(self, outage: Outage) -> None:
        """Judge how an outage ends, if nothing but outages delays a token."""
        setting = self.setting
        within = SERVED_WITHIN - (0 if setting.refresh_only else 5 * MINUTE)
        within += LONGEST_LAG if setting.stale else 0
        served_by = outage.ends + within
        # Two runs that each publish by what was five minutes ago use up what the pace allows.
        is_delayed = setting.calm_from or (setting.stale and setting.duplicates)
        if is_delayed or served_by > setting.ends or outage.fault in REFUSALS:
            return

        def ended() -> None:
            expires_at = self.server.expiry(self.published_text())
            if expires_at >= served_by:
                self._expect(Broken.DIED, outage, at=expires_at + 1)
            # What a primary grant is promised begins when no token lives.
            begins = 0 if setting.refresh_only else expires_at
            self._expect(Broken.NOT_SERVED, outage, at=max(outage.ends, begins) + within)

        self.time.at(outage.ends, ended)

    def _expect(self, kind: Broken, outage: Outage, *, at: float) -> None:
        """Judge at a time whether the account has had a token since an outage ended."""

        def judge() -> None:
            if not self._has_token(since=outage.ends) and self._is_savable():
                self.broken(kind, f"{outage.fault.value} until {outage.ends:.0f} s")

        self.time.at(at, judge)

    def _has_token(self, *, since: float) -> bool:
        """Whether the published token lives, or was issued since then."""
        expires_at = self.server.expiry(self.published_text())
        return expires_at > self.time.now or expires_at - self.setting.lifetime >= since

    def _is_savable(self) -> bool:
        """Whether the account has anything to get a token with."""
        secret = self.region.secret(CREDENTIALS)
        journal = secret.versions.get(secret.stages.get(JOURNAL_STAGE, "")) if secret else None
        refresh_token = json.loads(journal or "{}").get("refresh_token", "")
        if not self.server.follows(refresh_token, self.initial):
            refresh_token = self.initial
        return not self.setting.refresh_only or self.server.is_of_use(refresh_token)

    def _judge_end(self) -> None:
        now, calm_from = self.time.now, self.setting.calm_from
        self.judgement.is_alive = self._has_token(since=now - 2 * LONGEST_LAG)
        # Between two tokens of twenty minutes lies a tick.
        is_served = self._has_token(since=now - self.setting.lifetime - 2 * TICK)
        if calm_from and now - calm_from >= CALM and not is_served and self._is_savable():
            self.broken(Broken.LEFT_DEAD, "although its refresh token is of use")
