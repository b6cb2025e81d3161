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
from token_refresher.errors import SecretStoreError
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
    report = world.sweep(after=after)
    world.store.calls.clear()
    return replicator(world, *regions).follow(report.accounts, time_left=lambda: left)


def replicator(world: World, *regions: str, max_workers: int = 2) -> Replicator:
    return Replicator(
        store=world.store,
        regions=regions,
        schedule=TICK,
        clock=lambda: world.now,
        max_workers=max_workers,
    )


def refused() -> SecretStoreError:
    return SecretStoreError(
        "ReplicateSecretToRegions", "InvalidParameterException", transient=False
    )


def previous(world: World) -> str:
    return secret_of(world).stages["AWSPREVIOUS"]


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
    assert not unknown.is_known
    assert (unknown.behind, unknown.lag) == ({}, timedelta(0))


def test_a_secret_that_is_gone_or_to_be_deleted_is_nobodys_matter(world: World) -> None:
    world.add(CLIENT_CREDENTIALS, "marked")
    report = world.sweep()
    secret_of(world, "marked").is_deleted = True
    del world.store.tokens[ACCOUNT]
    assert replicator(world, *TWO).follow(report.accounts, time_left=lambda: MINUTE) == []
    assert "replicate" not in world.store.calls


def test_where_time_is_short_the_next_sweep_looks(world: World) -> None:
    # Three attempts of one call, each of which may hang, must fit in.
    assert follow(world, *TWO, left=timedelta(seconds=20)) == []
    assert world.store.calls == []
    assert len(follow(world, *TWO, after=TICK)) == 1


def test_where_a_look_took_too_long_nothing_is_added(world: World) -> None:
    left = MINUTE

    def hang() -> None:
        nonlocal left
        left = timedelta(seconds=20)

    report = world.sweep()
    world.store.faults.meanwhile("after describe", hang)
    [behind] = replicator(world, *TWO).follow(report.accounts, time_left=lambda: left)
    assert behind.behind == dict.fromkeys(TWO, "missing")
    assert "replicate" not in world.store.calls


def test_copies_that_hang_hold_an_invocation_for_a_minute_and_no_longer(world: World) -> None:
    for number in range(20):
        world.add(CLIENT_CREDENTIALS, f"dealer-{number}")
    report = world.sweep()
    begun_at = world.now

    def hang() -> SecretStoreError:
        world.now += timedelta(seconds=15)
        return throttled()

    world.store.faults.always("before replicate", hang)
    ends_at = begun_at + timedelta(minutes=4)
    found = replicator(world, *TWO, max_workers=1).follow(
        report.accounts, time_left=lambda: ends_at - world.now
    )
    assert [each.error is not None for each in found] == [True] * 4
    assert world.now == begun_at + MINUTE


def test_a_region_that_is_refused_does_not_keep_the_others_from_their_copies(
    world: World,
) -> None:
    # Both at once, and then the first of them.
    world.store.faults.once("before replicate", refused(), refused())
    [some] = follow(world, "xx-nowhere-1", "us-east-1")
    assert some.error is not None
    assert secret_of(world).replicas == {"us-east-1": "InSync"}
    # What may pass by itself is not asked three times.
    world.store.faults.once("before replicate", throttled())
    world.store.calls.clear()
    [throttle] = follow(world, "eu-north-1", "eu-south-1", after=TICK)
    assert throttle.error is not None
    assert world.store.calls.count("replicate") == 1


def test_a_description_of_before_the_token_tells_nothing_of_its_copies(world: World) -> None:
    follow(world, *TWO)
    report = world.sweep(after=UNTIL_DUE)
    secret_of(world).move("AWSCURRENT", to=previous(world), away_from=world.version_id())
    assert replicator(world, *TWO).follow(report.accounts, time_left=lambda: MINUTE) == []


def test_an_orphaned_token_is_left_alone_so_that_it_can_be_removed(world: World) -> None:
    world.sweep()
    world.store.credentials[ACCOUNT].is_deleted = True
    assert follow(world, *TWO) == []
    assert secret_of(world).replicas == {}


def test_an_external_version_has_no_age_and_is_not_asked_for(world: World) -> None:
    world.store.tokens[ACCOUNT] = Secret()
    theirs = '{"access_token": "theirs", "expires_at": 4000000000}'
    world.store.tokens[ACCOUNT].put("b" * 32, theirs, ["AWSCURRENT"])
    assert follow(world, *TWO) == []
    assert world.store.calls == []
