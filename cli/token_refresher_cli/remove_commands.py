"""The commands that take an account away, and bring it back: remove, restore.

The order is the point. Credentials go first and come last, so that a sweep in between finds an
account without them, which it leaves alone, and never a token secret that it may not write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from token_refresher.errors import CredentialsError
from token_refresher.failures import FAILURES
from token_refresher.fixes import DENIED
from token_refresher.leases import AT_WORK, LeaseContent
from token_refresher.parsing import parse_credentials
from token_refresher.ports import CURRENT
from token_refresher_cli import options, screen
from token_refresher_cli.deployment import Aws
from token_refresher_cli.durations import say_duration
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    explain,
    says_all,
    sentence,
)
from token_refresher_cli.proof import key_trouble, upkeep
from token_refresher_cli.read_commands import connect
from token_refresher_cli.revocation import (
    Revocation,
    how_to_revoke,
    living_tokens,
    require_revocable,
    revoke_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from token_refresher.credentials import Credentials
    from token_refresher.model import Account
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.machine import Machine
    from token_refresher_cli.proof import SignedBy
    from token_refresher_cli.secrets_manager import SecretFacts


@dataclass(frozen=True, slots=True)
class _Found:
    """An account's two secrets as they are now.

    Attributes:
        account: As the program sees it.
        credentials: None where there is no such secret.
        token: Likewise.
    """

    account: Account
    credentials: SecretFacts | None
    token: SecretFacts | None

    @property
    def name(self) -> str:
        return self.account.name

    @property
    def has_token(self) -> bool:
        """Whether anything was ever published: the secret alone may hold records of failures."""
        return self.token is not None and CURRENT in self.token.metadata.stages

    @property
    def has_deleted_credentials(self) -> bool:
        """Whether its credentials are there, and marked already."""
        return self.credentials is not None and self.credentials.metadata.is_deleted

    @property
    def secrets(self) -> list[SecretFacts]:
        """In the order in which they are deleted."""
        return [one for one in (self.credentials, self.token) if one is not None]

    @property
    def to_delete(self) -> list[SecretFacts]:
        """Those that are not marked yet."""
        return [one for one in self.secrets if not one.metadata.is_deleted]

    @property
    def to_restore(self) -> list[SecretFacts]:
        """Those that are marked, the token's first."""
        return [one for one in reversed(self.secrets) if one.metadata.is_deleted]


def remove(
    ctx: typer.Context,
    names: options.Names,
    *,
    recovery_days: Annotated[
        int, typer.Option(help="For how long it can be restored.", min=7, max=30)
    ] = 30,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Revoke its tokens at the provider, for good.")
    ] = False,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
) -> None:
    """Delete accounts, which can be restored for some days. Consumers lose their tokens at once."""
    connection, machine = connect(ctx)
    found = [_look(connection, name) for name in dict.fromkeys(names)]
    for one in found:
        _require_no_replicas(connection, one)
    read = {one.name: _credentials(connection, one) for one in found}
    known = {one.name: how_to_revoke(one.name, read[one.name]) for one in found}
    keys = {one.name: _key(connection, one, read[one.name]) for one in found}
    if revoke:
        for one in found:
            require_revocable(
                connection, one.name, known[one.name], is_deleted=one.has_deleted_credentials
            )
    for one in found:
        key = keys[one.name]
        _preview(connection, one, known[one.name], key, days=recovery_days, revoke=revoke)
    found = [one for one in found if one.to_delete]
    if dry_run or not found:
        return
    _agree(found, machine, yes=yes)
    begun: list[str] = []

    def work(one: _Found) -> None:
        how = known[one.name]
        by_now = _at_rest(connection, one.name)
        revoking = None if isinstance(how, str) or not revoke else how
        _remove(connection, by_now, revoking, recovery_days, begun)
        until = connection.now() + timedelta(days=recovery_days)
        screen.show(f"removed {one.name}, which can be restored until {until:%Y-%m-%d}")
        for left in upkeep(Aws(), one.name, connection.target) if keys[one.name] else ():
            screen.note(left)

    done = _each(connection, found, work, begun)
    if done:
        screen.note(f"To bring back: {connection.target.command('restore', *done)}")
    _end(found, done, begun)


def restore(ctx: typer.Context, names: options.Names) -> None:
    """Bring back accounts that were removed, as they were."""
    connection, _ = connect(ctx)
    found = [_look(connection, name) for name in dict.fromkeys(names)]
    begun: list[str] = []

    def work(one: _Found) -> None:
        if not one.to_restore:
            screen.show(f"{one.name}: it is not removed")
            return
        for secret in one.to_restore:
            connection.people.restore(secret.secret_id)
            begun.append(one.name)
        screen.show(f"restored {one.name}")
        _say_what_comes(connection, one)

    _end(found, _each(connection, found, work, begun), begun)


def _look(connection: Connection, name: str) -> _Found:
    """Describe both secrets, also those that are to be deleted.

    Raises:
        ProblemError: There is neither.
    """
    target = connection.target
    credentials = _described(connection, target.credentials_id(name))
    token = _described(connection, target.token_id(name))
    if credentials is None and token is None:
        raise connection.unknown(name)
    account = connection.account(
        name,
        None if credentials is None else credentials.metadata,
        None if token is None else token.metadata,
    )
    return _Found(account, credentials, token)


