"""What AWS documents of Secrets Manager holds for the doubles that the other tests rely on.

Each test is one sentence of the documentation. Run against another emulator they say what it
would let a program get away with. Where only the emulator is tried, the double in memory lacks
the operation, and says so when it is called.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.secrets_manager.client import MemoryClient
from local.secrets_manager.memory import SecretsManager
from local.secrets_manager.versions import MOST_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.clock import DrivenClock
    from local.embedded_cloud import EmbeddedCloud

NAME = "oauth/tokens/dealer-17"
FIRST, SECOND, THIRD = (f"{word}-{'0' * 32}" for word in ("first", "second", "third"))
RACERS = 8
A_DAY = timedelta(days=1)


emulator_only = pytest.mark.parametrize("secrets", ["emulator"], indirect=True)


@pytest.fixture(params=["emulator", "memory"])
def secrets(request: pytest.FixtureRequest, clock: DrivenClock) -> SecretsManagerClient:
    """A client of a double without secrets."""
    if request.param == "memory":
        manager = SecretsManager(lambda: clock.now().timestamp())
        return cast("SecretsManagerClient", MemoryClient(manager.answer))
    cloud: EmbeddedCloud = request.getfixturevalue("cloud")
    # What is refused by the service is not to be refused before it is sent.
    return cloud.client(config=Config(parameter_validation=False))


@pytest.fixture
def advance(request: pytest.FixtureRequest, clock: DrivenClock) -> Callable[[timedelta], object]:
    """Let time pass at the double."""
    is_memory = request.node.callspec.params["secrets"] == "memory"
    return clock.advance if is_memory else request.getfixturevalue("cloud").advance


@pytest.fixture
def secret(secrets: SecretsManagerClient) -> str:
    """A secret with one version."""
    secrets.create_secret(Name=NAME, SecretString="a", ClientRequestToken=FIRST)
    return NAME


@pytest.fixture
def twenty_five(secrets: SecretsManagerClient) -> list[str]:
    """Secrets under two prefixes, in alphabetical order."""
    names = [f"list/{'A' if number < 12 else 'b'}/{number:02d}" for number in range(25)]
    for number, name in enumerate(names):
        secrets.create_secret(Name=name, SecretString=f"v{number}")
    return names


@contextmanager
def refused(*codes: str) -> Iterator[None]:
    """Expect one of these error codes; AWS documents several for some mistakes."""
    with pytest.raises(ClientError) as refusal:
        yield
    assert refusal.value.response["Error"]["Code"] in codes


def put(secrets: SecretsManagerClient, version_id: str, value: str, *stages: str) -> list[str]:
    listed: dict[str, Any] = {"VersionStages": list(stages)} if stages else {}
    return secrets.put_secret_value(
        SecretId=NAME, SecretString=value, ClientRequestToken=version_id, **listed
    )["VersionStages"]


def version(number: int) -> str:
    return f"version-{number:040d}"


def fill(secrets: SecretsManagerClient, number: int) -> None:
    """Put so many versions, one after the other."""
    for each in range(number):
        put(secrets, version(each), str(each))


def oldest(secrets: SecretsManagerClient, number: int) -> list[str]:
    """Those of so many versions that are there, read by their ids."""
    found = []
    for each in range(number):
        with suppress(ClientError):
            found.append(secrets.get_secret_value(SecretId=NAME, VersionId=version(each)))
    return [read["VersionId"] for read in found]


def stages(secrets: SecretsManagerClient) -> dict[str, list[str]]:
    shown = secrets.describe_secret(SecretId=NAME).get("VersionIdsToStages", {})
    return {version_id: sorted(its_stages) for version_id, its_stages in shown.items()}


def listed(secrets: SecretsManagerClient, beginning: str) -> list[str]:
    wanted: Any = [{"Key": "name", "Values": [beginning]}]
    return sorted(entry["Name"] for page in pages(secrets, Filters=wanted) for entry in page)


def pages(secrets: SecretsManagerClient, **asked: Any) -> list[list[Any]]:  # noqa: ANN401
    """All pages of a listing."""
    found: list[Any] = [secrets.list_secrets(**asked)]
    while "NextToken" in found[-1]:
        found.append(secrets.list_secrets(**asked, NextToken=found[-1]["NextToken"]))
    return [page["SecretList"] for page in found]


def at_once(act: Callable[[int], object]) -> None:
    """Run something in several threads that start together."""
    barrier = threading.Barrier(RACERS)

    def race(number: int) -> None:
        barrier.wait()
        act(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestCreatingASecret:
    def test_the_request_token_becomes_the_version_id(self, secrets: SecretsManagerClient) -> None:
        created = secrets.create_secret(
            Name=NAME, SecretString="a", ClientRequestToken=FIRST, Description="d"
        )
        assert created["VersionId"] == FIRST
        assert stages(secrets) == {FIRST: ["AWSCURRENT"]}

    def test_tags_and_description_are_kept(self, secrets: SecretsManagerClient) -> None:
        tags: Any = [{"Key": "team", "Value": "x"}]
        secrets.create_secret(Name=NAME, SecretString="a", Tags=tags, Description="d")
        described = secrets.describe_secret(SecretId=NAME)
        assert (described["Tags"], described["Description"]) == (tags, "d")

    def test_an_arn_ends_in_six_random_characters(self, secrets: SecretsManagerClient) -> None:
        arn = secrets.create_secret(Name=NAME, SecretString="a")["ARN"]
        beginning, _, random_part = arn.rpartition("-")
        assert len(random_part) == 6
        assert beginning.startswith("arn:aws:secretsmanager:eu-west-1:")
        assert beginning.endswith(f":secret:{NAME}")

    @pytest.mark.usefixtures("secret")
    def test_a_name_that_is_taken_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("ResourceExistsException"):
            secrets.create_secret(Name=NAME, SecretString="b")

    @pytest.mark.usefixtures("secret")
    def test_a_repeated_creation_changes_nothing(self, secrets: SecretsManagerClient) -> None:
        arn = secrets.describe_secret(SecretId=NAME)["ARN"]
        again = secrets.create_secret(Name=NAME, SecretString="a", ClientRequestToken=FIRST)
        assert again["ARN"] == arn
        assert stages(secrets) == {FIRST: ["AWSCURRENT"]}

    @pytest.mark.usefixtures("secret")
    def test_a_repeated_creation_with_another_value_is_refused(
        self, secrets: SecretsManagerClient
    ) -> None:
        with refused("ResourceExistsException"):
            secrets.create_secret(Name=NAME, SecretString="z", ClientRequestToken=FIRST)

    def test_a_name_with_other_characters_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.create_secret(Name="bad name!", SecretString="x")

    @pytest.mark.usefixtures("secret")
    def test_a_name_that_is_marked_for_deletion_is_refused(
        self, secrets: SecretsManagerClient
    ) -> None:
        secrets.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
        with refused("InvalidRequestException"):
            secrets.create_secret(Name=NAME, SecretString="n")


class TestASecretWithoutAValue:
    def test_has_no_versions(self, secrets: SecretsManagerClient) -> None:
        created: Any = secrets.create_secret(Name=NAME)
        assert "VersionId" not in created
        assert "VersionIdsToStages" not in secrets.describe_secret(SecretId=NAME)
        assert "SecretVersionsToStages" not in secrets.list_secrets()["SecretList"][0]

    @emulator_only
    def test_lists_no_versions(self, secrets: SecretsManagerClient) -> None:
        secrets.create_secret(Name=NAME)
        versions = secrets.list_secret_version_ids(SecretId=NAME, IncludeDeprecated=True)
        assert versions["Versions"] == []

    def test_cannot_be_read(self, secrets: SecretsManagerClient) -> None:
        secrets.create_secret(Name=NAME)
        with refused("ResourceNotFoundException"):
            secrets.get_secret_value(SecretId=NAME)

    def test_its_first_version_becomes_current_whatever_is_listed(
        self, secrets: SecretsManagerClient
    ) -> None:
        secrets.create_secret(Name=NAME)
        put(secrets, FIRST, "a", "CUSTOM")
        assert stages(secrets) == {FIRST: ["AWSCURRENT", "CUSTOM"]}


@pytest.mark.usefixtures("secret")
class TestPuttingAVersion:
    def test_the_current_version_becomes_the_previous_one(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b")
        assert stages(secrets) == {FIRST: ["AWSPREVIOUS"], SECOND: ["AWSCURRENT"]}

    def test_a_version_without_stages_is_not_described(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b")
        put(secrets, THIRD, "c")
        assert stages(secrets) == {SECOND: ["AWSPREVIOUS"], THIRD: ["AWSCURRENT"]}

    def test_the_same_value_under_a_used_id_changes_nothing(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b")
        before = stages(secrets)
        put(secrets, SECOND, "b")
        assert stages(secrets) == before

    def test_a_late_retry_does_not_move_stages_back(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b")
        before = stages(secrets)
        put(secrets, FIRST, "a")
        assert stages(secrets) == before

    def test_another_value_under_a_used_id_is_refused(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b")
        with refused("ResourceExistsException"):
            put(secrets, SECOND, "other")
        assert secrets.get_secret_value(SecretId=NAME)["SecretString"] == "b"

    def test_only_the_listed_stages_move(self, secrets: SecretsManagerClient) -> None:
        assert put(secrets, SECOND, "b", "CUSTOM") == ["CUSTOM"]
        assert stages(secrets) == {FIRST: ["AWSCURRENT"], SECOND: ["CUSTOM"]}
        assert secrets.get_secret_value(SecretId=NAME)["SecretString"] == "a"
        custom = secrets.get_secret_value(SecretId=NAME, VersionStage="CUSTOM")
        assert custom["SecretString"] == "b"

    def test_a_custom_stage_leaves_the_version_that_had_it(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "CUSTOM")
        put(secrets, THIRD, "c", "CUSTOM")
        assert stages(secrets) == {FIRST: ["AWSCURRENT"], THIRD: ["CUSTOM"]}

    def test_several_stages_move_together(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b", "AWSCURRENT", "GOOD")
        assert stages(secrets) == {FIRST: ["AWSPREVIOUS"], SECOND: ["AWSCURRENT", "GOOD"]}

    def test_a_custom_stage_survives_the_versions_that_follow(
        self, secrets: SecretsManagerClient
    ) -> None:
        secrets.update_secret_version_stage(
            SecretId=NAME, VersionStage="PINNED", MoveToVersionId=FIRST
        )
        put(secrets, SECOND, "b")
        put(secrets, THIRD, "c")
        assert stages(secrets) == {
            FIRST: ["PINNED"],
            SECOND: ["AWSPREVIOUS"],
            THIRD: ["AWSCURRENT"],
        }

    @emulator_only
    def test_versions_without_stages_are_listed_only_on_request(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b")
        put(secrets, THIRD, "c")
        shown = secrets.list_secret_version_ids(SecretId=NAME)
        every = secrets.list_secret_version_ids(SecretId=NAME, IncludeDeprecated=True)
        assert {version["VersionId"] for version in shown["Versions"]} == {SECOND, THIRD}
        assert {version["VersionId"] for version in every["Versions"]} == {FIRST, SECOND, THIRD}

    def test_a_version_without_stages_can_be_read_by_its_id(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b")
        put(secrets, THIRD, "c")
        read = secrets.get_secret_value(SecretId=NAME, VersionId=FIRST)
        assert read["SecretString"] == "a"

    @pytest.mark.parametrize(
        "version_id",
        [
            pytest.param("v" * 65, id="one of 65 characters"),
            pytest.param("v" * 31, id="one of 31 characters"),
        ],
    )
    def test_a_version_id_has_32_to_64_characters(
        self, secrets: SecretsManagerClient, version_id: str
    ) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            put(secrets, version_id, "b")

    def test_of_several_writers_under_one_id_exactly_one_wins(
        self, secrets: SecretsManagerClient
    ) -> None:
        won: list[int] = []

        def lease(number: int) -> None:
            try:
                put(secrets, SECOND, f"run {number}", "LEASE")
            except ClientError:
                return
            won.append(number)

        at_once(lease)
        leased = secrets.get_secret_value(SecretId=NAME, VersionStage="LEASE")
        assert [leased["SecretString"]] == [f"run {number}" for number in won]

    def test_simultaneous_writers_leave_one_current_and_one_previous(
        self, secrets: SecretsManagerClient
    ) -> None:
        at_once(lambda number: put(secrets, str(uuid.uuid4()), f"w{number}"))
        attached = sorted(stage for shown in stages(secrets).values() for stage in shown)
        assert attached == ["AWSCURRENT", "AWSPREVIOUS"]


@pytest.mark.usefixtures("secret")
class TestHowManyVersionsThereAre:
    """At which AWS refuses another is not documented; that it is above one in ten minutes is."""

    def test_versions_of_one_day_are_all_kept(self, secrets: SecretsManagerClient) -> None:
        fill(secrets, 120)
        assert oldest(secrets, 120) == [version(number) for number in range(120)]

    def test_one_in_ten_minutes_is_taken(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b", "AWSPENDING")
        put(secrets, THIRD, "c", "TOKENREQUEST")
        fill(secrets, 144)

    def test_more_than_a_day_should_have_are_refused(self, secrets: SecretsManagerClient) -> None:
        fill(secrets, MOST_VERSIONS - 1)
        with refused("LimitExceededException"):
            put(secrets, SECOND, "b")
        assert secrets.get_secret_value(SecretId=NAME)["VersionId"] == version(148)

    def test_a_version_that_is_there_can_be_put_again(self, secrets: SecretsManagerClient) -> None:
        fill(secrets, MOST_VERSIONS - 1)
        put(secrets, FIRST, "a")

    def test_a_day_later_there_is_room(
        self, secrets: SecretsManagerClient, advance: Callable[[timedelta], object]
    ) -> None:
        fill(secrets, MOST_VERSIONS - 1)
        advance(A_DAY)
        put(secrets, SECOND, "b")
        assert stages(secrets) == {version(148): ["AWSPREVIOUS"], SECOND: ["AWSCURRENT"]}

    def test_of_those_without_a_stage_that_are_a_day_old_the_oldest_go_above_a_hundred(
        self, secrets: SecretsManagerClient, advance: Callable[[timedelta], object]
    ) -> None:
        fill(secrets, 109)
        advance(A_DAY)
        put(secrets, SECOND, "b")
        # With the first one of the secret eleven are gone, and a hundred are there.
        assert oldest(secrets, 109) == [version(number) for number in range(10, 109)]

    def test_what_has_a_stage_stays(
        self, secrets: SecretsManagerClient, advance: Callable[[timedelta], object]
    ) -> None:
        put(secrets, SECOND, "b", "PINNED")
        fill(secrets, 140)
        advance(A_DAY)
        put(secrets, THIRD, "c")
        pinned = secrets.get_secret_value(SecretId=NAME, VersionStage="PINNED")
        assert pinned["SecretString"] == "b"


@pytest.mark.usefixtures("secret")
class TestValues:
    def test_a_value_may_have_65536_bytes(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "x" * 65_536)
        assert len(secrets.get_secret_value(SecretId=NAME)["SecretString"]) == 65_536

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("x" * 65_537, id="65,537 characters"),
            pytest.param("é" * 40_000, id="80,000 bytes in 40,000 characters"),
        ],
    )
    def test_a_longer_value_is_refused(self, secrets: SecretsManagerClient, value: str) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            put(secrets, SECOND, value)

    def test_a_longer_value_is_refused_at_creation_too(self, secrets: SecretsManagerClient) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.create_secret(Name="other", SecretString="x" * 65_537)

    def test_text_and_bytes_exclude_each_other(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidParameterException", "ValidationException", "InvalidRequestException"):
            secrets.put_secret_value(SecretId=NAME, SecretString="x", SecretBinary=b"y")

    def test_bytes_are_returned_as_they_were_put(self, secrets: SecretsManagerClient) -> None:
        secrets.put_secret_value(SecretId=NAME, SecretBinary=b"\x00\xff")
        assert secrets.get_secret_value(SecretId=NAME)["SecretBinary"] == b"\x00\xff"

    def test_a_version_without_a_value_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidRequestException", "InvalidParameterException", "ValidationException"):
            secrets.put_secret_value(SecretId=NAME)


@pytest.mark.usefixtures("secret")
class TestMovingStages:
    def test_a_new_stage_needs_no_version_to_leave(self, secrets: SecretsManagerClient) -> None:
        secrets.update_secret_version_stage(SecretId=NAME, VersionStage="L", MoveToVersionId=FIRST)
        assert stages(secrets) == {FIRST: ["AWSCURRENT", "L"]}

    def test_an_attached_stage_moves_only_away_from_a_named_version(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "L")
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage="L", MoveToVersionId=FIRST
            )

    def test_the_current_stage_moves_only_away_from_a_named_version(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "L")
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage="AWSCURRENT", MoveToVersionId=SECOND
            )

    def test_a_stage_does_not_leave_a_version_that_does_not_have_it(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "L")
        before = stages(secrets)
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME,
                VersionStage="AWSCURRENT",
                MoveToVersionId=SECOND,
                RemoveFromVersionId=SECOND,
            )
        assert stages(secrets) == before

    def test_a_custom_stage_does_not_leave_a_version_that_does_not_have_it(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "L")
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME,
                VersionStage="L",
                MoveToVersionId=SECOND,
                RemoveFromVersionId=FIRST,
            )

    def test_the_version_that_current_leaves_becomes_previous(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "AWSPENDING")
        secrets.update_secret_version_stage(
            SecretId=NAME,
            VersionStage="AWSCURRENT",
            MoveToVersionId=SECOND,
            RemoveFromVersionId=FIRST,
        )
        assert stages(secrets) == {FIRST: ["AWSPREVIOUS"], SECOND: ["AWSCURRENT", "AWSPENDING"]}

    def test_a_rollback_swaps_current_and_previous(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b")
        secrets.update_secret_version_stage(
            SecretId=NAME,
            VersionStage="AWSCURRENT",
            MoveToVersionId=FIRST,
            RemoveFromVersionId=SECOND,
        )
        assert stages(secrets) == {FIRST: ["AWSCURRENT"], SECOND: ["AWSPREVIOUS"]}

    def test_a_reading_is_of_the_version_that_current_has_moved_to(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "AWSPENDING")
        secrets.update_secret_version_stage(
            SecretId=NAME,
            VersionStage="AWSCURRENT",
            MoveToVersionId=SECOND,
            RemoveFromVersionId=FIRST,
        )
        by_name = secrets.get_secret_value(SecretId=NAME)
        by_stage = secrets.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
        assert (by_name["VersionId"], by_stage["VersionId"]) == (SECOND, SECOND)

    def test_a_version_whose_last_stage_is_removed_is_not_described(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b", "L")
        secrets.update_secret_version_stage(
            SecretId=NAME, VersionStage="L", RemoveFromVersionId=SECOND
        )
        assert stages(secrets) == {FIRST: ["AWSCURRENT"]}

    def test_the_current_stage_cannot_be_removed(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage="AWSCURRENT", RemoveFromVersionId=FIRST
            )

    def test_a_stage_cannot_move_to_a_missing_version(self, secrets: SecretsManagerClient) -> None:
        with refused("ResourceNotFoundException"):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage="L", MoveToVersionId=SECOND
            )

    def test_a_move_names_at_least_one_version(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidParameterException"):
            secrets.update_secret_version_stage(SecretId=NAME, VersionStage="L")

    def test_a_secret_has_at_most_twenty_stages(self, secrets: SecretsManagerClient) -> None:
        for number in range(19):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage=f"L{number}", MoveToVersionId=FIRST
            )
        with refused("LimitExceededException", "InvalidParameterException"):
            secrets.update_secret_version_stage(
                SecretId=NAME, VersionStage="ONE-TOO-MANY", MoveToVersionId=FIRST
            )

    def test_of_several_movers_exactly_one_wins(self, secrets: SecretsManagerClient) -> None:
        candidates = [f"candidate-{number:032d}" for number in range(RACERS)]
        for number, version_id in enumerate(candidates):
            put(secrets, version_id, f"w{number}", f"W{number}")
        won: list[str] = []
        lost: list[str] = []

        def move(number: int) -> None:
            try:
                secrets.update_secret_version_stage(
                    SecretId=NAME,
                    VersionStage="AWSCURRENT",
                    MoveToVersionId=candidates[number],
                    RemoveFromVersionId=FIRST,
                )
            except ClientError as refusal:
                lost.append(refusal.response["Error"]["Code"])
            else:
                won.append(candidates[number])

        at_once(move)
        current = [version for version, shown in stages(secrets).items() if "AWSCURRENT" in shown]
        assert len(won) == 1
        assert current == won
        assert set(lost) == {"InvalidParameterException"}


@pytest.mark.usefixtures("secret")
class TestReading:
    @pytest.mark.parametrize(
        "which",
        [
            pytest.param({"VersionStage": "NOPE"}, id="a stage on no version"),
            pytest.param({"VersionId": SECOND}, id="an unknown version"),
        ],
    )
    def test_what_does_not_exist_is_not_found(
        self, secrets: SecretsManagerClient, which: dict[str, str]
    ) -> None:
        with refused("ResourceNotFoundException"):
            secrets.get_secret_value(SecretId=NAME, **which)

    def test_a_missing_secret_is_not_found(self, secrets: SecretsManagerClient) -> None:
        with refused("ResourceNotFoundException"):
            secrets.get_secret_value(SecretId="nobody")

    def test_a_version_and_a_stage_that_disagree_are_refused(
        self, secrets: SecretsManagerClient
    ) -> None:
        put(secrets, SECOND, "b")
        codes = (
            "InvalidRequestException",
            "ResourceNotFoundException",
            "InvalidParameterException",
        )
        with refused(*codes):
            secrets.get_secret_value(SecretId=NAME, VersionId=FIRST, VersionStage="AWSCURRENT")

    def test_a_reading_names_its_version_and_stages(self, secrets: SecretsManagerClient) -> None:
        read = secrets.get_secret_value(SecretId=NAME)
        assert (read["VersionId"], read["VersionStages"]) == (FIRST, ["AWSCURRENT"])

    @emulator_only
    def test_a_secret_is_found_by_its_arn_and_by_its_arn_without_the_suffix(
        self, secrets: SecretsManagerClient
    ) -> None:
        arn = secrets.describe_secret(SecretId=NAME)["ARN"]
        for secret_id in (arn, arn.rpartition("-")[0]):
            assert secrets.get_secret_value(SecretId=secret_id)["SecretString"] == "a"

    def test_a_description_has_its_dates(self, secrets: SecretsManagerClient) -> None:
        secrets.get_secret_value(SecretId=NAME)
        described = secrets.describe_secret(SecretId=NAME)
        assert {"CreatedDate", "LastChangedDate", "LastAccessedDate"} <= described.keys()


@pytest.mark.usefixtures("secret")
class TestUpdating:
    @emulator_only
    def test_an_update_with_a_value_makes_a_version(self, secrets: SecretsManagerClient) -> None:
        updated = secrets.update_secret(
            SecretId=NAME, SecretString="b", ClientRequestToken=SECOND, Description="new"
        )
        assert updated["VersionId"] == SECOND
        assert stages(secrets) == {FIRST: ["AWSPREVIOUS"], SECOND: ["AWSCURRENT"]}
        assert secrets.describe_secret(SecretId=NAME)["Description"] == "new"

    @emulator_only
    def test_an_update_without_a_value_makes_none(self, secrets: SecretsManagerClient) -> None:
        secrets.update_secret(SecretId=NAME, Description="q")
        assert stages(secrets) == {FIRST: ["AWSCURRENT"]}

    def test_tags_are_added_replaced_and_removed(self, secrets: SecretsManagerClient) -> None:
        one: Any = [{"Key": "a", "Value": "1"}]
        secrets.tag_resource(SecretId=NAME, Tags=one)
        more: Any = [{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "9"}]
        secrets.tag_resource(SecretId=NAME, Tags=more)
        tags = secrets.describe_secret(SecretId=NAME)["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "9", "b": "2"}
        secrets.untag_resource(SecretId=NAME, TagKeys=["a", "never-there"])
        assert secrets.describe_secret(SecretId=NAME)["Tags"] == [{"Key": "b", "Value": "2"}]

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("x" * 257, id="more than 256 characters"),
            pytest.param('{"n": 1}', id="characters of JSON"),
        ],
    )
    def test_a_tag_value_that_aws_does_not_take_is_refused(
        self, secrets: SecretsManagerClient, value: str
    ) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.tag_resource(SecretId=NAME, Tags=[{"Key": "a", "Value": value}])

    def test_more_than_fifty_tags_are_refused(self, secrets: SecretsManagerClient) -> None:
        """By one of the codes that TagResource documents: a quota is none of them."""
        tags: Any = [{"Key": str(number), "Value": ""} for number in range(51)]
        with refused("InvalidParameterException"):
            secrets.tag_resource(SecretId=NAME, Tags=tags)
        secrets.tag_resource(SecretId=NAME, Tags=tags[1:])

    @emulator_only
    def test_rotation_without_a_function_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidRequestException"):
            secrets.rotate_secret(SecretId=NAME)


class TestListing:
    def test_a_name_filter_is_a_prefix(
        self, secrets: SecretsManagerClient, twenty_five: list[str]
    ) -> None:
        assert listed(secrets, "list/") == twenty_five
        assert listed(secrets, "list/A/") == twenty_five[:12]

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("list/a/", id="another case"),
            pytest.param("ist/A", id="the middle of a name"),
        ],
    )
    @pytest.mark.usefixtures("twenty_five")
    def test_a_name_filter_does_not_find(self, secrets: SecretsManagerClient, name: str) -> None:
        assert listed(secrets, name) == []

    @pytest.mark.usefixtures("twenty_five")
    def test_pages_are_as_long_as_asked(self, secrets: SecretsManagerClient) -> None:
        assert [len(page) for page in pages(secrets, MaxResults=10)] == [10, 10, 5]

    @pytest.mark.usefixtures("secret")
    def test_an_entry_tells_its_versions_and_stages(self, secrets: SecretsManagerClient) -> None:
        put(secrets, SECOND, "b")
        put(secrets, THIRD, "c")
        [entry] = secrets.list_secrets()["SecretList"]
        assert entry["SecretVersionsToStages"] == {SECOND: ["AWSPREVIOUS"], THIRD: ["AWSCURRENT"]}

    def test_an_unknown_filter_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.list_secrets(Filters=[{"Key": "bogus", "Values": ["x"]}])  # type: ignore[typeddict-item]

    def test_an_unknown_page_token_is_refused(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidNextTokenException"):
            secrets.list_secrets(NextToken="garbage!!")

    def test_a_page_has_at_most_100_entries(self, secrets: SecretsManagerClient) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.list_secrets(MaxResults=101)


@emulator_only
class TestBatches:
    def test_missing_secrets_are_reported_beside_those_found(
        self, secrets: SecretsManagerClient, twenty_five: list[str]
    ) -> None:
        batch = secrets.batch_get_secret_value(SecretIdList=[*twenty_five[:3], "nobody"])
        assert {found["Name"]: found["SecretString"] for found in batch["SecretValues"]} == dict(
            zip(twenty_five[:3], ("v0", "v1", "v2"), strict=True)
        )
        assert [(error["SecretId"], error["ErrorCode"]) for error in batch["Errors"]] == [
            ("nobody", "ResourceNotFoundException")
        ]

    def test_twenty_secrets_are_a_batch(
        self, secrets: SecretsManagerClient, twenty_five: list[str]
    ) -> None:
        batch = secrets.batch_get_secret_value(SecretIdList=twenty_five[:20])
        assert len(batch["SecretValues"]) == 20

    def test_twenty_one_secrets_are_refused(
        self, secrets: SecretsManagerClient, twenty_five: list[str]
    ) -> None:
        with refused("ValidationException", "InvalidParameterException"):
            secrets.batch_get_secret_value(SecretIdList=twenty_five[:21])


@pytest.mark.usefixtures("secret")
class TestDeleting:
    @pytest.fixture
    def marked(self, secrets: SecretsManagerClient, secret: str) -> SecretsManagerClient:
        """A client whose one secret is marked for deletion."""
        secrets.delete_secret(SecretId=secret, RecoveryWindowInDays=7)
        return secrets

    def test_a_marked_secret_cannot_be_read(self, marked: SecretsManagerClient) -> None:
        with refused("InvalidRequestException"):
            marked.get_secret_value(SecretId=NAME)

    def test_a_marked_secret_cannot_be_written(self, marked: SecretsManagerClient) -> None:
        with refused("InvalidRequestException"):
            put(marked, SECOND, "z")

    def test_a_marked_secret_cannot_be_tagged(self, marked: SecretsManagerClient) -> None:
        with refused("InvalidRequestException"):
            marked.tag_resource(SecretId=NAME, Tags=[{"Key": "a", "Value": "1"}])
        with refused("InvalidRequestException"):
            marked.untag_resource(SecretId=NAME, TagKeys=["a"])

    def test_a_marked_secret_can_be_described(self, marked: SecretsManagerClient) -> None:
        assert "DeletedDate" in marked.describe_secret(SecretId=NAME)

    def test_a_marked_secret_is_listed_only_on_request(self, marked: SecretsManagerClient) -> None:
        assert marked.list_secrets()["SecretList"] == []
        [entry] = marked.list_secrets(IncludePlannedDeletion=True)["SecretList"]
        assert "DeletedDate" in entry

    @emulator_only
    def test_a_marked_secret_can_be_restored(self, marked: SecretsManagerClient) -> None:
        marked.restore_secret(SecretId=NAME)
        assert marked.get_secret_value(SecretId=NAME)["SecretString"] == "a"

    @emulator_only
    def test_what_is_not_there_can_be_deleted_by_force_alone(
        self, secrets: SecretsManagerClient
    ) -> None:
        secrets.delete_secret(SecretId="never-there", ForceDeleteWithoutRecovery=True)
        with refused("ResourceNotFoundException"):
            secrets.delete_secret(SecretId="never-there")

    def test_a_recovery_window_has_at_least_seven_days(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidParameterException", "ValidationException"):
            secrets.delete_secret(SecretId=NAME, RecoveryWindowInDays=3)


@pytest.mark.usefixtures("secret")
class TestReplicating:
    REGION = "eu-central-1"

    @pytest.fixture
    def replicated(self, secrets: SecretsManagerClient) -> SecretsManagerClient:
        """A client whose one secret has a replica."""
        self.replicate(secrets, self.REGION)
        return secrets

    @staticmethod
    def replicate(secrets: SecretsManagerClient, *regions: str) -> dict[str, str]:
        added: Any = [{"Region": region} for region in regions]
        told = secrets.replicate_secret_to_regions(SecretId=NAME, AddReplicaRegions=added)
        return {each["Region"]: each["Status"] for each in told["ReplicationStatus"]}

    @staticmethod
    def there(cloud: EmbeddedCloud) -> SecretsManagerClient:
        return cloud.client(region=TestReplicating.REGION)

    def test_a_description_tells_each_region_and_a_listing_none(
        self, secrets: SecretsManagerClient
    ) -> None:
        assert self.replicate(secrets, self.REGION) == {self.REGION: "InSync"}
        assert self.replicate(secrets, "us-east-1").keys() == {self.REGION, "us-east-1"}
        told = secrets.describe_secret(SecretId=NAME)["ReplicationStatus"]
        assert {each["Region"]: each["Status"] for each in told} == {
            self.REGION: "InSync",
            "us-east-1": "InSync",
        }
        [entry] = secrets.list_secrets()["SecretList"]
        assert "ReplicationStatus" not in entry

    def test_a_secret_is_no_replica_of_itself(self, secrets: SecretsManagerClient) -> None:
        with refused("InvalidParameterException"):
            self.replicate(secrets, "eu-west-1")

    def test_a_secret_with_replicas_cannot_be_deleted(
        self, replicated: SecretsManagerClient
    ) -> None:
        with refused("InvalidParameterException", "InvalidRequestException"):
            replicated.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)

    @emulator_only
    def test_a_replica_has_the_versions_the_stages_and_the_tags_of_its_primary(
        self, replicated: SecretsManagerClient, cloud: EmbeddedCloud
    ) -> None:
        put(replicated, SECOND, "b")
        replicated.tag_resource(SecretId=NAME, Tags=[{"Key": "team", "Value": "payments"}])
        there = self.there(cloud)
        assert there.get_secret_value(SecretId=NAME)["SecretString"] == "b"
        assert (
            stages(there) == stages(replicated) == {FIRST: ["AWSPREVIOUS"], SECOND: ["AWSCURRENT"]}
        )
        here, copy = (each.describe_secret(SecretId=NAME) for each in (replicated, there))
        assert copy["Tags"] == here["Tags"] == [{"Key": "team", "Value": "payments"}]
        assert copy["ARN"] == here["ARN"].replace("eu-west-1", self.REGION)

    @emulator_only
    def test_a_replica_is_changed_where_its_primary_is(
        self, replicated: SecretsManagerClient, cloud: EmbeddedCloud
    ) -> None:
        del replicated
        there = self.there(cloud)
        # Which of the two is not documented.
        with refused("InvalidRequestException", "InvalidParameterException"):
            put(there, SECOND, "b")
        with refused("InvalidRequestException", "InvalidParameterException"):
            there.tag_resource(SecretId=NAME, Tags=[{"Key": "a", "Value": "b"}])

    @emulator_only
    def test_a_secret_of_its_name_fails_the_replication_and_stays(
        self, secrets: SecretsManagerClient, cloud: EmbeddedCloud
    ) -> None:
        there = self.there(cloud)
        there.create_secret(Name=NAME, SecretString="theirs")
        assert self.replicate(secrets, self.REGION) == {self.REGION: "Failed"}
        put(secrets, SECOND, "b")
        assert there.get_secret_value(SecretId=NAME)["SecretString"] == "theirs"

    @emulator_only
    def test_a_replica_that_is_promoted_is_a_secret_of_its_own(
        self, replicated: SecretsManagerClient, cloud: EmbeddedCloud
    ) -> None:
        there = self.there(cloud)
        there.stop_replication_to_replica(SecretId=NAME)
        put(replicated, SECOND, "b")
        put(there, THIRD, "c")
        assert there.get_secret_value(SecretId=NAME)["SecretString"] == "c"
        assert not replicated.describe_secret(SecretId=NAME).get("ReplicationStatus")

    @emulator_only
    def test_a_replica_that_is_removed_is_gone(
        self, replicated: SecretsManagerClient, cloud: EmbeddedCloud
    ) -> None:
        replicated.remove_regions_from_replication(
            SecretId=NAME, RemoveReplicaRegions=[self.REGION]
        )
        with refused("ResourceNotFoundException"):
            self.there(cloud).describe_secret(SecretId=NAME)
        replicated.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
