"""What docs/signing says: every command of ours that needs no provider runs, in the page's order.

What a page has pasted at a provider then verifies what the function would sign, so that no page
leads to a key that its provider does not know.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from joserfc.jwk import ECKey, KeySet, RSAKey

from tests.cli.conftest import cloud, operator
from token_refresher.aws.signing import Signer
from token_refresher.judgement import client_of
from token_refresher.oauth.signatures import made
from token_refresher.parsing import parse_credentials
from tools.docs import codes

if TYPE_CHECKING:
    from datetime import datetime

    from tests.cli.operator import Operator
    from token_refresher.oauth.client_authentication import Client

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "signing"
PAGES: Final = sorted(FOLDER.glob("*.md"))
OF_PROVIDERS: Final = [page for page in PAGES if page.name != "README.md"]
# What asks a provider, or a function that is deployed.
ELSEWHERE: Final = {"refresh", "token"}

__all__ = ["cloud", "operator"]


def commands(page: Path) -> list[str]:
    """The commands of a page's shell blocks, each on one line."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return "".join(blocks).replace("\\\n", "").splitlines()


def ours(page: Path) -> list[str]:
    return [line for line in commands(page) if line.startswith("token-refresher ")]


@dataclass(slots=True)
class Reader:
    """Follows a page, and pastes what it is shown.

    Attributes:
        operator: Types the commands.
        folder: Where they are typed.
        variables: Of the shell.
        registered: The public keys that a provider was given.
        told: All that was printed, so far.
    """

    operator: Operator
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    registered: list[RSAKey | ECKey] = field(default_factory=list)
    told: str = ""

    def follow(self, line: str) -> None:
        """Do what a line of a page says, as far as no provider is needed."""
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        line = line.replace("PRINTED_KID", self._last(r'"kid": "([^"]+)"'))
        line = line.replace("PRINTED_X5T_S256", self._last(r"x5t#S256\W+([\w-]{43})"))
        words = shlex.split(line)
        match words:
            case ["export", *pairs]:
                self.variables |= dict(pair.split("=", 1) for pair in pairs)
            case ["rm", name]:
                (self.folder / name).unlink()
            case ["token-refresher", verb, *rest] if verb not in ELSEWHERE and "--try" not in rest:
                self._run(words[1:])

    def signed_for(self, account: str, *, now: datetime) -> None:
        """See that the provider takes what the function signs for an account now."""
        client = self.client(account)
        signer = Signer(prefix="oauth", connections=1, user_agent="made-up/1")
        text = made(client, signer, now=now)
        assert any(verifies(text, key) for key in self.registered), account

    def client(self, account: str) -> Client:
        stored = self.operator.secrets.get_secret_value(SecretId=f"oauth/credentials/{account}")
        credentials = parse_credentials(stored["SecretString"])
        return client_of(credentials, account=account, schedule=self.operator.schedule.interval)

    def _run(self, words: list[str]) -> None:
        words, target = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, None)
        self._bring(words)
        result = self.operator.run(shlex.join(words))
        assert result.exit_code == 0, result.output
        self.told += result.output
        if target is not None:
            (self.folder / target).write_text(result.stdout)
        if words[:2] == ["key", "jwks"]:
            self._register(result.stdout)

    def _register(self, shown: str) -> None:
        if shown.startswith("{"):
            self.registered += KeySet.import_key_set(shown).keys  # type: ignore[arg-type]
            return
        certificate = x509.load_pem_x509_certificate(shown.encode())
        public = certificate.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.registered.append(RSAKey.import_key(pem))

    def _bring(self, words: list[str]) -> None:
        """Have the files there that a provider, or an authority, has made."""
        named = {word: words[words.index(word) + 1] for word in words if word.startswith("--")}
        if "--pem" in named:
            key = rsa.generate_private_key(65537, 2048)
            # As GitHub hands its keys out.
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            text = pem.decode()
            if named["--pem"].endswith(".json"):
                text = self._of_google(text)
            (self.folder / named["--pem"]).write_text(text)
            self.registered.append(RSAKey.import_key(pem))
        if "--certificate" in named:
            certificate, key_of_it = pair(self.operator.clock.now())
            (self.folder / named["--certificate"]).write_text(certificate)
            (self.folder / named["--private-key"]).write_text(key_of_it)

    def _last(self, pattern: str) -> str:
        return [*re.findall(pattern, self.told), ""][0 if not self.told else -2] or "none"


