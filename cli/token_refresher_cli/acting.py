"""The commands that change something: add, correct, refresh."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard

import typer

from token_refresher.credentials import RefreshTokenCredentials, parse_credentials
from token_refresher.errors import CredentialsError
from token_refresher.policy import FAILURES, Reason
from token_refresher.ports import CURRENT, SecretMetadata
from token_refresher.refresh import Outcome
from token_refresher_cli import options, screen
from token_refresher_cli.connection import Connection, Target
from token_refresher_cli.forms import FormError, fill_in, read_object, to_credentials
from token_refresher_cli.looking import connect, stored_text
from token_refresher_cli.moments import say_duration, say_moment
from token_refresher_cli.outcomes import INTERRUPTED, Exits
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    explain,
    explain_refusal,
    is_denied,
    may_pass,
    mend_for,
)
from token_refresher_cli.secrets_manager import AlreadyThereError
from token_refresher_cli.sweeps import NOT_TOLD, rows_of_report, rows_of_summary

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher_cli.deployed_function import DeployedFunction
    from token_refresher_cli.surroundings import Surroundings
    from token_refresher_cli.sweeps import Row

_BETWEEN_TWO_LOOKS: Final = timedelta(seconds=2)
# The function's own limit.
_MOST_NAMES: Final = 100
_WRITTEN: Final = "The credentials were written."


def add(  # noqa: PLR0913 - one parameter for each option
    ctx: typer.Context,
    name: options.Name,
    *,
    site: options.Site = None,
    token_endpoint: options.TokenEndpointUrl = None,
    grant_type: options.GrantType = None,
    client_id: options.ClientId = None,
    username: options.Username = None,
    partner_code: options.PartnerCode = None,
    scope: options.Scope = None,
    assumed_expires_in: options.AssumedExpiresIn = None,
    from_file: options.FromFile = None,
    kms_key_id: Annotated[
        str, typer.Option(help="A key of yours to encrypt the credentials with.")
    ] = "",
    wait: options.Wait = False,
    within: options.WithinMinutes = 10,
    profile: options.Profile = None,
    region: options.Region = None,
    prefix: options.Prefix = None,
    stack: options.Stack = None,
) -> None:
    """Onboard an account: ask for what it needs, validate, create its credentials secret."""
    connection, surroundings = connect(ctx, Target(profile, region, prefix, stack))
    given = _given(
        from_file,
        site=site,
        token_endpoint=token_endpoint,
        grant_type=grant_type,
        client_id=client_id,
        username=username,
        partner_code=partner_code,
        scope=scope,
        assumed_expires_in=assumed_expires_in,
    )
    text, _ = _completed(connection, surroundings, name, given, stored=None)
    try:
        version_id = connection.people.create_credentials(name, text, kms_key_id=kms_key_id)
    except AlreadyThereError:
        raise ProblemError(
            f"{name} has credentials already; nothing was written.",
            f"To replace them: token-refresher correct {name}",
        ) from None
    screen.show(f"created {connection.credentials_id(name)}")
    _see_it_through(connection, surroundings, name, version_id, within if wait else None)


def correct(  # noqa: PLR0913 - one parameter for each option
    ctx: typer.Context,
    name: options.Name,
    *,
    site: options.Site = None,
    token_endpoint: options.TokenEndpointUrl = None,
    grant_type: options.GrantType = None,
    client_id: options.ClientId = None,
    username: options.Username = None,
    partner_code: options.PartnerCode = None,
    scope: options.Scope = None,
    assumed_expires_in: options.AssumedExpiresIn = None,
    from_file: options.FromFile = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Keep nothing that is stored, and do not read it.")
    ] = False,
    wait: options.Wait = False,
    within: options.WithinMinutes = 10,
    profile: options.Profile = None,
    region: options.Region = None,
    prefix: options.Prefix = None,
    stack: options.Stack = None,
) -> None:
    """Put corrected credentials, such as after a wrong password. The next sweep tries them."""
    connection, surroundings = connect(ctx, Target(profile, region, prefix, stack))
    given = _given(
        from_file,
        site=site,
        token_endpoint=token_endpoint,
        grant_type=grant_type,
        client_id=client_id,
        username=username,
        partner_code=partner_code,
        scope=scope,
        assumed_expires_in=assumed_expires_in,
    )
    stored: dict[str, Any] | None = None
    before: Credentials | None = None
    if anew:
        connection.require(name)
    else:
        stored, before = _stored(connection, name)
    text, credentials = _completed(connection, surroundings, name, given, stored=stored)
    if credentials == before:
        screen.show(f"{name}: that is what is stored; nothing was written")
        return
    version_id = connection.people.replace_credentials(name, text)
    screen.show(f"corrected {connection.credentials_id(name)}")
    _see_it_through(connection, surroundings, name, version_id, within if wait else None)


def _stored(connection: Connection, name: str) -> tuple[dict[str, Any], Credentials | None]:
    """Read what is to be corrected, whether or not it validates."""
    text = stored_text(connection, name)
    try:
        fields = read_object(text or "")
    except FormError:
        return {}, None
    try:
        return fields, parse_credentials(text)
    except CredentialsError:
        return fields, None


def _given(from_file: Path | None, **from_options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Put together what a file and the options say; the options win.

    Raises:
        FormError: The file cannot be read, or holds no JSON object.
    """
    fields: dict[str, Any] = {}
    if from_file is not None:
        is_pipe = str(from_file) == "-"
        try:
            text = sys.stdin.read() if is_pipe else from_file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise FormError("what was read is not UTF-8") from None
        except OSError as error:
            raise FormError(f"cannot read {from_file}: {error.strerror}") from None
        fields = read_object(text)
    return fields | {key: value for key, value in from_options.items() if value is not None}


