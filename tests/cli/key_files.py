"""Private keys for tests, what must be seen of them nowhere, and what is signed with them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.errors import BadSignatureError
from joserfc.jws import deserialize_compact

from token_refresher.aws.signing import Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

EMAIL: Final = "reports@invented.iam.gserviceaccount.com"
KEY_ID: Final = "0123456789abcdef"
PASSPHRASE: Final = "made-up-passphrase"
_PIECE: Final = 12
_URL_SAFE: Final = str.maketrans("+/", "-_")


def service_account(key: rsa.RSAPrivateKey | None = None) -> str:
    """A service account's file, as Google hands it out."""
    key = key or rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "invented",
            "private_key_id": KEY_ID,
            "private_key": pem.decode(),
            "client_email": EMAIL,
        }
    )


def pieces_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> set[str]:
    """Pieces of the numbers that nobody may see, in every form in which they might be told."""
    secret: Any = key.private_numbers()
    numbers = [secret.private_value] if hasattr(secret, "private_value") else [secret.d, secret.p]
    told = []
    for number in numbers:
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        told += [str(number), raw.hex(), repr(raw)]
        # Wherever it begins among the three bytes that become four letters; without its edges,
        # which its neighbours have a part in.
        shifted = [base64.b64encode(bytes(shift) + raw).decode()[4:-4] for shift in range(3)]
        told += [*shifted, *(each.translate(_URL_SAFE) for each in shifted)]
    return {each[at : at + _PIECE] for each in told for at in range(len(each) - _PIECE)}


def signed(account: str, alg: str) -> str:
    """Have the function's own signer sign for an account: a JWS of whatever."""
    signer = Signer(prefix="oauth", connections=1, user_agent="made-up")
    message = ".".join(_encoded(each) for each in (f'{{"alg":"{alg}"}}', "{}"))
    signature = signer.sign(account, alg=alg, message=message.encode())
    return f"{message}.{_encoded(signature)}"


def verifies(jws: str, key: Any) -> bool:  # noqa: ANN401 - of either kind
    """Whether a JOSE library takes a signature for this key's."""
    try:
        deserialize_compact(jws, key, algorithms=["RS256", "PS256", "ES256"])
    except BadSignatureError:
        return False
    return True


def _encoded(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
