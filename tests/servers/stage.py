"""One account at one server, the function in processes of its own, and what is seen of both."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from typing_extensions import override

from local.authority import Authority
from local.clock import DrivenClock
from local.embedded_cloud import EmbeddedCloud
from tests.resilience.matrix import Boundary, Fault, Strike
from tests.resilience.matrix_processes import KILLED, MortalRuntime
from tests.resilience.matrix_wire import FaultLayer
from tests.servers.front import Front
from tests.servers.servers import SECRET, running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.resilience.matrix import Point
    from tests.servers.servers import Kind

MINUTE: Final = timedelta(minutes=1)
TICK: Final = 5 * MINUTE
# Half of the tokens' life, since the margin is longer than that.
UNTIL_DUE: Final = 60 * MINUTE
MEETING_SECONDS: Final = 30


class FunctionError(RuntimeError):
    """The function ended in an error, or did not end where it should have."""


class Crossing(Boundary):
    """A boundary where processes that sweep at once meet: none goes on before all have read."""

    def __init__(self) -> None:
        super().__init__()
        self.expect(1)

    def expect(self, runs: int) -> None:
        """Let the first calls that read credentials wait until there are so many."""
        self._to_come, self._meeting = runs, threading.Barrier(runs, timeout=MEETING_SECONDS)

    @override
    def arrive(self, call: str, *, attempt_of: str = "") -> Fault | None:
        is_first_attempt = attempt_of not in self._attempts
        fault = super().arrive(call, attempt_of=attempt_of)
        if call == "read credentials" and is_first_attempt:
            with self._lock:
                meets, self._to_come = self._to_come > 0, self._to_come - 1
            if meets:
                self._meeting.wait()
        return fault


@dataclass
class Seen:
    """What a trial has seen, once a tick.

    Attributes:
        action_required: Whether a sweep has told so.
        is_alive: Whether the server held the published token for valid, after the last sweep.
        ticks_without: After how many sweeps it did not.
        missed: How many refreshes brought no other token, though each was due.
        healed: Whether a new initial refresh token brought a token at the next tick; None where
            nobody had to put one.
    """

    action_required: bool = False
    is_alive: bool = False
    ticks_without: int = 0
    missed: int = 0
    healed: bool | None = None

    def outcome(self, *, sent_again: bool) -> str:
        """Say it in a few words."""
        minutes = self.ticks_without * TICK // MINUTE
        said = f"alive after {minutes} min" if minutes else "alive"
        if self.action_required:
            said = f"action required, then {said}"
        if self.healed is not None:
            said = "action required" if self.action_required else "dead, and nobody told"
            said += "" if self.healed else ", and a new consent does not help"
        said += f"; {self.missed} refreshes missed" if self.missed else ""
        return f"{said}; sent again" if sent_again else said


class Stage:
    """Everything that a trial needs, as long as the ``with`` block.

    Args:
        kind: Which server.
        is_refresh_only: Whether the account has nothing but an initial refresh token.
    """

    def __init__(self, kind: Kind, *, is_refresh_only: bool) -> None:
        self.kind, self.is_refresh_only = kind, is_refresh_only
        self._client_id = "person" if is_refresh_only else "machine"
        self._clock, self._boundary = DrivenClock(), Crossing()
        self._numbers = count(1)
        self._functions: list[MortalRuntime] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            authority, stranger = (stack.enter_context(Authority()) for _ in range(2))
            cloud = stack.enter_context(EmbeddedCloud())
            self._cloud, self._secrets = cloud, cloud.client()
            self.server = stack.enter_context(running(self.kind, self._clock))
            self.server.client_id = self._client_id
            self.front = Front(
                self.server,
                authority=authority,
                stranger=stranger,
                boundary=self._boundary,
                kill=self._kill,
            )
            stack.callback(self.front.close)
            layer = FaultLayer(cloud.endpoint_url, self._boundary, self._kill)
            stack.enter_context(layer)
            self._environment = {
                **cloud.environment(),
                "AWS_ENDPOINT_URL": layer.url,
                "SSL_CERT_FILE": str(authority.certificate_file),
                "ALLOWED_TOKEN_HOSTS": self.front.host,
                "MAX_WORKERS": "2",
            }
            stack.callback(self._end_functions)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Bring a new account its first token, in an otherwise empty cloud."""
        self._cloud.reset()
        self._account = f"dealer-{next(self._numbers)}"
        self.front.begin()
        self._fields: dict[str, Any] = {}
        self.put(**(self._consent() if self.is_refresh_only else self.kind.primary_grant))
        self.seen = Seen()
        self.sweep()

    def put(self, **changes: str) -> None:
        """Write the credentials, as a person does."""
        self._fields |= changes
        fields = {
            "client_id": self._client_id,
            "client_secret": SECRET,
            "token_endpoint": self.front.token_endpoint,
            **self._fields,
        }
        secret_id, text = f"oauth/credentials/{self._account}", json.dumps(fields)
        try:
            self._secrets.put_secret_value(SecretId=secret_id, SecretString=text)
        except self._secrets.exceptions.ResourceNotFoundException:
            self._secrets.create_secret(Name=secret_id, SecretString=text)

    def _consent(self) -> Mapping[str, str]:
        token = self.server.initial_refresh_token()
        return {"grant_type": "refresh_token", "refresh_token": token}

    def sweep(self, *, killed_after: Point | None = None, runs: int = 1) -> None:
        """Sweep once, by so many processes at the same time, and look at the published token."""
        self._boundary.begin(*([Strike(killed_after, Fault.KILLED_AFTER)] if killed_after else ()))
        self._boundary.expect(runs)
        while len(self._functions) < runs:
            self._functions.append(MortalRuntime(self._environment))
        event = {"now": self._clock.now().isoformat(), "event": {}}
        with ThreadPoolExecutor(runs) as pool:
            answers = list(pool.map(lambda each: each.invoke(event), self._functions[:runs]))
        for answer in answers:
            if answer.kind == KILLED:
                self._functions.pop(0).stop()
                killed_after = None
            elif answer.kind != "response":
                raise FunctionError(f"{self.kind.name}: {answer.content}")
            elif answer.content["accounts_needing_action"]:
                self.seen.action_required = True
        if killed_after is not None:
            raise FunctionError(f"{self.kind.name}: it lived through {killed_after}")
        token = self._published()
        self.seen.is_alive = token is not None and self.server.is_active(token)
        self.seen.ticks_without += not self.seen.is_alive

    def pass_time(self, duration: timedelta) -> None:
        """Let the schedule go on for so long."""
        for _ in range(duration // TICK):
            self._clock.advance(TICK)
            self.sweep()

    def until_due(self) -> None:
        """Let time pass until the token is due; no sweep would do anything meanwhile."""
        self._clock.advance(UNTIL_DUE)

    def must_refresh(self, *, after: timedelta = UNTIL_DUE, runs: int = 1) -> None:
        """Let time pass, sweep, and take note where that brings no other token."""
        before = self._published()
        self._clock.advance(after)
        self.sweep(runs=runs)
        self.seen.missed += self._published() == before

    def calls(self) -> list[Point]:
        """Return the calls of the last sweep; the two that list go out at the same time."""
        lists = sorted(each for each in self._boundary.points if each.call.startswith("list"))
        return lists + [each for each in self._boundary.points if each not in lists]

    def outcome(self) -> str:
        """Say what came of it; where the account is dead, a person consents again first."""
        sent_again = any(times > 1 for times in self.front.sent.values())
        if not self.seen.is_alive:
            if self.is_refresh_only:
                self.put(**self._consent())
            self.pass_time(TICK)
            self.seen.healed = self.seen.is_alive
        return self.seen.outcome(sent_again=sent_again)

    def _published(self) -> str | None:
        try:
            value = self._secrets.get_secret_value(SecretId=f"oauth/tokens/{self._account}")
        except self._secrets.exceptions.ResourceNotFoundException:
            return None
        return str(json.loads(value["SecretString"])["access_token"])

    def _kill(self) -> None:
        self._functions[0].kill()

    def _end_functions(self) -> None:
        for function in self._functions:
            function.stop()
