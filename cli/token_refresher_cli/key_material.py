"""Private keys that were downloaded: read from a file, and wrapped for KMS.

No byte of one is printed, logged, stored, or in an error. Read where a key is imported:
`cryptography` takes a while to import.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from token_refresher_cli.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOGLE, GITHUB = "google-service-account", "github-app"
_SIZES: Final = (2048, 3072, 4096)
# A key's file is a few kilobytes.
_LARGEST: Final = 1024 * 1024
_PRIVATE: Final = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# PKCS #8, or the header of RFC 1421 in the two older forms.
_ENCRYPTED: Final = re.compile(
    rb"BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED", re.MULTILINE
)
# As GitHub calls what it has one download.
_OF_GITHUB: Final = ".private-key.pem"
_NEW_ONE: Final = (
    "KMS holds RSA keys of 2048, 3072 and 4096 bits, and EC keys on P-256. Make such a one at the "
    "provider, or have KMS make it by `key create`."
)


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """A key as KMS takes it.

    Attributes:
        spec: Its kind, in KMS's word.
        pkcs8: In DER, not encrypted.
        public: Its public half: SubjectPublicKeyInfo in DER.
    """

    spec: str
    pkcs8: bytes
    public: bytes


@dataclass(frozen=True, slots=True, repr=False)
class KeyFile:
    """What a file tells.

    Attributes:
        key: The private key.
        provider: The entry of ``providers.json`` that it is for; empty where that is not known.
        client_id: Whom the provider knows by the key; empty where that is not known.
        kid: What the provider calls the key; empty likewise.
    """

    key: PrivateKey
    provider: str = ""
    client_id: str = ""
    kid: str = ""


def read(path: Path, ask: Callable[[], str | None]) -> KeyFile:
    """Read a downloaded key: PEM of any usual form, or a Google service account's JSON.

    Args:
        path: The file.
        ask: Asks for the passphrase of an encrypted one; None where there is nobody.

    Raises:
        ProblemError: It holds no key that KMS can hold. It says what it holds, and nothing of it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        # Its name may be the key itself, by mistake.
        what = f"The file that --pem names cannot be read: {error.strerror}."
        raise ProblemError(what, "Give its path, and not what is in it.") from None
    content = _as_utf_8(content)
    if not content:
        raise ProblemError(f"{path} is empty.", "Download the key again, or give another file.")
    if content.startswith(b"{"):
        return _from_json(path, content, ask)
    key = _from_pem(str(path), content, ask)
    return KeyFile(key, provider=GITHUB if path.name.endswith(_OF_GITHUB) else "")


def wrapped(key: PrivateKey, wrapping_key: bytes) -> bytes:
    """Encrypt a key so that KMS alone can read it (its RSA_AES_KEY_WRAP_SHA_256).

    A fresh AES key wraps it (RFC 5649), and is itself encrypted by RSAES-OAEP.

    Args:
        key: Whose bytes.
        wrapping_key: KMS's public key for this import, in DER.
    """
    public = serialization.load_der_public_key(wrapping_key)
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError
    once = os.urandom(32)
    sha256 = hashes.SHA256()
    oaep = padding.OAEP(mgf=padding.MGF1(sha256), algorithm=sha256, label=None)
    return public.encrypt(once, oaep) + keywrap.aes_key_wrap_with_padding(once, key.pkcs8)


def _as_utf_8(content: bytes) -> bytes:
    """Take the text of a file, also where PowerShell has written it, which does so in UTF-16."""
    if content.startswith(_UTF_16):
        with suppress(UnicodeDecodeError):
            content = content.decode("utf-16").encode()
    return content.removeprefix(codecs.BOM_UTF8).strip()


def _from_json(path: Path, content: bytes, ask: Callable[[], str | None]) -> KeyFile:
    try:
        told: Any = json.loads(content)
    except (ValueError, RecursionError):
        what = f"{path} begins as JSON and is none."
        raise ProblemError(what, "Download it again; it is taken as it was.") from None
    if told.get("type") != "service_account":
        raise ProblemError(
            f"{path} is {_kind_of(told)}.", _OF_OTHER_KINDS.get(_kind_of(told), _JSON)
        )
    names = ("private_key", "client_email", "private_key_id")
    found = [told.get(name) for name in names]
    texts = [each for each in found if isinstance(each, str) and each]
    # Two are printed in a command: each on one line, and with nothing that moves the cursor.
    if len(texts) < len(names) or not "".join(texts[1:]).isprintable():
        lacks = ", ".join(name for name, each in zip(names, found, strict=True) if not each)
        raise ProblemError(
            f"{path} lacks {lacks or 'texts where a service account has them'}.",
            "Download it again; it is taken as it was.",
        )
    pem, email, kid = texts
    key = _from_pem(f"private_key in {path}", pem.encode("utf-8", "replace"), ask)
    return KeyFile(key, provider=GOOGLE, client_id=email, kid=kid)


