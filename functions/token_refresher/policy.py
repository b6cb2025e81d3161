"""When a token is due, and what holds it; of what kind a failure is; when it is tried again.

Pure: the same inputs decide the same. No jitter, no clock, no input or output.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    RefreshError,
    RefreshTokenHeldError,
    RejectedAgainError,
    SecretStoreError,
    SigningError,
)
from token_refresher.oauth.errors import (
    TEMPORARY_CODES,
    EndpointUnavailableError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.records import FAILURE_TAG, FailureRecord, LeaseEnd, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.model import Account

# One account's refresh failed: here, or at its token endpoint.
Failure = RefreshError | OAuthError
FAILURES: Final = (RefreshError, OAuthError)

# A tick may come a little earlier than a full period after the last one; what
# is due on that tick must not wait for the next.
TICK_SLACK: Final = timedelta(seconds=30)

_NO_TIME: Final = timedelta(0)

# Secrets Manager asks for no more than one version of a secret in ten minutes, sustained. A
# refresh writes one, or with refresh tokens two of the credentials secret: lease and journal.
PACE_OF_VERSIONS: Final = timedelta(minutes=10)

# The last lease may still be at work, and a server without grace may end a living token with
# each sending.
_LEASE_INTERVAL: Final = timedelta(minutes=15)
_LEASE_INTERVAL_BEFORE_ITS_END: Final = timedelta(minutes=5)
# A refresh token that was sent in vain is sent again in the last half hour of the token.
_LAST_SENDINGS: Final = timedelta(minutes=30)
_REFRESH_TOKEN_MARGIN: Final = timedelta(minutes=10)

_TRANSIENT_WAITS: Final = tuple(timedelta(minutes=each) for each in (5, 10, 20, 30))
_MOST_WITHOUT_TOKEN: Final = timedelta(minutes=10)
_FIRST_TOKEN_HASTE: Final = timedelta(hours=1)
_LAST_CHANCE: Final = timedelta(minutes=10)
# Passwords that are hammered every five minutes lock accounts.
_REFUSED_FIRST: Final = timedelta(minutes=15)
_LONGEST_WAIT: Final = timedelta(hours=6)
_LONGEST_RETRY_AFTER: Final = timedelta(hours=1)

# No wait of ours is longer; one that is was edited, and must not hold for ever. (A refresh
# token is held as long as its token lives, but then nothing is lost by trying.)
_LONGEST_HOLD: Final = _LONGEST_WAIT + _LONGEST_RETRY_AFTER

_GRANT_WARNING: Final = timedelta(days=7)
# An authority takes its time.
_CERTIFICATE_WARNING: Final = timedelta(days=14)
# What a person must act on though nothing has failed.
LIVES_TOO_SHORT: Final = "token_lives_too_short"
GRANT_ENDING: Final = "refresh_token_ending"
CERTIFICATE_ENDING: Final = "certificate_ending"
WITHOUT_FAILURE: Final = (LIVES_TOO_SHORT, GRANT_ENDING, CERTIFICATE_ENDING)
# What is on record although nothing has failed.
_UNCHANGED: Final = "unchanged"
_REPLACED: Final = "external_version_replaced"
_AT_ONCE_CODES: Final = frozenset(
    {
        "external_secret",
        "host_not_allowed",
        "invalid_ca_certificates",
        "invalid_certificate",
        "scheduled_for_deletion",
    }
)


class Pace(StrEnum):
    """When a failure is tried again; who is called is its class."""

    AT_ONCE = "at once"
    REFUSED = "refused credentials"
    TRANSIENT = "transient"


class Reason(StrEnum):
    """Why an account is due, or is not. Public: log field, summary, docs/reference.md."""

    NO_TOKEN = "no token yet"  # noqa: S105 - a reason
    JOURNAL_NOT_WRITTEN = "journal not written"
    UNPUBLISHED_RESPONSE = "unpublished response"
    CREDENTIALS_CHANGED = "credentials changed"
    EXPIRY_UNKNOWN = "expiry unknown"
    EXPIRED = "expired"
    NEARING_EXPIRY = "nearing expiry"
    REFRESH_TOKEN_ENDING = "refresh token ending"  # noqa: S105 - a reason
    REJECTED = "rejected"
    FORCED = "forced"
    RETRY = "retry"
    FRESH = "fresh"
    AWAITING_CREDENTIALS = "awaiting credentials"
    ORPHANED = "orphaned"
    NO_SUCH_ACCOUNT = "no such account"
    BACKING_OFF = "backing off"
    UNCHANGED = "unchanged"
    RATE_LIMITED = "rate limited"


class Decision(msgspec.Struct, frozen=True):
    """Whether a token must be refreshed now, and the reason."""

    due: bool
    reason: Reason


class Situation(NamedTuple):
    """What a decision is made from.

    Attributes:
        account: What metadata tells of it; no secret value is needed.
        now: Aware.
        refresh_before: How long before its expiry a token is due.
        force: A person asked.
        rejected_version: A version id whose token a consumer saw refused.
        has_response: As `has_unpublished_response` says.
        has_primary_grant: Known once the credentials were read.
    """

    account: Account
    now: datetime
    refresh_before: timedelta
    force: bool
    rejected_version: str
    has_response: bool
    has_primary_grant: bool


class Check(NamedTuple):
    """One reason, and when it applies; the check's docstring is what documents say of it."""

    reason: Reason
    applies: Callable[[Situation], bool]


