"""Where credentials may go: what a pattern stands for, what it never does, and what is said."""

from __future__ import annotations

import re
import shlex
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from token_refresher.oauth.allowed_hosts import AllowedHosts, host_patterns
from token_refresher.oauth.client_authentication import Client
from token_refresher.oauth.errors import TokenEndpointError

PUBLIC = "login.vendor.com"


def client(host: str = PUBLIC, **fields: Any) -> Client:  # noqa: ANN401
    return Client(
        **{
            "token_endpoint": f"https://{host}/token?key=invented-key",
            "client_id": "invented-id",
            "client_secret": "invented-secret",
            "auth_method": "client_secret_basic",
            "user_agent": "tests",
            **fields,
        }
    )


def refusal(hosts: AllowedHosts, client: Client) -> str:
    with pytest.raises(TokenEndpointError) as refused:
        hosts.require(client)
    assert (refused.value.code, refused.value.sent) == ("host_not_allowed", False)
    return str(refused.value)


def allows(text: str, client: Client) -> bool:
    """Whether what people write allows a client's hosts."""
    try:
        AllowedHosts(host_patterns(text)).require(client)
    except TokenEndpointError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        pytest.param("", (), id="nothing is no host"),
        pytest.param("*", ("*",), id="any"),
        pytest.param(
            " A.Example ,\t*.B.Example\n", ("a.example", "*.b.example"), id="case, blanks"
        ),
        pytest.param("a.example:443,a.example", ("a.example",), id="https's own port, twice"),
        pytest.param("a.example:8443", ("a.example:8443",), id="another port"),
        pytest.param("localhost:65535", ("localhost:65535",), id="one label, the last port"),
        pytest.param("10.0.0.5:8443", ("10.0.0.5:8443",), id="an address is allowed as written"),
        pytest.param("xn--bcher-kva.example", ("xn--bcher-kva.example",), id="punycode"),
        pytest.param("*.co.example-1.com", ("*.co.example-1.com",), id="three fixed labels"),
    ],
)
def test_patterns_are_read_as_people_write_them(text: str, patterns: tuple[str, ...]) -> None:
    assert host_patterns(text) == patterns


@pytest.mark.parametrize(
    "text",
    [
        *(" ", ",", "a.example,", "a.example,,b.example", "a.example b.example"),
        *("https://a.example", "a.example/token", "user@a.example", "a.example?", "a.example#"),
        *("a.example.", ".a.example", "a..example", "-a.example", "a-.example", "a_b.example"),
        *("a.example:", "a.example:0", "a.example:0443", "a.example:65536", "a.example:x"),
        *("a.example:99999999999999999999", "a.example:443:443", "a.example:\u0664\u0664\u0663"),
        *("*.com", "*.", "*example.com", "**.example.com", "*.*.example.com", "a.*.example.com"),
        *("a*.example.com", "example.*", "*.example.com.", "*.example.com:8443", "*:443", "**"),
        *("*.0.0.1", "*.0.0.0x1", "*.example.1", "*.a..com", "*.-a.com"),
        *("[::1]", "[::1]:8443", "::1", "b\u00fccher.example", "\u212a.example", "\uff41.example"),
        *("a\nexample", "a.example\x00", "a" * 64 + ".example", "a." * 127 + "example"),
        *("*." + "a." * 126 + "com", "%61.example"),
    ],
)
def test_what_is_no_pattern_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^hosts such as login\.example\.com") as refused:
        host_patterns(text)
    assert text.strip(" ,") not in str(refused.value).split(" ")


