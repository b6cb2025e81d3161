"""The commands that change nothing: status, plan, check, history, token."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from token_refresher.errors import SecretStoreError
from token_refresher.model import PublishedToken, published_from_id
from token_refresher.oauth.errors import TokenResponseError
from token_refresher.oauth.token_response import bearer_token, lifetime
from token_refresher.parsing import parse_credentials
from token_refresher.policy import FAILURES, Failure
from token_refresher_cli import options, screen
from token_refresher_cli.accounts import in_order, status_of
from token_refresher_cli.connection import Connection
from token_refresher_cli.credentials_form import caution
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.exit_codes import ExitCode
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    explain,
    failure_text,
    fix_here,
    may_pass,
)
from token_refresher_cli.sweeps import next_due, rows_of_report
from token_refresher_cli.timeline import history_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.credentials import Credentials
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
        statuses = _statuses(connection, names or [])
    if watch and statuses:
        _watch(connection, machine, names or [], statuses, every)
    place = connection.place()
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
        screen.show(screen.status_table(statuses, now=connection.now()))
        for sentence in screen.status_sentences(statuses, connection.target, now=connection.now()):
            screen.show(sentence)
        screen.show(screen.place_sentence(place))
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


def _watch(
    connection: Connection,
    machine: Machine,
    names: list[str],
    first: list[AccountStatus],
    every: int,
) -> NoReturn:
    """Show the table again and again until a person interrupts, which is how it ends.

    A look that fails in a way that may pass is told under the table of the last one.
    """
    statuses, trouble = first, ""
    with Live(console=screen.results(), auto_refresh=False, screen=False) as live:
        while True:
            table = screen.status_table(statuses, now=connection.now())
            live.update(Group(table, Text(trouble)) if trouble else table, refresh=True)
            machine.pause(timedelta(seconds=every))
            try:
                statuses, trouble = _statuses(connection, names), ""
            except (RefusedError, SecretStoreError) as error:
                if not may_pass(error):
                    raise
                trouble = explain(error, connection.target).what


def plan(
    ctx: typer.Context, names: options.AnyNames = None, *, as_json: options.AsJson = False
) -> None:
    """Show what the next sweep would do, and why. It changes nothing."""
    connection, _ = connect(ctx)
    with screen.waiting("Asking what is due"):
        report = connection.sweep(names or [], dry_run=True)
    rows, place = rows_of_report(report), connection.place()
    for row in rows:
        if row.is_unknown:
            raise connection.unknown(row.account)
    due = next_due(report, refresh_before=connection.settings.refresh_before)
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
    worth_a_line = rows[: len(report.results)]
    if worth_a_line:
        screen.show(screen.plan_table(worth_a_line, now=report.now))
    fresh = len(rows) - len(worth_a_line)
    sentence = f"{fresh} fresh"
    if due is not None:
        sentence += f"; the first to come due is {due[0]}, {say_when(due[1], now=report.now)}"
    screen.show(sentence)
    screen.show(screen.place_sentence(place))


def check(
    ctx: typer.Context,
    name: options.Name,
    *,
    try_it: Annotated[
        bool, typer.Option("--try", help="Ask the token endpoint too, and publish nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --try.")] = False,
) -> None:
    """Validate an account's stored credentials. Exits with 1 if they do not validate."""
    connection, machine = connect(ctx)
    try:
        credentials = parse_credentials(stored_text(connection, name))
        connection.admit(credentials)
    except FAILURES as error:
        raise failed(connection, name, error) from None
    client = credentials.client
    screen.show(
        f"{name}: {credentials.grant_name or 'login'} grant at {client.host}, "
        f"{client.auth_method}; the credentials validate"
    )
    if doubts := caution(credentials):
        screen.note(doubts, style="yellow")
    if not try_it:
        return
    if credentials.is_refresh_only:
        raise ProblemError(
            "An account with a refresh_token cannot be tried: it would spend the refresh token, "
            "and the response would be lost.",
            f"Refresh it instead: {connection.target.command('refresh', name)}",
        )
    again = connection.target.command("refresh", name, flags=["--force"])
    _agree_to_try(again, machine, yes=yes)
    try:
        with screen.waiting(f"Asking {client.host}"):
            told = _try(connection, credentials)
    except FAILURES as error:
        raise failed(connection, name, error) from None
    screen.show(f"{name}: {told}")


def stored_text(connection: Connection, name: str) -> str | None:
    """Read what is stored for an account; None for a binary secret.

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
    return value.text


def failed(connection: Connection, name: str, error: Failure) -> typer.Exit:
    """Tell a failure of an account; the command ends with what is returned."""
    screen.note(f"{name}: {failure_text(error)}", style="bold red")
    screen.note(f"{error}")
    if fix := fix_here(error.code, name, connection.target):
        screen.note(fix)
    return typer.Exit(ExitCode.ACTION_REQUIRED)


def _agree_to_try(again: str, machine: Machine, *, yes: bool) -> None:
    screen.note(
        "Some servers keep one live token for each client: there the published token dies when "
        "another is issued.",
        style="yellow",
    )
    screen.note(f"If it does: {again}")
    if yes:
        return
    if not machine.can_ask:
        raise ProblemError("There is nobody to agree to that.", "Give --yes as well as --try.")
    if not typer.confirm("Ask the token endpoint?", err=True):
        raise ProblemError("It was not asked.")


def _try(connection: Connection, credentials: Credentials) -> str:
    """Ask for a token as a refresh would, judge it likewise, and forget it.

    Raises:
        OAuthError: A refresh would fail as well.
    """
    endpoint, client = connection.endpoint(), credentials.client
    issued_at = connection.now().replace(microsecond=0)
    response = endpoint.request(client, credentials.grant)
    access_token = bearer_token(response.access_token, response.token_type, dialect=client.dialect)
    life = lifetime(response, issued_at=issued_at, client=client)
    if not life:
        raise TokenResponseError("the access_token had expired when it was issued")
    if (publish := credentials.publish) is not None:
        token = PublishedToken(access_token=access_token, token_type="", issued_at=0, expires_at=0)
        publish.render(token, publish.values_of(response.content), secrets=credentials.secrets)
    told = f"the endpoint issued a token that lives {say_duration(life)}"
    if credentials.verify_url is not None:
        verdict = endpoint.verify(client, access_token)
        if verdict is False:
            msg = "verify_url refused the new access_token"
            raise TokenResponseError(msg, code="token_refused")
        told += f"; verify_url {'accepts it' if verdict else 'says nothing of it'}"
    return f"{told}; it was not published"


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
    if told.lives:
        screen.show(screen.history_table(told, now=now))
    count = f"{len(told.lives)} token" + ("" if len(told.lives) == 1 else "s")
    gap = f"without a live one for {say_duration(told.gap)}" if told.gap else "never without one"
    screen.show(f"{count} in {days} d, {gap}" if told.lives else f"no token in {days} d")
    if told.external:
        count = "1 external version" if told.external == 1 else f"{told.external} external versions"
        screen.show(f"{count}: written by others, and no id tells when their tokens live")


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

    What is published in a form of the account's own is printed whole.
    """
    connection, machine = connect(ctx)
    if machine.prints_to_a_person and not show:
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
