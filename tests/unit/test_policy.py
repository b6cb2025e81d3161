"""When a token is due, and why; when the next attempt is; who needs somebody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.errors import FailureClass
from token_refresher.model import Account, Published, TokenVersion, account_from_metadata, digest12
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import (
    Decision,
    Failure,
    Reason,
    decide,
    due_time,
    failure_record,
    is_retrying,
    margin_used,
    needs_action,
    next_attempt,
    seconds_until_expiry,
)
from token_refresher.ports import SecretMetadata
from token_refresher.records import (
    CREDENTIALS_TAG,
    GRANT_EXPIRES_AT_TAG,
    REFUSED_TAG,
    FailureRecord,
    Unrecorded,
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
    failure_class: FailureClass = FailureClass.TRANSIENT,
    credentials: str = CREDENTIALS,
) -> dict[str, str]:
    record = FailureRecord(
        failure_class,
        "timeout",
        failures,
        NOW + min(retry_in, timedelta(0)),
        NOW + retry_in,
        digest12(credentials),
    )
    return record.to_tags()


LATER: Final = issued(MINUTE)
OLD: Final = issued(11 * HOUR)


def test_a_failure_whose_tags_somebody_edited_holds_nothing_back() -> None:
    of = account(OLD, tags=failed(HOUR) | {CREDENTIALS_TAG: ""})
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


def error(failure_class: FailureClass, *, retry_after: timedelta | None = None) -> Failure:
    if failure_class is FailureClass.TRANSIENT:
        return EndpointUnavailableError("", code="timeout", retry_after=retry_after)
    if failure_class is FailureClass.INVALID_RESPONSE:
        return TokenResponseError("")
    return TokenRequestError("invalid_grant", retry_after=retry_after)


NEEDS_ACTION: Final = failed(HOUR, failure_class=FailureClass.ACTION_REQUIRED)


def grant(left: timedelta, lifetime: timedelta) -> dict[str, str]:
    return {GRANT_EXPIRES_AT_TAG: f"{NOW + left:%Y%m%dT%H%M%SZ}/{int(lifetime.total_seconds())}"}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (account(tags=NEEDS_ACTION, credentials=None), False),
        (account("a-person-s-version-id-0123456789abcdef"), False),
        (account(LATER, tags=grant(20 * MINUTE, 30 * MINUTE)), False),
        (account(LATER, tags={GRANT_EXPIRES_AT_TAG: "edited"}), False),
    ],
)
def test_who_needs_somebody_is_told_by_metadata(*, of: Account, expected: bool) -> None:
    assert needs_action(of, now=NOW) is expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(LATER), False, id="one that did not fail"),
        pytest.param(account(tags=failed(HOUR)), True, id="one that is tried again"),
        pytest.param(account(tags=failed(-HOUR)), True, id="one that is about to be"),
        pytest.param(account(tags=NEEDS_ACTION), False, id="one that needs somebody"),
    ],
)
def test_who_is_tried_again_is_told_by_metadata(*, of: Account, expected: bool) -> None:
    assert is_retrying(of) is expected


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


EXPIRED: Final = issued(13 * HOUR)
A_PERSONS_ID: Final = "a-person-s-version-id-0123456789abcdef"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(
            account(journal=LATER, tags=failed(HOUR)),
            Decision(due=True, reason=Reason.NO_TOKEN),
            id="no token yet precedes an unpublished response",
        ),
        pytest.param(
            account(issued(6 * HOUR, credentials="other"), journal=LATER),
            Decision(due=True, reason=Reason.UNPUBLISHED_RESPONSE),
            id="an unpublished response precedes changed credentials",
        ),
        pytest.param(
            account(issued(13 * HOUR, credentials="other")),
            Decision(due=True, reason=Reason.CREDENTIALS_CHANGED),
            id="changed credentials precede an expiry",
        ),
        pytest.param(
            account(EXPIRED, previous=LATER, tags=failed(HOUR)),
            Decision(due=False, reason=Reason.BACKING_OFF),
            id="a back-off precedes the minimum interval",
        ),
        pytest.param(
            account(LATER, previous=issued(2 * MINUTE), tags=failed(HOUR)),
            Decision(due=False, reason=Reason.FRESH),
            id="what is fresh is held by nothing",
        ),
    ],
)
def test_the_checks_have_an_order(of: Account, expected: Decision) -> None:
    assert decide(of, now=NOW, refresh_before=BEFORE) == expected


def test_a_token_in_a_secret_that_is_scheduled_for_deletion_is_none() -> None:
    of = account(LATER)
    assert of.token is not None
    of = replace(of, token=replace(of.token, is_deleted=True))
    assert decide(of, now=NOW, refresh_before=BEFORE) == Decision(due=True, reason=Reason.NO_TOKEN)


def test_force_gives_no_credentials_to_an_account_without() -> None:
    of = account(LATER, credentials=None)
    assert not decide(of, now=NOW, refresh_before=BEFORE, force=True).due


def external(*, issued_at: datetime | None, expires_at: datetime | None) -> Account:
    """An account whose token somebody else published, with the moments of its JSON."""
    published = Published(A_PERSONS_ID, issued_at, expires_at, None)
    return replace(account(A_PERSONS_ID), published=published)


def test_a_persons_token_lives_as_long_as_its_json_says() -> None:
    of = external(issued_at=None, expires_at=NOW + BEFORE + MINUTE)
    assert decide(of, now=NOW, refresh_before=BEFORE).reason is Reason.FRESH


def test_without_an_issue_moment_a_token_is_due_by_the_margin_alone() -> None:
    expires_at = NOW + HOUR
    of = external(issued_at=None, expires_at=expires_at)
    assert due_time(of, refresh_before=BEFORE) == expires_at - BEFORE


def test_a_persons_token_never_lives_too_short() -> None:
    of = external(issued_at=NOW, expires_at=None)
    assert not needs_action(of, now=NOW)


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param((NOW + HOUR, NOW + HOUR), id="a life of nothing"),
        pytest.param((NOW + 3 * HOUR, NOW + HOUR), id="an expiry before the issue"),
    ],
)
def test_the_margin_is_a_percentage_whatever_a_person_wrote(
    moments: tuple[datetime, datetime],
) -> None:
    of = external(issued_at=moments[0], expires_at=moments[1])
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100


# What is read of a person's token: until the year 3000.
moments = st.integers(1, 32_503_679_999).map(lambda count: datetime.fromtimestamp(count, UTC))


@given(issued_at=st.none() | moments, expires_at=st.none() | moments)
@settings(deadline=None)
def test_no_moments_of_anybodys_break_a_decision_or_a_gauge(
    issued_at: datetime | None, expires_at: datetime | None
) -> None:
    of = external(issued_at=issued_at, expires_at=expires_at)
    decide(of, now=NOW, refresh_before=BEFORE)
    needs_action(of, now=NOW)
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100
    assert seconds_until_expiry(of, now=NOW) >= 0


seconds = st.integers(min_value=1, max_value=30 * 86400).map(lambda count: timedelta(seconds=count))


@given(life=seconds, before=seconds, at=st.floats(min_value=0, max_value=0.499))
@settings(deadline=None)
def test_no_token_is_due_before_half_its_life(
    life: timedelta, before: timedelta, at: float
) -> None:
    of = account(issued(timedelta(0), life=life))
    assert decide(of, now=NOW + life * at, refresh_before=before).reason is Reason.FRESH


@given(life=seconds, before=seconds, at=seconds, later=seconds)
@settings(deadline=None)
def test_what_is_due_stays_due(
    life: timedelta, before: timedelta, at: timedelta, later: timedelta
) -> None:
    of = account(issued(timedelta(0), life=life))
    if decide(of, now=NOW + at, refresh_before=before).due:
        assert decide(of, now=NOW + at + later, refresh_before=before).due


def test_where_nothing_is_published_nothing_was_refused() -> None:
    decision = decide(account(), now=NOW, refresh_before=BEFORE, rejected_version="")
    assert decision == Decision(due=True, reason=Reason.NO_TOKEN)


def test_the_next_attempt_is_told_where_an_account_is_held_back() -> None:
    held = account(issued(MINUTE), previous=issued(20 * MINUTE))
    backing_off = account(OLD, tags=failed(MINUTE))

    assert next_attempt(held, Reason.RATE_LIMITED) == NOW + 10 * MINUTE
    assert next_attempt(backing_off, Reason.BACKING_OFF) == NOW + MINUTE
    assert next_attempt(held, Reason.FRESH) is None


@pytest.mark.parametrize(
    ("journal", "most"),
    [
        pytest.param({}, 96, id="one version for each refresh"),
        pytest.param({"TOKENRESPONSE": issued(24 * HOUR)}, 48, id="a claim and a journal besides"),
    ],
)
def test_a_day_has_at_most_96_versions_however_hard_it_is_forced(
    journal: dict[str, str], most: int
) -> None:
    current: str | None = None
    previous: str | None = None
    published = 0
    for minute in range(24 * 60):
        now = NOW + minute * MINUTE
        of = account_from_metadata(
            "dealer-17",
            credentials=SecretMetadata({"AWSCURRENT": CREDENTIALS, **journal}),
            token=SecretMetadata(
                {
                    stage: version
                    for stage, version in (("AWSCURRENT", current), ("AWSPREVIOUS", previous))
                    if version
                }
            ),
            now=now,
        )
        if decide(of, now=now, refresh_before=BEFORE, force=True).due:
            published += 1
            current, previous = issued(NOW - now, life=MINUTE), current
    assert published == most


@pytest.mark.parametrize(
    ("lifetime", "claims", "minutes"),
    [
        pytest.param(HOUR, True, 15, id="an hour, and each attempt writes a claim"),
        pytest.param(2 * HOUR - MINUTE, True, 15, id="less than two hours"),
        pytest.param(2 * HOUR, True, 5, id="two hours leave room for every attempt"),
        pytest.param(HOUR, False, 5, id="an attempt writes nothing without refresh tokens"),
    ],
)
def test_where_claims_would_use_up_the_versions_of_a_day_attempts_keep_their_pace(
    lifetime: timedelta, *, claims: bool, minutes: int
) -> None:
    token = issued(lifetime / 2, life=lifetime)
    of = replace(account(token), uses_refresh_tokens=claims)
    record = failure_record(of, error(FailureClass.TRANSIENT), now=NOW)
    assert record.retry_at == NOW + minutes * MINUTE - SLACK


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_no_number_of_failures_is_too_large(failure_class: FailureClass) -> None:
    of = account(tags=failed(HOUR, failures=999_999, failure_class=failure_class))
    longest = failure_record(of, error(failure_class), now=NOW).retry_at - NOW
    assert longest <= 6 * HOUR


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(failed(HOUR, failures=7, credentials="other"), id="of other credentials"),
        pytest.param(failed(-2 * HOUR, failures=7), id="that a success has outlived"),
    ],
)
def test_a_failure_that_does_not_count_is_not_counted_on(tags: dict[str, str]) -> None:
    of = account(issued(HOUR), tags=tags)
    assert failure_record(of, error(FailureClass.TRANSIENT), now=NOW).failures == 1


def test_retry_after_counts_where_action_is_required_too() -> None:
    asked = error(FailureClass.ACTION_REQUIRED, retry_after=20 * MINUTE)
    assert failure_record(account(), asked, now=NOW).retry_at == NOW + 20 * MINUTE


@given(
    life=st.integers(min_value=60, max_value=7 * 24 * 60).map(lambda count: count * MINUTE),
    phase=st.integers(min_value=0, max_value=299).map(lambda count: timedelta(seconds=count)),
)
@settings(deadline=None, max_examples=50)
def test_however_often_it_failed_one_attempt_precedes_the_expiry(
    life: timedelta, phase: timedelta
) -> None:
    of, now, expires_at = account(issued(timedelta(0), life=life)), NOW + phase, NOW + life
    attempts = []
    while now < expires_at:
        if decide(of, now=now, refresh_before=24 * HOUR).due:
            attempts.append(expires_at - now)
            record = failure_record(of, error(FailureClass.ACTION_REQUIRED), now=now)
            of = replace(of, unrecorded=Unrecorded(record.to_tags(), {}, NOW))
        now += 5 * MINUTE
    assert 5 * MINUTE <= attempts[-1] <= 11 * MINUTE
