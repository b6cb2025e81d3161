"""What `doctor` looks at, read when a step first asks for it, and once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from token_refresher.parsing import parse_credentials
from token_refresher_cli.accounts import in_order, status_of
from token_refresher_cli.deployment import Aws, Configuration, Deployment, Schedule
from token_refresher_cli.problems import RefusedError, about

if TYPE_CHECKING:
    from datetime import datetime

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher.ports import SecretMetadata, SecretValue
    from token_refresher.records import FailureRecord
    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.secrets_manager import SecretFacts


class Patient:
    """An account and the deployment that serves it; or the deployment alone.

    Whatever is read raises `RefusedError` or `SecretStoreError` where AWS refuses. Nothing here
    writes, and no token endpoint is sent a request.

    Args:
        connection: Where.
        name: The account's; empty for the deployment alone.

    Attributes:
        deployment: None where no stack is named.
    """

    def __init__(self, connection: Connection, name: str = "") -> None:
        self.connection = connection
        self.name = name
        self.target = connection.target
        self.now: datetime = connection.now()
        self.aws = Aws()
        stack = self.target.stack
        self.deployment = Deployment(stack, self.aws) if stack else None

    # The account

    @cached_property
    def credentials_secret(self) -> SecretMetadata | None:
        """The credentials secret as it is now."""
        with about(self.target.credentials_id(self.name)):
            return self.connection.store.describe_credentials(self.name)

    @cached_property
    def token_secret(self) -> SecretMetadata | None:
        """The token secret as it is now."""
        with about(self.target.token_id(self.name)):
            return self.connection.store.describe_token(self.name)

    @cached_property
    def account(self) -> Account:
        """Both together, as a sweep sees them."""
        return self.connection.account(self.name, self.credentials_secret, self.token_secret)

    @cached_property
    def status(self) -> AccountStatus:
        """What state the account is in."""
        return self._status(self.account)

    @property
    def failure(self) -> FailureRecord | None:
        """What the function has recorded of these credentials since their last success."""
        failure = self.account.counting_failure
        return failure if failure is not None and failure.failures else None

    @property
    def has_token_of_these(self) -> bool:
        """Whether the published token was obtained with these credentials."""
        published = self.account.published
        digest = published.credentials_digest if published else None
        return digest == self.account.credentials_digest

    @cached_property
    def value(self) -> SecretValue | None:
        """What is stored as credentials. Secret."""
        with about(self.target.credentials_id(self.name)):
            return self.connection.store.read_credentials(self.name)

    @cached_property
    def credentials(self) -> Credentials:
        """The same, as the program understands it.

        Raises:
            CredentialsError: It does not validate.
        """
        return parse_credentials(self.value.text if self.value else None)

    def facts(self, secret_id: str) -> SecretFacts:
        """What a description tells of a secret that no sweep asks for."""
        return self.connection.people.describe(secret_id)

    # The deployment

    @property
    def stack(self) -> Deployment:
        """The deployment, in a step that is taken only where there is one."""
        assert self.deployment is not None  # noqa: S101 - such steps need a stack
        return self.deployment

    @cached_property
    def configuration(self) -> Configuration:
        """How the function stands."""
        return self.stack.configuration()

    @cached_property
    def schedule(self) -> Schedule:
        """What starts the sweeps."""
        return self.stack.schedule()

    @cached_property
    def has_triggers(self) -> bool | None:
        """Whether new credentials are served between two sweeps; None where nobody can tell."""
        try:
            return self.stack.parameters().get("Triggers") == "true" if self.deployment else None
        except RefusedError:
            return None

    @cached_property
    def last_sweep(self) -> datetime | None:
        """When a sweep was last completed."""
        return self.stack.last_sweep(now=self.now)

    @property
    def scheduled_since(self) -> datetime | None:
        """Since when the schedule stands as it does; None where that may not be seen."""
        try:
            return self.schedule.since
        except RefusedError:
            return None

    @cached_property
    def statuses(self) -> list[AccountStatus]:
        """The state of every account, from metadata that may be five minutes old."""
        return in_order(map(self._status, self.connection.listed()))

    def _status(self, account: Account) -> AccountStatus:
        settings = self.connection.settings
        return status_of(
            account,
            now=self.now,
            refresh_before=settings.refresh_before,
            schedule=settings.schedule,
        )

    # Commands

    def log(self) -> str:
        """Write the command that shows the function's log; of the account, if there is one."""
        words = ["logs", "tail", f"/aws/lambda/{self.target.stack}", "--since", "1d"]
        if self.name:
            words += ["--filter-pattern", f'{{ $.account = "{self.name}" }}']
        return self.target.aws(*words)
