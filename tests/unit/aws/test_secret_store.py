"""What the secret store makes of calls and answers, without a Secrets Manager."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.stub import Stubber

from token_refresher.aws.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.errors import FailureClass, SecretStoreError
from token_refresher.failures import failure_class_of
from token_refresher.leases import lease_id
from token_refresher.ports import SecretMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

ACCOUNT = "dealer-17"
ARN = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:oauth/tokens/{ACCOUNT}-AbCdEf"
VERSION = "20261124T010000Z-20261124T130000Z-aaaaaaaaaaaa-bbbbbbbbbbbb"
MARK = "canary"


class CountingPace(Pace):
    """Counts the turns that were waited for."""

    def __init__(self) -> None:
        super().__init__(monotonic=lambda: 0.0, sleep=lambda _: None)
        self.turns = 0

    def wait(self) -> None:
        self.turns += 1


@pytest.fixture
def client() -> SecretsManagerClient:
    """The program's own client, with nobody at its endpoint."""
    return create_client(max_workers=16, user_agent="token-refresher/test")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between botocore's attempts, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    return waits


@pytest.fixture
def pace() -> CountingPace:
    return CountingPace()


@pytest.fixture
def store(client: SecretsManagerClient, pace: Pace) -> SecretsManagerStore:
    return SecretsManagerStore(client, prefix="oauth", kms_key_id="", pace=pace)


@pytest.fixture
def stubber(client: SecretsManagerClient) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber


class _Body(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def on_the_wire(client: SecretsManagerClient, act: Callable[[], AWSResponse]) -> list[str]:
    """Let something happen where a request would be sent; return what is called there."""
    calls: list[str] = []

    def send(event_name: str, **_: object) -> AWSResponse:
        calls.append(event_name.rpartition(".")[2])
        return act()

    # botocore's stubs do not know that a handler's answer counts.
    events: Any = client.meta.events
    events.register("before-send.secretsmanager", send)
    return calls


def refused(code: str, status: int = 400) -> Callable[[], AWSResponse]:
    def act() -> AWSResponse:
        body = _Body(f'{{"__type": "{code}", "message": "{MARK}"}}'.encode())
        headers = HeadersDict({"x-amzn-errortype": code})
        return AWSResponse(MARK, status, headers, body)  # type: ignore[arg-type]

    return act


def answered(body: bytes) -> Callable[[], AWSResponse]:
    return lambda: AWSResponse("", 200, HeadersDict(), _Body(body))  # type: ignore[arg-type]


def publish(store: SecretsManagerStore, version_id: str) -> bool:
    return store.publish(ACCOUNT, version_id, "text")


def write_protocol(store: SecretsManagerStore, version_id: str) -> bool:
    return store.write_protocol(ACCOUNT, version_id, "text")


class TestTheClient:
    def test_a_call_ends_soon(self, client: SecretsManagerClient) -> None:
        config: Any = client.meta.config
        assert config.connect_timeout + config.read_timeout == 5
        assert config.retries == {"mode": "standard", "total_max_attempts": 3}

    def test_every_worker_and_the_two_listings_have_a_connection(
        self, client: SecretsManagerClient
    ) -> None:
        config: Any = client.meta.config
        assert config.max_pool_connections == 18

    def test_the_audit_log_names_the_program(self, client: SecretsManagerClient) -> None:
        sent: list[Any] = []

        def look(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401
            sent.append(request.headers["User-Agent"])
            return answered(b"{}")()

        client.meta.events.register("before-send.secretsmanager", look)  # type: ignore[arg-type] # a handler's answer counts
        client.describe_secret(SecretId=ACCOUNT)
        assert sent[0].startswith(b"token-refresher/test")

    @pytest.mark.parametrize(
        ("code", "status", "attempts"),
        [
            # It lasts until versions are a day old; botocore would take it for throttling.
            ("LimitExceededException", 400, 1),
            ("AccessDeniedException", 400, 1),
            ("ThrottlingException", 400, 3),
            ("TooManyRequestsException", 400, 3),
            ("InternalServiceError", 500, 3),
        ],
    )
    def test_only_what_may_pass_is_tried_again(
        self,
        client: SecretsManagerClient,
        store: SecretsManagerStore,
        waits: list[float],
        code: str,
        status: int,
        attempts: int,
    ) -> None:
        calls = on_the_wire(client, refused(code, status))
        with pytest.raises(SecretStoreError, match=code):
            store.publish(ACCOUNT, VERSION, "token")
        assert calls == ["PutSecretValue"] * attempts
        assert len(waits) == attempts - 1

    @pytest.mark.parametrize(
        "lost",
        [
            pytest.param(ConnectTimeoutError(endpoint_url=MARK), id="no connection in time"),
            pytest.param(ReadTimeoutError(endpoint_url=MARK), id="no response in time"),
            pytest.param(EndpointConnectionError(endpoint_url=MARK), id="nobody there"),
        ],
    )
    def test_a_lost_call_is_made_three_times(
        self,
        client: SecretsManagerClient,
        store: SecretsManagerStore,
        waits: list[float],
        lost: Exception,
    ) -> None:
        def lose() -> AWSResponse:
            raise lost

        calls = on_the_wire(client, lose)
        with pytest.raises(SecretStoreError, match=type(lost).__name__) as failure:
            store.publish(ACCOUNT, VERSION, "token")
        assert len(calls) == 3
        assert len(waits) == 2
        assert failure_class_of(failure.value) is FailureClass.TRANSIENT

    def test_a_call_that_succeeds_at_the_second_try_is_a_success(
        self, client: SecretsManagerClient, store: SecretsManagerStore, waits: list[float]
    ) -> None:
        done = answered(b"{}")()
        answers = iter([refused("ThrottlingException")(), done])
        on_the_wire(client, lambda: next(answers))
        assert store.publish(ACCOUNT, VERSION, "token")
        assert len(waits) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "status", "failure_class"),
        [
            ("AccessDeniedException", 400, FailureClass.ACTION_REQUIRED),
            ("DecryptionFailure", 400, FailureClass.ACTION_REQUIRED),
            ("EncryptionFailure", 400, FailureClass.ACTION_REQUIRED),
            ("InvalidRequestException", 400, FailureClass.ACTION_REQUIRED),
            ("LimitExceededException", 400, FailureClass.ACTION_REQUIRED),
            # A secret that was just made may not be found by the next call.
            ("ResourceNotFoundException", 400, FailureClass.TRANSIENT),
            ("UnheardOf", 400, FailureClass.ACTION_REQUIRED),
            ("InternalServiceError", 500, FailureClass.TRANSIENT),
            ("ThrottlingException", 400, FailureClass.TRANSIENT),
            ("UnheardOf", 503, FailureClass.TRANSIENT),
        ],
    )
    def test_a_refusal_says_whether_action_is_required(
        self,
        store: SecretsManagerStore,
        stubber: Stubber,
        code: str,
        status: int,
        failure_class: FailureClass,
    ) -> None:
        stubber.add_client_error("put_secret_value", code, MARK, status)
        with pytest.raises(SecretStoreError) as refusal:
            store.publish(ACCOUNT, VERSION, MARK)
        error = refusal.value
        assert str(error).startswith(f"PutSecretValue failed: {code}")
        assert (error.code, failure_class_of(error)) == (code, failure_class)

    @pytest.mark.parametrize(
        ("write", "which"),
        [
            (SecretsManagerStore.publish, "token"),
            (SecretsManagerStore.stage, "token"),
            (SecretsManagerStore.write_protocol, "credentials"),
        ],
    )
    def test_a_secret_that_takes_no_version_is_named(
        self,
        store: SecretsManagerStore,
        stubber: Stubber,
        write: Callable[[SecretsManagerStore, str, str, str], bool],
        which: str,
    ) -> None:
        stubber.add_client_error("put_secret_value", "LimitExceededException", MARK, 400)
        with pytest.raises(SecretStoreError) as refusal:
            write(store, ACCOUNT, VERSION, MARK)
        assert str(refusal.value) == (
            f"PutSecretValue failed: LimitExceededException: the {which} secret was given too many "
            "versions in a day, or has twenty stages"
        )
        assert refusal.value.__suppress_context__

    def test_nothing_of_the_refusal_is_kept(
        self, store: SecretsManagerStore, stubber: Stubber
    ) -> None:
        """Secrets Manager's messages name secrets, versions and principals."""
        stubber.add_client_error("put_secret_value", "AccessDeniedException", MARK)
        with pytest.raises(SecretStoreError) as refusal:
            store.publish(ACCOUNT, VERSION, MARK)
        error = refusal.value
        assert error.__cause__ is None
        assert error.__suppress_context__
        assert MARK not in f"{error}{error!r}{error.args}{vars(error)}"

    def test_a_call_without_credentials_is_tried_later(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        def fail() -> AWSResponse:
            raise NoCredentialsError

        on_the_wire(client, fail)
        with pytest.raises(SecretStoreError, match="ListSecrets failed: NoCredentialsError") as (
            failure
        ):
            store.list_secrets()
        assert failure_class_of(failure.value) is FailureClass.TRANSIENT

    @pytest.mark.parametrize(
        ("operation", "method", "arguments"),
        [
            ("CreateSecret", "create_token_secret", ()),
            ("DescribeSecret", "describe_credentials", ()),
            ("DescribeSecret", "describe_token", ()),
            ("GetSecretValue", "read_version", (lease_id("a", 1),)),
            ("GetSecretValue", "read_credentials", ()),
            ("GetSecretValue", "read_journal", ()),
            ("GetSecretValue", "read_published", ()),
            ("PutSecretValue", "publish", (VERSION, "t")),
            ("PutSecretValue", "write_protocol", (VERSION, "j")),
            ("TagResource", "tag", ({"a": "b"},)),
            ("UntagResource", "untag", (["a"],)),
        ],
    )
    def test_every_call_names_its_operation(
        self,
        client: SecretsManagerClient,
        store: SecretsManagerStore,
        operation: str,
        method: str,
        arguments: tuple[object, ...],
    ) -> None:
        on_the_wire(client, refused("AccessDeniedException"))
        with pytest.raises(SecretStoreError, match=f"^{operation} failed: AccessDeniedException$"):
            getattr(store, method)(ACCOUNT, *arguments)


class TestWhatIsWritten:
    @pytest.mark.parametrize(
        ("act", "path", "stage", "version_id"),
        [
            (publish, "tokens", "AWSCURRENT", VERSION),
            (write_protocol, "credentials", "TOKENRESPONSE", VERSION),
            (write_protocol, "credentials", "TOKENREQUEST", lease_id("a", 1)),
            (write_protocol, "credentials", "TOKENRESPONSE", "AWSCURRENT" * 4),
        ],
        ids=["token", "journal", "lease", "an id that reads like a stage is a journal's"],
    )
    def test_each_write_names_its_stage(
        self,
        store: SecretsManagerStore,
        stubber: Stubber,
        act: Callable[[SecretsManagerStore, str], bool],
        path: str,
        stage: str,
        version_id: str,
    ) -> None:
        stubber.add_response(
            "put_secret_value",
            {},
            {
                "SecretId": f"oauth/{path}/{ACCOUNT}",
                "ClientRequestToken": version_id,
                "SecretString": "text",
                "VersionStages": [stage],
            },
        )
        assert act(store, version_id)

    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(lambda store: store.create_token_secret(ACCOUNT), id="CreateSecret"),
            pytest.param(lambda store: store.publish(ACCOUNT, VERSION, "t"), id="publish"),
            pytest.param(lambda store: store.write_protocol(ACCOUNT, VERSION, "j"), id="journal"),
            pytest.param(lambda store: store.tag(ACCOUNT, {"a": "b"}), id="TagResource"),
            pytest.param(lambda store: store.untag(ACCOUNT, ["a"]), id="UntagResource"),
        ],
    )
    def test_every_write_waits_for_its_turn(
        self,
        client: SecretsManagerClient,
        store: SecretsManagerStore,
        pace: CountingPace,
        act: Callable[[SecretsManagerStore], object],
    ) -> None:
        """A Region allows 50 of each kind a second; a failed sweep tags every account."""
        turns: list[int] = []

        def look() -> AWSResponse:
            turns.append(pace.turns)
            return answered(b"{}")()

        on_the_wire(client, look)
        act(store)
        assert turns == [1]

    def test_reads_wait_for_nothing(
        self, store: SecretsManagerStore, stubber: Stubber, pace: CountingPace
    ) -> None:
        stubber.add_response("describe_secret", {"ARN": ARN})
        store.describe_token(ACCOUNT)
        assert pace.turns == 0


