"""Reads credentials from a secret's text, as people paste and consoles store them.

Every error names the field and the fix, with the nearest right name; a value is in none of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from token_refresher import refusals
from token_refresher.credentials import (
    AssertionCredentials,
    ClientCredentials,
    Credentials,
    ExtensionCredentials,
    LoginCredentials,
    PartnerCredentials,
    PasswordCredentials,
    RefreshTokenCredentials,
    SignedAssertion,
)
from token_refresher.errors import CredentialsError
from token_refresher.oauth.assertions import ISSUED, SIGNED
from token_refresher.oauth.client_authentication import AuthMethod
from token_refresher.oauth.decoding import converted
from token_refresher.oauth.dialect import Dialect
from token_refresher.oauth.providers import LOGIN, ProviderError, provider
from token_refresher.publishing import Publish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

NAMED_GRANTS: Final[dict[str, type[Credentials]]] = {
    str(struct.__struct_config__.tag): struct
    for struct in (
        PasswordCredentials,
        PartnerCredentials,
        ClientCredentials,
        RefreshTokenCredentials,
        AssertionCredentials,
    )
}
# They begin with a person who consents, each time.
_NEED_A_PERSON: Final = frozenset(
    {"authorization_code", "implicit", "urn:ietf:params:oauth:grant-type:device_code"}
)
_NESTED: Final[dict[str, type[msgspec.Struct]]] = {
    "assertion": SignedAssertion,
    "dialect": Dialect,
    "publish": Publish,
}
# Whoever gives them has pasted a token response.
_OF_RESPONSES: Final = frozenset({"access_token", "expires_at", "expires_in"})
# What forms that store nothing but texts hold as one of JSON.
_OBJECTS: Final = frozenset(
    {
        *("assertion", "dialect", "extra_parameters", "grant_parameters", "provider_parameters"),
        *("publish", "request_headers"),
    }
)
# Whose nulls mean something: to the server, or no such claim.
_AS_THEY_ARE: Final = frozenset({"claims", "grant_parameters"})
# What a person or a form may have stored as a number.
_OF_DIGITS: Final = frozenset(
    {
        *("assertion", "client_id", "client_secret", "partner_code", "partner_secret", "password"),
        *("refresh_token", "scope", "username"),
    }
)
_OF_TEXTS: Final = frozenset({"provider_parameters", "request_headers"})
# What providers' consoles and other programs call a field of ours.
_CALLED: Final = {
    "apikey": "client_id",
    "apisecret": "client_secret",
    "apikeysecret": "client_secret",
    "accesstokenurl": "token_endpoint",
    "appid": "client_id",
    "appsecret": "client_secret",
    "cert": "certificate",
    "clientcert": "certificate",
    "clientassertion": "assertion",
    "clientcertificate": "certificate",
    "clientkey": "private_key",
    "consumerkey": "client_id",
    "consumersecret": "client_secret",
    "email": "username",
    "endpoint": "token_endpoint",
    "headers": "request_headers",
    "login": "username",
    "pass": "password",
    "pwd": "password",
    "secret": "client_secret",
    "site": "provider",
    "tokenuri": "token_endpoint",
    "tokenurl": "token_endpoint",
    "url": "token_endpoint",
    "user": "username",
}
# Their lines end as lines do.
_LINES: Final = frozenset({"ca_certificates", "certificate", "private_key", "publish"})

# A key of one's own choice could be another account's.
_KEY_NAMES: Final = r"(kms)?(key)?(alias|arn|id)?"

# Less than any interpreter follows, also where several steps are taken for each level.
_DEEPEST: Final = 64
_TOO_DEEP: Final = "they are nested too deeply"
_MOST_TOLD: Final = 8
# Of every field whose value is not known, where it must be there for others to be looked at.
_IN_ITS_PLACE: Final = "x"
FIELD_NAMES: Final = (
    "grant_type",
    *dict.fromkeys(
        name for struct in NAMED_GRANTS.values() for name in struct.__struct_encode_fields__
    ),
)

_THUMBPRINT: Final = (
    "the certificate's {1} in base64url, {0} characters, as `token-refresher key jwks` prints it"
)
_PATH: Final = "a path of at most six keys with dots between them, such as data.0.token"
_ACCEPTED: Final = {
    "assertion": "text, or an object that says what is signed",
    "assertion.alg": f"{refusals.one_of(SIGNED)}; of the signer sts {refusals.one_of(ISSUED)}",
    "assertion.claims": "an object",
    "assertion.expires_in": "a whole number of seconds from 10 to 300",
    "assertion.signer": "kms or sts",
    "assertion.x5t": _THUMBPRINT.format(27, "SHA-1"),
    "assertion.x5t#S256": _THUMBPRINT.format(43, "SHA-256"),
    "dialect.authorization_scheme": "one word, such as Bearer",
    "dialect.expires_in_unit": "seconds or milliseconds",
    "dialect.request_format": "form, json or query",
    "dialect.request_method": "GET, POST or PUT",
    "extra_parameters": "an object of text, numbers, true or false, and lists of texts",
    "provider_parameters": "an object of text",
    "publish.as": "text, or an object of texts",
    "publish.fields": "a list of paths such as instance_url",
    "request_headers": "an object of text",
    "scope": "printable ASCII words with one space between them",
    "timeout_seconds": "a whole number of seconds from 1 to 30",
    "token_endpoint_auth_method": ", ".join(get_args(AuthMethod)),
    "user_agent": "printable ASCII",
}
_TYPES: Final = {
    "array": "a list",
    "bool": "true or false",
    "int": "a whole number",
    "object": "an object",
    "str": "text",
}


def parse_credentials(text: str | None) -> Credentials:
    """Validate the value of a credentials secret.

    Args:
        text: None for a binary secret.

    Raises:
        CredentialsError: It names the field and the fix, never a value.
    """
    if text is None:
        raise CredentialsError("the credentials are binary: store one JSON object as text")
    try:
        # Unlike Python's own, it takes neither half a character nor a number that no JSON has.
        content = msgspec.json.decode(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        from token_refresher.json_text import trouble_with  # noqa: PLC0415 - rare

        raise CredentialsError(
            "the credentials are not JSON: store one JSON object as the secret's text "
            f"({trouble_with(text)})"
        )
    try:
        return _from_object(content)
    except (msgspec.ValidationError, ValueError, RecursionError):
        pass
    # Outside of the handler: else the error would carry the other one, whose text has a value.
    raise _all_told(content, text)


def _from_object(content: dict[str, Any]) -> Credentials:
    content = _as_meant(content)
    struct = _struct_for(content)
    for name, value in content.items():
        if name not in _LINES:
            _require_no_blanks(name, value)
    credentials = converted(_as_texts(content), struct)
    refusals.require_valid(credentials)
    return credentials


def _as_meant(content: Mapping[str, Any]) -> dict[str, Any]:
    return _without_nulls({name: as_object(name, value) for name, value in content.items()})


def _all_told(content: dict[str, Any], text: str) -> CredentialsError:
    """Say all that is wrong at once, so that nobody has to come back for the next."""
    from token_refresher.json_text import given_twice  # noqa: PLC0415 - rare

    try:
        problems = _problems_of(_as_meant(content))
        problems += [f"{each} is given twice, and the last counts" for each in given_twice(text)]
    except RecursionError:
        problems = [_TOO_DEEP]
    return invalid(problems)


def invalid(problems: Sequence[str]) -> CredentialsError:
    """Make the error that tells all that is wrong with credentials."""
    return CredentialsError(
        f"the credentials do not validate: {in_one(problems)}",
        problems=tuple(dict.fromkeys(problems)),
    )


def in_one(problems: Sequence[str]) -> str:
    """Put problems into one message: numbered where there are several, and not without end."""
    told = list(dict.fromkeys(problems))
    if len(told) == 1:
        return told[0]
    more = [f"{len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    numbered = [f"({number}) {each}" for number, each in enumerate(told[:_MOST_TOLD], 1)]
    return "; ".join([*numbered, *more])


def problems_of(content: Mapping[str, Any]) -> list[str]:
    """Find all that is wrong with the fields of credentials; nothing, where they validate.

    Returns:
        Each with its field and the fix, never with a value.
    """
    try:
        return _problems_of(_as_meant(content))
    except RecursionError:
        return [_TOO_DEEP]


def _problems_of(content: dict[str, Any]) -> list[str]:
    problems, struct, known = list[str](), None, FIELD_NAMES
    try:
        struct = _struct_for(content)
    except ValueError as error:
        problems.append(str(error))
    else:
        known = ("grant_type", *_names_of(struct))
    problems += [_unknown_here(name, content, known) for name in content if name not in known]
    # What is missing under its own name only, or not whole, need not be told as well.
    meant = re.findall(r"(?:did you mean|goes into) `(\w+)", " ".join(problems))
    fields = {name: value for name, value in content.items() if name in known}
    if struct is None:
        fields.pop("grant_type", None)
    problems += [told for each in fields.items() if (told := _blanks_in(*each))]
    # What is between the blanks is judged, too.
    fields = {name: value if name in _LINES else _trimmed(value) for name, value in fields.items()}
    return problems + [
        told
        for told in _wrong_values(fields, struct)
        if not any(f"`{name}" in told for name in meant)
    ]


def unknown_fields(given: Mapping[str, Any], *, of: Mapping[str, Any]) -> list[str]:
    """Tell of each name that is no grant's field where it goes, or which one is meant.

    Args:
        given: What may have such names.
        of: All that is known of the account, its grant and provider among it.
    """
    unknown = [name for name in given if name not in FIELD_NAMES]
    try:
        known: Collection[str] = ("grant_type", *_names_of(_struct_for(dict(of))))
    except ValueError:
        known = FIELD_NAMES
    return [_unknown_here(name, of, known) for name in unknown]


def _blanks_in(name: str, value: object) -> str:
    try:
        if name not in _LINES:
            _require_no_blanks(name, value)
    except ValueError as error:
        return str(error)
    return ""


def _trimmed(value: Any) -> Any:  # noqa: ANN401 - any of JSON
    if isinstance(value, str):
        seen = [at for at, each in enumerate(value) if not each.isspace() and each.isprintable()]
        return value[seen[0] : seen[-1] + 1] if seen else value
    if isinstance(value, dict):
        return {key: _trimmed(each) for key, each in value.items()}
    return [_trimmed(each) for each in value] if isinstance(value, list) else value


def _wrong_values(fields: dict[str, Any], struct: type[Credentials] | None) -> list[str]:
    """Find what is missing, of a wrong type, or refused.

    Args:
        fields: Those that some grant has.
        struct: None where the grant is not known: no field is missing then, and none refused for
            another one's sake.
    """
    required = _in_their_places(struct) if struct is not None else {}
    problems = [f"`{name}` is missing" for name in required if name not in fields]
    # So that what follows is seen, too.
    fields = {**required, **_as_texts(fields)}
    wrong, in_doubt = list[str](), list[str]()
    for name, value in [*fields.items()]:
        of = struct or next(each for each in NAMED_GRANTS.values() if name in _names_of(each))
        if name in _NESTED and isinstance(value, dict):
            told, fields[name] = _judged_parts(name, value)
            problems += told
            in_doubt += [f"`{name}"] * bool(told)
            if told and not fields[name]:
                del fields[name]
                continue
        wrong += _refused(of, name, fields[name])
    if wrong or struct is None:
        return problems + wrong
    credentials = converted(fields, struct)
    refused = [_fix(said) for said in refusals.all_of(credentials)]
    return problems + [said for said in refused if not any(each in said for each in in_doubt)]


def _judged_parts(name: str, value: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Judge each part of an object by itself.

    Returns:
        What is wrong, and the parts that are not.
    """
    known = _names_of(_NESTED[name])
    in_its_place = msgspec.defstruct("_InItsPlace", [(name, _NESTED[name])])
    told, right = list[str](), dict[str, Any]()
    for part, each in value.items():
        if part not in known:
            told.append(_unknown(part, known, where=f"{name}."))
            continue
        try:
            converted({name: {part: each}}, in_its_place)
        except msgspec.ValidationError as error:
            # What the object itself says, it says of parts that another one may put right.
            if not str(error).startswith("`"):
                told.append(_fix(str(error)))
                continue
        right[part] = each
    return told, right


