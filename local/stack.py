"""Deploys the real stack to the embedded cloud with the commands that operators use.

IAM is enforced there, the schedule is real, and so is the time.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import urllib3
from botocore.config import Config

from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.consumer import Consumer
from local.embedded_cloud import OWNER, ROOT, Credentials, EmbeddedCloud, function_python

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from mypy_boto3_secretsmanager import SecretsManagerClient

ARCHITECTURES: Final = {"aarch64": "arm64", "arm64": "arm64"}
MAKE_WITHIN_SECONDS: Final = 900  # which a machine that hangs alone takes

# What tells one make of another, or an AWS tool of an account, stays out.
NOT_HANDED_ON: Final = ("AWS_", "MAKE", "MFLAGS", "SAM_", "PYTHONPATH", "TOKEN_REFRESHER_")


class StackError(RuntimeError):
    """A command of the project failed; what it printed is the message."""


def utc_now() -> datetime:
    """Return the moment: these tokens live by the real clock."""
    return datetime.now(UTC)


class LocalAws:
    """An embedded cloud that enforces IAM, with an authorization server that functions trust.

    Both run as long as the ``with`` block.
    """

    def __init__(self, *, port: int | None = None, drives_time: bool = False) -> None:
        self._port = port
        self._drives_time = drives_time
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start them."""
        with ExitStack() as stack:
            self._authority = stack.enter_context(Authority())
            self.server = stack.enter_context(AuthorizationServer(self._authority, utc_now))
            self.cloud = stack.enter_context(
                EmbeddedCloud(
                    enforces_iam=True,
                    function_environment={"SSL_CERT_FILE": self.certificate_file},
                    port=self._port,
                    drives_time=self._drives_time,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, whatever happened."""
        self._stack.close()

    @property
    def certificate_file(self) -> str:
        """Where the authority's certificate is, for whatever calls the server besides functions."""
        return str(self._authority.certificate_file)

    @property
    def secrets(self) -> SecretsManagerClient:
        """Secrets Manager, for the operator."""
        return self.cloud.client()

    def trust(self) -> dict[str, str]:
        """Return the variable by which a process believes the server, as functions here do."""
        return {"SSL_CERT_FILE": str(self._authority.certificate_file)}

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return what another server on loopback needs to be trusted like the one that is here.

        Args:
            names: The names it is trusted as; loopback's if none is given.
        """
        return self._authority.server_context(*names)

    def parameters(self) -> dict[str, str]:
        """Tell what a stack needs to work here: the server's host, this machine's processor."""
        return {
            "AllowedTokenHosts": self.server.host,
            "Architecture": ARCHITECTURES.get(platform.machine(), "x86_64"),
        }

    def consumer(self, credentials: Credentials = OWNER, *, prefix: str = "oauth") -> Consumer:
        """Return a workload with the permissions of a role."""
        http = urllib3.PoolManager(ssl_context=self._authority.client_context(), maxsize=1)
        secrets = self.cloud.client(credentials=credentials)
        return Consumer(secrets, http, self.server.resource_url, prefix)

    def assumable_role(self, name: str, *policy_arns: str, **policies: object) -> Credentials:
        """Create a role for somebody in this account, and return credentials of it.

        Args:
            name: The role's.
            policy_arns: Managed policies to attach.
            policies: Documents of inline policies, by name.
        """
        iam = self.cloud.client("iam")
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        document = {"Version": "2012-10-17", "Statement": [trust]}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
        for arn in policy_arns:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        for policy, statements in policies.items():
            text = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=text)
        return self.cloud.assume(role["Role"]["Arn"])


@dataclass(slots=True)
class Stack:
    """The stack, as an operator handles it.

    Args:
        aws: Where it is deployed.
        parameters: Besides those that make it work here.
        name: The function's stack.
    """

    aws: LocalAws
    parameters: Mapping[str, str]
    name: str = "token-refresher"

    def settings(self) -> dict[str, str]:
        """Return the variables by which an operator's shell reaches this AWS and this stack."""
        parameters = {**self.aws.parameters(), **self.parameters}
        return {
            **self.aws.cloud.environment(),
            # Also where a command names PARAMETERS.
            "ARCHITECTURE": parameters.pop("Architecture"),
            "DEFAULT_PARAMETERS": " ".join(f"{name}={value}" for name, value in parameters.items()),
            "SAM_CLI_POLL_DELAY": "0.5",
            "STACK": self.name,
            "TARGET_PYTHON": function_python().version,
        }

    def environment(self) -> dict[str, str]:
        """Return all that such a shell holds."""
        return {**self.clean_environment(), **self.settings()}

    @staticmethod
    def clean_environment() -> dict[str, str]:
        """Return this process's environment, less what speaks of another AWS or another make."""
        return {
            name: value for name, value in os.environ.items() if not name.startswith(NOT_HANDED_ON)
        }

    def make(self, *arguments: str) -> str:
        """Run one of the project's commands, and return what it printed.

        Raises:
            StackError: It failed.
        """
        done = subprocess.run(  # noqa: S603
            ["make", *arguments],  # noqa: S607
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=MAKE_WITHIN_SECONDS,
        )
        if done.returncode != 0:
            raise StackError(f"make {' '.join(arguments)} failed:\n{done.stdout}")
        return done.stdout

    def invoke(self, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Invoke the function and wait for its response; an error is one with ``errorMessage``."""
        # An invocation may last as long as the function's timeout, and is not made twice.
        config = Config(read_timeout=300, retries={"total_max_attempts": 1})
        client = self.aws.cloud.client("lambda", config=config)
        answer = client.invoke(FunctionName=self.name, Payload=json.dumps(event or {}))
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        return told

    def output(self, key: str, *, stack: str = "") -> str:
        """Return one of a stack's outputs."""
        client = self.aws.cloud.client("cloudformation")
        (found,) = client.describe_stacks(StackName=self.name + stack)["Stacks"]
        value: str = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}[key]
        return value

    def resources(self, *, stack: str = "") -> dict[str, str]:
        """Return the physical names of a stack's resources."""
        client = self.aws.cloud.client("cloudformation")
        found = client.describe_stack_resources(StackName=self.name + stack)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def put_credentials(
        self, account: str, *, version_id: str | None = None, **credentials: str
    ) -> None:
        """Put an account's credentials, as the server of this AWS knows its client.

        Args:
            account: Its name.
            version_id: Theirs; a random one unless told otherwise.
            credentials: What they say besides.
        """
        own = {
            "token_endpoint": self.aws.server.token_endpoint,
            "client_id": account,
            "client_secret": f"secret-of-{account}",
        }
        text = json.dumps({**own, **credentials})
        secret_id, token = f"oauth/credentials/{account}", version_id or str(uuid4())
        try:
            self.aws.secrets.put_secret_value(
                SecretId=secret_id, SecretString=text, ClientRequestToken=token
            )
        except self.aws.secrets.exceptions.ResourceNotFoundException:
            self.aws.secrets.create_secret(
                Name=secret_id, SecretString=text, ClientRequestToken=token
            )

    def register(self, account: str, **how: Any) -> None:  # noqa: ANN401
        """Make the server know an account's client."""
        self.aws.server.register_client(account, secret=f"secret-of-{account}", **how)

    def issued_long_ago(self, account: str, *, left: timedelta, credentials_version: str) -> None:
        """Publish a token that was issued by the function, and has so much of 12 hours left.

        Args:
            account: Whose.
            left: Of its life.
            credentials_version: By which it was requested. They are put afterwards, or a tick would
                publish another one before.
        """
        # Imported here, so that `local` can be used without the program on its path.
        from token_refresher.model import TokenVersion, digest12  # noqa: PLC0415

        secrets = self.aws.secrets
        expires_at = utc_now() + left
        version = TokenVersion(
            issued_at=expires_at - timedelta(hours=12),
            expires_at=expires_at,
            credentials_digest=digest12(credentials_version),
            token_digest="0" * 12,
        )
        old = {"access_token": "nearly-over", "token_type": "Bearer"}
        secrets.create_secret(
            Name=f"oauth/tokens/{account}",
            SecretString=json.dumps(old),
            ClientRequestToken=str(version),
        )
