"""`add --wait` and `correct --wait` say the true cause within seconds, and what they wait for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from local.authorization_server.failures import unavailable
from tests.cli.deployed import STACK, Deployed
from tests.cli.operator import EMAIL, PASSWORD, SECRET
from tests.cli.relay import Instead
from tests.integration.test_emulator_functions import deploy

if TYPE_CHECKING:
    from local.embedded_cloud import EmbeddedCloud
    from tests.cli.operator import Operator
    from tests.cli.relay import Relay

SECONDS: Final = timedelta(seconds=10)
RIGHT: Final = json.dumps({"password": PASSWORD})
ADD: Final = f"add dealer-17 --wait --from-file - --stack {STACK}"
CORRECT: Final = f"correct dealer-17 --wait --from-file - --stack {STACK}"


@pytest.fixture
def deployed(cloud: EmbeddedCloud, operator: Operator) -> Deployed:
    deployed = Deployed.with_parameters(cloud, operator.schedule)
    deployed.sweep()
    return deployed


def told_at_once(operator: Operator, line: str, stdin: str) -> str:
    """Run a command that must come to an end within seconds, and say that it has written."""
    began = operator.clock.now()
    done = operator.run(line, stdin=stdin)
    assert done.exit_code == 1, done.output
    assert operator.clock.now() - began < SECONDS
    assert "The credentials were written." in done.stderr
    return done.stderr


@pytest.mark.parametrize("obstacle", ["disabled", "concurrency", "stopped", "prefix"])
def test_what_no_sweep_will_ever_serve_is_told_before_anything_is_waited_for(
    operator: Operator, deployed: Deployed, obstacle: str
) -> None:
    line, said = ADD, "schedule: the schedule is disabled"
    if obstacle == "disabled":
        deployed.disable_schedule()
    elif obstacle == "concurrency":
        said = "throttling: the function has a reserved concurrency of 0"
        deployed.cloud.client("lambda").put_function_concurrency(
            FunctionName=STACK, ReservedConcurrentExecutions=0
        )
    elif obstacle == "stopped":
        said = "last sweep: the last one was completed: "
        operator.clock.set(deployed.scheduled_since() + timedelta(hours=1))
    else:
        line, said = f"{ADD} --prefix team", "function: it looks after accounts of another prefix"
    told = told_at_once(operator, line, operator.document("dealer-17"))
    assert f"Nothing will serve dealer-17: {said}" in told
    assert "From here, at once: token-refresher refresh dealer-17" in told


def test_a_failure_is_told_with_its_fix_as_soon_as_the_function_has_recorded_it(
    operator: Operator, deployed: Deployed
) -> None:
    operator.server.register_client("dealer-17", secret=SECRET, users={EMAIL: PASSWORD})
    operator.waits += [lambda: None, deployed.sweep]
    began = operator.clock.now()
    stdin = operator.document(
        "dealer-17", grant_type="password", username=EMAIL, password="made-up-wrong"
    )
    failed = operator.run(ADD, stdin=stdin)
    assert failed.exit_code == 1
    assert operator.clock.now() - began < SECONDS
    assert "dealer-17: invalid_grant (action required)" in failed.stderr
    assert (
        f": token-refresher correct dealer-17 --region eu-west-1 --stack {STACK}\n" in failed.stderr
    )
    doctor = f"token-refresher doctor dealer-17 --region eu-west-1 --stack {STACK}"
    assert f"It is tried again in 14 min; more: {doctor}\n" in failed.stderr


def test_a_failure_that_may_pass_is_told_as_such(operator: Operator, deployed: Deployed) -> None:
    operator.server.register_client("dealer-17", secret=SECRET)

    def sweep() -> None:
        with operator.server.failing(unavailable()):
            deployed.sweep()

    operator.waits += [sweep]
    failed = operator.run(ADD, stdin=operator.document("dealer-17"))
    assert failed.exit_code == 1
    assert "dealer-17: status_503 (transient)" in failed.stderr
    assert "It is tried again by itself" in failed.stderr
    assert "It is tried again with the next sweep; more: token-refresher doctor" in failed.stderr


def test_where_a_trigger_serves_within_seconds_that_is_said(
    operator: Operator, cloud: EmbeddedCloud
) -> None:
    Deployed.with_parameters(cloud, operator.schedule, Triggers="true")
    operator.add("dealer-17")
    line = f"correct dealer-17 --scope read --from-file - --stack {STACK}"
    told = operator.run(line, stdin="{}").stderr
    assert "A trigger serves them within seconds, else the next sweep within 5 min; or at" in told


def test_a_token_is_shown_as_soon_as_it_is_there(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    deployed.sweep()
    operator.waits += [deployed.sweep]
    said = operator.says(CORRECT, stdin=RIGHT)
    assert "dealer-17: published, expires in 11 h 59 min" in said


def test_what_is_tried_later_than_anybody_waits_is_told_with_its_time(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17", password="made-up-wrong")
    deployed.sweep()
    operator.run(
        f"correct dealer-17 --from-file - --stack {STACK}",
        stdin='{"password": "made-up-wrong-again"}',
    )
    deployed.sweep()
    told = told_at_once(operator, CORRECT, RIGHT)
    assert (
        "The new credentials are tried in 14 min, at 01:14 UTC, since the ones before were" in told
    )
    command = f"token-refresher refresh dealer-17 --force --region eu-west-1 --stack {STACK}"
    assert f"From here, at once: {command}\n" in told
    # Whoever waits for longer is served.
    operator.clock.advance(timedelta(minutes=1))
    deployed.sweep()
    operator.waits += [lambda: None] * 420 + [deployed.sweep]
    waits = operator.run(f"{CORRECT} --within 20 --scope read", stdin=RIGHT)
    assert "published" in waits.output


def test_what_is_rate_limited_is_told_with_its_time(operator: Operator, deployed: Deployed) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.run(f"correct dealer-17 --scope read --from-file - --stack {STACK}", stdin="{}")
    deployed.sweep()
    told = told_at_once(operator, f"{CORRECT} --scope write", "{}")
    assert "one too many (rate limited)" in told
    assert "--force does not help. See it: token-refresher status dealer-17" in told


def test_a_token_secret_that_is_to_be_deleted_is_told_at_once(
    operator: Operator, deployed: Deployed
) -> None:
    operator.add("dealer-17")
    deployed.sweep()
    operator.secrets.delete_secret(SecretId="oauth/tokens/dealer-17", RecoveryWindowInDays=7)
    told = told_at_once(operator, f"{CORRECT} --scope read", "{}")
    assert "oauth/tokens/dealer-17 is scheduled for deletion" in told
    assert "Restore it: token-refresher restore dealer-17" in told


def test_a_new_secret_that_the_listing_lacks_is_waited_for_by_its_description(
    operator: Operator, deployed: Deployed, relay: Relay
) -> None:
    operator.server.register_client("dealer-17", secret=SECRET)
    empty = Instead(200, b'{"SecretList": []}')
    relay.illness = lambda operation: empty if operation == "ListSecrets" else None
    operator.waits += [lambda: None, deployed.sweep]
    with operator.by_way_of(relay):
        said = operator.says(ADD, stdin=operator.document("dealer-17"))
    assert "dealer-17: published" in said


def test_sweeps_that_come_and_do_not_serve_it_are_told_from_sweeps_that_do_not_come(
    operator: Operator, deployed: Deployed
) -> None:
    line = f"{ADD} --within 3"
    in_vain = operator.run(line, stdin=operator.document("dealer-17"))
    assert in_vain.exit_code == 1
    assert "No sweep has served dealer-17 within 3 min. The credentials were" in in_vain.stderr
    assert "what they list may be five minutes old" in in_vain.stderr
    assert f"token-refresher doctor dealer-17 --region eu-west-1 --stack {STACK}" in in_vain.stderr
    operator.waits += [deployed.disable_schedule]
    stopped = operator.run(
        f"correct dealer-17 --scope read --wait --from-file - --within 3 --stack {STACK}",
        stdin="{}",
    )
    assert "Nothing will serve dealer-17: schedule: the schedule is disabled" in stopped.stderr


def test_without_a_stack_nobody_knows_the_schedule_and_that_is_said(operator: Operator) -> None:
    operator.server.register_client("dealer-17", secret=SECRET)
    operator.waits += [operator.schedule.sweep]
    line = "add dealer-17 --wait --from-file -"
    waited = operator.run(line, stdin=operator.document("dealer-17"))
    assert waited.exit_code == 0
    assert "Without a stack nobody here knows whether sweeps come" in waited.stderr
    assert "TOKEN_REFRESHER_STACK" in waited.stderr


def test_a_function_that_no_stack_has_deployed_is_waited_for_and_what_is_not_known_is_said(
    operator: Operator, cloud: EmbeddedCloud, deployed: Deployed
) -> None:
    operator.server.register_client("dealer-17", secret=SECRET)
    cloud.client("cloudformation").delete_stack(StackName=STACK)
    cloud.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    variables = {"ALLOWED_TOKEN_HOSTS": operator.server.host}
    deploy(cloud, "", FunctionName=STACK, Environment={"Variables": variables})
    operator.waits += [deployed.sweep]
    waited = operator.run(ADD, stdin=operator.document("dealer-17"))
    assert waited.exit_code == 0
    assert "schedule, not known: There is no stack token-refresher" in waited.stderr
