"""The two secrets of an account, in a Secrets Manager that behaves as documented."""

from __future__ import annotations

import ast
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from token_refresher.aws import secret_store
from token_refresher.aws.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.leases import lease_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.embedded_cloud import EmbeddedCloud

ACCOUNT: Final = "group/dealer.17@example"
JOURNAL: Final = "20261124T010000Z-20261124T130000Z-aaaaaaaaaaaa-bbbbbbbbbbbb"


@pytest.fixture
def secrets(cloud: EmbeddedCloud) -> SecretsManagerClient:
    return cloud.client()


@pytest.fixture
def client(cloud: EmbeddedCloud, monkeypatch: pytest.MonkeyPatch) -> SecretsManagerClient:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    return create_client(max_workers=8, user_agent="token-refresher/test")


@pytest.fixture
def store(client: SecretsManagerClient) -> SecretsManagerStore:
    return store_of(client)


def store_of(
    client: SecretsManagerClient, *, key: str = "", tags: Sequence[tuple[str, str]] = ()
) -> SecretsManagerStore:
    pace = Pace(monotonic=itertools.count().__next__, sleep=lambda _: None)
    return SecretsManagerStore(client, prefix="oauth", kms_key_id=key, pace=pace, tags=tags)


@pytest.fixture
def credentials(secrets: SecretsManagerClient) -> str:
    answer = secrets.create_secret(Name=f"oauth/credentials/{ACCOUNT}", SecretString="{}")
    return answer["VersionId"]


def test_an_account_without_secrets_has_nothing_to_tell(store: SecretsManagerStore) -> None:
    assert store.describe_token(ACCOUNT) is None
    assert store.describe_credentials(ACCOUNT) is None
    assert store.read_credentials(ACCOUNT) is None
    assert store.read_published(ACCOUNT) is None
    assert store.read_journal(ACCOUNT) is None
    assert store.read_version(ACCOUNT, lease_id("basis", 1)) is None


def test_credentials_are_read_with_their_version(
    store: SecretsManagerStore, credentials: str
) -> None:
    value = store.read_credentials(ACCOUNT)
    assert value is not None
    assert (value.version_id, value.text) == (credentials, "{}")


def test_lease_and_journal_never_move_the_credentials(
    store: SecretsManagerStore, credentials: str
) -> None:
    lease = lease_id("basis", 1)
    assert store.write_protocol(ACCOUNT, lease, "lease")
    assert store.write_protocol(ACCOUNT, JOURNAL, "journal")
    assert not store.write_protocol(ACCOUNT, lease, "another")
    assert not store.write_protocol(ACCOUNT, JOURNAL, "another")

    metadata = store.describe_credentials(ACCOUNT)
    assert metadata is not None
    assert metadata.stages == {
        "AWSCURRENT": credentials,
        "TOKENREQUEST": lease,
        "TOKENRESPONSE": JOURNAL,
    }
    read = (store.read_journal(ACCOUNT), store.read_version(ACCOUNT, lease))
    assert [value.text for value in read if value] == ["journal", "lease"]


@pytest.mark.usefixtures("credentials")
def test_exactly_one_run_wins_a_lease(store: SecretsManagerStore) -> None:
    for number in range(1, 6):
        lease = lease_id("basis", number)
        with ThreadPoolExecutor(8) as pool:
            won = list(
                pool.map(
                    lambda run, lease=lease: store.write_protocol(ACCOUNT, lease, run),
                    map(str, range(8)),
                )
            )
        value = store.read_version(ACCOUNT, lease)
        assert won.count(True) == 1
        assert value is not None
        assert value.text == str(won.index(True))


def test_publishing_again_under_the_same_id_changes_nothing(store: SecretsManagerStore) -> None:
    store.create_token_secret(ACCOUNT)
    store.create_token_secret(ACCOUNT)
    assert store.publish(ACCOUNT, JOURNAL, "token")
    assert store.publish(ACCOUNT, JOURNAL, "token")
    assert not store.publish(ACCOUNT, JOURNAL, "another")
    value = store.read_published(ACCOUNT)
    assert value is not None
    assert value.text == "token"


def test_a_new_token_secret_has_the_tags_of_the_settings_and_an_old_one_keeps_its_own(
    client: SecretsManagerClient,
) -> None:
    store_of(client).create_token_secret("old")
    store = store_of(client, tags=[("team", "payments"), ("cost-center", "42")])
    for account in ("old", "new"):
        store.create_token_secret(account)
        told = store.describe_token(account)
        assert told is not None
        assert told.tags == ({"team": "payments", "cost-center": "42"} if account == "new" else {})


