"""How a refresh token is sent: what can fail comes first, and an old lease sends nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    HOUR,
    MINUTE,
    PASSWORD,
    UNTIL_DUE,
    RefreshMode,
    RunKilledError,
    World,
    broken,
    certificate_refused,
    denied,
    firewall,
    forbidden,
    lost_connection,
    no_connection,
    throttled,
    timed_out,
    too_many_requests,
    unavailable,
)
from token_refresher.errors import LeaseTooOldError, OutOfTimeError
from token_refresher.failures import FAILURES
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.outcomes import Caution, Outcome
from token_refresher.redeem import allows_primary_grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.outcomes import Result

SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> World:
    """A refresh-only account that has refreshed once, when its token is due again."""
    world = World()
    world.add_refresh_only()
    world.sweep()
    world.now += UNTIL_DUE
    return world


@pytest.fixture
def with_password() -> World:
    """An account with a primary grant, likewise."""
    world = World()
    world.add(PASSWORD)
    world.sweep()
    world.now += UNTIL_DUE
    return world


def code(error: Exception | None) -> str:
    assert isinstance(error, FAILURES)
    return error.code


def killed(world: World, point: str) -> None:
    world.faults.once(point, RunKilledError())
    with pytest.raises(RunKilledError):
        world.sweep()
    world.start_environment()


# What fails without sending takes no lease.


@pytest.mark.parametrize("failure", [no_connection, certificate_refused])
def test_what_cannot_be_reached_takes_no_lease(
    world: World, failure: Callable[[], OAuthError]
) -> None:
    leases = world.leases()
    world.endpoint.fail(failure)
    result = world.refresh()

    assert result.error is not None
    assert world.leases() == leases
    assert "lease" not in world.tags()
    assert world.endpoint.requests == []


def test_a_host_that_is_not_allowed_takes_no_lease(world: World) -> None:
    leases = world.leases()
    world.add_refresh_only(provider=None, token_endpoint="https://id.example/token")

    assert code(world.refresh().error) == "host_not_allowed"
    assert world.leases() == leases


@pytest.mark.parametrize("error", [throttled, denied])
def test_without_a_lease_the_only_refresh_token_is_not_sent(
    world: World, error: Callable[[], Exception]
) -> None:
    world.faults.once("before lease", error())

    assert code(world.refresh().error).endswith("Exception")
    assert world.endpoint.requests == []


@pytest.mark.parametrize("error", [throttled, denied])
def test_without_a_lease_the_primary_grant_is_used(
    with_password: World, error: Callable[[], Exception]
) -> None:
    with_password.faults.once("before lease", error())

    assert with_password.refresh().outcome is Outcome.PUBLISHED
    assert with_password.grants == ["password"]


# The age of the lease, right before the first byte.


def takes(world: World, duration: timedelta) -> Callable[[], object]:
    def pass_time() -> None:
        world.now += duration

    return pass_time


@pytest.mark.parametrize(("age", "is_sent"), [(60 * SECOND, True), (61 * SECOND, False)])
def test_a_run_that_was_stopped_after_its_lease_sends_nothing(
    world: World, age: timedelta, *, is_sent: bool
) -> None:
    world.faults.meanwhile("after lease", takes(world, age - 40 * SECOND))
    # Counted from before the put.
    world.faults.meanwhile("before lease", takes(world, 40 * SECOND))
    result = sweep_without_a_limit(world)

    assert bool(world.endpoint.requests) is is_sent
    if not is_sent:
        assert isinstance(result.error, LeaseTooOldError)
        assert world.tags() == {}


def sweep_without_a_limit(world: World) -> Result:
    """Refresh in an invocation that never ends: only the lease's age counts."""
    world.store.calls.clear()
    world.endpoint.requests.clear()
    [result] = world.sweeper.sweep(time_left=lambda: timedelta(minutes=10)).results
    return result


