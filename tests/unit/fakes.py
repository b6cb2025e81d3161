"""Doubles of what a refresh talks to: Secrets Manager, token endpoints, the time.

They know the rules that correctness rests on (versions, stages and leases; families of refresh
tokens), and they can go wrong before or after any call.
"""

from __future__ import annotations

import base64
import copy
import json
import math
import threading
from collections import Counter
from collections.abc import MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from local.secrets_manager.client import MemoryClient
from local.secrets_manager.memory import Secret, SecretsManager
from local.secrets_manager.refusals import RefusalError
from token_refresher.aws.secret_store import Pace, SecretsManagerStore
from token_refresher.errors import SecretStoreError, SigningError
from token_refresher.model import account_from_metadata, digest12
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
)
from token_refresher.oauth.signatures import is_old, made
from token_refresher.oauth.token_response import TokenResponse
from token_refresher.ports import (
    CURRENT,
    JOURNAL_STAGE,
    LEASE_STAGE,
    PENDING,
    SecretMetadata,
    is_lease_id,
)
from token_refresher.refresh import Refresher
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from token_refresher.model import Account
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.outcomes import Result
    from token_refresher.sweep import Report

START = datetime(2026, 11, 24, 1, tzinfo=UTC)
TICK = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
TWELVE_HOURS = timedelta(hours=12)
REFRESH_BEFORE = timedelta(minutes=90)
# When a twelve-hour token that was just published becomes due.
UNTIL_DUE = TWELVE_HOURS - REFRESH_BEFORE
INVOCATION = timedelta(seconds=240)

ACCOUNT = "dealer-17"
CLIENT: Mapping[str, Any] = {
    "provider": "autovit.ro",
    "client_id": "123",
    "client_secret": "made-up-client-secret",
}
PASSWORD: Mapping[str, Any] = {
    **CLIENT,
    "grant_type": "password",
    "username": "dealer@example.com",
    "password": "made-up-password",
}
PARTNER: Mapping[str, Any] = {
    **CLIENT,
    "grant_type": "partner",
    "partner_code": "partner-name",
    "partner_secret": "made-up-partner-secret",
}
# Proves itself by what KMS signs; with any grant.
SIGNS: Mapping[str, Any] = {
    "provider": None,
    "token_endpoint": "https://id.example/token",
    "token_endpoint_auth_method": "private_key_jwt",
    "client_secret": None,
}
CLIENT_CREDENTIALS: Mapping[str, Any] = {**CLIENT, "grant_type": "client_credentials"}
# Of no provider, so that nobody documents how long its tokens live.
ANY_SERVER: Mapping[str, Any] = {"provider": None, "token_endpoint": "https://www.autovit.ro/token"}


class RunKilledError(BaseException):
    """The environment is gone: no `except Exception` sees it, and nothing is tidied up."""


class Faults:
    """Lets a chosen call fail, before it had an effect or after.

    Every call passes two points, one on each side of its effect.

    Attributes:
        points: What was passed, such as ``before publish``, in order.
    """

    def __init__(self) -> None:
        self.points: list[str] = []
        self._at: dict[int, Callable[[str], BaseException | None]] = {}
        self._named: dict[str, list[BaseException]] = {}
        self._always: dict[str, Callable[[], BaseException]] = {}
        self._meanwhile: dict[str, list[Callable[[], object]]] = {}

    def reset(self) -> None:
        """Count from here, with nothing planned."""
        self.points.clear()
        self._at.clear()

    def plan(self, number: int, fault: Callable[[str], BaseException | None]) -> None:
        """Ask ``fault`` for what goes wrong at the point of this number; None is nothing."""
        self._at[number] = fault

    def once(self, point: str, *errors: BaseException) -> None:
        """Raise these the next times that a point is passed, one at a time."""
        self._named.setdefault(point, []).extend(errors)

    def always(self, point: str, make: Callable[[], BaseException]) -> None:
        """Raise whenever a point is passed."""
        self._always[point] = make

    def meanwhile(self, point: str, act: Callable[[], object]) -> None:
        """Let something happen the next time that a point is passed."""
        self._meanwhile.setdefault(point, []).append(act)

    def fix(self) -> None:
        """Let nothing fail any more."""
        self._always.clear()
        self._named.clear()

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Pass the points before and after a call's effect."""
        self._pass(f"before {call}")
        yield
        self._pass(f"after {call}")

    def _pass(self, point: str) -> None:
        number = len(self.points)
        self.points.append(point)
        if self._meanwhile.get(point):
            self._meanwhile[point].pop(0)()
        planned = self._at.get(number)
        error = planned(point) if planned else None
        if error is None and self._named.get(point):
            error = self._named[point].pop(0)
        if error is None and point in self._always:
            error = self._always[point]()
        if error is not None:
            raise error


