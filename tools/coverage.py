"""Counts how many providers of a public table the credentials' format can express.

``python -m tools.coverage PATH`` reads a table as NangoHQ/nango keeps one
(``packages/providers/providers.yaml``); no table is part of this project. For each provider it
writes the credentials that an account's owner would store, with invented values, and lets the
program judge them: they must validate, the request that follows from them must be the one that the
table asks for, and a response of the table's shape must be read and published.

Counted are the providers whose tokens end and are renewed by a machine:

- *logins*: ``BILL``, and each ``TWO_STEP`` whose first request names no ``grant_type``;
- *OAuth*: ``OAUTH2``, ``OAUTH2_CC``, ``MCP_OAUTH2``, ``MCP_OAUTH2_GENERIC``, ``APP``, ``CUSTOM``,
  and every other ``TWO_STEP``; but none without a token endpoint, unless it is found by discovery,
  and no ``OAUTH2`` that tells how a code is exchanged and nothing of a renewal.

Where a provider wants a signed assertion, the program makes it, and a signer in memory signs it:
its header and its claims must be those of the table.

What the table leaves to the code beside it stands in ``coverage.yaml``.

The table does not tell whether a token ends. So more are counted than in `AUGUST_2026`, when those
of OAuth whose tokens live forever had been looked up one by one.

What the table says of a token's *use* is its consumers' concern, and not asked for; but what it
keeps of the response must be published. Where it does not tell a lifetime, the owner does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import sys
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn
from urllib.parse import parse_qsl

import msgspec
import yaml

from token_refresher.errors import CredentialsError
from token_refresher.model import PublishedToken
from token_refresher.oauth.assertions import OWN_CLAIMS
from token_refresher.oauth.dialect import RFC_6749
from token_refresher.oauth.errors import OAuthError
from token_refresher.oauth.signatures import made
from token_refresher.oauth.token_request import token_request
from token_refresher.oauth.token_response import bearer_token, lifetime, read_token_response
from token_refresher.parsing import NAMED_GRANTS, parse_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from token_refresher.credentials import Credentials

Entry = dict[str, Any]
Kind = Literal["oauth", "login"]

# The table of August 2026: providers, OAuth with tokens that end, logins.
AUGUST_2026: Final = (981, 476, 40)
COLUMNS: Final = 80

_OAUTH: Final = frozenset(
    {"APP", "CUSTOM", "MCP_OAUTH2", "MCP_OAUTH2_GENERIC", "OAUTH2", "OAUTH2_CC"}
)

# What a provider can need that the format does not say.
STEPS: Final = "another request, with what the first one's response holds"
COMPUTED: Final = "a hash over the request or its time"
NEW_EACH_TIME: Final = "a value that is another one with each request"
XML: Final = "a request in XML"
NO_JSON: Final = "a response that is nothing but the token, and no JSON"
NO_TOKEN: Final = "a response without a token: the old one lives on"  # noqa: S105 - a reason
RESPONSE_HEADER: Final = "a header of the response, which consumers need"

NOW: Final = datetime(2026, 8, 21, 12, tzinfo=UTC)
LIFETIME: Final = timedelta(hours=1)
# No b64token, and without a token_type: as many of the large ones send it.
TOKEN: Final = "invented|access!token#1"  # noqa: S105 - made up
CLIENT: Final = "invented-client"
REFRESH_TOKEN: Final = "invented-refresh-token"  # noqa: S105 - likewise
NEXT_REFRESH_TOKEN: Final = "invented-next-refresh-token"  # noqa: S105 - likewise
ASSERTION: Final = "invented-assertion"
CERTIFICATE: Final = {
    "certificate": "-----BEGIN CERTIFICATE-----\ninvented\n-----END CERTIFICATE-----\n",
    "private_key": "-----BEGIN PRIVATE KEY-----\ninvented\n-----END PRIVATE KEY-----\n",
}
# A ready-made assertion that lives so long can be stored as other credentials are.
_LONG: Final = timedelta(days=365)


class InexpressibleError(Exception):
    """The provider needs what the format cannot say; the message is the reason."""


@dataclass(frozen=True)
class Signed:
    """What an assertion must say, that is signed for each request; `ASSERTION` stands for it.

    Attributes:
        header: All of it but ``typ``.
        claims: All but those that are another in each.
    """

    header: Mapping[str, str]
    claims: Mapping[str, object]

    @property
    def client(self) -> str:
        """Whose it is, unless the request says so itself."""
        return str(self.claims["iss"])


@dataclass(frozen=True)
class Demand:
    """What a provider asks for, and what it sends: the request and the response of the table.

    Attributes:
        url: With its query, but for the parameters that are sent there.
        parameters: With invented values.
        form: Where the parameters are.
        method: Of HTTP.
        headers: By lower-case names.
        token: The paths of the response; None where the response has no such thing.
        published: Paths of what consumers need besides.
        lifetime: Of the token; told by its owner where the response has no path for it.
        signed: Where `ASSERTION` is not ready-made.
        has_certificate: Whether the client shows one.
    """

    url: str
    parameters: Mapping[str, object]
    form: str = "form"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str = "access_token"  # noqa: S105 - a path
    refresh_token: str | None = None
    expires_in: str | None = "expires_in"
    expires_in_unit: str = "seconds"
    expires_at: str | None = None
    published: tuple[str, ...] = ()
    lifetime: timedelta = LIFETIME
    signed: Signed | None = None
    has_certificate: bool = False


def main(arguments: list[str]) -> int:
    """Print the figures of a table.

    Returns:
        0, whatever the figures are; 2 without a path.
    """
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tools.coverage PATH\n")
        return 2
    print("\n".join(report(load(Path(arguments[0])))))
    return 0


def load(path: Path) -> dict[str, Entry]:
    """Read a table; an entry with an ``alias`` has all that it does not say from the other one."""
    table: dict[str, Entry] = yaml.safe_load(path.read_text(encoding="utf-8"))

    def whole(entry: Entry) -> Entry:
        return {**whole(table[entry["alias"]]), **entry} if "alias" in entry else entry

    left = left_to_code()
    return {name: whole(entry) | left.get(name, {}) for name, entry in table.items()}


def left_to_code() -> dict[str, Entry]:
    """Read what the table leaves to the code beside it."""
    path = Path(__file__).with_suffix(".yaml")
    found: dict[str, Entry] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: entry for name, entry in found.items() if not name.startswith(".")}


def kind_of(entry: Entry) -> Kind | None:
    """Tell whether a provider counts, and as what; the rule is the module's."""
    mode = entry.get("auth_mode")
    if mode == "TWO_STEP":
        names_grant = "grant_type" in _of(entry, "token_params")
        return "oauth" if names_grant or "grant_type=" in entry["token_url"] else "login"
    if mode == "BILL":
        return "login"
    if mode not in _OAUTH or not (entry.get("token_url") or mode == "MCP_OAUTH2_GENERIC"):
        return None
    exchanges = _of(entry, "token_params").get("grant_type") == "authorization_code"
    renews = any(
        each in entry for each in ("refresh_params", "refresh_token_params", "refresh_url")
    )
    return None if mode == "OAUTH2" and exchanges and not renews else "oauth"


