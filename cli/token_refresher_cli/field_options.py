"""The options that give fields of the credentials: each field that is no secret has one.

What is secret is never taken from an option, which a shell keeps in its history; of a private key
the file is named.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec
import typer

from token_refresher.credentials import ASSERTION, REFRESH_TOKEN
from token_refresher.oauth.certificates import CertificatesError, authorities_of
from token_refresher.oauth.client_authentication import AuthMethod
from token_refresher_cli.client_certificate import PemFileError, read_pem
from token_refresher_cli.fields import FormError, is_secret
from token_refresher_cli.options import with_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from token_refresher_cli.fields import Slot

# By the panel of the help; an option's name is its field's, or that of one part of it.
PANELS: Final[Mapping[str, Mapping[str, str]]] = {
    "Fields of the credentials": {
        "provider": "Whose tokens: a name that `token-refresher providers` lists.",
        "provider_parameter": "A parameter of the provider; may be repeated.",
        "token_endpoint": "The https URL of a server that is no provider here.",
        "issuer": "The URL of such a server, to find its token_endpoint by.",
        "token_endpoint_auth_method": "How the client authenticates: client_secret_basic, "
        "client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth or none.",
        "grant_type": "How the account gets tokens, such as client_credentials.",
        "client_id": "The client's id, as registered at the server.",
        "username": "Whose password the password grant sends.",
        "partner_code": "The code that the partner grant sends.",
        "scope": "What tokens are for, in one space-delimited string.",
    },
    "Fields for what is signed": {
        "assertion": "What is signed: signer, audience, alg, kid, x5t, x5t#S256 or expires_in, "
        "such as alg=ES256.",
        "claim": "A claim of it: NAME=TEXT, or NAME:=JSON; null leaves out a usual one.",
        "certificate": "PEM file: the client's certificate for mutual TLS.",
        "private_key": "PEM file: that certificate's key.",
    },
    "Fields for what is sent": {
        "extra_parameter": "Sent with every request: NAME=TEXT, NAME:=JSON, or NAME to be asked.",
        "grant_parameter": "Sent with this grant: NAME=TEXT, NAME:=JSON, or NAME to be asked.",
        "request_header": "A header of every request; NAME alone is asked for, and not shown.",
        "user_agent": "What is sent as User-Agent.",
        "timeout_seconds": "How long a token request may take.",
        "ca_certificates": "PEM file: whom to believe instead of the public authorities.",
        "dialect": "How the server departs from RFC 6749, such as access_token=data.jwt.",
    },
    "Fields for what comes back": {
        "use_refresh_token": "Whether refresh tokens in responses are used.",
        "assumed_expires_in": "How long tokens live, where the server does not say.",
        "assumed_refresh_expires_in": "How long refresh tokens live, if the server does not say.",
        "verify_url": "An https URL that must not refuse a new token.",
        "publish_field": "A path into the response, to publish as well; may be repeated.",
        "publish_as": "What to publish instead, such as 'Bearer {access_token}'.",
        "publish_entry": "One text of an object to publish instead; may be repeated.",
    },
}
# The field that an option gives a part of, where the names differ; None for no field at all.
OF_FIELD: Final[Mapping[str, str | None]] = {
    "provider_parameter": "provider_parameters",
    "issuer": None,
    "claim": "assertion",
    # The whole name would leave no room for its help in 80 columns.
    "assumed_refresh_expires_in": "assumed_refresh_token_expires_in",
    "extra_parameter": "extra_parameters",
    "grant_parameter": "grant_parameters",
    "request_header": "request_headers",
    "publish_field": "publish",
    "publish_as": "publish",
    "publish_entry": "publish",
}
_KINDS: Final[Mapping[str, Any]] = {
    "assertion": list[str],
    "assumed_expires_in": int,
    "assumed_refresh_expires_in": int,
    "ca_certificates": Path,
    "certificate": Path,
    "claim": list[str],
    "dialect": list[str],
    "extra_parameter": list[str],
    "grant_parameter": list[str],
    "private_key": Path,
    "provider_parameter": list[str],
    "publish_entry": list[str],
    "publish_field": list[str],
    "request_header": list[str],
    "timeout_seconds": int,
    "token_endpoint_auth_method": AuthMethod,
    "use_refresh_token": Literal["true", "false"],
}
# What a type does not say, or says so long that no room is left for the option's name.
_METAVARS: Final = {
    "assertion": "FIELD=VALUE",
    "assumed_expires_in": "SECONDS",
    "assumed_refresh_expires_in": "SECONDS",
    "ca_certificates": "FILE",
    "certificate": "FILE",
    "claim": "NAME=VALUE",
    "dialect": "FIELD=VALUE",
    "extra_parameter": "NAME=VALUE",
    "grant_parameter": "NAME=VALUE",
    "private_key": "FILE",
    "provider_parameter": "NAME=VALUE",
    "publish_entry": "NAME=TEXT",
    "publish_field": "PATH",
    "request_header": "NAME=VALUE",
    "timeout_seconds": "SECONDS",
    "token_endpoint_auth_method": "METHOD",
    "use_refresh_token": "true|false",
}
# Each says where tokens come from.
_PLACES: Final = ("provider", "token_endpoint", "issuer")
_PAIR: Final = re.compile(r"(?P<name>.+?)(?P<kind>:?=)(?P<value>.*)", re.DOTALL)
# What is said where a pair is none.
_INSTEAD_OF_PAIRS: Final = {
    "assertion": "FIELD=VALUE, such as alg=ES256; a whole assertion is given by --from-file",
    "claim": "NAME=TEXT, or NAME:=JSON",
}
# May hold a secret, so that a name alone asks for one.
_WITH_SECRETS: Final = frozenset({"extra_parameter", "grant_parameter", "request_header"})
# Put together with others into one field.
_OF_PARTS: Final = frozenset({"claim", "publish_entry"})
_OF_PAIRS: Final = tuple(
    name for name, kind in _KINDS.items() if kind == list[str] and name != "publish_field"
)
_LISTED: Final = frozenset({"extra_parameter", "grant_parameter"})
# Whose values may be any of JSON.
_OF_JSON: Final = _LISTED | {"claim"}


def with_fields(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of the credentials that is no secret."""
    for panel, fields in PANELS.items():
        command = with_options(command, fields, panel, kinds=_KINDS, metavars=_METAVARS)
    return command


