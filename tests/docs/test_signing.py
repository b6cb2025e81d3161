"""What docs/signing says: each command of ours that needs no provider runs, in its page's order.

What a page has pasted at a provider then verifies what the function signs, so that no page leads
to a key that its provider does not know.
"""

from __future__ import annotations

import json
import re
import shlex
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import Key, KeySet, RSAKey

from tests.cli.conftest import cloud, operator
from token_refresher.aws.signing import Signer
from token_refresher.judgement import client_of
from token_refresher.model import TokenVersion
from token_refresher.oauth.signatures import made
from token_refresher.parsing import parse_credentials
from token_refresher.settings import Settings
from tools.docs import codes

if TYPE_CHECKING:
    from tests.cli.operator import Operator

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "signing"
INDEX: Final = FOLDER / "README.md"
PAGES: Final = sorted(FOLDER.glob("*.md"))
OF_PROVIDERS: Final = [page for page in PAGES if page != INDEX]
# What asks a provider, or a function that is deployed.
ELSEWHERE: Final = {"refresh", "token"}
SIGNED_BY: Final = ["ES256", "PS256", "RS256"]

__all__ = ["cloud", "operator"]


def commands(page: Path) -> list[str]:
    """The commands of a page's shell blocks, each on one line."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return "".join(blocks).replace("\\\n", "").splitlines()


@dataclass(slots=True)
class Reader:
    """Follows a page, and pastes at the provider what it is shown.

    Attributes:
        operator: Types the commands.
        folder: Where they are typed.
        shell: What they are typed in.
        variables: Of the shell.
        registered: The public keys that the provider was given, and by what it finds each.
        told: All that was printed.
    """

    operator: Operator
    folder: Path
    shell: pytest.MonkeyPatch
    variables: dict[str, str] = field(default_factory=dict)
    registered: list[tuple[Key, dict[str, str]]] = field(default_factory=list)
    told: str = ""

    def follow(self, line: str) -> None:
        """Do what a line says, as far as no provider is needed."""
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        for name, printed in (("PRINTED_KID", r'"kid": "(.+?)"'),
                              ("PRINTED_X5T_S256", r"x5t#S256 (\S{43})\n")):  # fmt: skip
            if name in line:
                line = line.replace(name, re.findall(printed, self.told)[-1])
        match shlex.split(line):
            case ["export", *pairs]:
                self.variables |= dict(pair.split("=", 1) for pair in pairs)
            case ["make", "deploy", parameters]:
                self._allow(*re.findall(r"AllowedTokenHosts=(\S+)", parameters))
            case ["aws", "iam", "enable-outbound-web-identity-federation"]:
                boto3.client("iam").enable_outbound_web_identity_federation()
            case ["rm", name]:
                (self.folder / name).unlink()
            case ["token-refresher", "refresh", account, "--force"]:
                self._publish(account)
            case ["token-refresher", verb, *words] if not {verb, *words} & {*ELSEWHERE, "--try"}:
                self._type([verb, *words])

    def sees_what_is_sent_for(self, account: str) -> None:
        """Let the provider look at what the function shows of an account now."""
        stored = self.operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{account}")
        credentials = parse_credentials(stored["SecretString"])
        client = client_of(credentials, account=account, schedule=Settings().schedule)
        if not client.signs:
            assert client.certificate is not None
            return
        signer = Signer(prefix="oauth", connections=1, user_agent="made-up/1")
        text = made(client, signer, now=self.operator.clock.now())
        if client.is_assertion_issued:
            said = json.loads(urlsafe_b64decode(f"{text.split('.')[1]}=="))
            assert said["https://sts.amazonaws.com/"]["request_tags"] == {"account": account}
            return
        known = [key for key, found_by in self.registered if takes(text, key, found_by)]
        assert known, f"{account} signs with a key that was pasted nowhere"

    def _allow(self, *hosts: str) -> None:
        for each in hosts:
            self.shell.setenv("ALLOWED_TOKEN_HOSTS", each)

    def _publish(self, account: str) -> None:
        """Let the provider take what is signed now, and a token be published."""
        self.sees_what_is_sent_for(account)
        self.operator.clock.advance(timedelta(minutes=1))
        now = self.operator.clock.now()
        version = TokenVersion(now, now + timedelta(hours=1), "0123456789ab", "abcdefabcdef")
        self.operator.secrets.create_secret(
            Name=f"oauth/tokens/{account}",
            ClientRequestToken=str(version),
            SecretString='{"access_token": "made-up"}',
        )

    def _type(self, words: list[str]) -> None:
        words, target = (words[:-2], words[-1]) if ">" in words else (words, None)
        options = dict(pairwise(words))
        if "--pem" in options:
            self._download(options["--pem"])
        if "--certificate" in options:
            self._have_certified(options["--certificate"], options["--private-key"])
        if "--ca-certificates" in options:
            # Any certificate in PEM is one to believe.
            self._have_certified(options["--ca-certificates"], "authority.key")
        result = self.operator.run(shlex.join(words))
        assert result.exit_code == 0, f"{words}: {result.output}"
        self.told += result.output
        if target is not None:
            (self.folder / target).write_text(result.stdout)
        if words[:2] == ["key", "jwks"]:
            self._paste(result.stdout)

    def _paste(self, shown: str) -> None:
        if shown.startswith("{"):
            keys = KeySet.import_key_set(json.loads(shown)).keys
            self.registered += [(key, {"kid": str(key.kid)}) for key in keys]
        else:
            certificate = x509.load_pem_x509_certificate(shown.encode())
            digest = urlsafe_b64encode(certificate.fingerprint(hashes.SHA256()))
            pem = certificate.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            )
            found_by = {"x5t#S256": digest.rstrip(b"=").decode()}
            self.registered.append((RSAKey.import_key(pem), found_by))

    def _download(self, name: str) -> None:
        """Have a provider make a key, as GitHub's are; it keeps the public half."""
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        text = pem.decode()
        if name.endswith(".json"):
            text = of_google(text)
        (self.folder / name).write_text(text)
        self.registered.append((RSAKey.import_key(pem), {}))

    def _have_certified(self, certificate: str, private_key: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "payroll.example.com")])
        now = self.operator.clock.now()
        made_of = x509.CertificateBuilder(
            name, name, key.public_key(), 1, now, now + timedelta(days=90)
        )
        pem = made_of.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        (self.folder / certificate).write_bytes(pem)
        (self.folder / private_key).write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def of_google(pem: str) -> str:
    """A service account's key file, as Google hands it out."""
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "report@acme.iam.gserviceaccount.com",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": pem,
        }
    )


