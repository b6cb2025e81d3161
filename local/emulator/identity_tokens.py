"""STS says who calls, in a token that anybody can verify (``GetWebIdentityToken``).

ministack signs such a token with a key that nobody can verify by, names the account's root whoever
calls, and knows no permission of its own for its tags.

A function's credentials do not expire here, so its tokens have no ``original_session_exp``. AWS
does not document how large a token may be.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl
from uuid import uuid4

from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

from local.emulator import callers, federation
from local.emulator.issuer import ALGORITHMS
from local.secrets_manager.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, dict[str, str], bytes]

DURATION_SECONDS = range(60, 3600 + 1)
DEFAULT_SECONDS = "300"
MOST_AUDIENCES = 10
LONGEST_AUDIENCE = 1000
MOST_TAGS = 50
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256
NAMESPACE = "https://sts.amazonaws.com/"
DISABLED = "OutboundWebIdentityFederationDisabledException"
ESCALATION = "SessionDurationEscalationException"
MISSING = "MissingParameter"
INVALID = "ValidationError"

_ministack_handles: Callable[..., Awaitable[Answer]] = sts.handle_request


def install() -> None:
    """Put the documented operation in ministack's place."""
    sts.handle_request = handle_request


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Answer:
    """Answer one call of STS, with ministack's own signature."""
    request = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if request.get("Action") != "GetWebIdentityToken":
        return await _ministack_handles(method, path, headers, body, query_params)
    callers.remember(headers, query_params)
    try:
        token, expires_at = _issued(request, sts._caller_identity(headers, query_params))
    except RefusalError as refusal:
        status = 400 if refusal.code in (MISSING, INVALID) else 403
        refused: Answer = iam._error(status, refusal.code, refusal.message, ns="sts")
        return refused
    result = f"<WebIdentityToken>{token}</WebIdentityToken>"
    result += f"<Expiration>{_written(expires_at)}</Expiration>"
    name = "GetWebIdentityToken"
    answer: Answer = iam._xml(
        200, f"{name}Response", f"<{name}Result>{result}</{name}Result>", ns="sts"
    )
    return answer


def _issued(request: dict[str, str], caller: Json) -> tuple[str, int]:
    """Return a token, and when it expires in epoch seconds."""
    audiences = _listed(request, "Audience.member.")
    keys = _listed(request, "Tags.member.", ".Key")
    tags = dict(zip(keys, _listed(request, "Tags.member.", ".Value"), strict=True))
    seconds = request.get("DurationSeconds", DEFAULT_SECONDS)
    _check(audiences, request.get("SigningAlgorithm", ""), seconds)
    _check_tags(keys, tags)
    _authorise(request, audiences, tags)
    if not federation.is_enabled():
        raise RefusalError(DISABLED, "The feature is not enabled for this account.")
    issued_at = int(time.time())
    expires_at = issued_at + int(seconds)
    session = sts._sessions.get(caller["accessKey"], {})
    if expires_at > session.get("Expiration", expires_at):
        raise RefusalError(ESCALATION, "The token would outlive the session that asks for it.")
    principal = _principal(caller["userArn"])
    about = _about(principal, session)
    if tags:
        about["request_tags"] = tags
    claims = {
        "aud": audiences if len(audiences) > 1 else audiences[0],
        "sub": principal["Arn"],
        "iat": issued_at,
        "exp": expires_at,
        "jti": str(uuid4()),
        NAMESPACE: about,
    }
    return federation.issuer().signed(claims, alg=request["SigningAlgorithm"]), expires_at


def _listed(request: dict[str, str], prefix: str, suffix: str = "") -> list[str]:
    """Return the members of a list of the query protocol, in their order."""
    listed: list[str] = []
    while (member := request.get(f"{prefix}{len(listed) + 1}{suffix}")) is not None:
        listed.append(member)
    return listed


def _check(audiences: list[str], algorithm: str, seconds: str) -> None:
    """Refuse what breaks the operation's own constraints (STS API Reference)."""
    for name, value in (("Audience", audiences), ("SigningAlgorithm", algorithm)):
        if not value:
            raise RefusalError(MISSING, f"The request must contain the parameter {name}.")
    if len(audiences) > MOST_AUDIENCES:
        raise _invalid("audience")
    if not all(1 <= len(each) <= LONGEST_AUDIENCE for each in audiences):
        raise _invalid("audience")
    if algorithm not in ALGORITHMS:
        raise _invalid("signingAlgorithm")
    if not seconds.isdecimal() or int(seconds) not in DURATION_SECONDS:
        raise _invalid("durationSeconds")


def _check_tags(keys: list[str], tags: dict[str, str]) -> None:
    """Refuse tags that are too many, too long, or named twice (STS API Reference, Tag)."""
    fit = len(tags) == len(keys) <= MOST_TAGS and all(
        1 <= len(key) <= LONGEST_TAG_KEY
        and len(value) <= LONGEST_TAG_VALUE
        and all(each.isalnum() or each.isspace() or each in "_.:/=+-@" for each in key + value)
        for key, value in tags.items()
    )
    if not fit:
        raise _invalid("tags")


def _invalid(parameter: str) -> RefusalError:
    return RefusalError(INVALID, f"Value at '{parameter}' failed to satisfy constraint.")


def _authorise(request: dict[str, str], audiences: list[str], tags: dict[str, str]) -> None:
    """Ask IAM for the token, and for its tags if it has any: each is a permission of its own.

    Each has the condition keys that the Service Authorization Reference lists for it. Whether a
    duration that the request leaves out has its key is told nowhere; here it has none.
    """
    tagged: Json = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        tagged["aws:TagKeys"] = list(tags)
    context = tagged | {
        "sts:IdentityTokenAudience": audiences,
        "sts:SigningAlgorithm": request["SigningAlgorithm"],
    }
    if "DurationSeconds" in request:
        context["sts:DurationSeconds"] = request["DurationSeconds"]
    callers.require("sts:GetWebIdentityToken", on="*", context=context, code="AccessDenied")
    if tags:
        callers.require("sts:TagGetWebIdentityToken", on="*", context=tagged, code="AccessDenied")


def _principal(arn: str) -> Json:
    """Return the role or the user behind a caller's ARN; the account's root is but its ARN."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        name = name.partition("/")[0]
        unknown = {"Arn": f"arn:aws:iam::{get_account_id()}:role/{name}"}
        return dict(iam._roles.get(name) or unknown)
    if kind == "user":
        return dict(iam._users[name.rpartition("/")[2]])
    return {"Arn": arn}


def _about(principal: Json, session: Json) -> Json:
    """Return what AWS's own namespace tells of the caller ("Understanding token claims")."""
    about: Json = {
        "aws_account": get_account_id(),
        "source_region": get_region(),
        "principal_id": principal["Arn"],
    }
    # A session's tags take the place of those of its role.
    if tags := session.get("SessionTags") or principal.get("Tags"):
        about["principal_tags"] = {tag["Key"]: tag["Value"] for tag in tags}
    if expires_at := session.get("Expiration"):
        about["original_session_exp"] = _written(expires_at)
    if function := session.get("SourceFunctionArn"):
        about["lambda_source_function_arn"] = function
    return about


def _written(epoch_seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))
