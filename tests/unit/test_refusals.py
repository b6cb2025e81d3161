"""What credentials must not say: each row closes something that could be gained by saying it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import pasted
from tests.unit.pasted import ANY, PEM, SERVER, parse, refusal
from token_refresher.credentials import Credentials, require_refresh_tokens, require_same_place
from token_refresher.errors import CredentialsError
from token_refresher.refusals import REFUSED_HEADERS, plain

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE: Final = {**SERVER, **pasted.MACHINE}
PASSWORD: Final = {**SERVER, **pasted.PASSWORD}
REFRESH: Final = {**SERVER, **pasted.REFRESH}
PUBLIC: Final = {
    **ANY,
    **pasted.REFRESH,
    "client_id": "invented-id",
    "token_endpoint_auth_method": "none",
}
LOGIN: Final = {**ANY, **pasted.LOGIN}
JWT_BEARER: Final = {**ANY, **pasted.JWT_BEARER}
EXCHANGE: Final = {**SERVER, **pasted.EXCHANGE}
# The entry has the refresh token where others have the access token.
FACEBOOK: Final = {
    "provider": "facebook",
    "provider_parameters": {"version": "v24.0"},
    "client_id": "invented-id",
    "client_secret": "invented-secret",
    "grant_type": "fb_exchange_token",
    "refresh_token": "invented-token",
}
# Addresses.


NO_PEM: Final = (
    "`ca_certificates` must be certificates in PEM, as text that begins with -----BEGIN "
    "CERTIFICATE-----: the authority's, or the server's own"
)


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
        pytest.param("https://u:invented@a.example/", id="a password"),
        pytest.param("https://b.example\\@a.example/", id="two hosts, by a backslash"),
        pytest.param("https://a.example/#here", id="a fragment"),
        pytest.param("https://a.example:0/", id="port 0"),
        pytest.param("https://a.example:99999/", id="a port that cannot be"),
        pytest.param("https://a.example:https/", id="a port that is a word"),
        pytest.param("https://a.example/a b", id="a space"),
        pytest.param("https://a.example/\nx", id="a line break"),
        pytest.param("https://a.example/{tenant}/token", id="a placeholder"),
        pytest.param("https://<tenant>.example/token", id="another"),
        pytest.param("https://[invented/", id="no URL"),
        pytest.param("https://\u0105.example/", id="a host outside ASCII"),
    ],
)
def test_credentials_and_tokens_go_to_plain_https_addresses_only(field: str, url: str) -> None:
    said = f"`{field}` must be an https URL without user, password, fragment or placeholder"
    assert refusal(MACHINE, **{field: url}) == said


@given(
    st.builds(
        "https://{}{}{}".format,
        st.sampled_from(["", "evil.example", "www.autovit.ro", "[::1]", "www.autovit.ro:443"]),
        st.text("\\/@?#:;%.[]w 1\t\n", max_size=6),
        st.sampled_from(["", "evil.example", "www.autovit.ro", "@www.autovit.ro", "/token"]),
    )
)
@settings(max_examples=300)
def test_an_accepted_address_has_one_host_whoever_reads_it(url: str) -> None:
    # Readers of addresses disagree on the backslash; none may find another host.
    try:
        host = parse(MACHINE, token_endpoint=url).client.host
    except CredentialsError:
        return
    read_otherwise = urlsplit(url.replace("\\", "/")).netloc.removesuffix(":443")
    assert host != "www.autovit.ro" or read_otherwise.rstrip(":") == host


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"token_endpoint": None}, "give exactly one of `provider` and "
                     "`token_endpoint`", id="no address"),
        pytest.param({"provider": "autovit.ro"}, "give exactly one of `provider` and "
                     "`token_endpoint`", id="two addresses"),
        pytest.param({"provider_parameters": {"domain": "invented"}},
                     "`provider_parameters` need `provider`", id="parameters of no provider"),
        pytest.param({"token_endpoint": None, "provider": "9999"}, "`provider` names none that "
                     "is known: see `token-refresher providers`", id="a provider of nobody"),
        pytest.param({"token_endpoint": None, "provider": "Autovit"}, "`provider` names none that "
                     "is known; did you mean autovit.ro", id="a provider that is misspelt"),
        pytest.param({"token_endpoint": None, "provider": "salesforce"},
                     "`provider_parameters.domain` must be one of login, test, or two to four "
                     "labels, such as acme.my: ", id="a parameter that is missing"),
        pytest.param({"token_endpoint": None, "provider": "salesforce",
                      "provider_parameters": {"domain": "invented.example/"}},
                     "`provider_parameters.domain` must be one of login, test, or two to four "
                     "labels, such as acme.my: ", id="a parameter that leaves its place"),
        pytest.param({"token_endpoint": None, "provider": "autovit.ro",
                      "provider_parameters": {"domain": "x"}},
                     "`provider_parameters` has `domain`, but Autovit.ro (OLX motors) takes: none",
                     id="a parameter that nobody asked for"),
        pytest.param({"token_endpoint": None, "provider": "salesforce",
                      "provider_parameters": {"domain": "x", "invented `": "x"}},
                     "`provider_parameters` has `…`, but Salesforce takes: domain",
                     id="one whose name is no word"),
    ],
)  # fmt: skip
def test_an_address_follows_from_one_thing(changed: dict[str, Any], said: str) -> None:
    assert refusal(MACHINE, **changed).startswith(said)


# The client.


@pytest.mark.parametrize(
    ("fields", "changed", "said"),
    [
        pytest.param(MACHINE, {"client_id": None}, "`client_id` is missing", id="no id"),
        pytest.param(PUBLIC, {"client_id": None, "token_endpoint_auth_method": None},
                     "`client_id` is missing", id="no client at all, unless somebody says so"),
        pytest.param(LOGIN, {"client_secret": "s"}, "`client_id` is missing",
                     id="a login with a secret of nobody"),
        pytest.param(MACHINE, {"client_secret": None,
                               "token_endpoint_auth_method": "client_secret_basic"},
                     "`client_secret` is missing; for a public client set "
                     "`token_endpoint_auth_method` to `none`, for one that signs to "
                     "`private_key_jwt`", id="a method without its secret"),
        pytest.param(MACHINE, {"token_endpoint_auth_method": "none"}, "`client_secret` is not sent "
                     "with the token_endpoint_auth_method `none`: remove one of them",
                     id="a secret that nobody is told"),
    ],
)  # fmt: skip
def test_a_client_has_what_its_method_sends(
    fields: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    assert refusal(fields, **changed) == said


@pytest.mark.parametrize(
    ("fields", "changed", "method"),
    [
        pytest.param(PUBLIC, {}, "none", id="a public one"),
        pytest.param(PUBLIC, {"token_endpoint_auth_method": None}, "none", id="by having none"),
        pytest.param(PUBLIC, {"client_id": None}, "none", id="one that the server does not know"),
        pytest.param(MACHINE, {"client_secret": ""}, "client_secret_basic", id="an empty secret"),
        pytest.param(LOGIN, {}, "none", id="a login's, which is none"),
        pytest.param(JWT_BEARER, {}, "none", id="an assertion's, which is none"),
        pytest.param(JWT_BEARER, {"client_id": "c", "client_secret": "s"}, "client_secret_basic",
                     id="an assertion's, which is one"),
    ],
)  # fmt: skip
def test_a_client_without_a_secret_is_a_public_one(
    fields: dict[str, Any], changed: dict[str, Any], method: str
) -> None:
    assert parse(fields, **changed).client.auth_method == method


# Parameters.


@pytest.mark.parametrize("field", ["extra_parameters", "grant_parameters"])
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        *((MACHINE, name) for name in ("grant_type", "client_id", "client_secret",
                                       "client_assertion", "client_assertion_type")),
        (PASSWORD, "username"),
        (PASSWORD, "password"),
        ({**SERVER, "grant_type": "partner", "partner_code": "c", "partner_secret": "s"},
         "partner_secret"),
        ({**MACHINE, "scope": "read"}, "scope"),
        (JWT_BEARER, "assertion"),
        (REFRESH, "refresh_token"),
        ({**LOGIN, "client_id": "c"}, "client_id"),
        (LOGIN, "grant_type"),
    ],
    ids=lambda of: of if isinstance(of, str) else of.get("grant_type", "login")[-12:],
)  # fmt: skip
def test_no_parameter_says_what_has_a_field_of_its_own(
    fields: dict[str, Any], name: str, field: str
) -> None:
    said = f"`{field}` must not hold `{name}`: it has a field of its own"
    assert refusal(fields, **{field: {name: "x"}}) == said


def test_no_other_grant_than_its_own_sends_a_refresh_token() -> None:
    said = refusal(MACHINE, extra_parameters={"refresh_token": "x"})
    assert said == "`extra_parameters` must not hold `refresh_token`: it has a field of its own"
    parse(MACHINE, grant_parameters={"refresh_token": "x"})


def test_a_login_without_a_client_names_its_own() -> None:
    login = {"client_id": "c", "client_secret": "s", "scope": "all"}
    assert parse(LOGIN, grant_parameters=login).grant.parameters == login


@pytest.mark.parametrize(
    "value", [{"a": 1}, None, [1], [["x"]]], ids=["object", "null", "numbers", "lists"]
)
def test_what_no_form_can_hold_is_sent_in_json_only(value: object) -> None:
    fields = {"grant_parameters": {"realm": value, "invented `": value}}
    said = refusal(LOGIN, **fields)
    assert said.startswith("`grant_parameters.realm` must be text, a number, true or false, or a ")
    fields["grant_parameters"].pop("realm")
    assert refusal(LOGIN, **fields).startswith("`grant_parameters.…` must be text")
    assert refusal(LOGIN, dialect={"request_format": "query"}, **fields).startswith("`grant_param")
    parse(LOGIN, dialect={"request_format": "json"}, **fields)


# Headers.


@pytest.mark.parametrize(
    "spell",
    [str, str.upper, str.title, lambda name: name.replace("-", "_")],
    ids=["lower", "upper", "title", "underscores"],
)
def test_no_header_frames_a_message_or_has_a_field_of_its_own(spell: Callable[[str], str]) -> None:
    for name in (
        *REFUSED_HEADERS,
        *("authorization", "proxy-authorization", "proxy-connection", "proxy-x"),
    ):
        said = f"`request_headers` must not hold `{name}`: the program sees to that itself"
        if name == "authorization":
            said += ", unless `token_endpoint_auth_method` is `none`"
        assert refusal(MACHINE, request_headers={spell(name): "5"}) == said


def test_all_that_frames_or_routes_a_message_is_refused() -> None:
    assert {
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect", "range", "cookie"),
        *("via", "forwarded", "accept-encoding", "user-agent"),
    } == REFUSED_HEADERS  # fmt: skip


def test_a_header_authenticates_only_where_nothing_else_does() -> None:
    headers = {"Authorization": "Bearer {assertion}"}
    credentials = parse(LOGIN, request_headers=headers, assertion="invented")
    assert credentials.client.request_headers == headers


@pytest.mark.parametrize(
    "name", ["", "X Y", "X:", "X\r\nY", "X\u0105", "(X)", "X/Y", "invented secret"], ids=repr
)
def test_a_header_has_a_name_of_http(name: str) -> None:
    said = refusal(MACHINE, request_headers={name: "x"})
    assert said == "`request_headers` has a name that no header may have"


@pytest.mark.parametrize(
    "value",
    ["a\r\nX: y", "a\nb", "a\x00b", "\u0105", "a\x7fb", "x" * 4097],
    ids=lambda of: repr(of[:9]),
)
def test_a_header_holds_printable_ascii_of_4_kib(value: str) -> None:
    said = refusal(MACHINE, request_headers={"X-Tenant": value})
    assert said == "`request_headers.X-Tenant` must be printable ASCII of at most 4 KiB"
    parse(MACHINE, request_headers={"X-Tenant": "x" * 4096})


def test_two_headers_do_not_differ_by_case_alone() -> None:
    said = refusal(MACHINE, request_headers={"X-Tenant": "a", "x-tenant": "b"})
    assert said == "`request_headers` has two names that differ by case alone"


def test_sixteen_headers_are_enough() -> None:
    headers = {f"X-{number}": "x" for number in range(16)}
    parse(MACHINE, request_headers=headers)
    said = refusal(MACHINE, request_headers={**headers, "X-16": "x"})
    assert said == "`request_headers` must not hold more than 16"


# Templates.

MISPLACED: Final = (
    "`{}` is used by its grant_type, or where `{{{}}}` stands in `grant_parameters` or "
    "`request_headers`: remove it, or say where"
)


@pytest.mark.parametrize("name", ["assertion", "refresh_token"])
def test_what_no_template_holds_is_not_given(name: str) -> None:
    assert refusal(MACHINE, **{name: "invented"}) == MISPLACED.format(name, name)
    elsewhere = {name: "invented", "extra_parameters": {"a": f"{{{name}}}"}}
    assert refusal(MACHINE, **elsewhere) == MISPLACED.format(name, name)


@pytest.mark.parametrize("name", ["assertion", "refresh_token"])
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(lambda text: {"grant_parameters": {"a": text}}, id="in a parameter"),
        pytest.param(lambda text: {"grant_parameters": {"a": {"b": [f"x {text}"]}},
                                   "dialect": {"request_format": "json"}}, id="deep in one"),
        pytest.param(lambda text: {"request_headers": {"X-Key": f"Key {text}"}}, id="in a header"),
    ],
)  # fmt: skip
def test_what_a_template_holds_is_given(where: Callable[[str], dict[str, Any]], name: str) -> None:
    said = refusal(MACHINE, **where(f"{{{name}}}"))
    assert said == f"`{name}` is missing: `{{{name}}}` stands for it"
    parse(MACHINE, **where(f"{{{name}}}"), **{name: "invented"})


@pytest.mark.parametrize(
    "changed",
    [
        {"grant_parameters": {"a": "{refreshToken}"}},
        {"grant_parameters": {"a": ["x", "{password}"]}},
        {"grant_parameters": {"a": "{{assertion}}"}, "assertion": "invented"},
        {"grant_parameters": {"a": "{Assertion}", "b": "{assertion}"}, "assertion": "invented"},
        {"request_headers": {"X-Key": "Key ${assertion}"}, "assertion": "invented"},
        {"request_headers": {"X-Key": "{client_secret}"}},
        {"extra_parameters": {"a": "{refresh_token}"}},
    ],
    ids=repr,
)
def test_a_name_in_braces_that_stands_for_nothing_is_told(changed: dict[str, Any]) -> None:
    said = refusal(MACHINE, **changed)
    assert said.startswith("remove a name in braces that stands for nothing: `{assertion}` and ")
    assert "invented" not in said


def test_other_braces_are_the_servers() -> None:
    texts = {"query": "{viewer{login}}", "a": "{}", "b": "{other}", "c": "pass{word"}
    assert parse(MACHINE, grant_parameters=texts).grant_parameters == texts


@pytest.mark.parametrize("field", ["extra_parameters", "grant_parameters", "assertion"])
def test_thousands_of_braces_do_not_hold_up_the_other_accounts(field: str) -> None:
    """They once took a minute, in which the interpreter runs no other thread."""
    text = {"a": "{" * 60_000}
    proof = {"token_endpoint_auth_method": "private_key_jwt", "client_secret": None}
    began = time.process_time()
    if field == "assertion":
        parse(MACHINE, assertion={"claims": text}, **proof)
    else:
        parse(MACHINE, **{field: text})
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["assertion", "refresh_token"])
def test_a_template_does_not_multiply_what_is_sent(name: str) -> None:
    """Of 64 KiB, four thousand times, it would take the memory of all accounts."""
    values = {name: "invented"}
    parse(LOGIN, grant_parameters={"a": f"{{{name}}}" * 15, "b": [f"{{{name}}}"]}, **values)
    said = refusal(LOGIN, grant_parameters={"a": f"{{{name}}}" * 16, "b": f"{{{name}}}"}, **values)
    assert said == f"`{{{name}}}` must not stand for `{name}` more than 16 times"


@pytest.mark.parametrize("name", ["assertion", "refresh_token"])
@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "\u0105"], ids=repr)
def test_what_a_header_holds_is_printable_ascii(name: str, value: str) -> None:
    header = {"request_headers": {"X-Key": f"{{{name}}}"}}
    said = refusal(MACHINE, **header, **{name: value})
    assert said == f"`{name}` must be printable ASCII: a header holds it"


def test_who_has_nothing_but_a_refresh_token_uses_it() -> None:
    for fields in (REFRESH, EXCHANGE):
        said = refusal(fields, use_refresh_token=False)
        assert said == "`use_refresh_token` must be true where `refresh_token` is given"
        with pytest.raises(CredentialsError, match="the setting REFRESH_TOKENS=use") as caught:
            require_refresh_tokens(parse(fields), uses_refresh_tokens=False)
        assert caught.value.code == "refresh_tokens_ignored"
        require_refresh_tokens(parse(fields), uses_refresh_tokens=True)
    require_refresh_tokens(parse(MACHINE), uses_refresh_tokens=False)


# Signing.

SIGNED: Final = {
    **ANY,
    "grant_type": "client_credentials",
    "client_id": "invented-id",
    "token_endpoint_auth_method": "private_key_jwt",
}
BY_SECRET: Final = {
    **MACHINE,
    "token_endpoint_auth_method": "client_secret_jwt",
}
ISSUED: Final = {**SIGNED, "assertion": {"signer": "sts", "audience": "api://invented"}}
OF_A_SECRET: Final = (
    "`assertion` with client_secret_jwt says `audience`, `kid`, `claims` or `expires_in` alone: "
    "the client_secret signs it, by HS256"
)


OF_THE_STACK: Final = (
    "`assertion.audience` of the signer `sts` must be one that WebIdentityAudiences may name: of "
    "A-Z a-z 0-9 and : / . _ ~ @ % + = & ? # -"
)
NOT_BY_ANOTHER: Final = "an account signs with the key of its own name alone"


@pytest.mark.parametrize(
    "name", ["key", "key_id", "kms_key_id", "key_arn", "KeyId", "kmsKey", "key-alias", "alias"]
)
def test_no_field_names_the_key_that_signs(name: str) -> None:
    """Else whoever may write one account's credentials signs as another."""
    said = refusal(SIGNED, assertion={name: "alias/oauth/another"})
    assert said == f"remove `assertion.{name}`: {NOT_BY_ANOTHER}"


