"""What verifies the assertions that the program signs, as a provider would: by a JOSE library.

It knows the account's public key and the page's demands. Whatever it refuses is told in words that
hold nothing of what was signed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, RSAKey
from typing_extensions import override

from tests.unit.signer import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from joserfc.jwt import ClaimsOption

# What is another in each, and so in no contract.
_OWN: Final = frozenset({"exp", "iat", "jti"})
# By what name STS has its own key.
STS: Final = "sts"
_STS_SECONDS: Final = 300
_TAGS: Final = "https://sts.amazonaws.com/"


class Demanded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a page shows of an assertion; it stands where a request has ``{assertion}``.

    Attributes:
        alg: How it is signed.
        header: What is in the header besides ``alg`` and ``typ``.
        claims: All but those that are another in each.
        lives: Seconds; the most for which the page lets it be valid.
        key: Whose key signs: the account's, unless it is ``sts``.
    """

    alg: str
    claims: dict[str, Any]
    header: dict[str, str] = {}
    lives: int = 3600
    key: str = ""

    @property
    def client(self) -> str:
        """Whom it names as the client (RFC 7523 section 3)."""
        return str(self.claims.get("sub", self.claims["iss"]))


class Signers(KeyRing):
    """KMS with a key for each account, and STS as it speaks of the function that asks.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self._issued = 0

    @override
    def identity_token(self, key: str, *, audience: str, alg: str) -> str:
        """Say who runs here, for at most five minutes."""
        self.asked.append((key, alg))
        self._issued += 1
        now = int(self._clock().timestamp())
        claims = {
            "iss": "https://invented.tokens.sts.global.api.aws",
            "sub": "arn:aws:iam::123456789012:role/invented-refresher",
            "aud": audience,
            "iat": now,
            "exp": now + _STS_SECONDS,
            "jti": f"invented-{self._issued}",
            _TAGS: {"request_tags": {"account": key}},
        }
        private = self.key(STS, alg=alg)
        return jwt.encode({"alg": alg, "kid": "invented-sts-key"}, claims, jose_key(private))


class Verifier:
    """A provider's, which remembers each assertion that it has taken.

    Args:
        clock: The provider's; gives aware times.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._taken = set[str]()

    def refusals(
        self, text: str, demanded: Demanded, key: RSAPublicKey | EllipticCurvePublicKey
    ) -> list[str]:
        """Tell why an assertion is refused; nothing where it is taken, once.

        Args:
            text: The assertion.
            demanded: What the page shows.
            key: Registered at the provider.
        """
        try:
            token = jwt.decode(text, jose_key(key), algorithms=[demanded.alg])
        except JoseError as error:
            return [f"the assertion is not signed as registered ({error.error})"]
        told = list(self._differences(token.header, token.claims, demanded))
        if not told:
            self._taken.add(token.claims["jti"])
        return told

    def _differences(
        self, header: Mapping[str, Any], claims: dict[str, Any], demanded: Demanded
    ) -> Iterator[str]:
        now = self._clock()
        here: ClaimsOption = {"essential": "aud" in demanded.claims}
        if "aud" in demanded.claims:
            here["value"] = demanded.claims["aud"]
        registry = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()), aud=here, exp={"essential": True}
        )
        try:
            registry.validate(claims)
        except ExpiredTokenError:
            yield "the assertion has expired"
        except JoseError as error:
            yield f"the assertion is not for here and now ({error.error})"
        latest = now + timedelta(seconds=demanded.lives)
        if claims.get("exp", 0) > latest.timestamp():
            yield "the assertion is valid for too long"
        if "jti" not in claims:
            yield "the assertion has no jti"
        elif claims["jti"] in self._taken:
            yield "the assertion is repeated"
        said = {name: value for name, value in claims.items() if name not in _OWN}
        shown = {name: value for name, value in header.items() if name != "typ"}
        yield from _told("claims", said, demanded.claims)
        yield from _told("header", shown, {"alg": demanded.alg, **demanded.header})


def _told(what: str, found: Mapping[str, Any], demanded: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(demanded.keys() | found.keys()):
        if name not in found:
            yield f"the assertion has no {what}.{name}"
        elif name not in demanded:
            yield f"the assertion has {what}.{name}, which is not in the contract"
        elif found[name] != demanded[name]:
            yield f"the assertion's {what}.{name} is another"


def jose_key(key: Any) -> RSAKey | ECKey:  # noqa: ANN401 - a private or a public one
    """Hand a key to the library."""
    return ECKey.import_key(key) if hasattr(key, "curve") else RSAKey.import_key(key)
