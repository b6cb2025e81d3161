"""Every screen of the command line, in terminals of 80 and 120 columns.

A fleet of awkward accounts is shown by every command: no line is wider than the terminal, no word
is broken, and nothing is lost that a pipe is told. pytest keeps what was seen in `screens.txt`
of the test's directory.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

import pytest
from typer.testing import CliRunner

from tests.cli.key_files import service_account
from tests.cli.schedule import Schedule
from token_refresher_cli.app import app
from token_refresher_cli.kms_keys import Role, aliases_of
from tools.docs.command_line import COMMANDS
from tools.terminal import Screen

if TYPE_CHECKING:
    from pathlib import Path

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.terminal import Shell

SECRET: Final = "made-up-client-secret"
PASSWORD: Final = "made-up-password"
EMAIL: Final = "dealer@example.com"
# As long as names become: by country, partner and branch.
LONG: Final = "motors/" + "partner-of-many-words/" * 8 + "branch-17.lisboa"
LONG_AND_WRONG: Final = "motors/" + "a_dealer+whose=name@never.ends-" * 6 + "at-all"

# What each command is asked for, so that it says the same each time; a command that is not here
# fails a test. {new} is a name that is not taken.
SCREENS: Final[dict[str, tuple[str, ...]]] = {
    "status": (
        "status",
        "status dealer-17",
        "status --region eu-west-1",
        "status --prefix nobody",
        "status nobody",
    ),
    "plan": ("plan",),
    "doctor": ("doctor", "doctor dealer-17", "doctor dealer-18", f"doctor {LONG}"),
    "add": (
        "add {new}",
        "add {new} --from-file {file}",
        "add {new} --from-file {misspelt}",
        "add --from-file {many} --dry-run",
    ),
    "check": (
        f"check {LONG}",
        "check waiting",
        "check dealer-18 --try",
        "check dealer-18 --try --yes",
        "check dealer-18 --try --yes --show-response",
    ),
    "correct": (
        "correct dealer-18",
        "correct dealer-17 --from-file {file}",
        "correct nobody --from-file {file}",
    ),
    "refresh": (
        f"refresh dealer-17 dealer-18 {LONG} waiting orphaned nobody",
        f"refresh dealer-18 {LONG_AND_WRONG} --force",
        "refresh dealer-17 --remote",
    ),
    "remove": ("remove overdue", f"remove {LONG} --dry-run", "remove nobody --yes"),
    "restore": ("restore overdue", "restore nobody"),
    "history": ("history dealer-17", "history busy", "history theirs", "history waiting"),
    "token": ("token dealer-17", "token waiting --show"),
    "key create": ("key create {new}", "key create signs", f"key create {LONG_AND_WRONG}"),
    "key import": (
        "key import {new} --pem {google}",
        "key import signs --pem {google}",
        "key import {new} --pem {file}",
    ),
    "key jwks": (
        "key jwks signs",
        "key jwks signs --format certificate",
        "key jwks signs --format pem --only next",
        f"key jwks {LONG}",
    ),
    "key rotate": (
        "key rotate signs",
        "key rotate signs --finish",
        "key rotate signs --switch",
        "key rotate nobody",
    ),
    "providers": ("providers", "providers snowflake", "providers keycloak", "providers snowflaek"),
}
# What no command is.
MISTAKES: Final = ("nothing", "status --no-such-option", "add an/impossible|name", "--version")
# What is typed where a command asks; None leaves the question unanswered, which ends the command.
ANSWERS: Final[dict[str, tuple[tuple[str, str | None], ...]]] = {
    "add {new}": (
        ("token_endpoint: ", "{endpoint}"),
        ("grant_type [client_credentials]: ", "password"),
        ("token_endpoint_auth_method [client_secret_basic]: ", ""),
        ("client_id: ", "made-up"),
        ("username: ", None),
    ),
    "check dealer-18 --try": (("Ask the token endpoint? [y/N]: ", "n"),),
    "remove overdue": (("Remove overdue? [y/N]: ", "n"),),
    "correct dealer-18": (
        ("token_endpoint (Enter keeps it): ", ""),
        ("client_id [dealer-18]: ", ""),
        ("username [", ""),
        ("client_secret (hidden; Enter keeps the stored one): ", None),
    ),
}
# Wider than any line.
WIDEST: Final = 400
TALLEST: Final = 400
# Of columns in which nothing is said, and which need not be there.
HEADINGS: Final = {"error", "expires", "since"}
# What stands around words: boxes, bars, dots that turn.
DRAWN: Final = re.compile(r"[\u2500-\u28ff]+")
COMMAND: Final = re.compile(r"(token-refresher|aws|chmod|make|rm|   --[a-z-]+) ")
# What is copied as it is: a line of JSON, or a single word.
VERBATIM: Final = re.compile(r'\s*("|\S+$)')


@dataclass(slots=True)
class Fleet:
    """Accounts in every state, made by the function's own sweeps, at the times that those take."""

    cloud: EmbeddedCloud
    server: AuthorizationServer
    authority: Authority
    now: datetime = field(default_factory=lambda: datetime.now(UTC))  # noqa: TID251

    def add(
        self, name: str, *, password: str = PASSWORD, lifetime: timedelta = timedelta(hours=12)
    ) -> None:
        """Register a client at the server, and store its credentials."""
        self.server.register_client(
            name, secret=SECRET, users={EMAIL: PASSWORD}, access_token_lifetime=lifetime
        )
        self.cloud.client().create_secret(
            Name=f"oauth/credentials/{name}", SecretString=self.document(name, password)
        )

    def document(self, name: str, password: str = PASSWORD) -> str:
        """Write credentials."""
        return json.dumps(
            {
                "token_endpoint": self.server.token_endpoint,
                "grant_type": "password",
                "client_id": name,
                "client_secret": SECRET,
                "username": EMAIL,
                "password": password,
            }
        )

    def sweep(self, *, hours_ago: float) -> None:
        """Let the function serve what is due at a time."""
        at = self.now - timedelta(hours=hours_ago)
        client = self.cloud.client()
        Schedule(client, self.server, self.authority, lambda: at).sweep()