def _has_no_token(of: Situation) -> bool:
    """Nothing was ever published, or the token secret is scheduled for deletion."""
    token = of.account.token
    return of.account.published is None or (token is not None and token.is_deleted)


def _has_unwritten_journal(of: Situation) -> bool:
    """A response could not be journaled, and is still in memory; that is done first."""
    return of.account.unwritten is not None


def _has_response(of: Situation) -> bool:
    """A response was journaled and not published; it is published without a request."""
    return of.has_response


def _has_other_credentials(of: Situation) -> bool:
    """The token was obtained with other credentials."""
    published = of.account.published
    if published is None or not published.is_ours:
        return False
    return published.credentials_digest != of.account.credentials_digest


def _expiry_is_unknown(of: Situation) -> bool:
    """The published token is an external version, and its JSON has no `expires_at`."""
    return of.account.live_until is None


def _is_expired(of: Situation) -> bool:
    """Its life is over."""
    expires_at = of.account.live_until
    return expires_at is not None and of.now >= expires_at


def _is_nearing_expiry(of: Situation) -> bool:
    """`REFRESH_BEFORE_SECONDS` are left, and half its life has passed."""
    due_at = _half_spent_time(of.account, refresh_before=of.refresh_before)
    return due_at is not None and of.now >= due_at


def _is_refresh_token_ending(of: Situation) -> bool:
    """The refresh token itself, where there is nothing else, ends within ten minutes."""
    due_at = _refresh_token_margin_time(of.account)
    grant = of.account.grant
    return due_at is not None and grant is not None and due_at <= of.now < grant.expires_at


def _is_rejected(of: Situation) -> bool:
    """A consumer saw the published token refused."""
    published = of.account.published
    return published is not None and published.version_id == of.rejected_version


def _is_forced(of: Situation) -> bool:
    """An event asked for it."""
    return of.force


def _has_failed(of: Situation) -> bool:
    """The last attempt failed, whatever it was for: no failure outlives its cause."""
    failure = of.account.counting_failure
    return failure is not None and failure.failures > 0


def _awaits_credentials(of: Situation) -> bool:
    """The credentials secret has no value yet."""
    return not of.account.is_managed and of.account.has_credentials_secret


def _is_orphaned(of: Situation) -> bool:
    """The credentials secret is gone; the token secret is left alone."""
    return not of.account.is_managed and of.account.token is not None


def _does_not_exist(of: Situation) -> bool:
    """An event named an account that has neither secret."""
    return not of.account.is_managed


# What was answered already is held by none of these three: it costs no request and no third
# version, and the server may have ended the published token already.


def _is_backing_off(of: Situation) -> bool:
    """The last attempt failed, and the next is due later; credentials that are put end that."""
    failure, account = of.account.failure, of.account
    if failure is None or failure.failures == 0 or of.force or of.has_response:
        return False
    if failure.credentials_digest != account.credentials_digest:
        until = _next_brought_forward(account)
        return until is not None and of.now < until <= of.now + _REFUSED_FIRST
    was_sent_in_vain = account.lease_end in {LeaseEnd.UNANSWERED, LeaseEnd.SPENT}
    if was_sent_in_vain and _is_rejected(of) and not of.has_primary_grant:
        return False
    return of.now < failure.next_attempt <= _longest_hold(of)


