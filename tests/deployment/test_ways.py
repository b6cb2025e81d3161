"""The ways to deploy without `make`: SAM alone, and a release's template without SAM."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from local.embedded_cloud import ROOT
from local.stack import Stack
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.stack import LocalAws

SAM: Final = ROOT / ".venv-deploy" / "bin" / "sam"
BUILT: Final = ROOT / ".aws-sam" / "build" / "TokenRefresherFunction"
GIT: Final = shutil.which("git") or "git"
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}


def run(*command: str | Path, within: Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=within,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a stranger gets who clones this tree, once it is committed."""
    clone = tmp_path / "clone"
    for name in run(GIT, "ls-files", "-z", within=ROOT).split("\0"):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    run(GIT, "init", "--quiet", within=clone)
    run(GIT, "add", "--all", within=clone)
    person = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    run(GIT, *person, "commit", "--quiet", "--message=all", within=clone)
    return clone


def answer_guide(guide: Terminal, answers: Mapping[str, str]) -> None:
    """Answer what SAM asks for, and take its proposal for all else."""
    question = ""
    while question != "SAM configuration environment":
        guide.expect("]: ")
        question = guide.plain.splitlines()[-1].partition(" [")[0].strip()
        guide.enter(answers.get(question, ""))
    assert guide.finish() == 0, guide.plain


def test_sam_alone_deploys_a_fresh_clone_changes_no_file_of_it_and_says_how_to_deploy_the_alarms(
    aws: LocalAws, clone: Path
) -> None:
    stack = Stack(aws, {}, name="guided")
    settings = {**stack.environment(), "SAM_CLI_TELEMETRY": "0"}
    del settings["ARCHITECTURE"], settings["STACK"]
    place = {**aws.parameters(), "SecretPrefix": "guided/oauth", "ScheduleMinutes": "15"}
    run(
        *(SAM, "build", "--parameter-overrides", f"Architecture={place['Architecture']}"),
        within=clone,
        environment=settings,
    )
    guide = Terminal([str(SAM), "deploy", "--guided"], settings, columns=120, directory=clone)
    answers = {f"Parameter {name}": value for name, value in place.items()}
    answer_guide(guide, {"Stack Name": stack.name, **answers})
    assert stack.invoke({"dry_run": True})["dry_run"] is True

    alarms = shlex.split(stack.output("DeployAlarms"))
    assert alarms.pop(0) == "sam"
    run(SAM, *alarms, within=clone, environment=settings)
    assert "ActionRequired" in stack.resources(stack="-monitoring")
    assert run(GIT, "status", "--porcelain", within=clone) == ""
