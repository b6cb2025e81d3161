"""What an account's credentials need, and how what is missing is asked for.

Which fields a grant has is read from the program's own structs, so a new grant needs no form.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from token_refresher.credentials import ExtensionCredentials, LoginCredentials
from token_refresher.oauth import providers
from token_refresher.parsing import NAMED_GRANTS, parse_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from token_refresher.credentials import Credentials

# They are never taken from the command line, which a shell keeps in its history.
SECRET_FIELDS: Final = frozenset(
    {"assertion", "client_secret", "partner_secret", "password", "refresh_token"}
)
GRANT_TYPES: Final = tuple(NAMED_GRANTS)
_STRUCTS: Final[tuple[type[Credentials], ...]] = (
    *NAMED_GRANTS.values(),
    ExtensionCredentials,
    LoginCredentials,
)
_FIELDS: Final = {
    "grant_type",
    *(field.name for struct in _STRUCTS for field in msgspec.structs.fields(struct)),
}
PLACES: Final = frozenset({"provider", "token_endpoint"})


# What is not asked for, since it has parts.
_ONLY_IN_FILES: Final = frozenset({"extra_parameters", "grant_parameters", "request_headers"})


class FormError(Exception):
    """The form cannot be filled in; the message names fields, never a value."""


class Asker(Protocol):
    """Somebody who can be asked."""

    def text(self, field: str, *, about: str = "") -> str:
        """Ask for a value that may be seen; ``about`` says what it is, where its name does not."""

    def secret(self, field: str, *, empty: str = "") -> str:
        """Ask for a value without showing it; ``empty`` says what none means, where it may be."""

    def choice(self, field: str, choices: Sequence[str]) -> str:
        """Ask for one of several words; the first is the default."""


# Annotations are evaluated each time: milliseconds, for each of thousands of accounts.
_fields_of: Final = cache(msgspec.structs.fields)


def fields_needed(grant_type: str) -> list[str]:
    """Name the fields that a grant most often needs, in the order they are asked for.

    What a grant of the server's own needs is not known here: none, and validation says the rest.
    """
    struct = NAMED_GRANTS.get(grant_type)
    if struct is None:
        return []
    own = [field.name for field in _fields_of(struct) if field.required]
    needed = [*(["client_id", "client_secret"] if struct.needs_client else []), *own]
    return sorted(needed, key=lambda name: (name in SECRET_FIELDS, name != "client_id"))


def fill_in(
    given: Mapping[str, Any], *, asker: Asker | None, stored: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Complete an account's credentials, asking for what is missing.

    Args:
        given: Fields from options and a file; they win over what is stored.
        asker: None where nobody can be asked, such as in a pipeline.
        stored: What is corrected. Its secrets are asked for again, the rest is kept.

    Raises:
        CredentialsError: A given field is none.
        FormError: Something is missing, and there is nobody to ask, or it is none to be asked.
    """
    fields = joined(_kept(stored or {}, given), given)
    if _is_public(fields) and "client_secret" not in given:
        fields.pop("client_secret", None)
    _require_known(given, fields)
    if asker is None:
        _require_all(fields)
        return fields
    _ask_for_place_and_grant(fields, asker)
    if "grant_parameters" in fields:
        # What else a grant of its own needs, only its server knows.
        return fields
    for name in fields_needed(str(fields["grant_type"])):
        if name == "client_secret" and _is_public(fields):
            continue
        if name in SECRET_FIELDS and name not in given:
            public = "for a client without one" if name == "client_secret" else ""
            empty = "keeps the stored one" if name in fields else public
            if answer := asker.secret(name, empty=empty):
                fields[name] = answer
        elif name not in fields:
            fields[name] = asker.text(name)
    return fields


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Put fields over earlier ones: another place in the old one's, parameters one by one."""
    fields = dict(before)
    if PLACES & after.keys() and any(before.get(name) != after.get(name) for name in PLACES):
        if PLACES & before.keys():
            fields.pop("provider_parameters", None)
        for name in PLACES:
            fields.pop(name, None)
    parameters, others = fields.get("provider_parameters"), after.get("provider_parameters")
    fields.update(after)
    if isinstance(parameters, dict) and isinstance(others, dict):
        fields["provider_parameters"] = {**parameters, **others}
    return fields


