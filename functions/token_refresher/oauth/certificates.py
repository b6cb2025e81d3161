"""Whose certificates are believed: the public authorities', more besides them, or others instead.

Nothing is written to a disk, and no error tells what was in the text.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from typing import Final

_BEGIN: Final = "-----BEGIN "
_PEM: Final = r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----"


class CertificatesError(ValueError):
    """A text that holds no certificates, or something else besides; says what is taken."""

    def __init__(self) -> None:
        super().__init__("certificates in PEM, and no key")


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
