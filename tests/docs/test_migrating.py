"""What docs/migrating.md says: its commands exist, its credentials validate, its steps do so."""

from __future__ import annotations

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import botocore.session
import msgspec
import pytest
from botocore import xform_name

from tests.cli.conftest import cloud, operator
from tests.cli.operator import EMAIL, PASSWORD, SECRET, parsed
from token_refresher.errors import ExternalSecretError
from token_refresher.model import PublishedToken
from token_refresher.parsing import parse_credentials
from token_refresher.publishing import Publish, render

if TYPE_CHECKING:
    from tests.cli.operator import Operator

TEXT: Final = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text("utf-8")
BLOCKS: Final = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
COMMANDS: Final = [
    shlex.split(line.split(" | ")[0])
    for block in BLOCKS
    for line in block.replace("\\\n", " ").strip().splitlines()
]
STANDARD, *CREDENTIALS = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
OF_THE_AWS_CLI: Final = {"--query", "--output"}
TOKEN_SECRET: Final = "oauth/tokens/dealer-17"
OLD: Final = json.dumps({"accessToken": "made-up-old-token", "url": "https://acme.example"})

__all__ = ["cloud", "operator"]


# What is shown.


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_exists_with_its_options(command: list[str]) -> None:
    if command[0] == "token-refresher":
        assert parsed(command)
        return
    program, service, operation, *words = command
    assert program == "aws"
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(names[operation]).input_shape
    assert shape is not None
    options = {word for word in words if word.startswith("--")} - OF_THE_AWS_CLI
    assert options <= {f"--{xform_name(name, '-')}" for name in shape.members}
    assert options >= {f"--{xform_name(name, '-')}" for name in shape.required_members}


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= len(BLOCKS) > 5


def test_the_standard_form_is_as_shown() -> None:
    token = msgspec.json.decode(STANDARD, type=PublishedToken)
    assert list(json.loads(render(token, secrets=[])).items()) == list(json.loads(STANDARD).items())


@pytest.mark.parametrize("text", CREDENTIALS)
def test_the_credentials_shown_validate_and_say_what_is_published(text: str) -> None:
    assert parse_credentials(text).publish is not None


def test_the_table_has_every_variable_and_no_other() -> None:
    table = TEXT.split("| variable | is |")[1].split("\n\n")[0]
    variables = set(re.findall(r"`(\{[^`]+\})`", table))
    used = Publish(as_="".join(sorted(variables)))
    assert used.paths == ("instance_url",)
    standard = {f"{{{name}}}" for name in PublishedToken.__struct_fields__}
    assert variables == standard | {"{response.instance_url}"}


# What is said.


def wait_for_a_tick(operator: Operator) -> None:
    operator.clock.advance(timedelta(minutes=5))
    operator.schedule.sweep()


def stages(operator: Operator) -> dict[str, str]:
    told = operator.secrets.describe_secret(SecretId=TOKEN_SECRET)["VersionIdsToStages"]
    return {stage: version for version, found in told.items() for stage in found}


def published(operator: Operator) -> str:
    return operator.secrets.get_secret_value(SecretId=TOKEN_SECRET)["SecretString"]


def state(operator: Operator) -> dict[str, Any]:
    (told,) = operator.tells("status dealer-17")["accounts"]
    account: dict[str, Any] = told
    return account


@pytest.fixture
def cut_over(operator: Operator, tmp_path: Path) -> Operator:
    """An old job's secret, and credentials of its account that say the old form."""
    operator.server.register_client(
        "dealer-17",
        secret=SECRET,
        users={EMAIL: PASSWORD},
        response_fields={"instance_url": "https://acme.example"},
    )
    operator.secrets.create_secret(Name=TOKEN_SECRET, SecretString=OLD)
    file = tmp_path / "dealer-17.json"
    form = {"accessToken": "{access_token}", "url": "{response.instance_url}"}
    file.write_text(
        operator.document("dealer-17", grant_type="password", username=EMAIL, password=PASSWORD,
                          publish={"as": form})
    )  # fmt: skip
    operator.says(f"add dealer-17 --from-file {file}")
    return operator


