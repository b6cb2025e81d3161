"""What a token endpoint answered, kept before it is judged.

The journal is a version of the credentials secret under the stage ``TOKENRESPONSE``, with the
version id that the published token will have. From the moment it is written a refresh token
whose response arrived is not lost, on whatever line the run dies.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import SecretStoreError
from token_refresher.model import PublishedToken, StoredJson, TokenVersion, Unwritten
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.hidden import Hidden
from token_refresher.oauth.token_response import bearer_token
from token_refresher.ports import LONGEST_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher.oauth.dialect import Dialect
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.ports import SecretStore

_PAUSE: Final = timedelta(seconds=2)


class JournalEntry(StoredJson, frozen=True, kw_only=True, omit_defaults=True):
    """A token response as it is kept. Its times are in its version id.

    Attributes:
        grant: `grant_digest` of the credentials that it was obtained with.
        host: Where it came from: its refresh token is sent to no other.
        place: What that follows from, as `credentials.Credentials.place` says.
        trust: Whom it was shown to besides, likewise.
        lease: The last lease when it was written, so that its time need not be read.
        access_token: As in the response, not judged.
        token_type: As in the response.
        scope: As granted.
        refresh_token: What the next refresh sends, if anything.
        refresh_is_refused: The server refused the grant type; it is not tried again.
        refresh_token_expires_in: Seconds, where the response says so.
        response: What else of it the account publishes, by its path.
    """

    grant: str
    host: str
    place: str = ""
    trust: str = ""
    lease: str | None = None
    access_token: str | None = None
    token_type: str | None = None
    scope: str | None = None
    refresh_token: str | None = None
    refresh_is_refused: bool = False
    refresh_token_expires_in: int | None = None
    response: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)

    def bearer_token(self, dialect: Dialect) -> str:
        """Judge the response, but for its lifetime, as `oauth.token_response.bearer_token` does.

        Raises:
            TokenResponseError: It is no bearer token.
        """
        return bearer_token(self.access_token, self.token_type, dialect=dialect)

    def is_bearer_token(self, dialect: Dialect) -> bool:
        """Whether `bearer_token` has no objection."""
        try:
            self.bearer_token(dialect)
        except TokenResponseError:
            return False
        return True

    @property
    def refresh_token_lives(self) -> timedelta | None:
        """How long the refresh token lives, from when it was issued; None where nobody says."""
        lives = self.refresh_token_expires_in
        return None if lives is None else timedelta(seconds=lives)

    def shortened(self) -> JournalEntry:
        """Leave out what a secret's version does not hold; its refresh token is kept all the same.

        What else is published goes first, then the access token.
        """
        entry = self
        omissions: tuple[dict[str, object], ...] = ({"response": {}}, {"access_token": None})
        for without in omissions:
            if len(entry.to_json().encode()) > LONGEST_VALUE:
                entry = msgspec.structs.replace(entry, **without)
        return entry

    def without(self, secrets: Collection[str]) -> JournalEntry:
        """Leave out what tells a secret, so that no later run publishes it.

        That run would not know which refresh token was sent; and a response without a scope has
        this one's.
        """
        from token_refresher.publishing import tells_secret  # noqa: PLC0415 - not at a start

        told = {
            name: None
            for name in ("access_token", "scope")
            if tells_secret(getattr(self, name) or "", secrets)
        }
        response = {k: v for k, v in self.response.items() if not tells_secret(v, secrets)}
        return msgspec.structs.replace(self, **told, response=response)

    def published_as(self, version: TokenVersion, dialect: Dialect) -> PublishedToken:
        """Judge the response, and make a token of it.

        Raises:
            TokenResponseError: As `bearer_token` says, or already expired.
        """
        access_token = self.bearer_token(dialect)
        if version.expires_at <= version.issued_at:
            raise TokenResponseError("the access_token had expired when it was issued")
        return PublishedToken(
            access_token=access_token,
            token_type=dialect.authorization_scheme or "Bearer",
            scope=self.scope,
            issued_at=int(version.issued_at.timestamp()),
            expires_at=int(version.expires_at.timestamp()),
        )


class Journal(Hidden, msgspec.Struct, kw_only=True):
    """One account's journal, in one refresh.

    Attributes:
        store: Secrets Manager.
        account: The account's name.
        grant: What its credentials rest on: an entry of another grant is as good as none.
            Empty where its refresh tokens are not used.
        is_only_grant: Whether the account has nothing but its refresh token.
        version_id: Of what stands under the stage; empty where nothing does.
        entry: What stands there, if it is of this grant.
        unwritten: A response that is not kept yet.
        is_repeatable: Whether what is not kept can be had again, by a primary grant.
        refused: The version id of a response that must not be published.
        trouble: Why it could not be written, by the last attempt.
    """

    store: SecretStore
    account: str
    grant: str = ""
    is_only_grant: bool = False
    version_id: str = ""
    entry: JournalEntry | None = None
    unwritten: Unwritten | None = None
    is_repeatable: bool = True
    refused: str = ""
    trouble: str = ""

    def look(self, credentials: Credentials, account: Account) -> None:
        """Read what was journaled for these credentials.

        Where they have nothing but a refresh token, also where the journal of the published token
        is, or of the one before.

        Raises:
            SecretStoreError: It could not be read.
        """
        self.grant, self.is_only_grant = credentials.grant_digest, credentials.is_refresh_only
        self.read()
        published, previous = account.published, account.previous
        for version_id in (published and published.version_id, previous and str(previous)):
            if version_id and self.is_only_grant and self.entry is None:
                self.read_version(version_id)

    def read(self) -> None:
        """Read what stands under the stage.

        Raises:
            SecretStoreError: It could not be read.
        """
        value = self.store.read_journal(self.account)
        entry = JournalEntry.from_json(value.text) if value is not None else None
        self.version_id = value.version_id if value is not None else ""
        self.entry = entry if entry is not None and entry.grant == self.grant else None

    def read_version(self, version_id: str) -> None:
        """Read the journal that a published token came from, under whose id it was written.

        The stage may have been taken from it by a late response to an earlier consent: what was
        had by this one is still there, and its initial refresh token is spent.

        Raises:
            SecretStoreError: It could not be read.
        """
        value = self.store.read_version(self.account, version_id)
        entry = JournalEntry.from_json(value.text) if value is not None else None
        if entry is not None and entry.grant == self.grant:
            self.version_id, self.entry = version_id, entry

    def came_by(self, lease_id: str, *, now: datetime) -> datetime | None:
        """Tell when the journaled response was had, if nothing was leased after this lease."""
        if self.entry is None or self.entry.lease != lease_id:
            return None
        version = TokenVersion.parse(self.version_id, now=now)
        return version.issued_at if version is not None else None

    def resume(self, kept: Unwritten) -> bool:
        """Take up a response that an earlier refresh of this environment could not write.

        Only while the journal is no later than it was when that request was made, and for the
        same grant: else another run has had a later response, and this one is worth nothing.

        Returns:
            Whether there is something to be written.
        """
        if self.version_id > kept.instead_of or kept.grant != self.grant:
            return False
        self.entry, self.unwritten = JournalEntry.from_json(kept.content), kept
        self.is_repeatable = False
        return True

    def entry_of(
        self,
        response: TokenResponse,
        *,
        credentials: Credentials,
        lease: str | None,
        sent: str | None,
        refresh_is_refused: bool,
    ) -> JournalEntry:
        """Make the entry of a response.

        A response without a refresh token means keep the old one (RFC 6749 section 6);
        without a scope, that it is as requested (section 5.1).

        Args:
            response: As read.
            credentials: Whose it is.
            lease: The last lease that is known.
            sent: The refresh token that was sent, if one was.
            refresh_is_refused: Whether the server has just refused the grant type.
        """
        before = self.entry
        is_new = response.refresh_token not in (None, sent)
        is_refused = refresh_is_refused or (before is not None and before.refresh_is_refused)
        granted = before.scope if sent and before is not None else None
        lives, publish = response.refresh_token_expires_in, credentials.publish
        assumed = credentials.client.assumed_refresh_token_expires_in
        if (is_new or before is None) and assumed and lives is None:
            # One that is kept is counted from its first response: nothing else of it is known.
            lives = timedelta(seconds=assumed)
        return JournalEntry(
            grant=self.grant,
            host=credentials.client.host,
            place=credentials.place,
            trust=credentials.trust,
            lease=lease,
            access_token=response.access_token,
            token_type=response.token_type,
            scope=response.scope or granted or credentials.scope,
            refresh_token=None if is_refused else response.refresh_token or sent,
            refresh_is_refused=is_refused,
            refresh_token_expires_in=int(lives.total_seconds()) if lives is not None else None,
            response=publish.values_of(response.content) if publish is not None else {},
        )

    def needs(self, entry: JournalEntry) -> bool:
        """Whether a response is to be kept.

        One without a refresh token, from a grant that can be repeated, is not; unless an entry
        stands there whose refresh token is of no use any more.
        """
        if not self.grant:
            return False
        holds_one = self.entry is not None and self.entry.refresh_token is not None
        return entry.refresh_token is not None or holds_one

    def keep(self, version_id: str, entry: JournalEntry, *, is_repeatable: bool) -> None:
        """Take a response, to be written by `write`."""
        self.unwritten = Unwritten(version_id, entry.to_json(), entry.grant, self.version_id)
        self.entry, self.is_repeatable = entry, is_repeatable

    def has_no_later(self) -> bool:
        """Whether no other run has journaled a response meanwhile; read once more.

        A version id begins with the time of its response, and what is read may be older.

        Raises:
            SecretStoreError: It could not be read.
        """
        value = self.store.read_journal(self.account)
        return value is None or value.version_id <= self.version_id

    def write(
        self,
        *,
        time_left: Callable[[], timedelta],
        until: timedelta,
        pause: Callable[[timedelta], None],
    ) -> bool:
        """Write what is not written yet, trying again until no more than ``until`` is left.

        A refusal that will not pass by itself ends it where nothing is lost: under a missing
        permission every account would hold a worker for a minute, and delay the others.

        Returns:
            Whether nothing is left to be written.
        """
        while self.unwritten is not None:
            try:
                # Where the id has other content, that is a response to the same primary grant,
                # of the same second, with the same access token.
                self.store.write_protocol(
                    self.account, self.unwritten.version_id, self.unwritten.content
                )
            except SecretStoreError as error:
                self.trouble = ": ".join(filter(None, (error.code, error.detail)))
                if self.is_repeatable and not error.transient:
                    return False
            except Exception:  # noqa: BLE001, S110 - whatever it is, the response is not given up
                pass
            else:
                self.version_id, self.unwritten = self.unwritten.version_id, None
                break
            if time_left() <= until:
                return False
            pause(_PAUSE)
        return True
