"""What was tried to make it faster: each as it was, and as it would be, in turns."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.accounts import FRESH, MACHINE, utc_now
from benchmarks.function import MeasuredFunction
from benchmarks.report import Findings, Table, ratio, spread
from benchmarks.servers import Servers

HANDLER: Final = "benchmarks.floors.tried.lambda_handler"
ROUNDS: Final = 7
PAGE: Final = 100

NOTE: Final = f"""\
Processor time of one, as it was and as it would be; the same process does both in turns. Medians of
{ROUNDS} interleaved rounds, with the middle half."""


class Trial(NamedTuple):
    """Something that was tried.

    Attributes:
        what: In the table's words.
        before: How it was.
        after: How it would be, or is.
        times: How often in a round, so that it can be measured.
        kept: Whether it was, and why not.
    """

    what: str
    before: str
    after: str
    times: int
    kept: str


TRIALS: Final = (
    Trial("a page of a listing, read as the JSON that it is", "page before", "page", 20, "yes"),
    Trial("a call to AWS, with a `User-Agent` of its own", "call before", "call", 40, "yes"),
    Trial("a moment of a version id, by `fromisoformat`", "moment before", "moment", 20_000, "yes"),
    Trial(
        "a connection to AWS, its certificates read before",
        "connection before",
        "connection",
        8,
        "no: botocore has no public way",
    ),
    Trial(
        "a hundred values of a metric, in a format of our own",
        "values before",
        "values",
        20,
        "no: CloudWatch's format would be ours to keep",
    ),
    Trial(
        "a frozen dataclass of four fields, as a msgspec struct",
        "dataclass",
        "struct",
        20,
        "no: twenty of them are a small part of a start",
    ),
    Trial(
        "a call to AWS, its parameters not validated",
        "call before",
        "call unchecked",
        40,
        "no: a mistake would show at AWS alone",
    ),
)


def measure() -> Findings:
    """Measure all trials."""
    acts = {act: trial.times for trial in TRIALS for act in (trial.before, trial.after)}
    used: dict[str, list[float]] = {act: [] for act in acts}
    with tempfile.TemporaryDirectory() as temporary, Servers(Path(temporary)) as servers:
        servers.seed(
            "oauth", range(PAGE), MACHINE, expires_at=utc_now() + FRESH, apart=timedelta(seconds=1)
        )
        environment = {**servers.environment(), "SECRET_PREFIX": "oauth"}
        with MeasuredFunction(environment, handler=HANDLER) as function:
            for act in acts:
                function.use({"act": act, "times": 1})
            for _ in range(ROUNDS):
                for act, times in acts.items():
                    cpu_ms = function.use({"act": act, "times": times}).cpu_ms
                    used[act].append(cpu_ms / times)
    findings = Findings("tried")
    findings.tables = [
        Table(
            "tried",
            NOTE,
            ("what", "before", "after", "ratio", "kept"),
            [
                (
                    trial.what,
                    spread(used[trial.before]).told("ms", 4),
                    spread(used[trial.after]).told("ms", 4),
                    ratio(used[trial.after], used[trial.before]).told(digits=2),
                    trial.kept,
                )
                for trial in TRIALS
            ],
        )
    ]
    return findings