def _is_unchanged(of: Situation) -> bool:
    """The endpoint handed out the published token once more; half of what is left must pass."""
    failure = of.account.counting_failure
    if failure is None or failure.code != _UNCHANGED or of.has_response or _is_rejected(of):
        return False
    # Nobody handed out an external version once more.
    is_ours = of.account.published is not None and of.account.published.is_ours
    return is_ours and of.now < failure.next_attempt <= _longest_hold(of)


def _is_rate_limited(of: Situation) -> bool:
    """It would be the third version in 20 minutes (40 with refresh tokens)."""
    return not of.has_response and is_rate_limited(of.account, now=of.now)


def _longest_hold(of: Situation) -> datetime:
    """No record of ours holds longer; one that does was edited."""
    return max(of.now + _LONGEST_HOLD, of.account.live_until or of.now)


# Why a token is due: the first that applies.
NEEDS: Final = (
    Check(Reason.JOURNAL_NOT_WRITTEN, _has_unwritten_journal),
    Check(Reason.NO_TOKEN, _has_no_token),
    Check(Reason.UNPUBLISHED_RESPONSE, _has_response),
    Check(Reason.CREDENTIALS_CHANGED, _has_other_credentials),
    Check(Reason.EXPIRY_UNKNOWN, _expiry_is_unknown),
    Check(Reason.EXPIRED, _is_expired),
    Check(Reason.NEARING_EXPIRY, _is_nearing_expiry),
    Check(Reason.REFRESH_TOKEN_ENDING, _is_refresh_token_ending),
    Check(Reason.REJECTED, _is_rejected),
    Check(Reason.FORCED, _is_forced),
    Check(Reason.RETRY, _has_failed),
)

# What holds a token that is due, or leaves nothing to refresh: the first that applies.
HOLDS: Final = (
    Check(Reason.AWAITING_CREDENTIALS, _awaits_credentials),
    Check(Reason.ORPHANED, _is_orphaned),
    Check(Reason.NO_SUCH_ACCOUNT, _does_not_exist),
    Check(Reason.BACKING_OFF, _is_backing_off),
    Check(Reason.UNCHANGED, _is_unchanged),
    Check(Reason.RATE_LIMITED, _is_rate_limited),
)


def decide(
    account: Account,
    *,
    now: datetime,
    refresh_before: timedelta,
    force: bool = False,
    rejected_version: str = "",
    has_primary_grant: bool = False,
) -> Decision:
    """Decide whether an account's token must be refreshed now.

    The first check of a chain that applies wins, so the reason names what has to be fixed.

    Args:
        account: What metadata tells of it; no secret value is needed.
        now: Aware. Passed in, never read here.
        refresh_before: How long before its expiry a token is due. Must exceed the
            schedule's interval.
        force: A person asked. Overrides back-off, and nothing else that holds.
        rejected_version: A version id whose token a consumer saw refused. It counts only
            while it is the published one. It overrides what holds back for the published
            token's sake: a refresh token that was sent in vain, a token that is unchanged.
        has_primary_grant: Whether the account is known to have more than a refresh token, so
            that nothing is held for its sake.
    """
    has_response = account.unwritten is not None or has_unpublished_response(account, now=now)
    situation = Situation(
        account, now, refresh_before, force, rejected_version, has_response, has_primary_grant
    )
    need = _first(NEEDS, situation) or Reason.FRESH
    if need is Reason.FRESH and account.is_managed:
        return Decision(due=False, reason=need)
    hold = _first(HOLDS, situation)
    return Decision(due=hold is None, reason=hold or need)


def _first(chain: tuple[Check, ...], situation: Situation) -> Reason | None:
    # It runs for each account of every sweep: a loop, since a generator costs more.
    for reason, applies in chain:
        if applies(situation):
            return reason
    return None


def due_time(account: Account, *, refresh_before: timedelta) -> datetime | None:
    """Tell when the published token becomes due; None where its expiry is not known."""
    due_at = _half_spent_time(account, refresh_before=refresh_before)
    ending_at = _refresh_token_margin_time(account)
    return due_at if due_at is None or ending_at is None else min(due_at, ending_at)


