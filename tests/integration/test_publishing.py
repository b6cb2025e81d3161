"""What consumers get of a server's response, and what no server can make them get."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.conftest import MACHINE, PASSWORD, SECRET, Deployed

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS: Final[dict[str, object]] = {
    "instance_url": "https://acme.example/?a=1&b=ü",
    "team": {"id": "T-1", "seats": 12, "quota": 0.5, "is_live": True},
}
# A due time of tokens that live twelve hours.
DUE: Final = timedelta(minutes=631)


def text(deployed: Deployed, name: str = "dealer-17") -> str:
    value = deployed.secrets.get_secret_value(SecretId=f"oauth/tokens/{name}")
    return value["SecretString"]


def publish(deployed: Deployed, wanted: Mapping[str, Any], **registration: Any) -> str:  # noqa: ANN401
    """Onboard an account, let its token be published, and return the secret's text."""
    registration = {"response_fields": FIELDS, "token_ending": "!AQ|x", **registration}
    deployed.onboard("dealer-17", {**PASSWORD, "publish": wanted}, **registration)
    summary = deployed.sweep()
    assert summary["outcomes"].get("published") == 1, summary
    return text(deployed)


def test_added_fields_are_published_beside_the_standard_ones(deployed: Deployed) -> None:
    token = json.loads(
        publish(deployed, {"fields": ["instance_url", "team.seats", "team.is_live"]})
    )
    assert token["access_token"].endswith("!AQ|x")
    assert token["token_type"] == "Bearer"
    assert token["expires_at"] - token["issued_at"] == timedelta(hours=12).total_seconds()
    added = {name: token[name] for name in ("instance_url", "seats", "is_live")}
    assert added == {"instance_url": FIELDS["instance_url"], "seats": 12, "is_live": True}
    assert "refresh_token" not in token


def test_a_text_is_published_as_it_is_and_replaced_by_the_next(deployed: Deployed) -> None:
    first = publish(deployed, {"as": "Bearer {access_token}"})
    assert first.startswith("Bearer ")
    assert first.endswith("!AQ|x")
    deployed.clock.advance(DUE)
    deployed.sweep()
    second = text(deployed)
    assert second.startswith("Bearer ")
    assert second != first


def test_an_object_is_published_with_names_of_its_own(deployed: Deployed) -> None:
    wanted = {"authorization": "Bearer {access_token}", "quota": "{response.team.quota}",
              "url": "{response.instance_url}", "until": "{expires_at}"}  # fmt: skip
    token = json.loads(publish(deployed, {"as": wanted}))
    assert list(token) == list(wanted)
    assert token["authorization"].startswith("Bearer ")
    assert (token["quota"], token["url"]) == (0.5, FIELDS["instance_url"])
    assert isinstance(token["until"], int)


def test_a_journaled_response_is_published_again_in_the_same_form_without_a_request(
    deployed: Deployed,
) -> None:
    wanted = {"fields": ["instance_url", "team.quota"]}
    deployed.onboard("dealer-17", {**PASSWORD, "publish": wanted}, response_fields=FIELDS)
    deployed.sweep()
    published = text(deployed)
    deployed.secrets.delete_secret(
        SecretId="oauth/tokens/dealer-17", ForceDeleteWithoutRecovery=True
    )
    deployed.clock.advance(timedelta(minutes=5))
    deployed.sweep()
    again = json.loads(text(deployed))
    assert again.keys() == json.loads(published).keys()
    assert (again["instance_url"], again["quota"]) == (FIELDS["instance_url"], 0.5)
    assert len(deployed.server.requests) == 1


@pytest.mark.parametrize(
    ("wanted", "echo"),
    [
        pytest.param({"fields": ["note"]}, {"note": f"you are {SECRET}"}, id="in a field"),
        pytest.param({"as": "{access_token} {response.note}"}, {"note": SECRET}, id="in a text"),
        pytest.param({"fields": ["note"]}, {"note": "MARK%2Dpassword"}, id="as a form has it"),
    ],
)
def test_a_server_that_echoes_a_secret_publishes_nothing_and_the_token_stays(
    deployed: Deployed,
    wanted: dict[str, Any],
    echo: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    deployed.onboard(
        "dealer-17", {**PASSWORD, "publish": wanted}, response_fields={"note": "welcome"}
    )
    deployed.sweep()
    before = text(deployed)
    deployed.server.client("dealer-17").response_fields.update(echo)
    deployed.clock.advance(DUE)
    summary = deployed.sweep()
    (told,) = summary["accounts"]
    assert (told["outcome"], told["error"]) == ("failed", "secret_in_response")
    assert "`publish." in told["detail"]
    assert text(deployed) == before
    printed = capsys.readouterr()
    seen = printed.out + printed.err + json.dumps(summary)
    assert SECRET not in seen
    assert "MARK%2Dpassword" not in seen


def test_a_standard_token_that_tells_the_client_secret_is_not_published(
    deployed: Deployed,
) -> None:
    deployed.onboard("machine", MACHINE, token_ending=SECRET)
    (told,) = deployed.sweep()["accounts"]
    assert (told["outcome"], told["error"]) == ("failed", "secret_in_response")
    assert "`access_token`" in told["detail"]
    with pytest.raises(deployed.secrets.exceptions.ResourceNotFoundException):
        text(deployed, "machine")


def test_a_response_that_lacks_a_field_publishes_nothing_and_the_token_stays(
    deployed: Deployed,
) -> None:
    before = publish(deployed, {"fields": ["instance_url"]})
    deployed.server.client("dealer-17").response_fields.clear()
    deployed.clock.advance(DUE)
    (told,) = deployed.sweep()["accounts"]
    assert (told["outcome"], told["failure_class"]) == ("failed", "invalid response")
    assert "`publish.fields[0]`" in told["detail"]
    assert text(deployed) == before
