"""What the tests over HTTP share: the emulator, and what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.resilience.matrix_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.authority import Authority
    from local.embedded_cloud import EmbeddedCloud


@pytest.fixture(scope="module")
def wire(embedded_cloud: EmbeddedCloud, authority: Authority) -> Iterator[Wire]:
    with Wire(embedded_cloud, authority).running() as wire:
        yield wire
