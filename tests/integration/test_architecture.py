"""The ways that the architecture tells, held to the calls that are really made."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import token_refresher
from tests.integration.conftest import PASSWORD

if TYPE_CHECKING:
    from types import FrameType

    from tests.integration.conftest import Deployed

PACKAGE: Final = Path(token_refresher.__file__).parent
DOCUMENT: Final = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def calls_of_a_sweep(deployed: Deployed) -> list[str]:
    """Every function of the program that a sweep enters, as ``file:function``, in order."""
    entered: list[str] = []
    deployed.handler()

    def look(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in path.parents:
            entered.append(f"{path.relative_to(PACKAGE)}:{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        summary = deployed.sweep()
    finally:
        sys.setprofile(before)
    [told] = summary["accounts"]
    assert told["outcome"] == "published"
    return entered


@pytest.mark.parametrize(
    ("title", "is_refresh_only"),
    [("A password account", False), ("An account that has only a refresh token", True)],
)
def test_the_way_that_the_document_tells_is_the_way_that_is_gone(
    deployed: Deployed, title: str, *, is_refresh_only: bool
) -> None:
    if is_refresh_only:
        deployed.onboard_refresh_only("dealer-17")
    else:
        deployed.onboard("dealer-17", PASSWORD)
    section = DOCUMENT.split(f"\n### {title}\n")[1].split("\n#")[0]
    told = re.findall(r"^\| `([\w/.]+:\w+)` \|", section, re.MULTILINE)
    assert len(told) > 10
    entered = iter(calls_of_a_sweep(deployed))
    missing = [call for call in told if call not in entered]
    assert missing == []
