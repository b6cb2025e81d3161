"""Certificates as people paste them, and whom a context believes with them."""

from __future__ import annotations

import base64
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import (
    BasicConstraints,
    CertificateBuilder,
    DNSName,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    random_serial_number,
)
from cryptography.x509.oid import NameOID

from local.authority import Authority
from token_refresher.oauth.certificates import (
    CertificatesError,
    authorities_of,
    public_authorities,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate


@pytest.fixture(scope="module")
def pem() -> str:
    with Authority() as made:
        return made.certificate_file.read_text()


@pytest.fixture(scope="module")
def other() -> str:
    with Authority() as made:
        return made.certificate_file.read_text()


def der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def one_line(pem: str) -> str:
    return base64.b64encode(der(pem)).decode()


@pytest.mark.parametrize(
    "paste",
    [
        pytest.param(lambda pem: pem, id="as it is"),
        pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="with lines of Windows"),
        pytest.param(lambda pem: pem.replace("\n", " "), id="with blanks for lines"),
        pytest.param(lambda pem: pem.replace("\n", "\\n"), id="with written line breaks"),
        pytest.param(lambda pem: pem.replace("\n", ""), id="without any"),
        pytest.param(lambda pem: f"# Issuer: invented\nsubject=/CN=x\n{pem}\n", id="with notes"),
        pytest.param(one_line, id="in Base64 alone"),
    ],
)
def test_a_certificate_is_taken_however_it_was_pasted(
    pem: str, paste: Callable[[str], str]
) -> None:
    assert authorities_of(paste(pem)).get_ca_certs(binary_form=True) == [der(pem)]


@pytest.mark.parametrize("between", ["", " ", ","], ids=["nothing", "a blank", "a comma"])
def test_several_are_all_believed(pem: str, other: str, between: str) -> None:
    believed = authorities_of(between.join([pem, other, pem])).get_ca_certs(binary_form=True)
    assert sorted(believed) == sorted([der(pem), der(other)])


def test_several_in_base64_are_separated_by_commas(pem: str, other: str) -> None:
    assert len(authorities_of(f"{one_line(pem)}, {one_line(other)}").get_ca_certs()) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: " ", id="a blank"),
        pytest.param(lambda _: ",", id="a comma"),
        pytest.param(lambda _: "corporate-ca.pem", id="a file's name"),
        pytest.param(lambda _: "aW52ZW50ZWQ=", id="Base64 of something else"),
        pytest.param(lambda _: "é", id="no ASCII"),
        pytest.param(lambda pem: pem[:-40], id="one without its end"),
        pytest.param(lambda pem: pem.replace("M", "", 1), id="one that lacks a letter"),
        pytest.param(lambda pem: pem + pem[:-40], id="one of two without its end"),
        pytest.param(
            lambda pem: pem + pem.replace(pem.splitlines()[1], "aW52ZW50ZWQ="), id="a broken second"
        ),
        pytest.param(
            lambda pem: f"{pem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            id="a key beside it",
        ),
        pytest.param(
            lambda _: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", id="an empty one"
        ),
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(
    pem: str, spoil: Callable[[str], str]
) -> None:
    for make in (authorities_of, lambda text: public_authorities(f" {text}")):
        with pytest.raises(CertificatesError) as refusal:
            make(spoil(pem))
        assert str(refusal.value) == "certificates in PEM, and no key"
        assert refusal.value.__cause__ is None


def test_nobody_else_is_believed_and_everything_is_verified(pem: str) -> None:
    context = authorities_of(pem)
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_additional_ones_stand_beside_the_public_ones(pem: str) -> None:
    public = public_authorities().get_ca_certs(binary_form=True)
    believed = public_authorities(pem).get_ca_certs(binary_form=True)
    assert set(believed) == {*public, der(pem)}
    assert public_authorities(pem).check_hostname


def test_without_any_nothing_differs_from_what_python_believes() -> None:
    flags = ssl.create_default_context().verify_flags
    assert public_authorities().verify_flags == flags


def issue(
    name: str, key: EllipticCurvePrivateKey, *, by: Issued | None, is_authority: bool
) -> Issued:
    """Issue a certificate with hardly an extension, and none critical."""
    subject = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(BasicConstraints(ca=is_authority, path_length=None), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(SubjectAlternativeName([DNSName(name)]), critical=False)
    return Issued(builder.sign(by.key if by else key, SHA256()), key)


@dataclass(frozen=True, slots=True)
class Issued:
    certificate: Certificate
    key: EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def server_context(self, directory: Path) -> ssl.SSLContext:
        key = self.key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ).decode()
        path = directory / "server.pem"
        path.write_text(key + self.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Make a handshake without a network.

    Raises:
        SSLError: One of them refuses.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(3):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].version()


@pytest.mark.parametrize("make", [authorities_of, public_authorities])
def test_a_companys_authority_is_believed_on_every_python(
    tmp_path: Path, make: Callable[[str], ssl.SSLContext]
) -> None:
    """Since 3.13 Python would refuse those that lack extensions, as many have for years."""
    root = issue("root", generate_private_key(SECP256R1()), by=None, is_authority=True)
    between = issue("between", generate_private_key(SECP256R1()), by=root, is_authority=True)
    for authority in (root, between):
        host = issue(
            "a.example", generate_private_key(SECP256R1()), by=authority, is_authority=False
        )
        shake_hands(make(authority.pem), host.server_context(tmp_path), "a.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(make(authority.pem), host.server_context(tmp_path), "b.example")
