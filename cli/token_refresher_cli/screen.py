"""What is shown: tables, sentences, JSON, progress, and the questions of a form.

Results go to the standard output, everything else to the standard error. Where that is no
terminal there are no colours, no line is broken, and nothing moves.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from token_refresher_cli.accounts import NO_ATTEMPT, State
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.findings import Verdict
from token_refresher_cli.layout import Table, told
from token_refresher_cli.problems import failure_text, fix_for
from token_refresher_cli.sweeps import intention
from token_refresher_cli.timeline import NOW, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.progress import ProgressColumn
    from rich.style import Style

    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.catalogue import Grant, Listed
    from token_refresher_cli.findings import Finding
    from token_refresher_cli.problems import Problem
    from token_refresher_cli.sweeps import Row
    from token_refresher_cli.target import Target
    from token_refresher_cli.timeline import History, Life

# Where something moves meanwhile: what is told goes above it, by the console that moves it.
_moving: Final = list[Console]()
_LONGEST_TIMELINE: Final = 36
_SHORTEST_TIMELINE: Final = 8
OTHER_CREDENTIALS: Final = "*"
# So that the default and what is typed are on its line, in a terminal of 80 columns.
_LONGEST_QUESTION: Final = 40

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
    return _moving[-1] if _moving else _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    # Account names and tags are other people's words: none of them is markup.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def width_of(console: Console) -> int | None:
    """Tell a terminal's width; None where it is none, for what reads a pipe wants whole lines.

    Rich takes a pipe for a terminal where FORCE_COLOR asks for colours.
    """
    return console.width if console.file.isatty() else None


def show(result: Table | Text | str) -> None:
    """Print a result."""
    console = results()
    if isinstance(result, Text):
        _print(console, result.plain, style=result.style)
        return
    if isinstance(result, str):
        _print(console, result)
        return
    for block in result.blocks(width_of(console)):
        for line in block:
            console.print(line, soft_wrap=True)


def show_verbatim(text: str) -> None:
    """Print what is copied from the screen: a terminal alone may break its lines."""
    results().print(text, soft_wrap=True)


def show_json(content: dict[str, Any]) -> None:
    """Print a result for a program."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=datetime.isoformat))


def note(text: str, *, style: str = "") -> None:
    """Tell something that is no result; a command keeps its line, however narrow the terminal."""
    _print(notes(), text, style=style)


def _print(console: Console, text: str, *, style: str | Style = "") -> None:
    # In one piece: what comes by way of a pipe would stand between a sentence and its command.
    lines = "\n".join(told(text, width_of(console)))
    console.print(Text(lines, style=style), soft_wrap=True)


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
    counted = (BarColumn(), TextColumn("{task.completed} of {task.total}")) if total else ()
    with _progress(*counted) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def telling(text: str) -> Iterator[Callable[[str], None]]:
    """Show what is under way, in a terminal; call what is given to tell what is next."""
    with _progress() as progress:
        task = progress.add_task(text, total=None)
        yield lambda text: progress.update(task, description=text)


@contextmanager
def _progress(*counted: ProgressColumn) -> Iterator[Progress]:
    console = notes()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn())
    is_still = width_of(console) is None
    with Progress(*columns, console=console, transient=True, disable=is_still) as progress:
        _moving.append(console)
        try:
            yield progress
        finally:
            _moving.pop()


def _table(*headings: str, prose: Sequence[str] = ()) -> Table:
    return Table(headings, frozenset(prose))


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
            "-" if one.reason.value == one.state.value else one.reason,
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


def fix_sentence(one: AccountStatus, target: Target) -> str:
    """Say what a person does about an account; empty where nobody knows."""
    if one.error == NO_ATTEMPT:
        doctor = target.command("doctor", one.account)
        return f"no sweep has tried it, or its host fails others and is left alone; why: {doctor}"
    if one.waits_its_turn:
        refresh = target.command("refresh", one.account, flags=["--force"])
        return (
            "its credentials before failed; those that were put since wait for their turn, or are "
            f"tried at once: {refresh}"
        )
    return fix_for(one.error or "", one.account, target)