def _require_no_replicas(connection: Connection, one: _Found) -> None:
    """Refuse to begin where one of two secrets could not be deleted.

    Raises:
        ProblemError: One has replicas.
    """
    for secret in one.to_delete:
        if secret.replicas:
            regions = ", ".join(secret.replicas)
            command = connection.target.aws(
                *("secretsmanager", "remove-regions-from-replication"),
                *("--secret-id", secret.secret_id, "--remove-replica-regions", *secret.replicas),
            )
            raise ProblemError(
                f"{secret.secret_id} has replicas in {regions}, and cannot be deleted before they "
                "are gone. Nothing was removed.",
                f"Whoever reads them there loses their tokens at once: {command}",
            )


def _described(connection: Connection, secret_id: str) -> SecretFacts | None:
    try:
        return connection.people.describe(secret_id)
    except RefusedError as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise


def _credentials(connection: Connection, one: _Found) -> Credentials | str:
    """Read an account's credentials; or say why nobody knows them."""
    if not one.account.has_credentials_secret:
        return "its credentials are gone, or are to be deleted"
    try:
        with about(connection.target.credentials_id(one.name)):
            value = connection.store.read_credentials(one.name)
        if value is None:
            return "it has no credentials yet"
        return parse_credentials(value.text)
    except RefusedError as error:
        if error.code not in DENIED:
            raise
        return "your AWS identity may not read its credentials"
    except CredentialsError:
        return "its credentials do not validate"


def _key(connection: Connection, one: _Found, credentials: Credentials | str) -> SignedBy | None:
    """Tell the KMS key that signs for an account, as far as it is known."""
    if isinstance(credentials, str):
        return None
    try:
        return connection.signing_key(credentials, one.name)
    except CredentialsError:
        # There can be none of this name.
        return None


def _preview(
    connection: Connection,
    one: _Found,
    known: Revocation | str,
    key: SignedBy | None,
    *,
    days: int,
    revoke: bool,
) -> None:
    """Show what will happen to an account."""
    facts = [("account", one.name)]
    for kind, secret in (("credentials", one.credentials), ("token", one.token)):
        if secret is None:
            facts.append((kind, "none"))
        elif secret.metadata.is_deleted:
            facts.append((kind, f"{secret.secret_id} is to be deleted already"))
        else:
            empty = " (no token yet)" if secret is one.token and not one.has_token else ""
            facts.append((kind, f"{secret.secret_id}{empty}, to be restored within {days} d"))
    if one.has_token and one.token is not None and one.token in one.to_delete:
        facts.append(("consumers", _consumers(connection, one, one.token)))
    facts.append(("at the provider", _at_the_provider(one, known, revoke=revoke)))
    if key is not None:
        facts.append(("KMS key", f"{key.alias} stays, if it is there, at 1 USD a month"))
    screen.show(screen.facts_table(facts))
    for secret in one.to_delete:
        if secret.stack is not None:
            command = connection.target.aws(
                "cloudformation", "delete-stack", "--stack-name", secret.stack
            )
            screen.note(
                f"The stack {secret.stack} has made {secret.secret_id}, and would miss it. It "
                f"keeps the secret, so if it is still there, delete it first: {command}",
                style="yellow",
            )
    if not one.to_delete:
        command = connection.target.command("restore", one.name)
        screen.note(f"{one.name} is removed already. To bring it back: {command}")


def _consumers(connection: Connection, one: _Found, token: SecretFacts) -> str:
    """Tell what those lose who read the token."""
    read_on, live_until = token.last_read_at, one.account.live_until
    if read_on is None:
        return "have not read it yet, and will be refused"
    left = (live_until - connection.now()) if live_until else timedelta(0)
    lives = f"; what they hold lives {say_duration(left)} more" if left > timedelta(0) else ""
    return f"last read it on {read_on:%Y-%m-%d}, and will be refused{lives}"


def _at_the_provider(one: _Found, known: Revocation | str, *, revoke: bool) -> str:
    if not (revoke or one.has_token or one.account.journal):
        return "no token of it is known; a refresh token in its credentials would stay valid"
    if isinstance(known, str):
        return f"its tokens stay valid until they expire: {known}"
    host = known.client.host
    if revoke:
        return f"its tokens are revoked at {host}, which no restore undoes"
    return f"its tokens stay valid until they expire; --revoke ends them at {host}"


def _agree(found: Sequence[_Found], machine: Machine, *, yes: bool) -> None:
    """Let a person agree, where none has said so before.

    Raises:
        ProblemError: Nobody has.
    """
    if yes:
        return
    if not machine.can_ask:
        raise ProblemError(
            "There is nobody to agree to that.", "Give --yes to remove all the same."
        )
    what = found[0].name if len(found) == 1 else f"these {len(found)} accounts"
    if not typer.confirm(f"Remove {what}?", err=True):
        raise ProblemError("Nothing was removed.")


