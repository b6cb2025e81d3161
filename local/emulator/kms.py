"""KMS, called directly: by which name a key may be asked for, by whom, and in which state.

ministack signs and keeps the keys. It asks IAM about an alias as if it were a key, knows none of
the condition keys that a signature needs, takes an alias where AWS takes none, and enables a key
that is to be deleted. Grants are not known here.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from ministack.core import iam_actions
from ministack.core.arn import parse_arn
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import kms as ministack

from local.emulator import callers, storage
from local.secrets_manager.refusals import RefusalError, malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, dict[str, str], bytes]

# Any other operation takes a key's id or ARN alone (AWS KMS Developer Guide, "About aliases").
TAKE_AN_ALIAS = frozenset(
    {
        "Decrypt",
        "DescribeKey",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GetPublicKey",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)
OF_NO_KEY = frozenset({"CreateKey", "GenerateRandom", "ListAliases", "ListKeys"})
OF_ALIASES = frozenset({"CreateAlias", "DeleteAlias", "UpdateAlias"})
SIGNATURES = frozenset({"Sign", "Verify"})

DISABLED = "Disabled"
ENABLED = "Enabled"
PENDING_DELETION = "PendingDeletion"
PENDING_IMPORT = "PendingImport"
# Where ministack goes on, and AWS does not (the guide's "Key states", its table).
REFUSED_IN: dict[str, tuple[str, ...]] = {
    "CancelKeyDeletion": (DISABLED, ENABLED, PENDING_IMPORT),
    "CreateAlias": (PENDING_DELETION,),
    "DisableKey": (PENDING_DELETION, PENDING_IMPORT),
    "EnableKey": (PENDING_DELETION, PENDING_IMPORT),
    "GetPublicKey": (DISABLED, PENDING_DELETION),
    "ScheduleKeyDeletion": (PENDING_DELETION,),
    "TagResource": (PENDING_DELETION,),
    "UntagResource": (PENDING_DELETION,),
    "UpdateAlias": (PENDING_DELETION,),
    "UpdateKeyDescription": (PENDING_DELETION,),
}
LONGEST_ALIAS = 256
# The API's own pattern has a colon too, and yet no alias may hold one.
ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]+", re.ASCII)
RESERVED = "alias/aws/"

_ministack_handles: Callable[..., Awaitable[Answer]] = ministack.handle_request


def install() -> None:
    """Put the documented behaviour before ministack's own."""
    ministack.handle_request = handle_request


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Answer:
    """Answer one call, with ministack's own signature."""
    callers.remember(headers, query_params)
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        _admit(operation, storage.json_of(body))
    except RefusalError as refusal:
        refused: Answer = error_response_json(refusal.code, refusal.message, 400)
        return refused
    return await _ministack_handles(method, path, headers, body, query_params)


def _admit(operation: str, request: Json) -> None:
    """Find the key that is meant, and refuse what IAM or the key's state does not allow."""
    if operation in OF_ALIASES:
        _admit_alias(operation, request)
    elif operation in OF_NO_KEY:
        _authorise(operation, on="*", request=request)
        if request.get("Tags"):
            # It is not there yet, so the policy cannot name it by more than a pattern.
            _authorise("TagResource", on=_arn(f"key/{uuid4()}"), request=request)
    elif (name := _key_named_in(request)) is not None:
        key = _key(name, may_be_alias=operation in TAKE_AN_ALIAS)
        context = _context(operation, request, name)
        _authorise_on_key(operation, key, request=request, context=context)
        _refuse_by_state(operation, key)
        if operation in SIGNATURES and key["KeyUsage"] != "SIGN_VERIFY":
            message = f"{key['Arn']} key usage is {key['KeyUsage']}, not valid for {operation}."
            raise RefusalError("InvalidKeyUsageException", message)
    else:
        _authorise(operation, on="*", request=request)


