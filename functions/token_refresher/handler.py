"""The Lambda functions: events in, a summary out; wiring, and the clock.

Three entry points, of up to three functions with a role and a concurrency each:
``lambda_handler`` sweeps on a schedule, ``on_event`` serves one account at once, and
``on_rotation`` takes the steps of Secrets Manager's own rotation. Everything that is
made once for the life of the environment is made when this module is imported.
"""

from __future__ import annotations

import gc
import platform
import time
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.aws.secret_store import Pace, SecretsManagerStore, create_client
from token_refresher.errors import TokenRefresherError, UnexpectedError
from token_refresher.events import parse_event, parse_rotation, parse_trigger
from token_refresher.oauth.allowed_hosts import AllowedHosts
from token_refresher.oauth.certificates import public_authorities
from token_refresher.oauth.errors import OAuthError
from token_refresher.oauth.transport import TokenEndpoint
from token_refresher.outcomes import Outcome, Result
from token_refresher.policy import Reason
from token_refresher.refresh import Refresher
from token_refresher.reporting import Reporter, describe, summary, traced
from token_refresher.settings import Settings, settings_from_environment
from token_refresher.sweep import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from token_refresher import redeem
    from token_refresher.announcing import Announcer
    from token_refresher.aws.event_bus import EventBus
    from token_refresher.oauth.signatures import Signer
    from token_refresher.ports import ReplicatingStore, StagingStore
    from token_refresher.replication import Replicator
    from token_refresher.rotation import Rotation
    from token_refresher.sweep import Report

    # Shapes, which a start need not make.

    class LambdaContext(Protocol):
        """What is used of the runtime's context."""

        aws_request_id: str

        def get_remaining_time_in_millis(self) -> int:
            """What is left of the invocation."""

    class Endpoint(redeem.TokenEndpoint, Protocol):
        """What the function needs of the token endpoints."""

        def drop_connections(self) -> None:
            """Forget the connections of an earlier invocation."""

    Clock = Callable[[], datetime]
    # What one of the entry points does with an event.
    _Act = Callable[[object, LambdaContext], dict[str, Any]]


# What the template calls a processor, by what the machine does.
_ARCHITECTURES: Final = {"aarch64": "arm64", "x86_64": "x86_64"}


def utc_now() -> datetime:
    """The clock: the only one that the program reads."""
    return datetime.now(UTC)


