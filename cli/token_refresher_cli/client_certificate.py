"""A client's certificate for mutual TLS: read from a file, and told of before it ends."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from token_refresher.errors import CredentialsError
from token_refresher.oauth.certificates import certificates_in
from token_refresher_cli.durations import say_duration
from token_refresher_cli.masking import visible

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from token_refresher.credentials import Credentials

# So long before its end a certificate is told of: some authorities take weeks.
_TO_RENEW: Final = timedelta(days=30)
_BLOCK: Final = r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----"
_KEY: Final = "PRIVATE KEY"
# What each field holds, in the words of RFC 7468; and for people.
_LABELS: Final = {"certificate": "CERTIFICATE", "private_key": _KEY}
_TAKES: Final = {
    "certificate": "certificates in PEM",
    "private_key": "the certificate's private key in PEM",
}
# A chain of certificates is a few kilobytes.
_LARGEST: Final = 1024 * 1024
# ASN.1's mark of a sequence, with which DER and PKCS #12 begin.
_SEQUENCE: Final = b"\x30"


class PemFileError(Exception):
    """A file that does not hold what a field takes; it says what there is instead."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client certificate says of itself.

    Attributes:
        subject: As RFC 4514 writes it.
        begins_at: Aware; before it nobody believes it.
        ends_at: Aware; nor after it.
    """

    subject: str
    begins_at: datetime
    ends_at: datetime


def read_pem(path: Path, field: str) -> str:
    """Take what a field holds out of a file; both may be in one, with notes around them.

    Args:
        path: The file's.
        field: ``certificate`` or ``private_key``.

    Raises:
        PemFileError: It has none, or one that is encrypted.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        # Its name may be the key itself, by mistake.
        what = f"the file for `{field}` cannot be read: {error.strerror}"
        raise PemFileError(f"{what}; give its path, and not what is in it") from None
    text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    blocks = [(found[1], found[0]) for found in re.finditer(_BLOCK, text, re.DOTALL)]
    taken = [(kind, block) for kind, block in blocks if _is_of(field, kind)]
    if not taken:
        is_binary = content[:1] == _SEQUENCE
        instead = _instead(path, [kind for kind, _ in blocks], is_binary=is_binary)
        raise PemFileError(f"{path} is not what `{field}` takes: {_TAKES[field]}{instead}")
    if any("ENCRYPTED" in kind or "ENCRYPTED" in block for kind, block in taken):
        raise PemFileError(
            f"{path} has a private key that is encrypted: decrypt it first, such as by `openssl "
            f"pkey -in {shlex.quote(str(path))} -out FILE`"
        )
    return "".join(f"{block}\n" for _, block in taken)


def _is_of(field: str, kind: str) -> bool:
    # RSA's and EC's have a word before it.
    return kind.endswith(_KEY) if field == "private_key" else kind == _LABELS[field]


def _instead(path: Path, kinds: list[str], *, is_binary: bool) -> str:
    if "CERTIFICATE" in kinds:
        return ", and it has a certificate: give it by --certificate"
    if any(kind.endswith(_KEY) for kind in kinds):
        return ", and it has a private key: give it by --private-key"
    if any(kind.endswith("CERTIFICATE REQUEST") for kind in kinds):
        return ", and it has the request for one: its authority makes a certificate of that"
    named = shlex.quote(str(path))
    if is_binary and path.suffix.lower() in {".p12", ".pfx"}:
        return f", which `openssl pkcs12 -nodes -in {named}` makes of it"
    if is_binary:
        return f", which `openssl x509 -inform der -in {named}` makes of a certificate"
    return ", with its marks such as -----BEGIN CERTIFICATE-----"


def certificate_of(credentials: Credentials) -> Certificate | None:
    """Read what the client certificate says; None where there is none, or it cannot be read."""
    text = credentials.certificate
    if text is None:
        return None
    # It takes 40 ms, and most accounts have none.
    from cryptography import x509  # noqa: PLC0415

    try:
        chain = [x509.load_der_x509_certificate(each) for each in certificates_in(text)]
        issuers = {each.issuer for each in chain if each.issuer != each.subject}
        # Some tools write the authority first.
        found = next((each for each in chain if each.subject not in issuers), chain[0])
        # A terminal would obey what whoever issued it has written.
        subject = " ".join(visible(found.subject.rfc4514_string()).split())
    except ValueError:
        return None
    return Certificate(subject, found.not_valid_before_utc, found.not_valid_after_utc)


def require_in_force(credentials: Credentials, *, now: datetime) -> None:
    """Refuse a client certificate that no server takes any more.

    Raises:
        CredentialsError: It has expired.
    """
    certificate = certificate_of(credentials)
    if certificate is not None and certificate.ends_at <= now:
        raise CredentialsError(
            f"`certificate` expired on {certificate.ends_at:%Y-%m-%d}: give the new one by "
            "--certificate and --private-key",
            code="client_certificate_refused",
        )


def ending(credentials: Credentials, *, now: datetime) -> str:
    """Tell of a client certificate that ends soon, or is not valid yet; empty for neither."""
    certificate = certificate_of(credentials)
    if certificate is None:
        return ""
    if certificate.begins_at > now:
        return f"its certificate is valid from {certificate.begins_at:%Y-%m-%d} on"
    left = certificate.ends_at - now
    if left > _TO_RENEW:
        return ""
    day = f"{certificate.ends_at:%Y-%m-%d}"
    return f"its certificate ends on {day}, in {say_duration(left)}: have it renewed in time"
