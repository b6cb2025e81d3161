"""The plain data of the program: version ids, tokens, accounts.

Nothing here decides, reads a clock or talks to anybody.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from token_refresher import ports, records
from token_refresher.oauth.decoding import decoded
from token_refresher.oauth.hidden import Hidden

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


# Where a response has no access token that could be told from another.
NO_TOKEN_DIGEST: Final = "0" * 12


def token_digest(account: str, access_token: str | None) -> str:
    """The last part of a version id: the same for an access token that is handed out again.

    Args:
        account: So that two accounts' ids do not tell that they share a token.
        access_token: None where the response has no usable one.
    """
    return digest12(f"{account}\n{access_token}") if access_token else NO_TOKEN_DIGEST


@dataclass(frozen=True, slots=True)
class TokenVersion:
    """A version id of ours: it tells when the token was issued, and when it expires.

    It is `PutSecretValue`'s ``ClientRequestToken``, so one listing shows the
    schedule of every account without reading a secret.

    Attributes:
        issued_at: Aware; from before the request was sent.
        expires_at: Aware. Not later than ``issued_at`` for a response without a usable token.
        credentials_digest: `digest12` of the credentials' version id, as read.
        token_digest: As `token_digest` says, so that metadata tells a token that is handed
            out again.
    """

    issued_at: datetime
    expires_at: datetime
    credentials_digest: str
    token_digest: str

    def __str__(self) -> str:
        """Write the version id: 59 characters of the 64 that are allowed."""
        begins, ends = map(records.format_timestamp, (self.issued_at, self.expires_at))
        return f"{begins}-{ends}-{self.credentials_digest}-{self.token_digest}"

    @classmethod
    def parse(cls, version_id: str, *, now: datetime) -> Self | None:
        """Read a version id; None where it is an external one or comes from the future."""
        match = _VERSION_ID.fullmatch(version_id)
        if match is None:
            return None
        issued_at, expires_at = map(records.parse_timestamp, match.group(1, 2))
        if issued_at is None or expires_at is None or issued_at > now + CLOCK_SKEW:
            return None
        if issued_at.year < _FIRST_YEAR or expires_at.year < _FIRST_YEAR:
            return None
        return cls(issued_at, expires_at, match[3], match[4])


class StoredJson(Hidden, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept as the JSON text of a secret's version."""

    def to_json(self) -> str:
        """Write the version's text; the same fields always give the same text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Read a version's text; None where it is not one of ours."""
        return _decoded(text, cls)


