"""The calls to Secrets Manager that people make and the function never does.

It creates, corrects, deletes and restores credentials, and lists the versions of a token secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from token_refresher import fixes
from token_refresher.aws.secret_store import listed, metadata_of
from token_refresher.ports import CURRENT
from token_refresher_cli.problems import OF_KEYS, RefusedError
from token_refresher_cli.timeline import ListedVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from token_refresher.aws.secret_store import Pace
    from token_refresher.ports import SecretMetadata

# CloudFormation's mark on what a stack has made; nobody else can set it.
_OF_STACK: Final = "aws:cloudformation:stack-name"


class AlreadyThereError(Exception):
    """There are credentials of this name, and they have a value."""


def _has_value(found: dict[str, Any]) -> bool:
    return any(CURRENT in stages for stages in found.get("VersionIdsToStages", {}).values())


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What a description tells of a secret, and more than a sweep asks for.

    Attributes:
        secret_id: Its name.
        metadata: As the program sees it.
        kms_key_id: As it was given: an ARN, an id, an alias; None for the AWS managed key.
        last_read_at: Aware; the day on which anybody last read its value. None for nobody.
        stack: The CloudFormation stack that has made it; None where none has.
        replicas: The Regions that it is replicated to; it cannot be deleted before they are gone.
    """

    secret_id: str
    metadata: SecretMetadata
    kms_key_id: str | None
    last_read_at: datetime | None
    stack: str | None
    replicas: tuple[str, ...]


class PeoplesCalls:
    """What a person does with an account's secrets.

    Args:
        client: From `secret_store.create_client`.
        prefix: Without a slash at its end.
        pace: Shared by all writes of the command.

    Every method raises `RefusedError` where Secrets Manager refuses.
    """

    def __init__(self, client: SecretsManagerClient, *, prefix: str, pace: Pace) -> None:
        self._client = client
        self._prefix = prefix
        self._pace = pace

    def require_free(self, account: str) -> None:
        """See that an account has no credentials yet, as far as this identity may see it.

        Raises:
            AlreadyThereError: It has.
            RefusedError: They are scheduled for deletion, or AWS cannot be asked.
        """
        secret_id = f"{self._prefix}/credentials/{account}"
        try:
            found = self._call("describe_secret", SecretId=secret_id)
        except RefusedError as error:
            if error.code == "ResourceNotFoundException" or error.code in fixes.DENIED:
                # Whoever may create need not be allowed to see.
                return
            raise
        if "DeletedDate" in found:
            raise RefusedError("CreateSecret", "InvalidRequestException", secret_id)
        if _has_value(found):
            raise AlreadyThereError

    def create_credentials(
        self, account: str, text: str, *, kms_key_id: str, tags: Mapping[str, str]
    ) -> str:
        """Create an account's credentials secret, or give one without a value its first.

        Args:
            account: Its name.
            text: The credentials.
            kms_key_id: Of a secret that is created; empty for the AWS managed key.
            tags: Likewise.

        Returns:
            The new version's id.

        Raises:
            AlreadyThereError: There is one, and it has a value; nothing was written.
        """
        secret_id = f"{self._prefix}/credentials/{account}"
        made_with: dict[str, Any] = {"KmsKeyId": kms_key_id} if kms_key_id else {}
        if tags:
            made_with["Tags"] = listed(tags.items())
        self._pace.wait()
        try:
            answer = self._call("create_secret", Name=secret_id, SecretString=text, **made_with)
        except RefusedError as error:
            if error.code in OF_KEYS and kms_key_id:
                # There is no secret that could be asked which key it is.
                raise RefusedError("CreateSecret", error.code, kms_key_id) from None
            if error.code != "ResourceExistsException":
                raise
            found = self._call("describe_secret", SecretId=secret_id)
            if _has_value(found):
                raise AlreadyThereError from None
            return self.replace_credentials(account, text)
        return str(answer["VersionId"])

    def replace_credentials(self, account: str, text: str) -> str:
        """Make these the credentials that the function uses; leases and journals stay.

        Returns:
            The new version's id.
        """
        secret_id = f"{self._prefix}/credentials/{account}"
        stages = {"VersionStages": [CURRENT]}
        self._pace.wait()
        answer = self._call("put_secret_value", SecretId=secret_id, SecretString=text, **stages)
        return str(answer["VersionId"])

    def describe(self, secret_id: str) -> SecretFacts:
        """Describe one secret, also one that is to be deleted."""
        told = self._call("describe_secret", SecretId=secret_id)
        metadata = metadata_of(told, told.get("VersionIdsToStages"))
        # A day in UTC; in this machine's zone, in which botocore tells it, it may be another.
        read_at = told.get("LastAccessedDate")
        return SecretFacts(
            secret_id,
            metadata,
            told.get("KmsKeyId"),
            read_at and read_at.astimezone(UTC),
            metadata.tags.get(_OF_STACK),
            tuple(one["Region"] for one in told.get("ReplicationStatus", ())),
        )

    def list_versions(self, account: str) -> list[ListedVersion]:
        """List the versions of an account's token secret, the deprecated ones too."""
        found: list[ListedVersion] = []
        asked: dict[str, Any] = {"SecretId": f"{self._prefix}/tokens/{account}"}
        while True:
            page = self._call(
                "list_secret_version_ids", IncludeDeprecated=True, MaxResults=100, **asked
            )
            found.extend(
                ListedVersion(
                    one["VersionId"], tuple(one.get("VersionStages", ())), one["CreatedDate"]
                )
                for one in page.get("Versions", ())
            )
            if not page.get("NextToken"):
                return found
            asked["NextToken"] = page["NextToken"]

    def delete(self, secret_id: str, *, recovery_days: int) -> None:
        """Schedule a secret for deletion; until then it can be restored."""
        self._pace.wait()
        self._call("delete_secret", SecretId=secret_id, RecoveryWindowInDays=recovery_days)

    def restore(self, secret_id: str) -> None:
        """Let a secret that is to be deleted be as it was."""
        self._pace.wait()
        self._call("restore_secret", SecretId=secret_id)

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            answer: dict[str, Any] = getattr(self._client, method)(**arguments)
        except (ClientError, BotoCoreError) as error:
            operation = self._client.meta.method_to_api_mapping[method]
            secret_id = arguments.get("SecretId") or arguments["Name"]
            raise RefusedError.of(error, operation, secret_id) from None
        return answer
