"""The command that looks at an account as a refresh would, and stops short of publishing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from token_refresher import judgement
from token_refresher.errors import ExternalSecretError, FailureClass, SigningError
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.journal import Journal, JournalEntry
from token_refresher.oauth.errors import OAuthError
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher_cli import options, screen
from token_refresher_cli.accounts import status_of
from token_refresher_cli.cautions import cautions
from token_refresher_cli.client_certificate import require_in_force
from token_refresher_cli.deployment import Aws
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.exchange import Exchange, WatchedExchanges, secrets_in, shown
from token_refresher_cli.exit_codes import ExitCode
from token_refresher_cli.masking import Mask
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    explain,
    failure_text,
    is_persons,
    sentence,
)
from token_refresher_cli.proof import (
    OF_KEYS,
    authentication_of,
    found_by,
    key_trouble,
    over_by_now,
    told,
)
from token_refresher_cli.read_commands import connect, stored

if TYPE_CHECKING:
    from token_refresher.credentials import Credentials
    from token_refresher.failures import Failure
    from token_refresher.model import Account
    from token_refresher.oauth.client_authentication import Client
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.machine import Machine


@dataclass(frozen=True, slots=True)
class _Ready:
    """An account that a refresh would ask a token for.

    Attributes:
        credentials: As stored.
        client: Theirs, as a request has it.
        journal: As a refresh would read it.
    """

    credentials: Credentials
    client: Client
    journal: Journal


def check(
    ctx: typer.Context,
    name: options.Name,
    *,
    try_it: Annotated[
        bool, typer.Option("--try", help="Ask the token endpoint too, and publish nothing.")
    ] = False,
    show_response: Annotated[
        bool,
        typer.Option(
            "--show-response",
            help="With --try: show request and response with secrets masked, to a terminal only.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --try.")] = False,
) -> None:
    """Look at an account as a refresh does, and change nothing. Exits with 1 if it would fail.

    Also if the function's last attempt with these very credentials failed, and needs a person.
    """
    connection, machine = connect(ctx)
    if show_response:
        _require_terminal(machine, try_it=try_it)
    seen: list[Exchange] = []
    make = partial(WatchedExchanges, seen=seen.append) if show_response else TokenEndpoint
    look = _Look(connection, connection.endpoint(make), name, is_forced=try_it)
    has_failed, can_sign = False, None
    try:
        ready = look.ready()
        _say_that_it_is_ready(connection, name, ready)
        if not try_it:
            can_sign = _tell_of_signing(connection, look.account, ready)
            has_failed = can_sign is False
        if try_it:
            _require_agreement(connection, machine, look.account, ready, yes=yes)
            screen.show(f"{name}: {_tried(connection, look, ready, seen)}")
    except FAILURES as error:
        if isinstance(error, SigningError) and is_persons(error.code):
            # It tells nothing of the account, whose function signs by a permission of its own.
            raise
        has_failed = True
        kind = failure_text(error.code, failure_class_of(error), is_here=True)
        screen.note(f"{name}: {kind}", style="bold red")
        screen.note(f"{error}")
        if fix := _fix(connection, error, name):
            screen.note(fix)
        if isinstance(error, OAuthError) and error.status and try_it and not show_response:
            flags = ["--try", "--show-response"]
            again = connection.target.command("check", name, flags=flags)
            screen.note(f"To see what came back, in a terminal: {again}")
    if not try_it:
        has_failed |= _tell_what_is_on_record(
            connection, look.account, has_failed=has_failed, can_sign=can_sign
        )
    if has_failed:
        raise typer.Exit(ExitCode.ACTION_REQUIRED)


def _fix(connection: Connection, error: Failure, name: str) -> str:
    """Say what helps, but for what the error says by itself."""
    if hint := connection.doubt(error.code, name):
        return hint
    # A host that is not allowed is told with its way out.
    is_said = error.code == "host_not_allowed" and "; " in str(error)
    return "" if is_said else connection.fix_for(error.code, name)


def _require_terminal(machine: Machine, *, try_it: bool) -> None:
    if not try_it:
        raise ProblemError("--show-response needs --try: else nothing is sent.")
    if not machine.prints_to_a_person:
        raise ProblemError(
            "What is sent and what comes back is shown to a terminal alone.",
            "Leave out --show-response, or run it where its output is neither piped nor kept.",
        )


class _Look:
    """Looks at an account in the order of a refresh.

    Args:
        connection: Where.
        endpoint: Where tokens come from.
        name: The account's.
        is_forced: Whether what a person forces is done, as by ``refresh --force``.

    Attributes:
        account: As it is known now.
    """

    def __init__(
        self, connection: Connection, endpoint: TokenEndpoint, name: str, *, is_forced: bool
    ) -> None:
        self._connection, self.endpoint, self._is_forced = connection, endpoint, is_forced
        with about(connection.target.token_id(name)):
            token = connection.store.describe_token(name)
        self.account = connection.account(name, None, token)

    def ready(self) -> _Ready:
        """Look at all that a refresh looks at before it asks.

        Raises:
            CredentialsError: They do not validate, or may not be used.
            ExternalSecretError: The token secret holds what others wrote, and nobody forces it.
            ProblemError: There are none.
            RefusedError: Secrets Manager did not answer.
            SecretStoreError: The token secret is to be deleted.
            TokenEndpointError: The client may not be sent where it says.
        """
        connection, name, settings = self._connection, self.account.name, self._connection.settings
        judgement.require_kept(self.account.token)
        with about(connection.target.token_id(name)):
            self.account = judgement.with_times_read(self.account, connection.store)
        value, uses = stored(connection, name), settings.uses_refresh_tokens
        if value.text == "":
            # Some tools create a secret with an empty text instead of no value.
            correct = connection.target.command("correct", name)
            raise ProblemError(f"{name} has no credentials yet.", f"Put them: {correct}")
        self.account = replace(self.account, credentials_version=value.version_id)
        credentials = judgement.usable_credentials(value.text, uses_refresh_tokens=uses)
        if self.account.is_foreign and not self._is_forced:
            raise ExternalSecretError
        journal = Journal(store=connection.store, account=name)
        if uses and credentials.uses_refresh_tokens:
            with about(connection.target.credentials_id(name)):
                journal.look(credentials, self.account)
        client = judgement.client_of(
            credentials, account=self.account.name, schedule=settings.schedule
        )
        # Before anything is sent, as a signature is made before anything is.
        connection.signing_key(credentials, self.account.name)
        judgement.admit(credentials, client, journal.entry, endpoint=self.endpoint)
        require_in_force(credentials, now=connection.now())
        return _Ready(credentials, client, journal)


def _say_that_it_is_ready(connection: Connection, name: str, ready: _Ready) -> None:
    grant, client = ready.credentials.grant_name or "login", ready.client
    screen.show(
        f"{name}: {grant} grant at {client.host}, {authentication_of(client)}; the credentials "
        "validate"
    )
    for proof in told(ready.credentials, name, prefix=connection.target.secret_prefix):
        screen.show(f"{name}: {proof}")
    for doubts in cautions(ready.credentials, now=connection.now()):
        screen.note(doubts, style="yellow")


def _tell_of_signing(connection: Connection, account: Account, ready: _Ready) -> bool | None:
    """Say by which key an account signs, or why it could not, as far as a person may see it.

    Returns:
        Whether the key can sign; None where nobody can tell, or none is needed.
    """
    name, target, aws = account.name, connection.target, Aws()
    key = connection.signing_key(ready.credentials, name)
    trouble = None
    # The key's own policy may allow it all the same: then the account has succeeded with it.
    if not _has_succeeded(account):
        trouble = connection.stack_trouble(ready.credentials, name)
    try:
        if trouble is None and key is not None:
            trouble = key_trouble(aws, key, name, target)
        if trouble is not None:
            screen.note(f"{name}: {trouble.what}", style="bold red")
            screen.note(trouble.fix)
            return False
    except RefusedError as error:
        problem = explain(error, target)
        screen.note(f"Whether the key can sign was not seen: {problem.what}", style="yellow")
        return None
    if key is None:
        return None
    found, doubt = found_by(aws, key, name, target)
    screen.show(f"{name}: {found}")
    if doubt:
        screen.note(sentence(doubt), style="yellow")
    return True


def _has_succeeded(account: Account) -> bool:
    """Whether the last that came of these credentials is the published token."""
    published, failure = account.published, account.counting_failure
    is_of_these = published and published.credentials_digest == account.credentials_digest
    return bool(is_of_these) and not (failure and failure.failures)


def _tell_what_is_on_record(
    connection: Connection, account: Account, *, has_failed: bool, can_sign: bool | None
) -> bool:
    """Say what the function has met: it may see what this machine does not.

    Returns:
        Whether its last attempt with these very credentials failed in a way that needs a person.
    """
    settings, now, target = connection.settings, connection.now(), connection.target
    one = status_of(
        account, now=now, refresh_before=settings.refresh_before, schedule=settings.schedule
    )
    if one.error is None:
        return False
    failure = account.counting_failure
    is_refused = (
        failure is not None
        and failure.failures > 0
        and failure.failure_class is FailureClass.ACTION_REQUIRED
    )
    if is_refused and not has_failed:
        screen.note("What is stored validates, but the function's last attempt with it failed.")
    told = one.error + (f" ({one.failure_class})" if one.failure_class else "")
    if one.failing_since:
        several = f"{one.failures} times, first " if one.failures > 1 else ""
        told += f", {several}{say_when(one.failing_since, now=now)}"
    if one.next_attempt_at:
        is_held = one.next_attempt_at > now
        at = say_when(one.next_attempt_at, now=now) if is_held else "at the next sweep"
        told += f"; the next attempt is {at}"
    screen.note(f"On record for the function: {told}")
    fix = connection.fix_for(one.error, account.name)
    if can_sign and one.error in OF_KEYS - {"signing_denied"}:
        fix = over_by_now(account.name, target)
    if one.waits_its_turn:
        fix = screen.fix_sentence(one, target)
    if not has_failed and fix:
        screen.note(fix)
    return is_refused


def _require_agreement(
    connection: Connection, machine: Machine, account: Account, ready: _Ready, *, yes: bool
) -> None:
    """Ask nobody's endpoint before a person has agreed to what may come of it.

    Raises:
        ProblemError: It would spend a refresh token, or nobody has agreed.
    """
    refresh = connection.target.command("refresh", account.name, flags=["--force"])
    if ready.credentials.is_refresh_only:
        raise ProblemError(
            "An account with a refresh_token cannot be tried, nor its response shown: that would "
            "spend the refresh token, and the response would be lost.",
            f"Refresh it instead: {refresh}",
        )
    published, live_until = account.published, account.live_until
    if published is not None and (live_until is None or live_until > connection.now()):
        screen.note(
            "Some servers keep one live token for each client: there the published token dies when "
            "another is issued.",
            style="yellow",
        )
        screen.note(f"If it does: {refresh}")
    _agree_to_try(machine, yes=yes)


def _agree_to_try(machine: Machine, *, yes: bool) -> None:
    if yes:
        return
    if not machine.can_ask:
        raise ProblemError("There is nobody to agree to that.", "Give --yes as well as --try.")
    if not typer.confirm("Ask the token endpoint?", err=True):
        raise ProblemError("It was not asked.")


def _tried(connection: Connection, look: _Look, ready: _Ready, seen: list[Exchange]) -> str:
    """Ask for a token as a refresh would, judge it likewise, and forget it.

    Raises:
        OAuthError: A refresh would fail as well.
    """
    name, client = look.account.name, ready.client
    # Before anything is sent: what comes back may repeat it.
    journaled = _journaled(connection, name)
    try:
        with screen.waiting(f"Asking {client.host}"):
            return _judged(connection, look, ready)
    finally:
        mask = Mask(secrets_in(ready.credentials, seen, journaled))
        for before, each in zip([None, *seen], seen, strict=False):
            is_again = before is not None and before.request == each.request
            lines = shown(each, mask, client=client, is_again=is_again)
            screen.show(Text("\n".join(lines), style="dim"))


def _journaled(connection: Connection, name: str) -> set[str | None]:
    """Read the tokens that the journal holds, of whatever grant."""
    with about(connection.target.credentials_id(name)):
        value = connection.store.read_journal(name)
    entry = JournalEntry.from_json(value.text) if value is not None else None
    return {entry.refresh_token, entry.access_token} if entry is not None else set()


def _judged(connection: Connection, look: _Look, ready: _Ready) -> str:
    account, credentials = look.account, ready.credentials
    issued_at = connection.now().replace(microsecond=0)
    response = look.endpoint.request(ready.client, credentials.grant)
    before = ready.journal.entry
    whole = ready.journal.entry_of(
        response, credentials=credentials, lease=None, sent=None, refresh_is_refused=False
    )
    others = {response.assertion, response.signature}
    others.add(before.refresh_token if before is not None else None)
    found = judgement.judged(
        response,
        whole,
        credentials=credentials,
        account=account,
        issued_at=issued_at,
        secrets=judgement.secrets_of(credentials, whole, others),
    )
    token, _ = found.published()
    if judgement.is_unchanged(account, found.version, now=connection.now()):
        return "the endpoint handed out the published token once more"
    life = say_duration(found.version.expires_at - issued_at)
    told = f"the endpoint issued a token that lives {life}"
    verdict = judgement.verify(
        credentials, ready.client, token.access_token, endpoint=look.endpoint
    )
    if credentials.verify_url is not None:
        told += f"; verify_url {'accepts it' if verdict else 'says nothing of it'}"
    return f"{told}; it was not published"
