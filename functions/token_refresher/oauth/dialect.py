"""How a token endpoint departs from RFC 6749, and where in its responses things are.

A dialect changes the form of a request and of a response, never what is sent or published.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

# Keys of objects and indices of lists, such as `data.0.token`. Six parts are deeper than any
# response that was seen; no expressions, since a path comes from whoever may write credentials.
_PART: Final = r"[^.\[\]\s\x00-\x1F\x7F]{1,64}"
PATH: Final = rf"^(?!\$\.|/){_PART}(\.{_PART}){{0,5}}\Z"
Path = Annotated[str, Meta(pattern=PATH)]

# RFC 9110 section 11.1.
_SCHEME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}\Z"
# Schemes that prove the possession of a key with each request: such a token is no bearer token.
BOUND_SCHEMES: Final = frozenset({"dpop", "mac", "pop"})


class Dialect(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a server does otherwise; a path is one into its response.

    Attributes:
        request_method: How the token request is sent; RFC 6749 section 3.2 says POST.
        request_format: Where its parameters are: a form, a JSON object, or the query.
        access_token: Path of the access token.
        refresh_token: Path of the refresh token. The access token's own, where a token is renewed
            by itself.
        expires_in: Path of the lifetime.
        expires_in_unit: The lifetime's unit.
        expires_at: Path of the expiry: epoch seconds, milliseconds or RFC 3339.
        refresh_token_expires_in: Path of the refresh token's lifetime, in the same unit.
        scope: Path of the scope.
        error: Path of what is there, and no empty value, where the request was refused.
        authorization_scheme: What stands before the token in an ``Authorization`` header,
            whatever the response's ``token_type``.
    """

    request_method: Literal["GET", "POST", "PUT"] = "POST"
    request_format: Literal["form", "json", "query"] = "form"
    access_token: Path = "access_token"  # noqa: S105 - a path
    refresh_token: Path = "refresh_token"  # noqa: S105 - likewise
    expires_in: Path = "expires_in"
    expires_in_unit: Literal["milliseconds", "seconds"] = "seconds"
    expires_at: Path | None = None
    refresh_token_expires_in: Path | None = None
    scope: Path = "scope"
    error: Path | None = None
    authorization_scheme: Annotated[str, Meta(pattern=_SCHEME)] | None = None

    def __post_init__(self) -> None:
        """Refuse what would publish a refresh token, or a token that is no bearer token.

        Raises:
            ValueError: It names the field; msgspec turns it into its own error.
        """
        for field in ("access_token", "scope"):
            path = getattr(self, field)
            is_renewed_by_itself = path == self.refresh_token and field == "access_token"
            if names_refresh_token(path) or (
                overlaps(path, self.refresh_token) and not is_renewed_by_itself
            ):
                msg = f"`dialect.{field}` must not be where the refresh token is"
                raise ValueError(msg)
        scheme = (self.authorization_scheme or "").lower()
        if scheme in BOUND_SCHEMES:
            msg = "`dialect.authorization_scheme` must not bind a token to a key, as DPoP does"
            raise ValueError(msg)

    @property
    def renews_by_access_token(self) -> bool:
        """Whether the access token is its own refresh token."""
        return self.refresh_token == self.access_token


def find(content: object, path: str) -> object:
    """Look up a path in parsed JSON; None where there is nothing."""
    for part in path.split("."):
        if isinstance(content, dict):
            content = content.get(part)
        elif isinstance(content, list) and part.isascii() and part.isdigit():
            content = content[int(part)] if int(part) < len(content) else None
        else:
            return None
    return content


def overlaps(path: str, other: str) -> bool:
    """Whether one path is the other, or leads through it: what is at one holds the other's."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


def names_refresh_token(path: str) -> bool:
    """Whether a path says by itself that a refresh token is there, in any spelling."""
    return any(
        re.sub(r"[^a-z]", "", part.lower()).endswith("refreshtoken") for part in path.split(".")
    )


RFC_6749: Final = Dialect()
