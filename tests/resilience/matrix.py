"""What the fault matrix is made of: faults, the points they strike at, and the flows they strike.

A flow is told once, and is played on several stages (a `Scene`): in memory, over HTTP, and with
processes that are really killed. Its points are found by playing it.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from tests.unit.fakes import HOUR, TICK, UNTIL_DUE, RefreshMode

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from datetime import datetime

ACCOUNT: Final = "dealer-17"
PASSWORD: Final[Mapping[str, str]] = {
    "grant_type": "password",
    "username": "dealer@example.com",
    "password": "made-up-password",
}
CLIENT_CREDENTIALS: Final[Mapping[str, str]] = {"grant_type": "client_credentials"}

TOKEN_CALLS: Final = frozenset({"request", "verify"})
WRITES: Final = frozenset({"lease", "journal", "publish", "create"})
READS: Final = frozenset(
    {"list", "describe", "describe credentials", "read credentials", "read journal"}
    | {"read lease", "read published"}
)


class Fault(Enum):
    """What goes wrong at a call. Its value is what the report calls it."""

    REFUSED = "refused before it was processed"
    LOST = "processed, but the response lost"
    THROTTLED = "throttled"
    SERVER_ERROR = "5xx, not processed"
    SERVER_ERROR_AFTER = "500, though processed"
    UNAVAILABLE_AFTER = "503, though processed"
    TIMEOUT = "timeout, not processed"
    TIMEOUT_AFTER = "timeout, though processed"
    DENIED = "access denied"
    FIREWALL = "a firewall's page"
    VERSION_LIMIT = "version limit"
    NOT_FOUND = "not found, though it is there"
    MALFORMED = "malformed response"
    EMPTY = "a response without its fields"
    UNUSABLE = "a response with an unusable token"
    DEFECT = "an exception that nobody foresaw"
    SLOW = "50 seconds until it has its effect"
    STALE = "as it was five minutes ago"
    FROZEN_61S = "then frozen for 61 seconds"
    FROZEN_16M = "then frozen for 16 minutes"
    FROZEN_21M = "then frozen for 21 minutes"
    FROZEN_3H = "then frozen for 3 hours"
    KILLED_BEFORE = "killed right before"
    KILLED_AFTER = "killed right after"

    @property
    def is_after(self) -> bool:
        """Whether the call had its effect first."""
        return self in _AFTER

    @property
    def kills(self) -> bool:
        """Whether the process is gone afterwards."""
        return self in {Fault.KILLED_BEFORE, Fault.KILLED_AFTER}

    @property
    def freezes(self) -> timedelta | None:
        """For how long the run stands still after the call, while others go on."""
        return _FREEZES.get(self)

    @property
    def passes(self) -> bool:
        """Whether the call ends well all the same."""
        return self in _FREEZES or self in {Fault.SLOW, Fault.STALE}

    def applies_to(self, call: str) -> bool:
        """Whether this can happen to a call."""
        if call == "connect":
            return self in _AT_CONNECT
        if self in {Fault.VERSION_LIMIT, Fault.SLOW}:
            return call in WRITES
        if self is Fault.NOT_FOUND:
            return call in WRITES - {"create"} or call in {"tag", "untag"}
        if self is Fault.STALE:
            return call in READS
        if self in {Fault.EMPTY, Fault.UNUSABLE, Fault.UNAVAILABLE_AFTER}:
            return call == "request"
        return self is not Fault.FIREWALL or call in TOKEN_CALLS


_FREEZES: Final = {
    Fault.FROZEN_61S: timedelta(seconds=61),
    Fault.FROZEN_16M: timedelta(minutes=16),
    Fault.FROZEN_21M: timedelta(minutes=21),
    Fault.FROZEN_3H: timedelta(hours=3),
}
_AFTER: Final = frozenset(
    {Fault.LOST, Fault.SERVER_ERROR_AFTER, Fault.UNAVAILABLE_AFTER, Fault.TIMEOUT_AFTER}
    | {Fault.MALFORMED, Fault.EMPTY, Fault.UNUSABLE, Fault.KILLED_AFTER, *_FREEZES}
)
# Nothing is sent: no connection, none in time, a refused certificate, or a run that ends there.
_AT_CONNECT: Final = frozenset(
    {Fault.REFUSED, Fault.TIMEOUT, Fault.DENIED, Fault.DEFECT}
    | {Fault.KILLED_BEFORE, Fault.KILLED_AFTER, *_FREEZES}
)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A call of a sweep: what is called, and for which time in this sweep."""

    call: str
    nth: int = 1

    def __str__(self) -> str:
        """Read like ``lease`` or ``lease #2``."""
        return self.call if self.nth == 1 else f"{self.call} #{self.nth}"


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault at a point.

    Attributes:
        point: Where.
        fault: What.
        is_lasting: Whether the same call fails for the rest of the sweep, too.
    """

    point: Point
    fault: Fault
    is_lasting: bool = False

    def __str__(self) -> str:
        """Read like ``lease: throttled``."""
        return f"{self.point}: {self.fault.value}{', from then on' if self.is_lasting else ''}"

    def hits(self, point: Point) -> bool:
        """Whether this fault strikes there."""
        if self.is_lasting:
            return point.call == self.point.call and point.nth >= self.point.nth
        return point == self.point

    @property
    def may_lose_a_response(self) -> bool:
        """Whether the last response of a rotating server may be nowhere afterwards.

        It never arrived whole; or the run ended, or stood still until others had to take it for
        dead, before the store was told. Without another grant that is an unavoidable loss.
        """
        fault = self.fault
        if self.point.call == "request":
            return fault.is_after and fault not in {Fault.FROZEN_61S, Fault.FROZEN_16M}
        # Before it writes, a run that stood still reads the journal once more.
        looks_again = self.point == Point("read journal", 2) and fault.kills
        return looks_again or (self.point.call == "journal" and fault is Fault.KILLED_BEFORE)


class Boundary:
    """Numbers the calls that cross it in a sweep, and says what goes wrong at each."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._strikes: tuple[Strike, ...] = ()
        self._counts: Counter[str] = Counter()
        self._attempts: dict[str, Fault | None] = {}
        self._lock = threading.Lock()

    def begin(self, *strikes: Strike) -> None:
        """Count from here, with these faults."""
        with self._lock:
            self.points = []
            self._strikes = strikes
            self._counts.clear()
            self._attempts.clear()

    def arrive(self, call: str, *, attempt_of: str = "") -> Fault | None:
        """Tell what happens to a call.

        Args:
            call: What is called.
            attempt_of: The same for all attempts of one call, which all meet the same.
        """
        with self._lock:
            if attempt_of and attempt_of in self._attempts:
                return self._attempts[attempt_of]
            self._counts[call] += 1
            point = Point(call, self._counts[call])
            self.points.append(point)
            fault = next((each.fault for each in self._strikes if each.hits(point)), None)
            self._attempts[attempt_of] = fault
            return fault