def reason_against(entry: Entry) -> str | None:
    """Tell why the format cannot express a provider; None where it can."""
    try:
        demand = demand_of(entry)
        judge(demand, credentials_of(demand))
    except (InexpressibleError, CredentialsError, OAuthError) as error:
        return str(error)
    return None


def report(table: Mapping[str, Entry]) -> Iterator[str]:
    """Write the figures, totals first, then each reason with the names of whom it concerns."""
    kinds = {name: kind_of(entry) for name, entry in table.items()}
    against = {name: reason_against(table[name]) for name, kind in kinds.items() if kind}
    counted = {
        title: [against[name] for name, kind in kinds.items() if kind and kind in of]
        for title, of in (
            ("OAuth, tokens that end", ("oauth",)),
            ("logins of their own", ("login",)),
            ("both", ("oauth", "login")),
        )
    }
    yield f"{len(table):,} providers, {len(against):,} of them with tokens that a machine renews"
    yield ""
    yield f"{'':<26}{'counted':>9}{'expressible':>13}{'share':>9}{'not':>6}"
    for title, reasons in counted.items():
        can = reasons.count(None)
        share = f"{100 * can / len(reasons):.1f} %" if reasons else ""
        yield f"{title:<26}{len(reasons):>9}{can:>13}{share:>9}{len(reasons) - can:>6}"
    of_august = sum(AUGUST_2026[1:])
    without = sum(reason is not None for reason in against.values())
    yield ""
    yield from textwrap.wrap(
        "In August 2026 the table had {:,} providers, {} of OAuth and {} logins: those of OAuth "
        "whose tokens never end had been left out, which the table does not tell. Even if all that "
        "are not expressible were among these {}, {:.1f} % of these would be.".format(
            *AUGUST_2026, of_august, 100 * (of_august - without) / of_august
        ),
        COLUMNS,
    )
    names: dict[str, list[str]] = defaultdict(list)
    for name, reason in sorted(against.items()):
        if reason is not None:
            names[reason].append(name)
    for reason, of in sorted(names.items(), key=lambda each: (-len(each[1]), each[0])):
        yield ""
        yield from _hanging(f"{len(of):>3}  ", reason)
        yield from _hanging(" " * 5, ", ".join(of))


