"""What an authorization server demands of an assertion (RFC 7523 section 3), and keeps of it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from local.authorization_server.ledger import Client

_Key: TypeAlias = RSAKey | ECKey | OctKey

CLIENT_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ALGORITHMS: Final = {"RSA": ("RS256", "PS256"), "EC": ("ES256",), "oct": ("HS256",)}
# What signs for an hour is as good as a password for an hour.
LONGEST_LIFE_SECONDS: Final = 300


class RefusedAssertionError(Exception):
    """Why an assertion proves nothing; no part of it is in here."""


class Assertions:
    """All assertions that were taken; each is taken once.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._seen: set[tuple[str, str]] = set()

    def claims(self, text: str, client: Client, *, audience: str) -> dict[str, Any]:
        """Verify a client's assertion, and take it.

        Args:
            text: As it arrived.
            client: Who it says has signed it.
            audience: The token endpoint.

        Raises:
            RefusedAssertionError: It proves nothing.
        """
        claims = _verified(text, client)
        self._require_life(claims)
        audiences = claims.get("aud")
        if (client.audience or audience) not in (
            audiences if isinstance(audiences, list) else [audiences]
        ):
            raise RefusedAssertionError("it is for somebody else")
        if claims.get("iss") != client.client_id:
            raise RefusedAssertionError("another has issued it")
        jti = (client.client_id, str(claims.get("jti", "")))
        if not jti[1] or jti in self._seen:
            raise RefusedAssertionError("it was used before, or does not say that it is new")
        self._seen.add(jti)
        return claims

    def _require_life(self, claims: dict[str, Any]) -> None:
        now, ends_at = self._clock().timestamp(), claims.get("exp")
        if not isinstance(ends_at, int) or not now < ends_at <= now + LONGEST_LIFE_SECONDS:
            raise RefusedAssertionError("it has ended, or lives for too long")
        if claims.get("nbf", 0) > now or claims.get("iat", 0) > now:
            raise RefusedAssertionError("it is of the future")


def _verified(text: str, client: Client) -> dict[str, Any]:
    """Read what one of the client's keys has signed, or its secret where it has none.

    A key says itself by what it signs: a header that asks for another algorithm is refused.
    """
    keys: tuple[_Key, ...] = client.public_keys or (OctKey.import_key(client.secret),)
    for key in keys:
        with suppress(JoseError, ValueError):
            return jwt.decode(text, key, algorithms=[*_ALGORITHMS[key.key_type]]).claims
    raise RefusedAssertionError("no key of the client's has signed it")


def unverified(text: str) -> tuple[str | None, str | None]:
    """Tell by what an assertion says it is signed, and by whom; nothing of it is proved."""
    try:
        token = jws.extract_compact(text.encode())
        claims = json.loads(token.payload or b"")
    except (JoseError, ValueError):
        return None, None
    return token.headers().get("alg"), claims.get("iss")
