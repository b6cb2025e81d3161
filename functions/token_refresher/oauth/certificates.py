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
import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_BEGIN: Final = "-----BEGIN "
_KEY: Final = r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----(?P<body>.*?)-----END (?P=kind)-----"
_PEM: Final = r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----"


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
        certificate: PEM; with those that lead to its authority behind it.
        private_key: PEM, not encrypted.

    Raises:
        ClientCertificateError: They are none, or do not belong together.
    """
    # One by one in the usual form: whoever pastes PEM into a form loses its line breaks.
    try:
        chain = "".join(ssl.DER_cert_to_PEM_cert(each) for each in _certificates(certificate))
    except CertificatesError:
        raise ClientCertificateError("`certificate` takes certificates in PEM, no key") from None
    key = _private_key(private_key)
    with ExitStack() as stack:
        # OpenSSL reads both from files alone.
        files = [stack.enter_context(_unnamed(each)) for each in (chain, key)]
        certificate, private_key = (f"/dev/fd/{each.fileno()}" for each in files)
        try:
            context.load_cert_chain(certificate, private_key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            is_other = getattr(error, "reason", None) == "KEY_VALUES_MISMATCH"
            what = "does not belong to `certificate`" if is_other else "is no private key in PEM"
            raise ClientCertificateError(f"`private_key` {what}") from None


def _private_key(text: str) -> str:
    """Read a private key in PEM (RFC 7468 section 10, or what came before it)."""
    found = re.search(_KEY, re.sub(r"\\[nr]", "\n", text), re.DOTALL)
    if found is None:
        raise ClientCertificateError("`private_key` takes a private key in PEM")
    if "ENCRYPTED" in found[0]:
        raise ClientCertificateError(
            "`private_key` takes a private key that is not encrypted: decrypt it first, as "
            "`openssl pkey` does"
        )
    body = "\n".join(re.findall(".{1,64}", "".join(found["body"].split())))
    kind = found["kind"]
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


def _unnamed(text: str) -> AbstractContextManager[IO[bytes]]:
    """Make a file that no directory has, and that is gone when it is closed."""
    if hasattr(os, "memfd_create"):
        # In memory, on no disk at all.
        file: IO[bytes] = os.fdopen(os.memfd_create("pem"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by its user
    file.write(text.encode())
    file.flush()
    file.seek(0)
    return file


def _believing(context: ssl.SSLContext, text: str) -> ssl.SSLContext:
    for certificate in _certificates(text):
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


def _certificates(text: str) -> list[bytes]:
    text = re.sub(r"\\[nr]", "\n", text)
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
