"""Runs a function under the client that AWS uses, and reads what its process has used.

Processor time is the kernel's account of that one process, so neither a slow server nor whatever
else the machine does is in it.
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from local.embedded_cloud import ROOT
from local.runtime_api import Answer, LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM: Final = "token_refresher.handler.lambda_handler"
ANSWER_WITHIN_SECONDS: Final = 240
SETTLING_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """What an invocation used."""

    cpu_ms: float
    wall_ms: float
    log_bytes: int
    answer: Any


def peak_mb(pid: int) -> float:
    """Tell the most memory that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6


def cpu_clock(pid: int) -> int:
    """Return the clock of all processor time of a process, threads that have ended included.

    The ticks in ``/proc`` are 10 ms, as long as a whole sweep.

    Raises:
        OSError: There is no such process.
    """
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


class MeasuredFunction(LambdaRuntime):
    """A function in a process of its own, as long as the ``with`` block.

    Args:
        environment: Its whole environment, but for where the code is.
        handler: As in a template.
        program: Where the code is, if not here.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        handler: str = PROGRAM,
        program: Path = ROOT / "functions",
    ) -> None:
        paths = f"{program}{os.pathsep}{ROOT}"
        super().__init__(handler, {**environment, "PYTHONPATH": paths})
        self._clock = cpu_clock(self._process.pid)

    def peak_mb(self) -> float:
        """Tell the most memory that it ever held."""
        return peak_mb(self._process.pid)

    def cpu_ms(self) -> float:
        """Tell the processor time that it has used since its start."""
        return time.clock_gettime(self._clock) * 1e3

    def use(self, event: object) -> Usage:
        """Invoke it, and tell what that used.

        Raises:
            RuntimeError: It failed.
        """
        cpu, log = self.cpu_ms(), os.fstat(self._output.fileno()).st_size
        before = time.perf_counter()
        answer = self.invoke(event)
        wall_ms = (time.perf_counter() - before) * 1e3
        if answer.kind != "response":
            raise RuntimeError(f"The function failed: {answer.content}")
        return Usage(
            cpu_ms=self.cpu_ms() - cpu,
            wall_ms=wall_ms,
            log_bytes=os.fstat(self._output.fileno()).st_size - log,
            answer=answer.content,
        )

    @override
    def answer(self) -> Answer:
        """Wait for an answer, longer than a test would."""
        return self._answers.get(timeout=ANSWER_WITHIN_SECONDS)

    @override
    def stop(self) -> str:
        """End it when it has read the reply to its last answer, else its server complains."""
        time.sleep(SETTLING_SECONDS)
        return super().stop()
