"""An account's signing keys, made so that none is left that costs and nobody sees; and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from token_refresher.errors import CredentialsError
from token_refresher.parsing import parse_credentials
from token_refresher_cli import screen
from token_refresher_cli.fields import read_object
from token_refresher_cli.kms_keys import Keys, KmsKey, Role
from token_refresher_cli.machine import without_interruption
from token_refresher_cli.problems import (
    Problem,
    ProblemError,
    RefusedError,
    about,
    explain,
    sentence,
)
from token_refresher_cli.proof import missing, unusable
from token_refresher_cli.secrets_manager import AlreadyThereError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from token_refresher_cli.connection import Connection
    from token_refresher_cli.machine import Machine
    from token_refresher_cli.public_keys import Certificate, PublicKey
    from token_refresher_cli.target import Target

OF_CERTIFICATES: Final = ("x5t", "x5t#S256")
# What an assertion's header may name its key by.
NAMES: Final = ("kid", *OF_CERTIFICATES)
# After which nobody knows whether a call was made.
_LOST: Final = frozenset({"ConnectionClosedError", "ReadTimeoutError"})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of an account.

    Attributes:
        role: What it is to the account.
        kms: What KMS tells of it.
        public: What providers get.
    """

    role: Role
    kms: KmsKey
    public: PublicKey


def keys_of(
    connection: Connection, machine: Machine, name: str, *, tag: Iterable[str] | None = None
) -> Keys:
    """Reach the keys of an account, whether or not it is there.

    Args:
        connection: Where.
        machine: It waits.
        name: The account's.
        tag: As ``--tag`` was given, for keys that are made.

    Raises:
        ProblemError: No key can have its name.
    """
    try:
        prefix, tags = connection.target.secret_prefix, connection.tags(tag)
        return Keys(prefix, name, pause=machine.pause, tags=tags)
    except CredentialsError as error:
        raise ProblemError(
            f"{name}: {error}.",
            "No character is replaced, for two accounts must never have one key: give the account "
            "another name.",
        ) from None


def make(
    keys: Keys,
    role: Role,
    spec: str,
    alg: str,
    target: Target,
    *,
    material: Callable[[KmsKey], None] | None = None,
) -> SigningKey:
    """Make a key and give it its alias; where the latter fails it is to be deleted.

    Ctrl-C does not come between the two.

    Args:
        keys: The account's.
        role: The alias that it gets; there is none yet.
        spec: KMS's word for its kind.
        alg: What it is for.
        target: Where.
        material: Brings a key in that was made elsewhere.

    Raises:
        ProblemError: There is no such key; it says what became of one that was begun.
    """
    with without_interruption() as is_pressed:
        try:
            key = keys.make(spec, alg, is_imported=material is not None)
        except RefusedError as error:
            if error.code not in _LOST:
                raise
            raise ProblemError(
                "AWS did not answer: it may have made a key all the same.",
                "Run it again: it tells which keys were left without an alias.",
                is_under_way=True,
            ) from None
        # Whatever ends this now, its id is on the screen.
        screen.note(f"made the KMS key {key.key_id}")
        try:
            if material is not None:
                material(key)
            found = read(keys, role, key)
            keys.point(role, key)
        except (ProblemError, RefusedError) as error:
            _undo(keys, role, key, error, target)
            found = read(keys, role, key)
        screen.note(f"created {keys.aliases[role]}")
    if is_pressed():
        raise KeyboardInterrupt
    return found


def _undo(
    keys: Keys, role: Role, key: KmsKey, error: ProblemError | RefusedError, target: Target
) -> None:
    """Have a key deleted that got no alias; one that got it stays, even if no answer said so.

    Raises:
        ProblemError: It got none.
    """
    problem = explain(error, target)
    try:
        found = keys.find(role)
        if found is not None and found.arn == key.arn:
            return
        at = keys.schedule_deletion(key)
    except (ProblemError, RefusedError):
        delete = deletion(key, target)
        raise ProblemError(
            f"{problem.what} The KMS key {key.key_id} was made, and costs.",
            f"{problem.fix} If it has no alias, delete it: {delete}".lstrip(),
            is_under_way=True,
        ) from None
    raise ProblemError(
        f"{problem.what} The KMS key {key.key_id} is to be deleted on {at:%Y-%m-%d}, and costs "
        "nothing until then.",
        problem.fix,
    ) from None


def read(keys: Keys, role: Role, key: KmsKey) -> SigningKey:
    """Read a key's public half, by its id: a new alias may not be found yet."""
    from token_refresher_cli.public_keys import PublicKey  # noqa: PLC0415

    return SigningKey(role, key, PublicKey(keys.public(key), keys.alg(key)))


def certificate_of(keys: Keys, key: SigningKey, *, days: int) -> Certificate:
    """Have a key sign a certificate of itself: one call."""
    from token_refresher_cli.public_keys import self_signed  # noqa: PLC0415

    return self_signed(
        key.public,
        begins=key.kms.created_at,
        days=days,
        sign=lambda message: keys.sign(key.role, key.kms, message),
    )


def all_of(keys: Keys) -> list[SigningKey]:
    """Read all keys of an account that a server may see: the current, next and previous one."""
    found: list[SigningKey] = []
    for role in Role:
        key = keys.find(role)
        if key is not None and key.arn in {one.kms.arn for one in found}:
            # A rotation was cut short: it is one key for now.
            continue
        if key is not None and key.is_enabled:
            found.append(read(keys, role, key))
        elif key is not None:
            screen.note(f"{role}: the KMS key {key.key_id} is {key.state}, and not shown")
    return found


