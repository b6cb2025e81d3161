"""Credentials are validated by grant; a refusal names the field, never a value."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_refresher.credentials import (
    PRODUCT_USER_AGENT,
    PartnerCredentials,
    RefreshTokenCredentials,
    parse_credentials,
)
from token_refresher.errors import CredentialsError

CLIENT: Final = {"client_id": "123", "client_secret": "secret-value", "site": "autovit.ro"}
PASSWORD: Final = {"grant_type": "password", "username": "a@b.example", "password": "secret-value"}
PARTNER: Final = {"grant_type": "partner", "partner_code": "code", "partner_secret": "secret-value"}
REFRESH: Final = {"grant_type": "refresh_token", "refresh_token": "secret-value"}
MACHINE: Final = {"grant_type": "client_credentials"}


def parse(*parts: dict[str, Any], **changed: Any) -> Any:  # noqa: ANN401
    fields = {**CLIENT, **{key: value for part in parts for key, value in part.items()}, **changed}
    return parse_credentials(json.dumps({k: v for k, v in fields.items() if v is not None}))


@pytest.mark.parametrize(
    ("grant", "method"),
    [
        (PASSWORD, "client_secret_basic"),
        (PARTNER, "client_secret_post"),
        (MACHINE, "client_secret_basic"),
    ],
)
def test_each_grant_has_its_fields_and_its_authentication(
    grant: dict[str, str], method: str
) -> None:
    credentials = parse(grant)
    assert credentials.grant_parameters == grant
    assert credentials.auth_method == method
    assert credentials.endpoint_url == "https://www.autovit.ro/api/open/oauth/token"
    assert "secret-value" not in repr(credentials)


def test_the_authentication_can_be_chosen() -> None:
    chosen = parse(PARTNER, token_endpoint_auth_method="client_secret_basic")
    assert chosen.auth_method == "client_secret_basic"


def test_a_client_id_may_be_a_number() -> None:
    assert parse(PASSWORD, client_id=123).client_id == 123


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        pytest.param(parse(PASSWORD, user_agent="x"), "a@b.example", id="the e-mail where one is"),
        pytest.param(parse(PARTNER, user_agent="x"), "x", id="the configured text"),
        pytest.param(parse(PARTNER), PRODUCT_USER_AGENT, id="the product"),
        pytest.param(parse(PASSWORD, username="ż", user_agent="x"), "x", id="no header"),
        pytest.param(
            parse(PASSWORD, site=None, token_endpoint="https://a.example/t"),
            PRODUCT_USER_AGENT,
            id="another server is not sent the e-mail",
        ),
    ],
)
def test_user_agent_follows_the_sites_rule(credentials: PartnerCredentials, header: str) -> None:
    assert credentials.user_agent_header == header


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({**PASSWORD, "passwrd": "x"}, "`passwrd`", id="a misspelt field"),
        pytest.param({**PASSWORD, "password": 5}, "`password`", id="a number for a string"),
        pytest.param({**PASSWORD, "password": ""}, "`password`", id="an empty string"),
        pytest.param({**PASSWORD, "password": None}, "`password`", id="a missing field"),
        pytest.param({"grant_type": "secret-value"}, "`grant_type`", id="an unknown grant"),
        pytest.param({**MACHINE, "site": "secret-value"}, "`site`", id="an unknown site"),
        pytest.param({**MACHINE, "site": None}, "`token_endpoint`", id="neither site nor endpoint"),
        pytest.param({**MACHINE, "token_endpoint": "https://a.example/"}, "`site`", id="both"),
        pytest.param({**MACHINE, "verify_url": "http://secret-value/"}, "`verify_url`", id="http"),
        pytest.param({**MACHINE, "verify_url": "https://u:secret-value@a.example/"}, "`verify_url`",
                     id="credentials in a URL"),
        pytest.param({**MACHINE, "verify_url": "https://[secret-value/"}, "`verify_url`",
                     id="no URL"),
        pytest.param({**MACHINE, "verify_url": "https://a.example/#secret-value"}, "`verify_url`",
                     id="a fragment"),
        pytest.param({**MACHINE, "scope": "secret-value  b"}, "`scope`", id="two spaces"),
        pytest.param({**MACHINE, "scope": "secret-value\n"}, "`scope`", id="a newline at the end"),
        pytest.param({**MACHINE, "user_agent": "secret-value\r\nX: y"}, "`user_agent`",
                     id="a header in a header"),
        pytest.param({**MACHINE, "extra_parameters": {"scope": "secret-value"}},
                     "`extra_parameters`", id="a reserved parameter"),
        pytest.param({**MACHINE, "extra_parameters": {"a": 1}}, "`extra_parameters",
                     id="a parameter that is no string"),
        pytest.param({**MACHINE, "assumed_expires_in": 0}, "`assumed_expires_in`", id="none"),
        pytest.param({**REFRESH, "use_refresh_token": False}, "`use_refresh_token`",
                     id="a refresh-only account without refresh tokens"),
        pytest.param({**MACHINE, "secret value\n": 1}, "plain word", id="a name that is no word"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_no_value(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CredentialsError, match=named) as refusal:
        parse(fields)
    assert "secret-value" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "{", "secret-value", "\ufeff{}", '"\ud800"'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(CredentialsError, match="JSON") as refusal:
        parse_credentials(text)
    assert "secret-value" not in str(refusal.value)


def test_a_binary_secret_is_refused() -> None:
    with pytest.raises(CredentialsError, match="binary"):
        parse_credentials(None)


def test_a_refresh_only_grant_rests_on_endpoint_client_and_seed() -> None:
    digest = parse(REFRESH).grant_digest
    assert parse(REFRESH, user_agent="x", client_secret="other").grant_digest == digest
    assert parse(REFRESH, refresh_token="other").grant_digest != digest
    assert parse(REFRESH, site="otomoto.pl").grant_digest != digest


def test_any_other_grant_rests_on_all_of_its_credentials() -> None:
    assert parse(PASSWORD).grant_digest != parse(PASSWORD, user_agent="x").grant_digest


def test_refresh_tokens_are_used_by_default_but_not_for_client_credentials() -> None:
    uses = [parse(grant).use_refresh_token for grant in (PASSWORD, PARTNER, REFRESH, MACHINE)]
    assert uses == [True, True, True, False]
    assert isinstance(parse(REFRESH), RefreshTokenCredentials)


@given(
    st.dictionaries(
        st.sampled_from([*CLIENT, *PASSWORD, "scope", "user_agent", "verify_url", "other"]),
        st.sampled_from(["MARK", "MARK\n", 5, None, ["MARK"], {"MARK": "MARK"}]),
    )
)
def test_no_value_is_in_any_refusal(changed: dict[str, Any]) -> None:
    try:
        shown = repr(parse_credentials(json.dumps({**CLIENT, **PASSWORD, **changed})))
    except CredentialsError as error:
        shown = str(error)
    assert "MARK" not in shown