def _completed(
    connection: Connection,
    surroundings: Surroundings,
    name: str,
    given: dict[str, Any],
    *,
    stored: dict[str, Any] | None,
) -> tuple[str, Credentials]:
    """Ask for what is missing, and validate.

    Returns:
        What to store, and the same as the program understands it.

    Raises:
        FormError: Something is missing, and there is nobody to ask.
        ProblemError: It does not validate; nothing was written.
    """
    asker = screen.TerminalAsker() if surroundings.can_ask else None
    fields = fill_in(given, asker=asker, stored=stored)
    try:
        credentials, text = to_credentials(fields)
        connection.admit(credentials.client)
    except FAILURES as error:
        raise ProblemError(f"{name}: {error}.", "Nothing was written.") from None
    ignores = not connection.settings.uses_refresh_tokens
    if ignores and isinstance(credentials, RefreshTokenCredentials):
        raise ProblemError(
            "The function ignores refresh tokens, so it could not serve this account.",
            mend_for("refresh_tokens_ignored", name),
        )
    return text, credentials


def _see_it_through(
    connection: Connection,
    surroundings: Surroundings,
    name: str,
    version_id: str,
    within_minutes: int | None,
) -> None:
    """Wait for what the new credentials come to, or say how to bring it about.

    Args:
        connection: Where.
        surroundings: What to wait with.
        name: The account.
        version_id: That of the credentials that were just written.
        within_minutes: None where nobody wants to wait.
    """
    if within_minutes is None:
        screen.note(f"The next sweep tries them; or at once: token-refresher refresh {name}")
        return
    until = surroundings.monotonic() + within_minutes * 60
    with screen.waiting(f"Waiting for the next sweep to serve {name}"):
        while not _is_served(account := _looked_at(connection, name, version_id)):
            if surroundings.monotonic() >= until:
                raise ProblemError(
                    f"No sweep has served {name} within {within_minutes} min. {_WRITTEN}",
                    "See whether the schedule is on; or: token-refresher refresh " + name,
                    is_under_way=True,
                )
            surroundings.pause(_BETWEEN_TWO_LOOKS)
    if failure := account.counting_failure:
        screen.note(f"{name}: {failure.code} ({failure.failure_class})", style="bold red")
        if mend := mend_for(failure.code, name):
            screen.note(mend)
        raise typer.Exit(Exits.SOMEBODY_MUST_ACT)
    left = account.live_until - connection.now() if account.live_until else timedelta(0)
    screen.show(f"{name}: published, expires in {say_duration(left)}")


def _looked_at(connection: Connection, name: str, version_id: str) -> Account | None:
    """Describe an account with the credentials that were just written.

    Returns:
        None where it could not be seen this time, and may be the next; that is told.

    Raises:
        ProblemError: It may not be seen at all.
    """
    try:
        with about(connection.token_id(name)):
            token = connection.store.describe_token(name)
    except RefusedError as error:
        problem = explain(error)
        if may_pass(error):
            screen.note(problem.what)
            return None
        raise ProblemError(f"{problem.what} {_WRITTEN}", problem.mend, is_under_way=True) from None
    credentials = SecretMetadata(stages={CURRENT: version_id})
    return connection.account(name, credentials, token, now=connection.now())


