"""What each command does and leaves alone, against the embedded cloud."""

from __future__ import annotations

import json
import os
import re
import shlex
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from typer.testing import CliRunner

from local.authorization_server import RFC_6749, Answers, Endpoint, LosesTheAnswer, unavailable
from tests.cli.operator import BY_PASSWORD, PASSWORD, SECRET, parsed, pasted
from tests.cli.relay import LOST, THROTTLED, Instead
from tests.integration.test_emulator_functions import deploy
from token_refresher.errors import EventError
from token_refresher.events import parse_event
from token_refresher.model import TokenVersion
from token_refresher_cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

HOUR = timedelta(hours=1)


def everything(cloud: EmbeddedCloud) -> list[Any]:
    """All that is stored: names, tags, versions and their values."""
    client = cloud.client()
    found: list[Any] = []
    for secret in client.list_secrets()["SecretList"]:
        versions = client.list_secret_version_ids(SecretId=secret["Name"], IncludeDeprecated=True)
        stages = {one["VersionId"]: one.get("VersionStages") for one in versions["Versions"]}
        found.append((secret["Name"], secret.get("Tags"), stages))
    return found


def function(answer: dict[str, Any], event: dict[str, Any]) -> str:
    """The source of a function that gives one answer, to one event."""
    return f"""
import json
def handler(event, context):
    if event != json.loads({json.dumps(event)!r}):
        raise ValueError("made-up-secret in an unexpected event")
    return json.loads({json.dumps(answer)!r})
"""


def refresh_only_account(operator: Operator, name: str) -> None:
    """Onboard an account that has nothing but a refresh token."""
    operator.server.register_client(
        name,
        secret=SECRET,
        grants=["refresh_token"],
        dialect=RFC_6749,
        access_token_lifetime=12 * HOUR,
    )
    initial = operator.server.issue_initial_refresh_token(name)
    document = operator.document(name, grant_type="refresh_token", refresh_token=initial)
    operator.says(f"add {name} --from-file -", stdin=document)


@pytest.mark.parametrize(
    ("name", "is_doubted"), [("eu-dealer", True), ("dealer-17", False), ("dealer-000017", True)]
)
def test_a_name_that_reads_like_the_end_of_an_arn_is_doubted_and_taken(
    operator: Operator, name: str, *, is_doubted: bool
) -> None:
    operator.server.register_client(name, secret=SECRET)
    added = operator.run(f"add {name} --from-file -", stdin=operator.document(name))
    assert added.exit_code == 0
    assert f"created oauth/credentials/{name}" in added.stdout
    assert ("reads like the end of an ARN" in " ".join(added.stderr.split())) is is_doubted


