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
# A key of the customer's, and what encrypts and decrypts with it.
KEY: Final = 1.00
KEY_CALL: Final = 0.03 / 10_000
# The first copy of an AWS account's management events is free.
TRAIL_EVENT: Final = 2.00 / 100_000
NAT_GATEWAY_HOUR: Final = 0.048
ENDPOINT_HOUR: Final = 0.011
CONFIGURATION_ITEM: Final = 0.003

# Billed only in months in which there are any, or with a parameter.
_METRICS_OF_FEW: Final = frozenset({"EventsNotPut", "RefreshFailures", "ReplicaLagSeconds"})

# Measured, and rounded up.
CALLS_OF_A_REFRESH: Final = 6
# Two of these read, and three write, for which Secrets Manager asks KMS twice.
KEY_CALLS_OF_A_REFRESH: Final = 8
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


def costs_besides() -> Table:
    """What is paid besides for what the stack does not make, and customers may have or want."""
    refreshes = [refreshes_a_month(accounts) for accounts in FLEETS]
    used = [KEY_CALLS_OF_A_REFRESH * number for number in refreshes]
    rows = [
        ("copies of all tokens in one other Region", [SECRET * number for number in FLEETS]),
        ("two KMS keys of your own", [2 * KEY] * len(FLEETS)),
        ("the function's calls to them", [KEY_CALL * number for number in used]),
        (
            "a second CloudTrail, for Secrets Manager's events",
            [TRAIL_EVENT * calls_a_month(accounts) for accounts in FLEETS],
        ),
        (
            "and for KMS's, unless the trail leaves them out",
            [TRAIL_EVENT * number for number in used],
        ),
        (
            "AWS Config, if each publish is a configuration item",
            [CONFIGURATION_ITEM * number for number in refreshes],
        ),
        (
            "two NAT gateways, in two zones",
            [2 * NAT_GATEWAY_HOUR * HOURS_A_MONTH] * len(FLEETS),
        ),
        (
            "an interface endpoint for Secrets Manager, in two zones",
            [2 * ENDPOINT_HOUR * HOURS_A_MONTH] * len(FLEETS),
        ),
    ]
    return Table(
        ("", *_fleets()), [(what, *(f"{cost:,.2f}" for cost in costs)) for what, costs in rows]
    )


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


def calls_a_month(accounts: int) -> float:
    """How often Secrets Manager is called for a fleet: each sweep lists two paths."""
    sweeps = HOURS_A_MONTH * 60 / SCHEDULE_MINUTES
    listings = 2 * sweeps * math.ceil(accounts / 100)
    return listings + CALLS_OF_A_REFRESH * refreshes_a_month(accounts)


def dollars_a_month(accounts: int) -> dict[str, float]:
    """What is paid for a fleet, by the formulas below the table."""
    function = templates.load(templates.FUNCTION)
    sweeps = HOURS_A_MONTH * 60 / SCHEDULE_MINUTES
    refreshes = refreshes_a_month(accounts)
    work = SECONDS_OF_AN_ACCOUNT * accounts + SECONDS_OF_A_REFRESH * refreshes / sweeps
    gigabytes = function["Parameters"]["MemoryMegabytes"]["Default"] / 1024
    log = sweeps * (BYTES_OF_A_SWEEP + BYTES_OF_AN_ACCOUNT * accounts)
    metrics = len(reporting.METRICS.keys() - _METRICS_OF_FEW)
    return {
        "secrets": SECRET * 2 * accounts,
        "calls to Secrets Manager": CALL * calls_a_month(accounts),
        "metrics, alarms": METRIC * metrics + ALARM * number_of_alarms(),
        "function, schedule": sweeps
        * (gigabytes * max(SHORTEST_SWEEP_SECONDS, work) * GIGABYTE_SECOND + INVOCATION + TICK),
        "log": LOG_GIGABYTE * (log + BYTES_OF_A_REFRESH * refreshes) / 1e9,
    }
