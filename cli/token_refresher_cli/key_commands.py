"""The commands that make, bring in and show the keys that accounts sign with."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from token_refresher_cli import options, screen
from token_refresher_cli.fields import FormError
from token_refresher_cli.kms_keys import EC, Role
from token_refresher_cli.problems import ProblemError, RefusedError, sentence
from token_refresher_cli.proof import unusable
from token_refresher_cli.read_commands import connect
from token_refresher_cli.signing_keys import (
    all_of,
    certificate_of,
    describe,
    has_credentials,
    jwks,
    keys_of,
    make,
    names_in,
    read,
    require_current,
    require_no_rotation,
    require_none_left_behind,
    stored,
    tell_left_behind,
)

if TYPE_CHECKING:
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.key_material import KeyFile
    from token_refresher_cli.kms_keys import Keys, KmsKey
    from token_refresher_cli.signing_keys import SigningKey
    from token_refresher_cli.target import Target


class Alg(StrEnum):
    """What a key signs by (RFC 7518 section 3.1)."""

    RS256 = "RS256"
    PS256 = "PS256"
    ES256 = "ES256"


class Bits(StrEnum):
    """How long an RSA key is; a text, as Typer takes choices."""

    SHORT = "2048"
    MIDDLE = "3072"
    LONG = "4096"


class Format(StrEnum):
    """What public keys are shown as."""

    JWKS = "jwks"
    PEM = "pem"
    CERTIFICATE = "certificate"


def create(
    ctx: typer.Context,
    name: options.Name,
    *,
    alg: Annotated[Alg, typer.Option(help="What it signs by: RS256, PS256 or ES256.")] = Alg.RS256,
    bits: Annotated[
        Bits, typer.Option(help="How long an RSA key is: 2048, 3072 or 4096.")
    ] = Bits.SHORT,
    tag: options.Tags = None,
) -> None:
    """Have KMS make the key that an account signs with, and show the public one."""
    connection, machine = connect(ctx)
    connection.require_name(name)
    target, keys = connection.target, keys_of(connection, machine, name, tag=tag)
    _require_none(keys, Role.CURRENT, connection)
    require_none_left_behind(keys, target)
    spec = EC if alg is Alg.ES256 else f"RSA_{bits}"
    made = make(keys, Role.CURRENT, spec, alg, target)
    screen.show_json(jwks([made]))
    certificate = target.command("key jwks", name, flags=["--format", "certificate"])
    screen.note(f"Register it at the provider; where that takes a certificate: {certificate}")
    if has_credentials(connection, name):
        if _is_named_otherwise(connection, name, made):
            flags = ["--assertion", f"kid={made.public.kid}"]
            correct = target.command("correct", name, flags=flags)
            screen.note(f"Its credentials name another key. Have them name this one: {correct}")
        screen.note(f"Then see that it works: {target.command('refresh', name)}")
    else:
        flags = ["--token-endpoint-auth-method", "private_key_jwt", *_names(made, made.public.kid)]
        screen.note(f"Then add the account: {target.command('add', name, flags=flags)}")
    tell_left_behind(keys, target)


def _is_named_otherwise(connection: Connection, name: str, made: SigningKey) -> bool:
    """Whether credentials name another key than a new one, as far as they may be read."""
    try:
        credentials = stored(connection, name) or {}
    except (FormError, RefusedError):
        # The key is made, whatever they say.
        return False
    kid: str = names_in(credentials).get("kid", made.public.kid)
    return kid != made.public.kid


def import_key(
    ctx: typer.Context,
    name: options.Name,
    *,
    pem: Annotated[
        Path,
        typer.Option(
            help="The private key's file: PEM, or the JSON of a Google service account.",
            show_default=False,
        ),
    ],
    alg: Annotated[
        Alg | None, typer.Option(help="What it signs by; unasked RS256, or ES256 for an EC key.")
    ] = None,
    is_next: Annotated[
        bool,
        typer.Option("--next", help="As the next key, which replaces the current: see key rotate."),
    ] = False,
    tag: options.Tags = None,
) -> None:
    """Bring a downloaded key into KMS, for an account to sign with."""
    from token_refresher_cli import key_material  # noqa: PLC0415 - it takes a while

    connection, machine = connect(ctx)
    connection.require_name(name)
    target, keys = connection.target, keys_of(connection, machine, name, tag=tag)
    role = Role.NEXT if is_next else Role.CURRENT
    if is_next:
        require_no_rotation(keys, require_current(keys, connection), target)

    def ask() -> str | None:
        if not machine.can_ask:
            return None
        return screen.TerminalAsker().secret("passphrase of the file")

    file = key_material.read(pem, ask)
    signs_by = _alg_of(file.key.spec, alg, pem)
    with screen.waiting("Importing"):
        found = _brought_in(keys, role, file, signs_by, connection)
    verb = "correct" if has_credentials(connection, name) else "add"
    screen.note(_next_step(found, file, verb, name, target))
    screen.note(f"KMS has the key now. Delete the file: {shlex.join(['rm', str(pem)])}")
    tell_left_behind(keys, target)


def _brought_in(
    keys: Keys, role: Role, file: KeyFile, alg: Alg, connection: Connection
) -> SigningKey:
    """Import a key, or find that an earlier run has.

    Raises:
        ProblemError: The account has another key.
    """
    from token_refresher_cli.key_material import wrapped  # noqa: PLC0415 - it takes a while

    def bring_in(key: KmsKey) -> None:
        try:
            keys.bring_in(key, lambda wrapping: wrapped(file.key, wrapping))
        except RefusedError as error:
            if error.code != "IncorrectKeyMaterialException":
                raise
            raise ProblemError(
                f"KMS does not take this key into {key.key_id}.",
                "One that waits takes the very key that it had: give that, or make another at the "
                "provider.",
            ) from None
        if keys.public(key) != file.key.public:
            raise ProblemError("KMS holds another key than the file's.", "Run it again.")

    key, alias = keys.find(role), keys.aliases[role]
    if key is not None and key.state == "PendingImport":
        bring_in(key)
        screen.note(f"imported into {alias}, which was waiting for it")
    elif key is not None and key.is_enabled and keys.public(key) == file.key.public:
        screen.note(f"{alias} is that key already")
    else:
        _require_none(keys, role, connection)
        return make(keys, role, file.key.spec, alg, connection.target, material=bring_in)
    return read(keys, role, key)


def _next_step(one: SigningKey, file: KeyFile, verb: str, name: str, target: Target) -> str:
    """Say what makes use of an imported key: a rotation, or the account's credentials."""
    if one.role is Role.NEXT:
        kid = ["--kid", file.kid] if file.kid else []
        switch = target.command("key rotate", name, flags=["--switch", *kid])
        return f"Where the provider knows it, have the account sign with it: {switch}"
    flags = [
        *(["--provider", file.provider] if file.provider else []),
        *(["--client-id", file.client_id] if file.client_id else []),
        *_names(one, file.kid),
    ]
    if verb == "correct" and not flags:
        return f"See that it works: {target.command('refresh', name)}"
    use = target.command(verb, name, flags=flags)
    if verb == "correct" or file.provider:
        return f"Use it: {use}"
    # Only whoever has the server knows what it calls the key.
    by_key = ["--token-endpoint-auth-method", "private_key_jwt", *_names(one, one.public.kid)]
    as_shown = target.command(verb, name, flags=by_key)
    return f"Use it as its provider says: {use}\nOr as `key jwks` shows it: {as_shown}"


