"""A response on its way to consumers: a later token goes before it, and a person's hand counts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    HOUR,
    MINUTE,
    TICK,
    World,
    denied,
    due_again,
    throttled,
    unavailable,
)
from token_refresher.failures import FAILURES
from token_refresher.journal import JournalEntry
from token_refresher.model import TokenVersion
from token_refresher.oauth.dialect import RFC_6749
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason
from token_refresher.ports import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def world() -> World:
    return World()


def unpublished(world: World) -> World:
    """An account whose last response was journaled, and could not be published."""
    due_again(world)
    world.faults.once("before publish", denied())
    world.sweep()
    world.now += TICK
    return world


def _publishing_elsewhere(world: World, issued_after: timedelta) -> Callable[[str], None]:
    def publish(_: str) -> None:
        issued_at = world.now + issued_after
        version = TokenVersion(
            issued_at, issued_at + 9 * HOUR, world.credentials_digest(), "f" * 12
        )
        text = json.dumps({"access_token": "of another run"})
        world.store.tokens[ACCOUNT].put(str(version), text, [CURRENT])

    return publish


def _publish_by_hand(world: World) -> None:
    world.store.tokens[ACCOUNT].put("by-hand" * 5, "{}", [CURRENT])


# A later token.


@pytest.mark.parametrize(
    ("issued_after", "outcome"),
    [
        pytest.param(timedelta(seconds=1), Outcome.SUPERSEDED, id="a later token stays"),
        pytest.param(timedelta(0), Outcome.SUPERSEDED, id="one of the same second stays"),
        pytest.param(timedelta(seconds=-1), Outcome.PUBLISHED, id="an earlier one is replaced"),
    ],
)
def test_of_two_overlapping_primary_grants_the_later_token_stays(
    world: World, issued_after: timedelta, outcome: Outcome
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.reset()
    # list, describe, read, request; each has two points.
    world.faults.plan(7, _publishing_elsewhere(world, issued_after))

    assert world.refresh().outcome is outcome
    stayed = outcome is Outcome.SUPERSEDED
    assert world.access_token() == ("of another run" if stayed else "access-token-2")


def test_a_first_token_of_another_run_stays_likewise(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    # list, describe, read, create, request.
    world.faults.plan(9, _publishing_elsewhere(world, timedelta(0)))

    assert world.refresh().outcome is Outcome.SUPERSEDED


def test_a_found_response_gives_way_to_a_later_token(world: World) -> None:
    unpublished(world)
    world.faults.reset()
    # list, describe, two reads; each has two points.
    world.faults.plan(7, _publishing_elsewhere(world, timedelta(0)))

    assert world.refresh().outcome is Outcome.SUPERSEDED
    assert world.access_token() == "of another run"


def test_a_token_whose_age_nobody_knows_is_replaced(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.reset()
    world.faults.plan(7, lambda _: _publish_by_hand(world))

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.access_token() == "access-token-2"


def test_a_failed_second_description_does_not_keep_the_token_from_its_readers(
    world: World,
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.reset()
    world.faults.plan(8, lambda _: throttled())

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.access_token() == "access-token-2"


def test_a_run_that_stood_still_publishes_nothing_where_it_cannot_look(world: World) -> None:
    """Another run may have published a later token since."""
    due_again(world, CLIENT_CREDENTIALS)
    before = world.access_token()

    def stand_still() -> None:
        world.now += 2 * MINUTE
        world.faults.always("before describe", throttled)

    world.faults.meanwhile("after request", stand_still)
    assert world.refresh().outcome is Outcome.FAILED
    assert world.access_token() == before


def test_a_run_that_did_not_stand_still_publishes_though_it_cannot_look(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.meanwhile("after request", lambda: world.faults.always("before describe", denied))
    assert world.refresh().outcome is Outcome.PUBLISHED


# A journaled response that was published is looked at.


def test_a_response_that_a_person_has_moved_away_is_asked_for_again(world: World) -> None:
    unpublished(world)
    secret = world.store.tokens[ACCOUNT]
    secret.versions[world.journal_id()] = json.dumps(
        {"access_token": "access-token-2", "token_type": "Bearer", "scope": "adverts-write read",
         "issued_at": 1795519800, "expires_at": 1795563000}, separators=(",", ":"),
    )  # fmt: skip
    used = world.journal_id()
    result = world.refresh(after=15 * MINUTE)

    assert (result.reason, result.outcome) == (Reason.UNPUBLISHED_RESPONSE, Outcome.PUBLISHED)
    assert world.grants == ["refresh_token"]
    assert world.version_id() not in {used, ""}
    assert world.endpoint.accepts(world.access_token())


def test_a_response_that_a_person_has_moved_away_is_refused_where_no_other_comes(
    world: World,
) -> None:
    unpublished(world)
    world.store.tokens[ACCOUNT].versions[world.journal_id()] = published_text(world)
    world.endpoint.fail(unavailable)
    error = world.refresh(after=15 * MINUTE).error

    assert isinstance(error, FAILURES)
    assert error.code == "status_503"
    assert world.tags()["refused-response"] == world.journal_id()
    assert world.refresh(after=TICK).reason is Reason.BACKING_OFF


def published_text(world: World) -> str:
    """What publishing the journaled response would write."""
    entry, version = JournalEntry.from_json(json.dumps(world.journal())), world.journal_id()
    parsed = TokenVersion.parse(version, now=world.now)
    assert entry is not None
    assert parsed is not None
    return entry.published_as(parsed, RFC_6749).to_json()


def test_a_journaled_response_counts_as_published_where_nobody_can_look(world: World) -> None:
    unpublished(world)
    world.faults.reset()
    # list; describe, two reads, describe, publish, describe.
    world.faults.plan(12, lambda _: throttled())
    result = world.refresh()

    assert (result.outcome, world.tags()) == (Outcome.PUBLISHED, {})
    found = ["describe", "read credentials", "read journal", "describe"]
    assert world.calls == [*found, "publish", "describe", "untag"]


def test_a_later_token_than_the_journaled_one_is_as_good(world: World) -> None:
    unpublished(world)
    world.faults.meanwhile("after publish", lambda: _publishing_elsewhere(world, MINUTE)(""))

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == []
