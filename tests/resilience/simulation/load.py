"""What a sweep asks of others: reads and writes of Secrets Manager, token requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Load:
    """The calls of one sweep.

    Attributes:
        reads: Of Secrets Manager, listing pages included.
        writes: In each second.
        requests: To the token endpoint, in each second.
    """

    reads: int = 0
    writes: Counter[int] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)

    def write(self, at: float) -> None:
        """Count a write that begins at this second."""
        self.writes[int(at)] += 1

    def request(self, at: float) -> None:
        """Count a token request that is sent at this second."""
        self.requests[int(at)] += 1

    def clear(self) -> None:
        """Begin another sweep."""
        self.reads = 0
        self.writes.clear()
        self.requests.clear()
