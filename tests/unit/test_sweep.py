"""All accounts of a deployment: none waits for another's host, defect or lag."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from local.secrets_manager.memory import Secret
from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    HOUR,
    MINUTE,
    PASSWORD,
    START,
    TICK,
    UNTIL_DUE,
    FakeTokenEndpoint,
    RefreshMode,
    RunKilledError,
    World,
    broken,
    denied,
    forbidden,
    lost_connection,
    no_connection,
    response,
    throttled,
    timed_out,
    too_many_requests,
    unavailable,
)
from token_refresher.errors import (
    FailureClass,
    OutOfTimeError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.model import TokenVersion, token_digest
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason
from token_refresher.ports import CURRENT
from token_refresher.records import FAILURE_TAG, FailureRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse
    from token_refresher.sweep import Report

BY_HAND = "published-by-hand-00000000000000000000"
OTHER_SITE = {**CLIENT_CREDENTIALS, "provider": "otomoto.pl"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def one_by_one() -> World:
    """Accounts are refreshed one after the other, so that their order shows."""
    return World(max_workers=1)


def outcomes(report: Report) -> dict[str, str]:
    return {result.account.name: str(result.outcome) for result in report.results}


def reasons(report: Report) -> dict[str, str]:
    return {result.account.name: str(result.reason) for result in report.results}


def publish_by_hand(world: World, token: object, account: str = ACCOUNT) -> None:
    secret = world.store.tokens.setdefault(account, Secret())
    secret.put(BY_HAND, token if isinstance(token, str) else json.dumps(token), [CURRENT])


# What a sweep sees.


def test_a_deployment_without_accounts_is_swept(world: World) -> None:
    assert world.sweep().accounts == ()


def test_all_accounts_that_are_due_are_refreshed_in_one_sweep(world: World) -> None:
    names = {f"dealer-{number}" for number in range(40)}
    for name in names:
        world.add(PASSWORD, name)

    assert outcomes(world.sweep()) == dict.fromkeys(names, "published")


def test_orphaned_and_awaiting_accounts_are_counted_apart_and_not_managed(world: World) -> None:
    world.add(PASSWORD, "orphan")
    world.sweep()
    del world.store.credentials["orphan"]
    world.store.credentials["awaiting"] = Secret()
    report = world.sweep(after=TICK)

    assert reasons(report) == {"orphan": "orphaned", "awaiting": "awaiting credentials"}
    assert (report.count(Reason.ORPHANED), report.count(Reason.AWAITING_CREDENTIALS)) == (1, 1)
    assert report.managed == []
    assert world.calls == []


def test_an_orphans_token_is_not_read_whoever_published_it(world: World) -> None:
    publish_by_hand(world, {"access_token": "a"})
    world.sweep()

    assert world.calls == []


def test_only_the_accounts_that_were_named_are_refreshed(world: World) -> None:
    world.add(PASSWORD, "asked")
    world.add(PASSWORD, "other")

    assert outcomes(world.sweep(accounts=["asked"])) == {"asked": "published"}
    assert "list" not in world.store.calls
    assert "other" not in world.store.tokens


def test_a_listing_that_fails_is_an_error_of_the_sweep(world: World) -> None:
    world.faults.once("before list", denied())

    with pytest.raises(SecretStoreError):
        world.sweep()


# A listing that lags.


def test_a_listing_that_lags_behind_the_credentials_costs_no_second_request(world: World) -> None:
    world.add(PASSWORD)
    world.sweep()
    world.store.freeze_listing_of_credentials()
    world.add(PASSWORD, scope="read")
    world.sweep(after=2 * HOUR, accounts=[ACCOUNT])
    assert world.grants == ["password"]
    report = world.sweep(after=MINUTE)

    assert report.results == ()
    assert world.calls == ["describe", "read credentials"]
    assert world.grants == []


def test_a_listing_that_lags_behind_a_failure_does_not_hammer(world: World) -> None:
    world.add(PASSWORD)
    world.store.freeze_listing()
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"))
    world.sweep()

    assert reasons(world.sweep(after=TICK)) == {ACCOUNT: "backing off"}
    assert world.grants == []


# Tokens that somebody else published.


@pytest.mark.parametrize(
    "token",
    [
        pytest.param({"access_token": "a"}, id="that tells none"),
        pytest.param({"access_token": "a", "expires_at": 1e300}, id="beyond all calendars"),
        pytest.param({"access_token": "a", "expires_at": "tomorrow"}, id="that tells it as a text"),
        pytest.param("", id="that is empty"),
        pytest.param(" {}\n", id="that is an empty object"),
        pytest.param("null", id="that is null"),
        pytest.param(None, id="that lost its value"),
    ],
)
def test_an_external_token_of_unknown_expiry_is_replaced(world: World, token: object) -> None:
    world.add(PASSWORD)
    publish_by_hand(world, token)
    if token is None:
        del world.store.tokens[ACCOUNT].versions[BY_HAND]

    assert reasons(world.sweep()) == {ACCOUNT: "expiry unknown"}
    assert world.access_token() == "access-token-1"


@pytest.mark.parametrize(
    "held",
    [
        pytest.param("made-up", id="no JSON"),
        pytest.param({"username": "u", "password": "p"}, id="another program's object"),
        pytest.param({"expires_at": "tomorrow"}, id="an object with an expiry alone"),
        pytest.param({"access_token": "a", "expires_in": 3600}, id="a token response"),
        pytest.param({"access_token": 5}, id="a token that is a number"),
        pytest.param(["access_token"], id="a list"),
    ],
)
def test_what_is_no_token_is_never_overwritten_unasked(world: World, held: object) -> None:
    world.add(PASSWORD)
    publish_by_hand(world, held)
    secret = world.store.tokens[ACCOUNT]
    before = dict(secret.versions)
    world.sweep()
    report = world.sweep(after=TICK)

    # Looked at in every sweep, and nothing is asked for.
    [result] = report.results
    assert (result.outcome, world.grants) == (Outcome.FAILED, [])
    assert world.tags()["failure"].startswith("action required: external_secret/1/")
    assert (secret.versions, secret.stages[CURRENT]) == (before, BY_HAND)


def test_what_is_no_token_is_overwritten_by_force(world: World) -> None:
    world.add(PASSWORD)
    publish_by_hand(world, "made-up")
    world.sweep()

    assert outcomes(world.sweep(force=True)) == {ACCOUNT: "published"}
    assert world.access_token() == "access-token-1"


def test_what_is_taken_away_or_made_a_token_needs_nobody_any_more(world: World) -> None:
    world.add(PASSWORD)
    publish_by_hand(world, "made-up")
    world.sweep()
    world.store.tokens[ACCOUNT].put("another-" + BY_HAND, '{"access_token": "a"}', [CURRENT])

    assert outcomes(world.sweep(after=TICK)) == {ACCOUNT: "published"}


def test_what_replaced_a_token_of_ours_is_replaced_in_turn(world: World) -> None:
    world.add(PASSWORD)
    world.sweep()
    publish_by_hand(world, "placeholder")

    assert outcomes(world.sweep(after=TICK)) == {ACCOUNT: "published"}


LEAST = "00010101T000000Z"


@pytest.mark.parametrize(
    ("version_id", "token"),
    [
        # The least moment of some platforms, which stands for "none".
        pytest.param(BY_HAND, {"access_token": "a", "expires_at": -62135596800}, id="of a token"),
        pytest.param(f"{LEAST}-{LEAST}-{{}}-{'f' * 12}", {}, id="of a version id"),
    ],
)
def test_the_beginning_of_the_calendar_stops_nobody(
    world: World, version_id: str, token: object
) -> None:
    world.add(PASSWORD)
    world.add(PASSWORD, "other")
    world.store.tokens[ACCOUNT] = Secret()
    version_id = version_id.format(world.credentials_digest())
    world.store.tokens[ACCOUNT].put(version_id, json.dumps(token), [CURRENT])

    assert outcomes(world.sweep()) == {ACCOUNT: "published", "other": "published"}


@pytest.mark.parametrize(
    ("lapse", "reason"),
    [(UNTIL_DUE - MINUTE, None), (UNTIL_DUE, "nearing expiry")],
    ids=["before it is due", "when it is due"],
)
def test_an_external_token_without_an_age_is_due_by_its_expiry(
    world: World, lapse: timedelta, reason: str | None
) -> None:
    world.add(PASSWORD)
    expires_at = world.now.timestamp() + 43200
    publish_by_hand(world, {"access_token": "a", "expires_at": expires_at})

    assert reasons(world.sweep(after=lapse)).get(ACCOUNT) == reason


def test_an_external_token_that_cannot_be_read_stops_nobody_else(world: World) -> None:
    world.add(PASSWORD, "other")
    world.add(PASSWORD)
    publish_by_hand(world, {"access_token": "a"})
    world.faults.always("before read published", denied)

    assert outcomes(world.sweep()) == {ACCOUNT: "failed", "other": "published"}
    assert world.tags()["failure"].startswith("action required: AccessDeniedException/1/")


def test_external_tokens_are_read_by_the_workers_and_not_before(world: World) -> None:
    for number in range(4):
        publish_by_hand(world, {"expires_at": world.now.timestamp() + 43200}, f"external-{number}")
        world.add(PASSWORD, f"external-{number}")
    ready = threading.Barrier(4, timeout=30)
    world.faults.always("before read published", lambda: _meets(ready))
    report = world.sweep()

    # They waited for each other, so that none was read after another.
    assert outcomes(report) == dict.fromkeys(outcomes(report), "failed")
    assert len(outcomes(report)) == 4


def _meets(ready: threading.Barrier) -> SecretStoreError:
    ready.wait()
    return throttled()


def test_an_external_token_of_an_account_without_credentials_is_not_read(world: World) -> None:
    publish_by_hand(world, {"access_token": "a"})
    world.store.credentials[ACCOUNT] = Secret()
    world.sweep()

    assert world.calls == []


# The order.


def test_what_is_about_to_end_comes_first_then_the_fewest_failures_then_the_living(
    one_by_one: World,
) -> None:
    world = one_by_one
    # By name: when the token expires, and how often it has failed.
    for name, minutes, failures in (
        ("failed twice", 16, 2), ("dead", -60, 0), ("failed once", 16, 1), ("later", 60, 0),
        ("soon", 30, 0), ("ending", 15, 3),
    ):  # fmt: skip
        world.add(CLIENT_CREDENTIALS, name)
        digest = world.credentials_digest(name)
        expires_at = START + minutes * MINUTE
        version = TokenVersion(START - 12 * HOUR, expires_at, digest, token_digest(name, "t"))
        secret = world.store.tokens.setdefault(name, Secret())
        secret.put(str(version), "{}", [CURRENT])
        if failures:
            record = FailureRecord(
                FailureClass.TRANSIENT, "timeout", failures, START, START, digest
            )
            secret.tags[FAILURE_TAG] = record.to_tag()
    order = [result.account.name for result in world.sweep().results]

    assert order == ["ending", "soon", "later", "dead", "failed once", "failed twice"]


def test_healthy_accounts_do_not_wait_behind_those_that_hang(one_by_one: World) -> None:
    world = one_by_one
    for number in range(3):
        world.add(OTHER_SITE, f"hung-{number}")
    world.endpoint.fail(timed_out, host="www.otomoto.pl")
    world.sweep()
    world.add(CLIENT_CREDENTIALS, "healthy")
    report = world.sweep(after=TICK)

    assert report.results[0].account.name == "healthy"
    assert outcomes(report)["healthy"] == "published"


# An event that names accounts.


def test_one_accounts_refusal_in_an_event_does_not_fail_the_others(world: World) -> None:
    world.add(PASSWORD, "served")
    world.faults.once("before describe credentials", denied())
    report = world.sweep(accounts=["refused", "served"])

    assert outcomes(report) == {"refused": "failed", "served": "published"}
    assert [account.name for account in report.accounts] == ["served"]


def test_an_event_fails_where_none_of_its_accounts_may_be_described(world: World) -> None:
    world.faults.always("before describe credentials", denied)

    with pytest.raises(SecretStoreError, match="AccessDeniedException"):
        world.sweep(accounts=["a", "b"])


# Who needs action is told in every sweep.


def test_an_account_that_needs_action_is_told_whether_or_not_it_was_tried(world: World) -> None:
    world.add(PASSWORD, "refused")
    world.add(CLIENT_CREDENTIALS, "fresh-and-refused")
    world.add(CLIENT_CREDENTIALS, "healthy")
    world.sweep()
    world.endpoint.fail(lambda: TokenRequestError("invalid_client"))
    world.sweep(accounts=["fresh-and-refused", "refused"], force=True, after=MINUTE)
    report = world.sweep(after=TICK)

    assert reasons(report) == dict.fromkeys(["refused", "fresh-and-refused"], "backing off")
    assert world.grants == []


# What seemed to be a refusal, and is a block.


def test_a_block_is_nobodys_refusal(one_by_one: World) -> None:
    world = one_by_one
    names = ("a", "b", "c", "d")
    for name in names:
        world.add(CLIENT_CREDENTIALS, name)
    world.endpoint.fail(forbidden)
    report = world.sweep()

    assert outcomes(report) == dict.fromkeys("abc", "failed") | {"d": "not attempted"}
    for name in "abc":
        assert world.tags(name).keys() == {"failure"}
        assert world.tags(name)["failure"].startswith("transient: blocked/1/")
    assert world.tags("d") == {}
    assert not any(map(report.needs_action, report.managed))


def test_a_block_leaves_the_count_of_refusals_before_it(one_by_one: World) -> None:
    world = one_by_one
    for name in ("a", "b", "c"):
        world.add(PASSWORD, name)
    # One account's refusal is its own.
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"))
    world.sweep(accounts=["a"])
    before = world.tags("a")["refusals"]
    world.endpoint.fail(forbidden)
    world.sweep(after=15 * MINUTE)

    assert {name: world.tags(name).get("refusals") for name in "abc"} == {
        "a": before, "b": None, "c": None,
    }  # fmt: skip
    assert world.tags("a")["failure"].startswith("transient: blocked/2/")


class OneByOneEndpoint(FakeTokenEndpoint):
    """Answers a password once two others have been refused."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.now, world.faults)
        self.refused = threading.Semaphore(0)
        self.asked = threading.Event()

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        grant_type = grant.parameters["grant_type"]
        if grant_type == "password":
            self.asked.set()
            assert self.refused.acquire(timeout=30)
            assert self.refused.acquire(timeout=30)
        elif grant_type == "client_credentials":
            assert self.asked.wait(timeout=30)
        try:
            return super().request(client, grant)
        except TokenRequestError:
            if grant_type == "client_credentials":
                self.refused.release()
            raise


