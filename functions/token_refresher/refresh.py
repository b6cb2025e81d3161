"""One account from start to finish: confirm, connect, lease, request, journal, publish, record.

The order is the point. Whatever line a run dies on, the published token is untouched, and a
refresh token whose response arrived is in the journal. `_Refresh.run` reads from top to bottom
like the table in docs/architecture.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher import records
from token_refresher.errors import (
    ExternalSecretError,
    LeasedError,
    NotAttemptedError,
    OutOfTimeError,
    RejectedAgainError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.failures import (
    FAILURES,
    Sending,
    renewal_time,
    replaced_record,
    unchanged_record,
)
from token_refresher.health import lives_too_short
from token_refresher.journal import Journal
from token_refresher.judgement import (
    admit,
    certificate_of,
    client_of,
    is_unchanged,
    judged,
    require_kept,
    secrets_of,
    text_of,
    usable_credentials,
    verify,
    with_times_read,
)
from token_refresher.model import TokenVersion, published_from_id, with_token
from token_refresher.oauth.errors import OAuthError, TokenRequestError, TokenResponseError
from token_refresher.oauth.hidden import Hidden
from token_refresher.outcomes import Asked, Caution, Outcome, Result
from token_refresher.policy import Decision, Reason, decide, has_unpublished_response
from token_refresher.recording import Record
from token_refresher.records import LeaseEnd
from token_refresher.redeem import Redeemed, Redemption, time_to_keep, time_to_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from token_refresher.credentials import Credentials
    from token_refresher.delivery import Delivery
    from token_refresher.failures import Failure
    from token_refresher.journal import JournalEntry
    from token_refresher.leases import Lease
    from token_refresher.model import Account
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.ports import SecretStore
    from token_refresher.redeem import TokenEndpoint

# One refresh ends within this, whatever hangs.
_REFRESH_TIME: Final = timedelta(seconds=60)
# With less than this a refresh is not begun: what it reads before the request takes time
# too. It must fit into the shortest invocation, of a schedule of one minute.
TIME_TO_BEGIN: Final = timedelta(seconds=45)
# What `_REFRESH_TIME` has room for; an account that waits longer has so much more.
_USUAL_TIMEOUT_SECONDS: Final = 10
# What is left for the records, however long a journal is retried.
_TIME_TO_RECORD: Final = timedelta(seconds=10)
# What a secret that is to be deleted comes to, by its description and where it is used, and what
# one that was deleted at once does.
_MARKED: Final = frozenset(
    {"InvalidRequestException", "ResourceNotFoundException", "scheduled_for_deletion"}
)


class Refresher(msgspec.Struct, frozen=True, kw_only=True):
    """Refreshes accounts, one at a time, from any number of threads.

    Attributes:
        store: Secrets Manager.
        endpoint: The token endpoints.
        clock: Gives aware times.
        pause: Waits, between attempts to write a journal.
        refresh_before: How long before its expiry a token is due.
        schedule: The time between two sweeps.
        uses_refresh_tokens: The setting; False where the permission is taken away.
        records_failures: False where this is not the function but a person's machine, whose
            trust store, network, settings or permissions may be all that is wrong.
    """

    store: SecretStore
    endpoint: TokenEndpoint
    clock: Callable[[], datetime]
    pause: Callable[[timedelta], None]
    refresh_before: timedelta
    schedule: timedelta
    uses_refresh_tokens: bool
    records_failures: bool = True

    def decide(
        self, account: Account, asked: Asked, *, has_primary_grant: bool = False
    ) -> Decision:
        """Decide whether an account's token must be refreshed now, by what is known of it."""
        return decide(
            account,
            now=asked.now,
            refresh_before=self.refresh_before,
            force=asked.force,
            rejected_version=asked.rejected_version,
            has_primary_grant=has_primary_grant,
        )

    def refresh(self, account: Account, asked: Asked) -> Result:
        """Refresh one account, if what is read now confirms that it is due.

        Args:
            account: As listed.
            asked: What for, and in what time.

        Returns:
            Never raises: whatever goes wrong is in the result.
        """
        refresh = self._begin(account, asked)
        try:
            return refresh.run()
        except LeasedError:
            return refresh.result(Outcome.LEASED_BY_ANOTHER_RUN)
        except NotAttemptedError as error:
            return refresh.result(Outcome.NOT_ATTEMPTED, error)
        except FAILURES as error:
            is_marked = isinstance(error, SecretStoreError) and error.code in _MARKED
            return (refresh.removed() if is_marked else None) or refresh.failed(error)
        except Exception as exception:  # noqa: BLE001 - one account's defect is not the others'
            return refresh.failed(UnexpectedError(exception))

    def record_block(self, before: Account, result: Result, asked: Asked, block: Failure) -> Result:
        """Record once more what was taken for a refusal, and has turned out to be a block.

        It says nothing of the credentials: others have met it at the same address.

        Args:
            before: The account before the refresh.
            result: What the refresh came to.
            asked: What it was for.
            block: What it was.
        """
        refresh = self._begin(result.account, asked)
        refresh.decision = Decision(due=True, reason=result.reason)
        refresh.before = result.before or before
        refresh.record.forget_failures_since(before)
        lease = result.account.lease
        if lease is not None and result.account.lease_end is LeaseEnd.REFUSED:
            refresh.record.end_lease(lease, Sending(LeaseEnd.UNANSWERED, asked.now))
        return refresh.failed(block)

    def _begin(self, account: Account, asked: Asked) -> _Refresh:
        return _Refresh(
            refresher=self,
            asked=asked,
            needed_time_left=asked.time_left() - _REFRESH_TIME,
            record=Record(store=self.store, clock=self.clock, account=account),
            before=account,
            journal=Journal(store=self.store, account=account.name),
            # By the listing, until something was read: a failure before that has a reason, too.
            decision=self.decide(account, asked),
        )