@dataclass(frozen=True, slots=True)
class Written:
    """A version that the program added to a secret.

    Attributes:
        at: When.
        path: ``credentials`` or ``tokens``.
        version_id: Its id.
    """

    at: datetime
    path: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A refresh token that arrived at the server.

    Attributes:
        at: When.
        run: Of which sweep; the same for those of one lease.
        refresh_token: What was sent.
        is_needless: Whether it was not refused before, and the published token lives for long.
    """

    at: datetime
    run: object
    refresh_token: str
    is_needless: bool = False


@dataclass
class Scene(ABC):
    """One account, its server, and the program, on some stage.

    Attributes:
        boundary: What every call of the program crosses.
        versions: Every version that the program wrote.
        said: Everything that left the program, other than to the two secrets and the server.
        puts: When credentials were put.
        is_refusing_tokens: Whether ``verify_url`` refuses.
        has_grace: Whether the server takes a spent refresh token again for a while.
        ahead: How far the program's clock is ahead, in the sweeps to come.
        account: The account's name.
        until_due: When a token that was just published becomes due.
    """

    boundary: Boundary = field(default_factory=Boundary)
    versions: list[Written] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    puts: list[datetime] = field(default_factory=list)
    is_refusing_tokens: bool = False
    has_grace: bool = False
    ahead: timedelta = timedelta(0)
    account: str = ACCOUNT
    until_due: timedelta = UNTIL_DUE

    # What people and servers do.

    @property
    @abstractmethod
    def now(self) -> datetime:
        """The moment."""

    @abstractmethod
    def pass_time(self, duration: timedelta) -> None:
        """Let time pass."""

    @property
    @abstractmethod
    def mode(self) -> RefreshMode:
        """What becomes of a refresh token that is redeemed."""

    @abstractmethod
    def set_mode(self, mode: RefreshMode) -> None:
        """Change it."""

    @abstractmethod
    def onboard(self, grant: Mapping[str, str], **more: object) -> None:
        """Write the credentials of an account with a primary grant, or write them again."""

    @abstractmethod
    def onboard_refresh_only(self, **more: object) -> None:
        """Write the credentials of an account that has nothing but a new initial refresh token."""

    @abstractmethod
    def edit(self, **changes: object) -> None:
        """Change fields of the credentials, and leave the others as they are."""

    @abstractmethod
    def make_token_secret(self) -> None:
        """Make the token secret, empty, before the program does."""

    @abstractmethod
    def let_refresh_tokens_die(self) -> None:
        """Let the server forget every refresh token that it has issued."""

    @abstractmethod
    def set_outage(self, *, is_on: bool) -> None:
        """Let the token endpoint answer 503, or end that."""

    @property
    @abstractmethod
    def verify_url(self) -> str:
        """Where a token can be tried."""

    # What the program does.

    @abstractmethod
    def sweep(self, *strikes: Strike, force: bool = False) -> dict[str, Any] | None:
        """Sweep once, with these faults.

        Returns:
            The invocation's summary; None where it was killed or ended in an error.
        """

    # What can be seen.

    @property
    @abstractmethod
    def marks(self) -> re.Pattern[str]:
        """Every secret that was made for the scene: none of them may be in `said`."""

    @property
    @abstractmethod
    def hidden_marks(self) -> re.Pattern[str]:
        """Those that may not be in a token secret either."""

    @abstractmethod
    def published(self) -> tuple[str, dict[str, Any]] | None:
        """The version id and the content that consumers read; None where there is none."""

    @abstractmethod
    def accepts(self, access_token: str) -> bool:
        """Whether a resource takes an access token now."""

    def lives_for(self, duration: timedelta) -> bool:
        """Whether the published token would be accepted for so long."""
        published = self.published()
        if published is None or published[1]["expires_at"] <= (self.now + duration).timestamp():
            return False
        return self.accepts(published[1]["access_token"])

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """The token secret's tags, without the prefix that they share."""

    def failure(self) -> str:
        """The class and the code of the recorded failure; empty where there is none."""
        return self.tags().get("failure", "").partition("/")[0]

    @abstractmethod
    def outside(self) -> str:
        """All metadata of both secrets, as anybody sees it who may list secrets."""

    @abstractmethod
    def token_texts(self) -> str:
        """The content of every version of the token secret that can be read."""

    @abstractmethod
    def stored_refresh_token(self) -> str | None:
        """What the next refresh would send: the journal's, or else the initial one."""

    @abstractmethod
    def latest_refresh_token(self) -> str | None:
        """What the server issued last, whoever received it."""

    @abstractmethod
    def sendings(self) -> list[Sending]:
        """Every time that a refresh token arrived at the server, in order."""

    @abstractmethod
    def refresh_tokens_redeemed(self) -> Counter[str]:
        """How often each refresh token was exchanged."""

    @abstractmethod
    def families_revoked(self) -> int:
        """How many families ended because a spent refresh token came back."""

    @abstractmethod
    def assertions_refused(self) -> int:
        """How many assertions came a second time, or after their end."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What happens before the sweep that is struck, and what is particular to it.

    Attributes:
        name: As the report calls it.
        prepare: Everything up to that sweep.
        is_refresh_only: The account has nothing but a refresh token.
        is_forced: The sweep, and its repetition, are forced.
        failed_before: Whether an attempt before the struck one had failed.
        verification_refuses: ``verify_url`` refuses tokens in the struck sweep, and not later.
        is_unwritten: The last response is in memory alone, and its token is published.
    """

    name: str
    prepare: Callable[[Any], None]
    is_refresh_only: bool = False
    is_forced: bool = False
    failed_before: bool = False
    verification_refuses: bool = False
    is_unwritten: bool = False

    def __str__(self) -> str:
        """Its name."""
        return self.name

    def begin(self, scene: Scene) -> None:
        """Play up to the sweep that is struck."""
        self.prepare(scene)
        scene.is_refusing_tokens = self.verification_refuses

    def end(self, scene: Scene) -> None:
        """Let what went wrong outside of any call be over, too."""
        scene.is_refusing_tokens = False


