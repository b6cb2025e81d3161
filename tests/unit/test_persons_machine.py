"""What a refresh from a person's machine leaves on record: successes, and no failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.unit.fakes import (
    CLIENT_CREDENTIALS,
    MINUTE,
    PASSWORD,
    UNTIL_DUE,
    World,
    certificate_refused,
    denied,
    no_connection,
    throttled,
    timed_out,
)
from token_refresher.failures import FAILURES
from token_refresher.oauth.errors import OAuthError, TokenRequestError
from token_refresher.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.failures import Failure
    from token_refresher.outcomes import Result


def wrong_password() -> OAuthError:
    return TokenRequestError("invalid_grant")


def code(result: Result) -> str:
    assert isinstance(result.error, FAILURES)
    return result.error.code


def published(world: World) -> None:
    world.sweep()
    world.now += UNTIL_DUE


def at_a_persons_machine(world: World) -> None:
    world.start_environment()
    world.sweeper.refresher = msgspec.structs.replace(
        world.sweeper.refresher, records_failures=False
    )


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
    assert "failure" in before

    at_a_persons_machine(world)
    world.endpoint.fail(failure)
    result = world.refresh(force=True)

    assert (result.outcome, result.error is not None) == (Outcome.FAILED, True)
    assert world.tags() == before
    assert "tag" not in world.calls


def test_settings_that_refuse_the_host_at_a_persons_machine_are_not_recorded() -> None:
    world = World()
    world.add(PASSWORD, provider=None, token_endpoint="https://id.example/token")
    world.endpoint.allowed_hosts.add("id.example")
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


def test_nothing_is_created_for_a_failure_at_a_persons_machine() -> None:
    world = World()
    world.add(PASSWORD, user_agent="")
    at_a_persons_machine(world)

    assert world.refresh(force=True).outcome is Outcome.FAILED
    assert world.store.tokens == {}


@pytest.mark.parametrize("failure", [certificate_refused, no_connection])
def test_a_refresh_token_that_never_left_a_persons_machine_is_the_function_s_to_send(
    failure: Callable[[], Failure],
) -> None:
    world = World()
    initial = world.add_refresh_only()
    at_a_persons_machine(world)
    world.endpoint.fail(failure)
    for _ in range(3):
        world.refresh(force=True)
        world.now += MINUTE
    # What cannot be reached takes no lease.
    assert (world.leases(), world.tags()) == ({}, {})

    world.start_environment()
    world.endpoint.fail(None)
    result = world.refresh()
    assert (result.outcome, result.cautions) == (Outcome.PUBLISHED, ())
    assert dict(world.endpoint.redeemed) == {initial: 1}


@pytest.mark.parametrize(
    ("failure", "end"), [(wrong_password, "refused"), (timed_out, "unanswered")]
)
def test_what_became_of_a_refresh_token_is_recorded_whoever_sent_it(
    failure: Callable[[], Failure], end: str
) -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.endpoint.fail(failure)
    world.refresh(force=True)

    assert world.tags() == {"lease": f"{world.lease_id()}/{end}"}


def test_a_refresh_token_that_was_refused_to_a_person_is_sent_by_the_function_once_more() -> None:
    """The person's address may be all that was refused; only the function's own is recorded."""
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.endpoint.fail(wrong_password)
    world.refresh(force=True)

    world.start_environment()
    world.endpoint.fail(None)
    assert world.refresh(after=5 * MINUTE).outcome is Outcome.NOT_ATTEMPTED
    result = world.refresh(after=10 * MINUTE)
    assert (result.outcome, world.tags()) == (Outcome.PUBLISHED, {})


def test_a_refresh_token_that_a_person_lost_the_response_to_waits_as_any_other() -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.endpoint.fail(timed_out)
    world.refresh(force=True)

    world.start_environment()
    world.endpoint.fail(None)
    assert code(world.refresh(after=16 * MINUTE)) == "refresh_token_unanswered"
    assert world.endpoint.requests == []
    # The last half hour of the ninety minutes that the token had left.
    assert world.refresh(after=44 * MINUTE).outcome is Outcome.PUBLISHED


def test_a_response_that_must_not_be_published_is_recorded_whoever_had_it() -> None:
    world = World()
    world.add_refresh_only(verify_url="https://www.autovit.ro/api/open/account/adverts")
    published(world)
    at_a_persons_machine(world)
    world.endpoint.verdict = False
    world.refresh(force=True)

    assert world.tags() == {"refused-response": world.journal_id()}


def test_a_response_that_could_not_be_kept_is_recorded_whoever_sent_the_refresh_token() -> None:
    world = World()
    world.add_refresh_only()
    published(world)
    at_a_persons_machine(world)
    world.faults.always("before journal", throttled)
    world.refresh(force=True)

    assert world.tags()["failure"].startswith("action required: journal_not_written/1/")
    assert world.tags()["lease"] == f"{world.lease_id()}/spent"


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