@pytest.mark.parametrize("name", ["kms_key_id", "kmsKeyArn", "kms"])
def test_no_field_beside_the_assertion_does_either(name: str) -> None:
    said = refusal(SIGNED, **{name: "alias/oauth/another"})
    assert said == f"remove `{name}`: {NOT_BY_ANOTHER}"


@pytest.mark.parametrize("field", ["audience", "kid"])
@pytest.mark.parametrize("text", ["a\r\nb", "a\x1b[2Jb", "a\u202eb"], ids=repr)
def test_what_a_terminal_shows_of_an_assertion_does_not_command_it(field: str, text: str) -> None:
    said = refusal(SIGNED, assertion={field: text})
    assert said == (f"`assertion.{field}` has a line break or an invisible character: remove it")


def test_all_that_is_wrong_with_an_assertion_is_told_at_once() -> None:
    wrong = {"signer": "invented", "alg": "none", "kid": "a" * 1025, "claims": [], "key_id": "a"}
    assert refusal(SIGNED, assertion={**wrong, "expires_in": 301}) == (
        "(1) `assertion.signer` must be kms or sts; (2) `assertion.alg` must be RS256, PS256 "
        "or ES256; of the signer sts RS256 or ES384; (3) `assertion.kid` must be text of at "
        "most 1024 characters; (4) `assertion.claims` must be an object; (5) remove "
        f"`assertion.key_id`: {NOT_BY_ANOTHER}; (6) `assertion.expires_in` must be a whole "
        "number of seconds from 10 to 300"
    )


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "jti"])
def test_what_is_new_in_each_assertion_is_said_by_nobody(name: str) -> None:
    said = refusal(SIGNED, assertion={"claims": {name: 4102444800}})
    assert said == f"`assertion.claims` must not hold `{name}`: it is new in each assertion"


