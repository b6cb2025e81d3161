"""The options of the command line, from the command itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer.main

from token_refresher_cli.app import app
from tools.docs.blocks import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _commands(group: Any, names: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Name every command as it is typed: one of a group by two words."""
    for name, command in vars(group)["commands"].items():
        if "commands" in vars(command):
            yield from _commands(command, f"{name} ")
        else:
            yield names + name, command


COMMANDS: Final[Mapping[str, Any]] = dict(_commands(typer.main.get_command(app)))


def options_of(command: str, panel: str | None = None) -> Table:
    """Tell what a command takes, but for what stands under another panel of its help."""
    facts = [
        (f"`{option.opts[-1]}`", _meaning(option))
        for option in COMMANDS[command].params
        if option.param_type_name == "option"
        and option.rich_help_panel == panel
        and "--help" not in option.opts
    ]
    return Table(("option", "meaning"), facts)


def _meaning(option: Any) -> str:  # noqa: ANN401 - Typer's own copy of Click has no stubs
    is_number = isinstance(option.default, int) and not isinstance(option.default, bool)
    default = f" Default: {option.default}." if is_number else ""
    variable = f" Default: the variable `{option.envvar}`." if option.envvar else ""
    return f"{option.help}{default}{variable}"


OPTIONS: Final[Mapping[str, Callable[[], Table]]] = {
    "options-of-every-command": partial(options_of, "status", "Where"),
    "options-for-credentials": partial(options_of, "add", "Fields of the credentials"),
    "options-for-what-is-signed": partial(options_of, "add", "Fields for what is signed"),
    "options-for-what-is-sent": partial(options_of, "add", "Fields for what is sent"),
    "options-for-what-comes-back": partial(options_of, "add", "Fields for what comes back"),
    **{
        f"options-of-{command.replace(' ', '-')}": partial(options_of, command)
        for command in COMMANDS
        if options_of(command).facts
    },
}
