"""The stage for thousands of cases: the real sweep, refresh and policy among doubles.

Responses of the token endpoint are bytes here, which the program's own reader judges. Only here
a read may be old, a run may stand still while others go on, and clocks may differ.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qsl

import msgspec

from local.secrets_manager.memory import Secret, SecretsManager
from tests.resilience.matrix import (
    ACCOUNT,
    TOKEN_CALLS,
    Fault,
    Flow,
    Point,
    Scene,
    Sending,
    Strike,
    Written,
    due,
    due_refresh_only,
    refresh_only_unanswered,
)
from tests.unit.fakes import (
    CLIENT,
    HOUR,
    MINUTE,
    PREFIX,
    SIGNS,
    TICK,
    UNTIL_DUE,
    Accounts,
    FakeTokenEndpoint,
    Faults,
    MemoryStore,
    RefreshMode,
    RunKilledError,
    World,
    lost_connection,
    metadata_of,
    no_connection,
    timed_out,
    unavailable,
)
from token_refresher.errors import SecretStoreError, SigningError, UnexpectedError
from token_refresher.oauth.client_authentication import Grant
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    TokenEndpointError,
    TokenRequestError,
)
from token_refresher.oauth.token_request import token_request
from token_refresher.oauth.token_response import read_token_response
from token_refresher.parsing import parse_credentials
from token_refresher.ports import CURRENT
from token_refresher.reporting import summary

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from token_refresher.model import Unwritten
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.dialect import Dialect
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.ports import SecretMetadata
    from token_refresher.sweep import Sweeper

LONGEST_LAG: Final = timedelta(seconds=300)
SLOW: Final = timedelta(seconds=50)
# The last half hour of a token, and what clocks differ.
LAST_SENDINGS: Final = 35 * MINUTE
SHOP: Final = "https://shop.example/17"
VERIFY_URL: Final = "https://www.autovit.ro/api/open/account/adverts"

# What a library's exception may quote; no such text may get anywhere.
_QUOTED: Final = "made-up-text of a request"

# The last of each is the signature of every assertion.
_MARKS: Final = re.compile(r"made-up-|access-token-\d|refresh-token-\d|bWFkZS11cC1z")
_HIDDEN_MARKS: Final = re.compile(r"made-up-|refresh-token-\d|bWFkZS11cC1z")

_PAGE: Final = b"<html>made-up-page</html>"
_STORE_ERRORS: Final[Mapping[Fault, tuple[str, bool]]] = {
    Fault.REFUSED: ("EndpointConnectionError", True),
    Fault.LOST: ("ConnectionClosedError", True),
    Fault.THROTTLED: ("ThrottlingException", True),
    Fault.SERVER_ERROR: ("InternalServiceError", True),
    Fault.SERVER_ERROR_AFTER: ("InternalServiceError", True),
    Fault.TIMEOUT: ("ReadTimeoutError", True),
    Fault.TIMEOUT_AFTER: ("ReadTimeoutError", True),
    Fault.DENIED: ("AccessDeniedException", False),
    Fault.VERSION_LIMIT: ("LimitExceededException", False),
    Fault.NOT_FOUND: ("ResourceNotFoundException", True),
    Fault.MALFORMED: ("ResponseParserError", True),
}
_CONNECTION_ERRORS: Final[Mapping[Fault, Callable[[], Exception]]] = {
    Fault.REFUSED: no_connection,
    Fault.LOST: lost_connection,
    Fault.TIMEOUT: timed_out,
    Fault.TIMEOUT_AFTER: timed_out,
}
_UNCONNECTED: Final[Mapping[Fault, Callable[[], Exception]]] = {
    Fault.REFUSED: no_connection,
    Fault.TIMEOUT: lambda: EndpointUnavailableError("silence", code="timeout", sent=False),
    Fault.DENIED: lambda: TokenEndpointError("refused", code="certificate_refused", sent=False),
}
RESPONSES: Final[Mapping[Fault, tuple[int, bytes]]] = {
    Fault.THROTTLED: (429, b'{"error": "slow_down", "error_description": "made-up-words"}'),
    Fault.SERVER_ERROR: (503, _PAGE),
    Fault.SERVER_ERROR_AFTER: (500, _PAGE),
    Fault.UNAVAILABLE_AFTER: (503, _PAGE),
    Fault.DENIED: (401, b'{"error": "invalid_client", "error_description": "made-up-words"}'),
    Fault.FIREWALL: (403, _PAGE),
    Fault.MALFORMED: (200, b'{"access_token": "made-up-to'),
    Fault.EMPTY: (200, b"{}"),
    Fault.UNUSABLE: (
        200,
        b'{"access_token": "made-up-token\\n", "token_type": "bearer", "expires_in": 43200}',
    ),
}


class _ResponseError(BaseException):
    """The endpoint responds otherwise; it crosses the double, and no part of the program."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class _Crossed(Faults):
    """Faults that a `Boundary` plans, for a program on a scene."""

    def __init__(self, scene: MemoryScene) -> None:
        super().__init__()
        self._scene = scene

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        scene = self._scene
        if call == "tag" and scene.refuses_tags:
            raise SecretStoreError(call, "LimitExceededException", transient=False)
        if scene.others_go_on:
            yield
            return
        fault = scene.boundary.arrive(call)
        if fault is None:
            yield
        elif fault.passes:
            with scene.struck(fault):
                yield
        elif fault.is_after:
            try:
                yield
            finally:
                # Also in place of a response that is an error.
                raise _error(call, fault)
        else:
            raise _error(call, fault)


