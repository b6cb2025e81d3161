"""The two ways in: ``make deploy-local``, and the README's quick start followed to the letter."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from local.stack import Stack
from tools.templates import ROOT
from tools.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

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


# `pipx` as it works: an environment of its own, whose commands are found. The clone is this one.
SHELL: Final = """
export PATH={bin}:$PATH
pipx() {{ {python} -m venv {environment} && {environment}/bin/python -m pip "$@"; }}
git() {{ test "$1" = clone; }}
cd() {{ test "$1" = token-refresher; }}
"""


def block(language: str) -> str:
    """The README's only block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_a_stranger_who_follows_the_quick_start_calls_an_api_with_a_token(tmp_path: Path) -> None:
    environment = tmp_path / "pipx"
    shell = SHELL.format(
        bin=environment / "bin", python=shlex.quote(sys.executable), environment=environment
    )
    variables = tmp_path / "cloud.env"
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tools.cloud", "--variables", str(variables)],
        cwd=ROOT,
        env={**Stack.clean_environment(), "PYTHONPATH": "functions"},
        stdout=subprocess.PIPE,
        text=True,
    ) as cloud:
        assert cloud.stdout is not None
        try:
            # In place of the variables of an API of one's own.
            pasted = next(line.strip() for line in cloud.stdout if line.startswith("    . "))
            script = tmp_path / "quick-start.sh"
            commands = block("sh").replace("\\\n", "").splitlines()
            lines = [*shell.splitlines(), "set -v"]
            lines += [pasted if line.startswith("export ") else line for line in commands]
            lines += [f"{environment}/bin/python {tmp_path / 'workload.py'}", "make undeploy"]
            script.write_text("\n".join(line.rstrip() for line in lines))
            workload = (
                f"{block('python')}\nprint('read', sorted(token), headers['Authorization'][:7])"
            )
            (tmp_path / "workload.py").write_text(workload)
            command = (shutil.which("bash") or "bash", "-euo", "pipefail", str(script))
            with Terminal(command, Stack.clean_environment(), columns=80, lines=60) as terminal:
                terminal.expect("client_secret")
                # Written once the terminal shows no longer what is typed.
                terminal.expect(": ")
                terminal.enter("secret-of-my-client")
                # Of `make undeploy`, at the end.
                terminal.expect("[y/N] ")
                terminal.enter("y")
                status = terminal.finish()
        finally:
            cloud.terminate()
    printed = terminal.plain
    assert status == 0, printed
    assert "billing: published" in printed
    assert block("json") in printed.replace("\r", ""), "as the README shows it"
    assert "token-refresher add NAME --stack token-refresher --region eu-west-1" in printed
    assert (
        "read ['access_token', 'expires_at', 'issued_at', 'scope', 'token_type'] Bearer" in printed
    )
    assert "Left alone: every secret" in printed
