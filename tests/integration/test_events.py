"""Events are what their schema promises: those of every story, and those on a real bus."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conftest import MACHINE
from tests.integration.test_embedded_cloud import within
from tests.scenarios.runner import events_of
from tests.scenarios.scenario import parse, stories
from tests.schemas import FOLDER, RELEASED, SCHEMA, delivered, faults_of
from token_refresher.changes import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.integration.conftest import Deployed

SECONDS = 60.0


@pytest.mark.parametrize(
    "schema",
    [SCHEMA, *(pytest.param(each, marks=pytest.mark.slow) for each in RELEASED)],
    ids=lambda path: path.parent.name,
)
def test_every_event_of_every_story_is_of_the_schema(
    schema: Path,
) -> None:
    told = [
        delivered(each) for _, story in stories() for each in events_of(parse(story)).put_so_far
    ]

    # A later version may put other kinds, which a rule for those of this one passes over.
    kinds = set(json.loads(schema.read_text())["properties"]["detail-type"]["enum"])

    assert {each["detail-type"] for each in told} == set(Kind) >= kinds
    assert len(told) > 500
    assert faults_of((each for each in told if each["detail-type"] in kinds), schema) == []


def test_a_released_version_has_its_schema() -> None:
    assert "1.0.0" in {path.parent.name for path in RELEASED}


def examples() -> dict[str, dict[str, Any]]:
    return {
        path.name: json.loads(path.read_text())
        for path in FOLDER.glob("*.json")
        if not path.name.endswith(".schema.json")
    }


def test_each_kind_has_an_example_that_the_program_would_put() -> None:
    found = examples()

    assert {each["detail-type"] for each in found.values()} == set(Kind)
    assert faults_of(found.values()) == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        pytest.param("token-published.json", {"version_id": None}, id="no version"),
        pytest.param("token-published.json", {"expires_at": "2026-11-24"}, id="no time"),
        pytest.param("token-published.json", {"code": "timeout"}, id="a code of nothing"),
        pytest.param("refresh-failed.json", {"failure_class": "action required"}, id="a class"),
        pytest.param("refresh-failed.json", {"message": 'say "it"'}, id="quotes in a message"),
        pytest.param("action-required.json", {"change_id": "dealer-17"}, id="no id"),
        pytest.param("consent-ending.json", {"consent_ends_at": None}, id="no end"),
        pytest.param("refresh-recovered.json", {"schema_version": "2"}, id="another schema"),
    ],
)
def test_what_is_not_promised_is_noticed(name: str, changed: dict[str, Any]) -> None:
    event = examples()[name]

    assert faults_of([event | {"detail": event["detail"] | changed}]) != []


@pytest.fixture
def queue(cloud: EmbeddedCloud) -> Queue:
    return Queue(cloud)


class Queue:
    """A queue that a rule sends events to: all of the program's, unless told otherwise."""

    def __init__(
        self,
        cloud: EmbeddedCloud,
        pattern: str = '{"source": ["token-refresher"]}',
        *,
        name: str = "events",
    ) -> None:
        self._sqs = cloud.client("sqs")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        events = cloud.client("events")
        events.put_rule(Name=name, EventPattern=pattern)
        arn = f"arn:aws:sqs:eu-west-1:000000000000:{name}"
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        self.events: list[dict[str, Any]] = []

    def has(self, count: int) -> bool:
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        for each in answer.get("Messages", []):
            self.events.append(json.loads(each["Body"]))
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        return len(self.events) >= count


def test_the_functions_events_reach_a_rule_of_the_default_bus(
    deployed: Deployed, queue: Queue
) -> None:
    deployed.handler(EVENTS="true")
    deployed.onboard("well", MACHINE)
    deployed.store("mistyped", {**MACHINE, "client_secret": "MARK-wrong"})
    deployed.sweep()

    assert within(SECONDS, lambda: queue.has(2))
    kinds = {each["detail"]["account"]: each["detail-type"] for each in queue.events}
    assert kinds == {"well": "Token Published", "mistyped": "Action Required"}
    assert faults_of(queue.events) == []
    assert "MARK" not in json.dumps(queue.events)
    deployed.clock.advance(timedelta(minutes=5))
    deployed.sweep()
    assert not queue.has(3)


def test_where_they_are_not_wanted_the_bus_is_not_asked(deployed: Deployed) -> None:
    deployed.handler()
    deployed.onboard("well", MACHINE)
    deployed.sweep()

    assert deployed.events == []
