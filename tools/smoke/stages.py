"""Version ids and stages, as a refresh and a rotation use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from token_refresher.leases import lease_id
from token_refresher.model import TokenVersion
from token_refresher.ports import CURRENT, LEASE_STAGE, PENDING, PREVIOUS
from tools.smoke.questions import Answer, Question, refusal_of, refused
from tools.smoke.sandbox import NOT_FOUND

if TYPE_CHECKING:
    from tools.smoke.sandbox import Sandbox

MADE: Final = ("stages", "records", "refusals")
STAGED: Final = MADE[0]
# It never gets a value. Its name ends as an ARN does.
EMPTY: Final = "dealer-123456"
_ISSUED: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)


def token_version(number: int) -> str:
    """The version id of a published token, as the program makes it."""
    expires_at = _ISSUED + timedelta(hours=1, seconds=number)
    return str(TokenVersion(_ISSUED, expires_at, "0" * 12, "f" * 12))


def put_after_creation(sandbox: Sandbox) -> Answer:
    """Put the first value right after a secret was made, under the program's own stage."""
    looks = []
    for number, name in enumerate(MADE):
        sandbox.secret(name)
        put = sandbox.put(name, lease_id(name, number + 1), "invented", [LEASE_STAGE])
        looks.append(put.looks - 1)
    missed = f"not found {sum(looks)} times first" if any(looks) else "found at once"
    return Answer(is_documented=True, measured=f"{missed}, in {len(MADE)} secrets")


def first_version(sandbox: Sandbox) -> Answer:
    """See which stages the first version has, though it was put under one alone."""
    first = lease_id(STAGED, 1)
    sandbox.put(STAGED, first, "invented", [LEASE_STAGE])
    stages = _stages(sandbox, first, {CURRENT, LEASE_STAGE})
    return Answer(stages == {CURRENT, LEASE_STAGE}, " and ".join(sorted(stages)))


def the_same_again(sandbox: Sandbox) -> Answer:
    """Put the same once more, under another stage: neither refused, nor does a stage move."""
    version_id = token_version(1)
    sandbox.put(STAGED, version_id, "invented-1")
    sandbox.put(STAGED, token_version(2), "invented-2")
    sandbox.put(STAGED, version_id, "invented-1")
    stages = _stages(sandbox, token_version(2), {CURRENT})
    is_left = stages == {CURRENT}
    return Answer(is_left, "taken, and no stage moves" if is_left else "it moves the stage")


def wrong_swap(sandbox: Sandbox) -> Answer:
    """Move AWSCURRENT from a version that it is not on, then without saying from where."""
    _stage_two(sandbox)
    codes = [
        refusal_of(partial(_move, sandbox, CURRENT, token_version(4), away_from))
        for away_from in (lease_id(STAGED, 1), None)
    ]
    is_refused = set(codes) == {"InvalidParameterException"}
    told = " and ".join(code or "it was not refused" for code in dict.fromkeys(codes))
    return Answer(is_refused, told)


def swap(sandbox: Sandbox) -> Answer:
    """Move AWSCURRENT from the version that it is on, as the end of a rotation does."""
    _stage_two(sandbox)
    _move(sandbox, CURRENT, token_version(4), token_version(3))
    now = _stages(sandbox, token_version(4), {CURRENT, PENDING})
    before = _stages(sandbox, token_version(3), {PREVIOUS})
    is_moved = CURRENT in now and before == {PREVIOUS}
    told = f"moved, and the version before is {' and '.join(sorted(before)) or 'without a stage'}"
    return Answer(is_moved, told if CURRENT in now else "it is not there")


def unstage(sandbox: Sandbox) -> Answer:
    """Take AWSPENDING away, and see that AWSCURRENT cannot be taken away."""
    pending = token_version(5)
    sandbox.put(STAGED, pending, "invented-5", [PENDING])
    _move(sandbox, PENDING, None, pending)
    stages = _stages(sandbox, pending, set())
    current = sandbox.secrets.get_secret_value(SecretId=sandbox.path(STAGED))["VersionId"]
    code = refusal_of(lambda: _move(sandbox, CURRENT, None, current))
    told = f"{PENDING} goes, and {CURRENT} is refused by {code or 'nothing'}"
    return Answer(not stages and code == "InvalidParameterException", told)


