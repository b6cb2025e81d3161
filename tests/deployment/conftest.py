"""The real stack, deployed once to a local AWS that enforces IAM, with keys of the customer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from local.stack import LocalAws, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployed stack, and the keys that its secrets are encrypted with."""

    stack: Stack
    credentials_key: str
    tokens_key: str

    @property
    def aws(self) -> LocalAws:
        return self.stack.aws


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """An AWS account of the file's own: nothing that another leaves is in its way.

    No schedule ticks here, nor in the shared one: however long a file takes, its functions are
    invoked by its tests alone.
    """
    with LocalAws(drives_time=True) as local_aws:
        yield local_aws


@pytest.fixture(scope="session")
def _shared_aws() -> Iterator[LocalAws]:
    """The AWS account of what several files look at."""
    with LocalAws(drives_time=True) as local_aws:
        yield local_aws


@pytest.fixture(scope="session")
def _built(_shared_aws: LocalAws) -> str:
    """Build what all stacks are deployed from, and return what is said of it.

    The quick start's test runs ``make deploy``.
    """
    return Stack(_shared_aws, {}).make("build")


@pytest.fixture(scope="session")
def deployed(_shared_aws: LocalAws, _built: str) -> Deployed:
    kms = _shared_aws.cloud.client("kms")
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    parameters = {"CredentialsKmsKeyArn": keys[0], "TokenSecretKmsKeyArn": keys[1]}
    parameters["ResourceTags"] = "team=payments,cost-center=42"
    parameters["ReplicaRegions"] = "eu-central-1"
    stack = Stack(_shared_aws, {"ScheduleMinutes": "15", "Events": "true", **parameters})
    stack.make("deploy-stacks")
    return Deployed(stack, *keys)
