"""From an alarm to the account, the reason and the fix, for each kind of failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.deployment.failure_stories import (
    ACCOUNT,
    COLUMNS,
    ENDS,
    FAILURES,
    RECORD,
    SECONDS_SHOWN,
    TIMES,
    Story,
    happen,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT: Final[Mapping[str, Any]] = json.loads(RECORD.read_bytes())
ACTION: Final = "What needs action now"
PASSES: Final = "What fails now and is tried again by itself"
# Nothing is swept, so no line tells of it.
UNTOLD: Final = frozenset({"schedule"})
KINDS: Final = {"consent": "Consent Ending", "down": "Refresh Failed", "lost": "Refresh Failed"}
OF_AN_ACCOUNT: Final = sorted(FAILURES.keys() - UNTOLD - {"unlisted"})


@pytest.fixture(scope="module")
def stories(_built: str) -> dict[str, Story]:
    return happen(is_built=True)


def row(story: Story) -> dict[str, str]:
    told = story.told["row"]
    assert isinstance(told, dict)
    return told


def test_there_are_ten_kinds_and_more() -> None:
    assert len(FAILURES) > 10
    assert list(KEPT) == [failure.what for failure in FAILURES.values()]


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_told_of_it_is_what_the_runbook_shows(stories: dict[str, Story], name: str) -> None:
    assert stories[name].told == KEPT[FAILURES[name].what], "run make failures, then make docs"
    assert stories[name].told.keys() == {"alarm", *COLUMNS}


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
def test_a_table_names_the_account_with_its_error_and_what_to_do(
    stories: dict[str, Story], name: str
) -> None:
    told = row(stories[name])
    needs_action = told["failure_class"] == "action required"
    assert told["table"] == (ACTION if needs_action else PASSES)
    assert told["account"] == ACCOUNT
    assert told["error"]
    assert told["fix"]


@pytest.mark.parametrize("name", sorted(set(OF_AN_ACCOUNT) - {"consent"}))
def test_a_table_says_since_when_and_when_it_is_tried_again(
    stories: dict[str, Story], name: str
) -> None:
    assert row(stories[name])["times"] == ", ".join(TIMES)


def test_what_no_account_is_to_blame_for_is_in_the_table_too(stories: dict[str, Story]) -> None:
    told = row(stories["unlisted"])
    assert (told["table"], told["account"]) == (ACTION, "")
    assert "token-refresher doctor " in told["fix"]


@pytest.mark.parametrize("name", sorted(UNTOLD))
def test_where_nothing_is_swept_the_table_is_empty(stories: dict[str, Story], name: str) -> None:
    assert stories[name].told["row"] is None


@pytest.mark.parametrize("name", FAILURES)
def test_the_table_and_the_alarms_own_command_say_the_same(
    stories: dict[str, Story], name: str
) -> None:
    answer = stories[name].told["answer"]
    if isinstance(answer, dict) and answer["says"]:
        assert answer["error"] == row(stories[name])["error"]
        assert answer["says"].endswith(row(stories[name])["fix"])


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
def test_an_event_names_the_account_the_error_and_what_to_do(
    stories: dict[str, Story], name: str
) -> None:
    event, told = stories[name].told["event"], row(stories[name])
    assert isinstance(event, dict)
    assert event["kind"] == KINDS.get(name, f"{told['failure_class']}".title())
    assert ACCOUNT in event["message"]
    assert told["error"] in event["message"] or name == "consent"
    sentence, fix = told["fix"][0], told["fix"][1:]
    assert event["message"].endswith((sentence.upper() + fix, f"{sentence.upper()}{fix}."))


@pytest.mark.parametrize("name", FAILURES)
def test_doctor_finds_it(stories: dict[str, Story], name: str) -> None:
    found = stories[name].told["doctor"]
    assert isinstance(found, dict)
    assert found["fix"]


@pytest.mark.parametrize("name", OF_AN_ACCOUNT)
def test_an_account_stays_in_the_table_while_it_backs_off(
    stories: dict[str, Story], name: str
) -> None:
    """Each sweep's own lines would do, whether or not it has tried the account."""
    story = stories[name]
    invocations: dict[str, list[Any]] = {}
    for event in story.events:
        if f'"account":"{ACCOUNT}"' in event.message:
            invocations.setdefault(json.loads(event.message)["request_id"], []).append(event)
    assert len(invocations) > 1
    assert {tuple(story.accounts(lines)) for lines in invocations.values()} == {(ACCOUNT,)}


@pytest.mark.parametrize("name", ENDS)
def test_an_account_that_was_corrected_or_removed_leaves_after_two_ticks(
    stories: dict[str, Story], name: str
) -> None:
    story = stories[name]
    lines = [*story.events, *story.after]
    assert story.accounts(story.after) == []
    assert story.accounts(lines) == [ACCOUNT]
    assert story.accounts(lines, later=SECONDS_SHOWN + 60) == []


@pytest.mark.parametrize("name", FAILURES)
def test_no_line_of_it_holds_a_secret(stories: dict[str, Story], name: str) -> None:
    told = "".join(event.message for event in [*stories[name].events, *stories[name].after])
    for mark in ("secret-of-", "password-of-", "another-client-secret", "an-invented-api-key"):
        assert mark not in told
