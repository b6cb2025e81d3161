"""A model of what must hold, against the real program, driven at random.

Accounts of every grant, servers of every kind, people who mistype and fix, a clock that ticks
and jumps, a listing that lags, calls that fail, runs that overlap or die on any line. After each
sweep the promises are checked against a reference that knows nothing of the program's code.

Hypothesis takes the same steps in every run. ``make model`` looks further, at random and for as
long as you like; what fails is printed as a program of steps, and as a line that repeats it.
"""

from __future__ import annotations

import copy
import json
import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from local.secrets_manager.memory import Secret
from tests.resilience.model import (
    ACCOUNTS,
    DAY,
    FIRST_REFUSED,
    FIRST_TRANSIENT,
    FLOOR,
    FLOOR_WITH_REFRESH_TOKENS,
    GARBAGE,
    HOSTS,
    LAST_CHANCE,
    LAST_SENDINGS,
    LONGEST_WAIT,
    MARKS,
    NOT_FOLLOWED,
    ONLY_REFRESH_TOKENS,
    OUTAGES,
    SECRET_FIELD,
    SLACK,
    TOO_LATE,
    VERSIONS_A_DAY,
    Asked,
    Servers,
    Token,
    digest,
    moment,
    read_token,
)
from tests.unit.fakes import ACCOUNT as FAKE_ACCOUNT
from tests.unit.fakes import (
    HOUR,
    MINUTE,
    TICK,
    TWELVE_HOURS,
    RefreshMode,
    RunKilledError,
    World,
    denied,
    lost_connection,
    no_connection,
    throttled,
)
from token_refresher.errors import FailureClass, SecretStoreError
from token_refresher.failures import FAILURES, Pace, failure_class_of, pace_of
from token_refresher.health import needs_action
from token_refresher.outcomes import Caution, Outcome
from token_refresher.parsing import parse_credentials
from token_refresher.policy import Reason
from token_refresher.reporting import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.outcomes import Result
    from token_refresher.sweep import Report

ACCOUNT: Final = st.integers(0, len(ACCOUNTS) - 1)
SITE: Final = st.sampled_from(sorted(HOSTS))
LIFETIME: Final = st.sampled_from([10 * MINUTE, 40 * MINUTE, HOUR, HOUR, 12 * HOUR, 24 * HOUR])
ANSWER: Final = st.sampled_from(["fine", *sorted({*OUTAGES, *TOO_LATE, *GARBAGE})])
STORE_CALLS: Final = (
    "describe",
    "read credentials",
    "read journal",
    "read lease",
    "create",
    "lease",
    "journal",
    "publish",
    "tag",
    "untag",
)
POINT: Final = st.builds(
    "{} {}".format,
    st.sampled_from(["before", "after"]),
    st.sampled_from(
        [*STORE_CALLS, "lease", "connect", "request", "request", "journal", "publish", "verify"]
    ),
)
BLOW: Final = st.sampled_from(
    ["throttle", "deny", "lose", "surprise", "kill", "kill", "overlap", "overlap"]
)
# For how many sweeps something is wrong: most of the time most things work.
LASTS: Final = st.sampled_from([1, 1, 2, 3, 10, 100])


@dataclass(frozen=True)
class Hold:
    """A recorded failure: no request before a moment, while the credentials are the same."""

    until: datetime
    credentials: str
    refusals: int


@dataclass(frozen=True)
class Seen:
    """The world before a sweep.

    Attributes:
        at: The moment.
        tokens: What was published.
        unpublished: The accounts whose answer waits in the journal.
        on_longer_floor: The accounts that write leases and journals too.
        versions: Of every secret, by path and account.
        failing: The accounts with a failure on record.
    """

    at: datetime
    tokens: dict[str, Token | None]
    unpublished: set[str]
    on_longer_floor: set[str]
    versions: dict[tuple[str, str], list[str]]
    failing: set[str]


