"""A sweep of the real program, with one account at a hostile host and its neighbours elsewhere.

The token endpoint and the sweep are the program's own, over real TLS; the store is the double.
"""

from __future__ import annotations

import json
import ssl
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import trustme

from tests.resilience.hostile import CLIENT_ID, MARK, SECRET, Certificate
from tests.unit.fakes import HOUR, INVOCATION, REFRESH_BEFORE, START, TICK, Faults, MemoryStore
from tests.unit.raw_tls_server import RawTlsServer, answer, answers
from tests.unit.signer import no_signer
from token_refresher.model import PublishedToken, TokenVersion, digest12
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.ports import CURRENT
from token_refresher.refresh import Refresher
from token_refresher.reporting import describe, summary
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import timedelta

    from local.authority import Authority
    from tests.unit.raw_tls_server import Script
    from token_refresher.outcomes import Result
    from token_refresher.sweep import Report

VICTIM: Final = "victim"
NEIGHBOUR: Final = "neighbour"
NEIGHBOURS_TOKEN: Final = "made-up-token-of-the-neighbour"
OLD_TOKEN: Final = "made-up-old-token"

CLIENT: Final = {"client_id": CLIENT_ID, "client_secret": SECRET}
PRIMARY_GRANT: Final[Mapping[str, Any]] = {**CLIENT, "grant_type": "client_credentials"}
INITIAL_REFRESH_TOKEN: Final = f"made-up-{MARK}-initial"
REFRESH_ONLY: Final[Mapping[str, Any]] = {
    **CLIENT,
    "grant_type": "refresh_token",
    "refresh_token": INITIAL_REFRESH_TOKEN,
}
_LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)
_AGO: Final = datetime(2002, 1, 1, tzinfo=UTC)
GOOD: Final = json.dumps(
    {"access_token": NEIGHBOURS_TOKEN, "token_type": "bearer", "expires_in": 43200}
).encode()


@dataclass
class Stage:
    """The accounts, and what the program has of them.

    Attributes:
        authority: Whom the program trusts.
        monotonic: The seconds by which a request's limit is told.
        max_workers: 1 lets the account whose token ends first go first.
    """

    authority: Authority
    monotonic: Callable[[], float]
    max_workers: int = 1
    store: MemoryStore = field(init=False)
    hosts: list[str] = field(default_factory=list)
    now: datetime = START

    def __post_init__(self) -> None:
        self.store = MemoryStore(Faults(), lambda: self.now)

    def add(
        self,
        name: str,
        server: RawTlsServer,
        credentials: Mapping[str, Any] = PRIMARY_GRANT,
        *,
        left: timedelta = HOUR,
    ) -> None:
        """Onboard an account whose published token still lives and is due."""
        self.hosts.append(server.host)
        self.store.put_credentials(name, {**credentials, "token_endpoint": server.url})
        version = TokenVersion(
            self.now - 11 * HOUR,
            self.now + left,
            digest12(self.store.credentials[name].stages[CURRENT]),
            "0" * 12,
        )
        token = PublishedToken(
            access_token=OLD_TOKEN,
            token_type="Bearer",
            issued_at=int(version.issued_at.timestamp()),
            expires_at=int(version.expires_at.timestamp()),
        )
        self.store.create_token_secret(name)
        self.store.publish(name, str(version), token.to_json())

    def sweep(self) -> Report:
        """Sweep once, with connections that are closed behind it."""
        endpoint = TokenEndpoint(
            hosts=AllowedHosts(self.hosts),
            authorities=self.authority.client_context,
            clock=lambda: self.now,
            monotonic=self.monotonic,
            connections=4,
            signer=no_signer,
        )
        sweeper = Sweeper(
            Refresher(
                store=self.store,
                endpoint=endpoint,
                clock=lambda: self.now,
                pause=lambda _: None,
                refresh_before=REFRESH_BEFORE,
                schedule=TICK,
                uses_refresh_tokens=True,
            ),
            monotonic=lambda: 0.0,
            max_workers=self.max_workers,
        )
        try:
            return sweeper.sweep(time_left=lambda: INVOCATION)
        finally:
            endpoint.drop_connections()

    def published(self, name: str) -> dict[str, Any]:
        """What consumers read."""
        secret = self.store.tokens[name]
        token: dict[str, Any] = json.loads(secret.versions[secret.stages[CURRENT]] or "")
        return token

    def told(self, report: Report) -> str:
        """All that is told of a sweep: results, summary, errors as any logger prints them, tags."""
        texts = [repr(report), repr(summary(report))]
        for result in report.results:
            texts += [repr(result), repr(describe(result, report)), *_printed(result)]
        texts += [repr(secret.tags) for secret in self.store.tokens.values()]
        return "\n".join(texts)


def _printed(result: Result) -> Iterator[str]:
    error = result.error
    if error is not None:
        yield from (repr(error.args), repr(vars(error)))
        yield from traceback.TracebackException.from_exception(error).format_exception_only()


def result_of(name: str, report: Report) -> Result:
    """What a sweep did for one account."""
    return next(result for result in report.results if result.account.name == name)


@contextmanager
def good_server(authority: Authority) -> Iterator[RawTlsServer]:
    """A neighbour's host, which answers as it should."""
    with RawTlsServer(authority.server_context(), (answers(answer(GOOD)),)) as server:
        yield server


@contextmanager
def hostile_server(
    authority: Authority, script: Script, certificate: Certificate = Certificate.TRUSTED
) -> Iterator[RawTlsServer]:
    """A host that plays a script to each connection."""
    with RawTlsServer(server_context(authority, certificate), (script,)) as server:
        yield server


def server_context(authority: Authority, certificate: Certificate) -> ssl.SSLContext:
    """Return what a server shows a certificate of this kind with."""
    if certificate is Certificate.TRUSTED:
        return authority.server_context()
    if certificate is Certificate.OF_ANOTHER_NAME:
        return authority.server_context("elsewhere.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is Certificate.SELF_SIGNED:
        alone = trustme.CA()
        with alone.cert_pem.tempfile() as shown, alone.private_key_pem.tempfile() as key:
            context.load_cert_chain(shown, key)
        return context
    if certificate is Certificate.EXPIRED:
        # Of the trusted authority: nothing but the date is wrong.
        trusted = authority._authority  # noqa: SLF001 - it issues no such certificate itself
        leaf = trusted.issue_cert("localhost", not_before=_LONG_AGO, not_after=_AGO)
    else:
        leaf = trustme.CA().issue_cert("localhost")
    leaf.configure_cert(context)
    return context
