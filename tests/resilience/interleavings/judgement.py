"""What a play may come to: promises that were broken, and losses that are counted apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Broken(Enum):
    """A promise that was broken."""

    OVERLAP = "two runs sent the same refresh token at the same time"
    TOO_SOON = "sent by another run while the first may still wait for its response"
    REVOKED = "a family revoked although no response was lost"
    CONSENT_LOST = "a new consent lost to a late response to the one before"
    SENT_TWICE = "sent again although there is a primary grant"
    RISKED = "sent again while a published token had more than half an hour to live"
    LEASE_WASTED = "a lease taken before a server was known to be reached"
    LEASES_TOO_CLOSE = "two leases of a secret within 15 minutes, though nothing was put"
    NOT_SERVED = "no token within 15 minutes and a tick after an outage"
    DIED = "died although the outage ended 15 minutes and a tick before its token did"
    LEFT_DEAD = "dead when all disturbances had been over for hours"
    OLDER = "the published token was overwritten by an older one"
    VERSIONS = "more than 144 versions of a secret in a day"
    SECRET_TOLD = "a secret in a tag"
    DEFECT = "an exception that nobody foresaw"


class Apart(Enum):
    """A loss that no protocol avoids, by its cause."""

    LOST = "response lost after the refresh token was redeemed, its grace over"
    ENDED = "the run ended before it had kept the response"
    NOT_KEPT = "the store refused a response; sent again by force, or when no token lived"
    STOOD_STILL = "the run stood still, or could not write, for 15 minutes before it had"
    REPLACED = "the family of a consent that a person had replaced by another"
    RACE = "an older token published last, by a run that could not have seen the other"


@dataclass(slots=True)
class Judgement:
    """What one play came to.

    Attributes:
        broken: The promises, each with what is known of it.
        apart: The other losses.
        most_versions: Of each path's secret within a day.
        is_alive: Whether the account had a living token in the end.
        log: What happened, if it was asked for.
    """

    broken: list[tuple[Broken, str]] = field(default_factory=list)
    apart: Counter[Apart] = field(default_factory=Counter)
    most_versions: Counter[str] = field(default_factory=Counter)
    is_alive: bool = False
    log: list[str] | None = None

    @property
    def kinds(self) -> set[Broken]:
        """The promises that were broken."""
        return {kind for kind, _ in self.broken}
