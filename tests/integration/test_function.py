"""The function in a process of its own, as the demo and the consumers' examples run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.function import Function

if TYPE_CHECKING:
    from local.clock import DrivenClock


def test_a_function_that_ends_by_itself_is_no_killed_one_and_its_log_is_told(
    clock: DrivenClock,
) -> None:
    with (
        Function(clock, {"AWS_REGION": "eu-west-1", "MAX_WORKERS": "none"}) as function,
        pytest.raises(RuntimeError, match=r"(?s)ended by itself.*MAX_WORKERS"),
    ):
        function.invoke({})
