"""What the functions accept, and that nothing of anything else is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from token_refresher.errors import EventError
from token_refresher.events import (
    Event,
    RotationStep,
    Step,
    Trigger,
    parse_event,
    parse_rotation,
    parse_trigger,
)

VERSION = "20261124T010000Z-20261124T130000Z-0123456789ab-0123456789ab"
ROTATION = "00000000-0000-0000-0000-000000000001"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
REJECTED: dict[str, Any] = {"account": "dealer-17", "version_id": VERSION}
STEP = {
    "Step": "createSecret",
    "SecretId": f"{ARN}oauth/tokens/dealer-17-AbC123",
    "ClientRequestToken": ROTATION,
}


def label_updated(**changes: object) -> dict[str, Any]:
    """What EventBridge delivers, with all that surrounds it."""
    detail = {"name": "oauth/credentials/dealer-17", "labelUpdated": "AWSCURRENT", "versionId": "v"}
    return {
        "version": "0",
        "id": "1",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": "123456789012",
        "region": "eu-central-1",
        "resources": [f"{ARN}oauth/credentials/dealer-17-AbC123"],
        "detail": {**detail, **changes},
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, Event()),
        ({"accounts": ["a", "b/c"]}, Event(accounts=("a", "b/c"))),
        ({"accounts": ["a"], "force": True}, Event(accounts=("a",), force=True)),
        ({"dry_run": True}, Event(dry_run=True)),
    ],
    ids=["all accounts", "some", "by force", "only to see"],
)
def test_a_sweep_is_asked_with(event: object, expected: Event) -> None:
    assert parse_event(event) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"rejected": REJECTED}, Trigger("dealer-17", VERSION)),
        ({"rejected": {**REJECTED, "version_id": ROTATION}}, Trigger("dealer-17", ROTATION)),
        (label_updated(), Trigger("dealer-17")),
        (label_updated(name="oauth/credentials/team/a"), Trigger("team/a")),
    ],
    ids=["a refused token", "one of Secrets Manager's ids", "corrected credentials", "a path"],
)
def test_an_account_is_served_at_once_for(event: object, expected: Trigger) -> None:
    assert parse_trigger(event, secret_prefix="oauth") == expected


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"accounts": ["dealer-17"], "force": True},
        {"rejected": {"account": "MARK"}},
        {"rejected": {**REJECTED, "account": "MARK MARK"}},
        {"rejected": {**REJECTED, "version_id": "MARK"}},
        {"rejected": {**REJECTED, "force": True}},
        {"rejected": REJECTED, "force": True},
        label_updated(name="olx2/credentials/MARK"),
        label_updated(name="oauth/tokens/MARK"),
        label_updated(name="oauth/credentials/"),
        label_updated(name="oauth/credentials/MARK MARK"),
        label_updated(labelUpdated="TOKENRESPONSE"),
        label_updated() | {"source": "MARK"},
        label_updated() | {"detail-type": "MARK"},
        [],
        "MARK",
    ],
    ids=str,
)
def test_nothing_else_serves_an_account_at_once(event: object) -> None:
    with pytest.raises(EventError, match=r'accepted are \{"rejected"') as refusal:
        parse_trigger(event, secret_prefix="oauth")
    assert "MARK" not in str(refusal.value)


@pytest.mark.parametrize("step", list(Step))
def test_secrets_manager_may_ask_for_each_step(step: Step) -> None:
    asked = parse_rotation(
        {**STEP, "Step": str(step), "RotationToken": "opaque"}, secret_prefix="oauth"
    )
    assert asked == RotationStep(step, "dealer-17", ROTATION)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {**STEP, "Step": "MARK"},
        {**STEP, "ClientRequestToken": "MARK"},
        {**STEP, "SecretId": "oauth/tokens/MARK"},
        {**STEP, "SecretId": f"{ARN}oauth/credentials/MARK-AbC123"},
        {**STEP, "SecretId": f"{ARN}olx2/tokens/MARK-AbC123"},
        {**STEP, "SecretId": f"{ARN}oauth/tokens/MARK"},
        {**STEP, "SecretId": f"{ARN}oauth/tokens/MA RK-AbC123"},
        [],
    ],
    ids=str,
)
def test_no_other_secret_is_rotated(event: object) -> None:
    with pytest.raises(EventError, match="for a token secret under oauth/tokens/") as refusal:
        parse_rotation(event, secret_prefix="oauth")
    assert "MARK" not in str(refusal.value)
