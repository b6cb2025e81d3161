"""Brings each kind of failure about with the real program, and records what a person is told.

Each has a stack of its own, and all of them live in one embedded cloud, with the alarms of
``infra/monitoring.yaml``, a tick after the other, as in `alarm_stories`. What is recorded is the
way from an alarm to the account, the reason and the fix: the alarm that goes off, what the command
of its description answers, and the row of the dashboard's table. `RECORD` keeps it, without what
differs from run to run, and docs/runbook.md shows it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from local.authority import Authority
from local.authorization_server import AuthorizationServer, RefreshMode
from local.authorization_server.failures import Answers, LosesTheAnswer
from local.embedded_cloud import REGION
from local.emulator import insights
from local.emulator.alarms import OK
from local.stack import LocalAws, Stack, utc_now
from tests.deployment.alarm_stories import WRONG, Time, Watch, clients_of, deploy
from tests.deployment.policies import Policies
from token_refresher.records import GRANT_EXPIRES_AT_TAG, GrantLifetime
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

RECORD: Final = Path(__file__).with_name("failures.json")
ACCOUNT: Final = "dealer-17"
STACK: Final = "token-refresher"
FRESH: Final = timedelta(hours=11)
DUE: Final = timedelta(minutes=80)
# Another schedule's window would do as well: nothing here waits for it.
SECONDS_SHOWN: Final = 2 * 15 * 60 + 120
# Their alarms' own command is `doctor`, of the whole stack.
OF_THE_STACK: Final = frozenset({"FunctionFails", "NoSweepCompleted"})
TIMES: Final = ("failing_since", "retry_at")


class World(NamedTuple):
    """What the stacks have around them.

    Attributes:
        aws: Where they are deployed.
        stranger: A token endpoint that they may ask, whose certificate nobody vouches for.
        down: One that they may ask, where nothing listens.
        key: The ARN of a key for credentials.
    """

    aws: LocalAws
    stranger: AuthorizationServer
    down: AuthorizationServer
    key: str

    def parameters(self) -> dict[str, str]:
        """Tell what every stack is deployed with."""
        hosts = (self.aws.server.host, self.stranger.host, self.down.host)
        allowed = ",".join(hosts)
        return {"AllowedTokenHosts": allowed, "CredentialsKmsKeyArn": self.key, "Events": "true"}


# What happens


def put(watch: Watch, **changes: str) -> None:
    """Change fields of the account's credentials."""
    text = watch.credentials(ACCOUNT, f"password-of-{watch.client_id(ACCOUNT)}")
    watch.aws.secrets.put_secret_value(
        SecretId=f"{watch.name}/credentials/{ACCOUNT}",
        SecretString=json.dumps({**json.loads(text), **changes}),
    )


