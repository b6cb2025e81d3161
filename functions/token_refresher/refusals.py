"""What credentials must not say, beyond what the type of a single field can refuse.

Each refusal closes something that whoever may write one credentials secret could gain by it;
docs/security.md has a row for each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import structs

from token_refresher.credentials import ASSERTION, REFRESH_TOKEN, texts_in
from token_refresher.oauth.assertions import ISSUED, OWN_CLAIMS, SIGNED
from token_refresher.oauth.client_authentication import BY_ASSERTION, WITHOUT_SECRET
from token_refresher.oauth.dialect import overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from token_refresher.credentials import Credentials

# What RFC 6749 and 7521 let the program itself say of a client.
_OF_CLIENTS: Final = frozenset(
    {"client_assertion", "client_assertion_type", "client_id", "client_secret"}
)
# What is written in braces, when a value is meant.
_MEANT: Final = frozenset(
    {"accesstoken", "assertion", "clientid", "clientsecret", "password", "refreshtoken", "username"}
)
_NO_ASSERTION: Final = (
    '`assertion` is missing: a ready-made one, or an object such as {"signer": "kms"} for what is '
    "signed for each request"
)
# In the place of none, so that the rest can be looked at.
_ANYWHERE: Final = "https://any.example/token"
_MOST_HEADERS: Final = 16
_LONGEST_HEADER: Final = 4096
# Of 64 KiB each: a few thousand would take the memory of all accounts.
_MOST_VARIABLES: Final = 16
# As the template's parameter takes them. Whoever pastes one with a comma there allows two.
_AUDIENCE: Final = r"[A-Za-z0-9:/._~@%+=&?#-]+"
# RFC 9110 section 5.6.2.
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What frames a message or routes it: one of these, and the next request on the connection, which
# is another account's, is not the one that the program has made. And what has a field of its own.
REFUSED_HEADERS: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type"),
        *("cookie", "expect", "forwarded", "host", "keep-alive", "range", "te", "trailer"),
        *("transfer-encoding", "upgrade", "user-agent", "via"),
    }
)


def require_valid(credentials: Credentials) -> None:
    """Check what no single field's type can say.

    Raises:
        ValueError: It names the field, never a value.
        msgspec.ValidationError: The dialect does not validate.
    """
    for check in _CHECKS:
        check(credentials)


def all_of(credentials: Credentials) -> list[str]:
    """Tell all that `require_valid` refuses; its errors' own words, each once."""
    told = []
    try:
        _require_place(credentials)
    except ValueError as error:
        told.append(str(error))
        credentials = structs.replace(
            credentials, provider=None, provider_parameters={}, token_endpoint=_ANYWHERE
        )
    for check in _CHECKS:
        try:
            check(credentials)
        except (ValueError, msgspec.ValidationError) as error:
            told.append(str(error))
    return list(dict.fromkeys(told))


def _require_place(credentials: Credentials) -> None:
    if (credentials.provider is None) == (credentials.token_endpoint is None):
        raise ValueError("give exactly one of `provider` and `token_endpoint`")
    if credentials.provider is None and credentials.provider_parameters:
        raise ValueError("`provider_parameters` need `provider`")


def _require_addresses(credentials: Credentials) -> None:
    for field, url in (
        ("token_endpoint", credentials.token_endpoint),
        ("verify_url", credentials.verify_url),
    ):
        if url is not None and not is_plain_https_url(url):
            msg = f"`{field}` must be an https URL without user, password, fragment or placeholder"
            raise ValueError(msg)


def _require_client_id(credentials: Credentials) -> None:
    method = credentials.auth_method
    is_public = credentials.token_endpoint_auth_method == "none"  # noqa: S105 - a method
    is_needed = method != "none" or (credentials.needs_client and not is_public)
    if credentials.client_id is None and is_needed and credentials.entry.needs_client_id:
        raise ValueError("`client_id` is missing")


