"""Revoking an account's tokens at the provider that gave them (RFC 7009).

What is asked of is what the account's credentials tell: an address, and how its client
authenticates there. Nothing of Secrets Manager is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from token_refresher.credentials import require_same_place
from token_refresher.errors import SigningError
from token_refresher.failures import failure_class_of
from token_refresher.journal import JournalEntry
from token_refresher.oauth.errors import OAuthError
from token_refresher_cli import screen
from token_refresher_cli.problems import (
    ProblemError,
    about,
    doubt,
    explain,
    failure_text,
    sentence,
)

if TYPE_CHECKING:
    from token_refresher.credentials import Credentials
    from token_refresher.oauth.client_authentication import Client
    from token_refresher_cli.connection import Connection


@dataclass(frozen=True, slots=True, repr=False)
class Revocation:
    """How an account's tokens are revoked: its credentials, and its client where that is done."""

    credentials: Credentials
    client: Client


def how_to_revoke(name: str, credentials: Credentials | str) -> Revocation | str:
    """Find out how an account's tokens are revoked; or say why nobody knows."""
    if isinstance(credentials, str):
        return credentials
    client = credentials.revoking_client
    if client is None:
        return "no address is known at which it could be asked to revoke them"
    if client.signs:
        client = msgspec.structs.replace(client, key=name)
    return Revocation(credentials, client)


def require_revocable(
    connection: Connection, name: str, known: Revocation | str, *, is_deleted: bool
) -> None:
    """Refuse to begin where tokens could not be revoked.

    Args:
        connection: Where the account is.
        name: The account's.
        known: How they are revoked, or why nobody knows.
        is_deleted: Whether its credentials are to be deleted already.

    Raises:
        ProblemError: It says why.
    """
    why = known if isinstance(known, str) else ""
    if isinstance(known, Revocation):
        try:
            connection.endpoint().admit(known.client)
        except OAuthError as error:
            why = f"{error}; {doubt(error.code, connection.target)}".rstrip("; ")
    if why:
        if is_deleted:
            restore = connection.target.command("restore", name)
            raise ProblemError(
                f"{name}: its credentials are to be deleted already, so its tokens cannot be "
                "revoked.",
                f"To revoke them, bring it back first: {restore}",
            )
        without = connection.target.command("remove", name)
        raise ProblemError(
            sentence(f"{name}: its tokens cannot be revoked: {why}"),
            f"Nothing was removed. To remove it without: {without}",
        )


class _Token(msgspec.Struct, frozen=True):
    """What is looked for in a published token."""

    access_token: str

    def __repr__(self) -> str:
        """Hide the token."""
        return "_Token(…)"


def living_tokens(
    connection: Connection, name: str, how: Revocation
) -> list[tuple[Client, str, str]]:
    """Read the tokens that live at the provider: the last refresh token, and the published token.

    Returns:
        Each with where to, and RFC 7009's name of its type; the refresh token first: with it go
        all that were had by it.

    Raises:
        CredentialsError: The refresh token came from elsewhere.
    """
    credentials = how.credentials
    with about(connection.target.credentials_id(name)):
        journal = connection.store.read_journal(name)
    with about(connection.target.token_id(name)):
        published = connection.store.read_published(name)
    entry = JournalEntry.from_json(journal.text) if journal is not None else None
    if entry is not None and entry.grant != credentials.grant_digest:
        entry = None
    refresh_token, access_token = credentials.refresh_token, None
    if entry is not None:
        refresh_token, access_token = entry.refresh_token or refresh_token, entry.access_token
        # As a refresh is: a refresh token is shown to nobody but who gave it.
        require_same_place(credentials, host=entry.host, place=entry.place, trust=entry.trust)
    try:
        text = published.text if published is not None else None
        access_token = msgspec.json.decode(text or "", type=_Token).access_token
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # None, or in a form of the account's own.
        pass
    tokens = {"refresh_token": refresh_token, "access_token": access_token}
    return [(how.client, hint, token) for hint, token in tokens.items() if token]


def revoke_token(connection: Connection, name: str, at: Client, hint: str, token: str) -> None:
    """Ask the provider to revoke a token.

    Raises:
        ProblemError: It has not.
    """
    kind = hint.replace("_", " ")
    try:
        with screen.waiting(f"Asking {at.host}"):
            is_revoked = connection.endpoint().revoke(at, token, hint=hint)
    except (OAuthError, SigningError) as error:
        hinted = doubt(error.code, connection.target)
        if isinstance(error, SigningError):
            hinted = explain(error, connection.target).what
        told = failure_text(error.code, failure_class_of(error), is_here=True)
        raise ProblemError(
            f"{name}: its {kind} was not revoked: {told}. The account stays."
            f"{f' {sentence(hinted)}' if hinted else ''}",
            f"To remove it without: {connection.target.command('remove', name)}",
        ) from None
    if is_revoked:
        screen.note(f"{name}: its {kind} was revoked")
    else:
        screen.note(f"{name}: {at.host} does not revoke an {kind}, which lives until it expires")
