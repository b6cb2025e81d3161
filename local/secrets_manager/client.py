"""What looks like boto3's client, over anything that answers calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.secrets_manager.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryClient:
    """Makes calls, and raises boto3's error where one is refused.

    Args:
        answer: Takes an operation's name and what is asked; such as `SecretsManager.answer`, or
            something around it that fails, is late or counts.
    """

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self._answer = answer

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        """Return a call by boto3's name for it, and keep it."""
        if method.startswith("_"):
            raise AttributeError(method)
        operation = "".join(map(str.capitalize, method.split("_")))

        def call(**asked: Any) -> dict[str, Any]:  # noqa: ANN401
            try:
                return self._answer(operation, asked)
            except RefusalError as refusal:
                raise ClientError(
                    {"Error": {"Code": refusal.code, "Message": refusal.message}}, operation
                ) from None

        setattr(self, method, call)
        return call
