"""The function as it is invoked: events, summaries, log lines and metrics, all in memory."""

from __future__ import annotations

import gc
import json
import logging
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO, cast

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    INVOCATION,
    MINUTE,
    PASSWORD,
    TICK,
    UNTIL_DUE,
    RunKilledError,
    World,
    denied,
    throttled,
    timed_out,
)
from token_refresher.announcing import Announcer
from token_refresher.errors import EventError, SecretStoreError, UnexpectedError
from token_refresher.events import Step
from token_refresher.handler import Handler, replicator, utc_now
from token_refresher.oauth.errors import TokenRequestError
from token_refresher.reporting import METRICS
from token_refresher.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from token_refresher.ports import Announcement

MARKED = {**PASSWORD, "client_secret": "MARK-client", "password": "MARK-password"}


class Context:
    """An invocation, and what is left of its time."""

    aws_request_id = "request-1"

    def __init__(self, left: timedelta = INVOCATION) -> None:
        self.left = left

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left.total_seconds() * 1000)


@pytest.fixture
def world() -> World:
    return World()


class Bus:
    """An event bus that takes all, or refuses all.

    Attributes:
        put_so_far: What it has taken.
        code: Why it refuses.
        defect: What it raises instead of an answer.
    """

    def __init__(self) -> None:
        self.put_so_far: list[Announcement] = []
        self.code = ""
        self.defect: Exception | None = None

    def put(self, batch: Sequence[Announcement]) -> list[str]:
        if self.defect is not None:
            raise self.defect
        self.put_so_far += [] if self.code else batch
        return [self.code] * len(batch)

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        """Kind, account and code of each."""
        details = [json.loads(each.detail) for each in self.put_so_far]
        return [
            (each.kind, detail["account"], detail["code"])
            for each, detail in zip(self.put_so_far, details, strict=True)
        ]


@pytest.fixture
def bus() -> Bus:
    return Bus()


def handler_of(world: World, bus: Bus | None = None, **settings: Any) -> Handler:  # noqa: ANN401
    """The function over the world's doubles; what it prints belongs to the test that runs."""
    chosen = Settings(max_workers=1, **settings)

    def clock() -> datetime:
        return world.now

    handler = Handler(
        chosen,
        store=world.store,
        endpoint=world.endpoint,
        clock=clock,
        monotonic=world.seconds,
        pause=world.pause,
        announcer=Announcer(chosen, lambda: bus) if bus is not None else None,
        replicator=replicator(chosen, world.store, clock) if chosen.replica_regions else None,
    )
    for output in logging.getLogger(chosen.service).handlers:
        cast("logging.StreamHandler[TextIO]", output).stream = sys.stdout
    return handler


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def metrics(text: str) -> dict[str, list[float]]:
    """The values of each metric, as CloudWatch would take them from the output."""
    found: dict[str, list[float]] = {}
    for record in lines(text):
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "TokenRefresher"
            for dimensions in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    extra = "".join(f"/{record[each]}" for each in dimensions if each != "service")
                    value = record[metric["Name"]]
                    values = value if isinstance(value, list) else [value]
                    assert len(values) <= 100
                    found.setdefault(metric["Name"] + extra, []).extend(values)
    return found


@pytest.mark.parametrize(
    "event",
    [{"force": True}, {"acounts": []}, {"accounts": ["a b"]}, {"accounts": "MARK"}, [], "MARK"],
    ids=str,
)
def test_an_event_that_is_not_ours_is_refused_and_not_repeated(
    world: World, capsys: pytest.CaptureFixture[str], event: object
) -> None:
    with pytest.raises(EventError, match=r"accepted are \{\}") as refusal:
        handler_of(world)(event, Context())
    assert "MARK" not in f"{refusal.value}{capsys.readouterr().out}"
    assert world.store.calls == []


def test_what_prevents_a_sweep_is_raised_and_logged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.faults.always("before list", denied)
    with pytest.raises(SecretStoreError, match="AccessDeniedException"):
        handler_of(world)({}, Context())
    [line] = lines(capsys.readouterr().out)
    assert (line["error"], line["needs_action"]) == ("AccessDeniedException", True)
    assert line["detail"] == "PutSecretValue failed: AccessDeniedException"
    assert line["fix"].endswith(": token-refresher doctor --stack token-refresher")


