"""Times and durations, as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from token_refresher_cli.durations import say_duration, say_when

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(days=2, hours=3, minutes=59), "2 d 3 h"),
        (timedelta(hours=12), "12 h"),
        (timedelta(hours=10, minutes=25, seconds=59), "10 h 25 min"),
        (timedelta(minutes=5, seconds=59), "5 min"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(0), "0 s"),
        (timedelta(seconds=-1), "0 s"),
    ],
)
def test_a_duration_is_never_said_to_be_longer_than_it_is(duration: timedelta, said: str) -> None:
    assert say_duration(duration) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (NOW, "now"),
        (NOW + timedelta(minutes=14, seconds=30), "in 14 min"),
        (NOW - timedelta(hours=3), "3 h ago"),
    ],
)
def test_a_time_is_said_as_seen_from_now(at: datetime, said: str) -> None:
    assert say_when(at, now=NOW) == said
