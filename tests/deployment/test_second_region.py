"""The loss of a Region, by the very commands of docs/deployment.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.stack import MAKE_WITHIN_SECONDS, LocalAws, Stack
from tools.templates import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "eu-west-1", "eu-central-1"
NAME: Final = "moved"
ACCOUNTS: Final = ("dealer-of-one", "dealer-of-two")
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}
# The clone's own `make deploy` would build once more what is built.
SHELL: Final = """
make() { shift; command make --directory "$ROOT" deploy-stacks "$@"; }
token-refresher() { PYTHONPATH="$ROOT/functions:$ROOT/cli" "$PYTHON" -m token_refresher_cli "$@"; }
"""


def steps() -> list[str]:
    """The commands of each step, for this stack and its prefix."""
    document = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = document.split("\n### When the first Region is lost\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)\n +```", section, re.DOTALL)
    renamed = [each.replace("oauth/tokens/", f"{NAME}/tokens/") for each in blocks]
    words = [(f"--stack {each}", f"--function-name {each}") for each in ("token-refresher", NAME)]
    for old, new in zip(*words, strict=True):
        renamed = [each.replace(old, new) for each in renamed]
    return renamed


class Moved:
    """A stack whose tokens are copied to a second Region, and a person who moves it there."""

    def __init__(self, aws: LocalAws, directory: Path) -> None:
        self.aws = aws
        self.directory = directory
        self.stack = self._stack(ReplicaRegions=SECOND)
        self.stack.make("deploy-stacks")
        lines = []
        for account in ACCOUNTS:
            self.stack.register(account, users={"u@example.com": "right"})
            credentials = {
                "token_endpoint": aws.server.token_endpoint,
                "client_id": account,
                "client_secret": f"secret-of-{account}",
                **USER,
            }
            lines.append(json.dumps({"account": account, **credentials}))
            aws.secrets.create_secret(
                Name=f"{NAME}/credentials/{account}", SecretString=json.dumps(credentials)
            )
        file = directory / "accounts.jsonl"
        file.write_text("\n".join(lines))
        file.chmod(0o600)

    def _stack(self, **parameters: str) -> Stack:
        own = {"ScheduleMinutes": "15", "SecretPrefix": NAME, **parameters}
        return Stack(self.aws, own, name=NAME)

    def take(self, step: str) -> str:
        """Take a step, as it is pasted, and return what is printed."""
        # As a person's shell is: nothing names the Region but what is pasted.
        shell = self._stack().environment()
        path = f"{ROOT / '.venv-deploy' / 'bin'}:{shell['PATH']}"
        own = {"PATH": path, "AWS_CONFIG_FILE": os.devnull, "TOKEN_REFRESHER_CONFIG": os.devnull}
        done = subprocess.run(  # noqa: S603 - the document's own
            ["bash", "-eu", "-o", "pipefail", "-c", SHELL + step],  # noqa: S607
            cwd=self.directory,
            env={**shell, **own, "ROOT": str(ROOT), "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
            timeout=MAKE_WITHIN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def invoke(self, region: str) -> dict[str, Any]:
        """Let the function of a Region sweep."""
        client = self.aws.cloud.client("lambda", region=region)
        told = client.invoke(FunctionName=NAME, Payload="{}")
        answer: dict[str, Any] = json.loads(told["Payload"].read())
        return answer

    def published(self, region: str, account: str) -> str:
        """The token as a consumer in a Region reads it."""
        secrets = self.aws.cloud.client(region=region)
        return secrets.get_secret_value(SecretId=f"{NAME}/tokens/{account}")["SecretString"]


@pytest.mark.usefixtures("_built")
def test_a_lost_region_is_replaced_by_the_second_step_by_step(
    aws: LocalAws, tmp_path: Path
) -> None:
    moved = Moved(aws, tmp_path)
    told = moved.invoke(FIRST)
    assert (told["outcomes"]["published"], told["replicas_behind"]) == (2, 0)
    before = {each: moved.published(FIRST, each) for each in ACCOUNTS}
    assert {each: moved.published(SECOND, each) for each in ACCOUNTS} == before
    there = aws.cloud.client(region=SECOND)
    listed = there.list_secrets()["SecretList"]
    assert not [each for each in listed if "/credentials/" in each["Name"]]

    promote, deploy, add, stop = steps()
    moved.take(promote)
    moved.take(deploy)
    assert "2 accounts: 2 created" in moved.take(add)
    told = moved.invoke(SECOND)
    assert told["outcomes"]["published"] == 2
    after = {each: moved.published(SECOND, each) for each in ACCOUNTS}
    assert not set(after.values()) & set(before.values())
    # What was there before is as it was.
    assert {each: moved.published(FIRST, each) for each in ACCOUNTS} == before

    moved.take(stop)
    stopped = aws.cloud.client("lambda", region=FIRST).get_function_concurrency(FunctionName=NAME)
    assert stopped["ReservedConcurrentExecutions"] == 0