def _hanging(beginning: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=beginning,
        subsequent_indent=" " * len(beginning),
        break_on_hyphens=False,
    )


# What the table says: the request


def demand_of(entry: Entry) -> Demand:
    """Read what a provider asks for, with invented values.

    Raises:
        InexpressibleError: It is none of what a single request can say.
    """
    mode = entry["auth_mode"]
    if mode in ("APP", "CUSTOM"):
        # What the table leaves to the code of its owner: an app of GitHub's, here or as one way in.
        url = entry["token_url"]
        entry = entry | _APP | {"token_url": url if isinstance(url, str) else url["APP"]}
    if mode == "BILL":
        # Likewise; the session ends when it is idle so long.
        names = ("username", "password", "organizationId", "devKey")
        entry = entry | {
            "token_params": {name: f"${{credentials.{name}}}" for name in names},
            "token_response": {"token": "sessionId"},
            "token_expires_in_ms": 35 * 60 * 1000,
        }
    if "token_response" in entry:
        demand = _of_request(entry)
    elif mode == "OAUTH2_CC":
        demand = _of_client_credentials(entry)
    else:
        demand = _of_refresh_token(entry)
    demand = replace(
        demand,
        signed=_signed(entry, demand),
        has_certificate=bool(entry.get("require_client_certificate")),
    )
    milliseconds = entry.get("token_expires_in_ms")
    if milliseconds is None:
        return demand
    # 0 stands for a lifetime that nobody tells.
    known = timedelta(milliseconds=milliseconds) or LIFETIME
    return replace(demand, lifetime=known, expires_in=None, expires_at=None)


_APP: Final[Entry] = {
    "token_headers": {"authorization": "Bearer ${token}", "accept": "application/vnd.github+json"},
    "token": {"header": {"alg": "RS256"}, "payload": {"iss": "${appId}"}},
    "token_response": {
        "token": "token",
        "token_expiration": "expires_at",
        "token_expiration_strategy": "expireAt",
    },
}


