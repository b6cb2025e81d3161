"""What is shown: tables, sentences, JSON, progress, and the questions of a form.

Results go to the standard output, everything else to the standard error. Where that is no
terminal there are no colours, no line is broken, and nothing moves.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from token_refresher_cli.accounts import State
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.findings import Verdict
from token_refresher_cli.problems import fix_for
from token_refresher_cli.sweeps import intention
from token_refresher_cli.timeline import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.catalogue import Grant, Listed
    from token_refresher_cli.findings import Finding
    from token_refresher_cli.problems import Problem
    from token_refresher_cli.sweeps import Row
    from token_refresher_cli.target import Target
    from token_refresher_cli.timeline import History

# Wider than any line: what reads a pipe wants whole lines.
_NO_TERMINALS_WIDTH: Final = 1000
_TIMELINE_WIDTH: Final = 36
_BESIDE_THE_TIMELINE: Final = 62
# So that the default and what is typed are on its line, in a terminal of 80 columns.
_LONGEST_QUESTION: Final = 40
# A command that ends a sentence, to be pasted.
_COMMAND: Final = re.compile(r"(?<=:) (?=(?:token-refresher|aws|make) )")

_STYLES: Final = {
    State.ACTION_REQUIRED: "bold red",
    State.OVERDUE: "bold red",
    State.RETRYING: "yellow",
    State.DUE: "cyan",
    State.RATE_LIMITED: "cyan",
    State.UNCHANGED: "cyan",
    State.FRESH: "green",
    State.EXTERNAL_VERSION: "yellow",
    State.AWAITING_CREDENTIALS: "dim",
    State.ORPHANED: "dim",
}
_VERDICTS: Final = {
    Verdict.WELL: "green",
    Verdict.WRONG: "bold red",
    Verdict.UNKNOWN: "yellow",
    Verdict.SKIPPED: "dim",
}


def results() -> Console:
    """The standard output."""
    return _console(stderr=False)


def notes() -> Console:
    """The standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # Account names and tags are other people's words: none of them is markup.
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not _is_seen(console):
        console.width = _NO_TERMINALS_WIDTH
    return console


def _is_seen(console: Console) -> bool:
    """Whether it is a terminal: Rich takes a pipe for one where FORCE_COLOR asks for colours."""
    return console.file.isatty()


def show(renderable: Table | Text | str) -> None:
    """Print a result; in a pipe without the spaces that fill a table's last column."""
    console = results()
    if _is_seen(console):
        if isinstance(renderable, str):
            _print_whole(console, renderable)
            return
        if isinstance(renderable, Table):
            _keep_words_whole(renderable, console.width)
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    # Typer's echo would take the colours out that FORCE_COLOR has asked for.
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def show_verbatim(text: str) -> None:
    """Print what is copied from the screen: a terminal alone may break its lines."""
    results().print(text, soft_wrap=True)