def test_nothing_is_sent_that_could_not_be_kept_in_the_time_that_is_left(world: World) -> None:
    world.faults.meanwhile("after lease", takes(world, 36 * SECOND))
    result = world.refresh()

    assert isinstance(result.error, OutOfTimeError)
    assert world.endpoint.requests == []


def test_a_run_whose_lease_has_become_old_looks_before_it_publishes(world: World) -> None:
    world.faults.meanwhile("after request", takes(world, 61 * SECOND))
    sweep_without_a_limit(world)
    calls = world.calls

    # What another run may have journaled is looked at, too.
    assert calls[calls.index("lease") :] == [
        "lease", "read journal", "journal", "describe", "publish",
    ]  # fmt: skip


def test_a_run_whose_lease_is_young_publishes_without_looking(world: World) -> None:
    world.faults.meanwhile("after request", takes(world, 60 * SECOND))
    sweep_without_a_limit(world)

    assert world.calls[-3:] == ["lease", "journal", "publish"]


def test_a_late_response_is_not_journaled_over_another_runs(world: World) -> None:
    def another_run() -> None:
        world.now += 21 * MINUTE
        world.endpoint.mode = RefreshMode.KEEPS
        other = world.beside()
        other.sweeper.sweep(time_left=lambda: timedelta(minutes=10), accounts=[ACCOUNT], force=True)

    world.endpoint.mode = RefreshMode.KEEPS
    world.faults.meanwhile("after request", another_run)
    result = sweep_without_a_limit(world)

    assert result.outcome is Outcome.SUPERSEDED
    assert world.journal_id() == world.version_id()
    assert world.endpoint.accepts(world.access_token())


@pytest.mark.parametrize("error", [throttled(), ValueError("nobody foresaw it")], ids=repr)
def test_a_late_response_is_journaled_where_nobody_can_tell_of_another(
    world: World, error: Exception
) -> None:
    world.faults.meanwhile("after request", takes(world, 61 * SECOND))
    world.faults.reset()
    # list; describe, two reads, connect, lease, request, read journal.
    world.faults.plan(14, lambda _: error)
    result = sweep_without_a_limit(world)

    assert world.faults.points[14] == "before read journal"
    assert result.outcome is Outcome.PUBLISHED
    assert world.journal_id() == world.version_id()


# Once more, after a second.


@pytest.mark.parametrize("lost", [lost_connection, timed_out, broken, unavailable])
def test_a_lost_response_is_asked_for_once_more_after_a_second(
    world: World, lost: Callable[[], Exception]
) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    world.endpoint.answer(lost())
    result = world.refresh()

    assert (result.outcome, result.cautions) == (
        Outcome.PUBLISHED,
        (Caution.REFRESH_TOKEN_RESENT,),
    )
    assert world.pauses == [SECOND]
    assert world.grants == ["refresh_token"] * 2
    assert len({request["refresh_token"] for request in world.endpoint.requests}) == 1
    assert len(world.leases()) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(TokenRequestError("invalid_grant"), id="refused"),
        pytest.param(TokenRequestError("temporarily_unavailable"), id="later"),
        pytest.param(too_many_requests(), id="429"),
        pytest.param(firewall(), id="page"),
        pytest.param(TokenResponseError("a list"), id="invalid response"),
        pytest.param(
            EndpointUnavailableError("", code="status_503", status=503, retry_after=SECOND),
            id="Retry-After",
        ),
    ],
)
def test_what_was_answered_is_not_asked_for_once_more(world: World, answer: OAuthError) -> None:
    world.endpoint.answer(answer)
    world.refresh()

    assert world.grants == ["refresh_token"]
    assert world.pauses == []


def test_a_lost_response_is_not_asked_for_once_more_where_a_primary_grant_follows(
    with_password: World,
) -> None:
    with_password.endpoint.answer(timed_out())
    with_password.refresh()

    assert with_password.grants == ["refresh_token", "password"]