def _signed(entry: Entry, demand: Demand) -> Signed | None:
    """Read what an assertion must say; None without one that is signed for each request."""
    said = _of(entry, "token") or _of(entry, "assertion")
    lasts = timedelta(seconds=int(said.get("lifetimeInSeconds", 0))) >= _LONG
    if lasts or ASSERTION not in f"{demand.parameters} {demand.headers}":
        return None
    client = str(demand.parameters.get("client_id", CLIENT))
    # Where the table leaves it to whoever signs: RFC 7523 section 3.
    usual = {"iss": client, "sub": client, "aud": demand.url}
    claims = _filled(said["payload"]) if "payload" in said else usual
    header = {"alg": "RS256", **_filled(_of(said, "header"))}
    return Signed(_without(header, "typ"), _without(claims, *OWN_CLAIMS))


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _of_refresh_token(entry: Entry) -> Demand:
    """A refresh token that a person has consented to (RFC 6749 section 6)."""
    said = entry.get("refresh_params") or entry.get("refresh_token_params")
    # Without any of its own, a renewal has the parameters of the exchange.
    said = _of(entry, "token_params") if said is None else said
    parameters = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN, **_filled(said)}
    # Clients that register themselves have no secret.
    is_public = entry.get("client_registration", "static") != "static"
    is_public |= entry["auth_mode"] == "MCP_OAUTH2_GENERIC"
    is_basic = entry.get("token_request_auth_method") == "basic"
    headers = {}
    if entry.get("token_request_auth_method") == "private_key_jwt":
        parameters |= _PROOF
    elif is_basic or entry.get("authorization_method") == "header":
        headers = _basic(CLIENT, "invented-secret")
    else:
        parameters["client_id"] = CLIENT
        if not is_public:
            parameters |= {"client_secret": "invented-secret"}
    beside = entry.get("alternate_access_token_response_path")
    token, refresh_token, expires_in = (
        f"{beside}.{name}" if beside else name
        for name in ("access_token", "refresh_token", "expires_in")
    )
    return Demand(
        url=_url(entry.get("refresh_url") or entry.get("token_url") or DISCOVERED),
        parameters=parameters,
        form=entry.get("body_format", "form"),
        headers=headers,
        token=token,
        refresh_token=refresh_token,
        expires_in=expires_in,
        published=tuple(entry.get("token_response_metadata", ())),
    )


def _of_client_credentials(entry: Entry) -> Demand:
    """RFC 6749 section 4.4, or what its provider makes of it."""
    parameters = _filled(_of(entry, "token_params"))
    headers = {}
    match entry.get("token_request_auth_method"):
        case "basic":
            headers = _basic(CLIENT, "invented-secret")
        case "custom":
            parameters |= {"username": CLIENT, "password": "invented-secret"}
        case "private_key_jwt":
            parameters |= _PROOF
        case _:
            parameters |= {"client_id": CLIENT, "client_secret": "invented-secret"}
    if "oauth_scopes" in _of(entry, "connection_config"):
        separator = entry.get("scope_separator", " ")
        parameters["scope"] = separator.join(("invented.read", "invented.write"))
    headers |= _filled_headers(_of(entry, "token_headers"))
    return Demand(
        url=_url(entry["token_url"]),
        parameters=parameters,
        form=entry.get("body_format", "form"),
        headers=headers,
        expires_in_unit=entry.get("expires_in_unit", "seconds"),
        published=tuple(entry.get("token_response_metadata", ())),
    )


def _of_request(entry: Entry) -> Demand:
    """A request that the table spells out, and where the token is in its response."""
    if entry.get("body_format") == "xml":
        raise InexpressibleError(XML)
    entry = _without_discovery(entry)
    parameters = _of(entry, "token_params")
    # A token that is renewed by itself; any other login is sent once more, and needs no renewal.
    headers = entry.get("refresh_token_headers") or _of(entry, "token_headers")
    said = entry["token_response"]
    for reason, is_so in (
        (COMPUTED, _COMPUTED.search(f"{parameters} {headers}")),
        (NEW_EACH_TIME, _NEW.search(f"{parameters} {headers}")),
        (NO_TOKEN, said["token"] is None),
        (NO_JSON, not said["token"]),
        (RESPONSE_HEADER, entry.get("token_response_headers")),
    ):
        if is_so:
            raise InexpressibleError(reason)
    sends_refresh_token = "${refresh_token}" in str(parameters)
    url = _url((sends_refresh_token and entry.get("refresh_url")) or entry["token_url"])
    method = entry.get("token_request_method", "POST")
    form = "query" if method == "GET" else entry.get("body_format", "json")
    parameters = _filled(parameters)
    if "?" in url and not parameters:
        # Nothing is sent but the query.
        url, _, query = url.partition("?")
        parameters, form = dict(parse_qsl(query, keep_blank_values=True)), "query"
    expiry, strategy = said.get("token_expiration"), said.get("token_expiration_strategy")
    return Demand(
        url=url,
        parameters=parameters,
        form=form,
        method=method,
        headers=_filled_headers(headers),
        token=said["token"],
        refresh_token=said.get("refresh_token"),
        expires_in=expiry if strategy == "expireIn" else None,
        expires_at=expiry if strategy == "expireAt" else None,
        # What discovery has told, its owner knows.
        published=()
        if "additional_steps" in entry
        else tuple(entry.get("token_response_metadata", ())),
    )


