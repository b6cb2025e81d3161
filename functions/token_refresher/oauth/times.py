"""Numbers, lifetimes and times as servers write them: read, or None where they are not believed.

Which ones a response holds, and which of them counts, is not known here.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

# Beyond this it is not a lifetime but a mistake, such as milliseconds or a timestamp.
_LONGEST_LIFETIME: Final = timedelta(days=365)

# So many seconds are the year 5138, and so many milliseconds are 1973.
_LEAST_MILLISECONDS: Final = 10**11


def number_of(value: object) -> float | None:
    """Read a number, also one that is written as a text; None where it is none, or no end."""
    # True is an int, and it is not one second.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def parse_expires_in(
    value: object, *, unit: str = "seconds", longest: timedelta = _LONGEST_LIFETIME
) -> timedelta | None:
    """Read a lifetime, however it is written; None where it is not to be believed.

    Zero and negative numbers are believed: such a token has expired.

    Args:
        value: As in the response.
        unit: ``seconds`` or ``milliseconds``.
        longest: What is longer is a mistake.
    """
    number = number_of(value)
    if number is None:
        return None
    seconds = number / 1000 if unit == "milliseconds" else number
    if seconds > longest.total_seconds():
        return None
    return timedelta(seconds=math.floor(max(seconds, 0)))


def parse_time(value: object) -> datetime | None:
    """Read a time: epoch seconds, epoch milliseconds or RFC 3339; None where it is none of them.

    A text without an offset is none: whose local time it is, nobody says.
    """
    number = number_of(value)
    if number is None and not isinstance(value, str):
        return None
    try:
        if number is not None:
            seconds = number if number < _LEAST_MILLISECONDS else number / 1000
            return datetime.fromtimestamp(seconds, UTC)
        # A leap second is the last one of its minute, which RFC 3339 section 5.6 calls the 60th.
        written = re.sub(r"(:\d\d):60(?=[.Z+-])", r"\1:59", str(value).strip().upper())
        time = datetime.fromisoformat(written)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def parse_retry_after(header: str | None, *, now: datetime) -> timedelta | None:
    """Read ``Retry-After``: seconds or a date (RFC 9110 section 10.2.3)."""
    if header is None:
        return None
    if re.fullmatch(r"[ \t]*[0-9]{1,9}[ \t]*", header):
        return timedelta(seconds=int(header))
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(aware - now, timedelta(0))
