"""Who may send a refresh token: exactly one run at a time, and not too soon after the last."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from tests.unit.fakes import ACCOUNT, CLIENT, HOUR, MINUTE, START, World, denied, throttled
from token_refresher.errors import (
    HeldError,
    LeasedError,
    LeaseTooOldError,
    RefreshTokenHeldError,
    SecretStoreError,
)
from token_refresher.journal import Journal, JournalEntry
from token_refresher.leases import Lease, LeaseContent, Leases, lease_id, number_of
from token_refresher.model import TokenVersion
from token_refresher.ports import LEASE_STAGE, SecretMetadata, is_lease_id
from token_refresher.records import LEASE_TAG, LeaseEnd, ended_lease

if TYPE_CHECKING:
    from datetime import datetime

    from token_refresher.failures import Sending

SECOND: Final = timedelta(seconds=1)
BASIS: Final = "20261124T010000Z-20261124T130000Z-aaaaaaaaaaaa-bbbbbbbbbbbb"
ANOTHER: Final = BASIS.replace("T01", "T00")


@pytest.fixture
def world() -> World:
    world = World()
    world.add_refresh_only()
    return world


def leases_of(
    world: World,
    *,
    basis: str = BASIS,
    end: LeaseEnd | None = None,
    began_at: datetime | None = None,
    journal: Journal | None = None,
    tags: dict[str, str] | None = None,
) -> Leases:
    """What a run that begins now has; ``end`` is on record for the stage's lease."""
    account = world.account()
    tags = dict(tags or {})
    if end is not None:
        tags[LEASE_TAG] = ended_lease(world.lease_id(), end)
    return Leases(
        store=world.store,
        account=replace(account, token=SecretMetadata({}, tags)),
        basis=basis,
        journal=journal or Journal(store=world.store, account=ACCOUNT),
        began_at=began_at or world.now,
        clock=lambda: world.now,
    )


def whatever(_: str, __: Sending) -> None:
    """Let any refresh token be sent again."""


def lost(_: str, __: Sending) -> None:
    pytest.fail("nothing was lost")


# Ids and numbers.


def test_a_lease_id_is_the_same_for_every_run_and_another_for_every_number() -> None:
    ids = {lease_id("journal", number) for number in (1, 1, 2)} | {lease_id("other", 1)}
    assert len(ids) == 3
    assert all(32 <= len(each) <= 64 for each in ids)
    assert all(map(is_lease_id, ids))
    assert len(lease_id("journal", 999_999_999)) <= 64


def test_a_lease_id_says_its_basis_and_its_number() -> None:
    # The SHA-256 of "abc" begins with these.
    assert lease_id("abc", 7) == "request-ba7816bf8f01cfea414140de5dae2223b00361a3-7"


@pytest.mark.parametrize(
    ("version_id", "number"),
    [
        pytest.param(lease_id(BASIS, 1), 1, id="the first"),
        pytest.param(lease_id(BASIS, 12), 12, id="the twelfth"),
        pytest.param(lease_id(ANOTHER, 1), None, id="of another refresh token"),
        pytest.param(lease_id(BASIS, 1)[:-2], None, id="without a number"),
        pytest.param(lease_id(BASIS, 1).replace("-1", "-01"), None, id="a number that is not ours"),
        pytest.param("x" * 40, None, id="somebody else's"),
        pytest.param(None, None, id="none"),
    ],
)
def test_a_number_is_told_of_the_same_refresh_token_alone(
    version_id: str | None, number: int | None
) -> None:
    assert number_of(version_id, BASIS) == number


def test_a_lease_says_when_whose_and_with_which_credentials(world: World) -> None:
    lease = leases_of(world).take(lost)
    [(version_id, content)] = world.leases().items()

    assert version_id == lease.version_id == lease_id(BASIS, 1) == world.lease_id()
    assert content.pop("run")
    assert content == {
        "leased_at": int(START.timestamp()),
        "credentials": world.credentials_digest(),
    }


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"leased_at": 1}',
        '{"leased_at": -1, "run": "r", "credentials": "c"}',
        '{"leased_at": 32503680000, "run": "r", "credentials": "c"}',
    ],
)
def test_what_no_run_has_written_is_no_lease(text: str | None) -> None:
    assert LeaseContent.from_json(text) is None


# Which number is put.


def test_the_first_lease_of_a_refresh_token_has_the_number_one(world: World) -> None:
    assert leases_of(world).take(lost).number == 1


