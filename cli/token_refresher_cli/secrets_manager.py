"""The calls to Secrets Manager that people make and the function never does.

It creates and corrects credentials, and lists the versions of a token secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from token_refresher import fixes
from token_refresher.ports import CURRENT
from token_refresher_cli.problems import RefusedError
from token_refresher_cli.timeline import ListedVersion

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_secretsmanager import SecretsManagerClient


class AlreadyThereError(Exception):
    """There are credentials of this name, and they have a value."""


def _has_value(found: dict[str, Any]) -> bool:
    return any(CURRENT in stages for stages in found.get("VersionIdsToStages", {}).values())


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What a description tells of a secret that no sweep asks for.

    Attributes:
        kms_key_id: As it was given: an ARN, an id, an alias; None for the AWS managed key.
        last_read_at: Aware; the day on which anybody last read its value. None for nobody.
    """

    kms_key_id: str | None
    last_read_at: datetime | None


class PeoplesCalls:
    """What a person does with an account's secrets.

    Args:
        client: From `secret_store.create_client`.
        prefix: Without a slash at its end.

    Every method raises `RefusedError` where Secrets Manager refuses.
    """

    def __init__(self, client: SecretsManagerClient, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

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

    def create_credentials(self, account: str, text: str, *, kms_key_id: str) -> str:
        """Create an account's credentials secret, or give one without a value its first.

        Returns:
            The new version's id.

        Raises:
            AlreadyThereError: There is one, and it has a value; nothing was written.
        """
        secret_id = f"{self._prefix}/credentials/{account}"
        key: dict[str, Any] = {"KmsKeyId": kms_key_id} if kms_key_id else {}
        try:
            answer = self._call("create_secret", Name=secret_id, SecretString=text, **key)
        except RefusedError as error:
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
        answer = self._call("put_secret_value", SecretId=secret_id, SecretString=text, **stages)
        return str(answer["VersionId"])

    def describe(self, secret_id: str) -> SecretFacts:
        """Tell how a secret is encrypted, and whether it is read."""
        told = self._call("describe_secret", SecretId=secret_id)
        return SecretFacts(told.get("KmsKeyId"), told.get("LastAccessedDate"))

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

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            answer: dict[str, Any] = getattr(self._client, method)(**arguments)
        except (ClientError, BotoCoreError) as error:
            operation = self._client.meta.method_to_api_mapping[method]
            secret_id = arguments.get("SecretId") or arguments["Name"]
            raise RefusedError.of(error, operation, secret_id) from None
        return answer
