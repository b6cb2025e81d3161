"""The listing, which proposes what is due, and the deletion that it leaves out."""

from __future__ import annotations

from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from token_refresher.ports import CURRENT
from tools.smoke.questions import Answer, Question, refusal_of
from tools.smoke.sandbox import MARKED, NOT_FOUND, SHORTEST_WINDOW_DAYS
from tools.smoke.stages import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.smoke.sandbox import Sandbox, Seen

LISTED: Final = ("list/a", "list/b")
# Neither begins as the others do, to whoever heeds case and the whole of the path.
NOT_LISTED: Final = "LIST/c"
DELETED: Final = LISTED[1]


def prefix(sandbox: Sandbox) -> Answer:
    """List by the path, until both secrets under it are there, and nothing else."""
    _fill(sandbox)
    seen = _list(sandbox, lambda found: found.keys() == _wanted(sandbox))
    if seen.value.keys() != _wanted(sandbox):
        others = seen.value.keys() - _wanted(sandbox)
        return Answer(False if others else None, f"{_when(seen)}, {len(seen.value)} were listed")
    return Answer(is_documented=True, measured=f"both and no other, {_when(seen)}")


def stages(sandbox: Sandbox) -> Answer:
    """See the stages of both in the listing, which a sweep goes by."""
    _fill(sandbox)

    def are_told(found: dict[str, dict[str, Any]]) -> bool:
        return found.keys() == _wanted(sandbox) and all(
            CURRENT in chain.from_iterable(each.get("SecretVersionsToStages", {}).values())
            for each in found.values()
        )

    seen = _list(sandbox, are_told)
    is_told = are_told(seen.value)
    return Answer(True if is_told else None, f"told {_when(seen)}" if is_told else "not told yet")


def pages(sandbox: Sandbox) -> Answer:
    """List in pages of one."""
    _fill(sandbox)
    found: list[str] = []
    asked: dict[str, Any] = {}
    # An empty page may be followed by a full one.
    for _ in range(4):
        page = sandbox.secrets.list_secrets(Filters=_filters(sandbox), MaxResults=1, **asked)
        found += [each["Name"] for each in page["SecretList"]]
        if not page.get("NextToken"):
            break
        asked["NextToken"] = page["NextToken"]
    told = f"{len(found)} secrets, in pages of one"
    if set(found) < _wanted(sandbox):
        return Answer(None, told)
    return Answer(sorted(found) == sorted(_wanted(sandbox)), told)


def deletion(sandbox: Sandbox) -> Answer:
    """Mark a secret for deletion, and see what may still be done with it."""
    path = _marked(sandbox)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: sandbox.secrets.get_secret_value(SecretId=path),
        "put": lambda: sandbox.secrets.put_secret_value(
            SecretId=path, ClientRequestToken="d" * 32, SecretString="invented"
        ),
        "tagged": lambda: sandbox.secrets.tag_resource(
            SecretId=path, Tags=[{"Key": "invented", "Value": ""}]
        ),
        "made": lambda: sandbox.secrets.create_secret(Name=path),
    }
    # Not known everywhere at once: what is not refused is done again, which changes nothing more.
    codes = {
        name: sandbox.eventually(partial(refusal_of, call), bool).value
        for name, call in calls.items()
    }
    if set(codes.values()) == {MARKED}:
        return Answer(is_documented=True, measured=f"{MARKED} where it is {', '.join(codes)}")
    told = ", ".join(f"{name}: {code or 'not refused'}" for name, code in codes.items())
    return Answer(is_documented=False, measured=told)


def left_out(sandbox: Sandbox) -> Answer:
    """List without what is marked for deletion, and with it."""
    path = _marked(sandbox)
    without = _list(sandbox, lambda found: path not in found)
    if path in without.value:
        return Answer(None, f"still listed after {without.seconds:.1f} s")
    with_it = _list(sandbox, lambda found: path in found, IncludePlannedDeletion=True)
    is_told = bool(with_it.value.get(path, {}).get("DeletedDate"))
    told = f"left out {_when(without)}, and told with IncludePlannedDeletion"
    return Answer(is_told, told if is_told else "not told with IncludePlannedDeletion")


