"""What becomes of one account, whatever line a run dies on and whoever runs beside it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

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
    due_again,
    response,
    throttled,
    timed_out,
    unavailable,
)
from token_refresher.errors import (
    ExternalSecretError,
    FailureClass,
    OutOfTimeError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.failures import FAILURES, Failure, failure_class_of
from token_refresher.health import needs_action
from token_refresher.journal import JournalEntry
from token_refresher.model import TokenVersion, token_digest
from token_refresher.oauth.errors import TokenRequestError, TokenResponseError
from token_refresher.outcomes import Caution, Outcome, Result
from token_refresher.policy import Reason
from token_refresher.ports import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from token_refresher.oauth.token_response import TokenResponse

FOUR_CALLS = ["describe", "read credentials", "describe", "publish"]
SIX_CALLS = ["describe", "read credentials", "read journal", "lease", "journal", "publish"]
VERIFY_URL = "https://www.autovit.ro/api/open/account/adverts"


@pytest.fixture
def world() -> World:
    return World()


# By its address, so that nothing is known of its lifetimes.
ANY_SERVER: Final = {"provider": None, "token_endpoint": "https://www.autovit.ro/token"}


def refresh_only_due_again(world: World, **more: object) -> World:
    """A refresh-only account that has refreshed once, when its token is due again."""
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


def test_an_initial_refresh_token_costs_six_calls_and_one_for_creating_the_token_secret(
    world: World,
) -> None:
    initial = world.add_refresh_only()
    world.sweep()

    assert world.calls == [*SIX_CALLS[:3], "create", *SIX_CALLS[3:]]
    assert [request["refresh_token"] for request in world.endpoint.requests] == [initial]


# What is published.


def test_without_any_scope_in_the_response_it_is_as_requested(world: World) -> None:
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
        pytest.param(response(expires_in=None), id="response without a lifetime"),
    ],
)
def test_the_primary_grant_follows_what_says_nothing_against_it(
    world: World, failure: Failure | TokenResponse
) -> None:
    due_again(world, PASSWORD, **ANY_SERVER)
    world.endpoint.answer(failure)

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.grants == ["refresh_token", "password"]


@pytest.mark.parametrize("body", [response(access_token=None), response(expires_in=timedelta(0))])
def test_a_primary_grants_response_without_a_usable_token_is_told(
    world: World, body: TokenResponse
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.endpoint.answer(body)

    assert code(world.refresh().error) == "invalid_response"
    assert world.tags().keys() == {"failure"}


def test_a_token_is_published_and_kept_up_to_what_a_secret_holds(world: World) -> None:
    """Keycloak's reach 30 KiB; a journal has the refresh token beside it."""
    due_again(world)
    world.endpoint.answer(response(access_token="t" * 30_000, refresh_token="r" * 30_000))

    assert world.refresh().outcome is Outcome.PUBLISHED
    assert world.access_token() == "t" * 30_000
    journal = world.journal()
    assert journal is not None
    assert (journal["access_token"], journal["refresh_token"]) == ("t" * 30_000, "r" * 30_000)


