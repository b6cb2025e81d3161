"""How a refresh token is sent: connect, lease, send. What two runs must never do at once.

All that can fail without sending comes first, so that what cannot be reached takes no lease.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from token_refresher.errors import (
    HeldError,
    NotAttemptedError,
    OutOfTimeError,
    RefreshTokenHeldError,
    SecretStoreError,
    SigningError,
)
from token_refresher.failures import Pace, Sending, lease_interval, next_sending, pace_of
from token_refresher.leases import Leases, number_of
from token_refresher.oauth.errors import EndpointUnavailableError, OAuthError
from token_refresher.oauth.hidden import Hidden
from token_refresher.outcomes import Caution
from token_refresher.policy import TICK_SLACK
from token_refresher.records import LeaseEnd

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from typing import Protocol

    from token_refresher.journal import Journal
    from token_refresher.leases import Lease
    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.outcomes import Asked
    from token_refresher.recording import Record

# One write of a lease or a journal, tried again.
_TIME_TO_WRITE: Final = timedelta(seconds=15)

# Servers with a grace take the same refresh token again for some seconds, exactly for this.
_RESEND_PAUSE: Final = timedelta(seconds=1)

_READ: Final = "GetSecretValue"

# A block and a limit, which the primary grant would meet, too.
_NOT_TO_BE_ASKED_AGAIN: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})

if TYPE_CHECKING:
    # Shapes, which a start need not make.

    class Connection(Protocol):
        """One open connection to a token endpoint."""

        def request(self, grant: Grant, *, before_sending: Callable[[], None]) -> TokenResponse:
            """Send one token request, once; ``before_sending`` may still forbid it."""

    class TokenEndpoint(Protocol):
        """What a refresh needs of the token endpoint."""

        def admit(self, client: Client) -> None:
            """Raise where the client must not be sent now."""

        def connect(self, client: Client) -> AbstractContextManager[Connection]:
            """Open a connection for one refresh token: all that can fail without sending."""

        def request(self, client: Client, grant: Grant) -> TokenResponse:
            """Send one token request by a primary grant."""

        def verify(self, client: Client, access_token: str) -> bool | None:
            """Ask ``verify_url`` whether a token is accepted; None where nobody can tell."""


def time_to_keep(timeout_seconds: int) -> timedelta:
    """Tell what a request and the write that keeps its response may take."""
    return timedelta(seconds=timeout_seconds) + _TIME_TO_WRITE


def time_to_request(timeout_seconds: int) -> timedelta:
    """Tell what these may take with the write of a lease before: less, and none is begun."""
    return _TIME_TO_WRITE + time_to_keep(timeout_seconds)


def allows_primary_grant(error: OAuthError) -> bool:
    """Whether the account's primary grant may be tried in the same run, after its refresh token."""
    if isinstance(error, EndpointUnavailableError):
        # Not where the host is not to be asked again now.
        return error.sent and error.status not in _NOT_TO_BE_ASKED_AGAIN and not error.is_page
    # It would fail on the same secret.
    return error.code != "invalid_client"


class Redeemed(Hidden, msgspec.Struct, frozen=True):
    """A response to a refresh token, not judged.

    Attributes:
        response: As read.
        issued_at: Aware; from before the request, so that a lifetime errs on the safe side.
        lease: What it was sent under.
        grant: With the refresh token that was sent.
    """

    response: TokenResponse
    issued_at: datetime
    lease: Lease
    grant: Grant