def _kept(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what the grant has no field for: another grant's, or one that is misspelt."""
    struct = NAMED_GRANTS.get(str(given.get("grant_type", stored.get("grant_type"))))
    if struct is None:
        return stored
    known = {field.name for field in _fields_of(struct)}
    return {name: value for name, value in stored.items() if name in {"grant_type", *known}}


def _is_public(fields: Mapping[str, Any]) -> bool:
    """Whether the client is said to have no secret, by the account or by its provider."""
    method = fields.get("token_endpoint_auth_method")
    if method is None and "provider" in fields:
        method = _entry(str(fields["provider"])).token_endpoint_auth_method
    return method == "none"


def _require_known(given: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Name a field that is none before the one that is meant is asked for in its place."""
    unknown = {name: value for name, value in given.items() if name not in _FIELDS}
    if unknown:
        of = {name: fields[name] for name in ("provider",) if name in fields}
        grant_type = str(fields.get("grant_type", "client_credentials"))
        to_credentials({"grant_type": grant_type, **of, **unknown})


def _require_all(fields: Mapping[str, Any]) -> None:
    """Check that nothing is missing, where there is nobody to ask."""
    missing = [] if fields.keys() & PLACES else ["provider or token_endpoint"]
    if "grant_parameters" in fields:
        needed = []
    elif "grant_type" in fields:
        needed = fields_needed(str(fields["grant_type"]))
    else:
        needed = ["grant_type or grant_parameters", "client_id", "client_secret"]
    optional = {"client_secret"} if _is_public(fields) else set()
    if "provider" in fields and not _entry(str(fields["provider"])).needs_client_id:
        optional.add("client_id")
    missing += [name for name in needed if name not in fields and name not in optional]
    if missing:
        raise FormError(f"not given: {', '.join(missing)}")


def _ask_for_place_and_grant(fields: dict[str, Any], asker: Asker) -> None:
    if not fields.keys() & PLACES:
        place = asker.text("provider or token_endpoint")
        fields["token_endpoint" if "://" in place else "provider"] = place
    entry = _entry(str(fields["provider"])) if "provider" in fields else None
    if entry is not None:
        _ask_for_parameters(fields, entry, asker)
    if "grant_type" not in fields and "grant_parameters" not in fields:
        # Where nothing else is known, it is machines that ask.
        known = list(entry.grant_types) if entry else ["client_credentials", *GRANT_TYPES]
        fields["grant_type"] = asker.choice("grant_type", list(dict.fromkeys(known)))
        if entry is not None:
            _require_file_for_the_rest(fields, entry)
            example = entry.grant(fields["grant_type"]).example
            if "scope" in example and "scope" not in fields:
                fields["scope"] = asker.text("scope", about=f"such as {example['scope']}")


def _ask_for_parameters(fields: dict[str, Any], entry: providers.Provider, asker: Asker) -> None:
    given = fields.get("provider_parameters", {})
    if not isinstance(given, dict):
        # Validation says what it must be.
        return
    parameters = {**given}
    for name, parameter in entry.parameters.items():
        if name not in parameters and parameter.default is None:
            about = f"{parameter.about}; such as {parameter.example}"
            parameters[name] = asker.text(name, about=about)
    if parameters:
        fields["provider_parameters"] = parameters
    if not given:
        try:
            entry.endpoint(parameters, grant_type=None)
        except providers.ProviderError as error:
            raise FormError(str(error)) from None


def _require_file_for_the_rest(fields: Mapping[str, Any], entry: providers.Provider) -> None:
    """Say where to find a grant's other fields: only its provider knows what they are."""
    grant_type = str(fields["grant_type"])
    needed = _ONLY_IN_FILES & entry.grant(grant_type).example.keys() - fields.keys()
    if needed or grant_type not in NAMED_GRANTS:
        raise FormError(
            f"{grant_type} takes fields that are not asked for: put what `token-refresher "
            f"providers {fields['provider']}` shows into a file, and give it by --from-file"
        )


def _entry(name: str) -> providers.Provider:
    try:
        return providers.provider(name)
    except providers.ProviderError as error:
        raise FormError(str(error)) from None


def to_credentials(fields: Mapping[str, Any]) -> tuple[Credentials, str]:
    """Validate a filled-in form.

    Returns:
        The credentials, and the text to store.

    Raises:
        CredentialsError: It names the field and what to do, never a value.
    """
    text = json.dumps(fields, ensure_ascii=False)
    return parse_credentials(text), text


def caution(credentials: Credentials) -> str:
    """Tell what the provider's entry does not know of, or has besides; empty for neither."""
    if credentials.provider is None:
        return ""
    entry, grant = credentials.entry, credentials.grant_name or providers.LOGIN
    if grant not in entry.grant_types:
        known = ", ".join(entry.grant_types)
        return f"{entry.title} is known to take {known}, and not {grant}: see its documentation"
    shown = entry.grant_types[grant].example.get("grant_parameters")
    wanted = shown.keys() - credentials.grant_parameters if isinstance(shown, dict) else set()
    if not wanted:
        return ""
    return f"{entry.title} takes {', '.join(sorted(wanted))} in grant_parameters, too"


def read_object(text: str) -> dict[str, Any]:
    """Read fields from a file's text.

    Raises:
        FormError: It is not one JSON object; nothing of it is repeated.
    """
    try:
        # Editors of Windows begin a file with a byte-order mark.
        content = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FormError("what was read is not one JSON object")
    return content
