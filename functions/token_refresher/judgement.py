"""What may be asked for, and what may be published: one order, whoever judges.

A refresh judges by this, and so does a person who only looks. It writes nothing; what is read or
asked is handed in, or is done by what is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import SecretStoreError
from token_refresher.model import TokenVersion, token_digest
from token_refresher.oauth.errors import MissingExpiryError, TokenResponseError
from token_refresher.oauth.hidden import Hidden
from token_refresher.oauth.token_response import lifetime
from token_refresher.policy import TICK_SLACK
from token_refresher.records import CertificateLifetime

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Protocol

    from token_refresher.credentials import Credentials
    from token_refresher.journal import JournalEntry
    from token_refresher.model import Account, PublishedToken
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.ports import SecretMetadata, SecretStore

    # A shape, which a start need not make.

    class Endpoint(Protocol):
        """What is asked of the token endpoint, beside the token."""

        def admit(self, client: Client) -> None:
            """Raise where the client must not be sent now."""

        def verify(self, client: Client, access_token: str) -> bool | None:
            """Ask ``verify_url`` whether a token is accepted; None where nobody can tell."""


# The longest timeout of an account that fits into an invocation of this schedule.
_SHORT_TIMEOUT_SECONDS: Final = 20
_SHORT_SCHEDULE: Final = timedelta(minutes=1)


def require_kept(metadata: SecretMetadata | None) -> None:
    """Refuse a token secret that is to be deleted.

    Raises:
        SecretStoreError: It is.
    """
    if metadata is not None and metadata.is_deleted:
        raise SecretStoreError("DescribeSecret", "scheduled_for_deletion", transient=False)


def with_times_read(account: Account, store: SecretStore) -> Account:
    """Read when a token ends that others have published; its version id does not tell.

    Raises:
        SecretStoreError: It could not be read.
    """
    published = account.published
    if published is None or published.is_ours or published.expires_at is not None:
        return account
    value = store.read_published(account.name)
    # None where the version has lost its value.
    return replace(account, published=published.with_times_of(value.text)) if value else account


def certificate_of(credentials: Credentials) -> CertificateLifetime | None:
    """Tell when a client certificate expires; None where there is none, or it does not tell."""
    if credentials.certificate is None:
        return None
    from token_refresher.oauth.certificates import validity  # noqa: PLC0415 - few accounts need it

    found = validity(credentials.certificate)
    return CertificateLifetime(found[1], found[1] - found[0]) if found else None


def usable_credentials(text: str | None, *, uses_refresh_tokens: bool) -> Credentials:
    """Validate what stands in a credentials secret, and that the settings let it be used.

    Args:
        text: None for a binary secret.
        uses_refresh_tokens: The setting.

    Raises:
        CredentialsError: It names the field or the setting, and the fix.
    """
    # Here, since most starts find nothing due, and read no credentials.
    from token_refresher.credentials import require_refresh_tokens  # noqa: PLC0415
    from token_refresher.parsing import parse_credentials  # noqa: PLC0415

    credentials = parse_credentials(text)
    require_refresh_tokens(credentials, uses_refresh_tokens=uses_refresh_tokens)
    return credentials


def client_of(credentials: Credentials, *, account: str, schedule: timedelta) -> Client:
    """Tell the account's client, whose timeout must fit into an invocation.

    Args:
        credentials: The account's.
        account: Its name, by which it signs.
        schedule: The time between two sweeps.
    """
    client = credentials.client
    if client.signs:
        client = msgspec.structs.replace(client, key=account)
    if schedule > _SHORT_SCHEDULE:
        return client
    timeout = min(client.timeout_seconds, _SHORT_TIMEOUT_SECONDS)
    return msgspec.structs.replace(client, timeout_seconds=timeout)


def admit(
    credentials: Credentials, client: Client, entry: JournalEntry | None, *, endpoint: Endpoint
) -> None:
    """Check that the client, and its journaled refresh token, may be sent where it says.

    Args:
        credentials: As they are now.
        client: Theirs, as `client_of` says.
        entry: What is in the journal.
        endpoint: What knows where clients may be sent.

    Raises:
        CredentialsError: The refresh token came from elsewhere.
        OAuthError: The client may not be sent there.
        NotAttemptedError: Not now.
    """
    if entry is not None and credentials.is_refresh_only:
        from token_refresher.credentials import require_same_place  # noqa: PLC0415

        require_same_place(credentials, host=entry.host, place=entry.place, trust=entry.trust)
    endpoint.admit(client)


class Judged(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    """A token response, as far as it must be judged before it is kept.

    Attributes:
        whole: All that there is to be kept of it.
        entry: What is kept of it: what a secret holds, and nothing that tells a secret.
        version: What it is published as.
        has_token: Whether an access token came that may be published.
        missing: Set where nobody says how long it lives.
        credentials: Whose it is.
        secrets: What must not be published.
    """

    whole: JournalEntry
    entry: JournalEntry
    version: TokenVersion
    has_token: bool
    missing: MissingExpiryError | None
    credentials: Credentials
    secrets: frozenset[str]

    @property
    def is_live(self) -> bool:
        """Whether its access token may be published, and had not expired when it was issued."""
        return self.has_token and self.version.expires_at > self.version.issued_at

    def published(self) -> tuple[PublishedToken, str]:
        """Judge the rest, and make of it what is published; the first objection counts.

        Raises:
            MissingExpiryError: Nobody says how long it lives.
            TokenResponseError: It is too long, no bearer token, or expired; or it lacks what is
                to be published, or tells a secret.
        """
        whole, dialect = self.whole, self.credentials.client.dialect
        if whole.access_token is not None and whole.shortened().access_token is None:
            raise TokenResponseError(
                "the token response is longer than a secret holds", code="token_too_long"
            )
        whole.bearer_token(dialect)
        if self.missing is not None:
            raise self.missing
        token = whole.published_as(self.version, dialect)
        return token, text_of(token, whole, credentials=self.credentials, secrets=self.secrets)


def judged(
    response: TokenResponse,
    whole: JournalEntry,
    *,
    credentials: Credentials,
    account: Account,
    issued_at: datetime,
    secrets: frozenset[str],
) -> Judged:
    """Judge a token response as far as it must be before it is kept.

    Args:
        response: As read.
        whole: All that there is to be kept of it.
        credentials: Whose it is.
        account: As it is known now.
        issued_at: Aware; from before the request, in whole seconds.
        secrets: As `secrets_of` tells them.
    """
    client, missing, life = credentials.client, None, timedelta(0)
    try:
        life = lifetime(response, issued_at=issued_at, client=client)
    except MissingExpiryError as error:
        missing = error
    dialect = client.dialect
    entry = whole.shortened().without(secrets)
    usable = entry.access_token if entry.is_bearer_token(dialect) else None
    return Judged(
        whole=whole,
        entry=entry,
        version=_version_of(
            account, usable, issued_at, life, is_renewed=dialect.renews_by_access_token
        ),
        has_token=usable is not None,
        missing=missing,
        credentials=credentials,
        secrets=secrets,
    )


def _version_of(
    account: Account,
    access_token: str | None,
    issued_at: datetime,
    life: timedelta,
    *,
    is_renewed: bool,
) -> TokenVersion:
    """Make the version id of a response.

    A token that is handed out once more still ends when it was told to, unless it is one that
    ``is_renewed`` by itself.
    """
    digest = token_digest(account.name, access_token)
    published, expires_at = account.published, issued_at + life
    if access_token and published and published.token_digest == digest and not is_renewed:
        ends_at = published.expires_at
        if ends_at is not None and ends_at > issued_at:
            expires_at = min(expires_at, ends_at)
    return TokenVersion(issued_at, expires_at, account.credentials_digest, digest)


def text_of(
    token: PublishedToken,
    entry: JournalEntry,
    *,
    credentials: Credentials,
    secrets: frozenset[str],
) -> str:
    """Write what is published, which tells no secret of the account, whoever sends it back.

    Raises:
        TokenResponseError: It would, or the response lacks what is to be published.
    """
    if credentials.publish is None:
        from token_refresher.publishing import render  # noqa: PLC0415 - not at a start

        return render(token, secrets=secrets)
    return credentials.publish.render(token, entry.response, secrets=secrets)


def secrets_of(
    credentials: Credentials, entry: JournalEntry, sent: Iterable[str | None]
) -> frozenset[str]:
    """Tell what must not be published of an entry, besides its own refresh token.

    Args:
        credentials: Whose it is.
        entry: With its own refresh token.
        sent: Assertions, and other refresh tokens that were seen: a primary grant may come after
            one that was sent.
    """
    tokens = {credentials.refresh_token, entry.refresh_token, *sent}
    if credentials.client.dialect.renews_by_access_token:
        # It is its own refresh token.
        tokens.discard(entry.access_token)
    return credentials.secrets.union(each for each in tokens if each)


def is_unchanged(
    account: Account, version: TokenVersion, *, now: datetime, is_rejected: bool = False
) -> bool:
    """Whether a response holds the published token once more, and that lives.

    Args:
        account: As it is known now.
        version: The response's.
        now: Aware.
        is_rejected: A consumer has seen the published token refused.
    """
    published = account.published
    if published is None or published.expires_at is None:
        return False
    # One that is renewed by itself may stay the same text, and live on.
    if version.expires_at > published.expires_at + TICK_SLACK and not is_rejected:
        return False
    is_same = published.token_digest == version.token_digest
    has_same_credentials = published.credentials_digest == version.credentials_digest
    return is_same and has_same_credentials and now < published.expires_at


def verify(
    credentials: Credentials, client: Client, access_token: str, *, endpoint: Endpoint
) -> bool | None:
    """Let ``verify_url`` refuse a token before consumers see it.

    Returns:
        Whether it accepts it; None where there is no such URL, or it says nothing of the token.

    Raises:
        TokenResponseError: It refuses it.
        OAuthError: It may not be asked.
    """
    if credentials.verify_url is None:
        return None
    verdict = endpoint.verify(client, access_token)
    if verdict is False:
        raise TokenResponseError("verify_url refused the new access_token", code="token_refused")
    return verdict