def test_a_lost_response_is_asked_for_once_more_in_the_first_lease_alone(world: World) -> None:
    world.endpoint.fail(timed_out)
    world.sweep()
    assert len(world.grants) == 2
    world.sweep(after=HOUR)

    assert world.grants == ["refresh_token"]
    assert world.lease_id().endswith("-2")


@pytest.mark.parametrize(("seconds", "requests"), [(20, 2), (21, 1)])
def test_a_lost_response_is_asked_for_once_more_where_the_time_left_allows_it(
    world: World, seconds: int, requests: int
) -> None:
    world.endpoint.fail(timed_out)
    # A refresh has a minute; a request and what keeps its response take forty seconds.
    world.faults.meanwhile("before request", takes(world, seconds * SECOND))
    world.sweep()

    assert len(world.endpoint.requests) == requests


@pytest.mark.parametrize(
    "point", ["before connect", "before request"], ids=["not reached", "broken before it is sent"]
)
def test_where_it_cannot_be_sent_once_more_the_response_stays_lost(
    world: World, point: str
) -> None:
    world.endpoint.answer(timed_out())
    # The second time that a connection is opened.
    world.faults.meanwhile("before connect", nothing)
    world.faults.meanwhile("before connect", lambda: world.faults.once(point, no_connection()))

    assert code(world.refresh().error) == "timeout"
    assert world.faults.points.count("before connect") == 3
    assert world.tags()["lease"].endswith("/unanswered")


def nothing() -> None:
    """What happens where nothing does."""


@pytest.mark.parametrize(
    ("second", "end"),
    [
        pytest.param(TokenRequestError("invalid_grant"), "refused", id="refused"),
        pytest.param(timed_out(), "unanswered", id="lost again"),
        pytest.param(TokenResponseError("a list"), "unanswered", id="invalid"),
    ],
)
def test_what_comes_of_the_second_sending_counts(
    world: World, second: OAuthError, end: str
) -> None:
    world.endpoint.answer(lost_connection(), second)

    assert code(world.refresh().error) == second.code
    assert world.tags()["lease"] == f"{world.lease_id()}/{end}"


# What became of it.


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (TokenRequestError("invalid_grant"), "refused"),
        (forbidden(), "refused"),
        (TokenRequestError("slow_down"), "unanswered"),
        (too_many_requests(), "unanswered"),
        (firewall(), "unanswered"),
    ],
    ids=["invalid_grant", "403", "slow_down", "429", "page"],
)
def test_a_refusal_is_told_from_any_other_end(world: World, answer: OAuthError, end: str) -> None:
    world.endpoint.answer(answer)
    world.sweep()

    assert world.tags()["lease"] == f"{world.lease_id()}/{end}"


def test_a_lease_that_was_found_over_is_recorded_and_its_refresh_token_waits(world: World) -> None:
    killed(world, "after request")
    first = world.lease_id()
    result = world.refresh(after=20 * MINUTE)

    assert code(result.error) == "refresh_token_unanswered"
    assert world.tags()["lease"] == f"{first}/unanswered"
    assert world.endpoint.requests == []


def test_a_refresh_token_whose_response_could_not_be_kept_is_not_sent_while_a_token_lives(
    world: World,
) -> None:
    world.faults.always("before journal", denied)
    world.sweep()
    world.faults.fix()
    # Another environment has nothing in memory.
    world.start_environment()
    world.sweep_for(11 * HOUR)
    assert world.endpoint.spent_came_back == 0

    result = world.refresh(after=HOUR)
    assert world.endpoint.spent_came_back == 1
    assert code(result.error) == "invalid_grant"


