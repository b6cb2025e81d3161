"""What is told of a sweep: a log line for each account, metrics, and the summary.

No secret is in any of them: a result is serialised in `describe`, and there alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from token_refresher import health, policy
from token_refresher.errors import (
    FailureClass,
    HeldError,
    OutOfTimeError,
    RefreshTokenHeldError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from token_refresher.outcomes import Result
    from token_refresher.replication import Replication
    from token_refresher.settings import Settings
    from token_refresher.sweep import Report

NAMESPACE: Final = "TokenRefresher"
# At their debug level these print what is sent and received. Lambda can be told to set
# the level of all loggers; these keep their own.
for library in ("boto3", "botocore", "urllib3"):
    logging.getLogger(library).setLevel(logging.WARNING)


# All that is emitted, with its unit; documents list it.
_GAUGES: Final = (
    *("SweepsCompleted", "AccountsManaged", "AccountsNeedingAction", "AccountsRetrying"),
    *("AccountsLeftOver", "AccountsAwaitingCredentials", "TokensOrphaned"),
)
METRICS: Final = {
    **dict.fromkeys(_GAUGES, MetricUnit.Count),
    "SecondsUntilExpiry": MetricUnit.Seconds,
    "MarginUsed": MetricUnit.Percent,
    "TokensRefreshed": MetricUnit.Count,
    "TokenRequestLatency": MetricUnit.Milliseconds,
    "RefreshFailures": MetricUnit.Count,
    "EventsNotPut": MetricUnit.Count,
    "ReplicaLagSeconds": MetricUnit.Seconds,
}

_LONGEST_SUMMARY: Final = 100

# Reasons for which nobody is called, and no line is logged in every sweep.
_QUIET: Final = frozenset({Reason.AWAITING_CREDENTIALS, Reason.ORPHANED})
_PUT_OFF: Final = frozenset({Outcome.NOT_ATTEMPTED, Outcome.LEASED_BY_ANOTHER_RUN})


class Reporter:
    """The log and the metrics of one deployment.

    Args:
        settings: The service's name, and which metrics are wanted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logger = Logger(service=settings.service, utc=True, location=None)
        self._metrics = Metrics(namespace=NAMESPACE, service=settings.service)

    def invocation_failed(self, error: Exception) -> None:
        """Log why an invocation failed; what no account is to blame for has no other line."""
        code = error.code if isinstance(error, FAILURES) else type(error).__name__
        fields: dict[str, Any] = {"error": code, "detail": str(error), "needs_action": False}
        if isinstance(error, SecretStoreError | UnexpectedError):
            from token_refresher import fixes  # noqa: PLC0415 - as in `_fix`

            failure_class = failure_class_of(error)
            fields |= {
                "failure_class": str(failure_class),
                "needs_action": failure_class is FailureClass.ACTION_REQUIRED,
                "fix": fixes.say_of_all(code, self._settings.where),
            }
        self._logger.error("the invocation failed", **fields)

    def rotation_step_done(self, account: str, step: str) -> None:
        """Log a step of a rotation."""
        self._logger.info("a step of a rotation is done", account=account, step=step)

    def log(self, report: Report, *, request_id: str) -> None:
        """Write one line for each account that was due, held back, or needs action."""
        for result in report.results:
            if result.reason in _QUIET:
                continue
            is_quiet = result.error is None and not report.needs_action(result.account)
            write = self._logger.info if is_quiet else self._logger.warning
            write(
                f"{result.account.name}: {result.outcome}",
                request_id=request_id,
                **describe(result, report, where=self._settings.where),
            )

    def count(self, report: Report, *, is_complete: bool) -> None:
        """Emit the metrics: events of any sweep, gauges of a complete one."""
        self._add("TokensRefreshed", report.published)
        for seconds in report.request_seconds:
            self._add("TokenRequestLatency", seconds * 1000)
        if is_complete:
            self._add_gauges(report)
        self._metrics.flush_metrics()
        failures = Counter(
            str(failure_class_of(result.error))
            for result in report.results
            if isinstance(result.error, FAILURES)
        )
        for failure_class, count in failures.items():
            self._emit_with("class", failure_class, "RefreshFailures", count)

    def events_not_put(self, count: int, code: str, *, lost: int) -> None:
        """Log and count events that are not on the bus: no account is worse off for it.

        Args:
            count: How many.
            code: Why.
            lost: How many of them the next sweep will not put either.
        """
        msg = "events were not put: the next sweep puts those first that are not lost"
        self._logger.warning(msg, events=count, lost=lost, error=code)
        with single_metric(
            "EventsNotPut", METRICS["EventsNotPut"], count, namespace=NAMESPACE
        ) as metric:
            metric.add_dimension("service", self._settings.service)

    def replicas(self, found: Iterable[Replication]) -> int:
        """Log and count how far the copies of new tokens are.

        Returns:
            Of how many accounts a person would want to know.
        """
        told = 0
        for each in found:
            if each.is_known:
                self._add("ReplicaLagSeconds", each.lag.total_seconds())
            if each.is_told:
                told += 1
                self._logger.warning(
                    "a Region lacks the newest token of an account",
                    account=each.account,
                    replicas=each.behind,
                    lag_seconds=int(each.lag.total_seconds()),
                    error=each.error.code if each.error is not None else None,
                )
        if self._metrics.metric_set:
            self._metrics.flush_metrics()
        return told

    def replicas_not_seen(self, code: str) -> None:
        """Log that nobody has looked at the copies of tokens, and why."""
        self._logger.warning("nobody looked at the copies in other Regions", error=code)

    def _add_gauges(self, report: Report) -> None:
        managed, now = report.managed, report.now
        gauges: dict[str, float] = {
            "SweepsCompleted": 1,
            "AccountsManaged": len(managed),
            "AccountsNeedingAction": sum(map(report.needs_action, managed)),
            "AccountsRetrying": sum(map(health.is_retrying, managed)),
            "AccountsLeftOver": sum(isinstance(r.error, OutOfTimeError) for r in report.results),
            "AccountsAwaitingCredentials": report.count(Reason.AWAITING_CREDENTIALS),
            "TokensOrphaned": report.count(Reason.ORPHANED),
        }
        for name, value in gauges.items():
            self._add(name, value)
        if not managed:
            # The alarm on it must be able to tell "nothing is wrong" from "nothing runs".
            self._add("MarginUsed", 0)
        for account in managed:
            left = health.seconds_until_expiry(account, now=now)
            before = self._settings.refresh_before
            used = health.margin_used(account, now=now, refresh_before=before)
            for name, value in ("SecondsUntilExpiry", left), ("MarginUsed", used):
                self._add(name, value)
                if self._settings.per_account_metrics:
                    # Once more, with a dimension that CloudWatch bills for.
                    self._emit_with("account", account.name, name, value)

    def _add(self, name: str, value: float) -> None:
        self._metrics.add_metric(name, METRICS[name], value)

    def _emit_with(self, dimension: str, value: str, name: str, number: float) -> None:
        with single_metric(name, METRICS[name], number, namespace=NAMESPACE) as metric:
            metric.add_dimension("service", self._settings.service)
            metric.add_dimension(dimension, value)


