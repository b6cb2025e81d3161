"""Outbound identity federation: whether an account has an issuer, and what that one publishes.

As on AWS an account begins without, and IAM's ``EnableOutboundWebIdentityFederation`` turns it on.
AWS gives each an address of its own; here it is this emulator's, with the account in its path.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from ministack import app
from ministack.core.responses import get_account_id, json_response
from ministack.services import iam, sts

from local.emulator.issuer import KEYS, Issuer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer: TypeAlias = tuple[int, dict[str, str], bytes]

PATH = "/web-identity/"

# The ids of the accounts' issuers.
_enabled: set[str] = set()

_ministack_forgets: Callable[[], None] = sts.reset
_ministack_gets: Callable[..., Awaitable[Answer | None]] = app._handle_cognito_get_request


def install() -> None:
    """Let IAM switch it, and let anybody read what is published."""
    iam._IAM_HANDLERS.update(
        EnableOutboundWebIdentityFederation=_enable,
        DisableOutboundWebIdentityFederation=_disable,
        GetOutboundWebIdentityFederationInfo=_tell,
    )
    sts.reset = _forget
    # Where ministack answers what needs no credentials.
    app._handle_cognito_get_request = _get


def is_enabled() -> bool:
    """Tell whether the caller's account has an issuer at present."""
    return _issuer_id() in _enabled


def issuer() -> Issuer:
    """Return the issuer of the caller's account."""
    return _with(_issuer_id())


def _issuer_id() -> str:
    return str(uuid5(NAMESPACE_URL, get_account_id()))


def _with(issuer_id: str) -> Issuer:
    host, port = os.environ["MINISTACK_HOST"], os.environ["GATEWAY_PORT"]
    return Issuer(f"http://{host}:{port}{PATH}{issuer_id}")


def _enable(_: object) -> Answer:
    if is_enabled():
        return _refused(409, "FeatureEnabled", "It is enabled already.")
    _enabled.add(_issuer_id())
    # Its keys are made now: whoever asks for the first token may wait two seconds alone.
    issuer().document(KEYS)
    return _answered("Enable", f"<IssuerIdentifier>{issuer().url}</IssuerIdentifier>")


def _disable(_: object) -> Answer:
    """Issue no more tokens; those that are out can be verified until they expire."""
    if not is_enabled():
        return _refused(404, "FeatureDisabled", "It is not enabled.")
    _enabled.remove(_issuer_id())
    return _answered("Disable", None)


def _tell(_: object) -> Answer:
    if not is_enabled():
        return _refused(404, "FeatureDisabled", "It is not enabled.")
    told = f"<IssuerIdentifier>{issuer().url}</IssuerIdentifier>"
    return _answered("Get", f"{told}<JwtVendingEnabled>true</JwtVendingEnabled>", of="Info")


def _answered(verb: str, result: str | None, *, of: str = "") -> Answer:
    name = f"{verb}OutboundWebIdentityFederation{of}"
    wrapped = "" if result is None else f"<{name}Result>{result}</{name}Result>"
    answer: Answer = iam._xml(200, f"{name}Response", wrapped)
    return answer


def _refused(status: int, code: str, message: str) -> Answer:
    refused: Answer = iam._error(status, code, message)
    return refused


async def _get(
    method: str, path: str, headers: dict[str, str], query_params: dict[str, Any]
) -> Answer | None:
    if method != "GET" or not path.startswith(PATH):
        return await _ministack_gets(method, path, headers, query_params)
    issuer_id, slash, rest = path.removeprefix(PATH).partition("/")
    document = _with(issuer_id).document(slash + rest)
    answer: Answer = json_response(document or {}, 404 if document is None else 200)
    return answer


def _forget() -> None:
    _ministack_forgets()
    _enabled.clear()
