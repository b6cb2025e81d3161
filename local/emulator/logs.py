"""ministack's CloudWatch Logs: the only module that reaches into its queries.

ministack runs a part of the query language and ignores the rest, so that a query would be proved
to work that AWS refuses.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ministack.core.responses import error_response_json
from ministack.services import cloudwatch_logs as ministack

from local.emulator import insights

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, dict[str, str], bytes]

_ministack_starts: Callable[[Json], Answer] = ministack._start_query


def install() -> None:
    """Run queries as AWS documents them, and refuse what is not known here."""
    ministack._start_query = _start_query


def _start_query(request: Json) -> Answer:
    """Run a query at once; its results are fetched from ministack."""
    answer = _ministack_starts({**request, "queryString": "", "limit": None})
    status, _, body = answer
    if status != 200:  # noqa: PLR2004 - the groups are ministack's own
        return answer
    try:
        rows = _rows(request)
    except insights.RefusedError as refusal:
        refused: Answer = error_response_json("MalformedQueryException", str(refusal), 400)
        return refused
    query = ministack._queries[json.loads(body)["queryId"]]
    query["results"] = [
        [{"field": field, "value": value} for field, value in row.items()] for row in rows
    ]
    query["statistics"]["recordsMatched"] = float(len(rows))
    return answer


def _rows(request: Json) -> list[insights.Row]:
    if "limit" in request:
        raise insights.RefusedError("A limit beside the query is not known here.")
    groups = ministack._resolve_query_log_groups(request)
    records = ministack._collect_query_records(groups, request["startTime"], request["endTime"])
    events = [
        insights.Event(each["_timestamp_ms"], each["@message"], each["@ptr"]) for each in records
    ]
    return insights.run(request["queryString"], events, now_seconds=int(time.time()))
