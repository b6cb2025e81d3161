"""Deletes what a walk has made, by its names alone, and says what it could not delete."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tools.deploying.place import said_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.smoke.stack_site import Site

# The accounts of a walk. A listing may lag by minutes, so theirs are asked for by name as well.
ACCOUNTS: Final = ("mistyped", "created", "filled")
# The fewest that KMS takes.
KEYS_WAIT_DAYS: Final = 7
GONE: Final = "DELETE_COMPLETE"
DELETING: Final = "DELETE_IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is still there.

    Attributes:
        what: For a person.
        command: What deletes it.
    """

    what: str
    command: str


def clean(site: Site) -> list[Leftover]:
    """Delete all that bears a walk's name: alarms, stacks with keys and roles, secrets, logs.

    What fails does not keep the rest from being deleted.

    Returns:
        What is left, with the command that deletes it.
    """
    left: list[Leftover] = []
    _try(left, "its copies of alarms", _redo(site), lambda: _delete_copies(site))
    _try(left, "the policy of its consumer's role", _redo(site), lambda: _detach(site))
    stacks = [site.names.monitoring, *_account_stacks(site, left), site.names.stack]
    left += _delete_stacks(site, stacks)
    # The function would publish again whatever is deleted before it is gone.
    left += _delete_secrets(site)
    keys = _try(left, "its keys, 1 USD a month each", _redo(site), lambda: _keys(site)) or []
    left += _delete_stacks(site, [site.names.surroundings])
    left += _delete_keys(site, keys)
    _try(left, "its logs", _redo(site), lambda: _delete_logs(site))
    return left


def _redo(site: Site) -> str:
    """The command that cleans up once more."""
    return f"make smoke-aws-stack CLEAN={site.names.stack}"


def _try(left: list[Leftover], what: str, command: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Do something; where AWS refuses, that is left, with the reason."""
    try:
        return act()
    except (BotoCoreError, ClientError) as error:
        left.append(Leftover(f"{what} ({said_of(error)})", command))
        return None


def _delete_copies(site: Site) -> None:
    cloudwatch = site.client("cloudwatch")
    found = cloudwatch.describe_alarms(AlarmNamePrefix=site.names.copies)["MetricAlarms"]
    if found:
        cloudwatch.delete_alarms(AlarmNames=[each["AlarmName"] for each in found])


def _detach(site: Site) -> None:
    """Take the account's policy from the consumer's role, or else it could not be deleted."""
    if site.status(site.names.surroundings) in {None, GONE}:
        return
    iam = site.client("iam")
    try:
        role = site.resource(site.names.surroundings, "Consumer")
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    except ClientError as error:
        # The stack was not made as far as this.
        if said_of(error) in {"ValidationError", "NoSuchEntity"}:
            return
        raise
    for each in attached:
        iam.detach_role_policy(RoleName=role, PolicyArn=each["PolicyArn"])


def _account_stacks(site: Site, left: list[Leftover]) -> list[str]:
    def find() -> list[str]:
        pages = site.client("cloudformation").get_paginator("describe_stacks").paginate()
        beginning = f"{site.names.stack}-account-"
        return [
            each["StackName"]
            for page in pages
            for each in page["Stacks"]
            if each["StackName"].startswith(beginning)
        ]

    return _try(left, "the stacks of its accounts", _redo(site), find) or []


def _delete_stacks(site: Site, stacks: list[str]) -> list[Leftover]:
    """Delete stacks at the same time, in whatever state they are.

    One that is being made or changed may refuse until that has ended, so each is asked again.
    """
    refused: dict[str, str] = {}

    def are_gone() -> bool:
        return not [stack for stack in stacks if _is_there(stack)]

    def _is_there(stack: str) -> bool:
        try:
            status = site.status(stack)
            if status not in {None, GONE, DELETING}:
                site.client("cloudformation").delete_stack(StackName=stack)
        except (BotoCoreError, ClientError) as error:
            refused[stack] = said_of(error)
            return True
        refused.pop(stack, None)
        return status not in {None, GONE}

    site.wait("stacks to be deleted", are_gone, seconds=site.waits.stack)
    return [
        Leftover(
            f"the stack {stack} ({refused.get(stack, 'not gone in time')})",
            f"aws cloudformation delete-stack --stack-name {stack} --region {site.place.region}",
        )
        for stack in stacks
        if _is_there(stack)
    ]


def _delete_secrets(site: Site) -> list[Leftover]:
    names = [name(account) for account in ACCOUNTS for name in _kinds(site)]
    left: list[Leftover] = []
    listed = _try(left, "secrets that are not known", _redo(site), lambda: list(_listed(site)))
    for name in sorted({*names, *(listed or ())}):
        command = (
            f"aws secretsmanager delete-secret --secret-id {name} "
            f"--force-delete-without-recovery --region {site.place.region}"
        )
        _try(left, f"the secret {name}", command, partial(_delete_secret, site, name))
    return left


def _kinds(site: Site) -> tuple[Callable[[str], str], ...]:
    return site.names.credentials, site.names.token


def _listed(site: Site) -> Iterator[str]:
    """Name the secrets under the prefix, as far as the listing knows them."""
    pages = site.secrets.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "name", "Values": [f"{site.names.stack}/"]}]
    )
    for page in pages:
        for each in page["SecretList"]:
            yield each["Name"]


def _delete_secret(site: Site, name: str) -> None:
    # By force one that is not there is deleted as well, so it is asked for first.
    if site.described(name):
        site.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def _keys(site: Site) -> list[str]:
    """Name the keys of the surroundings, while their stack tells."""
    if site.status(site.names.surroundings) is None:
        return []
    found = site.client("cloudformation").describe_stack_resources(
        StackName=site.names.surroundings
    )["StackResources"]
    return [
        each["PhysicalResourceId"]
        for each in found
        if each["ResourceType"] == "AWS::KMS::Key" and "PhysicalResourceId" in each
    ]


def _delete_keys(site: Site, keys: list[str]) -> list[Leftover]:
    """See that keys wait for their deletion, which the stack should have begun."""
    left: list[Leftover] = []

    def delete(key: str) -> None:
        kms = site.client("kms")
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=KEYS_WAIT_DAYS)

    for key in keys:
        command = (
            f"aws kms schedule-key-deletion --key-id {key} "
            f"--pending-window-in-days {KEYS_WAIT_DAYS} --region {site.place.region}"
        )
        _try(left, f"the key {key}, 1 USD a month", command, partial(delete, key))
    return left


def _delete_logs(site: Site) -> None:
    """Delete the logs that are there although their stack is gone."""
    logs = site.client("logs")
    found = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{site.names.stack}")
    for each in found["logGroups"]:
        logs.delete_log_group(logGroupName=each["logGroupName"])