def describe(
    result: Result, report: Report, *, where: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """Serialise a result, for the log and for the summary.

    Args:
        result: What came of an account.
        report: The sweep that it is of.
        where: The options that lead a command of the command line to this deployment.
    """
    account, error = result.account, result.error
    live_until = account.live_until
    fields: dict[str, Any] = {
        "account": account.name,
        "reason": str(result.reason),
        "outcome": str(result.outcome),
        "expires_at": live_until.isoformat() if live_until else None,
        "seconds_until_expiry": int(health.seconds_until_expiry(account, now=report.now)),
    }
    recorded, required = account.counting_failure, report.action_required(account)
    if isinstance(error, FAILURES):
        fields |= {"failure_class": str(failure_class_of(error)), "error": error.code}
    # Told in every sweep, whether or not it was tried in this one.
    elif required is not None:
        fields |= {"failure_class": str(FailureClass.ACTION_REQUIRED), "error": required}
    elif recorded is not None and recorded.failures:
        fields |= {"failure_class": str(recorded.failure_class), "error": recorded.code}
    if error is not None:
        fields["detail"] = str(error)
    if recorded is not None and recorded.failures:
        fields["failing_since"] = recorded.since.isoformat()
    fields["needs_action"] = required is not None
    if "error" in fields and (fix := _fix(fields["error"], account.name, where or {})):
        fields["fix"] = fix
    retry_at = _retry_at(result, report)
    if retry_at is not None:
        fields["retry_at"] = retry_at.isoformat()
    if result.cautions:
        fields["cautions"] = [str(caution) for caution in result.cautions]
    return fields


def _fix(code: str, account: str, where: Mapping[str, str | None]) -> str:
    # Most sweeps have nothing to be fixed.
    from token_refresher import fixes  # noqa: PLC0415

    return fixes.say(code, account, where)


def _retry_at(result: Result, report: Report) -> datetime | None:
    """Tell when an account is tried again that was held, put off or failed; else None."""
    account, error = result.account, result.error
    at = policy.next_attempt(account, result.reason)
    if isinstance(error, HeldError | RefreshTokenHeldError):
        at = error.until if at is None else max(at, error.until)
    elif result.outcome in _PUT_OFF:
        at = report.now
    if at is None or result.outcome is Outcome.WOULD_REFRESH:
        return None
    # Nothing is tried between two sweeps.
    return max(at, report.now + report.schedule)


def summary(report: Report, *, where: Mapping[str, str | None] | None = None) -> dict[str, Any]:
    """Make the invocation's summary: plain JSON, and no secret in it.

    Args:
        report: What a sweep did.
        where: As for `describe`.
    """
    others = [result for result in report.results if result.reason is not Reason.FRESH]
    outcomes = Counter(str(result.outcome) for result in others)
    managed = report.managed
    fresh = len({each.name for each in report.accounts} - {each.account.name for each in others})
    told = sorted(report.results, key=lambda each: not report.needs_action(each.account))
    return {
        "accounts_managed": len(managed),
        "accounts_needing_action": sum(map(report.needs_action, managed)),
        "accounts_awaiting_credentials": report.count(Reason.AWAITING_CREDENTIALS),
        "tokens_orphaned": report.count(Reason.ORPHANED),
        "outcomes": {"fresh": fresh, **outcomes},
        "accounts": [describe(result, report, where=where) for result in told[:_LONGEST_SUMMARY]],
    }


def traced(
    handle: Callable[..., dict[str, Any] | Exception], service: str
) -> Callable[..., dict[str, Any] | Exception]:
    """Trace invocations; neither what they return nor what they raise is recorded."""
    # Constructing a Tracer costs a cold start 100 ms: only where tracing is on.
    from aws_lambda_powertools import Tracer  # noqa: PLC0415

    tracer = Tracer(service=service, auto_patch=False)
    wrap = tracer.capture_lambda_handler(capture_response=False, capture_error=False)
    wrapped: Callable[..., dict[str, Any] | Exception] = wrap(handle)
    return wrapped
