"""What a request has that its contract does not say, and the other way round.

Pure. It is told in words: names are, and what no secret can be; a parameter's value never.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote_plus, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.authorization_server.https import Request as Received
    from tests.providers.contract import Request

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
# What any client sends of itself. All else is there only where the contract names it.
_OF_A_CLIENT: Final = frozenset(
    {"accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"}
)
ASSERTION: Final = "{assertion}"
# RFC 7515 section 7.1; with an empty signature it is one, too.
_COMPACT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
# What may be told of these is in every log of a server.
_TOLD: Final = frozenset({"accept", "content-type", "host", "user-agent"})


def differences(received: Received, demanded: Request) -> list[str]:
    """Tell in how many ways a request is another one than was demanded; none where it is that."""
    demanded = _with_assertion(demanded, assertion_in(received))
    address, asked = urlsplit(demanded.url), urlsplit(received.path)
    return [
        *_differs("method", received.method, demanded.method),
        *_differs("path", asked.path, address.path),
        *_headers(received, {"Host": address.netloc, **demanded.headers}),
        *_parameters("query", _pairs(asked.query), demanded.query),
        *_body(received, demanded),
    ]


def assertion_in(received: Received) -> str:
    """Find the assertion of a request, in whatever place it is; empty where there is none."""
    texts = [*received.headers.values(), unquote_plus(received.body.decode())]
    found = (_COMPACT.search(text) for text in texts)
    return next((each[0] for each in found if each), "")


def _with_assertion(demanded: Request, assertion: str) -> Request:
    """Put what was sent in the place of ``{assertion}``; what it says is judged elsewhere.

    RFC 7521 section 4.2: whom an assertion authenticates may name itself beside it, as its subject.
    """
    if demanded.assertion is None:
        return demanded
    text = msgspec.json.encode(demanded).decode()
    filled = msgspec.json.decode(text.replace(ASSERTION, assertion), type=type(demanded))
    if filled.form is None or "client_assertion" not in filled.form:
        return filled
    named = {"client_id": demanded.assertion.client, **filled.form}
    return msgspec.structs.replace(filled, form=named)


def _differs(what: str, found: str, demanded: str) -> Iterator[str]:
    if found != demanded:
        yield f"{what} is {found} and not {demanded}"


def _headers(received: Received, demanded: Mapping[str, str]) -> Iterator[str]:
    names = {name.lower() for name in demanded}
    for name in received.headers:
        if name.lower() not in names | _OF_A_CLIENT:
            yield f"header {name} is not in the contract"
    for name, value in demanded.items():
        found = received.headers.get_all(name, [])
        if not found:
            yield f"header {name} is missing"
        elif found != [value]:
            shown = f": {found[0]} and not {value}" if name.lower() in _TOLD else ""
            yield f"header {name} is another{shown}"


def _body(received: Received, demanded: Request) -> Iterator[str]:
    kind = received.headers.get("Content-Type", "")
    if demanded.form is not None:
        yield from _differs("format", kind, FORM)
        if kind == FORM:
            yield from _parameters("form", _pairs(received.body.decode()), demanded.form)
    elif demanded.json is not None:
        yield from _differs("format", kind, JSON)
        if kind == JSON:
            yield from _parameters("JSON", json.loads(received.body), demanded.json)
    elif received.body:
        yield "there is a body"


def _parameters(where: str, found: Mapping[str, Any], demanded: Mapping[str, Any]) -> Iterator[str]:
    for name in demanded:
        if name not in found:
            yield f"{where}: {name} is missing"
        elif found[name] != demanded[name]:
            yield f"{where}: {name} is another"
    for name in found:
        if name not in demanded:
            yield f"{where}: {name} is not in the contract"


def _pairs(encoded: str) -> dict[str, str | list[str]]:
    found = parse_qs(encoded, keep_blank_values=True, strict_parsing=bool(encoded))
    return {name: each[0] if len(each) == 1 else each for name, each in found.items()}
