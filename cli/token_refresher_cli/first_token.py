"""What becomes of credentials that were just written: waited for, or said how to bring it about.

What is waited for is described as it is now, and never taken from a listing, which may be five
minutes old. Where nothing will come, that is said at once, and not when the time is over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeGuard

import typer

from token_refresher import policy
from token_refresher.errors import SecretStoreError
from token_refresher.policy import Reason
from token_refresher.ports import CURRENT, SecretMetadata
from token_refresher_cli import screen
from token_refresher_cli.deployment_steps import SERVING
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.findings import Verdict, examine
from token_refresher_cli.patient import Patient
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    explain,
    may_pass,
    sentence,
)

if TYPE_CHECKING:
    from datetime import datetime

    from token_refresher.model import Account
    from token_refresher.records import FailureRecord
    from token_refresher_cli.connection import Connection
    from token_refresher_cli.machine import Machine

_BETWEEN_TWO_LOOKS: Final = timedelta(seconds=2)
_WRITTEN: Final = "The credentials were written."
# What holds credentials that were put back until a time that is known.
_HOLDS: Final = {
    Reason.BACKING_OFF: "the ones before were tried just now",
    Reason.RATE_LIMITED: "another version now would be one too many (rate limited)",
}


def see_it_through(
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

    Raises:
        ProblemError: They came to nothing in time, or will not; they are written.
        Exit: They came to a failure.
    """
    if within_minutes is None:
        screen.note(_what_comes(connection, name, version_id))
        return
    try:
        account = _served(connection, machine, name, version_id, within_minutes)
    except KeyboardInterrupt:
        screen.note(f"Interrupted. {_WRITTEN}")
        raise typer.Exit(INTERRUPTED) from None
    if (failure := account.counting_failure) and failure.failures:
        raise _failed(connection, name, failure)
    left = account.live_until - connection.now() if account.live_until else timedelta(0)
    screen.show(f"{name}: published, expires in {say_duration(left)}")


def _served(
    connection: Connection, machine: Machine, name: str, version_id: str, within_minutes: int
) -> Account:
    """Wait until the function has served an account, well or not.

    Raises:
        ProblemError: It has not in time, or will not.
    """
    patient = Patient(connection, name)
    with screen.telling("Looking whether a sweep will come") as tell:
        _require_sweeps(patient)
        first, until = _next_sweep(patient), connection.now() + timedelta(minutes=within_minutes)
        while not _is_served(account := _looked_at(connection, name, version_id)):
            now = connection.now()
            if now >= until:
                raise _in_vain(connection, name, within_minutes)
            tell(_awaited(patient, account, first, until=until, now=now))
            machine.pause(_BETWEEN_TWO_LOOKS)
    return account


def _require_sweeps(patient: Patient) -> None:
    """Say at once where nothing will ever serve the account.

    Raises:
        ProblemError: So it is; it says why.
    """
    if patient.deployment is None:
        screen.note(
            "Without a stack nobody here knows whether sweeps come, and when: give --stack, or set "
            "TOKEN_REFRESHER_STACK."
        )
        return
    for step, finding in examine(patient, SERVING):
        if finding.verdict is Verdict.WRONG:
            raise ProblemError(
                f"Nothing will serve {patient.name}: {step.name}: {finding.said}. {_WRITTEN}",
                f"{finding.fix}\n{_from_here(patient)}",
                is_under_way=True,
            )
        if finding.verdict is Verdict.UNKNOWN:
            # What is new is told by a sentence of its own.
            said = finding.said if finding.is_new else f"{step.name}, not known: {finding.said}"
            screen.note(said, style="yellow")


def _from_here(patient: Patient) -> str:
    return f"From here, at once: {patient.target.command('refresh', patient.name)}"