def test_who_has_a_token_all_the_same_has_met_no_block() -> None:
    world = World(max_workers=3)
    world.endpoint = OneByOneEndpoint(world)
    world.add(PASSWORD, "a")
    world.endpoint.asked.set()
    world.endpoint.refused.release(2)
    world.start_environment()
    world.sweep()
    world.endpoint.asked.clear()
    for name in ("b", "c"):
        world.add(CLIENT_CREDENTIALS, name)
    # The refresh token of `a` is the first in the row; its password is asked for meanwhile.
    for grant_type in ("refresh_token", "client_credentials"):
        world.endpoint.fail(forbidden, grant_type=grant_type)
    report = world.sweep(after=UNTIL_DUE)

    assert outcomes(report) == {"a": "published", "b": "failed", "c": "failed"}
    assert world.tags("a") == {}


def test_a_refresh_token_that_met_a_block_is_unanswered_and_not_refused(one_by_one: World) -> None:
    world = one_by_one
    for name in ("a", "b", "c"):
        world.add_refresh_only(name)
    world.endpoint.fail(forbidden)
    world.sweep()

    for name in ("a", "b", "c"):
        assert world.tags(name)["lease"] == f"{world.lease_id(name)}/unanswered"


# One account's trouble is not the others'.


def test_an_unexpected_exception_in_one_account_does_not_stop_the_others(world: World) -> None:
    for name in ("a", "b", "c"):
        world.add(CLIENT_CREDENTIALS, name)
    world.add(OTHER_SITE, "broken")
    world.endpoint.fail(lambda: KeyError("made-up-client-secret"), host="www.otomoto.pl")
    report = world.sweep()

    assert outcomes(report) == {
        "a": "published",
        "b": "published",
        "c": "published",
        "broken": "failed",
    }
    errors = [result.error for result in report.results if result.error is not None]
    assert [type(error) for error in errors] == [UnexpectedError]
    assert "made-up-client-secret" not in f"{report!r} {errors[0]} {world.tags('broken')}"


