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
    from pathlib import Path

TEXT: Final = (ROOT / "docs" / "events.md").read_text()
TOOLS: Final = ROOT / ".venv-deploy" / "bin"
BLOCKS: Final = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
DEPLOYS: Final = [text for kind, text in BLOCKS if kind == "sh" and text.startswith("aws cloudf")]
# How the first one is seen: a rule with its queue, what makes an event and reads it, the end.
FIRST: Final = [text for kind, text in BLOCKS if kind == "sh" and "QUEUE" in text]
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


def test_the_first_event_is_seen_by_the_commands_that_are_shown(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    cloud.reset()
    event = examples()["token-published.json"]
    detail = json.dumps(event["detail"])
    entry = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": detail}
    put = shlex.join(["aws", "events", "put-events", "--entries", json.dumps([entry])])
    commands = {
        # What the function does when it is asked for a refresh.
        "token-refresher": f"{put} > {os.devnull}",
        # Version 1 would choose an address of its own for queues.
        "aws": f'exec {shlex.quote(str(TOOLS / "aws"))} --endpoint-url {cloud.endpoint_url} "$@"',
    }
    for name, command in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{command}\n")
        (tmp_path / name).chmod(0o755)
    assert len(FIRST) == 3
    done = subprocess.run(  # noqa: S603 - the document's own
        ["sh", "-eu", "-c", "".join(FIRST)],  # noqa: S607
        env={
            "PATH": f"{tmp_path}:{os.defpath}",
            "AWS_CONFIG_FILE": os.devnull,
            **cloud.environment(),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # Some other commands tell what they did.
    (seen,) = [line for line in done.stdout.splitlines() if "detail-type" in line]
    assert json.loads(seen)["detail"] == event["detail"]
    assert cloud.client("events").list_rules()["Rules"] == []
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []


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
