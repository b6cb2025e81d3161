"""Credentials as people paste them: an invented client, and each grant by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from token_refresher.errors import CredentialsError
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from token_refresher.credentials import Credentials

ANY: Final = {"token_endpoint": "https://login.example.com/token"}
CLIENT: Final = {"client_id": "invented-id", "client_secret": "invented-secret"}
SERVER: Final = {**ANY, **CLIENT}
MACHINE: Final = {"grant_type": "client_credentials"}
PASSWORD: Final = {
    "grant_type": "password",
    "username": "a@b.example",
    "password": "invented-password",
}
PARTNER: Final = {
    "grant_type": "partner",
    "partner_code": "invented-code",
    "partner_secret": "invented-partner-secret",
}
REFRESH: Final = {"grant_type": "refresh_token", "refresh_token": "invented-token"}
JWT_BEARER: Final = {
    "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "assertion": "invented-assertion",
}
LOGIN: Final = {"grant_parameters": {"user": "u", "pin": "invented-pin"}}
# A grant of a server's own, which renews a token by the token.
EXCHANGE: Final = {
    "grant_type": "fb_exchange_token",
    "grant_parameters": {"fb_exchange_token": "{refresh_token}"},
    "refresh_token": "invented-token",
    "dialect": {"refresh_token": "access_token"},
}
PEM: Final = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"


def parse(*parts: dict[str, Any], **changed: object) -> Credentials:
    """Parse what the parts and the changes come to; a later field wins."""
    fields = {name: value for part in parts for name, value in part.items()} | changed
    return parse_credentials(json.dumps(fields))


def refusal(fields: dict[str, Any], **changed: object) -> str:
    """What is said of it: no value, and nothing behind it that would carry one along."""
    with pytest.raises(CredentialsError) as caught:
        parse(fields, **changed)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    said = str(caught.value)
    assert said.startswith("the credentials do not validate: ")
    assert "invented" not in said
    return said.removeprefix("the credentials do not validate: ")