def _created(scene: Scene) -> None:
    scene.onboard(PASSWORD)


def _first_token(scene: Scene) -> None:
    scene.onboard(PASSWORD)
    scene.make_token_secret()


def due(scene: Scene) -> None:
    """An account with a primary grant, whose token is due."""
    scene.onboard(PASSWORD)
    _grow_due(scene)


def _grow_due(scene: Scene) -> None:
    scene.sweep()
    scene.pass_time(scene.until_due)


def _due_in(mode: RefreshMode) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        scene.set_mode(mode)
        due(scene)

    return prepare


def _due_again_after(mode: RefreshMode) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        _due_in(mode)(scene)
        _grow_due(scene)

    return prepare


def _fallback(scene: Scene) -> None:
    due(scene)
    scene.let_refresh_tokens_die()


def _repeatable(scene: Scene) -> None:
    scene.onboard(CLIENT_CREDENTIALS)
    _grow_due(scene)


def _changed_password(scene: Scene) -> None:
    scene.onboard(PASSWORD)
    scene.sweep()
    scene.pass_time(2 * HOUR)
    scene.edit(user_agent="dealer-shop/2")


def _unpublished(scene: Scene) -> None:
    due(scene)
    _leave_unpublished(scene)


def _leave_unpublished(scene: Scene) -> None:
    scene.sweep(Strike(Point("publish"), Fault.DENIED, is_lasting=True))
    scene.pass_time(TICK)