def _without_discovery(entry: Entry) -> Entry:
    """Leave out requests that only find out where the token endpoint is: owners do that once."""
    steps = entry.get("additional_steps", [])
    if not steps:
        return entry
    before, last = [entry, *steps[:-1]], steps[-1]
    asks_only = all(
        each.get("token_request_method") == "GET" and not each.get("token_params")
        for each in before
    )
    if not asks_only or "${step" in str({**last, "token_url": ""}):
        raise InexpressibleError(STEPS)
    replaced: Entry = {"token_request_method": "POST", "token_headers": {}, "token_params": {}}
    return {**entry, **replaced, **last}


# RFC 7521 section 4.2.
_PROOF: Final = {
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": ASSERTION,
}
DISCOVERED: Final = "https://found.invented.example/token"
_COMPUTED: Final = re.compile(r"\$\{(?!base64\()\w+\(")
_NEW: Final = re.compile(r"\$\{(now|random)\b")
_BASE64: Final = re.compile(r"\$\{base64\((.*)\)\}")
_HOLE: Final = re.compile(r"\$\{([^{}()]*)\}")


def _of(entry: Entry, name: str) -> Entry:
    return entry.get(name) or {}


def _url(template: str) -> str:
    """Fill in an address: the first of several, a host where a host is asked for."""
    first = re.sub(r"^\$\{[^}]*\}", "https://found.invented.example", _first(template))
    host, slash, rest = first.removeprefix("https://").partition("/")
    if _HOLE.fullmatch(host):
        host = "host.invented.example"
    return "https://" + _HOLE.sub("invented", host) + slash + _fill(rest)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _fill_any(value) for name, value in values.items()}


def _fill_any(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return _filled(value)
    return _fill(value) if isinstance(value, str) else value


def _filled_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): _fill(str(value)) for name, value in headers.items()}


def _first(alternatives: str) -> str:
    return alternatives.partition("||")[0].strip()


def _fill(template: str) -> str:
    """Fill in a text: the first of several."""
    text = _first(template) if "${" in template else template
    text = _BASE64.sub(lambda found: _base64(_fill(found[1])), text)
    return _HOLE.sub(lambda found: _INVENTED.get(found[1]) or _invented(found[1]), text)


_INVENTED: Final = {
    "clientId": CLIENT,
    "credentials.assertion": ASSERTION,
    "credentials.certificateThumbprint": "invented".ljust(43, "-"),
    "refresh_token": REFRESH_TOKEN,
    "token": ASSERTION,
}


def _invented(hole: str) -> str:
    return "invented-" + re.sub(r"[^a-z0-9]", "", hole.rpartition(".")[2].lower())


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _basic(client_id: str, client_secret: str) -> dict[str, str]:
    return {"authorization": f"Basic {_base64(f'{client_id}:{client_secret}')}"}


# What the owner stores


def credentials_of(demand: Demand) -> dict[str, object]:
    """Write the credentials that an account's owner would store."""
    parameters, headers = dict(demand.parameters), dict(demand.headers)
    said: dict[str, Any] = {"token_endpoint": demand.url, "token_endpoint_auth_method": "none"}
    said |= CERTIFICATE if demand.has_certificate else {}
    grant_type = parameters.pop("grant_type", None)
    if grant_type is not None:
        said["grant_type"] = grant_type
        said |= _client(parameters, headers)
    headers.pop("content-type", None)
    if headers.get("accept") == "application/json":
        del headers["accept"]
    templates = {REFRESH_TOKEN: "{refresh_token}", ASSERTION: "{assertion}"}
    own = {
        "password": ("username", "password"),
        "refresh_token": ("refresh_token",),
        "urn:ietf:params:oauth:grant-type:jwt-bearer": ("assertion",),
    }.get(str(grant_type), ())
    said |= {name: parameters.pop(name) for name in own if name in parameters}
    if grant_type is not None and "scope" in parameters:
        said["scope"] = parameters.pop("scope")
    if grant_type in NAMED_GRANTS:
        said["extra_parameters"] = parameters
    else:
        for value, name in templates.items():
            if value in f"{parameters} {headers}":
                said[name.strip("{}")] = value
        said["grant_parameters"] = _with_templates(parameters, templates)
    if demand.signed is not None:
        said.setdefault("client_id", demand.signed.client)
        said["assertion"] = _described(demand.signed, said["client_id"], demand.url)
    said["request_headers"] = _with_templates(headers, templates)
    said["dialect"] = _dialect(demand)
    if demand.expires_in is demand.expires_at is None:
        said["assumed_expires_in"] = int(demand.lifetime.total_seconds())
    if demand.published:
        said["publish"] = {"fields": demand.published}
    return said


