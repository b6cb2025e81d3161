"""Holds events against the schema that the project promises.

The validator is the emulator's environment's, which has one: this project's own needs none.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

from local.embedded_cloud import ROOT, emulator_python

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from token_refresher.ports import Announcement

FOLDER: Final = ROOT / "events" / "changes"
SCHEMA: Final = FOLDER / "event.schema.json"
# As each version was released with it.
RELEASED: Final = sorted((ROOT / "tests" / "stored_forms").glob("*/event.schema.json"))

_VALIDATE: Final = """
import json, sys
from jsonschema import Draft202012Validator
schema, events = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
faults = [
    f"{error.json_path}: {error.message}"
    for event in events for error in validator.iter_errors(event)
]
json.dump(faults, sys.stdout)
"""


def faults_of(events: Iterable[dict[str, Any]], path: Path = SCHEMA) -> list[str]:
    """Tell what of some events, as EventBridge delivers them, a schema does not allow."""
    schema = json.loads(path.read_text())
    done = subprocess.run(  # noqa: S603
        [emulator_python(), "-c", _VALIDATE],
        input=json.dumps([schema, list(events)]),
        capture_output=True,
        text=True,
        check=True,
    )
    faults: list[str] = json.loads(done.stdout)
    return faults


def delivered(event: Announcement) -> dict[str, Any]:
    """Wrap an event as EventBridge does."""
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": str(event.kind),
        "source": "token-refresher",
        "account": "123456789012",
        "time": event.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "eu-west-1",
        "resources": [],
        "detail": json.loads(event.detail),
    }