def wrong_password(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    watch.put_password(ACCOUNT, WRONG)


def replaced_client_secret(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=DUE)
    watch.aws.server.client(watch.client_id(ACCOUNT)).secret = "another-client-secret"


def host_not_allowed(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    put(watch, token_endpoint="https://id.example/token")


def redirect(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=DUE)
    moved = Answers(308, (("Location", "/token/"), ("Content-Length", "0")))
    watch.aws.server.fail(moved, client_id=watch.client_id(ACCOUNT))


def unknown_authority(watch: Watch, world: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    put(watch, token_endpoint=world.stranger.token_endpoint)


def cut_credentials(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    watch.aws.secrets.put_secret_value(
        SecretId=f"{watch.name}/credentials/{ACCOUNT}", SecretString='{"grant_type": "password"'
    )


def endpoint_down(watch: Watch, world: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    put(watch, token_endpoint=world.down.token_endpoint)


def unreadable_credentials(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=DUE)
    Policies(stack_of(watch)).take_away("ReadCredentials")


def disabled_key(watch: Watch, _: World) -> None:
    """The key is one of its own, since it is disabled for good."""
    key = watch.aws.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    watch.onboard(ACCOUNT, left=DUE)
    watch.aws.secrets.update_secret(SecretId=f"{watch.name}/credentials/{ACCOUNT}", KmsKeyId=key)
    put(watch)
    watch.aws.cloud.client("kms").disable_key(KeyId=key)


def onboard_with_a_consent(watch: Watch, mode: RefreshMode, *, left: timedelta) -> None:
    """Onboard an account that has nothing but a refresh token."""
    client_id, server = watch.client_id(ACCOUNT), watch.aws.server
    server.register_client(
        client_id, secret=f"secret-of-{client_id}", grants=["refresh_token"], refresh_mode=mode
    )
    credentials = {
        "token_endpoint": server.token_endpoint,
        "grant_type": "refresh_token",
        "client_id": client_id,
        "client_secret": f"secret-of-{client_id}",
        "refresh_token": server.issue_initial_refresh_token(client_id),
    }
    created = watch.aws.secrets.create_secret(
        Name=f"{watch.name}/credentials/{ACCOUNT}", SecretString=json.dumps(credentials)
    )
    watch.publish(ACCOUNT, left=left, credentials_version=created["VersionId"])


def lost_response(watch: Watch, _: World) -> None:
    onboard_with_a_consent(watch, RefreshMode.ROTATES, left=DUE)
    watch.aws.server.fail(LosesTheAnswer(), client_id=watch.client_id(ACCOUNT))


def consent_that_ends(watch: Watch, _: World) -> None:
    """What the function noted of the consent 23 days ago is put there, as the token is."""
    onboard_with_a_consent(watch, RefreshMode.KEEPS, left=FRESH)
    ends = GrantLifetime(utc_now() + timedelta(days=7), timedelta(days=30))
    watch.aws.secrets.tag_resource(
        SecretId=f"{watch.name}/tokens/{ACCOUNT}",
        Tags=[{"Key": GRANT_EXPIRES_AT_TAG, "Value": ends.to_tag()}],
    )


def deleted_token_secret(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    watch.aws.secrets.delete_secret(
        SecretId=f"{watch.name}/tokens/{ACCOUNT}", RecoveryWindowInDays=7
    )


def external_secret(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT)
    watch.aws.secrets.create_secret(
        Name=f"{watch.name}/tokens/{ACCOUNT}", SecretString="an-invented-api-key"
    )


def unlisted_accounts(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)
    Policies(stack_of(watch)).take_away("SeeWhenEveryTokenExpires")


def nothing_yet(watch: Watch, _: World) -> None:
    watch.onboard(ACCOUNT, left=FRESH)


def switch_schedule_off(watch: Watch) -> None:
    scheduler = watch.aws.cloud.client("scheduler")
    name = stack_of(watch).resources()["TokenRefresherFunctionEveryTick"]
    found = scheduler.get_schedule(Name=name)
    wanted = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{key: found[key] for key in wanted}, State="DISABLED")


def stack_of(watch: Watch) -> Stack:
    return Stack(watch.aws, {}, name=watch.name)


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure.

    Attributes:
        what: In a person's words.
        bring: Brings it about.
        alarm: The first that goes off.
        is_swept: Whether sweeps go on; where not, they end once all is well.
    """

    what: str
    bring: Callable[[Watch, World], None]
    alarm: str = "ActionRequired"
    is_swept: bool = True


FAILURES: Final[Mapping[str, Failure]] = {
    "wrong-password": Failure("a password was mistyped", wrong_password),
    "client-secret": Failure("the client secret was replaced", replaced_client_secret),
    "other-host": Failure("its host is not allowed", host_not_allowed),
    "redirect": Failure("the token endpoint has moved", redirect),
    "certificate": Failure("nobody vouches for the endpoint's certificate", unknown_authority),
    "no-json": Failure("the credentials are cut off", cut_credentials),
    "no-permission": Failure("the function may not read the credentials", unreadable_credentials),
    "no-key": Failure("the key of the credentials is disabled", disabled_key),
    "consent": Failure("the owner's consent ends within a week", consent_that_ends),
    "deleted": Failure("the token secret is scheduled for deletion", deleted_token_secret),
    "external": Failure("the token secret holds something else", external_secret),
    "lost": Failure(
        "the response to a refresh token is lost", lost_response, "RefreshesKeepFailing"
    ),
    "down": Failure("nothing listens at the token endpoint", endpoint_down, "RefreshesKeepFailing"),
    "unlisted": Failure("the function may not list secrets", unlisted_accounts, "FunctionFails"),
    "schedule": Failure("the schedule is off", nothing_yet, "NoSweepCompleted", is_swept=False),
}


# What is told of it


def row_of(watch: Watch, _: Failure) -> dict[str, str] | None:
    """What a table of the dashboard says, in words, and which of the two times it has.

    What no account is to blame for has a row for each of the last invocations.
    """
    shown = {title: ask_table(watch, query) for title, query in tables_of(watch).items()}
    told = [{"table": title, **words_of(row)} for title, rows in shown.items() for row in rows]
    assert all(each == told[0] and not each["account"] for each in told[1:]), told
    return told[0] if told else None


def words_of(row: insights.Row) -> dict[str, str]:
    told = {key: row.get(key, "") for key in ("account", "error", "failure_class", "fix")}
    return {**told, "times": ", ".join(time for time in TIMES if time in row)}


def answer_of(watch: Watch, failure: Failure) -> dict[str, str] | None:
    """What the command answers that the alarm's description ends with, of this account."""
    description = watch.deployed_alarms()[failure.alarm]["AlarmDescription"]
    program, verb, *options = shlex.split(description.rpartition(": ")[2])
    assert program == "token-refresher"
    if verb != "status":
        return None
    lines = run_command_line(watch, verb, *options).splitlines()
    told = dict(zip(*(re.split(r" {2,}", line) for line in lines[:2]), strict=True))
    assert told["account"] == ACCOUNT
    says = [line for line in lines[2:] if line.startswith(ACCOUNT)]
    return {"state": told["state"], "error": told["error"], "says": "; ".join(says)}


def event_of(watch: Watch, _: Failure) -> dict[str, str] | None:
    """The last event of the failure that a rule of the default bus was sent."""
    sqs, told = watch.clients.sqs, []
    url = sqs.get_queue_url(QueueName=watch.name)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        told += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    if not told:
        return None
    event = max(told, key=lambda each: str(each["time"]))
    return {"kind": event["detail-type"], "message": event["detail"]["message"]}


def hear_of_events(watch: Watch) -> None:
    """Let a queue of the stack's name have the events of the stack."""
    url = watch.clients.sqs.create_queue(QueueName=watch.name)["QueueUrl"]
    attributes = watch.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    events = watch.aws.cloud.client("events")
    pattern = {"source": ["token-refresher"], "detail": {"stack": [watch.name]}}
    events.put_rule(Name=watch.name, EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
    events.put_targets(Rule=watch.name, Targets=[target])


def doctor_of(watch: Watch, failure: Failure) -> dict[str, str] | None:
    """What `doctor` finds wrong first: of the account, or of the stack where none is to blame."""
    account = [] if failure.alarm in OF_THE_STACK else [ACCOUNT]
    where = ("--stack", watch.name, "--region", REGION, "--json")
    steps = json.loads(run_command_line(watch, "doctor", *account, *where))["steps"]
    wrong = [step for step in steps if step["verdict"] == "wrong"]
    return {key: wrong[0][key] for key in ("step", "found", "fix")} if wrong else None


# One function for each column beside the alarm; each is asked once that has gone off.
COLUMNS: Final[Mapping[str, Callable[[Watch, Failure], object]]] = {
    "answer": answer_of,
    "row": row_of,
    "event": event_of,
    "doctor": doctor_of,
}


def run_command_line(watch: Watch, *words: str) -> str:
    """Run the command line as an operator's shell would, and return what it printed."""
    environment = {
        **Stack.clean_environment(),
        **watch.aws.cloud.environment(),
        **watch.aws.trust(),
        "PYTHONPATH": os.pathsep.join(("functions", "cli")),
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "token_refresher_cli", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def tables_of(watch: Watch) -> dict[str, str]:
    """The dashboard's queries by their titles, without the source, which is the stack's log."""
    body = watch.clients.cloudwatch.get_dashboard(DashboardName=watch.name)["DashboardBody"]
    queries = {}
    for widget in json.loads(body)["widgets"]:
        if widget["type"] == "log":
            shown = widget["properties"]
            source, _, queries[shown["title"]] = shown["query"].partition(" | ")
            assert source == f"SOURCE '/aws/lambda/{watch.name}'"
    return queries


def ask_table(watch: Watch, query: str) -> list[insights.Row]:
    """The rows that a person sees who opens the dashboard now."""
    logs, now = watch.clients.logs, int(utc_now().timestamp())
    started = logs.start_query(
        logGroupName=f"/aws/lambda/{watch.name}",
        startTime=now - 3 * 60 * 60,
        endTime=now + 1,
        queryString=query,
    )
    answer = logs.get_query_results(queryId=started["queryId"])
    assert answer["status"] == "Complete"
    return [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]


def events_of(watch: Watch) -> list[insights.Event]:
    """What the function has logged."""
    pages = watch.clients.logs.get_paginator("filter_log_events").paginate(
        logGroupName=f"/aws/lambda/{watch.name}"
    )
    return [
        insights.Event(each["timestamp"], each["message"], each["logStreamName"] + each["message"])
        for page in pages
        for each in page["events"]
    ]


# What becomes of it


def corrected(watch: Watch) -> None:
    put(watch)


def removed(watch: Watch) -> None:
    for kind in ("credentials", "tokens"):
        watch.aws.secrets.delete_secret(
            SecretId=f"{watch.name}/{kind}/{ACCOUNT}", RecoveryWindowInDays=7
        )


ENDS: Final[Mapping[str, Callable[[Watch], None]]] = {
    "wrong-password": corrected,
    "other-host": corrected,
    "no-json": removed,
}


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one stack.

    Attributes:
        told: By column.
        tables: The dashboard's queries.
        events: What the function logged while it failed.
        after: What it logged in two sweeps after the end.
    """

    told: dict[str, object]
    tables: dict[str, str]
    events: list[insights.Event]
    after: list[insights.Event] = field(default_factory=list)

    def accounts(self, events: list[insights.Event], *, later: int = 0) -> list[str]:
        """The accounts that the tables showed of some lines, so many seconds after the last one."""
        now = max(each.timestamp_ms for each in self.events + self.after) // 1000 + later
        shown = [insights.run(query, events, now_seconds=now) for query in self.tables.values()]
        return [row["account"] for rows in shown for row in rows]


def happen(*, is_built: bool) -> dict[str, Story]:
    """Deploy the stacks, let everything happen, and record it."""
    with ExitStack() as stack:
        aws = stack.enter_context(LocalAws(drives_time=True))
        stranger, down = (
            stack.enter_context(AuthorizationServer(stack.enter_context(Authority()), utc_now))
            for _ in range(2)
        )
        stack.enter_context(down.outage())
        key = aws.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
        world, clients = World(aws, stranger, down, key), clients_of(aws)
        first = Stack(aws, {"ScheduleMinutes": "15"}, name="packaged")
        for target in ("deploy-stacks",) if is_built else ("build", "deploy-stacks"):
            first.make(target)
        function = clients.cloudformation.get_template(
            StackName=first.name, TemplateStage="Original"
        )["TemplateBody"]
        time = Time(aws)
        watches = [Watch(aws, clients, time, name) for name in FAILURES]
        for watch in watches:
            deploy(watch, function, world.parameters())
            hear_of_events(watch)
        told: dict[str, Story] = {}
        going_on = {watch.name: story_of(watch, world) for watch in watches}
        while going_on:
            for name, story in list(going_on.items()):
                try:
                    next(story)
                except StopIteration as end:
                    told[name] = end.value
                    del going_on[name]
            time.let_pass_until_the_next_tick()
        return {name: told[name] for name in FAILURES}


def story_of(watch: Watch, world: World) -> Generator[None, None, Story]:
    """Bring a failure about, ask for what is told of it once an alarm goes off, and let it end."""
    failure = FAILURES[watch.name]
    failure.bring(watch, world)

    def has_gone_off() -> bool:
        return failure.alarm in watch.gone_off()

    if failure.is_swept:
        yield from watch.sweep_until(has_gone_off)
    else:
        yield from watch.sweep_until(lambda: watch.states()[failure.alarm] == OK)
        switch_schedule_off(watch)
        yield from watch.wait_until(has_gone_off)
    assert has_gone_off(), watch.states()
    told: dict[str, object] = {"alarm": watch.alarm_name(failure.alarm).partition(" ")[2]}
    for name, column in COLUMNS.items():
        if failure.is_swept:
            watch.sweep()
        told[name] = column(watch, failure)
    before = events_of(watch)
    after: list[insights.Event] = []
    if end := ENDS.get(watch.name):
        end(watch)
        known = {each.pointer for each in before}
        watch.sweep()
        watch.sweep()
        after = [each for each in events_of(watch) if each.pointer not in known]
    return Story(
        json.loads(lasting(watch, json.dumps(told, ensure_ascii=False))),
        tables_of(watch),
        before,
        after,
    )


def lasting(watch: Watch, text: str) -> str:
    """Leave out what differs from run to run, and name the stack as the documents do."""
    for pattern, instead in (
        (r", (?:now|[0-9][^,;]* ago); tried again [^\"]*", ""),
        (r"\b[0-9]+ (?:d|h|min|s)\b(?: [0-9]+ (?:h|min|s)\b)?", "…"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC", "…"),
        (r"localhost:[0-9]+", "localhost:…"),
        (r"\bArchitecture=\w+", "Architecture=…"),
        (r"(:key/|EveryTick-)[\w-]+", r"\1…"),
        (rf"(--stack |STACK=|/aws/lambda/){watch.name}\b", rf"\1{STACK}"),
        (rf"\b{watch.name}/(credentials|tokens)/", r"oauth/\1/"),
    ):
        text = re.sub(pattern, instead, text)
    return text


def main() -> int:
    """Let it all happen, and keep what was told."""
    stories = happen(is_built=False)
    record = {FAILURES[name].what: story.told for name, story in stories.items()}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return 0
