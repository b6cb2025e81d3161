"""Several processes sweep the same accounts at once, as overlapping invocations would."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.function import Function
from tests.integration.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.integration.conftest import Deployed


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_no_refresh_token_is_sent_twice(deployed: Deployed, processes: int) -> None:
    with ExitStack() as stack:
        functions = [
            stack.enter_context(Function(deployed.clock, deployed.environment))
            for _ in range(processes)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(processes))

        def all_sweep() -> None:
            list(pool.map(lambda function: function.invoke({}), functions))

        all_sweep()  # Each has started before there is anything to do.
        accounts = [f"dealer-{number}" for number in range(6)]
        for name in accounts:
            deployed.onboard(name, PASSWORD)
        deployed.onboard_refresh_only("refresh-only", access_token_lifetime=timedelta(hours=12))
        accounts.append("refresh-only")
        for _ in range(4):
            all_sweep()
            for name in accounts:
                assert deployed.token(name)["expires_at"] > deployed.clock.now().timestamp()
            deployed.clock.advance(timedelta(minutes=640))

    assert deployed.server.families_revoked == 0
    assert set(deployed.server.refresh_tokens_sent.values()) == {1}
    stages = [
        deployed.secrets.describe_secret(SecretId=f"oauth/credentials/{name}")["VersionIdsToStages"]
        for name in accounts
    ]
    assert "TOKENRESPONSE" in json.dumps(stages)
