"""The stage with real processes: the function under the real Lambda runtime client.

A fault that kills does so with SIGKILL, while the process waits for the response of the very call
that the fault strikes. The next sweep is another process's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from local.runtime_api import Answer, LambdaRuntime
from tests.resilience.matrix_wire import Wire, WireScene

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
FUNCTION: Final = "tests.resilience.matrix_function.lambda_handler"
KILLED: Final = "killed"


class MortalRuntime(LambdaRuntime):
    """A function that can be killed while it runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = f"{ROOT / 'functions'}:{ROOT}"
        super().__init__(FUNCTION, {**environment, "PYTHONPATH": path})

    def kill(self) -> None:
        """End the process at once; whoever waits for its response is told."""
        self._process.kill()
        self._process.wait()
        self._answers.put(Answer(KILLED, None))


class Processes:
    """One process after another; there is none before the first sweep, and after each death.

    Attributes:
        deaths: How many were killed.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._runtime: MortalRuntime | None = None
        self.deaths = 0
        wire.kill = self.kill

    def invoke(self, event: object) -> tuple[Answer, str]:
        """Let the process that there is, or a new one, handle an event.

        Returns:
            What it answered; and where it died, all that it had printed.
        """
        if self._runtime is None:
            self._runtime = MortalRuntime(self._wire.environment())
        answer = self._runtime.invoke(event)
        return answer, self.end() if answer.kind == KILLED else ""

    def kill(self) -> None:
        """Kill the process that runs now."""
        assert self._runtime is not None
        self.deaths += 1
        self._runtime.kill()

    def end(self) -> str:
        """End the process, and return what it printed."""
        if self._runtime is None:
            return ""
        printed = self._runtime.stop()
        self._runtime = None
        return printed


class ProcessScene(WireScene):
    """One account of an otherwise empty cloud; the function has a process of its own."""

    def __init__(self, wire: Wire, processes: Processes, *, signs: bool = False) -> None:
        super().__init__(wire, signs=signs)
        self._processes = processes

    @override
    def invoke(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Invoke the function; None where it was killed, or ended in an error."""
        asked = {"now": self.now.isoformat(), "event": event}
        answer, printed = self._processes.invoke(asked)
        self.said += [printed, json.dumps(answer.content)]
        return answer.content if answer.kind == "response" else None
