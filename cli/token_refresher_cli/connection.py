"""Wires the program's own parts to the AWS account that the options and the environment name."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from msgspec import structs

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.aws.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.aws.signing import Signer
from token_refresher.credentials import require_refresh_tokens
from token_refresher.errors import CredentialsError, OutOfTimeError, SecretStoreError
from token_refresher.model import (
    account_from_metadata,
    accounts_from_listing,
    without_refresh_tokens,
)
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.certificates import (
    CertificatesError,
    authorities_of,
    public_authorities,
)
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.parsing import parse_credentials
from token_refresher.refresh import Refresher
from token_refresher.settings import settings_from_environment, tags_of
from token_refresher.sweep import Sweeper
from token_refresher_cli.client_certificate import require_in_force
from token_refresher_cli.deployed_function import DeployedFunction
from token_refresher_cli.deployment import Aws, Deployment
from token_refresher_cli.discovery import DiscoveryError, discover
from token_refresher_cli.fields import FormError
from token_refresher_cli.machine import finish, without_interruption
from token_refresher_cli.problems import (
    OF_CERTIFICATES,
    ProblemError,
    RefusedError,
    about,
    doubt,
    fix_for,
    sentence,
)
from token_refresher_cli.proof import (
    OF_UNKNOWN_KEYS,
    fix_of,
    issued_for,
    signing_key,
    stack_trouble,
)
from token_refresher_cli.secrets_manager import PeoplesCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from token_refresher.announcing import NotPut
    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.ports import SecretMetadata
    from token_refresher.redeem import Connection as OpenConnection
    from token_refresher.sweep import Report
    from token_refresher_cli.discovery import Discovered
    from token_refresher_cli.machine import Machine
    from token_refresher_cli.problems import Problem
    from token_refresher_cli.proof import SignedBy
    from token_refresher_cli.target import Target

# Nothing cuts a command off, so every refresh has all the time that it may take; but it must
# run out, or a journal that cannot be written would be tried for ever.
_TIME_LEFT: Final = timedelta(hours=1)
# Half of what a Region allows: the function writes there, too, and what it could not write in time
# may be a refresh token.
_PEOPLES_WRITES_PER_SECOND: Final = 24
# As CloudFormation allows it.
_STACK: Final = r"[A-Za-z][A-Za-z0-9-]{0,127}"


class _WatchedEndpoint:
    """A token endpoint whose requests can be counted, and that begins none once interrupted."""

    def __init__(
        self, endpoint: TokenEndpoint, asked: Callable[[], None], interrupted: threading.Event
    ) -> None:
        self._endpoint = endpoint
        self._asked = asked
        self._interrupted = interrupted

    def admit(self, client: Client) -> None:
        """Pass it on; every refresh asks this before it leases or sends anything.

        Raises:
            OutOfTimeError: Somebody has interrupted the command.
        """
        if self._interrupted.is_set():
            raise OutOfTimeError("interrupted before it began")
        self._endpoint.admit(client)

    @contextmanager
    def connect(self, client: Client) -> Iterator[OpenConnection]:
        """Pass it on, and tell when what it was opened for is over."""
        try:
            with self._endpoint.connect(client) as connection:
                yield connection
        finally:
            self._asked()

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        """Pass it on, and tell when it is over."""
        try:
            return self._endpoint.request(client, grant)
        finally:
            self._asked()

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Pass it on."""
        return self._endpoint.verify(client, access_token)


def _is_there(account: Account) -> bool:
    """Whether an account has a secret that is not to be deleted."""
    is_kept = account.token is not None and not account.token.is_deleted
    return account.has_credentials_secret or is_kept


