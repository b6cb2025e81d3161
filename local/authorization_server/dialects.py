"""How token endpoints word the same answer. A dialect belongs to a client, not to the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is particular to one kind of server.

    Args:
        token_type: As it is spelt there.
        scope: Granted when a request names none; None leaves the field out.
        expires_in_is_text: Whether ``expires_in`` is digits in a string, not a number.
        refresh_token_lifetime: None means until it is used or revoked.
    """

    token_type: str = "Bearer"  # noqa: S105
    scope: str | None = None
    expires_in_is_text: bool = False
    access_token_lifetime: timedelta = timedelta(hours=1)
    refresh_token_lifetime: timedelta | None = None


RFC_6749 = Dialect()
OLX_MOTORS = Dialect(
    token_type="bearer",  # noqa: S106
    scope="adverts-write read",
    access_token_lifetime=timedelta(hours=12),
)
OLX_PARTNERS = Dialect(
    token_type="bearer",  # noqa: S106
    scope="v2 read write",
    expires_in_is_text=True,
    access_token_lifetime=timedelta(hours=24),
    refresh_token_lifetime=timedelta(days=30),
)