def _next_sweep(patient: Patient) -> datetime | None:
    """Tell about when the next sweep begins; None where nobody can."""
    try:
        last = patient.last_sweep if patient.deployment is not None else None
    except RefusedError:
        return None
    if last is None:
        return None
    interval, now = patient.connection.settings.schedule, patient.connection.now()
    return last + (max(now - last, timedelta(0)) // interval + 1) * interval


def _awaited(
    patient: Patient,
    account: Account | None,
    first: datetime | None,
    *,
    until: datetime,
    now: datetime,
) -> str:
    """Say what is waited for, and until when.

    Raises:
        ProblemError: It will not come in time.
    """
    name, target = patient.name, patient.target
    if account is not None and account.token is not None and account.token.is_deleted:
        raise ProblemError(
            f"{target.token_id(name)} is scheduled for deletion: no token can be published. "
            f"{_WRITTEN}",
            f"Restore it: {target.command('restore', name)}",
            is_under_way=True,
        )
    held = _held(patient.connection, account, now) if account is not None else None
    if held is not None:
        reason, at = held
        if at > until:
            look = f"From here, at once: {target.command('refresh', name, flags=['--force'])}"
            if reason is Reason.RATE_LIMITED:
                look = f"--force does not help. See it: {target.command('status', name)}"
            raise ProblemError(
                f"The new credentials are tried {say_when(at, now=now)}, at {at:%H:%M} UTC, since "
                f"{_HOLDS[reason]}. {_WRITTEN}",
                look,
                is_under_way=True,
            )
        return f"Held until {at:%H:%M} UTC, since {_HOLDS[reason]}"
    awaited = "the trigger, or " if patient.has_triggers else ""
    expected = _next_sweep(patient)
    if expected is None or first is None:
        return f"Waiting for {awaited}the next sweep to serve {name}"
    told = f"Waiting for {awaited}the sweep at {expected:%H:%M} UTC"
    if expected > first:
        # What it lists may be five minutes old.
        return f"{told}; the one at {first:%H:%M} may not have seen it"
    return f"{told} to serve {name}"


def _held(
    connection: Connection, account: Account, now: datetime
) -> tuple[Reason, datetime] | None:
    """Tell why credentials that were put wait for their turn, and until when; None if not."""
    before = connection.settings.refresh_before
    reason = policy.decide(account, now=now, refresh_before=before).reason
    at = policy.next_attempt(account, reason) if reason in _HOLDS else None
    return (reason, at) if at is not None else None


def _in_vain(connection: Connection, name: str, within_minutes: int) -> ProblemError:
    """Say why no sweep has served the account, as far as it can be seen by now."""
    patient = Patient(connection, name)
    _require_sweeps(patient)
    what = f"No sweep has served {name} within {within_minutes} min. {_WRITTEN}"
    if patient.deployment is None:
        fix = f"See whether the schedule is on; or: {connection.target.command('refresh', name)}"
    else:
        see = connection.target.command("doctor", name)
        are_seen = "Sweeps come" if _next_sweep(patient) else "No sweep was seen yet"
        fix = (
            f"{are_seen}; what they list may be five minutes old, and a host that fails "
            f"others is left alone. See what holds it: {see}\n{_from_here(patient)}"
        )
    return ProblemError(what, fix, is_under_way=True)


def _failed(connection: Connection, name: str, failure: FailureRecord) -> typer.Exit:
    """Tell a failure that the function has recorded; the command ends with what is returned."""
    screen.note(f"{name}: {failure.code} ({failure.failure_class})", style="bold red")
    if fix := connection.fix_for(failure.code, name):
        screen.note(sentence(fix))
    now = connection.now()
    is_held = failure.next_attempt - now >= timedelta(seconds=1)
    again = say_when(failure.next_attempt, now=now) if is_held else "with the next sweep"
    screen.note(f"It is tried again {again}; more: {connection.target.command('doctor', name)}")
    return typer.Exit(ExitCode.ACTION_REQUIRED)


def _what_comes(connection: Connection, name: str, version_id: str) -> str:
    """Say when credentials that were just written are tried; and how to bring it about."""
    now = connection.now()
    try:
        account = connection.account(
            name,
            SecretMetadata(stages={CURRENT: version_id}),
            connection.store.describe_token(name),
        )
    except SecretStoreError:
        # Whoever may write credentials need not be allowed to see more.
        account = None
    flags = list[str]()
    held = _held(connection, account, now) if account is not None else None
    if held is None:
        when = when_tried(connection)
    else:
        reason, at = held
        when = f"The new credentials are tried {say_when(at, now=now)}, since {_HOLDS[reason]}"
        flags = ["--force"]
        if reason is Reason.RATE_LIMITED:
            return f"{when}; --force does not help."
    return f"{when}; or at once: {connection.target.command('refresh', name, flags=flags)}"


def when_tried(connection: Connection) -> str:
    """Say when credentials that were just written are tried, if nothing holds them back."""
    if connection.function is None:
        # Nobody knows the schedule.
        return "The next sweep tries them"
    within = say_duration(connection.settings.schedule)
    has_triggers = Patient(connection).has_triggers
    if has_triggers:
        return f"A trigger serves them within seconds, else the next sweep within {within}"
    seconds = " (within seconds where Triggers=true)" if has_triggers is None else ""
    return f"The next sweep tries them, within {within}{seconds}"


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