def _half_spent_time(account: Account, *, refresh_before: timedelta) -> datetime | None:
    """``refresh_before`` ahead of the token's expiry, but never before half its life has passed.

    Without that a server that issues five-minute tokens, under a longer margin, would be
    asked on every run.
    """
    published = account.published
    if published is None or published.expires_at is None:
        return None
    due_at = published.expires_at - refresh_before
    if published.issued_at is None or published.issued_at >= published.expires_at:
        # Nobody knows the life of a token that was issued after its expiry.
        return due_at
    half = published.issued_at + (published.expires_at - published.issued_at) / 2
    return max(due_at, half, _earliest(account, published.issued_at))


def _refresh_token_margin_time(account: Account) -> datetime | None:
    """Ten minutes before the refresh token's own end, as far as that is on record."""
    grant, published = account.grant, account.published
    if grant is None or published is None or published.issued_at is None:
        return None
    due_at = grant.expires_at - _REFRESH_TOKEN_MARGIN
    return max(due_at, _earliest(account, published.issued_at))


def _earliest(account: Account, issued_at: datetime) -> datetime:
    """When a token may be due that was issued then, by the pace of versions."""
    return issued_at + (
        version_pace(account) - TICK_SLACK if account.uses_refresh_tokens else _NO_TIME
    )


def has_unpublished_response(account: Account, *, now: datetime) -> bool:
    """Whether a live response was journaled and never became the published token.

    The journal has the version id that the published version will have: it is
    unpublished where it is later than ``AWSCURRENT`` and no version of the token secret.
    One with the published access token and credentials counts as published.
    """
    journal = account.journal
    if journal is None or now >= journal.expires_at or str(journal) == account.refused_response:
        return False
    published = account.published
    if published is None:
        return True
    if account.token is not None and str(journal) in account.token.stages.values():
        return False
    if (published.token_digest, published.credentials_digest) == (
        journal.token_digest,
        journal.credentials_digest,
    ):
        return False
    return published.issued_at is not None and journal.issued_at > published.issued_at


def is_rate_limited(account: Account, *, now: datetime) -> bool:
    """Whether another version now would be one too many within the minimum interval.

    An external version is replaced at once, and so are the tokens of credentials that were put:
    once. The former is on record; where the published version is the first of its credentials,
    the latter was used.
    """
    published, previous = account.published, account.previous
    if published is not None and not published.is_ours:
        # Whatever an external version says of when it was issued.
        failure = FailureRecord.from_tag(account.tags.get(FAILURE_TAG))
        longest = now + minimum_interval(account)
        if failure is None or failure.code != _REPLACED:
            return False
        if failure.credentials_digest != account.credentials_digest:
            return False
        return now < failure.next_attempt <= longest
    if previous is None or published is None:
        return False
    is_put = published.credentials_digest != account.credentials_digest
    if is_put and published.credentials_digest == previous.credentials_digest:
        return False
    return now < previous.issued_at + minimum_interval(account) - TICK_SLACK


def next_attempt(account: Account, reason: Reason) -> datetime | None:
    """Tell when an account that is held back is tried again; None where nothing holds it.

    Args:
        account: As it is known now, after this sweep's attempt if there was one.
        reason: Why it was due, or was not.
    """
    failure, previous = account.counting_failure, account.previous
    if reason is Reason.RATE_LIMITED:
        is_external = account.published is not None and not account.published.is_ours
        replaced = FailureRecord.from_tag(account.tags.get(FAILURE_TAG)) if is_external else None
        if replaced is not None:
            return replaced.next_attempt
        return None if previous is None else previous.issued_at + minimum_interval(account)
    if failure is None and reason is Reason.BACKING_OFF:
        return _next_brought_forward(account)
    return failure.next_attempt if failure is not None else None


def version_pace(account: Account) -> timedelta:
    """How much time one refresh takes up of what Secrets Manager allows."""
    return 2 * PACE_OF_VERSIONS if account.uses_refresh_tokens else PACE_OF_VERSIONS


