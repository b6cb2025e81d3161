"""Finds a token endpoint by its authorization server's issuer, in the server's own metadata.

RFC 8414, and OpenID Connect Discovery 1.0. What is found is written into credentials once, before
a person's eyes; the function never asks for it, since whoever serves the metadata could then lead
its clients elsewhere on any day.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.oauth.assertions import SIGNED
from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.exchange import LONGEST_BODY, REQUEST_SECONDS, refusal_of_tls
from token_refresher.refusals import is_plain_https_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": PRODUCT_USER_AGENT,
}
_BASIC, _BY_KEY, _BY_TLS = "client_secret_basic", "private_key_jwt", "tls_client_auth"
# Clients do the same by both (RFC 8705 section 2): whom it believes is the server's to know.
_SAME: Final = {"self_signed_tls_client_auth": _BY_TLS}


class DiscoveryError(Exception):
    """No token endpoint was found; the message repeats nothing that a server has sent.

    Args:
        message: What was looked for where, and why it was not there.
        code: As a token request's failure has it, where there was no response at all.
        fix: What to do about it, where that is known.
    """

    def __init__(self, message: str, *, code: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.code, self.fix = code, fix


class _UnusableError(Exception):
    """There was a response, and no metadata of this issuer in it."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class _Aliases(msgspec.Struct, frozen=True):
    """What is read of RFC 8705 section 5."""

    token_endpoint: str = ""


class _Metadata(msgspec.Struct):
    """What is read of RFC 8414 section 2, with its defaults."""

    issuer: str
    token_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ()
    mtls_endpoint_aliases: _Aliases = _Aliases()


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an authorization server says of its token endpoint.

    Attributes:
        metadata_url: Where it says so.
        token_endpoint: An https URL.
        auth_methods: How clients may authenticate there.
        algs: By what they may sign (RFC 7518 section 3.1); none where it does not say.
        token_endpoint_for_certificates: Where clients go that show a certificate; empty where that
            is no other place.
    """

    metadata_url: str
    token_endpoint: str
    auth_methods: frozenset[str]
    algs: tuple[str, ...] = ()
    token_endpoint_for_certificates: str = ""

    def auth_method(self, known: Mapping[str, Any], *, has_secret: bool) -> str | None:
        """Name the ``token_endpoint_auth_method`` to write, None where the default will do.

        Args:
            known: Fields of the credentials.
            has_secret: Whether they have a secret, or somebody can be asked for it.
        """
        is_given = "client_secret" in known
        candidates = (
            (_BY_TLS, "certificate" in known and not is_given),
            (_BASIC, True),
            ("client_secret_post", has_secret),
            ("client_secret_jwt", is_given),
            ("none", True),
            (_BY_KEY, not is_given),
            ("client_secret_jwt", has_secret),
        )
        fitting = (name for name, is_possible in candidates if is_possible)
        found = next((name for name in fitting if name in self.auth_methods), None)
        return None if found == _BASIC else found

    def fields(
        self,
        given: Mapping[str, Any],
        *,
        has_secret: bool,
        stored: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Tell the fields of the credentials that follow; a method that is given stays."""
        known = {**stored, **given}
        is_other = "certificate" in known and self.token_endpoint_for_certificates
        fields: dict[str, Any] = {
            "token_endpoint": is_other or self.token_endpoint,
        }
        method = self.auth_method(known, has_secret=has_secret)
        if method and "token_endpoint_auth_method" not in given:
            fields["token_endpoint_auth_method"] = method
        used = {**known, **fields}.get("token_endpoint_auth_method")
        assertion = known.get("assertion")
        is_said = isinstance(assertion, dict) and "alg" in assertion
        if used == _BY_KEY and not is_said and (alg := self._alg()):
            fields["assertion"] = {"alg": alg}
        return fields

    def _alg(self) -> str | None:
        """Name by what to sign; None where the default will do, or nothing would."""
        fitting = [alg for alg in SIGNED if alg in self.algs]
        return fitting[0] if fitting and fitting[0] != SIGNED[0] else None


