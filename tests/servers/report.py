"""Plays all trials at all servers, prints what came of them, and writes docs/real-servers.md.

The tests play the same trials.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers import signing
from tests.servers.servers import KINDS
from tests.servers.trials import KILLED_AFTER, play

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.servers.servers import Kind
    from tests.servers.signing import Proof, Proved
    from tests.servers.trials import Result

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "real-servers.md"
BEGIN: Final = "<!-- What follows is written by `make servers`. -->\n"
END: Final = "<!-- Written by `make servers` up to here. -->\n"
BEGIN_PROOFS: Final = "<!-- What follows on signing is written by `make servers`. -->\n"
END_PROOFS: Final = "<!-- On signing, written by `make servers` up to here. -->\n"
NO_SUCH_CALL: Final = "-"
# Each column is an emulator, a server and a function; more at once would wait for each other.
COLUMNS_AT_ONCE: Final = 2


def play_all(kinds: Iterable[Kind]) -> list[Result]:
    """Play all trials at these servers, for both accounts of each."""
    columns = [(kind, is_refresh_only) for kind in kinds for is_refresh_only in (True, False)]
    with ThreadPoolExecutor(COLUMNS_AT_ONCE) as pool:
        played = pool.map(lambda each: list(play(each[0], is_refresh_only=each[1])), columns)
        return [result for column in played for result in column]


def prove_all(proofs: Iterable[Proof]) -> list[Proved]:
    """Play all trials of accounts that sign, or show a certificate."""
    with ThreadPoolExecutor(COLUMNS_AT_ONCE) as pool:
        return [
            each
            for played in pool.map(lambda one: list(signing.play(one)), proofs)
            for each in played
        ]


def rendered_proofs(results: Sequence[Proved]) -> str:
    """Write the table: a row for each account, a column for each trial."""
    trials = list(dict.fromkeys(each.trial for each in results))
    versions = dict.fromkeys(
        f"{each.proof.kind.package} {each.proof.kind.version}" for each in results
    )
    lines = [
        f"The servers: {', '.join(versions)}.",
        "",
        _line("account", *trials),
        "|---" * (1 + len(trials)) + "|",
    ]
    for proof, group in groupby(results, key=lambda each: each.proof):
        lines.append(_line(proof.name, *map(str, group)))
    return "\n".join([*lines, ""])


def rendered(results: Sequence[Result]) -> str:
    """Write the table: a column for each account at each server, a row for each trial."""
    columns = list(dict.fromkeys((each.kind.name, each.account) for each in results))
    cells = {(each.trial, each.kind.name, each.account): str(each) for each in results}
    rows = [
        (trial, [cells.get((trial, *column), NO_SUCH_CALL) for column in columns])
        for trial in _in_order(results)
    ]
    versions = dict.fromkeys(f"{each.kind.package} {each.kind.version}" for each in results)
    lines = [
        f"The servers: {', '.join(versions)}.",
        "",
        _line("trial", *map(": ".join, columns)),
        "|---" * (1 + len(columns)) + "|",
    ]
    for (is_death, found), group in groupby(
        rows, key=lambda row: (row[0].startswith(KILLED_AFTER), row[1])
    ):
        names = [name for name, _ in group]
        if is_death:
            names = [KILLED_AFTER + ", ".join(map(_without_the_kill, names))]
        lines += [_line(name, *found) for name in names]
    return "\n".join([*lines, ""])


def with_report(document: str, report: str, *, begin: str = BEGIN, end: str = END) -> str:
    """Put a table into the document."""
    before, _, rest = document.partition(begin)
    return f"{before}{begin}\n{report}\n{end}{rest.partition(end)[2]}"


def with_proofs(document: str, report: str) -> str:
    """Put the table of those that sign into the document."""
    return with_report(document, report, begin=BEGIN_PROOFS, end=END_PROOFS)


def main() -> int:
    """Play everything; 1 where something else came of it than is promised."""
    for kind in KINDS:
        if kind.missing:
            _say(f"{kind.name} is left out: there is no {kind.missing} on this machine")
    results = play_all(kind for kind in KINDS if not kind.missing)
    report = rendered(results)
    _say(report)
    proved = prove_all(proof for proof in signing.PROOFS if not proof.kind.missing)
    table = rendered_proofs(proved)
    _say(table)
    unproved = [each for each in proved if not each.is_as_promised]
    for one in unproved:
        _say(f"{one.proof.name}: {one.trial}: {one}")
    broken = [each for each in results if each.outcome != each.expected]
    for each in broken:
        _say(f"{each.kind.name}, {each.account}: {each.trial}: {each}")
    count = len(results) + len(proved)
    _say(f"{count} trials, {len(broken) + len(unproved)} not as promised")
    if any(kind.missing for kind in KINDS):
        _say("docs/real-servers.md stays as it is, since not all servers were there")
    else:
        document = with_report(DOCUMENT.read_text("utf-8"), report)
        DOCUMENT.write_text(with_proofs(document, table), "utf-8")
    return 1 if broken or unproved else 0


def _in_order(results: Iterable[Result]) -> list[str]:
    """Name each trial once; a call that only some accounts make stands where they make it."""
    names: list[str] = []
    position = 0
    for each in results:
        if each.trial in names:
            position = names.index(each.trial) + 1
        else:
            names.insert(position, each.trial)
            position += 1
    return names


def _without_the_kill(name: str) -> str:
    return name.removeprefix(KILLED_AFTER)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
