"""A rotation function as Secrets Manager's documentation describes it: four steps, one secret.

Written afresh from the documented contract: each step is an invocation with ``Step``,
``SecretId`` and ``ClientRequestToken``; it makes a client, describes the secret, and checks that
the version is the pending one. Here the credentials are in the secret beside the token, there is
nothing to set, and to test is to read the pending version: the fewest calls that the contract
allows.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

import boto3
import urllib3

PENDING: Final = "AWSPENDING"
CURRENT: Final = "AWSCURRENT"


def lambda_handler(event: dict[str, str], _context: object) -> None:
    """Do one step."""
    client = boto3.client("secretsmanager")
    secret_id, version_id = event["SecretId"], event["ClientRequestToken"]
    described = client.describe_secret(SecretId=secret_id)
    if not described["RotationEnabled"]:
        raise ValueError("Rotation is not enabled.")
    stages = described["VersionIdsToStages"].get(version_id, [])
    if CURRENT in stages:
        return
    match event["Step"]:
        case "createSecret":
            create(client, secret_id, version_id)
        case "setSecret":
            """The endpoint made the token, so there is nothing to set."""
        case "testSecret":
            test(client, secret_id, version_id)
        case "finishSecret":
            finish(client, secret_id, version_id)


def create(client: Any, secret_id: str, version_id: str) -> None:  # noqa: ANN401 - boto3's
    """Put a new token beside the old one, unless an earlier attempt has done so."""
    current = client.get_secret_value(SecretId=secret_id, VersionStage=CURRENT)
    try:
        client.get_secret_value(SecretId=secret_id, VersionId=version_id, VersionStage=PENDING)
    except client.exceptions.ResourceNotFoundException:
        content = json.loads(current["SecretString"]) | request()
        client.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version_id,
            SecretString=json.dumps(content),
            VersionStages=[PENDING],
        )


def request() -> dict[str, Any]:
    """Ask for a token."""
    answer = urllib3.PoolManager(ca_certs=os.environ["SSL_CERT_FILE"]).request_encode_body(
        "POST",
        os.environ["TOKEN_ENDPOINT"],
        fields={"grant_type": "client_credentials"},
        headers={"Authorization": "Basic bWFkZS11cDptYWRlLXVw"},
        encode_multipart=False,
    )
    told: dict[str, Any] = json.loads(answer.data)
    return told


def test(client: Any, secret_id: str, version_id: str) -> None:  # noqa: ANN401 - boto3's
    """See that what was put there holds a token."""
    pending = client.get_secret_value(
        SecretId=secret_id, VersionId=version_id, VersionStage=PENDING
    )
    if "access_token" not in json.loads(pending["SecretString"]):
        raise ValueError("The pending version has no token.")


def finish(client: Any, secret_id: str, version_id: str) -> None:  # noqa: ANN401 - boto3's
    """Make the pending version the current one."""
    described = client.describe_secret(SecretId=secret_id)
    current = next(
        each for each, stages in described["VersionIdsToStages"].items() if CURRENT in stages
    )
    client.update_secret_version_stage(
        SecretId=secret_id,
        VersionStage=CURRENT,
        MoveToVersionId=version_id,
        RemoveFromVersionId=current,
    )