class Redemption(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    """One refresh token's way to its endpoint, in one run.

    Attributes:
        endpoint: Where it is sent.
        record: The account as known now; it is told what becomes of the lease.
        journal: As read in this run.
        basis: What the lease is derived from, as for `lease_id`.
        asked: When this run began.
        is_insisted_on: A person asked, or a consumer saw the published token refused.
        clock: Gives aware times.
        pause: Waits.
        time_left: What is left for this refresh.
    """

    endpoint: TokenEndpoint
    record: Record
    journal: Journal
    basis: str
    asked: Asked
    is_insisted_on: bool
    clock: Callable[[], datetime]
    pause: Callable[[timedelta], None]
    time_left: Callable[[], timedelta]

    def redeem(self, client: Client, grant: Grant) -> Redeemed | OAuthError | None:
        """Connect, lease a grant's refresh token, and send it.

        Returns:
            Where the primary grant may follow: the failure, or None where nothing was sent.

        Raises:
            OAuthError: No token came of it, and no other grant may follow.
            RefreshTokenHeldError: It is not sent again yet, and there is nothing else.
            SecretStoreError: It could not be leased, and there is nothing else.
            SigningError: No assertion was made; nothing else could be sent either.
            NotAttemptedError: It was put off.
        """
        account, is_only_grant = self.record.account, self.journal.is_only_grant
        if not is_only_grant and account.lease_end and number_of(account.lease, self.basis):
            # One lease in a whole outage: the refresh token has had its chance.
            return None
        with self.endpoint.connect(client) as connection:
            try:
                lease = self._lease()
            except (HeldError, RefreshTokenHeldError, SecretStoreError) as error:
                is_unread = isinstance(error, SecretStoreError) and error.operation == _READ
                if is_only_grant or is_unread:
                    # Whose lease cannot be read may be at work, and publish after this run.
                    raise
                # The primary grant's token is worth having even where nothing can be leased.
                return None
            issued_at = self.clock()
            try:
                response = self._send(connection, client, grant, lease)
            except SigningError:
                # Leasing took so long that the first assertion was too old. Nothing was sent, and
                # whoever comes next need not wait for this run.
                self.record.end_lease(
                    lease.version_id, Sending(LeaseEnd.UNANSWERED, lease.taken_at)
                )
                raise
            except OAuthError as error:
                is_refusal = pace_of(error) is Pace.REFUSED
                end = LeaseEnd.REFUSED if is_refusal else LeaseEnd.UNANSWERED
                self.record.end_lease(lease.version_id, Sending(end, lease.taken_at))
                if is_only_grant or not allows_primary_grant(error):
                    raise
                return error
        return Redeemed(response, issued_at, lease, grant)

    def _lease(self) -> Lease:
        """Win the right to send the refresh token; this proves that a journal can be written."""
        lease = Leases(
            store=self.record.store,
            account=self.record.account,
            basis=self.basis,
            journal=self.journal,
            began_at=self.asked.now,
            clock=self.clock,
        ).take(self._require_sendable)
        self.record.know(lease=lease.version_id)
        if lease.number > 1:
            self.record.cautions.append(Caution.REFRESH_TOKEN_RESENT)
        return lease

    def _require_sendable(self, lease_id: str, last: Sending) -> None:
        """Let a refresh token that was sent before be sent again now, or raise."""
        now, account = self.asked.now, self.record.account
        until = next_sending(account, last, now=now, insists=self.is_insisted_on)
        is_held = last.end is not LeaseEnd.REFUSED and now < until - TICK_SLACK
        if is_held or not self.journal.is_only_grant:
            self.record.end_lease(lease_id, last)
            interval = lease_interval(account, last.leased_at, is_ended=True, now=now)
            by_force = last.leased_at + interval
            is_spent = last.end is LeaseEnd.SPENT
            raise RefreshTokenHeldError(is_spent=is_spent, until=until, by_force=by_force)

    def _send(
        self, connection: Connection, client: Client, grant: Grant, lease: Lease
    ) -> TokenResponse:
        """Send a leased refresh token, and once more where its first response is lost."""

        def before_sending() -> None:
            lease.require_young(self.clock())
            if self.time_left() < time_to_keep(client.timeout_seconds):
                raise OutOfTimeError("connecting and leasing left no time to keep a response")

        try:
            return connection.request(grant, before_sending=before_sending)
        except OAuthError as error:
            if not (self.journal.is_only_grant and lease.number == 1 and error.is_response_lost):
                raise
            is_late = self.time_left() < time_to_request(client.timeout_seconds)
            if error.retry_after is not None or is_late:
                raise
            lost = error
        self.pause(_RESEND_PAUSE)
        self.record.cautions.append(Caution.REFRESH_TOKEN_RESENT)
        try:
            with self.endpoint.connect(client) as again:
                return again.request(grant, before_sending=before_sending)
        except (NotAttemptedError, OAuthError, SigningError) as error:
            is_sent = isinstance(error, OAuthError) and error.sent
            raise (error if is_sent else lost) from None