def test_what_does_not_fit_into_an_invocation_is_left_for_the_next(one_by_one: World) -> None:
    world = one_by_one
    for number in range(10):
        world.add(CLIENT_CREDENTIALS, f"dealer-{number}")
    world.faults.always("before request", lambda: _slow(world))
    report = world.sweep()
    left = [result for result in report.results if result.outcome is Outcome.NOT_ATTEMPTED]

    assert len(left) == 5
    assert all(isinstance(result.error, OutOfTimeError) for result in left)
    assert all(result.reason is Reason.NO_TOKEN for result in left)
    assert len(world.store.tokens) == 5
    world.faults.fix()
    assert len(world.sweep(after=TICK).results) == 10


def _slow(world: World) -> Exception:
    world.now += timedelta(seconds=40)
    return TokenRequestError("invalid_scope")


def test_a_failure_that_was_kept_is_forgotten_when_somebody_elses_run_succeeds(
    world: World,
) -> None:
    world.add(PASSWORD)
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.faults.once("before tag", denied())
    world.sweep()
    warm = world.sweeper
    world.start_environment()
    world.sweep(after=20 * MINUTE)
    world.sweeper = warm
    report = world.sweep(after=TICK)

    assert report.results == ()
    assert [account.counting_failure for account in report.accounts] == [None]