def shortest_lifetime(*, uses_refresh_tokens: bool, schedule: timedelta) -> timedelta:
    """Tell how long a token must live for the next to be had before it ends.

    Args:
        uses_refresh_tokens: Whether a refresh writes the credentials secret, too.
        schedule: The time between two sweeps.
    """
    return (2 if uses_refresh_tokens else 1) * PACE_OF_VERSIONS + schedule


def minimum_interval(account: Account) -> timedelta:
    """How much time must pass between a publish and the next but one."""
    return 2 * version_pace(account)


def lease_interval(
    account: Account, last_at: datetime, *, is_ended: bool, now: datetime
) -> timedelta:
    """How much time must pass between two leases of one secret.

    Args:
        account: When its refresh token ends, and whether its last response was journaled and
            could not be published, so that each lease writes two versions.
        last_at: Aware; when the last lease was taken.
        is_ended: Whether what became of it is on record.
        now: Aware.
    """
    if account.journal is not None and str(account.journal) == account.refused_response:
        return 2 * PACE_OF_VERSIONS
    grant = account.grant
    ends_first = grant is not None and now < grant.expires_at < last_at + _LEASE_INTERVAL
    return _LEASE_INTERVAL_BEFORE_ITS_END if is_ended and ends_first else _LEASE_INTERVAL


class Sending(NamedTuple):
    """What became of a refresh-only account's refresh token when it was last sent.

    Attributes:
        end: In which way no token came of it.
        leased_at: Aware; when its lease was taken.
    """

    end: LeaseEnd
    leased_at: datetime


def next_sending(
    account: Account, last: Sending, *, now: datetime, insists: bool = False
) -> datetime:
    """Tell when a refresh token that brought no token is sent again, where there is nothing else.

    Each sending of a refresh token that may be spent can end the published token early, at a
    server without grace. So it waits while that token lives, and never longer. That an interval
    lies between two leases as well is `lease_interval`'s.

    Args:
        account: With its published token.
        last: What became of it.
        now: Aware.
        insists: A person asked, or a consumer saw the published token refused.

    Returns:
        ``now`` where nothing but that interval has to be waited for.
    """
    live_until, grant = account.live_until, account.grant
    if insists or live_until is None or now >= live_until or last.end is LeaseEnd.REFUSED:
        return now
    if last.end is LeaseEnd.SPENT:
        return live_until
    ends_at = min(live_until, grant.expires_at) if grant is not None else live_until
    return max(now, ends_at - _LAST_SENDINGS)


def failure_class_of(error: Failure) -> FailureClass:
    """Tell of what kind a failure is; decided here, and nowhere else."""
    match error:
        case SecretStoreError() | SigningError():
            is_transient = error.transient
        case TokenRequestError():
            is_transient = error.code in TEMPORARY_CODES
        case TokenResponseError():
            return FailureClass.INVALID_RESPONSE
        case RefreshTokenHeldError():
            is_transient = not error.is_spent
        case _:
            is_transient = isinstance(error, EndpointUnavailableError | RejectedAgainError)
    return FailureClass.TRANSIENT if is_transient else FailureClass.ACTION_REQUIRED


def pace_of(error: Failure) -> Pace:
    """Tell by which pace a failure is tried again; decided here, and nowhere else."""
    if isinstance(error, CredentialsError) or error.code in _AT_ONCE_CODES:
        return Pace.AT_ONCE
    if isinstance(error, OAuthError) and error.is_refusal:
        return Pace.REFUSED
    return Pace.TRANSIENT


def refusals_record(account: Account, error: Failure, *, now: datetime) -> Refusals | None:
    """Tell how often the credentials were refused by now; None where this was no refusal.

    Args:
        account: With what was recorded before.
        error: Its pace decides.
        now: Aware; the sweep's.
    """
    if pace_of(error) is not Pace.REFUSED:
        return None
    before, failure, digest = account.refusals, account.failure, account.credentials_digest
    is_again = before is not None and before.credentials_digest == digest
    count = before.count + 1 if before is not None and is_again else 1
    brought_forward_at = before.brought_forward_at if before is not None else None
    if failure is not None and failure.credentials_digest != digest and now < failure.next_attempt:
        brought_forward_at = now
    return Refusals(count, brought_forward_at, digest)