def _error(call: str, fault: Fault) -> BaseException:
    if fault.kills:
        return RunKilledError()
    if fault is Fault.DEFECT:
        return ValueError(_QUOTED)
    if call == "connect":
        return _UNCONNECTED[fault]()
    if call not in TOKEN_CALLS:
        code, transient = _STORE_ERRORS[fault]
        if call == "sign":
            return SigningError("made by KMS", operation=call, code=code, transient=transient)
        return SecretStoreError(call, code, transient=transient)
    if fault in _CONNECTION_ERRORS:
        return _CONNECTION_ERRORS[fault]()
    return _ResponseError(fault)


def _printed(error: BaseException) -> list[str]:
    """Print what any logger would, but for the lines of source, in which no value can be."""
    return traceback.format_exception(error, limit=0)


class LaggingManager(SecretsManager):
    """Secrets Manager, which also knows what it was in the last five minutes.

    Attributes:
        is_lagging: Whether it answers as it was then.
        written: Every version that was put, in order.
        clock: Gives aware times.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(lambda: clock().timestamp())
        self.is_lagging = False
        self.written: list[Written] = []
        self.clock = clock
        # With the times until which they were so.
        self._past: list[tuple[datetime, dict[str, Secret]]] = []

    def as_of_then(self) -> dict[str, Secret]:
        """What the secrets were, as old as a read may be."""
        oldest = self.clock() - LONGEST_LAG
        return next((secrets for until, secrets in self._past if until >= oldest), self.secrets)

    def keep(self) -> None:
        """Remember what the secrets are, before they change."""
        now = self.clock()
        self._past = [each for each in self._past if each[0] >= now - LONGEST_LAG]
        self._past.append((now, copy.deepcopy(self.secrets)))

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        if operation in {"DescribeSecret", "GetSecretValue"}:
            if self.is_lagging:
                then = SecretsManager(self._seconds)
                then.secrets = self.as_of_then()
                return then.answer(operation, asked)
            return super().answer(operation, asked)
        self.keep()
        answer = super().answer(operation, asked)
        if operation == "PutSecretValue":
            path, version_id = asked["SecretId"].split("/")[1], answer["VersionId"]
            if (path, version_id) not in {(each.path, each.version_id) for each in self.written}:
                self.written.append(Written(self.clock(), path, version_id))
        return answer


class SceneStore(MemoryStore):
    """The double, with reads that may be old."""

    def __init__(self, faults: Faults, manager: LaggingManager) -> None:
        super().__init__(faults, manager.clock)
        self._manager = self.manager = manager
        self.credentials = Accounts(manager.secrets, f"{PREFIX}/credentials/")
        self.tokens = Accounts(manager.secrets, f"{PREFIX}/tokens/")

    def put_credentials(self, account: str, content: Mapping[str, Any] | str | bytes) -> None:
        self.manager.keep()
        super().put_credentials(account, content)
        # It is the program's pace that is judged here: what people write takes none of the day's
        # room. Where it does is told in tests/scenarios/full-secrets.json.
        secret = self.credentials[account]
        secret.made_at[secret.stages["AWSCURRENT"]] = 0

    def _list_both(self) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        if not self.manager.is_lagging:
            return super()._list_both()
        secrets = self.manager.as_of_then()
        credentials, tokens = (
            {name: metadata_of(secret) for name, secret in Accounts(secrets, path).items()}
            for path in (f"{PREFIX}/credentials/", f"{PREFIX}/tokens/")
        )
        return credentials, tokens


class ReadEndpoint(FakeTokenEndpoint):
    """The double, with responses that are read as they come from the wire.

    Attributes:
        grace: How long a spent refresh token is taken again.
        latest: The refresh token that was issued last.
        sendings: What arrived.
        run: The sweep that is at it.
        renews_by_access_token: Whether an access token is its own refresh token.
        is_token_needless: Whether the published token lives for long and would be accepted.
        is_refusing: Whether ``verify_url`` refuses.
        refused: The access tokens that the program was told to be refused.
    """

    def __init__(self, clock: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(clock, faults)
        self.clock = clock
        self.grace = timedelta(0)
        self.latest: str | None = None
        self.sendings: list[Sending] = []
        self.run: object = None
        self.renews_by_access_token = False
        self.is_token_needless: Callable[[], bool] = lambda: False
        self.is_refusing = False
        self.refused: set[str] = set()
        self._refused: set[str] = set()
        self._issued_at: dict[str, datetime] = {}
        self._spent_at: dict[str, datetime] = {}

    def forget_all(self) -> None:
        self._refresh_tokens.clear()

    def accepts(self, access_token: str) -> bool:
        return access_token not in self.refused and super().accepts(access_token)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        value = grant.refresh_token or ""
        if value:
            is_needless = value not in self._refused and self.is_token_needless()
            self.sendings.append(Sending(self.clock(), self.run, value, is_needless))
        try:
            return self._read(self.signed(client), grant)
        except TokenRequestError:
            self._refused.add(value)
            raise

    def _read(self, client: Client, grant: Grant) -> TokenResponse:
        try:
            response = super().request(client, _arrived(client, grant))
        except _ResponseError as error:
            status, body = RESPONSES[error.fault]
        else:
            status, body = 200, json.dumps(_written(client.dialect, response)).encode()
        return read_token_response(status, body, client=client, retry_after=None, now=self.clock())

    def _redeem(self, value: str) -> TokenResponse:
        token, now = self._refresh_tokens.get(value), self.clock()
        lives = self.refresh_token_lifetime
        if lives is not None and now >= self._issued_at[value] + lives:
            self._refresh_tokens.pop(value, None)
        if token is not None and now - self._spent_at.setdefault(value, now) <= self.grace:
            token.is_spent = False
        return super()._redeem(value)

    def _token(self, family: int, refresh_token: str | None) -> TokenResponse:
        response = super()._token(family, refresh_token)
        if not self.renews_by_access_token or refresh_token is None:
            return response
        self._access_tokens[refresh_token] = self._access_tokens[response.access_token or ""]
        return msgspec.structs.replace(response, access_token=refresh_token)

    def _new_refresh_token(self, family: int) -> str:
        self.latest = super()._new_refresh_token(family)
        if self.renews_by_access_token:
            token, kind = self._refresh_tokens.pop(self.latest), "access-token-9"
            self.latest = self.latest.replace("refresh-token-", kind)
            self._refresh_tokens[self.latest] = token
        self._issued_at[self.latest] = self.clock()
        return self.latest

    def verify(self, client: Client, access_token: str) -> bool | None:
        self.verdict = not self.is_refusing
        try:
            verdict = super().verify(client, access_token)
        except EndpointUnavailableError:
            return None
        except _ResponseError as error:
            # As the real one judges a status: 2xx accepts, and 401 refuses.
            verdict = {Fault.MALFORMED: True, Fault.DENIED: False}.get(error.fault)
        if verdict is False:
            self.refused.add(access_token)
        elif verdict:
            self.refused.discard(access_token)
        return verdict


def _arrived(client: Client, grant: Grant) -> Grant:
    """Read a request as its server does, wherever its parameters are."""
    method, url, _, body = token_request(client, grant)
    address, _, query = url.partition("?")
    fields: dict[str, Any] = dict(parse_qsl(query))
    if client.dialect.request_format == "json":
        fields |= json.loads(body or b"")
    elif body is not None:
        fields |= parse_qsl(body.decode())
    assert method == client.dialect.request_method
    if grant.refresh_token is not None:
        assert address == (client.refresh_endpoint or client.token_endpoint)
        name = next(name for name, value in fields.items() if value == grant.refresh_token)
        fields["refresh_token"] = fields.pop(name)
    return Grant(fields, grant.refresh_token)


def _written(dialect: Dialect, response: TokenResponse) -> dict[str, Any]:
    """Write a response as a server of this dialect does, and with more than was asked for."""
    unit = 1000 if dialect.expires_in_unit == "milliseconds" else 1
    expires_in, lives = response.expires_in, response.refresh_token_expires_in
    content: dict[str, Any] = {"shop": {"url": SHOP}, "token_type": response.token_type}
    for path, value in (
        (dialect.refresh_token, response.refresh_token),
        (dialect.access_token, response.access_token),
        (dialect.expires_in, expires_in and unit * expires_in.total_seconds()),
        (dialect.scope, response.scope),
        (
            dialect.refresh_token_expires_in or "refresh_token_expires_in",
            lives and unit * lives.total_seconds(),
        ),
    ):
        *above, last = path.split(".")
        place = content
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return content


class _Listener(logging.Handler):
    """Takes every record that any logger writes."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@dataclass
