"""A signer with keys of its own, in memory, as KMS and STS would sign."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_HALF = 32


def no_signer() -> NoReturn:
    """What an endpoint is given where no account signs."""
    raise AssertionError


class KeyRing:
    """Signs with one key for each name, made when it is first asked for.

    Attributes:
        asked: What was signed for whom: names and algorithms, one for each call.
        error: Raised instead, if it is set.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self._keys: dict[tuple[str, str], Key] = {}

    def key(self, name: str, *, alg: str = "RS256") -> Key:
        """The private key of a name."""
        kind = "EC" if alg == "ES256" else "RSA"
        if (name, kind) not in self._keys:
            self._keys[name, kind] = (
                ec.generate_private_key(ec.SECP256R1())
                if kind == "EC"
                else rsa.generate_private_key(65537, 2048)
            )
        return self._keys[name, kind]

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        """Sign as RFC 7518 section 3 has it."""
        self._ask(key, alg)
        private = self.key(key, alg=alg)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))
            return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")
        if alg == "PS256":
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
            return private.sign(message, pss, SHA256())
        return private.sign(message, padding.PKCS1v15(), SHA256())

    def identity_token(self, key: str, *, audience: str, alg: str) -> str:
        """Say who runs here."""
        self._ask(key, alg)
        said = {"aud": audience, "https://sts.amazonaws.com/": {"request_tags": {"account": key}}}
        message = ".".join(_encoded(json.dumps(each).encode()) for each in ({"alg": alg}, said))
        private = self.key("sts")
        assert isinstance(private, rsa.RSAPrivateKey)
        signature = private.sign(message.encode(), padding.PKCS1v15(), SHA256())
        return f"{message}.{_encoded(signature)}"

    def _ask(self, key: str, alg: str) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append((key, alg))


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
