"""Whose certificates are believed, and which one a client shows for mutual TLS.

Believed are the public authorities', more besides them, or others instead. No disk keeps anything
of it, and no error tells what was in the text.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import ssl
import sys
from contextlib import ExitStack
from datetime import datetime
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_BEGIN: Final = "-----BEGIN "
# Never beyond the next mark: of thousands without an end each would be looked for to the last.
_BODY: Final = r"((?:(?!-----).)*)"
_KEY: Final = rf"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----{_BODY}-----END \1-----"
# OpenSSL's words for a key of another certificate, and for what its security level refuses.
_ANOTHER_KEY: Final = frozenset(
    {"KEY_TYPE_MISMATCH", "KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
)
_TOO_WEAK: Final = "_TOO_SMALL|_TOO_WEAK"
# Lambda has no other ones in /dev/fd than the first three, and only Linux has /proc.
_DESCRIPTORS: Final = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
# Tags of ASN.1 (X.690 section 8.1.2), and where a length begins to be of several bytes.
_VERSION, _UTC_TIME, _LONG = 0xA0, 0x17, 0x80
_PEM: Final = rf"-----BEGIN CERTIFICATE-----{_BODY}-----END CERTIFICATE-----"


class CertificatesError(ValueError):
    """A text that holds no certificates, or something else besides; says what is taken."""

    def __init__(self) -> None:
        super().__init__("certificates in PEM, and no key")


class ClientCertificateError(ValueError):
    """A certificate and a private key that cannot be shown; says which, and what is taken."""


def public_authorities(additional: str = "") -> ssl.SSLContext:
    """Make a client's context that believes the public authorities.

    Args:
        additional: Certificates to believe as well, as `authorities_of` takes them; or nothing.

    Raises:
        CertificatesError: They are none.
    """
    context = ssl.create_default_context()
    return _believing(context, additional) if additional else context


def authorities_of(text: str) -> ssl.SSLContext:
    r"""Make a client's context that believes these certificates and nobody else's.

    Args:
        text: PEM (RFC 7468). Whoever pastes one into a form loses its line breaks, so blanks and
            written ``\n`` stand for them; or Base64 alone, separated by commas, for where a value
            may hold no blank.

    Raises:
        CertificatesError: It holds none, or something else.
    """
    return _believing(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), text)


def identify(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    """Have a context show a certificate to servers that ask for one (RFC 8446 section 4.4.2).

    Args:
        context: A client's.
        certificate: PEM; with those that lead to its authority, behind it or before it.
        private_key: PEM, not encrypted: PKCS #8, PKCS #1 or SEC 1.

    Raises:
        ClientCertificateError: They are none, or do not belong together, or are too weak.
    """
    try:
        # Of one that is none OpenSSL says no more than of a key that is none.
        authorities_of(certificate)
        chain = certificates_in(certificate)
    except CertificatesError:
        raise ClientCertificateError("`certificate` takes certificates in PEM, no key") from None
    key = _private_key(private_key)
    refusal = _refusal_of(context, chain, key)
    if refusal in _ANOTHER_KEY:
        # Some tools write the authority first.
        refusal = _refusal_of(context, chain[::-1], key)
    if refusal in _ANOTHER_KEY:
        raise ClientCertificateError(
            "`private_key` does not belong to `certificate`, whose first must be the client's own: "
            "behind it stand those that lead to its authority"
        )
    if refusal is not None and re.search(_TOO_WEAK, refusal):
        raise ClientCertificateError(
            "`certificate` has a key or a signature that is too weak for TLS today: have one "
            "issued for RSA of 2048 bits or for P-256, and signed by SHA-256"
        )
    if refusal is not None:
        raise ClientCertificateError(
            "`private_key` takes a private key in PEM: PKCS #8, PKCS #1 or SEC 1"
        )
    # Some servers ask only once they have seen for what (RFC 8446 section 4.6.2).
    context.post_handshake_auth = True


def validity(certificate: str) -> tuple[datetime, datetime] | None:
    """Tell since when, and until when, a client's certificate is valid (RFC 5280 section 4.1.2.5).

    Args:
        certificate: As `identify` takes it; of those that lead to its authority, the first one
            that expires counts.

    Returns:
        Aware times; None where they are not to be read.
    """
    try:
        found = [_validity(each) for each in certificates_in(certificate)]
    except (CertificatesError, IndexError, ValueError):
        return None
    return min(found, key=lambda each: each[1])


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    [whole] = _elements(certificate)
    fields = _elements(_elements(whole[1])[0][1])
    # Before it are serial number, algorithm and issuer; and, but in the oldest, a version.
    since, until = _elements(fields[4 if fields[0][0] == _VERSION else 3][1])
    return _time(*since), _time(*until)


def _time(kind: int, content: bytes) -> datetime:
    text = content.decode("ascii").removesuffix("Z")
    if kind == _UTC_TIME:
        text = f"{'19' if text >= '50' else '20'}{text}"
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}Z")


def _elements(content: bytes) -> list[tuple[int, bytes]]:
    """Read tags and contents of what stands in a row in DER (X.690 section 8.1)."""
    found = []
    while content:
        length, start = content[1], 2
        if length >= _LONG:
            start += length - _LONG
            length = int.from_bytes(content[2:start], "big")
        found.append((content[0], content[start : start + length]))
        content = content[start + length :]
    return found


def _refusal_of(context: ssl.SSLContext, chain: list[bytes], key: str) -> str | None:
    """Have a context show a chain; OpenSSL's word for why it does not, or None."""
    # One by one in the usual form: whoever pastes PEM into a form loses its line breaks.
    texts = ("".join(map(ssl.DER_cert_to_PEM_cert, chain)), key)
    with ExitStack() as stack:
        # OpenSSL reads both from files alone.
        files = [stack.enter_context(_unnamed(text)) for text in texts]
        certificate, private_key = (f"{_DESCRIPTORS}/{each.fileno()}" for each in files)
        try:
            # Without an empty password it would ask for one at a terminal.
            context.load_cert_chain(certificate, private_key, password=lambda: "")
        except ssl.SSLError as error:
            return str(error.reason)
    return None