class PublishedToken(StoredJson, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON that consumers read.

    Epoch seconds that err on the safe side. There is no ``expires_in``: it would
    be false the moment it is read. There is no refresh token, ever.
    """

    access_token: str
    token_type: str
    scope: str | None = None
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Published:
    """The published token, as far as its version id tells.

    Attributes:
        version_id: Whatever it is.
        issued_at: None where neither the id nor the token's JSON tells.
        expires_at: None likewise; such a token is due.
        credentials_digest: None for an external version; its credentials count as unchanged.
        token_digest: Likewise.
        is_foreign: Whether it was read, and is no token in the standard form: something that
            other programs may need as it is.
    """

    version_id: str
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    credentials_digest: str | None = None
    token_digest: str | None = None
    is_foreign: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether the version id is the schedule, so that nothing has to be read."""
        return self.credentials_digest is not None

    def with_times_of(self, text: str | None) -> Published:
        """Take the times from the token's JSON, where the version id is somebody else's.

        Args:
            text: None where it is binary. What is empty is nobody's.
        """
        times = _decoded(text, _PublishedTimes) or _PublishedTimes()
        is_empty = text is not None and text.strip() in _EMPTY
        return Published(
            self.version_id,
            _time(times.issued_at),
            _time(times.expires_at),
            is_foreign=not is_empty and _decoded(text, _StandardForm) is None,
        )


# What tools write into a secret that they create for somebody else to fill.
_EMPTY: Final = frozenset({"", "{}", "null"})


class _PublishedTimes(msgspec.Struct, frozen=True):
    """What is looked for in a token that somebody else published."""

    issued_at: float | None = None
    expires_at: float | None = None


class _StandardForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `PublishedToken` can replace without a consumer missing anything."""

    access_token: str
    token_type: str | None = None
    scope: str | None = None
    issued_at: msgspec.Raw = msgspec.Raw()
    expires_at: msgspec.Raw = msgspec.Raw()


_Form = TypeVar("_Form", bound=msgspec.Struct)


def _decoded(text: str | None, form: type[_Form]) -> _Form | None:
    try:
        return decoded(text or "", form)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _time(epoch_seconds: float | None) -> datetime | None:
    # Neither "never" as the beginning of a calendar, nor one as its end, is a time.
    if epoch_seconds is None or not 0 < epoch_seconds < _YEAR_3000:
        return None
    return datetime.fromtimestamp(epoch_seconds, UTC)


class Unwritten(Hidden, msgspec.Struct, frozen=True):
    """A response that could not be journaled; it lives as long as the environment.

    Attributes:
        version_id: What it should have been written under.
        content: What should have been written. Secret.
        grant: The grant that it is of: it is worth nothing to another one.
        instead_of: The journal's version id when the request was made; empty where there
            was none. Where another one stands there now, it is newer.
    """

    version_id: str
    content: str
    grant: str
    instead_of: str


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
        lease: The version id of the last lease, where there was one.
        unrecorded: Tags that could not be written, from the warm environment; they stand
            for what the token secret's say.
        unwritten: A response that could not be journaled, likewise.
    """

    name: str
    credentials_version: str | None
    has_credentials_secret: bool
    token: SecretMetadata | None
    published: Published | None
    previous: TokenVersion | None
    journal: TokenVersion | None
    lease: str | None
    unrecorded: records.Unrecorded | None = None
    unwritten: Unwritten | None = None

    @property
    def is_managed(self) -> bool:
        """Whether it has credentials."""
        return self.credentials_version is not None

    @property
    def is_foreign(self) -> bool:
        """Whether the token secret holds what other programs may need, by what was read of it.

        What replaced a token of ours is not meant, such as a placeholder of a tool that ran again.
        """
        published = self.published
        return published is not None and published.is_foreign and self.previous is None

    @property
    def tags(self) -> Mapping[str, str]:
        """What is on record: the token secret's tags, and those that it could not be given."""
        written = self.token.tags if self.token else {}
        return {**written, **self.unrecorded.tags} if self.unrecorded else written

    @property
    def uses_refresh_tokens(self) -> bool:
        """Whether a refresh writes the credentials secret, too."""
        return self.lease is not None or self.journal is not None

    @property
    def failure(self) -> records.FailureRecord | None:
        """What is recorded since the last success, for whatever credentials."""
        failure = records.FailureRecord.from_tag(self.tags.get(records.FAILURE_TAG))
        if failure is None or self.published is None:
            return failure
        is_kept = self.journal is not None and self.published.version_id == str(self.journal)
        if is_kept and failure.code == records.JOURNAL_NOT_WRITTEN:
            # It was written in the end, by a run that died, or read an old description.
            return None
        issued_at = self.published.issued_at
        return failure if issued_at is None or failure.since > issued_at else None

    @property
    def counting_failure(self) -> records.FailureRecord | None:
        """The recorded failure, if it is of these credentials."""
        failure = self.failure
        is_theirs = failure is not None and failure.credentials_digest == self.credentials_digest
        return failure if is_theirs else None

    @property
    def refusals(self) -> records.Refusals | None:
        """How often the credentials were refused."""
        return records.Refusals.from_tag(self.tags.get(records.REFUSALS_TAG))

    @property
    def lease_end(self) -> records.LeaseEnd | None:
        """What became of the last lease; None where nobody has said so."""
        return records.lease_end(self.tags.get(records.LEASE_TAG), self.lease)

    @property
    def credentials_digest(self) -> str:
        """`digest12` of the credentials' version id."""
        return digest12(self.credentials_version or "")

    @property
    def live_until(self) -> datetime | None:
        """When the published token expires, or did; None where nobody can tell."""
        return self.published.expires_at if self.published else None

    @property
    def refused_response(self) -> str | None:
        """The version id of a journaled response that must not be published."""
        return self.tags.get(records.REFUSED_RESPONSE_TAG)

    @property
    def grant(self) -> records.GrantLifetime | None:
        """When the refresh token itself expires, for a refresh-only account."""
        return records.GrantLifetime.from_tag(self.tags.get(records.GRANT_EXPIRES_AT_TAG, ""))

    @property
    def certificate(self) -> records.CertificateLifetime | None:
        """When the client certificate expires that the last token was had by."""
        tag = self.tags.get(records.CERTIFICATE_EXPIRES_AT_TAG)
        # Each sweep asks it of each account, and few have one.
        return records.CertificateLifetime.from_tag(tag) if tag else None


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
        lease=credentials_stages.get(ports.LEASE_STAGE),
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
    return replace(account, journal=None, lease=None, unwritten=None)


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
        return Published(version_id)
    return Published(
        version_id,
        version.issued_at,
        version.expires_at,
        version.credentials_digest,
        version.token_digest,
    )