PREFIX = "oauth"
# By operation, path and stage: one call of the store each.
_CALLS = {
    ("DescribeSecret", "credentials", ""): "describe credentials",
    ("DescribeSecret", "tokens", ""): "describe",
    ("GetSecretValue", "credentials", ""): "read lease",
    ("GetSecretValue", "credentials", CURRENT): "read credentials",
    ("GetSecretValue", "credentials", JOURNAL_STAGE): "read journal",
    ("GetSecretValue", "tokens", CURRENT): "read published",
    ("GetSecretValue", "tokens", PENDING): "read staged",
    ("PutSecretValue", "credentials", LEASE_STAGE): "lease",
    ("PutSecretValue", "credentials", JOURNAL_STAGE): "journal",
    ("PutSecretValue", "tokens", CURRENT): "publish",
    ("PutSecretValue", "tokens", PENDING): "stage",
    ("UpdateSecretVersionStage", "tokens", CURRENT): "publish staged",
    ("UpdateSecretVersionStage", "tokens", PENDING): "unstage",
    ("CreateSecret", "tokens", ""): "create",
    ("ReplicateSecretToRegions", "tokens", ""): "replicate",
    ("TagResource", "tokens", ""): "tag",
    ("UntagResource", "tokens", ""): "untag",
}


class Accounts(MutableMapping[str, Secret]):
    """The secrets under one path, by account."""

    def __init__(self, secrets: dict[str, Secret], path: str) -> None:
        self._secrets = secrets
        self._path = path

    def __getitem__(self, account: str) -> Secret:
        return self._secrets[self._path + account]

    def __setitem__(self, account: str, secret: Secret) -> None:
        self._secrets[self._path + account] = secret

    def __delitem__(self, account: str) -> None:
        del self._secrets[self._path + account]

    def __iter__(self) -> Iterator[str]:
        names = list(self._secrets)
        return (each.removeprefix(self._path) for each in names if each.startswith(self._path))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def metadata_of(secret: Secret) -> SecretMetadata:
    """What a description tells."""
    return SecretMetadata(dict(secret.stages), dict(secret.tags), secret.is_deleted)


