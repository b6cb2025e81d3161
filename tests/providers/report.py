"""Plays all contracts, prints a table of the providers, and says what was otherwise.

The tests play the same contracts.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.providers.contract import CONTRACTS, contracts_of
from tests.providers.stage import Stage
from token_refresher_cli.catalogue import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.providers.contract import Contract

WIDTH: Final = 80
LEGEND: Final = "refresh: what becomes of a used refresh token, and how long it is still taken"


@dataclass(frozen=True, slots=True)
class Played:
    """A contract, and what was otherwise than it says."""

    contract: Contract
    differences: Sequence[str]


def play_all(contracts: Iterable[Contract]) -> list[Played]:
    """Play contracts, one after the other at one server."""
    with Stage() as stage:
        return [Played(contract, stage.play(contract)) for contract in contracts]


def table(played: Sequence[Played]) -> Table:
    """Write what is known of each provider, and how many of its contracts hold."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("provider", "grants", "auth", "lives", "refresh", "ok"):
        made.add_column(heading, overflow="fold")
    asked = Counter(each.contract.provider for each in played)
    held = Counter(each.contract.provider for each in played if not each.differences)
    for name in sorted(asked):
        one = listed(name)
        made.add_row(
            f"{name}\n{one.entry.title}",
            "\n".join(grant.name.rpartition(":")[2] for grant in one.grants),
            "\n".join(_method(grant.authentication) for grant in one.grants),
            "\n".join(grant.lives for grant in one.grants),
            one.refresh_tokens.partition(":")[0].removesuffix(" of grace").replace(", ", "\n"),
            f"{held[name]}/{asked[name]}",
        )
    return made


def main() -> int:
    """Play what is asked for; 1 where a contract does not hold."""
    parser = argparse.ArgumentParser(prog="make providers", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these providers")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="a directory of them")
    arguments = parser.parse_args()
    contracts = [
        contract
        for contract in contracts_of(arguments.contracts)
        if not arguments.names or contract.provider in arguments.names
    ]
    played = play_all(contracts)
    Console(width=WIDTH, highlight=False, markup=False).print(table(played))
    sys.stdout.write(f"{LEGEND}\n")
    broken = [each for each in played if each.differences]
    for each in broken:
        for difference in each.differences:
            sys.stdout.write(f"{each.contract}: {difference}\n")
    providers = len({each.contract.provider for each in played})
    sys.stdout.write(f"{providers} providers, {len(played)} contracts, {len(broken)} do not hold\n")
    return 1 if broken or not played else 0


def _method(name: str) -> str:
    """Write a method as a column of five has room for."""
    return name.removeprefix("client_secret_")