def discover(
    issuer: str,
    *,
    ssl_context: ssl.SSLContext,
    monotonic: Callable[[], float],
    proxy: str | None = None,
) -> Discovered:
    """Ask an authorization server for its metadata, at the two places where it may be.

    Args:
        issuer: As the server writes it, to the letter (RFC 8414 section 3.3).
        ssl_context: Verifies certificate and name. Its sockets are made time-limited.
        monotonic: Gives seconds, for the time limit of both requests together.
        proxy: ``http://host:port``, or None.

    Raises:
        DiscoveryError: It says what is wrong at each of the two.
    """
    if not is_plain_https_url(issuer) or "?" in issuer:
        raise DiscoveryError(
            "the issuer must be an https URL without user, password, query or fragment"
        )
    ends_at = monotonic() + REQUEST_SECONDS
    ssl_context.sslsocket_class = _time_limited(lambda: _left(ends_at - monotonic()))
    pool = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
    pool.connection_pool_kw["ssl_context"] = ssl_context
    problems, fix = [], ""
    with pool:
        for url in _metadata_urls(issuer):
            try:
                content = _fetch(pool, url, _left(ends_at - monotonic()))
                return _read(content, url, issuer)
            except _UnusableError as error:
                problems.append(f"{url}: {error}")
                fix = fix or error.fix
            except (HTTPError, OSError, ValueError) as error:
                # From None: the cause's text may hold what was on the wire.
                raise _unreached(error, issuer) from None
    raise DiscoveryError("\n".join((f"no metadata of {issuer} was found", *problems)), fix=fix)


def _metadata_urls(issuer: str) -> tuple[str, str]:
    """Tell where metadata is: RFC 8414 section 3.1, and OpenID Connect Discovery section 4."""
    parts = urlsplit(issuer)
    origin, path = f"https://{parts.netloc}", parts.path.removesuffix("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )


def _left(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _time_limited(left: Callable[[], float]) -> type[ssl.SSLSocket]:
    """Make sockets that know the end of the whole exchange.

    A socket's own timeout starts again with every byte, so a slow drip would never end.
    """

    class TimeLimitedSocket(ssl.SSLSocket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 - as inherited
            self.settimeout(left())
            return super().recv_into(*args, **kwargs)

    return TimeLimitedSocket


def _fetch(pool: urllib3.PoolManager, url: str, seconds: float) -> bytes:
    """Get one document.

    Raises:
        _UnusableError: There is none.
        HTTPError, OSError, ValueError: There was no response, as HTTP libraries have it.
    """
    response = pool.urlopen(
        "GET",
        url,
        headers=_HEADERS,
        retries=False,
        redirect=False,
        preload_content=False,
        timeout=seconds,
    )
    try:
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            raise _UnusableError(f"a redirect (status {response.status}), which is not followed")
        if response.status != HTTPStatus.OK:
            raise _UnusableError(f"not found (status {response.status})")
        content = response.read(LONGEST_BODY + 1)
    except DecodeError:
        raise _UnusableError("not JSON") from None
    finally:
        response.close()
    if len(content) > LONGEST_BODY:
        raise _UnusableError(f"longer than {LONGEST_BODY // 1024} KiB")
    return content


def _read(content: bytes, url: str, issuer: str) -> Discovered:
    try:
        metadata = msgspec.json.decode(content, type=_Metadata)
    except msgspec.ValidationError:
        raise _UnusableError("JSON, and no metadata of an authorization server") from None
    except (ValueError, RecursionError):
        raise _UnusableError("not JSON") from None
    if metadata.issuer != issuer:
        if metadata.issuer.removesuffix("/") == issuer.removesuffix("/"):
            has_slash = issuer.endswith("/")
            given = issuer.removesuffix("/") if has_slash else f"{issuer}/"
            raise _UnusableError(
                f"its issuer is written {'without' if has_slash else 'with'} a slash at the end",
                fix=f'give it as "{given}"',
            )
        # RFC 8414 section 3.3: whatever else it says is not to be used.
        raise _UnusableError("the metadata of another issuer")
    if not metadata.token_endpoint:
        raise _UnusableError("it names no token_endpoint")
    if not is_plain_https_url(metadata.token_endpoint):
        raise _UnusableError("its token_endpoint is no plain https URL")
    methods = {_SAME.get(each, each) for each in metadata.token_endpoint_auth_methods_supported}
    other = metadata.mtls_endpoint_aliases.token_endpoint
    if other and not is_plain_https_url(other):
        raise _UnusableError("its token_endpoint for certificates is no plain https URL")
    algs = metadata.token_endpoint_auth_signing_alg_values_supported
    return Discovered(url, metadata.token_endpoint, frozenset(methods), algs, other)


def _unreached(error: Exception, issuer: str) -> DiscoveryError:
    """Say why there was no response."""
    host = host_of(issuer)
    for each in error.args:
        if isinstance(each, ssl.SSLCertVerificationError) and (refusal := refusal_of_tls(each)):
            problem = f"the certificate or the name of {host} was refused"
            return DiscoveryError(problem, code=refusal.code)
    is_late = isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError)
    # To urllib3 a refused connection is one that was late.
    if is_late and not isinstance(error, NewConnectionError):
        return DiscoveryError(f"{host} did not answer in time", code="no_connection")
    return DiscoveryError(f"no connection to {host}, or it was lost", code="no_connection")
