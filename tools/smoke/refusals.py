"""The code of each refusal that the program knows, by a call that must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from token_refresher.ports import CURRENT, LONGEST_VALUE
from tools.smoke.questions import Answer, Question, refusal_of, refused
from tools.smoke.stages import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.smoke.sandbox import Sandbox

REFUSED: Final = "refusals"
MOST_STAGES: Final = 20
_NOT_FOUND: Final = "ResourceNotFoundException"
_EXISTS: Final = "ResourceExistsException"
_UNKNOWN_ID: Final = "0" * 32
_OTHER_ID: Final = "1" * 32


def _put(sandbox: Sandbox, name: str, version_id: str, text: str, *stages: str) -> None:
    sandbox.secrets.put_secret_value(
        SecretId=sandbox.path(name),
        ClientRequestToken=version_id,
        SecretString=text,
        VersionStages=list(stages) or [CURRENT],
    )


def _describe_nothing(sandbox: Sandbox) -> None:
    sandbox.secrets.describe_secret(SecretId=sandbox.path("none"))


def _put_into_nothing(sandbox: Sandbox) -> None:
    _put(sandbox, "none", _UNKNOWN_ID, "invented")


def _tag_nothing(sandbox: Sandbox) -> None:
    sandbox.secrets.tag_resource(
        SecretId=sandbox.path("none"), Tags=[{"Key": "invented", "Value": ""}]
    )


def _read_no_value(sandbox: Sandbox) -> None:
    sandbox.secrets.get_secret_value(SecretId=sandbox.secret(EMPTY))


def _read_no_version(sandbox: Sandbox) -> None:
    sandbox.secrets.get_secret_value(SecretId=sandbox.filled(REFUSED), VersionId=_UNKNOWN_ID)


def _read_no_stage(sandbox: Sandbox) -> None:
    sandbox.secrets.get_secret_value(SecretId=sandbox.filled(REFUSED), VersionStage="NONE")


def _create_again(sandbox: Sandbox) -> None:
    sandbox.secrets.create_secret(Name=sandbox.filled(REFUSED))


def _put_other_content(sandbox: Sandbox) -> None:
    sandbox.put(REFUSED, _OTHER_ID, "invented")
    _put(sandbox, REFUSED, _OTHER_ID, "invented otherwise")


def _put_too_much(sandbox: Sandbox) -> None:
    sandbox.filled(REFUSED)
    _put(sandbox, REFUSED, f"{'more':-<32}", "v" * (LONGEST_VALUE + 1))


def _put_too_many_bytes(sandbox: Sandbox) -> None:
    """More bytes than characters: as many of these as may be, and two bytes each."""
    sandbox.filled(REFUSED)
    _put(sandbox, REFUSED, f"{'more-bytes':-<32}", "ü" * (LONGEST_VALUE // 2 + 1))


def _put_too_many_stages(sandbox: Sandbox) -> None:
    sandbox.filled(REFUSED)
    stages = [f"INVENTED-{number}" for number in range(MOST_STAGES)]
    _put(sandbox, REFUSED, f"{'stages':-<32}", "invented", *stages)


def _name_with_blanks(sandbox: Sandbox) -> None:
    sandbox.secret("with blanks")


def _key_that_is_not_there(sandbox: Sandbox) -> None:
    alias = f"alias/{sandbox.name}/none"
    sandbox.secret("with-a-key", KmsKeyId=alias, SecretString="invented")


def _page_of_nobody(sandbox: Sandbox) -> None:
    sandbox.secrets.list_secrets(NextToken="invented")


def _question(
    name: str, call: Callable[[Sandbox], None], *codes: str, documented: str = ""
) -> Question:
    def ask(sandbox: Sandbox) -> Answer:
        return refused(refusal_of(lambda: call(sandbox)), *codes)

    return Question(name, documented or " or ".join(codes), ask)


def largest_value(sandbox: Sandbox) -> Answer:
    """Put as many bytes as a version takes."""
    sandbox.put(REFUSED, f"{'largest':-<32}", "v" * LONGEST_VALUE)
    return Answer(is_documented=True, measured="taken")


# The API's own constraints are told by one code of all services; a quota by another.
_CONSTRAINT: Final = ("ValidationException", "InvalidParameterException")

QUESTIONS: Final = (
    _question("a secret that is not there is described", _describe_nothing, _NOT_FOUND),
    _question("a value is put where no secret is", _put_into_nothing, _NOT_FOUND),
    _question("a tag is put where no secret is", _tag_nothing, _NOT_FOUND),
    _question("a secret without a value is read", _read_no_value, _NOT_FOUND),
    _question("a version that is not there is read", _read_no_version, _NOT_FOUND),
    _question("a stage that is not there is read", _read_no_stage, _NOT_FOUND),
    _question("a secret is made a second time", _create_again, _EXISTS),
    _question("other content is put under an id", _put_other_content, _EXISTS),
    Question(f"a value of {LONGEST_VALUE} bytes", "65,536 bytes at most", largest_value),
    _question("a value of one byte more", _put_too_much, *_CONSTRAINT),
    _question("a value of more bytes in fewer characters", _put_too_many_bytes, *_CONSTRAINT),
    _question(
        f"more than {MOST_STAGES} stages in a secret",
        _put_too_many_stages,
        "LimitExceededException",
    ),
    _question("a name that no secret can have", _name_with_blanks, *_CONSTRAINT),
    _question("a KMS key that is not there", _key_that_is_not_there, "EncryptionFailure"),
    _question(
        "a page of a listing that nobody gave out", _page_of_nobody, "InvalidNextTokenException"
    ),
)
