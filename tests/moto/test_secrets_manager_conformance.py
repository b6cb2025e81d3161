"""What AWS documents of Secrets Manager, asked of moto."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from botocore.config import Config

from local.embedded_cloud import ROOT
from tests.integration.test_secrets_manager_conformance import *  # noqa: F403 - the same tests

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.moto_cloud import MotoCloud

# Two writers, of which neither writes before both have looked, if moto lets them.
RACE: Final = """
import threading
from moto.secretsmanager.models import secretsmanager_backends

region = secretsmanager_backends["123456789012"]["eu-west-1"]
region.create_secret("made-up", "a", None, None, None, None, None, [], False)
looks = region._check_with_existing_secrets_and_versions
both, won = threading.Barrier(2, timeout=30), []

def look(*asked):
    found = looks(*asked)
    try:
        both.wait()
    except threading.BrokenBarrierError:
        pass
    return found

def put(writer):
    try:
        region.put_secret_value("made-up", f"run {writer}", None, f"{0:040}", ["LEASE"])
    except Exception:
        return
    won.append(writer)

region._check_with_existing_secrets_and_versions = look
threads = [threading.Thread(target=put, args=(writer,)) for writer in range(2)]
[each.start() for each in threads]
[each.join() for each in threads]
print(len(won))
"""


@pytest.fixture  # type: ignore[no-redef] # in the place of the other one
def secrets(cloud: MotoCloud) -> SecretsManagerClient:
    return cloud.client(config=Config(parameter_validation=False))


@pytest.fixture  # type: ignore[no-redef] # likewise
def advance() -> Callable[[timedelta], object]:
    """Nothing gets older there."""
    return lambda _: None


def test_of_several_writers_in_moto_itself_exactly_one_wins() -> None:
    """Not at its server here, which answers one call at a time."""
    raced = subprocess.run(  # noqa: S603
        [ROOT / ".venv-moto" / "bin" / "python", "-c", RACE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(raced.stdout) == 1
