"""The command in a process of its own, and questions in this one, on a cloud that is not AWS."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.loaders import create_loader

from local.embedded_cloud import OWNER, REGION
from local.stack import Stack
from tools.deploying.place import Place
from tools.smoke.__main__ import run
from tools.smoke.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.embedded_cloud import Credentials, EmbeddedCloud
    from tools.smoke.findings import Finding
    from tools.smoke.questions import Question

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = (ROOT / "docs/smoke.md").read_text("utf-8")
COMMAND: Final = (sys.executable, "-m", "tools.smoke")


def policy() -> list[dict[str, Any]]:
    """The statements that the document asks for."""
    text = DOCUMENT.partition("```json\n")[2].partition("```")[0]
    statements: list[dict[str, Any]] = json.loads(text)["Statement"]
    return statements


def credentials_with(
    cloud: EmbeddedCloud, statements: list[dict[str, Any]], *, name: str
) -> Credentials:
    """A role in a cloud that enforces IAM, with these statements and no others."""
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="smoke", PolicyDocument=document)
    return cloud.assume(role)


def shell(
    cloud: EmbeddedCloud, directory: Path, credentials: Credentials = OWNER
) -> dict[str, str]:
    """A shell that reaches this cloud, and no AWS account."""
    return {
        **Stack.clean_environment(),
        **cloud.environment(credentials),
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
        "PYTHONPATH": "functions:.",
    }


def sandbox(
    cloud: EmbeddedCloud,
    *,
    credentials: Credentials = OWNER,
    url: str | None = None,
    monotonic: Callable[[], float] = lambda: 0.0,
) -> Sandbox:
    """A sandbox whose clients reach a cloud, by way of another address if one is given.

    What is looked at again is looked at again at once.
    """
    caller = cloud.client("sts", credentials=credentials).get_caller_identity()
    session = _Session(credentials, url or cloud.endpoint_url)
    place = Place(session, caller["Account"], caller["Arn"])
    return Sandbox(place, monotonic=monotonic, sleep=lambda _: None)


def asked(box: Sandbox, questions: Sequence[Question]) -> list[Finding]:
    """Ask, and take away what was made."""
    try:
        return list(run(box, questions, tell=lambda _: None))
    finally:
        box.clean_up()


def secrets_in(cloud: EmbeddedCloud) -> list[str]:
    """Name every secret that is left, those included that are to be deleted."""
    listed = cloud.client().list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return [each["Name"] for each in listed]


_loader = cache(create_loader)


class _Session(boto3.Session):
    """A session that no variable and no file can turn towards a real account."""

    def __init__(self, credentials: Credentials, url: str) -> None:
        super().__init__(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            region_name=REGION,
        )
        # What it reads of each service takes longer than most questions.
        self._session.register_component("data_loader", _loader())
        self._url = url

    def client(self, service_name: str, **more: Any) -> Any:  # type: ignore[override] # noqa: ANN401
        make: Any = super().client
        return make(service_name, endpoint_url=self._url, **more)
