"""What becomes of an account whose secret somebody fills up with versions: a script in a loop."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.conftest import MACHINE, PASSWORD, Deployed, fill

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud

TICK: Final = timedelta(minutes=5)
DUE: Final = timedelta(minutes=45)
A_DAY: Final = timedelta(days=1)
NAME: Final = "dealer-17"
CREDENTIALS: Final = f"oauth/credentials/{NAME}"
TOKEN: Final = f"oauth/tokens/{NAME}"
LIMIT: Final = "LimitExceededException"


def let_pass(by: timedelta, deployed: Deployed, cloud: EmbeddedCloud) -> None:
    """Let time pass for the function, the authorization server and Secrets Manager."""
    deployed.clock.advance(by)
    cloud.advance(by)


def stored(deployed: Deployed) -> dict[str, list[str]]:
    return deployed.secrets.describe_secret(SecretId=CREDENTIALS)["VersionIdsToStages"]


def sent(deployed: Deployed) -> list[str | None]:
    return [request.grant_type for request in deployed.server.requests]


def failure_tag(deployed: Deployed) -> str:
    tags = deployed.secrets.describe_secret(SecretId=TOKEN)["Tags"]
    told = {tag["Key"]: tag["Value"] for tag in tags}
    return told.get("token-refresher:failure", "")


def only(summary: dict[str, Any]) -> dict[str, Any]:
    [told] = summary["accounts"]
    return dict(told)


def test_of_filled_up_credentials_it_says_so_sends_nothing_and_heals_by_itself(
    deployed: Deployed, cloud: EmbeddedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.onboard_refresh_only(NAME)
    deployed.handler(EVENTS="true")
    deployed.sweep()
    before, requests = deployed.token(NAME), len(sent(deployed))
    deployed.clock.advance(DUE)
    fill(cloud, CREDENTIALS)
    as_filled = stored(deployed)
    deployed.events.clear()
    capsys.readouterr()
    told = only(deployed.sweep())

    assert (told["outcome"], told["error"], told["failure_class"], told["needs_action"]) == (
        *("failed", LIMIT, "action required", True),
    )
    assert told["detail"] == (
        f"PutSecretValue failed: {LIMIT}: "
        "the credentials secret was given too many versions in a day, or has twenty stages"
    )
    assert "stop what else writes it" in told["fix"]
    assert told["fix"] in capsys.readouterr().out
    assert failure_tag(deployed).startswith(f"action required: {LIMIT}/1/")
    assert [each["DetailType"] for each in deployed.events] == ["Action Required"]
    # Nothing was sent, and nothing is changed: neither the token nor the stages.
    assert len(sent(deployed)) == requests
    assert (deployed.token(NAME), stored(deployed)) == (before, as_filled)

    let_pass(A_DAY, deployed, cloud)
    assert only(deployed.sweep())["outcome"] == "published"
    assert sent(deployed)[requests:] == ["refresh_token"]
    assert failure_tag(deployed) == ""
    assert "Refresh Recovered" in {each["DetailType"] for each in deployed.events}


@pytest.mark.slow
def test_a_person_need_not_wait_for_a_day(deployed: Deployed, cloud: EmbeddedCloud) -> None:
    """A new secret of the same name has no versions yet; with it goes what was journaled."""
    deployed.onboard_refresh_only(NAME)
    deployed.sweep()
    let_pass(DUE, deployed, cloud)
    fill(cloud, CREDENTIALS)
    assert only(deployed.sweep())["error"] == LIMIT
    deployed.secrets.delete_secret(SecretId=CREDENTIALS, ForceDeleteWithoutRecovery=True)
    consent = deployed.server.issue_initial_refresh_token(NAME)
    deployed.store(NAME, {"grant_type": "refresh_token", "refresh_token": consent})

    assert only(deployed.sweep())["outcome"] == "published"


@pytest.mark.slow
def test_an_account_with_a_primary_grant_goes_on(deployed: Deployed, cloud: EmbeddedCloud) -> None:
    """Only its refresh token cannot be kept, and that is said with the reason."""
    deployed.onboard(NAME, PASSWORD)
    deployed.sweep()
    deployed.clock.advance(timedelta(hours=11))
    fill(cloud, CREDENTIALS)
    before = deployed.token(NAME)
    told = only(deployed.sweep())

    assert (told["outcome"], told["error"]) == ("published", "journal_not_written")
    assert f"{LIMIT}: the credentials secret was given too many versions in a day" in told["detail"]
    assert deployed.token(NAME)["access_token"] != before["access_token"]
    let_pass(A_DAY, deployed, cloud)
    assert "error" not in only(deployed.sweep())


@pytest.mark.slow
def test_of_a_filled_up_token_secret_it_says_so_and_what_is_published_stays(
    deployed: Deployed, cloud: EmbeddedCloud
) -> None:
    deployed.onboard(NAME, MACHINE, access_token_lifetime=timedelta(hours=1))
    deployed.sweep()
    let_pass(DUE, deployed, cloud)
    fill(cloud, TOKEN)
    before = deployed.token(NAME)
    told = only(deployed.sweep())

    assert (told["outcome"], told["error"], told["needs_action"]) == ("failed", LIMIT, True)
    assert "the token secret was given too many versions in a day" in told["detail"]
    assert deployed.token(NAME) == before
    let_pass(A_DAY, deployed, cloud)
    assert only(deployed.sweep())["outcome"] == "published"
    assert failure_tag(deployed) == ""


@pytest.mark.slow
def test_a_journaled_response_is_published_once_the_token_secret_has_room(
    deployed: Deployed, cloud: EmbeddedCloud
) -> None:
    deployed.onboard_refresh_only(NAME, access_token_lifetime=timedelta(days=2))
    deployed.sweep()
    let_pass(timedelta(hours=47), deployed, cloud)
    fill(cloud, TOKEN)
    assert only(deployed.sweep())["error"] == LIMIT
    requests = len(sent(deployed))
    let_pass(A_DAY, deployed, cloud)

    assert only(deployed.sweep())["outcome"] == "published"
    assert len(sent(deployed)) == requests
    [journal] = [each for each, stages in stored(deployed).items() if "TOKENRESPONSE" in stages]
    published = deployed.secrets.get_secret_value(SecretId=TOKEN)
    assert published["VersionId"] == journal
    assert json.loads(published["SecretString"])["expires_at"] > deployed.clock.now().timestamp()
