"""What is known of one account during its refresh, and how it is written down for the next.

Records are tags on the token secret. One that cannot be written stays in the warm environment;
a result is owed whatever happens, so nothing here raises but where it says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher import records
from token_refresher.failures import Pace, failure_record, pace_of, refusals_record
from token_refresher.oauth.hidden import Hidden
from token_refresher.outcomes import Caution
from token_refresher.policy import PACE_OF_VERSIONS, TICK_SLACK
from token_refresher.ports import SecretMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from token_refresher.failures import Failure, Sending
    from token_refresher.journal import Journal
    from token_refresher.model import Account, TokenVersion
    from token_refresher.ports import SecretStore

# A refresh token's own expiry that moves by less than this has not been renewed.
_SAME_EXPIRY: Final = timedelta(minutes=5)
_OF_FAILURES: Final = (records.FAILURE_TAG, records.REFUSALS_TAG)


class Record(Hidden, msgspec.Struct, kw_only=True):
    """One account, as known from moment to moment, and its records.

    Attributes:
        store: Secrets Manager.
        clock: Gives aware times.
        account: As it is known now.
        cautions: What should be known besides the outcome.
        ended: A lease under which no token came, and what became of the refresh token.
        certificate: When the client certificate expires; None where there is none.
    """

    store: SecretStore
    clock: Callable[[], datetime]
    account: Account
    cautions: list[Caution] = msgspec.field(default_factory=list)
    ended: tuple[str, Sending] | None = None
    certificate: records.CertificateLifetime | None = None

    def know(self, **changes: Any) -> None:  # noqa: ANN401 - the account's fields
        """Know better what the account is."""
        self.account = replace(self.account, **changes)

    def ensure_token_secret(self) -> None:
        """Create the token secret first, so that even a first failure has a place.

        Raises:
            SecretStoreError: It could not be created.
        """
        if self.account.token is None:
            self.store.create_token_secret(self.account.name)
            self.know(token=SecretMetadata())

    def end_lease(self, lease_id: str, sending: Sending) -> None:
        """Know of a lease under which no token came; `fail` writes it down."""
        self.ended = (lease_id, sending)

    def fail(
        self,
        error: Failure,
        journal: Journal,
        *,
        now: datetime,
        is_ours: bool,
        not_before: datetime | None = None,
    ) -> None:
        """Write down what failed, and what became of a refresh token.

        Args:
            error: What failed.
            journal: What it holds, and could not be given.
            now: Aware; the sweep's.
            is_ours: False on a person's machine, which may be all that is wrong; what became
                of a refresh token is true whoever sent it.
            not_before: Aware; the next attempt is no earlier, if that is given.
        """
        # With what could not be written before: a lease that has ended still has.
        before = self.account.unrecorded
        tags = dict(before.tags) if before else {}
        is_lost = journal.unwritten is not None and not journal.is_repeatable
        is_refused = journal.refused != "" and journal.refused == journal.version_id
        if is_ours or is_lost:
            # A response of no use was written, and a lease where it came by a refresh token.
            versions = (1 if journal.is_repeatable else 2) if is_refused else 0
            not_before = max(not_before or now, now + versions * PACE_OF_VERSIONS - TICK_SLACK)
            tags |= self._failure_tags(
                error, now, is_only_grant=journal.is_only_grant, not_before=not_before
            )
        if self.ended is not None:
            lease_id, sending = self.ended
            tags[records.LEASE_TAG] = records.ended_lease(lease_id, sending.end)
        if is_refused:
            tags[records.REFUSED_RESPONSE_TAG] = journal.refused
        if is_lost:
            self.know(unwritten=journal.unwritten)
        if tags.items() <= (self.account.token.tags if self.account.token else {}).items():
            return
        try:
            self.ensure_token_secret()
        except Exception:  # noqa: BLE001 - a result is owed, whatever happens
            self._remember(tags, Caution.FAILURE_NOT_RECORDED)
        else:
            self.write(tags, Caution.FAILURE_NOT_RECORDED)

    def _failure_tags(
        self, error: Failure, now: datetime, *, is_only_grant: bool, not_before: datetime
    ) -> dict[str, str]:
        """Tell the records of a failure; none where the same stands there and holds nothing."""
        counting = self.account.counting_failure
        if pace_of(error) is Pace.AT_ONCE and counting is not None and counting.code == error.code:
            return {}
        refusals = refusals_record(self.account, error, now=now)
        last = self.ended[1] if self.ended is not None and is_only_grant else None
        record = failure_record(self.account, error, now=now, refusals=refusals, last_sending=last)
        record = replace(record, next_attempt=max(record.next_attempt, not_before))
        if record.failures == 1:
            # Later than the token that this very refresh may have published before it failed,
            # and no later than a response that it could journal, and not publish.
            published = self.account.published
            issued_at = published.issued_at if published is not None else None
            since = now if issued_at is None else max(now, issued_at + timedelta(seconds=1))
            record = replace(record, since=since)
        tags = {records.FAILURE_TAG: record.to_tag()}
        return tags | ({records.REFUSALS_TAG: refusals.to_tag()} if refusals else {})

    def succeed(
        self, *, grant: records.GrantLifetime | None, then: records.FailureRecord | None = None
    ) -> None:
        """Clear what was recorded; keep when refresh token and client certificate expire.

        Args:
            grant: As `next_grant` says; None where that is not known, or does not matter.
            then: What is to be remembered although nothing has failed.
        """
        obsolete = list(records.CLEARED_BY_SUCCESS)
        if then is not None:
            obsolete.remove(records.FAILURE_TAG)
        if grant is None:
            obsolete.append(records.GRANT_EXPIRES_AT_TAG)
        if self.certificate is None:
            obsolete.append(records.CERTIFICATE_EXPIRES_AT_TAG)
        self.clear(obsolete)
        if self.certificate is not None and self.certificate != self.account.certificate:
            tag = {records.CERTIFICATE_EXPIRES_AT_TAG: self.certificate.to_tag()}
            self.write(tag, Caution.RECORD_NOT_WRITTEN)
        # Last, so that it stays in memory where it cannot be written.
        self.keep_grant(grant)
        if then is not None:
            self.write({records.FAILURE_TAG: then.to_tag()}, Caution.RECORD_NOT_WRITTEN)

    def keep_grant(self, grant: records.GrantLifetime | None) -> None:
        """Keep when the refresh token itself expires, where that is news."""
        if grant is not None and grant != self.account.grant:
            tag = {records.GRANT_EXPIRES_AT_TAG: grant.to_tag()}
            self.write(tag, Caution.RECORD_NOT_WRITTEN)

    def next_grant(
        self, version: TokenVersion, expires_in: timedelta | None, *, is_new: bool
    ) -> records.GrantLifetime | None:
        """Tell when the refresh token itself expires; None where nobody has said so.

        Args:
            version: Of the response.
            expires_in: The refresh token's, by that response.
            is_new: Whether it brought a refresh token: an old one keeps its expiry.
        """
        before = self.account.grant
        if expires_in is None:
            is_over = before is not None and version.issued_at >= before.expires_at
            return None if is_new or is_over else before
        expires_at = version.issued_at + expires_in
        if before is not None and expires_at - before.expires_at < _SAME_EXPIRY:
            # Not renewed: its life is the one that it was first given.
            expires_in = max(expires_in, before.lifetime)
        return records.GrantLifetime(expires_at, expires_in)

    def forget_failures_since(self, before: Account) -> None:
        """Know of an account's failures only what was known before its refresh.

        The count of refusals is put back; the failure is about to be written over.
        """
        theirs = {key: tag for key, tag in before.tags.items() if key in _OF_FAILURES}
        if records.REFUSALS_TAG not in theirs:
            self.clear([records.REFUSALS_TAG])
        else:
            tag = {records.REFUSALS_TAG: theirs[records.REFUSALS_TAG]}
            self.write(tag, Caution.RECORD_NOT_WRITTEN)
        token = self.account.token or SecretMetadata()
        kept = {key: tag for key, tag in token.tags.items() if key not in _OF_FAILURES}
        token = replace(token, tags=kept | theirs)
        self.know(token=token, unrecorded=before.unrecorded)

    def write(self, tags: Mapping[str, str], caution: Caution) -> None:
        """Write tags, or keep them in memory and say so."""
        try:
            self.store.tag(self.account.name, tags)
        except Exception:  # noqa: BLE001 - a result is owed, whatever happens
            self._remember(tags, caution)
        else:
            self._note(tags)

    def clear(self, keys: Collection[str]) -> None:
        """Remove tags; one that could not be removed counts no more for this environment."""
        tags = self.account.token.tags if self.account.token else {}
        obsolete = [key for key in keys if key in tags]
        if obsolete:
            try:
                self.store.untag(self.account.name, obsolete)
            except Exception:  # noqa: BLE001 - a result is owed, whatever happens
                self.cautions.append(Caution.RECORD_NOT_WRITTEN)
        self._note({}, forget=obsolete)

    def _remember(self, tags: Mapping[str, str], caution: Caution) -> None:
        self.cautions.append(caution)
        unrecorded = records.Unrecorded(tags, records.our_tags(self.account.token), self.clock())
        self.know(unrecorded=unrecorded)

    def _note(self, tags: Mapping[str, str], *, forget: Collection[str] = ()) -> None:
        """Know what is on record from here on."""
        token = self.account.token or SecretMetadata()
        kept = {key: value for key, value in token.tags.items() if key not in forget}
        token = replace(token, tags={**kept, **tags})
        self.know(token=token, unrecorded=None)