def _refused(struct: type[Credentials], name: str, value: object) -> list[str]:
    """Say what is wrong with one field, whatever the others are."""
    tag = struct.__struct_config__.tag
    others = {**({"grant_type": tag} if tag else {}), **_in_their_places(struct)}
    try:
        converted({**others, name: value}, struct)
    except msgspec.ValidationError as error:
        return [_fix(str(error))]
    return []


def _in_their_places(struct: type[Credentials]) -> dict[str, str]:
    return {one.name: _IN_ITS_PLACE for one in msgspec.structs.fields(struct) if one.required}


def as_object(name: str, value: object) -> object:
    """Read an object that was stored as the text of one; what is none stays what it is."""
    if name not in _OBJECTS or not isinstance(value, str):
        return value
    try:
        decoded = msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict) else value


def _without_nulls(content: dict[str, Any]) -> dict[str, Any]:
    """Drop nulls, which forms and templates write for what is not there."""
    return {
        name: _without_nulls(value)
        if isinstance(value, dict) and name not in _AS_THEY_ARE
        else value
        for name, value in content.items()
        if value is not None
    }


def _struct_for(content: dict[str, Any]) -> type[Credentials]:
    """Choose the struct by ``grant_type``."""
    if "grant_type" not in content:
        if "grant_parameters" in content:
            return LoginCredentials
        if misspelt := [name for name in content if _nearest(name, ["grant_type"])]:
            raise ValueError(_unknown(misspelt[0], ["grant_type"]))
        raise ValueError(
            f"`grant_type` is missing: {refusals.one_of(list(NAMED_GRANTS))}; a login of the "
            "provider's own has `grant_parameters` instead"
        )
    grant_type = content["grant_type"]
    if isinstance(grant_type, str) and grant_type in NAMED_GRANTS:
        return NAMED_GRANTS[grant_type]
    if not isinstance(grant_type, str) or not grant_type.strip():
        raise ValueError("`grant_type` must be text, and not empty")
    if grant_type == LOGIN:
        raise ValueError(
            "`grant_type` must be absent for a login of the provider's own, which has "
            "`grant_parameters` instead"
        )
    if grant_type in _NEED_A_PERSON:
        raise ValueError(
            "`grant_type` must be one that a machine can use by itself: for what a person has "
            "consented to, refresh_token with the first refresh token"
        )
    if "grant_parameters" in content:
        return ExtensionCredentials
    name = content.get("provider")
    if isinstance(name, str) and grant_type in provider(name).grant_types:
        return ExtensionCredentials
    # A registered name of its own is not a misspelt other one.
    near = None if ":" in grant_type else _nearest(grant_type, NAMED_GRANTS)
    raise ValueError(
        f"`grant_type` must be {near or refusals.one_of(list(NAMED_GRANTS))}; "
        "any other brings `grant_parameters`"
    )


