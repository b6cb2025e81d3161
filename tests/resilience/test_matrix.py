"""Every fault at every call of every flow, among doubles; and that the matrix is not blind."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from tests.resilience.matrix import (
    ACCOUNT,
    FLOWS,
    PASSWORD,
    READS,
    Fault,
    Flow,
    Point,
    Strike,
)
from tests.resilience.matrix_cases import DAYS, play_busy_days, play_days, play_flow
from tests.resilience.matrix_memory import (
    FLOWS_IN_MEMORY,
    MemoryScene,
    ReadEndpoint,
    SceneStore,
)
from tests.resilience.matrix_rules import VERSIONS_A_DAY, Case, Invariant, over_budget
from tests.unit.fakes import CLIENT, HOUR, MINUTE, TICK, RefreshMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.resilience.matrix_cases import Played

ALL_FLOWS: Final = (*FLOWS, *FLOWS_IN_MEMORY)
BY_NAME: Final = {flow.name: flow for flow in ALL_FLOWS}
ROTATING: Final = BY_NAME["refresh: server rotates"]
REFRESH_ONLY: Final = BY_NAME["refresh-only: refresh"]
FIRST_TOKEN: Final = BY_NAME["refresh-only: first token"]
WITH_GRACE: Final = BY_NAME["refresh-only: server with a grace of a minute"]

# One core plays the longest of them in half a minute.
pytestmark = pytest.mark.timeout(1800)


def listed(played: Played) -> str:
    """Name every broken promise, one a line."""
    return "\n".join(str(violation) for violation in played.violations)


@pytest.mark.parametrize("flow", ALL_FLOWS, ids=str)
def test_every_fault_at_every_call_of_a_flow_leaves_all_promises_kept(flow: Flow) -> None:
    played = play_flow(flow, MemoryScene)

    assert listed(played) == ""
    assert played.missed == []
    assert played.cases > len(played.points) > 0
    assert flow.is_refresh_only or played.unavoidable == []


@pytest.mark.parametrize("flow", [flow for flow in FLOWS if flow.name in DAYS], ids=str)
def test_a_fault_that_lasts_a_day_costs_neither_budget_nor_account(flow: Flow) -> None:
    played = play_days(flow, MemoryScene)

    assert listed(played) == ""
    assert played.cases > 1


@pytest.mark.parametrize("flow", [flow for flow in FLOWS if flow.name in DAYS], ids=str)
def test_people_who_do_not_let_go_for_a_day_cost_neither_budget_nor_account(flow: Flow) -> None:
    played = play_busy_days(flow, MemoryScene)

    assert listed(played) == ""
    assert played.cases > 1


# Every operation of Secrets Manager is eventually consistent, without a limit that AWS names.

OLD: Final = [Strike(Point(read), Fault.STALE, is_lasting=True) for read in sorted(READS)]
VERIFIED: Final = [flow for flow in FLOWS if not flow.verification_refuses]


@pytest.mark.parametrize(("minutes", "most"), [(1, 7), (5, 3)])
@pytest.mark.parametrize("flow", VERIFIED, ids=str)
def test_reads_that_are_all_five_minutes_old_cost_requests_and_no_refresh_token(
    flow: Flow, minutes: int, most: int
) -> None:
    """What a primary grant is asked for more often, a lease keeps from a refresh token."""
    scene = MemoryScene()
    flow.begin(scene)
    for _ in range(timedelta(hours=12) // (minutes * MINUTE)):
        scene.sweep(*OLD)
        scene.pass_time(minutes * MINUTE)

    assert scene.lives_for(MINUTE)
    published = [each.at for each in scene.versions if each.path == "tokens"]
    together = [
        sum(begins <= at < begins + 30 * MINUTE for at in published) for begins in published
    ]
    assert max(together) <= (2 if flow.is_refresh_only else most)
    assert scene.families_revoked() == 0
    if scene.mode is not RefreshMode.KEEPS:
        assert max(scene.refresh_tokens_redeemed().values(), default=0) <= 1


# Where the loss is unavoidable.


RESPONSE_IS_LOST: Final = Strike(Point("request"), Fault.LOST)
DIES_BEFORE_THE_STORE_KNOWS: Final = Strike(Point("journal"), Fault.KILLED_BEFORE)


@pytest.mark.parametrize("strike", [RESPONSE_IS_LOST, DIES_BEFORE_THE_STORE_KNOWS], ids=str)
@pytest.mark.parametrize("flow", [REFRESH_ONLY, FIRST_TOKEN], ids=str)
def test_an_only_grant_that_nobody_can_save_is_reported_and_healed_by_a_new_one(
    flow: Flow, strike: Strike
) -> None:
    case = Case(flow, MemoryScene(), (strike,)).play()

    assert case.violations == []
    assert case.is_unavoidable
    assert case.reported_after is not None


@pytest.mark.parametrize(
    "fault", [Fault.LOST, Fault.SERVER_ERROR_AFTER, Fault.UNAVAILABLE_AFTER, Fault.TIMEOUT_AFTER]
)
def test_a_server_with_a_grace_answers_again_what_was_lost(fault: Fault) -> None:
    case = Case(WITH_GRACE, MemoryScene(), (Strike(Point("request"), fault),)).play()

    assert case.violations == []
    assert not case.is_unavoidable


@pytest.mark.parametrize("strike", [RESPONSE_IS_LOST, DIES_BEFORE_THE_STORE_KNOWS], ids=str)
def test_an_account_with_a_primary_grant_never_sends_a_refresh_token_again(strike: Strike) -> None:
    scene = MemoryScene()
    case = Case(ROTATING, scene, (strike,)).play()

    assert case.violations == []
    assert not case.is_unavoidable
    sent = [each.refresh_token for each in scene.sendings()]
    assert len(sent) == len(set(sent)) > 0


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.TIMEOUT_AFTER, Fault.KILLED_AFTER])
@pytest.mark.parametrize("call", ["lease", "journal", "publish"])
def test_an_only_grant_survives_wherever_the_store_took_what_it_was_told(
    call: str, fault: Fault
) -> None:
    case = Case(REFRESH_ONLY, MemoryScene(), (Strike(Point(call), fault),)).play()

    assert case.violations == []
    assert not case.is_unavoidable


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.TIMEOUT, Fault.DENIED], ids=str)
def test_what_cannot_be_reached_for_a_day_takes_no_lease(fault: Fault) -> None:
    scene = MemoryScene()
    case = Case(REFRESH_ONLY, scene, (Strike(Point("connect"), fault, is_lasting=True),)).play_day()

    assert case.violations == []
    leases = [each for each in scene.versions if each.version_id.startswith("request-")]
    # The first token, the one after the outage, and the refresh after that.
    assert len(leases) == 3
    assert scene.failure() == ""


# The budget, where tokens live shorter than any schedule.


@pytest.mark.parametrize("lifetime", [5 * MINUTE, 20 * MINUTE, HOUR, 90 * MINUTE], ids=str)
def test_short_lived_tokens_stay_within_the_budget_all_day(lifetime: timedelta) -> None:
    scene = MemoryScene()
    scene.world.endpoint.lifetime = lifetime
    scene.onboard(PASSWORD)
    for _ in range(2 * timedelta(days=1) // TICK):
        scene.sweep()
        scene.pass_time(TICK)

    assert over_budget(scene, uses_refresh_tokens=True) == []
    assert len(scene.versions) > VERSIONS_A_DAY / 3


# A matrix that cannot see would always be green. Each of these surroundings breaks one promise.


class ForgetsJournals(SceneStore):
    def write_protocol(self, account: str, version_id: str, content: str) -> bool:
        is_journal = not version_id.startswith("request-")
        return is_journal or super().write_protocol(account, version_id, content)


class PublishesGarbage(SceneStore):
    def publish(self, account: str, version_id: str, content: str) -> bool:
        token = json.loads(content) | {"access_token": "not-a-token"}
        return super().publish(account, version_id, json.dumps(token))


class PublishesNothing(SceneStore):
    def publish(self, account: str, version_id: str, content: str) -> bool:
        is_first = not self.tokens[account].versions
        return super().publish(account, version_id, content) if is_first else True


class PublishesThreeTimes(SceneStore):
    def publish(self, account: str, version_id: str, content: str) -> bool:
        for number in range(2):
            super().publish(account, version_id[:-1] + str(number), content)
        return super().publish(account, version_id, content)


class PublishesRefreshTokens(SceneStore):
    def publish(self, account: str, version_id: str, content: str) -> bool:
        token = json.loads(content) | {"refresh_token": "refresh-token-1"}
        return super().publish(account, version_id, json.dumps(token))


class TagsSecrets(SceneStore):
    def tag(self, account: str, tags: Mapping[str, str]) -> None:
        super().tag(account, {**tags, "note": str(CLIENT["client_secret"])})


class TakesNoSecondRefreshToken(ReadEndpoint):
    def seed(self) -> str:
        return super().seed() if self._families == 0 else "refresh-token-that-is-unknown"


class IssuesRefreshTokensAgain(ReadEndpoint):
    """A server whose rotation hands out the token that was just spent."""

    def _new_refresh_token(self, family: int) -> str:
        self.latest = super()._new_refresh_token(family) if self.latest is None else self.latest
        self._refresh_tokens[self.latest].is_spent = False
        return self.latest


@pytest.mark.parametrize(
    ("surroundings", "strike", "invariant"),
    [
        ({"store_type": PublishesGarbage}, None, Invariant.I1),
        ({"store_type": PublishesNothing}, None, Invariant.I2),
        ({"store_type": ForgetsJournals}, None, Invariant.I3),
        ({"endpoint_type": IssuesRefreshTokensAgain}, None, Invariant.I3),
        ({"store_type": PublishesThreeTimes}, None, Invariant.I4),
        ({"store_type": PublishesRefreshTokens}, None, Invariant.I5),
        ({"store_type": TagsSecrets}, Strike(Point("publish"), Fault.DENIED), Invariant.I5),
        ({"endpoint_type": TakesNoSecondRefreshToken}, RESPONSE_IS_LOST, Invariant.I6),
    ],
    ids=lambda value: "" if value is None or isinstance(value, Strike) else str(value),
)  # fmt: skip
def test_the_matrix_sees_a_broken_promise(
    surroundings: dict[str, Any], strike: Strike | None, invariant: Invariant
) -> None:
    scene: Any = type("Scene", (MemoryScene,), surroundings)()
    case = Case(REFRESH_ONLY, scene, (strike,) if strike else ()).play()

    assert invariant in {violation.invariant for violation in case.violations}
    assert str(case.violations[0]).startswith("I")


class SaysSecrets(MemoryScene):
    """A program that logs a password with each sweep."""

    password: ClassVar = PASSWORD["password"]

    def sweep(self, *strikes: Strike, force: bool = False) -> dict[str, Any] | None:
        told = super().sweep(*strikes, force=force)
        self.said.append(f"sweeping {ACCOUNT} with {self.password}")
        return told


def test_the_matrix_reads_what_is_said() -> None:
    case = Case(ROTATING, SaysSecrets(), ()).play()

    assert {violation.invariant for violation in case.violations} == {Invariant.I5}


def test_a_loss_that_no_fault_explains_is_no_bad_luck() -> None:
    scene: Any = type("Scene", (MemoryScene,), {"store_type": ForgetsJournals})()
    case = Case(REFRESH_ONLY, scene, (Strike(Point("lease"), Fault.LOST),)).play()

    assert not case.is_unavoidable
    assert any("only refresh token" in violation.detail for violation in case.violations)