def _admit_alias(operation: str, request: Json) -> None:
    """Ask IAM about the alias and about each key that gains or loses it ("Controlling access")."""
    alias = request.get("AliasName", "")
    if len(alias) > LONGEST_ALIAS or not ALIAS.fullmatch(alias):
        raise malformed(f"{alias} contains invalid characters for an alias, or too many")
    if alias.startswith(RESERVED):
        raise RefusalError("NotAuthorizedException", f"{RESERVED} is reserved.")
    if _alias_in(request.get("TargetKeyId", "")):
        raise malformed("Aliases must refer to keys. Not aliases")
    keys = []
    if operation != "CreateAlias":
        keys.append(_key(alias, may_be_alias=True))
    if operation != "DeleteAlias":
        keys.append(_key(request.get("TargetKeyId", ""), may_be_alias=False))
    _authorise(operation, on=_arn(alias), request=request, has_policy=False)
    for key in keys:
        _authorise_on_key(operation, key, request=request, context={})
    # The one that loses it may be in any state.
    _refuse_by_state(operation, keys[-1])
    if operation == "UpdateAlias" and _kind(keys[0]) != _kind(keys[1]):
        raise malformed("Both keys of an alias must be of the same type, and for the same usage.")


def _kind(key: Json) -> tuple[bool, str]:
    return key["KeySpec"] == "SYMMETRIC_DEFAULT", key["KeyUsage"]


def _key_named_in(request: Json) -> str | None:
    """Return how a request names its key: a symmetric ciphertext does so too."""
    if "KeyId" in request:
        return str(request["KeyId"])
    return iam_actions._kms_key_id_from_ciphertext(request.get("CiphertextBlob", "")) or None


def _key(name: str, *, may_be_alias: bool) -> Json:
    if _alias_in(name) and not may_be_alias:
        raise RefusalError("NotFoundException", f"Invalid keyId {name}")
    key: Json | None = ministack._resolve_key(name)
    if key is None:
        what = "Alias" if _alias_in(name) else "Key"
        raise RefusalError("NotFoundException", f"{what} {name} is not found.")
    return key


def _alias_in(name: str) -> str | None:
    """Return the alias's name that is in a key's name, None if it has none."""
    resource = name.split(":", 5)[-1] if name.startswith("arn:") else name
    return resource if resource.startswith("alias/") else None


def _context(operation: str, request: Json, name: str) -> Json:
    """Tell the condition keys of a request ("AWS KMS condition keys").

    Where a parameter has a default, the key has it too, named in the request or not.
    """
    context: Json = {}
    if operation in TAKE_AN_ALIAS and (alias := _alias_in(name)):
        context["kms:RequestAlias"] = alias
    if operation in SIGNATURES:
        context["kms:MessageType"] = request.get("MessageType", "RAW")
        context["kms:SigningAlgorithm"] = request.get("SigningAlgorithm", "")
    return context


def _authorise_on_key(operation: str, key: Json, *, request: Json, context: Json) -> None:
    aliases = [parse_arn(arn).resource for arn, target in _aliases() if target == key["KeyId"]]
    context = {**context, "kms:ResourceAliases": aliases}
    _authorise(operation, on=key["Arn"], request=request, context=context)


def _authorise(
    operation: str,
    *,
    on: str,
    request: Json,
    context: Json | None = None,
    has_policy: bool = True,
) -> None:
    tags = {tag["TagKey"]: tag["TagValue"] for tag in request.get("Tags", [])}
    keys = [*tags, *request.get("TagKeys", [])]
    told = {f"aws:RequestTag/{key}": value for key, value in tags.items()} | (context or {})
    if keys:
        told["aws:TagKeys"] = keys
    callers.require(f"kms:{operation}", on=on, context=told, has_policy=has_policy)


def _aliases() -> list[tuple[str, str]]:
    return list(ministack._aliases.items())


def _refuse_by_state(operation: str, key: Json) -> None:
    state = key["KeyState"]
    if state in REFUSED_IN.get(operation, ()):
        is_use_of_disabled = operation == "GetPublicKey" and state == DISABLED
        code = "DisabledException" if is_use_of_disabled else "KMSInvalidStateException"
        raise RefusalError(code, f"{key['Arn']} is {state}.")


def _arn(resource: str) -> str:
    return f"arn:aws:kms:{get_region()}:{get_account_id()}:{resource}"
