"""The two secrets of each account, in AWS Secrets Manager.

It knows names, stages and calls; what is written, and when, is decided elsewhere. boto3 is used
here and in `event_bus`, and nowhere else.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.errors import SecretStoreError
from token_refresher.ports import (
    CURRENT,
    JOURNAL_STAGE,
    LEASE_STAGE,
    PENDING,
    SecretMetadata,
    SecretValue,
    is_lease_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

# One call: five seconds and three attempts. A connection that is not there in
# two seconds will not come.
_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 3
_ATTEMPTS: Final = 3

# A Region allows 50 writes a second, of all that write there.
_WRITES_PER_SECOND: Final = 48
_PAGE: Final = 100

# What the same call may survive without anybody's help. Everything else waits
# for a person: permissions, keys, limits, secrets marked for deletion.
_THROTTLED: Final = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
_UNAVAILABLE: Final = frozenset({"InternalFailure", "InternalServiceError", "RequestTimeout"})
_TRANSIENT: Final = (
    _THROTTLED | _UNAVAILABLE | {"ServiceUnavailable", "ServiceUnavailableException"}
)
# A proxy or a gateway in AWS's place may have anything there.
_CODE: Final = r"[A-Za-z0-9._]{1,64}"
_NOT_FOUND: Final = "ResourceNotFoundException"
_EXISTS: Final = "ResourceExistsException"
_LIMIT: Final = "LimitExceededException"


def create_client(*, max_workers: int, user_agent: str) -> SecretsManagerClient:
    """Make the one client that lives as long as the environment.

    Args:
        max_workers: How many calls are made at once, besides the listing's two.
        user_agent: Names the program in the audit log.
    """
    client = boto3.client(
        "secretsmanager",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=max_workers + 2,
            # botocore's own is put together for every call.
            user_agent=user_agent,
        ),
    )
    # Standard retries take the version limit for throttling; it does not pass in seconds.
    client.meta.events.register_first(
        "needs-retry.secretsmanager",
        _do_not_retry_version_limit,  # type: ignore[arg-type] # a handler's answer counts
    )
    client.meta.events.register("before-parse.secretsmanager.ListSecrets", _take_page_as_it_is)
    return client


def _take_page_as_it_is(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Take a page of a listing as the JSON that it is; anything else is left to botocore.

    Its parser walks through a model of the response, and makes datetimes of timestamps that nobody
    looks at: most of the processor time of a sweep with nothing due.
    """
    if response_dict["status_code"] == HTTPStatus.OK:
        with suppress(msgspec.DecodeError):
            page = msgspec.json.decode(response_dict["body"], type=dict[str, Any])
            customized_response_dict |= page
            # What is left to parse.
            response_dict["body"] = b"{}"


def _do_not_retry_version_limit(response: Any, **_: object) -> bool | None:  # noqa: ANN401
    """Answer False for the version limit, and leave any other response to botocore."""
    if response is None:
        return None
    code = response[1].get("Error", {}).get("Code")
    return False if code == _LIMIT else None


class Pace:
    """Spreads writes over time, so that a Region's quota is never reached.

    Args:
        per_second: How many may start in a second.
        monotonic: Gives seconds.
        sleep: Waits seconds.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        per_second: float = _WRITES_PER_SECOND,
    ) -> None:
        self._interval = 1 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = monotonic()

    def wait(self) -> None:
        """Wait for this write's turn; an idle second is not saved up."""
        with self._lock:
            now = self._monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


