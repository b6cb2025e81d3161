"""The Lambda functions: events in, a summary out; clients, clock, logs and metrics.

Three entry points, of up to three functions with a role and a concurrency each:
``lambda_handler`` sweeps on a schedule, ``on_event`` serves one account at once, and
``on_rotation`` takes the steps of Secrets Manager's own rotation. Everything that is
made once for the life of the environment is made when this module is imported.
"""

from __future__ import annotations

import gc
import json
import logging
import ssl
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from token_refresher import policy
from token_refresher.aws.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.errors import (
    OutOfTimeError,
    RefreshError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.events import parse_event, parse_rotation, parse_trigger
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.policy import Reason
from token_refresher.refresh import Outcome, Result
from token_refresher.rotation import Rotation
from token_refresher.settings import Settings, settings_from_environment
from token_refresher.sweep import Report, Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE: Final = "TokenRefresher"
# At their debug level these print what is sent and received. Lambda can be told to set
# the level of all loggers; these keep their own.
for library in ("boto3", "botocore", "urllib3"):
    logging.getLogger(library).setLevel(logging.WARNING)

_LONGEST_SUMMARY: Final = 100

# Reasons for which nobody is called, and no line is logged in every sweep.
_QUIET: Final = frozenset({Reason.AWAITING_CREDENTIALS, Reason.ORPHANED})
_REFRESHED: Final = frozenset({Outcome.PUBLISHED, Outcome.STAGED})


class LambdaContext(Protocol):
    """What is used of the runtime's context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the invocation."""


class _Act(Protocol):
    """What one of the entry points does."""

    def __call__(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Validate the event and act on it."""


def utc_now() -> datetime:
    """The clock: the only one that the program reads."""
    return datetime.now(UTC)


class Handler:
    """The function, wired.

    Args:
        settings: From the environment.
        clock: Gives aware moments; everything below takes the time from here.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._logger = Logger(service=settings.service, utc=True, location=None)
        self._metrics = Metrics(namespace=NAMESPACE, service=settings.service)
        self._endpoint = TokenEndpoint(
            allowed_hosts=settings.allowed_token_hosts,
            ssl_context=ssl.create_default_context(),
            clock=clock,
            monotonic=time.monotonic,
            connections=settings.max_workers,
        )
        store = SecretsManagerStore(
            create_client(max_workers=settings.max_workers),
            prefix=settings.secret_prefix,
            kms_key_id=settings.token_secret_kms_key_id,
            pace=Pace(monotonic=time.monotonic, sleep=time.sleep),
        )
        self._sweeper = Sweeper(
            store=store,
            endpoint=self._endpoint,
            clock=clock,
            monotonic=time.monotonic,
            pause=lambda duration: time.sleep(duration.total_seconds()),
            refresh_before=settings.refresh_before,
            uses_refresh_tokens=settings.uses_refresh_tokens,
            max_workers=settings.max_workers,
        )
        self._rotation = Rotation(
            store=store, endpoint=self._endpoint, sweep=self._sweeper.sweep, clock=clock
        )
        self._run = _traced(self._handle, settings.service) if settings.tracing else self._handle

    def __call__(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Sweep: all accounts on the schedule, or some for a person.

        Returns:
            Counts, and up to 100 accounts that were not simply fresh. No secret.

        Raises:
            EventError: An event that is not ours.
            SecretStoreError: The accounts could not be listed.
        """
        return self._invoke(self._sweep, event, context)

    def on_event(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Serve one account before the next sweep does, if there is reason to.

        IAM cannot see a payload, so this is all that consumers may be granted: unlike a
        sweep it never forces anything. Back-off, write floor and claim hold as ever.

        Returns:
            What became of the account, and the version id of its published token.

        Raises:
            EventError: An event that is not ours.
            SecretStoreError: The account could not be described.
        """
        return self._invoke(self._serve, event, context)

    def on_rotation(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Take one step of Secrets Manager's own rotation of a token secret.

        Returns:
            Nothing that matters; Secrets Manager does not look at it.

        Raises:
            EventError: An event that is not ours.
            RotationError: The step cannot be taken.
            RefreshError: No token could be had; the rotation fails, the published one stays.
        """
        return self._invoke(self._rotate, event, context)

    def _invoke(self, act: _Act, event: object, context: LambdaContext) -> dict[str, Any]:
        outcome = self._run(event, context, act=act)
        if isinstance(outcome, Exception):
            # Raised here, outside of any trace, which would record its text.
            raise outcome
        return outcome

    def _handle(
        self, event: object, context: LambdaContext, *, act: _Act
    ) -> dict[str, Any] | Exception:
        self._endpoint.drop_connections()
        try:
            return act(event, context)
        except TokenRefresherError as error:
            failure = error
        except Exception as exception:  # noqa: BLE001 - its text may hold anything
            failure = UnexpectedError(exception)
        self._logger.error("the invocation failed", error=str(failure))
        return failure

    def _sweep(self, event: object, context: LambdaContext) -> dict[str, Any]:
        asked = parse_event(event)
        report = self._sweeper.sweep(
            time_left=_time_left(context),
            accounts=asked.accounts,
            force=asked.force,
            dry_run=asked.dry_run,
        )
        self._log(report, context)
        if not asked.dry_run:
            self._emit(report, is_complete=not asked.accounts)
        return summary(report)

    def _serve(self, event: object, context: LambdaContext) -> dict[str, Any]:
        trigger = parse_trigger(event, secret_prefix=self._settings.secret_prefix)
        report = self._sweeper.sweep(
            time_left=_time_left(context),
            accounts=(trigger.account,),
            rejected_version=trigger.rejected_version,
        )
        self._log(report, context)
        self._emit(report, is_complete=False)
        [account] = report.accounts
        fresh = Result(account, Reason.FRESH, Outcome.NOT_DUE)
        [result] = report.results or (fresh,)
        published = account.published
        return _plain(describe(result, report)) | {
            "version_id": published.version_id if published else None
        }

    def _rotate(self, event: object, context: LambdaContext) -> dict[str, Any]:
        asked = parse_rotation(event, secret_prefix=self._settings.secret_prefix)
        report = self._rotation.take(asked, time_left=_time_left(context))
        if report is not None:
            self._log(report, context)
            self._emit(report, is_complete=False)
            self._rotation.require_staged(asked, report)
        self._logger.info("a step of a rotation is done", account=asked.account, step=asked.step)
        return {"account": asked.account, "step": str(asked.step)}

    def _log(self, report: Report, context: LambdaContext) -> None:
        """Write one line for each account that was due or held back."""
        for result in report.results:
            if result.reason in _QUIET:
                continue
            write = self._logger.info if result.error is None else self._logger.warning
            write(
                f"{result.account.name}: {result.outcome}",
                request_id=context.aws_request_id,
                **describe(result, report),
            )

    def _emit(self, report: Report, *, is_complete: bool) -> None:
        """Emit the metrics: events of any sweep, gauges of a complete one."""
        metrics = self._metrics
        published = sum(result.outcome in _REFRESHED for result in report.results)
        metrics.add_metric("TokensRefreshed", MetricUnit.Count, published)
        for seconds in report.request_seconds:
            metrics.add_metric("TokenRequestLatency", MetricUnit.Milliseconds, seconds * 1000)
        if is_complete:
            self._add_gauges(report)
        metrics.flush_metrics()
        failures = Counter(
            str(result.error.failure_class)
            for result in report.results
            if isinstance(result.error, RefreshError)
        )
        for failure_class, count in failures.items():
            with single_metric(
                "RefreshFailures", MetricUnit.Count, count, namespace=NAMESPACE
            ) as metric:
                metric.add_dimension("service", self._settings.service)
                metric.add_dimension("class", failure_class)

    def _add_gauges(self, report: Report) -> None:
        metrics, now = self._metrics, report.now
        managed = report.managed
        needing = sum(policy.needs_action(account, now=now) for account in managed)
        metrics.add_metric("SweepsCompleted", MetricUnit.Count, 1)
        metrics.add_metric("AccountsManaged", MetricUnit.Count, len(managed))
        metrics.add_metric("AccountsNeedingAction", MetricUnit.Count, needing)
        retrying = sum(map(policy.is_retrying, managed))
        metrics.add_metric("AccountsRetrying", MetricUnit.Count, retrying)
        left_over = sum(isinstance(result.error, OutOfTimeError) for result in report.results)
        metrics.add_metric("AccountsLeftOver", MetricUnit.Count, left_over)
        awaiting = report.count(Reason.AWAITING_CREDENTIALS)
        metrics.add_metric("AccountsAwaitingCredentials", MetricUnit.Count, awaiting)
        metrics.add_metric("TokensOrphaned", MetricUnit.Count, report.count(Reason.ORPHANED))
        before = self._settings.refresh_before
        if not managed:
            # The alarm on it must be able to tell "nothing is wrong" from "nothing runs".
            metrics.add_metric("MarginUsed", MetricUnit.Percent, 0)
        for account in managed:
            seconds = policy.seconds_until_expiry(account, now=now)
            used = policy.margin_used(account, now=now, refresh_before=before)
            metrics.add_metric("SecondsUntilExpiry", MetricUnit.Seconds, seconds)
            metrics.add_metric("MarginUsed", MetricUnit.Percent, used)
            if self._settings.per_account_metrics:
                self._emit_account(account.name, seconds, used)

    def _emit_account(self, name: str, seconds: float, used: float) -> None:
        """Emit the gauges once more, with a dimension that CloudWatch bills for."""
        for metric_name, unit, value in (
            ("SecondsUntilExpiry", MetricUnit.Seconds, seconds),
            ("MarginUsed", MetricUnit.Percent, used),
        ):
            with single_metric(metric_name, unit, value, namespace=NAMESPACE) as metric:
                metric.add_dimension("service", self._settings.service)
                metric.add_dimension("account", name)


def describe(result: Result, report: Report) -> dict[str, Any]:
    """Tell a result in the words of the log and of the summary."""
    account, error = result.account, result.error
    live_until = account.live_until
    told: dict[str, Any] = {
        "account": account.name,
        "reason": result.reason,
        "outcome": result.outcome,
        "expires_at": live_until.isoformat() if live_until else None,
        "seconds_until_expiry": int(policy.seconds_until_expiry(account, now=report.now)),
    }
    if isinstance(error, RefreshError):
        told |= {"failure_class": error.failure_class, "error": error.code}
    if error is not None:
        told["detail"] = str(error)
    retry_at = policy.next_attempt(account, result.reason)
    if retry_at is not None:
        told["retry_at"] = retry_at.isoformat()
    if result.cautions:
        told["cautions"] = list(result.cautions)
    return told


def summary(report: Report) -> dict[str, Any]:
    """Make the invocation's answer: plain JSON, and no secret in it."""
    outcomes = Counter(str(result.outcome) for result in report.results)
    managed = report.managed
    fresh = len(report.accounts) - len(report.results)
    told = [_plain(describe(result, report)) for result in report.results[:_LONGEST_SUMMARY]]
    return {
        "accounts_managed": len(managed),
        "accounts_needing_action": sum(
            policy.needs_action(account, now=report.now) for account in managed
        ),
        "accounts_awaiting_credentials": report.count(Reason.AWAITING_CREDENTIALS),
        "tokens_orphaned": report.count(Reason.ORPHANED),
        "outcomes": {"fresh": fresh, **outcomes},
        "accounts": told,
    }


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """Leave nothing but what JSON knows."""
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _time_left(context: LambdaContext) -> Callable[[], timedelta]:
    return lambda: timedelta(milliseconds=context.get_remaining_time_in_millis())


def _traced(
    handle: Callable[..., dict[str, Any] | Exception], service: str
) -> Callable[..., dict[str, Any] | Exception]:
    """Trace invocations; neither what they return nor what they raise is recorded."""
    # Constructing a Tracer costs a cold start 100 ms: only where tracing is on.
    from aws_lambda_powertools import Tracer  # noqa: PLC0415

    tracer = Tracer(service=service, auto_patch=False)
    wrap = tracer.capture_lambda_handler(capture_response=False, capture_error=False)
    traced: Callable[..., dict[str, Any] | Exception] = wrap(handle)
    return traced


# Hardly anything that is made here is garbage, and to look for some costs a start its
# milliseconds by the dozen.
gc.disable()
try:
    lambda_handler: Final = Handler(settings_from_environment())
finally:
    gc.enable()
on_event: Final = lambda_handler.on_event
on_rotation: Final = lambda_handler.on_rotation
