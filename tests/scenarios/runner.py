"""Runs a scenario against the real sweep, refresh and policy, and compares what came of it.

Version ids and digests are made here by README.md's own rules, not by the program's code, so
that the scenarios hold the stored forms as well. Surroundings and time are the doubles.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from local.secrets_manager.memory import Secret
from tests.scenarios.scenario import (
    FOLDER,
    ChangeServer,
    ColdStart,
    Credentials,
    DeleteSecret,
    FreezeListing,
    Part,
    Publish,
    PutCredentials,
    Sweep,
    Sweeps,
    Token,
)
from tests.unit.fakes import (
    RefreshMode,
    RunKilledError,
    World,
    denied,
    lost_connection,
    no_connection,
    throttled,
    timed_out,
)
from token_refresher.errors import HostStoppedError
from token_refresher.oauth.token_response import read_token_response
from token_refresher.policy import FAILURES, failure_class_of, is_retrying, needs_action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.scenarios.scenario import (
        Account,
        Answer,
        AnyStep,
        Expectation,
        Fault,
        Scenario,
        Server,
        Settings,
    )
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.sweep import Report

SHARED: Final[dict[str, dict[str, Any]]] = json.loads(
    (FOLDER / "shared" / "credentials.json").read_bytes()
)

# More points than any sweep of a scenario passes.
_POINTS: Final = 1000
_NOW: Final = timedelta(0)
_A_SECOND: Final = timedelta(seconds=1)
_TAG: Final = "token-refresher:"
_MODES: Final = {
    "rotate": RefreshMode.ROTATES,
    "keep": RefreshMode.KEEPS,
    "omit and delete": RefreshMode.OMITS_AND_DELETES,
    "refuse": RefreshMode.REFUSES,
}
_VERDICTS: Final = {"accepts": True, "refuses": False, "cannot tell": None}
_FAILURES: Final[dict[str, Callable[[], BaseException]]] = {
    "throttled": throttled,
    "denied": denied,
    "connection refused": no_connection,
    "connection lost": lost_connection,
    "killed": RunKilledError,
}
_CONNECTIONS: Final = {"refused": no_connection, "lost": lost_connection, "timed out": timed_out}
_OPERATIONS: Final = {
    "describe": "DescribeSecret",
    "describe credentials": "DescribeSecret",
    "read credentials": "GetSecretValue",
    "read journal": "GetSecretValue",
    "read claim": "GetSecretValue",
    "read published": "GetSecretValue",
    "create": "CreateSecret",
    "claim": "PutSecretValue",
    "journal": "PutSecretValue",
    "publish": "PutSecretValue",
    "stage": "PutSecretValue",
    "tag": "TagResource",
    "untag": "UntagResource",
}


class ScenarioError(AssertionError):
    """What came of a scenario is not what it expects; each line says where."""


def run(scenario: Scenario) -> None:
    """Run a scenario to its end.

    Raises:
        ScenarioError: At the first step that does not come out as expected.
    """
    story = _Story(scenario)
    for number, step in enumerate(scenario.steps, 1):
        mismatches = list(story.take(step))
        if mismatches:
            lines = "\n  ".join(mismatches)
            raise ScenarioError(f"step {number} of {scenario.scenario!r}:\n  {lines}")


# The stored forms, as README.md gives them.


def credentials_version_id(number: int) -> str:
    """The version id of the number-th value that a person wrote."""
    return f"credentials-version-{number:012}"


def digest12(text: str) -> str:
    """The first 12 hex digits of a SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def moment(when: datetime) -> str:
    """A moment, as version ids and tags hold it."""
    return when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def token_version_id(issued_at: datetime, expires_at: datetime, credentials: int) -> str:
    """The version id of a token that was there before the first step."""
    digest = digest12(credentials_version_id(credentials))
    return f"{moment(issued_at)}-{moment(expires_at)}-{digest}-0123456789ab"


class _World(World):
    """A world whose margin is the scenario's."""

    def __init__(self, settings: Settings) -> None:
        self._refresh_before = settings.refresh_before
        super().__init__(max_workers=1, uses_refresh_tokens=settings.refresh_tokens == "use")
        if settings.allowed_hosts is not None:
            self.endpoint.allowed_hosts = set(settings.allowed_hosts)

    def start_environment(self) -> None:
        super().start_environment()
        self.sweeper.refresher = replace(
            self.sweeper.refresher, refresh_before=self._refresh_before
        )


