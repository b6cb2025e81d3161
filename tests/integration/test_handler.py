"""The function as it is invoked: events, calls, logs, metrics, summaries."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.authority import Authority
from local.authorization_server import (
    AuthorizationServer,
    RefreshMode,
    firewall_page,
    too_many_requests,
    unavailable,
)
from local.function import Context
from local.runtime_api import LambdaRuntime
from tests.integration.conftest import MACHINE, PARTNER, PASSWORD, Deployed
from tests.unit.connect_proxy import ConnectProxy, refuses
from token_refresher.errors import EventError
from token_refresher.handler import utc_now
from token_refresher.model import digest12

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.embedded_cloud import EmbeddedCloud

ROOT: Final = Path(__file__).resolve().parents[2]
EVENTS: Final = sorted((ROOT / "events").glob("*.json"))
TICK: Final = timedelta(minutes=5)
DUE: Final = timedelta(minutes=631)


def outcomes(summary: dict[str, Any]) -> dict[str, str]:
    return {told["account"]: told["outcome"] for told in summary["accounts"]}


def test_every_grant_gets_a_token_that_is_accepted(deployed: Deployed) -> None:
    for name, grant in (("password", PASSWORD), ("partner", PARTNER), ("machine", MACHINE)):
        deployed.onboard(name, grant)
    deployed.onboard_refresh_only("refresh-only")
    summary = deployed.sweep()

    assert set(outcomes(summary).values()) == {"published"}
    assert summary["accounts_managed"] == 4
    for name in outcomes(summary):
        token = deployed.token(name)
        assert token["token_type"] == "Bearer"
        assert set(token) >= {"access_token", "issued_at", "expires_at"}
        assert "refresh_token" not in token


def test_a_corporate_network_is_two_settings(
    deployed: Deployed, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for token endpoints alone, and an authority whose certificate lost its lines."""
    deployed.onboard("machine", MACHINE)
    deployed.onboard_refresh_only("refresh-only")
    monkeypatch.delenv("SSL_CERT_FILE")
    pasted = authority.certificate_file.read_text().replace("\n", " ")
    host = deployed.server.host
    with ConnectProxy(int(host.partition(":")[2])) as proxy:
        settings = {"TOKEN_ENDPOINT_PROXY": proxy.url, "ADDITIONAL_CA_CERTIFICATES": pasted}
        summary = deployed.handler(**settings)({}, Context())

    assert outcomes(summary) == {"machine": "published", "refresh-only": "published"}
    assert proxy.hosts == [host] * 2


