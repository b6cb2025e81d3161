"""An account's issuer of identity tokens: its keys, and what verifies their signatures.

Neither AWS nor a clock. The keys are as old as this process, and those of every account are the
same, so that only the issuer's name tells whose token one is.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

Json: TypeAlias = dict[str, Any]

ALGORITHMS = ("RS256", "ES384")
# What the issuer's own address is followed by (OpenID Connect Discovery 1.0, section 4).
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"

_RSA_ID, _EC_ID = "RSA_1", "EC384_1"
_COORDINATE_BYTES = 48  # P-384, RFC 7518 section 3.4


@dataclass(frozen=True)
class Issuer:
    """Signs claims, and tells the world how to verify them.

    Attributes:
        url: What the claim ``iss`` has; whoever asks below it is told the keys.
    """

    url: str

    def signed(self, claims: Json, *, alg: str) -> str:
        """Return a JWT of these claims (RFC 7519), with ``iss`` before them."""
        key_id = _RSA_ID if alg == "RS256" else _EC_ID
        header = {"kid": key_id, "typ": "JWT", "alg": alg}
        body = {"iss": self.url, **claims}
        parts = [_encoded(json.dumps(each).encode()) for each in (header, body)]
        message = ".".join(parts).encode()
        return ".".join([*parts, _encoded(_KEYS.signature(message, alg=alg))])

    def document(self, path: str) -> Json | None:
        """Return what is published under this path below the issuer's address, None if nothing."""
        if path == DISCOVERY:
            return {
                "issuer": self.url,
                "jwks_uri": self.url + KEYS,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": list(ALGORITHMS),
            }
        return {"keys": _KEYS.published()} if path == KEYS else None


class _Keys:
    """Made when the first of them is needed, which takes a while."""

    @cached_property
    def _rsa(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def _ec(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP384R1())

    def signature(self, message: bytes, *, alg: str) -> bytes:
        """Sign as RFC 7518 sections 3.3 and 3.4 have it."""
        if alg == "RS256":
            return self._rsa.sign(message, padding.PKCS1v15(), SHA256())
        return b"".join(
            half.to_bytes(_COORDINATE_BYTES, "big")
            for half in decode_dss_signature(self._ec.sign(message, ec.ECDSA(SHA384())))
        )

    def published(self) -> list[Json]:
        """Return the public keys (RFC 7517)."""
        of_rsa = self._rsa.public_key().public_numbers()
        of_ec = self._ec.public_key().public_numbers()
        modulus_bytes = self._rsa.key_size // 8
        return [
            {
                "kty": "RSA",
                "use": "sig",
                "alg": "RS256",
                "kid": _RSA_ID,
                "n": _encoded(of_rsa.n.to_bytes(modulus_bytes, "big")),
                "e": _encoded(of_rsa.e.to_bytes(3, "big")),
            },
            {
                "kty": "EC",
                "use": "sig",
                "alg": "ES384",
                "kid": _EC_ID,
                "crv": "P-384",
                "x": _encoded(of_ec.x.to_bytes(_COORDINATE_BYTES, "big")),
                "y": _encoded(of_ec.y.to_bytes(_COORDINATE_BYTES, "big")),
            },
        ]


_KEYS = _Keys()


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