def test_the_number_of_the_stage_is_put_first_and_the_next_once_that_is_lost(world: World) -> None:
    leases_of(world).take(lost)
    world.now += 20 * MINUTE
    world.store.calls.clear()
    lease = leases_of(world).take(whatever)

    assert lease.number == 2
    assert world.store.calls == ["lease", "read lease", "lease"]


def test_a_stage_that_is_read_too_old_costs_a_put_for_each_lease_since(world: World) -> None:
    leases_of(world).take(lost)
    stale = leases_of(world)
    for _ in range(2):
        world.now += 20 * MINUTE
        leases_of(world).take(whatever)
    world.now += 20 * MINUTE
    world.store.calls.clear()
    lease = msgspec.structs.replace(stale, began_at=world.now).take(whatever)

    assert lease.number == 4
    assert world.store.calls == ["lease", "read lease"] * 3 + ["lease"]


def test_no_number_is_passed_over_that_is_not_over(world: World) -> None:
    leases_of(world).take(lost)
    stale = leases_of(world)
    world.now += 20 * MINUTE
    leases_of(world).take(whatever)
    world.now += MINUTE

    with pytest.raises(LeasedError):
        msgspec.structs.replace(stale, began_at=world.now).take(whatever)
    assert len(world.leases()) == 2


def test_one_of_many_runs_at_once_wins(world: World) -> None:
    won: list[Lease] = []
    leases = leases_of(world)
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        with suppress(LeasedError):
            won.append(leases.take(lost))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease.number for lease in won] == [1]


# A lost lease: read by its id, and aged from the run's own beginning.


@pytest.mark.parametrize(
    ("age", "is_over"),
    [(20 * MINUTE, True), (20 * MINUTE - SECOND, False), (15 * MINUTE, False)],
)
def test_a_lease_whose_end_nobody_recorded_is_over_after_twenty_minutes(
    world: World, age: timedelta, *, is_over: bool
) -> None:
    leases_of(world).take(lost)
    world.now += age
    if is_over:
        assert leases_of(world).take(whatever).number == 2
    else:
        with pytest.raises(LeasedError):
            leases_of(world).take(whatever)


def test_a_lost_lease_is_aged_from_the_runs_own_beginning(world: World) -> None:
    """A run that was stopped must not find a lease over that was taken after what it has read."""
    leases = leases_of(world)
    world.now += MINUTE
    leases_of(world).take(lost)
    world.now += HOUR

    with pytest.raises(LeasedError):
        leases.take(whatever)


@pytest.mark.parametrize("end", list(LeaseEnd))
def test_a_lease_whose_end_is_on_record_is_over_at_once(world: World, end: LeaseEnd) -> None:
    first = leases_of(world).take(lost)
    world.now += 15 * MINUTE
    asked: list[tuple[str, Sending]] = []
    leases_of(world, end=end).take(lambda *about: asked.append(about))

    [(lost_id, sending)] = asked
    assert (lost_id, sending.end, sending.leased_at) == (first.version_id, end, START)


def test_where_nobody_recorded_an_end_the_refresh_token_counts_as_unanswered(world: World) -> None:
    leases_of(world).take(lost)
    world.now += 20 * MINUTE
    ends: list[LeaseEnd] = []
    leases_of(world).take(lambda _, last: ends.append(last.end))

    assert ends == [LeaseEnd.UNANSWERED]


def test_an_end_of_another_lease_ends_nothing(world: World) -> None:
    leases_of(world).take(lost)
    world.now += 15 * MINUTE
    tags = {LEASE_TAG: ended_lease(lease_id(BASIS, 2), LeaseEnd.UNANSWERED)}

    with pytest.raises(LeasedError):
        leases_of(world, tags=tags).take(whatever)


@pytest.mark.parametrize("content", [b"", "not a lease"], ids=["not there yet", "not ours"])
def test_a_lost_lease_that_cannot_be_read_counts_as_another_runs(
    world: World, content: str | bytes
) -> None:
    lease = leases_of(world).take(lost)
    world.store.credentials[ACCOUNT].versions[lease.version_id] = content

    with pytest.raises(LeasedError):
        leases_of(world, end=LeaseEnd.UNANSWERED, began_at=world.now + HOUR).take(whatever)


HELD_UNTIL: Final = START + 12 * HOUR


def test_who_asks_may_say_no(world: World) -> None:
    leases_of(world).take(lost)
    world.now += HOUR

    def no(_: str, last: Sending) -> None:
        raise RefreshTokenHeldError(is_spent=False, until=HELD_UNTIL, by_force=last.leased_at)

    with pytest.raises(RefreshTokenHeldError):
        leases_of(world).take(no)
    assert len(world.leases()) == 1


