"""A command in a pseudo-terminal, and the screen that a person sees of it.

The picture of the demo is drawn from it, and tests look at it.
"""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyte
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyte.screens import Char

ROOT = Path(__file__).resolve().parents[1]
# Makes the terminal at its standard input its controlling one, as a shell's is, and heeds Ctrl-C
# also where this process ignores it, as whatever is started in the background does.
IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.argv[1], sys.argv[1:])
"""
ESCAPE_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
GIVE_UP_SECONDS = 300  # of silence, on a machine that is busy


class Terminal:
    """A command at work in a pseudo-terminal.

    Args:
        command: The program, by its path, and its arguments.
        environment: All of its variables but the terminal's.
        columns: The width that the terminal tells.
        lines: The height.
        directory: Where it works; the project's, as the Makefile's commands do.

    Attributes:
        transcript: All that the terminal was sent so far.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        columns: int,
        lines: int = 24,
        directory: Path = ROOT,
    ) -> None:
        self._size = columns, lines
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (lines, columns))
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", IN_A_TERMINAL, *command],
            cwd=directory,
            env={**environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = 0
        # A character may come in two pieces.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.transcript = ""

    def expect(self, text: str) -> None:
        """Read until a text is shown, after the one that was expected before."""
        while (at := self.plain.find(text, self._seen)) < 0:
            assert self._read(), f"it ended without {text!r}:\n{self.plain}"  # noqa: S101
        self._seen = at + len(text)

    def enter(self, text: str) -> None:
        """Type a line, and Enter."""
        os.write(self._ours, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    def resize(self, *, columns: int, lines: int) -> None:
        """Change the window's size, as by dragging its corner."""
        self._size = columns, lines
        termios.tcsetwinsize(self._ours, (lines, columns))

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
        """What was sent, without colours and movements."""
        return ESCAPE_CODES.sub("", self.transcript).replace("\r", "")

    @property
    def screen(self) -> Screen:
        """What a person sees now."""
        return Screen(self.transcript, *self._size)

    def _read(self) -> bool:
        """Read what comes next; False at the end."""
        ready, _, _ = select.select([self._ours], [], [], GIVE_UP_SECONDS)
        assert ready, f"nothing came any more after:\n{self.plain}"  # noqa: S101
        try:
            chunk = os.read(self._ours, 65_536)
        except OSError:
            # Linux's way to say that nobody holds the other end.
            return False
        self.transcript += self._decoder.decode(chunk)
        return bool(chunk)

    def __enter__(self) -> Self:
        """Return the command, which has been at work since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the command if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)


class Screen(pyte.Screen):
    """What a terminal shows after all that it was sent.

    Attributes:
        overlong: What did not fit into its line when it was sent, even if it was erased later.
    """

    def __init__(self, transcript: str, columns: int, lines: int) -> None:
        self.overlong: list[str] = []
        super().__init__(columns, lines)
        pyte.Stream(self).feed(transcript)

    @override
    def draw(self, data: str) -> None:
        """Write at the cursor, and notice where a terminal would break the line."""
        if self.cursor.x + len(data) > self.columns:
            self.overlong.append(data)
        super().draw(data)

    @property
    def text(self) -> str:
        """The lines, without the spaces that fill them, nor the empty ones at the end."""
        lines = []
        for number in range(self.lines):
            row: Mapping[int, Char] = self.buffer.get(number, {})
            end = max(row, default=-1) + 1
            lines.append("".join(row[column].data for column in range(end)).rstrip())
        return "\n".join(lines).rstrip()