def test_the_trial_leaves_nothing_that_is_read_or_refreshed(
    operator: Operator, tmp_path: Path
) -> None:
    operator.server.register_client("dealer-17", secret=SECRET, users={EMAIL: PASSWORD})
    file = tmp_path / "dealer-17.json"
    text = operator.document("dealer-17", grant_type="password", username=EMAIL, password=PASSWORD)
    file.write_text(text)
    operator.secrets.create_secret(Name=TOKEN_SECRET, SecretString=OLD)
    operator.says(f"add dealer-17-trial --from-file {file}")
    operator.says("refresh dealer-17-trial")
    operator.says("remove dealer-17-trial --yes")
    wait_for_a_tick(operator)
    assert [each["Name"] for each in operator.secrets.list_secrets()["SecretList"]] == [
        TOKEN_SECRET
    ]
    assert published(operator) == OLD


def test_nothing_is_overwritten_unasked_and_the_error_says_how_to_ask(cut_over: Operator) -> None:
    wait_for_a_tick(cut_over)
    wait_for_a_tick(cut_over)
    assert published(cut_over) == OLD
    assert cut_over.server.requests == []
    told = state(cut_over)
    assert (told["state"], told["error"]) == ("action required", "external_secret")
    assert told["error"] in TEXT
    assert "token-refresher refresh NAME --force" in str(ExternalSecretError())


def test_a_person_adopts_by_name_and_later_versions_of_others_are_replaced(
    cut_over: Operator,
) -> None:
    wait_for_a_tick(cut_over)
    cut_over.says("refresh dealer-17 --force")
    adopted = json.loads(published(cut_over))
    assert adopted.keys() == json.loads(OLD).keys()
    assert adopted["accessToken"] != json.loads(OLD)["accessToken"]
    assert state(cut_over)["state"] == "fresh"
    cut_over.clock.advance(timedelta(hours=1))
    cut_over.secrets.put_secret_value(SecretId=TOKEN_SECRET, SecretString=OLD)
    wait_for_a_tick(cut_over)
    assert published(cut_over) != OLD


def test_going_back_is_left_alone_while_there_are_no_credentials(cut_over: Operator) -> None:
    noted = stages(cut_over)["AWSCURRENT"]
    cut_over.says("refresh dealer-17 --force")
    cut_over.clock.advance(timedelta(hours=1))
    cut_over.secrets.delete_secret(SecretId="oauth/credentials/dealer-17", RecoveryWindowInDays=7)
    cut_over.secrets.update_secret_version_stage(
        SecretId=TOKEN_SECRET,
        VersionStage="AWSCURRENT",
        MoveToVersionId=noted,
        RemoveFromVersionId=stages(cut_over)["AWSCURRENT"],
    )
    for _ in range(3):
        wait_for_a_tick(cut_over)
    assert published(cut_over) == OLD
    assert state(cut_over)["state"] == "orphaned"
    # To try again.
    cut_over.says("restore dealer-17")
    wait_for_a_tick(cut_over)
    assert published(cut_over) != OLD


def test_while_there_are_credentials_going_back_lasts_no_longer_than_a_tick(
    cut_over: Operator,
) -> None:
    noted = stages(cut_over)["AWSCURRENT"]
    cut_over.says("refresh dealer-17 --force")
    cut_over.clock.advance(timedelta(hours=1))
    cut_over.secrets.update_secret_version_stage(
        SecretId=TOKEN_SECRET,
        VersionStage="AWSCURRENT",
        MoveToVersionId=noted,
        RemoveFromVersionId=stages(cut_over)["AWSCURRENT"],
    )
    wait_for_a_tick(cut_over)
    assert published(cut_over) != OLD


@pytest.mark.parametrize(
    "old",
    [
        pytest.param("Bearer made-up", id="a text"),
        pytest.param('{"access_token": "made-up", "expires_in": 3600}', id="a token response"),
        pytest.param(
            '{"access_token": "made-up", "expires_at": 1795572000, "instance_url": "u"}',
            id="a token with fields of its own",
        ),
    ],
)
def test_whatever_is_not_the_standard_form_is_not_overwritten_unasked(
    cut_over: Operator, old: str
) -> None:
    cut_over.secrets.delete_secret(SecretId=TOKEN_SECRET, ForceDeleteWithoutRecovery=True)
    cut_over.secrets.create_secret(Name=TOKEN_SECRET, SecretString=old)
    wait_for_a_tick(cut_over)
    assert published(cut_over) == old
    assert state(cut_over)["error"] == "external_secret"
