"""Functions of the embedded cloud run as on AWS: alone, on their own Python, and counted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config

from local.embedded_cloud import (
    ROOT,
    RUNTIME,
    EmbeddedCloud,
    EmbeddedCloudError,
    emulator_python,
    function_python,
)
from tests.integration.test_embedded_cloud import within
from tests.unit.loopback import nobody_listens

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0  # only a defect takes as long
ROLE = "arn:aws:iam::000000000000:role/function"
TELL_ITS_WORLD = """
import importlib.util, os, sys
def handler(event, context):
    return {
        "version": "%d.%d" % sys.version_info[:2],
        "packages": [name for name in event if importlib.util.find_spec(name)],
        "environment": dict(os.environ),
    }
"""
FAIL = """
def handler(event, context):
    raise ValueError(event)
"""
SUCCEED = """
def handler(event, context):
    print("swept", event)
"""
TELL_PID_AND_SLEEP = """
import os, time
def handler(event, context):
    if event:
        time.sleep(60)
    return os.getpid()
"""
DEPLOY_AND_WAIT = """
from local.embedded_cloud import EmbeddedCloud
from tests.integration.test_emulator_functions import TELL_PID_AND_SLEEP, deploy, invoke
with EmbeddedCloud() as cloud:
    deploy(cloud, TELL_PID_AND_SLEEP)
    print(invoke(cloud, None), flush=True)
    cloud.client("lambda").invoke(FunctionName="f", InvocationType="Event", Payload="1")
    input()
"""


def deploy(cloud: EmbeddedCloud, source: str, **configuration: Any) -> None:  # noqa: ANN401
    """Create the function ``f`` from the source of one module."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", source)
    cloud.client("lambda").create_function(
        **{
            "FunctionName": "f",
            "Runtime": RUNTIME,
            "Role": ROLE,
            "Handler": "index.handler",
            "Code": {"ZipFile": archive.getvalue()},
            **configuration,
        }
    )


def invoke(cloud: EmbeddedCloud, event: object) -> Any:  # noqa: ANN401
    """Invoke it, and wait for its response."""
    answer = cloud.client("lambda").invoke(FunctionName="f", Payload=json.dumps(event))
    return json.load(answer["Payload"])


def invoke_and_forget(cloud: EmbeddedCloud, event: object) -> None:
    """Invoke it asynchronously."""
    cloud.client("lambda").invoke(
        FunctionName="f", InvocationType="Event", Payload=json.dumps(event)
    )


def total(cloud: EmbeddedCloud, metric: str, statistic: str = "Sum") -> float | None:
    """Return a statistic of one of the function's own metrics, None if it was never stored."""
    answer = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": "FunctionName", "Value": "f"}],
        StartTime=datetime(2000, 1, 1, tzinfo=UTC),
        EndTime=datetime(2100, 1, 1, tzinfo=UTC),
        Period=86_400 * 36_525,
        Statistics=[statistic],
    )
    values: list[float] = [point[statistic] for point in answer["Datapoints"]]
    return values[0] if values else None


def queue(cloud: EmbeddedCloud) -> tuple[str, str]:
    """Create a queue, and return its URL and its ARN."""
    sqs = cloud.client("sqs")
    url: str = sqs.create_queue(QueueName="q")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, attributes["Attributes"]["QueueArn"]


def received(cloud: EmbeddedCloud, url: str) -> list[Any]:
    """Wait for messages of a queue, and return their bodies."""
    answer = cloud.client("sqs").receive_message(
        QueueUrl=url, WaitTimeSeconds=int(SECONDS), MaxNumberOfMessages=10
    )
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def a_process_that_ended(pid: int) -> Callable[[], bool]:
    return lambda: not is_alive(pid)


def test_a_function_sees_no_package_that_it_does_not_bring(cloud: EmbeddedCloud) -> None:
    deploy(cloud, TELL_ITS_WORLD)
    assert invoke(cloud, ["botocore", "ministack", "pip", "local"])["packages"] == []


