"""Deploys a stack to a real AWS account, walks through it, deletes it: ``make smoke-aws-stack``.

It says first where, what it makes, how long that takes and what it costs, and asks. Whatever
happens, a failure, Ctrl-C, the end of its time, what it made is deleted, and what could not be is
named. After a process that was killed outright ``CLEAN=name`` does the same.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from tools.deploy import INTERRUPTED
from tools.deploying.place import DeployError, find_place
from tools.output import outlast_the_reader, refuse
from tools.smoke.asking import NotAgreedError, agree
from tools.smoke.findings import Budget, Finding, Verdict, counted
from tools.smoke.stack_cleanup import clean
from tools.smoke.stack_site import NAME, Names, Site, Waits
from tools.smoke.stack_walk import STEPS, Step, Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.deploying.place import Place

# Ten minutes are kept for what deletes: two times the longest wait for stacks.
WALK_SECONDS: Final = 35 * 60
# Of the dearest kind of call, CloudWatch's, as many cost 0.04 USD.
CALLS: Final = 4000

# As `make smoke-aws` tells it.
UNKNOWN: Final = 2

PLAN: Final = """\
This deploys a stack, walks through it, and deletes it. All its names begin with
{name}. It makes:
  - 4 stacks: the function with a schedule of one minute; its alarms; the policy
    of an account; and a token endpoint behind a public function URL, which
    knows one invented client
  - 3 KMS keys, which KMS deletes 7 days later; 3 roles beside them; 6 secrets;
    2 copies of an alarm
  - SAM's bucket and its stack aws-sam-cli-managed-default, if they are not
    there; these stay
It takes half an hour, at most 45 minutes, makes at most {calls} calls, and costs
some cents, at most 1 USD. No step of it has ever run on AWS.
If it is killed, this deletes what it has made:
    make smoke-aws-stack CLEAN={name}"""
CLEANING: Final = """\
This deletes, without recovery, the stacks and the secrets whose names begin with
{name}, and schedules the deletion of their keys."""


def main(arguments: Sequence[str] | None = None, *, waits: Waits = Waits()) -> int:  # noqa: B008
    """Ask, walk, clean up.

    Returns:
        0 where all is as documented; 1 where something differs; 2 where something is unknown or
        left, or nothing was begun.
    """
    parser = argparse.ArgumentParser(prog="make smoke-aws-stack", description=__doc__)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--clean", metavar="NAME", help="delete what a walk has left behind")
    told = parser.parse_args(arguments)
    is_clean_up = told.clean is not None
    names = Names(told.clean) if is_clean_up else Names.invented()
    if not NAME.fullmatch(names.stack):
        print("CLEAN names a walk, such as token-refresher-smoke-stack-1a2b3c4d.", file=sys.stderr)
        return UNKNOWN
    plan = CLEANING if is_clean_up else PLAN
    try:
        place = find_place()
        agree(place, [plan.format(name=names.stack, calls=CALLS)], yes=told.yes)
    except (DeployError, NotAgreedError) as error:
        refuse(str(error))
        return UNKNOWN
    except KeyboardInterrupt:
        return INTERRUPTED
    if is_clean_up:
        return _clean(place, names, waits)
    return walk(place, names, secrets.token_urlsafe(24), waits=waits)


def walk(
    place: Place,
    names: Names,
    client_secret: str,
    *,
    waits: Waits,
    steps: Sequence[Step] = STEPS,
    seconds: float = WALK_SECONDS,
) -> int:
    """Walk through a stack, and delete it whatever happens.

    Args:
        place: Where.
        names: Of what is made.
        client_secret: Invented, for the token endpoint that is made.
        waits: How long is waited.
        steps: What is done, in this order.
        seconds: How long all steps may take.
    """
    budget = Budget(calls=CALLS, seconds=seconds, monotonic=time.monotonic)
    site = Site(place, names, budget=budget, waits=waits)
    findings: list[Finding] = []
    status = 0
    try:
        for finding in Walk(site, client_secret).go(steps):
            findings.append(finding)
            print(finding.line, flush=True)
        print(f"\n{counted(findings)}; {budget.calls} calls, {budget.spent_seconds / 60:.0f} min")
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        status = INTERRUPTED
    finally:
        left = _clean(place, names, waits)
    verdicts = {each.verdict for each in findings}
    if status or Verdict.DIFFERS in verdicts:
        return status or 1
    return UNKNOWN if left or Verdict.UNKNOWN in verdicts else 0


def _clean(place: Place, names: Names, waits: Waits) -> int:
    """Delete what bears the names, and return 2 where something is left."""
    print("== Deleting what was made", flush=True)
    try:
        left = clean(Site(place, names, waits=waits))
    except KeyboardInterrupt:
        print(f"\nNot all of it was deleted. Go on: make smoke-aws-stack CLEAN={names.stack}")
        raise
    for each in left:
        print(f"Left: {each.what}. To delete it:\n    {each.command}")
    if not left:
        print("Nothing is left, but keys that wait for their deletion, and SAM's bucket.")
    return UNKNOWN if left else 0


def run() -> int:
    """Do it as a command, which a closed terminal ends as Ctrl-C does."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)
    try:
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    outlast_the_reader()
    sys.exit(run())
