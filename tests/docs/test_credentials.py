"""What docs/credentials.md shows is taken, and what it says of a field is what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, get_args

import pytest

from token_refresher.oauth.client_authentication import AuthMethod
from token_refresher.oauth.dialect import Dialect
from token_refresher.parsing import parse_credentials

TEXT: Final = (Path(__file__).resolve().parents[2] / "docs" / "credentials.md").read_text("utf-8")
EXAMPLES: Final = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_validates(example: str) -> None:
    assert parse_credentials(example).client.host


def test_every_kind_of_grant_has_its_example() -> None:
    kinds = {type(parse_credentials(example)).__name__ for example in EXAMPLES}
    assert kinds >= {
        "AssertionCredentials",
        "ClientCredentials",
        "ExtensionCredentials",
        "LoginCredentials",
        "RefreshTokenCredentials",
    }


def test_every_way_to_prove_who_a_client_is_has_its_example() -> None:
    shown = [parse_credentials(example) for example in EXAMPLES]
    assert {each.auth_method for each in shown} == {*get_args(AuthMethod)}
    signed = [each.signed_assertion for each in shown]
    assert {each.signer or "kms" for each in signed if each is not None} == {"kms", "sts"}


def test_every_field_of_a_dialect_that_is_named_exists() -> None:
    named = set(re.findall(r"dialect\.(\w+)", TEXT))
    assert named <= {*Dialect.__struct_fields__}
