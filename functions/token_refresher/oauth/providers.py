"""The providers: where their token endpoints are and how they depart from RFC 6749, as data.

An entry of ``providers.json`` is read when an account names it. Whatever is in it stands in the
provider's own documentation, which the entry names.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from token_refresher.oauth.assertions import Assertion  # noqa: TC001 - msgspec reads annotations
from token_refresher.oauth.client_authentication import LABEL, AuthMethod, Parameter, host_of
from token_refresher.oauth.decoding import decoded
from token_refresher.oauth.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = Path(__file__).with_name("providers.json")

# What a parameter may be, so that it stays inside of the place that it is put into.
_KINDS: Final = {
    "label": (LABEL, "one label of a host's name, in lower case"),
    "labels": (
        rf"{LABEL}(\.{LABEL}){{0,3}}",
        "at most four labels of a host's name, without its end",
    ),
    "segment": (r"(?!\.+\Z)[A-Za-z0-9._~-]{1,128}", "one segment of a path"),
    # The last label begins with a letter, so that it is a name and no address in any form.
    "host": (
        rf"({LABEL}\.)+(?=[a-z]){LABEL}(:[0-9]{{1,5}})?",
        "the name of a host, in lower case",
    ),
}
# What an entry calls a request of the provider's own, without a ``grant_type``.
LOGIN: Final = "login"
# Where so many fixed labels follow what people may choose, the host is the provider's own.
_FIXED_LABELS: Final = 2
_HOLE: Final = re.compile(r"\{(\w+)\}")


class ProviderError(ValueError):
    """There is no such provider, or its parameters are not what it takes; names the field."""


class ProviderParameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people choose of a provider's address.

    Attributes:
        about: What it is, and where people find it.
        example: One that could be.
        kind: ``label``, ``labels``, ``segment`` or ``host``; one of a list where there is none.
        values: The list; beside ``labels`` what may stand without a dot.
        default: What it is where nothing is given.
    """

    about: str
    example: str
    kind: Literal["host", "label", "labels", "segment"] | None = None
    values: tuple[str, ...] = ()
    default: str | None = None

    def accepts(self, value: str) -> bool:
        """Whether a value stays inside of its place."""
        if self.kind is None or value in self.values:
            return value in self.values
        if self.values and "." not in value:
            return False
        return re.fullmatch(_KINDS[self.kind][0], value, re.ASCII) is not None

    @property
    def accepted(self) -> str:
        """What is accepted, in words."""
        listed = f"one of {', '.join(self.values)}" if self.values else ""
        if self.kind is None:
            return listed
        return f"{listed}, or two to four labels" if listed else _KINDS[self.kind][1]


class ProviderGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a grant departs in from the rest of its provider.

    Attributes:
        token_endpoint: Its own address; for ``refresh_token`` on the same host.
        token_endpoint_auth_method: Its own method.
        grant_parameters: What it sends, beside the account's.
        assertion: What it signs, beside the account's, where a request has a place for it. Its
            ``audience`` is a template over the provider's parameters and ``client_id``.
        expires_in: Seconds; its access token's documented lifetime.
        example: Fields that its credentials have besides, with values that could be.
    """

    expires_in: int | None = None
    token_endpoint: str | None = None
    token_endpoint_auth_method: AuthMethod | None = None
    grant_parameters: dict[str, object] = {}
    assertion: Assertion | None = None
    example: dict[str, object] = {}


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry.

    Attributes:
        title: The provider's own name.
        documentation: Pages that say all this.
        token_endpoint: A template over `parameters`.
        grant_types: The grants that a machine can use by itself; ``login`` for a request of the
            provider's own (no ``grant_type``).
        token_endpoint_auth_method: None where it follows from whether there is a secret.
        needs_client_id: False where the provider knows none.
        needs_certificate: True where it speaks with nobody who has none, whatever the method.
        parameters: What people choose of its address.
        authorization_endpoint: Where a person consents, for the first refresh token.
        revocation_endpoint: RFC 7009.
        dialect: How it departs from RFC 6749.
        extra_parameters: Sent with every token request.
        request_headers: Likewise.
        user_agent: ``{username}`` where it wants to see the account's.
        expires_in: Seconds; the access token's documented lifetime.
        refresh_token_expires_in: Seconds; the refresh token's, from when it was issued. None where
            it ends only when it is not used for so long.
        rotation: What becomes of a refresh token that is used: ``rotates`` (a new one comes, the
            old one ends), ``keeps``, or ``varies`` by the client's settings; None where there is
            none, or where no page says it.
        grace: Seconds for which a refresh token that was used is still taken.
        secret_fields: Names that AWS's managed external secrets give the fields of credentials.
        advice: What to know or set at the provider, in a sentence or two.
    """

    title: str
    documentation: tuple[str, ...]
    token_endpoint: str
    grant_types: dict[str, ProviderGrant]
    token_endpoint_auth_method: AuthMethod | None = None
    needs_client_id: bool = True
    needs_certificate: bool = False
    parameters: dict[str, ProviderParameter] = {}
    authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    dialect: Dialect = Dialect()
    extra_parameters: dict[str, Parameter] = {}
    request_headers: dict[str, str] = {}
    user_agent: str | None = None
    expires_in: int | None = None
    refresh_token_expires_in: int | None = None
    rotation: Literal["keeps", "rotates", "varies"] | None = None
    grace: int | None = None
    secret_fields: dict[str, str] = {}
    advice: str | None = None

    def grant(self, grant_type: str | None) -> ProviderGrant:
        """What a grant departs in; nothing, for one that the entry does not name."""
        return self.grant_types.get(grant_type or LOGIN) or ProviderGrant()

    def endpoint(self, given: Mapping[str, str], *, grant_type: str | None) -> str:
        """Put parameters into a grant's address.

        Raises:
            ProviderError: It names the parameter, never its value.
        """
        return self._filled(self.grant(grant_type).token_endpoint or self.token_endpoint, given)

    def revocation(self, given: Mapping[str, str]) -> str | None:
        """Put parameters into the revocation endpoint (RFC 7009); None where none is known.

        Raises:
            ProviderError: As `endpoint` says.
        """
        template = self.revocation_endpoint
        return None if template is None else self._filled(template, given)

    def assertion(
        self, given: Mapping[str, str], *, grant_type: str | None, client_id: str | None
    ) -> Assertion | None:
        """Put parameters, and the client's id, into the audience of what a grant signs.

        Raises:
            ProviderError: As `endpoint` says.
        """
        signed = self.grant(grant_type).assertion
        if signed is None or signed.audience is None:
            return signed
        values = {**self._values(given, end=""), "client_id": client_id or ""}
        return msgspec.structs.replace(signed, audience=_put(values, signed.audience))

    def _filled(self, template: str, given: Mapping[str, str]) -> str:
        end = template.split("/")[2].rpartition("}")[2]
        return _put(self._values(given, end=end), template)

    def _values(self, given: Mapping[str, str], *, end: str) -> dict[str, str]:
        if unknown := sorted(given.keys() - self.parameters):
            known = ", ".join(self.parameters) or "none"
            # What is no plain word may be a secret in the wrong place.
            name = unknown[0] if re.fullmatch(r"\w{1,40}", unknown[0], re.ASCII) else "…"
            msg = f"`provider_parameters` has `{name}`, but {self.title} takes: {known}"
            raise ProviderError(msg)
        values = {}
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            # The end of the host, which is there already, is often pasted with the rest.
            is_whole = bool(end) and value is not None and value.endswith(end)
            if value is None or is_whole or not parameter.accepts(value):
                msg = (
                    f"`provider_parameters.{name}` must be {parameter.accepted}, "
                    f"such as {parameter.example}: {parameter.about}"
                )
                raise ProviderError(msg)
            values[name] = value
        return values

    @property
    def is_fixed(self) -> bool:
        """Whether its addresses are its own, whatever is chosen: none is another's host."""
        return all(
            self._is_fixed(grant.token_endpoint or self.token_endpoint)
            for grant in self.grant_types.values()
        )

    @property
    def is_revocation_fixed(self) -> bool:
        """Whether its revocation endpoint is its own, likewise."""
        return self.revocation_endpoint is not None and self._is_fixed(self.revocation_endpoint)

    def _is_fixed(self, template: str) -> bool:
        """Whether enough fixed labels follow the last part of the host that is chosen freely.

        What comes before that part is inside of the same domain.
        """
        return all(
            host.rpartition("}")[2].split(":")[0].count(".") >= _FIXED_LABELS
            for host in self._hosts_of(template)
            if "}" in host
        )

    def _hosts_of(self, template: str) -> list[str]:
        """The hosts of an address, by each value that a parameter is chosen from."""
        hosts = [template.split("/")[2]]
        for name, parameter in self.parameters.items():
            if parameter.kind is None:
                hosts = [
                    host.replace(f"{{{name}}}", value)
                    for host in hosts
                    for value in parameter.values
                ]
        return hosts

    @property
    def fixed_hosts(self) -> frozenset[str]:
        """The hosts of its addresses in which nothing can be chosen freely."""
        templates = {
            grant.token_endpoint or self.token_endpoint for grant in self.grant_types.values()
        }
        hosts = (host for each in templates for host in self._hosts_of(each))
        return frozenset(host_of(f"https://{host}") for host in hosts if "}" not in host)


def _put(values: Mapping[str, str], template: str) -> str:
    return _HOLE.sub(lambda hole: values[hole[1]], template)


@cache
def _entries() -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(_FILE.read_bytes(), type=dict[str, msgspec.Raw])


def names() -> tuple[str, ...]:
    """Name all providers, as the file has them."""
    return tuple(_entries())


@cache
def provider(name: str) -> Provider:
    """Read an entry.

    Raises:
        ProviderError: There is none; with the names that are nearest.
    """
    entry = _entries().get(name)
    if entry is None:
        raise ProviderError(_unknown(name))
    return decoded(entry, Provider)


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - a healthy start needs none of it

    asked = name.lower()
    near = " or ".join(
        get_close_matches(asked, _entries(), n=2, cutoff=0.7)
        or [each for each in _entries() if each in asked]
        or [each for each in _entries() if asked in provider(each).title.lower().split()]
    )
    meant = f"; did you mean {near}?" if near else ": see `token-refresher providers`"
    return f"`provider` names none that is known{meant}"


@cache
def fixed_hosts() -> frozenset[str]:
    """The hosts of all providers whose address leaves no host free."""
    return frozenset().union(*(provider(name).fixed_hosts for name in names()))