def _is_served(account: Account | None) -> TypeGuard[Account]:
    """Whether its credentials have come to a token, or to a failure."""
    if account is None:
        return False
    published = account.published
    is_of_these = published and published.credentials_digest == account.credentials_digest
    return bool(is_of_these) or account.counting_failure is not None


def refresh(  # noqa: PLR0913 - one parameter for each option
    ctx: typer.Context,
    names: options.Names,
    *,
    force: Annotated[bool, typer.Option("--force", help="Whether or not they are due.")] = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="Let the function of --stack do it.")
    ] = False,
    as_json: options.AsJson = False,
    profile: options.Profile = None,
    region: options.Region = None,
    prefix: options.Prefix = None,
    stack: options.Stack = None,
) -> None:
    """Refresh accounts now, as a sweep does. Exits with 1 if one of them was not."""
    if remote and prefix is not None:
        raise ProblemError(
            "The function has a prefix of its own, so --remote takes no --prefix.",
            "Give --stack alone.",
        )
    connection, _ = connect(ctx, Target(profile, region, prefix, stack))
    names = list(dict.fromkeys(names))
    interrupted = threading.Event()
    if remote:
        rows = _refreshed_by_function(connection.function, names, force=force)
    else:

        def finish() -> None:
            interrupted.set()
            screen.note("Interrupted: finishing what has begun.")

        with screen.counting("Asking for tokens", len(names)) as asked:
            report = connection.sweep(names, force=force, asked=asked, on_interrupt=finish)
        rows = rows_of_report(report)
    now = connection.now()
    if as_json:
        content = {"refreshed_at": now.isoformat(), "accounts": [row.to_json() for row in rows]}
        screen.show_json(content)
    else:
        screen.show(screen.refresh_table(rows, now=now))
    for row in rows:
        _say_what_helps(connection, row, now=now, remote=remote)
    if interrupted.is_set():
        raise typer.Exit(INTERRUPTED)
    if all(row.is_unknown for row in rows):
        raise typer.Exit(Exits.NOTHING_DONE)
    if not all(row.went_well for row in rows):
        raise typer.Exit(Exits.SOMEBODY_MUST_ACT)


def _refreshed_by_function(
    function: DeployedFunction | None, names: list[str], *, force: bool
) -> list[Row]:
    if function is None:
        raise ProblemError("--remote needs the name of a stack.", "Give --stack.")
    if len(names) > _MOST_NAMES:
        raise ProblemError(
            f"The function takes {_MOST_NAMES} names at once, and {len(names)} are given.",
            "Give fewer; its schedule serves all that are due.",
        )
    with screen.waiting("The function is working"):
        summary = function.invoke({"accounts": names, "force": force})
    return rows_of_summary(summary, names)


def _say_what_helps(connection: Connection, row: Row, *, now: datetime, remote: bool) -> None:
    """Say what a person does about an account that has no new token now, if anything."""
    if row.is_unknown:
        screen.show_problem(connection.unknown(row.account).problem)
    elif row.error and is_denied(row.error) and not remote:
        where = f"secrets under {connection.settings.secret_prefix}/"
        screen.show_problem(explain_refusal(row.detail or "", row.error, where))
    elif row.error and (mend := mend_for(row.error, row.account)):
        screen.note(f"{row.account}: {mend}")
    elif row.outcome in {Outcome.NOT_DUE, NOT_TOLD}:
        screen.note(f"{row.account} {_why_not(row, now=now)}")


def _why_not(row: Row, *, now: datetime) -> str:
    """Say why an account that nothing is wrong with now was not refreshed, and what helps."""
    until = f" until {say_moment(row.retry_at, now=now)}" if row.retry_at else ""
    return {
        Reason.AWAITING_CREDENTIALS: f"has no credentials yet: token-refresher add {row.account}",
        Reason.BACKING_OFF: "failed before, and is left alone for a while; --force asks now",
        Reason.ORPHANED: f"has lost its credentials: token-refresher add {row.account}",
        Reason.RATE_LIMITED: f"is held by the write floor{until}; --force does not help",
        NOT_TOLD: "is not in the function's answer; its log tells",
    }.get(row.reason, "is not due; --force asks all the same")
