"""What action an account requires, whether it is retrying, and what its token has left."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.listed import (
    A_PERSONS_ID,
    BEFORE,
    DAY,
    EXPIRED,
    HOUR,
    LATER,
    LEASE,
    MINUTE,
    NOW,
    OLD,
    SCHEDULE,
    SECOND,
    TIMES_OF_ANYBODY,
    account,
    certificate,
    external,
    failed,
    grant,
    issued,
)
from token_refresher.errors import FailureClass
from token_refresher.failures import unchanged_record
from token_refresher.health import (
    action_required,
    is_retrying,
    lives_too_short,
    margin_used,
    needs_action,
    seconds_until_expiry,
)
from token_refresher.model import Account, account_from_metadata
from token_refresher.ports import SecretMetadata
from token_refresher.records import FAILURE_TAG, GRANT_EXPIRES_AT_TAG

NEEDS_ACTION: Final = failed(HOUR, failure_class=FailureClass.ACTION_REQUIRED)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(tags=NEEDS_ACTION), "timeout", id="a failure says so"),
        pytest.param(account(issued(HOUR), tags=NEEDS_ACTION), "timeout",
                     id="however fresh its token"),
        pytest.param(account(tags=NEEDS_ACTION, credentials=None), None, id="not managed"),
        pytest.param(account(tags=failed(HOUR)), None, id="what passes"),
        pytest.param(account(A_PERSONS_ID), None, id="an external version"),
        pytest.param(account(LATER, tags={GRANT_EXPIRES_AT_TAG: "edited"}), None,
                     id="an edited expiry"),
        pytest.param(account(LATER, tags=grant(7 * DAY)), None, id="a week of consent is left"),
        pytest.param(account(LATER, tags=grant(7 * DAY - SECOND)), "refresh_token_ending",
                     id="less than a week"),
        pytest.param(account(LATER, tags=grant(15 * MINUTE, 30 * MINUTE)), None,
                     id="half of a short consent is left"),
        pytest.param(account(LATER, tags=grant(15 * MINUTE - SECOND, 30 * MINUTE)),
                     "refresh_token_ending", id="less than half of it"),
        pytest.param(account(LATER, tags=certificate(14 * DAY)), None,
                     id="two weeks of a client certificate are left"),
        pytest.param(account(LATER, tags=certificate(14 * DAY - SECOND)), "certificate_ending",
                     id="less than two weeks"),
        pytest.param(account(LATER, tags=certificate(-DAY)), "certificate_ending",
                     id="it has expired, and the server does not mind"),
        pytest.param(account(LATER, tags=certificate(12 * HOUR, DAY)), None,
                     id="half of a short one is left"),
        pytest.param(account(LATER, tags=grant(DAY) | certificate(DAY)), "refresh_token_ending",
                     id="the refresh token first"),
        pytest.param(account(tags=NEEDS_ACTION | certificate(DAY)), "timeout",
                     id="a failure before it"),
    ],
)  # fmt: skip
def test_what_action_is_required_is_told_by_metadata(of: Account, expected: str | None) -> None:
    assert action_required(of, now=NOW, schedule=SCHEDULE) == expected
    assert needs_action(of, now=NOW, schedule=SCHEDULE) is (expected is not None)


def test_a_token_secret_scheduled_for_deletion_requires_action() -> None:
    of = account_from_metadata(
        "a",
        credentials=SecretMetadata({"AWSCURRENT": "v"}),
        token=SecretMetadata(is_deleted=True),
        now=NOW,
    )
    assert action_required(of, now=NOW, schedule=SCHEDULE) == "scheduled_for_deletion"


@pytest.mark.parametrize(
    ("of", "schedule", "is_too_short"),
    [
        pytest.param(account(issued(MINUTE, life=15 * MINUTE)), 5, False, id="just long enough"),
        pytest.param(account(issued(MINUTE, life=15 * MINUTE - SECOND)), 5, True, id="less"),
        pytest.param(account(issued(MINUTE, life=15 * MINUTE)), 6, True, id="a slower schedule"),
        pytest.param(account(issued(MINUTE, life=25 * MINUTE), lease=LEASE), 5, False,
                     id="two versions and a tick"),
        pytest.param(account(issued(MINUTE, life=25 * MINUTE - SECOND), lease=LEASE), 5, True,
                     id="less than two versions and a tick"),
        pytest.param(account(issued(MINUTE, life=timedelta(seconds=3599)), lease=LEASE), 15, False,
                     id="an hour less a second, on the slowest schedule"),
        pytest.param(account(LATER, lease=LEASE, tags=grant(DAY, 25 * MINUTE)), 5, False,
                     id="a refresh token that lives long enough"),
        pytest.param(account(LATER, lease=LEASE, tags=grant(DAY, 25 * MINUTE - SECOND)), 5, True,
                     id="a refresh token under 25 minutes"),
        pytest.param(account(), 5, False, id="no token"),
        pytest.param(account(A_PERSONS_ID), 5, False, id="an external version of unknown age"),
        pytest.param(external(issued_at=NOW, expires_at=NOW + MINUTE), 5, False,
                     id="an external version of known age"),
    ],
)  # fmt: skip
def test_a_token_lives_too_short_by_interval_and_schedule(
    of: Account, schedule: int, *, is_too_short: bool
) -> None:
    assert lives_too_short(of, schedule=schedule * MINUTE) is is_too_short
    required = action_required(of, now=NOW, schedule=schedule * MINUTE)
    assert required == ("token_lives_too_short" if is_too_short else None)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(account(LATER), False, id="one that did not fail"),
        pytest.param(account(tags=failed(HOUR)), True, id="one that is tried again"),
        pytest.param(account(tags=failed(-HOUR)), True, id="one that is about to be"),
        pytest.param(account(tags=NEEDS_ACTION), False, id="one that requires action"),
    ],
)
def test_who_is_tried_again_is_told_by_metadata(*, of: Account, expected: bool) -> None:
    assert is_retrying(of) is expected


@pytest.mark.parametrize(
    ("current", "used", "seconds"),
    [
        pytest.param(None, 100, 0, id="absent"),
        pytest.param(EXPIRED, 100, 0, id="expired"),
        pytest.param(LATER, 0, 43140, id="fresh"),
        pytest.param(issued(11 * HOUR + 15 * MINUTE), 50, 2700, id="half way"),
    ],
)
def test_the_margin_is_told_in_percent(current: str | None, used: float, seconds: float) -> None:
    of = account(current)
    assert margin_used(of, now=NOW, refresh_before=BEFORE) == used
    assert seconds_until_expiry(of, now=NOW) == seconds


@pytest.mark.parametrize(
    "times",
    [
        pytest.param((NOW + HOUR, NOW + HOUR), id="a life of nothing"),
        pytest.param((NOW + 3 * HOUR, NOW + HOUR), id="an expiry before the issue"),
    ],
)
def test_the_margin_is_a_percentage_whatever_a_person_wrote(
    times: tuple[datetime, datetime],
) -> None:
    of = external(issued_at=times[0], expires_at=times[1])
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100


def test_an_unchanged_token_is_no_failure() -> None:
    of = account(OLD)
    tags = {FAILURE_TAG: unchanged_record(of, now=NOW).to_tag()}
    of = account(OLD, tags=tags)
    assert not needs_action(of, now=NOW, schedule=SCHEDULE)
    assert not is_retrying(of)


@given(issued_at=st.none() | TIMES_OF_ANYBODY, expires_at=st.none() | TIMES_OF_ANYBODY)
def test_no_times_of_anybodys_break_a_gauge(
    issued_at: datetime | None, expires_at: datetime | None
) -> None:
    of = external(issued_at=issued_at, expires_at=expires_at)
    assert not needs_action(of, now=NOW, schedule=SCHEDULE)
    assert 0 <= margin_used(of, now=NOW, refresh_before=BEFORE) <= 100
    assert seconds_until_expiry(of, now=NOW) >= 0
