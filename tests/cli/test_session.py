"""What an operator does on an ordinary day, with the real command in a real terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.authorization_server import WaitsFor
from local.embedded_cloud import ROOT
from tests.cli.deployed import STACK, Deployed
from tests.cli.operator import pasted
from tests.cli.relay import THROTTLED
from tests.cli.terminal import COMMAND, GIVE_UP_SECONDS
from token_refresher import __version__
from tools.terminal import ESCAPE_CODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.authorization_server import AuthorizationServer
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.relay import Relay
    from tests.cli.schedule import Schedule
    from tests.cli.terminal import Shell

CLIENT_SECRET = "made-up-client-secret"
PASSWORD = "made-up-password"
MISTYPED = "made-up-passwort"
DOCUMENT = (ROOT / "docs" / "command-line.md").read_text()
SECRET_QUESTION = "client_secret (hidden; Enter for a client without one): "
# What a correction asks for before the password, and Enter keeps.
KEPT = (
    ("token_endpoint (Enter keeps it): ", ""),
    ("client_id [dealer-17]: ", ""),
    ("username [dealer@example.com]: ", ""),
    ("client_secret (hidden; Enter keeps the stored one): ", ""),
)
SECRETS = (CLIENT_SECRET, PASSWORD, MISTYPED)


@pytest.fixture
def dealer(server: AuthorizationServer) -> str:
    """A dealer who is known to the server."""
    server.register_client(
        "dealer-17", secret=CLIENT_SECRET, users={"dealer@example.com": PASSWORD}
    )
    return "dealer-17"


@pytest.fixture
def onboard(cloud: EmbeddedCloud, server: AuthorizationServer) -> Callable[..., None]:
    """Creates a dealer's credentials secret, as anybody may."""

    def create(name: str, password: str = PASSWORD) -> None:
        fields = {
            "token_endpoint": server.token_endpoint,
            "grant_type": "password",
            "client_id": name,
            "client_secret": CLIENT_SECRET,
            "username": "dealer@example.com",
            "password": password,
        }
        cloud.client().create_secret(
            Name=f"oauth/credentials/{name}", SecretString=json.dumps(fields)
        )

    return create


@pytest.mark.slow
def test_a_wrong_password_is_found_and_corrected_without_a_secret_on_the_screen(
    shell: Shell, server: AuthorizationServer, schedule: Schedule, dealer: str
) -> None:
    with shell.open("add", dealer) as terminal:
        for question, answer in (
            ("provider or token_endpoint: ", server.token_endpoint),
            ("grant_type [client_credentials]: ", "password"),
            ("token_endpoint_auth_method [client_secret_basic]: ", ""),
            ("client_id: ", dealer),
            ("username: ", "dealer@example.com"),
            ("client_secret (hidden; Enter for a client without one): ", CLIENT_SECRET),
            ("password (hidden): ", MISTYPED),
        ):
            terminal.expect(question)
            terminal.enter(answer)
        terminal.expect("created oauth/credentials/dealer-17")
        assert terminal.finish() == 0
    shown = terminal.plain.replace(server.host, "api.example.com")
    # A question that Enter answers ends with a blank.
    shown = re.sub(r"([\])]:) \n", r"\1\n", shown)
    assert f"```text\n$ token-refresher add dealer-17\n{shown}```" in DOCUMENT

    with shell.open("refresh", dealer) as terminal:
        terminal.expect("invalid_grant (action required)")
        terminal.expect("token-refresher correct dealer-17")
        terminal.expect("A failure on this machine is not recorded")
        assert terminal.finish() == 1

    schedule.sweep()
    with shell.open("status") as terminal:
        terminal.expect("action required")
        terminal.expect("invalid_grant")
        terminal.expect("token-refresher correct dealer-17")
        terminal.expect("1 account, 1 needs action")
        assert terminal.finish() == 1

    with shell.open("correct", dealer) as terminal:
        for question, answer in (
            *KEPT,
            ("password (hidden; Enter keeps the stored one): ", PASSWORD),
        ):
            terminal.expect(question)
            terminal.enter(answer)
        terminal.expect("corrected oauth/credentials/dealer-17")
        assert terminal.finish() == 0
    shown = terminal.plain.replace(server.host, "api.example.com").replace(": \n", ":\n")
    assert f"```text\n$ token-refresher correct dealer-17\n{shown}```" in DOCUMENT

    with shell.open("refresh", dealer) as terminal:
        terminal.expect("published")
        assert terminal.finish() == 0

    with shell.open("status") as terminal:
        terminal.expect("fresh")
        terminal.expect("11 h 5")
        terminal.expect("1 account, none needs action")
        assert terminal.finish() == 0

    with shell.open("plan") as terminal:
        terminal.expect("1 fresh; the first to come due is dealer-17, in 10 h 2")
        assert terminal.finish() == 0

    with shell.open("history", dealer) as terminal:
        terminal.expect("AWSCURRENT")
        terminal.expect("1 token in 3 d, never without one since the first, ")
        assert terminal.finish() == 0

    with shell.open("token", dealer) as terminal:
        terminal.expect("The token is not printed to a terminal")
        assert terminal.finish() == 3

    piped = shell.pipe("token", dealer)
    token = piped.stdout.removesuffix("\n")
    assert (piped.returncode, len(token)) == (0, 40)
    shown = "".join(shell.shown)
    assert [secret for secret in (*SECRETS, token) if secret in shown] == []


