"""What docs/architecture.md says of calls, held to a sweep that makes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.unit.fakes import PARTNER, UNTIL_DUE, World
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE, PREVIOUS

DOCUMENT: Final = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()


def test_a_refresh_by_refresh_token_makes_these_calls_in_this_order() -> None:
    world = World()
    world.add(PARTNER, verify_url="https://www.autovit.ro/api/open/account")
    world.sweep()
    world.faults.reset()
    world.sweep(after=UNTIL_DUE)
    passed = [point.removeprefix("before ") for point in world.faults.points if "before" in point]
    table = DOCUMENT.split("\n## A refresh, in the order of its calls\n")[1].split("\n## ")[0]
    assert passed == ["list", *re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)]
    assert world.grants == ["refresh_token"]


def test_a_sweep_in_which_nothing_is_due_is_the_listing_alone() -> None:
    world = World()
    world.add(PARTNER)
    world.sweep()
    world.sweep(after=UNTIL_DUE / 2)
    assert world.store.calls == ["list"]
    assert world.grants == []


def test_the_picture_shows_every_stage_but_the_one_of_a_rotation() -> None:
    picture = DOCUMENT.split("```mermaid")[1].split("```")[0]
    shown = set(re.findall(r"<br>([A-Z]{8,}):", picture))
    assert shown == {CURRENT, LEASE_STAGE, JOURNAL_STAGE, PREVIOUS}
