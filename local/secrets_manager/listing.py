"""Filters and pages of listings as AWS documents them.

Filters match the beginnings of names and tags, case included: a filter for ``oauth/tokens/`` must
not find ``OLX/tokens/`` nor ``archive/oauth/tokens/``.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from local.secrets_manager.refusals import malformed, wrong_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Found = TypeVar("Found")
Json: TypeAlias = dict[str, Any]

MOST_IN_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class Searched:
    """What filters look at in a secret."""

    name: str
    description: str
    tags: Mapping[str, str]
    primary_region: str = ""


SEARCHED: dict[str, Callable[[Searched], list[str]]] = {
    "name": lambda secret: [secret.name],
    "description": lambda secret: [secret.description.lower()],
    "tag-key": lambda secret: list(secret.tags),
    "tag-value": lambda secret: list(secret.tags.values()),
    "primary-region": lambda secret: [secret.primary_region],
    "owning-service": lambda _: [],
    "all": lambda secret: [
        text.lower()
        for text in (secret.name, secret.description, *secret.tags, *secret.tags.values())
    ],
}
CASE_IGNORED = ("description", "all")


def check_filters(filters: Sequence[Json]) -> None:
    """Refuse filters that AWS does not know."""
    for wanted in filters:
        if wanted["Key"] not in SEARCHED:
            raise malformed(f"Filters: there is no key {wanted['Key']}.")


def passes(secret: Searched, filters: Sequence[Json]) -> bool:
    """Tell whether a secret passes every filter."""
    return all(_passes(secret, wanted["Key"], wanted["Values"]) for wanted in filters)


def _passes(secret: Searched, key: str, values: Sequence[str]) -> bool:
    """Tell whether one of the values begins one of the texts; ``!`` before a value negates it."""
    texts = SEARCHED[key](secret)
    for value in values:
        beginning = value.removeprefix("!")
        if key in CASE_IGNORED:
            beginning = beginning.lower()
        if any(text.startswith(beginning) for text in texts) != value.startswith("!"):
            return True
    return False


def cut_page(
    found: Sequence[Found], request: Json, *, at_most: int = MOST_IN_A_PAGE
) -> tuple[Sequence[Found], Json]:
    """Cut one page out of all that was found; the token of the next is a position."""
    size = request.get("MaxResults", at_most)
    if not 1 <= size <= at_most:
        raise malformed(f"MaxResults is between 1 and {at_most}.")
    start = _position(request.get("NextToken"))
    end = start + size
    following = {} if end >= len(found) else {"NextToken": base64.b64encode(b"%d" % end).decode()}
    return found[start:end], following


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise wrong_page("NextToken was not given out by this API.") from None
