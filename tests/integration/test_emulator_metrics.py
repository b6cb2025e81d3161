"""Log lines in CloudWatch's embedded metric format become the metrics that AWS would make."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local.emulator.embedded_metrics import Datum, metrics_in
from tests.integration.test_emulator_functions import deploy, invoke

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
PRINT_LINES = """
def handler(event, context):
    for line in event:
        print(line)
"""


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Write a line in the format, as Powertools does, with some members changed."""
    directive = {
        "Namespace": "TokenRefresher",
        "Dimensions": [["service"], ["service", "class"]],
        "Metrics": [{"Name": "RefreshFailures", "Unit": "Count"}],
    }
    return {
        "_aws": {
            "Timestamp": int(NOW.timestamp() * 1000),
            "CloudWatchMetrics": [{**directive, **changes.pop("directive", {})}],
            **changes.pop("metadata", {}),
        },
        "service": "token-refresher",
        "class": "transient",
        "RefreshFailures": [1.0, 2],
        "account": "dealer-17",
        **changes,
    }


def test_a_line_carries_each_metric_once_for_each_set_of_dimensions() -> None:
    whole = {"service": "token-refresher", "class": "transient"}
    assert metrics_in(json.dumps(document())) == [
        Datum("TokenRefresher", "RefreshFailures", dimensions, "Count", [1, 2], NOW.timestamp())
        for dimensions in ({"service": "token-refresher"}, whole)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"RefreshFailures": 3}, [3], id="one value without an array"),
        pytest.param({"RefreshFailures": [1] * 100}, [1] * 100, id="a hundred values"),
    ],
)
def test_a_metric_has_up_to_a_hundred_values(changes: dict[str, Any], expected: list[int]) -> None:
    line = json.dumps(document(**changes))
    assert [datum.values for datum in metrics_in(line)] == [expected, expected]


def test_a_metric_without_a_unit_has_none() -> None:
    line = json.dumps(document(directive={"Metrics": [{"Name": "RefreshFailures"}]}))
    assert {datum.unit for datum in metrics_in(line)} == {"None"}


def test_a_set_of_dimensions_may_be_empty() -> None:
    line = json.dumps(document(directive={"Dimensions": [[]]}))
    assert [datum.dimensions for datum in metrics_in(line)] == [{}]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("START RequestId: 1", id="text"),
        pytest.param("", id="nothing"),
        pytest.param("[1]", id="an array"),
        pytest.param('{"level": "INFO"}', id="another object"),
        pytest.param("x" + json.dumps(document()), id="text before the object"),
        pytest.param(json.dumps(document(_aws=None)), id="no metadata"),
        pytest.param(json.dumps(document(metadata={"Timestamp": "now"})), id="no timestamp"),
        pytest.param(json.dumps(document(metadata={"CloudWatchMetrics": {}})), id="no directives"),
        pytest.param(json.dumps(document(directive={"Namespace": ""})), id="no namespace"),
        pytest.param(json.dumps(document(directive={"Dimensions": []})), id="no set of dimensions"),
        pytest.param(json.dumps(document(directive={"Dimensions": [["x"]]})), id="no such member"),
        pytest.param(json.dumps(document(service=1)), id="a dimension that is a number"),
        pytest.param(
            json.dumps(document(directive={"Metrics": [{"Name": "RefreshFailures", "Unit": "s"}]})),
            id="no such unit",
        ),
        pytest.param(json.dumps(document(RefreshFailures="1")), id="a value that is text"),
        pytest.param(json.dumps(document(RefreshFailures=True)), id="a value that is true"),
        pytest.param(json.dumps(document(RefreshFailures=[])), id="no value"),
        pytest.param(json.dumps(document(RefreshFailures=[1] * 101)), id="too many values"),
        pytest.param(json.dumps(document(RefreshFailures=float("nan"))), id="a value that is NaN"),
    ],
)
def test_a_line_that_breaks_the_format_carries_no_metric(line: str) -> None:
    assert metrics_in(line) == []


def test_what_a_function_prints_in_the_format_is_stored_as_metrics(cloud: EmbeddedCloud) -> None:
    deploy(cloud, PRINT_LINES)
    invoke(cloud, ["swept", json.dumps(document(metadata=since_just_now())), "{"])
    statistics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="TokenRefresher",
        MetricName="RefreshFailures",
        Dimensions=[
            {"Name": "service", "Value": "token-refresher"},
            {"Name": "class", "Value": "transient"},
        ],
        StartTime=datetime.now(UTC) - timedelta(hours=1),  # noqa: TID251
        EndTime=datetime.now(UTC) + timedelta(hours=1),  # noqa: TID251
        Period=86_400,
        Statistics=["Sum", "Maximum", "SampleCount"],
    )
    (point,) = statistics["Datapoints"]
    assert (point["Sum"], point["Maximum"], point["SampleCount"]) == (3, 2, 2)
    assert point["Unit"] == "Count"


def test_lines_out_of_format_store_nothing(cloud: EmbeddedCloud) -> None:
    deploy(cloud, PRINT_LINES)
    invoke(cloud, ["swept", json.dumps(document(RefreshFailures="many"))])
    metrics = cloud.client("cloudwatch").list_metrics(Namespace="TokenRefresher")["Metrics"]
    assert metrics == []


def since_just_now() -> dict[str, Any]:
    """Return a timestamp that CloudWatch takes: none of more than two weeks ago."""
    return {"Timestamp": int(datetime.now(UTC).timestamp() * 1000)}  # noqa: TID251


def test_what_was_measured_weeks_ago_is_still_known(cloud: EmbeddedCloud) -> None:
    cloudwatch = cloud.client("cloudwatch")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    datum = {"MetricName": "SweepsCompleted", "Timestamp": at, "Value": 1.0}
    cloudwatch.put_metric_data(Namespace="TokenRefresher", MetricData=[datum])
    told = cloudwatch.get_metric_statistics(
        Namespace="TokenRefresher",
        MetricName="SweepsCompleted",
        StartTime=at,
        EndTime=at + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    assert [point["Sum"] for point in told["Datapoints"]] == [1]
