"""The command that refreshes accounts now, here or in the function of a stack."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason
from token_refresher_cli import options, screen
from token_refresher_cli.durations import say_when
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.problems import (
    OF_KEYS,
    SIGNING,
    ProblemError,
    explain_call,
    explain_signing,
    is_persons,
)
from token_refresher_cli.read_commands import connect
from token_refresher_cli.sweeps import NOT_TOLD, rows_of_report, rows_of_summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from token_refresher_cli.connection import Connection
    from token_refresher_cli.sweeps import Row
    from token_refresher_cli.target import Target

# The function's own limit.
_MOST_NAMES: Final = 100
# The operations of a signer.
_OF_SIGNERS: Final = frozenset({"GetWebIdentityToken", "Sign"})


def refresh(
    ctx: typer.Context,
    names: options.Names,
    *,
    force: Annotated[bool, typer.Option("--force", help="Refresh also what is not due.")] = False,
    remote: Annotated[
        bool,
        typer.Option("--remote", help="Let the function of --stack do it, not this machine."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Refresh accounts now, as a sweep does. Exits with 1 if one of them was not."""
    connection, _ = connect(ctx)
    names = list(dict.fromkeys(names))
    interrupted = threading.Event()
    not_put = None
    if remote:
        rows = _refreshed_by_function(connection, names, force=force)
    else:

        def finish() -> None:
            interrupted.set()
            screen.note("Interrupted: finishing what has begun.")

        with screen.waiting("Asking for tokens", len(names)) as asked:
            report = connection.sweep(names, force=force, asked=asked, on_interrupt=finish)
        rows = rows_of_report(report, refresh_before=connection.settings.refresh_before)
        not_put = connection.announce(report)
    now = connection.now()
    if as_json:
        screen.show_json({"refreshed_at": now, "accounts": [asdict(row) for row in rows]})
    else:
        screen.show(screen.refresh_table(rows, now=now, is_remote=remote))
    _say_what_is_this_machine_s(connection, [] if remote else rows)
    for row in rows:
        _say_what_helps(connection, row, now=now, remote=remote)
    failed = [row.account for row in rows if row.has_failed and not row.is_unknown]
    if failed and not remote:
        _say_that_nothing_is_recorded(connection, failed, force=force)
    if not_put is not None:
        what = "1 event was" if not_put.count == 1 else f"{not_put.count} events were"
        screen.note(
            f"{what} not put on the event bus: {not_put.code}. "
            "Your AWS identity needs events:PutEvents, or let the function refresh, by --remote."
        )
    if interrupted.is_set():
        raise typer.Exit(INTERRUPTED)
    if all(row.is_unknown for row in rows):
        raise typer.Exit(ExitCode.NOTHING_DONE)
    if not all(row.went_well for row in rows):
        raise typer.Exit(ExitCode.ACTION_REQUIRED)


def _refreshed_by_function(connection: Connection, names: list[str], *, force: bool) -> list[Row]:
    if connection.function is None:
        raise ProblemError(
            "--remote needs the name of a stack.",
            "Give --stack, or set TOKEN_REFRESHER_STACK, which --prefix alone sets aside.",
        )
    if not connection.is_remote_possible:
        raise ProblemError(
            "The function of this stack has another prefix than --prefix.", "Give --stack alone."
        )
    if len(names) > _MOST_NAMES:
        raise ProblemError(
            f"The function takes {_MOST_NAMES} names at once, and {len(names)} are given.",
            "Give fewer; its schedule serves all that are due.",
        )
    with screen.waiting("The function is working"):
        summary = connection.function.invoke({"accounts": names, "force": force})
    return rows_of_summary(summary, names)


def _say_what_helps(connection: Connection, row: Row, *, now: datetime, remote: bool) -> None:
    """Say what a person does about an account that has no new token now, if anything."""
    target, name = connection.target, row.account
    if row.is_unknown:
        screen.show_problem(connection.unknown(name).problem)
    elif row.outcome in {Outcome.NOT_DUE, NOT_TOLD}:
        screen.note(f"{name} {_why_not(row, target, now=now)}")
    elif row.has_failed and not (not remote and _is_this_machine_s(connection, row)):
        if fix := connection.fix_for(row.error or "", name):
            screen.note(f"{name}: {fix}")
    elif row.outcome == Outcome.UNCHANGED:
        screen.note(f"{name} got the published token once more.{_next(row, now)}")
    elif row.outcome == Outcome.LEASED_BY_ANOTHER_RUN:
        look = target.command("status", name)
        screen.note(f"{name} is being refreshed by another run; see what comes of it: {look}")


def _is_this_machine_s(connection: Connection, row: Row) -> bool:
    """Whether the machine, its settings or its AWS identity may be all that is wrong."""
    code = row.error or ""
    return row.has_failed and (is_persons(code) or connection.doubt(code) != "")


def _say_what_is_this_machine_s(connection: Connection, rows: Sequence[Row]) -> None:
    """Say it once, however many accounts have met it."""
    met: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if _is_this_machine_s(connection, row):
            # That of a signature names each account's own key.
            detail = "" if row.error in SIGNING else row.detail or ""
            met.setdefault((row.error or "", detail), []).append(row.account)
    for (code, detail), names in met.items():
        if is_persons(code):
            target, operation = connection.target, detail.partition(" failed: ")[0]
            where = f"secrets under {target.secret_prefix}/"
            if code in OF_KEYS:
                where = target.credentials_id(names[0])
            if code in SIGNING or operation in _OF_SIGNERS:
                screen.show_problem(explain_signing(code, operation, target))
            else:
                screen.show_problem(explain_call(operation, code, where, target))
        else:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            screen.note(f"{names[0]}{others}: {detail}")
            screen.note(connection.doubt(code, names[0]))


def _say_that_nothing_is_recorded(connection: Connection, names: list[str], *, force: bool) -> None:
    """Say whose view a failure is, and how the function's is had.

    A person's machine has its own trust store, network, settings, permissions and clock. A
    failure that is theirs would hold back an account that is well, and wake a person at night.
    """
    screen.note("A failure on this machine is not recorded: the function may see it otherwise.")
    if connection.is_remote_possible:
        flags = ["--force", "--remote"] if force else ["--remote"]
        command = connection.target.command("refresh", *names, flags=flags)
        screen.note(f"To let the function try: {command}")
    elif connection.function is None:
        screen.note("To let the function try, add --remote, and --stack or TOKEN_REFRESHER_STACK.")


def _why_not(row: Row, target: Target, *, now: datetime) -> str:
    """Say why an account that nothing is wrong with now was not refreshed, and what helps."""
    until = _next(row, now)
    add, restore = (target.command(verb, row.account) for verb in ("add", "restore"))
    return {
        Reason.AWAITING_CREDENTIALS: f"has no credentials yet: {add}",
        Reason.BACKING_OFF: f"failed before, and --force asks now.{until}",
        Reason.ORPHANED: f"has no credentials any more; where it was removed: {restore}",
        Reason.RATE_LIMITED: f"is rate limited: another version now would be one too many, and "
        f"--force does not help.{until}",
        Reason.UNCHANGED: f"got the published token once more; --force does not help.{until}",
        NOT_TOLD: "is not in the function's answer; its log tells",
    }.get(row.reason, "is not due; --force asks all the same")


def _next(row: Row, now: datetime) -> str:
    return f" The next attempt is {say_when(row.retry_at, now=now)}." if row.retry_at else ""