class MemoryStore(SecretsManagerStore):
    """The program's own store over Secrets Manager in memory, where any call may fail.

    Attributes:
        credentials: Credentials secrets by account.
        tokens: Token secrets by account.
        calls: The calls that were made, in order; a listing is one.
        faults: What goes wrong, and where.
    """

    def __init__(self, faults: Faults, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._manager = SecretsManager(self._seconds)
        super().__init__(
            cast("SecretsManagerClient", MemoryClient(self._answer)),
            prefix=PREFIX,
            kms_key_id="",
            pace=Pace(monotonic=lambda: 0.0, sleep=lambda _: None, per_second=math.inf),
        )
        self.credentials = Accounts(self._manager.secrets, f"{PREFIX}/credentials/")
        self.tokens = Accounts(self._manager.secrets, f"{PREFIX}/tokens/")
        self.calls: list[str] = []
        self.faults = faults
        self._puts = 0
        self._stale: dict[str, SecretsManager] = {}
        self._old_credentials: dict[str, SecretMetadata] = {}
        self._listing: tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]] | None = None

    def _seconds(self) -> float:
        return self._clock().timestamp()

    def snapshot(self) -> dict[str, Secret]:
        """Copy what is there now."""
        return copy.deepcopy(self._manager.secrets)

    def put_back(self, secrets: dict[str, Secret]) -> None:
        """Put secrets where they were copied from, and nothing else."""
        self._manager.secrets.clear()
        self._manager.secrets.update(copy.deepcopy(secrets))

    def tell(self, call: str, secrets: dict[str, Secret]) -> None:
        """Answer the next call of this name from what was there when the snapshot was made."""
        self._stale[call] = SecretsManager(self._seconds)
        self._stale[call].secrets = secrets

    def freeze_listing(self) -> None:
        """List what is there now from here on, whatever is written."""
        self._listing = self._list_both()

    def freeze_listing_of_credentials(self) -> None:
        """Let the listing lag behind the credentials alone."""
        self._old_credentials, _ = self._list_both()

    def thaw_listing(self) -> None:
        """List what is there at the moment of each call."""
        self._listing = None

    def put_credentials(self, account: str, content: Mapping[str, Any] | str | bytes) -> None:
        """Write credentials as a person does."""
        secret = self.credentials.setdefault(account, Secret())
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        self._puts += 1
        version_id = f"terraform-{self._puts:022}"
        secret.put(version_id, text, [CURRENT], now=self._seconds())

    def list_secrets(
        self,
        *,
        with_deleted: bool = False,  # noqa: ARG002 - the command line alone asks so
    ) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        self.calls.append("list")
        with self.faults.around("list"):
            credentials, tokens = self._listing or self._list_both()
            return credentials | self._old_credentials, dict(tokens)

    def _list_both(self) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        """List at once, without pages and threads: many sweeps see nothing else."""
        credentials, tokens = (
            {name: metadata_of(secret) for name, secret in path.items() if not secret.is_deleted}
            for path in (self.credentials, self.tokens)
        )
        return credentials, tokens

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        name: str = asked["Name"] if operation == "CreateSecret" else asked["SecretId"]
        path = name.split("/", 2)[1]
        stage = asked.get("VersionStage") or "".join(asked.get("VersionStages", ()))
        call = _CALLS[operation, path, stage]
        self.calls.append(call)
        answer: dict[str, Any] | RefusalError
        with self.faults.around(call):
            try:
                answer = self._stale.pop(call, self._manager).answer(operation, asked)
            except RefusalError as refusal:
                # As much a response as any other: what comes after it may fail, too.
                answer = refusal
        if isinstance(answer, RefusalError):
            raise answer
        return answer


class RefreshMode(Enum):
    """What becomes of a refresh token that is redeemed."""

    ROTATES = "a new one is issued, the old one is spent"
    KEEPS = "it stays, and the response does not name it"
    OMITS_AND_DELETES = "it is deleted, and the response has no other"
    REFUSES = "unsupported_grant_type"


@dataclass
class RefreshToken:
    """A refresh token, as its server remembers it."""

    family: int
    is_spent: bool = False
    spent_at: datetime = START


@dataclass(frozen=True)
class AfterRedeeming:
    """An answer in the endpoint's place, after it has done what it was asked."""

    error: Exception


# What a server sends, read by the client that asked: its dialect decides what it is.
Reading: TypeAlias = "Callable[[Client], TokenResponse]"


