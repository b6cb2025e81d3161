"""The operations of Secrets Manager that ministack answers otherwise than AWS documents.

Each takes the request's JSON object and returns the response's, or raises ``RefusalError``.
Storage and events stay ministack's own.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from local.emulator import callers, keys, storage
from local.emulator.clock import now
from local.emulator.versions import (
    Secret,
    Value,
    add_version,
    holds,
    move_stage,
    versions_of,
)
from local.secrets_manager.limits import check_name, check_value, check_version_id, checked_tags
from local.secrets_manager.refusals import (
    already_exists,
    malformed,
    not_found,
    wrong_parameter,
    wrong_state,
)
from local.secrets_manager.versions import CURRENT

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = dict[str, Any]

ONE_DAY_SECONDS = 86_400


def create_secret(request: Json) -> Json:
    """Create a secret, with a first version only if the request has a value.

    Repeating the request with the same token and value is answered as the first one was.
    """
    name = request["Name"]
    check_name(name)
    value = _value(request)
    tags = checked_tags(request.get("Tags", []))
    existing = storage.named(name)
    if existing is not None:
        return _created_before(existing, request, value)
    if tags:
        _authorise_tags(name, tags)
    keys.validate(request.get("KmsKeyId"))
    secret = storage.store_empty(
        name,
        description=request.get("Description", ""),
        tags=tags,
        kms_key_id=request.get("KmsKeyId"),
    )
    answer: Json = _identity(secret)
    if value is not None:
        answer["VersionId"] = _store(secret, request, value, [CURRENT])
    return answer


def put_secret_value(request: Json) -> Json:
    """Store a version under the caller's token, and move the stages it lists."""
    secret = named_by(request)
    value = _value(request)
    if value is None:
        raise wrong_state("SecretString or SecretBinary is required.")
    version_id = _store(secret, request, value, request.get("VersionStages") or [CURRENT])
    stages = list(secret["Versions"][version_id]["Stages"])
    return {**_identity(secret), "VersionId": version_id, "VersionStages": stages}


def update_secret(request: Json) -> Json:
    """Change the description or the key, and store a version only if there is a value."""
    secret = named_by(request)
    value = _value(request)
    keys.validate(request.get("KmsKeyId"))
    if "Description" in request:
        secret["Description"] = request["Description"]
    if "KmsKeyId" in request:
        keys.change(secret, request["KmsKeyId"])
    answer = _identity(secret)
    if value is not None:
        answer["VersionId"] = _store(secret, request, value, [CURRENT])
    _changed(secret)
    return answer


def update_secret_version_stage(request: Json) -> Json:
    """Move or remove a stage, if it is where the caller says it is."""
    secret = named_by(request)
    moved = move_stage(
        secret,
        request["VersionStage"],
        to=request.get("MoveToVersionId"),
        away_from=request.get("RemoveFromVersionId"),
        now=now(),
    )
    storage.announce(secret, moved, str(request.get("MoveToVersionId")))
    return _identity(secret)


def get_secret_value(request: Json) -> Json:
    """Return one version's value: by id, by stage, or by both if they agree."""
    secret = named_by(request)
    version_id, _ = versions_of(secret).find(request.get("VersionId"), request.get("VersionStage"))
    version = secret["Versions"][version_id]
    key_id = keys.of_version(secret, version)
    keys.authorise(key_id, keys.TO_READ, secret_arn=secret["ARN"], version_id=version_id)
    secret["LastAccessedDate"] = now() // ONE_DAY_SECONDS * ONE_DAY_SECONDS
    answer: Json = {
        **_identity(secret),
        "VersionId": version_id,
        "VersionStages": list(version["Stages"]),
        "CreatedDate": version["CreatedDate"],
    }
    for field in ("SecretString", "SecretBinary"):
        if version.get(field) is not None:
            answer[field] = version.get(field)
    return answer


def tag_resource(request: Json) -> Json:
    """Add or replace tags; like any change of metadata this moves ``LastChangedDate``."""
    secret = named_by(request)
    tags = {tag["Key"]: tag for tag in secret["Tags"]}
    tags.update({tag["Key"]: tag for tag in checked_tags(request["Tags"])})
    secret["Tags"] = checked_tags(tags.values())
    _changed(secret)
    return {}


def untag_resource(request: Json) -> Json:
    """Remove tags; one that is not there is no error."""
    secret = named_by(request)
    secret["Tags"] = [tag for tag in secret["Tags"] if tag["Key"] not in request["TagKeys"]]
    _changed(secret)
    return {}


def finds_nothing_to_force(request: Json) -> bool:
    """Whether a secret that is not there is to be deleted by force, which is no error."""
    return (
        request.get("ForceDeleteWithoutRecovery") is True
        and storage.find(request["SecretId"]) is None
    )


def named_by(request: Json) -> Secret:
    """Return the secret a request names, unless it is missing or marked for deletion."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    if secret["DeletedDate"]:
        raise wrong_state("The secret is marked for deletion.")
    return secret


def _authorise_tags(name: str, tags: list[dict[str, str]]) -> None:
    """Refuse whoever may create a secret, and not with these tags."""
    callers.require(
        "secretsmanager:TagResource",
        on=storage.arn_before_creation(name),
        context={
            "aws:TagKeys": [tag["Key"] for tag in tags],
            **{f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags},
        },
    )


def _created_before(existing: Secret, request: Json, value: Value | None) -> Json:
    """Answer a creation that happened already, or refuse another one of the same name."""
    if existing["DeletedDate"]:
        raise wrong_state("A secret of this name is marked for deletion.")
    token = request.get("ClientRequestToken", "")
    version = existing["Versions"].get(token)
    if version is None or value is None or not holds(version, value):
        raise already_exists(f"A secret named {existing['Name']}")
    return {**_identity(existing), "VersionId": token}


def _store(secret: Secret, request: Json, value: Value, stages: Iterable[str]) -> str:
    """Add a version, and announce the stages that moved."""
    version_id: str = request.get("ClientRequestToken") or str(uuid4())
    check_version_id(version_id)
    keys.authorise(
        secret.get("KmsKeyId"), keys.TO_WRITE, secret_arn=secret["ARN"], version_id=version_id
    )
    moved = add_version(secret, version_id, value, stages, now=now())
    storage.announce(secret, moved, version_id)
    return version_id


def _value(request: Json) -> Value | None:
    """Return the value a request carries, or None; refuse one that is too long."""
    text: str | None = request.get("SecretString")
    binary: str | None = request.get("SecretBinary")
    if text is not None and binary is not None:
        raise wrong_parameter("SecretString and SecretBinary exclude each other.")
    if text is None and binary is None:
        return None
    try:
        content = base64.b64decode(binary or "", validate=True) + (text or "").encode()
    except binascii.Error:
        raise malformed("SecretBinary is not base64.") from None
    check_value(content)
    return {"SecretString": text, "SecretBinary": binary}


def _changed(secret: Secret) -> None:
    secret["LastChangedDate"] = now()


def _identity(secret: Secret) -> Json:
    return {"ARN": secret["ARN"], "Name": secret["Name"]}
