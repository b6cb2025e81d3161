"""An operator who types commands, at the time that a test's clock tells."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.testing import CliRunner

from token_refresher_cli.app import app
from token_refresher_cli.exit_codes import ExitCode
from token_refresher_cli.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from typer.testing import Result

    from local.authorization_server import AuthorizationServer
    from local.clock import DrivenClock
    from tests.cli.relay import Relay
    from tests.cli.schedule import Schedule

SECRET = "made-up-client-secret"
PASSWORD = "made-up-password"
EMAIL = "dealer@example.com"
BY_PASSWORD = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
_JSON_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
COMMANDS: Any = typer.main.get_command(app)


@dataclass(slots=True)
class Operator:
    """Runs commands in this process, with their ends in pipes.

    Waiting moves the test's clock instead of taking time.

    Attributes:
        clock: What every command takes for the present.
        server: Where the accounts' tokens come from.
        secrets: The owner's way to Secrets Manager, past any command.
        schedule: The function's.
        printed: All that was ever printed, but by ``token``.
        waits: Called whenever a command waits.
    """

    clock: DrivenClock
    server: AuthorizationServer
    secrets: SecretsManagerClient
    schedule: Schedule
    printed: list[str] = field(default_factory=list)
    waits: list[Any] = field(default_factory=list)

    def run(self, line: str, *, stdin: str = "") -> Result:
        """Run a command as it is typed after the prompt."""
        words = shlex.split(line)
        machine = Machine(clock=self.clock.now, monotonic=self._monotonic, pause=self._pause)
        result = CliRunner().invoke(app, words, input=stdin, obj=machine)
        if words[0] != "token":
            self.printed.append(result.output)
        if result.exit_code != ExitCode.USAGE:
            for command in pasted(result.output):
                assert command[0] == "aws" or parsed(command)
        return result

    def says(self, line: str, *, stdin: str = "") -> str:
        """Run a command that goes well, and return its result."""
        result = self.run(line, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def tells(self, line: str) -> Any:  # noqa: ANN401
        """Run a command with ``--json``, and return what it tells."""
        return json.loads(self.run(f"{line} --json").stdout)

    def add(self, name: str, **fields: Any) -> None:  # noqa: ANN401
        """Register a client at the server, and onboard its account."""
        registration = {"access_token_lifetime": fields.pop("lifetime", None)}
        self.server.register_client(name, secret=SECRET, users={EMAIL: PASSWORD}, **registration)
        # As a person or their own tool would; the command `add` has its own tests.
        content = self.document(name, **{**BY_PASSWORD, **fields})
        self.secrets.create_secret(Name=f"oauth/credentials/{name}", SecretString=content)

    def document(self, name: str, **fields: Any) -> str:  # noqa: ANN401
        """Write credentials as a file would hold them: a client's own, unless told otherwise."""
        content = {
            "token_endpoint": self.server.token_endpoint,
            "grant_type": "client_credentials",
            "client_id": name,
            "client_secret": SECRET,
            **fields,
        }
        return json.dumps(content)

    @contextmanager
    def by_way_of(self, relay: Relay) -> Iterator[None]:
        """Reach AWS through a relay for as long as the block runs."""
        with pytest.MonkeyPatch.context() as shell:
            shell.setenv("AWS_ENDPOINT_URL", relay.url)
            yield

    def _monotonic(self) -> float:
        return self.clock.now().timestamp()

    def _pause(self, duration: timedelta) -> None:
        if duration < timedelta(seconds=1):
            # Writes that are spread over time, from several threads: no time passes for them.
            return
        if self.waits:
            self.waits.pop(0)()
        self.clock.advance(duration)


def pasted(printed: str) -> list[list[str]]:
    """Take the commands out of what was printed; each ends its line, as its words in a shell.

    In JSON it ends its text.
    """
    if printed.startswith("{"):
        printed = "\n".join(json.loads(f'"{text}"') for text in _JSON_TEXT.findall(printed))
    found = re.findall(r"(?:^|: )((?:token-refresher|aws) .*)$", printed, re.MULTILINE)
    return [shlex.split(command) for command in found]


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse a command of ours with its own parser, and return its parameters."""
    command, rest = COMMANDS, words
    while hasattr(command, "commands"):
        rest = rest[1:]
        command = command.commands[rest[0]]
    parameters: dict[str, Any] = command.make_context(rest[0], rest[1:]).params
    return parameters


def cleared(environment: Mapping[str, str]) -> list[str]:
    """Name the variables that must not reach a command from the test's own shell."""
    ours = (
        "AWS_",
        "TOKEN_REFRESHER_",
        "SCHEDULE_",
        "SECRET_PREFIX",
        "ALLOWED_",
        "REFRESH_",
        "TOKEN_SECRET",
        "MAX_WORKERS",
        "EVENTS",
    )
    # The way to AWS, and what a terminal is like where there is none.
    others = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "term")
    return [name for name in environment if name.startswith(ours) or name.lower() in others]
