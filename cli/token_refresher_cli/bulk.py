"""Adds many accounts from one file: all of it is judged first, then a few are created at a time.

There is no state but Secrets Manager's own. A command that was cut short is given again: an account
that is there already is left alone, whether a listing knows of it yet or only `CreateSecret` does.
"""

from __future__ import annotations

import shlex
import stat
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import typer

from token_refresher.errors import CredentialsError, SecretStoreError
from token_refresher.failures import FAILURES
from token_refresher.fixes import DENIED
from token_refresher.parsing import parse_credentials
from token_refresher.ports import CURRENT, LONGEST_VALUE
from token_refresher_cli import screen
from token_refresher_cli.accounts_file import Wrong, read_accounts, text_of
from token_refresher_cli.cautions import caution_about, cautions
from token_refresher_cli.credentials_form import fill_in
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.field_options import fields_of, flags_of, issuer_of
from token_refresher_cli.fields import FormError, joined, to_credentials
from token_refresher_cli.first_token import when_tried
from token_refresher_cli.machine import finish, without_interruption
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    doubt,
    ending,
    explain,
    may_pass,
    says_all,
)
from token_refresher_cli.screen import counted
from token_refresher_cli.secrets_manager import AlreadyThereError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from token_refresher.credentials import Credentials
    from token_refresher.failures import Failure
    from token_refresher.ports import SecretMetadata
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.machine import Machine

# A call takes a tenth of a second from far away: so many keep up with the pace of writes.
_WORKERS: Final = 8
# What is throttled is asked for again after so many seconds, besides what boto3 does by itself:
# others may use up a Region's calls for a minute.
_AGAIN_AFTER: Final = (1, 2, 4, 8, 16, 32)
# The same refusal of so many accounts in a row is none of theirs: a key, a limit of AWS's.
_MOST_ALIKE: Final = 10
# A secret that is to be deleted: however many there are, each is a matter of its own.
_OF_ONE: Final = "InvalidRequestException"
# Of a kind; the rest is counted.
_MOST_TOLD: Final = 20
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """An account that validates: what is stored, and the same as the program understands it."""

    account: str
    text: str
    credentials: Credentials


class Standing(StrEnum):
    """What an account has come to, or would come to."""

    CREATED = "created"
    TO_CREATE = "to create"
    TO_FILL = "to be given their first credentials"
    THERE = "there already"
    UNCOMPARED = "there already, not compared"
    OTHER = "with other credentials"
    REFUSED = "refused"
    LEFT = "not begun"


def add_many(
    ctx: typer.Context,
    connection: Connection,
    machine: Machine,
    file: Path,
    *,
    kms_key_id: str,
    tag: Sequence[str],
    dry_run: bool,
) -> None:
    """Add all accounts of a file.

    Raises:
        FormError: It cannot be read.
        ProblemError: An account in it does not validate; nothing was written.
    """
    name = "the standard input" if str(file) == "-" else str(file)
    entries, problems, hints = _judged(ctx, connection, file, name)
    wrong = len({one.number for those in problems.values() for one in those})
    total = len(entries) + wrong
    if problems:
        _tell_problems(problems, hints, name)
        if not dry_run:
            are = "is" if wrong == 1 else "are"
            raise ProblemError(
                f"{wrong} of {counted(total, 'account')} in {name} {are} wrong.",
                "Nothing was written.",
            )
    adding = _Adding(connection, machine, kms_key_id=kms_key_id, tag=tag, dry_run=dry_run)
    adding.look()
    adding.run(entries)
    _tell(adding, entries, connection, wrong=wrong)
    _say_who_signs(connection, entries)
    if adding.left:
        key = ["--kms-key-id", kms_key_id] if kms_key_id else []
        dry = ["--dry-run"] if dry_run else []
        tags = [word for each in tag for word in ("--tag", each)]
        flags = ["--from-file", str(file), *flags_of(ctx), *key, *tags, *dry]
        again = connection.target.command("add", flags=flags)
        screen.note(f"To go on where it stopped: {again}")
    if dry_run and problems:
        raise typer.Exit(ExitCode.NOTHING_DONE)
    _end(adding, connection, file)


def preview(connection: Connection, machine: Machine, entry: Entry) -> None:
    """Say what would become of one account, and change nothing."""
    adding = _Adding(connection, machine, kms_key_id="", tag=(), dry_run=True)
    adding.look()
    adding.run([entry])
    _tell(adding, [entry], connection, wrong=0)
    _end(adding, connection, None)


# What is in the file.

