"""The commands that write credentials: add, correct."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard, get_args

import typer

from token_refresher import policy
from token_refresher.errors import CredentialsError, SecretStoreError
from token_refresher.oauth.client_authentication import AuthMethod
from token_refresher.parsing import parse_credentials
from token_refresher.policy import FAILURES, Reason
from token_refresher.ports import CURRENT, SecretMetadata
from token_refresher_cli import options, screen
from token_refresher_cli.credentials_form import (
    FormError,
    caution,
    fill_in,
    joined,
    read_object,
    slot_of,
    to_credentials,
)
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.exit_codes import ExitCode
from token_refresher_cli.field_options import fields_of, issuer_of
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    doubt,
    ending,
    explain,
    fix_for,
    may_pass,
)
from token_refresher_cli.read_commands import connect, stored_text
from token_refresher_cli.secrets_manager import AlreadyThereError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.credentials_form import Slot
    from token_refresher_cli.machine import Machine

_BETWEEN_TWO_LOOKS: Final = timedelta(seconds=2)
_WRITTEN: Final = "The credentials were written."


def add(
    ctx: typer.Context,
    name: options.Name,
    *,
    from_file: options.FromFile = None,
    kms_key_id: Annotated[
        str, typer.Option(help="A key of yours to encrypt the credentials with.")
    ] = "",
    wait: options.Wait = False,
    within: options.WithinMinutes = 10,
) -> None:
    """Onboard an account: ask for what it needs, validate, create its credentials secret."""
    connection, machine = connect(ctx)
    given, asked = _given(ctx, from_file)
    try:
        # Before anybody is asked for anything.
        connection.people.require_free(name)
        given = _with_endpoint(ctx, connection, machine, given, stored={})
        text, _ = _completed(connection, machine, name, given, stored=None, asked=asked)
        version_id = connection.people.create_credentials(name, text, kms_key_id=kms_key_id)
    except AlreadyThereError:
        raise ProblemError(
            f"{name} has credentials already; nothing was written.",
            f"To replace them: {connection.target.command('correct', name)}",
        ) from None
    screen.show(f"created {connection.target.credentials_id(name)}")
    _see_it_through(connection, machine, name, version_id, within if wait else None)


def correct(
    ctx: typer.Context,
    name: options.Name,
    *,
    from_file: options.FromFile = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Keep nothing that is stored, and do not read it.")
    ] = False,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Remove a stored field, or a part such as extra_parameters.audience.",
        ),
    ] = None,
    wait: options.Wait = False,
    within: options.WithinMinutes = 10,
) -> None:
    """Put corrected credentials, such as after a wrong password. The next sweep tries them."""
    connection, machine = connect(ctx)
    removed = [slot_of(each) for each in unset or ()]
    given, asked = _given(ctx, from_file)
    stored: dict[str, Any] | None = None
    before: Credentials | None = None
    if replace:
        connection.require(name)
    else:
        stored, before = _stored(connection, name)
    given = _with_endpoint(ctx, connection, machine, given, stored=stored or {})
    text, credentials = _completed(
        connection, machine, name, given, stored=stored, asked=asked, unset=removed
    )
    if credentials == before:
        screen.show(f"{name}: that is what is stored; nothing was written")
        return
    version_id = connection.people.replace_credentials(name, text)
    screen.show(f"corrected {connection.target.credentials_id(name)}")
    _see_it_through(connection, machine, name, version_id, within if wait else None)


def _stored(connection: Connection, name: str) -> tuple[dict[str, Any], Credentials | None]:
    """Read what is to be corrected, whether or not it validates."""
    text = stored_text(connection, name)
    try:
        # Whose own words the person does not know yet.
        fields = read_object(text or "", name=f"what is stored for {name}")
    except FormError:
        return {}, None
    try:
        return fields, parse_credentials(text)
    except CredentialsError:
        return fields, None


def _given(ctx: typer.Context, from_file: Path | None) -> tuple[dict[str, Any], list[Slot]]:
    """Put together what a file and the options say; the options win.

    Returns:
        The fields, and what the options want to be asked for.

    Raises:
        FormError: The file cannot be read, or holds no JSON object.
    """
    fields: dict[str, Any] = {}
    if from_file is not None:
        is_pipe = str(from_file) == "-"
        try:
            content = sys.stdin.buffer.read() if is_pipe else from_file.read_bytes()
        except OSError as error:
            raise FormError(f"cannot read {from_file}: {error.strerror}") from None
        fields = read_object(content, name="what was read" if is_pipe else str(from_file))
    given, asked = fields_of(ctx)
    return joined(fields, given), asked


def _with_endpoint(
    ctx: typer.Context,
    connection: Connection,
    machine: Machine,
    given: dict[str, Any],
    *,
    stored: dict[str, Any],
) -> dict[str, Any]:
    """Find the token endpoint where an issuer is given, and tell what its server says.

    Raises:
        DiscoveryError: There is none to be found; nobody was asked for a secret.
    """
    issuer = issuer_of(ctx)
    if issuer is None:
        return given
    with screen.waiting("Looking for the token endpoint"):
        found = connection.discover(issuer)
    fields = {"token_endpoint": found.token_endpoint}
    has_secret = machine.can_ask or "client_secret" in stored | given
    method = found.auth_method(has_secret=has_secret)
    if method and "token_endpoint_auth_method" not in given:
        fields["token_endpoint_auth_method"] = method
    screen.note(f"{found.metadata_url} says:")
    for name, value in fields.items():
        screen.note(f"{name}: {value}")
    used = (stored | given | fields).get("token_endpoint_auth_method")
    if not found.auth_methods & ({str(used)} if used else {*get_args(AuthMethod)}):
        screen.note("It lists no token_endpoint_auth_method that these credentials could use.")
    return joined(given, fields)


def _completed(
    connection: Connection,
    machine: Machine,
    name: str,
    given: dict[str, Any],
    *,
    stored: dict[str, Any] | None,
    asked: list[Slot],
    unset: Collection[Slot] = (),
) -> tuple[str, Credentials]:
    """Ask for what is missing, and validate.

    Returns:
        What to store, and the same as the program understands it.

    Raises:
        FormError: Something is missing, and there is nobody to ask.
        ProblemError: It does not validate; nothing was written.
    """
    asker = screen.TerminalAsker() if machine.can_ask else None

    def admit(credentials: Credentials) -> None:
        try:
            connection.admit(credentials)
        except FAILURES as error:
            hint = doubt(error.code, connection.target)
            raise FormError(f"{error}{hint and f'; {hint}'}") from None

    try:
        fields = fill_in(given, asker=asker, stored=stored, admit=admit, asked=asked, unset=unset)
        credentials, text = to_credentials(fields)
        connection.admit(credentials)
    except FAILURES as error:
        hint = doubt(error.code, connection.target)
        raise ProblemError(
            f"{name}: {error}{ending(str(error))}", f"Nothing was written{hint and f': {hint}'}."
        ) from None
    if doubts := caution(credentials):
        screen.note(doubts, style="yellow")
    return text, credentials


def _see_it_through(
    connection: Connection,
    machine: Machine,
    name: str,
    version_id: str,
    within_minutes: int | None,
) -> None:
    """Wait for what the new credentials come to, or say how to bring it about.

    Args:
        connection: Where.
        machine: What to wait with.
        name: The account.
        version_id: That of the credentials that were just written.
        within_minutes: None where nobody wants to wait.
    """
    at_once = connection.target.command("refresh", name)
    if within_minutes is None:
        screen.note(_what_comes(connection, name, version_id))
        return
    until = machine.monotonic() + within_minutes * 60
    with screen.waiting(f"Waiting for the next sweep to serve {name}"):
        while not _is_served(account := _looked_at(connection, name, version_id)):
            if machine.monotonic() >= until:
                raise ProblemError(
                    f"No sweep has served {name} within {within_minutes} min. {_WRITTEN}",
                    f"See whether the schedule is on; or: {at_once}",
                    is_under_way=True,
                )
            machine.pause(_BETWEEN_TWO_LOOKS)
    if (failure := account.counting_failure) and failure.failures:
        screen.note(f"{name}: {failure.code} ({failure.failure_class})", style="bold red")
        if fix := fix_for(failure.code, name, connection.target):
            screen.note(fix)
        raise typer.Exit(ExitCode.ACTION_REQUIRED)
    left = account.live_until - connection.now() if account.live_until else timedelta(0)
    screen.show(f"{name}: published, expires in {say_duration(left)}")


def _what_comes(connection: Connection, name: str, version_id: str) -> str:
    """Say when credentials that were just written are tried; and how to bring it about."""
    settings, now = connection.settings, connection.now()
    try:
        account = connection.account(
            name,
            SecretMetadata(stages={CURRENT: version_id}),
            connection.store.describe_token(name),
        )
    except SecretStoreError:
        # Whoever may write credentials need not be allowed to see more.
        account = None
    reason, flags = Reason.FRESH, list[str]()
    if account is not None:
        reason = policy.decide(account, now=now, refresh_before=settings.refresh_before).reason
    at = None if account is None else policy.next_attempt(account, reason)
    if at is None or reason not in {Reason.BACKING_OFF, Reason.RATE_LIMITED}:
        # Without a stack nobody knows its schedule.
        within = f", within {say_duration(settings.schedule)}" if connection.function else ""
        when = f"The next sweep tries them{within}"
    else:
        when = f"They are tried {say_when(at, now=now)}, since others were just now"
        flags = ["--force"]
        if reason is Reason.RATE_LIMITED:
            return f"{when}; --force does not help."
    return f"{when}; or at once: {connection.target.command('refresh', name, flags=flags)}"


def _looked_at(connection: Connection, name: str, version_id: str) -> Account | None:
    """Describe an account with the credentials that were just written.

    Returns:
        None where it could not be seen this time, and may be the next; that is told.

    Raises:
        ProblemError: It may not be seen at all.
    """
    try:
        with about(connection.target.token_id(name)):
            token = connection.store.describe_token(name)
    except RefusedError as error:
        problem = explain(error, connection.target)
        if may_pass(error):
            screen.note(problem.what)
            return None
        raise ProblemError(f"{problem.what} {_WRITTEN}", problem.fix, is_under_way=True) from None
    credentials = SecretMetadata(stages={CURRENT: version_id})
    return connection.account(name, credentials, token)


def _is_served(account: Account | None) -> TypeGuard[Account]:
    """Whether its credentials have come to a token, or to a failure."""
    if account is None:
        return False
    published = account.published
    is_of_these = published and published.credentials_digest == account.credentials_digest
    return bool(is_of_these) or account.counting_failure is not None
