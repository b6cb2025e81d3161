"""The providers that credentials can name, as their entries have them, put for people.

Pure. Whatever can be asked of the program is: an example of credentials is parsed, and what is
told of it (address, authentication, whether refresh tokens are used) is what the program would do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from token_refresher.fixes import command
from token_refresher.health import shortest_lifetime
from token_refresher.oauth.assertions import Assertion
from token_refresher.oauth.providers import names, provider
from token_refresher.parsing import parse_credentials
from token_refresher.settings import Settings
from token_refresher_cli.durations import say_duration
from token_refresher_cli.grant_fields import shown

if TYPE_CHECKING:
    from msgspec import Struct

    from token_refresher.credentials import Credentials
    from token_refresher.oauth.providers import Provider, ProviderParameter

NOT_SAID: Final = "not said"

# For so long consumers keep a token by the examples in docs/consumers, whether or not it lives.
CONSUMERS_CACHE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Grant:
    """One way to a provider's tokens.

    Attributes:
        name: The ``grant_type``; ``login`` for a request of the provider's own.
        example: Credentials that use it, with placeholders.
        address: The token endpoint that follows from the example.
        authentication: The method that the program uses for it; ``assertion`` where what it signs
            is all that proves who it is.
        lifetime: Of its access tokens, as documented; None where that is not said.
        uses_refresh_tokens: Whether the program uses those that come with it.
        signs: What is signed, with ``signer``; None where nothing is.
    """

    name: str
    example: dict[str, Any]
    address: str
    authentication: str
    lifetime: timedelta | None
    uses_refresh_tokens: bool
    signs: dict[str, Any] | None = None

    @property
    def signing(self) -> str:
        """What is signed and by what, in a sentence or two; empty where nothing is."""
        if self.signs is None:
            return ""
        claims = self.signs.get("claims", {})
        audience = self.signs.get("audience", self.address)
        if self.signs["signer"] == "sts":
            return f"An identity token of AWS STS for {audience} is sent; no key is needed."
        alg = self.signs.get("alg", "RS256")
        whom = "" if claims.get("aud", audience) is None else f", for {audience}"
        said = [name for name, value in claims.items() if value is not None]
        with_claims = f", with {', '.join(said)}" if said else ""
        flags = [] if alg == "RS256" else ["--alg", alg]
        create = command("key create", "NAME", flags=flags, where={})
        return (
            f"The account's own KMS key signs, by {alg}{whom}{with_claims}. The provider is given "
            f"the public key, or its own is taken by `key import`: {create}"
        )

    @property
    def shortest(self) -> timedelta:
        """How long its tokens must live to be kept alive by the default schedule."""
        return shortest_lifetime(
            uses_refresh_tokens=self.uses_refresh_tokens, schedule=Settings().schedule
        )

    @property
    def lives_too_short(self) -> bool:
        """Whether its tokens end before the next can be had, unless they are made to last."""
        return self.lifetime is not None and self.lifetime < self.shortest

    @property
    def lives(self) -> str:
        """Its lifetime in words."""
        return NOT_SAID if self.lifetime is None else say_duration(self.lifetime)

    @property
    def kept_alive(self) -> str:
        """Whether there is a live token at any time, in words."""
        if self.lifetime is None:
            return "not known"
        if self.lives_too_short:
            return f"no: must live {say_duration(self.shortest)}"
        return "yes" if self.lifetime >= self.shortest + CONSUMERS_CACHE else "yes, if not cached"


@dataclass(frozen=True, slots=True)
class Listed:
    """A provider.

    Attributes:
        name: What credentials call it.
        entry: What ``providers.json`` has of it.
        grants: In the entry's order.
    """

    name: str
    entry: Provider
    grants: tuple[Grant, ...]

    @property
    def lifetimes(self) -> str:
        """Its access tokens' lifetimes in words, each once."""
        return ", ".join(dict.fromkeys(grant.lives for grant in self.grants))

    @property
    def refresh_tokens(self) -> str:
        """What becomes of a refresh token that is used, in a word or two."""
        entry = self.entry
        if entry.dialect.renews_by_access_token:
            return "none: an access token renews itself"
        if entry.rotation is None:
            has_some = any(grant.uses_refresh_tokens for grant in self.grants)
            return NOT_SAID if has_some else "none"
        if not entry.grace:
            return entry.rotation
        return f"{entry.rotation}, {say_duration(timedelta(seconds=entry.grace))} of grace"

    @property
    def addresses(self) -> list[tuple[str, str]]:
        """Its addresses, named."""
        entry = self.entry
        named = [("address", entry.token_endpoint)]
        named += [
            (f"for {name}", grant.token_endpoint)
            for name, grant in entry.grant_types.items()
            if grant.token_endpoint is not None
        ]
        if entry.parameters:
            named.append(("such as", self.grants[0].address))
        if entry.authorization_endpoint is not None:
            named.append(("consent", entry.authorization_endpoint))
        return named

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What its entry says besides addresses, grants and pages, named; code in backquotes."""
        entry = self.entry
        facts = [(name, _told(each)) for name, each in entry.parameters.items()]
        free = "yours, in `AllowedTokenHosts`"
        facts.append(
            ("host to allow", "none: it is the provider's own" if entry.is_fixed else free)
        )
        if dialect := _said(entry.dialect):
            facts.append(("dialect", dialect))
        facts += [
            (f"signed for {name}", said)
            for name, grant in entry.grant_types.items()
            if (said := _said(grant.assertion))
        ]
        if entry.needs_certificate:
            facts.append(("mutual TLS", "nobody is spoken with who shows no certificate"))
        facts.append(("refresh tokens", self._refresh_tokens_told))
        if entry.advice is not None:
            facts.append(("advice", entry.advice))
        return facts

    @property
    def _refresh_tokens_told(self) -> str:
        if self.refresh_tokens.startswith("none"):
            return self.refresh_tokens
        used = {
            "keeps": "stay the same when they are used",
            "rotates": "rotate: each is good for one use",
            "varies": "stay or rotate by the client's settings",
            None: "what becomes of one that is used is not said",
        }[self.entry.rotation]
        grace = self.refresh_tokens.partition(", ")[2].removesuffix(" of grace")
        still = f"; one that was used is still taken for {grace}" if grace else ""
        seconds = self.entry.refresh_token_expires_in
        life = f"; they live {self.refresh_token_lifetime}" if seconds is not None else ""
        return used + still + life

    @property
    def refresh_token_lifetime(self) -> str:
        """How long its refresh tokens live, in words."""
        seconds = self.entry.refresh_token_expires_in
        return NOT_SAID if seconds is None else say_duration(timedelta(seconds=seconds))


def listed(name: str) -> Listed:
    """Look a provider up.

    Raises:
        ProviderError: There is none; with the names that are nearest.
    """
    entry = provider(name)
    return Listed(name, entry, tuple(_grant(name, each) for each in entry.grant_types))


def all_listed() -> list[Listed]:
    """Look all providers up, in alphabetical order."""
    return [listed(name) for name in sorted(names())]


def _said(of: Struct | None) -> str:
    """Say an entry's own values, with what they are of; nothing for what is as usual."""
    said = {} if of is None else msgspec.to_builtins(of)
    return ", ".join(f"`{name}`: {_word(value)}" for name, value in said.items())


