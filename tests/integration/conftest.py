"""The function, wired to the embedded cloud and the authorization server."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO, cast

import boto3
import pytest
from botocore.config import Config

from local.authorization_server import RFC_6749
from local.function import Context
from local.secrets_manager.versions import MOST_VERSIONS
from token_refresher.handler import wired
from token_refresher.settings import settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud
    from token_refresher.handler import Handler

SECRET = "MARK-client-secret"
PASSWORD = {"grant_type": "password", "username": "u@example.com", "password": "MARK-password"}
PARTNER = {"grant_type": "partner", "partner_code": "code", "partner_secret": "MARK-partner"}
MACHINE = {"grant_type": "client_credentials"}


@dataclass(slots=True)
class Deployed:
    """The function and the world around it."""

    environment: dict[str, str]
    secrets: SecretsManagerClient
    server: AuthorizationServer
    clock: DrivenClock
    monkeypatch: pytest.MonkeyPatch
    calls: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    stale: dict[str, Any] = field(default_factory=dict)
    is_stale: bool = False
    _handler: Handler | None = None

    def onboard(self, name: str, grant: dict[str, Any], **registration: Any) -> None:  # noqa: ANN401
        """Register a client at the server, and create its credentials secret."""
        users = {"u@example.com": "MARK-password"} if grant["grant_type"] == "password" else None
        partners = {"code": "MARK-partner"} if grant["grant_type"] == "partner" else None
        registration = {"users": users, "partners": partners, **registration}
        self.server.register_client(name, secret=SECRET, **registration)
        self.store(name, grant)

    def onboard_refresh_only(self, name: str, **registration: Any) -> None:  # noqa: ANN401
        self.server.register_client(
            name, secret=SECRET, grants=["refresh_token"], dialect=RFC_6749, **registration
        )
        initial = self.server.issue_initial_refresh_token(name)
        self.store(name, {"grant_type": "refresh_token", "refresh_token": initial})

    def store(self, name: str, fields: dict[str, Any]) -> None:
        """Write an account's credentials, as a person would."""
        client = {"client_id": name, "client_secret": SECRET}
        text = json.dumps({"token_endpoint": self.server.token_endpoint, **client, **fields})
        self.put(name, text)

    def put(self, name: str, text: str) -> None:
        secret_id = f"oauth/credentials/{name}"
        try:
            self.secrets.create_secret(Name=secret_id, SecretString=text)
        except self.secrets.exceptions.ResourceExistsException:
            self.secrets.put_secret_value(SecretId=secret_id, SecretString=text)

    def handler(self, **settings: str) -> Handler:
        """Start the function, with other settings if some are given."""
        for name, value in settings.items():
            self.monkeypatch.setenv(name, value)
        boto3.setup_default_session()
        session: Any = boto3.DEFAULT_SESSION
        session.events.register("before-call.secretsmanager", self._before)
        session.events.register("after-call.secretsmanager.ListSecrets", self._after_list)
        session.events.register("before-call.events.PutEvents", self._before_put)
        self._handler = wired(settings_from_environment(), clock=self.clock.now)
        for output in logging.getLogger(settings_from_environment().service).handlers:
            # A logger lives as long as the process; what it prints belongs to this test.
            cast("logging.StreamHandler[TextIO]", output).stream = sys.stdout
        return self._handler

    def _before(self, model: Any, **_: object) -> None:  # noqa: ANN401
        self.calls.append(model.name)

    def _before_put(self, params: dict[str, Any], **_: object) -> None:
        """Keep what is put on the event bus, as it goes over the wire."""
        self.events += json.loads(params["body"])["Entries"]

    def _after_list(self, parsed: dict[str, Any], context: Any, **_: object) -> None:  # noqa: ANN401
        """Answer with an older page where the listing lags."""
        del context
        names = [secret["Name"].split("/")[1] for secret in parsed["SecretList"]]
        path = names[0] if names else ""
        if self.is_stale and path in self.stale:
            parsed["SecretList"] = self.stale[path]
        elif path:
            self.stale[path] = parsed["SecretList"]

    def sweep(self, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Invoke the function; ``calls`` holds the AWS calls of this invocation alone."""
        handler = self._handler or self.handler()
        self.calls.clear()
        return handler(event or {}, Context())

    def counted(self) -> Counter[str]:
        return Counter(self.calls)

    def token(self, name: str) -> dict[str, Any]:
        value = self.secrets.get_secret_value(SecretId=f"oauth/tokens/{name}")
        token: dict[str, Any] = json.loads(value["SecretString"])
        return token


def fill(cloud: EmbeddedCloud, secret_id: str) -> None:
    """Write as a script does in a loop: what it finds, under a stage of its own, until refused."""
    # Standard retries take the limit for throttling, and wait.
    secrets = cloud.client(config=Config(retries={"total_max_attempts": 1}))
    text = secrets.get_secret_value(SecretId=secret_id)["SecretString"]
    taken = 0
    with suppress(secrets.exceptions.LimitExceededException):
        while taken < MOST_VERSIONS:
            secrets.put_secret_value(
                SecretId=secret_id, SecretString=text, VersionStages=["SCRIPT"]
            )
            taken += 1
    assert taken < MOST_VERSIONS


@pytest.fixture
def deployed(
    cloud: EmbeddedCloud,
    authority: Authority,
    authorization_server: AuthorizationServer,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployed]:
    environment = {
        **cloud.environment(),
        "SSL_CERT_FILE": str(authority.certificate_file),
        "ALLOWED_TOKEN_HOSTS": authorization_server.host,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield Deployed(environment, cloud.client(), authorization_server, clock, monkeypatch)
    # The calls were watched through the default session; the next test has its own.
    boto3.setup_default_session()
