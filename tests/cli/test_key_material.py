"""Downloaded keys: what is taken, what is refused, and that nothing of one is ever said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.cli.key_files import PASSPHRASE, pieces_of
from token_refresher_cli import key_material
from token_refresher_cli.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher_cli.key_material import KeyFile

PEM: Final = serialization.Encoding.PEM
PKCS8: Final = serialization.PrivateFormat.PKCS8
OPENSSL: Final = serialization.PrivateFormat.TraditionalOpenSSL
OPENSSH: Final = serialization.PrivateFormat.OpenSSH
OPEN: Final = serialization.NoEncryption()
LOCKED: Final = serialization.BestAvailableEncryption(PASSPHRASE.encode())

RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
RSA_PEM: Final = RSA_KEY.private_bytes(PEM, PKCS8, OPEN)
PUBLIC: Final = serialization.PublicFormat.SubjectPublicKeyInfo
GOOGLES: Final = {
    "type": "service_account",
    "project_id": "invented",
    "private_key_id": "0123456789abcdef",
    "private_key": RSA_PEM.decode(),
    "client_email": "reports@invented.iam.gserviceaccount.com",
}
EC_PARAMETERS: Final = (
    b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
)
CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def nobody() -> str | None:
    """Nobody can be asked for a passphrase."""
    return None


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., KeyFile]:
    """Read a file of some content."""

    def read(content: bytes, *, name: str = "key.pem", passphrase: str | None = None) -> KeyFile:
        path = tmp_path / name
        path.write_bytes(content)
        return key_material.read(path, lambda: passphrase)

    return read


@pytest.mark.parametrize(
    ("content", "key"),
    [
        pytest.param(RSA_PEM, RSA_KEY, id="PKCS 8"),
        pytest.param(RSA_KEY.private_bytes(PEM, OPENSSL, OPEN), RSA_KEY, id="PKCS 1, as GitHub's"),
        pytest.param(EC_KEY.private_bytes(PEM, OPENSSL, OPEN), EC_KEY, id="SEC 1"),
        pytest.param(
            EC_PARAMETERS + EC_KEY.private_bytes(PEM, OPENSSL, OPEN), EC_KEY, id="as openssl has it"
        ),
        pytest.param(CERTIFICATE + RSA_PEM, RSA_KEY, id="beside its certificate"),
        pytest.param(RSA_PEM.replace(b"\n", b"\r\n"), RSA_KEY, id="with the line ends of Windows"),
        pytest.param(b"\xef\xbb\xbf\n " + RSA_PEM, RSA_KEY, id="behind a byte-order mark"),
        pytest.param(RSA_PEM.decode().encode("utf-16"), RSA_KEY, id="as PowerShell writes it"),
        pytest.param(RSA_PEM.replace(b"\n", b"\\n"), RSA_KEY, id="as it was taken out of JSON"),
        pytest.param(json.dumps(GOOGLES).encode("utf-16"), RSA_KEY, id="JSON of PowerShell"),
        pytest.param(json.dumps(GOOGLES).encode(), RSA_KEY, id="a service account's JSON"),
        pytest.param(RSA_KEY.private_bytes(PEM, PKCS8, LOCKED), RSA_KEY, id="encrypted PKCS 8"),
        pytest.param(RSA_KEY.private_bytes(PEM, OPENSSL, LOCKED), RSA_KEY, id="encrypted PKCS 1"),
        pytest.param(EC_KEY.private_bytes(PEM, OPENSSL, LOCKED), EC_KEY, id="encrypted SEC 1"),
    ],
)
def test_every_usual_form_of_a_key_is_taken(
    read: Callable[..., KeyFile], content: bytes, key: rsa.RSAPrivateKey
) -> None:
    found = read(content, passphrase=PASSPHRASE).key
    assert found.spec == ("RSA_2048" if key is RSA_KEY else "ECC_NIST_P256")
    assert found.pkcs8 == key.private_bytes(serialization.Encoding.DER, PKCS8, OPEN)
    assert serialization.load_der_public_key(found.public) == key.public_key()


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_rsa_keys_are_taken(read: Callable[..., KeyFile], bits: int) -> None:
    content = rsa.generate_private_key(65537, bits).private_bytes(PEM, PKCS8, OPEN)
    assert read(content).key.spec == f"RSA_{bits}"


def test_what_a_service_accounts_file_says_is_the_accounts(read: Callable[..., KeyFile]) -> None:
    found = read(json.dumps(GOOGLES).encode(), name="reports.json")
    assert found.provider == "google-service-account"
    assert (found.client_id, found.kid) == (GOOGLES["client_email"], GOOGLES["private_key_id"])


def test_githubs_file_is_known_by_its_name(read: Callable[..., KeyFile]) -> None:
    content = RSA_KEY.private_bytes(PEM, OPENSSL, OPEN)
    assert read(content, name="my-app.2026-11-30.private-key.pem").provider == "github-app"
    assert read(content, name="my-app.pem").provider == ""


def other(**fields: Any) -> bytes:  # noqa: ANN401
    return json.dumps(fields).encode()


REFUSED: Final = {
    "an empty file": (b" \n", "is empty", "Download the key again"),
    "a certificate": (CERTIFICATE, "is a certificate", "Give the file of the key"),
    "a public key": (
        RSA_KEY.public_key().public_bytes(PEM, PUBLIC),
        "is the public key",
        "Give the file of the private key",
    ),
    "a public key of OpenSSH": (
        RSA_KEY.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ),
        "is the public key",
        "Give the file of the private key",
    ),
    "OpenSSH's own form": (
        RSA_KEY.private_bytes(PEM, OPENSSH, OPEN),
        "OpenSSH's own form",
        "ssh-keygen -p -m PKCS8",
    ),
    "PKCS 12": (
        pkcs12.serialize_key_and_certificates(b"invented", RSA_KEY, None, None, OPEN),
        "is no PEM",
        "openssl pkcs12",
    ),
    "DER": (
        RSA_KEY.private_bytes(serialization.Encoding.DER, PKCS8, OPEN),
        "is no PEM",
        "openssl pkey -inform DER",
    ),
    "two keys": (RSA_PEM + RSA_PEM, "2 private keys", "the account's alone"),
    "text": (b"made-up-client-secret", "holds no private key", "-----BEGIN"),
    "a key that was cut off": (RSA_PEM[:400], "holds no private key", "ends whole"),
    "a damaged key": (RSA_PEM[:400] + RSA_PEM[440:], "is damaged", "Download it again"),
    "a key of 1024 bits": (
        rsa.generate_private_key(65537, 1024).private_bytes(PEM, PKCS8, OPEN),  # noqa: S505
        "an RSA key of 1024 bits",
        "2048, 3072 and 4096 bits",
    ),
    "a key on P-384": (
        ec.generate_private_key(ec.SECP384R1()).private_bytes(PEM, PKCS8, OPEN),
        "an EC key on secp384r1",
        "EC keys on P-256",
    ),
    "an Ed25519 key": (
        ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, OPEN),
        "(Ed25519)",
        "2048, 3072 and 4096 bits",
    ),
    "a DSA key": (
        dsa.generate_private_key(1024).private_bytes(PEM, PKCS8, OPEN),  # noqa: S505
        "(DSA)",
        "2048, 3072 and 4096 bits",
    ),
    "a service account with two lines in a name": (
        json.dumps(GOOGLES | {"private_key_id": "a\nb"}).encode(),
        "lacks texts",
        "Download it again",
    ),
    "JSON that is none": (b'{"type": "service_account"', "begins as JSON", "Download it again"),
    "JSON without end": (b'{"a":' * 100_000, "begins as JSON", "Download it again"),
    "half a letter in a key": (
        other(**GOOGLES | {"private_key": RSA_PEM.decode().replace("M", "\ud800", 1)}),
        "private_key in ",
        "Download it again",
    ),
    "a service account without its key": (
        other(type="service_account", client_email="invented"),
        "lacks private_key, private_key_id",
        "Download it again",
    ),
    "a service account with a number for a key": (
        other(type="service_account", client_email="e", private_key_id="k", private_key=17),
        "lacks texts",
        "Download it again",
    ),
    "a service account with a public key": (
        other(**GOOGLES | {"private_key": RSA_KEY.public_key().public_bytes(PEM, PUBLIC).decode()}),
        "private_key in ",
        "Give the file of the private key",
    ),
    "the sign-in of a person": (
        other(type="authorized_user", client_secret="invented", refresh_token="invented"),
        "the sign-in of a person",
        "a key for a service account",
    ),
    "workload identity federation": (
        other(type="external_account", audience="invented"),
        "workload identity federation",
        "`sts`",
    ),
    "an OAuth client": (
        other(installed={"client_secret": "invented"}),
        "an OAuth client",
        "client_secret: token-refresher add",
    ),
    "an app at Box": (
        other(boxAppSettings={"appAuth": {"privateKey": "invented"}}),
        "an app at Box",
        "boxAppSettings.appAuth.privateKey",
    ),
    "a JSON Web Key": (other(kty="RSA", d="invented"), "a JSON Web Key", "Make a PEM"),
    "other JSON": (other(anything=True), "no service account's key", "a key in PEM"),
    "an encrypted key and nobody to ask": (
        RSA_KEY.private_bytes(PEM, PKCS8, LOCKED),
        "nobody to ask",
        "Run it in a terminal",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_key_of_an_account_is_named_with_its_fix(
    read: Callable[..., KeyFile], what: str
) -> None:
    content, said, fix = REFUSED[what]
    with pytest.raises(ProblemError) as refused:
        read(content)
    problem = refused.value.problem
    assert said in problem.what
    assert fix in problem.fix
    assert problem.what.endswith((".", ")."))
    told = f"{problem.what}{problem.fix}{refused.value!r}"
    assert "invented" not in told
    assert not [piece for piece in pieces_of(RSA_KEY) if piece in told]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="cannot be read: No such file or directory"):
        key_material.read(tmp_path / "nothing.pem", nobody)


def test_a_key_in_the_place_of_its_path_is_not_shown() -> None:
    text = RSA_KEY.private_bytes(PEM, PKCS8, OPEN).decode()
    for given in (text, text.splitlines()[1]):
        with pytest.raises(ProblemError, match="cannot be read") as refused:
            key_material.read(Path(given), nobody)
        assert given not in f"{refused.value}{refused.value.problem}"


def test_a_cipher_that_is_not_known_is_not_told_as_a_wrong_passphrase(
    read: Callable[..., KeyFile],
) -> None:
    words = ["-topk8", "-v2", "camellia-256-cbc", "-passout", f"pass:{PASSPHRASE}"]
    content = subprocess.run(  # noqa: S603
        ["openssl", "pkcs8", *words],  # noqa: S607
        input=RSA_PEM,
        capture_output=True,
        check=True,
    ).stdout
    with pytest.raises(ProblemError, match="encrypted in a way that is not known") as refused:
        read(content, passphrase=PASSPHRASE)
    assert "-v2 aes-256-cbc" in refused.value.problem.fix


@pytest.mark.parametrize("form", [PKCS8, OPENSSL])
@pytest.mark.parametrize("passphrase", ["made-up-wrong", "", "made-up-\udce9"])
def test_a_wrong_passphrase_is_told_as_that(
    read: Callable[..., KeyFile],
    form: serialization.PrivateFormat,
    passphrase: str,
) -> None:
    with pytest.raises(ProblemError, match="That is not the passphrase") as refused:
        read(RSA_KEY.private_bytes(PEM, form, LOCKED), passphrase=passphrase)
    assert "made-up" not in f"{refused.value!r}{refused.value.problem}"
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_key_and_its_file_show_nothing_of_themselves(read: Callable[..., KeyFile]) -> None:
    found = read(json.dumps(GOOGLES).encode())
    told = f"{found!r}{found}{found.key!r}{found.key}"
    assert not [piece for piece in pieces_of(RSA_KEY) if piece in told]
    assert "object at" in repr(found.key)


def test_whoever_has_kmss_half_alone_unwraps_what_was_wrapped(
    read: Callable[..., KeyFile],
) -> None:
    kms = rsa.generate_private_key(65537, 2048)
    key = read(RSA_PEM).key
    wrapping = kms.public_key().public_bytes(serialization.Encoding.DER, PUBLIC)
    wrapped, again = (key_material.wrapped(key, wrapping) for _ in range(2))
    assert wrapped != again
    assert key.pkcs8[:64] not in wrapped
    sha256 = hashes.SHA256()
    oaep = padding.OAEP(mgf=padding.MGF1(sha256), algorithm=sha256, label=None)
    once = kms.decrypt(wrapped[:256], oaep)
    assert len(once) == 32
    assert keywrap.aes_key_unwrap_with_padding(once, wrapped[256:]) == key.pkcs8


def test_the_commands_that_are_told_convert_what_was_refused(
    read: Callable[..., KeyFile], tmp_path: Path
) -> None:
    (tmp_path / "FILE").write_bytes(REFUSED["DER"][0])
    (tmp_path / "COPY").write_bytes(REFUSED["OpenSSH's own form"][0])
    (tmp_path / "COPY").chmod(0o600)
    openssl = ["openssl", "pkey", "-inform", "DER", "-in", "FILE", "-out", "key.pem"]
    ssh = ["ssh-keygen", "-p", "-m", "PKCS8", "-f", "COPY", "-P", "", "-N", ""]
    for command in (openssl, ssh):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # noqa: S603
    for name in ("key.pem", "COPY"):
        assert read((tmp_path / name).read_bytes()).key.spec == "RSA_2048"
