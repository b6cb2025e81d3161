"""Plain data that shows nothing of what it holds."""

from __future__ import annotations


class Hidden:
    """Plain data that shows nothing of what it holds, however it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide what it holds."""
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Hide it from what prints by this, too."""
        return []
