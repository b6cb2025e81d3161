"""Follows CloudFormation at work, so that nobody waits for minutes in front of nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tools.deploying.place import Place

# CloudFormation's word for what it stopped because something else had failed.
_STOPPED: Final = "cancelled"
_IN_PROGRESS: Final = "_IN_PROGRESS"
_FAILED: Final = "_FAILED"
_POLL_SECONDS: Final = 3.0
_QUIET_SECONDS: Final = 15.0
_SHOWN: Final = 3


@dataclass(slots=True)
class Progress:
    """How far an operation on a stack has come, from its events.

    Args:
        stack_id: The stack's ARN.
        changes: How many resources it is about.

    Attributes:
        outcome: The stack's status when it is over; empty until then.
        failures: What failed by itself, and why, in its order.
    """

    stack_id: str
    changes: int
    outcome: str = ""
    failures: list[str] = field(default_factory=list)
    _states: dict[str, str] = field(default_factory=dict)

    def note(self, event: Mapping[str, Any]) -> None:
        """Take notice of an event; they come oldest first."""
        status, name = event["ResourceStatus"], event["LogicalResourceId"]
        reason = event.get("ResourceStatusReason", "")
        if event["PhysicalResourceId"] == self.stack_id:
            self.outcome = "" if status.endswith(_IN_PROGRESS) else status
            return
        self._states[name] = status
        if status.endswith(_FAILED) and _STOPPED not in reason:
            self.failures.append(f"{name}: {reason or status}")

    @property
    def line(self) -> str:
        """Tell how many resources are done, and which are not."""
        open_ones = [name for name, status in self._states.items() if status.endswith(_IN_PROGRESS)]
        done = len(self._states) - len(open_ones)
        told = f"   {done} of {self.changes} done"
        if not open_ones:
            return told
        more = f" and {len(open_ones) - _SHOWN} more" if len(open_ones) > _SHOWN else ""
        return f"{told}, waiting for {', '.join(open_ones[:_SHOWN])}{more}"


def last_event(place: Place, stack_id: str) -> str:
    """Return the id of a stack's newest event, from which on it is followed."""
    client = place.client("cloudformation")
    event_id: str = client.describe_stack_events(StackName=stack_id)["StackEvents"][0]["EventId"]
    return event_id


def follow(
    place: Place,
    progress: Progress,
    since: str,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until an operation is over, and tell from time to time how far it has come.

    Args:
        place: Where the stack is.
        progress: Of the operation; what comes of it is there in the end.
        since: The event before the operation.
        monotonic: Gives seconds.
        sleep: Waits so many.
    """
    pages = place.client("cloudformation").get_paginator("describe_stack_events")
    told, told_at = "", monotonic()
    while True:
        news: list[Mapping[str, Any]] = []
        # Newest first, so what is known already ends it.
        for event in pages.paginate(StackName=progress.stack_id).search("StackEvents[]"):
            if event["EventId"] == since:
                break
            news.append(event)
        if news:
            since = news[0]["EventId"]
        for event in reversed(news):
            progress.note(event)
        if progress.outcome:
            return
        if progress.line != told and monotonic() - told_at >= _QUIET_SECONDS:
            told, told_at = progress.line, monotonic()
            print(told, flush=True)
        # SAM's own variable for the same wait.
        sleep(float(os.environ.get("SAM_CLI_POLL_DELAY") or _POLL_SECONDS))
