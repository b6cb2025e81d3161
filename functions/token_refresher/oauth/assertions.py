"""What a signed assertion says: who a client is, or what a token is for (RFC 7521, 7523)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from token_refresher.oauth.hidden import Hidden

# RFC 7518 section 3.1.
Algorithm = Literal["ES256", "ES384", "PS256", "RS256"]
SIGNED: Final = ("RS256", "PS256", "ES256")
ISSUED: Final = ("RS256", "ES384")

# What a fresh assertion has of itself; a stored one would be old, or a replay.
OWN_CLAIMS: Final = ("exp", "iat", "nbf", "jti")

_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
# Base64url of 20 and of 32 bytes.
_Sha1 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{27}\Z")]
_Sha256 = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class Assertion(
    Hidden,
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"x5t_s256": "x5t#S256"},
):
    """What an assertion says, but for what is new in each.

    Attributes:
        audience: Its ``aud``; the token endpoint where nothing is said (RFC 7523 section 3).
        alg: How it is signed (RFC 7518 section 3.1); ``RS256`` where nothing is said.
        kid: Which of the client's keys signs (RFC 7515 section 4.1.4).
        x5t: Base64url of the SHA-1 of the key's certificate (section 4.1.7).
        x5t_s256: Base64url of its SHA-256 (section 4.1.8).
        claims: Others (RFC 7519 section 4), and instead of ``iss`` and ``sub``, which are the
            ``client_id``; null for none.
        expires_in: Seconds for which it is valid; 60 where nothing is said.
    """

    audience: _Text | None = None
    alg: Algorithm | None = None
    kid: _Text | None = None
    x5t: _Sha1 | None = None
    x5t_s256: _Sha256 | None = None
    claims: dict[str, object] = {}
    expires_in: Annotated[int, Meta(ge=10, le=300)] | None = None

    def over(self, entry: Assertion | None) -> Assertion:
        """Complete it by what a provider's entry says, field by field and claim by claim."""
        if entry is None:
            return self
        said = {
            name: getattr(self, name)
            for name in Assertion.__struct_fields__
            if getattr(self, name) not in (None, {})
        }
        said["claims"] = {**entry.claims, **self.claims}
        if "aud" in self.claims and self.audience is None:
            said["audience"] = None
        return msgspec.structs.replace(entry, **said)
