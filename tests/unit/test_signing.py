"""Accounts that sign: nothing is leased or sent unsigned, and each assertion is for one request."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    HOUR,
    MINUTE,
    PASSWORD,
    SIGNS,
    TICK,
    UNTIL_DUE,
    RunKilledError,
    World,
    denied,
    lost_connection,
    no_connection,
    not_signed,
    signing_denied,
    timed_out,
    unavailable,
)
from token_refresher.errors import HostStoppedError, SigningError
from token_refresher.failures import FAILURES
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.outcomes import Caution, Outcome
from token_refresher.policy import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = timedelta(seconds=1)
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
faults = pytest.mark.parametrize(
    ("fault", "told"),
    [
        (not_signed, "transient: KMSInternalException"),
        (signing_denied, "action required: signing_denied"),
    ],
)


def due_again(**grant: Any) -> World:  # noqa: ANN401
    """An account that signs and has refreshed once, when its token is due again."""
    world = World()
    world.endpoint.allowed_hosts.add("id.example")
    if grant:
        world.add({**grant, "client_id": "123", **SIGNS})
    else:
        world.add_refresh_only(**SIGNS)
    world.sweep()
    assert world.access_token()
    world.now += UNTIL_DUE
    return world


@pytest.fixture
def refresh_only() -> World:
    """One that has nothing but a refresh token."""
    return due_again()


@pytest.fixture
def with_password() -> World:
    """One with a primary grant, likewise."""
    return due_again(**{name: PASSWORD[name] for name in ("grant_type", "username", "password")})


@pytest.fixture
def by_assertion() -> World:
    """One whose grant is the assertion."""
    world = World()
    world.endpoint.allowed_hosts.add("id.example")
    form = {**SIGNS, "token_endpoint_auth_method": None, "client_id": "123"}
    world.add({"grant_type": BEARER, "assertion": {"signer": "kms"}, **form})
    world.sweep()
    assert world.access_token()
    world.now += UNTIL_DUE
    return world


@pytest.fixture(params=["refresh_only", "with_password", "by_assertion"])
def world(request: pytest.FixtureRequest) -> World:
    """Each of them."""
    world: World = request.getfixturevalue(request.param)
    return world


def code(error: Exception | None) -> str:
    assert isinstance(error, FAILURES)
    return error.code


def failure(world: World) -> str:
    return world.tags()["failure"].partition("/")[0]


# A healthy account.


def test_each_request_has_an_assertion_of_its_own(world: World) -> None:
    for _ in range(5):
        world.sweep()
        world.now += UNTIL_DUE

    assert world.endpoint.signed_for == [ACCOUNT] * len(world.endpoint.assertions)
    assert set(world.endpoint.assertions.values()) == {1}
    assert len(world.endpoint.assertions) == 6


def test_it_is_signed_after_connecting_and_before_leasing(refresh_only: World) -> None:
    refresh_only.faults.reset()
    refresh_only.sweep()

    points = [each for each in refresh_only.faults.points if each.startswith("before")]
    assert points[-6:] == [
        f"before {call}" for call in ("connect", "sign", "lease", "request", "journal", "publish")
    ]


def test_for_a_host_that_is_not_allowed_nothing_is_signed(world: World) -> None:
    signed = len(world.endpoint.signed_for)
    world.endpoint.allowed_hosts.clear()

    assert code(world.refresh().error) == "host_not_allowed"
    assert len(world.endpoint.signed_for) == signed


@pytest.mark.parametrize("kind", ["refresh_only", "with_password"])
def test_for_a_host_that_is_not_reached_no_refresh_tokens_request_is_signed(
    kind: str, request: pytest.FixtureRequest
) -> None:
    world: World = request.getfixturevalue(kind)
    signed = len(world.endpoint.signed_for)
    world.endpoint.fail(no_connection)

    assert code(world.refresh().error) == "no_connection"
    assert len(world.endpoint.signed_for) == signed


# Without a signature.


@faults
def test_without_a_signature_nothing_is_leased_or_sent_and_the_token_stays(
    world: World, fault: Callable[[], SigningError], told: str
) -> None:
    token, leases, journal = world.access_token(), world.leases(), world.journal()
    world.faults.always("before sign", fault)
    result = world.refresh()

    assert result.outcome is Outcome.FAILED
    assert failure(world) == told
    assert world.endpoint.requests == []
    assert (world.leases(), world.journal()) == (leases, journal)
    assert "lease" not in world.tags()
    assert world.access_token() == token
    assert world.endpoint.accepts(token)


@faults
@pytest.mark.parametrize("outage", [TICK, HOUR, 6 * HOUR, 3 * timedelta(days=1)], ids=str)
def test_it_heals_by_itself_soon_after_the_key_is_back(
    world: World, fault: Callable[[], SigningError], told: str, outage: timedelta
) -> None:
    assert told
    world.faults.always("before sign", fault)
    world.sweep_for(outage)
    is_alive = world.endpoint.accepts(world.access_token())
    before = world.version_id()
    world.faults.fix()
    back_at, longest = world.now, 30 * MINUTE if is_alive else 10 * MINUTE
    while world.version_id() == before:
        world.sweep(after=TICK)
        assert world.now - back_at <= longest + TICK

    assert world.endpoint.accepts(world.access_token())
    assert world.tags() == {}
    assert world.endpoint.spent_came_back == 0


@faults
def test_a_first_token_is_there_with_the_next_sweep_after_the_key(
    fault: Callable[[], SigningError], told: str
) -> None:
    world = World()
    world.endpoint.allowed_hosts.add("id.example")
    world.add_refresh_only(**SIGNS)
    world.faults.always("before sign", fault)
    world.sweep_for(30 * MINUTE)
    assert failure(world) == told
    world.faults.fix()

    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED


@faults
def test_corrected_credentials_are_tried_at_once(
    world: World, fault: Callable[[], SigningError], told: str
) -> None:
    assert told
    world.faults.always("before sign", fault)
    world.sweep_for(2 * HOUR)
    world.faults.fix()
    assert world.refresh().reason is Reason.BACKING_OFF
    stored = world.store.credentials[ACCOUNT]
    fields = json.loads(stored.versions[stored.stages["AWSCURRENT"]] or "")
    world.add({**fields, "user_agent": "made-up/2"})

    assert world.refresh().outcome is Outcome.PUBLISHED


def test_an_outage_of_a_day_costs_no_lease_and_no_request(refresh_only: World) -> None:
    leases = refresh_only.leases()
    refresh_only.faults.always("before sign", not_signed)
    refresh_only.sweep_for(timedelta(days=1))

    assert refresh_only.leases() == leases
    assert refresh_only.endpoint.requests == []
    assert len(refresh_only.store.credentials[ACCOUNT].versions) == 3


# A lost response.


@pytest.mark.parametrize("lost", [lost_connection, timed_out, unavailable])
def test_a_lost_response_is_asked_for_once_more_with_an_assertion_of_its_own(
    refresh_only: World, lost: Callable[[], Exception]
) -> None:
    world = refresh_only
    signed = len(world.endpoint.signed_for)
    world.endpoint.answer(lost())
    result = world.refresh()

    assert (result.outcome, result.cautions) == (Outcome.PUBLISHED, (Caution.REFRESH_TOKEN_RESENT,))
    assert len(world.endpoint.signed_for) == signed + 2
    assert set(world.endpoint.assertions.values()) == {1}
    assert world.faults.points.count("before connect") == 3


@faults
def test_where_it_cannot_be_signed_once_more_the_response_stays_lost(
    refresh_only: World, fault: Callable[[], SigningError], told: str
) -> None:
    """The refresh token was sent, so its lease ends unanswered: the next run need not wait."""
    assert told
    world = refresh_only
    world.endpoint.answer(timed_out())
    world.faults.meanwhile("before request", lambda: world.faults.once("before sign", fault()))
    result = world.refresh()

    assert code(result.error) == "timeout"
    assert failure(world) == "transient: timeout"
    assert world.tags()["lease"] == f"{world.lease_id()}/unanswered"
    assert len(world.endpoint.requests) == 1


# A lease that takes its time.


def takes(world: World, duration: timedelta) -> Callable[[], object]:
    def pass_time() -> None:
        world.now += duration

    return pass_time


def sweep_without_a_limit(world: World) -> Any:  # noqa: ANN401
    world.endpoint.requests.clear()
    [result] = world.sweeper.sweep(time_left=lambda: timedelta(minutes=10)).results
    return result


@pytest.mark.parametrize("seconds", [0, 30, 31, 60])
def test_an_assertion_that_has_become_old_is_made_again_and_never_sent_expired(
    refresh_only: World, seconds: int
) -> None:
    world = refresh_only
    signed = len(world.endpoint.signed_for)
    world.faults.meanwhile("after lease", takes(world, seconds * SECOND))
    result = sweep_without_a_limit(world)

    assert result.outcome is Outcome.PUBLISHED
    assert len(world.endpoint.signed_for) - signed == (2 if seconds > 30 else 1)
    assert len(world.endpoint.requests) == 1


@faults
def test_where_it_cannot_be_made_again_the_lease_has_ended_all_the_same(
    refresh_only: World, fault: Callable[[], SigningError], told: str
) -> None:
    world = refresh_only
    world.faults.meanwhile("after lease", takes(world, 31 * SECOND))
    world.faults.meanwhile("before lease", lambda: world.faults.once("before sign", fault()))
    result = sweep_without_a_limit(world)

    assert isinstance(result.error, SigningError)
    assert failure(world) == told
    assert world.tags()["lease"] == f"{world.lease_id()}/unanswered"
    assert world.endpoint.requests == []


def test_such_a_lease_costs_the_account_nothing_but_the_time_between_two(
    refresh_only: World,
) -> None:
    world = refresh_only
    world.faults.meanwhile("after lease", takes(world, 31 * SECOND))
    world.faults.meanwhile("before lease", lambda: world.faults.once("before sign", not_signed()))
    sweep_without_a_limit(world)
    world.sweep_for(UNTIL_DUE)

    assert world.endpoint.accepts(world.access_token())
    assert world.endpoint.spent_came_back == 0


# A primary grant that follows.


@faults
def test_the_primary_grant_after_a_refused_refresh_token_needs_a_signature_too(
    with_password: World, fault: Callable[[], SigningError], told: str
) -> None:
    world = with_password
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.faults.meanwhile("before request", lambda: world.faults.once("before sign", fault()))
    token = world.access_token()
    world.sweep()

    assert world.grants == ["refresh_token"]
    assert failure(world) == told
    assert world.tags()["lease"] == f"{world.lease_id()}/refused"
    assert world.access_token() == token
    world.sweep(after=TICK)
    # What was refused is not sent again.
    assert world.grants == ["password"]
    assert world.tags() == {}


def test_without_a_lease_the_primary_grant_is_signed_for_once_more(with_password: World) -> None:
    world = with_password
    signed = len(world.endpoint.signed_for)
    world.faults.once("before lease", denied())

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert len(world.endpoint.signed_for) == signed + 2
    assert set(world.endpoint.assertions.values()) == {1}


# A run that dies.


@pytest.mark.parametrize("point", ["before sign", "after sign", "before lease"])
def test_a_run_that_dies_before_its_lease_costs_the_next_one_nothing(
    refresh_only: World, point: str
) -> None:
    world = refresh_only
    leases = world.leases()
    world.faults.once(point, RunKilledError())
    with pytest.raises(RunKilledError):
        world.sweep()
    world.start_environment()
    assert world.leases() == leases

    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED


# Many accounts.


def fleet(count: int) -> World:
    """As many that sign as that do not, all due."""
    world = World(max_workers=1)
    world.endpoint.allowed_hosts.add("id.example")
    for number in range(count):
        world.add_refresh_only(f"signs-{number:03}", **SIGNS)
        world.add(PASSWORD, f"plain-{number:03}")
    world.sweep()
    world.now += UNTIL_DUE
    return world


def test_kms_that_hangs_costs_the_sweep_three_accounts_and_those_that_do_not_sign_nothing() -> None:
    world = fleet(40)
    world.faults.always("before sign", not_signed)
    for _ in range(200):
        world.faults.meanwhile("before sign", takes(world, 7 * SECOND))
    begun = world.now
    report = world.sweep()

    assert world.now - begun == 3 * 7 * SECOND
    outcomes = {result.account.name: result for result in report.results}
    plain = [result for name, result in outcomes.items() if name.startswith("plain")]
    assert {result.outcome for result in plain} == {Outcome.PUBLISHED}
    signing = [result for name, result in outcomes.items() if name.startswith("signs")]
    failed = [each for each in signing if each.outcome is Outcome.FAILED]
    put_off = [each for each in signing if each.outcome is Outcome.NOT_ATTEMPTED]
    assert (len(failed), len(put_off)) == (3, 37)
    assert all(isinstance(each.error, HostStoppedError) for each in put_off)

    world.faults.fix()
    world.sweep(after=TICK)
    world.sweep(after=TICK)
    assert all(world.tags(f"signs-{number:03}") == {} for number in range(40))


def test_keys_that_some_may_not_use_keep_nobody_else_from_signing() -> None:
    world = fleet(12)
    world.faults.once("before sign", *(signing_denied() for _ in range(6)))
    report = world.sweep()

    assert report.published == 12 + 6
