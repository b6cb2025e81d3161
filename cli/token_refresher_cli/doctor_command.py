"""The command that says what is wrong first, from credentials to consumer, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from token_refresher.errors import SecretStoreError, SettingsError
from token_refresher_cli import options, screen
from token_refresher_cli.account_steps import ACCOUNT
from token_refresher_cli.deployment_steps import DEPLOYMENT
from token_refresher_cli.exit_codes import ExitCode
from token_refresher_cli.findings import Verdict, examine
from token_refresher_cli.patient import Patient
from token_refresher_cli.problems import Problem
from token_refresher_cli.read_commands import connect

if TYPE_CHECKING:
    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.findings import Finding, Step

# More would scroll away what was found of the deployment; `status` has them all.
_MOST_ACCOUNTS: Final = 20


def _any_name(value: str | None) -> str | None:
    return options.account_name(value) if value is not None else None


def doctor(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Only this account.", callback=_any_name)
    ] = None,
    *,
    as_json: options.AsJson = False,
) -> None:
    """Say what is wrong first, from credentials to consumer. It changes nothing and asks no server.

    Exits with 1 if something is wrong.
    """
    try:
        connection, _ = connect(ctx)
    except SettingsError as error:
        target = options.target_of(ctx)
        if not target.stack:
            raise
        what = f"The function {target.stack} cannot start: {error}."
        screen.show_problem(
            Problem(
                what,
                f"Deploy it with another value, in a clone of this project: {target.deploy()}",
            )
        )
        raise typer.Exit(ExitCode.ACTION_REQUIRED) from None
    patient = Patient(connection, name or "")
    found: list[tuple[Step, Finding]] = []
    with screen.telling("Looking at the AWS identity") as tell:
        for step, finding in examine(patient, ACCOUNT if name else DEPLOYMENT):
            found.append((step, finding))
            tell(f"Looked at: {step.name}")
        last = found[-1][1]
        accounts = None if name or last.is_nowhere else _all_accounts(patient)
    in_need = [one for one in accounts or () if one.is_pressing(now=patient.now)]
    if as_json:
        told: dict[str, Any] = {
            "looked_at": patient.now,
            "looked_in": connection.place(),
            "account": name,
            "steps": [
                {"step": step.name, "verdict": one.verdict, "found": one.said, "fix": one.fix}
                for step, one in found
            ],
            "accounts": [one.to_json(now=patient.now) for one in in_need],
        }
        screen.show_json(told)
    else:
        _show(patient, found, accounts, in_need)
    raise typer.Exit(_code(found, accounts, in_need))


def _all_accounts(patient: Patient) -> list[AccountStatus] | None:
    """Tell every account's state; None where they may not be listed, which a step has said."""
    try:
        return patient.statuses
    except SecretStoreError:
        return None


def _show(
    patient: Patient,
    found: list[tuple[Step, Finding]],
    accounts: list[AccountStatus] | None,
    in_need: list[AccountStatus],
) -> None:
    screen.show(screen.findings_table([(step.name, one) for step, one in found]))
    last = found[-1][1]
    is_blind = all(one.verdict is not Verdict.WELL for _, one in found)
    first_unknown = next((one for _, one in found if one.verdict is Verdict.UNKNOWN), last)
    if fix := (first_unknown if is_blind and last.verdict is not Verdict.WRONG else last).fix:
        screen.note(fix, style="bold")
    if patient.name and last.verdict is not Verdict.WRONG and not is_blind:
        screen.show("nothing is wrong, as far as it could be seen")
    for one in in_need[:_MOST_ACCOUNTS]:
        _show_account(patient, one)
    if accounts is None:
        return
    if left := in_need[_MOST_ACCOUNTS:]:
        screen.note(f"And {len(left)} more: {patient.target.command('status')}")
    screen.show(screen.count_sentence(accounts, now=patient.now))
    screen.show(screen.place_sentence(patient.connection.place()))


def _show_account(patient: Patient, one: AccountStatus) -> None:
    said = f"{one.account}: {one.error or one.state}"
    if one.failure_class is not None:
        said += f" ({one.failure_class})"
    screen.note(said, style="bold red")
    more = patient.target.command("doctor", one.account)
    if fix := screen.fix_sentence(one, patient.target):
        screen.note(fix)
    if more not in fix:
        screen.note(f"More: {more}")


def _code(
    found: list[tuple[Step, Finding]],
    accounts: list[AccountStatus] | None,
    in_need: list[AccountStatus],
) -> ExitCode:
    last = found[-1][1]
    if (last.verdict is Verdict.WRONG and not last.is_nowhere) or in_need:
        return ExitCode.ACTION_REQUIRED
    # Whoever sees only who they are has seen nothing.
    is_seen = any(one.verdict is Verdict.WELL for _, one in found[1:])
    return ExitCode.WELL if is_seen and accounts != [] else ExitCode.NOTHING_DONE
