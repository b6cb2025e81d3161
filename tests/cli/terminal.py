"""The real command, in a terminal of its own or in a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from local.embedded_cloud import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

COMMAND = (sys.executable, "-m", "token_refresher_cli")
# Makes the terminal at its standard input its controlling one, as a shell's is, and heeds Ctrl-C
# also where this process ignores it, as whatever is started in the background does.
IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.argv[1], sys.argv[1:])
"""
ESCAPE_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
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

    def open(self, *arguments: str) -> Terminal:
        """Run the command in a terminal."""
        return Terminal(self, arguments)


class Terminal:
    """A command at work in a pseudo-terminal."""

    def __init__(self, shell: Shell, arguments: tuple[str, ...]) -> None:
        self._shell = shell
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", IN_A_TERMINAL, *COMMAND, *arguments],
            env={**shell.environment, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = 0
        self.transcript = ""

    def expect(self, text: str) -> None:
        """Read until a text is shown, after the one that was expected before."""
        while (at := self.plain.find(text, self._seen)) < 0:
            assert self._read(), f"it ended without {text!r}:\n{self.plain}"
        self._seen = at + len(text)

    def enter(self, text: str) -> None:
        """Type a line, and Enter."""
        os.write(self._ours, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    def end_input(self) -> None:
        """Press Ctrl-D."""
        os.write(self._ours, b"\x04")

    def finish(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        return self._process.wait(timeout=GIVE_UP_SECONDS)

    @property
    def plain(self) -> str:
        """What is shown, without colours and movements."""
        return ESCAPE_CODES.sub("", self.transcript).replace("\r", "")

    def _read(self) -> bool:
        """Read what comes next; False at the end."""
        ready, _, _ = select.select([self._ours], [], [], GIVE_UP_SECONDS)
        assert ready, f"nothing came any more after:\n{self.plain}"
        try:
            chunk = os.read(self._ours, 65_536)
        except OSError:
            # Linux's way to say that nobody holds the other end.
            return False
        self.transcript += chunk.decode(errors="replace")
        return bool(chunk)

    def __enter__(self) -> Self:
        """Return the command, which has been at work since it was made."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the command if it has not ended, and keep what it has shown."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
        self._shell.shown.append(self.transcript)


def shell_variables(**variables: str) -> dict[str, str]:
    """The variables of a shell in which nothing is set but what is given."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT / "functions"),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **variables,
    }
