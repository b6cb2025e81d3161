"""What removing an account does, and what brings it back, whatever the schedule does meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from joserfc import jwt
from joserfc.jwk import RSAKey

from local.authorization_server.https import Door, HttpsServer, Reply, Request
from tests.cli.operator import SECRET
from tests.cli.relay import THROTTLED, Instead
from tests.unit.connect_proxy import ConnectProxy
from token_refresher.leases import LeaseContent, lease_id
from token_refresher.ports import LEASE_STAGE
from token_refresher_cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.authority import Authority
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay
    from tests.cli.terminal import Shell
    from token_refresher.sweep import Report

HOUR = timedelta(hours=1)
BOTH = ["oauth/credentials/dealer-17", "oauth/tokens/dealer-17"]


def marked(operator: Operator) -> list[str]:
    """The secrets that are to be deleted."""
    found = operator.secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return [one["Name"] for one in found if "DeletedDate" in one]


def test_a_dry_run_shows_what_would_be_lost_and_changes_nothing(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    told = operator.says("remove dealer-17 --dry-run --recovery-days 7")
    assert told == (
        "account          dealer-17\n"
        "credentials      oauth/credentials/dealer-17, to be restored within 7 d\n"
        "token            oauth/tokens/dealer-17, to be restored within 7 d\n"
        "consumers        have not read it yet, and will be refused\n"
        "at the provider  its tokens stay valid until they expire: "
        "no address is known at which it could be asked to revoke them\n"
    )
    operator.secrets.get_secret_value(SecretId="oauth/tokens/dealer-17")
    read = operator.says("remove dealer-17 --dry-run")
    lost = r"last read it on 20\S+, and will be refused; what they hold lives 12 h more"
    assert re.search(f"consumers        {lost}", read)
    assert marked(operator) == []


def test_who_has_no_token_loses_none(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.add("dealer-18", password="made-up-wrong")
    nothing = (
        "at the provider  no token of it is known; "
        "a refresh token in its credentials would stay valid\n"
    )
    assert operator.says("remove dealer-17 --dry-run").endswith(f"token            none\n{nothing}")
    operator.schedule.sweep()
    told = operator.says("remove dealer-18 --dry-run")
    empty = "token            oauth/tokens/dealer-18 (no token yet), to be restored within 30 d\n"
    assert told.endswith(f"{empty}{nothing}")


def test_an_account_is_removed_and_comes_back_as_it_was(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    before = operator.secrets.get_secret_value(SecretId="oauth/credentials/dealer-17")
    removed = operator.run("remove dealer-17 --yes")
    assert removed.exit_code == 0
    assert removed.stdout.endswith("removed dealer-17, which can be restored until 2026-12-24\n")
    assert (
        removed.stderr
        == "To bring back: token-refresher restore dealer-17 --region eu-west-1 --prefix oauth\n"
    )
    assert marked(operator) == BOTH
    assert "orphaned" in operator.says("plan dealer-17")
    for line in ("status dealer-17", "refresh dealer-17", "remove dealer-17", "token dealer-17"):
        told = operator.run(line)
        assert "token-refresher restore dealer-17" in told.stderr, line
    assert operator.run("status").exit_code == 3
    restored = operator.run("restore dealer-17")
    assert (restored.exit_code, restored.stdout) == (0, "restored dealer-17\n")
    assert restored.stderr == (
        "Its token lives 12 h more. If it was revoked, get another: "
        "token-refresher refresh dealer-17 --force --region eu-west-1 --prefix oauth\n"
    )
    after = operator.secrets.get_secret_value(SecretId="oauth/credentials/dealer-17")
    assert (after["VersionId"], after["SecretString"]) == (
        before["VersionId"],
        before["SecretString"],
    )
    assert operator.tells("status dealer-17")["accounts"][0]["state"] == "fresh"
    assert operator.says("restore dealer-17") == "dealer-17: it is not removed\n"


@pytest.mark.parametrize("path", BOTH)
def test_what_was_removed_by_halves_is_removed_and_restored_whole(
    operator: Operator, path: str
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.secrets.delete_secret(SecretId=path)
    told = operator.says("remove dealer-17 --yes")
    assert f"{path} is to be deleted already" in told
    assert marked(operator) == BOTH
    operator.secrets.restore_secret(SecretId=path)
    operator.says("restore dealer-17")
    assert marked(operator) == []


@pytest.mark.parametrize("command", ["remove dealer-17 --yes", "restore dealer-17"])
def test_nobody_is_called_for_an_account_whatever_is_swept_between_two_calls(
    operator: Operator, relay: Relay, command: str
) -> None:
    operator.add("dealer-17")
    operator.schedule.sweep()
    if command.startswith("restore"):
        operator.says("remove dealer-17 --yes")
    # So that each sweep would like to refresh it.
    operator.clock.advance(13 * HOUR)
    swept: list[Report] = []

    def sweep(_: str) -> Instead | None:
        swept.append(operator.schedule.sweep())
        return None

    relay.illness = sweep
    with operator.by_way_of(relay):
        operator.says(command)
    sweep("")
    assert len(swept) > 4
    for report in swept:
        assert [each for each in report.accounts if report.needs_action(each)] == []
        assert [each.error for each in report.results if each.error] == []
    assert marked(operator) == (BOTH if command.startswith("remove") else [])
    if command.startswith("restore"):
        assert operator.tells("status dealer-17")["accounts"][0]["state"] == "fresh"


def lease(operator: Operator, name: str, basis: str) -> None:
    """Lease an account's refresh token, as a sweep does before it sends it."""
    leased_at = int(operator.clock.now().timestamp())
    operator.secrets.put_secret_value(
        SecretId=f"oauth/credentials/{name}",
        ClientRequestToken=lease_id(basis, 1),
        SecretString=LeaseContent(leased_at=leased_at, run="1", credentials="1").to_json(),
        VersionStages=[LEASE_STAGE],
    )


