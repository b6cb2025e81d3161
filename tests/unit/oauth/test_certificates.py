"""Certificates as people paste them, and whom a context believes with them."""

from __future__ import annotations

import base64
import os
import ssl
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
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
    ClientCertificateError,
    authorities_of,
    identify,
    public_authorities,
    validity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

    Key = EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


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
        pytest.param(lambda pem: pem.replace("\n", "\\\\r\\\\n"), id="with those written twice"),
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


SINCE, UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def issue(
    name: str,
    key: Key,
    *,
    by: Issued | None,
    is_authority: bool,
    since: datetime = SINCE,
    until: datetime = UNTIL,
) -> Issued:
    """Issue a certificate with hardly an extension, and none critical."""
    subject = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(BasicConstraints(ca=is_authority, path_length=None), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(SubjectAlternativeName([DNSName(name)]), critical=False)
    signing = by.key if by else key
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else SHA256()
    return Issued(builder.sign(signing, digest), key)


@dataclass(frozen=True, slots=True)
class Issued:
    certificate: Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_pem(
        self, form: PrivateFormat = PrivateFormat.PKCS8, *, password: bytes | None = None
    ) -> str:
        protection = BestAvailableEncryption(password) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, form, protection).decode()

    def server_context(self, directory: Path) -> ssl.SSLContext:
        path = directory / "server.pem"
        path.write_text(self.key_pem() + self.pem)
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


# What a client shows.


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A root, what stands between, and a client's own."""

    root: Issued
    between: Issued
    client: Issued

    @property
    def chain(self) -> str:
        return self.client.pem + self.between.pem


def elliptic() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@pytest.fixture(scope="module")
def of_rsa() -> Issued:
    key = rsa.generate_private_key(65537, 2048)
    return issue("client", key, by=None, is_authority=False)


@pytest.fixture(scope="module")
def issued(of_rsa: Issued) -> Hierarchy:
    """The root's key is of another kind than the client's, as is usual."""
    root = issue("root", of_rsa.key, by=None, is_authority=True)
    between = issue("between", elliptic(), by=root, is_authority=True)
    return Hierarchy(root, between, issue("client", elliptic(), by=between, is_authority=False))


@pytest.fixture
def client() -> ssl.SSLContext:
    return a_client()


def a_client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shown_to(server: Issued, client: ssl.SSLContext, directory: Path, *, root: str) -> str:
    """Make a handshake with a server that demands a certificate, and return whose it got."""
    context = server.server_context(directory)
    context.load_verify_locations(cadata=root)
    context.verify_mode = ssl.CERT_REQUIRED
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(down, up)
    there = context.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for end in (here, there):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    shown: Any = there.getpeercert()
    [[(_, name)]] = shown["subject"]
    return str(name)


def as_it_is(pem: str) -> str:
    return pem


PASTED = [
    pytest.param(as_it_is, id="as it is"),
    pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="with lines of Windows"),
    pytest.param(lambda pem: pem.replace("\n", " "), id="with blanks for lines"),
    pytest.param(lambda pem: pem.replace("\n", "\\n"), id="with written line breaks"),
    pytest.param(lambda pem: pem.replace("\n", "\\\\n"), id="with those written twice"),
    pytest.param(lambda pem: pem.replace("\n", "\n    "), id="indented"),
    pytest.param(lambda pem: pem.replace("\n", ""), id="without any"),
    pytest.param(lambda pem: f"Bag Attributes\n  friendlyName: x\n{pem}x", id="with notes"),
]


@pytest.mark.parametrize("paste", PASTED)
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_client_certificate_is_shown_however_it_was_pasted(
    issued: Hierarchy,
    of_rsa: Issued,
    tmp_path: Path,
    paste: Callable[[str], str],
    form: PrivateFormat,
) -> None:
    for own, chain, root in (
        (issued.client, issued.chain, issued.root.pem),
        (of_rsa, of_rsa.pem, of_rsa.pem),
    ):
        client = a_client()
        identify(client, paste(chain), paste(own.key_pem(form)))
        assert shown_to(of_rsa, client, tmp_path, root=root) == "client"


