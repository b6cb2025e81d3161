"""What the roles may do, tried out where IAM is enforced: enough, and nothing too much."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from local.authorization_server import RefreshMode
from tests.deployment.policies import Policies
from tests.integration.test_embedded_cloud import within
from tests.integration.test_events import Queue
from tests.schemas import faults_of
from tools.templates import statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.embedded_cloud import Credentials
    from tests.deployment.conftest import Deployed

KEYS: Final = {
    "CredentialsKmsKeyArn": "a key",
    "TokenSecretKmsKeyArn": "another",
    "Events": "true",
    "ResourceTags": "team=payments",
    "ReplicaRegions": "eu-central-1",
}
# What the local AWS does not check, whose text test_templates.py holds; and what no account is
# the worse for, tried below.
UNCHECKED: Final = {"WriteItsOwnLog", "KeepFailedEvents", "TellWhatHasChanged"}
# A token is published all the same; this is how the summary tells what was denied.
TOLD_AS: Final = {
    "LeaseAndJournalRefreshTokens": "journal_not_written",
    "EncryptJournals": "journal_not_written",
    "RecordFailuresAsTags": "failure_not_recorded",
    "ReplicateTokens": "replicas_behind",
}
CHECKED: Final = sorted(statements(KEYS).keys() - UNCHECKED)
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}
NUMBERS: Final = count()


@pytest.fixture(scope="module")
def policies(deployed: Deployed) -> Policies:
    return Policies(deployed.stack)


def onboard(deployed: Deployed, name: str, **credentials: str) -> None:
    """Onboard an account whose credentials are encrypted with the customer's key."""
    deployed.stack.register(
        name, users={"u@example.com": "right"}, refresh_mode=RefreshMode.ROTATES
    )
    deployed.aws.secrets.create_secret(
        Name=f"oauth/credentials/{name}", KmsKeyId=deployed.credentials_key
    )
    deployed.stack.put_credentials(name, **{**USER, **credentials})


def do_everything(deployed: Deployed) -> list[str]:
    """Let the function do all it ever does, with accounts of its own; tell what went wrong."""
    number = next(NUMBERS)
    new, mistyped, external = (f"{kind}-{number}" for kind in ("new", "mistyped", "external"))
    onboard(deployed, new)
    onboard(deployed, mistyped, password="wrong")
    onboard(deployed, external)
    deployed.aws.secrets.create_secret(
        Name=f"oauth/tokens/{external}",
        KmsKeyId=deployed.tokens_key,
        SecretString='{"access_token": "a-persons", "expires_at": 4000000000}',
    )
    told = [
        deployed.stack.invoke(),
        deployed.stack.invoke({"accounts": [new], "force": True}),
    ]
    wrong = [answer["errorMessage"] for answer in told if "errorMessage" in answer]
    results = [each for answer in told for each in answer.get("accounts", [])]
    outcomes = [
        (each["account"], each["reason"], each["outcome"], each.get("error"))
        for each in results
        if each["account"] in {new, mistyped, external}
    ]
    expected = [
        (mistyped, "no token yet", "failed", "invalid_grant"),
        (new, "no token yet", "published", None),
        (new, "forced", "published", None),
    ]
    wrong += [f"{each}" for each in results if each.get("cautions")]
    wrong += ["replicas_behind" for answer in told if answer.get("replicas_behind")]
    return wrong + [f"{each}" for each in sorted(set(outcomes) ^ set(expected), key=str)]


def test_with_its_own_policy_the_function_does_everything(deployed: Deployed) -> None:
    assert do_everything(deployed) == []


@pytest.mark.parametrize("sid", CHECKED)
def test_without_any_one_statement_a_run_fails(
    deployed: Deployed, policies: Policies, sid: str
) -> None:
    with policies.without(sid):
        wrong = do_everything(deployed)
    assert TOLD_AS.get(sid, "AccessDenied") in str(wrong)


