"""Accounts that sign, as their providers' documentation has it, and the stack that they are in.

Their keys are made and imported by the command line.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import KeySet

from local.embedded_cloud import ROOT
from tests.deployment.signed_clients import (
    BY_JWT,
    JWT_BEARER,
    TOKEN_EXCHANGE,
    CertifiedServer,
    SignedClient,
    SigningServer,
    public_key,
)
from token_refresher.aws.signing import alias_of

if TYPE_CHECKING:
    import trustme
    from joserfc.jwk import RSAKey

    from local.stack import LocalAws, Stack

PREFIX: Final = "team/oauth"
OTHER_PREFIX: Final = "team/other"
# As Entra and as Google name whom an identity token must be for.
OF_ENTRA: Final = "api://AzureADTokenExchange"
OF_GOOGLE: Final = "//iam.example.com/projects/1/locations/global/pools/p/providers/q"


@dataclass(slots=True)
class Signing:
    """A deployed stack whose accounts sign, and the servers that know them.

    Attributes:
        aws: Where it is deployed.
        stack: Under `PREFIX`.
        server: Knows public keys.
        certified: Knows certificates, of this authority.
        authority: Issues them.
        issuer: The AWS account's own, of identity tokens.
        imported: The private keys that were downloaded, in DER, each in both of its forms.
        private_keys: Those of certificates, in PEM, by account.
    """

    aws: LocalAws
    stack: Stack
    server: SigningServer
    certified: CertifiedServer
    authority: trustme.CA
    issuer: str
    imported: list[bytes] = field(default_factory=list)
    private_keys: dict[str, str] = field(default_factory=dict)

    @property
    def kms(self) -> Any:  # noqa: ANN401 - no stubs here
        """KMS, for the operator."""
        return self.aws.cloud.client("kms")

    def create_key(self, account: str, *, alg: str = "RS256", prefix: str = PREFIX) -> str:
        """Make an account's key, and return its id."""
        self._run("key", "create", account, "--alg", alg, "--prefix", prefix)
        return self._id_of(account, prefix)

    def import_key(self, account: str, *, of_google: dict[str, str] | None = None) -> str:
        """Import a key that a provider handed out as a file, and return its id.

        Args:
            account: Whose it becomes.
            of_google: What else is in the file of a service account; else it is PEM, as GitHub's.
        """
        downloaded = rsa.generate_private_key(65537, 2048)
        forms = (
            (Encoding.DER, PrivateFormat.PKCS8),
            (Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
        )
        der, pem = (downloaded.private_bytes(*form, NoEncryption()) for form in forms)
        self.imported += [der, b"".join(base64.b64decode(line) for line in pem.splitlines()[1:-1])]
        text = pem.decode()
        if of_google is not None:
            text = json.dumps({"type": "service_account", "private_key": text, **of_google})
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(text)
            file.flush()
            self._run("key", "import", account, "--pem", file.name, "--prefix", PREFIX)
        return self._id_of(account, PREFIX)

    def _run(self, *words: str) -> None:
        """Run the command line as an operator's shell would."""
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "token_refresher_cli", *words],
            cwd=ROOT,
            env={
                **self.stack.clean_environment(),
                **self.aws.cloud.environment(),
                "PYTHONPATH": os.pathsep.join(("functions", "cli")),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    def _id_of(self, account: str, prefix: str) -> str:
        found = self.kms.describe_key(KeyId=alias_of(prefix, account))
        return str(found["KeyMetadata"]["KeyId"])

    def public_key(self, key_id: str) -> RSAKey:
        """What a person pastes at the provider."""
        return public_key(self.kms.get_public_key(KeyId=key_id)["PublicKey"])

    def issuer_keys(self) -> KeySet:
        """What a server finds where the issuer says."""
        found = urllib3.request("GET", f"{self.issuer}/.well-known/jwks.json").json()
        return KeySet.import_key_set(found)

    def role(self) -> str:
        """The function's role, of whom all of the account's identity tokens are."""
        name = self.stack.resources()["FunctionRole"]
        arn: str = self.aws.cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"]
        return arn

    def put(self, account: str, credentials: dict[str, Any], *, prefix: str = PREFIX) -> None:
        """Put an account's credentials."""
        secret_id, text = f"{prefix}/credentials/{account}", json.dumps(credentials)
        self.aws.secrets.create_secret(Name=secret_id, SecretString=text)

    def credentials(self, account: str) -> str:
        """What was put."""
        secret_id = f"{PREFIX}/credentials/{account}"
        return self.aws.secrets.get_secret_value(SecretId=secret_id)["SecretString"]

    def refresh(self, account: str) -> dict[str, Any]:
        """Have the function replace an account's token, and return what it tells."""
        (result,) = self.stack.invoke({"accounts": [account], "force": True})["accounts"]
        found: dict[str, Any] = result
        return found

    def token(self, account: str) -> dict[str, Any]:
        """What consumers read."""
        secret = self.aws.secrets.get_secret_value(SecretId=f"{PREFIX}/tokens/{account}")
        found: dict[str, Any] = json.loads(secret["SecretString"])
        return found


def okta(signing: Signing, account: str, *, prefix: str = PREFIX) -> None:
    """A service app: private_key_jwt for the client credentials grant, by a key of a JWKS."""
    url = signing.server.url(path := f"/{account}/oauth2/default/v1/token")
    key = signing.public_key(signing.create_key(account, prefix=prefix))
    client_id = f"0oa-invented-{account}"
    signing.server.clients[path] = SignedClient(
        key=key,
        header={"kid": key.thumbprint()},
        claims={"iss": client_id, "sub": client_id, "aud": url},
        form={
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_assertion_type": BY_JWT,
            "scope": "okta.users.read",
        },
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": "client_credentials",
            "client_id": client_id,
            "token_endpoint_auth_method": "private_key_jwt",
            "scope": "okta.users.read",
            "assertion": {"kid": key.thumbprint()},
        },
        prefix=prefix,
    )


