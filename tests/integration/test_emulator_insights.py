"""Queries over logs answer as AWS documents it, and what is not known here is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.emulator.insights import MOST_FIELDS, Event, RefusedError, run
from tests.integration.test_emulator_functions import deploy, invoke

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud

NOW_SECONDS = 1_795_528_800
PRINT_LINES = """
def handler(event, context):
    for line in event:
        print(line)
"""


def events(*documents: dict[str, Any]) -> list[Event]:
    """One JSON line a minute, the newest last and a minute old."""
    oldest = NOW_SECONDS - 60 * len(documents)
    return [
        Event((oldest + 60 * number) * 1000, json.dumps(document), f"pointer-{number}")
        for number, document in enumerate(documents)
    ]


def answers(query: str, *documents: dict[str, Any]) -> list[dict[str, str]]:
    """Run a query, and leave the pointers out."""
    rows = run(query, events(*documents), now_seconds=NOW_SECONDS)
    assert all(row.pop("@ptr").startswith("pointer-") for row in rows)
    return rows


def test_without_fields_the_time_and_the_line_are_shown() -> None:
    assert answers("limit 1", {"account": "a"}) == [
        {"@timestamp": "2026-11-24 13:59:00.000", "@message": '{"account": "a"}'}
    ]


def test_fields_are_those_of_the_lines_json_nested_ones_by_their_path() -> None:
    document = {"a": "x", "b": {"c": [1, {"d": 2.5}]}}
    assert answers("fields a, b.c.0, b.c.1.d", document) == [
        {"a": "x", "b.c.0": "1", "b.c.1.d": "2.5"}
    ]


def test_a_line_has_the_fields_of_the_first_json_in_it() -> None:
    [row] = run("fields a", [Event(0, 'ERROR {"a": 1} {"a": 2}', "p")], now_seconds=NOW_SECONDS)
    assert row == {"a": "1", "@ptr": "p"}


@pytest.mark.parametrize("line", ["START RequestId: 1", "half {", ""])
def test_a_line_without_json_has_no_fields(line: str) -> None:
    assert run("fields a", [Event(0, line, "p")], now_seconds=NOW_SECONDS) == [{"@ptr": "p"}]


def test_a_row_lacks_what_its_line_lacks() -> None:
    assert answers("fields a, b", {"a": "1"}, {"b": "2"}) == [{"a": "1"}, {"b": "2"}]


def test_lines_may_be_taken_by_their_age() -> None:
    query = "fields n | filter toMillis(@timestamp) >= (now() * 1000 - 120000)"
    assert answers(query, {"n": 3}, {"n": 2}, {"n": 1}) == [{"n": "2"}, {"n": "1"}]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("n > 2", ["3"]), ("n >= 2", ["2", "3"]), ("n < 2", ["1"]), ("n <= (7 - 3) / 2", ["1", "2"])],
)
def test_numbers_are_compared(condition: str, expected: list[str]) -> None:
    rows = answers(f"fields n | filter {condition}", {"n": 1}, {"n": 2}, {"n": 3})
    assert [row["n"] for row in rows] == expected


def test_a_text_is_searched_with_regard_to_case_and_what_lacks_it_does_not_match() -> None:
    rows = answers("filter a like 'b\"C' | fields a", {"a": 'ab"Cd'}, {"a": 'ab"cd'}, {"n": 1})
    assert rows == [{"a": 'ab"Cd'}]


def test_dedup_keeps_the_first_in_the_order_and_whatever_lacks_the_field() -> None:
    documents: list[dict[str, Any]] = [{"a": "x", "n": 1}, {"a": "x", "n": 2}, {"n": 3}, {"n": 4}]
    newest = [{"n": "4"}, {"n": "3"}, {"n": "2"}]
    assert answers("fields n | dedup a", *documents) == newest
    assert answers("fields n | sort @timestamp desc | dedup a", *documents) == newest
    oldest = [{"n": "1"}, {"n": "3"}, {"n": "4"}]
    assert answers("fields n | sort @timestamp asc | dedup a", *documents) == oldest
    assert answers("fields n | sort @timestamp asc | dedup a | limit 1", *documents) == oldest[:1]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="nothing"),
        pytest.param("fields a |", id="a command is missing"),
        pytest.param("fields a b", id="a pipe is missing"),
        pytest.param("fields", id="a field is missing"),
        pytest.param("fields a as b", id="an alias"),
        pytest.param("fields a | fields b", id="fields twice"),
        pytest.param("fields @ingestionTime", id="another field of the service"),
        pytest.param("fields yes", id="a boolean"),
        pytest.param("fields nothing", id="a null"),
        pytest.param("parse @message 'a*' as b", id="another command"),
        pytest.param("stats latest(a) by b", id="an aggregation"),
        pytest.param("SOURCE 'group' | fields a", id="a source"),
        pytest.param("filter a", id="a filter without a comparison"),
        pytest.param("filter a = 'x'", id="another operator"),
        pytest.param("filter a like /x/", id="a regular expression"),
        pytest.param("filter a like 'x' and n > 1", id="a Boolean operator"),
        pytest.param("filter ispresent(a)", id="another function"),
        pytest.param("filter a > 1", id="a text that is compared"),
        pytest.param("filter missing > 1", id="nothing that is compared"),
        pytest.param("filter n like '1'", id="a number that is searched"),
        pytest.param("filter toMillis(n) > 1", id="a number that is no time"),
        pytest.param("filter (n > 1", id="a bracket that is not closed"),
        pytest.param("filter n + 1", id="a sum alone"),
        pytest.param("sort a desc", id="sorted by another field"),
        pytest.param("sort @timestamp", id="sorted without a direction"),
        pytest.param("dedup a | fields a", id="something but limit after dedup"),
        pytest.param("limit 1 | dedup a", id="something after limit"),
        pytest.param("limit 0", id="a limit of nothing"),
        pytest.param("limit 10001", id="a limit beyond the service's"),
        pytest.param("fields a # comment", id="a comment"),
        pytest.param("filter a like '\\\\'", id="an escape"),
    ],
)
def test_what_is_not_known_is_refused(query: str) -> None:
    with pytest.raises(RefusedError):
        answers(query, {"a": "x", "n": 1, "yes": True, "nothing": None})


def test_a_line_with_more_fields_than_are_discovered_is_refused() -> None:
    with pytest.raises(RefusedError):
        answers("fields f0", {f"f{number}": number for number in range(MOST_FIELDS + 1)})


def test_what_a_function_prints_can_be_queried(cloud: EmbeddedCloud) -> None:
    deploy(cloud, PRINT_LINES)
    invoke(cloud, ['{"account":"dealer-17"}', "no JSON"])
    logs, query = cloud.client("logs"), "filter @message like 'account' | fields account"
    times = {"startTime": 0, "endTime": 2**31}
    started = logs.start_query(logGroupName="/aws/lambda/f", queryString=query, **times)
    answer = logs.get_query_results(queryId=started["queryId"])
    assert answer["status"] == "Complete"
    [[account, pointer]] = answer["results"]
    assert account == {"field": "account", "value": "dealer-17"}
    assert pointer["field"] == "@ptr"
    assert answer["statistics"]["recordsMatched"] == 1


@pytest.mark.parametrize(
    "request_", [{"queryString": "stats count()"}, {"queryString": "limit 1", "limit": 2}]
)
def test_a_query_that_is_not_known_is_no_query(
    cloud: EmbeddedCloud, request_: dict[str, Any]
) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="group")
    with pytest.raises(logs.exceptions.MalformedQueryException):
        logs.start_query(logGroupName="group", startTime=0, endTime=1, **request_)


def test_a_log_that_is_not_there_cannot_be_queried(cloud: EmbeddedCloud) -> None:
    logs = cloud.client("logs")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.start_query(logGroupName="none", startTime=0, endTime=1, queryString="limit 1")