# Hosts.


def add_many(world: World, number: int = 6) -> None:
    for index in range(number):
        world.add(CLIENT_CREDENTIALS, f"dealer-{index}")


@pytest.mark.parametrize("between", [response(), unavailable()], ids=["a token", "a 503"])
def test_a_response_between_lost_connections_starts_the_count_again(
    one_by_one: World, between: Exception
) -> None:
    add_many(one_by_one)
    one_by_one.endpoint.answer(timed_out(), timed_out(), between, timed_out(), timed_out())
    one_by_one.sweep()

    assert len(one_by_one.grants) == 6


def test_a_stopped_host_stops_no_other(one_by_one: World) -> None:
    add_many(one_by_one)
    one_by_one.add(OTHER_SITE, "elsewhere")
    one_by_one.endpoint.fail(too_many_requests, host="www.autovit.ro")

    assert outcomes(one_by_one.sweep())["elsewhere"] == "published"


def test_a_response_that_was_journaled_is_published_though_its_host_is_stopped(
    one_by_one: World,
) -> None:
    world = one_by_one
    world.add(PASSWORD, "journaled")
    world.faults.once("before publish", denied())
    world.sweep()
    world.add(CLIENT_CREDENTIALS, "first")
    publish_by_hand(world, {"expires_at": 0}, "first")
    world.endpoint.fail(too_many_requests)
    outcome = outcomes(world.sweep(after=TICK))

    assert outcome == {"first": "failed", "journaled": "published"}


