"""Every parameter of every template away from its default, deployed where IAM decides.

Two stacks and their monitoring, and two accounts; what each parameter does is looked at in what was
deployed, and in a sweep that needs what it allows. A second deployment changes nothing, and what is
left in the end is what `make undeploy` says.

The local AWS cannot show these, so what was deployed is all that is looked at: a network (the VPC's
ids need not exist), X-Ray's traces, a mail, what a permissions boundary takes away, memory, and
another processor than this machine's.
"""

from __future__ import annotations

import base64
import json
import platform
import re
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pytest
import urllib3
from botocore.exceptions import ClientError
from joserfc.jwk import KeySet, RSAKey

from local.authority import Authority
from local.authorization_server import AuthorizationServer
from local.stack import Stack, utc_now
from tests.deployment.policies import Policies
from tests.deployment.signed_clients import JWT_BEARER, public_key
from tests.deployment.test_deploying import make
from tests.integration.test_embedded_cloud import within
from tests.integration.test_events import Queue
from tests.signatures import SignatureRecorder
from tests.unit.connect_proxy import ConnectProxy
from token_refresher.aws.signing import alias_of
from tools import templates
from tools.deploying.parameters import definitions
from tools.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.embedded_cloud import Service
    from local.stack import LocalAws

pytestmark = pytest.mark.slow

