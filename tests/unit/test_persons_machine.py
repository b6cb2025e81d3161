"""What a refresh from a person's machine leaves on record: successes, and no failure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    CLIENT_CREDENTIALS,
    MINUTE,
    PASSWORD,
    UNTIL_DUE,
    World,
    denied,
    no_connection,
    throttled,
    timed_out,
)
from token_refresher.oauth.errors import OAuthError, TokenEndpointError, TokenRequestError
from token_refresher.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.policy import Failure


def certificate_refused() -> OAuthError:
    return TokenEndpointError("the certificate was refused", code="certificate_refused")


def wrong_password() -> OAuthError:
    return TokenRequestError("invalid_grant")


def published(world: World) -> None:
    world.sweep()
    world.now += UNTIL_DUE


def at_a_persons_machine(world: World) -> None:
    world.start_environment()
    world.sweeper.refresher = replace(world.sweeper.refresher, records_failures=False)


@pytest.mark.parametrize(
    "failure", [certificate_refused, no_connection, timed_out, wrong_password, denied]
)
def test_no_failure_at_a_persons_machine_changes_what_is_on_record(
    failure: Callable[[], Failure],
) -> None:
    world = World()
    world.add(CLIENT_CREDENTIALS)
    published(world)
    world.endpoint.fail(timed_out)
    world.sweep()
    before = world.tags()
    assert "error" in before

    at_a_persons_machine(world)
    world.endpoint.fail(failure)
    result = world.refresh(force=True)

    assert (result.outcome, result.error is not None) == (Outcome.FAILED, True)
    assert world.tags() == before
    assert "tag" not in world.calls


def test_settings_that_refuse_the_host_at_a_persons_machine_are_not_recorded() -> None:
    world = World()
    world.add(PASSWORD)
    published(world)
    at_a_persons_machine(world)
    world.endpoint.allowed_hosts.clear()

    assert world.refresh(force=True).outcome is Outcome.FAILED
    assert world.tags() == {}


def test_a_success_at_a_persons_machine_clears_the_failure_on_record() -> None:
    world = World()
    world.add(CLIENT_CREDENTIALS)
    world.endpoint.fail(timed_out)
    world.sweep()
    world.endpoint.fail(None)
    at_a_persons_machine(world)

    assert world.refresh(force=True).outcome is Outcome.PUBLISHED
    assert world.tags() == {}


@pytest.mark.parametrize("failure", [certificate_refused, no_connection])
def test_a_refresh_token_that_never_left_a_persons_machine_is_the_function_s_to_send(
    failure: Callable[[], Failure],
) -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    for _ in range(3):
        at_a_persons_machine(world)
        world.endpoint.fail(failure)
        world.refresh(force=True)
        # What the protocol must know of the refresh token, and nothing of the failure.
        assert set(world.tags()) == {"released"}
        world.now += MINUTE

    world.start_environment()
    world.endpoint.fail(None)
    result = world.refresh()
    assert (result.outcome, result.cautions) == (Outcome.PUBLISHED, ())
    assert (world.tags(), world.endpoint.spent_came_back) == ({}, 0)


def test_a_refresh_token_that_was_refused_to_a_person_is_not_sent_again_by_the_function() -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.endpoint.fail(wrong_password)
    world.refresh(force=True)
    assert set(world.tags()) == {"dead"}

    world.start_environment()
    world.refresh(after=16 * MINUTE, force=True)
    assert world.endpoint.requests == []
    assert world.tags()["error"].endswith("invalid_grant")


def test_a_response_that_could_not_be_kept_is_recorded_whoever_sent_the_refresh_token() -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.faults.always("before journal", throttled)
    world.refresh(force=True)
    assert world.tags()["error"] == "action required: journal_not_written"


def test_a_journal_that_a_person_may_not_write_is_theirs_where_another_grant_makes_up_for_it() -> (
    None
):
    world = World()
    world.add(PASSWORD)
    at_a_persons_machine(world)
    world.faults.always("before journal", denied)
    world.refresh(force=True)
    assert world.access_token()
    assert world.tags() == {}