def test_a_key_may_be_of_the_newer_kind(
    client: ssl.SSLContext, of_rsa: Issued, tmp_path: Path
) -> None:
    own = issue("client", ed25519.Ed25519PrivateKey.generate(), by=None, is_authority=False)
    identify(client, own.pem, own.key_pem())
    assert shown_to(of_rsa, client, tmp_path, root=own.pem) == "client"


def test_what_openssl_writes_before_a_key_is_passed_over(
    issued: Hierarchy, client: ssl.SSLContext, of_rsa: Issued, tmp_path: Path
) -> None:
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = issued.client.key_pem(PrivateFormat.TraditionalOpenSSL)
    identify(client, issued.chain, parameters + key)
    assert shown_to(of_rsa, client, tmp_path, root=issued.root.pem) == "client"


def test_the_authoritys_may_stand_first(
    issued: Hierarchy, client: ssl.SSLContext, of_rsa: Issued, tmp_path: Path
) -> None:
    """OpenSSL takes the first for the client's own."""
    identify(
        client, issued.root.pem + issued.between.pem + issued.client.pem, issued.client.key_pem()
    )
    assert shown_to(of_rsa, client, tmp_path, root=issued.root.pem) == "client"


def test_one_that_has_expired_is_the_servers_to_refuse(client: ssl.SSLContext) -> None:
    own = issue("client", elliptic(), by=None, is_authority=False, until=SINCE + timedelta(1))
    identify(client, own.pem, own.key_pem())


NO_KEY = "`private_key` takes a private key in PEM: PKCS #8, PKCS #1 or SEC 1"
NOT_ONE = "`private_key` takes one private key in PEM, with its marks"
NO_CERTIFICATE = "`certificate` takes certificates in PEM, no key"
MISMATCH = (
    "`private_key` does not belong to `certificate`, whose first must be the client's own: behind "
    "it stand those that lead to its authority"
)
ENCRYPTED = (
    "`private_key` takes a private key that is not encrypted: decrypt it first, as `openssl pkey` "
    "does"
)