class FakeTokenEndpoint:
    """A token endpoint with families of refresh tokens; a spent one that comes back ends its own.

    One with a grace answers as before where it comes back soon.

    Attributes:
        requests: The grants that were sent, and to which host.
        requested_at: When each of them was.
        askers: Whose each of them was, and with which grant.
        mode: What becomes of a redeemed refresh token.
        issues_refresh_tokens: Whether the accounts' primary grants are answered with one.
        lifetime: Of the access tokens; None where the response does not say.
        refresh_token_lifetime: Likewise of the refresh tokens.
        scope: As in the response.
        redeemed: How often each refresh token was accepted.
        grace: For how long a refresh token that was spent is taken again.
        revokes_access_tokens: Whether a family's end is its access tokens' end, too.
        revoked: The families that ended because a spent refresh token came back.
        spent_came_back: How often a refresh token was sent after it was spent.
        verdict: What ``verify_url`` says.
        verified: The access tokens that were sent there.
        allowed_hosts: Where credentials may go, besides the hosts of providers.
        signed_for: Whose key signed, once for each assertion.
        assertions: How often each assertion arrived; a second time it is refused, and an expired
            one at once.
        assertions_refused: How many were.
    """

    def __init__(self, clock: Callable[[], datetime], faults: Faults) -> None:
        self.requests: list[dict[str, str]] = []
        self.requested_at: list[datetime] = []
        self.askers: list[tuple[Client, Grant]] = []
        self.mode = RefreshMode.ROTATES
        self.issues_refresh_tokens = True
        self.lifetime: timedelta | None = TWELVE_HOURS
        self.refresh_token_lifetime: timedelta | None = None
        self.scope: str | None = "adverts-write read"
        self.redeemed: Counter[str] = Counter()
        self.grace = timedelta(0)
        self.revokes_access_tokens = True
        self.revoked: set[int] = set()
        self.spent_came_back = 0
        self.verdict: bool | None = True
        self.verified: list[str] = []
        self.allowed_hosts: set[str] = set()
        self.signed_for: list[str] = []
        self.assertions: Counter[str] = Counter()
        self.assertions_refused = 0
        self._clock = clock
        self._faults = faults
        self._lock = threading.RLock()
        self._answers: list[Exception | AfterRedeeming | TokenResponse | Reading] = []
        self._outages: dict[str, Callable[[], Exception | AfterRedeeming]] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, tuple[int, datetime]] = {}
        self._families = 0
        self._issued = 0

    def seed(self) -> str:
        """Issue a refresh token as an authorization elsewhere would have done."""
        self._families += 1
        return self._new_refresh_token(self._families)

    def forget(self, refresh_token: str) -> None:
        """Let a refresh token be dead without anybody having used it."""
        del self._refresh_tokens[refresh_token]

    def answer(self, *answers: Exception | AfterRedeeming | TokenResponse | Reading) -> None:
        """Answer the next requests with these, one at a time; mostly nothing is redeemed."""
        self._answers.extend(answers)

    def fail(
        self,
        make: Callable[[], Exception | AfterRedeeming] | None,
        *,
        host: str = "",
        grant_type: str = "",
    ) -> None:
        """Answer every request like this, or those of one host or grant; None ends it."""
        key = host or grant_type
        if make is None:
            self._outages.pop(key, None)
        else:
            self._outages[key] = make

    @property
    def time(self) -> datetime:
        """What its clock says."""
        return self._clock()

    def accepts(self, access_token: str) -> bool:
        """Whether a resource would take this access token now."""
        family, expires_at = self._access_tokens.get(access_token, (0, START))
        is_revoked = self.revokes_access_tokens and family in self.revoked
        return self._clock() < expires_at and not is_revoked

    def drop_connections(self) -> None:
        """There are none."""

    def admit(self, client: Client) -> None:
        AllowedHosts(sorted(self.allowed_hosts)).require(client)

    @contextmanager
    def connect(self, client: Client) -> Iterator[FakeConnection]:
        self.admit(client)
        with self._faults.around("connect"):
            answer = self._answers[0] if self._answers else self._outage("", client.host)
            if isinstance(answer, OAuthError) and not answer.sent:
                del self._answers[:1]
                raise answer
        signed_at = self._clock()
        yield FakeConnection(self, client, self.signed(client), signed_at)

    def signed(self, client: Client) -> Client:
        """Have the client's assertion signed; the program's own composes it."""
        if not client.signs:
            return client
        with self._faults.around("sign"):
            assertion = made(client, _Stamp(self.signed_for), now=self._clock())
        return msgspec.structs.replace(client, assertion=assertion)

    def _require_fresh(self, client: Client) -> None:
        """Refuse an assertion that has ended, or was seen before (RFC 7523 section 3)."""
        if not isinstance(client.assertion, str) or not client.assertion.endswith(_STAMP):
            return
        claims = client.assertion.split(".")[1]
        exp = json.loads(base64.urlsafe_b64decode(f"{claims}=="))["exp"]
        with self._lock:
            self.assertions[client.assertion] += 1
            is_replay = self.assertions[client.assertion] > 1
        if is_replay or self._clock().timestamp() >= exp:
            self.assertions_refused += 1
            raise TokenRequestError("invalid_client", status=401)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        self.admit(client)
        client = self.signed(client)
        self._require_fresh(client)
        parameters = {name: str(value) for name, value in grant.parameters.items()}
        self.requests.append({**parameters, "host": client.host})
        self.requested_at.append(self._clock())
        self.askers.append((client, grant))
        with self._faults.around("request"), self._lock:
            if self._answers and callable(read := self._answers[0]):
                del self._answers[0]
                return read(client)
            return self._answered(client.host, parameters)

    def _answered(self, host: str, grant: Mapping[str, str]) -> TokenResponse:
        if self._answers:
            answer = self._answers.pop(0)
        else:
            answer = self._outage("", host, grant.get("grant_type", "")) or self._granted(grant)
        if isinstance(answer, AfterRedeeming):
            with suppress(TokenRequestError):
                self._granted(grant)
            answer = answer.error
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, TokenResponse), "`request` has read what is to be read"
        return answer

    def _outage(self, *keys: str) -> Exception | AfterRedeeming | None:
        return next((self._outages[key]() for key in keys if key in self._outages), None)

    def _granted(self, grant: Mapping[str, str]) -> TokenResponse:
        if "refresh_token" in grant:
            return self._redeem(grant["refresh_token"])
        self._families += 1
        refresh_token = self._new_refresh_token(self._families)
        return self._token(self._families, refresh_token if self.issues_refresh_tokens else None)

    def _redeem(self, value: str) -> TokenResponse:
        if self.mode is RefreshMode.REFUSES:
            raise TokenRequestError("unsupported_grant_type")
        token = self._refresh_tokens.get(value)
        if token is not None and token.is_spent and self._clock() - token.spent_at >= self.grace:
            self.spent_came_back += 1
            self.revoked.add(token.family)
        if token is None or token.family in self.revoked:
            raise TokenRequestError("invalid_grant")
        self.redeemed[value] += 1
        if self.mode is RefreshMode.ROTATES:
            if not token.is_spent:
                token.is_spent, token.spent_at = True, self._clock()
            return self._token(token.family, self._new_refresh_token(token.family))
        if self.mode is RefreshMode.OMITS_AND_DELETES:
            del self._refresh_tokens[value]
        return self._token(token.family, None)

    def _new_refresh_token(self, family: int) -> str:
        self._issued += 1
        value = f"refresh-token-{self._issued}"
        self._refresh_tokens[value] = RefreshToken(family)
        return value

    def _token(self, family: int, refresh_token: str | None) -> TokenResponse:
        value = f"access-token-{len(self._access_tokens) + 1}"
        lives = self.lifetime or TWELVE_HOURS
        self._access_tokens[value] = (family, self._clock() + lives)
        return TokenResponse(
            access_token=value,
            token_type="bearer",
            expires_in=self.lifetime,
            scope=self.scope,
            refresh_token=refresh_token,
            refresh_token_expires_in=self.refresh_token_lifetime,
        )

    def verify(self, client: Client, access_token: str) -> bool | None:
        assert client.verify_url is not None
        self.admit(client)
        with self._faults.around("verify"), self._lock:
            self.verified.append(access_token)
            return self.verdict