def test_at_a_terminal_an_account_that_is_not_there_is_told_before_its_token_is_refused(
    shell: Shell, onboard: Callable[..., None], dealer: str
) -> None:
    onboard(dealer)
    with shell.open("token", f"{dealer}x") as terminal:
        terminal.expect(f"There is no account {dealer}x")
        assert terminal.finish() == 3
    assert "Did you mean" in terminal.plain
    assert "not printed" not in terminal.plain


def test_the_table_has_colours_in_a_terminal_unless_it_is_told_otherwise(
    shell: Shell, onboard: Callable[..., None], dealer: str
) -> None:
    onboard(dealer)
    with shell.open("status") as coloured:
        coloured.finish()
    shell.environment = {**shell.environment, "NO_COLOR": "1"}
    with shell.open("status") as plain:
        plain.finish()
    assert "\x1b[36m" in coloured.transcript
    assert "\x1b[36m" not in plain.transcript


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal_whatever_moves_on_it(
    shell: Shell, onboard: Callable[..., None], server: AuthorizationServer, columns: int
) -> None:
    accounts = [f"a-dealer-with-a-name-that-nobody-would-type-{number}" for number in range(2)]
    for name in accounts:
        users = {"dealer@example.com": PASSWORD}
        server.register_client(name, secret=CLIENT_SECRET, users=users)
    onboard(accounts[0], MISTYPED)
    onboard(accounts[1])
    with shell.open("refresh", *accounts, columns=columns) as refresh:
        assert refresh.finish() == 1
    assert refresh.screen.overlong == [], refresh.screen.text
    with shell.open("status", "--watch", "--every", "2", columns=columns) as watch:
        for _ in range(2):
            watch.expect("11 h")
        assert watch.screen.overlong == [], watch.screen.text
        watch.interrupt()
        assert watch.finish() == 130


def test_no_word_and_no_command_is_broken_in_eighty_columns(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer, MISTYPED)
    schedule.sweep()
    with shell.open("status", columns=80) as terminal:
        assert terminal.finish() == 1
    lines = [line.rstrip() for line in terminal.screen.text.splitlines()]
    row = next(line for line in lines if line.startswith(dealer))
    assert row.split("  ")[:2] == [dealer, "action required"]
    assert "invalid_grant" in row
    assert "token-refresher correct dealer-17 --region eu-west-1 --prefix oauth" in lines


def test_what_goes_into_a_pipe_has_no_escape_codes_and_no_broken_lines(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer, MISTYPED)
    schedule.sweep()
    printed = [shell.run("refresh", dealer), shell.run("status"), shell.run("status", "dealer-71")]
    texts = [text for done in printed for text in (done.stdout, done.stderr)]
    assert [text for text in texts if ESCAPE_CODES.search(text)] == []
    row = next(line for line in printed[1].stdout.splitlines() if line.startswith(dealer))
    assert row.split("  ")[:2] == [dealer, "action required"]
    assert [line for text in texts for line in text.splitlines() if line != line.rstrip()] == []


def test_colours_that_are_forced_into_a_pipe_break_no_line(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer, MISTYPED)
    schedule.sweep()
    shell.environment = {**shell.environment, "FORCE_COLOR": "1"}
    printed = shell.run("status").stdout
    assert "\x1b[" in printed
    lines = ESCAPE_CODES.sub("", printed).splitlines()
    assert lines[1].startswith("dealer-17  action required  backing off  -           invalid_grant")
    assert "in 14 min" in lines[1]


