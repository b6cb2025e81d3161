"""An account's own timeout, in invocations of every length: no request outlives one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from tests.unit.fakes import (
    MINUTE,
    PASSWORD,
    SIGNS,
    TICK,
    UNTIL_DUE,
    FakeTokenEndpoint,
    World,
    timed_out,
)
from token_refresher.errors import NotAttemptedError
from token_refresher.oauth.errors import EndpointUnavailableError
from token_refresher.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.oauth.client_authentication import Client, Grant
    from token_refresher.oauth.token_response import TokenResponse

# As the template has them: of a schedule of a minute, of all others, and of a trigger.
SHORT: Final = timedelta(seconds=58)
LONG: Final = timedelta(seconds=240)
TRIGGER: Final = timedelta(seconds=70)
# The longest that a connection takes, and a signature; and what reading and starting took.
CONNECTING: Final = timedelta(seconds=10)
SIGNING: Final = timedelta(seconds=7)
BEFORE: Final = timedelta(seconds=6)


class SlowEndpoint(FakeTokenEndpoint):
    """Connects at the last moment, and says nothing until each account's timeout is over.

    So does what signs.

    Attributes:
        world: Whose time it takes.
        is_slow: Whether it does.
        timeouts: What each request would wait.
    """

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.now, world.faults)
        self.world, self.is_slow = world, False
        self.timeouts: list[int] = []

    def signed(self, client: Client) -> Client:
        if self.is_slow and client.signs:
            self.world.now += SIGNING
        return super().signed(client)

    def request(self, client: Client, grant: Grant) -> TokenResponse:
        client = self.signed(client)
        self.timeouts.append(client.timeout_seconds)
        if self.is_slow:
            self.world.now += timedelta(seconds=client.timeout_seconds)
            self.answer(timed_out())
        return super().request(client, grant)


def slow_world(
    schedule: timedelta, timeout_seconds: int, **form: object
) -> tuple[World, SlowEndpoint]:
    world = World(max_workers=1)
    endpoint = SlowEndpoint(world)
    world.endpoint = endpoint
    world.start_environment()
    world.sweeper.refresher = msgspec.structs.replace(world.sweeper.refresher, schedule=schedule)
    endpoint.allowed_hosts.add("id.example")
    world.add(PASSWORD, timeout_seconds=timeout_seconds, **form)
    return world, endpoint


@pytest.mark.parametrize("form", [{}, SIGNS], ids=["", "signs"])
@pytest.mark.parametrize("timeout_seconds", [1, 10, 20, 30])
@pytest.mark.parametrize(
    ("schedule", "invocation", "longest"),
    [
        pytest.param(MINUTE, SHORT, 20, id="every minute"),
        pytest.param(TICK, LONG, 30, id="every five minutes"),
        pytest.param(15 * MINUTE, TRIGGER, 30, id="a trigger"),
    ],
)
def test_no_server_however_slow_holds_a_refresh_beyond_its_invocation(
    schedule: timedelta,
    invocation: timedelta,
    longest: int,
    timeout_seconds: int,
    form: Mapping[str, object],
) -> None:
    """It is asked by refresh token and, if there is time, by the primary grant; never cut off."""
    world, endpoint = slow_world(schedule, timeout_seconds, **form)
    world.sweep()
    assert endpoint.timeouts == [min(timeout_seconds, longest)]

    endpoint.is_slow = True
    world.now += UNTIL_DUE
    world.invocation = invocation - BEFORE
    begun, before = world.now, len(endpoint.timeouts)
    world.faults.meanwhile("after connect", lambda: world.pause(CONNECTING))
    result = world.refresh()

    assert len(endpoint.timeouts) > before
    assert isinstance(result.error, EndpointUnavailableError)
    assert (result.outcome, result.error.code) == (Outcome.FAILED, "timeout")
    assert world.now - begun <= world.invocation - timedelta(seconds=5)

    endpoint.is_slow = False
    assert world.refresh(after=TICK).outcome is Outcome.PUBLISHED
    assert world.grants == ["password"]


def test_what_does_not_fit_into_what_is_left_is_not_begun() -> None:
    world, endpoint = slow_world(TICK, 30)
    world.invocation = timedelta(seconds=59)
    result = world.refresh()

    assert isinstance(result.error, NotAttemptedError)
    assert endpoint.timeouts == []
