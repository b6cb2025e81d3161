"""What a run makes in an AWS account, all under one name of its own, and how it is taken away."""

from __future__ import annotations

import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.ports import CURRENT
from tools.smoke.findings import Budget, BudgetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tools.deploying.place import Place

T = TypeVar("T")

MOST_CALLS: Final = 450
MOST_SECONDS: Final = 300
# Of these, what is kept for taking away what was made. A call that is on its way when the time
# is over may take fifteen seconds more.
CALLS_KEPT: Final = 34
SECONDS_KEPT: Final = 45
ON_ITS_WAY: Final = 15
# And of the others two are made before: who asks, and whether there is such a stack.
MOST_TO_ASK: Final = MOST_CALLS - CALLS_KEPT - 2
AT_ONCE: Final = 8

NAME: Final = "token-refresher-smoke-"
# Between two looks at what was just written: as long as a person waits, not as long as AWS may
# take, which documents no limit but the listing's five minutes.
PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
EXISTS: Final = "ResourceExistsException"
NOT_FOUND: Final = "ResourceNotFoundException"
MARKED: Final = "InvalidRequestException"
SHORTEST_WINDOW_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """What was read of something that was written before.

    Attributes:
        value: As it was read last.
        seconds: From the write to that.
        looks: How often it was read: 1 where it was there at once.
    """

    value: T
    seconds: float
    looks: int


