"""What removing an account does, and what brings it back, whatever the schedule does meanwhile."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from local.authorization_server.https import Door, HttpsServer, Reply, Request
from tests.cli.operator import SECRET
from tests.cli.relay import THROTTLED, Instead
from tests.unit.connect_proxy import ConnectProxy
from token_refresher_cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        "consumers        have not read it yet, and will be refused; "
        "what they hold lives 12 h more\n"
        "at the provider  its tokens stay valid until they expire: "
        "no address is known at which it could be asked to revoke them\n"
    )
    operator.secrets.get_secret_value(SecretId="oauth/tokens/dealer-17")
    assert "consumers        last read it on 20" in operator.says("remove dealer-17 --dry-run")
    assert marked(operator) == []


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
    assert operator.says("restore dealer-17") == "dealer-17: nothing of it is to be deleted\n"


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
    assert "DeleteSecret failed on oauth/credentials/dealer-1" in removed.stderr
    assert "token-refresher restore dealer-2 dealer-3" in removed.stderr
    assert marked(operator) == ["oauth/credentials/dealer-2", "oauth/credentials/dealer-3"]


def test_nothing_is_removed_where_nobody_agrees(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("remove dealer-17")
    assert refused.exit_code == 3
    assert "Give --yes to remove all the same." in refused.stderr
    assert marked(operator) == []


def test_a_person_is_asked_and_may_decline(shell: Shell, cloud: EmbeddedCloud) -> None:
    cloud.client().create_secret(Name="oauth/credentials/dealer-17", SecretString="{}")
    with shell.open("remove", "dealer-17") as terminal:
        terminal.expect("its tokens stay valid until they expire: its credentials do not validate")
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
        revoked: The forms that asked for one.
    """

    server: HttpsServer = field(init=False)
    answer: Reply = field(default_factory=lambda: Reply(200, (), b""))
    revoked: list[dict[str, list[str]]] = field(default_factory=list)
    issued: int = 0

    def reply(self, request: Request) -> Reply:
        if request.path == "/connect/revocation":
            self.revoked.append(parse_qs(request.body.decode()))
            return self.answer
        self.issued += 1
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


def test_tokens_that_nobody_revokes_are_not_said_to_be(operator: Operator) -> None:
    operator.add("dealer-17")
    refused = operator.run("remove dealer-17 --yes --revoke")
    assert refused.exit_code == 3
    assert "Dealer-17: its tokens cannot be revoked: no address is known" in refused.stderr
    assert "To remove it without: token-refresher remove dealer-17" in refused.stderr
    assert marked(operator) == []