def fix_sentences(statuses: Sequence[AccountStatus], target: Target, *, now: datetime) -> list[str]:
    """Say what a person does about accounts; once where many that may pass fail alike."""
    retrying = [one for one in statuses if not one.needs_action and one.is_pressing(now=now)]
    alike = Counter((one.error, one.failure_class) for one in retrying)
    first = {(one.error, one.failure_class): one for one in reversed(retrying)}
    told = [one for one in statuses if one.needs_action] + [first[each] for each in alike]
    sentences = []
    for one in told:
        others = 0 if one.needs_action else alike[one.error, one.failure_class] - 1
        who = f"{one.account} and {others} more" if others else one.account
        if fix := fix_sentence(one, target):
            sentences.append(f"{who}{_ending(one, now)}: {fix}")
    return sentences


def counted(number: int, noun: str) -> str:
    """Say how many there are, of what has an s for its plural."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def count_sentence(statuses: Sequence[AccountStatus], *, now: datetime) -> str:
    """Say how many accounts there are, how many need action, and how many are tried again."""
    acting = sum(one.needs_action for one in statuses)
    retrying = sum(one.state is State.RETRYING for one in statuses)
    count = counted(len(statuses), "account")
    also = f", {retrying} retrying" if retrying else ""
    if dead := sum(one.is_pressing(now=now) and not one.needs_action for one in statuses):
        also += f", {dead} of them without a token that lives"
    need = "needs" if 1 in {acting, len(statuses)} else "need"
    return f"{count}, {acting or 'none'} {need} action{also}"


def place_sentence(place: Mapping[str, str | None]) -> str:
    """Say where was looked, as far as it is known."""
    words = {"aws_account": "AWS account", "config_file": "by the file"}
    named = [f"{words.get(name, name)} {value}" for name, value in place.items() if value]
    return f"Looked in: {', '.join(named)}"


def plan_table(rows: Sequence[Row], *, now: datetime) -> Table:
    """One line for each account that is not simply fresh."""
    table = _table(
        "account", "the next sweep", "because", "expires in", "next attempt", prose=["because"]
    )
    for row in rows:
        said = row.detail or row.error
        because = f"{row.reason}: {said}" if said else row.reason
        expiry = _expiry(row.expires_at, now)
        table.add_row(row.account, intention(row), because, expiry, _attempt(row.retry_at, now))
    return table


def refresh_table(rows: Sequence[Row], *, now: datetime, is_remote: bool) -> Table:
    """One line for each account that was asked for."""
    headings = ("account", "outcome", "because", "expires in", "error", "next attempt")
    table = _table(*headings, prose=["error"])
    for row in rows:
        error = row.detail or "-"
        if row.error:
            is_here = row.has_failed and not is_remote
            error = failure_text(row.error, row.failure_class, is_here=is_here)
        table.add_row(
            row.account,
            # Of no account nothing is due or not.
            Text(
                "-" if row.is_unknown else row.outcome,
                style="green" if row.went_well else "bold red",
            ),
            row.reason,
            _expiry(row.expires_at, now),
            error,
            _attempt(row.retry_at, now),
        )
    return table


def show_history(history: History, *, days: int, now: datetime) -> None:
    """Print one line for each token, with its bar on the time line, and what they come to."""
    headings = ["issued (UTC)", "expires (UTC)", "lived for", "stage", "overlap"]
    rows = [[*_life(life)] for life in history.lives]
    beside = sum(max(map(len, column)) + 2 for column in zip(headings, *rows, strict=True))
    width = min(_LONGEST_TIMELINE, (width_of(results()) or sys.maxsize) - beside)
    if has_line := bool(rows) and width >= _SHORTEST_TIMELINE:
        headings.append("")
        for life, row in zip(history.lives, rows, strict=True):
            row.append(draw(life, history, now=now, width=width))
    table = _table(*headings)
    for row in rows:
        table.add_row(*row)
    if rows:
        show(table)
    if has_line:
        begin, end = (f"{at:%Y-%m-%d %H:%M}" for at in (history.begins_at, history.ends_at))
        show(f"The line runs from {begin} to {end} UTC; {NOW} is now.")
    if any(life.is_with_other_credentials for life in history.lives):
        show(f"{OTHER_CREDENTIALS} has other credentials than the one before")
    count = counted(len(rows), "token")
    first = f" since the first, {say_when(history.begins_at, now=now)}"
    gap = "never without one" + (first if history.begins_late else "")
    if history.gap:
        gap = f"without a live one for {say_duration(history.gap)}"
    show(f"{count} in {days} d, {gap}" if rows else f"no token in {days} d")
    if history.external:
        count = counted(history.external, "external version")
        show(f"{count}: written by others, and no id tells when their tokens live")


def _life(life: Life) -> Iterator[str]:
    mark = OTHER_CREDENTIALS if life.is_with_other_credentials else ""
    yield f"{life.issued_at:%m-%d %H:%M}{mark}"
    yield f"{life.expires_at:%m-%d %H:%M}"
    yield say_duration(life.lifetime)
    yield life.stage or "-"
    if life.after is None:
        yield "-"
    else:
        yield ("GAP " if life.after < timedelta(0) else "") + say_duration(abs(life.after))


def providers_table(found: Sequence[Listed]) -> Table:
    """One line for each provider, where a terminal has room for its title."""
    table = _table("provider", "title", "grants", "tokens live", prose=["title", "grants"])
    for one in found:
        grants = ", ".join(grant.name for grant in one.grants)
        table.add_row(one.name, one.entry.title, grants, one.lifetimes)
    return table


def facts_table(facts: Sequence[tuple[str, str]]) -> Table:
    """What is known of one thing, a line or more for each."""
    table = Table(("fact", "text"), frozenset({"text"}), has_header=False)
    for name, text in facts:
        table.add_row(Text(name, style="bold"), text.replace("`", ""))
    return table


def grants_table(grants: Sequence[Grant]) -> Table:
    """One line for each way to a provider's tokens."""
    table = _table("grant", "authentication", "tokens live", "kept alive")
    for grant in grants:
        table.add_row(grant.name, grant.authentication, grant.lives, grant.kept_alive)
    return table


