"""The network of a test's shell, where each Python finds this on its path and imports it.

No name server is asked for what ends in ``.invalid``: some networks' find it, others are slow. And
nobody waits in vain for less than a minute, since a busy machine stands still for seconds.
"""

from __future__ import annotations

import socket
from typing import Any

PATIENCE_SECONDS = 60.0

_finds = socket.getaddrinfo
_sets_timeout = socket.socket.settimeout


def look_up(host: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
    """Find an address, in the place of `socket.getaddrinfo`."""
    if str(host).endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "made-up")
    return _finds(host, *rest, **named)


def set_timeout(connection: socket.socket, seconds: float | None) -> None:
    """Limit each wait of a socket, in the place of its method; zero is no wait."""
    _sets_timeout(connection, max(seconds, PATIENCE_SECONDS) if seconds else seconds)


if __name__ == "sitecustomize":
    socket.getaddrinfo = look_up
    socket.socket.settimeout = set_timeout  # type: ignore[assignment, method-assign]
