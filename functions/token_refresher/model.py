"""The plain data of the program: version ids, tokens, journals, accounts.

Nothing here decides, reads a clock or talks to anybody.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

import msgspec

from token_refresher import ports, records
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.token_response import bearer_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from token_refresher.ports import SecretMetadata

# An id from further in the future than this was not made by a healthy clock.
CLOCK_SKEW: Final = timedelta(minutes=5)

# Sums with times at either end of the calendar overflow; no token lives there.
_FIRST_YEAR: Final = 2000
_YEAR_3000: Final = 32_503_680_000
_VERSION_ID: Final = re.compile(r"(\d{8}T\d{6}Z)-(\d{8}T\d{6}Z)-([0-9a-f]{12})-([0-9a-f]{12})")


def digest12(text: str) -> str:
    """The first 12 hex digits of a SHA-256: enough to tell one credentials version from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def claim_id(basis: str, number: int) -> str:
    """The version id under which a refresh token is claimed.

    Args:
        basis: The journal version that holds the refresh token; for a seed the grant's digest.
        number: 1 for the first claim. The same basis and number always give the same
            id, so Secrets Manager lets exactly one run write it.
    """
    numbered = basis if number == 1 else f"{basis}#{number}"
    return ports.CLAIM_PREFIX + hashlib.sha256(numbered.encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class TokenVersion:
    """A version id of ours: it tells when the token was issued, and when it expires.

    It is `PutSecretValue`'s ``ClientRequestToken``, so one listing shows the
    schedule of every account without reading a secret.

    Attributes:
        issued_at: Aware; from before the request was sent.
        expires_at: Aware. Not later than ``issued_at`` for a response without a usable token.
        credentials_digest: `digest12` of the credentials' version id, as read.
        random: 12 hex digits.
    """

    issued_at: datetime
    expires_at: datetime
    credentials_digest: str
    random: str

    def __str__(self) -> str:
        """Write the version id: 59 characters of the 64 that are allowed."""
        begins, ends = map(records.format_timestamp, (self.issued_at, self.expires_at))
        return f"{begins}-{ends}-{self.credentials_digest}-{self.random}"

    @classmethod
    def parse(cls, version_id: str, *, now: datetime) -> Self | None:
        """Read a version id; None where it is not ours or comes from the future."""
        match = _VERSION_ID.fullmatch(version_id)
        if match is None:
            return None
        issued_at, expires_at = map(records.parse_timestamp, match.group(1, 2))
        if issued_at is None or expires_at is None or issued_at > now + CLOCK_SKEW:
            return None
        if issued_at.year < _FIRST_YEAR or expires_at.year < _FIRST_YEAR:
            return None
        return cls(issued_at, expires_at, match[3], match[4])


class _StoredJson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept as the JSON text of a secret's version."""

    def __repr__(self) -> str:
        """Hide what it holds."""
        return f"{type(self).__name__}(…)"

    def to_json(self) -> str:
        """Write the version's text; the same fields always give the same text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Read a version's text; None where it is not one of ours."""
        try:
            return msgspec.json.decode(text or "", type=cls)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None


class PublishedToken(_StoredJson, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON that consumers read.

    Epoch seconds that err on the safe side. There is no ``expires_in``: it would
    be false the moment it is read. There is no refresh token, ever.
    """

    access_token: str
    token_type: str
    scope: str | None = None
    issued_at: int
    expires_at: int


class JournalEntry(_StoredJson, frozen=True, kw_only=True, omit_defaults=True):
    """A token response as it is kept under the stage ``TOKENRESPONSE``.

    Its times are in its version id.

    Attributes:
        grant: `grant_digest` of the credentials that it was obtained with.
        access_token: As in the response, not judged.
        token_type: As in the response.
        scope: As granted.
        refresh_token: What the next refresh sends, if anything.
        refresh_is_refused: The server refused the grant type; it is not tried again.
    """

    grant: str
    access_token: str | None = None
    token_type: str | None = None
    scope: str | None = None
    refresh_token: str | None = None
    refresh_is_refused: bool = False

    def bearer_token(self) -> str:
        """Judge the response, but for its lifetime, as `oauth.token_response.bearer_token` does.

        Raises:
            TokenResponseError: It is no bearer token.
        """
        return bearer_token(self.access_token, self.token_type)

    @property
    def is_bearer_token(self) -> bool:
        """Whether `bearer_token` has no objection."""
        try:
            self.bearer_token()
        except TokenResponseError:
            return False
        return True

    def published_as(self, version: TokenVersion) -> PublishedToken:
        """Judge the response, and make what is published of it.

        Raises:
            TokenResponseError: As `bearer_token` says, or already expired.
        """
        access_token = self.bearer_token()
        if version.expires_at <= version.issued_at:
            raise TokenResponseError("the access_token had expired when it was issued")
        return PublishedToken(
            access_token=access_token,
            token_type="Bearer",  # noqa: S106 - the one word that consumers take
            scope=self.scope,
            issued_at=int(version.issued_at.timestamp()),
            expires_at=int(version.expires_at.timestamp()),
        )


class Claim(_StoredJson, frozen=True, kw_only=True, omit_defaults=False):
    """The content of a claim: whose it is, since when.

    Attributes:
        claimed_at: Epoch seconds.
        run: Random, so that two claims never have the same content.
        is_resend: The refresh token had been sent before, and no response arrived.
    """

    claimed_at: int
    run: str
    is_resend: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """The published token, as far as its version id tells.

    Attributes:
        version_id: Whatever it is.
        issued_at: None where neither the id nor the token's JSON tells.
        expires_at: None likewise; such a token is due.
        credentials_digest: None where the id is not ours; its credentials count as unchanged.
    """

    version_id: str
    issued_at: datetime | None
    expires_at: datetime | None
    credentials_digest: str | None

    @property
    def is_ours(self) -> bool:
        """Whether the version id is the schedule, so that nothing has to be read."""
        return self.credentials_digest is not None

    def with_times_of(self, text: str | None) -> Published:
        """Take the times from the token's JSON, where the version id is somebody else's."""
        try:
            content = msgspec.json.decode(text or "", type=_PublishedTimes)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self
        return Published(self.version_id, _time(content.issued_at), _time(content.expires_at), None)


class _PublishedTimes(msgspec.Struct, frozen=True):
    """What is looked for in a token that somebody else published."""

    issued_at: float | None = None
    expires_at: float | None = None


def _time(epoch_seconds: float | None) -> datetime | None:
    # Neither "never" as the beginning of a calendar, nor one as its end, is a time.
    if epoch_seconds is None or not 0 < epoch_seconds < _YEAR_3000:
        return None
    return datetime.fromtimestamp(epoch_seconds, UTC)


@dataclass(frozen=True, slots=True)
class Account:
    """One account, as metadata tells it.

    Attributes:
        name: What follows ``{prefix}/credentials/``.
        credentials_version: The credentials' ``AWSCURRENT`` version id; None while
            the account awaits its credentials, or has lost them.
        has_credentials_secret: Whether there is a credentials secret at all.
        token: The token secret's metadata; None where there is no such secret.
        published: None while no token was ever published.
        previous: The version that the published one replaced, where its id is ours.
        journal: The journaled response's version, where there is one.
        uses_refresh_tokens: Whether there are a claim or a journal among its stages.
        unrecorded: Tags that could not be written, from the warm environment; they stand
            for what the token secret's say.
    """

    name: str
    credentials_version: str | None
    has_credentials_secret: bool
    token: SecretMetadata | None
    published: Published | None
    previous: TokenVersion | None
    journal: TokenVersion | None
    uses_refresh_tokens: bool
    unrecorded: records.Unrecorded | None = None

    @property
    def is_managed(self) -> bool:
        """Whether it has credentials."""
        return self.credentials_version is not None

    @property
    def tags(self) -> Mapping[str, str]:
        """What is on record: the token secret's tags, and those that it could not be given."""
        written = self.token.tags if self.token else {}
        return {**written, **self.unrecorded.tags} if self.unrecorded else written

    @property
    def failure(self) -> records.FailureRecord | None:
        """The recorded failure, whether or not it still counts."""
        return records.FailureRecord.from_tags(self.tags)

    @property
    def credentials_digest(self) -> str:
        """`digest12` of the credentials' version id."""
        return digest12(self.credentials_version or "")

    @property
    def counting_failure(self) -> records.FailureRecord | None:
        """The recorded failure, if it is of these credentials and newer than the token."""
        failure = self.failure
        if failure is None or failure.credentials_digest != self.credentials_digest:
            return None
        issued_at = self.published.issued_at if self.published else None
        return failure if issued_at is None or failure.failed_at >= issued_at else None

    @property
    def live_until(self) -> datetime | None:
        """When the published token expires, or did; None where nobody can tell."""
        return self.published.expires_at if self.published else None

    @property
    def refused_random(self) -> str | None:
        """The random part of a journaled response that must not be published."""
        return self.tags.get(records.REFUSED_TAG)

    @property
    def released_claim(self) -> str | None:
        """The last claim whose refresh token was surely not redeemed, with its number."""
        return self.tags.get(records.RELEASED_TAG)

    @property
    def dead_claim(self) -> str | None:
        """The claim whose refresh token was answered with ``invalid_grant``, with its number."""
        return self.tags.get(records.DEAD_TAG)

    @property
    def grant(self) -> records.GrantLifetime | None:
        """When the refresh token itself expires, for a refresh-only account."""
        return records.GrantLifetime.from_tag(self.tags.get(records.GRANT_EXPIRES_AT_TAG, ""))


def account_from_metadata(
    name: str,
    *,
    credentials: SecretMetadata | None,
    token: SecretMetadata | None,
    now: datetime,
) -> Account:
    """Put the two secrets of an account together.

    Args:
        name: The account's.
        credentials: None where there is no such secret (the token is orphaned); one that is
            scheduled for deletion is as good as none.
        token: None where there is no such secret yet.
        now: Aware; a version id from the future is not believed.
    """
    if credentials is not None and credentials.is_deleted:
        credentials = None
    credentials_stages = credentials.stages if credentials else {}
    token_stages = token.stages if token else {}
    current = token_stages.get(ports.CURRENT)
    return Account(
        name=name,
        credentials_version=credentials_stages.get(ports.CURRENT),
        has_credentials_secret=credentials is not None,
        token=token,
        published=None if current is None else published_from_id(current, now=now),
        previous=TokenVersion.parse(token_stages.get(ports.PREVIOUS, ""), now=now),
        journal=TokenVersion.parse(credentials_stages.get(ports.JOURNAL_STAGE, ""), now=now),
        uses_refresh_tokens=bool(
            {ports.CLAIM_STAGE, ports.JOURNAL_STAGE} & credentials_stages.keys()
        ),
    )


def accounts_from_listing(
    credentials: Mapping[str, SecretMetadata],
    tokens: Mapping[str, SecretMetadata],
    *,
    now: datetime,
) -> Iterator[Account]:
    """Pair the secrets of both paths, as `SecretStore.list_secrets` lists them."""
    for name in {**credentials, **tokens}:
        yield account_from_metadata(
            name, credentials=credentials.get(name), token=tokens.get(name), now=now
        )


def without_refresh_tokens(account: Account) -> Account:
    """Look at no journal that an earlier setting left behind."""
    return replace(account, journal=None, uses_refresh_tokens=False)


def with_token(account: Account, token: SecretMetadata | None, *, now: datetime) -> Account:
    """Take a newer description of the token secret.

    Times that were read from a token's JSON are kept while it is the same version.
    """
    fresh = account_from_metadata(account.name, credentials=None, token=token, now=now)
    published, known = fresh.published, account.published
    if published is not None and known is not None and published.version_id == known.version_id:
        published = known
    known_tags = account.unrecorded.instead_of if account.unrecorded else {}
    unrecorded = account.unrecorded if records.our_tags(token) == known_tags else None
    account = replace(account, token=token, published=published, previous=fresh.previous)
    return with_unrecorded(account, unrecorded)


def with_unrecorded(account: Account, unrecorded: records.Unrecorded | None) -> Account:
    """Remember what could not be written, unless a token was issued since."""
    issued_at = account.published.issued_at if account.published else None
    if unrecorded is not None and issued_at is not None and issued_at > unrecorded.since:
        unrecorded = None
    return replace(account, unrecorded=unrecorded)


def published_from_id(version_id: str, *, now: datetime) -> Published:
    """Tell what a token's version id tells."""
    version = TokenVersion.parse(version_id, now=now)
    if version is None:
        return Published(version_id, None, None, None)
    return Published(version_id, version.issued_at, version.expires_at, version.credentials_digest)
