"""The store of the accounts' secrets, as the program needs it; Secrets Manager is one.

What may be asked of it, and the values and words that it answers with. It knows no OAuth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Protocol

# What one version of a secret holds, in bytes of UTF-8.
LONGEST_VALUE: Final = 65_536

CURRENT: Final = "AWSCURRENT"
PREVIOUS: Final = "AWSPREVIOUS"
PENDING: Final = "AWSPENDING"
LEASE_STAGE: Final = "TOKENREQUEST"
JOURNAL_STAGE: Final = "TOKENRESPONSE"

LEASE_PREFIX: Final = "request-"


def is_lease_id(version_id: str) -> bool:
    """Whether a version id of the credentials path is a lease's; else it is a journal's."""
    return version_id.startswith(LEASE_PREFIX)


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """What a listing or a description tells of a secret; nothing of its value.

    Attributes:
        stages: The version id that each version stage sits on.
        tags: By key.
        is_deleted: Whether the secret is scheduled for deletion.
        replicas: The state of its copy in each other Region; of a description alone.
    """

    stages: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    is_deleted: bool = False
    replicas: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class SecretValue:
    """A secret's text, and the version that it was read from.

    Attributes:
        version_id: As read, which may be newer than as listed.
        text: None for a binary secret.
    """

    version_id: str
    text: str | None


class Announcement(NamedTuple):
    """An event, as an event bus takes it.

    Attributes:
        kind: Its detail-type.
        detail: JSON.
        at: Aware; when that happened which it tells.
    """

    kind: str
    detail: str
    at: datetime


if TYPE_CHECKING:
    # Shapes, which a start need not make.

    class SecretStore(Protocol):
        """The two secrets of each account. Every method raises `SecretStoreError` where refused."""

        def list_secrets(
            self,
        ) -> tuple[Mapping[str, SecretMetadata], Mapping[str, SecretMetadata]]:
            """List credentials secrets and token secrets by account, as old as five minutes."""

        def describe_credentials(self, account: str) -> SecretMetadata | None:
            """Describe the credentials secret as it is now; None where there is none."""

        def describe_token(self, account: str) -> SecretMetadata | None:
            """Describe the token secret as it is now; None where there is none."""

        def read_credentials(self, account: str) -> SecretValue | None:
            """Read the credentials; None where they have no value."""

        def read_journal(self, account: str) -> SecretValue | None:
            """Read the journaled response; None where there is none."""

        def read_version(self, account: str, version_id: str) -> SecretValue | None:
            """Read a lease or a journal by its version id; None where there is none, or not yet."""

        def read_published(self, account: str) -> SecretValue | None:
            """Read the published token; None where there is none."""

        def create_token_secret(self, account: str) -> None:
            """Create the token secret, empty; one that exists already is as good."""

        def write_protocol(self, account: str, version_id: str, content: str) -> bool:
            """Write a lease or a journal; False where the id has other content."""

        def publish(self, account: str, version_id: str, content: str) -> bool:
            """Publish a token; False where the id has other content."""

        def stage(self, account: str, version_id: str, content: str) -> bool:
            """Write a token as the one that a rotation will publish; False as above."""

        def tag(self, account: str, tags: Mapping[str, str]) -> None:
            """Record something on the token secret."""

        def untag(self, account: str, keys: list[str]) -> None:
            """Clear records on the token secret."""

    class ReplicatingStore(SecretStore, Protocol):
        """A store that can copy token secrets to other Regions."""

        def replicate(self, account: str, regions: Iterable[str]) -> None:
            """Have the token secret copied there, with all that is published later."""

    class StagingStore(SecretStore, Protocol):
        """A store whose secrets can be rotated, by way of a staged version."""

        def read_staged(self, account: str, version_id: str) -> SecretValue | None:
            """Read the token that a rotation has staged; None where it has none yet."""

        def publish_staged(self, account: str, version_id: str, *, instead_of: str) -> None:
            """Make a staged token the published one, if that is still ``instead_of``."""

        def unstage(self, account: str, version_id: str) -> None:
            """End a rotation."""
