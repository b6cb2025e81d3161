"""Where IAM is enforced, a role may do what its policies say, on keys as well as on secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.embedded_cloud import OWNER, REGION, Credentials, EmbeddedCloud
from tests.integration.test_emulator_functions import deploy, invoke

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = "000000000000"
VIA_SECRETS_MANAGER = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
ASK_WHO_IT_IS = """
import sys
sys.path[:0] = PATHS
import boto3
def handler(event, context):
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
READ_AS_ANY_PROGRAM = """
import boto3
print(boto3.client("secretsmanager").get_secret_value(SecretId="oauth/tokens/a")["SecretString"])
"""


@pytest.fixture
def cloud(enforcing_cloud: EmbeddedCloud) -> EmbeddedCloud:
    enforcing_cloud.reset()
    return enforcing_cloud


@pytest.fixture
def role(cloud: EmbeddedCloud) -> Callable[..., Credentials]:
    """Create a role that may do what its statements say, and assume it."""

    def create(*statements: dict[str, Any]) -> Credentials:
        return cloud.assume(create_role(cloud, *statements))

    return create


def create_role(
    cloud: EmbeddedCloud, *statements: dict[str, Any], name: str = "r", path: str = "/"
) -> str:
    iam = cloud.client("iam")
    principals = {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principals, "Action": "sts:AssumeRole"}
    trusting = policy(trust)
    created = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trusting)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    arn: str = created["Role"]["Arn"]
    return arn


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, on: str = "*", when: dict[str, str] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": on}
    if when:
        statement["Condition"] = {"StringEquals": when}
    return statement