class Connection:
    """One AWS account, one Region, one prefix.

    The settings are those of the target's stack if it names one, else of the environment; its
    prefix wins over both.

    Raises:
        SettingsError: A setting is out of bounds; its name is in the message.
    """

    def __init__(self, target: Target, machine: Machine) -> None:
        boto3.setup_default_session(profile_name=target.profile, region_name=target.region)
        if not getattr(boto3.DEFAULT_SESSION, "region_name", None):
            raise NoRegionError
        if target.prefix == "":
            raise ProblemError("--prefix is empty.", "Leave it out, or give --stack.")
        if target.stack and not re.fullmatch(_STACK, target.stack):
            # An ARN would lead to the settings of another account's function.
            raise ProblemError("That is no name of a stack.", "--stack takes a name, and no ARN.")
        self.function = DeployedFunction(target) if target.stack else None
        variables: Mapping[str, str] = machine.environment
        if self.function is not None:
            variables = self.function.variables()
        self.settings = settings_from_environment(variables)
        prefix = target.prefix or self.settings.secret_prefix
        # Whether the function of the stack looks after these accounts.
        self.is_remote_possible = bool(target.stack) and prefix == self.settings.secret_prefix
        if target.prefix:
            self.settings = settings_from_environment({**variables, "SECRET_PREFIX": prefix})
        self._machine = machine
        client = create_client(max_workers=self.settings.max_workers, user_agent=PRODUCT_USER_AGENT)
        self.target = replace(target, secret_prefix=prefix, aws_region=client.meta.region_name)
        self._endpoint_url = client.meta.endpoint_url
        pace = partial(
            Pace,
            monotonic=machine.monotonic,
            sleep=lambda seconds: machine.pause(timedelta(seconds=seconds)),
        )
        self.store = SecretsManagerStore(
            client,
            prefix=prefix,
            kms_key_id=self.settings.token_secret_kms_key_id,
            pace=pace(),
            tags=self.settings.resource_tags,
        )
        self._signer = Signer(
            prefix=prefix,
            connections=self.settings.max_workers,
            user_agent=PRODUCT_USER_AGENT,
        )
        self.people = PeoplesCalls(
            client, prefix=prefix, pace=pace(per_second=_PEOPLES_WRITES_PER_SECOND)
        )

    def place(self) -> dict[str, str | None]:
        """Tell where this is, so that an empty list can be told from a wrong place.

        Returns:
            The AWS account's id, None where AWS does not tell; the Region, the prefix, the
            stack; the endpoint where it is not AWS's own; and the configuration file, where any
            of this comes from it.
        """
        limits = Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1})
        make: Any = boto3.client
        try:
            account = make("sts", config=limits).get_caller_identity()["Account"]
        except (BotoCoreError, ClientError):
            account = None
        return {
            "aws_account": account,
            "region": self.target.aws_region,
            "prefix": self.target.secret_prefix,
            "stack": self.target.stack,
            "endpoint": None if ".amazonaws." in self._endpoint_url else self._endpoint_url,
            "config_file": self.target.config_file,
        }

    def tags(self, given: Iterable[str] | None) -> dict[str, str]:
        """Tell the tags of what is created: those of the settings, and those that were given."""
        return dict(self.settings.resource_tags) | dict(tags_of(",".join(given or ())))

    def now(self) -> datetime:
        """Tell the time, aware."""
        return self._machine.clock()

    def endpoint(self, make: Callable[..., TokenEndpoint] = TokenEndpoint) -> TokenEndpoint:
        """Make what sends token requests, to the hosts that the settings allow."""
        return make(
            hosts=AllowedHosts(
                self.settings.allowed_token_hosts,
                is_proxied=self.settings.token_endpoint_proxy is not None,
                stack=self.target.stack,
                region=self.target.aws_region or "",
                architecture=self.function.architecture if self.function else "",
            ),
            authorities=partial(public_authorities, self.settings.additional_ca_certificates),
            clock=self._machine.clock,
            monotonic=self._machine.monotonic,
            connections=self.settings.max_workers,
            signer=lambda: self._signer,
            proxy=self.settings.token_endpoint_proxy,
        )

    def discover(self, issuer: str, known: Mapping[str, object]) -> Discovered:
        """Find a token endpoint by its issuer, on the way that token requests take.

        Args:
            issuer: As the server writes it.
            known: Fields that go with it; its `ca_certificates` count here already.

        Raises:
            DiscoveryError: There is none to be found.
            ProblemError: Nor could there be, as this machine is.
        """
        own = known.get("ca_certificates")
        try:
            context = (
                authorities_of(own)
                if isinstance(own, str)
                else public_authorities(self.settings.additional_ca_certificates)
            )
        except CertificatesError:
            raise DiscoveryError(
                "`ca_certificates` holds no certificates in PEM, or something else besides",
                fix="give them with --ca-certificates",
            ) from None
        try:
            return discover(
                issuer,
                ssl_context=context,
                monotonic=self._machine.monotonic,
                proxy=self.settings.token_endpoint_proxy,
            )
        except DiscoveryError as error:
            if own and error.code == "unknown_authority":
                raise DiscoveryError(
                    str(error),
                    fix="`ca_certificates` alone counts: give the one that vouches for it with "
                    "--ca-certificates",
                ) from None
            trust = "" if own else self.trust_problem(error.code)
            if trust:
                raise ProblemError(sentence(str(error)), sentence(trust)) from None
            raise

    def doubt(self, code: str, account: str = "") -> str:
        """Say what a failure may tell of this machine instead of the account; empty if nothing.

        Args:
            code: The failure's.
            account: The one to say all of, where both are as likely.
        """
        if said := self.trust_problem(code):
            return said
        said = doubt(code, self.target)
        if account and code == "unknown_authority":
            said += f". Else: {self.fix_for(code, account)}"
        return said

    def trust_problem(self, code: str) -> str:
        """Say why this machine can believe no certificate, where a failure may come from that."""
        return self._machine.trust_problem() if code in OF_CERTIFICATES else ""

    def admit(self, credentials: Credentials, account: str) -> None:
        """Check that a refresh with these credentials would ask for a token.

        Raises:
            CredentialsError: They need refresh tokens, which the settings ignore; no key can have
                the name of an account that signs; or their certificate has expired.
            TokenEndpointError: A host that ALLOWED_TOKEN_HOSTS does not name, or certificates that
                are none.
        """
        self.admission()(credentials, account)

    def admission(self) -> Callable[[Credentials, str], None]:
        """Make what `admit` does once for many: the authorities to believe are read once."""
        uses, endpoint = self.settings.uses_refresh_tokens, self.endpoint()

        def admit(credentials: Credentials, account: str) -> None:
            require_refresh_tokens(credentials, uses_refresh_tokens=uses)
            self.signing_key(credentials, account)
            endpoint.admit(credentials.client)
            require_in_force(credentials, now=self.now())

        return admit

    def signing_key(self, credentials: Credentials, account: str) -> SignedBy | None:
        """Tell the KMS key that signs for an account; None where none does.

        Raises:
            CredentialsError: No key can have the account's name.
        """
        return signing_key(credentials, account, prefix=self.target.secret_prefix)

    def stack_trouble(self, credentials: Credentials, account: str) -> Problem | None:
        """Say why the stack does not let its function sign for an account.

        None where it does, nothing is signed, or nobody can tell.

        Raises:
            CredentialsError: No key can have the account's name.
        """
        is_signed = self.signing_key(credentials, account) or issued_for(credentials)
        parameters = self._parameters if is_signed and self.is_remote_possible else None
        if parameters is None:
            return None
        return stack_trouble(parameters, credentials, account, self.target)

    @cached_property
    def _parameters(self) -> Mapping[str, str] | None:
        """What the stack was deployed with; None where that may not be seen."""
        try:
            return Deployment(self.target.stack or "", Aws()).parameters()
        except RefusedError:
            return None

    def fix_for(self, code: str, account: str) -> str:
        """Say what a person does about an account's failure; its credentials may tell more."""
        if code in OF_UNKNOWN_KEYS:
            with suppress(CredentialsError, SecretStoreError):
                value = self.store.read_credentials(account)
                credentials = parse_credentials(value.text if value is not None else None)
                return fix_of(code, credentials, account, self.target)
        return fix_for(code, account, self.target)

    def sweep(
        self,
        accounts: Collection[str] = (),
        *,
        force: bool = False,
        dry_run: bool = False,
        asked: Callable[[], None] = lambda: None,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> Report:
        """Do what the function does in a sweep, but for recording failures.

        Ctrl-C does not cut off what has begun: between a refresh token's redeeming and its
        journaling the only valid one would be lost.

        Args:
            accounts: Only these.
            force: Refresh them whether or not they are due.
            dry_run: Change nothing.
            asked: Called, from any thread, when a token endpoint has answered or failed.
            on_interrupt: Called at Ctrl-C, before the refreshes that have begun are waited for.
        """
        interrupted = threading.Event()
        begun = self._machine.monotonic()
        sweeper = Sweeper(
            Refresher(
                store=self.store,
                endpoint=_WatchedEndpoint(self.endpoint(), asked, interrupted),
                clock=self._machine.clock,
                pause=self._machine.pause,
                refresh_before=self.settings.refresh_before,
                schedule=self.settings.schedule,
                uses_refresh_tokens=self.settings.uses_refresh_tokens,
                records_failures=False,
            ),
            monotonic=self._machine.monotonic,
            max_workers=self.settings.max_workers,
        )

        def time_left() -> timedelta:
            return _TIME_LEFT - timedelta(seconds=self._machine.monotonic() - begun)

        def sweep() -> Report:
            return sweeper.sweep(
                time_left=time_left, accounts=accounts, force=force, dry_run=dry_run
            )

        if dry_run:
            return sweep()

        def interrupt() -> None:
            interrupted.set()
            on_interrupt()

        with without_interruption() as is_pressed, ThreadPoolExecutor(1) as pool:
            running = pool.submit(sweep)
            finish([running], is_pressed, on_interrupt=interrupt)
            return running.result()

    def announce(self, report: Report) -> NotPut | None:
        """Put the events of a sweep that was made here, where the settings want any.

        Returns:
            What could not be put; None where nothing was left.
        """
        if not self.settings.puts_events:
            return None
        from token_refresher.announcing import CONNECTIONS, SOURCE, Announcer  # noqa: PLC0415
        from token_refresher.aws import event_bus  # noqa: PLC0415

        def connect() -> event_bus.EventBus:
            agent = PRODUCT_USER_AGENT
            client = event_bus.create_client(connections=CONNECTIONS, user_agent=agent)
            return event_bus.EventBus(client, source=SOURCE)

        # The function's settings do not tell its Region; whoever reads an event is told it.
        settings = structs.replace(self.settings, region=self.target.aws_region or "")
        return Announcer(settings, connect).announce(report, time_left=lambda: _TIME_LEFT)

    def listed(self) -> list[Account]:
        """List all accounts; nothing is read but metadata, which may be five minutes old.

        One whose token secret alone is to be deleted needs action, so that is listed, too.
        """
        secrets = self.store.list_secrets(with_deleted=True)
        found = accounts_from_listing(*secrets, now=self.now())
        return [self._as_set(account) for account in found if _is_there(account)]

    def described(self, names: Iterable[str]) -> list[Account]:
        """Describe accounts as they are now, those too that a listing leaves out.

        Raises:
            ProblemError: There is no account of such a name.
        """
        found = []
        for name in names:
            with about(self.target.credentials_id(name)):
                credentials = self.store.describe_credentials(name)
            with about(self.target.token_id(name)):
                token = self.store.describe_token(name)
            account = self.account(name, credentials, token)
            if not _is_there(account):
                raise self.unknown(name)
            found.append(account)
        return found

    def account(
        self, name: str, credentials: SecretMetadata | None, token: SecretMetadata | None
    ) -> Account:
        """Put an account's two secrets together, as a sweep does."""
        now = self.now()
        found = account_from_metadata(name, credentials=credentials, token=token, now=now)
        return self._as_set(found)

    def _as_set(self, account: Account) -> Account:
        return account if self.settings.uses_refresh_tokens else without_refresh_tokens(account)

    def unknown(self, name: str) -> ProblemError:
        """Say that there is no such account, or that it is removed; and which names come near."""
        if self._is_removed(name):
            return ProblemError(
                f"{name} is removed: its secrets are to be deleted.",
                f"To bring it back: {self.target.command('restore', name)}",
            )
        try:
            credentials, tokens = self.store.list_secrets()
        except SecretStoreError:
            # It is but a courtesy; whoever may not list is told the rest all the same.
            near: list[str] = []
        else:
            near = get_close_matches(name, sorted({**credentials, **tokens}))
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        return ProblemError(
            f"There is no account {name} under {self.target.secret_prefix}/ in "
            f"{self.target.aws_region}.{meant}",
            "" if near else f"Those that there are: {self.target.command('status')}",
        )

    def _is_removed(self, name: str) -> bool:
        try:
            found = self.store.describe_credentials(name) or self.store.describe_token(name)
        except SecretStoreError:
            # But a courtesy, too.
            return False
        return found is not None and found.is_deleted

    def require_name(self, name: str) -> None:
        """Refuse a secret's name for that of a new account, which is what follows its path.

        Raises:
            FormError: It tells the right name.
        """
        if (right := self.target.account_of(name)) != name:
            path = name.removesuffix(right)
            raise FormError(f"an account's name is what follows {path}: here it is {right}")

    def require(self, name: str) -> None:
        """Check that an account has at least one of its secrets.

        Raises:
            ProblemError: It has neither.
        """
        with about(f"{self.target.credentials_id(name)} and {self.target.token_id(name)}"):
            found = self.store.describe_credentials(name) or self.store.describe_token(name)
        if found is None:
            raise self.unknown(name)
