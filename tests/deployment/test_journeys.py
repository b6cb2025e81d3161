"""The two ways in: ``make deploy-local``, and the README's quick start followed to the letter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import takewhile
from typing import Final

import pytest

from local.stack import Stack
from tools.templates import ROOT
from tools.terminal import Terminal

README: Final = (ROOT / "README.md").read_text()
PHASE: Final = re.compile(r"^(\S.*?) +\d+\.\d s$", re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> str:
    command = (sys.executable, "-m", "tools.deploy_local")
    environment = {**Stack.clean_environment(), "PYTHONPATH": "functions"}
    with Terminal(command, environment, columns=80, lines=60) as terminal:
        status = terminal.finish()
    assert (status, terminal.screen.overlong) == (0, []), terminal.screen.text
    return terminal.screen.text


def test_every_promise_of_the_deployment_is_kept(printed: str) -> None:
    assert "BROKEN" not in printed
    assert printed.count("kept") == 7


def test_the_time_of_each_phase_is_told(printed: str) -> None:
    assert len(PHASE.findall(printed)) == 9


def test_the_documents_show_what_the_deployment_prints(printed: str) -> None:
    document = (ROOT / "docs" / "deployment.md").read_text()
    shown = document.split("```text\n")[1].split("\n```")[0]
    without_times = re.sub(r" +\d+\.\d s", "", printed)
    lines = [re.sub(r" +\d+\.\d s", "", line) for line in shown.splitlines()]
    assert len(lines) > 10
    assert [line for line in lines if line not in without_times] == []


def commands(section: str) -> str:
    """The last block of shell commands in a section of the README."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return blocks[-1]


def test_a_stranger_who_follows_the_quick_start_gets_a_token() -> None:
    cloud = subprocess.Popen(
        [sys.executable, "-m", "tools.cloud"],
        cwd=ROOT,
        env={**Stack.clean_environment(), "PYTHONPATH": "functions"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert cloud.stdout is not None
    with cloud:
        try:
            # What it prints is pasted, and then what the README says.
            pasted = "".join(takewhile(str.strip, cloud.stdout))
            path = f"PATH={ROOT / '.venv-deploy' / 'bin'}:$PATH"
            clean_up = "trap 'rm -f dealer-17.json' EXIT"
            script = "\n".join([path, clean_up, pasted, commands("Quick start")])
            done = subprocess.run(  # noqa: S603
                ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
                cwd=ROOT,
                env=Stack.clean_environment(),
                capture_output=True,
                text=True,
                check=False,
                timeout=180,
            )
        finally:
            cloud.terminate()
    assert done.returncode == 0, done.stdout + done.stderr
    (token,) = [line for line in done.stdout.splitlines() if line.startswith('{"access_token"')]
    assert json.loads(token)["token_type"] == "Bearer"
    assert "Left alone: every secret" in done.stdout
