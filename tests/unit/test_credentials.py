"""Credentials are validated by grant; a refusal names the field, never a value."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from token_refresher import PRODUCT_USER_AGENT
from token_refresher.credentials import (
    RESERVED_PARAMETERS,
    PartnerCredentials,
    RefreshTokenCredentials,
    parse_credentials,
    require_same_host,
)
from token_refresher.errors import CredentialsError

CLIENT: Final = {"client_id": "123", "client_secret": "secret-value", "provider": "autovit.ro"}
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
    assert credentials.client.auth_method == method
    assert credentials.endpoint_url == "https://www.autovit.ro/api/open/oauth/token"
    assert "secret-value" not in repr(credentials) + pretty_repr(credentials)


def test_an_error_carries_no_other_one_whose_text_has_a_value() -> None:
    with pytest.raises(CredentialsError) as caught:
        parse({**MACHINE, "token_endpoint_auth_method": "secret-value"})
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_the_authentication_can_be_chosen() -> None:
    chosen = parse(PARTNER, token_endpoint_auth_method="client_secret_basic")
    assert chosen.client.auth_method == "client_secret_basic"


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        pytest.param(parse(PASSWORD, user_agent="x"), "a@b.example", id="the e-mail where one is"),
        pytest.param(parse(PARTNER, user_agent="x"), "x", id="the configured text"),
        pytest.param(parse(PARTNER), PRODUCT_USER_AGENT, id="the product"),
        pytest.param(parse(PASSWORD, username="ż", user_agent="x"), "x", id="no header"),
        pytest.param(parse(PASSWORD, username="ż"), PRODUCT_USER_AGENT, id="no header, no text"),
        pytest.param(parse(PASSWORD, username="a\r\nX: 1", user_agent="x"), "x", id="two headers"),
        pytest.param(
            parse(PASSWORD, site=None, token_endpoint="https://a.example/t"),
            PRODUCT_USER_AGENT,
            id="another server is not sent the e-mail",
        ),
        pytest.param(
            parse(PASSWORD, site=None, token_endpoint="https://a.example/t", user_agent="x"),
            "x",
            id="but the configured text",
        ),
    ],
)
def test_user_agent_follows_the_sites_rule(credentials: PartnerCredentials, header: str) -> None:
    assert credentials.client.user_agent == header


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({**PASSWORD, "password": 5}, "`password`", id="a number for a string"),
        pytest.param({**PASSWORD, "password": ""}, "`password`", id="an empty string"),
        pytest.param({**PASSWORD, "password": None}, "`password`", id="a missing field"),
        pytest.param({"grant_type": "secret-value"}, "`grant_type`", id="an unknown grant"),
        pytest.param({**MACHINE, "provider": None}, "`token_endpoint`", id="neither site nor endpoint"),
        pytest.param({**MACHINE, "verify_url": "https://u:secret-value@a.example/"}, "`verify_url`",
                     id="credentials in a URL"),
        pytest.param({**MACHINE, "verify_url": "https://[secret-value/"}, "`verify_url`",
                     id="no URL"),
        pytest.param({**MACHINE, "scope": "secret-value  b"}, "`scope`", id="two spaces"),
        pytest.param({**MACHINE, "scope": "secret-value\n"}, "`scope`", id="a newline at the end"),
        pytest.param({**MACHINE, "user_agent": "secret-value\r\nX: y"}, "`user_agent`",
                     id="a header in a header"),
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


def test_a_refresh_only_grant_rests_on_client_and_initial_refresh_token() -> None:
    digest = parse(REFRESH).grant_digest
    assert parse(REFRESH, user_agent="x", client_secret="other").grant_digest == digest
    # A corrected address never sends a refresh token that is spent.
    assert parse(REFRESH, site="otomoto.pl", scope="other").grant_digest == digest
    assert parse(REFRESH, client_id="other").grant_digest != digest
    assert parse(REFRESH, refresh_token="other").grant_digest != digest


def test_a_journaled_refresh_token_is_sent_to_no_other_host_than_it_came_from() -> None:
    credentials = parse(REFRESH)
    require_same_host(credentials, "www.autovit.ro")
    with pytest.raises(CredentialsError, match="from another host") as refusal:
        require_same_host(credentials, "www.otomoto.pl")
    assert refusal.value.code == "another_host"


def test_any_other_grant_rests_on_all_of_its_credentials() -> None:
    assert parse(PASSWORD).grant_digest != parse(PASSWORD, user_agent="x").grant_digest


def test_refresh_tokens_are_used_by_default_but_not_for_client_credentials() -> None:
    uses = [parse(grant).use_refresh_token for grant in (PASSWORD, PARTNER, REFRESH, MACHINE)]
    assert uses == [True, True, True, False]
    assert isinstance(parse(REFRESH), RefreshTokenCredentials)


EVERYTHING: Final[dict[str, Any]] = {
    **CLIENT,
    **PASSWORD,
    "scope": "read write",
    "token_endpoint_auth_method": "client_secret_post",
    "user_agent": "made-up/1.0",
    "extra_parameters": {"audience": "made-up-audience"},
    "verify_url": "https://api.example.com/me",
    "use_refresh_token": True,
    "assumed_expires_in": 3600,
}
ELSEWHERE: Final = {**MACHINE, "provider": None}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        pytest.param("https://login.example.com/token", "login.example.com", id="a host"),
        pytest.param("https://Login.Example.COM/", "login.example.com", id="in any case"),
        pytest.param("https://login.example.com:443/", "login.example.com", id="https's own port"),
        pytest.param("https://localhost:8443/token", "localhost:8443", id="another port"),
        pytest.param("https://a.example./", "a.example.", id="another name is another"),
    ],
)
def test_a_host_is_named_as_the_setting_names_it(url: str, host: str) -> None:
    assert parse(ELSEWHERE, token_endpoint=url).client.host == host


@pytest.mark.parametrize("field", ["token_endpoint", "verify_url"])
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://a.example/token", id="plain http"),
        pytest.param("HTTP://a.example/token", id="plain http in capitals"),
        pytest.param("a.example/token", id="no scheme"),
        pytest.param("//a.example/token", id="a host alone"),
        pytest.param("x:", id="another scheme"),
        pytest.param("https:///token", id="no host"),
        pytest.param("https://user@a.example/", id="a user"),
        pytest.param("https://@a.example/", id="an empty user"),
        pytest.param("https://b.example\\@a.example/", id="two hosts, by a backslash"),
        pytest.param("https://a.example/#here", id="a fragment"),
        pytest.param("https://a.example:0/", id="port 0"),
        pytest.param("https://a.example:99999/", id="a port that cannot be"),
        pytest.param("https://a.example:https/", id="a port that is a word"),
        pytest.param("https://a.example/a b", id="a space"),
        pytest.param("https://a.example/\n", id="a newline at its end"),
        pytest.param("https://\u0105.example/", id="a host outside ASCII"),
    ],
)
def test_credentials_and_tokens_go_to_plain_https_addresses_only(field: str, url: str) -> None:
    fields = {"token_endpoint": "https://a.example/token", field: url}
    with pytest.raises(CredentialsError, match=f"`{field}` must be an https URL"):
        parse(ELSEWHERE, **fields)


@given(
    st.builds(
        "https://{}{}{}".format,
        st.sampled_from(["", "evil.example", "www.autovit.ro", "[::1]", "www.autovit.ro:443"]),
        st.text("\\/@?#:;%.[]w 1\t\n", max_size=6),
        st.sampled_from(["", "evil.example", "www.autovit.ro", "@www.autovit.ro", "/token"]),
    )
)
@settings(deadline=None, max_examples=300)
def test_an_accepted_address_has_one_host_whoever_reads_it(url: str) -> None:
    # Readers of addresses disagree on the backslash; none may find another host.
    try:
        host = parse(ELSEWHERE, token_endpoint=url).client.host
    except CredentialsError:
        return
    read_otherwise = urlsplit(url.replace("\\", "/")).netloc.removesuffix(":443")
    assert host != "www.autovit.ro" or read_otherwise.rstrip(":") == host


@pytest.mark.parametrize("name", sorted(RESERVED_PARAMETERS))
def test_no_extra_parameter_says_what_has_a_field_of_its_own(name: str) -> None:
    with pytest.raises(CredentialsError, match=f"must not hold `{name}`"):
        parse(MACHINE, extra_parameters={name: "x"})


@pytest.mark.parametrize(
    ("fields", "fix"),
    [
        pytest.param({"grant_type": "authorization_code"},
                     "`grant_type` must be password, partner, client_credentials or refresh_token",
                     id="a grant that needs a browser"),
        pytest.param({**MACHINE, "token_endpoint_auth_method": "private_key_jwt"},
                     "`token_endpoint_auth_method` must be client_secret_basic or "
                     "client_secret_post", id="a way to authenticate that is not supported"),
        pytest.param({**MACHINE, "client_id": 1.5},
                     "Expected `int | str`, got `float` - at `client_id`",
                     id="a client_id with a fraction"),
        pytest.param({**MACHINE, "username": "x"}, "remove or correct the unknown field `username`",
                     id="a field of another grant"),
        pytest.param({**MACHINE, "assumed_expires_in": 31_536_001},
                     "Expected `int` <= 31536000 - at `assumed_expires_in`",
                     id="an assumed lifetime above a year"),
        pytest.param({**MACHINE, "x matching y - at `$.zzz": ""},
                     "remove or correct a field whose name is not a plain word",
                     id="a field whose name reads like another refusal"),
        pytest.param({**MACHINE, "Invalid x - at `$.zzz": ""},
                     "remove or correct a field whose name is not a plain word",
                     id="a field whose name reads like an invalid value"),
    ],
)  # fmt: skip
def test_a_refusal_says_how_to_fix_it(fields: dict[str, Any], fix: str) -> None:
    with pytest.raises(CredentialsError) as refusal:
        parse(fields)
    assert str(refusal.value) == f"the credentials do not validate: {fix}"


marked = st.text(max_size=12).map(lambda text: f"MARK-{text}")
marked_value = st.one_of(
    marked,
    st.sampled_from(
        [
            "MARK- - at `$.site`",
            "MARK-` matching regex `x",
            "unknown field `MARK-`",
            "https://MARK-:MARK-@example.com/#",
            "MARK-\n - at `$.grant_type`",
        ]
    ),
    st.lists(marked, max_size=2),
    st.dictionaries(st.sampled_from(["type", "password", "MARK-"]), marked, max_size=2),
    st.integers(min_value=70_417_041_704_170_417, max_value=70_417_041_704_170_499),
)


@given(
    grant=st.sampled_from([PASSWORD, PARTNER, REFRESH, MACHINE, EVERYTHING]),
    changes=st.dictionaries(
        st.sampled_from([*EVERYTHING, "partner_code", "refresh_token", "expires_in", "a-b"]),
        marked_value,
        min_size=1,
    ),
    cut=st.integers(min_value=0, max_value=40),
)
@settings(deadline=None, max_examples=400)
def test_no_value_of_a_document_is_told_whether_or_not_it_validates(
    grant: dict[str, Any], changes: dict[str, Any], cut: int
) -> None:
    text = json.dumps({**CLIENT, **grant, **changes})
    try:
        credentials = parse_credentials(text[: len(text) - cut])
        shown = f"{credentials} {credentials!r}"
    except CredentialsError as error:
        shown = f"{error} {error!r}"
    assert "MARK-" not in shown
    assert "704170417041704" not in shown


@pytest.mark.parametrize("grant", [PASSWORD, PARTNER, REFRESH, MACHINE, EVERYTHING])
def test_no_value_of_a_valid_document_is_shown(grant: dict[str, Any]) -> None:
    credentials = parse(grant)
    shown = f"{credentials} {credentials!r}"
    assert not [value for value in {**CLIENT, **grant}.values() if str(value) in shown]


@pytest.mark.parametrize(
    ("grant", "changes"),
    [
        pytest.param(REFRESH, {"scope": "read"}, id="a refresh-only account's scope"),
        pytest.param(REFRESH, {"client_id": 123}, id="its client_id as a number"),
        pytest.param(PASSWORD, {"use_refresh_token": True}, id="a default, written out"),
        pytest.param(PASSWORD, {"extra_parameters": {}}, id="an empty default, written out"),
    ],
)
def test_an_edit_beside_the_grant_keeps_its_refresh_token(
    grant: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert parse(grant, **changes).grant_digest == parse(grant).grant_digest


def test_the_order_of_the_fields_is_no_edit() -> None:
    backwards = json.dumps(dict(reversed(list(EVERYTHING.items()))))
    assert parse_credentials(backwards).grant_digest == parse(EVERYTHING).grant_digest
