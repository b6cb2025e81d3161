"""A judged token response on its way to consumers: did a later one come first, does it stand.

Both are asked of the token secret as it is described now, since the listing may be old. Nothing
is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from token_refresher.errors import SecretStoreError
from token_refresher.leases import LONGEST_AGE
from token_refresher.model import published_from_id, with_token
from token_refresher.oauth.hidden import Hidden
from token_refresher.ports import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from token_refresher.leases import Lease
    from token_refresher.model import Account, PublishedToken, TokenVersion
    from token_refresher.ports import SecretStore


class Delivery(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    """A judged token response, ready to be published.

    Attributes:
        version: What it is published as.
        token: Passed RFC 6749 section 5.1.
        text: What is published of it.
        lease: What its refresh token was sent under: while it is young, no other run can
            have published a later token.
        is_journaled: An earlier run had it, and could not publish it.
        brings_refresh_token: Whether it holds one.
        refresh_token_expires_in: Where the server says so.
    """

    version: TokenVersion
    token: PublishedToken
    text: str
    lease: Lease | None = None
    is_journaled: bool = False
    brings_refresh_token: bool = False
    refresh_token_expires_in: timedelta | None = None

    def superseded_by(
        self, account: Account, store: SecretStore, *, clock: Callable[[], datetime]
    ) -> Account | None:
        """Tell what another run has made of the account; None where no later token is published.

        A young lease rules that out, and so it is taken where nobody can look.

        Args:
            account: As it was read.
            store: Secrets Manager.
            clock: Gives aware times, in whole seconds.

        Raises:
            SecretStoreError: It cannot be described, and this run was stopped meanwhile: it must
                not publish what may be older.
        """
        if self.lease is not None and not self.lease.is_old(clock()):
            return None
        try:
            metadata = store.describe_token(account.name)
        except SecretStoreError:
            if clock() - self.version.issued_at > LONGEST_AGE:
                raise
            return None
        before, now = account.published, clock()
        found = with_token(account, metadata, now=now)
        current = found.published
        if current is None or (before is not None and current.version_id == before.version_id):
            return None
        is_later = current.issued_at is not None and current.issued_at >= self.version.issued_at
        return found if is_later else None

    def stands(
        self, account: Account, store: SecretStore, *, clock: Callable[[], datetime]
    ) -> bool:
        """Whether it, or a later one, is what consumers read once it was published.

        Where a person has moved stages it is not: a used version id is never published again.

        Args:
            account: Whose it is.
            store: Secrets Manager.
            clock: Gives aware times, in whole seconds.
        """
        try:
            metadata = store.describe_token(account.name)
        except SecretStoreError:
            # Unknown; where it does not stand, the next sweep finds it unpublished again.
            return True
        current = metadata.stages.get(CURRENT, "") if metadata is not None else ""
        issued_at = published_from_id(current, now=clock()).issued_at
        return issued_at is not None and issued_at >= self.version.issued_at