# Where a signature would be.
_STAMP = "bWFkZS11cC1zaWduYXR1cmU"


@dataclass(frozen=True)
class _Stamp:
    """Signs for everybody, so that nobody's key need be made.

    Attributes:
        signed_for: Whose key it would have been.
    """

    signed_for: list[str]

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        assert alg
        assert message
        self.signed_for.append(key)
        return base64.b64decode(f"{_STAMP}=")

    def identity_token(self, key: str, *, audience: str, alg: str) -> str:
        return f"{key}.{audience}.{alg}"


@dataclass(frozen=True)
class FakeConnection:
    """A connection that is open, as the program's own: an assertion that is old is made again."""

    endpoint: FakeTokenEndpoint
    client: Client
    sender: Client
    signed_at: datetime

    def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
        sender, now = self.sender, self.endpoint.time
        if self.client.signs and is_old(self.client, made_at=self.signed_at, now=now):
            sender = self.endpoint.signed(self.client)
        before_sending()
        return self.endpoint.request(sender, grant)


class World:
    """A program, its surroundings, and the time that passes between sweeps.

    Attributes:
        now: The moment.
        skew: How far ahead the program's clock is.
        invocation: How long each invocation may take.
        latest: The report of the last sweep.
    """

    def __init__(self, *, max_workers: int = 4, uses_refresh_tokens: bool = True) -> None:
        self.now = START
        self.skew = timedelta(0)
        self.invocation = INVOCATION
        self.faults = Faults()
        self.store = MemoryStore(self.faults, lambda: self.now)
        self.endpoint = FakeTokenEndpoint(lambda: self.now, self.faults)
        self.max_workers = max_workers
        self.uses_refresh_tokens = uses_refresh_tokens
        self.pauses: list[timedelta] = []
        self.start_environment()

    def beside(self) -> World:
        """Another run of the same deployment, at the same moment."""
        other = World(max_workers=1)
        other.now, other.store, other.endpoint = self.now, self.store, self.endpoint
        other.start_environment()
        return other

    def start_environment(self) -> None:
        """Begin again with what is stored and nothing that is remembered: a cold start."""
        self.sweeper = Sweeper(
            Refresher(
                store=self.store,
                endpoint=self.endpoint,
                clock=lambda: self.now + self.skew,
                pause=self.pause,
                refresh_before=REFRESH_BEFORE,
                schedule=TICK,
                uses_refresh_tokens=self.uses_refresh_tokens,
            ),
            monotonic=self.seconds,
            max_workers=self.max_workers,
        )

    def seconds(self) -> float:
        """The time, for latencies."""
        return self.now.timestamp()

    def pause(self, duration: timedelta) -> None:
        """Wait: time passes, and nothing else."""
        self.pauses.append(duration)
        self.now += duration

    def add(
        self, credentials: Mapping[str, Any], account: str = ACCOUNT, /, **more: object
    ) -> None:
        """Onboard an account, or change its credentials."""
        self.store.put_credentials(account, {**credentials, **more})

    def add_refresh_only(self, account: str = ACCOUNT, /, **more: object) -> str:
        """Onboard an account that has nothing but an initial refresh token, and return it."""
        seed = self.endpoint.seed()
        self.add({**CLIENT, "grant_type": "refresh_token", "refresh_token": seed}, account, **more)
        return seed

    def sweep(
        self,
        *,
        after: timedelta = timedelta(0),
        accounts: Collection[str] = (),
        force: bool = False,
        rejected_version: str = "",
        stage_as: str = "",
        dry_run: bool = False,
    ) -> Report:
        """Let time pass, and sweep. What was called before is forgotten."""
        self.now += after
        self.store.calls.clear()
        self.endpoint.requests.clear()
        self.endpoint.requested_at.clear()
        self.endpoint.askers.clear()
        ends_at = self.now + self.invocation
        return self.sweeper.sweep(
            time_left=lambda: ends_at - self.now,
            accounts=accounts,
            force=force,
            rejected_version=rejected_version,
            stage_as=stage_as,
            dry_run=dry_run,
        )

    def refresh(
        self, account: str = ACCOUNT, *, after: timedelta = timedelta(0), force: bool = False
    ) -> Result:
        """Sweep, and return what came of one account that was not simply fresh."""
        accounts = [account] if force else []
        report = self.sweep(after=after, accounts=accounts, force=force)
        return next(result for result in report.results if result.account.name == account)

    def reject(self, version_id: str, *, after: timedelta = timedelta(0)) -> Result | None:
        """Hand in a token that a consumer saw refused; None where it is not looked at."""
        report = self.sweep(after=after, accounts=[ACCOUNT], rejected_version=version_id)
        return report.results[0] if report.results else None

    def sweep_for(self, duration: timedelta) -> None:
        """Sweep at every tick."""
        ends_at = self.now + duration
        while self.now < ends_at:
            self.sweep(after=TICK)

    @property
    def calls(self) -> list[str]:
        """What the last sweep called, but for the listing."""
        return [call for call in self.store.calls if call != "list"]

    @property
    def grants(self) -> list[str]:
        """The grant types that the last sweep sent."""
        return [request["grant_type"] for request in self.endpoint.requests]

    def token(self, account: str = ACCOUNT) -> dict[str, Any] | None:
        """What consumers read."""
        secret = self.store.tokens.get(account)
        text = secret.versions[secret.stages[CURRENT]] if secret and secret.stages else None
        return json.loads(text) if text else None

    def access_token(self, account: str = ACCOUNT) -> str:
        """The published access token; empty where there is none."""
        token = self.token(account)
        return token["access_token"] if token else ""

    def version_id(self, account: str = ACCOUNT) -> str:
        """The published token's version id."""
        return self.store.tokens[account].stages[CURRENT]

    def tags(self, account: str = ACCOUNT) -> dict[str, str]:
        """The token secret's tags, without the prefix that they share."""
        secret = self.store.tokens.get(account, Secret())
        return {key.removeprefix("token-refresher:"): tag for key, tag in secret.tags.items()}

    def journal(self, account: str = ACCOUNT) -> dict[str, Any] | None:
        """The journaled response."""
        secret = self.store.credentials[account]
        text = secret.versions.get(secret.stages.get(JOURNAL_STAGE, ""))
        return json.loads(text) if text else None

    def journal_id(self, account: str = ACCOUNT) -> str:
        """The journaled response's version id."""
        return self.store.credentials[account].stages[JOURNAL_STAGE]

    def leases(self, account: str = ACCOUNT) -> dict[str, dict[str, Any]]:
        """What each lease says of itself, by version id, in order."""
        versions = self.store.credentials[account].versions.items()
        return {each: json.loads(text) for each, text in versions if text and is_lease_id(each)}

    def lease_id(self, account: str = ACCOUNT) -> str:
        """The last lease's version id; empty where there was none."""
        return self.store.credentials[account].stages.get(LEASE_STAGE, "")

    def account(self, name: str = ACCOUNT) -> Account:
        """The account, as a listing without lag tells it."""
        return account_from_metadata(
            name,
            credentials=metadata_of(self.store.credentials[name]),
            token=metadata_of(self.store.tokens[name]) if name in self.store.tokens else None,
            now=self.now,
        )

    def credentials_digest(self, account: str = ACCOUNT) -> str:
        """The digest of the current credentials version, as version ids and tags hold it."""
        return digest12(self.store.credentials[account].stages[CURRENT])


