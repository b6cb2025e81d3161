"""The Lambda function: events in, a summary out; clients, clock, logs and metrics.

The entry point is ``token_refresher.handler.lambda_handler``. Everything that is
made once for the life of the environment is made when this module is imported.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import msgspec
from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from token_refresher import policy
from token_refresher.errors import (
    EventError,
    OutOfTimeError,
    RefreshError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.policy import Reason
from token_refresher.refresh import Outcome, Result
from token_refresher.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.settings import Settings, settings_from_environment
from token_refresher.sweep import Report, Sweeper
from token_refresher.token_endpoint import TokenEndpoint

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

AccountName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=400, pattern=r"^[A-Za-z0-9/_+=.@-]+\Z")
]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the function is invoked with; ``{}`` is a sweep of all accounts.

    Attributes:
        accounts: Only these.
        force: Refresh them whether or not they are due; needs ``accounts``.
        dry_run: Decide and explain; change nothing.
    """

    accounts: Annotated[tuple[AccountName, ...], msgspec.Meta(max_length=100)] = ()
    force: bool = False
    dry_run: bool = False


class LambdaContext(Protocol):
    """What is used of the runtime's context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the invocation."""


def parse_event(event: object) -> Event:
    """Validate an event.

    Raises:
        EventError: It shows what is accepted, and nothing of what came.
    """
    try:
        parsed = msgspec.convert(event, Event)
    except msgspec.ValidationError:
        parsed = None
    if parsed is None or (parsed.force and not parsed.accounts):
        msg = (
            'accepted are {} for a sweep of all accounts, and {"accounts": ["dealer-17"], '
            '"force": true, "dry_run": true} for some (1 to 100 names; force needs accounts)'
        )
        raise EventError(msg)
    return parsed


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
        self._sweeper = Sweeper(
            store=SecretsManagerStore(
                create_client(max_workers=settings.max_workers),
                prefix=settings.secret_prefix,
                kms_key_id=settings.token_secret_kms_key_id,
                pace=Pace(monotonic=time.monotonic, sleep=time.sleep),
            ),
            endpoint=self._endpoint,
            clock=clock,
            monotonic=time.monotonic,
            pause=lambda duration: time.sleep(duration.total_seconds()),
            refresh_before=settings.refresh_before,
            uses_refresh_tokens=settings.uses_refresh_tokens,
            max_workers=settings.max_workers,
        )
        self._run = _traced(self._handle, settings.service) if settings.tracing else self._handle

    def __call__(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Handle one invocation.

        Returns:
            Counts, and up to 100 accounts that were not simply fresh. No secret.

        Raises:
            EventError: An event that is not ours.
            SecretStoreError: The accounts could not be listed.
        """
        outcome = self._run(event, context)
        if isinstance(outcome, Exception):
            # Raised here, outside of any trace, which would record its text.
            raise outcome
        return outcome

    def _handle(self, event: object, context: LambdaContext) -> dict[str, Any] | Exception:
        try:
            return self._sweep(parse_event(event), context)
        except (EventError, RefreshError) as error:
            failure: TokenRefresherError = error
        except Exception as exception:  # noqa: BLE001 - its text may hold anything
            failure = UnexpectedError(exception)
        self._logger.error("the invocation failed", error=str(failure))
        return failure

    def _sweep(self, event: Event, context: LambdaContext) -> dict[str, Any]:
        self._endpoint.drop_connections()
        report = self._sweeper.sweep(
            time_left=lambda: timedelta(milliseconds=context.get_remaining_time_in_millis()),
            accounts=event.accounts,
            force=event.force,
            dry_run=event.dry_run,
        )
        self._log(report, context)
        if not event.dry_run:
            self._emit(report, is_complete=not event.accounts)
        return summary(report)

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
        published = sum(result.outcome is Outcome.PUBLISHED for result in report.results)
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
    failure = account.counting_failure
    if failure is not None:
        told["retry_at"] = failure.retry_at.isoformat()
    if result.cautions:
        told["cautions"] = list(result.cautions)
    return told


def summary(report: Report) -> dict[str, Any]:
    """Make the invocation's answer: plain JSON, and no secret in it."""
    outcomes = Counter(str(result.outcome) for result in report.results)
    managed = report.managed
    fresh = len(report.accounts) - len(report.results)
    told: dict[str, Any] = json.loads(
        json.dumps([describe(result, report) for result in report.results[:_LONGEST_SUMMARY]])
    )
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


def _traced(
    handle: Callable[[object, LambdaContext], dict[str, Any] | Exception], service: str
) -> Callable[[object, LambdaContext], dict[str, Any] | Exception]:
    """Trace invocations; neither what they return nor what they raise is recorded."""
    # Constructing a Tracer costs a cold start 100 ms: only where tracing is on.
    from aws_lambda_powertools import Tracer  # noqa: PLC0415

    tracer = Tracer(service=service, auto_patch=False)
    wrap = tracer.capture_lambda_handler(capture_response=False, capture_error=False)
    traced: Callable[[object, LambdaContext], dict[str, Any] | Exception] = wrap(handle)
    return traced


lambda_handler: Final = Handler(settings_from_environment())
