"""What a refresh is asked for, and what comes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from token_refresher.errors import NotAttemptedError
    from token_refresher.failures import Failure
    from token_refresher.model import Account
    from token_refresher.policy import Reason


class Outcome(StrEnum):
    """What came of an account in a sweep. Public: log field and summary."""

    PUBLISHED = "published"
    STAGED = "staged"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    NOT_DUE = "not due"
    SUPERSEDED = "superseded"
    LEASED_BY_ANOTHER_RUN = "leased by another run"
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
        before: The account as it was confirmed before anything was done; None where nothing was.
    """

    account: Account
    reason: Reason
    outcome: Outcome
    error: Failure | NotAttemptedError | None = None
    cautions: tuple[Caution, ...] = ()
    before: Account | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an invocation asks for.

    Attributes:
        now: Aware; the sweep's beginning, which back-off and leases are counted from.
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