@pytest.mark.parametrize("value", ["", [], [1], [""], ["a", None], 1, True, {"a": "b"}], ids=repr)
def test_whom_an_assertion_is_for_is_a_text_or_some(value: object) -> None:
    said = refusal(SIGNED, assertion={"claims": {"aud": value}})
    assert said == (
        "`assertion.claims.aud` must be text, and not empty; or a list of such, with one at least"
    )


@pytest.mark.parametrize("name", ["iss", "sub"])
@pytest.mark.parametrize("value", ["", ["a"], 1, True, {"a": "b"}], ids=repr)
def test_who_an_assertion_is_of_is_a_text(name: str, value: object) -> None:
    said = refusal(SIGNED, assertion={"claims": {name: value}})
    assert said == f"`assertion.claims.{name}` must be text, and not empty"


@pytest.mark.parametrize("value", [" ", "a ", ["a", " "]], ids=repr)
def test_whom_an_assertion_is_for_has_no_blank_around_it(value: object) -> None:
    said = refusal(SIGNED, assertion={"claims": {"aud": value}})
    assert said.startswith("`assertion.claims.aud` begins or ends with a blank")


@pytest.mark.parametrize("value", ["a", ["a"], ["a", "https://b.example"], None], ids=repr)
def test_an_assertion_is_for_one_for_several_or_says_nothing_of_it(value: object) -> None:
    signed = parse(SIGNED, assertion={"claims": {"aud": value}}).signed_assertion
    assert signed is not None
    assert signed.claims == {"aud": value}


