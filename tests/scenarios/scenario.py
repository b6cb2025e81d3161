"""The form of a scenario: every field that a JSON file may have, and no other.

README.md beside this file says what each one means. A field that is not here, or that is
misspelt, is refused, so that no expectation is passed over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FOLDER: Final = Path(__file__).parent
START: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)

Sentence = Annotated[str, Meta(min_length=20)]
Positive = Annotated[int, Meta(ge=1)]
Object = dict[str, Any]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every object of a scenario is: closed."""


# Given.


class Credentials(Part, frozen=True, kw_only=True):
    """One value of a credentials secret: a shared set with changes, any text, or binary."""

    like: (
        Literal[
            "password",
            "partner",
            "client_credentials",
            "refresh_token",
            "elsewhere",
            "signs",
            "login",
            "token exchange",
        ]
        | None
    ) = None
    changes: Object = msgspec.field(name="with", default_factory=dict)
    text: str | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        if (self.like is not None) + (self.text is not None) + self.binary != 1:
            msg = "give exactly one of `like`, `text` and `binary`"
            raise ValueError(msg)


class Token(Part, frozen=True, kw_only=True):
    """One version of a token secret: one of ours by its age and life, or anybody's by its id."""

    age: timedelta | None = None
    lives: timedelta = timedelta(hours=12)
    access_token: str = "given-token"
    of_credentials: Positive = 1
    version_id: str | None = None
    json: Object | None = None
    text: str | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        if (self.age is None) == (self.version_id is None):
            msg = "give exactly one of `age` and `version_id`"
            raise ValueError(msg)


class Failure(Part, frozen=True, kw_only=True):
    """A recorded failure."""

    error: str
    failures: Annotated[int, Meta(ge=0)]
    since: timedelta | None = None
    next_attempt: timedelta
    refusals: Annotated[int, Meta(ge=0)] = 0
    of_credentials: Positive = 1


class Account(Part, frozen=True, kw_only=True):
    """An account before the first step."""

    credentials: Credentials | UnsetType | None = UNSET
    token: Token | None = None
    previous: Token | None = None
    failure: Failure | None = None
    tags: dict[str, str] = {}


class Response(Part, frozen=True, kw_only=True):
    """What the token endpoint sends back, instead of what it would by itself."""

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    json: Any = UNSET
    text: str | None = None
    content_type: str | None = None
    access_token_length: Positive | None = None
    retry_after: str | None = None
    connection: Literal["refused", "certificate refused", "lost", "timed out"] | None = None
    after_redeeming: bool = False
    times: Positive = 1

    def __post_init__(self) -> None:
        if (self.status is None) == (self.connection is None):
            msg = "give exactly one of `status` and `connection`"
            raise ValueError(msg)


class Server(Part, frozen=True, kw_only=True):
    """What the token endpoints do; a field that is absent stays as it was."""

    refresh_tokens: Literal["rotate", "keep", "omit and delete", "refuse"] | UnsetType = UNSET
    issues_refresh_tokens: bool | UnsetType = UNSET
    expires_in: timedelta | UnsetType | None = UNSET
    refresh_token_expires_in: timedelta | UnsetType | None = UNSET
    scope: str | UnsetType | None = UNSET
    verdict: Literal["accepts", "refuses", "cannot tell"] | UnsetType = UNSET
    grace: timedelta | UnsetType = UNSET
    revokes_access_tokens: bool | UnsetType = UNSET
    initial_refresh_tokens: int = 0
    forgets: list[str] = []
    down: Response | UnsetType | None = UNSET
    host: str = ""


class Settings(Part, frozen=True, kw_only=True):
    """The deployment's settings."""

    refresh_before: timedelta = timedelta(minutes=90)
    schedule: timedelta = timedelta(minutes=5)
    refresh_tokens: Literal["use", "ignore"] = "use"
    allowed_hosts: list[str] | None = None


class Given(Part, frozen=True, kw_only=True):
    """The world before the first step."""

    now: datetime = START
    settings: Settings = msgspec.field(default_factory=Settings)
    server: Server = msgspec.field(default_factory=Server)
    accounts: dict[str, Account] = {}


# Steps.

CALLS = Literal[
    "list",
    "describe",
    "describe credentials",
    "read credentials",
    "read journal",
    "read lease",
    "read published",
    "create",
    "connect",
    "sign",
    "lease",
    "request",
    "journal",
    "verify",
    "publish",
    "stage",
    "tag",
    "untag",
]


