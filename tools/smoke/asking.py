"""Whose account it is, what is going to be made in it, and whether its owner wants that."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.deploying.place import Place

_LOST_FOR_SECONDS: Final = 0.1


class NotAgreedError(Exception):
    """Nothing was made; the message says why."""


def agree(place: Place, what: Iterable[str], *, yes: bool) -> None:
    """Tell the account, its Region and the caller, say what will be made, and ask for a yes.

    Args:
        place: Where it will be made.
        what: Lines for a person: what, how many calls, how long, what it costs, what is deleted.
        yes: Agreed beforehand; it is told all the same.

    Raises:
        NotAgreedError: The answer is no, or there is no terminal to ask at.
    """
    print(f"AWS account {place.account}, Region {place.region}\nas {place.caller}\n")
    print("\n".join(what), flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotAgreedError("Nobody can be asked here, without a terminal: agree by YES=1.")
    # Whatever reads a terminal loses a Ctrl-C that comes right before it waits, but not for long.
    print("\nBegin? [y/N] ", end="", flush=True)
    while not select.select([sys.stdin], [], [], _LOST_FOR_SECONDS)[0]:
        pass
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise NotAgreedError("Nothing was made.")