def show_json(content: dict[str, Any]) -> None:
    """Print a result for a program."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=datetime.isoformat))


def note(text: str, *, style: str = "") -> None:
    """Tell something that is no result; a command keeps its line, however narrow the terminal."""
    _print_whole(notes(), text, style=style)


def _print_whole(console: Console, text: str, *, style: str = "") -> None:
    said, *command = _COMMAND.split(text, maxsplit=1)
    if command and len(text) > console.width:
        console.print(Text(said, style=style))
        console.print(Text(_broken(command[0], console.width), style=style), soft_wrap=True)
    else:
        console.print(Text(text, style=style))


def _broken(command: str, width: int) -> str:
    """Break a command that is wider than the terminal before its options, as a shell takes it."""
    lines = [""]
    for word in re.split(r" (?=--[a-z])", command):
        if lines[-1] and len(lines[-1]) + len(word) + len("  \\") > width:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def show_problem(problem: Problem) -> None:
    """Say what went wrong, and what to do about it."""
    note(problem.what, style="bold red")
    if problem.fix:
        note(problem.fix)


@contextmanager
def waiting(text: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show that something is under way, in a terminal.

    Call what is given for each that is done of a known number.
    """
    console = notes()
    counted = (BarColumn(), TextColumn("{task.completed} of {task.total}")) if total else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not _is_seen(console)
    ) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def telling(text: str) -> Iterator[Callable[[str], None]]:
    """Show what is under way, in a terminal; call what is given to tell what is next."""
    console = notes()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not _is_seen(console)
    ) as progress:
        task = progress.add_task(text, total=None)
        yield lambda text: progress.update(task, description=text)


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _keep_words_whole(table: Table, width: int) -> None:
    """Give each column room for its longest word, where there is room for all of these."""
    texts = [[str(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    whole = [max(map(len, column)) for column in texts]
    least = [max(len(word) for text in column for word in text.split() or [""]) for column in texts]
    for index, column in enumerate(table.columns):
        floor = whole[index] if column.no_wrap else column.min_width or 0
        least[index] = max(least[index], floor)
    left = width - sum(least) - sum(table.padding[1:2]) * (len(texts) - 1)
    if not 0 <= left < sum(whole) - sum(least):
        return
    for column, longest, needed in zip(table.columns, whole, least, strict=True):
        column.width = min(longest, needed + left)
        left -= column.width - needed


def _expiry(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "-"
    return say_duration(at - now) if at > now else f"expired {say_when(at, now=now)}"


def _attempt(at: datetime | None, now: datetime) -> str:
    """Say until when something is held back; what is past holds nothing."""
    return say_when(at, now=now) if at is not None and at > now else "-"


def status_table(statuses: Sequence[AccountStatus], *, now: datetime) -> Table:
    """One line for each account."""
    table = _table("account", "state", "reason", "expires in", "error", "since", "next attempt")
    for one in statuses:
        error = one.error or "-"
        if one.failures > 1:
            error = f"{error}, {one.failures} times"
        attempt = "-"
        if one.next_attempt_at is not None:
            is_future = one.next_attempt_at > now
            attempt = say_when(one.next_attempt_at, now=now) if is_future else "next sweep"
        table.add_row(
            one.account,
            Text(one.state, style=_STYLES[one.state]),
            one.reason,
            _expiry(one.expires_at, now),
            error,
            say_when(one.failing_since, now=now) if one.failing_since else "-",
            attempt,
        )
    return table


def _ending(one: AccountStatus, now: datetime) -> str:
    """Say when a refresh token ends that ends soon."""
    at = one.refresh_token_expires_at if one.error == "refresh_token_ending" else None
    return f" has a refresh token that ends {say_when(at, now=now)}" if at else ""


def status_sentences(
    statuses: Sequence[AccountStatus], target: Target, *, now: datetime
) -> list[str]:
    """Say what action is required, and how many accounts there are."""
    acting = [one for one in statuses if one.needs_action]
    told = [
        f"{one.account}{_ending(one, now)}: {fix}"
        for one in acting
        if (fix := fix_for(one.error or "", one.account, target))
    ]
    count = f"{len(statuses)} account" + ("" if len(statuses) == 1 else "s")
    need = "needs" if len(acting) == 1 else "need"
    return [*told, f"{count}, {len(acting) or 'none'} {need} action"]


def place_sentence(place: Mapping[str, str | None]) -> str:
    """Say where was looked, as far as it is known."""
    words = {"aws_account": "AWS account", "config_file": "by the file"}
    named = [f"{words.get(name, name)} {value}" for name, value in place.items() if value]
    return f"Looked in: {', '.join(named)}"


def plan_table(rows: Sequence[Row], *, now: datetime) -> Table:
    """One line for each account that is not simply fresh."""
    table = _table("account", "the next sweep", "because", "expires in", "next attempt")
    for row in rows:
        said = row.detail or row.error
        because = f"{row.reason}: {said}" if said else row.reason
        expiry = _expiry(row.expires_at, now)
        table.add_row(row.account, intention(row), because, expiry, _attempt(row.retry_at, now))
    return table


def refresh_table(rows: Sequence[Row], *, now: datetime) -> Table:
    """One line for each account that was asked for."""
    table = _table("account", "outcome", "because", "expires in", "error", "next attempt")
    for row in rows:
        table.add_row(
            row.account,
            Text(row.outcome, style="green" if row.went_well else "bold red"),
            row.reason,
            _expiry(row.expires_at, now),
            f"{row.error} ({row.failure_class})" if row.error else row.detail or "-",
            _attempt(row.retry_at, now),
        )
    return table


def history_table(history: History, *, now: datetime) -> Table:
    """One line for each token, with its bar on the time line."""
    table = _table("issued (UTC)", "expires (UTC)", "lived for", "stage", "after the last", "")
    table.columns[-1].no_wrap = True
    width = max(1, min(_TIMELINE_WIDTH, results().width - _BESIDE_THE_TIMELINE))
    for life in history.lives:
        after = "-"
        if life.after is not None:
            kind = "overlap" if life.after >= life.after.__class__(0) else "GAP"
            after = f"{kind} {say_duration(abs(life.after))}"
        table.add_row(
            f"{life.issued_at:%Y-%m-%d %H:%M}",
            f"{life.expires_at:%Y-%m-%d %H:%M}",
            say_duration(life.lifetime),
            life.stage or "-",
            after + (", other credentials" if life.is_with_other_credentials else ""),
            draw(life, history, now=now, width=width),
        )
    return table


def providers_table(found: Sequence[Listed]) -> Table:
    """One line for each provider, as far as a terminal has room for its title."""
    table = _table("provider", "title", "grants", "tokens live")
    for column in (0, 3):
        table.columns[column].no_wrap = True
    table.columns[2].min_width = 1 + max(len(grant.name) for one in found for grant in one.grants)
    for one in found:
        grants = ", ".join(grant.name for grant in one.grants)
        table.add_row(one.name, one.entry.title, grants, one.lifetimes)
    return table


def facts_table(facts: Sequence[tuple[str, str]]) -> Table:
    """What is known of one thing, a line or more for each."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, text.replace("`", ""))
    return table


def grants_table(grants: Sequence[Grant]) -> Table:
    """One line for each way to a provider's tokens."""
    table = _table("grant", "authentication", "tokens live", "kept alive")
    for grant in grants:
        table.add_row(grant.name, grant.authentication, grant.lives, grant.kept_alive)
    return table


def findings_table(found: Sequence[tuple[str, Finding]]) -> Table:
    """One line for each step that was taken."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, finding in found:
        verdict = Text(finding.verdict, style=_VERDICTS[finding.verdict])
        table.add_row(verdict, name, finding.said)
    return table


class TerminalAsker:
    """Asks the person at the terminal; what is secret is not shown."""

    def text(self, field: str, *, about: str = "") -> str:
        """Ask until there is a response."""
        if about:
            note(f"{field}: {about}")
        return str(typer.prompt(field, err=True))

    def secret(self, field: str, *, empty: str = "") -> str:
        """Ask without echo; where an empty answer means something, that is said."""
        if empty:
            label = f"{field} (hidden; Enter {empty})"
            hidden: dict[str, Any] = {"hide_input": True, "default": "", "show_default": False}
            return str(typer.prompt(label, err=True, **hidden))
        return str(typer.prompt(f"{field} (hidden)", hide_input=True, err=True))

    def tell(self, text: str) -> None:
        """Say what is wrong with an answer, or what was made of it."""
        note(text, style="yellow")

    def choice(self, field: str, choices: Sequence[str]) -> str:
        """Ask until one of the choices is named."""
        label = f"{field}: {', '.join(choices)}"
        if len(label) > _LONGEST_QUESTION:
            note(label)
            label = field
        while True:
            answer: str = typer.prompt(label, default=choices[0], err=True)
            if answer in choices:
                return answer
            note(f"{field} is one of: {', '.join(choices)}")