EVERY: Final = "every"
PREFIX: Final = "every/oauth"
SPARE: Final = "spare"
SECOND_REGION: Final = "eu-central-1"
TAGS: Final = {"team": "payments", "cost-center": "42"}
AUDIENCE: Final = "api://AzureADTokenExchange"
KINDS: Final = ("credentials", "tokens")
OF_SAM: Final = frozenset({"aws-sam-cli-managed-default"})
SECONDS: Final = 120.0
USER: Final = {"grant_type": "password", "username": "u@example.com", "password": "right"}
ROTATING, SIGNING, FEDERATED = ACCOUNTS = ("rotating", "signing", "federated")
BY_A_KEY: Final = ("private_key_jwt",)
SIGNED: Final = {
    "grant_type": "client_credentials",
    "token_endpoint_auth_method": "private_key_jwt",
}
OF_EVERY, OF_SPARE = "dealer-of-every", "dealer-of-spare"
# Whose default this machine's processor is cannot run the other.
NOT_HERE: Final = frozenset() if platform.machine() == "x86_64" else frozenset({"Architecture"})
BOUNDARY: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass
class World:
    """Two stacks: one with nearly all that there is, and one with what excludes that.

    Attributes:
        aws: Where they are deployed.
        server: Under a private authority, and reached through a proxy.
        proxy: Leads to it.
        built: What the build said.
        before: What was in the AWS account beforehand.
        uploads: What went to S3 with the first deployment.
        outcomes: What became of each account in a sweep.
    """

    aws: LocalAws
    authority: Authority
    server: AuthorizationServer
    proxy: ConnectProxy
    built: str
    before: frozenset[tuple[str, str]] = frozenset()
    uploads: list[str] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)

    def client(self, service: Service) -> Any:  # noqa: ANN401 - no stubs of these here
        return self.aws.cloud.client(service)

    @cached_property
    def keys(self) -> list[str]:
        """For credentials, and for tokens."""
        kms = self.client("kms")
        return [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]

    @cached_property
    def signing_key(self) -> str:
        """The id of the one key that an account signs with."""
        created = self.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")
        key_id: str = created["KeyMetadata"]["KeyId"]
        return key_id

    @cached_property
    def events(self) -> Queue:
        """What the first stack tells, from the beginning."""
        return Queue(self.aws.cloud, json.dumps({"detail": {"stack": [EVERY]}}), name="of-every")

    @cached_property
    def topic(self) -> str:
        arn: str = self.client("sns").create_topic(Name="of-the-operators")["TopicArn"]
        return arn

    @cached_property
    def boundary(self) -> str:
        created = self.client("iam").create_policy(
            PolicyName="boundary", PolicyDocument=json.dumps(BOUNDARY)
        )
        arn: str = created["Policy"]["Arn"]
        return arn

    @cached_property
    def every(self) -> Stack:
        der = ssl.PEM_cert_to_DER_cert(self.authority.certificate_file.read_text())
        parameters = {
            "AdditionalCaCertificates": base64.b64encode(der).decode(),
            "AlarmEmail": "ops@example.com",
            "AllowedTokenHosts": self.server.host,
            "CredentialsKmsKeyArn": self.keys[0],
            "Events": "true",
            "LogRetentionDays": "60",
            "MaxWorkers": "8",
            "MemoryMegabytes": "1024",
            "PerAccountMetrics": "true",
            "PermissionsBoundaryArn": self.boundary,
            "RefreshBeforeSeconds": "7200",
            "ReplicaRegions": SECOND_REGION,
            "ReserveConcurrency": "false",
            "ResourceTags": ",".join(f"{key}={value}" for key, value in TAGS.items()),
            "Rotation": "true",
            "ScheduleMinutes": "15",
            "SecretPrefix": PREFIX,
            "Signing": "true",
            "TokenEndpointProxy": self.proxy.url,
            "TokenSecretKmsKeyArn": self.keys[1],
            "Tracing": "true",
            "Triggers": "true",
            "VpcSecurityGroupIds": "sg-0a1b2c3d",
            "VpcSubnetIds": "subnet-0a1b2c3d,subnet-1a1b2c3d",
            "WebIdentityAudiences": AUDIENCE,
        }
        return Stack(self.aws, parameters, name=EVERY)

    @cached_property
    def spare(self) -> Stack:
        parameters = {
            "AlarmTopicArn": self.topic,
            "RefreshTokens": "ignore",
            "SecretPrefix": SPARE,
        }
        return Stack(self.aws, parameters, name=SPARE)

    def given(self, stack: Stack) -> dict[str, str]:
        """All that a stack was given, by whatever way."""
        return {**self.aws.parameters(), **stack.parameters}

    def function(self, name: str = EVERY) -> dict[str, Any]:
        found: dict[str, Any] = self.client("lambda").get_function_configuration(FunctionName=name)
        return found

    def variable(self, name: str) -> str:
        value: str = self.function()["Environment"]["Variables"][name]
        return value

    def reserved(self) -> object:
        answer = self.client("lambda").get_function_concurrency(FunctionName=EVERY)
        return answer.get("ReservedConcurrentExecutions")

    def role(self) -> dict[str, Any]:
        name = self.every.resources()["FunctionRole"]
        found: dict[str, Any] = self.client("iam").get_role(RoleName=name)["Role"]
        return found

    def log(self) -> dict[str, Any]:
        name = f"/aws/lambda/{EVERY}"
        (found,) = self.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return dict(found)

    def statements(self, stack: Stack) -> dict[str, dict[str, Any]]:
        return {each["Sid"]: each for each in Policies(stack).shared()}

    def all_statements(self) -> set[str]:
        """What any role of the first stack may do, by whichever policy."""
        iam, names = self.client("iam"), self.every.resources()
        found = set(self.statements(self.every))
        for role in (name for logical_id, name in names.items() if logical_id.endswith("Role")):
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
                found |= {each["Sid"] for each in document["Statement"]}
        return found

    def of_account(self, stack: Stack, account: str) -> dict[str, str]:
        """The resources of an account's stack."""
        return stack.resources(stack=f"-account-{account}")

    def policy(self, account: str) -> dict[str, dict[str, Any]]:
        """What the consumers of an account of the first stack may do, by the statements' ids."""
        iam, arn = self.client("iam"), self.of_account(self.every, account)["ReadToken"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        return {each["Sid"]: each for each in found["Document"]["Statement"]}

    def tags(self, account: str) -> dict[str, str]:
        return {each["Key"]: each["Value"] for each in self.token_secret(account)["Tags"]}

    def copies(self, account: str) -> list[str]:
        """The Regions that a token is copied to."""
        return [each["Region"] for each in self.token_secret(account)["ReplicationStatus"]]

    def is_zip(self, path: str) -> bool:
        """Whether what was uploaded under a path is an archive."""
        _, bucket, *rest = path.split("/")
        if not rest or "?" in path:
            return False
        found = self.client("s3").get_object(Bucket=bucket, Key="/".join(rest))
        return bool(found["Body"].read(2) == b"PK")

    def is_served(self, account: str) -> bool:
        try:
            return "AWSCURRENT" in str(self.token_secret(account).get("VersionIdsToStages"))
        except ClientError:
            return False

    def schedule(self) -> str:
        name = self.every.resources()["TokenRefresherFunctionEveryTick"]
        found: str = self.client("scheduler").get_schedule(Name=name)["ScheduleExpression"]
        return found

    def token_secret(self, account: str, prefix: str = PREFIX) -> dict[str, Any]:
        secret_id = f"{prefix}/tokens/{account}"
        return dict(self.aws.secrets.describe_secret(SecretId=secret_id))

    def metric_accounts(self) -> set[str]:
        """The accounts that have metrics of their own."""
        found = self.client("cloudwatch").list_metrics(
            Namespace="TokenRefresher", Dimensions=[{"Name": "service", "Value": EVERY}]
        )
        dimensions = [each for metric in found["Metrics"] for each in metric["Dimensions"]]
        return {each["Value"] for each in dimensions if each["Name"] == "account"}

    def alarm_actions(self, stack: str) -> set[str]:
        found = self.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{stack} ")
        return {arn for each in found["MetricAlarms"] for arn in each["AlarmActions"]}

    def subscriptions(self) -> set[str]:
        topic = self.every.resources(stack="-monitoring")["AlarmTopic"]
        found = self.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        return {each["Endpoint"] for each in found}

    def onboard(self) -> None:
        """Four accounts, each of which needs what the others do not."""
        iam, kms, register = self.client("iam"), self.client("kms"), self.server.register_client
        register(ROTATING, secret="invented", users={"u@example.com": "right"})
        self._put(ROTATING, {"client_id": ROTATING, "client_secret": "invented", **USER})
        kms.create_alias(AliasName=alias_of(PREFIX, SIGNING), TargetKeyId=self.signing_key)
        public = public_key(kms.get_public_key(KeyId=self.signing_key)["PublicKey"])
        register(SIGNING, secret="none", auth_methods=BY_A_KEY, public_keys=[public])
        self._put(SIGNING, {"client_id": SIGNING, **SIGNED})
        issuer = iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
        found = urllib3.request("GET", f"{issuer}/.well-known/jwks.json").json()
        public_keys = [key for key in KeySet.import_key_set(found).keys if isinstance(key, RSAKey)]
        # AWS issues the assertion, which is the grant itself here.
        register(
            issuer, secret="none", grants=[JWT_BEARER], public_keys=public_keys, audience=AUDIENCE
        )
        by_aws = {"grant_type": JWT_BEARER, "assertion": {"signer": "sts", "audience": AUDIENCE}}
        self._put(FEDERATED, {"client_id": issuer, **by_aws})
        self.spare.register(SPARE, users={"u@example.com": "right"})
        own = {"client_id": SPARE, "client_secret": f"secret-of-{SPARE}", **USER}
        text = json.dumps({"token_endpoint": self.aws.server.token_endpoint, **own})
        self.aws.secrets.create_secret(Name=f"{SPARE}/credentials/{SPARE}", SecretString=text)

    def _put(self, account: str, credentials: dict[str, Any]) -> None:
        text = json.dumps({"token_endpoint": self.server.token_endpoint, **credentials})
        self.aws.secrets.create_secret(
            Name=f"{PREFIX}/credentials/{account}", SecretString=text, KmsKeyId=self.keys[0]
        )


def everything(world: World) -> frozenset[tuple[str, str]]:
    """All in the AWS account that a stack could have made, or that `make undeploy` speaks of."""
    client = world.client
    listed: dict[str, list[str]] = {
        "stack": [
            each["StackName"] for each in client("cloudformation").describe_stacks()["Stacks"]
        ],
        "function": [
            each["FunctionName"] for each in client("lambda").list_functions()["Functions"]
        ],
        "rule": [each["Name"] for each in client("events").list_rules()["Rules"]],
        "schedule": [each["Name"] for each in client("scheduler").list_schedules()["Schedules"]],
        "log": [each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]],
        "alarm": [
            each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]
        ],
        "dashboard": [
            each["DashboardName"]
            for each in client("cloudwatch").list_dashboards()["DashboardEntries"]
        ],
        "queue": client("sqs").list_queues().get("QueueUrls", []),
        "topic": [each["TopicArn"] for each in client("sns").list_topics()["Topics"]],
        "subscription": [
            each["SubscriptionArn"] for each in client("sns").list_subscriptions()["Subscriptions"]
        ],
        "role": [each["RoleName"] for each in client("iam").list_roles()["Roles"]],
        "policy": [
            each["PolicyName"] for each in client("iam").list_policies(Scope="Local")["Policies"]
        ],
        "key": [each["KeyId"] for each in client("kms").list_keys()["Keys"]],
        "bucket": [each["Name"] for each in client("s3").list_buckets()["Buckets"]],
        "secret": [each["Name"] for each in world.aws.secrets.list_secrets()["SecretList"]],
    }
    return frozenset((kind, name) for kind, names in listed.items() for name in names)


