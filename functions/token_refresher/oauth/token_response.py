"""Reads what a token endpoint sent back, and says once what each response means.

Pure: bytes in, a `TokenResponse` or an error out. What servers really send is wider than
RFC 6749: forms for JSON, numbers as texts, objects as errors, errors as successes, pages of a
firewall. A `Dialect` says where in a response things are.
"""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

from token_refresher.oauth.dialect import BOUND_SCHEMES, find
from token_refresher.oauth.errors import (
    KNOWN_CODES,
    PAGE,
    TEMPORARY_CODES,
    WRONG_ADDRESS,
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.hidden import Hidden
from token_refresher.oauth.times import number_of, parse_expires_in, parse_retry_after, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from token_refresher.oauth.client_authentication import Client
    from token_refresher.oauth.dialect import Dialect

# Servlet containers say with a page, too, what no firewall says.
_REFUSING_BY_PAGES: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE})

# A refresh token may outlive an access token: eBay documents 18 months, Intuit five years. What is
# longer is a mistake.
_LONGEST_REFRESH_TOKEN_LIFETIME: Final = timedelta(days=3650)

TRANSIENT_STATUSES: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)

# RFC 6749 appendix A.12, but for the two that a quoted string of a header or of JSON would escape.
# A newline above all must never be published.
_ACCESS_TOKEN: Final = r"[\x21\x23-\x5B\x5D-\x7E]+"  # noqa: S105 - a pattern

# Names that no RFC gives to the lifetime of a refresh token: GitHub's and eBay's, Keycloak's,
# Intuit's.
_REFRESH_TOKEN_LIFETIMES: Final = (
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
)

# Where servers put what went wrong, in any spelling: {"error": {"code": …}}, {"errors": [{…}]},
# {"errorCode": …}, {"fault": {"detail": {"errorcode": …}}}.
_ERRORS: Final = ("error", "errors", "fault", "errorcode", "errcode")
_PLACES: Final = (
    *_ERRORS, "code", "status", "type", "name", "reason", "message", "detail",
)  # fmt: skip
# Deeper than any response that was seen. What a server nests must not decide how deep this goes.
_DEEPEST: Final = 5
# Of a list: a server that sends thousands must not make everybody wait.
_LONGEST_LIST: Final = 16
# Words for success, where others put an error's code.
_NO_ERROR: Final = frozenset({"", "false", "none", "null", "ok", "success"})
_FAILED: Final = frozenset({"error", "fail", "failed", "failure"})

# Begins with a name, and has no blank in it, as pages and texts have.
_FORM: Final = rb"\s*([\w.%-]+=[\x21-\x7E]*)\s*"

# What the integers of a secret's JSON may be.
_LEAST_INTEGER: Final = -(2**63)
_INTEGER_END: Final = 2**64


class TokenResponse(Hidden, msgspec.Struct, frozen=True):
    """A token response: its fields, parsed but not yet judged.

    Attributes:
        access_token: None where it is absent or no text.
        token_type: As in the response; None where it is absent or empty.
        expires_in: None where it is absent or not to be believed.
        scope: One space-delimited string; None where it is absent.
        refresh_token: None where it is absent, empty or no text.
        refresh_token_expires_in: None where it is absent or not to be believed.
        expires_at: Aware; None where the dialect has no such path, or nothing is there.
        content: All of it: an object or a list, without numbers that JSON cannot hold.
        assertion: What was signed for the request, and must not come back as a token.
    """

    access_token: str | None
    token_type: str | None
    expires_in: timedelta | None
    scope: str | None
    refresh_token: str | None
    refresh_token_expires_in: timedelta | None
    expires_at: datetime | None = None
    content: object = None
    assertion: str | None = None

    @property
    def signature(self) -> str | None:
        """What nobody can make of an assertion's other parts (RFC 7515 section 7.1)."""
        return None if self.assertion is None else self.assertion.rpartition(".")[2]


