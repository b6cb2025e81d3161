"""CloudWatch's embedded metric format: the metrics that one line of a function's log carries.

Neither ministack nor a clock. A line that breaks the format anywhere carries no metric at all, so
a mistake in a function's log shows here as it would on AWS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeGuard

MOST_DIMENSIONS = 30
MOST_METRICS = 100
MOST_VALUES = 100
LONGEST_NAME = 255
RATES = (
    *("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"),
    "Count",
)
UNITS = frozenset(
    [
        *("Seconds", "Microseconds", "Milliseconds", "Percent", "None"),
        *RATES,
        *(f"{rate}/Second" for rate in RATES),
    ]
)


class FormatError(Exception):
    """The line is not in the embedded metric format."""


@dataclass(frozen=True, slots=True)
class Datum:
    """The values of one metric under one set of dimensions."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    unit: str
    values: list[float]
    at_seconds: float


def metrics_in(line: str) -> list[Datum]:
    """Return the metrics of one line, none if it is not in the format."""
    try:
        document = json.loads(line, parse_constant=_refuse)
        return _metrics_of(document)
    except (FormatError, ValueError):
        return []


def _metrics_of(document: object) -> list[Datum]:
    root = _object(document)
    metadata = _object(root.get("_aws"))
    milliseconds = metadata.get("Timestamp")
    if not _is_number(milliseconds):
        raise FormatError("Timestamp is no number.")
    found = []
    for item in _array(metadata.get("CloudWatchMetrics")):
        directive = _object(item)
        namespace = _name(directive.get("Namespace"))
        dimension_sets = [
            _dimensions(root, _array(keys, at_most=MOST_DIMENSIONS))
            for keys in _array(directive.get("Dimensions"), at_least=1)
        ]
        for definition in map(_object, _array(directive.get("Metrics"), at_most=MOST_METRICS)):
            name = _name(definition.get("Name"))
            unit = definition.get("Unit", "None")
            if unit not in UNITS:
                raise FormatError(f"There is no unit {unit}.")
            values = _values(root.get(name))
            found += [
                Datum(namespace, name, dimensions, unit, values, milliseconds / 1000)
                for dimensions in dimension_sets
            ]
    return found


def _dimensions(root: dict[str, Any], keys: list[Any]) -> dict[str, str]:
    return {key: _name(root.get(key)) for key in map(_name, keys)}


def _values(target: object) -> list[float]:
    values = (
        _array(target, at_least=1, at_most=MOST_VALUES) if isinstance(target, list) else [target]
    )
    numbers = [float(value) for value in values if _is_number(value)]
    if len(numbers) != len(values):
        raise FormatError("A metric's value is no number.")
    return numbers


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError("Not an object.")
    return value


def _array(value: object, *, at_least: int = 0, at_most: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise FormatError("Not an array.")
    if len(value) < at_least or (at_most is not None and len(value) > at_most):
        raise FormatError("An array is too short or too long.")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
        raise FormatError("Not a name.")
    return value


def _is_number(value: object) -> TypeGuard[float]:
    """Tell a JSON number; ``true`` is an ``int`` in Python and no number in JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(constant: str) -> None:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise FormatError(f"{constant} is not JSON.")
