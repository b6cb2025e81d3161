"""The documented policy is enough for every command, and every statement of it is needed.

Whoever lacks one is told which action to allow, on what.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from local.embedded_cloud import REGION, ROOT, Credentials, EmbeddedCloud
from tests.cli.key_files import service_account
from tests.cli.operator import EMAIL, PASSWORD
from tests.integration.test_embedded_cloud import within
from tests.integration.test_emulator_functions import deploy
from tests.integration.test_emulator_iam import ACCOUNT, create_role
from tests.integration.test_events import Queue
from token_refresher.model import TokenVersion
from token_refresher_cli.kms_keys import Role, aliases_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.operator import Operator

DOCUMENT: Final = (ROOT / "docs" / "command-line.md").read_text()
POLICY: Final[dict[str, Any]] = json.loads(
    re.findall(r"```json\n(.*?)```", DOCUMENT.split("\n## Permissions\n")[1], re.DOTALL)[0]
)
STATEMENTS: Final[dict[str, dict[str, Any]]] = {
    statement["Sid"]: statement for statement in POLICY["Statement"]
}
# A command for each statement, which it cannot do without; and what it is told to be allowed.
DENIED: Final = [
    ("SeeEveryAccount", "status", "secretsmanager:ListSecrets on *"),
    ("SeeEveryAccount", "plan", "secretsmanager:ListSecrets on *"),
    ("SeeSchedulesAndHistory", "history dealer-17", "secretsmanager:DescribeSecret on "),
    ("SeeSchedulesAndHistory", "refresh dealer-17", "secretsmanager:DescribeSecret"),
    (
        "SeeSchedulesAndHistory",
        "status dealer-17",
        "secretsmanager:DescribeSecret on oauth/credentials/dealer-17",
    ),
    (
        "SeeSchedulesAndHistory",
        "correct dealer-17 --replace --from-file -",
        "secretsmanager:DescribeSecret on ",
    ),
    (
        "SeeSchedulesAndHistory",
        "add dealer-17 --from-file -",
        "secretsmanager:DescribeSecret on oauth/credentials/dealer-17",
    ),
    ("SeeSchedulesAndHistory", "check nobody", "secretsmanager:DescribeSecret on "),
    (
        "SeeSchedulesAndHistory",
        "check dealer-17",
        "secretsmanager:DescribeSecret on oauth/tokens/dealer-17",
    ),
    (
        "WriteCredentials",
        "add new --from-file -",
        "secretsmanager:CreateSecret on oauth/credentials/new",
    ),
    (
        "WriteCredentials",
        "correct dealer-17 --scope read",
        "secretsmanager:PutSecretValue on oauth/credentials/dealer-17",
    ),
    (
        "ReadCredentials",
        "check dealer-17",
        "secretsmanager:GetSecretValue on oauth/credentials/dealer-17",
    ),
    (
        "ReadCredentials",
        "correct dealer-17 --scope read",
        "secretsmanager:GetSecretValue on oauth/credentials/dealer-17",
    ),
    (
        "RefreshFromHere",
        "refresh dealer-17 --force",
        "secretsmanager:PutSecretValue on secrets under oauth/",
    ),
    ("ReadTokens", "token dealer-17", "secretsmanager:GetSecretValue on oauth/tokens/dealer-17"),
    (
        "ReadTokens",
        "remove at-xero --yes --revoke",
        "secretsmanager:GetSecretValue on oauth/tokens/",
    ),
    (
        "RemoveAccounts",
        "remove dealer-17 --yes",
        "secretsmanager:DeleteSecret on oauth/credentials/",
    ),
    (
        "RestoreAccounts",
        "restore removed",
        "secretsmanager:RestoreSecret on oauth/credentials/removed",
    ),
    ("SeeEveryAccount", "add --dry-run --from-file -", "secretsmanager:ListSecrets on *"),
    (
        "SeeSchedulesAndHistory",
        "remove dealer-17",
        "secretsmanager:DescribeSecret on oauth/credentials/",
    ),
    (
        "UseTheFunction",
        "status --stack token-refresher",
        "lambda:GetFunctionConfiguration on token-refresher",
    ),
    ("SeeSigningKeys", "key jwks signs", "kms:GetPublicKey on arn:aws:kms:"),
    ("MakeSigningKeys", "key create new", "kms:CreateKey on *"),
    ("NameSigningKeys", "key create new", "kms:CreateAlias on alias/oauth/new"),
    ("ChangeSigningKeys", "key create new", "kms:CreateAlias on alias/oauth/new"),
    (
        "SignCertificates",
        "key jwks signs --format certificate",
        "kms:Sign on alias/oauth/signs",
    ),
]

# What a doctor does without, and says so; `test_doctor` tries each.
UNSEEN: Final = {
    "SeeTheDeployment": {
        "schedule": "cloudformation:DescribeStackResource on token-refresher",
        "throttling": "lambda:GetFunctionConcurrency on token-refresher",
    },
    "SeeSweepsAndAlarms": {
        "last sweep": "cloudwatch:GetMetricStatistics",
        "alarms": "cloudwatch:DescribeAlarms",
    },
}


@pytest.fixture
def allow(
    operator: Operator, cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Make the operator one who may do what some of the documented statements say."""
    operator.add("dealer-17")
    now = operator.clock.now()
    version = TokenVersion(now, now + timedelta(hours=12), "0123456789ab", "abcdefabcdef")
    operator.secrets.create_secret(
        Name="oauth/tokens/dealer-17",
        ClientRequestToken=str(version),
        SecretString='{"access_token": "made-up-token"}',
    )
    operator.secrets.create_secret(Name="oauth/credentials/removed", SecretString="{}")
    operator.secrets.delete_secret(SecretId="oauth/credentials/removed")
    at_xero = {"provider": "xero", "client_id": "made-up", "client_secret": "made-up"}
    at_xero["grant_type"] = "client_credentials"
    operator.secrets.create_secret(
        Name="oauth/credentials/at-xero", SecretString=json.dumps(at_xero)
    )
    operator.secrets.create_secret(Name="oauth/tokens/at-xero")
    kms = cloud.client("kms")
    key = kms.create_key(
        KeySpec="ECC_NIST_P256",
        KeyUsage="SIGN_VERIFY",
        Tags=[{"TagKey": "token-refresher:prefix", "TagValue": "oauth"}],
    )
    key_id = key["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/oauth/signs", TargetKeyId=key_id)
    variables = {"ALLOWED_TOKEN_HOSTS": operator.server.host}
    deploy(
        cloud,
        "def handler(event, context): return {'outcomes': {'fresh': 1}, 'accounts': []}",
        FunctionName="token-refresher",
        Environment={"Variables": variables},
    )

    def become(*sids: str) -> None:
        here = json.dumps([STATEMENTS[sid] for sid in sids])
        here = here.replace("eu-west-1", REGION).replace("123456789012", ACCOUNT)
        who: Credentials = cloud.assume(create_role(cloud, *json.loads(here)))
        for name, value in cloud.environment(who).items():
            monkeypatch.setenv(name, value)

    return become


