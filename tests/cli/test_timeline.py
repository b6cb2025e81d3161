"""The tokens of an account in order: how each follows the one before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from token_refresher.model import TokenVersion
from token_refresher_cli.timeline import LIVING, NOW, History, ListedVersion, draw, history_of

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG_AGO = MIDNIGHT - timedelta(days=30)


def version(
    hour: float, *, life: float = 12, credentials: str = "0123456789ab", stage: str = ""
) -> ListedVersion:
    issued_at = MIDNIGHT + hour * HOUR
    token = TokenVersion(issued_at, issued_at + life * HOUR, credentials, "abcdefabcdef")
    return ListedVersion(str(token), (stage,) if stage else (), issued_at)


def told(*versions: ListedVersion, at: float) -> History:
    return history_of(versions, now=MIDNIGHT + at * HOUR, since=LONG_AGO)


def test_two_tokens_that_lived_at_once_overlap() -> None:
    history = told(version(10.5, stage="AWSCURRENT"), version(0, stage="AWSPREVIOUS"), at=11)
    assert [(life.stage, life.after) for life in history.lives] == [
        ("AWSPREVIOUS", None),
        ("AWSCURRENT", 1.5 * HOUR),
    ]
    assert history.gap == timedelta(0)


def test_a_token_that_came_late_leaves_a_gap() -> None:
    history = told(version(0), version(13), at=14)
    assert history.lives[1].after == -HOUR
    assert history.gap == HOUR


def test_a_token_that_has_expired_without_a_follower_leaves_a_gap_until_now() -> None:
    assert told(version(0), at=15).gap == 3 * HOUR


def test_a_short_lived_token_between_two_long_ones_makes_no_gap() -> None:
    history = told(version(0, life=12), version(1, life=0.5), version(11), at=12)
    assert [life.after for life in history.lives] == [None, 11 * HOUR, HOUR]


def test_tokens_of_other_credentials_are_marked() -> None:
    history = told(version(0), version(1, credentials="ba9876543210"), at=2)
    assert [life.is_with_other_credentials for life in history.lives] == [False, True]


def test_an_external_version_is_counted_and_no_more() -> None:
    theirs = ListedVersion("terraform-20250627043834191900000095", (), MIDNIGHT)
    history = told(version(0), theirs, at=1)
    assert (len(history.lives), history.external) == (1, 1)


def test_tokens_that_had_expired_before_are_left_out_but_still_counted_on() -> None:
    history = history_of(
        [version(0), version(13)], now=MIDNIGHT + 14 * HOUR, since=MIDNIGHT + 12.5 * HOUR
    )
    assert [life.after for life in history.lives] == [-HOUR]


def test_a_gap_counts_from_where_the_history_begins() -> None:
    history = history_of(
        [version(0, life=1), version(120)],
        now=MIDNIGHT + 121 * HOUR,
        since=MIDNIGHT + 97 * HOUR,
    )
    assert [life.after for life in history.lives] == [-119 * HOUR]
    assert history.gap == 23 * HOUR


def test_a_gap_that_was_over_when_the_history_begins_does_not_count() -> None:
    history = history_of(
        [version(0, life=1), version(90)],
        now=MIDNIGHT + 100 * HOUR,
        since=MIDNIGHT + 97 * HOUR,
    )
    assert (len(history.lives), history.gap) == (1, timedelta(0))


def test_a_token_that_has_been_dead_for_longer_leaves_a_gap_as_long_as_the_history() -> None:
    history = history_of([version(0)], now=MIDNIGHT + 100 * HOUR, since=MIDNIGHT + 97 * HOUR)
    assert (history.lives, history.gap) == ((), 3 * HOUR)


def test_no_version_at_all_is_an_empty_history() -> None:
    history = told(at=1)
    assert (history.lives, history.gap) == ((), timedelta(0))


def test_a_bar_is_drawn_from_the_issue_to_the_expiry_with_a_mark_at_now() -> None:
    history = told(version(0), version(6), at=9)
    first, second = (
        draw(life, history, now=MIDNIGHT + 9 * HOUR, width=18) for life in history.lives
    )
    assert first == LIVING * 9 + NOW + LIVING * 3 + " " * 5
    assert second == " " * 6 + LIVING * 3 + NOW + LIVING * 8


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=1, max_size=12),
    st.integers(1, 80),
)
def test_a_bar_fits_its_width_and_the_gaps_are_the_time_nothing_lived(
    spans: list[tuple[float, float]], width: int
) -> None:
    now = MIDNIGHT + 100 * HOUR
    history = history_of(
        [version(hour, life=life) for hour, life in spans], now=now, since=LONG_AGO
    )
    assert {len(draw(life, history, now=now, width=width)) for life in history.lives} == {width}
    # Counted second by second, as the ids tell them.
    lives = [(life.issued_at, life.expires_at) for life in history.lives]
    edges = sorted({edge for life in lives for edge in life} | {now})
    dead = sum(
        (
            after - before
            for before, after in pairwise(edges)
            if after <= now and not any(begin <= before < end for begin, end in lives)
        ),
        timedelta(0),
    )
    assert history.gap == dead
