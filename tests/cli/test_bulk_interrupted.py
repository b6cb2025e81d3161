"""A thousand accounts from one file, interrupted and killed: none lost, none twice."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.relay import Relay
from tests.cli.terminal import COMMAND, GIVE_UP_SECONDS
from tools.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.relay import Instead
    from tests.cli.terminal import Shell

# Heeds Ctrl-C also where the test's own process ignores it, as what runs in the background does.
HEEDING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def written(file: Path, count: int) -> list[str]:
    """Write a file of accounts, and return their names."""
    names = [f"dealer-{number:04}" for number in range(count)]
    lines = [
        {
            "account": name,
            "provider": "xero",
            "grant_type": "client_credentials",
            "client_id": name,
            "client_secret": f"made-up-secret-of-{name}",
        }
        for name in names
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file.chmod(0o600)
    return names


def stored(cloud: EmbeddedCloud) -> dict[str, list[Any]]:
    """The names of all accounts that are there, with their versions and their secrets."""
    client = cloud.client()
    pages = client.get_paginator("list_secrets").paginate()
    found: dict[str, list[Any]] = {}
    for secret in (one for page in pages for one in page["SecretList"]):
        value = client.get_secret_value(SecretId=secret["Name"])["SecretString"]
        name = secret["Name"].removeprefix("oauth/credentials/")
        found[name] = [
            len(secret["SecretVersionsToStages"]),
            json.loads(value)["client_secret"],
        ]
    return found


class Killed:
    """A command that is ended by a signal at a call of its own."""

    def __init__(self, shell: Shell, cloud: EmbeddedCloud, *arguments: str) -> None:
        self._command = (sys.executable, "-c", HEEDING, *COMMAND, *arguments)
        self._shell, self._cloud = shell, cloud

    def run(self, number: signal.Signals | None, operation: str, nth: int) -> tuple[int, str, str]:
        """Run it, with a signal at the nth call of an operation; that call is still made.

        All calls have been answered when it returns, also those whose caller is dead.
        """
        calls: Counter[str] = Counter()
        lock = threading.Lock()
        with Relay(self._cloud.endpoint_url) as relay:

            def at(called: str) -> Instead | None:
                with lock:
                    calls[called] += 1
                    if number is not None and (called, calls[called]) == (operation, nth):
                        os.kill(process.pid, number)
                return None

            relay.illness = at
            # Its first call waits until it is known which process makes it.
            with lock:
                process = subprocess.Popen(  # noqa: S603
                    self._command,
                    env={**self._shell.environment, "AWS_ENDPOINT_URL": relay.url},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            out, err = process.communicate(timeout=4 * GIVE_UP_SECONDS)
        return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a thousand writes at 24 a second, and each run begins afresh
def test_a_thousand_accounts_that_are_interrupted_again_and_again_are_all_there_once(
    shell: Shell, cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    file = tmp_path / "accounts.jsonl"
    names = written(file, 1000)
    adding = Killed(shell, cloud, "add", "--from-file", str(file))
    before = 0
    for number, operation, nth in (
        (signal.SIGKILL, "ListSecrets", 1),
        (signal.SIGKILL, "CreateSecret", 1),
        (signal.SIGINT, "CreateSecret", 1),
        (signal.SIGKILL, "CreateSecret", 100),
        (signal.SIGINT, "CreateSecret", 150),
        (signal.SIGKILL, "GetSecretValue", 120),
        (signal.SIGINT, "CreateSecret", 200),
        (signal.SIGKILL, "CreateSecret", 300),
    ):
        code, out, err = adding.run(number, operation, nth)
        there = len(cloud_names(cloud))
        if number is signal.SIGKILL:
            assert code == -signal.SIGKILL
        else:
            assert code == 130, err
            created = re.search(r"(\d+) created", out)
            assert created is not None
            # What it says is what is there, and nothing more was begun.
            assert int(created[1]) == there - before
            assert f"To go on where it stopped: token-refresher add --from-file {file}" in err
        before = there
    assert 0 < before < 1000
    code, out, err = adding.run(None, "", 0)
    assert (code, out) == (0, f"1000 accounts: {1000 - before} created, {before} there already\n")
    assert stored(cloud) == {name: [1, f"made-up-secret-of-{name}"] for name in names}
    code, out, err = adding.run(None, "", 0)
    assert (code, out) == (0, "1000 accounts: 1000 there already\n")


def cloud_names(cloud: EmbeddedCloud) -> list[str]:
    pages = cloud.client().get_paginator("list_secrets").paginate()
    return [one["Name"] for page in pages for one in page["SecretList"]]


@pytest.mark.slow
def test_ctrl_c_finishes_what_has_begun_and_says_how_to_go_on(
    shell: Shell, cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    file = tmp_path / "accounts.jsonl"
    names = written(file, 150)
    is_reached, is_pressed = threading.Event(), threading.Event()
    calls = itertools.count(1)

    def look(operation: str) -> Instead | None:
        if operation == "CreateSecret" and next(calls) >= 10:
            is_reached.set()
            is_pressed.wait(GIVE_UP_SECONDS)
        return None

    relay.illness = look
    environment = {**shell.environment, "AWS_ENDPOINT_URL": relay.url}
    command = (*COMMAND, "add", "--from-file", str(file))
    with Terminal(command, environment, columns=80) as terminal:
        terminal.expect("Creating credentials")
        assert is_reached.wait(GIVE_UP_SECONDS)
        terminal.interrupt()
        terminal.expect("Interrupted: finishing what has begun.")
        terminal.interrupt()
        is_pressed.set()
        terminal.expect("To go on where it stopped:")
        assert terminal.finish() == 130
    told = re.search(r"150 accounts: (\d+) created, (\d+) not begun", terminal.plain)
    assert told is not None
    assert int(told[1]) == len(cloud_names(cloud))
    assert int(told[1]) + int(told[2]) == 150
    done = shell.run("add", "--from-file", str(file))
    assert done.stdout == (f"150 accounts: {150 - int(told[1])} created, {told[1]} there already\n")
    assert list(stored(cloud)) == names


def test_ctrl_c_before_anything_is_written_says_no_more_than_that(
    shell: Shell, cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    file = tmp_path / "accounts.jsonl"
    written(file, 2)
    adding = Killed(shell, cloud, "add", "--from-file", str(file))
    code, out, err = adding.run(signal.SIGINT, "ListSecrets", 1)
    assert (code, out, err.strip()) == (130, "", "Interrupted.")
    assert cloud_names(cloud) == []


@pytest.mark.parametrize("nth", [1, 2])
def test_a_removal_that_is_interrupted_is_finished_by_the_same_command(
    shell: Shell, cloud: EmbeddedCloud, nth: int
) -> None:
    client = cloud.client()
    for path in ("credentials", "tokens"):
        client.create_secret(Name=f"oauth/{path}/dealer-17", SecretString="{}")
    removing = Killed(shell, cloud, "remove", "dealer-17", "--yes")
    code, _, err = removing.run(signal.SIGINT, "DeleteSecret", nth)
    assert code == 130
    assert "Interrupted at dealer-17: the same command goes on with it." in err
    assert removing.run(None, "", 0)[0] == 0
    assert cloud_names(cloud) == []
    assert shell.run("restore", "dealer-17").returncode == 0
    assert len(cloud_names(cloud)) == 2
