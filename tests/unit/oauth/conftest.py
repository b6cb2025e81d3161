"""The wire on which `oauth` meets servers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.unit.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.clock import DrivenClock


@pytest.fixture
def wire(authority: Authority, clock: DrivenClock) -> Iterator[Wire]:
    with ExitStack() as stack:
        yield Wire(authority, clock, stack)
