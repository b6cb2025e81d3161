"""What becomes of one account, whatever line a run dies on and whoever runs beside it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    CLIENT,
    CLIENT_CREDENTIALS,
    HOUR,
    MINUTE,
    PARTNER,
    PASSWORD,
    TICK,
    UNTIL_DUE,
    RefreshMode,
    RunKilledError,
    World,
    broken,
    denied,
    firewall,
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
    RefreshTokenLostError,
    UnexpectedError,
)
from token_refresher.model import TokenVersion
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.policy import (
    FAILURES,
    Failure,
    Reason,
    failure_class_of,
    needs_action,
)
from token_refresher.ports import CURRENT, is_claim_id
from token_refresher.refresh import Caution, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from token_refresher.oauth.token_response import TokenResponse

FOUR_CALLS = ["describe", "read credentials", "describe", "publish"]
SIX_CALLS = ["describe", "read credentials", "read journal", "claim", "journal", "publish"]
VERIFY_URL = "https://www.autovit.ro/api/open/account/adverts"


@pytest.fixture
def world() -> World:
    return World()


def due_again(world: World, credentials: Mapping[str, object] = PASSWORD, **more: object) -> World:
    """An account that has refreshed once, when its token is due again."""
    world.add(credentials, **more)
    world.sweep()
    world.now += UNTIL_DUE
    return world


def refresh_only_due_again(world: World, **more: object) -> World:
    """A refresh-only account that has redeemed its seed, when its token is due again."""
    world.add_refresh_only(**more)
    world.sweep()
    world.now += UNTIL_DUE
    return world


def code(error: Exception | None) -> str:
    """The code of a refresh's failure."""
    assert isinstance(error, FAILURES)
    return error.code


def killed(world: World, point: str) -> None:
    """Sweep, and die at a point; the next sweep is another environment's."""
    world.faults.once(point, RunKilledError())
    with pytest.raises(RunKilledError):
        world.sweep()
    world.start_environment()


# What a refresh costs.


