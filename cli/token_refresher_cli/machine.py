"""What the command line takes from the machine: clock, waiting, environment, terminal.

The only module that asks for them, so that a test can give others.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
import time
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from concurrent.futures import Future


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one clock of the command line


def _pause(duration: timedelta) -> None:
    time.sleep(duration.total_seconds())  # noqa: TID251 - between two looks, in `machine` alone


_SECONDS_UNTIL_CTRL_C_IS_TOLD: Final = 0.1


@contextmanager
def without_interruption() -> Iterator[Callable[[], bool]]:
    """Let no Ctrl-C cut off what is done here; what is given tells whether one was pressed.

    A `KeyboardInterrupt` would come at any line, also while the one before is dealt with. To be
    entered in the main thread, before anything has begun.
    """
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def finish(
    running: Collection[Future[Any]],
    is_pressed: Callable[[], bool],
    *,
    on_interrupt: Callable[[], None],
) -> None:
    """Wait for what has begun: the first Ctrl-C is told, others change nothing.

    Args:
        running: All that has been submitted.
        is_pressed: From `without_interruption`.
        on_interrupt: Called once, at the first Ctrl-C, and not in its signal's handler.
    """
    is_told = False
    while wait(running, timeout=_SECONDS_UNTIL_CTRL_C_IS_TOLD).not_done:
        if is_pressed() and not is_told:
            is_told = True
            on_interrupt()


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a command runs on.

    Attributes:
        clock: Gives aware times.
        monotonic: Gives seconds.
        pause: Waits.
        environment: Variables by name.
    """

    clock: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic  # noqa: TID251 - handed on from here
    pause: Callable[[timedelta], None] = _pause
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)  # noqa: TID251

    def trust_problem(self) -> str:
        """Say what is wrong with the certificate authorities that the shell names, if anything.

        OpenSSL passes over a file that it cannot read, and then believes nobody.
        """
        file = self.environment.get("SSL_CERT_FILE")
        if not file:
            return ""
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            # An `ssl.SSLError` is one, too, and has no number of a system's.
            is_unread = not isinstance(error, ssl.SSLError)
            what = "cannot be read" if is_unread else "has no certificate in PEM"
            return f"SSL_CERT_FILE names {file}, which {what}: correct or unset it"
        return ""

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to answer: at both ends, a terminal."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def prints_to_a_person(self) -> bool:
        """Whether what is printed goes to a terminal."""
        return sys.stdout.isatty()
