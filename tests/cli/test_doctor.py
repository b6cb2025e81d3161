"""`doctor` names what is wrong first, says what to do about it, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme

from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.authorization_server.failures import LosesTheAnswer, unavailable
from local.authorization_server.https import Door, HttpsServer, Reply
from local.embedded_cloud import ROOT
from tests.cli.deployed import STACK, Deployed
from tests.cli.operator import BY_PASSWORD, EMAIL, PASSWORD, SECRET, pasted
from tests.cli.relay import LOST, Instead
from tests.cli.test_permissions import STATEMENTS, UNSEEN
from tests.integration.conftest import fill
from tests.integration.test_emulator_functions import deploy
from tests.integration.test_emulator_iam import ACCOUNT, allow, create_role, policy
from tests.unit.loopback import nobody_listens
from token_refresher_cli.deployment_steps import ALARM_NAMES
from token_refresher_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

STEPS: Final = [
    *("AWS identity", "function", "credentials secret", "encryption", "credentials", "host"),
    *("DNS", "TLS", "client and grant", "lease", "permissions", "schedule", "throttling"),
    *("last sweep", "alarms", "token"),
]
FIELDS: Final = {
    "token_endpoint": "https://e.example/t",
    "grant_type": "client_credentials",
    "client_id": "dealer-17",
    "client_secret": "made-up",
}
DEALER: Final = f"doctor dealer-17 --stack {STACK}"


@pytest.fixture
def deployed(cloud: EmbeddedCloud, operator: Operator) -> Deployed:
    return Deployed.with_parameters(cloud, operator.schedule)


def found(operator: Operator, line: str = DEALER) -> tuple[str, str, str]:
    """Name the step that a doctor ends with, what it has found, and what it advises."""
    told = operator.tells(line)["steps"][-1]
    assert told["verdict"] == "wrong", told
    return told["step"], told["found"], told["fix"]


def state_of(operator: Operator) -> Any:  # noqa: ANN401
    """All that may change of the secrets: their versions, stages, tags."""
    told = operator.secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return [
        (one["Name"], one.get("SecretVersionsToStages"), one.get("Tags"), one.get("DeletedDate"))
        for one in told
    ]


def put(operator: Operator, text: str) -> None:
    operator.secrets.put_secret_value(SecretId="oauth/credentials/dealer-17", SecretString=text)


def test_whoever_is_well_is_told_so_step_by_step(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    deployed.set_alarm("action required", "AccountsNeedingAction", namespace="TokenRefresher")
    operator.secrets.get_secret_value(SecretId="oauth/tokens/dealer-17")
    told = operator.tells(DEALER)
    assert [step["step"] for step in told["steps"]] == STEPS
    assert {step["verdict"] for step in told["steps"]} == {"ok"}
    by_step = {step["step"]: step["found"] for step in told["steps"]}
    assert by_step["TLS"].endswith("is believed, seen from this machine")
    assert by_step["alarms"].startswith("1 is on: “action required”; about accounts alone")
    assert by_step["token"].startswith("it lives for 12 h; last read on 20")
    assert operator.says(DEALER).endswith("nothing is wrong, as far as it could be seen\n")


def test_it_changes_nothing_asks_no_server_and_calls_nothing_that_writes(
    operator: Operator, deployed: Deployed, relay: Relay
) -> None:
    operator.add("dealer-17")
    operator.add("dealer-18", password="made-up-wrong")
    deployed.sweep()
    before, asked = state_of(operator), len(operator.server.requests)
    with operator.by_way_of(relay):
        operator.run(DEALER)
        operator.run(f"doctor dealer-18 --stack {STACK}")
        operator.run(f"doctor --stack {STACK}")
    assert state_of(operator) == before
    assert len(operator.server.requests) == asked
    calls = set(relay.calls)
    assert {"DescribeSecret", "GetSecretValue", "DescribeAlarms", "GetCallerIdentity"} <= calls
    reads = ("Describe", "Get", "List", "GET ")
    assert [call for call in calls if not call.startswith(reads)] == []


def test_a_disabled_schedule_is_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.disable_schedule()
    step, said, fix = found(operator)
    assert (step, "disabled" in said) == ("schedule", True)
    # What it advises is pasted.
    subprocess.run(  # noqa: S603
        ["bash", "-euo", "pipefail", "-c", fix.removeprefix("Enable it: ")],  # noqa: S607
        env={**os.environ, "PATH": f"{ROOT / '.venv-deploy' / 'bin'}:{os.defpath}"},  # noqa: TID251
        check=True,
        capture_output=True,
    )
    told = {step["step"]: step["verdict"] for step in operator.tells(DEALER)["steps"]}
    assert told["schedule"] == "ok"


def test_a_schedule_that_is_gone_is_found_and_made_again_by_what_is_pasted(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    scheduler = deployed.cloud.client("scheduler")
    name = deployed.name_of("TokenRefresherFunctionEveryTick")
    before = scheduler.get_schedule(Name=name)
    scheduler.delete_schedule(Name=name)
    step, said, fix = found(operator)
    assert (step, "is gone" in said) == ("schedule", True)
    [command] = pasted(fix)
    subprocess.run(  # noqa: S603
        command,
        env={**os.environ, "PATH": f"{ROOT / '.venv-deploy' / 'bin'}:{os.defpath}"},  # noqa: TID251
        check=True,
        capture_output=True,
    )
    after = scheduler.get_schedule(Name=name)
    for what in ("FlexibleTimeWindow", "ScheduleExpression", "State", "Target"):
        assert after[what] == before[what]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ScheduleExpression": "rate(1 days)"}, "it says rate(1 days)"),
        ({"ScheduleExpression": "at(2026-01-01T00:00:00)"}, "it says at("),
        ({"EndDate": datetime(2026, 1, 1, tzinfo=UTC)}, "it has ended "),
        ({"Target": {"Arn": "arn:aws:sqs:eu-west-1:000000000000:q"}}, "it starts something else"),
    ],
)
def test_a_schedule_that_somebody_has_changed_is_found_and_put_back(
    operator: Operator, deployed: Deployed, change: dict[str, Any], told: str
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    scheduler = deployed.cloud.client("scheduler")
    name = deployed.name_of("TokenRefresherFunctionEveryTick")
    before = scheduler.get_schedule(Name=name)
    kept = {each: before[each] for each in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    changed = {"Target": {**before["Target"], **change.get("Target", {})}}
    scheduler.update_schedule(Name=name, **{**kept, **change, **changed})
    step, said, fix = found(operator)
    assert (step, told in said) == ("schedule", True)
    subprocess.run(  # noqa: S603
        ["bash", "-euo", "pipefail", "-c", fix.removeprefix("Put it back: ")],  # noqa: S607
        env={**os.environ, "PATH": f"{ROOT / '.venv-deploy' / 'bin'}:{os.defpath}"},  # noqa: TID251
        check=True,
        capture_output=True,
    )
    after = scheduler.get_schedule(Name=name)
    assert {each: after[each] for each in kept} == kept
    assert operator.run(DEALER).exit_code == 0


def test_a_schedule_that_sweeps_more_often_than_it_was_is_not_wrong(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    scheduler = deployed.cloud.client("scheduler")
    name = deployed.name_of("TokenRefresherFunctionEveryTick")
    before = scheduler.get_schedule(Name=name)
    kept = {each: before[each] for each in ("FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(Name=name, ScheduleExpression="rate(2 minutes)", **kept)
    assert operator.run(DEALER).exit_code == 0


def test_a_function_that_is_never_started_is_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.cloud.client("lambda").put_function_concurrency(
        FunctionName=STACK, ReservedConcurrentExecutions=0
    )
    step, said, fix = found(operator)
    assert (step, "concurrency of 0" in said) == ("throttling", True)
    assert "put-function-concurrency" in fix


def test_sweeps_that_have_stopped_are_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.clock.set(deployed.scheduled_since() + timedelta(hours=1))
    step, said, fix = found(operator)
    assert (step, "the last one was completed" in said) == ("last sweep", True)
    assert "aws logs tail /aws/lambda/token-refresher" in fix


def test_a_stack_that_is_new_has_not_swept_yet(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    operator.clock.set(deployed.scheduled_since() + timedelta(minutes=2))
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["last sweep"]["verdict"] == "not known"
    assert (
        "no sweep has run yet: the schedule is new, and begins within 5 min"
        in told["last sweep"]["found"]
    )
    assert told["token"]["found"] == "none was published yet"


@pytest.mark.parametrize(
    ("state", "command"),
    [("Disabled", "enable-key"), ("PendingDeletion", "cancel-key-deletion")],
)
def test_a_kms_key_that_cannot_be_used_is_found_before_what_it_brings_about(
    operator: Operator, deployed: Deployed, state: str, command: str
) -> None:
    kms = deployed.cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    operator.secrets.create_secret(
        Name="oauth/credentials/dealer-17",
        SecretString=operator.document("dealer-17"),
        KmsKeyId=key,
    )
    if state == "PendingDeletion":
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    else:
        kms.disable_key(KeyId=key)
    step, said, fix = found(operator)
    assert (step, said.endswith(f" is {state}")) == ("encryption", True)
    assert f"aws kms {command} --key-id {key}" in fix


def test_the_kms_key_of_a_token_secret_to_come_is_looked_at(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    Deployed.with_parameters(cloud, operator.schedule, TokenSecretKmsKeyArn=key)
    operator.add("dealer-17")
    kms.disable_key(KeyId=key)
    step, said, _ = found(operator)
    assert (step, said) == ("encryption", "the KMS key of oauth/tokens/dealer-17 is Disabled")


def test_a_kms_key_that_the_stack_does_not_name_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    key = deployed.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    text = operator.document("dealer-17")
    operator.secrets.create_secret(
        Name="oauth/credentials/dealer-17", SecretString=text, KmsKeyId=key
    )
    step, _, fix = found(operator)
    assert step == "encryption"
    assert fix.endswith(
        f"make deploy AWS_REGION=eu-west-1 STACK={STACK} PARAMETERS=CredentialsKmsKeyArn={key}"
    )
    # Whoever has succeeded may use it, by whatever policy.
    operator.server.register_client("dealer-17", secret=SECRET)
    deployed.sweep()
    assert operator.run(DEALER).exit_code == 0


@pytest.mark.usefixtures("deployed")
def test_a_credentials_secret_that_is_to_be_deleted_is_found(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.secrets.delete_secret(SecretId="oauth/credentials/dealer-17", RecoveryWindowInDays=7)
    step, said, fix = found(operator)
    assert (step, "scheduled for deletion" in said) == ("credentials secret", True)
    assert "Restore it: token-refresher restore dealer-17" in fix


def test_a_token_secret_that_is_to_be_deleted_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.secrets.delete_secret(SecretId="oauth/tokens/dealer-17", RecoveryWindowInDays=7)
    step, said, fix = found(operator)
    assert (step, "scheduled for deletion" in said) == ("token", True)
    assert "Restore it: token-refresher restore dealer-17" in fix


@pytest.mark.usefixtures("deployed")
def test_credentials_that_are_gone_awaited_or_unknown_are_told_apart(operator: Operator) -> None:
    operator.secrets.create_secret(Name="oauth/tokens/orphaned", SecretString="{}")
    operator.secrets.create_secret(Name="oauth/credentials/awaited")
    _, said, fix = found(operator, "doctor orphaned")
    assert (said, "add orphaned" in fix) == ("oauth/credentials/orphaned is gone", True)
    _, said, fix = found(operator, "doctor awaited")
    assert (said.endswith("has no value yet"), "add awaited" in fix) == (True, True)
    unknown = operator.run("doctor awaitet")
    assert (unknown.exit_code, "Did you mean awaited" in unknown.stdout) == (3, True)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"client_id": "dealer-17",}', "are not JSON"),
        (json.dumps({**FIELDS, "scop": "made-up"}), "`scope`"),
    ],
)
def test_credentials_that_do_not_validate_are_found(
    operator: Operator, text: str, said: str
) -> None:
    operator.add("dealer-17")
    put(operator, text)
    step, told, fix = found(operator)
    assert (step, "made-up" in told) == ("credentials", False)
    assert said in told
    assert "token-refresher correct dealer-17" in fix


@pytest.mark.usefixtures("deployed")
def test_credentials_that_are_binary_are_found(operator: Operator) -> None:
    operator.secrets.create_secret(Name="oauth/credentials/dealer-17", SecretBinary=b"{}")
    step, told, _ = found(operator)
    assert (step, "binary" in told) == ("credentials", True)


@pytest.mark.usefixtures("deployed")
def test_a_host_that_the_function_does_not_allow_is_found(operator: Operator) -> None:
    operator.add("dealer-17")
    put(operator, operator.document("dealer-17", token_endpoint="https://login.example/token"))
    step, said, fix = found(operator)
    assert (step, "login.example" in said) == ("host", True)
    assert (
        f"or run in a clone of this project: make deploy AWS_REGION=eu-west-1 STACK={STACK} "
        'PARAMETERS="Architecture=arm64 ' in fix
    )


def test_a_host_that_a_shell_s_settings_do_not_allow_is_not_wrong_for_that(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17")
    operator.schedule.sweep()
    monkeypatch.setenv("ALLOWED_TOKEN_HOSTS", "")
    told = {step["step"]: step for step in operator.tells("doctor dealer-17")["steps"]}
    for step in ("host", "TLS"):
        assert told[step]["verdict"] == "not known"
        assert (
            "the settings of this shell; with --stack the function's count" in (told[step]["found"])
        )
    assert told["token"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (socket.EAI_NONAME, "nowhere.invalid is not found"),
        (socket.EAI_AGAIN, "no name server tells where nowhere.invalid is"),
    ],
)
def test_a_host_that_is_not_found_is_told_as_seen_from_here(
    operator: Operator,
    cloud: EmbeddedCloud,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    told: str,
) -> None:
    found_by = socket.getaddrinfo

    def look_up(host: Any, *rest: Any) -> Any:  # noqa: ANN401
        if host == "nowhere.invalid":
            raise socket.gaierror(error, "made-up")
        return found_by(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    Deployed.with_parameters(cloud, operator.schedule, AllowedTokenHosts="nowhere.invalid")
    operator.add("dealer-17")
    nowhere = "https://nowhere.invalid/token"
    put(operator, operator.document("dealer-17", token_endpoint=nowhere))
    step, said, fix = found(operator)
    assert (step, said) == ("DNS", f"{told}, seen from this machine")
    assert fix.startswith("If this machine is not all that is wrong")


def test_what_the_function_has_reached_is_not_wrong_for_this_machine_s_trust_store(
    operator: Operator, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    with Authority() as other:
        monkeypatch.setenv("SSL_CERT_FILE", str(other.certificate_file))
        told = operator.tells(DEALER)
        by_step = {step["step"]: step for step in told["steps"]}
        assert by_step["TLS"]["verdict"] == "not known"
        assert by_step["TLS"]["found"].endswith(
            "seen from this machine alone: the function got its last token there"
        )
        assert operator.run(DEALER).exit_code == 0
        # An account that the function has never tried: nobody knows whose fault it is.
        operator.add("dealer-18")
        step, said, fix = found(operator, f"doctor dealer-18 --stack {STACK}")
        assert (step, said.endswith("seen from this machine")) == ("TLS", True)
        assert "this machine may be all that is wrong" in fix.lower()
        assert "SSL_CERT_FILE" in fix


def test_a_certificate_that_the_function_refuses_too_is_wrong(
    operator: Operator, cloud: EmbeddedCloud, clock: DrivenClock
) -> None:
    with Authority() as other, AuthorizationServer(other, clock.now) as strange:
        deployed = Deployed.with_parameters(
            cloud, operator.schedule, AllowedTokenHosts=strange.host
        )
        operator.add("dealer-17")
        put(operator, operator.document("dealer-17", token_endpoint=strange.token_endpoint))
        operator.schedule.hosts.append(strange.host)
        deployed.sweep()
        step, said, fix = found(operator)
        seen = [
            operator.run(f"{line} --stack {STACK}").stderr
            for line in ("check dealer-17 --try --yes", "refresh dealer-17 --force")
        ]
        unfound = operator.run(f"add new --issuer {strange.url}").stderr
    for told in seen:
        assert "this machine may be all that is wrong" in told
        assert "token-refresher correct dealer-17 --ca-certificates FILE" in told
    assert "Of a private authority, give --ca-certificates" in unfound
    assert step == "TLS"
    assert said.endswith("so it is for the function, which has recorded unknown_authority")
    assert "token-refresher correct dealer-17 --ca-certificates FILE" in fix


def test_a_certificate_that_has_expired_is_told_as_such(
    operator: Operator, cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    authority.issue_cert(
        "localhost", not_before=long_ago, not_after=long_ago + timedelta(days=90)
    ).configure_cert(context)
    server = HttpsServer(lambda _: Reply(200, (), b"{}"), context)
    try:
        host = f"localhost:{server.port}"
        Deployed.with_parameters(cloud, operator.schedule, AllowedTokenHosts=host)
        operator.add("dealer-17")
        put(operator, operator.document("dealer-17", token_endpoint=f"https://{host}/token"))
        step, said, _ = found(operator)
    finally:
        server.set_door(Door.CLOSED)
    assert (step, "has expired" in said) == ("TLS", True)


def test_what_the_function_was_answered_is_not_wrong_for_a_machine_without_a_way(
    operator: Operator, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    deployed.sweep()
    with Authority() as other:
        monkeypatch.setenv("SSL_CERT_FILE", str(other.certificate_file))
        told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["TLS"]["found"].endswith("alone: the function has recorded invalid_grant")
    assert told["client and grant"]["verdict"] == "wrong"


def test_what_the_function_has_met_is_not_hidden_by_a_host_that_is_not_found_here(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    Deployed.with_parameters(cloud, operator.schedule, AllowedTokenHosts="nowhere.invalid")
    operator.add("dealer-17", token_endpoint="https://nowhere.invalid/token")
    rest = ("ListSecrets", "DescribeSecret", "CreateSecret", "TagResource", "PutSecretValue")
    role = create_role(cloud, allow(*(f"secretsmanager:{each}" for each in rest)))
    replace(operator.schedule, secrets=cloud.client(credentials=cloud.assume(role))).sweep()
    step, said, _ = found(operator)
    assert (step, said.startswith("AccessDeniedException")) == ("permissions", True)


def test_another_fault_than_this_machine_s_is_not_told_as_the_same(
    operator: Operator, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.add("dealer-17")
    with operator.server.failing(LosesTheAnswer()):
        deployed.sweep()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    step, said, _ = found(operator)
    assert (step, said.endswith("; the function has recorded connection_lost")) == ("TLS", True)


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]:8443", "localhost."])
def test_an_odd_host_is_looked_up_as_it_is(operator: Operator, host: str) -> None:
    operator.add("dealer-17", token_endpoint=f"https://{host}/token")
    steps = [step["step"] for step in operator.tells("doctor dealer-17")["steps"]]
    assert "DNS" in steps


def test_behind_a_proxy_names_are_the_proxy_s_to_look_up(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    with nobody_listens() as port:
        proxy = f"http://127.0.0.1:{port}"
        Deployed.with_parameters(cloud, operator.schedule, TokenEndpointProxy=proxy)
        operator.add("dealer-17")
        told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["DNS"]["verdict"] == "not looked at"
    assert told["TLS"]["found"].startswith("no connection to the proxy that TOKEN_ENDPOINT_PROXY")
    assert told["TLS"]["verdict"] == "wrong"


def test_what_a_network_of_the_function_s_own_may_reach_is_not_known(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    host = "nowhere.invalid"
    Deployed.with_parameters(cloud, operator.schedule, AllowedTokenHosts=host)
    cloud.client("lambda").update_function_configuration(
        FunctionName=STACK,
        VpcConfig={"SubnetIds": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]},
    )
    operator.add("dealer-17")
    put(operator, operator.document("dealer-17", token_endpoint=f"https://{host}/token"))
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    for step in ("DNS", "TLS"):
        assert told[step]["verdict"] == "not known"
        assert told[step]["found"].endswith("; the function is in a network of its own")


def test_a_wrong_client_and_a_wrong_password_are_told_from_the_function_s_records(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    operator.add("dealer-18", client_secret="made-up-wrong")
    deployed.sweep()
    step, said, fix = found(operator)
    assert (step, said) == (
        "client and grant",
        "invalid_grant (action required), now; tried again in 14 min",
    )
    assert fix.endswith(f"token-refresher correct dealer-17 --region eu-west-1 --stack {STACK}")
    step, said, _ = found(operator, f"doctor dealer-18 --stack {STACK}")
    assert (step, said.startswith("invalid_client (action required)")) == ("client and grant", True)


def test_credentials_that_were_put_over_a_living_token_are_told_as_new(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.says(f"correct dealer-17 --scope read --from-file - --stack {STACK}", stdin="{}")
    told = operator.tells(DEALER)["steps"][-1]
    assert told["found"] == "it lives for 12 h; the credentials are new, and tried next sweep"
    assert told["verdict"] == "ok"


def test_what_may_pass_says_when_it_is_tried_again(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    with operator.server.failing(unavailable()):
        deployed.sweep()
        operator.clock.advance(timedelta(minutes=5))
        deployed.sweep()
    step, said, fix = found(operator)
    assert step == "client and grant"
    assert said.startswith("status_503 (transient), 2 times, first 5 min ago; tried again ")
    assert "by itself" in fix


def refresh_only(operator: Operator) -> None:
    operator.server.register_client("dealer-17", secret=SECRET, users={EMAIL: PASSWORD})
    token = operator.server.issue_initial_refresh_token("dealer-17", user=EMAIL)
    text = operator.document("dealer-17", grant_type="refresh_token", refresh_token=token)
    operator.secrets.create_secret(Name="oauth/credentials/dealer-17", SecretString=text)


def test_a_refresh_token_without_a_response_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    refresh_only(operator)
    with operator.server.failing(LosesTheAnswer()):
        deployed.sweep()
    step, said, fix = found(operator)
    assert step == "lease"
    assert said.startswith("the refresh token was leased ")
    assert "is unanswered: connection_lost (transient)" in said
    assert "token-refresher correct dealer-17" in fix


def test_a_refresh_token_that_is_spent_is_found(operator: Operator, deployed: Deployed) -> None:
    refresh_only(operator)
    with operator.server.failing(LosesTheAnswer()):
        deployed.sweep()
    token = operator.secrets.describe_secret(SecretId="oauth/tokens/dealer-17")
    [lease] = [tag for tag in token["Tags"] if tag["Key"] == "token-refresher:lease"]
    lease["Value"] = lease["Value"].replace("unanswered", "spent")
    operator.secrets.tag_resource(SecretId="oauth/tokens/dealer-17", Tags=[lease])
    step, said, fix = found(operator)
    assert (step, "is spent" in said) == ("lease", True)
    assert "store a new refresh token" in fix


def test_a_refresh_token_that_is_under_way_is_told_and_not_wrong(
    operator: Operator, deployed: Deployed
) -> None:
    refresh_only(operator)
    deployed.sweep()
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["lease"]["found"] == "leased now, and its response was kept"
    assert told["token"]["verdict"] == "ok"
    content = {"leased_at": int(operator.clock.now().timestamp()) + 60, "run": "r"}
    version = "request-" + "0" * 40 + "-1"
    operator.secrets.put_secret_value(
        SecretId="oauth/credentials/dealer-17",
        SecretString=json.dumps({**content, "credentials": "c"}),
        ClientRequestToken=version,
        VersionStages=["TOKENREQUEST"],
    )
    operator.clock.advance(timedelta(minutes=2))
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["lease"]["verdict"] == "ok"
    assert told["lease"]["found"].startswith("a refresh is under way, leased 1 min ago")
    operator.clock.advance(timedelta(minutes=30))
    deployed.cloud.client()
    told = {step["step"]: step for step in operator.tells("doctor dealer-17")["steps"]}
    assert told["lease"]["found"].startswith("leased 31 min ago by a run that was ended")


def test_a_call_that_was_denied_though_the_role_allows_it_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    rest = ("ListSecrets", "DescribeSecret", "CreateSecret", "TagResource", "PutSecretValue")
    role = create_role(deployed.cloud, allow(*(f"secretsmanager:{each}" for each in rest)))
    secrets = deployed.cloud.client(credentials=deployed.cloud.assume(role))
    replace(deployed, schedule=replace(operator.schedule, secrets=secrets)).sweep()
    step, said, fix = found(operator)
    assert (step, said.startswith("AccessDeniedException (action required)")) == (
        "permissions",
        True,
    )
    assert fix.startswith("The function's role has its permissions by now. If it stays, the policy")
    assert "Its log tells which call it was, by AWS CLI 2: aws" in fix
    step, said, fix = found(operator, f"doctor --stack {STACK}")
    assert (step, said) == ("permissions", "a call was denied for 1 of 1 accounts: dealer-17")
    assert "its log names the call" in fix


def test_a_permission_that_was_taken_from_the_function_s_role_is_named(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    assert operator.tells(DEALER)["steps"][-1]["step"] == "token"
    iam, role = deployed.cloud.client("iam"), deployed.name_of("FunctionRole")
    statement = {"Effect": "Deny", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="taken", PolicyDocument=policy(statement))
    step, said, fix = found(operator)
    denied = "the function's role may not secretsmanager:GetSecretValue on oauth/credentials/"
    assert (step, said) == ("permissions", f"{denied}dealer-17")
    assert (
        fix == "Allow it, as the stack does, in a clone of this project: "
        f"make deploy AWS_REGION=eu-west-1 STACK={STACK}"
    )
    who = deployed.cloud.assume(_trusted(iam, role))
    secrets = deployed.cloud.client(credentials=who)
    replace(deployed, schedule=replace(operator.schedule, secrets=secrets)).sweep()
    step, said, fix = found(operator)
    assert (step, said.startswith("AccessDeniedException")) == ("permissions", True)
    assert denied in fix.replace("The", "the", 1)


def test_a_function_that_may_not_put_its_failure_on_record_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.clock.advance(timedelta(hours=13))
    deployed.tell_of_a_sweep()
    step, said, fix = found(operator)
    assert (step, said.startswith("no attempt on record")) == ("token", True)
    assert "aws logs tail /aws/lambda/token-refresher" in fix
    iam, role = deployed.cloud.client("iam"), deployed.name_of("FunctionRole")
    statement = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="taken", PolicyDocument=policy(statement))
    step, said, _ = found(operator)
    assert step == "permissions"
    assert "secretsmanager:GetSecretValue" in said


def _trusted(iam: Any, role: str) -> str:  # noqa: ANN401
    """Let a test act as the function's role, whose policies then count."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=policy(trust))
    arn: str = iam.get_role(RoleName=role)["Role"]["Arn"]
    return arn


