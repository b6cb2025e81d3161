"""The accounts that the benchmarks sweep: made-up, as an earlier refresh would have left them."""

from __future__ import annotations

import json
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from benchmarks.secrets_manager import DESCRIPTION
from local.secrets_manager.memory import Secret
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent, lease_id
from token_refresher.model import TokenVersion, digest12
from token_refresher.parsing import parse_credentials
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIFE: Final = timedelta(hours=12)
FRESH: Final = timedelta(hours=6)
DUE: Final = timedelta(hours=1)

USERNAME: Final = "dealer@example.com"
SECRET: Final = "made-up"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Grant:
    """How accounts get their tokens.

    Attributes:
        name: What the tables call it.
        fields: Of the credentials.
        is_journaled: Whether a refresh token is held from the refresh before.
        calls: What a refresh of it asks of Secrets Manager, as designed.
        writes: How many of these count against the Region's quota.
        has_secret: Whether the client has one; else it signs.
    """

    name: str
    fields: Mapping[str, str]
    is_journaled: bool
    calls: int
    writes: int
    has_secret: bool = True


MACHINE: Final = Grant(
    "`client_credentials`, no refresh token",
    {"grant_type": "client_credentials"},
    is_journaled=False,
    calls=4,
    writes=1,
)
DEALER: Final = Grant(
    "`password`, by its refresh token",
    {"grant_type": "password", "username": USERNAME, "password": SECRET},
    is_journaled=True,
    calls=6,
    writes=3,
)
SIGNER: Final = Grant(
    "`client_credentials`, signed",
    {"grant_type": "client_credentials", "token_endpoint_auth_method": "private_key_jwt"},
    is_journaled=False,
    calls=5,
    writes=1,
    has_secret=False,
)


def utc_now() -> datetime:
    """Tell the moment: the function reads the real clock, too."""
    return datetime.now(UTC)


def token_response(*, with_refresh_token: bool) -> dict[str, Any]:
    """Make a response of the size that the OLX motors endpoint gives."""
    answer = {
        "access_token": secrets.token_hex(20),
        "token_type": "bearer",
        "expires_in": int(LIFE.total_seconds()),
        "scope": "adverts-write read",
    }
    return answer | ({"refresh_token": secrets.token_hex(20)} if with_refresh_token else {})


def account_name(number: int) -> str:
    """Name an account; the order of names is that of numbers."""
    return f"dealer-{number:06}"


def secrets_of(
    prefix: str, name: str, grant: Grant, *, token_endpoint: str, expires_at: datetime
) -> dict[str, Secret]:
    """Make an account's two secrets, as its second refresh would have left them."""
    client = {"client_id": f"{prefix}-{name}"}
    client |= {"client_secret": SECRET} if grant.has_secret else {}
    text = json.dumps({"token_endpoint": token_endpoint, **client, **grant.fields})
    credentials_version = str(uuid.UUID(int=secrets.randbits(128), version=4))
    earlier, version = (
        TokenVersion(
            issued_at=moment - LIFE,
            expires_at=moment,
            credentials_digest=digest12(credentials_version),
            token_digest=secrets.token_hex(6),
        )
        for moment in (expires_at - LIFE + timedelta(hours=1.5), expires_at)
    )
    credentials = Secret()
    credentials.put(credentials_version, text, [CURRENT])
    if grant.is_journaled:
        parsed, lease = parse_credentials(text), lease_id(str(earlier), 1)
        leased = LeaseContent(
            leased_at=int(version.issued_at.timestamp()),
            run=secrets.token_hex(16),
            credentials=version.credentials_digest,
        )
        credentials.put(lease, leased.to_json(), [LEASE_STAGE])
        journal = JournalEntry(
            grant=parsed.grant_digest,
            host=parsed.client.host,
            lease=lease,
            access_token=secrets.token_hex(20),
            token_type="bearer",  # noqa: S106 - a word
            scope="adverts-write read",
            refresh_token=secrets.token_hex(20),
        )
        credentials.put(str(version), journal.to_json(), [JOURNAL_STAGE])
    token = Secret(description=DESCRIPTION)
    content = json.dumps({"access_token": secrets.token_hex(20), "token_type": "Bearer"})
    token.put(str(earlier), content, [CURRENT])
    token.put(str(version), content, [CURRENT])
    assert token.stages[PREVIOUS] == str(earlier)  # noqa: S101 - the minimum interval looks at it
    return {f"{prefix}/credentials/{name}": credentials, f"{prefix}/tokens/{name}": token}


def fleet(
    prefix: str,
    numbers: Iterable[int],
    grant: Grant,
    *,
    token_endpoint: str,
    expires_at: datetime,
    apart: timedelta = timedelta(0),
) -> dict[str, Secret]:
    """Make accounts that expire one after another.

    Args:
        prefix: The setting.
        numbers: Which.
        grant: How they get their tokens.
        token_endpoint: Where.
        expires_at: When number 0 expires.
        apart: How much earlier each expires than the number before it: the order of expiry is
            the reverse of that of names.
    """
    return {
        name: secret
        for number in numbers
        for name, secret in secrets_of(
            prefix,
            account_name(number),
            grant,
            token_endpoint=token_endpoint,
            expires_at=expires_at - apart * number,
        ).items()
    }