def due_again(world: World, credentials: Mapping[str, object] = PASSWORD, **more: object) -> World:
    """An account that has refreshed once, when its token is due again."""
    world.add(credentials, **more)
    world.sweep()
    world.now += UNTIL_DUE
    return world


def no_connection() -> EndpointUnavailableError:
    """Nothing left."""
    return EndpointUnavailableError("refused", code="no_connection", sent=False)


def lost_connection() -> EndpointUnavailableError:
    """The request left, and nobody knows what became of it."""
    return EndpointUnavailableError("reset", code="connection_lost")


def timed_out() -> EndpointUnavailableError:
    """The request left, and no response came in time."""
    return EndpointUnavailableError("silence", code="timeout")


def unavailable() -> EndpointUnavailableError:
    """503: perhaps from a gateway, after the refresh token was spent."""
    return EndpointUnavailableError("503", code="status_503", status=503)


def broken() -> EndpointUnavailableError:
    """500: perhaps after the refresh token was spent."""
    return EndpointUnavailableError("500", code="status_500", status=500)


def too_many_requests() -> EndpointUnavailableError:
    """429, which speaks for an address where three accounts meet it."""
    return EndpointUnavailableError("429", code="status_429", status=429)


def firewall() -> EndpointUnavailableError:
    """403 with a page instead of JSON."""
    return EndpointUnavailableError("page", code="firewall", status=403)


