"""The command that replaces a signing key, so that a server knows whatever signs at any time.

Three steps, each of which does what is left of it when it is run again: the next key is made and
published beside the current one; the alias moves, and the credentials name the new key; the
previous key is deleted.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from token_refresher import policy
from token_refresher_cli import options, screen
from token_refresher_cli.fields import to_credentials
from token_refresher_cli.kms_keys import EC, RECOVERY_DAYS, Role
from token_refresher_cli.machine import without_interruption
from token_refresher_cli.problems import ProblemError, RefusedError, explain
from token_refresher_cli.proof import unusable
from token_refresher_cli.read_commands import connect
from token_refresher_cli.signing_keys import (
    OF_CERTIFICATES,
    SigningKey,
    all_of,
    certificate_of,
    describe,
    jwks,
    keys_of,
    make,
    names_in,
    read,
    require_current,
    require_no_rotation,
    stored,
    tell_left_behind,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from token_refresher_cli.connection import Connection
    from token_refresher_cli.kms_keys import Keys, KmsKey


def rotate(  # noqa: PLR0913 - its options, as Typer takes them
    ctx: typer.Context,
    name: options.Name,
    *,
    switch: Annotated[
        bool, typer.Option("--switch", help="Second: sign with the next key, now published.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Third: delete the previous key, in 30 days.")
    ] = False,
    kid: Annotated[
        str | None,
        typer.Option(
            help="With --switch: what the provider calls the new key, if not by its thumbprint."
        ),
    ] = None,
    leave_credentials: Annotated[
        bool,
        typer.Option(
            "--leave-credentials", help="With --switch: you put the new key's name there."
        ),
    ] = False,
    days: options.Days = options.DEFAULT_DAYS,
    tag: options.Tags = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --finish: though no token shows the new key works.")
    ] = False,
) -> None:
    """Replace a signing key in three steps: make the next one, --switch, --finish."""
    if switch and finish:
        raise typer.BadParameter("--switch and --finish are two steps.")
    if (kid is not None or leave_credentials) and not switch:
        raise typer.BadParameter("--kid and --leave-credentials go with --switch.")
    if kid is not None and leave_credentials:
        raise typer.BadParameter("--kid is for the credentials, which --leave-credentials leaves.")
    if yes and not finish:
        raise typer.BadParameter("--yes goes with --finish.")
    if tag and (switch or finish):
        raise typer.BadParameter("--tag is for the step that makes a key.")
    connection, machine = connect(ctx)
    rotation = _Rotation(connection, keys_of(connection, machine, name, tag=tag))
    if switch:
        rotation.switch(kid=kid, leaves_credentials=leave_credentials, days=days)
    elif finish:
        rotation.finish(yes=yes)
    else:
        rotation.begin()


@dataclass(frozen=True, slots=True, repr=False)
class _Renamed:
    """What is to be put into credentials, so that they name the new key.

    Attributes:
        text: All of them.
        fields: What differs, by name.
    """

    text: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Rotation:
    """Of one account's key."""

    connection: Connection
    keys: Keys

    def begin(self) -> None:
        """Make the next key, unless it is there, and show all that must be published now."""
        target, keys = self.connection.target, self.keys
        current = require_current(keys, self.connection)
        require_no_rotation(keys, current, target)
        is_unnamed = self._warn_of_no_name(current)
        coming = keys.find(Role.NEXT)
        if coming is None:
            make(keys, Role.NEXT, current.spec, keys.alg(current), target)
        elif not coming.is_enabled:
            raise self._unusable(coming)
        found = all_of(keys)
        screen.show_json(jwks([one for one in found if one.role is not Role.PREVIOUS]))
        for one in found:
            screen.note(describe(one))
        flags = ["--format", "certificate", "--only", "next"]
        certificate = target.command("key jwks", keys.account, flags=flags)
        when = "once its credentials name the current one" if is_unnamed else "now"
        screen.note(
            f"Publish both at the provider {when}; until you switch, it sees the current one."
        )
        screen.note(
            "Where it takes certificates (Entra, NetSuite, Salesforce), upload the next one's "
            f"beside the other before you switch: {certificate}"
        )
        screen.note(f"Then sign with the next key: {self._command('--switch')}")
        tell_left_behind(keys, target)

    def _warn_of_no_name(self, current: KmsKey) -> bool:
        """Say where credentials name no key, which serves only while a server knows one alone."""
        credentials, name = self._stored(), self.keys.account
        if credentials is None or names_in(credentials):
            return False
        kid = read(self.keys, Role.CURRENT, current).public.kid
        correct = self.connection.target.command(
            "correct", name, flags=["--assertion", f"kid={kid}"]
        )
        screen.note(
            f"The credentials of {name} name no key, and a server that knows two may refuse what "
            f"names none. Where it has a JWKS, do this before you publish both: {correct}",
            style="yellow",
        )
        return True

    def switch(self, *, kid: str | None, leaves_credentials: bool, days: int) -> None:
        """Have the account sign with the next key, and its credentials name that.

        A run that was cut short at any call is finished by the next one: the alias of the
        previous key is made before the current one moves, and the next one's goes last.
        """
        keys, name = self.keys, self.keys.account
        current = require_current(keys, self.connection)
        coming, previous = keys.find(Role.NEXT), keys.find(Role.PREVIOUS)
        old, new = self._old_and_new(current, coming, previous)
        renamed = None
        if not leaves_credentials:
            is_moved = new.arn == current.arn
            renamed = self._renamed(
                read(keys, Role.PREVIOUS if is_moved else Role.CURRENT, old),
                read(keys, Role.CURRENT if is_moved else Role.NEXT, new),
                kid=kid,
                days=days,
            )
        with without_interruption():
            if new.arn != current.arn:
                keys.note_switch(new, self.connection.now())
                if previous is None:
                    keys.point(Role.PREVIOUS, old)
                keys.move(Role.CURRENT, new)
            screen.show(f"{keys.aliases[Role.CURRENT]} is the new key, {new.key_id}")
            if renamed is not None:
                self._put(renamed)
            if coming is not None:
                with self._under_way(f"{name} signs with the new key already."):
                    keys.forget(Role.NEXT)
        if leaves_credentials:
            named = read(keys, Role.CURRENT, new)
            screen.note(f"{describe(named)}: correct what its credentials name by the old one.")
        target = self.connection.target
        refresh = target.command("refresh", name, flags=["--force"])
        check = target.command("check", name, flags=["--try"])
        when = f"from {at:%H:%M} UTC on" if (at := self._held_until()) else "at once"
        screen.note(f"The next refresh signs with it by itself; to see it {when}: {refresh}")
        screen.note(f"Or only try it, unless the account has a refresh token: {check}")
        screen.note(
            f"Then take the previous key from the provider, and: {self._command('--finish')}"
        )

    def finish(self, *, yes: bool) -> None:
        """Have the previous key deleted; until then it costs nothing, and can be kept.

        Raises:
            ProblemError: The rotation is not so far, or nothing shows that the new key works and
                nobody has said ``--yes``.
        """
        target, keys = self.connection.target, self.keys
        current = require_current(keys, self.connection)
        coming, previous = keys.find(Role.NEXT), keys.find(Role.PREVIOUS)
        if previous is None and coming is None:
            raise ProblemError(
                f"{keys.account} has no previous key: nothing was switched, or all is finished.",
                f"To replace the key that it has: {self._command()}",
            )
        if previous is None or current.arn in {previous.arn, coming.arn if coming else ""}:
            raise ProblemError(
                f"{keys.account} was not switched to its next key, or not wholly.",
                f"Do that first: {self._command('--switch')}",
            )
        credentials = self._stored()
        named = names_in(credentials or {})
        old_kid = ""
        if previous.is_enabled:
            old_kid = read(keys, Role.PREVIOUS, previous).public.kid
            if named.get("kid") == old_kid:
                raise ProblemError(
                    f"The credentials of {keys.account} name the previous key.",
                    f"Have them name the current one: {self._command('--switch')}",
                )
        back = self._way_back(current, previous, named, old_kid)
        if previous.state != "PendingDeletion":
            if credentials is not None and not yes:
                self._require_proof(current, back)
            at = keys.schedule_deletion(previous, days=RECOVERY_DAYS)
            screen.show(f"the KMS key {previous.key_id} is to be deleted on {at:%Y-%m-%d}")
        with self._under_way(f"The KMS key {previous.key_id} is to be deleted already."):
            keys.forget(Role.PREVIOUS)
        by_id = ("--key-id", previous.key_id)
        cancel, enable = (
            target.aws("kms", what, *by_id) for what in ("cancel-key-deletion", "enable-key")
        )
        screen.note(f"Until then it costs nothing. If something still needs it: {cancel}")
        screen.note(f"Then enable it: {enable}")
        for each in back:
            screen.note(each)
        tell_left_behind(keys, target)

    def _require_proof(self, current: KmsKey, back: list[str]) -> None:
        """See that a token was issued since the switch, and that no attempt has failed since.

        Raises:
            ProblemError: Nothing shows that the provider takes the new key.
        """
        name, target = self.keys.account, self.connection.target
        since = self.keys.signs_since(current)
        [account] = self.connection.described([name])
        issued_at = account.published.issued_at if account.published else None
        failure = account.failure
        if failure is not None and failure.failures:
            what = f"The last refresh of {name} has failed ({failure.code})"
        elif since is None or issued_at is None or issued_at <= since:
            what = f"{name} has had no token since it was switched to its new key"
        else:
            return
        for each in back:
            screen.note(each)
        refresh = target.command("refresh", name, flags=["--force"])
        at = self._held_until()
        when = f", from {at:%H:%M} UTC on," if at else ""
        raise ProblemError(
            f"{what}: it is not shown that the provider takes the new key. Nothing was changed.",
            f"Have a token issued{when} and run this again, or give --yes as well: {refresh}",
        )

    def _held_until(self) -> datetime | None:
        """Tell until when no token is asked for, not by force either; None for now, or unknown."""
        now = self.connection.now()
        try:
            [account] = self.connection.described([self.keys.account])
        except (ProblemError, RefusedError):
            # It may not be there yet, and whoever replaces keys need not be allowed to see it.
            return None
        before = self.connection.settings.refresh_before
        decision = policy.decide(account, now=now, refresh_before=before, force=True)
        return None if decision.due else policy.next_attempt(account, decision.reason)

    def _way_back(
        self, current: KmsKey, previous: KmsKey, named: Mapping[str, str], old_kid: str
    ) -> list[str]:
        """Say how an account signs with its previous key again, once that is enabled."""
        target, alias = self.connection.target, self.keys.aliases[Role.CURRENT]
        words = ("--alias-name", alias, "--target-key-id", previous.key_id)
        back = target.aws("kms", "update-alias", *words)
        said = [f"To sign with the previous key again: {back}"]
        kid = read(self.keys, Role.CURRENT, current).public.kid
        if old_kid and named == {"kid": kid}:
            flags = ["--assertion", f"kid={old_kid}"]
            correct = target.command("correct", self.keys.account, flags=flags)
            said.append(f"And have its credentials name that: {correct}")
        elif named:
            said.append(f"Then correct its {' and '.join(named)}, as before the switch.")
        return said

    def _old_and_new(
        self, current: KmsKey, coming: KmsKey | None, previous: KmsKey | None
    ) -> tuple[KmsKey, KmsKey]:
        """Tell which key is replaced by which, also where a run was cut short.

        Raises:
            ProblemError: There is no next key, or another rotation is not finished.
        """
        is_moved = coming is None or coming.arn == current.arn
        if is_moved and previous is not None and previous.arn != current.arn:
            return previous, current
        require_no_rotation(self.keys, current, self.connection.target)
        if coming is None:
            raise ProblemError(
                f"{self.keys.account} has no next key.", f"Make it first: {self._command()}"
            )
        if not coming.is_enabled:
            raise self._unusable(coming)
        return current, coming

    def _unusable(self, coming: KmsKey) -> ProblemError:
        """Say why the next key signs nothing."""
        alias, account = self.keys.aliases[Role.NEXT], self.keys.account
        target, flags = self.connection.target, ["--next"]
        problem = unusable(alias, coming.state, coming.arn, account, target, flags=flags)
        return ProblemError(f"The next key does not sign: {problem.what}.", problem.fix)

    def _renamed(
        self, old: SigningKey, new: SigningKey, *, kid: str | None, days: int
    ) -> _Renamed | None:
        """Tell what the credentials must say; None where they say it, or nothing.

        Raises:
            ProblemError: They name a key that is not the old one; nothing was moved.
        """
        stored = self._stored()
        assertion = None if stored is None else stored.get("assertion", {})
        if stored is None or not isinstance(assertion, dict):
            if kid is None:
                return None
            raise ProblemError(
                f"{self.keys.account} has no credentials that could name its key.",
                f"Leave --kid out: {self._command('--switch')}",
            )
        named = names_in(stored)
        by_certificate = any(each in named for each in OF_CERTIFICATES)
        before, after = (
            {"kid": key.public.kid, **(self._digests(key, days) if by_certificate else {})}
            for key in (old, new)
        )
        if kid is not None:
            named.setdefault("kid", "")
            before["kid"], after["kid"] = named["kid"], kid
        fields, foreign = {}, []
        for each, text in named.items():
            if text == after.get(each):
                continue
            if text == before.get(each):
                fields[each] = after[each]
            else:
                foreign.append(each)
        if foreign:
            raise self._foreign(foreign, after, days)
        if (old.kms.spec == EC) != (new.kms.spec == EC) and assertion.get("alg") != new.public.alg:
            # A key of another kind signs by nothing that the old one did.
            fields["alg"] = new.public.alg
        if not fields:
            return None
        stored["assertion"] = {**assertion, **fields}
        return _Renamed(to_credentials(stored)[1], fields)

    def _foreign(self, foreign: list[str], after: Mapping[str, str], days: int) -> ProblemError:
        """Say that credentials name a key as nobody here does."""
        name = self.keys.account
        if "kid" in foreign:
            switch = self._command("--switch", "--kid", "KID")
            return ProblemError(
                f"The kid in the credentials of {name} is not the old key's thumbprint, but a name "
                "that the provider has given it. Nothing was changed.",
                f"Give what the provider calls the new key, in the place of KID: {switch}",
            )
        leave = self._command("--switch", "--leave-credentials")
        why = f"of {days} days" if foreign[0] in after else "of an EC key, which differ each time"
        return ProblemError(
            f"The {foreign[0]} in the credentials of {name} is of none of the old key's "
            f"certificates {why}. Nothing was changed.",
            "Give the --days that it was made with, or put the new one's in yourself right after: "
            f"{leave}",
        )

    def _digests(self, key: SigningKey, days: int) -> dict[str, str]:
        """Tell what credentials name a key's certificate by; nothing where that cannot be told."""
        if not key.public.is_signed_alike:
            return {}
        certificate = certificate_of(self.keys, key, days=days)
        return {"x5t": certificate.x5t, "x5t#S256": certificate.x5t_s256}

    def _put(self, renamed: _Renamed) -> None:
        """Have the credentials name the new key.

        Raises:
            ProblemError: They could not be written; the same command does what is left.
        """
        with self._under_way("The credentials still name the old key, which signs no longer."):
            self.connection.people.replace_credentials(self.keys.account, renamed.text)
        said = ", ".join(f"{field} {value}" for field, value in renamed.fields.items())
        screen.show(f"put into its credentials: {said}")

    @contextmanager
    def _under_way(self, so_far: str) -> Iterator[None]:
        """Say of a call that AWS refuses that others have changed something already."""
        try:
            yield
        except RefusedError as error:
            problem = explain(error, self.connection.target)
            raise ProblemError(
                f"{problem.what} {so_far}",
                f"{problem.fix} Then run the same command again.".lstrip(),
                is_under_way=True,
            ) from None

    def _stored(self) -> dict[str, Any] | None:
        """Read the credentials; None where there are none."""
        return stored(self.connection, self.keys.account)

    def _command(self, *flags: str) -> str:
        return self.connection.target.command("key rotate", self.keys.account, flags=flags)