def findings_table(found: Sequence[tuple[str, Finding]]) -> Table:
    """One line for each step that was taken."""
    table = Table(("verdict", "step", "said"), frozenset({"said"}), has_header=False)
    for name, finding in found:
        verdict = Text(finding.verdict, style=_VERDICTS[finding.verdict])
        table.add_row(verdict, name, finding.said)
    return table


class TerminalAsker:
    """Asks the person at the terminal; what is secret is not shown."""

    def text(self, field: str, *, about: str = "", stored: str = "") -> str:
        """Ask until there is a response; Enter keeps what is stored, which is shown."""
        if about:
            note(f"{field}: {about}")
        if not stored:
            return str(typer.prompt(field, err=True))
        label, is_short = field, len(f"{field} [{stored}]") <= _LONGEST_QUESTION
        if not is_short:
            note(f"{field}: {stored}")
            label = f"{field} (Enter keeps it)"
        return str(typer.prompt(label, err=True, default=stored, show_default=is_short))

    def secret(self, field: str, *, empty: str = "") -> str:
        """Ask without echo; where an empty answer means something, that is said."""
        label = f"{field} (hidden; Enter {empty})" if empty else f"{field} (hidden)"
        hidden: dict[str, Any] = {"hide_input": True, "default": "", "show_default": False}
        return str(typer.prompt(label, err=True, **hidden))

    def tell(self, text: str) -> None:
        """Say what is wrong with an answer, or what was made of it."""
        note(text, style="yellow")

    def choice(self, field: str, choices: Sequence[str], *, other: str = "") -> str:
        """Ask until one of the choices is named; what is none is met with the nearest."""
        label = f"{field}: {', '.join(choices)}"
        if len(label) > _LONGEST_QUESTION:
            note(label)
            label = field
        while True:
            answer = str(typer.prompt(label, default=choices[0], err=True)).strip()
            if answer in choices:
                return answer
            near = get_close_matches(answer.lower(), choices, n=1, cutoff=0.6)
            known = f"is one of {', '.join(choices)}{other and f'; {other}'}"
            note(f"{field}: did you mean {near[0]}?" if near else f"{field} {known}")
