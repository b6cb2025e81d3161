"""What is looked at before a build: what would fail half way, or take the accounts of others."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, UnknownRegionError

from tools import templates
from tools.deploying.names import check_name
from tools.deploying.parameters import check_together, check_values, definitions, in_force
from tools.deploying.place import DeployError
from tools.deploying.stacks import Stack, check_prefix, check_quota, check_status, find_stack
from tools.output import wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.deploying.place import Place


@dataclass(frozen=True, slots=True)
class Pair:
    """A function's stack and that of its monitoring, as they are, and what they are to be given.

    Args:
        function: The first.
        monitoring: The second.
        given: What is named now.
    """

    function: Stack
    monitoring: Stack
    given: Mapping[str, str]

    @property
    def before(self) -> dict[str, str]:
        """The value of each of the function's parameters now; none where nothing is deployed."""
        if self.function.is_new:
            return {}
        return in_force(templates.FUNCTION, {}, self.function.parameters)

    @property
    def in_force(self) -> dict[str, str]:
        """The value of each of the function's parameters after the deployment."""
        return in_force(templates.FUNCTION, self.given, self.before)

    @property
    def left_prefix(self) -> str:
        """The prefix that the function has and is not to have any more; empty where it keeps it."""
        before = self.before.get("SecretPrefix", "")
        return "" if before == self.in_force["SecretPrefix"] else before

    @property
    def left_hosts(self) -> list[str]:
        """The hosts that the list of allowed ones has and is not to have any more."""
        before, after = (
            {host.strip().lower().removesuffix(":443") for host in each.split(",")}
            for each in (
                self.before.get("AllowedTokenHosts", ""),
                self.in_force["AllowedTokenHosts"],
            )
        )
        return sorted(before - after - {""})

    @property
    def for_monitoring(self) -> dict[str, str]:
        """What monitoring is given: what both have must be the same."""
        shared = definitions(templates.MONITORING).keys() & self.in_force.keys()
        return {
            **self.given,
            **{name: self.in_force[name] for name in sorted(shared)},
            "FunctionStackName": self.function.name,
        }


def check(place: Place, name: str, given: Mapping[str, str]) -> Pair:
    """See that a deployment will not fail half way, nor take the accounts of another stack.

    Args:
        place: Where.
        name: The function's stack.
        given: What is named now; what is not keeps the value that it has.

    Raises:
        DeployError: It would.
    """
    pair = Pair(find_stack(place, name), find_stack(place, f"{name}-monitoring"), given)
    check_status(pair.function, place, delete=f"make undeploy STACK={name}")
    check_status(pair.monitoring, place, delete=deletion(place, pair.monitoring.name))
    check_name(name, pair.in_force)
    check_values(pair.in_force)
    check_together(pair.in_force)
    check_regions(place, pair.in_force["ReplicaRegions"])
    check_prefix(place, name, pair.in_force)
    check_quota(place, pair.before, pair.in_force)
    return pair


def check_regions(place: Place, named: str) -> None:
    """See that Secrets Manager can copy to the Regions that are named.

    Args:
        place: Where it copies from.
        named: As the parameter has them.

    Raises:
        DeployError: One is of another partition, which no copy crosses to.
    """
    here = partition_of(place, place.region)
    regions = place.session.get_available_regions("secretsmanager", here or "aws")
    for region in filter(None, named.split(",")):
        if region in regions:
            continue
        if here and partition_of(place, region) not in {here, None}:
            raise DeployError(
                f"ReplicaRegions names {region}, which is of another partition of AWS than "
                f"{place.region}: nothing is copied there."
            )
        near = difflib.get_close_matches(region, regions, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        # It may be younger than the list.
        told = f"No Region {region} is known here, so maybe nothing is copied there.{meant}"
        print(wrapped(told))


def partition_of(place: Place, region: str) -> str | None:
    """Name the partition of a Region by its looks; None where it looks like none."""
    try:
        found: str = place.session.get_partition_for_region(region)
    except UnknownRegionError:
        return None
    return found


def check_account(place: Place, account: str, parameters: Mapping[str, str]) -> None:
    """See that the secret that a new stack of an account is to create is not there.

    Args:
        place: Where.
        account: Its name.
        parameters: All that will hold.

    Raises:
        DeployError: It is there: the stack would end in ``ROLLBACK_COMPLETE``.
    """
    if parameters["CreateSecret"] != "true":
        return
    secret = f"{parameters['SecretPrefix']}/credentials/{account}"
    try:
        found = place.client("secretsmanager").describe_secret(SecretId=secret)
    except ClientError:
        # It is not there, or nobody may say: CloudFormation will.
        return
    if found.get("DeletedDate"):
        raise DeployError(
            f"The secret {secret} is to be deleted, so none of its name can be created. Bring it "
            f"back first: aws secretsmanager restore-secret --secret-id {secret} "
            f"--region {place.region}"
        )
    raise DeployError(
        f"The secret {secret} is there already. For the policy of its consumers alone: "
        f'make account ACCOUNT={account} PARAMETERS="CreateSecret=false"'
    )


def deletion(place: Place, stack: str) -> str:
    """Return the command that deletes a stack for which there is no other."""
    return f"aws cloudformation delete-stack --stack-name {stack} --region {place.region}"
