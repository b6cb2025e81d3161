"""Lives of accounts, drawn at random: what a receiver of events knows is what the tags say."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from tests.unit.fakes import (
    CLIENT_CREDENTIALS,
    HOUR,
    PASSWORD,
    TICK,
    World,
    broken,
    certificate_refused,
    firewall,
    forbidden,
    lost_connection,
    no_connection,
    timed_out,
    too_many_requests,
)
from token_refresher.announcing import Announcer
from token_refresher.errors import FailureClass
from token_refresher.oauth.errors import TokenRequestError, TokenResponseError
from token_refresher.ports import CURRENT, PREVIOUS
from token_refresher.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from token_refresher.ports import Announcement

NAMES: Final = ("one", "two", "three")
READ: Final = (CURRENT, PREVIOUS)
LASTS: Final = timedelta(days=1)
ENOUGH: Final = timedelta(minutes=1)
FAILURES: Final = (
    *(broken, certificate_refused, firewall, forbidden, lost_connection, no_connection),
    *(timed_out, too_many_requests),
    lambda: TokenRequestError("invalid_grant"),
    lambda: TokenRequestError("invalid_client"),
    lambda: TokenResponseError("not one", code="missing_expires_in"),
)


class Receiver:
    """Keeps what events tell of each account, and drops a change that it knows.

    Attributes:
        knows: By account: well, failing, or the code that needs action.
        versions: Of all tokens that it was told of.
        ids: Of the changes that it was told of.
    """

    def __init__(self) -> None:
        self.knows = dict.fromkeys(NAMES, "well")
        self.versions: set[str] = set()
        self.ids: set[str] = set()

    def put(self, batch: Sequence[Announcement]) -> list[str]:
        for event in batch:
            detail = json.loads(event.detail)
            if detail["change_id"] not in self.ids:
                self.ids.add(detail["change_id"])
                self._learn(event.kind, detail["account"], detail["code"], detail["version_id"])
        return [""] * len(batch)

    def _learn(self, kind: str, account: str, code: str, version_id: str) -> None:
        before = self.knows[account]
        if kind == "Token Published":
            self.versions.add(version_id)
        elif kind == "Refresh Recovered":
            assert before != "well"
            self.knows[account] = "well"
        elif kind == "Refresh Failed":
            assert before != "failing"
            self.knows[account] = "failing"
        else:
            self.knows[account] = code


def by_tags(world: World, name: str) -> str:
    """What the account is, by what is on record."""
    failure = world.account(name).failure
    if failure is None:
        return "well"
    needs_action = failure.failure_class is FailureClass.ACTION_REQUIRED
    return failure.code if needs_action else "failing"


@pytest.mark.parametrize("seed", range(12))
def test_a_receiver_of_events_alone_knows_every_account(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - the same lives each time
    world, receiver = World(max_workers=1), Receiver()
    announcer = Announcer(Settings(), lambda: receiver)
    for name in NAMES:
        world.add(random.choice((CLIENT_CREDENTIALS, PASSWORD)), name)
    world.add_refresh_only(random.choice(NAMES))
    world.endpoint.lifetime = random.choice((HOUR, 12 * HOUR))
    published: set[str] = set()
    ends_at = world.now + LASTS
    while world.now < ends_at:
        name, force = random.choice(NAMES), False
        match random.randrange(16):
            case 0 | 1:
                world.endpoint.fail(random.choice(FAILURES))
            case 2 | 3 | 4:
                world.endpoint.fail(None)
            case 5:
                world.add_refresh_only(name)
            case 6:
                world.add(PASSWORD, name)
            case 7:
                world.start_environment()
            case 8:
                force = True
        after = random.choice((TICK, TICK, TICK, HOUR, timedelta(seconds=1)))
        report = world.sweep(after=after, accounts=[name] if force else [], force=force)
        announcer.announce(report, time_left=lambda: ENOUGH)
        stages = [secret.stages for secret in world.store.tokens.values()]
        published |= {at for each in stages for stage, at in each.items() if stage in READ}

        assert receiver.knows == {each: by_tags(world, each) for each in NAMES}
        assert receiver.versions == published
    assert len(receiver.ids) > len(receiver.versions) > len(NAMES)
