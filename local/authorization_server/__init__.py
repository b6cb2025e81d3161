"""An OAuth 2.0 authorization server on loopback, with the dialects and failures of real ones.

RFC 6749 is Authlib's part; what is made here are the ways in which servers differ and break, each
to be switched on while the server runs. It keeps no time of its own: tokens live by the clock that
is passed in.
"""

from local.authorization_server.dialects import OLX_MOTORS, OLX_PARTNERS, RFC_6749, Dialect
from local.authorization_server.failures import (
    Answers,
    Failure,
    LosesTheAnswer,
    WaitsFor,
    firewall_page,
    too_many_requests,
    unavailable,
)
from local.authorization_server.ledger import Client, RefreshMode
from local.authorization_server.server import AuthorizationServer, Endpoint, TokenRequest

__all__ = [
    "OLX_MOTORS",
    "OLX_PARTNERS",
    "RFC_6749",
    "Answers",
    "AuthorizationServer",
    "Client",
    "Dialect",
    "Endpoint",
    "Failure",
    "LosesTheAnswer",
    "RefreshMode",
    "TokenRequest",
    "WaitsFor",
    "firewall_page",
    "too_many_requests",
    "unavailable",
]
