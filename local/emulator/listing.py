"""Listings and descriptions of secrets as AWS documents them.

Only versions that have stages are shown, and a secret without a value shows none.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from local.emulator import keys, operations, storage
from local.emulator.versions import versions_of
from local.secrets_manager.listing import check_filters, cut_page, passes
from local.secrets_manager.refusals import malformed, not_found

if TYPE_CHECKING:
    from local.emulator.operations import Json
    from local.emulator.versions import Secret

MOST_IN_A_BATCH = 20
SHOWN_IF_SET = (
    "Description",
    "KmsKeyId",
    "RotationLambdaARN",
    "RotationRules",
    "LastRotatedDate",
    "LastAccessedDate",
    "DeletedDate",
)


def describe_secret(request: Json) -> Json:
    """Describe one secret, also one that is marked for deletion."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    entry = _entry(secret, versions_as="VersionIdsToStages")
    if replicas := secret.get("ReplicationStatus"):
        entry["ReplicationStatus"] = replicas
    return entry


def list_secrets(request: Json) -> Json:
    """Return one page of the secrets that pass every filter, by name."""
    filters = request.get("Filters", [])
    check_filters(filters)
    found = [
        secret
        for secret in storage.all_secrets()
        if (request.get("IncludePlannedDeletion") or not secret["DeletedDate"])
        and passes(secret["Name"], filters)
    ]
    page, following = cut_page(sorted(found, key=itemgetter("Name")), request)
    entries = [_entry(secret, versions_as="SecretVersionsToStages") for secret in page]
    return {"SecretList": entries, **following}


def list_secret_version_ids(request: Json) -> Json:
    """Return one page of the versions that have stages, and of the others if they are asked for."""
    secret = operations.named_by(request)
    shown = [
        {
            "VersionId": version_id,
            "VersionStages": list(version["Stages"]),
            "CreatedDate": version["CreatedDate"],
            "KmsKeyIds": [keys.of_version(secret, version) or "DefaultEncryptionKey"],
        }
        for version_id, version in secret["Versions"].items()
        if version["Stages"] or request.get("IncludeDeprecated")
    ]
    page, following = cut_page(shown, request)
    return {"ARN": secret["ARN"], "Name": secret["Name"], "Versions": page, **following}


def check_batch(request: Json) -> None:
    """Refuse more secrets than one batch takes."""
    if len(request.get("SecretIdList", [])) > MOST_IN_A_BATCH:
        raise malformed(f"SecretIdList has at most {MOST_IN_A_BATCH} entries.")


def _entry(secret: Secret, *, versions_as: str) -> Json:
    entry: Json = {
        "ARN": secret["ARN"],
        "Name": secret["Name"],
        "CreatedDate": secret["CreatedDate"],
        "LastChangedDate": secret["LastChangedDate"],
        "Tags": secret["Tags"],
        **{field: value for field in SHOWN_IF_SET if (value := secret.get(field))},
    }
    if secret.get("RotationEnabled"):
        entry["RotationEnabled"] = True
    if stages := versions_of(secret).staged():
        entry[versions_as] = stages
    return entry
