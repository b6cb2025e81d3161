"""Which fields a grant has and needs, as the program's own structs and a provider's entry tell.

So a new grant, provider or field needs no code here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher.credentials import AssertionCredentials
from token_refresher.oauth import providers
from token_refresher.oauth.client_authentication import WITHOUT_SECRET
from token_refresher.parsing import NAMED_GRANTS
from token_refresher_cli.fields import SECRET_FIELDS, FormError, without

if TYPE_CHECKING:
    from collections.abc import Mapping

GRANT_TYPES: Final = tuple(NAMED_GRANTS)
# They are many lines: a file is named.
OF_FILES: Final = ("certificate", "private_key")
# What a request holds, and a provider's entry has examples of.
SENT: Final = ("grant_parameters", "extra_parameters", "request_headers")
SHOWN: Final = (*SENT, "assertion")
# What stands in an entry's example for a value of the account's own.
OWN: Final = "..."

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
    if struct is AssertionCredentials:
        own.append("assertion")
    needed = [*(["client_id", "client_secret"] if struct.needs_client else []), *own]
    return sorted(needed, key=lambda name: (name in SECRET_FIELDS, name != "client_id"))


def shown(name: str, grant: str) -> dict[str, Any]:
    """Show credentials that use a provider's grant; ``...`` stands for what is the account's own.

    Raises:
        ProviderError: There is no such provider.
    """
    entry = providers.provider(name)
    of_grant = entry.grant(grant)
    asked = {each: one.example for each, one in entry.parameters.items() if one.default is None}
    struct = NAMED_GRANTS.get(grant)
    own = [] if struct is None else [f.name for f in _fields_of(struct) if f.required]
    needed = [
        *(["client_id"] if entry.needs_client_id else []),
        *(["client_secret"] if _has_secret(entry, grant) else []),
        *own,
    ]
    return {
        "provider": name,
        **({"provider_parameters": asked} if asked else {}),
        **({} if grant == providers.LOGIN else {"grant_type": grant}),
        **dict.fromkeys(needed, OWN),
        **of_grant.example,
    }


def _has_secret(entry: providers.Provider, grant: str) -> bool:
    """Whether a provider's clients have a secret with a grant, as far as its entry tells."""
    method = _auth_method(entry, grant)
    if method is not None:
        return method not in WITHOUT_SECRET
    signs = entry.grant(grant).assertion is not None
    return not signs and NAMED_GRANTS.get(grant) is not AssertionCredentials


def is_own(name: str, value: object) -> bool:
    """Whether something of an entry's example is the account's own, and no constant."""
    return value == OWN or name in {"scope", *SHOWN, *OF_FILES}


def auth_method(fields: Mapping[str, Any]) -> str | None:
    """Tell how a client authenticates, as its account or else its provider says; None for neither.

    Raises:
        FormError: There is no such provider.
    """
    method, grant = fields.get("token_endpoint_auth_method"), fields.get("grant_type")
    if method is not None:
        # What is no text validation refuses.
        return str(method)
    if "provider" not in fields:
        return None
    return _auth_method(entry_of(str(fields["provider"])), None if grant is None else str(grant))


def _auth_method(entry: providers.Provider, grant: str | None) -> str | None:
    return entry.grant(grant).token_endpoint_auth_method or entry.token_endpoint_auth_method


def is_without_secret(fields: Mapping[str, Any]) -> bool:
    """Whether the client is said to send no secret, by the account or by its provider.

    Raises:
        FormError: There is no such provider.
    """
    return auth_method(fields) in WITHOUT_SECRET


def entry_of(name: str) -> providers.Provider:
    """Return a provider's entry.

    Raises:
        FormError: There is no such provider; with the names that are nearest.
    """
    try:
        return providers.provider(name)
    except providers.ProviderError as error:
        raise FormError(str(error)) from None


def known_to_grant(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what the grant has no field for: another grant's, or one that is misspelt."""
    grant_type = given.get("grant_type", stored.get("grant_type"))
    if grant_type != stored.get("grant_type"):
        stored = without(stored, [("grant_parameters",)])
    struct = NAMED_GRANTS.get(str(grant_type))
    if struct is None:
        return stored
    known = {field.name for field in _fields_of(struct)}
    return {name: value for name, value in stored.items() if name in {"grant_type", *known}}