class _Faults:
    """Faults by the name of a point, each once or always; the dead do nothing more."""

    def __init__(self, faults: Iterable[Fault], world: World) -> None:
        self._left = list(faults)
        self._world = world
        self._is_dead = False

    def plan(self) -> None:
        """Be asked at every point of the next sweep."""
        self._world.faults.reset()
        self._is_dead = False
        for number in range(_POINTS if self._left else 0):
            self._world.faults.plan(number, self._strike)

    def _strike(self, point: str) -> BaseException | None:
        if self._is_dead:
            return RunKilledError()
        fault = next((each for each in self._left if each.point == point), None)
        if fault is None:
            return None
        if not fault.always:
            self._left.remove(fault)
        if fault.meanwhile:
            # The other run passes points of the same doubles; none of them is this fault's.
            self._world.beside().sweep()
            return None
        if fault.takes:
            self._world.now += fault.takes
            return None
        self._is_dead = fault.fails == "killed"
        return _FAILURES[fault.fails or ""]()


class _Story:
    """A scenario as it goes on."""

    def __init__(self, scenario: Scenario) -> None:
        given = scenario.given
        self.world = _World(given.settings)
        self.world.now = given.now
        self.versions: Counter[str] = Counter()
        self.is_frozen = False
        self._change_server(given.server)
        for name, account in given.accounts.items():
            self._give(name, account)

    def take(self, step: AnyStep) -> Iterable[str]:
        """Let a step happen; tell what is not as expected."""
        self.world.now += step.after
        match step:
            case Sweep():
                self._answer(step.answers)
                faults = _Faults(step.faults, self.world)
                return self._compare(step.expect, *self._sweep(step, faults))
            case Sweeps():
                return self._sweep_repeatedly(step)
            case PutCredentials():
                self._put_credentials(step.account, step.credentials)
            case DeleteSecret():
                self._delete(step)
            case Publish():
                self._publish(step.account, step.token)
            case ChangeServer():
                self._change_server(step.server)
            case FreezeListing():
                self.world.store.freeze_listing()
            case ColdStart():
                self.world.start_environment()
        return ()

    # Given, and what people and servers do.

    def _give(self, name: str, account: Account) -> None:
        if account.credentials is not UNSET:
            self._put_credentials(name, account.credentials)
        for token in (account.previous, account.token):
            if token is not None:
                self._publish(name, token)
        tags = dict(account.tags)
        if account.failure is not None:
            failure = account.failure
            tags |= {
                "error": failure.error,
                "failures": str(failure.failures),
                "failed-at": moment(self.world.now + min(failure.next_attempt, _NOW) - _A_SECOND),
                "retry-at": moment(self.world.now + failure.next_attempt),
                "credentials": digest12(credentials_version_id(failure.of_credentials)),
            }
        if tags:
            secret = self.world.store.tokens.setdefault(name, Secret())
            secret.tags |= {_TAG + key: value for key, value in tags.items()}

    def _put_credentials(self, name: str, credentials: Credentials | None) -> None:
        secret = self.world.store.credentials.setdefault(name, Secret())
        if credentials is None:
            return
        self.versions[name] += 1
        text = b"\xff" if credentials.text is None else credentials.text
        if credentials.like is not None:
            text = json.dumps(SHARED[credentials.like] | credentials.changes)
        secret.put(credentials_version_id(self.versions[name]), text, ["AWSCURRENT"])

    def _delete(self, step: DeleteSecret) -> None:
        store = self.world.store
        secrets = store.tokens if step.secret == "token" else store.credentials
        if step.scheduled:
            secrets[step.account].is_deleted = True
        else:
            del secrets[step.account]

    def _publish(self, name: str, token: Token) -> None:
        secret = self.world.store.tokens.setdefault(name, Secret())
        content = token.json
        version_id = token.version_id
        if token.age is not None:
            issued_at = self.world.now - token.age
            expires_at = issued_at + token.lives
            version_id = token_version_id(issued_at, expires_at, token.of_credentials)
            content = {
                "access_token": token.access_token,
                "token_type": "Bearer",
                "issued_at": int(issued_at.timestamp()),
                "expires_at": int(expires_at.timestamp()),
            }
        secret.put(version_id or "", json.dumps(content or {}), ["AWSCURRENT"])

    def _change_server(self, server: Server) -> None:
        endpoint = self.world.endpoint
        if server.refresh_tokens is not UNSET:
            endpoint.mode = _MODES[server.refresh_tokens]
        if server.issues_refresh_tokens is not UNSET:
            endpoint.issues_refresh_tokens = server.issues_refresh_tokens
        if server.expires_in is not UNSET:
            endpoint.lifetime = server.expires_in
        if server.refresh_token_expires_in is not UNSET:
            endpoint.refresh_token_lifetime = server.refresh_token_expires_in
        if server.scope is not UNSET:
            endpoint.scope = server.scope
        if server.verdict is not UNSET:
            endpoint.verdict = _VERDICTS[server.verdict]
        for _ in range(server.seeds):
            endpoint.seed()
        for refresh_token in server.forgets:
            endpoint.forget(refresh_token)
        if server.down is not UNSET:
            down = server.down
            make = None if down is None else partial(self._failure, down)
            endpoint.fail(make, host=server.host)

    def _answer(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self.world.endpoint.answer(*(self._answered(answer) for _ in range(answer.times)))

    def _answered(self, answer: Answer) -> Exception | TokenResponse:
        """Make of an HTTP answer what the program makes of it."""
        if answer.connection is not None:
            return _CONNECTIONS[answer.connection]()
        body = (answer.text or "").encode()
        if answer.json is not UNSET:
            body = json.dumps(answer.json).encode()
        try:
            return read_token_response(
                answer.status or 0, body, retry_after=answer.retry_after, now=self.world.now
            )
        except FAILURES as error:
            return error

    def _failure(self, answer: Answer) -> Exception:
        made = self._answered(answer)
        assert isinstance(made, Exception), "`down` takes a failure; a success is an `answer`"
        return made

    # Sweeps.

    def _sweep(
        self, step: Sweep | Sweeps, faults: _Faults, since: datetime | None = None
    ) -> tuple[Report | None, list[dict[str, Any]]]:
        world = self.world
        faults.plan()
        event: dict[str, Any] = {}
        if isinstance(step, Sweep):
            world.invocation = step.time
            event = {"accounts": step.accounts, "force": step.force, "dry_run": step.dry_run}
            event["stage_as"] = step.stage_as
            if step.rejects:
                [name] = step.accounts
                event["rejected_version"] = world.store.tokens[name].stages[step.rejects]
        began = world.now
        report = None
        try:
            report = world.sweep(**event)
        except RunKilledError:
            world.start_environment()
        at = began - (since or began)
        return report, [{**request, "at": at} for request in world.endpoint.requests]

    def _sweep_repeatedly(self, step: Sweeps) -> Iterable[str]:
        self._answer(step.answers)
        faults = _Faults(step.faults, self.world)
        since, requests, report = self.world.now, [], None
        ends_at = since + step.lasts
        while self.world.now < ends_at:
            self.world.now += step.every
            report, more = self._sweep(step, faults, since)
            requests += more
        return self._compare(step.expect, report, requests)

    # What came of it.

    def _compare(
        self, expect: Expectation, report: Report | None, requests: list[dict[str, Any]]
    ) -> Iterable[str]:
        calls = Counter(_OPERATIONS[call] for call in self.world.calls)
        endpoint = self.world.endpoint
        actual = {
            "requests": requests,
            "killed": report is None,
            "accounts": {name: self._account(name, report) for name in expect.accounts},
            "calls": dict(calls),
            "server": {
                "redeemed": dict(endpoint.redeemed),
                "spent_came_back": endpoint.spent_came_back,
                "verified": endpoint.verified,
            },
        }
        return _differences("expect", expect, actual)

    def _account(self, name: str, report: Report | None) -> dict[str, Any]:
        told = self._stored(name)
        if report is None:
            return told
        result = next((each for each in report.results if each.account.name == name), None)
        account = next((each for each in report.accounts if each.name == name), None)
        if account is None:
            return told | {"reason": "not listed", "outcome": "not due"}
        error = result.error if result else None
        failure = account.counting_failure
        is_failure = isinstance(error, FAILURES)
        put_off = "host stopped" if isinstance(error, HostStoppedError) else "out of time"
        return told | {
            "reason": str(result.reason) if result else "fresh",
            "outcome": str(result.outcome) if result else "not due",
            "error": f"{failure_class_of(error)}: {error.code}"
            if isinstance(error, FAILURES)
            else None,
            "message": str(error),
            "put_off": "nothing" if error is None or is_failure else put_off,
            "cautions": [str(caution) for caution in result.cautions] if result else [],
            "next_attempt": failure.retry_at - report.now if failure else None,
            "needs_action": needs_action(account, now=report.now),
            "retrying": is_retrying(account),
        }

    def _stored(self, name: str) -> dict[str, Any]:
        """What the two secrets hold, with random parts named."""
        store = self.world.store
        token = store.tokens.get(name, Secret())
        credentials = store.credentials.get(name, Secret())
        current = token.stages.get("AWSCURRENT", "")
        journal_id = credentials.stages.get("TOKENRESPONSE", "")
        claim_ids = [each for each in credentials.versions if each.startswith("request-")]
        tags = {}
        for key, tag in token.tags.items():
            claim, _, number = tag.partition("/")
            text = tag
            if claim in claim_ids:
                text = f"claim {claim_ids.index(claim) + 1}/{number}"
            elif tag == journal_id.rpartition("-")[2] != "":
                text = "random part of the journal"
            tags[key.removeprefix(_TAG)] = text
        claims = []
        for each in claim_ids:
            claim_text = json.loads(credentials.versions[each] or "")
            claimed_at = datetime.fromtimestamp(claim_text["claimed_at"], UTC)
            claims.append(
                {
                    "version_id": each,
                    "is_resend": claim_text["is_resend"],
                    "claimed_at": claimed_at,
                }
            )
        return {
            "token": _published(current, token.versions.get(current)),
            "token_versions": len(token.versions),
            "tags": tags,
            "journal": _journal(journal_id, credentials.versions.get(journal_id), current),
            "claims": claims,
        }


def _published(version_id: str, text: str | bytes | None) -> dict[str, Any] | None:
    if text is None:
        return None
    content = json.loads(text)
    return {
        "access_token": content.get("access_token"),
        "scope": content.get("scope"),
        "issued_at": _from_epoch(content.get("issued_at")),
        "expires_at": _from_epoch(content.get("expires_at")),
        "json": content,
        "version_id": re.sub(r"-[0-9a-f]{12}\Z", "-<random>", version_id),
    }


def _journal(version_id: str, text: str | bytes | None, published: str) -> dict[str, Any] | None:
    if text is None:
        return None
    content = json.loads(text)
    return {
        "access_token": content.get("access_token"),
        "refresh_token": content.get("refresh_token"),
        "refresh_is_refused": content.get("refresh_is_refused", False),
        "json": content,
        "has_the_published_id": version_id == published,
    }


def _from_epoch(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _differences(where: str, expected: object, actual: Any) -> Iterable[str]:  # noqa: ANN401
    """Compare what is expected with what came, field by field."""
    if isinstance(expected, Part) and isinstance(actual, dict):
        yield from _fields(where, msgspec.structs.asdict(expected), actual)
    elif where.endswith(".message"):
        if str(expected) not in str(actual):
            yield f"{where} is {actual!r}, without {expected!r}"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (each, came) in enumerate(zip(expected, actual, strict=True), 1):
            yield from _differences(f"{where}[{number}]", each, came)
    elif where == "expect.accounts" and isinstance(expected, dict):
        yield from _fields(where, expected, actual)
    elif expected != actual:
        yield f"{where} is {actual!r}, not {expected!r}"


def _fields(where: str, expected: Mapping[str, object], actual: dict[str, Any]) -> Iterable[str]:
    for name, each in expected.items():
        if each is UNSET:
            continue
        if name not in actual:
            yield f"{where}.{name} cannot be told here"
        else:
            yield from _differences(f"{where}.{name}", each, actual[name])