def bearer_token(access_token: str | None, token_type: str | None, *, dialect: Dialect) -> str:
    """Judge a token response by RFC 6749 section 5.1, but for its lifetime.

    Args:
        access_token: As in the response.
        token_type: As in the response. Absent, it is ``Bearer``.
        dialect: Where it names the scheme, the token's type may be any word.

    Raises:
        TokenResponseError: No token, of another type, or characters that no header can hold.
    """
    if not access_token:
        raise TokenResponseError(
            "the token response has no access_token: set dialect.access_token if it is elsewhere, "
            "or dialect.error if an error is there instead"
        )
    kind = (token_type or "").strip().lower() or "bearer"
    if kind in BOUND_SCHEMES:
        msg = "the token response's token_type is not bearer: such a token is bound to a key"
        raise TokenResponseError(msg)
    if kind != "bearer" and dialect.authorization_scheme is None:
        msg = (
            "the token response's token_type is not bearer: set dialect.authorization_scheme to "
            "what stands before the token in an Authorization header, such as Bearer"
        )
        raise TokenResponseError(msg)
    if re.fullmatch(_ACCESS_TOKEN, access_token) is None:
        raise TokenResponseError("the access_token has characters outside RFC 6749 appendix A.12")
    return access_token


def read_token_response(
    status: int,
    body: bytes,
    *,
    client: Client,
    retry_after: str | None,
    now: datetime,
    content_type: str | None = None,
) -> TokenResponse:
    """Read a response of the token endpoint.

    Args:
        status: The HTTP status.
        body: Not decoded; a truncated one is no JSON and is classified by its status.
        client: Who asked: its dialect says where things are, and an error what to correct.
        retry_after: The ``Retry-After`` header (RFC 9110 section 10.2.3).
        now: Aware; what a date in ``Retry-After`` is counted from.
        content_type: The ``Content-Type`` header; what is JSON is read as that all the same.

    Raises:
        TokenEndpointError: A redirect, or no token endpoint is there.
        EndpointUnavailableError: Nobody can be served now, or a page came.
        TokenRequestError: An error response, or a refusal in any other form.
        TokenResponseError: A success without an object or a list.
    """
    dialect = client.dialect
    wait = parse_retry_after(retry_after, now=now)
    content = _parse_json(body)
    if content is _NOTHING:
        content = _parse_form(body, content_type, dialect)
    is_page = content is _NOTHING and _is_html(status, body, content_type)
    failure = _failure(status, content, wait, client=client, is_page=is_page)
    if failure is not None:
        raise failure
    if not isinstance(content, dict | list):
        raise TokenResponseError("the token response is not a JSON object", status=status)
    return TokenResponse(
        access_token=_text(find(content, dialect.access_token)),
        token_type=_token_type(_beside(dialect.access_token, "token_type", content)),
        expires_in=parse_expires_in(
            find(content, dialect.expires_in), unit=dialect.expires_in_unit
        ),
        scope=_scope(find(content, dialect.scope)),
        refresh_token=_text(find(content, dialect.refresh_token)),
        refresh_token_expires_in=_refresh_token_lifetime(content, dialect),
        expires_at=parse_time(find(content, dialect.expires_at)) if dialect.expires_at else None,
        content=content,
        assertion=client.assertion if isinstance(client.assertion, str) else None,
    )


def is_unsupported_token_type(body: bytes) -> bool:
    """Whether a server does not revoke tokens of this type (RFC 7009 section 2.2.1)."""
    return find(_parse_json(body), "error") == "unsupported_token_type"


def _beside(path: str, name: str, content: object) -> object:
    """Look a name up where something else is, and else at the top."""
    parent = path.rpartition(".")[0]
    beside = find(content, f"{parent}.{name}") if parent else None
    return find(content, name) if beside is None else beside


def _token_type(value: object) -> str | None:
    """What is no text is a type that nobody knows, and not absent."""
    return _text(value) or ("unreadable" if value else None)


