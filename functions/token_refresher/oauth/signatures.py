"""Makes assertions: JWTs that are composed and encoded here, and signed elsewhere (RFC 7515, 7519).

The key is with a signer, and nobody sees it. Read where an account signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from token_refresher.oauth.assertions import Assertion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Protocol

    from token_refresher.oauth.client_authentication import Client

    class Signer(Protocol):
        """Who has the keys of clients that sign. Its errors are its own, and nothing is sent."""

        def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
            """Sign as JWS has it (RFC 7518 section 3).

            Args:
                key: `Client.key`.
                alg: ``RS256``, ``PS256`` or ``ES256``.
                message: The signing input (RFC 7515 section 5.1).
            """

        def identity_token(self, key: str, *, audience: str, alg: str) -> str:
            """Have the platform say in a JWT of its own who runs here.

            Args:
                key: `Client.key`, which the token names.
                audience: Its ``aud``.
                alg: ``RS256`` or ``ES384``.
            """


# Some servers take none that is valid for longer.
_EXPIRES_IN: Final = 60
# The clock of a server that lags sees what was signed just now as signed in the future.
_CLOCK_SKEW: Final = timedelta(seconds=10)


def made(client: Client, signer: Signer, *, now: datetime) -> str:
    """Make a fresh assertion of a client's (RFC 7523 section 3).

    Args:
        client: Its ``assertion`` says of what.
        signer: Has its key, unless its secret is the key.
        now: Aware.

    Returns:
        A JWS in its compact form (RFC 7515 section 7.1); what a platform issues as it is.

    Raises:
        Exception: The signer's own; nothing was sent.
    """
    of = client.assertion
    if not isinstance(of, Assertion):
        raise TypeError
    audience = of.audience or client.token_endpoint
    if client.is_assertion_issued:
        return signer.identity_token(client.key, audience=audience, alg=of.alg or "RS256")
    is_by_secret = client.auth_method == "client_secret_jwt"
    alg = "HS256" if is_by_secret else of.alg or "RS256"
    names = {"kid": of.kid, "x5t": of.x5t, "x5t#S256": of.x5t_s256}
    header = {"alg": alg, "typ": "JWT", **_said(names)}
    usual = {"iss": client.client_id, "sub": client.client_id, "aud": audience}
    own = {
        "iat": int((now - _CLOCK_SKEW).timestamp()),
        "exp": int(now.timestamp()) + (of.expires_in or _EXPIRES_IN),
        "jti": uuid.uuid4().hex,
    }
    claims = {**_said({**usual, **of.claims}), **own}
    message = f"{_encoded(header)}.{_encoded(claims)}"
    if is_by_secret:
        key = (client.client_secret or "").encode()
        signature = hmac.digest(key, message.encode(), hashlib.sha256)
    else:
        signature = signer.sign(client.key, alg=alg, message=message.encode())
    return f"{message}.{_base64url(signature)}"


def is_old(client: Client, *, made_at: datetime, now: datetime) -> bool:
    """Whether half the life of an assertion is over, so that it may end on its way.

    Args:
        client: Whose it is. What the platform issues lives longer than is assumed here.
        made_at: Aware.
        now: Aware.
    """
    lives = client.assertion.expires_in if isinstance(client.assertion, Assertion) else None
    return now - made_at > timedelta(seconds=lives or _EXPIRES_IN) / 2


def _said(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _encoded(content: Mapping[str, object]) -> str:
    return _base64url(json.dumps(content, separators=(",", ":")).encode())


def _base64url(content: bytes) -> str:
    """RFC 7515 section 2: without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