def issuer_of(ctx: typer.Context) -> str | None:
    """Tell the issuer whose token endpoint is to be found; it is no field of the credentials."""
    issuer: str | None = _given(ctx).get("issuer")
    return issuer


def fields_of(ctx: typer.Context) -> tuple[dict[str, Any], list[Slot]]:
    """Tell the fields that the options of `with_fields` give, and those that they ask for.

    Raises:
        FormError: The file with certificates cannot be used.
        typer.BadParameter: An option is not what it takes, or holds a secret.
    """
    given = _given(ctx)
    _require_one_of(given, _PLACES)
    given.pop("issuer", None)
    _require_no_secret_in(given)
    asked: list[Slot] = []
    for option in [name for name in _OF_PAIRS if name in given]:
        field = option if option in _OF_PARTS else OF_FIELD.get(option) or option
        pairs, names = _pairs(option, given.pop(option))
        asked += [(field, name) for name in names]
        if pairs:
            given[field] = pairs
    if (assertion := _assertion(given)) is not None:
        given["assertion"] = assertion
    publish = _publish(given)
    if publish is not None:
        given["publish"] = publish
    if "use_refresh_token" in given:
        given["use_refresh_token"] = json.loads(given["use_refresh_token"])
    if "ca_certificates" in given:
        given["ca_certificates"] = _certificates(given["ca_certificates"])
    for name in ("certificate", "private_key"):
        if name in given:
            given[name] = _pem(given[name], name)
    return {OF_FIELD.get(name) or name: value for name, value in given.items()}, asked


def flags_of(ctx: typer.Context) -> list[str]:
    """Write the options of `with_fields` as they were given."""
    flags = []
    for name, value in _given(ctx).items():
        for each in value if isinstance(value, list) else [value]:
            flags += [_hint(name), str(each)]
    return flags


def _given(ctx: typer.Context) -> dict[str, Any]:
    every = {name: value for panel in PANELS for name, value in ctx.meta[panel].items()}
    return {name: value for name, value in every.items() if value not in (None, [])}