# By what is wrong: where.
_Problems: TypeAlias = "dict[str, list[Wrong]]"


def _judged(
    ctx: typer.Context, connection: Connection, file: Path, name: str
) -> tuple[list[Entry], _Problems, list[str]]:
    """Read and validate all accounts of a file.

    Returns:
        Those that validate, what is wrong with the others, and what this machine may be wrong in.

    Raises:
        FormError: It cannot be read.
    """
    content = content_of(file)
    if caution := _caution_about(file):
        screen.note(caution, style="yellow")
    try:
        lines, wrong = read_accounts(text_of(content))
    except FormError as error:
        raise FormError(f"{name}: {error}") from None
    given, asked = fields_of(ctx)
    if asked:
        raise typer.BadParameter("what is asked for is one account's: put it into the file")
    with_endpoint = _endpoint_of(ctx, connection, given)
    admit = _admission(connection)
    entries: list[Entry] = []
    hints: dict[str, None] = {}
    doubts: Counter[str] = Counter()
    with screen.waiting("Validating", len(lines)) as done:
        for line in lines:
            try:
                connection.require_name(line.account)
                entries.append(
                    _validated(line.account, with_endpoint(joined(line.fields, given)), admit)
                )
            except (*FAILURES, FormError) as error:
                wrong += [Wrong(line.number, line.account, each) for each in _problems_of(error)]
                hints[_hint(error, connection)] = None
            else:
                doubted = cautions(entries[-1].credentials, now=connection.now())
                doubts.update(filter(None, (caution_about(line.account), *doubted)))
            done()
    for each, times in doubts.items():
        screen.note(f"{counted(times, 'account')}: {each}", style="yellow")
    problems: _Problems = {}
    for one in sorted(wrong, key=lambda one: one.number):
        problems.setdefault(one.problem, []).append(one)
    return entries, problems, [hint for hint in hints if hint]


def _admission(connection: Connection) -> Callable[[Credentials, str], None]:
    """Make what judges whether a refresh would ask for a token, and the stack let it sign."""
    admit = connection.admission()

    def judge(credentials: Credentials, account: str) -> None:
        admit(credentials, account)
        if trouble := connection.stack_trouble(credentials, account):
            raise FormError(f"{trouble.what}. {trouble.fix}")

    return judge


def _validated(
    account: str, fields: dict[str, Any], admit: Callable[[Credentials, str], None]
) -> Entry:
    """Judge an account as `add` with its name does.

    Raises:
        CredentialsError, TokenEndpointError: It does not validate, or its host is not allowed.
        FormError: A field is missing, or all together are too long.
    """
    credentials, text = to_credentials(fill_in(fields, asker=None))
    admit(credentials, account)
    if len(text.encode()) > LONGEST_VALUE:
        raise FormError("its credentials are longer than a secret holds")
    return Entry(account, text, credentials)


def _problems_of(error: Failure | FormError) -> Sequence[str]:
    return (isinstance(error, CredentialsError) and error.problems) or (str(error),)


def _hint(error: Failure | FormError, connection: Connection) -> str:
    return "" if isinstance(error, FormError) else doubt(error.code, connection.target)


def content_of(file: Path) -> bytes:
    """Read what accounts are given in: a file, a pipe, or the standard input.

    Raises:
        FormError: It cannot be read.
    """
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        kind = file.stat().st_mode
        if stat.S_ISBLK(kind) or stat.S_ISCHR(kind):
            # One of them has no end.
            raise FormError(f"cannot read {file}: it is a device; - reads the standard input")
        return file.read_bytes()
    except OSError as error:
        raise FormError(f"cannot read {file}: {error.strerror}") from None


def _caution_about(file: Path) -> str:
    """Tell how others are kept from reading a file that was read; empty where none may."""
    if str(file) == "-" or sys.platform == "win32":
        return ""
    mode = file.stat().st_mode
    if not (stat.S_ISREG(mode) and mode & _OTHERS_MAY):
        return ""
    only_mine = shlex.join(["chmod", "600", str(file)])
    return f"{file} holds secrets, and others on this machine may read it: {only_mine}"


