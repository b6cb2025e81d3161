"""Shows a person what went to a token endpoint and came back, with every secret masked.

It looks on from outside: what sends requests knows of no log.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from token_refresher.credentials import texts_in
from token_refresher.oauth.client_authentication import basic_authorization
from token_refresher.oauth.dialect import find
from token_refresher.oauth.errors import OAuthError
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher_cli.masking import (
    LONGEST,
    MASKED,
    Mask,
    named_in,
    plain_name,
    tells_secret,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from token_refresher.credentials import Credentials
    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.http_response import Response
    from token_refresher.oauth.token_request import TokenRequest

# Of a body that is shown; a terminal keeps what it shows, and a page says no more further down.
_MOST_LINES: Final = 60
_MOST_CHARACTERS: Final = 3_000
_DEEPEST: Final = 100

# Fields of a request that hold no secret; whatever else an account sends may be one.
_HARMLESS_FIELDS: Final = frozenset(
    {
        *("accountid", "actortokentype", "audience", "clientassertiontype", "clientid"),
        *("granttype", "requestedtokentype", "resource", "responsetype", "scope"),
        *("subjecttokentype", "username"),
    }
)
_HARMLESS_IN_REQUESTS: Final = frozenset({"accept", "content-type", "user-agent"})
_HARMLESS_IN_RESPONSES: Final = frozenset(
    {
        *("allow", "cache-control", "content-encoding", "content-length", "content-type", "date"),
        *("pragma", "retry-after", "server", "via", "www-authenticate", "x-amzn-errortype"),
    }
)
# What a provider's support asks for.
_IDENTIFIERS: Final = frozenset(
    {
        *("cf-ray", "request-id", "traceparent", "x-amzn-requestid", "x-correlation-id"),
        *("x-ms-request-id", "x-request-id"),
    }
)
# What is told of a signed assertion: of its header, and of its claims.
_OF_ASSERTIONS: Final = (
    ("alg", "kid", "x5t", "x5t#S256"),
    ("iss", "sub", "aud", "iat", "exp"),
)
_LONG_WORDS: Final = frozenset({"content-type", "date", "user-agent"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and what came of it; secret as a whole.

    Attributes:
        request: As it was sent, but for what the connection adds.
        response: Its status, headers and content; None where none came.
        error: Why none came.
        assertion: What was signed for it alone; None where nothing was.
    """

    request: TokenRequest
    response: Response | None
    error: OAuthError | None = None
    assertion: str | None = None

    def __repr__(self) -> str:
        """Hide everything: all of it may be secret."""
        return f"{type(self).__name__}(…)"