@pytest.fixture(scope="module")
def world(aws: LocalAws, _built: str) -> Iterator[World]:
    with (
        Authority() as authority,
        AuthorizationServer(authority, utc_now) as server,
        ConnectProxy(int(server.host.partition(":")[2])) as proxy,
    ):
        world = World(aws, authority, server, proxy, _built)
        assert all((world.keys, world.signing_key, world.topic, world.boundary, world.events))
        world.before = everything(world)
        with SignatureRecorder(aws.cloud.endpoint_url) as recorder:
            shell = {**world.every.environment(), "AWS_ENDPOINT_URL": recorder.url}
            done = make("deploy-stacks", environment=shell)
        assert done.returncode == 0, done.stdout + done.stderr
        world.uploads = recorder.paths("PUT")
        world.spare.make("deploy-stacks")
        world.every.make("account", f"ACCOUNT={OF_EVERY}")
        world.spare.make("account", f"ACCOUNT={OF_SPARE}", "PARAMETERS=CreateSecret=false")
        yield world


@pytest.fixture(scope="module")
def swept(world: World) -> World:
    """After each account was refreshed by a function that needs all that it may do."""
    world.onboard()
    # The triggers serve new accounts within seconds.
    assert within(SECONDS, lambda: all(map(world.is_served, ACCOUNTS)))
    assert within(SECONDS, lambda: world.events.has(len(ACCOUNTS)))
    told = world.every.invoke({"accounts": list(ACCOUNTS), "force": True})["accounts"]
    told += world.spare.invoke()["accounts"]
    # Metrics of each account, and copies, are of sweeps.
    assert world.every.invoke()["outcomes"]["fresh"] == len(ACCOUNTS)
    world.outcomes = {each["account"]: each["outcome"] for each in told}
    return world