_USER, _FEDERATED, _CLIENT, _BOX = (
    "the sign-in of a person at Google, and no service account's key",
    "a configuration of workload identity federation, which has no key",
    "an OAuth client of Google, which has a secret and no key",
    "the configuration of an app at Box",
)
_JWK, _OTHER = "a JSON Web Key", "JSON, and no service account's key"
_JSON: Final = "Give the JSON of a Google service account as it was downloaded, or a key in PEM."
_OF_OTHER_KINDS: Final = {
    _USER: "Make a key for a service account in Google's console, and give that file.",
    _FEDERATED: "It needs none: give `assertion` with the signer `sts` in the credentials.",
    _CLIENT: "Add the account with its client_id and client_secret: token-refresher add.",
    _BOX: "Save what boxAppSettings.appAuth.privateKey holds as a file of its own, and give that.",
    _JWK: "Make a PEM of it, with the tool that made it, and give that.",
}


def _kind_of(told: Any) -> str:  # noqa: ANN401 - as JSON has it
    kinds = {"authorized_user": _USER, "external_account": _FEDERATED}
    if kind := kinds.get(str(told.get("type"))):
        return kind
    if {"installed", "web"} & told.keys():
        return _CLIENT
    if "boxAppSettings" in told:
        return _BOX
    return _JWK if {"kty", "keys"} & told.keys() else _OTHER


def _from_pem(name: str, content: bytes, ask: Callable[[], str | None]) -> PrivateKey:
    # Whoever takes a key out of JSON by hand takes its written line breaks along.
    content = re.sub(rb"(?:\\r)?\\n", b"\n", content)
    blocks = [match[0] for match in _PRIVATE.finditer(content)]
    if len(blocks) != 1:
        raise _no_key(name, content, len(blocks))
    [block] = blocks
    if b"BEGIN OPENSSH " in block:
        raise ProblemError(
            f"{name} is a key in OpenSSH's own form.",
            "Convert a copy of the file: ssh-keygen -p -m PKCS8 -f COPY",
        )
    passphrase: bytes | None = None
    if is_encrypted := _ENCRYPTED.search(block) is not None:
        asked = ask()
        if asked is None:
            raise ProblemError(
                f"{name} is encrypted, and there is nobody to ask for its passphrase.",
                "Run it in a terminal: a passphrase is no option, which a shell keeps.",
            )
        # No key has one of halves of characters, which a terminal may hand over.
        passphrase = asked.encode("utf-8", "replace")
    try:
        key = serialization.load_pem_private_key(block, passphrase or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        is_unknown = isinstance(error, UnsupportedAlgorithm) or "nknown" in str(error)
        if is_encrypted and is_unknown:
            raise ProblemError(
                f"{name} is encrypted in a way that is not known here.",
                "Encrypt a copy by AES-256, and give that: openssl pkcs8 -topk8 -v2 aes-256-cbc "
                "-in FILE -out COPY",
            ) from None
        if is_encrypted:
            fix = "Try again; nothing was done."
            raise ProblemError(f"That is not the passphrase of {name}.", fix) from None
        raise ProblemError(
            f"{name} is damaged, or a kind of key that is not known here.",
            "Download it again, or make another at the provider.",
        ) from None
    spec = _spec_of(key)
    if not spec:
        raise ProblemError(f"{name} is {_said(key)}.", _NEW_ONE)
    return PrivateKey(
        spec,
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def _no_key(name: str, content: bytes, found: int) -> ProblemError:
    """Say what a file holds in the place of one private key."""
    if found:
        return ProblemError(
            f"{name} holds {found} private keys.", "Give a file with the account's alone."
        )
    if b"-----BEGIN CERTIFICATE" in content:
        return ProblemError(
            f"{name} is a certificate, and the private key is in another file.",
            "Give the file of the key; the certificate stays with the provider.",
        )
    if b"PUBLIC KEY-----" in content or content.startswith(b"ssh-"):
        return ProblemError(
            f"{name} is the public key, and the private one is in another file.",
            "Give the file of the private key; the public one is for the provider.",
        )
    if b"\0" in content or not content.isascii():
        return ProblemError(
            f"{name} is no PEM: it may be PKCS #12 (.p12, .pfx) or DER.",
            "Convert it first. PKCS #12: openssl pkcs12 -nocerts -in FILE -out key.pem; "
            "DER: openssl pkey -inform DER -in FILE -out key.pem",
        )
    return ProblemError(
        f"{name} holds no private key.",
        "Give a key in PEM, which begins with -----BEGIN and ends whole, or the JSON of a Google "
        "service account.",
    )


def _spec_of(key: object) -> str:
    """Tell KMS's word for a key; empty where it has none for it, or nothing here signs with it."""
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _SIZES:
        return f"RSA_{key.key_size}"
    is_p256 = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1"
    return "ECC_NIST_P256" if is_p256 else ""


def _said(key: object) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"an EC key on {key.curve.name}"
    return f"a key of another kind ({type(key).__name__.strip('_').removesuffix('PrivateKey')})"