def spoiled(text: str) -> str:
    return text.replace("\nM", "\nA", 1)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(lambda c, k, _: (k, c), NO_CERTIFICATE, id="swapped"),
        pytest.param(lambda c, k, _: (c + k, k), NO_CERTIFICATE, id="both in one text"),
        pytest.param(lambda _, k, __: ("client.pem", k), NO_CERTIFICATE, id="a file's name"),
        pytest.param(lambda c, k, _: (spoiled(c), k), NO_CERTIFICATE, id="no certificate"),
        pytest.param(lambda c, k, _: (c + spoiled(c), k), NO_CERTIFICATE, id="no second one"),
        pytest.param(lambda c, _, __: (c, "client.key"), NOT_ONE, id="a key file's name"),
        pytest.param(lambda c, _, __: (c, c), NOT_ONE, id="a certificate twice"),
        pytest.param(lambda c, k, _: (c, k[:-9]), NOT_ONE, id="a key without its end"),
        pytest.param(lambda c, k, o: (c, k + o.key_pem()), NOT_ONE, id="two keys"),
        pytest.param(
            lambda c, _, o: (
                c,
                o.key.public_key()
                .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                .decode(),
            ),
            NOT_ONE,
            id="a public key",
        ),
        pytest.param(lambda c, k, _: (c, spoiled(k)), NO_KEY, id="no key"),
        pytest.param(lambda c, k, _: (c, k.replace("M", "\ud800", 1)), NO_KEY, id="half a letter"),
        pytest.param(lambda c, k, _: (c, k.replace("M", "\0", 1)), NO_KEY, id="a null"),
        pytest.param(
            lambda c, k, _: (c, k.replace(" PRIVATE", " RSA PRIVATE")), NO_KEY, id="another name"
        ),
        pytest.param(
            lambda c, _, o: (c, o.key_pem(PrivateFormat.OpenSSH)), NO_KEY, id="OpenSSH's own form"
        ),
        pytest.param(lambda c, _, o: (c, o.key_pem()), MISMATCH, id="a key of another kind"),
        pytest.param(
            lambda c, _, __: (c, issue("x", elliptic(), by=None, is_authority=False).key_pem()),
            MISMATCH,
            id="another key",
        ),
        pytest.param(
            lambda c, _, o: (c, o.key_pem(password=b"invented")), ENCRYPTED, id="encrypted"
        ),
        pytest.param(
            lambda c, _, o: (
                c,
                o.key_pem(PrivateFormat.TraditionalOpenSSL, password=b"invented").replace(
                    "\n", " "
                ),
            ),
            ENCRYPTED,
            id="encrypted in the older form, with blanks for lines",
        ),
    ],
)
def test_what_cannot_be_shown_is_told_by_its_field_without_a_word_of_it(
    issued: Hierarchy,
    of_rsa: Issued,
    client: ssl.SSLContext,
    spoil: Callable[[str, str, Issued], tuple[str, str]],
    told: str,
) -> None:
    given = spoil(issued.chain, issued.client.key_pem(), of_rsa)
    with pytest.raises(ClientCertificateError) as refusal:
        identify(client, *given)
    assert str(refusal.value) == told
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "piece", ["\\", "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"]
)
def test_thousands_of_marks_do_not_hold_up_the_other_accounts(
    issued: Hierarchy, client: ssl.SSLContext, piece: str
) -> None:
    """They once took many seconds, in which the interpreter runs no other thread."""
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    for given in ((text, issued.client.key_pem()), (issued.chain, text)):
        with pytest.raises(ClientCertificateError):
            identify(client, *given)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("is_authority", [False, True], ids=["its own", "its authority's"])
def test_a_key_that_is_too_weak_is_told_so(
    issued: Hierarchy, client: ssl.SSLContext, *, is_authority: bool
) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    weak = issue("weak", key, by=None, is_authority=is_authority)
    own = issue("client", issued.client.key, by=weak, is_authority=False) if is_authority else weak
    with pytest.raises(ClientCertificateError, match="`certificate` has a key or a signature that"):
        identify(client, own.pem + weak.pem, own.key_pem())


def test_an_encrypted_key_under_another_name_asks_for_no_password(
    issued: Hierarchy, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal OpenSSL would wait for one."""
    terminal, shell = os.openpty()
    with os.fdopen(terminal, "rb"), os.fdopen(shell, "r") as shown:
        monkeypatch.setattr(sys, "stdin", shown)
        key = issued.client.key_pem(password=b"invented").replace("ENCRYPTED ", "")
        with pytest.raises(ClientCertificateError, match=NO_KEY):
            identify(client, issued.chain, key)
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal, 1)


class Watched(ssl.SSLContext):
    """A context that takes note of what it is given to read."""

    paths: list[str]
    modes: list[int]

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:  # noqa: ANN401
        self.paths = [certfile, keyfile]
        self.modes = [os.stat(path).st_nlink for path in self.paths]  # noqa: PTH116
        super().load_cert_chain(certfile, keyfile, password)


def forbidden(_: str) -> NoReturn:
    raise PermissionError


@pytest.fixture(params=["in memory", "elsewhere", "forbidden"])
def temporary(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where files would be; with Linux's in memory, on a system without, or where forbidden."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    if request.param == "elsewhere":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    elif request.param == "forbidden":
        monkeypatch.setattr(os, "memfd_create", forbidden, raising=False)
    yield directory
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("is_good", [True, False])
def test_no_directory_has_a_file_of_it(
    issued: Hierarchy, temporary: Path, *, is_good: bool
) -> None:
    context = Watched(ssl.PROTOCOL_TLS_CLIENT)
    key = issued.client.key_pem() if is_good else issued.between.key_pem()
    with suppress(ClientCertificateError):
        identify(context, issued.chain, key)
    assert context.modes == [0, 0]
    assert not any(path.startswith(str(temporary)) for path in context.paths)


@pytest.mark.skipif(sys.platform != "linux", reason="where Lambda runs")
def test_it_is_read_where_lambda_has_descriptors(issued: Hierarchy) -> None:
    """Its ``/dev/fd`` has the first three alone."""
    context = Watched(ssl.PROTOCOL_TLS_CLIENT)
    identify(context, issued.chain, issued.client.key_pem())
    assert all(path.startswith("/proc/self/fd/") for path in context.paths)


def open_descriptors() -> set[int]:
    """Those of this process; a pipe between two tests may come and go."""
    found = set()
    for number in range(1024):
        with suppress(OSError):
            os.fstat(number)
            found.add(number)
    return found


@pytest.mark.usefixtures("temporary")
def test_many_calls_leave_no_descriptor_open(issued: Hierarchy) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    before = open_descriptors()
    for _ in range(50):
        identify(context, issued.chain, issued.client.key_pem())
        with suppress(ClientCertificateError):
            identify(context, issued.chain, issued.between.key_pem())
    # What other threads still held may be closed by now.
    assert open_descriptors() <= before


# Until when it is valid.


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(datetime(2026, 12, 8, 1, 0, 5, tzinfo=UTC), id="soon"),
        pytest.param(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), id="long ago"),
        pytest.param(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), id="in two digits"),
        pytest.param(datetime(2050, 1, 1, tzinfo=UTC), id="in four digits"),
        pytest.param(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), id="never (RFC 5280)"),
    ],
)
@pytest.mark.parametrize("key", [elliptic, lambda: rsa.generate_private_key(65537, 2048)])
def test_a_certificate_tells_until_when_it_is_valid(
    key: Callable[[], Key], until: datetime
) -> None:
    since = datetime(1970, 1, 1, tzinfo=UTC)
    own = issue("client", key(), by=None, is_authority=False, since=since, until=until)
    assert validity(own.pem) == (since, until)


def test_the_first_of_a_chain_that_expires_counts(issued: Hierarchy) -> None:
    between = issue(
        "between", issued.between.key, by=issued.root, is_authority=True, until=UNTIL - timedelta(1)
    )
    assert validity(issued.client.pem + between.pem + issued.root.pem) == (
        SINCE,
        UNTIL - timedelta(1),
    )


def in_pem(content: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(content)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: in_pem(b"0"), id="a beginning"),
        pytest.param(lambda _: in_pem(b"0\x00"), id="an empty one"),
        pytest.param(lambda _: in_pem(b"0\x00" * 2), id="two in one"),
        pytest.param(lambda of: in_pem(of[:60]), id="a half"),
        pytest.param(
            lambda of: in_pem(of.replace(b"000101000000Z", b"0001010000+01")), id="a zone"
        ),
        pytest.param(lambda of: in_pem(of.replace(b"000101000000Z", b"\xff" * 13)), id="no text"),
        pytest.param(
            lambda of: in_pem(of.replace(b"000101000000Z", b"009901000000Z")), id="no day"
        ),
    ],
)
def test_one_that_does_not_tell_is_none(issued: Hierarchy, spoil: Callable[[bytes], str]) -> None:
    assert validity(spoil(der(issued.client.pem))) is None


def test_the_oldest_form_of_a_certificate_tells_too(of_rsa: Issued) -> None:
    """Version 1 is not written (RFC 5280 section 4.1.2.1)."""
    content = der(of_rsa.pem)
    version = bytes.fromhex("a003020102")
    at = content.index(version)
    # Both lengths before it are of two bytes.
    whole = int.from_bytes(content[2:4], "big") - len(version)
    signed = int.from_bytes(content[6:8], "big") - len(version)
    oldest = b"0\x82" + whole.to_bytes(2, "big") + b"0\x82" + signed.to_bytes(2, "big")
    assert validity(in_pem(oldest + content[at + len(version) :])) == (SINCE, UNTIL)
