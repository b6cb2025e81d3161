"""Asks a real AWS account what no local one can settle: ``make smoke-aws``.

It makes secrets under a name of its own, asks, and takes them away, whatever happens. The exit
code is 0 where nothing differs, 1 where something does, and 2 where the asking came to no end, or
something is left.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from token_refresher import __version__
from tools.deploy import INTERRUPTED
from tools.deploying.place import DeployError, find_place, said_of, unanswered
from tools.output import console, outlast_the_reader, pasteable, refuse
from tools.smoke import deployed, identity, keys, listing, records, refusals, stages, writes
from tools.smoke.asking import NotAgreedError, agree
from tools.smoke.findings import AGAIN, Finding, Verdict, counted, told_open
from tools.smoke.questions import LostError, settle
from tools.smoke.sandbox import MOST_CALLS, MOST_SECONDS, SHORTEST_WINDOW_DAYS, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.deploying.place import Place
    from tools.smoke.questions import Question

# What is most in question stands first; last, what takes whatever calls are left.
FIRST: Final = tuple(
    question
    for group in (writes, stages, records, refusals, listing, identity)
    for question in group.QUESTIONS
)
LAST: Final = writes.ABOUT_ROOM
NOT_ASKED: Final = "Not asked: signatures and secrets by KMS keys. KEYS=1 asks about them."
# In USD: of a secret or a key in an hour, of which one that has begun counts, and of a call.
SECRET_HOUR: Final = 0.40 / 720
KEY_HOUR: Final = 1.00 / 720
CALL: Final = 0.05 / 10_000
MOST_USD: Final = 0.05
COULD_NOT: Final = 2


def what_is_made(name: str, *, with_key: bool, stack: str | None) -> list[str]:
    """Say what a person is asked to agree to, in lines of a terminal."""
    told = [
        f"It makes a dozen secrets {name}/..., their values",
        f"invented, asks {len(FIRST + LAST)} questions, and deletes them all without recovery.",
        f"At most {MOST_CALLS} calls, {MOST_SECONDS // 60} minutes and {MOST_USD} USD.",
    ]
    if with_key:
        told += [
            "It makes two KMS keys, which are billed for an hour at most, and schedules",
            f"their deletion: they are gone in {SHORTEST_WINDOW_DAYS} days.",
        ]
    if stack is not None:
        told.append(f"It looks at the stack {stack}, its metrics, its alarms and its log.")
    return [*told, "No other secret is read, and nothing that was there before is changed."]


def run(
    sandbox: Sandbox, asked: Sequence[Question], *, tell: Callable[[Finding], None]
) -> Iterator[Finding]:
    """Ask one question after the other.

    Where AWS does not answer two of them at all, or not this caller, the rest is not asked.
    """
    lost_before = False
    for number, question in enumerate(asked, 1):
        try:
            with console().status(question.name):
                finding = settle(question, sandbox)
        except LostError as error:
            finding = Finding(question.name, Verdict.UNKNOWN, str(error), AGAIN)
            lost = True
        else:
            lost = False
        yield finding
        tell(finding)
        rest = asked[number:]
        if rest and lost and lost_before:
            reason = f"not asked: {finding.measured}"
            tell(Finding(f"{len(rest)} more questions", Verdict.UNKNOWN, reason))
            for each in rest:
                yield Finding(each.name, Verdict.UNKNOWN, reason, AGAIN)
            return
        lost_before = lost


def spent(sandbox: Sandbox, secrets: int, keys: int) -> str:
    """Tell what it took, and estimate what AWS will bill."""
    dollars = secrets * SECRET_HOUR + keys * KEY_HOUR + sandbox.calls * CALL
    return f"{sandbox.calls} calls, {sandbox.spent_seconds:.0f} seconds, about {dollars:.3f} USD"


def tell_left(left: Sequence[str]) -> None:
    """Name what could not be deleted, by the commands that delete it."""
    if not left:
        print("What was made is deleted.")
        return
    print("This could not be deleted, and costs until it is:")
    for each in left:
        print(pasteable(each))


def write(file: Path, sandbox: Sandbox, findings: Sequence[Finding]) -> None:
    """Write the report, which says nothing of the account: it is made to be handed on."""
    told = {
        "version": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "region": sandbox.place.region,
        "calls": sandbox.calls,
        "seconds": round(sandbox.spent_seconds, 1),
        "findings": [asdict(each) for each in findings],
    }
    text = json.dumps(told, indent=2).replace(sandbox.place.account, "ACCOUNT")
    file.write_text(f"{text}\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask what was asked for, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yes", action="store_true", help="agreed: do not ask")
    parser.add_argument("--keys", action="store_true", help="also make KMS keys, and use them")
    parser.add_argument("--stack", help="also look at a stack that is deployed")
    parser.add_argument("--json", type=Path, help="the file of a report")
    told = parser.parse_args(arguments)
    try:
        return smoke(told)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (DeployError, NotAgreedError, OSError) as error:
        refuse(str(error))
    return COULD_NOT


def require_stack(place: Place, stack: str) -> None:
    """See that there is a stack to look at; who may not know that is told by its questions.

    Raises:
        DeployError: There is none.
    """
    try:
        place.client("cloudformation").describe_stacks(StackName=stack)
    except BotoCoreError as error:
        raise DeployError(unanswered(error)) from error
    except ClientError as error:
        if said_of(error) == "ValidationError":
            raise DeployError(f"There is no stack {stack} in {place.region}.") from error


def smoke(told: argparse.Namespace) -> int:
    """Ask whether to begin, ask AWS, and take away what was made, whatever happens.

    Raises:
        DeployError: There are no credentials, no Region, or no such stack.
        KeyboardInterrupt: It was interrupted; what was made is taken away all the same.
        NotAgreedError: Nobody has agreed.
        OSError: The report cannot be written.
    """
    if told.json is not None:
        told.json.touch()
    place = find_place()
    # Of an empty variable nobody means a stack.
    told.stack = told.stack or None
    if told.stack is not None:
        require_stack(place, told.stack)
    sandbox = Sandbox(place, monotonic=time.monotonic, sleep=time.sleep)
    agree(place, what_is_made(sandbox.name, with_key=told.keys, stack=told.stack), yes=told.yes)
    print()
    asked = list(FIRST)
    if told.stack is not None:
        asked += deployed.questions(told.stack)
    if told.keys:
        asked += keys.QUESTIONS
    asked += LAST
    findings: list[Finding] = []
    try:
        # Those that were settled count, also where it is interrupted.
        findings.extend(run(sandbox, asked, tell=lambda each: print(each.line, flush=True)))
    finally:
        made = sandbox.secrets_made, len(sandbox.keys)
        try:
            sandbox.clean_up()
        finally:
            left = sandbox.commands()
            print(f"\n{counted(findings)}\n{spent(sandbox, *made)}")
            tell_left(left)
            for line in told_open(findings) + ([] if told.keys else [NOT_ASKED]):
                print(line)
            if told.json is not None:
                write(told.json, sandbox, findings)
    return exit_code(findings, left)


def exit_code(findings: Sequence[Finding], left: Sequence[str]) -> int:
    """Tell whether all is well: what a permission or a feature keeps open is a person's choice."""
    verdicts = {each.verdict for each in findings}
    if Verdict.DIFFERS in verdicts:
        return 1
    is_over = all(each.remedy != AGAIN for each in findings)
    return 0 if is_over and not left and Verdict.AS_DOCUMENTED in verdicts else COULD_NOT


if __name__ == "__main__":
    outlast_the_reader()
    # As Ctrl-C, also where its terminal is closed: nothing is left over.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)
    sys.exit(main())
