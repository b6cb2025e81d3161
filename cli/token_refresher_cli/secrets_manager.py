"""The calls to Secrets Manager that people make and the function never does.

It creates and corrects credentials, and lists the versions of a token secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.ports import CURRENT
from token_refresher_cli.problems import RefusedError
from token_refresher_cli.timeline import ListedVersion

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class AlreadyThereError(Exception):
    """There are credentials of this name, and they have a value."""


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
            answer = self._call(
                "create_secret", secret_id, Name=secret_id, SecretString=text, **key
            )
        except RefusedError as error:
            if error.code != "ResourceExistsException":
                raise
            found = self._call("describe_secret", secret_id, SecretId=secret_id)
            stages = found.get("VersionIdsToStages", {}).values()
            if any(CURRENT in each for each in stages):
                raise AlreadyThereError from None
            return self.replace_credentials(account, text)
        version_id: str = answer["VersionId"]
        return version_id

    def replace_credentials(self, account: str, text: str) -> str:
        """Make these the credentials that the function uses; claims and journals stay.

        Returns:
            The new version's id.
        """
        secret_id = f"{self._prefix}/credentials/{account}"
        answer = self._call(
            "put_secret_value",
            secret_id,
            SecretId=secret_id,
            SecretString=text,
            VersionStages=[CURRENT],
        )
        version_id: str = answer["VersionId"]
        return version_id

    def list_versions(self, account: str) -> list[ListedVersion]:
        """List the versions of an account's token secret, the deprecated ones too."""
        secret_id = f"{self._prefix}/tokens/{account}"
        found: list[ListedVersion] = []
        following: dict[str, Any] = {}
        while True:
            page = self._call(
                "list_secret_version_ids",
                secret_id,
                SecretId=secret_id,
                IncludeDeprecated=True,
                MaxResults=100,
                **following,
            )
            found.extend(
                ListedVersion(
                    one["VersionId"], tuple(one.get("VersionStages", ())), one["CreatedDate"]
                )
                for one in page.get("Versions", ())
            )
            if not page.get("NextToken"):
                return found
            following = {"NextToken": page["NextToken"]}

    def _call(self, method: str, secret_id: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        call = getattr(self._client, method)
        operation = self._client.meta.method_to_api_mapping[method]
        try:
            answer: dict[str, Any] = call(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "Unknown")
            raise RefusedError(operation, code, secret_id) from None
        except BotoCoreError as error:
            raise RefusedError(operation, type(error).__name__, secret_id) from None
        return answer
