"""Credentials as people paste them; an error names the field and the fix, never a value."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit import pasted
from tests.unit.pasted import ANY, SERVER, parse, refusal
from token_refresher.credentials import (
    AssertionCredentials,
    ClientCredentials,
    Credentials,
    ExtensionCredentials,
    LoginCredentials,
    PartnerCredentials,
    PasswordCredentials,
    RefreshTokenCredentials,
)
from token_refresher.errors import CredentialsError
from token_refresher.oauth.token_request import token_request
from token_refresher.parsing import parse_credentials, problems_of, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Callable

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SAML_BEARER: Final = "urn:ietf:params:oauth:grant-type:saml2-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"

MACHINE: Final = {**SERVER, **pasted.MACHINE}
PASSWORD: Final = {**SERVER, **pasted.PASSWORD}
PARTNER: Final = {**SERVER, **pasted.PARTNER}
REFRESH: Final = {**SERVER, **pasted.REFRESH}
ASSERTION: Final = {**SERVER, **pasted.JWT_BEARER}
EXTENSION: Final = {
    **SERVER,
    "grant_type": TOKEN_EXCHANGE,
    "grant_parameters": {"subject_token": "invented-subject"},
}
LOGIN: Final = {**ANY, **pasted.LOGIN}
GRANTS: Final = {
    PasswordCredentials: PASSWORD,
    PartnerCredentials: PARTNER,
    ClientCredentials: MACHINE,
    RefreshTokenCredentials: REFRESH,
    AssertionCredentials: ASSERTION,
    ExtensionCredentials: EXTENSION,
    LoginCredentials: LOGIN,
}


# What is taken.


@pytest.mark.parametrize(
    ("struct", "fields"), GRANTS.items(), ids=lambda of: getattr(of, "__name__", "fields")
)
def test_each_grant_has_a_form_of_its_own(
    struct: type[Credentials], fields: dict[str, Any]
) -> None:
    assert type(parse(fields)) is struct


@pytest.mark.parametrize("fields", GRANTS.values(), ids=lambda of: of.get("grant_type", "login"))
def test_what_credentials_hold_is_shown_nowhere(fields: dict[str, Any]) -> None:
    credentials = parse(fields)
    shown = f"{credentials} {credentials!r} {credentials.client!r} {credentials.grant!r}"
    assert "invented" not in shown


def test_a_byte_order_mark_is_dropped() -> None:
    assert parse_credentials("\ufeff" + json.dumps(MACHINE)) == parse(MACHINE)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"scope": None, "dialect": None}, id="in the object"),
        pytest.param({"dialect": {"error": None}}, id="in the dialect"),
        pytest.param({"extra_parameters": {"audience": None}}, id="in parameters"),
        pytest.param({"request_headers": {"X-Trace": None}}, id="in headers"),
        pytest.param({"publish": None}, id="of a whole"),
    ],
)
def test_nulls_are_as_good_as_absent(changed: dict[str, Any]) -> None:
    assert parse(MACHINE, **changed).grant_digest == parse(MACHINE).grant_digest


def test_nulls_in_what_the_server_asks_for_are_sent() -> None:
    fields = {"grant_parameters": {"a": None, "b": {"c": None}}}
    credentials = parse(LOGIN, dialect={"request_format": "json"}, **fields)
    assert credentials.grant.parameters == {"a": None, "b": {"c": None}}


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        pytest.param("use_refresh_token", "false", False, id="false"),
        pytest.param("use_refresh_token", "TRUE", True, id="true in capitals"),
        pytest.param("assumed_expires_in", "3600", 3600, id="a number"),
        pytest.param("assumed_expires_in", 3600.0, 3600, id="a number with a fraction of nothing"),
        pytest.param("timeout_seconds", "30", 30, id="another"),
        pytest.param("client_id", 123, "123", id="an id of digits"),
        pytest.param("client_secret", 2**70, str(2**70), id="a secret of many digits"),
        pytest.param("client_secret", "", "", id="an empty secret"),
        pytest.param("client_secret", "null", "null", id="a secret that is a word"),
        pytest.param("scope", 7, "7", id="a scope of digits"),
        pytest.param("request_headers", {"X-Tenant": 7}, {"X-Tenant": "7"}, id="a header's"),
        pytest.param("extra_parameters", {"a": "true", "b": "5"}, {"a": "true", "b": "5"},
                     id="but a parameter stays what it is"),
        pytest.param("extra_parameters", {"a": True, "b": 5, "c": 0.5, "d": ["x", "y"]},
                     {"a": True, "b": 5, "c": 0.5, "d": ["x", "y"]}, id="of any kind"),
    ],
)  # fmt: skip
def test_what_consoles_write_is_taken_as_it_is_meant(
    field: str, written: object, meant: object
) -> None:
    assert getattr(parse(MACHINE, **{field: written}), field) == meant


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (PASSWORD, "username"),
        (PASSWORD, "password"),
        (PARTNER, "partner_code"),
        (PARTNER, "partner_secret"),
        (REFRESH, "refresh_token"),
        (ASSERTION, "assertion"),
    ],
)
def test_what_is_nothing_but_digits_may_be_a_number(fields: dict[str, Any], name: str) -> None:
    assert getattr(parse(fields, **{name: 7041}), name) == "7041"


@pytest.mark.parametrize("name", ["provider", "token_endpoint", "verify_url", "user_agent"])
def test_what_is_never_a_number_is_not_taken_for_one(name: str) -> None:
    absent = {"token_endpoint": None} if name == "provider" else {}
    accepted = "printable ASCII" if name == "user_agent" else "text"
    assert refusal(MACHINE, **absent, **{name: 5}) == f"`{name}` must be {accepted}"


def test_a_providers_parameter_may_be_a_number() -> None:
    fields = {**MACHINE, "provider": "servicenow", "provider_parameters": {"instance": 17}}
    del fields["token_endpoint"]
    assert parse(fields).client.host == "17.service-now.com"


def test_certificates_end_as_lines_do() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    assert parse(MACHINE, ca_certificates=pem).ca_certificates == pem


# What is refused as a whole.


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "invented-secret", "[]", "null", "7", '"invented"', '{"a": NaN}', '{"a": 1e999}',
        '{"a": "\\ud800"}', '{"a": "\ud800"}', "\ufeff", '{"a": 1} x', "[" * 100_000,
        '{"a":' * 100_000, '{"a": ' + "9" * 5_000 + "}",
    ],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_what_is_no_object_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(CredentialsError, match="not JSON: store one JSON object") as caught:
        parse_credentials(text)
    assert "invented" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_where_json_goes_wrong_is_told() -> None:
    with pytest.raises(CredentialsError) as caught:
        parse_credentials('{"a": "b",\n }')
    assert str(caught.value) == (
        "the credentials are not JSON: store one JSON object as the secret's text (line 2, "
        "column 2: the comma before it is one too many)"
    )


def test_all_that_is_wrong_is_told_at_once_and_each_thing_once() -> None:
    fields = {**PASSWORD, "token_endpoint": "http://a.example", "timeout_seconds": 31}
    fields |= {"usrname": "x", "tenant": "x", "dialect": {"request_format": "invented"}}
    del fields["username"], fields["password"]
    assert refusal(fields) == (
        "(1) `usrname` is no field: did you mean `username`?; (2) remove or correct the unknown "
        "field `tenant`; what only your server knows goes into `extra_parameters`; (3) `password` "
        "is missing; (4) `dialect.request_format` must be form, json or query; (5) "
        "`timeout_seconds` must be a whole number of seconds from 1 to 30"
    )
    del fields["usrname"], fields["tenant"], fields["timeout_seconds"]
    assert refusal(fields) == (
        "(1) `username` is missing; (2) `password` is missing; (3) `dialect.request_format` must "
        "be form, json or query; (4) `token_endpoint` must be an https URL without user, password, "
        "fragment or placeholder"
    )


def test_unknown_names_blanks_and_what_is_within_a_field_are_told_in_one_round() -> None:
    within = {
        "dialect": {"acces_token": "a", "request_format": "xml", "scope": "s"},
        "publish": {"fiels": ["a"]},
    }
    told = (
        "`colour` is no field",
        "`client_secret` begins or ends with a blank",
        "`dialect.acces_token` is no field: did you mean `dialect.access_token`?",
        "`dialect.request_format` must be form, json or query",
        "`publish.fiels` is no field: did you mean `publish.fields`?",
        "`token_endpoint` must be an https URL",
    )
    fields = {**MACHINE, **within, "colour": "x", "client_secret": " b"}
    said = problems_of({**fields, "token_endpoint": " http://a.example"})
    said = [each.replace("remove or correct the unknown field `colour`", told[0]) for each in said]
    lacking = [one for one in told if not any(each.startswith(one) for each in said)]
    assert (lacking, len(said)) == ([], len(told) + 1)
    # Also where nobody knows of which grant they are.
    del fields["grant_type"]
    said = problems_of({**fields, "grantType": "client_credentials"})
    assert said[0] == "`grantType` is no field: did you mean `grant_type`?"
    assert [each for each in told[1:5] if not any(one.startswith(each) for one in said)] == []


def test_what_is_misspelt_is_not_told_as_missing_too() -> None:
    signing = {**ASSERTION, "assertion": {"signr": "sts", "audience": "https://a.example"}}
    assert refusal(signing) == "`assertion.signr` is no field: did you mean `assertion.signer`?"
    assert refusal({**signing, "assertion": {"signr": "sts"}}) == refusal(signing)


def test_what_is_no_field_is_told_by_itself_for_a_form() -> None:
    given = {"usrname": "x", "domain": "x", "scope": "x"}
    password = {"grant_type": "password", "provider": "salesforce"}
    assert unknown_fields(given, of={**given, **password}) == [
        "`usrname` is no field: did you mean `username`?",
        "`domain` goes into `provider_parameters`",
    ]
    assert unknown_fields({"grantType": "x"}, of={"grant_type": "zzz"}) == [
        "`grantType` is no field: did you mean `grant_type`?"
    ]


def test_what_is_wrong_without_end_is_not_told_without_end() -> None:
    said = refusal(MACHINE, **{f"zq{number}": 1 for number in range(100)})
    assert said.count("remove or correct the unknown field") == 8
    assert said.endswith("; 92 more")


def test_a_field_that_is_not_known_is_told_though_the_grant_is_not_known_either() -> None:
    assert refusal({"grant_typ": "password", "tenant": "x"}) == (
        "(1) `grant_typ` is no field: did you mean `grant_type`?; (2) remove or correct the "
        "unknown field `tenant`; what only your server knows goes into `extra_parameters`"
    )
    assert refusal({**MACHINE, "grant_type": " zzz", "tenant": "x", "scope": "a "}).count(") ") == 3


def test_without_a_place_the_rest_is_told_as_well() -> None:
    assert refusal({"grant_type": "client_credentials", "provider_parameters": {"a": "b"}}) == (
        "(1) give exactly one of `provider` and `token_endpoint`; (2) `client_id` is missing"
    )


def test_a_provider_that_is_not_known_hides_no_field_that_is_not() -> None:
    fields = {**pasted.CLIENT, **pasted.MACHINE, "provider": "salesforc", "domain": "x"}
    assert refusal(fields) == (
        "(1) remove or correct the unknown field `domain`; what only your server knows goes into "
        "`extra_parameters`; (2) `provider` names none that is known; did you mean salesforce?"
    )


def test_a_name_that_is_given_twice_is_told_where_something_is_wrong_and_stops_nothing() -> None:
    twice = json.dumps(MACHINE).removesuffix("}") + ',\n"scope": "a",\n"scope": "b"'
    assert parse_credentials(twice + "}").scope == "b"
    with pytest.raises(CredentialsError) as caught:
        parse_credentials(twice + ', "timeout_seconds": 0}')
    assert str(caught.value).endswith(
        "; (2) `scope` (lines 2 and 3) is given twice, and the last counts"
    )


@pytest.mark.parametrize("name", ["pem", "signing_key", "tls_cert", "jwks", "pfx"])
def test_a_key_is_never_told_to_go_where_it_would_be_sent(name: str) -> None:
    said = refusal(MACHINE, **{name: "-----BEGIN PRIVATE KEY-----"})
    assert said == (
        f"remove or correct the unknown field `{name}`: keys for mutual TLS are `certificate` and "
        "`private_key`"
    )


def test_a_binary_secret_is_refused() -> None:
    with pytest.raises(CredentialsError, match="binary: store one JSON object as text"):
        parse_credentials(None)


@pytest.mark.parametrize(("begin", "end"), [('{"a":', "}"), ("[", "]")], ids=["objects", "lists"])
def test_what_is_accepted_is_never_nested_too_deeply_to_be_sent(begin: str, end: str) -> None:
    """A lease would be taken for nothing."""

    def nested(depth: int) -> str:
        parameters = f'{{"a":{begin * depth}"x"{end * depth}}}'
        as_json = {**LOGIN, "dialect": {"request_format": "json"}}
        del as_json["grant_parameters"]
        return f'{json.dumps(as_json).removesuffix("}")}, "grant_parameters": {parameters}}}'

    credentials = parse_credentials(nested(63))
    request = token_request(credentials.client, credentials.grant)
    assert json.loads(request.body or b"")["a"] == json.loads(begin * 63 + '"x"' + end * 63)
    for depth in (64, 340, 600):
        with pytest.raises(CredentialsError, match="nested too deeply"):
            parse_credentials(nested(depth))
        # Also for a form that is not filled in yet.
        parameters = {"a": json.loads(begin * depth + '"x"' + end * depth)}
        assert problems_of({"grant_parameters": parameters}) == ["they are nested too deeply"]


def test_what_is_nested_without_end_is_refused() -> None:
    nested = '{"a":' * 900 + "1" + "}" * 900
    text = json.dumps(LOGIN).removesuffix("}") + f', "extra_parameters": {nested}}}'
    # How deep is too deep depends on the interpreter.
    with pytest.raises(CredentialsError, match=r"nested too deeply|`extra_parameters` must be"):
        parse_credentials(text)


# Blanks.


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ("client_secret", lambda text: {"client_secret": text}),
        ("client_id", lambda text: {"client_id": text}),
        ("token_endpoint", lambda text: {"token_endpoint": text}),
        ("scope", lambda text: {"scope": text}),
        ("grant_parameters.user", lambda text: {"grant_parameters": {"user": text}}),
        ("grant_parameters.a.b", lambda text: {"grant_parameters": {"a": {"b": [text]}}}),
        ("extra_parameters.audience", lambda text: {"extra_parameters": {"audience": text}}),
        ("extra_parameters.resource", lambda text: {"extra_parameters": {"resource": ["a", text]}}),
        ("request_headers.X-Key", lambda text: {"request_headers": {"X-Key": text}}),
        ("dialect.access_token", lambda text: {"dialect": {"access_token": text}}),
    ],
    ids=lambda of: of if isinstance(of, str) else "text",
)
def test_blanks_around_a_text_are_refused_by_the_fields_name(
    where: str, fields: Callable[[str], dict[str, Any]]
) -> None:
    blanks = (" x", "x ", "x\n", "\tx", "x\r\n", "\u00a0x", "x\u2028")
    for blank in (*blanks, "x\u200b", "\ufeffx", "x\x00"):
        said = refusal(MACHINE, **fields(blank))
        # What is between the blanks may be wrong as well.
        assert said.removeprefix("(1) ").startswith(
            f"`{where}` begins or ends with a blank, a line break or an invisible character: "
            "remove it"
        ), blank


def test_what_no_screen_shows_within_a_text_is_its_owners() -> None:
    assert parse(MACHINE, client_secret="a\u200bb \u00e9").client_secret == "a\u200bb \u00e9"


def test_a_template_ends_as_lines_do() -> None:
    written = "token={access_token}\n"
    publish = parse(MACHINE, publish={"as": written}).publish
    assert publish is not None
    assert publish.as_ == written


def test_a_blank_under_a_name_that_is_no_plain_word_is_told_without_it() -> None:
    said = refusal(MACHINE, extra_parameters={"invented secret": "x "})
    assert said.startswith("`extra_parameters.…` begins or ends with a blank")


# Names.


@pytest.mark.parametrize(
    ("fields", "written", "meant"),
    [
        pytest.param(PASSWORD, "pasword", "password", id="a letter is missing"),
        pytest.param(PASSWORD, "Username", "username", id="a capital"),
        pytest.param(MACHINE, "clientId", "client_id", id="another language's spelling"),
        pytest.param(MACHINE, "client-secret", "client_secret", id="a hyphen"),
        pytest.param(MACHINE, "token_endpont", "token_endpoint", id="the address"),
        pytest.param(MACHINE, "scopes", "scope", id="a plural"),
        pytest.param(REFRESH, "refreshToken", "refresh_token", id="a refresh token"),
        pytest.param(ASSERTION, "asertion", "assertion", id="an assertion"),
        pytest.param(MACHINE, "grantType", "grant_type", id="the grant"),
        pytest.param(LOGIN, "grant_parameter", "grant_parameters", id="a singular"),
        pytest.param(MACHINE, "provider_parameter", "provider_parameters", id="of a provider"),
    ],
)
def test_a_misspelt_name_is_told_with_the_right_one_though_that_is_missing(
    fields: dict[str, Any], written: str, meant: str
) -> None:
    misspelt = {name: value for name, value in fields.items() if name != meant} | {written: "x"}
    if fields is LOGIN:
        misspelt |= {"grant_type": "refresh_token", **pasted.CLIENT, **pasted.REFRESH}
    assert refusal(misspelt) == f"`{written}` is no field: did you mean `{meant}`?"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("token_url", "token_endpoint"),
        ("tokenUri", "token_endpoint"),
        ("api_key", "client_id"),
        ("consumer-secret", "client_secret"),
        ("headers", "request_headers"),
    ],
)
def test_what_others_call_a_field_is_told_with_our_name_where_that_is_missing(
    written: str, meant: str
) -> None:
    called = {name: value for name, value in MACHINE.items() if name != meant} | {written: "x"}
    assert refusal(called) == f"`{written}` is no field: did you mean `{meant}`?"
    values: dict[str, object] = {"request_headers": {}, **ANY}
    said = refusal(called, **{meant: values.get(meant, "x")})
    assert said.startswith(f"remove or correct the unknown field `{written}`")


def test_what_an_earlier_version_called_a_provider_is_told_with_its_name() -> None:
    assert refusal(MACHINE, site="autovit.ro") == "`site` is no field: did you mean `provider`?"


def test_what_others_call_a_user_is_told_to_a_grant_that_has_one() -> None:
    fields = {name: value for name, value in PASSWORD.items() if name != "username"}
    assert refusal(fields, email="x") == "`email` is no field: did you mean `username`?"
    assert refusal(MACHINE, email="x").startswith("remove or correct the unknown field `email`")


@pytest.mark.parametrize(
    ("name", "where"),
    [("request_format", "dialect"), ("authorization_scheme", "dialect"), ("as", "publish")],
)
def test_a_field_of_a_field_is_told_where_it_goes(name: str, where: str) -> None:
    assert refusal(MACHINE, **{name: "x"}) == f"`{name}` goes into `{where}`"


def test_a_pasted_response_is_not_taken_for_a_dialect() -> None:
    assert "dialect" not in refusal(MACHINE, access_token="invented")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider_parameters", {}),
        ("extra_parameters", {"audience": "a", "expiring": 1}),
        ("request_headers", {"X-Tenant": 7}),
        ("dialect", {"request_format": "json", "error": None}),
        ("publish", {"fields": ["instance_url"]}),
    ],
)
def test_an_object_that_a_console_stored_as_a_text_is_taken(name: str, value: object) -> None:
    assert parse(MACHINE, **{name: json.dumps(value)}) == parse(MACHINE, **{name: value})


def test_nulls_of_a_login_stay_in_a_text_too() -> None:
    dialect = {"request_format": "json"}
    parameters = parse(LOGIN, dialect=dialect, grant_parameters='{"a": null}').grant.parameters
    assert parameters == {"a": None}


@pytest.mark.parametrize("text", ["{invented", "[1]", "invented", '{"a": "\\ud800"}', "{" * 2000])
def test_a_text_that_is_no_object_is_none(text: str) -> None:
    assert refusal(MACHINE, dialect=text) == "`dialect` must be an object"


def test_a_providers_parameter_in_the_wrong_place_is_told_with_the_right_one() -> None:
    fields = {**MACHINE, "provider": "salesforce", "token_endpoint": None}
    assert refusal(fields, domain="acme.my") == "`domain` goes into `provider_parameters`"
    zoom = {**fields, "provider": "zoom", "grant_type": "account_credentials"}
    assert refusal(zoom, account_id="x") == "`account_id` goes into `grant_parameters`"
    assert refusal(zoom, zzzz="x").startswith("remove or correct the unknown field `zzzz`")


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        pytest.param("dialect", "acces_token", "access_token", id="of a dialect"),
        pytest.param("dialect", "request_fromat", "request_format", id="another"),
        pytest.param("publish", "field", "fields", id="of what is published"),
    ],
)
def test_a_misspelt_name_within_a_field_is_told_likewise(
    field: str, written: str, meant: str
) -> None:
    said = refusal(MACHINE, **{field: {written: "x"}})
    assert said == f"`{field}.{written}` is no field: did you mean `{field}.{meant}`?"


@pytest.mark.parametrize(
    ("fields", "name", "grant"),
    [
        pytest.param(MACHINE, "username", "password", id="a user in client_credentials"),
        pytest.param(REFRESH, "partner_code", "partner", id="a partner in refresh_token"),
        pytest.param(LOGIN, "password", "password", id="a password beside a login"),
    ],
)
def test_a_field_of_another_grant_is_told_with_that_grant(
    fields: dict[str, Any], name: str, grant: str
) -> None:
    said = refusal(fields, **{name: "x"})
    assert said.startswith(f"`{name}` belongs to the grant_type {grant}: remove it, or, ")
    assert said.endswith("put it into `grant_parameters`")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"tenant": "x"}, "remove or correct the unknown field `tenant`; what only "
                     "your server knows goes into `extra_parameters`", id="a server's own"),
        pytest.param({"dialect": {"zzz": 1}}, "remove or correct the unknown field `dialect.zzz`",
                     id="within a field"),
        pytest.param({"invented secret": 1}, "remove or correct a field whose name is not a plain "
                     "word", id="a name with a blank"),
        pytest.param({"publish": {"invented\n`": 1}}, "remove or correct a field of `publish` "
                     "whose name is not a plain word", id="such a name within a field"),
        pytest.param({"x` - at `$.zzz": 1}, "remove or correct a field whose name is not a plain "
                     "word", id="a name that reads like another error"),
        pytest.param({"a" * 41: 1}, "remove or correct a field whose name is not a plain word",
                     id="a name as long as a secret"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_told(fields: dict[str, Any], said: str) -> None:
    assert refusal(MACHINE, **fields) == said


# The grant.


@pytest.mark.parametrize(
    ("grant_type", "said"),
    [
        pytest.param("clientcredentials", "`grant_type` must be client_credentials; any other "
                     "brings `grant_parameters`", id="a misspelt one"),
        pytest.param("Password", "`grant_type` must be password; any other brings "
                     "`grant_parameters`", id="one in capitals"),
        pytest.param("zzz", "`grant_type` must be password, partner, client_credentials, "
                     f"refresh_token or {JWT_BEARER}; any other brings `grant_parameters`",
                     id="one that nobody knows"),
        pytest.param(SAML_BEARER, "`grant_type` must be password, partner, client_credentials, "
                     f"refresh_token or {JWT_BEARER}; any other brings `grant_parameters`",
                     id="a registered one is not corrected to its neighbour"),
        pytest.param("login", "`grant_type` must be absent for a login of the provider's own, "
                     "which has `grant_parameters` instead", id="what a list calls a login"),
        pytest.param("", "`grant_type` must be text, and not empty", id="an empty one"),
        pytest.param("  ", "`grant_type` must be text, and not empty", id="a blank one"),
        pytest.param(["password"], "`grant_type` must be text, and not empty", id="a list"),
        *(
            pytest.param(name, "`grant_type` must be one that a machine can use by itself: for "
                         "what a person has consented to, refresh_token with the first refresh "
                         "token", id=f"{name}, which a person begins")
            for name in ("authorization_code", "implicit",
                         "urn:ietf:params:oauth:grant-type:device_code")
        ),
    ],
)  # fmt: skip
def test_a_grant_that_cannot_be_used_is_told(grant_type: object, said: str) -> None:
    assert refusal(SERVER, grant_type=grant_type) == said


@pytest.mark.parametrize("grant_type", ["authorization_code", "implicit", "login"])
def test_no_parameters_make_such_a_grant_one_of_a_machine(grant_type: str) -> None:
    said = refusal(SERVER, grant_type=grant_type, grant_parameters={"code": "x"})
    assert said.startswith("`grant_type` must be ")


def test_a_missing_grant_is_told_with_those_that_there_are() -> None:
    assert refusal(SERVER) == (
        "`grant_type` is missing: password, partner, client_credentials, refresh_token or "
        f"{JWT_BEARER}; a login of the provider's own has `grant_parameters` instead"
    )


@pytest.mark.parametrize("grant_type", [SAML_BEARER, TOKEN_EXCHANGE, "account_credentials", "zzz"])
def test_any_other_grant_comes_with_its_parameters(grant_type: str) -> None:
    credentials = parse(SERVER, grant_type=grant_type, grant_parameters={"account_id": "x"})
    assert credentials.grant.parameters == {"grant_type": grant_type, "account_id": "x"}


def test_a_named_grant_may_bring_parameters_too() -> None:
    credentials = parse(MACHINE, grant_parameters={"account_id": "x"})
    assert type(credentials) is ClientCredentials
    assert credentials.grant.parameters == {"grant_type": "client_credentials", "account_id": "x"}


def test_a_grant_of_the_provider_needs_no_parameters_of_the_account() -> None:
    fields = {"client_id": "c", "client_secret": "s", "grant_type": "fb_exchange_token"}
    given = {"provider": "facebook", "provider_parameters": {"version": "v1"}, "refresh_token": "r"}
    assert type(parse(fields, **given)) is ExtensionCredentials
    said = refusal(fields, provider="autovit", grant_type="zzz")
    assert said.startswith("`provider` names none that is known; did you mean ")
    assert refusal(fields, provider="autovit.ro", grant_type="zzz").startswith("`grant_type` must")
    said = refusal(fields, provider=5, grant_type="zzz")
    assert said.startswith("(1) `grant_type` must")


# Types.


TEXT: Final = "text"
WORDS: Final = "printable ASCII words with one space between them"
WHOLE: Final = "a whole number"
SECONDS: Final = "a whole number of seconds from 1 to 30"
METHODS: Final = (
    "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, "
    "tls_client_auth, none"
)
PARAMETERS: Final = "an object of text, numbers, true or false, and lists of texts"
TEXTS: Final = "an object of text"
PATH: Final = "a path of at most six keys with dots between them, such as data.0.token"
PATHS: Final = "a list of paths such as instance_url"
TEMPLATE: Final = "text, or an object of texts"


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("client_id", 1.5, TEXT),
        ("client_id", True, TEXT),
        ("client_secret", ["invented"], TEXT),
        ("password", {"invented": 1}, TEXT),
        ("scope", "invented  b", WORDS),
        ("scope", "invented\nb", WORDS),
        ("scope", ["invented"], WORDS),
        ("user_agent", "invented\r\nX: y", "printable ASCII"),
        ("use_refresh_token", "invented", "true or false"),
        ("assumed_expires_in", 0, f"{WHOLE} >= 1"),
        ("assumed_expires_in", "0", f"{WHOLE} >= 1"),
        ("assumed_expires_in", "invented", WHOLE),
        ("assumed_expires_in", 1.5, WHOLE),
        ("assumed_expires_in", 31_536_001, f"{WHOLE} <= 31536000"),
        ("assumed_refresh_token_expires_in", -1, f"{WHOLE} >= 1"),
        ("timeout_seconds", 0, SECONDS),
        ("timeout_seconds", 31, SECONDS),
        ("timeout_seconds", "invented", SECONDS),
        ("token_endpoint_auth_method", "invented", METHODS),
        ("extra_parameters", "invented", PARAMETERS),
        ("extra_parameters", {"a": {"invented": 1}}, PARAMETERS),
        ("extra_parameters", {"a": ["x", 1]}, PARAMETERS),
        ("grant_parameters", ["invented"], "an object"),
        ("request_headers", ["invented"], TEXTS),
        ("request_headers", {"X-A": ["invented"]}, TEXTS),
        ("provider_parameters", "invented", TEXTS),
        ("dialect", "invented", "an object"),
        ("dialect.request_method", "invented", "GET, POST or PUT"),
        ("dialect.request_format", 5, "form, json or query"),
        ("dialect.expires_in_unit", "days", "seconds or milliseconds"),
        ("dialect.access_token", "a b", PATH),
        ("dialect.expires_at", 5, PATH),
        ("dialect.authorization_scheme", "a b", "one word, such as Bearer"),
        ("publish", "invented", "an object"),
        ("publish.fields", "invented", PATHS),
        ("publish.fields", [1], PATHS),
        ("publish.as", ["invented"], TEMPLATE),
        ("publish.as", {"a": ["invented"]}, TEMPLATE),
    ],
    ids=lambda of: repr(of)[:40],
)
def test_what_is_of_the_wrong_kind_is_told_by_what_is_right(
    field: str, value: object, accepted: str
) -> None:
    name, _, within = field.partition(".")
    given = {name: {within: value} if within else value}
    assert refusal(PASSWORD, **given) == f"`{field}` must be {accepted}"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("client_id", "", "`client_id` must not be empty"),
        ("password", "", "`password` must not be empty"),
        ("publish", {}, "`publish` takes exactly one of `fields` and `as`"),
    ],
)
def test_what_is_empty_is_told(field: str, value: object, said: str) -> None:
    assert refusal(PASSWORD, **{field: value}) == said


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (PASSWORD, "username"),
        (PASSWORD, "password"),
        (PARTNER, "partner_code"),
        (PARTNER, "partner_secret"),
        (REFRESH, "refresh_token"),
    ],
)
def test_a_missing_field_is_told(fields: dict[str, Any], missing: str) -> None:
    for absent in ({missing: None}, {name: None for name in fields if name == missing}):
        assert refusal(fields, **absent) == f"`{missing}` is missing"


# Whatever is wrong, no value is told.

EVERYTHING: Final[dict[str, Any]] = {
    **PASSWORD,
    "scope": "read write",
    "token_endpoint_auth_method": "client_secret_post",
    "user_agent": "invented/1.0",
    "provider": "salesforce",
    "provider_parameters": {"domain": "acme.my"},
    "extra_parameters": {"audience": "invented-audience"},
    "grant_parameters": {"realm": "invented-realm"},
    "request_headers": {"X-Tenant": "invented-tenant"},
    "assertion": "invented-assertion",
    "refresh_token": "invented-token",
    "partner_code": "invented-code",
    "partner_secret": "invented-partner-secret",
    "verify_url": "https://api.example.com/me",
    "use_refresh_token": True,
    "assumed_expires_in": 3600,
    "assumed_refresh_token_expires_in": 3600,
    "timeout_seconds": 10,
    "ca_certificates": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
    "dialect": {"access_token": "data.token", "request_format": "json"},
    "publish": {"fields": ["instance_url"]},
}
MARK: Final = "Canary7041"
NUMBER: Final = 704_170_417_041_704
WRONG: Final = {
    "a text": MARK,
    "a text with blanks": f" {MARK} ",
    "a text with a line break": f"{MARK}\r\n{MARK}: x",
    "a text beyond ASCII": f"{MARK}\u0105",
    "a text like an error": f"x` - at `$.{MARK}",
    "another": f"Object contains unknown field `{MARK}` - at `$.dialect`",
    "an address": f"https://{MARK}:{MARK}@example.com/#{MARK}",
    "no address": f"https://[{MARK}/",
    "a number": NUMBER,
    "a fraction": NUMBER + 0.5,
    "a list": [MARK],
    "a list of lists": [[MARK]],
    "an object": {"a": MARK},
    "an object of objects": {"a": {"b": MARK}},
    "a name": {f"{MARK} {MARK}": MARK},
    "a path": {"access_token": f"{MARK} {MARK}", "fields": [f"{MARK} {MARK}"]},
    "a template": {"as": f"{{{MARK}}}"},
    "a header": {"Host": MARK},
    "a parameter": {"grant_type": MARK},
    "true": True,
}


@pytest.mark.parametrize("grant", GRANTS.values(), ids=lambda of: of.get("grant_type", "login"))
def test_a_canary_in_any_field_is_in_no_error(grant: dict[str, Any]) -> None:
    telling = set()
    for field, (kind, value) in itertools.product(EVERYTHING, WRONG.items()):
        try:
            credentials = parse(grant, **{field: value})
            told = f"{credentials!r} {credentials.client!r}"
        except CredentialsError as error:
            told = f"{error} {error!r} {error.__cause__} {error.__context__}"
            assert "`" in told, f"{kind} in {field} is refused without a field's name"
        if MARK.lower() in told.lower() or str(NUMBER) in told:
            telling.add(f"{kind} in {field}")
    assert telling == set()


@pytest.mark.parametrize("grant_type", [["password"], {"a": 1}, 7, True])
def test_a_grant_type_of_another_kind_beside_an_unknown_field_is_told(grant_type: object) -> None:
    fields = {"provider": "salesforce", "grant_type": grant_type, "no_field": "a"}
    with pytest.raises(CredentialsError, match="grant_type"):
        parse_credentials(json.dumps(fields))


@given(
    fields=st.dictionaries(
        st.sampled_from([*EVERYTHING, "grant_type", "token_endpoint", "site", MARK + " x"]),
        st.sampled_from([*WRONG.values(), *EVERYTHING.values()]),
        min_size=1,
    ),
    grant=st.sampled_from([*GRANTS.values(), EVERYTHING]),
    cut=st.integers(min_value=0, max_value=40),
)
@example(fields={"grant_type": [], "site": ""}, grant={"provider": "salesforce"}, cut=0)
@settings(max_examples=400)
def test_however_much_is_wrong_no_value_is_told(
    grant: dict[str, Any], fields: dict[str, Any], cut: int
) -> None:
    text = json.dumps({**grant, **fields})
    try:
        told = repr(parse_credentials(text[: len(text) - cut]))
    except CredentialsError as error:
        told = f"{error} {error!r}"
    assert MARK.lower() not in told.lower()
    assert str(NUMBER) not in told