def _require_client_secret(credentials: Credentials) -> None:
    method, secret = credentials.auth_method, credentials.client_secret
    if method in WITHOUT_SECRET and secret is not None:
        msg = (
            f"`client_secret` is not sent with the token_endpoint_auth_method `{method}`: "
            "remove one of them"
        )
        raise ValueError(msg)
    if method not in WITHOUT_SECRET and secret is None:
        raise ValueError(
            "`client_secret` is missing; for a public client set `token_endpoint_auth_method` "
            "to `none`, for one that signs to `private_key_jwt`"
        )
    if method == "client_secret_jwt" and not secret:
        raise ValueError("`client_secret` must not be empty: client_secret_jwt signs with it")


def _require_assertion(credentials: Credentials) -> None:
    """Let an assertion say what its signer signs."""
    method, signed = credentials.auth_method, credentials.signed_assertion
    if method == "client_secret_jwt" and (
        signed is None or any((signed.signer, signed.alg, signed.x5t, signed.x5t_s256))
    ):
        raise ValueError(
            "`assertion` with client_secret_jwt says `audience`, `kid`, `claims` or `expires_in` "
            "alone: the client_secret signs it, by HS256"
        )
    of = credentials.whole_assertion
    if signed is None or of is None:
        return
    for field, text in (("audience", of.audience), ("kid", of.kid)):
        if not (text or "").isprintable():
            # People's terminals show them, and would obey.
            msg = f"`assertion.{field}` has a line break or an invisible character: remove it"
            raise ValueError(msg)
    is_issued = signed.signer == "sts"
    if is_issued and any((signed.kid, signed.x5t, signed.x5t_s256, signed.claims)):
        raise ValueError("`assertion` of the signer `sts` has no key and no claims: AWS says them")
    if is_issued and (of.audience is None or signed.expires_in):
        raise ValueError(
            "`assertion` of the signer `sts` has `audience`, and no `expires_in`: AWS decides"
        )
    if is_issued and re.fullmatch(_AUDIENCE, of.audience or "") is None:
        raise ValueError(
            "`assertion.audience` of the signer `sts` must be one that WebIdentityAudiences may "
            "name: of A-Z a-z 0-9 and : / . _ ~ @ % + = & ? # -"
        )
    taken = ISSUED if is_issued else SIGNED
    if of.alg is not None and of.alg not in taken:
        msg = f"`assertion.alg` of the signer `{signed.signer or 'kms'}` must be {one_of(taken)}"
        raise ValueError(msg)
    if not is_issued and credentials.client_id is None and of.claims.get("iss") is None:
        raise ValueError("`client_id` is missing, or `assertion.claims.iss`: who signs")


def _require_claims(credentials: Credentials) -> None:
    """Let an assertion say nothing twice, and nothing that is new in each."""
    signed = credentials.signed_assertion
    if signed is None:
        return
    for name in OWN_CLAIMS:
        if name in signed.claims:
            msg = f"`assertion.claims` must not hold `{name}`: it is new in each assertion"
            raise ValueError(msg)
    if signed.audience is not None and "aud" in signed.claims:
        raise ValueError("give one of `assertion.audience` and `assertion.claims.aud`")
    # RFC 7519 section 4.1.
    for name in ("iss", "sub", "aud"):
        said = signed.claims.get(name)
        # A null leaves out a usual one.
        if said is None or _are_texts(said if name == "aud" and isinstance(said, list) else [said]):
            continue
        msg = f"`assertion.claims.{name}` must be text, and not empty"
        if name == "aud":
            msg += "; or a list of such, with one at least"
        raise ValueError(msg)
    _require_no_misspelt(texts_in(signed.claims), set())


