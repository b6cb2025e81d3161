"""ministack's Lambda: the only module that reaches into it.

Functions run isolated, their own metrics are those that AWS documents, their log lines become
metrics, events that nobody waits for are retried and given up as on AWS, and a template's reserved
concurrency counts, and may be read by whoever may read it.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import contextvars
import json
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ministack.core import iam_actions, lambda_runtime
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, scheduler, sts
from ministack.services import lambda_svc as ministack
from ministack.services.cloudformation import provisioners

from local.emulator import clock, monitoring
from local.emulator.embedded_metrics import metrics_in
from local.emulator.interpreters import Launchers

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = dict[str, Any]

SCHEDULES_LOOKED_AT_EVERY_SECONDS = 1
# AWS waits a minute before it retries a failed event; a test cannot.
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 30
RETRIES_BY_DEFAULT = 2
OLDEST_EVENT_SECONDS = 21_600

_ministack_runs: Callable[..., Json] = ministack._execute_function_dispatch
_ministack_admits: Callable[..., tuple[str | None, str | None]] = ministack._acquire_execution_slot
_ministack_logs: Callable[..., None] = ministack._emit_lambda_logs
_ministack_starts: Callable[[Any], None] = lambda_runtime.Worker._spawn
_ministack_names: Callable[[str, str], str | None] = iam_actions._lambda_action
_ministack_trusts: Callable[[Json], dict[str, str]] = lambda_runtime.execution_credentials
_ministack_detects: Callable[[str], tuple[str, str]] = lambda_runtime._detect_runtime_binary
_ministack_schedules: Callable[[str, Json], object] = scheduler._create_schedule

# Milliseconds that the start of an environment took, by function, until its first log tells them.
_starts: dict[str, float] = {}


def install() -> None:
    """Put the documented behaviour in ministack's place."""
    launchers = Launchers()

    def launcher_and_worker(runtime: str) -> tuple[str, str]:
        command, worker = _ministack_detects(runtime)
        return (launchers.of(runtime) if runtime.startswith("python") else command), worker

    lambda_runtime._detect_runtime_binary = launcher_and_worker
    ministack._emit_lambda_metrics = lambda *_, **__: None
    ministack._execute_function_dispatch = _run
    ministack._acquire_execution_slot = _admit
    ministack._emit_lambda_logs = _log
    lambda_runtime.Worker._spawn = _start
    ministack.invoke_async_with_retry = _accept
    eventbridge._dispatch_to_lambda = _deliver
    iam_actions._lambda_action = _action_of
    lambda_runtime.execution_credentials = ministack.execution_credentials = _credentials
    scheduler._SCHEDULE_TICK_INTERVAL = SCHEDULES_LOOKED_AT_EVERY_SECONDS
    if clock.is_driven():
        scheduler._tick_schedules = lambda: None
    scheduler._create_schedule = _schedule
    _honour_templates()


def _action_of(method: str, path: str) -> str | None:
    """Name the permission that a call needs: to read a concurrency is not to set it."""
    if method == "GET" and path.rstrip("/").endswith("/concurrency"):
        return "GetFunctionConcurrency"
    return _ministack_names(method, path)


def _credentials(config: Json) -> dict[str, str]:
    """Return a function's credentials, of which STS knows whose they are."""
    credentials = _ministack_trusts(config)
    if session := sts._sessions.get(credentials["AWS_ACCESS_KEY_ID"]):
        session["SourceFunctionArn"] = config["FunctionArn"]
    return credentials


def _run(func: Json, config: Json, *rest: object) -> Json:
    """Run one invocation, and count it."""
    name, began = config["FunctionName"], clock.elapsed()
    result = _ministack_runs(func, config, *rest)
    milliseconds = (clock.elapsed() - began) * 1000
    monitoring.count("Invocations", name)
    monitoring.count("Errors", name, 1 if result.get("error") else 0)
    monitoring.count("Throttles", name, 0)
    monitoring.count("Duration", name, milliseconds, "Milliseconds")
    return result


def _admit(func: Json, config: Json) -> tuple[str | None, str | None]:
    """Admit one invocation, or count that it was throttled; it is then no invocation at all."""
    slot, limit = _ministack_admits(func, config)
    if slot is None:
        monitoring.count("Throttles", config["FunctionName"])
    return slot, limit


def _start(worker: Any) -> None:  # noqa: ANN401 - ministack's
    """Start an environment, and note how long that took."""
    began = time.monotonic()
    _ministack_starts(worker)
    _starts[worker.func_name] = (time.monotonic() - began) * 1000