def test_an_alarm_of_the_function_that_is_on_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    deployed.set_alarm("function fails", "Errors")
    step, said, fix = found(operator)
    assert (step, said.startswith("“function fails” went off ")) == (
        "alarms",
        True,
    )
    assert "docs/runbook.md" in fix


def test_alarms_that_call_nobody_are_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    deployed.set_alarm("action required", "AccountsNeedingAction", namespace="TokenRefresher")
    name = f"{STACK} action required"
    deployed.cloud.client("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    step, said, fix = found(operator)
    assert (step, "call nobody" in said) == ("alarms", True)
    assert f"aws cloudwatch enable-alarm-actions --alarm-names '{name}'" in fix


def test_alarms_that_are_gone_are_found_by_name(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    deployed.set_alarm("action required", "AccountsNeedingAction", namespace="TokenRefresher")
    deployed.cloud.client("cloudwatch").delete_alarms(AlarmNames=[f"{STACK} function fails"])
    step, said, fix = found(operator)
    assert (step, said) == (
        "alarms",
        "alarms are gone, so that nobody is called: “function fails”",
    )
    assert f"aws cloudformation delete-stack --stack-name {STACK}-monitoring" in fix


def test_the_alarms_that_are_looked_for_are_those_of_the_template() -> None:
    text = (ROOT / "infra" / "monitoring.yaml").read_text()
    names = re.findall(r"AlarmName: !Sub \$\{FunctionStackName\} (.*)", text)
    assert set(ALARM_NAMES) == set(names)


def test_a_stack_without_alarms_is_told_how_it_gets_them(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    told = operator.tells(DEALER)
    (alarms,) = (step for step in told["steps"] if step["step"] == "alarms")
    assert alarms["verdict"] == "not looked at"
    assert alarms["found"] == (
        "the stack has none: `make deploy` makes them, as does the command in its output "
        "DeployAlarms"
    )


def test_a_token_that_has_expired_is_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.clock.advance(timedelta(hours=12, minutes=1))
    deployed.cloud.client("cloudwatch")
    step, said, _ = found(operator, "doctor dealer-17")
    assert (step, said) == ("token", "no attempt on record: it expired 1 min ago")


@pytest.mark.parametrize(
    ("hours", "verdict", "said"),
    [
        (-1, "wrong", "others have published it, and it expired 1 h ago"),
        (None, "wrong", "others have put there what says no expiry, and may be no token"),
        (9, "ok", "others have published it, and it lives for 9 h"),
    ],
)
def test_what_others_have_published_is_judged_by_what_it_says_of_itself(
    operator: Operator, deployed: Deployed, hours: int | None, verdict: str, said: str
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    content: dict[str, Any] = {"access_token": "made-up", "token_type": "Bearer"}
    if hours is not None:
        content["expires_at"] = (operator.clock.now() + timedelta(hours=hours)).timestamp()
    operator.secrets.put_secret_value(
        SecretId="oauth/tokens/dealer-17", SecretString=json.dumps(content)
    )
    told = operator.tells(DEALER)["steps"][-1]
    assert (told["step"], told["verdict"], told["found"]) == ("token", verdict, said)


def test_a_token_secret_that_others_have_made_binary_is_found(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.secrets.put_secret_value(SecretId="oauth/tokens/dealer-17", SecretBinary=b"made-up")
    step, said, fix = found(operator)
    assert (step, "may be no token" in said) == ("token", True)
    assert "The next sweep asks" in fix


@pytest.mark.slow
def test_credentials_that_take_no_version_are_told_with_what_to_do(
    operator: Operator, deployed: Deployed
) -> None:
    """By `doctor`, by `status`, and by a correction, which cannot be stored either."""
    refresh_only(operator)
    deployed.sweep()
    operator.clock.advance(timedelta(hours=11))
    fill(deployed.cloud, "oauth/credentials/dealer-17")
    deployed.sweep()
    _, said, fix = found(operator)
    assert said.startswith("LimitExceededException (action required), ")
    assert fix.startswith("A secret of the account was given too many versions in a day")
    status = operator.run("status").stdout
    assert "dealer-17  action required  backing off" in status
    assert "dealer-17: a secret of the account was given too many versions in a day" in status
    corrected = operator.run("correct dealer-17 --scope read --from-file -", stdin="{}")
    assert corrected.exit_code == ExitCode.NOTHING_DONE
    assert "oauth/credentials/dealer-17 was given too many versions in a day" in corrected.stderr
    assert "when they are a day old" in corrected.stderr


@pytest.mark.usefixtures("deployed")
def test_what_others_keep_in_the_token_s_place_is_found_before_a_sweep_says_so(
    operator: Operator,
) -> None:
    operator.add("dealer-17")
    operator.secrets.create_secret(Name="oauth/tokens/dealer-17", SecretString="made-up")
    step, said, fix = found(operator)
    assert (step, said.partition(":")[0]) == ("token", "external_secret")
    assert fix.endswith(f"refresh dealer-17 --force --region eu-west-1 --stack {STACK}")


def test_events_that_failed_are_found(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    url = deployed.name_of("FailedEvents")
    deployed.cloud.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    step, said, fix = found(operator, f"doctor --stack {STACK}")
    assert (step, said) == ("failed events", "1 event failed, or waited in vain")
    assert f"aws sqs receive-message --queue-url {url}" in fix


def test_a_queue_that_is_gone_is_found_and_made_again_by_what_is_pasted(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    sqs, url = deployed.cloud.client("sqs"), deployed.name_of("FailedEvents")
    kept = ["SqsManagedSseEnabled", "MessageRetentionPeriod", "QueueArn"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kept)["Attributes"]
    sqs.delete_queue(QueueUrl=url)
    line = f"doctor --stack {STACK}"
    step, said, fix = found(operator, line)
    assert (step, "is gone" in said) == ("failed events", True)
    [command] = pasted(fix)
    subprocess.run(  # noqa: S603
        # AWS CLI 1 asks AWS itself for queues, whatever the environment says.
        [*command, "--endpoint-url", deployed.cloud.endpoint_url],
        env={**os.environ, "PATH": f"{ROOT / '.venv-deploy' / 'bin'}:{os.defpath}"},  # noqa: TID251
        check=True,
        capture_output=True,
    )
    after = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kept)["Attributes"]
    assert after == before


@pytest.mark.usefixtures("deployed")
def test_another_prefix_than_the_function_s_is_found(operator: Operator) -> None:
    step, said, _ = found(operator, f"{DEALER} --prefix team")
    assert (step, "another prefix than team" in said) == ("function", True)


def test_all_accounts_that_need_action_are_told_worst_first_with_their_doctor(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    operator.add("dealer-18", password="made-up-wrong")
    operator.add("dealer-19", client_secret="made-up-wrong")
    deployed.sweep()
    told = operator.run(f"doctor --stack {STACK}")
    assert told.exit_code == 1
    assert "3 accounts, 2 need action" in told.stdout
    assert "dealer-18: invalid_grant (action required)" in told.stderr
    commands = [" ".join(words) for words in pasted(told.stderr)]
    assert f"token-refresher doctor dealer-18 --region eu-west-1 --stack {STACK}" in commands
    assert f"token-refresher correct dealer-19 --region eu-west-1 --stack {STACK}" in commands
    named = [one["account"] for one in operator.tells(f"doctor --stack {STACK}")["accounts"]]
    assert named == ["dealer-18", "dealer-19"]


def test_a_dead_token_is_told_although_the_function_tries_again_by_itself(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    operator.add("dealer-18")
    with operator.server.failing(unavailable()):
        deployed.sweep()
    told = operator.run(f"doctor --stack {STACK}")
    assert told.exit_code == 1
    count = "2 accounts, none need action, 2 retrying, 2 of them without a token that lives"
    assert count in told.stdout
    assert "dealer-17: status_503 (transient)" in told.stderr


def test_credentials_that_wait_for_their_turn_call_nobody_whatever_those_before_met(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    deployed.sweep()
    for wrong in ("made-up-too", "made-up-again"):
        operator.clock.advance(timedelta(minutes=1))
        put(operator, operator.document("dealer-17", **{**BY_PASSWORD, "password": wrong}))
        deployed.sweep()
    [seen] = operator.tells(f"status dealer-17 --stack {STACK}")["accounts"]
    assert (seen["state"], seen["error"]) == ("retrying", "invalid_grant")
    assert (seen["failure_class"], seen["needs_action"]) == (None, False)
    for line in ("status", "doctor", "check dealer-17"):
        told = operator.run(f"{line} --stack {STACK}").output
        assert "action required" not in told
        assert "those that were put since wait for their turn, or are tried at once:" in told
        assert "token-refresher refresh dealer-17 --force" in told


def test_a_place_without_accounts_is_no_success(operator: Operator) -> None:
    assert operator.run("doctor").exit_code == 3
    assert "prefix oauth" in operator.run("doctor").stdout


def test_without_a_stack_the_account_is_looked_at_all_the_same(operator: Operator) -> None:
    operator.add("dealer-17")
    operator.schedule.sweep()
    told = operator.tells("doctor dealer-17")
    skipped = [one["step"] for one in told["steps"] if one["verdict"] == "not looked at"]
    assert skipped == ["function", "schedule", "throttling", "last sweep", "alarms"]
    assert "give --stack or TOKEN_REFRESHER_STACK" in operator.says("doctor dealer-17")


def test_a_function_whose_settings_are_out_of_bounds_cannot_start(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    deploy(cloud, "", FunctionName="tr", Environment={"Variables": {"MAX_WORKERS": "many"}})
    told = operator.run("doctor --stack tr")
    assert told.exit_code == 1
    assert "The function tr cannot start: MAX_WORKERS takes a whole number" in told.stderr
    assert "make deploy AWS_REGION=eu-west-1 STACK=tr" in told.stderr
    assert operator.run("doctor --stack ts").exit_code == 3


def test_a_session_that_has_expired_is_told_first(operator: Operator, relay: Relay) -> None:
    operator.add("dealer-17")
    expired = Instead(400, b'{"__type": "ExpiredTokenException"}')
    xml = (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code>"
        b"<Message>m</Message></Error></ErrorResponse>"
    )
    relay.illness = lambda operation: Instead(403, xml) if operation == "/" else expired
    with operator.by_way_of(relay):
        told = operator.run("doctor dealer-17")
    assert told.exit_code == 3
    assert "Your AWS session has expired" in told.stdout
    assert "aws sso login" in told.stderr


@pytest.fixture
def become(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Collection[str]], None]:
    """Make the operator one who may do what some of the documented statements say."""

    def be(sids: Collection[str]) -> None:
        here = json.dumps([STATEMENTS[sid] for sid in sids]).replace("123456789012", ACCOUNT)
        who = deployed.cloud.assume(create_role(deployed.cloud, *json.loads(here)))
        for name, value in deployed.cloud.environment(who).items():
            monkeypatch.setenv(name, value)

    return be


def encrypted(operator: Operator, deployed: Deployed) -> None:
    """Have an account whose credentials are encrypted by a key of the customer's."""
    operator.server.register_client("dealer-17", secret=SECRET)
    operator.secrets.create_secret(
        Name="oauth/credentials/dealer-17",
        SecretString=operator.document("dealer-17"),
        KmsKeyId=deployed.cloud.client("kms").create_key()["KeyMetadata"]["Arn"],
    )
    deployed.sweep()
    deployed.set_alarm("action required", "AccountsNeedingAction")


def test_the_documented_policy_lets_a_doctor_see_all_but_what_a_key_hides(
    operator: Operator, deployed: Deployed, become: Callable[[Collection[str]], None]
) -> None:
    operator.add("dealer-18")
    encrypted(operator, deployed)
    become(STATEMENTS)
    told = operator.tells(f"doctor dealer-18 --stack {STACK}")["steps"]
    assert {step["verdict"] for step in told} == {"ok"}
    assert {step["verdict"] for step in operator.tells(f"doctor --stack {STACK}")["steps"]} == {
        "ok"
    }
    # The use of a key is its owner's to allow; its state is seen all the same.
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    assert told["encryption"]["verdict"] == "ok"
    assert {name for name, one in told.items() if one["verdict"] == "not known"} == {
        *("credentials", "host", "DNS", "TLS"),
    }


@pytest.mark.parametrize("sid", UNSEEN)
def test_whoever_lacks_a_statement_is_told_what_is_not_known(
    operator: Operator,
    deployed: Deployed,
    become: Callable[[Collection[str]], None],
    sid: str,
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    deployed.set_alarm("action required", "AccountsNeedingAction")
    become(STATEMENTS.keys() - {sid})
    told = {step["step"]: step for step in operator.tells(DEALER)["steps"]}
    unknown = {name: one["found"] for name, one in told.items() if one["verdict"] == "not known"}
    assert unknown.keys() == UNSEEN[sid].keys()
    for name, permission in UNSEEN[sid].items():
        assert unknown[name].startswith(f"Your AWS identity may not {permission}")
    assert operator.run(DEALER).exit_code == 0


def test_whoever_sees_nothing_is_not_told_that_all_is_well(
    operator: Operator, become: Callable[[Collection[str]], None]
) -> None:
    operator.add("dealer-17")
    become(["WriteCredentials"])
    blind = operator.run("doctor dealer-17")
    assert blind.exit_code == 3
    assert "secretsmanager:DescribeSecret on oauth/credentials/dealer-17" in blind.stdout
    assert operator.run("doctor").exit_code == 3


def test_a_service_that_does_not_answer_stops_nothing(
    operator: Operator, deployed: Deployed, relay: Relay
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    relay.illness = lambda operation: LOST if operation == "DescribeStackResource" else None
    with operator.by_way_of(relay):
        told = operator.tells(DEALER)["steps"]
    assert told[-1]["step"] == "token"
