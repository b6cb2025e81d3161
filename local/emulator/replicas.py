"""Secrets that are replicated to other Regions; ministack copies them, and only of its own calls.

As in AWS's documents: a replica is read where it is and changed where its primary is, a secret of
the same name that stands there fails the replication and not the call, and a secret with replicas
cannot be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulator import storage
from local.secrets_manager.refusals import not_found, wrong_parameter, wrong_state

if TYPE_CHECKING:
    from local.emulator.operations import Json

FAILED = "Failed"
# What changes a secret: refused of a replica, and brought to the replicas of a primary.
CHANGES = frozenset(
    {
        "PutSecretValue",
        "ReplicateSecretToRegions",
        "RotateSecret",
        "TagResource",
        "UntagResource",
        "UpdateSecret",
        "UpdateSecretVersionStage",
    }
)


def refuse_replica(request: Json) -> None:
    """Refuse to change a secret that is a copy of another Region's."""
    secret = storage.find(request["SecretId"])
    if secret is not None and storage.is_replica(secret):
        raise wrong_state("A replica is changed in the Region of its primary.")


def bring_up_to_date(request: Json) -> None:
    """Let the replicas of a secret be as it is now."""
    if (secret := storage.find(request["SecretId"])) is not None:
        storage.copy_to_replicas(secret)


def replicate_secret_to_regions(request: Json) -> Json:
    """Copy a secret to other Regions, where no other of its name is."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    if secret["DeletedDate"]:
        raise wrong_state("The secret is marked for deletion.")
    for asked in request["AddReplicaRegions"]:
        region = asked["Region"]
        if region == storage.region():
            raise wrong_parameter("A secret is no replica of itself.")
        others = secret.get("ReplicationStatus", [])
        kept = [each for each in others if each["Region"] != region]
        if storage.is_taken(secret, region) and not request.get("ForceOverwriteReplicaSecret"):
            message = "A secret of this name is there already."
            told = {"Region": region, "Status": FAILED, "StatusMessage": message}
        else:
            told = storage.replicate(secret, asked)
        secret["ReplicationStatus"] = [*kept, told]
    return {"ARN": secret["ARN"], "ReplicationStatus": secret.get("ReplicationStatus", [])}


def remove_regions_from_replication(request: Json) -> Json:
    """Delete the replicas in some Regions."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    for region in request["RemoveReplicaRegions"]:
        storage.delete_replica(secret, region)
    gone = set(request["RemoveReplicaRegions"])
    kept = [each for each in secret.get("ReplicationStatus", []) if each["Region"] not in gone]
    secret["ReplicationStatus"] = kept
    return {"ARN": secret["ARN"], "ReplicationStatus": kept}


def stop_replication_to_replica(request: Json) -> Json:
    """Make a replica a secret of its own; its primary knows it no more."""
    secret = storage.find(request["SecretId"])
    if secret is None:
        raise not_found("The secret")
    if not storage.is_replica(secret):
        raise wrong_state("The secret is no replica.")
    storage.promote(secret)
    return {"ARN": secret["ARN"]}


def require_no_replicas(request: Json) -> None:
    """Refuse to delete a secret that has replicas; one by one they go first."""
    secret = storage.find(request["SecretId"])
    if secret is not None and secret.get("ReplicationStatus"):
        raise wrong_parameter("A secret with replicas cannot be deleted.")
