"""A number, a lifetime or a time is read as servers write it, and nothing breaks the reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher.oauth.times import parse_expires_in, parse_retry_after, parse_time

NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
TWO: Final = NOW + HOUR


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(43200, 43200, id="an integer"),
        pytest.param("86400", 86400, id="a string"),
        pytest.param(3599.7, 3599, id="a float, rounded to the safe side"),
        pytest.param("3600.0", 3600, id="a float as a string"),
        pytest.param(0, 0, id="zero has expired"),
        pytest.param(-5, 0, id="so has a negative number"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param("NaN", None, id="not a number, as a string"),
        pytest.param(float("inf"), None, id="infinite"),
        pytest.param(365 * 86400 + 1, None, id="more than a year is not believed"),
        pytest.param(10**400, None, id="absurdly large"),
        pytest.param([3600], None, id="a list"),
    ],
)
def test_expires_in_is_read_as_servers_write_it(value: object, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert parse_expires_in(value) == expected


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [
        pytest.param(1_800_000, "milliseconds", 1800, id="an integer"),
        pytest.param("1800999", "milliseconds", 1800, id="a text, rounded to the safe side"),
        pytest.param(999, "milliseconds", 0, id="less than a second"),
        pytest.param(365 * 86_400_000, "milliseconds", 365 * 86400, id="a year"),
        pytest.param(365 * 86_400_000 + 1, "milliseconds", None, id="more than a year"),
        pytest.param(True, "seconds", None, id="true"),
        pytest.param(False, "seconds", None, id="false"),
        pytest.param("3600s", "seconds", None, id="a unit"),
        pytest.param(" 3600 ", "seconds", 3600, id="blanks around it"),
        pytest.param("-1", "seconds", 0, id="a negative text"),
        pytest.param("1e3", "seconds", 1000, id="a power"),
        pytest.param(None, "seconds", None, id="null"),
    ],
)
def test_a_lifetime_is_read_in_its_unit(value: object, unit: str, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert parse_expires_in(value, unit=unit) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(TWO.timestamp(), TWO, id="epoch seconds"),
        pytest.param(str(int(TWO.timestamp())), TWO, id="epoch seconds as a text"),
        pytest.param(int(TWO.timestamp() * 1000), TWO, id="epoch milliseconds"),
        pytest.param(str(int(TWO.timestamp() * 1000)), TWO, id="epoch milliseconds as a text"),
        pytest.param("2026-11-24T02:00:00Z", TWO, id="RFC 3339"),
        pytest.param("2026-11-24t02:00:00z", TWO, id="in lower case"),
        pytest.param("2026-11-24 02:00:00Z", TWO, id="with a blank"),
        pytest.param(" 2026-11-24T02:00:00Z\n", TWO, id="with blanks around it"),
        pytest.param("2026-11-24T03:30:00+01:30", TWO, id="of another zone"),
        pytest.param("2026-11-23T21:00:00-05:00", TWO, id="of another day"),
        pytest.param("2026-11-24T02:00:00-00:00", TWO, id="of an unknown zone"),
        pytest.param("2026-11-24T02:00:00.5Z", TWO + HOUR / 7200, id="with a fraction"),
        pytest.param("2026-11-24T02:00:00.000000001Z", TWO, id="in nanoseconds"),
        pytest.param("2026-11-24T02:59:60Z", TWO + HOUR - timedelta(seconds=1), id="leap second"),
        pytest.param("2026-11-24T02:59:60.9+00:00", TWO + HOUR - timedelta(seconds=0.1),
                     id="within a leap second"),
        pytest.param(0, datetime(1970, 1, 1, tzinfo=UTC), id="the beginning of the epoch"),
        pytest.param("2026-11-24T02:00:00", None, id="nobody's local time"),
        pytest.param("2026-11-24", None, id="a day"),
        pytest.param("2026-02-30T02:00:00Z", None, id="a day that is none"),
        pytest.param("tomorrow", None, id="a word"),
        pytest.param("", None, id="an empty text"),
        pytest.param("9" * 400, None, id="digits without end"),
        pytest.param(1e300, None, id="after all time"),
        pytest.param(-1e300, None, id="before all time"),
        pytest.param("0001-01-01T00:00:00+23:59", None, id="a zone before all time"),
        pytest.param(True, None, id="true"),
        pytest.param(None, None, id="null"),
        pytest.param(["2026-11-24T02:00:00Z"], None, id="a list"),
    ],
)  # fmt: skip
def test_an_expiry_is_read_however_it_is_written(value: object, expected: datetime | None) -> None:
    assert parse_time(value) == expected


@given(st.text(max_size=40) | st.text("0123456789-:.TtZz+ W", max_size=30) | st.floats())
def test_no_expiry_breaks_the_reading(value: object) -> None:
    time = parse_time(value)
    assert time is None or time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("soon", None, id="a word"),
        pytest.param("Tue, 24 Nov 2026 00:30:00 GMT", timedelta(0), id="a date that has passed"),
        pytest.param("Tue, 24 Nov 2026 01:30:00 -0000", timedelta(minutes=30), id="no zone"),
        pytest.param(" 120 ", timedelta(minutes=2), id="blanks around it"),
        pytest.param("-120", None, id="a negative number"),
        pytest.param("1.5", None, id="a fraction"),
        pytest.param("", None, id="nothing"),
        pytest.param("\u0661\u0662", None, id="other digits"),
        pytest.param("Tue, 24 Nov 2026 02:30:00 +0100", timedelta(minutes=30), id="another zone"),
        pytest.param("Tue Nov 24 01:30:00 2026", timedelta(minutes=30), id="asctime's form"),
        pytest.param("Mon, 1 Jan 99999999999999999999 00:00:00 GMT", None, id="a year without end"),
        pytest.param("Mon, 1 Jan 2027 00:00:00 +99999999999999999999", None, id="such a zone"),
    ],
)
def test_retry_after_is_read_in_any_form_or_not_at_all(
    header: str | None, wait: timedelta | None
) -> None:
    assert parse_retry_after(header, now=NOW) == wait


@given(st.text() | st.text("0123456789 ,:+-.JanFebMonGMTZ()", max_size=30))
def test_no_retry_after_breaks_the_reading(header: str) -> None:
    wait = parse_retry_after(header, now=NOW)
    assert wait is None or wait >= timedelta(0)
