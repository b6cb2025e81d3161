"""Several processes sweep the same accounts at once, as overlapping invocations would."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.conftest import PASSWORD

if TYPE_CHECKING:
    from tests.integration.conftest import Deployed

ROOT: Final = Path(__file__).resolve().parents[2]

# Each process says that it is ready, and sweeps when it is told the moment.
SWEEPER: Final = """
import sys
from datetime import datetime
from token_refresher.handler import wired
from token_refresher.settings import settings_from_environment

class Context:
    aws_request_id = "overlap"
    def get_remaining_time_in_millis(self):
        return 240000

moments = []
handler = wired(settings_from_environment(), clock=lambda: moments[-1])
print("ready", file=sys.stderr, flush=True)
for line in sys.stdin:
    moments.append(datetime.fromisoformat(line.strip()))
    handler({}, Context())
    print("swept", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("processes", [2, 4])
def test_no_refresh_token_is_sent_twice(deployed: Deployed, processes: int) -> None:
    accounts = [f"dealer-{number}" for number in range(6)]
    for name in accounts:
        deployed.onboard(name, PASSWORD)
    deployed.onboard_refresh_only("refresh-only", access_token_lifetime=timedelta(hours=12))
    accounts.append("refresh-only")
    environment = {**deployed.environment, "PYTHONPATH": str(ROOT / "functions")}
    running = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", SWEEPER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    try:
        for each in running:
            assert each.stderr is not None
            assert each.stderr.readline() == "ready\n"
        for _ in range(4):
            moment = deployed.clock.now().isoformat()
            for each in running:
                assert each.stdin is not None
                each.stdin.write(f"{moment}\n")
                each.stdin.flush()
            for each in running:
                assert each.stderr is not None
                assert each.stderr.readline() == "swept\n"
            for name in accounts:
                assert deployed.token(name)["expires_at"] > deployed.clock.now().timestamp()
            deployed.clock.advance(timedelta(minutes=640))
    finally:
        for each in running:
            each.kill()
            each.communicate()

    assert deployed.server.families_revoked == 0
    assert set(deployed.server.refresh_tokens_sent.values()) == {1}
    stages = [
        deployed.secrets.describe_secret(SecretId=f"oauth/credentials/{name}")["VersionIdsToStages"]
        for name in accounts
    ]
    assert "TOKENRESPONSE" in json.dumps(stages)
