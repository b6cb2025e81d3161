"""Finds a token endpoint by its authorization server's issuer, in the server's own metadata.

RFC 8414, and OpenID Connect Discovery 1.0. What is found is written into credentials once, before
a person's eyes; the function never asks for it, since whoever serves the metadata could then lead
its clients elsewhere on any day.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.transport import LONGEST_BODY, REQUEST_SECONDS
from token_refresher.refusals import is_plain_https_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": PRODUCT_USER_AGENT,
}


class DiscoveryError(Exception):
    """No token endpoint was found; the message repeats nothing that a server has sent.

    Args:
        message: What was looked for where, and why it was not there.
        code: As a token request's failure has it, where there was no response at all.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class _UnusableError(Exception):
    """There was a response, and no metadata of this issuer in it."""


class _Metadata(msgspec.Struct):
    """What is read of RFC 8414 section 2, with its defaults."""

    issuer: str
    token_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an authorization server says of its token endpoint.

    Attributes:
        metadata_url: Where it says so.
        token_endpoint: An https URL.
        auth_methods: How clients may authenticate there.
    """

    metadata_url: str
    token_endpoint: str
    auth_methods: frozenset[str]

    def auth_method(self, *, has_secret: bool) -> str | None:
        """Name the ``token_endpoint_auth_method`` to write, None where the default will do."""
        if "client_secret_basic" in self.auth_methods:
            return None
        if has_secret and "client_secret_post" in self.auth_methods:
            return "client_secret_post"
        return "none" if "none" in self.auth_methods else None

    def fields(self, given: Mapping[str, Any], *, has_secret: bool) -> dict[str, str]:
        """Tell the fields of the credentials that follow; a method that is given stays."""
        fields = {"token_endpoint": self.token_endpoint}
        method = self.auth_method(has_secret=has_secret)
        if method and "token_endpoint_auth_method" not in given:
            fields["token_endpoint_auth_method"] = method
        return fields


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
    problems = []
    with pool:
        for url in _metadata_urls(issuer):
            try:
                content = _fetch(pool, url, _left(ends_at - monotonic()))
                return _read(content, url, issuer)
            except _UnusableError as error:
                problems.append(f"{url}: {error}")
            except (HTTPError, OSError, ValueError) as error:
                # From None: the cause's text may hold what was on the wire.
                raise _unreached(error, issuer) from None
    raise DiscoveryError("\n".join((f"no metadata of {issuer} was found", *problems)))


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
            slash = "without" if issuer.endswith("/") else "with"
            raise _UnusableError(f"its issuer is written {slash} a slash at the end")
        # RFC 8414 section 3.3: whatever else it says is not to be used.
        raise _UnusableError("the metadata of another issuer")
    if not metadata.token_endpoint:
        raise _UnusableError("it names no token_endpoint")
    if not is_plain_https_url(metadata.token_endpoint):
        raise _UnusableError("its token_endpoint is no plain https URL")
    methods = frozenset(metadata.token_endpoint_auth_methods_supported)
    return Discovered(url, metadata.token_endpoint, methods)


def _unreached(error: Exception, issuer: str) -> DiscoveryError:
    """Say why there was no response."""
    host = host_of(issuer)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in error.args):
        problem = f"the certificate or the name of {host} was refused"
        return DiscoveryError(problem, code="certificate_refused")
    is_late = isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError)
    # To urllib3 a refused connection is one that was late.
    if is_late and not isinstance(error, NewConnectionError):
        return DiscoveryError(f"{host} did not answer in time", code="no_connection")
    return DiscoveryError(f"no connection to {host}, or it was lost", code="no_connection")
