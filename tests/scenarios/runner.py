"""Runs a scenario against the real sweep, refresh and policy, and compares what came of it.

Version ids and digests are made here by the rules of docs/reference.md, not by the program's code,
so that the scenarios hold the stored forms as well. Surroundings and time are the doubles.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import UNSET

from local.secrets_manager.memory import Secret
from local.secrets_manager.versions import MOST_VERSIONS
from tests.scenarios.scenario import (
    FOLDER,
    ChangeServer,
    ColdStart,
    Credentials,
    DeleteSecret,
    EditJournal,
    FreezeListing,
    MoveStage,
    Part,
    Publish,
    PutCredentials,
    RestoreSecret,
    Sweep,
    Sweeps,
    Token,
    WriteVersions,
)
from tests.unit.fakes import (
    AfterRedeeming,
    RefreshMode,
    RunKilledError,
    World,
    certificate_refused,
    denied,
    lost_connection,
    no_connection,
    not_signed,
    signing_denied,
    throttled,
    timed_out,
)
from token_refresher.announcing import Announcer
from token_refresher.errors import HeldError, HostStoppedError, LeaseTooOldError, OutOfTimeError
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.health import is_retrying
from token_refresher.oauth.client_authentication import Client, host_of
from token_refresher.oauth.token_request import token_request
from token_refresher.oauth.token_response import TokenResponse, read_token_response
from token_refresher.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from tests.scenarios.scenario import (
        Account,
        AnyStep,
        Expectation,
        Fault,
        Response,
        Scenario,
        Server,
    )
    from tests.scenarios.scenario import Settings as GivenSettings
    from tests.unit.fakes import Accounts
    from token_refresher.oauth.client_authentication import Grant
    from token_refresher.ports import Announcement
    from token_refresher.sweep import Report

    Secrets: TypeAlias = dict[str, Secret]

SHARED: Final[dict[str, dict[str, Any]]] = json.loads(
    (FOLDER / "shared" / "credentials.json").read_bytes()
)

_PLACE: Final = Settings(region="eu-west-1", puts_events=True)
# More points than any sweep of a scenario passes.
_POINTS: Final = 200
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
# Of a server: the field, the double's attribute, and what the field's words stand for.
_WAYS: Final[tuple[tuple[str, str, Mapping[Any, Any]], ...]] = (
    ("refresh_tokens", "mode", _MODES),
    ("issues_refresh_tokens", "issues_refresh_tokens", {}),
    ("expires_in", "lifetime", {}),
    ("refresh_token_expires_in", "refresh_token_lifetime", {}),
    ("scope", "scope", {}),
    ("verdict", "verdict", _VERDICTS),
    ("grace", "grace", {}),
    ("revokes_access_tokens", "revokes_access_tokens", {}),
)
_FAILURES: Final[dict[str, Callable[[], BaseException]]] = {
    "throttled": throttled,
    "denied": denied,
    "connection refused": no_connection,
    "certificate refused": certificate_refused,
    "connection lost": lost_connection,
    "killed": RunKilledError,
}
# The same of KMS.
_UNSIGNED: Final[dict[str, Callable[[], BaseException]]] = {
    "throttled": not_signed,
    "denied": signing_denied,
}
_CONNECTIONS: Final[dict[str, Callable[[], Exception]]] = {
    "refused": no_connection,
    "certificate refused": certificate_refused,
    "lost": lost_connection,
    "timed out": timed_out,
}
# Whoever asks where every request fails alike.
_ANYBODY: Final = Client(
    token_endpoint="https://id.example/token",
    client_id="made-up",
    client_secret="made-up",
    auth_method="client_secret_post",
    user_agent="made-up/1",
)
_PUT_OFF: Final = {
    HostStoppedError: "host stopped",
    OutOfTimeError: "out of time",
    HeldError: "leased a moment ago",
    LeaseTooOldError: "stood still",
}
_OPERATIONS: Final = {
    "describe": "DescribeSecret",
    "describe credentials": "DescribeSecret",
    "read credentials": "GetSecretValue",
    "read journal": "GetSecretValue",
    "read lease": "GetSecretValue",
    "read published": "GetSecretValue",
    "create": "CreateSecret",
    "lease": "PutSecretValue",
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
    judge(scenario, watch(scenario))


def watch(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """Let a scenario happen, whatever it expects; tell what came of each of its sweeps."""
    story = _Story(scenario)
    for step in scenario.steps:
        if isinstance(step, Sweep | Sweeps):
            yield story.sweep(step)
        else:
            story.happen(step)


def left_behind(scenario: Scenario) -> Iterator[tuple[datetime, Secrets]]:
    """Let a scenario happen, whatever it expects; copy all secrets after each of its sweeps."""
    story = _Story(scenario)
    for step in scenario.steps:
        if isinstance(step, Sweep | Sweeps):
            story.sweep(step)
            yield story.world.now, story.world.store.snapshot()
        else:
            story.happen(step)


def go_on(
    scenario: Scenario, secrets: Secrets, responses: Iterable[TokenResponse]
) -> Iterator[dict[str, Any]]:
    """Let a scenario begin with secrets that were left behind; tell what came of each sweep.

    Args:
        scenario: It gives no account, and has nothing but sweeps.
        secrets: By their whole names.
        responses: To the token requests, in their order, whatever they ask.
    """
    story = _Story(scenario)
    story.world.store.put_back(secrets)
    story.world.endpoint.answer(*responses)
    for step in scenario.steps:
        if isinstance(step, Sweep):
            yield story.sweep(step)


def events_of(scenario: Scenario) -> Bus:
    """Let a scenario happen, whatever it expects, and return the event bus."""
    story = _Story(scenario)
    for step in scenario.steps:
        if isinstance(step, Sweep | Sweeps):
            story.sweep(step)
        else:
            story.happen(step)
    return story.world.bus


def judge(scenario: Scenario, came: Iterable[dict[str, Any]]) -> None:
    """Compare what came of each sweep with what is expected.

    Raises:
        ScenarioError: At the first step that does not come out as expected.
    """
    steps = [
        (number, step.expect)
        for number, step in enumerate(scenario.steps, 1)
        if isinstance(step, Sweep | Sweeps)
    ]
    for (number, expect), actual in zip(steps, came, strict=True):
        mismatches = list(_differences("expect", expect, actual))
        if mismatches:
            lines = "\n  ".join(mismatches)
            raise ScenarioError(f"step {number} of {scenario.scenario!r}:\n  {lines}")


# The stored forms, as docs/reference.md gives them.


def credentials_version_id(number: int) -> str:
    """The version id of the number-th value that a person wrote."""
    return f"credentials-version-{number:012}"


def digest12(text: str) -> str:
    """The first 12 hex digits of a SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def moment(when: datetime) -> str:
    """A moment, as version ids and tags hold it."""
    return when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def token_version_id(account: str, issued_at: datetime, token: Token) -> str:
    """The version id of a token that was there before the first step."""
    credentials = digest12(credentials_version_id(token.of_credentials))
    digest = digest12(f"{account}\n{token.access_token}")
    return f"{moment(issued_at)}-{moment(issued_at + token.lives)}-{credentials}-{digest}"