def forbidden() -> TokenRequestError:
    """403 of the endpoint itself: a refusal, or a block where three accounts meet it."""
    return TokenRequestError(None, status=403)


def certificate_refused() -> TokenEndpointError:
    """The handshake failed: nothing left."""
    return TokenEndpointError("not trusted", code="certificate_refused", sent=False)


def throttled() -> SecretStoreError:
    """Secrets Manager cannot serve this call now."""
    return SecretStoreError("PutSecretValue", "ThrottlingException", transient=True)


def not_signed() -> SigningError:
    """KMS cannot sign now."""
    message, code = "Sign failed: KMSInternalException", "KMSInternalException"
    return SigningError(message, operation="Sign", code=code, transient=True)


def signing_denied() -> SigningError:
    """KMS may not sign."""
    what = "the function may not sign"
    return SigningError(what, operation="Sign", code="signing_denied", transient=False)


def denied() -> SecretStoreError:
    """Secrets Manager may not serve this call."""
    return SecretStoreError("PutSecretValue", "AccessDeniedException", transient=False)


def response(**changes: object) -> TokenResponse:
    """A success response, but for these fields."""
    fields: dict[str, Any] = {
        "access_token": "another-access-token",
        "token_type": "bearer",
        "expires_in": TWELVE_HOURS,
        "scope": None,
        "refresh_token": None,
        "refresh_token_expires_in": None,
    }
    return TokenResponse(**(fields | changes))
