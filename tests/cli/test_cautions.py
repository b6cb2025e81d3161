"""What is told of credentials that are not refused."""

from __future__ import annotations

from typing import Any

import pytest

from token_refresher_cli.cautions import caution
from token_refresher_cli.fields import to_credentials


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"grant_type": "client_credentials"}, "Zoom is known to take account_credentials, "),
        (
            {"grant_type": "account_credentials", "grant_parameters": {"accountid": "1"}},
            "Zoom takes account_id in grant_parameters, too",
        ),
        ({"grant_type": "account_credentials", "grant_parameters": {"account_id": "1"}}, ""),
    ],
)
def test_what_a_provider_is_not_known_to_take_is_told_and_not_refused(
    fields: dict[str, Any], told: str
) -> None:
    given = {"provider": "zoom", "client_id": "1", "client_secret": "made-up", **fields}
    credentials, _ = to_credentials(given)
    assert caution(credentials).startswith(told)
    assert bool(caution(credentials)) == bool(told)


def test_what_a_provider_s_assertions_say_besides_is_told() -> None:
    given = {"provider": "netsuite", "provider_parameters": {"account": "1"}, "client_id": "1"}
    given |= {"grant_type": "client_credentials"}
    told = "Oracle NetSuite takes kid in assertion, claims.scope in assertion, too"
    assert caution(to_credentials(given)[0]) == told
    whole = {"kid": "1", "claims": {"scope": ["a"]}}
    assert caution(to_credentials({**given, "assertion": whole})[0]) == ""


def test_a_server_of_ones_own_is_not_doubted() -> None:
    given = {"token_endpoint": "https://e.example/t", "grant_type": "client_credentials"}
    credentials, _ = to_credentials({**given, "client_id": "1", "client_secret": "made-up"})
    assert caution(credentials) == ""