@pytest.mark.parametrize(
    ("text", "host", "is_allowed"),
    [
        pytest.param("a.example.com", "a.example.com", True, id="as written"),
        pytest.param("a.example.com", "A.EXAMPLE.com", True, id="in any case"),
        pytest.param("a.example.com", "a.example.com:443", True, id="with https's own port"),
        pytest.param("a.example.com", "a.example.com:8443", False, id="at no other port"),
        pytest.param("a.example.com:8443", "a.example.com", False, id="a port is not https's own"),
        pytest.param("a.example.com:8443", "a.example.com:08443", True, id="a port in any form"),
        pytest.param("a.example.com", "a.example.com.", False, id="with a dot more"),
        pytest.param("a.example.com", "b.a.example.com", False, id="nothing before it"),
        pytest.param("a.example.com", "a.example.com.vendor.com", False, id="nothing behind it"),
        pytest.param("localhost:8443", "localhost:8443", True, id="one label as written"),
        pytest.param("127.0.0.1", "127.0.0.1", True, id="an address as written"),
        pytest.param("127.0.0.1", "127.1", False, id="an address in no other form"),
        pytest.param("*.example.com", "acme.example.com", True, id="one label"),
        pytest.param("*.example.com", "xn--bcher-kva.EXAMPLE.com", True, id="one punycode label"),
        pytest.param("*.example.com", "example.com", False, id="not none"),
        pytest.param("*.example.com", "a.b.example.com", False, id="not two"),
        pytest.param("*.example.com", ".example.com", False, id="not an empty one"),
        pytest.param("*.example.com", "-.example.com", False, id="not what is no label"),
        pytest.param("*.example.com", "*.example.com", False, id="not the pattern itself"),
        pytest.param("*.example.com", "a%2e.example.com", False, id="not what is encoded"),
        pytest.param("*.example.com", "a.example.com:8443", False, id="not at another port"),
        pytest.param("*.example.com", "aexample.com", False, id="not without the dot"),
        pytest.param("*.example.com", "a.example.com.", False, id="not with a dot behind"),
        pytest.param("*.example.com", "a.example.com.vendor.com", False, id="not as a part"),
        pytest.param("*", "*", False, id="any is no host itself"),
        pytest.param("b.example.com,*.example.org", "a.example.com", False, id="none of several"),
        pytest.param("b.example.com,*.example.org", "a.example.org", True, id="one of several"),
    ],
)
def test_a_pattern_stands_for_these_hosts_alone(text: str, host: str, *, is_allowed: bool) -> None:
    assert allows(text, client(host)) is is_allowed
    verifies = client("a.allowed.com", verify_url=f"https://{host}/me")
    assert allows(f"a.allowed.com,{text}", verifies) is is_allowed


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.0x1", "1.1.1.1"),
        *("[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "169.254.169.254"),
        *("vendor", "localhost", "a.localhost", "printer.local", "api.internal"),
        *("ip-10-0-0-1.eu-west-1.compute.internal", "metadata.google.internal", "nas.home.arpa"),
        *("a.svc.cluster.local", "a.lan", "a.home", "a.corp", "a.intranet", "a.private", "a.test"),
        *("localhost.localdomain", "a.invalid", "login.vendor.com.", "login.vendor.com:8443"),
        *("login_1.vendor.com", "login..vendor.com", "-.vendor.com", "*.vendor.com"),
        *("a." * 126 + "vendor.com", "a" * 64 + ".com", "login.vendor.c0m-", "login.vendor.123"),
    ],
)
def test_any_is_a_public_name_at_port_443_and_nothing_else(host: str) -> None:
    assert not allows("*", client(host))


@given(
    st.lists(
        st.sampled_from(["0", "1", "127", "0x7f", "0177", "x", "0x", "f", "1e1", "-", "", "com"]),
        min_size=1,
        max_size=5,
    ).map(".".join)
)
@settings(max_examples=500)
def test_any_is_no_address_however_a_resolver_would_read_it(host: str) -> None:
    if allows("*", client(host)):
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(host)


@pytest.mark.parametrize("host", [PUBLIC, "vendor.com", "a.b.c.d.vendor.co", "a.xn--p1ai"])
def test_any_stands_for_public_names(host: str) -> None:
    hosts = AllowedHosts(host_patterns("*"))
    hosts.require(client(host))
    assert hosts.must_be_global(host)


@pytest.mark.parametrize(
    ("fields", "is_proxied", "said"),
    [
        pytest.param({}, True, "behind a proxy", id="behind a proxy, which finds the address"),
        pytest.param({"ca_certificates": "PEM"}, False, "ca_certificates", id="own authorities"),
        pytest.param({"verify_url": f"https://{PUBLIC}/me"}, False, "verify_url", id="verify_url"),
    ],
)
def test_any_is_not_for_what_it_cannot_be_held_to(
    fields: dict[str, str], said: str, *, is_proxied: bool
) -> None:
    asks = client(**fields)
    assert said in refusal(AllowedHosts(["*"], is_proxied=is_proxied), asks)
    for named in (PUBLIC, "*.vendor.com"):
        AllowedHosts(["*", named], is_proxied=is_proxied).require(asks)