class Fault(Part, frozen=True, kw_only=True):
    """What goes wrong at a call, before or after it has had its effect."""

    before: CALLS | None = None
    after: CALLS | None = None
    fails: (
        Literal[
            "throttled",
            "denied",
            "connection refused",
            "certificate refused",
            "connection lost",
            "killed",
        ]
        | None
    ) = None
    takes: timedelta | None = None
    meanwhile: Literal["another run"] | None = None
    tells: timedelta | None = None
    always: bool = False

    def __post_init__(self) -> None:
        if (self.before is None) == (self.after is None):
            msg = "give exactly one of `before` and `after`"
            raise ValueError(msg)
        goes_on = self.takes is not None or self.meanwhile is not None
        if goes_on + (self.fails is not None) + (self.tells is not None) != 1:
            msg = "give `fails`, `tells`, or one or both of `takes` and `meanwhile`"
            raise ValueError(msg)
        if self.tells is not None and self.before is None:
            msg = "give `before` with `tells`"
            raise ValueError(msg)

    @property
    def point(self) -> str:
        """The point's name."""
        return f"before {self.before}" if self.before else f"after {self.after}"


class Step(Part, frozen=True, kw_only=True, tag_field="do"):
    """One thing that happens, ``after`` some time."""

    after: timedelta = timedelta(0)


class Sweep(Step, frozen=True, kw_only=True, tag="sweep"):
    """One invocation of the function."""

    accounts: list[str] = []
    force: bool = False
    rejects: Literal["AWSCURRENT", "AWSPREVIOUS"] | None = None
    stage_as: str = ""
    dry_run: bool = False
    time: timedelta = timedelta(seconds=240)
    responses: list[Response] = []
    faults: list[Fault] = []
    expect: Expectation


class Sweeps(Step, frozen=True, kw_only=True, tag="sweep repeatedly"):
    """One invocation after each ``every``, as long as ``lasts``."""

    every: timedelta
    lasts: timedelta
    responses: list[Response] = []
    faults: list[Fault] = []
    expect: Expectation


class PutCredentials(Step, frozen=True, kw_only=True, tag="put credentials"):
    """A person writes a credentials secret; null makes one without a value."""

    account: str
    credentials: Credentials | None


class DeleteSecret(Step, frozen=True, kw_only=True, tag="delete secret"):
    """A person deletes a secret: at once, or scheduled."""

    account: str
    secret: Literal["credentials", "token"]
    scheduled: bool = False


class RestoreSecret(Step, frozen=True, kw_only=True, tag="restore secret"):
    """A person restores a secret whose deletion was scheduled."""

    account: str
    secret: Literal["credentials", "token"]


class MoveStage(Step, frozen=True, kw_only=True, tag="move stage"):
    """A person moves a stage of a token secret to its n-th version."""

    account: str
    stage: Literal["AWSCURRENT", "AWSPREVIOUS"]
    to: Positive


class WriteVersions(Step, frozen=True, kw_only=True, tag="write versions"):
    """A script writes under a stage of its own, until a secret takes only so many more today."""

    account: str
    secret: Literal["credentials", "token"]
    leaves: Annotated[int, Meta(ge=0)] = 0


class Publish(Step, frozen=True, kw_only=True, tag="publish by hand"):
    """A person or another program writes the token secret."""

    account: str
    token: Token


class EditJournal(Step, frozen=True, kw_only=True, tag="edit journal"):
    """The journal is as an earlier edition wrote it, whose providers were elsewhere."""

    account: str
    changes: Object = msgspec.field(name="with")


class ChangeServer(Step, frozen=True, kw_only=True, tag="change server"):
    """The token endpoints change their ways."""

    server: Server


class FreezeListing(Step, frozen=True, kw_only=True, tag="freeze listing"):
    """From here on the listing shows what is there now."""


class ColdStart(Step, frozen=True, kw_only=True, tag="cold start"):
    """The environment is replaced: what it remembered is gone."""


AnyStep = (
    (Sweep | Sweeps | PutCredentials | DeleteSecret | RestoreSecret | MoveStage)
    | (WriteVersions | Publish | EditJournal | ChangeServer | FreezeListing)
    | ColdStart
)


# Expected.


class ExpectedRequest(Part, frozen=True, kw_only=True):
    """A token request; what is absent is not compared."""

    grant_type: str | None
    refresh_token: str | UnsetType | None = UNSET
    host: str | UnsetType = UNSET
    at: timedelta | UnsetType = UNSET
    method: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    parameters: Object | UnsetType = UNSET
    timeout_seconds: int | UnsetType = UNSET


