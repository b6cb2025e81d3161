"""What people give as credentials: how it is read, joined, and each part of it named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from token_refresher.errors import CredentialsError
from token_refresher_cli.fields import FormError, joined, read_object, slot_of, to_credentials

if TYPE_CHECKING:
    from token_refresher_cli.fields import Slot

ONE = "one JSON object is what is taken"
OKTA = {"provider": "okta", "provider_parameters": {"org": "a", "domain": "okta-emea.com"}}


@pytest.mark.parametrize("text", ["", "[1]", "made-up-secret", '{"password": "made-up-secret"'])
def test_what_is_no_object_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(FormError) as raised:
        read_object(text)
    assert "made-up" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b'{\n"scope": "made-up",\n}',
            f"in erp.json, line 3, column 1: the comma before it is one too many; {ONE}",
        ),
        (b"[]", f"in erp.json: it is a list and no object; {ONE}"),
        (b'{"a": 1,\n"a": 2}', "in erp.json: one object gives `a` (lines 1 and 2) twice"),
        ('{"a": "made-up"}'.encode("utf-16"), "in erp.json: UTF-16; save it as UTF-8"),
        ('{"a": "made-up"}'.encode("utf-16-le"), "in erp.json: UTF-16; save it as UTF-8"),
        (b'{\n"a": "made-up\xe9"}', "in erp.json, line 2: no UTF-8; save it as such"),
    ],
)
def test_what_is_no_object_is_told_by_file_line_and_kind(content: bytes, told: str) -> None:
    with pytest.raises(FormError) as raised:
        read_object(content, name="erp.json")
    assert str(raised.value) == told


def test_a_byte_order_mark_and_what_is_not_ascii_are_taken() -> None:
    assert read_object(b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "\u00e9"}


def test_objects_that_were_stored_as_texts_are_joined_part_by_part() -> None:
    stored = {"assertion": '{"kid": "1", "claims": {"a": 1}}'}
    joined_ones = joined(stored, {"assertion": {"alg": "ES256", "claims": {"b": 2}}})
    assert joined_ones["assertion"] == {"kid": "1", "alg": "ES256", "claims": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"provider_parameters": {"org": "b"}},
            {"provider": "okta", "provider_parameters": {"org": "b", "domain": "okta-emea.com"}},
            id="one parameter leaves the others",
        ),
        pytest.param({"provider": "okta"}, OKTA, id="the same provider keeps them"),
        pytest.param({"provider": "xero"}, {"provider": "xero"}, id="another provider has its own"),
        pytest.param(
            {"provider": "zoho", "provider_parameters": {"region": "eu"}},
            {"provider": "zoho", "provider_parameters": {"region": "eu"}},
            id="whatever its parameters are",
        ),
        pytest.param(
            {"token_endpoint": "https://e.example/t"},
            {"token_endpoint": "https://e.example/t"},
            id="an endpoint has none",
        ),
    ],
)
def test_parameters_belong_to_their_provider(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert joined(OKTA, given) == expected


def test_parameters_of_a_file_are_those_of_the_provider_that_an_option_names() -> None:
    parameters = {"provider_parameters": {"org": "a"}}
    assert joined(parameters, {"provider": "okta"}) == {"provider": "okta", **parameters}


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("scope", ("scope",)),
        ("extra_parameters.a.b", ("extra_parameters", "a.b")),
        ("assertion.x5t#S256", ("assertion", "x5t#S256")),
        ("assertion.claims", ("assertion", "claims")),
        ("assertion.claims.a.b", ("assertion", "claims", "a.b")),
    ],
)
def test_what_shall_go_is_named_as_it_is_in_the_credentials(text: str, slot: Slot) -> None:
    assert slot_of(text) == slot


@pytest.mark.parametrize(
    ("text", "told"),
    [("scop", "did you mean scope?"), ("scope.x", "a part of an object"), ("zz", "takes a field")],
)
def test_what_is_no_field_cannot_go(text: str, told: str) -> None:
    with pytest.raises(FormError, match=re.escape(told)):
        slot_of(text)


def test_a_misspelt_field_is_named() -> None:
    fields = {"provider": "autovit.ro", "grant_type": "client_credentials", "pasword": "made-up"}
    with pytest.raises(CredentialsError, match="pasword"):
        to_credentials(fields)
