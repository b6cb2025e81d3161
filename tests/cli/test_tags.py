"""Tags that an organisation demands: what a command creates has the stack's and those given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.cli.key_files import service_account
from tests.cli.test_permissions import STATEMENTS
from tests.integration.test_emulator_functions import deploy
from tests.integration.test_emulator_iam import ACCOUNT, create_role
from token_refresher_cli.kms_keys import Role, aliases_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator

STACK: Final = "--stack token-refresher"
OF_STACK: Final = {"team": "payments", "cost-center": "42"}


@pytest.fixture(autouse=True)
def _stack(cloud: EmbeddedCloud, operator: Operator) -> None:
    """A stack with ResourceTags."""
    variables = {
        "ALLOWED_TOKEN_HOSTS": operator.server.host,
        "RESOURCE_TAGS": ",".join(f"{key}={value}" for key, value in OF_STACK.items()),
    }
    code = "def handler(event, context): return {}"
    deploy(cloud, code, FunctionName="token-refresher", Environment={"Variables": variables})


@pytest.fixture
def demanding(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the operator one who may do everything, and create nothing without a tag."""

    def demand(tag: str) -> None:
        here = json.dumps(list(STATEMENTS.values())).replace("123456789012", ACCOUNT)
        denied = {
            "Effect": "Deny",
            "Action": ["kms:CreateKey", "secretsmanager:CreateSecret"],
            "Resource": "*",
            "Condition": {"Null": {f"aws:RequestTag/{tag}": "true"}},
        }
        who = cloud.assume(create_role(cloud, *json.loads(here), denied))
        for name, value in cloud.environment(who).items():
            monkeypatch.setenv(name, value)

    return demand


def tags_of(operator: Operator, secret_id: str) -> dict[str, str]:
    """The tags of a secret but for the program's own."""
    told = operator.secrets.describe_secret(SecretId=secret_id).get("Tags", [])
    return {one["Key"]: one["Value"] for one in told if ":" not in one["Key"]}


def tags_of_key(cloud: EmbeddedCloud, alias: str) -> dict[str, str]:
    """Likewise of a key."""
    kms: Any = cloud.client("kms")
    key = kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"]
    told = kms.list_resource_tags(KeyId=key)["Tags"]
    return {one["TagKey"]: one["TagValue"] for one in told if ":" not in one["TagKey"]}


def test_credentials_and_tokens_have_the_tags_of_the_stack(operator: Operator) -> None:
    operator.server.register_client("dealer-17", secret="made-up-client-secret")
    operator.says(f"add dealer-17 {STACK} --from-file -", stdin=operator.document("dealer-17"))
    operator.says(f"refresh dealer-17 {STACK}")
    for secret_id in ("oauth/credentials/dealer-17", "oauth/tokens/dealer-17"):
        assert tags_of(operator, secret_id) == OF_STACK


def test_a_tag_that_is_given_comes_besides_and_wins(operator: Operator) -> None:
    tags = "--tag owner=me --tag team=sales"
    operator.says(f"add a {STACK} {tags} --from-file -", stdin=operator.document("a"))
    many = json.dumps({"account": "b", **json.loads(operator.document("b"))})
    operator.says(f"add {STACK} {tags} --from-file -", stdin=many)
    for account in ("a", "b"):
        told = tags_of(operator, f"oauth/credentials/{account}")
        assert told == {"team": "sales", "cost-center": "42", "owner": "me"}


def test_without_a_stack_there_are_those_alone_that_are_given(operator: Operator) -> None:
    operator.says("add a --from-file -", stdin=operator.document("a"))
    operator.says("add b --tag owner=me --from-file -", stdin=operator.document("b"))
    assert tags_of(operator, "oauth/credentials/a") == {}
    assert tags_of(operator, "oauth/credentials/b") == {"owner": "me"}


def test_keys_that_are_made_brought_in_and_rotated_have_them(
    operator: Operator, cloud: EmbeddedCloud, tmp_path: Path
) -> None:
    operator.says(f"key create made {STACK} --alg ES256 --tag owner=me")
    operator.says(f"key rotate made {STACK} --tag owner=me")
    (tmp_path / "reports.json").write_text(service_account())
    operator.says(f"key import imported {STACK} --pem {tmp_path}/reports.json --tag owner=me")
    names = (aliases_of("oauth", "made"), aliases_of("oauth", "imported"))
    for alias in (names[0][Role.CURRENT], names[0][Role.NEXT], names[1][Role.CURRENT]):
        assert tags_of_key(cloud, alias) == {**OF_STACK, "owner": "me"}


@pytest.mark.parametrize("line", ["add new --from-file -", "key create new --alg ES256"])
def test_a_demand_is_told_with_its_fix_and_met_by_it(
    operator: Operator, demanding: Callable[[str], None], line: str
) -> None:
    demanding("owner")
    denied = operator.run(f"{line} {STACK}", stdin=operator.document("new"))
    assert denied.exit_code == 3
    assert "may not " in denied.stderr
    assert "demands tags on what is created, give them with --tag KEY=VALUE" in denied.stderr
    operator.says(f"{line} {STACK} --tag owner=me", stdin=operator.document("new"))


def test_what_was_refused_of_many_goes_on_with_the_same_tags(
    operator: Operator, demanding: Callable[[str], None]
) -> None:
    demanding("owner")
    many = "\n".join(
        json.dumps({"account": f"n{number}", **json.loads(operator.document(f"n{number}"))})
        for number in range(30)
    )
    stopped = operator.run("add --tag team=a --from-file -", stdin=many)
    assert stopped.exit_code != 0
    assert "demands tags on what is created" in stopped.stderr
    assert "add --from-file - --tag team=a" in stopped.stderr


@pytest.mark.parametrize("tag", ["team", "team=a=b", "aws:team=a", "token-refresher:alg=RS256"])
def test_what_is_no_tag_is_refused_before_anything_is_read(operator: Operator, tag: str) -> None:
    refused = operator.run(f"add new --tag {tag} --from-file -", stdin="not read")
    assert refused.exit_code == 2
    assert "takes up to eight tags" in " ".join(refused.stderr.replace("│", " ").split())


def test_a_tag_is_for_the_step_of_a_rotation_that_makes_a_key(operator: Operator) -> None:
    refused = operator.run("key rotate a --switch --tag team=a")
    assert refused.exit_code == 2