def _described(signed: Signed, client_id: str, url: str) -> dict[str, object]:
    """Say of an assertion what does not follow from the client and its server."""
    usual = {"iss": client_id, "sub": client_id, "aud": url}
    claims = {name: value for name, value in signed.claims.items() if value != usual.get(name)}
    return {**signed.header, "claims": dict.fromkeys(usual.keys() - signed.claims.keys()) | claims}


def _client(parameters: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Take the client out of where the table has it, and say how it authenticates."""
    pair = _pair(headers.get("authorization", ""))
    if pair is not None:
        del headers["authorization"]
        return {
            "client_id": pair[0],
            "client_secret": pair[1],
            "token_endpoint_auth_method": "client_secret_basic",
        }
    client: dict[str, Any] = {
        name: parameters.pop(name) for name in ("client_id", "client_secret") if name in parameters
    }
    if "client_assertion" in parameters:
        for name in _PROOF:
            del parameters[name]
        method = "private_key_jwt"
        return {**client, "token_endpoint_auth_method": method, "assertion": ASSERTION}
    if "client_secret" not in client:
        return client
    # Where its id has another name, it is sent under both.
    method = "client_secret_post"
    return {"client_id": CLIENT, "token_endpoint_auth_method": method, **client}


def _pair(authorization: str) -> list[str] | None:
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode().split(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return pair if scheme.lower() == "basic" and len(pair) == len(("id", "secret")) else None


def _with_templates(value: Any, templates: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _with_templates(each, templates) for name, each in value.items()}
    if isinstance(value, str):
        for known, name in templates.items():
            value = value.replace(known, name)
    return value


def _dialect(demand: Demand) -> dict[str, object]:
    """Say where the provider departs from RFC 6749, and nothing else."""
    said = {
        "request_method": demand.method,
        "request_format": demand.form,
        "access_token": demand.token,
        "refresh_token": demand.refresh_token,
        "expires_in": demand.expires_in,
        "expires_in_unit": demand.expires_in_unit,
        "expires_at": demand.expires_at,
    }
    return {
        name: value for name, value in said.items() if value not in (None, getattr(RFC_6749, name))
    }


# What the program makes of it


def judge(demand: Demand, stored: Mapping[str, object]) -> None:
    """Let the program read credentials, make the request from them and read the response.

    Raises:
        CredentialsError: They do not validate.
        InexpressibleError: The request is not the one that is asked for, or something is not found
            in the response.
        OAuthError: The response is not taken for a token response.
    """
    credentials = parse_credentials(json.dumps(stored))
    _require_request(demand, credentials)
    _require_response(demand, credentials)


def _require_request(demand: Demand, credentials: Credentials) -> None:
    """Compare the request that the program sends with the one that the table asks for."""
    token = credentials.refresh_token
    grant = credentials.grant if token is None else credentials.grant_by(token)
    client = credentials.client
    if (client.certificate is not None) != demand.has_certificate:
        raise InexpressibleError("another certificate than the program shows")
    asked, said = dict(demand.parameters), dict(demand.headers)
    if client.signs:
        assertion = made(client, _Signer(), now=NOW)
        _require_assertion(demand.signed, assertion)
        client = msgspec.structs.replace(client, assertion=assertion)
        asked, said = (_with_templates(each, {ASSERTION: assertion}) for each in (asked, said))
    method, url, headers, body = token_request(client, grant)
    if headers.get("Content-Type") != _CONTENT_TYPES[demand.form]:
        raise InexpressibleError("another format than the program sends")
    if demand.form == "json":
        parameters: dict[str, Any] = json.loads(body or b"")
    else:
        asked = {name: _as_form(value) for name, value in asked.items()}
        parameters = dict(parse_qsl((body or b"").decode(), keep_blank_values=True))
    if demand.form == "query":
        url, _, query = url.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        said.pop("content-type", None)
    # Where the client's id has another name, it is sent under both; and beside an assertion that
    # names the client, too (RFC 7521 section 4.2).
    if {"client_assertion", "client_secret"} & asked.keys() and "client_id" not in asked:
        parameters.pop("client_id", None)
    sent = sorted((name.lower(), value) for name, value in headers.items() if name.lower() in said)
    for what, is_alike in (
        ("method", method == demand.method),
        ("address", url == demand.url),
        ("set of parameters", parameters == asked),
        ("set of headers", sent == sorted(said.items())),
    ):
        if not is_alike:
            msg = f"another {what} than the program sends"
            raise InexpressibleError(msg)


class _Signer:
    """Has no key: whether a signature holds, the contracts of the providers' entries tell."""

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        """Tell apart what is signed how, and for whom."""
        return hashlib.sha256(f"{key} {alg}".encode() + message).digest()

    def identity_token(self, key: str, *, audience: str, alg: str) -> NoReturn:
        """Nobody of the table asks for one."""
        raise NotImplementedError(key, audience, alg)


def _require_assertion(signed: Signed | None, assertion: str) -> None:
    """Compare what the program signs with what the table asks for."""
    asked = signed or Signed({}, {})
    header, claims = (
        json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in assertion.split(".")[:2]
    )
    for what, is_alike in (
        ("header", _without(header, "typ") == asked.header),
        ("set of claims", _without(claims, *OWN_CLAIMS) == asked.claims),
    ):
        if not is_alike:
            msg = f"another {what} than the program signs"
            raise InexpressibleError(msg)


_CONTENT_TYPES: Final = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
    "query": None,
}