def test_whoever_watches_sees_what_changes_until_they_interrupt(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer)
    # As it is where the tests were started in the background.
    heeded = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        watching = shell.open("status", "--watch", "--every", "1")
    finally:
        signal.signal(signal.SIGINT, heeded)
    with watching as terminal:
        terminal.expect("no token yet")
        schedule.sweep()
        terminal.expect("fresh")
        terminal.interrupt()
        assert terminal.finish() == 130


@pytest.mark.slow
def test_a_watch_outlasts_calls_that_are_throttled(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str, relay: Relay
) -> None:
    onboard(dealer)
    shell.environment = {**shell.environment, "AWS_ENDPOINT_URL": relay.url}
    with shell.open("status", "--watch", "--every", "1") as terminal:
        terminal.expect("no token yet")
        relay.illness = lambda _: THROTTLED
        terminal.expect("AWS is throttling this account's calls.")
        relay.illness = lambda _: None
        schedule.sweep()
        terminal.expect("fresh")
        terminal.interrupt()
        assert terminal.finish() == 130


def test_each_answer_is_looked_at_as_it_is_typed_and_whoever_leaves_wrote_nothing(
    shell: Shell, cloud: EmbeddedCloud, server: AuthorizationServer
) -> None:
    with shell.open("add", "dealer-17", columns=80) as terminal:
        for question, answer, told in (
            ("provider or token_endpoint: ", "salesforc", "did you mean salesforce?"),
            ("provider or token_endpoint: ", "http://e.example/t", "must be an https URL"),
            (
                "provider or token_endpoint: ",
                "https://e.example/t",
                "the host of token_",
            ),
            (
                *("provider or token_endpoint: ", server.token_endpoint.partition("://")[2]),
                f"token_endpoint: {server.token_endpoint}",
            ),
            ("grant_type [client_credentials]: ", "pasword", "did you mean password?"),
            ("grant_type [client_credentials]: ", "xyz", "--grant-parameter"),
            ("grant_type [client_credentials]: ", "password", ""),
            (
                "token_endpoint_auth_method [client_secret_basic]: ",
                "secret_post",
                "did you mean client_secret_post?",
            ),
            ("token_endpoint_auth_method [client_secret_basic]: ", "", ""),
            ("client_id: ", " 1", "begins or ends with a blank"),
            ("client_id: ", "1", ""),
            ("username: ", "dealer@example.com", ""),
            (SECRET_QUESTION, f"{CLIENT_SECRET} ", "begins or ends with a blank"),
        ):
            terminal.expect(question)
            terminal.enter(answer)
            terminal.expect(told)
        terminal.expect(SECRET_QUESTION)
        # Not Ctrl-C, as below.
        terminal.end_input()
        terminal.expect("Interrupted: nothing was done.")
        assert terminal.finish() == 130
    assert terminal.screen.overlong == [], terminal.screen.text
    assert CLIENT_SECRET not in terminal.transcript
    assert cloud.client().list_secrets()["SecretList"] == []


def test_what_an_option_names_alone_is_asked_for_and_not_shown(
    shell: Shell, cloud: EmbeddedCloud, server: AuthorizationServer
) -> None:
    options = ["--token-endpoint", server.token_endpoint, "--grant-parameter", "user=robot"]
    with shell.open("add", "robot", *options, "--grant-parameter", "password") as terminal:
        terminal.expect("grant_parameters.password (hidden): ")
        terminal.enter(PASSWORD)
        terminal.expect("created oauth/credentials/robot")
        assert terminal.finish() == 0
    assert PASSWORD not in terminal.transcript
    stored = cloud.client().get_secret_value(SecretId="oauth/credentials/robot")["SecretString"]
    assert json.loads(stored)["grant_parameters"] == {"user": "robot", "password": PASSWORD}


@pytest.mark.parametrize("question", ["client_id: ", "client_secret (hidden): "])
def test_whoever_leaves_a_question_unanswered_has_interrupted(
    shell: Shell, cloud: EmbeddedCloud, question: str
) -> None:
    options = ["--provider", "autovit.ro", "--grant-type", "client_credentials"]
    if "secret" in question:
        options += ["--client-id", "1"]
    with shell.open("add", "dealer-17", *options) as terminal:
        terminal.expect(question)
        # Not Ctrl-C: one that comes within microseconds of the question waits for the next key.
        terminal.end_input()
        terminal.expect("Interrupted: nothing was done.")
        assert terminal.finish() == 130
    assert cloud.client().list_secrets()["SecretList"] == []


