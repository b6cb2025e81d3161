"""What docs/events.md says: its commands deploy, and its rules find what they are shown for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.embedded_cloud import ROOT, EmbeddedCloud
from tests.integration.test_embedded_cloud import within
from tests.integration.test_events import SECONDS, Queue, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT: Final = (ROOT / "docs" / "events.md").read_text()
TOOLS: Final = ROOT / ".venv-deploy" / "bin"
BLOCKS: Final = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
DEPLOYS: Final = [text for kind, text in BLOCKS if kind == "sh" and text.startswith("aws ")]
RULES: Final = [text for kind, text in BLOCKS if kind == "json"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud(enforces_iam=True) as cloud:
        yield cloud


@pytest.mark.parametrize("command", DEPLOYS, ids=lambda text: text.split()[4])
def test_a_recipe_is_deployed_by_its_command(cloud: EmbeddedCloud, command: str) -> None:
    words = shlex.split(command.replace("\\\n", ""))
    done = subprocess.run(  # noqa: S603 - the document's own
        [TOOLS / words[0], *words[1:]],
        cwd=ROOT,
        env={"PATH": os.defpath, "AWS_CONFIG_FILE": os.devnull, **cloud.environment()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Successfully created" in done.stdout


def test_there_are_two_recipes() -> None:
    assert len(DEPLOYS) == 2


def test_the_message_that_is_shown_is_one_of_the_program_s() -> None:
    [shown] = [text.strip() for kind, text in BLOCKS if kind == "text"]

    assert json.loads(shown) == examples()["action-required.json"]["detail"]["message"]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        pytest.param(RULES[0], 5, id="all of an account"),
        pytest.param(RULES[1], 1, id="one kind of failure of all accounts"),
    ],
)
def test_a_rule_that_is_shown_finds_what_it_is_for(
    cloud: EmbeddedCloud, rule: str, found: int
) -> None:
    cloud.reset()
    queue = Queue(cloud, rule)
    for each in examples().values():
        events: Any = cloud.client("events")
        events.put_events(
            Entries=[
                {
                    "Source": each["source"],
                    "DetailType": each["detail-type"],
                    "Detail": json.dumps(each["detail"]),
                }
            ]
        )

    assert within(SECONDS, lambda: queue.has(found))
    assert not queue.has(found + 1)