class WatchedExchanges(TokenEndpoint):
    """Token endpoints that are looked at while they are asked.

    Args:
        seen: Told of each exchange when it is over.
        arguments: As for what it is.
    """

    def __init__(self, *, seen: Callable[[Exchange], None], **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._seen = seen

    def exchange(self, request: TokenRequest, client: Client) -> Response:
        """Pass it on, and tell of it."""
        assertion = client.assertion if isinstance(client.assertion, str) else None
        try:
            response = super().exchange(request, client)
        except OAuthError as error:
            self._seen(Exchange(request, None, error, assertion))
            raise
        self._seen(Exchange(request, response, assertion=assertion))
        return response


def secrets_in(
    credentials: Credentials, exchanges: Iterable[Exchange], others: Iterable[str | None]
) -> set[str]:
    """Tell all secrets that are known by their value.

    Args:
        credentials: Of the account.
        exchanges: What was signed for them, and what came back; the tokens in it are where the
            dialect says, and under names that say so.
        others: Such as the refresh token in the journal.
    """
    client, entry = credentials.client, credentials.entry
    known = {*credentials.secrets, credentials.refresh_token, *others}
    # Its key is among the secrets; who shows a certificate need not show it to everybody.
    known.add(credentials.certificate)
    known |= set(basic_authorization(client).values())
    of_entry = [entry.extra_parameters, entry.request_headers]
    public = set(texts_in([*of_entry, credentials.entry_grant.grant_parameters]))
    for given in (
        credentials.own_parameters,
        credentials.extra_parameters,
        credentials.grant_parameters,
        credentials.request_headers,
        dict(parse_qsl(urlsplit(client.token_endpoint).query)),
        dict(parse_qsl(urlsplit(client.verify_url or "").query)),
    ):
        known |= set(_sent_in(given)) - public
    for each in exchanges:
        known.add(each.assertion)
        _, _, body = each.response or (0, {}, None)
        content = _parsed(body or b"", "")
        if content is None:
            known |= set(named_in(_text(body or b"")[:LONGEST]))
        for path in (client.dialect.access_token, client.dialect.refresh_token):
            known |= set(texts_in(find(content, path)))
        known |= set(_told_in(content))
    return {each for each in known if each}


def _sent_in(given: Mapping[str, object]) -> Iterator[str]:
    """The texts of a request that may be secret."""
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _sent_in(value)
        elif plain_name(name) not in _HARMLESS_FIELDS and name.lower() not in _HARMLESS_IN_REQUESTS:
            yield from texts_in(value)


def _told_in(content: object) -> Iterator[str]:
    """The texts of a response under names that tell a secret."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from texts_in(value) if tells_secret(name) else _told_in(value)
    elif isinstance(content, list):
        for each in content:
            yield from _told_in(each)


def shown(exchange: Exchange, mask: Mask, *, client: Client, is_again: bool = False) -> list[str]:
    """Write an exchange in lines for a terminal.

    Args:
        exchange: What was sent, and what came back.
        mask: Knows the account's secrets, and those of the response.
        client: Who asked.
        is_again: Whether the request is the one before, sent once more.
    """
    request = _request_lines(exchange, mask, client=client)
    lines = ["", "> the same request once more"] if is_again else [f"> {line}" for line in request]
    lines.append("")
    if exchange.response is None:
        return [*lines, f"< no response: {exchange.error}"]
    status, headers, body = exchange.response
    is_of_resource = exchange.request.url == client.verify_url
    lines += [f"< {line}" for line in _head_lines(status, headers, mask)]
    if body is None:
        content = ["(in a content encoding that is not read)"]
    elif is_of_resource and status < HTTPStatus.BAD_REQUEST:
        content = [f"({len(body):,} bytes of what the token gives access to, not shown)"]
    else:
        content = _body_lines(body, headers.get("Content-Type", ""), mask)
    return [*lines, "<", *(f"< {line}" for line in content)]


def _request_lines(exchange: Exchange, mask: Mask, *, client: Client) -> Iterator[str]:
    request, assertion = exchange.request, exchange.assertion
    url = urlsplit(request.url)

    def sent(name: str, value: object) -> str:
        return _sent(name, value, mask) + said(value)

    def said(value: object) -> str:
        is_signed = assertion is not None and isinstance(value, str) and assertion in value
        return _said_by(assertion or "", mask) if is_signed else ""

    yield f"{request.method} https://{mask.text(url.netloc)}{mask.path(url.path or '/')}"
    # A verify_url's query is a person's own, and none of its names is known.
    for name, value in parse_qsl(url.query, keep_blank_values=True):
        yield f"  ? {mask.name(name)}={sent(name, value)}"
    for name, value in request.headers.items():
        is_harmless = name.lower() in _HARMLESS_IN_REQUESTS
        scheme = f"{value.split(' ')[0]} " if name in basic_authorization(client) else ""
        told = mask.text(value, may_look_opaque=name.lower() in _LONG_WORDS)
        yield f"{mask.name(name)}: {told if is_harmless else f'{scheme}{MASKED}{said(value)}'}"
    if request.body is None:
        return
    yield ""
    written = request.body.decode()
    if client.dialect.request_format == "json":
        content = json.loads(written)
        masked = {mask.name(name): sent(name, value) for name, value in content.items()}
        yield from json.dumps(masked, indent=2, ensure_ascii=False).splitlines()
    else:
        for name, value in parse_qsl(written, keep_blank_values=True):
            yield f"{mask.name(name)}={sent(name, value)}"


def _said_by(assertion: str, mask: Mask) -> str:
    """Say which key has signed, who, for whom and when; empty for what is no JWT.

    No other claim is told, and nothing in the encoding that it is sent in.
    """
    try:
        header, claims, _ = assertion.split(".")
        read = [
            json.loads(base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)))
            for each in (header, claims)
        ]
    except ValueError:
        return ""
    said = [
        f"{name} {_one_line(mask.text(str(part[name]), may_look_opaque=True))}"
        for part, names in zip(read, _OF_ASSERTIONS, strict=True)
        for name in names
        if isinstance(part, dict) and isinstance(part.get(name), str | int | list)
    ]
    return f" ({', '.join(said)})" if said else ""


def _sent(name: str, value: object, mask: Mask) -> str:
    """Show a field of a request that is known to hold no secret."""
    is_harmless = plain_name(name) in _HARMLESS_FIELDS and isinstance(value, str)
    return mask.text(str(value), may_look_opaque=True) if is_harmless else MASKED


def _head_lines(status: int, headers: Mapping[str, str], mask: Mask) -> list[str]:
    known = {each.value: each.phrase for each in HTTPStatus}
    first = f"{status} {known.get(status, '')}".strip()
    lines = [*_header_lines(headers, mask)]
    fields = [line.partition(": ") for line in lines]
    names, values = [name for name, _, _ in fields], [value for _, _, value in fields]
    is_told = mask.is_in_pieces(names) or mask.is_in_pieces(values)
    return [first, *([MASKED] if is_told else lines)]


def _header_lines(headers: Mapping[str, str], mask: Mask) -> Iterator[str]:
    for name, value in headers.items():
        lower = name.lower()
        if lower == "location":
            yield f"{name}: {_location(value, mask)}"
        elif lower in _HARMLESS_IN_RESPONSES or lower in _IDENTIFIERS:
            is_long = lower in _IDENTIFIERS or lower in _LONG_WORDS
            yield f"{name}: {_one_line(mask.text(value, may_look_opaque=is_long))}"
        else:
            yield f"{_one_line(mask.name(name))}: {MASKED}"


def _location(value: str, mask: Mask) -> str:
    """Show where a redirect leads, without its query."""
    try:
        url = urlsplit(visible(value))
        place = f"{url.scheme}://{mask.text(url.netloc)}" if url.netloc else ""
    except ValueError:
        return MASKED
    if url.username is not None or "@" in url.netloc:
        return MASKED
    return _one_line(f"{place}{mask.path(url.path)}{'?' + MASKED if url.query else ''}")


def _body_lines(body: bytes, content_type: str, mask: Mask) -> list[str]:
    if not body.strip():
        return ["(no content)"]
    content, text = _parsed(body, content_type), _text(body)
    is_looked_through = content is not None or len(text) <= LONGEST
    if content is not None:
        masked = mask.value("", content)
        lines = json.dumps(masked, indent=2, ensure_ascii=False).splitlines()
        names, values = _told_apart(masked)
        if mask.is_in_pieces(names) or mask.is_in_pieces(values):
            return [MASKED]
    else:
        # Of a word that is cut the mask knows too little.
        begun = text if is_looked_through else text[:LONGEST].rpartition(" ")[0]
        lines = [line.rstrip() for line in mask.text(begun).splitlines()]
        lines = [line for line in lines if line]
        if mask.is_in_pieces(lines):
            return [MASKED]
    kept, left = [], _MOST_CHARACTERS
    for line in lines[:_MOST_LINES]:
        if left <= 0:
            break
        kept.append(_one_line(line)[:left])
        left -= len(line)
    is_whole = is_looked_through and len(kept) == len(lines) and left >= 0
    return kept if is_whole else [*kept, f"… (cut; {len(body):,} bytes in all)"]


def _told_apart(content: object) -> tuple[list[str], list[str]]:
    """Tell all names and all values of JSON, each in its order."""
    if isinstance(content, dict):
        below = [*map(_told_apart, content.values())]
        names = list(map(str, content))
    elif isinstance(content, list):
        below, names = [*map(_told_apart, content)], []
    else:
        return [], [str(content)]
    for more, _ in below:
        names += more
    return names, [each for _, values in below for each in values]


def _one_line(text: str) -> str:
    return visible(text).replace("\n", " ")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _is_flat(text: str) -> bool:
    """Whether JSON is nested no deeper than anybody can read."""
    depths = accumulate(1 if each in "[{" else -1 for each in re.findall(r"[\[\]{}]", text))
    return max(depths, default=0) <= _DEEPEST


def _parsed(body: bytes, content_type: str) -> object:
    """Parse JSON, or a form; None for what is neither."""
    try:
        content: object = json.loads(_text(body)) if _is_flat(_text(body)) else None
    except ValueError:
        content = None
    if isinstance(content, dict | list):
        return content
    text = _text(body).strip()
    is_form = re.fullmatch(r"[\w.%-]+=[^\s<>{}\"]*", text) is not None
    if is_form or "x-www-form-urlencoded" in content_type.lower():
        return dict(parse_qsl(text, keep_blank_values=True)) or None
    return None
