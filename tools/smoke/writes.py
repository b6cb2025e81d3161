"""What the program's safety rests on: one winner of many, reads after writes, room for versions."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from token_refresher.aws.secret_store import told_by
from token_refresher.leases import lease_id
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE
from tools.smoke.questions import Answer, Question, refusal_of
from tools.smoke.sandbox import AT_ONCE

if TYPE_CHECKING:
    from tools.smoke.sandbox import Sandbox

ROUNDS: Final = 20
# Each of them costs a call.
ROUNDS_READ: Final = range(0, ROUNDS, 5)
WRITES: Final = 15
# One secret takes the versions of all questions here.
WRITTEN: Final = "writes"
VERSIONS: Final = 130
# AWS's pages contradict each other: one has a quota of about so many, another a pace of 144 a day.
QUOTA: Final = 100
# What the program writes in a day without any response, at the most.
NEEDED: Final = 126
_EXISTS: Final = "ResourceExistsException"
_LIMIT: Final = "LimitExceededException"
# For what is asked of the full secret.
_CALLS_AFTERWARDS: Final = 3
_JOURNAL: Final = f"{'journal':-<32}"


def lease(sandbox: Sandbox, number: int) -> str:
    """The version id of a lease, as the program makes it."""
    return lease_id(sandbox.name, number)


def one_winner(sandbox: Sandbox) -> Answer:
    """Put eight different texts under one id at the same time, and see how many are taken."""
    secret = sandbox.filled(WRITTEN)
    put = sandbox.secrets.put_secret_value
    winners: Counter[int] = Counter()
    losers: Counter[str] = Counter()
    passing: set[str] = set()
    is_kept = True

    def one_of(number: int, start: threading.Barrier, version_id: str) -> str | None:
        start.wait()
        try:
            put(
                SecretId=secret,
                ClientRequestToken=version_id,
                SecretString=f"invented-{number}",
                VersionStages=[LEASE_STAGE],
            )
        except ClientError as error:
            code, is_transient = told_by(error)
            if is_transient:
                passing.add(code)
            return code
        return None

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for each in range(ROUNDS):
            start, version_id = threading.Barrier(AT_ONCE), lease(sandbox, each + 1)
            begun = [pool.submit(one_of, n, start, version_id) for n in range(AT_ONCE)]
            ends = [future.result() for future in begun]
            losers.update(filter(None, ends))
            winners[ends.count(None)] += 1
            if each in ROUNDS_READ and ends.count(None) == 1:
                read = sandbox.eventually(
                    lambda: sandbox.secrets.get_secret_value(
                        SecretId=secret,
                        VersionId=version_id,  # noqa: B023 - called before the next round
                    )
                )
                is_kept = is_kept and read.value["SecretString"] == f"invented-{ends.index(None)}"
    won = " and ".join(f"{number} winner{'s' * (number != 1)}" for number in sorted(winners))
    codes = ", ".join(f"{code} {number} times" for code, number in losers.most_common())
    kept = "" if is_kept else ", and another text than the winner's was read"
    is_one = set(winners) == {1} and is_kept and losers.keys() <= {_EXISTS} | passing
    return Answer(is_one, f"{won} in each of {ROUNDS} rounds; {codes}{kept}")


def read_after_write(sandbox: Sandbox) -> Answer:
    """Publish fifteen times, and look how soon a description and a read have it."""
    secret = sandbox.filled(WRITTEN)
    late: dict[str, list[float]] = {"DescribeSecret": [], "GetSecretValue": []}
    is_seen = True
    for number in range(WRITES):
        version_id = f"{f'published-{number}-':-<32}"
        sandbox.put(WRITTEN, version_id, f"invented-{number}")
        described = sandbox.eventually(
            lambda: sandbox.secrets.describe_secret(SecretId=secret).get("VersionIdsToStages", {}),
            lambda stages: CURRENT in stages.get(version_id, ()),  # noqa: B023 - called here
        )
        read = sandbox.eventually(
            lambda: sandbox.secrets.get_secret_value(SecretId=secret)["VersionId"],
            lambda found: found == version_id,  # noqa: B023 - called here
        )
        for operation, seen in ("DescribeSecret", described), ("GetSecretValue", read):
            if seen.looks > 1:
                late[operation].append(seen.seconds)
        is_here = CURRENT in described.value.get(version_id, ()) and read.value == version_id
        is_seen = is_seen and is_here
    told = "; ".join(
        f"{operation} at once {WRITES - len(seconds)} of {WRITES} times"
        + (f", else within {max(seconds):.1f} s" if seconds else "")
        for operation, seconds in late.items()
    )
    # Nothing says how late a read may be, so one that nobody waited for proves nothing.
    return Answer(True if is_seen else None, told)


def room_for_versions(sandbox: Sandbox) -> Answer:
    """Put versions whose stage moves on, as leases do, until the secret takes no more."""
    secret = sandbox.filled(WRITTEN)
    sandbox.put(WRITTEN, _JOURNAL, "invented-journal", [JOURNAL_STAGE])
    listed = sandbox.secrets.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True)
    held = len(listed["Versions"])
    code = ""
    while held < VERSIONS and not code and sandbox.calls_left > _CALLS_AFTERWARDS:
        asked = {
            "SecretId": secret,
            "ClientRequestToken": lease(sandbox, 1000 + held),
            "SecretString": "invented",
            "VersionStages": [LEASE_STAGE],
        }
        code = refusal_of(partial(sandbox.secrets.put_secret_value, **asked))
        held += not code
    if code:
        too_few = "" if held >= NEEDED else f", and a day of outages writes {NEEDED}"
        told = f"the one after {held} is refused by {code}{too_few}"
        return Answer(code == _LIMIT and held >= QUOTA, told)
    return Answer(True if held == VERSIONS else None, f"{held} are taken")


def old_versions_stay(sandbox: Sandbox) -> Answer:
    """Read, in that full secret, a version that its stage has left, by its id."""
    secret = sandbox.filled(WRITTEN)
    first = sandbox.secrets.get_secret_value(SecretId=secret, VersionId=lease(sandbox, 1))
    stages = first.get("VersionStages", [])
    told = f"has {' and '.join(stages)}" if stages else "is read, and has no stage"
    return Answer(not stages, told)


def staged_versions_stay(sandbox: Sandbox) -> Answer:
    """Read, in that full secret, a version that has a stage of its own alone."""
    secret = sandbox.filled(WRITTEN)
    by_stage = sandbox.secrets.get_secret_value(SecretId=secret, VersionStage=JOURNAL_STAGE)
    by_id = sandbox.secrets.get_secret_value(SecretId=secret, VersionId=_JOURNAL)
    is_same = by_stage["VersionId"] == by_id["VersionId"] == _JOURNAL
    is_alone = by_id["VersionStages"] == [JOURNAL_STAGE]
    return Answer(is_same and is_alone, "read by its stage, and by its id")


QUESTIONS: Final = (
    Question(
        f"one of {AT_ONCE} simultaneous puts under one id wins",
        "a version cannot be modified: other content under its id is refused",
        one_winner,
    ),
    Question(
        "a version that was put is described and read",
        "every operation is eventually consistent; no limit is named",
        read_after_write,
    ),
)
ABOUT_ROOM: Final = (
    Question(
        f"{VERSIONS} versions of one day in a secret",
        f"one in ten minutes, 144 a day, or about {QUOTA} in all; beyond that {_LIMIT}",
        room_for_versions,
    ),
    Question(
        "a version that its stage has left is read by its id",
        "a version without a stage is deprecated, and kept for a day",
        old_versions_stay,
    ),
    Question(
        "a version with a stage of the program's own stays",
        "a version with a stage is never removed",
        staged_versions_stay,
    ),
)