def google(signing: Signing, account: str) -> None:
    """A service account: the grant itself is an assertion, by a key that Google handed out."""
    url = signing.server.url(path := f"/{account}/token")
    email, scope = f"{account}@invented.iam.example.com", "https://www.example.com/auth/cloud"
    file = {"client_email": email, "private_key_id": "invented-private-key-id"}
    key = signing.public_key(signing.import_key(account, of_google=file))
    signing.server.clients[path] = SignedClient(
        key=key,
        header={"kid": "invented-private-key-id"},
        claims={"iss": email, "aud": url, "scope": scope},
        form={"grant_type": JWT_BEARER},
        at="assertion",
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": JWT_BEARER,
            "client_id": email,
            "assertion": {"kid": "invented-private-key-id", "claims": {"scope": scope}},
        },
    )


def github(signing: Signing, account: str) -> None:
    """An installation of a GitHub App: the assertion stands in a header, and JSON is sent."""
    url = signing.server.url(path := f"/{account}/app/installations/4711/access_tokens")
    key = signing.public_key(signing.import_key(account))
    signing.server.clients[path] = SignedClient(
        key=key,
        claims={"iss": "invented-app-id"},
        content=(asked_for := {"permissions": {"contents": "read"}}),
        at="Authorization",
        response=asked_for,
        tells_end="expires_at",
        token="token",
        status=201,
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "client_id": "invented-app-id",
            "token_endpoint_auth_method": "none",
            "grant_parameters": asked_for,
            "request_headers": {"Authorization": "Bearer {assertion}"},
            "assertion": {"claims": {"sub": None, "aud": None}},
            "dialect": {
                "request_format": "json",
                "access_token": "token",
                "expires_at": "expires_at",
            },
        },
    )


