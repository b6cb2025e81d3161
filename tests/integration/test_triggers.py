"""What serves an account between two sweeps: corrected credentials, refused tokens, rotations."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.authorization_server import RefreshMode, unavailable
from local.function import Context
from tests.integration.conftest import MACHINE, PASSWORD, Deployed
from tests.integration.test_emulator_rotation import deploy_rotation_function
from token_refresher.errors import EventError, RotationError
from token_refresher.events import Step
from token_refresher.failures import FAILURES
from token_refresher.oauth.errors import EndpointUnavailableError

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud
    from token_refresher.handler import Handler

MINUTE: Final = timedelta(minutes=1)
ROTATION: Final = "00000000-0000-0000-0000-000000000001"
CHANGED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[2] / "events/triggers/credentials-changed.json").read_text()
)


def version_id(deployed: Deployed, name: str) -> str:
    found: str = deployed.secrets.get_secret_value(SecretId=f"oauth/tokens/{name}")["VersionId"]
    return found


def reject(deployed: Deployed, handler: Handler, name: str) -> dict[str, Any]:
    """What a consumer does whose token was refused."""
    rejected = {"account": name, "version_id": version_id(deployed, name)}
    return handler.on_event({"rejected": rejected}, Context())


def test_new_credentials_are_served_at_once_without_a_listing(deployed: Deployed) -> None:
    handler = deployed.handler()
    deployed.onboard("dealer-17", PASSWORD)
    deployed.calls.clear()
    told = handler.on_event(CHANGED, Context())

    assert (told["reason"], told["outcome"]) == ("no token yet", "published")
    assert told["version_id"] == version_id(deployed, "dealer-17")
    assert "ListSecrets" not in deployed.calls


def test_a_corrected_password_is_tried_at_once(deployed: Deployed) -> None:
    handler = deployed.handler()
    deployed.onboard("dealer-17", PASSWORD)
    deployed.store("dealer-17", {**PASSWORD, "password": "MARK-wrong"})
    assert handler({}, Context())["accounts"][0]["error"] == "invalid_grant"
    held = handler.on_event(CHANGED, Context())
    deployed.store("dealer-17", PASSWORD)
    told = handler.on_event(CHANGED, Context())

    assert (held["reason"], held["outcome"]) == ("backing off", "not due")
    assert "retry_at" in held
    assert told["outcome"] == "published"


def test_credentials_that_changed_nothing_cost_no_request(deployed: Deployed) -> None:
    handler = deployed.handler()
    deployed.onboard("dealer-17", PASSWORD)
    handler.on_event(CHANGED, Context())
    requests = len(deployed.server.requests)
    told = handler.on_event(CHANGED, Context())

    assert (told["reason"], told["outcome"]) == ("fresh", "not due")
    assert len(deployed.server.requests) == requests


def test_an_account_that_is_gone_meanwhile_is_told_so(deployed: Deployed) -> None:
    told = deployed.handler().on_event(CHANGED, Context())

    assert (told["reason"], told["version_id"]) == ("no such account", None)


def test_a_refused_token_is_replaced_by_one_call_and_the_next_one_says_when(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = deployed.handler()
    deployed.onboard("machine", MACHINE)
    handler({}, Context())
    issued_at, refused = deployed.clock.now(), deployed.token("machine")["access_token"]
    deployed.clock.advance(MINUTE)
    first = reject(deployed, handler, "machine")
    served = deployed.token("machine")["access_token"]
    deployed.clock.advance(MINUTE)
    second = reject(deployed, handler, "machine")

    assert (first["reason"], first["outcome"]) == ("rejected", "published")
    assert served != refused
    assert first["version_id"] == version_id(deployed, "machine")
    assert (second["reason"], second["outcome"]) == ("rate limited", "not due")
    assert second["retry_at"] == (issued_at + 20 * MINUTE).isoformat()
    assert deployed.token("machine")["access_token"] == served
    assert served not in f"{first}{second}{capsys.readouterr().out}"


def test_a_consumer_that_read_an_old_token_is_told_which_one_to_read(deployed: Deployed) -> None:
    handler = deployed.handler()
    deployed.onboard("machine", MACHINE)
    handler({}, Context())
    old = version_id(deployed, "machine")
    handler({"accounts": ["machine"], "force": True}, Context())
    requests = len(deployed.server.requests)
    told = handler.on_event({"rejected": {"account": "machine", "version_id": old}}, Context())

    assert (told["reason"], told["version_id"]) == ("fresh", version_id(deployed, "machine"))
    assert len(deployed.server.requests) == requests


@pytest.mark.parametrize(
    "refused", [{}, {"accounts": ["machine"], "force": True}, {"MARK": 1}], ids=str
)
def test_consumers_cannot_force_anybody(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], refused: dict[str, Any]
) -> None:
    handler = deployed.handler()
    with pytest.raises(EventError, match="rejected"):
        handler.on_event(refused, Context())
    assert deployed.calls == []
    assert "MARK" not in capsys.readouterr().out


@pytest.fixture
def arn(deployed: Deployed, cloud: EmbeddedCloud) -> str:
    """A token secret whose rotation has begun; the steps are taken by the test."""
    deployed.onboard("dealer-17", PASSWORD, refresh_mode=RefreshMode.ROTATES)
    deployed.handler()({}, Context())
    deployed.clock.advance(MINUTE)
    # Its function fails at the first step, so the version stays empty and pending.
    function = deploy_rotation_function(cloud, "def handler(event, context): raise ValueError")
    answer = deployed.secrets.rotate_secret(
        SecretId="oauth/tokens/dealer-17",
        RotationLambdaARN=function,
        RotationRules={"AutomaticallyAfterDays": 30},
        ClientRequestToken=ROTATION,
    )
    return answer["ARN"]


def take(handler: Handler, arn: str, *steps: Step) -> None:
    for step in steps:
        asked = {"Step": str(step), "SecretId": arn, "ClientRequestToken": ROTATION}
        handler.on_rotation(asked, Context())


def stages(deployed: Deployed) -> dict[str, str]:
    found = deployed.secrets.describe_secret(SecretId="oauth/tokens/dealer-17")
    versions = found["VersionIdsToStages"]
    return {stage: version for version, on_it in versions.items() for stage in on_it}


def test_four_steps_rotate_a_token(
    deployed: Deployed, arn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, before = deployed.handler(), deployed.token("dealer-17")["access_token"]
    take(handler, arn, Step.CREATE, Step.SET, Step.TEST)
    assert deployed.token("dealer-17")["access_token"] == before
    take(handler, arn, Step.FINISH)
    after = deployed.token("dealer-17")["access_token"]

    assert after != before
    assert stages(deployed)["AWSCURRENT"] == ROTATION
    assert "AWSPENDING" not in stages(deployed)
    printed = capsys.readouterr().out
    assert after not in printed
    assert "a step of a rotation is done" in printed


def test_a_rotated_account_costs_a_sweep_a_description_and_a_read(
    deployed: Deployed, arn: str
) -> None:
    take(deployed.handler(), arn, *Step)
    deployed.sweep()

    assert deployed.counted() == {"ListSecrets": 2, "DescribeSecret": 1, "GetSecretValue": 1}


def test_a_sweep_refreshes_a_rotated_token_when_it_is_due(deployed: Deployed, arn: str) -> None:
    take(deployed.handler(), arn, *Step)
    deployed.clock.advance(timedelta(minutes=631))
    deployed.sweep()

    assert stages(deployed)["AWSPREVIOUS"] == ROTATION
    assert deployed.token("dealer-17")["expires_at"] > deployed.clock.now().timestamp() + 3600


def test_an_outage_fails_a_step_and_the_next_try_rotates(deployed: Deployed, arn: str) -> None:
    handler = deployed.handler()
    with deployed.server.failing(unavailable()), pytest.raises(EndpointUnavailableError):
        take(handler, arn, Step.CREATE)
    assert stages(deployed)["AWSPENDING"] == ROTATION
    take(handler, arn, *Step)

    assert stages(deployed)["AWSCURRENT"] == ROTATION


def test_a_wrong_password_ends_a_rotation_so_that_another_can_begin(
    deployed: Deployed, arn: str
) -> None:
    handler = deployed.handler()
    deployed.store("dealer-17", {**PASSWORD, "password": "MARK-wrong"})
    with pytest.raises(FAILURES, match="invalid_grant"):
        take(handler, arn, Step.CREATE)
    assert "AWSPENDING" not in stages(deployed)
    with pytest.raises(RotationError, match="start another"):
        take(handler, arn, Step.CREATE)