def test_a_token_that_no_secret_holds_is_told_by_its_length(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    before = world.access_token()
    world.endpoint.answer(response(access_token="t" * 66_000))

    assert code(world.refresh().error) == "token_too_long"
    assert world.access_token() == before


def test_what_a_primary_grant_brings_that_cannot_be_published_is_not_kept(world: World) -> None:
    """It can be had again; and a day of such responses would use up the secret's versions."""
    world.endpoint.lifetime = None
    world.add(PASSWORD, **ANY_SERVER)
    world.sweep_for(HOUR)

    assert world.tags()["failure"].startswith("action required: missing_expires_in/")
    assert world.journal() is None


@pytest.mark.parametrize("only", [True, False], ids=["refresh-only", "password"])
@pytest.mark.parametrize("wrong", ["no lifetime", "refused"])
def test_a_day_of_responses_that_must_not_be_published_leaves_the_secret_its_versions(
    world: World, wrong: str, *, only: bool
) -> None:
    """Beyond 144 a day Secrets Manager would take no correction either."""
    if only:
        world.add_refresh_only(verify_url=VERIFY_URL, **ANY_SERVER)
    else:
        world.add(PASSWORD, verify_url=VERIFY_URL, **ANY_SERVER)
    world.sweep()
    if wrong == "no lifetime":
        world.endpoint.lifetime = None
    world.endpoint.verdict = wrong != "refused"
    world.now += UNTIL_DUE
    before = len(world.store.credentials[ACCOUNT].versions)
    world.sweep_for(timedelta(days=1))

    assert 72 < len(world.store.credentials[ACCOUNT].versions) - before <= 144


def test_where_a_host_was_stopped_meanwhile_the_refresh_tokens_failure_is_told() -> None:
    world = World(max_workers=1)
    names = ("a", "b", "c")
    for name in names:
        world.add(PASSWORD, name)
    world.sweep()
    world.endpoint.fail(timed_out)
    report = world.sweep(after=UNTIL_DUE)

    # The third account's refresh token stops the host; its primary grant is not tried.
    assert world.grants == ["refresh_token", "password"] * 2 + ["refresh_token"]
    assert [code(result.error) for result in report.results] == ["timeout"] * 3


def test_what_was_read_may_take_so_long_that_nothing_is_asked(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)

    def slowly() -> None:
        world.now += timedelta(seconds=21)

    world.faults.meanwhile("before read credentials", slowly)
    result = world.refresh()

    assert (result.outcome, world.grants) == (Outcome.NOT_ATTEMPTED, [])
    assert isinstance(result.error, OutOfTimeError)
    assert world.tags() == {}


# Unpublished responses.


def test_an_unpublished_first_response_is_published_without_a_request(world: World) -> None:
    world.add(PASSWORD)
    killed(world, "before publish")

    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.grants == []
    assert world.access_token() == "access-token-1"


def test_a_refused_response_stays_refused_though_a_later_response_is_unusable(world: World) -> None:
    """The tag names one response, and only one in the journal could ever be published."""
    due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    world.refresh()
    refused = world.tags()["refused-response"]
    world.endpoint.answer(response(access_token=None), timed_out())
    assert code(world.refresh(after=31 * MINUTE).error) == "timeout"

    world.endpoint.verdict = None
    assert world.tags()["refused-response"] == refused
    assert world.refresh(after=10 * MINUTE).outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_a_refused_response_stays_refused_where_the_next_is_not_journaled(world: World) -> None:
    world.endpoint.mode = RefreshMode.REFUSES
    due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    world.refresh()
    refused = world.tags()["refused-response"]
    world.refresh(after=31 * MINUTE)

    world.endpoint.verdict = None
    assert world.tags()["refused-response"] == refused
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
    assert "refused-response" in world.tags()

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
    stale_id = world.version_id().replace("T1130", "T1230").rpartition("-")[0] + f"-{'f' * 12}"
    stale = {"grant": "of other credentials", "host": "www.autovit.ro", "access_token": "a"}
    world.store.credentials[ACCOUNT].put(stale_id, json.dumps(stale), ["TOKENRESPONSE"])
    report = world.sweep(after=HOUR + MINUTE)

    assert report.results == ()
    assert world.calls == ["describe", "read credentials", "read journal"]
    assert world.grants == []


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
    assert needs_action(result.account, now=world.now, schedule=TICK)
    assert needs_action(world.account(), now=world.now, schedule=TICK)
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
    world.endpoint.answer(response(access_token=None, refresh_token="lost"))
    world.faults.always("before journal", denied)

    assert Caution.JOURNAL_NOT_WRITTEN in world.refresh().cautions


# A response that could not be kept, in the warm environment.


def with_a_response_in_memory(world: World) -> str:
    """A refresh-only account whose last response could not be journaled; its refresh token."""
    refresh_only_due_again(world)
    world.faults.always("before journal", throttled)
    result = world.refresh()
    world.faults.fix()
    assert result.account.unwritten is not None
    assert world.tags()["lease"].endswith("/spent")
    return world.endpoint.requests[0]["refresh_token"]


def test_what_could_not_be_kept_is_kept_first_in_the_next_sweep(world: World) -> None:
    with_a_response_in_memory(world)
    report = world.sweep(after=TICK)

    # The token was published; what the journal lacked it has now.
    assert report.results == ()
    assert world.calls == ["describe", "read credentials", "read journal", "journal", "untag"]
    assert world.journal_id() == world.version_id()
    assert world.tags() == {}


def test_what_still_cannot_be_kept_costs_one_try_and_stays(world: World) -> None:
    with_a_response_in_memory(world)
    world.pauses.clear()
    world.faults.always("before journal", throttled)
    for _ in range(3):
        result = world.refresh(after=TICK)
        assert code(result.error) == "journal_not_written"
        assert world.calls.count("journal") == 1
        assert world.pauses == []
        # It is the only one: an environment that does not know of it waits for no next token.
        failure = world.account().failure
        assert failure is not None
        assert failure.next_attempt <= world.now + timedelta(minutes=30)
    world.faults.fix()
    world.sweep(after=TICK)

    assert world.journal_id() == world.version_id()


@pytest.mark.parametrize("call", ["describe", "read credentials", "read journal"])
def test_what_could_not_be_kept_outlives_a_sweep_that_cannot_look(world: World, call: str) -> None:
    with_a_response_in_memory(world)
    world.faults.once(f"before {call}", throttled())
    assert code(world.refresh(after=TICK).error) == "ThrottlingException"
    world.sweep(after=TICK)

    assert world.journal_id() == world.version_id()


def test_what_could_not_be_kept_is_dropped_where_another_run_has_had_a_later_response(
    world: World,
) -> None:
    sent = with_a_response_in_memory(world)
    other = world.beside()
    other.endpoint.mode = RefreshMode.KEEPS
    other.endpoint.answer(response(refresh_token="later"))
    other.refresh(after=HOUR, force=True)
    world.now = other.now + TICK
    later = world.journal_id()
    world.sweep()

    assert world.journal_id() == later
    assert sent not in [request.get("refresh_token") for request in world.endpoint.requests]


def test_what_could_not_be_kept_is_dropped_where_the_credentials_name_another_grant(
    world: World,
) -> None:
    with_a_response_in_memory(world)
    before = world.journal_id()
    world.add_refresh_only()
    result = world.refresh(after=16 * MINUTE)

    assert result.outcome is Outcome.PUBLISHED
    assert result.account.unwritten is None
    assert world.store.calls.count("journal") == 1
    assert world.journal_id() != before


def test_where_refresh_tokens_are_used_no_more_nothing_of_them_is_kept(world: World) -> None:
    due_again(world)
    world.faults.always("before journal", throttled)
    kept = world.refresh().account.unwritten
    world.faults.fix()
    world.add(PASSWORD, use_refresh_token=False)
    result = world.refresh(after=TICK)

    assert kept is not None
    assert (result.outcome, result.account.unwritten) == (Outcome.PUBLISHED, None)
    assert world.grants == ["password"]


def test_what_another_tool_puts_over_a_token_costs_no_refresh_token(world: World) -> None:
    """The response could not be journaled, and is kept before anything is said of the secret."""
    world.add_refresh_only()
    world.faults.always("before journal", denied)
    assert world.refresh().outcome is Outcome.PUBLISHED
    for number in range(2):
        content = json.dumps({"number": number})
        world.store.tokens[ACCOUNT].put(f"another-tool-{number:030}", content, [CURRENT])
    world.faults.fix()

    assert isinstance(world.refresh(after=TICK).error, ExternalSecretError)
    assert world.token() == {"number": 1}
    assert world.journal() is not None
    world.start_environment()
    assert world.refresh(after=HOUR, force=True).outcome is Outcome.PUBLISHED


def test_a_response_that_is_kept_late_and_must_not_be_published_is_refused_all_the_same(
    world: World,
) -> None:
    refresh_only_due_again(world, verify_url=VERIFY_URL)
    world.endpoint.verdict = False
    world.faults.once("before journal", throttled())
    assert code(world.refresh().error) == "token_refused"

    assert world.tags()["refused-response"] == world.journal_id()


# An access token that is handed out once more.


def handed_out_again(world: World, **changes: object) -> TokenResponse:
    return response(access_token=world.access_token(), **changes)


def test_an_unchanged_token_keeps_its_expiry_and_is_asked_for_later(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    before = world.version_id()
    world.endpoint.answer(handed_out_again(world))
    result = world.refresh()

    assert (result.outcome, result.error) == (Outcome.UNCHANGED, None)
    assert world.version_id() == before
    # Half of the ninety minutes that are left.
    assert world.tags()["failure"].startswith(
        "transient: unchanged/0/20261124T113000Z/20261124T121430Z/"
    )
    assert world.refresh(after=44 * MINUTE).reason is Reason.UNCHANGED
    assert world.refresh(after=MINUTE).outcome is Outcome.PUBLISHED
    assert world.tags() == {}


def test_an_unchanged_response_to_a_refresh_token_is_journaled_all_the_same(world: World) -> None:
    due_again(world)
    world.endpoint.answer(handed_out_again(world, refresh_token="next"))
    result = world.refresh()

    assert result.outcome is Outcome.UNCHANGED
    journal = world.journal()
    assert journal is not None
    assert journal["refresh_token"] == "next"
    assert world.journal_id() != world.version_id()
    # It counts as published: the next sweep does not look.
    assert world.refresh(after=TICK).reason is Reason.UNCHANGED


def test_an_unchanged_token_that_a_consumer_saw_refused_is_a_failure(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.endpoint.answer(handed_out_again(world))
    result = world.reject(world.version_id())

    assert result is not None
    assert code(result.error) == "rejected_again"
    assert world.tags()["failure"].startswith("transient: rejected_again/1/")


def test_an_unchanged_token_of_other_credentials_is_published_with_the_end_it_had(
    world: World,
) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    before = world.token()
    world.add(CLIENT_CREDENTIALS, scope="adverts-write read")
    world.endpoint.answer(handed_out_again(world))
    result = world.refresh()
    token = world.token()

    assert result.outcome is Outcome.PUBLISHED
    assert before is not None
    assert token is not None
    assert token["expires_at"] == before["expires_at"]


def test_an_unchanged_token_that_has_ended_gets_the_end_that_it_is_given(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.endpoint.answer(handed_out_again(world))

    assert world.refresh(after=2 * HOUR).outcome is Outcome.PUBLISHED
    token = world.token()
    assert token is not None
    assert token["expires_at"] == world.now.timestamp() + 12 * 3600


def test_an_unchanged_response_tells_when_its_refresh_token_ends(world: World) -> None:
    """Else a refresh token that is renewed with every response would seem to run out."""
    refresh_only_due_again(world)
    world.endpoint.answer(
        handed_out_again(
            world,
            refresh_token=world.endpoint.seed(),
            refresh_token_expires_in=timedelta(minutes=40),
        )
    )
    world.sweep()

    assert world.tags()["grant-expires-at"] == "20261124T121000Z/2400"
    # Ten minutes before that, and not after half of the ninety minutes that are left.
    assert world.refresh(after=29 * MINUTE).reason is Reason.UNCHANGED
    assert world.refresh(after=MINUTE).outcome is Outcome.PUBLISHED


def test_an_unchanged_response_that_cannot_be_kept_is_told(world: World) -> None:
    refresh_only_due_again(world)
    world.endpoint.answer(handed_out_again(world, refresh_token="next"))
    world.faults.always("before journal", denied)
    result = world.refresh()

    assert (result.outcome, code(result.error)) == (Outcome.UNCHANGED, "journal_not_written")
    assert result.account.unwritten is not None


def test_a_rotation_stages_an_unchanged_token(world: World) -> None:
    due_again(world, CLIENT_CREDENTIALS)
    world.endpoint.answer(handed_out_again(world))
    staged = "00000000-0000-0000-0000-000000000001"
    [result] = world.sweep(accounts=[ACCOUNT], force=True, stage_as=staged).results

    assert result.outcome is Outcome.STAGED


# Verifying and publishing.


def test_a_found_response_is_verified_too(world: World) -> None:
    world.add(PASSWORD, verify_url=VERIFY_URL)
    killed(world, "before verify")
    world.endpoint.verdict = False

    assert code(world.refresh(after=TICK).error) == "token_refused"
    assert world.token() is None


def test_a_version_id_that_exists_with_other_content_is_superseded_and_no_error(
    world: World,
) -> None:
    """Two primary grants of one second that were handed the same token."""
    due_again(world, CLIENT_CREDENTIALS)
    version = TokenVersion(
        world.now, world.now + 12 * HOUR, world.credentials_digest(),
        token_digest(ACCOUNT, "another-access-token"),
    )  # fmt: skip
    world.store.tokens[ACCOUNT].versions[str(version)] = "{}"
    world.endpoint.answer(response())
    result = world.refresh()

    assert (result.outcome, result.error) == (Outcome.SUPERSEDED, None)
    assert world.tags() == {}


def test_a_staged_version_that_another_run_has_written_is_staged(world: World) -> None:
    due_again(world)
    staged = "00000000-0000-0000-0000-000000000001"
    world.store.tokens[ACCOUNT].versions[staged] = "another run's"
    [result] = world.sweep(accounts=[ACCOUNT], force=True, stage_as=staged).results

    assert (result.outcome, result.error) == (Outcome.STAGED, None)


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
    assert needs_action(result.account, now=world.now, schedule=TICK)
    assert world.grants == []


# Accounts that are being removed: their credentials are marked for deletion, then their token.


def removal(world: World, *paths: str) -> Callable[[str], None]:
    """Mark an account's secrets for deletion, whatever point is passed."""

    def mark(_: str) -> None:
        for path in paths:
            secrets = getattr(world.store, path)
            if ACCOUNT in secrets:
                secrets[ACCOUNT].is_deleted = True

    return mark


REMOVED: Final = [
    pytest.param(["credentials"], id="between the two calls"),
    pytest.param(["credentials", "tokens"], id="after both"),
]


@pytest.mark.parametrize("paths", REMOVED)
@pytest.mark.parametrize(
    "onboard",
    [
        pytest.param(lambda world: world.add(CLIENT_CREDENTIALS), id="before its first token"),
        pytest.param(due_again, id="by a refresh token"),
        pytest.param(lambda world: due_again(world, CLIENT_CREDENTIALS), id="by its primary grant"),
        pytest.param(refresh_only_due_again, id="with nothing but a refresh token"),
    ],
)
def test_nobody_is_called_for_an_account_that_is_removed_at_any_moment_of_a_sweep(
    onboard: Callable[[World], object], paths: list[str]
) -> None:
    point, is_reached = 0, True
    while is_reached:
        world = World()
        onboard(world)
        world.store.freeze_listing()
        world.faults.reset()
        world.faults.plan(point, removal(world, *paths))
        during = world.sweep()
        # What it still wrote was before; here its points end.
        is_reached = point < len(world.faults.points)
        removal(world, "credentials", "tokens")("")
        lagging = world.sweep(after=TICK)
        world.store.thaw_listing()
        later = world.sweep(after=TICK)

        told = [*during.results, *lagging.results, *later.results]
        assert [each.error for each in told if not is_about_its_removal(each)] == [], point
        assert [
            each for each in told if needs_action(each.account, now=world.now, schedule=TICK)
        ] == [], point
        assert world.store.list_secrets() == ({}, {})
        point += 1


def is_about_its_removal(result: Result) -> bool:
    """Whether an account was refreshed before, or is left alone because it is being removed."""
    return result.outcome is Outcome.PUBLISHED or (
        (result.reason, result.outcome, result.error) == (Reason.ORPHANED, Outcome.NOT_DUE, None)
    )


@pytest.mark.parametrize("call", ["lease", "journal", "publish"])
def test_nobody_is_called_for_an_account_that_is_deleted_at_once_in_the_middle_of_a_refresh(
    world: World, call: str
) -> None:
    refresh_only_due_again(world)

    def delete() -> None:
        world.store.credentials.pop(ACCOUNT)
        world.store.tokens.pop(ACCOUNT)

    world.faults.meanwhile(f"before {call}", delete)
    result = world.refresh()

    assert (result.reason, result.error) == (Reason.ORPHANED, None)
    assert not needs_action(result.account, now=world.now, schedule=TICK)


@pytest.mark.parametrize("call", ["lease", "journal", "publish"])
def test_a_secret_that_was_just_created_may_not_be_found_by_the_next_call(
    world: World, call: str
) -> None:
    """All of Secrets Manager is eventually consistent: that passes, and nobody is called."""
    world.add_refresh_only()
    lagging = SecretStoreError("PutSecretValue", "ResourceNotFoundException", transient=True)
    world.faults.once(f"before {call}", lagging)
    [lagged], [account] = world.sweep().accounts, world.sweep(after=TICK).accounts

    for each in (lagged, account):
        assert not needs_action(each, now=world.now, schedule=TICK)
    assert account.published is not None


def test_a_response_that_came_while_its_account_was_removed_is_kept_until_it_is_restored(
    world: World,
) -> None:
    refresh_only_due_again(world)
    world.store.freeze_listing()
    world.faults.meanwhile("before journal", lambda: removal(world, "credentials", "tokens")(""))
    removed = world.refresh()
    assert (removed.reason, removed.error) == (Reason.ORPHANED, None)
    for secrets in (world.store.tokens, world.store.credentials):
        secrets[ACCOUNT].is_deleted = False
    restored = world.refresh(after=TICK)

    assert restored.outcome is Outcome.PUBLISHED
    assert world.grants == []


def test_where_the_credentials_cannot_be_described_the_refusal_itself_is_told(
    world: World,
) -> None:
    due_again(world)
    world.store.freeze_listing()
    world.store.tokens[ACCOUNT].is_deleted = True
    world.faults.once("before describe credentials", denied())

    assert code(world.refresh().error) == "scheduled_for_deletion"


# Failures.


@pytest.mark.parametrize("error", [denied, throttled])
def test_a_failure_before_anything_is_read_is_told_with_the_reason_of_the_listing(
    world: World, error: Callable[[], Exception]
) -> None:
    due_again(world)
    world.faults.once("before describe", error())
    result = world.refresh()

    assert (result.reason, result.outcome) == (Reason.NEARING_EXPIRY, Outcome.FAILED)


def test_a_failure_that_can_be_recorded_again_is_no_longer_kept(world: World) -> None:
    world.add(PASSWORD)
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    world.faults.once("before tag", denied())
    world.sweep()
    world.endpoint.answer(TokenRequestError("invalid_grant"))
    result = world.refresh(after=15 * MINUTE)

    assert result.account.unrecorded is None
    assert world.tags()["failure"].startswith("action required: invalid_grant/2/")


def test_what_another_run_has_recorded_since_counts_more_than_what_was_kept(world: World) -> None:
    """Here the other run has leased again: the lease that ended first is not the last."""
    world.add_refresh_only()
    world.endpoint.fail(unavailable)
    world.faults.once("before tag", denied())
    [kept] = [each.unrecorded for each in world.sweep().accounts]
    assert kept is not None
    other = world.beside()
    other.sweep(after=21 * MINUTE)
    world.now = other.now
    assert world.tags()["lease"] == f"{world.lease_id()}/unanswered"
    assert world.lease_id().endswith("-2")
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
    assert world.tags()["failure"].startswith("action required: unexpected_KeyError/1/")


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


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param(RefreshMode.KEEPS, {"grant-expires-at": "20261224T010000Z/2592000"},
                     id="the same refresh token keeps its end"),
        pytest.param(RefreshMode.ROTATES, {}, id="nobody knows a new one's"),
    ],
)  # fmt: skip
def test_a_response_that_does_not_say_when_its_refresh_token_ends(
    world: World, mode: RefreshMode, expected: dict[str, str]
) -> None:
    world.endpoint.mode = mode
    world.add_refresh_only()
    # The first response of a server that keeps refresh tokens names their life, too.
    world.endpoint.refresh_token_lifetime = timedelta(days=30)
    world.sweep()
    world.endpoint.refresh_token_lifetime = None
    world.sweep(after=UNTIL_DUE)

    assert world.tags() == expected


# Nothing secret shows.


def test_the_state_of_a_refresh_shows_no_token(world: World) -> None:
    due_again(world)
    result = world.refresh()

    assert "access-token" not in repr(result)
    assert "refresh-token" not in repr(result)


# A journal that another run has taken the stage from.


def test_a_late_response_to_an_earlier_consent_does_not_cost_the_later_one(world: World) -> None:
    """Two consents are two refresh tokens, and so two leases: both runs may be at it at once."""
    refresh_only_due_again(world)
    journal, [before] = world.journal(), world.endpoint.redeemed
    assert journal is not None
    late = JournalEntry(grant="of the earlier consent", host=journal["host"], refresh_token="late")
    version_id = f"20261124T010001Z-20261124T130001Z-{'0' * 12}-{'1' * 12}"
    world.store.write_protocol(ACCOUNT, version_id, late.to_json())

    assert world.refresh().outcome is Outcome.PUBLISHED
    sent = [request["refresh_token"] for request in world.endpoint.requests]
    assert sent == [journal["refresh_token"]] != [before]


def test_a_run_that_stood_still_keeps_what_it_was_given_where_it_cannot_look(world: World) -> None:
    """Whether another run has journaled a later response is unknown; its own has arrived."""
    refresh_only_due_again(world)

    def stand_still() -> None:
        world.now += 2 * MINUTE
        world.faults.once("before read journal", denied())

    world.faults.meanwhile("after request", stand_still)
    assert world.refresh().outcome is Outcome.PUBLISHED
    journal = world.journal()
    assert journal is not None
    assert journal["access_token"] == world.access_token()


def test_a_consent_that_is_given_while_a_request_is_under_way_is_served_after_it(
    world: World,
) -> None:
    refresh_only_due_again(world)
    seed = world.endpoint.seed()

    def consent() -> None:
        world.add({**CLIENT, "grant_type": "refresh_token", "refresh_token": seed})
        world.beside().sweep(accounts=[ACCOUNT])

    world.faults.meanwhile("after request", consent)
    world.sweep()
    world.sweep_for(TICK)

    assert world.endpoint.requests[-1]["refresh_token"] == seed
    assert world.endpoint.spent_came_back == 0


def test_a_rejection_does_not_hammer_a_password_that_was_refused(world: World) -> None:
    due_again(world)
    world.endpoint.fail(timed_out, grant_type="refresh_token")
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"), grant_type="password")
    world.sweep()
    version_id, sent = world.version_id(), 0
    for _ in range(60):
        world.reject(version_id, after=MINUTE)
        sent += world.grants.count("password")
    assert sent == 2


def test_external_versions_at_every_tick_stay_within_a_day_of_versions(world: World) -> None:
    """Whatever times they say, and however many of them come between two sweeps."""
    world.add(CLIENT_CREDENTIALS)
    world.sweep()
    published = 0
    for number in range(288):
        for part in range(2):
            issued_at = int(world.now.timestamp()) + HOUR.total_seconds()
            text = json.dumps({"access_token": "external", "issued_at": issued_at})
            name = f"external-{number:012}-{part:012}"
            world.store.tokens[ACCOUNT].put(name, text, [CURRENT])
        world.sweep(after=TICK)
        published += len(world.endpoint.requests)
    assert 48 <= published <= 144


@pytest.mark.parametrize("place", ["access_token", "scope"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["refused", "killed before it is judged"])
def test_a_refresh_token_that_a_server_sent_back_is_never_published_later(
    world: World, place: str, *, is_killed: bool
) -> None:
    """When nobody knows any more that it was one: it is neither the first nor the last."""
    world.add_refresh_only()
    world.endpoint.answer(response(refresh_token="invented-refresh-token-2"))
    world.sweep()
    told = {place: "invented-refresh-token-2", "refresh_token": "invented-refresh-token-3"}
    world.endpoint.answer(response(**told))
    if is_killed:
        world.faults.once("after journal", RunKilledError())
        with pytest.raises(RunKilledError):
            world.sweep(after=UNTIL_DUE)
        world.start_environment()
    else:
        world.sweep(after=UNTIL_DUE)
    for number in range(4, 20):
        new = {"access_token": f"token-{number}", "refresh_token": f"invented-{number}"}
        world.endpoint.answer(response(**new))
        world.sweep(after=2 * HOUR)
        versions = world.store.tokens[ACCOUNT].versions.values()
        assert not any("invented-refresh-token" in (text or "") for text in versions)
    assert world.access_token().startswith("token-")


def test_a_primary_grant_does_not_publish_the_refresh_token_that_failed_before_it(
    world: World,
) -> None:
    world.add(PASSWORD)
    world.endpoint.answer(response(refresh_token="invented-refresh-token-1"))
    world.sweep()
    echo = response(scope="a invented-refresh-token-1", refresh_token="invented-refresh-token-2")
    world.endpoint.answer(TokenRequestError("invalid_grant"), echo)
    result = world.refresh(after=UNTIL_DUE)
    assert len(world.endpoint.requests) == 2
    assert isinstance(result.error, TokenResponseError)
    assert result.error.code == "secret_in_response"


def test_a_defect_while_looking_for_the_account_costs_no_other_account_its_refresh(
    world: World,
) -> None:
    """It is looked for where a secret is told to be marked; whatever comes then has a record."""
    world.add(PASSWORD)
    world.add(PASSWORD, "dealer-18")
    marked = SecretStoreError("GetSecretValue", "InvalidRequestException", transient=False)
    world.faults.once("before read credentials", marked)
    world.faults.once("before describe credentials", ValueError("nobody foresaw it"))
    report = world.sweep()

    assert report.published == 1
    [failed] = [each for each in report.results if each.error is not None]
    assert code(failed.error) == "InvalidRequestException"
