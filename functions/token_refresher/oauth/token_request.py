"""A token request as it is sent (RFC 6749 sections 4 and 6, or a dialect), and one that revokes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from token_refresher.oauth.client_authentication import authentication, instead_of
from token_refresher.oauth.errors import TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from token_refresher.oauth.client_authentication import Client, Grant

_VARIABLE: Final = r"\{(assertion|refresh_token)\}"


class TokenRequest(NamedTuple):
    """What is sent; secret as a whole.

    Attributes:
        method: Of HTTP.
        url: With a query where the parameters are there.
        headers: Without those that the connection makes.
        body: None where there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None

    def __repr__(self) -> str:
        """Hide everything: all of it may be secret."""
        return f"{type(self).__name__}(…)"


def token_request(client: Client, grant: Grant) -> TokenRequest:
    """Make a token request.

    Args:
        client: Whose endpoint is asked, with its assertion made.
        grant: With what.

    Raises:
        TokenEndpointError: A header cannot hold what a server has sent.
    """
    variables = _variables(client, grant.refresh_token)
    fields, headers = authentication(client)
    if client.scope is not None:
        fields["scope"] = client.scope
    parameters = {**client.extra_parameters, **_filled(grant.parameters, variables), **fields}
    headers = _headers(client, headers, variables)
    dialect, url = client.dialect, client.token_endpoint
    if grant.refresh_token is not None:
        url = client.refresh_endpoint or url
    if dialect.request_format == "json":
        headers["Content-Type"] = "application/json"
        return TokenRequest(dialect.request_method, url, headers, json.dumps(parameters).encode())
    encoded = urlencode({name: _text(value) for name, value in parameters.items()}, doseq=True)
    if dialect.request_format == "query":
        url += ("&" if "?" in url else "?") + encoded
        return TokenRequest(dialect.request_method, url, headers, None)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return TokenRequest(dialect.request_method, url, headers, encoded.encode("ascii"))


def revocation_request(client: Client, token: str, *, hint: str) -> TokenRequest:
    """Ask for a token's end (RFC 7009 section 2.1): a form whatever the dialect of tokens.

    Args:
        client: Whose token it is; its ``token_endpoint`` is the revocation endpoint.
        token: Access or refresh token.
        hint: Which of the two: ``access_token`` or ``refresh_token``.

    Raises:
        TokenEndpointError: A header cannot hold what a server has sent.
    """
    fields, headers = authentication(client)
    variables = _variables(client, token if hint == "refresh_token" else None)
    headers = _headers(client, headers, variables)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    body = urlencode({"token": token, "token_type_hint": hint, **fields})
    return TokenRequest("POST", client.token_endpoint, headers, body.encode("ascii"))


def _variables(client: Client, refresh_token: str | None) -> dict[str, str | None]:
    assertion = client.assertion if isinstance(client.assertion, str) else None
    return {"assertion": assertion, "refresh_token": refresh_token}


def _headers(
    client: Client, own: Mapping[str, str], variables: Mapping[str, str | None]
) -> dict[str, str]:
    """Put the client's headers in the place of those that every request has."""
    usual = {"Accept": "application/json", "User-Agent": client.user_agent}
    headers = instead_of({**own, **usual}, _filled(client.request_headers, variables))
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        # It would end the header, and begin what its sender likes.
        raise TokenEndpointError(
            "a refresh_token or assertion in request_headers is not printable ASCII",
            code="unsendable_header",
            sent=False,
        )
    return headers


def _filled(values: Mapping[str, Any], variables: Mapping[str, str | None]) -> dict[str, Any]:
    """Put values in the place of their names, in texts that were parsed as such."""
    return {name: _fill(value, variables) for name, value in values.items()}


def _fill(value: object, variables: Mapping[str, str | None]) -> object:
    if isinstance(value, str):
        # Once, so that a value is never taken for a name; a name without a value stays.
        return re.sub(_VARIABLE, lambda name: variables[name[1]] or name[0], value)
    if isinstance(value, dict):
        return _filled(value, variables)
    return [_fill(each, variables) for each in value] if isinstance(value, list) else value


def _text(value: object) -> str | list[str]:
    """Write a parameter as a form has it; JSON's words for what is true and false."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def verify_request(client: Client, access_token: str) -> dict[str, str]:
    """Make the headers of a request that a resource accepts or refuses (RFC 6750 section 2.1)."""
    scheme = client.dialect.authorization_scheme or "Bearer"
    return {
        "Accept": "application/json",
        "Authorization": f"{scheme} {access_token}",
        "User-Agent": client.user_agent,
    }