@pytest.fixture
def fleet(cloud: EmbeddedCloud, server: AuthorizationServer, authority: Authority) -> Fleet:
    """Awkward accounts."""
    fleet = Fleet(cloud, server, authority)
    secrets = cloud.client()
    fleet.add("dealer-18", password="made-up-passwort")
    fleet.add(LONG_AND_WRONG, password="made-up-passwort")
    fleet.add("busy", lifetime=timedelta(hours=3))
    for hours in (70, 68, 65, 55, 40, 30):
        fleet.sweep(hours_ago=hours)
    secrets.put_secret_value(
        SecretId="oauth/credentials/busy", SecretString=fleet.document("busy") + " "
    )
    fleet.sweep(hours_ago=20)
    fleet.add("overdue")
    fleet.add("orphaned")
    fleet.sweep(hours_ago=11.5)
    secrets.delete_secret(SecretId="oauth/credentials/orphaned", ForceDeleteWithoutRecovery=True)
    fleet.add("short", lifetime=timedelta(minutes=5))
    fleet.add("dealer-17")
    fleet.add(LONG)
    for number in range(3):
        fleet.add(f"partner-{number}/branch-{number}.lisboa")
    # So that no sweep sees it, and nothing is on record.
    secrets.delete_secret(SecretId="oauth/credentials/overdue", RecoveryWindowInDays=7)
    fleet.sweep(hours_ago=0.1)
    secrets.restore_secret(SecretId="oauth/credentials/overdue")
    secrets.create_secret(Name="oauth/credentials/waiting")
    secrets.create_secret(Name="oauth/credentials/theirs", SecretString=fleet.document("theirs"))
    secrets.create_secret(Name="oauth/tokens/theirs", SecretString='{"access_token": "theirs"}')
    kms, aliases = cloud.client("kms"), aliases_of("oauth", "signs")
    for role in (Role.CURRENT, Role.NEXT):
        key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        kms.create_alias(AliasName=aliases[role], TargetKeyId=key["KeyId"])
    return fleet


