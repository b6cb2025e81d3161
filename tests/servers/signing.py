"""Accounts that sign, or show a certificate, at servers that know their public keys.

The keys are in the local cloud's KMS, and the function signs by them as it is deployed. All trials
of an account are played one after the other, on one account.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.hazmat.primitives.serialization import load_der_public_key
from joserfc.jwk import ECKey, RSAKey

from local.authority import Authority
from local.clock import DrivenClock
from local.embedded_cloud import EmbeddedCloud
from tests.resilience.matrix import Boundary
from tests.resilience.matrix_processes import MortalRuntime
from tests.servers.front import Front, Network
from tests.servers.servers import KINDS, LIFETIME, SECRET, Kind, pinned_in, running
from tests.servers.stage import TICK, UNTIL_DUE, FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.authorization_server.https import Request

AUTHLIB: Final = Kind(
    package="Authlib",
    command=(sys.executable, "-m", "tests.servers.authlib_server", str(LIFETIME), "[]"),
    token="/token",
    introspection="/introspect",
    revocation="",
    primary_grant={},
    version=pinned_in("requirements/dev.txt", r"\nauthlib==(\S+)"),
)
_ISSUER: Final = "https://issuer.example"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# The servers allow for clocks that differ by a minute at most, and assertions live for one.
_SHORTLY: Final = timedelta(seconds=10)
_LATE: Final = timedelta(minutes=5)
ALIVE: Final = "alive"
RECOVERED: Final = "action required, then alive"
REFUSED, ANSWERED = "refused", "answered"


@dataclass(frozen=True, slots=True)
class Proof:
    """How a client proves who it is, at one server.

    Attributes:
        kind: The server.
        method: RFC 7591's name, or the grant that an assertion is for.
        alg: How it signs; empty where it does not.
    """

    kind: Kind
    method: str
    alg: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.kind.package}: {self.method}{f', {self.alg}' if self.alg else ''}"

    @property
    def account(self) -> str:
        """Which names the key as well, and the client."""
        return f"{self.method}-{self.alg}".lower().replace("_", "-").strip("-")

    @property
    def is_grant(self) -> bool:
        """Whether an assertion stands for the grant, not for the client."""
        return self.method == "jwt-bearer"

    @property
    def shows_certificate(self) -> bool:
        """Whether it signs nothing but a handshake."""
        return "tls" in self.method

    @property
    def has_key(self) -> bool:
        """Whether KMS signs."""
        return bool(self.alg) and self.alg != "HS256"


_OIDC: Final = KINDS[0]
PROOFS: Final = (
    *(Proof(_OIDC, "private_key_jwt", alg) for alg in ("RS256", "PS256", "ES256")),
    Proof(_OIDC, "client_secret_jwt", "HS256"),
    Proof(_OIDC, "tls_client_auth"),
    Proof(_OIDC, "self_signed_tls_client_auth"),
    *(Proof(AUTHLIB, "private_key_jwt", alg) for alg in ("RS256", "ES256")),
    Proof(AUTHLIB, "client_secret_jwt", "HS256"),
    Proof(AUTHLIB, "jwt-bearer", "RS256"),
)


class SigningStage:
    """One account at one server, as long as the ``with`` block."""

    def __init__(self, proof: Proof) -> None:
        self.proof, self._clock = proof, DrivenClock()
        self._fields: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            authority, stranger = (stack.enter_context(Authority()) for _ in range(2))
            cloud = stack.enter_context(EmbeddedCloud())
            self._secrets, self._kms = cloud.client(), cloud.client("kms")
            self._own, self._other = (self._credentials(each) for each in (authority, stranger))
            clients = json.dumps([self._registration()])
            kind = replace(self.proof.kind, command=(*self.proof.kind.command[:-1], clients))
            self.server = stack.enter_context(running(kind, self._clock))
            self.server.client_id = "machine"
            self.front = Front(
                self.server,
                authority=authority,
                stranger=stranger,
                boundary=Boundary(),
                kill=lambda: None,
                clients=ssl.CERT_OPTIONAL,
            )
            stack.callback(self.front.close)
            environment = {
                **cloud.environment(),
                "SSL_CERT_FILE": str(authority.certificate_file),
                "ALLOWED_TOKEN_HOSTS": self.front.host,
            }
            self._function = MortalRuntime(environment)
            stack.callback(self._function.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _credentials(self, authority: Authority) -> dict[str, Any]:
        """Make what proves who the client is, and the fields that say so; a key stays in KMS."""
        proof = self.proof
        if proof.shows_certificate:
            certificate, key = authority.client_certificate(proof.account)
            return {"certificate": certificate, "private_key": key}
        if not proof.has_key:
            return {"client_secret": f"{SECRET}-{id(authority)}-of-32-bytes-and-more"}
        spec = "ECC_NIST_P256" if proof.alg == "ES256" else "RSA_2048"
        made = self._kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
        return {"key": made["KeyMetadata"]["KeyId"]}

    def _registration(self) -> dict[str, Any]:
        """What the server knows of the client (RFC 7591), which is nothing secret but a secret."""
        proof, own = self.proof, self._own
        registration: dict[str, Any] = {
            "client_id": proof.account,
            "grant_types": [_JWT_BEARER if proof.is_grant else "client_credentials"],
            "redirect_uris": [],
            "response_types": [],
            "token_endpoint_auth_method": "none" if proof.is_grant else proof.method,
        }
        if proof.method == "tls_client_auth":
            return registration | {"tls_client_auth_subject_dn": f"CN={proof.account}"}
        if proof.shows_certificate:
            return registration | {"jwks": {"keys": [_jwk_of_certificate(own["certificate"])]}}
        if not proof.has_key:
            return registration | own
        public = load_der_public_key(self._kms.get_public_key(KeyId=own["key"])["PublicKey"])
        make: Any = ECKey if proof.alg == "ES256" else RSAKey
        return registration | {"jwks": {"keys": [make.import_key(public).as_dict(private=False)]}}

    def put(self, own: Mapping[str, Any]) -> None:
        """Write the credentials, or have the alias lead to a key, as a person does."""
        proof, fields = self.proof, dict(own)
        alias = {"AliasName": f"alias/oauth/{proof.account}", "TargetKeyId": fields.pop("key", "")}
        fields |= {
            "client_id": proof.account,
            "token_endpoint": self.front.token_endpoint,
            "grant_type": _JWT_BEARER if proof.is_grant else "client_credentials",
        }
        method = "tls_client_auth" if proof.shows_certificate else proof.method
        fields["token_endpoint_auth_method"] = "none" if proof.is_grant else method
        if proof.alg:
            fields["assertion"] = {"audience": _ISSUER}
        if proof.has_key:
            fields["assertion"]["alg"] = proof.alg
        if proof.is_grant:
            fields["assertion"]["claims"] = {"sub": "dealer"}
        text, secret_id = json.dumps(fields), f"oauth/credentials/{proof.account}"
        if self._fields:
            if alias["TargetKeyId"]:
                self._kms.update_alias(**alias)
            self._secrets.put_secret_value(SecretId=secret_id, SecretString=text)
        else:
            if alias["TargetKeyId"]:
                self._kms.create_alias(**alias)
            self._secrets.create_secret(Name=secret_id, SecretString=text)
        self._fields = fields

    def sweep(self, *, after: timedelta = timedelta(0)) -> str:
        """Sweep, and say how the account is by the program's word and the server's."""
        self._clock.advance(after)
        event = {"now": self._clock.now().isoformat(), "event": {}}
        answer = self._function.invoke(event)
        if answer.kind != "response":
            raise FunctionError(f"{self.proof.name}: {answer.content}")
        if answer.content["accounts_needing_action"]:
            return "action required"
        token = self.published()
        return ALIVE if token is not None and self.server.is_active(token) else "dead"

    def published(self) -> str | None:
        """The published access token."""
        try:
            value = self._secrets.get_secret_value(SecretId=f"oauth/tokens/{self.proof.account}")
        except self._secrets.exceptions.ResourceNotFoundException:
            return None
        return str(json.loads(value["SecretString"])["access_token"])

    # The trials, in the order of the table.

    def first_token(self) -> str:
        self.put(self._own)
        return self.sweep()

    def refreshes(self) -> str:
        seen = {self.published()}
        for _ in range(5):
            came = self.sweep(after=UNTIL_DUE)
            if came != ALIVE:
                return came
            seen.add(self.published())
        return ALIVE if len(seen) == 6 else f"{len(seen) - 1} tokens"

    def lost_response(self) -> str:
        """The server has seen that assertion, so it takes another one."""
        before, self.front.network = self.published(), Network.LOSES_A_RESPONSE
        came = self.sweep(after=UNTIL_DUE)
        assert self.front.struck, "nothing was in the way"
        return came if self.published() != before else "not refreshed"

    def comes_back(self) -> str:
        """Somebody has read a request, and sends it, without any key."""
        assert self.front.seen is not None
        return self._said_to(self.front.seen)

    def held_back(self, duration: timedelta) -> str:
        """A request that has never reached the server reaches it late."""
        self.front.network = Network.GATEWAY_IS_DOWN
        self.sweep(after=UNTIL_DUE)
        self.front.network = Network.FINE
        held = self.front.seen
        assert held is not None
        self._clock.advance(duration)
        said = self._said_to(held, is_own=True)
        came = self.sweep(after=TICK)
        return said if came == ALIVE else came

    def another_key(self) -> str:
        """What the server does not know is corrected by a person."""
        self.put(self._other)
        came = [self.sweep(after=UNTIL_DUE)]
        self.put(self._own)
        came.append(self.sweep(after=TICK))
        return ", then ".join(came)

    def _said_to(self, request: Request, *, is_own: bool = False) -> str:
        response = self.front.forward(request, with_certificate=is_own)
        return ANSWERED if "access_token" in json.loads(response.data) else REFUSED


def _jwk_of_certificate(pem: str) -> dict[str, Any]:
    """The first certificate's key, with the certificate (RFC 8705 section 2.2.2)."""
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - for one account

    certificate = load_pem_x509_certificate(pem.encode())
    made: Any = ECKey.import_key(certificate.public_key())  # type: ignore[arg-type]
    whole = base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode()
    return {**made.as_dict(private=False), "x5c": [whole]}


