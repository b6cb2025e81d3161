"""How a run is told to a person, and the list of what make does: in terminals of any width."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tools.output import COLUMNS, pasteable
from tools.templates import ROOT
from tools.terminal import Terminal

LONGEST = "Deploy the function, its alarms and its dashboard"
# However long it took: a machine may have other things to do.
SECONDS = r"[0-9]+\.[0-9] s"
PROMISE = "the consumer's role is denied credentials, journal and another's token"
TOLD = f"""
from tools import output
console = output.console()
for name in ("Build", {LONGEST!r}):
    with output.phase(console, name):
        pass
console.print(output.promise({PROMISE!r}, held=True))
"""


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_run_is_told_in_whole_words_with_its_times_at_the_end_of_their_lines(
    columns: int,
) -> None:
    with Terminal([sys.executable, "-c", TOLD], {"PYTHONPATH": str(ROOT)}, columns=columns) as run:
        assert run.finish() == 0
    screen = run.screen
    lines = screen.text.splitlines()
    assert screen.overlong == []
    assert max(map(len, lines)) <= min(columns, COLUMNS)
    said = f"Build {LONGEST} kept {PROMISE}"
    assert re.sub(SECONDS, "", screen.text).split() == said.split()
    # However many lines the name takes.
    ends = [len(line) for line in lines if re.search(f"{SECONDS}$", line)]
    assert ends == [min(columns, 59)] * 2


@pytest.mark.parametrize(
    "command",
    [
        "token-refresher add NAME --stack token-refresher --region eu-west-1",
        (
            "aws secretsmanager create-secret --name oauth/credentials/dealer-17 "
            "--secret-string file://dealer-17.json --region eu-west-1"
        ),
        (
            "echo '{\"dry_run\": true}' | aws lambda invoke --function-name token-refresher "
            "--payload fileb:///dev/stdin --cli-read-timeout 0 --region eu-west-1 /dev/stdout"
        ),
    ],
)
def test_a_command_that_is_broken_to_the_width_is_still_that_command(command: str) -> None:
    printed = pasteable(command)
    assert max(map(len, printed.splitlines())) <= COLUMNS
    assert all(line.startswith("    ") for line in printed.splitlines())
    assert shlex.split(printed.replace("\\\n", "")) == shlex.split(command)


def test_what_has_no_options_is_never_broken() -> None:
    address = "https://eu-west-1.console.aws.amazon.com/" + 80 * "x"
    assert pasteable(address) == f"    {address}"


def test_the_list_of_targets_fits_eighty_columns() -> None:
    listed = subprocess.run(
        ["make", "help"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(listed) > 20
    assert [line for line in listed if len(line) > COLUMNS] == []
    assert [line.split()[1] for line in listed[:6]] == [
        "demo",
        "cloud",
        "deploy",
        "account",
        "undeploy",
        "test",
    ]
