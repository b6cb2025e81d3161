"""The walk through a deployed stack: what AWS's documents promise of each part, and what it does.

It changes nothing but what it has made itself, under names that begin with one that it invented.
No secret is in what it tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tools.deploying.place import said_of
from tools.smoke import deployed
from tools.smoke.findings import BudgetError, Finding, Verdict
from tools.smoke.questions import LostError, settle
from tools.smoke.sandbox import Sandbox
from tools.smoke.stack_cleanup import ACCOUNTS
from tools.smoke.stack_site import CommandError
from tools.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tools.smoke.stack_site import Site

    Answers = Iterator[Finding]

MISTYPED, CREATED, FILLED = ACCOUNTS
SURROUNDINGS: Final = ROOT / "infra" / "smoke" / "surroundings.yaml"
# With Triggers, the stack reserves one execution for each of two functions.
RESERVED: Final = 2
# Lambda refuses a reservation that leaves less than 100 to the account's other functions.
NEEDED: Final = 100 + RESERVED
HOUR: Final = timedelta(hours=1)
SILENT: Final = "no sweep completed"
CALLED: Final = "action required"
WITHOUT_DATA: Final = ", without data"
# What makes an alarm the same alarm; without its actions, so that a copy calls nobody.
KEPT: Final = (
    *("Namespace", "MetricName", "Dimensions", "Statistic", "EvaluationPeriods"),
    *("DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData"),
    *("WarmUpConfiguration", "Period"),
)
# What is told of a schedule, and may not be said when it is changed.
ONLY_TOLD: Final = ("Arn", "CreationDate", "LastModificationDate", "ResponseMetadata")
NOT_OURS: Final = {"accounts": "this is no list of names"}


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the walk.

    Attributes:
        title: For a person.
        take: Takes it, and tells what it finds as it finds it.
        is_vital: Whether nothing after it can be asked without it.
    """

    title: str
    take: Callable[[Walk], Answers]
    is_vital: bool = False