TRIALS: Final[Mapping[str, Callable[[SigningStage], str]]] = {
    "first token": SigningStage.first_token,
    "five refreshes": SigningStage.refreshes,
    "a response is lost on the wire": SigningStage.lost_response,
    "the last request comes back, from somebody who has no key": SigningStage.comes_back,
    "a request arrives ten seconds late": lambda stage: stage.held_back(_SHORTLY),
    "a request arrives five minutes late": lambda stage: stage.held_back(_LATE),
    "another key, corrected at the next tick": SigningStage.another_key,
}


def expected(trial: str, proof: Proof) -> str:
    """Tell what must come of a trial."""
    if trial.startswith("another key"):
        return RECOVERED
    if trial.startswith("the last request"):
        # Authlib keeps no list of the assertions that stood for a grant.
        return ANSWERED if proof.is_grant else REFUSED
    if trial.startswith("a request arrives"):
        is_late = "five minutes" in trial and not proof.shows_certificate
        return REFUSED if is_late else ANSWERED
    return ALIVE


@dataclass(frozen=True, slots=True)
class Proved:
    """What came of a trial."""

    proof: Proof
    trial: str
    outcome: str

    @property
    def is_as_promised(self) -> bool:
        """Whether it is what should have come of it."""
        return self.outcome == expected(self.trial, self.proof)

    def __str__(self) -> str:
        """Say it as the table does."""
        promised = "" if self.is_as_promised else f" (promised: {expected(self.trial, self.proof)})"
        return f"**{self.outcome}**{promised}" if promised else self.outcome


def play(proof: Proof) -> Iterator[Proved]:
    """Play all trials of an account."""
    with SigningStage(proof) as stage:
        for trial, act in TRIALS.items():
            yield Proved(proof, trial, act(stage))