class Bus:
    """An event bus, and what was put there."""

    def __init__(self) -> None:
        self.put_so_far: list[Announcement] = []

    def put(self, batch: Sequence[Announcement]) -> list[str]:
        self.put_so_far += batch
        return [""] * len(batch)


class _World(World):
    """A world whose margin and schedule are the scenario's."""

    def __init__(self, settings: GivenSettings) -> None:
        self._settings = settings
        self.bus = Bus()
        super().__init__(max_workers=1, uses_refresh_tokens=settings.refresh_tokens == "use")
        if settings.allowed_hosts is not None:
            self.endpoint.allowed_hosts = set(settings.allowed_hosts)

    def start_environment(self) -> None:
        super().start_environment()
        self.sweeper.refresher = msgspec.structs.replace(
            self.sweeper.refresher,
            refresh_before=self._settings.refresh_before,
            schedule=self._settings.schedule,
        )

        # What could not be put is forgotten, too.
        self.announcer = Announcer(_PLACE, lambda: self.bus)

    def sweep_beside(self) -> None:
        """Let another run sweep; what it asks is asked, but only this one's calls are counted."""
        askers, calls = list(self.endpoint.askers), list(self.store.calls)
        requested_at = list(self.endpoint.requested_at)
        report = self.beside().sweep()
        Announcer(_PLACE, lambda: self.bus).announce(report, time_left=lambda: self.invocation)
        self.endpoint.askers[:0] = askers
        self.endpoint.requested_at[:0] = requested_at
        self.store.calls[:] = calls


class _Faults:
    """Faults by the name of a point, each once or always; the dead do nothing more."""

    def __init__(
        self, faults: Iterable[Fault], world: _World, past: Callable[[datetime], Secrets]
    ) -> None:
        self._left = list(faults)
        self._world = world
        self._past = past
        self._is_dead = self._is_beside = False

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
        if fault is None or self._is_beside:
            return None
        if not fault.always:
            self._left.remove(fault)
        if fault.fails:
            self._is_dead = fault.fails == "killed"
            failures = _FAILURES | (_UNSIGNED if point.endswith(" sign") else {})
            return failures[fault.fails]()
        if fault.tells is not None:
            self._world.store.tell(fault.before or "", self._past(self._world.now - fault.tells))
            return None
        self._world.now += fault.takes or _NOW
        if fault.meanwhile:
            # The other run passes points of the same doubles; none of them is this one's.
            self._is_beside = True
            self._world.sweep_beside()
            self._is_beside = False
        return None


class _Story:
    """A scenario as it goes on."""

    def __init__(self, scenario: Scenario) -> None:
        given = scenario.given
        self.world = _World(given.settings)
        self.world.now = given.now
        self.versions: Counter[str] = Counter()
        # Reads that tell what was so before are rare, and copies of all secrets are not cheap.
        self.has_past = any(
            fault.tells is not None
            for step in scenario.steps
            for fault in getattr(step, "faults", ())
        )
        self.past: list[tuple[datetime, Secrets]] = []
        self._change_server(given.server)
        for name, account in given.accounts.items():
            self._give(name, account)

    def happen(self, step: AnyStep) -> None:
        """Let what is no sweep happen."""
        self._begin(step)
        match step:
            case ChangeServer():
                self._change_server(step.server)
            case FreezeListing():
                self.world.store.freeze_listing()
            case ColdStart():
                self.world.start_environment()
            case _:
                self._write(step)

    def _write(self, step: AnyStep) -> None:
        """Let people and other programs change a secret."""
        match step:
            case PutCredentials():
                self._put_credentials(step.account, step.credentials)
            case DeleteSecret():
                self._delete(step)
            case RestoreSecret():
                self._secrets(step.secret)[step.account].is_deleted = False
            case MoveStage():
                secret = self.world.store.tokens[step.account]
                secret.attach(step.stage, list(secret.versions)[step.to - 1])
            case WriteVersions():
                self._write_versions(step)
            case Publish():
                self._publish(step.account, step.token)
            case EditJournal():
                self._edit_journal(step)

    def _begin(self, step: AnyStep) -> None:
        self.world.now += step.after
        if self.has_past:
            self.past.append((self.world.now, self.world.store.snapshot()))

    def _past(self, when: datetime) -> Secrets:
        """Tell what was there then: what the next step after it has found."""
        return next(secrets for time, secrets in self.past if time > when)

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
            since = failure.since or max(-failure.next_attempt, _NOW) + _A_SECOND
            times = self.world.now - since, self.world.now + failure.next_attempt
            digest = digest12(credentials_version_id(failure.of_credentials))
            parts = failure.error, failure.failures, *map(moment, times), digest
            tags["failure"] = "/".join(map(str, parts))
            if failure.refusals:
                tags["refusals"] = f"{failure.refusals}/-/{digest}"
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
        version_id, now = credentials_version_id(self.versions[name]), self.world.now.timestamp()
        secret.put(version_id, text, ["AWSCURRENT"], now=now)

    def _write_versions(self, step: WriteVersions) -> None:
        secret, now = self._secrets(step.secret)[step.account], self.world.now.timestamp()
        number = len(secret.versions)
        while len(secret.versions) < MOST_VERSIONS - step.leaves:
            number += 1
            secret.put(f"script-{number:040}", "made-up", ["SCRIPT"], now=now)

    def _delete(self, step: DeleteSecret) -> None:
        secrets = self._secrets(step.secret)
        if step.scheduled:
            secrets[step.account].is_deleted = True
        else:
            del secrets[step.account]

    def _secrets(self, which: str) -> Accounts:
        return self.world.store.tokens if which == "token" else self.world.store.credentials

    def _publish(self, name: str, token: Token) -> None:
        secret = self.world.store.tokens.setdefault(name, Secret())
        content: str | bytes = json.dumps(token.json or {}) if token.text is None else token.text
        if token.binary:
            content = b"\xff"
        version_id = token.version_id
        if token.age is not None:
            issued_at = self.world.now - token.age
            expires_at = issued_at + token.lives
            version_id = token_version_id(name, issued_at, token)
            content = json.dumps(
                {
                    "access_token": token.access_token,
                    "token_type": "Bearer",
                    "issued_at": int(issued_at.timestamp()),
                    "expires_at": int(expires_at.timestamp()),
                }
            )
        now = self.world.now.timestamp()
        secret.put(version_id or "", content, ["AWSCURRENT"], now=now)

    def _edit_journal(self, step: EditJournal) -> None:
        secret = self.world.store.credentials[step.account]
        version_id = secret.stages["TOKENRESPONSE"]
        content = json.loads(secret.versions[version_id] or "") | step.changes
        kept = {name: value for name, value in content.items() if value is not None}
        secret.versions[version_id] = json.dumps(kept)

    def _change_server(self, server: Server) -> None:
        endpoint = self.world.endpoint
        for field, attribute, words in _WAYS:
            value = getattr(server, field)
            if value is not UNSET:
                setattr(endpoint, attribute, words[value] if words else value)
        for _ in range(server.initial_refresh_tokens):
            endpoint.seed()
        for refresh_token in server.forgets:
            endpoint.forget(refresh_token)
        if server.down is not UNSET:
            down = server.down
            make = None if down is None else partial(self._failure, down)
            endpoint.fail(make, host=server.host)

    def _respond(self, responses: Iterable[Response]) -> None:
        for response in responses:
            is_read_later = response.connection is None and not response.after_redeeming
            for _ in range(response.times):
                read = partial(self._read, response)
                self.world.endpoint.answer(read if is_read_later else self._failure(response))

    def _read(self, response: Response, client: Client) -> TokenResponse:
        """Make of an HTTP response what the program makes of it."""
        body = (response.text or "").encode()
        if response.json is not UNSET:
            content = response.json
            if response.access_token_length is not None:
                long = content["access_token"].ljust(response.access_token_length, "x")
                content = {**content, "access_token": long}
            body = json.dumps(content).encode()
        return read_token_response(
            response.status or 0,
            body,
            client=client,
            retry_after=response.retry_after,
            now=self.world.now,
            content_type=response.content_type,
        )

    def _failure(self, response: Response) -> Exception | AfterRedeeming:
        """Make the error that a response is to whoever asks."""
        error: Exception | None = None
        if response.connection is not None:
            error = _CONNECTIONS[response.connection]()
        else:
            try:
                self._read(response, _ANYBODY)
            except FAILURES as raised:
                error = raised
        assert error is not None, "`down` and `after_redeeming` take a failure"
        return AfterRedeeming(error) if response.after_redeeming else error

    # Sweeps.

    def sweep(self, step: Sweep | Sweeps) -> dict[str, Any]:
        """Let one or more sweeps happen; tell what came of them."""
        self._begin(step)
        self.events_before = len(self.world.bus.put_so_far)
        self._respond(step.responses)
        faults = _Faults(step.faults, self.world, self._past)
        if isinstance(step, Sweep):
            return self._told(step.expect, *self._sweep(step, faults))
        since, requests, report = self.world.now, [], None
        ends_at = since + step.lasts
        while self.world.now < ends_at:
            self.world.now += step.every
            report, more = self._sweep(step, faults, since)
            requests += more
        return self._told(step.expect, report, requests)

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
        else:
            if not event.get("dry_run"):
                world.announcer.announce(report, time_left=lambda: world.invocation)
        endpoint = world.endpoint
        return report, [
            {**_sent(*asker), "at": at - (since or began)}
            for asker, at in zip(endpoint.askers, endpoint.requested_at, strict=True)
        ]

    # What came of it.

    def _told(
        self, expect: Expectation, report: Report | None, requests: list[dict[str, Any]]
    ) -> dict[str, Any]:
        calls = Counter(_OPERATIONS[call] for call in self.world.calls)
        endpoint = self.world.endpoint
        return {
            "requests": requests,
            "killed": report is None,
            "accounts": {name: self._account(name, report) for name in expect.accounts},
            "calls": dict(calls),
            "events": self._events(),
            "server": {
                "redeemed": dict(endpoint.redeemed),
                "spent_came_back": endpoint.spent_came_back,
                "verified": list(endpoint.verified),
            },
        }

    def _events(self) -> list[dict[str, Any]]:
        """Tell the events of this step, and which of them a receiver knows already."""
        known, told = set[str](), []
        for number, each in enumerate(self.world.bus.put_so_far):
            detail = json.loads(each.detail)
            if number >= self.events_before:
                is_again = detail["change_id"] in known
                told.append({**detail, "kind": each.kind, "at": each.at, "is_again": is_again})
            known.add(detail["change_id"])
        return told

    def _account(self, name: str, report: Report | None) -> dict[str, Any]:
        told = self._stored(name)
        if report is None:
            return told
        result = next((each for each in report.results if each.account.name == name), None)
        known = [result.account] if result else []
        account = next((each for each in (*report.accounts, *known) if each.name == name), None)
        if account is None:
            return told | {"reason": "not listed", "outcome": "not due"}
        error = result.error if result else None
        failure = account.counting_failure
        put_off = next(
            (why for kind, why in _PUT_OFF.items() if isinstance(error, kind)), "nothing"
        )
        return told | {
            "reason": str(result.reason) if result else "fresh",
            "outcome": str(result.outcome) if result else "not due",
            "error": f"{failure_class_of(error)}: {error.code}"
            if isinstance(error, FAILURES)
            else None,
            "message": str(error),
            "put_off": put_off,
            "cautions": [str(caution) for caution in result.cautions] if result else [],
            "next_attempt": failure.next_attempt - report.now if failure else None,
            "needs_action": report.needs_action(account),
            "retrying": is_retrying(account),
        }

    def _stored(self, name: str) -> dict[str, Any]:
        """What the two secrets hold, with random parts named."""
        store = self.world.store
        token = store.tokens.get(name, Secret())
        credentials = store.credentials.get(name, Secret())
        current = token.stages.get("AWSCURRENT", "")
        journal_id = credentials.stages.get("TOKENRESPONSE", "")
        lease_ids = [each for each in credentials.versions if each.startswith("request-")]
        tags = {}
        for key, text in token.tags.items():
            lease, _, end = text.partition("/")
            tags[key.removeprefix(_TAG)] = text
            if lease in lease_ids:
                tags["lease"] = f"lease {lease_ids.index(lease) + 1}/{end}"
            elif text == journal_id:
                tags["refused-response"] = "the journal"
        published = _published(current, token.versions.get(current))
        if published is not None:
            access_token = published["access_token"] or ""
            published["is_accepted"] = self.world.endpoint.accepts(access_token)
        return {
            "token": published,
            "token_versions": len(token.versions),
            "credentials_versions": len(credentials.versions),
            "tags": tags,
            "journal": _journal(journal_id, credentials.versions.get(journal_id), current),
            "leases": [_lease(each, credentials.versions[each]) for each in lease_ids],
        }


