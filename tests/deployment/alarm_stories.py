"""Drives the real stack into trouble and out, and records what its alarms did.

Each condition has a stack of its own, and all of them live in one embedded cloud, a tick of a
schedule of 15 minutes after the other. A story does to its stack what is to happen in a tick, and
yields; when all have done so, time passes until the next. Nothing happens at once, and no time
passes but that, so what is seen does not depend on the machine. Their alarms are those of
``infra/monitoring.yaml``, and no metric is fed by hand.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from botocore.config import Config
from typing_extensions import override

from local.authorization_server.failures import WaitsFor, unavailable
from local.emulator.alarms import ALARM, OK, PERIODS_BEYOND
from local.stack import LocalAws, Stack, utc_now
from token_refresher.model import TokenVersion, digest12
from tools.templates import MONITORING, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# What happens, with a pause after each tick.
Story: TypeAlias = "Iterator[None]"

# Alarms are looked at so often between two ticks, and each tick comes seconds early: those of three
# quarters of an hour are in a period of as long.
LOOKS: Final = 3
TICK: Final = LOOKS * timedelta(seconds=299)
# An endpoint that is slow takes so long: nearly as long as an invocation may last.
SLOW: Final = timedelta(seconds=210)
POLL_SECONDS: Final = 0.05
MOST_TICKS: Final = 30
# Of what comes sooner or later; only a machine that hangs takes as long.
WITHIN_SECONDS: Final = 120

USER: Final = "dealer@example.com"
WRONG: Final = "a-mistyped-password"
SCHEDULES: Final = ("1", "5", "10", "15")


def alarms(**parameters: str) -> dict[str, dict[str, Any]]:
    """The properties of each alarm of the template, by its name there."""
    return {
        name: each["Properties"]
        for name, each in resolved(MONITORING, parameters)["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


ALARMS: Final = alarms(ScheduleMinutes="15", FunctionStackName="")
# No alarm looks back further than this.
LOOKBACK_TICKS: Final = max(
    timedelta(seconds=each["Period"] * (each["EvaluationPeriods"] + PERIODS_BEYOND)) // TICK
    for each in ALARMS.values()
)
WARM_UP: Final = timedelta(
    minutes=ALARMS["NoSweepCompleted"]["WarmUpConfiguration"]["WarmUpPeriodDurationInMinutes"]
)


def must_become(fact: Callable[[], bool]) -> None:
    """Look again and again until something is so that nobody waits for."""
    pause = threading.Event()
    assert any(
        fact() or pause.wait(POLL_SECONDS) for _ in range(round(WITHIN_SECONDS / POLL_SECONDS))
    )


class Time:
    """The time of an AWS, which passes when it is told to."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._since_the_tick = timedelta(0)

    def let_pass(self, by: timedelta) -> None:
        self._aws.cloud.pass_time(by)
        self._since_the_tick += by

    def let_pass_until_the_next_tick(self) -> None:
        left = TICK - self._since_the_tick
        for _ in range(LOOKS):
            self.let_pass(left / LOOKS)
        self._since_the_tick = timedelta(0)


class Slowness(threading.Event):
    """What a slow endpoint waits for: time, which passes when it does."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self._time.let_pass(SLOW)
        return True


# The alarms under test


def without_warm_up(template: str) -> str:
    """Return the template of the alarms without any warm-up."""
    return re.sub(r"\n +WarmUpConfiguration: .*", "", template)


def leaves(node: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    """Every value of a template, with where it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, *path, key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, *path, str(index))
    else:
        yield path, node


# A stack under watch


class Clients(NamedTuple):
    """The clients of an operator; made once, since a session makes one at a time."""

    cloudformation: Any
    cloudwatch: Any
    functions: Any
    logs: Any
    sns: Any
    sqs: Any


def clients_of(aws: LocalAws) -> Clients:
    client = aws.cloud.client
    # An invocation that is throttled or slow is not made twice.
    once = Config(read_timeout=300, retries={"total_max_attempts": 1})
    return Clients(
        client("cloudformation"),
        client("cloudwatch"),
        client("lambda", config=once),
        client("logs"),
        client("sns"),
        client("sqs"),
    )