# A put whose response is lost.


def test_a_lease_that_was_written_though_the_put_failed_is_this_runs_own(world: World) -> None:
    world.faults.once("after lease", throttled())

    assert leases_of(world).take(lost).number == 1
    assert world.store.calls[-2:] == ["lease", "read lease"]


@pytest.mark.parametrize("error", [throttled, denied])
def test_a_lease_that_was_not_written_is_none(world: World, error: Any) -> None:  # noqa: ANN401
    world.faults.once("before lease", error())

    with pytest.raises(SecretStoreError):
        leases_of(world).take(lost)
    assert world.leases() == {}


def test_another_runs_lease_is_not_taken_for_its_own_when_a_put_fails(world: World) -> None:
    leases_of(world).take(lost)
    world.faults.once("after lease", throttled())

    with pytest.raises(SecretStoreError):
        leases_of(world).take(whatever)


# The time between two leases.


def put_credentials(world: World) -> None:
    """A person writes other credentials, with the same refresh token."""
    number = len(world.store.credentials[ACCOUNT].versions)
    world.add({**CLIENT, "grant_type": "refresh_token", "refresh_token": f"r-{number}"})


TICKS: Final = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("end", "age", "is_held"),
    [
        pytest.param(LeaseEnd.REFUSED, 15 * MINUTE - TICKS, False, id="15 minutes, less a slack"),
        pytest.param(LeaseEnd.REFUSED, 15 * MINUTE - TICKS - SECOND, True, id="no sooner"),
        pytest.param(LeaseEnd.UNANSWERED, MINUTE, True, id="whatever the end"),
    ],
)
def test_fifteen_minutes_lie_between_two_leases_of_one_refresh_token(
    world: World, end: LeaseEnd, age: timedelta, *, is_held: bool
) -> None:
    leases_of(world).take(lost)
    world.now += age
    if is_held:
        with pytest.raises(HeldError, match="from 2026-11-24T01:15:00"):
            leases_of(world, end=end).take(whatever)
    else:
        assert leases_of(world, end=end).take(whatever).number == 2


@pytest.mark.parametrize(
    ("age", "is_held"), [(15 * MINUTE - TICKS, False), (15 * MINUTE - TICKS - SECOND, True)]
)
def test_fifteen_minutes_lie_between_leases_of_two_refresh_tokens_of_one_secret(
    world: World, age: timedelta, *, is_held: bool
) -> None:
    leases_of(world, basis=ANOTHER).take(lost)
    world.now += age
    if is_held:
        with pytest.raises(HeldError):
            leases_of(world).take(lost)
    else:
        assert leases_of(world).take(lost).number == 1


@pytest.mark.parametrize(
    ("end", "age", "is_held"),
    [
        pytest.param(LeaseEnd.UNANSWERED, 5 * MINUTE - TICKS, False, id="five minutes"),
        pytest.param(LeaseEnd.UNANSWERED, 5 * MINUTE - TICKS - SECOND, True, id="no sooner"),
        pytest.param(None, 5 * MINUTE, True, id="fifteen where no end is on record"),
    ],
)
def test_five_minutes_are_enough_where_the_refresh_token_ends_first(
    world: World, end: LeaseEnd | None, age: timedelta, *, is_held: bool
) -> None:
    leases_of(world, basis=ANOTHER).take(lost)
    world.now += age
    tags = {"token-refresher:grant-expires-at": "20261124T011400Z/1800"}
    if is_held:
        with pytest.raises(HeldError):
            leases_of(world, end=end, tags=tags).take(lost)
    else:
        assert leases_of(world, end=end, tags=tags).take(lost).number == 1


@pytest.mark.parametrize(
    ("age", "is_held"), [(20 * MINUTE - TICKS, False), (20 * MINUTE - TICKS - SECOND, True)]
)
def test_twenty_minutes_lie_between_leases_that_bring_what_is_refused(
    world: World, age: timedelta, *, is_held: bool
) -> None:
    leases_of(world, basis=ANOTHER).take(lost)
    world.store.write_protocol(
        ACCOUNT, BASIS, JournalEntry(grant="g", host="h", refresh_token="r").to_json()
    )
    world.now += age
    tags = {"token-refresher:refused-response": BASIS}
    if is_held:
        with pytest.raises(HeldError):
            leases_of(world, tags=tags).take(lost)
    else:
        assert leases_of(world, tags=tags).take(lost).number == 1