def _private_key(text: str) -> str:
    """Read a private key in PEM (RFC 7468 section 10, or what came before it)."""
    found = re.findall(_KEY, _with_line_breaks(text), re.DOTALL)
    if len(found) != 1:
        raise ClientCertificateError("`private_key` takes one private key in PEM, with its marks")
    [(kind, body)] = found
    if "ENCRYPTED" in kind + body:
        raise ClientCertificateError(
            "`private_key` takes a private key that is not encrypted: decrypt it first, as "
            "`openssl pkey` does"
        )
    body = "\n".join(re.findall(".{1,64}", "".join(body.split())))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


def _unnamed(text: str) -> AbstractContextManager[IO[bytes]]:
    """Make a file that no directory has, and that is gone when it is closed."""
    try:
        # In memory, on no disk at all.
        file: IO[bytes] = os.fdopen(os.memfd_create("pem"), "w+b")
    except (AttributeError, OSError):
        # Only Linux has these, and a sandbox may forbid them.
        import tempfile  # noqa: PLC0415 - hardly ever

        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its user
    file.write(text.encode("utf-8", "replace"))
    file.flush()
    file.seek(0)
    return file


def _believing(context: ssl.SSLContext, text: str) -> ssl.SSLContext:
    for certificate in certificates_in(text):
        try:
            # One by one: of several, OpenSSL would pass over what follows the first in silence.
            context.load_verify_locations(cadata=certificate)
        except ssl.SSLError:
            raise CertificatesError from None
    # Since 3.13 Python asks of an authority all that RFC 5280 does, and before it of none. Those
    # that companies run for themselves often lack an extension; and an intermediate one, given
    # alone, is meant to be believed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _with_line_breaks(text: str) -> str:
    """Take written ones for what they mean, also where they were written twice."""
    return re.sub(r"(?<!\\)\\+[nr]", "\n", text)


def certificates_in(text: str) -> list[bytes]:
    """Read certificates in PEM, however they were pasted; in DER, in their order (RFC 7468).

    Raises:
        CertificatesError: There is none, or something else besides.
    """
    text = _with_line_breaks(text)
    # What stands outside of the marks are notes, as openssl writes them.
    bodies = re.findall(_PEM, text, re.DOTALL) if _BEGIN in text else text.split(",")
    if not bodies or (_BEGIN in text and len(bodies) != text.count(_BEGIN)):
        raise CertificatesError
    try:
        found = [base64.b64decode("".join(body.split()), validate=True) for body in bodies]
    except (binascii.Error, ValueError):
        raise CertificatesError from None
    if not all(found):
        raise CertificatesError
    return found