def require_current(keys: Keys, connection: Connection) -> KmsKey:
    """Find the key that an account signs with.

    Raises:
        ProblemError: There is none, or it signs nothing; it says what to do.
    """
    key, alias, target = keys.find(Role.CURRENT), keys.aliases[Role.CURRENT], connection.target
    if key is None:
        problem = _without_key(keys, connection)
    elif not key.is_enabled:
        problem = unusable(alias, key.state, key.arn, keys.account, target)
    else:
        return key
    raise ProblemError(sentence(problem.what), problem.fix)


def _without_key(keys: Keys, connection: Connection) -> Problem:
    """Say that an account has no key; or that there is none such, or that it needs no key."""
    name, target = keys.account, connection.target
    problem = missing(keys.aliases[Role.CURRENT], name, target)
    if not has_credentials(connection, name):
        unknown = connection.unknown(name).problem
        # Whoever has mistyped a name makes no key for it.
        fix = problem.fix if unknown.fix else ""
        return Problem(f"{sentence(problem.what)} {unknown.what}", fix)
    try:
        with about(target.credentials_id(name)):
            value = connection.store.read_credentials(name)
        credentials = parse_credentials(value.text if value is not None else None)
        if connection.signing_key(credentials, name) is not None:
            return problem
    except (CredentialsError, RefusedError):
        # What they say is not seen.
        return problem
    check = target.command("check", name)
    return Problem(
        f"{sentence(problem.what)} {name} needs none: its credentials sign nothing by KMS.",
        f"See by what it proves who it is: {check}",
    )


def require_no_rotation(keys: Keys, current: KmsKey, target: Target) -> None:
    """See that no rotation is to be finished before another begins.

    Raises:
        ProblemError: The last one has left the previous key.
    """
    previous = keys.find(Role.PREVIOUS)
    if previous is not None and previous.arn != current.arn:
        finish = target.command("key rotate", keys.account, flags=["--finish"])
        raise ProblemError(
            f"The last rotation of {keys.account} is not finished: its previous key is there.",
            f"Finish it first: {finish}",
        )


def jwks(found: Sequence[SigningKey]) -> dict[str, Any]:
    """Write keys as a JWK set (RFC 7517 section 5)."""
    return {"keys": [one.public.jwk for one in found]}


def describe(one: SigningKey) -> str:
    """Say which key it is, as far as no provider is told."""
    made = f"{one.kms.created_at:%Y-%m-%d}"
    return f"{one.role}: kid {one.public.kid}, {one.kms.spec} of {made}"


def tell_left_behind(keys: Keys, target: Target) -> None:
    """Tell the keys of an account that nobody would see, where that may be known."""
    try:
        left = keys.left_behind()
    except (ProblemError, RefusedError):
        # But a courtesy; whoever may not look has been told of each key when it was made.
        return
    for key in left:
        screen.note(
            f"The KMS key {key.key_id} was made for {keys.account} and has no alias, so nothing "
            f"signs with it, and it costs. If nobody needs it, delete it: {deletion(key, target)}",
            style="yellow",
        )


def require_none_left_behind(keys: Keys, target: Target) -> None:
    """See that no key of an account has lost its alias, where that may be known.

    Raises:
        ProblemError: One has, and could sign; the ways on were told.
    """
    try:
        lost = [key for key in keys.left_behind() if key.is_for_signing and key.is_enabled]
        left = [read(keys, Role.CURRENT, key) for key in lost]
    except (ProblemError, RefusedError):
        # As above.
        return
    if not left:
        return
    alias, name = keys.aliases[Role.CURRENT], keys.account
    for one in left:
        words = ("--alias-name", alias, "--target-key-id", one.kms.key_id)
        screen.note(
            f"The KMS key {one.kms.key_id} was made for {name} on {one.kms.created_at:%Y-%m-%d} "
            f"and has no alias; its kid is {one.public.kid}."
        )
        screen.note(f"To sign with it: {target.aws('kms', 'create-alias', *words)}")
        screen.note(f"For a new one instead, delete it first: {deletion(one.kms, target)}")
    raise ProblemError(
        f"{name} has a key without its alias, which its provider may know; no other was made.",
        "Put the alias back, or have the key deleted and run this again.",
    )


def deletion(key: KmsKey, target: Target) -> str:
    """Write the command that deletes a key."""
    return target.aws("kms", "schedule-key-deletion", "--key-id", key.key_id)


def stored(connection: Connection, name: str) -> dict[str, Any] | None:
    """Read the credentials of an account; None where there are none."""
    with about(connection.target.credentials_id(name)):
        value = connection.store.read_credentials(name)
    if value is None or value.text is None:
        return None
    return read_object(value.text, name=f"what is stored for {name}")


def names_in(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what credentials name their key by; nothing where by nothing."""
    said = credentials.get("assertion")
    if not isinstance(said, dict):
        return {}
    return {each: said[each] for each in NAMES if said.get(each) is not None}


def has_credentials(connection: Connection, name: str) -> bool:
    """Whether an account is there, as far as that may be seen."""
    try:
        connection.people.require_free(name)
    except AlreadyThereError:
        return True
    except RefusedError as error:
        # They are to be deleted, or nobody can tell.
        return error.code == "InvalidRequestException"
    return False