def test_a_function_runs_on_the_python_that_it_is_to_be_built_for(cloud: EmbeddedCloud) -> None:
    deploy(cloud, TELL_ITS_WORLD)
    assert invoke(cloud, [])["version"] == function_python().version


def test_a_function_sees_the_variables_it_is_given_and_none_of_the_emulator() -> None:
    with EmbeddedCloud(function_environment={"SSL_CERT_FILE": "/authority.pem"}) as cloud:
        deploy(cloud, TELL_ITS_WORLD)
        environment = invoke(cloud, [])["environment"]
    assert environment["SSL_CERT_FILE"] == "/authority.pem"
    assert not {"STATE_DIR", "GATEWAY_PORT", "FUNCTION_PYTHON"} & set(environment)


def test_without_the_runtimes_python_functions_have_the_emulators_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("local.embedded_cloud.RUNTIME", "python3.99")
    assert function_python().executable == emulator_python()


def test_an_interpreter_that_does_not_run_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("FUNCTION_PYTHON", str(broken))
    assert function_python().executable != broken


def test_functions_run_on_the_python_behind_a_version_managers_shim(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = function_python()
    shim = tmp_path / "python"
    # Elsewhere it would offer another Python, or none.
    shim.write_text(f"""#!/bin/sh\ntest -e pyproject.toml && exec {found.executable} "$@"\n""")
    shim.chmod(0o755)
    monkeypatch.setenv("FUNCTION_PYTHON", str(shim))
    monkeypatch.setattr("local.embedded_cloud.RUNTIME", f"python{found.version}")
    assert function_python() == found


def test_an_emulator_whose_interpreter_does_not_run_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("EMULATOR_PYTHON", str(broken))
    monkeypatch.setattr("local.embedded_cloud.RUNTIME", "python3.99")
    with pytest.raises(EmbeddedCloudError, match="does not run"):
        EmbeddedCloud().start()


def test_its_address_can_be_known_before_it_starts() -> None:
    with nobody_listens() as port:
        cloud = EmbeddedCloud(port=port)
    assert cloud.endpoint_url == f"http://127.0.0.1:{port}"
    with cloud:
        assert cloud.client().list_secrets()["SecretList"] == []


def test_no_function_outlives_the_block() -> None:
    with EmbeddedCloud() as cloud:
        deploy(cloud, TELL_PID_AND_SLEEP)
        pid = invoke(cloud, None)
        invoke_and_forget(cloud, "sleep")
        assert is_alive(pid)
    assert within(SECONDS, a_process_that_ended(pid))


def test_neither_functions_nor_files_outlive_a_starter_that_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", DEPLOY_AND_WAIT],
        cwd=ROOT,
        env={"PATH": os.defpath, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert is_alive(pid)
        starter.kill()
    assert within(SECONDS, a_process_that_ended(pid))
    assert within(SECONDS, lambda: not list(tmp_path.iterdir()))


def test_invocations_and_their_milliseconds_are_counted(cloud: EmbeddedCloud) -> None:
    deploy(cloud, SUCCEED)
    invoke(cloud, 1)
    invoke(cloud, 2)
    assert total(cloud, "Invocations") == 2
    assert total(cloud, "Errors") == 0
    assert total(cloud, "Throttles") == 0
    assert 1 < (total(cloud, "Duration", "Maximum") or 0) < 5_000


def test_an_invocation_that_raises_is_an_error(cloud: EmbeddedCloud) -> None:
    deploy(cloud, FAIL)
    invoke(cloud, 1)
    assert total(cloud, "Invocations") == 1
    assert total(cloud, "Errors") == 1


def test_a_throttled_call_is_counted_once_and_is_no_invocation(cloud: EmbeddedCloud) -> None:
    deploy(cloud, SUCCEED)
    client = cloud.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="f", Payload="1")
    assert total(cloud, "Throttles") == 1
    assert total(cloud, "Invocations") is None


def test_an_event_that_fails_for_good_is_dropped_and_reaches_its_destination(
    cloud: EmbeddedCloud,
) -> None:
    url, arn = queue(cloud)
    deploy(cloud, FAIL)
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName="f",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    invoke_and_forget(cloud, {"accounts": ["dealer-17"]})
    (message,) = received(cloud, url)
    assert message["requestPayload"] == {"accounts": ["dealer-17"]}
    assert total(cloud, "AsyncEventsDropped") == 1
    assert total(cloud, "Errors") == 1


def test_a_throttled_event_is_tried_again_although_no_retry_is_left(cloud: EmbeddedCloud) -> None:
    deploy(cloud, SUCCEED)
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    invoke_and_forget(cloud, 1)
    # It is tried again after a second, for which a machine may stand still.
    assert within(SECONDS, lambda: bool(total(cloud, "Throttles")))
    client.delete_function_concurrency(FunctionName="f")
    assert within(SECONDS, lambda: total(cloud, "Invocations") == 1)
    assert total(cloud, "AsyncEventsDropped") is None


def test_a_schedule_that_meets_a_failing_function_fills_the_functions_destination(
    cloud: EmbeddedCloud,
) -> None:
    url, arn = queue(cloud)
    deploy(cloud, FAIL)
    client = cloud.client("lambda")
    client.put_function_event_invoke_config(
        FunctionName="f",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    in_a_second = datetime.now(UTC) + timedelta(seconds=1)  # noqa: TID251
    function_arn = client.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    cloud.client("scheduler").create_schedule(
        Name="tick",
        ScheduleExpression=f"at({in_a_second:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": function_arn, "RoleArn": ROLE, "Input": '{"dry_run": true}'},
    )
    (message,) = received(cloud, url)
    assert message["requestPayload"] == {"dry_run": True}


def test_a_schedule_begins_with_its_creation_whatever_another_of_its_name_has_done(
    cloud: EmbeddedCloud,
) -> None:
    for _ in range(2):
        cloud.reset()
        deploy(cloud, SUCCEED)
        function = cloud.client("lambda").get_function(FunctionName="f")["Configuration"]
        cloud.client("scheduler").create_schedule(
            Name="tick",
            ScheduleExpression="at(2026-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": function["FunctionArn"], "RoleArn": ROLE},
        )
        assert within(60, lambda: total(cloud, "Invocations") == 1)


