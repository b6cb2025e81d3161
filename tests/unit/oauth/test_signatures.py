"""Assertions are what RFC 7523 and a server's key say, and each is another one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.unit.signer import KeyRing
from token_refresher.oauth.assertions import Algorithm, Assertion
from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.signatures import made

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENDPOINT = "https://id.example.com/token"
USUAL = {"iss": "invented-client", "sub": "invented-client", "aud": ENDPOINT}


def client_of(assertion: Assertion, **fields: Any) -> Client:  # noqa: ANN401
    usual: dict[str, Any] = {
        "token_endpoint": ENDPOINT,
        "client_id": "invented-client",
        "client_secret": None,
        "auth_method": "private_key_jwt",
        "user_agent": "made-up/1",
        "key": "dealer-17",
    }
    return Client(**{**usual, **fields}, assertion=assertion)


def read(text: str, ring: KeyRing, alg: str, *, name: str = "dealer-17") -> jwt.Token:
    """Read an assertion as a server that knows the public key of a name."""
    public = ring.key(name, alg=alg).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = ECKey.import_key(pem) if alg == "ES256" else RSAKey.import_key(pem)
    return jwt.decode(text, key, algorithms=[alg])


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_it_says_who_signs_for_whom_and_for_how_long(alg: Algorithm) -> None:
    ring = KeyRing()
    found = read(made(client_of(Assertion(alg=alg)), ring, now=NOW), ring, alg)
    assert found.header == {"alg": alg, "typ": "JWT"}
    jti = found.claims.pop("jti")
    at = int(NOW.timestamp())
    assert found.claims == {**USUAL, "iat": at - 10, "exp": at + 60}
    assert len(jti) == 32
    assert ring.asked == [("dealer-17", alg)]


def test_none_is_like_another() -> None:
    ring, client = KeyRing(), client_of(Assertion())
    texts = [made(client, ring, now=NOW) for _ in range(3)]
    assert len({read(each, ring, "RS256").claims["jti"] for each in texts}) == 3


def test_what_is_said_stands_instead_of_the_usual() -> None:
    ring = KeyRing()
    claims: dict[str, object] = {
        "sub": "u@example.com",
        "iss": None,
        "scope": "a b",
        "deep": {"er": [1, None]},
    }
    said = Assertion(
        audience="https://other.example", kid="k", x5t="a" * 27, x5t_s256="b" * 43, claims=claims,
        expires_in=300,
    )  # fmt: skip
    found = read(made(client_of(said), ring, now=NOW), ring, "RS256")
    assert found.header["kid"] == "k"
    assert (found.header["x5t"], found.header["x5t#S256"]) == ("a" * 27, "b" * 43)
    assert "iss" not in found.claims
    assert found.claims["aud"] == "https://other.example"
    assert found.claims["exp"] - int(NOW.timestamp()) == 300
    assert {name: found.claims[name] for name in ("sub", "scope", "deep")} == {
        "sub": "u@example.com",
        "scope": "a b",
        "deep": {"er": [1, None]},
    }


def test_a_client_secret_signs_by_itself() -> None:
    ring = KeyRing()
    secret = "invented-secret-of-32-characters"
    client = client_of(Assertion(), auth_method="client_secret_jwt", client_secret=secret)
    found = jwt.decode(made(client, ring, now=NOW), OctKey.import_key(secret), algorithms=["HS256"])
    assert found.claims.items() >= USUAL.items()
    assert ring.asked == []


def test_the_platform_says_by_itself_who_runs() -> None:
    ring = KeyRing()
    client = client_of(Assertion(audience="api://x"), is_assertion_issued=True)
    found = read(made(client, ring, now=NOW), ring, "RS256", name="sts")
    assert found.claims["aud"] == "api://x"
    assert ring.asked == [("dealer-17", "RS256")]


def test_a_ready_made_text_is_not_signed() -> None:
    ready = client_of(Assertion(), auth_method="none")
    with pytest.raises(TypeError):
        made(Client(**{f: getattr(ready, f) for f in ready.__struct_fields__} | {"assertion": "a"}),
             KeyRing(), now=NOW)  # fmt: skip
