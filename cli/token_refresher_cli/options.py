"""The options that commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from token_refresher.events import AccountName


def account_name(value: str) -> str:
    """Check an account's name before it becomes a part of a secret's name."""
    try:
        return msgspec.convert(value, AccountName)
    except msgspec.ValidationError:
        pass
    raise typer.BadParameter("an account's name has letters, digits and /_+=.@- alone")


def _account_names(values: list[str] | None) -> list[str]:
    return [account_name(value) for value in values or []]


Name = Annotated[str, typer.Argument(help="The account.", callback=account_name)]
Names = Annotated[list[str], typer.Argument(help="The accounts.", callback=_account_names)]
AnyNames = Annotated[
    list[str] | None, typer.Argument(help="Only these accounts.", callback=_account_names)
]

_TARGET: Final = "Where"
Profile = Annotated[
    str | None,
    typer.Option(help="A profile of the AWS configuration.", rich_help_panel=_TARGET),
]
Region = Annotated[str | None, typer.Option(help="The AWS Region.", rich_help_panel=_TARGET)]
Prefix = Annotated[
    str | None,
    typer.Option(help="The path above credentials/ and tokens/.", rich_help_panel=_TARGET),
]
Stack = Annotated[
    str | None,
    typer.Option(help="Take the settings of this stack's function.", rich_help_panel=_TARGET),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_FIELDS: Final = "Fields of the credentials"
Site = Annotated[str | None, typer.Option(help="A preset's name.", rich_help_panel=_FIELDS)]
TokenEndpointUrl = Annotated[
    str | None,
    typer.Option("--token-endpoint", help="Any other server's.", rich_help_panel=_FIELDS),
]
GrantType = Annotated[
    str | None, typer.Option(help="How the account gets tokens.", rich_help_panel=_FIELDS)
]
ClientId = Annotated[str | None, typer.Option(help="As registered.", rich_help_panel=_FIELDS)]
Username = Annotated[
    str | None, typer.Option(help="For the password grant.", rich_help_panel=_FIELDS)
]
PartnerCode = Annotated[
    str | None, typer.Option(help="For the partner grant.", rich_help_panel=_FIELDS)
]
Scope = Annotated[
    str | None, typer.Option(help="One space-delimited string.", rich_help_panel=_FIELDS)
]
AssumedExpiresIn = Annotated[
    int | None,
    typer.Option(help="Seconds, for servers that omit it.", rich_help_panel=_FIELDS),
]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from-file",
        help="A JSON object with fields, the secret ones too; - reads the standard input.",
        rich_help_panel=_FIELDS,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the first token, and show it come.")]
WithinMinutes = Annotated[
    int, typer.Option("--within", help="Minutes to wait at most.", min=1, max=120)
]