class TestMetadata:
    def test_stages_tell_their_version(self, store: SecretsManagerStore, stubber: Stubber) -> None:
        stubber.add_response(
            "describe_secret",
            {
                "VersionIdsToStages": {
                    "b" * 32: ["AWSCURRENT", "TOKENRESPONSE"],
                    "a" * 32: ["own"],
                },
                "Tags": [{"Key": "token-refresher:failure", "Value": "e"}, {"Key": "empty"}],
            },
            {"SecretId": f"oauth/tokens/{ACCOUNT}"},
        )
        assert store.describe_token(ACCOUNT) == SecretMetadata(
            stages={"AWSCURRENT": "b" * 32, "TOKENRESPONSE": "b" * 32, "own": "a" * 32},
            tags={"token-refresher:failure": "e", "empty": ""},
        )

    def test_a_binary_value_has_no_text(self, store: SecretsManagerStore, stubber: Stubber) -> None:
        stubber.add_response("get_secret_value", {"VersionId": "v" * 32, "SecretBinary": b"{}"})
        value = store.read_credentials(ACCOUNT)
        assert value is not None
        assert (value.version_id, value.text) == ("v" * 32, None)

    def test_a_read_value_does_not_show(self, store: SecretsManagerStore, stubber: Stubber) -> None:
        stubber.add_response("get_secret_value", {"VersionId": "v" * 32, "SecretString": MARK})
        assert MARK not in repr(store.read_credentials(ACCOUNT))


