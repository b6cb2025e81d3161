"""Secrets Manager's own rotation: four steps, each repeatable, each the first after a death."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.fakes import (
    ACCOUNT,
    CLIENT_CREDENTIALS,
    HOUR,
    MINUTE,
    PASSWORD,
    RunKilledError,
    World,
    denied,
    response,
    throttled,
    unavailable,
)
from token_refresher.errors import OutOfTimeError, RotationError, SecretStoreError
from token_refresher.events import RotationStep, Step
from token_refresher.oauth.errors import EndpointUnavailableError, TokenRequestError
from token_refresher.outcomes import Outcome
from token_refresher.policy import Reason
from token_refresher.ports import CURRENT, PENDING, PREVIOUS
from token_refresher.rotation import Rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from token_refresher.sweep import Report

VERIFY_URL = "https://www.autovit.ro/api/open/account/adverts"


class Rotated:
    """An account of a world, whose token Secrets Manager rotates."""

    def __init__(
        self, world: World, credentials: Mapping[str, object] = PASSWORD, *, is_new: bool = False
    ) -> None:
        self.world = world
        world.add(credentials)
        if is_new:
            world.store.create_token_secret(ACCOUNT)
        else:
            world.sweep()
        world.now += HOUR
        self.seconds = 70
        self._rotations = 0
        self.begin()

    @property
    def stages(self) -> dict[str, str]:
        return self.world.store.tokens[ACCOUNT].stages

    def begin(self) -> None:
        """What RotateSecret does before it asks for the first step."""
        self._rotations += 1
        self.version_id = f"00000000-0000-0000-0000-{self._rotations:012}"
        # As AWS does: a version that waits for its value.
        self.world.store.tokens[ACCOUNT].versions[self.version_id] = None
        self.stages[PENDING] = self.version_id

    def take(self, *steps: Step) -> Report | None:
        """Ask for steps, as Secrets Manager does of a function that has just started."""
        world, report = self.world, None
        world.start_environment()
        rotation = Rotation(
            store=world.store,
            endpoint=world.endpoint,
            sweeper=world.sweeper,
            clock=lambda: world.now,
        )
        for step in steps:
            asked = RotationStep(step, ACCOUNT, self.version_id)
            report = rotation.take(asked, time_left=lambda: timedelta(seconds=self.seconds))
            if report is not None:
                rotation.require_staged(asked, report)
        return report

    def publish_another(self) -> None:
        """Let a sweep publish a later token."""
        self.world.refresh(after=MINUTE, force=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rotated(world: World) -> Rotated:
    return Rotated(world)


def test_four_steps_publish_a_token_that_is_accepted(rotated: Rotated) -> None:
    before = rotated.stages[CURRENT]
    rotated.take(*Step)

    assert rotated.stages == {CURRENT: rotated.version_id, PREVIOUS: before}
    assert rotated.world.endpoint.accepts(rotated.world.access_token())
    assert rotated.world.grants == ["password", "refresh_token"]


def test_consumers_read_the_old_token_until_the_last_step(rotated: Rotated) -> None:
    before = rotated.stages[CURRENT]
    rotated.take(Step.CREATE, Step.SET, Step.TEST)

    assert rotated.stages[CURRENT] == before


@pytest.mark.parametrize("step", list(Step))
def test_each_step_may_be_asked_for_twice(rotated: Rotated, step: Step) -> None:
    for each in Step:
        rotated.take(*[each] * (2 if each is step else 1))

    assert rotated.stages[CURRENT] == rotated.version_id
    assert sum(rotated.world.endpoint.redeemed.values()) == 1


def test_a_sweep_after_a_rotation_has_nothing_to_do(rotated: Rotated) -> None:
    rotated.take(*Step)
    rotated.world.sweep()

    assert rotated.world.grants == []
    assert rotated.world.calls == ["describe", "read published"]


def test_a_rotation_wherever_it_dies_goes_on_and_redeems_nothing_twice(world: World) -> None:
    rotated = Rotated(world)
    world.faults.reset()
    rotated.take(*Step)
    points = len(world.faults.points)

    for point in range(points):
        dying = World()
        again = Rotated(dying)
        dying.faults.reset()
        dying.faults.plan(point, lambda _: RunKilledError())
        with pytest.raises(RunKilledError):
            again.take(*Step)
        # Another run may be at the refresh token until its lease is over.
        dying.now += MINUTE * 21
        again.take(*Step)

        assert again.stages[CURRENT] == again.version_id, world.faults.points[point]
        assert PENDING not in again.stages
        assert dying.endpoint.accepts(dying.access_token())
        assert max(dying.endpoint.redeemed.values(), default=0) <= 1
        assert dying.endpoint.revoked == set()
    assert points > 20


def test_a_sweep_beside_a_rotation_publishes_the_same_response(rotated: Rotated) -> None:
    rotated.take(Step.CREATE)
    rotated.world.sweep()
    swept = rotated.world.access_token()
    rotated.take(Step.SET, Step.TEST, Step.FINISH)

    assert rotated.world.access_token() == swept
    assert rotated.world.endpoint.redeemed.total() == 1
    assert rotated.stages[CURRENT] == rotated.version_id


def test_a_later_token_that_a_sweep_published_stays(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    rotated.take(Step.CREATE, Step.SET, Step.TEST)
    rotated.publish_another()
    later = rotated.stages[CURRENT]
    rotated.take(Step.FINISH)

    assert rotated.stages[CURRENT] == later
    assert PENDING not in rotated.stages


def test_what_was_published_is_told_once_though_the_step_that_did_it_was_cut_short(
    rotated: Rotated,
) -> None:
    rotated.take(Step.CREATE, Step.SET, Step.TEST)
    rotated.world.faults.once("after publish staged", RunKilledError())
    with pytest.raises(RunKilledError):
        rotated.take(Step.FINISH)
    report = rotated.take(Step.FINISH)

    assert report is not None
    [result] = report.results
    assert (result.outcome, result.reason) == (Outcome.PUBLISHED, Reason.FORCED)
    assert result.account.published is not None
    assert result.account.published.version_id == rotated.version_id
    assert result.account.live_until is not None
    assert rotated.take(Step.FINISH) is None


def test_a_rotation_that_gave_way_to_a_later_token_tells_of_no_publication(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    rotated.take(Step.CREATE, Step.SET, Step.TEST)
    rotated.publish_another()

    assert rotated.take(Step.FINISH) is None


def test_a_second_rotation_compares_with_the_first_one_s_token(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    rotated.take(*Step)
    first = rotated.version_id
    world.now += HOUR
    rotated.begin()
    rotated.take(*Step)

    assert (rotated.stages[CURRENT], rotated.stages[PREVIOUS]) == (rotated.version_id, first)


def test_a_token_of_a_person_without_times_is_replaced(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    rotated.take(Step.CREATE)
    world.store.tokens[ACCOUNT].put("a-person-s-0123456789012345678901", "{}", [CURRENT])
    rotated.take(Step.FINISH)

    assert rotated.stages[CURRENT] == rotated.version_id


def test_a_failure_that_passes_leaves_the_rotation_to_be_tried_again(rotated: Rotated) -> None:
    rotated.world.endpoint.fail(unavailable)
    with pytest.raises(EndpointUnavailableError):
        rotated.take(Step.CREATE)
    assert rotated.stages[PENDING] == rotated.version_id

    rotated.world.endpoint.fail(None)
    rotated.take(*Step)
    assert rotated.stages[CURRENT] == rotated.version_id


def test_a_failure_that_a_person_must_fix_ends_the_rotation(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    before = rotated.stages[CURRENT]
    world.endpoint.answer(TokenRequestError("invalid_client"))
    with pytest.raises(TokenRequestError):
        rotated.take(Step.CREATE)

    assert PENDING not in rotated.stages
    assert rotated.stages[CURRENT] == before
    assert world.tags()["failure"].startswith("action required: invalid_client/1/")
    with pytest.raises(RotationError, match="does not bear AWSPENDING"):
        rotated.take(Step.CREATE)


def test_the_minimum_interval_holds_a_rotation_and_says_until_when(world: World) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    world.refresh(force=True)
    world.now += HOUR
    world.refresh(force=True)
    world.now += MINUTE
    world.refresh(force=True)
    with pytest.raises(RotationError, match=r"rate limited until 2026-11-24T03:20"):
        rotated.take(Step.CREATE)


def test_a_token_that_was_handed_out_once_more_holds_a_rotation_and_says_until_when(
    world: World,
) -> None:
    rotated = Rotated(world, CLIENT_CREDENTIALS)
    world.endpoint.answer(response(access_token=world.access_token()))
    world.refresh(force=True)
    with pytest.raises(RotationError, match=r"unchanged until 2026-11-24T07:29:30"):
        rotated.take(Step.CREATE)


def test_another_run_at_the_same_refresh_token_holds_a_rotation(rotated: Rotated) -> None:
    rotated.world.faults.once("after lease", RunKilledError())
    with pytest.raises(RunKilledError):
        rotated.world.refresh(force=True)
    with pytest.raises(RotationError, match=r"leased by another run \(forced\)"):
        rotated.take(Step.CREATE)


def test_without_time_nothing_is_asked_and_the_rotation_is_tried_again(rotated: Rotated) -> None:
    rotated.seconds = 30
    with pytest.raises(OutOfTimeError):
        rotated.take(Step.CREATE)

    assert rotated.stages[PENDING] == rotated.version_id


@pytest.mark.parametrize("step", [Step.SET, Step.FINISH])
def test_a_step_before_the_first_one_is_refused(rotated: Rotated, step: Step) -> None:
    with pytest.raises(RotationError, match="createSecret comes first"):
        rotated.take(step)


def test_a_schedule_for_later_is_tried_by_a_test_of_nothing_which_changes_nothing(
    rotated: Rotated,
) -> None:
    before, grants = dict(rotated.stages), list(rotated.world.grants)
    assert rotated.take(Step.TEST) is None

    assert (rotated.stages, rotated.world.grants) == (before, grants)


@pytest.mark.parametrize("step", list(Step))
def test_a_staged_token_that_expired_meanwhile_ends_the_rotation(
    rotated: Rotated, step: Step
) -> None:
    rotated.take(Step.CREATE)
    rotated.world.now += timedelta(hours=12)
    with pytest.raises(RotationError, match="has expired: this rotation was ended, start another"):
        rotated.take(step)
    assert PENDING not in rotated.stages

    rotated.begin()
    rotated.take(*Step)
    assert rotated.stages[CURRENT] == rotated.version_id


def test_a_staged_version_that_is_no_token_ends_the_rotation(rotated: Rotated) -> None:
    rotated.world.store.tokens[ACCOUNT].versions[rotated.version_id] = "made-up"
    with pytest.raises(RotationError, match="no token in the standard form"):
        rotated.take(Step.CREATE)


def test_verify_url_may_refuse_a_staged_token(world: World) -> None:
    rotated = Rotated(world, {**PASSWORD, "verify_url": VERIFY_URL})
    before = rotated.stages[CURRENT]
    rotated.take(Step.CREATE, Step.SET)
    world.endpoint.verdict = False
    with pytest.raises(RotationError, match="verify_url refused the staged access_token"):
        rotated.take(Step.TEST)

    assert (rotated.stages[CURRENT], PENDING in rotated.stages) == (before, False)


def test_where_nobody_can_tell_a_staged_token_passes(world: World) -> None:
    rotated = Rotated(world, {**PASSWORD, "verify_url": VERIFY_URL})
    rotated.take(Step.CREATE)
    world.endpoint.verdict = None
    rotated.take(Step.SET, Step.TEST, Step.FINISH)

    assert rotated.stages[CURRENT] == rotated.version_id


def test_credentials_that_are_gone_do_not_keep_a_staged_token_back(rotated: Rotated) -> None:
    rotated.take(Step.CREATE)
    del rotated.world.store.credentials[ACCOUNT]
    rotated.take(Step.SET, Step.TEST, Step.FINISH)

    assert rotated.stages[CURRENT] == rotated.version_id


def test_the_first_token_of_a_secret_may_come_by_a_rotation(world: World) -> None:
    rotated = Rotated(world, is_new=True)
    rotated.take(*Step)

    assert rotated.stages == {CURRENT: rotated.version_id}
    assert world.endpoint.accepts(world.access_token())


@pytest.mark.parametrize("make", [denied, throttled])
def test_what_secrets_manager_refuses_fails_the_step_and_a_later_one_ends_well(
    rotated: Rotated, make: Callable[[], SecretStoreError]
) -> None:
    rotated.take(Step.CREATE, Step.SET, Step.TEST)
    for point in ("before publish staged", "before unstage"):
        rotated.world.faults.once(point, make())
        with pytest.raises(SecretStoreError):
            rotated.take(Step.FINISH)
    rotated.take(Step.FINISH)

    assert rotated.stages[CURRENT] == rotated.version_id
    assert PENDING not in rotated.stages


def test_the_published_text_is_what_consumers_know(rotated: Rotated) -> None:
    rotated.take(*Step)
    text = rotated.world.store.tokens[ACCOUNT].versions[rotated.version_id]

    assert json.loads(text or "").keys() == {
        "access_token",
        "token_type",
        "scope",
        "issued_at",
        "expires_at",
    }