def test_the_reserved_concurrency_of_a_template_counts(cloud: EmbeddedCloud) -> None:
    create_stack(cloud, reserved=0)
    client = cloud.client("lambda")
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="f")


def test_a_reserved_concurrency_that_leaves_the_template_is_given_up(cloud: EmbeddedCloud) -> None:
    create_stack(cloud, reserved=0)
    cloud.client("cloudformation").update_stack(
        StackName="s", TemplateBody=json.dumps(template(reserved=None))
    )
    cloud.client("cloudformation").get_waiter("stack_update_complete").wait(
        StackName="s", WaiterConfig={"Delay": 1}
    )
    assert cloud.client("lambda").invoke(FunctionName="f")["StatusCode"] == 200


def create_stack(cloud: EmbeddedCloud, *, reserved: int) -> None:
    client = cloud.client("cloudformation")
    client.create_stack(StackName="s", TemplateBody=json.dumps(template(reserved=reserved)))
    client.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})


def template(*, reserved: int | None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "FunctionName": "f",
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": "index.handler",
        "Code": {"ZipFile": SUCCEED},
    }
    if reserved is not None:
        properties["ReservedConcurrentExecutions"] = reserved
    return {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": properties}}}


def test_the_first_report_of_an_environment_tells_how_long_its_start_took(
    cloud: EmbeddedCloud,
) -> None:
    deploy(cloud, "def handler(event, context):\n    print('printed')")
    for event in (1, 2):
        invoke(cloud, event)
    told = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]
    reports = [each["message"] for each in told if each["message"].startswith("REPORT ")]
    assert ["Init Duration: " in each for each in reports] == [True, False]
    assert [each["message"] for each in told].count("printed") == 2