def test_an_account_stays_while_the_response_to_its_refresh_token_has_to_be_kept(
    operator: Operator,
) -> None:
    for name in ("dealer-1", "dealer-2"):
        operator.add(name)
    lease(operator, "dealer-1", "made-up")
    removed = operator.run("remove dealer-1 dealer-2 --yes")
    assert removed.exit_code == 1
    assert "dealer-1 is being refreshed, and stays." in removed.stderr
    assert marked(operator) == ["oauth/credentials/dealer-2"]
    operator.clock.advance(timedelta(minutes=2))
    # By a run that was ended.
    operator.says("remove dealer-1 --yes")
    assert marked(operator) == ["oauth/credentials/dealer-1", "oauth/credentials/dealer-2"]


def test_a_refresh_that_begins_between_two_calls_is_seen_and_the_account_put_back(
    operator: Operator, relay: Relay
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    begun = iter([lambda: lease(operator, "dealer-17", "made-up")])

    def begin(operation: str) -> None:
        if operation == "DeleteSecret":
            next(begun, lambda: None)()

    relay.illness = begin
    with operator.by_way_of(relay):
        refused = operator.run("remove dealer-17 --yes")
    assert refused.exit_code == 3
    assert "dealer-17 is being refreshed, and stays." in refused.stderr
    assert marked(operator) == []
    operator.secrets.get_secret_value(
        SecretId="oauth/credentials/dealer-17", VersionStage=LEASE_STAGE
    )


def test_several_are_removed_and_one_that_is_refused_does_not_stop_the_others(
    operator: Operator, relay: Relay
) -> None:
    for name in ("dealer-1", "dealer-2", "dealer-3"):
        operator.add(name)
    calls = iter((THROTTLED, *[None] * 20))
    relay.illness = lambda operation: next(calls) if operation == "DeleteSecret" else None
    with operator.by_way_of(relay):
        removed = operator.run("remove dealer-1 dealer-2 dealer-3 --yes")
    # What may pass boto3 has tried again.
    assert removed.exit_code == 0
    operator.says("restore dealer-1 dealer-2 dealer-3")
    kept = Instead(400, b'{"__type": "InvalidParameterException"}')
    calls = iter((kept, *[None] * 20))
    with operator.by_way_of(relay):
        removed = operator.run("remove dealer-1 dealer-2 dealer-3 --yes")
    assert removed.exit_code == 1
    assert "oauth/credentials/dealer-1 cannot be deleted: " in removed.stderr
    assert "token-refresher restore dealer-2 dealer-3" in removed.stderr
    assert marked(operator) == ["oauth/credentials/dealer-2", "oauth/credentials/dealer-3"]


@pytest.mark.parametrize(
    ("command", "operation"),
    [("remove dealer-1 dealer-2 --yes", "DeleteSecret"), ("restore dealer-1", "RestoreSecret")],
)
def test_what_is_refused_half_way_is_told_and_finished_by_the_same_command(
    operator: Operator, relay: Relay, command: str, operation: str
) -> None:
    for name in ("dealer-1", "dealer-2"):
        operator.add(name)
        operator.says(f"refresh {name}")
    if command.startswith("restore"):
        operator.says("remove dealer-1 --yes")
    calls = itertools.count(1)
    denied = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda called: denied if called == operation and next(calls) == 2 else None
    with operator.by_way_of(relay):
        stopped = operator.run(command)
    assert stopped.exit_code == 1
    assert "dealer-1 is half done: the same command goes on with it." in stopped.stderr
    # No other account is left by halves.
    assert len(marked(operator)) == 1
    operator.says(command)
    assert len(marked(operator)) == (0 if command.startswith("restore") else 4)


def test_where_a_secret_has_replicas_nothing_is_removed_by_halves(
    operator: Operator, relay: Relay
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    told = {"Name": BOTH[1], "ReplicationStatus": [{"Region": "eu-central-1"}]}
    described: list[str] = []

    def describe(operation: str) -> Instead | None:
        described.extend([operation] if operation == "DescribeSecret" else [])
        # The second is the token secret's.
        return Instead(200, json.dumps(told).encode()) if len(described) == 2 else None

    relay.illness = describe
    with operator.by_way_of(relay):
        refused = operator.run("remove dealer-17 --yes")
    assert refused.exit_code == 3
    assert "oauth/tokens/dealer-17 has replicas in eu-central-1" in refused.stderr
    assert "--remove-replica-regions eu-central-1" in refused.stderr
    assert marked(operator) == []


def test_nothing_is_removed_where_nobody_agrees(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("remove dealer-17")
    assert refused.exit_code == 3
    assert "Give --yes to remove all the same." in refused.stderr
    assert marked(operator) == []


def test_a_person_is_asked_and_may_decline(shell: Shell, cloud: EmbeddedCloud) -> None:
    cloud.client().create_secret(Name="oauth/credentials/dealer-17", SecretString="{}")
    with shell.open("remove", "dealer-17") as terminal:
        terminal.expect("no token of it is known")
        terminal.expect("Remove dealer-17? [y/N]: ")
        terminal.enter("n")
        terminal.expect("Nothing was removed.")
        assert terminal.finish() == 3
    with shell.open("remove", "dealer-17") as terminal:
        terminal.expect("Remove dealer-17? [y/N]: ")
        # Not Ctrl-C: one that comes within microseconds of the question waits for the next key.
        terminal.end_input()
        terminal.expect("Interrupted: nothing was done.")
        assert terminal.finish() == INTERRUPTED
    with shell.open("remove", "dealer-17") as terminal:
        terminal.expect("Remove dealer-17? [y/N]: ")
        terminal.enter("y")
        terminal.expect("removed dealer-17")
        assert terminal.finish() == 0


@pytest.mark.parametrize("command", ["remove nobody --yes", "restore nobody"])
def test_who_is_unknown_can_neither_be_removed_nor_restored(
    operator: Operator, command: str
) -> None:
    refused = operator.run(command)
    assert refused.exit_code == 3
    assert "There is no account nobody under oauth/" in refused.stderr


def test_an_account_of_a_stack_says_which_to_delete_first(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.secrets.tag_resource(
        SecretId="oauth/credentials/dealer-17",
        Tags=[{"Key": "aws:cloudformation:stack-name", "Value": "oauth-account-dealer-17"}],
    )
    told = operator.run("remove dealer-17 --dry-run")
    assert "The stack oauth-account-dealer-17 has made oauth/credentials/dealer-17" in told.stderr
    assert "aws cloudformation delete-stack --stack-name oauth-account-dealer-17" in told.stderr


# Revoking.


@dataclass
class Provider:
    """Xero's addresses, on loopback.

    Attributes:
        answer: What a revocation is answered with.
        asked: Called before.
        revoked: The forms that asked for one.
        sent: The refresh tokens of all token requests.
    """

    server: HttpsServer = field(init=False)
    answer: Reply = field(default_factory=lambda: Reply(200, (), b""))
    asked: Callable[[], None] = lambda: None
    revoked: list[dict[str, list[str]]] = field(default_factory=list)
    issued: int = 0
    sent: list[str] = field(default_factory=list)

    def reply(self, request: Request) -> Reply:
        if request.path == "/connect/revocation":
            self.asked()
            self.revoked.append(parse_qs(request.body.decode()))
            return self.answer
        self.issued += 1
        self.sent += parse_qs(request.body.decode())["refresh_token"]
        content: dict[str, Any] = {
            "access_token": f"made-up-access-{self.issued}",
            "refresh_token": f"made-up-refresh-{self.issued}",
            "token_type": "Bearer",
            "expires_in": 1800,
        }
        return Reply(200, (), json.dumps(content).encode())


@pytest.fixture
def xero(
    operator: Operator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Provider]:
    """An account at a provider that revokes tokens, with its first token."""
    provider = Provider()
    context = authority.server_context("identity.xero.com")
    provider.server = HttpsServer(provider.reply, context)
    with ConnectProxy(provider.server.port) as proxy:
        for name, value in {
            "SSL_CERT_FILE": os.devnull,
            "ADDITIONAL_CA_CERTIFICATES": authority.certificate_file.read_text(),
            "TOKEN_ENDPOINT_PROXY": proxy.url,
        }.items():
            monkeypatch.setenv(name, value)
        fields = {
            "provider": "xero",
            "grant_type": "refresh_token",
            "client_id": "made-up-id",
            "client_secret": SECRET,
            "refresh_token": "made-up-refresh-0",
        }
        operator.says("add books --from-file -", stdin=json.dumps(fields))
        operator.says("refresh books")
        yield provider
    provider.server.set_door(Door.CLOSED)


def test_tokens_are_revoked_where_it_is_asked_for_and_nowhere_else(
    operator: Operator, xero: Provider
) -> None:
    told = operator.says("remove books --dry-run")
    assert (
        "its tokens stay valid until they expire; --revoke ends them at identity.xero.com" in told
    )
    operator.says("remove books --yes")
    operator.says("restore books")
    assert xero.revoked == []
    removed = operator.run("remove books --yes --revoke")
    assert removed.exit_code == 0
    assert "its tokens are revoked at identity.xero.com, which no restore undoes" in removed.stdout
    assert removed.stderr == (
        "books: its refresh token was revoked\n"
        "books: its access token was revoked\n"
        "To bring back: token-refresher restore books --region eu-west-1 --prefix oauth\n"
    )
    # The last ones, and not those that it began with.
    assert xero.revoked == [
        {"token": ["made-up-refresh-1"], "token_type_hint": ["refresh_token"]},
        {"token": ["made-up-access-1"], "token_type_hint": ["access_token"]},
    ]
    assert marked(operator) == ["oauth/credentials/books", "oauth/tokens/books"]
    assert not any("made-up" in text for text in operator.printed)


def test_no_refresh_token_is_sent_twice_by_an_account_that_was_away(
    operator: Operator, xero: Provider
) -> None:
    for _ in range(2):
        operator.says("remove books --yes")
        operator.says("restore books")
        operator.clock.advance(HOUR)
        operator.says("refresh books")
    assert xero.sent == ["made-up-refresh-0", "made-up-refresh-1", "made-up-refresh-2"]
    published = operator.secrets.get_secret_value(SecretId="oauth/tokens/books")["SecretString"]
    assert json.loads(published)["access_token"] == "made-up-access-3"


def test_a_refresh_token_that_was_never_sent_is_revoked_as_it_is(
    operator: Operator, xero: Provider
) -> None:
    fields = json.loads(
        operator.secrets.get_secret_value(SecretId="oauth/credentials/books")["SecretString"]
    )
    fields["refresh_token"] = "made-up-other"
    operator.says("add others --from-file -", stdin=json.dumps(fields))
    operator.says("remove others --yes --revoke")
    assert [one["token"] for one in xero.revoked] == [["made-up-other"]]


def test_where_a_token_is_not_revoked_the_account_stays_as_it_is(
    operator: Operator, xero: Provider
) -> None:
    xero.answer = Reply(401, (), b'{"error": "invalid_client"}')
    refused = operator.run("remove books --yes --revoke")
    assert refused.exit_code == 3
    assert (
        "books: its refresh token was not revoked: invalid_client (action required). "
        "The account stays.\n"
        "To remove it without: token-refresher remove books --region eu-west-1 --prefix oauth\n"
    ) in refused.stderr
    assert marked(operator) == []
    assert operator.tells("status books")["accounts"][0]["state"] != "action required"


def test_a_kind_of_token_that_is_not_revoked_there_lives_until_it_expires(
    operator: Operator, xero: Provider
) -> None:
    xero.answer = Reply(400, (), b'{"error": "unsupported_token_type"}')
    removed = operator.run("remove books --yes --revoke")
    assert removed.exit_code == 0
    assert "identity.xero.com does not revoke an access token" in removed.stderr


def test_what_could_not_be_put_back_after_a_failed_revocation_is_told(
    operator: Operator, relay: Relay, xero: Provider
) -> None:
    xero.answer = Reply(503, (), b"")
    denied = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda operation: denied if operation == "RestoreSecret" else None
    with operator.by_way_of(relay):
        refused = operator.run("remove books --yes --revoke")
    assert refused.exit_code == 3
    assert "its refresh token was not revoked: status_503 (transient)" in refused.stderr
    assert "may not secretsmanager:RestoreSecret on oauth/credentials/books" in refused.stderr
    assert marked(operator) == ["oauth/credentials/books"]


def test_whoever_interrupts_a_revocation_may_give_the_same_command_again(
    operator: Operator, xero: Provider
) -> None:
    xero.asked = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stopped = operator.run("remove books --yes --revoke")
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.exit_code == INTERRUPTED
    assert "Interrupted at books: the same command goes on with it." in stopped.stderr
    assert marked(operator) == []
    xero.asked = lambda: None
    operator.says("remove books --yes --revoke")
    assert marked(operator) == ["oauth/credentials/books", "oauth/tokens/books"]


def test_what_was_marked_without_revoking_is_brought_back_first(
    operator: Operator, xero: Provider
) -> None:
    operator.secrets.delete_secret(SecretId="oauth/credentials/books")
    refused = operator.run("remove books --yes --revoke")
    assert refused.exit_code == 3
    assert "bring it back first: token-refresher restore books" in refused.stderr
    assert xero.revoked == []


def test_a_refresh_token_is_revoked_by_nobody_but_who_gave_it(
    operator: Operator, xero: Provider
) -> None:
    fields = json.loads(
        operator.secrets.get_secret_value(SecretId="oauth/credentials/books")["SecretString"]
    )
    fields["provider"] = "twitch"
    moved = json.dumps(fields)
    operator.secrets.put_secret_value(SecretId="oauth/credentials/books", SecretString=moved)
    refused = operator.run("remove books --yes --revoke")
    assert refused.exit_code == 3
    assert "came from another host" in refused.stderr
    assert (xero.revoked, marked(operator)) == ([], [])


def signs(operator: Operator, cloud: EmbeddedCloud) -> Any:  # noqa: ANN401
    """Have the account at Xero sign instead of sending a secret; its public key."""
    kms = cloud.client("kms")
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/oauth/books", TargetKeyId=key)
    operator.says("correct books --token-endpoint-auth-method private_key_jwt")
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    return RSAKey.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_who_signs_signs_for_each_revocation_and_names_the_token_endpoint(
    operator: Operator, cloud: EmbeddedCloud, xero: Provider
) -> None:
    public = signs(operator, cloud)
    operator.says("remove books --yes --revoke")
    assertions = [one["client_assertion"][0] for one in xero.revoked]
    claims = [jwt.decode(each, public, algorithms=["RS256"]).claims for each in assertions]
    assert [(one["iss"], one["aud"]) for one in claims] == [
        ("made-up-id", "https://identity.xero.com/connect/token")
    ] * 2
    assert len({one["jti"] for one in claims}) == 2
    assert not any(each in text for each in assertions for text in operator.printed)


def test_an_account_stays_where_a_person_may_not_sign_for_its_revocation(
    operator: Operator, cloud: EmbeddedCloud, xero: Provider, relay: Relay
) -> None:
    signs(operator, cloud)
    denied = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda called: denied if called == "Sign" else None
    with operator.by_way_of(relay):
        refused = operator.run("remove books --yes --revoke")
    assert refused.exit_code == 3
    assert "was not revoked: signing_denied (on this machine). The account stays." in refused.stderr
    assert "Your AWS identity may not kms:Sign on alias/oauth/*." in refused.stderr
    assert (xero.revoked, marked(operator)) == ([], [])


def test_tokens_that_nobody_revokes_are_not_said_to_be(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("remove dealer-17 --yes --revoke")
    assert refused.exit_code == 3
    assert "dealer-17: its tokens cannot be revoked: no address is known" in refused.stderr
    assert "To remove it without: token-refresher remove dealer-17" in refused.stderr
    assert marked(operator) == []
