"""A token request as it is sent: form fields and headers (RFC 6749 sections 4 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from token_refresher.oauth.client_authentication import authentication

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.oauth.client_authentication import Client


def token_request(client: Client, grant: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Make a token request.

    Args:
        client: Whose endpoint is asked.
        grant: The form fields of the grant (RFC 6749 sections 4.3.2, 4.4.2, 6).

    Returns:
        Headers and body.
    """
    fields, headers = authentication(client)
    fields = {**client.extra_parameters, **grant, **fields}
    if client.scope is not None:
        fields["scope"] = client.scope
    headers |= {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": client.user_agent,
    }
    return headers, urlencode(fields).encode("ascii")


def verify_request(client: Client, access_token: str) -> dict[str, str]:
    """Make the headers of a request that a resource accepts or refuses (RFC 6750 section 2.1)."""
    return {
        "Accept": "application/json",
        "Authorization": f"Bearer {access_token}",
        "User-Agent": client.user_agent,
    }
