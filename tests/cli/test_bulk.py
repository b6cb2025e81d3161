"""Many accounts from one file: what is created, what is left alone, and how it is told."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.operator import SECRET
from tests.cli.relay import LOST, THROTTLED, Instead

if TYPE_CHECKING:
    from pathlib import Path

    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay


def accounts(operator: Operator, *names: str, **fields: Any) -> str:  # noqa: ANN401
    """Write JSON lines of accounts that may get tokens by themselves."""
    lines = []
    for name in names:
        operator.server.register_client(name, secret=SECRET)
        content = {"account": name, **json.loads(operator.document(name)), **fields}
        lines.append(json.dumps(content) + "\n")
    return "".join(lines)


def as_csv(lines: str, delimiter: str = ",") -> str:
    """Write the same as CSV."""
    rows = [json.loads(line) for line in lines.splitlines()]
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def stored(operator: Operator) -> dict[str, dict[str, Any]]:
    """All credentials that are there, by account."""
    pages = operator.secrets.get_paginator("list_secrets").paginate()
    names = [one["Name"] for page in pages for one in page["SecretList"]]
    return {
        name.removeprefix("oauth/credentials/"): json.loads(
            operator.secrets.get_secret_value(SecretId=name)["SecretString"]
        )
        for name in names
        if name.startswith("oauth/credentials/")
    }


def staged(operator: Operator) -> dict[str, Any]:
    """All secrets, with their versions."""
    found = operator.secrets.list_secrets()["SecretList"]
    return {one["Name"]: one.get("SecretVersionsToStages") for one in found}


def versions(cloud: EmbeddedCloud, name: str) -> int:
    """How often an account's credentials were written."""
    secret_id = f"oauth/credentials/{name}"
    return len(cloud.client().list_secret_version_ids(SecretId=secret_id)["Versions"])


def test_names_that_read_like_the_end_of_an_arn_are_counted(operator: Operator) -> None:
    lines = accounts(operator, "eu-dealer", "us-dealer", "dealer-3")
    added = operator.run("add --from-file -", stdin=lines)
    assert len(stored(operator)) == 3
    said = " ".join(added.stderr.split())
    assert "2 accounts: a name that ends in a hyphen and six characters" in said


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "CSV of another country"])
def test_accounts_of_one_file_are_created_and_served(
    operator: Operator, tmp_path: Path, form: str
) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2", "team/dealer-3")
    text = {
        "JSON lines": lines,
        "CSV": as_csv(lines),
        "CSV of another country": "\ufeff" + as_csv(lines, ";"),
    }[form]
    file = tmp_path / "accounts"
    file.write_text(text)
    file.chmod(0o600)
    added = operator.run(f"add --from-file {file}")
    assert (added.exit_code, added.stdout) == (0, "3 accounts: 3 created\n")
    assert added.stderr == (
        "The next sweep tries them; see: "
        "token-refresher status --region eu-west-1 --prefix oauth\n"
        f"All are there. Delete the file, which holds their secrets: rm {file}\n"
    )
    expected = {json.loads(line).pop("account"): json.loads(line) for line in lines.splitlines()}
    for content in expected.values():
        del content["account"]
    assert stored(operator) == expected
    operator.schedule.sweep()
    states = {one["account"]: one["state"] for one in operator.tells("status")["accounts"]}
    assert states == dict.fromkeys(expected, "fresh")


def test_a_dry_run_says_what_would_become_of_each_and_changes_nothing(operator: Operator) -> None:
    lines = accounts(operator, "new", "same", "other", "awaiting")
    operator.says("add same --from-file -", stdin=operator.document("same"))
    operator.says("add other --from-file -", stdin=operator.document("other", scope="write"))
    operator.secrets.create_secret(Name="oauth/credentials/awaiting")
    lines += '{"account": "wrong", "grant_type": "client_credentials"}\n'
    before = staged(operator)
    told = operator.run("add --from-file - --dry-run", stdin=lines)
    assert told.exit_code == 3
    assert told.stdout == (
        "5 accounts: 1 to create, 1 to be given their first credentials, 1 there already, "
        "1 with other credentials, 1 wrong\n"
    )
    assert "the standard input, line 5, wrong: not given: " in told.stderr.replace("Not", "not")
    assert "token-refresher correct other" in told.stderr
    assert staged(operator) == before


