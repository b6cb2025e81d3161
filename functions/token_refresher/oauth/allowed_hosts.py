"""Which hosts a client and its tokens may be sent to: those that people allow, and providers' own.

It goes by names and ports, and looks nothing up. What a name leads to is seen where a connection
is opened, and there alone: a name may lead elsewhere by then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from token_refresher.oauth.client_authentication import LABEL, host_of
from token_refresher.oauth.errors import TokenEndpointError

if TYPE_CHECKING:
    from collections.abc import Collection

    from token_refresher.oauth.client_authentication import Client

_ANY: Final = "*"
# No top-level domain begins with a digit; the last part of an IPv4 address always does, also where
# it is octal or hexadecimal, which resolvers take.
_TOP: Final = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
# Compiled where they are needed, which most starts do without.
_HOST: Final = rf"{LABEL}(\.{LABEL})*(:[1-9][0-9]{{0,4}})?"
_WILDCARD: Final = rf"\*(\.{LABEL})+\.{_TOP}"
_PUBLIC: Final = rf"({LABEL}\.)+(?P<top>{_TOP})"
_LONGEST_NAME: Final = 253
_LAST_PORT: Final = 65535
# Names under these are found by a network's own resolver, or by no resolver at all: reserved by
# RFC 6761 and RFC 8375 (home.arpa), by ICANN (internal), or in wide use in private networks as
# RFC 6762 appendix G has them. Cloud providers have their metadata services there.
_PRIVATE: Final = frozenset(
    {"arpa", "corp", "home", "internal", "intranet", "invalid"}
    | {"lan", "local", "localdomain", "localhost", "private", "test"}
)


def host_patterns(text: str) -> tuple[str, ...]:
    """Read what people allow: hosts and patterns, separated by commas; nothing for none.

    Returns:
        Each once, in lower case and without https's own port, as `host_of` names hosts.

    Raises:
        ValueError: It says what is taken, and repeats nothing.
    """
    entries = [entry.strip() for entry in text.split(",")] if text else []
    # Before they are lowered: a few characters outside of ASCII become letters by that.
    if not all(entry.isascii() and _is_pattern(entry.lower()) for entry in entries):
        raise ValueError(
            "hosts such as login.example.com or login.example.com:8443, *.example.com for one "
            "label before two or more, or * for any public name; separated by commas"
        )
    return tuple(dict.fromkeys(entry.lower().removesuffix(":443") for entry in entries))


def _is_pattern(entry: str) -> bool:
    if entry.startswith("*."):
        return len(entry) <= _LONGEST_NAME and re.fullmatch(_WILDCARD, entry) is not None
    return entry == _ANY or _is_host(entry)


def _is_host(entry: str) -> bool:
    name, _, port = entry.partition(":")
    has_bounds = len(name) <= _LONGEST_NAME and len(port) <= len(str(_LAST_PORT))
    return has_bounds and bool(re.fullmatch(_HOST, entry)) and int(port or 1) <= _LAST_PORT


class AllowedHosts:
    """The hosts that people allow, beside those of providers whose address leaves no host free.

    Args:
        patterns: As `host_patterns` reads them.
        is_proxied: Whether a proxy connects. What address it finds for a name is not seen here,
            so that ``*`` then stands for nothing.
        stack: Whose setting it is, for the command that adds to it. None where nobody knows: a
            command would take from one stack the hosts that it has, or its processor.
        region: The stack's.
        architecture: Its processor, which a deployment would change that does not name it.
    """

    def __init__(
        self,
        patterns: Collection[str],
        *,
        is_proxied: bool = False,
        stack: str | None = None,
        region: str = "",
        architecture: str = "",
    ) -> None:
        self._patterns, self._is_proxied = tuple(patterns), is_proxied
        self._stack, self._region, self._architecture = stack, region, architecture
        self._hosts = frozenset(each for each in patterns if not each.startswith(_ANY))
        self._domains = frozenset(each[2:] for each in patterns if each.startswith("*."))
        self._takes_any = _ANY in patterns

    def require(self, client: Client) -> None:
        """Check that a client and its tokens may be sent where it says.

        Raises:
            TokenEndpointError: Not there. It names the host, and the command that allows it.
        """
        own = client.host if client.is_fixed else None
        for field, url in (
            ("token_endpoint", client.token_endpoint),
            ("refresh_endpoint", client.refresh_endpoint),
            ("verify_url", client.verify_url),
        ):
            if url is None:
                continue
            host = host_of(url)
            if host == own or self._is_named(host):
                continue
            obstacle = self._obstacle(client, field, host)
            if obstacle is not None and not _is_a_providers(host):
                raise self._refusal(field, host, obstacle)

    def must_be_global(self, host: str) -> bool:
        """Whether a host, as `host_of` names it, may only be connected at a public address.

        True where it is allowed by ``*`` alone: else whoever may write credentials could reach
        what is inside of the function's network, by a name of theirs that leads there.
        """
        return self._takes_any and not self._is_named(host) and not _is_a_providers(host)

    def _is_named(self, host: str) -> bool:
        first, _, domain = host.partition(".")
        is_within = domain in self._domains and re.fullmatch(LABEL, first) is not None
        return is_within or host in self._hosts

    def _obstacle(self, client: Client, field: str, host: str) -> str | None:
        """Say why ``*`` does not allow a host, nothing where it is not set; None where it does."""
        if not self._takes_any:
            return ""
        if self._is_proxied:
            return ": behind a proxy `*` stands for no host"
        if field == "verify_url":
            return ": `*` is not for verify_url"
        if client.ca_certificates is not None:
            return ": `*` is not for an account with ca_certificates"
        name = re.fullmatch(_PUBLIC, host)
        if name is None or len(host) > _LONGEST_NAME or name["top"] in _PRIVATE:
            return ": `*` stands for public names, at port 443 alone"
        return None

    def _refusal(self, field: str, host: str, obstacle: str) -> TokenEndpointError:
        if not _is_host(host):
            # Of no length or form that may be told: the credentials may have anything there.
            message = (
                f"the host of {field} is none that the setting ALLOWED_TOKEN_HOSTS could allow: "
                "write a name of ASCII letters, digits and hyphens, without a dot at its end"
            )
        else:
            message = (
                f"the host of {field} is {host}, which the setting ALLOWED_TOKEN_HOSTS does not "
                f"allow{obstacle}; correct the credentials, or {self._way_to_allow(host)}"
            )
        return TokenEndpointError(message, code="host_not_allowed", sent=False)

    def _way_to_allow(self, host: str) -> str:
        if self._stack is None:
            return "add it to the stack's AllowedTokenHosts"
        region = f"AWS_REGION={self._region} " if self._region else ""
        processor = f"Architecture={self._architecture} " if self._architecture else ""
        # A deployment replaces the whole value.
        hosts = ",".join([*self._patterns, host])
        return (
            f"run in a clone of this project: make deploy {region}STACK={self._stack} "
            f'PARAMETERS="{processor}AllowedTokenHosts={hosts}"'
        )


def _is_a_providers(host: str) -> bool:
    from token_refresher.oauth.providers import fixed_hosts  # noqa: PLC0415 - few accounts ask

    return host in fixed_hosts()