class _Refresh(Hidden, msgspec.Struct, kw_only=True):
    """The state of one refresh.

    Attributes:
        needed_time_left: The invocation's time that is not this refresh's to use.
        record: The account as known now, its records, and cautions gathered on the way.
        before: The account as it was before anything was done.
        journal: Empty where its refresh tokens are not used.
        decision: Why it is due, by what has been read so far.
        sent: All refresh tokens and assertions that were seen, so that none is published.
    """

    refresher: Refresher
    asked: Asked
    needed_time_left: timedelta
    record: Record
    before: Account
    journal: Journal
    decision: Decision
    sent: set[str | None] = msgspec.field(default_factory=set)

    @property
    def account(self) -> Account:
        return self.record.account

    @property
    def store(self) -> SecretStore:
        return self.refresher.store

    @property
    def endpoint(self) -> TokenEndpoint:
        return self.refresher.endpoint

    @property
    def _is_rejected(self) -> bool:
        published = self.account.published
        return published is not None and published.version_id == self.asked.rejected_version

    # Each step below is one paragraph of the protocol, in its order.

    def run(self) -> Result:
        """Go through the steps until one of them ends the refresh."""
        self._confirm()
        is_foreign = self._is_foreign()
        if not self._is_due() and not is_foreign:
            return self.result(Outcome.NOT_DUE)
        if self.asked.dry_run and not is_foreign:
            return self.result(Outcome.WOULD_REFRESH)
        credentials = self._read_credentials()
        is_kept = self.account.unwritten is None or self.asked.dry_run
        if credentials is not None and is_foreign and is_kept:
            raise ExternalSecretError
        if credentials is None or not self._is_due():
            return self.result(Outcome.NOT_DUE)
        if not self._read_journal(credentials):
            return self._not_kept(Outcome.FAILED)
        if is_foreign:
            # The response that could not be journaled before now is.
            raise ExternalSecretError
        if not self._is_due(has_primary_grant=not self.journal.is_only_grant):
            return self.result(Outcome.NOT_DUE)
        journaled = self._journaled(credentials)
        if journaled is not None and (result := self._deliver(credentials, journaled)):
            return result
        response = self._request(credentials)
        return self._deliver(credentials, response) or self.result(Outcome.SUPERSEDED)

    def _confirm(self) -> None:
        """Describe the token secret: the listing may be five minutes old."""
        metadata = self.store.describe_token(self.account.name)
        self.record.account = with_token(self.account, metadata, now=self.asked.now)
        self.before = self.account
        require_kept(metadata)
        self.record.account = self.before = with_times_read(self.account, self.store)

    def _is_foreign(self) -> bool:
        """Whether the token secret holds what other programs may need: not overwritten unasked.

        What a person forces is replaced all the same, and what is to be staged for a rotation.
        """
        return self.account.is_foreign and not (self.asked.force or self.asked.stage_as)

    def _is_due(self, *, has_primary_grant: bool = False) -> bool:
        """Decide again, with what has been read since."""
        self.decision = self.refresher.decide(
            self.account, self.asked, has_primary_grant=has_primary_grant
        )
        return self.decision.due

    def _read_credentials(self) -> Credentials | None:
        """Read and validate the credentials; None where there are none yet."""
        value = self.store.read_credentials(self.account.name)
        # Some tools create a secret with an empty text instead of no value.
        if value is None or value.text == "":
            self.record.know(credentials_version=None, has_credentials_secret=True)
            self._is_due()
            return None
        self.record.know(credentials_version=value.version_id)
        credentials = usable_credentials(
            value.text, uses_refresh_tokens=self.refresher.uses_refresh_tokens
        )
        self.record.certificate = certificate_of(credentials)
        longer = self._client_of(credentials).timeout_seconds - _USUAL_TIMEOUT_SECONDS
        self.needed_time_left -= timedelta(seconds=max(0, longer))
        return credentials

    def _client_of(self, credentials: Credentials) -> Client:
        schedule = self.refresher.schedule
        return client_of(credentials, account=self.account.name, schedule=schedule)

    def _read_journal(self, credentials: Credentials) -> bool:
        """Read the journaled response, after writing one that could not be written before.

        Returns:
            False where it still cannot be written; then nothing else is worth doing.
        """
        kept, journal = self.account.unwritten, self.journal
        self.record.know(journal=None)
        if self.refresher.uses_refresh_tokens and credentials.uses_refresh_tokens:
            journal.look(credentials, self.account)
            if kept is not None and journal.resume(kept):
                if not self._write_journal(until=self._time_left()):
                    return False
                # What was recorded of it is so no more.
                self.record.clear(records.CLEARED_BY_SUCCESS)
        version = TokenVersion.parse(journal.version_id, now=self.asked.now)
        self.record.know(journal=version if journal.entry is not None else None, unwritten=None)
        return True

    def _journaled(self, credentials: Credentials) -> Delivery | None:
        """Take a response that an earlier run journaled and could not publish, if there is one."""
        from token_refresher.delivery import Delivery  # noqa: PLC0415 - not at a start

        version, entry = self.account.journal, self.journal.entry
        if entry is None or version is None:
            return None
        if not has_unpublished_response(self.account, now=self.asked.now):
            return None
        self.record.ensure_token_secret()
        try:
            token = entry.published_as(version, credentials.client.dialect)
            secrets = self._secrets(credentials, entry)
            text = text_of(token, entry, credentials=credentials, secrets=secrets)
        except TokenResponseError:
            self._refuse(version)
            raise
        lives = entry.refresh_token_lives
        return Delivery(
            version=version,
            token=token,
            text=text,
            is_journaled=True,
            brings_refresh_token=lives is not None,
            refresh_token_expires_in=lives,
        )

    def _request(self, credentials: Credentials) -> Delivery:
        """Get a token: by a refresh token if there is one to be sent, else by primary grant."""
        client = self._client_of(credentials)
        admit(credentials, client, self.journal.entry, endpoint=self.endpoint)
        refresh_token, basis = self._refresh_token(credentials)
        if self._time_left() < time_to_request(client.timeout_seconds):
            # Begin nothing that could be cut off between redeeming and journaling.
            raise OutOfTimeError("not enough time is left in this invocation")
        self.record.ensure_token_secret()
        failure: OAuthError | None = None
        if refresh_token is not None:
            grant = credentials.grant_by(refresh_token)
            redeemed = self._redemption(basis).redeem(client, grant)
            if isinstance(redeemed, Redeemed):
                try:
                    return self._keep(credentials, redeemed.response, redeemed.issued_at, redeemed)
                except OAuthError as error:
                    if self.journal.is_only_grant:
                        raise
                    failure = error
            else:
                failure = redeemed
        if failure is not None:
            if self._time_left() < time_to_keep(client.timeout_seconds):
                # The refresh token has had it all. Its end is on record, so the next sweep begins
                # with the primary grant.
                raise failure
            try:
                self.endpoint.admit(client)
            except NotAttemptedError:
                raise failure from None
        is_refused = isinstance(failure, TokenRequestError) and failure.refuses_grant_type
        issued_at = self._now()
        response = self.endpoint.request(client, credentials.grant)
        return self._keep(credentials, response, issued_at, refresh_is_refused=is_refused)

    def _refresh_token(self, credentials: Credentials) -> tuple[str | None, str]:
        """Tell the refresh token to send, and what its lease is derived from."""
        entry = self.journal.entry
        if entry is not None:
            return entry.refresh_token, self.journal.version_id
        if credentials.refresh_token is not None:
            return credentials.refresh_token, credentials.grant_digest
        return None, ""

    def _redemption(self, basis: str) -> Redemption:
        return Redemption(
            endpoint=self.endpoint,
            record=self.record,
            journal=self.journal,
            basis=basis,
            asked=self.asked,
            is_insisted_on=self.asked.force or self._is_rejected,
            clock=self._now,
            pause=self.refresher.pause,
            time_left=self._time_left,
        )

    def _keep(
        self,
        credentials: Credentials,
        response: TokenResponse,
        issued_at: datetime,
        redeemed: Redeemed | None = None,
        *,
        refresh_is_refused: bool = False,
    ) -> Delivery:
        """Journal a response, then judge it."""
        from token_refresher.delivery import Delivery  # noqa: PLC0415 - not at a start

        lease = redeemed.lease if redeemed is not None else None
        sent = redeemed.grant.refresh_token if redeemed is not None else None
        whole = self.journal.entry_of(
            response,
            credentials=credentials,
            lease=self.account.lease,
            sent=sent,
            refresh_is_refused=refresh_is_refused,
        )
        found = judged(
            response,
            whole,
            credentials=credentials,
            account=self.account,
            issued_at=issued_at,
            secrets=self._secrets(credentials, whole, sent, response.assertion, response.signature),
        )
        is_timeless = found.has_token and found.missing is not None
        # What a primary grant brings that must not be published can be had again, and is not kept.
        if found.is_live or (lease is not None and (response.refresh_token or is_timeless)):
            self._journal(found.version, found.entry, lease)
        elif lease is not None:
            # Nothing that could be used has come.
            self.record.end_lease(lease.version_id, Sending(LeaseEnd.UNANSWERED, lease.taken_at))
        try:
            token, text = found.published()
        except OAuthError:
            self._refuse(found.version)
            raise
        return Delivery(
            version=found.version,
            token=token,
            text=text,
            lease=lease,
            brings_refresh_token=response.refresh_token not in (None, sent),
            refresh_token_expires_in=found.entry.refresh_token_lives,
        )

    def _secrets(
        self, credentials: Credentials, entry: JournalEntry, *sent: str | None
    ) -> frozenset[str]:
        """Tell what must not be published of an entry that is, or will be, the journal's."""
        before = self.journal.entry
        self.sent |= {entry.refresh_token, *sent}
        self.sent.add(before.refresh_token if before is not None else None)
        return secrets_of(credentials, entry, self.sent)

    def _journal(self, version: TokenVersion, entry: JournalEntry, lease: Lease | None) -> None:
        """Keep what was answered before anything else is done with it."""
        if not self.journal.needs(entry):
            return
        if lease is not None and lease.is_old(self._now()) and self._has_later_journal():
            return
        self.journal.keep(str(version), entry, is_repeatable=lease is None)
        if lease is not None:
            # Until it is written.
            self.record.end_lease(lease.version_id, Sending(LeaseEnd.SPENT, lease.taken_at))
        self._write_journal(until=self._time_left())

    def _has_later_journal(self) -> bool:
        """Whether another run has journaled a response since this one read the journal."""
        try:
            return not self.journal.has_no_later()
        except Exception:  # noqa: BLE001 - a response that has arrived is not given up
            # Unknown.
            return False

    def _write_journal(self, *, until: timedelta) -> bool:
        """Write what the journal does not hold yet, in what is left of the time but ``until``."""
        if self.journal.unwritten is None:
            return True
        if not self.journal.write(
            time_left=self._time_left, until=until, pause=self.refresher.pause
        ):
            return False
        # The lease has ended well: its refresh token gives way to what is kept from here on.
        self.record.ended = None
        self.record.know(journal=TokenVersion.parse(self.journal.version_id, now=self._now()))
        return True

    def _deliver(self, credentials: Credentials, response: Delivery) -> Result | None:
        """Publish a response, or find that it is not to be published.

        Returns:
            None where a journaled one has turned out to be of no use.
        """
        if self._is_unchanged(response):
            return self._unchanged(response)
        self._verify(credentials, response)
        if self.asked.stage_as:
            self.store.stage(self.account.name, self.asked.stage_as, response.text)
            return self._succeeded(response, Outcome.STAGED)
        version_id = str(response.version)
        later = response.superseded_by(self.account, self.store, clock=self._now)
        if later is not None:
            self.record.account = later
            return self._succeeded(response, Outcome.SUPERSEDED)
        # Before anything can end this run: without it, nobody knows when the next one is due.
        self.record.keep_grant(self._next_grant(response))
        is_new = self.store.publish(self.account.name, version_id, response.text)
        if response.is_journaled and not response.stands(self.account, self.store, clock=self._now):
            self._refuse(response.version)
            return None
        if not is_new:
            return self._succeeded(response, Outcome.SUPERSEDED)
        before, now, issued_at = self.account.published, self._now(), response.version.issued_at
        then = replaced_record(self.account, issued_at=issued_at, now=self.asked.now)
        self.record.know(
            published=published_from_id(version_id, now=now),
            previous=TokenVersion.parse(before.version_id, now=now) if before else None,
        )
        return self._succeeded(response, Outcome.PUBLISHED, then)

    def _is_unchanged(self, response: Delivery) -> bool:
        """Whether the endpoint has handed out the published token once more, and it lives."""
        if self.asked.stage_as:
            return False
        return is_unchanged(
            self.account, response.version, now=self._now(), is_rejected=self._is_rejected
        )

    def _unchanged(self, response: Delivery) -> Result:
        """Keep the expiry that was told first, and remember when to ask again."""
        if not self._write_journal(until=_TIME_TO_RECORD):
            return self._not_kept(Outcome.UNCHANGED)
        if self._is_rejected:
            raise RejectedAgainError
        grant = self._next_grant(response)
        self.record.keep_grant(grant)
        then = unchanged_record(self.account, now=self.asked.now)
        self.record.succeed(grant=grant, then=then)
        return self.result(Outcome.UNCHANGED)

    def _verify(self, credentials: Credentials, response: Delivery) -> None:
        """Let ``verify_url`` refuse the token before consumers see it."""
        client = self._client_of(credentials)
        try:
            verdict = verify(
                credentials, client, response.token.access_token, endpoint=self.endpoint
            )
        except TokenResponseError:
            self._refuse(response.version)
            raise
        if verdict is None and credentials.verify_url is not None:
            self.record.cautions.append(Caution.VERIFICATION_INCONCLUSIVE)

    def _refuse(self, version: TokenVersion) -> None:
        """Let a response never be published, if it is or comes to be in the journal."""
        self.journal.refused = str(version)

    def _succeeded(
        self, response: Delivery, outcome: Outcome, then: records.FailureRecord | None = None
    ) -> Result:
        """Clear what was recorded, and record what outlives this refresh."""
        if not self._write_journal(until=_TIME_TO_RECORD):
            return self._not_kept(outcome)
        if outcome is Outcome.SUPERSEDED:
            # What is on record is of the later response.
            return self.result(outcome)
        if lives_too_short(self.account, schedule=self.refresher.schedule):
            self.record.cautions.append(Caution.LIVES_TOO_SHORT)
        self.record.succeed(grant=self._next_grant(response), then=then)
        return self.result(outcome)

    def _next_grant(self, response: Delivery) -> records.GrantLifetime | None:
        """Tell when the refresh token itself expires, where there is nothing else."""
        if not self.journal.is_only_grant:
            return None
        expires_in, is_new = response.refresh_token_expires_in, response.brings_refresh_token
        return self.record.next_grant(response.version, expires_in, is_new=is_new)

    def _not_kept(self, outcome: Outcome) -> Result:
        """Record that a response could not be journaled; it stays in the warm environment."""
        if (removed := self.removed()) is not None:
            return removed
        self.record.cautions.append(Caution.JOURNAL_NOT_WRITTEN)
        error = SecretStoreError(
            "PutSecretValue",
            records.JOURNAL_NOT_WRITTEN,
            transient=False,
            detail=self.journal.trouble,
        )
        now, until, last = self.asked.now, None, self.before.failure
        is_again = last is not None and last.code == error.code
        if is_again and self.journal.is_repeatable:
            until = renewal_time(
                self.account, now=now, refresh_before=self.refresher.refresh_before
            )
        self._record(error, not_before=until)
        return self.result(outcome, error)

    def failed(self, error: Failure) -> Result:
        """Record a failure; the published token stays what it is."""
        if not self._write_journal(until=_TIME_TO_RECORD):
            self.record.cautions.append(Caution.JOURNAL_NOT_WRITTEN)
        if not self.asked.dry_run:
            self._record(error)
        return self.result(Outcome.FAILED, error)

    def removed(self) -> Result | None:
        """Leave an account alone whose credentials are gone, or are to be deleted.

        Between the calls that remove an account, and for as long as the listing lags behind them,
        whatever it meets is nobody's to act on. None where the credentials are there.
        """
        try:
            metadata = self.store.describe_credentials(self.account.name)
        except Exception:  # noqa: BLE001 - what has failed before is still to be recorded
            return None
        if metadata is not None and not metadata.is_deleted:
            return None
        self.record.know(credentials_version=None, has_credentials_secret=False)
        if not self.journal.is_repeatable:
            # Whoever restores the account finds its refresh token.
            self.record.know(unwritten=self.journal.unwritten)
        self.decision = Decision(due=False, reason=Reason.ORPHANED)
        return self.result(Outcome.NOT_DUE)

    def _record(self, error: Failure, *, not_before: datetime | None = None) -> None:
        now, is_ours = self.asked.now, self.refresher.records_failures
        self.record.fail(error, self.journal, now=now, is_ours=is_ours, not_before=not_before)

    def _time_left(self) -> timedelta:
        left = self.asked.time_left()
        return min(left, left - self.needed_time_left)

    def _now(self) -> datetime:
        # Whole seconds, as they are stored: a lifetime errs on the safe side.
        return self.refresher.clock().replace(microsecond=0)

    def result(self, outcome: Outcome, error: Failure | NotAttemptedError | None = None) -> Result:
        """Tell what this refresh came to."""
        reason, cautions = self.decision.reason, tuple(self.record.cautions)
        return Result(self.account, reason, outcome, error, cautions, self.before)
