"""The real command, in a terminal of its own or in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from local.embedded_cloud import ROOT
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = (sys.executable, "-m", "token_refresher_cli")
GIVE_UP_SECONDS = 60  # for one command, on a machine that is busy


@dataclass(slots=True)
class Shell:
    """What an operator's shell holds: variables, and all that was ever shown in it.

    Attributes:
        environment: Variables by name; nothing of the test's own shell but the search path.
        shown: Everything that any command has printed, wherever to.
    """

    environment: Mapping[str, str]
    shown: list[str] = field(default_factory=list)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command with its ends in pipes."""
        return self.python(*COMMAND[1:], *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with its ends in pipes."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIVE_UP_SECONDS,
            check=False,
        )
        self.shown += [done.stdout, done.stderr]
        return done

    def pipe(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command where its output is used and not shown."""
        done = self.run(*arguments)
        self.shown.remove(done.stdout)
        return done

    def open(self, *arguments: str, columns: int = 140) -> Terminal:
        """Run the command in a terminal."""
        return ShownTerminal(self, arguments, columns)


class ShownTerminal(Terminal):
    """A terminal in a shell: what it has shown is kept there."""

    def __init__(self, shell: Shell, arguments: tuple[str, ...], columns: int) -> None:
        self._shell = shell
        super().__init__((*COMMAND, *arguments), shell.environment, columns=columns, lines=40)

    @override
    def __exit__(self, *why: object) -> None:
        super().__exit__(*why)
        self._shell.shown.append(self.transcript)


def shell_variables(**variables: str) -> dict[str, str]:
    """The variables of a shell in which nothing is set but what is given."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'cli'}:{ROOT / 'tests' / 'cli' / 'network'}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **variables,
    }