@pytest.mark.parametrize(
    ("patterns", "must_be"),
    [
        pytest.param(["*"], True, id="by any alone"),
        pytest.param(["*", "*.example.com"], True, id="by any, beside other patterns"),
        pytest.param(["*", PUBLIC], False, id="by its name, too"),
        pytest.param(["*", "*.vendor.com"], False, id="by a wildcard, too"),
        pytest.param([PUBLIC], False, id="by its name alone"),
        pytest.param([], False, id="by nothing that people have written"),
    ],
)
def test_a_host_must_be_at_a_public_address_where_any_alone_allows_it(
    patterns: list[str], *, must_be: bool
) -> None:
    assert AllowedHosts(patterns).must_be_global(PUBLIC) is must_be


def test_a_providers_own_host_needs_no_permission_and_no_public_address() -> None:
    nothing, anything = AllowedHosts([]), AllowedHosts(["*"])
    nothing.require(client("www.autovit.ro", verify_url="https://www.autovit.ro/api/open/user"))
    assert not anything.must_be_global("www.autovit.ro")
    refusal(nothing, client("www.autovit.ro:8443"))
    refusal(nothing, client("autovit.ro"))


def test_an_address_that_follows_from_an_entry_is_allowed_with_what_is_on_its_host() -> None:
    nothing, own = AllowedHosts([]), f"https://{PUBLIC}/me"
    nothing.require(client(is_fixed=True, refresh_endpoint=own, verify_url=own))
    elsewhere = "https://other.vendor.com/me"
    for field in ("refresh_endpoint", "verify_url"):
        said = refusal(nothing, client(is_fixed=True, **{field: elsewhere}))
        assert said.startswith(f"the host of {field} is other.vendor.com, ")
    refusal(nothing, client(is_fixed=False, verify_url=own))


def test_the_refusal_names_the_host_the_setting_and_the_command_that_adds_to_what_is_set() -> None:
    allowed = AllowedHosts(
        host_patterns("a.example, *.b.example"),
        stack="cell-2",
        region="eu-west-1",
        architecture="x86_64",
    )
    said, command = refusal(allowed, client("USER.vendor.com:8443")).split(": make")
    assert said == (
        "the host of token_endpoint is user.vendor.com:8443, which the setting "
        "ALLOWED_TOKEN_HOSTS does not allow; correct the credentials, or run in a clone of "
        "this project"
    )
    hosts = "a.example,*.b.example,user.vendor.com:8443"
    assert shlex.split(command) == [
        *("deploy", "AWS_REGION=eu-west-1", "STACK=cell-2"),
        f"PARAMETERS=Architecture=x86_64 AllowedTokenHosts={hosts}",
    ]


def test_no_command_is_told_where_nobody_knows_the_stack_and_its_hosts() -> None:
    said = refusal(AllowedHosts(host_patterns("a.example")), client("user.vendor.com"))
    assert said.endswith("correct the credentials, or add it to the stack's AllowedTokenHosts")


def test_the_command_allows_what_was_refused() -> None:
    refused = client("user.vendor.com:8443", verify_url="https://10.0.0.5/me")
    patterns: tuple[str, ...] = ()
    for _ in ("token_endpoint", "verify_url"):
        said = refusal(AllowedHosts(patterns, stack="s"), refused)
        command = re.search(r'make deploy STACK=s PARAMETERS="AllowedTokenHosts=(\S+)"', said)
        assert command is not None
        patterns = host_patterns(command[1])
    AllowedHosts(patterns).require(refused)


@pytest.mark.parametrize(
    "host",
    [
        *("a" * 5000 + ".vendor.com", "login.vendor.com.", "*.vendor.com", "*", "[::1]"),
        *("$(id).vendor.com", '";id;".vendor.com', "a\u001b.vendor.com", "b\u00fc.vendor.com"),
        *("a.vendor.com,*", "%0a.vendor.com", "a b.vendor.com"),
    ],
)
@pytest.mark.parametrize("patterns", [[], ["*"]])
def test_a_host_that_no_pattern_could_allow_is_not_repeated(host: str, patterns: list[str]) -> None:
    said = refusal(AllowedHosts(patterns), client(host))
    assert said == (
        "the host of token_endpoint is none that the setting ALLOWED_TOKEN_HOSTS could allow: "
        "write a name of ASCII letters, digits and hyphens, without a dot at its end"
    )


def test_no_other_part_of_an_address_is_in_a_refusal() -> None:
    url = f"https://MARK-user:MARK-password@{PUBLIC}/MARK-path?MARK=MARK#MARK"
    for hosts in (AllowedHosts([]), AllowedHosts(["*"], is_proxied=True)):
        said = refusal(hosts, client(token_endpoint=url, verify_url=url, refresh_endpoint=url))
        assert "MARK" not in said
        assert "mark" not in said
        assert "invented" not in said