# What is seen of each parameter, and what it should be.
EFFECTS: Final[dict[str, Callable[[World], tuple[object, object]]]] = {
    "AccountName": lambda w: (
        w.policy(OF_EVERY)["ReadThisToken"]["Resource"].rpartition("secret:")[2],
        f"{PREFIX}/tokens/{OF_EVERY}-??????",
    ),
    "AdditionalCaCertificates": lambda w: (w.outcomes[ROTATING], "published"),
    "AlarmEmail": lambda w: (w.subscriptions(), {"ops@example.com"}),
    "AlarmTopicArn": lambda w: (w.alarm_actions(SPARE), {w.topic}),
    "AllowedTokenHosts": lambda w: (w.variable("ALLOWED_TOKEN_HOSTS"), w.server.host),
    "Architecture": lambda w: (w.function()["Architectures"], ["x86_64"]),
    "CreateSecret": lambda w: ("Credentials" in w.of_account(w.spare, OF_SPARE), False),
    "CredentialsKmsKeyArn": lambda w: (
        w.statements(w.every)["EncryptJournals"]["Resource"],
        w.keys[0],
    ),
    "Events": lambda w: ({each["detail-type"] for each in w.events.events}, {"Token Published"}),
    "FunctionStackName": lambda w: (len(w.alarm_actions(EVERY)), 1),
    "LogRetentionDays": lambda w: (w.log()["retentionInDays"], 60),
    "MaxWorkers": lambda w: (w.variable("MAX_WORKERS"), "8"),
    "MemoryMegabytes": lambda w: (w.function()["MemorySize"], 1024),
    "PerAccountMetrics": lambda w: (w.metric_accounts(), set(ACCOUNTS)),
    "PermissionsBoundaryArn": lambda w: (
        w.role()["PermissionsBoundary"]["PermissionsBoundaryArn"],
        w.boundary,
    ),
    "RefreshBeforeSeconds": lambda w: (w.variable("REFRESH_BEFORE_SECONDS"), "7200"),
    "RefreshTokens": lambda w: (w.outcomes[SPARE], "published"),
    "ReplicaRegions": lambda w: (w.copies(ROTATING), [SECOND_REGION]),
    "ReserveConcurrency": lambda w: (w.reserved(), None),
    "ResourceTags": lambda w: ({key: w.tags(ROTATING).get(key) for key in TAGS}, TAGS),
    "Rotation": lambda w: (
        w.function(f"{EVERY}-rotation")["Handler"],
        "token_refresher.handler.on_rotation",
    ),
    "ScheduleMinutes": lambda w: (w.schedule(), "rate(15 minutes)"),
    "SecretPrefix": lambda w: (w.token_secret(SIGNING)["Name"], f"{PREFIX}/tokens/{SIGNING}"),
    "Signing": lambda w: (w.outcomes[SIGNING], "published"),
    "TokenEndpointProxy": lambda w: (set(w.proxy.hosts), {w.server.host}),
    "TokenSecretKmsKeyArn": lambda w: (w.token_secret(ROTATING)["KmsKeyId"], w.keys[1]),
    "Tracing": lambda w: (w.function()["TracingConfig"]["Mode"], "Active"),
    "Triggers": lambda w: (
        w.function(f"{EVERY}-triggers")["Handler"],
        "token_refresher.handler.on_event",
    ),
    "VpcSecurityGroupIds": lambda w: (
        w.function()["VpcConfig"]["SecurityGroupIds"],
        ["sg-0a1b2c3d"],
    ),
    "VpcSubnetIds": lambda w: (
        w.function()["VpcConfig"]["SubnetIds"],
        ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
    ),
    "WebIdentityAudiences": lambda w: (w.outcomes[FEDERATED], "published"),
}
PARAMETERS: Final = sorted({name for each in templates.DEPLOYED for name in definitions(each)})


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_does_what_it_says(swept: World, name: str) -> None:
    seen, expected = EFFECTS[name](swept)
    assert seen == expected


