"""Listings and descriptions of secrets as AWS documents them.

Only versions that have stages are shown, and a secret without a value shows none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulator import operations, storage
from local.emulator.versions import Secret, versions_of
from local.secrets_manager.listing import Searched, check_filters, cut_page, passes
from local.secrets_manager.refusals import malformed, not_found, wrong_parameter

if TYPE_CHECKING:
    from local.emulator.operations import Json

MOST_IN_A_BATCH = 20
SHOWN_IF_SET = (
    "Description",
    "KmsKeyId",
    "RotationLambdaARN",
    "RotationRules",
    "LastRotatedDate",
    "LastAccessedDate",
    "DeletedDate",
    "ReplicationStatus",
)


def describe_secret(request: Json) -> Json:
    """Describe one secret, also one that is marked for deletion."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    return _entry(secret, versions_as="VersionIdsToStages")


def list_secrets(request: Json) -> Json:
    """Return one page of the secrets that pass every filter."""
    found = _filtered(request, planned_deletion=bool(request.get("IncludePlannedDeletion")))
    page, following = cut_page(found, request)
    entries = [_entry(secret, versions_as="SecretVersionsToStages") for secret in page]
    return {"SecretList": entries, **following}


def list_secret_version_ids(request: Json) -> Json:
    """Return one page of the versions that have stages, and of the others if they are asked for."""
    secret = operations.readable(request)
    shown = [
        {
            "VersionId": version_id,
            "VersionStages": list(version["Stages"]),
            "CreatedDate": version["CreatedDate"],
        }
        for version_id, version in secret["Versions"].items()
        if version["Stages"] or request.get("IncludeDeprecated")
    ]
    page, following = cut_page(shown, request)
    return {"ARN": secret["ARN"], "Name": secret["Name"], "Versions": page, **following}


def batch_of_names(request: Json) -> tuple[list[str], Json]:
    """Return the secrets a batch asks for, and what its answer says of further pages."""
    names, filters = request.get("SecretIdList"), request.get("Filters")
    if bool(names) == bool(filters):
        raise wrong_parameter("Either SecretIdList or Filters is required, not both.")
    if names:
        if len(names) > MOST_IN_A_BATCH:
            raise malformed(f"SecretIdList has at most {MOST_IN_A_BATCH} entries.")
        return list(names), {}
    found = _filtered(request, planned_deletion=False)
    page, following = cut_page(found, request, at_most=MOST_IN_A_BATCH)
    return [secret["Name"] for secret in page], following


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
    if region := secret.get("_PrimaryRegion"):
        entry["PrimaryRegion"] = region
    if stages := versions_of(secret).staged():
        entry[versions_as] = stages
    return entry


def _filtered(request: Json, *, planned_deletion: bool) -> list[Secret]:
    """Return the secrets that pass every filter, by name."""
    filters = request.get("Filters", [])
    check_filters(filters)
    found = [
        secret
        for secret in storage.all_secrets()
        if (planned_deletion or not secret["DeletedDate"]) and passes(_searched(secret), filters)
    ]
    return sorted(found, key=lambda secret: str(secret["Name"]))


def _searched(secret: Secret) -> Searched:
    tags = {tag["Key"]: tag["Value"] for tag in secret["Tags"]}
    region = str(secret.get("_PrimaryRegion", ""))
    return Searched(secret["Name"], secret["Description"], tags, region)
