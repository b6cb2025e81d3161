"""Tokens that are their own refresh tokens: what is sent, kept, published and refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from tests.unit.fakes import MINUTE, TICK, World, denied, response
from token_refresher.errors import RejectedAgainError
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason

LIFE: Final = timedelta(days=60)
UNTIL_DUE: Final = LIFE - 90 * MINUTE


@pytest.fixture
def world() -> World:
    world = World(max_workers=1)
    world.endpoint.allowed_hosts.add("graph.instagram.com")
    world.add(
        {
            "provider": "instagram",
            "grant_type": "ig_refresh_token",
            "refresh_token": "invented-token-1",
        }
    )
    return world


def issue(world: World, number: int, life: timedelta = LIFE) -> None:
    token = f"invented-token-{number}"
    world.endpoint.answer(response(access_token=token, refresh_token=token, expires_in=life))


def sent(world: World) -> list[str | None]:
    return [grant.refresh_token for _, grant in world.endpoint.askers]


def test_what_is_published_is_what_is_sent_next(world: World) -> None:
    for number in (2, 3):
        issue(world, number)
        assert world.refresh(after=UNTIL_DUE).outcome is Outcome.PUBLISHED
        assert sent(world) == [f"invented-token-{number - 1}"]
        assert world.access_token() == f"invented-token-{number}"


def test_one_that_stays_the_same_text_gets_the_life_that_it_was_given(world: World) -> None:
    issue(world, 1)
    world.refresh()
    issue(world, 1)
    assert world.refresh(after=UNTIL_DUE).outcome is Outcome.PUBLISHED
    token = world.token()
    assert token is not None
    assert token["access_token"] == "invented-token-1"
    assert token["expires_at"] == (world.now + LIFE).timestamp()
    assert world.sweep(after=TICK).results == ()


def test_one_that_did_not_get_a_longer_life_is_unchanged(world: World) -> None:
    issue(world, 1)
    world.refresh()
    issue(world, 1, timedelta(minutes=90, seconds=20))
    assert world.refresh(after=UNTIL_DUE).outcome is Outcome.UNCHANGED


def test_one_that_a_consumer_saw_refused_is_no_other_by_living_longer(world: World) -> None:
    issue(world, 1)
    world.refresh()
    issue(world, 1)
    result = world.reject(world.version_id(), after=timedelta(days=2))
    assert result is not None
    assert isinstance(result.error, RejectedAgainError)


def test_a_response_that_was_journaled_is_published_without_another_request(world: World) -> None:
    issue(world, 2)
    world.refresh()
    issue(world, 3)
    world.faults.once("before publish", denied())
    assert world.refresh(after=UNTIL_DUE).outcome is Outcome.FAILED
    result = world.refresh(after=TICK)
    assert (result.outcome, result.reason) == (Outcome.PUBLISHED, Reason.UNPUBLISHED_RESPONSE)
    assert sent(world) == []
    assert world.access_token() == "invented-token-3"