def _published(version_id: str, text: str | bytes | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    fields = content if isinstance(content, dict) else {}
    access_token = fields.get("access_token")
    return {
        "access_token": access_token,
        "length": len(access_token or ""),
        "scope": fields.get("scope"),
        "issued_at": _from_epoch(fields.get("issued_at")),
        "expires_at": _from_epoch(fields.get("expires_at")),
        "json": content,
        "text": text if isinstance(text, str) else None,
        "version_id": version_id,
    }


def _sent(client: Client, grant: Grant) -> dict[str, Any]:
    """What a token request looks like on the wire."""
    request = token_request(client, grant)
    body = (request.body or b"").decode()
    if request.headers.get("Content-Type") == "application/json":
        parameters = json.loads(body)
    else:
        form = parse_qs(body or urlsplit(request.url).query)
        parameters = {name: each if len(each) > 1 else each[0] for name, each in form.items()}
    return {
        "grant_type": grant.parameters.get("grant_type"),
        "refresh_token": grant.refresh_token,
        "host": host_of(request.url),
        "method": request.method,
        "address": request.url.partition("?")[0],
        "headers": dict(request.headers),
        "parameters": parameters,
        "timeout_seconds": client.timeout_seconds,
    }


def _lease(version_id: str, text: str | bytes | None) -> dict[str, Any]:
    content = json.loads(text or "")
    return {
        "number": int(version_id.rpartition("-")[2]),
        "is_early": content.get("is_early", False),
        "taken_at": _from_epoch(content["leased_at"]),
        "version_id": version_id,
    }


def _journal(version_id: str, text: str | bytes | None, published: str) -> dict[str, Any] | None:
    if text is None:
        return None
    content = json.loads(text)
    return {
        "access_token": content.get("access_token"),
        "refresh_token": content.get("refresh_token"),
        "refresh_is_refused": content.get("refresh_is_refused", False),
        "response": content.get("response", {}),
        "json": content,
        "version_id": version_id,
        "has_the_published_id": version_id == published,
    }


def _from_epoch(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _differences(where: str, expected: object, actual: Any) -> Iterable[str]:  # noqa: ANN401
    """Compare what is expected with what came, field by field."""
    if isinstance(expected, Part) and isinstance(actual, dict):
        yield from _fields(where, msgspec.structs.asdict(expected), actual)
    elif where == "expect.requests" and isinstance(expected, int):
        if len(actual) != expected:
            yield f"{where} are {len(actual)}, not {expected}"
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
