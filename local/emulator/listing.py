"""Listings and descriptions of secrets as AWS documents them.

Filters match the beginnings of names and tags, case included: a filter for ``olx/tokens/`` must
not find ``OLX/tokens/`` nor ``archive/olx/tokens/``. Only versions that have stages are shown, and
a secret without a value shows none.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

from local.emulator import operations, storage
from local.emulator.refusals import malformed, not_found, wrong_page, wrong_parameter
from local.emulator.versions import Secret, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.emulator.operations import Json

Found = TypeVar("Found")

MOST_IN_A_PAGE = 100
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
SEARCHED: dict[str, Callable[[Secret], list[str]]] = {
    "name": lambda secret: [secret["Name"]],
    "description": lambda secret: [secret["Description"].lower()],
    "tag-key": lambda secret: [tag["Key"] for tag in secret["Tags"]],
    "tag-value": lambda secret: [tag["Value"] for tag in secret["Tags"]],
    "primary-region": lambda secret: [str(secret.get("_PrimaryRegion", ""))],
    "owning-service": lambda _: [],
    "all": lambda secret: [
        text.lower()
        for text in (
            secret["Name"],
            secret["Description"],
            *(part for tag in secret["Tags"] for part in (tag["Key"], tag["Value"])),
        )
    ],
}
CASE_IGNORED = ("description", "all")


def describe_secret(request: Json) -> Json:
    """Describe one secret, also one that is marked for deletion."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    return _entry(secret, versions_as="VersionIdsToStages")


def list_secrets(request: Json) -> Json:
    """Return one page of the secrets that pass every filter."""
    found = _filtered(request, planned_deletion=bool(request.get("IncludePlannedDeletion")))
    page, following = _page(found, request, at_most=MOST_IN_A_PAGE)
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
    page, following = _page(shown, request, at_most=MOST_IN_A_PAGE)
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
    page, following = _page(found, request, at_most=MOST_IN_A_BATCH)
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
    if stages := staged(secret):
        entry[versions_as] = stages
    return entry


def _filtered(request: Json, *, planned_deletion: bool) -> list[Secret]:
    """Return the secrets that pass every filter, by name."""
    filters = request.get("Filters", [])
    for wanted in filters:
        if wanted["Key"] not in SEARCHED:
            raise malformed(f"Filters: there is no key {wanted['Key']}.")
    found = [
        secret
        for secret in storage.all_secrets()
        if (planned_deletion or not secret["DeletedDate"])
        and all(_passes(secret, wanted["Key"], wanted["Values"]) for wanted in filters)
    ]
    return sorted(found, key=lambda secret: str(secret["Name"]))


def _passes(secret: Secret, key: str, values: Sequence[str]) -> bool:
    """Tell whether one of the values begins one of the texts; ``!`` before a value negates it."""
    texts = SEARCHED[key](secret)
    for value in values:
        beginning = value.removeprefix("!")
        if key in CASE_IGNORED:
            beginning = beginning.lower()
        if any(text.startswith(beginning) for text in texts) != value.startswith("!"):
            return True
    return False


def _page(found: list[Found], request: Json, *, at_most: int) -> tuple[list[Found], Json]:
    """Cut one page out of all that was found; the token of the next is a position."""
    size = request.get("MaxResults", at_most)
    if not 1 <= size <= at_most:
        raise malformed(f"MaxResults is between 1 and {at_most}.")
    start = _position(request.get("NextToken"))
    end = start + size
    following = {} if end >= len(found) else {"NextToken": base64.b64encode(b"%d" % end).decode()}
    return found[start:end], following


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise wrong_page("NextToken was not given out by this API.") from None