def test_the_function_tells_the_event_bus_by_its_own_role(
    deployed: Deployed, policies: Policies
) -> None:
    queue = Queue(deployed.aws.cloud)
    with policies.without("TellWhatHasChanged"):
        assert do_everything(deployed) == []
    assert not queue.has(1)
    # The environment is still warm: what it could not put comes first.
    assert do_everything(deployed) == []

    assert within(120.0, lambda: queue.has(6))
    assert {each["detail"]["stack"] for each in queue.events} == {"token-refresher"}
    kinds = Counter(each["detail-type"] for each in queue.events)
    assert kinds["Token Published"] >= 4
    assert kinds["Action Required"] >= 2
    assert faults_of(queue.events) == []


def test_where_an_organisation_demands_tags_what_is_created_has_them(
    deployed: Deployed, policies: Policies
) -> None:
    with policies.with_denial(Null={"aws:RequestTag/team": "true"}):
        assert do_everything(deployed) == []
    told = deployed.aws.secrets.describe_secret(SecretId=f"oauth/tokens/new-{next(NUMBERS) - 1}")
    tags = {each["Key"]: each["Value"] for each in told["Tags"]}
    assert (tags["team"], tags["cost-center"]) == ("payments", "42")


def test_a_tag_that_is_demanded_and_not_given_is_told_as_a_denial(
    deployed: Deployed, policies: Policies
) -> None:
    with policies.with_denial(Null={"aws:RequestTag/owner": "true"}):
        assert "AccessDenied" in str(do_everything(deployed))


def test_the_statements_tried_out_are_all_there_are(policies: Policies) -> None:
    tried = {*CHECKED, *UNCHECKED}
    assert {each["Sid"] for each in policies.shared() + policies.own()} == tried


@pytest.fixture(scope="module")
def as_the_function(deployed: Deployed, policies: Policies) -> SecretsManagerClient:
    """Secrets Manager, with the permissions of the function."""
    policy = policies.shared() + policies.own()
    return deployed.aws.cloud.client(
        credentials=deployed.aws.assumable_role("like-the-function", policy=policy)
    )


OUTSIDE: Final = ("team/credentials/x", "team/tokens/x", "oauth2/tokens/x", "oauth/other/x", "x")
TAGS: Final[Any] = [{"Key": "token-refresher:failure", "Value": "x"}]
CALLS: Final[dict[str, Callable[[SecretsManagerClient, str], object]]] = {
    "read": lambda secrets, name: secrets.get_secret_value(SecretId=name),
    "describe": lambda secrets, name: secrets.describe_secret(SecretId=name),
    "write": lambda secrets, name: secrets.put_secret_value(SecretId=name, SecretString="x"),
    "tag": lambda secrets, name: secrets.tag_resource(SecretId=name, Tags=TAGS),
    "untag": lambda secrets, name: secrets.untag_resource(
        SecretId=name, TagKeys=["token-refresher:failure"]
    ),
    "delete": lambda secrets, name: secrets.delete_secret(SecretId=name),
    "create": lambda secrets, name: secrets.create_secret(Name=name + "-new"),
    "update": lambda secrets, name: secrets.update_secret(SecretId=name, Description="x"),
    "move a stage of": lambda secrets, name: secrets.update_secret_version_stage(
        SecretId=name, VersionStage="AWSPREVIOUS"
    ),
}


