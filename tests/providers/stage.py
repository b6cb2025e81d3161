"""The program, and a server that stands for every provider under the provider's own name.

One loopback server with one private authority. A CONNECT proxy takes every host for it, and the
program is told of both by its own settings: no resolver and no code of the program is patched.
"""

from __future__ import annotations

import io
import json
import math
import ssl
from contextlib import ExitStack, redirect_stdout
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import msgspec
import trustme

from local.authority import Authority
from local.authorization_server.https import Door, HttpsServer, Reply
from local.clock import START, DrivenClock
from local.function import Context
from tests.providers.assertions import Signers, Verifier
from tests.providers.demands import assertion_in, differences
from tests.unit.connect_proxy import ConnectProxy
from tests.unit.fakes import ACCOUNT, Faults, MemoryStore, metadata_of
from token_refresher.handler import Handler, token_endpoints
from token_refresher.model import account_from_metadata
from token_refresher.oauth.providers import provider
from token_refresher.policy import due_time
from token_refresher.settings import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.authorization_server.https import Request
    from tests.providers.contract import Contract
    from token_refresher.oauth.signatures import Signer
    from token_refresher.settings import Settings

_REFUSED: Final = Reply(
    400, (("Content-Type", "application/json"),), b'{"error": "invalid_request"}'
)
# Of what is published, the contract says these in another form, or need not say it.
_TIMES: Final = frozenset({"expires_at", "expires_in", "issued_at"})
_OF_RFC_6749: Final = frozenset({"scope"})


