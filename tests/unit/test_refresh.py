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
from token_refresher.outcomes import Caution, Outcome
from token_refresher.policy import (
    FAILURES,
    Failure,
    Reason,
    failure_class_of,
    needs_action,
)
from token_refresher.ports import CURRENT, is_claim_id

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


@pytest.mark.parametrize(
    ("credentials", "calls", "grant"),
    [
        pytest.param(CLIENT_CREDENTIALS, FOUR_CALLS, "client_credentials", id="without"),
        pytest.param(PASSWORD, SIX_CALLS, "refresh_token", id="password"),
        pytest.param(PARTNER, SIX_CALLS, "refresh_token", id="partner"),
    ],
)
def test_a_refresh_costs_four_calls_and_six_by_refresh_token(
    world: World, credentials: Mapping[str, object], calls: list[str], grant: str
) -> None:
    due_again(world, credentials).sweep()

    assert (world.calls, world.grants) == (calls, [grant])


def test_a_seed_costs_six_calls_and_one_for_creating_the_token_secret(world: World) -> None:
    seed = world.add_refresh_only()
    world.sweep()

    assert world.calls == [*SIX_CALLS[:3], "create", *SIX_CALLS[3:]]
    assert [request["refresh_token"] for request in world.endpoint.requests] == [seed]


# What is published.


def test_without_any_scope_in_the_answer_it_is_as_requested(world: World) -> None:
    world.endpoint.scope = None
    world.add(PASSWORD, scope="as-requested")
    world.sweep()

    token = world.token()
    assert token is not None
    assert token["scope"] == "as-requested"


# Refresh modes.


def test_a_primary_grant_without_a_refresh_token_retires_the_journaled_one(world: World) -> None:
    due_again(world)
    world.endpoint.issues_refresh_tokens = False
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.sweep()
    world.sweep(after=UNTIL_DUE)

    assert world.grants == ["password"]


def test_a_journal_that_is_not_readable_is_as_good_as_none(world: World) -> None:
    due_again(world)
    secret = world.store.credentials[ACCOUNT]
    secret.versions[world.journal_id()] = "not a journal"

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


# When the primary grant follows a failed refresh grant in the same run.


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(TokenRequestError("invalid_request"), id="malformed request"),
        pytest.param(TokenRequestError("some text"), id="unrecognised error"),
        pytest.param(TokenRequestError("server_error"), id="server's error"),
        pytest.param(broken(), id="500"),
        pytest.param(timed_out(), id="timeout"),
        pytest.param(response(expires_in=None), id="answer without a lifetime"),
    ],
)
def test_the_primary_grant_follows_what_says_nothing_against_it(
    world: World, failure: Failure | TokenResponse
) -> None:
    due_again(world)
    world.endpoint.answer(failure)

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["refresh_token", "password"]


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


def test_a_claim_that_cannot_be_read_yet_counts_as_another_runs(world: World) -> None:
    due_again(world)
    killed(world, "after claim")
    for version_id in world.store.credentials[ACCOUNT].versions:
        if is_claim_id(version_id):
            world.store.credentials[ACCOUNT].versions[version_id] = b""

    assert world.refresh(after=HOUR).outcome is Outcome.CLAIMED_BY_ANOTHER_RUN


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


# Unpublished responses.


def unpublished(world: World, *, wait: timedelta = TICK) -> World:
    """An account whose last response was journaled, and could not be published."""
    due_again(world)
    world.faults.once("before publish", denied())
    world.sweep()
    world.now += wait
    return world


def test_an_unpublished_first_response_is_published_without_a_request(world: World) -> None:
    world.add(PASSWORD)
    killed(world, "before publish")

    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.grants == []
    assert world.access_token() == "access-token-1"


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


def test_a_found_response_gives_way_to_a_later_token(world: World) -> None:
    unpublished(world)
    world.faults.reset()
    # list, describe, two reads; each has two points.
    world.faults.plan(7, _publishing_elsewhere(world, timedelta(0)))

    assert world.refresh().outcome is Outcome.SUPERSEDED
    assert world.access_token() == "of another run"


# The journal.


def test_the_answer_is_journaled_before_it_is_verified_and_published(world: World) -> None:
    world.add(PASSWORD, verify_url=VERIFY_URL)
    world.sweep()
    order = [point for point in world.faults.points if point.startswith("before")]

    assert order.index("before journal") < order.index("before verify")
    assert order.index("before verify") < order.index("before publish")


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
