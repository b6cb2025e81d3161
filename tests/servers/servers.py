"""Authorization servers that strangers have written.

Each is a process of its own, configured and otherwise as it comes. Only its clock is driven: every
request brings the time along, so that a grace of a minute is over after a minute of the trial.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.clock import DrivenClock

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
PACKAGES: Final = ROOT / ".node-servers" / "node_modules"
PYTHON: Final = ROOT / ".venv-servers" / "bin" / "python"
SECRET: Final = "made-up-secret"
LIFETIME: Final = 7200


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server in one configuration.

    Attributes:
        package: Whose server it is.
        variant: How it is configured, where it is there more than once.
        command: Starts it; a directory of its own is the last argument.
        token: The path of its token endpoint.
        introspection: Likewise, RFC 7662.
        revocation: Likewise, RFC 7009.
        primary_grant: What the client ``machine`` may ask by.
        grace: For how many seconds a refresh token that is spent is answered as before.
        keeps_one_token: Whether it ends the access token when the refresh token is redeemed.
        version: The package's, by the project's pins.
        missing: What this machine lacks to run it.
    """

    package: str
    variant: str = ""
    command: tuple[str, ...]
    token: str
    introspection: str
    revocation: str
    primary_grant: Mapping[str, str]
    version: str
    grace: int = 0
    keeps_one_token: bool = False
    missing: str = ""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.package}, {self.variant}" if self.variant else self.package

    @property
    def rotates_for_machines(self) -> bool:
        """Whether the primary grant's responses bring a refresh token."""
        return self.primary_grant["grant_type"] == "password"


def pinned_in(file: str, pattern: str) -> str:
    [version] = re.findall(pattern, (ROOT / file).read_text("utf-8"))
    return str(version)


def _toolkit(variant: str, *, grace: int, **settings: object) -> Kind:
    oauth = {
        "ACCESS_TOKEN_EXPIRE_SECONDS": LIFETIME,
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": grace,
        **settings,
    }
    return Kind(
        package="django-oauth-toolkit",
        variant=variant,
        command=(str(PYTHON), str(HERE / "django_toolkit.py"), SECRET, json.dumps(oauth)),
        token="/token/",
        introspection="/introspect/",
        revocation="/revoke_token/",
        primary_grant={"grant_type": "password", "username": "dealer", "password": SECRET},
        version=pinned_in("requirements/servers.txt", r"django-oauth-toolkit==(\S+)"),
        grace=grace,
        keeps_one_token=True,
    )


KINDS: Final = (
    Kind(
        package="oidc-provider",
        command=(
            "node",
            str(HERE / "oidc_provider.mjs"),
            str(PACKAGES),
            SECRET,
            str(LIFETIME),
            "[]",
        ),
        token="/token",
        introspection="/token/introspection",
        revocation="/token/revocation",
        primary_grant={"grant_type": "client_credentials"},
        version=pinned_in("tests/servers/package.json", r'"oidc-provider": "(.+)"'),
        missing="" if shutil.which("node") and PACKAGES.is_dir() else "npm",
    ),
    _toolkit("60 s of grace", grace=60),
    _toolkit("reuse protection", grace=0, REFRESH_TOKEN_REUSE_PROTECTION=True),
)


class ServerError(RuntimeError):
    """A server did not start, or refused what a trial asked of it."""


@dataclass
class Server:
    """A server that runs, as a trial deals with it: directly, past everything else.

    Attributes:
        client_id: The client that asks; ``person`` and ``machine`` are registered.
    """

    kind: Kind
    clock: DrivenClock
    port: int
    client_id: str = "person"

    def __post_init__(self) -> None:
        self._http = urllib3.HTTPConnectionPool("127.0.0.1", self.port, maxsize=8)

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Pass a request on, with the time."""
        now = str(int(self.clock.now().timestamp()))
        headers = {**headers, "X-Now": now}
        return self._http.urlopen(
            method, path, headers=headers, body=body, retries=False, redirect=False
        )

    def initial_refresh_token(self) -> str:
        """Return what a person's consent brings, by way of the server's own code exchange."""
        code = json.loads(self.forward("GET", "/consent", {}).data)
        response = self.ask(self.kind.token, {"grant_type": "authorization_code", **code})
        return str(response["refresh_token"])

    def is_active(self, access_token: str) -> bool:
        """Whether the server holds an access token for valid now."""
        return bool(self.ask(self.kind.introspection, {"token": access_token})["active"])

    def revoke(self, token: str) -> None:
        """Revoke a refresh token, as a person does."""
        self.ask(self.kind.revocation, {"token": token})

    def ask(self, path: str, fields: Mapping[str, str]) -> Any:  # noqa: ANN401
        """Send a form as the client, and return what the response says."""
        headers = {
            **urllib3.make_headers(basic_auth=f"{self.client_id}:{SECRET}"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        response = self.forward("POST", path, headers, urlencode(fields).encode())
        if response.status != HTTPStatus.OK:
            raise ServerError(f"{self.kind.name} refused {path} with status {response.status}")
        return json.loads(response.data or b"null")


@contextlib.contextmanager
def running(kind: Kind, clock: DrivenClock) -> Iterator[Server]:
    """Run a server as long as the block; it also ends when this process is killed.

    Raises:
        ServerError: It did not start; the message has what it printed.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(  # noqa: S603
            [*kind.command, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            printed.seek(0)
            raise ServerError(f"{kind.name} did not start. It printed:\n{printed.read()}")
        try:
            yield Server(kind, clock, int(port))
        finally:
            process.stdin.close()
