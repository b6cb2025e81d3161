"""What the event bus makes of calls and answers, without an EventBridge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from token_refresher.aws.event_bus import EventBus, create_client
from token_refresher.ports import Announcement

AT = datetime(2026, 11, 24, 1, tzinfo=UTC)
EVENTS = [
    Announcement("Token Published", json.dumps({"account": name}), AT)
    for name in ("dealer-17", "dealer-18")
]


@pytest.fixture
def client() -> Any:  # noqa: ANN401 - as the program has it
    """The program's own client, with nobody at its endpoint."""
    return create_client(connections=8, user_agent="token-refresher/test")


@pytest.fixture
def bus(client: Any) -> EventBus:  # noqa: ANN401
    return EventBus(client, source="token-refresher")


def test_events_are_put_on_the_default_bus_in_the_programs_name_at_the_time_of_the_change(
    client: Any,  # noqa: ANN401
    bus: EventBus,
) -> None:
    expected = [
        {
            "Time": AT,
            "Source": "token-refresher",
            "DetailType": each.kind,
            "Detail": each.detail,
        }
        for each in EVENTS
    ]
    with Stubber(client) as stub:
        put = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}, {"EventId": "2"}]}
        stub.add_response("put_events", put, {"Entries": expected})
        assert bus.put(EVENTS) == ["", ""]


def test_each_event_that_was_not_taken_has_its_own_code(
    client: Any,  # noqa: ANN401
    bus: EventBus,
) -> None:
    with Stubber(client) as stub:
        entries = [{"EventId": "1"}, {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow"}]
        stub.add_response("put_events", {"FailedEntryCount": 1, "Entries": entries})
        assert bus.put(EVENTS) == ["", "ThrottlingException"]


def test_a_refusal_of_the_call_is_one_of_each_event(
    client: Any,  # noqa: ANN401
    bus: EventBus,
) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("put_events", "AccessDeniedException", http_status_code=400)
        assert bus.put(EVENTS) == ["AccessDeniedException"] * 2


def test_where_nobody_answers_it_is_tried_once_and_not_again(
    client: Any,  # noqa: ANN401
    bus: EventBus,
) -> None:
    attempts: list[object] = []
    client.meta.events.register("before-send.events", lambda **_: attempts.append(1))

    assert bus.put(EVENTS) == ["EndpointConnectionError"] * 2
    assert len(attempts) == 1


def test_one_call_ends_within_what_is_left_for_it(client: Any) -> None:  # noqa: ANN401
    config = client.meta.config

    assert config.connect_timeout + config.read_timeout < 4
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}
    assert config.max_pool_connections == 8
