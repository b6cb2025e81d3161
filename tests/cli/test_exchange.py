"""`check --try --show-response`: what a person sees of an exchange, and what never reaches them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from local.authorization_server import Answers, LosesTheAnswer
from local.authorization_server.https import Door, HttpsServer, Reply, Request
from tests.cli.operator import EMAIL, PASSWORD, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.authority import Authority
    from local.authorization_server import AuthorizationServer
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.terminal import Shell

JSON = (("Content-Type", "application/json"),)
ACCOUNT = "dealer-17"


@pytest.fixture
def store(cloud: EmbeddedCloud, server: AuthorizationServer) -> Callable[..., None]:
    """Onboard the account, as a tool would."""

    def store(**fields: Any) -> None:  # noqa: ANN401
        server.register_client(ACCOUNT, secret=SECRET, users={EMAIL: PASSWORD})
        content = {
            "token_endpoint": server.token_endpoint,
            "grant_type": "password",
            "client_id": ACCOUNT,
            "client_secret": SECRET,
            "username": EMAIL,
            "password": PASSWORD,
            **fields,
        }
        cloud.client().create_secret(
            Name=f"oauth/credentials/{ACCOUNT}", SecretString=json.dumps(content)
        )

    return store


def seen(shell: Shell, *, code: int, columns: int = 140) -> str:
    """What a terminal shows of it."""
    words = ("check", ACCOUNT, "--try", "--show-response", "--yes")
    with shell.open(*words, columns=columns) as terminal:
        assert terminal.finish() == code, terminal.plain
    for secret in (SECRET, PASSWORD):
        assert secret not in terminal.transcript
    return terminal.plain


def test_a_refusal_in_words_of_its_own_can_be_read(
    shell: Shell, server: AuthorizationServer, store: Callable[..., None]
) -> None:
    store()
    server.fail(Answers(401, JSON, b'{"code": 1234, "message": "client disabled"}'))
    shown = seen(shell, code=1)
    for line in (
        f"> POST {server.token_endpoint}",
        "> Authorization: Basic ****",
        "> grant_type=password",
        f"> username={EMAIL}",
        "> password=****",
        "< 401 Unauthorized",
        "< Content-Type: application/json",
        '<   "code": 1234,',
        '<   "message": "client disabled"',
    ):
        assert line in shown
    assert "status_401 (action required)" in shown


def test_a_token_is_masked_and_what_it_says_of_itself_is_not(
    shell: Shell, store: Callable[..., None]
) -> None:
    store(token_endpoint_auth_method="client_secret_post")
    shown = seen(shell, code=0)
    assert "> client_secret=****" in shown
    assert '"access_token": "****"' in shown
    assert '"refresh_token": "****"' in shown
    assert '"expires_in": 43200' in shown


def test_a_page_is_cut_and_commands_nothing_of_the_terminal(
    shell: Shell, server: AuthorizationServer, store: Callable[..., None]
) -> None:
    store()
    page = f"<html>\x1b]0;made up\x07\x1b[2J\u202eBlocked {PASSWORD}\r\n" + "no more\n" * 5000
    headers = (("Content-Type", "text/html"), ("Content-Encoding", "gzip"))
    server.fail(Answers(403, headers, gzip.compress(page.encode())))
    with shell.open("check", ACCOUNT, "--try", "--show-response", "--yes") as terminal:
        assert terminal.finish() == 1
    assert "Blocked ****" in terminal.plain
    assert f"(cut; {len(page.encode()):,} bytes in all)" in terminal.plain
    assert "\x1b]0;" not in terminal.transcript
    assert "\x1b[2J" not in terminal.transcript
    assert "\u202e" not in terminal.transcript
    assert terminal.plain.count("no more") < 100


def test_an_exchange_without_a_response_shows_the_request_and_why(
    shell: Shell, server: AuthorizationServer, store: Callable[..., None]
) -> None:
    store()
    server.fail(LosesTheAnswer())
    shown = seen(shell, code=1)
    assert shown.count("> grant_type=password") == 1
    assert shown.count("> the same request once more") == 1
    assert shown.count("< no response: ") == 2
    assert "< no response: the token endpoint closed the connection" in shown


def test_a_host_that_is_not_found_shows_the_request_and_why(
    shell: Shell, store: Callable[..., None]
) -> None:
    store(token_endpoint="https://nowhere.invalid/token")
    shell.environment = {**shell.environment, "ALLOWED_TOKEN_HOSTS": "nowhere.invalid"}
    shown = seen(shell, code=1)
    assert "> POST https://nowhere.invalid/token" in shown
    assert "< no response: the name of the token endpoint's host was not found" in shown


def test_what_a_verified_token_gives_access_to_is_not_shown(
    shell: Shell, server: AuthorizationServer, store: Callable[..., None]
) -> None:
    store(verify_url=server.resource_url)
    shown = seen(shell, code=0)
    assert f"> GET {server.resource_url}" in shown
    assert "> Authorization: Bearer ****" in shown
    assert "bytes of what the token gives access to, not shown" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(
    shell: Shell, server: AuthorizationServer, store: Callable[..., None], columns: int
) -> None:
    store(extra_parameters={"audience": "https://api.example.com/" + "a-long-path/" * 3})
    body = json.dumps({"message": "the client is disabled; " * 20, "trace_id": "a" * 50}).encode()
    server.fail(Answers(400, JSON, body))
    words = ("check", ACCOUNT, "--try", "--show-response", "--yes")
    with shell.open(*words, columns=columns) as terminal:
        assert terminal.finish() == 1
    assert terminal.screen.overlong == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"check {ACCOUNT} --try --yes --show-response", "shown to a terminal alone"),
        (f"check {ACCOUNT} --show-response", "--show-response needs --try"),
    ],
)
def test_nothing_is_asked_and_nothing_shown_where_no_terminal_is(
    operator: Operator, line: str, sentence: str
) -> None:
    operator.add(ACCOUNT)
    refused = operator.run(line)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert sentence in refused.stderr
    assert operator.server.requests == []


def test_what_is_redirected_is_refused(shell: Shell, store: Callable[..., None]) -> None:
    store()
    done = shell.run("check", ACCOUNT, "--try", "--yes", "--show-response")
    assert (done.returncode, done.stdout) == (3, "")


def test_what_was_signed_is_masked_where_it_is_sent_and_where_it_comes_back(
    shell: Shell, cloud: EmbeddedCloud, authority: Authority
) -> None:
    kms = cloud.client("kms")
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/oauth/{ACCOUNT}", TargetKeyId=made["KeyId"])
    sent: list[str] = []

    def reply(request: Request) -> Reply:
        [assertion] = parse_qs(request.body.decode())["client_assertion"]
        sent.append(assertion)
        told = {"error": "invalid_client", "error_description": f"{assertion} is not known"}
        return Reply(401, JSON, json.dumps({**told, "piece": assertion[40:80]}).encode())

    server = HttpsServer(reply, authority.server_context())
    host = f"localhost:{server.port}"
    content = {
        "token_endpoint": f"https://{host}/token",
        "grant_type": "client_credentials",
        "client_id": ACCOUNT,
        "token_endpoint_auth_method": "private_key_jwt",
    }
    cloud.client().create_secret(
        Name=f"oauth/credentials/{ACCOUNT}", SecretString=json.dumps(content)
    )
    shell.environment = {**shell.environment, "ALLOWED_TOKEN_HOSTS": host}
    try:
        shown = seen(shell, code=1)
    finally:
        server.set_door(Door.CLOSED)
    assert f"{ACCOUNT}: signed by the KMS key alias/oauth/{ACCOUNT}, by RS256" in shown
    assert "> client_assertion=****" in shown
    assert '"error_description": "**** is not known"' in shown
    assert '"piece": "****"' in shown
    [assertion] = sent
    assert not any(assertion[at : at + 8] in shown for at in range(0, len(assertion) - 8, 8))
