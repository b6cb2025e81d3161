"""What a dialect may say, and what it must not: paths to a refresh token, tokens bound to a key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from token_refresher.oauth.dialect import RFC_6749, Dialect, find, names_refresh_token

CONTENT = {
    "data": [{"token": "first"}, {"token": "second"}],
    "0": {"1": "keys of digits"},
    "expires": {"in": 0},
    "empty": None,
}


def read(fields: dict[str, Any]) -> Dialect:
    return msgspec.convert(fields, Dialect)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("data.1.token", "second"),
        ("0.1", "keys of digits"),
        ("expires.in", 0),
        ("empty", None),
        ("empty.token", None),
        ("data.2.token", None),
        ("data.-1.token", None),
        ("data.token", None),
        ("data.\u0661.token", None),
        ("data.0.token.0", None),
        ("missing", None),
    ],
)
def test_a_path_leads_by_keys_and_indices_and_by_nothing_else(path: str, found: object) -> None:
    assert find(CONTENT, path) == found


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\n",
        "a.b.c.d.e.f.g",
        "a" * 65,
        "a\x00",
        "a\u2028b",
        "$.a",
        "/a",
        "a[0]",
        "a.[0]",
    ],
)
@pytest.mark.parametrize("field", ["access_token", "refresh_token", "expires_at", "error"])
def test_a_path_has_six_parts_at_most_no_blank_and_nothing_of_other_languages(
    field: str, path: str
) -> None:
    with pytest.raises(msgspec.ValidationError):
        read({field: path})


@pytest.mark.parametrize(
    "path",
    [
        *(
            "refresh_token",
            "refreshToken",
            "REFRESH-TOKEN",
            "x_refresh_token",
            "oauth2RefreshToken",
        ),
        *("data.refresh_token", "refresh_token.value", "tokens.0.refreshToken", "refresh__token"),
    ],
)
@pytest.mark.parametrize("field", ["access_token", "scope"])
def test_no_path_leads_to_what_is_called_a_refresh_token(field: str, path: str) -> None:
    assert names_refresh_token(path)
    with pytest.raises(msgspec.ValidationError, match=f"`dialect.{field}` must not be where"):
        read({field: path, "refresh_token": "elsewhere"})


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("access_token", "session"),
        ("access_token", "session.renewal.value"),
        ("scope", "session"),
        ("scope", "session.renewal"),
        ("scope", "session.renewal.value"),
    ],
)
def test_no_path_leads_to_above_or_below_where_the_dialect_has_its_refresh_token(
    field: str, path: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"`dialect.{field}` must not be where"):
        read({field: path, "refresh_token": "session.renewal"})


def test_a_token_may_be_renewed_by_itself() -> None:
    assert read({"refresh_token": "access_token"}).renews_by_access_token
    assert not RFC_6749.renews_by_access_token


@pytest.mark.parametrize("scheme", ["DPoP", "mac", "PoP"])
def test_a_scheme_that_binds_tokens_to_a_key_is_refused(scheme: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"authorization_scheme. must not bind"):
        read({"authorization_scheme": scheme})


@pytest.mark.parametrize("scheme", ["", "Bearer x", "Bearer\r\nX: y", "B\u00e9arer", "x" * 41])
def test_a_scheme_is_one_word_of_http(scheme: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        read({"authorization_scheme": scheme})


@pytest.mark.parametrize(
    "fields",
    [
        {"request_method": "DELETE"},
        {"request_format": "xml"},
        {"expires_in_unit": "minutes"},
        {"token_endpoint": "https://elsewhere.example/token"},
    ],
)
def test_a_dialect_has_no_other_fields_or_words(fields: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(fields)