@pytest.mark.parametrize("seconds", [9, 301, 3600])
def test_an_assertion_is_valid_for_five_minutes_at_most(seconds: int) -> None:
    said = refusal(SIGNED, assertion={"expires_in": seconds})
    assert said == "`assertion.expires_in` must be a whole number of seconds from 10 to 300"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS512"])
def test_an_algorithm_that_no_key_has_is_refused(alg: str) -> None:
    said = refusal(SIGNED, assertion={"alg": alg})
    assert said == (
        "`assertion.alg` must be RS256, PS256 or ES256; of the signer sts RS256 or ES384"
    )


@pytest.mark.parametrize(
    ("fields", "changed", "said"),
    [
        pytest.param(SIGNED, {"alg": "ES384"},
                     "`assertion.alg` of the signer `kms` must be RS256, PS256 or ES256",
                     id="AWS's, of a key"),
        pytest.param(ISSUED, {"signer": "sts", "audience": "a", "alg": "PS256"},
                     "`assertion.alg` of the signer `sts` must be RS256 or ES384",
                     id="a key's, of AWS"),
        pytest.param(ISSUED, {"signer": "sts"},
                     "`assertion` of the signer `sts` has `audience`, and no `expires_in`: AWS "
                     "decides", id="for nobody in particular"),
        pytest.param(ISSUED, {"signer": "sts", "audience": "a", "expires_in": 60},
                     "`assertion` of the signer `sts` has `audience`, and no `expires_in`: AWS "
                     "decides", id="how long AWS's is valid"),
        *(
            pytest.param(ISSUED, {"signer": "sts", "audience": "a", **part},
                         "`assertion` of the signer `sts` has no key and no claims: AWS says them",
                         id=f"what AWS says: {name}")
            for part in ({"kid": "k"}, {"x5t": "a" * 27}, {"x5t#S256": "a" * 43},
                         {"claims": {"sub": "another"}})
            for name in part
        ),
        pytest.param(SIGNED, {"audience": "a", "claims": {"aud": "b"}},
                     "give one of `assertion.audience` and `assertion.claims.aud`",
                     id="two audiences"),
        pytest.param(BY_SECRET, {"signer": "kms"}, OF_A_SECRET, id="a secret's, by a key"),
        pytest.param(BY_SECRET, {"alg": "RS256"}, OF_A_SECRET, id="a secret's, as by a key"),
        *(
            pytest.param(SIGNED, {"signer": "sts", "audience": text}, OF_THE_STACK, id=text)
            for text in ("api://a,api://b", "*", "${aws:PrincipalTag/a}", "api://a b")
        ),
        pytest.param(BY_SECRET, {"x5t": "a" * 27}, OF_A_SECRET, id="a secret's, by a certificate"),
        pytest.param({**BY_SECRET, "client_secret": ""}, {},
                     "`client_secret` must not be empty: client_secret_jwt signs with it",
                     id="an empty secret's"),
        pytest.param({**SIGNED, "client_secret": "invented-secret"}, {},
                     "`client_secret` is not sent with the token_endpoint_auth_method "
                     "`private_key_jwt`: remove one of them", id="a secret beside a signature"),
        pytest.param({**JWT_BEARER, "client_id": None}, {},
                     "`client_id` is missing, or `assertion.claims.iss`: who signs",
                     id="nobody's"),
        pytest.param({**JWT_BEARER, "client_id": None}, {"claims": {"iss": None}},
                     "`client_id` is missing, or `assertion.claims.iss`: who signs",
                     id="nobody's, in a word"),
        pytest.param(SIGNED, {"claims": {"sub": "{refresh_token}"}},
                     "remove a name in braces that stands for nothing: `{assertion}` and "
                     "`{refresh_token}` alone do, in `grant_parameters` and `request_headers`",
                     id="a refresh token for the server to read"),
    ],
)  # fmt: skip
def test_an_assertion_says_what_its_signer_signs(
    fields: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    assert refusal(fields, assertion=changed) == said


def test_a_ready_made_assertion_is_not_signed_by_a_client_secret() -> None:
    assert refusal(BY_SECRET, assertion="invented.ready-made.one") == OF_A_SECRET


def test_a_grant_that_is_an_assertion_has_one() -> None:
    assert refusal(JWT_BEARER, assertion=None) == (
        '`assertion` is missing: a ready-made one, or an object such as {"signer": "kms"} for '
        "what is signed for each request"
    )


# Mutual TLS.

KEY: Final = "-----BEGIN PRIVATE KEY-----\naW52ZW50ZWQ=\n-----END PRIVATE KEY-----"
NO_CERTIFICATE: Final = (
    "`certificate` must be the client's certificate in PEM, as text that begins with "
    "-----BEGIN CERTIFICATE-----, and no key"
)
NO_KEY: Final = (
    "`private_key` must be the certificate's key in PEM, as text that begins with "
    "-----BEGIN PRIVATE KEY-----, and not encrypted"
)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"certificate": PEM},
                     "`private_key` is missing: `certificate` and `private_key` belong together",
                     id="without its key"),
        pytest.param({"private_key": KEY},
                     "`certificate` is missing: `certificate` and `private_key` belong together",
                     id="a key alone"),
        pytest.param({"token_endpoint_auth_method": "tls_client_auth", "client_secret": None},
                     "`certificate` and `private_key` are missing: tls_client_auth shows them",
                     id="none, where it is all there is"),
        pytest.param({"certificate": f"{PEM}\n{KEY}", "private_key": KEY}, NO_CERTIFICATE,
                     id="with a key behind it"),
        pytest.param({"certificate": "invented", "private_key": KEY}, NO_CERTIFICATE,
                     id="that is none"),
        pytest.param({"certificate": PEM, "private_key": "invented"}, NO_KEY,
                     id="whose key is none"),
        pytest.param({"certificate": PEM,
                      "private_key": KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")}, NO_KEY,
                     id="whose key nobody can open"),
    ],
)  # fmt: skip
def test_a_client_s_certificate_is_a_pair(changed: dict[str, Any], said: str) -> None:
    assert refusal(MACHINE, **changed) == said


