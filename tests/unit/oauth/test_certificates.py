"""Certificates as people paste them, and whom a context believes with them."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING

import pytest

from local.authority import Authority
from token_refresher.oauth.certificates import (
    CertificatesError,
    authorities_of,
    public_authorities,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def pem() -> str:
    with Authority() as made:
        return made.certificate_file.read_text()


@pytest.fixture(scope="module")
def other() -> str:
    with Authority() as made:
        return made.certificate_file.read_text()


def der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def one_line(pem: str) -> str:
    return base64.b64encode(der(pem)).decode()


@pytest.mark.parametrize(
    "paste",
    [
        pytest.param(lambda pem: pem, id="as it is"),
        pytest.param(lambda pem: pem.replace("\n", "\r\n"), id="with lines of Windows"),
        pytest.param(lambda pem: pem.replace("\n", " "), id="with blanks for lines"),
        pytest.param(lambda pem: pem.replace("\n", "\\n"), id="with written line breaks"),
        pytest.param(lambda pem: pem.replace("\n", ""), id="without any"),
        pytest.param(lambda pem: f"# Issuer: invented\nsubject=/CN=x\n{pem}\n", id="with notes"),
        pytest.param(one_line, id="in Base64 alone"),
    ],
)
def test_a_certificate_is_taken_however_it_was_pasted(
    pem: str, paste: Callable[[str], str]
) -> None:
    assert authorities_of(paste(pem)).get_ca_certs(binary_form=True) == [der(pem)]


@pytest.mark.parametrize("between", ["", " ", ","], ids=["nothing", "a blank", "a comma"])
def test_several_are_all_believed(pem: str, other: str, between: str) -> None:
    believed = authorities_of(between.join([pem, other, pem])).get_ca_certs(binary_form=True)
    assert sorted(believed) == sorted([der(pem), der(other)])


def test_several_in_base64_are_separated_by_commas(pem: str, other: str) -> None:
    assert len(authorities_of(f"{one_line(pem)}, {one_line(other)}").get_ca_certs()) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: " ", id="a blank"),
        pytest.param(lambda _: ",", id="a comma"),
        pytest.param(lambda _: "corporate-ca.pem", id="a file's name"),
        pytest.param(lambda _: "aW52ZW50ZWQ=", id="Base64 of something else"),
        pytest.param(lambda _: "é", id="no ASCII"),
        pytest.param(lambda pem: pem[:-40], id="one without its end"),
        pytest.param(lambda pem: pem.replace("M", "", 1), id="one that lacks a letter"),
        pytest.param(lambda pem: pem + pem[:-40], id="one of two without its end"),
        pytest.param(
            lambda pem: pem + pem.replace(pem.splitlines()[1], "aW52ZW50ZWQ="), id="a broken second"
        ),
        pytest.param(
            lambda pem: f"{pem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            id="a key beside it",
        ),
        pytest.param(
            lambda _: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", id="an empty one"
        ),
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(
    pem: str, spoil: Callable[[str], str]
) -> None:
    for make in (authorities_of, lambda text: public_authorities(f" {text}")):
        with pytest.raises(CertificatesError) as refusal:
            make(spoil(pem))
        assert str(refusal.value) == "certificates in PEM, and no key"
        assert refusal.value.__cause__ is None


def test_nobody_else_is_believed_and_everything_is_verified(pem: str) -> None:
    context = authorities_of(pem)
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_additional_ones_stand_beside_the_public_ones(pem: str) -> None:
    public = public_authorities().get_ca_certs(binary_form=True)
    believed = public_authorities(pem).get_ca_certs(binary_form=True)
    assert set(believed) == {*public, der(pem)}
    assert public_authorities(pem).check_hostname


def test_without_any_nothing_differs_from_what_python_believes() -> None:
    flags = ssl.create_default_context().verify_flags
    assert public_authorities().verify_flags == flags


def test_an_authority_that_lacks_an_extension_is_believed_on_every_python(pem: str) -> None:
    """Since 3.13 Python would refuse what a company has issued by its own authority for years."""
    for context in (authorities_of(pem), public_authorities(pem)):
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