class TestListing:
    @staticmethod
    def listing(
        client: SecretsManagerClient, pages: Callable[[str, str | None], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Answer listings by path and page token, and return what is asked."""
        asked: list[dict[str, Any]] = []

        def note(params: dict[str, Any], **_: object) -> None:
            asked.append(dict(params))

        def answer(params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
            body = json.loads(params["body"])
            page = pages(body["Filters"][0]["Values"][0], body.get("NextToken"))
            return AWSResponse("", 200, HeadersDict(), _Body()), page  # type: ignore[arg-type]

        events: Any = client.meta.events
        events.register("provide-client-params.secretsmanager.ListSecrets", note)
        events.register("before-call.secretsmanager.ListSecrets", answer)
        return asked

    def test_an_empty_page_may_be_followed_by_a_full_one(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        def pages(path: str, token: str | None) -> dict[str, Any]:
            if token is None:
                return {"SecretList": [], "NextToken": "1"}
            return {"SecretList": [{"Name": f"{path}a"}]}

        self.listing(client, pages)
        credentials, tokens = store.list_secrets()
        assert (list(credentials), list(tokens)) == (["a"], ["a"])

    def test_each_path_is_asked_for_by_its_whole_name_a_hundred_at_a_time(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        asked = self.listing(client, lambda *_: {"SecretList": []})
        store.list_secrets()
        assert sorted(asked, key=str) == [
            {"Filters": [{"Key": "name", "Values": ["oauth/credentials/"]}], "MaxResults": 100},
            {"Filters": [{"Key": "name", "Values": ["oauth/tokens/"]}], "MaxResults": 100},
        ]

    def test_what_a_listing_tells_is_kept_by_account(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        def pages(path: str, _: str | None) -> dict[str, Any]:
            entry = {
                "Name": f"{path}group/a.b@c",
                "SecretVersionsToStages": {VERSION: ["AWSCURRENT"]},
                "Tags": [{"Key": "k", "Value": "v"}],
            }
            strangers = [{"Name": path}, {"Name": path.upper() + "a"}, {"Name": "x/" + path}]
            return {"SecretList": [entry, *strangers]}

        self.listing(client, pages)
        expected = {"group/a.b@c": SecretMetadata({"AWSCURRENT": VERSION}, {"k": "v"})}
        assert store.list_secrets() == (expected, expected)

    def test_a_page_is_taken_as_the_json_that_it_is(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        """A parser of models would make a datetime of every moment, for most of a sweep's time."""
        entry = {
            "Name": f"oauth/tokens/{ACCOUNT}",
            "CreatedDate": 1795528800.5,
            "SecretVersionsToStages": {VERSION: ["AWSCURRENT"]},
            "Tags": [{"Key": "k", "Value": "v"}],
            "DeletedDate": 1795528800,
        }
        on_the_wire(client, answered(json.dumps({"SecretList": [entry]}).encode()))
        page: Any = client.list_secrets()
        assert page["SecretList"] == [entry]
        assert page["ResponseMetadata"]["HTTPStatusCode"] == 200
        _, tokens = store.list_secrets()
        deleted = SecretMetadata({"AWSCURRENT": VERSION}, {"k": "v"}, is_deleted=True)
        assert tokens == {ACCOUNT: deleted}

    def test_null_in_a_page_is_nothing(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        """A parser of models leaves it out: a secret must not be taken for deleted by it."""
        without = {"SecretVersionsToStages": None, "Tags": None, "DeletedDate": None}
        entry = {"Name": f"oauth/tokens/{ACCOUNT}", **without}
        page = {"SecretList": [entry], "NextToken": None}
        on_the_wire(client, answered(json.dumps(page).encode()))
        assert store.list_secrets() == ({}, {ACCOUNT: SecretMetadata()})

    def test_a_listing_that_is_refused_is_left_to_botocore(
        self, client: SecretsManagerClient, store: SecretsManagerStore
    ) -> None:
        on_the_wire(client, refused("AccessDeniedException"))
        with pytest.raises(SecretStoreError, match="ListSecrets failed: AccessDeniedException"):
            store.list_secrets()

    def test_a_page_that_is_no_json_is_left_to_botocore(self, client: SecretsManagerClient) -> None:
        on_the_wire(client, answered(b"<html>"))
        assert "SecretList" not in client.list_secrets()

    @pytest.mark.parametrize("failing", ["credentials", "tokens"])
    def test_half_a_listing_is_none(
        self, client: SecretsManagerClient, store: SecretsManagerStore, failing: str
    ) -> None:
        """Credentials without tokens would look as if nothing had ever been published."""

        def pages(path: str, _: str | None) -> dict[str, Any]:
            if failing in path:
                raise EndpointConnectionError(endpoint_url=MARK)
            return {"SecretList": []}

        self.listing(client, pages)
        with pytest.raises(SecretStoreError, match="ListSecrets"):
            store.list_secrets()


class TestPace:
    def test_a_regions_quota_is_never_reached(self) -> None:
        slept: list[float] = []
        pace = Pace(monotonic=lambda: 0.0, sleep=slept.append)
        for _ in range(1000):
            pace.wait()
        starts = [0.0, *slept]
        assert max(sum(start <= each < start + 1 for each in starts) for start in starts) < 50

    @pytest.mark.parametrize(
        "idle",
        [
            pytest.param(60.0, id="an idle minute is not saved up"),
            pytest.param(0.1, id="one who comes late does not wait"),
        ],
    )
    def test_a_turn_that_has_passed_is_gone(self, idle: float) -> None:
        now, slept = [0.0], list[float]()
        pace = Pace(monotonic=lambda: now[0], sleep=slept.append, per_second=10)
        pace.wait()
        now[0] = idle
        pace.wait()
        assert slept == []
        pace.wait()
        assert slept == pytest.approx([0.1])

    def test_every_thread_has_a_turn_of_its_own(self) -> None:
        slept: list[float] = []
        pace = Pace(monotonic=lambda: 0.0, sleep=slept.append, per_second=10)
        barrier = threading.Barrier(8)

        def write() -> None:
            barrier.wait()
            for _ in range(5):
                pace.wait()

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(slept) == pytest.approx([number / 10 for number in range(1, 40)])

    def test_nobody_waits_for_one_who_sleeps(self) -> None:
        """The lock is not held while sleeping: the others would miss their turns."""
        pace: Pace

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 1:
                other = threading.Thread(target=pace.wait)
                other.start()
                other.join(10)
                assert not other.is_alive()

        slept: list[float] = []
        pace = Pace(monotonic=lambda: 0.0, sleep=sleep, per_second=10)
        pace.wait()
        pace.wait()
        assert slept == pytest.approx([0.1, 0.2])
