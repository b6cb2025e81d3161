"""Filters and pages of listings as AWS documents them.

Filters match the beginnings of names, case included: a filter for ``oauth/tokens/`` must
not find ``OLX/tokens/`` nor ``archive/oauth/tokens/``.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from local.secrets_manager.refusals import malformed, wrong_page

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = TypeVar("Found")
Json: TypeAlias = dict[str, Any]

MOST_IN_A_PAGE = 100


def check_filters(filters: Sequence[Json]) -> None:
    """Refuse filters other than by name: AWS knows more, and nothing here asks for them."""
    for wanted in filters:
        if wanted["Key"] != "name":
            raise malformed(f"Filters: there is no key {wanted['Key']}.")


def passes(name: str, filters: Sequence[Json]) -> bool:
    """Tell whether a secret passes every filter: whether one of its values begins the name."""
    return all(name.startswith(tuple(wanted["Values"])) for wanted in filters)


def cut_page(found: Sequence[Found], request: Json) -> tuple[Sequence[Found], Json]:
    """Cut one page out of all that was found; the token of the next is a position."""
    size = request.get("MaxResults", MOST_IN_A_PAGE)
    if not 1 <= size <= MOST_IN_A_PAGE:
        raise malformed(f"MaxResults is between 1 and {MOST_IN_A_PAGE}.")
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
