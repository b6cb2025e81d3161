"""What is remembered in tags: read as it was written, and nothing where somebody edited it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher import records
from token_refresher.errors import FailureClass
from token_refresher.ports import SecretMetadata
from token_refresher.records import (
    CERTIFICATE_EXPIRES_AT_TAG,
    CLEARED_BY_SUCCESS,
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    FailureRecord,
    GrantLifetime,
    LeaseEnd,
    Refusals,
    ended_lease,
    format_timestamp,
    lease_end,
    our_tags,
    parse_timestamp,
)

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
# Characters that Secrets Manager takes in a tag's value, in 256 of them.
TAG_VALUE: Final = re.compile(r"[A-Za-z0-9 +\-=._:/@]{0,256}")
LEASE: Final = f"request-{'0' * 40}-999999999"
RECORD: Final = FailureRecord(
    FailureClass.ACTION_REQUIRED, "invalid_grant", 3, NOW, NOW + timedelta(hours=1), "a" * 12
)
TAG: Final = "action required: invalid_grant/3/20261124T010000Z/20261124T020000Z/aaaaaaaaaaaa"


# From the year 2001 until the last second of the year 2999.
aware = st.integers(978_307_200, 32_503_679_999).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


@given(time=aware)
def test_a_timestamp_is_read_as_it_was_written(time: datetime) -> None:
    assert parse_timestamp(format_timestamp(time)) == time


def test_a_timestamp_is_written_in_utc() -> None:
    warsaw = NOW.astimezone(timezone(timedelta(hours=1)))
    assert format_timestamp(warsaw) == "20261124T010000Z"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("yesterday", id="a word"),
        pytest.param("", id="nothing"),
        pytest.param("2026111T010000Z", id="a day of one digit"),
        pytest.param("20261124T10000Z", id="an hour of one digit"),
        pytest.param("\u0662\u0660\u0662\u06661124T010000Z", id="other digits"),
        pytest.param("20261124T010060Z", id="a leap second"),
        pytest.param("20261124T240000Z", id="24 o'clock"),
        pytest.param("20261131T010000Z", id="a day that its month has not"),
        pytest.param(" 20261124T010000Z", id="a blank before it"),
        pytest.param("20261124T010000Z\n", id="a newline after it"),
    ],
)
def test_a_timestamp_that_was_not_written_here_is_none(text: str) -> None:
    assert parse_timestamp(text) is None


@pytest.mark.parametrize("failure_class", list(FailureClass))
@pytest.mark.parametrize("failures", [0, 1, 999_999])
def test_a_failure_is_read_as_it_was_written(failure_class: FailureClass, failures: int) -> None:
    record = FailureRecord(failure_class, "timeout", failures, NOW, NOW, "a" * 12)
    assert FailureRecord.from_tag(record.to_tag()) == record


def test_a_failure_can_be_read_in_the_console() -> None:
    assert RECORD.to_tag() == TAG


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="an empty one"),
        pytest.param(TAG.replace("action required", "somebody"), id="another class"),
        pytest.param(TAG.replace(": ", ""), id="no class"),
        pytest.param(TAG.replace("/3/", "/many/"), id="a word for a number"),
        pytest.param(TAG.replace("/3/", f"/{'9' * 5000}/"), id="a number without end"),
        pytest.param(TAG.replace("/3/", "/-1/"), id="a negative number"),
        pytest.param(TAG.replace("20261124T01", "yesterday"), id="a word for the first time"),
        pytest.param(TAG.replace("20261124T02", "tomorrow"), id="a word for the other time"),
        pytest.param(TAG.rpartition("/")[0], id="without credentials"),
        pytest.param(TAG + "/", id="with more than is written"),
    ],
)
def test_a_failure_that_somebody_edited_is_none(tag: str | None) -> None:
    assert FailureRecord.from_tag(tag) is None


@pytest.mark.parametrize(
    ("refusals", "tag"),
    [
        (Refusals(1, None, "a" * 12), "1/-/aaaaaaaaaaaa"),
        (Refusals(33, NOW, "b" * 12), "33/20261124T010000Z/bbbbbbbbbbbb"),
    ],
)
def test_refusals_are_read_as_they_were_written(refusals: Refusals, tag: str) -> None:
    assert refusals.to_tag() == tag
    assert Refusals.from_tag(tag) == refusals


@pytest.mark.parametrize("tag", [None, "", "1/-", "1/-/a/b", "many/-/a", "-1/-/a", "9999999/-/a"])
def test_refusals_that_somebody_edited_are_none(tag: str | None) -> None:
    assert Refusals.from_tag(tag) is None


@pytest.mark.parametrize("end", list(LeaseEnd))
def test_a_leases_end_is_read_as_it_was_written(end: LeaseEnd) -> None:
    assert lease_end(ended_lease(LEASE, end), LEASE) is end


@pytest.mark.parametrize(
    ("tag", "lease"),
    [
        pytest.param(None, LEASE, id="no tag"),
        pytest.param(f"{LEASE}/spent", None, id="no lease"),
        pytest.param("/spent", "", id="neither"),
        pytest.param(f"{LEASE}/spent", LEASE[:-1], id="another lease"),
        pytest.param(f"{LEASE}/released", LEASE, id="another word"),
        pytest.param(LEASE, LEASE, id="no word"),
    ],
)
def test_a_leases_end_that_is_not_its_own_is_none(tag: str | None, lease: str | None) -> None:
    assert lease_end(tag, lease) is None


def test_a_grants_expiry_is_read_as_it_was_written() -> None:
    grant = GrantLifetime(NOW, timedelta(days=30))
    assert grant.to_tag() == "20261124T010000Z/2592000"
    assert GrantLifetime.from_tag(grant.to_tag()) == grant


@pytest.mark.parametrize("tag", ["", "20261124T010000Z", "x/5", "20261124T010000Z/-5"])
def test_an_edited_expiry_of_a_grant_is_none(tag: str) -> None:
    assert GrantLifetime.from_tag(tag) is None


@pytest.mark.parametrize(
    "tag",
    [
        TAG,
        Refusals(999_999, NOW, "a" * 12).to_tag(),
        ended_lease(LEASE, LeaseEnd.UNANSWERED),
        GrantLifetime(NOW, timedelta(days=30)).to_tag(),
    ],
)
def test_a_record_holds_only_what_a_tag_may_hold(tag: str) -> None:
    assert TAG_VALUE.fullmatch(tag)


def test_there_are_six_tags_and_a_success_clears_all_but_what_expires() -> None:
    tags = {value for name, value in vars(records).items() if name.endswith("_TAG") and value[:-1]}
    tags = {each for each in tags if each != "token-refresher:"}
    assert len(tags) == 6
    assert tags - set(CLEARED_BY_SUCCESS) == {GRANT_EXPIRES_AT_TAG, CERTIFICATE_EXPIRES_AT_TAG}


def test_other_peoples_tags_are_no_records() -> None:
    token = SecretMetadata({}, {FAILURE_TAG: TAG, "team": "sales"})
    assert our_tags(token) == {FAILURE_TAG: TAG}
    assert our_tags(None) == {}