def test_the_documented_policy_is_enough_for_every_command(
    operator: Operator, allow: Callable[..., None], tmp_path: Path
) -> None:
    allow(*STATEMENTS)
    operator.says("status --stack token-refresher")
    operator.says("plan")
    operator.says("add new --from-file -", stdin=operator.document("new"))
    operator.says("check dealer-17 --try --yes")
    operator.says("correct dealer-17 --scope read --from-file -", stdin="{}")
    operator.says("refresh dealer-17")
    operator.says("refresh dealer-17 --remote --stack token-refresher")
    operator.says("history dealer-17")
    operator.says("token dealer-17")
    many = json.dumps({"account": "another", **json.loads(operator.document("another"))})
    operator.says("add --from-file -", stdin=many)
    assert "1 there already" in operator.says("add --from-file - --dry-run", stdin=many)
    operator.says("remove another --yes")
    operator.says("restore another")
    operator.says("key create reports")
    (tmp_path / "reports.json").write_text(service_account())
    operator.says(f"key import reports --next --pem {tmp_path / 'reports.json'}")
    names = operator.tells("key jwks reports --only current --format certificate")["keys"][0]
    fields = {
        "token_endpoint_auth_method": "private_key_jwt",
        "client_secret": None,
        "assertion": {"x5t#S256": names["x5t#S256"]},
    }
    operator.says("add reports --from-file -", stdin=operator.document("reports", **fields))
    operator.says("key rotate reports")
    operator.says("key rotate reports --switch")
    operator.says("key rotate reports --finish --yes")
    # A failure of the function is on record, and cleared again.
    operator.clock.advance(timedelta(minutes=61))
    operator.server.set_password("dealer-17", EMAIL, "made-up-other")
    operator.says("correct dealer-17 --from-file -", stdin='{"scope": "write"}')
    operator.schedule.sweep()
    assert operator.tells("status dealer-17")["accounts"][0]["state"] == "action required"
    operator.server.set_password("dealer-17", EMAIL, PASSWORD)
    operator.says("refresh dealer-17 --force")
    assert operator.tells("status dealer-17")["accounts"][0]["state"] == "fresh"


@pytest.mark.parametrize(
    ("sid", "line", "allowed"), DENIED, ids=[f"{line} without {sid}" for sid, line, _ in DENIED]
)
def test_whoever_lacks_a_statement_is_told_what_to_allow(
    operator: Operator, allow: Callable[..., None], sid: str, line: str, allowed: str
) -> None:
    allow(*(STATEMENTS.keys() - {sid}))
    denied = operator.run(line, stdin=operator.document("new") if "--from-file" in line else "")
    assert denied.exit_code in {1, 3}
    assert allowed in denied.stderr
    assert "docs/command-line.md" in denied.stderr


def test_a_permission_that_a_person_lacks_is_told_and_not_recorded(
    operator: Operator, allow: Callable[..., None]
) -> None:
    allow(*(STATEMENTS.keys() - {"ReadCredentials"}))
    denied = operator.run("refresh dealer-17 --force")
    assert denied.exit_code == 1
    assert "may not secretsmanager:GetSecretValue on secrets under oauth/" in denied.stderr
    assert "A failure on this machine is not recorded" in denied.stderr
    assert not operator.secrets.describe_secret(SecretId="oauth/tokens/dealer-17").get("Tags")