@dataclass(slots=True)
class Watch:
    """A stack of its own, and what is seen of its alarms.

    Args:
        aws: Where it is deployed.
        clients: Of that AWS.
        time: Likewise.
        name: The stack's, and the prefix of its secrets.
    """

    aws: LocalAws
    clients: Clients
    time: Time
    name: str
    seen: dict[str, Any] = field(default_factory=dict)

    # Its accounts

    def client_id(self, account: str) -> str:
        return f"{self.name}-{account}"

    def credentials(self, account: str, password: str) -> str:
        client_id = self.client_id(account)
        return json.dumps(
            {
                "token_endpoint": self.aws.server.token_endpoint,
                "grant_type": "password",
                "client_id": client_id,
                "client_secret": f"secret-of-{client_id}",
                "username": USER,
                "password": password,
            }
        )

    def onboard(self, account: str, *, left: timedelta | None = None) -> None:
        """Onboard an account, with a token of 12 hours that has so much left, or with none."""
        client_id = self.client_id(account)
        password = f"password-of-{client_id}"
        self.aws.server.register_client(
            client_id, secret=f"secret-of-{client_id}", users={USER: password}
        )
        created = self.aws.secrets.create_secret(
            Name=f"{self.name}/credentials/{account}",
            SecretString=self.credentials(account, password),
        )
        if left is not None:
            self.publish(account, left=left, credentials_version=created["VersionId"])

    def publish(self, account: str, *, left: timedelta, credentials_version: str) -> None:
        """Publish a token that the function might have published long ago."""
        expires_at = utc_now() + left
        version = TokenVersion(
            issued_at=expires_at - timedelta(hours=12),
            expires_at=expires_at,
            credentials_digest=digest12(credentials_version),
            token_digest="0" * 12,
        )
        self.aws.secrets.create_secret(
            Name=f"{self.name}/tokens/{account}",
            SecretString=json.dumps(
                {"access_token": f"old-token-of-{account}", "token_type": "Bearer"}
            ),
            ClientRequestToken=str(version),
        )

    def put_password(self, account: str, password: str) -> None:
        self.aws.secrets.put_secret_value(
            SecretId=f"{self.name}/credentials/{account}",
            SecretString=self.credentials(account, password),
        )

    def make_slow(self, account: str) -> None:
        """Let an account's next request be answered late."""
        slowness = WaitsFor(Slowness(self.time))
        self.aws.server.fail(slowness, client_id=self.client_id(account), times=1)

    # Its function

    def sweep(self, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Invoke the function and wait for its response."""
        answer = self.clients.functions.invoke(
            FunctionName=self.name, Payload=json.dumps(event or {})
        )
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        return told

    def tick(self, event: dict[str, Any] | None = None) -> None:
        """Invoke the function as the schedule does: nobody waits for it."""
        self.clients.functions.invoke(
            FunctionName=self.name, InvocationType="Event", Payload=json.dumps(event or {})
        )

    def sweep_until(
        self, fact: Callable[[], bool], *, before: Callable[[], None] | None = None
    ) -> Story:
        """Sweep once a tick until something is so when the next one is due, for a bounded time."""
        for _ in range(MOST_TICKS):
            if before is not None:
                before()
            self.sweep()
            yield
            if fact():
                return

    def wait_until(self, fact: Callable[[], bool]) -> Story:
        """Let no tick come until something is so, for a bounded time."""
        for _ in range(MOST_TICKS):
            yield
            if fact():
                return

    def tick_to_its_end(
        self, event: dict[str, Any] | None = None, *, is_dropped: bool = False
    ) -> None:
        """Invoke the function as the schedule does, whose ticks end before the next is due.

        Args:
            event: The schedule's, unless told otherwise.
            is_dropped: Whether the function fails, so that its event is given up.
        """
        ended = ("EventsFailed", "Sum") if is_dropped else ("FunctionFails", "SampleCount")
        before = self.total(*ended) or 0
        self.tick(event)
        must_become(lambda: (self.total(*ended) or 0) > before)

    def tick_until(self, fact: Callable[[], bool], *, is_dropped: bool = False) -> Story:
        """Tick until something is so when the next one is due, for a bounded time."""
        for _ in range(MOST_TICKS):
            self.tick_to_its_end(is_dropped=is_dropped)
            yield
            if fact():
                return

    def tick_in_vain_until(self, fact: Callable[[], bool]) -> Story:
        """Tick, though no invocation comes of it: each waits in vain, and is given up."""
        for _ in range(MOST_TICKS):
            throttled = self.total("FunctionIsThrottled", "Sum") or 0
            dropped = self.total("EventsFailed", "Sum") or 0
            self.tick()
            must_become(partial(self.has_more, "FunctionIsThrottled", throttled))
            yield
            must_become(partial(self.has_more, "EventsFailed", dropped))
            if fact():
                return

    def has_more(self, alarm: str, before: float) -> bool:
        """Whether an alarm's metric has come to more since."""
        return (self.total(alarm, "Sum") or 0) > before

    def set_concurrency(self, executions: int) -> None:
        self.clients.functions.put_function_concurrency(
            FunctionName=self.name, ReservedConcurrentExecutions=executions
        )

    def set_timeout(self, seconds: int) -> None:
        self.clients.functions.update_function_configuration(
            FunctionName=self.name, Timeout=seconds
        )

    def set_variable(self, name: str, value: str) -> None:
        functions = self.clients.functions
        present = functions.get_function_configuration(FunctionName=self.name)["Environment"]
        functions.update_function_configuration(
            FunctionName=self.name,
            Environment={"Variables": {**present["Variables"], name: value}},
        )

    def total(self, alarm: str, statistic: str) -> float | None:
        """A statistic of an alarm's metric since ever, None if it was never stored."""
        watched = ALARMS[alarm]
        (dimension,) = watched["Dimensions"]
        answer = self.clients.cloudwatch.get_metric_statistics(
            Namespace=watched["Namespace"],
            MetricName=watched["MetricName"],
            Dimensions=[{**dimension, "Value": self.name}],
            StartTime=datetime(2000, 1, 1, tzinfo=UTC),
            EndTime=datetime(2100, 1, 1, tzinfo=UTC),
            Period=86_400 * 36_525,
            Statistics=[statistic],
        )
        values: list[float] = [point[statistic] for point in answer["Datapoints"]]
        return values[0] if values else None

    # Its alarms

    def alarm_name(self, alarm: str) -> str:
        return f"{self.name}{ALARMS[alarm]['AlarmName']}"

    def deployed_alarms(self) -> dict[str, dict[str, Any]]:
        """What CloudWatch knows of each alarm, by its name in the template."""
        answer = self.clients.cloudwatch.describe_alarms(AlarmNamePrefix=f"{self.name} ")
        found = {each["AlarmName"]: each for each in answer["MetricAlarms"]}
        return {alarm: found[self.alarm_name(alarm)] for alarm in ALARMS}

    def states(self) -> dict[str, str]:
        return {alarm: each["StateValue"] for alarm, each in self.deployed_alarms().items()}

    def gone_off(self) -> set[str]:
        return {alarm for alarm, state in self.states().items() if state == ALARM}

    def goes_off(self, *expected: str) -> Callable[[], bool]:
        return lambda: self.gone_off() == set(expected)

    def is_silent(self) -> bool:
        return not self.gone_off()


# What happens


def nothing_then_no_account(watch: Watch) -> Story:
    """A fresh stack: its schedule has not ticked yet; then it is swept without an account."""
    for _ in range(WARM_UP // TICK - 1):
        yield
    watch.seen["before any sweep"] = watch.states()
    watch.seen["sweeps before"] = watch.total("NoSweepCompleted", "Sum")


def nothing(watch: Watch) -> Story:
    """A fresh stack again; nobody told its alarms to wait."""
    yield from watch.wait_until(watch.goes_off("NoSweepCompleted"))
    yield from watch.sweep_until(watch.is_silent)


def nothing_to_do(watch: Watch) -> Story:
    """Healthy accounts, one that awaits its credentials, and an orphan whose token has expired."""
    watch.onboard("new")
    watch.onboard("fresh", left=timedelta(hours=11))
    watch.onboard("due", left=timedelta(minutes=80))
    watch.aws.secrets.create_secret(Name=f"{watch.name}/credentials/awaited")
    watch.publish("orphan", left=-timedelta(hours=1), credentials_version="gone")
    watch.sweep()
    yield
    watch.seen["summary"] = watch.sweep()


def each_misses_once(watch: Watch) -> Story:
    """One refresh fails, one tick fails, one is throttled, one is slow and one is not made."""
    watch.onboard("account", left=timedelta(minutes=80))
    watch.aws.server.fail(unavailable(), client_id=watch.client_id("account"), times=1)
    watch.sweep()
    watch.sweep({"accounts": ["account"], "force": True})
    watch.tick_to_its_end({"account": "misspelt"}, is_dropped=True)
    yield
    watch.sweep()
    watch.set_concurrency(0)
    with suppress(watch.clients.functions.exceptions.TooManyRequestsException):
        watch.sweep()
    watch.set_concurrency(1)
    yield
    watch.onboard("slow")
    watch.make_slow("slow")
    watch.sweep()
    yield
    yield
    watch.seen |= {
        "RefreshesKeepFailing": watch.total("RefreshesKeepFailing", "Maximum"),
        "FunctionFails": watch.total("FunctionFails", "Sum"),
        "FunctionIsThrottled": watch.total("FunctionIsThrottled", "Sum"),
        "EventsFailed": watch.total("EventsFailed", "Sum"),
        "FunctionNearsItsTimeout": watch.total("FunctionNearsItsTimeout", "Maximum"),
    }


def wrong_password(watch: Watch) -> Story:
    """Somebody mistypes the password of an account whose token is fresh, and corrects it."""
    watch.onboard("account", left=timedelta(hours=11))
    watch.put_password("account", WRONG)
    yield from watch.sweep_until(watch.goes_off("ActionRequired"))
    watch.put_password("account", f"password-of-{watch.client_id('account')}")
    yield from watch.sweep_until(watch.is_silent)


def endpoint_down(watch: Watch, *, left: timedelta, alarms: Iterable[str]) -> Story:
    """The endpoint answers 503 for a while; then somebody asks for the refresh, to save time."""
    server, client_id = watch.aws.server, watch.client_id("account")
    watch.onboard("account", left=left)
    with server.failing(unavailable(), client_id=client_id):
        yield from watch.sweep_until(watch.goes_off(*alarms))
    watch.sweep({"accounts": ["account"], "force": True})
    yield from watch.sweep_until(watch.is_silent)


def endpoint_down_early(watch: Watch) -> Story:
    """The token is due, and has a ninth of its margin behind it; what this takes, it has left."""
    return endpoint_down(watch, left=timedelta(minutes=80), alarms=["RefreshesKeepFailing"])


def endpoint_down_late(watch: Watch) -> Story:
    """The token is due, and has 56% of its margin behind it."""
    alarms = ["MarginHalfUsed", "RefreshesKeepFailing"]
    return endpoint_down(watch, left=timedelta(minutes=40), alarms=alarms)


def no_more_sweeps(watch: Watch) -> Story:
    """The schedule is switched off, and on again."""
    yield from watch.sweep_until(lambda: watch.states()["NoSweepCompleted"] == OK)
    yield from watch.wait_until(watch.goes_off("NoSweepCompleted"))
    yield from watch.sweep_until(watch.is_silent)


def bad_setting(watch: Watch) -> Story:
    """Somebody sets what the function does not take, and takes it back."""
    watch.set_variable("MAX_WORKERS", "0")
    alarms = watch.goes_off("FunctionFails", "EventsFailed")
    yield from watch.tick_until(alarms, is_dropped=True)
    watch.set_variable("MAX_WORKERS", "16")
    yield from watch.tick_until(watch.is_silent)


def no_concurrency(watch: Watch) -> Story:
    """The AWS account has no concurrency left; each tick waits for a minute in vain."""
    watch.set_concurrency(0)
    yield from watch.tick_in_vain_until(watch.goes_off("FunctionIsThrottled", "EventsFailed"))
    watch.set_concurrency(1)
    yield from watch.tick_until(watch.is_silent)


def slow_sweeps(watch: Watch) -> Story:
    """Sweep after sweep has an account to refresh whose endpoint is slow."""
    accounts = iter(range(MOST_TICKS))

    def onboard_another() -> None:
        account = f"slow-{next(accounts)}"
        watch.onboard(account)
        watch.make_slow(account)

    yield from watch.sweep_until(watch.goes_off("FunctionNearsItsTimeout"), before=onboard_another)
    yield from watch.sweep_until(watch.is_silent)


def too_little_time(watch: Watch) -> Story:
    """No invocation has time for what is due; then somebody gives it back its time."""
    watch.onboard("account", left=timedelta(minutes=80))
    watch.set_timeout(45)
    yield from watch.sweep_until(watch.goes_off("AccountsAreLeftOver"))
    watch.set_timeout(240)
    yield from watch.sweep_until(watch.is_silent)


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done to a stack, and the alarms that go off; all others are silent.

    Attributes:
        drive: What is done.
        alarms: The alarms.
        warms_up: Whether the alarm that has a warm-up keeps it.
        is_invoked_before: Whether the function has been started; many cold starts at once are slow.
        parameters: Of the function's stack.
    """

    drive: Callable[[Watch], Story]
    alarms: frozenset[str] = frozenset()
    warms_up: bool = True
    is_invoked_before: bool = True
    parameters: tuple[tuple[str, str], ...] = ()


CONDITIONS: Final = {
    "fresh": Condition(nothing_then_no_account, is_invoked_before=False),
    "not-warmed-up": Condition(
        nothing, frozenset({"NoSweepCompleted"}), warms_up=False, is_invoked_before=False
    ),
    "quiet": Condition(nothing_to_do, parameters=(("PerAccountMetrics", "true"),)),
    "wrong-password": Condition(wrong_password, frozenset({"ActionRequired"})),
    "down-early": Condition(endpoint_down_early, frozenset({"RefreshesKeepFailing"})),
    "down-late": Condition(
        endpoint_down_late, frozenset({"MarginHalfUsed", "RefreshesKeepFailing"})
    ),
    "stopped": Condition(no_more_sweeps, frozenset({"NoSweepCompleted"})),
    "bad-setting": Condition(bad_setting, frozenset({"FunctionFails", "EventsFailed"})),
    "no-concurrency": Condition(no_concurrency, frozenset({"FunctionIsThrottled", "EventsFailed"})),
    "too-little-time": Condition(too_little_time, frozenset({"AccountsAreLeftOver"})),
    # Last, since time passes while these are at work.
    "missed-once": Condition(each_misses_once),
    "slow": Condition(slow_sweeps, frozenset({"FunctionNearsItsTimeout"})),
}
SILENT: Final = [name for name, condition in CONDITIONS.items() if not condition.alarms]


# What is seen of it


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one stack.

    Attributes:
        history: The states that each alarm took, in order.
        told: The states that each alarm's subscriber was told, in order.
        alarms: What CloudWatch knew of each.
        lines: The function's log.
        stored: The metrics that CloudWatch held, with their dimensions.
        seen: What the condition noted.
    """

    history: dict[str, list[str]]
    told: dict[str, list[str]]
    alarms: dict[str, dict[str, Any]]
    lines: list[str]
    stored: set[tuple[str, str, frozenset[tuple[str, str]]]]
    seen: dict[str, Any]

    @property
    def went_off(self) -> set[str]:
        return {alarm for alarm, states in self.history.items() if ALARM in states}


@dataclass(frozen=True, slots=True)
class Run:
    """What became of all stacks, and the secrets that were used meanwhile."""

    stories: dict[str, Seen]
    secrets: frozenset[str]


def happen() -> Run:
    """Deploy the stacks, let everything happen, and record it."""
    with LocalAws(drives_time=True) as aws:
        clients = clients_of(aws)
        first = Stack(aws, {"ScheduleMinutes": "15"})
        first.make("deploy-stacks")
        function = clients.cloudformation.get_template(
            StackName=first.name, TemplateStage="Original"
        )["TemplateBody"]
        queue_url, queue_arn = subscriber(clients)
        time = Time(aws)
        watches = {name: Watch(aws, clients, time, name) for name in CONDITIONS}
        for watch in watches.values():
            condition = CONDITIONS[watch.name]
            deploy(watch, function, dict(condition.parameters), warms_up=condition.warms_up)
            subscribe(watch, queue_arn)
        for watch in watches.values():
            if CONDITIONS[watch.name].is_invoked_before:
                watch.sweep({"accounts": ["nobody"], "dry_run": True})
        tell_all(watches.values(), time)
        told = notifications(clients, queue_url)
        return Run(
            {name: seen_of(watch, told) for name, watch in watches.items()},
            frozenset(secrets_of(aws)),
        )


def subscriber(clients: Clients) -> tuple[str, str]:
    """Create a queue that topics may send to, and return its URL and its ARN."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url: str = clients.sqs.create_queue(QueueName="subscriber", Attributes={"Policy": policy})[
        "QueueUrl"
    ]
    attributes = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, attributes["Attributes"]["QueueArn"]


def tell_all(watches: Iterable[Watch], time: Time) -> None:
    """Let each story have its part of a tick, one after the other; it ticks on when it has ended.

    All go on for as long as an alarm looks back when the last has ended.
    """
    ended: list[str] = []

    def life(watch: Watch) -> Story:
        yield from CONDITIONS[watch.name].drive(watch)
        ended.append(watch.name)
        while True:
            watch.tick_to_its_end()
            yield

    def tick() -> None:
        for each in lives:
            next(each)
        time.let_pass_until_the_next_tick()

    lives = [life(watch) for watch in watches]
    while len(ended) < len(lives):
        tick()
    for _ in range(LOOKBACK_TICKS):
        tick()


def deploy(
    watch: Watch, function: str, parameters: Mapping[str, str], *, warms_up: bool = True
) -> None:
    """Deploy one more stack of the function's template, with its alarms."""
    own = {**watch.aws.parameters(), "ScheduleMinutes": "15", "SecretPrefix": watch.name}
    create_stack(watch.clients, watch.name, function, {**own, **parameters})
    monitoring = MONITORING.read_text()
    create_stack(
        watch.clients,
        f"{watch.name}-monitoring",
        monitoring if warms_up else without_warm_up(monitoring),
        {"FunctionStackName": watch.name, "ScheduleMinutes": "15"},
    )


def subscribe(watch: Watch, queue_arn: str) -> None:
    """Let a queue hear of a stack's alarms."""
    topic = Stack(watch.aws, {}, name=watch.name).output("AlarmTopicArn", stack="-monitoring")
    watch.clients.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)


def create_stack(clients: Clients, name: str, template: str, parameters: dict[str, str]) -> None:
    cloudformation = clients.cloudformation
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )

    def is_made() -> bool:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert found["StackStatus"] in {"CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, found
        return bool(found["StackStatus"] == "CREATE_COMPLETE")

    must_become(is_made)


def notifications(clients: Clients, queue_url: str) -> dict[str, list[str]]:
    """The states that the subscriber was told, by the alarm's name, in order."""
    told: dict[str, list[tuple[str, str]]] = {}
    while messages := clients.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        for message in messages:
            notice = json.loads(json.loads(message["Body"])["Message"])
            states = told.setdefault(notice["AlarmName"], [])
            states.append((notice["StateChangeTime"], notice["NewStateValue"]))
            clients.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return {
        name: [state for _, state in sorted(states, key=itemgetter(0))]
        for name, states in told.items()
    }


def seen_of(watch: Watch, told: dict[str, list[str]]) -> Seen:
    stored = watch.clients.cloudwatch.get_paginator("list_metrics").paginate()
    return Seen(
        history={alarm: history_of(watch, alarm) for alarm in ALARMS},
        told={alarm: told.get(watch.alarm_name(alarm), []) for alarm in ALARMS},
        alarms=watch.deployed_alarms(),
        lines=log_of(watch),
        stored={
            (each["Namespace"], each["MetricName"], dimensions_of(each))
            for page in stored
            for each in page["Metrics"]
        },
        seen=watch.seen,
    )


def dimensions_of(described: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((each["Name"], each["Value"]) for each in described["Dimensions"])


def history_of(watch: Watch, alarm: str) -> list[str]:
    """The states that an alarm took, the oldest first."""
    answer = watch.clients.cloudwatch.describe_alarm_history(
        AlarmName=watch.alarm_name(alarm),
        HistoryItemType="StateUpdate",
        ScanBy="TimestampAscending",
        MaxRecords=100,
    )
    changes = [json.loads(each["HistoryData"]) for each in answer["AlarmHistoryItems"]]
    return [each["newState"]["stateValue"] for each in changes]


def log_of(watch: Watch) -> list[str]:
    pages = watch.clients.logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{watch.name}"
    )
    return [
        line for page in pages for event in page["events"] for line in event["message"].splitlines()
    ]


SECRET_FIELDS: Final = ("access_token", "client_secret", "password", "refresh_token")


def secrets_of(aws: LocalAws) -> Iterator[str]:
    """Everything secret that is stored, or was sent to the token endpoint."""
    for page in aws.secrets.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            for version in secret.get("SecretVersionsToStages", {}):
                value = aws.secrets.get_secret_value(SecretId=secret["ARN"], VersionId=version)
                yield from secret_values(json.loads(value["SecretString"]))
    for request in aws.server.requests:
        yield from secret_values(request.fields)
        _, _, basic = request.headers.get("Authorization", "").partition(" ")
        if basic:
            yield basic
            yield base64.b64decode(basic).decode().partition(":")[2]


def secret_values(document: Any) -> Iterator[str]:  # noqa: ANN401
    for path, value in leaves(document):
        if path[-1] in SECRET_FIELDS and isinstance(value, str):
            yield value
