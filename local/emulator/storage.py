"""ministack's own storage of secrets: the only module that reaches into it.

ministack offers no interface for this, which is why its version is pinned exactly. When the pin
moves, this module and the conformance tests say what has changed.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import secretsmanager as ministack
from ministack.services.cloudformation import provisioners

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from local.emulator.versions import Secret

SILENT_STAGES = ("AWSPENDING", "AWSPREVIOUS")

ministack_handles: Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]] = (
    ministack.handle_request
)


def find(secret_id: str) -> Secret | None:
    """Return the secret with this name, ARN or partial ARN."""
    secret: Secret | None
    _, secret = ministack._resolve(secret_id)
    return secret


def named(name: str) -> Secret | None:
    """Return the secret with exactly this name, also if it is marked for deletion."""
    secret: Secret | None = ministack._secrets.get(name)
    return secret


def all_secrets() -> list[Secret]:
    """Return the secrets of the caller's account and Region."""
    secrets: list[Secret] = ministack._secrets.values()
    return secrets


def arn_before_creation(name: str) -> str:
    """Return an ARN as policies see it of a secret that is not there yet."""
    return f"arn:aws:secretsmanager:{get_region()}:{get_account_id()}:secret:{name}-{'A' * 6}"


def store_empty(
    name: str, *, description: str, tags: list[dict[str, str]], kms_key_id: str | None
) -> Secret:
    """Store a new secret without any version.

    ministack always makes a first version; on AWS a secret that was created without a value has
    none.
    """
    ministack._store_new_secret(name, description=description, tags=tags, kms_key_id=kms_key_id)
    secret: Secret = ministack._secrets[name]
    secret["Versions"].clear()
    return secret


def region() -> str:
    """Return the caller's Region."""
    here: str = get_region()
    return here


def is_replica(secret: Secret) -> bool:
    """Whether a secret is a copy of another Region's."""
    return bool(ministack._is_replica(secret))


def is_taken(secret: Secret, region: str) -> bool:
    """Whether another secret of its name stands in a Region."""
    there = ministack._secrets.get_scoped(get_account_id(), region, secret["Name"])
    return there is not None and there["ARN"] != ministack._secret_arn_for_region(secret, region)


def replicate(secret: Secret, asked: dict[str, str]) -> dict[str, str]:
    """Copy a secret to a Region as ministack does, and return the copy's state."""
    _, _, body = ministack._replicate_secret_to_regions(
        {
            "SecretId": secret["ARN"],
            "AddReplicaRegions": [asked],
            "ForceOverwriteReplicaSecret": True,
        }
    )
    told: dict[str, dict[str, str]]
    told = {each["Region"]: each for each in json_of(body)["ReplicationStatus"]}
    return told[asked["Region"]]


def delete_replica(secret: Secret, region: str) -> None:
    """Delete the copy in a Region, if it is this secret's."""
    if not is_taken(secret, region):
        ministack._secrets.pop_scoped(get_account_id(), region, secret["Name"], None)


def promote(secret: Secret) -> None:
    """Let a copy and its primary know of each other no more."""
    ministack._unlink_from_primary(secret)
    for name in ("_PrimarySecretArn", "_PrimaryRegion"):
        ministack._secrets[secret["Name"]].pop(name)


def copy_to_replicas(secret: Secret) -> None:
    """Bring what a secret is now to its replicas."""
    ministack._sync_replicas(secret)


def announce(secret: Secret, stages: Iterable[str], version_id: str) -> None:
    """Send the event "Secret Label Updated", which AWS sends for all stages but two."""
    for stage in stages:
        if stage not in SILENT_STAGES:
            ministack._emit_secret_label_updated(secret, stage, version_id)


def answer_calls_with(handler: Callable[..., Any]) -> None:
    """Put a handler in the place of ministack's own; its signature is ``ministack_handles``'."""
    ministack.handle_request = handler


def json_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request; no bytes are an empty one."""
    parsed: dict[str, Any] = json.loads(body or b"{}")
    return parsed


def install() -> None:
    """Let a template's secret be as CloudFormation makes it: without a value, and never another's.

    ministack gives it an empty one, and writes over a secret that is there.
    """
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    ministack_creates = handlers["create"]

    def create(
        logical_id: str, properties: dict[str, Any], stack_name: str
    ) -> tuple[str, dict[str, Any]]:
        if named(properties.get("Name", "")) is not None:
            message = f"The operation failed because {properties['Name']} already exists."
            raise ValueError(message)
        name, attributes = ministack_creates(logical_id, properties, stack_name)
        if not properties.keys() & {"SecretString", "GenerateSecretString"}:
            ministack._secrets[name]["Versions"].clear()
        return name, attributes

    handlers["create"] = create
