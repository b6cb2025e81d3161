"""The commands that change nothing and ask nobody but AWS: status, plan, history, token."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from token_refresher.model import published_from_id
from token_refresher_cli import options, screen
from token_refresher_cli import watch as watching
from token_refresher_cli.accounts import in_order, status_of
from token_refresher_cli.connection import Connection
from token_refresher_cli.durations import say_when
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.problems import ProblemError, RefusedError, about
from token_refresher_cli.sweeps import next_due, rows_of_report
from token_refresher_cli.timeline import history_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from token_refresher.ports import SecretValue
    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.machine import Machine


def connect(ctx: typer.Context) -> tuple[Connection, Machine]:
    """Reach the AWS account."""
    machine = options.machine_of(ctx)
    connection = Connection(options.target_of(ctx), machine)
    options.set_target(ctx, connection.target)
    return connection, machine


def status(
    ctx: typer.Context,
    names: options.AnyNames = None,
    *,
    as_json: options.AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until interrupted.")] = False,
    every: Annotated[
        int, typer.Option("--every", help="Seconds between two looks.", min=1, max=3600)
    ] = 10,
) -> None:
    """Show the state of every account, from metadata alone. Exits with 1 if action is required."""
    connection, machine = connect(ctx)
    if watch and (as_json or not machine.prints_to_a_person):
        raise ProblemError("--watch needs a terminal, and no --json.")
    with screen.waiting("Listing the accounts"):
        statuses: Sequence[AccountStatus] = _statuses(connection, names or [])
        place = connection.place()
    if watch and statuses:
        statuses = watching.watch(
            lambda: _statuses(connection, names or []),
            statuses,
            machine,
            connection.target,
            place=screen.place_sentence(place),
            every=timedelta(seconds=every),
        )
    if as_json:
        now = connection.now()
        screen.show_json(
            {
                "checked_at": now,
                "looked_in": place,
                "accounts_needing_action": sum(one.needs_action for one in statuses),
                "accounts": [one.to_json(now=now) for one in statuses],
            }
        )
    elif statuses:
        now, target = connection.now(), connection.target
        screen.show(screen.status_table(statuses, now=now))
        for sentence in screen.fix_sentences(statuses, target, now=now):
            screen.show(sentence)
        screen.show(screen.count_sentence(statuses, now=now))
        screen.show(screen.place_sentence(place))
    if watch and statuses:
        # Nothing but Ctrl-C ends it.
        raise typer.Exit(INTERRUPTED)
    if not statuses:
        raise _nothing_there(place)
    if any(one.needs_action for one in statuses):
        raise typer.Exit(ExitCode.ACTION_REQUIRED)


def _nothing_there(place: Mapping[str, str | None]) -> ProblemError:
    """Say where there is no account at all: most often that is not where they are."""
    return ProblemError(
        f"There is no account. {screen.place_sentence(place)}",
        "If there should be some: another --region, --prefix or --profile may have them, and "
        "--stack takes the prefix of a deployed function.",
    )


def _statuses(connection: Connection, names: list[str]) -> list[AccountStatus]:
    accounts = connection.described(dict.fromkeys(names)) if names else connection.listed()
    now, settings = connection.now(), connection.settings
    return in_order(
        status_of(
            account, now=now, refresh_before=settings.refresh_before, schedule=settings.schedule
        )
        for account in accounts
    )


def plan(
    ctx: typer.Context, names: options.AnyNames = None, *, as_json: options.AsJson = False
) -> None:
    """Show what the next sweep would do, and why. It changes nothing."""
    connection, _ = connect(ctx)
    with screen.waiting("Asking what is due"):
        report = connection.sweep(names or [], dry_run=True)
    rows = rows_of_report(report, refresh_before=connection.settings.refresh_before)
    place = connection.place()
    for row in rows:
        if row.is_unknown:
            raise connection.unknown(row.account)
    worth_a_line, fresh = rows[: len(report.results)], rows[len(report.results) :]
    due = next_due(fresh)
    if as_json:
        screen.show_json(
            {
                "planned_at": report.now,
                "looked_in": place,
                "accounts": [asdict(row) for row in rows],
                "next_due": {"account": due[0], "at": due[1]} if due else None,
            }
        )
    if not rows:
        raise _nothing_there(place)
    if as_json:
        return
    if worth_a_line:
        screen.show(screen.plan_table(worth_a_line, now=report.now))
    sentence = f"{len(fresh)} fresh"
    if due is not None:
        sentence += f"; the first to come due is {due[0]}, {say_when(due[1], now=report.now)}"
    screen.show(sentence)
    screen.show(screen.place_sentence(place))


def stored(connection: Connection, name: str) -> SecretValue:
    """Read what is stored for an account.

    Raises:
        ProblemError: There is no such account, or it has no credentials.
    """
    with about(connection.target.credentials_id(name)):
        value = connection.store.read_credentials(name)
    if value is None:
        connection.require(name)
        raise ProblemError(
            f"{name} has no credentials yet.", f"Add them: {connection.target.command('add', name)}"
        )
    return value


def history(
    ctx: typer.Context,
    name: options.Name,
    *,
    days: Annotated[int, typer.Option(help="How far to look back.", min=1, max=366)] = 3,
    as_json: options.AsJson = False,
) -> None:
    """Show an account's tokens of the last days on a time line. No value is read."""
    connection, _ = connect(ctx)
    connection.require(name)
    with about(connection.target.token_id(name)):
        is_there = connection.store.describe_token(name) is not None
    versions = []
    if is_there:
        with screen.waiting("Listing the versions"):
            versions = connection.people.list_versions(name)
    now = connection.now()
    told = history_of(versions, now=now, since=now - timedelta(days=days))
    if as_json:
        screen.show_json(
            {
                "account": name,
                "looked_at": now,
                "tokens": [life.to_json() for life in told.lives],
                "external_versions": told.external,
                "gap_seconds": int(told.gap.total_seconds()),
            }
        )
        return
    screen.show_history(told, days=days, now=now)


