"""Each thing that goes wrong says what to do, and repeats nothing."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)

from tests.cli.operator import parsed, pasted
from token_refresher.errors import SecretStoreError, SettingsError
from token_refresher.fixes import FIXES
from token_refresher_cli.problems import (
    ProblemError,
    RefusedError,
    about,
    doubt,
    explain,
    fix_for,
    sentence,
)
from token_refresher_cli.target import Target


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the credentials are not JSON", "The credentials are not JSON."),
        ('give it as "https://id.example"', 'Give it as "https://id.example"'),
        ("nosuch.csv: cannot read it", "nosuch.csv: cannot read it."),
        ("mistyped: its tokens cannot be revoked", "mistyped: its tokens cannot be revoked."),
        ("client_secret is empty", "client_secret is empty."),
        ("a column is wrong: make it a text", "A column is wrong: make it a text."),
        ("see it: token-refresher status", "See it: token-refresher status"),
        ("delete the file: rm key.pem", "Delete the file: rm key.pem"),
        ("deploy it: make deploy STACK=tr", "Deploy it: make deploy STACK=tr"),
    ],
)
def test_a_sentence_has_its_capital_and_its_full_stop_and_leaves_names_and_commands(
    text: str, told: str
) -> None:
    assert sentence(text) == told


@pytest.mark.parametrize(
    ("error", "what", "fix"),
    [
        (
            RefusedError("PutSecretValue", "AccessDeniedException", "oauth/credentials/dealer-17"),
            "may not secretsmanager:PutSecretValue on oauth/credentials/dealer-17",
            "docs/command-line.md has the whole policy",
        ),
        (
            RefusedError("CreateSecret", "AccessDeniedException", "oauth/credentials/dealer-17"),
            "may not secretsmanager:CreateSecret on oauth/credentials/dealer-17",
            "What is created with tags needs secretsmanager:TagResource as well.",
        ),
        (
            RefusedError("kms:CreateKey", "AccessDeniedException", "*"),
            "may not kms:CreateKey on *",
            "What is created with tags needs kms:TagResource as well.",
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
        (
            RefusedError("scheduler:GetSchedule", "AccessDeniedException", "token-refresher"),
            "may not scheduler:GetSchedule on token-refresher",
            "Allow it",
        ),
        (
            RefusedError("kms:CreateAlias", "AlreadyExistsException", "alias/oauth/dealer-17"),
            "failed on alias/oauth/dealer-17: AlreadyExistsException",
            "run the same command again",
        ),
        (
            RefusedError("cloudformation:DescribeStacks", "ValidationError", "tr"),
            "There is no stack tr",
            "",
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
            RefusedError("kms:DescribeKey", "RequestExpired", "alias/oauth/dealer-17"),
            "or this machine's clock is wrong",
            "Correct the clock",
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
        *(
            (
                RefusedError("sqs:GetQueueAttributes", code, "tr", transient=True),
                f"sqs:GetQueueAttributes failed on tr: {code}",
                "run the same command again in a minute",
            )
            for code in ("InternalFailure", "ServiceUnavailable", "KMSInternalException")
        ),
        *(
            (SecretStoreError("ListSecrets", code, transient=False), what, fix)
            for code, what, fix in (
                ("OptInRequired", "not signed up", "get-caller-identity"),
                ("InvalidAccessKeyId", "does not know these credentials", "get-caller-identity"),
                ("IncompleteSignature", "without its whole signature", "A proxy"),
                ("MissingAuthenticationTokenException", "its whole signature", "A proxy"),
                ("RequestLimitExceeded", "throttling", "in a minute"),
            )
        ),
        (
            RefusedError("GetFunctionConfiguration", "ResourceNotFoundException", "tokens"),
            "no function tokens",
            "If it was deleted by hand, which CloudFormation does not see, begin with `make und",
        ),
        (
            RefusedError("CreateSecret", "InvalidRequestException", "oauth/credentials/a"),
            "scheduled for deletion",
            "token-refresher restore",
        ),
        *(
            (
                RefusedError(operation, "InvalidRequestException", "oauth/tokens/a"),
                "oauth/tokens/a is scheduled for deletion",
                "token-refresher restore",
            )
            for operation in ("GetSecretValue", "PutSecretValue", "ListSecretVersionIds")
        ),
        (
            RefusedError("PutSecretValue", "ResourceNotFoundException", "oauth/credentials/a"),
            "PutSecretValue failed on oauth/credentials/a",
            "may not be found everywhere yet: run the same command again",
        ),
        (
            RefusedError("kms:UpdateAlias", "NotFoundException", "alias/oauth/a"),
            "kms:UpdateAlias failed on alias/oauth/a",
            "may not be found everywhere yet: run the same command again",
        ),
        (
            RefusedError("PutSecretValue", "Other", "oauth/a"),
            "PutSecretValue failed on oauth/a",
            "",
        ),
        (SettingsError("MAX_WORKERS takes a number"), "MAX_WORKERS takes a number.", ""),
        (ProblemError("It is so.", "Do that."), "It is so.", "Do that."),
    ],
    ids=str,
)
def test_a_problem_says_what_to_do(error: Exception, what: str, fix: str) -> None:
    problem = explain(error, Target())
    assert what in problem.what
    assert fix in problem.fix
    assert "made-up" not in problem.what + problem.fix


def test_a_defect_tells_its_place_and_not_its_text() -> None:
    try:
        raise KeyError("made-up-secret")  # noqa: TRY301
    except KeyError as error:
        problem = explain(error, Target())
    assert "a defect of Token Refresher" in problem.what
    assert "made-up" not in problem.what


def test_a_refused_call_remembers_what_it_was_about() -> None:
    with pytest.raises(RefusedError) as raised, about("oauth/tokens/a"):
        raise SecretStoreError("GetSecretValue", "AccessDeniedException", transient=False)
    assert raised.value.operation == "GetSecretValue"
    assert "oauth/tokens/a" in explain(raised.value, Target()).what


def test_what_to_do_about_a_failure_names_the_account() -> None:
    fix = fix_for("invalid_grant", "dealer-17", Target())
    assert fix.endswith(": token-refresher correct dealer-17")


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("status_400", "check the credentials"),
        ("status_401", "check the credentials"),
        ("status_403", "check the credentials"),
        ("status_404", "correct the address"),
        ("status_405", "correct the address"),
        ("status_408", "tried again by itself"),
        ("status_429", "tried again by itself"),
        ("status_503", "tried again by itself"),
        ("page_400", "tried again by itself"),
    ],
)
def test_a_status_without_a_word_of_oauths_says_what_to_do(code: str, what: str) -> None:
    assert what in fix_for(code, "dealer-17", Target())


@pytest.mark.parametrize("code", FIXES)
@pytest.mark.parametrize("name", ["dealer-17", "-x"])
def test_every_command_that_is_named_can_be_pasted_and_works_where_the_last_one_did(
    code: str, name: str
) -> None:
    here = Target("my profile", "eu-west-1", "team/tokens", "it's", "team/tokens", "eu-west-1")
    for words in pasted(fix_for(code, name, here)):
        assert words[words.index("--profile") + 1] == "my profile"
        assert words[words.index("--region") + 1] == "eu-west-1"
        if words[0] == "token-refresher":
            told = parsed(words)
            named = told["name"] if "name" in told else told["names"][0]
            assert (named, told["prefix"], told["stack"]) == (
                name,
                "team/tokens",
                "it's",
            )


@pytest.mark.parametrize("path", ["credentials", "tokens"])
def test_what_is_to_be_deleted_is_restored_by_its_account_s_name(path: str) -> None:
    here = Target(secret_prefix="oauth", region="eu-west-1")
    refused = SecretStoreError("PutSecretValue", "InvalidRequestException", transient=False)
    with pytest.raises(RefusedError) as raised, about(f"oauth/{path}/team/dealer-17"):
        raise refused
    problem = explain(raised.value, here)
    assert problem.what == f"oauth/{path}/team/dealer-17 is scheduled for deletion."
    assert "Restore it: token-refresher restore team/dealer-17 --region eu-west-1" in problem.fix


def test_a_command_of_aws_is_told_the_region_that_boto3_alone_reads() -> None:
    here = Target(secret_prefix="oauth", aws_region="eu-west-1")
    refused = RefusedError("DeleteSecret", "InvalidRequestException", "oauth/tokens/dealer-17")
    assert explain(refused, here).fix == (
        "See which: aws secretsmanager describe-secret "
        "--secret-id oauth/tokens/dealer-17 --region eu-west-1"
    )
    assert (
        "aws sso login --profile p" in explain(UnauthorizedSSOTokenError(), Target(profile="p")).fix
    )


@pytest.mark.parametrize(
    "code", ["address_not_global", "host_not_allowed", "refresh_tokens_ignored"]
)
def test_settings_of_a_shell_are_doubted_and_those_of_the_function_are_not(code: str) -> None:
    assert "--stack" in doubt(code, Target())
    assert doubt(code, Target(stack="tr")) == ""


@pytest.mark.parametrize(
    "code", ["certificate_refused", "no_connection", "proxy_refused", "unknown_authority"]
)
def test_the_network_of_a_machine_is_doubted_whatever_its_settings(code: str) -> None:
    assert "this machine may be all that is wrong" in doubt(code, Target(stack="tr"))
