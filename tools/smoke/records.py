"""Tags, which hold what is remembered of an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from token_refresher.errors import FailureClass
from token_refresher.leases import lease_id
from token_refresher.records import (
    CERTIFICATE_EXPIRES_AT_TAG,
    FAILURE_TAG,
    GRANT_EXPIRES_AT_TAG,
    LEASE_TAG,
    REFUSALS_TAG,
    REFUSED_RESPONSE_TAG,
    CertificateLifetime,
    FailureRecord,
    GrantLifetime,
    LeaseEnd,
    Refusals,
    ended_lease,
)
from tools.smoke.questions import Answer, Question, refusal_of, refused
from tools.smoke.stages import token_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tools.smoke.sandbox import Sandbox

RECORDED: Final = "records"
LONGEST: Final = 256
MOST: Final = 50
_NOW: Final = datetime(2026, 11, 24, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
# One of each, as the program writes them.
RECORDS: Final[Mapping[str, str]] = {
    FAILURE_TAG: FailureRecord(
        FailureClass.ACTION_REQUIRED, "invalid_grant", 3, _NOW, _NOW + _HOUR, "0" * 12
    ).to_tag(),
    REFUSALS_TAG: Refusals(3, None, "0" * 12).to_tag(),
    LEASE_TAG: ended_lease(lease_id(RECORDED, 1), LeaseEnd.UNANSWERED),
    REFUSED_RESPONSE_TAG: token_version(1),
    GRANT_EXPIRES_AT_TAG: GrantLifetime(_NOW, _HOUR).to_tag(),
    CERTIFICATE_EXPIRES_AT_TAG: CertificateLifetime(_NOW, _HOUR).to_tag(),
}


def kept(sandbox: Sandbox) -> Answer:
    """Write every record, with one tag of the longest value, and read them."""
    path = sandbox.filled(RECORDED)
    wanted = {**RECORDS, "longest": "v" * LONGEST}
    _tag(sandbox, path, wanted)
    is_kept = _tags(sandbox, path, wanted) == wanted
    characters = "".join(sorted({each for text in RECORDS.values() for each in text} - _PLAIN))
    told = f"{len(wanted)}, with {characters!r} in them and {LONGEST} characters in one"
    return Answer(is_kept, told if is_kept else "what was read differs from what was written")


def cleared(sandbox: Sandbox) -> Answer:
    """Clear them, and a tag that was never there."""
    path = sandbox.filled(RECORDED)
    _tag(sandbox, path, {"longest": "invented"})
    keys = [*RECORDS, "longest", "never-there"]
    sandbox.secrets.untag_resource(SecretId=path, TagKeys=keys)
    left = _tags(sandbox, path, {})
    return Answer(not left, "they are gone" if not left else f"{len(left)} are left")


def too_long(sandbox: Sandbox) -> Answer:
    """Write a value that is one character too long."""
    path = sandbox.filled(RECORDED)
    return refused(
        refusal_of(lambda: _tag(sandbox, path, {"too-long": "v" * (LONGEST + 1)})),
        *_BY_PARAMETER,
    )


def too_many(sandbox: Sandbox) -> Answer:
    """Write one tag more than a secret may have."""
    path = sandbox.filled(RECORDED)
    tags = {f"invented-{number}": "" for number in range(MOST + 1)}
    return refused(refusal_of(lambda: _tag(sandbox, path, tags)), *_BY_PARAMETER)


_PLAIN: Final = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
# All that TagResource's reference names for a tag that it does not take, and what the API's own
# constraints are told by.
_BY_PARAMETER: Final = ("InvalidParameterException", "ValidationException")


def _tag(sandbox: Sandbox, path: str, tags: Mapping[str, str]) -> None:
    sandbox.secrets.tag_resource(
        SecretId=path, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )


def _tags(sandbox: Sandbox, path: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Describe until the tags are as they should be; else as they were seen last."""

    def look() -> dict[str, str]:
        described: dict[str, Any] = sandbox.secrets.describe_secret(SecretId=path)
        return {each["Key"]: each["Value"] for each in described.get("Tags", ())}

    found: Callable[[dict[str, str]], bool] = lambda tags: tags == wanted  # noqa: E731
    return sandbox.eventually(look, found).value


QUESTIONS: Final = (
    Question(
        "tags hold what the program remembers",
        "letters, digits, blanks and _.:/=+-@, up to 256 of them",
        kept,
    ),
    Question("tags are cleared, one that is not there too", "UntagResource removes tags", cleared),
    Question(f"a tag of {LONGEST + 1} characters", "ValidationException", too_long),
    Question(f"{MOST + 1} tags", "at most 50: InvalidParameterException", too_many),
)
