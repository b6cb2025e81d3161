"""What each error means for the next attempt, and what it keeps to itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from token_refresher import errors
from token_refresher.errors import (
    FailureClass,
    HeldError,
    HostStoppedError,
    LeasedError,
    LeaseTooOldError,
    NotAttemptedError,
    OutOfTimeError,
    RefreshError,
    RefreshTokenHeldError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.failures import failure_class_of
from token_refresher.oauth.errors import (
    TokenRequestError,
)


def unexpected() -> UnexpectedError:
    """A defect, as it is met: an exception with a traceback and a secret in its text."""
    try:
        int("made-up-secret")
    except ValueError as exception:
        return UnexpectedError(exception)
    pytest.fail("that was a number")


ACT = FailureClass.ACTION_REQUIRED
LATER = FailureClass.TRANSIENT
NOW = datetime(2026, 11, 24, 1, tzinfo=UTC)


def test_a_defect_requires_action() -> None:
    error = unexpected()
    assert (failure_class_of(error), error.code) == (ACT, "unexpected_ValueError")


@pytest.mark.parametrize(
    ("code", "failure_class"),
    [
        ("access_denied", ACT),
        ("consent_required", ACT),
        ("interaction_required", ACT),
        ("invalid_client", ACT),
        ("invalid_grant", ACT),
        ("invalid_request", ACT),
        ("invalid_scope", ACT),
        ("invalid_target", ACT),
        ("login_required", ACT),
        ("unauthorized_client", ACT),
        ("unsupported_grant_type", ACT),
        ("server_error", LATER),
        ("slow_down", LATER),
        ("temporarily_unavailable", LATER),
    ],
)
def test_an_error_code_of_the_standard_is_named_and_classified(
    code: str, failure_class: FailureClass
) -> None:
    error = TokenRequestError(code)
    assert (error.code, failure_class_of(error)) == (code, failure_class)


EARLIER = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RefreshTokenHeldError(is_spent=False, until=NOW, by_force=EARLIER),
            ["no response arrived: it is sent again", f"by force from {EARLIER.isoformat()}"],
        ),
        (
            RefreshTokenHeldError(is_spent=True, until=NOW, by_force=EARLIER),
            ["put a new refresh_token", f"by force from {EARLIER.isoformat()}"],
        ),
        (HeldError(EARLIER, NOW), [f"was leased at {EARLIER.isoformat()}", "leased again"]),
    ],
    ids=["unanswered", "spent", "too soon"],
)
def test_what_waits_says_until_when_and_what_else_helps(
    error: HeldError | RefreshTokenHeldError, words: list[str]
) -> None:
    assert all(word in str(error) for word in [*words, f"from {NOW.isoformat()} on"])
    assert error.until == NOW


def test_force_is_not_offered_where_it_helps_nothing() -> None:
    error = RefreshTokenHeldError(is_spent=False, until=NOW, by_force=NOW)
    assert "force" not in str(error)


@pytest.mark.parametrize(
    "error", [HostStoppedError, OutOfTimeError, LeasedError, LeaseTooOldError, HeldError]
)
def test_what_was_put_off_is_no_failure_of_the_account(error: type[NotAttemptedError]) -> None:
    assert issubclass(error, NotAttemptedError)
    assert not issubclass(error, RefreshError)


def test_a_defect_names_its_place() -> None:
    assert str(unexpected()).startswith("ValueError in unexpected, line ")


def test_a_defect_keeps_the_text_of_its_exception_to_itself() -> None:
    assert "made-up-secret" not in f"{unexpected()} {unexpected()!r}"


def test_every_error_is_in_the_tree_that_the_module_shows() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, TokenRefresherError)
    }
    tree = {
        line.split("── ")[-1].split()[0] for line in (errors.__doc__ or "").splitlines() if line
    }
    assert classes <= tree
