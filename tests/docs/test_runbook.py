"""The runbook has a row for whatever the program can say, and for nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import botocore.exceptions
import botocore.session
import pytest

from tests.docs.test_deployment import alarms
from tests.docs.test_readme import first_column
from tests.unit.fakes import START
from token_refresher import errors
from token_refresher.aws import secret_store
from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    RefreshTokenLostError,
    SecretStoreError,
    UnexpectedError,
)
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.oauth.token_response import read_token_response
from token_refresher.policy import FAILURES, Failure, Reason, failure_class_of
from token_refresher.refresh import Caution, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

ROOT: Final = Path(__file__).resolve().parents[2]
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
PACKAGE: Final = ROOT / "functions" / "token_refresher"

# No operation's model lists it.
IAM_REFUSES: Final = "AccessDeniedException"


def section(title: str) -> str:
    """The text under a heading of the second rank, with those beneath it."""
    return RUNBOOK.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        pytest.param("Reasons", Reason, id="reasons"),
        pytest.param("Outcomes", Outcome, id="outcomes"),
        pytest.param("Cautions", Caution, id="cautions"),
        pytest.param("Classes", FailureClass, id="classes"),
    ],
)
def test_every_word_of_a_result_has_its_row_and_no_other_has_one(
    title: str, words: type[StrEnum]
) -> None:
    assert sorted(first_column(section(title))) == sorted(words)


def test_every_alarm_has_its_row_and_no_other_has_one() -> None:
    assert first_column(section("Alarms")) == alarms()


def test_every_error_has_its_row_and_no_other_has_one() -> None:
    ours = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TokenRefresherError)
    ]
    assert sorted(first_column(section("Errors"))) == sorted(ours)


# Codes: each with its class, as the program makes them.


def rows() -> dict[str, str]:
    """The class that the runbook gives each code, or pattern of codes."""
    table = re.findall(r"^\| (`.+?`) \| ([a-z ]+) \|", section("Codes"), re.MULTILINE)
    pairs = [(code, name) for cell, name in table for code in re.findall(r"`([^`]+)`", cell)]
    assert len(dict(pairs)) == len(pairs), "a code has two rows"
    return dict(pairs)


def pattern(row: str) -> re.Pattern[str]:
    return re.compile(re.escape(row).replace("xx", r"\d\d").replace("…", r"\w+"))


def codes() -> Iterator[tuple[str, FailureClass]]:
    """Whatever code an account's failure can have, but for those that only AWS knows."""
    yield from written_codes()
    yield from codes_of_answers()
    for code in (*vars(errors)["_KNOWN_CODES"], "anything else"):
        yield told(TokenRequestError(code))
    for code in {*vars(secret_store)["_TRANSIENT"], *errors_of_operations(), IAM_REFUSES}:
        transient = code in vars(secret_store)["_TRANSIENT"]
        yield told(SecretStoreError("Operation", code, transient=transient))
    yield told(unexpected())


def told(error: Failure) -> tuple[str, FailureClass]:
    return error.code, failure_class_of(error)


def unexpected() -> UnexpectedError:
    try:
        number = int("no number")
    except ValueError as error:
        return UnexpectedError(error)
    raise AssertionError(number)


def written_codes() -> Iterator[tuple[str, FailureClass]]:
    """The codes that stand in the source, at the call that makes the error."""
    kinds: dict[str, Failure] = {
        "CredentialsError": CredentialsError("text"),
        "TokenEndpointError": TokenEndpointError("text", code="code"),
        "TokenResponseError": TokenResponseError("text"),
        "MissingExpiryError": MissingExpiryError(),
        "EndpointUnavailableError": EndpointUnavailableError("text", code="code"),
        "RefreshTokenLostError": RefreshTokenLostError(),
    }
    yield from (told(kind) for kind in kinds.values() if kind.code != "code")
    for path in PACKAGE.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            given = {word.arg: word.value for word in call.keywords}
            if call.func.id == "SecretStoreError":
                code, transient = call.args[1], given["transient"]
                if isinstance(code, ast.Constant) and isinstance(transient, ast.Constant):
                    transience = bool(transient.value)
                    yield told(SecretStoreError("Operation", str(code.value), transient=transience))
            elif call.func.id in kinds and isinstance(given.get("code"), ast.Constant):
                code = given["code"]
                assert isinstance(code, ast.Constant)
                yield str(code.value), failure_class_of(kinds[call.func.id])


def codes_of_answers() -> Iterator[tuple[str, FailureClass]]:
    """The codes of every status, with a page, with an object, and with none."""
    for status in range(200, 600):
        for body in (b"<html>", b"{}", b"[]"):
            try:
                read_token_response(status, body, retry_after=None, now=START)
            except FAILURES as error:
                yield told(error)


def errors_of_operations() -> set[str]:
    """What Secrets Manager's own model says of the operations that the store calls."""
    model = botocore.session.get_session().get_service_model("secretsmanager")
    operations = re.findall(r'_errors\("(\w+)"\)', (PACKAGE / "secret_store.py").read_text())
    assert operations
    return {
        shape.name
        for operation in operations
        for shape in model.operation_model(operation).error_shapes
    }


def test_every_code_has_one_row_with_its_class() -> None:
    found = rows()
    wrong = {
        (code, str(failure_class))
        for code, failure_class in codes()
        if [found[row] for row in found if pattern(row).fullmatch(code)] != [failure_class]
    }
    assert wrong == set()


def test_no_row_is_of_a_code_that_does_not_exist() -> None:
    made = [code for code, _ in codes()]
    nobody_makes = {row for row in rows() if not any(pattern(row).fullmatch(code) for code in made)}
    # What is left are connections that fail: their codes are the names of botocore's exceptions.
    assert {row for row in nobody_makes if not is_lost_connection(row)} == set()
    assert {rows()[row] for row in nobody_makes} == {FailureClass.TRANSIENT}


def is_lost_connection(code: str) -> bool:
    exception = getattr(botocore.exceptions, code, None)
    return isinstance(exception, type) and issubclass(exception, botocore.exceptions.BotoCoreError)


def broken_links(document: Path) -> list[str]:
    """The links of a document to files or headings that are not there."""
    broken = []
    for path, heading in re.findall(r"\]\(([\w./-]*)#?([\w-]*)\)", document.read_text()):
        target = document.parent / path if path else document
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(f"{path}#{heading}")
    return broken


def headings(document: Path) -> set[str]:
    """The headings of a document, as links name them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


DOCUMENTS: Final = (
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "runbook.md",
    *sorted((ROOT / "docs" / "consumers").glob("*.md")),
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_the_permissions_that_are_named_exist() -> None:
    named = set(re.findall(r"permissions? `(\w+)`", RUNBOOK))
    template = (ROOT / "template.yaml").read_text()
    assert named
    assert {name for name in named if f"Sid: {name}" not in template} == set()