def failure_record(
    account: Account,
    error: Failure,
    *,
    now: datetime,
    refusals: Refusals | None = None,
    last_sending: Sending | None = None,
) -> FailureRecord:
    """Tell what to remember of a failure: how often, and when to try again.

    Args:
        account: With the record of the failures before, if any.
        error: Its class, its pace and ``Retry-After`` decide.
        now: Aware; the sweep's.
        refusals: As `refusals_record` says.
        last_sending: Where the account has nothing but a refresh token, and has sent it: that
            goes before any pace.
    """
    before = account.counting_failure
    is_again = before is not None and before.failures > 0
    failures, since = (before.failures + 1, before.since) if before and is_again else (1, now)
    pace = pace_of(error)
    wait = _wait(account, pace, failures, refusals.count if refusals else 0, since, now)
    at = now + wait
    if last_sending is not None:
        leased_at = last_sending.leased_at
        earliest = leased_at + lease_interval(account, leased_at, is_ended=True, now=now)
        sending_at = max(earliest, next_sending(account, last_sending, now=now))
        at = max(at, sending_at) if pace is Pace.REFUSED else sending_at
    at = max(at - TICK_SLACK, now)
    asked = error.retry_after if isinstance(error, OAuthError) else None
    if asked is not None:
        at = max(at, now + min(asked, wait + _LONGEST_RETRY_AFTER))
    return FailureRecord(
        failure_class=failure_class_of(error),
        code=error.code,
        failures=failures,
        since=since,
        next_attempt=at,
        credentials_digest=account.credentials_digest,
    )


def unchanged_record(account: Account, *, now: datetime) -> FailureRecord:
    """Tell when to ask again after the published token was handed out once more.

    Half of what is left must pass, at least what a version takes, and never more than all; nor may
    the refresh token end meanwhile.
    """
    live_until, earliest = account.live_until or now, now + version_pace(account)
    at = min(max(now + (live_until - now) / 2, earliest), live_until)
    if account.grant is not None:
        at = min(at, max(account.grant.expires_at - _REFRESH_TOKEN_MARGIN, earliest))
    return FailureRecord(
        failure_class=FailureClass.TRANSIENT,
        code=_UNCHANGED,
        failures=0,
        since=now,
        next_attempt=at - TICK_SLACK,
        credentials_digest=account.credentials_digest,
    )


def renewal_time(account: Account, *, now: datetime, refresh_before: timedelta) -> datetime:
    """Tell when to try once more to keep what a primary grant brings, where that failed twice.

    Each trial asks for a token that is not needed yet, and publishes it: so it waits for the next
    one that is, but not for longer than any failure does.
    """
    due_at = due_time(account, refresh_before=refresh_before)
    return min(due_at or now, now + _LONGEST_WAIT)


def replaced_record(
    account: Account, *, issued_at: datetime, now: datetime
) -> FailureRecord | None:
    """Tell that an external version is replaced although it is too soon for another version.

    Args:
        account: With what is replaced.
        issued_at: Aware; of the token that replaces it.
        now: Aware; the sweep's.

    Returns:
        Until when no other one is replaced; None where this was no exemption.
    """
    published, previous, interval = account.published, account.previous, minimum_interval(account)
    if published is None or published.is_ours:
        return None
    if previous is not None and now >= previous.issued_at + interval - TICK_SLACK:
        return None
    return FailureRecord(
        failure_class=FailureClass.TRANSIENT,
        code=_REPLACED,
        failures=0,
        since=issued_at + timedelta(seconds=1),
        next_attempt=now + interval - TICK_SLACK,
        credentials_digest=account.credentials_digest,
    )


def _wait(
    account: Account, pace: Pace, failures: int, refusals: int, since: datetime, now: datetime
) -> timedelta:
    """Tell how long to leave an account alone, by the table of paces."""
    left = account.live_until - now if account.live_until is not None else _NO_TIME
    if pace is Pace.AT_ONCE:
        return _NO_TIME
    if pace is Pace.REFUSED:
        # Past ten doublings every wait is at its longest; larger powers would overflow.
        wait = min(_REFUSED_FIRST * (1 << min(refusals - 1, 10)), _LONGEST_WAIT)
    elif account.published is None and now - since < _FIRST_TOKEN_HASTE:
        return _NO_TIME
    else:
        wait = _TRANSIENT_WAITS[min(failures, len(_TRANSIENT_WAITS)) - 1]
        # While a token lives no wait passes its end, but for the shortest.
        wait = min(wait, max(left, _TRANSIENT_WAITS[0]) if left > _NO_TIME else _MOST_WITHOUT_TOKEN)
    # However long the wait has become, one attempt precedes the expiry.
    return min(wait, left - _LAST_CHANCE) if left - _LAST_CHANCE > 2 * TICK_SLACK else wait


