"""Secrets Manager's own rotation of a token secret, in its four steps.

It obtains the token as a sweep does: same lease, same journal, same records. Only the way to
``AWSCURRENT`` is another one, by way of ``AWSPENDING`` under a version id that Secrets
Manager chose. Each step may be repeated, and each may be the first one after a death.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from token_refresher.errors import FailureClass, RotationError
from token_refresher.events import Step
from token_refresher.failures import FAILURES, failure_class_of
from token_refresher.model import (
    Published,
    PublishedToken,
    account_from_metadata,
    published_from_id,
)
from token_refresher.outcomes import Outcome, Result
from token_refresher.policy import Reason, next_attempt
from token_refresher.ports import CURRENT, PENDING, SecretMetadata
from token_refresher.sweep import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from token_refresher.events import RotationStep
    from token_refresher.ports import StagingStore
    from token_refresher.redeem import TokenEndpoint
    from token_refresher.sweep import Sweeper


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """Takes the steps of rotations, each as it is asked for.

    Attributes:
        store: Secrets Manager.
        endpoint: The token endpoints, for ``verify_url``.
        sweeper: What obtains a token and stages it.
        clock: Gives aware times.
    """

    store: StagingStore
    endpoint: TokenEndpoint
    sweeper: Sweeper
    clock: Callable[[], datetime]

    def take(self, asked: RotationStep, *, time_left: Callable[[], timedelta]) -> Report | None:
        """Take one step, or find that it was taken before.

        Returns:
            What ``createSecret`` saw and did, where it had to obtain a token, and what
            ``finishSecret`` published: to be logged, and then judged by `require_staged`.

        Raises:
            RotationError: The step cannot be taken; the published token is what it was.
            RefreshError: Secrets Manager refused, or the credentials do not validate.
            OAuthError: The host of ``verify_url`` is not allowed.
        """
        metadata = self.store.describe_token(asked.account)
        stages = metadata.stages if metadata else {}
        is_pending = stages.get(PENDING) == asked.version_id
        if stages.get(CURRENT) == asked.version_id:
            if not is_pending or asked.step is not Step.FINISH:
                return None
            # The step before this one died, or was refused, after it had published.
            value = self.store.read_staged(asked.account, asked.version_id)
            self.store.unstage(asked.account, asked.version_id)
            return self._published(asked, value.text if value else None)
        if not is_pending:
            msg = "the version does not bear AWSPENDING: this rotation was ended, start another"
            raise RotationError(msg)
        token = self._staged_token(asked)
        if asked.step is Step.CREATE:
            return self._create(asked, time_left) if token is None else None
        if token is None:
            if asked.step is Step.TEST:
                # A schedule that is set without rotating at once is tried by this step alone, on
                # a version that gets no value and is taken away again.
                return None
            raise RotationError("nothing is staged yet: createSecret comes first")
        if asked.step is Step.TEST:
            self._test(asked, token)
        elif asked.step is Step.FINISH:
            return self._finish(asked, token, stages[CURRENT])
        return None

    def require_staged(self, asked: RotationStep, report: Report) -> None:
        """Raise what kept ``createSecret`` from staging a token.

        A rotation that nothing but a person can fix is ended: what is left behind of it
        would keep the next one from beginning.

        Raises:
            RefreshError: Or an `OAuthError`, or a `NotAttemptedError`: what kept it.
            RotationError: The token is held back.
        """
        [result] = report.results
        if result.outcome in {Outcome.STAGED, Outcome.PUBLISHED}:
            return
        error = result.error
        if isinstance(error, FAILURES) and failure_class_of(error) is not FailureClass.TRANSIENT:
            self.store.unstage(asked.account, asked.version_id)
        raise error or RotationError(_held_back(result))

    def _staged_token(self, asked: RotationStep) -> PublishedToken | None:
        """Read what is staged; a token that has expired meanwhile ends the rotation."""
        value = self.store.read_staged(asked.account, asked.version_id)
        if value is None:
            return None
        token = PublishedToken.from_json(value.text)
        if token is None:
            why = "the staged version is no token in the standard form (`publish.as` has none)"
            raise self._ended(asked, why)
        if self.clock().timestamp() >= token.expires_at:
            raise self._ended(asked, "the staged token has expired")
        return token

    def _create(self, asked: RotationStep, time_left: Callable[[], timedelta]) -> Report:
        return self.sweeper.sweep(
            time_left=time_left,
            accounts=(asked.account,),
            force=True,
            stage_as=asked.version_id,
        )

    def _test(self, asked: RotationStep, token: PublishedToken) -> None:
        """Ask ``verify_url``, where the credentials name one, whether it takes the token."""
        value = self.store.read_credentials(asked.account)
        if value is None:
            return
        from token_refresher.parsing import parse_credentials  # noqa: PLC0415 - as in a refresh

        client = parse_credentials(value.text).client
        if client.verify_url and self.endpoint.verify(client, token.access_token) is False:
            raise self._ended(asked, "verify_url refused the staged access_token")

    def _finish(self, asked: RotationStep, token: PublishedToken, current: str) -> Report | None:
        """Publish what is staged, unless a sweep has published a later token meanwhile."""
        published = published_from_id(current, now=self.clock())
        if not published.is_ours:
            value = self.store.read_published(asked.account)
            published = published.with_times_of(value.text if value else None)
        issued_at = datetime.fromtimestamp(token.issued_at, UTC)
        is_latest = published.issued_at is None or published.issued_at <= issued_at
        if is_latest:
            self.store.publish_staged(asked.account, asked.version_id, instead_of=current)
        self.store.unstage(asked.account, asked.version_id)
        return self._published(asked, token.to_json()) if is_latest else None

    def _published(self, asked: RotationStep, text: str | None) -> Report:
        """Tell what was published; of the credentials nothing was read, and nothing is told."""
        now, name = self.clock(), asked.account
        token = SecretMetadata({CURRENT: asked.version_id})
        account = account_from_metadata(name, credentials=None, token=token, now=now)
        published = Published(asked.version_id).with_times_of(text)
        result = Result(replace(account, published=published), Reason.FORCED, Outcome.PUBLISHED)
        return Report(
            now=now,
            accounts=(result.account,),
            results=(result,),
            request_seconds=(),
            schedule=self.sweeper.refresher.schedule,
            last_at=now,
            all_results=(result,),
        )

    def _ended(self, asked: RotationStep, why: str) -> RotationError:
        self.store.unstage(asked.account, asked.version_id)
        return RotationError(f"{why}: this rotation was ended, start another")


def _held_back(result: Result) -> str:
    """Say why no token was asked for, and when one will be."""
    next_at = next_attempt(result.account, result.reason)
    if result.reason in {Reason.RATE_LIMITED, Reason.UNCHANGED} and next_at is not None:
        return f"{result.reason} until {next_at.isoformat()}"
    return f"no token was obtained: {result.outcome} ({result.reason})"