def test_a_dry_run_meets_what_no_listing_tells(operator: Operator, relay: Relay) -> None:
    lines = accounts(operator, "deleted", "recent", "new")
    for name in ("deleted", "recent"):
        operator.says(f"add {name} --from-file -", stdin=operator.document(name))
    operator.secrets.delete_secret(SecretId="oauth/credentials/deleted")
    empty = Instead(200, b'{"SecretList": []}')
    relay.illness = lambda operation: empty if operation == "ListSecrets" else None
    with operator.by_way_of(relay):
        told = operator.run("add --from-file - --dry-run", stdin=lines)
        assert told.stdout == "3 accounts: 1 to create, 1 there already, 1 refused\n"
        done = operator.run("add --from-file -", stdin=lines)
    assert done.stdout == "3 accounts: 1 created, 1 there already, 1 refused\n"
    assert told.exit_code == done.exit_code == 1
    assert "token-refresher restore deleted" in told.stderr


def test_a_dry_run_that_was_stopped_goes_on_as_one(operator: Operator, relay: Relay) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2")
    expired = Instead(400, b'{"__type": "ExpiredTokenException"}')
    relay.illness = lambda operation: expired if operation == "DescribeSecret" else None
    with operator.by_way_of(relay):
        told = operator.run("add --from-file - --dry-run", stdin=lines)
    assert told.exit_code == 3
    assert "add --from-file - --dry-run --region" in told.stderr


def test_a_file_is_not_to_be_deleted_before_all_of_it_is_there(
    operator: Operator, tmp_path: Path, relay: Relay
) -> None:
    file = tmp_path / "accounts"
    file.write_text(accounts(operator, "dealer-1"))
    operator.secrets.create_secret(Name="oauth/credentials/dealer-1")
    assert "rm " not in operator.run(f"add --from-file {file} --dry-run").stderr
    assert f"rm {file}" in operator.run(f"add --from-file {file}").stderr
    # What could not be compared may be other credentials.
    denied = Instead(400, b'{"__type": "AccessDeniedException"}')
    relay.illness = lambda operation: denied if operation == "GetSecretValue" else None
    with operator.by_way_of(relay):
        told = operator.run(f"add --from-file {file}")
    assert told.stdout == "1 account: 1 there already, not compared\n"
    assert "rm " not in told.stderr


def test_however_many_are_to_be_deleted_the_others_are_created(operator: Operator) -> None:
    names = [f"dealer-{number:02}" for number in range(20)]
    lines = accounts(operator, *names)
    operator.says("add --from-file -", stdin="".join(lines.splitlines(keepends=True)[:19]))
    for name in names[:19]:
        operator.secrets.delete_secret(SecretId=f"oauth/credentials/{name}")
    added = operator.run("add --from-file -", stdin=lines)
    assert added.stdout == "20 accounts: 1 created, 19 refused\n"


