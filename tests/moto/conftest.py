"""The tests of other suites, with moto in the place of the embedded cloud.

A file here takes the tests of one file there by importing them; what they are given comes from
here. What moto does otherwise is in `differences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.cli.conftest import (  # noqa: F401 - fixtures
    _models_are_read_once,
    operator,
    relay,
    schedule,
    server,
)
from tests.integration.conftest import deployed  # noqa: F401 - a fixture
from tests.moto.differences import RECORD
from tests.resilience.conftest import wire  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from local.moto_cloud import MotoCloud

HERE = "tests/moto/"
# How a test tells that moto does otherwise; anything else is a mistake of the test.
TOLD_BY = (AssertionError, ClientError, pytest.fail.Exception)


@pytest.fixture(scope="session")
def embedded_cloud(moto: MotoCloud) -> MotoCloud:
    return moto


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect of each test what `differences` says; one that passes all the same is an error."""
    left_out: set[pytest.Item] = set()
    for item in items:
        if not item.nodeid.startswith(HERE):
            continue
        # The same is said of the embedded cloud in the fast suites.
        item.add_marker(pytest.mark.slow)
        named = {item.name, item.name.partition("[")[0]}
        if named & RECORD.left_out.keys():
            left_out.add(item)
        for difference in RECORD.differences:
            if named & set(difference.tests):
                item.add_marker(
                    pytest.mark.xfail(raises=TOLD_BY, reason=difference.what, strict=True)
                )
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
