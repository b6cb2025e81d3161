"""The servers of the contracts refuse what a provider must refuse, and so prove what they take."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from msgspec import structs

from local.clock import START
from tests.providers.assertions import Signers, jose_key
from tests.providers.contract import contracts_of
from tests.providers.stage import Stage
from tests.unit.fakes import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.providers.assertions import Demanded
    from tests.providers.contract import Contract
    from tests.unit.signer import Key

NOW: Final = int(START.timestamp())
SIGNED: Final = [each for each in contracts_of() if each.exchanges[0].request.assertion]
UNSIGNED: Final = "not signed as registered"
NOT_FOR_HERE: Final = "not for here and now"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@dataclass(frozen=True, slots=True)
class Forgery:
    """An assertion with something wrong in it.

    Attributes:
        told: What is said of it.
        claims: Instead of the right ones; None takes one out.
        alg: In the header, and so it is signed, with what everybody knows.
        key: Whose signs, if not the one that is registered.
    """

    told: str
    claims: dict[str, Any] = field(default_factory=dict)
    alg: str | None = None
    key: str | None = None

    def text(self, demanded: Demanded, signers: Signers) -> str:
        """Make it of what a page shows."""
        header = {"alg": self.alg or demanded.alg, "typ": "JWT", **demanded.header}
        own = {"iat": NOW, "exp": NOW + min(demanded.lives, 60), "jti": "invented", **self.claims}
        claims = {k: v for k, v in {**demanded.claims, **own}.items() if v is not None}
        registered = signers.key(demanded.key or ACCOUNT, alg=demanded.alg)
        if self.alg is not None:
            return _unsigned(header, claims, registered)
        key = signers.key(self.key, alg=demanded.alg) if self.key else registered
        return jwt.encode(header, claims, jose_key(key), algorithms=[demanded.alg])


def _unsigned(header: dict[str, Any], claims: dict[str, Any], registered: Key) -> str:
    """Sign with nothing, or by HMAC with the public key, which some libraries took once."""
    parts = [_base64url(json.dumps(each).encode()) for each in (header, claims)]
    signature = b""
    if header["alg"] == "HS256":
        public = registered.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        signature = hmac.digest(public, ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, _base64url(signature)])


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def demanded_of(contract: Contract) -> Demanded:
    demanded = contract.exchanges[0].request.assertion
    assert demanded is not None
    return demanded


def with_ready_made(contract: Contract, assertion: str) -> Contract:
    """Have an account that stores an assertion, and so sends whatever that says."""
    credentials = {**contract.credentials, "assertion": assertion}
    request = contract.exchanges[0].request
    is_named = request.form is not None and {"client_id", "client_assertion"} & request.form.keys()
    if not is_named:
        credentials.pop("client_id", None)
    return structs.replace(contract, credentials=credentials)


@pytest.mark.parametrize("contract", SIGNED, ids=str)
def test_a_right_assertion_is_taken_once(stage: Stage, contract: Contract) -> None:
    """So whatever else is refused here is refused for what is wrong with it."""
    claims = {"jti": f"invented-{contract}"}
    forged = Forgery("", claims).text(demanded_of(contract), stage.signers)
    first = stage.play(with_ready_made(contract, forged))
    assert not [each for each in first if each.startswith("request 1")]
    assert "request 1: the assertion is repeated" in stage.play(with_ready_made(contract, forged))


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param(Forgery(UNSIGNED, key="dealer-18"), id="another account's key"),
        pytest.param(Forgery(UNSIGNED, alg="none"), id="no signature"),
        pytest.param(Forgery(UNSIGNED, alg="HS256"), id="the public key as a secret"),
        pytest.param(Forgery("claims.aud", {"aud": "https://other.example"}), id="for another"),
        pytest.param(Forgery("has expired", {"iat": NOW - 60, "exp": NOW - 1}), id="expired"),
        pytest.param(Forgery(NOT_FOR_HERE, {"exp": None}), id="without an end"),
        pytest.param(Forgery("for too long", {"exp": NOW + 16_000_000}), id="for half a year"),
        pytest.param(Forgery(NOT_FOR_HERE, {"iat": NOW + 60}), id="from the future"),
        pytest.param(Forgery("has no jti", {"jti": None}), id="not to be told from another"),
        pytest.param(Forgery("claims.iss", {"iss": "another-client"}), id="another client"),
        pytest.param(Forgery("claims.sub", {"sub": "another-user"}), id="another user"),
        pytest.param(Forgery("claims.admin", {"admin": True}), id="more than it may"),
    ],
)
def test_a_forged_assertion_is_refused_at_every_provider(stage: Stage, forgery: Forgery) -> None:
    for contract in SIGNED:
        text = forgery.text(demanded_of(contract), stage.signers)
        told = stage.play(with_ready_made(contract, text))
        found = [each for each in told if each.startswith("request 1: the assertion")]
        assert any(forgery.told in each for each in found), (str(contract), told)


@pytest.mark.parametrize("contract", SIGNED, ids=str)
def test_what_another_key_signs_is_refused(stage: Stage, contract: Contract) -> None:
    told = stage.play(contract, signer=Signers(lambda: START))
    assert f"request 1: the assertion is {UNSIGNED} (bad_signature)" in told


@pytest.mark.parametrize("contract", SIGNED, ids=str)
def test_nothing_that_is_told_holds_an_assertion(stage: Stage, contract: Contract) -> None:
    demanded = demanded_of(contract)
    text = Forgery("", key="dealer-18").text(demanded, stage.signers)
    told = " ".join(stage.play(with_ready_made(contract, text)))
    assert told
    assert not [part for part in text.split(".") if part in told]


def test_who_shows_no_certificate_of_the_providers_is_not_spoken_with(stage: Stage) -> None:
    (contract,) = (each for each in contracts_of() if each.demands_certificate)
    stranger = trustme.CA().issue_cert("invented-client")
    shown = {
        "certificate": stranger.cert_chain_pems[0].bytes().decode(),
        "private_key": stranger.private_key_pem.bytes().decode(),
    }
    credentials = {**contract.credentials, **shown}
    told = stage.play(structs.replace(contract, credentials=credentials))
    assert told == ["token 1: none was published (client_certificate_refused)"]
    without = {k: v for k, v in contract.credentials.items() if k not in shown}
    told = stage.play(structs.replace(contract, credentials=without))
    assert told == ["token 1: none was published (invalid_credentials)"]