@pytest.mark.parametrize("basis", [BASIS, ANOTHER], ids=["the same", "another"])
def test_credentials_that_were_put_are_tried_at_once_and_once(world: World, basis: str) -> None:
    leases_of(world, basis=ANOTHER).take(lost)
    put_credentials(world)
    world.now += SECOND
    early = leases_of(world, basis=basis, end=LeaseEnd.REFUSED).take(whatever)
    assert world.leases()[early.version_id]["is_early"] is True

    put_credentials(world)
    world.now += 15 * MINUTE - TICKS - SECOND
    with pytest.raises(HeldError):
        leases_of(world, basis=basis, end=LeaseEnd.REFUSED).take(whatever)
    world.now += SECOND
    late = leases_of(world, basis=basis, end=LeaseEnd.REFUSED).take(whatever)
    assert "is_early" not in world.leases()[late.version_id]


def test_credentials_that_were_put_pass_over_no_run_that_may_still_be_at_it(world: World) -> None:
    leases_of(world).take(lost)
    put_credentials(world)

    with pytest.raises(LeasedError):
        leases_of(world).take(whatever)


# What a healthy refresh need not read.


def journal_of(world: World, *, lease: str) -> Journal:
    """A journal whose response was had two minutes after the beginning, under this lease."""
    version = TokenVersion(START + 2 * MINUTE, START + 12 * HOUR, "a" * 12, "b" * 12)
    entry = JournalEntry(grant="", host="h", lease=lease)
    return Journal(store=world.store, account=ACCOUNT, version_id=str(version), entry=entry)


@pytest.mark.parametrize(
    ("age", "reads"),
    [
        pytest.param(17 * MINUTE - TICKS, [], id="its time is known by the journal"),
        pytest.param(17 * MINUTE - TICKS - SECOND, ["read lease"], id="sooner it is read"),
    ],
)
def test_a_lease_that_brought_the_journal_is_not_read_for_its_time(
    world: World, age: timedelta, reads: list[str]
) -> None:
    old = leases_of(world, basis=ANOTHER).take(lost)
    world.now += age
    world.store.calls.clear()

    journal = journal_of(world, lease=old.version_id)
    assert leases_of(world, journal=journal).take(lost).number == 1
    assert world.store.calls == [*reads, "lease"]


@pytest.mark.parametrize(("age", "error"), [(119 * SECOND, LeasedError), (120 * SECOND, HeldError)])
def test_a_lease_that_was_taken_since_the_journal_is_read_for_its_time(
    world: World, age: timedelta, error: type[Exception]
) -> None:
    """For two minutes its run may be at it: of an earlier consent, whose response comes late."""
    world.now += 18 * MINUTE
    leases_of(world, basis=ANOTHER).take(lost)
    world.now += age

    with pytest.raises(error):
        leases_of(world, journal=journal_of(world, lease="an older one")).take(lost)


def test_a_last_lease_that_cannot_be_read_yet_is_busy(world: World) -> None:
    old = leases_of(world, basis=ANOTHER).take(lost)
    del world.store.credentials[ACCOUNT].versions[old.version_id]
    assert world.store.credentials[ACCOUNT].stages[LEASE_STAGE] == old.version_id

    with pytest.raises(LeasedError):
        leases_of(world).take(lost)


def test_a_last_lease_that_says_nothing_holds_nothing(world: World) -> None:
    old = leases_of(world, basis=ANOTHER).take(lost)
    world.store.credentials[ACCOUNT].versions[old.version_id] = "edited"

    assert leases_of(world).take(lost).number == 1


# The age of a lease.


@pytest.mark.parametrize(("age", "is_old"), [(60 * SECOND, False), (61 * SECOND, True)])
def test_a_lease_of_more_than_sixty_seconds_is_too_old_to_send_anything(
    age: timedelta, *, is_old: bool
) -> None:
    lease = Lease("request", 1, START)
    assert lease.is_old(START + age) is is_old
    if is_old:
        with pytest.raises(LeaseTooOldError, match="nothing was sent"):
            lease.require_young(START + age)
    else:
        lease.require_young(START + age)


def test_a_leases_age_is_counted_from_before_it_was_put(world: World) -> None:
    def slowly() -> None:
        world.now += MINUTE

    world.faults.meanwhile("after lease", slowly)
    assert leases_of(world).take(lost).taken_at == START
