"""What is written down of a failure, and what stays in memory where it cannot be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from tests.unit.fakes import (
    ACCOUNT,
    HOUR,
    MINUTE,
    PASSWORD,
    START,
    TWELVE_HOURS,
    World,
    denied,
    throttled,
    timed_out,
)
from token_refresher.errors import CredentialsError
from token_refresher.failures import Sending, unchanged_record
from token_refresher.journal import Journal, JournalEntry
from token_refresher.model import TokenVersion, published_from_id
from token_refresher.oauth.errors import TokenRequestError, TokenResponseError
from token_refresher.outcomes import Caution
from token_refresher.recording import Record
from token_refresher.records import (
    GRANT_EXPIRES_AT_TAG,
    LEASE_TAG,
    REFUSED_RESPONSE_TAG,
    CertificateLifetime,
    GrantLifetime,
    LeaseEnd,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_refresher.failures import Failure

VERSION: Final = TokenVersion(START, START + TWELVE_HOURS, "a" * 12, "b" * 12)
LEASE: Final = f"request-{'0' * 40}-1"
ENTRY: Final = JournalEntry(grant="g", host="h", refresh_token="r")
DAYS: Final = timedelta(days=1)
WRONG: Final = CredentialsError("`client_id` is missing")
REFUSED: Final = TokenRequestError("invalid_grant")


@pytest.fixture
def world() -> World:
    world = World()
    world.add(PASSWORD)
    world.store.create_token_secret(ACCOUNT)
    return world


def record_of(world: World) -> Record:
    """What a refresh of the account begins with."""
    return Record(store=world.store, clock=lambda: world.now, account=world.account())


def fail(
    world: World,
    error: Failure,
    *,
    record: Record | None = None,
    journal: Journal | None = None,
    is_ours: bool = True,
) -> Record:
    record = record or record_of(world)
    journal = journal or Journal(store=world.store, account=ACCOUNT)
    record.fail(error, journal, now=world.now, is_ours=is_ours)
    return record


def test_a_failure_is_one_tag_and_a_refusal_two(world: World) -> None:
    fail(world, timed_out())
    assert world.tags().keys() == {"failure"}
    fail(world, REFUSED)
    assert world.tags().keys() == {"failure", "refusals"}


def test_what_costs_nothing_is_written_once_and_not_at_every_tick(world: World) -> None:
    fail(world, WRONG)
    before = world.tags()
    world.now += MINUTE
    world.store.calls.clear()
    fail(world, WRONG)
    assert (world.store.calls, world.tags()) == ([], before)

    fail(world, CredentialsError("x", code="another_host"))
    assert world.tags()["failure"].startswith("action required: another_host/2/")


def test_a_failure_before_any_token_secret_has_a_place(world: World) -> None:
    del world.store.tokens[ACCOUNT]
    record = fail(world, WRONG)
    assert world.store.calls[-2:] == ["create", "tag"]
    assert record.cautions == []


@pytest.mark.parametrize(
    "error", [throttled, denied, lambda: TypeError("defect")], ids=["throttled", "denied", "defect"]
)
@pytest.mark.parametrize("call", ["create", "tag"])
def test_a_failure_that_cannot_be_written_counts_in_this_environment(
    world: World, call: str, error: Callable[[], Exception]
) -> None:
    del world.store.tokens[ACCOUNT]
    world.faults.once(f"before {call}", error())
    record = fail(world, timed_out())

    assert record.cautions == [Caution.FAILURE_NOT_RECORDED]
    assert record.account.counting_failure is not None
    assert record.account.counting_failure.code == "timeout"


def test_a_lease_that_ended_and_could_not_be_written_is_written_with_the_next_failure(
    world: World,
) -> None:
    record = record_of(world)
    record.end_lease(LEASE, Sending(LeaseEnd.SPENT, world.now))
    world.faults.once("before tag", denied())
    fail(world, timed_out(), record=record)
    again = msgspec.structs.replace(record, ended=None, cautions=[])
    fail(world, timed_out(), record=again)

    assert world.tags()["lease"] == f"{LEASE}/spent"
    assert world.tags()["failure"].startswith("transient: timeout/2/")
    assert again.account.unrecorded is None


def test_on_a_persons_machine_only_what_is_true_of_the_refresh_token_is_written(
    world: World,
) -> None:
    record = record_of(world)
    record.end_lease(LEASE, Sending(LeaseEnd.UNANSWERED, world.now))
    journal = Journal(store=world.store, account=ACCOUNT, version_id="v", refused="v")
    fail(world, REFUSED, record=record, journal=journal, is_ours=False)

    assert world.tags() == {"lease": f"{LEASE}/unanswered", "refused-response": "v"}


def test_on_a_persons_machine_nothing_else_is_written_nor_created(world: World) -> None:
    del world.store.tokens[ACCOUNT]
    world.store.calls.clear()
    fail(world, REFUSED, is_ours=False)
    assert world.store.calls == []


def test_a_refused_response_that_is_in_no_journal_is_not_recorded(world: World) -> None:
    """It could never be published; and the tag names one that could."""
    world.store.tokens[ACCOUNT].tags[REFUSED_RESPONSE_TAG] = "in the journal"
    journal = Journal(store=world.store, account=ACCOUNT, version_id="in the journal", refused="x")
    fail(world, timed_out(), journal=journal)
    assert world.tags()["refused-response"] == "in the journal"


def test_a_response_that_cannot_be_had_again_is_kept_in_memory(world: World) -> None:
    for is_repeatable in (True, False):
        journal = Journal(store=world.store, account=ACCOUNT)
        journal.keep(str(VERSION), ENTRY, is_repeatable=is_repeatable)
        record = fail(world, timed_out(), journal=journal)
        assert (record.account.unwritten is None) is is_repeatable


@pytest.mark.parametrize(
    ("is_repeatable", "minutes"),
    [
        pytest.param(True, 10, id="one version"),
        pytest.param(False, 20, id="a lease and a response"),
    ],
)
def test_what_wrote_versions_for_nothing_is_not_tried_again_within_their_pace(
    world: World, minutes: int, *, is_repeatable: bool
) -> None:
    journal = Journal(store=world.store, account=ACCOUNT)
    journal.keep(str(VERSION), ENTRY, is_repeatable=is_repeatable)
    journal.refused = str(VERSION)
    assert journal.write(time_left=lambda: MINUTE, until=timedelta(0), pause=world.pause)
    record = fail(world, TokenResponseError("no token"), journal=journal)

    assert record.account.failure is not None
    next_attempt = record.account.failure.next_attempt
    assert next_attempt == START + minutes * MINUTE - timedelta(seconds=30)


# Success.


def test_a_success_clears_all_but_the_end_of_the_refresh_token(world: World) -> None:
    record = record_of(world)
    record.end_lease(LEASE, Sending(LeaseEnd.REFUSED, world.now))
    fail(world, REFUSED, record=record)
    grant = GrantLifetime(world.now + 30 * DAYS, 30 * DAYS)
    record.succeed(grant=grant)
    assert world.tags() == {"grant-expires-at": grant.to_tag()}

    world.store.calls.clear()
    record.succeed(grant=grant)
    assert world.store.calls == []
    record.succeed(grant=None)
    assert world.tags() == {}


def test_when_a_client_certificate_expires_is_kept_while_there_is_one(world: World) -> None:
    record = record_of(world)
    record.certificate = CertificateLifetime(world.now + 30 * DAYS, 365 * DAYS)
    for _ in range(2):
        record.succeed(grant=None)
    assert world.tags() == {"certificate-expires-at": record.certificate.to_tag()}
    assert world.store.calls.count("tag") == 1

    record.certificate = None
    record.succeed(grant=None)
    assert world.tags() == {}


@pytest.mark.parametrize("error", [denied, lambda: TypeError("defect")], ids=["denied", "defect"])
def test_a_record_that_cannot_be_cleared_counts_no_more_in_this_environment(
    world: World, error: Callable[[], Exception]
) -> None:
    record = fail(world, timed_out())
    world.faults.always("before untag", error)
    record.succeed(grant=None)

    assert record.account.failure is None
    assert record.cautions == [Caution.RECORD_NOT_WRITTEN]


def test_an_unchanged_token_takes_the_place_of_a_failure(world: World) -> None:
    record = record_of(world)
    record.end_lease(LEASE, Sending(LeaseEnd.UNANSWERED, world.now))
    fail(world, REFUSED, record=record)
    record.know(published=published_from_id(str(VERSION), now=world.now))
    world.store.calls.clear()
    record.succeed(grant=None, then=unchanged_record(record.account, now=world.now))

    assert world.store.calls == ["untag", "tag"]
    assert world.tags().keys() == {"failure"}
    assert world.tags()["failure"].startswith("transient: unchanged/0/")


# When the refresh token itself ends.


@pytest.mark.parametrize(
    ("before", "expires_in", "is_new", "expected"),
    [
        pytest.param(None, None, True, None, id="nobody has ever said"),
        pytest.param(None, 30 * DAYS, True, (30 * DAYS, 30 * DAYS), id="the first response says"),
        pytest.param((10 * DAYS, 30 * DAYS), 30 * DAYS, True, (30 * DAYS, 30 * DAYS),
                     id="a new one has a new end"),
        pytest.param((10 * DAYS, 30 * DAYS), 10 * DAYS, True, (10 * DAYS, 30 * DAYS),
                     id="one that is not renewed keeps its life"),
        pytest.param((10 * DAYS, 30 * DAYS), 10 * DAYS + 5 * MINUTE, True,
                     (10 * DAYS + 5 * MINUTE, 10 * DAYS + 5 * MINUTE),
                     id="five minutes more are a new life"),
        pytest.param((10 * DAYS, 30 * DAYS), None, False, (10 * DAYS, 30 * DAYS),
                     id="the same refresh token keeps its end"),
        pytest.param((10 * DAYS, 30 * DAYS), None, True, None,
                     id="nobody says when the new one ends"),
        pytest.param((timedelta(0), 30 * DAYS), None, False, None,
                     id="one that works after its end has another"),
    ],
)  # fmt: skip
def test_when_a_refresh_token_ends_is_told_by_the_last_who_knew(
    world: World,
    before: tuple[timedelta, timedelta] | None,
    expires_in: timedelta | None,
    expected: tuple[timedelta, timedelta] | None,
    *,
    is_new: bool,
) -> None:
    if before is not None:
        grant = GrantLifetime(START + before[0], before[1])
        world.store.tokens[ACCOUNT].tags[GRANT_EXPIRES_AT_TAG] = grant.to_tag()
    found = record_of(world).next_grant(VERSION, expires_in, is_new=is_new)
    assert found == (expected and GrantLifetime(START + expected[0], expected[1]))


# A block.


@pytest.mark.parametrize("refusals", [0, 2], ids=["none before", "some before"])
def test_what_turned_out_to_be_a_block_is_forgotten(world: World, refusals: int) -> None:
    for _ in range(refusals):
        fail(world, REFUSED)
        world.now += HOUR
    before, tags = world.account(), world.tags()
    record = fail(world, REFUSED)
    record.forget_failures_since(before)

    assert record.account.failure == before.failure
    assert record.account.refusals == before.refusals
    assert world.tags().get("refusals") == tags.get("refusals")


def test_what_turned_out_to_be_a_block_is_forgotten_though_it_was_never_written(
    world: World,
) -> None:
    before = world.account()
    world.faults.once("before tag", denied())
    record = fail(world, REFUSED)
    record.forget_failures_since(before)

    assert (record.account.failure, record.account.unrecorded) == (None, None)


def test_the_end_of_a_lease_outlives_a_block(world: World) -> None:
    before = world.account()
    record = record_of(world)
    record.end_lease(LEASE, Sending(LeaseEnd.REFUSED, world.now))
    fail(world, REFUSED, record=record)
    record.forget_failures_since(before)

    assert record.account.tags[LEASE_TAG] == f"{LEASE}/refused"
