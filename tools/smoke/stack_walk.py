"""The walk through a deployed stack: what AWS's documents promise of each part, and what it does.

It changes nothing but what it has made itself, under names that begin with one that it invented.
No secret is in what it tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from tools.deploying.place import said_of
from tools.smoke import deployed
from tools.smoke.findings import BudgetError, Finding, Verdict, compared, took
from tools.smoke.questions import LostError, settle
from tools.smoke.sandbox import Sandbox
from tools.smoke.stack_cleanup import ACCOUNTS
from tools.smoke.stack_observer import WITHOUT_DATA, Observer, is_key, refusal_to_read
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
SILENT: Final = "no sweep completed"
CALLED: Final = "action required"
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
        self._seen = Observer(site)
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
        yield compared("a function URL, three keys and two roles are made", measured=took(seconds))

    def deploy(self) -> Answers:
        """Deploy the stack and its alarms, as an operator does."""
        site = self._site
        limits = site.client("lambda").get_account_settings()["AccountLimit"]
        unreserved = limits["UnreservedConcurrentExecutions"]
        self._reserves = unreserved >= NEEDED
        yield compared(
            "the account tells whether it can reserve concurrency",
            measured=f"{unreserved} unreserved: ReserveConcurrency={str(self._reserves).lower()}",
        )
        began = site.monotonic()
        site.make("deploy", self._of_stack, f"PARAMETERS={self._parameters()}")
        self._deployed_at = site.monotonic()
        stacks = (self._names.stack, self._names.monitoring)
        status = {site.status(stack) for stack in stacks}
        yield compared(
            "make deploy makes the stack and its alarms",
            held=status == {"CREATE_COMPLETE"},
            measured=took(self._deployed_at - began),
        )
        reserved = [self._seen.reserved(ending) for ending in ("", "-triggers")]
        yield compared(
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

    # Credentials, tokens, and who is called

    def mistype(self) -> Answers:
        """Put a wrong password, see who is called, correct it, see it over."""
        site, names = self._site, self._names
        alarm = self._seen.alarm(CALLED)
        self._create(MISTYPED, self._credentials(MISTYPED, password="wrong"))  # noqa: S106
        error, seconds = site.wait(
            "the wrong password to be tried",
            lambda: self._seen.failure(MISTYPED),
            seconds=site.waits.trigger,
        )
        yield compared(
            "a wrong password is recorded as an action that is required",
            held=error == "action required: invalid_grant",
            measured=f"{error or 'nothing is recorded'}, after {seconds:.0f} s",
        )
        swept, _ = site.wait("a sweep", self._seen.has_swept, seconds=site.waits.sweep)
        yield compared(
            "the schedule sweeps, and CloudWatch counts it",
            held=bool(swept),
            measured=f"seen {site.monotonic() - self._deployed_at:.0f} s after the deployment",
        )
        yield self._seen.changes(alarm, "ALARM", f"the alarm {CALLED} goes off", since="that")
        site.secrets.put_secret_value(
            SecretId=names.credentials(MISTYPED),
            SecretString=self._credentials(MISTYPED, password=self._client_secret),
        )
        yield self._seen.published(MISTYPED, "corrected credentials have a token")
        yield self._seen.changes(alarm, "OK", "the alarm tells that it is over", since="the token")

    def start_without_schedule(self) -> Answers:
        """Turn the schedule off, and see that a change of credentials alone brings a token."""
        site, names = self._site, self._names
        scheduler = site.client("scheduler")
        silent = self._seen.copy(SILENT)
        # For a stack that there is not.
        self._seen.copy(SILENT, Dimensions=[{"Name": "service", "Value": f"{names.stack}-nobody"}])
        state, seconds = site.wait(
            "the copy of an alarm to have its data",
            lambda: self._seen.state(silent) == "OK" or self._seen.sweep_by_hand(),
            seconds=site.waits.alarm,
        )
        yield compared(
            f"the alarm {SILENT} ends its warm-up once it has data",
            held=bool(state),
            measured=took(seconds),
        )
        schedule = site.resource(names.stack, "TokenRefresherFunctionEveryTick")
        told = scheduler.get_schedule(Name=schedule.rpartition("|")[2])
        kept = {name: value for name, value in told.items() if name not in ONLY_TOLD}
        scheduler.update_schedule(**{**kept, "State": "DISABLED"})
        self._silent_since = site.monotonic()

        self._create(CREATED, self._credentials(CREATED))
        yield self._seen.published(CREATED, "CreateSecret alone brings a first token")
        self._create(FILLED, None)
        empty = self._site.stages(names.credentials(FILLED))
        site.secrets.put_secret_value(
            SecretId=names.credentials(FILLED), SecretString=self._credentials(FILLED)
        )
        yield self._seen.published(FILLED, "so does the first value of an empty secret")
        yield compared(
            "a secret that is created without a value has no version",
            held=not empty,
            measured=f"{len(empty)} stages",
        )
        failed = [
            each for each in self._seen.log() if each.get("error") == "ResourceNotFoundException"
        ]
        yield compared(
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
        yield compared(
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
            RotationLambdaARN=self._seen.rotation_function(),
            RotationRules={"AutomaticallyAfterDays": 30},
        )["VersionId"]

        def rotated() -> dict[str, str] | None:
            stages = site.stages(secret_id)
            is_over = stages.get("AWSPENDING") in {None, version}
            return stages if is_over and stages.get("AWSCURRENT") == version else None

        stages, seconds = site.wait("the rotation", rotated, seconds=site.waits.trigger)
        yield compared(
            "rotate-secret publishes a token at once",
            held=stages is not None and stages.get("AWSPREVIOUS") == before,
            measured=took(seconds),
        )

    def rotate_later(self) -> Answers:
        """Set up a rotation for later, and see what is done at once all the same."""
        site, secret_id = self._site, self._names.token(FILLED)
        before = site.stages(secret_id)
        site.secrets.rotate_secret(
            SecretId=secret_id,
            RotationLambdaARN=self._seen.rotation_function(),
            RotationRules={"AutomaticallyAfterDays": 30},
            RotateImmediately=False,
        )
        _, seconds = site.wait(
            "testSecret",
            lambda: self._seen.asked_of_rotation(FILLED),
            seconds=site.waits.trigger,
        )
        stages, _ = site.wait(
            "its version to go",
            lambda: _without_pending(site.stages(secret_id)),
            seconds=site.waits.trigger,
        )
        asked = self._seen.asked_of_rotation(FILLED)
        yield compared(
            "without rotating at once testSecret is asked for, alone",
            held=asked == ["testSecret"],
            measured=f"{', '.join(asked) or 'nothing'}, after {seconds:.0f} s",
        )
        yield compared(
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

    # Keys

    def look_at_keys(self) -> Answers:
        """See under which keys secrets are, and change one as the documents say."""
        site, names, around = self._site, self._names, self._around
        found = [
            "its own" if is_key(site.described(secret_id).get("KmsKeyId", ""), key) else "another"
            for secret_id, key in (
                (names.credentials(CREATED), around["CredentialsKey"]),
                (names.token(CREATED), around["TokensKey"]),
            )
        ]
        yield compared(
            "credentials are under one key, tokens under another",
            held=found == ["its own"] * 2,
            measured=", ".join(found),
        )
        without = site.as_role(around["RoleWithoutEncrypt"]).client("secretsmanager")
        for account, client, reaches, question in (
            (FILLED, without, False, "a changed key without kms:Encrypt leaves versions behind"),
            (CREATED, site.secrets, True, "with it AWSCURRENT is encrypted again"),
        ):
            secret_id, later = names.credentials(account), around["LaterKey"]
            site.patiently(partial(client.update_secret, SecretId=secret_id, KmsKeyId=later))
            keys = self._seen.keys_of_current(secret_id)
            yield compared(
                question,
                held=any(is_key(key, later) for key in keys) is reaches,
                measured="KmsKeyIds: "
                + ", ".join("the new" if is_key(key, later) else "the old" for key in keys),
            )

    # A consumer

    def read_as_a_consumer(self) -> Answers:
        """Give a role the policy of one account, and see what it reads."""
        site, names, around = self._site, self._names, self._around
        keys = f"TokenSecretKmsKeyArn={around['TokensKey']}"
        parameters = f"SecretPrefix={names.stack} CreateSecret=false {keys}"
        site.make("account", self._of_stack, f"ACCOUNT={CREATED}", f"PARAMETERS={parameters}")
        policy = site.outputs(f"{names.stack}-account-{CREATED}")["ReadTokenPolicyArn"]
        site.client("iam").attach_role_policy(RoleName=around["ConsumerRoleName"], PolicyArn=policy)
        consumer = site.as_role(around["ConsumerRole"]).client("secretsmanager")

        def reads() -> bool:
            return refusal_to_read(consumer, names.token(CREATED)) is None

        read, seconds = site.wait("IAM", reads, seconds=site.waits.permission)
        yield compared(
            "a consumer's role reads the token of its account",
            held=bool(read),
            measured=f"{seconds:.0f} s after its policy was attached",
        )
        refused = [
            refusal_to_read(consumer, secret_id)
            for secret_id in (names.credentials(CREATED), names.token(FILLED))
        ]
        yield compared(
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
        yield compared(
            "tracing can be turned on for a stack that is there, at the second attempt at worst",
            held=told["TracingConfig"]["Mode"] == "Active",
            measured=f"attempt {attempts}, {took(site.monotonic() - began)}",
        )

    def notice_silence(self) -> Answers:
        """Wait for the alarm that goes off because nothing comes."""
        if self._silent_since is None:
            raise CommandError("the schedule was not turned off")
        alarm = self._names.copies + SILENT
        state, _ = self._site.wait(
            "the copy of that alarm",
            lambda: self._seen.state(alarm) == "ALARM",
            seconds=self._site.waits.alarm,
        )
        yield compared(
            f"the alarm {SILENT} goes off, by a copy with periods of "
            f"{self._site.waits.alarm_period} s",
            held=bool(state),
            measured=f"seen {self._site.monotonic() - self._silent_since:.0f} s after the schedule "
            "was off",
        )
        dataless = self._seen.state(alarm + WITHOUT_DATA)
        yield compared(
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
            "the queue to be gone",
            lambda: not self._seen.left_of(queue),
            seconds=site.waits.trigger,
        )
        left = [] if gone else self._seen.left_of(queue)
        yield compared(
            "make undeploy deletes both stacks, the log and the queue",
            held=not left and "Left alone" in said,
            measured=took(seconds) + (f"; left: {', '.join(left)}" if left else ""),
        )
        refused = [
            refusal_to_read(site.secrets, name(account))
            for account in ACCOUNTS
            for name in (names.credentials, names.token)
        ]
        yield compared(
            "it leaves every secret, and tokens can be read",
            held=not any(refused),
            measured=f"{refused.count(None)} of {len(refused)} secrets read",
        )

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


def _refusal(error: BotoCoreError | ClientError | CommandError | LostError) -> str:
    """Tell which call was refused, and how; of a message of AWS, nothing."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {said_of(error)}"
    return type(error).__name__ if isinstance(error, BotoCoreError) else str(error)


def _ended(status: str | None) -> str | None:
    return None if status is None or status.endswith("_IN_PROGRESS") else status


def _without_pending(stages: dict[str, str]) -> dict[str, str] | None:
    """Return stages of no rotation that has begun; the last one's may stay where it was."""
    pending, current = stages.get("AWSPENDING"), stages.get("AWSCURRENT")
    return stages if pending in {None, current} else None