def _refresh_token_lifetime(content: object, dialect: Dialect) -> timedelta | None:
    """Tell how long the refresh token lives; 0 means that it does not expire, as Keycloak's."""
    if dialect.refresh_token_expires_in is not None:
        said = [find(content, dialect.refresh_token_expires_in)]
    else:
        said = [_beside(dialect.refresh_token, name, content) for name in _REFRESH_TOKEN_LIFETIMES]
    unit, longest = dialect.expires_in_unit, _LONGEST_REFRESH_TOKEN_LIFETIME
    for value in said:
        if told := parse_expires_in(value, unit=unit, longest=longest):
            return told
    return None


def _failure(
    status: int, content: object, wait: timedelta | None, *, client: Client, is_page: bool
) -> OAuthError | None:
    """Classify a response, in the order that is documented; None is a success."""
    marked = find(content, client.dialect.error) if client.dialect.error else None
    known = _known_code([marked, content])
    is_success = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return TokenEndpointError(
            f"the token endpoint redirects (status {status}): set token_endpoint to its final "
            "address (often only a trailing slash differs)",
            code="redirect",
            status=status,
            retry_after=wait,
        )
    if status in TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # Gateways answer 503 too, after the endpoint may have acted; none speaks OAuth.
        is_own_word = find(content, "error") in tuple(KNOWN_CODES)
        return EndpointUnavailableError(
            f"the token endpoint answered with status {status}",
            code=f"status_{status}",
            status=status,
            is_own_word=is_own_word and status == HTTPStatus.SERVICE_UNAVAILABLE,
            retry_after=wait,
        )
    # A page says of 410 what it says of 404; anything else is the endpoint's own word.
    is_gone = is_page and status == HTTPStatus.GONE
    if is_gone or (known is None and status in WRONG_ADDRESS):
        method = ", or dialect.request_method" if status == HTTPStatus.METHOD_NOT_ALLOWED else ""
        return TokenEndpointError(
            f"no token endpoint is at this address (status {status}): correct token_endpoint, or "
            f"provider and provider_parameters{method}",
            code=f"status_{status}",
            status=status,
            retry_after=wait,
        )
    if is_success and content is not _NOTHING:
        if not _is_refusal(content, client.dialect):
            return None
        return _refused(known or "unrecognised", status, wait, client)
    if is_success or (is_page and status not in _REFUSING_BY_PAGES):
        is_firewall = is_success or status == HTTPStatus.FORBIDDEN
        return EndpointUnavailableError(
            f"a page instead of JSON came with status {status}: a firewall or an error page",
            code=PAGE if is_firewall else f"page_{status}",
            status=status,
            retry_after=wait,
        )
    error = find(content, "error")
    return _refused(known or (error if isinstance(error, str) else None), status, wait, client)


def _refused(
    code: str | None, status: int, wait: timedelta | None, client: Client
) -> TokenRequestError:
    """Make the error of a refusal, with what to correct first."""
    advice = None
    if status == HTTPStatus.UNAUTHORIZED and code in TEMPORARY_CODES:
        # ServiceNow's `server_error` is a wrong password, and would be sent every half hour.
        code = None
    # Some servers have a word of their own for a client that they do not know.
    is_of_the_client = code == "invalid_client" or (
        status == HTTPStatus.UNAUTHORIZED and code not in KNOWN_CODES
    )
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        advice = "it takes no such body: set dialect.request_format"
    elif is_of_the_client and client.auth_method == "client_secret_basic":
        if any(
            quote_plus(each) != each for each in (client.client_id, client.client_secret) if each
        ):
            advice = (
                "HTTP Basic sends client_id and client_secret form-encoded (RFC 6749 section "
                "2.3.1), and some servers do not decode them: if they are right, set "
                "token_endpoint_auth_method to client_secret_post"
            )
    elif code == "invalid_client" and client.auth_method == "none":
        advice = "no client_secret is in the credentials: this server may ask for one"
    elif HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and code not in KNOWN_CODES:
        advice = "if it issued a token all the same, correct dialect.access_token or dialect.error"
    return TokenRequestError(code, status=status, retry_after=wait, advice=advice)