class Sandbox:
    """Secrets, and at most one key, under a name that nobody else has.

    Nothing is tried twice by boto3, so that each call is counted, and each refusal seen.

    Args:
        place: The account and its Region.
        monotonic: Gives seconds.
        sleep: Waits seconds.

    Attributes:
        name: What all of them are under; also a prefix of the program's.
        operations: The actions that were called, by their operation's name alone.
        keys: The ids of the keys that were made.
        secrets_made: How many secrets were made.
    """

    def __init__(
        self, place: Place, *, monotonic: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.place = place
        self.name = f"{NAME}{secrets.token_hex(4)}"
        self.operations: dict[str, str] = {}
        self.monotonic = monotonic
        self._sleep = sleep
        self._budget = self._asking = Budget(
            calls=MOST_TO_ASK,
            seconds=MOST_SECONDS - SECONDS_KEPT - ON_ITS_WAY,
            monotonic=monotonic,
        )
        self._made: list[str] = []
        self.secrets_made = 0
        self._here: set[str] = set()
        self._filled: set[str] = set()
        self.keys: list[str] = []
        self._aliases: list[str] = []
        self.client = cache(self._client)

    @property
    def calls(self) -> int:
        """How many were made so far."""
        kept = self._budget.calls if self._budget is not self._asking else 0
        return self._asking.calls + kept

    @property
    def calls_left(self) -> int:
        """How many may still be made to ask."""
        return MOST_TO_ASK - self._asking.calls

    @property
    def spent_seconds(self) -> float:
        """How long it has taken so far."""
        return self._asking.spent_seconds

    def _client(self, service: str) -> Any:  # noqa: ANN401 - not all have stubs
        """Return a service's client, whose every request is counted."""
        make: Any = self.place.session.client
        client = make(
            service,
            config=Config(
                connect_timeout=5,
                read_timeout=10,
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=AT_ONCE,
            ),
        )

        def spend(event_name: str, **_: object) -> None:
            operation = event_name.rpartition(".")[2]
            self.operations[operation] = f"{service}:{operation}"
            self._budget.spend()

        client.meta.events.register("before-send", spend)
        return client

    @property
    def secrets(self) -> Any:  # noqa: ANN401 - the stubs are stricter than a question may be
        """Secrets Manager."""
        return self.client("secretsmanager")

    def path(self, name: str) -> str:
        """Return the whole name of a secret, whether or not there is one."""
        return f"{self.name}/{name}"

    def secret(self, name: str, **more: Any) -> str:  # noqa: ANN401 - as boto3 takes it
        """Return the whole name of a secret, which is made when it is first asked for, empty.

        It is noted before it is made: where the response is lost, it is taken away as well.
        """
        path = self.path(name)
        if path in self._here:
            return path
        if path not in self._made:
            self._made.append(path)
        try:
            self.secrets.create_secret(Name=path, **more)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if error.response["Error"]["Code"] != EXISTS:
                if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._made.remove(path)
                raise
        self.secrets_made += 1
        self._here.add(path)
        return path

    def filled(self, name: str) -> str:
        """Return the whole name of a secret that has a value, one of its own or this first one."""
        path = self.secret(name)
        if path not in self._filled:
            self.put(name, f"{'first':-<32}", "invented")
        return path

    def put(
        self, name: str, version_id: str, text: str, stages: Iterable[str] = (CURRENT,)
    ) -> Seen[Any]:
        """Put a value; into a secret that is not found yet, once more after a while."""
        path = self.secret(name)
        seen = self.eventually(
            lambda: self.secrets.put_secret_value(
                SecretId=path,
                ClientRequestToken=version_id,
                SecretString=text,
                VersionStages=list(stages),
            )
        )
        self._filled.add(path)
        return seen

    def key(self, alias: str | None = None, **asked: str) -> str:
        """Make a KMS key, with an alias if one is given, and return its id.

        Its description tells a person whose it is, should the response be lost.
        """
        kms = self.client("kms")
        key: str = kms.create_key(Description=self.name, **asked)["KeyMetadata"]["KeyId"]
        self.keys.append(key)
        if alias is not None:
            self._aliases.append(alias)
            kms.create_alias(AliasName=alias, TargetKeyId=key)
        return key

    def eventually(
        self, look: Callable[[], T], wanted: Callable[[T], bool] = lambda _: True
    ) -> Seen[T]:
        """Look until something is found and as wanted, or nobody would wait any longer.

        Raises:
            ClientError: It was not found to the end, or something else was wrong.
        """
        began = self.monotonic()
        for looks, pause in enumerate((*PAUSES, None), 1):
            try:
                value = look()
            except ClientError as error:
                # KMS has another word for it.
                found = error.response["Error"]["Code"] in {NOT_FOUND, "NotFoundException"}
                if pause is None or not found:
                    raise
            else:
                if pause is None or wanted(value):
                    return Seen(value, self.monotonic() - began, looks)
            self._sleep(pause)
        raise AssertionError("the last look has no pause after it")

    def clean_up(self) -> None:
        """Take away all that was made; what is left has its command in `commands`.

        It has calls and seconds of its own, whatever became of the others.
        """
        self._budget = Budget(calls=CALLS_KEPT, seconds=SECONDS_KEPT, monotonic=self.monotonic)
        for _ in range(2):
            for made, delete in (
                (self._made, self._delete),
                (self.keys, self._delete_key),
                (self._aliases, self._delete_alias),
            ):
                for each in tuple(made):
                    # One that cannot be deleted keeps no other one.
                    with suppress(BotoCoreError, BudgetError, ClientError):
                        delete(each)
                        made.remove(each)

    def commands(self) -> list[str]:
        """Tell how a person takes away what is still there."""
        at_once, window = "--force-delete-without-recovery", str(SHORTEST_WINDOW_DAYS)
        words = [
            *(
                ("secretsmanager delete-secret", "--secret-id", each, at_once)
                for each in self._made
            ),
            *(("kms delete-alias", "--alias-name", each) for each in self._aliases),
            *(
                ("kms schedule-key-deletion", "--key-id", each, "--pending-window-in-days", window)
                for each in self.keys
            ),
        ]
        where = ("--region", self.place.region)
        return [f"aws {what} {shlex.join((*each, *where))}" for what, *each in words]

    def _delete(self, path: str) -> None:
        """Delete a secret at once; one that is not there is as good (DeleteSecret)."""
        arguments = {"SecretId": path, "ForceDeleteWithoutRecovery": True}
        try:
            self.secrets.delete_secret(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == NOT_FOUND:
                return
            if code != MARKED:
                raise
            self.secrets.restore_secret(SecretId=path)
            self.secrets.delete_secret(**arguments)

    def _delete_alias(self, alias: str) -> None:
        try:
            self.client("kms").delete_alias(AliasName=alias)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NotFoundException":
                raise

    def _delete_key(self, key: str) -> None:
        try:
            self.client("kms").schedule_key_deletion(
                KeyId=key, PendingWindowInDays=SHORTEST_WINDOW_DAYS
            )
        except ClientError as error:
            # It is to be deleted already.
            if error.response["Error"]["Code"] != "KMSInvalidStateException":
                raise