def secret_arns(prefix: str) -> str:
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{prefix}/*"


SECRETS = allow("secretsmanager:*")


def key(cloud: EmbeddedCloud) -> str:
    arn: str = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def denial(call: Callable[[], object]) -> str:
    """Return the code of a refusal."""
    with pytest.raises(ClientError) as refusal:
        call()
    return str(refusal.value.response["Error"]["Code"])


def test_a_role_may_do_what_its_policies_allow_and_nothing_else(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    for name in ("oauth/tokens/a", "oauth/credentials/a"):
        cloud.client().create_secret(Name=name, SecretString="x")
    consumer = cloud.client(
        credentials=role(allow("secretsmanager:GetSecretValue", on=secret_arns("oauth/tokens")))
    )
    assert consumer.get_secret_value(SecretId="oauth/tokens/a")["SecretString"] == "x"
    assert (
        denial(lambda: consumer.get_secret_value(SecretId="oauth/credentials/a"))
        == "AccessDeniedException"
    )
    assert (
        denial(lambda: consumer.put_secret_value(SecretId="oauth/tokens/a", SecretString="y"))
        == "AccessDeniedException"
    )


def test_a_program_acts_as_the_role_through_the_environment_alone(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    cloud.client().create_secret(Name="oauth/tokens/a", SecretString="x")

    def run(credentials: Credentials) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", READ_AS_ANY_PROGRAM],
            env=cloud.environment(credentials),
            capture_output=True,
            text=True,
            check=False,
        )

    assert "AccessDeniedException" in run(role(allow("secretsmanager:ListSecrets"))).stderr
    assert run(OWNER).stdout == "x\n"


OURS = {
    "Effect": "Allow",
    "Action": "events:PutEvents",
    "Resource": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default",
    "Condition": {
        "ForAllValues:StringEquals": {"events:source": "token-refresher"},
        "Null": {"events:source": "false"},
    },
}


def entry(**changed: str) -> dict[str, str]:
    return {
        "Source": "token-refresher",
        "DetailType": "Token Published",
        "Detail": "{}",
        **changed,
    }


def test_events_may_be_put_in_ones_own_name_alone(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    bus = cloud.client("events", credentials=role(OURS))
    assert bus.put_events(Entries=[entry(), entry()])["FailedEntryCount"] == 0
    for refused in (
        [entry(Source="another")],
        [entry(), entry(Source="another")],
        [entry(EventBusName="another")],
    ):
        assert denial(lambda entries=refused: bus.put_events(Entries=entries)) == (  # type: ignore[misc]
            "AccessDeniedException"
        )


def test_a_policy_may_look_at_the_kind_of_an_event(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    kind = {"ForAllValues:StringEquals": {"events:detail-type": "Refresh Failed"}}
    bus = cloud.client("events", credentials=role({**OURS, "Condition": kind}))
    assert denial(lambda: bus.put_events(Entries=[entry()])) == "AccessDeniedException"
    assert bus.put_events(Entries=[entry(DetailType="Refresh Failed")])["FailedEntryCount"] == 0


def test_without_the_permission_no_event_is_put(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    bus = cloud.client("events", credentials=role(SECRETS))
    assert denial(lambda: bus.put_events(Entries=[entry()])) == "AccessDeniedException"


TAGGED: dict[str, Any] = {"Tags": [{"Key": "team", "Value": "payments"}]}


def test_a_secret_is_created_with_tags_by_whoever_may_tag_it_so(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    create = allow("secretsmanager:CreateSecret", on=secret_arns("oauth/tokens"))
    tag = {
        **allow("secretsmanager:TagResource", on=secret_arns("oauth/tokens")),
        "Condition": {
            "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "", ""]},
            "Null": {"aws:TagKeys": "false"},
        },
    }
    demand = {
        **allow("secretsmanager:CreateSecret"),
        "Effect": "Deny",
        "Condition": {"Null": {"aws:RequestTag/team": "true"}},
    }
    others: dict[str, Any] = {"Tags": [*TAGGED["Tags"], {"Key": "owner", "Value": "x"}]}
    creator = cloud.client(credentials=role(create))
    creator.create_secret(Name="oauth/tokens/a")
    assert denial(lambda: creator.create_secret(Name="oauth/tokens/b", **TAGGED)) == (
        "AccessDeniedException"
    )
    cloud.client("iam").delete_role_policy(RoleName="r", PolicyName="p")
    cloud.client("iam").put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=policy(create, tag, demand)
    )
    # The credentials are still the role's.
    creator.create_secret(Name="oauth/tokens/b", **TAGGED)
    for given in ({}, others):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            creator.create_secret(Name="oauth/tokens/c", **given)


def test_a_secret_is_replicated_to_the_regions_that_a_policy_names_alone(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    cloud.client().create_secret(Name="oauth/tokens/a", SecretString="x")
    statement = {
        **allow("secretsmanager:ReplicateSecretToRegions", on=secret_arns("oauth/tokens")),
        "Condition": {
            "ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": ["eu-central-1"]},
            "Null": {"secretsmanager:AddReplicaRegions": "false"},
        },
    }
    secrets = cloud.client(credentials=role(statement))

    def replicate(*regions: str) -> object:
        added: Any = [{"Region": region} for region in regions]
        return secrets.replicate_secret_to_regions(
            SecretId="oauth/tokens/a", AddReplicaRegions=added
        )

    for refused in (("us-east-1",), ("eu-central-1", "us-east-1")):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            replicate(*refused)
    replicate("eu-central-1")
    replica = cloud.client(region="eu-central-1").get_secret_value(SecretId="oauth/tokens/a")
    assert replica["SecretString"] == "x"


def test_to_read_a_function_s_concurrency_is_not_to_set_it(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    who = role(allow("lambda:GetFunctionConcurrency"))
    deploy(cloud, "", Role=f"arn:aws:iam::{ACCOUNT}:role/r")
    reader = cloud.client("lambda", credentials=who)
    assert "ReservedConcurrentExecutions" not in reader.get_function_concurrency(FunctionName="f")
    assert denial(
        lambda: reader.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    ).startswith("AccessDenied")


def test_credentials_do_not_show_their_secrets(role: Callable[..., Credentials]) -> None:
    credentials = role(SECRETS)
    assert credentials.secret_access_key not in repr(credentials)
    assert str(credentials.session_token) not in repr(credentials)


def test_a_function_acts_as_its_role(cloud: EmbeddedCloud) -> None:
    role_arn = create_role(cloud, SECRETS)
    deploy(cloud, ASK_WHO_IT_IS.replace("PATHS", repr(sys.path)), Role=role_arn, Runtime=own())
    assert invoke(cloud, None) == f"arn:aws:sts::{ACCOUNT}:assumed-role/r/f"


def own() -> str:
    """Return the runtime of the tests' own packages."""
    return f"python3.{sys.version_info.minor}"


def test_reading_under_a_customers_key_needs_decrypt(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    cloud.client().create_secret(Name="oauth/tokens/a", SecretString="x", KmsKeyId=key(cloud))
    reader = cloud.client(credentials=role(SECRETS, allow("kms:GenerateDataKey")))
    assert denial(lambda: reader.get_secret_value(SecretId="oauth/tokens/a")) == (
        "AccessDeniedException"
    )


def test_the_key_may_be_confined_to_secrets_manager(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    secret = cloud.client().create_secret(
        Name="oauth/tokens/a", SecretString="x", KmsKeyId=key(cloud)
    )
    confined = {**VIA_SECRETS_MANAGER, "kms:EncryptionContext:SecretARN": secret["ARN"]}
    reader = cloud.client(credentials=role(SECRETS, allow("kms:Decrypt", when=confined)))
    assert reader.get_secret_value(SecretId="oauth/tokens/a")["SecretString"] == "x"


def test_a_permission_through_another_service_is_none(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    cloud.client().create_secret(Name="oauth/tokens/a", SecretString="x", KmsKeyId=key(cloud))
    elsewhere = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    reader = cloud.client(credentials=role(SECRETS, allow("kms:Decrypt", when=elsewhere)))
    assert denial(lambda: reader.get_secret_value(SecretId="oauth/tokens/a")) == (
        "AccessDeniedException"
    )


@pytest.mark.parametrize(
    ("permitted", "is_written"),
    [
        pytest.param(("kms:Decrypt",), False, id="not with Decrypt alone"),
        pytest.param(("kms:GenerateDataKey",), False, id="not with GenerateDataKey alone"),
        pytest.param(("kms:Decrypt", "kms:GenerateDataKey"), True, id="with both"),
    ],
)
def test_writing_under_a_customers_key_needs_two_permissions(
    cloud: EmbeddedCloud,
    role: Callable[..., Credentials],
    permitted: tuple[str, ...],
    *,
    is_written: bool,
) -> None:
    key_arn = key(cloud)
    cloud.client().create_secret(Name="oauth/tokens/a", KmsKeyId=key_arn)
    writer = cloud.client(credentials=role(SECRETS, allow(*permitted, when=VIA_SECRETS_MANAGER)))
    writes: list[Callable[[], object]] = [
        lambda: writer.put_secret_value(SecretId="oauth/tokens/a", SecretString="y"),
        lambda: writer.update_secret(SecretId="oauth/tokens/a", SecretString="z"),
        lambda: writer.create_secret(Name="oauth/tokens/b", SecretString="y", KmsKeyId=key_arn),
        lambda: writer.create_secret(Name="oauth/tokens/c", KmsKeyId=key_arn),
    ]
    for write in writes:
        if is_written:
            write()
        else:
            assert denial(write) == "AccessDeniedException"
    versions = cloud.client().list_secret_version_ids(SecretId="oauth/tokens/a")["Versions"]
    assert bool(versions) == is_written


def test_a_secret_under_a_disabled_key_cannot_be_read(cloud: EmbeddedCloud) -> None:
    key_arn = key(cloud)
    cloud.client().create_secret(Name="oauth/tokens/a", SecretString="x", KmsKeyId=key_arn)
    cloud.client("kms").disable_key(KeyId=key_arn)
    assert denial(lambda: cloud.client().get_secret_value(SecretId="oauth/tokens/a")) == (
        "DecryptionFailure"
    )


@pytest.mark.parametrize(
    ("permitted", "follows"),
    [
        pytest.param((), False, id="not without Encrypt on the new key"),
        pytest.param(("kms:Encrypt",), True, id="with Encrypt"),
    ],
)
def test_published_versions_follow_a_secret_to_another_key_if_they_may_be_encrypted_with_it(
    cloud: EmbeddedCloud,
    role: Callable[..., Credentials],
    permitted: tuple[str, ...],
    *,
    follows: bool,
) -> None:
    old, new = key(cloud), key(cloud)
    owner = cloud.client()
    owner.create_secret(Name="oauth/tokens/a", SecretString="x", KmsKeyId=old)
    kept = owner.put_secret_value(
        SecretId="oauth/tokens/a", SecretString="y", VersionStages=["KEPT"]
    )["VersionId"]
    person = cloud.client(
        credentials=role(
            SECRETS,
            allow("kms:Decrypt", "kms:GenerateDataKey", when=VIA_SECRETS_MANAGER),
            *([allow(*permitted, on=new, when=VIA_SECRETS_MANAGER)] if permitted else []),
        )
    )
    person.update_secret(SecretId="oauth/tokens/a", KmsKeyId=new)
    listed = owner.list_secret_version_ids(SecretId="oauth/tokens/a")["Versions"]

    keys = {each["VersionId"]: each["KmsKeyIds"] for each in listed}
    assert keys.pop(kept) == [old], "what has neither of the three stages stays"
    assert list(keys.values()) == [[new if follows else old]]
    assert owner.describe_secret(SecretId="oauth/tokens/a")["KmsKeyId"] == new
    reads_by_it = create_role(cloud, SECRETS, allow("kms:Decrypt", on=new), name="reader")
    reader = cloud.client(credentials=cloud.assume(reads_by_it))
    if follows:
        assert reader.get_secret_value(SecretId="oauth/tokens/a")["SecretString"] == "x"
    else:
        assert denial(lambda: reader.get_secret_value(SecretId="oauth/tokens/a")) == (
            "AccessDeniedException"
        )
    owner.put_secret_value(SecretId="oauth/tokens/a", SecretString="z")
    assert reader.get_secret_value(SecretId="oauth/tokens/a")["SecretString"] == "z"


def test_the_key_of_aws_needs_no_permission(
    cloud: EmbeddedCloud, role: Callable[..., Credentials]
) -> None:
    writer = cloud.client(credentials=role(SECRETS))
    writer.create_secret(Name="oauth/tokens/a", SecretString="x")
    assert writer.get_secret_value(SecretId="oauth/tokens/a")["SecretString"] == "x"


@pytest.mark.parametrize(
    ("alias", "decision"),
    [("alias/oauth/dealer-17", "allowed"), ("alias/other/dealer-17", "implicitDeny")],
)
def test_a_simulation_takes_the_condition_keys_that_it_is_told(
    cloud: EmbeddedCloud, alias: str, decision: str
) -> None:
    condition = {"StringLike": {"kms:RequestAlias": "alias/oauth/*"}}
    role = create_role(cloud, {**allow("kms:Sign"), "Condition": condition})

    def simulated(**said: str) -> str:
        told = cloud.client("iam").simulate_principal_policy(
            PolicySourceArn=role,
            ActionNames=["kms:Sign"],
            ContextEntries=[
                {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
                for name, value in said.items()
            ],
        )
        [result] = told["EvaluationResults"]
        return str(result["EvalDecision"])

    assert simulated(**{"kms:RequestAlias": alias}) == decision
    # A condition on what is not said is not met.
    assert simulated() == "implicitDeny"