def test_whoever_may_not_look_and_waits_is_told_that_the_credentials_are_written(
    operator: Operator, allow: Callable[..., None]
) -> None:
    allow("WriteCredentials")
    waited = operator.run("add new --wait --from-file -", stdin=operator.document("new"))
    assert waited.exit_code == 1
    assert "secretsmanager:DescribeSecret on oauth/tokens/new" in waited.stderr
    assert "The credentials were written." in waited.stderr


def test_every_statement_is_explained_and_its_lack_is_tried() -> None:
    table = DOCUMENT.split("| statement | commands that need it |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(STATEMENTS)
    told = {sid for sid, _, _ in DENIED} | UNSEEN.keys()
    assert told | {"FindLostKeys", "TellTheEventBus"} == set(STATEMENTS)


@pytest.mark.parametrize("may_look", [True, False])
def test_a_lost_key_is_told_to_whoever_may_look_for_one(
    operator: Operator, cloud: EmbeddedCloud, allow: Callable[..., None], *, may_look: bool
) -> None:
    of = {"account": "new", "prefix": "oauth"}
    tags = [{"TagKey": f"token-refresher:{name}", "TagValue": of[name]} for name in of]
    lost = cloud.client("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    allow(*(STATEMENTS.keys() - ({} if may_look else {"FindLostKeys"})))
    created = operator.run("key create new")
    assert created.exit_code == 0
    assert (f"The KMS key {lost} was made for new and has no alias" in created.stderr) is may_look


def test_whoever_looks_after_keys_changes_none_of_others(
    operator: Operator, cloud: EmbeddedCloud, allow: Callable[..., None]
) -> None:
    allow(*STATEMENTS)
    kms = cloud.client("kms")
    theirs = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    alias = aliases_of("oauth", "signs")[Role.NEXT]
    kms.create_alias(AliasName=alias, TargetKeyId=theirs["KeyId"])
    refused = operator.run("key rotate signs --switch")
    assert refused.exit_code == 3
    assert "may not kms:TagResource on arn:aws:kms:" in refused.stderr


def test_without_the_event_bus_the_token_is_refreshed_and_the_person_is_told(
    operator: Operator, allow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS", "true")
    allow(*(STATEMENTS.keys() - {"TellTheEventBus"}))
    done = operator.run("refresh dealer-17 --force")

    assert done.exit_code == 0
    assert "1 event was not put on the event bus: AccessDeniedException." in done.stderr
    assert "events:PutEvents" in done.stderr


def test_a_refresh_from_here_tells_the_event_bus_where_the_stack_wants_it(
    operator: Operator, cloud: EmbeddedCloud, allow: Callable[..., None]
) -> None:
    queue = Queue(cloud)
    cloud.client("lambda").update_function_configuration(
        FunctionName="token-refresher",
        Environment={
            "Variables": {
                "ALLOWED_TOKEN_HOSTS": operator.server.host,
                "EVENTS": "true",
                "POWERTOOLS_SERVICE_NAME": "token-refresher",
            }
        },
    )
    allow(*STATEMENTS)
    done = operator.run("refresh dealer-17 --force --stack token-refresher")

    assert done.exit_code == 0
    assert "event" not in done.stderr
    assert within(60, lambda: queue.has(1))
    detail = queue.events[0]["detail"]
    assert (detail["account"], detail["stack"]) == ("dealer-17", "token-refresher")
    assert detail["reason"] == "credentials changed"


def test_whoever_may_look_alone_can_look(operator: Operator, allow: Callable[..., None]) -> None:
    allow("SeeEveryAccount", "SeeSchedulesAndHistory")
    operator.says("status")
    operator.says("plan")
    operator.says("history dealer-17")


def test_whoever_may_only_create_adds_many_and_what_is_there_is_met_one_by_one(
    operator: Operator, allow: Callable[..., None]
) -> None:
    names = ("dealer-17", "new")
    lines = [{"account": name, **json.loads(operator.document(name))} for name in names]
    many = "".join(json.dumps(line) + "\n" for line in lines)
    allow("WriteCredentials", "SeeSchedulesAndHistory")
    added = operator.run("add --from-file -", stdin=many)
    assert (added.exit_code, added.stdout) == (
        0,
        "2 accounts: 1 created, 1 there already, not compared\n",
    )
    assert "You may not list the accounts; those that are there are met one by one." in added.stderr
    assert "What was not compared could not be read" in added.stderr


def test_whoever_may_not_read_credentials_removes_and_is_told_what_is_not_known(
    operator: Operator, allow: Callable[..., None]
) -> None:
    allow("SeeSchedulesAndHistory", "RemoveAccounts")
    told = operator.says("remove dealer-17 --dry-run")
    assert "until they expire: your AWS identity may not read its credentials" in told
    operator.says("remove at-xero --yes")
    refused = operator.run("remove dealer-17 --yes --revoke")
    assert refused.exit_code == 3
    assert "its tokens cannot be revoked: your AWS identity may not read" in refused.stderr