class ExpectedToken(Part, frozen=True, kw_only=True):
    """The published token; what is absent is not compared."""

    access_token: str | UnsetType = UNSET
    length: int | UnsetType = UNSET
    text: str | UnsetType | None = UNSET
    issued_at: datetime | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET
    scope: str | UnsetType | None = UNSET
    json: Object | UnsetType = UNSET
    version_id: str | UnsetType = UNSET
    is_accepted: bool | UnsetType = UNSET


class ExpectedJournal(Part, frozen=True, kw_only=True):
    """The journaled response; what is absent is not compared."""

    access_token: str | UnsetType | None = UNSET
    refresh_token: str | UnsetType | None = UNSET
    refresh_is_refused: bool | UnsetType = UNSET
    response: Object | UnsetType = UNSET
    json: Object | UnsetType = UNSET
    version_id: str | UnsetType = UNSET
    has_the_published_id: bool | UnsetType = UNSET


class ExpectedLease(Part, frozen=True, kw_only=True):
    """A lease; what is absent is not compared."""

    number: int
    is_early: bool | UnsetType = UNSET
    taken_at: datetime | UnsetType = UNSET
    version_id: str | UnsetType = UNSET


class ExpectedAccount(Part, frozen=True, kw_only=True):
    """One account after a sweep; what is absent is not compared."""

    reason: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    error: str | UnsetType | None = UNSET
    message: str | UnsetType = UNSET
    put_off: str | UnsetType = UNSET
    cautions: list[str] | UnsetType = UNSET
    next_attempt: timedelta | UnsetType | None = UNSET
    needs_action: bool | UnsetType = UNSET
    retrying: bool | UnsetType = UNSET
    token: ExpectedToken | UnsetType | None = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    journal: ExpectedJournal | UnsetType | None = UNSET
    leases: list[ExpectedLease] | UnsetType = UNSET
    token_versions: int | UnsetType = UNSET
    credentials_versions: int | UnsetType = UNSET


class ExpectedEvent(Part, frozen=True, kw_only=True):
    """One event, in the order in which they were put; what is absent is not compared."""

    account: str
    kind: str
    at: datetime | UnsetType = UNSET
    is_again: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    version_id: str | UnsetType | None = UNSET
    issued_at: str | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET
    failure_class: str | UnsetType | None = UNSET
    failing_since: str | UnsetType | None = UNSET
    next_attempt: str | UnsetType | None = UNSET
    consent_ends_at: str | UnsetType | None = UNSET
    fix: str | UnsetType | None = UNSET
    message: str | UnsetType = UNSET


class ExpectedServer(Part, frozen=True, kw_only=True):
    """What the token endpoints have seen since the beginning."""

    redeemed: dict[str, int] | UnsetType = UNSET
    spent_came_back: int | UnsetType = UNSET
    verified: list[str] | UnsetType = UNSET


class Expectation(Part, frozen=True, kw_only=True):
    """What must be true after a sweep. Requests and at least one account are always told."""

    requests: list[ExpectedRequest] | int
    accounts: Annotated[dict[str, ExpectedAccount], Meta(min_length=1)]
    killed: bool = False
    calls: dict[str, int] | UnsetType = UNSET
    events: list[ExpectedEvent] | UnsetType = UNSET
    server: ExpectedServer | UnsetType = UNSET

    def __post_init__(self) -> None:
        for name, account in self.accounts.items():
            if account == ExpectedAccount() or account.token == ExpectedToken():
                msg = f"nothing is expected of `{name}`, or of its token"
                raise ValueError(msg)


class Specification(Part, frozen=True, kw_only=True):
    """What another specification asks, and how the scenario answers it."""

    number: Positive
    asks: Sentence
    verdict: Literal["held", "differs"]
    ours: Sentence


class Scenario(Part, frozen=True, kw_only=True):
    """One promise, as a story."""

    scenario: Sentence
    why: Sentence
    specification: Specification | None = None
    given: Given
    steps: Annotated[list[AnyStep], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if not isinstance(self.steps[-1], Sweep | Sweeps):
            msg = "the last step must be a sweep, whose expectation shows what the others did"
            raise ValueError(msg)  # noqa: TRY004 - msgspec makes its own error of this one


def parse(story: object) -> Scenario:
    """Validate one scenario.

    Raises:
        msgspec.ValidationError: It names the field.
    """
    return msgspec.convert(story, Scenario)


def stories() -> list[tuple[str, Object]]:
    """Read every scenario of every file: the file's name, and the scenario not yet validated."""
    return [
        (path.name, story)
        for path in sorted(FOLDER.glob("*.json"))
        for story in msgspec.json.decode(path.read_bytes(), type=list[Object])
    ]
