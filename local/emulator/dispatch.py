"""Hands Secrets Manager's calls to the operations here, and what is left to ministack.

ministack is changed in this one place only: where its calls enter the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ministack.core.responses import error_response_json, json_response

from local.emulator import callers, listing, operations, replicas, rotation, storage
from local.secrets_manager.refusals import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator.operations import Json

Answer: TypeAlias = tuple[int, dict[str, str], bytes]

ANSWERED_HERE: dict[str, Callable[[Json], Json]] = {
    "CreateSecret": operations.create_secret,
    "DescribeSecret": listing.describe_secret,
    "GetSecretValue": operations.get_secret_value,
    "ListSecretVersionIds": listing.list_secret_version_ids,
    "ListSecrets": listing.list_secrets,
    "PutSecretValue": operations.put_secret_value,
    "RemoveRegionsFromReplication": replicas.remove_regions_from_replication,
    "ReplicateSecretToRegions": replicas.replicate_secret_to_regions,
    "RotateSecret": rotation.rotate_secret,
    "StopReplicationToReplica": replicas.stop_replication_to_replica,
    "TagResource": operations.tag_resource,
    "UntagResource": operations.untag_resource,
    "UpdateSecret": operations.update_secret,
    "UpdateSecretVersionStage": operations.update_secret_version_stage,
}


def install() -> None:
    """Put the documented behaviour in ministack's place."""
    storage.answer_calls_with(handle_request)


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> Answer:
    """Answer one call, with ministack's own signature."""
    callers.remember(headers, query_params)
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        if operation in replicas.CHANGES:
            replicas.refuse_replica(storage.json_of(body))
        if operation == "DeleteSecret":
            replicas.require_no_replicas(storage.json_of(body))
        if operation in ANSWERED_HERE:
            answer = ANSWERED_HERE[operation](storage.json_of(body))
            if operation in replicas.CHANGES:
                replicas.bring_up_to_date(storage.json_of(body))
            return _response(answer)
        if operation == "DeleteSecret" and operations.finds_nothing_to_force(storage.json_of(body)):
            return _response({"Name": storage.json_of(body)["SecretId"]})
        if operation == "BatchGetSecretValue":
            listing.check_batch(storage.json_of(body))
    except RefusalError as refusal:
        return _refused(refusal)
    return await storage.ministack_handles(method, path, headers, body, query_params)


def _response(answer: Json) -> Answer:
    response: Answer = json_response(answer)
    return response


def _refused(refusal: RefusalError) -> Answer:
    response: Answer = error_response_json(refusal.code, refusal.message, 400)
    return response