@dataclass(frozen=True, slots=True)
class Seen:
    """What a terminal has shown of a command.

    Attributes:
        text: As a person sees it.
        lines: As they were printed, before the terminal broke any.
        overlong: What did not fit when it was sent, even if it was erased later.
    """

    text: str
    lines: list[str]
    overlong: list[str]

    @property
    def words(self) -> set[str]:
        """Its words; those with digits may be times, and differ from run to run."""
        words = (word.strip(";,.:") for word in DRAWN.sub(" ", "\n".join(self.lines)).split())
        return {word for word in words if len(word) > 1 and not re.search("[0-9]", word)}

    def too_wide(self, columns: int) -> list[str]:
        """Tell what is wider than the terminal, and is not meant to be copied as it is."""
        kept = [line for line in self.lines if COMMAND.match(line) or VERBATIM.match(line)]
        too_wide = [line for line in self.lines if len(line) > columns and line not in kept]
        return too_wide + [
            part for part in self.overlong if not any(part.strip() in line for line in kept)
        ]


def look(shell: Shell, line: str, columns: int, **names: str) -> Seen:
    """Run a command in a terminal, answering what it asks, and look at all that was shown."""
    with shell.open(*line.format(**names).split(), columns=columns) as terminal:
        for question, answer in ANSWERS.get(line, ()):
            terminal.expect(question)
            if answer is None:
                terminal.end_input()
            else:
                terminal.enter(answer.format(**names))
        terminal.finish()
    assert "Traceback" not in terminal.plain
    screen = Screen(terminal.transcript, columns, TALLEST)
    whole = Screen(terminal.transcript, WIDEST, TALLEST)
    return Seen(screen.text, whole.text.splitlines(), screen.overlong)


@pytest.fixture
def names(fleet: Fleet, tmp_path: Path) -> dict[str, str]:
    """What stands for the words in braces."""
    (tmp_path / "file").write_text(fleet.document("dealer-17"))
    (tmp_path / "google").write_text(service_account())
    (tmp_path / "misspelt").write_text('{"grant_typ": "password",\n "client_id": 17}')
    accounts = [json.loads(fleet.document(name)) | {"account": name} for name in (LONG, "many-1")]
    accounts.append({"account": "many-2", "grant_typ": "password"})
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, accounts)))
    files = {path.stem: str(path) for path in tmp_path.iterdir()}
    return {**files, "endpoint": fleet.server.token_endpoint}


def test_every_command_is_looked_at() -> None:
    assert set(COMMANDS) == set(SCREENS)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # each of forty commands runs in two processes of its own
def test_no_line_is_too_wide_and_no_word_is_broken_or_lost(
    shell: Shell, names: dict[str, str], tmp_path: Path
) -> None:
    lines = chain.from_iterable(SCREENS[command] for command in COMMANDS)
    wrong, shown = {}, []
    for number, line in enumerate([*lines, *MISTAKES]):
        narrow, wide = (
            look(shell, line, columns, new=f"new-{number}-{columns}", **names)
            for columns in (80, 120)
        )
        shown += [f"$ token-refresher {line}\n{seen.text}\n" for seen in (narrow, wide)]
        # Broken words are not broken at the same letter in both.
        differ = (narrow.words ^ wide.words) - HEADINGS
        if any(found := (narrow.too_wide(80), wide.too_wide(120), differ)):
            wrong[line] = found
    (tmp_path / "screens.txt").write_text("\n".join(shown))
    assert wrong == {}


def helped(command: str, columns: int) -> Seen:
    """Ask a command for its help; where Typer draws boxes, it does so in a pipe as well."""
    printed = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": str(columns)})
    assert printed.exit_code == 0
    return Seen(printed.stdout, printed.stdout.splitlines(), [])


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_of_every_command_is_whole(command: str, columns: int) -> None:
    seen = helped(command, columns)
    assert [line for line in seen.lines if len(line) > columns] == []
    assert seen.words == helped(command, WIDEST).words