def is_denied(secrets: SecretsManagerClient, call: str, name: str) -> bool:
    """Whether IAM refuses; any other refusal is an error of the test."""
    try:
        CALLS[call](secrets, name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return True
    return False


@pytest.fixture(scope="module")
def existing(deployed: Deployed) -> None:
    """Secrets inside and outside, so that nothing is refused for not being there."""
    for name in (*OUTSIDE, "oauth/credentials/inside", "oauth/tokens/inside"):
        deployed.aws.secrets.create_secret(Name=name, SecretString="{}")


@pytest.mark.usefixtures("existing")
@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("call", CALLS)
def test_outside_its_prefix_the_function_can_do_nothing(
    as_the_function: SecretsManagerClient, call: str, name: str
) -> None:
    assert is_denied(as_the_function, call, name)


@pytest.mark.usefixtures("existing")
def test_inside_its_prefix_it_can_do_its_work_and_not_more(
    as_the_function: SecretsManagerClient,
) -> None:
    allowed = {
        path: {
            call for call in CALLS if not is_denied(as_the_function, call, f"oauth/{path}/inside")
        }
        for path in ("credentials", "tokens")
    }
    assert allowed == {
        "credentials": {"read", "describe", "write"},
        "tokens": {"read", "describe", "write", "tag", "untag", "create"},
    }


@pytest.mark.usefixtures("existing")
def test_it_touches_no_tag_of_somebody_elses(as_the_function: SecretsManagerClient) -> None:
    inside = "oauth/tokens/inside"
    others = (["Owner"], ["token-refresher:failure", "Owner"], ["team", "Owner"])
    for keys in others:
        tags: Any = [{"Key": key, "Value": "x"} for key in keys]
        with pytest.raises(ClientError, match="AccessDeniedException"):
            as_the_function.tag_resource(SecretId=inside, Tags=tags)
        with pytest.raises(ClientError, match="AccessDeniedException"):
            as_the_function.untag_resource(SecretId=inside, TagKeys=keys)


@pytest.fixture(scope="module")
def consumer(deployed: Deployed) -> Credentials:
    """A consumer of one account, which the template onboards, keys included."""
    stack = deployed.stack
    stack.make("account", "ACCOUNT=dealer-17")
    stack.register("dealer-17", users={"u@example.com": "right"})
    stack.put_credentials("dealer-17", **USER)
    onboard(deployed, "neighbour")
    answer = stack.invoke()
    published = {each["account"] for each in answer["accounts"] if each["outcome"] == "published"}
    assert {"dealer-17", "neighbour"} <= published
    policy = stack.output("ReadTokenPolicyArn", stack="-account-dealer-17")
    return deployed.aws.assumable_role("consumer", policy)


def test_a_consumer_reads_its_token_and_the_endpoint_accepts_it(
    deployed: Deployed, consumer: Credentials
) -> None:
    described = deployed.aws.secrets.describe_secret(SecretId="oauth/tokens/dealer-17")
    assert described["KmsKeyId"] == deployed.tokens_key
    assert deployed.aws.consumer(consumer).call("dealer-17")


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("oauth/credentials/dealer-17", "AWSCURRENT"),
        ("oauth/credentials/dealer-17", "TOKENRESPONSE"),
        ("oauth/tokens/neighbour", "AWSCURRENT"),
    ],
)
def test_a_consumer_reads_no_credentials_no_journal_and_no_token_of_another(
    deployed: Deployed, consumer: Credentials, name: str, stage: str
) -> None:
    deployed.aws.secrets.get_secret_value(SecretId=name, VersionStage=stage)  # it is there
    secrets = deployed.aws.cloud.client(credentials=consumer)
    with pytest.raises(ClientError, match="AccessDeniedException"):
        secrets.get_secret_value(SecretId=name, VersionStage=stage)


@pytest.mark.usefixtures("consumer")
@pytest.mark.parametrize("call", sorted(CALLS.keys() - {"read", "describe"}))
def test_a_consumer_changes_nothing(deployed: Deployed, consumer: Credentials, call: str) -> None:
    secrets = deployed.aws.cloud.client(credentials=consumer)
    assert is_denied(secrets, call, "oauth/tokens/dealer-17")


def test_an_account_that_has_no_value_yet_is_awaiting_it(deployed: Deployed) -> None:
    deployed.stack.make("account", "ACCOUNT=new-hire")
    told = deployed.stack.invoke({"accounts": ["new-hire"]})
    (result,) = told["accounts"]
    assert (result["reason"], told["accounts_needing_action"]) == ("awaiting credentials", 0)