def test_a_server_that_demands_client_certificates_is_shown_each_accounts_own(
    deployed: Deployed, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no line of a key is told to anybody."""
    # The handshake goes by this machine's clock, and so must the certificates.
    deployed.clock.set(utc_now())
    now, lines = deployed.clock.now, set[str]()

    def shown(by: Authority, name: str, grant: Mapping[str, Any]) -> dict[str, Any]:
        certificate, key = by.client_certificate(name, not_after=now() + timedelta(days=10))
        lines.update(line for line in key.splitlines() if "-----" not in line)
        return {**grant, "certificate": certificate, "private_key": key}

    with (
        AuthorizationServer(authority, now, clients=ssl.CERT_REQUIRED) as server,
        Authority() as stranger,
    ):
        deployed.server = server
        deployed.onboard("password", shown(authority, "password", PASSWORD))
        deployed.onboard("machine", shown(authority, "machine", MACHINE))
        deployed.onboard("unknown", shown(stranger, "unknown", MACHINE))
        deployed.onboard("without", MACHINE)
        summary = deployed.handler(ALLOWED_TOKEN_HOSTS=server.host)({}, Context())

    assert {told["account"]: told.get("error") for told in summary["accounts"]} == {
        "password": "certificate_ending",
        "machine": "certificate_ending",
        "unknown": "client_certificate_refused",
        "without": "client_certificate_required",
    }
    assert [outcomes(summary)[name] for name in ("password", "machine")] == ["published"] * 2
    captured = capsys.readouterr()
    told = captured.out + captured.err + json.dumps(summary)
    assert lines
    assert not any(line in told for line in lines)


def test_a_proxy_that_refuses_costs_no_lease(deployed: Deployed) -> None:
    deployed.onboard_refresh_only("refresh-only")
    with ConnectProxy(0, (refuses("403 Forbidden"),)) as proxy:
        summary = deployed.handler(TOKEN_ENDPOINT_PROXY=proxy.url)({}, Context())

    [told] = summary["accounts"]
    assert (told["needs_action"], told["error"]) == (True, "proxy_refused")
    secret = deployed.secrets.describe_secret(SecretId="oauth/credentials/refresh-only")
    assert list(secret["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_a_token_is_copied_to_a_second_region_and_its_credentials_are_not(
    deployed: Deployed, cloud: EmbeddedCloud
) -> None:
    deployed.onboard("machine", MACHINE)
    summary = deployed.handler(REPLICA_REGIONS="eu-central-1")({}, Context())
    first = deployed.counted()
    deployed.clock.advance(DUE)
    assert deployed.sweep()["replicas_behind"] == 0

    assert (summary["replicas_behind"], first["ReplicateSecretToRegions"]) == (0, 1)
    assert "ReplicateSecretToRegions" not in deployed.calls
    there = cloud.client(region="eu-central-1")
    [copy] = there.list_secrets()["SecretList"]
    assert copy["Name"] == "oauth/tokens/machine"
    # The second token, which nothing but Secrets Manager has copied.
    value = there.get_secret_value(SecretId=copy["Name"])
    assert json.loads(value["SecretString"]) == deployed.token("machine")


def test_a_sweep_with_nothing_due_only_lists(deployed: Deployed) -> None:
    deployed.onboard("dealer-17", PASSWORD)
    deployed.onboard("machine", MACHINE)
    deployed.sweep()
    summary = deployed.sweep()

    assert summary["outcomes"] == {"fresh": 2}
    assert deployed.counted() == {"ListSecrets": 2}


def test_a_refresh_without_a_refresh_token_costs_four_calls(deployed: Deployed) -> None:
    deployed.onboard("machine", MACHINE)
    deployed.sweep()
    first = deployed.counted()
    deployed.clock.advance(DUE)
    deployed.sweep()

    four = {"DescribeSecret": 2, "GetSecretValue": 1, "PutSecretValue": 1}
    assert deployed.counted() == {"ListSecrets": 2, **four}
    assert first == {"ListSecrets": 2, **four, "CreateSecret": 1}


def test_a_refresh_with_a_refresh_token_costs_six_calls(deployed: Deployed) -> None:
    deployed.onboard("dealer-17", PASSWORD)
    deployed.sweep()
    deployed.clock.advance(DUE)
    deployed.sweep()

    six = {"DescribeSecret": 1, "GetSecretValue": 2, "PutSecretValue": 3}
    assert deployed.counted() == {"ListSecrets": 2, **six}
    assert deployed.server.requests[-1].grant_type == "refresh_token"


def test_clearing_a_record_costs_one_call_more(deployed: Deployed) -> None:
    deployed.onboard("machine", MACHINE)
    with deployed.server.failing(unavailable()):
        deployed.sweep()
    assert deployed.counted()["TagResource"] == 1
    deployed.clock.advance(TICK)
    deployed.sweep()

    assert deployed.counted()["UntagResource"] == 1
    assert "Tags" not in deployed.secrets.describe_secret(SecretId="oauth/tokens/machine") or (
        deployed.secrets.describe_secret(SecretId="oauth/tokens/machine")["Tags"] == []
    )


def test_nothing_is_due_twice_though_the_listing_lags(deployed: Deployed) -> None:
    deployed.onboard("dealer-17", PASSWORD)
    deployed.onboard("machine", MACHINE)
    deployed.sweep()
    deployed.clock.advance(DUE)
    deployed.sweep()
    requests = len(deployed.server.requests)
    deployed.is_stale = True
    deployed.clock.advance(TICK)
    summary = deployed.sweep()

    assert summary["outcomes"] == {"fresh": 2}
    assert len(deployed.server.requests) == requests
    assert "GetSecretValue" not in deployed.calls


@pytest.mark.parametrize("mode", list(RefreshMode), ids=lambda mode: mode.name.lower())
def test_two_days_pass_without_a_dead_token_in_each_refresh_mode(
    deployed: Deployed, mode: RefreshMode
) -> None:
    deployed.onboard("dealer-17", PASSWORD, refresh_mode=mode, one_live_token=True)
    for _ in range(48):
        deployed.sweep()
        assert deployed.token("dealer-17")["expires_at"] > deployed.clock.now().timestamp()
        deployed.clock.advance(timedelta(hours=1))

    assert deployed.server.families_revoked == 0
    kept = mode is RefreshMode.KEEPS
    assert kept or max(deployed.server.refresh_tokens_redeemed.values(), default=1) == 1


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.name)
def test_every_event_is_answered(deployed: Deployed, path: Path) -> None:
    deployed.onboard("dealer-17", PASSWORD)
    deployed.onboard("other", MACHINE)
    summary = deployed.sweep(json.loads(path.read_text()))

    expected = {
        "scheduled.json": {"dealer-17": "published", "other": "published"},
        "one-account.json": {"dealer-17": "published"},
        "force.json": {"dealer-17": "published"},
        "dry-run.json": {"dealer-17": "would refresh", "other": "would refresh"},
    }
    assert outcomes(summary) == expected[path.name]


def test_what_was_not_attempted_says_when_the_next_sweep_is(deployed: Deployed) -> None:
    for number in range(5):
        deployed.onboard(f"machine-{number}", MACHINE)
    deployed.handler(MAX_WORKERS="1", SCHEDULE_MINUTES="10")
    deployed.server.fail(too_many_requests(timedelta(seconds=1)))
    told = deployed.sweep()["accounts"]

    assert [each["outcome"] for each in told] == [*3 * ["failed"], *2 * ["not attempted"]]
    next_sweep = deployed.clock.now() + timedelta(minutes=10)
    assert {each["retry_at"] for each in told} == {next_sweep.isoformat()}


HARD_CASES: Final[dict[str, dict[str, Any]]] = {
    "a/b.c/d@e.example": PASSWORD,
    "misspelt": {**PASSWORD, "passwrd": "MARK"},
    "number": {**PASSWORD, "password": 5.5},
    "elsewhere": {**MACHINE, "token_endpoint": "https://elsewhere.example/token"},
}


def test_every_hard_case_has_its_outcome_and_no_other_account_waits(deployed: Deployed) -> None:
    for name, grant in HARD_CASES.items():
        deployed.onboard(name, grant)
    deployed.put("no-json", "{MARK")
    deployed.secrets.create_secret(Name="oauth/credentials/empty")
    deployed.secrets.create_secret(Name="oauth/credentials/binary", SecretBinary=b"{}")
    deployed.secrets.create_secret(Name="oauth/credentials/large")
    with pytest.raises(deployed.secrets.exceptions.ClientError):
        deployed.put("large", json.dumps({"client_secret": "x" * 70_000}))
    deployed.onboard("deleted", MACHINE)
    deployed.secrets.create_secret(Name="oauth/tokens/deleted")
    deployed.secrets.delete_secret(SecretId="oauth/tokens/deleted", RecoveryWindowInDays=7)
    told = {each["account"]: each for each in deployed.sweep()["accounts"]}

    shown = {
        name: (each["outcome"], each.get("error", each["reason"])) for name, each in told.items()
    }
    assert shown == {
        "a/b.c/d@e.example": ("published", "no token yet"),
        "misspelt": ("failed", "invalid_credentials"),
        "number": ("failed", "invalid_credentials"),
        "elsewhere": ("failed", "host_not_allowed"),
        "no-json": ("failed", "invalid_credentials"),
        "empty": ("not due", "awaiting credentials"),
        "binary": ("failed", "invalid_credentials"),
        "large": ("not due", "awaiting credentials"),
        "deleted": ("failed", "scheduled_for_deletion"),
    }
    assert "`passwrd`" in told["misspelt"]["detail"]
    assert "MARK" not in json.dumps(told)


@pytest.mark.slow
def test_two_thousand_accounts_are_one_sweep(deployed: Deployed) -> None:
    issued, expires = deployed.clock.now(), deployed.clock.now() + timedelta(hours=12)
    for number in range(2000):
        answer = deployed.secrets.create_secret(
            Name=f"oauth/credentials/a{number:04}", SecretString="{}"
        )
        digest = digest12(answer["VersionId"])
        deployed.secrets.create_secret(
            Name=f"oauth/tokens/a{number:04}",
            SecretString="{}",
            ClientRequestToken=f"{issued:%Y%m%dT%H%M%SZ}-{expires:%Y%m%dT%H%M%SZ}-{digest}-{0:012}",
        )
    deployed.onboard("dealer-17", PASSWORD)
    summary = deployed.sweep()
    assert summary["outcomes"] == {"fresh": 2000, "published": 1}
    assert deployed.counted()["ListSecrets"] == 41
    assert deployed.counted()["GetSecretValue"] == 2


FAILURES: Final = {
    "unavailable": unavailable(),
    "firewall": firewall_page(),
    "too many": too_many_requests(timedelta(minutes=9)),
}


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_mark_of_a_secret_gets_out(
    deployed: Deployed, capfd: pytest.CaptureFixture[str], level: str
) -> None:
    """Every success and every failure, with marked secrets; then all that can be seen is read."""
    deployed.onboard("dealer-17", PASSWORD)
    deployed.onboard("partner", PARTNER)
    deployed.onboard("machine", MACHINE)
    deployed.onboard_refresh_only("refresh-only")
    deployed.onboard(
        "mistyped", {**PASSWORD, "password": "MARK-wrong"}, users={"u@example.com": "x"}
    )
    deployed.put("no-json", "{MARK")
    deployed.store("misspelt", {**PASSWORD, "passwrd": "MARK"})
    deployed.store("unknown", {"grant_type": "MARK"})
    deployed.handler(POWERTOOLS_LOG_LEVEL=level)
    body = json.dumps({"access_token": "MARK\n", "token_type": "bearer", "refresh_token": "MARK",
                       "error_description": "MARK"}).encode()  # fmt: skip
    answers = [deployed.sweep()]
    for failure in [*FAILURES.values(), None]:
        deployed.clock.advance(DUE)
        if failure is None:
            deployed.server.answer_with(200, {}, body, times=None)
        else:
            deployed.server.fail(failure)
        answers.append(deployed.sweep())
        deployed.server.recover()
        deployed.clock.advance(timedelta(hours=1))
        answers.append(deployed.sweep())

    captured = capfd.readouterr()
    seen = captured.out + captured.err + json.dumps(answers)
    tokens = []
    for page in deployed.secrets.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            seen += json.dumps(secret, default=str)
            if secret["Name"].startswith("oauth/tokens/") and "SecretVersionsToStages" in secret:
                value = deployed.secrets.get_secret_value(SecretId=secret["Name"])["SecretString"]
                tokens.append(value)
    assert len(tokens) == 4
    issued = {json.loads(token)["access_token"] for token in tokens}
    for hidden in ("MARK", "Basic ", "Authorization", *issued):
        assert hidden not in seen
    # Whole, since the random ids of versions may spell a token's first word.
    assert not re.search(r"(facade|c0ffee)[0-9a-f]{34}", seen)
    assert not any(re.search("MARK|c0ffee[0-9a-f]{34}", token) for token in tokens)


def test_tracing_records_neither_answers_nor_errors(deployed: Deployed) -> None:
    segments: list[str] = []

    class Emitter:
        def send_entity(self, entity: Any) -> None:  # noqa: ANN401
            segments.append(entity.serialize())

        def set_daemon_address(self, _: str) -> None:
            """Nothing is sent anywhere."""

    deployed.monkeypatch.setenv(
        "_X_AMZN_TRACE_ID", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1"
    )
    from aws_xray_sdk.core import xray_recorder  # noqa: PLC0415

    handler = deployed.handler(POWERTOOLS_TRACE_DISABLED="false", LAMBDA_TASK_ROOT=str(ROOT))
    deployed.monkeypatch.setattr(xray_recorder, "_emitter", Emitter())
    deployed.monkeypatch.setattr(xray_recorder, "_context", type(xray_recorder.context)())
    # Else threads of its own would ask for sampling rules until the last test has ended.
    deployed.monkeypatch.setattr(xray_recorder, "sampling", False)
    xray_recorder.begin_segment("test")
    deployed.onboard("machine", MACHINE)
    assert deployed.sweep()["outcomes"]["published"] == 1
    with pytest.raises(EventError):
        handler({"MARK": 1}, Context())
    xray_recorder.end_segment()
    assert "lambda_handler" in "".join(segments) or "_handle" in "".join(segments)
    assert "accepted are" not in "".join(segments)
    assert "published" not in "".join(segments)


def runtime_environment(deployed: Deployed, **changed: str) -> dict[str, str]:
    return {**deployed.environment, "PYTHONPATH": str(ROOT / "functions"), **changed}


def test_the_tracer_is_loaded_only_where_tracing_is_on(deployed: Deployed) -> None:
    code = "import sys, token_refresher.handler; print('aws_xray_sdk' in sys.modules)"
    printed = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", code],
            env=runtime_environment(deployed, **changed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for changed in ({}, {"POWERTOOLS_TRACE_DISABLED": "false"})
    ]
    assert printed == ["False\n", "True\n"]


SWEEP = """
import sys
from local.function import Context
from token_refresher.handler import lambda_handler
print(lambda_handler({}, Context())["outcomes"])
signing = {"token_refresher.aws.signing", "token_refresher.oauth.signatures"}
print(len(signing & sys.modules.keys()))
"""


def test_what_signs_is_loaded_once_an_account_signs_and_never_for_the_others(
    deployed: Deployed,
) -> None:
    deployed.clock.set(utc_now())
    deployed.onboard("machine", MACHINE)
    environment = runtime_environment(deployed, PYTHONPATH=f"{ROOT / 'functions'}:{ROOT}")

    def swept() -> list[str]:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", SWEEP],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-2:]

    outcomes, loaded = swept()
    assert (outcomes, loaded) == ("{'fresh': 0, 'published': 1}", "0")
    signs = {"client_id": "invented", "token_endpoint_auth_method": "private_key_jwt"}
    where = {"token_endpoint": deployed.server.token_endpoint}
    deployed.put("signs", json.dumps({**MACHINE, **signs, **where}))
    assert swept()[-1] == "2"


def test_the_real_runtime_client_runs_every_event(deployed: Deployed, authority: Authority) -> None:
    assert authority.certificate_file.exists()
    deployed.clock.set(utc_now())
    deployed.onboard("dealer-17", PASSWORD)
    environment = runtime_environment(deployed)
    with LambdaRuntime("token_refresher.handler.lambda_handler", environment) as runtime:
        answers = {
            path.name: runtime.invoke(json.loads(path.read_text()))
            for path in sorted(EVENTS, key=lambda path: path.name != "dry-run.json")
        }
        refused = runtime.invoke({"MARK": 1})
        printed = runtime.stop()

    assert {answer.kind for answer in answers.values()} == {"response"}
    assert outcomes(answers["dry-run.json"].content) == {"dealer-17": "would refresh"}
    assert deployed.token("dealer-17")["access_token"] not in printed
    assert refused.kind == "error"
    assert refused.content["errorType"] == "EventError"
    assert "accepted are {}" in refused.content["errorMessage"]
    assert "MARK" not in printed


def test_a_bad_setting_fails_the_start_with_its_name(deployed: Deployed) -> None:
    environment = runtime_environment(deployed, MAX_WORKERS="many")
    with LambdaRuntime("token_refresher.handler.lambda_handler", environment) as runtime:
        error = runtime.answer()
    assert (error.kind, error.content["errorType"]) == ("error", "SettingsError")
    assert "MAX_WORKERS takes" in error.content["errorMessage"]