def salesforce(signing: Signing, account: str) -> None:
    """A connected app's JWT bearer flow: of a user, for the login host, without an expiry."""
    url = signing.server.url(path := f"/{account}/services/oauth2/token")
    key = signing.public_key(signing.create_key(account))
    claims = {"iss": "3MVG9-invented", "sub": "user@example.com", "aud": "https://login.example"}
    signing.server.clients[path] = SignedClient(
        key=key,
        claims=claims,
        form={"grant_type": JWT_BEARER},
        at="assertion",
        response={"instance_url": "https://invented.example.com"},
        tells_end="",
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": JWT_BEARER,
            "client_id": claims["iss"],
            "assertion": {"audience": claims["aud"], "claims": {"sub": claims["sub"]}},
            "assumed_expires_in": 7200,
            "publish": {"fields": ["instance_url"]},
        },
    )


def entra(signing: Signing, account: str) -> None:
    """An app registration with a certificate: PS256, known by the certificate's thumbprint."""
    url = signing.server.url(path := f"/{account}/oauth2/v2.0/token")
    key = signing.public_key(signing.create_key(account, alg="PS256"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(b"invented").digest()).decode().rstrip("=")
    signing.server.clients[path] = SignedClient(
        key=key,
        alg="PS256",
        header={"x5t#S256": thumbprint},
        claims={"iss": "invented-app", "sub": "invented-app", "aud": url},
        form={
            "grant_type": "client_credentials",
            "client_id": "invented-app",
            "client_assertion_type": BY_JWT,
            "scope": "https://graph.example.com/.default",
        },
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": "client_credentials",
            "client_id": "invented-app",
            "token_endpoint_auth_method": "private_key_jwt",
            "scope": "https://graph.example.com/.default",
            "assertion": {"alg": "PS256", "x5t#S256": thumbprint},
        },
    )


def adp(signing: Signing, account: str, authority: trustme.CA) -> None:
    """A client that shows a certificate, and its secret besides."""
    url = signing.certified.url(path := f"/{account}/token")
    issued = authority.issue_cert(common_name=account)
    private_key = issued.private_key_pem.bytes().decode()
    signing.private_keys[account] = private_key
    secret = f"invented-secret-of-{account}"
    signing.certified.clients[path] = (account, secret)
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": "client_credentials",
            "client_id": account,
            "client_secret": secret,
            "certificate": "".join(each.bytes().decode() for each in issued.cert_chain_pems),
            "private_key": private_key,
        },
    )


def entra_without_a_key(signing: Signing, account: str) -> None:
    """An app registration with a federated credential: AWS says who asks."""
    url = signing.server.url(path := f"/{account}/oauth2/v2.0/token")
    signing.server.clients[path] = SignedClient(
        key=signing.issuer_keys(),
        claims={"iss": signing.issuer, "sub": signing.role(), "aud": OF_ENTRA},
        account=account,
        form={
            "grant_type": "client_credentials",
            "client_id": "invented-app",
            "client_assertion_type": BY_JWT,
        },
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": "client_credentials",
            "client_id": "invented-app",
            "token_endpoint_auth_method": "private_key_jwt",
            "assertion": {"signer": "sts", "audience": OF_ENTRA},
        },
    )


def google_without_a_key(signing: Signing, account: str) -> None:
    """Workload identity federation: AWS's token is exchanged (RFC 8693)."""
    url = signing.server.url(path := f"/{account}/v1/token")
    parameters = {
        "audience": OF_GOOGLE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    signing.server.clients[path] = SignedClient(
        key=signing.issuer_keys(),
        alg="ES384",
        claims={"iss": signing.issuer, "sub": signing.role(), "aud": OF_GOOGLE},
        account=account,
        form={"grant_type": TOKEN_EXCHANGE, **parameters},
        at="subject_token",
    )
    signing.put(
        account,
        {
            "token_endpoint": url,
            "grant_type": TOKEN_EXCHANGE,
            "token_endpoint_auth_method": "none",
            "grant_parameters": {**parameters, "subject_token": "{assertion}"},
            "assertion": {"signer": "sts", "audience": OF_GOOGLE, "alg": "ES384"},
        },
    )


SIGNERS: Final = {
    "okta": okta,
    "google": google,
    "github": github,
    "salesforce": salesforce,
    "entra": entra,
    "entra-without-a-key": entra_without_a_key,
    "google-without-a-key": google_without_a_key,
}