def test_each_parameter_was_away_from_its_default(world: World) -> None:
    deployed: dict[str, set[str]] = {}
    for stack in world.client("cloudformation").describe_stacks()["Stacks"]:
        if stack["StackName"].startswith((EVERY, SPARE)):
            for each in stack["Parameters"]:
                deployed.setdefault(each["ParameterKey"], set()).add(each["ParameterValue"])
    for template in templates.DEPLOYED:
        for name in definitions(template).keys() - NOT_HERE:
            default = str(definitions(template)[name].get("Default", ""))
            assert deployed[name] - {default}, name


def test_every_statement_is_granted_where_every_parameter_asks_for_it(world: World) -> None:
    stated = set(re.findall(r"Sid: (\w+)", templates.FUNCTION.read_text("utf-8")))
    assert stated - world.all_statements() == set()
    assert "LeaseAndJournalRefreshTokens" not in world.statements(world.spare)


def test_an_account_has_the_keys_and_the_prefix_of_its_stack(world: World) -> None:
    secret_id = f"{PREFIX}/credentials/{OF_EVERY}"
    assert world.aws.secrets.describe_secret(SecretId=secret_id)["KmsKeyId"] == world.keys[0]
    assert world.policy(OF_EVERY)["DecryptThisToken"]["Resource"] == world.keys[1]