def _word(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    claims = (f"`{name}` {'left out' if each is None else each}" for name, each in value.items())
    return " and ".join(claims)


def _told(parameter: ProviderParameter) -> str:
    default = "" if parameter.default is None else f"; `{parameter.default}` if it is not given"
    accepted = f"{parameter.accepted}, such as `{parameter.example}`"
    return f"{parameter.about} ({accepted}{default})"


def _grant(name: str, grant: str) -> Grant:
    example = shown(name, grant)
    credentials = parse_credentials(json.dumps(example))
    client = credentials.client
    seconds = client.documented_expires_in
    is_signed = client.auth_method == "none" and client.signs
    return Grant(
        name=grant,
        example=example,
        address=client.token_endpoint,
        authentication="assertion" if is_signed else client.auth_method,
        lifetime=None if seconds is None else timedelta(seconds=seconds),
        uses_refresh_tokens=credentials.uses_refresh_tokens,
        signs=_signed(credentials),
    )


def _signed(credentials: Credentials) -> dict[str, Any] | None:
    """Tell what the program would sign."""
    signed = credentials.client.assertion
    if not isinstance(signed, Assertion):
        return None
    signer = "sts" if credentials.client.is_assertion_issued else "kms"
    return {**msgspec.to_builtins(signed), "signer": signer}