class MemoryScene(Scene):
    """A world of doubles with one account in it.

    Attributes:
        others_go_on: Whether the struck run stands still, so that it is others who call.
        refuses_tags: Whether the token secret has fifty tags of other people's.
        form: What credentials say besides, or instead; None takes a field out.
    """

    # A test that lets them lie sees whether the matrix notices.
    store_type: ClassVar[type[SceneStore]] = SceneStore
    endpoint_type: ClassVar[type[ReadEndpoint]] = ReadEndpoint

    world: World = field(default_factory=lambda: World(max_workers=1))
    others_go_on: bool = False
    refuses_tags: bool = False
    form: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        world.faults = _Crossed(self)
        self._manager = LaggingManager(lambda: world.now)
        world.store = self.store = self.store_type(world.faults, self._manager)
        self.server = world.endpoint = self.endpoint_type(lambda: world.now, world.faults)
        self.server.is_token_needless = self._has_needless_token
        world.start_environment()
        self._asleep: Sweeper | None = None
        self._unwritten: Unwritten | None = None
        self._listener = _Listener(self.said)
        self.versions = self._manager.written

    @property
    def now(self) -> datetime:
        return self.world.now

    def pass_time(self, duration: timedelta) -> None:
        self.world.now += duration

    @property
    def mode(self) -> RefreshMode:
        return self.server.mode

    def set_mode(self, mode: RefreshMode) -> None:
        self.server.mode = mode

    def onboard(self, grant: Mapping[str, str], **more: object) -> None:
        self.puts.append(self.now)
        self.world.add({**CLIENT, **grant, **self.form}, ACCOUNT, **more)

    def onboard_refresh_only(self, **more: object) -> None:
        initial = self.server.seed()
        self.onboard({"grant_type": "refresh_token", "refresh_token": initial}, **more)

    def edit(self, **changes: object) -> None:
        self.onboard(self._credentials(), **changes)

    def _credentials(self) -> dict[str, Any]:
        secret = self.store.credentials[ACCOUNT]
        content: dict[str, Any] = json.loads(secret.versions[secret.stages[CURRENT]] or "")
        return content

    def make_token_secret(self) -> None:
        self.store.tokens[ACCOUNT] = Secret()

    def let_refresh_tokens_die(self) -> None:
        self.server.forget_all()

    def set_outage(self, *, is_on: bool) -> None:
        self.server.fail(unavailable if is_on else None)

    @property
    def verify_url(self) -> str:
        return VERIFY_URL

    def _has_needless_token(self) -> bool:
        """Whether to send a refresh token again would risk more than it can bring."""
        may_end_first = self.server.refresh_token_lifetime is not None
        return not may_end_first and self.lives_for(LAST_SENDINGS)

    # What can go wrong here alone.

    def change_environment(self) -> None:
        """Let the warm environment sleep, and a cold one, or the one that slept, go on."""
        sleeps, self._asleep = self.world.sweeper, self._asleep
        if self._asleep is None:
            self.world.start_environment()
        else:
            self.world.sweeper = self._asleep
        self._asleep = sleeps

    @contextmanager
    def struck(self, fault: Fault) -> Iterator[None]:
        """Let a call end well, and yet not as it should."""
        self._manager.is_lagging = fault is Fault.STALE
        if fault is Fault.SLOW:
            self.world.now += SLOW
        try:
            yield
        finally:
            self._manager.is_lagging = False
        if fault.freezes is not None:
            self._stand_still(fault.freezes)

    def _stand_still(self, duration: timedelta) -> None:
        """Let the run that is at it be frozen, and another environment sweep at every tick."""
        ends_at, run, others = self.now + duration, self.server.run, self.world.beside()
        self.others_go_on = True
        while self.now + TICK <= ends_at:
            self.world.now += TICK
            others.now, self.server.run = self.now, object()
            others.sweep()
        self.world.now = ends_at
        self.others_go_on, self.server.run = False, run

    def wipe_tags(self) -> None:
        """Let somebody remove the program's tags."""
        self._manager.keep()
        self.store.tokens[ACCOUNT].tags.clear()

    def move_current_back(self) -> None:
        """Let somebody move ``AWSCURRENT`` to the first token, and away from the last."""
        self._manager.keep()
        secret = self.store.tokens[ACCOUNT]
        secret.stages.clear()
        secret.stages[CURRENT] = next(iter(secret.versions))

    # What the program does.

    def sweep(self, *strikes: Strike, force: bool = False) -> dict[str, Any] | None:
        self.boundary.begin(*strikes)
        self.server.is_refusing, self.server.run = self.is_refusing_tokens, object()
        self.world.skew = self.ahead
        logging.getLogger().addHandler(self._listener)
        try:
            report = self.world.sweep(accounts=[ACCOUNT] if force else (), force=force)
        except RunKilledError:
            self.world.start_environment()
            self._unwritten = None
            return None
        except SecretStoreError as error:
            self.said += _printed(error)
            return None
        except ValueError as defect:
            # As the handler does.
            self.said += _printed(UnexpectedError(defect))
            return None
        finally:
            logging.getLogger().removeHandler(self._listener)
        # An old listing may not have the account.
        self._unwritten = next((each.unwritten for each in report.accounts), self._unwritten)
        told = summary(report)
        self.said += [repr(report), json.dumps(told)]
        for result in report.results:
            if result.error is not None:
                self.said += [repr(result.error), *_printed(result.error)]
        return told

    # What can be seen.

    @property
    def marks(self) -> re.Pattern[str]:
        return _MARKS

    @property
    def hidden_marks(self) -> re.Pattern[str]:
        return _HIDDEN_MARKS

    def published(self) -> tuple[str, dict[str, Any]] | None:
        token = self.world.token(ACCOUNT)
        return (self.world.version_id(ACCOUNT), token) if token else None

    def accepts(self, access_token: str) -> bool:
        return self.server.accepts(access_token)

    def tags(self) -> dict[str, str]:
        return self.world.tags(ACCOUNT)

    def outside(self) -> str:
        paths = (self.store.credentials, self.store.tokens)
        return repr([(list(s.versions), metadata_of(s)) for path in paths for s in path.values()])

    def token_texts(self) -> str:
        secret = self.store.tokens.get(ACCOUNT, Secret())
        return "\n".join(map(str, secret.versions.values()))

    def stored_refresh_token(self) -> str | None:
        grant = parse_credentials(json.dumps(self._credentials())).grant_digest
        # What could not be journaled is kept in the environment.
        kept = json.loads(self._unwritten.content) if self._unwritten else None
        journal = kept or self.world.journal(ACCOUNT)
        if journal is not None and journal["grant"] == grant:
            token: str | None = journal.get("refresh_token")
            return token
        return self._credentials().get("refresh_token")

    def latest_refresh_token(self) -> str | None:
        return self.server.latest

    def sendings(self) -> list[Sending]:
        return self.server.sendings

    def refresh_tokens_redeemed(self) -> Counter[str]:
        return self.server.redeemed

    def families_revoked(self) -> int:
        return len(self.server.revoked)

    def assertions_refused(self) -> int:
        return self.server.assertions_refused


