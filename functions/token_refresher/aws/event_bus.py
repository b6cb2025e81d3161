"""The default event bus of the Region, in Amazon EventBridge. It knows no OAuth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from token_refresher.aws.secret_store import told_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from token_refresher.ports import Announcement

# One call, and no second attempt: what cannot be put now is put by the next sweep.
_CONNECT_SECONDS: Final = 1
_READ_SECONDS: Final = 2


def create_client(*, connections: int, user_agent: str) -> Any:  # noqa: ANN401 - no stubs here
    """Make the client that lives as long as the environment.

    Args:
        connections: How many batches are put at once.
        user_agent: Names the program in the audit log.
    """
    make: Any = boto3.client
    return make(
        "events",
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=connections,
            user_agent=user_agent,
        ),
    )


class EventBus:
    """Puts events.

    Args:
        client: From `create_client`.
        source: What every event says that it is from; the only one that IAM allows.
    """

    def __init__(self, client: Any, *, source: str) -> None:  # noqa: ANN401
        self._client = client
        self._source = source

    def put(self, batch: Sequence[Announcement]) -> list[str]:
        """Put up to ten events.

        Returns:
            Why each of them was not put: AWS's error code, or botocore's name of the error; empty
            for what was put. Where no response came, it may have been put all the same.
        """
        try:
            answer = self._client.put_events(
                Entries=[
                    {
                        "Time": each.at,
                        "Source": self._source,
                        "DetailType": each.kind,
                        "Detail": each.detail,
                    }
                    for each in batch
                ]
            )
        except (ClientError, BotoCoreError) as error:
            code, _ = told_by(error)
            return [code] * len(batch)
        return [each.get("ErrorCode", "") for each in answer["Entries"]]
