"""Copies of tokens in other Regions: added and looked at by a sweep, and never in its way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.secrets_manager.memory import Secret
from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    MINUTE,
    TICK,
    UNTIL_DUE,
    World,
    denied,
    throttled,
)
from token_refresher.replication import Replication, Replicator

TWO = ("eu-central-1", "us-east-1")


@pytest.fixture
def world() -> World:
    world = World()
    world.add(CLIENT_CREDENTIALS)
    return world


def follow(
    world: World, *regions: str, left: timedelta = MINUTE, after: timedelta = timedelta(0)
) -> list[Replication]:
    """Sweep, and look at the copies as the function does."""
    replicator = Replicator(
        store=world.store,
        regions=regions,
        schedule=TICK,
        clock=lambda: world.now,
        max_workers=2,
    )
    report = world.sweep(after=after)
    world.store.calls.clear()
    return replicator.follow(report.accounts, time_left=lambda: left)


def secret_of(world: World, account: str = ACCOUNT) -> Secret:
    return world.store.tokens[account]


def test_a_new_token_is_copied_to_each_region_and_then_looked_at(world: World) -> None:
    [begun] = follow(world, *TWO)
    assert begun == Replication(ACCOUNT, timedelta(0), dict.fromkeys(TWO, "missing"))
    assert not begun.is_told
    assert world.store.calls == ["describe", "replicate"]

    assert follow(world, *TWO, after=TICK) == [Replication(ACCOUNT)]
    assert world.store.calls == ["describe"]
    assert secret_of(world).replicas == dict.fromkeys(TWO, "InSync")


def test_credentials_are_never_copied(world: World) -> None:
    follow(world, *TWO)
    assert world.store.credentials[ACCOUNT].replicas == {}


def test_a_region_that_was_named_later_is_added_after_the_next_token(world: World) -> None:
    follow(world, "eu-central-1")
    # None is asked for while there is no new token.
    assert follow(world, *TWO, after=timedelta(hours=1)) == []
    assert world.store.calls == []
    [added] = follow(world, *TWO, after=UNTIL_DUE)
    assert added.behind == {"us-east-1": "missing"}
    assert secret_of(world).replicas.keys() == set(TWO)


def test_a_region_that_is_named_no_more_is_left_alone(world: World) -> None:
    follow(world, *TWO)
    assert follow(world, "us-east-1", after=TICK) == [Replication(ACCOUNT)]
    assert secret_of(world).replicas.keys() == set(TWO)


def test_a_copy_that_is_behind_tells_how_old_the_token_is_that_it_lacks(world: World) -> None:
    follow(world, *TWO)
    secret_of(world).replicas["us-east-1"] = "InProgress"
    [behind] = follow(world, *TWO, after=TICK)
    assert behind == Replication(ACCOUNT, TICK, {"us-east-1": "InProgress"})
    assert behind.is_told
    # What is under way is not begun again.
    assert world.store.calls == ["describe"]


def test_a_copy_that_has_failed_is_told_at_once_and_not_tried_again(world: World) -> None:
    follow(world, "us-east-1")
    secret_of(world).replicas["us-east-1"] = "Failed"
    [failed] = follow(world, "us-east-1", after=timedelta(seconds=1))
    assert failed.is_told
    assert world.store.calls == ["describe"]


def test_three_sweeps_look_at_a_token_and_no_other_asks(world: World) -> None:
    looked = [len(follow(world, *TWO, after=TICK if each else timedelta(0))) for each in range(5)]
    assert looked == [1, 1, 1, 0, 0]


def test_an_account_whose_copy_is_refused_does_not_keep_the_others_from_theirs(
    world: World,
) -> None:
    for name in ("one", "two"):
        world.add(CLIENT_CREDENTIALS, name)
    world.store.faults.once("before replicate", denied())
    found = follow(world, "us-east-1")
    refused = [each for each in found if each.error is not None]
    assert (len(found), len(refused)) == (3, 1)
    assert all(each.is_told for each in refused)
    assert [len(world.store.tokens[each].replicas) for each in world.store.tokens].count(1) == 2


def test_what_could_not_be_described_is_told_and_not_taken_for_a_copy(world: World) -> None:
    world.sweep()
    world.store.faults.always("before describe", throttled)
    [unknown] = follow(world, "us-east-1", after=TICK)
    assert unknown.error is not None
    assert unknown.is_told
    assert unknown.behind == {}


def test_a_secret_that_is_gone_or_to_be_deleted_is_nobodys_matter(world: World) -> None:
    world.add(CLIENT_CREDENTIALS, "marked")
    report = world.sweep()
    secret_of(world, "marked").is_deleted = True
    del world.store.tokens[ACCOUNT]
    replicator = Replicator(
        store=world.store, regions=TWO, schedule=TICK, clock=lambda: world.now, max_workers=2
    )
    assert replicator.follow(report.accounts, time_left=lambda: MINUTE) == []
    assert "replicate" not in world.store.calls


def test_where_time_is_short_the_next_sweep_looks(world: World) -> None:
    assert follow(world, *TWO, left=timedelta(seconds=10)) == []
    assert world.store.calls == []
    assert len(follow(world, *TWO, after=TICK)) == 1


def test_an_external_version_has_no_age_and_is_not_asked_for(world: World) -> None:
    world.store.tokens[ACCOUNT] = Secret()
    theirs = '{"access_token": "theirs", "expires_at": 4000000000}'
    world.store.tokens[ACCOUNT].put("b" * 32, theirs, ["AWSCURRENT"])
    assert follow(world, *TWO) == []
    assert world.store.calls == []