class _Token(msgspec.Struct, frozen=True):
    """What is looked for in a published token, whoever published it."""

    access_token: str
    expires_at: float | None = None

    def __repr__(self) -> str:
        """Hide the token."""
        return "_Token(…)"


def token(
    ctx: typer.Context,
    name: options.Name,
    *,
    show: Annotated[
        bool, typer.Option("--show", help="Print it even to a terminal, which keeps it.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print an account's published token, for a pipe. To a terminal only with --show.

    Where credentials have the field publish, all that is published is printed.
    """
    connection, machine = connect(ctx)
    if machine.prints_to_a_person and not show:
        # Whoever may not look whether there is such an account is told the rest all the same.
        with suppress(RefusedError):
            connection.require(name)
        raise ProblemError(
            "The token is not printed to a terminal, which keeps what it shows.",
            "Pipe it to where it is used, or give --show.",
        )
    why = connection.target.command("status", name)
    with about(connection.target.token_id(name)):
        value = connection.store.read_published(name)
    if value is None:
        connection.require(name)
        raise ProblemError(f"{name} has no token yet.", f"See why: {why}")
    version = published_from_id(value.version_id, now=connection.now())
    try:
        published = msgspec.json.decode(value.text or "", type=_Token)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        published = None
    if published is None and not version.is_ours:
        raise ProblemError(
            f"What is published for {name} is not a token of this program.",
            f"Publish one: {connection.target.command('refresh', name, flags=['--force'])}",
        )
    text, expires_at = value.text, version.expires_at.timestamp() if version.expires_at else None
    if published is not None:
        text, expires_at = published.access_token, published.expires_at or expires_at
    if expires_at is not None and expires_at <= connection.now().timestamp():
        raise ProblemError(f"The published token of {name} has expired.", f"See why: {why}")
    sys.stdout.write(f"{value.text if as_json else text}\n")