def id_and_stage_disagree(sandbox: Sandbox) -> Answer:
    """Read a version under a stage that is on another one."""
    path = sandbox.filled(STAGED)
    version_id = lease_id(STAGED, 2)
    sandbox.put(STAGED, version_id, "invented", [LEASE_STAGE])
    ask = partial(
        sandbox.secrets.get_secret_value,
        SecretId=path,
        VersionId=version_id,
        VersionStage=CURRENT,
    )
    seen = sandbox.eventually(partial(refusal_of, ask), lambda code: code != NOT_FOUND)
    return refused(seen.value, "InvalidRequestException")


def created_twice(sandbox: Sandbox) -> Answer:
    """Make a secret with its first value twice, by the same id: the program's and Terraform's."""
    asked = {"ClientRequestToken": "f" * 32, "SecretString": "invented"}
    path = sandbox.secret("list/a", **asked)
    again = sandbox.secrets.create_secret(Name=path, **asked)["VersionId"]
    return Answer(again == "f" * 32, "the version has that id, and the second is as the first")


def partial_arn(sandbox: Sandbox) -> Answer:
    """Describe a secret by its ARN without the ending, whose name ends as an ARN does."""
    path = sandbox.secret(EMPTY)
    described = sandbox.eventually(lambda: sandbox.secrets.describe_secret(SecretId=path))
    without = described.value["ARN"].rpartition("-")[0]
    code = refusal_of(lambda: sandbox.secrets.describe_secret(SecretId=without))
    return Answer(is_documented=True, measured=code or "it is found")


def longest_ids(sandbox: Sandbox) -> Answer:
    """Put under an id of 64 characters, then of one more."""
    sandbox.put(STAGED, "i" * 64, "invented")
    path = sandbox.path(STAGED)
    code = refusal_of(
        lambda: sandbox.secrets.put_secret_value(
            SecretId=path, ClientRequestToken="i" * 65, SecretString="invented"
        )
    )
    is_right = code in {"InvalidParameterException", "ValidationException"}
    return Answer(is_right, f"64 are taken, and 65 refused by {code or 'nothing'}")


@cache
def _stage_two(sandbox: Sandbox) -> None:
    """Have one version published, and another one staged; once, for all questions."""
    sandbox.put(STAGED, lease_id(STAGED, 1), "invented", [LEASE_STAGE])
    sandbox.put(STAGED, token_version(3), "invented-3")
    sandbox.put(STAGED, token_version(4), "invented-4", [PENDING])


def _move(sandbox: Sandbox, stage: str, to: str | None, away_from: str | None) -> None:
    versions = {"MoveToVersionId": to, "RemoveFromVersionId": away_from}
    sandbox.secrets.update_secret_version_stage(
        SecretId=sandbox.path(STAGED),
        VersionStage=stage,
        **{name: version_id for name, version_id in versions.items() if version_id},
    )


def _stages(sandbox: Sandbox, version_id: str, wanted: set[str]) -> set[str]:
    """Describe until a version has the stages that it should have; else as it was seen last."""

    def look() -> set[str]:
        described: dict[str, Any] = sandbox.secrets.describe_secret(SecretId=sandbox.path(STAGED))
        return set(described.get("VersionIdsToStages", {}).get(version_id, ()))

    return sandbox.eventually(look, lambda found: found == wanted).value


QUESTIONS: Final = (
    Question(
        "a put right after CreateSecret",
        "every operation is eventually consistent, so it may not be found yet",
        put_after_creation,
    ),
    Question(
        f"the first version, put under {LEASE_STAGE} alone",
        f"the first version also gets {CURRENT}",
        first_version,
    ),
    Question(
        "the same content once more under its id",
        "it is ignored",
        the_same_again,
    ),
    Question(
        f"{CURRENT} is moved from a version that it is not on, or from none",
        "the operation fails, by InvalidParameterException",
        wrong_swap,
    ),
    Question(
        f"{CURRENT} is moved from the version that it is on",
        f"it moves, and {PREVIOUS} goes to the version that it leaves",
        swap,
    ),
    Question(
        f"{PENDING} and {CURRENT} are taken away",
        f"a stage can be removed, but {CURRENT} only moved: InvalidParameterException",
        unstage,
    ),
    Question(
        "a version is read under a stage of another one",
        "both must name the same version: InvalidRequestException",
        id_and_stage_disagree,
    ),
    Question(
        "CreateSecret twice, by one ClientRequestToken",
        "it becomes the version's id, and the same request changes nothing",
        created_twice,
    ),
    Question(
        "a name that ends in a hyphen and six characters, by a partial ARN",
        "unexpected results, such as that it is not found",
        partial_arn,
    ),
    Question(
        "an id of 64 characters, and of 65",
        "32 to 64 characters",
        longest_ids,
    ),
)
