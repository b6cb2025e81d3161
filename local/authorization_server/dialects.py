"""How token endpoints word the same answer. A dialect belongs to a client, not to the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class ExpiresIn(Enum):
    """How ``expires_in`` appears in an answer."""

    NUMBER = "a JSON number"
    TEXT = "a string of digits"
    ABSENT = "not at all"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is particular to one kind of server.

    Args:
        token_type: As it is spelt there.
        scope: Granted when a request names none; None leaves the field out.
        refresh_token_lifetime: None means until it is used or revoked.
        refresh_lifetime_field: The field that tells this lifetime, if the server has one.
        human_errors: Whether errors carry texts for people, in another language.
    """

    token_type: str = "Bearer"  # noqa: S105
    scope: str | None = None
    expires_in: ExpiresIn = ExpiresIn.NUMBER
    access_token_lifetime: timedelta = timedelta(hours=1)
    refresh_token_lifetime: timedelta | None = None
    refresh_lifetime_field: str | None = None
    human_errors: bool = False


RFC_6749 = Dialect()
OLX_MOTORS = Dialect(
    token_type="bearer",  # noqa: S106
    scope="adverts-write read",
    access_token_lifetime=timedelta(hours=12),
    human_errors=True,
)
OLX_PARTNERS = Dialect(
    token_type="bearer",  # noqa: S106
    scope="v2 read write",
    expires_in=ExpiresIn.TEXT,
    access_token_lifetime=timedelta(hours=24),
    refresh_token_lifetime=timedelta(days=30),
)