def test_a_first_token_costs_four_calls_and_one_for_creating_its_secret(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.calls == ["describe", "read credentials", "create", "describe", "publish"]


def test_a_refresh_without_a_refresh_token_costs_four_calls(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS).sweep()

    assert world.calls == FOUR_CALLS


@pytest.mark.parametrize("credentials", [PASSWORD, PARTNER], ids=["password", "partner"])
def test_a_refresh_by_refresh_token_costs_six_calls(
    world: World, credentials: Mapping[str, object]
) -> None:
    due_again(world, credentials).sweep()

    assert (world.calls, world.grants) == (SIX_CALLS, ["refresh_token"])


def test_a_seed_costs_six_calls_and_one_for_creating_the_token_secret(world: World) -> None:
    seed = world.add_refresh_only()
    world.sweep()

    assert world.calls == [*SIX_CALLS[:3], "create", *SIX_CALLS[3:]]
    assert [request["refresh_token"] for request in world.endpoint.requests] == [seed]


# What is published.


def test_the_journal_has_the_version_id_that_the_published_version_has(world: World) -> None:
    world.add(PASSWORD)
    world.sweep()

    assert world.journal_id() == world.version_id()


def test_the_scope_of_the_grant_outlives_an_answer_that_does_not_name_it(world: World) -> None:
    due_again(world, scope="as-requested")
    world.endpoint.scope = None
    world.sweep()

    token = world.token()
    assert token is not None
    assert token["scope"] == "adverts-write read"


def test_without_any_scope_in_the_answer_it_is_as_requested(world: World) -> None:
    world.endpoint.scope = None
    world.add(PASSWORD, scope="as-requested")
    world.sweep()

    token = world.token()
    assert token is not None
    assert token["scope"] == "as-requested"


# Refresh modes.


def test_a_rotating_refresh_token_is_redeemed_once_in_each_refresh(world: World) -> None:
    due_again(world).sweep_for(timedelta(days=3))

    assert world.endpoint.spent_came_back == 0
    assert set(world.endpoint.redeemed.values()) == {1}
    assert len(world.endpoint.redeemed) == 7


def test_a_refresh_token_that_the_answer_does_not_name_is_kept(world: World) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    due_again(world).sweep_for(timedelta(days=3))

    assert dict(world.endpoint.redeemed) == {"refresh-token-1": 7}


def test_a_server_that_deletes_refresh_tokens_is_served_by_the_primary_grant_in_the_same_run(
    world: World,
) -> None:
    world.endpoint.mode = RefreshMode.OMITS_AND_DELETES
    due_again(world).sweep()
    world.now += UNTIL_DUE

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["refresh_token", "password"]


def test_a_refused_refresh_grant_is_not_tried_again(world: World) -> None:
    world.endpoint.mode = RefreshMode.REFUSES
    due_again(world)

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["refresh_token", "password"]
    for _ in range(2):
        world.sweep(after=UNTIL_DUE)
        assert world.grants == ["password"]
    assert world.calls == [*FOUR_CALLS[:2], "read journal", *FOUR_CALLS[2:]]


def test_an_primary_grant_without_a_refresh_token_retires_the_journaled_one(world: World) -> None:
    due_again(world)
    world.endpoint.issues_refresh_tokens = False
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.sweep()
    world.sweep(after=UNTIL_DUE)

    assert world.grants == ["password"]


def test_use_refresh_token_false_uses_and_journals_none(world: World) -> None:
    due_again(world, use_refresh_token=False).sweep()

    assert (world.calls, world.grants) == (FOUR_CALLS, ["password"])
    assert world.journal() is None


def test_the_setting_ignore_serves_repeatable_grants_without_touching_the_credentials() -> None:
    world = due_again(World(uses_refresh_tokens=False))
    world.sweep()

    assert (world.calls, world.grants) == (FOUR_CALLS, ["password"])
    assert list(world.store.credentials[ACCOUNT].stages) == [CURRENT]


def test_the_setting_ignore_says_that_a_refresh_only_account_cannot_be_served() -> None:
    world = World(uses_refresh_tokens=False)
    world.add_refresh_only()
    result = world.refresh()

    assert code(result.error) == "refresh_tokens_ignored"
    assert "REFRESH_TOKENS=use" in str(result.error)
    assert world.grants == []


def test_a_journal_that_is_not_readable_is_as_good_as_none(world: World) -> None:
    due_again(world)
    secret = world.store.credentials[ACCOUNT]
    secret.versions[world.journal_id()] = "not a journal"

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


# When the primary grant follows a failed refresh grant in the same run.


@pytest.mark.parametrize(
    ("failure", "grants"),
    [
        pytest.param(TokenRequestError("invalid_grant"), 2, id="dead refresh token: primary grant"),
        pytest.param(
            TokenRequestError("invalid_request"), 2, id="malformed request: primary grant"
        ),
        pytest.param(TokenRequestError("some text"), 2, id="unrecognised error: primary grant"),
        pytest.param(TokenRequestError("server_error"), 2, id="server's error: primary grant"),
        pytest.param(TokenRequestError("invalid_client"), 1, id="wrong client: nothing more"),
        pytest.param(unavailable(), 2, id="503: primary grant"),
        pytest.param(broken(), 2, id="500: primary grant"),
        pytest.param(lost_connection(), 2, id="lost response: primary grant"),
        pytest.param(timed_out(), 2, id="timeout: primary grant"),
        pytest.param(no_connection(), 1, id="no connection: nothing more"),
        pytest.param(too_many_requests(), 1, id="429: nothing more"),
        pytest.param(firewall(), 1, id="a firewall's page: nothing more"),
        pytest.param(response(access_token=None), 2, id="answer without a token: primary grant"),
        pytest.param(response(expires_in=None), 2, id="answer without a lifetime: primary grant"),
    ],
)
def test_the_primary_grant_follows_unless_the_host_must_be_left_alone(
    world: World, failure: Failure | TokenResponse, grants: int
) -> None:
    due_again(world)
    world.endpoint.answer(failure)
    report = world.sweep()

    assert world.grants == ["refresh_token", "password"][:grants]
    expected = Outcome.PUBLISHED if grants == 2 else Outcome.FAILED
    assert [result.outcome for result in report.results] == [expected]


def test_the_failure_is_the_primary_grants_where_that_was_tried(world: World) -> None:
    due_again(world)
    world.endpoint.answer(TokenRequestError("invalid_grant"), TokenRequestError("invalid_scope"))

    assert code(world.refresh().error) == "invalid_scope"
    assert world.tags()["error"] == "action required: invalid_scope"


def test_a_dead_refresh_token_is_not_sent_again_while_the_primary_grant_fails(world: World) -> None:
    due_again(world)
    world.endpoint.answer(TokenRequestError("invalid_grant"), TokenRequestError("invalid_grant"))
    world.sweep()
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"))
    world.sweep(after=20 * MINUTE)

    assert world.grants == ["password"]


def test_a_host_that_was_stopped_meanwhile_keeps_the_refresh_grants_failure(world: World) -> None:
    world = World(max_workers=1)
    for name in ("a", "b"):
        world.add(PASSWORD, name)
    world.sweep()
    world.endpoint.answer(lost_connection(), lost_connection(), lost_connection())
    report = world.sweep(after=UNTIL_DUE)

    # The third lost connection is b's refresh grant; its primary grant is not tried.
    assert world.grants == ["refresh_token", "password", "refresh_token"]
    assert [code(result.error) for result in report.results] == ["connection_lost"] * 2


# Claims.


def test_a_claim_is_written_under_an_id_that_follows_from_the_journals(world: World) -> None:
    due_again(world)
    killed(world, "after claim")
    claims = [each for each in world.store.credentials[ACCOUNT].versions if is_claim_id(each)]
    content = json.loads(world.store.credentials[ACCOUNT].versions[claims[0]] or "")

    assert len(claims) == 1
    assert content["claimed_at"] == int(world.now.timestamp())
    assert content["is_resend"] is False
    assert world.version_id() == world.journal_id()


def test_a_run_that_loses_the_claim_leaves_the_account_alone(world: World) -> None:
    due_again(world)
    killed(world, "after claim")

    result = world.refresh(after=MINUTE)
    assert (result.outcome, result.error) == (Outcome.CLAIMED_BY_ANOTHER_RUN, None)
    assert world.grants == []
    assert world.tags() == {}


def test_force_does_not_override_a_claim(world: World) -> None:
    due_again(world)
    killed(world, "after claim")

    assert world.refresh(after=MINUTE, force=True).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN


def test_a_claim_that_cannot_be_read_yet_counts_as_another_runs(world: World) -> None:
    due_again(world)
    killed(world, "after claim")
    for version_id in world.store.credentials[ACCOUNT].versions:
        if is_claim_id(version_id):
            world.store.credentials[ACCOUNT].versions[version_id] = b""

    assert world.refresh(after=HOUR).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN


@pytest.mark.parametrize("point", ["after claim", "after request", "before journal"])
def test_an_abandoned_claim_makes_a_repeatable_account_use_its_primary_grant(
    world: World, point: str
) -> None:
    due_again(world)
    killed(world, point)

    assert world.refresh(after=2 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]
    assert world.endpoint.spent_came_back == 0


@pytest.mark.parametrize("error", [throttled, denied])
def test_a_claim_that_cannot_be_written_makes_a_repeatable_account_use_its_primary_grant(
    world: World, error: Callable[[], Failure]
) -> None:
    due_again(world)
    world.faults.once("before claim", error())

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_a_claim_that_cannot_be_written_keeps_a_refresh_only_account_from_spending(
    world: World,
) -> None:
    refresh_only_due_again(world)
    world.faults.once("before claim", throttled())

    assert code(world.refresh().error) == "ThrottlingException"
    assert world.grants == []
    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.endpoint.spent_came_back == 0


def test_an_own_claim_without_an_acknowledgement_is_numbered_on(world: World) -> None:
    refresh_only_due_again(world)
    world.faults.once("after claim", throttled())
    world.sweep()
    assert world.grants == []

    result = world.refresh(after=TICK)
    assert (result.outcome, result.cautions) == (Outcome.PUBLISHED, ())


@pytest.mark.parametrize("add", [due_again, refresh_only_due_again])
def test_another_runs_unanswered_claim_is_not_passed_over_when_a_claim_fails(
    world: World, add: Callable[[World], World]
) -> None:
    add(world)
    killed(world, "after request")
    world.faults.once("before claim", throttled())
    world.sweep(after=TICK)
    world.sweep_for(TICK)

    assert world.endpoint.spent_came_back == 0


def test_a_refresh_only_account_waits_fifteen_minutes_before_it_sends_again(world: World) -> None:
    refresh_only_due_again(world)
    killed(world, "after claim")

    assert world.refresh(after=14 * MINUTE).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN
    result = world.refresh(after=MINUTE)
    assert (result.outcome, result.cautions) == (
        Outcome.PUBLISHED,
        (Caution.REFRESH_TOKEN_RESENT,),
    )


def test_the_second_loss_of_a_refresh_only_account_is_reported_and_nothing_more_is_sent(
    world: World,
) -> None:
    refresh_only_due_again(world)
    killed(world, "before request")
    world.now += 15 * MINUTE
    killed(world, "before request")
    assert world.refresh(after=14 * MINUTE).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN

    result = world.refresh(after=MINUTE)
    assert isinstance(result.error, RefreshTokenLostError)
    assert world.grants == []
    assert needs_action(world.account(), now=world.now)


def test_a_lost_answer_of_a_refresh_only_account_is_sent_once_more(world: World) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    refresh_only_due_again(world)
    world.faults.once("after request", lost_connection())

    assert code(world.refresh().error) == "connection_lost"
    result = world.refresh(after=15 * MINUTE)
    assert (result.outcome, result.cautions) == (
        Outcome.PUBLISHED,
        (Caution.REFRESH_TOKEN_RESENT,),
    )


@pytest.mark.parametrize("failure", [unavailable, too_many_requests, firewall, no_connection])
def test_a_refresh_token_that_was_surely_not_redeemed_is_sent_again_without_a_word(
    world: World, failure: Callable[[], Failure]
) -> None:
    refresh_only_due_again(world)
    world.endpoint.answer(failure())
    world.sweep()
    assert world.tags()["released"].endswith("/1")

    result = world.refresh(after=TICK)
    assert (result.outcome, result.cautions) == (Outcome.PUBLISHED, ())
    assert "released" not in world.tags()


@pytest.mark.parametrize("make", [unavailable, too_many_requests, firewall, no_connection])
def test_a_seed_survives_an_outage_of_a_day_unspent(
    world: World, make: Callable[[], Failure]
) -> None:
    seed = world.add_refresh_only()
    world.endpoint.fail(make)
    world.sweep_for(timedelta(days=1))
    assert world.endpoint.redeemed == {}
    # Each attempt claims once: a day of them stays below the number of versions that are kept.
    assert 40 < len(world.store.credentials[ACCOUNT].versions) < 96
    world.endpoint.fail(None)
    world.sweep_for(HOUR)

    assert dict(world.endpoint.redeemed) == {seed: 1}
    assert world.endpoint.accepts(world.access_token())


def test_a_repeatable_account_survives_an_outage_of_a_day(world: World) -> None:
    due_again(world)
    world.endpoint.fail(unavailable)
    world.sweep_for(timedelta(days=1))
    world.endpoint.fail(None)
    world.sweep_for(HOUR)

    assert dict(world.endpoint.redeemed) == {"refresh-token-1": 1}
    assert world.tags() == {}


def test_a_resend_that_was_turned_away_stays_a_resend(world: World) -> None:
    refresh_only_due_again(world)
    killed(world, "after claim")
    world.endpoint.answer(unavailable())
    assert code(world.refresh(after=15 * MINUTE).error) == "status_503"
    killed_at = world.now = world.now + TICK
    killed(world, "after claim")

    # It was sent and lost twice; the one that was turned away does not count.
    world.now = killed_at + 15 * MINUTE
    assert isinstance(world.refresh().error, RefreshTokenLostError)


def test_a_lost_answer_after_an_outage_is_not_taken_for_a_released_claim(world: World) -> None:
    refresh_only_due_again(world)
    world.endpoint.answer(unavailable())
    world.sweep()
    world.now += TICK
    killed(world, "after request")

    assert world.refresh(after=TICK).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN
    assert world.grants == []


def test_an_edited_record_of_a_released_claim_counts_for_nothing(world: World) -> None:
    due_again(world)
    world.store.tokens[ACCOUNT].tags["token-refresher:released"] = "request-of-another/7"
    world.sweep()

    assert world.calls == [*SIX_CALLS, "untag"]


def test_a_dead_seed_is_not_sent_again(world: World) -> None:
    seed = world.add_refresh_only()
    world.endpoint.forget(seed)
    assert code(world.refresh().error) == "invalid_grant"
    for _ in range(12 * 24):
        world.sweep(after=TICK)
        assert world.grants == []
    assert world.tags()["error"] == "action required: invalid_grant"


def test_a_dead_seed_is_not_sent_again_because_another_failure_came_between(
    world: World,
) -> None:
    seed = world.add_refresh_only()
    world.endpoint.forget(seed)
    world.sweep()
    world.faults.once("before read credentials", throttled())
    world.sweep(after=20 * MINUTE)
    for _ in range(12):
        world.sweep(after=TICK)
        assert world.grants == []


def test_a_dead_seed_is_not_sent_again_because_user_agent_was_edited(world: World) -> None:
    seed = world.add_refresh_only()
    world.endpoint.forget(seed)
    world.sweep()
    world.add({**CLIENT, "grant_type": "refresh_token", "refresh_token": seed}, user_agent="edited")
    for _ in range(12):
        world.sweep(after=TICK)
        assert world.grants == []


def test_a_new_seed_is_tried_at_once(world: World) -> None:
    seed = world.add_refresh_only()
    world.endpoint.forget(seed)
    world.sweep()
    world.add_refresh_only()

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.tags() == {}


def test_a_new_seed_is_used_instead_of_the_journaled_refresh_token(world: World) -> None:
    refresh_only_due_again(world)
    seed = world.add_refresh_only()
    result = world.refresh()

    assert result.reason is Reason.CREDENTIALS_CHANGED
    assert [request["refresh_token"] for request in world.endpoint.requests] == [seed]


def test_editing_user_agent_sends_no_spent_seed(world: World) -> None:
    seed = world.add_refresh_only()
    world.sweep()
    world.add(
        {**CLIENT, "grant_type": "refresh_token", "refresh_token": seed}, user_agent="a@example.com"
    )

    assert world.refresh().reason is Reason.CREDENTIALS_CHANGED
    assert [request["refresh_token"] for request in world.endpoint.requests] == ["refresh-token-2"]
    assert world.endpoint.spent_came_back == 0


# Unpublished responses.


def unpublished(world: World, *, wait: timedelta = TICK) -> World:
    """An account whose last response was journaled, and could not be published."""
    due_again(world)
    world.faults.once("before publish", denied())
    world.sweep()
    world.now += wait
    return world


def test_an_unpublished_response_is_published_without_a_request(world: World) -> None:
    result = unpublished(world).refresh()

    assert (result.reason, result.outcome) == (Reason.UNPUBLISHED_RESPONSE, Outcome.PUBLISHED)
    assert world.grants == []
    assert world.access_token() == "access-token-2"
    assert world.version_id() == world.journal_id()
    assert world.tags() == {}


def test_an_unpublished_first_response_is_published_without_a_request(world: World) -> None:
    world.add(PASSWORD)
    killed(world, "before publish")

    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.grants == []
    assert world.access_token() == "access-token-1"


def test_back_off_does_not_hold_an_unpublished_response(world: World) -> None:
    unpublished(world, wait=timedelta(seconds=1))
    assert world.tags()["error"].startswith("action required")

    assert world.refresh().outcome is Outcome.PUBLISHED


def test_the_minimum_interval_does_not_hold_an_unpublished_response(world: World) -> None:
    due_again(world)
    world.refresh(force=True)
    world.refresh(after=61 * MINUTE, force=True)
    world.now += MINUTE
    world.faults.once("before publish", denied())
    # Two were published within the floor: this third answer is older than that.
    secret = world.store.tokens[ACCOUNT]
    previous = secret.stages.pop("AWSPREVIOUS")
    assert world.refresh(force=True).outcome is Outcome.FAILED
    secret.stages["AWSPREVIOUS"] = previous

    assert world.refresh(after=MINUTE).outcome is Outcome.PUBLISHED
    assert world.grants == []


def test_an_unpublished_response_that_has_expired_is_not_published(world: World) -> None:
    unpublished(world, wait=timedelta(hours=13))

    assert world.refresh().reason is Reason.EXPIRED
    assert world.grants == ["refresh_token"]


def test_a_refused_response_is_not_published_and_its_refresh_token_is_used(world: World) -> None:
    due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    result = world.refresh()
    assert code(result.error) == "token_refused"
    assert world.tags()["refused"] == world.journal_id().rpartition("-")[2]
    assert world.access_token() == "access-token-1"

    world.endpoint.verdict = True
    assert world.refresh(after=30 * MINUTE).outcome is Outcome.PUBLISHED
    assert [request["refresh_token"] for request in world.endpoint.requests] == ["refresh-token-2"]


def test_a_refused_response_stays_refused_though_a_later_answer_is_unusable(world: World) -> None:
    """The tag names one answer, and only one that is in the journal could ever be published."""
    due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    world.refresh()
    refused = world.tags()["refused"]
    world.endpoint.answer(response(access_token=None), timed_out())
    assert code(world.refresh(after=31 * MINUTE).error) == "timeout"

    world.endpoint.verdict = None
    assert world.tags()["refused"] == refused
    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_a_refused_response_stays_refused_where_the_next_is_not_journaled(world: World) -> None:
    world.endpoint.mode = RefreshMode.REFUSES
    due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    world.refresh()
    refused = world.tags()["refused"]
    world.refresh(after=31 * MINUTE)

    world.endpoint.verdict = None
    assert world.tags()["refused"] == refused
    assert world.refresh(after=TICK).reason is Reason.BACKING_OFF
    assert world.access_token() == "access-token-1"


def test_a_token_that_had_expired_when_it_was_issued_costs_its_refresh_token(world: World) -> None:
    due_again(world)
    world.endpoint.answer(
        response(expires_in=timedelta(0), refresh_token=None), TokenRequestError("invalid_scope")
    )
    world.refresh()

    assert world.refresh(after=20 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_an_invalid_response_is_refused_and_its_refresh_token_is_used(world: World) -> None:
    due_again(world)
    spare = world.endpoint.seed()
    world.endpoint.answer(
        response(token_type="mac", refresh_token=spare), TokenRequestError("invalid_scope")
    )
    assert code(world.refresh().error) == "invalid_scope"
    assert "refused" in world.tags()

    assert world.refresh(after=20 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.endpoint.requests[0]["refresh_token"] == spare


def test_an_invalid_response_that_a_dead_run_journaled_is_refused_when_it_is_found(
    world: World,
) -> None:
    due_again(world)
    spare = world.endpoint.seed()
    world.endpoint.answer(response(access_token="line\nbreak", refresh_token=spare))
    killed(world, "after journal")

    result = world.refresh(after=TICK)
    assert (result.reason, code(result.error)) == (Reason.UNPUBLISHED_RESPONSE, "invalid_response")
    assert world.refresh(after=30 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.endpoint.requests[0]["refresh_token"] == spare


def test_an_unpublished_response_of_a_changed_grant_is_not_published(world: World) -> None:
    unpublished(world)
    world.add(PASSWORD, password="another-password")

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_a_response_of_a_changed_grant_is_left_alone_while_the_token_is_fresh(
    world: World,
) -> None:
    due_again(world)
    # A run with older credentials journals late, and cannot publish any more.
    world.refresh(force=True)
    stale_id = world.version_id().replace("T1130", "T1230")
    world.store.credentials[ACCOUNT].put(
        stale_id, '{"grant": "of other credentials", "access_token": "a"}', ["TOKENRESPONSE"]
    )
    result = world.refresh(after=HOUR + MINUTE)

    assert (result.reason, result.outcome) == (Reason.FRESH, Outcome.NOT_DUE)
    assert world.grants == []


def test_the_version_id_of_a_late_publish_names_the_credentials_that_it_was_asked_with(
    world: World,
) -> None:
    world.add_refresh_only()
    killed(world, "before publish")
    digest = world.credentials_digest()
    world.sweep(after=TICK)

    assert world.version_id().split("-")[2] == digest


def test_a_found_response_gives_way_to_a_later_token(world: World) -> None:
    unpublished(world)
    world.faults.reset()
    # list, describe, two reads; each has two points.
    world.faults.plan(7, _publishing_elsewhere(world, timedelta(0)))

    assert world.refresh().outcome is Outcome.SUPERSEDED
    assert world.access_token() == "of another run"


# The journal.


def test_the_answer_is_journaled_before_it_is_judged(world: World) -> None:
    world.endpoint.answer(response(access_token=None, refresh_token="kept"))
    world.add(PASSWORD)
    world.sweep()

    journal = world.journal()
    assert journal is not None
    assert journal["refresh_token"] == "kept"
    assert world.token() is None


def test_the_answer_is_journaled_before_it_is_verified_and_published(world: World) -> None:
    world.add(PASSWORD, verify_url=VERIFY_URL)
    world.sweep()
    order = [point for point in world.faults.points if point.startswith("before")]

    assert order.index("before journal") < order.index("before verify")
    assert order.index("before verify") < order.index("before publish")


def test_a_refresh_token_is_kept_though_the_answer_has_no_lifetime(world: World) -> None:
    seed = world.add_refresh_only()
    world.endpoint.lifetime = None
    assert code(world.refresh().error) == "missing_expires_in"
    world.endpoint.lifetime = timedelta(hours=12)

    assert world.refresh(after=15 * MINUTE).outcome is Outcome.PUBLISHED
    assert dict(world.endpoint.redeemed) == {seed: 1, "refresh-token-2": 1}


@pytest.mark.parametrize("add", [due_again, refresh_only_due_again])
def test_a_token_is_published_though_its_journal_cannot_be_written(
    world: World, add: Callable[[World], World]
) -> None:
    add(world)
    world.faults.always("before journal", denied)
    result = world.refresh()

    assert (result.outcome, code(result.error)) == (Outcome.PUBLISHED, "journal_not_written")
    assert Caution.JOURNAL_NOT_WRITTEN in result.cautions
    assert world.access_token() == "access-token-2"
    assert needs_action(result.account, now=world.now)
    assert needs_action(world.account(), now=world.now)
    # Retried until the refresh's own time is almost over.
    assert timedelta(seconds=48) <= sum(world.pauses, timedelta(0)) <= timedelta(seconds=60)


def test_a_journal_that_may_not_be_written_delays_nobody_where_its_grant_can_be_repeated(
    world: World,
) -> None:
    world.add(PASSWORD)
    world.faults.always("before journal", denied)
    result = world.refresh()

    assert (result.outcome, code(result.error)) == (Outcome.PUBLISHED, "journal_not_written")
    assert world.pauses == []


def test_a_journal_that_cannot_be_written_now_is_tried_again_whatever_the_grant(
    world: World,
) -> None:
    world.add(PASSWORD)
    world.faults.always("before journal", throttled)
    world.refresh()

    assert sum(world.pauses, timedelta(0)) >= timedelta(seconds=40)


def test_an_unwritten_journal_never_makes_a_repeatable_account_send_a_spent_token(
    world: World,
) -> None:
    due_again(world)
    world.faults.always("before journal", denied)
    world.sweep()
    world.faults.fix()
    world.sweep(after=UNTIL_DUE)

    assert world.grants == ["password"]
    assert world.endpoint.spent_came_back == 0
    assert world.tags() == {}


def test_a_journal_that_can_be_written_at_the_second_attempt_is_no_failure(world: World) -> None:
    due_again(world)
    world.faults.once("before journal", throttled())
    result = world.refresh()

    assert (result.outcome, result.error, result.cautions) == (Outcome.PUBLISHED, None, ())
    assert world.calls == [*SIX_CALLS, "journal"]
    assert world.journal_id() == world.version_id()


def test_a_journal_without_an_acknowledgement_is_written_again_under_the_same_id(
    world: World,
) -> None:
    due_again(world)
    world.faults.once("after journal", throttled())
    world.sweep()

    assert world.journal_id() == world.version_id()


def test_a_failing_refresh_still_tries_to_write_its_journal(world: World) -> None:
    refresh_only_due_again(world)
    world.endpoint.answer(response(access_token=None, refresh_token="kept"))
    world.faults.once("before journal", throttled())
    result = world.refresh()

    assert (code(result.error), result.cautions) == ("invalid_response", ())
    journal = world.journal()
    assert journal is not None
    assert journal["refresh_token"] == "kept"


def test_a_failing_refresh_says_that_its_journal_could_not_be_written(world: World) -> None:
    refresh_only_due_again(world)
    world.endpoint.answer(response(access_token=None))
    world.faults.always("before journal", denied)

    assert Caution.JOURNAL_NOT_WRITTEN in world.refresh().cautions


def test_a_journal_under_an_id_with_other_content_is_not_taken_for_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_again(world)
    write = world.store.write_protocol

    def refuse_journals(account: str, version_id: str, content: str) -> bool:
        return is_claim_id(version_id) and write(account, version_id, content)

    # An id is a digest and 48 random bits: only a store that says so makes one collide.
    monkeypatch.setattr(world.store, "write_protocol", refuse_journals)

    assert code(world.refresh().error) == "journal_not_written"


# Verifying and publishing.


def test_an_accepted_token_is_published(world: World) -> None:
    world.add(PASSWORD, verify_url=VERIFY_URL)

    assert world.refresh().cautions == ()
    assert world.endpoint.verified == [world.access_token()]


def test_a_found_response_is_verified_too(world: World) -> None:
    world.add(PASSWORD, verify_url=VERIFY_URL)
    killed(world, "before verify")
    world.endpoint.verdict = False

    assert code(world.refresh(after=TICK).error) == "token_refused"
    assert world.token() is None


def _publishing_elsewhere(world: World, issued_after: timedelta) -> Callable[[str], None]:
    def publish(_: str) -> None:
        issued_at = world.now + issued_after
        version = TokenVersion(
            issued_at, issued_at + 9 * HOUR, world.credentials_digest(), "f" * 12
        )
        text = json.dumps({"access_token": "of another run"})
        world.store.tokens[ACCOUNT].put(str(version), text, [CURRENT])

    return publish


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


def test_a_token_whose_age_nobody_knows_is_replaced(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.reset()
    world.faults.plan(7, lambda _: _publish_by_hand(world))

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.access_token() == "access-token-2"


def _publish_by_hand(world: World) -> None:
    world.store.tokens[ACCOUNT].put("by-hand" * 5, "{}", [CURRENT])


def test_a_failed_second_description_does_not_keep_the_token_from_its_readers(
    world: World,
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.reset()
    world.faults.plan(8, lambda _: throttled())

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.access_token() == "access-token-2"


def test_a_publish_under_an_id_with_other_content_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    monkeypatch.setattr(world.store, "publish", lambda *_: False)

    assert code(world.refresh().error) == "ResourceExistsException"


def test_a_failed_publish_leaves_the_published_token(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.faults.once("before publish", throttled())

    assert code(world.refresh().error) == "ThrottlingException"
    assert world.access_token() == "access-token-1"
    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED


# Credentials that cannot be used.


def test_an_account_with_an_empty_text_awaits_its_credentials(world: World) -> None:
    world.store.put_credentials(ACCOUNT, "")
    report = world.sweep()

    assert [result.reason for result in report.results] == [Reason.AWAITING_CREDENTIALS]
    assert report.managed == []
    assert world.tags() == {}


def test_credentials_that_vanish_between_listing_and_reading_are_awaited(world: World) -> None:
    world.add(PASSWORD)
    world.store.freeze_listing()
    del world.store.credentials[ACCOUNT]

    assert world.refresh().reason is Reason.AWAITING_CREDENTIALS


def test_a_found_response_is_shown_to_no_host_that_is_not_allowed(world: World) -> None:
    seed = world.add_refresh_only()
    killed(world, "before publish")
    world.add(
        {**CLIENT, "grant_type": "refresh_token", "refresh_token": seed},
        verify_url="https://elsewhere.example/verify",
    )
    result = world.refresh(after=TICK)

    assert code(result.error) == "host_not_allowed"
    assert world.endpoint.verified == []
    assert world.token() is None


def test_a_token_secret_scheduled_for_deletion_gets_no_request(world: World) -> None:
    due_again(world)
    world.store.freeze_listing()
    world.store.tokens[ACCOUNT].is_deleted = True
    result = world.refresh()

    assert code(result.error) == "scheduled_for_deletion"
    assert result.cautions == (Caution.FAILURE_NOT_RECORDED,)
    assert needs_action(result.account, now=world.now)
    assert world.grants == []


# Failures.


def test_a_failure_that_can_be_recorded_again_is_no_longer_kept(world: World) -> None:
    world.add(PASSWORD)
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.faults.once("before tag", denied())
    world.sweep()
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    result = world.refresh(after=15 * MINUTE)

    assert result.account.unrecorded is None
    assert world.tags()["failures"] == "2"


def test_what_another_run_has_recorded_since_counts_more_than_what_was_kept(world: World) -> None:
    """Here the other run has claimed again: the claim that was released first is not the last."""
    world.add_refresh_only()
    world.endpoint.fail(unavailable)
    world.faults.once("before tag", denied())
    world.sweep()
    other = world.beside()
    other.sweep(after=16 * MINUTE)
    world.now = other.now
    assert world.tags()["released"].endswith("/2")
    world.endpoint.fail(None)

    world.sweep(after=16 * MINUTE)
    assert world.access_token() == "access-token-1"


def test_a_token_that_another_run_has_published_since_ends_what_was_kept(world: World) -> None:
    due_again(world)
    world.endpoint.fail(lambda: TokenRequestError("invalid_scope"))
    world.faults.always("before tag", denied)
    for wait in (TICK, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR):
        world.sweep(after=wait)
    world.endpoint.fail(None)
    world.faults.fix()
    world.endpoint.lifetime = HOUR
    other = world.beside()
    other.refresh(after=MINUTE, force=True)

    assert world.refresh(after=32 * MINUTE).outcome is Outcome.PUBLISHED


def test_a_success_forgets_a_failure_that_was_kept(world: World) -> None:
    world.add(PASSWORD)
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.faults.once("before tag", denied())
    world.sweep()

    assert world.refresh(after=15 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.sweep(after=TICK).results == ()


def test_a_record_that_cannot_be_cleared_holds_no_later_token(world: World) -> None:
    """A person forced a success while the account was held back for hours."""
    due_again(world)
    world.endpoint.fail(lambda: TokenRequestError("invalid_scope"))
    for wait in (TICK, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR):
        world.sweep(after=wait)
    world.endpoint.fail(None)
    world.endpoint.lifetime = HOUR
    world.faults.always("before untag", denied)
    assert world.refresh(after=MINUTE, force=True).outcome is Outcome.PUBLISHED

    world.start_environment()
    assert world.refresh(after=31 * MINUTE).outcome is Outcome.PUBLISHED


def test_an_unexpected_exception_keeps_its_text_to_itself(world: World) -> None:
    world.add(PASSWORD)
    world.endpoint.fail(lambda: KeyError("made-up-password"))
    result = world.refresh()

    assert isinstance(result.error, UnexpectedError)
    assert failure_class_of(result.error) is FailureClass.ACTION_REQUIRED
    assert "made-up-password" not in f"{result!r} {result.error} {result.error.args}"
    assert result.error.__cause__ is None
    assert result.error.__context__ is None
    assert world.tags()["error"] == "action required: unexpected_KeyError"


@pytest.mark.parametrize("call", ["tag", "journal", "create"])
def test_a_defect_that_strikes_again_while_it_is_handled_is_still_a_result(
    world: World, call: str
) -> None:
    world.add(PASSWORD)
    if call == "tag":
        world.endpoint.fail(lambda: KeyError("defect"))
    world.faults.always(f"before {call}", lambda: TypeError("another defect"))

    assert isinstance(world.refresh().error, Failure)


# Time, floor, force.


def test_a_refused_token_is_asked_about_by_describing_and_not_by_a_listing(world: World) -> None:
    world.add(PASSWORD)
    world.sweep()
    refused = world.version_id()
    world.store.freeze_listing()
    world.refresh(after=HOUR, force=True)

    assert world.reject(refused) is None


def test_a_token_that_is_staged_is_not_published_yet(world: World) -> None:
    due_again(world)
    published = world.version_id()
    staged = "00000000-0000-0000-0000-000000000001"
    [result] = world.sweep(accounts=[ACCOUNT], force=True, stage_as=staged).results

    assert result.outcome is Outcome.STAGED
    assert world.calls == ["describe credentials", "describe", *SIX_CALLS[:-1], "stage"]
    assert world.version_id() == published
    assert world.store.tokens[ACCOUNT].stages["AWSPENDING"] == staged


def test_a_staged_version_that_has_other_content_fails_the_refresh(world: World) -> None:
    due_again(world)
    staged = "00000000-0000-0000-0000-000000000001"
    world.store.tokens[ACCOUNT].versions[staged] = "another-run-s"
    [result] = world.sweep(accounts=[ACCOUNT], force=True, stage_as=staged).results

    assert code(result.error) == "ResourceExistsException"


def test_short_tokens_never_write_more_than_96_versions_a_day(world: World) -> None:
    world.endpoint.lifetime = 10 * MINUTE
    world.add(PASSWORD)
    world.sweep_for(timedelta(days=1))

    versions = (world.store.tokens[ACCOUNT].versions, world.store.credentials[ACCOUNT].versions)
    assert all(len(each) <= 97 for each in versions)


@pytest.mark.parametrize("error", [denied, lambda: TypeError("defect")], ids=["refused", "defect"])
def test_a_dry_run_changes_nothing_even_where_it_fails(
    world: World, error: Callable[[], Exception]
) -> None:
    world.add(PASSWORD)
    world.faults.always("before describe", error)
    report = world.sweep(dry_run=True)

    assert [result.outcome for result in report.results] == [Outcome.FAILED]
    assert world.calls == ["describe"]
    assert world.store.tokens == {}


# The refresh token's own life.


def test_a_refresh_token_that_is_renewed_with_every_answer_never_needs_action(
    world: World,
) -> None:
    world.endpoint.refresh_token_lifetime = timedelta(days=1)
    world.add_refresh_only()
    for _ in range(12 * 24 * 3):
        world.sweep(after=TICK)
        assert not needs_action(world.account(), now=world.now)


def test_a_refresh_token_that_is_not_renewed_needs_action_in_time(world: World) -> None:
    world.endpoint.mode = RefreshMode.KEEPS
    world.add_refresh_only()
    ends_at = world.now + timedelta(days=30)
    needed = None
    while needed is None:
        world.endpoint.refresh_token_lifetime = ends_at - world.now - HOUR
        world.sweep(after=HOUR)
        needed = world.now if needs_action(world.account(), now=world.now) else None

    assert timedelta(days=6, hours=22) <= ends_at - needed < timedelta(days=7)


def test_an_answer_without_a_refresh_tokens_life_keeps_what_is_known(world: World) -> None:
    world.endpoint.refresh_token_lifetime = timedelta(days=30)
    refresh_only_due_again(world)
    world.endpoint.refresh_token_lifetime = None
    world.sweep()

    assert world.tags() == {"grant-expires-at": "20261224T010000Z/2592000"}


# Nothing secret shows.


def test_the_state_of_a_refresh_shows_no_token(world: World) -> None:
    due_again(world)
    result = world.refresh()

    assert "access-token" not in repr(result)
    assert "refresh-token" not in repr(result)