def takes(text: str, key: Key, found_by: dict[str, str]) -> bool:
    """Whether a provider takes an assertion for one of a key's, and finds the key by its name."""
    try:
        header = jwt.decode(text, key, algorithms=SIGNED_BY).header
    except (BadSignatureError, ValueError):
        return False
    return all(header.get(name, value) == value for name, value in found_by.items())


def accounts_in(lines: list[str]) -> list[str]:
    """The accounts that a page's commands add, in their order."""
    return [name for line in lines for name in re.findall(r"^token-refresher add (\S+)", line)]


@pytest.fixture
def reader(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(operator, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_leads_to_keys_that_the_provider_was_given(page: Path, reader: Reader) -> None:
    lines = commands(page)
    for line in lines:
        reader.follow(line)
        for account in accounts_in([line]):
            reader.sees_what_is_sent_for(account)
    for account in accounts_in(lines):
        reader.sees_what_is_sent_for(account)


@pytest.mark.parametrize("page", OF_PROVIDERS, ids=lambda page: page.stem)
def test_a_page_goes_from_a_key_to_a_token_and_to_the_next_key(page: Path) -> None:
    ours = "\n".join(line for line in commands(page) if line.startswith("token-refresher "))
    steps = (
        *("key (create|import)", "add", "check", "refresh", "token"),
        *("key (rotate|import .*--next)", "key rotate .*--switch"),
        *("refresh .*--force", "key rotate .*--finish"),
    )
    in_order = ".*^token-refresher ".join(steps)
    assert re.search(f"^token-refresher {in_order}", ours, re.DOTALL | re.MULTILINE)


def test_every_page_is_in_the_index() -> None:
    named = re.findall(r"^\| \[[\w ]+\]\((\w+\.md)\)", INDEX.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == [page.name for page in OF_PROVIDERS]


def test_every_code_that_is_explained_is_one_of_the_programs() -> None:
    known = {each.name for each in codes.every_code()}
    cells = [
        cell
        for page in PAGES
        for cell in re.findall(
            r"^\| (`[a-z_0-9]+`(?:, `[a-z_0-9]+`)*) \|", page.read_text("utf-8"), re.MULTILINE
        )
    ]
    assert len(cells) > 20
    assert {name for cell in cells for name in re.findall(r"`(.+?)`", cell)} - known == set()