def _remove(
    connection: Connection, one: _Found, how: Revocation | None, days: int, begun: list[str]
) -> None:
    """Delete an account's secrets, and have its tokens revoked in between.

    By then no sweep begins to send a refresh token that was revoked. Where one cannot be revoked,
    or a refresh is under way, the credentials are put back.

    Raises:
        CredentialsError: Its refresh token came from elsewhere; nothing was done.
        RefusedError: Secrets Manager refused.
        ProblemError: A token was not revoked, or is being refreshed.
    """
    people, credentials, token = connection.people, one.credentials, one.token
    # Read before anything is marked, which could be read no more.
    tokens = [] if how is None else living_tokens(connection, one.name, how)
    if credentials is not None and credentials in one.to_delete:
        people.delete(credentials.secret_id, recovery_days=days)
        try:
            _require_unchanged(connection, one.name, credentials)
            for client, hint, text in tokens:
                revoke_token(connection, one.name, client, hint, text)
        except (KeyboardInterrupt, ProblemError, RefusedError) as error:
            try:
                people.restore(credentials.secret_id)
            except RefusedError:
                if not isinstance(error, KeyboardInterrupt):
                    screen.show_problem(explain(error, connection.target))
                raise
            raise
        begun.append(one.name)
    if token is not None and token in one.to_delete:
        people.delete(token.secret_id, recovery_days=days)


def _at_rest(connection: Connection, name: str) -> _Found:
    """Look at an account again, right before it is removed: a person may have agreed slowly.

    Raises:
        ProblemError: A refresh is under way, whose response would have no place to be kept in.
    """
    one = _look(connection, name)
    account = one.account
    if account.lease is None or account.lease_end is not None:
        return one
    try:
        with about(connection.target.credentials_id(name)):
            value = connection.store.read_version(name, account.lease)
    except RefusedError as error:
        if error.code in DENIED:
            # What is missed here `_require_unchanged` may still see.
            return one
        raise
    lease = LeaseContent.from_json(value.text) if value is not None else None
    if lease is None:
        return one
    journal = account.journal
    is_kept = journal is not None and journal.issued_at >= lease.time - timedelta(seconds=1)
    if not is_kept and connection.now() - lease.time < AT_WORK:
        raise _under_way(connection, name)
    return one


def _require_unchanged(connection: Connection, name: str, before: SecretFacts) -> None:
    """See that no refresh has begun or ended since an account was looked at.

    Raises:
        ProblemError: One has.
    """
    if connection.people.describe(before.secret_id).metadata.stages != before.metadata.stages:
        raise _under_way(connection, name)


def _under_way(connection: Connection, name: str) -> ProblemError:
    return ProblemError(
        f"{name} is being refreshed, and stays.",
        "Give the same command again in two minutes, and see until then: "
        f"{connection.target.command('status', name)}",
    )


def _each(
    connection: Connection,
    found: Sequence[_Found],
    work: Callable[[_Found], None],
    begun: Collection[str],
) -> list[str]:
    """Do something with each account; what is refused for one does not stop the others.

    Returns:
        Those with which it was done.
    """
    done = []
    for one in found:
        try:
            work(one)
        except KeyboardInterrupt:
            screen.note(f"Interrupted at {one.name}: the same command goes on with it.")
            raise typer.Exit(INTERRUPTED) from None
        except (*FAILURES, ProblemError, RefusedError) as error:
            screen.show_problem(explain(error, connection.target))
            if one.name in begun:
                screen.note(f"{one.name} is half done: the same command goes on with it.")
            if isinstance(error, RefusedError) and says_all(error.code):
                break
        else:
            done.append(one.name)
    return done


def _end(found: Sequence[_Found], done: Sequence[str], begun: Sequence[str]) -> None:
    if len(done) < len(found):
        raise typer.Exit(ExitCode.ACTION_REQUIRED if done or begun else ExitCode.NOTHING_DONE)


def _say_whether_it_signs(connection: Connection, name: str) -> None:
    """Say what became of the KMS key of an account that is back, where it cannot sign any more."""
    try:
        one = _look(connection, name)
        key = _key(connection, one, _credentials(connection, one))
        trouble = key_trouble(Aws(), key, name, connection.target) if key is not None else None
    except RefusedError:
        # But a courtesy: the next sweep tells, too.
        return
    if trouble is not None:
        screen.note(sentence(trouble.what), style="yellow")
        screen.note(trouble.fix)


def _say_what_comes(connection: Connection, one: _Found) -> None:
    """Say what the next sweep makes of an account that is back."""
    target = connection.target
    _say_whether_it_signs(connection, one.name)
    if one.credentials is None:
        screen.note(f"{one.name} has no credentials any more: {target.command('add', one.name)}")
        return
    live_until = one.account.live_until
    left = (live_until - connection.now()) if live_until else timedelta(0)
    if left > timedelta(0):
        force = target.command("refresh", one.name, flags=["--force"])
        screen.note(
            f"Its token lives {say_duration(left)} more. If it was revoked, get another: {force}"
        )
    else:
        at_once = target.command("refresh", one.name)
        screen.note(f"The next sweep gets a token; or at once: {at_once}")