def test_what_prevents_a_sweep_and_passes_by_itself_calls_nobody(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.faults.always("before list", throttled)
    with pytest.raises(SecretStoreError):
        handler_of(world)({}, Context())
    [line] = lines(capsys.readouterr().out)
    assert (line["failure_class"], line["needs_action"]) == ("transient", False)


def test_a_defect_is_reported_by_type_and_place_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Context):
        def get_remaining_time_in_millis(self) -> int:
            raise KeyError("MARK")

    world.add(CLIENT_CREDENTIALS)
    with pytest.raises(UnexpectedError, match="KeyError in") as defect:
        handler_of(world)({}, Broken())
    assert "MARK" not in f"{defect.value}{capsys.readouterr().out}"


def test_each_function_tells_what_it_has_changed(world: World, bus: Bus) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler = handler_of(world, bus)
    handler({}, Context())
    rejected = {"account": ACCOUNT, "version_id": world.version_id()}
    world.now += TICK
    handler.on_event({"rejected": rejected}, Context())
    world.now += timedelta(hours=1)
    staged = "00000000-0000-0000-0000-000000000001"
    world.store.tokens[ACCOUNT].versions[staged] = None
    world.store.tokens[ACCOUNT].stages["AWSPENDING"] = staged
    secret = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:oauth/tokens/{ACCOUNT}-AbCdEf"
    for step in Step:
        event = {"Step": step, "SecretId": secret, "ClientRequestToken": staged}
        handler.on_rotation(event, Context())
    details = [json.loads(each.detail) for each in bus.put_so_far]

    assert bus.told == [("Token Published", ACCOUNT, None)] * 3
    assert [each["reason"] for each in details] == ["no token yet", "rejected", "forced"]
    assert details[2]["version_id"] == staged == world.version_id()
    token = world.token() or {}
    times = [datetime.fromisoformat(details[2][each]) for each in ("issued_at", "expires_at")]
    assert [int(each.timestamp()) for each in times] == [token["issued_at"], token["expires_at"]]


def test_a_dry_run_tells_nothing(world: World, bus: Bus) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler_of(world, bus)({"dry_run": True}, Context())

    assert bus.told == []


def test_what_could_not_be_put_is_one_line_and_the_sweep_is_what_it_was(
    world: World, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"dealer-{number}" for number in range(12)]
    for name in names:
        world.add(CLIENT_CREDENTIALS, name)
    bus.code = "AccessDeniedException"
    told = handler_of(world, bus)({}, Context())
    found = [each for each in lines(capsys.readouterr().out) if "events" in each]

    assert told["outcomes"] == {"fresh": 0, "published": 12}
    assert [(each["events"], each["lost"], each["error"]) for each in found] == [
        (12, 0, "AccessDeniedException")
    ]
    assert found[0]["level"] == "WARNING"