def _require_parameters(credentials: Credentials) -> None:
    """Let no parameter be a second way to say what has a field of its own."""
    taken = {"grant_type", *credentials.own_fields, *credentials.own_parameters}
    if credentials.scope is not None:
        taken.add("scope")
    if credentials.needs_client or credentials.client_id is not None:
        taken |= _OF_CLIENTS
    is_json = credentials.client.dialect.request_format == "json"
    for field, parameters in (
        ("extra_parameters", credentials.extra_parameters),
        ("grant_parameters", credentials.grant_parameters),
    ):
        for name, value in parameters.items():
            if name in taken or (field == "extra_parameters" and name == "refresh_token"):
                msg = f"`{field}` must not hold `{name}`: it has a field of its own"
                raise ValueError(msg)
            if not is_json and not _is_form_value(value):
                msg = (
                    f"`{field}.{plain(name)}` must be text, a number, true or false, or a list of "
                    "texts: the request is no JSON"
                )
                raise ValueError(msg)


def _require_headers(credentials: Credentials) -> None:
    headers = credentials.request_headers
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("`request_headers` has two names that differ by case alone")
    if len(headers) > _MOST_HEADERS:
        raise ValueError(f"`request_headers` must not hold more than {_MOST_HEADERS}")
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError("`request_headers` has a name that no header may have")
        # Gateways there are that take one for the other.
        lower = name.lower().replace("_", "-")
        is_refused = lower in REFUSED_HEADERS or lower.startswith("proxy-")
        if is_refused or (lower == "authorization" and credentials.auth_method != "none"):
            shown = lower if is_refused and lower in REFUSED_HEADERS else plain(lower)
            msg = f"`request_headers` must not hold `{shown}`: the program sees to that itself"
            if not is_refused:
                msg += ", unless `token_endpoint_auth_method` is `none`"
            raise ValueError(msg)
        if not _is_printable(value) or len(value) > _LONGEST_HEADER:
            msg = f"`request_headers.{plain(name)}` must be printable ASCII of at most 4 KiB"
            raise ValueError(msg)


def _require_templates(credentials: Credentials) -> None:
    templates = credentials.templates
    in_headers = texts_in(credentials.client.request_headers)
    signed, ready_made = credentials.signed_assertion, credentials.assertion
    for field, name, value in (
        # One that is signed is printable, whatever it says.
        ("assertion", ASSERTION, "" if signed is not None else ready_made),
        ("refresh_token", REFRESH_TOKEN, credentials.refresh_token),
    ):
        uses = sum(text.count(name) for text in templates)
        is_used = uses > 0
        if uses > _MOST_VARIABLES:
            msg = f"`{name}` must not stand for `{field}` more than {_MOST_VARIABLES} times"
            raise ValueError(msg)
        is_own = field in credentials.own_fields
        if (is_used or is_own) and value is None:
            msg = f"`{field}` is missing: `{name}` stands for it" if is_used else _NO_ASSERTION
            raise ValueError(msg)
        is_shown = field == "assertion" and credentials.auth_method in BY_ASSERTION
        if value is not None and not (is_used or is_own or is_shown):
            msg = (
                f"`{field}` is used by its grant_type, or where `{name}` stands in "
                "`grant_parameters` or `request_headers`: remove it, or say where"
            )
            raise ValueError(msg)
        in_header = any(name in text for text in in_headers)
        if in_header and not _is_printable(value if isinstance(value, str) else ""):
            msg = f"`{field}` must be printable ASCII: a header holds it"
            raise ValueError(msg)
    written = [credentials.grant_parameters, credentials.request_headers]
    _require_no_misspelt(texts_in(written), {ASSERTION, REFRESH_TOKEN})
    _require_no_misspelt(texts_in(credentials.extra_parameters), set())
    if credentials.is_refresh_only and credentials.use_refresh_token is False:
        raise ValueError("`use_refresh_token` must be true where `refresh_token` is given")


def _require_no_misspelt(texts: list[str], known: set[str]) -> None:
    """Send no name in braces that was meant to stand for a value, but for none that does."""
    for text in texts:
        # From a row's first brace on alone, or thousands of them would take minutes.
        for name in re.findall(r"\$?(?<!\{)\{+[^{}]{1,40}\}+", text):
            if name not in known and re.sub(r"[^a-z]", "", name.lower()) in _MEANT:
                raise ValueError(
                    "remove a name in braces that stands for nothing: `{assertion}` and "
                    "`{refresh_token}` alone do, in `grant_parameters` and `request_headers`"
                )


def _require_client_certificate(credentials: Credentials) -> None:
    certificate, private_key = credentials.certificate, credentials.private_key
    if (certificate is None) != (private_key is None):
        lacking = "certificate" if certificate is None else "private_key"
        msg = f"`{lacking}` is missing: `certificate` and `private_key` belong together"
        raise ValueError(msg)
    if certificate is None or private_key is None:
        is_shown = credentials.auth_method == "tls_client_auth"
        if is_shown or credentials.entry.needs_certificate:
            who = "tls_client_auth" if is_shown else credentials.entry.title
            what = "shows them" if is_shown else "speaks with nobody who has none"
            raise ValueError(f"`certificate` and `private_key` are missing: {who} {what}")
        return
    if "-----BEGIN CERTIFICATE-----" not in certificate or "PRIVATE KEY" in certificate:
        raise ValueError(
            "`certificate` must be the client's certificate in PEM, as text that begins with "
            "-----BEGIN CERTIFICATE-----, and no key"
        )
    if "PRIVATE KEY-----" not in private_key or "ENCRYPTED" in private_key:
        raise ValueError(
            "`private_key` must be the certificate's key in PEM, as text that begins with "
            "-----BEGIN PRIVATE KEY-----, and not encrypted"
        )


def _require_certificates(credentials: Credentials) -> None:
    certificates = credentials.ca_certificates
    if certificates is None:
        return
    if credentials.provider is not None:
        raise ValueError(
            "`ca_certificates` need `token_endpoint` instead of `provider`, whose servers have "
            "certificates of public authorities"
        )
    if "PRIVATE KEY" in certificates:
        raise ValueError("`ca_certificates` must not hold a private key")
    if "-----BEGIN CERTIFICATE-----" not in certificates:
        raise ValueError(
            "`ca_certificates` must be certificates in PEM, as text that begins with "
            "-----BEGIN CERTIFICATE-----: the authority's, or the server's own"
        )


def _require_apart(credentials: Credentials) -> None:
    """Publish nothing from where the refresh token is, by the account's word or the entry's."""
    dialect, of_entry = credentials.client.dialect, credentials.entry.dialect
    for field, path, is_allowed in (
        ("access_token", dialect.access_token, of_entry.renews_by_access_token),
        ("scope", dialect.scope, False),
    ):
        if overlaps(path, of_entry.refresh_token) and not is_allowed:
            raise ValueError(f"`dialect.{field}` must not be where the refresh token is")
    if credentials.publish is not None:
        credentials.publish.require_apart_from({dialect.refresh_token, of_entry.refresh_token})


_CHECKS: Final = (
    _require_place,
    _require_addresses,
    _require_client_id,
    _require_client_secret,
    _require_assertion,
    _require_claims,
    _require_parameters,
    _require_headers,
    _require_templates,
    _require_client_certificate,
    _require_certificates,
    _require_apart,
)


def _is_printable(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _are_texts(values: list[object]) -> bool:
    return bool(values) and all(isinstance(each, str) and each for each in values)


def _is_form_value(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | int | float)


def one_of(words: Sequence[str]) -> str:
    """Say that one of several is meant."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def plain(name: str) -> str:
    """A name as it may be shown: what is no name may be a secret in the wrong place."""
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", name, re.ASCII) else "…"


def is_plain_https_url(url: str) -> bool:
    """Whether the URL is https, names a host, and hides no credentials (RFC 6749 3.2)."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and parts.username is None
        and parts.password is None
        and not parts.fragment
        and port_is_valid
        # RFC 3986 section 2, which has no place for what documentation leaves to be filled in.
        and re.fullmatch(r"[\w.~:/?#\[\]@!$&'()*+,;=%-]+", url, re.ASCII) is not None
    )
