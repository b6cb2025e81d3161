"""What the tree tells: modules, in the order of the layers, and what each alone may use."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import token_refresher
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_STAGE, PENDING, PREVIOUS
from tools.docs.blocks import Table, code, prose

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = Path(token_refresher.__file__).parent
# By the names that people know them by.
_KNOWN_AS: Final = {"aws_lambda_powertools": "Powertools"}


def modules() -> Table:
    """Every module of the program, from the top layer down."""
    found = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = [".".join(path.parts) for path in found if path.name != "__init__"]
    allowed = _allowed(names)
    rows = []
    for place, name in sorted((_place(name), name) for name in names):
        layer = ".".join(map(str, place))
        libraries = ", ".join(map(code, allowed[name]))
        rows.append((code(name), layer, _first_line(name), libraries))
    return Table(("module", "layer", "is for", "alone may use"), rows)


def stages() -> Table:
    """The version stages of an account's two secrets, with what they hold."""
    credentials, token = "`{prefix}/credentials/{account}`", "`{prefix}/tokens/{account}`"
    rows = [
        *((f"{code(stage)} of {credentials}",) for stage in (CURRENT, LEASE_STAGE, JOURNAL_STAGE)),
        *((f"{code(stage)} of {token}",) for stage in (CURRENT, PREVIOUS, PENDING)),
    ]
    return Table(("stage", "content", "written by", "read by"), rows)


def _contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return contracts


def _place(name: str) -> tuple[int, ...]:
    """Tell a module's layer, and its layer within the package that it is in; 1 is the top."""
    layers = {each["containers"][0]: each["layers"] for each in _contracts() if "layers" in each}
    container = token_refresher.__name__
    place: list[int] = []
    for part in name.split("."):
        for number, layer in enumerate(layers.get(container, ()), start=1):
            if part in re.findall(r"\w+", layer):
                place.append(number)
        container += f".{part}"
    return tuple(place)


def _first_line(name: str) -> str:
    """Tell what a module knows: the first line of its docstring."""
    path = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return prose(docstring.partition("\n")[0])


def _allowed(names: Sequence[str]) -> dict[str, list[str]]:
    """The libraries that the contracts forbid to all but one module, by that module."""
    allowed: dict[str, list[str]] = defaultdict(list)
    for contract in _contracts():
        for line in contract.get("ignore_imports", []):
            module, _, library = line.partition(" -> ")
            # The first library of a contract is the one that it is named for.
            if library in (contract["forbidden_modules"][0], "urllib3"):
                name = module.removeprefix("token_refresher.")
                for each in fnmatch.filter(names, name):
                    allowed[each].append(_KNOWN_AS.get(library, library))
    return allowed
