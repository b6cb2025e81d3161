"""The deployed function's schedule: what it sees is what is on record."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.unit.signer import no_signer
from token_refresher.aws.secret_store import Pace, SecretsManagerStore
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.refresh import Refresher
from token_refresher.settings import Settings
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from token_refresher.aws.signing import Signer
    from token_refresher.sweep import Report


@dataclass(frozen=True, slots=True)
class Schedule:
    """Sweeps when a test says so, with the trust store and the settings of the function.

    Attributes:
        hosts: What it allows besides the server's host.
        signer: What signs for accounts.
    """

    secrets: SecretsManagerClient
    server: AuthorizationServer
    authority: Authority
    clock: Callable[[], datetime]
    hosts: list[str] = field(default_factory=list)
    signer: Callable[[], Signer] = no_signer

    def sweep(self) -> Report:
        """Refresh every account that is due."""
        settings = Settings()
        monotonic = lambda: self.clock().timestamp()  # noqa: E731
        endpoint = TokenEndpoint(
            hosts=AllowedHosts([self.server.host, *self.hosts]),
            authorities=self.authority.client_context,
            clock=self.clock,
            monotonic=monotonic,
            connections=1,
            signer=self.signer,
        )
        report = Sweeper(
            Refresher(
                store=SecretsManagerStore(
                    self.secrets,
                    prefix=settings.secret_prefix,
                    kms_key_id="",
                    pace=Pace(monotonic=monotonic, sleep=lambda _: None),
                ),
                endpoint=endpoint,
                clock=self.clock,
                pause=lambda _: None,
                refresh_before=settings.refresh_before,
                schedule=settings.schedule,
                uses_refresh_tokens=True,
            ),
            monotonic=monotonic,
            max_workers=1,
        ).sweep(time_left=lambda: timedelta(minutes=4))
        endpoint.drop_connections()
        return report