# Certificates.


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"provider": "autovit.ro", "token_endpoint": None, "ca_certificates": PEM},
                     "`ca_certificates` need `token_endpoint` instead of `provider`, whose servers "
                     "have certificates of public authorities",
                     id="of a provider"),
        pytest.param({"ca_certificates": f"{PEM}\n-----BEGIN RSA PRIVATE KEY-----\ninvented"},
                     "`ca_certificates` must not hold a private key", id="with a key"),
        pytest.param({"ca_certificates": "invented"},
                     NO_PEM, id="that are none"),
        pytest.param({"ca_certificates": "-----BEGIN PUBLIC KEY-----"},
                     NO_PEM, id="that are something else"),
    ],
)  # fmt: skip
def test_certificates_stand_for_one_servers_authorities(changed: dict[str, Any], said: str) -> None:
    assert refusal(MACHINE, **changed) == said


# What is published.

NOT_THERE: Final = "must not be where the refresh token is"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *(
            pytest.param({"dialect": dialect}, f"`dialect.{field}` {NOT_THERE}", id=why)
            for field, dialect, why in (
                ("access_token", {"access_token": "refresh_token"}, "the token's usual name"),
                ("access_token", {"access_token": "a.refreshToken"}, "another spelling"),
                ("access_token", {"access_token": "a", "refresh_token": "a.b"}, "above it"),
                ("access_token", {"access_token": "a.b.c", "refresh_token": "a.b"}, "below it"),
                ("scope", {"scope": "rt", "refresh_token": "rt"}, "the scope's path"),
                ("scope", {"scope": "refresh_token"}, "the scope, by the usual name"),
                ("scope", {"scope": "access_token", "refresh_token": "access_token"},
                 "the scope of a token that is renewed by itself"),
            )
        ),
        *(
            pytest.param({"dialect": {"refresh_token": "a.rt"}, "publish": {"fields": [path]}},
                         "`publish.fields` must not publish what is where the refresh token is",
                         id=f"published: {path}")
            for path in ("a.rt", "a", "a.rt.b")
        ),
        pytest.param({"dialect": {"refresh_token": "rt"},
                      "publish": {"as": "{access_token} {response.rt}"}},
                     "`publish.as` must not publish what is where the refresh token is",
                     id="in a template"),
        pytest.param({"publish": {"fields": ["refreshToken"]}}, "`publish.fields[0]` must not "
                     "publish a refresh token, client secret or password", id="by its name"),
        pytest.param({"publish": {"as": {"t": "{access_token}", "s": "{response.client_secret}"}}},
                     "`publish.as.s` must not publish a refresh token, client secret or password",
                     id="a client secret by its name"),
        pytest.param({"publish": {"as": "{access_token} {client_secret}"}},
                     "`publish.as` has a variable that is none of ", id="no such variable"),
    ],
)  # fmt: skip
def test_nothing_is_published_from_where_a_secret_is(changed: dict[str, Any], said: str) -> None:
    assert refusal(PASSWORD, **changed).startswith(said)


