"""Which accounts changed their state in a sweep, and how: what is told as an event. Pure.

An account is well, failing, or needs action for the reason that a code names. Each refresh is
compared with what was confirmed before it, so that of all runs the one that changed something
tells of it. What begins by the mere passage of time is told by the first sweep of all accounts
after it began.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from token_refresher import health, records
from token_refresher.errors import FailureClass
from token_refresher.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from token_refresher.model import Account
    from token_refresher.outcomes import Result
    from token_refresher.sweep import Report


class Kind(StrEnum):
    """What changed. Public: an event's detail-type."""

    PUBLISHED = "Token Published"
    FAILED = "Refresh Failed"
    RECOVERED = "Refresh Recovered"
    CONSENT_ENDING = "Consent Ending"
    ACTION_REQUIRED = "Action Required"


class Change(msgspec.Struct, frozen=True):
    """One change of an account's state.

    Attributes:
        kind: What changed.
        result: What came of the account in the sweep.
        cause: What makes this change another one than the next of its kind; the same for
            everybody who sees it.
        code: Of the failure, or of what else needs action; of a recovery what has ended.
        failure_class: Likewise.
        since: Aware; when the first of the failures in a row was. None where nothing failed.
    """

    kind: Kind
    result: Result
    cause: str
    code: str | None = None
    failure_class: FailureClass | None = None
    since: datetime | None = None


class _Trouble(msgspec.Struct, frozen=True):
    """Why an account is not well.

    Attributes:
        code: As in a failure's record, or as `health.action_required` names it.
        failure_class: Likewise.
        cause: As for `Change`.
        credentials: Which ones need action; what fails by itself has nothing to do with them.
        since: As for `Change`.
    """

    code: str
    failure_class: FailureClass
    cause: str
    credentials: str = ""
    since: datetime | None = None

    @property
    def needs_action(self) -> bool:
        return self.failure_class is FailureClass.ACTION_REQUIRED

    def is_news_after(self, before: _Trouble | None) -> bool:
        """Whether the account was well, or in trouble of another kind.

        With other credentials the same code is news: what was corrected did not help.
        """
        if before is None or before.needs_action is not self.needs_action:
            return True
        told = before.code, before.credentials
        return self.needs_action and told != (self.code, self.credentials)


def changes_of(report: Report) -> Iterator[Change]:
    """Tell what changed, account by account, in the order in which it happened."""
    for result in report.all_results:
        after, before = result.account, result.before
        if result.outcome is Outcome.PUBLISHED and after.published is not None:
            yield Change(Kind.PUBLISHED, result, after.published.version_id)
        if not after.is_managed:
            continue
        ends = _endings(after, now=report.now)
        ended = _endings(before or after, now=report.last_at)
        for kind, trouble in ends.items():
            if kind not in ended:
                yield _of_trouble(kind, result, trouble)
        if before is None:
            continue
        was, now = (_trouble(each, schedule=report.schedule) for each in (before, after))
        if now is not None and now.is_news_after(was):
            kind = Kind.ACTION_REQUIRED if now.needs_action else Kind.FAILED
            yield _of_trouble(kind, result, now)
        over = was or _left_behind(before, after) or next(iter(ended.values()), None)
        if over is not None and now is None and not ends:
            yield _of_trouble(Kind.RECOVERED, result, over)


def _of_trouble(kind: Kind, result: Result, of: _Trouble) -> Change:
    return Change(kind, result, of.cause, of.code, of.failure_class, of.since)


def _endings(account: Account, *, now: datetime) -> dict[Kind, _Trouble]:
    """What will end, and needs action for that whether or not anything has failed."""
    found, required = {}, FailureClass.ACTION_REQUIRED
    if health.is_grant_ending(account, now=now):
        cause = account.tags[records.GRANT_EXPIRES_AT_TAG]
        found[Kind.CONSENT_ENDING] = _Trouble(health.GRANT_ENDING, required, cause)
    if health.is_certificate_ending(account, now=now):
        cause = account.tags[records.CERTIFICATE_EXPIRES_AT_TAG]
        found[Kind.ACTION_REQUIRED] = _Trouble(health.CERTIFICATE_ENDING, required, cause)
    return found


def _left_behind(before: Account, after: Account) -> _Trouble | None:
    """What was on record and is no more, though a token had ended it: nobody has told of the end.

    Its run died, or got no response for what it published; or somebody else published.
    """
    theirs, ours = (each.tags.get(records.FAILURE_TAG) for each in (before, after))
    record = records.FailureRecord.from_tag(theirs)
    return None if theirs == ours else _failure(record, _attempt(record))


def _trouble(account: Account, *, schedule: timedelta) -> _Trouble | None:
    """Tell why an account is not well; None where it is.

    A failure counts whatever credentials it is of: until a token has come, corrected ones have
    healed nothing.
    """
    published = account.published.version_id if account.published is not None else ""
    attempt = _attempt(account.failure)
    if account.unrecorded is not None:
        # Every new environment meets it, and must not tell of it as of another one.
        attempt = f"{published}/{account.credentials_digest}"
    trouble = _failure(account.failure, attempt)
    if trouble is not None and trouble.needs_action:
        return trouble
    if health.lives_too_short(account, schedule=schedule):
        # The same token is news again after a failure that needed action for another reason.
        cause = f"{published}/{attempt}"
        return _Trouble(health.LIVES_TOO_SHORT, FailureClass.ACTION_REQUIRED, cause)
    return trouble


def _failure(record: records.FailureRecord | None, attempt: str) -> _Trouble | None:
    if record is None or not record.failures:
        return None
    return _Trouble(
        record.code,
        record.failure_class,
        attempt,
        record.credentials_digest,
        record.since,
    )


def _attempt(record: records.FailureRecord | None) -> str:
    # Each attempt is another one, though it be in the same row.
    return f"{records.format_timestamp(record.since)}/{record.failures}" if record else ""
