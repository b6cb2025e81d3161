"""What each error means for the next attempt, and what it keeps to itself."""

from __future__ import annotations

import pytest

from token_refresher import errors, refresh
from token_refresher.errors import (
    CredentialsError,
    FailureClass,
    HostStoppedError,
    NotAttemptedError,
    OutOfTimeError,
    RefreshError,
    RefreshTokenLostError,
    SecretStoreError,
    TokenRefresherError,
    UnexpectedError,
)
from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)
from token_refresher.policy import Failure, failure_class_of

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
INVALID = FailureClass.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("error", "failure_class", "code"),
    [
        (CredentialsError("`site` is wrong"), ACT, "invalid_credentials"),
        (CredentialsError("x", code="refresh_tokens_ignored"), ACT, "refresh_tokens_ignored"),
        (TokenEndpointError("not allowed", code="host_not_allowed"), ACT, "host_not_allowed"),
        (TIMEOUT, LATER, "timeout"),
        (TokenResponseError("no access_token"), INVALID, "invalid_response"),
        (TokenResponseError("refused", code="token_refused"), INVALID, "token_refused"),
        (MissingExpiryError(), ACT, "missing_expires_in"),
        (RefreshTokenLostError(), ACT, "refresh_token_lost"),
        (SecretStoreError("PutSecretValue", "Denied", transient=False), ACT, "Denied"),
        (SecretStoreError("PutSecretValue", "Throttled", transient=True), LATER, "Throttled"),
        (unexpected(), ACT, "unexpected_ValueError"),
    ],
)
def test_every_error_says_who_must_act(
    error: Failure, failure_class: FailureClass, code: str
) -> None:
    assert (failure_class_of(error), error.code) == (failure_class, code)


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
    ("error", "allows_primary_grant"),
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
    error: OAuthError, *, allows_primary_grant: bool
) -> None:
    assert refresh.allows_primary_grant(error) is allows_primary_grant


@pytest.mark.parametrize("error", [HostStoppedError, OutOfTimeError])
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