def _next_brought_forward(account: Account) -> datetime | None:
    """Tell when credentials that were put may bring an attempt forward again."""
    refusals = account.refusals
    at = refusals.brought_forward_at if refusals is not None else None
    return None if at is None else at + _REFUSED_FIRST - TICK_SLACK


def action_required(account: Account, *, now: datetime, schedule: timedelta) -> str | None:
    """Name what action is required for this account, by metadata alone; None for none.

    Its last failure's code; or its tokens cannot be kept alive; or a refresh-only account's
    refresh token ends within a week, or a client certificate within two (or half its life, where
    that is less).
    """
    if account.credentials_version is None:
        return None
    if account.token is not None and account.token.is_deleted:
        return "scheduled_for_deletion"
    failure = account.counting_failure
    if failure is not None and failure.failure_class is FailureClass.ACTION_REQUIRED:
        return failure.code
    if lives_too_short(account, schedule=schedule):
        return LIVES_TOO_SHORT
    if is_grant_ending(account, now=now):
        return GRANT_ENDING
    return CERTIFICATE_ENDING if is_certificate_ending(account, now=now) else None


def is_grant_ending(account: Account, *, now: datetime) -> bool:
    """Whether a refresh-only account's refresh token ends within a week, or half its life."""
    grant = account.grant
    return grant is not None and grant.expires_at - now < min(_GRANT_WARNING, grant.lifetime / 2)


def is_certificate_ending(account: Account, *, now: datetime) -> bool:
    """Whether an account's client certificate expires within two weeks, or half its life."""
    of = account.certificate
    return of is not None and of.expires_at - now < min(_CERTIFICATE_WARNING, of.lifetime / 2)


def needs_action(account: Account, *, now: datetime, schedule: timedelta) -> bool:
    """Whether action is required for this account, as `action_required` says."""
    return action_required(account, now=now, schedule=schedule) is not None


def is_retrying(account: Account) -> bool:
    """Whether an account's last attempt failed in a way that may heal by itself.

    Of the record, not of this sweep: back-off makes attempts rare, and an alarm must
    hold for as long as the failing does.
    """
    failure = account.counting_failure
    if failure is None or failure.failures == 0:
        return False
    return failure.failure_class is not FailureClass.ACTION_REQUIRED


def lives_too_short(account: Account, *, schedule: timedelta) -> bool:
    """Whether the published token, or its refresh token, ends before the next can be had.

    Args:
        account: With its tokens.
        schedule: The time between two sweeps.
    """
    least = shortest_lifetime(uses_refresh_tokens=account.uses_refresh_tokens, schedule=schedule)
    lifetime, grant = published_lifetime(account), account.grant
    if grant is not None and grant.lifetime < least:
        return True
    return lifetime is not None and lifetime < least


def published_lifetime(account: Account) -> timedelta | None:
    """Tell how long the published token lives in all; None where its version id does not tell."""
    published = account.published
    if published is None or published.issued_at is None or published.expires_at is None:
        return None
    return published.expires_at - published.issued_at if published.is_ours else None


def seconds_until_expiry(account: Account, *, now: datetime) -> float:
    """Tell how long the published token still lives; 0 when expired or absent."""
    live_until = account.live_until
    return max(0.0, (live_until - now).total_seconds()) if live_until else 0.0


def margin_used(account: Account, *, now: datetime, refresh_before: timedelta) -> float:
    """Tell how far a token is from being due (0) to its expiry (100), in percent.

    The one to alarm on, whatever the lifetimes: a healthy account never gets far.
    """
    due_at, expires_at = due_time(account, refresh_before=refresh_before), account.live_until
    if due_at is None or expires_at is None or now >= expires_at:
        return 100.0
    return max(0.0, 100 * ((now - due_at) / (expires_at - due_at)))
