"""The commands that write credentials: add, correct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from token_refresher.errors import CredentialsError
from token_refresher.failures import FAILURES
from token_refresher.oauth.client_authentication import AuthMethod
from token_refresher.parsing import parse_credentials
from token_refresher_cli import bulk, options, screen
from token_refresher_cli.accounts_file import holds_many, without_account
from token_refresher_cli.cautions import caution_about, cautions
from token_refresher_cli.credentials_form import NotGivenError, fill_in
from token_refresher_cli.deployment import Aws
from token_refresher_cli.field_options import fields_of, flags_of, issuer_of
from token_refresher_cli.fields import FormError, joined, read_object, slot_of, to_credentials
from token_refresher_cli.first_token import see_it_through
from token_refresher_cli.options import target_of
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    doubt,
    ending,
    sentence,
)
from token_refresher_cli.proof import issued_for, key_trouble
from token_refresher_cli.read_commands import connect, stored
from token_refresher_cli.secrets_manager import AlreadyThereError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from token_refresher.credentials import Credentials
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.fields import Slot
    from token_refresher_cli.machine import Machine


def add(
    ctx: typer.Context,
    name: options.NameOrNone = None,
    *,
    from_file: options.FromFileOfMany = None,
    kms_key_id: Annotated[
        str, typer.Option(help="The KMS key to encrypt the credentials with, if one of yours.")
    ] = "",
    tag: options.Tags = None,
    dry_run: options.DryRun = False,
    wait: options.Wait = False,
    within: options.WithinMinutes = 10,
) -> None:
    """Onboard an account, or many from a file: validate, and create the credentials secrets."""
    if name is None:
        if from_file is None or wait:
            raise typer.BadParameter(
                "--wait is for one account." if wait else "Give NAME, or --from-file with many."
            )
        bulk.add_many(
            ctx, *connect(ctx), from_file, kms_key_id=kms_key_id, tag=tag or (), dry_run=dry_run
        )
        return
    connection, machine = connect(ctx)
    connection.require_name(name)
    given, asked = _given(ctx, from_file)
    try:
        if not dry_run:
            # Before anybody is asked for anything.
            connection.people.require_free(name)
        if doubted := caution_about(name):
            screen.note(doubted, style="yellow")
        given = _with_endpoint(ctx, connection, machine, without_account(given, name), stored={})
        text, credentials = _completed(connection, machine, name, given, stored=None, asked=asked)
        if dry_run:
            bulk.preview(connection, machine, bulk.Entry(name, text, credentials))
            return
        version_id = connection.people.create_credentials(
            name, text, kms_key_id=kms_key_id, tags=connection.tags(tag)
        )
    except AlreadyThereError:
        raise ProblemError(
            f"{name} has credentials already; nothing was written.",
            f"To replace them: {connection.target.command('correct', name)}",
        ) from None
    screen.show(f"created {connection.target.credentials_id(name)}")
    _say_what_signs(connection, name, credentials)
    see_it_through(connection, machine, name, version_id, within if wait else None)


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
    given = without_account(given, name)
    stored: dict[str, Any] | None = None
    before: Credentials | None = None
    if replace:
        connection.require(name)
    else:
        stored, before = _stored(connection, name)
    stays = {field: value for field, value in (stored or {}).items() if (field,) not in removed}
    given = _with_endpoint(ctx, connection, machine, given, stored=stays)
    text, credentials = _completed(
        connection, machine, name, given, stored=stored, asked=asked, unset=removed
    )
    if credentials == before:
        screen.show(f"{name}: that is what is stored; nothing was written")
        return
    version_id = connection.people.replace_credentials(name, text)
    screen.show(f"corrected {connection.target.credentials_id(name)}")
    kept = {*read_object(text, name=name), *(field for field, *_ in removed)}
    if gone := [field for field, value in (stored or {}).items() if value and field not in kept]:
        screen.note(f"Taken out, as nothing uses it any more: {', '.join(gone)}")
    _say_what_signs(connection, name, credentials)
    see_it_through(connection, machine, name, version_id, within if wait else None)


def _stored(connection: Connection, name: str) -> tuple[dict[str, Any], Credentials | None]:
    """Read what is to be corrected, whether or not it validates."""
    text = stored(connection, name).text
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
    # Before any option is repeated: a secret in one is refused.
    given, asked = fields_of(ctx)
    if from_file is not None:
        source = "what was read" if str(from_file) == "-" else str(from_file)
        content = bulk.content_of(from_file)
        try:
            fields = read_object(content, name=source)
        except FormError:
            if not holds_many(content):
                raise
            many = target_of(ctx).command(
                "add", flags=["--from-file", str(from_file), *flags_of(ctx)]
            )
            raise FormError(
                f"{source} holds several accounts, and with NAME one JSON object is taken. "
                f"To add them all: {many}"
            ) from None
    return joined(fields, given), asked


def _say_what_signs(connection: Connection, name: str, credentials: Credentials) -> None:
    """Say which key signs for an account, and how it is made where there is none."""
    target = connection.target
    if audience := issued_for(credentials):
        screen.note(f"AWS STS tells {audience} who runs here, and no key is needed.")
    key = connection.signing_key(credentials, name)
    if key is None:
        return
    try:
        trouble = key_trouble(Aws(), key, name, target)
    except RefusedError:
        # Whoever may write credentials need not be allowed to see keys.
        create = target.command("key create", name)
        screen.note(f"The KMS key {key.alias} signs. Where there is none yet: {create}")
        return
    if trouble is None:
        screen.note(f"The KMS key {key.alias} signs, by {key.alg}.")
    else:
        screen.note(sentence(trouble.what), style="yellow")
        screen.note(trouble.fix)


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
        found = connection.discover(issuer, stored | given)
    has_secret = machine.can_ask or "client_secret" in stored | given
    fields = found.fields(given, has_secret=has_secret, stored=stored)
    screen.note(f"{found.metadata_url} says:")
    for name, value in fields.items():
        parts = value if isinstance(value, dict) else {}
        for part, each in parts.items():
            screen.note(f"{name}.{part}: {each}")
        if not parts:
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

    def require_signing(credentials: Credentials) -> None:
        if trouble := connection.stack_trouble(credentials, name):
            what = f"{name}: {trouble.what}; nothing was written."
            raise ProblemError(what, trouble.fix)

    def admit(credentials: Credentials) -> None:
        try:
            require_signing(credentials)
            connection.admit(credentials, name)
        except FAILURES as error:
            hint = doubt(error.code, connection.target)
            raise FormError(f"{error}{hint and f'; {hint}'}") from None

    try:
        fields = fill_in(given, asker=asker, stored=stored, admit=admit, asked=asked, unset=unset)
        credentials, text = to_credentials(fields)
        require_signing(credentials)
        connection.admit(credentials, name)
    except NotGivenError as error:
        raise ProblemError(
            sentence(str(error)),
            "Nobody can be asked here: give it in a file by --from-file, or by - in the standard "
            "input.",
        ) from None
    except FAILURES as error:
        hint = doubt(error.code, connection.target)
        raise ProblemError(
            f"{name}: {error}{ending(str(error))}", f"Nothing was written{hint and f': {hint}'}."
        ) from None
    for doubts in cautions(credentials, now=connection.now()):
        screen.note(doubts, style="yellow")
    return text, credentials
