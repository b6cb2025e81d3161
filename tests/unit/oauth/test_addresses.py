"""Which addresses are the Internet's, however they are written."""

from __future__ import annotations

import pytest

from token_refresher.oauth.addresses import is_global


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("8.8.8.8", id="IPv4"),
        pytest.param("2001:4860:4860::8888", id="IPv6"),
        pytest.param("::ffff:8.8.8.8", id="a mapped one"),
        pytest.param("64:ff9b::808:808", id="a translated one"),
        pytest.param("2002:808:808::1", id="one of 6to4"),
    ],
)
def test_the_internets_are_global(address: str) -> None:
    assert is_global(address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("0.0.0.0", id="this host"),  # noqa: S104 - nobody listens
        pytest.param("10.0.0.1", id="a private network"),
        pytest.param("172.16.0.1", id="another private network"),
        pytest.param("192.168.0.1", id="a home"),
        pytest.param("100.64.0.1", id="a provider's network"),
        pytest.param("169.254.169.254", id="a cloud's metadata"),
        pytest.param("192.0.0.9", id="a protocol's"),
        pytest.param("192.0.0.192", id="a cloud's metadata in a protocol's network"),
        pytest.param("198.18.0.1", id="a benchmark's"),
        pytest.param("203.0.113.1", id="a document's"),
        pytest.param("224.0.0.1", id="many at once"),
        pytest.param("240.0.0.1", id="nobody's"),
        pytest.param("255.255.255.255", id="everybody's"),
        pytest.param("::", id="this host in IPv6"),
        pytest.param("::1", id="loopback in IPv6"),
        pytest.param("fd00:ec2::254", id="a cloud's metadata in IPv6"),
        pytest.param("fe80::1%1", id="a link's"),
        pytest.param("fec0::1", id="a site's"),
        pytest.param("ff0e::1", id="many at once in IPv6"),
        pytest.param("2001:db8::1", id="a document's in IPv6"),
        pytest.param("2001:0:a00:1::", id="a tunnel's"),
        pytest.param("4000::1", id="not given out yet"),
        pytest.param("::10.0.0.1", id="a private one within IPv6, as it once was"),
        pytest.param("::8.8.8.8", id="any one within IPv6, as it once was"),
        pytest.param("::ffff:10.0.0.1", id="a mapped private one"),
        pytest.param("64:ff9b::a00:1", id="a translated private one"),
        pytest.param("64:ff9b::a9fe:a9fe", id="a cloud's metadata, translated"),
        pytest.param("64:ff9b:1::808:808", id="one that a network translates for itself"),
        pytest.param("2002:a00:1::1", id="a private one of 6to4"),
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_global(address)