class Handler:
    """The function, wired.

    Args:
        settings: From the environment.
        store: Where the accounts' secrets are.
        endpoint: The token endpoints.
        clock: Gives aware times; everything below takes the time from here.
        monotonic: Gives seconds, for latencies.
        pause: Waits, between attempts to write.
        announcer: Puts events; None where they are not wanted.
        replicator: Has tokens copied to other Regions; likewise.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: StagingStore,
        endpoint: Endpoint,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[timedelta], None] = lambda each: time.sleep(each.total_seconds()),
        announcer: Announcer | None = None,
        replicator: Replicator | None = None,
    ) -> None:
        self._settings = settings
        self._reporter = Reporter(settings)
        self._announcer = announcer
        self._replicator = replicator
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._sweeper = Sweeper(
            Refresher(
                store=store,
                endpoint=endpoint,
                clock=clock,
                pause=pause,
                refresh_before=settings.refresh_before,
                schedule=settings.schedule,
                uses_refresh_tokens=settings.uses_refresh_tokens,
            ),
            monotonic=monotonic,
            max_workers=settings.max_workers,
        )
        self._run = traced(self._handle, settings.service) if settings.tracing else self._handle

    def __call__(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Sweep: all accounts on the schedule, or some for a person.

        Returns:
            Counts, and up to 100 accounts that were not simply fresh. No secret.

        Raises:
            EventError: An event that is not ours.
            SecretStoreError: The accounts could not be listed.
            UnexpectedError: A defect of this program.
        """
        return self._invoke(self._sweep, event, context)

    def on_event(self, event: object, context: LambdaContext) -> dict[str, Any]:
        """Serve one account before the next sweep does, if there is reason to.

        IAM cannot see a payload, so this is all that consumers may be granted: unlike a
        sweep it never forces anything. Back-off, the minimum interval and leases hold as ever.

        Returns:
            What became of the account, and the version id of its published token.

        Raises:
            EventError: An event that is not ours.
            SecretStoreError: The account could not be described.
            UnexpectedError: A defect of this program.
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
            OAuthError: Likewise, for what the token endpoint says.
            NotAttemptedError: It was put off; Secrets Manager asks again.
            UnexpectedError: A defect of this program.
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
        except (TokenRefresherError, OAuthError) as error:
            failure: Exception = error
        except Exception as exception:  # noqa: BLE001 - its text may hold anything
            failure = UnexpectedError(exception)
        self._reporter.invocation_failed(failure)
        return failure

    def _sweep(self, event: object, context: LambdaContext) -> dict[str, Any]:
        asked = parse_event(event)
        report = self._sweeper.sweep(
            time_left=_time_left(context),
            accounts=asked.accounts,
            force=asked.force,
            dry_run=asked.dry_run,
        )
        self._reporter.log(report, request_id=context.aws_request_id)
        if not asked.dry_run:
            self._reporter.count(report, is_complete=not asked.accounts)
            self._announce(report, context)
        told = summary(report, where=self._settings.where)
        if self._replicator is not None and not asked.dry_run:
            told["replicas_behind"] = self._replicate(self._replicator, report, context)
        return told

    def _serve(self, event: object, context: LambdaContext) -> dict[str, Any]:
        trigger = parse_trigger(event, secret_prefix=self._settings.secret_prefix)
        report = self._sweeper.sweep(
            time_left=_time_left(context),
            accounts=(trigger.account,),
            rejected_version=trigger.rejected_version,
        )
        self._report(report, context)
        [account] = report.accounts
        fresh = Result(account, Reason.FRESH, Outcome.NOT_DUE)
        [result] = report.results or (fresh,)
        published = account.published
        version_id = published.version_id if published else None
        told = describe(result, report, where=self._settings.where)
        return told | {"version_id": version_id}

    @cached_property
    def _rotation(self) -> Rotation:
        from token_refresher.rotation import Rotation  # noqa: PLC0415 - one function of three

        return Rotation(
            store=self._store, endpoint=self._endpoint, sweeper=self._sweeper, clock=self._clock
        )

    def _rotate(self, event: object, context: LambdaContext) -> dict[str, Any]:
        asked = parse_rotation(event, secret_prefix=self._settings.secret_prefix)
        report = self._rotation.take(asked, time_left=_time_left(context))
        if report is not None:
            self._report(report, context)
            self._rotation.require_staged(asked, report)
        self._reporter.rotation_step_done(asked.account, asked.step)
        return {"account": asked.account, "step": str(asked.step)}

    def _report(self, report: Report, context: LambdaContext) -> None:
        """Log, count and announce what came of one account."""
        self._reporter.log(report, request_id=context.aws_request_id)
        self._reporter.count(report, is_complete=False)
        self._announce(report, context)

    def _announce(self, report: Report, context: LambdaContext) -> None:
        """Put events, where they are wanted; whatever becomes of them, the sweep is done."""
        if self._announcer is None:
            return
        try:
            not_put = self._announcer.announce(report, time_left=_time_left(context))
        except Exception as exception:  # noqa: BLE001 - no event is worth a sweep
            self._reporter.events_not_put(1, UnexpectedError(exception).code, lost=1)
        else:
            if not_put is not None:
                self._reporter.events_not_put(not_put.count, not_put.code, lost=not_put.lost)

    def _replicate(
        self, replicator: Replicator, report: Report, context: LambdaContext
    ) -> int | None:
        """Have new tokens copied to other Regions; whatever becomes of it, the sweep is done.

        Returns:
            Of how many accounts some Region lacks the newest token; None where nobody knows.
        """
        try:
            found = replicator.follow(report.accounts, time_left=_time_left(context))
        except Exception as exception:  # noqa: BLE001 - no copy is worth a sweep
            self._reporter.replicas_not_seen(UnexpectedError(exception).code)
            return None
        return self._reporter.replicas(found)


def _time_left(context: LambdaContext) -> Callable[[], timedelta]:
    return lambda: timedelta(milliseconds=context.get_remaining_time_in_millis())


def token_endpoints(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    signed_by: Callable[[], Signer] | None = None,
) -> TokenEndpoint:
    """Wire the token endpoints alone.

    Args:
        settings: From the environment.
        clock: As for `Handler`.
        signed_by: Makes who has the keys of accounts that sign; AWS, where nothing is said.
    """
    return TokenEndpoint(
        hosts=AllowedHosts(
            settings.allowed_token_hosts,
            is_proxied=settings.token_endpoint_proxy is not None,
            stack=settings.service,
            region=settings.region,
            architecture=_ARCHITECTURES.get(platform.machine(), ""),
        ),
        authorities=partial(public_authorities, settings.additional_ca_certificates),
        clock=clock,
        monotonic=time.monotonic,
        connections=settings.max_workers,
        signer=signed_by or signer(settings),
        proxy=settings.token_endpoint_proxy,
    )


def signer(settings: Settings) -> Callable[[], Signer]:
    """Wire what signs, once an account does.

    Args:
        settings: From the environment.
    """

    @cache
    def connect() -> Signer:
        # Most stacks have none, and a start need not pay for it.
        from token_refresher.aws import signing  # noqa: PLC0415

        return signing.Signer(
            prefix=settings.secret_prefix,
            connections=settings.max_workers,
            user_agent=PRODUCT_USER_AGENT,
        )

    return connect


def announcer(settings: Settings) -> Announcer:
    """Wire what puts events to the event bus, once there is an event.

    Args:
        settings: From the environment.
    """
    # Most stacks put none, and a start need not pay for it.
    from token_refresher.announcing import CONNECTIONS, SOURCE, Announcer  # noqa: PLC0415

    def connect() -> EventBus:
        from token_refresher.aws import event_bus  # noqa: PLC0415

        client = event_bus.create_client(connections=CONNECTIONS, user_agent=PRODUCT_USER_AGENT)
        return event_bus.EventBus(client, source=SOURCE)

    return Announcer(settings, connect)


def replicator(settings: Settings, store: ReplicatingStore, clock: Clock) -> Replicator:
    """Wire what has token secrets copied to other Regions.

    Args:
        settings: From the environment.
        store: Secrets Manager.
        clock: As for `Handler`.
    """
    # Most stacks copy nothing, and a start need not pay for it.
    from token_refresher.replication import Replicator  # noqa: PLC0415

    return Replicator(
        store=store,
        regions=settings.replica_regions,
        schedule=settings.schedule,
        clock=clock,
        max_workers=settings.max_workers,
    )


def wired(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> Handler:
    """Wire the function to Secrets Manager and to the token endpoints.

    Args:
        settings: From the environment.
        clock: As for `Handler`.
    """
    store = SecretsManagerStore(
        create_client(max_workers=settings.max_workers, user_agent=PRODUCT_USER_AGENT),
        prefix=settings.secret_prefix,
        kms_key_id=settings.token_secret_kms_key_id,
        pace=Pace(monotonic=time.monotonic, sleep=time.sleep),
        tags=settings.resource_tags,
    )
    return Handler(
        settings,
        store=store,
        endpoint=token_endpoints(settings, clock=clock),
        clock=clock,
        announcer=announcer(settings) if settings.puts_events else None,
        replicator=replicator(settings, store, clock) if settings.replica_regions else None,
    )


# Hardly anything that is made here is garbage, and to look for some costs a start its
# milliseconds by the dozen.
gc.disable()
try:
    lambda_handler: Final = wired(settings_from_environment())
finally:
    gc.enable()
on_event: Final = lambda_handler.on_event
on_rotation: Final = lambda_handler.on_rotation
