"""The policies of a deployed function's role, and how to take a statement away or add one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack


class Policies:
    """What CloudFormation gave the function's role: policies that all roles share, and its own."""

    def __init__(self, stack: Stack) -> None:
        self._iam = stack.aws.cloud.client("iam")
        names = stack.resources()
        self._shared = [names[policy] for policy in ("RefreshPolicy", "RunPolicy")]
        self._own = {"RoleName": names["FunctionRole"], "PolicyName": "sweep"}

    def shared(self) -> list[dict[str, Any]]:
        return [each for arn in self._shared for each in self._of(arn)]

    def _of(self, arn: str) -> list[dict[str, Any]]:
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
        statements: list[dict[str, Any]] = answer["PolicyVersion"]["Document"]["Statement"]
        return statements

    def own(self) -> list[dict[str, Any]]:
        answer = self._iam.get_role_policy(**self._own)
        statements: list[dict[str, Any]] = answer["PolicyDocument"]["Statement"]
        return statements

    @contextmanager
    def without(self, sid: str) -> Iterator[None]:
        """Take one statement away for as long as the block runs."""
        shared, own = {arn: self._of(arn) for arn in self._shared}, self.own()
        self.take_away(sid)
        try:
            yield
        finally:
            for arn, statements in shared.items():
                self._put(arn, statements)
            self._put_own(own)

    @contextmanager
    def with_denial(self, **condition: dict[str, str]) -> Iterator[None]:
        """Deny the creation of secrets for as long as the block runs, as an organisation may."""
        denied = {
            "Sid": "AsTheOrganisationDemands",
            "Effect": "Deny",
            "Action": "secretsmanager:CreateSecret",
            "Resource": "*",
            "Condition": condition,
        }
        own = self.own()
        self._put_own([*own, denied])
        try:
            yield
        finally:
            self._put_own(own)

    def take_away(self, sid: str) -> None:
        """Take one statement away."""
        own = self.own()
        assert [each["Sid"] for each in self.shared() + own].count(sid) == 1
        for arn in self._shared:
            self._put(arn, [each for each in self._of(arn) if each["Sid"] != sid])
        self._put_own([each for each in own if each["Sid"] != sid])

    def _put(self, arn: str, statements: list[dict[str, Any]]) -> None:
        """Make another default version; IAM keeps five."""
        for each in self._iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not each["IsDefaultVersion"]:
                self._iam.delete_policy_version(PolicyArn=arn, VersionId=each["VersionId"])
        self._iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=_document(statements), SetAsDefault=True
        )

    def _put_own(self, statements: list[dict[str, Any]]) -> None:
        if statements:
            self._iam.put_role_policy(**self._own, PolicyDocument=_document(statements))
        else:
            self._iam.delete_role_policy(**self._own)


def _document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