def test_each_requests_duration_is_told_answered_or_not(one_by_one: World) -> None:
    world = one_by_one
    add_many(world, 2)
    world.endpoint.answer(broken())

    def takes_a_second(_: str) -> None:
        world.now += timedelta(seconds=1)

    # list; describe, read, create, request.
    world.faults.plan(8, takes_a_second)
    assert world.sweep().request_seconds == (1.0, 0.0)


# Runs that die, on whatever line.


def first_token(world: World) -> None:
    world.add(PASSWORD)


def first_token_by_an_initial_refresh_token(world: World) -> None:
    world.add_refresh_only()


def due_again(world: World) -> None:
    world.add(PASSWORD, verify_url="https://www.autovit.ro/api/open/account/adverts")
    world.sweep()
    world.now += UNTIL_DUE


def due_again_without_refresh_tokens(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    world.sweep()
    world.now += UNTIL_DUE


def due_again_with_a_kept_refresh_token(world: World) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    due_again(world)


def due_again_with_a_deleted_refresh_token(world: World) -> None:
    world.endpoint.mode = RefreshMode.OMITS_AND_DELETES
    due_again(world)
    world.sweep()
    world.now += UNTIL_DUE


def due_again_where_the_refresh_grant_is_refused(world: World) -> None:
    world.endpoint.mode = RefreshMode.REFUSES
    due_again(world)


def after_an_outage(world: World) -> None:
    due_again(world)
    world.endpoint.fail(unavailable)
    world.sweep()
    world.endpoint.fail(None)
    world.now += TICK


def with_an_unpublished_response(world: World) -> None:
    due_again(world)
    world.faults.once("before publish", denied())
    world.sweep()
    world.now += TICK


def refresh_only(world: World) -> None:
    world.add_refresh_only()
    world.sweep()
    world.now += UNTIL_DUE


def refresh_only_with_a_kept_refresh_token(world: World) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    refresh_only(world)


def refresh_only_after_an_outage(world: World) -> None:
    refresh_only(world)
    world.endpoint.fail(unavailable)
    world.sweep()
    world.endpoint.fail(None)
    world.now += TICK


FLOWS = [
    first_token,
    first_token_by_an_initial_refresh_token,
    due_again,
    due_again_without_refresh_tokens,
    due_again_with_a_kept_refresh_token,
    due_again_with_a_deleted_refresh_token,
    due_again_where_the_refresh_grant_is_refused,
    after_an_outage,
    with_an_unpublished_response,
    refresh_only,
    refresh_only_with_a_kept_refresh_token,
    refresh_only_after_an_outage,
]
# Between the response's first byte and the journal the loss is unavoidable without another grant.
RESPONSE_IS_LOST = frozenset({"after request", "before journal"})
MOST_POINTS = 24
IN_FORTY_MINUTES = 9
# A refresh token whose lease was not answered waits for the last half hour of the token, which
# has ninety minutes where it is due.
BEFORE_THE_EXPIRY = 18


def dies(_: str) -> BaseException:
    return RunKilledError()


def fails(point: str) -> BaseException | None:
    """What the other side does at its worst, short of ending the run."""
    if point.endswith(" list"):
        return None
    if point.endswith(" request"):
        return no_connection() if point.startswith("before") else lost_connection()
    return None if point.endswith(" verify") else throttled()


def sweep_whatever_happens(world: World) -> None:
    try:
        world.sweep()
    except RunKilledError:
        world.start_environment()


def interrupted(
    flow: Callable[[World], None], *faults: tuple[int, Callable[[str], BaseException | None]]
) -> tuple[World, list[str]]:
    """Interrupt as many sweeps, a tick apart; tell at which points that was."""
    world, points = World(max_workers=1), []
    flow(world)
    for number, fault in faults:
        world.faults.reset()
        world.faults.plan(number, fault)
        sweep_whatever_happens(world)
        points += world.faults.points[number : number + 1]
        world.now += TICK
    world.faults.reset()
    return world, points


def assert_recovers(
    world: World, *, had_token: bool, context: object, ticks: int = IN_FORTY_MINUTES
) -> None:
    """In time a new token comes; until then the published one stays live."""
    for _ in range(ticks):
        assert not had_token or world.endpoint.accepts(world.access_token()), context
        world.sweep()
        world.now += TICK
        token = world.token()
        if token is not None and token["expires_at"] - world.now.timestamp() > 10 * 3600:
            break
    else:
        pytest.fail(f"no new token after {context}")
    assert world.endpoint.accepts(world.access_token()), context
    # A failure that was recorded, and could not be cleared, is tried once more: no sooner than
    # another lease can be had.
    world.sweep(after=15 * MINUTE)
    assert world.sweep(after=HOUR).results == (), context


def assert_nothing_spent_twice(world: World, *, context: object) -> None:
    assert world.endpoint.spent_came_back == 0, context
    assert world.endpoint.revoked == set(), context
    if world.endpoint.mode is RefreshMode.ROTATES:
        assert max(world.endpoint.redeemed.values(), default=0) <= 1, context


def patience_of(flow: Callable[[World], None]) -> int:
    """How many ticks it may take."""
    waits = {refresh_only, refresh_only_with_a_kept_refresh_token, refresh_only_after_an_outage}
    return BEFORE_THE_EXPIRY if flow in waits else IN_FORTY_MINUTES


def is_unavoidable(flow: Callable[[World], None], points: list[str]) -> bool:
    """Whether a refresh-only account lost the response to a rotating refresh token."""
    only_grant = {
        first_token_by_an_initial_refresh_token,
        refresh_only,
        refresh_only_after_an_outage,
    }
    return flow in only_grant and not RESPONSE_IS_LOST.isdisjoint(points)


@pytest.mark.parametrize("fault", [dies, fails])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_run_may_end_at_any_call_and_the_next_ones_make_up_for_it(
    flow: Callable[[World], None], fault: Callable[[str], BaseException | None]
) -> None:
    had_token = flow not in {first_token, first_token_by_an_initial_refresh_token}
    for number in range(MOST_POINTS):
        world, points = interrupted(flow, (number, fault))
        # A write that fails is repeated in the same run; only a kill loses that response.
        if is_unavoidable(flow, points) and (fault is dies or points == ["after request"]):
            continue
        assert_recovers(world, had_token=had_token, context=points, ticks=patience_of(flow))
        assert_nothing_spent_twice(world, context=points)


@pytest.mark.parametrize("faults", [(dies, dies), (dies, fails), (fails, dies), (fails, fails)])
@pytest.mark.parametrize("flow", [due_again, refresh_only])
def test_two_runs_in_a_row_may_end_at_any_calls(
    flow: Callable[[World], None],
    faults: tuple[Callable[[str], BaseException | None], Callable[[str], BaseException | None]],
) -> None:
    for first in range(MOST_POINTS):
        for second in range(MOST_POINTS):
            world, points = interrupted(flow, (first, faults[0]), (second, faults[1]))
            if len(points) < 2:
                break
            if is_unavoidable(flow, points):
                continue
            assert_recovers(world, had_token=True, context=points, ticks=patience_of(flow))
            assert_nothing_spent_twice(world, context=points)


def test_a_flow_has_no_more_points_than_are_tried() -> None:
    for flow in FLOWS:
        world, _ = interrupted(flow)
        world.sweep()
        assert len(world.faults.points) <= MOST_POINTS


@pytest.mark.parametrize("point", sorted(RESPONSE_IS_LOST))
def test_a_refresh_only_account_that_lost_its_response_says_what_must_be_done(point: str) -> None:
    world = World(max_workers=1)
    refresh_only(world)
    world.faults.once(point, RunKilledError())
    sweep_whatever_happens(world)
    world.sweep_for(HOUR - TICK)
    # While the token lives it is sent in the last half hour alone.
    assert world.endpoint.spent_came_back == 0
    world.sweep_for(2 * TICK)

    assert world.endpoint.spent_came_back == 1
    assert world.tags()["failure"].startswith("action required: invalid_grant/")
    world.add_refresh_only()
    assert outcomes(world.sweep()) == {ACCOUNT: "published"}


@pytest.mark.parametrize("flow", FLOWS)
def test_a_run_may_overlap_another_at_any_call(flow: Callable[[World], None]) -> None:
    for number in range(MOST_POINTS):
        world = World(max_workers=1)
        flow(world)
        world.faults.reset()
        world.faults.plan(number, partial(another_run, world))
        world.sweep()
        points = world.faults.points[number : number + 1]
        world.now += TICK
        assert_recovers(world, had_token=False, context=points, ticks=patience_of(flow))
        assert_nothing_spent_twice(world, context=points)


def another_run(world: World, _: str) -> None:
    world.beside().sweep()