def test_a_name_and_a_file_of_many_are_told_apart(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    lines = accounts(operator, "dealer-1", "dealer-2")
    for text in (lines, as_csv(lines)):
        file.write_text(text)
        for command in ("add", "correct"):
            refused = operator.run(f"{command} dealer-1 --scope read --from-file {file}")
            assert refused.exit_code == 3
            many = f"To add them all: token-refresher add --from-file {file} --scope read"
            assert many in refused.stderr
    assert stored(operator) == {}


def test_a_file_of_which_one_line_is_wrong_creates_nothing(operator: Operator) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2")
    lines += lines.splitlines()[0] + "\n"
    lines += accounts(operator, "dealer-3", token_endpoint="https://elsewhere.example/token")
    lines += accounts(operator, "dealer-4", clientsecret="made-up")
    lines += accounts(operator, "dealer-5", client_secret=" made-up-pasted")
    lines += accounts(operator, "dealer-6", client_secret="made-up-pasted ")
    lines += '{"account": "dealer 7"}\n["made-up-secret"]\n'
    refused = operator.run("add --from-file -", stdin=lines)
    assert (refused.exit_code, refused.stdout, stored(operator)) == (3, "", {})
    told = refused.stderr.splitlines()
    assert told[0] == "the standard input, line 3, dealer-1: line 1 has the same account."
    assert told[1].startswith(
        "the standard input, line 4, dealer-3: the host of token_endpoint is elsewhere.example, "
    )
    assert told[2].startswith("the standard input, line 5, dealer-4: `clientsecret` is no field: ")
    assert told[3].startswith(
        "the standard input, line 6, dealer-5 (and 1 more line): `client_secret` begins or ends"
    )
    assert told[4].startswith("the standard input, line 8: `account` must be a name of letters")
    assert told[5] == "the standard input, line 9: it is a list and no object."
    assert told[-2:] == [
        "7 of 9 accounts in the standard input are wrong.",
        "Nothing was written.",
    ]
    assert "made-up" not in refused.stderr


def test_what_is_wrong_on_many_lines_is_told_once_also_where_one_has_more(
    operator: Operator,
) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2", client_secrt="made-up")
    lines += accounts(operator, "dealer-3", client_secrt="made-up", client_id=" made-up")
    lines += 2 * accounts(operator, "dealer-4").replace("}", ",}")
    told = operator.run("add --from-file -", stdin=lines).stderr.splitlines()
    column = len(lines.splitlines()[3])
    comma = f"column {column} (and 1 more line): the comma before it is one too many."
    assert [one.partition("`")[0] for one in told[:3]] == [
        "the standard input, line 1, dealer-1 (and 2 more lines): ",
        "the standard input, line 3, dealer-3: ",
        f"the standard input, line 4, {comma}",
    ]
    assert told[-2] == "5 of 5 accounts in the standard input are wrong."


def test_the_name_of_a_secret_is_no_accounts_name(operator: Operator) -> None:
    right = "an account's name is what follows oauth/tokens/: here it is team/b"
    told = operator.run("add --from-file -", stdin=accounts(operator, "a", "oauth/tokens/team/b"))
    line = "the standard input, line 2, oauth/tokens/team/b: "
    assert told.stderr.splitlines()[0] == f"{line}{right}."
    of_one = operator.document("oauth/tokens/team/b")
    for command in (
        "add oauth/tokens/team/b --from-file -",
        "add oauth/tokens/team/b --dry-run --from-file -",
        "key create oauth/tokens/team/b",
        "key import oauth/tokens/team/b --pem none.pem",
    ):
        told = operator.run(command, stdin=of_one)
        assert (told.exit_code, stored(operator)) == (3, {})
        assert right[1:] in told.stderr
    other = operator.document("oauth/team")
    assert operator.run("add oauth/team --dry-run --from-file -", stdin=other).exit_code == 0


def test_options_are_common_to_all_lines(operator: Operator) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2", token_endpoint=None, grant_type=None)
    options = f"--token-endpoint {operator.server.token_endpoint} --grant-type client_credentials"
    operator.says(f"add --from-file - {options}", stdin=lines)
    assert {one["token_endpoint"] for one in stored(operator).values()} == {
        operator.server.token_endpoint
    }


def test_a_token_endpoint_is_looked_for_once_for_all(operator: Operator) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2", token_endpoint=None)
    added = operator.run(f"add --from-file - --issuer {operator.server.url}", stdin=lines)
    assert added.exit_code == 0, added.output
    assert added.stderr.count("openid-configuration says:") == 1
    assert {one["token_endpoint"] for one in stored(operator).values()} == {
        operator.server.token_endpoint
    }


def test_what_is_there_already_is_left_alone_and_told_apart(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    lines = accounts(operator, "same", "other", "new")
    operator.says("add same --from-file -", stdin=operator.document("same"))
    operator.says("add other --from-file -", stdin=operator.document("other", scope="write"))
    added = operator.run("add --from-file -", stdin=lines)
    assert added.exit_code == 1
    assert added.stdout == "3 accounts: 1 created, 1 there already, 1 with other credentials\n"
    assert "other has other credentials, and nothing was written." in added.stderr
    assert stored(operator)["other"]["scope"] == "write"
    assert [versions(cloud, name) for name in ("same", "other", "new")] == [1, 1, 1]


def test_what_a_listing_does_not_know_of_yet_is_not_written_twice(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay
) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2")
    operator.says("add --from-file -", stdin=lines)
    empty = Instead(200, b'{"SecretList": []}')
    relay.illness = lambda operation: empty if operation == "ListSecrets" else None
    with operator.by_way_of(relay):
        again = operator.run("add --from-file -", stdin=lines)
    assert (again.exit_code, again.stdout) == (0, "2 accounts: 2 there already\n")
    assert [versions(cloud, name) for name in ("dealer-1", "dealer-2")] == [1, 1]


def test_what_is_throttled_or_lost_is_asked_for_again(operator: Operator, relay: Relay) -> None:
    lines = accounts(operator, *(f"dealer-{number}" for number in range(6)))
    # More often than boto3 tries by itself.
    answers = [THROTTLED] * 6 + [LOST] * 6
    relay.illness = lambda operation: (
        answers.pop() if operation == "CreateSecret" and answers else None
    )
    with operator.by_way_of(relay):
        assert operator.says("add --from-file -", stdin=lines) == "6 accounts: 6 created\n"
    assert len(stored(operator)) == 6


@pytest.mark.slow
def test_a_minute_of_throttling_is_outlasted(operator: Operator, relay: Relay) -> None:
    lines = accounts(operator, "dealer-1")
    over_at = operator.clock.now() + timedelta(minutes=1)
    relay.illness = lambda operation: (
        THROTTLED if operation == "CreateSecret" and operator.clock.now() < over_at else None
    )
    with operator.by_way_of(relay):
        assert operator.says("add --from-file -", stdin=lines) == "1 account: 1 created\n"


def test_a_refusal_of_one_account_does_not_stop_the_others(operator: Operator) -> None:
    lines = accounts(operator, "dealer-1", "dealer-2", "dealer-3")
    operator.says("add dealer-2 --from-file -", stdin=operator.document("dealer-2"))
    operator.secrets.delete_secret(SecretId="oauth/credentials/dealer-2")
    added = operator.run("add --from-file -", stdin=lines)
    assert (added.exit_code, added.stdout) == (1, "3 accounts: 2 created, 1 refused\n")
    assert "oauth/credentials/dealer-2 is scheduled for deletion." in added.stderr
    assert "token-refresher restore dealer-2" in added.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDeniedException", "Your AWS identity may not secretsmanager:CreateSecret"),
        ("ExpiredTokenException", "Your AWS session has expired."),
        ("EncryptionFailure", "The KMS key of a secret cannot be used"),
    ],
)
def test_what_would_refuse_all_is_met_a_few_times_alone(
    operator: Operator, cloud: EmbeddedCloud, relay: Relay, code: str, said: str
) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    lines = accounts(operator, *(f"dealer-{number:03}" for number in range(100)))
    asked = itertools.count(1)
    # As many as work at once: whoever arrives has done with the one before.
    all_of_them = threading.Barrier(8, timeout=60)

    def refuse(operation: str) -> Instead | None:
        if operation != "CreateSecret" or (number := next(asked)) <= 30:
            return None
        if number <= 38:
            all_of_them.wait()
        return Instead(400, json.dumps({"__type": code}).encode())

    relay.illness = refuse
    with operator.by_way_of(relay):
        stopped = operator.run(f"add --from-file - --kms-key-id {key}", stdin=lines)
    assert stopped.exit_code == 1
    assert next(asked) <= 60
    assert said in stopped.stderr
    again = f"To go on where it stopped: token-refresher add --from-file - --kms-key-id {key}"
    assert again in stopped.stderr
    assert "30 created" in stopped.stdout
    with operator.by_way_of(relay):
        relay.illness = lambda _: None
        assert operator.says(f"add --from-file - --kms-key-id {key}", stdin=lines) == (
            "100 accounts: 70 created, 30 there already\n"
        )
    secrets = operator.secrets.list_secrets()["SecretList"]
    assert {one["KmsKeyId"] for one in secrets} == {key}


