"""A workload: it reads token secrets, calls the resource endpoint, and knows nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import urllib3
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(slots=True)
class Consumer:
    """Calls the resource endpoint as often as it is told to, and counts.

    Args:
        secrets: With the permissions of a consumer.
        http: Trusts the resource endpoint's authority.
        url: The resource endpoint.
        prefix: The stack's, above ``tokens/``.
    """

    secrets: SecretsManagerClient
    http: urllib3.PoolManager
    url: str
    prefix: str = "oauth"
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def token(self, account: str) -> dict[str, Any] | None:
        """Read the account's token; None where none was ever published."""
        try:
            value = self.secrets.get_secret_value(SecretId=f"{self.prefix}/tokens/{account}")
        except self.secrets.exceptions.ResourceNotFoundException:
            return None
        token: dict[str, Any] = json.loads(value["SecretString"])
        return token

    def call(self, account: str) -> bool:
        """Call with the account's token; without one there is nothing to call with.

        Returns:
            Whether the call was made and accepted.
        """
        token = self.token(account)
        return token is not None and self._call(account, token)

    def call_for_each(self, accounts: Sequence[str]) -> None:
        """Read the accounts' tokens in one go, as who serves many does, and call with each.

        Args:
            accounts: At most 20, which is what Secrets Manager takes.
        """
        path = f"{self.prefix}/tokens/"
        found = self.secrets.batch_get_secret_value(SecretIdList=[path + name for name in accounts])
        for value in found["SecretValues"]:
            self._call(value["Name"].removeprefix(path), json.loads(value["SecretString"]))

    def _call(self, account: str, token: dict[str, Any]) -> bool:
        answer = self.http.request(
            "GET",
            self.url,
            headers={"Authorization": f"{token['token_type']} {token['access_token']}"},
        )
        is_accepted = answer.status == HTTPStatus.OK
        (self.accepted if is_accepted else self.rejected)[account] += 1
        return is_accepted