def test_status_and_plan_change_nothing_and_read_no_value(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.add("dealer-18", password="made-up-wrong")
    operator.schedule.sweep()
    operator.clock.advance(11 * HOUR)
    before = everything(cloud)
    asked = len(operator.server.requests)
    assert operator.run("status").exit_code == 1
    operator.says("plan")
    assert (everything(cloud), len(operator.server.requests)) == (before, asked)


def test_the_plan_is_what_the_sweep_then_does(operator: Operator) -> None:
    operator.add("fresh", lifetime=24 * HOUR)
    operator.add("nearing")
    operator.add("wrong", password="made-up-wrong")
    operator.schedule.sweep()
    operator.add("changed")
    operator.says("refresh changed")
    operator.clock.advance(11 * HOUR)
    operator.says("correct changed --scope read --from-file -", stdin="{}")
    planned = operator.tells("plan")
    would = {row["account"] for row in planned["accounts"] if row["outcome"] == "would refresh"}
    assert would == {"nearing", "wrong", "changed"}
    assert planned["next_due"]["account"] == "fresh"
    done = operator.tells("refresh fresh nearing wrong changed")
    tried = {row["account"] for row in done["accounts"] if row["outcome"] != "not due"}
    assert tried == would


def test_an_unpublished_answer_is_planned_as_such(operator: Operator, cloud: EmbeddedCloud) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.clock.advance(HOUR)
    client = cloud.client()
    stages = client.describe_secret(SecretId="oauth/credentials/dealer-17")["VersionIdsToStages"]
    journal = next(version for version, names in stages.items() if "TOKENRESPONSE" in names)
    text = client.get_secret_value(SecretId="oauth/credentials/dealer-17", VersionId=journal)
    now = operator.clock.now()
    later = TokenVersion(now, now + 12 * HOUR, journal.split("-")[2], "abcdefabcdef")
    client.put_secret_value(
        SecretId="oauth/credentials/dealer-17",
        ClientRequestToken=str(later),
        SecretString=text["SecretString"],
        VersionStages=["TOKENRESPONSE"],
    )
    assert "publishes the response it has" in operator.says("plan")


def test_an_external_version_is_told_apart_and_can_be_printed(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    theirs = json.dumps({"access_token": "made-up-theirs", "expires_at": 4_000_000_000})
    cloud.client().create_secret(Name="oauth/tokens/dealer-17", SecretString=theirs)
    assert operator.tells("status")["accounts"][0]["state"] == "external version"
    assert operator.says("token dealer-17") == "made-up-theirs\n"
    assert "1 external version: " in operator.says("history dealer-17")


def test_an_expired_token_is_not_printed(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.clock.advance(12 * HOUR)
    refused = operator.run("token dealer-17")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "has expired" in refused.stderr


def test_the_whole_published_object_is_printed_as_it_is(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    stored = cloud.client().get_secret_value(SecretId="oauth/tokens/dealer-17")["SecretString"]
    assert operator.says("token dealer-17 --json") == f"{stored}\n"


@pytest.mark.parametrize(
    "command", ["check", "history", "token", "correct --replace --from-file -"]
)
def test_a_mistyped_name_is_answered_with_the_near_ones(operator: Operator, command: str) -> None:
    operator.add("dealer-17")
    name, *options = command.split(" ", 1)
    refused = operator.run(f"{name} dealr-17 {' '.join(options)}", stdin="{}")
    assert refused.exit_code == 3
    assert (
        "There is no account dealr-17 under oauth/ in eu-west-1. Did you mean dealer-17?"
        in refused.stderr
    )


def test_a_mistyped_name_among_others_fails_the_refresh_and_the_others_are_done(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    done = operator.run("refresh dealr-17 dealer-17")
    assert done.exit_code == 1
    assert "Did you mean dealer-17?" in done.stderr
    assert re.search(r"^dealr-17 +- +no such account", done.stdout, re.MULTILINE)
    assert operator.tells("status")["accounts"][0]["state"] == "fresh"


def test_an_account_is_added_once_and_what_to_do_is_named(operator: Operator) -> None:
    operator.add("dealer-17")
    again = operator.document("x", client_secret="made-up-other")
    refused = operator.run("add dealer-17 --from-file -", stdin=again)
    assert refused.exit_code == 3
    assert "has credentials already; nothing was written" in refused.stderr
    assert "token-refresher correct dealer-17" in refused.stderr
    operator.says("refresh dealer-17")


def test_a_secret_that_awaits_its_credentials_is_given_them(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    cloud.client().create_secret(Name="oauth/credentials/dealer-17")
    assert operator.tells("status")["accounts"][0]["state"] == "awaiting credentials"
    operator.server.register_client("dealer-17", secret=SECRET)
    operator.says("add dealer-17 --from-file -", stdin=operator.document("dealer-17"))
    operator.says("refresh dealer-17")


def test_credentials_for_a_host_that_is_not_allowed_are_not_stored(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    document = operator.document("1", token_endpoint="https://elsewhere.example/token")
    refused = operator.run("add dealer-17 --from-file -", stdin=document)
    assert refused.exit_code == 3
    assert "ALLOWED_TOKEN_HOSTS" in refused.stderr
    assert everything(cloud) == []


def test_a_correction_that_changes_nothing_writes_nothing(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    before = everything(cloud)
    said = operator.says(
        "correct dealer-17 --from-file -", stdin=json.dumps({"password": PASSWORD})
    )
    assert "nothing was written" in said
    assert everything(cloud) == before


def test_stored_credentials_that_do_not_validate_are_found_and_corrected(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    cloud.client().put_secret_value(
        SecretId="oauth/credentials/dealer-17",
        SecretString='{"grant_type": "password", "pasword": "made-up-lost"}',
    )
    found = operator.run("check dealer-17")
    assert found.exit_code == 1
    assert "invalid_credentials (action required)" in found.stderr
    document = operator.document("dealer-17", **BY_PASSWORD)
    operator.says("correct dealer-17 --from-file -", stdin=document)
    operator.says("refresh dealer-17")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("status --watch", "--watch needs a terminal"),
        ("status dealer-71", "Did you mean dealer-17?"),
        ("plan nobody-at-all", "There is no account nobody-at-all"),
        ("refresh dealer-17 --remote", "--remote needs the name of a stack"),
        ("check empty", "empty has no credentials yet"),
        ("correct empty --from-file -", "empty has no credentials yet"),
        ("token dealer-17", "dealer-17 has no token yet"),
        ("token strange", "What is published for strange is not a token of this program"),
        ("add other --from-file not-there.json", "Cannot read not-there.json: No such file"),
        ("add other --from-file latin.json", "In latin.json, line 1: no UTF-8; save it as such."),
        (
            "add other --provider autovit.ro",
            "Not given: grant_type or grant_parameters, client_id, client_secret",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    operator: Operator,
    cloud: EmbeddedCloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    sentence: str,
) -> None:
    client = cloud.client()
    client.create_secret(Name="oauth/credentials/dealer-17", SecretString="{}")
    client.create_secret(Name="oauth/credentials/empty")
    client.create_secret(Name="oauth/tokens/strange", SecretString="made-up-no-json")
    (tmp_path / "latin.json").write_bytes(b'{"scope": "\xe9"}')
    monkeypatch.chdir(tmp_path)
    before = everything(cloud)
    refused = operator.run(line, stdin="{}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert sentence in refused.stderr
    assert everything(cloud) == before


def test_check_tells_what_the_function_has_met_though_nothing_is_found_here(
    operator: Operator,
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.schedule.sweep()
    operator.clock.advance(HOUR / 2)
    operator.schedule.sweep()
    checked = operator.run("check dealer-17")
    assert checked.exit_code == 1
    assert "the credentials validate" in checked.stdout
    assert "What is stored validates, but the function's last attempt with it" in checked.stderr
    record = (
        "On record for the function: invalid_grant (action required), 2 times, first 30 min ago"
    )
    assert f"{record}; the next attempt is in " in checked.stderr
    assert "token-refresher correct dealer-17" in checked.stderr
    assert "On record" not in operator.run("check dealer-17 --try --yes").stderr
    operator.run("correct dealer-17 --from-file -", stdin='{"password": "made-up-other"}')
    assert operator.run("check dealer-17").exit_code == 0


def test_check_calls_nobody_for_a_failure_that_may_pass(operator: Operator) -> None:
    operator.add("dealer-17")
    with operator.server.failing(unavailable()):
        operator.schedule.sweep()
    checked = operator.run("check dealer-17")
    assert checked.exit_code == 0
    assert "On record for the function: status_503 (transient)" in checked.stderr


def test_a_secret_with_an_empty_text_has_no_credentials_to_a_check_as_to_a_refresh(
    operator: Operator,
) -> None:
    unchecked: Any = boto3.client("secretsmanager", config=Config(parameter_validation=False))
    unchecked.create_secret(Name="oauth/credentials/empty", SecretString="")
    checked = operator.run("check empty")
    assert checked.exit_code == 3
    assert "empty has no credentials yet" in checked.stderr
    assert operator.tells("refresh empty")["accounts"][0]["reason"] == "awaiting credentials"


def test_a_trial_says_that_the_published_token_came_once_more(operator: Operator) -> None:
    operator.add("dealer-17", use_refresh_token=False)
    body = b'{"access_token": "made-up-token", "expires_in": 43200}'
    operator.server.answer_with(200, {"Content-Type": "application/json"}, body, times=None)
    operator.says("refresh dealer-17")
    operator.clock.advance(HOUR)
    told = operator.says("check dealer-17 --try --yes")
    assert "the endpoint handed out the published token once more" in told


def test_trying_credentials_asks_the_verify_url_too(operator: Operator) -> None:
    operator.add("dealer-17", verify_url=operator.server.resource_url)
    said = operator.says("check dealer-17 --try --yes")
    assert "verify_url accepts it; it was not published" in said


def test_trying_credentials_looks_for_what_they_publish(operator: Operator) -> None:
    operator.add("dealer-17", publish={"fields": ["instance_url"]})
    failed = operator.run("check dealer-17 --try --yes")
    assert (failed.exit_code, "publish.fields[0]" in failed.stderr) == (1, True)


def test_what_is_published_in_a_form_of_the_account_s_own_is_printed_whole(
    operator: Operator,
) -> None:
    operator.add("dealer-17", publish={"as": "Bearer {access_token}"})
    operator.says("refresh dealer-17")
    assert re.fullmatch(r"Bearer \w+\n", operator.says("token dealer-17"))


def test_an_account_without_a_token_has_no_history(operator: Operator) -> None:
    operator.add("dealer-17")
    assert operator.says("history dealer-17") == "no token in 3 d\n"


def test_a_wait_ends_with_the_first_token(operator: Operator) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.schedule.sweep()
    operator.waits += [lambda: None, operator.schedule.sweep]
    right = json.dumps({"password": PASSWORD})
    said = operator.says("correct dealer-17 --wait --from-file -", stdin=right)
    assert "dealer-17: published, expires in 11 h 59 min" in said


def test_a_wait_in_vain_ends_and_says_where_to_look(operator: Operator) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    right = json.dumps({"password": PASSWORD})
    started = operator.clock.now()
    ended = operator.run("correct dealer-17 --wait --within 3 --from-file -", stdin=right)
    assert ended.exit_code == 1
    assert "No sweep has served dealer-17 within 3 min. The credentials were" in ended.stderr
    assert timedelta(minutes=3) <= operator.clock.now() - started < timedelta(minutes=4)


def test_a_failure_that_may_pass_does_not_call_anybody(operator: Operator) -> None:
    operator.add("dealer-17")
    with operator.server.failing(unavailable()):
        operator.schedule.sweep()
    assert operator.run("status").exit_code == 0
    assert operator.tells("status")["accounts"][0]["state"] == "retrying"


def test_force_does_not_help_against_the_rate_limit_alone(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.says("refresh dealer-17 --force")
    held = operator.tells("refresh dealer-17 --force")["accounts"][0]
    assert (held["outcome"], held["reason"]) == ("not due", "rate limited")
    told = operator.run("refresh dealer-17 --force")
    assert told.exit_code == 1
    assert "is rate limited: another version now would be one too many, and --force" in told.stderr
    assert "The next attempt is in 40 min." in told.stderr


def test_credentials_that_wait_for_their_turn_say_for_how_long(operator: Operator) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.schedule.sweep()
    put = "correct dealer-17 --from-file -"
    first = operator.run(put, stdin='{"password": "made-up-wrong-again"}')
    assert "The next sweep tries them; or at once: token-refresher refresh dealer-17" in (
        first.stderr
    )
    operator.schedule.sweep()
    second = operator.run(put, stdin=json.dumps({"password": PASSWORD}))
    assert (
        "The new credentials are tried in 14 min, since the ones before were tried just now; "
        "or at once: " in second.stderr
    )
    assert "token-refresher refresh dealer-17 --force --region" in second.stderr
    waits = operator.tells("status")["accounts"][0]
    assert (waits["state"], waits["reason"], waits["error"]) == (
        *("retrying", "backing off"),
        "invalid_grant",
    )
    operator.clock.advance(timedelta(minutes=15))
    operator.schedule.sweep()
    assert operator.tells("status")["accounts"][0]["state"] == "fresh"


def test_credentials_that_force_does_not_help_are_said_to_wait(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.run("correct dealer-17 --scope read --from-file -", stdin="{}")
    operator.says("refresh dealer-17")
    third = operator.run("correct dealer-17 --scope write --from-file -", stdin="{}")
    assert re.search(
        r"The new credentials are tried in \d+ min, since another version now would be one too "
        r"many \(rate limited\); --force does not help\.$",
        third.stderr.strip(),
    )
    assert operator.run("refresh dealer-17 --force").exit_code == 1


def test_the_time_of_the_next_sweep_is_said_where_the_schedule_is_known(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17")
    variables = {"ALLOWED_TOKEN_HOSTS": operator.server.host, "SCHEDULE_MINUTES": "10"}
    deploy(cloud, "", FunctionName="tr", Environment={"Variables": variables})
    done = operator.run("correct dealer-17 --scope read --stack tr --from-file -", stdin="{}")
    assert (
        "The next sweep tries them, within 10 min (within seconds where Triggers=true); or at"
        in done.stderr
    )


def test_who_may_only_write_credentials_is_told_of_the_next_sweep(
    operator: Operator, relay: Relay
) -> None:
    operator.add("dealer-17")
    relay.illness = lambda name: (
        Instead(400, b'{"__type": "AccessDeniedException"}') if name == "DescribeSecret" else None
    )
    with operator.by_way_of(relay):
        done = operator.run("correct dealer-17 --scope read --from-file -", stdin="{}")
    assert done.exit_code == 0
    assert "The next sweep tries them" in done.stderr


def test_a_schedule_too_slow_for_an_account_s_tokens_is_told(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17", lifetime=timedelta(minutes=20), use_refresh_token=False)
    operator.says("refresh dealer-17")
    assert operator.run("status").exit_code == 0
    monkeypatch.setenv("SCHEDULE_MINUTES", "15")
    slow = operator.run("status")
    assert slow.exit_code == 1
    assert "token_lives_too_short" in slow.stdout
    assert "dealer-17: no sweep is in time for it" in slow.stdout


def test_a_token_that_was_handed_out_once_more_is_no_failure_and_says_when_it_is_asked_for(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    cached = {"access_token": "made-up", "token_type": "Bearer", "expires_in": 7200}
    operator.server.fail(
        Answers(200, (("Content-Type", "application/json"),), json.dumps(cached).encode())
    )
    operator.says("refresh dealer-17")
    operator.clock.advance(HOUR)
    again = operator.run("refresh dealer-17")
    assert again.exit_code == 0
    assert "dealer-17 got the published token once more. The next attempt is in 29 min." in (
        again.stderr
    )
    held = operator.run("refresh dealer-17 --force")
    assert held.exit_code == 1
    assert "once more; --force does not help. The next attempt is in 29 min." in held.stderr
    assert operator.tells("status")["accounts"][0]["state"] == "unchanged"


def test_a_refresh_token_without_a_response_says_when_it_is_sent_again(operator: Operator) -> None:
    refresh_only_account(operator, "crm")
    operator.schedule.sweep()
    operator.clock.advance(11 * HOUR)
    with operator.server.failing(LosesTheAnswer()):
        lost = operator.run("refresh crm --force")
    assert "connection_lost (transient)" in lost.stdout
    too_soon = operator.tells("refresh crm --force")["accounts"][0]
    again_at = datetime.fromisoformat(too_soon["retry_at"])
    assert timedelta(minutes=14) < again_at - operator.clock.now() <= timedelta(minutes=15)
    assert too_soon["detail"].endswith(f"it can be leased again from {again_at.isoformat()} on")
    operator.clock.advance(timedelta(minutes=16))
    held = operator.tells("refresh crm")["accounts"][0]
    assert held["error"] == "refresh_token_unanswered"
    # Half an hour before the published token ends.
    assert held["retry_at"] == "2026-11-24T12:30:00+00:00"
    assert f"or by force from {again_at.isoformat()} on" in held["detail"]
    assert operator.run("refresh crm").stderr.startswith("crm: it is sent again by itself; ")


def test_an_account_that_may_not_be_seen_is_not_said_to_be_none(
    operator: Operator, relay: Relay
) -> None:
    operator.add("dealer-17")
    calls = iter(range(9))
    relay.illness = lambda name: (
        Instead(400, b'{"__type": "AccessDeniedException"}')
        if name == "DescribeSecret" and next(calls) == 0
        else None
    )
    with operator.by_way_of(relay):
        ended = operator.run("refresh other dealer-17")
    assert ended.exit_code == 1
    assert "There is no account" not in ended.stderr
    assert "may not secretsmanager:DescribeSecret" in ended.stderr
    assert "published" in ended.stdout


def test_the_settings_of_a_stack_win_over_the_environment_and_the_prefix_over_both(
    operator: Operator, cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17")
    for prefix in ("team", "mine"):
        cloud.client().create_secret(Name=f"{prefix}/credentials/of-{prefix}")
    variables = {"SECRET_PREFIX": "team", "ALLOWED_TOKEN_HOSTS": "e.example"}
    deploy(cloud, "", FunctionName="tr", Environment={"Variables": variables})
    monkeypatch.setenv("SECRET_PREFIX", "nowhere")
    names = {
        options: [one["account"] for one in operator.tells(f"status {options}")["accounts"]]
        for options in ("", "--stack tr", "--stack tr --prefix mine", "--prefix oauth")
    }
    assert names == {
        "": [],
        "--stack tr": ["of-team"],
        "--stack tr --prefix mine": ["of-mine"],
        "--prefix oauth": ["dealer-17"],
    }
    refused = operator.run("check dealer-17 --stack tr --prefix oauth")
    assert "host_not_allowed" in refused.stderr
    assert refused.stderr.count("AllowedTokenHosts") == 1


def test_the_deployed_function_refreshes_where_it_is_asked_to(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    event = {"accounts": ["dealer-17", "dealer-18"], "force": True}
    parse_event(event)
    row = {
        "account": "dealer-17",
        "reason": "forced",
        "outcome": "failed",
        "expires_at": "2026-11-24T13:00:00+00:00",
        "seconds_until_expiry": 100,
        "failure_class": "action required",
        "error": "invalid_grant",
        "detail": "the token endpoint answered with the error invalid_grant",
        "retry_at": "2026-11-24T01:14:30+00:00",
    }
    answer = {"outcomes": {"fresh": 1, "failed": 1}, "accounts": [row]}
    deploy(cloud, function(answer, event), FunctionName="tr")
    done = operator.run("refresh dealer-17 dealer-18 --force --remote --stack tr")
    assert done.exit_code == 1
    rows = [re.split(r" {2,}", line) for line in done.stdout.splitlines()]
    assert rows[1][:3] == ["dealer-17", "failed", "forced"]
    assert rows[1][4] == "invalid_grant (action required)"
    assert rows[2][:3] == ["dealer-18", "not due", "fresh"]
    assert operator.server.requests == []


def test_a_function_that_fails_is_told_by_the_kind_of_its_error_alone(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    deploy(cloud, function({}, {}), FunctionName="tr")
    failed = operator.run("refresh dealer-17 --remote --stack tr")
    assert failed.exit_code == 1
    assert "The function tr failed with " in failed.stderr
    assert "aws logs tail /aws/lambda/tr" in failed.stderr
    assert "made-up" not in failed.output


def test_a_refresh_only_account_is_refreshed_and_never_tried(operator: Operator) -> None:
    refresh_only_account(operator, "crm")
    # To try it would be to spend it.
    refused = operator.run("check crm --try --yes")
    assert refused.exit_code == 3
    assert "would spend the refresh token" in refused.stderr
    assert operator.server.requests == []
    [refresh] = pasted(refused.stderr)
    with operator.server.failing(unavailable()):
        operator.schedule.sweep()
    # A lease apart, and no longer than the attempt waits.
    operator.clock.advance(HOUR / 3)
    operator.says(shlex.join(refresh[1:]))
    assert operator.tells("status")["accounts"][0]["state"] == "fresh"


def test_a_client_that_does_not_authenticate_is_told_as_that(operator: Operator) -> None:
    operator.add("dealer-17", client_secret=None, token_endpoint_auth_method="none")
    assert ", no client authentication; the credentials validate" in operator.says(
        "check dealer-17"
    )


def test_only_who_has_a_token_is_told_that_trying_may_end_it(operator: Operator) -> None:
    operator.add("dealer-17")
    said = "Some servers keep one live token for each client"
    assert said not in operator.run("check dealer-17 --try --yes").stderr
    operator.schedule.sweep()
    assert said in operator.run("check dealer-17 --try --yes").stderr


def test_refresh_tokens_that_the_function_ignores_are_not_stored(
    operator: Operator, cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRESH_TOKENS", "ignore")
    document = operator.document("crm", grant_type="refresh_token", refresh_token="made-up")
    refused = operator.run("add crm --from-file -", stdin=document)
    assert refused.exit_code == 3
    assert "REFRESH_TOKENS=use" in refused.stderr
    assert "so say the settings of this shell" in refused.stderr
    assert everything(cloud) == []


def test_the_history_is_read_to_its_last_page(operator: Operator, cloud: EmbeddedCloud) -> None:
    client = cloud.client()
    client.create_secret(Name="oauth/tokens/dealer-17")
    now = operator.clock.now()
    for hours in range(120):
        issued_at = now - hours * HOUR
        token = TokenVersion(issued_at, issued_at + 2 * HOUR, "0123456789ab", "abcdefabcdef")
        client.put_secret_value(
            SecretId="oauth/tokens/dealer-17", ClientRequestToken=str(token), SecretString="{}"
        )
    assert len(operator.tells("history dealer-17 --days 30")["tokens"]) == 120


@pytest.mark.parametrize("region", [None, ""])
def test_no_region_is_said_to_be_missing(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, region: str | None
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
        if region is not None:
            monkeypatch.setenv(name, region)
    assert "No AWS Region is named." in operator.run("status").stderr
    assert "region eu-west-1" in operator.run("status --region eu-west-1").stderr
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "region eu-west-1" in operator.run("status").stderr


def test_a_region_that_has_no_regions_name_is_told(operator: Operator) -> None:
    refused = operator.run("status --region eu_west_1")
    assert "That is no name of an AWS Region." in refused.stderr
    assert "--region" in refused.stderr


def test_an_empty_prefix_is_refused_and_writes_nowhere(operator: Operator) -> None:
    refused = operator.run("add dealer-18 --prefix '' --from-file -", stdin="{}")
    assert "--prefix is empty." in refused.stderr
    assert refused.exit_code == 3


def test_a_profile_of_the_aws_configuration_is_used(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "config"
    configuration.write_text(
        "[profile there]\nregion = eu-west-1\n"
        "aws_access_key_id = test\naws_secret_access_key = test\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "region eu-west-1" in operator.run("status --profile there").stderr
    assert "no such profile" in operator.run("status --profile elsewhere").stderr


def test_a_setting_that_is_out_of_bounds_is_named(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRESH_BEFORE_SECONDS", "1")
    refused = operator.run("status")
    assert refused.exit_code == 3
    assert "REFRESH_BEFORE_SECONDS takes a whole number" in refused.stderr


@pytest.mark.parametrize("name", ["'a b'", "''", "x" * 401, "oauth/credentials:x", "é"])
def test_a_name_that_the_function_would_not_take_is_refused(operator: Operator, name: str) -> None:
    refused = operator.run(f"add {name} --from-file -", stdin="{}")
    assert refused.exit_code == 2


def test_a_journal_that_cannot_be_written_is_not_tried_for_ever(operator: Operator) -> None:
    refresh_only_account(operator, "crm")
    version = operator.secrets.describe_secret(SecretId="oauth/credentials/crm")
    # A secret has twenty stages at most: the lease's is the last one, the journal's one more.
    for number in range(18):
        operator.secrets.update_secret_version_stage(
            SecretId="oauth/credentials/crm",
            VersionStage=f"stage-{number}",
            MoveToVersionId=next(iter(version["VersionIdsToStages"])),
        )
    started = operator.clock.now()
    ended = operator.run("refresh crm")
    assert ended.exit_code == 1
    assert "journal_not_written" in ended.stdout
    waited = operator.clock.now() - started
    assert timedelta(seconds=30) < waited < timedelta(minutes=2)
    assert "an account that has only a refresh token needs a new one" in ended.stderr


def test_a_refresh_of_no_account_at_all_has_done_nothing(operator: Operator) -> None:
    operator.add("dealer-17")
    assert operator.run("refresh nobody no-one").exit_code == 3


def test_an_account_that_waits_after_a_failure_is_not_refreshed_and_that_is_told(
    operator: Operator,
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.schedule.sweep()
    again = operator.run("refresh dealer-17")
    assert again.exit_code == 1
    assert (
        "dealer-17 failed before, and --force asks now. The next attempt is in 14 min."
        in again.stderr
    )
    assert "not recorded" not in again.stderr


def test_an_account_without_credentials_is_not_refreshed_and_that_is_told(
    operator: Operator,
) -> None:
    operator.secrets.create_secret(Name="oauth/credentials/awaiting")
    operator.secrets.create_secret(Name="oauth/tokens/orphaned")
    awaiting, orphaned = operator.run("refresh awaiting"), operator.run("refresh orphaned")
    assert (awaiting.exit_code, orphaned.exit_code) == (1, 1)
    assert "awaiting has no credentials yet: token-refresher add" in awaiting.stderr
    assert (
        "orphaned has no credentials any more; where it was removed: token-refresher restore"
        in orphaned.stderr
    )


def test_a_fresh_account_is_no_failure(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    fresh = operator.run("refresh dealer-17")
    assert fresh.exit_code == 0
    assert "dealer-17 is not due; --force asks all the same" in fresh.stderr


def test_a_token_that_the_verify_url_refuses_is_a_failed_trial(operator: Operator) -> None:
    operator.add("dealer-17", verify_url=operator.server.resource_url + "?of=another")
    refusal = Answers(401, (("Content-Type", "application/json"),), b"{}")
    operator.server.fail(refusal, at=Endpoint.RESOURCE)
    tried = operator.run("check dealer-17 --try --yes")
    assert tried.exit_code == 1
    assert "dealer-17: token_refused (invalid response)" in tried.stderr


def test_a_token_secret_that_is_about_to_be_deleted_is_seen_by_its_account_s_name(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.secrets.delete_secret(SecretId="oauth/tokens/dealer-17")
    seen = operator.run("status dealer-17")
    assert seen.exit_code == 1
    assert "scheduled_for_deletion" in seen.stdout
    assert "restore the token secret" in seen.stdout


@pytest.mark.parametrize(
    ("deleted", "line"),
    [
        ("oauth/tokens/dealer-17", "token dealer-17"),
        ("oauth/credentials/dealer-17", "correct dealer-17 --from-file -"),
        ("oauth/credentials/dealer-17", "correct dealer-17 --replace --from-file -"),
    ],
)
def test_what_is_about_to_be_deleted_is_said_to_be_restored(
    operator: Operator, deleted: str, line: str
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    value = operator.secrets.get_secret_value(SecretId="oauth/credentials/dealer-17")
    operator.secrets.delete_secret(SecretId=deleted)
    refused = operator.run(line, stdin=value["SecretString"])
    assert refused.exit_code == 3
    assert f"{deleted} is scheduled for deletion." in refused.stderr
    assert "Restore it: token-refresher restore dealer-17" in refused.stderr


def test_a_named_account_is_seen_though_the_listing_lags(operator: Operator, relay: Relay) -> None:
    operator.add("dealer-17")
    empty = Instead(200, b'{"SecretList": []}')
    relay.illness = lambda operation: empty if operation == "ListSecrets" else None
    with operator.by_way_of(relay):
        assert operator.tells("status")["accounts"] == []
        assert operator.tells("status dealer-17")["accounts"][0]["reason"] == "no token yet"


def test_a_wait_outlasts_calls_that_are_throttled(operator: Operator, relay: Relay) -> None:
    operator.add("dealer-17", password="made-up-wrong")

    def fall_ill() -> None:
        relay.illness = lambda _: THROTTLED

    def recover() -> None:
        relay.illness = lambda _: None
        operator.says("refresh dealer-17")

    operator.waits += [fall_ill, recover]
    with operator.by_way_of(relay):
        line = "correct dealer-17 --wait --from-file -"
        waited = operator.run(line, stdin=json.dumps({"password": PASSWORD}))
    assert waited.exit_code == 0
    assert "AWS is throttling this account's calls." in waited.stderr
    assert "dealer-17: published, expires in 11 h 59 min" in waited.stdout


def test_a_function_that_does_not_answer_may_have_done_it(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay
) -> None:
    deploy(cloud, function({}, {}), FunctionName="tr")
    relay.illness = lambda path: LOST if path.endswith("/invocations") else None
    with operator.by_way_of(relay):
        lost = operator.run("refresh dealer-17 --remote --stack tr")
    assert lost.exit_code == 1
    assert "did not answer; it may have done it all the same" in lost.stderr


def test_settings_that_lambda_cannot_decrypt_are_not_taken_for_the_defaults(
    operator: Operator, relay: Relay
) -> None:
    error = {"ErrorCode": "KMSAccessDeniedException", "Message": "made-up-text"}
    told = Instead(200, json.dumps({"Environment": {"Error": error}}).encode())
    relay.illness = lambda path: told if path.endswith("/configuration") else None
    with operator.by_way_of(relay):
        refused = operator.run("status --stack tr")
    assert refused.exit_code == 3
    assert "does not tell the settings of tr: KMSAccessDeniedException." in refused.stderr
    assert "made-up" not in refused.output


def test_an_account_that_the_function_does_not_tell_of_is_not_called_fresh(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    event = {"accounts": ["dealer-17"], "force": False}
    answer = {"outcomes": {"fresh": 0}, "accounts": []}
    deploy(cloud, function(answer, event), FunctionName="tr")
    done = operator.run("refresh dealer-17 --remote --stack tr")
    assert done.exit_code == 1
    assert "fresh" not in done.stdout
    assert "dealer-17 is not in the function's answer" in done.stderr


def test_the_function_is_not_asked_for_another_prefix(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    event = {"accounts": ["dealer-17"], "force": False}
    deploy(cloud, function({"outcomes": {"fresh": 1}}, event), FunctionName="tr")
    refused = operator.run("refresh dealer-17 --remote --stack tr --prefix other")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "has another prefix than --prefix" in refused.stderr
    operator.says("refresh dealer-17 --remote --stack tr --prefix oauth")


def test_the_function_is_asked_for_no_more_names_than_it_takes(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    names = [f"dealer-{number}" for number in range(101)]
    parse_event({"accounts": names[:100]})
    with pytest.raises(EventError):
        parse_event({"accounts": names})
    event = {"accounts": names[:100], "force": False}
    deploy(cloud, function({"outcomes": {"fresh": 100}}, event), FunctionName="tr")
    operator.says(f"refresh {' '.join(names[:100])} --remote --stack tr")
    refused = operator.run(f"refresh {' '.join(names)} --remote --stack tr")
    assert refused.exit_code == 3
    assert "takes 100 names at once, and 101 are given" in refused.stderr


def test_credentials_that_are_an_empty_text_are_corrected(operator: Operator, relay: Relay) -> None:
    operator.add("dealer-17")
    fields = operator.secrets.get_secret_value(SecretId="oauth/credentials/dealer-17")
    # boto3 writes none, so it is told in the cloud's place.
    content = {"VersionId": fields["VersionId"], "SecretString": ""}
    empty = Instead(200, json.dumps(content).encode())
    relay.illness = lambda operation: empty if operation == "GetSecretValue" else None
    with operator.by_way_of(relay):
        refused = operator.run("add dealer-17 --from-file -", stdin=fields["SecretString"])
        assert "token-refresher correct dealer-17" in refused.stderr
        operator.says("correct dealer-17 --from-file -", stdin=fields["SecretString"])
    operator.says("refresh dealer-17")


def test_a_file_may_begin_with_a_byte_order_mark(operator: Operator, tmp_path: Path) -> None:
    operator.add("dealer-17")
    file = tmp_path / "fields.json"
    file.write_text('{"scope": "read"}', encoding="utf-8-sig")
    operator.says(f"correct dealer-17 --from-file {file}")
    operator.says("correct dealer-17 --from-file -", stdin='\ufeff{"scope": "write"}')


def tags(operator: Operator, name: str) -> list[Any]:
    """All tags of an account's token secret."""
    described = operator.secrets.describe_secret(SecretId=f"oauth/tokens/{name}")
    return sorted(described.get("Tags", []), key=lambda tag: tag["Key"])


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        pytest.param(
            {"SSL_CERT_FILE": os.devnull},
            *("unknown_authority", "SSL_CERT_FILE names /dev/null, which has no certificate"),
            id="a trust store without the server's authority",
        ),
        pytest.param(
            {"ALLOWED_TOKEN_HOSTS": "elsewhere.example"},
            *("host_not_allowed", "so say the settings of this shell"),
            id="settings that differ from the function's",
        ),
        pytest.param({}, *("", "is not recorded"), id="a server that refuses its address"),
    ],
)
@pytest.mark.parametrize("recorded", ["nothing", "a failure of the function"])
def test_what_is_wrong_on_a_person_s_machine_is_told_and_not_recorded(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    code: str,
    told: str,
    recorded: str,
) -> None:
    operator.add("dealer-17", use_refresh_token=False)
    operator.schedule.sweep()
    if recorded != "nothing":
        operator.clock.advance(11 * HOUR)
        with operator.server.failing(unavailable()):
            operator.schedule.sweep()
    before = tags(operator, "dealer-17")
    assert bool(before) == (recorded != "nothing")
    with monkeypatch.context() as shell:
        for name, value in variables.items():
            shell.setenv(name, value)
        if not variables:
            refusal = Answers(403, (("Content-Type", "application/json"),), b"{}")
            operator.server.fail(refusal, times=1)
        failed = operator.run("refresh dealer-17 --force")
    assert failed.exit_code == 1
    assert code in failed.stdout
    assert told in failed.stderr
    assert "A failure on this machine is not recorded" in failed.stderr
    assert tags(operator, "dealer-17") == before
    seen = operator.tells("status dealer-17")["accounts"][0]
    assert seen["state"] == ("fresh" if recorded == "nothing" else "retrying")


def test_a_failure_on_a_person_s_machine_says_how_to_let_the_function_try(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    variables = {"ALLOWED_TOKEN_HOSTS": operator.server.host}
    event = {"accounts": ["dealer-17"], "force": True}
    deploy(
        cloud,
        function({"outcomes": {"fresh": 1}}, event),
        FunctionName="tr",
        Environment={"Variables": variables},
    )
    failed = operator.run("refresh dealer-17 --force --stack tr --prefix oauth")
    line = "token-refresher refresh dealer-17 --force --remote --region eu-west-1 --prefix oauth"
    assert f"To let the function try: {line} --stack tr\n" in failed.stderr
    operator.says(f"{line.removeprefix('token-refresher ')} --stack tr")
    assert "add --remote, and --stack" in operator.run("refresh dealer-17 --force").stderr


@pytest.mark.parametrize(
    "line",
    [
        "add new --from-file new.json",
        "add dealer-17 --from-file new.json",
        "add new --wait --within 1 --from-file new.json --prefix team",
        "correct dealer-17 --scope read --from-file new.json",
        "check dealer-17 --try --yes",
        "check empty",
        "refresh dealer-17 --force",
        "refresh empty",
        "status dealer-18",
        "status",
        "token dealer-17",
        "token strange",
        "history nobody",
    ],
)
def test_every_next_command_can_be_pasted_and_works_where_this_one_did(
    operator: Operator,
    cloud: EmbeddedCloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
) -> None:
    variables = {"ALLOWED_TOKEN_HOSTS": operator.server.host, "SECRET_PREFIX": "oauth"}
    deploy(cloud, "", FunctionName="tr", Environment={"Variables": variables})
    operator.add("dealer-17", password="made-up-wrong")
    operator.add("dealer-18", password="made-up-wrong")
    operator.schedule.sweep()
    operator.secrets.create_secret(Name="oauth/credentials/empty")
    operator.secrets.create_secret(Name="oauth/tokens/strange", SecretString="made-up-no-json")
    (tmp_path / "new.json").write_text(operator.document("new"))
    profile = ['[profile "my own"]', "aws_access_key_id = test", "aws_secret_access_key = test"]
    (tmp_path / "config").write_text("\n".join(profile))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    # The options say another Region than the environment, which names one without accounts.
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    where = "--profile 'my own' --region eu-west-1 --stack tr"
    commands = pasted(operator.run(f"{line} {where}").stderr) or pasted(operator.printed[-1])
    assert commands
    for words in commands:
        ours = words[0] == "token-refresher"
        given = parsed(words) if ours else dict(pairwise(words))
        names = ("profile", "region") if not ours else ("profile", "region", "stack")
        told = [given[name if ours else f"--{name}"] for name in names]
        assert told == ["my own", "eu-west-1", "tr"][: len(names)]
        assert given.get("prefix") == ("team" if "--prefix" in line else None)
        if ours:
            done = operator.run(shlex.join(words[1:]), stdin="")
            assert done.exit_code != 2
            assert "There is no account dealer" not in done.stderr


def test_the_stack_has_a_default_from_the_environment(
    operator: Operator, cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17")
    variables = {"SECRET_PREFIX": "team", "ALLOWED_TOKEN_HOSTS": "e.example"}
    deploy(cloud, "", FunctionName="tr", Environment={"Variables": variables})
    monkeypatch.setenv("TOKEN_REFRESHER_STACK", "tr")
    assert "prefix team, stack tr" in operator.run("status").stderr
    assert "prefix oauth, endpoint" in operator.says("status --stack ''")
    monkeypatch.setenv("TOKEN_REFRESHER_PREFIX", "oauth")
    assert "prefix oauth, stack tr" in operator.says("status")


@pytest.mark.parametrize("command", ["status", "plan"])
def test_a_list_says_where_it_looked_and_an_empty_one_is_no_success(
    operator: Operator, command: str
) -> None:
    operator.add("dealer-17")
    place = "AWS account 000000000000, region eu-west-1, prefix oauth, endpoint http://127.0.0.1:"
    assert f"Looked in: {place}" in operator.says(command)
    for elsewhere, named in (("--prefix team", "team"), ("--region eu-north-1", "eu-north-1")):
        empty = operator.run(f"{command} {elsewhere}")
        assert (empty.exit_code, empty.stdout) == (3, "")
        assert named in empty.stderr
        assert "another --region, --prefix or --profile" in empty.stderr
        told = operator.run(f"{command} {elsewhere} --json")
        assert (told.exit_code, json.loads(told.stdout)["accounts"]) == (3, [])
        assert named in json.loads(told.stdout)["looked_in"].values()


def test_a_list_is_shown_where_aws_does_not_tell_the_account(
    operator: Operator, relay: Relay
) -> None:
    operator.add("dealer-17")
    relay.illness = lambda operation: LOST if operation in {"/", ""} else None
    with operator.by_way_of(relay):
        assert "Looked in: region eu-west-1, prefix oauth" in operator.says("status")


def test_no_secret_is_in_anything_that_was_printed(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.add("dealer-18")
    lines = (
        *("refresh dealer-17 dealer-18", "refresh dealer-17 dealer-18 --force --json"),
        *("status", "status --json", "plan --json", "history dealer-18 --json"),
        *("check dealer-17 --try --yes", "check dealer-18 --try --yes"),
        *("add dealer-18 --from-file -", "correct dealer-18 --from-file -", "status --prefix x/"),
    )
    for line in lines:
        operator.run(line, stdin=json.dumps({"password": "made-up-typed", "pasword": "made-up"}))
    client = cloud.client()
    marks = {PASSWORD, SECRET, "made-up-typed", "made-up-wrong", "made-up"}
    for secret in client.list_secrets()["SecretList"]:
        versions = client.list_secret_version_ids(SecretId=secret["Name"], IncludeDeprecated=True)
        for version in versions["Versions"]:
            value = client.get_secret_value(SecretId=secret["Name"], VersionId=version["VersionId"])
            content = json.loads(value["SecretString"])
            marks |= {content[key] for key in ("access_token", "refresh_token") if key in content}
    printed = "".join(operator.printed)
    assert len(marks) > 5
    assert {mark for mark in marks if mark in printed} == set()


def test_an_account_that_retries_without_a_live_token_says_what_to_do(operator: Operator) -> None:
    for name in ("dealer-17", "dealer-18"):
        operator.add(name)
    with operator.server.failing(unavailable()):
        operator.schedule.sweep()
    seen = operator.run("status")
    assert seen.exit_code == 0
    assert "2 accounts, none need action, 2 retrying" in seen.stdout
    assert seen.stdout.count("dealer-17 and 1 more: it is tried again by itself; if it stays") == 1


def test_what_expired_without_an_attempt_leads_to_doctor(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.clock.advance(timedelta(hours=13))
    told = operator.run("status").stdout
    assert "no sweep has tried it" in told
    assert ": token-refresher doctor dealer-17 --region" in told


def test_a_token_secret_that_is_to_be_deleted_needs_action_in_the_whole_list_too(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    operator.secrets.delete_secret(SecretId="oauth/tokens/dealer-17")
    [one] = json.loads(operator.run("status --json").stdout)["accounts"]
    assert (one["needs_action"], one["error"]) == (True, "scheduled_for_deletion")
    operator.secrets.delete_secret(SecretId="oauth/credentials/dealer-17")
    assert operator.run("status").exit_code == 3


def test_an_account_that_is_not_due_says_when_it_is(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.says("refresh dealer-17")
    [one] = operator.tells("status")["accounts"]
    [row] = operator.tells("refresh dealer-17")["accounts"]
    assert row["retry_at"] == one["next_attempt_at"] is not None


@pytest.mark.parametrize(
    "line", ["correct dealr-17 --from-file -", "check dealr-17", "token dealr-17"]
)
def test_whatever_command_names_an_account_that_is_not_there_says_which_is_near(
    operator: Operator, line: str
) -> None:
    operator.add("dealer-17")
    refused = operator.run(line, stdin="{}")
    assert (refused.exit_code, "Did you mean dealer-17?" in refused.stderr) == (3, True)


@pytest.mark.parametrize("line", [["--help"], ["refresh", "--help"]])
def test_a_flag_takes_no_value_and_the_help_shows_none(line: list[str]) -> None:
    told = CliRunner().invoke(app, line).stdout
    assert ("--help" in told, "<bool>" in told) == (True, False)


def test_the_key_of_a_secret_that_could_not_be_created_is_named(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=key)
    refused = operator.run(
        f"add dealer-17 --from-file - --kms-key-id {key}", stdin=operator.document("dealer-17")
    )
    assert refused.exit_code == 3
    assert "cannot be used: it is disabled" in refused.stderr
    assert f"aws kms describe-key --key-id {key} --region eu-west-1" in refused.stderr