def show(
    ctx: typer.Context,
    name: options.Name,
    *,
    form: Annotated[
        Format, typer.Option("--format", help="What to show: jwks, pem or certificate.")
    ] = Format.JWKS,
    only: Annotated[
        Role | None, typer.Option(help="The current, next or previous one alone.")
    ] = None,
    days: options.Days = options.DEFAULT_DAYS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that is told of the keys, for programs.")
    ] = False,
) -> None:
    """Show an account's public keys, to be pasted at its provider."""
    connection, machine = connect(ctx)
    target, keys = connection.target, keys_of(connection, machine, name)
    require_current(keys, connection)
    found = [one for one in all_of(keys) if only in {None, one.role}]
    if not found:
        _require_enabled(keys, only, target)
        rotate = target.command("key rotate", name)
        raise ProblemError(f"{name} has no {only} key.", f"To make the next one: {rotate}")
    told = [_shown(keys, one, form, days) for one in found]
    if as_json:
        screen.show_json({"account": name, "keys": told})
        return
    if form is Format.JWKS:
        screen.show_json(jwks(found))
    for one, shown in zip(found, told, strict=True):
        if form is not Format.JWKS:
            screen.show_verbatim(shown[form].rstrip())
        screen.note(describe(one))
        if form is Format.CERTIFICATE:
            screen.note(f"  valid until {shown['valid_until']}")
            screen.note(f"  x5t {shown['x5t']}")
            screen.note(f"  x5t#S256 {shown['x5t#S256']}")
            if not one.public.is_signed_alike:
                screen.note("  An EC key signs another one each time: note these, and keep it.")
    tell_left_behind(keys, target)