def _verified(scene: Scene) -> None:
    scene.onboard(PASSWORD, verify_url=scene.verify_url)
    _grow_due(scene)


def _after_refusal(scene: Scene) -> None:
    _verified(scene)
    scene.is_refusing_tokens = True
    scene.sweep()
    scene.pass_time(6 * TICK)


def _forced(scene: Scene) -> None:
    scene.onboard(PASSWORD)
    scene.sweep()
    scene.pass_time(2 * HOUR)


def _after_outage(scene: Scene) -> None:
    due(scene)
    _outage(scene)
    scene.pass_time(TICK)


def _outage(scene: Scene) -> None:
    scene.set_outage(is_on=True)
    scene.sweep()
    scene.set_outage(is_on=False)


def _initial(scene: Scene) -> None:
    scene.onboard_refresh_only()


def due_refresh_only(scene: Scene) -> None:
    """An account with nothing but a refresh token, whose token is due."""
    scene.onboard_refresh_only()
    _grow_due(scene)


def refresh_only_unanswered(scene: Scene) -> None:
    """Likewise, and the refresh token was sent in vain; it is sent again an hour later."""
    due_refresh_only(scene)
    _outage(scene)
    scene.pass_time(HOUR)


def _refresh_only_unpublished(scene: Scene) -> None:
    due_refresh_only(scene)
    _leave_unpublished(scene)


def _refresh_only_verified(scene: Scene) -> None:
    scene.onboard_refresh_only(verify_url=scene.verify_url)
    _grow_due(scene)


def _another_initial(scene: Scene) -> None:
    scene.onboard_refresh_only()
    scene.sweep()
    scene.pass_time(2 * HOUR)
    scene.onboard_refresh_only()


def _changed_user_agent(scene: Scene) -> None:
    scene.onboard_refresh_only()
    scene.sweep()
    scene.pass_time(2 * HOUR)
    scene.edit(user_agent="dealer-shop/2")


def _refresh_only_forced(scene: Scene) -> None:
    scene.onboard_refresh_only()
    scene.sweep()
    scene.pass_time(2 * HOUR)


FLOWS: Final = (
    Flow("first token", _first_token),
    Flow("first token, its secret is created", _created),
    Flow("refresh: server rotates", due),
    Flow("refresh: server keeps", _due_in(RefreshMode.KEEPS)),
    Flow("refresh: server omits and deletes", _due_in(RefreshMode.OMITS_AND_DELETES)),
    Flow("refresh after it deleted", _due_again_after(RefreshMode.OMITS_AND_DELETES)),
    Flow("refresh: server refuses the grant", _due_in(RefreshMode.REFUSES)),
    Flow("refresh after it refused", _due_again_after(RefreshMode.REFUSES)),
    Flow("refresh without a refresh token", _repeatable),
    Flow("refresh after an outage", _after_outage, failed_before=True),
    Flow("fallback: refresh token dead, primary grant", _fallback),
    Flow("changed credentials", _changed_password),
    Flow("unpublished response", _unpublished),
    Flow("verification accepts", _verified),
    Flow("verification refuses", _verified, verification_refuses=True),
    Flow("after a refused verification", _after_refusal, failed_before=True),
    Flow("force", _forced, is_forced=True),
    Flow("refresh-only: first token", _initial, is_refresh_only=True),
    Flow("refresh-only: refresh", due_refresh_only, is_refresh_only=True),
    Flow(
        "refresh-only: refresh after an outage",
        refresh_only_unanswered,
        is_refresh_only=True,
        failed_before=True,
    ),
    Flow("refresh-only: another initial refresh token", _another_initial, is_refresh_only=True),
    Flow("refresh-only: only user_agent changed", _changed_user_agent, is_refresh_only=True),
    Flow("refresh-only: unpublished response", _refresh_only_unpublished, is_refresh_only=True),
    Flow(
        "refresh-only: verification refuses",
        _refresh_only_verified,
        is_refresh_only=True,
        verification_refuses=True,
    ),
    Flow("refresh-only: force", _refresh_only_forced, is_refresh_only=True, is_forced=True),
)
