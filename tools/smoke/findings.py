"""Questions and what became of them, and the budget that they are asked within."""

from __future__ import annotations

import enum
import textwrap
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LINE: Final = 79
# Of what is measured, beneath the question and beside the verdict.
_INDENT: Final = 15


# Of what was in the way of a question by chance.
AGAIN: Final = "they could not be asked this time; run it again"
_NOT_SETTLED: Final = "asked, and not settled: see above"


class Verdict(enum.StrEnum):
    """How an answer compares with AWS's documents."""

    AS_DOCUMENTED = "as documented"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a question.

    Attributes:
        question: In a person's words, such as ``one of 8 simultaneous puts wins``.
        verdict: Unknown where it could not be asked: a permission, the budget, a step before it.
        measured: The figure or the code that was seen; why, where it is unknown. No value of a
            secret.
        remedy: How it comes to be asked, where a person can see to that; `AGAIN` where another
            run may do.
    """

    question: str
    verdict: Verdict
    measured: str = ""
    remedy: str = ""

    @property
    def line(self) -> str:
        """Tell it on one line; where that is longer than a terminal is wide, on several."""
        head = f"{self.verdict:<13}  {self.question}"
        whole = f"{head}: {self.measured}" if self.measured else head
        if len(whole) <= _LINE:
            return whole
        parts = [head, f"{'':{_INDENT}}{self.measured}"] if self.measured else [head]
        return "\n".join(
            textwrap.fill(part, _LINE, subsequent_indent=" " * _INDENT, break_on_hyphens=False)
            for part in parts
        )


def compared(question: str, *, held: bool = True, measured: str) -> Finding:
    """Compare what was seen with AWS's documents, where it has been seen at all."""
    return Finding(question, Verdict.AS_DOCUMENTED if held else Verdict.DIFFERS, measured)


def took(seconds: float) -> str:
    """Tell how long something took, as it is measured: to the second."""
    return f"{seconds:.0f} s"


class BudgetError(Exception):
    """The budget is spent; what has not been asked is unknown."""


class Budget:
    """Calls and seconds that a run may take, whatever becomes of it.

    Args:
        calls: How many may be made.
        seconds: How long it may last.
        monotonic: Gives seconds.
    """

    def __init__(self, *, calls: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self.calls = 0
        self._most = calls
        self._seconds = seconds
        self._monotonic = monotonic
        self._began = monotonic()
        self._lock = threading.Lock()

    @property
    def spent_seconds(self) -> float:
        """How long it has taken so far."""
        return self._monotonic() - self._began

    @property
    def left_seconds(self) -> float:
        """How long it may still take."""
        return max(0.0, self._seconds - self.spent_seconds)

    def spend(self) -> None:
        """Take one call from it.

        Raises:
            BudgetError: There is none left, or no time.
        """
        with self._lock:
            if self.calls >= self._most:
                raise BudgetError(f"{self._most} calls were made")
            if self.spent_seconds > self._seconds:
                raise BudgetError(f"{self._seconds:.0f} seconds are over")
            self.calls += 1


def counted(findings: Iterable[Finding]) -> str:
    """Count findings by verdict, in one line."""
    verdicts = [each.verdict for each in findings]
    return ", ".join(f"{verdicts.count(each)} {each}" for each in Verdict)


def told_open(findings: Iterable[Finding]) -> list[str]:
    """Say what keeps questions open, each reason once, in lines of a terminal."""
    reasons = Counter(
        each.remedy or _NOT_SETTLED for each in findings if each.verdict is Verdict.UNKNOWN
    )
    if not reasons:
        return []
    told = ["What is unknown is no fault. It stays open:"]
    for reason, count in reasons.items():
        questions = "1 question" if count == 1 else f"{count} questions"
        # A command or a permission is pasted whole.
        told.append(
            textwrap.fill(
                f"- {questions}: {reason}",
                _LINE,
                subsequent_indent="  ",
                break_on_hyphens=False,
            )
        )
    return told
