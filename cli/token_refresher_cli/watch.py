"""``status --watch``: the accounts as they are, on a screen of its own, until a person leaves it.

The screen is written over, never cleared, so that nothing flickers. Its size is asked for each
time, so that it may change.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from rich.text import Text

from token_refresher.errors import SecretStoreError
from token_refresher_cli import screen
from token_refresher_cli.accounts import State
from token_refresher_cli.durations import say_when
from token_refresher_cli.layout import folded, told
from token_refresher_cli.problems import ProblemError, RefusedError, explain, may_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from rich.console import Console

    from token_refresher_cli.accounts import AccountStatus
    from token_refresher_cli.machine import Machine
    from token_refresher_cli.target import Target

_TICK: Final = timedelta(seconds=1)
_BEGIN: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K"
_END_OF_SCREEN: Final = "\r\n\x1b[J"


@dataclass(frozen=True, slots=True)
class Look:
    """The accounts as they were seen.

    Attributes:
        statuses: What needs action comes first.
        at: Aware; when that was.
        trouble: Why no later look has succeeded; empty where none was tried.
    """

    statuses: Sequence[AccountStatus]
    at: datetime
    trouble: str = ""


def watch(
    look: Callable[[], list[AccountStatus]],
    first: Sequence[AccountStatus],
    machine: Machine,
    target: Target,
    *,
    place: str,
    every: timedelta,
) -> Sequence[AccountStatus]:
    """Look again and again, and return what was seen last when a person presses Ctrl-C.

    A look that fails in a way that may pass is told, with the time of the last good one.

    Args:
        look: Lists the accounts.
        first: What it has listed just now.
        machine: Its clock and its waiting.
        target: Where, for the commands that are shown.
        place: The same as a sentence.
        every: Between two looks.

    Raises:
        ProblemError: The terminal cannot move its cursor.
        RefusedError, SecretStoreError: AWS refused a look, and would again.
    """
    console = screen.results()
    if console.is_dumb_terminal:
        raise ProblemError("--watch needs a terminal that can move its cursor.")
    seen = Look(first, machine.clock())

    def draw(left: timedelta) -> None:
        size = {"width": console.width, "height": console.height}
        lines = picture(seen, target, now=machine.clock(), left=left, place=place, **size)
        _write_over(console, lines, **size)

    try:
        with console.screen():
            while True:
                end = machine.monotonic() + every.total_seconds()
                while (left := timedelta(seconds=end - machine.monotonic())) > timedelta(0):
                    draw(left)
                    machine.pause(min(left, _TICK))
                draw(timedelta(0))
                try:
                    seen = Look(look(), machine.clock())
                except (RefusedError, SecretStoreError) as error:
                    if not may_pass(error):
                        raise
                    seen = Look(seen.statuses, seen.at, explain(error, target).what)
    except KeyboardInterrupt:
        return seen.statuses


def picture(
    look: Look,
    target: Target,
    *,
    now: datetime,
    left: timedelta,
    place: str,
    width: int,
    height: int,
) -> list[Text]:
    """Draw what fits a screen: what needs action, then what matters next, then a count.

    Args:
        look: What was seen.
        target: Where, for the commands that are shown.
        now: Aware.
        left: Until the next look; zero while it is under way.
        place: Where, as a sentence.
        width: Of the terminal, in characters.
        height: Of the terminal, in lines.
    """
    head = [*_clock(look, now, left, width), *map(Text, folded(place, width))]
    if look.trouble:
        when = f"{look.at:%H:%M:%S} UTC, {say_when(look.at, now=now)}"
        trouble = f"{look.trouble} The last good look was at {when}."
        head += [Text(line, style="yellow") for line in folded(trouble, width)]
    count = [Text(line) for line in folded(screen.count_sentence(look.statuses, now=now), width)]
    room = max(0, height - _rows(head, width) - len(count) - 1)
    # Each takes a line at least, so that no more than these can be seen.
    header, *accounts = screen.status_table(look.statuses[:room], now=now).blocks(width)
    acting = [one for one in look.statuses if one.is_pressing(now=now)]
    fixes = [
        [Text(line) for line in told(sentence, width)]
        for sentence in screen.fix_sentences(acting[:room], target, now=now)
    ]
    needed = _rows([*header, *chain(*accounts)], width) + len(look.statuses) - len(accounts)
    more = f"… and {{}} more to fix: {target.command('status')}"
    told_fixes = _fitting(
        fixes,
        len(fixes) + len(acting[room:]),
        max(room // 2, room - needed - 1),
        width,
        more.format,
    )
    gap = [Text()] if told_fixes else []
    shown = _fitting(
        accounts,
        len(look.statuses),
        room - _rows([*header, *gap, *told_fixes], width),
        width,
        lambda rest: _the_rest(look.statuses[-rest:]),
    )
    lines = [*head, Text(), *header, *shown, *gap, *told_fixes, *count]
    while _rows(lines, width) > height:
        lines.pop()
    return lines


def _clock(look: Look, now: datetime, left: timedelta, width: int) -> list[Text]:
    """Tell the time, when the next look is, and how to end this."""
    seconds = math.ceil(left.total_seconds())
    parts = [f"{now:%H:%M:%S} UTC"]
    if not look.trouble:
        parts.append(f"looked {say_when(look.at, now=now)}")
    parts.append(f"next look in {seconds} s" if seconds else "looking")
    parts.append("Ctrl-C ends it")
    return [Text(line, style="bold") for line in folded("; ".join(parts), width)]


def _the_rest(statuses: Sequence[AccountStatus]) -> str:
    """Say what is not shown for want of lines."""
    states = Counter(one.state for one in statuses)
    said = [f"{states[state]} {state}" for state in State if state in states]
    kinds = f", all {next(iter(states))}" if len(states) == 1 else f": {', '.join(said)}"
    return f"… and {len(statuses)} more{kinds}"


def _fitting(
    blocks: Sequence[Sequence[Text]],
    total: int,
    room: int,
    width: int,
    say_rest: Callable[[int], str],
) -> list[Text]:
    """Take the first blocks that fit, and say what is left out of all that there are."""
    lines: list[Text] = []
    for index, block in enumerate(blocks):
        rest = [Text(line) for line in told(say_rest(total - index), width)]
        needed = _rows([*lines, *block], width)
        is_last = index + 1 == total
        if needed + (0 if is_last else _rows(rest, width)) > room:
            return [*lines, *rest]
        lines += block
    unseen = total - len(blocks)
    return [*lines, *(map(Text, told(say_rest(unseen), width)) if unseen else ())]


def _rows(lines: Iterable[Text], width: int) -> int:
    """Count the terminal's lines that these take; what is longer is broken by the terminal."""
    return sum(max(1, math.ceil(len(line) / width)) for line in lines)


def _write_over(console: Console, lines: Sequence[Text], *, width: int, height: int) -> None:
    """Write lines where others may stand, all at once."""
    written = []
    for line in lines:
        with console.capture() as captured:
            console.print(line, soft_wrap=True, end="")
        # After a full line the cursor is still on its last character, which would be erased.
        is_full = len(line) > 0 and len(line) % width == 0
        written.append(captured.get() + ("" if is_full else _END_OF_LINE))
    below = _END_OF_SCREEN if _rows(lines, width) < height else ""
    console.file.write(_BEGIN + "\r\n".join(written) + below)
    console.file.flush()
