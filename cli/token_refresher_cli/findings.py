"""What a step of `doctor` finds, and how one step follows another. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from token_refresher.errors import SecretStoreError
from token_refresher_cli.problems import RefusedError, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from token_refresher_cli.patient import Patient


class Verdict(StrEnum):
    """What a step comes to. Public: table, JSON, documentation."""

    WELL = "ok"
    WRONG = "wrong"
    UNKNOWN = "not known"
    SKIPPED = "not looked at"


class Finding(NamedTuple):
    """What a step has found.

    Attributes:
        verdict: What it comes to.
        said: In a few words.
        fix: What to do about it; a command stands at its end, to be pasted. Empty for nothing.
        is_nowhere: Whether there is nothing to look at, or nobody who could.
        is_new: Whether there is nothing to look at yet, and soon will be.
    """

    verdict: Verdict
    said: str
    fix: str = ""
    is_nowhere: bool = False
    is_new: bool = False


class Step(NamedTuple):
    """A step on the way from credentials to consumer.

    Attributes:
        name: What is looked at.
        look: Looks, and judges; None where there is no such thing to look at.
        needs_stack: Whether only a deployed stack can tell.
    """

    name: str
    look: Callable[[Patient], Finding | None]
    needs_stack: bool = False


def well(said: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(Verdict.WELL, said)


def wrong(said: str, fix: str = "", *, is_nowhere: bool = False) -> Finding:
    """What is first found wrong is told, and nothing behind it is looked at."""
    return Finding(Verdict.WRONG, said, fix, is_nowhere)


def unknown(said: str, *, is_new: bool = False) -> Finding:
    """Nobody here can tell."""
    return Finding(Verdict.UNKNOWN, said, is_new=is_new)


def examine(patient: Patient, steps: Iterable[Step]) -> Iterator[tuple[Step, Finding]]:
    """Take one step after another, up to the first that finds something wrong.

    What may not be looked at is not known; it stops nothing.
    """
    for step in steps:
        if step.needs_stack and patient.deployment is None:
            said = "give --stack or TOKEN_REFRESHER_STACK"
            finding: Finding | None = Finding(Verdict.SKIPPED, said)
        else:
            try:
                finding = step.look(patient)
            except (RefusedError, SecretStoreError) as error:
                problem = explain(error, patient.target)
                what = problem.what.removesuffix(".")
                finding = Finding(Verdict.UNKNOWN, what, problem.fix)
        if finding is None:
            continue
        yield step, finding
        if finding.verdict is Verdict.WRONG:
            return
