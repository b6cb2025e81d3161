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
TESTS: Final = (
    "tests/scenarios",
    *(
        f"tests/unit/test_{each}.py"
        for each in ("errors", "failures", "health", "hosts", "policy", "redeem", "sweep")
    ),
)
# What only a certain fault, or a day of them, tells.
MATRIX: Final = ("tests/resilience/test_matrix.py", "-k")
# What only runs that overlap tell, and so many plays of them.
OVERLAPS: Final = ("tests/resilience/test_interleavings.py",)
PLAYS: Final = 1500
# What is about one module.
REFRESH: Final = ("tests/scenarios", "tests/unit/test_refresh.py", "tests/unit/test_journal.py")
TIMES: Final = ("tests/unit/test_timeouts.py",)
REFUSALS: Final = ("tests/unit/test_refusals.py", "tests/unit/test_credentials.py")
EVENTS: Final = ("tests/scenarios", "tests/unit/test_announcing.py")
REQUESTS: Final = ("tests/unit/oauth/test_token_request.py", "tests/unit/test_refusals.py")
SIGNING: Final = ("tests/unit/test_signing.py", "tests/unit/oauth/test_signed_requests.py")
FAILED: Final = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
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
        "leases: a refresh token is sent without one",
        "leases",
        "        return lease if is_won else None\n",
        "        return lease\n",
    ),
    Mutant(
        "journal: a response is not kept before it is published",
        "refresh",
        "        self.journal.keep(str(version), entry, is_repeatable=lease is None)\n",
        "        return\n",
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
        "        self.record.account = with_token(",
        "        metadata = self.account.token\n        self.record.account = with_token(",
    ),
    Mutant(
        "fallback: a refresh token that fails is the end of it",
        "redeem",
        "                if is_only_grant or not allows_primary_grant(error):\n",
        "                if True:\n",
    ),
    Mutant(
        "minimum interval: a version is written whenever one is due",
        "policy",
        "    return now < previous.issued_at + minimum_interval(account) - TICK_SLACK\n",
        "    return False\n",
    ),
    Mutant(
        "minimum interval: an external version is not replaced at once",
        "policy",
        "        if failure is None or failure.code != REPLACED:\n            return False\n",
        "        if failure is None or failure.code != REPLACED:\n            return True\n",
    ),
    Mutant(
        "back-off: a failure is tried again on every tick",
        "policy",
        "    return of.now < failure.next_attempt <= _longest_hold(of)\n\n\ndef _is_unchanged",
        "    return False\n\n\ndef _is_unchanged",
    ),
    Mutant(
        "order: what never failed first, and not fewest failures first",
        "sweep",
        "            failure.failures if failure is not None else 0,\n",
        "            failure is not None,\n",
    ),
    Mutant(
        "hosts: one that fails three accounts is asked for every other",
        "hosts",
        "            self._stopped.add(key)\n",
        "            pass\n",
    ),
    Mutant(
        "grace: what was lost is not sent a second time",
        "redeem",
        "            if not (self.journal.is_only_grant and lease.number == 1 and",
        "            if not (False and lease.number == 1 and",
        (*MATRIX, "grace"),
    ),
    Mutant(
        "journal: its refresh token is sent to any host",
        "judgement",
        "        require_same_place(credentials, host=entry.host, place=entry.place, "
        "trust=entry.trust)\n",
        "        pass\n",
    ),
    Mutant(
        "journal: its refresh token is shown to whom other certificates or headers name",
        "credentials",
        "    if credentials.trust != trust:\n",
        "    if False:\n",
        REFUSALS,
    ),
    Mutant(
        "journal: whoever follows from the same provider is another host all the same",
        "credentials",
        "    if not is_same_host and not (place and credentials.place == place):\n",
        "    if not is_same_host:\n",
        REFUSALS,
    ),
    Mutant(
        "journal: what a secret does not hold is not shortened",
        "judgement",
        "    entry = whole.shortened().without(secrets)\n",
        "    entry = whole.without(secrets)\n",
        REFRESH,
    ),
    Mutant(
        "refresh token: one that comes back unchanged counts as new",
        "refresh",
        "            brings_refresh_token=response.refresh_token not in (None, sent),\n",
        "            brings_refresh_token=response.refresh_token is not None,\n",
        REFRESH,
    ),
    Mutant(
        "timeout: an account's own is not cut to a schedule of a minute",
        "judgement",
        "    if schedule > _SHORT_SCHEDULE:\n",
        "    if True:\n",
        TIMES,
    ),
    Mutant(
        "timeout: a primary grant follows a refresh token, whatever time is left",
        "refresh",
        "            if self._time_left() < time_to_keep(client.timeout_seconds):\n",
        "            if False:\n",
        TIMES,
    ),
    Mutant(
        "external secret: what other programs may need is overwritten unasked",
        "refresh",
        "        return self.account.is_foreign and",
        "        return False and",
    ),
    Mutant(
        "publishing: a secret that a server sends back is published",
        "publishing",
        "    return any(\n        secret in decoded\n",
        "    return False and any(\n        secret in decoded\n",
        ("tests/unit/test_publishing.py",),
    ),
    Mutant(
        "publishing: refresh tokens are no secrets",
        "judgement",
        "    return credentials.secrets.union(each for each in tokens if each)\n",
        "    return credentials.secrets\n",
        (*REFRESH, "tests/integration/test_canary.py"),
    ),
    Mutant(
        "publishing: a path may name a refresh token",
        "publishing",
        "        if names_refresh_token(path) or any(",
        "        if any(",
        ("tests/unit/test_publishing.py",),
    ),
    Mutant(
        "headers: those that frame a message are an account's to write",
        "refusals",
        "        is_refused = lower in REFUSED_HEADERS or",
        "        is_refused = False and",
        REFUSALS,
    ),
    Mutant(
        "headers: what a server has sent fills them as it is",
        "oauth/token_request",
        "    if not all(value.isascii() and value.isprintable() for value in headers.values()):\n",
        "    if False:\n",
        REQUESTS,
    ),
    Mutant(
        "templates: what fills them is filled again",
        "oauth/token_request",
        "        return re.sub(_VARIABLE, lambda name: variables[name[1]] or name[0], value)\n",
        "        for name in variables:\n"
        "            value = value.replace('{' + name + '}', variables[name] or '')\n"
        "        return value\n",
        REQUESTS,
    ),
    Mutant(
        "hosts: one that only `*` allows may be anywhere",
        "oauth/sockets",
        "            if exchange.must_be_global and self.proxy is None:\n",
        "            if False:\n",
        ("tests/unit/oauth/test_sockets.py",),
    ),
    Mutant(
        "connections: accounts share them, whomever they believe",
        "oauth/transport",
        '                request.url, pool_kwargs={"ssl_context": self._context(client)}\n',
        '                request.url, pool_kwargs={"ssl_context": self._ssl_context}\n',
        ("tests/unit/oauth/test_sockets.py",),
    ),
    Mutant(
        "journal: whether the published one stands is not looked at",
        "refresh",
        "        if response.is_journaled and not "
        "response.stands(self.account, self.store, clock=self._now):\n",
        "        if False:\n",
    ),
    Mutant(
        "journal: what could not be written is forgotten with the environment awake",
        "recording",
        "            self.know(unwritten=journal.unwritten)\n",
        "            pass\n",
        (*MATRIX, "unwritten"),
    ),
    Mutant(
        "leases: credentials that are put again are tried at once, again and again",
        "leases",
        "        if last.is_early or last.credentials == self.account.credentials_digest:\n",
        "        if last.credentials == self.account.credentials_digest:\n",
        (*MATRIX, "let_go"),
    ),
    Mutant(
        "refusals: credentials that are put again are tried at once, again and again",
        "policy",
        "        return until is not None and of.now < until <= of.now + REFUSED_FIRST\n",
        "        return False\n",
    ),
    Mutant(
        "records: when a refresh token ends is known only after it was published",
        "refresh",
        "        self.record.keep_grant(self._next_grant(response))\n",
        "",
        (*MATRIX, "minutes"),
    ),
    Mutant(
        "lifetime: expires_in is believed, whatever else is said",
        "oauth/token_response",
        "        return min(known)\n",
        "        return response.expires_in or min(known)\n",
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
        "self._read(self._credentials_path + account, VersionId=version_id)",
        "self._read(self._credentials_path + account, VersionStage=LEASE_STAGE)",
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
        "if self.version_id > kept.instead_of or kept.grant != self.grant:",
        "if kept.grant != self.grant:",
        OVERLAPS,
    ),
    Mutant(
        "signing: what was lost is sent again with the assertion that it had",
        "redeem",
        "            with self.endpoint.connect(client) as again:\n"
        "                return again.request(",
        "            if client:\n                return connection.request(",
        SIGNING,
    ),
    Mutant(
        "signing: a primary grant is repeated with the assertion that it had",
        "oauth/transport",
        "            sender = self._with_assertion(client)\n            response = ",
        "            response = ",
        SIGNING,
    ),
    Mutant(
        "signing: an assertion is made after the lease",
        "oauth/transport",
        "            connection.open()\n            connection.sign()\n",
        "            connection.open()\n",
        SIGNING,
    ),
    Mutant(
        "signing: an assertion is sent, however old it has become",
        "oauth/transport",
        "        if self._is_assertion_old():\n",
        "        if False:\n",
        SIGNING,
    ),
    Mutant(
        "signing: that a refresh token was sent is forgotten where it cannot be signed again",
        "redeem",
        "        except (NotAttemptedError, OAuthError, SigningError) as error:\n",
        "        except (NotAttemptedError, OAuthError) as error:\n",
        SIGNING,
    ),
    Mutant(
        "signing: a lease under which nothing could be signed has no end",
        "redeem",
        "                self.record.end_lease(\n"
        "                    lease.version_id, Sending(LeaseEnd.UNANSWERED, lease.taken_at)\n"
        "                )\n",
        "",
        SIGNING,
    ),
    Mutant(
        "signing: a name that no alias can hold is changed until one can",
        "aws/signing",
        "    is_reserved = account",
        '    alias = re.sub(r"[^A-Za-z0-9/_-]", "-", alias)\n    is_reserved = account',
        ("tests/unit/aws/test_signing.py",),
    ),
    Mutant(
        "signing: KMS that signs for nobody is asked for every other account",
        "hosts",
        "        if (_UNSIGNED, signer) in self._stopped:\n",
        "        if False:\n",
        ("tests/unit/test_hosts.py",),
    ),
    Mutant(
        "signing: a key that one account may not use stops all that sign",
        "hosts",
        "is_met=error.transient)",
        "is_met=True)",
        ("tests/unit/test_hosts.py",),
    ),
    Mutant(
        "publishing: what was signed is no secret",
        "refresh",
        "_secrets(credentials, whole, sent, response.assertion, response.signature),\n",
        "_secrets(credentials, whole, sent),\n",
        ("tests/integration/test_canary.py", "-k", "signed"),
    ),
    Mutant(
        "events: the same failure is told with each attempt",
        "changes",
        "        return self.needs_action and told != (self.code, self.credentials)\n",
        "        return True\n",
        EVENTS,
    ),
    Mutant(
        "events: an end that a run did not live to tell is never told",
        "changes",
        "was or _left_behind(before, after) or next(",
        "was or next(",
        EVENTS,
    ),
    Mutant(
        "events: a recovery is told while a consent is ending",
        "changes",
        "over is not None and now is None and not ends",
        "over is not None and now is None",
        EVENTS,
    ),
    Mutant(
        "events: a consent is told as ending as soon as its end is known",
        "changes",
        "    if health.is_grant_ending(account, now=now):\n",
        "    if account.grant:\n",
        EVENTS,
    ),
    Mutant(
        "events: an account that is removed is told of",
        "changes",
        "        if not after.is_managed:\n            continue\n",
        "",
        EVENTS,
    ),
    Mutant(
        "events: what failed twice is told as the same change",
        "changes",
        "        attempt,\n        record.credentials_digest,\n",
        '        "",\n        record.credentials_digest,\n',
        EVENTS,
    ),
    Mutant(
        "events: what cannot be recorded is another change in each environment",
        "changes",
        '        attempt = f"{published}/{account.credentials_digest}"\n',
        "        pass\n",
        EVENTS,
    ),
    Mutant(
        "events: what a defect keeps from being put is not kept",
        "announcing",
        "        self._kept = waiting[-_MOST_KEPT:]\n        if not waiting:\n",
        "        if not waiting:\n",
        EVENTS,
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