def test_a_file_that_others_may_read_is_told(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "my accounts.csv"
    file.write_text(as_csv(accounts(operator, "dealer-1")))
    file.chmod(0o644)
    added = operator.run(f"add --from-file '{file}'")
    told = f"{file} holds secrets, and others on this machine may read it: chmod 600 '{file}'"
    assert told in added.stderr
    file.chmod(0o600)
    assert "chmod" not in operator.run(f"add --from-file '{file}'").stderr


@pytest.mark.parametrize("name", ["", "dealer-1 "], ids=["many", "one"])
@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("/dev/null/none", "Not a directory"),
        ("/nowhere/accounts.csv", "No such file or directory"),
        ("/dev", "Is a directory"),
        ("/dev/zero", "it is a device; - reads the standard input"),
    ],
)
def test_what_is_no_file_is_told_as_that_and_not_to_be_changed(
    operator: Operator, file: str, why: str, name: str
) -> None:
    refused = operator.run(f"add {name}--from-file {file}")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr == f"Cannot read {file}: {why}.\n"


def test_one_account_is_told_by_its_name_whatever_the_file_calls_it(operator: Operator) -> None:
    line = accounts(operator, "dealer-1")
    operator.says("add dealer-1 --from-file -", stdin=line)
    refused = operator.run("add dealer-2 --from-file -", stdin=line)
    assert refused.exit_code == 3
    assert "The file has an `account` of another name." in refused.stderr
    assert list(stored(operator)) == ["dealer-1"]


def test_a_dry_run_of_one_account_changes_nothing(operator: Operator) -> None:
    told = operator.says(
        "add dealer-1 --from-file - --dry-run", stdin=operator.document("dealer-1")
    )
    assert told == "1 account: 1 to create\n"
    assert stored(operator) == {}


@pytest.mark.parametrize("line", ["add", "add --from-file x --wait"])
def test_what_is_meant_for_one_account_asks_for_its_name(operator: Operator, line: str) -> None:
    assert operator.run(line).exit_code == 2