def _log(
    func: Json, request_id: str, text: str, error: object, milliseconds: int, **named: object
) -> None:
    """Keep what an invocation printed, and the metrics in it.

    The first one of an environment tells how long the start took; ministack's own never does.
    """
    config = func.get("config") or func
    took = _starts.pop(config["FunctionName"], None)
    if took is None:
        _ministack_logs(func, request_id, text, error, milliseconds, **named)
    else:
        memory = config.get("MemorySize", 128)
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds} ms\t"
            f"Billed Duration: {milliseconds + took:.0f} ms\tMemory Size: {memory} MB\t"
            f"Max Memory Used: {ministack._probe_peak_memory_mb(func)} MB\t"
            f"Init Duration: {took:.2f} ms"
        )
        whole = "\n".join(filter(None, (text, f"END RequestId: {request_id}", report)))
        # As from a source that writes these lines by itself.
        _ministack_logs(func, request_id, whole, error, milliseconds, log_source="rie")
    for line in (text or "").splitlines():
        for datum in metrics_in(line):
            monitoring.store(datum)


def _schedule(name: str, body: Json) -> object:
    """Create a schedule, whose time begins now.

    ministack remembers when one of its name has fired last, deleted or not.
    """
    key = f"{body.get('GroupName', 'default')}/{name}"
    if key not in scheduler._schedules:
        scheduler._schedule_last_fired.pop((get_account_id(), get_region(), key), None)
    return _ministack_schedules(name, body)


def _deliver(arn: str, payload: str) -> None:
    """Deliver an event of a rule or a schedule, asynchronously as AWS does.

    ministack runs the function once and forgets the event, on-failure destination and all.
    """
    func, config, _ = ministack._get_func_record_for_ref(arn)
    if func and config:
        _accept(ministack._execution_record_for_config(func, config), json.loads(payload))


def may_be_invoked_by(principal: str, arn: str) -> bool:
    """Tell whether a function's policy lets a service of AWS invoke it."""
    func, _, _ = ministack._get_func_record_for_ref(arn)
    statements = func["policy"]["Statement"] if func else []
    return any(
        statement["Effect"] == "Allow" and statement["Principal"] == {"Service": principal}
        for statement in statements
    )


def succeeds(arn: str, event: Json) -> bool:
    """Invoke a function, wait, and tell whether it answered without an error."""
    func, config, _ = ministack._get_func_record_for_ref(arn)
    if not func or not config:
        return False
    record = ministack._execution_record_for_config(func, config)
    return not ministack._execute_function(record, event).get("error")


def _accept(func: Json, event: object) -> None:
    """Accept an event that nobody waits for."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_see_through, func, event), daemon=True).start()


def _see_through(func: Json, event: object) -> None:
    """Invoke until an event succeeds, has no retry left or is too old; then drop it.

    A throttled attempt costs no retry, so only its age ends an event that is always throttled.
    """
    config = func.get("config") or func
    name = config["FunctionName"]
    settings = _event_invoke_config(func)
    retries = settings.get("MaximumRetryAttempts")
    retries_left = RETRIES_BY_DEFAULT if retries is None else int(retries)
    give_up = clock.elapsed() + int(
        settings.get("MaximumEventAgeInSeconds") or OLDEST_EVENT_SECONDS
    )
    pause = FIRST_PAUSE_SECONDS
    with request_scope(*lambda_runtime._account_region_from_function_config(config)):
        deployed = ministack._functions.get(name)
        while (result := ministack._execute_function(func, event)).get("error"):
            if not result.get("throttle"):
                retries_left -= 1
            if retries_left < 0 or clock.elapsed() + pause > give_up:
                monitoring.count("AsyncEventsDropped", name)
                if destination := _failure_destination(settings, config):
                    ministack._route_async_failure(destination, name, event, result)
                return
            time.sleep(pause)
            if not clock.is_driven():
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            if ministack._functions.get(name) is not deployed:
                return  # deleted meanwhile, and its events with it
            func = {**func, "concurrency": deployed["concurrency"]}


def _event_invoke_config(func: Json) -> Json:
    unqualified: Json | None = func.get("event_invoke_config")
    latest: Json | None = (func.get("event_invoke_configs") or {}).get("$LATEST")
    return unqualified or latest or {}


def _failure_destination(settings: Json, config: Json) -> str | None:
    on_failure = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    dead_letters = config.get("DeadLetterConfig") or {}
    return on_failure.get("Destination") or dead_letters.get("TargetArn")


def _honour_templates() -> None:
    """Keep what a template says of a function, and ministack drops."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    ministack_creates, ministack_updates = handlers["create"], handlers["update"]

    def keep(name: str, properties: Json) -> None:
        function = ministack._functions[name]
        reserved = properties.get("ReservedConcurrentExecutions")
        function["concurrency"] = None if reserved is None else int(reserved)
        vpc = ministack._vpc_config_with_id(properties.get("VpcConfig"))
        function["config"]["VpcConfig"] = vpc

    def create(logical_id: str, properties: Json, stack_name: str) -> tuple[str, Json]:
        name, attributes = ministack_creates(logical_id, properties, stack_name)
        keep(name, properties)
        return name, attributes

    def update(
        name: str, old: Json, new: Json, stack_name: str, logical_id: str | None = None
    ) -> object:
        answer = ministack_updates(name, old, new, stack_name, logical_id=logical_id)
        keep(answer[0] if isinstance(answer, tuple) else name, new)
        return answer

    handlers.update(create=create, update=update)
