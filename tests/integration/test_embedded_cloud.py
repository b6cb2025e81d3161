"""The embedded cloud starts, is found, forgets and ends, whatever the shell around it says."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from local.embedded_cloud import EmbeddedCloud, EmbeddedCloudError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_SECONDS = 0.02


def within(seconds: float, fact: Callable[[], bool]) -> bool:
    """Look again and again until something is so, for a bounded time."""
    pause = threading.Event()
    return any(fact() or pause.wait(POLL_SECONDS) for _ in range(int(seconds / POLL_SECONDS)))


def listens(endpoint_url: str) -> bool:
    address = urlsplit(endpoint_url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_its_clients_ignore_the_profile_and_the_proxies_of_the_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with EmbeddedCloud() as cloud:
        assert cloud.client().list_secrets()["SecretList"] == []


def test_a_reset_forgets_all_secrets(cloud: EmbeddedCloud) -> None:
    client = cloud.client()
    client.create_secret(Name="oauth/tokens/dealer-17", SecretString="x")
    cloud.reset()
    assert client.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


def test_two_of_them_share_nothing(cloud: EmbeddedCloud) -> None:
    with EmbeddedCloud() as other:
        cloud.client().create_secret(Name="here", SecretString="x")
        assert other.client().list_secrets()["SecretList"] == []


def test_the_port_of_another_is_not_shared(cloud: EmbeddedCloud) -> None:
    port = urlsplit(cloud.endpoint_url).port
    with pytest.raises(EmbeddedCloudError, match=f"{port} is taken"):
        EmbeddedCloud(port=port).start()


def test_nothing_of_it_remains_when_the_block_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with EmbeddedCloud() as cloud:
        assert listens(cloud.endpoint_url)
    assert not listens(cloud.endpoint_url)
    assert list(tmp_path.iterdir()) == []


def test_without_the_emulator_it_says_how_to_make_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMULATOR_PYTHON", str(tmp_path / "python"))
    with pytest.raises(EmbeddedCloudError, match="make setup"):
        EmbeddedCloud().start()


def test_an_emulator_that_does_not_start_shows_what_it_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of order\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("EMULATOR_PYTHON", str(broken))
    with pytest.raises(EmbeddedCloudError, match="out of order"):
        EmbeddedCloud().start()


def test_a_template_makes_a_secret_without_a_value_and_never_over_one_that_is_there(
    cloud: EmbeddedCloud,
) -> None:
    stacks: Any = cloud.client("cloudformation")
    secrets = cloud.client()
    secrets.create_secret(Name="there", SecretString="made-up")
    for name in ("new", "there"):
        secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": name}}
        template = json.dumps({"Resources": {"Secret": secret}})
        stacks.create_stack(StackName=f"of-{name}", TemplateBody=template)
    assert "VersionIdsToStages" not in secrets.describe_secret(SecretId="new")
    assert secrets.get_secret_value(SecretId="there")["SecretString"] == "made-up"
    states = {each["StackName"]: each["StackStatus"] for each in stacks.describe_stacks()["Stacks"]}
    assert states["of-new"] == "CREATE_COMPLETE"
    assert states["of-there"] == "ROLLBACK_COMPLETE"
