"""What is not refused in an account, and may be a mistake, or comes to an end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from token_refresher.oauth import providers
from token_refresher_cli.client_certificate import ending
from token_refresher_cli.fields import held_at, leaves

if TYPE_CHECKING:
    from datetime import datetime

    from token_refresher.credentials import Credentials


def caution(credentials: Credentials) -> str:
    """Tell what the provider's entry does not know of, or has besides; empty for neither."""
    if credentials.provider is None:
        return ""
    entry, grant = credentials.entry, credentials.grant_name or providers.LOGIN
    if grant not in entry.grant_types:
        known = ", ".join(entry.grant_types)
        return f"{entry.title} is known to take {known}, and not {grant}: see its documentation"
    example = entry.grant_types[grant].example
    signed = credentials.signed_assertion
    given = {
        "grant_parameters": credentials.grant_parameters,
        "assertion": {} if signed is None else msgspec.to_builtins(signed),
    }
    if isinstance(credentials.assertion, str):
        del given["assertion"]
    lacking = [
        f"{'.'.join(slot[1:])} in {name}"
        for name in given
        for slot, _ in leaves((name,), example.get(name))
        if held_at(given, slot) is None
    ]
    return f"{entry.title} takes {', '.join(lacking)}, too" if lacking else ""


def caution_about(name: str) -> str:
    """Tell what an account's name may lead to; empty where it leads to nothing.

    Secrets Manager ends each ARN with a hyphen and six characters of its own, and finds a secret
    by an ARN without them, unless what is left ends alike.
    """
    if re.search(r"-[A-Za-z0-9]{6}$", name) is None:
        return ""
    return (
        "a name that ends in a hyphen and six characters reads like the end of an ARN: let "
        "consumers ask for the secret by its name, or by its whole ARN"
    )


def cautions(credentials: Credentials, *, now: datetime) -> list[str]:
    """Tell all that is not refused, and may be a mistake or come to an end."""
    return [each for each in (caution(credentials), ending(credentials, now=now)) if each]