def test_a_token_that_is_renewed_by_itself_is_published() -> None:
    assert parse(EXCHANGE).client.dialect.renews_by_access_token
    assert parse(FACEBOOK).client.dialect.renews_by_access_token


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"dialect": {"access_token": "a", "refresh_token": "b",
                                  "scope": "access_token"}}, f"`dialect.scope` {NOT_THERE}",
                     id="the scope"),
        pytest.param({"dialect": {"access_token": "a", "refresh_token": "b"},
                      "publish": {"fields": ["access_token.b"]}}, "`publish.fields` must not "
                     "publish what is where the refresh token is", id="what is published"),
    ],
)  # fmt: skip
def test_nothing_is_published_from_where_the_entry_has_the_refresh_token(
    changed: dict[str, Any], said: str
) -> None:
    assert refusal(FACEBOOK, **changed) == said


# Where a refresh token goes.


def at(credentials: Credentials) -> dict[str, str]:
    """What the journal of a response to these credentials says of where it came from."""
    return {
        "host": credentials.client.host,
        "place": credentials.place,
        "trust": credentials.trust,
    }


SALESFORCE: Final = {
    **{name: value for name, value in REFRESH.items() if name != "token_endpoint"},
    "provider": "salesforce",
    "provider_parameters": {"domain": "acme.my"},
}
HEADER: Final = {"request_headers": {"X-Key": "{refresh_token}"}}
DIALECT: Final = {"dialect": {"refresh_token": "rt"}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(REFRESH, {}, id="the same"),
        pytest.param(REFRESH, {"token_endpoint": "https://login.example.com/other"}, id="a path"),
        pytest.param(REFRESH, {"scope": "read", "user_agent": "x", "client_secret": "other"},
                     id="a scope, a User-Agent, a secret"),
        pytest.param(REFRESH, {"request_headers": {"X-Tenant": "x"}}, id="a header without it"),
        pytest.param(REFRESH, {"dialect": {"request_format": "json"}}, id="a form"),
        pytest.param(REFRESH, {"dialect": {"access_token": "data.token"}}, id="the token's path"),
        pytest.param(REFRESH, {"publish": {"fields": ["instance_url"]}}, id="what is published"),
        pytest.param({**REFRESH, "ca_certificates": PEM}, {}, id="the same authorities"),
        pytest.param(SALESFORCE, {}, id="the same provider"),
        pytest.param(SALESFORCE, {"provider": None, "provider_parameters": None,
                                  "token_endpoint": "https://acme.my.salesforce.com/token"},
                     id="the provider's host by its address"),
    ],
)  # fmt: skip
def test_a_journaled_refresh_token_is_sent_after_such_a_change(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    require_same_place(parse(before, **after), **at(parse(before)))


def test_an_address_that_follows_from_the_same_provider_may_have_moved() -> None:
    journal = {**at(parse(SALESFORCE)), "host": "eu1.salesforce.com"}
    require_same_place(parse(SALESFORCE), **journal)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param(REFRESH, {"token_endpoint": "https://evil.example/"}, "another host",
                     id="another host"),
        pytest.param(REFRESH, {"token_endpoint": "https://login.example.com:8443/"},
                     "another host", id="another port"),
        pytest.param(SALESFORCE, {"provider_parameters": {"domain": "evil.my"}}, "another host",
                     id="another tenant"),
        pytest.param(SALESFORCE, {"provider": "autovit.ro", "provider_parameters": None},
                     "another host", id="another provider"),
        pytest.param(SALESFORCE, {"provider": None, "provider_parameters": None,
                                  "token_endpoint": "https://evil.example/"},
                     "another host", id="an address instead of a provider"),
        pytest.param(REFRESH, {"ca_certificates": PEM}, "ca_certificates", id="other authorities"),
        pytest.param({**REFRESH, "ca_certificates": PEM}, {"ca_certificates": f"{PEM}\n{PEM}"},
                     "ca_certificates", id="one more authority"),
        pytest.param({**REFRESH, "ca_certificates": PEM}, {"ca_certificates": None},
                     "ca_certificates", id="the public authorities"),
        pytest.param(REFRESH, HEADER, "request_headers", id="a header that holds it"),
        pytest.param({**REFRESH, **HEADER}, {"request_headers": {"X-Other": "{refresh_token}"}},
                     "request_headers", id="another header that holds it"),
        pytest.param(REFRESH, DIALECT, "dialect.refresh_token", id="another path of it"),
        pytest.param({**REFRESH, **DIALECT}, {"dialect": {"access_token": "rt"}},
                     "dialect.refresh_token", id="its path for the token's"),
        pytest.param({**REFRESH, **DIALECT},
                     {"dialect": {"access_token": "rt", "refresh_token": "x"}},
                     "dialect.refresh_token", id="its path for the token's, and another for it"),
        pytest.param(FACEBOOK, {"provider": None, "provider_parameters": None,
                                "grant_type": "refresh_token",
                                "token_endpoint": "https://graph.facebook.com/oauth/access_token"},
                     "dialect.refresh_token", id="the usual path, where the entry knew better"),
    ],
)  # fmt: skip
def test_a_journaled_refresh_token_is_shown_to_nobody_but_who_gave_it(
    before: dict[str, Any], after: dict[str, Any], why: str
) -> None:
    with pytest.raises(CredentialsError, match=why) as caught:
        require_same_place(parse(before, **after), **at(parse(before)))
    assert caught.value.code == "another_host"
    assert "invented" not in str(caught.value)


# Where nobody is spoken with who shows no certificate.


def test_a_provider_that_wants_a_certificate_is_not_asked_without_one() -> None:
    adp = {"provider": "adp", **pasted.CLIENT, **pasted.MACHINE}
    missing = "`certificate` and `private_key` are missing: ADP speaks with nobody who has none"
    assert refusal(adp) == missing
    key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"
    parse(adp, certificate=PEM, private_key=key)


# Names in messages.


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("audience", "audience"),
        ("X-Tenant", "X-Tenant"),
        ("urn:x", "…"),
        ("a.b", "…"),
        ("a" * 40, "a" * 40),
        ("a" * 41, "…"),
        ("", "…"),
        ("1a", "…"),
        ("a b", "…"),
        ("a\n", "…"),
        ("a`", "…"),
        ("\u0105", "…"),
    ],
    ids=repr,
)
def test_a_name_is_shown_where_it_is_a_word(name: str, shown: str) -> None:
    assert plain(name) == shown