@pytest.mark.parametrize("ending", ["", "-monitoring", f"-account-{OF_EVERY}"])
def test_each_stack_has_the_tags_of_the_function_s(world: World, ending: str) -> None:
    client = world.client("cloudformation")
    (found,) = client.describe_stacks(StackName=EVERY + ending)["Stacks"]
    assert {each["Key"]: each["Value"] for each in found["Tags"]} == TAGS


def test_the_artifact_is_built_and_uploaded_once_for_all_functions(world: World) -> None:
    functions = (EVERY, f"{EVERY}-triggers", f"{EVERY}-rotation")
    assert len({world.function(name)["CodeSha256"] for name in functions}) == 1
    assert world.built.count("== Built for ") == 1
    zipped = [path for path in world.uploads if world.is_zip(path)]
    assert len(zipped) == 1


def test_a_second_deployment_changes_nothing(swept: World) -> None:
    said = swept.every.make("deploy-stacks") + swept.every.make("account", f"ACCOUNT={OF_EVERY}")
    assert said.count("No changes.") == said.count("== ") == 3


def test_a_dry_run_tells_what_it_would_make_and_leaves_nothing(world: World) -> None:
    before = everything(world)
    planned = Stack(world.aws, {"SecretPrefix": "planned"}, name="planned")
    said = planned.make("deploy-stacks", "DRY_RUN=1")
    assert "   add      Lambda Function: TokenRefresherFunction\n" in said
    assert "   add      SNS Topic: AlarmTopic\n" in said
    assert "== Nothing was changed" in said
    assert everything(world) == before


def test_at_a_terminal_a_person_is_asked_before_something_is_lost(world: World) -> None:
    before = everything(world)
    given = f"PARAMETERS=AlarmEmail= AlarmTopicArn={world.topic}"
    command = ("/usr/bin/env", "make", "deploy-stacks", given)
    with Terminal(command, world.every.environment(), columns=80, lines=60) as terminal:
        terminal.expect("remove   SNS Topic: AlarmTopic; its subscriptions end")
        terminal.expect("What is lost is nowhere else. Deploy? [y/N] ")
        terminal.enter("n")
        assert terminal.finish() != 0
    assert f"{EVERY}-monitoring was not changed." in terminal.plain
    assert terminal.screen.overlong == []
    assert everything(world) == before


def test_what_a_deployment_makes_is_what_is_looked_for_when_it_is_gone(world: World) -> None:
    """Otherwise the next test would say that nothing is left of it."""
    kinds = {
        each["Type"].split("::")[-1].lower()
        for path in templates.DEPLOYED
        for each in templates.load(path)["Resources"].values()
    }
    # Parts of a function, as its events are of a rule.
    kinds -= {"permission"}
    looked_for = {kind for kind, _ in everything(world)}
    synonyms = {"loggroup": "log", "managedpolicy": "policy"}
    assert {synonyms.get(kind, kind) for kind in kinds} - looked_for == set()


def test_undeploy_leaves_what_it_says_and_nothing_else(swept: World) -> None:
    said = swept.every.make("undeploy") + swept.spare.make("undeploy")
    assert said.count("== Left alone: every secret, the accounts' stacks, and the bucket of") == 2
    left = everything(swept) - swept.before
    names = {kind: {name for each, name in left if each == kind} for kind, _ in left}
    accounts = [(swept.every, OF_EVERY), (swept.spare, OF_SPARE)]
    stacks = {f"{stack.name}-account-{account}" for stack, account in accounts}
    policies = {swept.of_account(*each)["ReadToken"].rpartition("/")[2] for each in accounts}
    secrets = {f"{PREFIX}/{kind}/{name}" for kind in KINDS for name in ACCOUNTS}
    secrets |= {f"{SPARE}/{kind}/{SPARE}" for kind in KINDS}
    assert names.pop("stack") - OF_SAM == stacks
    assert names.pop("secret") == secrets | {f"{PREFIX}/credentials/{OF_EVERY}"}
    assert names.pop("policy") == policies
    assert all(name.startswith("aws-sam-cli-managed-default-") for name in names.pop("bucket", ()))
    assert names == {}