def _endpoint_of(
    ctx: typer.Context, connection: Connection, given: Mapping[str, Any]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Find the token endpoint where an issuer is given, once for all.

    Raises:
        DiscoveryError: There is none to be found.
    """
    issuer = issuer_of(ctx)
    if issuer is None:
        return dict
    with screen.waiting("Looking for the token endpoint"):
        found = connection.discover(issuer, given)
    screen.note(f"{found.metadata_url} says:\ntoken_endpoint: {found.token_endpoint}")

    def with_endpoint(fields: dict[str, Any]) -> dict[str, Any]:
        return joined(fields, found.fields(fields, has_secret="client_secret" in fields))

    return with_endpoint


def _tell_problems(
    problems: Mapping[str, Sequence[Wrong]], hints: Iterable[str], file: str
) -> None:
    """Say what is wrong, each kind once with the first line that it is on."""
    for problem, those in list(problems.items())[:_MOST_TOLD]:
        first = those[0]
        who = "".join(f", {each}" for each in (first.column, first.account) if each)
        others = f" (and {counted(len(those) - 1, 'more line')})" if len(those) > 1 else ""
        screen.note(f"{file}, line {first.number}{who}{others}: {problem}{ending(problem)}")
    if len(problems) > _MOST_TOLD:
        screen.note(f"and {len(problems) - _MOST_TOLD} more kinds of problems")
    for hint in hints:
        screen.note(hint)


# What is done with it.


class _Adding:
    """Adds accounts from a few threads.

    Attributes:
        standings: What has become of each account.
        refusals: Why Secrets Manager refused some.
        stopped_by: What would have refused all others, too.
        is_interrupted: Whether a person has stopped it.
    """

    def __init__(
        self,
        connection: Connection,
        machine: Machine,
        *,
        kms_key_id: str,
        tag: Sequence[str],
        dry_run: bool,
    ) -> None:
        self._connection, self._machine = connection, machine
        self._kms_key_id, self._dry_run = kms_key_id, dry_run
        self._tags = connection.tags(tag)
        self._listed: Mapping[str, SecretMetadata] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._may_read = True
        self._alike: tuple[str, int] = ("", 0)
        self.standings: dict[str, Standing] = {}
        self.refusals: dict[str, RefusedError] = {}
        self.stopped_by: RefusedError | None = None
        self.is_interrupted = False

    @property
    def left(self) -> int:
        """How many accounts were not begun."""
        return sum(each is Standing.LEFT for each in self.standings.values())

    def look(self) -> None:
        """List what is there already; `CreateSecret` knows what a listing does not yet.

        Raises:
            SecretStoreError: It may not be listed, and nothing else would tell.
        """
        try:
            with screen.waiting("Listing the accounts"):
                self._listed, _ = self._connection.store.list_secrets()
        except SecretStoreError as error:
            if self._dry_run or error.code not in DENIED:
                raise
            screen.note("You may not list the accounts; those that are there are met one by one.")

    def run(self, entries: Sequence[Entry]) -> None:
        """Serve all accounts; where a person interrupts, what has begun is finished."""
        doing = "Comparing" if self._dry_run else "Creating credentials"
        with (
            without_interruption() as is_pressed,
            screen.waiting(doing, len(entries)) as done,
            ThreadPoolExecutor(min(_WORKERS, len(entries) or 1)) as pool,
        ):
            running = [pool.submit(self._serve, entry) for entry in entries]
            for each in running:
                each.add_done_callback(lambda _: done())
            finish(running, is_pressed, on_interrupt=self._interrupt)
            for each in running:
                each.result()

    def _interrupt(self) -> None:
        self.is_interrupted = True
        self._stop.set()
        screen.note("Interrupted: finishing what has begun.")

    def _serve(self, entry: Entry) -> None:
        standing = Standing.LEFT
        for attempt, seconds in enumerate((*_AGAIN_AFTER, None)):
            if self._stop.is_set():
                break
            try:
                standing = self._served(entry)
            except RefusedError as error:
                if may_pass(error) and seconds is not None:
                    self._pause(seconds)
                    continue
                standing = self._refused(entry, error)
            else:
                if attempt and standing is Standing.THERE:
                    # By an attempt before, whose response was lost.
                    standing = Standing.CREATED
                with self._lock:
                    self._alike = ("", 0)
            break
        with self._lock:
            self.standings[entry.account] = standing

    def _pause(self, seconds: int) -> None:
        """Wait, but for what is not to go on anyway."""
        for _ in range(seconds):
            if self._stop.is_set():
                return
            self._machine.pause(timedelta(seconds=1))

    def _served(self, entry: Entry) -> Standing:
        listed = self._listed.get(entry.account)
        if listed is not None and CURRENT in listed.stages:
            return self._compared(entry)
        try:
            if self._dry_run:
                # A listing leaves out what is to be deleted, and what was created a moment ago.
                self._connection.people.require_free(entry.account)
                return Standing.TO_CREATE if listed is None else Standing.TO_FILL
            self._connection.people.create_credentials(
                entry.account, entry.text, kms_key_id=self._kms_key_id, tags=self._tags
            )
        except AlreadyThereError:
            return self._compared(entry)
        return Standing.CREATED

    def _compared(self, entry: Entry) -> Standing:
        """Read what is there, as far as that is allowed."""
        if not self._may_read:
            return Standing.UNCOMPARED
        try:
            with about(self._connection.target.credentials_id(entry.account)):
                value = self._connection.store.read_credentials(entry.account)
        except RefusedError as error:
            if error.code not in DENIED:
                raise
            self._may_read = False
            return Standing.UNCOMPARED
        if value is None:
            # Listed or created a moment ago, and not yet to be read.
            return Standing.UNCOMPARED
        try:
            is_same = parse_credentials(value.text) == entry.credentials
        except CredentialsError:
            is_same = False
        return Standing.THERE if is_same else Standing.OTHER

    def _refused(self, entry: Entry, error: RefusedError) -> Standing:
        """Remember why, and begin nothing more where it is no matter of this account."""
        with self._lock:
            code, times = self._alike
            self._alike = (error.code, times + 1 if error.code == code else 1)
            if says_all(error.code) or may_pass(error):
                self.stopped_by = self.stopped_by or error
                self._stop.set()
                return Standing.LEFT
            if self._alike[1] >= _MOST_ALIKE and error.code != _OF_ONE:
                self.stopped_by = self.stopped_by or error
                self._stop.set()
            self.refusals[entry.account] = error
        return Standing.REFUSED


# What is said of it.


def _tell(adding: _Adding, entries: Sequence[Entry], connection: Connection, *, wrong: int) -> None:
    counts = Counter(adding.standings[entry.account] for entry in entries)
    told = [f"{counts[each]} {each}" for each in Standing if counts[each]]
    told += [f"{wrong} wrong"] if wrong else []
    screen.show(f"{counted(len(entries) + wrong, 'account')}: {', '.join(told)}")
    target = connection.target
    others = [one.account for one in entries if adding.standings[one.account] is Standing.OTHER]
    for account in others[:_MOST_TOLD]:
        screen.note(
            f"{account} has other credentials, and nothing was written. To replace them: "
            f"{target.command('correct', account)}"
        )
    if len(others) > _MOST_TOLD:
        screen.note(f"and {len(others) - _MOST_TOLD} more accounts with other credentials")
    for error in list(adding.refusals.values())[:_MOST_TOLD]:
        screen.show_problem(explain(error, target))
    if len(adding.refusals) > _MOST_TOLD:
        screen.note(f"and {len(adding.refusals) - _MOST_TOLD} more accounts were refused")
    if adding.stopped_by is not None and adding.stopped_by not in adding.refusals.values():
        screen.show_problem(explain(adding.stopped_by, target))
    if counts[Standing.UNCOMPARED]:
        screen.note("What was not compared could not be read, and nothing was written to it.")


def _say_who_signs(connection: Connection, entries: Sequence[Entry]) -> None:
    """Say which keys accounts need; each is looked at when the account is checked."""
    of = {one.account: connection.signing_key(one.credentials, one.account) for one in entries}
    signing = [account for account, key in of.items() if key is not None]
    if signing:
        create = connection.target.command("key create", signing[0])
        verb = "signs" if len(signing) == 1 else "sign"
        screen.note(
            f"{counted(len(signing), 'account')} {verb}, each with a KMS key of its own. Where "
            f"there is none yet, as for the first: {create}"
        )


def _end(adding: _Adding, connection: Connection, file: Path | None) -> None:
    """Say what comes next, and end with the code that tells it."""
    standings = Counter(adding.standings.values())
    if standings[Standing.CREATED]:
        screen.note(f"{when_tried(connection)}; see: {connection.target.command('status')}")
    if adding.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if adding.stopped_by is not None:
        is_done = standings[Standing.CREATED] > 0
        raise typer.Exit(ExitCode.ACTION_REQUIRED if is_done else ExitCode.NOTHING_DONE)
    if standings[Standing.REFUSED] or standings[Standing.OTHER]:
        raise typer.Exit(ExitCode.ACTION_REQUIRED)
    is_all_there = standings.keys() <= {Standing.CREATED, Standing.THERE}
    if file is not None and str(file) != "-" and is_all_there:
        remove = shlex.join(["rm", str(file)])
        screen.note(f"All are there. Delete the file, which holds their secrets: {remove}")
