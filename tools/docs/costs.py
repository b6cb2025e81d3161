"""What a stack costs: AWS's prices, and the counts and times that `make bench` measures."""

from __future__ import annotations

import math
from typing import Final

from token_refresher import reporting
from tools import templates
from tools.docs.blocks import Table
from tools.docs.infrastructure import number_of_alarms

FLEETS: Final = (1, 100, 10_000)
HOURS_A_MONTH: Final = 730
SCHEDULE_MINUTES: Final = 5
TOKEN_HOURS: Final = 12.0

# Dollars in eu-west-1.
SECRET: Final = 0.40
CALL: Final = 0.05 / 10_000
METRIC: Final = 0.30
ALARM: Final = 0.10
GIGABYTE_SECOND: Final = 0.0000133334
INVOCATION: Final = 0.20 / 1e6
TICK: Final = 1.00 / 1e6
LOG_GIGABYTE: Final = 0.57
SIGNING_KEY: Final = 1.00
# None of them is in KMS's free tier.
SIGNATURE_BY_RSA_2048: Final = 0.03 / 10_000
SIGNATURE: Final = 0.15 / 10_000

# Measured, and rounded up.
CALLS_OF_A_REFRESH: Final = 6
SHORTEST_SWEEP_SECONDS: Final = 0.12
SECONDS_OF_AN_ACCOUNT: Final = 0.0004
SECONDS_OF_A_REFRESH: Final = 0.04
BYTES_OF_A_SWEEP: Final = 1100
BYTES_OF_AN_ACCOUNT: Final = 22
BYTES_OF_A_REFRESH: Final = 400


def costs() -> Table:
    """Dollars a month, by what is paid for, for fleets of three sizes."""
    columns = [dollars_a_month(accounts) for accounts in FLEETS]
    rows = [(what, *(f"{column[what]:,.2f}" for column in columns)) for what in columns[0]]
    return Table(("", *_fleets()), [*rows, ("**in all**", *(f"**{each}**" for each in _totals()))])


def costs_of_signing() -> Table:
    """What is paid besides where all of a fleet's accounts sign: a key each, a call a refresh."""
    refreshes = [refreshes_a_month(accounts) for accounts in FLEETS]
    rows = [
        (what, *(f"{price * number:,.2f}" for number in numbers))
        for what, price, numbers in (
            ("keys", SIGNING_KEY, FLEETS),
            ("signatures with keys of RSA_2048", SIGNATURE_BY_RSA_2048, refreshes),
            ("signatures with others", SIGNATURE, refreshes),
        )
    ]
    return Table(("", *_fleets()), rows)


def in_all() -> Table:
    """The same, in one line."""
    return Table(_fleets(), [_totals()])


def _fleets() -> tuple[str, ...]:
    return tuple(f"{count:,} account{'s' * (count > 1)}" for count in FLEETS)


def _totals() -> tuple[str, ...]:
    columns = [dollars_a_month(accounts) for accounts in FLEETS]
    return tuple(f"{sum(round(cost, 2) for cost in column.values()):,.2f}" for column in columns)


def refreshes_a_month(accounts: int) -> float:
    """How often a fleet's tokens are replaced."""
    parameters = templates.load(templates.FUNCTION)["Parameters"]
    before = parameters["RefreshBeforeSeconds"]["Default"] / 3600
    refreshes: float = accounts * HOURS_A_MONTH / (TOKEN_HOURS - before)
    return refreshes


def dollars_a_month(accounts: int) -> dict[str, float]:
    """What is paid for a fleet, by the formulas below the table."""
    function = templates.load(templates.FUNCTION)
    sweeps = HOURS_A_MONTH * 60 / SCHEDULE_MINUTES
    refreshes = refreshes_a_month(accounts)
    work = SECONDS_OF_AN_ACCOUNT * accounts + SECONDS_OF_A_REFRESH * refreshes / sweeps
    gigabytes = function["Parameters"]["MemoryMegabytes"]["Default"] / 1024
    calls = 2 * sweeps * math.ceil(accounts / 100) + CALLS_OF_A_REFRESH * refreshes
    log = sweeps * (BYTES_OF_A_SWEEP + BYTES_OF_AN_ACCOUNT * accounts)
    # Failures are billed only in months in which there are any.
    metrics = len(reporting.METRICS.keys() - {"RefreshFailures", "EventsNotPut"})
    return {
        "secrets": SECRET * 2 * accounts,
        "calls to Secrets Manager": CALL * calls,
        "metrics, alarms": METRIC * metrics + ALARM * number_of_alarms(),
        "function, schedule": sweeps
        * (gigabytes * max(SHORTEST_SWEEP_SECONDS, work) * GIGABYTE_SECOND + INVOCATION + TICK),
        "log": LOG_GIGABYTE * (log + BYTES_OF_A_REFRESH * refreshes) / 1e9,
    }