class SecretsManagerStore:
    """Reads and writes the accounts' secrets.

    Args:
        client: From `create_client`.
        prefix: Without a slash at its end.
        kms_key_id: For token secrets that are created; empty for the AWS managed key.
        pace: Shared by all writes of the environment.
        tags: Keys and values, for token secrets that are created.

    Every method raises `SecretStoreError` where Secrets Manager refuses.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        *,
        prefix: str,
        kms_key_id: str,
        pace: Pace,
        tags: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._client = client
        self._credentials_path = f"{prefix}/credentials/"
        self._tokens_path = f"{prefix}/tokens/"
        # What a new token secret is, besides its name.
        self._created_with: dict[str, Any] = {"KmsKeyId": kms_key_id} if kms_key_id else {}
        if tags:
            self._created_with["Tags"] = listed(tags)
        self._pace = pace

    def list_secrets(
        self, *, with_deleted: bool = False
    ) -> tuple[dict[str, SecretMetadata], dict[str, SecretMetadata]]:
        """List both paths at once.

        What it tells may be five minutes old: it proposes, `describe_token` confirms.

        Args:
            with_deleted: Whether those that are scheduled for deletion are listed, too.

        Returns:
            Credentials secrets and token secrets, each by the account's name.
        """
        with ThreadPoolExecutor(max_workers=2) as pool:
            credentials = pool.submit(self._list, self._credentials_path, with_deleted)
            tokens = pool.submit(self._list, self._tokens_path, with_deleted)
            return credentials.result(), tokens.result()

    def _list(self, path: str, with_deleted: bool) -> dict[str, SecretMetadata]:  # noqa: FBT001
        found: dict[str, SecretMetadata] = {}
        arguments: dict[str, Any] = {"IncludePlannedDeletion": True} if with_deleted else {}
        while True:
            with _errors("ListSecrets"):
                page = self._client.list_secrets(
                    Filters=[{"Key": "name", "Values": [path]}], MaxResults=_PAGE, **arguments
                )
            for entry in page["SecretList"]:
                name = entry["Name"].removeprefix(path)
                if entry["Name"] != path and entry["Name"].startswith(path):
                    found[name] = metadata_of(entry, entry.get("SecretVersionsToStages"))
            # An empty page may be followed by a full one.
            if not page.get("NextToken"):
                return found
            arguments["NextToken"] = page["NextToken"]

    def describe_credentials(self, account: str) -> SecretMetadata | None:
        """Tell an account's credentials secret as it is now; None where there is none."""
        return self._describe(self._credentials_path + account)

    def describe_token(self, account: str) -> SecretMetadata | None:
        """Tell an account's token secret as it is now; None where there is none."""
        return self._describe(self._tokens_path + account)

    def _describe(self, secret_id: str) -> SecretMetadata | None:
        try:
            with _errors("DescribeSecret"):
                answer = self._client.describe_secret(SecretId=secret_id)
        except SecretStoreError as error:
            if error.code == _NOT_FOUND:
                return None
            raise
        return metadata_of(answer, answer.get("VersionIdsToStages"))

    def read_credentials(self, account: str) -> SecretValue | None:
        """Read an account's credentials; None where they have no value yet, or are gone."""
        return self._read(self._credentials_path + account, VersionStage=CURRENT)

    def read_journal(self, account: str) -> SecretValue | None:
        """Read the journaled response; the stage is read by name, never inferred."""
        return self._read(self._credentials_path + account, VersionStage=JOURNAL_STAGE)

    def read_version(self, account: str, version_id: str) -> SecretValue | None:
        """Read a lease or a journal by its version id, never by the stage, which may be older."""
        return self._read(self._credentials_path + account, VersionId=version_id)

    def read_published(self, account: str) -> SecretValue | None:
        """Read the published token, for a version id that does not tell its expiry."""
        return self._read(self._tokens_path + account, VersionStage=CURRENT)

    def read_staged(self, account: str, version_id: str) -> SecretValue | None:
        """Read the token that a rotation has staged; None where it has none yet."""
        return self._read(self._tokens_path + account, VersionId=version_id, VersionStage=PENDING)

    def _read(self, secret_id: str, **which: Any) -> SecretValue | None:  # noqa: ANN401
        try:
            with _errors("GetSecretValue"):
                answer = self._client.get_secret_value(SecretId=secret_id, **which)
        except SecretStoreError as error:
            if error.code == _NOT_FOUND:
                return None
            raise
        return SecretValue(answer["VersionId"], answer.get("SecretString"))

    def create_token_secret(self, account: str) -> None:
        """Create an account's token secret, empty; one that exists already is as good."""
        self._pace.wait()
        try:
            with _errors("CreateSecret"):
                self._client.create_secret(
                    Name=self._tokens_path + account,
                    Description="Access token kept fresh by Token Refresher; read AWSCURRENT",
                    **self._created_with,
                )
        except SecretStoreError as error:
            if error.code != _EXISTS:
                raise

    def write_protocol(self, account: str, version_id: str, content: str) -> bool:
        """Write a lease or a journal: the only write to the credentials path.

        IAM cannot confine ``PutSecretValue`` to a stage, so this function does: the
        stage follows from the version id, and ``AWSCURRENT`` is none that it knows.

        Returns:
            False where another run has written other content under this id.
        """
        stage = LEASE_STAGE if is_lease_id(version_id) else JOURNAL_STAGE
        return self._put(self._credentials_path + account, version_id, content, stage)

    def publish(self, account: str, version_id: str, content: str) -> bool:
        """Make a token the one that consumers read.

        Returns:
            False where other content has this id; nothing was written then.
        """
        return self._put(self._tokens_path + account, version_id, content, CURRENT)

    def stage(self, account: str, version_id: str, content: str) -> bool:
        """Write a token as the version that a rotation is at; consumers do not see it yet.

        Returns:
            False where other content has this id; nothing was written then.
        """
        return self._put(self._tokens_path + account, version_id, content, PENDING)

    def replicate(self, account: str, regions: Iterable[str]) -> None:
        """Have an account's token secret copied to other Regions, with all that comes later.

        There it is under the AWS managed key, whichever key it is under here.
        """
        self._pace.wait()
        with _errors("ReplicateSecretToRegions"):
            self._client.replicate_secret_to_regions(
                SecretId=self._tokens_path + account,
                AddReplicaRegions=[{"Region": region} for region in regions],
            )

    def publish_staged(self, account: str, version_id: str, *, instead_of: str) -> None:
        """Make a staged token the one that consumers read, if none was published meanwhile.

        ``UpdateSecretVersionStage`` compares and swaps: it refuses where ``AWSCURRENT`` is
        not on the version that is named.

        Args:
            account: Whose.
            version_id: That of `stage`.
            instead_of: The published version's id.
        """
        self._move(account, CURRENT, MoveToVersionId=version_id, RemoveFromVersionId=instead_of)

    def unstage(self, account: str, version_id: str) -> None:
        """End a rotation: with ``AWSPENDING`` left behind no other one can begin."""
        self._move(account, PENDING, RemoveFromVersionId=version_id)

    def _move(self, account: str, stage: str, **versions: str) -> None:
        self._pace.wait()
        with _errors("UpdateSecretVersionStage"):
            self._client.update_secret_version_stage(
                SecretId=self._tokens_path + account, VersionStage=stage, **versions
            )

    def _put(self, secret_id: str, version_id: str, content: str, stage: str) -> bool:
        self._pace.wait()
        try:
            with _errors("PutSecretValue"):
                self._client.put_secret_value(
                    SecretId=secret_id,
                    ClientRequestToken=version_id,
                    SecretString=content,
                    VersionStages=[stage],
                )
        except SecretStoreError as error:
            if error.code == _EXISTS:
                return False
            if error.code == _LIMIT:
                which = "token" if secret_id.startswith(self._tokens_path) else "credentials"
                raise SecretStoreError(
                    error.operation,
                    error.code,
                    transient=error.transient,
                    detail=f"the {which} secret was given too many versions in a day, or has "
                    "twenty stages",
                ) from None
            raise
        return True

    def tag(self, account: str, tags: Mapping[str, str]) -> None:
        """Record something on an account's token secret."""
        self._pace.wait()
        with _errors("TagResource"):
            self._client.tag_resource(
                SecretId=self._tokens_path + account,
                Tags=listed(tags.items()),
            )

    def untag(self, account: str, keys: list[str]) -> None:
        """Clear records on an account's token secret."""
        self._pace.wait()
        with _errors("UntagResource"):
            self._client.untag_resource(SecretId=self._tokens_path + account, TagKeys=keys)