def test_a_defect_of_an_event_fails_no_sweep(
    world: World, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    bus.defect = KeyError("MARK")
    told = handler_of(world, bus)({}, Context())
    printed = capsys.readouterr().out

    assert told["outcomes"] == {"fresh": 0, "published": 1}
    assert metrics(printed)["EventsNotPut"] == [1]
    assert "unexpected_KeyError" in printed
    assert "MARK" not in printed


def test_a_defect_of_a_copy_fails_no_sweep(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    world.store.faults.always("before replicate", lambda: KeyError("MARK"))
    told = handler_of(world, replica_regions=("eu-central-1",))({}, Context())
    printed = capsys.readouterr().out

    assert told["outcomes"] == {"fresh": 0, "published": 1}
    assert told["replicas_behind"] is None
    assert "unexpected_KeyError" in printed
    assert "MARK" not in printed


def test_a_region_that_lacks_a_token_is_told_with_the_account_and_the_reason(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS, "machine")
    world.store.faults.always("before replicate", denied)
    handler = handler_of(world, replica_regions=("eu-central-1",))
    told = handler({}, Context())

    [line] = [each for each in lines(capsys.readouterr().out) if "replicas" in each]
    assert told["replicas_behind"] == 1
    assert (line["level"], line["account"], line["lag_seconds"]) == ("WARNING", "machine", 0)
    assert line["replicas"] == {"eu-central-1": "missing"}
    assert line["error"] == "AccessDeniedException"

    world.store.faults.fix()
    world.now += TICK
    told = handler({}, Context())
    printed = capsys.readouterr().out
    # It is added now, and was missing until now.
    assert (told["replicas_behind"], metrics(printed)["ReplicaLagSeconds"]) == (1, [300])
    world.now += TICK
    assert handler({}, Context())["replicas_behind"] == 0
    assert metrics(capsys.readouterr().out)["ReplicaLagSeconds"] == [0]
    world.now += 3 * TICK
    assert handler({}, Context())["replicas_behind"] == 0
    # Nobody has looked, so nothing is known.
    assert "ReplicaLagSeconds" not in metrics(capsys.readouterr().out)


def test_of_a_copy_that_nobody_could_look_at_no_age_is_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler = handler_of(world, replica_regions=("eu-central-1",))
    handler({}, Context())
    capsys.readouterr()
    world.now += TICK
    world.store.faults.always("before describe", denied)
    assert handler({}, Context())["replicas_behind"] == 1
    printed = capsys.readouterr().out
    assert "ReplicaLagSeconds" not in metrics(printed)
    assert "AccessDeniedException" in printed


def test_who_only_looks_copies_nothing(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    told = handler_of(world, replica_regions=("eu-central-1",))({"dry_run": True}, Context())
    assert "replicas_behind" not in told
    assert "replicate" not in world.store.calls


def test_gauges_and_events_are_metrics(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add(CLIENT_CREDENTIALS, "machine")
    world.add(PASSWORD, "mistyped")
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"), grant_type="password")
    world.store.put_credentials("awaiting", "")
    world.store.create_token_secret("orphan")
    refuses = Bus()
    refuses.code = "AccessDeniedException"
    handler_of(world, refuses, replica_regions=("eu-central-1",))({}, Context())

    found = metrics(capsys.readouterr().out)
    assert {name.partition("/")[0] for name in found} == METRICS.keys()
    assert found.pop("ReplicaLagSeconds") == [0]
    assert len(found.pop("TokenRequestLatency")) == 2
    assert sorted(found.pop("SecondsUntilExpiry")) == [0, 43200]
    assert sorted(found.pop("MarginUsed")) == [0, 100]
    assert found == {
        "EventsNotPut": [2],
        "SweepsCompleted": [1],
        "AccountsManaged": [2],
        "AccountsNeedingAction": [1],
        "AccountsRetrying": [0],
        "AccountsLeftOver": [0],
        "AccountsAwaitingCredentials": [1],
        "TokensOrphaned": [1],
        "TokensRefreshed": [1],
        "RefreshFailures/action required": [1],
    }


def test_an_outage_is_counted_by_its_class(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    world.endpoint.fail(timed_out)
    handler_of(world)({}, Context())
    found = metrics(capsys.readouterr().out)
    assert found["RefreshFailures/transient"] == found["AccountsRetrying"] == [1]


def test_without_an_account_no_margin_is_used(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    handler_of(world)({}, Context())
    found = metrics(capsys.readouterr().out)
    assert found["MarginUsed"] == found["AccountsManaged"] == [0]
    assert "SecondsUntilExpiry" not in found


def test_accounts_that_a_sweep_had_no_time_for_are_counted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler_of(world)({}, Context(left=timedelta(seconds=45)))
    assert metrics(capsys.readouterr().out)["AccountsLeftOver"] == [1]


@pytest.mark.parametrize("event", [{"accounts": [ACCOUNT]}, {"dry_run": True}], ids=str)
def test_gauges_are_of_complete_sweeps_alone(
    world: World, capsys: pytest.CaptureFixture[str], event: dict[str, Any]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler_of(world)(event, Context())
    assert "SweepsCompleted" not in metrics(capsys.readouterr().out)


def test_metrics_and_logs_of_two_stacks_are_told_apart(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS, "machine")
    world.add(PASSWORD, "mistyped")
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"), grant_type="password")
    handler_of(world, service="cell-2", per_account_metrics=True)({}, Context())
    assert {record["service"] for record in lines(capsys.readouterr().out)} == {"cell-2"}


def test_each_account_can_have_metrics_of_its_own(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler_of(world, service="of-its-own", per_account_metrics=True)({}, Context())
    found = metrics(capsys.readouterr().out)
    assert found[f"MarginUsed/{ACCOUNT}"] == [0]
    assert found[f"SecondsUntilExpiry/{ACCOUNT}"] == found["SecondsUntilExpiry"]


def test_an_account_that_was_due_has_one_line(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS)
    world.store.put_credentials("awaiting", "")
    handler = handler_of(world)
    handler({}, Context())
    handler({}, Context())
    [line] = [line for line in lines(capsys.readouterr().out) if line.get("account") == ACCOUNT]
    told = {key: line[key] for key in ("level", "reason", "outcome", "request_id")}
    assert told == {
        "level": "INFO",
        "reason": "no token yet",
        "outcome": "published",
        "request_id": "request-1",
    }
    assert line["seconds_until_expiry"] > 0


def test_a_failure_is_a_warning_that_says_who_must_act_and_when_it_is_tried_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(PASSWORD)
    world.endpoint.fail(lambda: TokenRequestError("invalid_grant"))
    summary = handler_of(world)({}, Context())
    [line] = [line for line in lines(capsys.readouterr().out) if "level" in line]
    [told] = summary["accounts"]
    assert line["level"] == "WARNING"
    assert (told["failure_class"], told["error"]) == ("action required", "invalid_grant")
    assert told["retry_at"] > world.now.isoformat()
    assert {key: line.get(key) for key in told} == told


def told_of(world: World, handler: Handler, *, after: timedelta = TICK) -> dict[str, Any]:
    """What the next sweep's summary has of the account."""
    world.now += after
    [told] = handler({}, Context())["accounts"]
    return dict(told)


def test_an_account_that_needs_action_is_told_in_every_sweep_whether_or_not_it_was_tried(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(PASSWORD)
    handler = handler_of(world)
    handler({}, Context())
    world.endpoint.fail(lambda: TokenRequestError("invalid_client"))
    world.now += TICK
    handler({"accounts": [ACCOUNT], "force": True}, Context())
    failed_at = world.now
    capsys.readouterr()
    retry_at = failed_at + 15 * MINUTE - timedelta(seconds=30)
    for _ in range(2):
        told = told_of(world, handler)
        # Nothing is tried between two sweeps.
        next_at = max(retry_at, world.now + TICK)
        assert told == told | {
            "reason": "backing off",
            "outcome": "not due",
            "needs_action": True,
            "failure_class": "action required",
            "error": "invalid_client",
            "failing_since": failed_at.isoformat(),
            "retry_at": next_at.isoformat(),
        }
        [line] = [line for line in lines(capsys.readouterr().out) if "level" in line]
        assert line["level"] == "WARNING"
        assert {key: line.get(key) for key in told} == told


def test_an_account_that_needs_action_is_told_though_its_token_is_fresh(world: World) -> None:
    world.endpoint.refresh_token_lifetime = timedelta(days=15)
    world.endpoint.lifetime = timedelta(days=20)
    world.add_refresh_only()
    handler = handler_of(world)
    handler({}, Context())
    world.now += timedelta(days=8)
    assert handler({}, Context())["accounts"] == []
    told = told_of(world, handler)

    assert (told["reason"], told["outcome"]) == ("fresh", "not due")
    assert (told["needs_action"], told["error"]) == (True, "refresh_token_ending")


def test_what_passes_is_told_while_it_lasts(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler = handler_of(world)
    handler({}, Context())
    world.endpoint.fail(timed_out)
    failed_at = world.now = world.now + UNTIL_DUE
    handler({}, Context())
    told = told_of(world, handler, after=MINUTE)

    assert told == told | {
        "reason": "backing off",
        "failure_class": "transient",
        "error": "timeout",
        "failing_since": failed_at.isoformat(),
    }
    assert not told["needs_action"]


def test_what_is_put_off_names_the_time_of_the_next_attempt(world: World) -> None:
    world.add_refresh_only()
    handler = handler_of(world)
    handler({}, Context())
    leased_at, world.now = world.now, world.now + MINUTE
    [told] = handler({"accounts": [ACCOUNT], "force": True}, Context())["accounts"]

    assert told["outcome"] == "not attempted"
    assert told["detail"].endswith(f"from {(leased_at + 15 * MINUTE).isoformat()} on")


def test_a_run_that_may_be_at_it_is_waited_for_until_the_next_sweep(world: World) -> None:
    world.add_refresh_only()
    world.faults.once("after lease", RunKilledError())
    with pytest.raises(RunKilledError):
        handler_of(world)({}, Context())
    told = told_of(world, handler_of(world))

    assert told["outcome"] == "leased by another run"
    assert told["retry_at"] == (world.now + TICK).isoformat()


def test_a_dry_run_promises_no_attempt(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    [told] = handler_of(world)({"dry_run": True}, Context())["accounts"]

    assert told["outcome"] == "would refresh"
    assert "retry_at" not in told


def test_what_should_be_known_besides_is_told(world: World) -> None:
    world.endpoint.lifetime = timedelta(minutes=10)
    world.add(CLIENT_CREDENTIALS)
    [told] = handler_of(world)({}, Context())["accounts"]

    assert told["cautions"] == ["token_lives_too_short"]
    assert (told["needs_action"], told["error"]) == (True, "token_lives_too_short")


def test_the_summary_of_many_begins_with_those_that_need_action(world: World) -> None:
    for number in range(120):
        world.add(CLIENT_CREDENTIALS, f"dealer-{number:03}")
    world.add({**CLIENT_CREDENTIALS, "user_agent": ""}, "mistyped")
    told = handler_of(world)({}, Context())["accounts"]

    assert len(told) == 100
    assert told[0]["account"] == "mistyped"


def test_one_accounts_refusal_in_an_event_is_told_beside_what_became_of_the_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(CLIENT_CREDENTIALS, "served")
    world.faults.once("before describe credentials", denied())
    summary = handler_of(world)({"accounts": ["refused", "served"]}, Context())
    told = {each["account"]: (each["outcome"], each.get("error")) for each in summary["accounts"]}

    assert told == {"refused": ("failed", "AccessDeniedException"), "served": ("published", None)}
    assert metrics(capsys.readouterr().out)["RefreshFailures/action required"] == [1]


def test_a_consumers_rejection_is_answered_with_the_published_version(world: World) -> None:
    world.add(CLIENT_CREDENTIALS)
    handler = handler_of(world)
    handler({}, Context())
    refused = world.version_id()
    world.now += TICK
    told = handler.on_event({"rejected": {"account": ACCOUNT, "version_id": refused}}, Context())
    assert (told["reason"], told["outcome"]) == ("rejected", "published")
    assert told["version_id"] == world.version_id() != refused


def test_no_mark_of_a_secret_is_logged_or_returned(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add(MARKED)
    handler = handler_of(world)
    told = [handler({}, Context())]
    token = world.access_token()
    for failure in (timed_out, lambda: TokenRequestError("MARK"), denied):
        world.endpoint.fail(failure)
        world.now += timedelta(hours=12)
        told.append(handler({}, Context()))
    seen = capsys.readouterr().out + json.dumps(told)
    assert token
    assert not [mark for mark in ("MARK", token, "refresh-token-") if mark in seen]


def test_the_clock_is_aware() -> None:
    assert utc_now().utcoffset() == timedelta(0)


def test_garbage_is_collected_once_the_function_is_made() -> None:
    """It is not while the handler's module is imported, which it is here."""
    assert gc.isenabled()
