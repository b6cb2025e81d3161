"""Private keys for tests, and what must be seen of them nowhere."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

PASSPHRASE: Final = "made-up-passphrase"
_PIECE: Final = 12


def pieces_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> set[str]:
    """Pieces of the private half, in every form in which it might be told.

    What the public half has as well is none.
    """
    forms = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    opened = serialization.NoEncryption()
    told = []
    for form in forms:
        pem = key.private_bytes(serialization.Encoding.PEM, form, opened).decode()
        told += [line for line in pem.splitlines() if "-----" not in line]
        der = key.private_bytes(serialization.Encoding.DER, form, opened)
        told += [der.hex(), base64.b64encode(der).decode(), repr(der)]
    secret = key.private_numbers()
    number = secret.d if hasattr(secret, "d") else secret.private_value
    told += [str(number), f"{number:x}"]
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    known = f"{public.hex()}{public!r}"
    pieces = {each[at : at + _PIECE] for each in told for at in range(0, len(each) - _PIECE, 7)}
    return {piece for piece in pieces if piece not in known}