# Flows that only this stage can play.


def _with_grace(scene: MemoryScene) -> None:
    scene.server.grace, scene.has_grace = MINUTE, True
    due_refresh_only(scene)


def _short_refresh_tokens(scene: MemoryScene) -> None:
    scene.server.lifetime, scene.server.refresh_token_lifetime = HOUR, 30 * MINUTE
    scene.until_due = 20 * MINUTE
    due_refresh_only(scene)


def _dead(scene: MemoryScene) -> None:
    """The outage has outlived the token."""
    due_refresh_only(scene)
    scene.set_outage(is_on=True)
    for _ in range(2 * HOUR // TICK):
        scene.sweep()
        scene.pass_time(TICK)
    scene.set_outage(is_on=False)


def _wiped(scene: MemoryScene) -> None:
    refresh_only_unanswered(scene)
    scene.wipe_tags()


def _with_fifty_tags(prepare: Callable[[Scene], None]) -> Callable[[MemoryScene], None]:
    def prepared(scene: MemoryScene) -> None:
        scene.refuses_tags = True
        prepare(scene)

    return prepared


def _moved(prepare: Callable[[Scene], None]) -> Callable[[MemoryScene], None]:
    def prepared(scene: MemoryScene) -> None:
        prepare(scene)
        scene.sweep()
        scene.pass_time(HOUR)
        scene.move_current_back()

    return prepared


def _unwritten(prepare: Callable[[Scene], None]) -> Callable[[MemoryScene], None]:
    def prepared(scene: MemoryScene) -> None:
        prepare(scene)
        scene.sweep(Strike(Point("journal"), Fault.DENIED, is_lasting=True))
        scene.pass_time(TICK)

    return prepared


def _woken(scene: MemoryScene) -> None:
    """What was not written sleeps until another environment has had a later response."""
    _unwritten(due)(scene)
    scene.change_environment()
    scene.sweep()
    scene.pass_time(UNTIL_DUE)
    scene.sweep()
    scene.pass_time(UNTIL_DUE)
    scene.change_environment()


def _in_form(prepare: Callable[[Scene], None], **form: object) -> Callable[[MemoryScene], None]:
    def prepared(scene: MemoryScene) -> None:
        scene.form = form
        scene.server.allowed_hosts |= {"graph.instagram.com", "api.trustpilot.com", "id.example"}
        scene.server.renews_by_access_token = form.get("provider") == "instagram"
        prepare(scene)

    return prepared


def _overwritten(scene: MemoryScene) -> None:
    """Another tool has put something of its own over the published token."""
    due(scene)
    content = json.dumps({"issued_at": 0, "expires_at": scene.now.timestamp(), "url": SHOP})
    scene.store.tokens[ACCOUNT].put("made-by-another-tool-of-this-house", content, [CURRENT])


# How a server may depart from RFC 6749, all at once; and what more is published.
DIALECT: Final[Mapping[str, object]] = {
    "provider": None,
    "token_endpoint": "https://www.autovit.ro/token",
    "dialect": {
        "request_method": "PUT",
        "request_format": "json",
        "access_token": "data.token",
        "refresh_token": "data.renewal",
        "expires_in": "data.lives",
        "expires_in_unit": "milliseconds",
    },
    "publish": {"fields": ["shop.url"]},
}
_INSTAGRAM: Final[Mapping[str, object]] = {
    "provider": "instagram",
    "grant_type": "ig_refresh_token",
    "client_id": None,
    "client_secret": None,
}

_BEARER: Final[Mapping[str, object]] = {
    **SIGNS,
    "token_endpoint_auth_method": None,
    "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "assertion": {"signer": "kms"},
    "username": None,
    "password": None,
}

FLOWS_IN_MEMORY: Final = (
    Flow("refresh: an account that signs", _in_form(due, **SIGNS)),
    Flow(
        "refresh-only: an account that signs",
        _in_form(due_refresh_only, **SIGNS),
        is_refresh_only=True,
    ),
    Flow(
        "refresh-only: one that signs, after an outage",
        _in_form(refresh_only_unanswered, **SIGNS),
        is_refresh_only=True,
        failed_before=True,
    ),
    Flow("refresh: a grant that is signed", _in_form(due, **_BEARER)),
    Flow("refresh: another dialect", _in_form(due, **DIALECT)),
    Flow(
        "refresh-only: another dialect", _in_form(due_refresh_only, **DIALECT), is_refresh_only=True
    ),
    Flow(
        "refresh-only: a token that is renewed by itself",
        _in_form(due_refresh_only, **_INSTAGRAM),
        is_refresh_only=True,
    ),
    Flow("refresh: an address of its own", _in_form(due, provider="trustpilot")),
    Flow("overwritten by another tool", _overwritten),
    Flow("refresh-only: server with a grace of a minute", _with_grace, is_refresh_only=True),
    Flow("refresh-only: refresh tokens of 30 minutes", _short_refresh_tokens, is_refresh_only=True),
    Flow("refresh-only: no token lives", _dead, is_refresh_only=True, failed_before=True),
    Flow("refresh-only: tags wiped after an outage", _wiped, is_refresh_only=True),
    Flow("fifty tags", _with_fifty_tags(due)),
    Flow("refresh-only: fifty tags", _with_fifty_tags(due_refresh_only), is_refresh_only=True),
    Flow("stages moved by a person", _moved(due)),
    Flow("refresh-only: stages moved by a person", _moved(due_refresh_only), is_refresh_only=True),
    Flow(
        "unwritten journal, warm environment",
        _unwritten(due),
        failed_before=True,
        is_unwritten=True,
    ),
    Flow(
        "refresh-only: unwritten journal, warm environment",
        _unwritten(due_refresh_only),
        is_refresh_only=True,
        failed_before=True,
        is_unwritten=True,
    ),
    Flow("unwritten journal, environment that slept", _woken),
)
