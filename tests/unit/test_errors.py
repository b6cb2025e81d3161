"""What each error means for the next attempt, and what it keeps to itself."""

from __future__ import annotations

from datetime import UTC, datetime

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
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    OAuthError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import failure_class_of
from token_refresher.redeem import allows_primary_grant

NO_CONNECTION = EndpointUnavailableError("no connection", code="no_connection", sent=False)
TIMEOUT = EndpointUnavailableError("no response in time", code="timeout")
BAD_GATEWAY = EndpointUnavailableError("status 502", code="status_502")
FIREWALL = EndpointUnavailableError("a page", code="firewall", status=403)


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
    ("error", "words"),
    [
        (RefreshTokenHeldError(is_spent=False, until=NOW), ["no response arrived", "by force"]),
        (RefreshTokenHeldError(is_spent=True, until=NOW), ["new refresh_token", "by force"]),
        (HeldError(NOW, NOW), ["was leased at", "can be leased again"]),
    ],
    ids=["unanswered", "spent", "too soon"],
)
def test_what_waits_says_until_when_and_what_else_helps(
    error: TokenRefresherError, words: list[str]
) -> None:
    assert all(word in str(error) for word in [*words, "2026-11-24T01:00:00+00:00"])


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


@pytest.mark.parametrize(
    ("error", "is_allowed"),
    [
        pytest.param(TokenRequestError("invalid_grant"), True, id="a dead refresh token"),
        pytest.param(TokenRequestError("unsupported_grant_type"), True, id="a refused grant type"),
        pytest.param(TokenRequestError("unknown"), True, id="an unknown code"),
        pytest.param(TokenRequestError("invalid_scope"), True, id="a scope that was refused"),
        pytest.param(TokenResponseError("no token"), True, id="an invalid response"),
        pytest.param(TIMEOUT, True, id="no response in time"),
        pytest.param(BAD_GATEWAY, True, id="a server's error"),
        pytest.param(TokenRequestError("invalid_client"), False, id="not with a wrong client"),
        pytest.param(NO_CONNECTION, False, id="not without a connection"),
        pytest.param(FIREWALL, False, id="not where the host is to be left alone"),
    ],
)
def test_whatever_a_refresh_answers_the_primary_grant_follows_unless_it_would_fail_alike(
    error: OAuthError, *, is_allowed: bool
) -> None:
    assert allows_primary_grant(error) is is_allowed


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
