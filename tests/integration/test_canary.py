"""Marked secrets, and everybody who would like to see them: writers of credentials, and servers.

Each account's secrets have marks of its own. Whatever its credentials ask for and whatever its
server sends back, no mark reaches a published secret, a log, a metric, an exception, a return
value, an event, the metadata of a secret, another host or another account's request.
"""

from __future__ import annotations

import base64
import json
import re
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qs

import pytest

from local.authorization_server.https import Door, HttpsServer, Reply
from token_refresher.errors import CredentialsError
from token_refresher.parsing import parse_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.authority import Authority
    from local.authorization_server.https import Request
    from local.embedded_cloud import EmbeddedCloud
    from tests.integration.conftest import Deployed

Answering: TypeAlias = "Callable[[Request], Reply]"

DUE: Final = timedelta(minutes=45)
SIGNS: Final[dict[str, Any]] = {
    "token_endpoint_auth_method": "private_key_jwt",
    "client_secret": None,
}
FIELDS: Final = ("dialect.access_token", "dialect.scope", "publish.fields", "publish.as")
JSON: Final = (("Content-Type", "application/json"),)


@dataclass(slots=True)
class Host:
    """A TLS server that keeps what it is sent, and replies as its accounts' scripts say."""

    context: Any
    replies: dict[str, Iterator[Reply | Answering]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    _server: HttpsServer = field(init=False)

    def __post_init__(self) -> None:
        self._server = HttpsServer(self._reply, self.context)

    def _reply(self, request: Request) -> Reply:
        self.requests.append(request)
        found = next(self.replies[request.path.split("?")[0].strip("/")])
        return found(request) if callable(found) else found

    @property
    def name(self) -> str:
        return f"localhost:{self._server.port}"

    def close(self) -> None:
        self._server.set_door(Door.CLOSED)

    def sent_by(self, account: str) -> list[str]:
        """Everything of each request of an account, as text."""
        return [
            f"{each.method} {each.path}\n{each.headers}\n{each.body.decode()}"
            for each in self.requests
            if each.path.split("?")[0] == f"/{account}"
        ]


@dataclass(slots=True)
class World:
    """The function, the host that its accounts are at, and two that they are not at.

    Attributes:
        home: Allowed.
        neighbour: Likewise, but no account's.
        stranger: Not allowed.
    """

    deployed: Deployed
    home: Host
    neighbour: Host
    stranger: Host

    def credentials(self, account: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        """Credentials whose every secret is marked."""
        return {
            "grant_type": "client_credentials",
            "token_endpoint": f"https://{self.home.name}/{account}",
            "client_id": "invented-id",
            "client_secret": secret(account),
            **fields,
        }

    def put(self, account: str, credentials: dict[str, Any]) -> None:
        given = {name: value for name, value in credentials.items() if value is not None}
        self.deployed.put(account, json.dumps(given))

    def published(self) -> dict[str, str]:
        """The text of every version of every token secret."""
        found, client = {}, self.deployed.secrets
        for secret_ in listed(client):
            if secret_["Name"].startswith("oauth/tokens/"):
                versions = client.list_secret_version_ids(
                    SecretId=secret_["Name"], IncludeDeprecated=True
                )
                for version in versions["Versions"]:
                    value = client.get_secret_value(
                        SecretId=secret_["Name"], VersionId=version["VersionId"]
                    )
                    found[f"{secret_['Name']} {version['VersionId']}"] = value["SecretString"]
        return found


def listed(client: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    pages = client.get_paginator("list_secrets").paginate()
    return [each for page in pages for each in page["SecretList"]]


@pytest.fixture
def world(deployed: Deployed, authority: Authority) -> Iterator[World]:
    home, neighbour, stranger = (Host(authority.server_context()) for _ in range(3))
    deployed.monkeypatch.setenv("ALLOWED_TOKEN_HOSTS", f"{home.name},{neighbour.name}")
    deployed.monkeypatch.setenv("EVENTS", "true")
    yield World(deployed, home, neighbour, stranger)
    for host in (home, neighbour, stranger):
        host.close()


def secret(account: str) -> str:
    return f"MARK-secret-{account}"


def password(account: str) -> str:
    return f"MARK-password-{account}"


def refresh_token(account: str, number: int = 0) -> str:
    return f"MARK-refresh-{account}-{number}"


def basic(account: str) -> str:
    """The client's password as it travels."""
    return base64.b64encode(f"invented-id:{secret(account)}".encode()).decode()


def reply(content: object, status: int = 200, headers: tuple[tuple[str, str], ...] = JSON) -> Reply:
    return Reply(status, headers, json.dumps(content).encode())


def token(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """A token response; no value of it is marked by itself."""
    return {"access_token": "TOKEN-a", "token_type": "Bearer", "expires_in": 3600, **changed}


# What is refused before anything is sent.

SPELLINGS: Final = (
    *("refresh_token", "refreshToken", "REFRESH-TOKEN", "Refresh_Token", "x_refresh_token"),
    *("data.refresh_token", "refresh_token.value", "a.0.refreshtoken", "renewal", "renewal.value"),
)
TEMPLATES: Final = (
    *("{client_secret}", "{password}", "{refresh_token}", "{assertion}", "{response}"),
    *("{access_token.__class__}", "{access_token!r}", "{0}", "{}", "{{client_secret}}", "{", "}"),
    *("{response.client_secret}", "{response.user.password}", "{response.a b}", "{response.}"),
)
HEADERS: Final = (
    *("Host", "Content-Length", "content-type", "Content-Encoding", "TRANSFER-ENCODING", "TE"),
    *("Connection", "Keep-Alive", "Trailer", "Upgrade", "Expect", "Range", "Cookie", "Via"),
    *("Forwarded", "Accept-Encoding", "User-Agent", "Proxy-Authorization", "proxy-anything"),
    *(
        "Authorization",
        "X\r\nHost",
        "X: a\r\nY",
        "X ",
        " X",
        "X:",
        "",
        "X\x00",
        "\u212aey",
        "X\u00e4",
    ),
)
VALUES: Final = (
    *("5\r\nHost: MARK", "5\nX: MARK", "5\r X: MARK", "5\r\n Content-Length: 5", "MARK\x00"),
    *("MARK\u00e9", "MARK\u010a", "MARK\u2028", "MARK\x7f", "MARK\x0b"),
)
SCHEMES: Final = ("DPoP", "MAC", "pop", "Bearer\r\nX:", "")
DOMAINS: Final = (
    *("evil.example/", "x@evil.example", "evil.example#", "evil.example?", "a.b.c.d.e", "-a", ""),
    *("evil.example:8443", "evil%2eexample", "\uff41", "a..b", ".a", "a.", "A", "a b", "a\r\nb"),
)


def with_path(where: str, path: str) -> dict[str, Any]:
    """Fields that would publish what is at a path."""
    if where == "publish.fields":
        return {"publish": {"fields": ["instance_url", path]}}
    if where == "publish.as":
        return {"publish": {"as": {"a": "{access_token}", "b": f"{{response.{path}}}"}}}
    return {"dialect": {where.removeprefix("dialect."): path}}


def refused_fields(authority: Authority) -> list[dict[str, Any]]:
    """Fields that no credentials may have, each for a reason in format's table of refusals."""
    pem = authority.certificate_file.read_text()
    renewal = {"dialect": {"refresh_token": "renewal"}}
    paths = [
        {**renewal, **given, "dialect": {**renewal["dialect"], **given.get("dialect", {})}}
        for path in SPELLINGS
        for where in FIELDS
        if (given := with_path(where, path))
        and (where, path) != ("dialect.access_token", "renewal")
    ]
    salesforce = {"token_endpoint": None, "provider": "salesforce"}
    return [
        *paths,
        *({"publish": {"as": f"{{access_token}} {each}"}} for each in TEMPLATES),
        *({"publish": {"as": {"t": "{access_token}", "x": each}}} for each in TEMPLATES),
        *({"request_headers": {name: "MARK"}} for name in HEADERS),
        *({"request_headers": {"X-Given": value}} for value in VALUES),
        {"request_headers": {"X-Given": "MARK" * 1025}},
        *({"assertion": value, "request_headers": {"X-Given": "{assertion}"}} for value in VALUES),
        *(
            {"refresh_token": value, "request_headers": {"X-Given": "{refresh_token}"}}
            for value in VALUES
        ),
        {"request_headers": {"X-Given": "MARK-a", "x-given": "MARK-b"}},
        {"request_headers": {f"X-{number}": "MARK" for number in range(17)}},
        {"request_headers": {"X-Given": "{refresh_token}"}},
        {"request_headers": {"X-Given": "{assertion}"}},
        {"grant_parameters": {"given": "{refresh_token}"}},
        *({"dialect": {"authorization_scheme": scheme}} for scheme in SCHEMES),
        *({**salesforce, "provider_parameters": {"domain": each}} for each in DOMAINS),
        {**salesforce, "provider_parameters": {"domain": "acme.my", "host": "MARK"}},
        {**salesforce, "provider_parameters": {"domain": "acme.my"}, "ca_certificates": pem},
        {"ca_certificates": "-----BEGIN PRIVATE KEY-----MARK"},
        {"ca_certificates": "MARK"},
        *refused_proofs(pem),
        *(
            {field: f"{address}?key=MARK"}
            for field in ("token_endpoint", "verify_url")
            for address in (
                *("http://localhost/token", "https://MARK:MARK@localhost/", "https:///token"),
                *("https://localhost:0/token", "https://localhost\r\n/", "https://\uff41.example/"),
            )
        ),
        *(
            {field: {name: "MARK"}}
            for field in ("extra_parameters", "grant_parameters")
            for name in ("client_secret", "client_assertion", "grant_type")
        ),
        {"extra_parameters": {"refresh_token": "MARK"}},
        {"timeout_seconds": 31},
        {"a MARK": "MARK"},
    ]


def refused_proofs(pem: str) -> list[dict[str, Any]]:
    """Keys, certificates and assertions that no credentials may have."""
    shown: list[dict[str, Any]] = [
        {"private_key": "MARK"},
        {"certificate": "MARK"},
        {"certificate": "MARK", "private_key": "MARK"},
        {"certificate": pem, "private_key": "MARK"},
        {"certificate": pem, "private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----MARK"},
        {"certificate": "-----BEGIN PRIVATE KEY-----MARK", "private_key": pem},
    ]
    signed: list[dict[str, Any]] = [
        {"client_secret": "MARK"},
        *({"assertion": {field: "MARK\r\n"}} for field in ("alg", "x5t", "x5t#S256")),
        *({"assertion": {field: "MARK"}} for field in ("a MARK", "expires_in", "claims")),
        *({"assertion": {"claims": {name: "MARK"}}} for name in ("exp", "iat", "jti")),
        {"assertion": {"signer": "MARK"}},
        {"assertion": {"kid": "MARK" * 1000}},
        {"assertion": {"audience": "MARK", "claims": {"aud": "MARK"}}},
        {"assertion": {"claims": {"sub": "{client_secret} MARK"}}},
        {"assertion": {"signer": "sts", "audience": "MARK", "kid": "MARK"}},
        {"assertion": {"signer": "sts", "claims": {"sub": "MARK"}}},
        {"assertion": {"private_key": "MARK"}},
        {"private_key_pem": "MARK"},
    ]
    by_certificate = {"token_endpoint_auth_method": "tls_client_auth", "client_secret": None}
    return [
        *shown,
        *({**by_certificate, **each} for each in shown),
        *({**SIGNS, **each} for each in signed),
    ]


def told(error: BaseException) -> str:
    """All that could be printed of an exception, of those behind it, and of their locals."""
    parts = [*traceback.format_exception(error), repr(error), repr(vars(error))]
    behind = [each for each in (error.__cause__, error.__context__) if each is not None]
    return "".join([*parts, *map(told, behind)])


def text_of(credentials: dict[str, Any]) -> str:
    """As people store them; None is a field that is left out."""
    return json.dumps({name: value for name, value in credentials.items() if value is not None})


def parts_of(names: list[str]) -> list[list[str]]:
    """As many accounts as a summary has room for."""
    return [names[first : first + 90] for first in range(0, len(names), 90)]


def seen(world: World, capfd: pytest.CaptureFixture[str], *returned: object) -> str:
    """All that anybody can see who may read neither path of secrets."""
    captured = capfd.readouterr()
    metadata, events = listed(world.deployed.secrets), world.deployed.events
    assert events, "nothing was put on the event bus"
    return captured.out + captured.err + json.dumps([returned, metadata, events], default=str)


@pytest.mark.slow
def test_credentials_that_ask_for_what_is_not_theirs_are_refused_and_nothing_is_sent_or_told(
    world: World, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    world.deployed.handler(POWERTOOLS_LOG_LEVEL="DEBUG")
    refused = {f"refused-{n}": each for n, each in enumerate(refused_fields(authority))}
    for account, fields in refused.items():
        world.put(account, world.credentials(account, **fields))
        world.home.replies[account] = repeat(reply(token()))
    names = list(refused)
    summaries = [world.deployed.sweep({"accounts": part}) for part in parts_of(names)]

    codes = {each["account"]: each.get("error") for told in summaries for each in told["accounts"]}
    assert [refused[name] for name in names if codes[name] != "invalid_credentials"] == []
    assert [*world.home.requests, *world.neighbour.requests, *world.stranger.requests] == []
    assert world.published() == {}
    assert "MARK" not in seen(world, capfd, summaries)


def test_a_refusal_holds_no_value_of_what_it_refuses_nor_any_error_that_does(
    world: World, authority: Authority
) -> None:
    for number, fields in enumerate(refused_fields(authority)):
        with pytest.raises(CredentialsError) as refusal:
            parse_credentials(text_of(world.credentials(f"refused-{number}", **fields)))
        assert "MARK" not in told(refusal.value)


# What is sent, and comes back.

PASSWORD: Final = {"grant_type": "password", "username": "u@example.com"}
SHOWS_ALL: Final = {
    "a": "{access_token}",
    "b": "{token_type} {scope} {issued_at} {expires_at}",
    "c": "{response.instance_url}{response.data.0.id}",
}


CODES: Final = {
    **dict.fromkeys(("access_token", "scope"), "secret_in_response"),
    **dict.fromkeys(("instance_url", "template", "data"), "secret_in_response"),
    **dict.fromkeys(("token_type", "nested", "keys"), "invalid_response"),
    **dict.fromkeys(("error", "form", "success"), "unrecognised"),
    "headers": "status_503",
    "page": "firewall",
    "redirect": "redirect",
    "unauthorised": "status_401",
}
HEADERS_SENT: Final = {
    *("accept", "accept-encoding", "authorization", "content-length", "content-type", "host"),
    *("user-agent", "x-given"),
}
# What a server appends to a refresh token that it knows to be sent in a header.
SPOILT: Final = {
    "line": "\r\nX-Given: MARK",
    "fold": "\r\n Content-Length: 5",
    "feed": "\nHost: MARK",
    "character": "\u0141",
    "end": "\x00",
}


def echoes(account: str) -> dict[str, str]:
    """Texts in which a server may send a secret back."""
    return {
        "secret": secret(account),
        "password": password(account),
        "refresh": refresh_token(account),
        "successor": refresh_token(account, 1),
        "basic": basic(account),
        "form": f"client_secret={secret(account).replace('-', '%2D')}&x=1",
        "given": f"MARK-key-{account}",
        "assertion": f"MARK-assertion-{account}",
    }


@dataclass(frozen=True, slots=True)
class Story:
    """An account that sends what it has, to a server that sends a secret back.

    Attributes:
        fields: Of its credentials.
        reply: The first response.
    """

    fields: dict[str, Any]
    reply: Reply


def stories(kind: str) -> dict[str, Story]:
    """A secret, sent back in every place of every kind of response."""
    found = {}
    for place in CODES:
        account = f"{kind}-{place}"
        text = echoes(account)[kind]
        found[account] = Story(sends_all(account, place), sends_back(place, text, account))
    return found


def sends_all(account: str, place: str) -> dict[str, Any]:
    """Credentials that send a secret in every way that there is."""
    publish: dict[str, Any] = {"fields": ["instance_url", "data.0.id"]}
    return {
        **PASSWORD,
        "password": password(account),
        "extra_parameters": {"api_key": f"MARK-key-{account}"},
        "grant_parameters": {"given": "{refresh_token}"},
        "refresh_token": refresh_token(account),
        "assertion": f"MARK-assertion-{account}",
        "request_headers": {"X-Given": "{refresh_token} {assertion}"},
        "publish": {"as": SHOWS_ALL} if place == "template" else publish,
        **({"dialect": {"error": "failed"}} if place == "success" else {}),
    }


def sends_back(place: str, text: str, account: str) -> Reply:
    """A response with a secret in one place."""
    whole = token(
        instance_url="https://acme.example",
        data=[{"id": 1}],
        scope="read",
        refresh_token=refresh_token(account, 1),
    )
    of_place: dict[str, dict[str, Any]] = {
        "access_token": {"access_token": text},
        "scope": {"scope": text},
        "token_type": {"token_type": text},
        "instance_url": {"instance_url": f"https://acme.example/?{text}"},
        "template": {"instance_url": text[:9], "data": [{"id": text[9:]}]},
        "data": {"data": [{"id": text}]},
        "success": {"failed": text},
        "nested": {"access_token": {"value": text}},
        "keys": {"access_token": None, text: text},
    }
    if place in of_place:
        return reply(whole | of_place[place])
    error = {"error": text, "error_description": text, "error_uri": text}
    page = f"<html><title>{text}</title></html>".encode()
    form = f"error={text}&error_description={text}".encode()
    headers = (("Retry-After", text), ("WWW-Authenticate", text), ("Set-Cookie", text))
    return {
        "error": reply(error, 400),
        "unauthorised": reply({"message": text, "code": text}, 401),
        "page": Reply(403, (("Content-Type", "text/html"),), page),
        "redirect": Reply(302, (("Location", f"https://localhost/{text}"),), b""),
        "form": Reply(400, (("Content-Type", "application/x-www-form-urlencoded"),), form),
        "headers": reply(error, 503, (*JSON, *headers)),
    }[place]


@pytest.mark.slow
@pytest.mark.parametrize("kind", echoes(""))
def test_what_a_server_sends_back_of_a_secret_is_neither_published_nor_told(
    world: World, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    world.deployed.handler(POWERTOOLS_LOG_LEVEL="DEBUG")
    told_ = stories(kind)
    for account, story in told_.items():
        world.put(account, world.credentials(account, **story.fields))
        world.home.replies[account] = repeat(story.reply)
    names, summaries = list(told_), list[dict[str, Any]]()
    for _ in range(2):
        summaries.append(world.deployed.sweep({"accounts": names, "force": True}))
        world.deployed.clock.advance(DUE)

    codes = {each["account"]: each.get("error") for told in summaries for each in told["accounts"]}
    assert codes == {name: CODES[name.partition("-")[2]] for name in names}
    assert world.published() == {}
    everything = seen(world, capfd, summaries)
    assert "MARK" not in everything
    assert [name for name in names if basic(name) in everything] == []
    assert [*world.neighbour.requests, *world.stranger.requests] == []
    assert_each_request_is_of_its_account_alone(world, names)


def sends_back_what_was_signed(place: str, account: str) -> Answering:
    """Respond with the assertion that has just come."""

    def answering(request: Request) -> Reply:
        [assertion] = parse_qs(request.body.decode())["client_assertion"]
        return sends_back(place, assertion, account)

    return answering


@pytest.mark.slow
@pytest.mark.parametrize("signer", ["kms", "secret"])
def test_what_was_signed_is_neither_published_nor_told_whoever_sends_it_back(
    world: World, cloud: EmbeddedCloud, capfd: pytest.CaptureFixture[str], signer: str
) -> None:
    """It proves for a minute who the client is; and its consumers are others than the client."""
    world.deployed.handler(POWERTOOLS_LOG_LEVEL="DEBUG")
    kms = cloud.client("kms")
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    names = {place: f"signed-{place}" for place in CODES}
    method = {"kms": "private_key_jwt", "secret": "client_secret_jwt"}[signer]
    for place, account in names.items():
        kms.create_alias(AliasName=f"alias/oauth/{account}", TargetKeyId=key)
        signs = SIGNS if signer == "kms" else {}
        signs = {**signs, "token_endpoint_auth_method": method}
        signs["assertion"] = {"kid": f"MARK-kid-{place}"}
        fields = sends_all(account, place) | {"request_headers": {}} | signs
        world.put(account, world.credentials(account, **fields))
        world.home.replies[account] = repeat(sends_back_what_was_signed(place, account))
    summaries = []
    for _ in range(2):
        summaries.append(world.deployed.sweep({"accounts": list(names.values()), "force": True}))
        world.deployed.clock.advance(DUE)

    codes = {each["account"]: each.get("error") for told in summaries for each in told["accounts"]}
    assert codes == {account: CODES[place] for place, account in names.items()}
    everything = seen(world, capfd, summaries) + "".join(world.published().values())
    assert world.published() == {}
    signed = [parse_qs(each.body.decode())["client_assertion"][0] for each in world.home.requests]
    # No two are alike, and nothing of one but what all have in common is anywhere.
    assert len(signed) == len(set(signed)) >= 2 * len(names)
    for text in signed:
        header, claims, signature = text.split(".")
        assert [part for part in (claims, signature, text, header) if part in everything] == []
    assert "MARK" not in everything
    assert [*world.neighbour.requests, *world.stranger.requests] == []


def test_what_was_signed_is_not_published_in_its_parts(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who has the claims, which are no secret, lacks the signature alone."""
    parts = ("header", "claims", "signature")

    def in_parts(request: Request) -> Reply:
        [assertion] = parse_qs(request.body.decode())["client_assertion"]
        return reply(token(**dict(zip(parts, assertion.split("."), strict=True))))

    world.deployed.handler(POWERTOOLS_LOG_LEVEL="DEBUG")
    method = {"token_endpoint_auth_method": "client_secret_jwt"}
    forms: dict[str, Any] = {
        "fields": {"fields": list(parts)},
        "text": {"as": "{access_token} " + " ".join(f"{{response.{each}}}" for each in parts)},
    }
    for account, publish in forms.items():
        fields = {"grant_type": "client_credentials", "publish": publish} | method
        world.put(account, world.credentials(account, **fields))
        world.home.replies[account] = repeat(in_parts)
    summary = world.deployed.sweep({"accounts": list(forms), "force": True})

    codes = {each["account"]: each.get("error") for each in summary["accounts"]}
    assert codes == dict.fromkeys(forms, "secret_in_response")
    everything = seen(world, capfd, [summary]) + "".join(world.published().values())
    for request in world.home.requests:
        [assertion] = parse_qs(request.body.decode())["client_assertion"]
        assert assertion.rpartition(".")[2] not in everything


def test_what_kms_refuses_to_sign_is_told_without_any_of_it(
    world: World, cloud: EmbeddedCloud, capfd: pytest.CaptureFixture[str]
) -> None:
    kms = cloud.client("kms")
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    kms.create_alias(AliasName="alias/oauth/disabled", TargetKeyId=key)
    assertion = {"kid": "MARK-kid", "claims": {"sub": "MARK-sub", "given": "MARK-claim"}}
    for account in ("disabled", "missing", "no.alias-can-hold-it"):
        world.put(account, world.credentials(account, **SIGNS, assertion=assertion))
    summaries = [world.deployed.sweep() for _ in range(2)]

    codes = {each["account"]: each.get("error") for each in summaries[0]["accounts"]}
    assert codes == {
        "disabled": "signing_key_disabled",
        "missing": "signing_key_missing",
        "no.alias-can-hold-it": "unsignable_name",
    }
    assert world.home.requests == []
    assert world.published() == {}
    assert "MARK" not in seen(world, capfd, summaries)


def assert_each_request_is_of_its_account_alone(world: World, accounts: list[str]) -> None:
    """None was begun, ended or added to by what an account or its server has chosen."""
    for account in accounts:
        requests = world.home.sent_by(account)
        assert requests
        marks = [mark for each in requests for mark in re.findall(r"MARK-[a-z]+-([a-z_-]+)", each)]
        assert {mark.rstrip("-") for mark in marks} == {account}
    sent = [world.home.sent_by(account) for account in accounts]
    assert len(world.home.requests) == sum(map(len, sent))
    for request in world.home.requests:
        names = [name.lower() for name in request.headers]
        assert len({*names}) == len(names)
        assert {*names} <= HEADERS_SENT
        assert all(value.isprintable() for value in request.headers.values())


# What was given to one host, under one trust.


def moves(world: World, account: str, authority: Authority) -> dict[str, dict[str, Any]]:
    """Fields of credentials that would show a journaled refresh token to somebody else."""
    given = {"request_headers": {"X-Given": "{refresh_token}"}}
    path = {"dialect": {"refresh_token": "elsewhere", "access_token": "renewal"}}
    elsewhere = f"https://{{}}/{account}?key=MARK-key-{account}"
    return {
        "to a neighbour": {"token_endpoint": elsewhere.format(world.neighbour.name)},
        "to a stranger": {"token_endpoint": elsewhere.format(world.stranger.name)},
        "to a provider": {"token_endpoint": None, "provider": "otomoto.pl"},
        "under another authority": {"ca_certificates": authority.certificate_file.read_text()},
        "into a header": given,
        "into what is published": path,
        "into a field": {"dialect": {"refresh_token": "x"}, "publish": {"fields": ["renewal"]}},
        "verified at a stranger": {"verify_url": elsewhere.format(world.stranger.name)},
    }


MOVES: Final = (
    *("to a neighbour", "to a stranger", "to a provider", "under another authority"),
    *("into a header", "into what is published", "into a field", "verified at a stranger"),
)


@pytest.mark.parametrize("move", MOVES)
def test_a_journaled_refresh_token_is_shown_to_nobody_but_who_gave_it(
    world: World, authority: Authority, capfd: pytest.CaptureFixture[str], move: str
) -> None:
    account = "refresh-only"
    initial = {"grant_type": "refresh_token", "refresh_token": refresh_token("refresh-only")}
    dialect = {"dialect": {"refresh_token": "renewal"}}
    for host in (world.home, world.neighbour, world.stranger):
        host.replies[account] = repeat(reply(token(renewal=refresh_token(account, 1))))
    world.put(account, world.credentials(account, **initial, **dialect))
    first = world.deployed.sweep()
    assert first["outcomes"] == {"fresh": 0, "published": 1}
    before = world.published()

    moved = moves(world, account, authority)[move]
    world.put(account, world.credentials(account, **{**initial, **dialect, **moved}))
    summaries = []
    for event in ({}, {"accounts": [account], "force": True}, {}):
        summaries.append(world.deployed.sweep(event))
        world.deployed.clock.advance(DUE)

    codes = {each["error"] for told in summaries for each in told["accounts"]}
    assert codes <= {"another_host", "host_not_allowed"}
    assert codes
    assert len(world.home.requests) == 1
    assert [*world.neighbour.requests, *world.stranger.requests] == []
    assert world.published() == before
    assert "MARK" not in seen(world, capfd, first, summaries) + json.dumps(before)


def test_a_refresh_token_that_would_begin_a_request_of_its_own_is_never_sent_in_a_header(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {
        "grant_type": "refresh_token",
        "request_headers": {"X-Given": "{refresh_token}"},
        "use_refresh_token": True,
    }
    summaries = []
    accounts = {f"spoilt-{name}": end for name, end in SPOILT.items()}
    for account, end in accounts.items():
        spoilt = f"{refresh_token(account, 1)}{end}"
        world.put(
            account, world.credentials(account, refresh_token=refresh_token(account), **given)
        )
        world.home.replies[account] = repeat(reply(token(refresh_token=spoilt)))
    for _ in range(3):
        summaries.append(world.deployed.sweep())
        world.deployed.clock.advance(DUE)

    codes = {each.get("error") for told in summaries[1:] for each in told["accounts"]}
    assert codes == {"unsendable_header"}
    assert_each_request_is_of_its_account_alone(world, list(accounts))
    assert len(world.home.requests) == len(accounts)
    published = "".join(world.published().values())
    assert "MARK" not in seen(world, capfd, summaries) + published


def test_an_address_with_a_secret_in_it_is_told_to_nobody(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    accounts, summaries = {}, []
    for number, failure in enumerate(
        (reply(token()), reply({}, 404), reply({}, 405), reply({}, 500), Reply(302, (), b""))
    ):
        account = f"address-{number}"
        accounts[account] = f"https://{world.home.name}/{account}?code=MARK-key-{account}"
        world.home.replies[account] = repeat(failure)
    accounts["refused"] = f"https://{world.stranger.name}/MARK-key-refused?code=MARK-key-refused"
    accounts["silent"] = f"https://{world.neighbour.name}/silent?code=MARK-key-silent"
    world.neighbour.close()
    for account, address in accounts.items():
        world.put(account, world.credentials(account, token_endpoint=address))
    for _ in range(2):
        summaries.append(world.deployed.sweep())
        world.deployed.clock.advance(DUE)

    told_ = {each["account"]: each.get("error") for each in summaries[0]["accounts"]}
    assert told_ == {
        "address-0": None,
        "address-1": "status_404",
        "address-2": "status_405",
        "address-3": "status_500",
        "address-4": "redirect",
        "refused": "host_not_allowed",
        "silent": "no_connection",
    }
    assert world.stranger.name in json.dumps(summaries)
    assert "MARK" not in seen(world, capfd, summaries) + "".join(world.published().values())


def test_without_a_secret_in_it_the_same_response_is_published(world: World) -> None:
    account = "control"
    for place in ("instance_url", "template"):
        name = f"{account}-{place}"
        world.put(name, world.credentials(name, **sends_all(name, place)))
        world.home.replies[name] = repeat(sends_back("instance_url", "plain", name))
    assert world.deployed.sweep()["outcomes"] == {"fresh": 0, "published": 2}
    added, whole = (json.loads(text) for _, text in sorted(world.published().items()))
    assert added["instance_url"] == "https://acme.example/?plain"
    assert whole["c"] == "https://acme.example/?plain1"
