"""When a token is due, and why; when the next attempt is; who needs somebody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from token_refresher.errors import FailureClass, RefreshError
from token_refresher.model import (
    CREDENTIALS_TAG,
    GRANT_EXPIRES_AT_TAG,
    REFUSED_TAG,
    Account,
    FailureRecord,
    SecretMetadata,
    TokenVersion,
    account_from_metadata,
    digest12,
)
from token_refresher.policy import (
    Decision,
    Reason,
    decide,
    failure_record,
    margin_used,
    needs_action,
    seconds_until_expiry,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
BEFORE: Final = 90 * MINUTE
SLACK: Final = timedelta(seconds=30)
CREDENTIALS: Final = "credentials-version-1"


def issued(ago: timedelta, *, life: timedelta = 12 * HOUR, credentials: str = CREDENTIALS) -> str:
    issued_at = NOW - ago
    return str(TokenVersion(issued_at, issued_at + life, digest12(credentials), "0123456789ab"))


def account(
    current: str | None = None,
    *,
    previous: str | None = None,
    journal: str | None = None,
    tags: dict[str, str] | None = None,
    credentials: str | None = CREDENTIALS,
) -> Account:
    token = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
    stages = {"AWSCURRENT": credentials, "TOKENRESPONSE": journal}
    return account_from_metadata(
        "dealer-17",
        credentials=SecretMetadata({stage: id_ for stage, id_ in stages.items() if id_}),
        token=SecretMetadata({stage: id_ for stage, id_ in token.items() if id_}, tags or {}),
        now=NOW,
    )


def failed(
    retry_in: timedelta,
    *,
    failures: int = 1,
    failure_class: FailureClass = FailureClass.TRY_LATER,
    credentials: str = CREDENTIALS,
) -> dict[str, str]:
    record = FailureRecord(
        failure_class, "timeout", failures, NOW + retry_in, digest12(credentials)
    )
    return record.to_tags()


LATER: Final = issued(MINUTE)
OLD: Final = issued(11 * HOUR)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(), Reason.NO_TOKEN, id="nothing was published yet"),
        pytest.param(
            account(issued(6 * HOUR), journal=LATER),
            Reason.UNPUBLISHED_RESPONSE,
            id="a later answer waits in the journal",
        ),
        pytest.param(
            account(issued(MINUTE, credentials="other")),
            Reason.CREDENTIALS_CHANGED,
            id="credentials that changed are tried though the token lives",
        ),
        pytest.param(account("a-person-s-version-id-0123456789abcdef"), Reason.EXPIRY_UNKNOWN,
                     id="a version without an expiry is due"),
        pytest.param(account(issued(12 * HOUR)), Reason.EXPIRED, id="at its expiry it is over"),
        pytest.param(account(issued(630 * MINUTE)), Reason.NEARING_EXPIRY,
                     id="exactly at the margin is refreshed"),
        pytest.param(account(issued(30 * MINUTE, life=HOUR)), Reason.NEARING_EXPIRY,
                     id="a one-hour token is due after half its life"),
    ],
)  # fmt: skip
def test_the_first_reason_that_applies_is_named(of: Account, expected: Reason) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE) == Decision(due=True, reason=expected)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(issued(630 * MINUTE - timedelta(seconds=1))), Reason.FRESH,
                     id="a second before the margin it is fresh"),
        pytest.param(account(issued(29 * MINUTE, life=HOUR)), Reason.FRESH,
                     id="a token shorter than the margin is not refreshed on every run"),
        pytest.param(account(OLD, tags=failed(MINUTE)), Reason.BACKING_OFF,
                     id="a failure holds the next attempt back"),
        pytest.param(account(OLD, previous=issued(29 * MINUTE)), Reason.WRITE_FLOOR,
                     id="never a third version within half an hour"),
        pytest.param(
            account(OLD, previous=issued(59 * MINUTE), journal=issued(12 * HOUR)),
            Reason.WRITE_FLOOR,
            id="never a third version within an hour where refresh tokens are used",
        ),
        pytest.param(account(credentials=None), Reason.AWAITING_CREDENTIALS,
                     id="an account without a value waits for it"),
    ],
)  # fmt: skip
def test_what_is_not_due_says_why(of: Account, expected: Reason) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE) == Decision(due=False, reason=expected)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(account(OLD, tags=failed(timedelta(0))), id="when its time has come"),
        pytest.param(account(OLD, tags=failed(HOUR, credentials="corrected since")),
                     id="when the credentials were corrected"),
        pytest.param(account(OLD, tags=failed(-2 * HOUR)), id="when it is older than the token"),
        pytest.param(account(OLD, previous=issued(30 * MINUTE)), id="when the floor has passed"),
        pytest.param(account(OLD, tags=failed(HOUR) | {CREDENTIALS_TAG: ""}),
                     id="when somebody edited its tags"),
    ],
)  # fmt: skip
def test_nothing_is_held_back_longer_than_it_must(of: Account) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE).due


def test_an_unpublished_response_is_held_neither_by_back_off_nor_by_the_floor() -> None:
    of = account(OLD, previous=issued(2 * MINUTE), journal=LATER, tags=failed(HOUR))
    assert decide(of, now=NOW, refresh_before=BEFORE).due


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(account(issued(0 * MINUTE), journal=LATER), id="an older one"),
        pytest.param(account(issued(2 * MINUTE), previous=LATER, journal=LATER),
                     id="one that was published and rolled back"),
        pytest.param(account(issued(2 * MINUTE), journal=LATER, tags={REFUSED_TAG: "0123456789ab"}),
                     id="a refused one"),
        pytest.param(account(issued(2 * MINUTE), journal=issued(MINUTE, life=MINUTE)),
                     id="an expired one"),
    ],
)  # fmt: skip
def test_a_journaled_response_is_not_published(of: Account) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE).reason is Reason.FRESH


def test_force_overrides_everything_but_the_floor() -> None:
    fresh, held = account(LATER), account(OLD, tags=failed(HOUR))
    floor = account(LATER, previous=issued(2 * MINUTE))
    reasons = [
        decide(of, now=NOW, refresh_before=BEFORE, force=True) for of in (fresh, held, floor)
    ]
    assert [(each.due, each.reason) for each in reasons] == [
        (True, Reason.FORCED),
        (True, Reason.NEARING_EXPIRY),
        (False, Reason.WRITE_FLOOR),
    ]


@pytest.mark.parametrize(
    ("failure_class", "failures", "left", "wait"),
    [
        (FailureClass.TRY_LATER, 1, None, 5 * MINUTE),
        (FailureClass.TRY_LATER, 2, None, 10 * MINUTE),
        (FailureClass.TRY_LATER, 4, None, 30 * MINUTE),
        (FailureClass.TRY_LATER, 4, 80 * MINUTE, 10 * MINUTE),
        (FailureClass.TRY_LATER, 4, 8 * MINUTE, 5 * MINUTE),
        (FailureClass.UNUSABLE_ANSWER, 1, HOUR, 30 * MINUTE),
        (FailureClass.UNUSABLE_ANSWER, 99, HOUR, 6 * HOUR),
        (FailureClass.SOMEONE_MUST_ACT, 1, None, 15 * MINUTE),
        (FailureClass.SOMEONE_MUST_ACT, 99, None, 6 * HOUR),
        (FailureClass.SOMEONE_MUST_ACT, 99, HOUR, 50 * MINUTE),
        (FailureClass.SOMEONE_MUST_ACT, 1, 10 * MINUTE, 15 * MINUTE),
    ],
)
def test_the_next_attempt_is_by_class_and_by_what_is_left(
    failure_class: FailureClass, failures: int, left: timedelta | None, wait: timedelta
) -> None:
    tags = failed(MINUTE, failures=failures - 1, failure_class=failure_class)
    current = None if left is None else issued(12 * HOUR - left)
    of = account(current, tags=tags if failures > 1 else {})
    record = failure_record(of, error(failure_class), now=NOW)
    assert (record.failures, record.retry_at) == (failures, NOW + wait - SLACK)


def error(failure_class: FailureClass, *, retry_after: timedelta | None = None) -> RefreshError:
    return RefreshError("", code="timeout", failure_class=failure_class, retry_after=retry_after)


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        pytest.param(MINUTE, 5 * MINUTE - SLACK, id="it never shortens"),
        pytest.param(20 * MINUTE, 20 * MINUTE, id="it lengthens"),
        pytest.param(24 * HOUR, 65 * MINUTE, id="by an hour at most"),
    ],
)
def test_retry_after_counts(retry_after: timedelta, wait: timedelta) -> None:
    later = error(FailureClass.TRY_LATER, retry_after=retry_after)
    assert failure_record(account(), later, now=NOW).retry_at == NOW + wait


def test_another_class_of_failure_begins_anew() -> None:
    of = account(tags=failed(MINUTE, failures=7))
    assert failure_record(of, error(FailureClass.SOMEONE_MUST_ACT), now=NOW).failures == 1


MUST_ACT: Final = failed(HOUR, failure_class=FailureClass.SOMEONE_MUST_ACT)


def grant(left: timedelta, lifetime: timedelta) -> dict[str, str]:
    return {GRANT_EXPIRES_AT_TAG: f"{NOW + left:%Y%m%dT%H%M%SZ}/{int(lifetime.total_seconds())}"}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (account(LATER), False),
        (account(tags=failed(HOUR)), False),
        (account(tags=MUST_ACT), True),
        (account(tags=MUST_ACT, credentials=None), False),
        (account(issued(MINUTE, life=29 * MINUTE)), True),
        (account("a-person-s-version-id-0123456789abcdef"), False),
        (account(LATER, tags=grant(8 * 24 * HOUR, 30 * 24 * HOUR)), False),
        (account(LATER, tags=grant(6 * 24 * HOUR, 30 * 24 * HOUR)), True),
        (account(LATER, tags=grant(20 * MINUTE, 30 * MINUTE)), False),
        (account(LATER, tags={GRANT_EXPIRES_AT_TAG: "edited"}), False),
    ],
)
def test_who_needs_somebody_is_told_by_metadata(*, of: Account, expected: bool) -> None:
    assert needs_action(of, now=NOW) is expected


def test_a_token_secret_scheduled_for_deletion_needs_somebody() -> None:
    of = account_from_metadata(
        "a",
        credentials=SecretMetadata({"AWSCURRENT": "v"}),
        token=SecretMetadata(is_deleted=True),
        now=NOW,
    )
    assert needs_action(of, now=NOW)


@pytest.mark.parametrize(
    ("current", "used", "seconds"),
    [
        pytest.param(None, 100, 0, id="absent"),
        pytest.param(issued(13 * HOUR), 100, 0, id="expired"),
        pytest.param(issued(MINUTE), 0, 43140, id="fresh"),
        pytest.param(issued(11 * HOUR + 15 * MINUTE), 50, 2700, id="half way"),
    ],
)
def test_the_margin_is_told_in_percent(current: str | None, used: float, seconds: float) -> None:
    of = account(current)
    assert margin_used(of, now=NOW, refresh_before=BEFORE) == used
    assert seconds_until_expiry(of, now=NOW) == seconds
