"""The stage for thousands of cases: the real sweep, refresh and policy among doubles.

Answers of the token endpoint are bytes here, which the program's own reader judges.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from local.secrets_manager.memory import Secret
from tests.resilience.matrix import ACCOUNT, Boundary, Fault, Scene, Strike, Written
from tests.unit.fakes import (
    CLIENT,
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
from token_refresher.credentials import parse_credentials
from token_refresher.errors import SecretStoreError, UnexpectedError
from token_refresher.oauth.errors import EndpointUnavailableError
from token_refresher.oauth.token_response import read_token_response
from token_refresher.ports import CLAIM_STAGE, CURRENT
from token_refresher.reporting import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime, timedelta

    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse

VERIFY_URL: Final = "https://www.autovit.ro/api/open/account/adverts"

# What a library's exception may quote; no such text may get anywhere.
_QUOTED: Final = "made-up-text of a request"

_MARKS: Final = re.compile(r"made-up-|access-token-\d|refresh-token-\d")
_HIDDEN_MARKS: Final = re.compile(r"made-up-|refresh-token-\d")

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
    Fault.MALFORMED: ("ResponseParserError", True),
}
_CONNECTION_ERRORS: Final[Mapping[Fault, Callable[[], Exception]]] = {
    Fault.REFUSED: no_connection,
    Fault.LOST: lost_connection,
    Fault.TIMEOUT: timed_out,
    Fault.TIMEOUT_AFTER: timed_out,
}
# A 503 or 429 that hides a processed request is not among them: the program takes both as a
# proof that nothing was redeemed, and says so in docs/decisions.md.
ANSWERS: Final[Mapping[Fault, tuple[int, bytes]]] = {
    Fault.THROTTLED: (429, b'{"error": "slow_down", "error_description": "made-up-words"}'),
    Fault.SERVER_ERROR: (503, _PAGE),
    Fault.SERVER_ERROR_AFTER: (500, _PAGE),
    Fault.DENIED: (401, b'{"error": "invalid_client", "error_description": "made-up-words"}'),
    Fault.FIREWALL: (403, _PAGE),
    Fault.MALFORMED: (200, b'{"access_token": "made-up-to'),
    Fault.EMPTY: (200, b"{}"),
    Fault.UNUSABLE: (
        200,
        b'{"access_token": "made-up-token\\n", "token_type": "bearer", "expires_in": 43200}',
    ),
}


class _AnswerError(BaseException):
    """The endpoint answers something else; it crosses the double, and no part of the program."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class _Crossed(Faults):
    """Faults that a `Boundary` plans."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self._boundary = boundary

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        fault = self._boundary.arrive(call)
        if fault is not None and not fault.is_after:
            raise _error(call, fault)
        try:
            yield
        finally:
            # Also in place of an answer that is an error.
            if fault is not None:
                raise _error(call, fault)


def _error(call: str, fault: Fault) -> BaseException:
    if fault.kills:
        return RunKilledError()
    if fault is Fault.DEFECT:
        return ValueError(_QUOTED)
    if call not in {"request", "verify"}:
        code, transient = _STORE_ERRORS[fault]
        return SecretStoreError(call, code, transient=transient)
    if fault in _CONNECTION_ERRORS:
        return _CONNECTION_ERRORS[fault]()
    return _AnswerError(fault)


def _printed(error: BaseException) -> list[str]:
    """Print what any logger would, but for the lines of source, in which no value can be."""
    return traceback.format_exception(error, limit=0)


class ReadEndpoint(FakeTokenEndpoint):
    """The double, with answers that are read as they come from the wire.

    Attributes:
        latest: The refresh token that was issued last.
        sent: How often each arrived.
        is_refusing: Whether ``verify_url`` refuses.
        refused: The access tokens that the program was told to be refused.
    """

    def __init__(self, clock: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(clock, faults)
        self.clock = clock
        self.latest: str | None = None
        self.sent: Counter[str] = Counter()
        self.is_refusing = False
        self.refused: set[str] = set()

    def forget_all(self) -> None:
        self._refresh_tokens.clear()

    def accepts(self, access_token: str) -> bool:
        return access_token not in self.refused and super().accepts(access_token)

    def request(self, client: Client, grant: Mapping[str, str]) -> TokenResponse:
        try:
            response = super().request(client, grant)
        except _AnswerError as answer:
            status, body = ANSWERS[answer.fault]
        else:
            fields = {
                "access_token": response.access_token,
                "token_type": response.token_type,
                "expires_in": response.expires_in and response.expires_in.total_seconds(),
                "scope": response.scope,
                "refresh_token": response.refresh_token,
            }
            status, body = 200, json.dumps(fields).encode()
        return read_token_response(status, body, retry_after=None, now=self.clock())

    def _redeem(self, value: str) -> TokenResponse:
        self.sent[value] += 1
        return super()._redeem(value)

    def _new_refresh_token(self, family: int) -> str:
        self.latest = super()._new_refresh_token(family)
        return self.latest

    def verify(self, client: Client, access_token: str) -> bool | None:
        self.verdict = not self.is_refusing
        try:
            verdict = super().verify(client, access_token)
        except EndpointUnavailableError:
            return None
        except _AnswerError as answer:
            # As the real one judges a status: 2xx accepts, and 401 refuses.
            verdict = {Fault.MALFORMED: True, Fault.DENIED: False}.get(answer.fault)
        if verdict is False:
            self.refused.add(access_token)
        elif verdict:
            self.refused.discard(access_token)
        return verdict


class _Listener(logging.Handler):
    """Takes every record that any logger writes."""

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@dataclass
class MemoryScene(Scene):
    """A world of doubles with one account in it."""

    # A test that lets them lie sees whether the matrix notices.
    store_type: ClassVar[type[MemoryStore]] = MemoryStore
    endpoint_type: ClassVar[type[ReadEndpoint]] = ReadEndpoint

    world: World = field(default_factory=lambda: World(max_workers=1))

    def __post_init__(self) -> None:
        world = self.world
        world.faults = _Crossed(self.boundary)
        world.store = self.store_type(world.faults)
        self._endpoint = world.endpoint = self.endpoint_type(lambda: world.now, world.faults)
        world.start_environment()
        self._listener = _Listener(self.said)
        self._known: set[str] = set()

    @property
    def now(self) -> datetime:
        return self.world.now

    def pass_time(self, duration: timedelta) -> None:
        self.world.now += duration

    @property
    def mode(self) -> RefreshMode:
        return self._endpoint.mode

    def set_mode(self, mode: RefreshMode) -> None:
        self._endpoint.mode = mode

    def onboard(self, grant: Mapping[str, str], **more: object) -> None:
        self.world.add({**CLIENT, **grant}, ACCOUNT, **more)
        versions = self.world.store.credentials[ACCOUNT].versions
        self._known |= {f"credentials/{version_id}" for version_id in versions}

    def onboard_refresh_only(self, **more: object) -> None:
        seed = self._endpoint.seed()
        self.onboard({"grant_type": "refresh_token", "refresh_token": seed}, **more)

    def edit(self, **changes: object) -> None:
        self.onboard(self._credentials(), **changes)

    def _credentials(self) -> dict[str, Any]:
        secret = self.world.store.credentials[ACCOUNT]
        content: dict[str, Any] = json.loads(secret.versions[secret.stages[CURRENT]] or "")
        return content

    def make_token_secret(self) -> None:
        self.world.store.tokens[ACCOUNT] = Secret()

    def let_refresh_tokens_die(self) -> None:
        self._endpoint.forget_all()

    def set_outage(self, *, is_on: bool) -> None:
        self._endpoint.fail(unavailable if is_on else None)

    @property
    def verify_url(self) -> str:
        return VERIFY_URL

    def sweep(self, *strikes: Strike, force: bool = False) -> dict[str, Any] | None:
        self.boundary.begin(*strikes)
        self._endpoint.is_refusing = self.is_refusing_tokens
        moment = self.now
        logging.getLogger().addHandler(self._listener)
        try:
            report = self.world.sweep(accounts=[ACCOUNT] if force else (), force=force)
        except RunKilledError:
            self.world.start_environment()
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
            self._note_versions(moment)
        told = summary(report)
        self.said += [repr(report), json.dumps(told)]
        for result in report.results:
            if result.error is not None:
                self.said += [repr(result.error), *_printed(result.error)]
        return told

    def _note_versions(self, moment: datetime) -> None:
        store = self.world.store
        for path, secrets in (("credentials", store.credentials), ("tokens", store.tokens)):
            for version_id in secrets.get(ACCOUNT, Secret()).versions:
                if f"{path}/{version_id}" not in self._known:
                    self._known.add(f"{path}/{version_id}")
                    self.versions.append(Written(moment, path, version_id))

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
        return self._endpoint.accepts(access_token)

    def error_tag(self) -> str:
        return self.world.tags(ACCOUNT).get("error", "")

    def outside(self) -> str:
        paths = (self.world.store.credentials, self.world.store.tokens)
        return repr([(list(s.versions), metadata_of(s)) for path in paths for s in path.values()])

    def token_texts(self) -> str:
        secret = self.world.store.tokens.get(ACCOUNT, Secret())
        return "\n".join(map(str, secret.versions.values()))

    def stored_refresh_token(self) -> str | None:
        text = json.dumps(self._credentials())
        journal = self.world.journal(ACCOUNT)
        if journal is not None and journal["grant"] == parse_credentials(text).grant_digest:
            token: str | None = journal.get("refresh_token")
            return token
        return self._credentials().get("refresh_token")

    def latest_refresh_token(self) -> str | None:
        return self._endpoint.latest

    def refresh_tokens_sent(self) -> Counter[str]:
        return self._endpoint.sent

    def refresh_tokens_redeemed(self) -> Counter[str]:
        return self._endpoint.redeemed

    def families_revoked(self) -> int:
        return len(self._endpoint.revoked)

    def open_claim(self) -> str:
        secret = self.world.store.credentials[ACCOUNT]
        claim = secret.stages.get(CLAIM_STAGE, "")
        released = self.world.tags(ACCOUNT).get("released", "")
        return "" if released.partition("/")[0] == claim else claim
