"""Public keys as providers take them: JWK, PEM, and a certificate that the key itself signs. Pure.

Read where a command is about keys: `cryptography` takes a while to import.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

# What a JWK's thumbprint is made of (RFC 7638 section 3.2), by its kind.
_OF_THUMBPRINTS: Final = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
# Each coordinate on P-256 (RFC 7518 section 6.2.1.2).
_COORDINATE: Final = 32
# Some providers show certificates to everybody, so it names no account.
_SUBJECT: Final = "token-refresher"
# X.690: the first of two bytes that say how many bytes of length follow, or the length itself.
_SHORT: Final = 0x80
_SEQUENCE, _BIT_STRING = b"\x30", b"\x03"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key that signs.

    Attributes:
        der: As KMS gives it: SubjectPublicKeyInfo (RFC 5280 section 4.1).
        alg: What it signs by, ``RS256``, ``PS256`` or ``ES256``.
    """

    der: bytes
    alg: str

    @property
    def kid(self) -> str:
        """Its thumbprint (RFC 7638): the same wherever and whenever it is computed."""
        numbers = self._numbers
        chosen = {name: numbers[name] for name in _OF_THUMBPRINTS[numbers["kty"]]}
        canonical = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
        return _base64url(hashlib.sha256(canonical.encode()).digest())

    @property
    def jwk(self) -> dict[str, str]:
        """As a member of a JWK set (RFC 7517 section 4)."""
        return {**self._numbers, "use": "sig", "alg": self.alg, "kid": self.kid}

    @property
    def pem(self) -> str:
        """In PEM, with the line's end."""
        return _pem("PUBLIC KEY", self.der)

    @property
    def _numbers(self) -> dict[str, str]:
        """RFC 7518 section 6."""
        key = serialization.load_der_public_key(self.der)
        if isinstance(key, ec.EllipticCurvePublicKey):
            point = key.public_numbers()
            x, y = (_base64url(each.to_bytes(_COORDINATE, "big")) for each in (point.x, point.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        if isinstance(key, rsa.RSAPublicKey):
            n, e = key.public_numbers().n, key.public_numbers().e
            return {"kty": "RSA", "n": _base64url(_unsigned(n)), "e": _base64url(_unsigned(e))}
        raise TypeError

    @property
    def is_signed_alike(self) -> bool:
        """Whether it signs a certificate the same each time, so that its digests can be told."""
        return self._numbers["kty"] == "RSA"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate.

    Attributes:
        der: In DER.
        ends_at: Aware.
    """

    der: bytes
    ends_at: datetime

    @property
    def pem(self) -> str:
        """In PEM, with the line's end."""
        return _pem("CERTIFICATE", self.der)

    @property
    def x5t(self) -> str:
        """RFC 7515 section 4.1.7."""
        return _base64url(hashlib.sha1(self.der, usedforsecurity=False).digest())

    @property
    def x5t_s256(self) -> str:
        """RFC 7515 section 4.1.8."""
        return _base64url(hashlib.sha256(self.der).digest())


def self_signed(
    key: PublicKey,
    *,
    begins: datetime,
    days: int,
    sign: Callable[[bytes], bytes],
) -> Certificate:
    """Make a certificate of a key whose private half is elsewhere.

    All of it follows from the arguments, and PKCS #1 v1.5 signs the same alike: an RSA key's
    certificate can be made again at any time, with the digests that a provider knows it by.

    Args:
        key: Whose.
        begins: Aware; when the key was made.
        days: For how long it is valid.
        sign: Signs what it is given by SHA-256: with PKCS #1 v1.5, or ECDSA as DER has it.
    """
    public = serialization.load_der_public_key(key.der)
    if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise TypeError
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)])
    # Where clocks are put forward, so many days are not so many hours.
    begins = begins.astimezone(UTC).replace(microsecond=0)
    ends = begins + timedelta(days=days)
    told = b"|".join((key.der, str(int(begins.timestamp())).encode(), str(days).encode()))
    serial = int.from_bytes(hashlib.sha256(told).digest()[:16], "big")
    usage = x509.KeyUsage(
        digital_signature=True,
        **dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        ),
    )
    described = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    # The library signs with keys that it holds alone: one of the same kind, for nothing else,
    # whose signature is then replaced.
    throw_away = (
        rsa.generate_private_key(65537, 2048)
        if isinstance(public, rsa.RSAPublicKey)
        else ec.generate_private_key(ec.SECP256R1())
    )
    draft = described.sign(throw_away, hashes.SHA256())
    to_be_signed = draft.tbs_certificate_bytes
    algorithm = draft.public_bytes(serialization.Encoding.DER).partition(to_be_signed)[2]
    # Its length is in its second byte: an object identifier, and perhaps NULL.
    algorithm = algorithm[: 2 + algorithm[1]]
    signature = _element(_BIT_STRING, b"\0" + sign(to_be_signed))
    return Certificate(_element(_SEQUENCE, to_be_signed + algorithm + signature), ends)


def _element(tag: bytes, content: bytes) -> bytes:
    """X.690 section 8.1, in its distinguished form."""
    size = len(content)
    if size < _SHORT:
        return tag + bytes([size]) + content
    length = _unsigned(size)
    return tag + bytes([_SHORT | len(length)]) + length + content


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _pem(label: str, der: bytes) -> str:
    """RFC 7468 section 2."""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
