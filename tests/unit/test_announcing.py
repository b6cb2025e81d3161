"""What becomes of events: put in batches, kept where they cannot be, and never in the way."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    TICK,
    TWELVE_HOURS,
    UNTIL_DUE,
    RefreshMode,
    RunKilledError,
    World,
    timed_out,
)
from token_refresher.announcing import Announcer, NotPut
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from token_refresher.ports import Announcement

PLACE = Settings(service="tokens-of-acme", secret_prefix="team/oauth", region="eu-west-1")
A_MINUTE = timedelta(minutes=1)


class Bus:
    """An event bus that refuses as it is told.

    Attributes:
        put_so_far: What it has taken.
        batches: How many events came in each call.
        refuses: Tells the code for an event, or nothing.
    """

    def __init__(self) -> None:
        self.put_so_far: list[Announcement] = []
        self.batches: list[int] = []
        self.refuses: Callable[[Announcement], str] = lambda _: ""

    def put(self, batch: Sequence[Announcement]) -> list[str]:
        self.batches.append(len(batch))
        codes = [self.refuses(each) for each in batch]
        self.put_so_far += [each for each, code in zip(batch, codes, strict=True) if not code]
        return codes

    @property
    def accounts(self) -> list[str]:
        return [json.loads(each.detail)["account"] for each in self.put_so_far]


class Told:
    """A world whose changes are announced."""

    def __init__(self) -> None:
        self.world = World(max_workers=1)
        self.bus = Bus()
        self.connected = 0
        self.is_unreachable = False
        self.announcer = Announcer(PLACE, self._connect)

    def _connect(self) -> Bus:
        self.connected += 1
        if self.is_unreachable:
            raise OSError("no client")
        return self.bus

    def sweep(self, *, left: timedelta = A_MINUTE, after: timedelta = TICK) -> NotPut | None:
        report = self.world.sweep(after=after)
        return self.announcer.announce(report, time_left=lambda: left)

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.bus.put_so_far]

    @property
    def ids(self) -> list[str]:
        return [json.loads(each.detail)["change_id"] for each in self.bus.put_so_far]

    def onboard(self, count: int, *, name: str = "dealer") -> list[str]:
        names = [f"{name}-{number:04}" for number in range(count)]
        for each in names:
            self.world.add(CLIENT_CREDENTIALS, each)
        return names


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_bus_is_connected_to_with_the_first_event_and_once(told: Told) -> None:
    told.sweep()
    assert told.connected == 0
    told.onboard(1)
    told.sweep()
    told.onboard(1, name="another")
    told.sweep()

    assert told.connected == 1
    assert len(told.bus.put_so_far) == 2


def test_many_events_go_in_batches_of_ten(told: Told) -> None:
    names = told.onboard(35)

    assert told.sweep() is None
    assert sorted(told.bus.batches) == [5, 10, 10, 10]
    assert sorted(told.bus.accounts) == names


def test_what_could_not_be_put_is_put_first_next_time_and_only_once(told: Told) -> None:
    first = told.onboard(12)
    told.bus.refuses = lambda each: "ThrottlingException" if first[3] in each.detail else ""
    assert told.sweep() == NotPut(1, "ThrottlingException")
    told.bus.refuses = lambda _: ""
    put_before = len(told.bus.put_so_far)
    [later] = told.onboard(1, name="later")

    assert told.sweep() is None
    assert told.bus.accounts[put_before:] == [first[3], later]


def test_an_event_that_waited_has_the_time_of_its_change(told: Told) -> None:
    told.onboard(1)
    told.bus.refuses = lambda _: "InternalFailure"
    told.sweep()
    happened_at = told.world.now
    told.bus.refuses = lambda _: ""
    told.sweep(after=timedelta(hours=1))

    assert [each.at for each in told.bus.put_so_far] == [happened_at]


def test_where_nothing_is_allowed_one_batch_is_tried_and_all_are_kept(told: Told) -> None:
    names = told.onboard(25)
    told.bus.refuses = lambda _: "AccessDeniedException"
    assert told.sweep() == NotPut(25, "AccessDeniedException")
    assert told.bus.batches == [10]
    told.bus.refuses = lambda _: ""

    assert told.sweep() is None
    assert sorted(told.bus.accounts) == names


def test_what_there_is_no_time_for_is_kept(told: Told) -> None:
    names = told.onboard(3)
    assert told.sweep(left=timedelta(seconds=3)) == NotPut(3, "out_of_time")
    assert told.bus.batches == []
    assert told.sweep(left=timedelta(seconds=5)) is None

    assert sorted(told.bus.accounts) == names


@pytest.mark.slow
def test_more_than_five_thousand_are_not_kept_and_the_latest_are(told: Told) -> None:
    told.onboard(5_003)
    report = told.world.sweep()
    told.bus.refuses = lambda _: "AccessDeniedException"
    assert told.announcer.announce(report, time_left=lambda: A_MINUTE) == NotPut(
        5_003, "AccessDeniedException", lost=3
    )
    told.bus.refuses = lambda _: ""
    told.sweep()

    assert len(told.bus.put_so_far) == 5_000
    assert "dealer-5002" in told.bus.accounts
    assert "dealer-0002" not in told.bus.accounts


def test_events_are_kept_where_the_bus_cannot_even_be_connected_to(told: Told) -> None:
    told.onboard(1)
    told.is_unreachable = True
    with pytest.raises(OSError, match="no client"):
        told.sweep()
    told.is_unreachable = False
    told.sweep()

    assert len(told.bus.put_so_far) == 1


def test_an_event_names_its_place_and_its_secrets(told: Told) -> None:
    told.onboard(1)
    told.sweep()
    [event] = told.bus.put_so_far
    detail = json.loads(event.detail)

    assert detail == detail | {
        "stack": "tokens-of-acme",
        "prefix": "team/oauth",
        "account": "dealer-0000",
        "credentials_secret": "team/oauth/credentials/dealer-0000",
        "token_secret": "team/oauth/tokens/dealer-0000",
    }


def test_a_message_ends_with_a_command_that_can_be_pasted(told: Told) -> None:
    told.world.add({**CLIENT_CREDENTIALS, "user_agent": ""})
    told.sweep()
    detail = json.loads(told.bus.put_so_far[0].detail)

    assert detail["message"].endswith(
        ": token-refresher correct dealer-17 --region eu-west-1 --stack tokens-of-acme"
    )
    assert detail["message"].endswith(detail["fix"][1:])


def test_a_message_without_a_command_ends_as_a_sentence(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    told.world.endpoint.fail(timed_out)
    told.sweep()
    detail = json.loads(told.bus.put_so_far[0].detail)

    assert detail["message"].endswith("ask the server's operator.")


def test_a_token_that_has_ended_is_said_to_have(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    told.sweep()
    told.world.endpoint.fail(timed_out)
    told.sweep(after=timedelta(hours=13))
    detail = json.loads(told.bus.put_so_far[-1].detail)

    assert "; its token ended at 2026-11-24 " in detail["message"]


def test_every_time_is_of_whole_seconds(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    told.sweep(after=timedelta(microseconds=123_456))
    told.world.endpoint.fail(timed_out)
    told.sweep(after=timedelta(hours=11))

    assert told.world.now.microsecond
    assert len(told.bus.put_so_far) == 2
    assert "." not in "".join(re.findall(r"T\d\d:\S+", "".join(map(str, told.bus.put_so_far))))


def test_two_accounts_and_two_kinds_of_change_never_have_the_same_id(told: Told) -> None:
    told.onboard(20)
    told.sweep()
    told.world.endpoint.fail(timed_out)
    told.sweep(after=timedelta(hours=12))
    told.world.endpoint.fail(None)
    told.sweep(after=timedelta(hours=1))
    ids = [json.loads(each.detail)["change_id"] for each in told.bus.put_so_far]

    # Three failures stop the host for the others.
    assert len({*ids}) == len(ids) == 20 + 3 + 20 + 3


def test_an_end_that_a_run_did_not_live_to_tell_is_told_by_the_next_refresh(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    told.sweep()
    told.world.endpoint.fail(timed_out)
    told.sweep(after=UNTIL_DUE)
    told.world.endpoint.fail(None)
    told.world.faults.once("before untag", RunKilledError())
    with pytest.raises(RunKilledError):
        told.sweep()
    told.world.start_environment()
    told.sweep()
    told.sweep(after=UNTIL_DUE)
    told.sweep(after=UNTIL_DUE)

    assert told.kinds == [
        "Token Published",
        "Refresh Failed",
        # The one between was published by the run that died.
        "Token Published",
        "Refresh Recovered",
        "Token Published",
    ]


def test_a_token_that_lives_too_short_is_news_again_after_another_need_for_action(
    told: Told,
) -> None:
    told.world.endpoint.lifetime = timedelta(minutes=10)
    told.world.add(CLIENT_CREDENTIALS)
    told.sweep()
    told.world.endpoint.fail(lambda: TokenRequestError("invalid_client"))
    told.sweep(after=timedelta(minutes=20))
    told.world.endpoint.fail(timed_out)
    told.sweep(after=timedelta(hours=1))
    required = [json.loads(each.detail) for each in told.bus.put_so_far[1:]]

    codes = [each["code"] for each in required]
    assert codes == ["token_lives_too_short", "invalid_client", "token_lives_too_short"]
    assert len({each["change_id"] for each in required}) == 3


def test_what_a_new_token_ended_is_told_of_as_later_than_what_it_ended(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    began_at = told.world.now

    def fail_in_another_run() -> None:
        told.world.now += A_MINUTE
        trigger = told.world.beside()
        trigger.endpoint.fail(timed_out)
        told.announcer.announce(trigger.sweep(), time_left=lambda: A_MINUTE)
        told.world.endpoint.fail(None)
        told.world.now += A_MINUTE

    told.world.faults.meanwhile("before describe", fail_in_another_run)
    forced = told.world.sweep(accounts=[ACCOUNT], force=True)
    told.announcer.announce(forced, time_left=lambda: A_MINUTE)

    assert [(each.kind, each.at) for each in told.bus.put_so_far] == [
        ("Refresh Failed", began_at + A_MINUTE),
        ("Token Published", began_at + 2 * A_MINUTE),
        ("Refresh Recovered", began_at + 2 * A_MINUTE),
    ]


def test_what_cannot_be_recorded_is_told_by_each_environment_as_the_same_change(
    told: Told,
) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    told.sweep()
    told.world.store.tokens[ACCOUNT].is_deleted = True
    told.sweep()
    told.sweep()
    told.world.start_environment()
    told.sweep(after=timedelta(hours=2))
    required = [json.loads(each.detail) for each in told.bus.put_so_far[1:]]

    assert [each["code"] for each in required] == ["scheduled_for_deletion"] * 2
    assert len({each["change_id"] for each in required}) == 1


def test_a_consent_that_begins_to_end_while_its_account_is_removed_is_no_news(told: Told) -> None:
    told.world.endpoint.refresh_token_lifetime = timedelta(days=20)
    told.world.endpoint.lifetime = timedelta(days=60)
    for name in ("removed", "kept"):
        told.world.add_refresh_only(name)
    told.sweep()
    told.sweep(after=timedelta(days=13) - TICK)
    told.world.store.credentials["removed"].is_deleted = True
    told.sweep(after=2 * TICK)

    assert told.kinds == ["Token Published", "Token Published", "Consent Ending"]
    assert told.bus.accounts[-1] == "kept"


def test_a_consent_that_is_renewed_long_before_its_end_is_no_news(told: Told) -> None:
    told.world.endpoint.refresh_token_lifetime = timedelta(days=20)
    told.world.add_refresh_only()
    told.sweep()
    told.sweep(after=UNTIL_DUE)

    assert told.kinds == ["Token Published", "Token Published"]


def test_a_token_that_comes_while_the_consent_is_ending_is_no_recovery(told: Told) -> None:
    told.world.endpoint.refresh_token_lifetime = timedelta(days=1)
    told.world.add_refresh_only()
    told.sweep()
    told.world.endpoint.mode = RefreshMode.KEEPS
    told.world.endpoint.refresh_token_lifetime = None
    told.world.endpoint.fail(timed_out)
    told.sweep(after=timedelta(hours=13))
    told.world.endpoint.fail(None)
    told.sweep(after=timedelta(hours=1))

    assert told.kinds == [
        "Token Published",
        "Consent Ending",
        "Refresh Failed",
        "Token Published",
    ]


def test_each_consent_that_ends_is_another_change(told: Told) -> None:
    told.world.endpoint.refresh_token_lifetime = timedelta(days=20)
    told.world.endpoint.lifetime = timedelta(days=60)
    told.world.add_refresh_only()
    told.sweep()
    for _ in range(2):
        told.sweep(after=timedelta(days=14))
        renewed = told.world.sweep(after=TICK, accounts=[ACCOUNT], force=True)
        told.announcer.announce(renewed, time_left=lambda: A_MINUTE)

    assert told.kinds.count("Consent Ending") == told.kinds.count("Refresh Recovered") == 2
    assert len(told.ids) == len({*told.ids})


def test_each_token_that_begins_to_live_too_short_is_another_change(told: Told) -> None:
    told.world.add(CLIENT_CREDENTIALS)
    for lifetime in 2 * (timedelta(minutes=10), TWELVE_HOURS):
        told.world.endpoint.lifetime = lifetime
        told.sweep(after=UNTIL_DUE)

    assert told.kinds.count("Action Required") == told.kinds.count("Refresh Recovered") == 2
    assert len(told.ids) == len({*told.ids})
