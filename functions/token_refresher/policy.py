"""When a token is due, and what holds it.

Pure: the same inputs decide the same. No jitter, no clock, no input or output. What a failure
puts on record, which may hold, is made in `failures`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from token_refresher.records import FAILURE_TAG, REPLACED, UNCHANGED, FailureRecord, LeaseEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.model import Account

# A tick may come a little earlier than a full period after the last one; what
# is due on that tick must not wait for the next.
TICK_SLACK: Final = timedelta(seconds=30)

_NO_TIME: Final = timedelta(0)

# Secrets Manager asks for no more than one version of a secret in ten minutes, sustained. A
# refresh writes one, or with refresh tokens two of the credentials secret: lease and journal.
PACE_OF_VERSIONS: Final = timedelta(minutes=10)

# How long before its own end a refresh token is used once more.
REFRESH_TOKEN_MARGIN: Final = timedelta(minutes=10)

# The first wait for refused credentials, and between two attempts that credentials which are put
# bring forward: passwords that are hammered every five minutes lock accounts.
REFUSED_FIRST: Final = timedelta(minutes=15)
LONGEST_WAIT: Final = timedelta(hours=6)
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)

# No wait of ours is longer; one that is was edited, and must not hold for ever. (A refresh
# token is held as long as its token lives, but then nothing is lost by trying.)
_LONGEST_HOLD: Final = LONGEST_WAIT + LONGEST_RETRY_AFTER


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
        return until is not None and of.now < until <= of.now + REFUSED_FIRST
    was_sent_in_vain = account.lease_end in {LeaseEnd.UNANSWERED, LeaseEnd.SPENT}
    if was_sent_in_vain and _is_rejected(of) and not of.has_primary_grant:
        return False
    return of.now < failure.next_attempt <= _longest_hold(of)


def _is_unchanged(of: Situation) -> bool:
    """The endpoint handed out the published token once more; half of what is left must pass."""
    failure = of.account.counting_failure
    if failure is None or failure.code != UNCHANGED or of.has_response or _is_rejected(of):
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
    due_at = grant.expires_at - REFRESH_TOKEN_MARGIN
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
        if failure is None or failure.code != REPLACED:
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


def minimum_interval(account: Account) -> timedelta:
    """How much time must pass between a publish and the next but one."""
    return 2 * version_pace(account)


def _next_brought_forward(account: Account) -> datetime | None:
    """Tell when credentials that were put may bring an attempt forward again."""
    refusals = account.refusals
    at = refusals.brought_forward_at if refusals is not None else None
    return None if at is None else at + REFUSED_FIRST - TICK_SLACK
