"""Takes out one safeguard after the other, and sees that a test of the resilience notices.

``make mutants`` runs it. Each mutant is a copy of the program with one change; the tests run
against the copy until the first one fails. A mutant that none notices is a promise that no
test holds, and ends the run with exit code 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = ROOT / "functions" / "token_refresher"
TESTS: Final = ("tests/scenarios", "tests/unit/test_errors.py")
# What only runs that overlap tell, and so many plays of them.
OVERLAPS: Final = ("tests/resilience/test_interleavings.py",)
PLAYS: Final = 1500
FAILED: Final = re.compile(r"^FAILED (\S+)", re.MULTILINE)
WITHIN_SECONDS: Final = 600
TESTS_FAILED: Final = 1  # pytest's exit code; others mean that it could not run


@dataclass(frozen=True, slots=True)
class Mutant:
    """The program without one safeguard.

    Attributes:
        safeguard: What is taken out.
        module: Where it stands.
        before: The text that is replaced; it occurs once.
        after: What stands there instead.
        tests: What must notice.
    """

    safeguard: str
    module: str
    before: str
    after: str
    tests: tuple[str, ...] = TESTS

    def write(self, directory: Path) -> None:
        """Copy the program, but for the safeguard."""
        copy = directory / PROGRAM.name
        shutil.copytree(PROGRAM, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / f"{self.module}.py"
        text = file.read_text("utf-8")
        if text.count(self.before) != 1:
            raise LookupError(f"{self.module} holds {text.count(self.before)} times: {self.before}")
        file.write_text(text.replace(self.before, self.after), "utf-8")


MUTANTS: Final = (
    Mutant(
        "claim: a refresh token is sent without one",
        "refresh",
        "            return self._contend(basis, is_only_grant=is_only_grant)\n",
        "            return True\n",
    ),
    Mutant(
        "journal: a response is not kept before it is published",
        "refresh",
        "        self._retry_journal(until=self._own_time_left())\n",
        "        self.unwritten = None\n",
    ),
    Mutant(
        "unpublished response: a journaled response is not looked at",
        "policy",
        "    if journal is None or now >= journal.expires_at or",
        "    if True or journal is None or now >= journal.expires_at or",
    ),
    Mutant(
        "confirm: the listing is believed",
        "refresh",
        "        metadata = self.store.describe_token(self.account.name)\n"
        "        self.account = with_token(",
        "        metadata = self.account.token\n        self.account = with_token(",
    ),
    Mutant(
        "fallback: a refresh token that fails is the end of it",
        "refresh",
        "            if not allows_primary_grant(error):\n",
        "            if True:\n",
    ),
    Mutant(
        "minimum interval: a version is written whenever one is due",
        "policy",
        "    return previous is not None and now < previous.issued_at + minimum_interval(account)"
        "\n",
        "    return False\n",
    ),
    Mutant(
        "back-off: a failure is tried again on every tick",
        "policy",
        "return of.now < failure.retry_at <= of.now + _LONGEST_HOLD",
        "return False",
    ),
    Mutant(
        "per-host stop: a host that fails is asked for every account",
        "hosts",
        "                self._stopped.add(host)\n",
        "                pass\n",
    ),
    Mutant(
        "redaction: an unexpected exception's text is told",
        "errors",
        'f"{name} in {place.name}, line {place.lineno}: a defect',
        'f"{name} in {place.name}, {exception}: a defect',
    ),
    Mutant(
        "leases: a run counts as gone after two minutes",
        "leases",
        "ABANDONED_AFTER: Final = timedelta(minutes=20)",
        "ABANDONED_AFTER: Final = timedelta(minutes=2)",
        OVERLAPS,
    ),
    Mutant(
        "leases: aged by a fresh clock, not from the run's beginning",
        "refresh",
        "            asked=self.asked,\n            is_insisted_on",
        "            asked=type(self.asked)(now=self._now(), time_left=self.asked.time_left),\n"
        "            is_insisted_on",
        OVERLAPS,
    ),
    Mutant(
        "leases: a lost one is read by its stage, not by its id",
        "aws/secret_store",
        "VersionId=lease_id",
        "VersionStage=LEASE_STAGE",
        OVERLAPS,
    ),
    Mutant(
        "leases: the next number is put at once",
        "leases",
        "number = standing or 1",
        "number = (standing or 0) + 1",
        OVERLAPS,
    ),
    Mutant(
        "leases: taken before connecting",
        "redeem",
        "        with self.endpoint.connect(client) as connection:\n"
        "            try:\n"
        "                lease = self._lease()\n",
        "        lease = self._lease()\n"
        "        with self.endpoint.connect(client) as connection:\n"
        "            try:\n"
        "                pass\n",
        OVERLAPS,
    ),
    Mutant(
        "leases: an old one is acted on",
        "leases",
        "        if self.is_old(now):\n            raise",
        "        if False:\n            raise",
        OVERLAPS,
    ),
    Mutant(
        "journal: a warm one is written whatever stands there by now",
        "journal",
        "if kept.instead_of != self.version_id or kept.grant != self.grant:",
        "if kept.grant != self.grant:",
        OVERLAPS,
    ),
)


def noticed_by(mutant: Mutant) -> str | None:
    """Run the tests against a mutant; tell the first one that fails, None where none does."""
    with tempfile.TemporaryDirectory() as directory:
        mutant.write(Path(directory))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(  # noqa: S603
            [*command, "-o", f"pythonpath={directory} functions .", *mutant.tests],
            cwd=ROOT,
            env={**os.environ, "INTERLEAVINGS": str(PLAYS)},  # noqa: TID251 - the caller's
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_SECONDS,
        )
    if done.returncode == 0:
        return None
    failed = FAILED.search(done.stdout)
    if done.returncode != TESTS_FAILED or failed is None:
        raise RuntimeError(f"The tests could not be run:\n{done.stdout}")
    return failed[1]


def main() -> int:
    """Run all mutants, print what noticed each, and tell whether all were noticed."""
    noticed = {mutant.safeguard: noticed_by(mutant) for mutant in MUTANTS}
    show(noticed)
    return 0 if all(noticed.values()) else 1


def show(noticed: Mapping[str, str | None]) -> None:
    """Print which test noticed the lack of which safeguard."""
    table = Table("safeguard that was taken out", "noticed by", box=None)
    for safeguard, test in noticed.items():
        table.add_row(Text(safeguard), Text(test) if test else "[red]no test[/red]")
    # In a pipe the lines are as long as they are.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    survivors = sum(test is None for test in noticed.values())
    console.print(f"{len(noticed)} safeguards taken out, {survivors} times no test noticed")


if __name__ == "__main__":
    sys.exit(main())
