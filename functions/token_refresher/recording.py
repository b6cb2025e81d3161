"""What is known of one account during its refresh, and how it is written down for the next.

Records are tags on the token secret. One that cannot be written stays in the warm environment;
a result is owed whatever happens, so nothing here raises but where it says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from token_refresher import records
from token_refresher.errors import SecretStoreError
from token_refresher.outcomes import Caution
from token_refresher.policy import (
    Pace,
    failure_record,
    pace_of,
    refusals_record,
    unchanged_record,
)
from token_refresher.ports import SecretMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from token_refresher.model import Account, TokenVersion
    from token_refresher.policy import Failure, Sending
    from token_refresher.ports import SecretStore

# A refresh token's own expiry that moves by less than this has not been renewed.
_SAME_EXPIRY: Final = timedelta(minutes=5)
_OF_FAILURES: Final = (records.FAILURE_TAG, records.REFUSALS_TAG)


@dataclass(slots=True, repr=False, kw_only=True)
class Record:
    """One account, as known from moment to moment, and its records.

    Attributes:
        store: Secrets Manager.
        clock: Gives aware times.
        account: As it is known now.
        cautions: What should be known besides the outcome.
    """

    store: SecretStore
    clock: Callable[[], datetime]
    account: Account
    cautions: list[Caution] = field(default_factory=list)

    def ensure_token_secret(self) -> None:
        """Create the token secret first, so that even a first failure has a place.

        Raises:
            SecretStoreError: It could not be created.
        """
        if self.account.token is None:
            self.store.create_token_secret(self.account.name)
            self.account = replace(self.account, token=SecretMetadata())

    def fail(self, tags: Mapping[str, str]) -> None:
        """Write what is to be remembered of a failure, as far as it is not what stands there."""
        # With what could not be written before: a lease that has ended still has.
        before = self.account.unrecorded
        tags = {**(before.tags if before else {}), **tags}
        if self.account.token is not None and tags.items() <= self.account.token.tags.items():
            return
        try:
            self.ensure_token_secret()
        except SecretStoreError:
            self._remember(tags, Caution.FAILURE_NOT_RECORDED)
        else:
            self.write(tags, Caution.FAILURE_NOT_RECORDED)

    def failure_tags(
        self, error: Failure, *, now: datetime, last_sending: Sending | None
    ) -> dict[str, str]:
        """Tell the records of a failure; none where the same stands there and holds nothing.

        Args:
            error: What failed.
            now: Aware; the sweep's.
            last_sending: As for `failure_record`.
        """
        counting = self.account.counting_failure
        if pace_of(error) is Pace.AT_ONCE and counting is not None and counting.code == error.code:
            return {}
        refusals = refusals_record(self.account, error, now=now)
        record = failure_record(
            self.account, error, now=now, refusals=refusals, last_sending=last_sending
        )
        if record.failures == 1:
            # Later than the token that this very refresh may have published before it failed.
            record = replace(record, since=self.clock())
        tags = {records.FAILURE_TAG: record.to_tag()}
        return tags | ({records.REFUSALS_TAG: refusals.to_tag()} if refusals else {})

    def unchanged(self, *, now: datetime) -> None:
        """Remember when to ask again after the published token was handed out once more."""
        self.clear([key for key in records.CLEARED_BY_SUCCESS if key != records.FAILURE_TAG])
        record = unchanged_record(self.account, now=now)
        self.write({records.FAILURE_TAG: record.to_tag()}, Caution.RECORD_NOT_WRITTEN)

    def succeed(self, *, grant: records.GrantLifetime | None) -> None:
        """Clear what was recorded, and keep when the refresh token itself expires."""
        obsolete = list(records.CLEARED_BY_SUCCESS)
        if grant is None:
            obsolete.append(records.GRANT_EXPIRES_AT_TAG)
        elif grant != self.account.grant:
            tag = {records.GRANT_EXPIRES_AT_TAG: grant.to_tag()}
            self.write(tag, Caution.RECORD_NOT_WRITTEN)
        self.clear(obsolete)

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
        """Know of an account's failures only what was known before its refresh."""
        token = self.account.token or SecretMetadata()
        kept = {key: tag for key, tag in token.tags.items() if key not in _OF_FAILURES}
        theirs = {key: tag for key, tag in before.tags.items() if key in _OF_FAILURES}
        self.account = replace(self.account, token=replace(token, tags=kept | theirs))

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
            except SecretStoreError:
                self.cautions.append(Caution.RECORD_NOT_WRITTEN)
        self._note({}, forget=obsolete)

    def _remember(self, tags: Mapping[str, str], caution: Caution) -> None:
        self.cautions.append(caution)
        unrecorded = records.Unrecorded(tags, records.our_tags(self.account.token), self.clock())
        self.account = replace(self.account, unrecorded=unrecorded)

    def _note(self, tags: Mapping[str, str], *, forget: Collection[str] = ()) -> None:
        """Know what is on record from here on."""
        token = self.account.token or SecretMetadata()
        kept = {key: value for key, value in token.tags.items() if key not in forget}
        token = replace(token, tags={**kept, **tags})
        self.account = replace(self.account, token=token, unrecorded=None)