class Stage:
    """Ready as long as the ``with`` block.

    Attributes:
        signers: Has the keys that are registered at the providers.
        clients: Signs the certificates of clients, at those that speak with nobody else.
    """

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._clock = DrivenClock()
            self.signers = Signers(self._clock.now)
            self._verifier = Verifier(self._clock.now)
            self.clients = trustme.CA()
            self._authority = stack.enter_context(Authority())
            self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
            self._server, self._demanding = (
                HttpsServer(self._respond, self._context("localhost", demands_certificate=each))
                for each in (False, True)
            )
            stack.callback(self._server.set_door, Door.CLOSED)
            stack.callback(self._demanding.set_door, Door.CLOSED)
            self._proxy = stack.enter_context(ConnectProxy(self._server.port))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, contract: Contract, *, signer: Signer | None = None) -> list[str]:
        """Get a token, publish it, wait until it is due, refresh it and publish the next.

        Args:
            contract: Which.
            signer: Has other keys than those that are registered.

        Returns:
            What was otherwise than the contract says; nothing where all was as it says.
        """
        self._contract, self._asked, self._differences = contract, 0, list[str]()
        server = self._demanding if contract.demands_certificate else self._server
        self._proxy.target = server.port
        with redirect_stdout(io.StringIO()):
            clock, store = self._clock, MemoryStore(Faults(), self._clock.now)
            clock.set(START)
            settings = self._settings(contract)
            program = Handler(
                settings,
                store=store,
                endpoint=token_endpoints(
                    settings, clock=clock.now, signed_by=lambda: signer or self.signers
                ),
                clock=clock.now,
                monotonic=lambda: clock.now().timestamp(),
                pause=lambda each: clock.set(clock.now() + each),
            )
            store.put_credentials(ACCOUNT, self._credentials(contract))
            for number, demanded in enumerate(contract.published, 1):
                before = len(self._differences)
                told = program({}, Context())
                found = list(_published(store, clock, demanded))
                if found and len(self._differences) == before:
                    errors = [each["error"] for each in told["accounts"] if "error" in each]
                    why = f" ({', '.join(errors)})" if errors else ""
                    self._differences += [f"token {number}: {each}{why}" for each in found]
                if found:
                    break
                self._wait_until_due(store, clock, settings)
        if not self._differences and self._asked < len(contract.exchanges):
            self._differences.append(f"request {self._asked + 1} was not made")
        return self._differences

    def _credentials(self, contract: Contract) -> dict[str, Any]:
        """What the owner stores, with a certificate that the provider has signed."""
        text = json.dumps(contract.credentials)
        if not contract.demands_certificate:
            return contract.credentials
        signed = self.clients.issue_cert("invented-client")
        for name, pem in (
            ("{certificate}", signed.cert_chain_pems[0]),
            ("{private_key}", signed.private_key_pem),
        ):
            text = text.replace(name, json.dumps(pem.bytes().decode())[1:-1])
        credentials: dict[str, Any] = json.loads(text)
        return credentials

    def _settings(self, contract: Contract) -> Settings:
        """A deployment's, which allows a host only where the entry leaves it free."""
        urls = {exchange.request.url for exchange in contract.exchanges}
        hosts = (
            set() if provider(contract.provider).is_fixed else {urlsplit(u).netloc for u in urls}
        )
        return settings_from_environment(
            {
                "ADDITIONAL_CA_CERTIFICATES": self._authority.certificate_file.read_text(),
                "ALLOWED_TOKEN_HOSTS": ",".join(sorted(hosts)),
                "POWERTOOLS_SERVICE_NAME": "contracts",
                "TOKEN_ENDPOINT_PROXY": self._proxy.url,
            }
        )

    def _wait_until_due(self, store: MemoryStore, clock: DrivenClock, settings: Settings) -> None:
        account = account_from_metadata(
            ACCOUNT,
            credentials=metadata_of(store.credentials[ACCOUNT]),
            token=metadata_of(store.tokens[ACCOUNT]),
            now=clock.now(),
        )
        due_at = due_time(account, refresh_before=settings.refresh_before)
        assert due_at is not None, "a token of a contract has an end"
        clock.advance(timedelta(seconds=math.ceil((due_at - clock.now()).total_seconds())))

    def _context(self, name: str, *, demands_certificate: bool) -> ssl.SSLContext:
        """What shows the certificate of a name, and then those of the names that are asked for."""
        if (name, demands_certificate) not in self._contexts:
            context = self._authority.server_context(name)
            if demands_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                self.clients.configure_trust(context)

            def show(connection: ssl.SSLObject, asked: str | None, _: object) -> None:
                if asked is not None:
                    connection.context = self._context(
                        asked, demands_certificate=demands_certificate
                    )

            context.sni_callback = show
            self._contexts[name, demands_certificate] = context
        return self._contexts[name, demands_certificate]

    def _respond(self, request: Request) -> Reply:
        self._asked += 1
        if self._asked > len(self._contract.exchanges):
            self._differences.append(f"request {self._asked} is not in the contract")
            return _REFUSED
        exchange = self._contract.exchanges[self._asked - 1]
        found = differences(request, exchange.request)
        if demanded := exchange.request.assertion:
            key = self.signers.key(demanded.key or ACCOUNT, alg=demanded.alg)
            assertion = assertion_in(request)
            found += self._verifier.refusals(assertion, demanded, key.public_key())
        self._differences += [f"request {self._asked}: {each}" for each in found]
        if found:
            return _REFUSED
        response = exchange.response
        return Reply(response.status, tuple(response.headers.items()), response.body)


def _published(
    store: MemoryStore, clock: DrivenClock, demanded: Mapping[str, Any]
) -> Iterator[str]:
    """Tell in what the published token is another than was demanded."""
    secret = store.tokens.get(ACCOUNT)
    text = secret.versions.get(secret.stages.get("AWSCURRENT", "")) if secret else None
    token: dict[str, Any] = msgspec.json.decode(text) if text else {}
    if token.get("issued_at") != clock.now().timestamp():
        yield "none was published"
        return
    lifetime = token["expires_at"] - token["issued_at"]
    if lifetime != demanded["expires_in"]:
        yield f"it lives {lifetime} seconds and not {demanded['expires_in']}"
    for name in sorted(demanded.keys() - _TIMES):
        if name not in token:
            yield f"{name} is not published"
        elif token[name] != demanded[name]:
            yield f"{name} is another"
    for name in sorted(token.keys() - demanded.keys() - _TIMES - _OF_RFC_6749):
        yield f"{name} is not in the contract"
