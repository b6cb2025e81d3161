"""One account from start to finish: confirm, claim, request, journal, publish, record.

The order of the writes is the point. Whatever line a run dies on, the published
token is untouched, and a refresh token whose answer arrived is in the journal.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from token_refresher import records
from token_refresher.credentials import (
    RefreshTokenCredentials,
    parse_credentials,
    require_refresh_tokens,
)
from token_refresher.errors import (
    NotAttemptedError,
    OutOfTimeError,
    RefreshTokenLostError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.model import (
    Claim,
    JournalEntry,
    TokenVersion,
    claim_id,
    published_from_id,
    with_token,
)
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import required_lifetime
from token_refresher.policy import (
    FAILURES,
    Decision,
    Reason,
    decide,
    failure_record,
    has_unpublished_response,
    lives_too_short,
)
from token_refresher.ports import SecretMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account, PublishedToken
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.policy import Failure
    from token_refresher.ports import SecretStore

# One refresh ends within this, whatever hangs.
_REFRESH_TIME: Final = timedelta(seconds=60)
# A request of 10 s and two writes of 15 s must still fit when it is begun.
_TIME_TO_REQUEST: Final = timedelta(seconds=40)
# With less than this a refresh is not begun: what it reads before the request takes time
# too. It must fit into the shortest invocation, of a schedule of one minute.
TIME_TO_BEGIN: Final = _TIME_TO_REQUEST + timedelta(seconds=5)
_JOURNAL_PAUSE: Final = timedelta(seconds=2)

# A run that claimed longer ago than this has died: its request ended long before.
_CLAIM_IS_ABANDONED: Final = timedelta(minutes=2)
# A refresh-only account has nothing else to try, and more to lose by haste.
_RESEND_AFTER: Final = timedelta(minutes=15)

# A refresh token's own expiry that moves by less than this has not been renewed.
_SAME_EXPIRY: Final = timedelta(minutes=5)


class TokenEndpoint(Protocol):
    """What a refresh needs of the token endpoint."""

    def admit(self, client: Client) -> None:
        """Raise where the client must not be sent now."""

    def request(self, client: Client, grant: Mapping[str, str]) -> TokenResponse:
        """Send one token request."""

    def verify(self, client: Client, access_token: str) -> bool | None:
        """Ask ``verify_url`` whether a token is accepted; None where nobody can tell."""


class Outcome(StrEnum):
    """What came of an account in a sweep. Public: log field and summary."""

    PUBLISHED = "published"
    STAGED = "staged"
    FAILED = "failed"
    NOT_DUE = "not due"
    SUPERSEDED = "superseded"
    CLAIMED_BY_ANOTHER_RUN = "claimed by another run"
    NOT_ATTEMPTED = "not attempted"
    WOULD_REFRESH = "would refresh"


class Caution(StrEnum):
    """What is worth a word although the token was published, or the failure is another."""

    FAILURE_NOT_RECORDED = "failure_not_recorded"
    JOURNAL_NOT_WRITTEN = "journal_not_written"
    LIVES_TOO_SHORT = "token_lives_too_short"
    RECORD_NOT_WRITTEN = "record_not_written"
    REFRESH_TOKEN_RESENT = "refresh_token_resent"  # noqa: S105 - a word
    VERIFICATION_INCONCLUSIVE = "verification_inconclusive"


class Result(msgspec.Struct, frozen=True):
    """What one account's refresh came to.

    Attributes:
        account: As it is known now.
        reason: Why it was due, or was not.
        outcome: What was done.
        error: Why it failed, or was put off.
        cautions: What else should be known.
    """

    account: Account
    reason: Reason
    outcome: Outcome
    error: Failure | NotAttemptedError | None = None
    cautions: tuple[Caution, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an invocation asks for.

    Attributes:
        now: Aware; the sweep's time, which back-off is counted from.
        time_left: What is left of the invocation.
        force: A person asked for it.
        rejected_version: A consumer saw the token of this version refused.
        stage_as: The version id that a rotation waits for: the token is staged under
            it as ``AWSPENDING`` instead of being published.
        dry_run: Confirm and explain; write and ask nothing.
    """

    now: datetime
    time_left: Callable[[], timedelta]
    force: bool = False
    rejected_version: str = ""
    stage_as: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresher:
    """Refreshes accounts, one at a time, from any number of threads.

    Attributes:
        store: Secrets Manager.
        endpoint: The token endpoints.
        clock: Gives aware times.
        pause: Waits, between attempts to write a journal.
        refresh_before: How long before its expiry a token is due.
        uses_refresh_tokens: The setting; False where the permission is taken away.
        records_failures: False where this is not the function but a person's machine, whose
            trust store, network, settings or permissions may be all that is wrong.
    """

    store: SecretStore
    endpoint: TokenEndpoint
    clock: Callable[[], datetime]
    pause: Callable[[timedelta], None]
    refresh_before: timedelta
    uses_refresh_tokens: bool
    records_failures: bool = True

    def decide(self, account: Account, asked: Asked) -> Decision:
        """Decide whether an account's token must be refreshed now, by what is known of it."""
        return decide(
            account,
            now=asked.now,
            refresh_before=self.refresh_before,
            force=asked.force,
            rejected_version=asked.rejected_version,
        )

    def refresh(self, account: Account, asked: Asked) -> Result:
        """Refresh one account, if what is read now confirms that it is due.

        Args:
            account: As listed.
            asked: What for, and in what time.

        Returns:
            Never raises: whatever goes wrong is in the result.
        """
        left = asked.time_left() - _REFRESH_TIME
        attempt = _Attempt(refresher=self, account=account, asked=asked, needed_time_left=left)
        try:
            return attempt.run()
        except NotAttemptedError as error:
            return attempt.result(Outcome.NOT_ATTEMPTED, error)
        except FAILURES as error:
            return attempt.failed(error)
        except Exception as exception:  # noqa: BLE001 - one account's defect is not the others'
            return attempt.failed(UnexpectedError(exception))