def test_what_is_published_moves_the_stages(store: SecretsManagerStore) -> None:
    store.create_token_secret(ACCOUNT)
    later = JOURNAL.replace("T01", "T02")
    store.publish(ACCOUNT, JOURNAL, "1")
    store.publish(ACCOUNT, later, "2")
    metadata = store.describe_token(ACCOUNT)
    assert metadata is not None
    assert metadata.stages == {"AWSCURRENT": later, "AWSPREVIOUS": JOURNAL}


def test_a_token_secret_is_created_with_the_configured_key(
    client: SecretsManagerClient, secrets: SecretsManagerClient
) -> None:
    store_of(client, key="alias/tokens").create_token_secret(ACCOUNT)
    described = secrets.describe_secret(SecretId=f"oauth/tokens/{ACCOUNT}")
    assert described["KmsKeyId"] == "alias/tokens"


def test_records_are_tags_that_can_be_cleared(store: SecretsManagerStore) -> None:
    store.create_token_secret(ACCOUNT)
    store.tag(ACCOUNT, {"a": "1", "b": "2"})
    store.untag(ACCOUNT, ["a"])
    metadata = store.describe_token(ACCOUNT)
    assert metadata is not None
    assert metadata.tags == {"b": "2"}


def test_a_secret_scheduled_for_deletion_says_so(
    store: SecretsManagerStore, secrets: SecretsManagerClient
) -> None:
    store.create_token_secret(ACCOUNT)
    secrets.delete_secret(SecretId=f"oauth/tokens/{ACCOUNT}", RecoveryWindowInDays=7)
    metadata = store.describe_token(ACCOUNT)
    assert metadata is not None
    assert metadata.is_deleted


def test_both_paths_are_listed_whole_and_no_other(
    store: SecretsManagerStore, secrets: SecretsManagerClient
) -> None:
    for number in range(101):
        secrets.create_secret(Name=f"oauth/credentials/a{number:03}", SecretString="{}")
    for other in ("oauth/credentials-old/a", "oauth/tokens/b", "other/credentials/a"):
        secrets.create_secret(Name=other)
    credentials, tokens = store.list_secrets()
    assert sorted(credentials) == [f"a{number:03}" for number in range(101)]
    assert all(set(metadata.stages) == {"AWSCURRENT"} for metadata in credentials.values())
    assert {name: dict(each.stages) for name, each in tokens.items()} == {"b": {}}


def test_one_function_of_the_program_writes_to_the_credentials_path() -> None:
    tree = ast.parse(Path(secret_store.__file__).read_text())
    source = {
        node.name: ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    writers = {name for name, text in source.items() if "put_secret_value" in text}
    callers = {name for name, text in source.items() if "self._put(" in text}
    assert writers == {"_put"}
    assert callers == {"write_protocol", "publish", "stage"}
    for name in ("publish", "stage", "_move"):
        assert "_credentials_path" not in source[name]
    assert {name for name, text in source.items() if "update_secret_version" in text} == {"_move"}
    assert "CURRENT" not in source["write_protocol"].split('"""')[2]
    assert "stage" not in str(ast.parse(source["write_protocol"]).body[0].args)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a/b/c", "dealer.17", "ion@dealer.ro", "x+y=z_-", "tokens/a"])
def test_an_account_of_any_name_is_listed_under_it(
    store: SecretsManagerStore, secrets: SecretsManagerClient, name: str
) -> None:
    secrets.create_secret(Name=f"oauth/credentials/{name}", SecretString="{}")
    store.create_token_secret(name)
    store.publish(name, JOURNAL, "token")
    assert [list(secrets_of) for secrets_of in store.list_secrets()] == [[name], [name]]
    assert store.read_credentials(name) is not None
    assert store.read_published(name) is not None


def test_credentials_without_a_value_are_there_and_cannot_be_read(
    store: SecretsManagerStore, secrets: SecretsManagerClient
) -> None:
    secrets.create_secret(Name=f"oauth/credentials/{ACCOUNT}")
    metadata = store.describe_credentials(ACCOUNT)
    assert metadata is not None
    assert metadata.stages == {}
    assert store.read_credentials(ACCOUNT) is None
