"""Each thing that goes wrong says its mend, and repeats nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)

import token_refresher
from token_refresher.errors import SecretStoreError, SettingsError
from token_refresher_cli.accounts import NO_ATTEMPT
from token_refresher_cli.problems import (
    MENDS,
    ProblemError,
    RefusedError,
    about,
    explain,
    mend_for,
)


@pytest.mark.parametrize(
    ("error", "what", "mend"),
    [
        (
            RefusedError("PutSecretValue", "AccessDeniedException", "olx/credentials/dealer-17"),
            "may not secretsmanager:PutSecretValue on olx/credentials/dealer-17",
            "docs/command-line.md has the whole policy",
        ),
        (
            SecretStoreError("ListSecrets", "AccessDeniedException", transient=False),
            "may not secretsmanager:ListSecrets on *",
            "Allow it",
        ),
        (
            RefusedError("Invoke", "AccessDeniedException", "token-refresher"),
            "may not lambda:InvokeFunction on token-refresher",
            "Allow it",
        ),
        (NoRegionError(), "No AWS Region", "--region"),
        (NoCredentialsError(), "no AWS credentials", "--profile"),
        (ProfileNotFound(profile="made-up"), "no such profile", "list-profiles"),
        (UnauthorizedSSOTokenError(), "session has expired", "aws sso login"),
        (
            SecretStoreError("ListSecrets", "ExpiredTokenException", transient=False),
            "session has expired",
            "Sign in again",
        ),
        (
            EndpointConnectionError(endpoint_url="https://e.example"),
            "AWS did not answer",
            "AWS_ENDPOINT_URL",
        ),
        (
            SecretStoreError("ListSecrets", "UnrecognizedClientException", transient=False),
            "does not know these credentials",
            "get-caller-identity",
        ),
        (
            RefusedError("Invoke", "TooManyRequestsException", "token-refresher"),
            "a sweep is running",
            "in a minute",
        ),
        (
            SecretStoreError("ListSecrets", "ThrottlingException", transient=True),
            "throttling",
            "in a minute",
        ),
        (
            RefusedError("GetFunctionConfiguration", "ResourceNotFoundException", "tokens"),
            "no function tokens",
            "--stack",
        ),
        (
            RefusedError("CreateSecret", "InvalidRequestException", "olx/credentials/a"),
            "scheduled for deletion",
            "restore-secret --secret-id olx/credentials/a",
        ),
        *(
            (
                RefusedError(operation, "InvalidRequestException", "olx/tokens/a"),
                "olx/tokens/a is scheduled for deletion",
                "restore-secret --secret-id olx/tokens/a",
            )
            for operation in ("GetSecretValue", "PutSecretValue", "ListSecretVersionIds")
        ),
        (RefusedError("PutSecretValue", "Other", "olx/a"), "PutSecretValue failed on olx/a", ""),
        (SettingsError("MAX_WORKERS takes a number"), "MAX_WORKERS takes a number.", ""),
        (ProblemError("It is so.", "Do that."), "It is so.", "Do that."),
    ],
    ids=str,
)
def test_a_problem_says_its_mend(error: Exception, what: str, mend: str) -> None:
    problem = explain(error)
    assert what in problem.what
    assert mend in problem.mend
    assert "made-up" not in problem.what + problem.mend


def test_a_defect_tells_its_place_and_not_its_text() -> None:
    try:
        raise KeyError("made-up-secret")  # noqa: TRY301
    except KeyError as error:
        problem = explain(error)
    assert "a defect of Token Refresher" in problem.what
    assert "made-up" not in problem.what


def test_a_refused_call_remembers_what_it_was_about() -> None:
    with pytest.raises(RefusedError) as raised, about("olx/tokens/a"):
        raise SecretStoreError("GetSecretValue", "AccessDeniedException", transient=False)
    assert raised.value.operation == "GetSecretValue"
    assert "olx/tokens/a" in explain(raised.value).what


def test_every_code_with_a_mend_is_one_that_the_program_has() -> None:
    program = Path(token_refresher.__file__).parent
    source = "".join(path.read_text() for path in program.glob("*.py"))
    assert [code for code in MENDS if f'"{code}"' not in source] == [NO_ATTEMPT]


def test_a_failure_s_mend_names_the_account() -> None:
    assert mend_for("invalid_grant", "dealer-17").endswith("token-refresher correct dealer-17")
    assert mend_for("status_503", "dealer-17") == ""