def restoring(sandbox: Sandbox) -> Answer:
    """Restore it, and read its value."""
    path = _marked(sandbox)
    sandbox.secrets.restore_secret(SecretId=path)
    read = sandbox.eventually(
        lambda: refusal_of(lambda: _read(sandbox, path)), lambda code: not code
    )
    if read.value:
        return Answer(None, f"{read.value} for {read.seconds:.1f} s")
    return Answer(is_documented=True, measured=f"its value is read {_when(read)}")


def gone(sandbox: Sandbox) -> Answer:
    """Delete a secret without a window, as all are at the end, and describe it; then once more."""
    path = sandbox.secret(EMPTY)
    arguments = {"SecretId": path, "ForceDeleteWithoutRecovery": True}
    sandbox.eventually(lambda: sandbox.secrets.describe_secret(SecretId=path))
    sandbox.secrets.delete_secret(**arguments)
    seen = sandbox.eventually(
        lambda: refusal_of(lambda: sandbox.secrets.describe_secret(SecretId=path)), bool
    )
    again = refusal_of(lambda: sandbox.secrets.delete_secret(**arguments))
    if seen.value != NOT_FOUND:
        return Answer(None, f"still described after {seen.seconds:.1f} s")
    told = f"{NOT_FOUND} {_when(seen)}"
    return Answer(not again, f"{told}; the second deletion is {again or 'taken as well'}")


def _read(sandbox: Sandbox, path: str) -> None:
    sandbox.secrets.get_secret_value(SecretId=path)


def _fill(sandbox: Sandbox) -> None:
    for each in (*LISTED, NOT_LISTED):
        sandbox.filled(each)


@cache
def _marked(sandbox: Sandbox) -> str:
    """Mark a secret for deletion, once, and return its name."""
    path = sandbox.filled(DELETED)
    sandbox.secrets.delete_secret(SecretId=path, RecoveryWindowInDays=SHORTEST_WINDOW_DAYS)
    sandbox.eventually(
        lambda: sandbox.secrets.describe_secret(SecretId=path),
        lambda found: "DeletedDate" in found,
    )
    return path


def _wanted(sandbox: Sandbox) -> set[str]:
    return {sandbox.path(each) for each in LISTED}


def _filters(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [{"Key": "name", "Values": [sandbox.path("list/")]}]


def _list(
    sandbox: Sandbox,
    wanted: Callable[[dict[str, dict[str, Any]]], bool],
    **more: Any,  # noqa: ANN401 - as boto3 takes it
) -> Seen[dict[str, dict[str, Any]]]:
    """List until it is as wanted, or nobody would wait any longer; by name."""

    def look() -> dict[str, dict[str, Any]]:
        page = sandbox.secrets.list_secrets(Filters=_filters(sandbox), **more)
        return {each["Name"]: each for each in page["SecretList"]}

    return sandbox.eventually(look, wanted)


def _when(seen: Seen[Any]) -> str:
    return "at once" if seen.looks == 1 else f"after {seen.seconds:.1f} s"


QUESTIONS: Final = (
    Question(
        "a listing by the beginning of names, case included",
        "a filter by name matches the beginning; changes of five minutes may be missing",
        prefix,
    ),
    Question("a listing tells stages", "SecretVersionsToStages", stages),
    Question("a listing in pages", "NextToken leads to what is left", pages),
    Question(
        "what is marked for deletion is used",
        f"{MARKED}",
        deletion,
    ),
    Question(
        "what is marked for deletion is not listed",
        "not without IncludePlannedDeletion; changes of five minutes may be missing",
        left_out,
    ),
    Question("what is marked for deletion is restored", "it can be read again", restoring),
    Question(
        "what is deleted without a window is gone",
        "it is deleted soon, and deleting what is not there is no error",
        gone,
    ),
)
