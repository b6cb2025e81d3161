"""The providers' entries: each reads, and no parameter of one leads to anybody else's host."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import pytest

from token_refresher.oauth.client_authentication import host_of
from token_refresher.oauth.providers import (
    Provider,
    ProviderError,
    fixed_hosts,
    names,
    provider,
)

ENTRY: Final = {
    "title": "Made-up",
    "documentation": ["https://made-up.example/docs"],
    "token_endpoint": "https://login.made-up.example/token",
    "grant_types": {"client_credentials": {}},
}


def entry(
    address: str = "https://login.made-up.example/token",
    /,
    parameters: dict[str, Any] | None = None,
    **fields: object,
) -> Provider:
    holes = {
        name: {"about": "what it is", "example": "acme", **said}
        for name, said in (parameters or {}).items()
    }
    given = {**ENTRY, "token_endpoint": address, "parameters": holes, **fields}
    return msgspec.convert(given, Provider)


def with_kind(kind: str, template: str = "https://x.example/{p}") -> Provider:
    return entry(template, parameters={"p": {"kind": kind}})


# The file.


def test_an_entry_says_what_it_needs_and_no_more() -> None:
    for name in names():
        of = provider(name)
        assert of.title, name
        assert of.grant_types, name
        for parameter in of.parameters.values():
            # Of one kind, or one of some values; of both where most have a dot, and some need none.
            is_both = parameter.kind == "labels" and bool(parameter.values)
            assert is_both or (parameter.kind is None) == bool(parameter.values), name
            assert parameter.accepts(parameter.example), name
            assert parameter.default is None or parameter.accepts(parameter.default), name


def test_an_entrys_addresses_are_https_with_its_parameters_alone() -> None:
    for name in names():
        of = provider(name)
        example = {key: parameter.example for key, parameter in of.parameters.items()}
        for grant in (None, *of.grant_types):
            url = of.endpoint(example, grant_type=grant)
            assert re.fullmatch(r"https://[a-z0-9.-]+(:\d+)?(/[\x21-\x7E]*)?", url), name
            assert "{" not in url, name


def test_what_an_entry_signs_is_for_nobody_that_its_parameters_do_not_name() -> None:
    for name in names():
        of = provider(name)
        for grant in of.grant_types.values():
            audience = (grant.assertion.audience if grant.assertion else None) or ""
            assert set(re.findall(r"\{(\w*)\}", audience)) <= {"client_id", *of.parameters}, name


def test_an_entrys_refresh_tokens_stay_on_its_host() -> None:
    for name in names():
        of = provider(name)
        addresses = {grant.token_endpoint or of.token_endpoint for grant in of.grant_types.values()}
        assert len({address.split("/")[2] for address in addresses}) == 1, name


def test_what_is_chosen_of_a_host_is_a_part_of_a_hosts_name() -> None:
    for name in names():
        of = provider(name)
        for hole in re.findall(r"\{(\w+)\}", of.token_endpoint.split("/")[2]):
            assert of.parameters[hole].kind in {None, "label", "labels", "host"}, name


def test_the_olx_sites_send_partners_in_the_body() -> None:
    for name in ("autovit.ro", "otomoto.pl", "standvirtual.com"):
        assert provider(name).grant("partner").token_endpoint_auth_method == "client_secret_post"
        assert provider(name).expires_in == 43200
        assert provider(name).user_agent == "{username}"


def test_an_entry_is_read_once() -> None:
    assert provider("autovit.ro") is provider("autovit.ro")


# Names.


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Autovit.RO", "`provider` names none that is known; did you mean autovit.ro"),
        ("salesforc", "`provider` names none that is known; did you mean salesforce"),
        ("https://login.salesforce.com", "`provider` names none that is known; did you mean sales"),
        ("Entra", "`provider` names none that is known; did you mean microsoft"),
        ("zzzzzz", "`provider` names none that is known: see `token-refresher providers`"),
        ("invented-secret\n`", "`provider` names none that is known: see `token-refresher pro"),
    ],
    ids=[
        "capitals",
        "a letter is missing",
        "in an address",
        "another name",
        "nothing near",
        "no name",
    ],
)
def test_a_name_that_is_not_known_is_told_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ProviderError) as caught:
        provider(name)
    assert str(caught.value).startswith(said)
    assert "invented" not in str(caught.value)


# What parameters may be.


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("label", each) for each in ("acme", "a", "a-b", "0a", "x" * 63)),
        *(("labels", each) for each in ("acme", "acme.my", "a.b.c.d")),
        *(("segment", each) for each in ("common", "A1.b_c~d-e", "x" * 128, "a..b")),
        *(("host", each) for each in ("a.example", "a.b.example:8443", "x.xn--a", "1.2.a1")),
    ],
)
def test_a_parameter_of_a_kind_is_accepted(kind: str, value: str) -> None:
    assert with_kind(kind).endpoint({"p": value}, grant_type=None) == f"https://x.example/{value}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("label", each) for each in ("", "Acme", "a.b", "-a", "a-", "a_b", "x" * 64, "\u0105",
                                       "a/", "a\n", "a b", "a@", "a:1", "a?", "a#", "%61",
                                       "\u0661")),
        *(("labels", each) for each in ("", ".", "a.", ".a", "a..b", "a.b.c.d.e", "a/b", "a\n",
                                        "A")),
        *(("segment", each) for each in ("", ".", "..", "...", "a/b", "a?b", "a#b", "a%2fb", "a b",
                                         "\u0105", "a\\b", "x" * 129, "a\n", "a@b", "a:b", "a;b")),
        *(("host", each) for each in ("", "localhost", "10.0.0.1", "1.2", "[::1]", "a.example.",
                                      "A.example", "a.example/", "a.example@b", "a.example:",
                                      "a.example:123456", "a..b", "a.b\n", "u@a.example", "a.1-2",
                                      "1.2.3.4a", "1.0x1")),
    ],
)  # fmt: skip
def test_a_parameter_that_would_leave_its_place_is_refused(kind: str, value: str) -> None:
    of = with_kind(kind)
    with pytest.raises(ProviderError) as caught:
        of.endpoint({"p": value}, grant_type=None)
    accepted = of.parameters["p"].accepted
    assert str(caught.value) == (
        f"`provider_parameters.p` must be {accepted}, such as acme: what it is"
    )
    assert not value or f" {value}" not in str(caught.value)


def test_a_parameter_does_not_repeat_the_end_of_its_host() -> None:
    of = entry("https://{p}.a.example/t", parameters={"p": {"kind": "labels"}})
    assert of.endpoint({"p": "acme.my"}, grant_type=None) == "https://acme.my.a.example/t"
    with pytest.raises(ProviderError, match="at most four labels of a host's name, without its e"):
        of.endpoint({"p": "acme.a.example"}, grant_type=None)


def test_what_needs_a_dot_is_told_without_it_but_for_what_is_listed() -> None:
    of = provider("salesforce")
    for domain in ("acme.my", "acme--dev.sandbox.my", "login", "test"):
        address = f"https://{domain}.salesforce.com/services/oauth2/token"
        assert of.endpoint({"domain": domain}, grant_type=None) == address
    for domain in ("acme", "acme.", "a.b.c.d.e"):
        with pytest.raises(ProviderError) as caught:
            of.endpoint({"domain": domain}, grant_type=None)
        assert str(caught.value).startswith(
            "`provider_parameters.domain` must be one of login, test, or two to four labels, "
            "such as acme.my: "
        )


def test_a_parameter_of_a_list_is_one_of_it() -> None:
    of = entry("https://zoho.{dc}/t", parameters={"dc": {"values": ["com", "eu"]}})
    assert of.endpoint({"dc": "eu"}, grant_type=None) == "https://zoho.eu/t"
    with pytest.raises(ProviderError, match=r"`provider_parameters.dc` must be one of com, eu, "):
        of.endpoint({"dc": "evil"}, grant_type=None)


def test_a_parameter_may_have_a_default() -> None:
    of = entry("https://x.example/{t}", parameters={"t": {"kind": "segment", "default": "common"}})
    assert of.endpoint({}, grant_type=None) == "https://x.example/common"
    assert of.endpoint({"t": "other"}, grant_type=None) == "https://x.example/other"
    with pytest.raises(ProviderError, match=r"`provider_parameters.t` must be one segment"):
        of.endpoint({"t": ""}, grant_type=None)


def test_a_parameter_without_a_default_is_asked_for() -> None:
    with pytest.raises(ProviderError, match=r"`provider_parameters.p` must be one label"):
        with_kind("label").endpoint({}, grant_type=None)


@pytest.mark.parametrize(
    ("given", "parameters", "said"),
    [
        ({"x": "1"}, {}, "`provider_parameters` has `x`, but Made-up takes: none"),
        ({"x": "1"}, {"a": {"kind": "label"}, "b": {"kind": "label"}},
         "`provider_parameters` has `x`, but Made-up takes: a, b"),
        ({"invented `\n": "1"}, {}, "`provider_parameters` has `…`, but Made-up takes: none"),
    ],
    ids=["none", "others", "no word"],
)  # fmt: skip
def test_a_parameter_that_nobody_asked_for_is_told(
    given: dict[str, str], parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        entry(parameters=parameters).endpoint(given, grant_type=None)
    assert str(caught.value) == said


def test_what_was_put_into_an_address_is_no_parameter_of_it() -> None:
    of = entry(
        "https://{a}.x.example/{b}",
        parameters={"a": {"kind": "label"}, "b": {"values": ["{a}"]}},
    )
    assert of.endpoint({"a": "y", "b": "{a}"}, grant_type=None) == "https://y.x.example/{a}"


# Grants.


def test_a_grant_may_have_an_address_and_a_method_of_its_own() -> None:
    grants = {
        "client_credentials": {},
        "refresh_token": {"token_endpoint": "https://login.made-up.example/refresh"},
        "login": {"token_endpoint_auth_method": "none", "grant_parameters": {"a": "b"}},
    }
    of = entry(grant_types=grants)
    assert of.endpoint({}, grant_type="refresh_token").endswith("/refresh")
    assert of.endpoint({}, grant_type="client_credentials").endswith("/token")
    assert of.grant(None).grant_parameters == {"a": "b"}
    assert of.grant("password").token_endpoint_auth_method is None


@pytest.mark.parametrize(
    "fields",
    [
        {"surprise": 1},
        {"grant_types": {"password": {"surprise": 1}}},
        {"dialect": {"access_token": "refresh_token"}},
        {"token_endpoint_auth_method": "invented"},
        {"rotation": "sometimes"},
        {"parameters": {"p": {"about": "a", "example": "e", "kind": "surprise"}}},
    ],
    ids=lambda of: next(iter(of)),
)
def test_an_entry_with_one_wrong_field_does_not_read(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**ENTRY, **fields}, Provider)


# Hosts.

LABEL: Final = {"kind": "label"}
REGION: Final = {"values": ["eu", "us"]}


@pytest.mark.parametrize(
    ("template", "parameters", "is_fixed", "hosts"),
    [
        pytest.param("https://a.example/t", {}, True, {"a.example"}, id="nothing is chosen"),
        pytest.param("https://a.example:8443/t", {}, True, {"a.example:8443"}, id="a port"),
        pytest.param("https://a.example/{p}", {"p": {"kind": "segment"}}, True, {"a.example"},
                     id="a segment of the path"),
        pytest.param("https://{p}.a.example/", {"p": LABEL}, True, set(),
                     id="a label before two fixed ones"),
        pytest.param("https://{p}.a.example:8443/", {"p": LABEL}, True, set(), id="with a port"),
        pytest.param("https://{p}.example/", {"p": LABEL}, False, set(),
                     id="a label before one fixed one"),
        pytest.param("https://a.{p}/", {"p": LABEL}, False, set(), id="a label at the end"),
        pytest.param("https://a.b.c.{p}/", {"p": LABEL}, False, set(), id="behind three"),
        pytest.param("https://{p}/t.a.example", {"p": {"kind": "host"}}, False, set(),
                     id="a whole host"),
        pytest.param("https://{p}.{q}.a.example/", {"p": LABEL, "q": LABEL}, True, set(),
                     id="two labels before two fixed ones"),
        pytest.param("https://{p}.a.{q}/", {"p": LABEL, "q": LABEL}, False, set(),
                     id="a label on both sides"),
        pytest.param("https://zoho.{r}/", {"r": REGION}, True, {"zoho.eu", "zoho.us"},
                     id="one of some values at the end"),
        pytest.param("https://{r}.{s}.example/", {"r": REGION, "s": REGION}, True,
                     {"eu.eu.example", "eu.us.example", "us.eu.example", "us.us.example"},
                     id="two of some values"),
        pytest.param("https://{p}.okta.{r}/", {"p": LABEL, "r": REGION}, True, set(),
                     id="a label before a fixed one and a value"),
        pytest.param("https://{p}.{r}/", {"p": LABEL, "r": REGION}, False, set(),
                     id="a label before a value alone"),
    ],
)  # fmt: skip
def test_a_provider_is_fixed_where_no_choice_leads_to_anothers_host(
    template: str, parameters: dict[str, Any], *, is_fixed: bool, hosts: set[str]
) -> None:
    of = entry(template, parameters=parameters)
    assert (of.is_fixed, set(of.fixed_hosts)) == (is_fixed, hosts)


def test_a_provider_is_fixed_where_each_of_its_addresses_is() -> None:
    free = {"token_endpoint": "https://{p}/t"}
    grants = {"password": {}, "refresh_token": free}
    of = entry(parameters={"p": {"kind": "host"}}, grant_types=grants)
    assert (of.is_fixed, set(of.fixed_hosts)) == (False, {"login.made-up.example"})


def test_hosts_in_which_nothing_can_be_chosen_need_nobodys_permission() -> None:
    assert "www.autovit.ro" in fixed_hosts()
    assert all(re.fullmatch(r"[a-z0-9.-]+(:\d+)?", host) for host in fixed_hosts())
    assert not any(host.endswith("salesforce.com") for host in fixed_hosts())


@pytest.mark.parametrize("name", [each for each in names() if provider(each).revocation_endpoint])
def test_tokens_are_revoked_at_the_host_that_gave_them_or_at_one_that_nobody_chooses(
    name: str,
) -> None:
    of = provider(name)
    given = {name: parameter.example for name, parameter in of.parameters.items()}
    revocation = of.revocation(given)
    assert revocation is not None
    hosts = {host_of(of.endpoint(given, grant_type=grant)) for grant in of.grant_types}
    assert host_of(revocation) in hosts or "{" not in (of.revocation_endpoint or "")
    # What may be asked for tokens without a setting may be asked to end them.
    assert of.is_revocation_fixed == of.is_fixed


# What is signed.

SIGNS: Final = {"client_credentials": {"assertion": {"audience": "{p}.example of {client_id}"}}}


def test_an_audience_holds_parameters_and_the_clients_id() -> None:
    of = entry(parameters={"p": {"kind": "label"}}, grant_types=SIGNS)
    signed = of.assertion({"p": "acme"}, grant_type="client_credentials", client_id="c{p}")
    assert signed is not None
    assert signed.audience == "acme.example of c{p}"
    signed = of.assertion({"p": "acme"}, grant_type="client_credentials", client_id=None)
    assert signed is not None
    assert signed.audience == "acme.example of "


def test_an_audience_holds_no_parameter_that_is_none() -> None:
    of = entry(parameters={"p": {"kind": "label"}}, grant_types=SIGNS)
    with pytest.raises(ProviderError, match=r"^`provider_parameters\.p` must be one label"):
        of.assertion({"p": "a.b"}, grant_type="client_credentials", client_id="c")


def test_a_grant_without_an_audience_of_its_own_signs_for_the_token_endpoint() -> None:
    of = entry(grant_types={"client_credentials": {"assertion": {"alg": "PS256"}}, "password": {}})
    signed = of.assertion({}, grant_type="client_credentials", client_id="c")
    assert signed is not None
    assert (signed.alg, signed.audience) == ("PS256", None)
    assert of.assertion({}, grant_type="password", client_id="c") is None