def listed(tags: Iterable[tuple[str, str]]) -> list[TagTypeDef]:
    """Write keys and values as Secrets Manager takes tags."""
    return [{"Key": key, "Value": value} for key, value in tags]


def metadata_of(
    entry: Mapping[str, Any], versions_to_stages: Mapping[str, list[str]] | None
) -> SecretMetadata:
    """Turn versions with stages into stages with versions; a stage sits on one version.

    Nothing and null are the same, as they are to botocore.
    """
    return SecretMetadata(
        stages={
            stage: version_id
            for version_id, stages in (versions_to_stages or {}).items()
            for stage in stages
        },
        tags={tag["Key"]: tag.get("Value") or "" for tag in entry.get("Tags") or []},
        is_deleted=entry.get("DeletedDate") is not None,
        replicas={
            each["Region"]: each.get("Status", "") for each in entry.get("ReplicationStatus") or ()
        },
    )


@contextmanager
def _errors(operation: str) -> Iterator[None]:
    """Turn botocore's errors into ours; their text may name values, so it is dropped."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code, transient = told_by(error)
        # A secret is there when it is written to: not found yet, for a moment after it was made.
        transient = transient or code == _NOT_FOUND
        raise SecretStoreError(operation, code, transient=transient) from None


def told_by(error: ClientError | BotoCoreError) -> tuple[str, bool]:
    """Take from botocore's error what is no text of AWS.

    Returns:
        The API's error code, or botocore's name of the error; and whether the same call may
        succeed without anybody's help.
    """
    if isinstance(error, BotoCoreError):
        # No response at all: connection, timeout, credentials that could not be fetched.
        return type(error).__name__, True
    code = error.response.get("Error", {}).get("Code", "")
    if re.fullmatch(_CODE, code) is None:
        code = "Unknown"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code, code in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR
