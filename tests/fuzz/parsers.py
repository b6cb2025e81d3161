"""All that reads what others wrote, each with good inputs to spoil and the errors it may raise.

The inputs come from a small loop that mutates seeds. A property-based library has no
notion of a time to run for; a coverage-guided one is another native dependency, and gains little
where the parsers are msgspec's and the standard library's.
"""

from __future__ import annotations

import json
import random
import re
import ssl
import traceback
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import botocore
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from token_refresher.errors import CredentialsError, EventError, SettingsError
from token_refresher.events import parse_event, parse_rotation, parse_trigger
from token_refresher.failures import (
    FAILURES,
    Sending,
    failure_record,
    next_sending,
    refusals_record,
    unchanged_record,
)
from token_refresher.health import margin_used, needs_action
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent
from token_refresher.model import (
    PublishedToken,
    TokenVersion,
    account_from_metadata,
    published_from_id,
)
from token_refresher.oauth.allowed_hosts import host_patterns
from token_refresher.oauth.assertions import ISSUED, SIGNED
from token_refresher.oauth.certificates import (
    CertificatesError,
    ClientCertificateError,
    authorities_of,
    identify,
    validity,
)
from token_refresher.oauth.client_authentication import Client, host_of
from token_refresher.oauth.dialect import RFC_6749, Dialect
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.signatures import made
from token_refresher.oauth.times import parse_retry_after, parse_time
from token_refresher.oauth.token_request import token_request
from token_refresher.oauth.token_response import lifetime, read_token_response
from token_refresher.parsing import parse_credentials
from token_refresher.policy import decide
from token_refresher.ports import (
    CURRENT,
    JOURNAL_STAGE,
    LEASE_STAGE,
    PREVIOUS,
    SecretMetadata,
)
from token_refresher.publishing import Publish, Value
from token_refresher.records import FailureRecord, LeaseEnd
from token_refresher.settings import settings_from_environment
from token_refresher_cli.accounts_file import read_accounts, text_of
from token_refresher_cli.fields import FormError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from token_refresher.model import Account

# In every value of every seed. Its point keeps it from being a plain word, as a field's name is
# that a refusal may repeat.
SECRET: Final = "made-up.canary"
NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
REFRESH_BEFORE: Final = timedelta(minutes=90)
DIGEST: Final = "00dca8b71d6e"
SCHEDULE: Final = timedelta(minutes=5)
# Any that is the same each time: the first of the public ones.
_PUBLIC: Final = Path(botocore.__file__).with_name("cacert.pem").read_bytes()
_END: Final = b"-----END CERTIFICATE-----\n"
_AUTHORITY: Final = _PUBLIC[_PUBLIC.index(b"-----BEGIN") :].partition(_END)[0] + _END


def _shown() -> bytes:
    """Make a certificate and its key, the same each time."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    name = Name([NameAttribute(NameOID.COMMON_NAME, "invented")])
    certificate = CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(
        datetime(2026, 1, 1, tzinfo=UTC)
    )
    signed = certificate.not_valid_after(datetime(2027, 1, 1, tzinfo=UTC)).sign(key, None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.public_bytes(Encoding.PEM) + SECRET.encode() + private


_SHOWN: Final = _shown()
LEASE: Final = f"request-{'0' * 40}-1"
_ASKED: Final[dict[str, Any]] = {
    "token_endpoint": "https://id.example/token",
    "client_id": "123",
    "client_secret": SECRET,
    "user_agent": "made-up/1",
    "assumed_expires_in": 3600,
}
_CLIENT: Final = Client(auth_method="client_secret_basic", **_ASKED)
# Every path, of which some cross.
_DIALECT: Final = Client(
    auth_method="none",
    **_ASKED,
    dialect=Dialect(
        access_token="data.0.token",
        refresh_token="data.0.renewal",
        expires_in="data.0.lives",
        expires_in_unit="milliseconds",
        expires_at="data.1",
        refresh_token_expires_in="data.0.lives",
        scope="error",
        error="problem",
        authorization_scheme="ID",
    ),
)
VERSION: Final = f"20261124T010000Z-20261124T130000Z-{DIGEST}-0c6d1e2f3a4b"


@dataclass(frozen=True, slots=True)
class Parser:
    """One reader.

    Attributes:
        name: What it reads.
        read: Reads an input; returns what kind of outcome it was.
        seeds: Good inputs, and telling bad ones.
        raises: The only errors that it may raise.
    """

    name: str
    read: Callable[[bytes], str]
    seeds: tuple[bytes, ...]
    raises: tuple[type[Exception], ...] = ()


@dataclass(slots=True)
class Tally:
    """What became of the inputs of one parser.

    Attributes:
        inputs: How many were read.
        outcomes: The kinds of results and errors that were seen.
        crashes: Inputs that raised something else.
        leaks: Inputs whose secret was in what was told of them.
    """

    inputs: int = 0
    outcomes: set[str] = field(default_factory=set)
    crashes: list[bytes] = field(default_factory=list)
    leaks: list[bytes] = field(default_factory=list)


def text(data: bytes) -> str:
    """What a secret, a tag or a variable holds; JSON can smuggle in halves of characters."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def document(data: bytes) -> object:
    """What the Lambda runtime makes of an event's bytes; None where it would make nothing."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _unusable(error: TokenResponseError) -> str:
    assert not tells_the_secret(error)
    return f"unusable: {error}"


def shape(*values: object) -> str:
    """Tell results apart by what is there, not by what it is."""
    return "".join("-" if value is None else "+" for value in values)


def _credentials(data: bytes) -> str:
    credentials = parse_credentials(text(data))
    client = credentials.client
    assert client.token_endpoint.lower().startswith("https://")
    assert SECRET not in repr(credentials) + repr(client)
    assert len(credentials.grant_digest) == len(credentials.grant_digest.strip()) == 64
    client = _signed(client)
    # Whatever was taken can be sent, and makes one request.
    for grant in (credentials.grant, credentials.grant_by("made-up-refresh-token")):
        request = token_request(client, grant)
        assert client.host == host_of(request.url)
        head = "".join(f"{name}: {value}" for name, value in request.headers.items())
        assert head.isascii()
        assert head.isprintable()
        assert len({name.lower() for name in request.headers}) == len(request.headers)
    if not credentials.is_refresh_only:
        assert "made-up-refresh-token" not in repr(credentials.secrets)
    told = shape(credentials.place or None, credentials.trust or None, credentials.publish)
    return f"{type(credentials).__name__} {client.auth_method} {told}"


class _Signer:
    """Signs whatever comes."""

    def sign(self, key: str, *, alg: str, message: bytes) -> bytes:
        assert (key, alg in SIGNED) == ("dealer-17", True)
        return message[:8]

    def identity_token(self, key: str, *, audience: str, alg: str) -> str:
        assert (key, alg in ISSUED) == ("dealer-17", True)
        assert audience
        return "made.by.sts"


def _signed(client: Client) -> Client:
    """Make the assertion that is asked for: new, soon over, and signed by what is ours to say."""
    if not client.signs:
        return client
    client = msgspec.structs.replace(client, key="dealer-17")
    assertion = made(client, _Signer(), now=NOW)
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", assertion, re.ASCII)
    if not client.is_assertion_issued:
        header, claims = (
            json.loads(urlsafe_b64decode(f"{each}==")) for each in assertion.split(".")[:2]
        )
        assert header["alg"] in {*SIGNED, "HS256"}
        assert 10 <= claims["exp"] - NOW.timestamp() <= 300
        assert len(claims["jti"]) == 32
        assert "nbf" not in claims
    return msgspec.structs.replace(client, assertion=assertion)


# By their places, so that a spoiled line is still one of a field of the format.
_FIELDS: Final = (
    "token_endpoint", "client_id", "client_secret", "grant_type", "scope", "username", "password",
    "partner_code", "partner_secret", "refresh_token", "assertion", "provider",
    "provider_parameters.domain", "token_endpoint_auth_method", "user_agent", "verify_url",
    "use_refresh_token", "assumed_expires_in", "assumed_refresh_token_expires_in",
    "timeout_seconds", "ca_certificates", "extra_parameters", "extra_parameters.audience",
    "grant_parameters", "grant_parameters.realm", "request_headers", "request_headers.X-Key",
    "request_headers.Authorization", "dialect", "dialect.request_method", "dialect.request_format",
    "dialect.access_token", "dialect.refresh_token", "dialect.expires_in", "dialect.expires_at",
    "dialect.expires_in_unit", "dialect.scope", "dialect.error", "dialect.authorization_scheme",
    "publish", "publish.fields", "publish.as", "assertion.signer", "assertion.audience",
    "assertion.alg", "assertion.kid", "assertion.x5t", "assertion.x5t#S256", "assertion.claims",
    "assertion.expires_in", "certificate", "private_key",
)  # fmt: skip


def _fields(data: bytes) -> str:
    """Read credentials that are made of lines, each with a field of the format and its value."""
    content: dict[str, Any] = {}
    for line in text(data).split("\n"):
        name, _, within = _FIELDS[ord(line[:1] or "\0") % len(_FIELDS)].partition(".")
        try:
            value = json.loads(line[1:])
        except (ValueError, RecursionError):
            value = line[1:]
        if not within:
            content[name] = value
        elif isinstance(content.setdefault(name, {}), dict):
            content[name][within] = value
    try:
        written = json.dumps(content)
    except RecursionError:
        # What Python reads it cannot always write.
        return "too deep"
    return _credentials(written.encode())


def _lines(**values: object) -> bytes:
    """Write a first input for `_fields`; two underscores stand for a point, one more for #."""
    places = (
        (_FIELDS.index(name.replace("___", "#").replace("__", ".")), each)
        for name, each in values.items()
    )
    return "\n".join(f"{chr(len(_FIELDS) + at)}{json.dumps(each)}" for at, each in places).encode()


def _token_response(data: bytes, client: Client = _CLIENT) -> str:
    head, _, body = data.partition(b"\n")
    fields = head.decode("latin-1").split(" ", 1)
    status = int(fields[0]) if fields[0].isdecimal() and len(fields[0]) == len("200") else 200
    retry_after = fields[1] if fields[1:] else None
    response = read_token_response(status, body, client=client, retry_after=retry_after, now=NOW)
    assert SECRET not in repr(response)
    # What is published of it is kept, and that is strict JSON.
    assert json.loads(json.dumps(response.content, allow_nan=False)) == response.content
    entry = JournalEntry(
        grant="made-up", host="made-up", access_token=response.access_token,
        token_type=response.token_type, scope=response.scope, refresh_token=response.refresh_token,
    )  # fmt: skip
    assert JournalEntry.from_json(entry.to_json()) == entry
    life = lifetime(response, issued_at=NOW, client=client)
    assert timedelta(0) <= life <= timedelta(hours=1)
    try:
        token = entry.published_as(TokenVersion(NOW, NOW + life, DIGEST, "0" * 12), client.dialect)
    except TokenResponseError as error:
        return _unusable(error)
    assert PublishedToken.from_json(token.to_json()) == token
    told = shape(response.scope, response.refresh_token, response.refresh_token_expires_in)
    return told + shape(response.expires_in, response.expires_at)


def _time(data: bytes) -> str:
    time = parse_time(text(data))
    assert time is None or time.utcoffset() == timedelta(0)
    return shape(time)


def _publish(data: bytes) -> str:
    """Publish by what stands in the first line, out of a response in the second."""
    form, _, body = data.partition(b"\n")
    try:
        given = msgspec.json.decode(text(form))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "no JSON"
    # An unknown field's name is quoted by msgspec; credentials see to it.
    is_known = isinstance(given, dict) and given.keys() <= {"fields", "as"}
    wanted = msgspec.convert(given if is_known else {}, Publish)
    assert SECRET not in repr(wanted)
    assert msgspec.json.decode(msgspec.json.encode(wanted), type=Publish) == wanted
    content = document(body)
    kept = wanted.values_of(content if isinstance(content, dict) else {})
    assert kept.keys() <= {*wanted.paths}
    assert msgspec.json.decode(msgspec.json.encode(kept), type=dict[str, Value]) == kept
    token = PublishedToken(
        access_token="made-up", token_type="Bearer", scope="read", issued_at=1, expires_at=2
    )
    try:
        written = wanted.render(token, kept, secrets=[SECRET])
    except TokenResponseError as error:
        return f"{error.code} {_unusable(error)[:20]}"
    assert SECRET not in written
    assert written == wanted.render(token, kept, secrets=[SECRET])
    if not isinstance(wanted.as_, str):
        published = json.loads(written)
        assert not any(isinstance(each, dict | list | None) for each in published.values())
    return f"{type(wanted.as_).__name__} {len(wanted.paths)}"


def _retry_after(data: bytes) -> str:
    wait = parse_retry_after(data.decode("latin-1"), now=NOW)
    if wait is not None:
        assert wait >= timedelta(0)
        error = EndpointUnavailableError("later", code="status_503", retry_after=wait)
        record = failure_record(_account({}, VERSION), error, now=NOW)
        assert record.next_attempt - NOW <= timedelta(hours=7)
    return shape(wait)


def _version_id(data: bytes) -> str:
    version_id = text(data)
    version = TokenVersion.parse(version_id, now=NOW)
    if version is not None:
        assert str(version) == version_id
    published = published_from_id(version_id, now=NOW)
    assert published.is_ours == (version is not None)
    return _policy({}, version_id)


def _journal(data: bytes) -> str:
    entry = JournalEntry.from_json(text(data))
    if entry is None:
        return "none"
    assert SECRET not in repr(entry)
    assert JournalEntry.from_json(entry.to_json()) == entry
    try:
        entry.bearer_token(RFC_6749)
    except TokenResponseError as error:
        return _unusable(error)
    return shape(entry.scope, entry.refresh_token)


def _lease(data: bytes) -> str:
    content = LeaseContent.from_json(text(data))
    if content is None:
        return "none"
    assert LeaseContent.from_json(content.to_json()) == content
    assert content.time.utcoffset() == timedelta(0)
    return f"early {content.is_early}"


def _tags(data: bytes) -> str:
    lines = [line.partition("=") for line in text(data).split("\n")]
    return _policy({f"token-refresher:{key}": value for key, _, value in lines}, VERSION)


def _account(tags: dict[str, str], version_id: str) -> Account:
    return account_from_metadata(
        "made-up",
        credentials=SecretMetadata(
            {CURRENT: "made-up-version", JOURNAL_STAGE: version_id, LEASE_STAGE: LEASE}
        ),
        token=SecretMetadata({CURRENT: version_id, PREVIOUS: version_id}, tags),
        now=NOW,
    )


def _policy(tags: dict[str, str], version_id: str) -> str:
    """Decide by what was read, as a sweep would."""
    account, later = _account(tags, version_id), NOW + timedelta(hours=11)
    decision = decide(account, now=later, refresh_before=REFRESH_BEFORE)
    record = failure_record(account, TokenResponseError("made-up"), now=later)
    assert later <= record.next_attempt <= later + timedelta(hours=7)
    refusal = TokenRequestError("invalid_grant")
    refusals = refusals_record(account, refusal, now=later)
    record = failure_record(account, refusal, now=later, refusals=refusals)
    assert later <= record.next_attempt <= later + timedelta(hours=7)
    assert FailureRecord.from_tag(record.to_tag()) == record
    last = Sending(LeaseEnd.UNANSWERED, later - timedelta(minutes=1))
    assert next_sending(account, last, now=later) >= later
    assert unchanged_record(account, now=later).failures == 0
    assert 0 <= margin_used(account, now=later, refresh_before=REFRESH_BEFORE) <= 100
    needs = needs_action(account, now=later, schedule=SCHEDULE)
    told = shape(account.failure, account.grant, account.refusals, account.lease_end)
    return f"{decision.reason} {needs} {told}"


def _published(data: bytes) -> str:
    version_id = "terraform-0000000000000000000000"
    published = published_from_id(version_id, now=NOW).with_times_of(text(data))
    PublishedToken.from_json(text(data))
    return shape(published.issued_at, published.expires_at)


def _accounts_file(data: bytes) -> str:
    lines, wrong = read_accounts(text_of(data))
    assert SECRET not in repr([one.problem for one in wrong])
    return f"{bool(lines)} {bool(wrong)}"


def _event(data: bytes) -> str:
    event = parse_event(document(data))
    assert len(event.accounts) <= 100
    return f"{bool(event.accounts)} {event.force} {event.dry_run}"


def _trigger(data: bytes) -> str:
    return shape(parse_trigger(document(data), secret_prefix="oauth").rejected_version or None)


def _rotation(data: bytes) -> str:
    return parse_rotation(document(data), secret_prefix="oauth").step


def _certificates_of(data: bytes) -> str:
    # Python would read each name in them, which nobody needs.
    return f"{len(authorities_of(text(data)).get_ca_certs(binary_form=True))}"


def _client_certificate(data: bytes) -> str:
    """Read a certificate and a key, which any text stands between."""
    certificate, _, key = text(data).partition(SECRET)
    since_until = validity(certificate)
    if since_until is not None:
        assert all(each.tzinfo is not None for each in since_until)
    identify(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
    return f"shown, and it {'tells' if since_until else 'does not tell'} when it ends"


def _settings(data: bytes) -> str:
    lines = [line.partition("=") for line in text(data).split("\n")]
    settings = settings_from_environment({name: value for name, _, value in lines})
    assert not {"credentials", "tokens"} & set(settings.secret_prefix.split("/"))
    assert timedelta(minutes=30) <= settings.refresh_before <= timedelta(days=7)
    assert timedelta(minutes=1) <= settings.schedule <= timedelta(minutes=15)
    hosts = settings.allowed_token_hosts
    assert all(host.isascii() and host == host.lower() for host in hosts)
    # The command that a refusal names sets them again.
    assert host_patterns(",".join(hosts)) == hosts
    return f"{settings.uses_refresh_tokens} {settings.tracing} {settings.per_account_metrics}"


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


_NAMES_AND_SECRET: Final = {"client_id": "123", "client_secret": SECRET}
_ANSWER: Final = {
    "access_token": SECRET, "token_type": "bearer", "expires_in": 43200,
    "scope": f"read {SECRET}", "refresh_token": SECRET, "refresh_token_expires_in": "2592000",
}  # fmt: skip
_FORM: Final = urlencode(_ANSWER).encode()
_RECORD: Final = "\n".join(
    [
        f"failure=transient: {SECRET}/3/20261124T120000Z/20261124T130000Z/{DIGEST}",
        f"refusals=3/20261124T120000Z/{DIGEST}",
        f"lease={LEASE}/unanswered",
        f"refused-response={VERSION}",
        "grant-expires-at=20261224T130000Z/2592000",
        "certificate-expires-at=20261224T130000Z/2592000",
    ]
).encode()

PARSERS: Final = (
    Parser("credentials", _credentials, (
        _json(provider="autovit.ro", grant_type="partner", partner_code=SECRET,
              partner_secret=SECRET, **_NAMES_AND_SECRET),
        _json(token_endpoint=f"https://a.example:8443/{SECRET}?a=b", grant_type="password",
              username=SECRET, password=SECRET, scope="read write", user_agent="made-up/1",
              extra_parameters={"audience": SECRET}, assumed_expires_in=3600, **_NAMES_AND_SECRET),
        _json(provider="otomoto.pl", grant_type="refresh_token", refresh_token=SECRET,
              verify_url="https://www.otomoto.pl/me", use_refresh_token=True, **_NAMES_AND_SECRET),
        _json(provider="salesforce", provider_parameters={"domain": "acme.my"}, client_id=123,
              grant_type="client_credentials", client_secret=SECRET,
              token_endpoint_auth_method="client_secret_post"),
    ), (CredentialsError,)),
    Parser("fields of credentials", _fields, (
        _lines(token_endpoint=f"https://a.example/{SECRET}", client_id=SECRET, client_secret=SECRET,
               grant_type="password", username=SECRET, password=SECRET, scope=f"read {SECRET}",
               token_endpoint_auth_method="client_secret_post", user_agent=SECRET,
               extra_parameters__audience=SECRET,
               verify_url="https://a.example/me", use_refresh_token="true", timeout_seconds="30",
               assumed_expires_in="3600", publish__fields=["instance_url"]),
        _lines(token_endpoint="https://a.example/t", client_id=SECRET, grant_type=SECRET,
               grant_parameters__realm=f"{{refresh_token}} {SECRET}", refresh_token=SECRET,
               dialect__refresh_token="access_token", dialect__authorization_scheme="ID",
               dialect__expires_at="until", publish__as=f"{{access_token}} {SECRET}"),
        _lines(token_endpoint="https://a.example/t?a=b", grant_parameters={"pin": SECRET, "n": 1},
               request_headers__Authorization="Bearer {assertion}", assertion=SECRET,
               dialect__request_format="json", dialect__request_method="PUT",
               ca_certificates="-----BEGIN CERTIFICATE-----", use_refresh_token=True),
        _lines(provider="salesforce", provider_parameters__domain="acme.my", client_id=SECRET,
               client_secret="", grant_type="refresh_token", refresh_token=SECRET,
               dialect__request_format="query", dialect__request_method="GET",
               assumed_refresh_token_expires_in=60, publish={"as": {"t": "{access_token}"}}),
        _lines(provider="autovit.ro", client_id=7, client_secret=SECRET, grant_type="partner",
               partner_code=SECRET, partner_secret=SECRET, dialect__access_token="a.b",
               dialect__expires_in="a.c", dialect__expires_in_unit="milliseconds"),
        _lines(token_endpoint="https://a.example/t", assertion=SECRET,
               grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer"),
        _lines(token_endpoint="https://a.example/t", client_id=SECRET, grant_type="password",
               username=SECRET, password=SECRET, token_endpoint_auth_method="private_key_jwt",
               assertion__signer="kms", assertion__alg="ES256", assertion__kid=SECRET,
               assertion__x5t="a" * 27, assertion__x5t___S256="b" * 43,
               assertion__claims={"aud": [SECRET], "sub": None}, assertion__expires_in="60"),
        _lines(token_endpoint="https://a.example/t", client_id=SECRET,
               grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
               grant_parameters={"subject_token": "{assertion}"}, assertion__signer="sts",
               assertion__audience=SECRET, assertion__alg="ES384",
               token_endpoint_auth_method="none"),
        _lines(token_endpoint="https://a.example/t", client_id=SECRET, grant_type="partner",
               partner_code=SECRET, partner_secret=SECRET,
               token_endpoint_auth_method="tls_client_auth",
               certificate=f"-----BEGIN CERTIFICATE-----\n{SECRET}",
               private_key=f"-----BEGIN PRIVATE KEY-----\n{SECRET}"),
    ), (CredentialsError,)),
    Parser("token response", _token_response, (
        b"200\n" + _json(**_ANSWER),
        # A JWT: {"exp": 1795484400}, forty minutes later.
        b"200\n" + _json(**_ANSWER | {"access_token": "e30.eyJleHAiOiAxNzk1NDg0NDAwfQ.c2lnbmVk"}),
        b"200 120\n\xef\xbb\xbf" + _json(**{**_ANSWER, "scope": ["read", SECRET]}),
        b"400\n" + _json(error="invalid_grant", error_description=SECRET),
        b"503 Tue, 24 Nov 2026 01:10:00 GMT\n<html>" + SECRET.encode(),
        b"403\n" + _json(error={"type": SECRET}),
        b"302\n", b"404\n<html>", b"429 90\n", b"200\n" + b"[" * 2000,
        b"200\n" + _FORM, b"200\nerror=invalid_grant&error_description=" + SECRET.encode(),
        b"200\n" + _json(ok=False, error=SECRET), b"401\n" + _json(errors=[{"code": SECRET}]),
        b"415\n" + _json(fault={"detail": {"errorcode": "invalid_client"}, "faultstring": SECRET}),
    ), FAILURES),
    Parser("token response in a dialect", partial(_token_response, client=_DIALECT), (
        b"200\n" + _json(data=[{"token": SECRET, "token_type": SECRET, "renewal": SECRET,
                               "lives": 1_800_000}, NOW.isoformat()], problem=None, error=[SECRET]),
        b"200\n" + _json(data=[{"token": SECRET, "token_type": "dpop"}, NOW.timestamp() + 60]),
        b"200\n" + _json(data=[{"token": "made-up"}, 1795484400000], error="made-up"),
        b"200\n" + _json(problem={"code": SECRET}), b"401\n" + _json(error="invalid_client"),
        b"200\n" + _json(code=4, message=SECRET), b"200\n" + b"[" * 40 + b"]" * 40,
    ), FAILURES),
    Parser("expiry", _time, (
        b"2026-11-24T01:00:00Z", b"2026-11-24t01:59:60.25-01:30", b"1795484400", b"1795484400000.5",
    )),
    Parser("publish", _publish, tuple(
        form + b"\n" + _json(
            instance_url=SECRET[:7], team={"id": 12.5, "name": SECRET}, list=[True, "\ud800"],
            refresh_token=SECRET, nothing=None, large=2**70,
        ) for form in (
            _json(fields=["instance_url", "team.id", "list.0"]), _json(fields=["team.name"]),
            _json(fields=["refresh_token"]), _json(**{"as": "Bearer {access_token}"}),
            _json(**{"as": {"a": "{access_token}", "id": "{response.team.id}", "s": "{scope}",
                            "two": "{response.instance_url}-{response.list.1}"}}),
            _json(**{"as": f"{{access_token}} {SECRET}"}), _json(**{"as": "{access_token.x}"}),
        )
    ), (msgspec.ValidationError,)),
    Parser("Retry-After", _retry_after, (
        b"120", b"Tue, 24 Nov 2026 01:10:00 GMT", b"Tuesday, 24-Nov-26 01:10:00 GMT",
        b"Tue Nov 24 01:10:00 2026", b"Tue, 24 Nov 2026 01:10:00 +0130", b"-1", b"99999999999",
    )),
    Parser("version id", _version_id, (
        VERSION.encode(), b"request-" + b"0" * 40, b"terraform-20250627043834191900000095",
        b"c0ffee00-0000-4000-8000-000000000000",
        VERSION.replace("20261124T13", "99991231T23").encode(),
    )),
    Parser("journal", _journal, (
        _json(grant=SECRET, host="a.example", access_token="made-up", token_type="Bearer",
              scope=SECRET, refresh_token=SECRET, lease=LEASE),
        _json(grant=SECRET, host="a", refresh_is_refused=True),
        _json(grant=SECRET, host="a", access_token=SECRET),
    )),
    Parser("lease", _lease, (
        _json(leased_at=1795528800, run=SECRET, credentials=DIGEST),
        _json(leased_at=1, run="made-up", credentials=DIGEST, is_early=True),
    )),
    Parser("tags", _tags, (
        _RECORD, _RECORD.replace(b"transient", b"action required"),
        _RECORD.replace(b"/3/", b"/0/"), _RECORD.replace(b"3/20261124T120000Z", b"3/-"),
    )),
    Parser("published token", _published, (
        _json(access_token=SECRET, token_type="Bearer", issued_at=1795528800,
              expires_at=1795572000),
        _json(access_token=SECRET, expires_at=1795572000.5), _json(issued_at=0, expires_at=-1),
    )),
    Parser("event", _event, (
        b"{}", _json(accounts=["dealer-17"], force=True, dry_run=True), _json(dry_run=False),
    ), (EventError,)),
    Parser("trigger", _trigger, (
        _json(rejected={"account": "dealer-17", "version_id": VERSION}),
        _json(source="aws.secretsmanager", detail={"name": "oauth/credentials/dealer-17",
              "labelUpdated": "AWSCURRENT"}, **{"detail-type": "Secret Label Updated"}),
    ), (EventError,)),
    Parser("rotation step", _rotation, (
        _json(Step="createSecret", ClientRequestToken=VERSION,
              SecretId="arn:aws:secretsmanager:eu-west-1:123456789012:secret:oauth/tokens/a-Ab12cD"),
    ), (EventError,)),
    Parser("certificates", _certificates_of, (
        _AUTHORITY, _AUTHORITY.replace(b"\n", b" "), _AUTHORITY.replace(b"\n", rb"\n"),
        _AUTHORITY * 2, b",".join(2 * [b"".join(_AUTHORITY.split(b"\n")[1:-2])]),
        f"notes of {SECRET}\n".encode() + _AUTHORITY, SECRET.encode(),
    ), (CertificatesError,)),
    Parser("client certificate", _client_certificate, (
        _SHOWN, _SHOWN.replace(b"\n", b" "), _SHOWN.replace(b"\n", rb"\n"),
        _AUTHORITY + _SHOWN, _AUTHORITY + SECRET.encode() + _AUTHORITY, SECRET.encode(),
        _SHOWN.replace(b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"),
    ), (ClientCertificateError,)),
    Parser("accounts file", _accounts_file, (
        _json(account="a", client_secret=SECRET) + b"\n" + _json(account="b", password=SECRET),
        f'account,password,publish.fields\r\na,"{SECRET}, """,x y\r\n'.encode(),
        f"sep=;\naccount;grant_parameters.a.b;publish\na;{SECRET};{SECRET}\na;;\n".encode(),
        f"account\tpublish.as.x\tpublish\na\t{SECRET}\t{SECRET}\n".encode(),
        f'[{{"account": "{SECRET}"}}]'.encode(), f'{{\n"account": "{SECRET}"}}'.encode(),
    ), (FormError,)),
    Parser("settings", _settings, (
        b"SECRET_PREFIX=team/oauth\nREFRESH_BEFORE_SECONDS=5400\nREFRESH_TOKENS=ignore",
        b"SCHEDULE_MINUTES=15",
        b"ALLOWED_TOKEN_HOSTS=a.example, b.example:8443\nMAX_WORKERS=16\nPER_ACCOUNT_METRICS=true",
        b"ALLOWED_TOKEN_HOSTS=*.a.example.com,*,B.example:443,10.0.0.5",
        b"POWERTOOLS_TRACE_DISABLED=false\nTOKEN_SECRET_KMS_KEY_ID=made-up",
        b"RESOURCE_TAGS=team=payments,Cost Center=42\nREPLICA_REGIONS=eu-central-1,us-east-1",
    ), (SettingsError,)),
)  # fmt: skip

# What a parser may stumble over, put anywhere.
_STUMBLING_BLOCKS: Final = (
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"9" * 400, b"9" * 5000, b"0.1e-400",
    b'"', b"\\", b"\\u0000", b"\\ud800", b"\\u202e", b"{", b"}", b"[" * 3000, b'{"a":' * 600, b",",
    b":", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r\n", b"\n", b"\t", b" ", b"/",
    b"..", b"@", b"#", b"?", b"%2e", b"[::1]", b"http://", b"\xc2\xb2", b"\xd9\xa4", b"=", b"-",
    b"99991231T235959Z", b"00010101T000000Z", b"20260230T240000Z", b"AWSCURRENT", b"a" * 600,
    SECRET.encode(), b"` - at `$.", b"{refresh_token}", b"{assertion}", b"{access_token}",
)  # fmt: skip


def inputs(parser: Parser, *, seed: int) -> Iterator[bytes]:
    """Spoil a parser's seeds without end, the same way for the same number."""
    # Not for anything secret: the same number must give the same inputs.
    dice = random.Random(seed)  # noqa: S311
    yield from parser.seeds
    while True:
        data = bytearray(dice.choice(parser.seeds))
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            _spoil(data, dice, parser.seeds)
        yield bytes(data)


def _spoil(data: bytearray, dice: random.Random, seeds: tuple[bytes, ...]) -> None:
    """Change one place: a byte, a stretch, a number, or something out of another seed."""
    begin = dice.randrange(len(data) + 1)
    end = min(len(data), begin + dice.choice((0, 1, 1, 2, 4, 8, 40)))
    match dice.randrange(7):
        case 0:
            del data[begin:end]
        case 1:
            data[begin:end] = dice.choice(_STUMBLING_BLOCKS)
        case 2:
            data[begin:begin] = data[begin:end] * dice.choice((1, 2, 50))
        case 3 if data:
            data[begin - 1] ^= 1 << dice.randrange(8)
        case 4:
            data[begin:end] = dice.randbytes(end - begin)
        case 5:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data[begin:end] = other[start : start + dice.choice((1, 8, 40, 400))]
        case _:
            data[begin:end] = str(dice.randrange(-1, 10 ** dice.randrange(1, 20))).encode()


def feed(parser: Parser, data: bytes, tally: Tally) -> None:
    """Let a parser read one input, and note what became of it."""
    tally.inputs += 1
    try:
        tally.outcomes.add(parser.read(data))
    except parser.raises as error:
        tally.outcomes.add(f"{type(error).__name__} {getattr(error, 'code', '')}")
        if tells_the_secret(error):
            tally.leaks.append(data)
    except Exception:  # noqa: BLE001 - it is what the whole is for
        tally.crashes.append(data)


def tells_the_secret(error: Exception) -> bool:
    """Whether the secret is in an error as any logger would print it, causes included."""
    shown = traceback.TracebackException.from_exception(error)
    printed = [str(error), repr(error), repr(error.args), repr(vars(error))]
    printed += [line for line in shown.format(chain=True) if not line.startswith("  File")]
    return any(SECRET in each for each in printed)