def _unknown_here(name: str, content: Mapping[str, Any], known: Collection[str]) -> str:
    """Say where a field that is not known goes, or which one is meant."""
    for place, has in _places_of(content).items():
        if isinstance(has, dict) and name in has:
            return f"`{name}` goes into `{place}`"
    for field, nested in _NESTED.items():
        if name in _names_of(nested) and name not in _OF_RESPONSES:
            return f"`{name}` goes into `{field}`"
    meant = _CALLED.get(re.sub("[_-]", "", name.lower()))
    if meant in known and meant not in content:
        return f"`{refusals.plain(name)}` is no field: did you mean `{meant}`?"
    return _unknown(name, known)


def _places_of(content: Mapping[str, Any]) -> dict[str, object]:
    """What a provider's entry has in objects of its own, by their fields."""
    try:
        entry = provider(str(content.get("provider")))
    except ProviderError:
        return {}
    # Whatever stands there is not looked at yet, and a list is no key.
    grant_type = content.get("grant_type")
    grant = entry.grant(grant_type if isinstance(grant_type, str) else None)
    return {"provider_parameters": entry.parameters, **grant.example}


def _unknown(name: str, known: Collection[str], *, where: str = "") -> str:
    shown = refusals.plain(name)
    if shown != name:
        whose = f" of `{where[:-1]}`" if where else ""
        return f"remove or correct a field{whose} whose name is not a plain word"
    letters = re.sub("[_-]", "", name.lower())
    if (where == "assertion." or "kms" in letters) and re.fullmatch(_KEY_NAMES, letters):
        return f"remove `{where}{name}`: an account signs with the key of its own name alone"
    if near := _nearest(name, known):
        return f"`{where}{name}` is no field: did you mean `{where}{near}`?"
    owners = [grant for grant, struct in NAMED_GRANTS.items() if name in _names_of(struct)]
    if owners and not where:
        return (
            f"`{name}` belongs to the grant_type {owners[0]}: remove it, or, where the server "
            "asks for it here too, put it into `grant_parameters`"
        )
    instead = "" if where else "; what only your server knows goes into `extra_parameters`"
    if re.search("key|pem|cert|jwk|p12|pfx", letters) and not where:
        # A key must never be told to go where it would be sent.
        instead = ": keys for mutual TLS are `certificate` and `private_key`"
    return f"remove or correct the unknown field `{where}{name}`{instead}"


