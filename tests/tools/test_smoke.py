"""`make smoke-aws` as a person meets it: it asks first, tells as it goes, and leaves nothing."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.cli.relay import Instead, Relay
from tests.tools.smoke_account import (
    COMMAND,
    DOCUMENT,
    ROOT,
    credentials_with,
    policy,
    secrets_in,
    shell,
)
from tests.tools.test_smoke_answers import federate
from tools.smoke import keys
from tools.smoke.__main__ import FIRST, LAST
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud

AGREED = (*COMMAND, "--yes")
DENIED = Instead(400, b'{"__type": "AccessDeniedException"}')
EXPIRED = Instead(400, b'{"__type": "ExpiredTokenException"}')
NAME = r"token-refresher-smoke-[0-9a-f]{8}"
# A terminal shows it while it is asked.
FIRST_QUESTION = "one of 8 simultaneous puts"


@pytest.fixture
def relay(cloud: EmbeddedCloud) -> Iterator[Relay]:
    with Relay(cloud.endpoint_url) as relay:
        yield relay


class Hold:
    """Holds the calls of an operation, so that a command is in the middle of it until it is let go.

    None that makes a secret: one that is let go after the deleting would make it again.
    """

    def __init__(self, relay: Relay, operation: str) -> None:
        self._reached, self._over = threading.Event(), threading.Event()

        def illness(asked: str) -> None:
            if asked == operation:
                self._reached.set()
                self._over.wait(60)

        relay.illness = illness

    def reach(self) -> None:
        """Wait until one is held."""
        assert self._reached.wait(60)

    def let_go(self) -> None:
        self._over.set()


def run(
    environment: dict[str, str], *command: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def plain(text: str) -> str:
    """Without what differs from run to run: names, figures, and so where lines end."""
    text = re.sub(NAME, "NAME", text)
    return " ".join(re.sub(r"\d+(\.\d+)?", "N", text).split())


@pytest.mark.slow
def test_with_the_documents_policy_the_local_cloud_answers_all_as_documented(
    enforcing_cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    cloud, report = enforcing_cloud, tmp_path / "report.json"
    federate(cloud)
    granted = credentials_with(cloud, policy(), name="smoke")
    done = run(shell(cloud, tmp_path, granted), *AGREED, "--keys", f"--json={report}")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    shown = DOCUMENT.partition("```text\n")[2].partition("```")[0]
    assert plain(done.stdout) == plain(shown)
    assert max(map(len, done.stdout.splitlines())) <= 80
    told = json.loads(report.read_text("utf-8"))
    verdicts = [each["verdict"] for each in told["findings"]]
    assert verdicts == ["as documented"] * len([*FIRST, *keys.QUESTIONS, *LAST])
    assert told["calls"] <= 450
    assert told["seconds"] < 300
    assert done.stdout.count("\nas documented ") == len(verdicts)
    assert "000000000000" not in report.read_text("utf-8")
    (name,) = set(re.findall(NAME, done.stdout))
    assert not [each for each in secrets_in(cloud) if each.startswith(name)]
    kms = cloud.client("kms")
    made = [
        kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in kms.list_keys()["Keys"]
    ]
    assert [each["KeyState"] for each in made if each["Description"] == name] == [
        *["PendingDeletion"] * 2
    ]
    for text in (done.stdout, report.read_text("utf-8")):
        # No value that was put, no token.
        assert re.findall(r"invented(?!, asks)|eyJ", text) == []


def test_it_tells_where_and_what_first_and_begins_with_a_yes_alone(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    with Terminal(COMMAND, shell(cloud, tmp_path), columns=80) as terminal:
        terminal.expect("AWS account 000000000000, Region eu-west-1\n")
        terminal.expect("At most 450 calls, 5 minutes and 0.05 USD.")
        terminal.expect("Begin? [y/N] ")
        assert secrets_in(cloud) == []
        terminal.enter("n")
        assert terminal.finish() == 2
    assert terminal.plain.endswith("Nothing was made.\n")
    assert secrets_in(cloud) == []


@pytest.mark.slow
@pytest.mark.parametrize("way_out", ["interrupt", "end_input"])
def test_who_leaves_at_the_question_has_made_nothing(
    cloud: EmbeddedCloud, tmp_path: Path, way_out: str
) -> None:
    with Terminal(COMMAND, shell(cloud, tmp_path), columns=80) as terminal:
        terminal.expect("Begin? [y/N] ")
        getattr(terminal, way_out)()
        assert terminal.finish() == {"interrupt": 130, "end_input": 2}[way_out]
    assert "Traceback" not in terminal.plain
    assert secrets_in(cloud) == []


@pytest.mark.slow
def test_without_a_terminal_it_begins_only_where_it_is_agreed_beforehand(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    done = run(shell(cloud, tmp_path), *COMMAND, typed="y\n")
    assert done.returncode == 2
    assert done.stderr == "Nobody can be asked here, without a terminal: agree by YES=1.\n"
    assert secrets_in(cloud) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("without", "told"),
    [
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "No Region is set."),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Sign in again"),
    ],
)
def test_without_a_region_or_credentials_one_line_says_so(
    cloud: EmbeddedCloud, tmp_path: Path, without: dict[str, str], told: str
) -> None:
    environment = {**shell(cloud, tmp_path), **without}
    done = run({name: value for name, value in environment.items() if value}, *AGREED)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_told_before_anything_is_made(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    done = run(shell(cloud, tmp_path), *AGREED, f"--json={tmp_path}/none/report.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "report.json" in done.stderr


@pytest.mark.slow
def test_an_empty_stack_means_none(cloud: EmbeddedCloud, tmp_path: Path) -> None:
    with Terminal((*COMMAND, "--stack="), shell(cloud, tmp_path), columns=80) as terminal:
        terminal.expect("Begin? [y/N] ")
        terminal.enter("n")
        assert terminal.finish() == 2
    assert "the stack" not in terminal.plain


@pytest.mark.slow
def test_a_stack_that_is_not_there_is_told_before_anything_is_made(
    cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    done = run(shell(cloud, tmp_path), *AGREED, "--stack=none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no stack none in eu-west-1.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "operation"),
    [(FIRST_QUESTION, "PutSecretValue"), ("a page of a listing", "ListSecrets")],
)
def test_ctrl_c_takes_away_what_was_made_whenever_it_comes(
    cloud: EmbeddedCloud, relay: Relay, tmp_path: Path, after: str, operation: str
) -> None:
    environment = {**shell(cloud, tmp_path), "AWS_ENDPOINT_URL": relay.url}
    asking = Hold(relay, operation)
    with Terminal(COMMAND, environment, columns=80) as terminal:
        terminal.expect("Begin? [y/N] ")
        terminal.enter("y")
        terminal.expect(after)
        asking.reach()
        interrupt(terminal)
        asking.let_go()
        assert terminal.finish() == 130
    assert "What was made is deleted." in terminal.plain
    assert "Traceback" not in terminal.plain
    assert secrets_in(cloud) == []


def interrupt(terminal: Terminal) -> None:
    """Press Ctrl-C, and see that the signal was sent."""
    terminal.interrupt()
    terminal.expect("^C")


@pytest.mark.slow
def test_ctrl_c_once_more_ends_the_deleting_and_names_what_is_left(
    cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    environment = {**shell(cloud, tmp_path), "AWS_ENDPOINT_URL": relay.url}
    asking = Hold(relay, "TagResource")
    with Terminal(COMMAND, environment, columns=80) as terminal:
        terminal.expect("Begin? [y/N] ")
        terminal.enter("y")
        asking.reach()
        interrupt(terminal)
        deleting = Hold(relay, "DeleteSecret")
        asking.let_go()
        deleting.reach()
        terminal.interrupt()
        assert terminal.finish() == 130
        deleting.let_go()
    assert "This could not be deleted, and costs until it is:" in terminal.plain
    for name in secrets_in(cloud):
        assert f"--secret-id {name} " in terminal.plain


@pytest.mark.slow
def test_a_process_that_is_told_to_end_takes_away_what_was_made(
    cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    environment = {**shell(cloud, tmp_path), "AWS_ENDPOINT_URL": relay.url}
    asking = Hold(relay, "TagResource")
    command = subprocess.Popen(  # noqa: S603
        AGREED, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    with command:
        assert command.stdout is not None
        next(line for line in command.stdout if FIRST_QUESTION in line)
        asking.reach()
        command.terminate()
        asking.let_go()
        rest = command.stdout.read()
    assert command.returncode == 130
    assert "What was made is deleted." in rest
    assert secrets_in(cloud) == []


@pytest.mark.slow
def test_credentials_that_end_in_the_middle_end_the_asking_and_what_is_left_is_named(
    cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    relay.illness = lambda _: EXPIRED if relay.calls.count("TagResource") else None
    environment = {**shell(cloud, tmp_path), "AWS_ENDPOINT_URL": relay.url}
    done = run(environment, *AGREED)
    assert done.returncode == 2, done.stderr
    assert "not asked: ExpiredTokenException" in done.stdout
    named = done.stdout.partition("This could not be deleted")[2]
    commands = re.sub(r" \\\n +", " ", named)
    ids = re.findall(r"aws secretsmanager delete-secret --secret-id (\S+) ", commands)
    assert sorted(ids) == sorted(secrets_in(cloud))
    assert "--force-delete-without-recovery --region eu-west-1" in commands


@pytest.mark.slow
def test_what_cannot_be_deleted_keeps_no_other_secret(
    cloud: EmbeddedCloud, relay: Relay, tmp_path: Path
) -> None:
    """The first deletion of all is refused once, and another one always."""
    refused: list[int] = []

    def illness(operation: str) -> Instead | None:
        if operation != "DeleteSecret":
            return None
        refused.append(len(relay.calls))
        return DENIED if len(refused) == 3 else None

    relay.illness = illness
    environment = {**shell(cloud, tmp_path), "AWS_ENDPOINT_URL": relay.url}
    done = run(environment, *AGREED)
    assert "What was made is deleted." in done.stdout, done.stdout
    assert secrets_in(cloud) == []