def _require_enabled(keys: Keys, role: Role | None, target: Target) -> None:
    """See that a key is not there at all, where none is shown.

    Raises:
        ProblemError: It is there, and tells nothing of itself.
    """
    key = keys.find(role) if role is not None else None
    if role is None or key is None or key.is_enabled:
        return
    flags = ["--next"] if role is Role.NEXT else []
    problem = unusable(keys.aliases[role], key.state, key.arn, keys.account, target, flags=flags)
    raise ProblemError(sentence(problem.what), problem.fix)


def _shown(keys: Keys, one: SigningKey, form: Format, days: int) -> dict[str, Any]:
    """Tell all of a key for a program; a certificate only where one is asked for."""
    told: dict[str, Any] = {
        "role": one.role,
        "kms_key": one.kms.arn,
        "spec": one.kms.spec,
        "created_at": one.kms.created_at,
        "kid": one.public.kid,
        "alg": one.public.alg,
        "jwk": one.public.jwk,
        "pem": one.public.pem,
    }
    if form is not Format.CERTIFICATE:
        return told
    certificate = certificate_of(keys, one, days=days)
    return {
        **told,
        "certificate": certificate.pem,
        "valid_until": f"{certificate.ends_at:%Y-%m-%d}",
        "x5t": certificate.x5t,
        "x5t#S256": certificate.x5t_s256,
    }


def _require_none(keys: Keys, role: Role, connection: Connection) -> None:
    """See that an alias is free.

    Raises:
        ProblemError: There is a key; its public half is shown.
    """
    key, target = keys.find(role), connection.target
    if key is None:
        return
    if role is Role.CURRENT:
        require_current(keys, connection)
    found = read(keys, role, key)
    screen.show_json(jwks([found]))
    tell_left_behind(keys, target)
    is_next = role is Role.NEXT
    rotate = target.command("key rotate", keys.account, flags=["--switch"] if is_next else [])
    raise ProblemError(
        f"{keys.account} has a {'next ' if is_next else ''}signing key already, of "
        f"{key.created_at:%Y-%m-%d}; no other was made.",
        f"To {'sign with' if is_next else 'replace'} it: {rotate}",
    )


def _alg_of(spec: str, alg: Alg | None, pem: Path) -> Alg:
    """Tell what an imported key signs by.

    Raises:
        ProblemError: It cannot sign by what was asked for.
    """
    fits = {Alg.ES256} if spec == EC else {Alg.RS256, Alg.PS256}
    if alg is None:
        return Alg.ES256 if spec == EC else Alg.RS256
    if alg not in fits:
        raise ProblemError(
            f"{pem} holds an {'EC' if spec == EC else 'RSA'} key, which does not sign by {alg}.",
            f"Leave --alg out, or give one of: {', '.join(sorted(fits))}.",
        )
    return alg


def _names(one: SigningKey, kid: str) -> list[str]:
    """Write the options that name a key in credentials, as far as they are not the default."""
    fields = {"kid": kid, "alg": "" if one.public.alg == Alg.RS256 else one.public.alg}
    return [
        word for name, text in fields.items() if text for word in ("--assertion", f"{name}={text}")
    ]
