"""Whatever is secret, wherever it stands and however it is written, it reaches no screen."""

from __future__ import annotations

import base64
import html
import json
import quopri
import random
import string
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, urlencode

import pytest
from msgspec import structs

from token_refresher.credentials import texts_in
from token_refresher.oauth.errors import EndpointUnavailableError
from token_refresher.oauth.token_request import TokenRequest, token_request, verify_request
from token_refresher.parsing import parse_credentials
from token_refresher_cli.exchange import Exchange, secrets_in, shown
from token_refresher_cli.masking import MASKED, Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from token_refresher.credentials import Credentials
    from token_refresher.oauth.client_authentication import Client

# How a server, or a gateway before it, may write what it was sent.
ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "in capitals": str.upper,
    "percent-encoded": lambda it: quote(it, safe=""),
    "percent-encoded twice": lambda it: quote(quote(it, safe=""), safe=""),
    "percent-encoded, each character": lambda it: "".join(f"%{byte:02x}" for byte in it.encode()),
    "as a form has it": quote_plus,
    "as a form in a form": lambda it: quote_plus(quote_plus(it)),
    "as JSON has it": lambda it: json.dumps(it)[1:-1],
    "as JSON in JSON": lambda it: json.dumps(json.dumps(it))[1:-1],
    "as JSON, each character": lambda it: "".join(f"\\u{ord(each):04x}" for each in it),
    "as HTML has it": html.escape,
    "as HTML, each character": lambda it: "".join(f"&#{ord(each)};" for each in it),
    "in Base64": lambda it: base64.b64encode(it.encode()).decode(),
    "in Base64, as a pair": lambda it: base64.b64encode(f"dealer-17:{it}".encode()).decode(),
    "in Base64, as a pair of encoded ones": lambda it: base64.b64encode(
        f"dealer-17:{quote_plus(it)}".encode()
    ).decode(),
    "in Base64 for addresses": lambda it: base64.urlsafe_b64encode(it.encode()).decode().strip("="),
    "in Base64, percent-encoded": lambda it: quote(base64.b64encode(it.encode()).decode(), safe=""),
    "in the other alphabet of Base64": lambda it: it.translate(str.maketrans("-_", "+/")),
    "in hexadecimal": lambda it: it.encode().hex(),
    "its beginning": lambda it: it[: max(8, len(it) * 2 // 3)],
    "its end": lambda it: it[-max(8, len(it) * 2 // 3) :],
    "with what no screen shows": "\u200b".join,
    "with a null": lambda it: it[:3] + "\0" + it[3:],
    "between letters": lambda it: f"xx{it}yy",
    "in two lines": lambda it: f"{it[: len(it) // 2]}\n{it[len(it) // 2 :]}",
}
# So many characters of a secret, in whatever encoding, are a secret that is shown.
PIECES: Final = 8


def marked(chance: random.Random, name: str) -> str:
    """Invent a secret that is found again by any eight characters of it."""
    alphabet = string.ascii_letters + string.digits + "-_.~!$&'()*+,;=:@%/?#[]{}<>|\\^\"` äß€"
    while True:
        text = "".join(chance.choice(alphabet) for _ in range(chance.choice([12, 16, 24, 40])))
        if text == text.strip() and any(each.isdigit() for each in text):
            return f"{text[:6]}{name[0]}{text[6:]}"


def credentials_of(chance: random.Random) -> tuple[Credentials, set[str]]:
    """Invent credentials of some grant, and tell what is secret in them."""
    secrets: set[str] = set()

    def secret(name: str, *, is_ascii: bool = False) -> str:
        text = marked(chance, name)
        if is_ascii:
            text = text.encode("ascii", "ignore").decode()
        secrets.add(text)
        return text

    fields: dict[str, Any] = {
        "token_endpoint": "https://api.example.com/v1/token",
        "client_id": "dealer-17",
        "client_secret": secret("client"),
    }
    kind = chance.choice(["password", "client", "login", "extension", "public"])
    if kind == "password":
        fields |= {"grant_type": "password", "username": "d@example.com", "password": secret("p")}
    elif kind == "login":
        fields["grant_parameters"] = {"pin": secret("pin"), "who": {"are": [secret("you")]}}
        fields["dialect"] = {"request_format": "json"}
    elif kind == "extension":
        fields |= {"grant_type": "urn:example:made-up", "grant_parameters": {"x": secret("x")}}
        fields["dialect"] = {"request_format": "query", "request_method": "GET"}
    else:
        fields["grant_type"] = "client_credentials"
    if kind == "public":
        del fields["client_secret"]
        fields["token_endpoint_auth_method"] = "none"
        fields["request_headers"] = {"Authorization": secret("header", is_ascii=True)}
    elif chance.random() < 0.5:
        fields["token_endpoint_auth_method"] = "client_secret_post"
    fields["extra_parameters"] = {"audience": "https://api.example.com", "other": secret("o")}
    if kind != "public":
        fields["request_headers"] = {"X-Key": secret("key", is_ascii=True)}
    used = texts_in(fields)
    return parse_credentials(json.dumps(fields)), {each for each in secrets if each in used}


def sightings(lines: list[str], secrets: set[str]) -> Iterator[str]:
    """Tell which parts of secrets are in what is shown, in any encoding."""
    screen = "\n".join(lines)
    folded = screen.lower()
    for secret in secrets:
        for encode in ENCODINGS.values():
            written = encode(secret)
            long = max(PIECES, -(-PIECES * len(written) // len(secret)))
            parts = [written[i : i + long] for i in range(0, len(written) - long + 1, long)]
            yield from (
                part
                for part in parts
                if part.lower() in folded and not part.isalpha() and "\n" not in part
            )


def bodies(echo: str, content: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Write a response that repeats something, in each of the forms that responses have."""
    yield "application/json", json.dumps(content).encode()
    yield "application/json", json.dumps([content], ensure_ascii=False).encode()
    yield "application/json", json.dumps(content).encode()[:-9]
    yield "text/html", f"<html><p title='{echo}'>Refused: {echo}</p></html>".encode()
    yield "text/plain", f"Refused.\nYou have sent {echo}, and that is wrong.".encode()
    yield "application/x-www-form-urlencoded", urlencode({"error": "no", "seen": echo}).encode()
    yield "application/octet-stream", b"\x00\x1b[2J" + echo.encode("utf-8") + b"\xff\xfe"


@pytest.mark.parametrize("seed", range(12))
def test_no_secret_is_in_what_is_shown_of_an_exchange(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - invented secrets
    credentials, secrets = credentials_of(chance)
    look_everywhere(chance, credentials, credentials.client, secrets)


def look_everywhere(
    chance: random.Random,
    credentials: Credentials,
    client: Client,
    secrets: set[str],
    assertion: str | None = None,
) -> None:
    """Have each secret come back in some encoding, in each part of each form of a response."""
    journaled = marked(chance, "journaled")
    token, refresh = marked(chance, "token"), marked(chance, "refresh")
    secrets |= {journaled, token, refresh}
    request = token_request(client, credentials.grant)
    for secret in sorted(secrets):
        encoding = chance.choice(list(ENCODINGS))
        echo = ENCODINGS[encoding](secret)
        content = {
            "access_token": token,
            "refresh_token": refresh,
            "error_description": f"what was sent is wrong: {echo}",
            "seen": {"deep": [{echo: 1}, echo, {"x": {"y": echo}}]},
            "error": "invalid_client",
        }
        headers = {
            "WWW-Authenticate": f'Bearer realm="{echo}"',
            "Location": f"https://e.example/{quote(echo)}?at={quote(echo)}#{quote(echo)}",
            "Set-Cookie": f"session={echo}",
            "X-Request-Id": echo,
            echo: "made up",
            "Server": echo,
        }
        for content_type, body in bodies(echo, content):
            told = {"Content-Type": content_type, **headers}
            # A test that a body alone can pass says nothing of another one's tokens.
            known = {token, refresh} if content_type != "application/json" else set()
            exchange = Exchange(request, (401, told, body), assertion=assertion)
            others = [journaled, *known]
            mask = Mask(secrets_in(credentials, [exchange], others))
            lines = shown(exchange, mask, client=client)
            assert list(sightings(lines, secrets)) == [], (encoding, content_type)
            assert all(line.isprintable() for line in lines)


JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
# Each place that an assertion has in a request.
SIGNED: Final[dict[str, dict[str, Any]]] = {
    "for authentication": {
        "grant_type": "client_credentials",
        "token_endpoint_auth_method": "private_key_jwt",
    },
    "for the grant": {"grant_type": JWT_BEARER, "assertion": {"signer": "kms"}},
    "in a header": {
        "grant_parameters": {},
        "request_headers": {"Authorization": "Bearer {assertion}"},
        "token_endpoint_auth_method": "none",
        "assertion": {"signer": "kms"},
        "dialect": {"request_format": "json"},
    },
    "to be exchanged": {
        "grant_type": EXCHANGE,
        "grant_parameters": {"subject_token": "{assertion}", "subject_token_type": "t"},
        "token_endpoint_auth_method": "none",
        "assertion": {"signer": "sts", "audience": "api://x"},
    },
}


def signed(chance: random.Random) -> str:
    """Invent an assertion: three parts, of which the first is alike in all."""
    claims = {"iss": "dealer-17", "aud": "https://api.example.com/v1/token", "exp": 1_796_040_060}
    claims |= {"jti": chance.randbytes(16).hex(), "tier": chance.randbytes(16).hex()}
    parts = (b'{"alg":"RS256","typ":"JWT"}', json.dumps(claims).encode(), chance.randbytes(256))
    return ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)


@pytest.mark.parametrize("fields", SIGNED.values(), ids=SIGNED)
@pytest.mark.parametrize("seed", range(4))
def test_no_assertion_and_no_key_is_in_what_is_shown_of_an_exchange(
    seed: int, fields: dict[str, Any]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - likewise
    assertion = signed(chance)
    text = base64.encodebytes(chance.randbytes(190)).decode()
    pem = {
        name: f"-----BEGIN {mark}-----\n{text[at:]}-----END {mark}-----\n"
        for name, mark, at in (
            ("certificate", "CERTIFICATE", 77),
            ("private_key", "PRIVATE KEY", 0),
        )
    }
    own = {"token_endpoint": "https://api.example.com/v1/token", "client_id": "dealer-17"}
    credentials = parse_credentials(json.dumps({**own, **fields, **pem}))
    client = structs.replace(credentials.client, assertion=assertion)
    # By lines, as they would come back.
    secrets = {assertion, *text.split()}
    look_everywhere(chance, credentials, client, secrets, assertion)


def test_the_places_of_an_assertion_are_shown_without_it() -> None:
    assertion = signed(random.Random(1))  # noqa: S311 - likewise
    told = {}
    for name, fields in SIGNED.items():
        own = {"token_endpoint": "https://api.example.com/v1/token", "client_id": "dealer-17"}
        credentials = parse_credentials(json.dumps({**own, **fields}))
        client = structs.replace(credentials.client, assertion=assertion)
        request = token_request(client, credentials.grant)
        held = f"{(request.body or b'').decode()}{request.headers}"
        assert assertion in held, name
        exchange = Exchange(request, None, assertion=assertion)
        mask = Mask(secrets_in(credentials, [exchange], []))
        told[name] = "\n".join(shown(exchange, mask, client=client))
    said = "alg RS256, iss dealer-17, aud https://api.example.com/v1/token, exp 1796040060"
    assert f"> client_assertion={MASKED} ({said})" in told["for authentication"]
    assert f"> assertion={MASKED} ({said})" in told["for the grant"]
    assert f"> Authorization: {MASKED} ({said})" in told["in a header"]
    assert f"> subject_token={MASKED} ({said})" in told["to be exchanged"]
    claims = json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))
    hidden = {claims["jti"], claims["tier"], *assertion.split(".")}
    assert not any(each in shown_of for each in hidden for shown_of in told.values())


@pytest.mark.parametrize(
    "assertion",
    ["made-up.made-up.made-up", "eyJhIjoxfQ", "eyJhIjoxfQ.eyJhIjoxfQ.x", "W10.W10.x", "a.b"],
)
def test_of_what_is_no_jwt_of_use_nothing_is_said(assertion: str) -> None:
    own = {"token_endpoint": "https://api.example.com/v1/token", "client_id": "dealer-17"}
    credentials = parse_credentials(json.dumps({**own, **SIGNED["for authentication"]}))
    client = structs.replace(credentials.client, assertion=assertion)
    exchange = Exchange(token_request(client, credentials.grant), None, assertion=assertion)
    lines = shown(exchange, Mask(secrets_in(credentials, [exchange], [])), client=client)
    assert f"> client_assertion={MASKED}" in lines


def test_what_is_said_of_an_assertion_is_masked_like_all_else() -> None:
    own = {"token_endpoint": "https://api.example.com/v1/token", "client_id": "made-up-id-1"}
    credentials = parse_credentials(json.dumps({**own, **SIGNED["for authentication"]}))
    claims = base64.urlsafe_b64encode(b'{"iss": "made-up-id-1", "sub": "a\\u001b[2Jb"}').decode()
    assertion = f"eyJhbGciOiJSUzI1NiJ9.{claims.rstrip('=')}.c2lnbmF0dXJl"
    client = structs.replace(credentials.client, assertion=assertion)
    exchange = Exchange(token_request(client, credentials.grant), None, assertion=assertion)
    mask = Mask({*secrets_in(credentials, [exchange], []), "made-up-id-1"})
    lines = shown(exchange, mask, client=client)
    assert f"> client_assertion={MASKED} (alg RS256, iss {MASKED}, sub a[2Jb)" in lines


def test_the_canary_sees_a_secret_that_is_shown() -> None:
    """Else the test above could not fail."""
    secret = marked(random.Random(1), "x")  # noqa: S311 - likewise
    for name, encode in ENCODINGS.items():
        assert list(sightings([f"it was {encode(secret)}, wrongly"], {secret})), name


def test_an_exchange_without_a_response_tells_no_secret() -> None:
    credentials, secrets = credentials_of(random.Random(3))  # noqa: S311 - likewise
    error = EndpointUnavailableError("made up", code="timeout")
    exchange = Exchange(token_request(credentials.client, credentials.grant), None, error)
    mask = Mask(secrets_in(credentials, [exchange], []))
    lines = shown(exchange, mask, client=credentials.client)
    assert list(sightings(lines, secrets)) == []
    assert lines[-1] == "< no response: made up"


def test_the_token_that_is_verified_is_not_shown() -> None:
    text = json.dumps(
        {
            "token_endpoint": "https://api.example.com/token",
            "grant_type": "client_credentials",
            "client_id": "dealer-17",
            "client_secret": "made-up-client-secret-1",
            "verify_url": "https://api.example.com/me?key=made-up-key-2",
        }
    )
    credentials = parse_credentials(text)
    headers = verify_request(credentials.client, "made-up-token-3")
    request = TokenRequest("GET", credentials.verify_url or "", headers, None)
    exchange = Exchange(request, (401, {}, b'{"token": "made-up-token-3", "a": "made-up-key-2"}'))
    mask = Mask(secrets_in(credentials, [exchange], []))
    lines = "\n".join(shown(exchange, mask, client=credentials.client))
    assert "made-up" not in lines
    assert "Authorization: Bearer ****" in lines


@pytest.mark.parametrize(
    "text",
    [
        "client disabled",
        "AADSTS7000215: Invalid client secret provided.",
        "invalid password: account locked",
        "org.springframework.security.oauth2.InvalidClientException",
        "see https://docs.example.com/errors/invalid-client",
        "temporarily_unavailable",
        "at 2026-11-30T07:10:05.123Z",
        "Zugangsdaten ungültig",
        "rate limit of 1000 requests in 60 s is exceeded",
    ],
)
def test_what_a_server_says_in_words_can_be_read(text: str) -> None:
    assert Mask({"made-up-client-secret", "kX9#2mPq!7"}).text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYWRlLXVwIn0.c2lnbmF0dXJl",
        "550e8400-e29b-41d4-a716-446655440000",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "00Dx0000000BV7z!AR8AQP0jITN80ESEsj5EbaZTFG0R",
        "d41d8cd98f00b204e9800998ecf8427e",
        "123456789012345678901",
    ],
)
def test_what_looks_like_a_token_is_masked_under_any_name(text: str) -> None:
    assert Mask(()).value("data", text) == MASKED
    assert Mask(()).text(f"it was {text}, and no other") == f"it was {MASKED}, and no other"


@pytest.mark.parametrize(
    "name", ["access_token", "accessToken", "id_token", "session", "X-Api-Key", "pin", "signature"]
)
def test_what_stands_under_a_secret_s_name_is_masked_however_short(name: str) -> None:
    assert Mask(()).value("", {name: "ab"}) == {name: MASKED}
    assert Mask(()).value("", {name: {"deep": [1, "ab"]}}) == {name: {"deep": [MASKED, MASKED]}}


@pytest.mark.parametrize(
    ("name", "value"),
    [("token_type", "Bearer"), ("expires_in", 3600), ("code", 1234), ("ok", True)],
)
def test_what_is_about_a_token_is_shown(name: str, value: object) -> None:
    assert Mask({"made-up-secret"}).value("", {name: value}) == {name: value}


PIECES_OF_SECRET: Final = ["Zq7-in", "vent-e", "d9Xk2"]
WHOLE: Final = "".join(PIECES_OF_SECRET)
CODES: Final = [*WHOLE.encode()]
IN_PIECES: Final[dict[str, Any]] = {
    "over fields": dict(zip("abc", PIECES_OF_SECRET, strict=True)),
    "over names": dict.fromkeys(PIECES_OF_SECRET, 1),
    "over a list": [*WHOLE],
    "over lists": [{"a": [each]} for each in PIECES_OF_SECRET],
    "in bytes, as servers in JavaScript write them": {"type": "Buffer", "data": CODES},
    "over cells": "<tr><td>" + "</td>\n<td>".join(PIECES_OF_SECRET) + "</td></tr>",
    "around a comment": "<!-- -->".join(PIECES_OF_SECRET),
    "in quotes": " + ".join(map(repr, PIECES_OF_SECRET)),
    "with commas": ",".join(WHOLE),
    "in decimal numbers": " ".join(map(str, CODES)),
    "in hexadecimal numbers": ",".join(map(hex, CODES)),
    "in octal escapes": "".join(f"\\{each:03o}" for each in CODES),
    "in code points": " ".join(f"U+{each:04X}" for each in CODES),
    "as style sheets escape": "".join(f"\\{each:x} " for each in CODES),
    "percent-encoded five times": WHOLE,
    "as HTML has it, five times": "".join(f"&#{each};" for each in CODES),
}
for _ in range(5):
    it = IN_PIECES["percent-encoded five times"]
    IN_PIECES["percent-encoded five times"] = "".join(f"%{each:02x}" for each in it.encode())
    it = IN_PIECES["as HTML has it, five times"]
    IN_PIECES["as HTML has it, five times"] = html.escape(it)


def shown_of(
    body: bytes, headers: dict[str, str] | None = None, *, secret: str = WHOLE
) -> list[str]:
    """Show a response to an account of a known secret, but for what was sent."""
    fields = {
        "token_endpoint": "https://api.example.com/v1/token",
        "grant_type": "client_credentials",
        "client_id": "dealer-17",
        "client_secret": secret,
    }
    credentials = parse_credentials(json.dumps(fields))
    client = credentials.client
    request = token_request(client, credentials.grant)
    exchange = Exchange(request, (400, headers or {}, body))
    mask = Mask(secrets_in(credentials, [exchange], []))
    lines = shown(exchange, mask, client=client)
    return [line.removeprefix("< ") for line in lines if line.startswith("< ")]


@pytest.mark.parametrize("body", IN_PIECES.values(), ids=IN_PIECES)
def test_a_secret_in_pieces_is_masked_with_all_that_stands_around_it(body: Any) -> None:  # noqa: ANN401
    text = body if isinstance(body, str) else json.dumps(body)
    assert shown_of(text.encode())[1:] == [MASKED]


@pytest.mark.parametrize("secret", ["made up battery staple", "madeupbatterystaple", "m4d3up"])
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda it: {"type": "Buffer", "data": [*it.encode()]}, id="bytes"),
        pytest.param(lambda it: {"got": [*it]}, id="a list"),
        pytest.param(lambda it: "".join(f"<b>{each}</b>" for each in it), id="a page"),
    ],
)
def test_a_secret_of_letters_or_a_short_one_is_masked_in_pieces_too(
    secret: str, write: Callable[[str], Any]
) -> None:
    assert shown_of(json.dumps(write(secret)).encode(), secret=secret)[1:] == [MASKED]


def test_what_e_mail_writes_for_letters_is_read() -> None:
    body = quopri.encodestring("Refused: Grüße9§Wörter".encode(), quotetabs=True)
    assert shown_of(body, secret="Grüße9§Wörter")[1:] == [MASKED]


def test_a_secret_in_pieces_over_headers_is_masked() -> None:
    names = ("X-Request-Id", "Server", "Via")
    headers = dict(zip(names, PIECES_OF_SECRET, strict=True))
    assert shown_of(b"", headers) == ["400 Bad Request", MASKED, "(no content)"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"name": "access_token", "value": "abcd efg"}', "abcd efg"),
        (b'{:access_token=>"abcd efg"}', "abcd efg"),
        (b'array("access_token" => "abcd efg")', "abcd efg"),
    ],
)
def test_a_value_that_is_named_in_other_ways_is_masked(body: bytes, told: str) -> None:
    assert told not in "\n".join(shown_of(body))


def test_what_is_said_of_a_field_that_is_named_is_shown() -> None:
    lines = shown_of(b'{"field": "client_secret", "message": "is wrong"}')
    assert '  "message": "is wrong"' in lines


@pytest.mark.parametrize(
    "body",
    [
        b"0" * 131_072,
        b"\\" * 131_072,
        b"token:" * 20_000,
        b"a token " * 16_000,
        b'{"token":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"a": "' + b"ab1" * 40_000 + b'"}',
    ],
    ids=lambda body: body[:9].decode(),
)
@pytest.mark.timeout(20)
def test_a_long_response_is_shown_or_cut_within_seconds(body: bytes) -> None:
    lines = shown_of(body)
    assert sum(map(len, lines)) < 4_000


def test_a_short_secret_is_masked_as_a_word_and_not_within_one() -> None:
    assert Mask({"ab"}).text("ab is wrong, about that") == "**** is wrong, about that"


def test_two_names_that_are_masked_stay_two_fields() -> None:
    masked = Mask({"made-up-1", "made-up-2"}).value("", {"made-up-1": 1, "made-up-2": 2})
    assert list(masked.values() if isinstance(masked, dict) else ()) == [1, 2]


def test_what_is_nested_without_end_is_masked() -> None:
    deep: Any = "made-up"
    for _ in range(100):
        deep = [deep]
    assert "made-up" not in json.dumps(Mask(()).value("", deep))


@pytest.mark.slow
def test_what_cannot_be_looked_through_in_time_is_masked_whole() -> None:
    assert Mask({"made-up-secret-1"}).text("aB3d" * 200_000) == MASKED