def _known_code(content: object) -> str | None:
    """Find a code of RFC 6749 where servers put them; what was found first counts."""
    return next((word for word in _words(content, _DEEPEST) if word in KNOWN_CODES), None)


def _words(content: object, depth: int) -> Iterator[str]:
    if isinstance(content, str):
        yield _word(content)
    elif depth and isinstance(content, list):
        for each in content[:_LONGEST_LIST]:
            yield from _words(each, depth - 1)
    elif depth and isinstance(content, dict):
        spelt = _spelt_alike(content)
        for place in _PLACES:
            yield from _words(spelt.get(place), depth - 1)


def _spelt_alike(content: dict[str, object]) -> dict[str, object]:
    """Name what is there without capitals and underscores; the first of two counts."""
    alike: dict[str, object] = {}
    for name, value in content.items():
        alike.setdefault(re.sub(r"[_-]", "", name).lower(), value)
    return alike


def _is_refusal(content: object, dialect: Dialect) -> bool:
    """Tell an error that calls itself a success (Slack's, GitHub's) from a token response.

    Beside a token only what is called an error is one: ``code``, ``status`` and the like stand in
    healthy responses, too.
    """
    has_token = any(
        _text(find(content, path)) for path in (dialect.access_token, dialect.refresh_token)
    )
    if dialect.error is not None:
        is_marked = _is_error(find(content, dialect.error), _DEEPEST)
        if is_marked or has_token:
            return is_marked
    several = content if isinstance(content, list) and not has_token else [content]
    return any(_tells_error(each, has_token=has_token) for each in several[:_LONGEST_LIST])


def _tells_error(content: object, *, has_token: bool) -> bool:
    if not isinstance(content, dict):
        return False
    spelt = _spelt_alike(content)
    if any(_is_error(spelt.get(name), _DEEPEST) for name in _ERRORS):
        return True
    denials = [spelt.get(name) for name in ("ok", "success")]
    if any(each is False or _word(each) == "false" for each in denials):
        return True
    if has_token:
        return False
    if _word(spelt.get("status")) in _FAILED or _is_error(spelt.get("code"), _DEEPEST):
        return True
    numbers = [number_of(spelt.get(name)) for name in ("status", "statuscode")]
    return any(number is not None and number >= HTTPStatus.BAD_REQUEST for number in numbers)


def _is_error(value: object, depth: int) -> bool:
    """Whether there is something where an error would be: not an empty value, 0 or ``ok``."""
    if isinstance(value, bool) or value is None or not depth:
        return bool(value)
    if isinstance(value, dict):
        spelt = _spelt_alike(value)
        code = next((spelt[name] for name in ("code", "errorcode") if name in spelt), None)
        several = list(value.values()) if code is None else [code]
        return any(_is_error(each, depth - 1) for each in several)
    if isinstance(value, list):
        return any(_is_error(each, depth - 1) for each in value[:_LONGEST_LIST])
    number = number_of(value)
    if number is not None:
        return bool(number) and not HTTPStatus.OK <= number < HTTPStatus.MULTIPLE_CHOICES
    return _word(value) not in _NO_ERROR


def _word(value: object) -> str:
    """Read a text that may be a word, in whatever capitals; what is no text is none."""
    return value.strip().lower() if isinstance(value, str) else ""


def _is_html(status: int, body: bytes, content_type: str | None) -> bool:
    """Tell a page from a text; nothing at all is no page, whatever it calls itself.

    Frameworks call a text of theirs html unasked; of what calls itself so, a block's alone is one.
    """
    begin = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    is_called_one = status == HTTPStatus.FORBIDDEN and "html" in (content_type or "").lower()
    return begin == b"<" or (begin != b"" and is_called_one)


_NOTHING: Final = object()


def _parse_json(body: bytes) -> object:
    """Parse bytes, so that a byte-order mark is understood."""
    try:
        try:
            return _loads(body)
        except UnicodeDecodeError:
            # A description in the encoding of its country, most often; what is read is ASCII.
            return _loads(body.decode("latin-1"))
    except (ValueError, RecursionError):
        return _NOTHING


def _loads(written: bytes | str) -> object:
    return json.loads(
        written, parse_int=_integer, parse_float=_finite, parse_constant=lambda _: None
    )


def _integer(written: str) -> int | float | None:
    """Read an integer of any number of digits; beyond 64 bits it is not exact."""
    number = _finite(written)
    if number is None or not _LEAST_INTEGER < number < _INTEGER_END:
        return number
    return int(written)


def _finite(written: str) -> float | None:
    """Read a number; None where it is greater than a number can be."""
    number = float(written)
    return number if math.isfinite(number) else None


def _parse_form(body: bytes, content_type: str | None, dialect: Dialect) -> object:
    """Parse a form (``access_token=…&expires_in=…``), as GitHub sends unless asked for JSON."""
    found = re.fullmatch(_FORM, body)
    try:
        form = dict(parse_qsl(found[1].decode(), errors="strict")) if found else {}
    except ValueError:
        return _NOTHING
    is_called_one = "x-www-form-urlencoded" in (content_type or "").lower()
    names = {dialect.access_token, dialect.error, "error"}
    return form if form and (is_called_one or names & form.keys()) else _NOTHING


def lifetime(response: TokenResponse, *, issued_at: datetime, client: Client) -> timedelta:
    """Tell how long the token lives: the least of what its server, its owner and itself say.

    Milliseconds for seconds, or a cached token with a full ``expires_in``, would be published as
    living long after the token has ended; whoever says less is right, or safe.

    Args:
        response: A lifetime of 0 in it gives way to the assumed one.
        issued_at: Aware; what the token's own expiry is counted from.
        client: What is assumed of it, and documented: that is only asked where nobody else says.

    Returns:
        0 where the token had expired when it was issued.

    Raises:
        MissingExpiryError: Nobody says.
    """
    ends_at, assumed = response.expires_at, client.assumed_expires_in
    left = (ends_at - issued_at).total_seconds() if ends_at is not None else None
    said = [response.expires_in, parse_expires_in(left)]
    if assumed is not None:
        said = [each or None for each in said] + [timedelta(seconds=assumed)]
    said.append(_left_by_itself(response.access_token or "", issued_at))
    known = [each for each in said if each is not None]
    if known:
        return min(known)
    if client.documented_expires_in is None:
        raise MissingExpiryError
    return timedelta(seconds=client.documented_expires_in)


def _left_by_itself(access_token: str, issued_at: datetime) -> timedelta | None:
    """Read a JWT's ``exp`` (RFC 7519 section 4.1.4); None for any other token.

    It is not verified: who could forge it, could forge all of the response.
    """
    header_payload_signature = access_token.split(".", 3)
    if len(header_payload_signature) != 3:  # noqa: PLR2004 - RFC 7515 section 3.1
        return None
    payload = header_payload_signature[1]
    try:
        decoded = base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True)
    except ValueError:
        return None
    exp = find(_parse_json(decoded), "exp")
    number = None if isinstance(exp, str) else number_of(exp)
    return None if number is None else parse_expires_in(number - issued_at.timestamp())


def _text(value: object) -> str | None:
    """A text that can be written down; half of a character cannot."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _scope(value: object) -> str | None:
    """One space-delimited string; some servers answer a list."""
    if isinstance(value, list):
        value = " ".join(word for word in map(_text, value) if word)
    return _text(value)