class Model(RuleBasedStateMachine):
    """The program among people, servers and time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(max_workers=1)
        self.store = self.world.store
        self.servers = self.world.endpoint = Servers(lambda: self.world.now, self.world.faults)
        self.servers.needless = self._has_needless_token
        self.world.start_environment()
        self.names: list[str] = []
        self.is_frozen = False
        self.is_right: dict[str, bool] = {}
        self.values: dict[str, str] = {}
        self.holds: dict[str, Hold] = {}
        self.unrecorded: set[str] = set()
        self.refused: set[str] = set()
        self.written: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        self.edits = 0
        self.refused_call = ""
        self.troubles: dict[str, tuple[int, Callable[[], object]]] = {}

    # People.

    @initialize(
        names=st.sets(st.sampled_from(sorted(ACCOUNTS)), min_size=1),
        modes=st.tuples(*[st.sampled_from(RefreshMode)] * len(HOSTS)),
        lifetimes=st.tuples(*[LIFETIME] * len(HOSTS)),
        issues=st.sampled_from([True, True, False]),
    )
    def onboard(
        self,
        *,
        names: set[str],
        modes: tuple[RefreshMode, ...],
        lifetimes: tuple[timedelta, ...],
        issues: bool,
    ) -> None:
        self.servers.modes = dict(zip(HOSTS.values(), modes, strict=True))
        self.servers.lifetimes = dict(zip(HOSTS.values(), lifetimes, strict=True))
        self.servers.issues_refresh_tokens = issues
        self.names = sorted(names)
        for name in self.names:
            self._correct(name)

    def _account(self, number: int) -> str:
        return self.names[number % len(self.names)]

    def _put(self, name: str, **value: object) -> None:
        self.edits += 1
        text = self.values[name] = json.dumps(value)
        secret = self.store.credentials.setdefault(name, Secret())
        self.servers.put_at[name] = self.world.now
        secret.put(
            f"put-by-a-person-{self.edits:020}",
            text,
            ["AWSCURRENT"],
            now=self.world.now.timestamp(),
        )

    def _correct(self, name: str) -> None:
        """Write credentials that are right: new ones, or a new initial refresh token."""
        value = {**ACCOUNTS[name], "client_id": name, "client_secret": "made-up-client-secret"}
        if name in ONLY_REFRESH_TOKENS:
            value["refresh_token"] = self.servers.seed()
            self.servers.at_risk.discard(name)
        elif field := SECRET_FIELD.get(value["grant_type"]):
            user = value.get("username") or value["partner_code"]
            value[field] = self.servers.secrets[user] = f"made-up-{self.edits}"
        self._put(name, **value)
        self.is_right[name] = True

    @rule(number=ACCOUNT)
    def correct_or_change_the_credentials(self, number: int) -> None:
        self._correct(self._account(number))

    @rule(number=ACCOUNT)
    def mistype_the_credentials(self, number: int) -> None:
        name = self._account(number)
        field = SECRET_FIELD.get(ACCOUNTS[name]["grant_type"], "user_agnet")
        self._put(name, **{**json.loads(self.values[name]), field: "made-up-typo"})
        self.is_right[name] = False

    @rule(number=ACCOUNT)
    def edit_the_user_agent_alone(self, number: int) -> None:
        name = self._account(number)
        self._put(name, **{**json.loads(self.values[name]), "user_agent": f"edit {self.edits}"})

    @rule(number=ACCOUNT)
    def delete_the_token_secret(self, number: int) -> None:
        name = self._account(number)
        self.store.tokens.pop(name, None)
        # The floor has nothing to stand on any more.
        for path in ("credentials", "tokens"):
            self.written.pop((path, name), None)
        self.holds.pop(name, None)
        self.servers.forget_what_was_sent_by(name)

    @rule(number=ACCOUNT)
    def delete_the_credentials_and_make_them_again(self, number: int) -> None:
        name = self._account(number)
        del self.store.credentials[name]
        self.written.pop(("credentials", name), None)
        self._correct(name)

    @rule(uses=st.booleans())
    def redeploy(self, *, uses: bool) -> None:
        self.world.uses_refresh_tokens = uses
        self._start_environment()

    def _start_environment(self) -> None:
        self.world.start_environment()
        # What could not be written is forgotten with the rest.
        self.servers.at_risk |= self.unrecorded
        self.unrecorded.clear()

    def _has_needless_token(self, name: str) -> bool:
        token = read_token(self.store.tokens.get(name))
        if token is None or token.expires_at < self.world.now + LAST_SENDINGS + 2 * SLACK:
            return False
        return self.servers.accepts(token.access_token)

    # Servers, and Secrets Manager.

    @rule(site=SITE, mode=st.sampled_from(RefreshMode), lifetime=LIFETIME)
    def change_a_server(self, site: str, mode: RefreshMode, lifetime: timedelta) -> None:
        self.servers.modes[HOSTS[site]] = mode
        self.servers.lifetimes[HOSTS[site]] = lifetime

    @rule(number=ACCOUNT, kinds=st.lists(ANSWER, min_size=1, max_size=3), lasts=LASTS)
    def break_a_server(self, number: int, kinds: list[str], lasts: int) -> None:
        """It meets an account of the server that is due: elsewhere little would show."""
        host = HOSTS[ACCOUNTS[self._account(number)]["provider"]]
        self.servers.trouble(host, *kinds)
        self._ends(host, lasts, lambda: self.servers.trouble(host, "fine"))
        self._wait_until_due(number)
        self._sweep()

    @rule(verdict=st.sampled_from([False, None]), lasts=LASTS)
    def let_verify_url_not_accept(self, *, verdict: bool | None, lasts: int) -> None:
        self.servers.verdict = verdict
        self._ends("verdict", lasts, lambda: setattr(self.servers, "verdict", True))

    @rule(lasts=st.sampled_from([1, 1, 2]))
    def let_the_listing_lag(self, lasts: int) -> None:
        self.is_frozen = True
        self.store.freeze_listing()
        self._ends("lag", lasts, self._catch_up)

    def _catch_up(self) -> None:
        self.is_frozen = False
        self.store.thaw_listing()

    @rule(call=st.sampled_from(STORE_CALLS), make=st.sampled_from([denied, throttled]), lasts=LASTS)
    def refuse_a_call(self, call: str, make: Callable[[], Exception], lasts: int) -> None:
        self.refused_call = call
        self.world.faults.always(f"before {call}", make)
        self._ends("refusals", lasts, self.world.faults.fix)

    def _ends(self, what: str, lasts: int, end: Callable[[], object]) -> None:
        self.troubles[what] = (lasts, end)

    def _let_troubles_end(self, *, all_of_them: bool = False) -> None:
        for what, (left, end) in list(self.troubles.items()):
            if all_of_them or left <= 0:
                end()
                del self.troubles[what]
            else:
                self.troubles[what] = (left - 1, end)

    # Time, and who invokes the function.

    @rule(after=st.sampled_from([HOUR, 13 * HOUR, 72 * HOUR]))
    def stand_still(self, after: timedelta) -> None:
        self.world.now += after

    @rule(after=st.sampled_from([timedelta(seconds=1), 15 * MINUTE, 30 * MINUTE, 630 * MINUTE]))
    def be_late(self, after: timedelta) -> None:
        self.world.now += after
        self._sweep()

    @rule(times=st.sampled_from([1, 1, 6, 12, 12, 36, 300]))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self.world.now += TICK
            self._sweep()

    @rule(number=ACCOUNT, blow=BLOW, point=POINT)
    def be_struck(self, number: int, blow: str, point: str) -> None:
        self._wait_until_due(number)
        self._sweep(blow, point)

    def _wait_until_due(self, number: int) -> None:
        token = read_token(self.store.tokens.get(self._account(number)))
        if token is not None:
            self.world.now = max(self.world.now, token.due_at)

    @rule(number=ACCOUNT, how=st.sampled_from(["name", "force", "reject"]))
    def invoke(self, number: int, how: str) -> None:
        """A person, a pipeline, or a consumer whose token was refused."""
        name = self._account(number)
        token = read_token(self.store.tokens.get(name))
        rejected = token.version_id if token is not None and how == "reject" else ""
        self._sweep(accounts=[name], force=how == "force", rejected_version=rejected)

    @rule(fails=st.booleans())
    def rehearse(self, *, fails: bool) -> None:
        before = copy.deepcopy((self.store.credentials, self.store.tokens, self.servers.verified))
        self._plan("deny" if fails else "", "before describe")
        self.servers.asked.clear()
        with suppress(SecretStoreError):
            self.world.sweep(dry_run=True)
        assert (self.store.credentials, self.store.tokens, self.servers.verified) == before
        assert self.servers.asked == []

    # A sweep, and what must be true after it.

    def _sweep(self, blow: str = "", point: str = "", **event: Any) -> None:  # noqa: ANN401
        self._let_troubles_end()
        before = self._seen()
        report = self._swept(before, blow, point, event)
        forced = event["accounts"] if event.get("force") else []
        # Two runs that overlap may each do what one may do, and undo what the other recorded.
        overlaps = blow == "overlap"
        # Who may not read a lost lease takes the primary grant, whoever is still at it.
        is_blind = "refusals" in self.troubles and self.refused_call == "read lease"
        for name in self.names:
            self._check_token(
                name, before, races=overlaps and (point == "before publish" or is_blind)
            )
            if name not in forced:
                self._check_requests(name, before, is_rejected=bool(event.get("rejected_version")))
            if not overlaps:
                self._check_floor(name, before)
        if not overlaps:
            asked = {each.account for each in self.servers.asked}
            assert not asked & before.unpublished, "asked for, and the response was journaled"
        if not forced and not self.is_frozen:
            self._check_budget(before)
        assert not self.servers.broken_promises, self.servers.broken_promises
        self._check_secrets(report, before)
        if report is None:
            return
        for result in report.results:
            self._check_result(result, report, overlaps=overlaps, is_surprised=blow == "surprise")
            self._learn(result, before.at)
        if not event and not self.is_frozen:
            self._check_silence(report)

    def _seen(self) -> Seen:
        return Seen(
            at=self.world.now,
            tokens={name: read_token(self.store.tokens.get(name)) for name in self.names},
            # That a response is not to be published may be known to the environment alone.
            unpublished={
                name
                for name in self.names
                if name not in self.unrecorded and self._has_unpublished_response(name)
            },
            on_longer_floor={name for name in self.names if self._is_on_longer_floor(name)},
            versions=self._versions(),
            failing=self.unrecorded | {name for name in self.names if self._failure(name)},
        )

    def _failure(self, name: str) -> list[str]:
        """The parts of the tag; none without one."""
        tag = self.store.tokens.get(name, Secret()).tags.get("token-refresher:failure", "")
        return tag.split("/") if tag else []

    def _swept(self, before: Seen, blow: str, point: str, event: dict[str, Any]) -> Report | None:
        """Sweep; None where the run died."""
        self.servers.asked.clear()
        self.servers.run = object()
        self.servers.is_insisted_on = any(event.get(key) for key in ("force", "rejected_version"))
        self._plan(blow, point)
        try:
            return self.world.sweep(**event)
        except RunKilledError:
            self._start_environment()
            # Whoever wrote a lease may have sent what it is for.
            self.servers.at_risk |= {name for (_, name), added in self._added(before) if added}
        except SecretStoreError:
            # An account that was named could not be described.
            assert event.get("accounts")
        finally:
            self.world.faults.reset()
        return None

    def _plan(self, blow: str, point: str) -> None:
        """Let something strike when a point is first passed; who is dead stays dead."""
        has_struck = False

        def strike(passed: str) -> BaseException | None:
            nonlocal has_struck
            if has_struck or passed != point:
                return RunKilledError() if has_struck and blow == "kill" else None
            has_struck = True
            return self._struck(blow, point)

        self.world.faults.reset()
        for number in range(1000 if blow else 0):
            self.world.faults.plan(number, strike)

    def _struck(self, blow: str, point: str) -> BaseException | None:
        if blow == "kill":
            return RunKilledError()
        if blow == "surprise":
            return ValueError("made-up-secret")
        if blow == "overlap":
            if self.world.uses_refresh_tokens:
                self.world.now += timedelta(seconds=1)
                run, self.servers.run = self.servers.run, object()
                self.world.beside().sweep()
                self.servers.run = run
            return None
        if point.endswith(" connect"):
            return no_connection()
        if point.endswith(" request"):
            return no_connection() if point.startswith("before") else lost_connection()
        if point.endswith(" verify"):
            return None
        return throttled() if blow == "throttle" else denied()

    def _is_on_longer_floor(self, name: str) -> bool:
        has_stages = bool(
            {"TOKENREQUEST", "TOKENRESPONSE"} & self.store.credentials[name].stages.keys()
        )
        return has_stages and self.world.uses_refresh_tokens and not self.is_frozen

    def _has_unpublished_response(self, name: str) -> bool:
        """Whether a live response to these very credentials waits in the journal."""
        secret = self.store.credentials[name]
        journal_id = secret.stages.get("TOKENRESPONSE", "")
        if not (journal_id and self.world.uses_refresh_tokens and self.is_right[name]):
            return False
        issued_at, expires_at, credentials, token_digest = journal_id.split("-")
        token = self.store.tokens.get(name, Secret())
        published = read_token(token)
        return (
            credentials == digest(secret.stages["AWSCURRENT"])
            and journal_id not in token.versions
            and token.tags.get("token-refresher:refused-response") != journal_id
            and (published is None or published.version_id.split("-")[3] != token_digest)
            and moment(expires_at) > self.world.now
            and (published is None or moment(issued_at) > published.issued_at)
        )

    def _versions(self) -> dict[tuple[str, str], list[str]]:
        paths = {"credentials": self.store.credentials, "tokens": self.store.tokens}
        return {
            (path, name): list(secret.versions)
            for path, secrets in paths.items()
            for name, secret in secrets.items()
        }

    def _added(self, before: Seen) -> list[tuple[tuple[str, str], list[str]]]:
        added = []
        for secret, now in self._versions().items():
            # Old ones may have gone meanwhile.
            then = set(before.versions.get(secret, []))
            added.append((secret, [version_id for version_id in now if version_id not in then]))
        return added

    def _asked(self, name: str) -> list[Asked]:
        return [each for each in self.servers.asked if each.account == name]

    # The promises.

    def _check_token(self, name: str, before: Seen, *, races: bool) -> None:
        """A published token is lost to nothing, and what replaces it is good and not older.

        Args:
            name: The account's.
            before: What was published.
            races: Whether another run publishes between this one's last look and its
                publishing, where Secrets Manager has no compare-and-swap to offer.
        """
        was, now = before.tokens[name], read_token(self.store.tokens.get(name))
        if now == was:
            return
        assert now is not None, f"{name} lost its token"
        assert was is None or now.issued_at >= was.issued_at, f"{name} went back to an older token"
        if not races:
            latest = max(each.split("-")[0] for each in self.store.tokens[name].versions)
            assert now.issued_at == moment(latest), f"{name} put an older token over a later one"
        assert now.expires_at > before.at, f"{name} published a dead token"
        assert self.servers.knows(now.access_token), f"{name} published what is no token"
        assert now.access_token not in self.refused, f"{name} published a refused token"
        self.holds.pop(name, None)
        self.unrecorded.discard(name)

    def _check_requests(self, name: str, before: Seen, *, is_rejected: bool) -> None:
        """What is not due, or is held back, is not asked for."""
        if not self._asked(name):
            return
        credentials, token, hold = (
            self.store.credentials[name],
            before.tokens[name],
            self.holds.get(name),
        )
        # By the end of the sweep: a run that overlaps it began later.
        now = self.world.now
        is_fresh = token is not None and token.is_fresh(credentials, now)
        # A failure that is on record is tried again though the token is fresh.
        assert is_rejected or not is_fresh or name in before.failing, (
            f"{name} was asked for, and was fresh"
        )
        if hold is not None and hold.credentials == digest(credentials.stages["AWSCURRENT"]):
            assert now >= hold.until, f"{name} was asked for, and was held back until {hold}"

    def _check_floor(self, name: str, before: Seen) -> None:
        """Never a third publish within the floor; a response that waited is no new one."""
        now = list(self.store.tokens.get(name, Secret()).versions)
        added = len({*now} - {*before.versions.get(("tokens", name), [])})
        assert added <= 1
        if before.tokens[name] is None or added < 1 or not self._asked(name) or len(now) <= 2:
            return
        first, _, third = (moment(each.split("-")[0]) for each in now[-3:])
        if self.servers.put_at[name] >= first:
            return
        within = third - first
        floor = FLOOR_WITH_REFRESH_TOKENS if name in before.on_longer_floor else FLOOR
        assert within >= floor - SLACK, f"{name} published a third time within {within}"

    def _check_budget(self, before: Seen) -> None:
        """No secret gets more versions a day than Secrets Manager keeps; people's own apart.

        What attempts wrote that published nothing is not counted: the floor does not hold those.
        """
        added_to = dict(self._added(before))
        for secret, added in added_to.items():
            if not added_to.get(("tokens", secret[1])):
                continue
            recent = [each for each in self.written[secret] if each > before.at - DAY]
            recent += [before.at] * len(added)
            assert len(recent) <= VERSIONS_A_DAY, f"{secret} got {len(recent)} versions in a day"
            self.written[secret] = recent

    def _check_secrets(self, report: Report | None, before: Seen) -> None:
        """Each secret is where it belongs, and nowhere else."""
        told = [repr(secret.tags) for secret in self.store.tokens.values()]
        if report is not None:
            told += [repr(report), repr(summary(report))]
            told += [repr(result.error) + str(result.error) for result in report.results]
        assert [mark for mark in MARKS if mark in "".join(told)] == []
        for (path, name), added in self._added(before):
            secrets = self.store.tokens if path == "tokens" else self.store.credentials
            for version_id in added:
                content = secrets[name].versions[version_id] or ""
                assert "made-up-" not in content
                assert path == "credentials" or "refresh-token-" not in content
                assert not version_id.startswith("request-") or "token-" not in content
        for name, value in self.values.items():
            secret = self.store.credentials[name]
            assert secret.versions[secret.stages["AWSCURRENT"]] == value

    def _check_result(
        self, result: Result, report: Report, *, overlaps: bool, is_surprised: bool
    ) -> None:
        """A failure is told with its class, in the report and in the tags.

        Where a refresh token got nothing, the primary grant was asked in the same sweep.
        """
        name, error = result.account.name, result.error
        is_failure = isinstance(error, FAILURES)
        assert is_failure or result.outcome is not Outcome.FAILED
        if isinstance(error, FAILURES):
            assert is_surprised or not error.code.startswith("unexpected_"), f"{name}: {error}"
            if Caution.FAILURE_NOT_RECORDED not in result.cautions and not overlaps:
                tags = self.store.tokens[name].tags
                told = f"{failure_class_of(error)}: {error.code}/"
                assert tags["token-refresher:failure"].startswith(told)
            if failure_class_of(error) is FailureClass.ACTION_REQUIRED:
                assert needs_action(result.account, now=report.now, schedule=TICK)
        asked = self._asked(name)
        if name in ONLY_REFRESH_TOKENS or len(asked) != 1 or is_surprised:
            return
        came, is_refresh = asked[0].came, asked[0].grant_type == "refresh_token"
        if is_refresh and came not in NOT_FOLLOWED:
            # What could not be reached is not among what was asked.
            is_unreached = isinstance(error, FAILURES) and error.code == "no_connection"
            is_failed = result.outcome is Outcome.FAILED
            assert not is_failed or is_unreached, f"nothing followed {asked[0]}"

    def _check_silence(self, report: Report) -> None:
        """An account that is not as it should be is told of, with the reason."""
        told = {result.account.name: result for result in report.results}
        for name in self.names:
            token = read_token(self.store.tokens.get(name))
            if token is not None and token.is_fresh(self.store.credentials[name], report.now):
                continue
            if token is not None and report.now < min(token.expires_at, token.issued_at + FLOOR):
                # With refresh tokens none is due so soon.
                continue
            result = told.get(name)
            assert result is not None, f"nothing was told of {name}"
            assert (
                result.error is not None
                or result.reason in {Reason.BACKING_OFF, Reason.RATE_LIMITED, Reason.UNCHANGED}
                or result.outcome
                in {Outcome.PUBLISHED, Outcome.SUPERSEDED, Outcome.LEASED_BY_ANOTHER_RUN}
            ), f"nothing explains {name}: {result}"

    def _learn(self, result: Result, began: datetime) -> None:
        """Remember what was recorded, for the sweeps to come."""
        name, error = result.account.name, result.error
        if Caution.JOURNAL_NOT_WRITTEN in result.cautions:
            self.servers.at_risk.add(name)
        if not isinstance(error, FAILURES):
            return
        hold = self.holds.get(name)
        if Caution.FAILURE_NOT_RECORDED in result.cautions:
            # Only the environment knows how many those were, as long as it lives.
            self.unrecorded.add(name)
            self.holds.pop(name, None)
            return
        # As the run knew them: it may have failed before it read them.
        credentials = digest(result.account.credentials_version or "")
        is_next = hold is not None and hold.credentials == credentials
        refusals = hold.refusals if hold is not None and is_next else 0
        refusals += pace_of(error) is Pace.REFUSED
        until = began + self._wait(name, pace_of(error), refusals, began) - SLACK
        self.holds[name] = Hold(until, credentials, refusals)
        if error.code == "token_refused":
            self.refused.add(self.servers.verified[-1])

    def _wait(self, name: str, pace: Pace, refusals: int, began: datetime) -> timedelta:
        """How long the contract leaves an account alone, at the least."""
        token = read_token(self.store.tokens.get(name))
        if pace is Pace.AT_ONCE or (pace is Pace.TRANSIENT and token is None):
            return timedelta(0)
        wait = FIRST_TRANSIENT
        if pace is Pace.REFUSED:
            wait = min(FIRST_REFUSED * (1 << min(refusals - 1, 9)), LONGEST_WAIT)
        left = token.expires_at - began if token is not None else timedelta(0)
        return min(wait, left - LAST_CHANCE) if left - LAST_CHANCE > 2 * SLACK else wait

    # In the end everything is fixed, and every account comes back.

    @rule()
    def fix_everything(self) -> None:
        world, servers = self.world, self.servers
        self._let_troubles_end(all_of_them=True)
        servers.lifetimes = dict.fromkeys(HOSTS.values(), TWELVE_HOURS)
        for host, mode in servers.modes.items():
            if mode is RefreshMode.REFUSES:
                servers.modes[host] = RefreshMode.ROTATES
        if not world.uses_refresh_tokens:
            self.redeploy(uses=True)
        for name in self.names:
            if not self.is_right[name]:
                self._correct(name)
        back_by = {name: world.now + self._bound(name) for name in self.names}
        while back_by and world.now <= max(back_by.values()):
            world.now += TICK
            self._sweep()
            for name in [name for name in back_by if self._is_well(name)]:
                del back_by[name]
            for name in [name for name, latest in back_by.items() if world.now > latest]:
                self._check_that_only_a_person_can_fix(name)
                self._correct(name)
                back_by[name] = world.now + FLOOR_WITH_REFRESH_TOKENS + 2 * TICK

    def _bound(self, name: str) -> timedelta:
        """How long an account may take to come back once nothing is wrong any more.

        As long as its own record says, and the minimum interval; but what the next attempts of a
        refresh-only account may still fail with, and what only the environment knows, may take
        as long as the longest wait.
        """
        bound = FLOOR_WITH_REFRESH_TOKENS + 2 * TICK
        if name in ONLY_REFRESH_TOKENS or name in self.unrecorded:
            return bound + LONGEST_WAIT
        failure = self._failure(name)
        if not failure:
            return bound
        wait = moment(failure[3]) - self.world.now
        assert wait <= LONGEST_WAIT
        return bound + max(wait, timedelta(0))

    def _is_well(self, name: str) -> bool:
        token = read_token(self.store.tokens.get(name))
        return (
            token is not None
            and token.is_fresh(self.store.credentials[name], self.world.now)
            and self.servers.accepts(token.access_token)
        )

    def _check_that_only_a_person_can_fix(self, name: str) -> None:
        """Only a refresh-only account may stay behind: its refresh token is gone, as is told."""
        assert name in ONLY_REFRESH_TOKENS, f"{name} did not come back"
        assert name in self.servers.at_risk, f"{name} lost nothing, and did not come back"
        token = read_token(self.store.tokens.get(name))
        if token is not None and not self.servers.knows(token.access_token):
            # It was revoked with its family, and is not due yet: nobody can know.
            return
        assert not self.servers.is_good(self._stored_refresh_token(name))

    def _stored_refresh_token(self, name: str) -> str:
        secret = self.store.credentials[name]
        initial: str = json.loads(self.values[name])["refresh_token"]
        journal = json.loads(secret.versions.get(secret.stages.get("TOKENRESPONSE", "")) or "{}")
        grant = parse_credentials(self.values[name]).grant_digest
        if journal.get("grant") != grant:
            return initial
        kept: str = journal["refresh_token"]
        return kept

    def teardown(self) -> None:
        if self.names:
            self.fix_everything()


# How many programs of how many steps. Without a number: the same ones each time, for CI.
EXAMPLES: Final = os.environ.get("MODEL_EXAMPLES")  # noqa: TID251 - the caller's patience
pytestmark = pytest.mark.timeout(0 if EXAMPLES else 1800)

TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=int(EXAMPLES or 150),
    stateful_step_count=40,
    derandomize=EXAMPLES is None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


# What the model found, each as one test. A strict mark goes once the program is fixed.


def test_a_token_secret_that_was_deleted_is_made_again_for_a_journaled_answer() -> None:
    world = World(max_workers=1)
    world.add_refresh_only()
    world.sweep()
    del world.store.tokens[FAKE_ACCOUNT]
    result = world.refresh(after=TICK)

    assert (result.outcome, result.error) == (Outcome.PUBLISHED, None)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(["fine"], id="always"),
        pytest.param(["fine"] * 9 + ["503"], id="nine times of ten"),
        pytest.param(["fine", "503", "503"], id="once of three times"),
        pytest.param(["fine", "mac", "503"], id="once, then unusably, then not at all"),
        pytest.param(["503"], id="never"),
        pytest.param(["503", "invalid_scope"], id="now no, now later"),
        pytest.param(["no token", "503"], id="unusably, then later"),
    ],
)
def test_the_versions_of_a_day_fit_if_a_server_of_one_hour_tokens_answers(
    answers: list[str],
) -> None:
    world = World(max_workers=1)
    server = world.endpoint = Servers(lambda: world.now, world.faults)
    world.start_environment()
    world.add_refresh_only()
    server.lifetimes = dict.fromkeys(HOSTS.values(), HOUR)
    server.trouble("www.autovit.ro", *answers)
    counts = []
    for _ in range(2 * 24 * 12):
        world.sweep(after=TICK)
        a_day_ago = (world.now - timedelta(days=1)).timestamp()
        made_at = world.store.credentials[FAKE_ACCOUNT].made_at.values()
        counts.append(sum(each > a_day_ago for each in made_at))

    assert max(counts) <= 100