@dataclass(frozen=True, slots=True, repr=False)
class _Answer:
    """A judged token, ready to be published.

    Attributes:
        version: What it is published as.
        token: Passed RFC 6749 section 5.1.
        is_claimed: Its refresh token was claimed, so no other run can have a later one.
        refresh_token_expires_in: For a refresh-only account.
    """

    version: TokenVersion
    token: PublishedToken
    is_claimed: bool
    refresh_token_expires_in: timedelta | None = None


def allows_primary_grant(error: OAuthError) -> bool:
    """Whether the account's primary grant may be tried in the same run, after its refresh token."""
    if isinstance(error, EndpointUnavailableError):
        # Not where the host is not to be asked again now.
        return error.sent and not error.stops_host
    # It would fail on the same secret.
    return error.code != "invalid_client"


@dataclass(slots=True, repr=False, kw_only=True)
class _Attempt:
    """The state of one refresh.

    Attributes:
        needed_time_left: The invocation's time that is not this refresh's to use.
        journal: The journaled response, if it was written for this grant.
        journal_id: Its version id.
        claim: The won claim's id and number, as the tag holds it.
        released: Likewise, once its refresh token is known to be unspent.
        dead: Likewise, once its refresh token is known to be of no use.
        refused: The random part of a journaled response that must not be published.
        unwritten: A journal that could not be written yet: version id and content.
        is_repeatable: Whether what it holds can be had again, by the account's primary grant.
    """

    refresher: Refresher
    account: Account
    asked: Asked
    needed_time_left: timedelta
    decision: Decision = field(default=Decision(due=False, reason=Reason.FRESH))
    journal: JournalEntry | None = None
    journal_id: str = ""
    claim: str = ""
    released: str = ""
    dead: str = ""
    refused: str = ""
    unwritten: tuple[str, str] | None = None
    is_repeatable: bool = False
    cautions: list[Caution] = field(default_factory=list)

    @property
    def store(self) -> SecretStore:
        return self.refresher.store

    @property
    def endpoint(self) -> TokenEndpoint:
        return self.refresher.endpoint

    # Each step below is one paragraph of the protocol, in its order.

    def run(self) -> Result:
        """Go through the steps until one of them ends the refresh."""
        self._confirm()
        if not self._is_due():
            return self.result(Outcome.NOT_DUE)
        if self.asked.dry_run:
            return self.result(Outcome.WOULD_REFRESH)
        credentials = self._read_credentials()
        if credentials is None or not self._is_due():
            return self.result(Outcome.NOT_DUE)
        self._read_journal(credentials)
        if not self._is_due():
            return self.result(Outcome.NOT_DUE)
        if self.journal is not None and has_unpublished_response(self.account, now=self.asked.now):
            self._ensure_token_secret()
            answer = self._journaled_answer(self.journal)
        else:
            self.endpoint.admit(credentials.client)
            self._require_time()
            self._ensure_token_secret()
            requested = self._request(credentials)
            if requested is None:
                return self.result(Outcome.CLAIMED_BY_ANOTHER_RUN)
            answer = requested
        self._verify(credentials, answer)
        if self.asked.stage_as:
            self._put(self.store.stage, self.asked.stage_as, answer)
            return self._succeeded(credentials, answer, Outcome.STAGED)
        if self._is_superseded(answer):
            return self._succeeded(credentials, answer, Outcome.SUPERSEDED)
        self._publish(answer)
        return self._succeeded(credentials, answer, Outcome.PUBLISHED)

    def _confirm(self) -> None:
        """Describe the token secret: the listing may be five minutes old."""
        metadata = self.store.describe_token(self.account.name)
        self.account = with_token(self.account, metadata, now=self.asked.now)
        if metadata is not None and metadata.is_deleted:
            raise SecretStoreError("DescribeSecret", "scheduled_for_deletion", transient=False)
        published = self.account.published
        if published is not None and not published.is_ours and published.expires_at is None:
            value = self.store.read_published(self.account.name)
            read = published.with_times_of(value.text if value else None)
            self.account = replace(self.account, published=read)

    def _is_due(self) -> bool:
        """Decide again, with what has been read since."""
        self.decision = self.refresher.decide(self.account, self.asked)
        return self.decision.due

    def _read_credentials(self) -> Credentials | None:
        """Read and validate the credentials; None where there are none yet."""
        value = self.store.read_credentials(self.account.name)
        # Some tools create a secret with an empty text instead of no value.
        if value is None or value.text == "":
            self.account = replace(
                self.account, credentials_version=None, has_credentials_secret=True
            )
            self._is_due()
            return None
        self.account = replace(self.account, credentials_version=value.version_id)
        credentials = parse_credentials(value.text)
        require_refresh_tokens(credentials, uses_refresh_tokens=self.refresher.uses_refresh_tokens)
        return credentials

    def _uses_refresh_tokens(self, credentials: Credentials) -> bool:
        return self.refresher.uses_refresh_tokens and credentials.use_refresh_token

    def _read_journal(self, credentials: Credentials) -> None:
        """Read the journaled response; one of another grant is as good as none."""
        self.account = replace(self.account, journal=None)
        if not self._uses_refresh_tokens(credentials):
            return
        value = self.store.read_journal(self.account.name)
        entry = JournalEntry.from_json(value.text) if value else None
        if value is None or entry is None or entry.grant != credentials.grant_digest:
            return
        self.journal, self.journal_id = entry, value.version_id
        self.account = replace(
            self.account, journal=TokenVersion.parse(value.version_id, now=self.asked.now)
        )

    def _journaled_answer(self, journal: JournalEntry) -> _Answer:
        """Take an answer that an earlier run journaled and could not publish."""
        version = TokenVersion.parse(self.journal_id, now=self.asked.now)
        assert version is not None  # noqa: S101 - has_unpublished_response looked at it
        self.refused = version.random
        token = journal.published_as(version)
        self.refused = ""
        return _Answer(version, token, is_claimed=False)

    def _require_time(self) -> None:
        """Begin nothing that could be cut off between redeeming and journaling."""
        if self._own_time_left() < _TIME_TO_REQUEST:
            raise OutOfTimeError("not enough time is left in this invocation")

    def _own_time_left(self) -> timedelta:
        return min(self.asked.time_left(), self.asked.time_left() - self.needed_time_left)

    def _ensure_token_secret(self) -> None:
        """Create the token secret first, so that even a first failure has a place."""
        if self.account.token is None:
            self.store.create_token_secret(self.account.name)
            self.account = replace(self.account, token=SecretMetadata())

    def _request(self, credentials: Credentials) -> _Answer | None:
        """Get a token: by a live, unclaimed refresh token if there is one, else by primary grant.

        Returns:
            None where another run has claimed the refresh token and may still be at it.
        """
        refresh_token, basis = self._refresh_token(credentials)
        failure: OAuthError | None = None
        if refresh_token is not None:
            claim = self._claim(basis, credentials)
            if claim is None:
                return None
            if claim:
                redeemed = self._redeem(credentials, refresh_token)
                if isinstance(redeemed, _Answer):
                    return redeemed
                failure = redeemed
        return self._use_primary_grant(credentials, failure)

    def _redeem(self, credentials: Credentials, refresh_token: str) -> _Answer | OAuthError:
        """Send a claimed refresh token; return the failure that the primary grant may follow."""
        grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return self._ask(credentials, grant)
        except OAuthError as error:
            if error.leaves_refresh_token_unspent:
                self.released = self.claim
            if error.code == "invalid_grant":
                self.dead = self.claim
            if not allows_primary_grant(error):
                raise
            return error

    def _use_primary_grant(self, credentials: Credentials, failure: OAuthError | None) -> _Answer:
        """Ask by the account's primary grant, if it has one besides the refresh token."""
        if isinstance(credentials, RefreshTokenCredentials):
            raise failure or RefreshTokenLostError
        if failure is not None:
            try:
                self.endpoint.admit(credentials.client)
            except NotAttemptedError:
                raise failure from None
        is_refused = isinstance(failure, TokenRequestError) and failure.refuses_grant_type
        return self._ask(credentials, credentials.grant_parameters, refresh_is_refused=is_refused)

    def _refresh_token(self, credentials: Credentials) -> tuple[str | None, str]:
        """Tell the refresh token to send, and what its claim is derived from."""
        if self.journal is not None:
            return self.journal.refresh_token, self.journal_id
        if isinstance(credentials, RefreshTokenCredentials):
            return credentials.refresh_token, credentials.grant_digest
        return None, ""

    def _claim(self, basis: str, credentials: Credentials) -> bool | None:
        """Claim a refresh token, so that exactly one run sends it.

        It also proves, before anything is spent, that the journal can be written.

        Returns:
            True where this run has won. False where it was claimed long ago and its
            answer never came. None where another run may be waiting for the answer.
        """
        is_only_grant = isinstance(credentials, RefreshTokenCredentials)
        try:
            return self._contend(basis, is_only_grant=is_only_grant)
        except SecretStoreError:
            if is_only_grant:
                raise
            # The primary grant's token is worth having even where no journal can be written.
            return False

    def _contend(self, basis: str, *, is_only_grant: bool) -> bool | None:
        number, is_resend = self._next_claim(basis)
        while not self._write_claim(basis, number, is_resend=is_resend):
            held = self._held_claim(basis, number)
            age = (
                self.asked.now - datetime.fromtimestamp(held.claimed_at, UTC)
                if held
                else timedelta(0)
            )
            if held is None or age < (_RESEND_AFTER if is_only_grant else _CLAIM_IS_ABANDONED):
                return None
            if not is_only_grant:
                return False
            if self.account.dead_claim == self.claim:
                # It was answered, and not to be sent again.
                self.dead = self.claim
                raise TokenRequestError("invalid_grant")
            if held.is_resend:
                return False
            number, is_resend = number + 1, True
        if is_resend:
            self.cautions.append(Caution.REFRESH_TOKEN_RESENT)
        return True

    def _next_claim(self, basis: str) -> tuple[int, bool]:
        """Tell the number to claim under, and whether the refresh token may be spent already.

        The number follows the last claim that is known to be unspent.
        """
        released, _, digits = (self.account.released_claim or "").partition("/")
        # Anybody who may tag can edit it; a number of any length would not fit into the next tag.
        if not re.fullmatch(r"[0-9]{1,6}", digits) or released != claim_id(basis, int(digits)):
            return 1, False
        before = self._held_claim(basis, int(digits))
        return int(digits) + 1, before is not None and before.is_resend

    def _held_claim(self, basis: str, number: int) -> Claim | None:
        value = self.store.read_claim(self.account.name, claim_id(basis, number))
        return Claim.from_json(value.text) if value else None

    def _write_claim(self, basis: str, number: int, *, is_resend: bool) -> bool:
        claim = Claim(
            claimed_at=int(self.refresher.clock().timestamp()),
            run=secrets.token_hex(16),
            is_resend=is_resend,
        )
        self.claim = f"{claim_id(basis, number)}/{number}"
        self.account = replace(self.account, uses_refresh_tokens=True)
        try:
            return self.store.write_protocol(
                self.account.name, claim_id(basis, number), claim.to_json()
            )
        except SecretStoreError:
            # Only a claim that stands, and is our own, may be passed over by the next one.
            if self._held_claim(basis, number) == claim:
                self.released = self.claim
            raise

    def _ask(
        self,
        credentials: Credentials,
        grant: Mapping[str, str],
        *,
        refresh_is_refused: bool = False,
    ) -> _Answer:
        """Request a token, journal the answer, then judge it."""
        # Counted from before the request, so that a lifetime errs on the safe side.
        issued_at = self.refresher.clock().replace(microsecond=0)
        response = self.endpoint.request(credentials.client, grant)
        missing: MissingExpiryError | None = None
        lifetime = timedelta(0)
        try:
            lifetime = required_lifetime(response, credentials.assumed_expires_in)
        except MissingExpiryError as error:
            missing = error
        version = TokenVersion(
            issued_at, issued_at + lifetime, self.account.credentials_digest, secrets.token_hex(6)
        )
        entry = self._entry(credentials, grant, response, refresh_is_refused=refresh_is_refused)
        self.is_repeatable = grant["grant_type"] != "refresh_token"
        is_only_grant = isinstance(credentials, RefreshTokenCredentials)
        brings_next = response.refresh_token is not None
        # Nobody can tell whether an invalid response has cost the refresh token that was sent:
        # where there is another grant, it is not kept as one that may be sent again.
        is_usable = entry.is_bearer_token and (missing is not None or lifetime > timedelta(0))
        if self.is_repeatable or is_only_grant or brings_next or is_usable:
            self._write_journal(credentials, version, entry)
        try:
            entry.bearer_token()
            if missing is not None:
                raise missing
            token = entry.published_as(version)
        except TokenResponseError:
            self._refuse(version)
            raise
        self.refused = ""
        return _Answer(
            version,
            token,
            is_claimed=grant["grant_type"] == "refresh_token",
            refresh_token_expires_in=response.refresh_token_expires_in,
        )

    def _refuse(self, version: TokenVersion) -> None:
        """Let an answer never be published; one that is in no journal never could be.

        The tag holds one random part: that of the answer in the journal must not give way.
        """
        if self.journal_id == str(version):
            self.refused = version.random

    def _entry(
        self,
        credentials: Credentials,
        grant: Mapping[str, str],
        response: TokenResponse,
        *,
        refresh_is_refused: bool,
    ) -> JournalEntry:
        """Make a journal entry of an answer.

        An answer without a refresh token means keep the old one (RFC 6749 section
        6); without a scope, that it is as requested (section 5.1).
        """
        sent = grant.get("refresh_token")
        is_refused = refresh_is_refused or (
            self.journal is not None and self.journal.refresh_is_refused
        )
        granted = self.journal.scope if sent and self.journal else None
        return JournalEntry(
            grant=credentials.grant_digest,
            access_token=response.access_token,
            token_type=response.token_type,
            scope=response.scope or granted or credentials.scope,
            refresh_token=None if is_refused else response.refresh_token or sent,
            refresh_is_refused=is_refused,
        )

    def _write_journal(
        self, credentials: Credentials, version: TokenVersion, entry: JournalEntry
    ) -> None:
        """Keep what was answered before anything else is done with it.

        An answer without a refresh token from a grant that can be repeated needs
        no journal, unless one stands there whose refresh token is of no use any more.
        """
        if not self._uses_refresh_tokens(credentials):
            return
        stale = self.journal is not None and self.journal.refresh_token is not None
        if entry.refresh_token is None and not stale:
            return
        self.journal, self.journal_id = entry, str(version)
        self.unwritten = (str(version), entry.to_json())
        self._retry_journal(until=self._own_time_left())

    def _retry_journal(self, *, until: timedelta) -> None:
        """Write the journal, trying again until no more than ``until`` of the time is left.

        A refusal that will not pass by itself ends it where nothing is lost: under a missing
        permission every account would hold a worker for a minute, and delay the others.
        """
        while self.unwritten is not None:
            version_id, content = self.unwritten
            try:
                if self.store.write_protocol(self.account.name, version_id, content):
                    self.unwritten = None
                    self.account = replace(
                        self.account, journal=TokenVersion.parse(version_id, now=self.asked.now)
                    )
            except SecretStoreError as error:
                if self.is_repeatable and not error.transient:
                    return
            except Exception:  # noqa: BLE001, S110 - whatever it is, the answer is not given up
                pass
            if self.unwritten is not None:
                if self._own_time_left() <= until:
                    return
                self.refresher.pause(_JOURNAL_PAUSE)

    def _verify(self, credentials: Credentials, answer: _Answer) -> None:
        """Let ``verify_url`` refuse the token before consumers see it."""
        if credentials.verify_url is None:
            return
        verdict = self.endpoint.verify(credentials.client, answer.token.access_token)
        if verdict is False:
            self._refuse(answer.version)
            msg = "verify_url refused the new access_token"
            raise TokenResponseError(msg, code="token_refused")
        if verdict is None:
            self.cautions.append(Caution.VERIFICATION_INCONCLUSIVE)

    def _is_superseded(self, answer: _Answer) -> bool:
        """Whether another run has published a later token meanwhile; a claim rules that out."""
        if answer.is_claimed:
            return False
        try:
            metadata = self.store.describe_token(self.account.name)
        except SecretStoreError:
            # Unknown; the publish is judged by its own response.
            return False
        before = self.account.published
        account = with_token(self.account, metadata, now=self.asked.now)
        current = account.published
        if current is None or (before is not None and current.version_id == before.version_id):
            return False
        if current.issued_at is None or current.issued_at < answer.version.issued_at:
            return False
        self.account = account
        return True

    def _publish(self, answer: _Answer) -> None:
        """Make it the token that consumers read."""
        version_id = str(answer.version)
        self._put(self.store.publish, version_id, answer)
        before = self.account.published
        self.account = replace(
            self.account,
            published=published_from_id(version_id, now=self.asked.now),
            previous=TokenVersion.parse(before.version_id, now=self.asked.now) if before else None,
        )

    def _put(
        self, write: Callable[[str, str, str], bool], version_id: str, answer: _Answer
    ) -> None:
        if not write(self.account.name, version_id, answer.token.to_json()):
            raise SecretStoreError("PutSecretValue", "ResourceExistsException", transient=False)

    def _succeeded(self, credentials: Credentials, answer: _Answer, outcome: Outcome) -> Result:
        """Clear what was recorded, and record what outlives this refresh."""
        self._retry_journal(until=timedelta(seconds=10))
        if self.unwritten is not None:
            self.cautions.append(Caution.JOURNAL_NOT_WRITTEN)
            lost = SecretStoreError("PutSecretValue", "journal_not_written", transient=False)
            self._record(lost)
            return self.result(outcome, lost)
        if lives_too_short(self.account):
            self.cautions.append(Caution.LIVES_TOO_SHORT)
        tags = dict(self.account.token.tags) if self.account.token else {}
        obsolete = [key for key in records.FAILURE_TAGS if key in tags]
        try:
            if isinstance(credentials, RefreshTokenCredentials):
                self._record_grant(answer)
            elif records.GRANT_EXPIRES_AT_TAG in tags:
                obsolete.append(records.GRANT_EXPIRES_AT_TAG)
            if obsolete:
                self.store.untag(self.account.name, obsolete)
        except SecretStoreError:
            self.cautions.append(Caution.RECORD_NOT_WRITTEN)
        self._note({}, forget=obsolete)
        return self.result(outcome)

    def _record_grant(self, answer: _Answer) -> None:
        """Record when the refresh token itself expires, if the server says so."""
        lifetime = answer.refresh_token_expires_in
        if lifetime is None:
            return
        expires_at, before = answer.version.issued_at + lifetime, self.account.grant
        if before is not None and expires_at - before.expires_at < _SAME_EXPIRY:
            # Not renewed: its life is the one that it was first given.
            lifetime = max(lifetime, before.lifetime)
        tag = records.GrantLifetime(expires_at, lifetime).to_tag()
        self.store.tag(self.account.name, {records.GRANT_EXPIRES_AT_TAG: tag})

    def failed(self, error: Failure) -> Result:
        """Record a failure; the published token stays what it is."""
        self._retry_journal(until=timedelta(seconds=10))
        if self.unwritten is not None:
            self.cautions.append(Caution.JOURNAL_NOT_WRITTEN)
        if not self.asked.dry_run:
            self._record(error)
        return self.result(Outcome.FAILED, error)

    def _record(self, error: Failure) -> None:
        # With what could not be written before: a claim that was released then still is.
        before = self.account.unrecorded
        tags = dict(before.tags) if before else {}
        is_lost = self.unwritten is not None and not self.is_repeatable
        if self.refresher.records_failures or is_lost:
            record = failure_record(self.account, error, now=self.asked.now)
            # Later than the token that this very refresh may have published before it failed.
            tags |= replace(record, failed_at=self.refresher.clock()).to_tags()
        # What became of a refresh token is true whoever sent it.
        if self.released:
            tags[records.RELEASED_TAG] = self.released
        if self.dead:
            tags[records.DEAD_TAG] = self.dead
        if self.refused:
            tags[records.REFUSED_TAG] = self.refused
        if not tags:
            return
        try:
            self._ensure_token_secret()
            self.store.tag(self.account.name, tags)
        except Exception:  # noqa: BLE001 - a result is owed, whatever happens
            self.cautions.append(Caution.FAILURE_NOT_RECORDED)
            unrecorded = records.Unrecorded(
                tags, records.our_tags(self.account.token), self.refresher.clock()
            )
            self.account = replace(self.account, unrecorded=unrecorded)
        else:
            self._note(tags)

    def _note(self, tags: Mapping[str, str], *, forget: Collection[str] = ()) -> None:
        """Know what is on record from here on; a tag that could not be removed counts no more."""
        token = self.account.token or SecretMetadata()
        kept = {key: value for key, value in token.tags.items() if key not in forget}
        token = replace(token, tags={**kept, **tags})
        self.account = replace(self.account, token=token, unrecorded=None)

    def result(self, outcome: Outcome, error: Failure | NotAttemptedError | None = None) -> Result:
        """Tell what this refresh came to."""
        return Result(self.account, self.decision.reason, outcome, error, tuple(self.cautions))