def _names_of(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    # Not by their types, which are evaluated each time that they are asked for.
    return struct.__struct_encode_fields__


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - a healthy start needs none of it

    return next(iter(get_close_matches(name.lower(), known, n=1, cutoff=0.75)), None)


def _require_no_blanks(name: str, value: object, *, depth: int = 0) -> None:
    """Refuse what was pasted with a blank, a line's end or what no screen shows.

    No server trims it.

    Raises:
        ValueError: It names the field.
        RecursionError: Whoever fills it in before it is sent would not come to its end.
    """
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        if any(each.isspace() or not each.isprintable() for each in (value[:1], value[-1:])):
            raise ValueError(
                f"`{name}` begins or ends with a blank, a line break or an invisible character: "
                "remove it"
            )
    elif isinstance(value, dict):
        for key, each in value.items():
            _require_no_blanks(f"{name}.{refusals.plain(key)}", each, depth=depth + 1)
    elif isinstance(value, list):
        for each in value:
            _require_no_blanks(name, each, depth=depth + 1)


def _as_texts(content: dict[str, Any]) -> dict[str, Any]:
    """Write numbers as text where text is asked for: an id of digits is often stored as one."""
    written = {**content}
    for name in _OF_DIGITS & content.keys():
        written[name] = _text(content[name])
    for name in _OF_TEXTS & content.keys():
        if isinstance(content[name], dict):
            written[name] = {key: _text(each) for key, each in content[name].items()}
    return written


def _text(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _fix(message: str) -> str:
    """Word msgspec's message so that it cannot repeat what was in the secret."""
    # At its end, for a value that is quoted before may look the same.
    place = re.search(r" - at `\$\.?([^`]*)`\Z", message)
    what = message[: place.start()] if place else message
    where = re.sub(r"\[.*?\]", "", place[1]) if place else ""
    if what.startswith(("`", "give ", "remove ")):
        return what
    if where in _ACCEPTED:
        return f"`{where}` must be {_ACCEPTED[where]}"
    if where.startswith("dialect."):
        return f"`{where}` must be {_PATH}"
    if "length >= 1" in what:
        return f"`{where}` must not be empty"
    if longest := re.search(r"of length <= (\d+)", what):
        return f"`{where}` must be text of at most {longest[1]} characters"
    expected = re.match(r"Expected `(\w+)( \| null)?`(?: ([<>]=) (-?\d+))?", what)
    kind = _TYPES.get(expected[1], "another") if expected else "another"
    bound = f" {expected[3]} {expected[4]}" if expected and expected[3] else ""
    return f"`{where}` must be {kind}{bound}"