def _as_form(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_response(demand: Demand, credentials: Credentials) -> None:
    """Let the program read a response of the table's shape, and publish what is kept of it."""
    client = credentials.client
    content: Any = {}
    for path in demand.published:
        content = _with(content, path, "invented-value")
    seconds = demand.lifetime.total_seconds()
    unit = 1000 if demand.expires_in_unit == "milliseconds" else 1
    values: tuple[tuple[str | None, object], ...] = (
        (demand.expires_in, int(seconds) * unit),
        (demand.expires_at, (NOW + demand.lifetime).isoformat()),
        (demand.refresh_token, NEXT_REFRESH_TOKEN),
        # Last, since it may be the refresh token, too.
        (demand.token, TOKEN),
    )
    for place, value in values:
        if place is not None:
            content = _with(content, place, value)
    response = read_token_response(
        200, json.dumps(content).encode(), client=client, retry_after=None, now=NOW
    )
    token = bearer_token(response.access_token, response.token_type, dialect=client.dialect)
    renewal = TOKEN if demand.refresh_token == demand.token else NEXT_REFRESH_TOKEN
    for what, is_found in (
        ("token", token == TOKEN),
        ("lifetime", lifetime(response, issued_at=NOW, client=client) == demand.lifetime),
        ("refresh token", demand.refresh_token is None or response.refresh_token == renewal),
    ):
        if not is_found:
            msg = f"a {what} where the program does not find it in the response"
            raise InexpressibleError(msg)
    if credentials.publish is not None:
        issued_at = int(NOW.timestamp())
        standard = PublishedToken(
            access_token=token,
            token_type="Bearer",  # noqa: S106 - a word
            issued_at=issued_at,
            expires_at=issued_at + int(seconds),
        )
        kept = credentials.publish.values_of(response.content)
        credentials.publish.render(standard, kept, secrets=credentials.secrets)


def _with(content: Any, path: str, value: object) -> Any:  # noqa: ANN401 - JSON
    """Put a value into an object, at a path."""
    name, _, rest = path.partition(".")
    inner = _with(content.get(name) or {}, rest, value) if rest else value
    return {**content, name: inner}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
