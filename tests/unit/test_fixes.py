"""Every code says what a person does about it."""

from __future__ import annotations

import pytest

from token_refresher.errors import FailureClass
from token_refresher.fixes import FIXES, fix_of, say, say_of_all
from token_refresher.health import WITHOUT_FAILURE
from tools.docs import codes

HERE = {"--region": "eu-west-1", "--stack": "token-refresher"}


def test_every_code_of_the_program_has_something_to_do() -> None:
    assert [one.name for one in codes.every_code() if fix_of(one.name) is None] == []


def test_nothing_is_kept_for_codes_that_the_program_does_not_have() -> None:
    known = {one.name for one in codes.every_code()}
    assert FIXES.keys() <= known | set(WITHOUT_FAILURE)


def test_a_failure_that_passes_sends_nobody_to_the_credentials() -> None:
    passing = [one for one in codes.every_code() if one.kind is FailureClass.TRANSIENT]
    told = {one.name for one in passing if "correct" in say(one.name, "a", HERE)}
    assert told <= {"refresh_token_unanswered"}


def test_the_command_leads_to_the_account_and_to_its_deployment() -> None:
    assert say("invalid_grant", "dealer-17", HERE) == (
        "the server refused the password, code, assertion or refresh token: "
        "token-refresher correct dealer-17 --region eu-west-1 --stack token-refresher"
    )
    assert say("signing_key_missing", "dealer-17", HERE).endswith(
        ": token-refresher key create dealer-17 --region eu-west-1 --stack token-refresher"
    )
    assert say("missing_expires_in", "-x", HERE).endswith(
        "token-refresher correct --assumed-expires-in 3600 --region eu-west-1 "
        "--stack token-refresher -- -x"
    )


def test_where_no_account_is_to_blame_the_command_looks_at_the_whole_stack() -> None:
    doctor = ": token-refresher doctor --region eu-west-1 --stack token-refresher"
    assert say_of_all("AccessDenied", HERE) == (
        f"the function's role lacks a permission; doctor says which{doctor}"
    )
    assert say_of_all("a_code_of_tomorrow", HERE) == f"nothing was swept; this says why{doctor}"


def test_what_nobody_has_foreseen_is_not_explained() -> None:
    assert fix_of("a_code_of_tomorrow") is None
    assert say("a_code_of_tomorrow", "a", HERE) == ""


@pytest.mark.parametrize("code", ["status_300", "status_4041", "status_", "page_500x"])
def test_only_a_status_is_taken_for_one(code: str) -> None:
    assert fix_of(code) is None