def _require_one_of(given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if len(several := [name for name in names if name in given]) > 1:
        raise typer.BadParameter("one of them at a time", param_hint=_hint(*several))


def _hint(*names: str) -> str:
    return " / ".join(f"--{name.replace('_', '-')}" for name in names)


def _require_no_secret_in(given: Mapping[str, Any]) -> None:
    for name in ("token_endpoint", "verify_url"):
        query = given.get(name, "").partition("?")[2]
        if any(is_secret(key) for key, _ in parse_qsl(query)):
            problem = "a secret in an address is never taken from an option: give it by --from-file"
            raise typer.BadParameter(problem, param_hint=_hint(name))


def _pairs(option: str, texts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Read NAME=VALUE pairs; names without a value are to be asked for.

    Raises:
        typer.BadParameter: It is none, is given twice, or holds a secret.
    """
    pairs: dict[str, Any] = {}
    asked = []
    for text in texts:
        found = _PAIR.fullmatch(text)
        if found is None:
            if option not in _WITH_SECRETS or not text or "=" in text:
                problem = _INSTEAD_OF_PAIRS.get(option, _METAVARS[option])
                raise typer.BadParameter(problem, param_hint=_hint(option))
            asked.append(text)
            continue
        name, value = found["name"], _value(option, found)
        if option in _WITH_SECRETS or option == "claim":
            _require_no_secret(option, name, value)
        if name in pairs:
            if option not in _LISTED or not isinstance(value, str):
                raise typer.BadParameter("each name once", param_hint=_hint(option))
            before = pairs[name]
            value = [*(before if isinstance(before, list) else [before]), value]
        pairs[name] = value
    return pairs, asked


def _value(option: str, found: re.Match[str]) -> Any:  # noqa: ANN401 - any of JSON
    if found["kind"] == "=":
        return found["value"]
    if option not in _OF_JSON:
        raise typer.BadParameter("NAME=VALUE: all are texts", param_hint=_hint(option))
    try:
        # As strictly as it is read when it is stored: no NaN, and nothing infinite.
        return msgspec.json.decode(found["value"])
    except (ValueError, RecursionError):
        pass
    raise typer.BadParameter("what follows := is JSON, such as 5 or true", param_hint=_hint(option))


def _require_no_secret(option: str, name: str, value: object) -> None:
    """Look through all that is in an object or a list of a name."""
    if isinstance(value, list):
        for each in value:
            _require_no_secret(option, name, each)
    elif isinstance(value, dict):
        for key, each in value.items():
            _require_no_secret(option, name if is_secret(name) else key, each)
    elif is_secret(name) and not (
        isinstance(value, str) and (ASSERTION in value or REFRESH_TOKEN in value)
    ):
        asked = (
            " give its name alone to be asked for it, or" if option in _WITH_SECRETS else " give"
        )
        raise typer.BadParameter(
            f"a secret is never taken from an option:{asked} a file by --from-file",
            param_hint=_hint(option),
        )


def _publish(given: dict[str, Any]) -> dict[str, Any] | None:
    ways = ("publish_field", "publish_as", "publish_entry")
    _require_one_of(given, ways)
    fields, text, entries = (given.pop(name, None) for name in ways)
    if fields:
        return {"fields": fields}
    return None if text is None and entries is None else {"as": entries or text}


def _assertion(given: dict[str, Any]) -> dict[str, Any] | None:
    """Put together what is signed, with its claims; None where nothing is said of it.

    Raises:
        typer.BadParameter: Claims are given as one of its fields.
    """
    said, claims = given.pop("assertion", None), given.pop("claim", None)
    if said is None and claims is None:
        return None
    said = said or {}
    if "claims" in said:
        raise typer.BadParameter("claims are given by --claim", param_hint=_hint("assertion"))
    if said.get("expires_in", "").isdecimal():
        said["expires_in"] = int(said["expires_in"])
    return {**said, "claims": claims} if claims else said


def _pem(path: Path, field: str) -> str:
    try:
        return read_pem(path, field)
    except PemFileError as error:
        raise FormError(str(error)) from None


def _certificates(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii")
        authorities_of(text)
    except OSError as error:
        raise FormError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, CertificatesError):
        raise FormError(
            f"{path} is not what --ca-certificates takes: certificates in PEM (the text with "
            "-----BEGIN CERTIFICATE-----), and no key"
        ) from None
    return text
