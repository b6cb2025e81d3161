"""The presets: where the OLX Group motors API is, and what it wants to see."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlsplit

import pytest

from token_refresher.credentials import SiteName
from token_refresher.oauth.providers import ANY_SERVER, DEFAULT_TOKEN_HOSTS, SITES


@pytest.mark.parametrize(
    ("provider", "token_endpoint"),
    [
        pytest.param(
            "autovit.ro",
            "https://www.autovit.ro/api/open/oauth/token",
            id="autovit.ro is asked at its documented address",
        ),
        pytest.param(
            "otomoto.pl",
            "https://www.otomoto.pl/api/open/oauth/token",
            id="otomoto.pl is asked at the same path",
        ),
        pytest.param(
            "standvirtual.com",
            "https://www.standvirtual.com/api/open/oauth/token",
            id="standvirtual.com is asked at the same path",
        ),
    ],
)
def test_a_site_stands_for_its_token_endpoint(site: SiteName, token_endpoint: str) -> None:
    assert SITES[site].token_endpoint == token_endpoint


def test_credentials_accept_exactly_the_sites_that_there_are() -> None:
    assert set(get_args(SiteName)) == set(SITES)


def test_every_site_is_reachable_without_a_setting() -> None:
    assert set(DEFAULT_TOKEN_HOSTS) == {
        urlsplit(site.token_endpoint).hostname for site in SITES.values()
    }


def test_every_motors_site_sees_the_accounts_email() -> None:
    assert all(site.sends_email_as_user_agent for site in SITES.values())


def test_no_other_server_sees_the_accounts_email() -> None:
    assert not ANY_SERVER.sends_email_as_user_agent
