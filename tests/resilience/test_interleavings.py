"""The protocol of refresh tokens where many runs overlap; `interleavings` says how it is played."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from tests.resilience.interleavings.judgement import Broken
from tests.resilience.interleavings.plays import TOKEN, Environment, Play
from tests.resilience.interleavings.schedule import Schedule
from tests.resilience.interleavings.secrets_manager import Region
from tests.resilience.interleavings.settings import HOUR, MINUTE, Setting, drawn

if TYPE_CHECKING:
    from tests.resilience.interleavings.judgement import Judgement

PLAYS: Final = int(os.environ.get("INTERLEAVINGS", "150"))  # noqa: TID251 - the caller's patience
HEX: Final = re.compile(r"[0-9a-f]{12,}")
QUIET: Final = Setting(seed=1, ends=6 * HOUR)


def play(setting: Setting) -> Judgement:
    return Play(setting, logs=True).play()


@pytest.mark.timeout(1800)  # the mutants ask for thousands of plays
def test_no_interleaving_breaks_a_promise() -> None:
    for seed in range(PLAYS):
        judgement = Play(drawn(seed)).play()
        assert judgement.broken == [], f"--seed {seed} shows the sequence"


# That the plays are what they seem.


@pytest.mark.parametrize("seed", range(6))
def test_a_play_is_the_same_each_time(seed: int) -> None:
    once, again = (play(drawn(seed)).log or [] for _ in range(2))
    assert [HEX.sub("…", line) for line in once] == [HEX.sub("…", line) for line in again]
    assert len(once) > 1


def test_an_undisturbed_account_lives_and_breaks_nothing() -> None:
    judgement = play(replace(QUIET, duplicates=1, reopened=0.5, skew=100))
    assert (judgement.broken, judgement.apart, judgement.is_alive) == ([], {}, True)


def test_threads_go_on_in_the_order_of_time_and_none_outlives_its_play() -> None:
    schedule, passed = Schedule(), []

    def body(name: str, *waits: float) -> None:
        for seconds in waits:
            schedule.wait(seconds)
            passed.append((name, schedule.now))

    schedule.start(lambda: body("first", 3, 3, 90), at=0)
    schedule.start(lambda: body("second", 1, 4), at=1)
    schedule.at(4, lambda: passed.append(("event", schedule.now)))
    schedule.play(60)
    assert passed == [("second", 2), ("first", 3), ("event", 4), ("second", 6), ("first", 6)]


def test_a_stale_read_is_five_minutes_old_at_most() -> None:
    play_ = Play(replace(QUIET, stale=1))
    region, seen = Region(play_), set[str]()
    for n in range(20):
        play_.time.at(n * MINUTE, partial(region.put, TOKEN, f"{n}", f"{n:032}"))

    def look() -> None:
        for _ in range(200):
            tokens = region.seen_by_list()[1]
            seen.update(metadata.stages["AWSCURRENT"] for metadata in tokens.values())

    play_.time.at(19 * MINUTE + 30, look)
    play_.time.play(HOUR)
    assert seen == {f"{n:032}" for n in range(14, 20)}


# That the judge sees what it is for: each of these is done by a program that lies or is cut off.


class Lying(Environment):
    """An environment whose store says that every lease was won."""

    def __init__(self, play: Play) -> None:
        super().__init__(play)
        store = self.sweeper.refresher.store
        write = store.write_protocol

        def lie(account: str, version_id: str, content: str) -> bool:
            return write(account, version_id, content) or version_id.startswith("request-")

        vars(store)["write_protocol"] = lie


def test_leases_that_are_not_believed_are_noticed() -> None:
    setting = replace(QUIET, ends=20 * HOUR, duplicates=1, cold=1)
    kinds = set[Broken]()
    for seed in range(5):
        kinds |= Play(replace(setting, seed=seed), environment=Lying).play().kinds
    assert kinds >= {Broken.OVERLAP, Broken.REVOKED}