class Walk:
    """A walk, once.

    Args:
        site: Where.
        client_secret: What its token endpoint takes; no other endpoint does.
    """

    def __init__(self, site: Site, client_secret: str) -> None:
        self._site = site
        self._names = site.names
        self._client_secret = client_secret
        self._of_stack = f"STACK={site.names.stack}"
        self._around: dict[str, str] = {}
        self._reserves = False
        self._deployed_at = 0.0
        self._silent_since: float | None = None

    def go(self, steps: Iterable[Step]) -> Answers:
        """Take the steps; what AWS refuses is unknown, and so is what comes after the budget."""
        over = ""
        for step in steps:
            if over:
                yield Finding(step.title, Verdict.UNKNOWN, over)
                continue
            print(f"== {step.title}", flush=True)
            try:
                yield from step.take(self)
            except BudgetError as error:
                over = f"the budget: {error}"
                yield Finding(step.title, Verdict.UNKNOWN, over)
            except (BotoCoreError, ClientError, CommandError, LostError) as error:
                why = _refusal(error)
                yield Finding(step.title, Verdict.UNKNOWN, why)
                over = f"not asked, without: {step.title}" if step.is_vital else ""

    # What the stack needs

    def surround(self) -> Answers:
        """Make the token endpoint, the keys and the roles."""
        site, stack = self._site, self._names.surroundings
        site.client("cloudformation").create_stack(
            StackName=stack,
            TemplateBody=SURROUNDINGS.read_text("utf-8"),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": "SecretPrefix", "ParameterValue": self._names.stack},
                {"ParameterKey": "ClientSecret", "ParameterValue": self._client_secret},
            ],
        )
        status, seconds = site.wait(
            "the stack", lambda: _ended(site.status(stack)), seconds=site.waits.stack
        )
        if status != "CREATE_COMPLETE":
            raise CommandError(f"the stack {stack} is {status or 'not there in time'}")
        self._around = site.outputs(stack)
        yield _found("a function URL, three keys and two roles are made", measured=_took(seconds))

    def deploy(self) -> Answers:
        """Deploy the stack and its alarms, as an operator does."""
        site = self._site
        limits = site.client("lambda").get_account_settings()["AccountLimit"]
        unreserved = limits["UnreservedConcurrentExecutions"]
        self._reserves = unreserved >= NEEDED
        yield _found(
            "the account tells whether it can reserve concurrency",
            measured=f"{unreserved} unreserved: ReserveConcurrency={str(self._reserves).lower()}",
        )
        began = site.monotonic()
        site.make("deploy", self._of_stack, f"PARAMETERS={self._parameters()}")
        self._deployed_at = site.monotonic()
        stacks = (self._names.stack, self._names.monitoring)
        status = {site.status(stack) for stack in stacks}
        yield _found(
            "make deploy makes the stack and its alarms",
            held=status == {"CREATE_COMPLETE"},
            measured=_took(self._deployed_at - began),
        )
        reserved = [self._reserved(ending) for ending in ("", "-triggers")]
        yield _found(
            "what is reserved is what the template says",
            held=reserved == [1 if self._reserves else None] * RESERVED,
            measured=", ".join(str(each) for each in reserved),
        )

    def _parameters(self, **more: str) -> str:
        parameters = {
            "SecretPrefix": self._names.stack,
            "AllowedTokenHosts": urlsplit(self._around["TokenEndpoint"]).hostname,
            "ScheduleMinutes": "1",
            "Triggers": "true",
            "Rotation": "true",
            "CredentialsKmsKeyArn": self._around["CredentialsKey"],
            "TokenSecretKmsKeyArn": self._around["TokensKey"],
            "ReserveConcurrency": str(self._reserves).lower(),
            "LogRetentionDays": "1",
            **more,
        }
        return " ".join(f"{name}={value}" for name, value in parameters.items())

    def _reserved(self, ending: str) -> int | None:
        told = self._site.client("lambda").get_function_concurrency(
            FunctionName=self._names.stack + ending
        )
        reserved: int | None = told.get("ReservedConcurrentExecutions")
        return reserved

    # Credentials, tokens, and who is called

    def mistype(self) -> Answers:
        """Put a wrong password, see who is called, correct it, see it over."""
        site, names = self._site, self._names
        alarm = self._alarm(CALLED)
        self._create(MISTYPED, self._credentials(MISTYPED, password="wrong"))  # noqa: S106
        error, seconds = site.wait(
            "the wrong password to be tried",
            lambda: self._failure(MISTYPED),
            seconds=site.waits.trigger,
        )
        yield _found(
            "a wrong password is recorded as an action that is required",
            held=error == "action required: invalid_grant",
            measured=f"{error or 'nothing is recorded'}, after {seconds:.0f} s",
        )
        swept, _ = site.wait("a sweep", self._sweeps, seconds=site.waits.sweep)
        yield _found(
            "the schedule sweeps, and CloudWatch counts it",
            held=bool(swept),
            measured=f"seen {site.monotonic() - self._deployed_at:.0f} s after the deployment",
        )
        yield self._changes(alarm, "ALARM", f"the alarm {CALLED} goes off", since="that")
        site.secrets.put_secret_value(
            SecretId=names.credentials(MISTYPED),
            SecretString=self._credentials(MISTYPED, password=self._client_secret),
        )
        yield self._published(MISTYPED, "corrected credentials have a token")
        yield self._changes(alarm, "OK", "the alarm tells that it is over", since="the token")

    def start_without_schedule(self) -> Answers:
        """Turn the schedule off, and see that a change of credentials alone brings a token."""
        site, names = self._site, self._names
        scheduler = site.client("scheduler")
        silent = self._copy(SILENT)
        # For a stack that there is not.
        self._copy(SILENT, Dimensions=[{"Name": "service", "Value": f"{names.stack}-nobody"}])
        state, seconds = site.wait(
            "the copy of an alarm to have its data",
            lambda: self._state(silent) == "OK" or self._sweep_by_hand(),
            seconds=site.waits.alarm,
        )
        yield _found(
            f"the alarm {SILENT} ends its warm-up once it has data",
            held=bool(state),
            measured=_took(seconds),
        )
        schedule = site.resource(names.stack, "TokenRefresherFunctionEveryTick")
        told = scheduler.get_schedule(Name=schedule.rpartition("|")[2])
        kept = {name: value for name, value in told.items() if name not in ONLY_TOLD}
        scheduler.update_schedule(**{**kept, "State": "DISABLED"})
        self._silent_since = site.monotonic()

        self._create(CREATED, self._credentials(CREATED))
        yield self._published(CREATED, "CreateSecret alone brings a first token")
        self._create(FILLED, None)
        empty = self._site.stages(names.credentials(FILLED))
        site.secrets.put_secret_value(
            SecretId=names.credentials(FILLED), SecretString=self._credentials(FILLED)
        )
        yield self._published(FILLED, "so does the first value of an empty secret")
        yield _found(
            "a secret that is created without a value has no version",
            held=not empty,
            measured=f"{len(empty)} stages",
        )
        failed = [each for each in self._log() if each.get("error") == "ResourceNotFoundException"]
        yield _found(
            "what was just created is found by the next call",
            held=not failed,
            measured=f"{len(failed)} of {len(ACCOUNTS)} first tokens were not, at first",
        )

    def fail_an_event(self) -> Answers:
        """Send an event that is none, and find it in the queue of those that failed."""
        site = self._site
        queue = site.resource(self._names.stack, "FailedEvents")
        site.client("lambda").invoke(
            FunctionName=self._names.stack,
            InvocationType="Event",
            Payload=json.dumps(NOT_OURS),
        )

        def received() -> dict[str, Any] | None:
            told = site.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            bodies = [json.loads(each["Body"]) for each in told.get("Messages", ())]
            return next((each for each in bodies if each["requestPayload"] == NOT_OURS), None)

        event, seconds = site.wait("the event", received, seconds=site.waits.trigger)
        told = (event or {}).get("responsePayload", {})
        yield _found(
            "an event that fails is kept in the queue, with its error",
            held=str(told.get("errorMessage")).startswith("accepted are"),
            measured=f"{told.get('errorType', 'nothing came')}, after {seconds:.0f} s",
        )

    def look_at_it(self) -> Answers:
        """Ask what `make smoke-aws STACK=name` asks."""
        site = self._site
        sandbox = Sandbox(site.place, monotonic=site.monotonic, sleep=site.pause)
        for question in deployed.questions(self._names.stack):
            yield settle(question, sandbox)

    # Native rotation

    def rotate(self) -> Answers:
        """Rotate a token now."""
        site, secret_id = self._site, self._names.token(CREATED)
        before = site.stages(secret_id).get("AWSCURRENT")
        version = site.secrets.rotate_secret(
            SecretId=secret_id,
            RotationLambdaARN=self._rotation_function(),
            RotationRules={"AutomaticallyAfterDays": 30},
        )["VersionId"]

        def rotated() -> dict[str, str] | None:
            stages = site.stages(secret_id)
            is_over = stages.get("AWSPENDING") in {None, version}
            return stages if is_over and stages.get("AWSCURRENT") == version else None

        stages, seconds = site.wait("the rotation", rotated, seconds=site.waits.trigger)
        yield _found(
            "rotate-secret publishes a token at once",
            held=stages is not None and stages.get("AWSPREVIOUS") == before,
            measured=_took(seconds),
        )

    def rotate_later(self) -> Answers:
        """Set up a rotation for later, and see what is done at once all the same."""
        site, secret_id = self._site, self._names.token(FILLED)
        before = site.stages(secret_id)
        site.secrets.rotate_secret(
            SecretId=secret_id,
            RotationLambdaARN=self._rotation_function(),
            RotationRules={"AutomaticallyAfterDays": 30},
            RotateImmediately=False,
        )
        _, seconds = site.wait(
            "testSecret", lambda: self._asked_of_rotation(FILLED), seconds=site.waits.trigger
        )
        stages, _ = site.wait(
            "its version to go",
            lambda: _without_pending(site.stages(secret_id)),
            seconds=site.waits.trigger,
        )
        asked = self._asked_of_rotation(FILLED)
        yield _found(
            "without rotating at once testSecret is asked for, alone",
            held=asked == ["testSecret"],
            measured=f"{', '.join(asked) or 'nothing'}, after {seconds:.0f} s",
        )
        yield _found(
            "it changes no token, and leaves no AWSPENDING",
            held=stages == before,
            measured=", ".join(sorted(stages or {"AWSPENDING stays": ""})),
        )
        earlier = site.described(secret_id)
        site.secrets.put_secret_value(
            SecretId=secret_id, SecretString=json.dumps({"access_token": "of-no-server"})
        )
        later = site.described(secret_id)
        moved = [
            f"{field} {earlier.get(field)} -> {later.get(field)}"
            for field in ("LastRotatedDate", "NextRotationDate")
            if earlier.get(field) != later.get(field)
        ]
        yield Finding(
            "a version that is put counts as a rotation",
            Verdict.AS_DOCUMENTED if moved else Verdict.UNKNOWN,
            "; ".join(moved) or f"no date moved; the next is {later.get('NextRotationDate')}",
        )

    def _rotation_function(self) -> str:
        found: str = self._site.client("lambda").get_function_configuration(
            FunctionName=f"{self._names.stack}-rotation"
        )["FunctionArn"]
        return found

    def _asked_of_rotation(self, account: str) -> list[str]:
        """Tell the steps that were taken of an account's rotations."""
        return [
            each["step"] for each in self._log() if each.get("account") == account if "step" in each
        ]

    # Keys

    def look_at_keys(self) -> Answers:
        """See under which keys secrets are, and change one as the documents say."""
        site, names, around = self._site, self._names, self._around
        found = [
            "its own" if _is_key(site.described(secret_id).get("KmsKeyId", ""), key) else "another"
            for secret_id, key in (
                (names.credentials(CREATED), around["CredentialsKey"]),
                (names.token(CREATED), around["TokensKey"]),
            )
        ]
        yield _found(
            "credentials are under one key, tokens under another",
            held=found == ["its own"] * 2,
            measured=", ".join(found),
        )
        without = self._assume(around["RoleWithoutEncrypt"]).client("secretsmanager")
        for account, client, reaches, question in (
            (FILLED, without, False, "a changed key without kms:Encrypt leaves versions behind"),
            (CREATED, site.secrets, True, "with it AWSCURRENT is encrypted again"),
        ):
            secret_id, later = names.credentials(account), around["LaterKey"]
            self._patiently(partial(client.update_secret, SecretId=secret_id, KmsKeyId=later))
            keys = self._keys_of_current(secret_id)
            yield _found(
                question,
                held=any(_is_key(key, later) for key in keys) is reaches,
                measured="KmsKeyIds: "
                + ", ".join("the new" if _is_key(key, later) else "the old" for key in keys),
            )

    def _keys_of_current(self, secret_id: str) -> list[str]:
        """Name the keys that the current version is encrypted with."""
        listed = self._site.secrets.list_secret_version_ids(SecretId=secret_id)["Versions"]
        return [
            key
            for each in listed
            if "AWSCURRENT" in each.get("VersionStages", ())
            for key in each.get("KmsKeyIds", ())
        ]

    # A consumer

    def read_as_a_consumer(self) -> Answers:
        """Give a role the policy of one account, and see what it reads."""
        site, names, around = self._site, self._names, self._around
        keys = f"TokenSecretKmsKeyArn={around['TokensKey']}"
        parameters = f"SecretPrefix={names.stack} CreateSecret=false {keys}"
        site.make("account", self._of_stack, f"ACCOUNT={CREATED}", f"PARAMETERS={parameters}")
        policy = site.outputs(f"{names.stack}-account-{CREATED}")["ReadTokenPolicyArn"]
        site.client("iam").attach_role_policy(RoleName=around["ConsumerRoleName"], PolicyArn=policy)
        consumer = self._assume(around["ConsumerRole"]).client("secretsmanager")

        def reads() -> bool:
            return _refusal_to_read(consumer, names.token(CREATED)) is None

        read, seconds = site.wait("IAM", reads, seconds=site.waits.permission)
        yield _found(
            "a consumer's role reads the token of its account",
            held=bool(read),
            measured=f"{seconds:.0f} s after its policy was attached",
        )
        refused = [
            _refusal_to_read(consumer, secret_id)
            for secret_id in (names.credentials(CREATED), names.token(FILLED))
        ]
        yield _found(
            "neither its credentials nor the token of another",
            held=refused == ["AccessDeniedException"] * 2,
            measured=", ".join(each or "read" for each in refused),
        )

    # The stack itself

    def trace(self) -> Answers:
        """Turn tracing on for a stack that is there."""
        site, attempts = self._site, 0
        parameters = self._parameters(Tracing="true")
        while True:
            attempts += 1
            began = site.monotonic()
            try:
                # What was built is deployed once more.
                site.make("deploy-stacks", self._of_stack, f"PARAMETERS={parameters}")
                break
            except CommandError:
                # Documented: IAM may not know the new permission yet.
                if attempts > 1:
                    raise
        told = site.client("lambda").get_function_configuration(FunctionName=self._names.stack)
        yield _found(
            "tracing can be turned on for a stack that is there, at the second attempt at worst",
            held=told["TracingConfig"]["Mode"] == "Active",
            measured=f"attempt {attempts}, {_took(site.monotonic() - began)}",
        )

    def notice_silence(self) -> Answers:
        """Wait for the alarm that goes off because nothing comes."""
        if self._silent_since is None:
            raise CommandError("the schedule was not turned off")
        alarm = self._names.copies + SILENT
        state, _ = self._site.wait(
            "the copy of that alarm",
            lambda: self._state(alarm) == "ALARM",
            seconds=self._site.waits.alarm,
        )
        yield _found(
            f"the alarm {SILENT} goes off, by a copy with periods of "
            f"{self._site.waits.alarm_period} s",
            held=bool(state),
            measured=f"seen {self._site.monotonic() - self._silent_since:.0f} s after the schedule "
            "was off",
        )
        dataless = self._state(alarm + WITHOUT_DATA)
        yield _found(
            "without any data it stays in its warm-up, and calls nobody",
            held=dataless == "INSUFFICIENT_DATA",
            measured=dataless,
        )

    def undeploy(self) -> Answers:
        """Delete the stack as an operator does, and see what is left."""
        site, names = self._site, self._names
        queue = site.resource(names.stack, "FailedEvents")
        began = site.monotonic()
        said = site.make("undeploy", self._of_stack)
        seconds = site.monotonic() - began
        # The deletion of a queue takes a minute to be seen.
        gone, _ = site.wait(
            "the queue to be gone", lambda: not self._left_of(queue), seconds=site.waits.trigger
        )
        left = [] if gone else self._left_of(queue)
        yield _found(
            "make undeploy deletes both stacks, the log and the queue",
            held=not left and "Left alone" in said,
            measured=_took(seconds) + (f"; left: {', '.join(left)}" if left else ""),
        )
        refused = [
            _refusal_to_read(site.secrets, name(account))
            for account in ACCOUNTS
            for name in (names.credentials, names.token)
        ]
        yield _found(
            "it leaves every secret, and tokens can be read",
            held=not any(refused),
            measured=f"{refused.count(None)} of {len(refused)} secrets read",
        )

    def _left_of(self, queue: str) -> list[str]:
        """Name what is still there of what was deployed."""
        site, names = self._site, self._names
        stacks = (names.stack, names.monitoring)
        groups = site.client("logs").describe_log_groups(
            logGroupNamePrefix=f"/aws/lambda/{names.stack}"
        )["logGroups"]
        queues = site.client("sqs").list_queues(QueueNamePrefix=queue.rpartition("/")[2])
        return [
            *(stack for stack in stacks if site.status(stack) is not None),
            *(each["logGroupName"] for each in groups),
            *queues.get("QueueUrls", ()),
        ]

    # Alarms

    def _alarm(self, name: str) -> str:
        """Name the alarm that is looked at for a deployed one."""
        if not self._site.waits.sweeps_by_hand:
            return f"{self._names.stack} {name}"
        return self._copy(name)

    def _copy(self, name: str, **changed: object) -> str:
        """Copy a deployed alarm, with a shorter period."""
        cloudwatch = self._site.client("cloudwatch")
        (deployed,) = cloudwatch.describe_alarms(AlarmNames=[f"{self._names.stack} {name}"])[
            "MetricAlarms"
        ]
        kept = {field: deployed[field] for field in KEPT if deployed.get(field) is not None}
        copy = {**kept, "Period": self._site.waits.alarm_period, **changed}
        named = self._names.copies + name + (WITHOUT_DATA if changed else "")
        cloudwatch.put_metric_alarm(AlarmName=named, ActionsEnabled=False, **copy)
        return named

    def _state(self, alarm: str) -> str:
        found = self._site.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        return str(found[0]["StateValue"]) if found else "not there"

    def _changes(self, alarm: str, state: str, question: str, *, since: str) -> Finding:
        """Wait until an alarm is in a state."""
        found, seconds = self._site.wait(
            f"the alarm to be {state}",
            lambda: self._state(alarm) == state or self._sweep_by_hand(),
            seconds=self._site.waits.alarm,
        )
        return _found(question, held=bool(found), measured=f"{_took(seconds)} after {since}")

    def _sweep_by_hand(self) -> bool:
        """Sweep, where the schedule is not waited for; it is counted as the schedule's are."""
        if self._site.waits.sweeps_by_hand:
            self._site.client("lambda").invoke(
                FunctionName=self._names.stack, InvocationType="Event", Payload=b"{}"
            )
        return False

    def _sweeps(self) -> bool:
        """Tell whether CloudWatch has counted a sweep."""
        now = datetime.now(UTC)
        # A listing of metrics may lag by a quarter of an hour.
        found = self._site.client("cloudwatch").get_metric_statistics(
            Namespace="TokenRefresher",
            MetricName="SweepsCompleted",
            Dimensions=[{"Name": "service", "Value": self._names.stack}],
            StartTime=now - HOUR,
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return bool(found["Datapoints"])

    # Accounts

    def _credentials(self, account: str, *, password: str = "") -> str:
        """Write an account's credentials: a password's, or else the client's own."""
        of_user = {"grant_type": "password", "username": account, "password": password}
        return json.dumps(
            {
                "token_endpoint": f"{self._around['TokenEndpoint']}token",
                "client_id": account,
                "client_secret": self._client_secret,
                **(of_user if password else {"grant_type": "client_credentials"}),
            }
        )

    def _create(self, account: str, text: str | None) -> None:
        self._site.secrets.create_secret(
            Name=self._names.credentials(account),
            KmsKeyId=self._around["CredentialsKey"],
            **({"SecretString": text} if text else {}),
        )

    def _failure(self, account: str) -> str:
        """Return what is recorded of an account's failure; empty where nothing is."""
        tags = self._site.described(self._names.token(account)).get("Tags", ())
        found = {each["Key"]: each["Value"] for each in tags}.get("token-refresher:failure", "")
        return str(found).partition("/")[0]

    def _published(self, account: str, question: str) -> Finding:
        """Wait until an account has a token; where it gets none, tell what is recorded."""
        secret_id = self._names.token(account)
        version, seconds = self._site.wait(
            "the token",
            lambda: self._site.stages(secret_id).get("AWSCURRENT"),
            seconds=self._site.waits.trigger,
        )
        why = "" if version else f"; {self._failure(account) or 'no failure is recorded'}"
        return _found(question, held=bool(version), measured=_took(seconds) + why)

    # Logs, roles

    def _lines(self) -> Iterator[str]:
        pages = self._site.client("logs").get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=f"/aws/lambda/{self._names.stack}"):
            for event in page["events"]:
                yield event["message"]

    def _log(self) -> list[dict[str, Any]]:
        """Return what the functions have logged; other lines are Lambda's own."""
        lines = (line.strip() for message in self._lines() for line in message.splitlines())
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _assume(self, role: str) -> boto3.Session:
        """Act as a role; a new one may not be known at once."""
        given = self._patiently(
            lambda: self._site.client("sts").assume_role(RoleArn=role, RoleSessionName="smoke")
        )["Credentials"]
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=self._site.place.region,
        )

    def _patiently(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Do something as soon as IAM allows it.

        Raises:
            ClientError: It never did.
        """
        refusals: list[ClientError] = []

        def done() -> Any:  # noqa: ANN401
            try:
                return act()
            except ClientError as error:
                if not said_of(error).startswith("AccessDenied"):
                    raise
                refusals.append(error)
                return None

        found, _ = self._site.wait("IAM", done, seconds=self._site.waits.permission)
        if found is None:
            raise refusals[-1]
        return found


STEPS: Final = (
    Step("A token endpoint, keys and roles", Walk.surround, is_vital=True),
    Step("make deploy", Walk.deploy, is_vital=True),
    Step("A wrong password, corrected", Walk.mistype),
    Step("An event that fails", Walk.fail_an_event),
    Step("What a stack shows of itself", Walk.look_at_it),
    Step("First tokens, with the schedule off", Walk.start_without_schedule),
    Step("Rotation now", Walk.rotate),
    Step("Rotation for later", Walk.rotate_later),
    Step("Two KMS keys, and a third", Walk.look_at_keys),
    Step("A consumer's role", Walk.read_as_a_consumer),
    Step("Tracing", Walk.trace),
    Step("No sweep completed", Walk.notice_silence),
    Step("make undeploy", Walk.undeploy),
)


def _found(question: str, *, held: bool = True, measured: str) -> Finding:
    return Finding(question, Verdict.AS_DOCUMENTED if held else Verdict.DIFFERS, measured)


def _took(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _refusal(error: BotoCoreError | ClientError | CommandError | LostError) -> str:
    """Tell which call was refused, and how; of a message of AWS, nothing."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {said_of(error)}"
    return type(error).__name__ if isinstance(error, BotoCoreError) else str(error)


def _refusal_to_read(secrets: Any, secret_id: str) -> str | None:  # noqa: ANN401
    """Tell why a secret cannot be read; None where it can."""
    try:
        secrets.get_secret_value(SecretId=secret_id)
    except ClientError as error:
        return said_of(error)
    return None


def _ended(status: str | None) -> str | None:
    return None if status is None or status.endswith("_IN_PROGRESS") else status


def _without_pending(stages: dict[str, str]) -> dict[str, str] | None:
    """Return stages of no rotation that has begun; the last one's may stay where it was."""
    pending, current = stages.get("AWSPENDING"), stages.get("AWSCURRENT")
    return stages if pending in {None, current} else None


def _is_key(key: str, arn: str) -> bool:
    """Tell whether a key is that one, by its id or its ARN."""
    return key == arn or key == arn.rpartition("/")[2]
