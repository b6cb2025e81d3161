"""The command ``token-refresher``: its commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from token_refresher import __version__
from token_refresher_cli import (
    check_command,
    doctor_command,
    key_commands,
    provider_commands,
    read_commands,
    refresh_command,
    remove_commands,
    rotate_command,
    screen,
    write_commands,
)
from token_refresher_cli.exit_codes import INTERRUPTED, ExitCode
from token_refresher_cli.field_options import with_fields
from token_refresher_cli.fields import SECRET_FIELDS
from token_refresher_cli.options import located, target_of
from token_refresher_cli.problems import ProblemError, explain

if TYPE_CHECKING:
    from collections.abc import Callable


def _plain(params: list[Any]) -> list[Any]:
    """Show no type for what takes no value."""
    for each in params:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return params


# Typer says of a number what a library says of a field.
_OF_PYDANTIC: Final = {
    r"Input should be a valid (?:integer|number)\b.*": "it takes a whole number, without a unit",
    r"Input should be greater than or equal to (\S+)": r"it must be at least \1",
    r"Input should be less than or equal to (\S+)": r"it must be at most \1",
}


class _Command(TyperCommand):
    """A command whose flags look like flags in its help, and which takes no secret as an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as in `_Commands`
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            for foreign, told in _OF_PYDANTIC.items():
                error.message = re.sub(foreign, told, error.message)
            option = getattr(error, "option_name", "")
            taken = {each.name for each in self.params}
            secret = option.lstrip("-").replace("-", "_") in SECRET_FIELDS - taken
            if not secret or "from_file" not in taken:
                raise
            raise typer.BadParameter(
                "a secret is never taken from an option: it is asked for, or a script gives it in "
                "JSON by --from-file, where - reads the standard input",
                ctx=ctx,
                param_hint=option,
            ) from None

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - as in `_Commands`
        return _plain(super().get_params(ctx))


class _Commands(TyperGroup):
    """Turns whatever goes wrong in a command into two sentences and an exit code.

    A traceback would show lines of code to a person who has none of it, and text that nobody
    has looked through for secrets.
    """

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - as in `invoke`
        return _plain(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own copy of Click has no stubs
        try:
            return super().invoke(ctx)
        except typer.Abort:
            # Ctrl-C or Ctrl-D at a question, and all questions come before anything is done.
            screen.note("\nInterrupted: nothing was done.")
            raise typer.Exit(INTERRUPTED) from None
        except KeyboardInterrupt:
            # Whatever has to be finished has been, and has said so.
            screen.note("\nInterrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.TyperException):
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                # What is told in the end may not be written either: whoever began it says so.
                raise
            self._end(ctx, error)
        except Exception as error:  # noqa: BLE001 - each is told in words
            self._end(ctx, error)

    @staticmethod
    def _end(ctx: Any, error: Exception) -> NoReturn:  # noqa: ANN401 - as in `invoke`
        screen.show_problem(explain(error, target_of(ctx)))
        is_under_way = isinstance(error, ProblemError) and error.is_under_way
        code = ExitCode.ACTION_REQUIRED if is_under_way else ExitCode.NOTHING_DONE
        raise typer.Exit(code) from None


def _version(value: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if value:
        typer.echo(__version__)
        raise typer.Exit


app = typer.Typer(
    name="token-refresher",
    cls=_Commands,
    no_args_is_help=True,
    epilog="Begin with: token-refresher doctor --stack STACK --region REGION. Each command has a "
    "--help of its own; docs/command-line.md, in the project's repository, shows them all at work.",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _about(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Look after the accounts of a Token Refresher, on the AWS account of your shell."""


_LOOK: Final = "Look: nothing is changed"
_CHANGE: Final = "Change"
for panel, commands in {
    _LOOK: (
        read_commands.status,
        doctor_command.doctor,
        read_commands.plan,
        check_command.check,
        read_commands.history,
        read_commands.token,
    ),
    _CHANGE: (
        with_fields(write_commands.add),
        with_fields(write_commands.correct),
        refresh_command.refresh,
        remove_commands.remove,
        remove_commands.restore,
    ),
}.items():
    for command in commands:
        app.command(cls=_Command, rich_help_panel=panel)(located(command))
app.command(cls=_Command, rich_help_panel=_LOOK)(provider_commands.providers)

_keys = typer.Typer(
    name="key",
    cls=_Commands,
    help="Make, bring in, show and replace the keys that accounts sign with.",
    no_args_is_help=True,
)
_of_keys: Final[dict[str, Callable[..., None]]] = {
    "create": key_commands.create,
    "import": key_commands.import_key,
    "jwks": key_commands.show,
    "rotate": rotate_command.rotate,
}
for verb, about_keys in _of_keys.items():
    _keys.command(verb, cls=_Command)(located(about_keys))
app.add_typer(_keys, rich_help_panel="Keys")
