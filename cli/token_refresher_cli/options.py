"""The options that commands share, each with its help."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from token_refresher.events import AccountName
from token_refresher.settings import tags_of
from token_refresher_cli import config_file
from token_refresher_cli.machine import Machine
from token_refresher_cli.target import VARIABLES, Target, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def account_name(value: str) -> str:
    """Check an account's name before it becomes a part of a secret's name."""
    try:
        return msgspec.convert(value, AccountName)
    except msgspec.ValidationError:
        pass
    raise typer.BadParameter("an account's name has letters, digits and /_+=.@- alone")


def _account_names(values: list[str] | None) -> list[str]:
    return [account_name(value) for value in values or []]


def _tags(values: list[str] | None) -> list[str]:
    """Check tags before anybody is asked for anything."""
    try:
        tags_of(",".join(values or []))
    except ValueError as error:
        raise typer.BadParameter(f"it takes {error}") from None
    return values or []


_WHERE: Final = {
    "profile": "The profile of the AWS configuration to use.",
    "region": "The AWS Region of the accounts.",
    "prefix": "The path above credentials/ and tokens/ in secrets' names.",
    "stack": "The deployed stack, by its name at deployment (token-refresher, unless STACK said "
    "otherwise): the settings of its function are used, not those of the shell. The configuration "
    "file may name it.",
}


def located(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where it works; a `Target` in its context tells where."""
    return with_options(command, _WHERE, "Where", seen=_choose)


def machine_of(ctx: typer.Context) -> Machine:
    """Tell the machine that a command works on; a test hands it another."""
    return ctx.obj if isinstance(ctx.obj, Machine) else Machine()


def _choose(ctx: typer.Context, given: Mapping[str, str | None]) -> dict[str, Any]:
    """Tell where a command works, by what was typed, the environment and the file.

    Raises:
        ConfigFileError: The file cannot be used.
    """
    # Typer has filled in variables, which are no options: they come after.
    typed = {
        name: value
        for name, value in given.items()
        if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    variables = machine_of(ctx).environment
    path = config_file.find(variables)
    file = config_file.read(path, is_named=bool(variables.get(config_file.VARIABLE)))
    return asdict(choose(typed, variables, file, path=None if path is None else str(path)))


def with_options(
    command: Callable[..., None],
    options: Mapping[str, str],
    panel: str,
    *,
    kinds: Mapping[str, Any] = MappingProxyType({}),
    metavars: Mapping[str, str] = MappingProxyType({}),
    seen: Callable[[typer.Context, dict[str, Any]], dict[str, Any]] = lambda _, given: given,
) -> Callable[..., None]:
    """Give a command options of its own panel; its context's ``meta`` holds what they say.

    Args:
        command: It takes none of them itself.
        options: The help of each by its name.
        panel: Of the help, and the key in ``meta``.
        kinds: Types, where it is not text.
        metavars: What is shown for a value, where that is not the type's own.
        seen: What to make of them before the command begins.
    """

    @wraps(command)
    def run(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401
        ctx.meta[panel] = seen(ctx, {name: given.pop(name) for name in options})
        command(ctx=ctx, **given)

    signature = inspect.signature(command, eval_str=True)
    added = []
    for name, text in options.items():
        kind: Any = kinds.get(name, str)
        option = typer.Option(
            help=text,
            envvar=VARIABLES.get(name),
            metavar=metavars.get(name),
            rich_help_panel=panel,
        )
        taken = Annotated[kind | None, option]
        place = inspect.Parameter.KEYWORD_ONLY
        added.append(inspect.Parameter(name, place, default=None, annotation=taken))
    parameters = [*signature.parameters.values(), *added]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def target_of(ctx: typer.Context) -> Target:
    """Tell where a command works; nowhere in particular before its options are read."""
    return Target(**ctx.meta.get("Where", {}))


def set_target(ctx: typer.Context, target: Target) -> None:
    """Remember it once it is known what the options come to."""
    ctx.meta["Where"] = asdict(target)


Name = Annotated[str, typer.Argument(help="The account.", callback=account_name)]
NameOrNone = Annotated[
    str | None,
    typer.Argument(
        help="The account; none where --from-file has many.",
        callback=lambda value: None if value is None else account_name(value),
    ),
]
Names = Annotated[list[str], typer.Argument(help="The accounts.", callback=_account_names)]
AnyNames = Annotated[
    list[str] | None, typer.Argument(help="Only these accounts.", callback=_account_names)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from-file",
        help="A JSON object with fields, the secret ones too; - reads the standard input.",
    ),
]
FromFileOfMany = Annotated[
    Path | None,
    typer.Option(
        "--from-file",
        help="A JSON object with fields, the secret ones too; without NAME, many accounts as JSON "
        "lines or CSV. - reads the standard input.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="KEY=VALUE",
        callback=_tags,
        help="A tag of what is created, besides the stack's ResourceTags.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the first token, and show it come.")]
WithinMinutes = Annotated[
    int, typer.Option("--within", help="Minutes to wait at most.", min=1, max=120)
]
# Two years: some providers take no certificate that is valid for longer.
DEFAULT_DAYS: Final = 730
Days = Annotated[
    int, typer.Option("--days", help="For how many days a certificate is valid.", min=1, max=3650)
]