class Gate(threading.Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, and be seen to."""
        self.is_reached.set()
        return super().wait(timeout)


def test_an_interrupted_refresh_keeps_the_refresh_token_that_it_was_given(
    shell: Shell,
    onboard: Callable[..., None],
    cloud: EmbeddedCloud,
    server: AuthorizationServer,
    schedule: Schedule,
    dealer: str,
) -> None:
    server.register_client("other", secret=CLIENT_SECRET, users={"dealer@example.com": PASSWORD})
    shell.environment = {**shell.environment, "MAX_WORKERS": "1"}
    for name in (dealer, "other"):
        onboard(name)
    schedule.sweep()
    gate = Gate()
    server.fail(WaitsFor(gate), times=1)
    with shell.open("refresh", dealer, "other", "--force") as terminal:
        assert gate.is_reached.wait(60)
        terminal.interrupt()
        terminal.expect("Interrupted: finishing what has begun.")
        gate.set()
        terminal.expect("dealer-17  published")
        terminal.expect("other      not attempted")
        assert terminal.finish() == 130
    assert len(server.refresh_tokens_redeemed) == 1
    journal = cloud.client().get_secret_value(
        SecretId="oauth/credentials/dealer-17", VersionStage="TOKENRESPONSE"
    )
    kept = json.loads(journal["SecretString"])["refresh_token"]
    assert kept not in server.refresh_tokens_redeemed


def test_whoever_waits_sees_the_first_token_arrive(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer, MISTYPED)
    with shell.open("correct", dealer, "--wait") as terminal:
        for question, answer in (
            *KEPT,
            ("password (hidden; Enter keeps the stored one): ", PASSWORD),
        ):
            terminal.expect(question)
            terminal.enter(answer)
        terminal.expect("Waiting for the next sweep to serve dealer-17")
        schedule.sweep()
        terminal.expect("dealer-17: published, expires in 11 h 5")
        assert terminal.finish() == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_a_doctor_s_lines_fit_the_terminal_and_its_words_stay_whole(
    shell: Shell,
    onboard: Callable[..., None],
    cloud: EmbeddedCloud,
    schedule: Schedule,
    dealer: str,
    columns: int,
) -> None:
    deployed = Deployed.with_parameters(cloud, schedule)
    onboard(dealer, MISTYPED)
    deployed.sweep()
    printed = shell.run("doctor", dealer, "--stack", STACK).stdout
    # Those that a clock does not change.
    words = {word for word in printed.split() if len(word) > 4}
    for name in (dealer, ""):
        line = [word for word in ("doctor", name, "--stack", STACK) if word]
        with shell.open(*line, columns=columns) as terminal:
            assert terminal.finish() == 1
        screen = terminal.screen
        assert [text for text in screen.overlong if not pasted(text)] == []
        if name:
            assert words <= set(screen.text.split())


def test_whoever_waits_is_told_for_which_sweep_and_why_it_is_held(
    shell: Shell,
    onboard: Callable[..., None],
    cloud: EmbeddedCloud,
    schedule: Schedule,
    dealer: str,
) -> None:
    shell.environment = {**shell.environment, "TZ": "EAST-14"}
    deployed = Deployed.with_parameters(cloud, schedule)
    onboard(dealer, MISTYPED)
    deployed.sweep()
    swept_at = schedule.clock()
    line = ("correct", dealer, "--scope", "read", "--wait", "--stack", STACK)
    with shell.open(*line) as terminal:
        for _ in range(2):
            terminal.expect("Enter keeps the stored one): ")
            terminal.enter("")
        terminal.expect("Waiting for the sweep at ")
        terminal.expect(" UTC to serve dealer-17")
        # CloudWatch tells the minute that a sweep was completed in.
        soon = {f"{swept_at + timedelta(minutes=later):%H:%M}" for later in range(3, 6)}
        told = set(re.findall("the sweep at (.{5}) UTC", terminal.plain))
        assert told
        assert told <= soon
        deployed.sweep()
        terminal.expect("dealer-17: invalid_grant (action required)")
        assert terminal.finish() == 1
    with shell.open(*line[:3], "write", *line[4:], "--within", "20") as terminal:
        for _ in range(2):
            terminal.expect("Enter keeps the stored one): ")
            terminal.enter("")
        terminal.expect("Held until ")
        terminal.expect(" UTC, since the ones before were tried just now")
        deployed.sweep()
        terminal.interrupt()
        terminal.expect("Interrupted. The credentials were written.")
        assert terminal.finish() == 130


def test_what_is_told_while_something_moves_stands_on_a_line_of_its_own(
    shell: Shell,
    onboard: Callable[..., None],
    cloud: EmbeddedCloud,
    schedule: Schedule,
    dealer: str,
) -> None:
    Deployed.with_parameters(cloud, schedule)
    onboard(dealer)
    line = ("correct", dealer, "--scope", "read", "--wait", "--stack", STACK)
    told = "no sweep has run yet: the schedule is new, and begins within 5 min"
    with shell.open(*line) as terminal:
        for _ in range(2):
            terminal.expect("Enter keeps the stored one): ")
            terminal.enter("")
        terminal.expect("Waiting for the next sweep")
        lines = [line.strip() for line in terminal.screen.text.splitlines()]
        assert told in lines
        terminal.interrupt()
        assert terminal.finish() == 130


def test_a_wait_ends_when_the_attempt_of_the_function_has_failed(
    shell: Shell, onboard: Callable[..., None], schedule: Schedule, dealer: str
) -> None:
    onboard(dealer, MISTYPED)
    with shell.open("correct", dealer, "--username", "other@example.com", "--wait") as terminal:
        for _ in range(2):
            terminal.expect("Enter keeps the stored one): ")
            terminal.enter("")
        terminal.expect("Waiting")
        schedule.sweep()
        terminal.expect("dealer-17: invalid_grant (action required)")
        assert terminal.finish() == 1


def test_trying_credentials_publishes_nothing_and_wants_to_be_agreed_to(
    shell: Shell,
    onboard: Callable[..., None],
    cloud: EmbeddedCloud,
    server: AuthorizationServer,
    dealer: str,
) -> None:
    onboard(dealer)
    assert shell.run("check", dealer, "--try").returncode == 3
    assert server.requests == []
    with shell.open("check", dealer, "--try") as terminal:
        terminal.expect("Ask the token endpoint? [y/N]")
        terminal.enter("n")
        terminal.expect("It was not asked.")
        assert terminal.finish() == 3
    assert server.requests == []
    with shell.open("check", dealer, "--try") as terminal:
        terminal.expect("Ask the token endpoint? [y/N]")
        terminal.enter("y")
        terminal.expect("issued a token that lives 12 h; it was not published")
        assert terminal.finish() == 0
    assert len(server.requests) == 1
    names = [secret["Name"] for secret in cloud.client().list_secrets()["SecretList"]]
    assert names == ["oauth/credentials/dealer-17"]


def test_without_its_extra_the_command_says_how_to_install_it(shell: Shell) -> None:
    without = "import sys; sys.modules['typer'] = None; "
    done = shell.python("-c", without + "from token_refresher_cli import __main__; __main__.main()")
    assert done.returncode == 1
    assert done.stderr.startswith("The command line is an extra, and was not installed.")
    assert max(map(len, done.stderr.splitlines())) < 80


def test_without_its_extra_the_command_sends_nobody_to_a_strangers_package(shell: Shell) -> None:
    """Nothing of this project is at a registry, and anybody could take its name there."""
    without = "import sys; sys.modules['typer'] = None; "
    done = shell.python("-c", without + "from token_refresher_cli import __main__; __main__.main()")
    installed = re.findall(r'install --force "(.*)"', done.stderr)
    assert installed == [f"./token_refresher-{__version__}-py3-none-any.whl[cli]", ".[cli]"]


def redirected(shell: Shell, redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does whose user has typed a redirection behind it."""
    return subprocess.run(  # noqa: S603
        ["bash", "-c", f'"$@" {redirection}', "bash", *COMMAND, *arguments],  # noqa: S607
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("add", "dealer-17"), 3, ""),
        (("correct", "dealer-17"), 0, "nothing was written"),
        (("remove", "dealer-17"), 3, "--yes"),
        (("add", "--from-file", "-"), 3, "The standard input: it is empty"),
    ],
)
def test_whoever_has_closed_the_standard_input_is_nobody_to_ask(
    shell: Shell, onboard: Callable[..., None], command: tuple[str, ...], code: int, said: str
) -> None:
    onboard("dealer-17")
    done = redirected(shell, "<&-", *command)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "a defect" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
@pytest.mark.parametrize("command", [("--help",), ("providers", "--json"), ("providers",)])
def test_a_full_disk_is_told_in_one_sentence(shell: Shell, command: tuple[str, ...]) -> None:
    done = redirected(shell, ">/dev/full", *command)
    assert done.returncode == 3
    assert done.stderr == "The disk is full: not all could be written that was to be told.\n"


def test_an_interruption_before_the_command_has_begun_is_told_in_one_sentence(
    shell: Shell,
) -> None:
    program = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'botocore':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from token_refresher_cli import __main__; __main__.main()"
    )
    done = shell.python("-c", program, "status")
    assert (done.returncode, done.stderr) == (130, "\nInterrupted: nothing was done.\n")
