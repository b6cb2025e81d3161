"""Public keys as JOSE libraries and X.509 know them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import deserialize_compact
from typing_extensions import override

from token_refresher_cli.public_keys import PublicKey, self_signed

if TYPE_CHECKING:
    from collections.abc import Callable

BEGINS = datetime(2026, 11, 30, 12, 0, 0, 250_000, tzinfo=UTC)
# RFC 7638 section 3.1.
OF_THE_RFC = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
    "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_F"
    "DW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4"
    "vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}
ITS_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Key, alg: str) -> PublicKey:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return PublicKey(key.public_key().public_bytes(serialization.Encoding.DER, form), alg)


def signing(key: Key) -> Callable[[bytes], bytes]:
    """Sign as KMS does for a certificate."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda message: key.sign(message, ec.ECDSA(SHA256()))
    return lambda message: key.sign(message, padding.PKCS1v15(), SHA256())


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_the_kid_of_the_rfcs_own_key_is_the_rfcs_own_thumbprint() -> None:
    known = RSAKey.import_key({**OF_THE_RFC})
    assert PublicKey(known.as_der(private=False), "RS256").kid == ITS_THUMBPRINT


def test_a_jose_library_computes_the_same_kid_of_a_jwk(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    of_rsa, of_ec = public(rsa_key, "PS256").jwk, public(ec_key, "ES256").jwk
    assert RSAKey.import_key({**of_rsa}).thumbprint() == of_rsa["kid"]
    assert ECKey.import_key({**of_ec}).thumbprint() == of_ec["kid"]
    assert (of_rsa["use"], of_rsa["alg"]) == ("sig", "PS256")
    assert (of_ec["use"], of_ec["alg"], of_ec["crv"]) == ("sig", "ES256", "P-256")


def test_a_jose_library_verifies_a_signature_by_a_jwk(rsa_key: rsa.RSAPrivateKey) -> None:
    message = ".".join(map(base64url, (b'{"alg": "RS256"}', b"{}")))
    signature = rsa_key.sign(message.encode(), padding.PKCS1v15(), SHA256())
    jws = f"{message}.{base64url(signature)}"
    verified = deserialize_compact(jws, RSAKey.import_key({**public(rsa_key, "RS256").jwk}))
    assert verified.payload == b"{}"


def test_coordinates_that_begin_with_zeros_keep_them() -> None:
    while True:
        key = ec.generate_private_key(ec.SECP256R1())
        if key.public_key().public_numbers().x < 2**248:
            break
    told = public(key, "ES256").jwk
    assert len(told["x"]) == len(told["y"]) == 43


def test_the_pem_is_the_key(rsa_key: rsa.RSAPrivateKey) -> None:
    read = serialization.load_pem_public_key(public(rsa_key, "RS256").pem.encode())
    assert read == rsa_key.public_key()


def test_the_certificate_of_an_rsa_key_is_the_same_each_time(rsa_key: rsa.RSAPrivateKey) -> None:
    key = public(rsa_key, "RS256")
    first, second, shorter = (
        self_signed(key, begins=BEGINS, days=days, sign=signing(rsa_key))
        for days in (730, 730, 365)
    )
    assert first == second
    assert key.is_signed_alike
    assert (first.x5t, first.x5t_s256) == (
        base64url(hashlib.sha1(first.der, usedforsecurity=False).digest()),
        base64url(hashlib.sha256(first.der).digest()),
    )
    read, other = (x509.load_der_x509_certificate(each.der) for each in (first, shorter))
    # One issuer never gives one number twice (RFC 5280 section 4.1.2.2).
    assert read.serial_number != other.serial_number


class SummerTime(tzinfo):
    """A zone in which clocks are put forward."""

    @override
    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(hours=3 <= (at or BEGINS).month <= 10)

    @override
    def dst(self, at: datetime | None) -> timedelta:
        return self.utcoffset(at)

    @override
    def tzname(self, at: datetime | None) -> str:
        return "invented"


def test_the_certificate_of_an_rsa_key_is_the_same_in_each_time_zone(
    rsa_key: rsa.RSAPrivateKey,
) -> None:
    key, sign = public(rsa_key, "RS256"), signing(rsa_key)
    here, there = (
        self_signed(key, begins=BEGINS.astimezone(zone), days=180, sign=sign)
        for zone in (UTC, SummerTime())
    )
    assert here == there


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_certificate_is_signed_by_its_own_key_and_names_no_account(
    alg: str, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    private: Key = rsa_key if alg == "RS256" else ec_key
    made = self_signed(public(private, alg), begins=BEGINS, days=730, sign=signing(private))
    read = x509.load_pem_x509_certificate(made.pem.encode())
    read.verify_directly_issued_by(read)
    assert read.public_key() == private.public_key()
    assert read.subject.rfc4514_string() == "CN=token-refresher"
    assert read.not_valid_before_utc == datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
    assert read.not_valid_after_utc - read.not_valid_before_utc == timedelta(days=730)
    assert made.ends_at == read.not_valid_after_utc
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert read.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature


def test_an_ec_key_says_that_its_certificates_differ(ec_key: ec.EllipticCurvePrivateKey) -> None:
    key = public(ec_key, "ES256")
    made = {
        self_signed(key, begins=BEGINS, days=1, sign=signing(ec_key)).x5t_s256 for _ in range(2)
    }
    assert len(made) == 2
    assert not key.is_signed_alike
