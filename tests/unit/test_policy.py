"""When a token is due, and why; what holds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.listed import (
    A_PERSONS_ID,
    BEFORE,
    CREDENTIALS,
    EXPIRED,
    HOUR,
    LATER,
    LEASE,
    MINUTE,
    NO_TIME,
    NOW,
    OLD,
    OTHERS,
    SECOND,
    SLACK,
    TIMES_OF_ANYBODY,
    account,
    external,
    failed,
    grant,
    issued,
    refused,
)
from token_refresher.errors import FailureClass
from token_refresher.failures import replaced_record
from token_refresher.health import margin_used
from token_refresher.model import Account, TokenVersion, account_from_metadata
from token_refresher.policy import Decision, Reason, decide, due_time, next_attempt
from token_refresher.ports import SecretMetadata
from token_refresher.records import FAILURE_TAG, LEASE_TAG, REFUSED_RESPONSE_TAG, LeaseEnd


def reason_of(of: Account, **asked: Any) -> Reason:  # noqa: ANN401
    return decide(of, now=NOW, refresh_before=BEFORE, **asked).reason


# Needs, and their order.


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(
            account(journal=LATER, tags=failed(HOUR)),
            Decision(due=True, reason=Reason.NO_TOKEN),
            id="no token yet precedes an unpublished response",
        ),
        pytest.param(
            account(issued(6 * HOUR, credentials="other"), journal=issued(MINUTE, token="f" * 12)),
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
            account(LATER, previous=issued(2 * MINUTE)),
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


def test_where_nothing_is_published_nothing_was_refused() -> None:
    decision = decide(account(), now=NOW, refresh_before=BEFORE, rejected_version="")
    assert decision == Decision(due=True, reason=Reason.NO_TOKEN)


def test_without_an_issue_time_a_token_is_due_by_the_margin_alone() -> None:
    expires_at = NOW + HOUR
    of = external(issued_at=None, expires_at=expires_at)
    assert due_time(of, refresh_before=BEFORE) == expires_at - BEFORE


@pytest.mark.parametrize(
    ("ago", "life", "uses_refresh_tokens", "reason"),
    [
        pytest.param(15 * MINUTE, 30 * MINUTE, False, Reason.NEARING_EXPIRY, id="half its life"),
        pytest.param(15 * MINUTE - SECOND, 30 * MINUTE, False, Reason.FRESH, id="not before half"),
        pytest.param(20 * MINUTE - SLACK, 30 * MINUTE, True, Reason.NEARING_EXPIRY,
                     id="with refresh tokens twenty minutes, less the slack of a tick"),
        pytest.param(20 * MINUTE - SLACK - SECOND, 30 * MINUTE, True, Reason.FRESH,
                     id="with refresh tokens not before twenty minutes"),
        pytest.param(12 * HOUR - BEFORE, 12 * HOUR, True, Reason.NEARING_EXPIRY, id="the margin"),
        pytest.param(12 * HOUR - BEFORE - SECOND, 12 * HOUR, True, Reason.FRESH,
                     id="not before the margin"),
    ],
)  # fmt: skip
def test_a_token_is_due_from_a_certain_second_on(
    ago: timedelta, life: timedelta, reason: Reason, *, uses_refresh_tokens: bool
) -> None:
    current = issued(ago, life=life)
    of = account(current, journal=current if uses_refresh_tokens else None)
    assert reason_of(of) is reason


@pytest.mark.parametrize(
    ("ago", "left", "reason"),
    [
        pytest.param(HOUR, 10 * MINUTE, Reason.REFRESH_TOKEN_ENDING, id="ten minutes before"),
        pytest.param(HOUR, 10 * MINUTE + SECOND, Reason.FRESH, id="not before that"),
        pytest.param(HOUR, SECOND, Reason.REFRESH_TOKEN_ENDING, id="up to its last second"),
        pytest.param(HOUR, NO_TIME, Reason.FRESH, id="not once it has ended: nothing helps"),
        pytest.param(20 * MINUTE - SLACK, 5 * MINUTE, Reason.REFRESH_TOKEN_ENDING,
                     id="twenty minutes after the last one"),
        pytest.param(20 * MINUTE - SLACK - SECOND, 5 * MINUTE, Reason.FRESH,
                     id="not sooner after the last one"),
    ],
)  # fmt: skip
def test_a_token_is_due_before_its_refresh_token_ends(
    ago: timedelta, left: timedelta, reason: Reason
) -> None:
    of = account(issued(ago), journal=issued(ago), tags=grant(left))
    assert reason_of(of) is reason


def test_the_due_time_is_that_of_the_refresh_token_where_it_ends_first() -> None:
    of = account(issued(HOUR), tags=grant(HOUR))
    assert due_time(of, refresh_before=BEFORE) == NOW + 50 * MINUTE
    assert margin_used(of, now=NOW + 50 * MINUTE, refresh_before=BEFORE) == 0


# Journaled responses.


ANOTHER: Final = issued(MINUTE, token="f" * 12)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(account(issued(0 * MINUTE), journal=ANOTHER), id="an older one"),
        pytest.param(account(issued(2 * MINUTE), previous=ANOTHER, journal=ANOTHER),
                     id="one that was published and rolled back"),
        pytest.param(account(issued(2 * MINUTE), journal=ANOTHER,
                             tags={REFUSED_RESPONSE_TAG: ANOTHER}), id="a refused one"),
        pytest.param(account(issued(2 * MINUTE),
                             journal=issued(MINUTE, life=MINUTE, token="f" * 12)),
                     id="an expired one"),
        pytest.param(account(issued(2 * MINUTE), journal=LATER),
                     id="one with the published access token and credentials"),
        pytest.param(external(issued_at=None, expires_at=NOW + 11 * HOUR),
                     id="one beside a token whose age nobody knows"),
    ],
)  # fmt: skip
def test_a_journaled_response_is_not_published(of: Account) -> None:
    assert reason_of(of) is Reason.FRESH


def test_an_external_token_without_an_age_is_replaced_by_no_journaled_response() -> None:
    of = external(issued_at=None, expires_at=NOW + 11 * HOUR)
    journal = TokenVersion.parse(ANOTHER, now=NOW)
    assert reason_of(replace(of, journal=journal)) is Reason.FRESH


def test_the_same_access_token_of_other_credentials_is_published() -> None:
    of = account(issued(2 * MINUTE, credentials="other"), journal=LATER)
    assert reason_of(of) is Reason.UNPUBLISHED_RESPONSE


def test_what_was_answered_is_held_by_nothing() -> None:
    tags = failed(HOUR, failures=9, failure_class=FailureClass.ACTION_REQUIRED)
    of = account(issued(3 * MINUTE), previous=issued(4 * MINUTE), journal=ANOTHER, tags=tags)
    assert decide(of, now=NOW, refresh_before=BEFORE).due


# Holds.


@pytest.mark.parametrize(
    ("of", "asked", "reason"),
    [
        pytest.param(account(OLD, tags=failed(SECOND)), {}, Reason.BACKING_OFF,
                     id="until the second"),
        pytest.param(account(OLD, tags=failed(NO_TIME)), {}, Reason.NEARING_EXPIRY,
                     id="not any longer"),
        pytest.param(account(OLD, tags=failed(7 * HOUR)), {}, Reason.BACKING_OFF,
                     id="as long as any wait can be"),
        pytest.param(account(OLD, tags=failed(7 * HOUR + SECOND)), {}, Reason.NEARING_EXPIRY,
                     id="no longer: that was edited"),
        pytest.param(account(issued(HOUR), tags=failed(11 * HOUR) | grant(MINUTE)), {},
                     Reason.BACKING_OFF, id="as long as a token lives whose refresh token is held"),
        pytest.param(account(OLD, tags=failed(HOUR)), {"force": True}, Reason.NEARING_EXPIRY,
                     id="not where a person insists"),
        pytest.param(account(OLD, tags={FAILURE_TAG: "edited"}), {}, Reason.NEARING_EXPIRY,
                     id="not by a tag that somebody edited"),
        pytest.param(account(OLD, tags=failed(HOUR, credentials="other")), {},
                     Reason.NEARING_EXPIRY, id="not where credentials were put"),
    ],
)  # fmt: skip
def test_a_failure_holds_until_its_next_attempt(
    of: Account, asked: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(of, **asked) is reason


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        pytest.param(None, Reason.CREDENTIALS_CHANGED, id="where none were put before"),
        pytest.param(NO_TIME, Reason.BACKING_OFF, id="not at once a second time"),
        pytest.param(SLACK + SECOND - 15 * MINUTE, Reason.BACKING_OFF, id="not within 15 minutes"),
        pytest.param(SLACK - 15 * MINUTE, Reason.CREDENTIALS_CHANGED, id="again after 15 minutes"),
        pytest.param(MINUTE, Reason.CREDENTIALS_CHANGED, id="whatever time somebody edited in"),
    ],
)
def test_credentials_that_are_put_bring_one_attempt_forward(
    forward: timedelta | None, reason: Reason
) -> None:
    before: dict[str, Any] = {"credentials": "refused"}
    tags = failed(HOUR, **before) | refused(1, forward=forward, **before)
    of = account(issued(HOUR, credentials="other"), tags=tags)
    assert reason_of(of) is reason
    assert reason_of(of, force=True) is Reason.CREDENTIALS_CHANGED


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (LeaseEnd.UNANSWERED, Reason.REJECTED),
        (LeaseEnd.SPENT, Reason.REJECTED),
        (LeaseEnd.REFUSED, Reason.BACKING_OFF),
    ],
)
def test_a_rejection_overrides_what_holds_for_the_published_tokens_sake(
    end: LeaseEnd, reason: Reason
) -> None:
    tags = failed(10 * HOUR) | {LEASE_TAG: f"{LEASE}/{end}"}
    current = issued(HOUR)
    assert reason_of(account(current, lease=LEASE, tags=tags), rejected_version=current) is reason
    assert reason_of(account(current, lease=LEASE, tags=tags)) is Reason.BACKING_OFF


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        pytest.param(failed(-SECOND), Reason.RETRY, id="so that it does not outlive its cause"),
        pytest.param(failed(SECOND), Reason.BACKING_OFF, id="not before its time"),
        pytest.param(failed(-SECOND, failures=0), Reason.FRESH, id="not where it is none"),
        pytest.param(failed(-SECOND, credentials="other"), Reason.FRESH,
                     id="not where it was of other credentials"),
    ],
)  # fmt: skip
def test_what_has_failed_is_tried_again_though_its_token_is_fresh(
    tags: dict[str, str], reason: Reason
) -> None:
    assert reason_of(account(issued(HOUR), tags=tags)) is reason


UNCHANGED: Final = failed(20 * MINUTE, failures=0)


@pytest.mark.parametrize(
    ("of", "asked", "reason"),
    [
        pytest.param(account(OLD, tags=UNCHANGED), {}, Reason.UNCHANGED, id="on the schedule"),
        pytest.param(account(OLD, tags=UNCHANGED), {"force": True}, Reason.UNCHANGED,
                     id="by force"),
        pytest.param(account(OLD, tags=UNCHANGED), {"rejected_version": OLD},
                     Reason.NEARING_EXPIRY, id="not where a consumer saw it refused"),
        pytest.param(account(OLD, tags=failed(NO_TIME, failures=0)), {},
                     Reason.NEARING_EXPIRY, id="not once the time has come"),
        pytest.param(account(OLD, tags=failed(HOUR, failures=0, credentials="other")), {},
                     Reason.NEARING_EXPIRY, id="not for other credentials"),
        pytest.param(account(issued(11 * HOUR), journal=ANOTHER, tags=UNCHANGED), {},
                     Reason.UNPUBLISHED_RESPONSE, id="not what was answered already"),
        pytest.param(account("external", tags=UNCHANGED), {},
                     Reason.EXPIRY_UNKNOWN, id="not an external version"),
        pytest.param(account(OLD, tags=failed(8 * HOUR, failures=0)), {},
                     Reason.NEARING_EXPIRY, id="not as long as an edited tag says"),
    ],
)  # fmt: skip
def test_an_unchanged_token_is_not_asked_for_before_its_time(
    of: Account, asked: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(of, **asked) is reason


RECENT: Final = issued(20 * MINUTE - SLACK - SECOND)


@pytest.mark.parametrize(
    ("of", "is_limited"),
    [
        pytest.param(account(LATER, previous=RECENT), True, id="a third within twenty minutes"),
        pytest.param(account(LATER, previous=issued(20 * MINUTE - SLACK)), False,
                     id="twenty minutes, less the slack of a tick"),
        pytest.param(account(LATER, previous=issued(40 * MINUTE - SLACK - SECOND), lease=LEASE),
                     True, id="with refresh tokens forty"),
        pytest.param(account(LATER, previous=issued(40 * MINUTE - SLACK), lease=LEASE), False,
                     id="with refresh tokens no more than forty"),
        pytest.param(account(LATER), False, id="a second version"),
        pytest.param(account(A_PERSONS_ID, previous=RECENT), False, id="an external version"),
        pytest.param(account(LATER, previous=A_PERSONS_ID), False,
                     id="a version that replaced an external one"),
        pytest.param(account(issued(MINUTE, **OTHERS), previous=issued(2 * MINUTE, **OTHERS)),
                     False, id="credentials that were put"),
        pytest.param(account(issued(MINUTE, **OTHERS), previous=RECENT), True,
                     id="credentials that were put a second time"),
    ],
)  # fmt: skip
def test_a_third_version_is_rate_limited(of: Account, *, is_limited: bool) -> None:
    reason = reason_of(of, force=True)
    assert (reason is Reason.RATE_LIMITED) is is_limited


def test_an_external_version_that_comes_again_too_soon_is_held_until_what_is_recorded() -> None:
    """But not the token of credentials that were put since."""
    previous, now = issued(MINUTE), {"issued_at": NOW, "now": NOW}
    record = replaced_record(account(A_PERSONS_ID, previous=previous), **now)
    assert record is not None
    tags = {FAILURE_TAG: record.to_tag()}
    again = account(A_PERSONS_ID, previous=previous, tags=tags)

    assert reason_of(again) is Reason.RATE_LIMITED
    assert next_attempt(again, Reason.RATE_LIMITED) == NOW + 20 * MINUTE - SLACK
    put = account(A_PERSONS_ID, previous=previous, tags=tags, credentials="other")
    assert reason_of(put) is Reason.EXPIRY_UNKNOWN


def test_the_next_attempt_is_told_where_an_account_is_held_back() -> None:
    held = account(issued(MINUTE), previous=issued(20 * MINUTE))
    backing_off = account(OLD, tags=failed(MINUTE))
    put = account(tags=failed(HOUR, **OTHERS) | refused(1, forward=-5 * MINUTE, **OTHERS))

    assert next_attempt(held, Reason.RATE_LIMITED) == NOW
    assert next_attempt(backing_off, Reason.BACKING_OFF) == NOW + MINUTE
    assert next_attempt(put, Reason.BACKING_OFF) == NOW + 10 * MINUTE - SLACK
    assert next_attempt(account(tags=failed(HOUR, **OTHERS)), Reason.BACKING_OFF) is None
    assert next_attempt(held, Reason.FRESH) is None


@pytest.mark.parametrize(
    ("journal", "most"),
    [
        pytest.param({}, 72, id="one version for each refresh"),
        pytest.param({"TOKENRESPONSE": issued(24 * HOUR)}, 36, id="a lease and a journal besides"),
    ],
)
def test_a_day_has_no_more_versions_than_are_sustained_however_hard_it_is_forced(
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
    # Two, one after the other, in each interval.
    assert published == 2 * most


# What holds for all.


@given(issued_at=st.none() | TIMES_OF_ANYBODY, expires_at=st.none() | TIMES_OF_ANYBODY)
def test_no_times_of_anybodys_break_a_decision(
    issued_at: datetime | None, expires_at: datetime | None
) -> None:
    of = external(issued_at=issued_at, expires_at=expires_at)
    times = {Reason.EXPIRY_UNKNOWN, Reason.EXPIRED, Reason.NEARING_EXPIRY, Reason.FRESH}
    assert reason_of(of) in times


seconds = st.integers(min_value=1, max_value=30 * 86400).map(lambda count: timedelta(seconds=count))


@given(life=seconds, before=seconds, at=st.floats(min_value=0, max_value=0.499))
def test_no_token_is_due_before_half_its_life(
    life: timedelta, before: timedelta, at: float
) -> None:
    of = account(issued(NO_TIME, life=life))
    assert decide(of, now=NOW + life * at, refresh_before=before).reason is Reason.FRESH


@given(life=seconds, before=seconds, at=seconds, later=seconds)
def test_what_is_due_stays_due(
    life: timedelta, before: timedelta, at: timedelta, later: timedelta
) -> None:
    of = account(issued(NO_TIME, life=life))
    if decide(of, now=NOW + at, refresh_before=before).due:
        assert decide(of, now=NOW + at + later, refresh_before=before).due
