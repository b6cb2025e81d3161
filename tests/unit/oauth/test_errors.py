"""What each error of a token endpoint is a fact of, and what it keeps to itself."""

from __future__ import annotations

import pytest

from token_refresher.oauth.errors import (
    EndpointUnavailableError,
    MissingExpiryError,
    OAuthError,
    TokenEndpointError,
    TokenRequestError,
    TokenResponseError,
)

NO_CONNECTION = EndpointUnavailableError("no connection", code="no_connection", sent=False)
TIMEOUT = EndpointUnavailableError("no response in time", code="timeout")
CONNECTION_LOST = EndpointUnavailableError("cut off", code="connection_lost")
BAD_GATEWAY = EndpointUnavailableError("status 502", code="status_502", status=502)
TOO_MANY = EndpointUnavailableError("status 429", code="status_429", status=429)
FIREWALL = EndpointUnavailableError("a page", code="firewall", status=403)
CERTIFICATE = TokenEndpointError("not trusted", code="certificate_refused", sent=False)
REDIRECT = TokenEndpointError("moved", code="redirect", status=301)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        pytest.param(NO_CONNECTION, {"is_lost_connection"}, id="nothing had left"),
        pytest.param(TIMEOUT, {"sent", "is_lost_connection", "is_response_lost"}, id="silence"),
        pytest.param(CONNECTION_LOST, {"sent", "is_lost_connection", "is_response_lost"},
                     id="a response that was cut off"),
        pytest.param(BAD_GATEWAY, {"sent", "is_response_lost"}, id="a gateway's error"),
        pytest.param(TOO_MANY, {"sent"}, id="too many requests"),
        pytest.param(FIREWALL, {"sent", "is_page"}, id="a firewall's page"),
        pytest.param(CERTIFICATE, set(), id="a certificate that was refused"),
        pytest.param(REDIRECT, {"sent"}, id="a redirect"),
        pytest.param(TokenRequestError("invalid_grant"), {"sent", "is_refusal"}, id="a refusal"),
        pytest.param(TokenRequestError(None, status=401), {"sent", "is_refusal"},
                     id="a refusal without a word"),
        pytest.param(TokenRequestError("slow_down"), {"sent"}, id="a code that says later"),
        pytest.param(TokenRequestError("invalid_client", status=404), {"sent"},
                     id="a refusal where most often nobody is"),
        pytest.param(TokenResponseError("no token"), {"sent"}, id="an invalid response"),
        pytest.param(MissingExpiryError(), {"sent"}, id="a response without a lifetime"),
    ],
)  # fmt: skip
def test_every_error_tells_what_is_sure(error: OAuthError, facts: set[str]) -> None:
    every = {"sent", "is_lost_connection", "is_response_lost", "is_page", "is_refusal"}
    assert {fact for fact in every if getattr(error, fact)} == facts


@pytest.mark.parametrize(
    "code",
    [
        "access_denied",
        "consent_required",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "unauthorized_client",
        "unsupported_grant_type",
        "server_error",
        "slow_down",
        "temporarily_unavailable",
    ],
)
def test_an_error_code_of_the_standard_is_named_with_its_status(code: str) -> None:
    error = TokenRequestError(code, status=401)
    assert (error.code, error.status) == (code, 401)
    assert str(error) == f"the token endpoint answered with the error {code} (status 401)"


@pytest.mark.parametrize("code", ["made-up-secret", "INVALID_GRANT"])
def test_any_other_error_code_is_shown_as_unrecognised(code: str) -> None:
    error = TokenRequestError(code)
    assert (error.code, error.status) == ("unrecognised", 400)
    assert str(error) == (
        "the token endpoint answered with the error unrecognised (status 400): "
        "check the credentials"
    )


@pytest.mark.parametrize("code", [None, ""])
def test_a_refusal_without_an_error_code_is_named_by_its_status(code: str | None) -> None:
    error = TokenRequestError(code, status=403)
    assert error.code == "status_403"
    assert "status 403" in str(error)


@pytest.mark.parametrize(
    ("code", "refuses_grant_type"),
    [
        pytest.param("unauthorized_client", True, id="a client that may not refresh"),
        pytest.param("unsupported_grant_type", True, id="a server that does not refresh"),
        pytest.param("invalid_grant", False, id="a dead refresh token says nothing of the next"),
        pytest.param("invalid_request", False, id="nor does a request that was not understood"),
    ],
)
def test_a_refused_grant_type_is_told_from_a_dead_refresh_token(
    code: str, *, refuses_grant_type: bool
) -> None:
    assert TokenRequestError(code).refuses_grant_type is refuses_grant_type