@pytest.mark.parametrize("insists", ["force", "rejection"])
def test_a_refresh_token_that_waits_is_sent_where_somebody_insists(
    world: World, insists: str
) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    world.endpoint.answer(timed_out(), timed_out())
    world.sweep()
    world.now += 15 * MINUTE
    if insists == "force":
        result = world.refresh(force=True)
    else:
        [result] = world.sweep(accounts=[ACCOUNT], rejected_version=world.version_id()).results

    assert result.outcome is Outcome.PUBLISHED
    assert result.cautions == (Caution.REFRESH_TOKEN_RESENT,)


def test_whoever_insists_waits_for_the_time_between_two_leases(world: World) -> None:
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.sweep()
    for _ in range(10):
        result = world.refresh(after=MINUTE, force=True)
        assert result.outcome is Outcome.NOT_ATTEMPTED
    assert world.grants == []
    assert len(world.leases()) == 2


# One lease in a whole outage, where there is a primary grant.


def test_a_refresh_token_that_had_its_chance_is_not_connected_for(with_password: World) -> None:
    world = with_password
    world.endpoint.fail(unavailable)
    world.sweep()
    assert world.grants == ["refresh_token", "password"]
    for _ in range(3):
        world.sweep(after=20 * MINUTE)
        assert world.grants == ["password"]
        assert "before connect" not in world.faults.points[-12:]
    world.endpoint.fail(None)
    world.sweep(after=20 * MINUTE)

    assert len([each for each in world.leases() if each]) == 1
    assert world.tags() == {}


def test_a_lease_that_another_run_may_still_have_holds_the_primary_grant(
    with_password: World,
) -> None:
    killed(with_password, "after lease")

    assert with_password.refresh(after=19 * MINUTE).outcome is Outcome.LEASED_BY_ANOTHER_RUN
    assert with_password.grants == []
    assert with_password.refresh(after=MINUTE).outcome is Outcome.PUBLISHED
    assert with_password.grants == ["password"]


def test_a_repeatable_account_survives_an_outage_of_a_day(with_password: World) -> None:
    world = with_password
    world.endpoint.fail(unavailable)
    world.sweep_for(timedelta(days=1))
    world.endpoint.fail(None)
    world.sweep_for(HOUR)

    assert world.endpoint.accepts(world.access_token())
    assert world.endpoint.spent_came_back == 0
    assert world.tags() == {}


@pytest.mark.parametrize("make", [unavailable, too_many_requests, firewall])
def test_a_refresh_only_account_survives_an_outage_of_a_day(
    make: Callable[[], OAuthError],
) -> None:
    world = World()
    initial = world.add_refresh_only()
    world.endpoint.fail(make)
    world.sweep_for(timedelta(days=1))
    # A lease each quarter of an hour.
    assert 90 <= len(world.leases()) <= 97
    world.endpoint.fail(None)
    world.sweep_for(15 * MINUTE)

    assert dict(world.endpoint.redeemed) == {initial: 1}
    assert world.endpoint.accepts(world.access_token())


# When the primary grant follows in the same run.


@pytest.mark.parametrize(
    ("error", "is_allowed"),
    [
        pytest.param(TokenRequestError("invalid_grant"), True, id="a dead refresh token"),
        pytest.param(TokenRequestError("unsupported_grant_type"), True, id="a refused grant type"),
        pytest.param(TokenRequestError("unknown"), True, id="an unknown code"),
        pytest.param(TokenRequestError("invalid_scope"), True, id="a scope that was refused"),
        pytest.param(TokenResponseError("no token"), True, id="an invalid response"),
        pytest.param(timed_out(), True, id="no response in time"),
        pytest.param(broken(), True, id="a server's error"),
        pytest.param(TokenRequestError("invalid_client"), False, id="not with a wrong client"),
        pytest.param(no_connection(), False, id="not without a connection"),
        pytest.param(firewall(), False, id="not where the host is to be left alone"),
    ],
)
def test_whatever_a_refresh_answers_the_primary_grant_follows_unless_it_would_fail_alike(
    error: OAuthError, *, is_allowed: bool
) -> None:
    assert allows_primary_grant(error) is is_allowed
